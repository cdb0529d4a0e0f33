"""A real Airflow for all the tests here: scheduler, triggerer, DAG processor, API server, and tasks as processes."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_airflow import LocalAirflow
from published import check_exchanges, published
from real import API_KEY, HOME, ROOT, Run

from airflow_pinecone.emulator import Emulator

# Seconds without a heartbeat after which Airflow gives a task up; 300 unless set.
HEARTBEAT_TIMEOUT = "12"


@pytest.fixture(scope="session")
def pinecone() -> Iterator[Emulator]:
    """One emulator for all; each test has an index of its own on it."""
    with Emulator(api_key=API_KEY, indexes=["docs-example"]) as emulator:
        yield emulator
    descriptions = published()
    if descriptions:
        check_exchanges(emulator.requests, descriptions)


@pytest.fixture(scope="session")
def airflow(pinecone: Emulator) -> Iterator[LocalAirflow]:
    """One Airflow for all."""
    shutil.rmtree(HOME, ignore_errors=True)
    shutil.copytree(ROOT / "dags", HOME / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parent / "dags" / "scenarios.py", HOME / "dags")
    settings = {
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": HEARTBEAT_TIMEOUT,
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
    }
    connection = {"conn_type": "pinecone", "host": pinecone.url, "password": API_KEY, "extra": {"timeout": 20}}
    with LocalAirflow(
        HOME, dags=HOME / "dags", connections={"pinecone_default": connection}, settings=settings
    ) as airflow:
        yield airflow
    pinecone.release()
    pass


@pytest.fixture
def index(pinecone: Emulator) -> str:
    """An index that no other test has."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    pinecone.add_index(name)
    return name


@pytest.fixture
def run(airflow: LocalAirflow, pinecone: Emulator, index: str) -> Callable[[str], Run]:
    """Trigger a run of a DAG on the test's index."""

    def trigger(dag_id: str) -> Run:
        return Run(airflow, pinecone, dag_id, airflow.trigger(dag_id, {"index": index}), index)

    return trigger
