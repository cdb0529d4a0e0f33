"""What is wrong with an index, since when, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_pinecone.api.models import parse_time
from airflow_pinecone.rules.history import age_of
from airflow_pinecone.rules.report import IndexReport
from airflow_pinecone.ui.formats import iso_or_none, show_age, show_number
from airflow_pinecone.ui.links import Link, Links


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


def trouble_of(row: IndexReport, now: datetime, links: Links) -> Trouble | None:
    """Describe what is wrong with an index; None if nothing is."""
    if not row["problems"]:
        return None
    newest, failed, broken = row["newest_ready"], row["failed"], row["broken_rules"]
    failed_test = row["failed_restore_test"]
    newest_at = parse_time(newest["created_at"]) if newest else None
    failed_at = parse_time(failed["created_at"]) if failed else None
    copy, max_copy_age = row["newest_copy"], row["max_copy_age"]
    copied_at = parse_time(copy["created_at"]) if copy and row["copies_known"] and "max_copy_age" in broken else None
    has_bad_counts = bool({"min_records", "max_shrink"} & set(broken))
    is_late = newest_at and row["age"] is not None and "max_age" in broken
    moments = (
        failed_at,
        newest_at if has_bad_counts else None,
        newest_at + timedelta(seconds=row["max_age"]) if newest_at and is_late else None,
        parse_time(failed_test["ended_at"]) if failed_test else None,
        copied_at + timedelta(seconds=max_copy_age) if copied_at and max_copy_age is not None else None,
    )
    since = min(filter(None, moments), default=None)
    creator = failed["created_by"] if failed else None
    return Trouble(
        problems=tuple(_sentence(problem["text"]) for problem in row["problems"]),
        since=iso_or_none(since),
        lasting=show_age(age_of(since, now)),
        advice=_advice(row),
        failed_run=links.run_link(**creator) if creator else None,
        restorable=_restorable(row, now),
    )


def _advice(row: IndexReport) -> tuple[str, ...]:
    """Say what to do about the problems of an index."""
    newest, restorable, failed, broken = row["newest_ready"], row["restorable"], row["failed"], row["broken_rules"]
    sentences = []
    if failed and not failed["created_by"]:
        sentences.append("Check in Pinecone's console why the backup failed: its task is unknown.")
    if newest and restorable is None:
        sentences.append("Check what removed the records.")
    elif newest and restorable and restorable["backup_id"] != newest["backup_id"]:
        sentences.append(f"Check what removed the records, and keep backup {restorable['backup_id']} until then.")
    if row["running"] and "max_age" in broken:
        sentences.append(f"Backup {row['running']['backup_id']} is still running.")
    elif "max_age" in broken and not failed:
        sentences.append("Check that its DAG runs." if newest else "Create a backup with CreateBackupOperator.")
    if row["failed_restore_test"]:
        sentences.append("Create a new backup, keep the earlier ones, and test the new one.")
    if "max_restore_age" in broken:
        has_tests = row["restore_tests_known"] is not None
        sentences.append("Run a restore test." if has_tests else "Restore a backup into a new index to test it.")
    if "max_copy_age" in broken and row["copies_known"]:
        sentences.append("Check that its copies run." if row["newest_copy"] else "Copy a backup with export_backup.")
    return tuple(sentences)


def _restorable(row: IndexReport, now: datetime) -> str:
    backup = row["restorable"]
    if backup is None:
        enough = " with enough records" if row["newest_ready"] else ""
        return f"There is no Ready backup of this index{enough} to restore."
    records = backup["record_count"]
    counts = "an unknown number of records" if records is None else f"{show_number(records)} records"
    age = age_of(parse_time(backup["created_at"]), now)
    text = f"You can still restore backup {backup['backup_id']}: {counts}, {show_age(age)} old."
    failed, passed = row["failed_restore_test"], row["passed_restore_test"]
    if failed and failed["backup_id"] == backup["backup_id"]:
        text += " Its restore test failed."
    if failed and passed:
        text += f" Backup {passed['backup_id']} has passed a restore test."
    return text


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
