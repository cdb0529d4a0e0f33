"""The results of `make bench` as tables. A figure that was not measured is an empty cell with a reason below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

WAYS = {
    "loop": "`@task` with the SDK and a sleep loop",
    "sensor": "`@task.sensor` in reschedule mode with the SDK",
    "separate": "a trigger for each wait that polls by itself",
    "shared": "this package",
}
COUNTS = ("1", "50", "500")

Results = Mapping[str, Any]


class Reach(NamedTuple):
    """A figure with a target.

    Attributes:
        name: What it is.
        separate: Its value with one poll for each wait; None if it was not measured.
        shared: Its value with this package.
        target: The most that it may be; None if there is none.
    """

    name: str
    separate: float | None
    shared: float | None
    target: float | None

    @property
    def met(self) -> str:
        """Whether the target is met: ``yes``, ``no``, or nothing if that is unknown."""
        if self.shared is None or self.target is None:
            return ""
        return "yes" if self.shared <= self.target else "**no**"


def figure(results: Results, *path: str) -> Any:
    """Return a figure of the results, or None if it was not measured.

    Args:
        results: The results.
        path: The keys that lead to it.
    """
    value: Any = results
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def ratio(part: float | None, whole: float | None, less: float | None = 0.0) -> float | None:
    """Divide two figures.

    Args:
        part: The first one.
        whole: The second one.
        less: What is subtracted from both before.

    Returns:
        The ratio; None if a figure was not measured, or if nothing is left to divide by.
    """
    if part is None or whole is None or less is None or whole - less <= 0:
        return None
    return (part - less) / (whole - less)


def memory_per_wait(results: Results, way: str) -> float | None:
    """Return the KiB of the triggerer's memory that each wait takes: from the difference of 1 and 500 waits."""
    few, many = (figure(results, "pending", way, count, "mib") for count in ("1", "500"))
    return None if few is None or many is None else (many - few) * 1024 / 499


def shown(value: Any) -> str:
    """Format a figure with the digits that it can have."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def costs(results: Results) -> str:
    """Return the table of all ways to wait, side by side."""

    def row(name: str, path: tuple[str, ...], last: tuple[str, ...] = ()) -> list[str]:
        values = [figure(results, path[0], way, *path[1:]) for way in WAYS]
        more = [figure(results, last[0], way, *last[1:]) if last else None for way in WAYS]
        pairs = zip(values, more, strict=True)
        return [name, *(shown(value) + (f" ({shown(extra)})" if extra is not None else "") for value, extra in pairs)]

    def parse(name: str, unit: str) -> list[str]:
        floor, ours = (shown(figure(results, "parse", case, unit)) for case in ("airflow", "backup"))
        return [name, floor, floor, ours, ours]

    rows = [
        parse("parsing the DAG file: ms of CPU", "cpu_ms"),
        parse("parsing the DAG file: MiB", "mib"),
        row("requests to create a backup and wait for it", ("single", "requests")),
        row(
            "seconds from Ready to the next task: median (longest)",
            ("single", "delay", "median"),
            ("single", "delay", "max"),
        ),
        row("backups made if one response is lost", ("lost_answers", "1")),
        row("backups made if two responses are lost", ("lost_answers", "2")),
    ]
    for count in COUNTS:
        name = f"{count} pending: "
        rows += [
            row(name + "requests a minute", ("pending", count, "requests")),
            row(name + "connections opened a minute", ("pending", count, "connections")),
            row(name + "worker slots held", ("pending", count, "slots")),
            row(name + "CPU seconds a minute, workers", ("pending", count, "cpu", "worker")),
            row(name + "CPU seconds a minute, triggerer", ("pending", count, "cpu", "triggerer")),
            row(name + "CPU seconds a minute, scheduler", ("pending", count, "cpu", "scheduler")),
            row(name + "CPU seconds a minute, API server", ("pending", count, "cpu", "api-server")),
            row(name + "MiB of memory of the tasks or of the triggerer", ("pending", count, "mib")),
        ]
    missing = [f"- {text}" for text in results.get("missing", [])]
    notes = ["", "Not measured:", "", *missing] if missing else []
    return "\n".join([table(["", *WAYS.values()], rows), *notes])


def reaches(results: Results) -> list[Reach]:
    """Return the figures with targets."""

    def both(name: str, *path: str, section: str = "pending", target: float | None) -> Reach:
        separate, shared = (figure(results, section, way, *path) for way in ("separate", "shared"))
        return Reach(name, separate, shared, target)

    def cpu(way: str) -> Any:
        return figure(results, "pending", way, "500", "cpu", "triggerer")

    idle = [figure(results, "idle", way, "cpu", "triggerer") for way in ("separate", "shared")]
    few = figure(results, "pending", "separate", "1", "requests")
    net = [
        None if None in (cpu(way), less) else cpu(way) - less
        for way, less in zip(("separate", "shared"), idle, strict=True)
    ]
    hanging = figure(results, "hanging", "shared", "waits")
    return [
        # The project has 500 backups, which are 5 pages.
        both("500 pending: requests a round", "500", "per_round", target=5),
        both("500 pending: requests a minute", "500", "requests", target=65),
        # A round more or less may fall into the time that is measured.
        both("1 pending: requests a minute", "1", "requests", target=None if few is None else few * 1.1),
        Reach("500 pending: CPU of the triggerer, as a ratio", 1.0, ratio(cpu("shared"), cpu("separate")), 0.2),
        Reach("the same, net of an idle triggerer", 1.0, ratio(net[1], net[0]), 0.15),
        both("500 pending: seconds until each was polled once", "500", "first_answers", target=15),
        both("500 pending: CPU seconds of the triggerer until then", "500", "start_triggerer_cpu", target=None),
        both("500 pending: connections read at the start", "500", "start_reads", target=3),
        both("500 pending: connections opened at the start", "500", "start_connections", target=5),
        both("500 pending: connections opened a minute", "500", "connections", target=5),
        Reach(
            "KiB of memory for each wait", memory_per_wait(results, "separate"), memory_per_wait(results, "shared"), 50
        ),
        both("500 pending: longest seconds from Ready to the event", "500", "end_delay", "max", target=10),
        both("500 pending: longest foreign look-up in seconds", "500", "lookup", target=1),
        both("500 pending: longest delay of the event loop in seconds", "500", "loop_late", target=None),
        both(
            f"Pinecone hangs, {hanging} waits: longest seconds after the deadline", "late", section="hanging", target=20
        ),
        both("Pinecone hangs: longest foreign look-up in seconds", "lookup", section="hanging", target=1),
        both("Pinecone hangs: longest delay of the event loop in seconds", "loop_late", section="hanging", target=None),
        both(
            "Pinecone hangs: longest seconds from Ready to the event of another connection",
            "other_end_delay",
            section="hanging",
            target=10,
        ),
    ]


def targets(results: Results) -> str:
    """Return the table of the figures with targets."""
    rows = [
        [reach.name, shown(reach.separate), shown(reach.shared), shown(reach.target), reach.met]
        for reach in reaches(results)
    ]
    return table(["", WAYS["separate"], WAYS["shared"], "at most", "met"], rows)


def parsing(results: Results) -> str:
    """Return the table of what a DAG file pays for its imports."""
    names = {
        "airflow": "Airflow's `BaseOperator` alone",
        "official": "the official Pinecone provider's operator",
        "backup": "`CreateBackupOperator` and `BackupSensor`",
        "all": "all operators and sensors of this package",
    }
    rows = [
        [name, *(shown(figure(results, "parse", case, unit)) for unit in ("cpu_ms", "mib"))]
        for case, name in names.items()
    ]
    return table(["Imports of the DAG file", "ms of CPU", "MiB"], rows)


def document(results: Results) -> str:
    """Return all tables, for the terminal and the documentation."""
    return "\n\n".join([costs(results), targets(results), parsing(results)]) + "\n"
