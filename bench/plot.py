"""Plot the results of `make bench`: requests and CPU against the number of pending waits."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from table import COUNTS, Results, figure

_LABELS = {
    "loop": "@task, SDK, sleep loop",
    "sensor": "@task.sensor, SDK, reschedule",
    "separate": "one poll for each wait",
    "shared": "this package",
}


def plot(results: Results, path: Path) -> None:
    """Write the plot.

    Args:
        results: The results.
        path: The SVG file.
    """
    canvas = Figure(figsize=(9, 3.8), layout="constrained")
    FigureCanvasSVG(canvas)
    requests, cpu = canvas.subplots(1, 2)
    for way, label in _LABELS.items():
        measured = [count for count in COUNTS if figure(results, "pending", way, count, "requests") is not None]
        counts = [int(count) for count in measured]
        requests.plot(counts, [figure(results, "pending", way, n, "requests") for n in measured], "o-", label=label)
        seconds = [
            sum(figure(results, "pending", way, n, "cpu", part) for part in ("worker", "triggerer")) for n in measured
        ]
        cpu.plot(counts, seconds, "o-", label=label)
    for axes, title in ((requests, "Requests a minute"), (cpu, "CPU seconds a minute, workers and triggerer")):
        axes.set(title=title, xlabel="pending waits", xscale="log", yscale="log")
        axes.grid(visible=True, alpha=0.3)
    requests.legend(fontsize="small")
    # Without a date, the same results give the same file.
    canvas.savefig(path, metadata={"Date": None})
