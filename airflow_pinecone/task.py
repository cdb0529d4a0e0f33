"""What operators and sensors share: a connection, a hook and a clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_pinecone.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.errors import PineconeInputError

if TYPE_CHECKING:
    from airflow_pinecone.hooks import PineconeHook


class InvalidArgument(PineconeInputError, AirflowFailException):
    """An argument of an operator or a sensor is invalid.

    Airflow creates a mapped task in the worker. It does not retry a task that fails with an AirflowFailException there.
    """


@contextmanager
def checked_arguments() -> Iterator[None]:
    """Check arguments in the constructor of an operator or a sensor.

    Raises:
        InvalidArgument: A check has raised a PineconeInputError.
    """
    try:
        yield
    except PineconeInputError as error:
        raise InvalidArgument(str(error)) from error


class PineconeTask:
    """A mixin for operators and sensors that call Pinecone.

    Attributes:
        conn_id: The id of the Airflow connection.
        clock: The clock of the task.
    """

    conn_id: str
    clock: Clock = SYSTEM_CLOCK

    @cached_property
    def hook(self) -> PineconeHook:
        """The hook of this try. The import is local to keep DAG parsing fast."""
        from airflow_pinecone.hooks import PineconeHook

        return PineconeHook(self.conn_id, clock=self.clock)
