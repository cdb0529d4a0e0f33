"""The parts of `make bench` that start no processes."""

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from bench_airflow import _cpu, _memory, _tree, create_certificate
from control_plane import API_KEY, ControlPlane
from table import COUNTS, Reach, costs, document, figure, memory_per_wait, ratio, reaches, shown, targets
from waits import _time_of, lookups


def pending(requests: float, cpu: float, mib: float = 300.0) -> dict[str, Any]:
    parts = {"worker": 0.0, "triggerer": cpu, "scheduler": 8.0, "api-server": 0.1}
    return {"requests": requests, "connections": 0.0, "slots": 0.0, "cpu": parts, "mib": mib, "start_reads": 3}


RESULTS: dict[str, Any] = {
    "parse": {"airflow": {"cpu_ms": 1.0, "mib": 0.5}, "backup": {"cpu_ms": 4.0, "mib": 2.0}},
    "single": {"loop": {"requests": 5, "delay": {"median": 3.0, "max": 4.5}}},
    "lost_answers": {"loop": {"1": 2, "2": 3}, "shared": {"1": 1, "2": 1}},
    "idle": {"separate": {"cpu": {"triggerer": 1.0}}, "shared": {"cpu": {"triggerer": 1.0}}},
    "pending": {
        "loop": {"1": pending(12, 0)},
        "sensor": {"1": None},
        "separate": {"1": pending(12, 1), "500": pending(6000, 11, 399.8)},
        "shared": {"1": pending(13, 1), "500": pending(60, 2, 324.95)},
    },
    "missing": ["500 waits with a sleep loop: no memory."],
}


def row(table: str, name: str) -> list[str]:
    [line] = [line for line in table.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_all_ways_stand_side_by_side() -> None:
    table = costs(RESULTS)
    assert row(table, "500 pending: requests a minute") == ["", "", "6,000", "60"]
    assert row(table, "1 pending: requests a minute") == ["12", "", "12", "13"]
    assert row(table, "backups made if two responses are lost") == ["3", "", "", "1"]
    assert row(table, "seconds from Ready to the next task: median (longest)") == ["3.00 (4.50)", "", "", ""]
    assert row(table, "parsing the DAG file: ms of CPU") == ["1.00", "1.00", "4.00", "4.00"]


def test_an_empty_cell_has_a_reason() -> None:
    assert "- 500 waits with a sleep loop: no memory." in costs(RESULTS)
    assert "Not measured" not in costs(RESULTS | {"missing": []})


def test_cpu_is_compared_gross_and_net() -> None:
    by_name = {reach.name: reach for reach in reaches(RESULTS)}
    assert by_name["500 pending: CPU of the triggerer, as a ratio"].shared == pytest.approx(2 / 11)
    assert by_name["the same, net of an idle triggerer"].shared == pytest.approx(0.1)
    assert by_name["KiB of memory for each wait"][1:3] == pytest.approx((204.8, 51.2), rel=0.01)
    assert memory_per_wait(RESULTS, "loop") is None


@pytest.mark.parametrize(
    ("shared", "target", "met"),
    [(65, 65, "yes"), (65.1, 65, "**no**"), (None, 65, ""), (1, None, "")],
)
def test_a_target_is_met_or_not(shared: float | None, target: float | None, met: str) -> None:
    assert Reach("x", 1.0, shared, target).met == met


def test_targets_of_the_results() -> None:
    table = targets(RESULTS)
    assert row(table, "500 pending: connections read at the start") == ["3", "3", "3", "yes"]
    # 13 is at most 1.1 times 12.
    assert row(table, "1 pending: requests a minute")[-1] == "yes"
    assert row(table, "KiB of memory for each wait")[-1] == "**no**"
    assert row(table, "500 pending: connections opened at the start") == ["", "", "5", ""]


def test_what_was_not_measured_is_no_figure() -> None:
    assert figure(RESULTS, "pending", "sensor", "1", "requests") is None
    assert (ratio(None, 2), ratio(1, None), ratio(1, 2, None), ratio(1, 1, 1)) == (None, None, None, None)
    assert ratio(3, 5, 1) == 0.5
    assert costs({})
    assert targets({})


def test_digits() -> None:
    assert [shown(value) for value in (None, "lost", 3, 1234.5, 12.34, 1.234)] == [
        *("", "lost", "3", "1,234", "12.3", "1.23")
    ]


def test_plot_of_partial_results(tmp_path: Path) -> None:
    # Only `make bench` needs it.
    pytest.importorskip("matplotlib")
    from plot import plot

    plot(RESULTS, tmp_path / "plot.svg")
    assert "</svg>" in (tmp_path / "plot.svg").read_text()


def test_published_results_are_complete_and_match_the_table() -> None:
    folder = Path(__file__).parents[2] / "docs" / "benchmarks"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert (folder / "table.md").read_text(encoding="utf-8") == document(results)
    for count in COUNTS:
        assert figure(results, "pending", "shared", count, "requests")


def test_longest_look_up_and_delay_of_the_event_loop() -> None:
    lines = ["90.0 9.0", "101.0 0.01", "102.5 0.5", "109.0 0.25"]
    assert lookups(lines, since=100.0, until=110.0) == pytest.approx({"lookup": 0.5, "loop_late": 5.25})
    # A look-up that has not ended.
    assert lookups(lines[:2], since=100.0, until=131.0)["lookup"] == pytest.approx(29.0)
    assert lookups([], since=100.0, until=100.5) == {"lookup": 0.0, "loop_late": 0.0}


def test_first_answer_in_the_log_of_a_trigger(tmp_path: Path) -> None:
    log = tmp_path / "attempt=1.log.trigger.2.log"
    log.write_text(
        '{"timestamp":"2026-01-01T00:00:00Z","event":"Waiting for backup x"}\n'
        '{"timestamp":"2026-01-01T00:00:05Z","event":"Backup x: its status is Initializing"}\n'
        '{"timestamp":"2026-01-01T00:01:00Z","event":"Backup x: its status is Ready"}\n'
    )
    assert _time_of(log, "its status is") == 1767225605.0
    assert _time_of(log, "was not found") is None


def test_processes_that_have_ended_use_nothing() -> None:
    me = psutil.Process()
    assert _cpu(me) > 0
    assert _memory(me) > 0
    assert _tree(me.pid)[0].pid == me.pid
    assert _tree(2**22 + 1) == []


def test_rounds(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    create_certificate(certificate)
    plane = ControlPlane(str(certificate))
    try:
        get = partial(requests.get, verify=str(certificate), timeout=10)
        headers = {"Api-Key": API_KEY, "X-Pinecone-Api-Version": "2025-10"}
        plane.add_index("docs", ready_after=0.0)
        assert requests.post(
            f"{plane.url()}/indexes/docs/backups", headers=headers, json={}, verify=str(certificate), timeout=10
        ).ok
        assert plane.count_backups("docs") == 1
        plane.forget()
        [pending_id] = plane.pending(1)
        assert plane.count_backups("docs") == 0
        assert get(f"{plane.url()}/backups/{pending_id}", headers=headers).json()["status"] == "Initializing"
        assert plane.rounds(0) is None
        for _ in range(3):
            page = get(f"{plane.url()}/backups", headers=headers, params={"limit": 100}).json()
            token = page["pagination"]["next"]
            get(f"{plane.url()}/backups", headers=headers, params={"limit": 100, "paginationToken": token})
        per_round, per_minute = plane.rounds(0) or (0, 0)
        assert per_round == 2
        assert per_minute > 60
        assert plane.counters() == (7, 8)
        assert plane.described() == 1
        plane.finish(pending_id)
        assert get(f"{plane.url()}/backups/{pending_id}", headers=headers).json()["status"] == "Ready"
    finally:
        plane.stop()
        logging.disable(logging.NOTSET)
