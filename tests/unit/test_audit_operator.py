"""AuditBackupsOperator: what it requests, logs, pushes to XCom, and when it fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import OUR_DESCRIPTION
from support.tasks import Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeInputError, PineconeTransientError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import AuditBackupsOperator
from airflow_pinecone.policy import IndexRules
from airflow_pinecone.reading import read_project
from airflow_pinecone.rules.identity import Origin, describe
from airflow_pinecone.runtime.airflow_versions import can_show_pages

DOCS = Path(__file__).resolve().parents[2] / "docs"
HOUR = 3600.0
DAY = 24 * HOUR

pytestmark = pytest.mark.usefixtures("world")

Audit = Callable[..., Outcome]


@pytest.fixture
def ti() -> TaskInstance:
    return TaskInstance(task_id="audit")


@pytest.fixture
def audit(clock: FakeClock, ti: TaskInstance) -> Audit:
    """Run one try of the operator: `audit(max_age=3600)`. The default max_age is a day."""

    def audit(**arguments: Any) -> Outcome:
        defaults = {"task_id": "audit", "max_age": timedelta(days=1)}
        return run_try(make_task(AuditBackupsOperator, clock, **{**defaults, **arguments}), ti)

    return audit


def test_fresh_backups_succeed(emulator: Emulator, audit: Audit, logged: Callable[[], str]) -> None:
    emulator.add_index("second")
    emulator.add_backup(INDEX, age=HOUR, description=OUR_DESCRIPTION)
    emulator.add_backup("second", age=2 * HOUR)
    outcome = audit()
    assert outcome.state == "success"
    assert outcome.value["verdict"] == "All 2 indexes have a fresh Ready backup."
    assert [row["index_name"] for row in outcome.value["indexes"]] == ["second", INDEX]
    lines = [line.split() for line in logged().splitlines()]
    assert ["ok", "second"] in [line[:2] for line in lines]
    assert ["ok", INDEX] in [line[:2] for line in lines]
    assert "etl.backup" in logged()
    assert "The project has 2 backups." in logged()


def test_log_is_the_one_that_the_documentation_shows(
    emulator: Emulator, audit: Audit, logged: Callable[[], str], clock: FakeClock
) -> None:
    for name in ("articles", "images", "products"):
        emulator.add_index(name)
    emulator.add_backup(INDEX, age=2 * DAY, record_count=9000, description=OUR_DESCRIPTION)
    emulator.add_backup("images", age=DAY, record_count=52_000, description=OUR_DESCRIPTION)
    images = emulator.add_backup("images", age=3 * HOUR, record_count=53_560, description=OUR_DESCRIPTION)
    emulator.add_backup("images", age=HOUR, status="Failed", backup_id="8c85e612-ed1c-4f97-9f8c-8194e07bcf71")
    emulator.add_backup("products", age=HOUR, record_count=700, description=None)
    emulator.add_backup("old-articles", age=90 * DAY, source_index_id="2f0c6f5e-6f53-4e0e-8d0e-0e7a1a9f5b1c")
    PineconeHook().create_index_from_backup(images["backup_id"], name="drill")
    PineconeHook().delete_index("drill")
    clock.advance(5 * 60)
    assert audit(exclude="drill").state == "failed"
    assert (DOCS / "examples" / "audit.txt").read_text().rstrip() in logged()


def test_project_is_listed_once(emulator: Emulator, audit: Audit) -> None:
    for number in range(120):
        emulator.add_backup(INDEX, age=HOUR + number)
    audit()
    assert [(exchange.method, exchange.path) for exchange in emulator.requests] == [
        ("GET", "/indexes"),
        ("GET", "/backups"),
        ("GET", "/backups"),
        ("GET", "/restore-jobs"),
    ]


def test_backup_that_is_deleted_between_two_pages_hides_no_other(emulator: Emulator) -> None:
    """The backups after it move up, so that the first one of the second page is on neither."""
    emulator.add_index("alone")
    deleted, *_ = (emulator.add_backup(INDEX, age=HOUR + number)["backup_id"] for number in range(100))
    emulator.add_backup("alone", age=2 * HOUR)
    hook = PineconeHook()

    def delete_one() -> None:
        if len(emulator.requests) == 2 and len(emulator.backups) == 101:
            emulator.control_plane.project.delete_backup(deleted, 0.0)

    project, _ = read_project(hook.client, check=delete_one)
    assert len(emulator.backups) == 100
    assert "alone" in {backup["source_index_name"] for backup in project.backups}
    assert len({backup["backup_id"] for backup in project.backups}) == len(project.backups)


def test_index_without_a_fresh_backup_fails(
    emulator: Emulator, audit: Audit, ti: TaskInstance, logged: Callable[[], str]
) -> None:
    emulator.add_index("second")
    emulator.add_index("third")
    emulator.add_backup(INDEX, age=2 * DAY)
    emulator.add_backup("second", age=HOUR)
    outcome = audit()
    assert outcome.state == "failed"
    assert outcome.message.splitlines()[:-1] == [
        "Index third is unprotected, and 1 more failed.",
        "third (unprotected): it has no Ready backup.",
        f"{INDEX} (late): its newest Ready backup is 2 days, 0:00:00 old, and max_age is 1 day, 0:00:00.",
    ]
    # Airflow stores no return value of a task that fails.
    assert ti.xcoms["return_value"]["verdict"] == "2 of 3 indexes have no fresh Ready backup."
    assert "third: it has no Ready backup." in logged()


def test_failed_audit_stores_no_report_without_xcom(emulator: Emulator, audit: Audit, ti: TaskInstance) -> None:
    assert audit(do_xcom_push=False).state == "failed"
    assert ti.xcoms == {}


def test_message_names_ten_indexes(emulator: Emulator, audit: Audit) -> None:
    for number in range(14):
        emulator.add_index(f"index-{number:02}")
    lines = audit().message.splitlines()
    assert len(lines) == 13
    assert lines[0] == f"Index {INDEX} is unprotected, and 14 more failed."
    assert lines[-2] == "The log has 5 more."


@pytest.mark.parametrize(
    ("fail_on", "state"),
    [
        (["unprotected"], "success"),
        (["late"], "failed"),
        (("failing",), "failed"),
        (["untested"], "success"),
        ([], "success"),
    ],
)
def test_fail_on_selects_the_statuses(emulator: Emulator, audit: Audit, fail_on: Any, state: str) -> None:
    emulator.add_backup(INDEX, age=2 * DAY)
    emulator.add_backup(INDEX, age=HOUR, status="Failed")
    assert audit(fail_on=fail_on).state == state


def test_missing_restore_fails_only_if_requested(emulator: Emulator, audit: Audit) -> None:
    emulator.add_backup(INDEX, age=HOUR)
    assert audit(max_restore_age=30 * DAY).value["indexes"][0]["status"] == "untested"
    outcome = audit(max_restore_age=30 * DAY, fail_on=["untested"])
    assert outcome.state == "failed"
    assert f"{INDEX} (untested): none of its backups was restored" in outcome.message


def test_rules_apply_to_the_newest_backup(emulator: Emulator, audit: Audit) -> None:
    emulator.add_backup(INDEX, age=2 * HOUR, record_count=100)
    emulator.add_backup(INDEX, age=HOUR, record_count=40)
    assert audit(max_shrink=0.6, min_records=40).state == "success"
    assert "smaller by 60%" in audit(max_shrink=0.5).message
    assert "min_records=41" in audit(min_records=41).message


def test_policy_replaces_the_rules_of_an_index(emulator: Emulator, audit: Audit) -> None:
    emulator.add_backup(INDEX, age=2 * DAY)
    assert audit(policy={"docs-*": IndexRules(max_age=timedelta(days=7))}).state == "success"
    assert audit(policy={"other-*": IndexRules(max_age=timedelta(days=7))}).state == "failed"


def test_audit_without_an_index_fails(audit: Audit) -> None:
    outcome = audit(include="prod-*")
    assert outcome.state == "failed"
    assert "no indexes" in outcome.message
    assert "include, exclude and the API key" in outcome.message
    assert audit(exclude=[INDEX], fail_on=[]).state == "success"


def test_pod_based_indexes_and_leftovers_are_only_logged(
    emulator: Emulator, audit: Audit, logged: Callable[[], str]
) -> None:
    emulator.add_index("pods", spec={"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}})
    emulator.add_backup(INDEX, age=HOUR)
    emulator.add_backup("deleted", age=DAY)
    assert audit().state == "success"
    assert "pods: it is pod-based, so Pinecone cannot back it up." in logged()
    assert "deleted: 1 backup of the deleted index " in logged()


def test_long_ids_are_truncated_in_the_log(emulator: Emulator, audit: Audit, logged: Callable[[], str]) -> None:
    description = describe(None, Origin("d" * 200, "manual__1", "backup", -1, "", 1))
    emulator.add_backup(INDEX, age=HOUR, description=description)
    assert audit().value["indexes"][0]["newest_ready"]["created_by"]["dag_id"] == "d" * 200
    lines = {line for line in logged().splitlines() if line.startswith("ok")}
    assert {line.split()[-1] for line in lines} == {"d" * 57 + "..."}


def test_invalid_row_hides_one_row(emulator: Emulator, audit: Audit, ti: TaskInstance, ask: Any) -> None:
    """The audit judges the others, and is not complete: an index without a backup could be hidden."""
    emulator.add_backup(INDEX, age=HOUR)
    (row,) = ask("GET", "/indexes").json()["indexes"]
    body = {"indexes": [{**row, "name": "\x1b[2J"}, 7, row]}
    emulator.fault("GET", "/indexes", status=200, body=body, times=None)
    outcome = audit()
    assert outcome.state == "failed"
    assert outcome.error.headline == "The audit is not complete"  # type: ignore[union-attr]
    assert "2 rows" in outcome.message
    report = ti.xcoms["return_value"]
    assert [row["status"] for row in report["indexes"]] == ["ok"]
    assert len(report["invalid"]) == 1
    assert audit(fail_on=[]).state == "success"


@pytest.mark.parametrize("fault", [{"status": 503}, {"body": {"data": None}}], ids=["503", "unreadable"])
def test_list_that_cannot_be_read_is_an_error(emulator: Emulator, audit: Audit, fault: dict[str, Any]) -> None:
    emulator.fault("GET", "/backups", **fault, times=None)
    outcome = audit(fail_on=[])
    assert outcome.state == "up_for_retry"
    assert isinstance(outcome.error, PineconeTransientError)


def test_backup_that_cannot_be_read_hides_no_other_and_proves_nothing(
    emulator: Emulator, audit: Audit, logged: Callable[[], str]
) -> None:
    emulator.add_index("prod-b")
    backups = [emulator.add_backup(index_name, age=HOUR) for index_name in (INDEX, "prod-b")]
    rows = [backups[0] | {"status": None}, backups[1]]
    emulator.fault("GET", "/backups", status=200, body={"data": rows}, times=None)
    outcome = audit(fail_on=[])
    assert [(row["index_name"], row["status"]) for row in outcome.value["indexes"]] == [
        (INDEX, "unprotected"),
        ("prod-b", "ok"),
    ]
    assert f"backup_id: {backups[0]['backup_id']}" in logged()


def test_index_that_include_names_must_exist(emulator: Emulator, audit: Audit) -> None:
    emulator.add_backup(INDEX, age=HOUR)
    outcome = audit(include=[INDEX, "prod-b"])
    assert outcome.state == "failed"
    assert outcome.message.splitlines()[:-1] == [
        "Index prod-b does not exist.",
        "There is no index prod-b, which include names.",
    ]
    assert audit(include=[INDEX, "prod-*"]).state == "success"


def test_restore_jobs_are_only_needed_by_a_rule(emulator: Emulator, audit: Audit, logged: Callable[[], str]) -> None:
    emulator.add_backup(INDEX, age=HOUR)
    emulator.fault("GET", "/restore-jobs", status=403, times=None)
    assert audit().state == "success"
    assert "The report has no restores: HTTP 403" in logged()
    assert audit(policy={"other": IndexRules(HOUR, max_restore_age=HOUR)}).state == "failed"


def test_message_begins_with_what_is_wrong(emulator: Emulator, audit: Audit) -> None:
    """The backups are fresh, and the newest one is of an emptied index."""
    emulator.add_backup(INDEX, age=2 * HOUR)
    emulator.add_backup(INDEX, age=HOUR, record_count=0)
    outcome = audit()
    assert outcome.message.startswith(f"Index {INDEX} is failing.")
    assert "fresh Ready backup" not in outcome.message


def test_error_has_what_an_email_needs(audit: Audit) -> None:
    error: Any = audit(include=[INDEX, "prod-b"]).error
    assert error.headline == f"Index {INDEX} is unprotected, and 1 more failed"
    if can_show_pages():
        path = f"/pinecone-backups/indexes/{INDEX}?connection=pinecone_default"
        assert re.fullmatch(rf"https?://[^/]+{re.escape(path)}", error.page_url)
    else:
        assert error.page_url == ""


def test_key_of_the_policy_that_matches_no_index_is_a_warning(
    emulator: Emulator, audit: Audit, logged: Callable[[], str]
) -> None:
    emulator.add_backup(INDEX, age=HOUR)
    rules = IndexRules(max_age=DAY)
    assert audit(policy={INDEX: rules, "tag:teir=gold": rules}).value["unmatched"] == ["tag:teir=gold"]
    assert "match no index of the project: tag:teir=gold." in logged()
    assert audit(policy={INDEX: rules}).value["unmatched"] == []


@pytest.mark.parametrize("broken", ["metrics", "xcom"])
def test_side_effects_do_not_replace_the_alarm(
    audit: Audit, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    if broken == "metrics":
        monkeypatch.setattr("airflow_pinecone.runtime.metrics.Stats.gauge", fail)
    else:
        monkeypatch.setattr(ti, "xcom_push", fail)
    outcome = audit()
    assert outcome.state == "failed"
    assert "(unprotected)" in outcome.message


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"max_age": 0}, "max_age"),
        ({"max_age": HOUR, "min_records": -1}, "min_records"),
        ({"max_age": HOUR, "max_shrink": 1.1}, "max_shrink"),
        ({"max_age": HOUR, "max_restore_age": 0}, "max_restore_age"),
        ({"max_age": HOUR, "include": ""}, "include"),
        ({"max_age": HOUR, "exclude": [""]}, "exclude"),
        ({"max_age": HOUR, "policy": {"tag:": IndexRules(HOUR)}}, "policy"),
        ({"max_age": HOUR, "fail_on": ["ok"]}, "fail_on"),
        ({"max_age": HOUR, "fail_on": "late"}, "fail_on"),
    ],
)
def test_invalid_argument_is_a_value_error_when_the_dag_is_parsed(arguments: dict[str, Any], name: str) -> None:
    with DAG("audits"), pytest.raises(PineconeInputError, match=name) as caught:
        AuditBackupsOperator(task_id="audit", **arguments)
    assert isinstance(caught.value, ValueError)
