"""A restore test in a DAG, with Airflow's own dag.test(), on each Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.constants import API_KEY, CONNECTION_VARIABLE

from airflow_pinecone.emulator import Emulator, damage

INDEX = "docs-example"
NAMES = ("choose", "restore", "settle", "check", "report", "delete_scratch")
PASSED = {f"restore_test.{name}": "success" for name in NAMES}

_DAGS = """
import os
from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, BaseOperator
from airflow_pinecone.restore_test import restore_test

class Skipped(BaseOperator):
    def execute(self, context):
        raise AirflowSkipException("not today")

with DAG("deferred", schedule=None):
    restore_test("docs-example", deferrable=True)
with DAG("plain", schedule=None, params={"report_to": os.environ.get("REPORT_TO", "")}):
    restore_test("docs-example", deferrable=False, report_to="{{ params.report_to }}", parts=2)
with DAG("skipped", schedule=None):
    Skipped(task_id="upstream") >> restore_test("docs-example")
"""

_RUN = """
import json, sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow before 3.2
    from airflow.models.dagbag import DagBag

bag = DagBag(sys.argv[1])
assert bag.import_errors == {}, bag.import_errors
dag = bag.dags[sys.argv[2]]
for task in dag.tasks:
    task.retries = 0
    if hasattr(task, "_fixed_interval"):
        task._fixed_interval = 0.1
    elif hasattr(task, "poke_interval"):
        task.poke_interval = 0.1
run = dag.test()
states = {}
for ti in run.get_task_instances():
    states.setdefault(ti.task_id, set()).add(str(getattr(ti.state, "value", ti.state)))
state = str(getattr(run.state, "value", run.state))
print("RESULT", json.dumps([state, {task_id: ",".join(sorted(found)) for task_id, found in states.items()}]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of Airflow with a database and the DAGs."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    (home / "dags" / "tests.py").write_text(_DAGS)
    run_python(home, {}, "-m", "airflow", "db", "migrate")
    # A task of Airflow 3.0 fails if its assets are not stored.
    run_python(home, {}, "-m", "airflow", "dags", "reserialize")
    return home


@pytest.fixture
def emulator() -> Any:
    """Run an emulator with a backup."""
    with Emulator(api_key=API_KEY, indexes=[INDEX]) as emulator:
        emulator.add_backup(INDEX, age=3600)
        yield emulator


def run_python(home: Path, variables: dict[str, str], *arguments: str) -> str:
    """Run Python, and return its output; show it if it fails."""
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        **variables,
    }
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    return result.stdout


def run_dag(home: Path, emulator: Emulator, dag_id: str, report_to: Path) -> tuple[str, dict[str, str]]:
    """Run a DAG, and return its state, and the states of its tasks by their ids."""
    connection = {"conn_type": "pinecone", "host": emulator.url, "password": API_KEY}
    variables = {CONNECTION_VARIABLE: json.dumps(connection), "REPORT_TO": report_to.as_uri()}
    output = run_python(home, variables, "-c", _RUN, str(home / "dags"), dag_id)
    (line,) = [line for line in output.splitlines() if line.startswith("RESULT ")]
    state, states = json.loads(line.removeprefix("RESULT "))
    return state, states


@pytest.mark.parametrize("dag_id", ["plain", "deferred"])
def test_sound_backup_passes(dag_id: str, home: Path, emulator: Emulator, tmp_path: Path) -> None:
    assert run_dag(home, emulator, dag_id, tmp_path) == ("success", PASSED)
    assert [index["name"] for index in emulator.indexes] == [INDEX]
    assert len(list(tmp_path.rglob("*.json"))) == (2 if dag_id == "plain" else 0)


def test_damaged_backup_fails_the_run_and_the_scratch_index_is_deleted(
    home: Path, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.next_restore(change=damage.flip_bit("namespace-1", "record-00000001", 0, 0))
    state, states = run_dag(home, emulator, "plain", tmp_path)
    assert (state, states) == ("failed", {**PASSED, "restore_test.report": "failed"})
    assert [index["name"] for index in emulator.indexes] == [INDEX]
    (latest,) = tmp_path.rglob("latest.json")
    assert [finding["kind"] for finding in json.loads(latest.read_bytes())["findings"]] == ["changed"]


def test_failed_restore_fails_the_run_and_the_scratch_index_is_deleted(
    home: Path, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.next_restore(restore_ends="Failed")
    state, states = run_dag(home, emulator, "plain", tmp_path)
    assert state == "failed"
    assert states["restore_test.report"] == states["restore_test.restore"] == "failed"
    assert states["restore_test.check"] == "upstream_failed"
    assert states["restore_test.delete_scratch"] == "success"
    assert [index["name"] for index in emulator.indexes] == [INDEX]


def test_scratch_index_that_was_not_deleted_fails_the_run(home: Path, emulator: Emulator, tmp_path: Path) -> None:
    emulator.fault("DELETE", "/indexes/*", status=403, times=None)
    state, states = run_dag(home, emulator, "plain", tmp_path)
    assert (state, states) == ("failed", {**PASSED, "restore_test.delete_scratch": "failed"})


def test_skipped_test_reports_nothing(home: Path, emulator: Emulator, tmp_path: Path) -> None:
    state, states = run_dag(home, emulator, "skipped", tmp_path)
    assert (state, set(states.values())) == ("success", {"skipped"})
