"""A record as it was read. This module needs numpy, which comes with the extra ``records``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SparseValues(NamedTuple):
    """The sparse values of a record.

    Attributes:
        indices: The dimensions, as uint32, in the order in which Pinecone returned them.
        values: The value of each dimension, as float32.
    """

    indices: NDArray[np.uint32]
    values: NDArray[np.float32]


class Record(NamedTuple):
    """A record of an index.

    Attributes:
        id: The id.
        values: The dense values, as float32; empty if the record has none.
        sparse_values: The sparse values; None if the record has none.
        metadata: The metadata; empty if the record has none. The types of the values are kept: True is not 1, and 1.0
            is not ``"1"``. For a document, these are all its fields.
    """

    id: str
    values: NDArray[np.float32]
    sparse_values: SparseValues | None
    metadata: dict[str, Any]


class Position(NamedTuple):
    """Where a walk over the records of a namespace can be resumed.

    Attributes:
        after: The last id that was read.
        token: The token of the page that has this id; None for the first page. If Pinecone rejects it later, the walk
            starts from the first page, and skips the ids until ``after``.
    """

    after: str
    token: str | None = None


class RecordBatch(NamedTuple):
    """Some records of a namespace, in the order of their ids.

    Attributes:
        records: The records, by id in ascending order.
        missing: The ids that were listed, but whose records two requests did not return. On an index that changes, they
            were deleted meanwhile.
        listed: How many ids were listed since the previous batch. With a sample, there are fewer records.
        position: Where to resume after this batch.
    """

    records: list[Record]
    missing: list[str]
    listed: int
    position: Position
