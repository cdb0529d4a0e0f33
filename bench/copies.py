"""Copy an index with each tool, and measure the speed, the CPU, the memory and the bytes.

`make bench-copies` runs it. The emulator is a process of its own, and so is each tool: its CPU and its memory are its
own. RECORDS=2000 copies fewer records, and writes no results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from copy_competitors import TOOLS

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
KEY, INDEX = "bench-key-1", "bench"
RECORDS, DIMENSION = 20_000, 768
# About the time that a request to another region takes, and none.
LATENCIES = (0.075, 0.0)
# What only this package copies: numbers of records, dimensions and latencies.
SIZES = ((100_000, 768, 0.075), (1_000_000, 768, 0.0), (20_000, 1536, 0.0), (100_000, 1536, 0.0))


@dataclass(frozen=True)
class Figures:
    """What a copy took.

    Attributes:
        tool: The tool.
        latency: The seconds that the emulator adds to each response.
        records: The records of the index.
        dimension: Its dimension.
        seconds: The time from the start of the process to its end.
        cpu: Its CPU time in seconds, with that of the processes that it has started.
        peak_mib: The most memory that one of these processes had, in MiB.
        written_bytes: The size of the files of the copy.
        failed: Whether it said that it failed.
    """

    tool: str
    latency: float
    records: int
    dimension: int
    seconds: float
    cpu: float
    peak_mib: float
    written_bytes: int
    failed: bool

    @property
    def records_per_second(self) -> float:
        """The records of the index for each second."""
        return self.records / self.seconds


def measure(tool: str, url: str, records: int, dimension: int, latency: float) -> Figures:
    """Copy the index of an emulator with a tool."""
    script = str(Path(__file__).with_name("copy_competitors.py"))
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        process = subprocess.Popen([sys.executable, "-W", "ignore", script, tool, url, KEY, INDEX, folder])
        # Only this call returns the resources of one process, and of those that it has started.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    return Figures(tool, latency, records, dimension, seconds, cpu, peak, written, process.returncode != 0)


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


def document(figures: Sequence[Figures]) -> str:
    """Return the figures as a table."""
    lines = [
        "| records | dimension | latency, ms | tool | records/s | CPU seconds | peak memory, MiB | MB written |",
        "| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for each in figures:
        speed = "failed" if each.failed else f"{each.records_per_second:,.0f}"
        index = f"{each.records:,} | {each.dimension:,} | {each.latency * 1000:.0f}"
        numbers = f"{each.cpu:,.1f} | {each.peak_mib:,.0f} | {each.written_bytes / 10**6:,.1f}"
        lines.append(f"| {index} | {each.tool} | {speed} | {numbers} |")
    return "\n".join([*lines, ""])


def plot(figures: Sequence[Figures], path: Path) -> None:
    """Plot the records a second of each tool, for each latency, into an SVG file."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(9, 3), layout="constrained")
    FigureCanvasSVG(canvas)
    for axes, latency in zip(canvas.subplots(1, len(LATENCIES)), LATENCIES, strict=True):
        measured = [each for each in figures if (each.latency, each.records) == (latency, RECORDS)]
        measured = [each for each in measured if each.dimension == DIMENSION and not each.failed]
        bars = axes.barh([each.tool for each in measured], [each.records_per_second for each in measured])
        axes.bar_label(bars, fmt="{:,.0f}", padding=3)
        axes.set(title=f"Records/s, latency {latency * 1000:.0f} ms")
        axes.margins(x=0.2)
        axes.invert_yaxis()
    # Without a date, the same figures give the same file.
    canvas.savefig(path, metadata={"Date": None})


def write(figures: Sequence[Figures]) -> None:
    """Write the figures, their table and their plot into the documentation."""
    content = {"python": sys.version.split()[0], "copies": [asdict(each) for each in figures]}
    (DOCS / "copies.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (DOCS / "copies-speed.md").write_text(document(figures), encoding="utf-8")
    plot(figures, DOCS / "copies.svg")


def main() -> int:
    """Measure each tool, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=int(os.environ.get("RECORDS") or RECORDS))
    parser.add_argument("--tools", nargs="*", choices=TOOLS, default=list(TOOLS))
    options = parser.parse_args()
    is_published = options.records == RECORDS and options.tools == list(TOOLS)
    runs = [(tool, options.records, DIMENSION, latency) for latency in LATENCIES for tool in options.tools]
    if is_published:
        runs += [("package", *size) for size in SIZES]
    figures = []
    for tool, records, dimension, latency in runs:
        with emulator(records, dimension, latency) as url:
            figures.append(measure(tool, url, records, dimension, latency))
        print(figures[-1], file=sys.stderr, flush=True)
    print(document(figures))
    if is_published:
        write(figures)
    return int(any(each.failed for each in figures))


if __name__ == "__main__":
    sys.exit(main())
