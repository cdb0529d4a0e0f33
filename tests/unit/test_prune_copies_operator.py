"""PruneCopiesOperator: what it finds, logs, deletes and keeps, over exported copies on a disk and in S3."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator
from support.clock import FakeClock
from support.copy_files import export_copy
from support.object_stores import S3Server, connect_s3, s3_server
from support.tasks import Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.api.records import IndexRecords
from airflow_pinecone.common.text import iso
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import CopyRefused, PineconeInputError, PruneIncomplete
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import PruneCopiesOperator, VerifyCopyOperator
from airflow_pinecone.rules.identity import Origin, describe

DAY = 24 * 3600.0
ORIGIN = Origin("etl", "manual__1", "backup", -1, "2025-05-14T16:37:25+00:00", 1)

Prune = Callable[..., Outcome]
Add = Callable[..., str]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.create_bucket("vault")
        server.create_bucket("locked", object_lock=True)
        yield server


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Return a folder of its own in a bucket."""
    folder = re.sub(r"\W", "-", request.node.name)
    return f"s3://{connect_s3(s3, monkeypatch)}@vault/{folder}"


@pytest.fixture
def records(world: Emulator, clock: FakeClock) -> IndexRecords:
    world.add_index("records", records=0, dimension=2)
    world.add_records("records", [{"id": f"{n}", "values": [n, 1]} for n in range(3)])
    return PineconeHook(clock=clock).records("records")


@pytest.fixture
def add(records: IndexRecords, clock: FakeClock, tmp_path: Path) -> Add:
    """Add a copy of a backup of some age, and return its path: `add("i-1/b-2", age=DAY)`."""

    def add(path: str, *, age: float = 0.0, to: str = "", hold: datetime | None = None, **fields: Any) -> str:
        created_at = clock.utcnow() - timedelta(seconds=age)
        index_id, backup_id = path.split("/")
        backup = {
            "backup_id": backup_id,
            "source_index_id": index_id,
            "created_at": iso(created_at),
            "description": describe(None, ORIGIN, hold),
        }
        export_copy(
            records,
            f"{to or tmp_path}/{path}",
            backup=None if fields.get("is_live") else backup,
            created_at=fields.get("written_at") or iso(clock.utcnow() - timedelta(seconds=fields.get("is_live") or 0)),
            records_per_part=2,
        )
        return path

    return add


@pytest.fixture
def prune(clock: FakeClock, tmp_path: Path) -> Prune:
    """Run one try of the operator: `prune(keep_last=2)`."""

    def prune(**arguments: Any) -> Outcome:
        rules = {} if any(name.startswith("keep_") for name in arguments) else {"keep_last": 1}
        defaults = {"task_id": "prune", "destination": f"file://{tmp_path}", "index_name": "records", **rules}
        return run_try(make_task(PruneCopiesOperator, clock, **{**defaults, **arguments}), TaskInstance("prune"))

    return prune


def existing(folder: Path) -> list[str]:
    """Return the folders of the copies, whole or in part."""
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))


def paths(rows: list[dict[str, Any]]) -> list[str]:
    return [row["path"] for row in rows]


# What is deleted


def test_the_last_copy_that_passed_its_verification_is_kept(
    prune: Prune, add: Add, tmp_path: Path, clock: FakeClock
) -> None:
    for number in range(1, 6):
        add(f"i-1/b-{number}", age=number * DAY)
    for damaged in ("i-1/b-1", "i-1/b-3"):
        file = next((tmp_path / damaged).rglob("*.parquet"))
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        task = make_task(VerifyCopyOperator, clock, task_id="verify", copy=f"file://{tmp_path}/{damaged}", level=2)
        assert run_try(task, TaskInstance("verify")).state == "failed"
    outcome = prune(keep_last=2)
    assert outcome.state == "success", outcome.message
    # A prune deletes no damaged copy: a human decides on it.
    assert paths(outcome.value["kept"]) == [f"i-1/b-{number}" for number in range(1, 5)]
    assert paths(outcome.value["deleted"]) == ["i-1/b-5"]


def test_copies_that_no_rule_keeps_are_deleted_the_oldest_first(
    prune: Prune, add: Add, tmp_path: Path, logged: Callable[[], str]
) -> None:
    # The name of one is the start of the name of another.
    for number in (1, 2, 3, 10):
        add(f"i-1/b-{number}", age=number * DAY)
    outcome = prune(keep_last=2)
    assert outcome.state == "success", outcome.message
    assert existing(tmp_path) == ["i-1/b-1", "i-1/b-2"]
    assert paths(outcome.value["deleted"]) == ["i-1/b-10", "i-1/b-3"]
    assert paths(outcome.value["kept"]) == ["i-1/b-1", "i-1/b-2"]
    assert outcome.value["kept"][0]["reasons"] == ["the newest complete copy", "keep_last 1 of 2"]
    assert (outcome.value["skipped"], outcome.value["incomplete"]) == ([], [])
    assert outcome.value["deleted"][1] == {
        "path": "i-1/b-3",
        "source_index_id": "i-1",
        "backup_id": "b-3",
        "created_at": "2025-06-12T15:06:40Z",
        "reasons": ["no rule keeps it"],
    }
    text = logged()
    assert "Deleting 2 of 4 copies of index records" in text
    assert text.index("DELETE  2025-06-12T15:06:40Z  i-1/b-3") < text.index("Deleted copy i-1/b-10")


def test_a_copy_is_as_old_as_its_backup(prune: Prune, add: Add, clock: FakeClock, tmp_path: Path) -> None:
    add("i-1/new", age=DAY, written_at=iso(clock.utcnow() - timedelta(days=1)))
    add("i-1/old", age=9 * DAY, written_at=iso(clock.utcnow()))
    assert prune().state == "success"
    assert existing(tmp_path) == ["i-1/new"]


def test_copies_of_an_index_without_a_backup_are_as_old_as_their_manifests(
    prune: Prune, add: Add, tmp_path: Path
) -> None:
    add("records/live-1", is_live=2 * DAY)
    add("records/live-2", is_live=DAY)
    assert prune().state == "success"
    assert existing(tmp_path) == ["records/live-2"]


def test_the_rules_apply_to_each_source_index_on_its_own(prune: Prune, add: Add, tmp_path: Path) -> None:
    for path, age in {"i-1/a": 9, "i-1/b": 8, "i-2/c": 2, "i-2/d": 1}.items():
        add(path, age=age * DAY)
    assert prune().state == "success"
    assert existing(tmp_path) == ["i-1/b", "i-2/d"]


def test_copies_of_other_indexes_are_kept_whatever_their_folder(
    prune: Prune, add: Add, world: Emulator, clock: FakeClock, tmp_path: Path
) -> None:
    add("i-1/a", age=DAY)
    world.add_index("other", records=0, dimension=2)
    other = PineconeHook(clock=clock).records("other")
    export_copy(other, tmp_path / "i-1" / "b", backup={"backup_id": "b", "source_index_id": "i-1"})
    outcome = prune()
    assert paths(outcome.value["kept"]) == ["i-1/a"]
    assert existing(tmp_path) == ["i-1/a", "i-1/b"]


def test_a_held_copy_is_kept(prune: Prune, add: Add, clock: FakeClock, tmp_path: Path) -> None:
    add("i-1/new")
    add("i-1/held", age=2 * DAY, hold=clock.utcnow() + timedelta(days=1))
    add("i-1/ended", age=3 * DAY, hold=clock.utcnow() - timedelta(days=1))
    outcome = prune()
    assert existing(tmp_path) == ["i-1/held", "i-1/new"]
    assert outcome.value["kept"][1]["reasons"] == ["held until 2025-06-16 15:06:40 UTC"]


def test_the_newest_complete_copy_is_kept_if_newer_ones_are_damaged(
    prune: Prune, add: Add, tmp_path: Path, logged: Callable[[], str]
) -> None:
    for number in (1, 2, 3):
        add(f"i-1/b-{number}", age=number * DAY)
    (tmp_path / "i-1/b-1/data/__default__/part-00000001.parquet").unlink()
    outcome = prune()
    assert existing(tmp_path) == ["i-1/b-1", "i-1/b-2"]
    assert [row["reasons"] for row in outcome.value["kept"]] == [
        ["damaged"],
        ["the newest complete copy", "keep_last 1 of 1"],
    ]
    assert "Copy i-1/b-1 is damaged: 1 file of 2 invalid" in logged()


@pytest.mark.parametrize("content", [None, b"{", b'{"format": 2}'])
def test_a_folder_without_a_valid_manifest_is_kept_and_reported(
    prune: Prune, add: Add, tmp_path: Path, content: bytes | None, logged: Callable[[], str]
) -> None:
    add("i-1/new")
    add("i-1/old", age=DAY)
    manifest = tmp_path / "i-1/old/copy/manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_bytes(content)
    outcome = prune()
    assert outcome.state == "success"
    assert existing(tmp_path) == ["i-1/new", "i-1/old"]
    assert (tmp_path / "i-1/old/data").exists()
    assert paths(outcome.value["incomplete"]) == ["i-1/old"]
    assert "Folder i-1/old is kept: it" in logged()


def test_a_dry_run_deletes_nothing(prune: Prune, add: Add, tmp_path: Path, logged: Callable[[], str]) -> None:
    add("i-1/a")
    add("i-1/b", age=DAY)
    outcome = prune(dry_run=True)
    assert existing(tmp_path) == ["i-1/a", "i-1/b"]
    assert not (tmp_path / "i-1/b/copy/deleted.json").exists()
    assert outcome.value["deleted"] == []
    assert outcome.value["skipped"][0]["reasons"] == ["no rule keeps it", "dry run"]
    assert "Would delete 1 of 2 copies" in logged()


def test_more_than_max_deletes_fails_before_the_first_delete(prune: Prune, add: Add, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        add(f"i-1/b-{number}", age=number * DAY)
    outcome = prune(max_deletes=1)
    assert outcome.state == "failed"
    assert "No copy was deleted: 2 copies of index records would be deleted, and max_deletes is 1." in outcome.message
    assert len(existing(tmp_path)) == 3


def test_an_empty_destination_only_warns(prune: Prune, logged: Callable[[], str]) -> None:
    assert prune().state == "success"
    assert "There is no copy of index records" in logged()


# Deletes that do not end


def test_a_retry_deletes_the_rest_of_a_copy_whose_manifest_was_deleted(
    prune: Prune, add: Add, s3: S3Server, bucket: str, logged: Callable[[], str]
) -> None:
    add("i-1/a", to=bucket)
    add("i-1/b", to=bucket, age=DAY)
    prefix = bucket.rpartition("@vault/")[2]
    deletes = len([each for each in s3.requests if each.operation == "DeleteObjects"])
    # The first one deletes the manifest.
    fault = s3.fail("DeleteObject*", "vault/*", "error", times=None, nth=2)
    outcome = prune(destination=bucket)
    fault.times = 0
    assert isinstance(outcome.error, PruneIncomplete), (outcome.message, s3.requests[deletes:])
    assert "Deleted 0 of 1 copies of index records that no rule keeps." in outcome.message
    left = [key for key in s3.objects("vault") if key.startswith(f"{prefix}/i-1/b/")]
    assert f"{prefix}/i-1/b/copy/deleted.json" in left
    assert f"{prefix}/i-1/b/copy/manifest.json" not in left
    assert f"{prefix}/i-1/b/data/__default__/part-00000000.parquet" in left
    # The rest is not the copy of another index.
    assert prune(destination=bucket, index_name="other").value["deleted"] == []
    outcome = prune(destination=bucket)
    assert outcome.state == "success", outcome.message
    assert paths(outcome.value["deleted"]) == ["i-1/b"]
    assert outcome.value["deleted"][0]["reasons"] == ["an earlier prune has begun to delete it"]
    assert not [key for key in s3.objects("vault") if key.startswith(f"{prefix}/i-1/b/")]
    assert [key for key in s3.objects("vault") if key.startswith(f"{prefix}/i-1/a/")]


@pytest.mark.parametrize("how", ["denied", "denied_keys"])
def test_a_store_that_denies_deletes_fails_clearly(prune: Prune, add: Add, s3: S3Server, bucket: str, how: Any) -> None:
    add("i-1/a", to=bucket)
    add("i-1/b", to=bucket, age=DAY)
    fault = s3.fail("DeleteObject*", "vault/*", how, times=None)
    outcome = prune(destination=bucket)
    fault.times = 0
    assert outcome.state == "failed"
    assert "The store did not delete i-1/b: " in outcome.message
    assert "the rights to write and to delete, or use a lifecycle rule" in outcome.message
    prefix = bucket.rpartition("@vault/")[2]
    assert f"{prefix}/i-1/b/copy/manifest.json" in s3.objects("vault")
    # The copy is whole, and the next prune plans again.
    assert paths(prune(destination=bucket).value["deleted"]) == ["i-1/b"]


def test_a_bucket_with_object_lock_keeps_the_versions(prune: Prune, add: Add, s3: S3Server, bucket: str) -> None:
    locked = bucket.replace("@vault/", "@locked/")
    add("i-1/a", to=locked)
    add("i-1/b", to=locked, age=DAY)
    outcome = prune(destination=locked)
    assert outcome.state == "success", outcome.message
    prefix = bucket.rpartition("@vault/")[2]
    assert {key.split("/")[2] for key in s3.objects("locked") if key.startswith(prefix)} == {"a"}
    versions = s3.client().list_object_versions(Bucket="locked", Prefix=f"{prefix}/i-1/b/")["Versions"]
    assert f"{prefix}/i-1/b/data/__default__/part-00000000.parquet" in [row["Key"] for row in versions]


def test_no_export_starts_in_a_folder_that_a_prune_deletes(add: Add, records: IndexRecords, tmp_path: Path) -> None:
    add("i-1/a")
    marker = tmp_path / "i-1/a/copy/deleted.json"
    marker.write_text(json.dumps({"index_name": "records"}))
    # The store denied the deletion: the manifest exists.
    add("i-1/a")
    (tmp_path / "i-1/a/copy/manifest.json").unlink()
    with pytest.raises(CopyRefused, match="A prune has begun to delete an earlier copy there"):
        add("i-1/a")


# Arguments


@pytest.mark.parametrize(
    "arguments",
    [
        {"keep_last": 0},
        {"keep_last": -1},
        {"keep_last": 1, "destination": ""},
        {"keep_last": 1, "index_name": "No Name"},
        {"keep_last": 1, "max_deletes": 0},
        {"keep_last": 1, "dry_run": 1},
        {"keep_within": 5},
    ],
)
def test_an_invalid_argument_fails_the_import_of_the_dag(arguments: Any) -> None:
    with pytest.raises(PineconeInputError):
        PruneCopiesOperator(**{"task_id": "p", "destination": "file:///x", "index_name": "records", **arguments})


def test_the_counts_can_be_templates(add: Add, clock: FakeClock, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        add(f"i-1/b-{number}", age=number * DAY)
    with DAG("copies"):
        task = PruneCopiesOperator(
            task_id="prune",
            destination="{{ params.destination }}",
            index_name="{{ params.index }}",
            keep_last="{{ params.count }}",
            dry_run="{{ params.dry }}",
        )
    params = {"destination": f"file://{tmp_path}", "index": "records", "count": 2, "dry": False}
    BaseOperator.render_template_fields(task, {"params": params})
    task.clock = clock
    assert task.execute(TaskInstance("prune").context)["dry_run"] is False
    assert existing(tmp_path) == ["i-1/b-1", "i-1/b-2"]
