"""The examples of a backup's whole life, as they stand, in real Airflow."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from local_airflow import LocalAirflow
from real import Run

from airflow_pinecone.emulator import Emulator

FLEET = 50


def trigger(airflow: LocalAirflow, pinecone: Emulator, dag_id: str, index: str, **params: Any) -> Run:
    return Run(airflow, pinecone, dag_id, airflow.trigger(dag_id, {"index": index, **params}), index)


def test_the_fleet_goes_on_when_one_index_fails(airflow: LocalAirflow, pinecone: Emulator) -> None:
    prefix = f"fleet-{uuid.uuid4().hex[:6]}-"
    names = [f"{prefix}{n:02}" for n in range(FLEET)]
    for name in names:
        pinecone.add_index(name)
    pinecone.add_index(f"{prefix}pod", spec={"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}})
    broken = names[17]
    pinecone.fault("POST", f"/indexes/{broken}/backups", status=403, times=None)
    ran = trigger(airflow, pinecone, "backup_fleet", prefix, prefix=prefix)
    assert ran.end(400) == "failed"
    states = ran.mapped_states("protect.backup")
    assert states == {name: "failed" if name == broken else "success" for name in names}
    assert set(ran.mapped_states("protect.prune").values()) == {"success", "upstream_failed"}
    assert ran.xcom("summary") == {"ready": [n for n in names if n != broken], "failed": [broken]}
    assert ran.task("summary")["state"] == "success"
    made = [b for b in pinecone.backups if b["source_index_name"] in names]
    assert len(made) == FLEET - 1
    assert {b["status"] for b in made} == {"Ready"}
    assert "is pod-based" in ran.log("list_indexes")


def test_a_drill_restores_compares_and_cleans_up(airflow: LocalAirflow, pinecone: Emulator, index: str) -> None:
    backup = pinecone.add_backup(index, age=60)
    pinecone.next_restore(restore_after=2)
    ran = trigger(airflow, pinecone, "restore_drill", index)
    assert ran.end() == "success"
    assert ran.xcom("compare") == {"backup_id": backup["backup_id"], "records": backup["record_count"]}
    scratch = ran.xcom("choose", "scratch")
    assert [job["target_index_name"] for job in pinecone.restore_jobs if job["backup_id"] == backup["backup_id"]] == [
        scratch
    ]
    assert scratch not in [i["name"] for i in pinecone.indexes]


@pytest.mark.parametrize("trouble", ["the restore fails", "the counts differ"])
def test_a_drill_that_fails_is_red_and_cleans_up_too(
    airflow: LocalAirflow, pinecone: Emulator, index: str, trouble: str
) -> None:
    if trouble == "the restore fails":
        pinecone.add_backup(index, age=60)
        pinecone.fault("POST", "/backups/*/create-index", drop="after")
        pinecone.next_restore(ends="Failed", restore_after=1)
    else:
        pinecone.add_backup(index, age=60, record_count=12345)
    ran = trigger(airflow, pinecone, "restore_drill", index)
    if trouble == "the restore fails":
        ran.wait_for_state("up_for_retry", "restore", 90)
        ran.set_state("failed", "restore")
    assert ran.end(180) == "failed"
    assert ran.task("delete_scratch")["state"] == "success"
    assert ran.xcom("choose", "scratch") not in [i["name"] for i in pinecone.indexes]


def test_a_reindex_that_goes_well_asks_nobody(airflow: LocalAirflow, pinecone: Emulator, index: str) -> None:
    ran = trigger(airflow, pinecone, "reindex_with_rollback", index)
    assert ran.end() == "success"
    assert ran.states()["approve"] == ran.states()["restore"] == "skipped"
    assert ran.xcom("check") == 96


def test_a_reindex_that_goes_wrong_is_rolled_back_when_a_person_approves(
    airflow: LocalAirflow, pinecone: Emulator, index: str
) -> None:
    pinecone.next_backup(index, ready_after=6)
    ran = trigger(airflow, pinecone, "reindex_with_rollback", index)
    airflow.wait_until(lambda: ran.backups, 60, "the backup")
    pinecone.set_records(index, 3)  # while the backup is made: the reindex goes wrong
    airflow.wait_until(lambda: ran.states().get("approve") in ("deferred", "awaiting_input"), 90, "the question")
    airflow.wait_until(lambda: airflow.has_heard(ran.dag_id, ran.run_id, "approve"), 60, "the scheduler to hear of it")
    path = f"dags/{ran.dag_id}/dagRuns/{ran.run_id}/taskInstances/approve/-1/hitlDetails"
    airflow.api("PATCH", path, json={"chosen_options": ["Approve"], "params_input": {}})
    assert ran.end() == "failed"  # the reindex did fail
    assert ran.task("restore")["state"] == "success"
    restored = ran.xcom("restore")
    assert restored["backup_id"] == ran.backups[0]["backup_id"]
    assert {index, restored["index_name"]} <= {i["name"] for i in pinecone.indexes}


def test_a_new_backup_starts_the_reindex(airflow: LocalAirflow, pinecone: Emulator) -> None:
    airflow.trigger("backup_deferrable")

    def reindexed() -> str | None:
        for run in airflow.api("GET", "dags/reindex_on_backup/dagRuns")["dag_runs"]:
            if run["state"] == "success":
                return str(airflow.xcom("reindex_on_backup", run["dag_run_id"], "reindex"))
        return None

    backup_id = airflow.wait_until(reindexed, 120, "a run of reindex_on_backup")
    (backup,) = (b for b in pinecone.backups if b["backup_id"] == backup_id)
    assert backup["status"] == "Ready"
    assert "dag backup_deferrable" in backup["description"]


@pytest.mark.parametrize("trouble", ["a lost answer", "SIGKILL", "SIGKILL of task and supervisor"])
def test_a_restore_in_trouble_is_one_restore(
    airflow: LocalAirflow, pinecone: Emulator, index: str, trouble: str
) -> None:
    backup_id = pinecone.add_backup(index)["backup_id"]
    how = {"drop": "after"} if trouble == "a lost answer" else {"hang": "after"}
    fault = pinecone.fault("POST", f"/backups/{backup_id}/create-index", **how)
    ran = trigger(airflow, pinecone, "restore", index, backup_id=backup_id)
    if trouble != "a lost answer":
        fault.wait(60)
        task, supervisor = ran.processes("restore")
        if "supervisor" in trouble:
            supervisor.kill()
        task.kill()
        fault.release()
    assert ran.end() == "success"
    assert ran.task("restore")["try_number"] == (1 if trouble == "a lost answer" else 2)
    jobs = [job for job in pinecone.restore_jobs if job["backup_id"] == backup_id]
    assert [job["status"] for job in jobs] == ["Completed"]
    assert [i["name"] for i in pinecone.indexes].count(f"{index}-2") == 1
