"""Figures of `make bench` that would be wrong without a failure of the run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import requests
from bench_airflow import create_certificate
from control_plane import API_KEY, ControlPlane
from table import COUNTS, Reach, costs, document, figure, memory_per_wait, ratio, reaches, targets
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


@pytest.mark.parametrize(
    ("table", "name", "cells"),
    [
        (costs, "500 pending: requests a minute", ["", "", "6,000", "60"]),
        (costs, "1 pending: requests a minute", ["12", "", "12", "13"]),
        (costs, "backups made if two responses are lost", ["3", "", "", "1"]),
        (costs, "seconds from Ready to the next task: median (longest)", ["3.00 (4.50)", "", "", ""]),
        (costs, "parsing the DAG file: ms of CPU", ["1.00", "1.00", "4.00", "4.00"]),
        (targets, "500 pending: connections read at the start", ["3", "3", "3", "yes"]),
        # 13 is at most 1.1 times 12.
        (targets, "1 pending: requests a minute", ["12", "13", "13.2", "yes"]),
        (targets, "KiB of memory for each wait", ["205", "51.2", "50", "**no**"]),
        (targets, "500 pending: connections opened at the start", ["", "", "5", ""]),
    ],
)
def test_row_of_a_table(table: Any, name: str, cells: list[str]) -> None:
    [line] = [line for line in table(RESULTS).splitlines() if line.startswith(f"| {name} |")]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == cells


def test_an_empty_cell_has_a_reason() -> None:
    assert "- 500 waits with a sleep loop: no memory." in costs(RESULTS)


def test_what_was_not_measured_is_no_figure() -> None:
    assert figure(RESULTS, "pending", "sensor", "1", "requests") is None
    assert memory_per_wait(RESULTS, "loop") is None
    assert (ratio(None, 2), ratio(1, None), ratio(1, 2, None), ratio(1, 1, 1)) == (None, None, None, None)
    assert (Reach("x", 1.0, None, 65).met, Reach("x", 1.0, 1, None).met) == ("", "")


def test_cpu_is_compared_gross_and_net() -> None:
    by_name = {reach.name: reach for reach in reaches(RESULTS)}
    assert by_name["500 pending: CPU of the triggerer, as a ratio"].shared == pytest.approx(2 / 11)
    assert by_name["the same, net of an idle triggerer"].shared == pytest.approx(0.1)


def test_a_target_that_is_reached_exactly_is_met() -> None:
    assert (Reach("x", 1.0, 65, 65).met, Reach("x", 1.0, 65.1, 65).met) == ("yes", "**no**")


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


def test_requests_connections_and_rounds_are_counted(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    create_certificate(certificate)
    plane = ControlPlane(str(certificate))
    try:

        def get(path: str, **params: Any) -> Any:
            headers = {"Api-Key": API_KEY, "X-Pinecone-Api-Version": "2025-10"}
            url = plane.url() + path
            return requests.get(url, params=params, headers=headers, verify=str(certificate), timeout=10).json()

        [pending_id] = plane.pending(1)
        assert get(f"/backups/{pending_id}")["status"] == "Initializing"
        assert plane.rounds(0) is None
        for _ in range(3):
            token = get("/backups", limit=100)["pagination"]["next"]
            get("/backups", limit=100, paginationToken=token)
        per_round, per_minute = plane.rounds(0) or (0, 0)
        assert per_round == 2
        assert per_minute > 60
        assert plane.counters() == (7, 7)
        assert plane.described() == 1
    finally:
        plane.stop()
        logging.disable(logging.NOTSET)
