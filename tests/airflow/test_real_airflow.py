"""The backup operator and the sensor in real Airflow processes. test_short_run.py has the tests of `make test`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from chaos.side_by_side import finish_in_the_second_try, mark_as_failed, on_runs, planned
from support.real_airflow import Run

MODES = ["poke", "reschedule", "deferred"]


def reject_the_create_request(run: Run) -> Iterator[None]:
    run.emulator.fault("POST", f"/indexes/{run.index}/backups", status=403)
    yield


def add_indexes(run: Run) -> Iterator[None]:
    for n in range(3):
        run.emulator.add_index(f"{run.index}-{n}", records=10 * n)
    yield


@on_runs(*(f"sensor_{mode}" for mode in MODES), steps=planned(ready_after=3))
def test_sensor_succeeds_in_each_mode(run: Run) -> None:
    assert run.final_state() == "success"
    assert run.xcom("ready") == run.backups[0]
    assert run.xcom("ready")["status"] == "Ready"


@on_runs("settle", steps=planned(ready_after=4))
def test_task_is_deferred_before_and_after_it_creates_the_backup(run: Run) -> None:
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


@on_runs("time_out_in_worker", "time_out_in_triggerer", steps=finish_in_the_second_try)
def test_retry_after_a_timeout_waits_for_the_same_backup(run: Run) -> None:
    assert run.final_state() == "success"
    assert len(run.backups) == 1
    assert "WaitTimeout" in run.log()


@on_runs(*(f"{variant}_{mode}" for variant in ("sensor", "sensor_soft") for mode in MODES), steps=planned(fails=True))
def test_failed_backup_fails_the_sensor_without_retry(run: Run) -> None:
    assert run.final_state() == "failed"
    check_sensor(run, "failed", "Its status is Failed")


@on_runs("sensor_times_out_poke", "sensor_times_out_deferred", steps=planned(backup_ends="never"))
def test_sensor_timeout_is_not_retried(run: Run) -> None:
    assert run.final_state() == "failed"
    check_sensor(run, "failed", "did not become Ready within")


@on_runs("sensor_soft_poke", "sensor_soft_deferred", steps=planned(backup_ends="never"))
def test_sensor_with_soft_fail_is_skipped_after_a_timeout(run: Run) -> None:
    assert run.final_state() == "success"
    check_sensor(run, "skipped", "did not become Ready within")


@on_runs("wait_in_worker", "wait_in_triggerer", steps=reject_the_create_request)
def test_rejected_create_request_is_not_retried(run: Run) -> None:
    assert run.final_state() == "failed"
    assert run.task()["try_number"] == 1
    assert f"create a backup of index {run.index}.\\nHTTP 403" in run.log()


@on_runs("wait_in_worker", "wait_in_triggerer", steps=mark_as_failed)
def test_task_marked_as_failed_keeps_its_backup(run: Run) -> None:
    assert run.final_state() == "failed"
    (backup,) = run.backups
    assert backup["status"] == "Initializing"
    assert backup["backup_id"] in run.log()
    run.airflow.wait_until(lambda: "is kept in Pinecone" in run.log(), 30, "the log that the backup is kept")


@on_runs("mapped", "mapped_assets", steps=add_indexes)
def test_each_mapped_task_creates_its_own_backup(run: Run) -> None:
    assert run.final_state() == "success"
    created = [b for b in run.emulator.backups if b["source_index_name"].startswith(run.index)]
    assert sorted(b["source_index_name"] for b in created) == [f"{run.index}-{n}" for n in range(3)]
    assert len({b["description"].rsplit("[")[-1] for b in created}) == 3


@on_runs("mapped_assets", steps=add_indexes)
def test_each_mapped_task_updates_the_asset_of_its_own_index(run: Run) -> None:
    query = {"source_dag_id": run.dag_id, "source_run_id": run.run_id}
    events = run.airflow.api("GET", "assets/events", params=query)["asset_events"]
    backups = {b["source_index_name"]: b["backup_id"] for b in run.emulator.backups}
    for n, event in enumerate(sorted(events, key=lambda event: event["source_map_index"])):
        name, extra = f"{run.index}-{n}", event["extra"]
        assert (event["uri"], event["source_map_index"]) == (f"pinecone://{name}/backups", n)
        assert (extra["source_index_name"], extra["backup_id"]) == (name, backups[name])
        assert (extra["record_count"], extra["status"]) == (10 * n, "Ready")
    assert len(events) == 3


def check_sensor(run: Run, state: str, message: str) -> None:
    """Check that the only try of the sensor ended in a state, with a message in its log."""
    assert run.task("ready")["state"] == state
    assert run.task("ready")["try_number"] == 1
    assert message in run.log("ready")
