"""The overview of a project, and how the page judges it: pure functions. They do no I/O and read no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from airflow_pinecone.api.models import BackupModel
from airflow_pinecone.common.text import counted
from airflow_pinecone.policy import IndexRules, Policy
from airflow_pinecone.rules import coverage
from airflow_pinecone.rules.copied import damaged_copies, unknown_copies
from airflow_pinecone.rules.history import Age, age_of
from airflow_pinecone.rules.report import IndexReport, Leftover, Report
from airflow_pinecone.rules.tested import unknown_tests
from airflow_pinecone.ui.audit import AuditReport
from airflow_pinecone.ui.copies import copy_state
from airflow_pinecone.ui.formats import (
    UNKNOWN,
    iso_or_none,
    show_age,
    show_change,
    show_duration,
    show_number,
    show_size,
)
from airflow_pinecone.ui.links import Link, Links, creator_link
from airflow_pinecone.ui.reading import Copy
from airflow_pinecone.ui.restore_tests import restore_test_state
from airflow_pinecone.ui.trouble import Trouble, trouble_of

# Seconds after which a copy of the project is old: what it says may no longer be so.
OLD_COPY = 300.0
_NEVER = "never"
# The page shows so many reasons why restore tests are unknown, and why copies are.
_UNKNOWN_FACTS = 3


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
    newest_copy: Cell
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
    shows_tests: bool
    unknown_tests: tuple[str, ...]
    shows_copies: bool
    unknown_copies: tuple[str, ...]
    damaged_copies: tuple[str, ...]
    unsupported: tuple[tuple[str, str], ...]
    scratch_indexes: tuple[str, ...]
    leftovers: tuple[tuple[str, str, str], ...]
    backup_count: int


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
    tests, copies = known.copy.project.restore_tests, known.copy.project.copies
    of_report = {name: found for name, found in (copies or {}).items() if name in names}
    missing = tuple(name for name in audit.missing if name not in names) if audit else ()
    return Overview(
        verdict=coverage.verdict_of(report["indexes"], missing, report["invalid"]),
        rules=_rules_text(rules),
        audit=_audit_view(audit, names, known.now, rules.max_age_seconds, links) if audit else None,
        missing=missing,
        invalid=tuple(report["invalid"]),
        rows=tuple(_index_row(row, known, backups, links) for row in report["indexes"]),
        shows_tests=tests is not None,
        unknown_tests=_at_most(unknown_tests(tests or {}), _UNKNOWN_FACTS),
        shows_copies=copies is not None,
        unknown_copies=_at_most(unknown_copies(of_report), _UNKNOWN_FACTS),
        damaged_copies=_at_most(damaged_copies(of_report), _UNKNOWN_FACTS),
        unsupported=tuple(report["unsupported"].items()),
        scratch_indexes=tuple(report["scratch_indexes"]),
        leftovers=tuple(
            (leftover["index_name"] or "(no name)", links.index(leftover["index_name"]), _leftover_text(leftover))
            for leftover in report["leftovers"]
        ),
        backup_count=report["backup_count"],
    )


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
        failure = f"It is {show_age(age)} old. Check that its DAG runs."
    return AuditView(
        task=Link(text, url),
        made_at=iso_or_none(audit.made_at),
        age=show_age(age),
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
        age=cell("max_age", show_age(Age(row["age"])), f"{show_duration(row['max_age'])} allowed"),
        records=cell("min_records", show_number(newest and newest["record_count"]), f"{row['min_records']:,} required"),
        record_change=cell("max_shrink", _change_text(row), f"{-(row['max_shrink'] or 0.0):.0%} allowed"),
        size=show_size(newest["size_bytes"]) if newest else "",
        backups=row["backup_count"],
        last_restore=_last_restore(row, are_known=known.report["restores_known"]),
        newest_copy=_newest_copy(row),
        run=creator_link(backups[newest["backup_id"]], links) if newest else "",
        newer=tuple(
            (word, backup["status"], links.run_link(**backup["created_by"]) if backup["created_by"] else None)
            for word, backup in (("running", row["running"]), ("failed", row["failed"]))
            if backup
        ),
        trouble=trouble_of(row, known.now, links),
    )


def _change_text(row: IndexReport) -> str:
    if row["previous"] is None:
        return "no earlier one" if row["previous_known"] else UNKNOWN
    return show_change(row["record_change"])


def _last_restore(row: IndexReport, *, are_known: bool) -> Cell:
    restore, max_age = row["last_restore"], row["max_restore_age"]
    if row["restore_tests_known"] is not None:
        text = restore_test_state(row)
    elif not are_known:
        text = UNKNOWN
    elif restore is None:
        text = _NEVER
    else:
        text = UNKNOWN if restore["age"] is None else f"{show_duration(restore['age'])} ago"
    is_broken = "max_restore_age" in row["broken_rules"] and max_age is not None
    return Cell(text, f"{show_duration(max_age)} allowed" if is_broken and max_age else "")


def _newest_copy(row: IndexReport) -> Cell:
    max_age = row["max_copy_age"] if "max_copy_age" in row["broken_rules"] else None
    return Cell(copy_state(row), f"{show_duration(max_age)} allowed" if max_age is not None else "")


def _at_most(sentences: list[str], number: int) -> tuple[str, ...]:
    more = len(sentences) - number
    return (*sentences[:number], *([f"There are {more} more of these warnings."] if more > 0 else []))


def _leftover_text(leftover: Leftover) -> str:
    newest = leftover["newest_created_at"]
    until = f", the newest from {newest[:10]}" if newest else ""
    return (
        f"{counted(leftover['backup_count'], 'backup')} of the {leftover['reason']}: {leftover['ready_count']} Ready, "
        f"{show_size(leftover['size_bytes'])}{until}."
    )
