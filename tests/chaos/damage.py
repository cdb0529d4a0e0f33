"""`make chaos-records`: restore tests of damaged backups, and of sound ones while requests fail.

Each case is a restore test of an index of its own in the emulator: 300 restores with one change to the records, which
the test must find and name, and 300 sound ones under faults, which must pass.

make chaos-records                  with a new seed, which is printed
make chaos-records SEED=7 CASES=30  the same cases as before; fewer of them
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before anything imports Airflow: a home that is deleted at the end.
_home = tempfile.TemporaryDirectory(prefix="airflow-pinecone-chaos-", ignore_cleanup_errors=True)
os.environ["AIRFLOW_HOME"] = _home.name

import numpy as np
import structlog
from support.clock import FakeClock
from support.constants import API_KEY, CONNECTION_VARIABLE
from support.groups import GroupRun

from airflow_pinecone.emulator import Emulator, Fault, damage

TABLE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "restore-tests.md"
CASES = 300
MOST_RECORDS = 50_000
INDEX = "products"
# Seconds until a fault must have stopped a worker.
_KILL_TIMEOUT = 60.0


@dataclass
class Contents:
    """The records of the index of a case.

    Attributes:
        ids: The ids of the records of each namespace.
        is_sparse: Whether the records have sparse values.
    """

    ids: dict[str, list[str]]
    is_sparse: bool


@dataclass
class Case:
    """One restore test.

    Attributes:
        seed: Selects everything.
        kind: The damage, or the fault.
        reference: What the records are compared with: the ``index``, or the ``digest`` of an earlier test.
        records: The number of records.
        expected: The namespace and one of the ids that a finding must name. The id is None if none can be named.
        problem: Why the case is wrong; empty if it is right.
        seconds: How long it took.
    """

    seed: int
    kind: str
    reference: str = "index"
    records: int = 0
    expected: tuple[str, set[str] | None] = ("", None)
    problem: str = ""
    seconds: float = field(default=0.0, compare=False)


# Damage


def _lose_record(chance: random.Random, contents: Contents) -> tuple[Any, str, set[str]]:
    namespace, record_id = _pick(chance, contents)
    return damage.lose_record(namespace, record_id), namespace, {record_id}


def _lose_namespace(chance: random.Random, contents: Contents) -> tuple[Any, str, set[str]]:
    namespace, _ = _pick(chance, contents)
    return damage.lose_namespace(namespace), namespace, set(contents.ids[namespace])


def _empty_namespace(chance: random.Random, contents: Contents) -> tuple[Any, str, set[str]]:
    namespace, _ = _pick(chance, contents)
    return damage.empty_namespace(namespace), namespace, set(contents.ids[namespace])


def _flip_bit(chance: random.Random, contents: Contents) -> tuple[Any, str, set[str]]:
    namespace, record_id = _pick(chance, contents)
    return (
        damage.flip_bit(namespace, record_id, chance.randrange(8), chance.randrange(32)),
        namespace,
        {record_id},
    )


def _sparse_index(chance: random.Random, contents: Contents) -> tuple[Any, str, set[str]]:
    namespace, record_id = _pick(chance, contents)
    return damage.change_sparse_index(namespace, record_id, 0, chance.randrange(2**31, 2**32)), namespace, {record_id}


def _metadata_type(chance: random.Random, contents: Contents) -> tuple[Any, str, set[str]]:
    namespace, record_id = _pick(chance, contents)
    name = chance.choice(["number", "real", "text", "flag"])
    return damage.change_metadata_type(namespace, record_id, name), namespace, {record_id}


def _swap(chance: random.Random, contents: Contents) -> tuple[Any, str, set[str]]:
    namespace = max(contents.ids, key=lambda name: len(contents.ids[name]))
    pair = chance.sample(contents.ids[namespace], 2)
    return damage.swap_records(namespace, *pair), namespace, set(pair)


def _duplicate(chance: random.Random, contents: Contents) -> tuple[Any, str, set[str]]:
    namespace, record_id = _pick(chance, contents)
    copied = f"{record_id}-copy"
    return damage.duplicate_record(namespace, record_id, copied), namespace, {copied}


def _pick(chance: random.Random, contents: Contents) -> tuple[str, str]:
    namespace = chance.choice([name for name, ids in contents.ids.items() if ids])
    return namespace, chance.choice(contents.ids[namespace])


DAMAGE: dict[str, Callable[[random.Random, Contents], tuple[Any, str, set[str]]]] = {
    "one bit of one value": _flip_bit,
    "one index of a sparse value": _sparse_index,
    "the type of one metadata value": _metadata_type,
    "a lost record": _lose_record,
    "an additional record": _duplicate,
    "two swapped records": _swap,
    "an empty namespace": _empty_namespace,
    "a lost namespace": _lose_namespace,
}


# Faults


def _lag(emulator: Emulator, chance: random.Random) -> None:
    emulator.scenario.restored_records_visible_after = chance.uniform(1, 300)


def _too_many_requests(emulator: Emulator, chance: random.Random) -> None:
    for path in ("list", "fetch"):
        headers = {"Retry-After": str(chance.randrange(1, 5))} if chance.random() < 0.5 else {}
        emulator.fault("GET", f"/data-plane/*/vectors/{path}", times=None, probability=0.2, status=429, headers=headers)


def _lost_responses(emulator: Emulator, chance: random.Random) -> None:
    for path in ("vectors/list", "vectors/fetch", "namespaces", "describe_index_stats"):
        drop = chance.choice(["before", "during", "after"])
        emulator.fault("*", f"/data-plane/*/{path}", times=None, probability=0.1, drop=drop)
    emulator.fault("*", "*", times=None, probability=0.05, status=503)


def _omitted_records(emulator: Emulator, chance: random.Random) -> None:
    def omit(answer: dict[str, Any]) -> dict[str, Any]:
        rows = answer.get("vectors", {})
        return {**answer, "vectors": {name: rows[name] for name in list(rows)[1:]}}

    emulator.fault("GET", "/data-plane/*/vectors/fetch", nth=chance.randrange(1, 4), times=1, change_answer=omit)


FAULTS: dict[str, Callable[[Emulator, random.Random], None] | None] = {
    "lag": _lag,
    "HTTP 429": _too_many_requests,
    "lost responses": _lost_responses,
    "a response without a record": _omitted_records,
    "a killed worker": None,
}


# One case


def run_case(case: Case, *, is_damaged: bool, most_records: int) -> None:
    """Run a restore test, and note what is wrong with its result."""
    chance = random.Random(case.seed)
    clock = FakeClock()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Emulator(api_key=API_KEY, clock=clock) as emulator:
        connection = {"conn_type": "pinecone", "host": emulator.url, "password": API_KEY}
        os.environ[CONNECTION_VARIABLE] = json.dumps(connection)
        case.records = round(math.exp(chance.uniform(math.log(10), math.log(most_records))))
        contents = _fill(emulator, chance, case.records, case.kind)
        emulator.add_backup(INDEX, age=3600)
        arguments: dict[str, Any] = {"parts": chance.randrange(1, 5), "deferrable": chance.random() < 0.3}
        if is_damaged and case.reference == "digest":
            arguments |= {"report_to": f"file://{folder}", "compare_to_index": False}
            first = GroupRun(clock, INDEX, run_id="earlier", **arguments).run_all()
            if first.record["verdict"] != "passed":
                case.problem = f"the earlier test: {first.record['verdict']} {first.findings}"
                return
        if is_damaged:
            change, namespace, ids = DAMAGE[case.kind](chance, contents)
            case.expected = (namespace or "__default__", ids)
            emulator.next_restore(change=change)
            run = GroupRun(clock, INDEX, settle_timeout=60, **arguments).run_all()
            case.problem = _not_found(case, run)
        else:
            fault = FAULTS[case.kind]
            if fault is not None:
                fault(emulator, chance)
                run = GroupRun(clock, INDEX, **arguments).run_all()
            else:
                run = GroupRun(clock, INDEX, **arguments)
                _run_with_killed_worker(run, emulator, chance)
            verdict = run.record["verdict"]
            if verdict != "passed":
                case.problem = f"{verdict} {run.findings} {run.record['incomplete']} {_first_error(run)}"
        left = [index["name"] for index in emulator.indexes if index["name"] != INDEX]
        if left:
            case.problem += f" left over: {left}"
    case.seconds = time.monotonic() - started


def _first_error(run: GroupRun) -> str:
    return next((str(outcome.error)[:300] for outcome in run.outcomes.values() if outcome.error), "")


def _fill(emulator: Emulator, chance: random.Random, count: int, kind: str) -> Contents:
    """Create an index with records of all types."""
    is_sparse = kind == "one index of a sparse value" or chance.random() < 0.3
    fields = {"metric": "dotproduct"} if is_sparse else {}
    emulator.add_index(INDEX, records=0, namespaces=0, dimension=8, **fields)
    namespaces = chance.sample(["", "b", "c/d", "e f"], chance.randrange(1, 4))
    numbers = np.random.default_rng(chance.randrange(2**32))
    contents = Contents({}, is_sparse)
    for position, namespace in enumerate(namespaces):
        # Each namespace has at least two records, so that two can be swapped.
        size = max(
            2, count // len(namespaces) if position else count - (len(namespaces) - 1) * (count // len(namespaces))
        )
        values = numbers.standard_normal((size, 8)).astype(np.float32).tolist()
        records = [
            {
                "id": f"{'x' * (number % 40)}/{number}",
                "values": row,
                "metadata": {"number": number, "real": number + 0.5, "text": f"t{number}", "flag": True, "list": ["a"]},
                **(
                    {"sparseValues": {"indices": [number + 1, 2**31 - 1 - number], "values": [0.5, 1.5]}}
                    if is_sparse
                    else {}
                ),
            }
            for number, row in enumerate(values)
        ]
        emulator.add_records(INDEX, records, namespace)
        contents.ids[namespace] = [str(record["id"]) for record in records]
    return contents


def _not_found(case: Case, run: GroupRun) -> str:
    """Return why the test has not found and named the damage; empty if it has."""
    if run.record["verdict"] != "failed":
        return f"{run.record['verdict']}: {_first_error(run)}"
    namespace, ids = case.expected
    named = [finding for finding in run.record["findings"] if finding["namespace"] == namespace]
    if not named:
        return f"not named: {run.findings}"
    if case.reference == "index" and not any(ids and ids & set(finding["ids"]) for finding in named):
        return f"no id named: {run.record['findings']}"
    others = [finding for finding in run.record["findings"] if finding["namespace"] not in (namespace, None)]
    return f"also named: {others}" if others else ""


def _run_with_killed_worker(run: GroupRun, emulator: Emulator, chance: random.Random) -> None:
    """Kill the process of the task `check` at some request, and run the task again."""
    for name in ("choose", "restore", "settle"):
        run.run(name)
    fault = emulator.fault("GET", "/data-plane/*/vectors/*", nth=chance.randrange(1, 6), times=None, hang="after")
    child = os.fork()
    if not child:
        run.run("check")
        os._exit(0)
    _wait_for_hit_or_end(fault, child)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    fault.times = 0
    fault.release()
    for name in ("check", "report", "delete_scratch"):
        run.run(name)


def _wait_for_hit_or_end(fault: Fault, child: int) -> None:
    """Wait until the worker hangs, or has ended because it sent fewer requests."""
    deadline = time.monotonic() + _KILL_TIMEOUT
    while time.monotonic() < deadline:
        try:
            fault.wait(timeout=0.2)
        except TimeoutError:
            if _has_ended(child):
                return
        else:
            return
    raise TimeoutError("The worker neither hangs nor ends.")


def _has_ended(child: int) -> bool:
    return Path(f"/proc/{child}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"


# All cases


def table(damaged: list[Case], sound: list[Case], seed: int) -> str:
    """Return the results as tables."""
    lines = [f"Seed {seed}: {len(damaged)} damaged restores, {len(sound)} sound ones.", ""]
    lines += ["| damage | restores | found and named |", "| --- | ---: | ---: |"]
    lines += _rows(DAMAGE, damaged)
    lines += ["", "| fault during a sound restore | restores | passed |", "| --- | ---: | ---: |"]
    lines += _rows(FAULTS, sound)
    return "\n".join([*lines, ""])


def _rows(kinds: Any, cases: list[Case]) -> list[str]:
    counts, right = Counter(case.kind for case in cases), Counter(case.kind for case in cases if not case.problem)
    rows = [f"| {kind} | {counts[kind]} | {right[kind]} |" for kind in kinds]
    return [*rows, f"| all | {len(cases)} | {sum(not case.problem for case in cases)} |"]


def main() -> int:
    """Run all cases, and print the tables. A complete run writes them into the documentation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--most-records", type=int, default=MOST_RECORDS)
    arguments = parser.parse_args()
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    print(f"SEED={seed}", flush=True)
    # Without the logs of the tasks and of the emulator.
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    results: dict[bool, list[Case]] = {True: [], False: []}
    for is_damaged, kinds in ((True, list(DAMAGE)), (False, list(FAULTS))):
        for number in range(arguments.cases):
            kind = kinds[number % len(kinds)]
            reference = "digest" if is_damaged and number // len(kinds) % 2 else "index"
            case = Case(seed * 10_000 + number + (0 if is_damaged else 5_000), kind, reference)
            try:
                run_case(case, is_damaged=is_damaged, most_records=arguments.most_records)
            except Exception as error:
                case.problem = f"{type(error).__name__}: {error}"
            results[is_damaged].append(case)
            if case.problem:
                print(f"WRONG {case}", flush=True)
    print(table(results[True], results[False], seed))
    wrong = [case for cases in results.values() for case in cases if case.problem]
    if arguments.cases == CASES:
        TABLE.write_text(table(results[True], results[False], seed), encoding="utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
