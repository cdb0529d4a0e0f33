"""`make docker-test`: build and start the Compose stack, run DAGs on its workers, and remove everything.

It needs Docker with Compose (`docker compose`, or docker-compose 1.29 or later). The stack gets its own project name,
port, secrets and image name, so it can run beside another one. The exit status is 0 only if every check passed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import make_env
import requests
from airflow_api import AirflowApi, AirflowError
from local_airflow import free_port

HERE = Path(__file__).resolve().parent
# The DAGs to run, and the tasks that each of them runs.
TASKS = {"reindex_with_backup": ["backup", "extract", "reindex"], "backup_deferrable": ["backup"]}
BUILD_TIMEOUT = 900
UP_TIMEOUT = 420
RUN_TIMEOUT = 300
POLL_INTERVAL = 2.0
_STARTED = time.monotonic()


class CheckFailed(Exception):
    """The stack did not start, or a check failed."""


def say(text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"[{time.monotonic() - _STARTED:4.0f} s] {text}", flush=True)


def run(command: list[str], *, timeout: float = 60, environment: dict[str, str] | None = None) -> str:
    """Run a command and return its standard output.

    Args:
        command: The command and its arguments.
        timeout: Seconds until the command is killed.
        environment: The environment of the command; None inherits this process's environment.

    Raises:
        CheckFailed: The command failed or timed out; the message has the end of its output.
    """
    name = f"`{' '.join(command[:2])} ... {command[-1]}`"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"{name} timed out after {timeout:.0f} s. {_last_lines(error.stderr)}") from None
    except OSError as error:
        raise CheckFailed(f"{name} could not be started: {error}") from None
    if done.returncode:
        output = f"{_last_lines(done.stdout)} {_last_lines(done.stderr)}"
        raise CheckFailed(f"{name} exited with code {done.returncode}. {output}")
    return done.stdout


def _last_lines(text: str | bytes | None) -> str:
    text = text.decode(errors="replace") if isinstance(text, bytes) else text or ""
    return "\n".join(text.strip().splitlines()[-30:])


def wait_until(condition: Callable[[], bool], timeout: float, describe: Callable[[], str]) -> None:
    """Poll a condition until it is true.

    Args:
        condition: Called every ``POLL_INTERVAL`` seconds.
        timeout: Seconds to wait.
        describe: Returns what is still missing, for the error message.

    Raises:
        CheckFailed: The condition was not true in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise CheckFailed(f"Timed out after {timeout:.0f} s waiting for {describe()}.")
        time.sleep(POLL_INTERVAL)


class Stack:
    """The stack of compose.yaml with its own project name, port, secrets and image name.

    Args:
        folder: A folder for the file with the settings.
    """

    def __init__(self, folder: Path) -> None:
        """Write the settings; nothing is started yet."""
        self.compose = compose_command()
        self.project = f"airflow-pinecone-test-{secrets.token_hex(4)}"
        self.image = f"{self.project}:latest"
        self.port = free_port()
        lines = make_env.fill((HERE / ".env.example").read_text()).splitlines()
        self.settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        self.settings |= {
            "AIRFLOW_BIND": "127.0.0.1",
            "AIRFLOW_PORT": str(self.port),
            "AIRFLOW_PINECONE_IMAGE": self.image,
            "PINECONE_HOST": "http://emulator:5080",
            "WORKER_CONCURRENCY": "2",
        }
        # The caller may choose the base image, and nothing else.
        if "AIRFLOW_IMAGE" in os.environ:
            self.settings["AIRFLOW_IMAGE"] = os.environ["AIRFLOW_IMAGE"]
        # For Compose, variables of the environment take precedence over those of the file.
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in self.settings and not name.startswith("COMPOSE_")
        }
        self._env_file = folder / "env"
        self._env_file.touch(mode=0o600)
        self._env_file.write_text("".join(f"{name}={value}\n" for name, value in self.settings.items()))

    def run_compose(self, *arguments: str, timeout: float = 60) -> str:
        """Run a Compose subcommand on this stack and return its output."""
        file = str(HERE / "compose.yaml")
        command = [*self.compose, "-p", self.project, "--env-file", str(self._env_file), "-f", file, *arguments]
        return run(command, timeout=timeout, environment=self._environment)

    def containers(self) -> list[dict[str, Any]]:
        """Return `docker inspect` of each container, whether it is running or not."""
        ids = run(["docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}"]).split()
        return list(json.loads(run(["docker", "inspect", *ids]))) if ids else []

    def workers(self) -> set[str]:
        """Return the host names of the workers."""
        return {c["Config"]["Hostname"] for c in self.containers() if service_of(c) == "worker"}

    def wait_until_healthy(self, workers: int) -> None:
        """Wait until init has succeeded and every other container is healthy.

        Args:
            workers: The expected number of workers.

        Raises:
            CheckFailed: A container was not healthy in time, or init failed.
        """
        expected = Counter(self.run_compose("config", "--services").split())
        expected["worker"] = workers
        missing = expected

        def all_healthy() -> bool:
            nonlocal missing
            containers = self.containers()
            for container in containers:
                state = container["State"]
                if service_of(container) == "init" and state["Status"] == "exited" and state["ExitCode"]:
                    raise CheckFailed(f"init exited with code {state['ExitCode']}.")
            missing = expected - Counter(service_of(c) for c in containers if is_healthy(c))
            return not missing

        wait_until(all_healthy, UP_TIMEOUT, lambda: f"healthy containers: {', '.join(missing.elements())}")

    def down(self) -> list[str]:
        """Remove the containers, networks, volumes and the image.

        Returns:
            What could not be removed.
        """
        problems = []
        try:
            self.run_compose("down", "--volumes", "--remove-orphans", "--timeout", "10", timeout=180)
        except CheckFailed as error:
            problems.append(str(error))
        try:
            if self._remaining("image"):
                run(["docker", "image", "rm", "--force", self.image])
            remaining = {resource: self._remaining(resource) for resource in _LIST_COMMANDS}
            problems += [f"Not removed: {resource} {', '.join(ids)}" for resource, ids in remaining.items() if ids]
        except CheckFailed as error:
            problems.append(str(error))
        return problems

    def _remaining(self, resource: str) -> list[str]:
        label = f"label=com.docker.compose.project={self.project}"
        selector = f"reference={self.image}" if resource == "image" else label
        return run(["docker", *_LIST_COMMANDS[resource], "-q", "--filter", selector]).split()


_LIST_COMMANDS = {
    "container": ["container", "ls", "-a"],
    "volume": ["volume", "ls"],
    "network": ["network", "ls"],
    "image": ["image", "ls"],
}


def compose_command() -> list[str]:
    """Return the command that runs Compose; exit if Docker is not installed or does not respond."""
    if shutil.which("docker") is None:
        sys.exit("make docker-test: docker was not found; install Docker with Compose")
    try:
        run(["docker", "info"])
    except CheckFailed:
        sys.exit("make docker-test: the Docker daemon does not respond; start it, or give this user access to it")
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            run([*command, "version"])
        except CheckFailed:
            continue
        return command
    sys.exit("make docker-test: Compose was not found; install the `docker compose` plugin or docker-compose")


def service_of(container: dict[str, Any]) -> str:
    """Return the name of the service of a container."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def is_healthy(container: dict[str, Any]) -> bool:
    """Return whether a container is healthy; init is healthy when it has succeeded."""
    state = container["State"]
    if service_of(container) == "init":
        return bool(state["Status"] == "exited" and state["ExitCode"] == 0)
    return bool(state.get("Health", {}).get("Status") == "healthy")


def log_in(stack: Stack) -> AirflowApi:
    """Log in to the API, and check that it rejects requests without a token and with a wrong password.

    Raises:
        CheckFailed: The API accepted such a request.
    """
    api = AirflowApi(f"http://127.0.0.1:{stack.port}")
    api.poll_interval = POLL_INTERVAL
    if (status := api.request("GET", "dags").status_code) != 401:
        raise CheckFailed(f"The API answered a request without a token with HTTP {status}, expected 401.")
    try:
        api.log_in("admin", "admin")
    except requests.HTTPError as error:
        if error.response.status_code != 401:
            raise
    else:
        raise CheckFailed("The API accepted a wrong password.")
    api.log_in("admin", stack.settings["AIRFLOW_ADMIN_PASSWORD"])
    return api


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
    """Build, start and check the stack.

    Raises:
        CheckFailed: The stack did not start, or a check failed.
    """
    say(f"building {stack.image} with {' '.join(stack.compose)}")
    stack.run_compose("build", "init", timeout=BUILD_TIMEOUT)
    say("starting the stack")
    stack.run_compose("up", "-d", "--no-build", timeout=UP_TIMEOUT)
    stack.wait_until_healthy(workers=1)
    say(f"all containers are healthy; the API is on port {stack.port}")

    api = log_in(stack)
    api.wait_until(
        lambda: set(TASKS) <= {dag["dag_id"] for dag in api.api("GET", "dags")["dags"]},
        120,
        f"the DAGs {', '.join(TASKS)}",
    )
    for dag_id in TASKS:
        api.api("PATCH", f"dags/{dag_id}", json={"is_paused": False})
    workers = stack.workers()
    for dag_id, run_id in [(dag_id, api.trigger(dag_id)) for dag_id in TASKS]:
        tasks_by_worker = check_run(api, dag_id, run_id, workers)
        say(f"run {run_id} of {dag_id} succeeded on worker {', '.join(tasks_by_worker)}")

    stack.run_compose("up", "-d", "--no-build", "--no-recreate", "--scale", "worker=2", timeout=UP_TIMEOUT)
    stack.wait_until_healthy(workers=2)
    say("two workers are healthy")
    workers = stack.workers()
    # A worker runs two tasks at a time, so six runs need both workers.
    run_ids = [api.trigger("reindex_with_backup") for _ in range(6)]
    tasks_by_worker = sum((check_run(api, "reindex_with_backup", r, workers) for r in run_ids), Counter[str]())
    if set(tasks_by_worker) != workers:
        raise CheckFailed(f"Only {set(tasks_by_worker)} of the workers {workers} ran tasks.")
    say(f"{len(run_ids)} runs at the same time succeeded; tasks by worker: {dict(tasks_by_worker)}")


def show(stack: Stack) -> None:
    """Print what explains a failure: states, health checks, and the ends of the logs."""
    for container in stack.containers():
        state = container["State"]
        health = state.get("Health", {})
        print(f"\n--- {container['Name']}: {state['Status']}, exit code {state['ExitCode']}, {health.get('Status')}")
        if health.get("Status") not in (None, "healthy") and health.get("Log"):
            print(f"health check: {health['Log'][-1]['Output'][-500:]}")
        lines = 15 if is_healthy(container) else 60
        logs = subprocess.run(
            ["docker", "logs", "--tail", str(lines), container["Id"]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
        )
        print(logs.stdout[-6000:])


def main() -> int:
    """Test the stack and return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = True
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder))
        try:
            check(stack)
            failed = False
        except (CheckFailed, AirflowError, requests.RequestException, OSError, KeyError, ValueError) as error:
            say(f"FAILED: {error}")
            show(stack)
        finally:
            say("removing the stack")
            problems = stack.down()
            for problem in problems:
                say(f"FAILED: {problem}")
    failed = failed or bool(problems)
    say("FAILED" if failed else "passed; everything was removed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
