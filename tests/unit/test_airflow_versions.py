"""What the package knows of Airflow's versions and private names, for the versions that are not installed, too."""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from airflow_pinecone.runtime.airflow_versions import call_airflow, first_reschedule_at, is_trigger_timeout, task_state

pytestmark = pytest.mark.anyio

FIRST = datetime(2025, 6, 15, tzinfo=UTC)


async def test_call_airflow_runs_the_function_in_a_thread_and_its_calls_in_the_event_loop() -> None:
    """Airflow 3.0 to 3.2.1 stop the triggerer if a thread and the event loop read the same socket."""

    async def ask_supervisor() -> threading.Thread:
        return threading.current_thread()

    def read_connection() -> tuple[threading.Thread, threading.Thread]:
        return threading.current_thread(), async_to_sync(ask_supervisor)()

    in_thread, in_loop = await call_airflow(read_connection)
    assert in_thread is not threading.current_thread()
    assert in_loop is threading.current_thread()


async def test_call_airflow_raises_what_the_function_raises() -> None:
    def read_connection() -> None:
        raise LookupError("no such connection")

    with pytest.raises(LookupError, match="no such connection"):
        await call_airflow(read_connection)


async def test_call_airflow_keeps_the_message_of_a_cancellation() -> None:
    """By the message Airflow recognizes that a user ended the task."""
    started, finish = threading.Event(), threading.Event()

    def read_connection() -> None:
        started.set()
        finish.wait(10)

    task = asyncio.ensure_future(call_airflow(read_connection))
    try:
        assert await asyncio.to_thread(started.wait, 10)
        task.cancel("ended by a user")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    finally:
        finish.set()
    assert caught.value.args == ("ended by a user",)


@pytest.mark.parametrize("state", ["failed", "running", None])
def test_task_instance_of_airflow_2_knows_its_state(state: str | None) -> None:
    assert task_state(SimpleNamespace(current_state=lambda: state)) == state


@pytest.mark.parametrize("first", [FIRST, None])
def test_task_instance_of_airflow_3_knows_its_first_reschedule(first: datetime | None) -> None:
    context: Any = {"ti": SimpleNamespace(get_first_reschedule_date=lambda context: first)}
    assert first_reschedule_at(context, first_try=3) == first


@pytest.mark.parametrize("first", [FIRST, None])
def test_first_reschedule_since_the_last_clear_is_queried_in_airflow_2(
    monkeypatch: pytest.MonkeyPatch, first: datetime | None
) -> None:
    queries: list[dict[str, Any]] = []

    def query(**values: Any) -> datetime | None:
        queries.append(values)
        return first

    monkeypatch.setitem(sys.modules, "airflow.sensors.base", SimpleNamespace(_orig_start_date=query))
    ids = {"dag_id": "etl", "task_id": "wait", "run_id": "manual__1", "map_index": 7}
    context: Any = {"ti": SimpleNamespace(**ids, try_number=5)}
    assert first_reschedule_at(context, first_try=4) == first
    assert queries == [{**ids, "try_number": 4}]


@pytest.mark.parametrize(
    ("next_method", "next_kwargs", "expected"),
    [
        ("__fail__", {"error": "Trigger timeout"}, True),
        ("__fail__", {"error": "Trigger failure"}, False),
        ("__fail__", {}, False),
        ("__fail__", None, False),
        ("execute_complete", {"error": "Trigger timeout"}, False),
    ],
)
def test_trigger_timeout_is_recognized(next_method: str, next_kwargs: dict[str, Any] | None, expected: bool) -> None:
    assert is_trigger_timeout(next_method, next_kwargs) is expected
