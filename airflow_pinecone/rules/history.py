"""Questions about the backups of one index name: the newest, the newest Ready one, the current index, the previous one.

A deleted index's name can be reused, so the backups of one name can belong to several indexes. API versions before
2026-07 do not return the id of an index, so a backup's ``source_index_id`` identifies its index.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from airflow_pinecone.api.models import BackupModel, created_at, is_ready
from airflow_pinecone.errors import BackupCheckFailed


class Dated(NamedTuple):
    """A backup and when it was created, in UTC; None if its ``created_at`` is missing or invalid."""

    created_at: datetime | None
    backup: BackupModel


def newest_first(backups: Iterable[BackupModel]) -> list[Dated]:
    """Sort backups by creation time.

    Args:
        backups: The backups, in any order.

    Returns:
        The newest first. If two have the same time, the one with the greater id comes first. Backups without a
        valid ``created_at`` come last.
    """
    oldest = datetime.min.replace(tzinfo=UTC)
    dated = [Dated(created_at(backup), backup) for backup in backups]
    return sorted(dated, key=lambda row: (bool(row[0]), row[0] or oldest, row[1]["backup_id"]), reverse=True)


def current_index_id(backups: Iterable[BackupModel]) -> str | None:
    """Return the id of the index that currently has a name, inferred from its backups.

    Args:
        backups: All backups of one index name.

    Returns:
        The ``source_index_id`` of the newest backup, regardless of its status; None if no backup has a valid
        ``created_at``, or the newest one has no ``source_index_id``.
    """
    for moment, backup in newest_first(backups):
        if moment is not None:
            return backup.get("source_index_id") or None
    return None


def newest_ready(backups: Iterable[BackupModel]) -> BackupModel | None:
    """Return the newest backup from which the current index of a name can be restored.

    Args:
        backups: All backups of one index name. Those without a valid ``created_at`` are ignored.

    Returns:
        The newest Ready backup of the current index, or None.
    """
    rows = newest_first(backups)
    index_id = current_index_id(backup for _, backup in rows)
    for moment, backup in rows:
        if moment and is_ready(backup) and index_id is not None and backup.get("source_index_id") == index_id:
            return backup
    return None


def previous_ready(backup: BackupModel, backups: Iterable[BackupModel]) -> BackupModel | None:
    """Return the newest Ready backup of the same index that was created before a given backup.

    Args:
        backup: The backup.
        backups: The backups of its index name; the backup itself may be among them.

    Returns:
        The previous backup, or None if there is none.

    Raises:
        BackupCheckFailed: The order cannot be determined: ``source_index_id`` or ``created_at`` of the backup is
            missing or invalid, or ``created_at`` of every candidate is.
    """
    backup_id = backup["backup_id"]
    if not backup.get("source_index_id"):
        raise BackupCheckFailed(
            f"Backup {backup_id} cannot be compared with an earlier one: its source_index_id is missing."
        )
    others = [
        row
        for row in newest_first(backups)
        if row.backup["backup_id"] != backup_id
        and row.backup.get("source_index_id") == backup["source_index_id"]
        and is_ready(row.backup)
    ]
    own = created_at(backup)
    for moment, other in others:
        if own and moment and moment < own:
            return other
    if others and own is None:
        raise BackupCheckFailed(
            f"Backup {backup_id} cannot be compared with an earlier one: its created_at is missing or invalid."
        )
    undated = ", ".join(row.backup["backup_id"] for row in others if row.created_at is None)
    if undated:
        raise BackupCheckFailed(
            f"Backup {backup_id} cannot be compared with an earlier one: created_at of {undated} is missing or invalid."
        )
    return None
