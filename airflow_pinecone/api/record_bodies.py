"""Read the answers of the data plane: pages of ids, and records. This module needs numpy and orjson."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson

from airflow_pinecone.api.models import VectorFields
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.record import Record, SparseValues

# The default namespace has this name in the calls for namespaces and documents. The calls for vectors leave it out.
DEFAULT_NAMESPACE = "__default__"
_NO_VALUES = np.empty(0, dtype=np.float32)


class Body(NamedTuple):
    """The body of a response.

    Attributes:
        json: Its JSON.
        size: Its bytes, not compressed.
    """

    json: Any
    size: int


class Page(NamedTuple):
    """A page of ids.

    Attributes:
        ids: The ids.
        token: The token of the next page; None for the last one.
    """

    ids: list[str]
    token: str | None


def decode(content: bytes) -> Body:
    """Decode the body of a response, or raise ValueError."""
    return Body(orjson.loads(content), len(content))


def canonical_namespace(name: str) -> str:
    """Return the name of a namespace. The default namespace has two names: ``""`` and ``__default__``."""
    return name or DEFAULT_NAMESPACE


def read_units(answer: Any) -> int:
    """Return the read units that a request has cost; 0 if the answer does not tell."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    units = (usage.get("readUnits") or usage.get("read_units")) if isinstance(usage, dict) else None
    return units if type(units) is int and units > 0 else 0


def page(answer: Any, operation: Operation) -> Page:
    """Return an answer as a page of ids."""
    if not isinstance(answer, dict):
        raise operation.invalid_response("is not a page of ids")
    rows, id_field = (answer["documents"], "_id") if "documents" in answer else (answer.get("vectors") or [], "id")
    pagination = answer.get("pagination")
    token = pagination.get("next") if isinstance(pagination, dict) else None
    try:
        ids = [row[id_field] for row in rows]
    except (KeyError, TypeError):
        raise operation.invalid_response("has a row without an id") from None
    if not all(isinstance(each, str) and each for each in ids):
        raise operation.invalid_response("has a row without an id")
    return Page(ids, str(token) if token else None)


def vectors(answer: Any, operation: Operation, requested: Iterable[str]) -> dict[str, Record]:
    """Return an answer of the vectors API as records by id."""
    return _records(answer, "vectors", operation, requested, _vector)


def _vector(record_id: str, row: Any) -> Record:
    sparse, metadata = row.get("sparseValues"), row.get("metadata") or {}
    if row.get("id", record_id) != record_id or type(metadata) is not dict:
        raise TypeError
    return Record(record_id, _float32(row.get("values")), _sparse(sparse) if sparse else None, metadata)


def documents(
    answer: Any, operation: Operation, requested: Iterable[str], vector_fields: VectorFields
) -> dict[str, Record]:
    """Return an answer of the Documents API as records by id.

    The fields of dense and sparse vectors become lists of the numbers that a float32 has. So an answer with more or
    fewer digits is the same.
    """

    def record(record_id: str, row: Any) -> Record:
        if row.get("_id", record_id) != record_id:
            raise TypeError
        fields = {name: value for name, value in row.items() if name not in ("_id", "_score")}
        for name in vector_fields.dense & fields.keys():
            fields[name] = _float32(fields[name]).tolist()
        for name in vector_fields.sparse & fields.keys():
            pairs = _sparse(fields[name])
            fields[name] = {"indices": pairs.indices.tolist(), "values": pairs.values.tolist()}
        return Record(record_id, _NO_VALUES, None, fields)

    return _records(answer, "documents", operation, requested, record)


def _records(
    answer: Any,
    field: str,
    operation: Operation,
    requested: Iterable[str],
    record: Callable[[str, Any], Record],
) -> dict[str, Record]:
    rows = answer.get(field) or {} if isinstance(answer, dict) else None
    if not isinstance(rows, dict) or not rows.keys() <= set(requested):
        raise operation.invalid_response("has other records than those that were requested")
    try:
        return {record_id: record(record_id, row) for record_id, row in rows.items()}
    except (AttributeError, KeyError, TypeError, ValueError, struct.error):
        pass
    # Raised outside of the except block: the caught error holds a record.
    raise operation.invalid_response("has a record with invalid fields")


@lru_cache(maxsize=8)
def _packer(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}f")


def _float32(numbers: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a list of numbers as float32.

    JSON has the digits of a float32, and they become a double first. That gives the same bits: 9 digits identify a
    float32, and a double has more. A number that is too large for a float32 becomes infinite, and null, which stands
    for a value that JSON cannot have, becomes NaN.
    """
    if not numbers:
        return _NO_VALUES
    try:
        # Much faster than numpy's conversion of a list.
        return np.frombuffer(_packer(len(numbers)).pack(*numbers), dtype=np.float32)
    except (OverflowError, struct.error):
        if not all(type(number) in (int, float) or number is None for number in numbers):
            raise
        with np.errstate(over="ignore"):
            return np.array(numbers, dtype=np.float64).astype(np.float32)


def _sparse(pairs: Any) -> SparseValues:
    indices, values = pairs["indices"], pairs["values"]
    if len(indices) != len(values) or not all(type(index) is int and 0 <= index < 2**32 for index in indices):
        raise ValueError
    return SparseValues(np.array(indices, dtype=np.uint32), _float32(values))
