"""BackupSensor, except for how its waits end: that is in test_wait_outcomes.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    TaskDeferred,
)
from support.clock import FakeClock
from support.constants import CONN_ID, INDEX
from support.tasks import TaskInstance, make_task, run_try, sensor_loop

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import InvalidWaitResult, PineconeInputError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.sensors import BackupSensor

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferred": {"deferrable": True},
}


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MODES[request.param]


@pytest.fixture
def running(world: Emulator) -> str:
    """The id of a backup that stays Initializing."""
    return create_backup(world, backup_ends="never")


def create_backup(emulator: Emulator, **lifecycle: Any) -> str:
    emulator.next_backup(**lifecycle)
    return PineconeHook().create_backup(INDEX)["backup_id"]


def test_pokes_of_one_process_share_a_connection(world: Emulator, clock: FakeClock) -> None:
    backup_id = create_backup(world, ready_after=60)
    assert run_try(make_task(BackupSensor, clock, backup_id=backup_id), TaskInstance()).state == "success"
    polls = world.requests[1:]
    assert len(polls) > 3
    assert len({exchange.peer for exchange in polls}) == 1


def test_poke_sends_one_request(world: Emulator, clock: FakeClock, running: str, mode: dict[str, Any]) -> None:
    world.fault("GET", "/backups/*", status=503)
    before = len(world.requests)
    task, ti = make_task(BackupSensor, clock, backup_id=running, **mode), TaskInstance()
    with sensor_loop(clock, ti):
        assert task.poke(ti.context) is False
    assert len(world.requests) == before + 1


def test_failed_backup_names_the_newest_one_that_can_be_restored(
    world: Emulator, clock: FakeClock, mode: dict[str, Any]
) -> None:
    older = world.add_backup(INDEX, age=2 * 3600, record_count=98_000)
    world.add_backup(INDEX, age=3600, record_count=0)
    world.next_backup(fails=True, ready_after=60)
    backup_id = PineconeHook().create_backup(INDEX)["backup_id"]
    outcome = run_try(make_task(BackupSensor, clock, backup_id=backup_id, **mode), TaskInstance())
    assert outcome.state == "failed"
    *_, restorable, ids = outcome.message.splitlines()
    assert restorable.startswith(f"You can still restore backup {older['backup_id']} of ")
    assert backup_id in ids


@pytest.mark.parametrize("backup_id", ["", None, "None", "a/b", "..", "x\ny", "None ", "x" * 200])
def test_invalid_id_fails_the_task_before_any_request(
    world: Emulator, clock: FakeClock, mode: dict[str, Any], backup_id: Any
) -> None:
    outcome = run_try(make_task(BackupSensor, clock, backup_id=backup_id, soft_fail=True, **mode), TaskInstance())
    assert outcome.state == "failed"
    assert type(outcome.error) is AirflowFailException
    assert isinstance(outcome.error.__context__, PineconeInputError)
    assert "backup id" in outcome.message
    assert world.requests == []


def test_rescheduled_pokes_are_at_least_a_minute_apart(clock: FakeClock, running: str) -> None:
    run_try(make_task(BackupSensor, clock, backup_id=running, mode="reschedule", timeout=1200), TaskInstance())
    assert len(clock.slept) >= 19
    assert min(clock.slept) == pytest.approx(60)


@pytest.mark.parametrize("mode", ["poke", "deferred"], indirect=True)
def test_poke_interval_is_used(clock: FakeClock, running: str, mode: dict[str, Any]) -> None:
    interval = timedelta(seconds=50)
    run_try(
        make_task(BackupSensor, clock, backup_id=running, poke_interval=interval, timeout=500, **mode), TaskInstance()
    )
    assert clock.slept == [50.0] * 10


@pytest.mark.parametrize(("soft_fail", "state"), [(False, "failed"), (True, "skipped")])
def test_execution_timeout_during_a_pause_is_a_timeout(
    clock: FakeClock, running: str, soft_fail: bool, state: str
) -> None:
    """In poke mode Airflow raises AirflowTaskTimeout from a signal handler."""

    def time_out(seconds: float) -> None:
        raise AirflowTaskTimeout("Timeout, PID: 1")

    clock.on_sleep = time_out
    arguments = {"soft_fail": soft_fail, "execution_timeout": timedelta(hours=1)}
    outcome = run_try(make_task(BackupSensor, clock, backup_id=running, **arguments), TaskInstance())
    assert outcome.state == state
    assert running in outcome.message
    assert "execution_timeout" in outcome.message


@pytest.mark.parametrize("soft_fail", [False, True])
def test_failed_trigger_fails_the_try(clock: FakeClock, running: str, soft_fail: bool) -> None:
    task = make_task(BackupSensor, clock, backup_id=running, deferrable=True, soft_fail=soft_fail)
    failure = {"error": "Trigger failure", "traceback": ["Boom"]}
    with pytest.raises(Exception, match="Trigger failure") as caught:
        task.resume_execution("__fail__", failure, TaskInstance().context)
    assert type(caught.value).__name__ == "TaskDeferralError"


@pytest.mark.parametrize("soft_fail", [False, True])
def test_malformed_event_fails_the_try(clock: FakeClock, running: str, soft_fail: bool) -> None:
    task = make_task(BackupSensor, clock, backup_id=running, deferrable=True, soft_fail=soft_fail)
    with pytest.raises(InvalidWaitResult):
        task.resume_execution("execute_complete", {"event": {"end": "succeeded"}}, TaskInstance().context)


def test_trigger_that_returns_no_event_in_time_is_a_timeout(clock: FakeClock, running: str) -> None:
    task = make_task(BackupSensor, clock, backup_id=running, deferrable=True)
    with pytest.raises(AirflowSensorTimeout, match=running):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, TaskInstance().context)


def test_backup_that_is_ready_is_returned_without_a_deferral(world: Emulator, clock: FakeClock) -> None:
    backup_id = create_backup(world, ready_after=0)
    task = make_task(BackupSensor, clock, backup_id=backup_id, deferrable=True)
    assert task.execute(TaskInstance().context)["backup_id"] == backup_id


def test_deferral_polls_once_before(world: Emulator, clock: FakeClock, running: str) -> None:
    before = len(world.requests)
    with pytest.raises(TaskDeferred):
        make_task(BackupSensor, clock, backup_id=running, deferrable=True).execute(TaskInstance().context)
    assert len(world.requests) == before + 1


@pytest.mark.parametrize("lifecycle", [{"fails": True}, {"backup_ends": "never"}], ids=["failed", "timed out"])
def test_never_fail_skips_the_task(
    world: Emulator, clock: FakeClock, mode: dict[str, Any], lifecycle: dict[str, Any]
) -> None:
    backup_id = create_backup(world, **lifecycle)
    task = make_task(BackupSensor, clock, backup_id=backup_id, never_fail=True, timeout=600, **mode)
    assert run_try(task, TaskInstance()).state == "skipped"


def test_rejected_key_fails_the_task_without_retry(
    world: Emulator, clock: FakeClock, running: str, mode: dict[str, Any]
) -> None:
    world.api_key = "another-key-987654"
    outcome = run_try(make_task(BackupSensor, clock, backup_id=running, **mode), TaskInstance())
    assert type(outcome.error) is AirflowFailException
    assert "HTTP 401" in outcome.message
    assert CONN_ID in outcome.message


def test_exponential_backoff_is_refused() -> None:
    with pytest.raises(ValueError, match="exponential_backoff"):
        BackupSensor(task_id="wait", backup_id="b-1", exponential_backoff=True)


@pytest.mark.parametrize("argument", ["poke_interval", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True])
def test_invalid_duration_is_refused(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=argument):
        BackupSensor(task_id="wait", backup_id="b-1", **{argument: value})


def test_timeout_is_six_hours_by_default() -> None:
    assert BackupSensor(task_id="wait", backup_id="b-1").timeout == 6 * 3600
    assert BackupSensor(task_id="wait", backup_id="b-1", timeout=timedelta(minutes=5)).timeout == 300


def test_template_fields() -> None:
    assert tuple(BackupSensor.template_fields) == ("backup_id", "conn_id")
