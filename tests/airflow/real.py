"""A run in a real Airflow, and the processes behind it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from local_airflow import LocalAirflow

from airflow_pinecone.emulator import Emulator

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".test-airflow"
API_KEY = "pc-real-key-9876543210-abcdef"


# Seconds without a heartbeat after which Airflow gives a task up; 300 unless set.
HEARTBEAT_TIMEOUT = "12"


def real_airflow(home: Path, pinecone: Emulator, settings: Mapping[str, str] | None = None) -> LocalAirflow:
    """Make a home for an Airflow with the examples and the tests' DAGs, and that Airflow, which is not started yet."""
    here = Path(__file__).parent
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(ROOT / "dags", home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(here / "dags", home / "dags", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(here / "config", home / "config", ignore=shutil.ignore_patterns("__pycache__"))
    (home / "gates").mkdir()
    connection = {"conn_type": "pinecone", "host": pinecone.url, "password": API_KEY, "extra": {"timeout": 5}}
    settings = {
        "AIRFLOW__CORE__XCOM_BACKEND": "gates.GatedXCom",
        "AIRFLOW__CORE__PARALLELISM": "16",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": HEARTBEAT_TIMEOUT,
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        **(settings or {}),
    }
    return LocalAirflow(
        home, dags=home / "dags", connections={"pinecone_default": connection}, settings=settings, busy=True
    )


def files_with(home: Path, text: str) -> list[str]:
    """Name the files of a stopped Airflow's home that hold a text: database, logs, what its parts printed."""
    return [str(path) for path in home.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@dataclass
class Run:
    """A run of a DAG on an index of its own."""

    airflow: LocalAirflow
    pinecone: Emulator
    dag_id: str
    run_id: str
    index: str

    def end(self, timeout: float = 120.0) -> str:
        """Wait for the end, and return the run's state."""
        return self.airflow.wait_for_run(self.dag_id, self.run_id, timeout)

    def task(self, task_id: str = "backup") -> dict[str, Any]:
        """Return a task instance as the REST API shows it."""
        return self.airflow.task(self.dag_id, self.run_id, task_id)

    def xcom(self, task_id: str = "backup", key: str = "return_value") -> Any:
        """Return what a task pushed."""
        return self.airflow.xcom(self.dag_id, self.run_id, task_id, key)

    def states(self) -> dict[str, str | None]:
        """Return the states of the tasks, by task id."""
        return self.airflow.tasks(self.dag_id, self.run_id)

    def mapped_states(self, task_id: str) -> dict[str, str]:
        """Return the states of a mapped task, by what the UI calls its instances."""
        path = f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/listMapped"
        rows = self.airflow.api("GET", path, params={"limit": 100})["task_instances"]
        return {row["rendered_map_index"]: row["state"] for row in rows}

    def log(self, task_id: str = "backup") -> str:
        """Return the logs of a task."""
        return self.airflow.log(self.dag_id, self.run_id, task_id)

    def wait_for_state(self, state: str, task_id: str = "backup", timeout: float = 60.0) -> None:
        """Wait until a task is in a state."""
        what = f"{task_id} of {self.dag_id} to be {state}"
        self.airflow.wait_until(lambda: self.task(task_id)["state"] == state, timeout, what)

    def set_state(self, state: str, task_id: str = "backup") -> None:
        """Mark a task, as a person does in the UI."""
        path = f"dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}"
        self.airflow.api("PATCH", path, json={"new_state": state})

    def processes(self, task_id: str = "backup") -> tuple[psutil.Process, psutil.Process]:
        """Return the process of a running task, and that of its supervisor, which forked it.

        The supervisor's title has the id of the task instance; the task's own cannot be read without being root.
        """
        ti_id = self.task(task_id)["id"]
        titled = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if ti_id in " ".join(process.cmdline()):
                    titled.append(process)
        (supervisor,) = (process for process in titled if process.parent() not in titled)
        (task,) = supervisor.children()
        return task, supervisor

    def clear(self, task_id: str = "backup") -> None:
        """Clear a task, as a person does in the UI."""
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": [task_id], "only_failed": False}
        self.airflow.api("POST", f"dags/{self.dag_id}/clearTaskInstances", json=body)

    @property
    def backups(self) -> list[dict[str, Any]]:
        """The backups of the run's index."""
        return [b for b in self.pinecone.backups if b["source_index_name"] == self.index]

    def requests(self, method: str) -> list[Any]:
        """The requests about the run's index or its backups."""
        ids = [self.index, *(b["backup_id"] for b in self.backups)]
        return [r for r in self.pinecone.requests if r.method == method and any(i in r.path for i in ids)]
