"""Every outcome of a wait is the same for every waiter: the worker, the triggerer, and a sensor in each mode."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout
from support.clock import FakeClock
from support.constants import CONN_ID, CONNECTION_VARIABLE, INDEX
from support.tasks import Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import (
    BackupFailed,
    BackupNotFound,
    Forbidden,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    PineconeUnreachable,
    WaitTimeout,
)
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.sensors import BackupSensor
from airflow_pinecone.waiting.intervals import MAX_FAILED_POLLS, MIN_INTERVAL, MIN_REJECTED_POLLS

OPERATOR = ["worker", "triggerer"]
SENSOR = ["poke", "reschedule", "deferred"]
# Those whose wait has the same decisions from its first to its last poll.
ONE_PROCESS = [*OPERATOR, "poke", "deferred"]
DESCRIBE = ("GET", "/backups/*")
# What a PineconeRequestError knows of the response.
FACTS = ("status_code", "code", "message", "request_id")


@pytest.fixture(params=OPERATOR + SENSOR)
def waiter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Waits:
    """The emulator, and one backup of docs-example for which a task waits."""

    def __init__(self, emulator: Emulator, clock: FakeClock) -> None:
        self.emulator = emulator
        self.clock = clock

    def wait(self, waiter: str, *, soft_fail: bool = False, **arguments: Any) -> Outcome:
        """Back up docs-example and wait for it: in the operator, or in a sensor for a backup that exists already."""
        if waiter in OPERATOR:
            arguments |= {"index_name": INDEX, "wait_for_completion": True, "deferrable": waiter == "triggerer"}
            return run_try(make_task(CreateBackupOperator, self.clock, **arguments), TaskInstance())
        arguments |= {"backup_id": PineconeHook().create_backup(INDEX)["backup_id"], "soft_fail": soft_fail}
        arguments |= {"deferrable": True} if waiter == "deferred" else {"mode": waiter}
        return run_try(make_task(BackupSensor, self.clock, **arguments), TaskInstance())


@pytest.fixture
def waits(world: Emulator, clock: FakeClock) -> Waits:
    return Waits(world, clock)


def test_ready_backup_is_returned_as_pinecone_describes_it(waits: Waits, waiter: str) -> None:
    waits.emulator.next_backup(ready_after=600, fields={"a_new_field": {"kept": [1]}})
    outcome = waits.wait(waiter)
    assert outcome.state == "success"
    assert outcome.value == waits.emulator.backups[0]
    assert outcome.value["status"] == "Ready"
    assert outcome.value["a_new_field"] == {"kept": [1]}


def test_backup_that_is_ready_at_the_first_poll_needs_at_most_one_interval(waits: Waits, waiter: str) -> None:
    waits.emulator.next_backup(ready_after=0)
    assert waits.wait(waiter).state == "success"
    assert sum(waits.clock.slept) <= MIN_INTERVAL


@pytest.mark.parametrize("waiter", ONE_PROCESS)
@pytest.mark.parametrize("step", [-3600, 3600])
def test_changed_time_of_day_does_not_affect_a_successful_wait(waits: Waits, waiter: str, step: float) -> None:
    """Except in reschedule mode: there each poke is a process of its own, which only knows the time of day."""
    started_at = waits.clock.now
    waits.clock.step = step
    waits.emulator.next_backup(ready_after=600)
    assert waits.wait(waiter, timeout=1000).state == "success"
    assert 600 <= waits.clock.now - started_at <= 660


@pytest.mark.parametrize("waiter", ONE_PROCESS)
@pytest.mark.parametrize("step", [-3600, 3600])
def test_changed_time_of_day_does_not_affect_a_timeout(waits: Waits, waiter: str, step: float) -> None:
    started_at = waits.clock.now
    waits.clock.step = step
    waits.emulator.next_backup(backup_ends="never")
    outcome = waits.wait(waiter, timeout=1000)
    assert "0:16:40" in outcome.message
    assert waits.clock.now - started_at == pytest.approx(1000)


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("status", ["Failed", "InitializationFailed"])
def test_failed_backup_fails_the_task(waits: Waits, waiter: str, status: str, soft_fail: bool) -> None:
    waits.emulator.next_backup(ready_after=300, backup_ends=status)
    outcome = waits.wait(waiter, soft_fail=soft_fail)
    assert f"status is {status}." in outcome.message
    assert INDEX in outcome.message
    assert waits.emulator.backups[0]["backup_id"] in outcome.message
    if waiter in OPERATOR:
        assert outcome.state == "up_for_retry"
        assert type(outcome.error) is BackupFailed
    else:
        assert outcome.state == "failed"


@pytest.mark.parametrize("soft_fail", [False, True])
def test_backup_that_no_longer_exists_fails_the_task(waits: Waits, waiter: str, soft_fail: bool) -> None:
    waits.emulator.next_backup(backup_ends="never", disappears_after=300)
    outcome = waits.wait(waiter, soft_fail=soft_fail)
    assert "no longer exists" in outcome.message
    assert "HTTP 404" in outcome.message
    if waiter in OPERATOR:
        assert outcome.state == "up_for_retry"
        assert type(outcome.error) is BackupNotFound
    else:
        assert outcome.state == "failed"


def test_failure_that_is_found_at_the_deadline_is_not_a_timeout(waits: Waits, waiter: str) -> None:
    waits.emulator.next_backup(ready_after=1199, backup_ends="Failed")
    outcome = waits.wait(waiter, timeout=1200, soft_fail=True)
    assert "Its status is Failed" in outcome.message
    assert outcome.state == ("up_for_retry" if waiter in OPERATOR else "failed")


@pytest.mark.parametrize(
    "limit",
    [{"timeout": 1200}, {"timeout": timedelta(minutes=20)}, {"execution_timeout": timedelta(minutes=20)}],
    ids=["seconds", "timedelta", "execution_timeout"],
)
def test_timeout_fails_the_task_and_keeps_the_backup(waits: Waits, waiter: str, limit: dict[str, Any]) -> None:
    if waiter == "reschedule":
        # There execution_timeout bounds each poke.
        limit = {"timeout": 1200}
    waits.emulator.next_backup(backup_ends="never")
    started_at = waits.clock.now
    outcome = waits.wait(waiter, **limit)
    assert outcome.state == ("up_for_retry" if waiter in OPERATOR else "failed")
    assert type(outcome.error) is (WaitTimeout if waiter in OPERATOR else AirflowSensorTimeout)
    assert waits.emulator.backups[0]["backup_id"] in outcome.message
    assert "Initializing" in outcome.message
    assert ("increase execution_timeout" in outcome.message) == ("execution_timeout" in limit)
    assert 1200 <= waits.clock.now - started_at <= 1200 + (60 if waiter == "reschedule" else 1)
    assert len(waits.emulator.backups) == 1


@pytest.mark.parametrize("waiter", ["worker", "poke"])
def test_task_that_airflow_ends_says_what_it_waited_for(waits: Waits, waiter: str) -> None:
    """Airflow interrupts the task with "Timeout, PID: 1234" and no more."""

    def time_out(seconds: float) -> None:
        if len(waits.clock.slept) == 3:
            raise AirflowTaskTimeout("Timeout, PID: 1")

    waits.emulator.next_backup(backup_ends="never")
    waits.clock.on_sleep = time_out
    if waiter == "worker":
        with pytest.raises(AirflowTaskTimeout) as caught:
            waits.wait(waiter)
        message = str(caught.value)
        assert caught.value.__suppress_context__
    else:
        message = waits.wait(waiter).message
    for fact in ("execution_timeout", waits.emulator.backups[0]["backup_id"], INDEX, "Initializing"):
        assert fact in message
    assert "PID" not in message
    assert max(map(len, message.splitlines())) <= 120


def test_task_that_airflow_ends_before_its_wait_says_so(world: Emulator, clock: FakeClock) -> None:
    def time_out(seconds: float) -> None:
        raise AirflowTaskTimeout("Timeout, PID: 1")

    clock.on_sleep = time_out
    task = make_task(CreateBackupOperator, clock, index_name=INDEX, wait_for_completion=True, settle=60)
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout ended the task before it waited for the backup"):
        run_try(task, TaskInstance())


def test_execution_timeout_does_not_bound_the_wait_of_a_rescheduled_sensor(waits: Waits) -> None:
    waits.emulator.next_backup(ready_after=1200)
    assert waits.wait("reschedule", execution_timeout=timedelta(minutes=10)).state == "success"


@pytest.mark.parametrize("waiter", ONE_PROCESS)
@pytest.mark.parametrize("status", [401, 403, 404])
def test_rejections_that_do_not_persist_do_not_end_the_wait(waits: Waits, waiter: str, status: int) -> None:
    """Except in reschedule mode: there a poke does not know of the pokes before it."""
    waits.emulator.next_backup(ready_after=1200)
    # The second and the third poll, and with a 401 the repetition of each, are rejected.
    waits.emulator.fault(*DESCRIBE, nth=2, status=status, times=4 if status == 401 else 2)
    assert waits.wait(waiter).state == "success"


def test_key_that_is_replaced_during_the_wait(waits: Waits, waiter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait reads the connection again after a 401; no poll is lost."""
    waits.emulator.next_backup(ready_after=1200)
    new_key = "pc-new-key-9876543210"

    def replace_key(seconds: float) -> None:
        if waits.clock.now > started_at + 300 and waits.emulator.api_key != new_key:
            waits.emulator.api_key = new_key
            value = {"conn_type": "pinecone", "host": waits.emulator.url, "password": new_key}
            monkeypatch.setenv(CONNECTION_VARIABLE, json.dumps(value))

    started_at = waits.clock.now
    waits.clock.on_sleep = replace_key
    assert waits.wait(waiter).state == "success"
    assert waits.emulator.api_key == new_key


@pytest.mark.parametrize("waiter", SENSOR)
def test_silent_fail_does_not_hide_a_failed_backup(waits: Waits, waiter: str) -> None:
    waits.emulator.next_backup(ready_after=300, fails=True)
    started_at = waits.clock.now
    outcome = waits.wait(waiter, silent_fail=True)
    assert outcome.state == "failed"
    assert waits.clock.now - started_at < 600


@pytest.mark.parametrize("waiter", SENSOR)
def test_soft_fail_skips_a_task_that_times_out(waits: Waits, waiter: str) -> None:
    waits.emulator.next_backup(backup_ends="never")
    assert waits.wait(waiter, timeout=600, soft_fail=True).state == "skipped"


def test_unknown_status_continues_the_wait(waits: Waits, waiter: str) -> None:
    waits.emulator.next_backup(statuses=["Dreaming", "Pending", "Scheduled", "", "Ready"])
    assert waits.wait(waiter).state == "success"


def test_unknown_status_waits_until_the_deadline(waits: Waits, waiter: str) -> None:
    waits.emulator.next_backup(statuses=["Dreaming"])
    outcome = waits.wait(waiter, timeout=900)
    assert "Dreaming" in outcome.message
    assert outcome.state == ("up_for_retry" if waiter in OPERATOR else "failed")


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("status", [400, 401, 402, 403])
def test_rejected_poll_fails_the_task_without_retry(waits: Waits, waiter: str, status: int, soft_fail: bool) -> None:
    waits.emulator.next_backup(backup_ends="never")
    fault = waits.emulator.fault(*DESCRIBE, nth=3, status=status, times=None)
    outcome = waits.wait(waiter, soft_fail=soft_fail)
    if status in (401, 403) and waiter != "reschedule":
        assert fault.hits >= MIN_REJECTED_POLLS
    else:
        assert fault.hits == 1
    assert outcome.state == "failed"
    assert type(outcome.error) is AirflowFailException
    assert f"HTTP {status}" in outcome.message


@pytest.mark.parametrize(
    "settings",
    [{"status": 503}, {"status": 429, "headers": {"Retry-After": "9999"}}, {"drop": "before"}, {"body": b"<html>"}],
    ids=["503", "429", "dropped", "not JSON"],
)
def test_some_failed_polls_do_not_end_a_wait(waits: Waits, waiter: str, settings: dict[str, Any]) -> None:
    waits.emulator.next_backup(ready_after=900)
    fault = waits.emulator.fault(*DESCRIBE, nth=2, times=MAX_FAILED_POLLS, **settings)
    assert waits.wait(waiter).state == "success"
    assert fault.hits == MAX_FAILED_POLLS


@pytest.mark.parametrize("soft_fail", [False, True])
def test_too_many_consecutive_failed_polls_end_a_wait(waits: Waits, waiter: str, soft_fail: bool) -> None:
    waits.emulator.next_backup(backup_ends="never")
    waits.emulator.fault(*DESCRIBE, nth=2, status=503, times=None)
    outcome = waits.wait(waiter, timeout=1800, soft_fail=soft_fail)
    if waiter == "reschedule":  # Each poke is a new process, so only the deadline ends the wait.
        assert outcome.state == ("skipped" if soft_fail else "failed")
    else:
        assert outcome.state == "up_for_retry"
        assert type(outcome.error) is PineconeUnreachable
        assert "HTTP 503" in outcome.message


def test_failed_polls_that_are_not_consecutive_do_not_end_a_wait(waits: Waits, waiter: str) -> None:
    waits.emulator.next_backup(backup_ends="never")
    faults = [waits.emulator.fault(*DESCRIBE, nth=nth, status=503) for nth in range(2, 102, 2)]
    outcome = waits.wait(waiter, timeout=1800)
    assert type(outcome.error) is (WaitTimeout if waiter in OPERATOR else AirflowSensorTimeout)
    assert sum(fault.hits for fault in faults) > MAX_FAILED_POLLS


def test_new_backup_may_not_be_visible_at_first(waits: Waits, waiter: str) -> None:
    waits.emulator.scenario.described_after = 45
    waits.emulator.next_backup(ready_after=300)
    assert waits.wait(waiter).state == "success"


# Why a wait ends without success: a backup, and the polls that fail.
REJECTED = (
    {"backup_ends": "never"},
    {"status": 403, "headers": {"x-pinecone-request-id": "request-403"}, "times": None},
)
UNREACHABLE = ({"backup_ends": "never"}, {"status": 503, "times": MAX_FAILED_POLLS + 1})
DISAPPEARED = ({"backup_ends": "never", "disappears_after": 300}, None)
FAILED = ({"ready_after": 300, "fails": True}, None)
TIMED_OUT = ({"backup_ends": "never"}, None)


def operator_error(waits: Waits, waiter: str, reason: Any) -> PineconeError:
    """Return the error of the operator, or the one that its AirflowFailException has replaced."""
    backup, fault = reason
    waits.emulator.next_backup(**backup)
    if fault:
        waits.emulator.fault(*DESCRIBE, **fault)
    error = waits.wait(waiter, timeout=1000).error
    if isinstance(error, AirflowFailException):
        error = error.__context__
    assert isinstance(error, PineconeError)
    return error


def facts_of(error: PineconeError) -> dict[str, Any]:
    """Return the text of an error without ids, and its facts."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", str(error))
    return {"text": text, **{name: getattr(error, name, None) for name in FACTS}}


@pytest.mark.parametrize(
    ("reason", "error_class"),
    [
        (REJECTED, Forbidden),
        (UNREACHABLE, PineconeUnreachable),
        (DISAPPEARED, BackupNotFound),
        (FAILED, BackupFailed),
        (TIMED_OUT, WaitTimeout),
    ],
    ids=["rejected", "unreachable", "disappeared", "failed", "timed out"],
)
def test_error_is_the_same_in_the_worker_and_after_a_deferral(
    waits: Waits, reason: Any, error_class: type[PineconeError]
) -> None:
    in_worker, after_deferral = [operator_error(waits, waiter, reason) for waiter in OPERATOR]
    assert type(in_worker) is error_class
    assert type(after_deferral) is error_class
    assert facts_of(after_deferral) == facts_of(in_worker)
    assert in_worker.__cause__ is None


def test_rejection_keeps_the_facts_of_the_response_after_a_deferral(waits: Waits) -> None:
    error = operator_error(waits, "triggerer", REJECTED)
    assert isinstance(error, PineconePermanentError)
    assert (error.status_code, error.code, error.request_id) == (403, "FORBIDDEN", "request-403")
    assert error.message


def test_invalid_connection_is_an_input_error_after_a_deferral(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(CreateBackupOperator, waits.clock, index_name=INDEX, wait_for_completion=True, deferrable=True)
    without_key = json.dumps({"conn_type": "pinecone", "host": waits.emulator.url})
    outcome = run_try(task, TaskInstance(), between=lambda: monkeypatch.setenv(CONNECTION_VARIABLE, without_key))
    assert outcome.state == "failed"
    assert type(outcome.error) is AirflowFailException
    assert type(outcome.error.__context__) is PineconeInputError
    assert CONN_ID in outcome.message
