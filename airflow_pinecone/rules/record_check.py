"""Check the records of one namespace, and compare them with those of another index. This module needs numpy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from airflow_pinecone.api.models import VectorFields
from airflow_pinecone.api.record import Record, RecordBatch, SparseValues
from airflow_pinecone.rules.digests import NamespaceDigest, canonical_metadata, sparse_order

# A finding names at most so many ids.
MAX_EXAMPLES = 10

FindingKind = Literal[
    "unreadable", "no_values", "wrong_dimension", "not_finite", "missing", "extra", "changed", "not_compared"
]
Part = Literal["values", "sparse_values", "metadata"]
Side = Record | Literal["unreadable"] | None

_UNREADABLE: Literal["unreadable"] = "unreadable"


class Finding(TypedDict):
    """What is wrong with some records of a namespace, as JSON types.

    ``unreadable`` records are listed, but requests do not return them. ``no_values`` records have no vector at all, and
    ``wrong_dimension`` ones have another number of values than the index has dimensions. Those of ``not_finite`` have a
    value that is too large for a float32, or none. The other kinds are differences from the reference: ``missing``
    records are only in the reference, ``extra`` ones are not in it, and ``changed`` ones have other content. For
    ``not_compared`` ones, that is unknown: the reference lists them, but requests do not return them.

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
        fields: The vector fields of the documents; None for an index that has no documents.
        digest: The digest of the records so far.
        findings: The findings so far, by kind.
        reference_count: The number of records of the reference so far.
    """

    namespace: str
    dimension: int | None
    fields: VectorFields | None = None
    digest: NamespaceDigest = field(default_factory=NamespaceDigest)
    findings: dict[FindingKind, Finding] = field(default_factory=dict)
    reference_count: int = 0

    def add(self, records: Iterable[Record]) -> None:
        """Check records by themselves, and add them to the digest."""
        for record in records:
            self.digest.add([record])
            vectors, sparse = list(self._dense_of(record)), list(self._sparse_of(record))
            if not any(len(values) for values, _ in vectors) and not any(map(len, sparse)) and self.fields is None:
                self._find("no_values", record.id)
            elif any(dimension is not None and len(values) != dimension for values, dimension in vectors):
                self._find("wrong_dimension", record.id)
            if not all(np.isfinite(values).all() for values in (*(values for values, _ in vectors), *sparse)):
                self._find("not_finite", record.id)

    def _dense_of(self, record: Record) -> Iterator[tuple[Any, int | None]]:
        """Yield each dense vector of a record, and the dimension that it must have."""
        if self.fields is None:
            yield record.values, self.dimension
        else:
            for name, dimension in self.fields.dense.items():
                if record.metadata.get(name) is not None:
                    yield record.metadata[name], dimension

    def _sparse_of(self, record: Record) -> Iterator[Any]:
        """Yield the values of each sparse vector of a record."""
        if record.sparse_values is not None:
            yield record.sparse_values.values
        for name in self.fields.sparse if self.fields else ():
            if record.metadata.get(name) is not None:
                yield record.metadata[name]["values"]

    def add_unreadable(self, ids: Iterable[str]) -> None:
        """Add ids that are listed, but whose records were not returned."""
        for record_id in ids:
            self._find("unreadable", record_id)

    def compare(self, pair: Pair) -> None:
        """Compare a record with the one of the reference that has the same id.

        Args:
            pair: The two records.
        """
        record, reference = pair.record, pair.reference
        self.reference_count += reference is not None
        if record is None:
            self._find("missing", pair.record_id)
        elif reference is None:
            self._find("extra", pair.record_id)
        elif isinstance(record, str):
            # It is a finding already.
            return
        elif isinstance(reference, str):
            self._find("not_compared", pair.record_id)
        elif parts_that_differ := differing_parts(record, reference):
            self._find("changed", pair.record_id)
            parts = self.findings["changed"]["parts"]
            for part in parts_that_differ:
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
    if _bytes_of(record.values) != _bytes_of(other.values):
        parts.append("values")
    if _sparse_key(record.sparse_values) != _sparse_key(other.sparse_values):
        parts.append("sparse_values")
    if canonical_metadata(record.metadata) != canonical_metadata(other.metadata):
        parts.append("metadata")
    return parts


class Pair(NamedTuple):
    """The records of two namespaces that have one id.

    Attributes:
        record_id: The id.
        record: The record of the first namespace; None if it does not list the id, and ``unreadable`` if it lists the
            id, but requests do not return the record.
        reference: The same for the second namespace.
    """

    record_id: str
    record: Side
    reference: Side


def merge(batches: Iterable[RecordBatch], reference: Iterable[RecordBatch]) -> Iterator[Pair]:
    """Walk over two namespaces at the same time, in the order of the ids. A few batches of each are in memory.

    Args:
        batches: The batches of the first namespace.
        reference: The batches of the second one.

    Yields:
        The two records of each id that is in one of the namespaces.
    """
    end: tuple[str, Side] = ("", None)
    left, right = _sides(batches), _sides(reference)
    (first_id, first), (second_id, second) = next(left, end), next(right, end)
    while first is not None or second is not None:
        if second is None or (first is not None and first_id < second_id):
            yield Pair(first_id, first, None)
            first_id, first = next(left, end)
        elif first is None or second_id < first_id:
            yield Pair(second_id, None, second)
            second_id, second = next(right, end)
        else:
            yield Pair(first_id, first, second)
            (first_id, first), (second_id, second) = next(left, end), next(right, end)


def _sides(batches: Iterable[RecordBatch]) -> Iterator[tuple[str, Side]]:
    """Yield each id that was listed, with its record."""
    for batch in batches:
        sides: list[tuple[str, Side]] = [(record.id, record) for record in batch.records]
        if batch.missing:
            sides = sorted([*sides, *((record_id, _UNREADABLE) for record_id in batch.missing)], key=itemgetter(0))
        yield from sides


def _bytes_of(values: NDArray[np.float32]) -> bytes:
    return (values + np.float32(0)).tobytes()


def _sparse_key(sparse: SparseValues | None) -> tuple[bytes, bytes]:
    if sparse is None:
        return b"", b""
    order = sparse_order(sparse)
    return sparse.indices[order].tobytes(), _bytes_of(sparse.values[order])
