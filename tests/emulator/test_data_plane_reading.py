"""Counts, ids and records of an index."""

import base64
import json
from typing import Any

import pytest
from support.emulator_client import Ask
from support.records import host_path, list_ids

from airflow_pinecone.emulator import Emulator

RECORDS = [
    {"id": "b", "values": [0.1, -0.0, 3.0], "metadata": {"year": 2019, "genre": "drama"}},
    {"id": "a", "values": [1.0, 2.0, 1e-7], "sparseValues": {"indices": [7, 4294967295], "values": [0.5, 0.25]}},
    {"id": "B", "values": [1, 2, 3], "metadata": {"tags": ["x", "y"], "new": True, "price": 1.0}},
]


@pytest.fixture
def path(emulator: Emulator) -> str:
    emulator.add_index("small", dimension=3, records=0)
    emulator.add_records("small", RECORDS)
    emulator.add_records("small", [{"id": "other", "values": [1, 2, 3]}], namespace="a/b c")
    return host_path(emulator, "small")


@pytest.mark.parametrize(
    ("api_version", "usage", "default"),
    [
        ("2025-10", {"readUnits": 1}, "__default__"),
        ("2026-04", {"readUnits": 1}, "__default__"),
        ("2026-07", {"readUnits": 1, "egressBytes": 273}, ""),
    ],
)
def test_stats_list_and_fetch(ask: Ask, path: str, usage: dict[str, int], default: str) -> None:
    stats = ask("POST", path + "/describe_index_stats", json={}).json()
    assert stats["namespaces"] == {default: {"vectorCount": 3}, "a/b c": {"vectorCount": 1}}
    assert (stats["totalVectorCount"], stats["dimension"]) == (4, 3)
    assert ask("GET", path + "/vectors/list").json() == {
        "vectors": [{"id": "B"}, {"id": "a"}, {"id": "b"}],
        "namespace": "",
        "usage": {"readUnits": 1},
    }
    response = ask("GET", path + "/vectors/fetch", params={"ids": ["a", "b", "missing", "B", "a"]})
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {
        "vectors": {
            "a": {**RECORDS[1]},
            "b": {**RECORDS[0]},
            "B": {**RECORDS[2]},
        },
        "namespace": "",
        "usage": usage,
    }
    assert '"values":[0.1,-0.0,3.0]' in response.text
    assert '"price":1.0' in response.text


@pytest.mark.parametrize("name", ["", "__default__"])
def test_name_of_the_default_namespace(ask: Ask, path: str, name: str) -> None:
    assert len(list_ids(ask, path, namespace=name)) == 3
    assert ask("GET", path + "/vectors/fetch", params={"ids": "a", "namespace": name}).json()["vectors"]


def test_records_of_another_namespace(ask: Ask, path: str) -> None:
    assert list_ids(ask, path, namespace="a/b c") == ["other"]
    fetched = ask("GET", path + "/vectors/fetch", params={"ids": "other", "namespace": "a/b c"}).json()
    assert fetched["vectors"] == {"other": {"id": "other", "values": [1.0, 2.0, 3.0]}}
    assert fetched["namespace"] == "a/b c"
    assert list_ids(ask, path, namespace="missing") == []
    missing = ask("GET", path + "/vectors/fetch", params={"ids": "other", "namespace": "missing"}).json()
    assert missing == {"vectors": {}, "namespace": "missing", "usage": {"readUnits": 1}}


def test_sparse_index(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("sparse", vector_type="sparse", metric="dotproduct", dimension=None, records=5, namespaces=1)
    record = {"id": "a", "sparseValues": {"indices": [3, 9], "values": [0.5, 1.5]}}
    emulator.add_records("sparse", [record], namespace="namespace-1")
    assert len(emulator.records("sparse", "namespace-1")) == 6
    fetched = ask(
        "GET", host_path(emulator, "sparse") + "/vectors/fetch?ids=a&ids=record-00000000&namespace=namespace-1"
    )
    assert fetched.json()["vectors"]["a"] == {**record, "values": []}
    generated = fetched.json()["vectors"]["record-00000000"]
    assert generated["values"] == []
    assert len(generated["sparseValues"]["indices"]) == len(generated["sparseValues"]["values"]) > 0


def test_pages_of_ids(ask: Ask, emulator: Emulator, path: str) -> None:
    emulator.generate_records("small", 250, namespace="many")
    names = [f"record-{number:08d}" for number in range(250)]
    assert list_ids(ask, path, namespace="many") == names
    assert list_ids(ask, path, namespace="many", limit="7") == names
    assert list_ids(ask, path, namespace="many", limit="50") == names
    assert list_ids(ask, path, namespace="many", limit="3", prefix="record-0000001") == names[10:20]
    first = ask("GET", path + "/vectors/list", params={"namespace": "many", "limit": "100"}).json()
    token = json.loads(base64.b64decode(first["pagination"]["next"]))
    assert token == {"skip_past": names[99], "prefix": None}
    emulator.add_records("small", [{"id": "record-0000009", "values": [1, 2, 3]}], namespace="many")
    assert list_ids(ask, path, namespace="many") == [*names[:90], "record-0000009", *names[90:]]


def test_number_of_records_of_a_plain_count(ask: Ask, emulator: Emulator) -> None:
    path = host_path(emulator, "docs-example")
    assert emulator.namespaces("docs-example") == ["namespace-1", "namespace-2", "namespace-3"]
    records = {name: emulator.records("docs-example", name) for name in emulator.namespaces("docs-example")}
    assert [len(each) for each in records.values()] == [32, 32, 32]
    assert list_ids(ask, path, namespace="namespace-2") == list(records["namespace-2"])
    values = {json.dumps(record["values"]) for each in records.values() for record in each.values()}
    assert len(values) == 96
    assert {len(record["values"]) for each in records.values() for record in each.values()} == {1024}
    types = [type(value) for value in records["namespace-1"]["record-00000001"]["metadata"].values()]
    assert set(types) == {int, float, str, bool, list}
    emulator.set_records("docs-example", 5)
    assert list(emulator.records("docs-example", "namespace-1")) == list(records["namespace-1"])[:5]
    assert emulator.records("docs-example", "namespace-2") == {}


@pytest.mark.parametrize("dimension", [1, 2, 768])
def test_generated_records_differ_and_can_be_repeated(ask: Ask, emulator: Emulator, dimension: int) -> None:
    emulator.add_index("many", dimension=dimension, records=0)
    emulator.generate_records("many", 300, seed=5)
    records = emulator.records("many")
    assert len({json.dumps(record["values"]) for record in records.values()}) == 300
    assert {len(record["values"]) for record in records.values()} == {dimension}
    emulator.generate_records("many", 1000, namespace="more", seed=5)
    more = emulator.records("many", "more")
    assert {name: more[name] for name in records} == records
    ids = list(records)[:100]
    fetched = ask("GET", host_path(emulator, "many") + "/vectors/fetch", params={"ids": ids})
    assert fetched.json()["vectors"] == {name: records[name] for name in ids}


def test_a_million_generated_records_are_read_from_anywhere(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("large", dimension=768, records=0)
    emulator.generate_records("large", 1_000_000)
    path = host_path(emulator, "large")
    assert ask("GET", path + "/describe_index_stats").json()["totalVectorCount"] == 1_000_000
    assert list_ids(ask, path, prefix="record-0099999") == [f"record-0099999{n}" for n in range(10)]
    missing = ["record-01000000", "record-1", "record-", "record-000000001", "other", "record-0000000x"]
    fetched = ask("GET", path + "/vectors/fetch", params={"ids": ["record-00999999", *missing]}).json()
    assert list(fetched["vectors"]) == ["record-00999999"]


@pytest.mark.parametrize(
    ("call", "query"),
    [
        ("list", {"limit": "0"}),
        ("list", {"limit": "101"}),
        ("list", {"prefix": "é"}),
        ("list", {"prefix": "x" * 513}),
        ("list", {"paginationToken": "nonsense"}),
        ("list", {"paginationToken": base64.b64encode(b'{"skip_past":1,"prefix":null}').decode()}),
        ("list", {"paginationToken": base64.b64encode(b'{"skip_past":"a","prefix":"b"}').decode()}),
        ("list", {"page": "1"}),
        ("fetch", {}),
        ("fetch", {"ids": [str(number) for number in range(1001)]}),
        ("fetch", {"ids": "a", "limit": "1"}),
    ],
)
def test_invalid_query(ask: Ask, path: str, call: str, query: dict[str, Any]) -> None:
    response = ask("GET", f"{path}/vectors/{call}", params=query)
    assert response.status_code == 400
    error = response.json()
    assert error.keys() == {"code", "message", "details"}
    assert (error["code"], error["details"]) == (3, [])


def test_url_that_is_too_long(ask: Ask, path: str, emulator: Emulator) -> None:
    emulator.generate_records("small", 1000)
    short = [f"record-{number:08d}" for number in range(500)]
    assert len(ask("GET", path + "/vectors/fetch", params={"ids": short[:300]}).json()["vectors"]) == 300
    response = ask("GET", path + "/vectors/fetch", params={"ids": short})
    assert response.status_code == 414
    assert response.json()["code"] == 3


@pytest.mark.parametrize(
    ("call", "allowed"),
    [("describe_index_stats", "GET, POST"), ("vectors/list", "GET"), ("vectors/upsert", "POST"), ("query", "POST")],
)
def test_other_methods_are_not_allowed(ask: Ask, path: str, call: str, allowed: str) -> None:
    response = ask("PUT", f"{path}/{call}")
    assert (response.status_code, response.headers["Allow"]) == (405, allowed)
    assert response.json()["error"]["code"] == "UNIMPLEMENTED"


def test_unknown_host(ask: Ask) -> None:
    response = ask("GET", "/data-plane/no/vectors/list")
    assert (response.status_code, response.json()["code"]) == (404, 5)


@pytest.mark.parametrize("api_version", ["2025-10", "2026-07"])
def test_invalid_key(ask: Ask, path: str, api_version: str) -> None:
    response = ask("GET", path + "/vectors/list", headers={"Api-Key": "wrong"})
    assert response.status_code == 401
    if api_version == "2026-07":
        assert response.text == "Unauthorized"
    else:
        assert response.json() == {"code": 16, "message": "Invalid API key.", "details": []}


def test_large_bodies_are_not_kept(ask: Ask, path: str, emulator: Emulator) -> None:
    emulator.add_index("wide", dimension=768, records=100, namespaces=1)
    wide = host_path(emulator, "wide")
    ids = [f"record-{number:08d}" for number in range(100)]
    ask("GET", wide + "/vectors/fetch", params={"ids": ids, "namespace": "namespace-1"})
    ask("GET", path + "/vectors/fetch", params={"ids": ["a", "b"]})
    large, small = emulator.requests[-2:]
    assert (large.status, large.answer) == (200, None)
    assert set(small.answer["vectors"]) == {"a", "b"}
    assert large.raw_query.count("ids=") == 100


def test_deleted_index_has_no_records(ask: Ask, path: str, emulator: Emulator) -> None:
    assert ask("DELETE", "/indexes/small").status_code == 202
    assert ask("GET", path + "/vectors/list").status_code == 404
    emulator.add_index("small", dimension=3, records=0)
    assert emulator.namespaces("small") == []
