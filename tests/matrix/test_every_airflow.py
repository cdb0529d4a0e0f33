"""What `make matrix-real` runs on each supported Airflow: every way to wait, in real Airflow processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from airflow.triggers.base import BaseTrigger
from local_airflow import LocalAirflow
from support.real_airflow import HOME, Run

from airflow_pinecone.emulator import Emulator

Trigger = Callable[..., Run]
# Airflow 2.11 runs one task at a time on SQLite.
TIMEOUT = 240.0


@pytest.mark.parametrize("dag_id", ["worker", "triggerer", "settle", "secrets_backend"])
def test_backup_is_ready(trigger: Trigger, dag_id: str) -> None:
    run = trigger(dag_id)
    assert run.final_state(TIMEOUT) == "success"
    assert [backup["status"] for backup in run.backups] == ["Ready"]


@pytest.mark.parametrize("mode", ["deferred", "reschedule"])
def test_sensor_waits(trigger: Trigger, mode: str) -> None:
    run = trigger(f"sensor_{mode}")
    assert run.final_state(TIMEOUT) == "success"
    assert [backup["status"] for backup in run.backups] == ["Ready"]


def test_fifteen_deferred_tasks_at_once_and_another_run_after_them(
    airflow: LocalAirflow, emulator: Emulator, trigger: Trigger
) -> None:
    """A triggerer that has stopped can still send heartbeats. Only another run shows that it works."""
    run_id = airflow.trigger("mapped")
    assert airflow.wait_for_run("mapped", run_id, 2 * TIMEOUT) == "success"
    created = [backup for backup in emulator.backups if (backup["name"] or "").startswith("mapped-")]
    assert sorted(backup["name"] for backup in created) == sorted(f"mapped-{n}" for n in range(15))
    assert {backup["status"] for backup in created} == {"Ready"}
    assert trigger("triggerer").final_state(TIMEOUT) == "success"
    assert "out of order" not in (HOME / "airflow.out").read_text(errors="replace")


@pytest.mark.parametrize("dag_id", ["timeout", "execution_timeout"])
def test_retry_after_a_timeout_waits_for_the_same_backup(emulator: Emulator, trigger: Trigger, dag_id: str) -> None:
    run = trigger(dag_id, backup_ends="never")
    run.airflow.wait_until(lambda: run.task()["try_number"] == 2, TIMEOUT, "the second try")
    emulator.finish_backup(run.backups[0]["backup_id"])
    assert run.final_state(TIMEOUT) == "success"
    assert len(run.backups) == 1


@pytest.mark.parametrize(
    "waiter",
    [
        "worker",
        pytest.param(
            "triggerer",
            marks=pytest.mark.skipif(
                not hasattr(BaseTrigger, "on_kill"), reason="triggers of this Airflow have no on_kill"
            ),
        ),
    ],
)
def test_task_marked_as_failed_deletes_its_backup(trigger: Trigger, waiter: str) -> None:
    run = trigger(f"delete_on_kill_{waiter}", backup_ends="never")
    run.wait_for_state("running" if waiter == "worker" else "deferred", timeout=TIMEOUT)
    run.airflow.wait_until(lambda: "Waiting until" in run.log(), TIMEOUT, "the wait to start")
    run.set_state("failed")
    run.airflow.wait_until(lambda: not run.backups, TIMEOUT, "the backup to be deleted")
    assert run.final_state(TIMEOUT) == "failed"
