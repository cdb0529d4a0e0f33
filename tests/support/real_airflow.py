"""A real Airflow for tests, and one run of a DAG in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from local_airflow import LocalAirflow

from airflow_pinecone.emulator import Emulator, Exchange

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".test-airflow"
# The tests search all of Airflow's files for this key.
API_KEY = "pc-real-key-9876543210-abcdef"
_FILES = ROOT / "tests" / "airflow"
_NO_CACHES = shutil.ignore_patterns("__pycache__")
# Seconds without a heartbeat after which Airflow fails a try; 300 by default.
_HEARTBEAT_TIMEOUT = "12"


def create_airflow(home: Path, emulator: Emulator, settings: Mapping[str, str] | None = None) -> LocalAirflow:
    """Create an Airflow with the example DAGs and the DAGs of the tests. It is not started yet.

    Args:
        home: The home folder, which is deleted and created again.
        emulator: Where the connection of the DAGs leads to.
        settings: More ``AIRFLOW__SECTION__KEY`` variables.
    """
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(ROOT / "dags", home / "dags", ignore=_NO_CACHES)
    shutil.copytree(_FILES / "dags", home / "dags", dirs_exist_ok=True, ignore=_NO_CACHES)
    shutil.copytree(_FILES / "config", home / "config", ignore=_NO_CACHES)
    (home / "stop_points").mkdir()
    connection = {"conn_type": "pinecone", "host": emulator.url, "password": API_KEY, "extra": {"timeout": 5}}
    return LocalAirflow(
        home,
        dags=home / "dags",
        connections={"pinecone_default": connection},
        settings={
            "AIRFLOW__CORE__XCOM_BACKEND": "stop_points.StoppableXCom",
            "AIRFLOW__CORE__PARALLELISM": "16",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": _HEARTBEAT_TIMEOUT,
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            **(settings or {}),
        },
        busy=True,
    )


def files_with(home: Path, text: str) -> list[str]:
    """Return the files of a stopped Airflow that contain a text: its database, its logs and its output."""
    return [str(path) for path in home.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@dataclass
class Run:
    """A run of a DAG on an index that no other run uses."""

    airflow: LocalAirflow
    emulator: Emulator
    dag_id: str
    run_id: str
    index: str

    def final_state(self, timeout: float = 120.0) -> str:
        """Wait until the run has finished, and return its state."""
        return self.airflow.wait_for_run(self.dag_id, self.run_id, timeout)

    def task(self, task_id: str = "backup") -> dict[str, Any]:
        """Return a task instance as in Airflow's REST API."""
        return self.airflow.task(self.dag_id, self.run_id, task_id)

    def xcom(self, task_id: str = "backup", key: str = "return_value") -> Any:
        """Return what a task pushed to XCom."""
        return self.airflow.xcom(self.dag_id, self.run_id, task_id, key)

    def states(self) -> dict[str, str | None]:
        """Return the states of the tasks, by task id."""
        return self.airflow.tasks(self.dag_id, self.run_id)

    def mapped_states(self, task_id: str) -> dict[str, str]:
        """Return the states of the instances of a mapped task, by the names that the UI shows."""
        path = f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/listMapped"
        rows = self.airflow.api("GET", path, params={"limit": 100})["task_instances"]
        return {row["rendered_map_index"]: row["state"] for row in rows}

    def log(self, task_id: str = "backup") -> str:
        """Return the logs of all tries of a task."""
        return self.airflow.log(self.dag_id, self.run_id, task_id)

    def warnings(self) -> list[str]:
        """Return the lines of this package at the level warning or above in the logs of all tasks."""
        folder = self.airflow.home / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        lines = [
            line for path in folder.rglob("*.log*") for line in path.read_text().splitlines() if "pinecone" in line
        ]
        return [line for line in lines if json.loads(line).get("level") in ("warning", "error", "critical")]

    def wait_for_state(self, state: str, task_id: str = "backup", timeout: float = 60.0) -> None:
        """Wait until a task is in a state."""
        what = f"{task_id} of {self.dag_id} to be {state}"
        self.airflow.wait_until(lambda: self.task(task_id)["state"] == state, timeout, what)

    def set_state(self, state: str, task_id: str = "backup") -> None:
        """Set the state of a task, as a user does in the UI."""
        self.airflow.set_task_state(self.dag_id, self.run_id, task_id, state)

    def clear(self, task_id: str = "backup") -> None:
        """Clear a task, as a user does in the UI."""
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": [task_id], "only_failed": False}
        self.airflow.api("POST", f"dags/{self.dag_id}/clearTaskInstances", json=body)

    def processes(self, task_id: str = "backup") -> tuple[psutil.Process, psutil.Process]:
        """Return the process of a running task, and that of its supervisor, which forked it.

        The title of the supervisor contains the id of the task instance. The title of the task's own process can only
        be read by root.
        """
        ti_id = self.task(task_id)["id"]
        with_id = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if ti_id in " ".join(process.cmdline()):
                    with_id.append(process)
        (supervisor,) = (process for process in with_id if process.parent() not in with_id)
        (task,) = supervisor.children()
        return task, supervisor

    @property
    def backups(self) -> list[Any]:
        """The backups of the run's index."""
        return [b for b in self.emulator.backups if b["source_index_name"] == self.index]

    def requests(self, method: str) -> list[Exchange]:
        """Return the requests that name the run's index or one of its backups."""
        ids = [self.index, *(b["backup_id"] for b in self.backups)]
        return [r for r in self.emulator.requests if r.method == method and any(i in r.path for i in ids)]
