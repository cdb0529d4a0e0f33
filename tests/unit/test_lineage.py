"""The OpenLineage datasets of tasks and assets."""

from __future__ import annotations

from typing import Any

import pytest
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import PATHS
from support.tasks import TaskInstance, make_task, run_try

from airflow_pinecone.assets import backup_asset
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.operators import CreateBackupOperator, CreateIndexFromBackupOperator
from airflow_pinecone.runtime.lineage import asset_dataset

pytestmark = pytest.mark.usefixtures("world")

NONE: tuple[list[str], list[str]] = ([], [])


def lineage_of(task: Any) -> tuple[list[str], list[str]]:
    """Return the names of the inputs and the outputs."""
    lineage = task.get_openlineage_facets_on_complete(TaskInstance())
    datasets = [*lineage.inputs, *lineage.outputs]
    assert {dataset.namespace for dataset in datasets} <= {"pinecone"}
    return [dataset.name for dataset in lineage.inputs], [dataset.name for dataset in lineage.outputs]


def run_and_return_last_object(task: Any) -> Any:
    """Run a try, and return the object in which it ended: after a deferral it is another one."""
    objects = [task]

    def recreate() -> Any:
        objects.append(original())
        return objects[-1]

    original, task.recreate = task.recreate, recreate
    run_try(task, TaskInstance())
    return objects[-1]


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_create_reads_the_index_and_writes_its_backups(
    emulator: Emulator, clock: FakeClock, path: dict[str, Any]
) -> None:
    emulator.next_backup(ready_after=60)
    task = run_and_return_last_object(make_task(CreateBackupOperator, clock, index_name=INDEX, **path))
    assert lineage_of(task) == ([INDEX], [f"{INDEX}/backups"])


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_restore_reads_the_backups_and_writes_the_new_index(
    emulator: Emulator, clock: FakeClock, path: dict[str, Any]
) -> None:
    backup_id = emulator.add_backup(INDEX)["backup_id"]
    emulator.next_restore(restore_after=60)
    task = make_task(CreateIndexFromBackupOperator, clock, backup_id=backup_id, index_name="new", **path)
    assert lineage_of(run_and_return_last_object(task)) == ([f"{INDEX}/backups"], ["new"])


def test_restore_whose_backup_cannot_be_described_has_no_input(emulator: Emulator, clock: FakeClock) -> None:
    backup_id = emulator.add_backup(INDEX)["backup_id"]
    task = make_task(CreateIndexFromBackupOperator, clock, backup_id=backup_id, index_name="new")
    run_try(task, TaskInstance())
    emulator.fault("GET", f"/backups/{backup_id}", status=503)
    assert lineage_of(task) == ([], ["new"])


def test_restore_whose_backup_is_described_slowly_has_no_input(
    emulator: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup_id = emulator.add_backup(INDEX)["backup_id"]
    task = make_task(CreateIndexFromBackupOperator, clock, backup_id=backup_id, index_name="new")
    run_try(task, TaskInstance())
    monkeypatch.setattr("airflow_pinecone.operators.restore._LINEAGE_TIMEOUT", 0.2)
    emulator.fault("GET", f"/backups/{backup_id}", hang="before")
    assert lineage_of(task) == ([], ["new"])
    emulator.release()


def test_failed_task_has_no_lineage(emulator: Emulator, clock: FakeClock) -> None:
    emulator.next_backup(fails=True)
    create = make_task(CreateBackupOperator, clock, index_name=INDEX, wait_for_completion=True)
    assert run_try(create, TaskInstance()).state == "up_for_retry"
    assert lineage_of(create) == NONE
    restore = make_task(CreateIndexFromBackupOperator, clock, backup_id="missing", index_name="new")
    assert run_try(restore, TaskInstance()).state == "failed"
    assert lineage_of(restore) == NONE


def test_asset_of_the_backups_is_the_same_dataset() -> None:
    dataset = asset_dataset(backup_asset(INDEX), lineage_context=None)
    assert (dataset.namespace, dataset.name) == ("pinecone", f"{INDEX}/backups")
