"""The trigger: what Airflow stores of it, and what it does when the triggerer starts it anew."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from conftest import API_KEY
from running import TaskInstance, Time, make, trigger_event

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.sensors import BackupSensor
from airflow_pinecone.triggers import WaitTrigger


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None) -> None:
    emulator.clock = time


@pytest.fixture(params=["operator", "sensor"])
def deferred(request: pytest.FixtureRequest, emulator: Emulator) -> TaskDeferred:
    """What a task hands to Airflow when it defers."""
    emulator.next_backup(ready_after=1000)
    task: Any
    if request.param == "operator":
        task = make(CreateBackupOperator, index_name="docs-example", wait_for_completion=True, deferrable=True)
    else:
        task = make(BackupSensor, backup_id=PineconeHook().create_backup("docs-example")["backup_id"], deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        task.execute(TaskInstance().context)
    return caught.value


def test_what_is_stored_holds_no_key(deferred: TaskDeferred) -> None:
    path, kwargs = deferred.trigger.serialize()
    assert path == "airflow_pinecone.triggers.WaitTrigger"
    assert set(kwargs) == {"conn_id", "ident", "kind", "started", "deadline", "poke_interval", "delete_on_kill"}
    assert API_KEY not in json.dumps([path, kwargs, deferred.kwargs])


def test_a_backup_that_became_ready_while_the_triggerer_was_down_is_green(deferred: TaskDeferred, time: Time) -> None:
    time.now += 24 * 3600
    assert trigger_event(deferred.trigger)["end"] == "succeeded"
    assert sum(time.slept) == 0


def test_no_deferral_is_answered_at_once(deferred: TaskDeferred, emulator: Emulator, time: Time) -> None:
    """Airflow's scheduler would take the try for failed."""
    emulator.finish(deferred.trigger.ident)
    before = len(emulator.requests)
    assert trigger_event(deferred.trigger)["end"] == "succeeded"
    assert time.slept == [5.0]
    assert len(emulator.requests) == before + 1


def test_a_deadline_that_passed_meanwhile_ends_the_wait(emulator: Emulator, time: Time) -> None:
    emulator.next_backup(ends="never")
    backup_id = PineconeHook().create_backup("docs-example")["backup_id"]
    trigger = WaitTrigger(
        conn_id="pinecone_default", ident=backup_id, kind="backup", started=time.now - 7200, deadline=time.now - 3600
    )
    assert trigger_event(trigger)["end"] == "timeout"
    assert sum(time.slept) == 0


def test_airflow_ends_a_deferral_that_no_triggerer_answers(deferred: TaskDeferred) -> None:
    assert deferred.timeout is not None
    assert 6 * 3600 < deferred.timeout.total_seconds() <= 6 * 3600 + 300


def test_a_kill_says_that_the_backup_stays(
    deferred: TaskDeferred, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    asyncio.run(deferred.trigger.on_kill())
    said = capsys.readouterr().out + caplog.text
    assert f"backup {deferred.trigger.ident} was ended; it stays in Pinecone" in said
