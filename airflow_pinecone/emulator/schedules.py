"""Backup schedules: their rules, and their runs on the clock of the scenario."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from airflow_pinecone.emulator import request_bodies as bodies
from airflow_pinecone.emulator import shapes
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.project import Project
from airflow_pinecone.emulator.resources import Backup, Index, Model, newest_first, timestamp
from airflow_pinecone.emulator.scenario import Scenario
from airflow_pinecone.emulator.versions import Version

DAY = 86400.0
_PERIODS = {"daily": DAY, "weekly": 7 * DAY, "monthly": 30 * DAY}
# A longer name of a backup is invalid. Pinecone accepts the name of a schedule that leads to one, and its runs fail.
_MAX_BACKUP_NAME = 45
_COUNTS = ("record_count", "namespace_count", "size_bytes")


@dataclass
class Schedule:
    """A backup schedule.

    Attributes:
        index: The index that it backs up.
        name: Its name, with which the names of its backups start.
        frequency: "daily", "weekly" or "monthly".
        retention_days: The days after which its backups are deleted.
        created_at: The time of its creation.
        id: Its id.
        next_run: The time of the next run, or None if it is disabled.
        planned_at: When the next run was planned.
        planned_id: The id of the backup of the next run.
        backup_ids: The ids of its backups, including those that were deleted.
    """

    index: Index
    name: str
    frequency: str
    retention_days: int
    created_at: float
    id: str = field(default_factory=lambda: str(uuid4()))
    next_run: float | None = None
    planned_at: float = 0.0
    planned_id: str = ""
    backup_ids: list[str] = field(default_factory=list)

    def plan(self, after: float) -> None:
        """Plan the next run one period after a time."""
        self.next_run, self.planned_at = after + _PERIODS[self.frequency], after
        self.planned_id = str(uuid4())

    def backup_name(self, time: float) -> str:
        """Return the name of the backup of a run."""
        return f"{self.name}-{datetime.fromtimestamp(time, UTC):%Y%m%dT%H%M%SZ}"

    def to_api(self, project_id: str) -> Model:
        """Return its model as in a response."""
        return {
            "schedule_id": self.id,
            "name": self.name,
            "index_id": self.index.id,
            "project_id": project_id,
            "schedule_type": "time-based",
            "frequency": self.frequency,
            "retention_expire_after_days": self.retention_days,
            "enabled": self.next_run is not None,
            "next_scheduled_run": None if self.next_run is None else timestamp(self.next_run),
            "created_at": timestamp(self.created_at),
        }


class Schedules:
    """The backup schedules of a project. Invalid requests raise ApiError."""

    def __init__(self, project: Project, scenario: Scenario) -> None:
        """Create no schedules."""
        self._project = project
        self._scenario = scenario
        self._schedules: dict[str, Schedule] = {}

    def all(self) -> list[Schedule]:
        """Return all schedules, oldest first."""
        return list(self._schedules.values())

    def of_index(self, index: Index) -> list[Schedule]:
        """Return the schedules of an index, newest first."""
        return [schedule for schedule in self.all()[::-1] if schedule.index is index]

    def get(self, schedule_id: str) -> Schedule:
        """Return a schedule; 404 if it does not exist."""
        if schedule_id not in self._schedules:
            raise ApiError(404, "Backup schedule not found.")
        return self._schedules[schedule_id]

    def create(self, index_name: str, body: Model, now: float) -> Schedule:
        """Create an enabled schedule from a request."""
        self._check_plan()
        index = self._project.index(index_name)
        self._project.check_index_supports_backups(index, full_text=self._scenario.full_text_backups)
        settings = bodies.required(body, "schedule", dict)
        schedule_type = bodies.required(settings, "type", str)
        if schedule_type != "time-based":
            raise ApiError(400, f"The type of a schedule must be time-based, not {schedule_type!r}.")
        frequency = bodies.required(settings, "frequency", str)
        retention = self._retention(bodies.required(body, "retention", dict))
        name = bodies.required(body, "name", str)
        return self.add(index, name, frequency, retention, now)

    def add(self, index: Index, name: str, frequency: str, retention_days: int, now: float) -> Schedule:
        """Add an enabled schedule; 400 for an unknown frequency, 409 if the index has an enabled one."""
        _check_frequency(frequency)
        self._check_no_other_is_enabled(index)
        schedule = Schedule(index, name, frequency, retention_days, now)
        schedule.plan(now)
        self._schedules[schedule.id] = schedule
        return schedule

    def update(self, schedule_id: str, body: Model, now: float) -> Schedule:
        """Change a schedule as a request says. Enabling it again starts a backup, and plans the next one from now."""
        schedule = self.get(schedule_id)
        frequency = bodies.typed(body, "frequency", str) if "frequency" in body else schedule.frequency
        _check_frequency(frequency)
        retention = schedule.retention_days
        if "retention" in body:
            retention = self._retention(bodies.typed(body, "retention", dict))
        was_enabled = schedule.next_run is not None
        enabled = bodies.flag(body, "enabled", default=was_enabled)
        if enabled and not was_enabled:
            self._check_plan()
            self._check_no_other_is_enabled(schedule.index)
        changed = frequency != schedule.frequency
        schedule.frequency, schedule.retention_days = frequency, retention
        for backup in self._backups(schedule, now):
            self._expire(backup, retention)
        if not enabled:
            schedule.next_run = None
        elif not was_enabled:
            schedule.plan(now)
            self._back_up(schedule, now, str(uuid4()))
        elif changed:
            schedule.plan(now)
        return schedule

    def delete(self, schedule_id: str) -> None:
        """Delete a schedule and keep its backups."""
        del self._schedules[self.get(schedule_id).id]

    def delete_of_index(self, index: Index) -> None:
        """Delete the schedules of an index that was deleted."""
        for schedule in self.of_index(index):
            self.delete(schedule.id)

    def run(self, now: float) -> None:
        """Start the backups that are due at the time `now`."""
        for schedule in self._schedules.values():
            while schedule.next_run is not None and schedule.next_run <= now:
                time, backup_id = schedule.next_run, schedule.planned_id
                schedule.plan(time)
                self._back_up(schedule, time, backup_id)

    def history(self, schedule: Schedule, now: float, version: Version) -> list[Model]:
        """Return the rows of the history of a schedule, newest first: its planned run and its backups."""
        rows = [_history_row(version.backup(backup, now)) for backup in newest_first(self._backups(schedule, now))]
        return rows if schedule.next_run is None else [self._planned_row(schedule, schedule.next_run), *rows]

    def _planned_row(self, schedule: Schedule, time: float) -> Model:
        model = schedule.index.model
        row = {
            "backup_id": schedule.planned_id,
            "source_index_id": schedule.index.id,
            "source_index_name": schedule.index.name,
            "name": schedule.backup_name(time),
            "status": self._scenario.planned_run_status,
            **shapes.location(model["spec"])._asdict(),
            "schema": shapes.typed_schema(model),
            "tags": model["tags"] or None,
            "created_at": timestamp(schedule.planned_at),
        }
        if row["status"] == "Scheduled":
            row["scheduled_execution_at"] = timestamp(time)
        return _history_row(row)

    def _back_up(self, schedule: Schedule, time: float, backup_id: str) -> None:
        name = schedule.backup_name(time)
        lifecycle = self._scenario.take_scheduled_lifecycle(schedule.index.name)
        if len(name) > _MAX_BACKUP_NAME:
            lifecycle = replace(lifecycle, ends_after=0.0, final_status="InitializationFailed")
        fields = {"backup_id": backup_id, "name": name, "description": None}
        backup = self._project.add_backup(schedule.index.name, fields, time, lifecycle)
        self._expire(backup, schedule.retention_days)
        schedule.backup_ids.append(backup_id)

    def _backups(self, schedule: Schedule, now: float) -> list[Backup]:
        backups = [self._project.backups.get(backup_id) for backup_id in schedule.backup_ids]
        return [backup for backup in backups if backup and not backup.has_disappeared(now)]

    def _expire(self, backup: Backup, days: int) -> None:
        backup.lifecycle = replace(backup.lifecycle, disappears_after=days * DAY)

    def _check_plan(self) -> None:
        if not self._scenario.backups_in_plan:
            raise ApiError(403, "Scheduled backups are not available for your plan", code="PERMISSION_DENIED")

    def _check_no_other_is_enabled(self, index: Index) -> None:
        if any(schedule.next_run is not None for schedule in self.of_index(index)):
            raise ApiError(409, "This index already has an enabled backup schedule. Disable or delete it first.")

    def _retention(self, retention: Model) -> int:
        days: int = bodies.required(retention, "expire_after_days", int)
        most = self._scenario.max_retention_days
        if not 1 <= days <= most:
            raise ApiError(400, f"retention.expire_after_days must be from 1 to {most}, not {days}.")
        return days


def _check_frequency(frequency: str) -> None:
    if frequency not in _PERIODS:
        raise ApiError(400, f"The frequency must be one of {', '.join(_PERIODS)}, not {frequency!r}.")


def _history_row(backup: Model) -> dict[str, Any]:
    """Return a backup as in the history of its schedule: until it is Ready, its counts are null."""
    counts = {name: backup.get(name) if backup["status"] == "Ready" else None for name in _COUNTS}
    return {"description": None, **backup, **counts}
