"""The backup operator and the sensor in real Airflow processes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime

import pytest
from local_airflow import LocalAirflow
from support.real_airflow import API_KEY, HOME, Run

from airflow_pinecone.emulator import Emulator

Trigger = Callable[[str], Run]
WAITERS = ["worker", "triggerer"]
MODES = ["poke", "reschedule", "deferred"]


@pytest.mark.parametrize("dag_id", ["backup_index", "reindex_with_backup", "backup_deferrable"])
def test_example_dag_succeeds_unchanged(real_airflow: LocalAirflow, emulator: Emulator, dag_id: str) -> None:
    run_id = real_airflow.trigger(dag_id)
    assert real_airflow.wait_for_run(dag_id, run_id, 120) == "success"
    assert set(real_airflow.tasks(dag_id, run_id).values()) == {"success"}
    waiting_task = "ready" if dag_id == "backup_index" else "backup"
    model = real_airflow.xcom(dag_id, run_id, waiting_task)
    assert model in emulator.backups
    assert model["status"] == "Ready"
    assert f"dag {dag_id}, run {run_id}, task backup" in model["description"]


@pytest.mark.parametrize("waiter", WAITERS)
def test_wait_returns_the_ready_backup(emulator: Emulator, trigger: Trigger, waiter: str, index: str) -> None:
    emulator.next_backup(index, ready_after=4)
    run = trigger(f"wait_in_{waiter}")
    assert run.final_state() == "success"
    assert run.xcom() == run.backups[0]
    assert run.xcom(key="backup_id") == run.backups[0]["backup_id"]
    assert run.xcom()["status"] == "Ready"
    assert ("Resuming after deferral" in run.log() or "DEFERRED" in run.log()) == (waiter == "triggerer")
    assert len(run.requests("POST")) == 1


def test_task_is_deferred_before_and_after_it_creates_the_backup(
    emulator: Emulator, trigger: Trigger, index: str
) -> None:
    emulator.next_backup(index, ready_after=4)
    run = trigger("settle")
    assert run.final_state() == "success"
    (backup,) = run.backups
    assert run.task()["try_number"] == 1
    assert run.xcom() == backup
    assert backup["status"] == "Ready"
    assert len(run.requests("POST")) == 1
    started, created = run.task()["start_date"], backup["created_at"]
    assert (datetime.fromisoformat(created) - datetime.fromisoformat(started)).total_seconds() >= 5
    log = run.log()
    assert log.count("before the backup is created, because settle is 0:00:05") == 1
    assert log.count("Pausing task as DEFERRED") == 2


@pytest.mark.parametrize("waiter", WAITERS)
def test_retry_after_a_timeout_waits_for_the_same_backup(
    emulator: Emulator, trigger: Trigger, waiter: str, index: str
) -> None:
    emulator.next_backup(index, backup_ends="never")
    run = trigger(f"time_out_in_{waiter}")
    run.airflow.wait_until(lambda: run.task()["try_number"] == 2, 60, "the second try")
    emulator.finish_backup(run.backups[0]["backup_id"])
    assert run.final_state() == "success"
    assert len(run.backups) == 1
    assert "WaitTimeout" in run.log()


@pytest.mark.parametrize("mode", MODES)
def test_sensor_succeeds_in_each_mode(
    emulator: Emulator, trigger: Trigger, rescheduled_run: Run, index: str, mode: str
) -> None:
    if mode == "reschedule":
        run = rescheduled_run
    else:
        emulator.next_backup(index, ready_after=3)
        run = trigger(f"sensor_{mode}")
    assert run.final_state(180) == "success"
    assert run.xcom("ready") == run.backups[0]
    assert run.xcom("ready")["status"] == "Ready"


@pytest.mark.parametrize("variant", ["sensor", "sensor_soft"])
@pytest.mark.parametrize("mode", MODES)
def test_failed_backup_fails_the_sensor_without_retry(
    emulator: Emulator, trigger: Trigger, mode: str, variant: str, index: str
) -> None:
    emulator.next_backup(index, fails=True)
    run = trigger(f"{variant}_{mode}")
    assert run.final_state() == "failed"
    assert run.task("ready")["state"] == "failed"
    assert run.task("ready")["try_number"] == 1
    assert "failed (Failed)" in run.log("ready")


@pytest.mark.parametrize(("variant", "state"), [("sensor_times_out", "failed"), ("sensor_soft", "skipped")])
@pytest.mark.parametrize("mode", ["poke", "deferred"])
def test_sensor_timeout_is_not_retried(
    emulator: Emulator, trigger: Trigger, mode: str, variant: str, state: str, index: str
) -> None:
    emulator.next_backup(index, backup_ends="never")
    run = trigger(f"{variant}_{mode}")
    run.final_state()
    assert run.task("ready")["state"] == state
    assert run.task("ready")["try_number"] == 1
    assert "did not become Ready within" in run.log("ready")


@pytest.mark.parametrize("waiter", WAITERS)
def test_rejected_create_request_is_not_retried(emulator: Emulator, trigger: Trigger, waiter: str, index: str) -> None:
    emulator.fault("POST", f"/indexes/{index}/backups", status=403)
    run = trigger(f"wait_in_{waiter}")
    assert run.final_state() == "failed"
    assert run.task()["try_number"] == 1
    assert f"create a backup of index {index}: HTTP 403" in run.log()


@pytest.mark.parametrize("waiter", WAITERS)
def test_task_marked_as_failed_keeps_its_backup(emulator: Emulator, trigger: Trigger, waiter: str, index: str) -> None:
    emulator.next_backup(index, backup_ends="never")
    run = trigger(f"wait_in_{waiter}")
    run.wait_for_state("running" if waiter == "worker" else "deferred")
    run.airflow.wait_until(lambda: "Waiting until" in run.log(), 30, "the wait to start")
    run.set_state("failed")
    assert run.final_state() == "failed"
    (backup,) = run.backups
    assert backup["status"] == "Initializing"
    assert backup["backup_id"] in run.log()
    run.airflow.wait_until(lambda: "is kept in Pinecone" in run.log(), 30, "the log that the backup is kept")


def test_each_mapped_task_creates_its_own_backup(emulator: Emulator, trigger: Trigger, index: str) -> None:
    for n in range(3):
        emulator.add_index(f"{index}-{n}")
    run = trigger("mapped")
    assert run.final_state() == "success"
    created = [b for b in emulator.backups if b["source_index_name"].startswith(index)]
    assert sorted(b["source_index_name"] for b in created) == [f"{index}-{n}" for n in range(3)]
    assert len({b["description"].rsplit("[")[-1] for b in created}) == 3


def test_each_mapped_task_updates_the_asset_of_its_own_index(emulator: Emulator, trigger: Trigger, index: str) -> None:
    for n, records in {"a": 10, "b": 20}.items():
        emulator.add_index(f"{index}-{n}", records=records)
    run = trigger("mapped_assets")
    assert run.final_state() == "success"
    backups = {b["source_index_name"]: b for b in emulator.backups if b["source_index_name"].startswith(index)}
    query = {"source_dag_id": run.dag_id, "source_run_id": run.run_id}
    events = run.airflow.api("GET", "assets/events", params=query)["asset_events"]
    found = {event["uri"]: event for event in events}
    assert len(events) == len(found) == 2
    for n, records in {"a": 10, "b": 20}.items():
        name = f"{index}-{n}"
        event = found[f"pinecone://{name}/backups"]
        facts = event["extra"]
        assert facts["backup_id"] == backups[name]["backup_id"]
        assert (facts["source_index_name"], facts["record_count"], facts["status"]) == (name, records, "Ready")
        assert event["source_map_index"] == "ab".index(n)


def test_api_key_is_in_no_log_and_not_in_the_database(trigger: Trigger) -> None:
    """The log level is DEBUG. The key is in an environment variable, which Airflow does not store."""
    run = trigger("wait_in_triggerer")
    assert run.final_state() == "success"
    with closing(sqlite3.connect(HOME / "airflow.db")) as database:
        dump = "\n".join(database.iterdump())
    assert run.backups[0]["backup_id"] in dump
    assert API_KEY not in dump
    files = [path for path in HOME.rglob("*") if path.is_file() and path.suffix != ".db"]
    assert len(files) > 10
    assert [str(path) for path in files if API_KEY.encode() in path.read_bytes()] == []
    assert API_KEY not in json.dumps(run.task())
