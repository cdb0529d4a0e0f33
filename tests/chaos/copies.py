"""`make chaos-copies`: exports that are killed, cleared, run twice at once, or whose store or index fails.

Each case exports the same backup of an index in the emulator to an S3 server. A worker is a process of its own, which
kills itself with SIGKILL at one of its function calls. Then another worker continues, in some cases with another
restored index, as after a clear. The copy must be, byte for byte, the one of an export that nothing has disturbed.

make chaos-copies                  with a new seed, which is printed
make chaos-copies SEED=7 CASES=20  the same cases as before; fewer of them
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from chaos.copy_worker import Work, export
from support.clients import make_client
from support.constants import API_KEY
from support.object_stores import S3Server, s3_server

from airflow_pinecone.api.models import is_index_ready
from airflow_pinecone.common.clock import SYSTEM_CLOCK
from airflow_pinecone.emulator import Emulator

CASES = 100
BUCKET, INDEX, DIMENSION = "copies", "products", 8
_TIMEOUT = 120.0
KINDS = ("kill", "kill", "kill", "kill twice", "kill and clear", "two at once", "store fails", "index fails")
_STORE_FAULTS = ("slow_down", "error", "cut_request", "cut_response", "lost_response")


@dataclass
class Case:
    """One export.

    Attributes:
        number: Selects, with the seed, everything.
        kind: How the export is disturbed.
        kills: How many workers were killed.
        redone: The most parts whose records were read, but not exported, when a worker was killed.
        problem: Why the case is wrong; empty if it is right.
    """

    number: int
    kind: str
    kills: int = 0
    redone: int = 0
    problem: str = ""
    seconds: float = field(default=0.0, compare=False)


class Campaign:
    """The emulator, the store, and the copy of an export that nothing has disturbed."""

    def __init__(self, emulator: Emulator, store: S3Server, seed: int) -> None:
        self._emulator = emulator
        self._store = store
        self._seed = seed
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["chaos.copy_worker"])
        _add_records(emulator)
        store.create_bucket(BUCKET)
        self._calls, self.parts = self._work("undisturbed", 0).result()
        self._expected = self._contents("undisturbed")

    def run(self, number: int) -> Case:
        """Run one case."""
        chance = random.Random(f"{self._seed}/{number}")
        case = Case(number, KINDS[number % len(KINDS)])
        folder, started = f"case-{number}", time.monotonic()
        if case.kind == "two at once":
            workers = [self._work(folder, 0, index) for index in ("scratch-0", "scratch-1")]
            for worker in workers:
                worker.result()
        elif case.kind == "store fails":
            for _ in range(chance.randrange(1, 4)):
                how: Any = chance.choice(_STORE_FAULTS)
                self._store.fail("*Object", f"{BUCKET}/{folder}/*", how, nth=chance.randrange(1, 60))
            self._until_done(folder, case)
        elif case.kind == "index fails":
            path = chance.choice(["/data-plane/*/vectors/list", "/data-plane/*/vectors/fetch"])
            fault: dict[str, Any] = chance.choice(
                [{"status": 503}, {"status": 429}, {"drop": "before"}, {"status": 500}]
            )
            self._emulator.fault("GET", path, times=chance.randrange(1, 8), **fault)
            self._until_done(folder, case)
        else:
            for _ in range(2 if case.kind == "kill twice" else 1):
                before = self._complete(folder)
                if self._work(folder, chance.randrange(1, self._calls)).wait_until_killed():
                    case.kills += 1
                case.redone = max(case.redone, self._uploaded(folder) - self._complete(folder))
                assert self._complete(folder) >= before
            complete = self._complete(folder)
            index = "scratch-1" if case.kind == "kill and clear" else "scratch-0"
            _, read = self._work(folder, 0, index).result()
            if len(read) + complete != len(self.parts):
                case.problem = f"{complete} of {len(self.parts)} parts were complete, and {len(read)} were read again"
        found = self._contents(folder)
        if found != self._expected:
            names = sorted({*found, *self._expected})
            different = [name for name in names if found.get(name) != self._expected.get(name)]
            case.problem = case.problem or f"these files differ: {', '.join(different)}"
        if case.redone > 1:
            case.problem = case.problem or f"{case.redone} parts were uploaded, but not complete"
        case.seconds = time.monotonic() - started
        return case

    def _until_done(self, folder: str, case: Case) -> None:
        """Run workers, as Airflow retries a task, until one succeeds."""
        for _ in range(10):
            if self._work(folder, 0).succeeds():
                return
            case.kills += 1
        case.problem = "no retry has succeeded"

    def _work(self, folder: str, kill_at: int, index: str = "scratch-0") -> Worker:
        work = Work(self._emulator.url, index, self._store.url, f"{BUCKET}/{folder}", kill_at)
        return Worker(self._context, work)

    def _contents(self, folder: str) -> dict[str, Any]:
        """Return the files of a copy, without what the reading has cost."""
        files = self._files(folder)
        contents: dict[str, Any] = {}
        for name, content in files.items():
            contents[name] = _without_costs(json.loads(content)) if name.endswith(".json") else content
        return contents

    def _files(self, folder: str) -> dict[str, bytes]:
        prefix = f"{folder}/"
        client = self._store.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [row["Key"] for page in pages for row in page.get("Contents", [])]
        return {key.removeprefix(prefix): client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def _complete(self, folder: str) -> int:
        return sum(fnmatchcase(name, "copy/parts/*.json") for name in self._files(folder))

    def _uploaded(self, folder: str) -> int:
        return sum(fnmatchcase(name, "[du]*/*.parquet") for name in self._files(folder))


class Worker:
    """A process that exports."""

    def __init__(self, context: Any, work: Work) -> None:
        self._results, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=export, args=(work, sender))
        self._process.start()
        sender.close()

    def result(self) -> tuple[int, list[int]]:
        """Wait until the export has succeeded. Returns the number of function calls, and the parts that were read."""
        self._process.join(_TIMEOUT)
        assert self._process.exitcode == 0, self._process.exitcode
        calls, parts = self._results.recv()
        return calls, parts

    def succeeds(self) -> bool:
        """Wait until the process has ended, and return whether the export has succeeded."""
        self._process.join(_TIMEOUT)
        return bool(self._process.exitcode == 0)

    def wait_until_killed(self) -> bool:
        """Wait until the process has ended, and return whether it has killed itself."""
        self._process.join(_TIMEOUT)
        assert self._process.exitcode in (0, -9), self._process.exitcode
        return bool(self._process.exitcode)


def _without_costs(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_costs(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_costs(each) for key, each in value.items() if key not in ("read_units", "response_bytes")}
    return value


def _add_records(emulator: Emulator) -> None:
    """Add the index, its backup, and two indexes that were restored from it."""
    emulator.add_index(INDEX, records=0, dimension=DIMENSION, metric="dotproduct")
    chance = np.random.default_rng(20)

    def record(record_id: str, number: int) -> dict[str, Any]:
        values = chance.standard_normal(DIMENSION).astype(np.float32).tolist()
        sparse = {"indices": [number, 2**32 - 1 - number], "values": [0.5, 1 / 3]}
        metadata = {"id": number, "values": ["a", "ü"], "__filename": "x" * (number % 50), "yes": True, "half": 0.5}
        return {
            "id": record_id,
            "values": values,
            **({"sparseValues": sparse} if number % 3 else {}),
            **({"metadata": metadata} if number % 4 else {}),
        }

    odd = ["a b", "a/b", "a?b=c&d", "#", "%2F", "~", "a" * 512, "0\t"]
    emulator.add_records(INDEX, [record(f"id-{number:04}", number) for number in range(300)])
    emulator.add_records(INDEX, [record(each, number) for number, each in enumerate(odd)], namespace="a/b")
    emulator.add_records(INDEX, [record(f"{number}", number) for number in range(150)], namespace="numbers")
    backup_id = emulator.add_backup(INDEX)["backup_id"]
    client = make_client(emulator.url, SYSTEM_CLOCK)
    for number in range(2):
        client.create_index_from_backup(backup_id, name=f"scratch-{number}")
        while not is_index_ready(client.describe_index(f"scratch-{number}")):
            SYSTEM_CLOCK.sleep(0.1)


@contextmanager
def campaign(seed: int) -> Iterator[Campaign]:
    """Start the emulator and the store."""
    with Emulator(api_key=API_KEY, indexes=[]) as emulator, s3_server() as store:
        yield Campaign(emulator, store, seed)


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--cases", type=int, default=CASES)
    arguments = parser.parse_args()
    print(f"Seed {arguments.seed}, {arguments.cases} cases", flush=True)
    with campaign(arguments.seed) as running:
        cases = [_show(running.run(number)) for number in range(arguments.cases)]
    bad = [case for case in cases if case.problem]
    print(f"{len(cases) - len(bad)} of {len(cases)} copies are the same as without a fault.")
    print(", ".join(f"{kind}: {count}" for kind, count in Counter(case.kind for case in cases).items()))
    print(f"{sum(case.kills for case in cases)} workers were killed or failed.")
    print(f"At most {max(case.redone for case in cases)} part was uploaded again.")
    return bool(bad)


def _show(case: Case) -> Case:
    print(
        f"{case.number:4} {case.kind:15} {case.kills} killed {case.seconds:5.1f} s  {case.problem or 'ok'}", flush=True
    )
    return case


if __name__ == "__main__":
    raise SystemExit(main())
