"""With settle, CreateBackupOperator waits before it creates a backup, so that the newest writes are in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from support.clients import set_connection
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import methods
from support.tasks import OutletEventAccessors, TaskInstance, make_task, run_trigger, run_try

from airflow_pinecone.api.models import WRITE_LAG
from airflow_pinecone.assets import backup_asset
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import BackupFailed, PineconeInputError, WaitTimeout
from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.runtime.airflow_versions import trigger_at
from airflow_pinecone.waiting.intervals import DEFERRAL_MARGIN

SETTLE = 900.0
CREATE = ("POST", "/indexes/*/backups")
# In the worker or in the triggerer, with and without a wait for the backup.
PATHS: dict[str, dict[str, Any]] = {
    f"{place}, {'wait' if waits else 'no wait'}": {"deferrable": place == "triggerer", "wait_for_completion": waits}
    for place in ("worker", "triggerer")
    for waits in (False, True)
}

pytestmark = pytest.mark.usefixtures("world")
each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
each_place = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "triggerer"])

Create = Callable[..., Any]


@pytest.fixture
def create(clock: FakeClock) -> Create:
    """Create the operator with a settle of 15 minutes: `create(timeout=60)`."""

    def create(**arguments: Any) -> Any:
        return make_task(CreateBackupOperator, clock, **{"index_name": INDEX, "settle": WRITE_LAG, **arguments})

    return create


def defer(task: Any, ti: TaskInstance) -> TaskDeferred:
    """Run a try until it defers, and return what it gives to Airflow."""
    with pytest.raises(TaskDeferred) as caught:
        task.execute(ti.context)
    return caught.value


def resume(task: Any, deferred: TaskDeferred, ti: TaskInstance) -> Any:
    """Resume a deferred task, as Airflow does: in another process, with stored arguments."""
    arguments = {**json.loads(json.dumps(deferred.kwargs)), "event": run_trigger(deferred.trigger, task.clock)}
    return task.recreate().resume_execution(deferred.method_name, arguments, ti.context)


# The wait


@each_path
def test_backup_is_created_after_the_wait(
    emulator: Emulator, create: Create, clock: FakeClock, path: dict[str, Any]
) -> None:
    emulator.next_backup(ready_after=60)
    started_at, ti = clock.now, TaskInstance()
    outcome = run_try(create(**path), ti)
    assert outcome.state == "success"
    assert clock.slept[0] == SETTLE
    assert clock.slept.count(SETTLE) == 1
    (backup,) = emulator.backups
    created = datetime.fromisoformat(backup["created_at"])
    assert created.timestamp() == started_at + SETTLE
    assert ti.xcoms["backup_id"] == outcome.value["backup_id"] == backup["backup_id"]
    assert outcome.value["status"] == ("Ready" if path["wait_for_completion"] else "Initializing")
    assert methods(emulator)[0] == "POST"


@each_place
def test_name_has_the_time_of_the_create_request(
    emulator: Emulator, create: Create, clock: FakeClock, deferrable: bool
) -> None:
    started_at = clock.utcnow()
    run_try(create(deferrable=deferrable, hold_until=timedelta(hours=1)), TaskInstance())
    (backup,) = emulator.backups
    assert backup["name"] == f"docs-example-{started_at + WRITE_LAG:%Y%m%d-%H%M%S}"
    end = started_at + WRITE_LAG + timedelta(hours=1)
    assert f"[hold until {end:%Y-%m-%dT%H:%M:%SZ}]" in backup["description"]


@pytest.mark.parametrize("deferrable", [False, True])
def test_without_settle_the_backup_is_created_at_once(
    emulator: Emulator, create: Create, clock: FakeClock, deferrable: bool
) -> None:
    assert run_try(create(settle=None, deferrable=deferrable), TaskInstance()).state == "success"
    assert clock.slept == []
    assert methods(emulator) == ["POST"]


@each_place
def test_log_says_until_when_and_why_the_task_waits(
    create: Create, deferrable: bool, logged: Callable[[], str]
) -> None:
    run_try(create(deferrable=deferrable), TaskInstance())
    # Airflow 2 logs to both places that `logged` reads.
    (line, *_) = [line for line in logged().splitlines() if "Waiting until" in line]
    assert "2025-06-15 15:21:40 UTC" in line
    assert "settle is 0:15:00" in line
    assert "written at least 15 minutes before it" in line


def test_deferred_task_uses_the_trigger_of_airflow_and_ends_without_a_triggerer(
    create: Create, clock: FakeClock
) -> None:
    started_at, ti = clock.now, TaskInstance(try_number=1)
    deferred = defer(create(deferrable=True, timeout=600), ti)
    assert deferred.trigger.serialize()[0].endswith(".temporal.DateTimeTrigger")
    assert deferred.trigger.moment == datetime.fromtimestamp(started_at + SETTLE, UTC)
    assert deferred.kwargs == {"try_number": 1, "started_at": started_at}
    assert deferred.timeout == timedelta(seconds=SETTLE + 600) + DEFERRAL_MARGIN
    limited = defer(create(deferrable=True, timeout=600, execution_timeout=timedelta(seconds=1000)), ti)
    assert limited.timeout == timedelta(seconds=1000) + DEFERRAL_MARGIN
    # A retry first searches for 30 seconds. Its trigger must not time out before the end of the wait.
    retry = defer(create(deferrable=True, timeout=10), TaskInstance(try_number=2))
    assert retry.timeout == timedelta(seconds=SETTLE + 10) + DEFERRAL_MARGIN


def test_short_wait_is_not_deferred(emulator: Emulator, create: Create, clock: FakeClock) -> None:
    """Airflow may take a deferral that ends within two seconds for a failed try."""
    create(deferrable=True, settle=4.9).execute(TaskInstance().context)
    assert clock.slept == [4.9]
    assert len(emulator.backups) == 1
    defer(create(deferrable=True, settle=5), TaskInstance())


def test_a_task_that_is_killed_during_the_wait_creates_nothing(
    emulator: Emulator, create: Create, clock: FakeClock, logged: Callable[[], str]
) -> None:
    task = create(delete_on_kill=True)

    def kill(seconds: float) -> None:
        task.on_kill()
        raise KeyboardInterrupt

    clock.on_sleep = kill
    with pytest.raises(KeyboardInterrupt):
        task.execute(TaskInstance().context)
    assert emulator.requests == []
    assert "is kept" not in logged()


def test_event_says_that_the_writes_before_the_task_are_in_the_backup(create: Create, clock: FakeClock) -> None:
    asset = backup_asset(INDEX)
    events: Any = OutletEventAccessors()
    task = create(outlets=[asset])
    started_at = clock.utcnow()
    task.execute({**TaskInstance().context, "outlet_events": events})
    assert events[asset].extra["covers_writes_until"] == f"{started_at:%Y-%m-%dT%H:%M:%SZ}"


# No second wait


@each_path
def test_retry_that_finds_a_backup_does_not_wait(
    emulator: Emulator, create: Create, clock: FakeClock, path: dict[str, Any]
) -> None:
    emulator.next_backup(ready_after=60)
    ti = TaskInstance()
    first = run_try(create(**{**path, "wait_for_completion": False}), ti)
    clock.slept.clear()
    ti.retry()
    outcome = run_try(create(**path), ti)
    assert outcome.state == "success"
    assert outcome.value["backup_id"] == first.value["backup_id"]
    assert SETTLE not in clock.slept
    assert methods(emulator).count("POST") == 1


@each_place
@pytest.mark.parametrize(
    ("age", "slept", "requests"), [(60, [], ["GET"]), (7200, [SETTLE], ["GET", "POST"])], ids=["young", "old"]
)
def test_task_only_waits_if_there_is_no_backup_to_reuse(
    emulator: Emulator,
    create: Create,
    clock: FakeClock,
    deferrable: bool,
    age: float,
    slept: list[float],
    requests: list[str],
) -> None:
    backup = emulator.add_backup(INDEX, age=age)
    outcome = run_try(create(deferrable=deferrable, reuse_within=3600), TaskInstance())
    assert outcome.state == "success"
    assert (outcome.value["backup_id"] == backup["backup_id"]) == (age < 3600)
    assert clock.slept == slept
    assert methods(emulator) == requests


@pytest.mark.parametrize(
    ("run_age", "backup_age", "has_upstream", "reused"),
    [
        # A backup includes what was written at least 15 minutes before it.
        (0, 60, False, False),
        (1800, 1200, False, False),
        (3600, 1200, False, True),
        # A task before this one may have written since the start of the run.
        (3600, 1200, True, False),
    ],
)
def test_backup_that_may_lack_the_load_is_not_reused(
    emulator: Emulator,
    create: Create,
    clock: FakeClock,
    run_age: float,
    backup_age: float,
    has_upstream: bool,
    reused: bool,
    logged: Callable[[], str],
) -> None:
    backup = emulator.add_backup(INDEX, age=backup_age)
    ti = TaskInstance(run_started=clock.utcnow() - timedelta(seconds=run_age))
    task = create(reuse_within=7200)
    if has_upstream:
        task.upstream_task_ids.add("load")
    outcome = run_try(task, ti)
    assert outcome.state == "success"
    assert (outcome.value["backup_id"] == backup["backup_id"]) is reused
    assert ("Because of settle, it must cover writes until" in logged()) is not reused


@each_place
def test_key_that_is_replaced_during_the_wait(
    emulator: Emulator, create: Create, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    def replace_key(*_: object) -> None:
        emulator.api_key = "the-new-key"
        set_connection(monkeypatch, host=emulator.url, password="the-new-key")

    clock.on_sleep = replace_key
    outcome = run_try(create(deferrable=deferrable, reuse_within=3600), TaskInstance(), between=replace_key)
    assert outcome.state == "success", outcome.message
    assert len(emulator.backups) == 1


@each_place
def test_retry_that_finds_no_backup_waits(
    emulator: Emulator, create: Create, clock: FakeClock, deferrable: bool
) -> None:
    """The first try was killed while it waited."""
    between: list[str] = []
    task, ti = create(deferrable=deferrable), TaskInstance(try_number=2)
    outcome = run_try(task, ti, between=lambda: between.extend(methods(emulator)))
    assert outcome.state == "success"
    assert outcome.value["backup_id"] == emulator.backups[0]["backup_id"]
    assert set(between) == ({"GET"} if deferrable else set())
    assert clock.slept.count(SETTLE) == 1
    assert methods(emulator)[-1] == "POST"
    assert len(emulator.backups) == 1


@each_place
def test_retry_after_a_failed_backup_waits_again(
    emulator: Emulator, create: Create, clock: FakeClock, deferrable: bool
) -> None:
    emulator.next_backup(fails=True)
    ti, task = TaskInstance(), create(deferrable=deferrable, wait_for_completion=True)
    assert isinstance(run_try(task, ti).error, BackupFailed)
    ti.retry()
    assert run_try(task.recreate(), ti).state == "success"
    assert clock.slept.count(SETTLE) == 2
    assert len(emulator.backups) == 2


@each_place
def test_retry_resumes_with_the_backup_that_an_earlier_try_created_during_the_wait(
    emulator: Emulator, create: Create, clock: FakeClock, deferrable: bool
) -> None:
    """After a crash of the scheduler, the next try starts while the process of the earlier one is still running."""
    earlier = TaskInstance()
    retry = TaskInstance(try_number=2)

    def let_the_earlier_try_create(seconds: float) -> None:
        if seconds == SETTLE:
            clock.on_sleep = None
            create(settle=None).execute(earlier.context)

    clock.on_sleep = let_the_earlier_try_create
    outcome = run_try(create(deferrable=deferrable), retry)
    assert outcome.state == "success"
    (backup,) = emulator.backups
    assert outcome.value["backup_id"] == backup["backup_id"]


# After the deferral


def test_retry_that_gets_the_event_of_an_earlier_try_starts_from_the_beginning(
    emulator: Emulator, create: Create, clock: FakeClock, logged: Callable[[], str]
) -> None:
    """Airflow 3.0 does this (apache/airflow#56704). Without the check, the retry would not search for its backup."""
    emulator.scenario.listed_after = 20
    task, ti = create(deferrable=True), TaskInstance()
    deferred = defer(task, ti)
    first = resume(task, deferred, ti)
    ti.retry()
    clock.slept.clear()
    backup = resume(task, deferred, ti)
    assert backup["backup_id"] == first["backup_id"]
    assert len(emulator.backups) == 1
    assert "Ignoring the event of try 1" in logged()


def test_retry_that_gets_the_event_of_an_earlier_try_waits_itself(
    emulator: Emulator, create: Create, clock: FakeClock
) -> None:
    started_at, task, ti = clock.now, create(deferrable=True), TaskInstance()
    deferred = defer(task, ti)
    ti.retry()
    with pytest.raises(TaskDeferred) as caught:
        resume(task, deferred, ti)
    assert caught.value.kwargs == {"try_number": 2, "started_at": started_at + SETTLE}
    assert caught.value.trigger.moment == datetime.fromtimestamp(clock.now + SETTLE, UTC)
    assert emulator.backups == []


def test_wait_in_dag_test_loses_its_arguments(emulator: Emulator, create: Create, clock: FakeClock) -> None:
    """Then the timeout starts when the task resumes."""
    emulator.next_backup(backup_ends="never")
    ti, started_at = TaskInstance(), clock.now
    task = create(deferrable=True, wait_for_completion=True, timeout=100)
    deferred = defer(task, ti)
    event = run_trigger(deferred.trigger, clock)
    with pytest.raises(TaskDeferred) as caught:
        task.recreate().resume_execution(deferred.method_name, {"event": event}, ti.context)
    assert caught.value.trigger.serialize()[1]["deadline_at"] == pytest.approx(started_at + SETTLE + 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"index_name": "Not An Index"}, "not a valid index name"), ({"description": 5}, "description must be")],
    ids=str,
)
def test_arguments_are_checked_after_the_deferral(
    emulator: Emulator, create: Create, arguments: dict[str, Any], message: str
) -> None:
    """Their templates are rendered again."""
    deferred = defer(create(deferrable=True), TaskInstance())
    with pytest.raises(AirflowFailException, match=message):
        resume(create(deferrable=True, **arguments), deferred, TaskInstance())
    assert emulator.requests == []


# Timeouts


@each_place
@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({"timeout": 100}, SETTLE + 100),
        ({"timeout": 600, "execution_timeout": timedelta(seconds=1000)}, 1000),
    ],
    ids=["timeout", "execution_timeout"],
)
def test_execution_timeout_includes_the_wait_and_timeout_does_not(
    emulator: Emulator, create: Create, clock: FakeClock, deferrable: bool, limits: dict[str, Any], seconds: float
) -> None:
    emulator.next_backup(backup_ends="never")
    started_at = clock.now
    outcome = run_try(create(deferrable=deferrable, wait_for_completion=True, **limits), TaskInstance())
    assert isinstance(outcome.error, WaitTimeout)
    assert clock.now - started_at == pytest.approx(seconds)


# Invalid arguments


@pytest.mark.parametrize("value", [0, -1, "5", "{{ params.settle }}", True, timedelta(0), timedelta(days=366)], ids=str)
def test_invalid_value_is_an_error(create: Create, value: Any) -> None:
    with pytest.raises(PineconeInputError, match="settle must be a number of seconds above 0"):
        create(settle=value)


@pytest.mark.parametrize("value", [60, 60.0, timedelta(minutes=1)])
def test_seconds_and_timedelta_are_the_same(create: Create, clock: FakeClock, value: Any) -> None:
    run_try(create(settle=value), TaskInstance())
    assert clock.slept == [60.0]


@pytest.mark.parametrize("seconds", [1, 899, 900, 930])
def test_execution_timeout_that_ends_before_the_wait_is_an_error(create: Create, seconds: float) -> None:
    with pytest.raises(PineconeInputError, match=r"settle \(0:15:00\) must be shorter than execution_timeout"):
        create(execution_timeout=timedelta(seconds=seconds))


def test_execution_timeout_may_be_longer_than_the_wait(create: Create) -> None:
    assert create(execution_timeout=timedelta(seconds=931)).settle == SETTLE


@each_place
def test_retry_can_finish_within_the_shortest_execution_timeout(
    emulator: Emulator, create: Create, clock: FakeClock, deferrable: bool
) -> None:
    started_at = clock.now
    limit = timedelta(seconds=931)
    assert (
        run_try(create(deferrable=deferrable, execution_timeout=limit), TaskInstance(try_number=2)).state == "success"
    )
    assert clock.now - started_at < limit.total_seconds()


# Airflow's versions


def test_trigger_of_airflow_2_is_used_without_the_standard_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2025, 6, 15, tzinfo=UTC)
    monkeypatch.setitem(sys.modules, "airflow.providers.standard.triggers.temporal", None)
    fake: Any = SimpleNamespace(DateTimeTrigger=lambda moment: ("the trigger of Airflow 2", moment))
    monkeypatch.setitem(sys.modules, "airflow.triggers.temporal", fake)
    trigger: Any = trigger_at(moment)
    assert trigger == ("the trigger of Airflow 2", moment)
