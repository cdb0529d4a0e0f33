"""An audit with copies outside of Pinecone: what it reads, logs and sends, over the emulator and exported copies."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.constants import INDEX
from support.copy_files import export_copy
from support.tasks import Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.common.text import iso
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import AuditBackupsOperator, VerifyCopyOperator
from airflow_pinecone.policy import IndexRules
from airflow_pinecone.rules.identity import ORIGIN_TAG
from airflow_pinecone.rules.report import CopySource
from airflow_pinecone.rules.scratch import COPY_TAG
from airflow_pinecone.runtime import metrics
from airflow_pinecone.runtime.copy_reports import read_copies

HOUR = 3600.0
DAY = 24 * HOUR

Audit = Callable[..., Outcome]
Copied = Callable[..., Path]


@pytest.fixture
def audit(clock: FakeClock, world: Emulator, tmp_path: Path) -> Audit:
    """Run an audit that requires a copy of the last week."""

    def audit(**arguments: Any) -> Outcome:
        defaults = {"task_id": "audit", "max_age": DAY, "copies": f"file://{tmp_path}", "max_copy_age": 7 * DAY}
        return run_try(make_task(AuditBackupsOperator, clock, **{**defaults, **arguments}), TaskInstance())

    return audit


@pytest.fixture
def copied(world: Emulator, clock: FakeClock, tmp_path: Path) -> Copied:
    """Back up the index docs-example, and copy it."""

    def copied(age: float, *, folder: str = "", **backup: Any) -> Path:
        made = world.add_backup(INDEX, age=age, **backup)
        model = {name: made[name] for name in ("backup_id", "source_index_id", "created_at")}
        folder = folder or f"{made['source_index_id']}/{made['backup_id']}"
        export_copy(PineconeHook(clock=clock).records(INDEX), tmp_path / folder, backup=model)
        return tmp_path / folder

    return copied


def row_of(outcome: Outcome) -> dict[str, Any]:
    [row] = outcome.value["indexes"]
    return dict(row)


def test_the_newest_copy_of_an_index_is_reported(
    audit: Audit, copied: Copied, logged: Callable[[], str], clock: FakeClock
) -> None:
    copied(3 * DAY)
    folder = copied(2 * HOUR)
    outcome = audit()
    assert outcome.state == "success", outcome.message
    row = row_of(outcome)
    assert (row["status"], row["copies_known"], row["max_copy_age"]) == ("ok", True, 7 * DAY)
    assert row["newest_copy"] == {
        "url": f"file://{folder}",
        "backup_id": folder.name,
        "created_at": row["newest_ready"]["created_at"],
        "age": 2 * HOUR,
        "records": row["newest_copy"]["records"],
        "frozen": False,
        "verified_level": None,
        "verified_at": None,
    }
    assert "2:00:00 old, not verified" in logged()


def test_a_verification_is_reported_until_the_manifest_changes(
    audit: Audit, copied: Copied, clock: FakeClock, logged: Callable[[], str]
) -> None:
    folder = copied(HOUR)
    run_try(make_task(VerifyCopyOperator, clock, task_id="verify", copy=f"file://{folder}"), TaskInstance("verify"))
    newest = row_of(audit())["newest_copy"]
    assert (newest["verified_level"], newest["verified_at"]) == (2, iso(clock.utcnow()))
    assert "1:00:00 old, verified (level 2)" in logged()
    manifest = folder / "copy" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"versions": {}', '"versions": {"other": "1"}'))
    assert row_of(audit())["newest_copy"]["verified_level"] is None


def test_a_copy_that_did_not_pass_its_verification_does_not_count(
    audit: Audit, copied: Copied, clock: FakeClock
) -> None:
    good = copied(3 * DAY)
    damaged = copied(HOUR)
    next(damaged.rglob("*.parquet")).unlink()
    task = make_task(VerifyCopyOperator, clock, task_id="verify", copy=f"file://{damaged}")
    assert run_try(task, TaskInstance("verify")).state == "failed"
    outcome = audit()
    assert outcome.state == "failed"
    assert f"its copy in file://{damaged} did not pass its verification" in outcome.message
    row = row_of(audit(fail_on=[]))
    assert ([problem["status"] for problem in row["problems"]], row["newest_copy"]["backup_id"]) == (
        ["failing"],
        good.name,
    )
    assert row_of(audit(fail_on=[], max_copy_age=None))["status"] == "failing"
    old = row_of(audit(fail_on=[], max_copy_age=DAY))
    assert {problem["status"] for problem in old["problems"]} == {"failing", "late"}


def test_an_index_without_a_copy_is_late(audit: Audit, world: Emulator, logged: Callable[[], str]) -> None:
    world.add_backup(INDEX, age=HOUR)
    outcome = audit()
    assert outcome.state == "failed"
    assert "it has no copy outside of Pinecone, and max_copy_age is 7 days, 0:00:00" in outcome.message
    assert "1 index had no recent copy outside of Pinecone." in logged()
    assert "no fresh Ready backup" not in logged()


def test_an_index_with_an_old_copy_is_late(audit: Audit, copied: Copied, world: Emulator) -> None:
    copied(8 * DAY)
    world.add_backup(INDEX, age=HOUR)
    outcome = audit()
    assert outcome.state == "failed"
    assert "its newest copy outside of Pinecone is 8 days, 0:00:00 old" in outcome.message
    assert row_of(audit(max_copy_age=9 * DAY))["broken_rules"] == []
    assert row_of(audit(fail_on=[]))["broken_rules"] == ["max_copy_age"]


def test_a_copy_whose_backup_was_deleted_counts_if_there_is_no_other(
    audit: Audit, copied: Copied, world: Emulator, ask: Any
) -> None:
    folder = copied(2 * DAY)
    world.add_backup(INDEX, age=HOUR)
    assert ask("DELETE", f"/backups/{folder.name}").status_code == 202
    assert row_of(audit())["newest_copy"]["backup_id"] == folder.name


def test_a_copy_of_the_index_itself_counts(
    audit: Audit, copied: Copied, world: Emulator, clock: FakeClock, tmp_path: Path
) -> None:
    copied(2 * DAY)
    world.add_backup(INDEX, age=HOUR)
    written_at = clock.utcnow() - timedelta(hours=3)
    folder = tmp_path / INDEX / "live-20250615T000000Z-1"
    export_copy(PineconeHook(clock=clock).records(INDEX), folder, created_at=iso(written_at))
    newest = row_of(audit())["newest_copy"]
    assert (newest["backup_id"], newest["age"]) == (None, 3 * HOUR)


def test_folders_without_a_valid_manifest_are_no_copies(audit: Audit, copied: Copied) -> None:
    older, newer, newest = copied(3 * HOUR), copied(2 * HOUR), copied(HOUR)
    (newest / "copy" / "manifest.json").unlink()
    (newer / "copy" / "manifest.json").write_text("{")
    assert row_of(audit())["newest_copy"]["backup_id"] == older.name


def test_the_manifest_says_of_which_index_a_copy_is(audit: Audit, copied: Copied) -> None:
    folder = copied(HOUR)
    manifest = folder / "copy" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"index_name": "{INDEX}"', '"index_name": "other"'))
    assert row_of(audit(fail_on=[]))["newest_copy"] is None


def test_copies_that_cannot_be_read_are_unknown(audit: Audit, world: Emulator, logged: Callable[[], str]) -> None:
    world.add_backup(INDEX, age=HOUR)
    outcome = audit(copies="nosuchstore://bucket/copies")
    assert outcome.state == "failed"
    assert "its copies outside of Pinecone are unknown: folder nosuchstore://bucket/copies could not be" in (
        outcome.message
    )
    assert row_of(audit(copies="nosuchstore://bucket/copies", fail_on=[]))["copies_known"] is False


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("file://missing@/copies", "could not be read: its connection was not found"),
        ("file:///does/not/exist", "does not exist"),
    ],
)
def test_a_folder_that_does_not_exist_does_not_fail_the_audit(
    audit: Audit, world: Emulator, folder: str, why: str
) -> None:
    world.add_backup(INDEX, age=HOUR)
    row = row_of(audit(copies=folder, fail_on=[]))
    assert row["copies_known"] is False
    assert row["problems"] == [
        {"status": "late", "text": f"its copies outside of Pinecone are unknown: folder {folder} {why}"}
    ]


def test_without_copies_nothing_is_read_and_nothing_required(audit: Audit, copied: Copied, tmp_path: Path) -> None:
    copied(HOUR)
    row = row_of(audit(copies=None, max_copy_age=None))
    assert (row["copies_known"], row["newest_copy"], row["max_copy_age"]) == (None, None, None)
    shutil.rmtree(tmp_path)
    assert row_of(audit(max_copy_age=None))["status"] == "ok"


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_copy_age": DAY},
        {"policy": {"docs-*": IndexRules(DAY, max_copy_age=DAY)}},
        {"max_copy_age": -1, "copies": "file:///x"},
        {"copies": "no url"},
        {"copies": ""},
    ],
)
def test_an_invalid_argument_fails_the_import_of_the_dag(arguments: Any) -> None:
    with pytest.raises(PineconeInputError):
        AuditBackupsOperator(task_id="audit", max_age=DAY, **arguments)


def test_the_age_of_the_newest_copy_is_a_metric(audit: Audit, copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(2 * HOUR)
    sent: dict[str, Any] = {}
    stats: Any = vars(metrics)["Stats"]
    monkeypatch.setattr(stats, "gauge", lambda name, value, **tags: sent.update({name: (value, tags)}))
    audit()
    assert sent["pinecone.index.copy_age"] == (2 * HOUR, {"tags": {"index": INDEX}})


def test_scratch_indexes_of_copies_are_listed(
    audit: Audit, copied: Copied, world: Emulator, logged: Callable[[], str]
) -> None:
    copied(HOUR)
    world.add_index("copy-1", records=0, tags={ORIGIN_TAG: "x", COPY_TAG: "b-1"})
    outcome = audit()
    assert outcome.value["scratch_indexes"] == ["copy-1"]
    assert "copy-1: scratch index of a restore test or a copy. If none is running, delete it: it costs money." in (
        logged()
    )


def test_several_indexes_are_read_at_the_same_time(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def check() -> None:
        if threading.current_thread() is not threading.main_thread():
            both.wait(30)

    sources = {name: CopySource(None, {}) for name in ("docs", "images")}
    assert list(read_copies(f"file://{tmp_path}", sources, check=check)) == ["docs", "images"]
