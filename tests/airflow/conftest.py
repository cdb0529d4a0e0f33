"""A real Airflow for all the tests here: scheduler, triggerer, DAG processor, API server, and tasks as processes."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    connection = {"conn_type": "pinecone", "host": pinecone.url, "password": API_KEY, "extra": {"timeout": 5}}
    with LocalAirflow(
        HOME, dags=HOME / "dags", connections={"pinecone_default": connection}, settings=settings
    ) as airflow:
        yield airflow
    pinecone.release()
    shutil.rmtree(HOME)


@pytest.fixture(scope="session")
def slow(airflow: LocalAirflow, pinecone: Emulator) -> dict[str, Run]:
    """Runs that mostly wait (30 s for a look, 60 s for a reschedule): begun before the first test, by DAG id."""
    courses: dict[str, dict[str, Any]] = {
        "sensor_reschedule": {"ready_after": 3},
        "wait_in_worker": {"ends": "InitializationFailed", "ready_after": 1},
        "wait_in_triggerer": {"ends": "InitializationFailed", "ready_after": 1},
    }
    runs = {}
    for dag_id, course in courses.items():
        index = _new_index(pinecone)
        pinecone.next_backup(index, **course)
        runs[dag_id] = Run(airflow, pinecone, dag_id, airflow.trigger(dag_id, {"index": index}), index)
    return runs


@pytest.fixture
def index(pinecone: Emulator) -> str:
    """An index that no other test has."""
    return _new_index(pinecone)


@pytest.fixture
def run(airflow: LocalAirflow, pinecone: Emulator, index: str, slow: dict[str, Run]) -> Callable[[str], Run]:
    """Trigger a run of a DAG on the test's index."""

    def trigger(dag_id: str) -> Run:
        return Run(airflow, pinecone, dag_id, airflow.trigger(dag_id, {"index": index}), index)

    return trigger


def _new_index(pinecone: Emulator) -> str:
    name = f"test-{uuid.uuid4().hex[:12]}"
    pinecone.add_index(name)
    return name
