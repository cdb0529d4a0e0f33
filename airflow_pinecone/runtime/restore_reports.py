"""Write the records of restore tests to a folder, and read earlier ones. Airflow's ObjectStoragePath gives access."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from airflow_pinecone.common.text import explain, one_line
from airflow_pinecone.errors import RestoreTestFailed
from airflow_pinecone.rules.history import age_of
from airflow_pinecone.rules.report import BackupTimes, RestoreTest, RestoreTests
from airflow_pinecone.rules.restore_findings import earlier_digests
from airflow_pinecone.rules.tested import clears, is_decisive, parse_record
from airflow_pinecone.runtime.airflow_versions import storage_path

log = logging.getLogger(__name__)

_LATEST = "latest.json"
# The time when a test ended, a digest of its run, and a number if there is another such file. Earlier releases wrote no
# digest.
_FILE = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)(-[0-9a-f]{8})?(-\d+)?\.json")
# How many records are requested at once. A store can read them at the same time.
_BATCH = 100
# How many earlier records of an index are requested at once, and at most.
_RECORDS_AT_ONCE, _MAX_RECORDS = 20, 100


class Earlier(NamedTuple):
    """The record of an earlier restore test of the same backup, or why there is none, as a clause for a message."""

    record: dict[str, Any] | None
    why_none: str = ""


def oldest_passed(
    report_to: Any,
    index_name: str,
    backup_id: str,
    warn: Callable[..., object],
    who: Mapping[str, Any] | None = None,
) -> Earlier:
    """Return the record of the oldest passed test of a backup that read all records. This does not fail.

    One that was compared with the index is preferred. A file that is no such record is skipped, with a warning.

    Args:
        report_to: The folder.
        index_name: The index.
        backup_id: The id of the backup.
        warn: Logs a warning with arguments.
        who: The DAG and the run of the new test. The records of this run are left out.
    """
    try:
        return _oldest_passed(storage_path(report_to) / index_name / backup_id, index_name, warn, who or {})
    except Exception as error:  # Each store has errors of its own.
        return Earlier(None, _why_unreadable(f"folder {report_to}", error))


def _oldest_passed(folder: Any, index_name: str, warn: Callable[..., object], who: Mapping[str, Any]) -> Earlier:
    from airflow_pinecone.rules.digests import VERSION

    # Stores without folders have none for the first test.
    files = sorted(folder.iterdir(), key=lambda path: path.name) if folder.is_dir() else []
    why_none = "no earlier test of this backup that read all records has passed"
    not_compared = None
    for file in files:
        if not file.name.endswith(".json"):
            continue
        content = file.read_bytes()
        try:
            test = parse_record(content, index_name, str(file))
            record = json.loads(content)
            versions = {digest.split(":")[0] for digest in (earlier_digests(record) or {}).values()}
            is_compared = record["read"]["compared"] > 0
            run = (record["who"].get("dag_id"), record["who"].get("run_id"))
        except ValueError as error:
            warn("File %s cannot be used: %s.", file, error)
            continue
        except (KeyError, TypeError, AttributeError):
            warn("File %s cannot be used: it is not the record of a restore test.", file)
            continue
        if test.backup_id != folder.name:
            warn("File %s cannot be used: it is about another backup, %s.", file, test.backup_id)
            continue
        if test.verdict != "passed" or test.sampled or run == (who.get("dag_id"), who.get("run_id")):
            continue
        if versions - {VERSION}:
            why_none = f"those of the earlier tests of this backup have another version than {VERSION}"
        elif is_compared:
            return Earlier(record)
        else:
            not_compared = not_compared or record
    return Earlier(not_compared, "" if not_compared else why_none)


def read_tests(
    report_to: Any,
    backups: Mapping[str, BackupTimes],
    *,
    now: datetime,
    check: Callable[[], object] = lambda: None,
) -> dict[str, RestoreTests]:
    """Read the newest restore tests of some indexes. This does not fail: the result says which are unknown, and why.

    This is one request for each index. If its last test does not decide on its status, its earlier tests are listed and
    read, too: the test has not passed or only read a sample, or there may be a failed test of a newer backup.

    Args:
        report_to: The folder to which the restore tests write their records.
        backups: The existing backups of each index.
        now: The current time.
        check: Called between the requests. What it raises is not caught.
    """
    names = list(backups)
    try:
        root = storage_path(report_to)
        store = root.fs
        # Some stores remember listings, and a process can be old.
        store.invalidate_cache()
    except Exception as error:  # Each store has errors of its own.
        return dict.fromkeys(names, RestoreTests((), _why_unreadable(f"folder {report_to}", error)))
    reader = _Reader(root, store, now, check)
    latest = reader.read([root / name / _LATEST for name in names])
    if names and all(isinstance(content, FileNotFoundError) for content in latest):
        try:
            exists = root.exists()
        except Exception as error:
            return dict.fromkeys(names, RestoreTests((), _why_unreadable(f"folder {root}", error)))
        if not exists:
            return dict.fromkeys(names, RestoreTests((), f"folder {root} does not exist"))
    return {name: reader.tests_of(name, content, backups[name]) for name, content in zip(names, latest, strict=True)}


class _Reader:
    """Reads records in a folder."""

    def __init__(self, root: Any, store: Any, now: datetime, check: Callable[[], object]) -> None:
        self._root = root
        self._store = store
        self._now = now
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

    def tests_of(self, index_name: str, latest: bytes | Exception, backups: BackupTimes) -> RestoreTests:
        """Return the tests of an index, from the content of its last record."""
        if isinstance(latest, FileNotFoundError):
            return RestoreTests()
        folder = self._root / index_name
        newest, why = _parse(folder / _LATEST, latest, index_name)
        if newest is not None:
            newest = newest._replace(path=str(folder / newest.backup_id / _name_in(latest, newest)))
            if is_decisive(newest, backups, self._now):
                return RestoreTests([newest])
        files, problem = self._files(folder, backups)
        tests = [newest] if newest else []
        problem = self._add_earlier(tests, folder, files, backups) or problem
        tests.sort(key=lambda test: test.ended_at, reverse=True)
        return RestoreTests(tests, why or problem)

    def _files(self, folder: Any, backups: BackupTimes) -> tuple[list[tuple[str, str]], str]:
        """Return the names of the records of the existing backups, with their ids, the newest first; or a problem."""
        self._check()
        try:
            parts = [file.replace("\\", "/").split("/")[-2:] for file in self._store.find(folder.path)]
        except Exception as error:
            return [], _why_unreadable(f"folder {folder}", error)
        files = [(name, backup_id) for backup_id, name in parts if backup_id in backups and _FILE.fullmatch(name)]
        return sorted(files, reverse=True), ""

    def _add_earlier(
        self, tests: list[RestoreTest], folder: Any, files: list[tuple[str, str]], backups: BackupTimes
    ) -> str:
        """Add the earlier tests of an index that can change its status. Return why one is unknown."""
        why, read = "", 0
        while True:
            files = [file for file in files if self._matters(*file, tests, backups)]
            if not files:
                return why
            if read >= _MAX_RECORDS:
                return why or f"folder {folder} has more records, and the newest {read} do not decide"
            batch, files = files[:_RECORDS_AT_ONCE], files[_RECORDS_AT_ONCE:]
            read += len(batch)
            paths = [folder / backup_id / name for name, backup_id in batch]
            for file, path, content in zip(batch, paths, self.read(paths), strict=True):
                if self._matters(*file, tests, backups):
                    test, problem = _parse(path, content, folder.name)
                    why = why or problem
                    if test is not None and test not in tests:
                        tests.append(test)

    def _matters(self, name: str, backup_id: str, tests: Sequence[RestoreTest], backups: BackupTimes) -> bool:
        """Return whether a record can change the status of its index, given later tests."""
        if not any(
            test.verdict == "passed" and test.backup_id in backups and not age_of(test.ended_at, self._now).in_future
            for test in tests
        ):
            return True
        time = name[: name.index("Z") + 1]
        return not any(
            _time(test.ended_at) > time and clears(test, backup_id, backups[backup_id], self._now) for test in tests
        )


def _parse(path: Any, content: bytes | Exception, index_name: str) -> tuple[RestoreTest | None, str]:
    """Return the test in a record, or why it is unknown."""
    if isinstance(content, Exception):
        return None, _why_unreadable(f"file {path}", content)
    try:
        return parse_record(content, index_name, str(path)), ""
    except ValueError as error:
        return None, f"file {path} cannot be used: {error}"


def _name_in(latest: bytes | Exception, test: RestoreTest) -> str:
    """Return the name of the file of the record in ``latest.json``. Earlier releases did not write it there."""
    name = None if isinstance(latest, Exception) else json.loads(latest).get("file")
    return name if isinstance(name, str) and _FILE.fullmatch(name) else f"{_time(test.ended_at)}.json"


def _why_unreadable(what: str, error: Exception) -> str:
    # The text of another library can have anything, so only the log has it.
    log.warning("Could not read %s: %s: %s", what, type(error).__name__, one_line(error))
    return f"{what} could not be read ({type(error).__name__})"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


def write(report_to: Any, index_name: str, backup_id: str, record: dict[str, Any], ended_at: datetime) -> str:
    """Write the record of a restore test, and read it back. A retry does not write the same record twice.

    An object store publishes what was written before an exception, so the content is complete before the first byte.

    Args:
        report_to: The folder.
        index_name: The index.
        backup_id: The id of the backup.
        record: The record.
        ended_at: When the test ended.

    Returns:
        The path of the file. ``latest.json`` in the folder of the index has the content of the newest one, without
        ``namespaces``, which can be large, and with the name of the ``file``.

    Raises:
        RestoreTestFailed: The file has other content, or cannot be read.
    """
    content = _json(record)
    folder = storage_path(report_to) / index_name
    stem = f"{_time(ended_at)}-{sha256(str(record['who'].get('run_id')).encode()).hexdigest()[:8]}"
    file, number = folder / backup_id / f"{stem}.json", 1
    with _writing(file):
        while (exists := file.exists()) and file.read_bytes() != content:
            number += 1
            file = folder / backup_id / f"{stem}-{number}.json"
    if not exists:
        _write(file, content)
    latest = folder / _LATEST
    with _writing(latest):
        is_newest = _is_newest(latest, index_name, record, ended_at)
    if is_newest:
        short = {name: value for name, value in record.items() if name != "namespaces"}
        _write(latest, _json({**short, "file": file.name}))
    return str(file)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _write(path: Any, content: bytes) -> None:
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        is_written = path.read_bytes() == content
    if not is_written:
        raise _not_written(path, "it has other content than was written")


def _is_newest(latest: Any, index_name: str, record: Mapping[str, Any], ended_at: datetime) -> bool:
    """Return whether a record is newer than the one in ``latest.json``."""
    try:
        before = parse_record(latest.read_bytes(), index_name, str(latest))
    except (FileNotFoundError, ValueError):
        return True
    # Of two tests at the same time, the one that has not passed counts.
    return ended_at > before.ended_at or (ended_at == before.ended_at and record["verdict"] != "passed")


@contextmanager
def _writing(path: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Each store has errors of its own.
        raise _not_written(path, f"{type(error).__name__}: {one_line(error)}") from error


def _not_written(path: Any, why: str) -> RestoreTestFailed:
    advice = "Check report_to and its Airflow connection, then clear this task."
    return RestoreTestFailed(explain(f"Could not write the record of the restore test to {path}.", why, advice))
