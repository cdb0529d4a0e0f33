"""The example DAGs for fleets, restores, rollbacks and assets, unchanged, in a real Airflow."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from local_airflow import LocalAirflow
from support.real_airflow import Run

from airflow_pinecone.emulator import Emulator

FLEET = 20


def trigger_run(airflow: LocalAirflow, emulator: Emulator, dag_id: str, index: str, **params: Any) -> Run:
    return Run(airflow, emulator, dag_id, airflow.trigger(dag_id, {"index": index, **params}), index)


def test_fleet_continues_when_one_index_fails(real_airflow: LocalAirflow, emulator: Emulator) -> None:
    prefix = f"fleet-{uuid.uuid4().hex[:6]}-"
    names = [f"{prefix}{n:02}" for n in range(FLEET)]
    for name in names:
        emulator.add_index(name)
    emulator.add_index(f"{prefix}pod", spec={"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}})
    failing = names[17]
    emulator.fault("POST", f"/indexes/{failing}/backups", status=403, times=None)
    run = trigger_run(real_airflow, emulator, "backup_fleet", prefix, prefix=prefix)
    assert run.final_state(400) == "failed"
    states = run.mapped_states("protect.backup")
    assert states == {name: "failed" if name == failing else "success" for name in names}
    # No index has a backup yet, so there is nothing to prune.
    assert set(run.mapped_states("protect.prune").values()) == {"skipped"}
    assert run.xcom("summary") == {"ready": [n for n in names if n != failing], "failed": [failing]}
    assert run.task("summary")["state"] == "success"
    created = [b for b in emulator.backups if b["source_index_name"] in names]
    assert len(created) == FLEET - 1
    assert {b["status"] for b in created} == {"Ready"}
    log = run.log("list_indexes")
    assert f"{prefix}pod" in log
    assert "pod-based" in log


def test_restore_drill_compares_and_deletes_the_scratch_index(
    real_airflow: LocalAirflow, emulator: Emulator, index: str
) -> None:
    backup = emulator.add_backup(index, age=60)
    emulator.next_restore(restore_after=2)
    run = trigger_run(real_airflow, emulator, "restore_drill", index)
    assert run.final_state() == "success"
    assert run.xcom("compare") == {"backup_id": backup["backup_id"], "records": backup["record_count"]}
    scratch = run.xcom("choose", "scratch")
    jobs = [job for job in emulator.restore_jobs if job["backup_id"] == backup["backup_id"]]
    assert [job["target_index_name"] for job in jobs] == [scratch]
    assert scratch not in [i["name"] for i in emulator.indexes]


@pytest.mark.parametrize("reason", ["restore fails", "record counts differ"])
def test_failed_restore_drill_deletes_the_scratch_index(
    real_airflow: LocalAirflow, emulator: Emulator, index: str, reason: str
) -> None:
    if reason == "restore fails":
        emulator.add_backup(index, age=60)
        emulator.fault("POST", "/backups/*/create-index", drop="after")
        emulator.next_restore(restore_ends="Failed", restore_after=1)
    else:
        emulator.add_backup(index, age=60, record_count=12345)
    run = trigger_run(real_airflow, emulator, "restore_drill", index)
    if reason == "restore fails":
        run.wait_for_state("up_for_retry", "restore", 90)
        run.set_state("failed", "restore")
    assert run.final_state(180) == "failed"
    assert run.task("delete_scratch")["state"] == "success"
    assert run.xcom("choose", "scratch") not in [i["name"] for i in emulator.indexes]


def test_successful_reindex_needs_no_approval(real_airflow: LocalAirflow, emulator: Emulator, index: str) -> None:
    run = trigger_run(real_airflow, emulator, "reindex_with_rollback", index)
    assert run.final_state() == "success"
    assert run.states()["approve"] == run.states()["restore"] == "skipped"
    assert run.xcom("check") == 96


def test_failed_reindex_is_rolled_back_after_approval(
    real_airflow: LocalAirflow, emulator: Emulator, index: str
) -> None:
    emulator.next_backup(index, ready_after=6)
    run = trigger_run(real_airflow, emulator, "reindex_with_rollback", index)
    real_airflow.wait_until(lambda: run.backups, 60, "the backup")
    emulator.set_records(index, 3)  # The check after the reindex finds too few records.
    real_airflow.wait_until(lambda: run.states().get("approve") in ("deferred", "awaiting_input"), 90, "the approval")
    real_airflow.wait_until(
        lambda: real_airflow.scheduler_saw_exit(run.dag_id, run.run_id, "approve"), 60, "the scheduler"
    )
    path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/approve/-1/hitlDetails"
    real_airflow.api("PATCH", path, json={"chosen_options": ["Approve"], "params_input": {}})
    assert run.final_state() == "failed"  # The check failed, although the rollback succeeds.
    assert run.task("restore")["state"] == "success"
    restored = run.xcom("restore")
    assert restored["backup_id"] == run.backups[0]["backup_id"]
    assert {index, restored["index_name"]} <= {i["name"] for i in emulator.indexes}


def test_new_backup_starts_the_reindex(real_airflow: LocalAirflow, emulator: Emulator) -> None:
    real_airflow.trigger("backup_deferrable")

    def reindexed() -> str | None:
        for run in real_airflow.api("GET", "dags/reindex_on_backup/dagRuns")["dag_runs"]:
            if run["state"] == "success":
                return str(real_airflow.xcom("reindex_on_backup", run["dag_run_id"], "reindex"))
        return None

    backup_id = real_airflow.wait_until(reindexed, 120, "a run of reindex_on_backup")
    (backup,) = (b for b in emulator.backups if b["backup_id"] == backup_id)
    assert backup["status"] == "Ready"
    assert "dag backup_deferrable" in backup["description"]


@pytest.mark.parametrize("failure", ["lost response", "task killed", "task and supervisor killed"])
def test_interrupted_restore_is_not_repeated(
    real_airflow: LocalAirflow, emulator: Emulator, index: str, failure: str
) -> None:
    backup_id = emulator.add_backup(index)["backup_id"]
    settings = {"drop": "after"} if failure == "lost response" else {"hang": "after"}
    fault = emulator.fault("POST", f"/backups/{backup_id}/create-index", **settings)
    run = trigger_run(real_airflow, emulator, "restore", index, backup_id=backup_id)
    if failure != "lost response":
        fault.wait(60)
        task, supervisor = run.processes("restore")
        if failure == "task and supervisor killed":
            supervisor.kill()
        task.kill()
        fault.release()
    assert run.final_state() == "success"
    assert run.task("restore")["try_number"] == (1 if failure == "lost response" else 2)
    jobs = [job for job in emulator.restore_jobs if job["backup_id"] == backup_id]
    assert [job["status"] for job in jobs] == ["Completed"]
    assert [i["name"] for i in emulator.indexes].count(f"{index}-2") == 1
