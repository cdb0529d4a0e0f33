"""`make screenshot`: create docs/run.png, a finished run of the demo DAG in Airflow's UI. Needs Chromium."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from local_airflow import LocalAirflow

from airflow_pinecone.emulator import Emulator

ROOT = Path(__file__).resolve().parent.parent
DAG = "reindex_with_backup"


def main() -> None:
    """Run the DAG and take a screenshot of the run with headless Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        sys.exit("make screenshot: chromium was not found; on Debian: apt-get install chromium")
    key = secrets.token_urlsafe(24)
    with (
        tempfile.TemporaryDirectory() as home,
        Emulator(api_key=key, indexes=["docs-example"], ready_after=5) as pinecone,
    ):
        connection = {"conn_type": "pinecone", "host": pinecone.url, "password": key}
        # The browser needs no login. That is safe: the port is on loopback and open for about a minute.
        settings = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True"}
        with LocalAirflow(
            Path(home), dags=ROOT / "dags", connections={"pinecone_default": connection}, settings=settings
        ) as airflow:
            run_id = airflow.trigger(DAG)
            if airflow.wait_for_run(DAG, run_id, 120) != "success":
                sys.exit("make screenshot: the run failed")
            page = quote(f"/dags/{DAG}/runs/{run_id}", safe="")
            subprocess.run(
                [
                    chromium,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--no-first-run",
                    f"--user-data-dir={home}/chromium",
                    "--window-size=1400,620",
                    "--virtual-time-budget=30000",
                    f"--screenshot={ROOT / 'docs' / 'run.png'}",
                    f"{airflow.url}/auth/token/login?next={page}",
                ],
                check=True,
                timeout=120,
            )


if __name__ == "__main__":
    main()
