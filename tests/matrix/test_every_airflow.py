"""What `make matrix-real` runs on each supported Airflow: every way to wait, in real Airflow processes."""

from __future__ import annotations

from concurrent.futures import Future, wait
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger
from chaos.side_by_side import TIMEOUT, Case, finish_in_the_second_try, mark_as_failed, on_runs, planned, run_case
from local_airflow import LocalAirflow
from support.real_airflow import HOME, Run

from airflow_pinecone.emulator import Emulator

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


def test_fifteen_deferred_tasks_at_once_and_another_run_after_them(
    airflow: LocalAirflow, emulator: Emulator, runs: dict[Any, Future[Run]]
) -> None:
    """A triggerer that has stopped can still send heartbeats. Only another run shows that it works."""
    wait(runs.values())
    assert run_case(airflow, emulator, Case("mapped", planned())).final_state() == "success"
    created = [backup for backup in emulator.backups if (backup["name"] or "").startswith("mapped-")]
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
