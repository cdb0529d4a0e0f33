"""Read a copy, and verify it. Only the manifest says which files belong to it: no folder is listed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

from airflow_pinecone.api.models import IndexModel, dimension_of
from airflow_pinecone.api.record import Record
from airflow_pinecone.common.text import counted, explain, one_line
from airflow_pinecone.copying.parquet import check_columns, read_part, sha256_of
from airflow_pinecone.copying.sorting import sort_records
from airflow_pinecone.copying.store import CopyStore
from airflow_pinecone.errors import CopyInvalid
from airflow_pinecone.rules.copy_format import (
    DATA,
    MANIFEST,
    Columns,
    CopyPart,
    InvalidCopy,
    Manifest,
    is_in_order,
    parse_manifest,
)
from airflow_pinecone.rules.record_check import RecordCheck

Level = Literal[1, 2, 3]

# An error names at most so many files.
_LISTED_FILES = 10
_ADVICE = "Do not rely on this copy. Use an older one, and export the backup again, into another destination."


class VerifiedCopy(TypedDict):
    """What was verified of a copy, as JSON types.

    Attributes:
        level: The level.
        namespaces: The number of namespaces.
        parts: The number of parts.
        records: The number of records.
        bytes: The size of the parts.
    """

    level: Level
    namespaces: int
    parts: int
    records: int
    bytes: int


class FileContent(NamedTuple):
    """What a file of records has.

    Attributes:
        check: The check of the records, with their digest.
        first_id: The least id; None without records.
        last_id: The greatest id; None without records.
        is_ascending: Whether the ids ascend.
    """

    check: RecordCheck
    first_id: str | None
    last_id: str | None
    is_ascending: bool


class CopyReader:
    """Read and verify a copy.

    Args:
        store: The folder of the copy.
    """

    def __init__(self, store: CopyStore) -> None:
        self.store = store

    @cached_property
    def content(self) -> bytes:
        """The file of the manifest.

        Raises:
            CopyInvalid: There is none.
            CopyFailed: It could not be read.
        """
        content = self.store.read(MANIFEST)
        if content is None:
            raise self._invalid(
                f"{MANIFEST} does not exist",
                "Check the URL. The export writes this file last: if it has failed, clear it.",
            )
        return content

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest.

        Raises:
            CopyInvalid: There is none, or it is invalid.
            CopyFailed: It could not be read.
        """
        try:
            return parse_manifest(self.content)
        except InvalidCopy as error:
            raise self._invalid(f"{MANIFEST} is invalid: {error}", _ADVICE) from None

    @cached_property
    def _folders(self) -> dict[str, str]:
        return {row["name"]: row["folder"] for row in self.manifest["namespaces"]}

    @cached_property
    def _parts(self) -> dict[str, list[CopyPart]]:
        parts: dict[str, list[CopyPart]] = {name: [] for name in self._folders}
        for part in self.manifest["parts"]:
            parts[part["namespace"]].append(part)
        return parts

    def verify(self, level: Level, *, on_records: Callable[[int], object] = lambda _: None) -> VerifiedCopy:
        """Verify the copy. Each level includes the ones before.

        Args:
            level: 1 checks the manifest and the size of each file, 2 also the SHA-256 of each file, and 3 also reads
                all records, and checks their ids and their digests. Levels 2 and 3 download one file at a time.
            on_records: Called with the number of records of each file, or of each batch of them.

        Raises:
            CopyInvalid: Files are missing or damaged.
            CopyFailed: The store failed.
        """
        problems = []
        for part in self.manifest["parts"]:
            problem = self._problem_of(part, level, on_records)
            if problem:
                problems.append(f"{part['file']}: {problem}")
        if level == 3:
            problems += self._overlaps()
        if problems:
            listed = [one_line(problem) for problem in problems[:_LISTED_FILES]]
            more = [f"{len(problems) - _LISTED_FILES} more"] if len(problems) > _LISTED_FILES else []
            found = f"{counted(len(problems), 'file')} of {len(self.manifest['parts'])} invalid"
            raise self._invalid(f"{found}: {'; '.join([*listed, *more])}", _ADVICE)
        totals = self.manifest["totals"]
        return VerifiedCopy(
            level=level,
            namespaces=totals["namespaces"],
            parts=totals["parts"],
            records=totals["records"],
            bytes=totals["bytes"],
        )

    def check_no_other_files(self) -> None:
        """Fail if the folder that Pinecone imports has files that are not of the copy.

        An export that has used another ``part_bytes`` can have left them.

        Raises:
            CopyInvalid: There are other files.
            CopyFailed: The store failed.
        """
        own = {part["file"] for part in self.manifest["parts"]}
        files = (f"{DATA}/{folder}/{name}" for folder in self.store.folders(DATA) for name in self._files_in(folder))
        others = [file for file in files if file.endswith(".parquet") and file not in own]
        if others:
            raise self._invalid(
                f"{counted(len(others), 'file')} below {DATA} not in the manifest, such as {one_line(others[0])}",
                "Pinecone would import them, too. Delete them, or set method='upsert'.",
            )

    def _files_in(self, folder: str) -> list[str]:
        return self.store.files(f"{DATA}/{folder}")

    def records(self, namespace: str) -> Iterator[list[Record]]:
        """Yield the records of a namespace, by id in ascending order, in lists of up to 1,000.

        One file at a time is downloaded, and its SHA-256 is checked before the first of its records is yielded.

        Args:
            namespace: The name of a namespace of the copy.

        Raises:
            CopyInvalid: A file is missing or damaged.
            CopyFailed: The store failed.
        """
        parts = self._parts[namespace]
        batches = (batch for part in parts for batch in self.records_of(part))
        if is_in_order(parts):
            yield from batches
        else:
            with tempfile.TemporaryDirectory(prefix="pinecone-copy-") as folder:
                yield from sort_records(Path(folder), batches)

    def records_of(self, part: CopyPart) -> Iterator[list[Record]]:
        """Yield the records of a part, in the order of its file, after its SHA-256 was checked.

        Args:
            part: The part.

        Raises:
            CopyInvalid: The file is missing or damaged.
            CopyFailed: The store failed.
        """
        with tempfile.TemporaryDirectory(prefix="pinecone-copy-") as folder:
            file = Path(folder) / "part.parquet"
            problem = self._download(part, file)
            if problem:
                raise self._invalid(f"{part['file']}: {problem}", _ADVICE)
            try:
                yield from read_part(file)
            except InvalidCopy as error:
                raise self._invalid(f"{part['file']}: {error}", _ADVICE) from None

    def _problem_of(self, part: CopyPart, level: Level, on_records: Callable[[int], object]) -> str:
        """Return why a part is invalid; empty if it is valid."""
        if part["file"].rpartition("/")[0] != self._folders[part["namespace"]]:
            return "it is not in the folder of its namespace"
        size = self.store.size(part["file"])
        if size is None:
            return "it does not exist"
        if size != part["bytes"]:
            return f"it has {size:,} bytes, not {part['bytes']:,}"
        if level == 1:
            on_records(part["records"])
            return ""
        with tempfile.TemporaryDirectory(prefix="pinecone-copy-") as local:
            file = Path(local) / "part.parquet"
            problem = self._download(part, file)
            if problem or level == 2:
                on_records(part["records"])
                return problem
            try:
                return self._problem_in(part, file, on_records)
            except InvalidCopy as error:
                return str(error)

    def _download(self, part: CopyPart, file: Path) -> str:
        """Download a part, and return why it is not the one of the manifest; empty if it is."""
        if not self.store.download(part["file"], file):
            return "it does not exist"
        return "" if sha256_of(file) == part["sha256"] else "its SHA-256 is not the one of the manifest"

    def _problem_in(self, part: CopyPart, file: Path, on_records: Callable[[int], object]) -> str:
        def count(batch: list[Record]) -> None:
            on_records(len(batch))

        index: IndexModel = self.manifest["index"]  # type: ignore[assignment]
        columns = self.manifest["columns"]
        is_delivered = part["ids_sha256"] is None
        content = read_content(
            file, part["namespace"], columns, dimension_of(index), is_delivered=is_delivered, on_batch=count
        )
        first, last = part["first_id"], part["last_id"]
        if not content.is_ascending and (not is_delivered or first is not None):
            return "its ids are not in ascending order"
        is_within = content.first_id is None or content.last_id is None or first is None or last is None
        if not is_within and not (str(first) <= str(content.first_id) and str(content.last_id) <= str(last)):
            return "it has other ids than the manifest says"
        if str(content.check.digest) != part["digest"]:
            return "its records have another digest than the manifest says"
        return problem_of(content.check)

    def _overlaps(self) -> list[str]:
        """Return which namespaces have parts with the same ids. Another program may write parts in any order."""
        problems = []
        for namespace in self.manifest["namespaces"]:
            parts = [part for part in self.manifest["parts"] if part["namespace"] == namespace["name"]]
            if all(part["ids_sha256"] is not None for part in parts) and not is_in_order(parts):
                problems.append(f"{namespace['folder']}: the ids of its files overlap")
        return problems

    def _invalid(self, reason: str, advice: str) -> CopyInvalid:
        return CopyInvalid(
            explain("The copy cannot be used.", reason, advice, f"Folder: {self.store.url}."),
            reason=reason,
        )


def read_content(
    file: Path,
    namespace: str,
    columns: Columns,
    dimension: int | None,
    *,
    is_delivered: bool,
    on_batch: Callable[[list[Record]], None],
) -> FileContent:
    """Read a local file of records, and check each one.

    Args:
        file: The file.
        namespace: The namespace.
        columns: Which columns the file must have.
        dimension: The dimension of the dense vectors.
        is_delivered: Whether another program wrote the file; see ``check_columns``.
        on_batch: Called with each batch of records.

    Raises:
        InvalidCopy: The file cannot be read, has other columns, or has an invalid record.
    """
    check_columns(file, columns, is_delivered=is_delivered)
    check = RecordCheck(namespace, 0 if columns == "sparse" else dimension)
    first: str | None = None
    last: str | None = None
    previous, is_ascending = "", True
    for batch in read_part(file):
        check.add(batch)
        for record in batch:
            if columns == "dense" and record.sparse_values is not None:
                raise InvalidCopy(f"record {record.id} has sparse values, which an index with this metric cannot have")
            is_ascending = is_ascending and record.id > previous
            previous = record.id
            first = record.id if first is None else min(first, record.id)
            last = record.id if last is None else max(last, record.id)
        on_batch(batch)
    return FileContent(check, first, last, is_ascending)


def problem_of(check: RecordCheck) -> str:
    """Return the findings of a check as a clause; empty if there are none."""
    return "; ".join(
        f"{row['kind']}: {counted(row['count'], 'record')}, such as {row['ids'][0]}" for row in check.findings.values()
    )
