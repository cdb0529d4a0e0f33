"""What the templates show: pure functions of a copy of the project. They do no I/O and read no clock."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from airflow_pinecone.api.models import (
    BackupModel,
    Phase,
    RestoreJobModel,
    backup_phase,
    count_of,
    created_at,
    parse_time,
    restore_job_phase,
)
from airflow_pinecone.assets import backups_uri
from airflow_pinecone.common.text import counted, iso
from airflow_pinecone.rules.history import Age, BackupHistory, Dated, age_of
from airflow_pinecone.rules.identity import creator_of, hold_of
from airflow_pinecone.rules.report import IndexReport, Leftover, Problem, Report
from airflow_pinecone.ui.formats import UNKNOWN, show_change, show_duration, show_number, show_size
from airflow_pinecone.ui.links import Links
from airflow_pinecone.ui.reading import Copy
from airflow_pinecone.ui.trend import Trend, trend_of

# The longest name of an index.
_NAME_LENGTH = 45


@dataclass(frozen=True)
class Link:
    """A text with a URL."""

    text: str
    url: str


@dataclass(frozen=True)
class BackupRow:
    """A backup. Times are ISO texts."""

    backup_id: str
    status: str
    phase: Phase
    created_at: str | None
    age: str
    records: str
    size: str
    run: Link | None
    held_until: str | None


@dataclass(frozen=True)
class RestoreRow:
    """A restore job of one of the backups."""

    restore_job_id: str
    status: str
    phase: Phase
    backup_id: str
    index_name: str
    created_at: str | None
    completed_at: str | None


@dataclass(frozen=True)
class IndexRow:
    """A row of the overview. Times are ISO texts. ``newer`` has the running and the failed backup, with statuses."""

    name: str
    url: str
    status: str
    newest_at: str | None
    age: str
    records: str
    record_change: str
    size: str
    backups: int
    last_restore: str
    run: Link | None
    newer: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """The overview."""

    verdict: str
    max_age: str
    rows: tuple[IndexRow, ...]
    unsupported: tuple[str, ...]
    leftovers: tuple[tuple[str, str, str], ...]
    backup_count: int


@dataclass(frozen=True)
class IndexPage:
    """The page of one index. ``newest_ready`` is the id of the backup that ``snippet`` restores."""

    name: str
    can_be_backed_up: bool
    status: str
    verdict: tuple[str, ...]
    created_elsewhere: int
    records: Trend
    size: Trend
    backups: tuple[BackupRow, ...]
    earlier_backups: tuple[BackupRow, ...]
    restores: tuple[RestoreRow, ...]
    newest_ready: str | None
    snippet: str
    asset_uri: str


def overview(copy: Copy, links: Links, max_age: float) -> Overview:
    """Describe the overview; the indexes with problems come first. ``max_age`` is in seconds."""
    report: Report = copy.report
    return Overview(
        verdict=report["verdict"],
        max_age=show_duration(max_age),
        rows=tuple(_index_row(row, links) for row in report["indexes"]),
        unsupported=tuple(report["unsupported"]),
        leftovers=tuple(
            (leftover["index_name"] or "(no name)", links.index(leftover["index_name"]), _leftover_text(leftover))
            for leftover in report["leftovers"]
        ),
        backup_count=report["backup_count"],
    )


def index_page(copy: Copy, index_name: str, links: Links) -> IndexPage | None:
    """Describe the page of an index; None if there is neither an index nor a backup with this name."""
    exists = any(index["name"] == index_name for index in copy.project.indexes)
    backups = [backup for backup in copy.project.backups if (backup.get("source_index_name") or "") == index_name]
    if not (exists or backups):
        return None
    row = next((row for row in copy.report["indexes"] if row["index_name"] == index_name), None)
    history = BackupHistory(backups, index_exists=exists)
    newest = history.newest_ready
    # A pod-based index has no backups, so all of them belong to earlier indexes.
    is_pod_based = exists and row is None
    current, earlier = ((), history.rows) if is_pod_based else (history.current, history.earlier)
    ids = {backup["backup_id"] for backup in backups}

    def backup_row(row: Dated) -> BackupRow:
        return _backup_row(row, copy.read_at, links)

    return IndexPage(
        name=index_name,
        can_be_backed_up=row is not None,
        status=row["status"] if row else "unsupported" if exists else "deleted",
        verdict=_index_verdict(row, exists=exists, can_be_restored=newest is not None),
        created_elsewhere=row["created_elsewhere"] if row else 0,
        records=_trend(current, lambda backup: count_of(backup.get("record_count"))),
        size=_trend(current, lambda backup: count_of(backup.get("size_bytes"))),
        backups=tuple(map(backup_row, current)),
        earlier_backups=tuple(map(backup_row, earlier)),
        restores=_restore_rows(job for job in copy.project.restore_jobs if job["backup_id"] in ids),
        newest_ready=newest["backup_id"] if newest else None,
        snippet=restore_snippet(newest, links.connection) if newest else "",
        asset_uri=backups_uri(index_name),
    )


def page_of_backup(copy: Copy, backup_id: str, links: Links) -> IndexPage | None:
    """Describe the page of the index of a backup; None if there is no such backup."""
    for backup in copy.project.backups:
        if backup["backup_id"] == backup_id:
            return index_page(copy, backup.get("source_index_name") or "", links)
    return None


def restore_snippet(backup: BackupModel, connection: str) -> str:
    """Write a DAG file that restores a backup into a new index: Pinecone cannot restore into an existing one."""
    name = backup.get("source_index_name") or "index"
    dag_id = f"restore_{re.sub(r'[^A-Za-z0-9]', '_', name)[:_NAME_LENGTH]}"
    suffix = "-restored"
    target = name[: _NAME_LENGTH - len(suffix)].rstrip("-") + suffix
    return f"""\
from airflow.sdk import DAG
from airflow_pinecone.operators import CreateIndexFromBackupOperator

with DAG({_literal(dag_id)}, schedule=None):
    CreateIndexFromBackupOperator(
        task_id="restore",
        backup_id={_literal(backup["backup_id"])},
        index_name={_literal(target)},
        conn_id={_literal(connection)},
    )
"""


def problem_text(problem: Problem, row: IndexReport) -> str:
    """Describe a problem of an index in a sentence. It names only the age that the page itself allows."""
    if problem["status"] == "late" and row["age"] is not None and row["age"] >= row["max_age"]:
        age, allowed = show_duration(row["age"]), show_duration(row["max_age"])
        return f"Its newest Ready backup is {age} old, and less than {allowed} is allowed."
    text = problem["text"]
    return f"{text[:1].upper()}{text[1:]}."


def _index_row(row: IndexReport, links: Links) -> IndexRow:
    newest, restore = row["newest_ready"], row["last_restore"]
    creator = newest["created_by"] if newest else None
    return IndexRow(
        name=row["index_name"],
        url=links.index(row["index_name"]),
        status=row["status"],
        newest_at=newest["created_at"] if newest else None,
        age=_show_age(Age(row["age"])),
        records=show_number(newest["record_count"] if newest else None),
        record_change=show_change(row["record_change"]),
        size=show_size(newest["size_bytes"] if newest else None),
        backups=row["backup_count"],
        last_restore=f"{show_duration(restore['age'])} ago" if restore and restore["age"] is not None else UNKNOWN,
        run=_run_link(links, **creator) if creator else None,
        newer=_newer(row),
        problems=tuple(problem_text(problem, row) for problem in row["problems"]),
    )


def _show_age(age: Age) -> str:
    return UNKNOWN if age.seconds is None else show_duration(age.seconds)


def _newer(row: IndexReport) -> tuple[tuple[str, str], ...]:
    """Return what the running and the failed backup are, with their statuses."""
    backups = (("running", row["running"]), ("failed", row["failed"]))
    return tuple((word, backup["status"]) for word, backup in backups if backup)


def _leftover_text(leftover: Leftover) -> str:
    newest = leftover["newest_created_at"]
    until = f", the newest from {newest[:10]}" if newest else ""
    return (
        f"{counted(leftover['backup_count'], 'backup')} of the {leftover['reason']}: {leftover['ready_count']} Ready, "
        f"{show_size(leftover['size_bytes'])}{until}."
    )


def _index_verdict(row: IndexReport | None, *, exists: bool, can_be_restored: bool) -> tuple[str, ...]:
    if row is None:
        if exists:
            return ("The index is pod-based, so Pinecone cannot back it up.",)
        restored = ", and can be restored" if can_be_restored else ""
        return (f"There is no index with this name now. Its backups below still exist{restored}.",)
    if row["problems"]:
        return tuple(problem_text(problem, row) for problem in row["problems"])
    return (f"The index has a fresh Ready backup, {show_duration(row['age'] or 0.0)} old.",)


def _trend(rows: Iterable[Dated], value: Callable[[BackupModel], int | None]) -> Trend:
    return trend_of(
        (row.created_at, value(row.backup))
        for row in rows
        if row.created_at and backup_phase(row.backup) == "succeeded"
    )


def _backup_row(row: Dated, now: datetime, links: Links) -> BackupRow:
    backup = row.backup
    creator, hold = creator_of(backup), hold_of(backup, now)
    return BackupRow(
        backup_id=backup["backup_id"],
        status=backup["status"],
        phase=backup_phase(backup),
        created_at=iso(row.created_at) if row.created_at else None,
        age=_show_age(age_of(row.created_at, now)),
        records=show_number(count_of(backup.get("record_count"))),
        size=show_size(count_of(backup.get("size_bytes"))),
        run=_run_link(links, *creator) if creator else None,
        held_until=iso(hold) if hold else None,
    )


def _restore_rows(jobs: Iterable[RestoreJobModel]) -> tuple[RestoreRow, ...]:
    rows = [
        RestoreRow(
            restore_job_id=job["restore_job_id"],
            status=job["status"],
            phase=restore_job_phase(job),
            backup_id=job["backup_id"],
            index_name=job["target_index_name"],
            created_at=_iso_or_none(created_at(job)),
            completed_at=_iso_or_none(parse_time(job.get("completed_at"))),
        )
        for job in jobs
    ]
    return tuple(sorted(rows, key=lambda row: (row.created_at or "", row.restore_job_id), reverse=True))


def _iso_or_none(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None


def _run_link(links: Links, dag_id: str, run_id: str, task_id: str, map_index: int) -> Link:
    mapped = f" [{map_index}]" if map_index >= 0 else ""
    return Link(f"{dag_id}.{task_id}{mapped}", links.run(dag_id, run_id, task_id, map_index))


def _literal(text: str) -> str:
    """Return a text as Python source, in double quotes if it is simple."""
    return f'"{text}"' if re.fullmatch(r"[\w.-]*", text, re.ASCII) else ascii(text)
