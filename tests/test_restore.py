"""One task, one restore; and how a wait for one ends, whoever waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from running import End, TaskInstance, Time, connect, make, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import CreateAnswerLost, RestoreFailed, RestoreVanished, WaitTimeout
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateIndexFromBackupOperator
from airflow_pinecone.sensors import RestoreJobSensor

RESTORE = ("POST", "/backups/*/create-index")
LOST: dict[str, dict[str, Any]] = {
    "dropped": {"drop": "after"},
    "503": {"status": 503, "work": True},
    "no JSON": {"body": b"<html>", "work": True},
    "timed out": {"hang": "after"},
}
OPERATOR = ["worker", "triggerer"]
SENSOR = ["poke", "reschedule", "deferred"]


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None) -> None:
    emulator.clock = time


@pytest.fixture
def backup(emulator: Emulator) -> str:
    """A Ready backup."""
    return str(emulator.add_backup("docs-example", tags={"team": "search"})["backup_id"])


@pytest.fixture
def ti(time: Time) -> TaskInstance:
    return TaskInstance(task_id="restore", run_started=datetime.fromtimestamp(time.now, UTC))


@pytest.fixture(params=OPERATOR + SENSOR)
def waiter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def restore(backup: str, **arguments: Any) -> Any:
    return make(CreateIndexFromBackupOperator, **{"backup_id": backup, "index_name": "docs-2", **arguments})


def end_of(waiter: str, backup: str, ti: TaskInstance, *, soft_fail: bool = False, **arguments: Any) -> End:
    """Restore a backup and wait for it: by the operator, or by a sensor on a job begun just before."""
    if waiter in OPERATOR:
        return run_try(restore(backup, deferrable=waiter == "triggerer", **arguments), ti)
    job = PineconeHook().create_index_from_backup(backup, name="docs-2")
    mode = {"deferrable": True} if waiter == "deferred" else {"mode": waiter}
    task = make(RestoreJobSensor, restore_job_id=job["restore_job_id"], soft_fail=soft_fail, **mode, **arguments)
    return run_try(task, ti)


def posts(emulator: Emulator) -> int:
    return sum(exchange.method == "POST" for exchange in emulator.requests)


def test_green_is_a_completed_job_and_an_index_that_is_ready(
    emulator: Emulator, waiter: str, backup: str, ti: TaskInstance
) -> None:
    emulator.next_restore(restore_after=900)
    end = end_of(waiter, backup, ti)
    assert end.state == "success"
    (job,) = emulator.restore_jobs
    assert end.value == {
        **job,
        "index_id": job["target_index_id"],
        "index_name": "docs-2",
        "index_ready": True,
        "status": "Completed",
    }
    assert PineconeHook().describe_index("docs-2")["status"]["ready"] is True


def test_a_completed_job_whose_index_is_not_ready_is_waited_for(
    emulator: Emulator, waiter: str, backup: str, ti: TaskInstance, time: Time
) -> None:
    not_ready = PineconeHook().describe_index("docs-example")
    not_ready = {**not_ready, "name": "docs-2", "status": {"ready": False, "state": "Initializing"}}
    emulator.fault("GET", "/indexes/docs-2", status=200, body=dict(not_ready), times=4)
    began = time.now
    assert end_of(waiter, backup, ti).state == "success"
    assert time.now - began >= 20


def test_the_arguments_get_to_pinecone(emulator: Emulator, backup: str, ti: TaskInstance) -> None:
    run_try(restore(backup, tags={"a": "b"}, deletion_protection="enabled"), ti)
    assert emulator.requests[0].body == {"name": "docs-2", "tags": {"a": "b"}, "deletion_protection": "enabled"}
    index = PineconeHook().describe_index("docs-2")
    assert (index["tags"], index["deletion_protection"]) == ({"a": "b"}, "enabled")


def test_the_job_is_in_xcom_before_the_wait(emulator: Emulator, backup: str, ti: TaskInstance) -> None:
    emulator.next_restore(ends="never")
    run_try(restore(backup, timeout=60), ti)
    assert ti.xcoms["restore_job_id"] == emulator.restore_jobs[0]["restore_job_id"]


def test_without_a_wait_it_returns_at_once(emulator: Emulator, backup: str, ti: TaskInstance, time: Time) -> None:
    emulator.next_restore(ends="never")
    end = run_try(restore(backup, wait_for_completion=False), ti)
    assert end.value["restore_job_id"] == emulator.restore_jobs[0]["restore_job_id"]
    assert (end.value["index_name"], end.value["backup_id"], end.value["status"]) == ("docs-2", backup, "Pending")
    assert time.slept == []


def test_a_new_job_that_is_not_visible_yet_is_waited_for(
    emulator: Emulator, waiter: str, backup: str, ti: TaskInstance
) -> None:
    emulator.next_restore(restore_after=120, lag=30)
    assert end_of(waiter, backup, ti).state == "success"


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("status", ["Failed", "Cancelled"])
def test_a_failed_job_is_red(
    emulator: Emulator, waiter: str, backup: str, ti: TaskInstance, status: str, soft_fail: bool
) -> None:
    emulator.next_restore(restore_after=300, ends=status)
    end = end_of(waiter, backup, ti, soft_fail=soft_fail)
    assert status in end.message
    assert "docs-2" in end.message
    if waiter in OPERATOR:
        assert (end.state, type(end.error)) == ("up_for_retry", RestoreFailed)
    else:
        assert end.state == "failed"


def test_an_index_that_vanished_is_red(emulator: Emulator, waiter: str, backup: str, ti: TaskInstance) -> None:
    emulator.next_restore(restore_after=300)
    emulator.fault("GET", "/indexes/docs-2", status=404, times=None)
    end = end_of(waiter, backup, ti)
    if waiter in OPERATOR:
        assert (end.state, type(end.error)) == ("up_for_retry", RestoreVanished)
    else:
        assert end.state == "failed"


def test_a_timeout(emulator: Emulator, waiter: str, backup: str, ti: TaskInstance) -> None:
    emulator.next_restore(ends="never")
    end = end_of(waiter, backup, ti, timeout=600)
    if waiter in OPERATOR:
        assert (end.state, type(end.error)) == ("up_for_retry", WaitTimeout)
    else:
        assert (end.state, type(end.error).__name__) == ("failed", "AirflowSensorTimeout")


@pytest.mark.parametrize("waiter", SENSOR)
def test_soft_fail_skips_on_a_timeout(emulator: Emulator, waiter: str, backup: str, ti: TaskInstance) -> None:
    emulator.next_restore(ends="never")
    assert end_of(waiter, backup, ti, timeout=600, soft_fail=True).state == "skipped"


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_lost_answer_makes_one_restore_and_ends_green(
    emulator: Emulator,
    backup: str,
    ti: TaskInstance,
    lost: dict[str, Any],
    deferrable: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(monkeypatch, emulator, timeout=0.5 if "hang" in lost else 30)
    emulator.next_restore(restore_after=100, lag=20)
    emulator.fault(*RESTORE, **lost)
    assert run_try(restore(backup, deferrable=deferrable), ti).state == "success"
    assert (len(emulator.restore_jobs), posts(emulator)) == (1, 1)


@pytest.mark.parametrize("missing", [None, ...])
def test_a_restore_that_is_taken_up_may_not_tell_its_index(
    emulator: Emulator, backup: str, ti: TaskInstance, missing: Any
) -> None:
    emulator.next_restore(fields={"target_index_id": missing})
    emulator.fault(*RESTORE, drop="after")
    # An answer that a fault alters need not fit the published descriptions.
    emulator.fault("GET", "/restore-jobs*", headers={"x-odd": "yes"}, times=None)
    emulator.fault("GET", "/restore-jobs/*", headers={"x-odd": "yes"}, times=None)
    end = run_try(restore(backup, wait_for_completion=False), ti)
    assert (end.state, end.value["index_id"]) == ("success", "")


def test_a_lost_answer_that_is_not_found_is_retried(emulator: Emulator, backup: str, ti: TaskInstance) -> None:
    emulator.fault(*RESTORE, drop="before")
    end = run_try(restore(backup), ti)
    assert (end.state, type(end.error)) == ("up_for_retry", CreateAnswerLost)
    ti.retry()
    assert run_try(restore(backup), ti).state == "success"
    assert len(emulator.restore_jobs) == 1


def test_a_restore_that_turns_up_late_is_taken_up_by_the_retry(
    emulator: Emulator, backup: str, ti: TaskInstance
) -> None:
    emulator.next_restore(lag=45)
    emulator.fault(*RESTORE, drop="after")
    assert run_try(restore(backup), ti).state == "up_for_retry"
    ti.retry()
    assert run_try(restore(backup), ti).state == "success"
    assert len(emulator.restore_jobs) == 1


def test_a_try_that_died_leaves_its_restore_to_the_next(emulator: Emulator, backup: str, ti: TaskInstance) -> None:
    PineconeHook().create_index_from_backup(backup, name="docs-2")  # and then the worker was killed
    ti.retry()
    assert run_try(restore(backup), ti).state == "success"
    assert len(emulator.restore_jobs) == 1


def test_a_timed_out_wait_goes_on_with_the_same_restore(emulator: Emulator, backup: str, ti: TaskInstance) -> None:
    emulator.next_restore(restore_after=900)
    assert run_try(restore(backup, timeout=600), ti).state == "up_for_retry"
    ti.retry()
    end = run_try(restore(backup, timeout=600), ti)
    assert end.state == "success", end.message
    assert len(emulator.restore_jobs) == 1


def test_an_index_that_was_there_before_is_not_taken_for_ours(
    emulator: Emulator, backup: str, ti: TaskInstance
) -> None:
    """On a first try, and on a retry when the index is nobody's restore, another backup's, or an older run's."""
    emulator.add_index("docs-2")
    first = run_try(restore(backup), ti)
    assert first.state == "failed"
    assert "There is an index docs-2 already" in first.message
    ti.retry()
    assert run_try(restore(backup), ti).state == "failed"
    assert emulator.restore_jobs == []


@pytest.mark.parametrize("case", ["another backup", "an older run"])
def test_another_restore_into_the_name_is_not_taken_for_ours(
    emulator: Emulator, backup: str, ti: TaskInstance, time: Time, case: str
) -> None:
    other = emulator.add_backup("docs-example")["backup_id"] if case == "another backup" else backup
    PineconeHook().create_index_from_backup(other, name="docs-2")
    if case == "an older run":
        time.now += 600
        ti.run_started += timedelta(seconds=600)
    ti.retry()
    end = run_try(restore(backup), ti)
    assert end.state == "failed"
    assert "docs-2" in end.message
    assert len(emulator.restore_jobs) == 1


def test_a_failed_restore_is_not_taken_up(emulator: Emulator, backup: str, ti: TaskInstance) -> None:
    """Its index stays behind, and has to go before there is another try."""
    emulator.next_restore(ends="Failed")
    assert run_try(restore(backup), ti).state == "up_for_retry"
    ti.retry()
    end = run_try(restore(backup), ti)
    assert end.state == "failed"
    assert "delete that index" in end.message
    PineconeHook().delete_index("docs-2")
    ti.retry()
    assert run_try(restore(backup), ti).state == "success"
    assert [job["status"] for job in sorted(emulator.restore_jobs, key=lambda j: j["created_at"])] == [
        "Failed",
        "Completed",
    ]


@pytest.mark.parametrize("bad", [{"backup_id": ""}, {"backup_id": "a/b"}, {"index_name": "Docs"}, {"index_name": ""}])
def test_what_is_impossible_fails_before_any_request(
    emulator: Emulator, backup: str, ti: TaskInstance, bad: dict[str, Any]
) -> None:
    assert run_try(restore(backup, **bad), ti).state == "failed"
    assert emulator.requests == []


def test_no_such_backup_is_not_retried(emulator: Emulator, ti: TaskInstance) -> None:
    end = run_try(restore("no-such-backup"), ti)
    assert end.state == "failed"
    assert "no-such-backup" in end.message
    assert "There is an index" not in end.message


def test_a_first_try_takes_up_nobodys_restore(emulator: Emulator, backup: str, ti: TaskInstance) -> None:
    """Not even one of the same backup, a moment ago: only a retry has begun one before."""
    PineconeHook().create_index_from_backup(backup, name="docs-2")
    end = run_try(restore(backup), ti)
    assert end.state == "failed"
    assert "There is an index docs-2 already" in end.message
