"""Indexes in the emulator, and describe_index_stats."""

from typing import Any

import pytest
import requests
from support.emulator_client import Ask

from airflow_pinecone.emulator import Emulator

SERVERLESS = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
BYOC = {"byoc": {"environment": "aws-us-east-1-b921"}}
ON_DEMAND = {"read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}}}
POD = {"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}}


def test_create_describe_list_delete(ask: Ask, emulator: Emulator) -> None:
    body = {"name": "new", "dimension": 8, "spec": SERVERLESS, "tags": {"a": "b"}}
    created = ask("POST", "/indexes", json=body)
    assert created.status_code == 201
    index = created.json()
    assert index.pop("host").startswith(emulator.url + "/")
    assert index == {
        "name": "new",
        "dimension": 8,
        "metric": "cosine",
        "vector_type": "dense",
        "deletion_protection": "disabled",
        "tags": {"a": "b"},
        "spec": {"serverless": {**SERVERLESS["serverless"], **ON_DEMAND}},
        "status": {"ready": True, "state": "Ready"},
    }
    assert ask("GET", "/indexes/new").json() == created.json()
    assert [index["name"] for index in ask("GET", "/indexes").json()["indexes"]] == ["docs-example", "new"]
    response = ask("DELETE", "/indexes/new")
    assert (response.status_code, response.content) == (202, b"")
    for method in ("GET", "DELETE"):
        response = ask(method, "/indexes/new")
        assert response.status_code == 404
        assert response.json()["error"]["message"] == "Index new not found."


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        (POD, {"pod": {**POD["pod"], "pods": 1, "replicas": 1, "shards": 1}}),
        (BYOC, {"byoc": {**BYOC["byoc"], **ON_DEMAND}}),
    ],
    ids=["pod", "byoc"],
)
def test_other_index_types(ask: Ask, spec: dict[str, Any], shown: dict[str, Any]) -> None:
    response = ask("POST", "/indexes", json={"name": "new", "dimension": 8, "spec": spec})
    assert response.status_code == 201
    assert response.json()["spec"] == shown


def test_backup_has_the_cloud_and_the_region_of_its_index(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("byoc", spec=BYOC)
    backup = ask("POST", "/indexes/byoc/backups", json={}).json()
    assert (backup["cloud"], backup["region"]) == ("aws", "us-east-1-b921")
    emulator.add_index("pods", spec=POD)
    assert emulator.add_backup("pods")["region"] == "us-east1-gcp"


def test_dedicated_read_capacity(ask: Ask) -> None:
    capacity = {
        "mode": "Dedicated",
        "dedicated": {"node_type": "b1", "scaling": "Manual", "manual": {"shards": 1, "replicas": 1}},
    }
    response = ask("PATCH", "/indexes/docs-example", json={"spec": {"serverless": {"read_capacity": capacity}}})
    assert response.status_code == 202
    spec = response.json()["spec"]["serverless"]
    assert spec["cloud"] == "aws"
    assert spec["read_capacity"] == {**capacity, "status": {"state": "Ready"}}
    unchanged = ask("PATCH", "/indexes/docs-example", json={"spec": {"serverless": {}}})
    assert unchanged.json()["spec"]["serverless"] == spec


@pytest.mark.parametrize("name", ["a", "a-b", "0", "x" * 45])
def test_valid_names(ask: Ask, name: str) -> None:
    body = {"name": name, "dimension": 8, "spec": SERVERLESS}
    assert ask("POST", "/indexes", json=body).status_code == 201


def test_configure_tags_and_deletion_protection(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("tagged", tags={"keep": "1", "drop": "2"})
    body = {"tags": {"drop": "", "new": "3"}, "deletion_protection": "enabled"}
    response = ask("PATCH", "/indexes/tagged", json=body)
    assert response.status_code == 202
    assert response.json()["tags"] == {"keep": "1", "new": "3"}
    assert ask("GET", "/indexes/tagged").json() == response.json()
    rejected = ask("DELETE", "/indexes/tagged")
    assert rejected.status_code == 403
    assert rejected.json()["error"] == {
        "code": "FORBIDDEN",
        "message": "Deletion protection is enabled for this index. Disable deletion protection before retrying.",
    }
    assert ask("PATCH", "/indexes/tagged", json={"deletion_protection": "disabled"}).status_code == 202
    assert ask("DELETE", "/indexes/tagged").status_code == 202


def test_configure_a_pod_based_index(ask: Ask) -> None:
    assert ask("POST", "/indexes", json={"name": "pods", "dimension": 8, "spec": POD}).status_code == 201
    response = ask("PATCH", "/indexes/pods", json={"spec": {"pod": {"replicas": 3}}})
    assert response.json()["spec"]["pod"] == {**POD["pod"], "pods": 1, "replicas": 3, "shards": 1}


def test_describe_index_stats(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("large", records=10, namespaces=3)
    emulator.add_index("sparse", vector_type="sparse", metric="dotproduct", dimension=None, records=0)
    paths = {i["name"]: i["host"].removeprefix(emulator.url) + "/describe_index_stats" for i in emulator.indexes}
    stats = {name: ask("POST", path, json={}).json() for name, path in paths.items()}
    assert stats["large"] == {
        "namespaces": {
            "namespace-1": {"vectorCount": 4},
            "namespace-2": {"vectorCount": 3},
            "namespace-3": {"vectorCount": 3},
        },
        "dimension": 1024,
        "indexFullness": 0.0,
        "totalVectorCount": 10,
        "metric": "cosine",
        "vectorType": "dense",
    }
    assert stats["docs-example"]["totalVectorCount"] == 96
    assert "dimension" not in stats["sparse"]
    assert ask("GET", paths["large"]).json() == stats["large"]
    emulator.set_records("large", 5)
    assert ask("GET", paths["large"]).json()["namespaces"] == {"namespace-1": {"vectorCount": 5}}
    assert ask("GET", paths["large"], headers={"Api-Key": "wrong"}).status_code == 401
    assert ask("DELETE", "/indexes/large").status_code == 202
    assert ask("GET", paths["large"]).status_code == 404


def test_host_of_an_index_starts_with_the_url_that_the_client_used(ask: Ask) -> None:
    headers = {"Host": "pinecone.test:8080"}
    assert ask("GET", "/indexes/docs-example", headers=headers).json()["host"].startswith("http://pinecone.test:8080/")


def test_records_of_the_first_indexes() -> None:
    with Emulator("key", ["a", "b:5", "c:0"]) as emulator:
        headers = {"Api-Key": "key", "X-Pinecone-Api-Version": "2026-04"}
        urls = {index["name"]: index["host"] + "/describe_index_stats" for index in emulator.indexes}
        stats = {name: requests.get(url, headers=headers, timeout=20).json() for name, url in urls.items()}
    assert {name: answer["totalVectorCount"] for name, answer in stats.items()} == {"a": 96, "b": 5, "c": 0}
