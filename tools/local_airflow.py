"""A real Airflow on this machine for as long as it is needed: `airflow standalone` on SQLite and free loopback ports.

The demo and the tests in tests/airflow run on it. Nothing of it outlives ``stop``, and it writes nothing outside of
its home.
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
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import psutil
import requests
import requests.adapters
from cryptography.fernet import Fernet

FINISHED = {"success", "failed"}

# A module for the config folder, which Airflow's processes import.
_SQLITE_PATIENCE = """
import sys

# Seconds for which a write waits for another. The scheduler ends when it gives up, on a busy machine often after the
# usual 5. The API server, if it waits long, waits for itself: it writes its audit log in its event loop, for which the
# commit of the write before may be waiting. It then answers 500, and is asked again.
CONNECT_ARGS = {"timeout": 2 if "api-server" in sys.argv else 60}
"""


class LocalAirflowError(Exception):
    """Airflow did not start, or did not do in time what was waited for."""


def free_port() -> int:
    """Return a loopback port that nothing listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def session_of(process: psutil.Process) -> int | None:
    """Return the id of the session that a process is in, or None if it is gone."""
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


class LocalAirflow:
    """Airflow standalone: scheduler, triggerer, DAG processor, API server.

    Args:
        home: Its home, a folder that is there; it holds the database, the logs and what Airflow prints.
        dags: The folder of the DAG files.
        connections: The Airflow connections, by id, as Airflow's JSON has them.
        settings: More ``AIRFLOW__SECTION__KEY`` variables.
        port: The port of the UI; None takes a free one.
        busy: Whether many tasks begin while many threads ask this object for things. The tasks then get an API server
            of their own, whose event loop no audit log holds up.
    """

    username = "admin"

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
        self.home = home
        self.password = secrets.token_urlsafe(12)
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._tasks_port = free_port() if busy else None
        self._session = requests.Session()
        self._session.trust_env = False
        # As many threads may ask at once as a test has.
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=32))
        self._process: subprocess.Popen[bytes] | None = None
        self._restarted: list[subprocess.Popen[bytes]] = []
        self._writing = threading.Lock()
        # Seconds between two looks at what is waited for.
        self.pace = 0.25
        keep = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        self.environment = keep | {
            "AIRFLOW_HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "sqlite_patience.CONNECT_ARGS",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self._tasks_port or port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.username}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(32),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            # 1 second by default, and most of what a run of short tasks waits for.
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(dict(value)) for name, value in connections.items()},
            **(settings or {}),
        }

    def __enter__(self) -> Self:
        """Start it, and wait until it is ready."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it."""
        self.stop()

    def start(self, timeout: float = 180.0) -> None:
        """Start Airflow, and return once all of its parts are healthy.

        Args:
            timeout: Seconds to wait.

        Raises:
            LocalAirflowError: It ended, or was not healthy in time.
        """
        passwords = self.home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({self.username: self.password}))
        (self.home / "config").mkdir(exist_ok=True)
        (self.home / "config" / "sqlite_patience.py").write_text(_SQLITE_PATIENCE)
        self._process = self._run("standalone")
        try:
            self.wait_until(self._healthy, timeout, "Airflow to be healthy")
            if self._tasks_port:
                self.start_part("api-server", "--apps", "execution", "--port", str(self._tasks_port))
                self.wait_until(self._tasks_are_served, timeout, "the API server of the tasks")
            # Else each write of SQLite holds up all who read.
            with closing(sqlite3.connect(self.home / "airflow.db", timeout=60)) as database:
                database.execute("PRAGMA journal_mode=WAL")
            answer = self._session.post(
                f"{self.url}/auth/token", json={"username": self.username, "password": self.password}, timeout=30
            )
            answer.raise_for_status()
        except BaseException:
            self.stop()
            raise
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def stop(self) -> None:
        """Stop Airflow and every process that it left."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        # Whoever their parent is now, they are in a session of ours. (Their environment and working directory cannot
        # always be read: Airflow's tasks hide theirs, and a process that sets its title writes over its environment.)
        ours = [self._process, *self._restarted]
        sessions = {process.pid for process in ours}
        left = [process for process in psutil.process_iter() if session_of(process) in sessions]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        for process in ours:
            process.wait(10)
        self._process, self._restarted = None, []

    def part(self, name: str) -> psutil.Process:
        """Return the process of a part of Airflow: its scheduler or its triggerer."""
        restarted = [process for process in self._restarted if process.args[-1] == name and process.poll() is None]
        if restarted:
            return psutil.Process(restarted[-1].pid)
        for process in psutil.Process(self._process.pid).children():
            with suppress(psutil.ZombieProcess):
                if process.cmdline()[-1] == name:
                    return process
        raise LocalAirflowError(f"There is no {name}")

    def start_part(self, *command: str) -> None:
        """Start a part of Airflow, in place of one that was killed or beside it."""
        self._restarted.append(self._run(*command))

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

    def _healthy(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            tail = (self.home / "airflow.out").read_text(errors="replace")[-3000:]
            raise LocalAirflowError(f"Airflow ended with exit code {self._process.returncode}:\n{tail}")
        try:
            health = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def _tasks_are_served(self) -> bool:
        with suppress(requests.RequestException):
            return self._session.get(f"http://127.0.0.1:{self._tasks_port}/execution/health", timeout=5).ok
        return False

    def wait_until(self, condition: Callable[[], Any], timeout: float, what: str) -> Any:
        """Ask until something is true.

        Args:
            condition: What is asked, every ``pace`` seconds.
            timeout: Seconds to wait.
            what: What is waited for, for the message.

        Returns:
            What the condition returned at last.

        Raises:
            LocalAirflowError: It was not true in time.
        """
        end = time.monotonic() + timeout
        while not (result := condition()):
            if time.monotonic() > end:
                raise LocalAirflowError(f"Waited {timeout:g} s for {what}, in vain")
            time.sleep(self.pace)
        return result

    def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """Call Airflow's REST API.

        Args:
            method: The HTTP method.
            path: The path below ``/api/v2/``.
            kwargs: As for requests.

        Returns:
            The JSON of the answer, or None where there is none.

        Raises:
            LocalAirflowError: The answer is an error. A 5xx is asked again for some seconds first: Airflow answers one
                when it writes to SQLite while something else does.
        """
        for left in reversed(range(20)):
            try:
                with nullcontext() if method == "GET" else self._writing:
                    answer = self._session.request(method, f"{self.url}/api/v2/{path}", timeout=30, **kwargs)
            except requests.Timeout:
                if method != "GET" or not left:
                    raise
                continue
            if answer.status_code < 500 or not left:
                break
            time.sleep(0.5)
        if not answer.ok:
            raise LocalAirflowError(f"{method} {path}: HTTP {answer.status_code}: {answer.text[:1000]}")
        return answer.json() if answer.content else None

    def trigger(
        self, dag_id: str, params: Mapping[str, Any] | None = None, timeout: float = 90.0, run_id: str | None = None
    ) -> str:
        """Trigger a run, as soon as the DAG is known.

        Args:
            dag_id: The DAG.
            params: The run's params.
            timeout: Seconds to wait for the DAG.
            run_id: The run's id; None makes one of the time.

        Returns:
            The run's id.
        """

        def known() -> bool:
            errors = self.api("GET", "importErrors")["import_errors"]
            if errors:
                raise LocalAirflowError(errors[0]["stack_trace"])
            found = self._session.get(f"{self.url}/api/v2/dags/{dag_id}", timeout=30)
            return found.ok

        self.wait_until(known, timeout, f"DAG {dag_id} to be known")
        # With an id of our own, asking again after an error cannot make a second run.
        run_id = run_id or f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(params or {})}
        try:
            self.api("POST", f"dags/{dag_id}/dagRuns", json=body)
        except LocalAirflowError:
            # It may have been made all the same; if not, this raises.
            self.run_state(dag_id, run_id)
        return run_id

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return a task instance as the REST API shows it."""
        return dict(self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"))

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the states of a run's tasks, by task id."""
        rows = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {row["task_id"]: row["state"] for row in rows}

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float) -> str:
        """Wait until a run has ended.

        Args:
            dag_id: The DAG.
            run_id: The run.
            timeout: Seconds to wait.

        Returns:
            The run's state: success or failed.
        """
        ended = self.wait_until(
            lambda: state if (state := self.run_state(dag_id, run_id)) in FINISHED else None,
            timeout,
            f"run {run_id} of {dag_id} to end",
        )
        return str(ended)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task pushed to XCom, or None."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        found = self._session.get(f"{self.url}/api/v2/{path}", params={"deserialize": "true"}, timeout=30)
        if found.status_code == 404:
            return None
        found.raise_for_status()
        return found.json()["value"]

    def log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the logs of all tries of a task, as they lie in the home."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return "\n".join(path.read_text(errors="replace") for path in sorted(folder.rglob("*.log*")))

    def has_heard(self, dag_id: str, run_id: str, task_id: str) -> bool:
        """Say whether the scheduler has heard that a process of the task ended.

        Whatever answers a deferred or asking task before that makes Airflow take the try for failed.
        """
        said = (self.home / "airflow.out").read_text(errors="replace")
        return f"TaskInstance Finished: dag_id={dag_id}, task_id={task_id}, run_id={run_id}," in said
