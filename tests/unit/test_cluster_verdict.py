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


EXPORT = "export_backup.export"
SOURCE = {"__default__": "v1:2:00", "other": "v1:1:00"}
DONE = {"parts": 1, "reused": 0}
# Part 1 was killed after 3 of its 5 requests.
COPIED: dict[str, Any] = {
    "source": SOURCE,
    "copy": SOURCE,
    "other_indexes": [],
    "tasks": [("export_backup.plan", -1, 1, "success"), (EXPORT, 0, 1, "success"), (EXPORT, 1, 2, "success")],
    "killed": [1],
    "results": {0: DONE, 1: DONE},
    "written_again": [],
    "fetches": 13,
    "needed": [5, 5],
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"copy": SOURCE | {"other": "v1:1:01"}}, {"namespaces that differ": ["other"]}),
        ({"copy": {"other": "v1:1:00"}}, {"namespaces that differ": ["__default__"]}),
        ({"copy": SOURCE | {"third": "v1:1:00"}}, {"namespaces that differ": ["third"]}),
        ({"other_indexes": ["scratch"]}, {"indexes left": ["scratch"]}),
        (
            {"tasks": [(EXPORT, 0, 1, "success"), (EXPORT, 1, 2, "failed")]},
            {"tasks that did not succeed": [f"{EXPORT} 1 failed"]},
        ),
        ({"tasks": [(EXPORT, 0, 1, "success"), (EXPORT, 1, 1, "success")]}, {"killed, not tried again": ["1"]}),
        (
            {"tasks": [(EXPORT, 0, 2, "success"), (EXPORT, 1, 2, "success")]},
            {"tried again, not killed": [f"{EXPORT} 0"]},
        ),
        ({"results": {0: DONE}}, {"parts without one export": ["1"]}),
        ({"results": {0: DONE, 1: DONE | {"reused": 1}}}, {"parts without one export": ["1"]}),
        ({"written_again": ["part-00000000.parquet"]}, {"written again": ["part-00000000.parquet"]}),
        ({"fetches": 15}, {}),
        ({"fetches": 16}, {"fetched again": ["6 requests, not 1 to 5"]}),
        ({"fetches": 10}, {"fetched again": ["0 requests, not 1 to 5"]}),
    ],
)
def test_each_problem_of_a_copy_is_reported(changes: dict[str, Any], expected: dict[str, list[str]]) -> None:
    outcome = VERDICT["CopyOutcome"](**COPIED | changes)
    assert {kind: found for kind, found in VERDICT["problems_of_copy"](outcome, EXPORT).items() if found} == expected
