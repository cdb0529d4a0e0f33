"""The stack of compose.yaml under its own project name, for `make docker-test` and `make cluster-test`."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import make_env
import requests
from airflow_api import AirflowApi, AirflowError
from local_airflow import free_port

HERE = Path(__file__).resolve().parent
BUILD_TIMEOUT = 900
UP_TIMEOUT = 420
POLL_INTERVAL = 2.0
_STARTED = time.monotonic()


class CheckFailed(Exception):
    """The stack did not start, or a check failed."""


def say(text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"[{time.monotonic() - _STARTED:4.0f} s] {text}", flush=True)


def run(
    command: list[str], *, timeout: float = 60, environment: dict[str, str] | None = None, errors: bool = False
) -> str:
    """Run a command and return its standard output.

    Args:
        command: The command and its arguments.
        timeout: Seconds until the command is killed.
        environment: The environment of the command; None inherits this process's environment.
        errors: Whether to return the standard error, too.

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
    return done.stdout + done.stderr if errors else done.stdout


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
        folder: A folder for the files with the settings.
        settings: Settings that replace those of ``.env.example``.
        services: What to add to services of ``compose.yaml``, by service; one that it does not have is added.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        services: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
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
            **(settings or {}),
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
        # All services of compose.yaml have the same image.
        self.built = ["init", *(name for name, service in (services or {}).items() if "build" in service)]
        self._files = [HERE / "compose.yaml"]
        if services:
            # JSON is YAML, too.
            self._files.append(folder / "services.yaml")
            self._files[-1].write_text(json.dumps({"services": services}))

    def run_compose(self, *arguments: str, timeout: float = 60) -> str:
        """Run a Compose subcommand on this stack and return its output."""
        files = [argument for file in self._files for argument in ("-f", str(file))]
        command = [*self.compose, "-p", self.project, "--env-file", str(self._env_file), *files, *arguments]
        return run(command, timeout=timeout, environment=self._environment)

    def up(self, **replicas: int) -> None:
        """Start the containers that do not run yet, and wait until all are healthy.

        Args:
            replicas: The number of containers of each service that has more than one.

        Raises:
            CheckFailed: A container was not healthy in time, or init failed.
        """
        scale = [argument for name, count in replicas.items() for argument in ("--scale", f"{name}={count}")]
        self.run_compose("up", "-d", "--no-build", "--no-recreate", *scale, timeout=UP_TIMEOUT)
        self._wait_until_healthy(replicas)

    def containers(self) -> list[dict[str, Any]]:
        """Return `docker inspect` of each container, whether it is running or not."""
        ids = run(["docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}"]).split()
        return list(json.loads(run(["docker", "inspect", *ids]))) if ids else []

    def hosts(self, service: str) -> list[str]:
        """Return the host names of the running containers of a service. They are the short forms of their ids."""
        return sorted(
            container["Config"]["Hostname"]
            for container in self.containers()
            if service_of(container) == service and container["State"]["Running"]
        )

    def _wait_until_healthy(self, replicas: Mapping[str, int]) -> None:
        expected = Counter(self.run_compose("config", "--services").split())
        expected |= Counter(replicas)
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
        """Remove the containers, networks, volumes and images.

        Returns:
            What could not be removed.
        """
        problems = []
        try:
            self.run_compose("down", "--volumes", "--remove-orphans", "--timeout", "10", timeout=180)
        except CheckFailed as error:
            problems.append(str(error))
        try:
            if images := self._remaining("image"):
                run(["docker", "image", "rm", "--force", *images])
            remaining = {resource: self._remaining(resource) for resource in _LIST_COMMANDS}
            problems += [f"Not removed: {resource} {', '.join(ids)}" for resource, ids in remaining.items() if ids]
        except CheckFailed as error:
            problems.append(str(error))
        return problems

    def _remaining(self, resource: str) -> list[str]:
        label = f"label=com.docker.compose.project={self.project}"
        # The images that Compose names have the name of the project, too.
        selector = f"reference={self.project}*" if resource == "image" else label
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
        sys.exit("docker was not found; install Docker with Compose")
    try:
        run(["docker", "info"])
    except CheckFailed:
        sys.exit("the Docker daemon does not respond; start it, or give this user access to it")
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            run([*command, "version"])
        except CheckFailed:
            continue
        return command
    sys.exit("Compose was not found; install the `docker compose` plugin or docker-compose")


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


def run_in_stack(stack: Stack, check: Callable[[Stack], None]) -> int:
    """Build the images, run a check on the stack, remove everything, and return the exit status.

    Args:
        stack: The stack; nothing is started yet.
        check: Starts the stack and checks it. It raises an error if a check fails.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = True
    try:
        say(f"building {stack.image} with {' '.join(stack.compose)}")
        stack.run_compose("build", *stack.built, timeout=BUILD_TIMEOUT)
        say("starting the stack")
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
