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
from typing import TYPE_CHECKING, NamedTuple

from airflow_pinecone.api.models import BackupModel, backup_phase, is_ready

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# Pinecone documents no limit for descriptions. This one keeps them readable in the console.
DESCRIPTION_LENGTH = 500
_NAME_LENGTH = 45
_MARK = re.compile(r"\[airflow-pinecone [0-9a-f]{32}\]\s*\Z")
_HOLD = re.compile(r"\[hold until ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\]\s*\Z")
# The ids of a DAG, a run and a task have no white space, so a text like this in the words of a user cannot match.
_CREATOR = re.compile(
    r"(?:\A|\| )Created by Airflow: dag ([\w.-]+), run (\S+), task ([\w.-]+)(?:, map index ([0-9]{1,9}))?\s*\Z"
)


class Origin(NamedTuple):
    """The tries of one task instance that share a backup: all of them until the task is cleared."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    run_started_at: str
    max_tries: int

    @property
    def digest(self) -> str:
        """The text that identifies this origin: the value of the tag ``airflow-pinecone`` of an index it restored."""
        return hashlib.sha256(json.dumps(list(self)).encode()).hexdigest()[:32]

    @property
    def mark(self) -> str:
        """The text that ends the description of a backup of this origin."""
        return f"[airflow-pinecone {self.digest}]"


class Found(NamedTuple):
    """The backups of an origin.

    Attributes:
        usable: A backup that a retry can resume with, or None.
        failed: The backups with a failed status.
    """

    usable: BackupModel | None
    failed: list[BackupModel]


class Creator(NamedTuple):
    """The task that created a backup, as the description names it."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


def origin_of(context: Context) -> Origin:
    """Return the origin of the running task.

    Args:
        context: The context of the task.

    Returns:
        The origin. ``max_tries`` is the same for all tries until the task is cleared, and each clear increases it. The
        scheduler sets it, so it does not depend on the ``retries`` of the DAG file that the worker has parsed. The
        start of the run distinguishes runs of the same id in two Airflow installations, or in a rebuilt metadata
        database.
    """
    ti = context["ti"]
    started = context["dag_run"].start_date
    return Origin(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        run_started_at=started.astimezone(UTC).isoformat() if started else "",
        max_tries=ti.max_tries,
    )


def first_try_of(context: Context, retries: int | None) -> int:
    """Return the number of the first try since the task was last cleared.

    Args:
        context: The context of the task.
        retries: The ``retries`` of the task, as the worker knows it.

    Returns:
        The number. It is wrong if the scheduler has another value of ``retries``, for example by
        ``[core] default_task_retries``.
    """
    return int(context["ti"].max_tries) - (retries or 0) + 1


def default_name(index_name: str, now: datetime) -> str:
    """Return a default backup name that is valid in every version of the API.

    Args:
        index_name: The index.
        now: The time, with a time zone.

    Returns:
        The index name and the UTC time, such as ``docs-example-20250514-163725``: at most 45 characters of
        ``[a-z0-9-]``, with a letter or digit at both ends.
    """
    time = now.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    stem = re.sub(r"[^a-z0-9]+", "-", str(index_name).lower())[: _NAME_LENGTH - len(time) - 1].strip("-")
    return f"{stem}-{time}" if stem else time


def describe(words: str | None, origin: Origin, hold_until: datetime | None = None) -> str:
    """Write the description of a backup: the user's words, its origin, its hold, and the mark.

    Args:
        words: The user's own description, or None.
        origin: The origin.
        hold_until: Until when the backup must not be deleted, in UTC and without a fraction of a second; None is no
            hold.

    Returns:
        At most DESCRIPTION_LENGTH characters. The user's words are truncated first, then the ids, never the hold or the
        mark.
    """
    end = f"{show_hold(hold_until)} {origin.mark}" if hold_until else origin.mark
    mapped = f", map index {origin.map_index}" if origin.map_index >= 0 else ""
    source = f"Created by Airflow: dag {origin.dag_id}, run {origin.run_id}, task {origin.task_id}{mapped}"
    source = _truncate(source, DESCRIPTION_LENGTH - len(end) - 1)
    room = DESCRIPTION_LENGTH - len(source) - len(end) - 4
    words = _truncate((words or "").strip(), room)
    return f"{words} | {source} {end}" if words else f"{source} {end}"


def show_hold(hold_until: datetime) -> str:
    """Format a hold as in a description, such as ``[hold until 2025-06-01T00:00:00Z]``.

    Args:
        hold_until: The end of the hold, in UTC.

    Returns:
        The text.
    """
    return f"[hold until {hold_until.replace(tzinfo=None).isoformat(timespec='seconds')}Z]"


def hold_of(backup: BackupModel, now: datetime) -> datetime | None:
    """Return until when a backup is held.

    Args:
        backup: The backup.
        now: The time, with a time zone.

    Returns:
        The end of the hold, in UTC; None if the backup has no hold, or the hold has ended. Only a backup that this
        package created has a hold.
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
    """Return which task created a backup.

    Args:
        backup: The backup.

    Returns:
        The ids of the task, and -1 as the map index of a task that is not mapped; None if this package did not create
        the backup, or the ids are truncated.
    """
    source = _HOLD.sub("", _before_mark(backup) or "").rstrip()
    found = _CREATOR.search(source)
    if found is None or source.endswith("..."):
        return None
    return Creator(found[1], found[2], found[3], -1 if found[4] is None else int(found[4]))


def find(backups: Iterable[BackupModel], origin: Origin) -> Found:
    """Find the backups that an earlier try of the same origin created.

    Args:
        backups: The backups of the index.
        origin: The origin.

    Returns:
        The usable backup, if any, and the failed ones.
    """
    ours = [b for b in backups if has_mark_of(b, origin)]
    usable = [b for b in ours if backup_phase(b["status"]) != "failed"]
    # There is one, unless Pinecone processed a create request late. Prefer a Ready one.
    usable.sort(key=lambda backup: not is_ready(backup))
    return Found(usable[0] if usable else None, [b for b in ours if b not in usable])


def has_mark_of(backup: BackupModel, origin: Origin) -> bool:
    """Return whether a backup was created by the tries of an origin.

    Args:
        backup: The backup.
        origin: The origin.

    Returns:
        Whether its description ends with the mark of the origin.
    """
    return str(backup.get("description")).rstrip().endswith(origin.mark)


def has_mark(backup: BackupModel) -> bool:
    """Return whether this package created a backup, in any task.

    Args:
        backup: The backup.

    Returns:
        Whether its description ends with the mark of any origin.
    """
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
