"""The body of a request that creates an index like another one, which any version of the API has described."""

from typing import Any

import pytest
from support.emulator_client import Ask

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.rules.new_index import VectorSettings, create_index_body, vector_settings

VERSIONS = ["2025-10", "2026-04", "2026-07"]
KINDS: dict[str, dict[str, Any]] = {
    "dense": {"dimension": 8, "metric": "euclidean"},
    "hybrid": {"dimension": 8, "metric": "dotproduct"},
    "sparse": {"vector_type": "sparse", "metric": "dotproduct", "dimension": None},
}
FIELDS = {"genre": {"filterable": True}, "dimension": {"filterable": True}}
TAGS = {"team": "search"}
DENSE: dict[str, Any] = {"name": "a", "dimension": 3, "metric": "cosine", "vector_type": "dense"}
SERVERLESS: dict[str, Any] = {"serverless": {"cloud": "gcp", "region": "europe-west4"}}


def read_in(emulator: Emulator, ask: Ask, version: str, resource: str) -> dict[str, Any]:
    headers = {"X-Pinecone-Api-Version": version}
    path = "/indexes/source" if resource == "index" else f"/backups/{emulator.add_backup('source')['backup_id']}"
    answer: dict[str, Any] = ask("GET", path, headers=headers).json()
    return answer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("resource", ["index", "backup"])
@pytest.mark.parametrize("read", VERSIONS)
@pytest.mark.parametrize("created", [*VERSIONS, "unstable"])
def test_each_version_to_each_version(
    emulator: Emulator, ask: Ask, kind: str, resource: str, read: str, created: str
) -> None:
    place = {"deployment_type": "managed", "cloud": "gcp", "region": "europe-west4"}
    emulator.add_index("source", **KINDS[kind], deployment=place)
    model = read_in(emulator, ask, read, resource)
    body = create_index_body(model, name="copy", api_version=created, tags=TAGS, deletion_protection="enabled")  # type: ignore[arg-type]
    response = ask("POST", "/indexes", json=body, headers={"X-Pinecone-Api-Version": created})
    assert response.status_code == 201, response.text
    source, copy = ({index["name"]: index for index in emulator.indexes}[name] for name in ("source", "copy"))
    own = {"name", "host", "tags", "deletion_protection", "spec"}
    assert {k: v for k, v in source.items() if k not in own} == {k: v for k, v in copy.items() if k not in own}
    shown = copy["spec"]["serverless"]
    assert (shown["cloud"], shown["region"]) == ("gcp", "europe-west4")
    assert (copy["tags"], copy["deletion_protection"]) == (TAGS, "enabled")


@pytest.mark.parametrize("resource", ["index", "backup"])
@pytest.mark.parametrize("read", VERSIONS)
def test_indexed_metadata_fields_stay(emulator: Emulator, ask: Ask, resource: str, read: str) -> None:
    capacity = {"mode": "OnDemand", "status": {"state": "Ready"}}
    place = {"cloud": "aws", "region": "us-east-1", "read_capacity": capacity}
    spec = {"serverless": {**place, "schema": {"fields": FIELDS}}}
    emulator.add_index("source", dimension=8, spec=spec)
    model: Any = read_in(emulator, ask, read, resource)
    if resource == "backup" and read != "2026-07" and "schema" not in model:
        pytest.skip("The emulator does not show the metadata fields of a backup in this version.")
    body = create_index_body(model, name="copy", api_version="2025-10")
    assert body["spec"]["serverless"]["schema"] == {"fields": FIELDS}
    with pytest.raises(PineconeInputError, match="Only some metadata fields of the original are indexed") as caught:
        create_index_body(model, name="copy", api_version="2026-07")
    assert '{"api_version": "2026-04"}' in str(caught.value)


def test_another_cloud_and_region() -> None:
    model: Any = {**DENSE, "spec": SERVERLESS}
    body = create_index_body(model, name="copy", api_version="2026-07", cloud="aws", region="us-east-1")
    assert body["deployment"] == {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}
    body = create_index_body(model, name="copy", api_version="2025-10", region="us-central1")
    assert body["spec"] == {"serverless": {"cloud": "gcp", "region": "us-central1"}}
    with pytest.raises(PineconeInputError, match="Set region, too"):
        create_index_body(model, name="copy", api_version="2026-07", cloud="aws")


def test_an_index_in_an_own_cloud_needs_a_place() -> None:
    model: Any = {**DENSE, "spec": {"byoc": {"environment": "aws-us-east-1-b921"}}}
    with pytest.raises(PineconeInputError, match="original is not serverless"):
        create_index_body(model, name="copy", api_version="2026-07")
    body = create_index_body(model, name="copy", api_version="2025-10", cloud="aws", region="us-east-1")
    assert body["spec"] == {"serverless": {"cloud": "aws", "region": "us-east-1"}}


POD_SPEC = {"pod": {"environment": "us-east-1-aws", "pod_type": "p1.x1"}}
TEXT = {"type": "semantic_text", "model": "multilingual-e5-large", "dimension": 1024, "metric": "cosine"}
DOCUMENT = {"title": {"type": "string", "full_text_search": {"language": "en"}}}


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ({**DENSE, "spec": POD_SPEC}, "It is pod-based"),
        ({"name": "a", "schema": {"fields": {}}, "deployment": {"deployment_type": "pod"}}, "It is pod-based"),
        ({**DENSE, "spec": SERVERLESS, "embed": {"model": "llama-text-embed-v2"}}, "The model llama-text-embed-v2 of"),
        ({"name": "a", "schema": {"fields": {"text": TEXT}}}, "The model multilingual-e5-large of Pinecone"),
        ({"name": "a", "schema": {"fields": DOCUMENT}}, "It is a document index"),
        ({**DENSE, "spec": SERVERLESS, "cmek_id": "key"}, "The original is encrypted with a key of yours"),
        ({"backup_id": "b", "cloud": "aws", "region": "us-east-1"}, "Its dimension or its metric is unknown"),
        ({"backup_id": "b", "dimension": 3}, "Its dimension or its metric is unknown"),
        ({}, "Its dimension or its metric is unknown"),
        (DENSE, "The cloud and the region are unknown"),
    ],
)
def test_what_cannot_be_created_is_refused(model: Any, why: str) -> None:
    with pytest.raises(PineconeInputError) as caught:
        create_index_body(model, name="copy", api_version="2025-10")
    assert str(caught.value).startswith(f"Could not create index copy.\n{why}")
    assert str(caught.value).count("\n") == 2


def test_invalid_input() -> None:
    model: Any = {**DENSE, "spec": SERVERLESS}
    with pytest.raises(PineconeInputError, match="is not a valid index name"):
        create_index_body(model, name="Copy", api_version="2025-10")
    tags: Any = {"a": 1}
    with pytest.raises(PineconeInputError, match="tags must have strings"):
        create_index_body(model, name="copy", api_version="2025-10", tags=tags)


def test_settings_as_words() -> None:
    assert str(VectorSettings("dense", 1536, "cosine")) == "dense, 1536 dimensions, cosine"
    model: Any = {"backup_id": "b", "metric": "dotproduct"}
    assert str(vector_settings(model, "")) == "sparse, dotproduct"
