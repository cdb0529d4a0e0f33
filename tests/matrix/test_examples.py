"""Each example DAG succeeds with Airflow's own dag.test(), on each Airflow that it supports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.constants import API_KEY, CONNECTION_VARIABLE
from support.dag_files import needs_airflow_3, needs_approvals

from airflow_pinecone.emulator import Emulator

DAGS = Path(__file__).resolve().parents[2] / "dags"
# reindex_on_backup runs when the backup of another DAG has succeeded, and reads the event of that run. backup_policy is
# a module that others import. backup_audit has a deadline, with which dag.test() of Airflow 3.2.2 and 3.3.2 fails after
# the last task; tests/airflow/test_monitoring.py runs it. The examples of backup schedules need another version of the
# API; tests/airflow/test_no_warnings.py runs them. restore_elsewhere needs a copy; test_copy_dags.py runs it.
NOT_RUN = {
    "reindex_on_backup",
    "backup_policy",
    "backup_audit",
    "schedule_as_code",
    "schedule_watch",
    "restore_elsewhere",
}
EXAMPLES = sorted({path.stem for path in DAGS.glob("*.py")} - NOT_RUN)
# The first one runs on every Airflow.
NEEDS: dict[str, list[pytest.MarkDecorator]] = {
    "reindex_with_backup": [],
    "reindex_with_rollback": [needs_approvals],
}

_RUN = """
import sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow before 3.2
    from airflow.models.dagbag import DagBag

dag = DagBag(sys.argv[1]).dags[sys.argv[2]]
for task in dag.tasks:
    # Otherwise a failed task waits for the retry delay.
    task.retries = 0
    # The emulator's backups are Ready at once.
    if hasattr(task, "poke_interval"):
        task.poke_interval = 0.1
run = dag.test()
print({t.task_id: str(t.state) for t in run.get_task_instances()})
assert str(run.state) == "success", run.state
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An Airflow with an empty database, and the connection to an emulator."""
    home = tmp_path_factory.mktemp("airflow")
    with Emulator(api_key=API_KEY, indexes=["docs-example"]) as emulator:
        # restore_drill needs a backup.
        emulator.add_backup("docs-example", age=3600)
        connection = {"conn_type": "pinecone", "host": emulator.url, "password": API_KEY}
        environment = os.environ | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            # Airflow's DAG processor and tasks can import modules from the folder of the DAGs; DagBag alone cannot.
            "PYTHONPATH": os.pathsep.join([str(DAGS.parent), str(DAGS)]),
            CONNECTION_VARIABLE: json.dumps(connection),
        }
        run(environment, "-m", "airflow", "db", "migrate")
        # A task of Airflow 3.0 fails if its assets are not stored.
        run(environment, "-m", "airflow", "dags", "reserialize")
        yield environment


def run(environment: dict[str, str], *arguments: str) -> None:
    """Run Python, and show its output if it fails."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]


@pytest.mark.parametrize(
    "dag_id", [pytest.param(dag_id, marks=NEEDS.get(dag_id, [needs_airflow_3])) for dag_id in EXAMPLES]
)
def test_example_succeeds(environment: dict[str, str], dag_id: str) -> None:
    run(environment, "-c", _RUN, str(DAGS), dag_id)
