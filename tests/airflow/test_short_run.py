"""The tests with real Airflow processes that `make test` runs; `make test-all` also runs the others in this folder.

Their runs start side by side: create and wait in the worker and in the triggerer, a lost response, a killed worker, and
the page that shows the backup.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaos.side_by_side import on_runs, planned
from support.real_airflow import Run

WAITS = on_runs("wait_in_worker", "wait_in_triggerer", steps=planned(ready_after=4))


def lose_the_response(run: Run) -> Iterator[None]:
    """Create the backup, and drop the connection instead of sending the response."""
    run.emulator.fault("POST", f"/indexes/{run.index}/backups", drop="after")
    yield


def kill_the_worker(run: Run) -> Iterator[None]:
    """Kill the task and its supervisor when the backup exists, and Airflow does not know its id."""
    fault = run.emulator.fault("POST", f"/indexes/{run.index}/backups", hang="after")
    yield
    fault.wait(120)
    task, supervisor = run.processes()
    # First, so that it cannot report the death of its task.
    supervisor.kill()
    task.kill()
    fault.release()


@WAITS
def test_wait_returns_the_ready_backup(run: Run) -> None:
    assert run.final_state() == "success"
    assert run.xcom() == run.backups[0]
    assert run.xcom(key="backup_id") == run.backups[0]["backup_id"]
    assert run.xcom()["status"] == "Ready"
    is_deferred = "Resuming after deferral" in run.log() or "DEFERRED" in run.log()
    assert is_deferred == (run.dag_id == "wait_in_triggerer")
    assert len(run.requests("POST")) == 1
    assert run.warnings() == []


@WAITS
def test_page_shows_the_backup_and_its_run(run: Run) -> None:
    facts = {run.backups[0]["backup_id"], f"/dags/{run.dag_id}/runs/{run.run_id}/tasks/backup"}

    def is_shown() -> bool:
        page = run.airflow.page(f"pinecone-backups/indexes/{run.index}")
        return all(fact in page for fact in facts)

    # The page keeps what it has read from Pinecone for 30 seconds.
    run.airflow.wait_until(is_shown, 60, "the page to show the backup")


@on_runs("wait_in_worker", steps=lose_the_response)
def test_lost_response_creates_no_second_backup(run: Run) -> None:
    check_one_backup(run, tries=1)


@on_runs("wait_in_worker", steps=kill_the_worker)
def test_killed_worker_creates_no_second_backup(run: Run) -> None:
    check_one_backup(run, tries=2)


def check_one_backup(run: Run, tries: int) -> None:
    """Check that the run succeeded with its only backup."""
    assert run.final_state() == "success"
    assert run.task()["try_number"] == tries
    (backup,) = run.backups
    assert backup["status"] == "Ready"
    assert run.xcom() == backup
    assert len(run.requests("POST")) == 1
