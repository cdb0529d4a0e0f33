"""Cells of the matrix of copies that would be wrong without a failure of the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from copies import INDEX, KEY, Figures, measure
from copies import document as figures_table
from copy_competitors import TOOLS
from copy_matrix import Cell, canonical, compare, document, shapes
from copy_matrix import measure as measure_cell

from airflow_pinecone.emulator import Emulator

RECORD: dict[str, Any] = {"id": "a", "values": [0.1, 0.2], "metadata": {"n": 1}}
SPARSE: dict[str, Any] = {"indices": [1, 2], "values": [0.5, 0.25]}
CELL = Cell("sdk", "none", "plain", 250, 0, 0, 0, 0, failed=False)


@pytest.mark.parametrize(
    "same",
    [
        {"values": [0.10000000149011612, 0.2]},
        {"metadata": {"n": 1.0}},
        {"sparseValues": None},
        {"sparseValues": {"indices": [], "values": []}},
    ],
)
def test_records_that_are_equal(same: Any) -> None:
    assert canonical(RECORD | same) == canonical(RECORD)


@pytest.mark.parametrize(
    "other",
    [
        {"values": [0.1, 0.20000002]},
        {"values": [0.2, 0.1]},
        {"values": None},
        {"metadata": {"n": True}},
        {"metadata": {"n": "1"}},
        {"metadata": {"n": [1]}},
        {"metadata": {"n": 1, "m": ""}},
        {"metadata": None},
        {"sparseValues": SPARSE},
    ],
)
def test_records_that_differ(other: Any) -> None:
    assert canonical(RECORD | other) != canonical(RECORD)


@pytest.mark.parametrize("other", [{"indices": [1, 3]}, {"values": [0.5, 0.26]}])
def test_sparse_values_that_differ(other: Any) -> None:
    assert canonical({"id": "a", "sparseValues": SPARSE | other}) != canonical({"id": "a", "sparseValues": SPARSE})


def test_what_a_copy_has_wrong_is_counted() -> None:
    expected = {"": [RECORD | {"id": i} for i in "abcd"], "n": [RECORD]}
    found = {"": [RECORD, RECORD, RECORD | {"id": "b", "values": [0, 0]}, RECORD | {"id": "z"}], "m": [RECORD]}
    # c, d and the record of n are lost; b is altered; a is doubled; z and the record of m are unknown.
    assert compare(expected, found) == (3, 1, 1, 2)
    assert compare(expected, expected) == (0, 0, 0, 0)


def test_minus_zero_is_zero() -> None:
    assert canonical({"id": "a", "values": [-0.0]}) == canonical({"id": "a", "values": [0.0]})


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (CELL, "| 0 / 0 / 0 / 0 |"),
        (replace(CELL, lost=1), "| **1 / 0 / 0 / 0** |"),
        (replace(CELL, lost=1, failed=True), "| 1 / 0 / 0 / 0, failed |"),
    ],
)
def test_a_wrong_copy_is_bold_if_the_tool_did_not_say_so(cell: Cell, text: str) -> None:
    assert text in document([cell])


@pytest.mark.parametrize("shape", shapes())
def test_the_emulator_accepts_each_shape(shape: str) -> None:
    with Emulator(KEY) as emulator:
        emulator.add_index(INDEX, records=0, **shapes()[shape].fields)
        for namespace, records in shapes()[shape].records.items():
            emulator.add_records(INDEX, records, namespace)
            # The faults are in the second of three pages.
            assert len(emulator.records(INDEX, namespace)) > 200
            assert compare({"": records}, {"": list(emulator.records(INDEX, namespace).values())}) == (0, 0, 0, 0)


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_copies_a_plain_index(tool: str) -> None:
    cell = measure_cell(tool, "none", "plain", shapes()["plain"])
    assert cell == replace(CELL, tool=tool)


@pytest.mark.parametrize(
    ("tool", "fault", "shape", "wrong"),
    [
        ("sdk", "none", "sparse", {"altered": 250}),
        ("sdk", "fetch omits ids once", "plain", {"lost": 3}),
        ("vts", "empty page with a token", "plain", {"lost": 150}),
        ("vts", "none", "hybrid", {"altered": 125}),
        ("vector-io", "none", "metadata keys", {"altered": 250, "unknown": 250}),
    ],
)
def test_what_other_tools_get_wrong(tool: str, fault: str, shape: str, wrong: Any) -> None:
    cell = measure_cell(tool, fault, shape, shapes()[shape])
    assert cell == replace(CELL, tool=tool, fault=fault, shape=shape, **wrong)
    assert cell.is_silent


def test_a_killed_tool_is_run_again() -> None:
    cell = measure_cell("sdk", "SIGKILL, run again", "plain", shapes()["plain"], seed=1)
    assert cell == replace(CELL, fault="SIGKILL, run again")


@pytest.mark.parametrize("fault", ["fetch omits ids once", "SIGKILL, run again"])
@pytest.mark.parametrize("shape", ["namespaces", "hybrid"])
def test_this_package_copies_each_record(fault: str, shape: str) -> None:
    cell = measure_cell("package", fault, shape, shapes()[shape])
    count = sum(map(len, shapes()[shape].records.values()))
    assert cell == replace(CELL, tool="package", fault=fault, shape=shape, records=count)


@pytest.mark.parametrize("tool", ["package", "sdk"])
def test_figures_of_a_copy(tool: str) -> None:
    with Emulator(KEY) as emulator:
        emulator.add_index(INDEX, records=0, dimension=8)
        emulator.generate_records(INDEX, 200)
        figures = measure(tool, emulator.url, 200, 8, 0.0)
    assert not figures.failed
    assert figures.seconds > 0
    assert figures.cpu > 0
    assert figures.peak_mib > 10
    assert figures.written_bytes > 200 * 8 * 4


def test_table_of_figures() -> None:
    good = Figures("sdk", 0.075, 20_000, 768, 10.0, 5.0, 100.0, 2_000_000, failed=False)
    assert "| 20,000 | 768 | 75 | sdk | 2,000 | 5.0 | 100 | 2.0 |" in figures_table([good])
    assert "| 75 | sdk | failed |" in figures_table([replace(good, failed=True)])


def test_totals_of_a_tool() -> None:
    text = document([CELL, replace(CELL, shape="a", lost=2), replace(CELL, shape="b", lost=3, failed=True)])
    assert "| sdk | 3 | 1 | 1 | 5 | 0 | 0 | 0 |" in text


def test_an_empty_copy_has_no_manifest(tmp_path: Path) -> None:
    assert TOOLS["package"].read_back(tmp_path) == {}
