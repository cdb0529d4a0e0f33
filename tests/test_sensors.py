"""What is the sensor's own; how its waits end is in test_endings.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout
from running import TaskInstance, Time, make, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.sensors import BackupSensor

MODES: list[dict[str, Any]] = [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}]


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None) -> None:
    emulator.clock = time


@pytest.fixture(params=MODES, ids=["poke", "reschedule", "deferred"])
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


@pytest.fixture
def never(emulator: Emulator) -> str:
    """A backup that never ends."""
    emulator.next_backup(ends="never")
    return PineconeHook().create_backup("docs-example")["backup_id"]


def test_pokes_of_one_process_share_a_connection(emulator: Emulator) -> None:
    emulator.next_backup(ready_after=60)
    backup_id = PineconeHook().create_backup("docs-example")["backup_id"]
    run_try(make(BackupSensor, backup_id=backup_id), TaskInstance())
    polls = emulator.requests[1:]
    assert len(polls) > 3
    assert len({exchange.peer for exchange in polls}) == 1


def test_a_poke_is_a_single_shot(emulator: Emulator, never: str, mode: dict[str, Any]) -> None:
    emulator.fault("GET", "/backups/*", status=503)
    before = len(emulator.requests)
    task = make(BackupSensor, backup_id=never, **mode)
    assert task.poke(TaskInstance().context) is False
    assert len(emulator.requests) == before + 1


@pytest.mark.parametrize("backup_id", ["", None, "a/b", "..", "x\ny", "None ", "x" * 200])
def test_an_impossible_id_is_red_before_any_request(emulator: Emulator, mode: dict[str, Any], backup_id: Any) -> None:
    end = run_try(make(BackupSensor, backup_id=backup_id, soft_fail=True, **mode), TaskInstance())
    assert end.state == "failed"
    assert "cannot be the id of a backup" in end.message
    assert emulator.requests == []


def test_rescheduled_pokes_are_a_minute_or_more_apart(emulator: Emulator, never: str, time: Time) -> None:
    run_try(make(BackupSensor, backup_id=never, mode="reschedule", timeout=1200), TaskInstance())
    assert len(time.slept) >= 19
    assert min(time.slept) >= 59.9


def test_a_poke_interval_is_kept_to(never: str, time: Time) -> None:
    run_try(make(BackupSensor, backup_id=never, poke_interval=timedelta(seconds=50), timeout=500), TaskInstance())
    assert set(time.slept) == {50.0}


@pytest.mark.parametrize("soft_fail", [False, True])
def test_airflows_own_timeout_signal_is_a_timeout(
    never: str, time: Time, soft_fail: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In poke mode Airflow's execution_timeout strikes in the middle of a pause."""

    def struck(seconds: float) -> None:
        raise AirflowTaskTimeout("Timeout, PID: 1")

    monkeypatch.setattr(time, "sleep", struck)
    task = make(BackupSensor, backup_id=never, soft_fail=soft_fail, execution_timeout=timedelta(hours=1))
    end = run_try(task, TaskInstance())
    assert end.state == ("skipped" if soft_fail else "failed")
    assert never in end.message


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_trigger_that_broke_is_red(never: str, soft_fail: bool) -> None:
    task = make(BackupSensor, backup_id=never, deferrable=True, soft_fail=soft_fail)
    failed = {"error": "Trigger failure", "traceback": ["Boom"]}
    with pytest.raises(Exception, match="Trigger failure") as caught:
        task.resume_execution("__fail__", failed, TaskInstance().context)
    assert type(caught.value).__name__ == "TaskDeferralError"


def test_a_triggerer_that_never_answered_is_a_timeout(never: str) -> None:
    task = make(BackupSensor, backup_id=never, deferrable=True)
    with pytest.raises(AirflowSensorTimeout, match=never):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, TaskInstance().context)


def test_never_fail_skips_on_everything(emulator: Emulator, mode: dict[str, Any]) -> None:
    emulator.next_backup(fails=True)
    backup_id = PineconeHook().create_backup("docs-example")["backup_id"]
    task = make(BackupSensor, backup_id=backup_id, never_fail=True, **mode)
    assert run_try(task, TaskInstance()).state == "skipped"


def test_a_key_that_is_wrong_is_not_retried(emulator: Emulator, never: str, mode: dict[str, Any]) -> None:
    emulator.api_key = "another-key-987654"
    end = run_try(make(BackupSensor, backup_id=never, **mode), TaskInstance())
    assert isinstance(end.error, AirflowFailException)
    assert "pinecone_default" in end.message


def test_exponential_backoff_is_refused() -> None:
    with pytest.raises(ValueError, match="exponential_backoff"):
        make(BackupSensor, backup_id="b-1", exponential_backoff=True)


@pytest.mark.parametrize("argument", ["poke_interval", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True])
def test_a_duration_that_makes_no_sense_is_refused(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=argument):
        make(BackupSensor, backup_id="b-1", **{argument: value})


def test_six_hours_unless_given() -> None:
    assert make(BackupSensor, backup_id="b-1").timeout == 6 * 3600
    assert make(BackupSensor, backup_id="b-1", timeout=timedelta(minutes=5)).timeout == 300


def test_templated_fields_are_these() -> None:
    assert tuple(BackupSensor.template_fields) == ("backup_id", "conn_id")
