"""The task group that copies a backup, on a local folder."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from support.clock import FakeClock
from support.task_groups import TaskGroupRun
from support.tasks import TaskInstance, make_task, run_try

from airflow_pinecone.assets import copy_asset
from airflow_pinecone.copies import export_backup
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.emulator.damage import lose_record
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import VerifyCopyOperator
from airflow_pinecone.rules.copy_format import parse_manifest
from airflow_pinecone.rules.digests import NamespaceDigest

ALL = ("plan", "restore", "settle", "list_ids", "export", "finish", "delete_scratch")
EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
INDEX, DIMENSION = "copied", 8
METADATA = {"id": "x", "values": [], "text": "ü\n", "number": 1984.0, "half": 0.5, "yes": True, "tags": ["a", "b"]}


def record(number: int, **fields: Any) -> dict[str, Any]:
    values = np.random.default_rng(number).standard_normal(DIMENSION).astype(np.float32).tolist()
    return {"id": f"record-{number:04}", "values": values, **fields}


@pytest.fixture
def index(world: Emulator) -> str:
    world.add_index(INDEX, records=0, dimension=DIMENSION)
    world.add_records(INDEX, [record(number) for number in range(250)])
    world.add_records(INDEX, [record(1, metadata={**METADATA, "values": ["a"]}), record(2)], namespace="a/b")
    world.add_records(INDEX, [record(3, metadata={"a": 1})], namespace="plain")
    return INDEX


def export(clock: FakeClock, folder: Path, index: str = INDEX, **arguments: Any) -> TaskGroupRun:
    settings = {"part_bytes": 5_000, **arguments}
    return TaskGroupRun(clock, lambda: export_backup(index, destination=f"file://{folder}", **settings))


def backup_of(world: Emulator, index: str = INDEX) -> str:
    return str(world.add_backup(index, age=3600)["backup_id"])


def manifest_of(run: TaskGroupRun) -> Any:
    return parse_manifest((folder_of(run) / "copy/manifest.json").read_bytes())


def folder_of(run: TaskGroupRun) -> Path:
    return Path(run.xcom("finish")["url"].removeprefix("file://"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of the data and of the ids."""
    files = (path for path in folder.rglob("*.parquet") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def digests_of(index: str) -> dict[str, str]:
    reader = PineconeHook().records(index)
    digests = {}
    for namespace in reader.namespaces():
        digest = NamespaceDigest()
        for batch in reader.read(namespace):
            digest.add(batch.records)
        digests[namespace] = str(digest)
    return digests


def test_all_records_of_a_backup_are_copied(world: Emulator, clock: FakeClock, index: str, tmp_path: Path) -> None:
    backup_id = backup_of(world)
    run = export(clock, tmp_path).run_all()
    assert run.states == dict.fromkeys(ALL, "success"), {name: run.outcomes[name].message for name in run.outcomes}
    manifest = manifest_of(run)
    assert {row["name"]: row["digest"] for row in manifest["namespaces"]} == digests_of(index)
    assert (manifest["totals"]["records"], manifest["totals"]["namespaces"]) == (253, 3)
    assert manifest["frozen"]
    assert manifest["backup"]["backup_id"] == backup_id
    assert manifest["index"]["name"] == INDEX
    assert [each["name"] for each in world.indexes] == ["docs-example", INDEX]
    assert run.xcom("finish").items() >= {"records": 253, "backup_id": backup_id, "missing": 0}.items()


def test_a_namespace_that_is_no_folder_is_not_among_the_data(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path
) -> None:
    backup_of(world)
    run = export(clock, tmp_path).run_all()
    folders = {row["name"]: row["folder"] for row in manifest_of(run)["namespaces"]}
    assert folders == {"__default__": "data/__default__", "a/b": "upsert/ns-00000001", "plain": "data/plain"}
    assert sorted(path.name for path in (folder_of(run) / "data").iterdir()) == ["__default__", "plain"]


def test_two_runs_write_the_same_bytes(world: Emulator, clock: FakeClock, index: str, tmp_path: Path) -> None:
    backup_of(world)
    first = export(clock, tmp_path / "one").run_all()
    second = export(clock, tmp_path / "two").run_all()
    files = contents(folder_of(first))
    assert len(files) > 6
    assert files == contents(folder_of(second))


def test_a_clear_exports_no_part_twice(world: Emulator, clock: FakeClock, index: str, tmp_path: Path) -> None:
    backup_of(world)
    run = export(clock, tmp_path).run_all()
    before = contents(folder_of(run))
    (folder_of(run) / "copy/parts/part-00000002.json").unlink()
    part = next((folder_of(run) / "data").rglob("part-00000001.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    count = len(world.requests)
    run.clear().run_all()
    fetches = [each for each in world.requests[count:] if each.path.endswith("/vectors/fetch")]
    assert run.states == dict.fromkeys(ALL, "success")
    # One for the sample, and one for each of the two parts.
    assert len(fetches) == 3
    assert contents(folder_of(run)) == before


@pytest.mark.parametrize(("limit", "text"), [("max_read_units", "read units"), ("max_bytes", "bytes")])
def test_nothing_is_read_above_a_limit(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path, limit: str, text: str
) -> None:
    backup_of(world)
    limits: dict[str, Any] = {limit: 10}
    run = export(clock, tmp_path, **limits).run_all()
    failed = next(name for name, state in run.states.items() if state == "failed")
    assert failed == {"max_read_units": "plan", "max_bytes": "list_ids"}[limit]
    assert text in run.outcomes[failed].message
    assert not list(tmp_path.rglob("*.parquet"))
    assert [each["name"] for each in world.indexes] == ["docs-example", INDEX]


def test_a_backup_that_has_lost_a_record_is_not_copied(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path
) -> None:
    backup_id = backup_of(world)
    world.next_restore(backup_id, change=lose_record("", "record-0007"))
    run = export(clock, tmp_path).run_all()
    assert run.states["list_ids"] == "up_for_retry"
    assert "Its backup has 253 records, and the restored index reports 252" in run.outcomes["list_ids"].message
    assert run.states["delete_scratch"] == "success"


def test_a_record_that_is_not_returned_fails_its_part(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path
) -> None:
    backup_of(world)

    def omit(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "vectors": {key: row for key, row in answer["vectors"].items() if key != "record-0007"}}

    run = export(clock, tmp_path)
    world.fault("GET", "/data-plane/*/vectors/fetch", change_answer=omit, times=1000)
    run.run_all()
    assert run.states["export"] == "up_for_retry"
    assert "Unreadable: 1 record, such as record-0007" in run.outcomes["export"].message
    assert (run.states["finish"], run.states["delete_scratch"]) == ("upstream_failed", "success")
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.fixture
def kinds(world: Emulator) -> dict[str, str]:
    world.add_index("sparse", records=0, dimension=None, metric="dotproduct", vector_type="sparse")
    sparse = {"indices": [7, 3, 4_000_000_000], "values": [0.5, 0.25, 1e-8]}
    world.add_records("sparse", [{"id": f"s{n}", "sparseValues": sparse} for n in range(5)])
    world.add_index("hybrid", records=0, dimension=DIMENSION, metric="dotproduct")
    world.add_records("hybrid", [record(n, **({"sparseValues": sparse} if n % 2 else {})) for n in range(6)])
    return {"sparse": "id, sparse_values, metadata", "hybrid": "id, values, sparse_values, metadata"}


@pytest.mark.parametrize("name", ["sparse", "hybrid"])
def test_the_columns_are_those_that_pinecone_imports(
    world: Emulator, clock: FakeClock, kinds: dict[str, str], tmp_path: Path, name: str
) -> None:
    backup_of(world, name)
    run = export(clock, tmp_path, name).run_all()
    assert run.states["finish"] == "success", {each: run.outcomes[each].message for each in run.outcomes}
    [file] = (folder_of(run) / "data").rglob("*.parquet")
    assert ", ".join(pq.read_schema(file).names) == kinds[name]
    assert {row["name"]: row["digest"] for row in manifest_of(run)["namespaces"]} == digests_of(name)


def test_a_live_index_is_copied_without_a_scratch_index(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path
) -> None:
    run = export(clock, tmp_path, source="index").run_all()
    assert run.states == dict.fromkeys(("plan", "list_ids", "export", "finish"), "success")
    manifest = manifest_of(run)
    assert (manifest["frozen"], manifest["backup"], manifest["totals"]["records"]) == (False, None, 253)


def test_duckdb_reads_the_files(world: Emulator, clock: FakeClock, index: str, tmp_path: Path) -> None:
    backup_of(world)
    run = export(clock, tmp_path).run_all()
    data = [f"{folder_of(run)}/{name}/*/*.parquet" for name in ("data", "upsert")]
    query = "SELECT count(*), min(len(values)), max(metadata) FROM read_parquet(?)"
    [(count, numbers, text)] = duckdb.execute(query, [data]).fetchall()
    assert (count, numbers) == (253, DIMENSION)
    assert json.loads(text) == {**METADATA, "values": ["a"]}


def test_another_program_checks_a_copy(
    world: Emulator,
    clock: FakeClock,
    index: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backup_of(world)
    folder = folder_of(export(clock, tmp_path).run_all())
    monkeypatch.syspath_prepend(EXAMPLES)
    check = runpy.run_path(str(EXAMPLES / "check_copy_alone.py"))["check"]
    assert check(folder) == {"__default__": 250, "a/b": 2, "plain": 1}
    monkeypatch.setattr(sys, "argv", ["query_copy.py", str(folder)])
    runpy.run_path(str(EXAMPLES / "query_copy.py"))
    assert "('record-0000', [" in capsys.readouterr().out
    part = next((folder / "data").rglob("*.parquet"))
    content = part.read_bytes()
    part.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(AssertionError):
        check(folder)


def test_the_event_of_a_copy_has_its_details(world: Emulator, clock: FakeClock, index: str, tmp_path: Path) -> None:
    run = export(clock, tmp_path, source="index").run_all()
    assert run.outlet_events[copy_asset(INDEX)].extra == run.xcom("finish")


@pytest.mark.parametrize(
    "arguments",
    [
        {"source": "vectors"},
        {"source": "index", "backup_id": "b"},
        {"max_read_units": -1},
        {"max_bytes": "1"},
        {"part_bytes": 0},
        {"deferrable": "yes"},
        {"max_read_unit": 5},
    ],
)
def test_invalid_arguments_are_rejected(clock: FakeClock, tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(PineconeInputError):
        export(clock, tmp_path, **arguments)


def test_a_store_without_its_connection_is_not_used(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path
) -> None:
    backup_of(world)
    run = TaskGroupRun(clock, lambda: export_backup(INDEX, destination="s3://no_such_connection@vault/a")).run_all()
    assert run.states["plan"] == "up_for_retry"
    assert "Airflow did not find connection no_such_connection" in run.outcomes["plan"].message


def test_other_part_bytes_do_not_replace_the_parts_of_a_copy(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path
) -> None:
    backup_of(world)
    first = export(clock, tmp_path).run_all()
    before = contents(folder_of(first))
    manifest = (folder_of(first) / "copy/manifest.json").read_bytes()
    second = export(clock, tmp_path, part_bytes=20_000).run_all()
    assert second.xcom("finish") == first.xcom("finish")
    assert contents(folder_of(second)) == before
    # The manifest is the same, so its verifications remain valid.
    assert (folder_of(second) / "copy/manifest.json").read_bytes() == manifest


def test_lost_ids_are_listed_again(world: Emulator, clock: FakeClock, index: str, tmp_path: Path) -> None:
    backup_of(world)
    run = export(clock, tmp_path).run_all()
    before = contents(folder_of(run))
    (folder_of(run) / "copy/ids/part-00000001.parquet").unlink()
    (folder_of(run) / "copy/parts/part-00000001.json").unlink()
    assert run.clear().run_all().states == dict.fromkeys(ALL, "success")
    assert contents(folder_of(run)) == before


def test_the_estimate_of_the_response_bytes_is_about_right(
    world: Emulator, clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world.add_index(INDEX, records=0, dimension=DIMENSION)
    world.generate_records(INDEX, 3_000)
    backup_of(world)
    used = export(clock, tmp_path / "one").run_all().xcom("finish")["response_bytes"]
    assert export(clock, tmp_path / "two", max_bytes=used * 1.3).run_all().states["finish"] == "success"
    assert export(clock, tmp_path / "three", max_bytes=used * 0.7).run_all().states["list_ids"] == "failed"


def test_a_store_that_denies_writes_is_found_before_the_restore(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path
) -> None:
    backup_of(world)
    file = tmp_path / "file"
    file.write_text("no folder")
    run = export(clock, file).run_all()
    assert run.states["plan"] == "up_for_retry"
    assert "of a copy" in run.outcomes["plan"].message
    assert len(world.restore_jobs) == 0


def test_copies_are_listed_without_the_package(
    world: Emulator,
    clock: FakeClock,
    index: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backup_of(world)
    frozen = export(clock, tmp_path).run_all().xcom("finish")["url"]
    live = export(clock, tmp_path, source="index").run_all().xcom("finish")["url"]
    broken = tmp_path / "x/y/copy/manifest.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    monkeypatch.setattr(sys, "argv", ["list_copies.py", f"file://{tmp_path}"])
    capsys.readouterr()
    runpy.run_path(str(EXAMPLES / "list_copies.py"), run_name="__main__")
    output = capsys.readouterr()
    rows = [line.split("  ") for line in output.out.splitlines()]
    assert f"The manifest of file://{tmp_path}/x/y is invalid" in output.err
    assert sorted(row[1:] for row in rows) == sorted([[INDEX, "253 records", url] for url in (frozen, live)])
    assert rows == sorted(rows, reverse=True)


def test_a_damaged_copy_is_not_continued(world: Emulator, clock: FakeClock, index: str, tmp_path: Path) -> None:
    backup_of(world)
    run = export(clock, tmp_path).run_all()
    part = next(folder_of(run).rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    task = make_task(VerifyCopyOperator, clock, task_id="verify", copy=run.xcom("finish"), level=2)
    assert run_try(task, TaskInstance("verify")).state == "failed"
    assert run.clear("finish").run_all().states["finish"] == "failed"
    again = export(clock, tmp_path).run_all()
    assert again.states["plan"] == "failed"
    assert "did not pass its last verification" in again.outcomes["plan"].message
    assert export(clock, tmp_path / "other").run_all().states["finish"] == "success"


def test_a_backup_whose_record_count_is_unknown_is_not_copied(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path
) -> None:
    world.add_backup(INDEX, age=3600, record_count=None)
    run = export(clock, tmp_path).run_all()
    assert run.states["plan"] == "failed"
    assert "does not return how many records its backup has" in run.outcomes["plan"].message
    assert len(world.restore_jobs) == 0


def test_a_namespace_that_only_the_stats_have_is_waited_for(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path
) -> None:
    backup_of(world)
    run = export(clock, tmp_path)

    def more(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "namespaces": {**answer["namespaces"], "late": {"vectorCount": 1}}}

    # settle needs no longer to wait.
    run.before["list_ids"] = lambda: world.fault("*", "/data-plane/*/describe_index_stats", change_answer=more)
    run.run_all()
    assert run.states["list_ids"] == "up_for_retry"
    assert "Its backup has 253 records, and the restored index reports 254" in run.outcomes["list_ids"].message


def test_the_copy_of_a_live_index_is_as_old_as_the_start_of_its_run(
    world: Emulator, clock: FakeClock, index: str, tmp_path: Path
) -> None:
    run = export(clock, tmp_path, source="index").run_all()
    manifest = folder_of(run) / "copy/manifest.json"
    manifest.unlink()
    # Only its last task runs again, an hour later.
    run.clear("finish").run_all()
    assert manifest_of(run)["created_at"] == run.xcom("plan")["started_at"]
