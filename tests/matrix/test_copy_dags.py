"""A copy and its import in a DAG, with Airflow's own dag.test(), on each Airflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.constants import API_KEY, CONNECTION_VARIABLE
from support.copies import contents
from support.dag_files import needs_airflow_3

from airflow_pinecone.emulator import Emulator

INDEX = "docs-example"
EXAMPLE = Path(__file__).resolve().parents[2] / "dags" / "restore_elsewhere.py"
NAMES = ("plan", "create", "upsert", "settle", "prove", "report")
PROVED = {f"import_copy.{name}": "success" for name in NAMES}

_DAGS = """
import os
from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, BaseOperator
from airflow_pinecone.copies import export_backup, import_copy

class Skipped(BaseOperator):
    def execute(self, context):
        raise AirflowSkipException("not today")

URL = "{{ ti.xcom_pull(task_ids='export_backup.finish')['url'] }}"

def export():
    return export_backup("docs-example", destination=os.environ["COPIES"], part_bytes=20_000)

with DAG("deferred", schedule=None):
    export() >> import_copy(URL, "restored", deferrable=True)
with DAG("imported", schedule=None):
    export() >> import_copy(URL, "restored", method="import", pool="default_pool")
with DAG("exported", schedule=None):
    export()
with DAG("skipped", schedule=None):
    Skipped(task_id="upstream") >> import_copy("file:///nothing", "restored", method="import")
"""

_RUN = """
import json, sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow before 3.2
    from airflow.models.dagbag import DagBag

bag = DagBag(sys.argv[1])
assert sys.argv[2] in bag.dags, bag.import_errors
dag = bag.dags[sys.argv[2]]
for task in dag.tasks:
    task.retries = 0
    if hasattr(task, "_fixed_interval"):
        task._fixed_interval = 0.1
    elif hasattr(task, "poke_interval"):
        task.poke_interval = 0.1
run = dag.test(run_conf=json.loads(sys.argv[3]))
states = {}
for ti in run.get_task_instances():
    if ti.task_id.startswith("import_copy.") or dag.dag_id == "exported":
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
    shutil.copy(EXAMPLE, home / "dags")
    run_python(home, {}, "-m", "airflow", "db", "migrate")
    # A task of Airflow 3.0 fails if its assets are not stored.
    run_python(home, {}, "-m", "airflow", "dags", "reserialize")
    return home


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run an emulator with a backup of 96 records in three namespaces."""
    with Emulator(api_key=API_KEY, indexes=[INDEX]) as emulator:
        yield emulator


def run_python(home: Path, variables: dict[str, str], *arguments: str) -> str:
    """Run Python with an Airflow, and return its output. Fail if it fails."""
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "COPIES": f"file://{home}/copies",
        **variables,
    }
    result = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-8000:]
    return result.stdout


def run_dag(home: Path, emulator: Emulator, dag_id: str, **conf: str) -> tuple[str, dict[str, str], str]:
    """Run a DAG, and return the state of its run, those of its tasks, and the output."""
    connection = {"conn_type": "pinecone", "host": emulator.url, "password": API_KEY}
    variables = {CONNECTION_VARIABLE: json.dumps(connection)}
    output = run_python(home, variables, "-c", _RUN, str(home / "dags"), dag_id, json.dumps(conf))
    [line] = [line for line in output.splitlines() if line.startswith("RESULT ")]
    found: list[Any] = json.loads(line.removeprefix("RESULT "))
    return found[0], found[1], output


@pytest.mark.parametrize(
    ("dag_id", "namespace", "states"),
    [
        ("deferred", "plain", PROVED),
        ("imported", "a/b", {**PROVED, "import_copy.start_import": "success"}),
        # All namespaces can be imported, so there is nothing to upsert.
        ("imported", "plain", {**PROVED, "import_copy.start_import": "success", "import_copy.upsert": "skipped"}),
    ],
    ids=["deferred", "one upserted", "imported"],
)
def test_import_of_a_copy_is_proved(
    dag_id: str, namespace: str, states: dict[str, str], home: Path, emulator: Emulator
) -> None:
    emulator.generate_records(INDEX, 30, namespace, seed=5)
    emulator.add_backup(INDEX, age=3600)
    state, found, output = run_dag(home, emulator, dag_id)
    assert (state, found) == ("success", states), output[-8000:]
    assert contents(emulator, "restored") == contents(emulator, INDEX)


@needs_airflow_3
def test_example_imports_a_copy_of_a_local_folder(home: Path, emulator: Emulator) -> None:
    emulator.add_backup(INDEX, age=3600)
    state, found, output = run_dag(home, emulator, "exported")
    assert state == "success", output[-8000:]
    copy = max(home.glob("copies/*/*/copy/manifest.json"), key=lambda file: file.stat().st_mtime).parents[1]
    state, found, output = run_dag(
        home, emulator, "restore_elsewhere", copy_url=copy.as_uri(), index="restored", conn_id="pinecone_default"
    )
    assert (state, found) == ("success", PROVED), output[-8000:]
    assert contents(emulator, "restored") == contents(emulator, INDEX)


def test_skipped_import_writes_nothing(home: Path, emulator: Emulator) -> None:
    state, found, output = run_dag(home, emulator, "skipped")
    assert set(found.values()) == {"skipped"}, output[-8000:]
    assert state == "success"
    assert [index["name"] for index in emulator.indexes] == [INDEX]
