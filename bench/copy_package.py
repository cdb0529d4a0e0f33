"""Copy an index with this package, as two Airflow workers would: one lists the ids, then both export the parts."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_pinecone.api.records import IndexRecords
    from airflow_pinecone.copying.store import CopyStore

_WORKERS = 2
# The default of export_backup.
_PART_BYTES = 256_000_000


class Package:
    """The functions that the tasks of ``export_backup`` call. A repeated copy continues with what is complete."""

    def copy(self, host: str, key: str, index: str, folder: Path) -> None:
        """Copy an index."""
        from airflow_pinecone.copying.export import list_parts, write_manifest
        from airflow_pinecone.rules.copy_plan import columns_of, records_per_part, size_of

        records, store = _records(host, key, index), _store(folder)
        details = records.namespace_details()
        largest = max(details, key=lambda name: details[name].record_count)
        batches = records.read(largest)
        sample = next(batches).records
        batches.close()  # type: ignore[attr-defined]
        total = sum(row.record_count for row in details.values())
        listing = list_parts(
            records,
            store,
            {name: row.record_count for name, row in details.items()},
            schemas={},
            index=records.index,
            aliases={},
            columns=columns_of(records.index),
            records_per_part=records_per_part(_PART_BYTES, sum(map(size_of, sample)) / len(sample), total),
            is_frozen=True,
            log=_ignore,
        )
        with ProcessPoolExecutor(_WORKERS, multiprocessing.get_context("spawn")) as workers:
            parts = [workers.submit(_export, host, key, index, folder, part["number"]) for part in listing["parts"]]
            for part in parts:
                part.result()
        write_manifest(
            store,
            listing,
            created_at=datetime.now(UTC).isoformat(),
            is_frozen=True,
            index_name=index,
            backup=None,
            versions={},
        )

    def read_back(self, folder: Path) -> dict[str, list[dict[str, Any]]]:
        """Return the records of a copy; none if it has no manifest."""
        from airflow_pinecone.copying.parquet import read_part
        from airflow_pinecone.rules.copy_format import MANIFEST, parse_manifest

        content = _store(folder).read(MANIFEST)
        if content is None:
            return {}
        manifest = parse_manifest(content)
        rows: dict[str, list[dict[str, Any]]] = {row["name"]: [] for row in manifest["namespaces"]}
        for part in manifest["parts"]:
            for records in read_part(folder / part["file"]):
                rows[part["namespace"]] += map(_as_in_the_api, records)
        return {"" if name == "__default__" else name: records for name, records in rows.items()}


def _export(host: str, key: str, index: str, folder: Path, number: int) -> None:
    """Export a part in a process of its own."""
    from airflow_pinecone.copying.export import export_part, read_listing

    store = _store(folder)
    export_part(_records(host, key, index), store, read_listing(store), number, is_frozen=True, on_records=_ignore)


class _Folder:
    """What a CopyStore needs of an ObjectStoragePath."""

    def __init__(self, folder: Path) -> None:
        from fsspec.implementations.local import LocalFileSystem

        self.fs = LocalFileSystem()
        self._url = f"file://{folder}"

    def __str__(self) -> str:
        return self._url


def _store(folder: Path) -> CopyStore:
    from airflow_pinecone.copying.store import CopyStore

    return CopyStore(_Folder(folder))


def _records(host: str, key: str, index: str) -> IndexRecords:
    from airflow_pinecone.api.client import PineconeClient
    from airflow_pinecone.api.settings import Settings
    from airflow_pinecone.common.clock import SYSTEM_CLOCK

    return PineconeClient(Settings("bench", host, key, "2025-10", 30.0), _ignore, clock=SYSTEM_CLOCK).records(index)


def _as_in_the_api(record: Any) -> dict[str, Any]:
    sparse = record.sparse_values
    return {
        "id": record.id,
        "values": record.values,
        "sparseValues": sparse and {"indices": sparse.indices, "values": sparse.values},
        "metadata": record.metadata,
    }


def _ignore(*_: object) -> None:
    pass
