"""The documents of a document index."""

from typing import Any
from urllib.parse import quote

import pytest
from support.emulator_client import Ask
from support.records import host_path

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.emulator.damage import (
    Change,
    change_metadata_type,
    change_sparse_index,
    duplicate_record,
    flip_bit,
    lose_record,
    swap_records,
)

SCHEMA = {
    "fields": {
        "embedding": {"type": "dense_vector", "dimension": 2, "metric": "cosine"},
        "terms": {"type": "sparse_vector"},
        "body": {"type": "string", "full_text_search": {"language": "en"}},
        "genre": {"filterable": True},
    }
}
DOCUMENTS: list[dict[str, Any]] = [
    {"_id": "a", "embedding": [0.1, 2.0], "body": "one", "genre": "drama", "year": 2019},
    {"_id": "b", "terms": {"indices": [7, 4294967295], "values": [0.5, 0.25]}, "genre": "comedy", "tags": ["x"]},
    {"_id": "c", "body": "three", "new": True},
]


@pytest.fixture
def api_version() -> str:
    return "2026-07"


@pytest.fixture
def path(ask: Ask, emulator: Emulator) -> str:
    emulator.add_index("docs", schema=SCHEMA, records=0)
    path = f"{host_path(emulator, 'docs')}/namespaces/__default__/documents"
    response = ask("POST", path + "/upsert", json={"documents": DOCUMENTS})
    assert (response.status_code, response.json()) == (202, {"upserted_count": 3})
    return path


def test_list_and_fetch(ask: Ask, path: str) -> None:
    listed = ask("POST", path + "/list", json={}).json()
    usage = {"read_units": 1, "egress_bytes": 37}
    assert listed == {"documents": [{"_id": each} for each in "abc"], "namespace": "__default__", "usage": usage}
    first = ask("POST", path + "/list", json={"limit": 2}).json()
    assert [each["_id"] for each in first["documents"]] == ["a", "b"]
    token = first["pagination"]["next"]
    last = ask("POST", path + "/list", json={"limit": 2, "pagination_token": token}).json()
    assert ([each["_id"] for each in last["documents"]], "pagination" in last) == (["c"], False)
    assert ask("POST", path + "/list", json={"prefix": "b"}).json()["documents"] == [{"_id": "b"}]
    response = ask("POST", path + "/fetch", json={"ids": ["a", "b", "missing"]})
    assert response.json()["documents"] == {each["_id"]: each for each in DOCUMENTS[:2]}
    assert '"embedding":[0.1,2.0]' in response.text
    assert response.json()["usage"]["read_units"] == 1


def test_stats_and_namespaces_of_documents(ask: Ask, path: str) -> None:
    host = path.partition("/namespaces/")[0]
    assert ask("POST", host + "/describe_index_stats", json={}).json()["namespaces"] == {"": {"vectorCount": 3}}
    assert ask("GET", host + "/namespaces/__default__").json()["record_count"] == "3"


@pytest.mark.parametrize(
    ("included", "fields"),
    [
        (["genre", "body"], {"_id", "body", "genre"}),
        (["*"], set(DOCUMENTS[0])),
        ([], set(DOCUMENTS[0])),
        (["no"], {"_id"}),
    ],
)
def test_included_fields(ask: Ask, path: str, included: list[str], fields: set[str]) -> None:
    fetched = ask("POST", path + "/fetch", json={"ids": ["a"], "include_fields": included}).json()
    assert set(fetched["documents"]["a"]) == fields


def test_fetch_by_filter(ask: Ask, path: str) -> None:
    fetched = ask("POST", path + "/fetch", json={"filter": {"genre": {"$exists": True}}, "limit": 1}).json()
    assert list(fetched["documents"]) == ["a"]
    token = fetched["pagination"]["next"]
    body = {"filter": {"genre": {"$exists": True}}, "limit": 1, "pagination_token": token}
    last = ask("POST", path + "/fetch", json=body).json()
    assert (list(last["documents"]), "pagination" in last) == (["b"], False)


def test_update(ask: Ask, emulator: Emulator, path: str) -> None:
    updates = [
        {"_id": "a", "embedding": [5, 6], "_remove_fields": ["year", "body"]},
        {"_id": "missing", "genre": "x"},
    ]
    response = ask("POST", path + "/update", json={"documents": updates})
    assert (response.status_code, response.json()) == (202, {})
    assert emulator.records("docs")["a"] == {"_id": "a", "embedding": [5.0, 6.0], "genre": "drama"}
    body = {"filter": {"genre": {"$exists": True}}, "set_fields": {"seen": 1}, "remove_fields": ["genre"]}
    response = ask("POST", path + "/update", json=body)
    assert (response.status_code, response.json()) == (202, {"matched_records": 2})
    assert [set(each) & {"seen", "genre"} for each in emulator.records("docs").values()] == [{"seen"}, {"seen"}, set()]


def test_empty_fields_of_an_update_are_ignored(ask: Ask, emulator: Emulator, path: str) -> None:
    empty: dict[str, Any] = {"set_fields": {}, "remove_fields": []}
    response = ask("POST", path + "/update", json={"documents": [{"_id": "a", "genre": "new"}], **empty})
    assert (response.status_code, emulator.records("docs")["a"]["genre"]) == (202, "new")
    body = {"filter": {"genre": "new"}, "set_fields": {}, "remove_fields": ["genre"]}
    assert ask("POST", path + "/update", json=body).json() == {"matched_records": 1}
    assert "genre" not in emulator.records("docs")["a"]


def test_limit_of_a_fetch_by_ids_is_ignored(ask: Ask, path: str) -> None:
    fetched = ask("POST", path + "/fetch", json={"ids": ["a", "b"], "limit": 1}).json()
    assert set(fetched["documents"]) == {"a", "b"}


@pytest.mark.parametrize("body", [{"ids": ["a"]}, {"delete_all": True}, {"filter": {"genre": "drama"}}])
def test_delete_in_an_empty_index_creates_no_namespace(ask: Ask, emulator: Emulator, body: dict[str, Any]) -> None:
    emulator.add_index("empty", schema=SCHEMA, records=0)
    path = f"{host_path(emulator, 'empty')}/namespaces/__default__/documents"
    assert ask("POST", path + "/delete", json=body).status_code == 202
    assert emulator.namespaces("empty") == []


@pytest.mark.parametrize("name", ["é", "x" * 513])
def test_upsert_to_a_namespace_with_an_invalid_name(ask: Ask, emulator: Emulator, path: str, name: str) -> None:
    response = ask("POST", path.replace("__default__", quote(name)) + "/upsert", json={"documents": DOCUMENTS})
    assert (response.status_code, "name of a namespace" in response.text) == (400, True)
    assert emulator.namespaces("docs") == [""]


@pytest.mark.parametrize(
    ("body", "answer", "left"),
    [
        ({"ids": ["a", "missing"]}, {}, "bc"),
        ({"filter": {"new": True}}, {"matched_records": 1}, "ab"),
        ({"delete_all": True}, {}, ""),
    ],
)
def test_delete(ask: Ask, emulator: Emulator, path: str, body: dict[str, Any], answer: object, left: str) -> None:
    response = ask("POST", path + "/delete", json=body)
    assert (response.status_code, response.json()) == (202, answer)
    assert list(emulator.records("docs")) == list(left)


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("list", {"limit": 101}),
        ("list", {"pagination_token": "x"}),
        ("list", {"other": 1}),
        ("fetch", {}),
        ("fetch", {"ids": ["a"], "filter": {"genre": "drama"}}),
        ("fetch", {"ids": [str(number) for number in range(1001)]}),
        ("fetch", {"filter": {"body": {"$match_all": "one"}}}),
        ("delete", {}),
        ("delete", {"ids": ["a"], "delete_all": True}),
        ("upsert", {"documents": []}),
        ("upsert", {"documents": [{"genre": "x"}]}),
        ("upsert", {"documents": [{"_id": "x", "other": 1}]}),
        ("upsert", {"documents": ["x"]}),
        ("upsert", {"documents": [{"_id": "x", "body": 5}]}),
        ("upsert", {"documents": [{"_id": "x", "embedding": [1, 2, 3]}]}),
        ("upsert", {"documents": [{"_id": "x", "embedding": "1"}]}),
        ("upsert", {"documents": [{"_id": "x", "terms": {"indices": [1], "values": []}}]}),
        ("upsert", {"documents": [{"_id": "x", "terms": [1]}]}),
        ("upsert", {"documents": [{"_id": "x", "body": "x", "nested": {"a": 1}}]}),
        ("update", {"documents": [{"_id": "a"}], "filter": {"genre": "x"}}),
        ("update", {"filter": {"genre": "x"}}),
        ("update", {"documents": [{"_id": "a", "_remove_fields": "body"}]}),
        ("update", {"documents": [{"_id": "a", "_remove_fields": [1]}]}),
        ("update", {"documents": [{"_id": "a", "genre": "x", "_remove_fields": ["genre"]}]}),
        ("update", {"documents": [{"_id": "a", "genre": "x"}], "set_fields": {"genre": "x"}}),
        ("update", {"filter": {"genre": "x"}, "set_fields": {}, "remove_fields": []}),
        ("update", {"filter": {"genre": "x"}, "set_fields": {"genre": "y"}, "remove_fields": ["genre"]}),
        ("fetch", {"ids": ["a"], "pagination_token": "x"}),
        ("fetch", {"ids": ["a"], "limit": 10_001}),
        ("fetch", {"ids": ["é"]}),
        ("delete", {"ids": ["x" * 513]}),
    ],
)
def test_invalid_body(ask: Ask, emulator: Emulator, path: str, call: str, body: Any) -> None:
    response = ask("POST", f"{path}/{call}", json=body)
    assert response.status_code == 400, response.text
    assert response.json().keys() == {"status", "error"}
    assert response.json()["error"]["code"] == "INVALID_ARGUMENT"
    assert list(emulator.records("docs")) == list("abc")


def test_search_is_not_emulated(ask: Ask, path: str) -> None:
    assert ask("POST", path + "/search", json={}).status_code == 501


def test_delete_in_a_namespace_that_does_not_exist(ask: Ask, path: str) -> None:
    response = ask("POST", path.replace("__default__", "missing") + "/delete", json={"ids": ["a"]})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("call", ["list", "fetch", "upsert", "update", "delete", "search"])
def test_vector_index_has_no_documents(ask: Ask, emulator: Emulator, call: str) -> None:
    response = ask("POST", f"{host_path(emulator, 'docs-example')}/namespaces/x/documents/{call}", json={})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("method", "call"),
    [
        *(("GET", f"vectors/{call}") for call in ("list", "fetch?ids=a")),
        *(("POST", f"vectors/{call}") for call in ("upsert", "update", "delete", "fetch_by_metadata")),
        ("POST", "query"),
    ],
)
def test_document_index_refuses_the_vectors_api(ask: Ask, path: str, method: str, call: str) -> None:
    response = ask(method, f"{path.partition('/namespaces/')[0]}/{call}", json={} if method == "POST" else None)
    assert (response.status_code, response.json()["code"]) == (400, 3)


def test_documents_in_an_earlier_version(ask: Ask, path: str) -> None:
    response = ask("POST", path + "/list", json={}, headers={"X-Pinecone-Api-Version": "2026-04"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_generated_documents(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("many", schema=SCHEMA, records=100, namespaces=1)
    path = f"{host_path(emulator, 'many')}/namespaces/namespace-1/documents"
    ids = [each["_id"] for each in ask("POST", path + "/list", json={}).json()["documents"]]
    documents = ask("POST", path + "/fetch", json={"ids": ids}).json()["documents"]
    assert documents == emulator.records("many", "namespace-1")
    assert len(documents) == len({str(each["embedding"]) for each in documents.values()}) == 100
    assert set(SCHEMA["fields"]) - {"genre"} < set(documents[ids[0]])


def test_restored_and_changed_documents(ask: Ask, emulator: Emulator, path: str) -> None:
    emulator.add_records("docs", [{"_id": "d", "embedding": [1, 2]}])
    before = emulator.records("docs")
    backup_id = emulator.add_backup("docs")["backup_id"]
    for number, change in enumerate(
        [
            None,
            lose_record("", "a"),
            change_metadata_type("", "a", "year"),
            swap_records("", "a", "b"),
            duplicate_record("", "a", "e"),
        ]
    ):
        emulator.next_restore(change=change)
        assert ask("POST", f"/backups/{backup_id}/create-index", json={"name": f"r-{number}"}).status_code == 202
    assert emulator.records("r-0") == before
    assert list(emulator.records("r-1")) == list("bcd")
    assert emulator.records("r-2") == {**before, "a": {**before["a"], "year": "2019"}}
    assert emulator.records("r-3")["a"] == {**before["b"], "_id": "a"}
    assert emulator.records("r-4") == {**before, "e": {**before["a"], "_id": "e"}}


@pytest.mark.parametrize("change", [flip_bit("", "a", 0, 0), change_sparse_index("", "b", 0, 1)])
def test_change_that_documents_do_not_have(ask: Ask, emulator: Emulator, path: str, change: Change) -> None:
    backup_id = emulator.add_backup("docs")["backup_id"]
    emulator.next_restore(change=change)
    response = ask("POST", f"/backups/{backup_id}/create-index", json={"name": "restored"})
    assert (response.status_code, "is a document" in response.text) == (400, True)
