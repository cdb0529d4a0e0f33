"""Export the records of an index: list the ids in parts, export each part, and write the manifest last."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_pinecone.api.models import dimension_of
from airflow_pinecone.common.text import counted, explain, one_line
from airflow_pinecone.copying.parquet import PartWriter, read_ids, read_part, sha256_of, write_ids
from airflow_pinecone.copying.store import CopyStore, check_not_deleted
from airflow_pinecone.errors import CopyFailed, CopyInvalid
from airflow_pinecone.rules.copy_format import (
    FORMAT,
    KIND,
    LISTING,
    MANIFEST,
    Columns,
    CopyNamespace,
    CopyPart,
    InvalidCopy,
    ListedPart,
    Listing,
    Manifest,
    encode,
    folder_of,
    ids_file,
    parse_listing,
    parse_manifest,
    parse_part,
    part_file,
    part_record,
    sum_of,
    totals_of,
)
from airflow_pinecone.rules.digests import NamespaceDigest
from airflow_pinecone.rules.record_check import RecordCheck

if TYPE_CHECKING:
    from airflow_pinecone.api.records import IndexRecords

# The digest of no record.
EMPTY_DIGEST = str(NamespaceDigest())


def list_parts(
    records: IndexRecords,
    store: CopyStore,
    namespaces: Mapping[str, int],
    *,
    schemas: Mapping[str, dict[str, Any]],
    index: Mapping[str, Any],
    aliases: Mapping[str, str],
    columns: Columns,
    records_per_part: int,
    is_frozen: bool,
    log: Callable[..., object],
) -> Listing:
    """List all ids, and write them in parts. A complete listing of an earlier try, or of another run, is reused.

    Args:
        records: The reader of the index.
        store: The folder of the copy.
        namespaces: The record counts of the namespaces.
        schemas: The schemas of the namespaces that have one.
        index: The index as the manifest describes it.
        aliases: The target namespace of each alias.
        columns: Which columns the files have.
        records_per_part: The number of records of each part, except for the last one of a namespace.
        is_frozen: Whether the index cannot change, so that the counts must agree.
        log: Logs a message with arguments.

    Raises:
        CopyFailed: The numbers of ids and of records differ.
        CopyRefused: A prune is deleting an earlier copy in this folder.
    """
    check_not_deleted(store, index["name"])
    names = sorted(namespaces)
    earlier = _earlier_listing(store)
    if earlier and is_frozen:
        counts = {row["name"]: row["records"] for row in earlier["namespaces"]}
        # Also with parts of another size: other parts would replace those of a complete copy.
        is_same = (counts, earlier["columns"]) == (dict(namespaces), columns)
        if is_same and all(_has_ids(store, part) for part in earlier["parts"]):
            log("The ids were listed by an earlier try: %s.", counted(len(earlier["parts"]), "part"))
            return earlier
    parts: list[ListedPart] = []
    rows: list[CopyNamespace] = []
    for position, name in enumerate(names):
        count = 0
        ids = (each for page in records.list_ids(name, count=namespaces[name] if is_frozen else None) for each in page)
        while batch := list(islice(ids, records_per_part)):
            parts.append(_write_ids(store, len(parts), name, batch))
            count += len(batch)
            log("Listed %s ids of namespace %s, %s read units so far.", count, one_line(name), records.usage.read_units)
        if is_frozen and count != namespaces[name]:
            raise CopyFailed(
                explain(
                    f"The ids of index {records.index['name']} cannot be copied: they are not complete.",
                    f"namespace {one_line(name)} has {namespaces[name]:,} records, and {count:,} ids were listed",
                    "The counts of a restored index can lag behind. A retry lists the ids again.",
                )
            )
        folder = folder_of(name, position, has_schema=name in schemas)
        rows.append(
            CopyNamespace(name=name, folder=folder, records=count, digest=EMPTY_DIGEST, schema=schemas.get(name))
        )
    listing = Listing(
        format=FORMAT,
        index=dict(index),
        aliases=dict(aliases),
        columns=columns,
        records_per_part=records_per_part,
        namespaces=rows,
        parts=parts,
    )
    store.write(LISTING, encode(listing))
    return listing


def _has_ids(store: CopyStore, listed: ListedPart) -> bool:
    """Return whether the records of a part were exported, or its ids are those of the listing."""
    part = _earlier_part(store, listed["number"])
    if part is not None and part["ids_sha256"] == listed["ids_sha256"]:
        return True
    with tempfile.TemporaryDirectory(prefix="pinecone-copy-") as folder:
        file = Path(folder) / "ids.parquet"
        return store.download(ids_file(listed["number"]), file) and sha256_of(file) == listed["ids_sha256"]


def _earlier_listing(store: CopyStore) -> Listing | None:
    content = store.read(LISTING)
    try:
        return None if content is None else parse_listing(content)
    except InvalidCopy:
        return None


def _write_ids(store: CopyStore, number: int, namespace: str, ids: list[str]) -> ListedPart:
    with tempfile.TemporaryDirectory(prefix="pinecone-copy-") as folder:
        file = Path(folder) / "ids.parquet"
        write_ids(file, ids)
        store.put(ids_file(number), file)
        return ListedPart(number=number, namespace=namespace, ids=len(ids), ids_sha256=sha256_of(file))


def read_listing(store: CopyStore) -> Listing:
    """Return the listing of a copy.

    Raises:
        CopyInvalid: There is none, or it is invalid.
    """
    content = store.read(LISTING)
    if content is None:
        raise _invalid(store, LISTING, "it does not exist")
    try:
        return parse_listing(content)
    except InvalidCopy as error:
        raise _invalid(store, LISTING, str(error)) from None


def export_part(
    records: IndexRecords,
    store: CopyStore,
    listing: Listing,
    number: int,
    *,
    is_frozen: bool,
    on_records: Callable[[int], None],
) -> CopyPart:
    """Export the records of one part, unless an earlier try has.

    The part is written to a local file, read again, and uploaded in one piece. The file that describes it is written
    last.

    Args:
        records: The reader of the index.
        store: The folder of the copy.
        listing: The listing of the copy.
        number: The number of the part.
        is_frozen: Whether the index cannot change, so that no record may be missing.
        on_records: Called with the number of records of each batch.

    Raises:
        CopyFailed: A record is missing or invalid, or the store failed.
        CopyInvalid: The ids of the part are not those of the listing.
    """
    listed = listing["parts"][number]
    folder = next(row["folder"] for row in listing["namespaces"] if row["name"] == listed["namespace"])
    name = part_file(folder, number)
    earlier = _earlier_part(store, number)
    is_same = earlier is not None and (earlier["file"], earlier["ids_sha256"]) == (name, listed["ids_sha256"])
    if earlier is not None and is_same and store.size(name) == earlier["bytes"]:
        return earlier
    before = (records.usage.read_units, records.usage.response_bytes)
    with tempfile.TemporaryDirectory(prefix="pinecone-copy-") as local:
        ids = _ids_of(store, listed, Path(local) / "ids.parquet")
        file = Path(local) / "part.parquet"
        check = _write_part(records, listing, listed, ids, file, is_frozen=is_frozen, on_records=on_records)
        _check_file(file, check, name)
        store.put(name, file)
        found = check.digest.count
        part = CopyPart(
            number=number,
            namespace=listed["namespace"],
            file=name,
            records=found,
            bytes=file.stat().st_size,
            sha256=sha256_of(file),
            first_id=ids[0],
            last_id=ids[-1],
            digest=str(check.digest),
            ids_sha256=listed["ids_sha256"],
            missing=len(ids) - found,
            read_units=records.usage.read_units - before[0],
            response_bytes=records.usage.response_bytes - before[1],
        )
    store.write(part_record(number), encode(part))
    return part


def _earlier_part(store: CopyStore, number: int) -> CopyPart | None:
    content = store.read(part_record(number))
    try:
        return None if content is None else parse_part(content)
    except InvalidCopy:
        # An earlier try was killed while it wrote the file.
        return None


def _ids_of(store: CopyStore, listed: ListedPart, file: Path) -> list[str]:
    name = ids_file(listed["number"])
    if not store.download(name, file):
        raise _invalid(store, name, "it does not exist")
    if sha256_of(file) != listed["ids_sha256"]:
        raise _invalid(store, name, "its SHA-256 is not the one of the listing")
    return read_ids(file)


def _write_part(
    records: IndexRecords,
    listing: Listing,
    listed: ListedPart,
    ids: list[str],
    file: Path,
    *,
    is_frozen: bool,
    on_records: Callable[[int], None],
) -> RecordCheck:
    """Read the records, check them, and write them to a local file."""
    columns = listing["columns"]
    check = RecordCheck(listed["namespace"], dimension_of(records.index) if columns != "sparse" else 0)
    writer = PartWriter(file, columns)
    batches = records.fetch_ids(listed["namespace"], ids)
    problem = ""
    try:
        for batch in batches:
            if is_frozen:
                check.add_unreadable(batch.missing)
            check.add(batch.records)
            if columns == "dense" and any(record.sparse_values is not None for record in batch.records):
                problem = "a record has sparse values, which an index with this metric cannot have"
            writer.add(batch.records)
            on_records(len(batch.records))
    finally:
        batches.close()  # type: ignore[attr-defined]
        writer.close()
    findings = [
        f"{row['kind']}: {counted(row['count'], 'record')}, such as {row['ids'][0]}" for row in check.findings.values()
    ]
    if problem or findings:
        raise CopyFailed(
            explain(
                f"Part {listed['number']} of the copy of index {listing['index']['name']} was not written.",
                problem or one_line("; ".join(findings)),
                "If a retry fails, too, the backup is damaged: copy an older one, or create a new one.",
                f"Namespace: {one_line(listed['namespace'])}.",
            )
        )
    return check


def _check_file(file: Path, check: RecordCheck, name: str) -> None:
    """Read a local file again, and check that it has the records that were read, by id in ascending order."""
    digest, last = NamespaceDigest(), ""
    problem = ""
    try:
        for rows in read_part(file):
            digest.add(rows)
            for row in rows:
                problem = problem if row.id > last else "its ids are not in ascending order"
                last = row.id
    except InvalidCopy as error:
        problem = str(error)
    if not problem and str(digest) != str(check.digest):
        problem = "it has another digest than the records that were read"
    if problem:
        raise CopyFailed(explain(f"Could not write file {name} of a part.", problem, "A retry writes the part again."))


def write_manifest(
    store: CopyStore,
    listing: Listing,
    *,
    created_at: str,
    is_frozen: bool,
    index_name: str,
    backup: Mapping[str, Any] | None,
    versions: Mapping[str, str],
) -> Manifest:
    """Check that each part is complete, and write the manifest.

    Raises:
        CopyInvalid: A part is missing, has another size, or is not that of the listing.
    """
    parts = list(_checked_parts(store, listing, is_frozen=is_frozen))
    of_namespace: dict[str, list[CopyPart]] = {row["name"]: [] for row in listing["namespaces"]}
    for part in parts:
        of_namespace[part["namespace"]].append(part)
    namespaces = [
        CopyNamespace(
            name=row["name"],
            folder=row["folder"],
            records=sum(part["records"] for part in of_namespace[row["name"]]),
            digest=sum_of(part["digest"] for part in of_namespace[row["name"]]),
            schema=row["schema"],
        )
        for row in listing["namespaces"]
    ]
    manifest = Manifest(
        format=FORMAT,
        kind=KIND,
        created_at=created_at,
        frozen=is_frozen,
        index_name=index_name,
        index=listing["index"],
        backup=None if backup is None else dict(backup),
        columns=listing["columns"],
        namespaces=namespaces,
        aliases=listing["aliases"],
        parts=parts,
        totals=totals_of(namespaces, parts),
        versions=dict(versions),
    )
    content = encode(manifest)
    parse_manifest(content)
    earlier = _earlier_manifest(store)
    if earlier is not None and _without_times(earlier) == _without_times(manifest):
        # The reports of its verifications remain valid.
        return earlier
    store.write(MANIFEST, content)
    return manifest


def _earlier_manifest(store: CopyStore) -> Manifest | None:
    content = store.read(MANIFEST)
    try:
        return None if content is None else parse_manifest(content)
    except InvalidCopy:
        return None


def _without_times(manifest: Manifest) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name not in ("created_at", "versions")}


def _checked_parts(store: CopyStore, listing: Listing, *, is_frozen: bool) -> Iterator[CopyPart]:
    for listed in listing["parts"]:
        number = listed["number"]
        name = part_record(number)
        part = _earlier_part(store, number)
        if part is None:
            raise _invalid(store, name, "it does not exist, or is invalid")
        if (part["ids_sha256"], part["records"] + part["missing"]) != (listed["ids_sha256"], listed["ids"]):
            raise _invalid(store, name, "it is of another listing")
        if is_frozen and part["missing"]:
            raise _invalid(store, name, "records are missing")
        if store.size(part["file"]) != part["bytes"]:
            raise _invalid(store, part["file"], f"it does not have {part['bytes']:,} bytes")
        yield part


def _invalid(store: CopyStore, name: str, reason: str) -> CopyInvalid:
    return CopyInvalid(
        explain(
            f"The copy cannot be used: file {name} is invalid.",
            reason,
            "Clear the task group: the export continues with the parts that are complete.",
            f"Folder: {store.url}.",
        ),
        reason=reason,
    )
