"""Which indexes can be restored, and from when: a report that does no I/O and reads no clock.

The report has a row for each index, the worst first. Only backups of the current index of a name count: those of a
deleted index, and those of an earlier index with the same name, are listed apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, TypedDict

from airflow_pinecone.api.models import (
    BackupModel,
    IndexModel,
    RestoreJobModel,
    backup_phase,
    completed_at,
    is_completed,
    is_ready,
)
from airflow_pinecone.common.inputs import validate_duration
from airflow_pinecone.common.text import cell
from airflow_pinecone.policy import STATUSES, CheckRules, IndexRules, Policy, Status
from airflow_pinecone.rules import check
from airflow_pinecone.rules.check import count_of
from airflow_pinecone.rules.history import Dated, current_index_id, newest_first
from airflow_pinecone.rules.identity import creator_of, has_mark, hold_of

# How far the clocks of Pinecone and of the worker may differ.
_CLOCK_SKEW = timedelta(hours=1)

LeftoverReason = Literal["deleted index", "earlier index of this name", "unknown index"]


class Project(NamedTuple):
    """What Pinecone lists of a project.

    Attributes:
        indexes: The indexes.
        backups: The backups, without duplicates, in any order.
        restore_jobs: The restore jobs.
    """

    indexes: Sequence[IndexModel]
    backups: Sequence[BackupModel]
    restore_jobs: Sequence[RestoreJobModel]


class CreatedBy(TypedDict):
    """The task that created a backup; ``map_index`` is -1 if it is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


class BackupFacts(TypedDict):
    """A backup in the report."""

    backup_id: str
    status: str
    created_at: str
    record_count: int | None
    size_bytes: int | None
    created_by: CreatedBy | None


class RestoreFacts(TypedDict):
    """A Completed restore in the report. ``age`` is in seconds."""

    restore_job_id: str
    backup_id: str
    completed_at: str
    age: float


class Problem(TypedDict):
    """Why an index does not have the status ok."""

    status: Status
    text: str


class IndexReport(TypedDict):
    """The row of an index. Ages are in seconds; a backup from the future has none.

    ``status`` is the worst of the problems. ``failed`` is the newest failed backup if it is newer than the newest Ready
    one; ``running`` is the newest one whose status is not final. ``record_change`` and ``size_change`` are shares of
    the previous Ready backup: -0.2 means that 20 % are missing. ``created_elsewhere`` counts the backups that this
    package did not create, such as those of Pinecone's backup schedules.
    """

    index_name: str
    status: Status
    problems: list[Problem]
    max_age: float
    age: float | None
    newest_ready: BackupFacts | None
    failed: BackupFacts | None
    running: BackupFacts | None
    record_change: float | None
    size_change: float | None
    backup_count: int
    held: int
    created_elsewhere: int
    last_restore: RestoreFacts | None


class Leftover(TypedDict):
    """Backups that do not belong to an existing index. ``reason`` says to which index they belong."""

    index_name: str
    source_index_id: str | None
    reason: LeftoverReason
    backup_count: int
    ready_count: int
    newest_created_at: str | None
    size_bytes: int


class Report(TypedDict):
    """The report, as JSON types.

    ``unsupported`` has the names of pod-based indexes, which Pinecone cannot back up. ``backup_count`` is the number of
    all backups of the project, for which Pinecone has a quota.
    """

    as_of: str
    verdict: str
    indexes: list[IndexReport]
    unsupported: list[str]
    leftovers: list[Leftover]
    backup_count: int


def report(
    project: Project, policy: Policy, *, now: datetime, include: Iterable[str] = ("*",), exclude: Iterable[str] = ()
) -> Report:
    """Report which indexes have a fresh backup.

    Args:
        project: What Pinecone lists.
        policy: Which rules apply to which index.
        now: The time of the report, with a time zone.
        include: Patterns for the names of the indexes to report.
        exclude: Patterns for names to leave out.

    Returns:
        The report. It does not depend on the order of the lists.
    """
    include, exclude = tuple(include), tuple(exclude)

    def is_selected(name: str) -> bool:
        return any(fnmatchcase(name, p) for p in include) and not any(fnmatchcase(name, p) for p in exclude)

    backups_of: dict[str, list[BackupModel]] = {}
    for backup in project.backups:
        backups_of.setdefault(backup.get("source_index_name") or "", []).append(backup)
    indexes = {index["name"]: index for index in project.indexes if is_selected(index["name"])}
    supported = [index for index in indexes.values() if not _is_pod_based(index)]
    rows = [
        _row(index["name"], backups_of.get(index["name"], []), project.restore_jobs, policy.rules_of(index), now)
        for index in supported
    ]
    rows.sort(key=lambda row: (STATUSES.index(row["status"]), -(row["age"] or 0.0), row["index_name"]))
    leftovers = [
        leftover
        for name, backups in sorted(backups_of.items())
        if is_selected(name)
        for leftover in _leftovers(name, backups, indexes.get(name))
    ]
    return Report(
        as_of=_iso(now),
        verdict=_verdict(rows),
        indexes=rows,
        unsupported=sorted(index["name"] for index in indexes.values() if _is_pod_based(index)),
        leftovers=leftovers,
        backup_count=len(project.backups),
    )


def missing_indexes(project: Project, include: Iterable[str]) -> list[str]:
    """Return the indexes that a user has named, and that do not exist.

    Args:
        project: What Pinecone lists.
        include: Patterns for the names of indexes.

    Returns:
        The patterns that have no wildcard and match no index.
    """
    names = {index["name"] for index in project.indexes}
    return [pattern for pattern in include if pattern not in names and not set(pattern) & set("*?[")]


def rows_with_problems(report: Report, statuses: Iterable[str]) -> list[IndexReport]:
    """Return the rows that have one of some statuses.

    Args:
        report: The report.
        statuses: The statuses. An index can have several of them, and its row shows the worst.

    Returns:
        The rows, the worst first.
    """
    wanted = set(statuses)
    return [row for row in report["indexes"] if any(problem["status"] in wanted for problem in row["problems"])]


def show_seconds(seconds: float) -> str:
    """Format a duration.

    Args:
        seconds: Seconds.

    Returns:
        Such as ``1 day, 3:00:00``, without fractions of a second.
    """
    return str(timedelta(seconds=round(seconds)))


def _row(
    name: str, backups: list[BackupModel], restore_jobs: Iterable[RestoreJobModel], rules: IndexRules, now: datetime
) -> IndexReport:
    index_id = current_index_id(backups)
    current = [row for row in newest_first(backups) if index_id and row.backup.get("source_index_id") == index_id]
    ready = [row for row in current if row.created_at and is_ready(row.backup)]
    newest = ready[0] if ready else None
    previous = ready[1] if len(ready) > 1 else None
    failed = _first(current, "failed")
    if failed and newest and current.index(failed) > current.index(newest):
        failed = None
    is_in_future = newest is not None and newest.created_at is not None and newest.created_at > now + _CLOCK_SKEW
    age = _age(newest.created_at, now) if newest and not is_in_future else None
    last_restore = _last_restore([row.backup["backup_id"] for row in current], restore_jobs, now)
    problems = [
        *_age_problems(newest, age, rules),
        *_failures(failed, newest, previous, rules),
        *_restore_problems(last_restore, rules),
    ]
    return IndexReport(
        index_name=name,
        status=min((problem["status"] for problem in problems), key=STATUSES.index, default="ok"),
        problems=problems,
        max_age=validate_duration(rules.max_age, "max_age"),
        age=age,
        newest_ready=_facts(newest),
        failed=_facts(failed),
        running=_facts(_first(current, "running")),
        record_change=_change(newest, previous, "record_count"),
        size_change=_change(newest, previous, "size_bytes"),
        backup_count=len(current),
        held=sum(hold_of(row.backup, now) is not None for row in current),
        created_elsewhere=sum(not has_mark(row.backup) for row in current),
        last_restore=last_restore,
    )


def _age_problems(newest: Dated | None, age: float | None, rules: IndexRules) -> list[Problem]:
    if newest is None or newest.created_at is None:
        return [Problem(status="unprotected", text="it has no Ready backup")]
    if age is None:
        text = f"its newest Ready backup was created at {_iso(newest.created_at)}, in the future: check the clock"
        return [Problem(status="late", text=text)]
    max_age = validate_duration(rules.max_age, "max_age")
    if age < max_age:
        return []
    text = f"its newest Ready backup is {show_seconds(age)} old, and max_age is {show_seconds(max_age)}"
    return [Problem(status="late", text=text)]


def _failures(failed: Dated | None, newest: Dated | None, previous: Dated | None, rules: IndexRules) -> list[Problem]:
    texts = []
    if failed and failed.created_at:
        backup = failed.backup
        texts.append(f"backup {backup['backup_id']} of {_iso(failed.created_at)} failed ({cell(backup['status'])})")
    if newest:
        baseline = check.backup_baseline(previous.backup) if previous else None
        # Without min_records, an empty backup passes.
        checked = CheckRules(rules.min_records or 0, rules.max_shrink)
        findings = check.check_backup(newest.backup, baseline, checked)
        texts += [f"backup {newest.backup['backup_id']} does not pass: {finding}" for finding in findings]
    return [Problem(status="failing", text=text) for text in texts]


def _restore_problems(last: RestoreFacts | None, rules: IndexRules) -> list[Problem]:
    if rules.max_restore_age is None:
        return []
    max_age = validate_duration(rules.max_restore_age, "max_restore_age")
    allowed = f"max_restore_age is {show_seconds(max_age)}"
    if last is None:
        return [Problem(status="untested", text=f"none of its backups was restored, and {allowed}")]
    if last["age"] < max_age:
        return []
    text = f"its last restore was {show_seconds(last['age'])} ago, and {allowed}"
    return [Problem(status="untested", text=text)]


def _last_restore(
    backup_ids: Iterable[str], restore_jobs: Iterable[RestoreJobModel], now: datetime
) -> RestoreFacts | None:
    ids = set(backup_ids)
    completed = [
        (moment, job["restore_job_id"], job["backup_id"])
        for job in restore_jobs
        if job["backup_id"] in ids and is_completed(job) and (moment := completed_at(job))
    ]
    if not completed:
        return None
    moment, job_id, backup_id = max(completed)
    return RestoreFacts(restore_job_id=job_id, backup_id=backup_id, completed_at=_iso(moment), age=_age(moment, now))


def _leftovers(name: str, backups: list[BackupModel], index: IndexModel | None) -> list[Leftover]:
    # A pod-based index has no backups, so all of them belong to earlier indexes.
    is_pod_based = index is not None and _is_pod_based(index)
    current = current_index_id(backups) if index is not None and not is_pod_based else None
    by_index: dict[str | None, list[BackupModel]] = {}
    for backup in backups:
        index_id = backup.get("source_index_id") or None
        if index_id is None or index_id != current:
            by_index.setdefault(index_id, []).append(backup)
    leftovers = []
    for index_id, of_index in sorted(by_index.items(), key=lambda item: item[0] or ""):
        if index is None and name:
            reason: LeftoverReason = "deleted index"
        else:
            reason = "earlier index of this name" if index_id and (current or is_pod_based) else "unknown index"
        newest = newest_first(of_index)[0].created_at
        leftovers.append(
            Leftover(
                index_name=name,
                source_index_id=index_id,
                reason=reason,
                backup_count=len(of_index),
                ready_count=sum(map(is_ready, of_index)),
                newest_created_at=_iso(newest) if newest else None,
                size_bytes=sum(count_of(backup.get("size_bytes")) or 0 for backup in of_index),
            )
        )
    return leftovers


def _verdict(rows: list[IndexReport]) -> str:
    if not rows:
        return "There are no indexes that can be backed up."
    not_fresh = sum(row["status"] in ("unprotected", "late") for row in rows)
    if not_fresh:
        has = "has" if not_fresh == 1 else "have"
        first = f"{not_fresh} of {count(len(rows), 'index')} {has} no fresh Ready backup."
    elif len(rows) == 1:
        first = "The index has a fresh Ready backup."
    else:
        first = f"All {len(rows)} indexes have a fresh Ready backup."
    failing = _count_problems(rows, "failing")
    untested = _count_problems(rows, "untested")
    others = [
        f" The newest backup of {count(failing, 'index')} failed or has too few records." if failing else "",
        f" {count(untested, 'index')} had no recent restore." if untested else "",
    ]
    return first + "".join(others)


def _count_problems(rows: list[IndexReport], status: Status) -> int:
    return sum(any(problem["status"] == status for problem in row["problems"]) for row in rows)


def count(number: int, noun: str) -> str:
    """Format a number of things.

    Args:
        number: The number.
        noun: The noun, in the singular.

    Returns:
        Such as ``1 index`` or ``2 indexes``.
    """
    plural = f"{noun}es" if noun.endswith("x") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _first(rows: list[Dated], phase: str) -> Dated | None:
    return next((row for row in rows if row.created_at and backup_phase(row.backup["status"]) == phase), None)


def _facts(row: Dated | None) -> BackupFacts | None:
    if row is None or row.created_at is None:
        return None
    return BackupFacts(
        backup_id=row.backup["backup_id"],
        status=row.backup["status"],
        created_at=_iso(row.created_at),
        record_count=count_of(row.backup.get("record_count")),
        size_bytes=count_of(row.backup.get("size_bytes")),
        created_by=_created_by(row.backup),
    )


def _created_by(backup: BackupModel) -> CreatedBy | None:
    creator = creator_of(backup)
    if creator is None:
        return None
    return CreatedBy(dag_id=creator.dag_id, run_id=creator.run_id, task_id=creator.task_id, map_index=creator.map_index)


def _change(newest: Dated | None, previous: Dated | None, field: Literal["record_count", "size_bytes"]) -> float | None:
    after = count_of(newest.backup.get(field)) if newest else None
    before = count_of(previous.backup.get(field)) if previous else None
    return None if after is None or not before else (after - before) / before


def _age(moment: datetime | None, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _is_pod_based(index: IndexModel) -> bool:
    spec: Any = index.get("spec")
    return isinstance(spec, dict) and isinstance(spec.get("pod"), dict)
