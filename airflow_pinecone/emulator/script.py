"""What whoever runs the emulator decides about the course of backups and restore jobs."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Any

from airflow_pinecone.emulator.state import Course


class Script:
    """The settings, and what is decided about single backups and restore jobs to come."""

    def __init__(
        self,
        *,
        ready_after: float = 0.0,
        backup_ends: str = "Ready",
        listing_lag: float = 0.0,
        lag_describe: float = 0.0,
        restore_after: float = 0.0,
        restore_ends: str = "Completed",
        restore_lag: float = 0.0,
        quota: int = 500,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Each argument is an attribute, too; what is set later holds for what is made after that.

        Args:
            ready_after: Seconds from a backup's creation to its end.
            backup_ends: The status backups end with: "Ready", "Failed", "InitializationFailed", any other,
                or "never".
            listing_lag: Seconds before a new backup is listed.
            lag_describe: Seconds for which describing a new backup answers 404.
            restore_after: Seconds from a restore job's creation to its end; the new index is ready then.
            restore_ends: The status restore jobs end with: "Completed", "Failed", "Cancelled", or "never".
            restore_lag: Seconds for which describing or listing a new restore job does not find it.
            quota: The most backups the project may have.
            clock: Tells the time in seconds since the epoch. Statuses are worked out from it when they are
                asked for, so a test that passes its own clock steps time without sleeping.
        """
        self.ready_after = ready_after
        self.backup_ends = backup_ends
        self.listing_lag = listing_lag
        self.lag_describe = lag_describe
        self.restore_after = restore_after
        self.restore_ends = restore_ends
        self.restore_lag = restore_lag
        self.quota = quota
        self.clock = clock
        self._next_backups: deque[dict[str, Any]] = deque()
        self._next_restores: deque[dict[str, Any]] = deque()

    def next_backup(
        self,
        index_name: str | None = None,
        *,
        ready_after: float | None = None,
        ends: str | None = None,
        fails: bool = False,
        statuses: Sequence[str] = (),
        listed_after: float | None = None,
        described_after: float | None = None,
        vanishes_after: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Decide the course of the next backup that a request creates, and only of that one; calls queue up.

        Args:
            index_name: The index whose next backup is meant; None: that of any.
            ready_after: Seconds until it ends; None: the setting `ready_after`.
            ends: The status it ends with, or "never"; None: the setting `backup_ends`.
            fails: Short for `ends="Failed"`.
            statuses: What consecutive descriptions show, the last one for ever. Decides instead of the above.
                (The answer to the creation always shows "Initializing".)
            listed_after: Seconds before it is listed; None: the setting `listing_lag`.
            described_after: Seconds for which describing it answers 404; None: the setting `lag_describe`.
            vanishes_after: Seconds after which it is gone, as if somebody had deleted it.
            fields: Laid over each answer about it; a value of `...` leaves the field out.
        """
        self._next_backups.append(
            {
                "index_name": index_name,
                "after": ready_after,
                "ends": "Failed" if fails else ends,
                "statuses": tuple(statuses),
                "listed_after": listed_after,
                "described_after": described_after,
                "vanishes_after": vanishes_after,
                "fields": dict(fields or {}),
            }
        )

    def next_restore(
        self,
        *,
        restore_after: float | None = None,
        ends: str | None = None,
        statuses: Sequence[str] = (),
        lag: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Decide the course of the next restore job, and only of that one; calls queue up.

        Args:
            restore_after: Seconds until it ends; None: the setting `restore_after`.
            ends: "Completed", "Failed", "Cancelled" or "never"; None: the setting `restore_ends`.
            statuses: What consecutive descriptions show, the last one for ever. Decides instead of the above.
            lag: Seconds for which it is not found; None: the setting `restore_lag`.
            fields: Laid over each answer about it; a value of `...` leaves the field out.
        """
        self._next_restores.append(
            {
                "after": restore_after,
                "ends": ends,
                "statuses": tuple(statuses),
                "listed_after": lag,
                "described_after": lag,
                "fields": dict(fields or {}),
            }
        )

    def backup_course(self, index_name: str) -> Course:
        """Return the course of the backup of this index that is being created."""
        course = Course(
            after=self.ready_after,
            ends=self.backup_ends,
            listed_after=self.listing_lag,
            described_after=self.lag_describe,
        )
        decided = next((d for d in self._next_backups if d["index_name"] in (None, index_name)), None)
        return course if decided is None else _decided(course, self._next_backups, decided)

    def restore_course(self) -> Course:
        """Return the course of the restore job that is being created."""
        course = Course(
            after=self.restore_after,
            ends=self.restore_ends,
            listed_after=self.restore_lag,
            described_after=self.restore_lag,
        )
        return _decided(course, self._next_restores, self._next_restores[0]) if self._next_restores else course


def _decided(course: Course, queue: deque[dict[str, Any]], decided: dict[str, Any]) -> Course:
    queue.remove(decided)
    known = {field.name for field in fields_of(course)}
    return replace(course, **{k: v for k, v in decided.items() if k in known and v is not None})
