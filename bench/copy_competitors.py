"""Other ways to copy an index, for the comparison with this package.

They are written for this comparison, from what the source of the other tools does; no code of those tools is in them.
Each writes Parquet files into a folder, and reads them back as generously as it can: what a file has is not lost.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from copy_package import Package

Record = dict[str, Any]
Rows = dict[str, list[Record]]

_DEFAULT = "__default__"
_PAGE = 100
_VERSION = "2025-10"
_MAX_MATCHES = 10_000
_QUERIES = 10


class Tool(Protocol):
    """A way to copy an index into a folder."""

    def copy(self, host: str, key: str, index: str, folder: Path) -> None:
        """Copy an index.

        Args:
            host: The URL of the control plane.
            key: The API key.
            index: The name of the index.
            folder: Where to write. A copy that was interrupted is repeated with the same folder.
        """

    def read_back(self, folder: Path) -> Rows:
        """Return the records of a copy by namespace: `id`, `values`, `sparseValues` and `metadata`, as in the API."""


class SdkLoop:
    """A loop over the official client: list, fetch, keep everything, write a file for each namespace."""

    def copy(self, host: str, key: str, index: str, folder: Path) -> None:
        """Copy an index."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        source = _index(host, key, index)
        folder.mkdir(parents=True, exist_ok=True)
        for namespace in source.describe_index_stats().namespaces:
            rows = []
            for page in source.list(namespace=_internal(namespace)):
                ids = [str(item.id) for item in page.vectors]
                for vector in source.fetch(ids=ids, namespace=_internal(namespace)).vectors.values():
                    values, metadata = list(vector.values), json.dumps(vector.metadata or {})
                    rows.append({"id": vector.id, "values": values, "metadata": metadata})
            pq.write_table(pa.Table.from_pylist(rows), f"{folder}/{namespace or _DEFAULT}.parquet")

    def read_back(self, folder: Path) -> Rows:
        """Return the records of a copy."""
        names = {path: str(path.relative_to(folder)).removesuffix(".parquet") for path in _files(folder)}
        return {_internal(name): [_with_json(row) for row in _read(path)] for path, name in names.items()}


class Vts:
    """The algorithm of vts: a walk through each namespace in the statistics, which ends at an empty page.

    It repeats no request, accepts that ids are missing, and takes the columns from the first record.
    """

    def copy(self, host: str, key: str, index: str, folder: Path) -> None:
        """Copy an index."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        get = _get(host, key, index)
        for namespace in get("POST", "describe_index_stats")["namespaces"]:
            name = _internal(namespace)
            path = folder / (name or "default") / "data.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            writer, schema = None, pa.schema([])
            for records in self._pages(get, name):
                if not records:
                    continue
                if writer is None:
                    schema = self._schema(records[0])
                    writer = pq.ParquetWriter(path, schema)
                rows = [self._row(record, schema.names) for record in records]
                writer.write_table(pa.Table.from_pylist(rows, schema))
            if writer is not None:
                writer.close()

    def read_back(self, folder: Path) -> Rows:
        """Return the records of a copy."""
        rows: Rows = {}
        for path in _files(folder):
            name = str(path.parent.relative_to(folder))
            rows["" if name == "default" else name] = [self._record(row) for row in _read(path)]
        return rows

    def _pages(self, get: Any, namespace: str) -> Iterator[list[Record]]:
        token = None
        while True:
            query = {"namespace": namespace, "limit": _PAGE, **({"paginationToken": token} if token else {})}
            page = get("GET", "vectors/list", query)
            ids = [row["id"] for row in page.get("vectors", [])]
            if not ids:
                return
            fetched = get("GET", "vectors/fetch", {"namespace": namespace, "ids": ids})
            yield list(fetched.get("vectors", {}).values())
            token = page.get("pagination", {}).get("next")
            if not token:
                return

    def _schema(self, first: Record) -> Any:
        import pyarrow as pa

        columns = {"id": pa.string()}
        if first.get("values"):
            columns["values"] = pa.list_(pa.float32())
        if first.get("sparseValues"):
            columns["sparseValues"] = pa.map_(pa.int64(), pa.float32())
        return pa.schema({**columns, "metadata": pa.string()})

    def _row(self, record: Record, columns: Sequence[str]) -> Record:
        sparse = record.get("sparseValues")
        pairs = list(zip(sparse["indices"], sparse["values"], strict=True)) if sparse else None
        row = {**record, "sparseValues": pairs, "metadata": json.dumps(record.get("metadata") or {})}
        return {name: row.get(name) for name in columns}

    def _record(self, row: Record) -> Record:
        pairs = row.pop("sparseValues", None)
        sparse = {"indices": [pair[0] for pair in pairs], "values": [pair[1] for pair in pairs]} if pairs else None
        return {**_with_json(row), "sparseValues": sparse}


class VectorIo:
    """The algorithm of vector-io: all ids first, then the vectors and the metadata in two tables that are joined by id.

    If the list fails, it queries with random vectors, and copies the ids that it has found. It keeps no sparse values.
    Metadata becomes columns. Its search by marks that it writes into the metadata of the index is left out.
    """

    def copy(self, host: str, key: str, index: str, folder: Path) -> None:
        """Copy an index."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        source = _index(host, key, index)
        statistics = source.describe_index_stats()
        for namespace in statistics.namespaces:
            name = _internal(namespace)
            ids = self._ids(source, name, statistics.dimension)
            vectors: dict[str, Any] = {}
            metadata: dict[str, Record] = {}
            for start in range(0, len(ids), _PAGE):
                for vector in source.fetch(ids=ids[start : start + _PAGE], namespace=name).vectors.values():
                    vectors[vector.id] = list(vector.values)
                    row = {"id": vector.id, **(vector.metadata or {})}
                    metadata[row["id"]] = row
            joined = sorted({*vectors, *metadata}, key=str)
            fields = dict.fromkeys(field for row in metadata.values() for field in row)
            columns: dict[str, Any] = {"id": pa.array(joined)}
            columns["vector"] = pa.array([vectors.get(i) for i in joined], pa.list_(pa.float64()))
            for field in fields:
                if field not in columns:
                    columns[field] = pa.array([metadata.get(i, {}).get(field) for i in joined])
            path = folder / f"{index}_{name}" / "1.parquet" if name else folder / index / "1.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), path)
            (folder / "index.txt").write_text(index, encoding="utf-8")

    def read_back(self, folder: Path) -> Rows:
        """Return the records of a copy."""
        index = folder / "index.txt"
        prefix = index.read_text(encoding="utf-8") if index.exists() else ""
        rows: Rows = {}
        for path in _files(folder):
            name = str(path.parent.relative_to(folder)).removeprefix(prefix).removeprefix("_")
            rows[name] = [
                {"id": row.pop("id"), "values": row.pop("vector"), "metadata": self._metadata(row)}
                for row in _read(path)
            ]
        return rows

    def _ids(self, source: Any, namespace: str, dimension: int | None) -> list[str]:
        found: dict[str, None] = {}
        try:
            for page in source.list(namespace=namespace):
                found |= dict.fromkeys(str(item.id) for item in page.vectors)
        except Exception:
            generator = random.Random(0)  # noqa: S311 (nothing secret)
            for _ in range(_QUERIES):
                vector = [generator.uniform(-1, 1) for _ in range(dimension or 1)]
                matches = source.query(vector=vector, top_k=_MAX_MATCHES // _QUERIES, namespace=namespace).matches
                found |= dict.fromkeys(str(match.id) for match in matches)
        return list(found)

    def _metadata(self, row: Record) -> Record:
        return {name: value for name, value in row.items() if value is not None}


# Every tool of the comparison by its name.
TOOLS: dict[str, Tool] = {"package": Package(), "sdk": SdkLoop(), "vts": Vts(), "vector-io": VectorIo()}


def _index(host: str, key: str, index: str) -> Any:
    from pinecone import Pinecone

    client = Pinecone(api_key=key, host=host)
    return client.Index(host=str(client.describe_index(index).host))


def _get(host: str, key: str, index: str) -> Any:
    """Return a function that requests a path of the data plane once, and returns the JSON."""
    import requests

    session = requests.Session()
    session.headers.update({"Api-Key": key, "X-Pinecone-Api-Version": _VERSION})
    described = session.get(f"{host}/indexes/{index}", timeout=60)
    described.raise_for_status()
    base = described.json()["host"]
    base = base if "://" in base else f"https://{base}"

    def get(method: str, path: str, query: Any = None) -> Any:
        json_body: Any = {} if method == "POST" else None
        response = session.request(method, f"{base}/{path}", params=query, json=json_body, timeout=60)
        response.raise_for_status()
        return response.json()

    return get


def _internal(namespace: str) -> str:
    return "" if namespace == _DEFAULT else namespace


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def _read(path: Path) -> list[Record]:
    """Return the rows of a file; none if it is not complete."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[Record] = pq.ParquetFile(path).read().to_pylist()
    except (pa.ArrowException, OSError):
        return []
    return rows


def _with_json(row: Record) -> Record:
    """Return a row with the metadata that it has as JSON."""
    return {**row, "metadata": json.loads(row["metadata"])}


if __name__ == "__main__":
    TOOLS[sys.argv[1]].copy(sys.argv[2], sys.argv[3], sys.argv[4], Path(sys.argv[5]))
