"""What operators and sensors share: a connection, a hook, a clock, and the wait for a backup or a restore.

Airflow imports operators and sensors each time it parses a DAG file. So here, and in the modules of
CreateBackupOperator and BackupSensor, methods that only run in a task import what only they need.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator, conf

from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.hooks import PineconeHook
    from airflow_pinecone.waiting.decisions import Wait, WaitResult
    from airflow_pinecone.waiting.resources import Model, Resource

# More mapped tasks make the Airflow UI slow. Airflow's default of [core] max_map_length is the same.
_MAX_MAPPED_TASKS = 1024
# How long operators and sensors wait for a backup or a restore, in seconds.
DEFAULT_TIMEOUT = 6 * 60 * 60.0


@contextmanager
def checked_arguments() -> Iterator[None]:
    """Turn the PineconeInputError of a check in a constructor, which is a ValueError, into InvalidArgument."""
    try:
        yield
    except ValueError as error:
        from airflow_pinecone.runtime.failures import InvalidArgument

        raise InvalidArgument(str(error)) from None


def check_task_args(task_args: Mapping[str, Any]) -> None:
    """Check the arguments that a task group passes to all of its tasks. Airflow ignores unknown names.

    Raises:
        PineconeInputError: No operator of Airflow has such an argument.
    """
    from airflow_pinecone.errors import PineconeInputError

    known = {name for cls in (BaseOperator, BaseSensorOperator) for name in inspect.signature(cls.__init__).parameters}
    unknown = sorted(task_args.keys() - known)
    if unknown:
        raise PineconeInputError(f"{unknown[0]} is not an argument of the task group, nor of its tasks.")


def max_mapped_tasks() -> int:
    """Return the maximum number of times that this package maps a task. Airflow fails one that is mapped too often."""
    return min(_MAX_MAPPED_TASKS, int(conf.getint("core", "max_map_length", fallback=_MAX_MAPPED_TASKS)))


class PineconeTask:
    """A mixin for operators and sensors that call Pinecone.

    Attributes:
        conn_id: The id of the Airflow connection.
        fills_events: Whether the task adds the details of a backup to the events of its outlets.
        clock: The clock of the task.
    """

    conn_id: str
    fills_events: ClassVar[bool] = False
    clock: Clock = SYSTEM_CLOCK
    log: Any  # Airflow's classes provide it.

    @cached_property
    def hook(self) -> PineconeHook:
        """The hook of this try."""
        from airflow_pinecone.hooks import PineconeHook

        return PineconeHook(self.conn_id, clock=self.clock)


class WaitingTask(PineconeTask):
    """A mixin for operators and sensors that wait for a backup, a restore or a fresh backup.

    Attributes:
        resource_type: The name of the Resource that the task waits for.
    """

    resource_type: ClassVar[str]
    # The wait that runs in this process.
    _wait: Wait | None = None

    @property
    def resource(self) -> Resource:
        """What the task waits for."""
        from airflow_pinecone.waiting.resources import RESOURCES

        return RESOURCES[self.resource_type]

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; Airflow calls this.

        Args:
            next_method: The method to call, or Airflow's marker for a trigger that failed.
            next_kwargs: The arguments of the method, and the number of the try that was deferred. ``dag.test()`` does
                not pass the number.
            context: The context of the task.

        Returns:
            What the method returns.

        Raises:
            AirflowException: As ``execute`` documents.
        """
        arguments = dict(next_kwargs or {})
        deferred_try = arguments.pop("try_number", None)
        if deferred_try not in (None, context["ti"].try_number):
            # Airflow 3.0 passes the event of the first try to a retry: https://github.com/apache/airflow/issues/56704
            self.log.info("Ignoring the event of try %s: this is try %s.", deferred_try, context["ti"].try_number)
            return self._execute(context)
        # Not that of BaseSensorOperator: with soft_fail, it skips the task on any AirflowException.
        return BaseOperator.resume_execution(self, next_method, arguments, context)  # type: ignore[arg-type]

    def _execute(self, context: Context) -> Any:
        """Run the task from its start. Airflow warns about calls of ``execute`` that are not its own."""
        raise AssertionError("subclasses must override _execute")

    def _new_wait(self, resource_id: str, *, rescheduled: bool = False, **spec: Any) -> Wait:
        from airflow_pinecone.waiting.decisions import Wait, WaitSpec

        return Wait(WaitSpec(self.resource_type, resource_id, **spec), rescheduled=rescheduled)

    def poll(self, resource_id: str) -> Any:
        """Request what the task waits for. The connection is read here, so that an invalid one fails the poll."""
        return self.resource.poll(self.hook.client, resource_id)

    def wait_in_worker(self, wait: Wait, *, first: Model | None = None) -> WaitResult:
        """Wait in the worker; see ``wait_sync``."""
        from airflow_pinecone.waiting.drivers import wait_sync

        self._wait = wait
        return wait_sync(wait, partial(self.poll, wait.spec.resource_id), self.log.log, self.clock, first=first)

    def _result_of(self, result: WaitResult) -> Any:
        """Send the metrics of a wait that has ended, and return its model or raise its error."""
        if self.resource_type == "backup":
            from airflow_pinecone.runtime.metrics import send_wait_metrics

            try:
                send_wait_metrics(result, self.clock.time())
            except Exception:  # The backup is more important than its metrics.
                self.log.warning("The metrics of the backup were not sent.", exc_info=True)
            self._add_restorable(result)
        return result.result_or_raise()

    def _add_restorable(self, result: WaitResult) -> None:
        """Add to the error of a failed or missing backup which backup of the index can be restored."""
        from airflow_pinecone.api.models import count_of, created_at
        from airflow_pinecone.common.text import insert_before_ids, show_time
        from airflow_pinecone.errors import BackupFailed, BackupNotFound, PineconeError
        from airflow_pinecone.reading import read_history

        index_name = result.index_name or getattr(self, "index_name", None)
        if not isinstance(result.error, BackupFailed | BackupNotFound) or index_name is None:
            return
        try:
            backup = read_history(self.hook.client, index_name, retry=False).restorable()
        except PineconeError:  # The error of the backup is more important.
            return
        if backup is not None:
            created, records = created_at(backup), count_of(backup.get("record_count"))
            of_time = f" of {show_time(created)}" if created else ""
            with_records = "" if records is None else f" ({records:,} records)"
            text = f"You can still restore backup {backup['backup_id']}{of_time}{with_records}."
            result.error.args = (insert_before_ids(str(result.error), text),)
