"""Compare the ways to wait for backups, side by side on a real Airflow. Run it with `make bench`."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import parse
import workers
from airflow_api import AirflowError
from bench_airflow import BenchAirflow, create_certificate
from control_plane import ControlPlane, ControlPlanes
from plot import plot
from postgres import MissingProgram, Postgres
from table import document, figure, shown
from waits import PAUSE, TRIGGERS, Waits

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
NO_MEMORY = (
    "500 waits with a sleep loop: they need 500 worker slots, a process and its memory for each, which this machine "
    "does not have."
)
NO_PROCESSES = (
    "500 waits with a rescheduled sensor: each poll starts a process, and 50 waits made {made} of the {due:.0f} polls "
    "a minute that their poll interval requires."
)


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    Attributes:
        seconds: How long to measure, by the number of pending waits.
        worker_counts: The numbers of pending waits in workers.
        repeats: The number of backups that are created at once in each way.
        parses: The number of parses of each DAG file.
    """

    seconds: dict[int, float]
    worker_counts: tuple[int, ...]
    repeats: int
    parses: int


FULL = Plan({1: 40.0, 50: 40.0, 500: 60.0}, (1, 50), 3, 50)
# To try changes of the benchmark. It writes no results.
QUICK = Plan({1: 10.0, 50: 10.0}, (1,), 1, 5)


class Bench:
    """One run of the benchmark.

    Args:
        airflow: The Airflow.
        service: Its control plane.
        other: The control plane of a second connection.
        plan: How much to measure.
    """

    def __init__(self, airflow: BenchAirflow, service: ControlPlane, other: ControlPlane, plan: Plan) -> None:
        """Store the arguments; nothing is measured yet."""
        self._airflow = airflow
        self._service = service
        self._other = other
        self._plan = plan
        self._started = time.monotonic()
        self.failed = False
        self.results: dict[str, Any] = {
            "airflow": version("apache-airflow"),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "missing": [NO_MEMORY],
            **{section: {} for section in ("single", "lost_answers", "idle", "pending", "hanging")},
        }

    def run(self) -> None:
        """Measure everything."""
        airflow, service, results = self._airflow, self._service, self.results
        airflow.add_connection("pinecone_default", service)
        airflow.add_connection("other", self._other)
        airflow.execute("INSERT INTO slot_pool (pool, slots, include_deferred) VALUES ('no_worker', 0, false)")
        results["parse"] = self._try("parse", partial(parse.measure, self._plan.parses))
        airflow.replace_triggerer()
        for way in workers.WAYS:
            results["single"][way] = self._try(
                f"one backup: {way}", partial(workers.single, airflow, service, way, self._plan.repeats)
            )
        lost = self._try("lost answers", partial(workers.lost_answers, airflow, service))
        results["lost_answers"] = lost or {}
        for way in ("loop", "sensor"):
            results["pending"][way] = {}
            for count in self._plan.worker_counts:
                results["pending"][way][str(count)] = self._try(
                    f"{count} pending: {way}",
                    partial(workers.pending, airflow, service, way, count, self._plan.seconds[count]),
                )
        made = shown(figure(results, "pending", "sensor", "50", "requests")) or "none"
        results["missing"].append(NO_PROCESSES.format(made=made, due=50 * 60 / PAUSE))
        for way in TRIGGERS:
            self._measure_triggers(way)

    def _measure_triggers(self, way: str) -> None:
        results, waits = self.results, Waits(self._airflow, self._service, way)
        longest = max(self._plan.seconds.values())
        results["idle"][way] = self._try(f"an idle triggerer: {way}", partial(waits.idle, longest))
        results["pending"][way] = {}
        for count, seconds in self._plan.seconds.items():
            results["pending"][way][str(count)] = self._try(
                f"{count} pending: {way}", partial(waits.pending, count, seconds)
            )
        results["hanging"][way] = self._try(f"Pinecone hangs: {way}", partial(waits.hanging, self._other))
        waits.delete_runs()

    def _try(self, what: str, function: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """Measure something. If that fails, go on with the rest: a run takes long."""
        result, reason = None, ""
        try:
            result = function()
        except (AirflowError, RuntimeError) as error:
            self.failed = True
            reason = f"{what}: {str(error)[:300]}"
            self.results["missing"].append(reason)
        seconds = time.monotonic() - self._started
        print(f"[{seconds:4.0f} s] {reason or what}: {json.dumps(result)}", file=sys.stderr, flush=True)
        return result


def main() -> int:
    """Run the benchmark, print its tables, and write them, the results and a plot into the documentation."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = QUICK if os.environ.get("QUICK") else FULL
    home = Path(tempfile.mkdtemp(prefix="airflow-pinecone-bench-"))
    os.environ["AIRFLOW_HOME"] = str(home)  # What is measured outside of the stack must not write elsewhere.
    certificate = home / "certificate.pem"
    create_certificate(certificate)
    try:
        with Postgres() as database, ControlPlanes() as planes:
            service, other = planes.start(certificate), planes.start(certificate)
            with BenchAirflow(home, database.url, service, certificate) as airflow:
                bench = Bench(airflow, service, other, plan)
                bench.run()
    except MissingProgram as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(document(bench.results))
    if plan is FULL:
        DOCS.mkdir(exist_ok=True)
        (DOCS / "results.json").write_text(json.dumps(bench.results, indent=2) + "\n", encoding="utf-8")
        (DOCS / "table.md").write_text(document(bench.results), encoding="utf-8")
        plot(bench.results, DOCS / "plot.svg")
    return int(bench.failed)


if __name__ == "__main__":
    sys.exit(main())
