"""The sensor of an import that waits until the index reports all records that were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_pinecone.sensors.base import WaitSensor

if TYPE_CHECKING:
    from airflow_pinecone.rules.copy_import import ImportPlan
    from airflow_pinecone.rules.copy_proof import ProofItem
    from airflow_pinecone.waiting.decisions import WaitResult


class ImportedCountsSensor(WaitSensor):
    """Wait until the counts of an index have settled after an import, and group the namespaces to prove.

    The wait ends when the stats and the namespaces have as many records as were written. It does not fail at its
    timeout: then the records are read, and the proof tells which ones are missing.

    Args:
        plan: The plan of the import (templated).
        upserts: The results of the upserts (templated).
        bulk_import: The bulk import (templated); None if there is none.
        conn_id: The Airflow connection with the API key (templated).
        deferrable: Whether to wait in the triggerer.
        timeout: Seconds until the sensor stops waiting, or a timedelta.
        kwargs: The arguments of BaseSensorOperator.

    Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/describeindexstats
    and https://docs.pinecone.io/reference/api/2025-10/data-plane/listnamespaces
    """

    template_fields: Sequence[str] = ("plan", "upserts", "bulk_import", "conn_id")
    resource_type = "record_counts"

    def __init__(
        self,
        *,
        plan: ImportPlan,
        upserts: Any,
        bulk_import: Mapping[str, Any] | None,
        conn_id: str,
        deferrable: bool,
        timeout: float | timedelta,
        poke_interval: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.plan = plan
        self.upserts = upserts
        self.bulk_import = bulk_import

    def execute(self, context: Any) -> Any:
        """Wait, and group the namespaces.

        Args:
            context: The context of the task.

        Returns:
            The namespaces that each ``prove`` task proves.

        Raises:
            AirflowFailException: Pinecone rejected a request, or the connection is invalid; not retried.
            PineconeUnreachable: Too many consecutive polls failed.
        """
        return self._execute(context)

    @property
    def _resource_id(self) -> str:
        return self.plan["index_name"]

    @property
    def _expected_count(self) -> int | None:
        from airflow_pinecone.api.models import count_of
        from airflow_pinecone.runtime.copies import rows_of

        if self.plan["into_existing"]:
            return None
        written = sum(row["records"] for row in rows_of(self.upserts))
        imported = 0 if self.bulk_import is None else count_of(self.bulk_import.get("recordsImported"))
        return self.plan["records"] if imported is None else written + imported

    def _result_of(self, result: WaitResult) -> list[ProofItem]:
        from airflow_pinecone.errors import WaitTimeout

        if isinstance(result.error, WaitTimeout):
            self.log.warning(
                "The counts of index %s have not settled: %s. The next tasks read its records.",
                self._resource_id,
                result.error.reason,
            )
        else:
            result.result_or_raise()
        return self._split()

    def _split(self) -> list[ProofItem]:
        from airflow_pinecone.rules.copy_proof import proof_items
        from airflow_pinecone.runtime.copies import open_copy

        counts = {row["name"]: row["records"] for row in open_copy(self.plan["url"]).manifest["namespaces"]}
        if not self.plan["into_existing"]:
            # Nothing else may be in a new index.
            counts = {**self.hook.records(self._resource_id).stats(), **counts}
        items = proof_items(counts)
        self.log.info("Proving %d namespaces in %d tasks.", len(counts), len(items))
        return items
