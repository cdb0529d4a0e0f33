"""BackupFreshnessSensor: an index has a Ready backup that is young enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout
from running import TaskInstance, Time, make, run_try

from airflow_pinecone import polling
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeUnreachable
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.sensors import BackupFreshnessSensor

DAY = timedelta(days=1)
HOUR = 3600.0
LIST = ("GET", "/indexes/*/backups")


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.clock = time


@pytest.fixture(params=["poke", "reschedule"])
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"mode": request.param}


def sense(**arguments: Any) -> Any:
    arguments = {"index_name": "docs-example", "max_age": DAY, **arguments}
    return run_try(make(BackupFreshnessSensor, **arguments), TaskInstance())


@pytest.fixture
def overdue(time: Time) -> None:
    """A rescheduled sensor's timeout is Airflow's, by the real clock: it has waited for ten minutes."""
    time.first_reschedule = datetime.now(UTC) - timedelta(minutes=10)


def add(emulator: Emulator, hours: float, **fields: Any) -> Any:
    return emulator.add_backup("docs-example", age=hours * HOUR, **fields)


def test_a_fresh_backup_is_returned_for_one_listing(emulator: Emulator, mode: dict[str, Any]) -> None:
    add(emulator, 25)
    fresh = add(emulator, 23.9)
    add(emulator, 1, status="Failed")
    end = sense(**mode)
    assert (end.state, end.value) == ("success", fresh)
    assert [exchange.method for exchange in emulator.requests] == ["GET"]


def test_it_waits_until_there_is_one(emulator: Emulator, mode: dict[str, Any]) -> None:
    add(emulator, 25)
    emulator.next_backup(ready_after=1800)
    made = PineconeHook().create_backup("docs-example")
    end = sense(**mode)
    assert end.state == "success"
    assert end.value["backup_id"] == made["backup_id"]
    assert 29 <= len(emulator.requests) <= 33


@pytest.mark.parametrize(
    ("hours", "fields"),
    [
        (24, {}),
        (1, {"status": "Initializing"}),
        (1, {"status": "Failed"}),
        (1, {"created_at": None}),
        (1, {"created_at": ...}),
        (1, {"created_at": "today"}),
    ],
)
def test_what_is_old_or_not_ready_or_without_a_time_is_not_fresh(
    emulator: Emulator, mode: dict[str, Any], overdue: None, hours: float, fields: dict[str, Any]
) -> None:
    add(emulator, hours, **fields)
    end = sense(**mode, timeout=300)
    assert end.state == "failed"
    assert isinstance(end.error, AirflowSensorTimeout)
    assert "docs-example" in end.message


def test_a_backup_of_an_earlier_index_of_the_name_is_not_fresh(emulator: Emulator) -> None:
    add(emulator, 2, source_index_id="of the index that was deleted")
    add(emulator, 1, status="Initializing")
    assert sense(timeout=300).state == "failed"


def test_a_timeout_says_what_was_there_and_skips_under_soft_fail(
    emulator: Emulator, mode: dict[str, Any], overdue: None
) -> None:
    old = add(emulator, 30)
    assert old["backup_id"] in sense(**mode, timeout=300).message
    assert sense(**mode, timeout=300, soft_fail=True).state == "skipped"


@pytest.mark.parametrize(("soft_fail", "state"), [(False, "failed"), (True, "skipped")])
def test_airflows_own_timeout_signal_is_a_timeout(
    time: Time, soft_fail: bool, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def struck(seconds: float) -> None:
        raise AirflowTaskTimeout("Timeout, PID: 1")

    monkeypatch.setattr(time, "sleep", struck)
    end = sense(soft_fail=soft_fail)
    assert end.state == state
    assert "execution_timeout came before a fresh backup of index docs-example" in end.message


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_red_at_once(emulator: Emulator, mode: dict[str, Any], soft_fail: bool, status: int) -> None:
    emulator.fault(*LIST, status=status)
    end = sense(**mode, soft_fail=soft_fail)
    assert isinstance(end.error, AirflowFailException)
    assert "docs-example" in end.message
    assert len(emulator.requests) == 1


def test_blips_are_tolerated_one_request_a_poke(emulator: Emulator, mode: dict[str, Any]) -> None:
    fresh = add(emulator, 1)
    emulator.fault(*LIST, status=503, times=5)
    emulator.fault(*LIST, drop="before", times=5)
    end = sense(**mode)
    assert (end.state, end.value) == ("success", fresh)
    assert len(emulator.requests) == polling.MAX_BLIPS + 1


def test_too_many_blips_in_a_row_end_a_poking_one(emulator: Emulator) -> None:
    emulator.fault(*LIST, status=503, times=polling.MAX_BLIPS)
    emulator.fault(*LIST, nth=polling.MAX_BLIPS + 2, status=503, times=None)
    end = sense()
    assert (end.state, type(end.error)) == ("up_for_retry", PineconeUnreachable)
    # A good answer in between begins the count anew.
    assert len(emulator.requests) == polling.MAX_BLIPS + 1 + polling.MAX_BLIPS + 1


def test_a_rescheduled_one_remembers_no_blips(emulator: Emulator) -> None:
    fresh = add(emulator, 1)
    emulator.fault(*LIST, status=503, times=3 * polling.MAX_BLIPS)
    end = sense(mode="reschedule")
    assert (end.state, end.value) == ("success", fresh)


def test_pokes_of_one_process_share_a_connection(emulator: Emulator) -> None:
    sense(timeout=300)
    assert len(emulator.requests) > 3
    assert len({exchange.peer for exchange in emulator.requests}) == 1


def test_never_fail_skips_on_everything(emulator: Emulator) -> None:
    assert sense(never_fail=True, timeout=300).state == "skipped"
    emulator.fault(*LIST, status=401)
    assert sense(never_fail=True).state == "skipped"


@pytest.mark.parametrize("index_name", ["", None, "Docs", "a/b"])
def test_an_impossible_index_name_is_red_before_any_request(emulator: Emulator, index_name: Any) -> None:
    add(emulator, 1)
    end = sense(index_name=index_name, soft_fail=True)
    assert end.state == "failed"
    assert "1 to 45" in end.message
    assert emulator.requests == []


def test_a_poke_interval_is_kept_to(time: Time) -> None:
    sense(poke_interval=timedelta(seconds=50), timeout=500)
    assert set(time.slept) == {50.0}


@pytest.mark.parametrize("argument", ["max_age", "poke_interval", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True, None])
def test_a_duration_that_makes_no_sense_is_refused(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=argument):
        sense(**{argument: value})


def test_six_hours_and_a_minute_unless_given() -> None:
    task = make(BackupFreshnessSensor, index_name="docs-example", max_age=60)
    assert (task.timeout, task.poke_interval, task.max_age) == (6 * 3600, 60, 60)


def test_templated_fields_are_these() -> None:
    assert tuple(BackupFreshnessSensor.template_fields) == ("index_name", "conn_id")
