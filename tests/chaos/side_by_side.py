"""Runs side by side on one real Airflow. A run mostly waits, so tests start the runs of all of them at once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from local_airflow import LocalAirflow
from support.real_airflow import Run

from airflow_pinecone.emulator import Emulator

# Steps beside a run. Those up to the first yield precede the run, and may yield params for it. The others follow its
# start.
RunSteps = Callable[[Run], Iterator[Mapping[str, Any] | None]]
# With more at the same time, two busy cores start tasks too late for the time limits of the tests. If a deferral ends
# before the scheduler knows of it, Airflow even fails the try.
PARALLEL_RUNS = 8
# Seconds for a run and for each of its steps.
TIMEOUT = 600.0


class Case(NamedTuple):
    """A run of a DAG on an index of its own, and the steps beside it."""

    dag_id: str
    steps: RunSteps


def on_runs(*dag_ids: str, steps: RunSteps) -> pytest.MarkDecorator:
    """Give a test the finished run of each DAG as `run`, one after the other."""
    return pytest.mark.parametrize("run", [Case(dag_id, steps) for dag_id in dag_ids], ids=dag_ids, indirect=True)


def planned(**settings: Any) -> RunSteps:
    """Return steps that plan the backup of the run, as `Emulator.next_backup` does, and do nothing else."""

    def steps(run: Run) -> Iterator[None]:
        run.emulator.next_backup(run.index, **settings)
        yield

    return steps


def finish_in_the_second_try(run: Run) -> Iterator[None]:
    """Let the wait of the first try time out, and the backup become Ready in the second one."""
    run.emulator.next_backup(run.index, backup_ends="never")
    yield
    run.airflow.wait_until(lambda: run.task()["try_number"] == 2, TIMEOUT, f"the second try of {run.dag_id}")
    run.emulator.finish_backup(run.backups[0]["backup_id"])


def mark_as_failed(run: Run) -> Iterator[None]:
    """Mark the task as failed during the wait."""
    run.emulator.next_backup(run.index, backup_ends="never")
    yield
    run.wait_for_state("running" if run.dag_id.endswith("worker") else "deferred", timeout=TIMEOUT)
    run.airflow.wait_until(lambda: "Waiting until" in run.log(), TIMEOUT, f"the wait of {run.dag_id}")
    run.set_state("failed")


def run_case(airflow: LocalAirflow, emulator: Emulator, case: Case) -> Run:
    """Run a case until its run has finished."""
    index = f"test-{uuid.uuid4().hex[:12]}"
    emulator.add_index(index)
    run = Run(airflow, emulator, case.dag_id, f"run-{index}", index)
    steps = case.steps(run)
    params = next(steps) or {}
    airflow.trigger(case.dag_id, {"index": index, **params}, run_id=run.run_id)
    next(steps, None)
    run.final_state(TIMEOUT)
    return run


@contextmanager
def started(
    request: pytest.FixtureRequest, run: Callable[[str, Any], Any], *fixtures: str, parallel: int = PARALLEL_RUNS
) -> Iterator[dict[Any, Future[Any]]]:
    """Start what the selected tests need, side by side: `run` gets the name of a fixture and its parameter.

    The request is that of a fixture with the scope of the session. The result has the futures by parameter.
    """
    pool = ThreadPoolExecutor(parallel)
    futures: dict[Any, Future[Any]] = {}
    for item in request.session.items:
        if any(mark.args[0] for mark in item.iter_markers("skipif")):
            continue
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        for fixture in fixtures:
            if fixture in params and params[fixture] not in futures:
                futures[params[fixture]] = pool.submit(run, fixture, params[fixture])
    try:
        yield futures
    finally:
        # Do not wait: after a test that failed, Airflow stops, and with it each run.
        pool.shutdown(wait=False, cancel_futures=True)
