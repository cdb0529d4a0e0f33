"""`make cluster-test`: back up a fleet of indexes, and copy one, on a cluster while its parts are killed.

The Compose stack runs with two workers, two triggerers and two schedulers. `backup_fleet` backs up 100 indexes of the
emulator, which loses 5 % of its responses. One worker, one triggerer and one scheduler are killed with SIGKILL and do
not come back: Docker restarts no container that `docker kill` ended. PostgreSQL restarts once. In the end each index
must have one backup. Prints Markdown tables; the exit status is 0 only if every check passed.

The environment variable INDEXES sets the number of indexes, for a shorter run; 0 skips this part. `cluster_copy` is the
other part: the copy of an index, on a cluster of its own. RECORDS sets the number of its records; 0 skips it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import requests
from airflow_api import FINISHED, AirflowApi, AirflowError
from cluster import REPLICAS, TASKS, Cluster, Task
from cluster_copy import RECORDS, CopyCluster, check_copy
from cluster_verdict import problems_of
from stack import CheckFailed, log_in, run, run_in_stack, say, wait_until

ROOT = Path(__file__).resolve().parents[1]
DAG = "backup_fleet"
# The share of the backups that exist when each fault happens.
KILL_AT = {"worker": 0.2, "triggerer": 0.35, "scheduler": 0.5, "postgres": 0.65}
LOST_RESPONSES = 0.05
READY_AFTER = 60
RUN_TIMEOUT = 1800
# What a part works on, by its host. A killed part must have had work.
_JOB = "SELECT id FROM job WHERE hostname = '{host}'"
WORK = {
    "worker": "state = 'running' AND hostname = '{host}'",
    "triggerer": f"state = 'deferred' AND trigger_id IN (SELECT id FROM trigger WHERE triggerer_id IN ({_JOB}))",  # noqa: S608
    "scheduler": f"state IN ('queued', 'running') AND queued_by_job_id IN ({_JOB})",
    "postgres": "state IN ('queued', 'running', 'deferred')",
}
# At least so many tasks of these ids must be among the work.
NEEDED = {
    "worker": ("protect.backup", 1),
    "triggerer": ("protect.backup", 3),
    "scheduler": ("", 1),
    "postgres": ("", 3),
}


class Hit(NamedTuple):
    """A fault: the seconds from the start of the run, the backups that existed, and the tasks that it hit."""

    seconds: float
    backups: int
    tasks: list[Task]


class FleetCluster(Cluster):
    """A cluster that backs up a fleet of indexes.

    Args:
        folder: An empty folder for the DAG and the settings.
        indexes: The names of the indexes.
    """

    def __init__(self, folder: Path, indexes: list[str]) -> None:
        """Write the DAG and the settings; nothing is started yet."""
        self.indexes = indexes
        emulator = ["--ready-after", str(READY_AFTER)]
        emulator += ["--fault", f"* * times=always probability={LOST_RESPONSES} drop=after"]
        emulator += [argument for name in indexes for argument in ("--index", name)]
        policy = (ROOT / "dags" / "backup_policy.py").read_text()
        super().__init__(folder, {f"{DAG}.py": dag_source(), "backup_policy.py": policy}, emulator)

    def backups(self) -> list[dict[str, Any]]:
        """Return the backups in the emulator."""
        return backups_in(self.emulator_url, self.api_key)

    def kill_at_work(self, service: str) -> list[Task]:
        """Kill a container in the middle of its work, and return that work."""

        def work_of(host: str) -> list[Task]:
            tasks = self.tasks(WORK[service].format(host=host))
            return tasks if has_work(service, tasks) else []

        return self.kill(service, work_of)

    def restart_postgres(self) -> list[Task]:
        """Restart PostgreSQL, and return the tasks that were not finished.

        Raises:
            CheckFailed: It did not restart, or nothing was running.
        """
        started = "SELECT pg_postmaster_start_time() AS at"
        hit, before = self.tasks(WORK["postgres"]), self.rows(started)
        if not has_work("postgres", hit):
            raise CheckFailed(f"PostgreSQL was not in use: {hit}")
        run(["docker", "restart", "--time", "30", self.container("postgres")])

        def restarted() -> bool:
            with suppress(CheckFailed):
                return self.rows(started) != before
            return False

        wait_until(restarted, 60, lambda: "PostgreSQL to restart")
        return hit


def backups_in(url: str, api_key: str) -> list[dict[str, Any]]:
    """Return the backups in an emulator, which may lose responses to this client, too."""
    headers = {"Api-Key": api_key, "X-Pinecone-Api-Version": "2025-10"}
    backups: list[dict[str, Any]] = []
    params = {"limit": "100"}
    while True:
        try:
            response = requests.get(f"{url}/backups", headers=headers, params=params, timeout=30)
        except requests.ConnectionError:
            continue
        response.raise_for_status()
        page = response.json()
        backups += page["data"]
        if not page.get("pagination"):
            return backups
        params = {"paginationToken": page["pagination"]["next"]}


def dag_source() -> str:
    """Return the example with more retries: a task may be hit by two faults."""
    source = (ROOT / "dags" / f"{DAG}.py").read_text()
    old, new = (
        '"retries": 1, "retry_delay": pendulum.duration(minutes=1)',
        '"retries": 3, "retry_delay": pendulum.duration(seconds=20)',
    )
    if source.count(old) != 1:
        raise ValueError(f"{DAG} does not contain {old!r} once")
    return source.replace(old, new)


def has_work(service: str, tasks: list[Task]) -> bool:
    """Return whether a fault would hit enough tasks to mean something."""
    prefix, count = NEEDED[service]
    return sum(task.task_id.startswith(prefix) for task in tasks) >= count


def check(cluster: FleetCluster) -> None:
    """Start the cluster, run the fleet with the faults, and check what it leaves.

    Raises:
        CheckFailed: The stack did not start, or a check failed.
    """
    stack = cluster.stack
    stack.up(**REPLICAS)
    api = log_in(stack)
    say(f"all containers are healthy; the API is on port {stack.port}")
    api.wait_until(lambda: api.request("GET", f"dags/{DAG}").ok, 180, f"DAG {DAG}")
    api.api("PATCH", f"dags/{DAG}", json={"is_paused": False})
    run_id = api.trigger(DAG)
    started = time.monotonic()
    hits: dict[str, Hit] = {}
    for service, share in KILL_AT.items():
        wait_for_backups(cluster, api, run_id, share)
        count = len(cluster.backups())
        tasks = cluster.restart_postgres() if service == "postgres" else cluster.kill_at_work(service)
        hits[service] = Hit(time.monotonic() - started, count, tasks)
        say(f"{service}: hit {len(tasks)} tasks with {count} backups")
    wait_until(
        lambda: run_state(api, run_id) in FINISHED,
        RUN_TIMEOUT - (time.monotonic() - started),
        lambda: f"the run; {Counter((row['task_id'], row['state']) for row in cluster.rows(TASKS))}",
    )
    duration = time.monotonic() - started
    say(f"the run ended after {duration:.0f} s: {run_state(api, run_id)}")
    report(cluster, hits, duration)
    if run_state(api, run_id) != "success":
        raise CheckFailed("The run failed.")


def run_state(api: AirflowApi, run_id: str) -> str | None:
    """Return the state of the run, or None if the API does not answer, as while PostgreSQL restarts."""
    with suppress(AirflowError, requests.RequestException):
        return api.run_state(DAG, run_id)
    return None


def wait_for_backups(cluster: FleetCluster, api: AirflowApi, run_id: str, share: float) -> None:
    """Wait until this share of the indexes has a backup.

    Raises:
        CheckFailed: The backups were not created in time, or the run has finished.
    """
    wanted = share * len(cluster.indexes)

    def enough() -> bool:
        if run_state(api, run_id) in FINISHED:
            raise CheckFailed("The run has finished before every fault has happened.")
        return len(cluster.backups()) >= wanted

    wait_until(enough, RUN_TIMEOUT, lambda: f"{wanted:.0f} backups; there are {len(cluster.backups())}")


def report(cluster: FleetCluster, hits: dict[str, Hit], duration: float) -> None:
    """Print the tables.

    Raises:
        CheckFailed: A backup is missing, lost or duplicated, a task failed, or a fault did not hit.
    """
    instances = cluster.rows(TASKS)
    values = list(cluster.results("protect.backup").values())
    backups = cluster.backups()
    problems = problems_of(cluster.indexes, backups, values, [(task["task_id"], task["state"]) for task in instances])
    tries = {(task["task_id"], task["map_index"]): task["try_number"] for task in instances}
    log = run(["docker", "logs", cluster.container("emulator")], errors=True)
    dropped = [line for line in log.splitlines() if line.endswith("connection dropped")]
    requests_seen = sum(" /" in line for line in log.splitlines())
    again = {
        service: sum(tries[task.task_id, task.map_index] > task.try_number for task in hit.tasks)
        for service, hit in hits.items()
    }
    print("\n| fault | after | backups then | hit | of them, tried again |\n| --- | ---: | ---: | --- | ---: |")
    words = {
        "worker": "a worker is killed with SIGKILL | {} running tasks",
        "triggerer": "a triggerer is killed with SIGKILL | {} deferred tasks that it polled for",
        "scheduler": "a scheduler is killed with SIGKILL | {} tasks that it had queued",
        "postgres": "PostgreSQL restarts | {} tasks that were queued, running or deferred",
    }
    for service, hit in hits.items():
        fault, what = words[service].format(len(hit.tasks)).split(" | ")
        print(f"| {fault} | {hit.seconds:.0f} s | {hit.backups} | {what} | {again[service]} |")
    creates = sum(" POST " in line for line in dropped)
    print(f"| responses are lost | always | | {len(dropped)} of {requests_seen} responses, {creates} to creates | |")
    titles = [*problems, "task instances", "tries", "duration"]
    figures = [*(len(found) for found in problems.values()), len(instances), sum(tries.values()), f"{duration:.0f} s"]
    ready = sum(backup["status"] == "Ready" for backup in backups)
    print(f"\n| indexes | backups | Ready | {' | '.join(titles)} |")
    print(f"|{' ---: |' * (3 + len(titles))}")
    print(f"| {len(cluster.indexes)} | {len(backups)} | {ready} | {' | '.join(map(str, figures))} |\n", flush=True)
    if wrong := {name: found for name, found in problems.items() if found}:
        raise CheckFailed(f"After the run: {wrong}")
    if not again["worker"]:
        raise CheckFailed("No task of the killed worker was tried again.")
    if not dropped:
        raise CheckFailed("The emulator lost no response.")
    for service, count in REPLICAS.items():
        if len(cluster.stack.hosts(service)) != count - 1:
            raise CheckFailed(f"The killed {service} has come back.")


def main() -> int:
    """Test the clusters and return the exit status."""
    count = int(os.environ.get("INDEXES") or 100)
    records = int(os.environ.get("RECORDS") or RECORDS)
    failed = 0
    if count:
        with tempfile.TemporaryDirectory() as folder:
            fleet = FleetCluster(Path(folder), [f"index-{number:03}" for number in range(count)])
            failed |= run_in_stack(fleet.stack, lambda _: check(fleet))
    if records:
        with tempfile.TemporaryDirectory() as folder:
            copies = CopyCluster(Path(folder), records)
            failed |= run_in_stack(copies.stack, lambda _: check_copy(copies))
    return failed


if __name__ == "__main__":
    sys.exit(main())
