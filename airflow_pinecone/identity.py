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

from airflow_pinecone.models import BackupModel, backup_phase

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# Pinecone documents no limit for descriptions. This one keeps them readable in the console.
DESCRIPTION_LENGTH = 500
_NAME_LENGTH = 45
_MARK = re.compile(r"\[airflow-pinecone [0-9a-f]{32}\]\s*\Z")


class Origin(NamedTuple):
    """The tries of one task instance that share a backup: all of them until the task is cleared."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    run_started_at: str
    first_try: int

    @property
    def mark(self) -> str:
        """The text that ends the description of a backup of this origin."""
        digest = hashlib.sha256(json.dumps(list(self)).encode()).hexdigest()
        return f"[airflow-pinecone {digest[:32]}]"


class Found(NamedTuple):
    """The backups of an origin.

    Attributes:
        usable: A backup that a retry can resume with, or None.
        failed: The backups with a failed status.
    """

    usable: BackupModel | None
    failed: list[BackupModel]


def origin_of(context: Context, retries: int | None) -> Origin:
    """Return the origin of the running task.

    Args:
        context: The context of the task.
        retries: The ``retries`` of the task.

    Returns:
        The origin. Clearing the task changes it, because Airflow increases ``max_tries`` and so ``first_try``. The
        start time of the run distinguishes runs with the same id in two Airflow installations, or after the metadata
        database was rebuilt.
    """
    ti = context["ti"]
    started = context["dag_run"].start_date
    return Origin(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        run_started_at=started.astimezone(UTC).isoformat() if started else "",
        first_try=ti.max_tries - (retries or 0) + 1,
    )


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


def describe(words: str | None, origin: Origin) -> str:
    """Write the description of a backup: the user's words, its origin, and the mark.

    Args:
        words: The user's own description, or None.
        origin: The origin.

    Returns:
        At most DESCRIPTION_LENGTH characters. The user's words are truncated first, then the ids, never the mark.
    """
    mapped = f", map index {origin.map_index}" if origin.map_index >= 0 else ""
    source = f"Created by Airflow: dag {origin.dag_id}, run {origin.run_id}, task {origin.task_id}{mapped}"
    source = _truncate(source, DESCRIPTION_LENGTH - len(origin.mark) - 1)
    room = DESCRIPTION_LENGTH - len(source) - len(origin.mark) - 4
    words = _truncate((words or "").strip(), room)
    return f"{words} | {source} {origin.mark}" if words else f"{source} {origin.mark}"


def find(backups: Iterable[BackupModel], origin: Origin) -> Found:
    """Find the backups that an earlier try of the same origin created.

    Args:
        backups: The backups of the index.
        origin: The origin.

    Returns:
        The usable backup, if any, and the failed ones.
    """
    ours = [b for b in backups if str(b.get("description")).rstrip().endswith(origin.mark)]
    usable = [b for b in ours if backup_phase(b["status"]) != "failed"]
    return Found(usable[0] if usable else None, [b for b in ours if b not in usable])


def has_mark(backup: BackupModel) -> bool:
    """Return whether this package created a backup, in any task.

    Args:
        backup: The backup.

    Returns:
        Whether its description ends with the mark of any origin.
    """
    description = backup.get("description")
    return isinstance(description, str) and _MARK.search(description) is not None


def _truncate(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    return text[: length - 3] + "..." if length > 3 else ""
