"""Records: what an index stores, and how the API shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

Model = dict[str, Any]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.uint32]

NO_VALUES: Floats = np.zeros(0, np.float32)
# Larger whole numbers are rounded: the service stores the numbers in metadata as doubles.
_LARGEST_EXACT = 2**53


@dataclass(frozen=True, slots=True, eq=False)
class SparseValues:
    """Sparse values: pairs of an index and a value."""

    indices: Indices
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A record. It never changes: a write replaces it.

    Attributes:
        id: Its id, which is unique in its namespace.
        values: Its dense values; empty in a sparse index.
        sparse: Its sparse values, or None.
        metadata: Its metadata, or None.
        values_json: The dense values as JSON, if they are known.
    """

    id: str
    values: Floats
    sparse: SparseValues | None = None
    metadata: Model | None = None
    values_json: bytes | None = None

    def to_api(self) -> Model:
        """Return the record as in a response, for `encode`."""
        values: Any = self.values if self.values_json is None else orjson.Fragment(self.values_json)
        shown: Model = {"id": self.id, "values": values}
        if self.sparse is not None:
            shown["sparseValues"] = _shown(self.sparse)
        if self.metadata:
            shown["metadata"] = self.metadata
        return shown

    def with_metadata(self, changes: Mapping[str, Any]) -> "Record":
        """Return a record with this metadata changed."""
        return replace(self, metadata={**(self.metadata or {}), **changes} or None)


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A document, which is what a document index stores. It never changes: a write replaces it.

    Attributes:
        id: Its id, which is unique in its namespace.
        fields: Its fields. Those with dense and sparse vectors are arrays.
    """

    id: str
    fields: Model

    @property
    def metadata(self) -> Model:
        """The fields that a filter can select by."""
        vectors = (np.ndarray, SparseValues)
        return {name: value for name, value in self.fields.items() if not isinstance(value, vectors)}

    def with_metadata(self, changes: Mapping[str, Any]) -> "Document":
        """Return a document with these fields changed."""
        return replace(self, fields={**self.fields, **changes})

    def to_api(self) -> Model:
        """Return the document as in a response, for `encode`."""
        fields = {name: _shown(value) for name, value in self.fields.items()}
        return {"_id": self.id, **fields}


def encode(value: Any) -> bytes:
    """Return JSON. Arrays become lists, and a float32 has the fewest digits that identify it."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def record_of(body: Mapping[str, Any]) -> Record:
    """Return a record that has the API's shape: `id`, `values`, `sparseValues` and `metadata`."""
    sparse = body.get("sparseValues")
    values = body.get("values")
    return Record(
        body["id"],
        NO_VALUES if values is None else floats(values),
        None if sparse is None else sparse_values(sparse),
        metadata_of(body.get("metadata") or {}) or None,
    )


def document_of(body: Mapping[str, Any], schema: Mapping[str, Any]) -> Document:
    """Return a document that has the API's shape, for an index with these fields in its schema."""
    fields = metadata_of({name: value for name, value in body.items() if name != "_id" and value is not None})
    for name, settings in schema.items():
        if name in fields and settings.get("type") == "dense_vector":
            fields[name] = floats(fields[name])
        elif name in fields and settings.get("type") == "sparse_vector":
            fields[name] = sparse_values(fields[name])
    return Document(body["_id"], fields)


def floats(values: Sequence[float] | Floats) -> Floats:
    """Return numbers as the float32 that the service stores. One that is too large becomes infinite."""
    with np.errstate(over="ignore"):
        return np.array(values, np.float32)


def sparse_values(body: Mapping[str, Any]) -> SparseValues:
    """Return sparse values that have the API's shape."""
    return SparseValues(np.array(body["indices"], np.uint32), floats(body["values"]))


def metadata_of(metadata: Mapping[str, Any]) -> Model:
    """Return metadata as the service stores it."""
    return {name: _number(value) if type(value) is int else value for name, value in metadata.items()}


def _shown(value: Any) -> Any:
    return {"indices": value.indices, "values": value.values} if isinstance(value, SparseValues) else value


def _number(value: int) -> float:
    return value if abs(value) <= _LARGEST_EXACT else float(value)
