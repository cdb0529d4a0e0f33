"""What the sensors share: above all the wait."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_pinecone.assets import check_outlets
from airflow_pinecone.common.clock import monotonic_epoch_clock
from airflow_pinecone.common.durations import validate_duration, validate_optional_duration
from airflow_pinecone.common.inputs import validate_bools
from airflow_pinecone.runtime.airflow_versions import ChangingPokeInterval, first_reschedule_at, is_trigger_timeout
from airflow_pinecone.runtime.task import WaitingTask, checked_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.waiting.decisions import NextPoll, Wait, WaitResult

# Without a poke_interval, the interval changes. BaseSensorOperator still requires one, and Airflow's UI shows it.
DEFAULT_POKE_INTERVAL = 60.0


class _Pokes:
    """What the pokes in one process share: the decisions, and a clock."""

    def __init__(self, wait: Wait, now: Callable[[], float]) -> None:
        self.wait = wait
        self.now = now


class WaitSensor(ChangingPokeInterval, WaitingTask, BaseSensorOperator):
    """The base class of the sensors.

    Args:
        conn_id: The id of the Airflow connection.
        deferrable: Whether to wait in the triggerer.
        poke_interval: Seconds between two polls, or a timedelta; None increases the interval with the time waited.
        timeout: Seconds until the sensor times out, or a timedelta.
        kwargs: The arguments of BaseSensorOperator, except ``exponential_backoff``. ``silent_fail`` has no effect.

    Raises:
        PineconeInputError: An argument is invalid. This is a ValueError: the DAG cannot be imported.
    """

    ui_color = "#e3f0ff"

    def __init__(
        self,
        *,
        conn_id: str,
        deferrable: bool,
        poke_interval: float | timedelta | None,
        timeout: float | timedelta,
        **kwargs: Any,
    ) -> None:
        with checked_arguments():
            if kwargs.get("exponential_backoff"):
                raise ValueError(
                    "exponential_backoff is not supported. Without a poke_interval the interval increases."
                )
            interval = validate_optional_duration(poke_interval, "poke_interval")
            timeout_seconds = validate_duration(timeout, "timeout")
            validate_bools(deferrable=deferrable)
            validate_bools(**{name: kwargs[name] for name in ("soft_fail", "never_fail") if name in kwargs})
        super().__init__(poke_interval=interval or DEFAULT_POKE_INTERVAL, timeout=timeout_seconds, **kwargs)
        self.conn_id = conn_id
        with checked_arguments():
            check_outlets(self)
        self.deferrable = deferrable
        # With silent_fail, Airflow would ignore that a backup failed, and poll it until the timeout.
        self.silent_fail = False
        self._fixed_interval = interval
        # Airflow's loop calls ``poke`` without it.
        self._pokes: _Pokes | None = None

    def _outcomes(self) -> AbstractContextManager[None]:
        """Turn errors into Airflow's outcomes."""
        from airflow_pinecone.runtime.failures import sensor_outcomes

        return sensor_outcomes(self, self._timeout_message)

    # Only BackupFreshnessSensor has one.
    max_age: float | None = None

    @property
    def _since(self) -> float | None:
        """The time from which a run of a schedule counts; only ScheduledBackupSensor has one."""
        return None

    @property
    def _expected_count(self) -> int | None:
        """The number of records that the index must report; only RecordCountsSensor has one."""
        return None

    @property
    def _resource_id(self) -> str:
        raise AssertionError("subclasses must override _resource_id")

    def _execute(self, context: Context) -> Any:
        with self._outcomes():
            if not self.deferrable:
                return BaseSensorOperator.execute(self, context)
            pokes = self._start_pokes(context)
            step = self._step(pokes)
            if not step.is_over:
                from airflow_pinecone.triggers import defer

                defer(self, context, pokes.wait)
            return self._result_of(step)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once.

        Args:
            context: The context of the task.

        Returns:
            The backup or the restore if it has succeeded, else False.

        Raises:
            PineconeError: The wait has ended without success.
        """
        step = self._step(self._pokes or self._start_pokes(context))
        if step.is_over:
            return PokeReturnValue(is_done=True, xcom_value=self._result_of(step))
        self.next_poke_in = step.seconds
        return False

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Resume after the triggerer has waited.

        Args:
            context: The context of the task.
            event: The event of the trigger.

        Returns:
            The backup or the restore for which the sensor waited.

        Raises:
            PineconeError: The wait has ended without success.
        """
        from airflow_pinecone.triggers import result_of_event

        return self._result_of(result_of_event(self, context, event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral, with the same outcomes as in the other modes; Airflow calls this.

        Args:
            next_method: The method to call, or Airflow's marker for a trigger that failed.
            next_kwargs: The arguments of the method.
            context: The context of the task.

        Returns:
            What the method returns.

        Raises:
            AirflowException: As ``execute`` documents.
        """
        with self._outcomes():
            if is_trigger_timeout(next_method, next_kwargs):
                raise AirflowSensorTimeout(
                    f"The triggerer returned no result for {self._resource_name} in time. Check that a triggerer is "
                    "running."
                )
            return super().resume_execution(next_method, next_kwargs, context)

    @property
    def _resource_name(self) -> str:
        return f"{self.resource.label.lower()} {self._resource_id}"

    def _timeout_message(self, error: BaseException) -> str:
        if isinstance(error, AirflowTaskTimeout) and self._wait:
            return self._wait.execution_timeout_message
        return str(error)

    def _step(self, pokes: _Pokes) -> WaitResult | NextPoll:
        from airflow_pinecone.waiting.drivers import log_step, poll_once

        outcome = poll_once(partial(self.poll, self._resource_id))
        return log_step(pokes.wait.step(outcome, pokes.now()), self.log.log)

    def _start_pokes(self, context: Context) -> _Pokes:
        from airflow_pinecone.runtime.tries import first_try_of
        from airflow_pinecone.waiting.intervals import deadline_of

        is_rescheduled = self.reschedule and not self.deferrable
        started_at = self.clock.time()
        if is_rescheduled:
            # Each poke runs in a new process. Airflow stores the time of the first one.
            first = first_reschedule_at(context, first_try_of(context, self.retries))
            started_at = first.timestamp() if first else started_at
        # As in Airflow's own sensors, execution_timeout bounds one poke of a rescheduled sensor, not the wait.
        deadline_at = deadline_of(started_at, self.timeout, None if is_rescheduled else self.execution_timeout)
        self._wait = self._new_wait(
            self._resource_id,
            started_at=started_at,
            deadline_at=deadline_at,
            poke_interval=self._fixed_interval,
            by_execution_timeout=deadline_at < started_at + self.timeout,
            max_age=self.max_age,
            since=self._since,
            expected_count=self._expected_count,
            rescheduled=is_rescheduled,
        )
        self._pokes = _Pokes(self._wait, monotonic_epoch_clock(self.clock))
        return self._pokes
