"""CopyReader and make_manifest: what they find in the files of a copy, which an emulator's index was exported to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.clock import FakeClock
from support.copy_files import export_copy, store_of

from airflow_pinecone.api.record import Record
from airflow_pinecone.api.records import IndexRecords
from airflow_pinecone.copying.delivered import make_manifest
from airflow_pinecone.copying.export import list_parts
from airflow_pinecone.copying.parquet import PartWriter, read_part, sha256_of
from airflow_pinecone.copying.read import CopyReader, Level
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import CopyInvalid
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.rules.copy_format import InvalidCopy, encode, parse_manifest, sum_of, totals_of
from airflow_pinecone.rules.digests import NamespaceDigest

DIMENSION = 8
INDEX: dict[str, Any] = {"name": "records", "dimension": DIMENSION, "metric": "cosine", "vector_type": "dense"}


def rows(ids: list[str], **fields: Any) -> list[dict[str, Any]]:
    values = np.random.default_rng(7).standard_normal((len(ids), DIMENSION)).astype(np.float32).tolist()
    return [
        {"id": each, "values": value, "metadata": {"n": number}, **fields}
        for number, (each, value) in enumerate(zip(ids, values, strict=True))
    ]


@pytest.fixture
def records(world: Emulator, clock: FakeClock) -> IndexRecords:
    world.add_index("records", records=0, dimension=DIMENSION)
    world.add_records("records", rows([f"{number}" for number in range(120)]))
    world.add_records("records", rows(["a", "b"]), namespace="a/b")
    return PineconeHook(clock=clock).records("records")


@pytest.fixture
def folder(records: IndexRecords, tmp_path: Path) -> Path:
    """Export the index in four parts: three of the default namespace, and one of a/b."""
    export_copy(records, tmp_path / "copy-of-it")
    return tmp_path / "copy-of-it"


def part_of(folder: Path, number: int) -> Path:
    return next(file for file in folder.glob(f"*/*/part-{number:08}.parquet") if file.parent.name != "ids")


def why(folder: Path, level: Level) -> str:
    with pytest.raises(CopyInvalid) as caught:
        CopyReader(store_of(folder)).verify(level)
    return str(caught.value)


def change_manifest(folder: Path, **fields: Any) -> None:
    file = folder / "copy" / "manifest.json"
    file.write_bytes(encode({**json.loads(file.read_bytes()), **fields}))


def change_part(folder: Path, number: int, **fields: Any) -> None:
    """Change what the manifest says about a part, so that the sums still agree."""
    manifest = json.loads((folder / "copy" / "manifest.json").read_bytes())
    manifest["parts"][number].update(fields)
    for namespace in manifest["namespaces"]:
        own = [part for part in manifest["parts"] if part["namespace"] == namespace["name"]]
        namespace.update(records=sum(p["records"] for p in own), digest=sum_of(p["digest"] for p in own))
    manifest["totals"] = totals_of(manifest["namespaces"], manifest["parts"])
    change_manifest(folder, **manifest)


def rewrite(folder: Path, number: int, found: list[Record]) -> None:
    """Write other records to a part; the manifest has the size and the SHA-256 of the new file."""
    file = part_of(folder, number)
    writer = PartWriter(file, "dense")
    writer.add(found)
    writer.close()
    change_part(folder, number, bytes=file.stat().st_size, sha256=sha256_of(file))


def records_in(folder: Path, namespace: str = "__default__") -> list[Record]:
    return [record for batch in CopyReader(store_of(folder)).records(namespace) for record in batch]


# What is verified


@pytest.mark.parametrize("level", [1, 2, 3])
def test_an_exported_copy_passes_each_level(folder: Path, level: Level) -> None:
    seen: list[int] = []
    found = CopyReader(store_of(folder)).verify(level, on_records=seen.append)
    size = sum(file.stat().st_size for file in folder.glob("*/*/part-*.parquet") if file.parent.parent.name != "copy")
    assert found == {"level": level, "namespaces": 2, "parts": 4, "records": 122, "bytes": size}
    assert sum(seen) == 122


def test_a_copy_without_a_manifest_is_invalid(folder: Path) -> None:
    (folder / "copy" / "manifest.json").unlink()
    text = why(folder, 1)
    assert "copy/manifest.json does not exist" in text.lower()
    assert "if it has failed, clear it" in text
    assert str(folder) in text


@pytest.mark.parametrize(("content", "reason"), [(b"{", "not JSON"), (b'{"format": 9}', "this release reads format 1")])
def test_a_manifest_that_cannot_be_read_is_invalid(folder: Path, content: bytes, reason: str) -> None:
    (folder / "copy" / "manifest.json").write_bytes(content)
    assert reason in why(folder, 1)


def test_level_1_finds_missing_and_truncated_files(folder: Path) -> None:
    part_of(folder, 0).unlink()
    part_of(folder, 3).write_bytes(part_of(folder, 3).read_bytes()[:-1])
    text = why(folder, 1)
    assert "2 files of 4 invalid" in text
    assert "part-00000000.parquet: it does not exist" in text
    assert "upsert/ns-00000001/part-00000003.parquet: it has" in text


def test_an_error_names_ten_files_and_how_many_more(records: IndexRecords, tmp_path: Path) -> None:
    export_copy(records, tmp_path / "many", records_per_part=10)
    for number in range(12):
        part_of(tmp_path / "many", number).unlink()
    text = why(tmp_path / "many", 1)
    assert "12 files of 13 invalid" in text
    assert text.count("it does not exist") == 10
    assert "; 2 more." in text


def test_level_2_finds_a_changed_byte_that_level_1_does_not(folder: Path) -> None:
    content = bytearray(part_of(folder, 1).read_bytes())
    content[100] ^= 1
    part_of(folder, 1).write_bytes(content)
    assert CopyReader(store_of(folder)).verify(1)["parts"] == 4
    assert "part-00000001.parquet: its SHA-256 is not the one of the manifest" in why(folder, 2)


def test_a_file_in_the_folder_of_another_namespace_is_invalid(folder: Path) -> None:
    os.renames(part_of(folder, 1), folder / "data" / "other" / "part-00000001.parquet")
    change_part(folder, 1, file="data/other/part-00000001.parquet")
    assert "it is not in the folder of its namespace" in why(folder, 1)


def test_level_3_finds_a_changed_value_that_level_2_does_not(folder: Path) -> None:
    found = records_in(folder)[:50]
    found[7] = found[7]._replace(values=found[7].values + np.float32(1))
    rewrite(folder, 0, found)
    assert CopyReader(store_of(folder)).verify(2)["parts"] == 4
    assert "part-00000000.parquet: its records have another digest" in why(folder, 3)


def test_level_3_finds_ids_that_are_not_in_order(folder: Path) -> None:
    rewrite(folder, 0, records_in(folder)[:50][::-1])
    assert "its ids are not in ascending order" in why(folder, 3)


def test_level_3_finds_ids_outside_of_the_first_and_last_one(folder: Path) -> None:
    change_part(folder, 0, last_id="1")
    assert "it has other ids than the manifest says" in why(folder, 3)


def test_level_3_finds_parts_whose_ids_overlap(folder: Path) -> None:
    change_part(folder, 0, last_id="9")
    assert "data/__default__: the ids of its files overlap" in why(folder, 3)


def test_level_3_finds_a_wrong_dimension(folder: Path) -> None:
    change_manifest(folder, index={**INDEX, "dimension": 9})
    assert "wrong_dimension: 50 records, such as 0" in why(folder, 3)


def test_level_3_finds_other_columns(folder: Path) -> None:
    file = part_of(folder, 0)
    pq.write_table(pq.read_table(file).append_column("more", pa.array([1] * 50)), file)
    change_part(folder, 0, bytes=file.stat().st_size, sha256=sha256_of(file))
    assert "it does not have the columns of a dense copy" in why(folder, 3)


def test_level_3_finds_a_file_that_is_not_parquet(folder: Path) -> None:
    file = part_of(folder, 0)
    file.write_bytes(b"no Parquet")
    change_part(folder, 0, bytes=file.stat().st_size, sha256=sha256_of(file))
    assert "part-00000000.parquet: it is no Parquet file" in why(folder, 3)


# What is read


def test_records_are_read_over_the_parts_in_the_order_of_their_ids(folder: Path, records: IndexRecords) -> None:
    for namespace in ("__default__", "a/b"):
        found = records_in(folder, namespace)
        digest = NamespaceDigest()
        for batch in records.read(namespace):
            digest.add(batch.records)
        copied = NamespaceDigest()
        copied.add(found)
        assert str(copied) == str(digest)
        assert [record.id for record in found] == sorted(record.id for record in found)


def test_no_record_of_a_damaged_file_is_read(folder: Path) -> None:
    content = bytearray(part_of(folder, 1).read_bytes())
    content[100] ^= 1
    part_of(folder, 1).write_bytes(content)
    batches = CopyReader(store_of(folder)).records("__default__")
    assert len(next(batches)) == 50
    with pytest.raises(CopyInvalid, match=r"part-00000001\.parquet: its SHA-256"):
        next(batches)


# Copies without a manifest


def deliver(file: Path, ids: list[str], *, row_group_size: int = 10, **columns: Any) -> None:
    """Write records as another program does: doubles, any order, a dictionary, and no sparse values."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table = {
        "id": ids,
        "values": pa.array([[float(len(each)), *range(1, DIMENSION)] for each in ids], pa.list_(pa.float64())),
        "metadata": [json.dumps({"title": each}) for each in ids],
        **columns,
    }
    pq.write_table(pa.table(table), file, row_group_size=row_group_size)


def made(folder: Path, **index: Any) -> Any:
    described: Any = {**INDEX, **index}
    return make_manifest(
        store_of(folder), index=described, created_at="2025-05-14T16:00:00Z", versions={"pyarrow": "1"}
    )


@pytest.mark.parametrize("parent", ["", "data/"])
def test_a_manifest_is_made_for_files_in_any_order(tmp_path: Path, parent: str) -> None:
    deliver(tmp_path / f"{parent}docs/b.parquet", [f"{n}" for n in range(30, 60)])
    deliver(tmp_path / f"{parent}docs/a.parquet", ["9999", *(f"{n}" for n in range(100, 130))])
    deliver(tmp_path / f"{parent}__default__/x.parquet", ["a", "b"])
    (tmp_path / f"{parent}docs/_SUCCESS").touch()
    manifest = made(tmp_path)
    assert parse_manifest((tmp_path / "copy" / "manifest.json").read_bytes()) == manifest
    assert [(row["name"], row["folder"], row["records"]) for row in manifest["namespaces"]] == [
        ("__default__", f"{parent}__default__", 2),
        ("docs", f"{parent}docs", 61),
    ]
    assert [(part["file"], part["first_id"], part["ids_sha256"]) for part in manifest["parts"]] == [
        (f"{parent}__default__/x.parquet", "a", None),
        (f"{parent}docs/a.parquet", None, None),
        (f"{parent}docs/b.parquet", "30", None),
    ]
    assert (manifest["frozen"], manifest["backup"], manifest["index_name"]) == (False, None, "records")
    assert CopyReader(store_of(tmp_path)).verify(3)["records"] == 63
    found = records_in(tmp_path, "docs")
    assert [record.id for record in found] == sorted(record.id for record in found)
    assert len(found) == 61
    assert found[0].metadata == {"title": "100"}
    assert found[0].values.tolist() == [3, *range(1, DIMENSION)]


def test_files_in_order_are_read_by_their_first_ids(tmp_path: Path) -> None:
    deliver(tmp_path / "docs/2.parquet", ["a", "b"])
    deliver(tmp_path / "docs/1.parquet", ["c", "d"])
    assert [part["first_id"] for part in made(tmp_path)["parts"]] == ["a", "c"]
    assert [record.id for record in records_in(tmp_path, "docs")] == ["a", "b", "c", "d"]


def test_sorted_records_keep_their_sparse_values_and_their_metadata(tmp_path: Path) -> None:
    sparse = [{"indices": [4294967295, 2], "values": [0.5, 1.5]}, None]
    kind = pa.struct([("indices", pa.list_(pa.uint32())), ("values", pa.list_(pa.float64()))])
    metadata = ['{"n": 1.5, "big": 9007199254740993, "list": ["ü"], "yes": true}', None]
    deliver(tmp_path / "docs/1.parquet", ["z", "a"], sparse_values=pa.array(sparse, kind), metadata=metadata)
    made(tmp_path, metric="dotproduct")
    first, last = records_in(tmp_path, "docs")
    assert (first.id, first.sparse_values, first.metadata) == ("a", None, {})
    assert last.sparse_values is not None
    assert last.sparse_values.indices.tolist() == [4294967295, 2]
    assert last.sparse_values.values.tolist() == [0.5, 1.5]
    assert last.metadata == {"n": 1.5, "big": 9007199254740993, "list": ["ü"], "yes": True}


@pytest.mark.parametrize("twice", ["1.parquet", "2.parquet"])
def test_an_id_that_occurs_twice_is_refused(tmp_path: Path, twice: str) -> None:
    deliver(tmp_path / "docs/1.parquet", ["b", "a"])
    deliver(tmp_path / "docs" / twice, ["a", "c", "a"] if twice == "1.parquet" else ["a"])
    deliver(tmp_path / "other/1.parquet", ["a"])
    with pytest.raises(CopyInvalid, match="record a of namespace docs occurs twice"):
        made(tmp_path)
    assert not (tmp_path / "copy" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"values": [[1.0, 2.0], [3.0, 4.0]]}, "wrong_dimension: 2 records, such as a"),
        ({"values": [[1e300] * DIMENSION] * 2}, "not_finite: 2 records, such as a"),
        ({"title": ["x", "y"]}, "it has a column title, which Pinecone does not import"),
        ({"id": ["a", None]}, "an id is missing or empty"),
        ({"metadata": ["{}", "x"]}, "it has an invalid record"),
    ],
)
def test_a_file_that_pinecone_would_not_import_is_refused(tmp_path: Path, columns: Any, reason: str) -> None:
    deliver(tmp_path / "docs/1.parquet", ["a", "b"], **columns)
    with pytest.raises(CopyInvalid, match=reason):
        made(tmp_path)


def test_folders_whose_namespace_is_unknown_are_refused(tmp_path: Path) -> None:
    for name, reason in {
        "none": "it has no Parquet files",
        "root/x.parquet": "the folder has files whose namespace is unknown",
        "flat/data/x.parquet": "folder data has files whose namespace is unknown",
        "other/upsert/ns-1/x.parquet": "folder upsert has files whose namespace is unknown",
        "deep/docs/more/x.parquet": "it has no Parquet files",
    }.items():
        if name.endswith(".parquet"):
            deliver(tmp_path / name, ["a"])
        with pytest.raises(CopyInvalid, match=f"(?i){reason}"):
            made(tmp_path / name.split("/")[0])
    deliver(tmp_path / "deep/docs/x.parquet", ["a"])
    with pytest.raises(CopyInvalid, match="Folder docs/more is not the folder of a namespace"):
        made(tmp_path / "deep")
    deliver(tmp_path / "two/docs/x.parquet", ["a"])
    deliver(tmp_path / "two/data/docs/x.parquet", ["b"])
    with pytest.raises(CopyInvalid, match="A namespace has two folders"):
        made(tmp_path / "two")


def test_an_export_that_is_not_finished_gets_no_manifest(records: IndexRecords, tmp_path: Path) -> None:
    counts = records.namespaces()
    options: dict[str, Any] = {
        "schemas": {},
        "index": records.index,
        "aliases": {},
        "columns": "dense",
        "records_per_part": 50,
        "is_frozen": False,
    }
    list_parts(records, store_of(tmp_path), counts, **options, log=lambda *_: None)
    deliver(tmp_path / "data/docs/1.parquet", ["a"])
    with pytest.raises(CopyInvalid, match="an export is running, or has failed"):
        made(tmp_path)


def test_sparse_values_are_read_by_the_names_of_their_fields(tmp_path: Path) -> None:
    pairs = [{"values": [1.5, 2.5], "indices": [7, 9]}, None]
    kind = pa.struct([("values", pa.list_(pa.float32())), ("indices", pa.list_(pa.int64()))])
    file = tmp_path / "part.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "sparse_values": pa.array(pairs, kind)}), file)
    [[first, second]] = list(read_part(file))
    assert first.sparse_values is not None
    assert (first.sparse_values.indices.tolist(), first.sparse_values.values.tolist()) == ([7, 9], [1.5, 2.5])
    assert second.sparse_values is None


@pytest.mark.parametrize(
    ("indices", "values"),
    [([-1], [1.0]), ([2**32], [1.0]), ([None], [1.0]), ([1, 2], [1.0]), ([1], [None])],
    ids=["negative", "too large", "missing index", "other lengths", "missing value"],
)
def test_invalid_sparse_values_are_rejected(tmp_path: Path, indices: list[Any], values: list[Any]) -> None:
    kind = pa.struct([("indices", pa.list_(pa.int64())), ("values", pa.list_(pa.float64()))])
    file = tmp_path / "part.parquet"
    rows = pa.array([{"indices": indices, "values": values}], kind)
    pq.write_table(pa.table({"id": ["a"], "sparse_values": rows}), file)
    with pytest.raises(InvalidCopy, match="invalid record"):
        list(read_part(file))
