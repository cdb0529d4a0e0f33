"""What `make matrix-real` runs on each supported Airflow: every way to wait, in real Airflow processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, wait
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger
from chaos.side_by_side import TIMEOUT, Case, finish_in_the_second_try, mark_as_failed, on_runs, planned, run_case
from local_airflow import LocalAirflow
from support.real_airflow import HOME, Run

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.emulator.damage import flip_bit

WAITS = [
    "worker",
    "triggerer",
    "settle",
    "secrets_backend",
    "sensor_deferred",
    "sensor_reschedule",
    "freshness_deferred",
]
needs_on_kill = pytest.mark.skipif(
    not hasattr(BaseTrigger, "on_kill"), reason="triggers of this Airflow have no on_kill"
)


@on_runs(*WAITS, steps=planned())
def test_backup_is_ready(run: Run) -> None:
    assert run.final_state() == "success"
    assert [backup["status"] for backup in run.backups] == ["Ready"]


def with_backup(run: Run) -> Iterator[None]:
    """Add a backup before the run."""
    run.emulator.next_restore(run.emulator.add_backup(run.index, age=3600)["backup_id"], restore_after=4)
    yield


def with_damage(run: Run) -> Iterator[None]:
    """Add a backup whose restore has another bit in one record."""
    backup_id = run.emulator.add_backup(run.index, age=3600)["backup_id"]
    run.emulator.next_restore(backup_id, restore_after=4, change=flip_bit("namespace-2", "record-00000007", 3, 0))
    yield


@on_runs("restore_test_worker", "restore_test_triggerer", steps=with_backup)
def test_restore_test_passes(run: Run) -> None:
    assert run.final_state() == "success"
    check_restore_test(run, "passed", [])


@on_runs("restore_test_worker", "restore_test_triggerer", steps=with_damage)
def test_restore_test_finds_a_changed_record(run: Run) -> None:
    assert run.final_state() == "failed"
    check_restore_test(run, "failed", [("changed", "namespace-2", ["record-00000007"])])


def check_restore_test(run: Run, verdict: str, findings: list[tuple[str, str, list[str]]]) -> None:
    """Check the result of a restore test, and that it has deleted its index."""
    record = run.xcom("restore_test.report")
    assert record["verdict"] == verdict
    assert record["read"] == {"records": 96, "listed": 96, "namespaces": 3, "compared": 96}
    assert [(each["kind"], each["namespace"], each["ids"]) for each in record["findings"]] == findings
    assert run.xcom("restore_test.choose", "scratch") not in {index["name"] for index in run.emulator.indexes}


@on_runs("copy_worker", "copy_triggerer", steps=with_backup)
def test_copy_is_imported_and_proved(run: Run) -> None:
    assert run.final_state() == "success"
    report = run.xcom("import_copy.report")
    assert (report["verdict"], report["records"], report["namespace_count"]) == ("proved", 96, 3)
    indexes = {index["name"] for index in run.emulator.indexes}
    assert not indexes & {run.xcom("export_backup.plan", "scratch"), f"{run.index}-copy"}


def test_fifteen_deferred_tasks_at_once_and_another_run_after_them(
    airflow: LocalAirflow, emulator: Emulator, runs: dict[Any, Future[Run]]
) -> None:
    """A triggerer that has stopped can still send heartbeats. Only another run shows that it works."""
    wait(runs.values())
    assert run_case(airflow, emulator, Case("mapped", planned())).final_state() == "success"
    # A backup need not have a name.
    created = [backup for backup in emulator.backups if (backup.get("name") or "").startswith("mapped-")]
    assert sorted(backup["name"] for backup in created) == sorted(f"mapped-{n}" for n in range(15))
    assert {backup["status"] for backup in created} == {"Ready"}
    assert run_case(airflow, emulator, Case("triggerer", planned())).final_state() == "success"
    assert "out of order" not in (HOME / "airflow.out").read_text(errors="replace")


@on_runs("timeout", "execution_timeout", steps=finish_in_the_second_try)
def test_retry_after_a_timeout_waits_for_the_same_backup(run: Run) -> None:
    assert run.final_state() == "success"
    assert len(run.backups) == 1


@on_runs("delete_on_kill_worker", steps=mark_as_failed)
def test_task_marked_as_failed_in_the_worker_deletes_its_backup(run: Run) -> None:
    check_deleted(run)


@needs_on_kill
@on_runs("delete_on_kill_triggerer", steps=mark_as_failed)
def test_task_marked_as_failed_in_the_triggerer_deletes_its_backup(run: Run) -> None:
    check_deleted(run)


def check_deleted(run: Run) -> None:
    """Check that the backup of a failed task is deleted."""
    run.airflow.wait_until(lambda: not run.backups, TIMEOUT, "the backup to be deleted")
    assert run.final_state() == "failed"
