"""The settings of backups, restore jobs and bulk imports, and the plans for the next ones."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from airflow_pinecone.emulator.damage import Change
from airflow_pinecone.emulator.resources import Lifecycle


class _Plan(NamedTuple):
    # The index of the next backup or the backup of the next restore job; None for any.
    source: str | None
    changes: dict[str, Any]


@dataclass(kw_only=True)
class Scenario:
    """Settings for all backups, restore jobs and bulk imports, and plans for the next ones.

    A changed setting applies to those that are created afterwards.

    Attributes:
        ready_after: Seconds from the creation of a backup to its final status.
        backup_ends: The final status of backups: "Ready", "Failed", "InitializationFailed", any other status,
            or "never".
        listed_after: Seconds until a new backup appears in lists.
        described_after: Seconds until a request to describe a new backup finds it. Until then, the status is 404.
        restore_after: Seconds from the creation of a restore job to its final status. The new index is ready then.
        restore_ends: The final status of restore jobs: "Completed", "Failed", "Cancelled" or "never".
        restore_visible_after: Seconds until lists and describe requests find a new restore job.
        quota: The maximum number of backups in the project.
        backups_in_plan: Whether the plan of the project includes backups.
        max_retention_days: The longest retention of a backup schedule.
        planned_run_status: The status of the next run in the history of a backup schedule: "Scheduled", with the time
            of the run, or "Initializing", without it. The service was seen to return both.
        full_text_backups: Whether an index with fields for full-text search can be backed up. Pinecone's
            documentation says both.
        import_after: Seconds from the start of a bulk import to its end, if its files have been read by then.
        import_ends: The final status of bulk imports: "Completed", "Failed", "Cancelled" or "never". With
            "Completed", an import of invalid files fails.
        import_visible_after: Seconds until lists and describe requests find a new bulk import.
        import_skips_identical: Whether a record with the same vector values as another one of its import is invalid:
            it is skipped, or fails the import. Pinecone's documentation says so.
        storage_options: The options with which bulk imports open S3, as fsspec has them, such as `key`, `secret` and
            `endpoint_url`.
        writes_visible_after: Seconds until a write to the records of an index appears in counts and responses.
        backup_lag: A backup lacks what was written to its index in the last seconds of this number. A write counts if
            this is set when it happens.
        restored_records_visible_after: Seconds after the end of a restore during which counts and lists of the new
            index show a growing part of its records.
        list_requests_per_second: How many requests for ids an index answers in a second; None for no limit. The others
            get 429.
        fetch_requests_per_second: The same for requests for records.
        read_units_per_month: The read units of the project. When they are used up, reads get 429, and no waiting helps.
        latency: Seconds added to each response of the data plane. Requests overlap.
        clock: Returns the time in seconds since the epoch. The emulator computes statuses when they are requested,
            so a test with its own clock advances the time without sleeping.
    """

    ready_after: float = 0.0
    backup_ends: str = "Ready"
    listed_after: float = 0.0
    described_after: float = 0.0
    restore_after: float = 0.0
    restore_ends: str = "Completed"
    restore_visible_after: float = 0.0
    quota: int = 500
    backups_in_plan: bool = True
    full_text_backups: bool = True
    max_retention_days: int = 365
    planned_run_status: str = "Scheduled"
    import_after: float = 0.0
    import_ends: str = "Completed"
    import_visible_after: float = 0.0
    import_skips_identical: bool = True
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    writes_visible_after: float = 0.0
    backup_lag: float = 0.0
    restored_records_visible_after: float = 0.0
    list_requests_per_second: int | None = None
    fetch_requests_per_second: int | None = None
    read_units_per_month: int | None = None
    latency: float = 0.0
    clock: Callable[[], float] = time.time
    _next_backups: list[_Plan] = field(default_factory=list, init=False, repr=False)
    _next_scheduled_backups: list[_Plan] = field(default_factory=list, init=False, repr=False)
    _next_restores: list[_Plan] = field(default_factory=list, init=False, repr=False)
    _next_imports: list[_Plan] = field(default_factory=list, init=False, repr=False)

    def next_backup(
        self,
        index_name: str | None = None,
        *,
        ready_after: float | None = None,
        backup_ends: str | None = None,
        fails: bool = False,
        statuses: Sequence[str] = (),
        listed_after: float | None = None,
        described_after: float | None = None,
        disappears_after: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Plan the lifecycle of the next backup that a request creates. Repeated calls plan the ones after it.

        `ready_after`, `backup_ends`, `listed_after` and `described_after` replace the settings of the scenario.

        Args:
            index_name: The index to which the plan applies; None for any index.
            ready_after: Seconds until the final status.
            backup_ends: The final status, or "never".
            fails: Short for `backup_ends="Failed"`.
            statuses: The statuses that successive describe requests return; the last one repeats. They replace
                `ready_after` and `backup_ends`. The response to the create request always has the status
                "Initializing".
            listed_after: Seconds until the backup appears in lists.
            described_after: Seconds until a describe request finds the backup. Until then, the status is 404.
            disappears_after: Seconds until the backup no longer exists, as if it had been deleted.
            fields: Fields to replace in every response; a value of `...` removes the field.
        """
        changes = {
            "ends_after": ready_after,
            "final_status": "Failed" if fails else backup_ends,
            "statuses": tuple(statuses),
            "listed_after": listed_after,
            "described_after": described_after,
            "disappears_after": disappears_after,
            "fields": dict(fields or {}),
        }
        self._next_backups.append(_Plan(index_name, changes))

    def next_scheduled_backup(
        self,
        index_name: str | None = None,
        *,
        ready_after: float | None = None,
        backup_ends: str | None = None,
        fails: bool = False,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Plan the lifecycle of the next backup that a schedule creates. Repeated calls plan the ones after it.

        `ready_after` and `backup_ends` replace the settings of the scenario.

        Args:
            index_name: The index to which the plan applies; None for any index.
            ready_after: Seconds until the final status.
            backup_ends: The final status, or "never".
            fails: Short for `backup_ends="InitializationFailed"`.
            fields: Fields to replace in every response; a value of `...` removes the field.
        """
        changes = {
            "ends_after": ready_after,
            "final_status": "InitializationFailed" if fails else backup_ends,
            "fields": dict(fields or {}),
        }
        self._next_scheduled_backups.append(_Plan(index_name, changes))

    def next_restore(
        self,
        backup_id: str | None = None,
        *,
        restore_after: float | None = None,
        restore_ends: str | None = None,
        statuses: Sequence[str] = (),
        restore_visible_after: float | None = None,
        fields: Mapping[str, Any] | None = None,
        change: Change | None = None,
    ) -> None:
        """Plan the lifecycle of the next restore job. Repeated calls plan the ones after it.

        `restore_after`, `restore_ends` and `restore_visible_after` replace the settings of the scenario.

        Args:
            backup_id: The backup to which the plan applies; None for any backup.
            restore_after: Seconds until the final status.
            restore_ends: The final status: "Completed", "Failed", "Cancelled" or "never".
            statuses: The statuses that successive describe requests return; the last one repeats. They replace
                `restore_after` and `restore_ends`.
            restore_visible_after: Seconds until lists and describe requests find the job.
            fields: Fields to replace in every response; a value of `...` removes the field.
            change: Called with the namespaces of the restored copy by name when the restore is created. It may change
                them. The module `damage` has ready-made changes. If it raises ValueError, the restore gets 400.
        """
        changes = {
            "change": change,
            "ends_after": restore_after,
            "final_status": restore_ends,
            "statuses": tuple(statuses),
            "listed_after": restore_visible_after,
            "described_after": restore_visible_after,
            "fields": dict(fields or {}),
        }
        self._next_restores.append(_Plan(backup_id, changes))

    def next_import(
        self,
        index_name: str | None = None,
        *,
        import_after: float | None = None,
        import_ends: str | None = None,
        fails: bool = False,
        import_visible_after: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Plan the lifecycle of the next bulk import. Repeated calls plan the ones after it.

        `import_after`, `import_ends` and `import_visible_after` replace the settings of the scenario.

        Args:
            index_name: The index to which the plan applies; None for any index.
            import_after: Seconds until the end.
            import_ends: The final status: "Completed", "Failed", "Cancelled" or "never".
            fails: Short for `import_ends="Failed"`.
            import_visible_after: Seconds until lists and describe requests find the import.
            fields: Fields to replace in every response, such as `error`; a value of `...` removes the field.
        """
        changes = {
            "ends_after": import_after,
            "final_status": "Failed" if fails else import_ends,
            "listed_after": import_visible_after,
            "described_after": import_visible_after,
            "fields": dict(fields or {}),
        }
        self._next_imports.append(_Plan(index_name, changes))

    def take_backup_lifecycle(self, index_name: str) -> Lifecycle:
        """Return the lifecycle of the backup that a request creates, and remove its plan."""
        return _take(self._next_backups, index_name, self._backup_lifecycle())

    def take_scheduled_lifecycle(self, index_name: str) -> Lifecycle:
        """Return the lifecycle of the backup that a schedule creates, and remove its plan."""
        return _take(self._next_scheduled_backups, index_name, self._backup_lifecycle())

    def take_restore_lifecycle(self, backup_id: str) -> Lifecycle:
        """Return the lifecycle of the restore job that is being created, and remove its plan."""
        lifecycle = Lifecycle(
            ends_after=self.restore_after,
            final_status=self.restore_ends,
            listed_after=self.restore_visible_after,
            described_after=self.restore_visible_after,
        )
        return _take(self._next_restores, backup_id, lifecycle)

    def take_import_lifecycle(self, index_name: str) -> Lifecycle:
        """Return the lifecycle of the bulk import that is being started, and remove its plan."""
        lifecycle = Lifecycle(
            ends_after=self.import_after,
            final_status=self.import_ends,
            listed_after=self.import_visible_after,
            described_after=self.import_visible_after,
        )
        return _take(self._next_imports, index_name, lifecycle)

    def _backup_lifecycle(self) -> Lifecycle:
        return Lifecycle(
            ends_after=self.ready_after,
            final_status=self.backup_ends,
            listed_after=self.listed_after,
            described_after=self.described_after,
        )


def _take(plans: list[_Plan], source: str, lifecycle: Lifecycle) -> Lifecycle:
    """Remove the first plan for this source, and return the lifecycle with its changes."""
    for plan in plans:
        if plan.source in {None, source}:
            plans.remove(plan)
            return replace(lifecycle, **{name: value for name, value in plan.changes.items() if value is not None})
    return lifecycle
