"""What a run of backup_fleet on a cluster must leave behind, as a function of what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
