"""Measure waits in workers (a sleep loop, a rescheduled sensor), and single backups in every way."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from bench_airflow import BenchAirflow, measure
from control_plane import ControlPlane

WAYS = ("loop", "sensor", "separate", "shared")
# Seconds until the backups of the single runs are Ready.
READY_AFTER = 12.0
_START_TIMEOUT = 240.0
_END_TIMEOUT = 300.0


def pending(airflow: BenchAirflow, service: ControlPlane, way: str, count: int, seconds: float) -> dict[str, Any]:
    """Let tasks wait with the SDK, and measure them while they wait.

    Args:
        airflow: The Airflow.
        service: Its control plane.
        way: ``loop`` or ``sensor``.
        count: The number of tasks.
        seconds: How long to measure.

    Returns:
        The figures of ``measure``, and the seconds until each backup was described once.
    """
    ids = service.pending(count)
    service.forget()
    dag_id = f"many_{way}s"
    run_id = airflow.trigger(dag_id, {"ids": ids})
    started = time.time()
    try:
        airflow.wait_until(lambda: service.described() >= count, _START_TIMEOUT, f"{count} first answers of {dag_id}")
        answers = time.time() - started
        if way == "loop":
            airflow.wait_until(lambda: airflow.count_tasks(run_id, "running") == count, 30, f"{count} running tasks")
        return {"first_answers": answers} | measure(airflow, service, seconds, "worker")
    finally:
        airflow.delete_run(dag_id, run_id)
        # The tasks learn from a failed heartbeat that they must stop; now that their backups are Ready, they also end.
        service.pending(0)
        airflow.wait_until(lambda: not airflow.task_processes(), 120, f"the end of the tasks of {dag_id}")


def single(airflow: BenchAirflow, service: ControlPlane, way: str, repeats: int) -> dict[str, Any]:
    """Create a backup, wait for it and run a task after it: once alone, and then several times at once.

    Args:
        airflow: The Airflow.
        service: Its control plane.
        way: One of WAYS.
        repeats: How many runs at once.

    Returns:
        The requests of the run alone, and the seconds from Ready to the start of the next task in all runs.
    """
    service.forget()
    delays = _delays(airflow, service, way, [f"alone-{way}"])
    requests = service.counters().requests
    delays += _delays(airflow, service, way, [f"together-{way}-{number}" for number in range(repeats)])
    return {"requests": requests, "delay": {"median": statistics.median(delays), "max": max(delays)}}


def lost_answers(airflow: BenchAirflow, service: ControlPlane) -> dict[str, dict[str, Any]]:
    """Lose the response to a create request once, and twice in a row, in every way.

    Returns:
        For each way, the number of backups made, by the number of lost answers.
    """
    runs = {}
    for way in WAYS:
        for lost in (1, 2):
            index = f"lost-{way}-{lost}"
            service.add_index(index, ready_after=1.0, lost_answers=lost)
            runs[way, lost] = airflow.trigger(f"one_{way}", {"index": index}, run_id=index)
    result: dict[str, dict[str, Any]] = {way: {} for way in WAYS}
    for (way, lost), run_id in runs.items():
        state = airflow.wait_for_run(f"one_{way}", run_id, _END_TIMEOUT)
        result[way][str(lost)] = service.count_backups(run_id) if state == "success" else f"the run {state}"
    return result


def _delays(airflow: BenchAirflow, service: ControlPlane, way: str, indexes: Sequence[str]) -> list[float]:
    dag_id = f"one_{way}"
    for index in indexes:
        service.add_index(index, ready_after=READY_AFTER)
        airflow.trigger(dag_id, {"index": index}, run_id=index)
    delays = []
    for index in indexes:
        state = airflow.wait_for_run(dag_id, index, _END_TIMEOUT)
        if state != "success":
            raise RuntimeError(f"Run {index} of {dag_id} {state}")
        [created_at] = service.created_at(index)
        [[started_at]] = airflow.query(
            "SELECT extract(epoch from start_date) FROM task_instance WHERE run_id = :run_id AND task_id = 'after'",
            run_id=index,
        )
        delays.append(float(started_at) - created_at - READY_AFTER)
    return delays
