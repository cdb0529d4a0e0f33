#!/usr/bin/env python3
"""Bring the whole stack up under a name and secrets of its own, run DAGs on its workers, and take it all down.

It needs Docker with Compose (`docker compose`, or docker-compose from 1.29 on) and nothing besides Python. Every wait
is for a state and has an end. The exit status is 0 only when everything was as it should be.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import make_env

HERE = Path(__file__).resolve().parent
TASKS = {"reindex_with_backup": ["backup", "extract", "reindex"], "backup_deferrable": ["backup"]}
BUILD_SECONDS = 900
UP_SECONDS = 420
RUN_SECONDS = 300


class Failure(Exception):
    """The stack is not as it should be."""


def run(command: list[str], *, seconds: float = 60, environment: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed.

    Args:
        command: The command and its arguments.
        seconds: When to give it up.
        environment: Its environment; None: that of this process.

    Returns:
        Its standard output.

    Raises:
        Failure: It failed or took too long; the end of its output is in the message.
    """
    said = f"`{' '.join(command[:2])} ... {command[-1]}`"
    try:
        done = subprocess.run(  # noqa: S603 (the commands are this file's own)
            command, capture_output=True, text=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{said} took longer than {seconds:.0f} s. {_end(error.stderr)}") from None
    except OSError as error:
        raise Failure(f"{said} could not be run: {error}") from None
    if done.returncode:
        raise Failure(f"{said} exited with {done.returncode}. {_end(done.stdout)} {_end(done.stderr)}")
    return done.stdout


def _end(text: str | bytes | None) -> str:
    text = text.decode(errors="replace") if isinstance(text, bytes) else text or ""
    return "\n".join(text.strip().splitlines()[-30:])


def wait_for(what: str, look: Callable[[], Any], *, seconds: float) -> Any:
    """Look every two seconds until there is something to see.

    Args:
        what: What is waited for, for the message.
        look: Returns what was waited for, or something false while it is not there.
        seconds: How long to wait.

    Returns:
        What `look` returned.

    Raises:
        Failure: Nothing came in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(2)
    raise Failure(f"Waited {seconds:.0f} s in vain for {what}.")


def say(text: str) -> None:
    """Print a line with the time since the start."""
    print(f"[{time.monotonic() - _STARTED:4.0f} s] {text}", flush=True)


_STARTED = time.monotonic()


class Stack:
    """The stack of compose.yaml under a project name, a port, secrets and an image name of its own."""

    def __init__(self, folder: Path) -> None:
        """Write its settings into a folder; nothing is started.

        Args:
            folder: A folder for the settings alone.
        """
        self.compose = compose_command()
        self.project = f"airflow-pinecone-test-{secrets.token_hex(4)}"
        self.image = f"{self.project}:latest"
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        own = {
            "AIRFLOW_BIND": "127.0.0.1",
            "AIRFLOW_PORT": str(self.port),
            "AIRFLOW_PINECONE_IMAGE": self.image,
            "PINECONE_HOST": "http://emulator:5080",
            "WORKER_CONCURRENCY": "2",
        }
        lines = make_env.fill((HERE / ".env.example").read_text()).splitlines()
        example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        # The base image may be chosen from outside; nothing else, as the environment would win over the file.
        if "AIRFLOW_IMAGE" in os.environ:
            own["AIRFLOW_IMAGE"] = os.environ["AIRFLOW_IMAGE"]
        self.settings = example | own
        self._environment = {k: v for k, v in os.environ.items() if k not in self.settings}
        self._environment = {k: v for k, v in self._environment.items() if not k.startswith("COMPOSE_")}
        self._env_file = folder / "env"
        self._env_file.touch(mode=0o600)
        self._env_file.write_text("".join(f"{name}={value}\n" for name, value in self.settings.items()))

    def run_compose(self, *arguments: str, seconds: float = 60) -> str:
        """Run a subcommand of Compose on this stack and return what it printed."""
        file = str(HERE / "compose.yaml")
        command = [*self.compose, "-p", self.project, "--env-file", str(self._env_file), "-f", file, *arguments]
        return run(command, seconds=seconds, environment=self._environment)

    def containers(self) -> list[dict[str, Any]]:
        """Return what `docker inspect` tells of each container, running or not."""
        ids = run(["docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}"]).split()
        return json.loads(run(["docker", "inspect", *ids])) if ids else []

    def wait_until_healthy(self, workers: int) -> None:
        """Wait until init has ended well and every other container is healthy.

        Args:
            workers: How many workers there are to be.

        Raises:
            Failure: It did not come to that in time, or init failed.
        """
        expected = Counter(self.run_compose("config", "--services").split())
        expected["worker"] = workers
        missing: list[str] = []

        def look() -> bool:
            containers = self.containers()
            for container in containers:
                state = container["State"]
                if service(container) == "init" and state["Status"] == "exited" and state["ExitCode"]:
                    raise Failure(f"init exited with {state['ExitCode']}.")
            missing[:] = (expected - Counter(service(c) for c in containers if is_well(c))).elements()
            return not missing

        try:
            wait_for("healthy containers", look, seconds=UP_SECONDS)
        except Failure as failure:
            raise Failure(f"{failure} Not healthy: {', '.join(missing)}." if missing else str(failure)) from None

    def down(self) -> list[str]:
        """Remove containers, networks, volumes and the image; returns what could not be removed."""
        problems = []
        arguments = ["down", "--volumes", "--remove-orphans", "--timeout", "10"]
        try:
            self.run_compose(*arguments, seconds=180)
        except Failure as failure:
            problems.append(str(failure))
        try:
            if self._left("image"):
                run(["docker", "image", "rm", "--force", self.image])
            problems += [f"A {kind} is left: {', '.join(left)}" for kind in _KINDS if (left := self._left(kind))]
        except Failure as failure:
            problems.append(str(failure))
        return problems

    def _left(self, kind: str) -> list[str]:
        mark = f"reference={self.image}" if kind == "image" else f"label=com.docker.compose.project={self.project}"
        return run(["docker", *_KINDS[kind], "-q", "--filter", mark]).split()


_KINDS = {
    "container": ["container", "ls", "-a"],
    "volume": ["volume", "ls"],
    "network": ["network", "ls"],
    "image": ["image", "ls"],
}


def compose_command() -> list[str]:
    """Return the command that runs Compose; ends this program where Docker is missing or does not answer."""
    if shutil.which("docker") is None:
        sys.exit("docker is not installed: the stack cannot be tested here.")
    try:
        run(["docker", "info"])
    except Failure:
        sys.exit("docker is installed, but its daemon does not answer: is it running, and may this user talk to it?")
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            run([*command, "version"])
        except Failure:
            continue
        return command
    sys.exit("Compose is missing: neither `docker compose` nor `docker-compose` works.")


def service(container: dict[str, Any]) -> str:
    """Return the name of a container's service."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def is_well(container: dict[str, Any]) -> bool:
    """Tell whether a container is healthy, or ended well if it is one that ends."""
    state = container["State"]
    if service(container) == "init":
        return bool(state["Status"] == "exited" and state["ExitCode"] == 0)
    return bool(state.get("Health", {}).get("Status") == "healthy")


class Api:
    """Airflow's REST API, on the port that the stack publishes."""

    def __init__(self, port: int) -> None:
        """Store where it is; nobody is logged in."""
        self._url = f"http://127.0.0.1:{port}"
        self._token: str | None = None
        # No proxy that the environment may name stands before loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def log_in(self, password: str) -> None:
        """Log the user admin in; raises HTTPError when the password is not right."""
        self._token = self.call("POST", "/auth/token", {"username": "admin", "password": password})["access_token"]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Make a request and return its answer's JSON; raises HTTPError when it is refused."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)  # noqa: S310 (http, above)
        with self._opener.open(request, timeout=30) as response:
            return json.load(response)

    def refuses(self, method: str, path: str, body: dict[str, Any] | None = None) -> bool:
        """Tell whether a request is answered 401."""
        try:
            self.call(method, path, body)
        except urllib.error.HTTPError as error:
            return error.code == 401
        return False


def trigger(api: Api, dag: str) -> str:
    """Start a run of a DAG and return its path in the API."""
    made = api.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None})
    return f"/api/v2/dags/{dag}/dagRuns/{made['dag_run_id']}"


def await_green(api: Api, path: str, workers: set[str]) -> Counter[str]:
    """Wait until a run has ended, and check that it is green, its tasks ran on workers and its backup is Ready.

    Args:
        api: The API, logged in.
        path: The run's path.
        workers: The host names of the workers.

    Returns:
        How many tasks each worker did.

    Raises:
        Failure: It is not so.
    """

    def end() -> str | None:
        state: str = api.call("GET", path)["state"]
        return state if state in ("success", "failed") else None

    state = wait_for(f"the end of {path}", end, seconds=RUN_SECONDS)
    tasks = api.call("GET", f"{path}/taskInstances")["task_instances"]
    log = json.dumps(api.call("GET", f"{path}/taskInstances/backup/logs/1?full_content=true"))
    if state != "success":
        states = {task["task_id"]: task["state"] for task in tasks}
        raise Failure(f"{path} is {state}: {states}\nThe log of backup ends: {log[-3000:]}")
    if sorted(task["task_id"] for task in tasks) not in TASKS.values():
        raise Failure(f"{path} has other tasks than expected: {tasks}")
    for task in tasks:
        # A container's host name is the short form of its id.
        if task["hostname"] not in workers:
            raise Failure(f"{task['task_id']} ran on {task['hostname']!r}, which is none of the workers {workers}.")
    model = api.call("GET", f"{path}/taskInstances/backup/xcomEntries/return_value")["value"]
    model = json.loads(model) if isinstance(model, str) else model
    wanted = {"status": "Ready", "source_index_name": "docs-example", "record_count": 96}
    if not isinstance(model, dict) or not model.get("backup_id") or any(model.get(k) != v for k, v in wanted.items()):
        raise Failure(f"The XCom of {path}'s backup is no ready backup of docs-example: {model!r}")
    if model["backup_id"] not in log:
        raise Failure(f"The log of {path}'s backup, as the API shows it, does not tell of {model['backup_id']}: {log}")
    if "/backup_deferrable/" in path and "airflow_pinecone.triggers" not in log:
        raise Failure(f"The log of {path}'s backup tells of no trigger: it was not deferred: {log}")
    return Counter(task["hostname"] for task in tasks)


def workers_of(stack: Stack) -> set[str]:
    """Return the host names of the workers."""
    return {c["Config"]["Hostname"] for c in stack.containers() if service(c) == "worker"}


def check(stack: Stack) -> None:
    """Build, start and try the stack.

    Args:
        stack: The stack, not started yet.

    Raises:
        Failure: Something is not as it should be.
    """
    say(f"building {stack.image} with {' '.join(stack.compose)}")
    stack.run_compose("build", "init", seconds=BUILD_SECONDS)
    say("starting the stack")
    stack.run_compose("up", "-d", "--no-build", seconds=UP_SECONDS)
    stack.wait_until_healthy(workers=1)
    say(f"all containers are healthy; the API is on port {stack.port}")

    api = Api(stack.port)
    if not api.refuses("GET", "/api/v2/dags") or not api.refuses(
        "POST", "/auth/token", {"username": "admin", "password": "admin"}
    ):
        raise Failure("The API lets in somebody without the password.")
    api.log_in(stack.settings["AIRFLOW_ADMIN_PASSWORD"])
    wait_for(
        f"the DAGs {', '.join(TASKS)}",
        lambda: set(TASKS) <= {dag["dag_id"] for dag in api.call("GET", "/api/v2/dags")["dags"]},
        seconds=120,
    )
    if errors := api.call("GET", "/api/v2/importErrors")["import_errors"]:
        raise Failure(f"DAGs could not be imported: {errors}")
    for dag in TASKS:
        api.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})
    workers = workers_of(stack)
    for path in [trigger(api, dag) for dag in TASKS]:
        shares = await_green(api, path, workers)
        say(f"green on worker {', '.join(shares)}: {path.rsplit('/dags/')[-1]}")

    stack.run_compose("up", "-d", "--no-build", "--no-recreate", "--scale", "worker=2", seconds=UP_SECONDS)
    stack.wait_until_healthy(workers=2)
    say("two workers are healthy")
    workers = workers_of(stack)
    # Each takes two tasks at a time: six are more than one worker has hands for.
    paths = [trigger(api, "reindex_with_backup") for _ in range(6)]
    shares = sum((await_green(api, path, workers) for path in paths), Counter[str]())
    if set(shares) != workers:
        raise Failure(f"Of the workers {workers} only {set(shares)} did any tasks.")
    say(f"{len(paths)} runs at once are green; tasks by worker: {dict(shares)}")


def show(stack: Stack) -> None:
    """Print what is needed to see why the stack failed: states, health checks, and the ends of the logs."""
    for container in stack.containers():
        state = container["State"]
        health = state.get("Health", {})
        print(f"\n--- {container['Name']}: {state['Status']}, exit code {state['ExitCode']}, {health.get('Status')}")
        if health.get("Status") not in (None, "healthy") and health.get("Log"):
            print(f"health check: {health['Log'][-1]['Output'][-500:]}")
        lines = 15 if is_well(container) else 60
        logs = subprocess.run(  # noqa: S603
            ["docker", "logs", "--tail", str(lines), container["Id"]],  # noqa: S607
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
        )
        print(logs.stdout[-6000:])


def main() -> int:
    """Test the stack.

    Returns:
        The exit status.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = True
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder))
        try:
            check(stack)
            failed = False
        except (Failure, OSError, KeyError, ValueError) as error:
            say(f"FAILED: {error}")
            show(stack)
        finally:
            say("taking everything down")
            problems = stack.down()
            for problem in problems:
                say(f"FAILED: {problem}")
    failed = failed or bool(problems)
    say("FAILED" if failed else "passed; nothing is left")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
