"""The sensor that waits for a backup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_pinecone.runtime.links import LINKS, push_links
from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT
from airflow_pinecone.sensors.base import WaitSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class BackupSensor(WaitSensor):
    """Wait until a backup is Ready, and push it to XCom.

    The task fails without a retry, even if ``soft_fail`` is set, when the backup failed or no longer exists, or
    Pinecone rejects a request: if the sensor were skipped, a reindex could run without its backup. A timeout raises
    AirflowSensorTimeout, or skips the task if ``soft_fail`` is set. The outcomes are the same in every mode, except
    that reschedule mode does not count failed polls: while Pinecone is unreachable, it waits until the timeout.

    Args:
        backup_id: The id of the backup (templated), such as ``backup.output["backup_id"]``.
        conn_id: The Airflow connection with the API key (templated).
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        poke_interval: Seconds between two polls, or a timedelta; None increases the interval with the time waited, from
            5 to 60 seconds. At least 60 seconds in reschedule mode.
        timeout: Seconds until the sensor times out, or a timedelta; 6 hours by default. A shorter ``execution_timeout``
            applies instead, except in reschedule mode, where it bounds each poke.
        kwargs: The arguments of BaseSensorOperator (``mode``, ``soft_fail`` and others), except
            ``exponential_backoff``.

    Raises:
        ValueError: ``exponential_backoff`` is set, or a duration is not above 0.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_backup
    """

    template_fields: Sequence[str] = ("backup_id", "conn_id")
    resource_type = "backup"
    operator_extra_links = LINKS

    def __init__(
        self,
        *,
        backup_id: str,
        conn_id: str = "pinecone_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.backup_id = backup_id

    def execute(self, context: Context) -> Any:
        """Wait until the backup is Ready.

        Args:
            context: The context of the task.

        Returns:
            The backup.

        Raises:
            AirflowFailException: The backup failed or no longer exists, or Pinecone rejected a poll; not retried.
            AirflowSensorTimeout: The sensor timed out; not retried.
            AirflowSkipException: The sensor timed out, and ``soft_fail`` is set.
            PineconeUnreachable: Too many consecutive polls failed. Not raised in reschedule mode.
        """
        push_links(context, self.backup_id, self)
        return self._execute(context)

    @property
    def _resource_id(self) -> str:
        return self.backup_id
