"""The name and the description by which a backup knows the task that asked for it.

Pinecone keeps no request id and lets two backups have the same name, so the backup itself carries a mark: the last
thing in its description. The mark is the same for all tries of one task instance until it is cleared, and differs
between any two tasks, runs, mapped instances, clears and Airflow installations.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from airflow_pinecone.models import BackupModel, phase

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# Pinecone documents no bound for a description; ours keeps it readable in the console.
DESCRIPTION_LENGTH = 500
_NAME_LENGTH = 45
_MARK = re.compile(r"\[airflow-pinecone [0-9a-f]{32}\]\s*\Z")


class Origin(NamedTuple):
    """Where a backup comes from: one chain of tries of one task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    run_started: str
    first_try: int

    @property
    def mark(self) -> str:
        """The text by which a backup of this origin is found again."""
        digest = hashlib.sha256(json.dumps(list(self)).encode()).hexdigest()
        return f"[airflow-pinecone {digest[:32]}]"


def origin(context: Context, retries: int | None) -> Origin:
    """Say which chain of tries the running task belongs to.

    Args:
        context: The task's context.
        retries: The task's ``retries``.

    Returns:
        The origin. A clear begins a new chain: Airflow then sets max_tries so that ``first_try`` moves on.
        The start of the run tells apart runs of the same id in two Airflows, or in a rebuilt database.
    """
    ti = context["ti"]
    started = context["dag_run"].start_date
    return Origin(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        run_started=started.astimezone(UTC).isoformat() if started else "",
        first_try=ti.max_tries - (retries or 0) + 1,
    )


def default_name(index_name: str, now: datetime) -> str:
    """Make a readable name for a backup, legal in every version of the API.

    Args:
        index_name: The index that is backed up.
        now: The time that the name tells, with a time zone.

    Returns:
        Such as ``docs-example-20250514-163725``, in UTC: 1 to 45 of ``[a-z0-9-]``, alphanumeric at both ends.
    """
    time = now.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    stem = re.sub(r"[^a-z0-9]+", "-", str(index_name).lower())[: _NAME_LENGTH - len(time) - 1].strip("-")
    return f"{stem}-{time}" if stem else time


def describe(words: str | None, made_by: Origin) -> str:
    """Write a backup's description: the user's words, then where it came from, then the mark.

    Args:
        words: The user's own description, or None.
        made_by: Where the backup comes from.

    Returns:
        At most DESCRIPTION_LENGTH characters. The user's words are cut first, then the ids, never the mark.
    """
    mapped = f", map index {made_by.map_index}" if made_by.map_index >= 0 else ""
    source = f"By Airflow: dag {made_by.dag_id}, run {made_by.run_id}, task {made_by.task_id}{mapped}"
    source = _cut(source, DESCRIPTION_LENGTH - len(made_by.mark) - 1)
    room = DESCRIPTION_LENGTH - len(source) - len(made_by.mark) - 4
    words = _cut((words or "").strip(), room)
    return f"{words} | {source} {made_by.mark}" if words else f"{source} {made_by.mark}"


def find(backups: Iterable[BackupModel], made_by: Origin) -> tuple[BackupModel | None, list[BackupModel]]:
    """Find the backup that an earlier try of the same chain made.

    Args:
        backups: The backups of the index.
        made_by: The chain that is looked for.

    Returns:
        The backup to take up, or None, and those of the chain that have failed and are not taken up.
    """
    ours = [b for b in backups if str(b.get("description")).rstrip().endswith(made_by.mark)]
    usable = [b for b in ours if phase(b["status"]) != "failed"]
    return (usable[0] if usable else None), [b for b in ours if b not in usable]


def made_here(backup: BackupModel) -> bool:
    """Say whether a backup was made by this package, by whatever task.

    Args:
        backup: The backup.

    Returns:
        Whether its description ends with the mark of an origin.
    """
    description = backup.get("description")
    return isinstance(description, str) and _MARK.search(description) is not None


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    return text[: length - 3] + "..." if length > 3 else ""
