"""CreateBackupOperator: one task creates one backup, over all of its tries."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import LOST_RESPONSES, PATHS, WAITS, methods
from support.tasks import Connect, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import BackupFailed, CreateOutcomeUnknown, PineconeInputError, WaitTimeout
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.waiting.intervals import SEARCH_SECONDS

CREATE = ("POST", "/indexes/*/backups")
LIST = ("GET", "/indexes/*/backups")
# A week after the start of the clock.
IN_A_WEEK = "2025-06-22T15:06:40Z"

pytestmark = pytest.mark.usefixtures("world")
each_lost_response = pytest.mark.parametrize("lost", LOST_RESPONSES.values(), ids=LOST_RESPONSES)
each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
each_wait = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)

Create = Callable[..., Any]


@pytest.fixture
def create(clock: FakeClock) -> Create:
    """Create the operator for the index docs-example: `create(timeout=60)`."""

    def create(**arguments: Any) -> Any:
        return make_task(CreateBackupOperator, clock, **{"index_name": INDEX, **arguments})

    return create


def marks(emulator: Emulator) -> set[str]:
    return {backup["description"].rsplit("[", 1)[1] for backup in emulator.backups}


def hold_in(description: str) -> str | None:
    """Return the end of the hold that stands before the mark."""
    found = re.search(r"\[hold until (\S+)\] \[airflow-pinecone [0-9a-f]{32}\]$", description)
    return found and found[1]


# The first try


def test_create_sends_one_request_and_returns_the_response(emulator: Emulator, create: Create) -> None:
    ti = TaskInstance()
    outcome = run_try(create(), ti)
    assert methods(emulator) == ["POST"]
    assert outcome.state == "success"
    assert ti.xcoms["return_value"] == outcome.value == emulator.requests[0].answer
    assert ti.xcoms["backup_id"] == emulator.backups[0]["backup_id"]


def test_description_names_the_task(emulator: Emulator, create: Create) -> None:
    run_try(create(description="Before the reindex"), TaskInstance(map_index=3))
    description = emulator.backups[0]["description"]
    assert description.startswith("Before the reindex | ")
    assert "dag etl, run manual__1, task backup, map index 3 [" in description


def test_backup_has_a_default_name_and_no_hold(
    emulator: Emulator, create: Create, clock: FakeClock, logged: Callable[[], str]
) -> None:
    run_try(create(), TaskInstance())
    assert emulator.backups[0]["name"] == f"docs-example-{clock.utcnow():%Y%m%d-%H%M%S}"
    assert "hold" not in emulator.backups[0]["description"]
    assert "a retry creates another backup" not in logged()


@pytest.mark.parametrize("api_version", ["2025-10", "2026-04"])
@pytest.mark.parametrize("name", ["Nightly Backup No. 7", ""])
def test_name_is_sent_unchanged_before_version_2026_07(emulator: Emulator, create: Create, name: str) -> None:
    run_try(create(name=name), TaskInstance())
    assert emulator.requests[0].body["name"] == name


@each_path
def test_id_is_pushed_before_the_wait(emulator: Emulator, create: Create, path: dict[str, Any]) -> None:
    emulator.next_backup(backup_ends="never")
    ti = TaskInstance()
    outcome = run_try(create(**path, timeout=60), ti)
    assert outcome.state == ("up_for_retry" if path["wait_for_completion"] else "success")
    assert ti.xcoms["backup_id"] == emulator.backups[0]["backup_id"]


def test_log_names_the_backup_before_and_after_the_request(
    emulator: Emulator, create: Create, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    def fail(key: str, value: Any) -> None:
        raise ConnectionError("Airflow cannot be reached")

    ti = TaskInstance()
    monkeypatch.setattr(ti, "xcom_push", fail)
    assert run_try(create(), ti).state == "up_for_retry"
    (backup,), log = emulator.backups, logged()
    assert f"Creating backup {backup['name']} of index {INDEX}" in log
    assert f"Its description ends with {backup['description'][-51:]}" in log
    assert f"Created backup {backup['backup_id']}" in log


def test_request_that_fails_is_logged_before(emulator: Emulator, create: Create, logged: Callable[[], str]) -> None:
    emulator.fault(*CREATE, status=400)
    run_try(create(name="nightly"), TaskInstance())
    assert f"Creating backup nightly of index {INDEX}" in logged()


@pytest.mark.parametrize("deferrable", [False, True])
def test_airflow_tasks_test_does_not_search(
    emulator: Emulator, create: Create, clock: FakeClock, deferrable: bool
) -> None:
    """It runs a task that has not been scheduled, and whose try number is 0."""
    task = create(wait_for_completion=True, deferrable=deferrable, settle=60)
    assert run_try(task, TaskInstance(try_number=0)).state == "success"
    assert (methods(emulator)[0], clock.slept[0]) == ("POST", 60)


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (400, "The index is pod-based.", "Migrate the index"),
        (401, "Invalid key", "Check the API key"),
        (402, "Pay", "past-due"),
        (403, "Increase your quota or upgrade.", "PruneBackupsOperator"),
        (404, "Not found", "Check the name"),
        (422, "Failed to deserialize the body", "could not parse"),
    ],
)
def test_rejected_request_fails_without_a_retry(
    emulator: Emulator, create: Create, status: int, message: str, hint: str
) -> None:
    body = {"status": status, "error": {"code": "FORBIDDEN", "message": message}}
    emulator.fault(*CREATE, status=status, body=json.dumps(body).encode())
    outcome = run_try(create(), TaskInstance())
    assert outcome.state == "failed"
    assert INDEX in outcome.message
    assert f"HTTP {status}" in outcome.message
    assert hint in outcome.message
    assert methods(emulator) == ["POST"]


@pytest.mark.parametrize("index_name", ["", None, "Docs", "a/b", "../x", "x" * 46])
@pytest.mark.parametrize("try_number", [1, 2])
def test_invalid_index_name_fails_before_any_request(
    emulator: Emulator, create: Create, index_name: Any, try_number: int
) -> None:
    outcome = run_try(create(index_name=index_name), TaskInstance(try_number=try_number))
    assert outcome.state == "failed"
    assert "1 to 45" in outcome.message
    assert emulator.requests == []


# A lost response


@each_path
@each_lost_response
@pytest.mark.parametrize("listed_after", [0, 20])
def test_lost_response_creates_one_backup_although_the_list_lags(
    emulator: Emulator,
    create: Create,
    connect: Connect,
    listed_after: float,
    lost: dict[str, Any],
    path: dict[str, Any],
) -> None:
    connect(timeout=0.3 if "hang" in lost else 30)
    emulator.scenario.listed_after = listed_after
    emulator.next_backup(ready_after=120)
    fault = emulator.fault(*CREATE, **lost)
    outcome = run_try(create(**path), TaskInstance())
    assert outcome.state == "success"
    assert fault.hits == 1
    assert methods(emulator).count("POST") == 1
    assert len(emulator.backups) == 1
    assert outcome.value["backup_id"] == emulator.backups[0]["backup_id"]


@each_path
@each_lost_response
def test_lost_responses_of_two_tries_create_one_backup(
    emulator: Emulator, create: Create, connect: Connect, lost: dict[str, Any], path: dict[str, Any]
) -> None:
    """The first create request never reaches Pinecone, the second one does; both responses are lost."""
    connect(timeout=0.3 if "hang" in lost else 30)
    emulator.fault(*CREATE, drop="before")
    # A fault only counts requests that no earlier fault has claimed.
    emulator.fault(*CREATE, **lost)
    ti = TaskInstance()
    first = run_try(create(**path), ti)
    assert (first.state, type(first.error)) == ("up_for_retry", CreateOutcomeUnknown)
    assert emulator.backups == []
    ti.retry()
    assert run_try(create(**path), ti).state == "success"
    assert methods(emulator).count("POST") == 2
    assert len(emulator.backups) == 1


@each_path
def test_retry_resumes_with_a_backup_that_appears_late(
    emulator: Emulator, create: Create, path: dict[str, Any]
) -> None:
    emulator.next_backup(listed_after=45)
    emulator.fault(*CREATE, drop="after")
    ti = TaskInstance()
    first = run_try(create(**path), ti)
    assert (first.state, type(first.error)) == ("up_for_retry", CreateOutcomeUnknown)
    assert methods(emulator).count("POST") == 1
    ti.retry()
    outcome = run_try(create(**path), ti)
    assert outcome.state == "success"
    assert methods(emulator).count("POST") == 1
    assert len(emulator.backups) == 1


def test_error_names_the_mark_if_the_backup_is_not_found(emulator: Emulator, create: Create, clock: FakeClock) -> None:
    emulator.fault(*CREATE, drop="before")
    started_at = clock.now
    outcome = run_try(create(retries=0), TaskInstance(retries=0))
    # Without a try left, Airflow fails the task.
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", CreateOutcomeUnknown)
    assert clock.now - started_at == pytest.approx(SEARCH_SECONDS)
    assert INDEX in outcome.message
    description = emulator.requests[0].body["description"]
    assert description[description.index("[airflow-pinecone") :] in outcome.message
    assert "Clear the task" in outcome.message
    assert "etry the task" not in outcome.message


def test_error_gives_no_advice_if_airflow_retries_the_task(emulator: Emulator, create: Create) -> None:
    emulator.fault(*CREATE, drop="before")
    outcome = run_try(create(), TaskInstance())
    assert type(outcome.error) is CreateOutcomeUnknown
    assert "the task" not in outcome.message


def test_search_that_fails_does_not_create_a_second_backup(emulator: Emulator, create: Create) -> None:
    """While the list cannot be read, it is unknown whether the first try created a backup: no request to create one."""
    ti = TaskInstance()
    emulator.fault(*CREATE, drop="after")
    emulator.fault(*LIST, status=503, times=None)
    for _ in range(3):
        assert run_try(create(), ti).state == "up_for_retry"
        ti.retry()
    assert len(emulator.backups) == 1
    assert methods(emulator).count("POST") == 1


# Retries and clears


@each_path
def test_retry_resumes_with_the_backup_of_a_killed_try(
    emulator: Emulator, create: Create, path: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(key: str, value: Any) -> None:
        raise Killed

    ti = TaskInstance()
    with monkeypatch.context() as patch:
        patch.setattr(ti, "xcom_push", kill)
        with pytest.raises(Killed):
            run_try(create(**path), ti)
    ti.retry()
    outcome = run_try(create(**path), ti)
    assert outcome.state == "success"
    assert len(emulator.backups) == 1
    assert outcome.value["backup_id"] == emulator.backups[0]["backup_id"]


def test_retry_searches_before_it_creates(emulator: Emulator, create: Create, clock: FakeClock) -> None:
    started_at = clock.now
    assert run_try(create(), TaskInstance(try_number=2)).state == "success"
    assert clock.now - started_at == pytest.approx(SEARCH_SECONDS)
    assert methods(emulator)[0] == "GET"
    assert methods(emulator)[-1] == "POST"
    assert len(emulator.backups) == 1


@each_wait
def test_retry_resumes_with_the_backup_after_a_timeout(
    emulator: Emulator, create: Create, wait: dict[str, Any]
) -> None:
    emulator.next_backup(ready_after=1000)
    arguments = {**wait, "timeout": 600, "hold_until": timedelta(days=7)}
    ti = TaskInstance()
    first = run_try(create(**arguments), ti)
    assert (first.state, type(first.error)) == ("up_for_retry", WaitTimeout)
    ti.retry()
    assert run_try(create(**arguments), ti).state == "success"
    assert [hold_in(backup["description"]) for backup in emulator.backups] == [IN_A_WEEK]


@each_wait
def test_retry_creates_a_backup_after_a_failed_one(
    emulator: Emulator, create: Create, wait: dict[str, Any], logged: Callable[[], str]
) -> None:
    emulator.next_backup(fails=True, ready_after=60)
    ti = TaskInstance()
    first = run_try(create(**wait), ti)
    assert (first.state, type(first.error)) == ("up_for_retry", BackupFailed)
    (failed,) = emulator.backups
    ti.retry()
    outcome = run_try(create(**wait), ti)
    assert outcome.state == "success"
    statuses = {backup["backup_id"]: backup["status"] for backup in emulator.backups}
    assert sorted(statuses.values()) == ["Failed", "Ready"]
    assert statuses[outcome.value["backup_id"]] == "Ready"
    # The search finds it in several lists, and logs it once. Airflow 2 can log a message in two places.
    lines = [line for line in logged().splitlines() if "Ignoring failed" in line and failed["backup_id"] in line]
    assert 1 <= len(lines) <= 2 < methods(emulator).count("GET")


@each_path
def test_retry_resumes_with_its_backup_although_the_index_was_deleted(
    emulator: Emulator, create: Create, path: dict[str, Any]
) -> None:
    ti = TaskInstance()
    first = run_try(create(), ti)
    PineconeHook().delete_index(INDEX)
    ti.retry()
    outcome = run_try(create(**path), ti)
    assert outcome.state == "success", outcome.message
    assert outcome.value["backup_id"] == first.value["backup_id"]


def test_retry_fails_if_the_index_was_deleted_and_its_backup_failed(emulator: Emulator, create: Create) -> None:
    emulator.next_backup(fails=True)
    emulator.add_backup(INDEX)
    ti = TaskInstance()
    run_try(create(wait_for_completion=True), ti)
    PineconeHook().delete_index(INDEX)
    ti.retry()
    outcome = run_try(create(wait_for_completion=True), ti)
    assert outcome.state == "failed"
    assert "HTTP 404" in outcome.message


@each_wait
@pytest.mark.parametrize("records", [98_000, None])
def test_failed_backup_names_the_newest_one_that_can_be_restored(
    emulator: Emulator, create: Create, wait: dict[str, Any], records: int | None
) -> None:
    older = emulator.add_backup(INDEX, age=3600, record_count=records)
    emulator.next_backup(fails=True, ready_after=60)
    outcome = run_try(create(**wait), TaskInstance())
    assert type(outcome.error) is BackupFailed
    *_, restorable, ids = outcome.message.splitlines()
    with_records = " (98,000 records)" if records else ""
    assert restorable == f"You can still restore backup {older['backup_id']} of 2025-06-15 14:06:40 UTC{with_records}."
    assert ids.startswith("Backup id: ")


@each_wait
@pytest.mark.parametrize("status", [None, 404, 503])
def test_failed_backup_is_reported_although_no_other_one_is_found(
    emulator: Emulator, create: Create, wait: dict[str, Any], status: int | None
) -> None:
    emulator.next_backup(fails=True, ready_after=60)
    if status:
        emulator.fault(*LIST, status=status, times=None)
        emulator.fault("GET", "/backups", status=503, times=None)
    outcome = run_try(create(**wait), TaskInstance())
    assert type(outcome.error) is BackupFailed
    assert f"of index {INDEX} failed" in outcome.message
    assert "still restore" not in outcome.message


def test_clear_creates_a_backup_and_its_retry_resumes_with_that(emulator: Emulator, create: Create) -> None:
    ti = TaskInstance(retries=1)
    first = run_try(create(retries=1), ti)
    ti.clear()
    emulator.next_backup(listed_after=45)
    emulator.fault(*CREATE, drop="after")
    assert run_try(create(retries=1), ti).state == "up_for_retry"
    ti.retry()
    second = run_try(create(retries=1), ti)
    assert second.state == "success"
    assert {b["backup_id"] for b in emulator.backups} == {first.value["backup_id"], second.value["backup_id"]}
    assert methods(emulator).count("POST") == len(emulator.backups) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"run_id": "manual__2"},
        {"dag_id": "etl2"},
        {"task_id": "backup2"},
        {"map_index": 1},
        # Another Airflow installation, or a rebuilt metadata database, with the same ids.
        {"run_started": datetime(2025, 5, 14, 16, 37, 25, 625541, tzinfo=UTC)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_two_tasks_do_not_share_a_backup(emulator: Emulator, create: Create, other: dict[str, Any]) -> None:
    for ti in (TaskInstance(), TaskInstance(**other)):
        run_try(create(), ti)
        ti.retry()
        run_try(create(), ti)
    assert len(emulator.backups) == len(marks(emulator)) == 2


# The wait


def test_create_and_polls_share_a_connection(emulator: Emulator, create: Create) -> None:
    emulator.next_backup(ready_after=60)
    run_try(create(wait_for_completion=True), TaskInstance())
    assert len(emulator.requests) > 3
    assert len({exchange.peer for exchange in emulator.requests}) == 1


def test_task_does_not_defer_for_a_ready_backup(create: Create) -> None:
    def fail() -> None:
        raise AssertionError("The task was deferred.")

    ti = TaskInstance()
    run_try(create(), ti)
    ti.retry()
    task = create(wait_for_completion=True, deferrable=True)
    assert run_try(task, ti, between=fail).state == "success"


@each_wait
def test_five_hour_wait_takes_about_330_requests(emulator: Emulator, create: Create, wait: dict[str, Any]) -> None:
    emulator.next_backup(ready_after=5 * 3600)
    assert run_try(create(**wait), TaskInstance()).state == "success"
    assert 300 <= len(emulator.requests) <= 340


def test_poke_interval_sets_the_time_between_polls(emulator: Emulator, create: Create, clock: FakeClock) -> None:
    emulator.next_backup(ready_after=100)
    run_try(create(wait_for_completion=True, poke_interval=timedelta(seconds=7)), TaskInstance())
    assert set(clock.slept) == {7.0}


def test_on_kill_logs_that_the_backup_is_kept(emulator: Emulator, create: Create, logged: Callable[[], str]) -> None:
    task = create()
    task.on_kill()
    run_try(task, TaskInstance())
    assert "is kept" not in logged()
    task.on_kill()
    assert f"Backup {emulator.backups[0]['backup_id']} is kept in Pinecone" in logged()
    assert methods(emulator) == ["POST"]


# The arguments


def test_template_fields() -> None:
    fields = ("index_name", "name", "description", "hold_until", "conn_id")
    assert tuple(CreateBackupOperator.template_fields) == fields


@pytest.mark.parametrize("argument", ["poke_interval", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True])
def test_invalid_duration_is_an_error(create: Create, argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=argument):
        create(**{argument: value})


# The scheduler and the worker disagree about retries


@pytest.mark.parametrize(("scheduler", "worker"), [(2, 0), (2, 1), (0, 2), (2, 5)])
def test_tries_create_one_backup_although_scheduler_and_worker_disagree_about_retries(
    emulator: Emulator, create: Create, scheduler: int, worker: int
) -> None:
    ti = TaskInstance(retries=scheduler)
    for _ in range(3):
        assert run_try(create(retries=worker), ti).state == "success"
        ti.retry()
    assert methods(emulator).count("POST") == 1


def test_first_try_after_a_clear_searches_once_and_does_not_wait(
    emulator: Emulator, create: Create, clock: FakeClock
) -> None:
    ti = TaskInstance()
    run_try(create(), ti)
    ti.clear()
    started_at = clock.now
    assert run_try(create(), ti).state == "success"
    assert methods(emulator) == ["POST", "GET", "POST"]
    assert clock.now == started_at


# The mark


@pytest.mark.parametrize("description", ["Before the reindex", None, ...])
def test_lost_mark_is_logged(emulator: Emulator, create: Create, logged: Callable[[], str], description: Any) -> None:
    emulator.next_backup(fields={"description": description})
    assert run_try(create(), TaskInstance()).state == "success"
    log = logged()
    assert f"did not return the end of the description of backup {emulator.backups[0]['backup_id']}" in log
    assert "a retry creates another backup" in log


# The search and execution_timeout


def test_execution_timeout_limits_the_search(
    emulator: Emulator, create: Create, clock: FakeClock, logged: Callable[[], str]
) -> None:
    started_at = clock.now
    task = create(execution_timeout=timedelta(seconds=20))
    assert run_try(task, TaskInstance(try_number=2)).state == "success"
    assert methods(emulator)[-1] == "POST"
    assert clock.now - started_at == pytest.approx(10)
    assert "limited to 10 s" in logged()


def test_execution_timeout_limits_the_search_after_a_lost_response(
    emulator: Emulator, create: Create, clock: FakeClock
) -> None:
    emulator.fault(*CREATE, drop="before")
    started_at = clock.now
    outcome = run_try(create(execution_timeout=timedelta(seconds=20)), TaskInstance())
    assert type(outcome.error) is CreateOutcomeUnknown
    assert "within 10 s" in outcome.message
    assert clock.now - started_at == pytest.approx(10)


# delete_on_kill and fail_fast


def fail_fast_dag() -> DAG:
    name = "fail_fast" if "fail_fast" in inspect.signature(DAG).parameters else "fail_stop"
    arguments: dict[str, Any] = {"schedule": None, "start_date": datetime(2025, 1, 1, tzinfo=UTC), name: True}
    return DAG("etl", **arguments)


def test_delete_on_kill_is_refused_in_a_dag_with_fail_fast() -> None:
    with fail_fast_dag(), pytest.raises(PineconeInputError, match="fail_fast"):
        CreateBackupOperator(task_id="backup", index_name=INDEX, delete_on_kill=True)
    with fail_fast_dag():
        CreateBackupOperator(task_id="backup", index_name=INDEX)


def test_task_that_is_added_to_a_dag_with_fail_fast_keeps_its_backup(
    emulator: Emulator, create: Create, clock: FakeClock
) -> None:
    emulator.next_backup(backup_ends="never")
    task = create(delete_on_kill=True, wait_for_completion=True, deferrable=True, trigger_rule="all_success")
    task.dag = fail_fast_dag()
    with pytest.raises(TaskDeferred) as caught:
        task.execute(TaskInstance().context)
    assert caught.value.trigger.serialize()[1]["delete_on_kill"] is False


# The hold


@pytest.mark.parametrize(
    ("hold", "end"),
    [
        *((hold, IN_A_WEEK) for hold in (timedelta(days=7), 7 * 86400, 604800.0, "604800", " 604800.0 ")),
        (date(2099, 6, 1), "2099-06-01T00:00:00Z"),
        ("2099-06-01", "2099-06-01T00:00:00Z"),
        (datetime(2099, 6, 1, 2), "2099-06-01T02:00:00Z"),
        ("2099-06-01T02:00:00.000001+02:00", "2099-06-01T00:00:01Z"),
        ("2099-06-01 02:00:00Z", "2099-06-01T02:00:00Z"),
        ("20990601", "2099-06-01T00:00:00Z"),  # as {{ ds_nodash }}
        (datetime(2099, 6, 1, 2, tzinfo=timezone(timedelta(hours=9))), "2099-05-31T17:00:00Z"),
    ],
    ids=repr,
)
def test_hold_can_be_a_duration_a_date_or_a_time(emulator: Emulator, create: Create, hold: Any, end: str) -> None:
    assert run_try(create(hold_until=hold), TaskInstance()).state == "success"
    assert hold_in(emulator.backups[0]["description"]) == end


def test_hold_is_rendered(emulator: Emulator, create: Create) -> None:
    task = create(hold_until="{{ (run_after + macros.timedelta(days=1)).isoformat() }}")
    context = {"run_after": datetime(2099, 6, 1, tzinfo=UTC), "macros": SimpleNamespace(timedelta=timedelta)}
    task.render_template_fields(context, jinja2.Environment())  # noqa: S701
    assert run_try(task, TaskInstance()).state == "success"
    assert hold_in(emulator.backups[0]["description"]) == "2099-06-02T00:00:00Z"


def test_hold_in_the_past_is_logged(emulator: Emulator, create: Create, logged: Callable[[], str]) -> None:
    assert run_try(create(hold_until="2001-01-01"), TaskInstance()).state == "success"
    assert hold_in(emulator.backups[0]["description"]) is None
    assert "without a hold: hold_until is 2001-01-01" in logged()


@pytest.mark.parametrize(
    "hold",
    [
        *("", "None", "soon", "7 days, 0:00:00", "-5", "0", "1e3", "nan", "9" * 400, "2099-02-31", [], {}),
        # Too far away.
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-9))),
    ],
    ids=repr,
)
def test_invalid_hold_fails_before_any_request(emulator: Emulator, create: Create, hold: Any) -> None:
    outcome = run_try(create(hold_until=hold), TaskInstance())
    assert outcome.state == "failed"
    assert "hold_until must be" in outcome.message
    assert emulator.requests == []


@pytest.mark.parametrize("hold", [0, -1, True, float("nan"), float("inf"), timedelta(0), timedelta.max], ids=repr)
def test_invalid_duration_of_a_hold_is_an_error_of_the_dag(create: Create, hold: Any) -> None:
    with pytest.raises(PineconeInputError, match="hold_until must be"):
        create(hold_until=hold)


def test_hold_cannot_be_used_with_reuse_within(create: Create) -> None:
    with pytest.raises(PineconeInputError, match="reuse_within"):
        create(hold_until=timedelta(days=7), reuse_within=3600)
