"""A real Airflow for all the tests here: scheduler, triggerer, DAG processor, API server, and tasks as processes."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator

import pytest
from local_airflow import LocalAirflow
from published import check_exchanges, published
from real import API_KEY, HOME, Run, files_with, real_airflow

from airflow_pinecone.emulator import Emulator


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
    with real_airflow(HOME, pinecone) as airflow:
        yield airflow
    pinecone.release()
    # After all that the tests did: logs at DEBUG, XComs, rendered templates, asset events, exceptions and their chains.
    assert files_with(HOME, pinecone.backups[-1]["backup_id"])
    assert files_with(HOME, API_KEY) == []
    shutil.rmtree(HOME)


@pytest.fixture(scope="session")
def rescheduled(airflow: LocalAirflow, pinecone: Emulator) -> Run:
    """A run that mostly waits, 60 s between two pokes: begun before the first test."""
    index = _new_index(pinecone)
    pinecone.next_backup(index, ready_after=3)
    run_id = airflow.trigger("sensor_reschedule", {"index": index})
    return Run(airflow, pinecone, "sensor_reschedule", run_id, index)


@pytest.fixture
def index(pinecone: Emulator) -> str:
    """An index that no other test has."""
    return _new_index(pinecone)


@pytest.fixture
def run(airflow: LocalAirflow, pinecone: Emulator, index: str, rescheduled: Run) -> Callable[[str], Run]:
    """Trigger a run of a DAG on the test's index."""

    def trigger(dag_id: str) -> Run:
        return Run(airflow, pinecone, dag_id, airflow.trigger(dag_id, {"index": index}), index)

    return trigger


def _new_index(pinecone: Emulator) -> str:
    name = f"test-{uuid.uuid4().hex[:12]}"
    pinecone.add_index(name)
    return name
