"""The scenario: how backups and restore jobs develop, as a test or the command line sets it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from airflow_pinecone.emulator.resources import Lifecycle


class _PlannedBackup(NamedTuple):
    index_name: str | None
    changes: dict[str, Any]


class _PlannedRestore(NamedTuple):
    backup_id: str | None
    changes: dict[str, Any]


@dataclass(kw_only=True)
class Scenario:
    """Settings for all backups and restore jobs, and plans for the next ones.

    A changed setting applies to backups and restore jobs that are created afterwards.

    Attributes:
        ready_after: Seconds from the creation of a backup to its final status.
        backup_ends: The final status of backups: "Ready", "Failed", "InitializationFailed", any other status,
            or "never".
        list_lag: Seconds until a new backup appears in lists.
        describe_lag: Seconds for which a request to describe a new backup returns 404.
        restore_after: Seconds from the creation of a restore job to its final status. The new index is ready then.
        restore_ends: The final status of restore jobs: "Completed", "Failed", "Cancelled" or "never".
        restore_lag: Seconds for which a new restore job is neither listed nor found.
        quota: The maximum number of backups in the project.
        clock: Returns the time in seconds since the epoch. The emulator computes statuses when they are requested,
            so a test with its own clock advances the time without sleeping.
    """

    ready_after: float = 0.0
    backup_ends: str = "Ready"
    list_lag: float = 0.0
    describe_lag: float = 0.0
    restore_after: float = 0.0
    restore_ends: str = "Completed"
    restore_lag: float = 0.0
    quota: int = 500
    clock: Callable[[], float] = time.time
    _next_backups: list[_PlannedBackup] = field(default_factory=list, init=False, repr=False)
    _next_restores: list[_PlannedRestore] = field(default_factory=list, init=False, repr=False)

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
        disappears_after: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Plan the lifecycle of the next backup that a request creates. Repeated calls plan the ones after it.

        Args:
            index_name: The index to which the plan applies; None for any index.
            ready_after: Seconds until the final status; None for the setting `ready_after`.
            ends: The final status, or "never"; None for the setting `backup_ends`.
            fails: Short for `ends="Failed"`.
            statuses: The statuses that successive describe requests return; the last one repeats. They replace
                `ready_after` and `ends`. The response to the create request always has the status "Initializing".
            listed_after: Seconds until the backup appears in lists; None for the setting `list_lag`.
            described_after: Seconds for which a describe request returns 404; None for the setting `describe_lag`.
            disappears_after: Seconds until the backup no longer exists, as if it had been deleted.
            fields: Fields to replace in every response; a value of `...` removes the field.
        """
        changes = {
            "ends_after": ready_after,
            "final_status": "Failed" if fails else ends,
            "statuses": tuple(statuses),
            "listed_after": listed_after,
            "described_after": described_after,
            "disappears_after": disappears_after,
            "fields": dict(fields or {}),
        }
        self._next_backups.append(_PlannedBackup(index_name, _without_none(changes)))

    def next_restore(
        self,
        backup_id: str | None = None,
        *,
        restore_after: float | None = None,
        ends: str | None = None,
        statuses: Sequence[str] = (),
        lag: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Plan the lifecycle of the next restore job. Repeated calls plan the ones after it.

        Args:
            backup_id: The backup to which the plan applies; None for any backup.
            restore_after: Seconds until the final status; None for the setting `restore_after`.
            ends: "Completed", "Failed", "Cancelled" or "never"; None for the setting `restore_ends`.
            statuses: The statuses that successive describe requests return; the last one repeats. They replace
                `restore_after` and `ends`.
            lag: Seconds for which the job is neither listed nor found; None for the setting `restore_lag`.
            fields: Fields to replace in every response; a value of `...` removes the field.
        """
        changes = {
            "ends_after": restore_after,
            "final_status": ends,
            "statuses": tuple(statuses),
            "listed_after": lag,
            "described_after": lag,
            "fields": dict(fields or {}),
        }
        self._next_restores.append(_PlannedRestore(backup_id, _without_none(changes)))

    def take_backup_lifecycle(self, index_name: str) -> Lifecycle:
        """Return the lifecycle of the backup that is being created, and remove its plan."""
        lifecycle = Lifecycle(
            ends_after=self.ready_after,
            final_status=self.backup_ends,
            listed_after=self.list_lag,
            described_after=self.describe_lag,
        )
        for planned in self._next_backups:
            if planned.index_name in {None, index_name}:
                self._next_backups.remove(planned)
                return replace(lifecycle, **planned.changes)
        return lifecycle

    def take_restore_lifecycle(self, backup_id: str) -> Lifecycle:
        """Return the lifecycle of the restore job that is being created, and remove its plan."""
        lifecycle = Lifecycle(
            ends_after=self.restore_after,
            final_status=self.restore_ends,
            listed_after=self.restore_lag,
            described_after=self.restore_lag,
        )
        for planned in self._next_restores:
            if planned.backup_id in {None, backup_id}:
                self._next_restores.remove(planned)
                return replace(lifecycle, **planned.changes)
        return lifecycle


def _without_none(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}
