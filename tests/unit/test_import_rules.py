"""The plan of an import, and the decision whether it is proved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_pinecone.errors import CopyRefused, PineconeInputError
from airflow_pinecone.rules.copy_format import Manifest, sum_of, totals_of
from airflow_pinecone.rules.copy_import import (
    ImportPlan,
    import_uri,
    model_of,
    plan_of,
    tags_of_copy,
    upsert_items,
)
from airflow_pinecone.rules.copy_proof import MAX_ROWS, NamespaceProof, is_proved, proof_items, result_of
from airflow_pinecone.rules.new_index import create_index_body

INDEX = {"name": "docs-example", "dimension": 1000, "metric": "cosine", "spec": {"serverless": {}}}
EMBED = {**INDEX, "embed": {"model": "multilingual-e5-large"}, "vector_type": "dense"}


def part(number: int, namespace: str, records: int, size: int) -> dict[str, Any]:
    return {
        "number": number,
        "namespace": namespace,
        "file": f"data/{namespace}/part-{number:08}.parquet",
        "records": records,
        "bytes": size,
        "sha256": "",
        "first_id": "",
        "last_id": "",
        "digest": f"v1:{records}:{number:032x}",
        "ids_sha256": "",
        "missing": 0,
        "read_units": 0,
        "response_bytes": 0,
    }


def manifest(parts: list[Any], *, upserted: tuple[str, ...] = (), **fields: Any) -> Manifest:
    names = sorted({row["namespace"] for row in parts})
    namespaces: list[Any] = [
        {
            "name": name,
            "folder": f"upsert/{name}" if name in upserted else f"data/{name}",
            "records": sum(row["records"] for row in parts if row["namespace"] == name),
            "digest": sum_of(row["digest"] for row in parts if row["namespace"] == name),
            "schema": None,
        }
        for name in names
    ]
    document: Any = {
        "format": 1,
        "kind": "airflow-pinecone-copy",
        "created_at": "2026-01-01T00:00:00Z",
        "frozen": True,
        "index_name": "docs-example",
        "index": INDEX,
        "backup": {"backup_id": "b-1"},
        "columns": "dense",
        "namespaces": namespaces,
        "aliases": {},
        "parts": parts,
        "totals": totals_of(namespaces, parts),
        "versions": {},
        **fields,
    }
    return document  # type: ignore[no-any-return]


def plan(copy: Manifest, **arguments: Any) -> ImportPlan:
    defaults = {
        "url": "s3://aws@vault/x",
        "index_name": "new",
        "method": "upsert",
        "into_existing": False,
        "uri": None,
    }
    return plan_of(copy, **{**defaults, **arguments})


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("s3://aws_default@vault/pinecone/i/b", "s3://vault/pinecone/i/b/data"),
        ("s3://vault/pinecone/i/b/", "s3://vault/pinecone/i/b/data"),
        ("gcs://google@vault/i/b", "gs://vault/i/b/data"),
        ("file:///tmp/a@b/i", "file:///tmp/a@b/i/data"),
    ],
)
def test_pinecone_reads_the_data_without_an_airflow_connection(url: str, uri: str) -> None:
    assert import_uri(url) == uri


def test_an_object_store_that_pinecone_names_in_another_way_needs_a_uri() -> None:
    url = "abfs://azure@container/x"
    with pytest.raises(PineconeInputError, match="Set uri"):
        plan(manifest([part(0, "a", 1, 1)]), method="import", url=url)
    uri = "https://account.blob.core.windows.net/container/x/data"
    assert plan(manifest([part(0, "a", 1, 1)]), method="import", url=url, uri=uri)["uri"] == uri


def test_the_parts_are_grouped_in_their_order_by_size() -> None:
    sizes = [100, 100, 100, 300_000_000, 300_000_000, 100, 100]
    copy = manifest([part(number, "a", 1, size) for number, size in enumerate(sizes)])
    assert [item["parts"] for item in upsert_items(copy, "upsert", 1024)] == [[0, 1, 2, 3], [4], [5, 6]]


@pytest.mark.parametrize("size", [1, 10_000_000_000])
def test_there_are_no_more_groups_than_airflow_maps(size: int) -> None:
    copy = manifest([part(number, "a", 1, size) for number in range(5000)])
    items = upsert_items(copy, "upsert", 16)
    assert len(items) == (1 if size == 1 else 16)
    assert [number for item in items for number in item["parts"]] == list(range(5000))


def test_an_import_upserts_only_what_pinecone_cannot_import() -> None:
    copy = manifest([part(0, "a", 10, 1_000), part(1, "b", 20, 2_000)], upserted=("b",))
    assert [item["parts"] for item in upsert_items(copy, "import", 16)] == [[1]]
    planned = plan(copy, method="import")
    assert (planned["uri"], planned["namespaces"], planned["upserted_namespaces"]) == ("s3://vault/x/data", 2, 1)
    assert (planned["estimate"]["import_bytes"], planned["estimate"]["requests"]) == (1_000, 1)
    assert planned["estimate"]["minutes"] == 11


def test_the_estimate_counts_write_units_requests_and_read_units() -> None:
    copy = manifest([part(0, "a", 1_000_000, 3_900_000_000)])
    estimate = plan(copy)["estimate"]
    # 4 kB and about 12,400 bytes of JSON for each record; a request has up to 2 MB.
    assert estimate["write_units"] == 4_000_000
    assert estimate["request_bytes"] == 12_400_000_000
    assert estimate["requests"] == 6359
    assert estimate["read_units"] == 110_000
    assert estimate["minutes"] == 5
    assert estimate["import_bytes"] == 0
    assert plan(copy, into_existing=True)["estimate"]["read_units"] == 310_000


def test_a_copy_without_records_is_upserted() -> None:
    copy = manifest([])
    assert upsert_items(copy, "upsert", 16) == []
    assert proof_items({}) == []
    assert plan(copy)["records"] == 0
    with pytest.raises(CopyRefused, match="no namespace with records"):
        plan(copy, method="import")


def test_an_integrated_index_is_not_imported_and_upserts_need_no_model() -> None:
    copy = manifest([part(0, "a", 1, 1)], index=EMBED)
    with pytest.raises(CopyRefused, match="multilingual-e5-large"):
        plan(copy, method="import")
    assert "no model" in plan(copy)["notes"][0]
    model: Any = model_of(copy)
    body = create_index_body(model, name="new", api_version="2025-10", cloud="aws", region="us-east-1")
    assert body.items() >= {"dimension": 1000, "metric": "cosine", "vector_type": "dense"}.items()


@pytest.mark.parametrize(
    "index",
    [
        {"name": "docs-example", "spec": {"pod": {"environment": "x"}}, "dimension": 3, "metric": "cosine"},
        {"name": "docs-example", "schema": {"fields": {"text": {"type": "string", "full_text_search": {}}}}},
        {"name": "docs-example", "schema": {"fields": {"text": {"type": "semantic_text", "model": "m"}}}},
    ],
    ids=["pods", "documents", "integrated"],
)
def test_what_cannot_be_created_is_refused_before_a_request(index: dict[str, Any]) -> None:
    with pytest.raises(PineconeInputError, match="was not imported into index new"):
        plan(manifest([part(0, "a", 1, 1)], index=index))


def test_aliases_and_a_source_that_could_change_are_reported() -> None:
    notes = plan(manifest([part(0, "a", 1, 1)], aliases={"live": "a"}, frozen=False))["notes"]
    assert "Aliases of namespaces are not created: 1, such as live." in notes
    assert any("not frozen" in note for note in notes)


def test_tags_of_this_package_are_not_carried_over() -> None:
    tags = {"team": "search", "airflow-pinecone": "x", "airflow-pinecone-restore-test": "y"}
    assert tags_of_copy(manifest([], index={**INDEX, "tags": tags})) == {"team": "search"}


def test_namespaces_are_proved_by_few_tasks_of_similar_size() -> None:
    items = proof_items({f"n{number:05}": 10 for number in range(1000)})
    assert 8 < len(items) <= 16
    assert sorted(name for item in items for name in item["namespaces"]) == [f"n{number:05}" for number in range(1000)]
    assert proof_items({"large": 10**9, "small": 1}) == [{"namespaces": ["large"]}, {"namespaces": ["small"]}]


def proof(namespace: str, *kinds: str, **fields: Any) -> NamespaceProof:
    findings: Any = [{"kind": kind, "namespace": namespace, "count": 2, "ids": ["1"], "parts": {}} for kind in kinds]
    row: Any = {
        "namespace": namespace,
        "expected": 1,
        "records": 1,
        "expected_digest": "v1:1:0",
        "digest": "v1:1:1" if kinds else "v1:1:0",
        "repaired": 0,
        "findings": findings,
        **fields,
    }
    return row  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kinds", "is_new", "is_added"),
    [
        ((), True, True),
        (("extra",), False, True),
        (("changed",), False, True),
        (("changed", "missing"), False, False),
        (("unreadable",), False, False),
    ],
    ids=str,
)
def test_an_existing_index_may_have_other_records(kinds: tuple[str, ...], is_new: bool, is_added: bool) -> None:
    assert is_proved(proof("a", *kinds), into_existing=False) == is_new
    assert is_proved(proof("a", *kinds), into_existing=True) == is_added


def test_another_digest_alone_fails_the_import() -> None:
    result = result_of(plan(manifest([part(0, "a", 1, 1)])), [proof("a", digest="v1:1:2")], [], None)
    assert (result["verdict"], result["problems"]) == ("failed", ["namespace a: the digests differ"])


def test_a_namespace_that_was_not_compared_fails_the_import() -> None:
    copy = manifest([part(0, "a", 1, 1), part(1, "b", 1, 1)])
    result = result_of(plan(copy), [proof("a")], [], None)
    assert (result["verdict"], result["problems"]) == ("failed", ["1 of 2 records were compared"])


def test_the_result_is_small_names_failures_first_and_adds_up_the_usage() -> None:
    names = [f"n{number:05}" for number in range(1000)]
    copy = manifest([part(number, name, 1, 1) for number, name in enumerate(names)])
    proofs = [proof(name, *(["missing"] if name == "n00999" else []), repaired=1) for name in names]
    result = result_of(plan(copy), proofs, [{"requests": 1}, {"requests": 2, "read_units": 3}], None)
    assert (result["verdict"], result["namespace_count"], result["repaired"]) == ("failed", 1000, 1000)
    assert len(result["namespaces"]) == MAX_ROWS
    assert result["namespaces"][0]["namespace"] == "n00999"
    assert result["usage"] == {"requests": 3, "read_units": 3}
    assert len(json.dumps(result)) < 48_000
