"""Records: what an index stores, and how the API shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
            shown["sparseValues"] = {"indices": self.sparse.indices, "values": self.sparse.values}
        if self.metadata:
            shown["metadata"] = self.metadata
        return shown

    @property
    def size(self) -> int:
        """Its approximate size in bytes."""
        sparse = 0 if self.sparse is None else self.sparse.indices.nbytes + self.sparse.values.nbytes
        return len(self.id) + self.values.nbytes + sparse + (len(orjson.dumps(self.metadata)) if self.metadata else 0)


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


def floats(values: Sequence[float] | Floats) -> Floats:
    """Return numbers as the float32 that the service stores. One that is too large becomes infinite."""
    with np.errstate(over="ignore"):
        return np.array(values, np.float32)


def sparse_values(body: Mapping[str, Any]) -> SparseValues:
    """Return sparse values that have the API's shape."""
    return SparseValues(np.array(body["indices"], np.uint32), floats(body["values"]))


def metadata_of(metadata: Mapping[str, Any]) -> Model:
    """Return metadata as the service stores it."""
    return {name: _number(value) if isinstance(value, int) else value for name, value in metadata.items()}


def _number(value: int) -> float:
    return value if abs(value) <= _LARGEST_EXACT else float(value)
