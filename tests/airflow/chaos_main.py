"""The long form of the chaos: chains with each fault, and then what strikes all chains at once.

make chaos            with a new seed, which it prints
make chaos SEED=7     the same faults with the same details again
"""

from __future__ import annotations

import argparse
import logging
import random
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress

import psutil
from chaos import PATIENCE, Chain, Verdict, play, table
from chaos_faults import ALL, FAULTS, WAITING, Fault
from real import API_KEY, ROOT, files_with, real_airflow

from airflow_pinecone.emulator import Emulator

HOME = ROOT / ".chaos"
# Chains at once, and how many there are of each fault.
WIDTH = 12
EACH = 7
SETTINGS = {
    "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "64",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
    # Seconds without a heartbeat after which a scheduler or a triggerer is given up; both 30 unless set.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
}


class Chaos:
    """A long run: one Airflow, one emulator, many chains."""

    def __init__(self, seed: int, only: str, pinecone: Emulator) -> None:
        """Take the seed, and a part of the names of the faults that are wanted; nothing is started yet."""
        self.only = only
        self.rng = random.Random(seed)
        self.pinecone = pinecone
        self.airflow = real_airflow(HOME, pinecone, SETTINGS)
        # Many look at once.
        self.airflow.pace = 1.0
        self.verdicts: list[Verdict] = []
        self._count = 0

    def chain(self, waiter: str) -> Chain:
        """Make a chain, with details of its own."""
        self._count += 1
        name = f"chaos-{self._count:03}"
        rng = random.Random(self.rng.random())
        return Chain(self.airflow, self.pinecone, f"chaos_{waiter}", name, name, waiter, rng)

    def tell(self, verdict: Verdict) -> None:
        """Note a verdict, and say so."""
        self.verdicts.append(verdict)
        print("  " if verdict.good else "! ", verdict, sep="", flush=True)

    def each_fault(self, times: int) -> None:
        """Faults that strike one chain, in a random order, WIDTH chains at a time."""
        todo = []
        for name, (fault, waiters) in FAULTS.items():
            if self.only not in name:
                continue
            first = self.rng.randrange(len(waiters))
            todo += [(name, fault, waiters[(first + n) % len(waiters)]) for n in range(times)]
        self.rng.shuffle(todo)
        chains = [(name, fault, self.chain(waiter)) for name, fault, waiter in todo]
        with ThreadPoolExecutor(WIDTH) as pool:
            for done in as_completed([pool.submit(play, *each) for each in chains]):
                self.tell(done.result())
        order = list(FAULTS)
        self.verdicts.sort(key=lambda verdict: order.index(verdict.fault))

    def strike(
        self,
        name: str,
        blow: Callable[[list[Chain]], None],
        places: list[tuple[Fault, str]],
        *,
        tries: int | None = None,
    ) -> None:
        """Bring chains to their places, strike all with one blow, and let them go on.

        Args:
            name: The row of the table.
            blow: What strikes them.
            places: The place of each chain, and its waiter.
            tries: How many tries each may have taken; None for any.
        """
        together = threading.Barrier(len(places) + 1, timeout=240)

        def struck(place: Fault) -> Fault:
            def steps(chain: Chain) -> Iterator[None]:
                coming = place(chain)
                next(coming)
                if place is starting:
                    together.wait()
                    yield
                else:
                    yield
                    next(coming)
                    together.wait()
                together.wait()
                next(coming, None)
                chain.end(PATIENCE)
                took = chain.task()["try_number"]
                assert tries in (None, took), f"{took} tries, not {tries}"

            return steps

        chains = [self.chain(waiter) for _, waiter in places]
        with ThreadPoolExecutor(len(chains)) as pool:
            playing = [
                pool.submit(play, name, struck(place), chain) for chain, (place, _) in zip(chains, places, strict=True)
            ]
            try:
                together.wait()
                blow(chains)
                together.wait()
            except Exception as error:
                together.abort()
                print(f"! {name}: {type(error).__name__}: {error}", flush=True)
            for done in playing:
                self.tell(done.result())

    def each_blow(self) -> None:
        """What strikes all chains at once."""
        deferred = [(waiting, "triggerer")] * 6 + [(waiting, "sensor_deferred")] * 2
        waits = [(waiting, waiter) for waiter in [*ALL, *WAITING, *WAITING]]
        everywhere = [*waits[:6], (posting, "worker"), (posting, "triggerer"), (beginning, "worker")]
        starts = [(starting, waiter) for waiter in WAITING]
        blows = {
            "triggerer killed": (self.triggerer_killed, deferred, 1),
            "triggerer restarted": (self.triggerer_restarted, deferred, 1),
            "triggerer frozen, another takes over": (self.triggerer_frozen, deferred, 1),
            "scheduler killed": (self.scheduler_killed, everywhere, None),
            "scheduler killed with its tasks": (self.scheduler_lost, everywhere, None),
            "Pinecone down for 30 s": (self.pinecone_down, [*waits, *starts], None),
            "clock set by an hour and back": (self.clock_set, waits, 1),
        }
        for name, (blow, places, tries) in blows.items():
            if self.only in name:
                self.strike(name, blow, places, tries=tries)

    def triggerer_killed(self, chains: list[Chain]) -> None:
        """SIGKILL, and a new one."""
        kill_all(self.airflow.part("triggerer"))
        self.airflow.start_part("triggerer")

    def triggerer_restarted(self, chains: list[Chain]) -> None:
        """SIGTERM, as in a deployment, and a new one."""
        triggerer = self.airflow.part("triggerer")
        triggerer.terminate()
        self.airflow.wait_until(lambda: dead(triggerer), 60, "the triggerer to end")
        self.airflow.start_part("triggerer")

    def triggerer_frozen(self, chains: list[Chain]) -> None:
        """Its heartbeat lapses, another takes its waits, and it wakes and finds them gone: no person did that."""
        frozen = self.airflow.part("triggerer")
        family = [frozen, *frozen.children(recursive=True)]
        for process in family:
            process.suspend()
        self.airflow.start_part("triggerer")
        self.polls(chains, 1)
        for process in family:
            process.resume()
        spoken = "nobody marked it failed"
        chain = chains[0]
        chain.wait_until(lambda: spoken in chain.log(), "the word of the triggerer that woke")
        kill_all(frozen)

    def scheduler_killed(self, chains: list[Chain]) -> None:
        """SIGKILL of the scheduler alone: its tasks live on, and a new one begins them anew beside themselves."""
        out = self.airflow.home / "airflow.out"
        begun_anew = "orphaned TaskInstances"
        before = out.read_text(errors="replace").count(begun_anew)
        self.airflow.part("scheduler").kill()
        self.airflow.start_part("scheduler")
        self.airflow.wait_until(
            lambda: out.read_text(errors="replace").count(begun_anew) > before, 120, "tasks to be begun anew"
        )

    def scheduler_lost(self, chains: list[Chain]) -> None:
        """SIGKILL of the scheduler and of the tasks on its node."""
        kill_all(self.airflow.part("scheduler"))
        self.airflow.start_part("scheduler")

    def pinecone_down(self, chains: list[Chain]) -> None:
        """Nobody listens, for 30 s."""
        self.pinecone.stop()
        threading.Event().wait(30)
        self.pinecone.start()

    def clock_set(self, chains: list[Chain]) -> None:
        """The time of day of tasks and triggerer, an hour on, then an hour back, then right again."""
        clock = HOME / "gates" / "clock"
        for offset in (3600, -3600, 0):
            clock.write_text(str(offset))
            self.polls(chains, 2)

    def polls(self, chains: list[Chain], more: int) -> None:
        """Wait until each chain has asked for its backup some times more."""
        before = [len(chain.requests("GET")) for chain in chains]
        self.airflow.wait_until(
            lambda: all(len(chain.requests("GET")) >= n + more for chain, n in zip(chains, before, strict=True)),
            120,
            f"{more} polls of each chain",
        )


def waiting(chain: Chain) -> Iterator[None]:
    """Its backup is not Ready, and the first poll has been answered."""
    chain.course(ends="never")
    yield
    chain.pinecone.fault("GET", chain.describe()).wait(120)
    yield
    chain.finish()


def posting(chain: Chain) -> Iterator[None]:
    """Its backup is made, and the answer is on its way."""
    fault = chain.pinecone.fault("POST", chain.create, hang="after")
    yield
    fault.wait(120)
    yield
    fault.release()


def beginning(chain: Chain) -> Iterator[None]:
    """Its process has not begun with its work."""
    chain.arm("begin")
    yield
    chain.wait_for("begin")
    yield


def starting(chain: Chain) -> Iterator[None]:
    """It is triggered while the blow falls."""
    yield


def kill_all(process: psutil.Process) -> None:
    """SIGKILL a process and all that come from it."""
    family = [process, *process.children(recursive=True)]
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def dead(process: psutil.Process) -> bool:
    """Say whether a process has ended, though its parent may not have asked yet how."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def main() -> int:
    """Run the long form; returns 1 if anything was wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default="", help="only the faults with this in their name")
    parser.add_argument("--each", type=int, default=EACH, help="chains with each fault that strikes one")
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    print(f"Seed {seed}", flush=True)
    began = time.monotonic()
    logging.disable(logging.INFO)
    with Emulator(api_key=API_KEY, ready_after=3) as pinecone:
        chaos = Chaos(seed, options.only, pinecone)
        with chaos.airflow:
            chaos.each_fault(options.each)
            chaos.each_blow()
        pinecone.release()
    leaks = files_with(HOME, API_KEY)
    bad = [verdict for verdict in chaos.verdicts if not verdict.good]
    print(f"\n{table(chaos.verdicts)}\n")
    print(f"Seed {seed}, {(time.monotonic() - began) / 60:.0f} minutes; {len(bad)} of {len(chaos.verdicts)} chains bad")
    print(f"The API key is in {len(leaks)} of Airflow's files, logs at DEBUG and database included")
    for wrong in [*bad, *leaks]:
        print("!", wrong)
    if bad or leaks:
        print(f"Airflow's logs are in {HOME.relative_to(ROOT)}/")
        return 1
    shutil.rmtree(HOME)
    return 0


if __name__ == "__main__":
    sys.exit(main())
