"""`make docker-test`: build and start the Compose stack, run DAGs on its workers, and remove everything.

It needs Docker with Compose (`docker compose`, or docker-compose 1.29 or later). The stack gets its own project name,
port, secrets and image name, so it can run beside another one. The exit status is 0 only if every check passed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from airflow_api import AirflowApi
from stack import CheckFailed, Stack, log_in, run_in_stack, say

# The DAGs to run, and the tasks that each of them runs.
TASKS = {"reindex_with_backup": ["backup", "extract", "reindex"], "backup_deferrable": ["backup", "verify"]}
RUN_TIMEOUT = 300


def check_run(api: AirflowApi, dag_id: str, run_id: str, workers: set[str]) -> Counter[str]:
    """Wait for a run, and check that it succeeded on the workers and that its backup is Ready.

    Args:
        api: The API, logged in.
        dag_id: The DAG.
        run_id: The run.
        workers: The host names of the workers.

    Returns:
        The number of tasks that each worker ran.

    Raises:
        CheckFailed: The run did not succeed, or a check failed.
    """
    name = f"run {run_id} of {dag_id}"
    state = api.wait_for_run(dag_id, run_id, RUN_TIMEOUT)
    log_path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/backup/logs/1"
    log = json.dumps(api.api("GET", log_path, params={"full_content": "true"}))
    if state != "success":
        raise CheckFailed(f"{name} failed: {api.tasks(dag_id, run_id)}\nThe log of backup ends with: {log[-3000:]}")
    tasks = api.task_instances(dag_id, run_id)
    if sorted(task["task_id"] for task in tasks) != TASKS[dag_id]:
        raise CheckFailed(f"{name} has unexpected tasks: {tasks}")
    for task in tasks:
        # The host name of a container is the short form of its id.
        if task["hostname"] not in workers:
            raise CheckFailed(f"{task['task_id']} of {name} ran on {task['hostname']!r}, not on a worker: {workers}.")
    backup = api.xcom(dag_id, run_id, "backup")
    expected = {"status": "Ready", "source_index_name": "docs-example", "record_count": 96}
    if not isinstance(backup, dict) or not backup.get("backup_id") or not expected.items() <= backup.items():
        raise CheckFailed(f"The XCom of {name} is not a Ready backup of docs-example: {backup!r}")
    if backup["backup_id"] not in log:
        raise CheckFailed(f"The log of backup in {name} does not contain the id {backup['backup_id']}: {log}")
    if dag_id == "backup_deferrable" and "airflow_pinecone.triggers" not in log:
        raise CheckFailed(f"The log of backup in {name} shows no trigger, so the task was not deferred: {log}")
    return Counter(task["hostname"] for task in tasks)


def check(stack: Stack) -> None:
    """Start and check the stack.

    Raises:
        CheckFailed: The stack did not start, or a check failed.
    """
    stack.up(worker=1)
    say(f"all containers are healthy; the API is on port {stack.port}")

    api = log_in(stack)
    api.wait_until(
        lambda: set(TASKS) <= {dag["dag_id"] for dag in api.api("GET", "dags")["dags"]},
        120,
        f"the DAGs {', '.join(TASKS)}",
    )
    for dag_id in TASKS:
        api.api("PATCH", f"dags/{dag_id}", json={"is_paused": False})
    workers = set(stack.hosts("worker"))
    for dag_id, run_id in [(dag_id, api.trigger(dag_id)) for dag_id in TASKS]:
        tasks_by_worker = check_run(api, dag_id, run_id, workers)
        say(f"run {run_id} of {dag_id} succeeded on worker {', '.join(tasks_by_worker)}")

    stack.up(worker=2)
    say("two workers are healthy")
    workers = set(stack.hosts("worker"))
    # A worker runs two tasks at a time, so six runs need both workers.
    run_ids = [api.trigger("reindex_with_backup") for _ in range(6)]
    tasks_by_worker = sum((check_run(api, "reindex_with_backup", r, workers) for r in run_ids), Counter[str]())
    if set(tasks_by_worker) != workers:
        raise CheckFailed(f"Only {set(tasks_by_worker)} of the workers {workers} ran tasks.")
    say(f"{len(run_ids)} runs at the same time succeeded; tasks by worker: {dict(tasks_by_worker)}")


def main() -> int:
    """Test the stack and return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        return run_in_stack(Stack(Path(folder)), check)


if __name__ == "__main__":
    sys.exit(main())
