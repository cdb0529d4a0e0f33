"""`python tools/log_screenshots.py`: take the pictures of docs/troubleshooting.md with Chromium.

A DAG in a real Airflow runs a task for each fault. A picture shows the log of a failed task as Airflow opens it.
Names of tasks limit the pictures: `python tools/log_screenshots.py wrong_key`. `TO=folder` saves them there.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local_airflow import LocalAirflow, free_port
from playwright.sync_api import Browser, sync_playwright

from airflow_pinecone.emulator import Emulator

ROOT = Path(__file__).resolve().parent.parent
DAG = "faults"
DAG_FILE = """
from airflow.sdk import DAG
from airflow_pinecone.operators import CreateBackupOperator, CreateIndexFromBackupOperator

with DAG("faults", schedule=None, params={"backup_id": ""}, max_active_tasks=2):
    CreateBackupOperator(task_id="wrong_key", index_name="docs", conn_id="wrong_key")
    CreateBackupOperator(task_id="no_connection", index_name="docs", conn_id="no_connection")
    CreateBackupOperator(task_id="rate_limit", index_name="limited")
    CreateBackupOperator(task_id="login_page", index_name="docs", conn_id="login_page")
    CreateBackupOperator(task_id="failed_backup", index_name="broken", wait_for_completion=True, deferrable=True)
    CreateIndexFromBackupOperator(task_id="name_in_use", backup_id="{{ params.backup_id }}", index_name="docs")
"""
TASKS = ("wrong_key", "no_connection", "rate_limit", "login_page", "failed_backup", "name_in_use")
LOGIN_PAGE = "<html><head><title>Sign in to the network of Example Inc.</title></head></html>"


def take(browser: Browser, airflow: LocalAirflow, run_id: str, task_id: str, folder: Path) -> None:
    """Take the picture of the log of a task, in a window of 1400 pixels that is high enough for all of it."""
    page = browser.new_page(color_scheme="light", viewport={"width": 1400, "height": 1200})
    path = f"/dags/{DAG}/runs/{run_id}/tasks/{task_id}"
    page.goto(f"{airflow.url}/auth/token/login?next={quote(path, safe='')}")
    page.set_default_timeout(120_000)
    log = page.get_by_test_id("virtualized-list")
    log.get_by_text("Task failed with exception").wait_for()
    page.wait_for_load_state("networkidle")
    # Down to the frames, which name folders of this machine.
    box, frame = log.bounding_box(), log.get_by_text(re.compile('^File "')).first.bounding_box()
    if not (box and frame):
        sys.exit(f"log_screenshots: the log of {task_id} has no traceback")
    clip: Any = {"x": box["x"], "y": box["y"], "width": box["width"], "height": frame["y"] - box["y"]}
    page.screenshot(path=folder / f"log-{task_id.replace('_', '-')}.png", clip=clip)
    page.close()


def main() -> None:
    """Run the tasks, and take the pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        sys.exit("log_screenshots: chromium was not found; on Debian: apt-get install chromium")
    key = secrets.token_urlsafe(24)
    with (
        tempfile.TemporaryDirectory() as home,
        Emulator(api_key=key, indexes=["docs", "limited", "broken"]) as pinecone,
        Emulator(api_key=key) as proxy,
    ):
        backup_id = pinecone.add_backup("docs")["backup_id"]
        pinecone.next_backup("broken", ready_after=12, fails=True)
        pinecone.fault("POST", "/indexes/limited/backups", status=429, headers={"Retry-After": "300"}, times=None)
        proxy.fault("*", "*", status=200, body=LOGIN_PAGE, times=None)
        connection = {"conn_type": "pinecone", "host": pinecone.url, "password": key}
        connections = {
            "pinecone_default": connection,
            "wrong_key": {**connection, "password": "an-old-key"},
            "no_connection": {**connection, "host": f"http://127.0.0.1:{free_port()}"},
            "login_page": {**connection, "host": proxy.url},
        }
        dags = Path(home) / "dags"
        dags.mkdir()
        (dags / "faults.py").write_text(DAG_FILE)
        # The browser needs no login. That is safe: the port is on loopback and open for some minutes.
        settings = {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            # On a busy machine, the default of 5 seconds fails tasks before they start.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        }
        with LocalAirflow(Path(home), dags=dags, connections=connections, settings=settings) as airflow:
            run_id = airflow.trigger(DAG, {"backup_id": backup_id})
            airflow.wait_for_run(DAG, run_id, 300)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                for task_id in sys.argv[1:] or TASKS:
                    take(browser, airflow, run_id, task_id, Path(os.environ.get("TO") or ROOT / "docs"))
                browser.close()


if __name__ == "__main__":
    main()
