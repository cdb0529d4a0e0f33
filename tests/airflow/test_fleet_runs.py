"""The example backup_fleet in runs of Airflow's own dag.test(), against an emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.constants import CONNECTION_VARIABLE
from support.dag_files import needs_airflow_3

from airflow_pinecone.emulator import Emulator

pytestmark = needs_airflow_3
ROOT = Path(__file__).resolve().parents[2]
DAY = 24 * 60 * 60
MARK = f"[airflow-pinecone {'0' * 32}]"
SCRIPT = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb

initdb()
dag = DagBag(sys.argv[1]).dags["backup_fleet"]
for task in dag.tasks:
    task.retries = 0
dag.get_task("protect.backup").poke_interval = 0.1
run = dag.test()
tasks = [[task.task_id, task.map_index, task.state] for task in run.get_task_instances()]
print("\\nRESULT", json.dumps([run.state, tasks]))
"""


class FleetRun(NamedTuple):
    """A run: its state, the states of the tasks of each index in alphabetical order, that of `summary`, and the log."""

    state: str
    tasks: dict[str, list[str]]
    summary: str
    log: str


RunFleet = Callable[[Emulator], FleetRun]


@pytest.fixture
def run_fleet(tmp_path: Path) -> RunFleet:
    """Run backup_fleet in a process and with a database of its own."""

    def run_fleet(emulator: Emulator) -> FleetRun:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        environment |= {
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),  # dag.test() requires that it can find the DAG there.
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            # Airflow's DAG processor and tasks can import modules from the folder of the DAGs; DagBag alone cannot.
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "dags")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            CONNECTION_VARIABLE: json.dumps(
                {"conn_type": "pinecone", "host": emulator.url, "password": emulator.api_key}
            ),
        }
        process = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(ROOT / "dags" / "backup_fleet.py")],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert "\nRESULT " in process.stdout, process.stdout
        log, _, result = process.stdout.rpartition("\nRESULT ")
        state, rows = json.loads(result.splitlines()[0])
        states: dict[str, list[str]] = {}
        for task_id, _, task_state in sorted(rows, key=lambda row: (row[0], row[1])):
            states.setdefault(task_id, []).append(task_state)
        (summary,) = states["summary"]
        tasks = {name.removeprefix("protect."): found for name, found in states.items() if name.startswith("protect.")}
        return FleetRun(state, tasks, summary, log)

    return run_fleet


def add_daily_backups(emulator: Emulator, index: str, count: int, **newest: Any) -> list[str]:
    """Add backups that the package created, one a day, and return their ids: the newest first."""
    ids = []
    for days in range(1, count + 1):
        backup = emulator.add_backup(index, age=days * DAY, description=MARK, **(newest if days == 1 else {}))
        ids.append(backup["backup_id"])
    return ids


def test_a_full_quota_is_freed_by_the_prune(run_fleet: RunFleet) -> None:
    with Emulator("key", ["a-full", "b-new"], quota=61) as emulator:
        add_daily_backups(emulator, "a-full", 60)
        run = run_fleet(emulator)
        counts = {name: [b["source_index_name"] for b in emulator.backups].count(name) for name in ("a-full", "b-new")}
    assert run.tasks["newest"] == ["success", "skipped"], run.log  # A new index has no backup.
    assert run.tasks["check_newest"] == run.tasks["prune"] == ["success", "skipped"]
    assert run.tasks["backup"] == run.tasks["verify"] == run.tasks["done"] == ["success", "success"]
    assert (run.state, run.summary) == ("success", "success")
    assert counts["a-full"] < 20
    assert counts["b-new"] == 1


def test_nothing_is_pruned_after_a_bad_backup(run_fleet: RunFleet) -> None:
    with Emulator("key", ["a-empty", "b-shrunk", "c-locked", "d-good"]) as emulator:
        empty = add_daily_backups(emulator, "a-empty", 40, record_count=0)
        shrunk = add_daily_backups(emulator, "b-shrunk", 40, record_count=10)
        locked = add_daily_backups(emulator, "c-locked", 40)
        good = add_daily_backups(emulator, "d-good", 40)
        emulator.fault("DELETE", f"/backups/{locked[-1]}", status=403, times=None)
        emulator.set_records("a-empty", 0)
        run = run_fleet(emulator)
        left = {backup["backup_id"] for backup in emulator.backups}
    assert left >= {*empty, *shrunk, *locked}
    assert not left >= set(good)
    assert len(left - {*empty, *shrunk, *locked, *good}) == 4  # Each index has a new backup.
    assert run.tasks["check_newest"] == ["failed", "failed", "success", "success"]
    assert run.tasks["prune"] == ["upstream_failed", "upstream_failed", "failed", "success"]
    assert run.tasks["backup"] == ["success"] * 4
    assert run.tasks["verify"] == ["failed", "success", "success", "success"]
    assert run.tasks["done"] == ["upstream_failed"] * 3 + ["success"]
    assert (run.state, run.summary) == ("failed", "success")
    assert "3 of 4 indexes have a new verified backup" in run.log
    assert "Indexes whose new backup did not pass the check: a-empty" in run.log


def test_summary_says_that_the_indexes_could_not_be_listed(run_fleet: RunFleet) -> None:
    with Emulator("key", ["a"]) as emulator:
        emulator.fault("GET", "/indexes", status=403, times=None)
        run = run_fleet(emulator)
        assert emulator.backups == []
    assert run.tasks["backup"] == ["upstream_failed"]
    assert (run.state, run.summary) == ("failed", "failed")
    assert "Nothing was backed up, because list_indexes did not succeed" in run.log
    assert "TypeError" not in run.log
