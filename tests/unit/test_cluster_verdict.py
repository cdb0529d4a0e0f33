"""The verdict of `make cluster-test` detects what is lost, duplicated or failed."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

VERDICT = runpy.run_path(str(Path(__file__).resolve().parents[2] / "docker/cluster_verdict.py"))
A, B = ({"backup_id": f"id-{name}", "source_index_name": name, "status": "Ready"} for name in "ab")
BACKUP, VERIFY = ("protect.backup", "success"), ("protect.verify", "success")


def wrong(part: str, removed: Any, added: Any) -> dict[str, list[str]]:
    """Return the problems of a good run of which something is removed and to which something is added."""
    tasks = [(name, "success") for name in VERDICT["ONCE"]]
    tasks += [(name, "success") for name in VERDICT["SUCCESSFUL"]] * 2
    tasks += [(name, "skipped") for name in VERDICT["SKIPPED"]] * 2
    found: dict[str, list[Any]] = {"backups": [A, B], "results": [A, B], "tasks": tasks}
    if removed:
        found[part].remove(removed)
    if added:
        found[part].append(added)
    return {kind: what for kind, what in VERDICT["problems_of"](["a", "b"], **found).items() if what}


@pytest.mark.parametrize(
    ("part", "removed", "added", "expected"),
    [
        ("backups", None, None, {}),
        ("backups", None, B | {"backup_id": "second"}, {"duplicated": ["b"], "lost": ["second"]}),
        ("backups", A, None, {"indexes without a Ready backup": ["a"], "results that are not backups": ["id-a"]}),
        ("backups", A, A | {"status": "Failed"}, {"indexes without a Ready backup": ["a"], "not Ready": ["id-a"]}),
        ("results", A, None, {"lost": ["id-a"]}),
        ("results", None, A, {"results that are not backups": ["id-a"]}),
        ("tasks", BACKUP, None, {"missing tasks": ["1 x protect.backup success"]}),
    ],
)
def test_each_problem_is_reported(part: str, removed: Any, added: Any, expected: dict[str, list[str]]) -> None:
    assert wrong(part, removed, added) == expected


@pytest.mark.parametrize("state", ["failed", "upstream_failed", "skipped", "running", None])
def test_task_that_did_not_succeed_is_reported(state: str | None) -> None:
    assert wrong("tasks", VERIFY, ("protect.verify", state)) == {
        "missing tasks": ["1 x protect.verify success"],
        "unexpected tasks": [f"1 x protect.verify {state}"],
    }
