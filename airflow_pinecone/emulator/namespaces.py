"""Namespaces: the records of an index that belong together, stored or computed."""

import functools
import heapq
import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from airflow_pinecone.emulator.records import NO_VALUES, Document, Floats, Model, Record, SparseValues, encode

# The records of a generated namespace repeat these rows of values, each with another first value.
_POOL_ROWS = 64
_SPARSE_PAIRS = 8
_ID_PREFIX = "record-"


class Namespace(Protocol):
    """The records of a namespace."""

    schema: Model | None

    def __len__(self) -> int:
        """Return the number of records."""

    def ids_from(self, start: str) -> Iterator[str]:
        """Yield the ids from `start` on, sorted by bytes."""

    def count_before(self, start: str) -> int:
        """Return the number of ids before those of `ids_from`."""

    def get(self, record_id: str) -> Any:
        """Return a record, or None if there is none with this id."""

    def copy(self) -> "Namespace":
        """Return a copy that shares the records."""


Namespaces = dict[str, Namespace]


class StoredNamespace:
    """Records in memory, on top of the records of a generated namespace.

    Attributes:
        schema: The schema that the namespace was created with, or None.
    """

    def __init__(self, base: "GeneratedNamespace | None" = None, schema: Model | None = None) -> None:
        """Create a namespace with the records of `base`."""
        self.schema = schema
        self._base = base
        # None stands for a record of the base that was removed.
        self._records: dict[str, Any] = {}
        self._length = len(base) if base is not None else 0
        self._sorted_ids: list[str] | None = []
        # The ids of the base that were replaced or removed.
        self._sorted_changed_ids: list[str] | None = []

    def __len__(self) -> int:
        """Return the number of records."""
        return self._length

    def ids_from(self, start: str) -> Iterator[str]:
        """Yield the ids from `start` on, sorted by bytes."""
        ids = self._ids()
        own = map(ids.__getitem__, range(bisect_left(ids, start), len(ids)))
        if self._base is None:
            return own
        inherited = (record_id for record_id in self._base.ids_from(start) if record_id not in self._records)
        return heapq.merge(inherited, own)

    def count_before(self, start: str) -> int:
        """Return the number of ids before those of `ids_from`."""
        count = bisect_left(self._ids(), start)
        if self._base is None:
            return count
        return count + self._base.count_before(start) - bisect_left(self._changed_ids(), start)

    def get(self, record_id: str) -> Any:
        """Return a record, or None if there is none with this id."""
        if record_id in self._records or self._base is None:
            return self._records.get(record_id)
        return self._base.get(record_id)

    def put(self, record: Any) -> None:
        """Add a record, or replace the one with its id."""
        if self.get(record.id) is None:
            self._length += 1
        if self._records.get(record.id) is None:
            self._sorted_ids = self._sorted_changed_ids = None
        self._records[record.id] = record

    def remove(self, record_id: str) -> None:
        """Remove a record. Does nothing if there is none with this id."""
        if self.get(record_id) is None:
            return
        self._length -= 1
        if self._records.pop(record_id, None) is not None:
            self._sorted_ids = None
        if self._base is not None and record_id in self._base:
            self._records[record_id] = None
            self._sorted_changed_ids = None

    def clear(self) -> None:
        """Remove all records."""
        self._base, self._records, self._length = None, {}, 0
        self._sorted_ids = self._sorted_changed_ids = []

    def copy(self) -> "StoredNamespace":
        """Return a copy that shares the records."""
        copied = StoredNamespace(self._base, self.schema)
        copied._records, copied._length = dict(self._records), self._length
        # These are never changed, only replaced.
        copied._sorted_ids, copied._sorted_changed_ids = self._ids(), self._changed_ids()
        return copied

    def _ids(self) -> list[str]:
        if self._sorted_ids is None:
            # The order of code points is that of the bytes in UTF-8.
            self._sorted_ids = sorted(record_id for record_id, record in self._records.items() if record is not None)
        return self._sorted_ids

    def _changed_ids(self) -> list[str]:
        if self._sorted_changed_ids is None:
            base = self._base
            self._sorted_changed_ids = [] if base is None else sorted(each for each in self._records if each in base)
        return self._sorted_changed_ids


class GeneratedNamespace:
    """Records that are computed when they are read, so that any number of them takes no memory.

    The same arguments give the same records, and a larger count adds records after the others.
    """

    schema: Model | None = None

    def __init__(self, count: int, dimension: int | None, seed: int = 0, schema: Model | None = None) -> None:
        """Create a namespace.

        Args:
            count: The number of records.
            dimension: The number of dense values of a record; None for sparse values.
            seed: Another seed gives other values.
            schema: The fields in the schema of a document index, which has documents instead of records.
        """
        self._document_fields = schema
        self._count = count
        self._dimension = dimension
        self._seed = seed
        self._digits = max(8, len(str(count - 1)))

    def __len__(self) -> int:
        """Return the number of records."""
        return self._count

    def ids_from(self, start: str) -> Iterator[str]:
        """Yield the ids from `start` on, sorted by bytes."""
        return map(self._id, range(self.count_before(start), self._count))

    def count_before(self, start: str) -> int:
        """Return the number of ids before those of `ids_from`."""
        return bisect_left(range(self._count), start, key=self._id)

    def __contains__(self, record_id: str) -> bool:
        """Return whether there is a record with this id."""
        return self._number(record_id) is not None

    def get(self, record_id: str) -> Record | Document | None:
        """Return a record, or None if there is none with this id."""
        number = self._number(record_id)
        if number is None:
            return None
        if self._document_fields is not None:
            return _document(record_id, number, self._document_fields, self._seed)
        return _record(record_id, number, self._dimension, self._seed)

    def copy(self) -> "GeneratedNamespace":
        """Return itself, because it never changes."""
        return self

    def resized(self, count: int) -> "GeneratedNamespace":
        """Return a namespace with the first `count` of the same records, or with more."""
        return GeneratedNamespace(count, self._dimension, self._seed, self._document_fields)

    def _number(self, record_id: str) -> int | None:
        """Return the number of the record with this id, or None if there is none."""
        digits = record_id.removeprefix(_ID_PREFIX)
        if not (digits.isascii() and digits.isdecimal()) or record_id != self._id(int(digits[: self._digits])):
            return None
        return int(digits) if int(digits) < self._count else None

    def _id(self, number: int) -> str:
        return f"{_ID_PREFIX}{number:0{self._digits}d}"


class FirstRecords:
    """The first records of a namespace, which lists and counts show while they are behind. `get` finds all records."""

    def __init__(self, namespace: Namespace, count: int) -> None:
        """Show the first `count` records of a namespace."""
        self.schema = namespace.schema
        self._namespace = namespace
        self._count = count

    def __len__(self) -> int:
        """Return the number of records that lists show."""
        return self._count

    def ids_from(self, start: str) -> Iterator[str]:
        """Yield the ids from `start` on, sorted by bytes."""
        return itertools.islice(self._namespace.ids_from(start), self._count - self.count_before(start))

    def count_before(self, start: str) -> int:
        """Return the number of ids before those of `ids_from`."""
        return min(self._count, self._namespace.count_before(start))

    def get(self, record_id: str) -> Any:
        """Return a record, or None if there is none with this id."""
        return self._namespace.get(record_id)

    def copy(self) -> Namespace:
        """Return a copy of the whole namespace."""
        return self._namespace.copy()


def writable(namespaces: Namespaces, name: str) -> StoredNamespace:
    """Return a namespace that can be changed. A new one replaces one that is missing or generated."""
    namespace = namespaces.get(name)
    if not isinstance(namespace, StoredNamespace):
        namespace = StoredNamespace(namespace if isinstance(namespace, GeneratedNamespace) else None)
        namespaces[name] = namespace
    return namespace


def put(namespaces: Namespaces, name: str, records: Iterable[Any]) -> None:
    """Add records to a namespace, or replace those with the same ids."""
    namespace = writable(namespaces, name)
    for record in records:
        namespace.put(record)


def copies(namespaces: Namespaces) -> Namespaces:
    """Return copies that share the records."""
    return {name: namespace.copy() for name, namespace in namespaces.items()}


@functools.lru_cache(maxsize=32)
def _pool(width: int, seed: int) -> tuple[Floats, list[bytes]]:
    """Return rows of values, and each without its first value as JSON."""
    rows = np.random.default_rng(seed).uniform(-1, 1, (_POOL_ROWS, width)).astype(np.float32)
    return rows, [encode(row[1:])[1:] for row in rows]


def _record(record_id: str, number: int, dimension: int | None, seed: int) -> Record:
    rows, tails = _pool(dimension or _SPARSE_PAIRS, seed)
    values = rows[number % _POOL_ROWS].copy()
    values[0] = (number + 1) / 2**24  # exact, so no two records of a namespace have the same values
    metadata = {
        "number": number,
        "price": number / 8,
        "text": f"Record {number}",
        "available": number % 2 == 0,
        "tags": [f"tag-{number % 7}", f"tag-{number % 11}"],
    }
    if dimension is None:
        indices = (np.arange(_SPARSE_PAIRS) * 1000 + number % 1000).astype(np.uint32)
        return Record(record_id, NO_VALUES, SparseValues(indices, values), metadata)
    comma = b"," if dimension > 1 else b""
    json = encode(values[:1])[:-1] + comma + tails[number % _POOL_ROWS]
    return Record(record_id, values, None, metadata, json)


def _document(document_id: str, number: int, schema: Model, seed: int) -> Document:
    fields: Model = dict(_record(document_id, number, None, seed).metadata or {})
    for name, settings in schema.items():
        match settings.get("type"):
            case "dense_vector":
                fields[name] = _record(document_id, number, settings["dimension"], seed).values
            case "sparse_vector":
                fields[name] = _record(document_id, number, None, seed).sparse
            case "string":
                fields[name] = f"The text of document {number}."
    return Document(document_id, fields)
