"""The task group that imports a copy: what it writes, what it refuses, and what it proves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clock import FakeClock
from support.copies import contents, error_of, export, make_import
from support.emulator_client import Ask
from support.object_stores import connection_to, s3_server
from support.rclone import rclone_server
from support.records import host_path
from support.task_groups import TaskGroupRun
from support.tasks import TaskInstance, make_task, run_try

from airflow_pinecone.copies import import_copy
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import VerifyCopyOperator
from airflow_pinecone.rules.scratch import is_scratch

INDEX, TARGET = "original", "restored"
UPSERTED = dict.fromkeys(("plan", "create", "upsert", "settle", "prove", "report"), "success")
METADATA = {"id": "x", "values": ["a"], "text": "ü\n", "number": 1984.0, "half": 0.5, "yes": True, "tags": ["a", "b"]}
ODD_IDS = ["#a", "/a?b=c&d", "a b", "a%2Fb", "z" * 512]
Import = Callable[..., TaskGroupRun]


def dense(record_id: str, seed: int, **fields: Any) -> dict[str, Any]:
    values = np.random.default_rng(seed).standard_normal(8).astype(np.float32).tolist()
    return {"id": record_id, "values": values, **fields}


def sparse(record_id: str, seed: int, **fields: Any) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    indices = sorted({int(each) for each in random.integers(0, 2**32 - 1, 5, np.uint32)})
    values = random.random(len(indices), np.float32).tolist()
    return {"id": record_id, "sparseValues": {"indices": indices, "values": values}, **fields}


def hybrid(record_id: str, seed: int, **fields: Any) -> dict[str, Any]:
    return {**dense(record_id, seed), **(sparse(record_id, seed) if seed % 2 else {}), **fields}


SHAPES: dict[str, tuple[dict[str, Any], Callable[..., dict[str, Any]]]] = {
    "dense": ({"dimension": 8, "metric": "cosine"}, dense),
    "sparse": ({"dimension": None, "metric": "dotproduct", "vector_type": "sparse"}, sparse),
    "hybrid": ({"dimension": 8, "metric": "dotproduct"}, hybrid),
}


def fill(emulator: Emulator, shape: str = "dense", name: str = INDEX) -> None:
    """Add an index with 208 records in three namespaces."""
    fields, record = SHAPES[shape]
    emulator.add_index(name, records=0, tags={"team": "search"}, **fields)
    emulator.add_records(name, [record(f"record-{seed:04}", seed) for seed in range(200)])
    emulator.add_records(name, [record(each, seed, metadata={"n": seed}) for seed, each in enumerate(ODD_IDS)], "a/b")
    emulator.add_records(
        name,
        [
            record("1", 301, metadata=METADATA),
            record("2", 302, metadata={"": "", "_x": [], "ü": 2**53}),
            record("3", 303),
        ],
        "plain",
    )


@pytest.fixture
def copy(world: Emulator, clock: FakeClock, tmp_path: Path) -> str:
    """Copy an index with dense records, and return the URL of the copy."""
    fill(world)
    return export(world, clock, INDEX, tmp_path)


@pytest.fixture
def run_import(clock: FakeClock) -> Import:
    """Return a function that runs an import, each time in another run of the DAG."""
    return lambda url, **arguments: make_import(clock, url, TARGET, **arguments).run_all()


def index_of(emulator: Emulator, name: str = TARGET) -> dict[str, Any]:
    return next(index for index in emulator.indexes if index["name"] == name)


def delete(ask: Ask, emulator: Emulator, record_id: str, namespace: str = "") -> None:
    path = host_path(emulator, TARGET) + "/vectors/delete"
    body = {"ids": [record_id], **({"namespace": namespace} if namespace else {})}
    assert ask("POST", path, json=body).status_code == 200


def folder_of(url: str) -> Path:
    return Path(url.removeprefix("file://"))


# What is written


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", ["upsert", "import"])
def test_an_import_writes_all_records_and_proves_it(
    method: str, shape: str, deferrable: bool, world: Emulator, clock: FakeClock, tmp_path: Path, run_import: Import
) -> None:
    fill(world, shape)
    url = export(world, clock, INDEX, tmp_path)
    run = run_import(url, method=method, deferrable=deferrable)
    tasks = {**UPSERTED, "start_import": "success"} if method == "import" else UPSERTED
    assert run.states == tasks, error_of(run)
    assert contents(world, TARGET) == contents(world, INDEX)
    result = run.xcom("report")
    assert (result["verdict"], result["problems"], result["records"], result["repaired"]) == ("proved", [], 208, 0)
    assert [(row["namespace"], row["records"]) for row in result["namespaces"]] == [
        ("__default__", 200),
        ("a/b", 5),
        ("plain", 3),
    ]
    assert all(row["digest"] == row["expected_digest"] for row in result["namespaces"])
    # The proof reads, and the upserts write.
    assert result["usage"]["read_units"] > 20
    assert result["usage"]["request_bytes"] > 0
    original, index = index_of(world, INDEX), index_of(world)
    assert [index.get(name) for name in ("metric", "dimension")] == [
        original.get(name) for name in ("metric", "dimension")
    ]
    assert index["tags"]["team"] == "search"


def test_the_new_index_can_be_elsewhere(copy: str, world: Emulator, run_import: Import) -> None:
    run = run_import(copy, cloud="gcp", region="europe-west4", tags={"a": "b"}, deletion_protection="enabled")
    assert run.states == UPSERTED, error_of(run)
    index = index_of(world)
    assert index["spec"]["serverless"].items() >= {"cloud": "gcp", "region": "europe-west4"}.items()
    assert (index["tags"].items() >= {"a": "b"}.items(), "team" in index["tags"]) == (True, False)
    assert index["deletion_protection"] == "enabled"


def test_pinecone_imports_a_copy_in_s3(
    world: Emulator, clock: FakeClock, run_import: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world)
    with s3_server() as server:
        server.create_bucket("vault")
        monkeypatch.setenv("AIRFLOW_CONN_AWS_TEST", server.connection())
        world.scenario.storage_options = {"key": "testing", "secret": "testing", "endpoint_url": server.url}
        url = export(world, clock, INDEX, "s3://aws_test@vault/copies")
        run = run_import(url, integration_id="i-1")
    assert run.states == {**UPSERTED, "start_import": "success"}, error_of(run)
    assert run.xcom("report")["bulk_import"]["uri"] == url.replace("aws_test@", "") + "/data"
    assert contents(world, TARGET) == contents(world, INDEX)


def test_a_copy_is_the_same_in_another_implementation_of_s3(
    world: Emulator, clock: FakeClock, run_import: Import, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(world)
    (tmp_path / "vault").mkdir()
    with rclone_server(tmp_path) as server:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_RCLONE", connection_to(server))
        world.scenario.storage_options = {"key": "testing", "secret": "testing", "endpoint_url": server}
        url = export(world, clock, INDEX, "s3://aws_rclone@vault/copies")
        run = run_import(url, integration_id="i-1")
        task = make_task(VerifyCopyOperator, clock, task_id="verify", copy=url, level=3)
        verified = run_try(task, TaskInstance("verify"))
    assert run.states == {**UPSERTED, "start_import": "success"}, error_of(run)
    assert contents(world, TARGET) == contents(world, INDEX)
    assert (verified.state, verified.value["records"]) == ("success", 208)


def test_the_result_of_an_export_can_be_imported(copy: str, world: Emulator, run_import: Import) -> None:
    run = run_import({"url": copy, "records": 208})
    assert run.xcom("report")["url"] == copy


def test_a_bulk_import_skips_records_with_the_values_of_another_one_and_the_proof_writes_them(
    world: Emulator, clock: FakeClock, tmp_path: Path, run_import: Import
) -> None:
    fill(world)
    world.add_records(INDEX, [dense(f"same-{number}", 7, metadata={"n": number}) for number in range(5)])
    run = run_import(export(world, clock, INDEX, tmp_path), method="import")
    result = run.xcom("report")
    assert (result["verdict"], result["repaired"]) == ("proved", 5), error_of(run)
    assert result["bulk_import"]["recordsImported"] == 203
    assert contents(world, TARGET) == contents(world, INDEX)


def test_a_namespace_gets_its_schema(
    world: Emulator, clock: FakeClock, tmp_path: Path, ask: Ask, run_import: Import
) -> None:
    fill(world)
    schema = {"fields": {"n": {"filterable": True}}}
    body = {"name": "typed", "schema": schema}
    assert ask("POST", host_path(world, INDEX) + "/namespaces", json=body).status_code == 200
    world.add_records(INDEX, [dense("1", 1)], "typed")
    url = export(world, clock, INDEX, tmp_path)
    run = run_import(url)
    assert run.states == UPSERTED, error_of(run)
    assert ask("GET", host_path(world, TARGET) + "/namespaces/typed").json()["schema"] == schema
    # A bulk import would create the namespace without its schema.
    imported = make_import(clock, url, "other", method="import").run_all()
    assert imported.xcom("report")["verdict"] == "proved", error_of(imported)
    assert ask("GET", host_path(world, "other") + "/namespaces/typed").json()["schema"] == schema


def test_lost_answers_and_failed_requests_lose_no_record(copy: str, world: Emulator, run_import: Import) -> None:
    world.fault("POST", "*/vectors/upsert", status=503, work=True, times=3)
    world.fault("POST", "/indexes", drop="after")
    world.fault("GET", "*/vectors/fetch", status=429, times=3)
    run = run_import(copy)
    assert run.states == UPSERTED, error_of(run)
    assert contents(world, TARGET) == contents(world, INDEX)


def test_writes_that_are_visible_late_are_waited_for(copy: str, world: Emulator, run_import: Import) -> None:
    world.scenario.writes_visible_after = 120
    run = run_import(copy)
    assert run.states == UPSERTED, error_of(run)
    assert run.xcom("report")["repaired"] == 0


def test_a_clear_writes_the_records_that_are_missing(copy: str, world: Emulator, run_import: Import, ask: Ask) -> None:
    run = run_import(copy)
    delete(ask, world, "2", "plain")
    assert run.clear("upsert", "settle", "prove", "report").run_all().states == UPSERTED, error_of(run)
    assert contents(world, TARGET) == contents(world, INDEX)


@pytest.mark.parametrize("tasks", [(), ("upsert", "settle", "prove", "report")])
def test_a_clear_does_not_overwrite_what_was_changed_since(
    tasks: tuple[str, ...], copy: str, world: Emulator, run_import: Import
) -> None:
    run = run_import(copy)
    world.add_records(TARGET, [dense("record-0005", 901, metadata={"new": True}), dense("own", 900)])
    before = contents(world, TARGET)
    run.clear(*tasks).run_all()
    assert contents(world, TARGET) == before
    assert run.states["report"] == "failed"
    assert "1 record extra, such as own; 1 record changed, such as record-0005" in error_of(run)
    assert "Delete it" not in error_of(run)


@pytest.mark.parametrize("tasks", [(), ("upsert", "settle", "prove", "report")])
def test_a_cleared_upsert_that_never_ran_overwrites_nothing(
    tasks: tuple[str, ...], copy: str, world: Emulator, clock: FakeClock
) -> None:
    run = make_import(clock, copy, TARGET)
    # A timeout of the run has ended it before the first upsert.
    run.states |= dict.fromkeys(("upsert", "settle", "prove", "report"), "skipped")
    run.run_all()
    world.add_records(TARGET, [dense("record-0005", 901, metadata={"new": True})])
    before = contents(world, TARGET)[""]
    run.first_tries.add("upsert")
    run.clear(*tasks).run_all()
    assert contents(world, TARGET)[""].items() >= before.items()
    assert sum(each["written"] for each in run.results("upsert")) == 207


def test_a_damaged_copy_is_not_imported(copy: str, world: Emulator, clock: FakeClock, run_import: Import) -> None:
    part = next(folder_of(copy).rglob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    task = make_task(VerifyCopyOperator, clock, task_id="verify", copy=copy, level=2)
    assert run_try(task, TaskInstance("verify")).state == "failed"
    run = run_import(copy)
    assert run.states["plan"] == "failed"
    assert "did not pass its last verification" in error_of(run)
    assert TARGET not in {index["name"] for index in world.indexes}


# What is refused


def test_a_folder_without_a_manifest_is_refused(world: Emulator, tmp_path: Path, run_import: Import) -> None:
    run = run_import(f"file://{tmp_path}/nothing")
    assert run.states["plan"] == "failed"
    assert "Copy/manifest.json does not exist" in error_of(run)
    assert {state for name, state in run.states.items() if name != "plan"} == {"upstream_failed"}
    assert [index["name"] for index in world.indexes] == ["docs-example"]


def test_a_damaged_part_is_not_written(copy: str, world: Emulator, run_import: Import) -> None:
    part = next(folder_of(copy).glob("data/plain/*.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    run = run_import(copy)
    assert run.states["upsert"] == "failed"
    assert "its SHA-256 is not the one of the manifest" in error_of(run)
    assert run.states["report"] == "upstream_failed"
    assert "plain" not in world.namespaces(TARGET)


@pytest.mark.parametrize("method", ["upsert", "import"])
def test_an_index_with_records_is_not_written_to(method: str, copy: str, world: Emulator, run_import: Import) -> None:
    world.add_index(TARGET, records=3, dimension=8, metric="cosine")
    before = contents(world, TARGET)
    run = run_import(copy, method=method)
    assert run.states["create"] == "failed"
    assert "It has 3 records" in error_of(run)
    assert contents(world, TARGET) == before


def test_a_copy_without_namespaces_that_pinecone_can_import_is_refused(
    world: Emulator, clock: FakeClock, tmp_path: Path, run_import: Import
) -> None:
    world.add_index(INDEX, records=0, dimension=8)
    world.add_records(INDEX, [dense("1", 1)], "a/b")
    run = run_import(export(world, clock, INDEX, tmp_path), method="import")
    assert "no namespace with records that Pinecone can import" in error_of(run)
    assert "Set method='upsert'." in error_of(run)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"method": "copy"}, "method must be"),
        ({"method": "import", "into_existing": True}, "into_existing needs"),
        ({"timeout": -1}, "timeout"),
        ({"index_name": "UPPER"}, "UPPER"),
        ({"method": "import", "on_error": "ignore"}, "on_error must be"),
    ],
    ids=str,
)
def test_invalid_arguments_fail_before_a_run(arguments: dict[str, Any], problem: str, clock: FakeClock) -> None:
    with pytest.raises(PineconeInputError, match=problem):
        TaskGroupRun(clock, lambda: import_copy("file:///x", **{"index_name": TARGET, **arguments}))


# Adding to an index


def test_into_existing_only_adds(copy: str, world: Emulator, run_import: Import, logged: Callable[[], str]) -> None:
    world.add_index(TARGET, records=0, dimension=8, metric="cosine")
    own = dense("own", 900)
    other, same = dense("record-0005", 901, metadata={"mine": True}), dense("record-0006", 6)
    world.add_records(TARGET, [own, other, same])
    before = contents(world, TARGET)[""]
    run = run_import(copy, into_existing=True, integration_id="i-1")
    assert run.states == UPSERTED, error_of(run)
    assert contents(world, TARGET) == {
        **contents(world, INDEX),
        "": {**contents(world, INDEX)[""], **before},
    }
    result = run.xcom("report")
    assert (result["verdict"], result["kept"], result["method"]) == ("added", 1, "upsert")
    assert "Index restored has the ids of all 208 records of the copy, but 1 record had other content" in logged()
    assert "Proved" not in logged()
    kinds = [finding["kind"] for row in result["namespaces"] for finding in row["findings"]]
    assert sorted(kinds) == ["changed", "extra"]
    assert sum(each["written"] for each in run.results("upsert")) == 206


def test_into_existing_upserts_a_record_that_is_missing(copy: str, world: Emulator, clock: FakeClock, ask: Ask) -> None:
    world.add_index(TARGET, records=0, dimension=8, metric="cosine")
    world.add_records(TARGET, [dense("own", 900)])
    run = make_import(clock, copy, TARGET, into_existing=True)
    run.before["prove"] = lambda: delete(ask, world, "2", "plain")
    run.run_all()
    result = run.xcom("report")
    assert (result["verdict"], result["repaired"]) == ("proved", 1), error_of(run)


# What a proof finds


def test_a_missing_record_is_upserted(copy: str, world: Emulator, clock: FakeClock, ask: Ask) -> None:
    run = make_import(clock, copy, TARGET)
    run.before["prove"] = lambda: delete(ask, world, "record-0100")
    assert run.run_all().states == UPSERTED, error_of(run)
    assert run.xcom("report")["repaired"] == 1
    assert contents(world, TARGET) == contents(world, INDEX)


def test_the_proof_waits_until_the_missing_record_is_visible(
    copy: str, world: Emulator, clock: FakeClock, ask: Ask
) -> None:
    run = make_import(clock, copy, TARGET)

    def lose() -> None:
        delete(ask, world, "record-0100")
        world.scenario.writes_visible_after = 300

    run.before["prove"] = lose
    assert run.run_all().states == UPSERTED, error_of(run)
    assert run.xcom("report")["repaired"] == 1


@pytest.mark.parametrize(
    ("record", "namespace", "problem"),
    [
        (dense("record-0007", 8), "", "namespace __default__: 1 record changed, such as record-0007"),
        (dense("record-0007", 7, metadata={"n": 1}), "", "namespace __default__: 1 record changed"),
        (dense("more", 7), "plain", "namespace plain: 1 record extra, such as more"),
        (dense("more", 7), "new", "namespace new: 1 record extra, such as more"),
    ],
    ids=["values", "metadata", "extra", "namespace"],
)
def test_the_report_fails_if_the_index_has_other_records(
    record: dict[str, Any], namespace: str, problem: str, copy: str, world: Emulator, clock: FakeClock
) -> None:
    run = make_import(clock, copy, TARGET)
    run.before["settle"] = lambda: world.add_records(TARGET, [record], namespace)
    run.run_all()
    assert run.states == {**UPSERTED, "report": "failed"}
    assert problem.lower() in error_of(run).lower()
    result = run.xcom("report")
    assert result["verdict"] == "failed"
    assert any(problem in each for each in result["problems"])


def test_a_record_that_the_import_lost_for_ever_fails_the_report(
    copy: str, world: Emulator, clock: FakeClock, ask: Ask
) -> None:
    run = make_import(clock, copy, TARGET)

    def lose() -> None:
        delete(ask, world, "2", "plain")
        # From now on, nothing that is written becomes visible.
        world.scenario.writes_visible_after = 1e9

    run.before["prove"] = lose
    run.run_all()
    assert run.states["report"] == "failed"
    assert "namespace plain: 1 record missing, such as 2" in error_of(run).replace("Namespace", "namespace")


# Drills


def test_drill_deletes_the_index_that_it_has_created(copy: str, world: Emulator, run_import: Import) -> None:
    run = run_import(copy, delete_index=True)
    assert run.states == {**UPSERTED, "delete_index": "success"}, error_of(run)
    assert run.xcom("report")["verdict"] == "proved"
    assert TARGET not in {index["name"] for index in world.indexes}
    # Until then, an audit shows that it is a scratch index.
    assert is_scratch(run.xcom("create"))


def test_drill_deletes_the_index_although_the_proof_fails(copy: str, world: Emulator, run_import: Import) -> None:
    world.fault("GET", "/data-plane/*/vectors/fetch", status=403, times=None)
    run = run_import(copy, delete_index=True)
    assert (run.states["prove"], run.states["delete_index"]) == ("failed", "success")
    assert TARGET not in {index["name"] for index in world.indexes}


def test_drill_keeps_an_index_that_existed(copy: str, world: Emulator, run_import: Import) -> None:
    world.add_index(TARGET, records=0, dimension=8)
    run = run_import(copy, delete_index=True)
    assert run.xcom("delete_index") is False
    assert contents(world, TARGET) == contents(world, INDEX)


def test_drill_keeps_another_index_that_took_the_name(copy: str, world: Emulator, clock: FakeClock) -> None:
    run = make_import(clock, copy, TARGET, delete_index=True).run_all()
    world.add_index(TARGET, records=0, dimension=8)
    run.states.pop("delete_index")
    run.run_all()
    assert run.states["delete_index"] == "success"
    assert TARGET in {index["name"] for index in world.indexes}


def test_files_that_are_not_of_the_copy_are_not_imported(copy: str, world: Emulator, run_import: Import) -> None:
    part = next((folder_of(copy) / "data" / "plain").glob("*.parquet"))
    part.with_name("part-00000099.parquet").write_bytes(part.read_bytes())
    run = run_import(copy, method="import")
    assert run.states["plan"] == "failed"
    assert "1 file below data not in the manifest, such as data/plain/part-00000099.parquet" in error_of(run)
    assert TARGET not in {index["name"] for index in world.indexes}
    assert run_import(copy, method="upsert").xcom("report")["verdict"] == "proved"


def test_clear_continues_with_the_index_of_the_run(copy: str, world: Emulator, clock: FakeClock) -> None:
    run = make_import(clock, copy, TARGET)
    world.fault("GET", "/data-plane/*/vectors/fetch", status=403)
    assert run.run_all().states["prove"] == "failed"
    assert run.clear().run_all().states == UPSERTED, error_of(run)
    assert contents(world, TARGET) == contents(world, INDEX)


def test_two_imports_do_not_share_an_index(copy: str, world: Emulator, clock: FakeClock) -> None:
    first = make_import(clock, copy, TARGET)
    world.fault("POST", "/data-plane/*/vectors/upsert", status=403)
    assert first.run_all().states["upsert"] == "failed"
    second = make_import(clock, copy, TARGET).run_all()
    assert second.states["create"] == "failed"
    assert "another import has created it" in error_of(second).lower()


def test_failed_drill_fails_the_run(copy: str, clock: FakeClock) -> None:
    run = make_import(clock, copy, TARGET, delete_index=True)
    # Airflow decides on a run by its leaves.
    assert run.leaves == {"report", "delete_index"}


@pytest.mark.parametrize("schema", [{"fields": {"year": {"filterable": True}}}])
def test_empty_namespace_gets_its_schema(
    schema: dict[str, Any], world: Emulator, clock: FakeClock, tmp_path: Path, run_import: Import
) -> None:
    fill(world)
    PineconeHook(clock=clock).writer(INDEX).create_namespace("empty", schema)
    run = run_import(export(world, clock, INDEX, tmp_path))
    assert run.states == UPSERTED, error_of(run)
    assert PineconeHook(clock=clock).records(TARGET).namespace_details()["empty"].schema == schema
