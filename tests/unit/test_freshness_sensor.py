"""BackupFreshnessSensor: an index has a Ready backup that is young enough."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import allow_any_response
from support.tasks import Connect, Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeInputError, PineconeUnreachable
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.sensors import BackupFreshnessSensor
from airflow_pinecone.waiting.intervals import MAX_FAILED_POLLS

DAY = timedelta(days=1)
HOUR = 3600.0
LIST = ("GET", "/indexes/*/backups")
Sense = Callable[..., Outcome]


@pytest.fixture(params=["poke", "reschedule", "deferred"])
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"deferrable": True} if request.param == "deferred" else {"mode": request.param}


@pytest.fixture
def sense(world: Emulator, clock: FakeClock) -> Sense:
    """Run a sensor that waits for a backup of docs-example younger than a day: `sense(timeout=300)`."""

    def sense(**arguments: Any) -> Outcome:
        arguments = {"index_name": INDEX, "max_age": DAY, **arguments}
        return run_try(make_task(BackupFreshnessSensor, clock, **arguments), TaskInstance())

    return sense


def add_backup(emulator: Emulator, hours: float, **fields: Any) -> dict[str, Any]:
    return emulator.add_backup(INDEX, age=hours * HOUR, **fields)


def test_newest_ready_backup_is_returned_after_one_request(world: Emulator, sense: Sense, mode: dict[str, Any]) -> None:
    add_backup(world, 25)
    add_backup(world, 23.95)
    fresh = add_backup(world, 23.9)
    add_backup(world, 1, status="Failed")
    outcome = sense(**mode)
    assert (outcome.state, outcome.value["backup_id"]) == ("success", fresh["backup_id"])
    assert [exchange.method for exchange in world.requests] == ["GET"]


def test_backup_of_a_deleted_index_is_fresh(
    world: Emulator, sense: Sense, mode: dict[str, Any], logged: Callable[[], str]
) -> None:
    fresh = add_backup(world, 1)
    world.add_index("another")
    world.add_backup("another")
    PineconeHook().delete_index(INDEX)
    outcome = sense(**mode)
    assert (outcome.state, outcome.value["backup_id"]) == ("success", fresh["backup_id"])
    assert f"Index {INDEX} no longer exists" in logged()


def test_sensor_waits_for_a_fresh_backup(world: Emulator, sense: Sense, mode: dict[str, Any]) -> None:
    add_backup(world, 25)
    world.next_backup(ready_after=1800)
    created = PineconeHook().create_backup(INDEX)
    outcome = sense(**mode)
    assert outcome.state == "success"
    assert outcome.value["backup_id"] == created["backup_id"]
    assert 29 <= len(world.requests) <= 33


@pytest.mark.parametrize(
    ("hours", "fields"),
    [
        (24, {}),
        (1, {"status": "Initializing"}),
        (1, {"status": "Failed"}),
        (1, {"created_at": None}),
        (1, {"created_at": ...}),
        (1, {"created_at": "today"}),
        (-2, {}),
    ],
    ids=["old", "running", "failed", "null time", "no time", "invalid time", "in the future"],
)
def test_backup_is_not_fresh(
    world: Emulator, sense: Sense, mode: dict[str, Any], hours: float, fields: dict[str, Any]
) -> None:
    add_backup(world, hours, **fields)
    allow_any_response(world, LIST[1])
    outcome = sense(**mode, timeout=300)
    assert outcome.state == "failed"
    assert type(outcome.error) is AirflowSensorTimeout
    assert INDEX in outcome.message


def test_backup_of_an_earlier_index_with_the_same_name_is_not_fresh(world: Emulator, sense: Sense) -> None:
    add_backup(world, 2, source_index_id="id-of-the-deleted-index")
    add_backup(world, 1, status="Initializing")
    assert sense(timeout=300).state == "failed"


def test_sensor_says_why_the_current_index_is_unknown(world: Emulator, sense: Sense) -> None:
    add_backup(world, 1)
    world.next_backup(fields={"source_index_id": "id-of-the-new-index", "created_at": None})
    undated = PineconeHook().create_backup(INDEX)
    outcome = sense(timeout=300)
    assert outcome.state == "failed"
    assert f"its current index is unknown, because created_at of {undated['backup_id']} is missing" in outcome.message


def test_timeout_names_the_newest_backup(world: Emulator, sense: Sense, mode: dict[str, Any]) -> None:
    old = add_backup(world, 30)
    assert old["backup_id"] in sense(**mode, timeout=300).message


def test_soft_fail_skips_a_task_that_times_out(world: Emulator, sense: Sense, mode: dict[str, Any]) -> None:
    add_backup(world, 30)
    assert sense(**mode, timeout=300, soft_fail=True).state == "skipped"


def test_polls_that_fail_are_repeated_after_a_longer_interval(world: Emulator, sense: Sense, clock: FakeClock) -> None:
    world.fault(*LIST, status=429, headers={"Retry-After": "45"}, times=2)
    add_backup(world, 1)
    assert sense(poke_interval=5).state == "success"
    assert clock.slept == [45.0, 45.0]


@pytest.mark.parametrize(("soft_fail", "state"), [(False, "failed"), (True, "skipped")])
def test_execution_timeout_during_a_pause_is_a_timeout(
    sense: Sense, clock: FakeClock, soft_fail: bool, state: str
) -> None:
    def time_out(seconds: float) -> None:
        raise AirflowTaskTimeout("Timeout, PID: 1")

    clock.on_sleep = time_out
    outcome = sense(soft_fail=soft_fail)
    assert outcome.state == state
    assert "execution_timeout" in outcome.message
    assert INDEX in outcome.message


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_rejected_requests_fail_the_task(
    world: Emulator, sense: Sense, mode: dict[str, Any], soft_fail: bool, status: int, api_version: str
) -> None:
    """At once with 400. Otherwise after a minute: the key may have been replaced, or the index be new."""
    fault = world.fault(*LIST, status=status, times=None)
    outcome = sense(**mode, soft_fail=soft_fail)
    assert type(outcome.error) is AirflowFailException
    assert INDEX in outcome.message
    assert f"HTTP {status}" in outcome.message
    # A deferred wait polls once in the worker, and then counts in the triggerer.
    polls = 4 if "deferrable" in mode else 2 if mode["mode"] == "reschedule" else 3
    # After a 404, version 2026-07 is asked for the backups of deleted indexes with the same path.
    per_poll = 2 if status == 404 and api_version == "2026-07" else 1
    assert fault.hits == (1 if status == 400 else polls * per_poll)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_rejections_that_do_not_persist_do_not_end_the_wait(
    world: Emulator, sense: Sense, clock: FakeClock, status: int
) -> None:
    def reject(_: float) -> None:
        if len(clock.slept) == 2:
            # After a 404 the project is searched.
            world.fault(*LIST, status=status, times=2)
            if status == 404:
                world.fault("GET", "/backups", status=404, times=2)
        if len(clock.slept) == 4:
            add_backup(world, 1)

    clock.on_sleep = reject
    assert sense(poke_interval=40).state == "success"


@pytest.mark.parametrize("status", [401, 403])
def test_rejections_that_persist_end_the_wait(world: Emulator, sense: Sense, clock: FakeClock, status: int) -> None:
    def reject(_: float) -> None:
        if len(clock.slept) == 2:
            world.fault(*LIST, status=status, times=None)

    clock.on_sleep = reject
    outcome = sense(poke_interval=40)
    assert type(outcome.error) is AirflowFailException
    # Three pokes in a row, over at least 60 seconds.
    rejected = [exchange for exchange in world.requests if exchange.status == status]
    assert len(rejected) == 3


def test_replaced_key_does_not_end_the_wait(
    world: Emulator, sense: Sense, clock: FakeClock, connect: Connect, mode: dict[str, Any]
) -> None:
    def replace_key(_: float) -> None:
        if len(clock.slept) == 2:
            world.api_key = "another-key-987654"
            connect()
            add_backup(world, 1)

    clock.on_sleep = replace_key
    assert sense(**mode).state == "success"
    assert [exchange.status for exchange in world.requests][-2:] == (
        [200, 200] if mode.get("mode") == "reschedule" else [401, 200]
    )


def test_some_failed_pokes_do_not_end_the_wait(world: Emulator, sense: Sense, mode: dict[str, Any]) -> None:
    fresh = add_backup(world, 1)
    world.fault(*LIST, status=503, times=5)
    world.fault(*LIST, drop="before", times=5)
    outcome = sense(**mode)
    assert (outcome.state, outcome.value["backup_id"]) == ("success", fresh["backup_id"])
    assert len(world.requests) == MAX_FAILED_POLLS + 1


def test_too_many_consecutive_failed_pokes_end_the_wait(world: Emulator, sense: Sense) -> None:
    world.fault(*LIST, status=503, times=MAX_FAILED_POLLS)
    world.fault(*LIST, nth=MAX_FAILED_POLLS + 2, status=503, times=None)
    outcome = sense()
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", PineconeUnreachable)
    assert "HTTP 503" in outcome.message
    # The request that succeeds after the first ten resets the count.
    assert len(world.requests) == MAX_FAILED_POLLS + 1 + MAX_FAILED_POLLS + 1


def test_rescheduled_sensor_does_not_count_failed_pokes(world: Emulator, sense: Sense) -> None:
    fresh = add_backup(world, 1)
    world.fault(*LIST, status=503, times=3 * MAX_FAILED_POLLS)
    outcome = sense(mode="reschedule")
    assert (outcome.state, outcome.value["backup_id"]) == ("success", fresh["backup_id"])


def test_pokes_of_one_process_share_a_connection(world: Emulator, sense: Sense) -> None:
    sense(timeout=300)
    assert len(world.requests) > 3
    assert len({exchange.peer for exchange in world.requests}) == 1


def test_state_is_logged_only_when_it_changes(world: Emulator, sense: Sense, logged: Callable[[], str]) -> None:
    old = add_backup(world, 30)
    sense(timeout=600)
    assert len(world.requests) > 5
    # Once while it waits, and possibly once in the message of the timeout.
    assert 1 <= logged().count(f"{old['backup_id']}, was created") <= 2


def test_never_fail_skips_the_task(world: Emulator, sense: Sense) -> None:
    assert sense(never_fail=True, timeout=300).state == "skipped"
    world.fault(*LIST, status=401)
    assert sense(never_fail=True).state == "skipped"


@pytest.mark.parametrize("index_name", ["", None, "Docs", "a/b"])
def test_invalid_index_name_fails_the_task_before_any_request(world: Emulator, sense: Sense, index_name: Any) -> None:
    add_backup(world, 1)
    outcome = sense(index_name=index_name, soft_fail=True)
    assert outcome.state == "failed"
    assert isinstance(outcome.error, AirflowFailException)
    assert isinstance(outcome.error.__context__, PineconeInputError)
    assert "index name" in outcome.message
    assert world.requests == []


def test_poke_interval_is_used(sense: Sense, clock: FakeClock) -> None:
    sense(poke_interval=timedelta(seconds=50), timeout=500)
    assert len(clock.slept) >= 10
    assert set(clock.slept) == {50.0}


@pytest.mark.parametrize("argument", ["max_age", "poke_interval", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True])
def test_invalid_duration_is_refused(argument: str, value: Any) -> None:
    arguments: dict[str, Any] = {"index_name": INDEX, "max_age": DAY, argument: value}
    with pytest.raises(ValueError, match=argument):
        BackupFreshnessSensor(task_id="fresh", **arguments)


def test_defaults_are_six_hours_and_a_minute() -> None:
    task = BackupFreshnessSensor(task_id="fresh", index_name=INDEX, max_age=60)
    assert (task.timeout, task.poke_interval, task.max_age) == (6 * 3600, 60, 60)


def test_template_fields() -> None:
    assert tuple(BackupFreshnessSensor.template_fields) == ("index_name", "conn_id")


def test_backup_with_a_key_that_airflow_reserves(world: Emulator, sense: Sense) -> None:
    fields = {"__id__": {"filterable": True}}
    world.add_backup(INDEX, schema={"fields": fields})
    outcome = sense()
    assert outcome.state == "success"
    assert outcome.value["schema"] == {"fields": {"___id__": {"filterable": True}}}
