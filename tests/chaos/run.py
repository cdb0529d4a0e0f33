"""`make chaos`: chains with each fault, and then disruptions of Airflow and Pinecone that affect many chains at once.

make chaos            with a new seed, which is printed
make chaos SEED=7     the same faults with the same details
"""

from __future__ import annotations

import argparse
import logging
import random
import secrets
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from typing import NamedTuple

import psutil
from chaos.chains import CHAIN_TIMEOUT, Chain, Steps, create_chain
from chaos.faults import ALL, FAULTS, OPERATORS
from chaos.verdict import Verdict, run_chain, table
from support.real_airflow import API_KEY, ROOT, create_airflow, files_with

from airflow_pinecone.emulator import Emulator

HOME = ROOT / ".chaos"
# Chains that run at the same time, and chains for each fault.
PARALLEL_CHAINS = 12
CHAINS_PER_FAULT = 7
SETTINGS = {
    "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "64",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
    # Seconds without a heartbeat after which a scheduler or a triggerer counts as dead; 30 by default.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
}


class Position(NamedTuple):
    """Where a chain is when a disruption happens, and what waits in it.

    The steps bring the chain there before their second yield, and let it continue after it. Only ``starting`` has no
    second yield.
    """

    steps: Steps
    waiter: str


class Disruption(NamedTuple):
    """What happens to many chains at once, and how many tries each backup task must use; None for any number."""

    cause: Callable[[Sequence[Chain]], None]
    positions: Sequence[Position]
    tries: int | None


class ChaosRun:
    """All chains of `make chaos` whose names contain the text `only`, on one Airflow and one running emulator."""

    def __init__(self, seed: int, only: str, emulator: Emulator) -> None:
        self.only = only
        self.rng = random.Random(seed)
        self.emulator = emulator
        self.airflow = create_airflow(HOME, emulator, SETTINGS)
        # Many threads poll at the same time.
        self.airflow.poll_interval = 1.0
        self.verdicts: list[Verdict] = []
        self._count = 0

    def create_chain(self, waiter: str) -> Chain:
        """Create a chain with its own details."""
        self._count += 1
        name = f"chaos-{self._count:03}"
        rng = random.Random(self.rng.random())
        return create_chain(self.airflow, self.emulator, name, waiter, rng)

    def add_verdict(self, verdict: Verdict) -> None:
        """Store a verdict and print it."""
        self.verdicts.append(verdict)
        print("  " if verdict.good else "! ", verdict, sep="", flush=True)

    def run_faults(self, chains_per_fault: int) -> None:
        """Run the chains that have their own fault, in random order, several at the same time."""
        cases = []
        for name, fault in FAULTS.items():
            if self.only not in name:
                continue
            first = self.rng.randrange(len(fault.waiters))
            waiters = [fault.waiters[(first + n) % len(fault.waiters)] for n in range(chains_per_fault)]
            cases += [(name, fault.steps, waiter) for waiter in waiters]
        self.rng.shuffle(cases)
        chains = [(name, steps, self.create_chain(waiter)) for name, steps, waiter in cases]
        with ThreadPoolExecutor(PARALLEL_CHAINS) as pool:
            for future in as_completed([pool.submit(run_chain, *chain) for chain in chains]):
                self.add_verdict(future.result())
        order = list(FAULTS)
        self.verdicts.sort(key=lambda verdict: order.index(verdict.fault))

    def run_disruptions(self) -> None:
        """Run the disruptions, one after the other."""
        deferred = [Position(waiting, "triggerer")] * 6 + [Position(waiting, "sensor_deferred")] * 2
        waits = [Position(waiting, waiter) for waiter in [*ALL, *OPERATORS, *OPERATORS]]
        everywhere = [
            *waits[:6],
            Position(posting, "worker"),
            Position(posting, "triggerer"),
            Position(beginning, "worker"),
        ]
        starts = [Position(starting, waiter) for waiter in OPERATORS]
        disruptions = {
            "triggerer killed": Disruption(self.kill_triggerer, deferred, 1),
            "triggerer restarted": Disruption(self.restart_triggerer, deferred, 1),
            "triggerer frozen, another takes over": Disruption(self.freeze_triggerer, deferred, 1),
            "scheduler killed": Disruption(self.kill_scheduler, everywhere, None),
            "scheduler killed with its tasks": Disruption(self.kill_scheduler_and_tasks, everywhere, None),
            "Pinecone down for 30 s": Disruption(self.stop_pinecone, [*waits, *starts], None),
            "clock set by an hour and back": Disruption(self.set_clock, waits, 1),
        }
        for name, disruption in disruptions.items():
            if self.only in name:
                self.disrupt(name, disruption)

    def disrupt(self, name: str, disruption: Disruption) -> None:
        """Bring chains to their positions, disrupt all of them at once, and let them continue."""
        barrier = threading.Barrier(len(disruption.positions) + 1, timeout=240)

        def disrupted(position: Position) -> Steps:
            def steps(chain: Chain) -> Iterator[None]:
                remaining_steps = position.steps(chain)
                next(remaining_steps)
                if position.steps is starting:
                    barrier.wait()
                    yield
                else:
                    yield
                    next(remaining_steps)
                    barrier.wait()
                # All chains are in position. The next wait is over after the disruption.
                barrier.wait()
                next(remaining_steps, None)
                chain.final_state(CHAIN_TIMEOUT)
                tries = chain.task()["try_number"]
                assert disruption.tries in (None, tries), f"{tries} tries, expected {disruption.tries}"

            return steps

        chains = [self.create_chain(position.waiter) for position in disruption.positions]
        with ThreadPoolExecutor(len(chains)) as pool:
            futures = [
                pool.submit(run_chain, name, disrupted(position), chain)
                for chain, position in zip(chains, disruption.positions, strict=True)
            ]
            try:
                barrier.wait()
                disruption.cause(chains)
                barrier.wait()
            except Exception as error:
                barrier.abort()
                print(f"! {name}: {type(error).__name__}: {error}", flush=True)
            for future in futures:
                self.add_verdict(future.result())

    def kill_triggerer(self, chains: Sequence[Chain]) -> None:
        """Kill the triggerer, and start a new one."""
        kill_tree(self.airflow.part("triggerer"))
        self.airflow.start_part("triggerer")

    def restart_triggerer(self, chains: Sequence[Chain]) -> None:
        """End the triggerer with SIGTERM, as a deployment does, and start a new one."""
        triggerer = self.airflow.part("triggerer")
        triggerer.terminate()
        self.airflow.wait_until(lambda: has_exited(triggerer), 60, "the triggerer to exit")
        self.airflow.start_part("triggerer")

    def freeze_triggerer(self, chains: Sequence[Chain]) -> None:
        """Suspend the triggerer until another one has its triggers, and resume it: nothing may be deleted."""
        frozen = self.airflow.part("triggerer")
        processes = [frozen, *frozen.children(recursive=True)]
        self.suspend(processes)
        self.airflow.start_part("triggerer")
        self.wait_for_polls(chains, 1)
        for process in processes:
            process.resume()
        chains[0].wait_until(lambda: "did not mark it as failed" in chains[0].log(), "the log of the resumed triggerer")
        kill_tree(frozen)

    def suspend(self, processes: Sequence[psutil.Process]) -> None:
        """Suspend processes at a time when none of them holds the write lock of Airflow's SQLite database."""

        def suspended() -> bool:
            for process in processes:
                process.suspend()
            with closing(sqlite3.connect(HOME / "airflow.db", timeout=5, isolation_level=None)) as database:
                try:
                    database.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    # Nothing else could write until the processes are resumed.
                    for process in processes:
                        process.resume()
                    return False
                database.execute("ROLLBACK")
                return True

        self.airflow.wait_until(suspended, 120, "the processes to be suspended outside of a write")

    def kill_scheduler(self, chains: Sequence[Chain]) -> None:
        """Kill the scheduler alone: a new one starts the tasks again while their processes are still running."""
        output = self.airflow.home / "airflow.out"

        def resets() -> int:
            return output.read_text(errors="replace").count("orphaned TaskInstances")

        before = resets()
        self.airflow.part("scheduler").kill()
        self.airflow.start_part("scheduler")
        self.airflow.wait_until(lambda: resets() > before, 120, "the scheduler to start tasks again")

    def kill_scheduler_and_tasks(self, chains: Sequence[Chain]) -> None:
        """Kill the scheduler and the tasks on its node, and start a new one."""
        kill_tree(self.airflow.part("scheduler"))
        self.airflow.start_part("scheduler")

    def stop_pinecone(self, chains: Sequence[Chain]) -> None:
        """Stop the emulator for 30 s."""
        self.emulator.stop()
        threading.Event().wait(30)
        self.emulator.start()

    def set_clock(self, chains: Sequence[Chain]) -> None:
        """Set the time of day of tasks and triggerer forward by an hour, then back by an hour, then right again."""
        clock_offset = HOME / "stop_points" / "clock_offset"
        for offset in (3600, -3600, 0):
            clock_offset.write_text(str(offset))
            self.wait_for_polls(chains, 2)

    def wait_for_polls(self, chains: Sequence[Chain], polls: int) -> None:
        """Wait until each chain has sent a number of further polls."""

        def polls_of(chain: Chain) -> int:
            listings = 0
            if chain.waiter.endswith(("triggerer", "deferred")):
                # The triggerer polls all chains with a listing.
                listings = sum((r.method, r.path) == ("GET", "/backups") for r in self.emulator.requests)
            return len(chain.requests("GET")) + listings

        before = [polls_of(chain) for chain in chains]
        self.airflow.wait_until(
            lambda: all(polls_of(chain) >= n + polls for chain, n in zip(chains, before, strict=True)),
            120,
            f"{polls} polls of each chain",
        )


def waiting(chain: Chain) -> Iterator[None]:
    """Bring a chain to where its backup is not Ready, and the first poll has been answered."""
    chain.plan(backup_ends="never")
    yield
    path = chain.describe_path()
    if chain.waiter in ("triggerer", "sensor_deferred"):
        # One listing may be the poll of all chains in the triggerer, so only the log of the task shows its first poll.
        polled = f"Backup {path.removeprefix('/backups/')}: its status is"
        chain.wait_until(lambda: polled in chain.log(chain.last_task), "the first poll in the triggerer")
    else:
        chain.next_poll()
    yield
    chain.finish()


def posting(chain: Chain) -> Iterator[None]:
    """Bring a chain to where its backup exists, but the response has not been sent."""
    fault = chain.emulator.fault("POST", chain.create_path, hang="after")
    yield
    fault.wait(120)
    yield
    fault.release()


def beginning(chain: Chain) -> Iterator[None]:
    """Bring a chain to where its process has started, but has done nothing."""
    chain.stop_next_at("execute")
    yield
    chain.wait_for_stop_at("execute")
    yield


def starting(chain: Chain) -> Iterator[None]:
    """Trigger a chain during the disruption."""
    yield


def kill_tree(process: psutil.Process) -> None:
    """Kill a process and all its descendants."""
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def has_exited(process: psutil.Process) -> bool:
    """Return whether a process has exited; its parent may not have read its exit code yet."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def main() -> int:
    """Run everything, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description="Inject faults into runs of a real Airflow.")
    parser.add_argument("--seed", type=int, default=None, help="the seed for the details of the faults")
    parser.add_argument("--only", default="", help="run only the faults whose names contain this text")
    parser.add_argument(
        "--each", type=int, default=CHAINS_PER_FAULT, help="the number of chains for each fault (default: %(default)s)"
    )
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    print(f"Seed {seed}", flush=True)
    started_at = time.monotonic()
    logging.disable(logging.INFO)
    with Emulator(api_key=API_KEY, ready_after=3) as emulator:
        chaos = ChaosRun(seed, options.only, emulator)
        with chaos.airflow:
            chaos.run_faults(options.each)
            chaos.run_disruptions()
        emulator.release()
    leaks = files_with(HOME, API_KEY)
    bad = [verdict for verdict in chaos.verdicts if not verdict.good]
    minutes = (time.monotonic() - started_at) / 60
    print(f"\n{table(chaos.verdicts)}\n")
    print(f"Seed {seed}, {minutes:.0f} minutes, {len(chaos.verdicts)} chains, {len(bad)} of them with problems")
    print(f"{len(leaks)} of Airflow's files contain the API key. They include the logs, at DEBUG, and the database.")
    for problem in [*bad, *leaks]:
        print("!", problem)
    if bad or leaks:
        print(f"The logs are in {HOME.relative_to(ROOT)}/")
        return 1
    shutil.rmtree(HOME)
    return 0


if __name__ == "__main__":
    sys.exit(main())
