"""The sensor that waits for a backup that a backup schedule creates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_pinecone.common.inputs import is_template, validate_time
from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT, checked_arguments
from airflow_pinecone.sensors.base import DEFAULT_POKE_INTERVAL, WaitSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ScheduledBackupSensor(WaitSensor):
    """Wait until a backup schedule of Pinecone has created a Ready backup, and push it to XCom.

    The first Ready backup whose run was at ``since`` or later is the result. If all of these runs failed, the task
    fails and is not retried. The history of a schedule also has the next run, which is planned only: it does not count.
    The other outcomes are those of BackupFreshnessSensor, in every mode. Backup schedules need API version 2026-07 or
    later.

    Args:
        schedule_id: The id of the backup schedule (templated), such as ``schedule.output["schedule_id"]``.
        since: From when on a run of the schedule counts (templated): a datetime, or a template that renders to an ISO
            time, such as ``{{ data_interval_start }}``. Without a time zone, it is in UTC.
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
        ValueError: ``exponential_backoff`` is set, or an argument is invalid.

    Reference: https://docs.pinecone.io/reference/api/2026-07/control-plane/list_backup_schedule_history
    """

    template_fields: Sequence[str] = ("schedule_id", "since", "conn_id")
    resource_type = "schedule"

    def __init__(
        self,
        *,
        schedule_id: str,
        since: datetime | str,
        conn_id: str = "pinecone_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = DEFAULT_POKE_INTERVAL,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.schedule_id = schedule_id
        self.since = since
        if not is_template(since):
            with checked_arguments():
                validate_time(since, "since")

    def execute(self, context: Context) -> Any:
        """Wait for the first Ready backup of the schedule.

        Args:
            context: The context of the task.

        Returns:
            The backup.

        Raises:
            AirflowFailException: All runs since then failed, Pinecone rejected a request, or an argument is invalid;
                not retried.
            AirflowSensorTimeout: There was no Ready backup in time; not retried.
            AirflowSkipException: There was no Ready backup in time, and ``soft_fail`` is set.
            PineconeUnreachable: Too many consecutive polls failed. Not raised in reschedule mode.
        """
        return self._execute(context)

    @property
    def _resource_id(self) -> str:
        return self.schedule_id

    @property
    def _since(self) -> float:
        return validate_time(self.since, "since").timestamp()
