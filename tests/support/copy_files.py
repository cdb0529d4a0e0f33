"""Copies outside of Pinecone, made by the code that the export uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_pinecone.api.records import IndexRecords
from airflow_pinecone.copying.export import export_part, list_parts, write_manifest
from airflow_pinecone.copying.store import CopyStore
from airflow_pinecone.rules.copy_plan import columns_of
from airflow_pinecone.runtime.airflow_versions import storage_path


def store_of(folder: Any) -> CopyStore:
    """Return the folder of a copy: a URL or a path."""
    return CopyStore(storage_path(folder if "://" in str(folder) else f"file://{folder}"))


def export_copy(
    records: IndexRecords,
    folder: Any,
    *,
    backup: Mapping[str, Any] | None = None,
    created_at: str = "2025-05-14T16:00:00Z",
    records_per_part: int = 50,
    is_frozen: bool = False,
) -> CopyStore:
    """Export an index to a folder, a URL or a path, and return it."""
    store = store_of(folder)
    listing = list_parts(
        records,
        store,
        records.namespaces(),
        schemas={},
        index=records.index,
        aliases={},
        columns=columns_of(records.index),
        records_per_part=records_per_part,
        is_frozen=is_frozen,
        log=lambda *_: None,
    )
    for number in range(len(listing["parts"])):
        export_part(records, store, listing, number, is_frozen=is_frozen, on_records=lambda _: None)
    write_manifest(
        store,
        listing,
        created_at=created_at,
        is_frozen=is_frozen,
        index_name=records.index["name"],
        backup=backup,
        versions={},
    )
    return store
