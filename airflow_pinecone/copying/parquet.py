"""Write records to Parquet files as Pinecone imports them, and read them. This module needs pyarrow.

Reference: https://docs.pinecone.io/guides/index-data/import-data
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_pinecone.api.record import Record, SparseValues
from airflow_pinecone.common.text import one_line
from airflow_pinecone.rules.copy_format import Columns, InvalidCopy
from airflow_pinecone.rules.digests import sparse_order

# The rows of a row group. The same records are always the same bytes, whatever the size of the batches.
ROWS_PER_GROUP = 1000
# Bytes that are read at once.
_BLOCK = 1 << 20
# Above this, a double need not be the integer that it was.
_MAX_INTEGER = 2**53

_VALUES = pa.field("values", pa.list_(pa.field("element", pa.float32())))
_SPARSE = pa.field(
    "sparse_values",
    pa.struct(
        [
            pa.field("indices", pa.list_(pa.field("element", pa.uint32()))),
            pa.field("values", pa.list_(pa.field("element", pa.float32()))),
        ]
    ),
)
_ID, _METADATA = pa.field("id", pa.string()), pa.field("metadata", pa.string())
SCHEMAS: dict[Columns, Any] = {
    "dense": pa.schema([_ID, _VALUES, _METADATA]),
    "sparse": pa.schema([_ID, _SPARSE, _METADATA]),
    "hybrid": pa.schema([_ID, _VALUES, _SPARSE, _METADATA]),
}
_IDS = pa.schema([_ID])
_NO_VALUES = np.empty(0, dtype=np.float32)


class PartWriter:
    """Write the records of a part to a local file.

    Args:
        file: The file.
        columns: Which columns it has.
    """

    def __init__(self, file: Path, columns: Columns) -> None:
        self._schema = SCHEMAS[columns]
        self._writer = _writer(file, self._schema)
        self._rows: list[Record] = []

    def add(self, records: Sequence[Record]) -> None:
        """Add records, by id in ascending order."""
        self._rows += records
        while len(self._rows) >= ROWS_PER_GROUP:
            self._write(self._rows[:ROWS_PER_GROUP])
            del self._rows[:ROWS_PER_GROUP]

    def close(self) -> None:
        """Write the rest, and close the file."""
        if self._rows:
            self._write(self._rows)
        self._writer.close()

    def _write(self, rows: list[Record]) -> None:
        arrays = [_column(name, rows) for name in self._schema.names]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))


def write_ids(file: Path, ids: Iterable[str]) -> None:
    """Write the ids of a part to a local file."""
    with _writer(file, _IDS) as writer:
        writer.write_table(pa.table({"id": pa.array(list(ids), pa.string())}, schema=_IDS))


def read_ids(file: Path) -> list[str]:
    """Return the ids of a part, or raise InvalidCopy."""
    ids: list[str] = _opened(file).read(columns=["id"]).column("id").to_pylist()
    return ids


def read_part(file: Path) -> Iterator[list[Record]]:
    """Yield the records of a local file, up to 1,000 at a time. Columns may be missing, and values may be doubles.

    Raises:
        InvalidCopy: The file cannot be read, or it has an invalid record.
    """
    parquet = _opened(file)
    for number in range(parquet.num_row_groups):
        # Another program may have written row groups of any size.
        batches = parquet.iter_batches(ROWS_PER_GROUP, row_groups=[number])
        while True:
            try:
                batch = next(batches, None)
            except Exception as error:  # pyarrow has errors of its own, and also raises OSError.
                raise InvalidCopy(f"row group {number} cannot be read: {one_line(error)}") from error
            if batch is None:
                break
            yield _records(pa.Table.from_batches([batch]))


def check_columns(file: Path, columns: Columns, *, is_delivered: bool = False) -> None:
    """Check the columns of a local file.

    Args:
        file: The file.
        columns: Which columns it must have.
        is_delivered: Whether another program wrote it. Then columns may be missing, and values may be doubles.

    Raises:
        InvalidCopy: It has other columns.
    """
    schema = _opened(file).schema_arrow
    if is_delivered:
        other = sorted({*schema.names} - {*SCHEMAS["hybrid"].names})
        if other:
            raise InvalidCopy(f"it has a column {one_line(other[0])}, which Pinecone does not import")
    elif not schema.equals(SCHEMAS[columns]):
        raise InvalidCopy(f"it does not have the columns of a {columns} copy")


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a local file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _writer(file: Path, schema: Any) -> Any:
    # Neither the version of pyarrow's own schema nor statistics of vectors are of use for a reader.
    return pq.ParquetWriter(
        file, schema, compression="zstd", use_dictionary=False, write_statistics=["id"], store_schema=False
    )


def _opened(file: Path) -> Any:
    try:
        # Without a buffer, the whole row group is read at once.
        return pq.ParquetFile(file, buffer_size=_BLOCK)
    except Exception as error:  # pyarrow has errors of its own, and also raises OSError.
        raise InvalidCopy(f"it is no Parquet file: {one_line(error)}") from error


def _column(name: str, rows: list[Record]) -> Any:
    if name == "id":
        return pa.array([row.id for row in rows], pa.string())
    if name == "metadata":
        return pa.array([_metadata(row.metadata) if row.metadata else None for row in rows], pa.string())
    if name == "values":
        return _lists([row.values + np.float32(0) if len(row.values) else None for row in rows], _VALUES.type)
    sparse = [None if row.sparse_values is None else _sorted(row.sparse_values) for row in rows]
    fields = _SPARSE.type
    indices = _lists([None if each is None else each.indices for each in sparse], fields.field(0).type)
    values = _lists([None if each is None else each.values for each in sparse], fields.field(1).type)
    missing = pa.array([each is None for each in sparse], pa.bool_())
    return pa.StructArray.from_arrays([indices, values], fields=list(fields), mask=missing)


def _lists(rows: list[Any], list_type: Any) -> Any:
    """Return arrays as one column of lists; None is a missing one."""
    lengths = [0 if row is None else len(row) for row in rows]
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    present = [row for row in rows if row is not None]
    flat = np.concatenate(present) if present else _NO_VALUES
    missing = pa.array([row is None for row in rows], pa.bool_())
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(flat, list_type.value_type), type=list_type, mask=missing
    )


def _sorted(sparse: SparseValues) -> SparseValues:
    order = sparse_order(sparse)
    return SparseValues(sparse.indices[order], sparse.values[order] + np.float32(0))


def _metadata(metadata: dict[str, Any]) -> str:
    """Return metadata as JSON, always the same text for the same metadata: 1 and 1.0 are the same number."""
    return orjson.dumps(_canonical(metadata), option=orjson.OPT_SORT_KEYS).decode()


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _MAX_INTEGER:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _MAX_INTEGER:
        return float(value)
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    if isinstance(value, dict):
        return {key: _canonical(each) for key, each in value.items()}
    return value


def _records(table: Any) -> list[Record]:
    count, names = table.num_rows, table.column_names
    if "id" not in names:
        raise InvalidCopy("it has no column id")
    nothing = [None] * count
    try:
        ids = _record_ids(table)
        values = _arrays(table.column("values"), np.float32) if "values" in names else nothing
        indices, weights = nothing, nothing
        if "sparse_values" in names:
            sparse = table.column("sparse_values").combine_chunks()
            # The order of the fields is not prescribed.
            parts = [sparse.field("indices"), sparse.field("values")] if count else []
            present = sparse.is_valid().to_pylist()
            if parts:
                indices, weights = _arrays(parts[0], np.uint32), _arrays(parts[1], np.float32)
                _check_pairs(indices, weights)
            indices = [each if is_there else None for each, is_there in zip(indices, present, strict=True)]
        texts = table.column("metadata").to_pylist() if "metadata" in names else nothing
        return [
            Record(
                record_id,
                _NO_VALUES if dense is None else dense,
                None if index is None else SparseValues(index, _NO_VALUES if weight is None else weight),
                {} if text is None else _parsed(text),
            )
            for record_id, dense, index, weight, text in zip(ids, values, indices, weights, texts, strict=True)
        ]
    except (AttributeError, TypeError, ValueError, pa.ArrowException) as error:
        raise InvalidCopy(f"it has an invalid record: {one_line(error)}") from error


def _check_pairs(indices: list[Any], weights: list[Any]) -> None:
    for index, weight in zip(indices, weights, strict=True):
        if (0 if index is None else len(index)) != (0 if weight is None else len(weight)):
            raise ValueError("a record has other numbers of sparse indices and values")


def _record_ids(table: Any) -> list[str]:
    ids: list[str] = table.column("id").to_pylist()
    if not all(isinstance(each, str) and each for each in ids):
        raise TypeError("an id is missing or empty")
    return ids


def _parsed(text: str) -> dict[str, Any]:
    # The standard library reads integers of any size.
    try:
        metadata = orjson.loads(text)
    except orjson.JSONDecodeError:
        metadata = json.loads(text)
    if not isinstance(metadata, dict):
        raise TypeError("metadata is not an object")
    return metadata


def _arrays(column: Any, dtype: Any) -> list[Any]:
    """Return a column of lists as arrays; None for a missing one."""
    chunk = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not (pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type)):
        raise TypeError(f"a column is {chunk.type}, and not a list")
    if chunk.values.null_count:
        raise ValueError("a list has a missing number")
    if dtype is np.uint32 and chunk.values.type != pa.uint32():
        # Numbers that are no uint32 are an error.
        chunk = chunk.cast(pa.list_(pa.uint32()))
    offsets = np.asarray(chunk.offsets)
    # A double that is too large for a float32 becomes infinite, which a check of the records finds.
    with np.errstate(over="ignore"):
        flat = np.asarray(chunk.values).astype(dtype, copy=False)
    present = chunk.is_valid().to_pylist()
    return [
        flat[start:end] if is_there else None
        for start, end, is_there in zip(offsets[:-1], offsets[1:], present, strict=True)
    ]
