"""DeleteBackupOperator: gone is gone, and a restore is waited out."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from running import End, TaskInstance, Time, make, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeTransientError, WaitTimeout
from airflow_pinecone.operators import DeleteBackupOperator


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.clock = time
    # The pauses of the hook: the tests of the transport look at them.
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def backup_id(emulator: Emulator) -> str:
    return str(emulator.add_backup("docs-example", age=3600)["backup_id"])


@pytest.fixture
def restore(emulator: Emulator, ask: Any, backup_id: str) -> Any:
    """Begin a restore that takes so many seconds."""

    def restore(seconds: float) -> str:
        emulator.next_restore(restore_after=seconds)
        answer = ask("POST", f"/backups/{backup_id}/create-index", json={"name": "restored"})
        emulator.requests.clear()
        return str(answer.json()["restore_job_id"])

    return restore


def run(backup_id: Any, ti: TaskInstance | None = None, **arguments: Any) -> End:
    task = make(DeleteBackupOperator, task_id="delete", backup_id=backup_id, **arguments)
    return run_try(task, ti or TaskInstance(task_id="delete"))


def calls(emulator: Emulator) -> list[str]:
    return [exchange.method for exchange in emulator.requests]


def test_a_backup_is_deleted_by_one_request(emulator: Emulator, backup_id: str, time: Time) -> None:
    end = run(backup_id)
    assert end.state == "success"
    assert end.value == {"backup_id": backup_id, "deleted": True, "found": True}
    assert calls(emulator) == ["DELETE"]
    assert emulator.backups == []
    assert time.slept == []


def test_one_that_is_gone_is_a_success(emulator: Emulator, backup_id: str) -> None:
    run(backup_id)
    end = run(backup_id)
    assert end.state == "success"
    assert end.value == {"backup_id": backup_id, "deleted": True, "found": False}


def test_a_lost_answer_is_no_failure(emulator: Emulator, backup_id: str) -> None:
    emulator.fault("DELETE", "/backups/*", drop="after")
    assert run(backup_id).state == "success"
    assert emulator.backups == []


@pytest.mark.parametrize("took", [3, 60, 1000, 3500])
def test_a_restore_is_waited_out(emulator: Emulator, backup_id: str, restore: Any, time: Time, took: float) -> None:
    restore(took)
    began = time.now
    assert run(backup_id).state == "success"
    assert emulator.backups == []
    late = time.now - began - took
    assert 0 <= late <= min(max(5.0, took / 10), 60.0)
    assert len(emulator.requests) < 100


def test_the_wait_is_told_once(
    backup_id: str, restore: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    restore(600)
    run(backup_id)
    # Airflow 3 logs to stdout here, Airflow 2 by logging, or both.
    said = [text for text in (capsys.readouterr().out, caplog.text) if "Waiting until" in text]
    assert said
    assert all(text.count("Waiting until") == 1 and "pending restore jobs" in text for text in said)


def test_a_restore_that_outlasts_the_timeout_may_be_retried(
    emulator: Emulator, backup_id: str, restore: Any, time: Time
) -> None:
    restore(5000)
    began = time.now
    ti = TaskInstance(task_id="delete")
    end = run(backup_id, ti)
    assert (end.state, type(end.error)) == ("up_for_retry", WaitTimeout)
    assert time.now - began == pytest.approx(3600)
    assert f"Backup {backup_id} is still being restored after 1:00:00" in end.message
    assert len(emulator.backups) == 1
    ti.retry()
    assert run(backup_id, ti).state == "success"
    assert emulator.backups == []


@pytest.mark.parametrize("limits", [{"timeout": 100}, {"execution_timeout": timedelta(seconds=100)}], ids=str)
def test_the_shorter_timeout_counts(backup_id: str, restore: Any, time: Time, limits: dict[str, Any]) -> None:
    restore(5000)
    began = time.now
    assert run(backup_id, **limits).state == "up_for_retry"
    assert time.now - began == pytest.approx(100)


def test_a_poke_interval_is_kept_to(backup_id: str, restore: Any, time: Time) -> None:
    restore(100)
    run(backup_id, poke_interval=timedelta(seconds=7))
    assert set(time.slept) == {7.0}


def test_one_that_goes_while_it_is_waited_for_is_a_success(emulator: Emulator, backup_id: str, restore: Any) -> None:
    restore(5000)
    emulator.fault("DELETE", "/backups/*", nth=3, status=404)
    assert run(backup_id).value["found"] is False


@pytest.mark.parametrize("status", [400, 401, 402, 403, 422])
@pytest.mark.parametrize("nth", [1, 3])
def test_a_refusal_is_not_retried(emulator: Emulator, backup_id: str, restore: Any, status: int, nth: int) -> None:
    restore(5000)
    emulator.fault("DELETE", "/backups/*", nth=nth, status=status)
    end = run(backup_id)
    assert end.state == "failed"
    assert f"HTTP {status}" in end.message
    assert len(emulator.requests) == nth
    assert len(emulator.backups) == 1


def test_no_good_answer_may_be_retried(emulator: Emulator, backup_id: str) -> None:
    emulator.fault("DELETE", "/backups/*", times=None, status=503)
    end = run(backup_id)
    assert (end.state, type(end.error)) == ("up_for_retry", PineconeTransientError)


@pytest.mark.parametrize("backup_id", ["", None, "a/b", "../x"])
def test_an_impossible_id_fails_before_any_request(emulator: Emulator, backup_id: Any) -> None:
    end = run(backup_id)
    assert end.state == "failed"
    assert "id of a backup" in end.message
    assert emulator.requests == []


def test_templated_fields_are_these() -> None:
    assert tuple(DeleteBackupOperator.template_fields) == ("backup_id", "conn_id")


@pytest.mark.parametrize("argument", ["poke_interval", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True])
def test_a_duration_that_makes_no_sense_is_refused(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=argument):
        run("b-1", **{argument: value})
