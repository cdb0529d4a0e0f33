"""The example DAGs, unchanged, in a real Airflow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chaos.side_by_side import Case, on_runs, planned, run_case
from local_airflow import LocalAirflow
from support.real_airflow import Run

from airflow_pinecone.emulator import Emulator, damage

FLEET = 20


@on_runs("backup_index", "reindex_with_backup", steps=planned())
def test_backup_is_ready(run: Run) -> None:
    assert run.final_state() == "success"
    check_example(run)


def wait_for_the_reindex(run: Run) -> Iterator[None]:
    """Wait until reindex_on_backup has run, which the asset of the backup starts."""
    yield
    assert run.final_state() == "success"
    run.airflow.wait_until(lambda: reindexed(run), 240, "a run of reindex_on_backup")


def reindexed(run: Run) -> list[str]:
    """Return the ids of the backups after which reindex_on_backup has run."""
    dag_id = "reindex_on_backup"
    runs = run.airflow.api("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]
    return [run.airflow.xcom(dag_id, r["dag_run_id"], "reindex") for r in runs if r["state"] == "success"]


@on_runs("backup_deferrable", steps=wait_for_the_reindex)
def test_new_backup_starts_the_reindex(run: Run) -> None:
    check_example(run)
    backup = next(b for b in run.emulator.backups if b["backup_id"] == reindexed(run)[0])
    assert backup["status"] == "Ready"
    assert "dag backup_deferrable" in backup["description"]
    # It started after the check had ended, and not when the backup was Ready.
    runs = run.airflow.api("GET", "dags/reindex_on_backup/dagRuns")["dag_runs"]
    assert min(r["start_date"] for r in runs) > run.task("verify")["end_date"]


def check_example(run: Run) -> None:
    """Check that all tasks of an example have succeeded without a warning, and that its backup is Ready."""
    assert set(run.states().values()) == {"success"}
    assert run.warnings() == []
    model = run.xcom("ready" if run.dag_id == "backup_index" else "backup")
    assert model in run.emulator.backups
    assert model["status"] == "Ready"
    assert f"dag {run.dag_id}, run {run.run_id}, task backup" in model["description"]


def reject_one_index(run: Run) -> Iterator[dict[str, str]]:
    """Back up a fleet in which the backups of one index are rejected, and one index is pod-based."""
    prefix = f"{run.index}-"
    for n in range(FLEET):
        run.emulator.add_index(f"{prefix}{n:02}")
    run.emulator.add_index(f"{prefix}pod", spec={"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}})
    run.emulator.fault("POST", f"/indexes/{prefix}17/backups", status=403, times=None)
    yield {"prefix": prefix}


def test_fleet_continues_when_one_index_fails(quiet_airflow: LocalAirflow, emulator: Emulator) -> None:
    run = run_case(quiet_airflow, emulator, Case("backup_fleet", reject_one_index))
    assert run.final_state() == "failed"
    names = [f"{run.index}-{n:02}" for n in range(FLEET)]
    failing = names[17]
    states = run.mapped_states("protect.backup")
    assert states == {name: "failed" if name == failing else "success" for name in names}
    # No index has a backup yet, so there is nothing to prune.
    assert set(run.mapped_states("protect.prune").values()) == {"skipped"}
    good = [name for name in names if name != failing]
    assert run.xcom("summary") == {"verified": good, "unverified": [], "failed": [failing]}
    # Each label is the name of the index, also of the tasks that do not have it as an argument.
    for task_id in ("verify", "done"):
        states = run.mapped_states(f"protect.{task_id}")
        assert {name for name, state in states.items() if state == "success"} == set(good)
    assert run.task("summary")["state"] == "success"
    created = [b for b in run.emulator.backups if b["source_index_name"] in names]
    assert len(created) == FLEET - 1
    assert {b["status"] for b in created} == {"Ready"}
    log = run.log("list_indexes")
    assert f"{run.index}-pod" in log
    assert "pod-based" in log


def restore_all_records(run: Run) -> Iterator[None]:
    backup = run.emulator.add_backup(run.index, age=60)
    run.emulator.next_restore(backup["backup_id"], restore_after=2)
    yield


def restore_other_records(run: Run) -> Iterator[None]:
    """Change one bit of a record while the index is restored."""
    backup = run.emulator.add_backup(run.index, age=60)
    change = damage.flip_bit("namespace-1", "record-00000001", 0, 0)
    run.emulator.next_restore(backup["backup_id"], restore_after=2, change=change)
    yield


def fail_the_restore(run: Run) -> Iterator[None]:
    """Let the restore fail after its response was lost. The retry would be in 5 minutes."""
    backup = run.emulator.add_backup(run.index, age=60)
    run.emulator.fault("POST", f"/backups/{backup['backup_id']}/create-index", drop="after")
    run.emulator.next_restore(backup["backup_id"], restore_ends="Failed", restore_after=1)
    yield
    run.wait_for_state("up_for_retry", "restore_test.restore", 240)
    run.set_state("failed", "restore_test.restore")


@on_runs("restore_drill", steps=restore_all_records)
def test_restore_test_reads_each_record_and_deletes_the_scratch_index(run: Run) -> None:
    assert run.final_state() == "success"
    assert run.warnings() == []
    (backup,) = run.backups
    record = run.xcom("restore_test.report")
    assert (record["verdict"], record["backup"]["backup_id"]) == ("passed", backup["backup_id"])
    assert record["read"]["records"] == record["read"]["compared"] == backup["record_count"]
    jobs = [job for job in run.emulator.restore_jobs if job["backup_id"] == backup["backup_id"]]
    assert [job["target_index_name"] for job in jobs] == [run.xcom("restore_test.choose", "scratch")]
    check_scratch_index_is_deleted(run)


FAILED_TESTS = {
    "restore fails": (fail_the_restore, "incomplete"),
    "other records": (restore_other_records, "failed"),
}


@pytest.mark.parametrize(
    ("run", "verdict"),
    [(Case("restore_drill", steps), verdict) for steps, verdict in FAILED_TESTS.values()],
    ids=FAILED_TESTS,
    indirect=["run"],
)
def test_failed_restore_test_deletes_the_scratch_index(run: Run, verdict: str) -> None:
    assert run.final_state() == "failed"
    # The task has failed, and its result is in XCom.
    assert run.task("restore_test.report")["state"] == "failed"
    assert run.xcom("restore_test.report")["verdict"] == verdict
    check_scratch_index_is_deleted(run)


def check_scratch_index_is_deleted(run: Run) -> None:
    assert run.task("restore_test.delete_scratch")["state"] == "success"
    assert run.xcom("restore_test.choose", "scratch") not in [i["name"] for i in run.emulator.indexes]


@on_runs("reindex_with_rollback", steps=planned())
def test_successful_reindex_needs_no_approval(run: Run) -> None:
    assert run.final_state() == "success"
    assert run.warnings() == []
    assert run.states()["approve"] == run.states()["restore"] == "skipped"
    assert run.xcom("check") == 96


def lose_records_and_approve(run: Run) -> Iterator[None]:
    """Remove records before the check after the reindex, and approve the rollback."""
    airflow = run.airflow
    run.emulator.next_backup(run.index, backup_ends="never")
    yield
    airflow.wait_until(lambda: run.backups, 240, "the backup")
    run.emulator.set_records(run.index, 3)
    run.emulator.finish_backup(run.backups[0]["backup_id"])
    airflow.wait_until(lambda: run.states().get("approve") in ("deferred", "awaiting_input"), 240, "the approval")
    airflow.wait_until(lambda: airflow.scheduler_saw_exit(run.dag_id, run.run_id, "approve"), 60, "the scheduler")
    path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/approve/-1/hitlDetails"
    airflow.api("PATCH", path, json={"chosen_options": ["Approve"], "params_input": {}})


@on_runs("reindex_with_rollback", steps=lose_records_and_approve)
def test_failed_reindex_is_rolled_back_after_approval(run: Run) -> None:
    assert run.final_state() == "failed"  # The check failed, although the rollback succeeds.
    assert run.task("restore")["state"] == "success"
    restored = run.xcom("restore")
    assert restored["backup_id"] == run.backups[0]["backup_id"]
    assert {run.index, restored["index_name"]} <= {i["name"] for i in run.emulator.indexes}
