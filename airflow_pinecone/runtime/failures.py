"""What an error means for a task: the failure policies of operators and sensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def fail_without_retry() -> Iterator[None]:
    """Turn an error that a retry of an operator's task cannot fix into an AirflowFailException.

    Raises:
        AirflowFailException: Neither repeating the call nor creating a new backup or restore can succeed.
        PineconeError: Any other error; Airflow retries the task.
    """
    try:
        yield
    except PineconeError as error:
        if error.can_retry or error.can_recreate:
            raise
        raise AirflowFailException(str(error)) from error


@contextmanager
def sensor_outcomes(sensor: BaseSensorOperator, timeout_message: Callable[[BaseException], str]) -> Iterator[None]:
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
    try:
        yield
    except (WaitTimeout, AirflowSensorTimeout, AirflowTaskTimeout) as error:
        message = timeout_message(error)
        if sensor.soft_fail or sensor.never_fail:
            raise AirflowSkipException(message) from error
        raise AirflowSensorTimeout(message) from error
    except PineconeError as error:
        if sensor.never_fail:
            raise AirflowSkipException(str(error)) from error
        if error.can_retry:
            raise
        raise AirflowFailException(str(error)) from error
