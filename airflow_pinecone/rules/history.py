"""The backups of one index name: which index they belong to, their order, and how old they are.

The name of a deleted index can be used again, so the backups of one name can belong to several indexes. Pinecone does
not return the id of an index: the ``source_index_id`` of the newest backup tells which index has the name now, the
current index. A backup of unknown age can be the newest one. If no other backup of its index has a time, the current
index is unknown. From version 2026-07 on, a backup tells when its index was deleted: while an index has the name, such
a backup does not belong to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from airflow_pinecone.api.models import BackupModel, count_of, created_at, is_ready, parse_time
from airflow_pinecone.errors import BackupCheckFailed

# How far the clocks of Pinecone and of the worker may differ.
CLOCK_SKEW = timedelta(hours=1)


class Dated(NamedTuple):
    """A backup and when it was created, in UTC; None if its ``created_at`` is missing or invalid."""

    created_at: datetime | None
    backup: BackupModel


class Age(NamedTuple):
    """How long ago something happened.

    Attributes:
        seconds: The seconds, if they are known; None if they are not, or if it is in the future.
        in_future: Whether it is further in the future than clocks may differ.
    """

    seconds: float | None
    in_future: bool = False

    def is_below(self, limit: float) -> bool:
        """Return whether it is certain that this is less than some seconds ago."""
        return self.seconds is not None and self.seconds < limit


def age_of(moment: datetime | None, now: datetime) -> Age:
    """Return how long ago a time is. A time of up to CLOCK_SKEW in the future counts as now."""
    if moment is None:
        return Age(None)
    seconds = (now - moment).total_seconds()
    return Age(None, in_future=True) if seconds < -CLOCK_SKEW.total_seconds() else Age(max(0.0, seconds))


class BackupHistory:
    """The backups of one index name, the newest first.

    Of two with the same time, the one with the greater id comes first. Those without a valid ``created_at`` come last.

    Args:
        backups: All backups of the name, without duplicates, in any order.
        index_exists: Whether an index has the name now. A deleted index keeps its backups.

    Attributes:
        rows: All backups.
        undated: Those without a valid ``created_at``.
        possibly_newer: Those of them whose index has no dated backup. That index could be the current one, so the
            current index is unknown.
        current_index_id: The id of the index that has the name now, or had it last; None if it is unknown.
        current: The backups of that index.
        earlier: All others: of earlier indexes, or of an unknown one.
    """

    def __init__(self, backups: Iterable[BackupModel], *, index_exists: bool = True) -> None:
        oldest = datetime.min.replace(tzinfo=UTC)
        rows = [Dated(created_at(backup), backup) for backup in backups]
        rows.sort(key=lambda row: (bool(row[0]), row[0] or oldest, row[1]["backup_id"]), reverse=True)
        self.rows = tuple(rows)
        self.index_exists = index_exists
        self.undated = tuple(row.backup for row in rows if row.created_at is None)
        candidates = [row for row in rows if not (index_exists and is_of_deleted_index(row.backup))]
        dated_ids = [index_id_of(row.backup) for row in candidates if row.created_at]
        self.possibly_newer = tuple(
            row.backup for row in candidates if not row.created_at and index_id_of(row.backup) not in dated_ids
        )
        self.current_index_id = dated_ids[0] if dated_ids and not self.possibly_newer else None
        self.current = tuple(row for row in rows if self._is_current(row.backup))
        self.earlier = tuple(row for row in rows if not self._is_current(row.backup))

    @property
    def newest_ready(self) -> BackupModel | None:
        """The newest Ready backup of the current index that has a valid ``created_at``, or None."""
        return next((row.backup for row in self.current if row.created_at and is_ready(row.backup)), None)

    def restorable(self, min_records: int = 1, *, before: BackupModel | None = None) -> BackupModel | None:
        """Return the newest Ready backup, of any index with this name, that has enough records, or None.

        Args:
            min_records: The minimum number of records. An unknown number counts as enough.
            before: Only backups that are older than this one; None for any.
        """
        end = created_at(before) if before else None
        for row in self.rows:
            is_older = before is None or (end is not None and row.created_at is not None and row.created_at < end)
            count = count_of(row.backup.get("record_count"))
            if is_older and is_ready(row.backup) and (count is None or count >= min_records):
                return row.backup
        return None

    def age(self, backup: BackupModel, now: datetime) -> Age:
        """Return how old a backup is."""
        return age_of(created_at(backup), now)

    def previous(self, backup: BackupModel) -> BackupModel | None:
        """Return the newest Ready backup that is older than a given one.

        It is a backup of the same index. If there is none, it is one of another index with this name: a recreated index
        should not have lost the records of the earlier one.

        Raises:
            BackupCheckFailed: It is unknown which backups are older.
        """
        problem = f"Backup {backup['backup_id']} cannot be compared with an earlier one:"
        index_id = index_id_of(backup)
        if index_id is None:
            raise BackupCheckFailed(f"{problem} its source_index_id is missing.")
        own = created_at(backup)
        others = [row for row in self.rows if row.backup["backup_id"] != backup["backup_id"] and is_ready(row.backup)]
        if others and own is None:
            raise BackupCheckFailed(f"{problem} its created_at is missing or invalid.")
        same_index = [row for row in others if index_id_of(row.backup) == index_id]
        for rows in (same_index, others):
            older = next((row.backup for row in rows if own and row.created_at and row.created_at < own), None)
            if older is not None:
                return older
            undated = ", ".join(row.backup["backup_id"] for row in rows if row.created_at is None)
            if undated:
                raise BackupCheckFailed(f"{problem} created_at of {undated} is missing or invalid.")
        return None

    @property
    def why_unknown(self) -> str:
        """Why the current index is unknown, as a clause for a message; empty if it is known."""
        ids = ", ".join(backup["backup_id"] for backup in self.possibly_newer)
        return f"its current index is unknown, because created_at of {ids} is missing or invalid" if ids else ""

    @property
    def no_ready_backup(self) -> str:
        """The words ``no Ready backup`` for a message, and why that is unknown."""
        return f"no Ready backup: {self.why_unknown}" if self.why_unknown else "no Ready backup"

    def _is_current(self, backup: BackupModel) -> bool:
        return self.current_index_id is not None and index_id_of(backup) == self.current_index_id


def is_of_deleted_index(backup: BackupModel) -> bool:
    """Return whether Pinecone says that the index of a backup was deleted. Versions before 2026-07 never say so."""
    return parse_time(backup.get("source_index_deleted_at")) is not None


def index_id_of(backup: BackupModel) -> str | None:
    """Return the id of the index of a backup, or None if it is missing."""
    return backup.get("source_index_id") or None
