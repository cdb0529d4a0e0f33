"""Write the records of restore tests to a folder, and read earlier ones. Airflow's ObjectStoragePath gives access."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from airflow_pinecone.common.text import explain, one_line
from airflow_pinecone.errors import RestoreTestFailed
from airflow_pinecone.rules.report import RestoreTest, RestoreTests
from airflow_pinecone.rules.tested import parse_record
from airflow_pinecone.runtime.airflow_versions import storage_path

log = logging.getLogger(__name__)

_LATEST = "latest.json"
_FILE = re.compile(r"\d{8}T\d{6}\.\d{6}Z(-\d+)?\.json")
# How many records are requested at once. A store can read them at the same time.
_BATCH = 100
# How many records of an index are read at most to find a passed one.
_MAX_RECORDS = 20


class Earlier(NamedTuple):
    """The record of an earlier restore test of the same backup, or why there is none, as a clause for a message."""

    record: dict[str, Any] | None
    why_none: str = ""


def oldest_passed(report_to: Any, index_name: str, backup_id: str, warn: Callable[..., object]) -> Earlier:
    """Return the record of the oldest passed test of a backup that read all records.

    A file that is no such record is skipped, with a warning.

    Args:
        report_to: The folder.
        index_name: The index.
        backup_id: The id of the backup.
        warn: Logs a warning with arguments.
    """
    folder = storage_path(report_to) / index_name / backup_id
    # Stores without folders have none for the first test.
    files = sorted(folder.iterdir(), key=lambda path: path.name) if folder.is_dir() else []
    for file in files:
        if not file.name.endswith(".json"):
            continue
        try:
            record = json.loads(file.read_bytes())
            is_usable = record["verdict"] == "passed" and record["sampled"] is False
            {name: row["digest"] + "" for name, row in record["namespaces"].items() if row["read"]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            warn("File %s is not the record of a restore test: %s.", file, type(error).__name__)
            continue
        if is_usable:
            return Earlier(record)
    return Earlier(None, "no earlier test of this backup that read all records has passed")


def read_tests(
    report_to: Any, backup_ids: Mapping[str, Collection[str]], *, check: Callable[[], object] = lambda: None
) -> dict[str, RestoreTests]:
    """Read the newest restore tests of some indexes. This does not fail: the result says which are unknown, and why.

    This is one request for each index. If its last test has not passed, or the backup was deleted, its earlier tests
    are listed and read, too.

    Args:
        report_to: The folder to which the restore tests write their records.
        backup_ids: The ids of the backups of each index.
        check: Called between the requests. What it raises is not caught.
    """
    names = list(backup_ids)
    try:
        root = storage_path(report_to)
        store = root.fs
        # Some stores remember listings, and a process can be old.
        store.invalidate_cache()
    except Exception as error:  # Each store has errors of its own.
        return dict.fromkeys(names, RestoreTests((), _why_unreadable(f"folder {report_to}", error)))
    reader = _Reader(root, store, check)
    latest = reader.read([root / name / _LATEST for name in names])
    if names and all(isinstance(content, FileNotFoundError) for content in latest):
        try:
            exists = root.exists()
        except Exception as error:
            return dict.fromkeys(names, RestoreTests((), _why_unreadable(f"folder {root}", error)))
        if not exists:
            return dict.fromkeys(names, RestoreTests((), f"folder {root} does not exist"))
    return {name: reader.tests_of(name, content, backup_ids[name]) for name, content in zip(names, latest, strict=True)}


class _Reader:
    """Reads records in a folder."""

    def __init__(self, root: Any, store: Any, check: Callable[[], object]) -> None:
        self._root = root
        self._store = store
        self._check = check

    def read(self, paths: Sequence[Any]) -> list[bytes | Exception]:
        """Return the content of each file, or why it cannot be read."""
        contents: list[bytes | Exception] = []
        for start in range(0, len(paths), _BATCH):
            self._check()
            batch = [path.path for path in paths[start : start + _BATCH]]
            try:
                found = self._store.cat(batch, on_error="return")
                contents += [found[path] for path in batch]
            except Exception as error:
                contents += [error] * len(batch)
        return contents

    def tests_of(self, index_name: str, latest: bytes | Exception, backup_ids: Collection[str]) -> RestoreTests:
        """Return the tests of an index, from the content of its last record."""
        if isinstance(latest, FileNotFoundError):
            return RestoreTests()
        newest, why = _parse(self._root / index_name / _LATEST, latest, index_name)
        if newest is not None:
            path = self._root / index_name / newest.backup_id / f"{_time(newest.ended_at)}.json"
            newest = newest._replace(path=str(path))
            if _is_enough(newest, backup_ids):
                return RestoreTests([newest])
        tests = [newest] if newest else []
        for test, problem in self._earlier(index_name, backup_ids):
            why = why or problem
            if test is not None and test != newest:
                tests.append(test)
            if test is not None and _is_enough(test, backup_ids):
                break
        return RestoreTests(tests, why)

    def _earlier(self, index_name: str, backup_ids: Collection[str]) -> Iterator[tuple[RestoreTest | None, str]]:
        """Yield the tests of the existing backups, the newest first, or why one is unknown."""
        folder = self._root / index_name
        self._check()
        try:
            parts = [file.replace("\\", "/").split("/")[-2:] for file in self._store.find(folder.path)]
        except Exception as error:
            yield None, _why_unreadable(f"folder {folder}", error)
            return
        files = [(name, backup_id) for backup_id, name in parts if backup_id in backup_ids and _FILE.fullmatch(name)]
        paths = [folder / backup_id / name for name, backup_id in sorted(files, reverse=True)[:_MAX_RECORDS]]
        for path, content in zip(paths, self.read(paths), strict=True):
            yield _parse(path, content, index_name)


def _is_enough(test: RestoreTest, backup_ids: Collection[str]) -> bool:
    """Return whether the tests before this one do not matter."""
    return test.verdict == "passed" and test.backup_id in backup_ids


def _parse(path: Any, content: bytes | Exception, index_name: str) -> tuple[RestoreTest | None, str]:
    """Return the test in a record, or why it is unknown."""
    if isinstance(content, Exception):
        return None, _why_unreadable(f"file {path}", content)
    try:
        return parse_record(content, index_name, str(path)), ""
    except ValueError as error:
        return None, f"file {path} cannot be used: {error}"


def _why_unreadable(what: str, error: Exception) -> str:
    # The text of another library can have anything, so only the log has it.
    log.warning("Could not read %s: %s: %s", what, type(error).__name__, one_line(error))
    return f"{what} could not be read ({type(error).__name__})"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


def write(report_to: Any, index_name: str, backup_id: str, record: dict[str, Any], ended_at: datetime) -> str:
    """Write the record of a restore test, and read it back.

    An object store publishes what was written before an exception, so the content is complete before the first byte.

    Args:
        report_to: The folder.
        index_name: The index.
        backup_id: The id of the backup.
        record: The record.
        ended_at: When the test ended.

    Returns:
        The path of the file. ``latest.json`` in the folder of the index has the same content.

    Raises:
        RestoreTestFailed: The file has other content, or cannot be read.
    """
    content = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False).encode()
    folder = storage_path(report_to) / index_name
    time = _time(ended_at)
    file = folder / backup_id / f"{time}.json"
    number = 1
    while file.exists():
        number += 1
        file = folder / backup_id / f"{time}-{number}.json"
    for path in (file, folder / _LATEST):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            is_written = path.read_bytes() == content
        except Exception as error:  # Each store has errors of its own.
            raise _not_written(path, f"{type(error).__name__}: {one_line(error)}") from error
        if not is_written:
            raise _not_written(path, "it has other content than was written")
    return str(file)


def _not_written(path: Any, why: str) -> RestoreTestFailed:
    advice = "Check report_to and its Airflow connection, then clear this task."
    return RestoreTestFailed(explain(f"Could not write the record of the restore test to {path}.", why, advice))
