"""Check the records of one namespace, and compare them with those of another index. This module needs numpy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypedDict

import numpy as np

from airflow_pinecone.api.record import Record, RecordBatch, SparseValues
from airflow_pinecone.rules.digests import NamespaceDigest, canonical_metadata, record_hash

# A finding names at most so many ids.
MAX_EXAMPLES = 10

FindingKind = Literal["unreadable", "wrong_dimension", "not_finite", "missing", "extra", "changed"]
Part = Literal["values", "sparse_values", "metadata"]


class Finding(TypedDict):
    """What is wrong with some records of a namespace, as JSON types.

    ``unreadable`` records are listed, but requests do not return them. ``wrong_dimension`` records have another number
    of values than the index has dimensions, and those of ``not_finite`` have a value that is too large for a float32.
    The other kinds are differences from the reference: ``missing`` records are only in the reference, ``extra`` ones
    are not in it, and ``changed`` ones have other content.

    Attributes:
        kind: The kind.
        namespace: The namespace; the default one is ``__default__``.
        count: The number of records.
        ids: Some of their ids.
        parts: For ``changed``, how many records differ in ``values``, ``sparse_values`` and ``metadata``. A record can
            differ in several.
    """

    kind: FindingKind
    namespace: str
    count: int
    ids: list[str]
    parts: dict[Part, int]


@dataclass
class RecordCheck:
    """The check of the records of one namespace. Add its records, or its differences from a reference, then read it.

    Attributes:
        namespace: The namespace.
        dimension: The dimension of the index; None if it has no dense vectors, or if it is unknown.
        digest: The digest of the records so far.
        findings: The findings so far, by kind.
        reference_count: The number of records of the reference so far.
    """

    namespace: str
    dimension: int | None
    digest: NamespaceDigest = field(default_factory=NamespaceDigest)
    findings: dict[FindingKind, Finding] = field(default_factory=dict)
    reference_count: int = 0

    def add(self, records: Iterable[Record]) -> None:
        """Check records by themselves, and add them to the digest."""
        for record in records:
            self.digest.add([record])
            if len(record.values) and self.dimension is not None and len(record.values) != self.dimension:
                self._find("wrong_dimension", record.id)
            sparse = record.sparse_values
            if not (np.isfinite(record.values).all() and (sparse is None or np.isfinite(sparse.values).all())):
                self._find("not_finite", record.id)

    def add_unreadable(self, ids: Iterable[str]) -> None:
        """Add ids that are listed, but whose records were not returned."""
        for record_id in ids:
            self._find("unreadable", record_id)

    def compare(self, record: Record | None, reference: Record | None) -> None:
        """Compare a record with the one of the reference that has the same id.

        Args:
            record: The record; None if only the reference has one.
            reference: The record of the reference; None if it has none.
        """
        self.reference_count += reference is not None
        if record is None and reference is not None:
            self._find("missing", reference.id)
        elif record is not None and reference is None:
            self._find("extra", record.id)
        elif record is not None and reference is not None and record_hash(record) != record_hash(reference):
            self._find("changed", record.id)
            parts = self.findings["changed"]["parts"]
            for part in differing_parts(record, reference):
                parts[part] = parts.get(part, 0) + 1

    def _find(self, kind: FindingKind, record_id: str) -> None:
        finding = self.findings.setdefault(
            kind, Finding(kind=kind, namespace=self.namespace, count=0, ids=[], parts={})
        )
        finding["count"] += 1
        if len(finding["ids"]) < MAX_EXAMPLES:
            finding["ids"].append(record_id)


def differing_parts(record: Record, other: Record) -> list[Part]:
    """Return the parts in which two records with one id differ."""
    parts: list[Part] = []
    if _dense_key(record) != _dense_key(other):
        parts.append("values")
    if _sparse_key(record.sparse_values) != _sparse_key(other.sparse_values):
        parts.append("sparse_values")
    if canonical_metadata(record.metadata) != canonical_metadata(other.metadata):
        parts.append("metadata")
    return parts


def merge(
    batches: Iterable[RecordBatch], reference: Iterable[RecordBatch]
) -> Iterator[tuple[Record | None, Record | None]]:
    """Walk over two namespaces at the same time, in the order of the ids. A few batches of each are in memory.

    Args:
        batches: The batches of the first namespace.
        reference: The batches of the second one.

    Yields:
        For each id, the record of the first and of the second namespace; None for one that does not have it.
    """
    left = (record for batch in batches for record in batch.records)
    right = (record for batch in reference for record in batch.records)
    first, second = next(left, None), next(right, None)
    while first is not None or second is not None:
        if second is None or (first is not None and first.id < second.id):
            yield first, None
            first = next(left, None)
        elif first is None or second.id < first.id:
            yield None, second
            second = next(right, None)
        else:
            yield first, second
            first, second = next(left, None), next(right, None)


def _dense_key(record: Record) -> bytes:
    return (record.values + np.float32(0)).tobytes()


def _sparse_key(sparse: SparseValues | None) -> tuple[bytes, bytes]:
    if sparse is None:
        return b"", b""
    order = np.argsort(sparse.indices, kind="stable")
    return sparse.indices[order].tobytes(), (sparse.values[order] + np.float32(0)).tobytes()
