"""The sensor that waits until an index has a fresh backup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, PokeReturnValue

from airflow_pinecone.api.models import created_at, xcom_safe
from airflow_pinecone.common.durations import validate_duration
from airflow_pinecone.common.text import show_time
from airflow_pinecone.errors import PineconePermanentError, PineconeTransientError, PineconeUnreachable
from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT, checked_arguments
from airflow_pinecone.sensors.base import DEFAULT_POKE_INTERVAL, PineconeSensor
from airflow_pinecone.waiting.intervals import (
    TEMPORARY_REJECTIONS,
    FailedPolls,
    RejectedPolls,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.rules.history import BackupHistory


class BackupFreshnessSensor(PineconeSensor):
    """Wait until an index has a Ready backup that is young enough, and push it to XCom.

    The task fails without a retry, even if ``soft_fail`` is set, when Pinecone rejects a request: the first one at
    once, and later ones with 401, 403 or 404 only if the rejections persist. A timeout raises AirflowSensorTimeout, or
    skips the task if ``soft_fail`` is set. Each poke lists the backups of the index once. In reschedule mode each poke
    is like the first one: a rejection ends the wait, and while Pinecone is unreachable, it lasts until the timeout.

    The age of a backup is counted from its ``created_at``. If an index was deleted and its name reused, backups of the
    earlier index count until the new index has its first backup.

    Args:
        index_name: The index (templated).
        max_age: A backup is fresh if it is younger than this, in seconds or as a timedelta.
        conn_id: The Airflow connection with the API key (templated).
        poke_interval: Seconds between two polls, or a timedelta; 60 by default.
        timeout: Seconds until the sensor times out, or a timedelta; 6 hours by default.
        kwargs: The arguments of BaseSensorOperator (``mode``, ``soft_fail`` and others).

    Raises:
        PineconeInputError: A duration is not above 0. This is a ValueError: the DAG cannot be imported.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
    """

    template_fields: Sequence[str] = ("index_name", "conn_id")

    def __init__(
        self,
        *,
        index_name: str,
        max_age: float | timedelta,
        conn_id: str = "pinecone_default",
        poke_interval: float | timedelta = DEFAULT_POKE_INTERVAL,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.index_name = index_name
        with checked_arguments():
            self.max_age = validate_duration(max_age, "max_age")
        self._failed_polls = FailedPolls()
        self._rejected_polls = RejectedPolls()
        self._has_listed = False
        self._state = ""

    def execute(self, context: Context) -> Any:
        """Wait for a fresh backup.

        Args:
            context: The context of the task.

        Returns:
            The newest Ready backup of the index.

        Raises:
            AirflowFailException: Pinecone rejected a request; not retried.
            AirflowSensorTimeout: There was no fresh backup in time; not retried.
            AirflowSkipException: There was no fresh backup in time, and ``soft_fail`` is set.
            PineconeUnreachable: Too many consecutive pokes failed, in poke mode.
        """
        with self._outcomes():
            return super().execute(context)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """List the backups of the index once.

        Args:
            context: The context of the task.

        Returns:
            The newest Ready backup if it is fresh, else False.

        Raises:
            PineconeError: Pinecone rejected the request, or too many consecutive pokes failed.
        """
        from airflow_pinecone.hooks import read_history

        try:
            history = read_history(self.hook.client, self.index_name, retry=False)
        except PineconePermanentError as error:
            self._failed_polls.reset()
            is_temporary = self._has_listed and isinstance(error, TEMPORARY_REJECTIONS)
            if not is_temporary or self._rejected_polls.add(self.clock.monotonic()):
                raise
            self.log.info("Pinecone rejected the poke. %s", error)
            return False
        except PineconeTransientError as error:
            self._rejected_polls.reset()
            self._failed_polls.add(error)
            count = self._failed_polls.count
            if self._failed_polls.too_many:
                raise PineconeUnreachable(
                    f"Stopped waiting for a fresh backup of index {self.index_name}: {count} consecutive pokes failed. "
                    f"Retry the task when Pinecone can be reached. Last error: {error}"
                ) from error
            self.log.info("Consecutive failed pokes: %s. Last error: %s", count, error)
            return False
        self._failed_polls.reset()
        self._rejected_polls.reset()
        self._has_listed = True
        backup = history.newest_ready
        problem = self._problem(history)
        if problem or backup is None:
            return self._not_fresh(problem)
        if not history.index_exists:
            self.log.warning("Index %s no longer exists. Its backups still do.", self.index_name)
        self.log.info("Backup %s of index %s is fresh.", backup["backup_id"], self.index_name)
        return PokeReturnValue(is_done=True, xcom_value=xcom_safe(backup))

    def _problem(self, history: BackupHistory) -> str:
        """Return why the index has no fresh backup; empty if it has one."""
        backup = history.newest_ready
        created = backup and created_at(backup)
        if backup is None or created is None:
            return f"Index {self.index_name} has {history.no_ready_backup}."
        age = history.age(backup, self.clock.utcnow())
        if age.is_below(self.max_age):
            return ""
        problem = (
            "in the future: check the clock"
            if age.in_future
            else f"and is older than {timedelta(seconds=self.max_age)}"
        )
        return (
            f"The newest Ready backup of index {self.index_name}, {backup['backup_id']}, was created at "
            f"{show_time(created)} {problem}."
        )

    def _not_fresh(self, state: str) -> bool:
        if state != self._state:
            self.log.info(state)
            self._state = state
        return False

    def _timeout_message(self, error: BaseException) -> str:
        timeout = "execution_timeout" if isinstance(error, AirflowTaskTimeout) else "timeout"
        message = f"The {timeout} has passed, and index {self.index_name} has no fresh backup."
        return f"{message} {self._state}".rstrip()
