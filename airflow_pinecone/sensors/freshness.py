"""The sensor that waits until an index has a fresh backup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_pinecone.common.durations import validate_duration
from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT, checked_arguments
from airflow_pinecone.sensors.base import DEFAULT_POKE_INTERVAL, WaitSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class BackupFreshnessSensor(WaitSensor):
    """Wait until an index has a Ready backup that is young enough, and push it to XCom.

    The task fails without a retry, even if ``soft_fail`` is set, when Pinecone rejects a request: with 401, 403 or 404
    only if the rejections persist for a minute. A timeout raises AirflowSensorTimeout, or skips the task if
    ``soft_fail`` is set. The outcomes are the same in every mode, except that reschedule mode does not count failed
    polls: while Pinecone is unreachable, it waits until the timeout. Each poll lists the backups of the index once;
    deferred waits for the same index share it.

    The age of a backup is counted from its ``created_at``. If Pinecone says that the index of a backup was deleted, the
    backup does not count for the index that has its name now: API version 2026-07 and the newer form of 2026-04 do.
    Without that, backups of the earlier index can count until the new index has its first backup.

    Args:
        index_name: The index (templated).
        max_age: A backup is fresh if it is younger than this, in seconds or as a timedelta.
        conn_id: The Airflow connection with the API key (templated).
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        poke_interval: Seconds between two polls, or a timedelta; 60 by default. None increases the interval with the
            time waited, from 5 to 60 seconds. At least 60 seconds in reschedule mode.
        timeout: Seconds until the sensor times out, or a timedelta; 6 hours by default. A shorter ``execution_timeout``
            applies instead, except in reschedule mode, where it bounds each poke.
        kwargs: The arguments of BaseSensorOperator (``mode``, ``soft_fail`` and others), except
            ``exponential_backoff``.

    Raises:
        ValueError: ``exponential_backoff`` is set, or a duration is not above 0.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
    """

    template_fields: Sequence[str] = ("index_name", "conn_id")
    resource_type = "freshness"

    def __init__(
        self,
        *,
        index_name: str,
        max_age: float | timedelta,
        conn_id: str = "pinecone_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = DEFAULT_POKE_INTERVAL,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.index_name = index_name
        with checked_arguments():
            self.max_age = validate_duration(max_age, "max_age")

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
            PineconeUnreachable: Too many consecutive polls failed. Not raised in reschedule mode.
        """
        return self._execute(context)

    @property
    def _resource_id(self) -> str:
        return self.index_name
