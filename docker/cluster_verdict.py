"""What the runs on a cluster must leave behind, as functions of what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

# An index without an earlier backup skips these.
SKIPPED = {"protect.newest", "protect.check_newest", "protect.prune"}
SUCCESSFUL = {"protect.backup", "protect.verify", "protect.done"}
ONCE = {"list_indexes", "summary"}


def problems_of(
    indexes: Sequence[str],
    backups: Iterable[Mapping[str, Any]],
    results: Iterable[Mapping[str, Any]],
    tasks: Iterable[tuple[str, str | None]],
) -> dict[str, list[str]]:
    """Compare the backups that exist with the results of the tasks.

    Args:
        indexes: The names of the indexes. None had a backup before the run.
        backups: The backups in the project.
        results: What the tasks `backup` returned.
        tasks: The id and the state of each task instance of the run.

    Returns:
        What is wrong, by kind; a list is empty if nothing is.
    """
    backups = list(backups)
    returned = Counter(result["backup_id"] for result in results)
    ready = Counter(b["source_index_name"] for b in backups if b["status"] == "Ready")
    per_index = Counter(b["source_index_name"] for b in backups)
    found = Counter(tasks)
    expected: Counter[tuple[str, str | None]] = Counter(dict.fromkeys(((name, "success") for name in ONCE), 1))
    expected += Counter(dict.fromkeys(((name, "success") for name in SUCCESSFUL), len(indexes)))
    expected += Counter(dict.fromkeys(((name, "skipped") for name in SKIPPED), len(indexes)))
    return {
        "indexes without a Ready backup": sorted(name for name in indexes if not ready[name]),
        "lost": sorted(b["backup_id"] for b in backups if not returned[b["backup_id"]]),
        "duplicated": sorted((per_index - Counter(dict.fromkeys(per_index, 1))).elements()),
        "not Ready": sorted(b["backup_id"] for b in backups if b["status"] != "Ready"),
        "results that are not backups": sorted((returned - Counter(b["backup_id"] for b in backups)).elements()),
        "unexpected tasks": _lines(found - expected),
        "missing tasks": _lines(expected - found),
    }


def _lines(tasks: Counter[tuple[str, str | None]]) -> list[str]:
    return sorted(f"{count} x {task_id} {state}" for (task_id, state), count in tasks.items())


class CopyOutcome(NamedTuple):
    """What a run of copy_outside left.

    Attributes:
        source: The digest of each namespace of the index.
        copy: The same of the copy.
        other_indexes: The names of the other indexes of the project.
        tasks: The id, the map index, the number of the last try and the state of each task instance.
        killed: The map indexes of the exports that ran on the killed worker.
        results: What each export returned, by map index.
        written_again: The objects that were written more than once.
        fetches: The requests for records that were answered.
        needed: The requests for records that each part needs.
    """

    source: Mapping[str, str]
    copy: Mapping[str, str]
    other_indexes: Sequence[str]
    tasks: Iterable[tuple[str, int, int, str | None]]
    killed: Sequence[int]
    results: Mapping[int, Mapping[str, Any]]
    written_again: Sequence[str]
    fetches: int
    needed: Sequence[int]

    @property
    def fetched_again(self) -> int:
        """The requests for records of parts that were interrupted."""
        return self.fetches - sum(self.needed)


def problems_of_copy(outcome: CopyOutcome, export: str) -> dict[str, list[str]]:
    """Return what is wrong with a copy, by kind; a list is empty if nothing is.

    Each killed export exports its part again, and no other part is read or written again.

    Args:
        outcome: What the run left.
        export: The id of the task that exports the parts.
    """
    tasks = list(outcome.tasks)
    tries = {number: count for task_id, number, count, _ in tasks if task_id == export}
    parts = range(len(outcome.needed))
    allowed = sum(outcome.needed[number] for number in outcome.killed)
    namespaces = outcome.source.keys() | outcome.copy.keys()
    return {
        "namespaces that differ": sorted(n for n in namespaces if outcome.source.get(n) != outcome.copy.get(n)),
        "indexes left": sorted(outcome.other_indexes),
        "tasks that did not succeed": sorted(
            f"{t} {number} {state}" for t, number, _, state in tasks if state != "success"
        ),
        "killed, not tried again": sorted(str(number) for number in outcome.killed if tries.get(number, 0) < 2),
        "tried again, not killed": sorted(
            f"{task_id} {number}"
            for task_id, number, count, _ in tasks
            if count > 1 and not (task_id == export and number in outcome.killed)
        ),
        "parts without one export": [
            str(number)
            for number in parts
            if (outcome.results.get(number, {}).get("parts"), outcome.results.get(number, {}).get("reused")) != (1, 0)
        ],
        "written again": sorted(outcome.written_again),
        "fetched again": [f"{outcome.fetched_again} requests, not 1 to {allowed}"]
        if not 0 < outcome.fetched_again <= allowed
        else [],
    }
