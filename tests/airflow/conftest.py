"""One real Airflow for all tests here: scheduler, triggerer, DAG processor, API server, and a process for each task."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import closing
from typing import Any

import pytest
from chaos.chains import create_chain
from chaos.faults import FAULTS
from chaos.side_by_side import run_case, started
from chaos.verdict import Verdict, run_chain
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
        # Many threads poll at the same time.
        airflow.poll_interval = 1.0
        yield airflow
    emulator.release()
    # Logs at DEBUG, XComs, rendered templates, asset events and exceptions with their causes.
    assert files_with(HOME, emulator.backups[-1]["backup_id"])
    assert files_with(HOME, API_KEY) == []
    # The pages of the database file may split a value; its dump does not.
    with closing(sqlite3.connect(HOME / "airflow.db")) as database:
        dump = "\n".join(database.iterdump())
    assert emulator.backups[-1]["backup_id"] in dump
    assert API_KEY not in dump
    shutil.rmtree(HOME)


@pytest.fixture(scope="session")
def outcomes(
    request: pytest.FixtureRequest, real_airflow: LocalAirflow, emulator: Emulator
) -> Iterator[dict[Any, Future[Any]]]:
    """Start the runs of all selected tests side by side."""

    def run(fixture: str, param: Any) -> Run | Verdict:
        if fixture == "run":
            return run_case(real_airflow, emulator, param)
        fault, waiter = param
        name = f"short-{waiter.replace('_', '-')}-{list(FAULTS).index(fault)}"
        chain = create_chain(real_airflow, emulator, name, waiter, random.Random(name))
        return run_chain(fault, FAULTS[fault].steps, chain)

    with started(request, run, "verdict", "run") as futures:
        yield futures


@pytest.fixture
def run(request: pytest.FixtureRequest, outcomes: dict[Any, Future[Run]]) -> Run:
    """Return the finished run of the test's case."""
    return outcomes[request.param].result()


@pytest.fixture
def verdict(request: pytest.FixtureRequest, outcomes: dict[Any, Future[Verdict]]) -> Verdict:
    """Return the verdict on the chain of the test, whose parameter is a fault and what waits."""
    return outcomes[request.param].result()


@pytest.fixture
def quiet_airflow(real_airflow: LocalAirflow, outcomes: dict[Any, Future[Any]]) -> LocalAirflow:
    """Wait until no other test has a run: for a run with many tasks."""
    wait(outcomes.values())
    return real_airflow
