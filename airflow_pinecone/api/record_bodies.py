"""Read the answers of the data plane: pages of ids, and records. This module needs numpy and orjson."""

from __future__ import annotations

import math
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
# A page has at least one of these.
_FIELDS_OF_PAGES = {
    *("vectors", "documents", "namespaces", "namespace", "namespace_aliases"),
    *("pagination", "usage", "total_count"),
}
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
    """Return the read units that a request has cost, rounded up; 0 if the answer does not tell."""
    usage = answer.get("usage") if isinstance(answer, dict) else None
    units: Any = usage.get("readUnits", usage.get("read_units")) if isinstance(usage, dict) else None
    try:
        # It can be a text, as other numbers of 64 bits in JSON.
        return 0 if isinstance(units, bool) else max(0, math.ceil(float(units)))
    except (TypeError, ValueError, OverflowError):
        return 0


def rows_of(answer: Any, field: str, operation: Operation) -> tuple[list[Any], str | None]:
    """Return the rows of a page, and the token of the next page; None for the last one.

    A page without rows may lack the field. An object with other fields only is no page: it would look like the last
    one.
    """
    if not isinstance(answer, dict) or (answer and not answer.keys() & _FIELDS_OF_PAGES):
        raise operation.invalid_response("is not a page")
    pagination, rows = answer.get("pagination"), answer.get(field)
    token = pagination.get("next") if isinstance(pagination, dict) else pagination
    is_valid = isinstance(pagination, dict | None) and isinstance(token, str | None) and isinstance(rows, list | None)
    if not is_valid:
        raise operation.invalid_response("is a page with invalid fields")
    return rows or [], token or None


def page(answer: Any, operation: Operation) -> Page:
    """Return an answer as a page of ids."""
    is_documents = isinstance(answer, dict) and "documents" in answer
    field, id_field = ("documents", "_id") if is_documents else ("vectors", "id")
    rows, token = rows_of(answer, field, operation)
    try:
        ids = [row[id_field] for row in rows]
    except (KeyError, TypeError):
        raise operation.invalid_response("has a row without an id") from None
    if not all(isinstance(each, str) and each for each in ids):
        raise operation.invalid_response("has a row without an id")
    return Page(ids, token)


def vectors(answer: Any, operation: Operation, requested: Iterable[str]) -> dict[str, Record]:
    """Return an answer of the vectors API as records by id."""
    return _records(answer, "vectors", operation, requested, _vector)


def _vector(record_id: str, row: Any) -> Record:
    sparse, metadata = row.get("sparseValues", row.get("sparse_values")), row.get("metadata")
    if row.get("id", record_id) != record_id or not isinstance(metadata, dict | None):
        raise TypeError
    return Record(record_id, _float32(row.get("values")), None if sparse is None else _sparse(sparse), metadata or {})


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
        for name in (name for name in vector_fields.dense if fields.get(name) is not None):
            fields[name] = _float32(fields[name]).tolist()
        for name in (name for name in vector_fields.sparse if fields.get(name) is not None):
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

    JSON has the digits of a float32, and they become a double first. That gives the same bits, except for about one of
    500 million numbers, whose last bit can differ, always in the same way. A number that is too large for a float32
    becomes infinite, and null, which stands for a value that JSON cannot have, becomes NaN.
    """
    if numbers is None:
        return _NO_VALUES
    if not isinstance(numbers, list):
        raise TypeError
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
