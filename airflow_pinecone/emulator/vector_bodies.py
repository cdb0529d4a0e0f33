"""Validation of the bodies of requests to the data plane."""

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.messages import ApiRequest
from airflow_pinecone.emulator.records import (
    Document,
    Floats,
    Model,
    Record,
    SparseValues,
    document_of,
    floats,
    metadata_of,
    record_of,
)
from airflow_pinecone.emulator.resources import Index

MAX_RECORDS = 1000
_MAX_BODY = 2 * 1024**2
_MAX_METADATA = 40 * 1024
_MAX_NAME = 512
_MAX_SPARSE_VALUES = 2048
# Values that are all smaller count as zero.
_SMALLEST = 1e-8


def read_body(request: ApiRequest, known: set[str], max_bytes: int | None = None) -> Model:
    """Return the JSON object in a body; 400 if there is none, if it is too large, or if it has an unknown field."""
    if max_bytes is not None and len(request.content) > max_bytes:
        size = len(request.content)
        raise ApiError(400, f"Request size {size} bytes exceeds the maximum supported size of {max_bytes} bytes.")
    try:
        body = orjson.loads(request.content)
    except ValueError as error:
        raise ApiError(400, f"The body is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise ApiError(400, "The body must be a JSON object.")
    unknown = sorted(set(body) - known)
    if unknown:
        raise ApiError(400, f"Unknown fields: {', '.join(unknown)}.")
    return body


def read_written(request: ApiRequest, known: set[str], name: str) -> tuple[Model, list[Any]]:
    """Return a body, and the 1 to 1,000 items that it writes."""
    body = read_body(request, known, _MAX_BODY)
    items: list[Any] = typed(body, name, list, [])
    if not 1 <= len(items) <= MAX_RECORDS:
        raise ApiError(400, f"A request has 1 to {MAX_RECORDS} {name}, not {len(items)}.")
    return body, items


def read_upsert(request: ApiRequest, index: Index) -> tuple[str, list[Record]]:
    """Return the namespace and the records of an upsert."""
    body, vectors = read_written(request, {"vectors", "namespace"}, "vectors")
    return read_namespace(typed(body, "namespace", str, "")), [_record(vector, index) for vector in vectors]


def read_ids(body: Mapping[str, Any]) -> list[str]:
    """Return the ids of a request that has 1 to 1,000 of them."""
    ids: list[str] = typed(body, "ids", list, [])
    if not 1 <= len(ids) <= MAX_RECORDS:
        raise ApiError(400, f"A request has 1 to {MAX_RECORDS} ids, not {len(ids)}.")
    return [read_id(each) for each in ids]


def typed(body: Mapping[str, Any], name: str, expected_type: type, default: Any = None) -> Any:
    """Return a field of a body, or the default if it is missing or null; 400 if it has another type."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, expected_type) or (isinstance(value, bool) and expected_type is not bool):
        raise ApiError(400, f"{name} has the wrong type.")
    return value


def whole_number(body: Mapping[str, Any], name: str, maximum: int, default: int | None = None) -> int:
    """Return a number of a body from 1 to a maximum; 400 if it is missing or something else."""
    value: int | None = typed(body, name, int, default)
    if value is None or not 1 <= value <= maximum:
        raise ApiError(400, f"{name} must be a whole number from 1 to {maximum}.")
    return value


def read_id(value: Any) -> str:
    """Return a valid id of a record."""
    if not isinstance(value, str) or not _is_name(value):
        raise ApiError(400, f"An id must have 1 to {_MAX_NAME} ASCII characters, but not NUL: {reprlib.repr(value)}.")
    return value


def read_namespace(name: str) -> str:
    """Return the valid name of a namespace that a request writes to; "" is the default one."""
    if name and not _is_name(name):
        message = f"The name of a namespace must have 1 to {_MAX_NAME} ASCII characters, but not NUL"
        raise ApiError(400, f"{message}: {reprlib.repr(name)}.")
    return name


def read_values(values: Any, index: Index) -> Floats:
    """Return dense values that have the dimension of an index."""
    parsed = _floats(values, "values")
    _check_length(len(parsed), index)
    return parsed


def stored(body: Model, index: Index) -> Record | Document:
    """Return what an index stores for a record in the API's shape; 400 if it has no id or another dimension."""
    id_field = "_id" if index.is_document_index else "id"
    if not isinstance(body.get(id_field), str):
        raise ApiError(400, f"A record of index {index.name} must have a text as {id_field}.")
    if index.is_document_index:
        return document_of(body, index.model["schema"]["fields"])
    record = record_of(body)
    _check_length(len(record.values), index)
    return record


def read_sparse_values(body: Any, index: Index) -> SparseValues:
    """Return sparse values that an index can store."""
    if index.model["metric"] != "dotproduct":
        raise ApiError(400, "Only an index that is sparse or has the metric dotproduct supports sparse values.")
    if not isinstance(body, dict) or set(body) != {"indices", "values"}:
        raise ApiError(400, "Sparse values must have indices and values.")
    values = _floats(body["values"], "sparse values")
    indices = body["indices"]
    valid = isinstance(indices, list) and all(type(each) is int and 0 <= each < 2**32 for each in indices)
    if not valid or len(set(indices)) != len(indices):
        raise ApiError(400, "The indices of sparse values must be different whole numbers from 0 to 4294967295.")
    if not 1 <= len(values) <= _MAX_SPARSE_VALUES or len(indices) != len(values):
        raise ApiError(400, f"Sparse values must have 1 to {_MAX_SPARSE_VALUES} indices and as many values.")
    return SparseValues(np.array(indices, np.uint32), values)


def read_metadata(metadata: Any) -> Model:
    """Return valid metadata."""
    if not isinstance(metadata, dict):
        raise ApiError(400, "Metadata must be an object.")
    for name, value in metadata.items():
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if name.startswith("$") or not (texts or isinstance(value, (str, int, float))):
            message = "must be a string, number, boolean or list of strings, and its name must not begin with $"
            raise ApiError(400, f"Metadata value {message}, but got {reprlib.repr(value)} for field {name!r}")
    _check_size(metadata)
    return metadata_of(metadata)


def check_record(record: Record) -> Record:
    """Return a record; 400 if its dense values are all zero, or if its metadata is too large."""
    if len(record.values) and (np.abs(record.values) < _SMALLEST).all():
        message = "Dense vectors must contain at least one non-zero value."
        raise ApiError(400, f"{message} Vector ID {record.id} contains only zeros.")
    _check_size(record.metadata or {})
    return record


def _record(body: Any, index: Index) -> Record:
    if not isinstance(body, dict) or set(body) - {"id", "values", "sparseValues", "metadata"}:
        raise ApiError(400, "A record has only id, values, sparseValues and metadata.")
    fields = {name: value for name, value in body.items() if value is not None}
    record_id = read_id(fields.get("id"))
    if fields.get("values"):
        read_values(fields["values"], index)
    elif index.dimension is not None:
        raise ApiError(400, f"Record {record_id} has no values.")
    if index.dimension is None and "sparseValues" not in fields:
        raise ApiError(400, f"Record {record_id} has no sparseValues.")
    if "sparseValues" in fields:
        read_sparse_values(fields["sparseValues"], index)
    if "metadata" in fields:
        read_metadata(fields["metadata"])
    return check_record(record_of(fields))


def _is_name(value: str) -> bool:
    return 1 <= len(value) <= _MAX_NAME and value.isascii() and "\0" not in value


def _check_size(metadata: Model) -> None:
    size = len(orjson.dumps(metadata))
    if size > _MAX_METADATA:
        raise ApiError(
            400, f"Metadata size is {size} bytes, which exceeds the limit of {_MAX_METADATA} bytes per vector"
        )


def _check_length(length: int, index: Index) -> None:
    if length != (index.dimension or 0):
        message = f"Vector dimension {length} does not match the dimension of the index {index.dimension or 0}"
        raise ApiError(400, message)


def _floats(values: Any, what: str) -> Floats:
    numbers = isinstance(values, list) and all(type(each) in {int, float} for each in values)
    parsed = floats(values) if numbers else None
    if parsed is None or not np.isfinite(parsed).all():
        raise ApiError(400, f"The {what} must be numbers in the range of 32-bit floats.")
    return parsed
