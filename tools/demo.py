"""`make demo`: run dags/reindex_with_backup.py in a real Airflow, with the emulator or with a real index.

With the emulator and Airflow 3, dags/restore_drill.py then tests the backup. `make demo-copy` runs
dags/offsite_drill.py instead, always with the emulator: it copies the backup to a folder, imports the copy into another
index, and proves that no record is missing.

Environment variables:
    DEMO: `copy` for `make demo-copy`.
    KEEP: Set to 1 to keep the UI running until Ctrl-C.
    PORT: The port of the UI; a free port by default.
    PINECONE_API_KEY, INDEX: Back up this index in Pinecone instead of the emulator's.
    PINECONE_CONTROLLER_HOST: The control plane for the real index; https://api.pinecone.io by default.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from airflow_2 import InstalledAirflow
from airflow_api import FINISHED, AirflowError
from demo_data import add_history
from local_airflow import LocalAirflow

from airflow_pinecone.emulator import Emulator

ROOT = Path(__file__).resolve().parent.parent
DAG = "reindex_with_backup"
# Restores the backup, and reads all its records, which costs something in Pinecone.
TEST = "restore_drill"
COPY = "offsite_drill"
RUN_TIMEOUT = 300.0
# A backup in Pinecone takes about ten minutes, and hours for a large index.
REAL_RUN_TIMEOUT = 6.5 * 3600


def log(text: str) -> None:
    """Print a line immediately."""
    print(text, flush=True)


def fail(text: str) -> NoReturn:
    """Print an error and exit."""
    print(f"make demo: {text}", file=sys.stderr, flush=True)
    raise SystemExit(1)


def chosen_port() -> int | None:
    """Return the port from PORT, or None if it is not set; exit if the port cannot be used."""
    text = os.environ.get("PORT", "")
    if not text:
        return None
    if not (text.isdecimal() and 0 < int(text) < 65536):
        fail(f"PORT must be a number from 1 to 65535, not {text!r}")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", int(text)))
        except OSError as error:
            fail(f"port {text} cannot be used: {error.strerror}. Choose another port, or unset PORT to use a free one")
    return int(text)


def main() -> None:
    """Run the demo."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    port = chosen_port()
    key, index = os.environ.get("PINECONE_API_KEY", ""), os.environ.get("INDEX", "")
    copies = os.environ.get("DEMO") == "copy"
    if copies and (InstalledAirflow is not LocalAirflow or key):
        fail("the demo of copies needs Airflow 3, and runs with the emulator only")
    if bool(key) != bool(index):
        fail("set both PINECONE_API_KEY and INDEX to back up a real index, or neither for the emulator")
    # Several demos can run in one checkout.
    home = Path(tempfile.mkdtemp(prefix=".demo-", dir=ROOT))
    try:
        if copies:
            run_copy(home, port)
        else:
            run(home, port, key, index)
    except AirflowError as error:
        fail(f"{error}. Airflow's output is in {home / 'airflow.out'}")
    except KeyboardInterrupt:
        shutil.rmtree(home, ignore_errors=True)
        log("\nStopped.")
        raise SystemExit(0 if os.environ.get("KEEP") else 130) from None
    shutil.rmtree(home)


def run(home: Path, port: int | None, key: str, index: str) -> None:
    """Run the DAG in an Airflow whose files are in a folder, with the emulator if no index is given."""
    # Airflow gets only these DAGs: others have a schedule and would start by themselves, or need a later Airflow.
    dags = home / "dags"
    dags.mkdir()
    tests_backup = not index and InstalledAirflow is LocalAirflow
    for dag_id in [DAG, *([TEST] if tests_backup else [])]:
        shutil.copy(ROOT / "dags" / f"{dag_id}.py", dags)
    with ExitStack() as stack:
        if index:
            host = os.environ.get("PINECONE_CONTROLLER_HOST", "https://api.pinecone.io")
            timeout = REAL_RUN_TIMEOUT
            log(f"Backing up index {index} at {host}")
        else:
            index, key, timeout = "docs-example", secrets.token_urlsafe(24), RUN_TIMEOUT
            emulator = stack.enter_context(Emulator(api_key=key, indexes=[index], ready_after=8.0))
            add_history(emulator, index, records=95)
            host = emulator.url
            log(f"The Pinecone emulator is running at {host}")
        connections = {"pinecone_default": {"conn_type": "pinecone", "host": host, "password": key}}
        airflow = stack.enter_context(start_airflow(home, dags, connections, port))
        run_id = run_dag(airflow, DAG, index, timeout)
        log("\nThe run succeeded. The backup in XCom:")
        log(json.dumps(airflow.xcom(DAG, run_id, "backup"), indent=2))
        if tests_backup:
            log("")
            test_id = run_dag(airflow, TEST, index, timeout)
            record = airflow.xcom(TEST, test_id, "restore_test.report")
            read = record["read"]
            log(
                f"\nThe restore test {record['verdict']}: {read['records']} records in {read['namespaces']} namespaces "
                f"were read, and {read['compared']} were compared with the index."
            )
        keep(airflow, DAG, run_id)


@contextmanager
def start_airflow(
    home: Path, dags: Path, connections: dict[str, dict[str, str]], port: int | None
) -> Iterator[LocalAirflow]:
    """Run an Airflow."""
    log("Starting Airflow (about 40 seconds) ...")
    started = time.monotonic()
    with InstalledAirflow(
        home,
        dags=dags,
        connections=connections,
        # A task that fails because the machine is busy should not wait for five minutes.
        settings={"AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "10"},
        port=port,
    ) as airflow:
        log(f"Airflow {airflow.api('GET', 'version')['version']} started in {time.monotonic() - started:.0f} s")
        yield airflow


def keep(airflow: LocalAirflow, dag_id: str, run_id: str) -> None:
    """Keep the UI running until Ctrl-C, if KEEP is set."""
    if os.environ.get("KEEP"):
        log(f"\nThe UI is running at {airflow.url} (user {airflow.username}, password {airflow.password})")
        log(f"The run: {airflow.run_url(dag_id, run_id)}")
        if "Pinecone backups" in airflow.page("pinecone-backups/"):  # Airflow 3.1.1 or later
            log(f"The backups of all indexes: {airflow.url}/pinecone-backups/")
        log("Press Ctrl-C to stop it.")
        signal.pause()
    target = "demo-copy" if dag_id == COPY else "demo"
    log(f"\nStopping Airflow. To look at the run in the UI: make {target} KEEP=1")


def run_copy(home: Path, port: int | None) -> None:
    """Copy a backup of the emulator to a folder, and import the copy."""
    dags = home / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "dags" / f"{COPY}.py", dags)
    key, index = secrets.token_urlsafe(24), "docs-example"
    with Emulator(api_key=key, indexes=[index]) as emulator:
        emulator.add_backup(index, age=3600)
        log(f"The Pinecone emulator is running at {emulator.url}")
        connections = {"pinecone_default": {"conn_type": "pinecone", "host": emulator.url, "password": key}}
        with start_airflow(home, dags, connections, port) as airflow:
            run_id = run_dag(airflow, COPY, index, RUN_TIMEOUT, destination=f"file://{home}/copies")
            copy = airflow.xcom(COPY, run_id, "export_backup.finish")
            report = airflow.xcom(COPY, run_id, "import_copy.report")
            log("\nThe copy in XCom:")
            log(json.dumps(copy, indent=2))
            counts = f"{report['records']} records in {report['namespace_count']} namespaces"
            log(f"\nIts import was {report['verdict']}: {counts}.")
            keep(airflow, COPY, run_id)


def run_dag(airflow: LocalAirflow, dag_id: str, index: str, timeout: float, **conf: str) -> str:
    """Run a DAG, and return the id of the run; exit if it fails."""
    run_id = airflow.trigger(dag_id, {"index": index, **conf})
    log(f"Triggered run {run_id} of {dag_id}")
    show_progress(airflow, dag_id, run_id, timeout)
    if airflow.run_state(dag_id, run_id) != "success":
        for task_id, state in airflow.tasks(dag_id, run_id).items():
            if state == "failed":
                log(airflow.log(dag_id, run_id, task_id)[-3000:])
        fail(f"the run failed: {airflow.tasks(dag_id, run_id)}. The logs are in {airflow.home / 'logs'}")
    return run_id


def show_progress(airflow: LocalAirflow, dag_id: str, run_id: str, timeout: float) -> None:
    """Print each change of a task's state until the run has finished."""
    shown: dict[str, str | None] = {}

    def finished() -> bool:
        for task_id, state in airflow.tasks(dag_id, run_id).items():
            if state and shown.get(task_id) != state:
                shown[task_id] = state
                log(f"  {time.strftime('%H:%M:%S')}  {task_id:<8}  {state}")
        return airflow.run_state(dag_id, run_id) in FINISHED

    airflow.wait_until(finished, timeout, f"run {run_id} to finish")


if __name__ == "__main__":
    main()
