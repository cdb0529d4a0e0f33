"""The mark that links a backup to the task that created it.

Pinecone has no idempotency key and allows several backups with the same name. So the description of each backup ends
with a mark. All tries of a task instance share one mark until the task is cleared. Two different tasks, runs, mapped
task instances, clears or Airflow installations never share a mark.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from airflow_pinecone.api.models import BackupModel, backup_phase, is_ready
from airflow_pinecone.common.text import iso

# Pinecone documents no limit for descriptions. This one keeps them readable in the console.
DESCRIPTION_LENGTH = 500
# The tag of a restored index that identifies the origin of the restore.
ORIGIN_TAG = "airflow-pinecone"
_NAME_LENGTH = 45
_MARK = re.compile(r"\[airflow-pinecone [0-9a-f]{32}\]\s*\Z")
_HOLD = re.compile(r"\[hold until ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\]\s*\Z")
# The ids of a DAG, a run and a task have no white space, so the user's own text cannot match.
_CREATOR = re.compile(
    r"(?:\A|\| )Created by Airflow: dag ([\w.-]+), run (\S+), task ([\w.-]+)(?:, map index ([0-9]{1,9}))?\s*\Z"
)


class Origin(NamedTuple):
    """The tries of one task instance that share a backup: all of them until the task is cleared.

    ``max_tries`` is the same for all tries until the task is cleared, and each clear increases it. The start of the run
    distinguishes runs of the same id in two Airflow installations, or in a rebuilt metadata database.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    run_started_at: str
    max_tries: int

    @property
    def digest(self) -> str:
        """The hash of all fields. It is also the value of the tag ``airflow-pinecone`` of a restored index."""
        return hashlib.sha256(json.dumps(list(self)).encode()).hexdigest()[:32]

    @property
    def mark(self) -> str:
        """The text that ends the description of a backup of this origin."""
        return f"[airflow-pinecone {self.digest}]"


class TaskBackups(NamedTuple):
    """The backups of one origin: one that a retry can resume with, if any, and the failed ones."""

    usable: BackupModel | None
    failed: list[BackupModel]


class Creator(NamedTuple):
    """The task that created a backup, as the description names it. The map index is -1 if it is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


def default_name(index_name: str, now: datetime) -> str:
    """Return a backup name that is valid in every version of the API.

    It has the index name and the UTC time, such as ``docs-example-20250514-163725``: at most 45 characters of
    ``[a-z0-9-]``, with a letter or digit at both ends.
    """
    time = now.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    stem = re.sub(r"[^a-z0-9]+", "-", str(index_name).lower())[: _NAME_LENGTH - len(time) - 1].strip("-")
    return f"{stem}-{time}" if stem else time


def describe(text: str | None, origin: Origin, hold_until: datetime | None = None) -> str:
    """Write the description of a backup: the user's own text, the task that creates it, its hold, and the mark.

    It has at most DESCRIPTION_LENGTH characters. The user's text is truncated first, then the ids, never the hold or
    the mark.
    """
    end = f"{show_hold(hold_until)} {origin.mark}" if hold_until else origin.mark
    mapped = f", map index {origin.map_index}" if origin.map_index >= 0 else ""
    source = f"Created by Airflow: dag {origin.dag_id}, run {origin.run_id}, task {origin.task_id}{mapped}"
    source = _truncate(source, DESCRIPTION_LENGTH - len(end) - 1)
    room = DESCRIPTION_LENGTH - len(source) - len(end) - 4
    text = _truncate((text or "").strip(), room)
    return f"{text} | {source} {end}" if text else f"{source} {end}"


def show_hold(hold_until: datetime) -> str:
    """Return a hold as in a description, such as ``[hold until 2025-06-01T00:00:00Z]``."""
    return f"[hold until {iso(hold_until)}]"


def hold_of(backup: BackupModel, now: datetime) -> datetime | None:
    """Return until when a backup is held, in UTC; None if it has no hold, or the hold has ended.

    Only a backup that this package created has a hold.
    """
    found = _HOLD.search(_before_mark(backup) or "")
    if found is None:
        return None
    try:
        end = datetime.fromisoformat(found[1])
    except ValueError:
        # This package does not write such a date. Keep the backup.
        end = datetime.max.replace(tzinfo=UTC)
    return end if end > now else None


def creator_of(backup: BackupModel) -> Creator | None:
    """Return which task created a backup; None if this package did not create it, or the ids are truncated."""
    source = _HOLD.sub("", _before_mark(backup) or "").rstrip()
    found = _CREATOR.search(source)
    if found is None or source.endswith("..."):
        return None
    return Creator(found[1], found[2], found[3], -1 if found[4] is None else int(found[4]))


def backups_of(origin: Origin, backups: Iterable[BackupModel]) -> TaskBackups:
    """Find the backups that an earlier try of the same origin created, among those of the index."""
    own = [backup for backup in backups if has_mark_of(backup, origin)]
    usable = [backup for backup in own if backup_phase(backup) != "failed"]
    # There is one, unless Pinecone processed a create request late. Prefer a Ready one.
    usable.sort(key=lambda backup: not is_ready(backup))
    return TaskBackups(usable[0] if usable else None, [backup for backup in own if backup not in usable])


def has_mark_of(backup: BackupModel, origin: Origin) -> bool:
    """Return whether a backup was created by the tries of an origin."""
    return str(backup.get("description")).rstrip().endswith(origin.mark)


def has_mark(backup: BackupModel) -> bool:
    """Return whether this package created a backup, in any task."""
    return _before_mark(backup) is not None


def _before_mark(backup: BackupModel) -> str | None:
    """Return the description of a backup without the mark that ends it; None if it has no mark."""
    description = backup.get("description")
    found = _MARK.search(description) if isinstance(description, str) else None
    return str(description)[: found.start()] if found else None


def _truncate(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    return text[: length - 3] + "..." if length > 3 else ""
