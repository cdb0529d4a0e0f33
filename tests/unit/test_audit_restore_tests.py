"""An audit with a folder of restore tests: what it reads, logs and sends, over the emulator and real files."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from support.clock import FakeClock
from support.constants import INDEX
from support.restore_records import FINDING, add_test, make_record
from support.tasks import Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.operators import AuditBackupsOperator
from airflow_pinecone.rules.identity import ORIGIN_TAG
from airflow_pinecone.rules.report import BackupTimes
from airflow_pinecone.rules.scratch import TEST_TAG
from airflow_pinecone.runtime import metrics
from airflow_pinecone.runtime.airflow_versions import storage_path
from airflow_pinecone.runtime.restore_reports import read_tests

HOUR = 3600.0
DAY = 24 * HOUR

pytestmark = pytest.mark.usefixtures("world")

Audit = Callable[..., Outcome]


@pytest.fixture
def audit(clock: FakeClock, tmp_path: Path) -> Audit:
    """Run an audit that requires a restore test within 30 days, and fails if there is none."""

    def audit(**arguments: Any) -> Outcome:
        defaults = {
            "task_id": "audit",
            "max_age": DAY,
            "max_restore_age": 30 * DAY,
            "restore_tests": f"file://{tmp_path}",
            "fail_on": ["failing", "untested"],
        }
        return run_try(make_task(AuditBackupsOperator, clock, **{**defaults, **arguments}), TaskInstance())

    return audit


@pytest.fixture
def backup_id(emulator: Emulator) -> str:
    return str(emulator.add_backup(INDEX, age=HOUR)["backup_id"])


@pytest.fixture
def ago(clock: FakeClock) -> Callable[[float], datetime]:
    return lambda seconds: clock.utcnow() - timedelta(seconds=seconds)


Ago = Callable[[float], datetime]


def test_index_with_a_passed_test_is_ok(
    audit: Audit, backup_id: str, tmp_path: Path, ago: Ago, logged: Callable[[], str]
) -> None:
    file = add_test(tmp_path, INDEX, backup_id, ago(3 * DAY))
    outcome = audit()
    assert outcome.state == "success"
    (row,) = outcome.value["indexes"]
    assert row["last_restore_test"]["path"] == str(storage_path(f"file://{file}"))
    assert row["last_restore_test"] == row["passed_restore_test"]
    assert "tested 3 days, 0:00:00 ago" in logged()
    assert "restore test" in logged().splitlines()[1]


def test_sample_is_named(audit: Audit, backup_id: str, tmp_path: Path, ago: Ago, logged: Callable[[], str]) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(HOUR), sample=0.1)
    assert audit().state == "success"
    assert "tested 1:00:00 ago (a sample)" in logged()


def test_failed_test_fails_the_audit(
    audit: Audit, backup_id: str, tmp_path: Path, ago: Ago, logged: Callable[[], str]
) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(2 * HOUR))
    add_test(tmp_path, INDEX, backup_id, ago(HOUR), "failed")
    outcome = audit(max_restore_age=None)
    assert outcome.state == "failed"
    assert f"{INDEX} (failing): the restore test of backup {backup_id} failed: {FINDING}" in outcome.message
    assert " test failed " in logged()
    # The earlier test proves that the backup was tested.
    assert audit(fail_on=["untested"]).state == "success"


def test_restored_backup_is_not_tested(
    emulator: Emulator, audit: Audit, backup_id: str, tmp_path: Path, ask: Any, logged: Callable[[], str]
) -> None:
    (tmp_path / "other").mkdir()
    emulator.add_index("second")
    emulator.add_backup("second", age=HOUR)
    ask("POST", f"/backups/{backup_id}/create-index", json={"name": "restored"})
    outcome = audit(exclude="restored")
    assert outcome.state == "failed"
    assert f"{INDEX} (untested): none of its backups has passed a restore test" in outcome.message
    cells = [line.split("  ") for line in logged().splitlines()]
    assert sorted(
        cell for line in cells for cell in line if cell in ("restored, not tested", "not tested", "never")
    ) == ["not tested", "restored, not tested"]


def test_earlier_passed_test_is_found_behind_incomplete_ones(
    audit: Audit, backup_id: str, tmp_path: Path, ago: Ago
) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(9 * DAY), "failed")
    add_test(tmp_path, INDEX, backup_id, ago(8 * DAY))
    add_test(tmp_path, INDEX, "deleted", ago(7 * DAY), "failed")
    for hours in (3, 2, 1):
        add_test(tmp_path, INDEX, backup_id, ago(hours * HOUR), "incomplete")
    outcome = audit()
    assert outcome.state == "success"
    (row,) = outcome.value["indexes"]
    assert row["passed_restore_test"]["age"] == 8 * DAY
    assert row["last_restore_test"]["verdict"] == "incomplete"


def test_two_tests_at_the_same_time_are_both_read(audit: Audit, backup_id: str, tmp_path: Path, ago: Ago) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(HOUR))
    add_test(tmp_path, INDEX, backup_id, ago(HOUR), "failed")
    assert audit().state == "failed"


def damage(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(file: Path) -> None:
        value = change(json.loads(file.read_text()))
        file.write_text(value if isinstance(value, str) else json.dumps(value))

    return apply


def replace_with_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-50]), "not valid JSON, or not complete"),
    "empty": (lambda file: file.write_bytes(b""), "not valid JSON, or not complete"),
    "other format": (damage(lambda record: {**record, "format": 99}), "its format is 99"),
    "other index": (damage(lambda record: {**record, "index_name": "other"}), "it is about another index, 'other'"),
    "no record": (damage(lambda _: "[]"), "it is not the record of a restore test"),
    "a folder": (replace_with_a_folder, "could not be read (IsADirectoryError)"),
}


@pytest.mark.parametrize(("apply", "why"), DAMAGES.values(), ids=DAMAGES)
def test_invalid_record_is_unknown_and_never_green(
    audit: Audit,
    backup_id: str,
    tmp_path: Path,
    ago: Ago,
    logged: Callable[[], str],
    apply: Callable[[Path], object],
    why: str,
) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(HOUR))
    apply(tmp_path / INDEX / "latest.json")
    outcome = audit()
    assert outcome.state == "failed"
    assert f"{INDEX} (untested): its restore tests are unknown: file " in outcome.message
    assert why in outcome.message
    assert f"The restore tests of index {INDEX} are unknown: file " in logged()
    outcome = audit(max_restore_age=None)
    assert (outcome.state, outcome.value["indexes"][0]["restore_tests_known"]) == ("success", False)


def test_later_passed_test_makes_an_invalid_record_harmless(
    audit: Audit, backup_id: str, tmp_path: Path, ago: Ago
) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(2 * HOUR)).write_text("{")
    add_test(tmp_path, INDEX, backup_id, ago(HOUR))
    assert audit().state == "success"


def test_invalid_earlier_record_could_be_a_failed_one(audit: Audit, backup_id: str, tmp_path: Path, ago: Ago) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(3 * HOUR))
    add_test(tmp_path, INDEX, backup_id, ago(2 * HOUR)).write_text("{")
    add_test(tmp_path, INDEX, backup_id, ago(HOUR), "incomplete")
    assert "its restore tests are unknown" in audit().message


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("file:///{}/does-not-exist", "does not exist"),
        ("nonsense://bucket/folder", "could not be read (ValueError)"),
    ],
)
def test_unreadable_folder_is_one_warning(
    emulator: Emulator, audit: Audit, tmp_path: Path, logged: Callable[[], str], folder: str, why: str
) -> None:
    for name in (INDEX, "second", "third"):
        emulator.add_index(name) if name != INDEX else None
        emulator.add_backup(name, age=HOUR)
    outcome = audit(restore_tests=folder.format(tmp_path))
    assert outcome.state == "failed"
    assert outcome.message.count(why) == 3
    warnings = [line for line in logged().splitlines() if "The restore tests of" in line]
    assert len(warnings) == 1
    assert "The restore tests of 3 indexes are unknown: folder" in warnings[0]
    assert audit(restore_tests=folder.format(tmp_path), max_restore_age=None).state == "success"


def test_future_test_proves_nothing(audit: Audit, backup_id: str, tmp_path: Path, ago: Ago) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(-2 * HOUR))
    assert "in the future: check the clock" in audit().message


def test_restore_jobs_are_not_needed(
    emulator: Emulator, audit: Audit, backup_id: str, tmp_path: Path, ago: Ago
) -> None:
    emulator.fault("GET", "/restore-jobs", status=403, times=None)
    add_test(tmp_path, INDEX, backup_id, ago(HOUR))
    assert audit().state == "success"


def test_only_the_indexes_of_the_audit_are_read(
    emulator: Emulator, audit: Audit, backup_id: str, tmp_path: Path, ago: Ago, logged: Callable[[], str]
) -> None:
    emulator.add_index("second")
    emulator.add_backup("second", age=HOUR)
    add_test(tmp_path, INDEX, backup_id, ago(HOUR))
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "latest.json").write_text("{")
    assert audit(exclude="second").state == "success"
    assert "are unknown" not in logged()


def test_path_is_an_argument_and_a_template(
    audit: Audit, backup_id: str, tmp_path: Path, ago: Ago, clock: FakeClock
) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(HOUR))
    assert audit(restore_tests=storage_path(f"file://{tmp_path}")).state == "success"
    assert "restore_tests" in AuditBackupsOperator.template_fields
    task = make_task(AuditBackupsOperator, clock, task_id="audit", max_age=DAY, restore_tests="{{ folder }}")
    task.restore_tests = ""
    outcome = run_try(task, TaskInstance())
    assert outcome.state == "failed"
    assert "restore_tests must be the URL of a folder" in outcome.message


@pytest.mark.parametrize("value", ["", " ", True, 7, ["s3://bucket"]])
def test_invalid_folder_is_a_value_error_when_the_dag_is_parsed(value: Any) -> None:
    with DAG("audits"), pytest.raises(PineconeInputError, match="restore_tests must be"):
        AuditBackupsOperator(task_id="audit", max_age=DAY, restore_tests=value)


@pytest.mark.parametrize(
    ("verdict", "sent"), [("passed", {INDEX: 2 * HOUR}), ("incomplete", {}), ("failed", {}), ("unknown", {})]
)
def test_age_of_the_last_passed_test_is_a_metric(
    audit: Audit,
    backup_id: str,
    tmp_path: Path,
    ago: Ago,
    monkeypatch: pytest.MonkeyPatch,
    verdict: str,
    sent: dict[str, float],
) -> None:
    ages: dict[str, float] = {}

    class Stats:
        @staticmethod
        def gauge(name: str, value: float, tags: dict[str, str] | None = None) -> None:
            if name == "pinecone.index.restore_test_age":
                ages[(tags or {})["index"]] = value

    monkeypatch.setattr(metrics, "Stats", Stats)
    add_test(tmp_path, INDEX, backup_id, ago(2 * HOUR), "passed" if verdict == "unknown" else verdict)
    if verdict == "unknown":
        (tmp_path / INDEX / "latest.json").write_text("{")
    audit()
    assert ages == sent


def test_scratch_index_is_only_logged(
    emulator: Emulator,
    audit: Audit,
    backup_id: str,
    tmp_path: Path,
    ago: Ago,
    logged: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[dict[str, str] | None] = []

    class Stats:
        @staticmethod
        def gauge(name: str, value: float, tags: dict[str, str] | None = None) -> None:
            sent.append(tags)

    monkeypatch.setattr(metrics, "Stats", Stats)
    add_test(tmp_path, INDEX, backup_id, ago(HOUR))
    emulator.add_index("restore-test-1", tags={ORIGIN_TAG: "0123", TEST_TAG: backup_id})
    emulator.add_backup("restore-test-1", age=HOUR)
    outcome = audit(fail_on=["unprotected", "late", "failing", "untested"])
    assert outcome.state == "success"
    assert outcome.value["scratch_indexes"] == ["restore-test-1"]
    assert "restore-test-1: scratch index of a restore test or a copy." in logged()
    assert {"index": INDEX} in sent
    assert {"index": "restore-test-1"} not in sent


# read_tests


def test_deadline_is_checked_between_the_requests(tmp_path: Path, clock: FakeClock) -> None:
    def check() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        read_tests(f"file://{tmp_path}", {INDEX: {"b": None}}, now=clock.utcnow(), check=check)


def test_many_indexes_are_read_in_batches(tmp_path: Path, clock: FakeClock) -> None:
    names = [f"index-{number}" for number in range(250)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "latest.json").write_text(json.dumps(make_record(name, "b", clock.utcnow())))
    checks: list[int] = []
    backups: dict[str, BackupTimes] = {name: {"b": None} for name in names}
    found = read_tests(f"file://{tmp_path}", backups, now=clock.utcnow(), check=lambda: checks.append(1))
    assert [len(tests.tests) for tests in found.values()] == [1] * 250
    assert len(checks) == 3


@pytest.mark.parametrize(("number", "why"), [(100, ""), (101, "has more records, and the newest 100 do not decide")])
def test_at_most_100_earlier_tests_are_read(tmp_path: Path, clock: FakeClock, ago: Ago, number: int, why: str) -> None:
    for hours in reversed(range(number)):
        add_test(tmp_path, INDEX, "b", ago(hours * HOUR), "failed")
    found = read_tests(f"file://{tmp_path}", {INDEX: {"b": None}}, now=clock.utcnow())[INDEX]
    assert len(found.tests) == 100
    assert found.tests[0].ended_at == clock.utcnow()
    assert why in found.why_unknown
    assert bool(found.why_unknown) is bool(why)


def test_failed_test_behind_many_samples_is_found(audit: Audit, backup_id: str, tmp_path: Path, ago: Ago) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(60 * HOUR), "failed")
    for hours in reversed(range(1, 50)):
        add_test(tmp_path, INDEX, backup_id, ago(hours * HOUR), sample=0.1)
    assert f"the restore test of backup {backup_id} failed" in audit(max_restore_age=None).message
    assert audit(fail_on=["untested"]).state == "success"


def test_passed_test_of_an_older_backup_does_not_hide_a_failed_one(
    emulator: Emulator, audit: Audit, tmp_path: Path, ago: Ago
) -> None:
    older = emulator.add_backup(INDEX, age=9 * DAY)
    newer = emulator.add_backup(INDEX, age=5 * HOUR)
    emulator.add_backup(INDEX, age=60)
    add_test(tmp_path, INDEX, older["backup_id"], ago(4 * HOUR), backup_created_at=ago(9 * DAY))
    assert audit().state == "success"
    add_test(tmp_path, INDEX, newer["backup_id"], ago(3 * HOUR), "failed", backup_created_at=ago(5 * HOUR))
    add_test(tmp_path, INDEX, older["backup_id"], ago(2 * HOUR), backup_created_at=ago(9 * DAY))
    outcome = audit()
    assert f"the restore test of backup {newer['backup_id']} failed" in outcome.message
    row = audit(fail_on=[]).value["indexes"][0]
    assert row["passed_restore_test"]["backup_id"] == older["backup_id"]
    add_test(tmp_path, INDEX, newer["backup_id"], ago(HOUR), backup_created_at=ago(5 * HOUR))
    assert audit().state == "success"


def test_backups_after_the_test_need_no_further_request(tmp_path: Path, clock: FakeClock, ago: Ago) -> None:
    add_test(tmp_path, INDEX, "b", ago(3 * HOUR), backup_created_at=ago(4 * HOUR))
    checks: list[int] = []
    for number, created_at in enumerate((ago(HOUR), ago(3 * HOUR)), start=1):
        backups = {"a": ago(DAY), "b": ago(4 * HOUR), "c": created_at}
        read_tests(f"file://{tmp_path}", {INDEX: backups}, now=clock.utcnow(), check=lambda: checks.append(1))
        assert len(checks) == (1 if number == 1 else 4)


def test_latest_test_in_the_future_does_not_hide_the_others(
    audit: Audit, backup_id: str, tmp_path: Path, ago: Ago
) -> None:
    add_test(tmp_path, INDEX, backup_id, ago(-365 * DAY))
    add_test(tmp_path, INDEX, backup_id, ago(HOUR))
    assert audit().state == "success"
    add_test(tmp_path, INDEX, backup_id, ago(60), "failed")
    assert "failed" in audit().message
