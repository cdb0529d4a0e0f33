"""Make the manifest of a copy that another program wrote, such as one that Pinecone's support delivered."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from airflow_pinecone.api.models import IndexModel, dimension_of
from airflow_pinecone.api.record import Record
from airflow_pinecone.common.text import explain, one_line
from airflow_pinecone.copying.parquet import sha256_of
from airflow_pinecone.copying.read import FileContent, problem_of, read_content
from airflow_pinecone.copying.sorting import SortedIds, sorted_ids
from airflow_pinecone.copying.store import CopyStore
from airflow_pinecone.errors import CopyInvalid
from airflow_pinecone.rules.copy_format import (
    DATA,
    DELETED,
    FORMAT,
    KIND,
    LISTING,
    MANIFEST,
    OTHER_DATA,
    CopyNamespace,
    CopyPart,
    InvalidCopy,
    Manifest,
    encode,
    parse_manifest,
    sum_of,
    totals_of,
)
from airflow_pinecone.rules.copy_plan import columns_of

_EXTENSION = ".parquet"


class _Folder(NamedTuple):
    """A folder with the files of a namespace."""

    namespace: str
    folder: str
    files: list[str]


def make_manifest(
    store: CopyStore,
    *,
    index: IndexModel,
    created_at: str,
    versions: Mapping[str, str],
    on_records: Callable[[int], object] = lambda _: None,
) -> Manifest:
    """Read all files of a copy without a manifest, check each record, and write the manifest.

    The files are in folders with the names of the namespaces, in ``data`` or directly in the folder of the copy. Those
    in ``data`` can be imported by Pinecone, the others by upserts.

    Args:
        store: The folder of the copy.
        index: The index as Pinecone describes it.
        created_at: When the records were exported, in ISO format.
        versions: The versions of the programs.
        on_records: Called with the number of records of each batch.

    Raises:
        CopyInvalid: There are no files, a file has other content than Pinecone imports, or a namespace has an id twice.
        CopyFailed: The store failed.
    """
    namespaces: list[CopyNamespace] = []
    parts: list[CopyPart] = []
    for folder in _folders(store):
        found = _parts_of(store, folder, index, on_records)
        parts += [part | {"number": number} for number, part in enumerate(found, len(parts))]
        namespaces.append(
            CopyNamespace(
                name=folder.namespace,
                folder=folder.folder,
                records=sum(part["records"] for part in found),
                digest=sum_of(part["digest"] for part in found),
                schema=None,
            )
        )
    manifest = Manifest(
        format=FORMAT,
        kind=KIND,
        created_at=created_at,
        frozen=False,
        index_name=index["name"],
        index=dict(index),
        backup=None,
        columns=columns_of(index),
        namespaces=namespaces,
        aliases={},
        parts=parts,
        totals=totals_of(namespaces, parts),
        versions=dict(versions),
    )
    content = encode(manifest)
    parse_manifest(content)
    store.write(MANIFEST, content)
    return manifest


def _folders(store: CopyStore) -> list[_Folder]:
    """Return the folders of the namespaces, in the order of their names."""
    if store.read(DELETED) is not None:
        raise _invalid(store, f"{DELETED} exists: a prune has begun to delete it", "Run the prune again.")
    if store.read(LISTING) is not None:
        raise _invalid(store, f"{LISTING} exists: an export is running, or has failed", "Clear the export.")
    names = [name for name in store.folders() if name != "copy"]
    reserved = [name for name in ("", "copy", DATA) if _files(store, name)]
    if reserved or OTHER_DATA in names:
        where = f"folder {reserved[0]}" if any(reserved) else "the folder" if reserved else f"folder {OTHER_DATA}"
        raise _invalid(
            store,
            f"{where} has files whose namespace is unknown",
            "Move the files of each namespace to a folder with its name, such as data/__default__.",
        )
    candidates = [(name, name) for name in names if name != DATA]
    candidates += [(name, f"{DATA}/{name}") for name in (store.folders(DATA) if DATA in names else [])]
    folders = [_Folder(name, folder, _files(store, folder)) for name, folder in sorted(candidates)]
    found = [folder for folder in folders if folder.files]
    nested = [f"{each.folder}/{name}" for each in folders for name in store.folders(each.folder)]
    problem = (
        "it has no Parquet files"
        if not found
        else f"folder {nested[0]} is not the folder of a namespace"
        if nested
        else "a namespace has two folders"
        if len({folder.namespace for folder in found}) < len(found)
        else ""
    )
    if problem:
        raise _invalid(store, problem, "Check the URL, and that each namespace has one folder with all of its files.")
    return found


def _files(store: CopyStore, folder: str) -> list[str]:
    return [name for name in store.files(folder) if name.endswith(_EXTENSION)]


def _parts_of(
    store: CopyStore, folder: _Folder, index: IndexModel, on_records: Callable[[int], object]
) -> list[CopyPart]:
    """Read the files of a namespace, and return them by their first ids if each one is in order."""
    with tempfile.TemporaryDirectory(prefix="pinecone-copy-") as local, sorted_ids(Path(local)) as ids:
        parts = [
            _part(store, f"{folder.folder}/{name}", folder.namespace, index, Path(local), ids, on_records)
            for name in folder.files
        ]
    if all(part["first_id"] is not None for part in parts if part["records"]):
        parts.sort(key=lambda part: (part["first_id"] or "", part["file"]))
    return parts


def _part(
    store: CopyStore,
    name: str,
    namespace: str,
    index: IndexModel,
    local: Path,
    ids: SortedIds,
    on_records: Callable[[int], object],
) -> CopyPart:
    def add(batch: list[Record]) -> None:
        twice = ids.add(record.id for record in batch)
        if twice is not None:
            raise InvalidCopy(f"record {twice} of namespace {namespace} occurs twice")
        on_records(len(batch))

    file = local / "part.parquet"
    if not store.download(name, file):
        raise _invalid(store, f"{name} does not exist any more", "Make the manifest when nothing writes the copy.")
    try:
        content = _content(file, namespace, index, add)
    except InvalidCopy as error:
        raise _invalid(store, f"{name}: {error}", "Ask for another export, or remove this file.") from None
    return CopyPart(
        number=0,
        namespace=namespace,
        file=name,
        records=content.check.digest.count,
        bytes=file.stat().st_size,
        sha256=sha256_of(file),
        first_id=content.first_id if content.is_ascending else None,
        last_id=content.last_id if content.is_ascending else None,
        digest=str(content.check.digest),
        ids_sha256=None,
        missing=0,
        read_units=0,
        response_bytes=0,
    )


def _content(file: Path, namespace: str, index: IndexModel, on_batch: Callable[[list[Record]], None]) -> FileContent:
    dimension = dimension_of(index)
    content = read_content(file, namespace, columns_of(index), dimension, is_delivered=True, on_batch=on_batch)
    problem = problem_of(content.check)
    if problem:
        raise InvalidCopy(problem)
    return content


def _invalid(store: CopyStore, reason: str, advice: str) -> CopyInvalid:
    reason = one_line(reason)
    return CopyInvalid(
        explain("The copy cannot be used: no manifest was made.", reason, advice, f"Folder: {store.url}."),
        reason=reason,
    )
