"""What the templates show: pure functions of what is known of the project. They do no I/O and read no clock."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

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
from airflow_pinecone.policy import IndexRules, Policy
from airflow_pinecone.rules import coverage
from airflow_pinecone.rules.history import Age, BackupHistory, Dated, age_of
from airflow_pinecone.rules.identity import creator_of, has_mark, hold_of
from airflow_pinecone.rules.report import BackupFacts, IndexReport, Leftover, Report
from airflow_pinecone.ui.audit import AuditReport
from airflow_pinecone.ui.formats import UNKNOWN, show_change, show_duration, show_number, show_size
from airflow_pinecone.ui.links import Links
from airflow_pinecone.ui.reading import Copy
from airflow_pinecone.ui.trend import Trend, trend_of

# The longest name of an index.
_NAME_LENGTH = 45
# Seconds after which a copy of the project is old: what it says may no longer be so.
OLD_COPY = 300.0
_NEVER = "never"
_ELSEWHERE = "not by airflow-pinecone"


@dataclass(frozen=True)
class Link:
    """A text with a URL."""

    text: str
    url: str


class Cell(NamedTuple):
    """A value, and what the rule that it breaks allows; empty if it breaks none."""

    text: str
    broken: str = ""


class Known(NamedTuple):
    """What is known of a project at the time of a request.

    Attributes:
        copy: The copy of the project.
        report: The report about it, as of the request.
        now: The time of the request.
        audit: The last report of the audit; None if the page has no audit.
    """

    copy: Copy
    report: Report
    now: datetime
    audit: AuditReport | None = None


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
class Trouble:
    """What is wrong with an index. Times are ISO texts.

    Attributes:
        problems: What is wrong, in sentences.
        since: Since when; None if that is unknown.
        lasting: How long that is.
        advice: What to do, in sentences.
        failed_run: The run that failed, if a backup failed.
        restorable: Which backup can be restored.
    """

    problems: tuple[str, ...]
    since: str | None
    lasting: str
    advice: tuple[str, ...]
    failed_run: Link | None
    restorable: str


@dataclass(frozen=True)
class IndexRow:
    """A row of the overview. Times are ISO texts. ``newer`` has the running and the failed backup, with statuses."""

    name: str
    url: str
    status: str
    newest_at: str | None
    age: Cell
    records: Cell
    record_change: Cell
    size: str
    backups: int
    last_restore: Cell
    run: Link | str
    newer: tuple[tuple[str, str, Link | None], ...]
    trouble: Trouble | None


@dataclass(frozen=True)
class AuditView:
    """The last report of the audit. Times are ISO texts."""

    task: Link
    made_at: str | None
    age: str
    verdict: str
    failure: str
    others: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """The overview."""

    verdict: str
    rules: str
    audit: AuditView | None
    missing: tuple[str, ...]
    invalid: tuple[str, ...]
    rows: tuple[IndexRow, ...]
    unsupported: tuple[str, ...]
    leftovers: tuple[tuple[str, str, str], ...]
    backup_count: int


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
    newest_ready: str | None
    snippet: str
    asset_uri: str


def judge(copy: Copy, rules: IndexRules, now: datetime, audit: AuditReport | None = None) -> Known:
    """Judge a copy at a time, by the rules of the audit if there are any, and by other rules otherwise."""
    policy = audit.policy(rules) if audit else Policy(rules)
    return Known(copy, coverage.report(copy.project, policy, now=now), now, audit)


def age_of_old_copy(copy: Copy, now: datetime) -> str:
    """Return how old a copy is; empty if it is not old."""
    seconds = (now - copy.read_at).total_seconds()
    return show_duration(seconds) if seconds > OLD_COPY else ""


def overview(known: Known, links: Links, rules: IndexRules) -> Overview:
    """Describe the overview; the indexes with problems come first. ``rules`` are those of the page."""
    report, audit = known.report, known.audit
    names = {row["index_name"] for row in report["indexes"]}
    backups = {backup["backup_id"]: backup for backup in known.copy.project.backups}
    return Overview(
        verdict=report["verdict"],
        rules=_rules_text(rules),
        audit=_audit_view(audit, names, known.now, rules.max_age_seconds, links) if audit else None,
        missing=tuple(name for name in audit.missing if name not in names) if audit else (),
        invalid=tuple(report["invalid"]),
        rows=tuple(_index_row(row, known, backups, links) for row in report["indexes"]),
        unsupported=tuple(report["unsupported"]),
        leftovers=tuple(
            (leftover["index_name"] or "(no name)", links.index(leftover["index_name"]), _leftover_text(leftover))
            for leftover in report["leftovers"]
        ),
        backup_count=report["backup_count"],
    )


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
    # A pod-based index has no backups, so all of them belong to earlier indexes.
    is_pod_based = exists and row is None
    current, earlier = ((), history.rows) if is_pod_based else (history.current, history.earlier)
    ids = {backup["backup_id"] for backup in backups}
    rows = {row.backup["backup_id"]: _backup_row(row, now, links) for row in history.rows}
    asked_for = rows.get(selected)
    trouble = _trouble(row, now, links) if row else None
    return IndexPage(
        name=index_name,
        can_be_backed_up=row is not None,
        status=row["status"] if row else "unsupported" if exists else "deleted",
        verdict=_index_verdict(row, exists=exists, can_be_restored=newest is not None),
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


def _rules_text(rules: IndexRules) -> str:
    records = 1 if rules.min_records is None else rules.min_records
    shrink = "" if rules.max_shrink is None else f", and have lost at most {100 * rules.max_shrink:.4g}% of the records"
    shrink += " of the Ready backup before it" if shrink else ""
    return (
        f"The newest Ready backup of an index must be less than {show_duration(rules.max_age_seconds)} old, have at "
        f"least {counted(records, 'record')}{shrink}."
    )


def _audit_view(audit: AuditReport, names: set[str], now: datetime, max_age: float, links: Links) -> AuditView:
    text = f"{audit.dag_id}.{audit.task_id}"
    url = links.run(audit.dag_id, audit.run_id, audit.task_id, -1) if audit.run_id else links.dag(audit.dag_id)
    age, failure = age_of(audit.made_at, now), audit.failure
    if not failure and not age.is_below(max_age):
        # The audit may not run any more.
        failure = f"It is {_show_age(age)} old. Check that its DAG runs."
    return AuditView(
        task=Link(text, url),
        made_at=_iso_or_none(audit.made_at),
        age=_show_age(age),
        verdict=audit.verdict,
        failure=failure,
        others=tuple(sorted(names - set(audit.rules))) if audit.rules else (),
    )


def _index_row(row: IndexReport, known: Known, backups: Mapping[str, BackupModel], links: Links) -> IndexRow:
    newest = row["newest_ready"]
    broken = row["broken_rules"]

    def cell(rule: str, text: str, allowed: str) -> Cell:
        # Without a backup there is nothing that can break the rule.
        return Cell(text, allowed if rule in broken else "") if newest else Cell("")

    return IndexRow(
        name=row["index_name"],
        url=links.index(row["index_name"]),
        status=row["status"],
        newest_at=newest["created_at"] if newest else None,
        age=cell("max_age", _show_age(Age(row["age"])), f"{show_duration(row['max_age'])} allowed"),
        records=cell("min_records", show_number(newest and newest["record_count"]), f"{row['min_records']:,} required"),
        record_change=cell("max_shrink", _change_text(row), f"{-(row['max_shrink'] or 0.0):.0%} allowed"),
        size=show_size(newest["size_bytes"]) if newest else "",
        backups=row["backup_count"],
        last_restore=_last_restore(row, are_known=known.report["restores_known"]),
        run=_creator(backups[newest["backup_id"]], links) if newest else "",
        newer=tuple(
            (word, backup["status"], _run_link(links, **backup["created_by"]) if backup["created_by"] else None)
            for word, backup in (("running", row["running"]), ("failed", row["failed"]))
            if backup
        ),
        trouble=_trouble(row, known.now, links),
    )


def _change_text(row: IndexReport) -> str:
    if row["previous"] is None:
        return "no earlier one" if row["previous_known"] else UNKNOWN
    return show_change(row["record_change"])


def _last_restore(row: IndexReport, *, are_known: bool) -> Cell:
    restore, max_age = row["last_restore"], row["max_restore_age"]
    if not are_known:
        text = UNKNOWN
    elif restore is None:
        text = _NEVER
    else:
        text = UNKNOWN if restore["age"] is None else f"{show_duration(restore['age'])} ago"
    is_broken = "max_restore_age" in row["broken_rules"] and max_age is not None
    return Cell(text, f"{show_duration(max_age)} allowed" if is_broken and max_age else "")


def _trouble(row: IndexReport, now: datetime, links: Links) -> Trouble | None:
    if not row["problems"]:
        return None
    newest, failed, broken = row["newest_ready"], row["failed"], row["broken_rules"]
    newest_at = parse_time(newest["created_at"]) if newest else None
    failed_at = parse_time(failed["created_at"]) if failed else None
    has_bad_counts = bool({"min_records", "max_shrink"} & set(broken))
    is_late = newest_at and row["age"] is not None and "max_age" in broken
    moments = (
        failed_at,
        newest_at if has_bad_counts else None,
        newest_at + timedelta(seconds=row["max_age"]) if newest_at and is_late else None,
    )
    since = min(filter(None, moments), default=None)
    creator = failed["created_by"] if failed else None
    return Trouble(
        problems=tuple(_sentence(problem["text"]) for problem in row["problems"]),
        since=_iso_or_none(since),
        lasting=_show_age(age_of(since, now)),
        advice=_advice(row),
        failed_run=_run_link(links, **creator) if creator else None,
        restorable=_restorable(row["previous"] if has_bad_counts else newest, now, has_newest=newest is not None),
    )


def _advice(row: IndexReport) -> tuple[str, ...]:
    """Say what to do about the problems of an index."""
    newest, previous, failed, broken = row["newest_ready"], row["previous"], row["failed"], row["broken_rules"]
    sentences = []
    if failed and not failed["created_by"]:
        sentences.append("Check in Pinecone's console why the backup failed: its task is unknown.")
    if newest and previous and {"min_records", "max_shrink"} & set(broken):
        sentences.append(f"Check what removed the records, and keep backup {previous['backup_id']} until then.")
    elif newest and "min_records" in broken:
        sentences.append("Check what removed the records.")
    if row["running"] and "max_age" in broken:
        sentences.append(f"Backup {row['running']['backup_id']} is still running.")
    elif "max_age" in broken and not failed:
        sentences.append("Check that its DAG runs." if newest else "Create a backup with CreateBackupOperator.")
    if "max_restore_age" in broken:
        sentences.append("Restore a backup into a new index to test it.")
    return tuple(sentences)


def _restorable(backup: BackupFacts | None, now: datetime, *, has_newest: bool) -> str:
    if backup is None:
        return f"There is no {'other ' if has_newest else ''}Ready backup of this index to restore."
    records = backup["record_count"]
    counts = "an unknown number of records" if records is None else f"{show_number(records)} records"
    age = age_of(parse_time(backup["created_at"]), now)
    return f"You can still restore backup {backup['backup_id']}: {counts}, {_show_age(age)} old."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


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


def _show_age(age: Age) -> str:
    return UNKNOWN if age.seconds is None else show_duration(age.seconds)


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
        status=backup["status"],
        phase=backup_phase(backup),
        created_at=iso(row.created_at) if row.created_at else None,
        age=_show_age(age_of(row.created_at, now)),
        records=show_number(count_of(backup.get("record_count"))),
        size=show_size(count_of(backup.get("size_bytes"))),
        run=_creator(backup, links),
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


def _creator(backup: BackupModel, links: Links) -> Link | str:
    """Return a link to the task that created a backup, or a text if it was no task, or is unknown."""
    creator = creator_of(backup)
    if creator:
        return _run_link(links, *creator)
    return UNKNOWN if has_mark(backup) else _ELSEWHERE


def _run_link(links: Links, dag_id: str, run_id: str, task_id: str, map_index: int) -> Link:
    mapped = f" [{map_index}]" if map_index >= 0 else ""
    return Link(f"{dag_id}.{task_id}{mapped}", links.run(dag_id, run_id, task_id, map_index))


def _literal(text: str) -> str:
    """Return a text as Python source, in double quotes if it is simple."""
    return f'"{text}"' if re.fullmatch(r"[\w.-]*", text, re.ASCII) else ascii(text)
