"""The examples on a real Airflow with each version of the API, without a fault.

No log has a warning or an error about this package, and the page shows the backups.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_airflow import LocalAirflow
from support.clients import make_client
from support.dag_files import needs_deadlines
from support.real_airflow import API_KEY, ROOT

from airflow_pinecone.common.clock import SYSTEM_CLOCK
from airflow_pinecone.emulator import Emulator

INDEX, OTHER, DELETED, GOLD = "docs-example", "docs-images", "docs-deleted", "docs-gold"
# The groups run one after the other, because the later ones delete backups. Each example has the id of its file, but
# for those that an asset event or drill_several starts, for backup_after_load, which waits 15 minutes, and for
# audit_copies and check_copies, which need an object store.
GROUPS: list[dict[str, dict[str, Any]]] = [
    {"backup_deferrable": {}, "backup_index": {}, "backup_with_alert": {}},
    {
        "reindex_if_fresh": {},
        "reindex_with_backup": {},
        "restore_backup": {"backup_id": "", "index": "docs-restored"},
        "restore_deleted_index": {"index": DELETED},
        "reuse_recent_backup": {},
    },
    {"drill_several": {}, "reindex_with_rollback": {}},
    {"copy_outside": {"destination": "COPIES"}, "offsite_drill": {"destination": "COPIES"}},
    {"restore_elsewhere": {"copy_url": "COPIES"}},
    {"backup_fleet": {}},
    {"restore_test_weekly": {}},
    {"backup_audit": {}, "nightly_retention": {}},
]
# They need version 2026-07. A day passes in the emulator before the schedule has created a backup.
SCHEDULES: dict[str, dict[str, Any]] = {"schedule_as_code": {}, "schedule_watch": {}}
STARTED = {"reindex_on_backup", "reindex_when_all", "restore_drill"}
NOT_RUN = {"audit_copies", "backup_after_load", "check_copies"}
LEVELS = ("warning", "error", "critical")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run an emulator in which each index has a backup of two hours ago, and one of the indexes was deleted."""
    # If a deferred task continues before the scheduler knows that it was deferred, Airflow fails the try.
    with Emulator(api_key=API_KEY, indexes=[INDEX, OTHER, DELETED], ready_after=5) as emulator:
        # backup_policy names both.
        emulator.add_index(GOLD, tags={"tier": "gold"})
        emulator.add_index("scratch-1")
        for index in (INDEX, OTHER, DELETED, GOLD):
            backup = emulator.add_backup(index, age=7200)
        # backup_policy requires a restore of this index.
        client = make_client(emulator.url, SYSTEM_CLOCK, api_key=API_KEY)
        client.create_index_from_backup(backup["backup_id"], name="docs-tested")
        client.delete_index("docs-tested")
        emulator.control_plane.project.delete_index(DELETED, emulator.scenario.clock())
        yield emulator


@pytest.fixture(params=["2025-10", "2026-04", "2026-07"])
def api_version(request: pytest.FixtureRequest) -> str:
    """Return the version of the API in the connection."""
    return str(request.param)


@pytest.fixture
def airflow(emulator: Emulator, tmp_path: Path, api_version: str) -> Iterator[LocalAirflow]:
    """Run an Airflow with the example DAGs and those of the documentation."""
    dags = tmp_path / "dags"
    for folder in ("dags", "docs/examples"):
        shutil.copytree(ROOT / folder, dags, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for script in (
        "check_copy_alone",
        "digest_alone",
        "faults",
        "list_backups",
        "list_copies",
        "query_copy",
        "read_records",
        "retention_example",
        "test_my_dag",
        "write_records",
    ):
        (dags / f"{script}.py").unlink()
    connection = {
        "conn_type": "pinecone",
        "host": emulator.url,
        "password": API_KEY,
        "extra": {"api_version": api_version},
    }
    with LocalAirflow(
        tmp_path,
        dags=dags,
        connections={"pinecone_default": connection},
        # A DAG that nobody triggers creates no run.
        settings={"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True"},
        busy=True,
    ) as airflow:
        yield airflow


@needs_deadlines
def test_the_examples_log_no_warning(airflow: LocalAirflow, emulator: Emulator, api_version: str) -> None:
    dags = {path.stem for path in (airflow.home / "dags").glob("*.py")} - {"backup_policy"}
    assert dags == {name for group in (*GROUPS, SCHEDULES) for name in group} | STARTED | NOT_RUN
    for name in STARTED:
        airflow.api("PATCH", f"dags/{name}", json={"is_paused": False})
    for group in GROUPS:
        run_all(airflow, emulator, group)
    for name in STARTED:
        run_id = airflow.api("GET", f"dags/{name}/dagRuns")["dag_runs"][0]["dag_run_id"]
        assert airflow.wait_for_run(name, run_id, 300) == "success"
    page = airflow.page(f"pinecone-backups/indexes/{INDEX}")
    assert emulator.backups[0]["backup_id"] in page or emulator.backups[1]["backup_id"] in page
    if api_version == "2026-07":
        run_all(airflow, emulator, {"schedule_as_code": {}})
        emulator.scenario.clock = lambda: time.time() + 86_400
        run_all(airflow, emulator, SCHEDULES)
    lines = [line for path in log_files(airflow.home) for line in path.read_text(errors="replace").splitlines()]
    assert [line for line in lines if "Created backup" in line]
    assert [line for line in lines if is_warning(line)] == []


def run_all(airflow: LocalAirflow, emulator: Emulator, group: dict[str, dict[str, Any]]) -> None:
    """Run some DAGs side by side, and check that they succeed."""
    runs = {}
    for name, params in group.items():
        params = {key: f"file://{airflow.home}/copies" if each == "COPIES" else each for key, each in params.items()}
        if name == "restore_elsewhere":
            # Airflow also starts a run of the schedule.
            copies = airflow.api("GET", "dags/copy_outside/dagRuns")["dag_runs"]
            (copied,) = [each for each in copies if each["run_type"] == "manual"]
            params["copy_url"] = airflow.xcom("copy_outside", copied["dag_run_id"], "export_backup.finish")["url"]
        if name == "restore_backup":
            other = next(b for b in emulator.backups if b["source_index_name"] == OTHER)
            params = {**params, "backup_id": other["backup_id"]}
        runs[name] = airflow.trigger(name, params)
        airflow.api("PATCH", f"dags/{name}", json={"is_paused": False})
    states = {name: airflow.wait_for_run(name, run_id, 300) for name, run_id in runs.items()}
    assert {name for name, state in states.items() if state != "success"} == set()


def log_files(home: Path) -> list[Path]:
    """Return the logs of the tasks and of the DAG processor, and the output of all processes."""
    return [*(home / "logs").rglob("*.log*"), home / "airflow.out"]


def is_warning(line: str) -> bool:
    """Return whether a line of a log has the level warning or above, and is about this package or its XComs.

    Airflow itself logs a warning when it creates the asset of an asset alias.
    """
    if line.startswith("{"):
        level = json.loads(line).get("level")
    else:
        match = re.search(r"\[(\w+) *\]", line)
        level = match[1] if match else None
    return level in LEVELS and any(text in line for text in ("airflow_pinecone", "airflow-pinecone", "XCom not found"))
