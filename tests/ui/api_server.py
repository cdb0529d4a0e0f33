"""Airflow's API server with a database, and without the other parts of Airflow."""

from __future__ import annotations

import json
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import requests
from local_airflow import LocalAirflow
from playwright.sync_api import Page

API_KEY = "pc-browser-key-0123456789"
# The run whose task has created the newest Ready backup.
RUN = "manual__1"
# The run whose backup failed, and this backup.
FAILED_RUN = "manual__2"
FAILED = "8c85e612-ed1c-4f97-9f8c-8194e07bcf71"
# Indexes of the connection "lost" that hold 96 records now, and how many they had.
LOST = {"articles": 250_000, "images": 41_200, "reviews": 7_350}
# It closes the elements around it, adds a script, and ends with a letter that is written from right to left.
HOSTILE = '"></td><script>document.title="hacked"</script><img src=x onerror=alert(1)>\N{HEBREW LETTER SHIN}'

Open = Callable[..., Page]

# A connection of the page that a test adds to Airflow's database. The others are in the environment.
STORED = "stored"

# The roles of SimpleAuthManager. Only Op and Admin may read connections.
ROLES = ("viewer", "user", "op", "admin")

DAG_FILE = """
from airflow.sdk import DAG
from airflow_pinecone.assets import backup_asset
from airflow_pinecone.operators import AuditBackupsOperator, CreateBackupOperator

with DAG("etl", schedule=None):
    CreateBackupOperator(task_id="backup", index_name="docs-example", outlets=[backup_asset("docs-example")])
    AuditBackupsOperator(task_id="audit", max_age=3600)
"""


class ApiServer(LocalAirflow):
    """An API server that has a user for each role, and the DAG ``etl`` with the tasks ``backup`` and ``audit``.

    Attributes:
        prefix: The path of its URL.
    """

    def __init__(self, home: Path, connections: Mapping[str, Mapping[str, Any]], prefix: str) -> None:
        """Create the home folder; nothing is started yet."""
        dags = home / "dags"
        dags.mkdir(parents=True)
        (dags / "etl.py").write_text(DAG_FILE)
        super().__init__(home, dags=dags, connections=connections)
        self.prefix = prefix
        self.url += prefix
        self.environment |= {
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{role}:{role}" for role in ROLES),
            "AIRFLOW__PINECONE__UI_CONNECTIONS": ",".join([*connections, STORED]),
            "AIRFLOW__PINECONE__UI_AUDIT": "etl.audit",
        }
        self.passwords = {role: secrets.token_urlsafe(12) for role in ROLES}

    def start(self, timeout: float = 180.0) -> None:
        """Create the database, parse the DAG, start the API server and log in as admin.

        Args:
            timeout: Seconds to wait for the API server.
        """
        path = self.home / "passwords.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.passwords))
        (self.home / "config").mkdir()
        (self.home / "config" / "sqlite_timeout.py").write_text("CONNECT_ARGS = {'timeout': 20}\n")
        for command in (["db", "migrate"], ["dags", "reserialize"]):
            subprocess.run(
                [sys.executable, "-m", "airflow", *command],
                env=self.environment,
                cwd=self.home,
                check=True,
                capture_output=True,
            )
        self._standalone = self._run("api-server")
        try:
            self.wait_until(self._responds, timeout, "the API server")
            self.log_in("admin", self.passwords["admin"])
        except BaseException:
            self.stop()
            raise

    def token(self, role: str) -> str:
        """Return a token of the user with a role."""
        credentials = {"username": role, "password": self.passwords[role]}
        response = self._session.post(f"{self.url}/auth/token", json=credentials, timeout=30)
        response.raise_for_status()
        return str(response.json()["access_token"])

    def add_run(self, run_id: str) -> None:
        """Add a run of the DAG ``etl``. Nothing executes it."""
        self.api("PATCH", "dags/etl", json={"is_paused": False})
        self.api("POST", "dags/etl/dagRuns", json={"dag_run_id": run_id, "logical_date": None})

    def add_event(self, run_id: str, timestamp: str, extra: Mapping[str, Any]) -> None:
        """Add the event of a backup of docs-example, as the task of a run adds it."""
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=20)) as database:
            ((asset_id,),) = database.execute("SELECT id FROM asset WHERE uri = 'pinecone://docs-example/backups'")
            database.execute(
                "INSERT INTO asset_event (asset_id, extra, source_task_id, source_dag_id, source_run_id, "
                "source_map_index, timestamp) VALUES (?, ?, 'backup', 'etl', ?, -1, ?)",
                (asset_id, json.dumps(extra), run_id, timestamp),
            )
            database.commit()

    def add_xcom(self, run_id: str, key: str, value: Any, task_id: str = "backup") -> None:
        """Add an XCom of a task of a run."""
        path = f"dags/etl/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        self.api("POST", path, json={"key": key, "value": value})

    def _responds(self) -> bool:
        self._is_healthy()
        with suppress(requests.RequestException):
            return self._session.get(f"{self.url}/api/v2/version", timeout=5).ok
        return False
