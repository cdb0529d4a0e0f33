"""A real Airflow 2.11: its REST API and its settings have other names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from local_airflow import LocalAirflow


class LocalAirflow2(LocalAirflow):
    """An Airflow 2.11 in its own processes: scheduler, triggerer and webserver. It runs one task at a time.

    Args:
        home: An existing folder for the database, the logs and the output of Airflow.
        settings: More ``AIRFLOW__SECTION__KEY`` variables.
        kwargs: The other arguments of LocalAirflow, except ``busy``.
    """

    api_path = "api/v1"
    xcom_options: Mapping[str, str] = {"stringify": "false"}
    health_path = "health"
    # The scheduler parses the DAG files.
    parts = ("scheduler", "triggerer")

    def __init__(self, home: Path, *, settings: dict[str, str] | None = None, **kwargs: Any) -> None:
        """Store the arguments; nothing is started yet."""
        super().__init__(home, settings=settings, **kwargs)
        self.environment |= {
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth",
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": self.environment["AIRFLOW__API__PORT"],
            "AIRFLOW__WEBSERVER__SECRET_KEY": self.environment["AIRFLOW__API__SECRET_KEY"],
            "AIRFLOW__WEBSERVER__WORKERS": "1",
            # It creates its permissions first. On a busy machine, that takes longer than the default of 120 s.
            "AIRFLOW__WEBSERVER__WEB_SERVER_MASTER_TIMEOUT": "300",
        }

    def log_in(self, username: str, password: str) -> None:
        """Send the credentials with all later requests. Airflow created the password when it started."""
        self.password = (self.home / "standalone_admin_password.txt").read_text().strip()
        self._session.auth = (username, self.password)

    def new_run(self, run_id: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the body of the request that triggers a run."""
        return {"dag_run_id": run_id, "conf": params}

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Set the state of a task, as a user does in the UI."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.api("PATCH", path, json={"new_state": state, "dry_run": False})

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return the address of a run in the UI."""
        return f"{self.url}/dags/{dag_id}/grid?{urlencode({'dag_run_id': run_id})}"


# The class for the installed Airflow. Importing Airflow to see its version would write a configuration into ~/airflow.
InstalledAirflow = LocalAirflow2 if version("apache-airflow").startswith("2.") else LocalAirflow
