"""A cluster for `make cluster-test`: the stack with several workers, triggerers and schedulers, and its database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from local_airflow import free_port
from stack import Stack, run, service_of, wait_until

REPLICAS = {"worker": 2, "triggerer": 2, "scheduler": 2}
# The checks of these services start Airflow's CLI. On two cores, so many of them would use a third of the CPU.
HEALTHCHECK = {"interval": "60s", "timeout": "120s"}
# A task that was sent to a worker, but had not started when the worker was killed, is queued again after this time. The
# default is 600.
SCHEDULER = {"AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "240"}
TASKS = "SELECT task_id, map_index, try_number, state FROM task_instance"


class Task(NamedTuple):
    """A try of a task instance."""

    task_id: str
    map_index: int
    try_number: int


class Cluster:
    """A stack with several workers, triggerers and schedulers.

    Args:
        folder: An empty folder for the DAGs and the settings.
        dags: The content of each file with DAGs, by name.
        emulator: Arguments of the emulator.
        services: What to add to services of ``compose.yaml``, by service.
        worker_concurrency: The tasks that each worker runs at the same time.
    """

    def __init__(
        self,
        folder: Path,
        dags: Mapping[str, str],
        emulator: list[str],
        *,
        services: Mapping[str, Mapping[str, Any]] | None = None,
        worker_concurrency: int = 4,
    ) -> None:
        """Write the DAGs and the settings; nothing is started yet."""
        dags_folder = folder / "dags"
        dags_folder.mkdir()
        for name, content in dags.items():
            dags_folder.joinpath(name).write_text(content)
        port = free_port()
        self.emulator_url = f"http://127.0.0.1:{port}"
        command = ["--host", "0.0.0.0", "--port", "5080", *emulator]  # noqa: S104 (in a container)
        merged: dict[str, Any] = {
            "emulator": {"command": command, "ports": [f"127.0.0.1:{port}:5080"]},
            # A fast shutdown, as the official image does it.
            "postgres": {"stop_signal": "SIGINT"},
            "scheduler": {"environment": SCHEDULER},
            # All services start at the same time, which takes minutes on a machine that does other work, too.
            "api-server": {"healthcheck": {"retries": 60}},
            **{name: {"healthcheck": HEALTHCHECK} for name in ("worker", "triggerer", "dag-processor")},
        }
        for name, extra in (services or {}).items():
            merged[name] = {**merged.get(name, {}), **extra}
        settings = {"DAGS_DIR": str(dags_folder), "WORKER_CONCURRENCY": str(worker_concurrency)}
        self.stack = Stack(folder, settings, merged)

    @property
    def api_key(self) -> str:
        """The API key of the emulator."""
        return self.stack.settings["PINECONE_API_KEY"]

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query on Airflow's database."""
        query = f"SELECT coalesce(json_agg(rows), '[]') FROM ({query}) rows"  # noqa: S608 (own queries)
        psql = ["psql", "-U", "airflow", "-d", "airflow", "-Atc", query]
        return list(json.loads(run(["docker", "exec", self.container("postgres"), *psql])))

    def tasks(self, where: str) -> list[Task]:
        """Return the task instances that a condition selects."""
        rows = self.rows(f"{TASKS} WHERE {where}")
        return sorted(Task(row["task_id"], row["map_index"], row["try_number"]) for row in rows)

    def results(self, task_id: str) -> dict[int, Any]:
        """Return what the instances of a task returned, by map index."""
        rows = self.rows(f"SELECT map_index, value FROM xcom WHERE task_id = '{task_id}' AND key = 'return_value'")  # noqa: S608
        values = ((row["map_index"], row["value"]) for row in rows)
        return {number: json.loads(value) if isinstance(value, str) else value for number, value in values}

    def container(self, service: str, host: str | None = None) -> str:
        """Return the id of a container of a service."""
        return next(
            str(c["Id"])
            for c in self.stack.containers()
            if service_of(c) == service and host in (None, c["Config"]["Hostname"])
        )

    def kill(self, service: str, work_of: Callable[[str], list[Task]]) -> list[Task]:
        """Kill a container in the middle of its work, and return that work.

        The container is paused first, so that what the database says is still true when it dies.

        Args:
            service: The service.
            work_of: Returns the work of a host; empty if a kill would not mean anything yet.

        Raises:
            CheckFailed: No container of the service had work in time.
        """
        hit: list[Task] = []

        def killed() -> bool:
            for host in self.stack.hosts(service):
                container = self.container(service, host)
                run(["docker", "pause", container])
                hit[:] = work_of(host)
                if hit:
                    run(["docker", "kill", "--signal", "KILL", container])
                    return True
                run(["docker", "unpause", container])
            return False

        wait_until(killed, 180, lambda: f"work of a {service}")
        return hit
