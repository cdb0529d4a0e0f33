"""The trigger: what Airflow stores of it, and what it does when the triggerer starts it again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred
from support.clients import set_connection
from support.clock import FakeClock
from support.constants import API_KEY, CONN_ID, CONNECTION_VARIABLE, INDEX
from support.tasks import TaskInstance, make_task, run_trigger

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import InvalidWaitResult, PineconeInputError, WaitTimeout
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.sensors import BackupSensor, RestoreJobSensor
from airflow_pinecone.triggers import WaitTrigger

pytestmark = pytest.mark.anyio

TASKS = ["operator", "sensor"]


def make_deferrable(cls: str, clock: FakeClock, **arguments: Any) -> Any:
    """Create a task that waits for a backup of docs-example in the triggerer."""
    if cls == "operator":
        arguments |= {"index_name": INDEX, "wait_for_completion": True}
        return make_task(CreateBackupOperator, clock, deferrable=True, **arguments)
    backup_id = PineconeHook().create_backup(INDEX)["backup_id"]
    return make_task(BackupSensor, clock, backup_id=backup_id, deferrable=True, **arguments)


def defer(task: Any) -> TaskDeferred:
    """Run a task until it defers, and return what it gives to Airflow."""
    with pytest.raises(TaskDeferred) as caught:
        task.execute(TaskInstance().context)
    return caught.value


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest, world: Emulator, clock: FakeClock) -> Any:
    """A task whose backup takes 1000 seconds."""
    world.next_backup(ready_after=1000)
    return make_deferrable(request.param, clock)


def test_stored_arguments_are_these_and_contain_no_key(task: Any, world: Emulator, clock: FakeClock) -> None:
    started_at = clock.now
    deferred = defer(task)
    path, arguments = deferred.trigger.serialize()
    assert path == "airflow_pinecone.triggers.WaitTrigger"
    assert arguments == {
        "conn_id": CONN_ID,
        "control_plane": world.url,
        "fingerprint": PineconeHook().settings.fingerprint,
        "delete_on_kill": False,
        "resource_type": "backup",
        "resource_id": world.backups[0]["backup_id"],
        "started_at": started_at,
        "deadline_at": started_at + 6 * 3600,
        "poke_interval": None,
        "by_execution_timeout": False,
        "max_age": None,
        "since": None,
        "index_name": INDEX,
        "expected_count": None,
    }
    assert API_KEY not in json.dumps([path, arguments, deferred.kwargs])


@pytest.mark.parametrize("cls", TASKS)
def test_poke_interval_is_stored_and_used(world: Emulator, clock: FakeClock, cls: str) -> None:
    world.next_backup(ready_after=100)
    deferred = defer(make_deferrable(cls, clock, poke_interval=30))
    assert deferred.trigger.serialize()[1]["poke_interval"] == 30.0
    run_trigger(deferred.trigger, clock)
    assert clock.slept == [30.0] * 4


@pytest.mark.parametrize(
    "changes",
    [
        {"resource_type": "index"},
        {"resource_type": "restore", "delete_on_kill": True},
        {"started_at": None},
        {"deadline_at": "soon"},
        {"poke_interval": "30"},
        {"resource_type": "freshness"},
        {"max_age": 60.0},
        {"since": 60.0},
        {"resource_type": "schedule"},
        {"resource_type": "schedule", "since": "2026-07-01"},
        {"by_execution_timeout": "no"},
        {"index_name": 1},
        {"resource_type": "freshness", "max_age": 0},
    ],
    ids=str,
)
def test_invalid_stored_arguments_are_refused(changes: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"resource_type": "backup", "resource_id": "b-1", "started_at": 1.0, "deadline_at": 2.0}
    assert WaitTrigger(conn_id=CONN_ID, **arguments).spec.poke_interval is None
    with pytest.raises(PineconeInputError):
        WaitTrigger(conn_id=CONN_ID, **{**arguments, **changes})


def test_backup_that_became_ready_while_the_triggerer_was_down_is_returned(
    task: Any, world: Emulator, clock: FakeClock
) -> None:
    deferred = defer(task)
    clock.advance(24 * 3600)
    assert run_trigger(deferred.trigger, clock) == {"model": world.backups[0], "error": None}
    assert sum(clock.slept) == 0


def test_trigger_does_not_return_its_event_at_once(task: Any, world: Emulator, clock: FakeClock) -> None:
    """Airflow's scheduler would treat the try as failed."""
    deferred = defer(task)
    world.finish_backup(deferred.trigger.spec.resource_id)
    before = len(world.requests)
    assert run_trigger(deferred.trigger, clock)["model"]["status"] == "Ready"
    assert clock.slept == [5.0]
    assert len(world.requests) == before + 1


def test_deadline_that_passed_while_the_triggerer_was_down_ends_the_wait(world: Emulator, clock: FakeClock) -> None:
    world.next_backup(backup_ends="never")
    trigger = WaitTrigger(
        conn_id=CONN_ID,
        resource_type="backup",
        resource_id=PineconeHook().create_backup(INDEX)["backup_id"],
        started_at=clock.now - 7200,
        deadline_at=clock.now - 3600,
    )
    assert run_trigger(trigger, clock)["error"]["type"] == "WaitTimeout"
    assert sum(clock.slept) == 0


def test_arguments_of_the_previous_release_are_read(world: Emulator, clock: FakeClock) -> None:
    """They have no fingerprint: any key is used."""
    arguments = {
        "conn_id": CONN_ID,
        "control_plane": world.url,
        "delete_on_kill": False,
        "resource_type": "backup",
        "resource_id": world.add_backup(INDEX)["backup_id"],
        "started_at": clock.now,
        "deadline_at": clock.now + 3600,
        "poke_interval": None,
    }
    assert run_trigger(WaitTrigger(**arguments), clock)["model"] == world.backups[0]


def resume(task: Any, deferred: TaskDeferred, event: Any) -> Any:
    """Resume a task in another process, as Airflow does with the event of its trigger."""
    arguments = {**(deferred.kwargs or {}), "event": event}
    return task.recreate().resume_execution(deferred.method_name, arguments, TaskInstance().context)


@pytest.mark.parametrize("another", ["key", "host", "none"])
def test_wait_continues_in_the_worker_if_the_triggerer_has_another_connection(
    task: Any,
    world: Emulator,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
    another: str,
) -> None:
    """With multi-team, the triggerer does not know the team of a task, and reads the connection without a team."""
    deferred = defer(task)
    before = len(world.requests)
    with monkeypatch.context() as triggerer:
        if another == "none":
            triggerer.delenv(CONNECTION_VARIABLE)
        elif another == "key":
            set_connection(triggerer, host=world.url, password="key-of-another-team")
        else:
            set_connection(triggerer, host="https://api.pinecone.io")
        event = run_trigger(deferred.trigger, clock)
    assert len(world.requests) == before
    assert API_KEY not in json.dumps(event)
    assert resume(task, deferred, event) == world.backups[0]
    assert f"The triggerer cannot use connection {CONN_ID} of this task" in logged()


def test_worker_polls_at_the_deadline_if_the_triggerer_has_no_connection(
    world: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.next_backup(ready_after=20)
    task = make_deferrable("operator", clock, timeout=30)
    deferred = defer(task)
    with monkeypatch.context() as triggerer:
        triggerer.delenv(CONNECTION_VARIABLE)
        event = run_trigger(deferred.trigger, clock)
    assert resume(task, deferred, event) == world.backups[0]


def test_wait_in_the_worker_keeps_its_deadline(
    world: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.next_backup(backup_ends="never")
    task = make_deferrable("operator", clock, timeout=1000)
    started_at = clock.now
    deferred = defer(task)
    with monkeypatch.context() as triggerer:
        set_connection(triggerer, host=world.url, password="key-of-another-team")
        event = run_trigger(deferred.trigger, clock)
    clock.advance(500)
    with pytest.raises(WaitTimeout):
        resume(task, deferred, event)
    assert clock.now - started_at == pytest.approx(1000)


def test_task_is_deferred_again_if_the_key_was_replaced(
    task: Any, world: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    deferred = defer(task)
    world.api_key = "a-new-key"
    set_connection(monkeypatch, host=world.url, password="a-new-key")
    with pytest.raises(TaskDeferred) as caught:
        resume(task, deferred, run_trigger(deferred.trigger, clock))
    again = caught.value.trigger
    before, after = deferred.trigger.serialize()[1], again.serialize()[1]
    assert after == {**before, "fingerprint": PineconeHook().settings.fingerprint}
    assert after != before
    assert resume(task, caught.value, run_trigger(again, clock)) == world.backups[0]


def test_name_that_is_invalid_in_a_response_is_no_reason_to_wait_again(world: Emulator, clock: FakeClock) -> None:
    job = {"restore_job_id": "r-1", "backup_id": "b-1", "target_index_name": "docs", "status": "Pending"}
    world.fault("GET", "/restore-jobs/*", status=200, body=job)
    world.fault(
        "GET", "/restore-jobs*", status=200, body=job | {"target_index_name": "x_y", "status": "Completed"}, times=9
    )
    with pytest.raises(TaskDeferred) as deferred:
        make_task(RestoreJobSensor, clock, restore_job_id="r-1", deferrable=True).execute(TaskInstance().context)
    invalid = job | {"target_index_name": "x_y", "status": "Completed"}
    world.fault("GET", "/restore-jobs/*", status=200, body=invalid, times=None)
    event = run_trigger(deferred.value.trigger, clock)
    assert (event["error"]["type"], "trigger" in event) == ("PineconeInputError", False)


def test_task_fails_if_its_own_connection_names_another_host(
    task: Any, world: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    deferred = defer(task)
    set_connection(monkeypatch, host="https://api.pinecone.io")
    with pytest.raises(AirflowFailException, match="now names the control plane"):
        resume(task, deferred, run_trigger(deferred.trigger, clock))


@pytest.mark.parametrize("trigger", [None, {}, {"conn_id": CONN_ID, "resource_type": "index"}], ids=str)
def test_malformed_arguments_in_an_event_fail_the_try(task: Any, trigger: Any) -> None:
    deferred = defer(task)
    error = {"type": "ConnectionChanged", "text": "another connection", "status_code": None}
    with pytest.raises(InvalidWaitResult):
        resume(task, deferred, {"model": None, "error": error, "trigger": trigger})


def test_airflow_ends_a_deferral_without_an_event_after_the_deadline(task: Any) -> None:
    deferred = defer(task)
    assert deferred.timeout is not None
    assert 6 * 3600 < deferred.timeout.total_seconds() <= 6 * 3600 + 300


@pytest.mark.parametrize("event", [None, {}, {"end": "succeeded"}, {"model": None, "error": None}], ids=str)
def test_malformed_event_fails_the_try(task: Any, event: Any) -> None:
    deferred = defer(task)
    with pytest.raises(InvalidWaitResult):
        task.recreate().resume_execution(deferred.method_name, {"event": event}, TaskInstance().context)


@pytest.mark.parametrize("cls", TASKS)
def test_retry_ignores_the_event_of_an_earlier_try(world: Emulator, clock: FakeClock, cls: str) -> None:
    """Airflow 3.0 resumes a retry of a deferred task with the event of the first try (apache/airflow#56704)."""
    world.next_backup(backup_ends="never")
    ti = TaskInstance()
    task = make_deferrable(cls, clock)
    deferred = defer(task)
    arguments = {**(deferred.kwargs or {}), "event": run_trigger(deferred.trigger, clock)}
    with pytest.raises((WaitTimeout, AirflowSensorTimeout)):
        task.recreate().resume_execution(deferred.method_name, arguments, ti.context)
    world.finish_backup(deferred.trigger.spec.resource_id)
    ti.retry()
    assert task.recreate().resume_execution(deferred.method_name, arguments, ti.context) == world.backups[0]
    assert len(world.backups) == 1


async def test_on_kill_logs_that_the_backup_is_kept(task: Any, world: Emulator, logged: Callable[[], str]) -> None:
    trigger = defer(task).trigger
    before = len(world.requests)
    await trigger.on_kill()
    assert f"{trigger.spec.resource_id} is kept" in logged()
    assert len(world.requests) == before


async def test_waits_on_a_pinecone_that_does_not_respond_delay_nothing_else(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the waits of another connection, nor their own deadlines, nor other users of the event loop's threads."""
    monkeypatch.setattr("airflow_pinecone.waiting.drivers.SHARED_POLL_SECONDS", 1.0)
    monkeypatch.setattr("airflow_pinecone.waiting.drivers.LAST_POLL_SECONDS", 1.0)
    backup_id = emulator.add_backup(INDEX)["backup_id"]
    fault = emulator.fault("GET", "/backups/*", hang="before", times=None)

    def trigger(conn_id: str, url: str) -> WaitTrigger:
        value = {"conn_type": "pinecone", "host": url, "password": API_KEY}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(value))
        times: dict[str, Any] = {"started_at": now, "deadline_at": now + 1, "poke_interval": 0.01}
        return WaitTrigger(conn_id=conn_id, resource_type="backup", resource_id=backup_id, **times)

    async def event_of(trigger: WaitTrigger) -> tuple[Any, float]:
        started_at = time.monotonic()
        async for event in trigger.run():
            return event.payload, time.monotonic() - started_at
        raise AssertionError("a trigger has one event")

    now = time.time()
    with Emulator(api_key=API_KEY, indexes=[INDEX]) as other:
        other.control_plane.project.backups.update(emulator.control_plane.project.backups)
        try:
            tasks = [asyncio.create_task(event_of(trigger("hanging", emulator.url))) for _ in range(60)]
            while not fault.hits:
                await asyncio.sleep(0)  # noqa: TID251
            started_at = time.monotonic()
            await asyncio.to_thread(int)
            to_thread_seconds = time.monotonic() - started_at
            healthy = await event_of(trigger("healthy", other.url))
            hanging = [await task for task in tasks]
        finally:
            emulator.release()
    assert healthy[0]["model"]["status"] == "Ready"
    assert healthy[1] < 5
    assert to_thread_seconds < 5
    assert {event["error"]["type"] for event, _ in hanging} == {"WaitTimeout"}
    # The deadline, and the time that the last poll has. The request itself hangs for 30 s.
    assert max(seconds for _, seconds in hanging) < 10
