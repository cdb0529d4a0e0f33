"""VerifyCopyOperator: what it verifies, logs, writes and returns, over exported copies on a disk and in S3."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import DAG
from support.clock import FakeClock
from support.copy_files import export_copy
from support.object_stores import S3Server, connect_s3, s3_server
from support.tasks import Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.api.records import IndexRecords
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import CopyFailed, PineconeInputError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateBackupOperator, VerifyCopyOperator
from airflow_pinecone.runtime.copies import copy_store

Verify = Callable[..., Outcome]
SUPPORT = {"name": "records", "dimension": 3, "metric": "cosine"}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.create_bucket("vault")
        yield server


@pytest.fixture
def records(world: Emulator, clock: FakeClock) -> IndexRecords:
    world.add_index("records", records=0, dimension=3)
    world.add_records("records", [{"id": f"{n}", "values": [n, 1, 2]} for n in range(120)])
    return PineconeHook(clock=clock).records("records")


@pytest.fixture
def verify(clock: FakeClock) -> Verify:
    """Run one try of the operator: `verify(copy=url)`."""

    def verify(**arguments: Any) -> Outcome:
        return run_try(make_task(VerifyCopyOperator, clock, task_id="verify", **arguments), TaskInstance("verify"))

    return verify


@pytest.fixture
def url(records: IndexRecords, tmp_path: Path) -> str:
    backup = {"backup_id": "b-1", "source_index_id": "i-1", "created_at": "2025-05-14T10:00:00Z"}
    return export_copy(records, tmp_path / "i-1" / "b-1", backup=backup).url


def path_of(url: str) -> Path:
    return Path(url.removeprefix("file://"))


def deliver(folder: Path) -> None:
    folder.mkdir(parents=True)
    values = pa.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], pa.list_(pa.float64()))
    pq.write_table(pa.table({"id": ["b", "a"], "values": values}), folder / "x.parquet")


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_complete_copy_passes(
    verify: Verify, url: str, level: int, clock: FakeClock, logged: Callable[[], str]
) -> None:
    outcome = verify(copy=url, level=level)
    assert outcome.state == "success", outcome.message
    report = outcome.value.pop("report")
    size = sum(file.stat().st_size for file in path_of(url).glob("data/*/*.parquet"))
    assert outcome.value == {
        "url": url,
        "index_name": "records",
        "backup_id": "b-1",
        "level": level,
        "namespaces": 1,
        "parts": 3,
        "records": 120,
        "bytes": size,
        "seconds": 0.0,
        "made_manifest": False,
    }
    assert f"The copy of index records passed level {level}: 120 records in 3 parts" in logged()
    written = json.loads((path_of(url) / report).read_bytes())
    assert (path_of(url) / "copy/verified/latest.json").read_bytes() == (path_of(url) / report).read_bytes()
    assert written == {
        "format": 1,
        "kind": "airflow-pinecone-verified-copy",
        "verified_at": clock.utcnow().isoformat(),
        "level": level,
        "namespaces": 1,
        "parts": 3,
        "records": 120,
        "bytes": size,
        "seconds": 0.0,
        "dag_id": "etl",
        "run_id": "manual__1",
        "task_id": "verify",
        "manifest_sha256": hashlib.sha256((path_of(url) / "copy/manifest.json").read_bytes()).hexdigest(),
    }


def test_the_result_of_an_export_is_a_copy(verify: Verify, url: str) -> None:
    assert verify(copy={"url": url, "records": 120}).value["records"] == 120


def test_a_damaged_copy_fails_without_a_retry_and_is_no_longer_verified(verify: Verify, url: str) -> None:
    latest = path_of(url) / "copy/verified/latest.json"
    assert verify(copy=url).state == "success"
    assert json.loads(latest.read_bytes())["level"] == 2
    (path_of(url) / "data/__default__/part-00000001.parquet").unlink()
    outcome = verify(copy=url)
    assert outcome.state == "failed"
    assert "1 file of 3 invalid: data/__default__/part-00000001.parquet: it does not exist" in outcome.message
    report = json.loads(latest.read_bytes())
    assert (report["level"], "does not exist" in report["problem"]) == (0, True)


def test_only_the_level_that_has_failed_can_pass_again(verify: Verify, url: str, logged: Callable[[], str]) -> None:
    latest = path_of(url) / "copy/verified/latest.json"
    part = path_of(url) / "data/__default__/part-00000001.parquet"
    good = part.read_bytes()
    part.write_bytes(good[:-1] + b"x")
    assert verify(copy=url, level=2).state == "failed"
    outcome = verify(copy=url, level=1)
    assert (outcome.state, outcome.value["level"]) == ("success", 1)
    assert "The copy still counts as damaged: its verification at level 2 has failed" in logged()
    assert json.loads(latest.read_bytes())["level"] == 0
    part.unlink()
    assert verify(copy=url, level=1).state == "failed"
    part.write_bytes(good[:-1] + b"x")
    assert verify(copy=url, level=1).state == "success"
    assert json.loads(latest.read_bytes())["failed_level"] == 2
    part.write_bytes(good)
    assert verify(copy=url, level=2).state == "success"
    assert json.loads(latest.read_bytes())["level"] == 2


def test_a_folder_without_a_manifest_fails(verify: Verify, tmp_path: Path) -> None:
    outcome = verify(copy=f"file://{tmp_path}")
    assert outcome.state == "failed"
    assert "copy/manifest.json does not exist" in outcome.message.lower()


def test_a_folder_that_cannot_be_opened_fails(verify: Verify) -> None:
    outcome = verify(copy="nosuchstore://conn@bucket/x")
    assert outcome.state == "failed"
    assert "The folder of a copy cannot be opened." in outcome.message


def test_a_manifest_is_made_for_a_copy_of_the_support_only_once(
    verify: Verify, tmp_path: Path, logged: Callable[[], str]
) -> None:
    deliver(tmp_path / "docs")
    exported_at = "2024-05-01T12:00:00-08:00"
    first = verify(copy=f"file://{tmp_path}", make_manifest=SUPPORT, exported_at=exported_at, level=1)
    assert first.state == "success", first.message
    assert (first.value["level"], first.value["made_manifest"], first.value["records"]) == (3, True, 2)
    assert first.value["backup_id"] is None
    assert "Wrote the manifest of the copy." in logged()
    assert "exported_at is not set" not in logged()
    manifest = json.loads((tmp_path / "copy/manifest.json").read_bytes())
    assert (manifest["index"], manifest["totals"]["records"]) == (SUPPORT, 2)
    assert manifest["created_at"] == "2024-05-01T20:00:00+00:00"
    second = verify(copy=f"file://{tmp_path}", make_manifest=SUPPORT, level=1)
    assert (second.value["level"], second.value["made_manifest"]) == (1, False)


def test_the_unknown_age_of_a_delivered_copy_is_logged(
    verify: Verify, tmp_path: Path, logged: Callable[[], str]
) -> None:
    deliver(tmp_path / "docs")
    assert verify(copy=f"file://{tmp_path}", make_manifest=SUPPORT).state == "success"
    assert "exported_at is not set: the age of the copy counts from now" in logged()


class SlowClock(FakeClock):
    """A clock that moves by 40 seconds each time that it is read."""

    def monotonic(self) -> float:
        self.sleep(40)
        return super().monotonic()


def test_the_progress_is_logged_every_minute(url: str, logged: Callable[[], str]) -> None:
    task = make_task(VerifyCopyOperator, SlowClock(), task_id="verify", copy=url, level=3)
    assert run_try(task, TaskInstance("verify")).state == "success"
    assert "50 records, " not in logged()
    assert "100 records, 1 records/s so far." in logged()


def test_a_copy_in_s3_is_verified(
    verify: Verify, records: IndexRecords, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = export_copy(records, f"s3://{connect_s3(s3, monkeypatch)}@vault/verified/i-1/b-1")
    outcome = verify(copy=store.url, level=3)
    assert outcome.state == "success", outcome.message
    assert outcome.value["records"] == 120
    assert "verified/i-1/b-1/copy/verified/latest.json" in s3.objects("vault")


def test_a_store_that_denies_the_report_only_warns(
    verify: Verify, records: IndexRecords, s3: S3Server, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]
) -> None:
    store = export_copy(records, f"s3://{connect_s3(s3, monkeypatch)}@vault/denied/i-1/b-1")
    s3.fail("PutObject", "vault/denied/*", "denied", times=None)
    outcome = verify(copy=store.url, level=2)
    assert outcome.state == "success", outcome.message
    assert outcome.value["report"] is None
    assert "The report was not written: PermissionError" in logged()


def test_a_store_that_fails_is_retried(
    verify: Verify, records: IndexRecords, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = export_copy(records, f"s3://{connect_s3(s3, monkeypatch)}@vault/failing/i-1/b-1")
    s3.fail("GetObject", "vault/failing/*/part-00000001.parquet", "denied", times=1)
    outcome = verify(copy=store.url, level=2)
    assert outcome.state == "up_for_retry"
    assert "Could not read data/__default__/part-00000001.parquet of a copy." in outcome.message
    assert verify(copy=store.url, level=2).state == "success"


@pytest.mark.parametrize(
    "arguments",
    [
        {"copy": ""},
        {"copy": None},
        {"copy": {"records": 1}},
        {"copy": "file:///x", "level": 4},
        {"copy": "file:///x", "level": True},
        {"copy": "file:///x", "make_manifest": True},
        {"copy": "file:///x", "make_manifest": {"metric": "cosine"}},
        {"copy": "file:///x", "make_manifest": SUPPORT, "exported_at": "yesterday"},
        {"copy": "file:///x", "make_manifest": SUPPORT, "exported_at": "2999-01-01T00:00:00Z"},
        {"copy": "file:///x", "exported_at": "2026-05-01T12:00:00Z"},
    ],
)
def test_an_invalid_argument_fails_the_import_of_the_dag(arguments: Any) -> None:
    with pytest.raises(PineconeInputError):
        VerifyCopyOperator(task_id="verify", **arguments)


def test_the_copy_and_the_index_can_come_from_other_tasks() -> None:
    with DAG("copies"):
        output: Any = CreateBackupOperator(task_id="backup", index_name="records").output
        task = VerifyCopyOperator(task_id="verify", copy=output, make_manifest=output["index"])
    assert task.upstream_task_ids == {"backup"}
    assert VerifyCopyOperator(task_id="other", copy="{{ params.copy }}").copy == "{{ params.copy }}"
    mapped: Any = VerifyCopyOperator.partial(task_id="mapped").expand(copy=["file:///a", "file:///b"])
    assert mapped.operator_class is VerifyCopyOperator


def test_a_template_that_renders_to_nothing_fails_without_a_retry(clock: FakeClock) -> None:
    task = make_task(VerifyCopyOperator, clock, task_id="verify", copy="{{ params.copy }}")
    task.copy = "None"
    outcome = run_try(task, TaskInstance("verify"))
    assert outcome.state == "failed"
    assert "copy must be the URL of a folder, or the result of an export, not 'None'." in outcome.message


def test_only_one_chunk_of_a_file_is_uploaded_at_a_time(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Each chunk is in memory, and has 50 MiB.
    store = copy_store(f"s3://{connect_s3(s3, monkeypatch)}@vault/chunks")
    file = tmp_path / "part"
    with file.open("wb") as part:
        part.truncate(150 * 2**20)
    s3.fail("UploadPart", "vault/chunks/*", "denied")
    with pytest.raises(CopyFailed):
        store.put("part", file)
    assert sum((each.operation, each.key) == ("UploadPart", "vault/chunks/part") for each in s3.requests) == 1
