"""Run a DAG against the emulator."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).resolve().parents[2] / "dags"
# Airflow reads these when it is imported.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp()
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(DAGS)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
# A DAG file can import modules from the DAGs folder, such as backup_policy.
sys.path.append(str(DAGS))

from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb

from airflow_pinecone.emulator import Emulator

# All tests use the connection pinecone_default, with the emulator behind it.
pytestmark = pytest.mark.usefixtures("pinecone_connection")


@pytest.fixture(scope="session")
def dag() -> Any:
    initdb()
    bag = DagBag(DAGS / "reindex_with_backup.py")
    assert bag.import_errors == {}
    assert "reindex_with_backup" in bag.dags, f"{DAGS} has no such DAG"
    dag: Any = bag.dags["reindex_with_backup"]
    # Otherwise dag.test() waits for the retry delay, 5 minutes by default.
    for task in dag.tasks:
        task.retries = 0
    # The emulator's backups are Ready at once. By default the operator polls again after 5 seconds.
    dag.get_task("backup").poke_interval = 0.1
    return dag


def states(run: Any) -> dict[str, str]:
    return {task.task_id: task.state for task in run.get_task_instances()}


def test_the_reindex_runs_after_the_backup(dag: Any, pinecone_emulator: Emulator) -> None:
    run = dag.test()
    assert states(run) == {"extract": "success", "backup": "success", "reindex": "success"}
    assert [backup["status"] for backup in pinecone_emulator.backups] == ["Ready"]


@pytest.mark.pinecone(fails=True)
def test_a_failed_backup_stops_the_reindex(dag: Any) -> None:
    run = dag.test()
    assert states(run) == {"extract": "success", "backup": "failed", "reindex": "upstream_failed"}
