"""Run operators, sensors and triggers as Airflow does, with a clock that the test controls.

The parts of Airflow around them (scheduler, triggerer, database) are tested in tests/airflow; here a try is a call.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol
from unittest.mock import patch

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    TaskDeferred,
)
from airflow.providers.standard.triggers.temporal import DateTimeTrigger

from support.clock import FakeClock

try:
    from airflow.sdk.exceptions import AirflowRescheduleException
except ImportError:  # Airflow before 3.2
    from airflow.exceptions import AirflowRescheduleException

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors as OutletEventAccessors
except ImportError:  # Airflow 2
    OutletEventAccessors = importlib.import_module("airflow.utils.context").OutletEventAccessors  # type: ignore[misc]

# The module of Airflow's own sensors; their loop reads its clock there.
sensor_base = importlib.import_module(BaseSensorOperator.__module__)

# Where sensors ask for the first reschedule: this function, or the task instance.
_QUERY = "_orig_start_date"
_HAS_QUERY = hasattr(sensor_base, _QUERY)


class Connect(Protocol):
    """The type of the fixture `connect`."""

    def __call__(self, **extra: Any) -> None:
        """Point the connection pinecone_default to the emulator, with these fields in its extra."""


@dataclass
class TaskInstance:
    """One task instance over its tries: what Airflow stores of it, and the context of a try."""

    task_id: str = "backup"
    dag_id: str = "etl"
    run_id: str = "manual__1"
    map_index: int = -1
    retries: int = 2
    run_started: datetime = datetime(2025, 5, 14, 16, 37, 25, 625540, tzinfo=UTC)
    try_number: int = 1
    max_tries: int = field(init=False)
    xcoms: dict[str, Any] = field(default_factory=dict)
    first_reschedule_at: datetime | None = None

    def __post_init__(self) -> None:
        """Set the number of tries, as Airflow does at the start of a run."""
        self.max_tries = self.retries

    def retry(self) -> None:
        """Start the next try, as Airflow does: XComs are deleted."""
        self.try_number += 1
        self.xcoms.clear()

    def clear(self) -> None:
        """Clear the finished task, as Airflow does."""
        self.max_tries = self.try_number + self.retries
        self.retry()

    def xcom_push(self, key: str, value: Any) -> None:
        """Store an XCom as JSON."""
        self.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(self, *, task_ids: str, map_indexes: int, key: str) -> Any:
        """Return an XCom of this task instance; None if there is none."""
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.xcoms.get(key)

    if not _HAS_QUERY:

        def get_first_reschedule_date(self, context: Any) -> datetime | None:
            """Return when a rescheduled sensor poked for the first time."""
            return self.first_reschedule_at

    @property
    def context(self) -> Any:
        """The context of a try."""
        return {"ti": self, "dag_run": SimpleNamespace(start_date=self.run_started)}


@dataclass
class Outcome:
    """How a try ended.

    Attributes:
        state: The state that Airflow gives to the task instance. ``up_for_retry`` stands for every failure that Airflow
            may retry, whether a try is left or not.
        value: What the task returned.
        error: What the task raised.
    """

    state: str
    value: Any = None
    error: BaseException | None = None

    @property
    def message(self) -> str:
        """The text of the error."""
        return str(self.error)


def make_task(cls: Callable[..., Any], clock: FakeClock, **arguments: Any) -> Any:
    """Create an operator or a sensor that uses a clock. Its id is ``backup`` and it has two retries by default.

    Args:
        cls: The class of the operator or sensor.
        clock: The clock.
        arguments: The arguments of the class.

    Returns:
        The task. ``run_try`` creates it again where Airflow resumes a task in another process.
    """
    task = cls(**{"task_id": "backup", "retries": 2, **arguments})
    task.clock = clock
    task.recreate = partial(make_task, cls, clock, **arguments)
    return task


@contextmanager
def sensor_loop(clock: FakeClock, ti: TaskInstance) -> Iterator[None]:
    """Let the loop of Airflow's sensors use a clock, and know when the task instance was rescheduled first."""
    with (
        patch.object(sensor_base, "time", clock),
        patch.object(sensor_base, "timezone", clock),
        patch.object(sensor_base, _QUERY, lambda **_: ti.first_reschedule_at, create=not _HAS_QUERY),
    ):
        yield


def run_try(task: Any, ti: TaskInstance, between: Callable[[], object] | None = None) -> Outcome:
    """Run one try of a task to its end, through deferrals and reschedules.

    Args:
        task: The operator or sensor, as ``make_task`` returns it.
        ti: Its task instance.
        between: Called while the task is deferred, before its trigger runs.

    Returns:
        How the try ended.
    """
    try:
        with sensor_loop(task.clock, ti):
            value = _run(task, ti, between)
    except AirflowSkipException as error:
        return Outcome("skipped", error=error)
    except (AirflowFailException, AirflowSensorTimeout) as error:
        return Outcome("failed", error=error)
    except Exception as error:
        return Outcome("up_for_retry", error=error)
    ti.xcom_push("return_value", value)
    return Outcome("success", value)


def _run(task: Any, ti: TaskInstance, between: Callable[[], object] | None) -> Any:
    clock = task.clock
    run = partial(task.execute, context=ti.context)
    while True:
        try:
            return run()
        except AirflowRescheduleException as reschedule:
            ti.first_reschedule_at = ti.first_reschedule_at or clock.utcnow()
            clock.sleep(max(0.0, reschedule.reschedule_date.timestamp() - clock.time()))
            # Each poke is a new process, with another object.
            task = task.recreate()
            run = partial(task.execute, context=ti.context)
        except TaskDeferred as deferred:
            if between:
                between()
            arguments = {**(deferred.kwargs or {}), "event": run_trigger(deferred.trigger, clock)}
            # The task resumes in another process, with another object.
            task = task.recreate()
            run = partial(task.resume_execution, deferred.method_name, arguments, ti.context)


def run_trigger(trigger: Any, clock: FakeClock) -> Any:
    """Store a trigger, create it again, and run it to its only event, as the triggerer does.

    Args:
        trigger: The trigger.
        clock: The clock.

    Returns:
        The payload of the event, as Airflow stores it.
    """
    if isinstance(trigger, DateTimeTrigger):
        # Airflow's own trigger, which does not know the clock of the test.
        clock.sleep(max(0.0, trigger.moment.timestamp() - clock.time()))
        return trigger.moment.isoformat()
    path, arguments = json.loads(json.dumps(trigger.serialize()))
    module, name = path.rsplit(".", 1)
    created = getattr(importlib.import_module(module), name)(**arguments)
    created.clock = clock

    async def run() -> list[Any]:
        return [event.payload async for event in created.run()]

    (payload,) = asyncio.run(run())
    return json.loads(json.dumps(payload))
