"""The verdict of `make cluster-test` sees what is lost, duplicated or failed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
INDEXES = ["a", "b"]


@pytest.fixture(scope="module")
def verdict() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cluster_verdict", ROOT / "docker/cluster_verdict.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def found(verdict: ModuleType) -> dict[str, list[Any]]:
    """What a good run leaves."""
    backups = [{"backup_id": f"id-{name}", "source_index_name": name, "status": "Ready"} for name in INDEXES]
    tasks = [(name, "success") for name in verdict.ONCE]
    tasks += [(name, "success") for name in verdict.SUCCESSFUL for _ in INDEXES]
    tasks += [(name, "skipped") for name in verdict.SKIPPED for _ in INDEXES]
    return {"backups": backups, "results": [dict(backup) for backup in backups], "tasks": tasks}


def wrong(verdict: ModuleType, found: dict[str, list[Any]]) -> dict[str, list[str]]:
    return {kind: what for kind, what in verdict.problems_of(INDEXES, **found).items() if what}


def test_a_good_run_has_no_problem(verdict: ModuleType, found: dict[str, list[Any]]) -> None:
    assert wrong(verdict, found) == {}


def test_a_second_backup_of_an_index_is_duplicated_and_lost(verdict: ModuleType, found: dict[str, list[Any]]) -> None:
    found["backups"].append({"backup_id": "second", "source_index_name": "b", "status": "Ready"})
    assert wrong(verdict, found) == {"duplicated": ["b"], "lost": ["second"]}


def test_a_backup_that_no_task_returned_is_lost(verdict: ModuleType, found: dict[str, list[Any]]) -> None:
    del found["results"][0]
    assert wrong(verdict, found) == {"lost": ["id-a"]}


def test_a_missing_backup_is_seen(verdict: ModuleType, found: dict[str, list[Any]]) -> None:
    del found["backups"][0]
    assert wrong(verdict, found) == {
        "indexes without a Ready backup": ["a"],
        "results that are not backups": ["id-a"],
    }


def test_a_result_that_two_tasks_returned_is_seen(verdict: ModuleType, found: dict[str, list[Any]]) -> None:
    found["results"].append(dict(found["results"][0]))
    assert wrong(verdict, found) == {"results that are not backups": ["id-a"]}


def test_a_backup_that_is_not_ready_is_seen(verdict: ModuleType, found: dict[str, list[Any]]) -> None:
    found["backups"][0]["status"] = "Failed"
    assert wrong(verdict, found) == {"indexes without a Ready backup": ["a"], "not Ready": ["id-a"]}


@pytest.mark.parametrize("state", ["failed", "upstream_failed", "skipped", "running", None])
def test_a_task_that_did_not_succeed_is_seen(
    verdict: ModuleType, found: dict[str, list[Any]], state: str | None
) -> None:
    found["tasks"].remove(("protect.verify", "success"))
    found["tasks"].append(("protect.verify", state))
    assert wrong(verdict, found) == {
        "missing tasks": ["1 x protect.verify success"],
        "unexpected tasks": [f"1 x protect.verify {state}"],
    }


def test_a_task_instance_that_does_not_exist_is_seen(verdict: ModuleType, found: dict[str, list[Any]]) -> None:
    found["tasks"].remove(("protect.backup", "success"))
    assert wrong(verdict, found) == {"missing tasks": ["1 x protect.backup success"]}
