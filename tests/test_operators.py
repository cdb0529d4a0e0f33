"""One task, one backup: what CreateBackupOperator asks of Pinecone over the tries of a task."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from running import TaskInstance, Time, connect, make, run_try

from airflow_pinecone import polling
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import CreateAnswerLost
from airflow_pinecone.operators import CreateBackupOperator

CREATE = ("POST", "/indexes/*/backups")
LIST = ("GET", "/indexes/*/backups")
# Ways in which the answer to a create is lost although Pinecone made the backup.
LOST: dict[str, dict[str, Any]] = {
    "dropped": {"drop": "after"},
    "503": {"status": 503, "work": True},
    "500": {"status": 500, "work": True},
    "408": {"status": 408, "work": True},
    "no JSON": {"body": b"<html>", "work": True},
    "timed out": {"hang": "after"},
}


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None) -> None:
    emulator.clock = time


WORKER = {"wait_for_completion": True, "deferrable": False}
TRIGGERER = {"wait_for_completion": True, "deferrable": True}


@pytest.fixture(params=[WORKER, TRIGGERER, {}], ids=["worker", "triggerer", "no wait"])
def path(request: pytest.FixtureRequest) -> dict[str, Any]:
    """All paths that the operator can take: they share what makes and finds the backup."""
    return dict(request.param)


@pytest.fixture(params=[WORKER, TRIGGERER], ids=["worker", "triggerer"])
def waits(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The paths on which it waits."""
    return dict(request.param)


def create(**arguments: Any) -> Any:
    return make(CreateBackupOperator, index_name="docs-example", **arguments)


def calls(emulator: Emulator) -> list[str]:
    return [exchange.method for exchange in emulator.requests]


def marks(emulator: Emulator) -> set[str]:
    return {backup["description"].rsplit("[", 1)[1] for backup in emulator.backups}


def test_a_first_try_that_goes_well_is_one_post(emulator: Emulator) -> None:
    ti = TaskInstance()
    end = run_try(create(), ti)
    assert calls(emulator) == ["POST"]
    assert end.state == "success"
    assert ti.xcoms["return_value"] == end.value == emulator.requests[0].answer
    assert ti.xcoms["backup_id"] == emulator.backups[0]["backup_id"]


def test_the_backup_says_where_it_comes_from(emulator: Emulator) -> None:
    run_try(create(description="Before the reindex"), TaskInstance(map_index=3))
    description = emulator.backups[0]["description"]
    assert description.startswith("Before the reindex | By Airflow: dag etl, run manual__1, task backup, map index 3 [")


def test_the_default_name_tells_index_and_time(emulator: Emulator, time: Time) -> None:
    run_try(create(), TaskInstance())
    name = emulator.backups[0]["name"]
    assert name.startswith("docs-example-20")
    made = datetime.strptime(name.removeprefix("docs-example-"), "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert abs(made - datetime.fromtimestamp(time.now, UTC)) < timedelta(seconds=90)


@pytest.mark.parametrize("name", ["Nightly Backup No. 7", ""])
def test_a_given_name_is_sent_as_it_is(emulator: Emulator, name: str) -> None:
    run_try(create(name=name), TaskInstance())
    assert emulator.requests[0].body["name"] == name


def test_the_id_is_in_xcom_before_the_wait(emulator: Emulator, path: dict[str, Any]) -> None:
    emulator.next_backup(ends="never")
    ti = TaskInstance()
    run_try(create(**path, timeout=60), ti)
    assert ti.xcoms["backup_id"] == emulator.backups[0]["backup_id"]


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_lost_answer_makes_one_backup_and_ends_green(
    emulator: Emulator, lost: dict[str, Any], path: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator, timeout=0.5 if "hang" in lost else 30)
    emulator.next_backup(ready_after=120)
    emulator.fault(*CREATE, **lost)
    end = run_try(create(**path), TaskInstance())
    assert end.state == "success"
    assert calls(emulator).count("POST") == 1
    assert len(emulator.backups) == 1
    assert end.value["backup_id"] == emulator.backups[0]["backup_id"]


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_lost_answer_is_found_although_the_listing_lags(
    emulator: Emulator, lost: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator, timeout=0.5 if "hang" in lost else 30)
    emulator.listing_lag = 20
    emulator.fault(*CREATE, **lost)
    assert run_try(create(), TaskInstance()).state == "success"
    assert len(emulator.backups) == 1


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_answers_lost_in_two_tries_make_one_backup(
    emulator: Emulator, lost: dict[str, Any], path: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first create never reached Pinecone, the second did; both answers were lost."""
    connect(monkeypatch, emulator, timeout=0.5 if "hang" in lost else 30)
    emulator.fault(*CREATE, drop="before")
    # A fault counts the calls that no earlier fault took.
    emulator.fault(*CREATE, **lost)
    ti = TaskInstance()
    first = run_try(create(**path), ti)
    assert (first.state, type(first.error)) == ("up_for_retry", CreateAnswerLost)
    assert emulator.backups == []
    ti.retry()
    assert run_try(create(**path), ti).state == "success"
    assert calls(emulator).count("POST") == 2
    assert len(emulator.backups) == 1


def test_a_backup_that_turns_up_after_a_lost_try_is_taken_up(emulator: Emulator, path: dict[str, Any]) -> None:
    emulator.next_backup(listed_after=45)
    emulator.fault(*CREATE, drop="after")
    ti = TaskInstance()
    lost = run_try(create(**path), ti)
    assert (lost.state, type(lost.error)) == ("up_for_retry", CreateAnswerLost)
    assert calls(emulator).count("POST") == 1
    ti.retry()
    end = run_try(create(**path), ti)
    assert end.state == "success"
    assert calls(emulator).count("POST") == 1
    assert len(emulator.backups) == 1


def test_a_lost_answer_that_is_not_found_says_what_to_look_for(emulator: Emulator, time: Time) -> None:
    emulator.fault(*CREATE, drop="before")
    began = time.now
    end = run_try(create(retries=0), TaskInstance(retries=0))
    assert end.state == "up_for_retry"  # Airflow has no try left: red
    assert time.now - began == pytest.approx(polling.LOOK_FOR)
    assert "docs-example" in end.message
    sent = emulator.requests[0].body["description"]
    assert sent[sent.index("[airflow-pinecone") :] in end.message


def test_an_unsuccessful_look_does_not_make_a_second_backup(emulator: Emulator) -> None:
    """Whether the first try made one is not known while the listing does not answer: no POST then."""
    ti = TaskInstance()
    emulator.fault(*CREATE, drop="after")
    emulator.fault(*LIST, status=503, times=None)
    for _ in range(3):
        assert run_try(create(), ti).state == "up_for_retry"
        ti.retry()
    assert len(emulator.backups) == 1
    assert calls(emulator).count("POST") == 1


def test_a_try_that_died_after_the_post_leaves_its_backup_to_the_next(emulator: Emulator, path: dict[str, Any]) -> None:
    class Killed(BaseException):
        pass

    ti = TaskInstance()
    task = create(**path)
    ti.xcom_push = lambda key, value: (_ for _ in ()).throw(Killed)  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run_try(task, ti)
    del ti.xcom_push  # type: ignore[method-assign]
    ti.retry()
    end = run_try(create(**path), ti)
    assert end.state == "success"
    assert len(emulator.backups) == 1
    assert end.value["backup_id"] == emulator.backups[0]["backup_id"]


def test_a_retry_that_finds_nothing_looks_before_it_creates(emulator: Emulator, time: Time) -> None:
    began = time.now
    assert run_try(create(), TaskInstance(try_number=2)).state == "success"
    assert time.now - began == pytest.approx(polling.LOOK_FOR)
    assert calls(emulator)[-1] == "POST"
    assert len(emulator.backups) == 1


def test_a_timed_out_wait_goes_on_with_the_same_backup(emulator: Emulator, waits: dict[str, Any]) -> None:
    emulator.next_backup(ready_after=1000)
    ti = TaskInstance()
    assert run_try(create(**waits, timeout=600), ti).state == "up_for_retry"
    ti.retry()
    assert run_try(create(**waits, timeout=600), ti).state == "success"
    assert len(emulator.backups) == 1


def test_a_failed_backup_is_not_taken_up(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    emulator.next_backup(fails=True, ready_after=60)
    ti = TaskInstance()
    waits = {"wait_for_completion": True}
    assert run_try(create(**waits), ti).state == "up_for_retry"
    ti.retry()
    end = run_try(create(**waits), ti)
    assert end.state == "success"
    states = {backup["backup_id"]: backup["status"] for backup in emulator.backups}
    assert sorted(states.values()) == ["Failed", "Ready"]
    assert states[end.value["backup_id"]] == "Ready"
    # Airflow 3 logs to stdout here, Airflow 2 by logging.
    assert (capsys.readouterr().out or caplog.text).count("Not taking up failed backups") == 1


def test_a_clear_makes_a_fresh_backup_and_its_retry_takes_that_up(emulator: Emulator) -> None:
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
    assert calls(emulator).count("POST") == len(emulator.backups) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"run_id": "manual__2"},
        {"dag_id": "etl2"},
        {"task_id": "backup2"},
        {"map_index": 1},
        {"run_started": datetime(2025, 5, 14, 16, 37, 25, 625541, tzinfo=UTC)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_no_two_tasks_share_a_backup(emulator: Emulator, other: dict[str, Any]) -> None:
    """Another run, DAG, task, mapped instance, or an Airflow that has all the same ids."""
    for ti in (TaskInstance(), TaskInstance(**other)):
        run_try(create(), ti)
        ti.retry()
        run_try(create(), ti)
    assert len(emulator.backups) == len(marks(emulator)) == 2


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "pod-based"),
        (401, "Check the API key"),
        (402, "past due"),
        (403, "quota is full"),
        (404, "Check the name"),
        (422, "could not read"),
    ],
)
def test_a_refused_create_is_not_retried(emulator: Emulator, status: int, says: str) -> None:
    body = {"status": status, "error": {"code": "FORBIDDEN", "message": "Increase your quota or upgrade."}}
    emulator.fault(*CREATE, status=status, body=json.dumps(body).encode())
    end = run_try(create(), TaskInstance())
    assert end.state == "failed"
    assert "docs-example" in end.message
    assert says in end.message
    assert calls(emulator) == ["POST"]


@pytest.mark.parametrize("index_name", ["", None, "Docs", "a/b", "../x", "x" * 46])
@pytest.mark.parametrize("try_number", [1, 2])
def test_an_impossible_index_name_fails_before_any_request(
    emulator: Emulator, index_name: Any, try_number: int
) -> None:
    end = run_try(make(CreateBackupOperator, index_name=index_name), TaskInstance(try_number=try_number))
    assert end.state == "failed"
    assert "1 to 45" in end.message
    assert emulator.requests == []


def test_create_and_polls_share_a_connection(emulator: Emulator) -> None:
    emulator.next_backup(ready_after=60)
    run_try(create(wait_for_completion=True), TaskInstance())
    assert len(emulator.requests) > 3
    assert len({exchange.peer for exchange in emulator.requests}) == 1


def test_a_ready_backup_is_not_deferred_for(emulator: Emulator) -> None:
    def deferred() -> None:
        raise AssertionError("deferred")

    ti = TaskInstance()
    run_try(create(), ti)
    ti.retry()
    task = create(wait_for_completion=True, deferrable=True)
    assert run_try(task, ti, between=deferred).state == "success"


def test_a_five_hour_backup_costs_about_330_requests(emulator: Emulator, waits: dict[str, Any]) -> None:
    emulator.next_backup(ready_after=5 * 3600)
    assert run_try(create(**waits), TaskInstance()).state == "success"
    assert 300 <= len(emulator.requests) <= 340


def test_templated_fields_are_these() -> None:
    assert tuple(CreateBackupOperator.template_fields) == ("index_name", "name", "description", "conn_id")


@pytest.mark.parametrize("argument", ["poke_interval", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True])
def test_a_duration_that_makes_no_sense_is_refused(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=argument):
        create(**{argument: value})


def test_a_poke_interval_is_kept_to(emulator: Emulator, time: Time) -> None:
    emulator.next_backup(ready_after=100)
    run_try(create(wait_for_completion=True, poke_interval=timedelta(seconds=7)), TaskInstance())
    assert set(time.slept) == {7.0}


def test_a_kill_says_that_the_backup_stays(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    task = create()
    run_try(task, TaskInstance())
    said = capsys.readouterr().out + caplog.text
    assert "stays" not in said
    task.on_kill()
    # Airflow 3 logs to stdout here, Airflow 2 by logging.
    said = capsys.readouterr().out + caplog.text
    assert f"backup {emulator.backups[0]['backup_id']} stays in Pinecone" in said
