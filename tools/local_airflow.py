"""Run a real Airflow on this machine: `airflow standalone` on SQLite and free loopback ports.

The demo, the screenshot and the tests in tests/airflow use it. After ``stop`` no process of it is left, and it writes
only to its home folder.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import psutil
import requests
from airflow_api import AirflowApi, AirflowError
from cryptography.fernet import Fernet

# A module in the config folder, which the Airflow processes import.
_SQLITE_TIMEOUT = """
import sys

# Seconds that a write waits for the lock of another write. The scheduler exits when the default of 5 s passes, which
# happens on a busy machine. The API server must not wait long: it writes its audit log in its event loop, and the
# write it waits for may need that event loop. It then returns an error, and the client retries.
CONNECT_ARGS = {"timeout": 2 if "api-server" in sys.argv else 60}
"""


def free_port() -> int:
    """Return a loopback port that no process listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def session_of(process: psutil.Process) -> int | None:
    """Return the session id of a process, or None if it has exited."""
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


class LocalAirflow(AirflowApi):
    """An Airflow in its own processes: scheduler, triggerer, DAG processor and API server.

    Args:
        home: An existing folder for the database, the logs and the output of Airflow.
        dags: The folder of the DAG files.
        connections: The Airflow connections by id, in Airflow's JSON format.
        settings: More ``AIRFLOW__SECTION__KEY`` variables.
        port: The port of the UI; None selects a free one.
        busy: Whether many tasks start while many threads call the API. Tasks then use a second API server, whose
            event loop is not blocked by the audit log.
    """

    username = "admin"
    health_path = "api/v2/monitor/health"
    parts: tuple[str, ...] = ("scheduler", "triggerer", "dag_processor")

    def __init__(
        self,
        home: Path,
        *,
        dags: Path,
        connections: Mapping[str, Mapping[str, Any]],
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
        busy: bool = False,
    ) -> None:
        """Store the arguments; nothing is started yet."""
        port = port or free_port()
        super().__init__(f"http://127.0.0.1:{port}")
        self.home = home
        self.password = secrets.token_urlsafe(12)
        self._task_api_port = free_port() if busy else None
        self._standalone: subprocess.Popen[bytes] | None = None
        self._parts: list[subprocess.Popen[bytes]] = []
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        self.environment = inherited | {
            "AIRFLOW_HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "sqlite_timeout.CONNECT_ARGS",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self._task_api_port or port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.username}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            # With less than 64 bytes, each process logs a warning.
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            # Parse a DAG file again only when it has changed. By default, Airflow parses all files every 30 seconds.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
            # A run of short tasks spends most of its time in this sleep, which is 1 second by default.
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(dict(value)) for name, value in connections.items()},
            **(settings or {}),
        }

    def __enter__(self) -> Self:
        """Start Airflow and wait until it is healthy."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop Airflow."""
        self.stop()

    def start(self, timeout: float = 300.0) -> None:
        """Start Airflow, wait until all of its parts are healthy, and log in.

        Args:
            timeout: Seconds to wait.

        Raises:
            AirflowError: Airflow exited, or was not healthy in time.
        """
        passwords = self.home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({self.username: self.password}))
        (self.home / "config").mkdir(exist_ok=True)
        (self.home / "config" / "sqlite_timeout.py").write_text(_SQLITE_TIMEOUT)
        self._standalone = self._run("standalone")
        try:
            self.wait_until(self._is_healthy, timeout, "Airflow to be healthy")
            if self._task_api_port:
                self.start_part("api-server", "--apps", "execution", "--port", str(self._task_api_port))
                self.wait_until(self._task_api_is_healthy, timeout, "the API server for tasks")
            # Without a write-ahead log, each write to SQLite blocks all readers.
            with closing(sqlite3.connect(self.home / "airflow.db", timeout=60)) as database:
                database.execute("PRAGMA journal_mode=WAL")
            self.log_in(self.username, self.password)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop Airflow and kill every process that it left."""
        if self._standalone is None:
            return
        self._standalone.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._standalone.wait(10)
        # Find the processes by session. Their parent may have exited, and their environment and working directory
        # cannot always be read: Airflow's tasks hide theirs, and setting a process title overwrites the environment.
        started = [self._standalone, *self._parts]
        sessions = {process.pid for process in started}
        remaining = [process for process in psutil.process_iter() if session_of(process) in sessions]
        for process in remaining:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(remaining, timeout=10)
        for popen in started:
            popen.wait(10)
        self._standalone, self._parts = None, []

    def part(self, name: str) -> psutil.Process:
        """Return the process of a part of Airflow, such as ``scheduler`` or ``triggerer``.

        Raises:
            AirflowError: That part is not running.
        """
        for popen in reversed(self._parts):
            command = popen.args
            if isinstance(command, list) and command[-1] == name and popen.poll() is None:
                return psutil.Process(popen.pid)
        if self._standalone is not None:
            for process in psutil.Process(self._standalone.pid).children():
                with suppress(psutil.ZombieProcess):
                    if process.cmdline()[-1] == name:
                        return process
        raise AirflowError(f"Airflow has no running {name}")

    def start_part(self, *command: str) -> None:
        """Start a part of Airflow, as a replacement for a killed one or in addition to it."""
        self._parts.append(self._run(*command))

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return the address of a run in the UI."""
        return f"{self.url}/dags/{dag_id}/runs/{run_id}"

    def log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the logs of all tries of a task, read from the home folder."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return "\n".join(path.read_text(errors="replace") for path in sorted(folder.rglob("*.log*")))

    def scheduler_saw_exit(self, dag_id: str, run_id: str, task_id: str) -> bool:
        """Return whether the scheduler has processed the exit of a process of the task.

        If a deferred or rescheduled task continues before that, the scheduler marks the try as failed.
        """
        output = (self.home / "airflow.out").read_text(errors="replace")
        return f"TaskInstance Finished: dag_id={dag_id}, task_id={task_id}, run_id={run_id}," in output

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.home / "airflow.out").open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _is_healthy(self) -> bool:
        if self._standalone is not None and self._standalone.poll() is not None:
            tail = (self.home / "airflow.out").read_text(errors="replace")[-3000:]
            raise AirflowError(f"Airflow exited with code {self._standalone.returncode}:\n{tail}")
        try:
            health = self._session.get(f"{self.url}/{self.health_path}", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("metadatabase", *self.parts)
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def _task_api_is_healthy(self) -> bool:
        with suppress(requests.RequestException):
            return self._session.get(f"http://127.0.0.1:{self._task_api_port}/execution/health", timeout=5).ok
        return False
