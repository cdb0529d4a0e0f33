"""Run operators, sensors and triggers as Airflow does, with a time that the test steps.

The parts of Airflow around them (scheduler, triggerer, database) are for tests/airflow; here a try is a call.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

try:
    from airflow.sdk.bases import sensor as sensor_base
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:  # Airflow 2
    from airflow.exceptions import AirflowRescheduleException
    from airflow.sensors import base as sensor_base

AIRFLOW_2 = hasattr(sensor_base, "_orig_start_date")
OURS = ("operators", "sensors", "triggers", "polling")


class Time:
    """Stands in for the module ``time`` (and the sleep of ``asyncio``): sleeping takes no time, but time passes."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()
        self.slept: list[float] = []
        self.first_reschedule: datetime | None = None
        # Seconds by which the time of day is set forward after the first sleep; time itself goes on evenly.
        self.step = 0.0

    def __call__(self) -> float:
        return self.now

    monotonic = __call__

    def time(self) -> float:
        return self.now + (self.step if self.slept else 0.0)

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        assert len(self.slept) < 5000, "this wait has no end"
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """A time that only sleeping moves, for our modules and for Airflow's sensor loop."""
    stepped = Time()

    async def sleep(seconds: float) -> None:
        stepped.sleep(seconds)

    for name in OURS:
        importlib.import_module(f"airflow_pinecone.{name}")
    for name, module in list(sys.modules.items()):
        package, _, rest = name.partition(".")
        if package == "airflow_pinecone" and rest.split(".")[0] in OURS and hasattr(module, "time"):
            monkeypatch.setattr(module, "time", stepped)
    polling = importlib.import_module("airflow_pinecone.polling")
    monkeypatch.setattr(polling, "asyncio", SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread))
    monkeypatch.setattr(sensor_base, "time", stepped)
    if AIRFLOW_2:
        monkeypatch.setattr(sensor_base, "_orig_start_date", lambda **_: stepped.first_reschedule)
    return stepped


@pytest.fixture
def connection(emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection pinecone_default leads to the emulator."""
    connect(monkeypatch, emulator)


def connect(monkeypatch: pytest.MonkeyPatch, emulator: Any, **extra: Any) -> None:
    """Let the connection pinecone_default lead to the emulator, with this in its extra."""
    value = {"conn_type": "pinecone", "host": emulator.url, "password": emulator.api_key, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_PINECONE_DEFAULT", json.dumps(value))


@dataclass
class TaskInstance:
    """One task instance over its tries: what Airflow keeps of it, and the context that a try is given."""

    task_id: str = "backup"
    dag_id: str = "etl"
    run_id: str = "manual__1"
    map_index: int = -1
    retries: int = 2
    run_started: datetime = datetime(2025, 5, 14, 16, 37, 25, 625540, tzinfo=UTC)
    try_number: int = 1
    max_tries: int = field(init=False)
    xcoms: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.max_tries = self.retries

    def retry(self) -> None:
        """Go on to the next try, as Airflow does: XComs are wiped."""
        self.try_number += 1
        self.xcoms.clear()

    def clear(self) -> None:
        """Clear the finished task, as Airflow does."""
        self.max_tries = self.try_number + self.retries
        self.retry()

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    if not AIRFLOW_2:

        def get_first_reschedule_date(self, context: Any) -> datetime | None:
            return sensor_base.time.first_reschedule

    @property
    def context(self) -> Any:
        return {"ti": self, "dag_run": SimpleNamespace(start_date=self.run_started)}


@dataclass
class End:
    """How a task ended: a state of Airflow's, and what it returned or raised."""

    state: str
    value: Any = None
    error: BaseException | None = None

    @property
    def message(self) -> str:
        return str(self.error)


def run_try(task: Any, ti: TaskInstance, between: Any = None) -> End:
    """Run one try of a task to its end, through deferrals and reschedules.

    Args:
        task: The operator or sensor.
        ti: Its task instance.
        between: Called while the task is deferred, before its trigger runs.

    Returns:
        The end. ``up_for_retry`` stands for every failure that Airflow may retry, whether a try is left or not.
    """
    try:
        value = _run(task, ti, between)
    except AirflowSkipException as error:
        return End("skipped", error=error)
    except (AirflowFailException, AirflowSensorTimeout) as error:
        return End("failed", error=error)
    except Exception as error:
        return End("up_for_retry", error=error)
    ti.xcom_push("return_value", value)
    return End("success", value)


def _run(task: Any, ti: TaskInstance, between: Any) -> Any:
    while True:
        try:
            return task.execute(context=ti.context)
        except AirflowRescheduleException as reschedule:
            stepped = sensor_base.time
            stepped.first_reschedule = stepped.first_reschedule or datetime.fromtimestamp(stepped.now, UTC)
            stepped.sleep(max(0.0, reschedule.reschedule_date.timestamp() - datetime.now(UTC).timestamp()))
            task = _anew(task)
        except TaskDeferred as deferred:
            if between:
                between()
            event = trigger_event(deferred.trigger)
            # The task goes on in another process, with another object.
            return _anew(task).resume_execution(
                deferred.method_name, {**(deferred.kwargs or {}), "event": event}, ti.context
            )


def _anew(task: Any) -> Any:
    return type(task)(**task.arguments)


def make(kind: type, **arguments: Any) -> Any:
    """Make a task that can be made again, as another process does."""

    class Task(kind):  # type: ignore[misc, valid-type]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.arguments = dict(kwargs)

    return Task(**{"task_id": "backup", "retries": 2, **arguments})


def trigger_event(trigger: Any) -> Any:
    """Store a trigger, make it again elsewhere, and run it to its one event, as the triggerer does."""
    path, kwargs = json.loads(json.dumps(trigger.serialize()))
    module, name = path.rsplit(".", 1)
    again = getattr(importlib.import_module(module), name)(**kwargs)

    async def run() -> list[Any]:
        return [event.payload async for event in again.run()]

    (payload,) = asyncio.run(run())
    return json.loads(json.dumps(payload))
