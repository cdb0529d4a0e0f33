"""Backup schedules."""

from __future__ import annotations

from airflow_pinecone.api.models import is_planned
from airflow_pinecone.errors import Conflict, NotFound
from live_test.run import NotPossible, Run

_NAME = "live-test"


def check_schedules(run: Run) -> None:
    """Create, disable and delete a backup schedule."""
    path = f"/indexes/{run.need_index()}/backup-schedules"
    if not run.expected.has_schema:
        # The published description has no schedules in these versions.
        run.note("list the backup schedules of an index", run.api.get(path).outcome)
        return
    body = {
        "name": _NAME,
        "schedule": {"type": "time-based", "frequency": "monthly"},
        "retention": {"expire_after_days": 1},
    }
    response = run.api.post(path, body)
    run.need(response, "the backup schedule")
    detail = response.message if response.status >= 300 else ""
    run.equal("create a backup schedule: status", response.status, 200, detail=detail)
    schedule_id = response.model.get("schedule_id")
    if not isinstance(schedule_id, str):
        raise NotPossible("no backup schedule was created")
    run.created.add_schedule(schedule_id, run.api)
    schedule = response.model
    run.required("backup schedule", "BackupScheduleResponse", schedule)
    run.equal("a new backup schedule is enabled", schedule.get("enabled"), True)
    second = run.api.post(path, {**body, "name": f"{_NAME}-2"})
    run.refused("create a second enabled schedule of an index", second, 409, error=Conflict)
    if isinstance(second.model.get("schedule_id"), str):
        run.created.add_schedule(second.model["schedule_id"], run.api)
    listed = run.api.get(path)
    ids = [row.get("schedule_id") for row in listed.rows]
    run.true(
        "the list of an index has its schedule", "yes", schedule_id in ids, f"{listed.outcome}, {len(ids)} schedules"
    )
    _check_history(run, schedule_id)
    _disable_and_delete(run, schedule_id)


def _check_history(run: Run, schedule_id: str) -> None:
    history = run.api.get(f"/backup-schedules/{schedule_id}/history")
    run.equal("history of a backup schedule: status", history.status, 200)
    for row in history.rows[:1]:
        run.required("planned run in the history", "BackupScheduleHistoryItem", row)
    statuses = [str(row.get("status")) for row in history.rows]
    now = run.clock.utcnow()
    planned = [is_planned(row, now) for row in history.rows if isinstance(row.get("status"), str)]
    run.true(
        "history of a new schedule: its rows are planned runs",
        "yes",
        all(planned),
        f"{sum(planned)} of {len(history.rows)}",
    )
    known = set(statuses) <= {"Scheduled", "Initializing"}
    run.true("history of a new schedule: statuses", "Scheduled, Initializing", known, ", ".join(statuses) or "no rows")


def _disable_and_delete(run: Run, schedule_id: str) -> None:
    path = f"/backup-schedules/{schedule_id}"
    described = run.api.get(path)
    run.equal("describe a backup schedule: status", described.status, 200)
    run.true(
        "an enabled schedule: next_scheduled_run",
        "a time",
        isinstance(described.model.get("next_scheduled_run"), str),
        described.model.get("next_scheduled_run"),
    )
    disabled = run.api.patch(path, {"enabled": False})
    run.equal("disable a backup schedule: status", disabled.status, 200)
    run.equal("a disabled schedule: enabled", disabled.model.get("enabled"), False)
    run.equal("a disabled schedule: next_scheduled_run", disabled.model.get("next_scheduled_run"), None)
    run.equal("delete a backup schedule: status", run.api.delete(path).status, 204)
    run.refused("describe a deleted backup schedule", run.api.get(path), 404, error=NotFound)
