"""The sensor of a restore test that waits until the restored index reports all its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_pinecone.rules.restore_test import COUNTS_KEY, Counts, Part, Plan, split_into_parts
from airflow_pinecone.sensors.base import WaitSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.waiting.decisions import WaitResult


class RecordCountsSensor(WaitSensor):
    """Wait until the counts of a restored index have settled, and group its namespaces into parts.

    After a restore, the stats and the namespaces of an index lag behind. The wait ends when both have as many records
    as the backup. It does not fail at its timeout: a damaged backup looks the same, so the records must be read.

    Args:
        plan: The result of the first task of the restore test (templated).
        restore: The result of the restore (templated).
        parts: The maximum number of parts.
        conn_id: The Airflow connection with the API key (templated).
        deferrable: Whether to wait in the triggerer.
        timeout: Seconds until the sensor stops waiting, or a timedelta.
        kwargs: The arguments of BaseSensorOperator.

    Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/describeindexstats
    and https://docs.pinecone.io/reference/api/2025-10/data-plane/listnamespaces
    """

    template_fields: Sequence[str] = ("plan", "restore", "conn_id")
    resource_type = "record_counts"

    def __init__(
        self,
        *,
        plan: Plan,
        restore: Mapping[str, Any],
        parts: int,
        conn_id: str,
        deferrable: bool,
        timeout: float | timedelta,
        poke_interval: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.plan = plan
        self.restore = restore
        self.parts = parts
        self._ti: Any = None

    def execute(self, context: Context) -> Any:
        """Wait, and list the namespaces of the restored index and of the index that it is compared with.

        Args:
            context: The context of the task.

        Returns:
            The parts, each with the ids of the test, ``namespaces`` and their record counts, and ``compare``. The
            counts of the whole index are in XCom, under ``counts``.

        Raises:
            AirflowFailException: Pinecone rejected a request, or the connection is invalid; not retried.
            PineconeUnreachable: Too many consecutive polls failed.
        """
        self._ti = context["ti"]
        return self._execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Resume after the triggerer has waited.

        Args:
            context: The context of the task.
            event: The event of the trigger.

        Returns:
            The parts; see ``execute``.

        Raises:
            PineconeError: The wait has failed.
        """
        self._ti = context["ti"]
        return super().execute_complete(context, event)

    @property
    def _resource_id(self) -> str:
        return self.plan["scratch"]

    @property
    def _expected_count(self) -> int | None:
        from airflow_pinecone.api.models import count_of

        return count_of(self.plan["backup"].get("record_count"))

    def _result_of(self, result: WaitResult) -> list[Part]:
        from airflow_pinecone.errors import WaitTimeout

        problem = ""
        if isinstance(result.error, WaitTimeout):
            problem = result.error.reason
            self.log.warning(
                "The counts of index %s have not settled: %s. The next tasks read its records.",
                self._resource_id,
                problem,
            )
        else:
            result.result_or_raise()
        return self._split(problem)

    def _split(self, problem: str) -> list[Part]:
        from airflow_pinecone.errors import NotFound

        records = self.hook.records(self._resource_id)
        # A namespace can be in one of them only, for a while.
        stats, listed = records.stats(), records.namespaces()
        restored = {name: max(stats.get(name, 0), listed.get(name, 0)) for name in {**stats, **listed}}
        reference, why = None, self.plan["why_not_compared"]
        if self.plan["compare"]:
            try:
                reference = self.hook.records(self.plan["index_name"]).namespaces()
            except NotFound:
                why = f"index {self.plan['index_name']} was deleted during the test"
        parts = split_into_parts(
            restored,
            reference,
            self.parts,
            test_id=self.plan["test_id"],
            restore_job_id=self.restore["restore_job_id"],
        )
        counts = Counts(
            settled=not problem,
            problem=problem,
            namespaces=len(restored),
            compare=reference is not None,
            why_not_compared=why,
        )
        self._ti.xcom_push(key=COUNTS_KEY, value=dict(counts))
        self.log.info("Index %s has %d namespaces, in %d parts.", self._resource_id, len(restored), len(parts))
        return parts
