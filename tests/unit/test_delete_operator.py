"""DeleteBackupOperator: it succeeds if the backup does not exist, and waits while a restore from it is running."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from support.clock import FakeClock
from support.constants import INDEX
from support.emulator_client import Ask
from support.operators import methods
from support.tasks import Connect, Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeTransientError, WaitTimeout
from airflow_pinecone.operators import DeleteBackupOperator
from airflow_pinecone.rules.identity import Origin, describe

DELETE = ("DELETE", "/backups/*")
ORIGIN = Origin("etl", "manual__1", "backup", -1, "", 1)

pytestmark = pytest.mark.usefixtures("world")

Delete = Callable[..., Outcome]
StartRestore = Callable[[float], str]


@pytest.fixture
def backup_id(emulator: Emulator) -> str:
    """Return the id of a Ready backup."""
    return str(emulator.add_backup(INDEX, age=3600)["backup_id"])


@pytest.fixture
def start_restore(emulator: Emulator, ask: Ask, backup_id: str) -> StartRestore:
    """Start a restore from the backup that takes some seconds."""

    def start_restore(seconds: float) -> str:
        emulator.next_restore(restore_after=seconds)
        response = ask("POST", f"/backups/{backup_id}/create-index", json={"name": "restored"})
        emulator.requests.clear()
        return str(response.json()["restore_job_id"])

    return start_restore


@pytest.fixture
def delete(clock: FakeClock) -> Delete:
    """Run one try of the operator: `delete(backup_id, timeout=60)`."""

    def delete(backup_id: Any, ti: TaskInstance | None = None, **arguments: Any) -> Outcome:
        task = make_task(DeleteBackupOperator, clock, task_id="delete", backup_id=backup_id, **arguments)
        return run_try(task, ti or TaskInstance(task_id="delete"))

    return delete


def test_backup_is_deleted_with_two_requests(
    emulator: Emulator, delete: Delete, backup_id: str, clock: FakeClock
) -> None:
    outcome = delete(backup_id)
    assert outcome.state == "success"
    assert outcome.value == {"backup_id": backup_id, "deleted": True, "found": True}
    assert methods(emulator) == ["GET", "DELETE"]
    assert emulator.backups == []
    assert clock.slept == []


def test_backup_that_does_not_exist_is_a_success(delete: Delete, backup_id: str) -> None:
    delete(backup_id)
    outcome = delete(backup_id)
    assert outcome.state == "success"
    assert outcome.value == {"backup_id": backup_id, "deleted": True, "found": False}


def test_lost_response_is_a_success(emulator: Emulator, delete: Delete, backup_id: str) -> None:
    emulator.fault(*DELETE, drop="after")
    assert delete(backup_id).state == "success"
    assert methods(emulator) == ["GET", "DELETE", "DELETE"]
    assert emulator.backups == []


# A running restore


@pytest.mark.parametrize("seconds", [3, 60, 1000, 3500])
def test_task_waits_for_a_restore(
    emulator: Emulator, delete: Delete, backup_id: str, start_restore: StartRestore, clock: FakeClock, seconds: float
) -> None:
    start_restore(seconds)
    started_at = clock.now
    assert delete(backup_id).state == "success"
    assert emulator.backups == []
    delay = clock.now - started_at - seconds
    assert 0 <= delay <= min(max(5.0, seconds / 10), 60.0)
    assert len(emulator.requests) < 100


def test_wait_is_logged_once(
    emulator: Emulator, delete: Delete, backup_id: str, start_restore: StartRestore, logged: Callable[[], str]
) -> None:
    start_restore(600)
    delete(backup_id)
    lines = [line for line in logged().splitlines() if "Waiting until" in line]
    # Airflow 2 can log a message in two places.
    assert 1 <= len(lines) <= 2 < len(emulator.requests)
    assert all("HTTP 412" in line for line in lines)


def test_timeout_can_be_retried(
    emulator: Emulator, delete: Delete, backup_id: str, start_restore: StartRestore, clock: FakeClock
) -> None:
    start_restore(5000)
    started_at = clock.now
    ti = TaskInstance(task_id="delete")
    outcome = delete(backup_id, ti)
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", WaitTimeout)
    assert clock.now - started_at == pytest.approx(3600)
    assert all(fact in outcome.message for fact in (backup_id, "1:00:00", "HTTP 412", "timeout"))
    assert len(emulator.backups) == 1
    ti.retry()
    assert delete(backup_id, ti).state == "success"
    assert emulator.backups == []


@pytest.mark.parametrize(
    "limits",
    [
        {"timeout": 100},
        {"timeout": timedelta(seconds=100)},
        {"execution_timeout": timedelta(seconds=100)},
        {"timeout": 100, "execution_timeout": timedelta(seconds=600)},
    ],
    ids=str,
)
def test_shorter_timeout_ends_the_wait(
    delete: Delete, backup_id: str, start_restore: StartRestore, clock: FakeClock, limits: dict[str, Any]
) -> None:
    start_restore(5000)
    started_at = clock.now
    assert delete(backup_id, **limits).state == "up_for_retry"
    assert clock.now - started_at == pytest.approx(100)


def test_poke_interval_sets_the_time_between_attempts(
    delete: Delete, backup_id: str, start_restore: StartRestore, clock: FakeClock
) -> None:
    start_restore(100)
    delete(backup_id, poke_interval=timedelta(seconds=7))
    assert set(clock.slept) == {7.0}


def test_backup_that_someone_else_deletes_during_the_wait_is_a_success(
    emulator: Emulator, delete: Delete, backup_id: str, start_restore: StartRestore
) -> None:
    start_restore(5000)
    emulator.fault(*DELETE, nth=3, status=404)
    outcome = delete(backup_id)
    assert (outcome.state, outcome.value["found"]) == ("success", False)


# Errors


def test_key_that_is_replaced_while_a_restore_runs(
    emulator: Emulator, delete: Delete, backup_id: str, start_restore: StartRestore, clock: FakeClock, connect: Connect
) -> None:
    start_restore(60)

    def replace_key(_: float) -> None:
        emulator.api_key = "the-new-key"
        connect()

    clock.on_sleep = replace_key
    outcome = delete(backup_id)
    assert (outcome.state, outcome.value["found"]) == ("success", True)
    assert [exchange.status for exchange in emulator.requests].count(401) >= 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 422])
@pytest.mark.parametrize("requests", [["GET"], ["GET", "DELETE"], ["GET", "DELETE", "DELETE", "DELETE"]], ids=" ".join)
def test_rejected_request_fails_without_a_retry(
    emulator: Emulator, delete: Delete, backup_id: str, start_restore: StartRestore, status: int, requests: list[str]
) -> None:
    start_restore(5000)
    method = requests[-1]
    emulator.fault(method, "/backups/*", nth=requests.count(method), times=None, status=status)
    outcome = delete(backup_id)
    assert outcome.state == "failed"
    assert f"HTTP {status}" in outcome.message
    assert methods(emulator) == requests
    assert len(emulator.backups) == 1


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_request_that_fails_can_be_retried(emulator: Emulator, delete: Delete, backup_id: str, method: str) -> None:
    """While the backup cannot be described, its hold is unknown, so it is not deleted."""
    emulator.fault(method, "/backups/*", times=None, status=503)
    outcome = delete(backup_id)
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", PineconeTransientError)
    assert "HTTP 503" in outcome.message
    assert len(emulator.backups) == 1


# The arguments


def test_template_fields() -> None:
    assert tuple(DeleteBackupOperator.template_fields) == ("backup_id", "force", "conn_id")


@pytest.mark.parametrize("argument", ["poke_interval", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True])
def test_invalid_duration_is_an_error(delete: Delete, argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=argument):
        delete("b-1", **{argument: value})


# The hold


@pytest.fixture
def held_id(emulator: Emulator, clock: FakeClock) -> str:
    """Return the id of a Ready backup with a hold that ends in an hour."""
    description = describe(None, ORIGIN, (clock.utcnow() + timedelta(hours=1)).replace(microsecond=0))
    return str(emulator.add_backup(INDEX, age=3600, description=description)["backup_id"])


def test_held_backup_is_not_deleted(emulator: Emulator, delete: Delete, held_id: str, clock: FakeClock) -> None:
    end = clock.utcnow() + timedelta(hours=1)
    outcome = delete(held_id)
    assert outcome.state == "failed"
    assert held_id in outcome.message
    assert f"held until {end:%Y-%m-%d %H:%M:%S} UTC" in outcome.message
    assert "force=True" in outcome.message
    assert methods(emulator) == ["GET"]
    assert len(emulator.backups) == 1


def test_force_deletes_a_held_backup(emulator: Emulator, delete: Delete, held_id: str) -> None:
    outcome = delete(held_id, force=True)
    assert (outcome.state, outcome.value["found"]) == ("success", True)
    assert methods(emulator) == ["DELETE"]
    assert emulator.backups == []
    assert delete(held_id, force=True).value["found"] is False


def test_backup_is_deleted_after_its_hold(emulator: Emulator, delete: Delete, held_id: str, clock: FakeClock) -> None:
    clock.advance(3600)
    assert delete(held_id).state == "success"
    assert emulator.backups == []
