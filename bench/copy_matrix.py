"""Count the records that a copy loses, alters and doubles: for each tool, under each fault, for each shape of index.

`make bench-copies` runs it. Each tool runs in a process of its own against the emulator. A run that fails is repeated
twice in the same folder, as a task of Airflow with two retries would be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from copy_competitors import TOOLS, Record, Rows

from airflow_pinecone.emulator import Emulator

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
KEY, INDEX = "bench-key-1", "bench"
# Three pages of ids in each namespace, so that a fault in the second is in the middle.
COUNT, DIMENSION = 250, 8
# Longer than the client of a tool repeats a request.
_STORM = 12
_RUNS = 3
# Seconds. A tool that waits longer and longer after each 429 needs minutes.
_TIMEOUT = 600
_LIST, _FETCH = "/data-plane/*/vectors/list", "/data-plane/*/vectors/fetch"


@dataclass(frozen=True)
class Shape:
    """An index to copy.

    Attributes:
        records: Its records by namespace.
        fields: The fields of the index.
    """

    records: Rows
    fields: dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """What a tool did under a fault.

    Attributes:
        tool: The tool.
        fault: The fault.
        shape: The shape of the index.
        records: The records of the index.
        lost: Records that the copy lacks.
        altered: Records with other values, sparse values or metadata.
        doubled: Records that the copy has more than once.
        unknown: Records of the copy whose namespace and id the index does not have.
        failed: Whether the last run of the tool said that it failed.
    """

    tool: str
    fault: str
    shape: str
    records: int
    lost: int
    altered: int
    doubled: int
    unknown: int
    failed: bool

    @property
    def is_silent(self) -> bool:
        """Whether the copy is wrong although the tool said that it succeeded."""
        return not self.failed and bool(self.lost or self.altered or self.doubled or self.unknown)


class Run:
    """Runs of one tool that copy one index into one folder.

    Args:
        tool: The name of the tool.
        emulator: The emulator, whose index is `bench`.
        folder: The folder.
        seed: Chooses when a run is killed.
    """

    def __init__(self, tool: str, emulator: Emulator, folder: Path, seed: int) -> None:
        """Store the arguments; nothing runs yet."""
        self.tool = tool
        self.emulator = emulator
        self.folder = folder
        self.seed = seed

    def start(self) -> subprocess.Popen[bytes]:
        """Start the tool."""
        script = str(Path(__file__).with_name("copy_competitors.py"))
        arguments = [self.tool, self.emulator.url, KEY, INDEX, str(self.folder)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [sys.executable, "-W", "ignore", script, *arguments]
        return subprocess.Popen(command, start_new_session=True, **quiet)  # type: ignore[call-overload,no-any-return]

    def to_its_end(self) -> bool:
        """Run the tool until it succeeds, at most three times, and return whether it did."""
        return any(_ended(self.start()) for _ in range(_RUNS))


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        return process.wait(_TIMEOUT) == 0
    except subprocess.TimeoutExpired:
        _kill(process)
        return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a tool, with the processes that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _storm(run: Run) -> bool:
    text = f"Request failed. You've reached the max {{}} requests per second for index {INDEX}."
    for path, what in ((_LIST, "list"), (_FETCH, "fetch")):
        run.emulator.fault("GET", path, nth=2, times=_STORM, status=429, body=text.format(what))
    return run.to_its_end()


def _empty_page(run: Run) -> bool:
    """Return an empty page with a token that continues where the page would have begun."""
    tokens: list[str] = []

    def change(answer: Any) -> Any:
        tokens.append(answer.get("pagination", {}).get("next", ""))
        if len(tokens) == 2:
            return {**answer, "vectors": [], "pagination": {"next": tokens[0]}}
        return answer

    run.emulator.fault("GET", _LIST, times=None, change_answer=change)
    return run.to_its_end()


def _omitted_ids(run: Run) -> bool:
    def change(answer: Any) -> Any:
        return {**answer, "vectors": dict(list(answer["vectors"].items())[3:])}

    run.emulator.fault("GET", _FETCH, nth=2, change_answer=change)
    return run.to_its_end()


def _truncated_body(run: Run) -> bool:
    run.emulator.fault("GET", _FETCH, nth=2, drop="during")
    run.emulator.fault("GET", _LIST, nth=2, drop="during")
    return run.to_its_end()


def _killed(run: Run) -> bool:
    """Kill the tool while a request hangs, the number of which is chosen by the seed, and run it again."""
    fault = run.emulator.fault("*", "*", nth=random.Random(run.seed).randint(2, 8), hang="before")  # noqa: S311
    process = run.start()
    while process.poll() is None:
        with suppress(TimeoutError):
            fault.wait(0.2)
            _kill(process)
    run.emulator.release()
    return run.to_its_end()


def _twice_at_once(run: Run) -> bool:
    processes = [run.start(), run.start()]
    ended = [_ended(process) for process in processes]
    return all(ended)


FAULTS: dict[str, Callable[[Run], bool]] = {
    "none": Run.to_its_end,
    "429 storm": _storm,
    "empty page with a token": _empty_page,
    "fetch omits ids once": _omitted_ids,
    "truncated body": _truncated_body,
    "SIGKILL, run again": _killed,
    "two runs at once": _twice_at_once,
}


def _records(ids: Iterable[str], metadata: Callable[[int], Any] = lambda n: {"n": n}, seed: int = 0) -> list[Record]:
    """Return dense records. Their values have random bits, as far as they are finite numbers."""
    generator = np.random.default_rng(seed)
    records: list[Record] = []
    for n, record_id in enumerate(ids):
        values = generator.integers(0, 2**32, DIMENSION, dtype=np.uint32).view(np.float32)
        values = np.where(np.isfinite(values), values, np.float32(0.1))
        values[0] = np.float32(n + 1) / np.float32(3)
        records.append({"id": record_id, "values": values.tolist(), "metadata": metadata(n)})
    return records


def _ids(count: int = COUNT) -> list[str]:
    return [f"id-{n:05}" for n in range(count)]


def _odd_ids() -> list[str]:
    odd = [
        "a/b",
        "a%2Fb",
        "a b",
        "a+b",
        "a&ids=b",
        "a#b",
        "a?b",
        "a,b",
        '"',
        "'",
        "\\",
        "..",
        "\x01",
        "\x7f",
        "\n",
        "=",
    ]
    return [*odd, *(f"{text}{n}" for n in range(COUNT // 10) for text in odd), "x" * 512, "1", "01", "1.0", "null"]


def _sparse(n: int) -> Record:
    return {"indices": [n, 2**31 + n, 2**32 - 1], "values": [0.1 * (n + 1), -1e-7, 3.0]}


def _mixed(n: int) -> Record:
    values = [1, 1.5, "1", True, ["a", "b"], 2**53, 1e300, "", "true", [""]]
    return {"x": values[n % len(values)], **({"y": n} if n % 2 else {})}


def _key_metadata(n: int) -> Record:
    keys = ["id", "values", "__filename", "sparse_values", "metadata", "vector", "", "schlüssel"]
    return {key: f"{key} {n}" for key in keys}


def shapes() -> dict[str, Shape]:
    """Return the shapes by name."""
    dense: dict[str, Any] = {"dimension": DIMENSION, "metric": "cosine"}
    hybrid = [
        {**record, **({"sparseValues": _sparse(n)} if n % 2 else {})} for n, record in enumerate(_records(_ids()))
    ]
    sparse = [{"id": i, "sparseValues": _sparse(n), "metadata": {"n": n}} for n, i in enumerate(_ids())]
    identical = [{**record, "values": [0.5] * DIMENSION} for record in _records(_ids())]
    names = ["", "a/b", "a_b", "x y", "default"]
    return {
        "plain": Shape({"": _records(_ids())}, dense),
        "odd ids": Shape({"": _records(_odd_ids())}, dense),
        "sparse": Shape({"": sparse}, {"vector_type": "sparse", "metric": "dotproduct", "dimension": None}),
        "hybrid": Shape({"": hybrid}, {**dense, "metric": "dotproduct"}),
        "identical vectors": Shape({"": identical}, dense),
        "metadata of 40 kB": Shape({"": _records(_ids(), lambda n: {"text": f"{n:05}" * 7900})}, dense),
        "metadata keys": Shape({"": _records(_ids(), _key_metadata)}, dense),
        "namespaces": Shape({name: _records(_ids(), seed=n) for n, name in enumerate(names)}, dense),
        "mixed types": Shape({"": _records(_ids(), _mixed)}, dense),
        "no metadata": Shape({"": _records(_ids(), lambda n: {"n": n} if n % 2 else None)}, dense),
    }


def measure(tool: str, fault: str, shape_name: str, shape: Shape, seed: int = 0) -> Cell:
    """Copy an index with a tool under a fault, and compare the copy with the index."""
    with Emulator(KEY) as emulator, tempfile.TemporaryDirectory() as folder:
        emulator.add_index(INDEX, records=0, **shape.fields)
        for namespace, records in shape.records.items():
            emulator.add_records(INDEX, records, namespace)
        expected = {name: list(emulator.records(INDEX, name).values()) for name in emulator.namespaces(INDEX)}
        succeeded = FAULTS[fault](Run(tool, emulator, Path(folder), seed))
        counts = compare(expected, TOOLS[tool].read_back(Path(folder)))
    return Cell(tool, fault, shape_name, sum(map(len, expected.values())), *counts, failed=not succeeded)


def compare(expected: Rows, found: Rows) -> tuple[int, int, int, int]:
    """Return how many records are lost, altered, doubled and unknown."""
    wanted = {(name, record["id"]): canonical(record) for name, records in expected.items() for record in records}
    seen: Counter[tuple[str, str]] = Counter()
    altered: set[tuple[str, str]] = set()
    for name, records in found.items():
        for record in records:
            place = (name, record["id"])
            seen[place] += 1
            if place in wanted and canonical(record) != wanted[place]:
                altered.add(place)
    doubled = sum(count > 1 for place, count in seen.items() if place in wanted)
    return len(wanted.keys() - seen.keys()), len(altered), doubled, sum(seen[p] for p in seen.keys() - wanted.keys())


def canonical(record: Record) -> tuple[bytes, bytes, str]:
    """Return the content of a record: the bits of its values, those of its sparse values, and typed metadata."""
    sparse = record.get("sparseValues") or {"indices": [], "values": []}
    indices = np.array(sparse["indices"], np.uint32).tobytes()
    metadata = {name: _typed(value) for name, value in (record.get("metadata") or {}).items()}
    return _bits(record.get("values")), indices + _bits(sparse["values"]), json.dumps(metadata, sort_keys=True)


def _bits(values: Any) -> bytes:
    # JSON has no sign for a zero that is written as -0, so -0 and 0 are equal.
    with np.errstate(over="ignore"):
        return (np.array(values if values is not None else [], np.float32) + np.float32(0)).tobytes()


def _typed(value: Any) -> Any:
    # The service stores each number as a double, so 1 and 1.0 are equal; True and "1" are others.
    return float(value) if type(value) is int else value


def document(cells: Sequence[Cell]) -> str:
    """Return the cells as tables: the totals of each tool, and lost / altered / doubled / unknown of each cell."""
    tools = list(dict.fromkeys(cell.tool for cell in cells))
    by_place = {(cell.fault, cell.shape, cell.tool): cell for cell in cells}
    lines = [
        "| tool | copies | wrong, and not failed | failed | lost | altered | doubled | unknown |",
        "| --- |" + " ---: |" * 7,
    ]
    for tool in tools:
        own = [cell for cell in cells if cell.tool == tool]
        sums = [sum(numbers) for numbers in zip(*((c.is_silent, c.failed, *_counts(c)) for c in own), strict=True)]
        lines.append(f"| {tool} | {len(own)} | {' | '.join(f'{number:,}' for number in sums)} |")
    lines += [
        "",
        "Records lost / altered / doubled / unknown. **Bold**: wrong, and the tool said that it succeeded.",
        "",
        f"| fault | index | {' | '.join(tools)} |",
        f"| --- | --- |{' ---: |' * len(tools)}",
    ]
    for fault, shape in dict.fromkeys((cell.fault, cell.shape) for cell in cells):
        texts = [_text(by_place[fault, shape, tool]) for tool in tools]
        lines.append(f"| {fault} | {shape} | {' | '.join(texts)} |")
    return "\n".join([*lines, ""])


def _counts(cell: Cell) -> tuple[int, int, int, int]:
    return cell.lost, cell.altered, cell.doubled, cell.unknown


def _text(cell: Cell) -> str:
    counts = " / ".join(map(str, _counts(cell)))
    return f"{counts}, failed" if cell.failed else f"**{counts}**" if cell.is_silent else counts


def main() -> int:
    """Measure each cell, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = shapes()
    parser.add_argument("--tools", nargs="*", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--faults", nargs="*", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--shapes", nargs="*", choices=known, default=list(known))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cells = []
    for fault in options.faults:
        for shape in options.shapes:
            for tool in options.tools:
                cells.append(measure(tool, fault, shape, known[shape], options.seed))
                print(cells[-1], file=sys.stderr, flush=True)
    print(document(cells))
    if len(cells) == len(TOOLS) * len(FAULTS) * len(known):
        write(cells)
    return 0


def write(cells: Sequence[Cell]) -> None:
    """Write the cells and their tables into the documentation."""
    content = json.dumps([asdict(cell) for cell in cells], indent=2) + "\n"
    (DOCS / "copies-matrix.json").write_text(content, encoding="utf-8")
    (DOCS / "copies-matrix.md").write_text(document(cells), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
