"""Copy a backup to S3 and import it into another Pinecone, with tasks of a real Airflow.

`make bench-copies-airflow` runs it. Two emulators stand for two projects, and moto for S3; each is a process of its
own. Airflow runs two tasks at a time. The copy is imported twice into the second project: by a bulk import, and by
upserts.

Environment variables:
    RECORDS: The number of records; 1,000,000 by default.
    DIMENSION: Their dimension; 768 by default.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from local_airflow import LocalAirflow
from support.object_stores import ACCESS_KEY, REGION, SECRET_KEY, s3_server

ROOT = Path(__file__).resolve().parent.parent
KEY, INDEX, BUCKET = "bench-key-1", "bench", "vault"
RECORDS = int(os.environ.get("RECORDS") or 1_000_000)
DIMENSION = int(os.environ.get("DIMENSION") or 768)
# Hours are possible on a slow machine.
TIMEOUT = 4 * 3600.0

DAGS = f'''
from airflow.sdk import DAG, Param

from airflow_pinecone.copies import export_backup, import_copy
from airflow_pinecone.operators import CreateBackupOperator

with DAG("export"):
    backup = CreateBackupOperator(task_id="backup", index_name="{INDEX}")
    backup >> export_backup("{INDEX}", destination="s3://aws_bench@{BUCKET}/pinecone", retries=1)

for method in ("import", "upsert"):
    with DAG("by_" + method, params={{"copy_url": Param("", type="string")}}):
        import_copy("{{{{ params.copy_url }}}}", "by-" + method, conn_id="pinecone_other", method=method, retries=1)
'''


@contextmanager
def emulator(*arguments: str) -> Iterator[str]:
    """Run an emulator, and return its URL."""
    command = [sys.executable, "-m", "airflow_pinecone.emulator", "--port", "0", "--api-key", KEY, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield next(iter(process.stdout or ())).split()[-1]
        finally:
            process.terminate()


def run(airflow: LocalAirflow, dag_id: str, **conf: Any) -> tuple[str, dict[str, float]]:
    """Run a DAG, and return the id of the run with the seconds that each task took."""
    run_id = airflow.trigger(dag_id, conf)
    airflow.wait_until(
        lambda: airflow.run_state(dag_id, run_id) in ("success", "failed"), TIMEOUT, f"{dag_id} to finish"
    )
    rows = airflow.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=1000")["task_instances"]
    seconds: dict[str, float] = {}
    for row in rows:
        seconds[row["task_id"]] = round(seconds.get(row["task_id"], 0.0) + (row["duration"] or 0.0), 1)
    if airflow.run_state(dag_id, run_id) != "success":
        for row in rows:
            print(row["task_id"], row["map_index"], row["state"])
            if row["state"] == "failed":
                print(airflow.log(dag_id, run_id, row["task_id"])[-3000:])
        raise SystemExit(f"The run of {dag_id} failed. The logs are in {airflow.home / 'logs'}.")
    return run_id, seconds


def main() -> None:
    """Run the bench, and print its figures as JSON."""
    figures: dict[str, Any] = {"records": RECORDS, "dimension": DIMENSION}
    with ExitStack() as stack:
        store = stack.enter_context(s3_server())
        store.create_bucket(BUCKET)
        url = stack.enter_context(emulator("--index", f"{INDEX}:{RECORDS}", "--dimension", str(DIMENSION)))
        options = {
            "key": ACCESS_KEY,
            "secret": SECRET_KEY,
            "endpoint_url": store.url,
            "client_kwargs": {"region_name": REGION},
        }
        other = stack.enter_context(emulator("--storage-options", json.dumps(options)))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".demo-", dir=ROOT)))
        (home / "dags").mkdir()
        (home / "dags/copies.py").write_text(DAGS)
        connections = {
            "pinecone_default": {"conn_type": "pinecone", "host": url, "password": KEY},
            "pinecone_other": {"conn_type": "pinecone", "host": other, "password": KEY},
            "aws_bench": json.loads(store.connection()),
        }
        settings = {"AIRFLOW__CORE__PARALLELISM": "2", "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "10"}
        airflow = stack.enter_context(
            LocalAirflow(home, dags=home / "dags", connections=connections, settings=settings)
        )
        started = time.monotonic()
        run_id, seconds = run(airflow, "export")
        copy = airflow.xcom("export", run_id, "export_backup.finish")
        figures["export"] = {"seconds": round(time.monotonic() - started), "tasks": seconds, "copy": copy}
        print(json.dumps(figures["export"]), flush=True)
        for method in ("import", "upsert"):
            started = time.monotonic()
            run_id, seconds = run(airflow, f"by_{method}", copy_url=copy["url"])
            report = airflow.xcom(f"by_{method}", run_id, "import_copy.report")
            figures[method] = {"seconds": round(time.monotonic() - started), "tasks": seconds, "report": report}
            print(json.dumps(figures[method]), flush=True)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
