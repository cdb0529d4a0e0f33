"""What becomes of an unfinished backup when its task is told to end, and who told it so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from conftest import API_KEY
from running import AIRFLOW_2, TaskInstance, Time, make

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeError
from airflow_pinecone.operators import CreateBackupOperator

Kill = Callable[..., str]


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None) -> None:
    emulator.clock = time


@pytest.fixture(params=["worker"] if AIRFLOW_2 else ["worker", "triggerer"])  # Airflow 2 tells no trigger.
def kill(
    request: pytest.FixtureRequest,
    emulator: Emulator,
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Kill:
    """Tell a task to end while it waits, when Airflow says that its state is this one; return what it logs."""

    def kill(state: Any, *, delete_on_kill: bool = True, map_index: int = -1, finished: str | None = None) -> str:
        emulator.next_backup(ends="never")
        ti = TaskInstance(map_index=map_index)
        let_airflow_say(monkeypatch, ti, state)
        task = make(
            CreateBackupOperator,
            index_name="docs-example",
            wait_for_completion=True,
            deferrable=request.param == "triggerer",
            delete_on_kill=delete_on_kill,
            timeout=100,
        )

        def finish() -> None:
            if finished:
                emulator.finish(emulator.backups[0]["backup_id"], finished)

        caplog.set_level("INFO")
        if request.param == "triggerer":
            with pytest.raises(TaskDeferred) as caught:
                task.execute(ti.context)
            caught.value.trigger._task_instance = ti
            finish()
            asyncio.run(caught.value.trigger.on_kill())
        else:
            # As a signal handler does it: in the middle of the wait.
            sleep, told = time.sleep, []

            def killed(seconds: float) -> None:
                if not told:
                    finish()
                    told.append(task.on_kill())
                sleep(seconds)

            monkeypatch.setattr(time, "sleep", killed)
            with suppress(PineconeError):
                task.execute(ti.context)
            assert told
        return capsys.readouterr().out + caplog.text

    return kill


def let_airflow_say(monkeypatch: pytest.MonkeyPatch, ti: TaskInstance, state: Any) -> None:
    """Let Airflow answer that this is the state of the task instance, or raise it."""

    def say() -> Any:
        if isinstance(state, Exception):
            raise state
        return state

    if AIRFLOW_2:
        monkeypatch.setattr(ti, "current_state", say, raising=False)
        return
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    def states(dag_id: str, map_index: int, task_ids: list[str], run_ids: list[str]) -> Any:
        assert (dag_id, task_ids, run_ids, map_index) == (ti.dag_id, [ti.task_id], [ti.run_id], ti.map_index)
        name = ti.task_id if map_index < 0 else f"{ti.task_id}_{map_index}"
        return {ti.run_id: {name: say()}}

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(states))


@pytest.mark.parametrize("map_index", [-1, 7])
def test_an_unfinished_backup_of_a_task_that_was_marked_failed_goes(
    emulator: Emulator, kill: Kill, map_index: int
) -> None:
    said = kill("failed", map_index=map_index)
    assert emulator.backups == []
    assert "Deleted backup" in said
    assert API_KEY not in said


@pytest.mark.parametrize(
    "state", ["running", "deferred", "up_for_retry", "queued", "restarting", "success", "skipped", "removed", None]
)
def test_it_stays_when_nobody_marked_the_task_failed(emulator: Emulator, kill: Kill, state: str | None) -> None:
    said = kill(state)
    assert [b["status"] for b in emulator.backups] == ["Initializing"]
    assert f"nobody marked it failed; Airflow says {state}" in said


@pytest.mark.parametrize("error", [RuntimeError("the API server is gone"), KeyError("backup")])
def test_it_stays_when_airflow_does_not_say(emulator: Emulator, kill: Kill, error: Exception) -> None:
    said = kill(error)
    assert len(emulator.backups) == 1
    assert "Airflow did not say" in said


def test_it_stays_unless_asked_for(emulator: Emulator, kill: Kill) -> None:
    said = kill("failed", delete_on_kill=False)
    assert len(emulator.backups) == 1
    assert "stays in Pinecone" in said


@pytest.mark.parametrize("status", ["Ready", "Failed"])
def test_a_finished_backup_stays(emulator: Emulator, kill: Kill, status: str) -> None:
    said = kill("failed", finished=status)
    assert len(emulator.backups) == 1
    assert f"stays in Pinecone: it is {status}" in said


def test_a_refused_deletion_says_so(emulator: Emulator, kill: Kill) -> None:
    emulator.fault("DELETE", "/backups/*", status=412, times=None)
    assert "stays in Pinecone, as far as is known: Could not delete backup" in kill("failed")


@pytest.mark.parametrize("kill", ["worker"], indirect=True)  # In the triggerer Airflow bounds it.
def test_a_kill_is_over_in_time_though_pinecone_hangs(
    emulator: Emulator, kill: Kill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_pinecone.kills._PATIENCE", 0.2)
    fault = emulator.fault("DELETE", "/backups/*", hang="before")
    before = set(threading.enumerate())
    kill("failed")
    fault.wait()
    left = set(threading.enumerate()) - before
    assert left
    fault.release()
    for thread in left:
        thread.join(10)
