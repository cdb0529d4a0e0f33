"""Backup schedules: the hook, the operators, the sensor and the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import OUR_DESCRIPTION
from support.tasks import Connect, Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.api.models import is_planned, run_time
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import (
    Conflict,
    CreateOutcomeUnknown,
    NotFound,
    PineconeInputError,
    PineconePermanentError,
    PineconeTransientError,
)
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import (
    AuditBackupsOperator,
    CreateBackupOperator,
    DeleteBackupScheduleOperator,
    EnsureBackupScheduleOperator,
    PruneBackupsOperator,
)
from airflow_pinecone.policy import IndexRules, Policy
from airflow_pinecone.sensors import ScheduledBackupSensor
from airflow_pinecone.waiting.decisions import WaitSpec
from airflow_pinecone.waiting.resources import SCHEDULE

DAY = 86_400.0
SCHEDULES = f"/indexes/{INDEX}/backup-schedules"
Ensure = Callable[..., Outcome]
Sense = Callable[..., Outcome]

pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def api_version() -> str:
    """Return the version that has backup schedules."""
    return "2026-07"


@pytest.fixture
def ensure(clock: FakeClock) -> Ensure:
    """Run one try of EnsureBackupScheduleOperator: `ensure(frequency="weekly")`."""

    def ensure(ti: TaskInstance | None = None, **arguments: Any) -> Outcome:
        arguments = {"index_name": INDEX, "name": "nightly", "frequency": "daily", "retention_days": 7, **arguments}
        return run_try(make_task(EnsureBackupScheduleOperator, clock, **arguments), ti or TaskInstance())

    return ensure


@pytest.fixture(params=["poke", "reschedule", "deferred"])
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"deferrable": True} if request.param == "deferred" else {"mode": request.param}


@pytest.fixture
def sense(clock: FakeClock) -> Sense:
    """Run one try of ScheduledBackupSensor."""

    def sense(schedule_id: str, since: Any, **arguments: Any) -> Outcome:
        task = make_task(
            ScheduledBackupSensor, clock, task_id="ready", schedule_id=schedule_id, since=since, **arguments
        )
        return run_try(task, TaskInstance(task_id="ready"))

    return sense


def writes(emulator: Emulator) -> list[tuple[str, Any]]:
    """Return the method and the body of each request that changes something."""
    return [(exchange.method, exchange.body) for exchange in emulator.requests if exchange.method != "GET"]


# The hook


def test_schedule_is_created_changed_listed_and_deleted(emulator: Emulator) -> None:
    schedules = PineconeHook().schedules
    created = schedules.create(INDEX, name="nightly", frequency="daily", retention_days=7)
    assert (created["name"], created["frequency"], created["enabled"]) == ("nightly", "daily", True)
    assert schedules.describe(created["schedule_id"]) == created
    assert list(schedules.list(INDEX)) == [created]
    changed = schedules.update(created["schedule_id"], frequency="weekly", retention_days=30, enabled=False)
    assert (changed["frequency"], changed["retention_expire_after_days"], changed["enabled"]) == ("weekly", 30, False)
    assert changed["next_scheduled_run"] is None
    schedules.delete(created["schedule_id"])
    assert list(schedules.list(INDEX)) == emulator.backup_schedules == []
    with pytest.raises(NotFound, match="describe backup schedule"):
        schedules.describe(created["schedule_id"])


def test_history_has_the_backups_and_the_planned_run(emulator: Emulator, clock: FakeClock) -> None:
    schedule = emulator.add_backup_schedule(INDEX, "nightly", age=1.5 * DAY)
    rows = list(PineconeHook().schedules.history(schedule["schedule_id"]))
    planned = [row for row in rows if is_planned(row, clock.utcnow())]
    assert [row["status"] for row in planned] == ["Scheduled"]
    (ready,) = [row for row in rows if row not in planned]
    assert ready["status"] == "Ready"
    assert run_time(ready) == clock.utcnow() - timedelta(days=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "name of a backup schedule must not be empty"),
        ({"name": 5}, "name must be a string"),
        ({"frequency": "hourly"}, "frequency must be one of daily, weekly, monthly"),
        ({"frequency": None}, "frequency must be one of"),
        *(
            ({"retention_days": value}, "retention_days must be an integer of at least 1")
            for value in (0, -1, "7", True)
        ),
    ],
)
def test_invalid_schedule_is_not_sent(emulator: Emulator, arguments: dict[str, Any], message: str) -> None:
    arguments = {"name": "n", "frequency": "daily", "retention_days": 7, **arguments}
    with pytest.raises(PineconeInputError, match=message):
        PineconeHook().schedules.create(INDEX, **arguments)
    assert emulator.requests == []


@pytest.mark.parametrize("version", ["2025-10", "2026-04"])
@pytest.mark.parametrize(
    "body", [None, b"", b'{"error": {"code": "NOT_FOUND", "message": "No such path"}, "status": 404}']
)
def test_earlier_version_is_named_in_the_advice(
    connect: Connect, emulator: Emulator, version: str, body: bytes | None
) -> None:
    """The emulator names the version in its response. What Pinecone says is unknown."""
    connect(api_version=version)
    if body is not None:
        emulator.fault("*", "/*", status=404, body=body, times=None)
    for call in (
        lambda schedules: schedules.create(INDEX, name="n", frequency="daily", retention_days=7),
        lambda schedules: list(schedules.list(INDEX)),
        lambda schedules: schedules.describe("s-1"),
        lambda schedules: schedules.update("s-1", enabled=True),
        lambda schedules: schedules.delete("s-1"),
        lambda schedules: list(schedules.history("s-1")),
    ):
        with pytest.raises(PineconePermanentError) as error:
            call(PineconeHook().schedules)
        assert "api_version" in str(error.value)
        assert "connection pinecone_default" in str(error.value)
        assert "2026-07" in str(error.value)
        # No earlier version has the call.
        assert "2026-04 or" not in str(error.value)


# EnsureBackupScheduleOperator


def test_missing_schedule_is_created_once(emulator: Emulator, ensure: Ensure) -> None:
    ti = TaskInstance()
    first, second = ensure(ti), ensure()
    # `schedule.output["schedule_id"]` in a DAG.
    assert ti.xcoms["schedule_id"] == emulator.backup_schedules[0]["schedule_id"]
    assert (first.state, second.state) == ("success", "success")
    assert first.value == second.value == emulator.backup_schedules[0]
    assert [method for method, _ in writes(emulator)] == ["POST"]


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({"frequency": "weekly"}, {"frequency": "weekly"}),
        ({"retention_days": 30}, {"retention": {"expire_after_days": 30}}),
        ({"enabled": False}, {"enabled": False}),
        (
            {"frequency": "monthly", "retention_days": 31, "enabled": False},
            {"frequency": "monthly", "retention": {"expire_after_days": 31}, "enabled": False},
        ),
    ],
    ids=str,
)
def test_only_what_differs_is_changed(
    emulator: Emulator, ensure: Ensure, arguments: dict[str, Any], body: dict[str, Any]
) -> None:
    ensure()
    emulator.requests.clear()
    assert ensure(**arguments).state == "success"
    assert writes(emulator) == [("PATCH", body)]
    assert ensure(**arguments).value == emulator.backup_schedules[0]
    assert len(writes(emulator)) == 1


def test_another_enabled_schedule_fails_the_task_or_is_disabled(emulator: Emulator, ensure: Ensure) -> None:
    other = emulator.add_backup_schedule(INDEX, "other")
    outcome = ensure()
    assert outcome.state == "failed"
    for text in (f"Could not enable backup schedule nightly of index {INDEX}", "'other'", other["schedule_id"]):
        assert text in outcome.message
    assert writes(emulator) == []
    assert ensure(replace=True).state == "success"
    assert {one["name"]: one["enabled"] for one in emulator.backup_schedules} == {"other": False, "nightly": True}


def test_disabled_schedule_needs_no_other_one_to_be_disabled(emulator: Emulator, ensure: Ensure) -> None:
    emulator.add_backup_schedule(INDEX, "other")
    outcome = ensure(enabled=False)
    assert (outcome.state, outcome.value) == ("success", None)
    assert writes(emulator) == []


@pytest.mark.parametrize("seconds", [0, 10])
def test_lost_response_creates_one_schedule(emulator: Emulator, ensure: Ensure, seconds: int) -> None:
    emulator.fault("POST", SCHEDULES, drop="after")
    # The listing may be late.
    emulator.fault("GET", SCHEDULES, body=b'{"data": []}', times=1 + bool(seconds))
    outcome = ensure()
    assert outcome.state == "success"
    assert outcome.value == emulator.backup_schedules[0]
    assert len(emulator.backup_schedules) == 1


def test_schedule_that_was_not_created_fails_the_try(emulator: Emulator, ensure: Ensure) -> None:
    emulator.fault("POST", SCHEDULES, drop="before")
    outcome = ensure()
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", CreateOutcomeUnknown)
    assert ensure().state == "success"


def test_retry_finds_a_schedule_whose_listing_was_late(emulator: Emulator, ensure: Ensure) -> None:
    emulator.add_backup_schedule(INDEX, "nightly", retention_days=7)
    emulator.fault("GET", SCHEDULES, body=b'{"data": []}')
    outcome = ensure()
    assert (outcome.state, outcome.value) == ("success", emulator.backup_schedules[0])


def test_schedule_that_appears_meanwhile_is_a_conflict(emulator: Emulator, ensure: Ensure) -> None:
    emulator.fault("GET", SCHEDULES, body=b'{"data": []}')
    emulator.add_backup_schedule(INDEX, "other")
    outcome = ensure()
    assert outcome.state == "failed"
    assert "HTTP 409" in outcome.message


def test_invalid_row_creates_no_second_schedule(emulator: Emulator, ensure: Ensure) -> None:
    schedule = emulator.add_backup_schedule(INDEX, "nightly")
    row = json.dumps({"data": [{**schedule, "enabled": None}]}).encode()
    emulator.fault("GET", SCHEDULES, body=row, times=None)
    outcome = ensure()
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", PineconeTransientError)
    assert len(emulator.backup_schedules) == 1


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"retention_days": 9999}, None),
        ({"name": ""}, None),
        ({}, {"method": "POST", "path": SCHEDULES, "status": 503}),
        ({}, {"method": "POST", "path": SCHEDULES, "status": 403}),
        ({}, {"method": "POST", "path": SCHEDULES, "drop": "before"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("exists", [False, True])
def test_failed_replacement_leaves_the_other_schedule_enabled(
    emulator: Emulator, ensure: Ensure, arguments: dict[str, Any], fault: dict[str, Any] | None, exists: bool
) -> None:
    if exists:
        own = emulator.add_backup_schedule(INDEX, "nightly")
        PineconeHook().schedules.update(own["schedule_id"], enabled=False)
        if fault:
            # It is enabled by the second PATCH, after the other one was disabled.
            path = f"/backup-schedules/{own['schedule_id']}"
            fault = {**fault, "method": "PATCH", "path": path, "nth": 2}
    emulator.add_backup_schedule(INDEX, "other")
    if fault:
        emulator.fault(fault.pop("method"), fault.pop("path"), times=None, **fault)
    assert ensure(replace=True, **arguments).state != "success"
    assert [one["name"] for one in emulator.backup_schedules if one["enabled"]] == ["other"]


def test_schedule_that_cannot_be_enabled_again_is_named(emulator: Emulator, ensure: Ensure) -> None:
    other = emulator.add_backup_schedule(INDEX, "other")
    emulator.fault("POST", SCHEDULES, status=403)
    emulator.fault("PATCH", f"/backup-schedules/{other['schedule_id']}", nth=2, status=503, times=None)
    outcome = ensure(replace=True)
    assert outcome.state == "failed"
    assert "Backup schedule 'other' is disabled now. It could not be enabled again: HTTP 503" in outcome.message


def test_retention_as_text_is_no_difference(emulator: Emulator, ensure: Ensure) -> None:
    schedule = emulator.add_backup_schedule(INDEX, "nightly", retention_days=7)
    row = json.dumps({"data": [{**schedule, "retention_expire_after_days": "7"}]}).encode()
    emulator.fault("GET", SCHEDULES, body=row, times=None)
    assert ensure().state == "success"
    assert writes(emulator) == []


def test_long_name_replaces_no_schedule(emulator: Emulator, ensure: Ensure) -> None:
    emulator.add_backup_schedule(INDEX, "other")
    outcome = ensure(name="n" * 29, replace=True)
    assert outcome.state == "failed"
    assert "It would replace one whose runs succeed" in outcome.message
    assert writes(emulator) == []


def test_long_name_is_warned_of(ensure: Ensure, logged: Callable[[], str]) -> None:
    assert ensure(name="n" * 28).state == "success"
    assert "at most 28 characters" not in logged()
    assert ensure(name="n" * 28, enabled=False).state == "success"
    assert ensure(name="n" * 29).state == "success"
    assert "at most 28 characters" in logged()


# DeleteBackupScheduleOperator


def test_schedule_is_deleted_and_its_backups_are_kept(emulator: Emulator, clock: FakeClock) -> None:
    schedule = emulator.add_backup_schedule(INDEX, "nightly", age=1.5 * DAY)
    backups = len(emulator.backups)
    for found in (True, False):
        task = make_task(DeleteBackupScheduleOperator, clock, schedule_id=schedule["schedule_id"])
        outcome = run_try(task, TaskInstance())
        assert (outcome.state, outcome.value["found"]) == ("success", found)
    assert emulator.backup_schedules == []
    assert len(emulator.backups) == backups > 0


@pytest.mark.parametrize("body", [None, b""])
def test_missing_path_of_an_earlier_version_is_no_deletion(
    connect: Connect, emulator: Emulator, clock: FakeClock, body: bytes | None
) -> None:
    connect(api_version="2025-10")
    if body is not None:
        emulator.fault("DELETE", "/backup-schedules/*", status=404, body=body)
    outcome = run_try(make_task(DeleteBackupScheduleOperator, clock, schedule_id="s-1"), TaskInstance())
    assert outcome.state == "failed"
    assert "api_version" in outcome.message


# ScheduledBackupSensor


def test_first_ready_backup_since_a_time_is_returned(
    emulator: Emulator, clock: FakeClock, sense: Sense, mode: dict[str, Any]
) -> None:
    schedule = emulator.add_backup_schedule(INDEX, "nightly", age=3.5 * DAY)
    now = clock.utcnow()
    names = {str(backup["name"]) for backup in emulator.backups}
    for since, expected in [(now - timedelta(days=10), 2.5), (now - timedelta(days=2), 1.5), (now, -0.5)]:
        outcome = sense(schedule["schedule_id"], since, timeout=2 * DAY, **mode)
        assert outcome.state == "success"
        assert run_time(outcome.value) == now - timedelta(days=expected)
        assert outcome.value["status"] == "Ready"
    assert emulator.backups[0]["name"] not in names


@pytest.mark.parametrize("planned_status", ["Scheduled", "Initializing"])
def test_planned_run_is_not_waited_for_as_a_backup(
    emulator: Emulator, clock: FakeClock, sense: Sense, mode: dict[str, Any], planned_status: str
) -> None:
    emulator.scenario.planned_run_status = planned_status
    schedule = emulator.add_backup_schedule(INDEX, "nightly")
    outcome = sense(schedule["schedule_id"], clock.utcnow(), timeout=300, **mode)
    assert type(outcome.error) is AirflowSensorTimeout
    assert "did not create a Ready backup within" in outcome.message
    assert "It has created no backup since" in outcome.message


def test_failed_backup_fails_the_task(emulator: Emulator, clock: FakeClock, sense: Sense, mode: dict[str, Any]) -> None:
    emulator.next_scheduled_backup(fails=True)
    schedule = emulator.add_backup_schedule(INDEX, "nightly", age=1.5 * DAY)
    outcome = sense(schedule["schedule_id"], clock.utcnow() - timedelta(days=1), timeout=300, **mode)
    assert type(outcome.error) is AirflowFailException
    assert f"The backup schedule of index {INDEX} failed" in outcome.message
    assert "InitializationFailed" in outcome.message


def test_ready_backup_counts_after_a_failed_one(emulator: Emulator, clock: FakeClock, sense: Sense) -> None:
    emulator.next_scheduled_backup(fails=True)
    schedule = emulator.add_backup_schedule(INDEX, "nightly", age=2.5 * DAY)
    outcome = sense(schedule["schedule_id"], clock.utcnow() - timedelta(days=3), timeout=300)
    assert outcome.state == "success"
    assert run_time(outcome.value) == clock.utcnow() - timedelta(days=0.5)


@pytest.mark.parametrize(
    ("statuses", "phase"),
    [
        (["InitializationFailed", "Initializing"], "running"),
        (["Initializing", "InitializationFailed"], "running"),
        (["InitializationFailed", "InitializationFailed"], "failed"),
        (["Initializing", "Ready", "InitializationFailed"], "succeeded"),
    ],
)
def test_failed_backup_decides_only_if_none_is_running(statuses: list[str], phase: str) -> None:
    history: Any = [
        {"backup_id": f"b-{n}", "status": status, "name": f"nightly-202607{n + 1:02}T060000Z"}
        for n, status in enumerate(statuses)
    ]
    # A planned run of which Pinecone tells no time.
    history.append({"backup_id": "planned", "status": "Initializing", "created_at": "2026-07-20T00:00:00Z"})
    spec = WaitSpec("schedule", "s-1", 0.0, 1.0, since=0.0)
    now = datetime(2026, 7, 30, tzinfo=UTC).timestamp()
    model, _ = SCHEDULE.judge(history, spec, now)
    assert SCHEDULE.phase(model) == phase


def test_missing_schedule_fails_the_task(sense: Sense, clock: FakeClock, mode: dict[str, Any]) -> None:
    outcome = sense("no-such-schedule", clock.utcnow(), timeout=300, **mode)
    assert type(outcome.error) is AirflowFailException
    assert "HTTP 404" in outcome.message


@pytest.mark.parametrize("since", ["2026-07-01T06:00:00+02:00", "2026-07-01", datetime(2026, 7, 1, tzinfo=UTC)])
def test_since_can_be_a_time_or_a_text(sense: Sense, since: Any, emulator: Emulator) -> None:
    schedule = emulator.add_backup_schedule(INDEX, "nightly", age=1.5 * DAY)
    assert sense(schedule["schedule_id"], since, timeout=60).state in ("failed", "success")


@pytest.mark.parametrize("since", ["soon", "", 5, None, timedelta(days=1)])
def test_invalid_since_is_an_error_when_the_dag_is_parsed(since: Any) -> None:
    with pytest.raises(ValueError, match="since must be a datetime, or a template that renders to an ISO time"):
        ScheduledBackupSensor(task_id="ready", schedule_id="s-1", since=since)


def test_rendered_since_that_is_no_time_fails_the_task(sense: Sense, mode: dict[str, Any], clock: FakeClock) -> None:
    task = make_task(
        ScheduledBackupSensor, clock, task_id="ready", schedule_id="s-1", since="{{ params.since }}", **mode
    )
    task.since = "None"
    outcome = run_try(task, TaskInstance(task_id="ready"))
    assert type(outcome.error) is AirflowFailException
    assert "since must be a datetime" in outcome.message


# Other tasks


@pytest.mark.parametrize("planned_status", ["Scheduled", "Initializing"])
def test_planned_run_is_not_reused_deleted_or_counted(
    emulator: Emulator, clock: FakeClock, planned_status: str
) -> None:
    emulator.scenario.planned_run_status = planned_status
    emulator.add_backup_schedule(INDEX, "nightly", age=60)
    name = f"nightly-{clock.utcnow() + timedelta(days=1):%Y%m%dT%H%M%SZ}"
    planned = emulator.add_backup(INDEX, status=planned_status, name=name, description=None)["backup_id"]
    report = PineconeHook(clock=clock).backup_report(Policy(IndexRules(DAY)), include_schedules=True)
    assert (report["indexes"][0]["running"], report["indexes"][0]["scheduled"]) == (None, 0)
    prune = make_task(PruneBackupsOperator, clock, index_name=INDEX, keep_last=1, owned_only=False)
    assert run_try(prune, TaskInstance()).value["deleted"] == []
    create = make_task(CreateBackupOperator, clock, index_name=INDEX, reuse_within=DAY)
    assert run_try(create, TaskInstance()).value["backup_id"] != planned


def test_audit_shows_the_next_run_and_warns_of_two_backups(
    emulator: Emulator, clock: FakeClock, logged: Callable[[], str]
) -> None:
    schedule = emulator.add_backup_schedule(INDEX, "nightly", age=1.5 * DAY)
    emulator.add_index("other")
    emulator.add_backup("other", description=OUR_DESCRIPTION)

    def audit() -> Any:
        task = make_task(AuditBackupsOperator, clock, max_age=2 * DAY, include_schedules=True)
        return run_try(task, TaskInstance(task_id="audit")).value

    report = audit()
    rows = {row["index_name"]: row for row in report["indexes"]}
    assert report["schedules_known"]
    next_run = schedule["next_scheduled_run"]
    assert rows[INDEX]["schedule"] == {
        "schedule_id": schedule["schedule_id"],
        "name": "nightly",
        "frequency": "daily",
        "next_scheduled_run": next_run,
    }
    assert (rows[INDEX]["scheduled"], rows[INDEX]["is_backed_up_twice"]) == (1, False)
    assert (rows["other"]["schedule"], rows["other"]["is_backed_up_twice"]) == (None, False)
    assert f"{INDEX}: its backup schedule nightly runs next at {next_run}." in logged()
    assert "backed up twice" not in logged()
    emulator.add_backup(INDEX, age=60, description=OUR_DESCRIPTION)
    assert {row["index_name"]: row["is_backed_up_twice"] for row in audit()["indexes"]} == {INDEX: True, "other": False}
    assert f"Index {INDEX} is backed up twice: by its backup schedule 'nightly', and by this package" in logged()


def test_disabled_schedule_does_not_count(emulator: Emulator) -> None:
    schedule = emulator.add_backup_schedule(INDEX, "nightly", age=1.5 * DAY)
    PineconeHook().schedules.update(schedule["schedule_id"], enabled=False)
    report = PineconeHook().backup_report(Policy(IndexRules(DAY)), include_schedules=True)
    assert report["indexes"][0]["schedule"] is None


@pytest.mark.parametrize("status", [403, 503])
def test_schedules_that_cannot_be_read_do_not_fail_the_audit(
    emulator: Emulator, clock: FakeClock, logged: Callable[[], str], status: int
) -> None:
    emulator.add_backup(INDEX)
    emulator.fault("GET", SCHEDULES, status=status, times=None)
    task = make_task(AuditBackupsOperator, clock, max_age=DAY, include_schedules=True)
    outcome = run_try(task, TaskInstance())
    assert outcome.state == "success"
    assert not outcome.value["schedules_known"]
    assert "The report has no backup schedules: Could not list the backup schedules" in logged()


def test_only_the_schedules_of_the_report_are_read(emulator: Emulator, clock: FakeClock) -> None:
    emulator.add_index("other")
    emulator.add_index("gone")
    emulator.add_backup("gone")
    emulator.add_backup(INDEX)
    # It is deleted after the indexes were listed.
    emulator.fault("GET", "/indexes/gone/backup-schedules", status=404)
    task = make_task(AuditBackupsOperator, clock, max_age=DAY, exclude="other", include_schedules=True)
    outcome = run_try(task, TaskInstance())
    assert outcome.state == "success"
    assert outcome.value["schedules_known"]
    assert [exchange.path for exchange in emulator.requests if "other" in exchange.path] == []


def test_unknown_schedules_are_not_read(emulator: Emulator) -> None:
    report = PineconeHook().backup_report(Policy(IndexRules(DAY)))
    assert (report["schedules_known"], report["indexes"][0]["schedule"]) == (False, None)
    assert [exchange for exchange in emulator.requests if "schedules" in exchange.path] == []


def test_conflict_of_pinecone_is_typed(emulator: Emulator) -> None:
    emulator.add_backup_schedule(INDEX, "other")
    with pytest.raises(Conflict):
        PineconeHook().schedules.create(INDEX, name="nightly", frequency="daily", retention_days=7)
