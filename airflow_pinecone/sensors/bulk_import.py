"""The sensor that waits for a bulk import."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT
from airflow_pinecone.sensors.base import WaitSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ImportSensor(WaitSensor):
    """Wait until a bulk import is Completed, and push it to XCom.

    The task fails without a retry, even if ``soft_fail`` is set, when the import failed, was cancelled or no longer
    exists, or Pinecone rejects a request. A timeout raises AirflowSensorTimeout, or skips the task if ``soft_fail`` is
    set. The outcomes are the same in every mode, except that reschedule mode does not count failed polls: while
    Pinecone is unreachable, it waits until the timeout.

    Args:
        index_name: The index (templated).
        import_id: The id of the import (templated), such as ``start.output["import_id"]``.
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

    Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/describe_import
    """

    template_fields: Sequence[str] = ("index_name", "import_id", "conn_id")
    resource_type = "import"

    def __init__(
        self,
        *,
        index_name: str,
        import_id: str,
        conn_id: str = "pinecone_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.index_name = index_name
        self.import_id = import_id

    def execute(self, context: Context) -> Any:
        """Wait until the import is Completed.

        Args:
            context: The context of the task.

        Returns:
            The import, with ``index_name``.

        Raises:
            AirflowFailException: The import failed or was cancelled, or Pinecone rejected a poll; not retried.
            AirflowSensorTimeout: The sensor timed out; not retried.
            AirflowSkipException: The sensor timed out, and ``soft_fail`` is set.
            PineconeUnreachable: Too many consecutive polls failed. Not raised in reschedule mode.
        """
        return self._execute(context)

    @property
    def _resource_id(self) -> str:
        from airflow_pinecone.common.inputs import validate_id, validate_index_name
        from airflow_pinecone.waiting.resources import import_resource_id

        return import_resource_id(validate_index_name(self.index_name), validate_id(self.import_id, "import"))
