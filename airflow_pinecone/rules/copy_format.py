"""The format of a copy outside of Pinecone: its files, and its manifest. Nothing here does I/O.

``docs/reference/copy-format.md`` documents the format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict

from airflow_pinecone.api.models import count_of, parse_time
from airflow_pinecone.common.text import one_line

# The version of the format, and what a manifest says that it is.
FORMAT = 1
KIND = "airflow-pinecone-copy"

MANIFEST = "copy/manifest.json"
LISTING = "copy/listing.json"
# An export has begun. It is written before the restore, which can take hours, to see that the store accepts it.
STARTED = "copy/started.json"
# A prune writes it before it deletes the manifest, so that a retry can delete the rest.
DELETED = "copy/deleted.json"
# What Pinecone imports, and the namespaces whose names cannot be folders there.
DATA, OTHER_DATA = "data", "upsert"

# Names that are the same in each object store, and in a URL.
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}").fullmatch
_PART_NUMBER = "part-{:08}"

Columns = Literal["dense", "sparse", "hybrid"]


class InvalidCopy(ValueError):
    """A file is not what the format says. The message is a clause."""


class CopyNamespace(TypedDict):
    """A namespace of a copy, as JSON types.

    Attributes:
        name: Its name; the default one is ``__default__``.
        folder: The folder of its parts. Pinecone can import those below ``data``.
        records: The number of records.
        digest: The digest of the records; see ``rules.digests``.
        schema: The schema with which it was created; None if it has none.
    """

    name: str
    folder: str
    records: int
    digest: str
    schema: dict[str, Any] | None


class ListedPart(TypedDict):
    """A part before its records are read: the file with its ids, as JSON types.

    Attributes:
        number: The number of the part.
        namespace: Its namespace.
        ids: The number of ids.
        ids_sha256: The SHA-256 of the file of the ids.
    """

    number: int
    namespace: str
    ids: int
    ids_sha256: str


class Listing(TypedDict):
    """All parts of a copy, before their records are read, as JSON types."""

    format: int
    index: dict[str, Any]
    aliases: dict[str, str]
    columns: Columns
    records_per_part: int
    namespaces: list[CopyNamespace]
    parts: list[ListedPart]


class CopyPart(TypedDict):
    """A part of a copy, as JSON types.

    Attributes:
        number: The number of the part.
        namespace: Its namespace.
        file: Its file.
        records: The number of records.
        bytes: The size of the file.
        sha256: The SHA-256 of the file.
        first_id: The first id; None if another program wrote the file, and its ids are not in ascending order.
        last_id: The last id; None if ``first_id`` is None.
        digest: The digest of the records.
        ids_sha256: The SHA-256 of the file of the ids; None if another program wrote the copy.
        missing: How many listed ids were deleted before their records were read. It is 0 in a frozen copy.
        read_units: What the reading has cost.
        response_bytes: The bytes of the responses, not compressed.
    """

    number: int
    namespace: str
    file: str
    records: int
    bytes: int
    sha256: str
    first_id: str | None
    last_id: str | None
    digest: str
    ids_sha256: str | None
    missing: int
    read_units: int
    response_bytes: int


class Totals(TypedDict):
    """The totals of a copy."""

    records: int
    namespaces: int
    parts: int
    bytes: int
    missing: int
    read_units: int
    response_bytes: int


class Manifest(TypedDict):
    """The manifest of a copy, as JSON types. A copy is complete when it has one.

    Attributes:
        format: The version of the format.
        kind: ``airflow-pinecone-copy``.
        created_at: When the manifest was written; for a copy that is not frozen, when its run started.
        frozen: Whether the source could not change: a restored backup.
        index_name: The index that was copied.
        index: The index as Pinecone describes it. A scratch index stands for the one of the backup.
        backup: The backup; None for the copy of an index.
        columns: Which columns the files have.
        namespaces: The namespaces, in the order of their names.
        aliases: The target namespace of each alias.
        parts: The parts, in the order of their numbers.
        totals: The totals.
        versions: The versions of the programs that wrote the copy.
    """

    format: int
    kind: str
    created_at: str
    frozen: bool
    index_name: str
    index: dict[str, Any]
    backup: dict[str, Any] | None
    columns: Columns
    namespaces: list[CopyNamespace]
    aliases: dict[str, str]
    parts: list[CopyPart]
    totals: Totals
    versions: dict[str, str]


def ids_file(number: int) -> str:
    """Return the file with the ids of a part."""
    return f"copy/ids/{_PART_NUMBER.format(number)}.parquet"


def part_record(number: int) -> str:
    """Return the file that describes a part."""
    return f"copy/parts/{_PART_NUMBER.format(number)}.json"


def part_file(folder: str, number: int) -> str:
    """Return the file with the records of a part."""
    return f"{folder}/{_PART_NUMBER.format(number)}.parquet"


def folder_of(namespace: str, number: int, *, has_schema: bool) -> str:
    """Return the folder of a namespace.

    Args:
        namespace: The name of the namespace.
        number: Its position among the namespaces of the copy.
        has_schema: Whether it was created with a schema. An import creates a namespace, and without one.
    """
    return f"{DATA}/{namespace}" if _FOLDER(namespace) and not has_schema else f"{OTHER_DATA}/ns-{number:08}"


def is_importable(namespace: CopyNamespace) -> bool:
    """Return whether Pinecone can import a namespace."""
    return namespace["folder"].startswith(f"{DATA}/")


def is_in_order(parts: Iterable[CopyPart]) -> bool:
    """Return whether the ids of some parts of a namespace ascend, within each part and from part to part."""
    last = ""
    for part in parts:
        if not part["records"]:
            continue
        if part["first_id"] is None or part["last_id"] is None or not last < part["first_id"] <= part["last_id"]:
            return False
        last = part["last_id"]
    return True


def totals_of(namespaces: Iterable[CopyNamespace], parts: Iterable[CopyPart]) -> Totals:
    """Return the totals of the parts of a copy."""
    rows = list(parts)
    return Totals(
        records=sum(row["records"] for row in rows),
        namespaces=len(list(namespaces)),
        parts=len(rows),
        bytes=sum(row["bytes"] for row in rows),
        missing=sum(row["missing"] for row in rows),
        read_units=sum(row["read_units"] for row in rows),
        response_bytes=sum(row["response_bytes"] for row in rows),
    )


def encode(document: Mapping[str, Any]) -> bytes:
    """Return a file of JSON, always the same for the same document."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def parse_listing(content: bytes) -> Listing:
    """Read the file of a listing, or raise InvalidCopy."""
    listing: Listing = _object(content, "listing")
    try:
        rows = sum(part["ids"] for part in listing["parts"])
        names = {namespace["name"]: namespace["records"] for namespace in listing["namespaces"]}
        is_valid = rows == sum(names.values()) and {part["namespace"] for part in listing["parts"]} <= names.keys()
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidCopy(f"it is no listing: {type(error).__name__} {one_line(error)}") from None
    if not is_valid:
        raise InvalidCopy("its namespaces and its parts have other numbers of records")
    return listing


def parse_part(content: bytes) -> CopyPart:
    """Read the file that describes a part, or raise InvalidCopy."""
    part: CopyPart = _object(content, "part")
    _check_part(part)
    return part


def parse_manifest(content: bytes) -> Manifest:
    """Read and check a manifest: each sum, each digest and each file must agree.

    Raises:
        InvalidCopy: It is no manifest, one of another version, or one that contradicts itself.
    """
    manifest: Manifest = _object(content, "manifest")
    if manifest.get("kind") != KIND:
        raise InvalidCopy(f"it is no manifest: kind is not {KIND}")
    try:
        of_namespace: dict[str, list[CopyPart]] = {}
        for part in manifest["parts"]:
            _check_part(part)
            of_namespace.setdefault(part["namespace"], []).append(part)
        for namespace in manifest["namespaces"]:
            _check_namespace(namespace, of_namespace.get(namespace["name"], []))
        names = [namespace["name"] for namespace in manifest["namespaces"]]
        files = [part["file"] for part in manifest["parts"]]
        problem = (
            "two namespaces have the same name"
            if len(set(names)) < len(names)
            else "two parts have the same file"
            if len(set(files)) < len(files)
            else "a part has an unknown namespace"
            if not {part["namespace"] for part in manifest["parts"]} <= set(names)
            else "its totals are not those of its parts"
            if totals_of(manifest["namespaces"], manifest["parts"]) != manifest["totals"]
            else "its created_at is not a time"
            if parse_time(manifest["created_at"]) is None
            else ""
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidCopy(f"it is no manifest: {type(error).__name__} {one_line(error)}") from None
    if problem:
        raise InvalidCopy(problem)
    return manifest


def _object(content: bytes, label: str) -> Any:
    try:
        document = json.loads(content)
    except ValueError:
        raise InvalidCopy(f"it is no {label}: it is not JSON") from None
    if not isinstance(document, dict):
        raise InvalidCopy(f"it is no {label}: it is not an object")
    if "format" in document and document["format"] != FORMAT:
        raise InvalidCopy(f"its format is {one_line(document['format'])}, and this release reads format {FORMAT}")
    return document


def _check_part(part: CopyPart) -> None:
    counts = (part.get("number"), part.get("records"), part.get("bytes"), part.get("missing"))
    is_valid = None not in map(count_of, counts) and all(
        isinstance(part.get(name), str) for name in ("file", "namespace", "sha256", "digest")
    )
    if not is_valid or digest_count(part["digest"]) != part["records"]:
        raise InvalidCopy(f"part {one_line(part.get('number'))} is invalid")


def _check_namespace(namespace: CopyNamespace, parts: list[CopyPart]) -> None:
    records = sum(part["records"] for part in parts)
    if records != namespace["records"] or sum_of(part["digest"] for part in parts) != namespace["digest"]:
        raise InvalidCopy(f"namespace {one_line(namespace['name'])} has another digest than its parts")


def digest_count(digest: str) -> int | None:
    """Return the number of records of a digest; None if it is no digest."""
    found = re.fullmatch(r"v1:([0-9]+):[0-9a-f]{32}", digest)
    return int(found[1]) if found else None


def sum_of(digests: Iterable[str]) -> str:
    """Return the digest of all records of several digests. The records must be different ones."""
    count = total = 0
    for digest in digests:
        number = digest_count(digest)
        if number is None:
            raise InvalidCopy(f"{one_line(digest)} is no digest of version v1")
        count += number
        total += int(digest.rpartition(":")[2], 16)
    return f"v1:{count}:{total % 2**128:032x}"
