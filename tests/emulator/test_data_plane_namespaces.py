"""The namespaces of an index."""

from urllib.parse import quote

import pytest
from support.clock import FakeClock
from support.emulator_client import Ask
from support.records import host_path

from airflow_pinecone.emulator import Emulator


@pytest.fixture
def path(emulator: Emulator) -> str:
    emulator.add_index("small", dimension=2, records=0)
    for name in ("b", "a/b %2F?#é", ""):
        emulator.add_records("small", [{"id": "x", "values": [1, 2]}], namespace=name)
    return host_path(emulator, "small")


@pytest.mark.parametrize("api_version", ["2025-10", "2026-04", "2026-07"])
def test_list_and_describe(ask: Ask, path: str, api_version: str) -> None:
    body = ask("GET", path + "/namespaces").json()
    assert [each["name"] for each in body["namespaces"]] == ["__default__", "a/b %2F?#é", "b"]
    assert (body["total_count"], "pagination" in body) == (3, False)
    for each in body["namespaces"]:
        described = ask("GET", f"{path}/namespaces/{quote(each['name'], safe='')}")
        assert described.json() == each
        assert each["record_count"] == ("1" if api_version == "2026-07" else 1)
        assert each.get("size_bytes") == ("8" if api_version == "2026-07" else None)


def test_pages_and_prefix(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("many", records=50, namespaces=25)
    path = host_path(emulator, "many")
    names, query = [], {"limit": "10"}
    while True:
        body = ask("GET", path + "/namespaces", params=query).json()
        names += [each["name"] for each in body["namespaces"]]
        assert body["total_count"] == 25
        if "pagination" not in body:
            break
        query["paginationToken"] = body["pagination"]["next"]
    assert names == sorted(f"namespace-{number}" for number in range(1, 26))
    body = ask("GET", path + "/namespaces", params={"prefix": "namespace-2"}).json()
    assert [each["name"] for each in body["namespaces"]] == [f"namespace-2{n}" for n in ("", *range(6))]
    assert body["total_count"] == 7


@pytest.mark.parametrize("hidden_by", ["writes_visible_after", "restore_after", "restored_records_visible_after"])
def test_create_a_namespace_that_is_not_visible_yet(
    ask: Ask, emulator: Emulator, path: str, clock: FakeClock, hidden_by: str
) -> None:
    emulator.scenario.clock = clock
    setattr(emulator.scenario, hidden_by, 60)
    emulator.add_records("small", [{"id": "x", "values": [1, 2]}], namespace="new")
    if hidden_by != "writes_visible_after":
        backup_id = emulator.add_backup("small")["backup_id"]
        ask("POST", f"/backups/{backup_id}/create-index", json={"name": "restored"})
        path = host_path(emulator, "restored")
    assert ask("GET", path + "/namespaces/new").status_code == 404
    response = ask("POST", path + "/namespaces", json={"name": "new"})
    assert (response.status_code, response.json()["code"]) == (409, 6)
    clock.advance(60)
    assert ask("GET", path + "/vectors/fetch?ids=x&namespace=new").json()["vectors"].keys() == {"x"}


@pytest.mark.parametrize("state", ["Initializing", "InitializationFailed"])
def test_writes_to_an_index_that_is_not_ready(ask: Ask, emulator: Emulator, state: str) -> None:
    emulator.add_index("starting", dimension=2, records=4, namespaces=1, state=state)
    path = host_path(emulator, "starting")
    for method, call, body in [
        ("POST", "vectors/upsert", {"vectors": [{"id": "x", "values": [1, 2]}]}),
        ("POST", "vectors/update", {"id": "record-00000000", "values": [1, 2]}),
        ("POST", "vectors/delete", {"deleteAll": True, "namespace": "namespace-1"}),
        ("POST", "namespaces", {"name": "new"}),
        ("DELETE", "namespaces/namespace-1", None),
    ]:
        response = ask(method, f"{path}/{call}", json=body)
        assert (response.status_code, response.json()["code"]) == (400, 3), call
        assert f"Index starting is not ready: its state is {state}." in response.json()["message"]


def test_missing_namespace(ask: Ask, path: str, emulator: Emulator) -> None:
    response = ask("GET", path + "/namespaces/missing")
    assert (response.status_code, response.json()["code"]) == (404, 5)
    empty = host_path(emulator, "docs-example")
    assert ask("GET", empty + "/namespaces/__default__").json() == {"name": "__default__", "record_count": 0}
    assert "__default__" not in ask("GET", empty + "/namespaces").text
