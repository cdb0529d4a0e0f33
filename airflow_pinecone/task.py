"""What operators and sensors share: a connection, a hook and a clock."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from airflow_pinecone.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from airflow_pinecone.hooks import PineconeHook


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
