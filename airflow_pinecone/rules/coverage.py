"""Which indexes can be restored, and from when: a report about a whole project.

The report has a row for each index, the worst first. Only backups of the current index of a name count: those of a
deleted index, and those of an earlier index with the same name, are listed separately.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Literal

from airflow_pinecone.api.models import (
    BackupModel,
    IndexModel,
    backup_phase,
    count_of,
    created_at,
    is_planned,
    is_pod_based,
    is_ready,
    run_time,
    why_unsupported,
)
from airflow_pinecone.common.durations import validate_optional_duration
from airflow_pinecone.common.text import cell, counted, iso, show_seconds
from airflow_pinecone.errors import BackupCheckFailed
from airflow_pinecone.policy import STATUSES, CheckRules, IndexRules, Policy, matches
from airflow_pinecone.rules.check import backup_baseline, check_backup
from airflow_pinecone.rules.copied import copy_problems, newest_copy
from airflow_pinecone.rules.history import Age, BackupHistory, age_of, index_id_of
from airflow_pinecone.rules.identity import creator_of, has_mark, hold_of
from airflow_pinecone.rules.report import (
    BackupFacts,
    BackupTimes,
    CopySource,
    CreatedBy,
    IndexCopies,
    IndexReport,
    Leftover,
    LeftoverReason,
    Problem,
    Project,
    Report,
    RestoreTests,
    RuleName,
    ScheduleFacts,
    rows_with_problems,
)
from airflow_pinecone.rules.scratch import is_scratch
from airflow_pinecone.rules.tested import (
    Restore,
    completed_restores,
    failed_test_problems,
    last_restore_of,
    restore_problems,
    restore_test_problems,
    tested_by,
)

# What an untested index lacks, without restore tests and with them.
_NO_RECENT = ("had no recent restore", "passed no recent restore test")


def is_selected(name: str, include: Iterable[str], exclude: Iterable[str]) -> bool:
    """Return whether a report has an index of this name."""
    return any(fnmatchcase(name, p) for p in include) and not any(fnmatchcase(name, p) for p in exclude)


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

    names = {index["name"] for index in project.indexes}
    indexes = {index["name"]: index for index in project.indexes if is_selected(index["name"], include, exclude)}
    histories = {
        name: history
        for name, history in histories_of(project).items()
        if name in indexes or is_selected(name, include, exclude)
    }
    # A name without a wildcard requires that the index is judged.
    scratch = {name for name, index in indexes.items() if is_scratch(index) and name not in include}
    restores = None if project.restore_jobs is None else completed_restores(project.restore_jobs, now)
    rows = [
        _row(
            name,
            histories[name],
            restores,
            None if project.restore_tests is None else project.restore_tests.get(name, RestoreTests()),
            None if project.copies is None else project.copies.get(name, IndexCopies()),
            _schedule(project, name),
            policy.rules_of(index),
            now,
            why_unsupported=why_unsupported(index),
        )
        for name, index in indexes.items()
        # A name without a wildcard requires that the index can be backed up.
        if name not in scratch and (not why_unsupported(index) or name in include)
    ]
    rows.sort(key=lambda row: (STATUSES.index(row["status"]), -(row["age"] or 0.0), row["index_name"]))
    leftovers = [
        leftover
        for name, history in sorted(histories.items())
        for leftover in _leftovers(name, history, indexes.get(name))
    ]
    judged = [index for index in project.indexes if not is_scratch(index) or index["name"] in include]
    missing = [p for p in include if p not in names and not set(p) & set("*?[")]
    return Report(
        as_of=iso(now),
        verdict=verdict_of(rows, missing, project.invalid),
        indexes=rows,
        missing=missing,
        unmatched=[key for key in policy.rules if not any(matches(key, index) for index in judged)],
        unsupported={
            name: why
            for name, index in sorted(indexes.items())
            if name not in scratch and (why := why_unsupported(index))
        },
        leftovers=leftovers,
        backup_count=sum(not is_planned(backup, now) for backup in project.backups),
        restores_known=project.restore_jobs is not None,
        schedules_known=project.schedules is not None,
        invalid=list(project.invalid),
        scratch_indexes=sorted(scratch),
    )


def backup_ids_of(project: Project, index_names: Collection[str]) -> dict[str, BackupTimes]:
    """Return the ids of the backups of some indexes, and when each one was created; not those of earlier indexes."""
    histories = histories_of(project)
    return {name: {row.backup["backup_id"]: row.created_at for row in histories[name].current} for name in index_names}


def copy_sources_of(project: Project, index_names: Collection[str]) -> dict[str, CopySource]:
    """Return where the copies of some indexes are."""
    histories, backups = histories_of(project), backup_ids_of(project, index_names)
    return {name: CopySource(histories[name].current_index_id, backups[name]) for name in index_names}


def histories_of(project: Project) -> dict[str, BackupHistory]:
    """Return the history of each name that an index or a backup has; "" is that of backups without a name."""
    names = {index["name"] for index in project.indexes}
    backups: dict[str, list[BackupModel]] = {name: [] for name in names}
    for backup in project.backups:
        backups.setdefault(backup.get("source_index_name") or "", []).append(backup)
    return {name: BackupHistory(of_name, index_exists=name in names) for name, of_name in backups.items()}


def _schedule(project: Project, index_name: str) -> ScheduleFacts | None:
    """Return the enabled backup schedule of an index. Pinecone allows one."""
    schedules = (project.schedules or {}).get(index_name, ())
    for schedule in schedules:
        if schedule["enabled"]:
            return ScheduleFacts(
                schedule_id=schedule["schedule_id"],
                name=schedule["name"],
                frequency=schedule.get("frequency"),
                next_scheduled_run=schedule.get("next_scheduled_run"),
            )
    return None


def _row(
    name: str,
    history: BackupHistory,
    restores: Mapping[str, Restore] | None,
    restore_tests: RestoreTests | None,
    copies: IndexCopies | None,
    schedule: ScheduleFacts | None,
    rules: IndexRules,
    now: datetime,
    *,
    why_unsupported: str,
) -> IndexReport:
    current = [row.backup for row in history.current if not is_planned(row.backup, now)]
    newest = history.newest_ready
    age = history.age(newest, now) if newest else Age(None)
    failed = _newer(_first(history, "failed", now), newest, current)
    running = _newer(_first(history, "running", now), newest, current)
    if running and not history.age(running, now).is_below(rules.max_age_seconds):
        running = None
    last_restore = last_restore_of(current, restores or {}, now)
    tested = tested_by(restore_tests, history, {backup["backup_id"] for backup in current}, now)
    if restore_tests is None:
        untested = restore_problems(last_restore, rules, are_known=restores is not None)
    else:
        untested = restore_test_problems(tested, rules)
    previous, unknown_previous = _previous(history, newest)
    text = f"{why_unsupported}, so Pinecone cannot back it up, and include names it"
    problems = [
        *([Problem(status="unprotected", text=text)] if why_unsupported else []),
        *_age_problems(history, newest, age, rules),
        *_failures(failed, newest, previous, unknown_previous, rules),
        *failed_test_problems(tested),
        *untested,
        *(late_copies := copy_problems(copies, rules, now)),
    ]
    broken: dict[RuleName, bool] = {
        "max_age": not age.is_below(rules.max_age_seconds),
        "max_restore_age": bool(untested),
        "max_copy_age": bool(late_copies),
        "min_records": bool(newest and check_backup(newest, None, CheckRules(rules.min_records))),
        "max_shrink": bool(newest and _shrank(newest, previous, unknown_previous, rules)),
    }
    return IndexReport(
        index_name=name,
        status=min((problem["status"] for problem in problems), key=STATUSES.index, default="ok"),
        problems=problems,
        broken_rules=[rule for rule, is_broken in broken.items() if is_broken],
        max_age=rules.max_age_seconds,
        max_restore_age=validate_optional_duration(rules.max_restore_age, "max_restore_age"),
        min_records=1 if rules.min_records is None else rules.min_records,
        max_shrink=rules.max_shrink,
        age=age.seconds,
        newest_ready=_facts(newest),
        previous=_facts(previous),
        previous_known=not unknown_previous,
        restorable=_facts(_restorable(history, newest, previous, rules)),
        failed=_facts(failed),
        running=_facts(running),
        record_change=_change(newest, previous, "record_count"),
        size_change=_change(newest, previous, "size_bytes"),
        backup_count=len(current),
        held=sum(hold_of(backup, now) is not None for backup in current),
        created_elsewhere=sum(not has_mark(backup) for backup in current),
        scheduled=sum(run_time(backup) is not None for backup in current),
        schedule=schedule,
        is_backed_up_twice=schedule is not None and _has_own_backup(history, rules.max_age_seconds, now),
        last_restore=last_restore,
        restore_tests_known=tested.is_known,
        last_restore_test=tested.last,
        passed_restore_test=tested.passed,
        failed_restore_test=tested.failed,
        max_copy_age=validate_optional_duration(rules.max_copy_age, "max_copy_age"),
        copies_known=None if copies is None else not copies.why_unknown,
        newest_copy=newest_copy(copies, now),
    )


def _has_own_backup(history: BackupHistory, max_age: float, now: datetime) -> bool:
    """Return whether this package created a backup of the current index within a time."""
    return any(has_mark(row.backup) and age_of(row.created_at, now).is_below(max_age) for row in history.current)


def _previous(history: BackupHistory, newest: BackupModel | None) -> tuple[BackupModel | None, str]:
    """Return the backup before the newest one, or why it is unknown."""
    try:
        return (history.previous(newest), "") if newest else (None, "")
    except BackupCheckFailed as error:
        return None, str(error)


def _restorable(
    history: BackupHistory, newest: BackupModel | None, previous: BackupModel | None, rules: IndexRules
) -> BackupModel | None:
    """Return the newest Ready backup that has not lost its records, as far as their number is known."""
    if newest is None or count_of(newest.get("record_count")) is None:
        return newest
    baseline = backup_baseline(previous) if previous and count_of(previous.get("record_count")) is not None else None
    if not check_backup(newest, baseline, rules.check_rules):
        return newest
    return history.restorable(1 if rules.min_records is None else rules.min_records, before=newest)


def _shrank(newest: BackupModel, previous: BackupModel | None, unknown_previous: str, rules: IndexRules) -> bool:
    """Return whether a backup breaks ``max_shrink``, or whether that is unknown."""
    if rules.max_shrink is None or not (previous or unknown_previous):
        return False
    baseline = backup_baseline(previous) if previous else None
    return bool(unknown_previous or check_backup(newest, baseline, CheckRules(0, rules.max_shrink)))


def _age_problems(history: BackupHistory, newest: BackupModel | None, age: Age, rules: IndexRules) -> list[Problem]:
    if newest is None:
        return [Problem(status="unprotected", text=f"it has {history.no_ready_backup}")]
    max_age = rules.max_age_seconds
    if age.is_below(max_age):
        return []
    if age.seconds is None:
        text = f"its newest Ready backup was created at {_created(newest)}, in the future: check the clock"
    else:
        text = f"its newest Ready backup is {show_seconds(age.seconds)} old, and max_age is {show_seconds(max_age)}"
    return [Problem(status="late", text=text)]


def _failures(
    failed: BackupModel | None,
    newest: BackupModel | None,
    previous: BackupModel | None,
    unknown_previous: str,
    rules: IndexRules,
) -> list[Problem]:
    texts = []
    if failed:
        texts.append(f"backup {failed['backup_id']} of {_created(failed)} failed ({cell(failed['status'])})")
    if newest:
        baseline = backup_baseline(previous) if previous else None
        findings = check_backup(newest, baseline, rules.check_rules)
        texts += [f"backup {newest['backup_id']} does not pass: {finding}" for finding in findings]
    if unknown_previous and rules.max_shrink is not None:
        texts.append(unknown_previous[:1].lower() + unknown_previous[1:].rstrip("."))
    return [Problem(status="failing", text=text) for text in texts]


def _leftovers(name: str, history: BackupHistory, index: IndexModel | None) -> list[Leftover]:
    # An index that Pinecone cannot back up has no backups, so all of them belong to earlier indexes.
    has_no_backups = index is None or bool(why_unsupported(index))
    by_index: dict[str | None, list[BackupModel]] = {}
    for row in history.rows if has_no_backups else history.earlier:
        by_index.setdefault(index_id_of(row.backup), []).append(row.backup)
    leftovers = []
    for index_id, backups in sorted(by_index.items(), key=lambda item: item[0] or ""):
        leftovers.append(
            Leftover(
                index_name=name,
                source_index_id=index_id,
                reason=_leftover_reason(name, history, index, index_id),
                backup_count=len(backups),
                ready_count=sum(map(is_ready, backups)),
                newest_created_at=_created(backups[0]),
                size_bytes=_sum_of(count_of(backup.get("size_bytes")) for backup in backups),
            )
        )
    return leftovers


def _sum_of(counts: Iterable[int | None]) -> int | None:
    """Return the sum of counts; None if one is unknown."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _leftover_reason(
    name: str, history: BackupHistory, index: IndexModel | None, index_id: str | None
) -> LeftoverReason:
    if index is None:
        return "deleted index" if name else "unknown index"
    is_known = is_pod_based(index) or (history.current_index_id is not None and not why_unsupported(index))
    return "earlier index of this name" if index_id and is_known else "unknown index"


def verdict_of(rows: Sequence[IndexReport], missing: Sequence[str], invalid: Sequence[str]) -> str:
    """Return what a report says first: what is wrong, if anything is.

    Args:
        rows: The rows of the report.
        missing: The names of required indexes that do not exist.
        invalid: Which indexes were left out.
    """
    do = "does" if len(missing) == 1 else "do"
    incomplete = [
        f"{counted(len(missing), 'required index')} {do} not exist." if missing else "",
        "Some indexes have no valid name and are left out." if invalid else "",
    ]
    if not rows:
        return " ".join(filter(None, [*incomplete, "There are no indexes that can be backed up."]))
    not_fresh = sum(row["status"] == "unprotected" or "max_age" in row["broken_rules"] for row in rows)
    not_copied = sum("max_copy_age" in row["broken_rules"] for row in rows)
    failed_tests = sum(row["failed_restore_test"] is not None for row in rows)
    # The failed restore test is one of the problems of its row.
    failing = sum(
        sum(problem["status"] == "failing" for problem in row["problems"]) > (row["failed_restore_test"] is not None)
        for row in rows
    )
    untested = len(rows_with_problems(rows, ["untested"]))
    tests_are_read = any(row["restore_tests_known"] is not None for row in rows)
    has = "has" if not_fresh == 1 else "have"
    problems = [
        *incomplete,
        f"{not_fresh} of {counted(len(rows), 'index')} {has} no fresh Ready backup." if not_fresh else "",
        f"The newest backup of {counted(failing, 'index')} failed or did not pass the check." if failing else "",
        f"A restore test of {counted(failed_tests, 'index')} failed." if failed_tests else "",
        f"{counted(untested, 'index')} {_NO_RECENT[tests_are_read]}." if untested else "",
        f"{counted(not_copied, 'index')} had no recent copy outside of Pinecone." if not_copied else "",
    ]
    if any(problems):
        return " ".join(filter(None, problems))
    all_have = "The index has" if len(rows) == 1 else f"All {len(rows)} indexes have"
    return f"{all_have} a fresh Ready backup."


def _first(history: BackupHistory, phase: str, now: datetime) -> BackupModel | None:
    """Return the newest backup of the current index in a phase. One that a schedule has only planned is in none."""
    for created, backup in history.current:
        if created and backup_phase(backup) == phase and not is_planned(backup, now):
            return backup
    return None


def _newer(backup: BackupModel | None, newest: BackupModel | None, current: list[BackupModel]) -> BackupModel | None:
    """Return a backup if there is no Ready one, or if it is newer than the newest Ready one."""
    return None if backup and newest and current.index(backup) > current.index(newest) else backup


def _facts(backup: BackupModel | None) -> BackupFacts | None:
    if backup is None:
        return None
    return BackupFacts(
        backup_id=backup["backup_id"],
        status=backup["status"],
        created_at=_created(backup) or "",
        record_count=count_of(backup.get("record_count")),
        size_bytes=count_of(backup.get("size_bytes")),
        created_by=_created_by(backup),
    )


def _created_by(backup: BackupModel) -> CreatedBy | None:
    creator = creator_of(backup)
    if creator is None:
        return None
    return CreatedBy(dag_id=creator.dag_id, run_id=creator.run_id, task_id=creator.task_id, map_index=creator.map_index)


def _change(
    newest: BackupModel | None, previous: BackupModel | None, field: Literal["record_count", "size_bytes"]
) -> float | None:
    after = count_of(newest.get(field)) if newest else None
    before = count_of(previous.get(field)) if previous else None
    return None if after is None or not before else (after - before) / before


def _created(backup: BackupModel) -> str | None:
    moment = created_at(backup)
    return iso(moment) if moment else None
