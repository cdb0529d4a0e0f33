"""Write the records of restore tests to a folder, and read earlier ones. Airflow's ObjectStoragePath gives access."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from airflow_pinecone.common.text import explain, one_line
from airflow_pinecone.errors import RestoreTestFailed
from airflow_pinecone.runtime.airflow_versions import storage_path

_LATEST = "latest.json"


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
    time = f"{ended_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
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
