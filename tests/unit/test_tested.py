"""What an audit concludes from the records of restore tests: pure functions over plain dicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.restore_records import FINDING, make_record

from airflow_pinecone.policy import IndexRules, Policy
from airflow_pinecone.rules.coverage import report
from airflow_pinecone.rules.report import Project, Report, RestoreTest, RestoreTests
from airflow_pinecone.rules.tested import parse_record, unknown_tests

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
HOUR = 3600.0
DAY = 24 * HOUR
RULES = IndexRules(DAY, max_restore_age=30 * DAY)
INDEX = {"name": "docs", "host": "h", "metric": "cosine", "spec": {"serverless": {}}, "status": {"ready": True}}
PASSED, FAILED, INCOMPLETE = "passed", "failed", "incomplete"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def backup(number: int = 1, source_index_id: str = "i-1") -> Any:
    return {
        "backup_id": f"b-{number}",
        "source_index_name": "docs",
        "source_index_id": source_index_id,
        "status": "Ready",
        "created_at": ago(HOUR / number).isoformat(),
        "record_count": 100,
    }


def made(age: float, verdict: str = PASSED, backup_id: str = "b-1", **options: Any) -> RestoreTest:
    """Make the test that a record describes."""
    record = make_record("docs", backup_id, ago(age), verdict, **options)
    return parse_record(json.dumps(record).encode(), "docs", "the/path.json")


def report_on(
    *tests: RestoreTest, why: str = "", rules: IndexRules = RULES, jobs: Any = (), backups: Any = None
) -> Report:
    found = {"docs": RestoreTests(tests, why)}
    project = Project([INDEX], backups or [backup()], jobs, restore_tests=found)  # type: ignore[list-item]
    return report(project, Policy(rules), now=NOW)


def problems(*tests: RestoreTest, **options: Any) -> list[tuple[str, str]]:
    (row,) = report_on(*tests, **options)["indexes"]
    assert ("max_restore_age" in row["broken_rules"]) is any(p["status"] == "untested" for p in row["problems"])
    return [(problem["status"], problem["text"]) for problem in row["problems"]]


def test_passed_test_of_an_existing_backup_is_enough() -> None:
    assert problems(made(29 * DAY)) == []
    assert report_on(made(29 * DAY))["verdict"] == "The index has a fresh Ready backup."


@pytest.mark.parametrize(
    ("tests", "text"),
    [
        ([], "none of its backups has passed a restore test, and max_restore_age is 30 days, 0:00:00"),
        ([made(DAY, INCOMPLETE)], "none of its backups has passed a restore test"),
        ([made(DAY, backup_id="deleted")], "none of its backups has passed a restore test"),
        ([made(30 * DAY)], "its last passed restore test was 30 days, 0:00:00 ago, and max_restore_age is"),
        ([made(-2 * HOUR)], "its last passed restore test ended at 2025-06-15T14:00:00Z, in the future"),
    ],
    ids=["none", "incomplete", "of a deleted backup", "too old", "in the future"],
)
def test_index_is_untested(tests: list[RestoreTest], text: str) -> None:
    ((status, found),) = problems(*tests)
    assert status == "untested"
    assert found.startswith(text)
    assert report_on(*tests)["verdict"] == "1 index passed no recent restore test."


def test_restore_is_not_a_restore_test() -> None:
    job = {"restore_job_id": "r", "backup_id": "b-1", "status": "Completed", "completed_at": ago(HOUR).isoformat()}
    assert [status for status, _ in problems(jobs=[job])] == ["untested"]


def test_future_test_counts_only_without_another() -> None:
    assert problems(made(-2 * HOUR), made(DAY)) == []


@pytest.mark.parametrize("age", [HOUR, 400 * DAY, -2 * HOUR])
def test_failed_test_is_a_problem_whatever_its_age(age: float) -> None:
    rules = IndexRules(DAY)
    assert problems(made(age, FAILED), rules=rules) == [
        ("failing", f"the restore test of backup b-1 failed: {FINDING.rstrip('.')}")
    ]
    result = report_on(made(age, FAILED), rules=rules)
    assert result["verdict"] == "A restore test of 1 index failed."
    assert result["indexes"][0]["broken_rules"] == []


@pytest.mark.parametrize(
    ("verdicts", "statuses"),
    [
        ([PASSED, FAILED], []),
        ([FAILED, PASSED], ["failing"]),
        ([INCOMPLETE, FAILED, PASSED], ["failing"]),
        ([INCOMPLETE, PASSED, FAILED], []),
        ([INCOMPLETE, FAILED], ["failing", "untested"]),
    ],
)
def test_only_a_later_passed_test_clears_a_failed_one(verdicts: list[str], statuses: list[str]) -> None:
    tests = [made(DAY + number * HOUR, verdict) for number, verdict in enumerate(verdicts)]
    assert [status for status, _ in problems(*tests)] == statuses


@pytest.mark.parametrize(
    ("options", "statuses"),
    [
        ({"backup_id": "b-2", "backup_created_at": ago(4 * DAY)}, ["failing"]),
        ({"backup_id": "b-2", "backup_created_at": ago(2 * DAY)}, []),
        ({"backup_id": "b-2"}, ["failing"]),
        ({"backup_id": "deleted", "backup_created_at": ago(4 * DAY)}, ["failing", "untested"]),
        ({"backup_id": "deleted", "backup_created_at": ago(2 * DAY)}, ["untested"]),
        ({"backup_id": "b-1", "sample": 0.1}, ["failing"]),
        ({"backup_id": "b-2", "backup_created_at": ago(2 * DAY), "sample": 0.1}, ["failing"]),
    ],
    ids=["older", "newer", "unknown age", "deleted, older", "deleted, newer", "sample", "newer, sample"],
)
def test_failed_test_is_cleared_by_a_full_test_of_the_same_or_a_newer_backup(
    options: dict[str, Any], statuses: list[str]
) -> None:
    tests = made(DAY, **options), made(2 * DAY, FAILED, backup_created_at=ago(3 * DAY))
    assert [status for status, _ in problems(*tests, backups=[backup(), backup(2)])] == statuses


def test_failed_test_of_a_deleted_backup_does_not_count() -> None:
    assert problems(made(DAY, FAILED, backup_id="deleted"), rules=IndexRules(DAY)) == []


def test_passed_test_in_the_future_clears_nothing() -> None:
    assert [status for status, _ in problems(made(-2 * HOUR), made(DAY, FAILED))] == ["failing", "untested"]


def test_failed_test_is_not_cleared_by_one_at_the_same_time() -> None:
    assert [status for status, _ in problems(made(DAY), made(DAY, FAILED))] == ["failing"]


def test_failed_test_of_an_earlier_index_does_not_count() -> None:
    assert problems(made(DAY, FAILED, source_index_id="i-0"), rules=IndexRules(DAY)) == []
    assert problems(made(DAY, FAILED, source_index_id="i-1"), rules=IndexRules(DAY)) != []


@pytest.mark.parametrize("tests", [[], [made(HOUR)]], ids=["no test", "passed"])
def test_unknown_tests_prove_nothing(tests: list[RestoreTest]) -> None:
    assert problems(*tests, why="the file x cannot be read") == [
        ("untested", "its restore tests are unknown: the file x cannot be read")
    ]
    (row,) = report_on(*tests, why="the file x cannot be read", rules=IndexRules(DAY))["indexes"]
    assert (row["status"], row["restore_tests_known"]) == ("ok", False)


def test_failed_test_is_a_problem_also_if_others_are_unknown() -> None:
    assert [status for status, _ in problems(made(HOUR, FAILED), why="?")] == ["failing", "untested"]


def test_failed_backup_and_failed_test_are_both_in_the_verdict() -> None:
    failed = {**backup(2), "status": "Failed"}
    verdict = report_on(made(HOUR, FAILED), backups=[backup(), failed], rules=IndexRules(DAY))["verdict"]
    assert verdict == (
        "The newest backup of 1 index failed or did not pass the check. A restore test of 1 index failed."
    )


def test_row_has_the_tests() -> None:
    (row,) = report_on(made(HOUR, INCOMPLETE), made(2 * HOUR, FAILED), made(3 * HOUR, sample=0.5))["indexes"]
    assert row["restore_tests_known"] is True
    assert row["last_restore_test"] == {
        "backup_id": "b-1",
        "ended_at": "2025-06-15T11:00:00Z",
        "age": HOUR,
        "verdict": "incomplete",
        "records": 0,
        "sampled": False,
        "finding": "The task check has no result.",
        "path": "the/path.json",
    }
    assert row["failed_restore_test"]
    assert row["failed_restore_test"]["finding"] == FINDING
    assert row["passed_restore_test"]
    assert (row["passed_restore_test"]["sampled"], row["passed_restore_test"]["records"]) == (True, 100)
    json.dumps(row)


def test_without_restore_tests_the_row_has_none() -> None:
    (row,) = report(Project([INDEX], [backup()], []), Policy(RULES), now=NOW)["indexes"]  # type: ignore[list-item]
    fields = ("restore_tests_known", "last_restore_test", "passed_restore_test", "failed_restore_test")
    assert [row[field] for field in fields] == [None] * 4  # type: ignore[literal-required]
    assert row["problems"][0]["text"].startswith("none of its backups was restored")


def test_reasons_are_named_once() -> None:
    lost, folder = RestoreTests((), "file x is lost"), RestoreTests((), "folder y does not exist")
    assert unknown_tests({"a": lost, "b": folder, "c": RestoreTests(), "d": folder}) == [
        "The restore tests of index a are unknown: file x is lost.",
        "The restore tests of 2 indexes are unknown: folder y does not exist.",
    ]


# Records


def changed(**fields: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda record: json.dumps({**record, **fields}).encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda _: b"", "not valid JSON, or not complete"),
        (lambda record: json.dumps(record).encode()[:-20], "not valid JSON, or not complete"),
        (lambda _: b"\xff\xfe{", "not valid JSON"),
        (lambda _: b"[" * 100_000, "not valid JSON"),
        (lambda _: b"[]", "it is not the record of a restore test"),
        (lambda _: b"{}", "it is not the record of a restore test"),
        (changed(format=2), "its format is 2, and this version only reads 1"),
        (changed(index_name="other"), "it is about another index, 'other'"),
        (changed(index_name=None), "it is about another index, None"),
        (changed(verdict="fine"), "it is not the record of a restore test"),
        (changed(verdict=["passed"]), "it is not the record of a restore test"),
        (changed(ended_at="yesterday"), "it is not the record of a restore test"),
        (changed(backup={"backup_id": None}), "it is not the record of a restore test"),
        (changed(backup={"backup_id": "b-1\nIndex docs is ok"}), "it is not the record of a restore test"),
        (changed(backup=None), "it is not the record of a restore test"),
        (changed(read={"records": "100"}), "it is not the record of a restore test"),
        (changed(read={}), "it is not the record of a restore test"),
        (changed(sampled=None), "it is not the record of a restore test"),
        (changed(findings=None), "it is not the record of a restore test"),
        (changed(findings=[{"text": "Lost.", "fails": True}]), "it is not the record of a restore test"),
        (changed(incomplete=["check"]), "it is not the record of a restore test"),
    ],
)
def test_invalid_record_says_why(content: Callable[[dict[str, Any]], bytes], why: str) -> None:
    record = make_record("docs", "b-1", NOW)
    with pytest.raises(ValueError, match=why):
        parse_record(content(record), "docs", "path")


def test_unknown_fields_of_a_record_are_ignored() -> None:
    content = changed(new={"a": 1})(make_record("docs", "b-1", NOW))
    assert parse_record(content, "docs", "path").verdict == "passed"
