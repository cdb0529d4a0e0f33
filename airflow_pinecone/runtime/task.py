"""What operators and sensors share: a connection, a hook and a clock.

The modules of the operators and sensors import at the top only what a constructor needs, to keep DAG parsing fast. The
methods that run in a task import the rest.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.common.durations import seconds_of

if TYPE_CHECKING:
    from airflow_pinecone.hooks import PineconeHook
    from airflow_pinecone.waiting.decisions import WaitResult
    from airflow_pinecone.waiting.resources import Resource


def checked_duration(value: Any, name: str) -> float:
    """Check a duration in the constructor of an operator or a sensor.

    Args:
        value: Seconds, or a timedelta.
        name: The name of the parameter, for the message.

    Returns:
        Seconds.

    Raises:
        InvalidArgument: It is not a duration above 0 and at most MAX_DURATION.
    """
    seconds = seconds_of(value)
    if seconds is not None:
        return seconds
    from airflow_pinecone.common.inputs import validate_duration
    from airflow_pinecone.runtime.failures import checked_arguments

    with checked_arguments():
        return validate_duration(value, name)


class PineconeTask:
    """A mixin for operators and sensors that call Pinecone.

    Attributes:
        conn_id: The id of the Airflow connection.
        clock: The clock of the task.
    """

    conn_id: str
    clock: Clock = SYSTEM_CLOCK
    log: Any  # Airflow's classes provide it.

    @cached_property
    def hook(self) -> PineconeHook:
        """The hook of this try."""
        from airflow_pinecone.hooks import PineconeHook

        return PineconeHook(self.conn_id, clock=self.clock)


class WaitingTask(PineconeTask):
    """A mixin for operators and sensors that wait for a backup or a restore.

    Attributes:
        resource_type: The name of the Resource that the task waits for.
    """

    resource_type: ClassVar[str]

    @property
    def resource(self) -> Resource:
        """What the task waits for."""
        from airflow_pinecone.waiting.resources import RESOURCES

        return RESOURCES[self.resource_type]

    def _result_of(self, result: WaitResult) -> Any:
        """Send the metrics of a wait that has ended, and return its model or raise its error."""
        if self.resource_type == "backup":
            from airflow_pinecone.runtime.metrics import send_wait_metrics

            try:
                send_wait_metrics(result, self.clock.time())
            except Exception:  # The backup is more important than its metrics.
                self.log.warning("The metrics of the backup were not sent.", exc_info=True)
        return result.result_or_raise()
