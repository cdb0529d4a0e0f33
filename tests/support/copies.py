"""Copies of the indexes of an emulator, and their import."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from airflow_pinecone.copies import export_backup, import_copy
from airflow_pinecone.emulator import Emulator
from support.clock import FakeClock
from support.task_groups import TaskGroupRun

_numbers = itertools.count(1)


def export(emulator: Emulator, clock: FakeClock, index_name: str, folder: Path | str, **arguments: Any) -> str:
    """Back up an index, copy the backup to a folder, and return the URL of the copy."""
    emulator.add_backup(index_name, age=3600)
    settings = {"part_bytes": 5_000, "deferrable": False, **arguments}
    destination = folder if isinstance(folder, str) else folder.as_uri()
    run = TaskGroupRun(clock, lambda: export_backup(index_name, destination=destination, **settings)).run_all()
    assert set(run.states.values()) == {"success"}, {name: each.message for name, each in run.outcomes.items()}
    return str(run.xcom("finish")["url"])


def make_import(clock: FakeClock, url: Any, index_name: str, **arguments: Any) -> TaskGroupRun:
    """Make the tasks of an import in a run of its own, but run none."""
    settings = {"deferrable": False, **arguments}
    run_id = f"manual__{next(_numbers)}"
    return TaskGroupRun(clock, lambda: import_copy(url, index_name, **settings), run_id=run_id)


def error_of(run: TaskGroupRun) -> str:
    """Return the messages of the tasks that failed."""
    return "\n".join(outcome.message for outcome in run.outcomes.values() if outcome.error)


def contents(emulator: Emulator, index_name: str) -> dict[str, dict[str, Any]]:
    """Return all records of an index, by namespace."""
    return {name: emulator.records(index_name, name) for name in emulator.namespaces(index_name)}
