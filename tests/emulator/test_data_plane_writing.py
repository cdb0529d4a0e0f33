"""Upsert, update and delete records; find them by metadata or by similarity."""

import json
from typing import Any

import pytest
from support.emulator_client import Ask
from support.records import host_path, list_ids

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.emulator.errors import ApiError

RECORDS: list[dict[str, Any]] = [
    {"id": "a", "values": [1, 0, 0], "metadata": {"year": 2019, "genre": "drama", "tags": ["x", "y"]}},
    {"id": "b", "values": [0, 1, 0], "metadata": {"year": 2020, "genre": "comedy", "new": True}},
    {"id": "c", "values": [0.6, 0.8, 0], "metadata": {"year": 2021}},
    {"id": "d", "values": [0, 0, 2]},
]


@pytest.fixture(params=["2025-10", "2026-07"])
def api_version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(ask: Ask, emulator: Emulator) -> str:
    emulator.add_index("small", dimension=3, records=0, metric="dotproduct")
    path = host_path(emulator, "small")
    response = ask("POST", path + "/vectors/upsert", json={"vectors": RECORDS})
    assert (response.status_code, response.json()) == (200, {"upsertedCount": 4})
    return path


def test_upsert_replaces_a_record(ask: Ask, emulator: Emulator, path: str) -> None:
    sparse = {"indices": [5], "values": [0.5]}
    body = {"vectors": [{"id": "a", "values": [3, 2, 1], "sparseValues": sparse}], "namespace": "__default__"}
    assert ask("POST", path + "/vectors/upsert", json=body).json() == {"upsertedCount": 1}
    assert emulator.records("small")["a"] == {"id": "a", "values": [3.0, 2.0, 1.0], "sparseValues": sparse}
    body["namespace"] = "new"
    assert ask("POST", path + "/vectors/upsert", json=body).status_code == 200
    assert emulator.namespaces("small") == ["", "new"]
    assert list(emulator.records("small")) == list("abcd")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"values": [0, 0, 9]}, {**RECORDS[0], "values": [0, 0, 9]}),
        (
            {"setMetadata": {"year": 1, "other": "x"}},
            {**RECORDS[0], "metadata": {**RECORDS[0]["metadata"], "year": 1, "other": "x"}},
        ),
        (
            {"sparseValues": {"indices": [1], "values": [2.0]}},
            {**RECORDS[0], "sparseValues": {"indices": [1], "values": [2.0]}},
        ),
    ],
)
def test_update(ask: Ask, emulator: Emulator, path: str, change: dict[str, Any], expected: dict[str, Any]) -> None:
    response = ask("POST", path + "/vectors/update", json={"id": "a", **change})
    assert (response.status_code, response.json()) == (200, {})
    assert emulator.records("small")["a"] == expected
    assert ask("POST", path + "/vectors/update", json={"id": "missing", **change}).status_code == 200
    assert list(emulator.records("small")) == list("abcd")


def test_update_by_filter(ask: Ask, emulator: Emulator, path: str) -> None:
    body = {"filter": {"year": {"$gte": 2020}}, "setMetadata": {"seen": True}}
    matched = ask("POST", path + "/vectors/update", json={**body, "dryRun": True}).json()
    assert matched == {"matchedRecords": 2}
    assert "seen" not in json.dumps(emulator.records("small"))
    assert ask("POST", path + "/vectors/update", json=body).json() == matched
    seen = [i for i, record in emulator.records("small").items() if record.get("metadata", {}).get("seen")]
    assert seen == ["b", "c"]


def test_dry_run_by_id_changes_nothing(ask: Ask, emulator: Emulator, path: str) -> None:
    before = emulator.records("small")
    response = ask("POST", path + "/vectors/update", json={"id": "a", "values": [3, 3, 3], "dryRun": True})
    assert (response.status_code, response.json()) == (200, {})
    assert emulator.records("small") == before


@pytest.mark.parametrize("selection", [{"id": "a"}, {"filter": {"genre": "drama"}}])
@pytest.mark.parametrize("delay", [0, 60])
def test_update_to_a_record_that_cannot_be_stored(
    ask: Ask, emulator: Emulator, path: str, selection: dict[str, Any], delay: float
) -> None:
    emulator.scenario.writes_visible_after = delay
    large = {"setMetadata": {"one": "x" * 30_000}}
    assert ask("POST", path + "/vectors/update", json={"id": "a", **large}).status_code == 200
    before = emulator.records("small")
    response = ask("POST", path + "/vectors/update", json={**selection, "setMetadata": {"two": "x" * 30_000}})
    assert (response.status_code, "exceeds the limit" in response.text) == (400, True)
    response = ask("POST", path + "/vectors/update", json={"id": "a", "values": [0, 0, 0]})
    assert (response.status_code, "contains only zeros" in response.text) == (400, True)
    assert emulator.records("small") == before


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ({"ids": ["a", "c", "missing"]}, "bd"),
        ({"deleteAll": True}, ""),
        ({"filter": {"genre": "drama"}}, "bcd"),
        ({"ids": ["a"], "deleteAll": False}, "bcd"),
    ],
)
def test_delete(ask: Ask, emulator: Emulator, path: str, body: dict[str, Any], left: str) -> None:
    response = ask("POST", path + "/vectors/delete", json=body)
    assert (response.status_code, response.json()) == (200, {})
    assert list_ids(ask, path) == list(left)
    assert emulator.namespaces("small") == [""]


def test_delete_of_generated_records(ask: Ask, emulator: Emulator, path: str) -> None:
    emulator.generate_records("small", 20, namespace="many")
    ids = [f"record-{number:08d}" for number in range(20)]
    ask("POST", path + "/vectors/delete", json={"ids": ids[5:15], "namespace": "many"})
    ask("POST", path + "/vectors/upsert", json={"vectors": [{**RECORDS[0], "id": ids[7]}], "namespace": "many"})
    ask("POST", path + "/vectors/delete", json={"ids": [ids[7], ids[0]], "namespace": "many"})
    ask("POST", path + "/vectors/upsert", json={"vectors": [{**RECORDS[0], "id": ids[0]}], "namespace": "many"})
    assert list_ids(ask, path, namespace="many") == ids[:5] + ids[15:]
    assert ask("GET", path + "/describe_index_stats").json()["totalVectorCount"] == 4 + 10


def test_delete_in_a_namespace_that_does_not_exist(ask: Ask, path: str) -> None:
    response = ask("POST", path + "/vectors/delete", json={"ids": ["a"], "namespace": "missing"})
    assert (response.status_code, response.json()["code"]) == (404, 5)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"genre": "drama"}, "a"),
        ({"genre": {"$eq": "drama"}}, "a"),
        ({"genre": {"$ne": "drama"}}, "bcd"),
        ({"tags": "x"}, "a"),
        ({"tags": {"$in": ["y", "z"]}}, "a"),
        ({"genre": {"$nin": ["drama", "comedy"]}}, "cd"),
        ({"year": {"$gt": 2019, "$lt": 2021}}, "b"),
        ({"year": {"$lte": 2020}}, "ab"),
        ({"year": {"$gte": 2020}, "new": True}, "b"),
        ({"new": 1}, ""),
        ({"year": {"$exists": False}}, "d"),
        ({"genre": {"$exists": True}}, "ab"),
        ({"$or": [{"year": 2019}, {"new": True}]}, "ab"),
        ({"$and": [{"year": {"$gt": 2019}}, {"$or": [{"year": 2021}, {"genre": "drama"}]}]}, "c"),
        ({"genre": {"$gt": 5}}, ""),
    ],
)
def test_filter(ask: Ask, path: str, expression: dict[str, Any], expected: str) -> None:
    fetched = ask("POST", path + "/vectors/fetch_by_metadata", json={"filter": expression}).json()
    assert list(fetched["vectors"]) == list(expected)
    query = {"vector": [1, 1, 1], "topK": 10, "filter": expression}
    matches = ask("POST", path + "/query", json=query).json()["matches"]
    assert sorted(match["id"] for match in matches) == list(expected)


@pytest.mark.parametrize(
    "expression",
    [
        *({}, [], {"$not": []}, {"$or": []}, {"$and": {}}, {"year": {"$near": 1}}, {"year": {"$gt": "x"}}),
        *({"year": {"$in": 5}}, {"year": {"$exists": 1}}, {"year": {"$gt": True}}, {"year": None}),
    ],
)
def test_invalid_filter(emulator: Emulator, ask: Ask, path: str, expression: Any) -> None:
    response = ask("POST", path + "/vectors/fetch_by_metadata", json={"filter": expression})
    assert (response.status_code, response.json()["code"]) == (400, 3)


def test_pages_of_records_by_metadata(ask: Ask, emulator: Emulator, path: str) -> None:
    emulator.generate_records("small", 30, namespace="many")
    body: dict[str, Any] = {"namespace": "many", "filter": {"available": True}, "limit": 7}
    ids: list[str] = []
    while True:
        page = ask("POST", path + "/vectors/fetch_by_metadata", json=body).json()
        ids += page["vectors"]
        assert page["usage"]["readUnits"] == 1
        if "pagination" not in page:
            break
        body["paginationToken"] = page["pagination"]["next"]
    assert ids == [f"record-{number:08d}" for number in range(0, 30, 2)]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("cosine", {"c": 1.0, "b": 0.8, "a": 0.6, "d": 0.0}),
        ("dotproduct", {"c": 2.0, "b": 1.6, "a": 1.2, "d": 0.0}),
        ("euclidean", {"c": 1.0, "b": 1.8, "a": 2.6, "d": 8.0}),
    ],
)
def test_query_by_metric(ask: Ask, emulator: Emulator, metric: str, expected: dict[str, float]) -> None:
    emulator.add_index("metric", dimension=3, records=0, metric=metric)
    emulator.add_records("metric", RECORDS)
    path = host_path(emulator, "metric")
    response = ask("POST", path + "/query", json={"vector": [1.2, 1.6, 0], "topK": 4}).json()
    assert (response["namespace"], response["usage"]) == ("", {"readUnits": 1})
    assert {match["id"]: pytest.approx(match["score"], abs=1e-6) for match in response["matches"]} == expected
    assert [match["id"] for match in response["matches"]] == list(expected)
    best = ask(
        "POST", path + "/query", json={"id": "c", "topK": 1, "includeValues": True, "includeMetadata": True}
    ).json()
    [match] = best["matches"]
    assert (match["id"], match["metadata"]) == ("c", {"year": 2021})
    assert match["values"] == [0.6, 0.8, 0.0]
    assert ask("POST", path + "/query", json={"id": "missing", "topK": 1}).json()["matches"] == []


def test_query_of_sparse_and_hybrid_values(ask: Ask, emulator: Emulator, path: str) -> None:
    emulator.add_index("sparse", vector_type="sparse", metric="dotproduct", dimension=None, records=0)
    sparse = [
        {"id": "a", "sparseValues": {"indices": [1, 7], "values": [1, 2]}},
        {"id": "b", "sparseValues": {"indices": [7], "values": [5]}},
    ]
    emulator.add_records("sparse", sparse)
    query = {"sparseVector": {"indices": [7, 1], "values": [1, 4]}, "topK": 5}
    matches = ask("POST", host_path(emulator, "sparse") + "/query", json=query).json()["matches"]
    assert [(match["id"], match["score"]) for match in matches] == [("a", 6), ("b", 5)]
    emulator.add_records("small", [{**sparse[0], "id": "e", "values": [1, 0, 0]}])
    hybrid = ask("POST", path + "/query", json={**query, "vector": [10, 0, 0], "topK": 2}).json()["matches"]
    assert [(match["id"], match["score"]) for match in hybrid] == [("e", 16), ("a", 10)]


@pytest.mark.parametrize(
    ("call", "body", "message"),
    [
        ("vectors/upsert", {}, "1 to 1000 vectors"),
        ("vectors/upsert", {"vectors": [{"id": "x", "values": [1, 2]}]}, "dimension 2 does not match"),
        ("vectors/upsert", {"vectors": [{"id": "x", "values": [0, 1e-9, -1e-9]}]}, "Vector ID x contains only zeros"),
        ("vectors/upsert", {"vectors": [{"id": "x", "values": [1, 2, 1e39]}]}, "32-bit"),
        ("vectors/upsert", {"vectors": [{"id": "x", "values": [1, 2, True]}]}, "32-bit"),
        ("vectors/upsert", {"vectors": [{"id": "x"}]}, "has no values"),
        ("vectors/upsert", {"vectors": [{"id": "é", "values": [1, 2, 3]}]}, "ASCII"),
        ("vectors/upsert", {"vectors": [{"id": "", "values": [1, 2, 3]}]}, "1 to 512"),
        ("vectors/upsert", {"vectors": [{"id": "x" * 513, "values": [1, 2, 3]}]}, "1 to 512"),
        ("vectors/upsert", {"vectors": [{"id": "x", "values": [1, 2, 3], "other": 1}]}, "only id"),
        ("vectors/upsert", {"vectors": [{"id": str(n), "values": [1, 2, 3]} for n in range(1001)]}, "not 1001"),
        *(
            ("vectors/upsert", {"vectors": [{"id": "x", "values": [1, 2, 3], "metadata": metadata}]}, message)
            for metadata, message in [
                ({"$a": 1}, "must not begin"),
                ({"a": {"b": 1}}, "string, number, boolean or list of strings"),
                ({"a": None}, "string, number, boolean or list of strings"),
                ({"a": ["x", 1]}, "string, number, boolean or list of strings"),
                ({"a": "x" * 40_960}, "exceeds the limit of 40960 bytes"),
            ]
        ),
        *(
            ("vectors/upsert", {"vectors": [{"id": "x", "values": [1, 2, 3], "sparseValues": sparse}]}, "parse values")
            for sparse in [
                {"indices": [1], "values": []},
                {"indices": [1, 1], "values": [1, 2]},
                {"indices": [-1], "values": [1]},
                {"indices": [2**32], "values": [1]},
                {"indices": [1]},
                {"indices": list(range(2049)), "values": [1] * 2049},
            ]
        ),
        ("vectors/delete", {}, "exactly one"),
        ("vectors/delete", {"ids": ["a"], "deleteAll": True}, "exactly one"),
        ("vectors/delete", {"ids": [str(n) for n in range(1001)]}, "1 to 1000 ids"),
        ("vectors/update", {}, "An id must have"),
        ("vectors/update", {"filter": {"a": 1}, "id": "a", "setMetadata": {}}, "no id and no values"),
        ("vectors/update", {"filter": {}, "setMetadata": {"a": 1}}, "must not be empty"),
        ("vectors/update", {"filter": [], "setMetadata": {"a": 1}}, "wrong type"),
        ("vectors/update", {"id": "é", "setMetadata": {"a": 1}}, "ASCII"),
        ("vectors/delete", {"ids": ["a", "x" * 513]}, "1 to 512"),
        ("vectors/delete", {"ids": ["a", "x\0"]}, "NUL"),
        ("vectors/delete", {"ids": ["a", 5]}, "ASCII"),
        ("vectors/upsert", {"vectors": [{"id": "x", "values": [1, 2, 3]}], "namespace": "é"}, "name of a namespace"),
        ("vectors/upsert", {"vectors": [{"id": "x", "values": [1, 2, 3]}], "namespace": "x" * 513}, "1 to 512"),
        ("describe_index_stats", {"filter": {"genre": "drama"}}, "do not support a filter"),
        ("describe_index_stats", {"filter": 5}, "wrong type"),
        ("describe_index_stats", {"other": 5}, "Unknown fields: other"),
        ("query", {"vector": [1, 2, 3]}, "topK"),
        ("query", {"topK": 10_001, "vector": [1, 2, 3]}, "topK"),
        ("query", {"topK": 1}, "either an id"),
        ("query", {"topK": 1, "id": "a", "vector": [1, 2, 3]}, "either an id"),
        ("query", {"topK": 1, "vector": [1, 2, 3], "page": 1}, "Unknown fields: page"),
        ("vectors/fetch_by_metadata", {"filter": {"a": 1}, "limit": 10_001}, "limit"),
        ("vectors/fetch_by_metadata", {"filter": {"a": 1}, "paginationToken": "x"}, "token"),
    ],
)
def test_invalid_body(ask: Ask, emulator: Emulator, path: str, call: str, body: Any, message: str) -> None:
    response = ask("POST", f"{path}/{call}", json=body)
    assert (response.status_code, response.json()["code"]) == (400, 3)
    assert message in response.json()["message"]
    assert list(emulator.records("small")) == list("abcd")


@pytest.mark.parametrize("call", ["vectors/upsert", "describe_index_stats"])
@pytest.mark.parametrize("content", [b" ", b"[]", b"{", b'{"vectors": NaN}'])
def test_body_that_is_not_json(ask: Ask, path: str, call: str, content: bytes) -> None:
    response = ask("POST", f"{path}/{call}", data=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, 3)


def test_stats_with_an_empty_filter(ask: Ask, path: str) -> None:
    assert ask("POST", path + "/describe_index_stats", json={"filter": {}}).json()["totalVectorCount"] == 4


def test_filter_of_the_stats_of_pods_is_not_emulated(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("pods", spec={"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1", "pods": 1}})
    response = ask("POST", host_path(emulator, "pods") + "/describe_index_stats", json={"filter": {"genre": "drama"}})
    assert response.status_code == 501
    emulator.requests.clear()  # The published description has no such response.


@pytest.mark.parametrize(
    ("size", "status", "message"), [(2 * 2**20 + 1, 400, "2097152 bytes"), (4 * 2**20 + 1, 413, "4194304")]
)
def test_body_that_is_too_large(ask: Ask, emulator: Emulator, path: str, size: int, status: int, message: str) -> None:
    response = ask("POST", path + "/vectors/upsert", data=b" " * size, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (status, 3)
    assert message in response.json()["message"]
    assert emulator.requests[-1].body is None


def test_values_that_an_index_cannot_store(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("sparse", vector_type="sparse", metric="dotproduct", dimension=None, records=0)
    emulator.add_index("dense", dimension=2, records=0)
    sparse = {"indices": [1], "values": [1.0]}
    for name, record in [
        ("sparse", {"id": "a", "values": [1], "sparseValues": sparse}),
        ("sparse", {"id": "a"}),
        ("dense", {"id": "a", "values": [1, 2], "sparseValues": sparse}),
    ]:
        response = ask("POST", host_path(emulator, name) + "/vectors/upsert", json={"vectors": [record]})
        assert response.status_code == 400, name


def test_created_and_deleted_namespaces(ask: Ask, emulator: Emulator, path: str, api_version: str) -> None:
    schema = {"fields": {"genre": {"filterable": True}}}
    created = ask("POST", path + "/namespaces", json={"name": "new", "schema": schema})
    zero = {"record_count": "0", "size_bytes": "0"} if api_version == "2026-07" else {"record_count": 0}
    assert created.status_code == 200
    assert created.json() == {"name": "new", "schema": schema, "indexed_fields": {"fields": ["genre"]}, **zero}
    assert ask("POST", path + "/namespaces", json={"name": "new"}).status_code == 409
    ask("POST", path + "/vectors/upsert", json={"vectors": RECORDS, "namespace": "new"})
    assert ask("GET", path + "/namespaces/new").json()["schema"] == schema
    assert len(emulator.records("small", "new")) == 4
    assert ask("DELETE", path + "/namespaces/new").json() == {}
    assert ask("DELETE", path + "/namespaces/new").status_code == 404
    assert emulator.namespaces("small") == [""]
    assert ask("DELETE", path + "/namespaces/__default__").status_code == 200
    assert emulator.namespaces("small") == []


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"name": ""}, {"name": "__default__"}, {"name": "é"}, {"name": "x" * 513}, {"name": "x", "other": 1}),
        *({"name": "x", "schema": {"fields": {"a": {"filterable": False}}}}, {"name": "x", "schema": {"other": {}}}),
        {"name": "x", "schema": {"fields": {str(n): {"filterable": True} for n in range(51)}}},
    ],
)
def test_namespace_that_cannot_be_created(ask: Ask, emulator: Emulator, path: str, body: dict[str, Any]) -> None:
    response = ask("POST", path + "/namespaces", json=body)
    assert (response.status_code, response.json()["code"]) == (400, 3)
    assert emulator.namespaces("small") == [""]


@pytest.mark.parametrize("dimension", [0, 20_001])
def test_dimension_of_an_index_that_a_test_adds(emulator: Emulator, dimension: int) -> None:
    with pytest.raises(ApiError, match="from 1 to 20000"):
        emulator.add_index("wrong", dimension=dimension)
    assert "wrong" not in {index["name"] for index in emulator.indexes}


@pytest.mark.parametrize(
    ("fields", "id_field"), [({}, "id"), ({"schema": {"fields": {"v": {"type": "sparse_vector"}}}}, "_id")]
)
def test_added_record_without_an_id(emulator: Emulator, fields: dict[str, Any], id_field: str) -> None:
    emulator.add_index("new", records=0, **fields)
    with pytest.raises(ApiError, match=f"must have a text as {id_field}"):
        emulator.add_records("new", [{"values": [1, 2]}])
