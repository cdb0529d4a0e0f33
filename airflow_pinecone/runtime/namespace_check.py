"""Check the records of one namespace of a restored index. This module needs numpy."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from airflow_pinecone.api.models import dimension_of, document_fields, metric_of
from airflow_pinecone.errors import PineconeError
from airflow_pinecone.rules.recall import Recall
from airflow_pinecone.rules.record_check import RecordCheck, merge
from airflow_pinecone.rules.restore_test import NamespaceResult
from airflow_pinecone.runtime.progress import Progress

if TYPE_CHECKING:
    from airflow_pinecone.api.record import Record, RecordBatch
    from airflow_pinecone.api.records import IndexRecords


class QueryCheck:
    """Check that queries of a namespace find the nearest records.

    Args:
        records: The reader of the restored index.
        namespace: The namespace.
        queries: The number of records whose values are the query vectors.
        top_k: The number of nearest records.
        seed: Selects the records.

    Attributes:
        error: Why a query failed; empty if none did.
    """

    def __init__(self, records: IndexRecords, namespace: str, *, queries: int, top_k: int, seed: int) -> None:
        self._records = records
        self._namespace = namespace
        self._query_count = queries
        self._top_k = top_k
        self._random = random.Random(f"{seed}/{namespace}")  # noqa: S311
        self._dimension, self._metric = dimension_of(records.index), metric_of(records.index)
        self._recall: Recall | None = None
        self.error = ""

    @property
    def why_impossible(self) -> str:
        """Why there can be no queries, as a clause for a message; empty if there can."""
        if self._records.is_document_index:
            return "only the Documents API serves the index"
        if self._dimension is None:
            return "the index has no dense vectors"
        if self._metric not in ("cosine", "dotproduct", "euclidean"):
            return "the metric of the index is unknown"
        return ""

    def add(self, records: list[Record]) -> None:
        """Add records. The queries are sent as soon as there are usable ones, and chosen from these."""
        usable = [record for record in records if self._is_usable(record)]
        if self._recall is None and usable and not self.error:
            queries = self._random.sample(usable, min(self._query_count, len(usable)))
            try:
                found = [
                    self._records.query(self._namespace, query.values.tolist(), top_k=self._top_k) for query in queries
                ]
            except PineconeError as error:  # The records can be read nevertheless.
                self.error = error.reason
                return
            self._recall = Recall(queries, found, str(self._metric), self._top_k)
        if self._recall is not None:
            self._recall.add(usable)

    def recall(self) -> float | None:
        """Return the mean recall of the queries; None if there were none."""
        if self._recall is None:
            return None
        shares = self._recall.shares()
        return round(sum(shares) / len(shares), 4)

    def _is_usable(self, record: Record) -> bool:
        # Pinecone rejects a query with a vector of zeros.
        values = record.values
        return len(values) == self._dimension and bool(np.isfinite(values).all() and values.any())


def check_namespace(
    namespace: str,
    records: IndexRecords,
    reference: IndexRecords | None,
    *,
    sample: float,
    seed: int,
    expected: int | None,
    queries: QueryCheck | None,
    progress: Progress,
) -> NamespaceResult:
    """Read all records of a namespace, and check them.

    Args:
        namespace: The namespace.
        records: The reader of the restored index.
        reference: The reader of the index to compare with; None compares nothing.
        sample: The share of the records to read.
        seed: Selects the sample.
        expected: The number of records in the stats of the restored index; None if unknown.
        queries: Checks queries; None if there are none.
        progress: Logs the progress.
    """
    fields = document_fields(records.index)
    check = RecordCheck(namespace, None if fields else dimension_of(records.index), fields)
    listed = 0

    def restored() -> Iterator[RecordBatch]:
        nonlocal listed
        for batch in records.read(namespace, sample=sample, seed=seed):
            listed += batch.listed
            check.add(batch.records)
            check.add_unreadable(batch.missing)
            if queries is not None:
                queries.add(batch.records)
            progress.add(len(batch.records))
            yield batch

    if reference is None:
        for _ in restored():
            pass
    else:
        for pair in merge(restored(), reference.read(namespace, sample=sample, seed=seed)):
            check.compare(pair)
    recall, query_error = (queries.recall(), queries.error) if queries is not None else (None, "")
    has_no_query = queries is not None and recall is None and not query_error and listed > 0
    return NamespaceResult(
        listed=listed,
        read=check.digest.count,
        expected=expected,
        digest=str(check.digest),
        findings=list(check.findings.values()),
        recall=recall,
        why_no_recall="no record can be a query" if has_no_query else "",
        query_error=query_error,
        reference_count=None if reference is None else check.reference_count,
    )
