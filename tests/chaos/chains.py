"""Chains: all tries of one backup or restore task on a real Airflow, with one fault.

A chain must succeed with the one backup that it created, Ready, or with the one index that it restored, or fail with a
reason in its log. ``faults`` has the faults, ``verdict`` judges the outcome, and ``run`` runs many chains.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from local_airflow import LocalAirflow
from support.real_airflow import Run

from airflow_pinecone.api.models import backup_phase, restore_job_phase
from airflow_pinecone.emulator import Emulator, Fault

# Seconds for a whole chain. Several of its tries may search for a backup for 30 s each.
CHAIN_TIMEOUT = 420.0
MARK = re.compile(r"\[airflow-pinecone [0-9a-f]+\]")
TAG = "airflow-pinecone"


@dataclass
class Expected:
    """The expected state of a chain's run, and the expected number of usable backups or restores."""

    state: str = "success"
    usable: int = 1


@dataclass
class Chain(Run):
    """A run of one of the DAGs in dags/chaos.py that creates a backup of its index. Its id is the name of its index.

    Attributes:
        waiter: What waits: the suffix of the DAG id.
        rng: Where a fault takes its details from.
        expected: The expected outcome.
        conn_id: The connection of the run.
    """

    waiter: str
    rng: random.Random
    expected: Expected = field(default_factory=Expected)
    conn_id: str = "pinecone_default"

    # The task that sends the create request, and the XCom key of the id that it gets.
    first_task: ClassVar[str] = "backup"
    id_key: ClassVar[str] = "backup_id"

    @property
    def last_task(self) -> str:
        """The task that succeeds when the backup is Ready."""
        return "ready" if self.waiter.startswith("sensor") else self.first_task

    @property
    def create_path(self) -> str:
        """The path of requests that create and list backups of the chain's index."""
        return f"/indexes/{self.index}/backups"

    @property
    def created(self) -> list[Any]:
        """All backups that were created, the oldest first. A deleted one is as in the response to its creation."""
        responses = [
            request.answer
            for request in self.emulator.requests
            if (request.method, request.path, request.status) == ("POST", self.create_path, 201)
        ]
        by_id = {b["backup_id"]: b for b in [*responses, *self.backups] if isinstance(b, dict)}
        return sorted(by_id.values(), key=lambda backup: backup["created_at"])

    @property
    def usable(self) -> list[Any]:
        """The backups that exist and have not failed."""
        return [b for b in self.backups if backup_phase(b) != "failed"]

    @property
    def results(self) -> list[Any]:
        """The Ready backups."""
        return [b for b in self.backups if b["status"] == "Ready"]

    def is_named(self, model: dict[str, Any], log: str) -> bool:
        """Return whether a log has the id or the mark of a backup."""
        return any(text in log for text in (model["backup_id"], *MARK.findall(str(model))))

    def prepare(self) -> None:
        """Add the index."""
        self.emulator.add_index(self.index)

    def plan(self, **settings: Any) -> None:
        """Plan the lifecycle of the next backup."""
        self.emulator.next_backup(self.index, **settings)

    def finish(self) -> None:
        """Wait for a backup, and let the unfinished ones become Ready."""
        self.wait_until(lambda: self.created, "a backup")
        for backup in self.backups:
            if backup_phase(backup) == "running":
                self.emulator.finish_backup(backup["backup_id"])

    def describe_path(self) -> str:
        """Wait for a backup, and return the path of requests that describe it."""
        self.wait_until(lambda: self.created, "a backup")
        return f"/backups/{self.created[-1]['backup_id']}"

    @property
    def params(self) -> dict[str, str]:
        """The params of the run."""
        return {"index": self.index, "conn_id": self.conn_id}

    def trigger(self, run_id: str | None = None) -> None:
        """Trigger the run, or another one with the same params."""
        self.airflow.trigger(self.dag_id, self.params, run_id=run_id or self.run_id)

    def use_emulator(self, emulator: Emulator) -> None:
        """Use another emulator. Call this before the run."""
        self.emulator = emulator
        self.prepare()
        self.use_own_connection()

    def use_own_connection(self) -> None:
        """Use a connection that no other chain uses. Call this before the run.

        The triggerer then polls the chain's backup with a describe. It would list the backups of several waits.
        """
        self.conn_id = self.run_id
        self.airflow.api("POST", "connections", json=self._connection)

    def plan_own_wait(self) -> None:
        """Plan a wait that only ends with `finish`, and whose polls are only those of this chain."""
        self.use_own_connection()
        self.plan(backup_ends="never")

    def next_poll(self, **settings: Any) -> Fault:
        """Wait for the next poll of the chain, and return the fault with these settings that has affected it."""
        fault = self.emulator.fault("GET", self.describe_path(), **settings)
        fault.wait(120)
        return fault

    def update_connection(self) -> None:
        """Store the current API key of the chain's own emulator in its connection, as a user does in the UI."""
        self.airflow.api("PATCH", f"connections/{self.conn_id}", json=self._connection)

    @property
    def _connection(self) -> dict[str, str]:
        return {
            "connection_id": self.conn_id,
            "conn_type": "pinecone",
            "host": self.emulator.url,
            "password": self.emulator.api_key,
            "extra": json.dumps({"timeout": 5}),
        }

    def polls(self, status: int) -> int:
        """Return the number of polls that were answered with a status."""
        polls = [r for r in self.emulator.requests if (r.method, r.path) == ("GET", self.describe_path())]
        return sum(poll.status == status for poll in polls)

    def stop_next_at(self, point: str) -> None:
        """Let the run's next process stop at a stop point. At the point `sibling`, the task beside it fails."""
        (self.airflow.home / "stop_points" / f"{self.run_id}.{point}").touch()

    def wait_for_stop_at(self, point: str) -> None:
        """Wait until a process has stopped at a stop point."""
        reached = self.airflow.home / "stop_points" / f"{self.run_id}.{point}.reached"
        self.wait_until(reached.exists, f"a process at {point}")
        reached.unlink()

    def kill(self, target: str | None = None, task_id: str | None = None) -> None:
        """Kill the process of a running task.

        Args:
            target: ``task``, or ``node`` to kill its supervisor, too, as when a node is lost; None chooses one.
            task_id: The task; None for the first one.
        """
        task, supervisor = self.processes(task_id or self.first_task)
        if (target or self.rng.choice(["task", "node"])) == "node":
            # First, so that it cannot report the death of its task.
            supervisor.kill()
        task.kill()

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until a condition is true."""
        self.airflow.wait_until(condition, 240, f"{what} ({self.run_id}, {self.dag_id})")


@dataclass
class RestoreChain(Chain):
    """A chain that restores a backup of its index into a new index. No other chain uses this backup.

    Attributes:
        of_other_runs: The ids of the restore jobs that other runs started.
    """

    of_other_runs: set[str] = field(default_factory=set)

    first_task = "restore"
    id_key = "restore_job_id"

    @property
    def backup_id(self) -> str:
        """The id of the backup."""
        return str(self.backups[0]["backup_id"])

    @property
    def params(self) -> dict[str, str]:
        """The params of the run."""
        return {**super().params, "backup_id": self.backup_id}

    @property
    def create_path(self) -> str:
        """The path of the request that restores the backup."""
        return f"/backups/{self.backup_id}/create-index"

    @property
    def created(self) -> list[Any]:
        """All restore jobs of the backup that other runs did not start, the oldest first."""
        jobs = [job for job in self.emulator.restore_jobs if job["backup_id"] == self.backup_id]
        return [job for job in jobs if job["restore_job_id"] not in self.of_other_runs]

    @property
    def usable(self) -> list[Any]:
        """The restore jobs that have not failed and whose index exists with the tag of the task."""
        return [
            job
            for job in self.created
            if restore_job_phase(job) != "failed" and TAG in self._index_of(job).get("tags", {})
        ]

    @property
    def results(self) -> list[Any]:
        """The Completed restore jobs whose index is ready, each with the facts of that index."""
        return [
            {**job, "index_id": job["target_index_id"], "index_name": job["target_index_name"], "index_ready": True}
            for job in self.usable
            if job["status"] == "Completed" and self._index_of(job)["status"]["ready"]
        ]

    def is_named(self, model: dict[str, Any], log: str) -> bool:
        """Return whether a log has the id of a restore job or the name of its index."""
        return model["restore_job_id"] in log or model["target_index_name"] in log

    def prepare(self) -> None:
        """Add the index and its backup."""
        super().prepare()
        self.emulator.add_backup(self.index)

    def plan(self, **settings: Any) -> None:
        """Plan the lifecycle of the next restore."""
        names = {
            "ready_after": "restore_after",
            "backup_ends": "restore_ends",
            "listed_after": "restore_visible_after",
        }
        self.emulator.next_restore(self.backup_id, **{names.get(name, name): v for name, v in settings.items()})

    def finish(self) -> None:
        """Wait for a restore job, and let the unfinished ones complete."""
        self.wait_until(lambda: self.created, "a restore job")
        for job in self.created:
            if restore_job_phase(job) == "running":
                self.emulator.finish_restore(job["restore_job_id"])

    def describe_path(self) -> str:
        """Wait for a restore job, and return the path of requests that describe it."""
        self.wait_until(lambda: self.created, "a restore job")
        return f"/restore-jobs/{self.created[-1]['restore_job_id']}"

    def _index_of(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return the index of a restore job, or an empty dict if it does not exist."""
        return next((i for i in self.emulator.indexes if i["name"] == job["target_index_name"]), {})


# A fault, or another sequence of steps beside a run. The steps up to the first yield precede the run, the others
# follow its start.
Steps = Callable[[Chain], Iterator[None]]


def create_chain(airflow: LocalAirflow, emulator: Emulator, name: str, waiter: str, rng: random.Random) -> Chain:
    """Create a chain. The name is the id of its run and the name of its index."""
    chain_class = RestoreChain if waiter.startswith("restore") else Chain
    return chain_class(airflow, emulator, f"chaos_{waiter}", name, name, waiter, rng)
