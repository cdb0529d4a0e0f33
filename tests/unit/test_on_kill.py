"""Whether an unfinished backup is deleted when its task is ended while it waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import BaseTrigger
from support.clock import FakeClock
from support.constants import API_KEY, INDEX
from support.tasks import TaskInstance, make_task

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeError
from airflow_pinecone.operators import CreateBackupOperator

try:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
except ImportError:  # Airflow 2
    RuntimeTaskInstance = None  # type: ignore[assignment, misc]

DELETE = ("DELETE", "/backups/*")


class Kill(Protocol):
    """End a task while it waits."""

    def __call__(
        self, state: Any, *, delete_on_kill: bool = True, map_index: int = -1, finished: str | None = None
    ) -> str:
        """End the task, and return the log.

        Args:
            state: The state that Airflow has stored for the task, or the exception that it raises instead.
            delete_on_kill: The argument of the operator.
            map_index: The index of the mapped task.
            finished: The final status that the backup gets immediately before.
        """


def store_state(monkeypatch: pytest.MonkeyPatch, ti: TaskInstance, state: Any) -> None:
    """Let Airflow return a state for a task instance, or raise an exception."""

    def current_state() -> Any:
        if isinstance(state, Exception):
            raise state
        return state

    def get_task_states(dag_id: str, map_index: int, task_ids: list[str], run_ids: list[str]) -> Any:
        assert (dag_id, task_ids, run_ids, map_index) == (ti.dag_id, [ti.task_id], [ti.run_id], ti.map_index)
        name = ti.task_id if map_index < 0 else f"{ti.task_id}_{map_index}"
        return {ti.run_id: {name: current_state()}}

    if RuntimeTaskInstance is None:
        monkeypatch.setattr(ti, "current_state", current_state, raising=False)
    else:
        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))


# Airflow before 3.3 does not tell a trigger that its task was killed.
@pytest.fixture(params=["worker", "triggerer"] if hasattr(BaseTrigger, "on_kill") else ["worker"])
def kill(
    request: pytest.FixtureRequest,
    world: Emulator,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> Kill:
    """End a task that waits for an unfinished backup: `kill("failed")`."""
    is_deferred = request.param == "triggerer"

    def kill(state: Any, *, delete_on_kill: bool = True, map_index: int = -1, finished: str | None = None) -> str:
        world.next_backup(backup_ends="never")
        ti = TaskInstance(map_index=map_index)
        store_state(monkeypatch, ti, state)
        arguments = {"index_name": INDEX, "wait_for_completion": True, "deferrable": is_deferred, "timeout": 100}
        # A hold does not protect an unfinished backup of the task itself.
        arguments["hold_until"] = 3600
        task = make_task(CreateBackupOperator, clock, delete_on_kill=delete_on_kill, **arguments)

        def finish() -> None:
            if finished:
                world.finish_backup(world.backups[0]["backup_id"], finished)

        def on_kill(seconds: float) -> None:
            clock.on_sleep = None
            finish()
            task.on_kill()

        if is_deferred:
            with pytest.raises(TaskDeferred) as caught:
                task.execute(ti.context)
            caught.value.trigger.task_instance = ti
            finish()
            asyncio.run(caught.value.trigger.on_kill())
        else:
            # A signal handler calls on_kill in the middle of the wait.
            clock.on_sleep = on_kill
            with suppress(PineconeError):
                task.execute(ti.context)
            assert clock.on_sleep is None
        return logged()

    return kill


@pytest.mark.parametrize("map_index", [-1, 7])
def test_unfinished_backup_of_a_task_that_was_marked_failed_is_deleted(
    world: Emulator, kill: Kill, map_index: int
) -> None:
    log = kill("failed", map_index=map_index)
    assert world.backups == []
    assert "Deleted backup" in log
    assert API_KEY not in log


@pytest.mark.parametrize(
    "state", ["running", "deferred", "up_for_retry", "queued", "restarting", "success", "skipped", "removed", None]
)
def test_backup_is_kept_if_airflow_did_not_mark_the_task_as_failed(
    world: Emulator, kill: Kill, state: str | None
) -> None:
    log = kill(state)
    (backup,) = world.backups
    assert backup["status"] == "Initializing"
    assert f"{backup['backup_id']} is kept" in log
    assert f"state is {state}" in log


@pytest.mark.parametrize("error", [RuntimeError("the API server is down"), KeyError("backup")], ids=repr)
def test_backup_is_kept_if_airflow_does_not_return_the_state(world: Emulator, kill: Kill, error: Exception) -> None:
    log = kill(error)
    (backup,) = world.backups
    assert f"{backup['backup_id']} is kept" in log
    assert type(error).__name__ in log


def test_backup_is_kept_without_delete_on_kill(world: Emulator, kill: Kill) -> None:
    log = kill("failed", delete_on_kill=False)
    (backup,) = world.backups
    assert f"{backup['backup_id']} is kept" in log


@pytest.mark.parametrize("status", ["Ready", "Failed"])
def test_finished_backup_is_kept(world: Emulator, kill: Kill, status: str) -> None:
    log = kill("failed", finished=status)
    (backup,) = world.backups
    assert f"{backup['backup_id']} is kept: its status is {status}" in log


def test_rejected_deletion_is_logged(world: Emulator, kill: Kill) -> None:
    world.fault(*DELETE, status=412, times=None)
    log = kill("failed")
    (backup,) = world.backups
    assert f"{backup['backup_id']} could not be deleted" in log
    assert "HTTP 412" in log


def test_nothing_is_deleted_before_a_backup_is_created(world: Emulator, clock: FakeClock) -> None:
    make_task(CreateBackupOperator, clock, index_name=INDEX, delete_on_kill=True).on_kill()
    assert world.requests == []


@pytest.mark.parametrize("kill", ["worker"], indirect=True)  # In the triggerer Airflow limits the time.
def test_on_kill_returns_in_time_although_pinecone_does_not_respond(
    world: Emulator, kill: Kill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_pinecone.runtime.on_kill._SECONDS_BEFORE_SIGKILL", 0.2)
    fault = world.fault(*DELETE, hang="before")
    before = set(threading.enumerate())
    kill("failed")
    fault.wait()
    left = set(threading.enumerate()) - before
    assert left
    fault.release()
    for thread in left:
        thread.join(10)
        assert not thread.is_alive()
    assert world.backups == []
