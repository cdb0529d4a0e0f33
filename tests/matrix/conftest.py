"""One real Airflow of the installed version, with the connection in its database."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from airflow_2 import InstalledAirflow, LocalAirflow2
from chaos.side_by_side import run_case, started
from local_airflow import LocalAirflow
from support.constants import CONN_ID
from support.real_airflow import API_KEY, HOME, Run, files_with

from airflow_pinecone.emulator import Emulator

DAGS = Path(__file__).parent / "dags"
IS_AIRFLOW_2 = InstalledAirflow is LocalAirflow2


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """Run one emulator for all tests here. Each test has its own index."""
    with Emulator(api_key=API_KEY, indexes=["docs-example"], ready_after=4) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def airflow(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """Run Airflow. The first task is deferrable and alone: that stopped the triggerer of Airflow 3.0 to 3.2.1.

    After the last test, check that it stored the API key nowhere in the clear.
    """
    secrets = tmp_path_factory.mktemp("secrets") / "connections.json"
    connection = {"conn_type": "pinecone", "host": emulator.url, "password": API_KEY}
    secrets.write_text(json.dumps({"pinecone_in_a_file": connection}))
    shutil.rmtree(HOME, ignore_errors=True)
    shutil.copytree(DAGS, HOME / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    settings = {
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(secrets)}),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
    }
    with InstalledAirflow(HOME, dags=HOME / "dags", connections={}, settings=settings) as airflow:
        airflow.api(
            "POST",
            "connections",
            json={"connection_id": CONN_ID, **connection, "extra": json.dumps({"timeout": 10})},
        )
        run_id = airflow.trigger("triggerer", {"index": "docs-example"})
        assert airflow.wait_for_run("triggerer", run_id, 180) == "success"
        yield airflow
    assert files_with(HOME, emulator.backups[-1]["backup_id"])
    assert files_with(HOME, API_KEY) == []
    shutil.rmtree(HOME)


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest, airflow: LocalAirflow, emulator: Emulator) -> Iterator[dict[Any, Future[Run]]]:
    """Start the runs of all selected tests side by side."""
    # Airflow 2.11 runs one task at a time on SQLite.
    parallel, airflow.poll_interval = (1, 0.25) if IS_AIRFLOW_2 else (8, 1.0)
    with started(request, lambda _, case: run_case(airflow, emulator, case), "run", parallel=parallel) as futures:
        yield futures


@pytest.fixture
def run(request: pytest.FixtureRequest, runs: dict[Any, Future[Run]]) -> Run:
    """Return the finished run of the test's case."""
    return runs[request.param].result()
