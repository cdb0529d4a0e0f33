"""Which backups were restored, and which have passed a restore test."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, get_args

from airflow_pinecone.api.models import (
    BackupModel,
    RestoreJobModel,
    completed_at,
    is_completed,
    parse_time,
)
from airflow_pinecone.common.durations import validate_duration
from airflow_pinecone.common.inputs import is_id
from airflow_pinecone.common.text import iso, one_line, show_seconds, show_value
from airflow_pinecone.policy import IndexRules
from airflow_pinecone.rules.history import CLOCK_SKEW, BackupHistory, age_of
from airflow_pinecone.rules.report import (
    BackupTimes,
    Problem,
    RestoreFacts,
    RestoreTest,
    RestoreTestFacts,
    RestoreTests,
    TestVerdict,
    unknown_facts,
)
from airflow_pinecone.rules.restore_test import FORMAT


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


def parse_record(content: bytes, index_name: str, path: str) -> RestoreTest:
    """Read the record of a restore test of an index.

    Args:
        content: The content of the file.
        index_name: The index that the test must be of.
        path: The path of the record.

    Raises:
        ValueError: It is no such record. The text says why, as a clause.
    """
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not valid JSON, or not complete") from error
    if not isinstance(record, dict) or "format" not in record:
        raise ValueError("it is not the record of a restore test")
    if record["format"] != FORMAT:
        raise ValueError(f"its format is {one_line(record['format'])}, and this version only reads {FORMAT}")
    if record.get("index_name") != index_name:
        raise ValueError(f"it is about another index, {show_value(record.get('index_name'))}")
    try:
        return _parse(record, path)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it is not the record of a restore test") from error


def _parse(record: Mapping[str, Any], path: str) -> RestoreTest:
    verdict, ended_at, backup, records = (
        record["verdict"],
        parse_time(record["ended_at"]),
        record["backup"],
        record["read"]["records"],
    )
    failing = [one_line(finding["text"]) for finding in record["findings"] if finding["fails"]]
    tasks = [one_line(task) for task in record["incomplete"]]
    is_valid = (
        verdict in get_args(TestVerdict)
        and ended_at is not None
        and is_id(backup["backup_id"])
        and type(records) is int
        and type(record["sampled"]) is bool
        # A record that contradicts itself does not count.
        and (verdict != "passed" or not (failing or tasks))
    )
    if not is_valid or ended_at is None:
        raise ValueError("it is not the record of a restore test")
    return RestoreTest(
        backup_id=backup["backup_id"],
        backup_created_at=parse_time(backup.get("created_at")),
        source_index_id=backup.get("source_index_id"),
        ended_at=ended_at,
        verdict=verdict,
        records=records,
        sampled=record["sampled"],
        findings=(*failing, *(f"The task {task} has no result." for task in tasks)),
        path=path,
    )


class Tested(NamedTuple):
    """What the restore tests of an index say; see IndexReport.

    Attributes:
        is_known: None if restore tests were not read.
        why_unknown: Why the newest ones are unknown; empty if they are known.
        last: The newest test.
        passed: The newest passed test of an existing backup.
        failed: The newest failed test of an existing backup that no later one clears.
    """

    is_known: bool | None = None
    why_unknown: str = ""
    last: RestoreTestFacts | None = None
    passed: RestoreTestFacts | None = None
    failed: RestoreTestFacts | None = None


def tested_by(found: RestoreTests | None, history: BackupHistory, backup_ids: Collection[str], now: datetime) -> Tested:
    """Judge the restore tests of an index. Those of an earlier index with its name do not count.

    Args:
        found: The tests; None if they were not read.
        history: The backups of the index name.
        backup_ids: The ids of the backups of the current index.
        now: The time of the report.
    """
    if found is None:
        return Tested()
    current = history.current_index_id
    tests = [test for test in found.tests if not current or test.source_index_id in (None, current)]
    passed = [test for test in tests if test.verdict == "passed" and test.backup_id in backup_ids]
    # One that is dated in the future only counts if there is no other.
    past = [test for test in passed if not age_of(test.ended_at, now).in_future]
    return Tested(
        is_known=not found.why_unknown,
        why_unknown=found.why_unknown,
        last=_facts(next(iter(tests), None), now),
        passed=_facts(next(iter(past or passed), None), now),
        failed=_facts(next(iter(failed_tests(tests, backup_ids, now)), None), now),
    )


def failed_tests(tests: Sequence[RestoreTest], backup_ids: Collection[str], now: datetime) -> list[RestoreTest]:
    """Return the failed tests of existing backups that no later test clears.

    Args:
        tests: The tests of an index.
        backup_ids: The ids of its backups.
        now: The current time.
    """
    return [
        test
        for test in tests
        if test.verdict == "failed"
        and test.backup_id in backup_ids
        and not any(
            later.ended_at > test.ended_at and clears(later, test.backup_id, test.backup_created_at, now)
            for later in tests
        )
    ]


def clears(test: RestoreTest, backup_id: str, created_at: datetime | None, now: datetime) -> bool:
    """Return whether a test clears the earlier failed tests of a backup.

    It does if it has read all records and passed, and its backup is the same or a newer one.

    Args:
        test: The test.
        backup_id: The id of the backup of the failed tests.
        created_at: When this backup was created; None if that is unknown.
        now: The current time. A test that is dated in the future clears nothing.
    """
    if test.verdict != "passed" or test.sampled or age_of(test.ended_at, now).in_future:
        return False
    if test.backup_id == backup_id:
        return True
    return test.backup_created_at is not None and created_at is not None and test.backup_created_at > created_at


def is_decisive(test: RestoreTest, backups: BackupTimes, now: datetime) -> bool:
    """Return whether the earlier tests of an index cannot change its status: this one clears all of them.

    Args:
        test: The newest test.
        backups: The existing backups of the index.
        now: The current time.
    """
    # A backup that was created after the test had no earlier test. The clocks of Pinecone and of the worker differ.
    latest = test.ended_at + CLOCK_SKEW
    return test.backup_id in backups and all(
        (created_at is not None and created_at > latest) or clears(test, backup_id, created_at, now)
        for backup_id, created_at in backups.items()
    )


def failed_test_problems(tested: Tested) -> list[Problem]:
    """Return that the newest restore test failed."""
    if tested.failed is None:
        return []
    what = f"the restore test of backup {tested.failed['backup_id']} failed"
    return [Problem(status="failing", text=f"{what}: {tested.failed['finding'].rstrip('.')}")]


def restore_test_problems(tested: Tested, rules: IndexRules) -> list[Problem]:
    """Return why the restore tests of an index break ``max_restore_age``."""
    if rules.max_restore_age is None:
        return []
    max_age = validate_duration(rules.max_restore_age, "max_restore_age")
    allowed = f"max_restore_age is {show_seconds(max_age)}"
    passed = tested.passed
    if tested.why_unknown:
        text = f"its restore tests are unknown: {tested.why_unknown}"
    elif passed is None:
        text = f"none of its backups has passed a restore test, and {allowed}"
    elif passed["age"] is None:
        text = f"its last passed restore test ended at {passed['ended_at']}, in the future: check the clock"
    elif passed["age"] >= max_age:
        text = f"its last passed restore test was {show_seconds(passed['age'])} ago, and {allowed}"
    else:
        return []
    return [Problem(status="untested", text=text)]


def unknown_tests(tests: Mapping[str, RestoreTests]) -> list[str]:
    """Return which restore tests are unknown, in sentences: one for each reason."""
    return unknown_facts("restore tests", {name: found.why_unknown for name, found in tests.items()})


def _facts(test: RestoreTest | None, now: datetime) -> RestoreTestFacts | None:
    if test is None:
        return None
    return RestoreTestFacts(
        backup_id=test.backup_id,
        ended_at=iso(test.ended_at),
        age=age_of(test.ended_at, now).seconds,
        verdict=test.verdict,
        records=test.records,
        sampled=test.sampled,
        finding=test.findings[0] if test.findings else "",
        path=test.path,
    )
