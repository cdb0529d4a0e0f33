"""The sensor that waits for a restore job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT
from airflow_pinecone.sensors.base import WaitSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.waiting.decisions import WaitResult


class RestoreJobSensor(WaitSensor):
    """Wait until a restore job is Completed and its index is ready, and push the restore to XCom.

    Pinecone's API does not tell which restore job created an index. So the sensor cannot know whether the index was
    deleted and another one took its name while the sensor waited. CreateIndexFromBackupOperator can: prefer its
    ``wait_for_completion``.

    The task fails without a retry, even if ``soft_fail`` is set, when the job failed, was cancelled or no longer
    exists, or Pinecone rejects a request. A timeout raises AirflowSensorTimeout, or skips the task if ``soft_fail`` is
    set. The outcomes are the same in every mode, except that reschedule mode does not count failed polls: while
    Pinecone is unreachable, it waits until the timeout.

    Args:
        restore_job_id: The id of the job (templated), such as ``restore.output["restore_job_id"]``.
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

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_restore_job
    """

    template_fields: Sequence[str] = ("restore_job_id", "conn_id")
    resource_type = "restore"

    def __init__(
        self,
        *,
        restore_job_id: str,
        conn_id: str = "pinecone_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.restore_job_id = restore_job_id

    def execute(self, context: Context) -> Any:
        """Wait until the restore job is Completed and its index is ready.

        Args:
            context: The context of the task.

        Returns:
            The restore.

        Raises:
            AirflowFailException: The restore failed or no longer exists, or Pinecone rejected a poll; not retried.
            AirflowSensorTimeout: The sensor timed out; not retried.
            AirflowSkipException: The sensor timed out, and ``soft_fail`` is set.
            PineconeUnreachable: Too many consecutive polls failed. Not raised in reschedule mode.
        """
        return self._execute(context)

    def _result_of(self, result: WaitResult) -> Any:
        restore = super()._result_of(result)
        self.log.info(
            "Restore job %s is Completed, and index %s is ready. The sensor cannot know whether the job created this "
            "index, or another one took its name meanwhile.",
            restore["restore_job_id"],
            restore["index_name"],
        )
        return restore

    @property
    def _resource_id(self) -> str:
        return self.restore_job_id
