"""Every outcome of a wait ends the same, whoever waits: the worker, the triggerer, a sensor in any mode."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from running import End, TaskInstance, Time, make, run_try

from airflow_pinecone import polling
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import BackupFailed, BackupVanished, PineconeUnreachable, WaitTimeout
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.sensors import BackupSensor

OPERATOR = ["worker", "triggerer"]
SENSOR = ["poke", "reschedule", "deferred"]
DESCRIBE = ("GET", "/backups/*")


@pytest.fixture(params=OPERATOR + SENSOR)
def waiter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None) -> None:
    emulator.clock = time


def end_of(waiter: str, *, soft_fail: bool = False, **arguments: Any) -> End:
    """Back up docs-example and wait for it: by the operator, or by a sensor on a backup made just before."""
    if waiter in OPERATOR:
        task = make(
            CreateBackupOperator,
            index_name="docs-example",
            wait_for_completion=True,
            deferrable=waiter == "triggerer",
            **arguments,
        )
        return run_try(task, TaskInstance())
    backup = PineconeHook().create_backup("docs-example")
    mode = {"deferrable": True} if waiter == "deferred" else {"mode": waiter}
    task = make(BackupSensor, backup_id=backup["backup_id"], soft_fail=soft_fail, **mode, **arguments)
    return run_try(task, TaskInstance())


def test_ready_is_green_and_returns_the_backup_as_it_is_then(emulator: Emulator, waiter: str) -> None:
    emulator.next_backup(ready_after=600, fields={"a_new_field": {"kept": [1]}})
    end = end_of(waiter)
    assert end.state == "success"
    assert end.value == emulator.backups[0]
    assert end.value["status"] == "Ready"
    assert end.value["a_new_field"] == {"kept": [1]}


def test_ready_at_the_first_look_needs_no_pause(emulator: Emulator, waiter: str, time: Time) -> None:
    emulator.next_backup(ready_after=0)
    assert end_of(waiter).state == "success"
    assert sum(time.slept) <= polling.MIN_PAUSE


@pytest.mark.parametrize("waiter", [*OPERATOR, "poke", "deferred"])
@pytest.mark.parametrize("step", [-3600, 3600])
@pytest.mark.parametrize("state", ["success", "timeout"])
def test_a_clock_that_is_set_during_the_wait_changes_nothing(
    emulator: Emulator, waiter: str, time: Time, step: float, state: str
) -> None:
    """Not in reschedule mode: there each poke is a process of its own, and has nothing but the time of day."""
    began = time.now
    time.step = step
    emulator.next_backup(**{"success": {"ready_after": 600}, "timeout": {"ends": "never"}}[state])
    end = end_of(waiter, timeout=1000)
    if state == "success":
        assert end.state == "success"
        assert 600 <= time.now - began <= 660
    else:
        assert "is not done after 0:16:40" in end.message
        assert time.now - began == pytest.approx(1000)


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("status", ["Failed", "InitializationFailed"])
def test_a_failed_backup_is_red(emulator: Emulator, waiter: str, status: str, soft_fail: bool) -> None:
    emulator.next_backup(ready_after=300, ends=status)
    end = end_of(waiter, soft_fail=soft_fail)
    assert status in end.message
    assert emulator.backups[0]["backup_id"] in end.message
    if waiter in OPERATOR:
        assert end.state == "up_for_retry"
        assert isinstance(end.error, BackupFailed)
    else:
        assert end.state == "failed"


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_vanished_backup_is_red(emulator: Emulator, waiter: str, soft_fail: bool) -> None:
    emulator.next_backup(ends="never", vanishes_after=300)
    end = end_of(waiter, soft_fail=soft_fail)
    assert "is gone" in end.message
    if waiter in OPERATOR:
        assert end.state == "up_for_retry"
        assert isinstance(end.error, BackupVanished)
    else:
        assert end.state == "failed"


def test_a_failure_found_at_the_deadline_is_no_timeout(emulator: Emulator, waiter: str) -> None:
    emulator.next_backup(ready_after=3599, ends="Failed")
    end = end_of(waiter, timeout=3600, soft_fail=True)
    assert "failed (Failed)" in end.message
    assert end.state == ("up_for_retry" if waiter in OPERATOR else "failed")


@pytest.mark.parametrize("limit", [{"timeout": 3600}, {"timeout": timedelta(hours=1)}, "execution_timeout"])
def test_a_timeout_is_red_and_the_backup_stays(emulator: Emulator, waiter: str, limit: Any, time: Time) -> None:
    arguments = {"execution_timeout": timedelta(hours=1)} if limit == "execution_timeout" else limit
    emulator.next_backup(ends="never")
    began = time.now
    end = end_of(waiter, **arguments)
    assert end.state == ("up_for_retry" if waiter in OPERATOR else "failed")
    assert type(end.error).__name__ == ("WaitTimeout" if waiter in OPERATOR else "AirflowSensorTimeout")
    assert emulator.backups[0]["backup_id"] in end.message
    assert "is Initializing" in end.message
    assert 3600 <= time.now - began <= 3600 + (60 if waiter == "reschedule" else 1)
    assert len(emulator.backups) == 1


@pytest.mark.parametrize("waiter", SENSOR)
def test_soft_fail_skips_on_a_timeout(emulator: Emulator, waiter: str) -> None:
    emulator.next_backup(ends="never")
    assert end_of(waiter, timeout=600, soft_fail=True).state == "skipped"


def test_an_unknown_status_keeps_waiting(emulator: Emulator, waiter: str) -> None:
    emulator.next_backup(statuses=["Dreaming", "Pending", "Scheduled", "", "Ready"])
    assert end_of(waiter).state == "success"


def test_an_unknown_status_waits_until_the_deadline(emulator: Emulator, waiter: str) -> None:
    emulator.next_backup(statuses=["Dreaming"])
    end = end_of(waiter, timeout=900)
    assert "Dreaming" in end.message
    assert end.state == ("up_for_retry" if waiter in OPERATOR else "failed")


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("status", [400, 401, 402, 403])
def test_a_refusal_is_red_and_not_retried(emulator: Emulator, waiter: str, status: int, soft_fail: bool) -> None:
    emulator.next_backup(ends="never")
    emulator.fault(*DESCRIBE, nth=3, status=status, times=None)
    end = end_of(waiter, soft_fail=soft_fail)
    assert end.state == "failed"
    assert type(end.error).__name__ == "AirflowFailException"
    assert f"HTTP {status}" in end.message


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"status": 429, "headers": {"Retry-After": "9999"}}, {"drop": "before"}, {"body": b"<html>"}],
    ids=["503", "429", "dropped", "no JSON"],
)
def test_blips_do_not_end_a_wait(emulator: Emulator, waiter: str, fault: dict[str, Any]) -> None:
    emulator.next_backup(ready_after=900)
    emulator.fault(*DESCRIBE, nth=2, times=polling.MAX_BLIPS, **fault)
    assert end_of(waiter).state == "success"


@pytest.mark.parametrize("soft_fail", [False, True])
def test_an_unreachable_service_ends_a_wait(emulator: Emulator, waiter: str, soft_fail: bool) -> None:
    emulator.next_backup(ends="never")
    emulator.fault(*DESCRIBE, nth=2, status=503, times=None)
    end = end_of(waiter, soft_fail=soft_fail)
    if waiter == "reschedule":  # It remembers no blips: its deadline ends it.
        assert end.state == ("skipped" if soft_fail else "failed")
    else:
        assert end.state == "up_for_retry"
        assert isinstance(end.error, PineconeUnreachable)


def test_blips_that_are_no_run_are_forgotten(emulator: Emulator, waiter: str) -> None:
    emulator.next_backup(ends="never")
    for nth in range(2, 102, 2):
        emulator.fault(*DESCRIBE, nth=nth, status=503)
    end = end_of(waiter)
    assert isinstance(end.error, WaitTimeout) or type(end.error).__name__ == "AirflowSensorTimeout"


def test_a_new_backup_may_not_be_visible_at_first(emulator: Emulator, waiter: str) -> None:
    emulator.lag_describe = 45
    emulator.next_backup(ready_after=300)
    assert end_of(waiter).state == "success"
