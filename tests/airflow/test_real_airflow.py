"""The operator and the sensor in real Airflow processes: scheduler, triggerer, and a process for each task."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from local_airflow import LocalAirflow
from real import API_KEY, HOME, Run

from airflow_pinecone.emulator import Emulator

Trigger = Callable[[str], Run]
WAITERS = ["worker", "triggerer"]
MODES = ["poke", "reschedule", "deferred"]


@pytest.mark.parametrize("dag_id", ["backup_index", "reindex_with_backup", "backup_deferrable"])
def test_the_examples_run_as_they_stand(airflow: LocalAirflow, pinecone: Emulator, dag_id: str) -> None:
    run_id = airflow.trigger(dag_id)
    assert airflow.wait_for_run(dag_id, run_id, 120) == "success"
    assert set(airflow.tasks(dag_id, run_id).values()) == {"success"}
    last = "ready" if dag_id == "backup_index" else "backup"
    model = airflow.xcom(dag_id, run_id, last)
    assert model in pinecone.backups
    assert model["status"] == "Ready"
    assert f"dag {dag_id}, run {run_id}, task backup" in model["description"]


@pytest.mark.parametrize("waiter", WAITERS)
def test_a_wait_ends_green_with_the_ready_model(pinecone: Emulator, run: Trigger, waiter: str, index: str) -> None:
    pinecone.next_backup(index, ready_after=4)
    ran = run(f"wait_in_{waiter}")
    assert ran.end() == "success"
    assert ran.xcom() == ran.backups[0]
    assert ran.xcom(key="backup_id") == ran.backups[0]["backup_id"]
    assert ran.xcom()["status"] == "Ready"
    assert ("Resuming after deferral" in ran.log() or "DEFERRED" in ran.log()) == (waiter == "triggerer")
    assert len(ran.requests("POST")) == 1


@pytest.mark.parametrize("waiter", WAITERS)
def test_a_timed_out_wait_goes_on_with_the_same_backup(
    pinecone: Emulator, run: Trigger, waiter: str, index: str
) -> None:
    pinecone.next_backup(index, ends="never")
    ran = run(f"time_out_in_{waiter}")
    ran.airflow.wait_until(lambda: ran.task()["try_number"] == 2, 60, "the second try")
    pinecone.finish(ran.backups[0]["backup_id"])
    assert ran.end() == "success"
    assert len(ran.backups) == 1
    assert "WaitTimeout" in ran.log()


@pytest.mark.parametrize("mode", MODES)
def test_a_sensor_in_any_mode_ends_green(
    pinecone: Emulator, run: Trigger, rescheduled: Run, index: str, mode: str
) -> None:
    if mode == "reschedule":
        ran = rescheduled
    else:
        pinecone.next_backup(index, ready_after=3)
        ran = run(f"sensor_{mode}")
    assert ran.end(180) == "success"
    assert ran.xcom("ready") == ran.backups[0]
    assert ran.xcom("ready")["status"] == "Ready"


@pytest.mark.parametrize("variant", ["sensor", "sensor_soft"])
@pytest.mark.parametrize("mode", MODES)
def test_a_failed_backup_is_red_and_not_retried(
    pinecone: Emulator, run: Trigger, mode: str, variant: str, index: str
) -> None:
    pinecone.next_backup(index, fails=True)
    ran = run(f"{variant}_{mode}")
    assert ran.end() == "failed"
    assert ran.task("ready")["state"] == "failed"
    assert ran.task("ready")["try_number"] == 1
    assert "failed (Failed)" in ran.log("ready")


@pytest.mark.parametrize(("variant", "state"), [("sensor_times_out", "failed"), ("sensor_soft", "skipped")])
@pytest.mark.parametrize("mode", ["poke", "deferred"])
def test_a_sensor_that_times_out(
    pinecone: Emulator, run: Trigger, mode: str, variant: str, state: str, index: str
) -> None:
    pinecone.next_backup(index, ends="never")
    ran = run(f"{variant}_{mode}")
    ran.end()
    assert ran.task("ready")["state"] == state
    assert ran.task("ready")["try_number"] == 1
    assert "is not done after" in ran.log("ready")


@pytest.mark.parametrize("waiter", WAITERS)
def test_a_refusal_is_red_and_not_retried(pinecone: Emulator, run: Trigger, waiter: str, index: str) -> None:
    pinecone.fault("POST", f"/indexes/{index}/backups", status=403)
    ran = run(f"wait_in_{waiter}")
    assert ran.end() == "failed"
    assert ran.task()["try_number"] == 1
    assert f"create a backup of index {index}: HTTP 403" in ran.log()


@pytest.mark.parametrize("waiter", WAITERS)
def test_a_task_marked_failed_leaves_its_backup(pinecone: Emulator, run: Trigger, waiter: str, index: str) -> None:
    pinecone.next_backup(index, ends="never")
    ran = run(f"wait_in_{waiter}")
    ran.wait_for_state("running" if waiter == "worker" else "deferred")
    polled = "Waiting until"
    ran.airflow.wait_until(lambda: polled in ran.log(), 30, "the wait to begin")
    ran.set_state("failed")
    assert ran.end() == "failed"
    (backup,) = ran.backups
    assert backup["status"] == "Initializing"
    assert backup["backup_id"] in ran.log()
    ran.airflow.wait_until(lambda: "stays in Pinecone" in ran.log(), 30, "the log to say that it stays")


def test_mapped_tasks_have_a_backup_each(pinecone: Emulator, run: Trigger, index: str) -> None:
    for n in range(3):
        pinecone.add_index(f"{index}-{n}")
    ran = run("mapped")
    assert ran.end() == "success"
    made = [b for b in pinecone.backups if b["source_index_name"].startswith(index)]
    assert sorted(b["source_index_name"] for b in made) == [f"{index}-{n}" for n in range(3)]
    assert len({b["description"].rsplit("[")[-1] for b in made}) == 3


def test_the_key_is_in_no_log_and_not_in_the_database(run: Trigger) -> None:
    """Logs are at DEBUG. The key itself comes by environment, which Airflow stores nowhere."""
    ran = run("wait_in_triggerer")
    assert ran.end() == "success"
    with closing(sqlite3.connect(HOME / "airflow.db")) as database:
        dump = "\n".join(database.iterdump())
    assert ran.backups[0]["backup_id"] in dump
    assert API_KEY not in dump
    files = [path for path in HOME.rglob("*") if path.is_file() and path.suffix != ".db"]
    assert len(files) > 10
    assert [str(path) for path in files if API_KEY.encode() in path.read_bytes()] == []
    assert API_KEY not in json.dumps(ran.task())
