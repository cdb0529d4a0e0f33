"""With reuse_within, a Ready backup that is young enough is returned instead of a new one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from running import TaskInstance, Time, make, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.operators import CreateBackupOperator

HOUR = timedelta(hours=1)
MINUTE = 60.0


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None) -> None:
    emulator.clock = time


PATHS: list[dict[str, Any]] = [
    {},
    {"wait_for_completion": True, "deferrable": False},
    {"wait_for_completion": True, "deferrable": True},
]


@pytest.fixture(params=PATHS, ids=["no wait", "worker", "triggerer"])
def path(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


def create(**arguments: Any) -> Any:
    return make(CreateBackupOperator, **{"index_name": "docs-example", "reuse_within": HOUR, **arguments})


def add(emulator: Emulator, minutes: float, **fields: Any) -> Any:
    return emulator.add_backup("docs-example", age=minutes * MINUTE, **fields)


def calls(emulator: Emulator) -> list[str]:
    return [exchange.method for exchange in emulator.requests]


def test_a_young_ready_backup_is_returned_for_one_listing(
    emulator: Emulator, path: dict[str, Any], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    young = add(emulator, 59)
    ti = TaskInstance()
    end = run_try(create(**path), ti)
    assert end.state == "success"
    assert calls(emulator) == ["GET"]
    assert ti.xcoms["return_value"] == end.value == young
    assert ti.xcoms["backup_id"] == young["backup_id"]
    said = capsys.readouterr().out + caplog.text
    assert f"Reusing backup {young['backup_id']} of index docs-example, and making none" in said
    assert "0:59:00" in said


def test_the_newest_one_is_taken(emulator: Emulator) -> None:
    add(emulator, 30)
    newest = add(emulator, 20)
    add(emulator, 40)
    assert run_try(create(), TaskInstance()).value == newest


@pytest.mark.parametrize("digits", ["25.625540Z", "25.625540123Z", "25.625540+00:00", "25Z"])
def test_its_time_may_be_written_in_any_way(emulator: Emulator, time: Time, digits: str) -> None:
    time.now = 1747240700.0  # 2025-05-14T16:38:20Z
    backup = add(emulator, 0, created_at=f"2025-05-14T16:37:{digits}")
    assert run_try(create(reuse_within=timedelta(seconds=60)), TaskInstance()).value == backup
    assert run_try(create(reuse_within=timedelta(seconds=50)), TaskInstance()).value != backup


@pytest.mark.parametrize(
    ("minutes", "fields"),
    [
        (60, {}),
        (600, {}),
        (5, {"status": "Initializing"}),
        (5, {"status": "Failed"}),
        (5, {"status": "InitializationFailed"}),
        (5, {"created_at": None}),
        (5, {"created_at": ...}),
        (5, {"created_at": "just now"}),
    ],
)
def test_what_is_old_or_not_ready_or_without_a_time_is_not(
    emulator: Emulator, path: dict[str, Any], minutes: float, fields: dict[str, Any]
) -> None:
    other = add(emulator, minutes, **fields)
    end = run_try(create(**path), TaskInstance())
    assert end.state == "success"
    assert calls(emulator)[:2] == ["GET", "POST"]
    assert end.value["backup_id"] != other["backup_id"]


def test_a_backup_of_another_index_is_not(emulator: Emulator) -> None:
    emulator.add_index("other")
    emulator.add_backup("other", age=MINUTE)
    run_try(create(), TaskInstance())
    assert calls(emulator) == ["GET", "POST"]


def test_a_backup_of_an_earlier_index_of_the_name_is_not(emulator: Emulator) -> None:
    old = add(emulator, 20, source_index_id="of the index that was deleted")
    add(emulator, 10, status="Failed")
    end = run_try(create(), TaskInstance())
    assert calls(emulator) == ["GET", "POST"]
    assert end.value["backup_id"] != old["backup_id"]


def test_without_it_nothing_is_listed(emulator: Emulator) -> None:
    add(emulator, 1)
    run_try(create(reuse_within=None), TaskInstance())
    assert calls(emulator) == ["POST"]


def test_a_retry_takes_up_the_backup_of_its_own_first(emulator: Emulator, time: Time) -> None:
    """Also where a younger one is Ready: one task, one backup."""
    emulator.next_backup(ready_after=600)
    ti = TaskInstance()
    waits = {"wait_for_completion": True, "timeout": 300}
    assert run_try(create(**waits), ti).state == "up_for_retry"
    (own,) = emulator.backups
    add(emulator, 0)
    ti.retry()
    end = run_try(create(wait_for_completion=True), ti)
    assert end.value["backup_id"] == own["backup_id"]
    assert calls(emulator).count("POST") == 1


def test_a_lost_answer_is_still_one_backup(emulator: Emulator, path: dict[str, Any]) -> None:
    emulator.fault("POST", "/indexes/*/backups", drop="after")
    assert run_try(create(**path), TaskInstance()).state == "success"
    assert len(emulator.backups) == 1


def test_a_retry_without_one_of_its_own_reuses(emulator: Emulator) -> None:
    """Such as after a try that was killed when it had chosen another's."""
    young = add(emulator, 5)
    end = run_try(create(), TaskInstance(try_number=2))
    assert end.value == young
    assert "POST" not in calls(emulator)


def test_a_listing_that_gets_no_answer_makes_no_backup(emulator: Emulator, time: Time) -> None:
    emulator.fault("GET", "/indexes/*/backups", status=401)
    assert run_try(create(), TaskInstance()).state == "failed"
    assert emulator.backups == []


@pytest.mark.parametrize("index_name", ["", None])
def test_an_empty_index_name_does_not_reuse_another_indexs_backup(emulator: Emulator, index_name: Any) -> None:
    add(emulator, 1)
    end = run_try(create(index_name=index_name), TaskInstance())
    assert end.state == "failed"
    assert emulator.requests == []


@pytest.mark.parametrize("value", [0, -1, "5", True, timedelta(0)])
def test_an_age_that_makes_no_sense_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="reuse_within"):
        create(reuse_within=value)
