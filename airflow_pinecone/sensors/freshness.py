"""The sensor that waits until an index has a fresh backup."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_pinecone import polling
from airflow_pinecone.errors import PineconeError, PineconeTransientError, PineconeUnreachable
from airflow_pinecone.models import created_at, newest_ready

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.hooks import PineconeHook


class BackupFreshnessSensor(BaseSensorOperator):
    """Wait until an index has a Ready backup that is young enough, and return it to XCom.

    A refused request ends in red at once, under ``soft_fail`` too. A timeout raises AirflowSensorTimeout, and skips
    under ``soft_fail``. A poke is one listing of the index's backups.

    A backup's age is counted from its ``created_at``, the time whose data it holds. After an index was deleted and its
    name used again, backups of the earlier index count until the new one has its first.

    Args:
        index_name: The index (templated).
        max_age: The age up to which a backup is fresh, a timedelta or seconds.
        conn_id: The Airflow connection with the API key (templated).
        poke_interval: Seconds between two pokes, or a timedelta; 60 by default.
        timeout: Seconds that the wait may last, or a timedelta; 6 hours by default.
        kwargs: As of BaseSensorOperator (``mode``, ``soft_fail``, ...).

    Raises:
        ValueError: A duration is not above 0.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
    """

    template_fields: Sequence[str] = ("index_name", "conn_id")
    ui_color = "#e3f0ff"

    def __init__(
        self,
        *,
        index_name: str,
        max_age: float | timedelta,
        conn_id: str = "pinecone_default",
        poke_interval: float | timedelta = polling.MAX_PAUSE,
        timeout: float | timedelta = polling.DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        """Store the arguments."""
        super().__init__(
            poke_interval=polling.seconds(poke_interval, "poke_interval"),
            timeout=polling.seconds(timeout, "timeout"),
            **kwargs,
        )
        self.index_name = index_name
        self.max_age = polling.seconds(max_age, "max_age")
        self.conn_id = conn_id
        self._hook: PineconeHook | None = None
        self._blips = 0
        self._seen: str | None = None

    def execute(self, context: Context) -> Any:
        """Wait for a fresh backup.

        Args:
            context: The task's context.

        Returns:
            The newest Ready backup of the index.

        Raises:
            AirflowFailException: Pinecone refused; not retried.
            AirflowSensorTimeout: There was no fresh backup in time; not retried.
            AirflowSkipException: The same under ``soft_fail``.
            PineconeUnreachable: Too many pokes in a row got no good answer.
        """
        try:
            return super().execute(context)
        except (AirflowSensorTimeout, AirflowTaskTimeout) as error:
            which = "execution_timeout" if isinstance(error, AirflowTaskTimeout) else "timeout"
            message = f"The {which} came before a fresh backup of index {self.index_name}. {self._seen or ''}".rstrip()
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(message) from error
            raise AirflowSensorTimeout(message) from error
        except PineconeError as error:
            if error.can_retry:
                raise
            raise AirflowFailException(str(error)) from error

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Ask for the index's backups once.

        Args:
            context: The task's context.

        Returns:
            The backup when there is a fresh one, else False.

        Raises:
            PineconeError: Pinecone refused, or is unreachable.
        """
        from airflow_pinecone.hooks import PineconeHook

        if self._hook is None:
            # One hook for all the pokes of this process: they share a connection.
            self._hook = PineconeHook(self.conn_id)
        try:
            # An index name that is templated to None must not list the whole project.
            backup = newest_ready(self._hook.list_backups(self.index_name or "", retry=False))
        except PineconeTransientError as error:
            self._blips += 1
            if self._blips > polling.MAX_BLIPS:
                raise PineconeUnreachable(
                    f"Gave up waiting for a fresh backup of index {self.index_name}: {self._blips} pokes in a row got "
                    f"no good answer. The last: {error}"
                ) from error
            self.log.info("Poke %s in a row without a good answer: %s", self._blips, error)
            return False
        self._blips = 0
        made = backup and created_at(backup)
        if backup is None or made is None:
            return self._not_yet(f"Index {self.index_name} has no Ready backup")
        age = time.time() - made.timestamp()
        if age >= self.max_age:
            return self._not_yet(
                f"The newest Ready backup of index {self.index_name}, {backup['backup_id']}, is of "
                f"{made:%Y-%m-%d %H:%M:%S} UTC: older than "
                f"{timedelta(seconds=self.max_age)}"
            )
        self.log.info("Backup %s of index %s is fresh", backup["backup_id"], self.index_name)
        return PokeReturnValue(is_done=True, xcom_value=backup)

    def _not_yet(self, news: str) -> bool:
        if news != self._seen:
            self.log.info(news)
            self._seen = news
        return False
