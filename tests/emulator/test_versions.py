"""The versions of the API: one state, shown and changed by the rules of each version."""

from typing import Any

import pytest
from support.clock import FakeClock
from support.constants import API_KEY
from support.emulator_client import Ask

from airflow_pinecone.emulator import Emulator

VERSIONS = ["2025-10", "2026-04", "2026-07", "unstable"]
SCHEMA_VERSIONS = ["2026-07", "unstable"]
VECTOR_VERSIONS = ["2025-10", "2026-04"]
all_versions = pytest.mark.parametrize("api_version", VERSIONS)
schema_versions = pytest.mark.parametrize("api_version", SCHEMA_VERSIONS)
vector_versions = pytest.mark.parametrize("api_version", VECTOR_VERSIONS)

BACKUPS = "/indexes/docs-example/backups"
MANAGED = {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}
ON_DEMAND = {"mode": "OnDemand", "status": {"state": "Ready"}}
POD = {"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}}
DENSE = {"type": "dense_vector", "dimension": 8, "metric": "cosine"}
TEXT: dict[str, Any] = {
    "type": "string",
    "full_text_search": {"language": "en", "stemming": False, "stop_words": False},
}
DOCUMENTS = {"fields": {"embedding": DENSE, "body": TEXT}}


def text(**settings: Any) -> dict[str, Any]:
    return {"type": "string", "full_text_search": settings}


def fields(**settings: Any) -> dict[str, Any]:
    return {"schema": {"fields": settings}}


def version(name: str) -> dict[str, str]:
    return {"X-Pinecone-Api-Version": name}


def ids(ask: Ask, path: str, **query: str) -> list[str]:
    return [row["backup_id"] for row in ask("GET", path, params=query).json()["data"]]


@all_versions
def test_every_operation(ask: Ask, emulator: Emulator, api_version: str) -> None:
    """All exchanges match the description of the version, if PINECONE_SPEC_DIR is set."""
    new = api_version in SCHEMA_VERSIONS
    settings: dict[str, Any] = {"tags": {"a": "b"}, "deletion_protection": "enabled", "name": "new"}
    shape = (
        {"schema": {"fields": {"_values": DENSE}}}
        if new
        else {"dimension": 8, "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}}
    )
    created = ask("POST", "/indexes", json=settings | shape)
    assert created.status_code == 201
    assert ask("GET", "/indexes/new").json() == created.json()
    assert [index["name"] for index in ask("GET", "/indexes").json()["indexes"]] == ["docs-example", "new"]
    assert ask("DELETE", "/indexes/new").status_code == 403
    configured = ask("PATCH", "/indexes/new", json={"deletion_protection": "disabled", "tags": {"a": ""}})
    assert configured.status_code == (200 if new else 202)
    assert "tags" not in configured.json()

    backup = ask("POST", "/indexes/new/backups", json={"name": "one", "description": "Two"})
    assert backup.status_code == (200 if new else 201)
    assert backup.json()["status"] == "Initializing"
    path = f"/backups/{backup.json()['backup_id']}"
    assert ask("GET", path).json() == {**backup.json(), "status": "Ready"}
    assert ids(ask, "/indexes/new/backups") == ids(ask, "/backups") == [backup.json()["backup_id"]]
    restored = ask("POST", path + "/create-index", json={"name": "restored"})
    assert restored.status_code == 202
    job = ask("GET", f"/restore-jobs/{restored.json()['restore_job_id']}").json()
    assert ask("GET", "/restore-jobs").json() == {"data": [job]}
    assert ask("GET", "/indexes/restored").json()["status"] == {"ready": True, "state": "Ready"}
    assert ask("DELETE", path).status_code == 202
    assert ask("GET", path).status_code == 404
    assert ask("DELETE", "/indexes/new").status_code == 202


@all_versions
def test_invalid_key(ask: Ask, emulator: Emulator, api_version: str) -> None:
    response = ask("GET", "/backups", headers={"Api-Key": "wrong"})
    assert response.status_code == 401
    if api_version in SCHEMA_VERSIONS:
        assert response.headers["Content-Type"].startswith("text/plain")
        assert response.text == "Invalid API key"
    else:
        assert response.json()["error"]["code"] == "UNAUTHENTICATED"
    assert emulator.api_key == API_KEY


@all_versions
def test_size_of_a_page(ask: Ask, emulator: Emulator, api_version: str) -> None:
    for _ in range(101):
        emulator.add_backup("docs-example")
    for path in ("/backups", BACKUPS):
        body = ask("GET", path).json()
        assert len(body["data"]) == (100 if api_version in SCHEMA_VERSIONS else 10)
        assert ask("GET", path, params={"paginationToken": body["pagination"]["next"]}).status_code == 200
    for query in ({"limit": "0"}, {"limit": "101"}, {"paginationToken": "x"}):
        assert ask("GET", BACKUPS, params=query).status_code == 400


def test_index_in_both_shapes(ask: Ask, emulator: Emulator) -> None:
    body = {"name": "new", "dimension": 8, "metric": "euclidean", "tags": {"a": "b"}}
    old = ask(
        "POST", "/indexes", json=body | {"spec": {"serverless": {"cloud": "gcp", "region": "us-central1"}}}
    ).json()
    new = ask("GET", "/indexes/new", headers=version("2026-07")).json()
    assert new == {
        "name": "new",
        "host": old["host"],
        "status": {"ready": True, "state": "Ready"},
        "deployment": {"deployment_type": "managed", "cloud": "gcp", "region": "us-central1"},
        "read_capacity": ON_DEMAND,
        "schema": {
            "fields": {
                "_values": {"type": "dense_vector", "dimension": 8, "metric": "euclidean"},
                "_sparse_values": {"type": "sparse_vector"},
            }
        },
        "tags": {"a": "b"},
        "deletion_protection": "disabled",
    }
    created = ask(
        "POST",
        "/indexes",
        headers=version("2026-07"),
        json={"name": "classic", "schema": {"fields": {"_sparse_values": {"type": "sparse_vector"}}}},
    ).json()
    assert created["schema"] == {"fields": {"_sparse_values": {"type": "sparse_vector"}}}
    classic = ask("GET", "/indexes/classic").json()
    assert (classic["vector_type"], classic["metric"]) == ("sparse", "dotproduct")
    assert classic["spec"] == {"serverless": {"cloud": "aws", "region": "us-east-1", "read_capacity": ON_DEMAND}}
    assert "dimension" not in classic


@schema_versions
def test_dense_index_of_the_vectors_api_also_has_sparse_values(ask: Ask) -> None:
    created = ask("POST", "/indexes", json={"name": "classic"} | fields(_values=DENSE)).json()
    assert created["schema"]["fields"] == {"_values": DENSE, "_sparse_values": {"type": "sparse_vector"}}


def test_metadata_fields_of_an_older_index(ask: Ask) -> None:
    schema = {"fields": {"genre": {"filterable": True}}}
    spec = {"serverless": {"cloud": "aws", "region": "us-east-1", "schema": schema}}
    assert (
        ask("POST", "/indexes", json={"name": "new", "dimension": 8, "spec": spec}).json()["spec"]["serverless"][
            "schema"
        ]
        == schema
    )
    fields = ask("GET", "/indexes/new", headers=version("2026-07")).json()["schema"]["fields"]
    assert fields["genre"] == {"filterable": True}
    backup = ask("POST", "/indexes/new/backups", json={}).json()
    assert backup["schema"] == schema
    assert (
        ask("GET", f"/backups/{backup['backup_id']}", headers=version("2026-07")).json()["schema"]["fields"] == fields
    )


@pytest.mark.parametrize("api_version", ["2026-07"])
def test_other_deployments(ask: Ask, emulator: Emulator) -> None:
    byoc = {"deployment_type": "byoc", "environment": "aws-us-east-1-b921"}
    created = ask("POST", "/indexes", json={"name": "byoc", "schema": DOCUMENTS, "deployment": byoc}).json()
    assert (created["deployment"], created["read_capacity"]) == (byoc, ON_DEMAND)
    emulator.add_index("pods", spec=POD)
    pods = ask("GET", "/indexes/pods").json()
    assert pods["deployment"] == {"deployment_type": "pod", **POD["pod"], "replicas": 1, "shards": 1}
    assert "read_capacity" not in pods
    changed = ask("PATCH", "/indexes/pods", json={"deployment": {"replicas": 3}}).json()
    assert changed["deployment"]["replicas"] == 3


@pytest.mark.parametrize("api_version", ["2026-07"])
def test_read_capacity(ask: Ask) -> None:
    dedicated = {"node_type": "t1", "scaling": "Manual", "manual": {"replicas": 2, "shards": 3}}
    capacity = {"mode": "Dedicated", "dedicated": dedicated}
    created = ask("POST", "/indexes", json={"name": "new", "schema": DOCUMENTS, "read_capacity": capacity}).json()
    assert created["read_capacity"] == {**capacity, "status": {"state": "Ready"}}
    change = {"mode": "Dedicated", "dedicated": {"scaling": "Manual", "manual": {"replicas": 4}}}
    changed = ask("PATCH", "/indexes/new", json={"read_capacity": change}).json()["read_capacity"]
    assert changed["dedicated"] == {**dedicated, "manual": {"replicas": 4, "shards": 3}}


@vector_versions
@pytest.mark.parametrize(
    "index_type", [{"serverless": {"cloud": "aws", "region": "r"}}, {"byoc": {"environment": "aws-e"}}]
)
def test_read_capacity_has_the_described_fields_only(ask: Ask, index_type: dict[str, Any]) -> None:
    """A client can send more fields, but the description of the response has no others."""
    [(name, settings)] = index_type.items()
    given = {"mode": "Dedicated", "dedicated": {"node_type": "b1", "scaling": "Manual"}, "x": 1}
    body = {"name": "new", "dimension": 8, "spec": {name: {**settings, "read_capacity": given, "y": 2}}}
    spec = ask("POST", "/indexes", json=body).json()["spec"][name]
    assert spec == {
        **settings,
        "read_capacity": {
            "mode": "Dedicated",
            "dedicated": {"node_type": "b1", "scaling": "Manual", "manual": {"replicas": 1, "shards": 1}},
            "status": {"state": "Ready"},
        },
    }
    change = {"spec": {name: {"read_capacity": {"mode": "OnDemand"}, "z": 3}}}
    assert ask("PATCH", "/indexes/new", json=change).json()["spec"] == {name: {**settings, "read_capacity": ON_DEMAND}}


@schema_versions
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"dimension": 8, "spec": {}}, 422, "unknown field `dimension`"),
        ({}, 422, "missing field `schema`"),
        ({"schema": {}}, 422, "missing field `fields`"),
        ({"schema": {"fields": {}}}, 400, "at least one field"),
        ({"schema": {"fields": {"x": {"type": "float"}}}}, 422, "unknown variant `float`"),
        ({"schema": {"fields": {"x": {"type": "dense_vector", "dimension": 8}}}}, 422, "missing field `metric`"),
        ({"schema": {"fields": {"x": DENSE | {"metric": "x"}}}}, 400, "metric"),
        ({"schema": {"fields": {"x": DENSE | {"dimension": 0}}}}, 400, "dimension"),
        ({"schema": {"fields": {"x": DENSE, "y": DENSE}}}, 400, "one dense_vector field"),
        ({"schema": {"fields": {"_values": DENSE, "y": TEXT}}}, 400, "'_values' is reserved"),
        ({"schema": {"fields": {"_sparse_values": DENSE}}}, 400, "must be a sparse_vector"),
        ({"schema": {"fields": {"x" * 65: DENSE}}}, 400, "longer than 64 bytes"),
        ({"schema": {"fields": {"x": DENSE | {"description": "x" * 257}}}}, 400, "256 bytes"),
        ({"schema": {"fields": {"x": {"type": "string"}}}}, 422, "missing field `full_text_search`"),
        (fields(x=text(stop_words=True)), 400, "stemming"),
        (fields(x=text(stemming=1)), 422, "stemming"),
        (fields(x=text(ngram={"min_gram": 3, "max_gram": 2})), 400, "ngram"),
        ({"schema": {"fields": {f"x{n}": TEXT for n in range(101)}}}, 400, "100"),
        ({"schema": DOCUMENTS, "deployment": {"deployment_type": "pod"}}, 422, "unknown variant `pod`"),
        ({"schema": DOCUMENTS, "deployment": MANAGED | {"cloud": "x"}}, 404, "cloud: x"),
        ({"schema": DOCUMENTS, "read_capacity": {"mode": "x"}}, 400, "OnDemand"),
        ({"schema": DOCUMENTS, "cmek_id": "x"}, 400, "cmek_id"),
        (fields(x=TEXT | {"description": None}), 422, "description"),
        ({"schema": DOCUMENTS, "name": "A"}, 400, "'A'"),
    ],
)  # fmt: skip
def test_invalid_index(ask: Ask, emulator: Emulator, body: dict[str, Any], status: int, message: str) -> None:
    response = ask("POST", "/indexes", json=body)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]
    assert len(emulator.indexes) == 1


@pytest.mark.parametrize("api_version", ["2026-07"])
def test_name_and_deployment_have_defaults(ask: Ask) -> None:
    ngram = {"min_gram": 2, "max_gram": 3, "prefix_only": False}
    body = text(ngram={"min_gram": 2, "max_gram": 3}) | {"description": "b"}
    created = ask("POST", "/indexes", json=fields(body=body) | {"tags": None}).json()
    assert ask("GET", f"/indexes/{created['name']}").json() == created
    assert created["deployment"] == MANAGED
    assert created["schema"]["fields"]["body"]["full_text_search"] == TEXT["full_text_search"] | {"ngram": ngram}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"spec": {}}, 422),
        ({"deployment": {"replicas": 2}}, 400),
        ({"deployment": {"shards": 2}}, 422),
        ({"schema": {"fields": {"x": {"type": "semantic_text"}}}}, 501),
    ],
)
@pytest.mark.parametrize("api_version", ["2026-07"])
def test_invalid_change_of_an_index(ask: Ask, change: dict[str, Any], status: int) -> None:
    assert ask("PATCH", "/indexes/docs-example", json=change).status_code == status


@pytest.mark.parametrize("api_version", ["2026-07"])
def test_pod_based_index_has_no_read_capacity(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("pods", spec=POD)
    assert ask("PATCH", "/indexes/pods", json={"read_capacity": {"mode": "OnDemand"}}).status_code == 400


@all_versions
def test_document_index(ask: Ask, emulator: Emulator, api_version: str) -> None:
    emulator.add_index("documents", schema=DOCUMENTS, deployment=MANAGED | {"cloud": "gcp"}, records=5)
    index = ask("GET", "/indexes/documents").json()
    backup = ask("POST", "/indexes/documents/backups", json={}).json()
    assert (backup["cloud"], backup["record_count"]) == ("gcp", 5)
    if api_version in SCHEMA_VERSIONS:
        assert index["schema"] == backup["schema"] == DOCUMENTS
        assert not {"dimension", "metric", "vector_type", "spec"} & (set(index) | set(backup))
    else:
        assert "schema" not in {*index, *backup}
        assert (index["dimension"], backup["dimension"], index["vector_type"]) == (8, 8, "dense")
    ask("POST", f"/backups/{backup['backup_id']}/create-index", json={"name": "restored"})
    restored = ask("GET", "/indexes/restored").json()
    expected = {"name": "restored", "host": restored["host"]}
    if api_version in SCHEMA_VERSIONS:
        expected["source_backup_id"] = backup["backup_id"]
    assert restored == index | expected


@all_versions
def test_backup_of_a_document_index_can_be_refused(ask: Ask, emulator: Emulator) -> None:
    emulator.scenario.full_text_backups = False
    emulator.add_index("documents", schema=DOCUMENTS)
    response = ask("POST", "/indexes/documents/backups", json={})
    assert response.status_code == 400
    assert "not supported for full-text search indexes" in response.json()["error"]["message"]
    emulator.add_index("vectors", schema={"fields": {"embedding": DENSE}})
    assert ask("POST", "/indexes/vectors/backups", json={}).ok


def test_index_without_vectors_looks_sparse_to_earlier_versions(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("text", schema={"fields": {"body": TEXT}})
    index = ask("GET", "/indexes/text").json()
    assert (index["vector_type"], index["metric"]) == ("sparse", "dotproduct")
    assert "dimension" not in index


@all_versions
def test_index_that_a_failed_conversion_left(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("failed", state="InitializationFailed")
    assert ask("GET", "/indexes/failed").json()["status"] == {"ready": False, "state": "InitializationFailed"}


@all_versions
@pytest.mark.parametrize("name", ["Nightly", "", "a_b", "-a", "a-", "x" * 46])
def test_name_of_a_backup(ask: Ask, emulator: Emulator, api_version: str, name: str) -> None:
    response = ask("POST", BACKUPS, json={"name": name})
    if api_version in SCHEMA_VERSIONS:
        assert response.status_code == 400
        assert "Backup name must be 1-45 characters long" in response.json()["error"]["message"]
        assert emulator.backups == []
    else:
        assert response.json()["name"] == name


@all_versions
def test_plan_without_backups(ask: Ask, emulator: Emulator, api_version: str) -> None:
    emulator.scenario.backups_in_plan = False
    response = ask("POST", BACKUPS, json={})
    assert response.status_code == 403
    error = response.json()["error"]
    assert error["code"] == ("PERMISSION_DENIED" if api_version in SCHEMA_VERSIONS else "FORBIDDEN")
    assert "Your organization's plan does not include backups." in error["message"]


@all_versions
def test_quota(ask: Ask, emulator: Emulator) -> None:
    emulator.scenario.quota = 0
    response = ask("POST", BACKUPS, json={})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "FORBIDDEN")


@all_versions
def test_backup_that_is_not_ready_cannot_be_restored(ask: Ask, emulator: Emulator, api_version: str) -> None:
    backup_id = emulator.add_backup("docs-example", status="Initializing")["backup_id"]
    response = ask("POST", f"/backups/{backup_id}/create-index", json={"name": "new"})
    expected = (412, "FAILED_PRECONDITION") if api_version in SCHEMA_VERSIONS else (400, "INVALID_ARGUMENT")
    assert (response.status_code, response.json()["error"]["code"]) == expected


@all_versions
def test_backup_as_each_version_shows_it(ask: Ask, emulator: Emulator, api_version: str) -> None:
    emulator.add_backup("docs-example", name="n", backup_id="b")
    backup = ask("GET", "/backups/b").json()
    if api_version in SCHEMA_VERSIONS:
        assert not {"dimension", "metric"} & set(backup)
        assert backup["tags"] is None
        assert backup["schema"]["fields"]["_values"] == DENSE | {"dimension": 1024}
    else:
        assert (backup["dimension"], backup["metric"], backup["tags"]) == (1024, "cosine", {})
        assert "schema" not in backup


@schema_versions
def test_fields_of_a_test_replace_those_of_the_version(ask: Ask, emulator: Emulator) -> None:
    emulator.add_backup("docs-example", schema=None, backup_id="a")
    emulator.next_backup(fields={"metric": "x", "record_count": "5"})
    backup = ask("POST", BACKUPS, json={}).json()
    assert (backup["metric"], backup["record_count"]) == ("x", "5")
    assert ask("GET", "/backups/a").json()["schema"] is None


@all_versions
def test_progress_of_a_restore(ask: Ask, emulator: Emulator, api_version: str) -> None:
    emulator.add_backup("docs-example", backup_id="b")
    ask("POST", "/backups/b/create-index", json={"name": "new"})
    [job] = ask("GET", "/restore-jobs").json()["data"]
    assert type(job["percent_complete"]) is (int if api_version in SCHEMA_VERSIONS else float)
    assert ask("GET", "/indexes/new").json().get("source_backup_id") == (
        "b" if api_version in SCHEMA_VERSIONS else None
    )


@all_versions
def test_read_capacity_of_a_restore_is_ignored(ask: Ask, emulator: Emulator) -> None:
    emulator.add_backup("docs-example", backup_id="b")
    capacity = {
        "mode": "Dedicated",
        "dedicated": {"node_type": "t1", "scaling": "Manual", "manual": {"replicas": 1, "shards": 1}},
    }
    response = ask("POST", "/backups/b/create-index", json={"name": "new", "read_capacity": capacity})
    assert response.status_code == 202
    assert ask("GET", "/indexes/new", headers=version("2026-07")).json()["read_capacity"] == ON_DEMAND


@all_versions
def test_backups_of_earlier_indexes(ask: Ask, emulator: Emulator, api_version: str, clock: FakeClock) -> None:
    emulator.scenario.clock = clock
    earlier = ask("POST", BACKUPS, json={}).json()
    assert "source_index_deleted_at" not in earlier
    shows_deleted = api_version != "2025-10"
    clock.advance(60)
    ask("DELETE", "/indexes/docs-example")
    assert ask("GET", BACKUPS).status_code == 404
    response = ask("GET", BACKUPS, params={"include_deleted": "true"})
    if shows_deleted:
        [row] = response.json()["data"]
        assert row["source_index_deleted_at"] == "2025-06-15T15:07:40.000000Z"
    else:
        assert response.status_code == 404
    clock.advance(60)
    emulator.add_index("docs-example")
    assert ids(ask, BACKUPS) == []
    current = ask("POST", BACKUPS, json={}).json()
    assert current["source_index_id"] != earlier["source_index_id"]
    assert ids(ask, BACKUPS) == ids(ask, BACKUPS, include_deleted="false") == [current["backup_id"]]
    both = [current["backup_id"], earlier["backup_id"]]
    assert ids(ask, BACKUPS, include_deleted="true") == (both if shows_deleted else both[:1])
    assert ids(ask, "/backups") == both
    assert ("source_index_deleted_at" in ask("GET", f"/backups/{earlier['backup_id']}").json()) == shows_deleted
    assert "source_index_deleted_at" not in ask("GET", f"/backups/{current['backup_id']}").json()


@schema_versions
def test_pages_with_earlier_indexes(ask: Ask, emulator: Emulator) -> None:
    for _ in range(2):
        emulator.add_backup("docs-example", source_index_id="earlier")
        emulator.add_backup("docs-example")
    query = {"include_deleted": "true", "limit": "3"}
    first = ask("GET", BACKUPS, params=query).json()
    token = first["pagination"]["next"]
    second = ask("GET", BACKUPS, params={"include_deleted": "true", "paginationToken": token}).json()
    assert (len(first["data"]), len(second["data"])) == (3, 1)
    assert {row["source_index_id"] for row in second["data"]} == {"earlier"}
    assert ask("GET", BACKUPS, params={"include_deleted": "yes"}).status_code == 400
    assert ask("GET", "/indexes/never/backups", params={"include_deleted": "true"}).status_code == 404


@all_versions
def test_counts_of_a_restored_index_are_those_of_the_backup(ask: Ask, emulator: Emulator) -> None:
    emulator.add_backup("docs-example", backup_id="a", record_count=7, namespace_count=2)
    emulator.add_backup("docs-example", backup_id="b")
    emulator.add_backup("docs-example", backup_id="c", record_count=None)
    emulator.set_records("docs-example", 1000)
    for name in "abc":
        assert ask("POST", f"/backups/{name}/create-index", json={"name": name}).status_code == 202
    stats = {
        index["name"]: ask("GET", index["host"].removeprefix(emulator.url) + "/describe_index_stats").json()
        for index in emulator.indexes
    }
    assert [stats[name]["totalVectorCount"] for name in "abc"] == [7, 96, 96]
    assert [len(stats[name]["namespaces"]) for name in "abc"] == [2, 3, 3]


def test_restored_sparse_index_has_no_dimension(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("sparse", vector_type="sparse", metric="dotproduct", dimension=None)
    emulator.add_backup("sparse", backup_id="b")
    ask("POST", "/backups/b/create-index", json={"name": "new"})
    assert "dimension" not in ask("GET", "/indexes/new").json()
