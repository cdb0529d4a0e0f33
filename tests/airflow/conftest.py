"""One real Airflow for all tests here: scheduler, triggerer, DAG processor, API server, and a process for each task."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator

import pytest
from local_airflow import LocalAirflow
from support.api_spec import check_exchanges, load_descriptions
from support.real_airflow import API_KEY, HOME, Run, create_airflow, files_with

from airflow_pinecone.emulator import Emulator


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """Run one emulator for all tests here, instead of one for each test. Each test has its own index."""
    with Emulator(api_key=API_KEY, indexes=["docs-example"]) as emulator:
        yield emulator
    descriptions = load_descriptions()
    if descriptions:
        check_exchanges(emulator.requests, descriptions)


@pytest.fixture(scope="session")
def real_airflow(emulator: Emulator) -> Iterator[LocalAirflow]:
    """Run Airflow, and check after the last test that it stored the API key nowhere."""
    with create_airflow(HOME, emulator) as airflow:
        yield airflow
    emulator.release()
    # Logs at DEBUG, XComs, rendered templates, asset events and exceptions with their causes.
    assert files_with(HOME, emulator.backups[-1]["backup_id"])
    assert files_with(HOME, API_KEY) == []
    shutil.rmtree(HOME)


@pytest.fixture(scope="session")
def rescheduled_run(real_airflow: LocalAirflow, emulator: Emulator) -> Run:
    """Trigger a run that mostly waits, 60 s between two pokes. It starts before the first test that uses `trigger`."""
    index = _add_index(emulator)
    emulator.next_backup(index, ready_after=3)
    run_id = real_airflow.trigger("sensor_reschedule", {"index": index})
    return Run(real_airflow, emulator, "sensor_reschedule", run_id, index)


@pytest.fixture
def index(emulator: Emulator) -> str:
    """Add an index that no other test uses, and return its name."""
    return _add_index(emulator)


@pytest.fixture
def trigger(real_airflow: LocalAirflow, emulator: Emulator, index: str, rescheduled_run: Run) -> Callable[[str], Run]:
    """Return a function that triggers a run of a DAG on the test's index."""

    def trigger(dag_id: str) -> Run:
        return Run(real_airflow, emulator, dag_id, real_airflow.trigger(dag_id, {"index": index}), index)

    return trigger


def _add_index(emulator: Emulator) -> str:
    name = f"test-{uuid.uuid4().hex[:12]}"
    emulator.add_index(name)
    return name
