"""Which backups were restored, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from airflow_pinecone.api.models import BackupModel, RestoreJobModel, completed_at, is_completed
from airflow_pinecone.common.durations import validate_duration
from airflow_pinecone.common.text import iso, show_seconds
from airflow_pinecone.policy import IndexRules
from airflow_pinecone.rules.history import age_of
from airflow_pinecone.rules.report import Problem, RestoreFacts


class Restore(NamedTuple):
    """A Completed restore; the last one is the greatest."""

    # Sorts first: a restore that is dated in the future only counts if there is no other.
    is_past: bool
    completed_at: datetime
    restore_job_id: str
    backup_id: str


def completed_restores(jobs: Iterable[RestoreJobModel], now: datetime) -> dict[str, Restore]:
    """Return the last Completed restore of each backup."""
    last: dict[str, Restore] = {}
    for job in jobs:
        moment = completed_at(job) if is_completed(job) else None
        if moment is not None:
            restore = Restore(not age_of(moment, now).in_future, moment, job["restore_job_id"], job["backup_id"])
            last[restore.backup_id] = max(restore, last.get(restore.backup_id, restore))
    return last


def restore_problems(last: RestoreFacts | None, rules: IndexRules, *, are_known: bool) -> list[Problem]:
    """Return why an index breaks ``max_restore_age``."""
    if rules.max_restore_age is None:
        return []
    max_age = validate_duration(rules.max_restore_age, "max_restore_age")
    allowed = f"max_restore_age is {show_seconds(max_age)}"
    if not are_known:
        text = f"its last restore is unknown: the restore jobs could not be listed, and {allowed}"
        return [Problem(status="untested", text=text)]
    if last is None:
        return [Problem(status="untested", text=f"none of its backups was restored, and {allowed}")]
    if last["age"] is None:
        text = f"its last restore was completed at {last['completed_at']}, in the future: check the clock"
        return [Problem(status="untested", text=text)]
    if last["age"] < max_age:
        return []
    text = f"its last restore was {show_seconds(last['age'])} ago, and {allowed}"
    return [Problem(status="untested", text=text)]


def last_restore_of(
    backups: Iterable[BackupModel], restores: Mapping[str, Restore], now: datetime
) -> RestoreFacts | None:
    """Return the last restore of some backups."""
    last = max((restores[b["backup_id"]] for b in backups if b["backup_id"] in restores), default=None)
    if last is None:
        return None
    return RestoreFacts(
        restore_job_id=last.restore_job_id,
        backup_id=last.backup_id,
        completed_at=iso(last.completed_at),
        age=age_of(last.completed_at, now).seconds,
    )
