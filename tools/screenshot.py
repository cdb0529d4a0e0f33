"""`make screenshot`: take the pictures of the documentation with Chromium.

docs/run.png is a finished run of the demo DAG in Airflow's UI. docs/page-light.png and docs/page-dark.png are the page
of this package, and docs/page-index.png is the page of an index.
"""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from demo_data import add_history, add_problems
from local_airflow import LocalAirflow
from playwright.sync_api import Browser, sync_playwright

from airflow_pinecone.emulator import Emulator

ROOT = Path(__file__).resolve().parent.parent
DAG = "reindex_with_backup"


def take(browser: Browser, airflow: LocalAirflow, path: str, name: str, ready: str, *, theme: Any, height: int) -> None:
    """Take a screenshot.

    Args:
        browser: The browser.
        airflow: The Airflow.
        path: The path of the page.
        name: The name of the file in docs.
        ready: A text that the page contains when it is complete.
        theme: ``light`` or ``dark``.
        height: The height of the picture, in pixels.
    """
    page = browser.new_page(color_scheme=theme, viewport={"width": 1400, "height": height})
    page.goto(f"{airflow.url}/auth/token/login?next={quote(path, safe='')}")
    page.get_by_text(ready).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=ROOT / "docs" / name)
    page.close()


def main() -> None:
    """Run the DAG, and take the screenshots with headless Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        sys.exit("make screenshot: chromium was not found; on Debian: apt-get install chromium")
    key = secrets.token_urlsafe(24)
    with (
        tempfile.TemporaryDirectory() as home,
        Emulator(api_key=key, indexes=["docs-example:98000"], ready_after=5) as pinecone,
    ):
        add_history(pinecone, "docs-example", records=96_000)
        add_problems(pinecone)
        connection = {"conn_type": "pinecone", "host": pinecone.url, "password": key}
        # The browser needs no login. That is safe: the port is on loopback and open for about a minute.
        settings = {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        }
        with LocalAirflow(
            Path(home), dags=ROOT / "dags", connections={"pinecone_default": connection}, settings=settings
        ) as airflow:
            run_id = airflow.trigger(DAG)
            airflow.api("PATCH", f"dags/{DAG}", json={"is_paused": False})
            if airflow.wait_for_run(DAG, run_id, 120) != "success":
                sys.exit("make screenshot: the run failed")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                take(browser, airflow, f"/dags/{DAG}/runs/{run_id}", "run.png", "reindex", theme="light", height=620)
                for theme in ("light", "dark"):
                    picture = f"page-{theme}.png"
                    take(browser, airflow, "/plugin/pinecone-backups", picture, "Quota", theme=theme, height=900)
                path = "/pinecone-backups/indexes/docs-example"
                take(browser, airflow, path, "page-index.png", "restore", theme="light", height=1000)
                browser.close()


if __name__ == "__main__":
    main()
