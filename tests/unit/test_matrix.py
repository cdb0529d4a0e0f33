"""The test matrix: its versions are the same everywhere, and its table shows every result."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml
from matrix_table import table

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def airflows() -> dict[str, list[str]]:
    """Return the Pythons of each Airflow in the noxfile."""
    airflows: dict[str, list[str]] = runpy.run_path(str(ROOT / "noxfile.py"))["AIRFLOWS"]
    return airflows


def test_each_airflow_has_its_own_pins(airflows: dict[str, list[str]]) -> None:
    pinned = set()
    for path in ROOT.glob("constraints*.txt"):
        pinned |= set(re.findall(r"^apache-airflow==(.+)$", path.read_text(), re.MULTILINE))
    assert pinned == set(airflows)


def test_ci_runs_each_combination(airflows: dict[str, list[str]]) -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    runs = workflow["jobs"]["test"]["strategy"]["matrix"]["include"]
    expected = {(airflow, python) for airflow, pythons in airflows.items() for python in pythons}
    # There is no interpreter of 3.14 on most machines, so only CI runs it.
    assert {(run["airflow"], run["python"]) for run in runs if run["python"] != "3.14"} == expected


def suite(tests: int, failures: int = 0, errors: int = 0, skipped: int = 0) -> str:
    return (
        f'<testsuites><testsuite tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"/>'
        "</testsuites>"
    )


def test_table_shows_each_result(tmp_path: Path) -> None:
    (tmp_path / "fast-3.1.8-3.11.xml").write_text(suite(12, skipped=2))
    (tmp_path / "fast-3.1.8-3.13.xml").write_text(suite(12, failures=1, errors=1))
    (tmp_path / "real-3.1.8-3.11.xml").write_text(suite(5))
    (tmp_path / "lowest-2.11.2-3.11.xml").write_text(suite(3))
    assert table(tmp_path).splitlines() == [
        "| Airflow | Python 3.11 | Python 3.12 | Python 3.13 | lowest versions | real processes |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 2.11.2 |  |  |  | 3 passed |  |",
        "| 3.1.8 | 10 passed, 2 skipped |  | **2 failed**, 10 passed |  | 5 passed |",
    ]
