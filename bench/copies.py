"""Copy an index with each tool, and measure the speed, the CPU, the memory and the bytes.

`make bench-copies` runs it. The emulator is a process of its own, and so is each tool: its CPU and its memory are its
own. RECORDS=1000000 copies more records.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from copy_competitors import TOOLS

KEY, INDEX = "bench-key-1", "bench"
RECORDS, DIMENSION = 20_000, 768
# About the time that a request to another region takes, and none.
LATENCIES = (0.075, 0.0)


@dataclass(frozen=True)
class Figures:
    """What a copy took.

    Attributes:
        tool: The tool.
        latency: The seconds that the emulator adds to each response.
        records: The records of the index.
        seconds: The time from the start of the process to its end.
        cpu: Its CPU time in seconds.
        peak_mib: The most memory that it had, in MiB.
        written_bytes: The size of the files of the copy.
        failed: Whether it said that it failed.
    """

    tool: str
    latency: float
    records: int
    seconds: float
    cpu: float
    peak_mib: float
    written_bytes: int
    failed: bool

    @property
    def records_per_second(self) -> float:
        """The records of the index for each second."""
        return self.records / self.seconds


def measure(tool: str, url: str, records: int, latency: float) -> Figures:
    """Copy the index of an emulator with a tool."""
    script = str(Path(__file__).with_name("copy_competitors.py"))
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        process = subprocess.Popen([sys.executable, "-W", "ignore", script, tool, url, KEY, INDEX, folder])
        # Only this call returns the resources of one process; those of all children have the peak of the largest.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    return Figures(tool, latency, records, seconds, cpu, peak, written, process.returncode != 0)


@contextmanager
def emulator(records: int, dimension: int, latency: float) -> Iterator[str]:
    """Run an emulator with an index of generated records, and yield its URL."""
    command = [sys.executable, "-m", "airflow_pinecone.emulator", "--port", "0", "--api-key", KEY, "--index", INDEX]
    command += ["--seed-records", str(records), "--dimension", str(dimension), "--latency", str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield next(iter(process.stdout or ())).split()[-1]
    finally:
        process.terminate()
        process.communicate()


def document(figures: list[Figures]) -> str:
    """Return the figures as a table."""
    lines = [
        "| latency, ms | tool | records/s | CPU seconds | peak memory, MiB | MB written |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for each in figures:
        speed = "failed" if each.failed else f"{each.records_per_second:,.0f}"
        numbers = f"{each.cpu:,.1f} | {each.peak_mib:,.0f} | {each.written_bytes / 10**6:,.1f}"
        lines.append(f"| {each.latency * 1000:.0f} | {each.tool} | {speed} | {numbers} |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Measure each tool, and print the table and, as JSON, the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=int(os.environ.get("RECORDS") or RECORDS))
    parser.add_argument("--dimension", type=int, default=DIMENSION)
    parser.add_argument("--tools", nargs="*", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    figures = []
    for latency in LATENCIES:
        for tool in options.tools:
            with emulator(options.records, options.dimension, latency) as url:
                figures.append(measure(tool, url, options.records, latency))
            print(figures[-1], file=sys.stderr, flush=True)
    print(document(figures))
    if options.json:
        content = {
            "dimension": options.dimension,
            "python": sys.version.split()[0],
            "copies": [asdict(f) for f in figures],
        }
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return int(any(each.failed for each in figures))


if __name__ == "__main__":
    sys.exit(main())
