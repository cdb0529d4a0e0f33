"""What an error means for a task: the failure policies of operators and sensors.

A task raises one exception, without a chain and without the frames below the policy: its text says why, and Airflow's
log opens at the traceback. An exception of Airflow that replaces an error has it as its ``__context__``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_pinecone.errors import PineconeError, PineconeInputError, WaitTimeout

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseSensorOperator


class InvalidArgument(PineconeInputError, AirflowFailException):
    """An argument of an operator or a sensor is invalid.

    Airflow creates a mapped task in the worker. It does not retry a task that fails with an AirflowFailException there.
    """


def fail_without_retry() -> AbstractContextManager[None]:
    """Turn an error that a retry of an operator's task cannot fix into an AirflowFailException.

    Raises:
        AirflowFailException: Neither repeating the call nor creating a new backup or restore can succeed.
        PineconeError: Any other error; Airflow retries the task.
    """
    return _Policy(_operator_outcome)


def sensor_outcomes(
    sensor: BaseSensorOperator, timeout_message: Callable[[BaseException], str]
) -> AbstractContextManager[None]:
    """Turn the errors of a sensor into Airflow's outcomes, in the same way in every mode.

    Args:
        sensor: The sensor.
        timeout_message: Returns the message for a timeout of this sensor, of Airflow's sensor loop, or of
            ``execution_timeout``.

    Raises:
        AirflowSensorTimeout: The sensor timed out.
        AirflowSkipException: The sensor timed out and ``soft_fail`` is set, or ``never_fail`` is set.
        AirflowFailException: A retry cannot succeed.
        PineconeError: Any other error; Airflow retries the task.
    """

    def outcome(error: BaseException) -> BaseException | None:
        if isinstance(error, WaitTimeout | AirflowSensorTimeout | AirflowTaskTimeout):
            skips = sensor.soft_fail or sensor.never_fail
            return (AirflowSkipException if skips else AirflowSensorTimeout)(timeout_message(error))
        if not isinstance(error, PineconeError):
            return None
        if sensor.never_fail:
            return AirflowSkipException(str(error))
        return error if error.can_retry else AirflowFailException(str(error))

    return _Policy(outcome)


def _operator_outcome(error: BaseException) -> BaseException | None:
    if not isinstance(error, PineconeError):
        return None
    return error if error.can_retry or error.can_recreate else AirflowFailException(str(error))


class _Policy(AbstractContextManager[None]):
    """Raises the outcome of an error instead of it.

    Not a generator: contextlib would restore the traceback of an error that is raised again.

    Args:
        outcome: Returns the exception for Airflow, or None if the error is not changed.
    """

    def __init__(self, outcome: Callable[[BaseException], BaseException | None]) -> None:
        self._outcome = outcome

    def __exit__(
        self, error_class: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and (outcome := self._outcome(error)) is not None:
            raise outcome.with_traceback(None) from None
