"""Changes that make a restored copy differ from its backup: `emulator.next_restore(change=lose_record("", "a"))`.

Each function returns a change, which fails with ValueError if the copy does not have the namespace or the record.
"Namespace" is the name, "" for the default one.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from airflow_pinecone.emulator.namespaces import StoredNamespace
from airflow_pinecone.emulator.records import Record

Copy = dict[str, StoredNamespace]
Change = Callable[[Copy], None]


def lose_record(namespace: str, record_id: str) -> Change:
    """Remove a record."""

    def change(copy: Copy) -> None:
        _record(copy, namespace, record_id)
        copy[namespace].remove(record_id)

    return change


def lose_namespace(name: str) -> Change:
    """Remove a namespace."""

    def change(copy: Copy) -> None:
        _namespace(copy, name)
        del copy[name]

    return change


def empty_namespace(name: str) -> Change:
    """Remove all records of a namespace, and keep it."""
    return lambda copy: _namespace(copy, name).clear()


def flip_bit(namespace: str, record_id: str, position: int, bit: int) -> Change:
    """Flip a bit of a value.

    Args:
        namespace: The name of the namespace.
        record_id: The id of the record.
        position: The position of the value among the dense values or, in a record without any, the sparse values.
        bit: The bit of the float32: 0 is the lowest of the fraction, 31 the sign.
    """

    def change(copy: Copy) -> None:
        record = _vector(copy, namespace, record_id)
        sparse = None if len(record.values) else record.sparse
        values = (sparse.values if sparse else record.values).copy()
        if not 0 <= position < len(values) or not 0 <= bit < 32:
            raise ValueError(
                f"Record {record_id!r} has {len(values)} values of 32 bits, so no bit {bit} of {position}."
            )
        values.view(np.uint32)[position] ^= np.uint32(1 << bit)
        if sparse:
            changed = replace(record, sparse=replace(sparse, values=values))
        else:
            changed = replace(record, values=values, values_json=None)
        copy[namespace].put(changed)

    return change


def change_sparse_index(namespace: str, record_id: str, position: int, index: int) -> Change:
    """Replace the index of a sparse value.

    Args:
        namespace: The name of the namespace.
        record_id: The id of the record.
        position: The position of the pair.
        index: The new index.
    """

    def change(copy: Copy) -> None:
        record = _vector(copy, namespace, record_id)
        count = len(record.sparse.indices) if record.sparse else 0
        if record.sparse is None or not 0 <= position < count:
            raise ValueError(f"Record {record_id!r} has {count} sparse values, so none at {position}.")
        indices = record.sparse.indices.copy()
        indices[position] = index
        copy[namespace].put(replace(record, sparse=replace(record.sparse, indices=indices)))

    return change


def change_metadata_type(namespace: str, record_id: str, field: str) -> Change:
    """Give a metadata field the same content in another type: 1 becomes "1", 1.0 "1.0", True 1, and "a" ["a"]."""

    def change(copy: Copy) -> None:
        record = _record(copy, namespace, record_id)
        if field not in (record.metadata or {}):
            raise ValueError(f"Record {record_id!r} has no metadata field {field!r}.")
        copy[namespace].put(record.with_metadata({field: _other_type(record.metadata[field])}))

    return change


def swap_records(namespace: str, record_id: str, other_id: str) -> Change:
    """Exchange the contents of two records."""

    def change(copy: Copy) -> None:
        record, other = _record(copy, namespace, record_id), _record(copy, namespace, other_id)
        copy[namespace].put(replace(record, id=other_id))
        copy[namespace].put(replace(other, id=record_id))

    return change


def duplicate_record(namespace: str, record_id: str, new_id: str) -> Change:
    """Add a record with the same content and another id."""
    return lambda copy: copy[namespace].put(replace(_record(copy, namespace, record_id), id=new_id))


def _other_type(value: Any) -> Any:
    match value:
        case bool():
            return int(value)
        case int() | float():
            return json.dumps(value)
        case str():
            return [value]
    return json.dumps(value)


def _namespace(copy: Copy, name: str) -> StoredNamespace:
    if name not in copy:
        raise ValueError(f"The copy has no namespace {name!r}, only {sorted(copy)}.")
    return copy[name]


def _record(copy: Copy, namespace: str, record_id: str) -> Any:
    record = _namespace(copy, namespace).get(record_id)
    if record is None:
        raise ValueError(f"Namespace {namespace!r} has no record {record_id!r}.")
    return record


def _vector(copy: Copy, namespace: str, record_id: str) -> Record:
    record = _record(copy, namespace, record_id)
    if isinstance(record, Record):
        return record
    raise ValueError(f"{record_id!r} is a document. Only the values of a record of a vector index can be changed.")
