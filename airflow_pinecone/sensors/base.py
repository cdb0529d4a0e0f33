"""What the sensors share: above all the wait for one backup or restore."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseSensorOperator

from airflow_pinecone.runtime.airflow_versions import SelfPacedPokes
from airflow_pinecone.runtime.task import PineconeTask, WaitingTask, checked_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context, PokeReturnValue

    from airflow_pinecone.waiting.decisions import Pause, Wait, WaitResult
    from airflow_pinecone.waiting.resources import Model

    SensorBase = BaseSensorOperator
else:
    # Airflow inspects each class that derives from BaseSensorOperator, so only the sensors themselves do.
    SensorBase = object

# What a sensor shows as its poke_interval while the interval increases: BaseSensorOperator does not accept None.
DEFAULT_POKE_INTERVAL = 60.0


class PineconeSensor(PineconeTask, SensorBase):
    """The base class of the sensors.

    Args:
        conn_id: The id of the Airflow connection.
        poke_interval: Seconds between two pokes, or a timedelta.
        timeout: Seconds until the sensor times out, or a timedelta.
        kwargs: The arguments of BaseSensorOperator. ``silent_fail`` has no effect.
    """

    ui_color = "#e3f0ff"

    def __init__(
        self, *, conn_id: str, poke_interval: float | timedelta, timeout: float | timedelta, **kwargs: Any
    ) -> None:
        """Store the arguments."""
        poke_seconds = checked_duration(poke_interval, "poke_interval")
        timeout_seconds = checked_duration(timeout, "timeout")
        super().__init__(poke_interval=poke_seconds, timeout=timeout_seconds, **kwargs)
        self.conn_id = conn_id
        # With silent_fail, Airflow would ignore that a backup failed, and poll it until the timeout.
        self.silent_fail = False

    def _timeout_message(self, error: BaseException) -> str:
        """Return the message for a timeout of this sensor, of Airflow's sensor loop, or of ``execution_timeout``."""
        raise AssertionError("subclasses must override _timeout_message")


class _PokeState:
    """What the pokes in one process share."""

    def __init__(self, wait: Wait, poll: Callable[[], Model], now: Callable[[], float]) -> None:
        self.wait = wait
        self.poll = poll
        self.now = now


class WaitSensor(SelfPacedPokes, WaitingTask, PineconeSensor):
    """The base class of the sensors that wait for one backup or restore.

    Args:
        conn_id: The id of the Airflow connection.
        deferrable: Whether to wait in the triggerer.
        poke_interval: Seconds between two polls, or a timedelta; None increases the interval with the time waited.
        timeout: Seconds until the sensor times out, or a timedelta.
        kwargs: The arguments of BaseSensorOperator, except ``exponential_backoff``.

    Raises:
        PineconeInputError: An argument is invalid. This is a ValueError: the DAG cannot be imported.
    """

    def __init__(
        self,
        *,
        conn_id: str,
        deferrable: bool,
        poke_interval: float | timedelta | None,
        timeout: float | timedelta,
        **kwargs: Any,
    ) -> None:
        """Store the arguments."""
        if kwargs.get("exponential_backoff"):
            from airflow_pinecone.runtime.failures import InvalidArgument

            raise InvalidArgument(
                "exponential_backoff is not supported. Without a poke_interval the interval increases."
            )
        interval = DEFAULT_POKE_INTERVAL if poke_interval is None else poke_interval
        super().__init__(conn_id=conn_id, poke_interval=interval, timeout=timeout, **kwargs)
        self.deferrable = deferrable
        self._fixed_interval = None if poke_interval is None else self.poke_interval
        self._poke_state: _PokeState | None = None

    @property
    def _resource_id(self) -> str:
        raise AssertionError("subclasses must override _resource_id")

    def _execute(self, context: Context) -> Any:
        """Wait. The sensors have an ``execute`` of their own, because Airflow wraps it only in its own classes."""
        from airflow_pinecone.runtime.failures import sensor_outcomes

        with sensor_outcomes(self, self._timeout_message):
            return self._poll_and_defer(context) if self.deferrable else super().execute(context)

    def _poll_and_defer(self, context: Context) -> Any:
        from airflow_pinecone.waiting.decisions import Pause

        state = self._new_poke_state(context)
        step = self._step(state)
        if isinstance(step, Pause):
            from airflow_pinecone.triggers import defer

            defer(self, context, self.conn_id, state.wait.spec, now=self.clock.time())
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
        from airflow.providers.common.compat.sdk import PokeReturnValue

        from airflow_pinecone.waiting.decisions import WaitResult

        step = self._step(self._poke_state or self._new_poke_state(context))
        if isinstance(step, WaitResult):
            return PokeReturnValue(is_done=True, xcom_value=self._result_of(step))
        if step.message:
            self.log.info(step.message)
        self.next_poke_in = step.seconds
        return False

    def execute_complete(self, context: Context, event: dict[str, Any], try_number: int | None = None) -> Any:
        """Resume after the triggerer has waited.

        Args:
            context: The context of the task.
            event: The event of the trigger.
            try_number: The number of the try that was deferred.

        Returns:
            The backup when it is Ready, or the restore when its index is ready.

        Raises:
            PineconeError: The wait has ended without success.
        """
        from airflow_pinecone.runtime.airflow_versions import is_event_of_another_try
        from airflow_pinecone.waiting.decisions import WaitResult

        if is_event_of_another_try(context, try_number):
            self.log.info("Ignoring the event of try %s: this is try %s.", try_number, context["ti"].try_number)
            return self._poll_and_defer(context)
        return self._result_of(WaitResult.from_event(event, self.resource))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; Airflow calls this.

        Args:
            next_method: The method to call, or Airflow's marker for a trigger that failed.
            next_kwargs: The arguments of the method.
            context: The context of the task.

        Returns:
            What the method returns.

        Raises:
            AirflowException: As ``execute`` documents.
        """
        from airflow.providers.common.compat.sdk import AirflowSensorTimeout

        from airflow_pinecone.runtime.airflow_versions import is_trigger_timeout
        from airflow_pinecone.runtime.failures import sensor_outcomes

        with sensor_outcomes(self, self._timeout_message):
            if is_trigger_timeout(next_method, next_kwargs):
                raise AirflowSensorTimeout(
                    f"The triggerer returned no result for {self._resource_name} in time. Check that a triggerer is "
                    "running."
                )
            # With soft_fail, BaseSensorOperator.resume_execution would skip the task on any AirflowException.
            return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)

    @property
    def _resource_name(self) -> str:
        return f"{self.resource.label.lower()} {self._resource_id}"

    def _timeout_message(self, error: BaseException) -> str:
        from airflow.providers.common.compat.sdk import AirflowTaskTimeout

        if isinstance(error, AirflowTaskTimeout):
            return (
                f"The execution_timeout has passed, and {self._resource_name} did not {self.resource.goal}. The "
                "timeout does not stop it in Pinecone."
            )
        return str(error)

    def _step(self, state: _PokeState) -> WaitResult | Pause:
        from airflow_pinecone.waiting.drivers import poll_once

        return state.wait.step(poll_once(state.poll), state.now())

    def _new_poke_state(self, context: Context) -> _PokeState:
        from airflow_pinecone.common.clock import monotonic_epoch_clock
        from airflow_pinecone.rules.identity import first_try_of
        from airflow_pinecone.runtime.airflow_versions import first_reschedule_at
        from airflow_pinecone.waiting.decisions import Wait, WaitSpec
        from airflow_pinecone.waiting.intervals import deadline_of

        is_rescheduled = self.reschedule and not self.deferrable
        started_at = self.clock.time()
        if is_rescheduled:
            # Each poke runs in a new process. Airflow stores the time of the first one.
            first = first_reschedule_at(context, first_try_of(context, self.retries))
            started_at = first.timestamp() if first else started_at
        spec = WaitSpec(
            resource_type=self.resource_type,
            resource_id=self._resource_id,
            started_at=started_at,
            # As in Airflow's own sensors, execution_timeout bounds one poke of a rescheduled sensor, not the wait.
            deadline_at=deadline_of(started_at, self.timeout, None if is_rescheduled else self.execution_timeout),
            poke_interval=self._fixed_interval,
        )
        self._poke_state = _PokeState(
            Wait(spec, rescheduled=is_rescheduled),
            partial(self._poll_resource, self._resource_id),
            monotonic_epoch_clock(self.clock),
        )
        return self._poke_state

    def _poll_resource(self, resource_id: str) -> Model:
        # Read the connection here, so that an invalid connection is the outcome of a poll.
        return self.hook.call(lambda client: self.resource.poll(client, resource_id))
