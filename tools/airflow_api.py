"""A small client of Airflow's REST API. The paths and bodies are those of Airflow 3; a subclass can change them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import requests
import requests.adapters

FINISHED = {"success", "failed"}

# Airflow returns a 5xx status when it writes to SQLite while another process does.
_SERVER_ERROR_RETRIES = 20
_SERVER_ERROR_PAUSE = 0.5


class AirflowError(Exception):
    """Airflow did not start, returned an error, or did not reach a state in time."""


class AirflowApi:
    """Call the REST API of one Airflow. Safe to use from any thread.

    Args:
        url: The base URL of the API server.

    Attributes:
        poll_interval: Seconds between two polls in ``wait_until``.
    """

    api_path = "api/v2"
    # With these, XComs are returned as JSON.
    xcom_options: Mapping[str, str] = {"deserialize": "true"}

    def __init__(self, url: str) -> None:
        """Store the URL; nothing is sent yet."""
        self.url = url
        self.poll_interval = 0.25
        self._session = requests.Session()
        # The environment may name a proxy, which must not be used for loopback.
        self._session.trust_env = False
        # Tests call from up to 32 threads at once.
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=32))
        # SQLite has one writer at a time, so concurrent writes only cause errors.
        self._write_lock = threading.Lock()

    def log_in(self, username: str, password: str) -> None:
        """Get a token and send it with all later requests.

        Raises:
            requests.HTTPError: Airflow rejected the credentials.
        """
        response = self._session.post(
            f"{self.url}/auth/token", json={"username": username, "password": password}, timeout=30
        )
        response.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def wait_until(self, condition: Callable[[], Any], timeout: float, what: str) -> Any:
        """Poll a condition until it is true.

        Args:
            condition: Called every ``poll_interval`` seconds.
            timeout: Seconds to wait.
            what: What the condition means, for the error message.

        Returns:
            The first true result of the condition.

        Raises:
            AirflowError: The condition was not true in time.
        """
        deadline = time.monotonic() + timeout
        while not (result := condition()):
            if time.monotonic() > deadline:
                raise AirflowError(f"Timed out after {timeout:g} s waiting for {what}")
            time.sleep(self.poll_interval)
        return result

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Send a request, and retry server errors.

        Args:
            method: The HTTP method.
            path: The path below ``api_path``.
            kwargs: Passed on to requests.

        Returns:
            The response, whatever its status.

        Raises:
            requests.Timeout: A write timed out, or the last attempt of a read did. A write is not repeated after a
                timeout, because it may have succeeded.
        """
        for attempts_left in reversed(range(_SERVER_ERROR_RETRIES)):
            try:
                with nullcontext() if method == "GET" else self._write_lock:
                    response = self._session.request(method, f"{self.url}/{self.api_path}/{path}", timeout=30, **kwargs)
            except requests.Timeout:
                if method != "GET" or not attempts_left:
                    raise
                continue
            if response.status_code < 500 or not attempts_left:
                break
            time.sleep(_SERVER_ERROR_PAUSE)
        return response

    def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """Send a request and return the JSON of the response, or None if it has no body.

        Raises:
            AirflowError: The response has an error status.
        """
        response = self.request(method, path, **kwargs)
        if not response.ok:
            raise AirflowError(f"{method} {path}: HTTP {response.status_code}: {response.text[:1000]}")
        return response.json() if response.content else None

    def page(self, path: str) -> str:
        """Return the HTML of a page, whatever the status of the response."""
        return self._session.get(f"{self.url}/{path}", timeout=30).text

    def trigger(
        self, dag_id: str, params: Mapping[str, Any] | None = None, timeout: float = 90.0, run_id: str | None = None
    ) -> str:
        """Trigger a run as soon as Airflow has parsed the DAG.

        Args:
            dag_id: The DAG.
            params: The params of the run.
            timeout: Seconds to wait for the DAG.
            run_id: The id of the run; None creates one from the time.

        Returns:
            The id of the run.

        Raises:
            AirflowError: A DAG file has an import error, or the DAG or the run was not created.
        """

        def is_parsed() -> bool:
            errors = self.api("GET", "importErrors")["import_errors"]
            if errors:
                raise AirflowError(errors[0]["stack_trace"])
            return self.request("GET", f"dags/{dag_id}").ok

        self.wait_until(is_parsed, timeout, f"DAG {dag_id}")
        # A fixed id makes the request safe to retry: it cannot create a second run.
        run_id = run_id or f"manual__{datetime.now(UTC).isoformat()}"
        try:
            self.api("POST", f"dags/{dag_id}/dagRuns", json=self.new_run(run_id, dict(params or {})))
        except AirflowError:
            # An earlier attempt may have created the run although Airflow returned an error.
            self.run_state(dag_id, run_id)
        return run_id

    def new_run(self, run_id: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the body of the request that triggers a run."""
        return {"dag_run_id": run_id, "logical_date": None, "conf": params}

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Set the state of a task, as a user does in the UI."""
        self.api("PATCH", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}", json={"new_state": state})

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return a task instance."""
        return dict(self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"))

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        return list(self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the states of the tasks of a run, by task id."""
        return {row["task_id"]: row["state"] for row in self.task_instances(dag_id, run_id)}

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float) -> str:
        """Wait until a run has finished.

        Returns:
            The state of the run: ``success`` or ``failed``.

        Raises:
            AirflowError: The run did not finish in time.
        """
        state = self.wait_until(
            lambda: state if (state := self.run_state(dag_id, run_id)) in FINISHED else None,
            timeout,
            f"run {run_id} of {dag_id} to finish",
        )
        return str(state)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task pushed to XCom, or None if it pushed nothing under that key."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        response = self.request("GET", path, params=self.xcom_options)
        if response.status_code == 404:
            return None
        response.raise_for_status()
        return response.json()["value"]
