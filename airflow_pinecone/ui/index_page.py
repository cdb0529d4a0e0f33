"""The page of one index: a pure function of what is known of the project."""

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
    is_planned,
    parse_time,
    restore_job_phase,
)
from airflow_pinecone.assets import backups_uri
from airflow_pinecone.common.text import iso
from airflow_pinecone.rules.copied import damaged_copies, unknown_copies
from airflow_pinecone.rules.history import BackupHistory, Dated, age_of
from airflow_pinecone.rules.identity import hold_of
from airflow_pinecone.rules.report import IndexCopies, IndexReport, RestoreTest, RestoreTests, TestVerdict
from airflow_pinecone.rules.tested import unknown_tests
from airflow_pinecone.ui.copies import CopyView, copy_view
from airflow_pinecone.ui.formats import iso_or_none, show_age, show_duration, show_number, show_size
from airflow_pinecone.ui.links import Link, Links, creator_link
from airflow_pinecone.ui.overview import Known
from airflow_pinecone.ui.restore_tests import restore_test_state
from airflow_pinecone.ui.trend import Trend, trend_of
from airflow_pinecone.ui.trouble import Trouble, trouble_of

# The longest name of an index.
_NAME_LENGTH = 45
_SCRATCH = "This is the scratch index of a restore test or a copy, which deletes it when it ends. It needs no backup."
# A restore test shows so many findings.
_SHOWN_FINDINGS = 10
_PHASES: dict[TestVerdict, Phase] = {"passed": "succeeded", "failed": "failed", "incomplete": "running"}


@dataclass(frozen=True)
class BackupRow:
    """A backup. Times are ISO texts. ``run`` is the task that created it, or a text."""

    backup_id: str
    status: str
    phase: Phase
    created_at: str | None
    age: str
    records: str
    size: str
    run: Link | str
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
class TestRow:
    """A restore test of one of the backups."""

    ended_at: str
    verdict: str
    phase: Phase
    backup_id: str
    records: str
    findings: tuple[str, ...]
    path: str


@dataclass(frozen=True)
class IndexPage:
    """The page of one index.

    ``newest_ready`` is the id of the backup that ``snippet`` restores, and ``selected`` the backup that was asked for,
    with sentences about it.
    """

    name: str
    can_be_backed_up: bool
    status: str
    verdict: tuple[str, ...]
    trouble: Trouble | None
    selected: BackupRow | None
    about_selected: tuple[str, ...]
    invalid: tuple[str, ...]
    created_elsewhere: int
    records: Trend
    size: Trend
    backups: tuple[BackupRow, ...]
    earlier_backups: tuple[BackupRow, ...]
    restores: tuple[RestoreRow, ...]
    restore_test_state: str
    unknown_tests: tuple[str, ...]
    tests: tuple[TestRow, ...]
    shows_copies: bool
    unknown_copies: tuple[str, ...]
    damaged_copies: tuple[str, ...]
    newest_copy: CopyView | None
    newest_ready: str | None
    snippet: str
    asset_uri: str


def index_page(known: Known, index_name: str, links: Links, selected: str = "") -> IndexPage | None:
    """Describe the page of an index; None if there is neither an index nor a backup with this name.

    ``selected`` is the id of the backup that was asked for, if any.
    """
    project, report, now = known.copy.project, known.report, known.now
    exists = any(index["name"] == index_name for index in project.indexes)
    backups = [backup for backup in project.backups if (backup.get("source_index_name") or "") == index_name]
    if not (exists or backups):
        return None
    row = next((row for row in report["indexes"] if row["index_name"] == index_name), None)
    history = BackupHistory(backups, index_exists=exists)
    newest = history.newest_ready
    # An index that Pinecone cannot back up has no backups, so all of them belong to earlier indexes.
    why_unsupported = report["unsupported"].get(index_name, "")
    is_scratch = index_name in report["scratch_indexes"]
    current, earlier = ((), history.rows) if why_unsupported else (history.current, history.earlier)
    ids = {backup["backup_id"] for backup in backups}
    rows = {row.backup["backup_id"]: _backup_row(row, now, links) for row in history.rows}
    asked_for = rows.get(selected)
    trouble = trouble_of(row, now, links) if row else None
    tests = (project.restore_tests or {}).get(index_name, RestoreTests())
    copies = (project.copies or {}).get(index_name, IndexCopies())
    newest_copy = copy_view(copies, now)
    return IndexPage(
        name=index_name,
        can_be_backed_up=row is not None,
        status=row["status"] if row else "scratch" if is_scratch else "unsupported" if exists else "deleted",
        verdict=(_SCRATCH,) if is_scratch else _index_verdict(row, why_unsupported, can_be_restored=newest is not None),
        trouble=trouble,
        selected=asked_for,
        about_selected=_about(asked_for, is_current=selected in {row.backup["backup_id"] for row in current})
        if asked_for
        else (),
        invalid=tuple(report["invalid"]),
        created_elsewhere=row["created_elsewhere"] if row else 0,
        records=_trend(current, lambda backup: count_of(backup.get("record_count"))),
        size=_trend(current, lambda backup: count_of(backup.get("size_bytes"))),
        backups=tuple(rows[row.backup["backup_id"]] for row in current),
        earlier_backups=tuple(rows[row.backup["backup_id"]] for row in earlier),
        restores=_restore_rows(job for job in project.restore_jobs or () if job["backup_id"] in ids),
        restore_test_state=restore_test_state(row) if row else "",
        unknown_tests=tuple(unknown_tests({index_name: tests})),
        tests=tuple(map(_test_row, tests.tests)),
        # An index that Pinecone cannot back up can have a copy, too. Others were not read, such as a deleted one.
        shows_copies=newest_copy is not None or (row is not None and row["copies_known"] is not None),
        unknown_copies=tuple(unknown_copies({index_name: copies})) if row else (),
        damaged_copies=tuple(damaged_copies({index_name: copies})),
        newest_copy=newest_copy,
        newest_ready=newest["backup_id"] if newest else None,
        snippet=restore_snippet(newest, links.connection) if newest else "",
        asset_uri=backups_uri(index_name),
    )


def page_of_backup(known: Known, backup_id: str, links: Links) -> IndexPage | None:
    """Describe the page of the index of a backup, with this backup selected; None if there is no such backup."""
    for backup in known.copy.project.backups:
        if backup["backup_id"] == backup_id:
            return index_page(known, backup.get("source_index_name") or "", links, backup_id)
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


def _about(row: BackupRow, *, is_current: bool) -> tuple[str, ...]:
    """Return sentences about the backup that was asked for."""
    if row.phase == "failed":
        first = f"This backup failed ({row.status}). It cannot be restored."
    elif row.phase == "running":
        first = f"This backup is not Ready yet: its status is {row.status}."
    else:
        first = f"This backup is Ready. It has {row.records} records and is {row.age} old."
    if is_current:
        return (first,)
    return (first, "It belongs to an earlier index of this name, or Pinecone does not say to which index it belongs.")


def _index_verdict(row: IndexReport | None, why_unsupported: str, *, can_be_restored: bool) -> tuple[str, ...]:
    if row is None:
        if why_unsupported:
            return (f"Pinecone cannot back up this index: {why_unsupported}.",)
        restored = ", and can be restored" if can_be_restored else ""
        return (f"There is no index with this name now. Its backups below still exist{restored}.",)
    if row["problems"]:
        return ()
    return (f"The index has a fresh Ready backup, {show_duration(row['age'] or 0.0)} old.",)


def _trend(rows: Iterable[Dated], value: Callable[[BackupModel], int | None]) -> Trend:
    return trend_of(
        (row.created_at, value(row.backup))
        for row in rows
        if row.created_at and backup_phase(row.backup) == "succeeded"
    )


def _backup_row(row: Dated, now: datetime, links: Links) -> BackupRow:
    backup = row.backup
    hold = hold_of(backup, now)
    return BackupRow(
        backup_id=backup["backup_id"],
        status="Scheduled" if is_planned(backup, now) else backup["status"],
        phase=backup_phase(backup),
        created_at=iso(row.created_at) if row.created_at else None,
        age=show_age(age_of(row.created_at, now)),
        records=show_number(count_of(backup.get("record_count"))),
        size=show_size(count_of(backup.get("size_bytes"))),
        run=creator_link(backup, links),
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
            created_at=iso_or_none(created_at(job)),
            completed_at=iso_or_none(parse_time(job.get("completed_at"))),
        )
        for job in jobs
    ]
    return tuple(sorted(rows, key=lambda row: (row.created_at or "", row.restore_job_id), reverse=True))


def _test_row(test: RestoreTest) -> TestRow:
    more = len(test.findings) - _SHOWN_FINDINGS
    return TestRow(
        ended_at=iso(test.ended_at),
        verdict=test.verdict,
        phase=_PHASES[test.verdict],
        backup_id=test.backup_id,
        records=f"{show_number(test.records)}{' (a sample)' if test.sampled else ''}",
        findings=(*test.findings[:_SHOWN_FINDINGS], *([f"{more} more are in the file."] if more > 0 else [])),
        path=test.path,
    )


def _literal(text: str) -> str:
    """Return a text as Python source, in double quotes if it is simple."""
    return f'"{text}"' if re.fullmatch(r"[\w.-]*", text, re.ASCII) else ascii(text)
