"""Read the Parquet files of a bulk import. The packages for that are only imported when a request needs them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson

from airflow_pinecone.emulator.data_plane import internal
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.namespaces import Namespaces, StoredNamespace
from airflow_pinecone.emulator.records import NO_VALUES, Record
from airflow_pinecone.emulator.resources import Index
from airflow_pinecone.emulator.vector_bodies import (
    check_record,
    read_id,
    read_metadata,
    read_namespace,
    read_sparse_values,
)

SCHEMES = ("file", "s3")
_MAX_NAMESPACES = 10_000
_MAX_FILES = 100_000
_BATCH_RECORDS = 1000
# The types of the columns, as the messages name them.
_TYPES = {
    "id": "STRING",
    "values": "LIST<FLOAT>",
    "sparse_values": "STRUCT<indices: LIST<UINT_32>, values: LIST<FLOAT>>",
    "metadata": "STRING",
}


class InvalidImport(Exception):
    """The files of an import cannot be imported."""


class Files:
    """The files of an import.

    Attributes:
        is_stopped: Whether to stop reading, because the import was cancelled.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, Any]) -> None:
        """Connect to the storage; 501 if a package is missing."""
        self.is_stopped = False
        try:
            import pyarrow.parquet  # noqa: F401
            from fsspec.core import url_to_fs

            options = storage_options if uri.startswith("s3:") else {}
            # A file system of its own, because it keeps listings.
            self._fs, root = url_to_fs(uri, skip_instance_cache=True, **options)
        except ImportError as error:
            raise ApiError(501, f"A bulk import needs a package that is not installed: {error}.") from None
        self._root = str(root).rstrip("/")

    def read(self, index: Index, *, skips: bool, refuses_identical: bool) -> Namespaces:
        """Return the records of the files by namespace.

        Args:
            index: The index.
            skips: Whether invalid records are skipped.
            refuses_identical: Whether a record with the same vector values as another one is invalid.

        Raises:
            InvalidImport: A file is invalid or, unless they are skipped, a record.
        """
        records = _Records(index, skips=skips, refuses_identical=refuses_identical)
        for name, paths in self._list().items():
            try:
                read_namespace(name)
            except ApiError as error:
                raise InvalidImport(str(error)) from None
            namespace = records.namespaces[internal(name)] = StoredNamespace()
            for path in paths:
                self._read_file(path, namespace, records)
        return records.namespaces

    def _list(self) -> dict[str, list[str]]:
        """Return the paths of the Parquet files by directory."""
        namespaces: dict[str, list[str]] = {}
        paths = sorted(path for path in self._fs.find(self._root) if path.endswith(".parquet"))
        for path in paths:
            name, *rest = path.removeprefix(f"{self._root}/").split("/")
            if len(rest) != 1:
                raise InvalidImport(f"File {path} is not in the directory of a namespace: {{uri}}/{{namespace}}/file.")
            namespaces.setdefault(name, []).append(path)
        if not paths:
            raise InvalidImport("No Parquet files were found.")
        if len(namespaces) > _MAX_NAMESPACES:
            raise InvalidImport(f"An import has at most {_MAX_NAMESPACES} namespaces, not {len(namespaces)}.")
        if len(paths) > _MAX_FILES:
            raise InvalidImport(f"An import has at most {_MAX_FILES} files, not {len(paths)}.")
        return namespaces

    def _read_file(self, path: str, namespace: StoredNamespace, records: "_Records") -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self._fs.open(path) as file:
                parquet = pq.ParquetFile(file)
                _check_columns(parquet.schema_arrow, records.index)
                for batch in parquet.iter_batches(_BATCH_RECORDS):
                    if self.is_stopped:
                        return
                    records.add(batch, namespace)
        except InvalidImport as error:
            raise InvalidImport(f"{str(error).removesuffix('.')} (file {path}).") from None
        except (pa.ArrowException, OSError) as error:
            raise InvalidImport(f"File {path} cannot be read: {error}.") from None


class _Records:
    """The records of an import."""

    def __init__(self, index: Index, *, skips: bool, refuses_identical: bool) -> None:
        """Start without records."""
        self.index = index
        self.namespaces: Namespaces = {}
        self._skips = skips
        self._values: set[bytes] | None = set() if refuses_identical else None

    def add(self, batch: Any, namespace: StoredNamespace) -> None:
        """Add the records of a batch."""
        for number, record_id in enumerate(columns := _Columns(batch, self.index)):
            try:
                record = columns.record(number, record_id)
                self._check_values(record)
            except ApiError as error:
                if not self._skips:
                    raise InvalidImport(str(error)) from None
            else:
                namespace.put(record)

    def _check_values(self, record: Record) -> None:
        """Raise 400 if another record has the same vector values."""
        if self._values is None:
            return
        digest = hashlib.blake2b(record.values.tobytes(), digest_size=16)
        if record.sparse is not None:
            digest.update(record.sparse.indices.tobytes() + record.sparse.values.tobytes())
        key = digest.digest()
        if key in self._values:
            raise ApiError(400, f"Record {record.id} has the same vector values as another record")
        self._values.add(key)


class _Columns:
    """The columns of a batch."""

    def __init__(self, batch: Any, index: Index) -> None:
        """Copy the vectors of a batch, and read its other columns."""
        self._index = index
        self._ids = batch.column("id").to_pylist()
        names = batch.schema.names
        self._dense = _Lists(batch.column("values"), np.float32) if "values" in names else None
        self._indices = self._sparse = None
        if "sparse_values" in names:
            indices, values = batch.column("sparse_values").flatten()
            self._indices, self._sparse = _Lists(indices, np.uint32), _Lists(values, np.float32)
        self._metadata = batch.column("metadata").to_pylist() if "metadata" in names else None

    def __iter__(self) -> Iterator[Any]:
        """Yield the ids."""
        return iter(self._ids)

    def record(self, number: int, record_id: Any) -> Record:
        """Return a record; 400 if it is invalid."""
        record_id = read_id(record_id)
        values, sparse = NO_VALUES, None
        if self._dense is not None:
            found = self._dense.get(number)
            values = NO_VALUES if found is None else found
            if len(values) != self._index.dimension:
                message = f"Vector dimension {len(values)} does not match the dimension of the index"
                raise ApiError(400, f"{message} {self._index.dimension} in record {record_id}.")
            if not np.isfinite(values).all():
                raise ApiError(400, f"The values of record {record_id} must be finite numbers.")
        if self._indices is not None and self._sparse is not None:
            indices, weights = self._indices.get(number), self._sparse.get(number)
            if indices is not None and weights is not None:
                sparse = read_sparse_values({"indices": indices.tolist(), "values": weights.tolist()}, self._index)
        if sparse is None and self._dense is None:
            raise ApiError(400, f"Record {record_id} has no sparse values.")
        text = None if self._metadata is None else self._metadata[number]
        metadata = None if text is None else read_metadata(_json(text, record_id)) or None
        return check_record(Record(record_id, values, sparse, metadata))


class _Lists:
    """A column with lists of numbers. The rows share one array, which does not keep the batch in memory."""

    def __init__(self, column: Any, kind: type[np.generic]) -> None:
        """Copy the numbers of a column."""
        self._is_valid = column.is_valid().to_numpy(zero_copy_only=False)
        self._start = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).cumsum()
        self._start = np.concatenate(([0], self._start))
        numbers = column.flatten()
        if numbers.null_count and kind is np.uint32:
            raise InvalidImport("The indices of sparse values must not be null")
        # A null is not a number, too.
        self._numbers = np.array(numbers.to_numpy(zero_copy_only=False), kind)

    def get(self, number: int) -> Any:
        """Return the numbers of a row, or None."""
        return self._numbers[self._start[number] : self._start[number + 1]] if self._is_valid[number] else None


def _check_columns(schema: Any, index: Index) -> None:
    """Raise InvalidImport if the columns are not those of the records of an index."""
    is_hybrid = index.dimension is not None and index.model["metric"] == "dotproduct"
    vectors = {"sparse_values"} if index.dimension is None else {"values"}
    allowed = {"id", "metadata", *vectors} | ({"sparse_values"} if is_hybrid else set())
    names = list(schema.names)
    if len(set(names)) != len(names) or set(names) - allowed:
        raise InvalidImport(f"The columns must be {', '.join(sorted(allowed))}, not {', '.join(names)}")
    for name in sorted({"id", *vectors} - set(names)):
        raise InvalidImport(f"The column {name} is missing")
    for name in names:
        if not _checks()[name](schema.field(name).type):
            found = schema.field(name).type
            raise InvalidImport(f"The expected data type for column {name} is {_TYPES[name]}, not {found}")


def _checks() -> dict[str, Callable[[Any], bool]]:
    """Return which types each column can have."""
    from pyarrow import types

    # The file does not tell the variants of a type apart: pyarrow stores them in a field of its own.
    def is_text(kind: Any) -> bool:
        return bool(types.is_string(kind) or types.is_large_string(kind))

    def is_list(kind: Any, is_item: Callable[[Any], bool]) -> bool:
        is_any_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        return bool(is_any_list and is_item(kind.value_type))

    def is_floats(kind: Any) -> bool:
        return is_list(kind, types.is_float32)

    def is_sparse(kind: Any) -> bool:
        if not types.is_struct(kind) or [field.name for field in kind] != ["indices", "values"]:
            return False
        indices, values = (field.type for field in kind)
        return is_list(indices, types.is_uint32) and is_floats(values)

    return {"id": is_text, "values": is_floats, "sparse_values": is_sparse, "metadata": is_text}


def _json(text: str, record_id: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        raise ApiError(400, f"The metadata of record {record_id} is not JSON.") from None
