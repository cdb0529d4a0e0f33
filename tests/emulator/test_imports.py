"""Bulk imports: what the emulator reads, what it refuses, and how an import changes over time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer
from support.clock import FakeClock
from support.emulator_client import Ask
from support.parquet import write_parquet
from support.records import host_path

from airflow_pinecone.emulator import Emulator

INDEX = "vectors"
ROWS: dict[str, list[Any]] = {
    "id": ["a", "b", "c"],
    "values": [[1.0, 0.0], [0.1, 2.0], [3.0, 4.0]],
    "metadata": ['{"year": 2020, "tags": ["x"]}', None, "{}"],
}
SPARSE = [{"indices": [7, 4294967295], "values": [0.5, 0.25]}, None, {"indices": [1], "values": [1.5]}]

DOCUMENTS = {"fields": {"v": {"type": "dense_vector", "dimension": 2, "metric": "cosine"}, "t": {"type": "string"}}}


@pytest.fixture(params=["2025-10", "2026-04", "2026-07"])
def api_version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "copy"


class Importer:
    """Starts imports into an index, and describes them."""

    def __init__(self, ask: Ask, emulator: Emulator, folder: Path) -> None:
        self._ask = ask
        self.path = host_path(emulator, INDEX) + "/bulk/imports"
        self.folder = folder

    def start(self, uri: str | None = None, on_error: str = "abort") -> str:
        body = {"uri": uri or self.folder.as_uri(), "errorMode": {"onError": on_error}}
        response = self._ask("POST", self.path, json=body)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    def describe(self, import_id: str) -> dict[str, Any]:
        response = self._ask("GET", f"{self.path}/{import_id}")
        assert response.status_code == 200, response.text
        described: dict[str, Any] = response.json()
        return described

    def run(self, uri: str | None = None, on_error: str = "abort") -> dict[str, Any]:
        import_id = self.start(uri, on_error)
        give_up_at = time.monotonic() + 60
        while (model := self.describe(import_id))["status"] in {"Pending", "InProgress"}:
            assert time.monotonic() < give_up_at
        return model


@pytest.fixture
def importer(ask: Ask, emulator: Emulator, folder: Path) -> Importer:
    emulator.add_index(INDEX, dimension=2, records=0)
    return Importer(ask, emulator, folder)


def check_failed(model: dict[str, Any], error: str) -> None:
    assert model["status"] == "Failed"
    assert error in model["error"]
    assert (model["recordsImported"], model["percentComplete"]) != (3, 100)


def test_records_of_all_namespaces_are_imported(importer: Importer, emulator: Emulator, folder: Path) -> None:
    write_parquet(folder / "__default__" / "0.parquet", ROWS)
    write_parquet(folder / "a b" / "0.parquet", {"id": ["1"], "values": [[5, 6]]})
    write_parquet(folder / "a b" / "1.parquet", {"id": ["2"], "values": [[7, 8]]})
    (folder / "a b" / "notes.txt").write_text("ignored")
    (folder / "manifest.json").write_text("ignored")
    model = importer.run()
    assert {name: model[name] for name in ("uri", "status", "recordsImported", "percentComplete")} == {
        "uri": folder.as_uri(),
        "status": "Completed",
        "recordsImported": 5,
        "percentComplete": 100.0,
    }
    assert emulator.namespaces(INDEX) == ["", "a b"]
    assert emulator.records(INDEX) == {
        "a": {"id": "a", "values": [1.0, 0.0], "metadata": {"year": 2020, "tags": ["x"]}},
        "b": {"id": "b", "values": [0.1, 2.0]},
        "c": {"id": "c", "values": [3.0, 4.0]},
    }
    assert list(emulator.records(INDEX, "a b")) == ["1", "2"]


@pytest.mark.parametrize("is_sparse", [False, True])
def test_sparse_values_are_imported(
    importer: Importer, emulator: Emulator, folder: Path, ask: Ask, is_sparse: bool
) -> None:
    columns = {**ROWS, "sparse_values": SPARSE}
    if is_sparse:
        emulator.add_index("s", dimension=None, metric="dotproduct", vector_type="sparse", records=0)
        columns = {"id": ["a", "c"], "sparse_values": [SPARSE[0], SPARSE[2]]}
    else:
        emulator.add_index("s", dimension=2, metric="dotproduct", records=0)
    write_parquet(folder / "n" / "0.parquet", columns)
    importer.path = host_path(emulator, "s") + "/bulk/imports"
    assert importer.run()["status"] == "Completed"
    records = emulator.records("s", "n")
    assert {i: record.get("sparseValues") for i, record in records.items()} == {
        each: values for each, values in zip("abc", SPARSE, strict=True) if each in columns["id"]
    }
    assert records["c"]["values"] == ([] if is_sparse else [3.0, 4.0])


@pytest.mark.parametrize("kind", [pa.large_list(pa.float32()), pa.list_(pa.float32(), 2)])
def test_variants_of_a_type_are_the_same_type_in_the_file(
    importer: Importer, emulator: Emulator, folder: Path, kind: Any
) -> None:
    write_parquet(folder / "n" / "0.parquet", ROWS, values=kind, id=pa.large_string(), metadata=pa.large_string())
    assert importer.run()["status"] == "Completed"
    assert [each["values"] for each in emulator.records(INDEX, "n").values()] == ROWS["values"]


@pytest.mark.parametrize(
    ("columns", "types", "error"),
    [
        (ROWS, {"values": pa.list_(pa.float64())}, "expected data type for column values is LIST<FLOAT>, not"),
        ({**ROWS, "id": [b"a", b"b", b"c"]}, {"id": pa.binary()}, "column id is STRING, not binary"),
        ({**ROWS, "metadata": [{"a": 1}] * 3}, {"metadata": None}, "column metadata is STRING, not struct"),
        ({**ROWS, "number": [1, 2, 3]}, {}, "The columns must be id, metadata, values, not id, values, metadata, numb"),
        ({**ROWS, "sparse_values": SPARSE}, {}, "The columns must be id, metadata, values, not"),
        ({"id": ROWS["id"]}, {}, "The column values is missing"),
        ({"values": ROWS["values"]}, {}, "The column id is missing"),
    ],
)
@pytest.mark.parametrize("on_error", ["abort", "continue"])
def test_invalid_columns_fail_the_import(
    importer: Importer,
    emulator: Emulator,
    folder: Path,
    columns: dict[str, list[Any]],
    types: dict[str, Any],
    error: str,
    on_error: str,
) -> None:
    write_parquet(folder / "n" / "0.parquet", ROWS)
    write_parquet(folder / "n" / "1.parquet", columns, **types)
    model = importer.run(on_error=on_error)
    check_failed(model, error)
    assert model["error"].endswith("copy/n/1.parquet).")
    assert emulator.namespaces(INDEX) == []


def test_wrong_type_of_sparse_indices_fails_the_import(importer: Importer, emulator: Emulator, folder: Path) -> None:
    emulator.add_index("hybrid", dimension=2, metric="dotproduct", records=0)
    importer.path = host_path(emulator, "hybrid") + "/bulk/imports"
    kind = pa.struct([("indices", pa.list_(pa.int64())), ("values", pa.list_(pa.float32()))])
    write_parquet(folder / "n" / "0.parquet", {**ROWS, "sparse_values": SPARSE}, sparse_values=kind)
    check_failed(importer.run(), "column sparse_values is STRUCT<indices: LIST<UINT_32>, values: LIST<FLOAT>>, not")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"values": [[1.0, 0.0], [1.0, 2.0, 3.0], [3.0, 4.0]]}, "Vector dimension 3 does not match"),
        ({"values": [[1.0, 0.0], None, [3.0, 4.0]]}, "Vector dimension 0 does not match"),
        ({"values": [[1.0, 0.0], [float("nan"), 1.0], [3.0, 4.0]]}, "must be finite numbers"),
        ({"values": [[1.0, 0.0], [0.0, 0.0], [3.0, 4.0]]}, "contains only zeros"),
        ({"values": [[1.0, 0.0], [1.0, 0.0], [3.0, 4.0]]}, "Record b has the same vector values as another record"),
        ({"metadata": [None, "{", None]}, "The metadata of record b is not JSON"),
        ({"metadata": [None, "[1]", None]}, "Metadata must be an object"),
        ({"metadata": [None, '{"a": {}}', None]}, "must be a string, number, boolean or list of strings"),
        ({"metadata": [None, '{"a": "' + "x" * 41_000 + '"}', None]}, "exceeds the limit of 40960 bytes"),
        ({"id": ["a", "\u00e9", "c"]}, "An id must have 1 to 512 ASCII characters"),
        ({"id": ["a", None, "c"]}, "An id must have 1 to 512 ASCII characters"),
    ],
)
def test_invalid_record_fails_the_import_or_is_skipped(
    importer: Importer, emulator: Emulator, folder: Path, changes: dict[str, Any], error: str
) -> None:
    write_parquet(folder / "n" / "0.parquet", {**ROWS, **changes})
    check_failed(importer.run(), error)
    assert emulator.namespaces(INDEX) == []
    model = importer.run(on_error="continue")
    assert (model["status"], model["recordsImported"]) == ("Completed", 2)
    assert list(emulator.records(INDEX, "n")) == ["a", "c"]


def test_identical_vectors_can_be_allowed(importer: Importer, emulator: Emulator, folder: Path) -> None:
    emulator.scenario.import_skips_identical = False
    write_parquet(folder / "n" / "0.parquet", {"id": ["a", "b"], "values": [[1, 0]] * 2})
    assert importer.run()["recordsImported"] == 2


def test_identical_vectors_in_other_files_are_found(importer: Importer, emulator: Emulator, folder: Path) -> None:
    write_parquet(folder / "n" / "0.parquet", {"id": ["a"], "values": [[1, 0]]})
    write_parquet(folder / "o" / "0.parquet", {"id": ["b"], "values": [[1, 0]]})
    assert importer.run(on_error="continue")["recordsImported"] == 1


@pytest.mark.parametrize("name", ["n", "__default__"])
def test_namespace_that_has_records_fails_the_import(
    importer: Importer, emulator: Emulator, folder: Path, name: str
) -> None:
    write_parquet(folder / name / "0.parquet", ROWS)
    emulator.add_records(INDEX, [{"id": "x", "values": [1, 1]}], namespace=name)
    model = importer.run()
    check_failed(model, "already")
    assert name in model["error"]
    internal = "" if name == "__default__" else name
    assert list(emulator.records(INDEX, internal)) == ["x"]


def test_second_import_of_the_same_files_fails(importer: Importer, folder: Path) -> None:
    write_parquet(folder / "n" / "0.parquet", ROWS)
    assert importer.run()["status"] == "Completed"
    check_failed(importer.run(), "Namespace n already exists")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("n/deeper/0.parquet", "is not in the directory of a namespace"),
        ("0.parquet", "is not in the directory of a namespace"),
        ("n/0.txt", "No Parquet files were found"),
        ("n" * 200 + "\u00e9/0.parquet", "The name of a namespace must have 1 to 512 ASCII characters"),
    ],
)
def test_invalid_directory_fails_the_import(importer: Importer, folder: Path, path: str, error: str) -> None:
    write_parquet(folder / path, ROWS)
    check_failed(importer.run(), error)


def test_file_that_is_not_parquet_fails_the_import(importer: Importer, folder: Path) -> None:
    (folder / "n").mkdir(parents=True)
    (folder / "n" / "0.parquet").write_bytes(b"PAR1, but not really" * 10)
    check_failed(importer.run(), "0.parquet cannot be read")


@pytest.mark.parametrize("api_version", ["2025-10"])
def test_too_many_namespaces_fail_the_import(importer: Importer, folder: Path) -> None:
    for number in range(10_001):
        (folder / f"{number}").mkdir(parents=True)
        (folder / f"{number}" / "0.parquet").touch()
    check_failed(importer.run(), "at most 10000 namespaces, not 10001")


# Over time


def test_import_goes_through_its_statuses(
    importer: Importer, emulator: Emulator, folder: Path, clock: FakeClock
) -> None:
    emulator.scenario.clock = clock
    emulator.next_import(INDEX, import_after=1000)
    write_parquet(folder / "n" / "0.parquet", ROWS)
    import_id = importer.start()
    seen = []
    for seconds in (0, 200, 300, 500):
        clock.now += seconds
        model = importer.describe(import_id)
        records = len(emulator.records(INDEX, "n"))
        seen.append((model["status"], model["percentComplete"], model["recordsImported"], records))
        assert ("finishedAt" in model) == (model["status"] == "Completed")
    assert seen == [("Pending", 0, 0, 0), ("InProgress", 20, 0, 0), ("InProgress", 50, 0, 0), ("Completed", 100, 3, 3)]


def test_import_that_is_not_visible_at_first(
    importer: Importer, emulator: Emulator, folder: Path, clock: FakeClock, ask: Ask
) -> None:
    emulator.scenario.clock = clock
    emulator.next_import("another", fails=True)
    emulator.next_import(import_visible_after=5)
    write_parquet(folder / "n" / "0.parquet", ROWS)
    import_id = importer.start()
    assert ask("GET", f"{importer.path}/{import_id}").status_code == 404
    assert ask("GET", importer.path).json()["data"] == []
    clock.now += 5
    assert [each["id"] for each in ask("GET", importer.path).json()["data"]] == [import_id]
    assert importer.describe(import_id)["status"] == "Completed"


def test_import_can_fail_as_planned(importer: Importer, emulator: Emulator, folder: Path) -> None:
    write_parquet(folder / "n" / "0.parquet", ROWS)
    emulator.next_import(fails=True, fields={"error": "no access"})
    emulator.next_import(import_ends="Cancelled")
    check_failed(importer.run(), "no access")
    assert importer.run()["status"] == "Cancelled"
    assert importer.run()["status"] == "Completed"


def test_cancelled_import_writes_nothing(
    importer: Importer, emulator: Emulator, folder: Path, clock: FakeClock, ask: Ask
) -> None:
    emulator.scenario.clock = clock
    emulator.scenario.import_after = 60
    write_parquet(folder / "n" / "0.parquet", ROWS)
    import_id = importer.start()
    for _ in range(2):
        clock.now += 40
        response = ask("DELETE", f"{importer.path}/{import_id}")
        assert (response.status_code, response.json()) == (200, {})
    assert importer.describe(import_id)["status"] == "Cancelled"
    assert emulator.namespaces(INDEX) == []


def test_completed_import_cannot_be_cancelled(importer: Importer, folder: Path, ask: Ask) -> None:
    write_parquet(folder / "n" / "0.parquet", ROWS)
    import_id = importer.start()
    assert ask("DELETE", f"{importer.path}/{import_id}").status_code == 200
    assert importer.describe(import_id)["status"] == "Completed"


def test_backup_with_a_lag_lacks_the_import_at_first(
    importer: Importer, emulator: Emulator, folder: Path, clock: FakeClock
) -> None:
    emulator.scenario.clock = clock
    emulator.scenario.backup_lag = 900
    write_parquet(folder / "n" / "0.parquet", ROWS)
    assert importer.run()["status"] == "Completed"
    assert emulator.add_backup(INDEX)["record_count"] == 0
    clock.now += 900
    assert emulator.add_backup(INDEX)["record_count"] == 3


def test_list_has_pages(importer: Importer, emulator: Emulator, folder: Path, ask: Ask) -> None:
    write_parquet(folder / "n" / "0.parquet", ROWS)
    ids = [importer.start() for _ in range(5)]
    listed, query = [], {"limit": "2"}
    while True:
        page = ask("GET", importer.path, params=query).json()
        listed.append([each["id"] for each in page["data"]])
        if "pagination" not in page:
            break
        query["paginationToken"] = page["pagination"]["next"]
    assert listed == [ids[:2:-1], ids[2:0:-1], ids[:1]]
    emulator.add_index("other", dimension=2, records=0)
    assert ask("GET", host_path(emulator, "other") + "/bulk/imports").json() == {"data": []}


# Requests


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "The uri must have 1 to 1500 characters"),
        ({"uri": "x" * 1501}, "The uri must have 1 to 1500 characters"),
        ({"uri": 5}, "uri has the wrong type"),
        ({"uri": "gs://bucket/x"}, "only from these storages: file, s3"),
        ({"uri": "file:///x", "errorMode": {"onError": "stop"}}, "onError must be abort or continue"),
        ({"uri": "file:///x", "integrationId": "x" * 1001}, "integrationId must have at most 1000"),
        ({"uri": "file:///x", "other": 1}, "Unknown fields: other"),
    ],
)
def test_invalid_request(importer: Importer, ask: Ask, body: dict[str, Any], error: str) -> None:
    response = ask("POST", importer.path, json=body)
    assert (response.status_code, response.json()["code"]) == (400, 3)
    assert error in response.json()["message"]


@pytest.mark.parametrize(
    ("fields", "status", "error"),
    [
        ({"spec": {"serverless": {"cloud": "gcp", "region": "us-central1"}}}, 400, "in gcp cannot import from Amazon"),
        ({"spec": {"pod": {"environment": "us-east-1-aws"}}}, 400, "is pod-based"),
        ({"state": "Initializing"}, 400, "is not ready"),
        (
            {
                "schema": {
                    "fields": {
                        "v": {"type": "dense_vector", "dimension": 2, "metric": "cosine"},
                        "t": {"type": "string"},
                    }
                }
            },
            501,
            "doc",
        ),
    ],
)
def test_index_that_cannot_import(
    ask: Ask, emulator: Emulator, fields: dict[str, Any], status: int, error: str
) -> None:
    emulator.add_index("other", records=0, **fields)
    response = ask("POST", host_path(emulator, "other") + "/bulk/imports", json={"uri": "s3://bucket/x"})
    assert response.status_code == status
    assert error in response.json()["message"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_import_of_another_index_is_not_found(
    importer: Importer, emulator: Emulator, folder: Path, ask: Ask, method: str
) -> None:
    emulator.add_index("other", dimension=2, records=0)
    import_id = importer.start()
    for path in (f"{importer.path}/999", f"{host_path(emulator, 'other')}/bulk/imports/{import_id}"):
        response = ask(method, path)
        assert (response.status_code, response.json()["code"]) == (404, 5)


def test_missing_package_is_named(importer: Importer, ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    response = ask("POST", importer.path, json={"uri": folder.as_uri()})
    assert response.status_code == 501
    assert "pyarrow" in response.json()["message"]


# S3


@pytest.fixture
def bucket(emulator: Emulator) -> Iterator[Any]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
    emulator.scenario.storage_options = options
    client = boto3.client(
        "s3",
        endpoint_url=options["endpoint_url"],
        aws_access_key_id="k",
        aws_secret_access_key="s",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="vault")
    yield client
    server.stop()


def test_import_from_s3(importer: Importer, emulator: Emulator, folder: Path, bucket: Any) -> None:
    for name in ("__default__", "a b"):
        write_parquet(folder / "0.parquet", {**ROWS, "values": [[len(name), each] for each in range(3)]})
        bucket.upload_file(str(folder / "0.parquet"), "vault", f"copies/1/{name}/0.parquet")
    model = importer.run("s3://vault/copies/1/")
    assert (model["status"], model["recordsImported"]) == ("Completed", 6)
    assert emulator.namespaces(INDEX) == ["", "a b"]


def test_missing_bucket_fails_the_import(importer: Importer, bucket: Any) -> None:
    assert importer.run("s3://missing/x")["status"] == "Failed"
