"""The check of exchanges against a published description, here a short one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.api_spec import DEVIATIONS, Description, Mismatch, check_exchanges, load_descriptions
from support.emulator_client import Ask

from airflow_pinecone.emulator import Emulator, Exchange, Fault

DESCRIPTION = yaml.safe_load("""
openapi: 3.0.3
info: {version: 2025-10}
paths:
  /things:
    get:
      parameters:
        - {in: header, name: X-Pinecone-Api-Version, required: true, schema: {}}
        - {in: query, name: limit, schema: {type: integer, maximum: 100}}
        - {in: query, name: token, schema: {type: string}}
        - {in: query, name: all, schema: {type: boolean}}
      responses:
        "200": {content: {application/json: {schema: {type: object}}}}
        "401": {content: {text/plain: {schema: {type: string}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/New"}}}}
      responses:
        "201": {content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}}
        "422": {}
  "/things/{id}": {delete: {responses: {"202": {description: deleted}}}}
  /things/special: {delete: {responses: {"200": {description: deleted}}}}
components:
  schemas:
    New: {type: object, properties: {name: {type: string}}}
    Thing:
      type: object
      properties:
        id: {type: string}
        name: {type: string}
        created_at: {type: string, format: date-time}
        tags: {type: object, additionalProperties: {type: string}}
        record_count: {type: integer}
      required: [id]
""")
HEADERS = {"X-Pinecone-Api-Version": "2025-10", "Api-Key": "***"}
LISTED = Exchange("GET", "/things", {}, HEADERS, None, ("127.0.0.1", 1), 0.0, 200, {"data": []})
CREATED = replace(LISTED, method="POST", body={"name": "x"}, status=201, answer={"id": "1", "new_field": 1})
DELETED = replace(LISTED, method="DELETE", path="/things/1", status=202, answer=None)


def check(exchange: Exchange) -> None:
    check_exchanges([exchange], {"2025-10": Description(DESCRIPTION)})


@pytest.mark.parametrize(
    "exchange",
    [
        LISTED,
        replace(LISTED, query={"limit": "100", "token": "5"}),
        replace(LISTED, status=None, answer=None),
        replace(LISTED, path="/data-plane/x/describe_index_stats", answer={}),
        replace(LISTED, headers={}, status=400),
        replace(LISTED, headers={}, status=401),
        replace(LISTED, status=401, answer="Invalid API key"),
        replace(LISTED, query={"all": "true"}),
        replace(LISTED, path="/unknown", status=501),
        CREATED,
        replace(CREATED, answer={"id": "1", "created_at": "2025-05-14T16:37:25.625540Z"}),
        replace(CREATED, answer={"id": "1", "created_at": "2025-05-14T16:37:25.625540123+00:00"}),
        replace(CREATED, answer={"id": "1", "name": None, "tags": {"a": 1}}),
        replace(CREATED, answer={"id": "1", "record_count": "5"}),
        replace(CREATED, body={"name": 5}, status=422, answer=None),
        replace(CREATED, answer="<html>", status=502, fault=Fault("*", "*", status=502)),
        DELETED,
        replace(DELETED, path="/things/special", status=200),
    ],
)
def test_matching_exchange(exchange: Exchange) -> None:
    check(exchange)


@pytest.mark.parametrize(
    ("exchange", "problem"),
    [
        (replace(LISTED, method="PUT"), "the operation is not described"),
        (replace(LISTED, path="/unknown"), "the operation is not described"),
        (replace(LISTED, path="/things/"), "the operation is not described"),
        (replace(LISTED, query={"page": "2"}), "query parameter page is unknown"),
        (replace(LISTED, query={"limit": "101"}), "101 is greater than"),
        (replace(LISTED, query={"limit": "ten"}), "'ten' is not of type 'integer'"),
        (replace(LISTED, query={"all": "yes"}), "'yes' is not of type 'boolean'"),
        (replace(LISTED, status=401, answer={}), "is not of type 'string'"),
        (replace(LISTED, headers={**HEADERS, "X-Pinecone-Api-Version": "1"}), "no description of version"),
        (replace(LISTED, headers={"X-Pinecone-Api-Version": "2025-10"}), "Api-Key is missing"),
        (replace(LISTED, body={}), "a request body is not described"),
        (replace(LISTED, status=404), "the status 404 is not described"),
        (replace(LISTED, answer=[]), "is not of type 'object'"),
        (replace(LISTED, answer=None), "response at /"),
        (replace(CREATED, body=None), "the request body is missing"),
        (replace(CREATED, body={"name": None}), "request body at /name"),
        (replace(CREATED, body={"name": 5}), "request body at /name"),
        (replace(CREATED, answer={}), "'id' is a required property"),
        (replace(CREATED, answer={"id": None}), "response at /id"),
        (replace(CREATED, answer={"id": "1", "created_at": "yesterday"}), "is not a 'date-time'"),
        (replace(CREATED, answer={"id": "1", "tags": 5}), "response at /tags"),
        (replace(CREATED, answer={"id": "1", "record_count": "x"}), "response at /record_count"),
        (replace(DELETED, answer={}), "a response body is not described"),
        (replace(DELETED, path="/things/special"), "the status 202 is not described"),
        # A response that a fault altered is not checked, but its request is, and so is a delayed response.
        (replace(LISTED, query={"page": "2"}, status=503, fault=Fault("*", "*", status=503)), "page is unknown"),
        (replace(LISTED, query={"page": "2"}, status=400, fault=Fault("*", "*", status=400)), "page is unknown"),
        (replace(LISTED, answer=[], fault=Fault("*", "*", hang="before")), "is not of type 'object'"),
    ],
)
def test_exchange_that_does_not_match(exchange: Exchange, problem: str) -> None:
    with pytest.raises(Mismatch, match=r"does not match|no description") as raised:
        check(exchange)
    assert problem in str(raised.value)


def test_deviations_only_apply_to_their_operation() -> None:
    assert all(deviation.reason for deviation in DEVIATIONS)
    operations: dict[str, Any] = {"post": {"responses": {"201": {}}}, "get": {"responses": {"200": {}}}}
    description = Description({"paths": {"/indexes/{index_name}/backups": operations}})
    path = "/indexes/x/backups"
    description.check(replace(CREATED, path=path, body=None, status=404, answer={}))
    with pytest.raises(Mismatch):
        description.check(replace(LISTED, path=path, status=404, answer={}))


def test_later_parameters_only_apply_to_their_operation() -> None:
    operation = DESCRIPTION["paths"]["/things"]["get"]
    description = Description(
        {"paths": {"/indexes/{index_name}/backups": {"get": operation}, "/backups": {"get": operation}}}
    )
    description.check(replace(LISTED, path="/indexes/x/backups", query={"include_deleted": "true"}))
    with pytest.raises(Mismatch, match="include_deleted is unknown"):
        description.check(replace(LISTED, path="/backups", query={"include_deleted": "true"}))


def test_unstable_is_checked_like_the_newest_version() -> None:
    headers = {**HEADERS, "X-Pinecone-Api-Version": "unstable"}
    check_exchanges([replace(LISTED, headers=headers)], {"2026-07": Description(DESCRIPTION)})
    with pytest.raises(Mismatch, match="page is unknown"):
        check_exchanges([replace(LISTED, headers=headers, query={"page": "2"})], {"2026-07": Description(DESCRIPTION)})


def test_descriptions_are_loaded_from_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PINECONE_SPEC_DIR", raising=False)
    assert load_descriptions() == {}
    monkeypatch.setenv("PINECONE_SPEC_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="PINECONE_SPEC_DIR"):
        load_descriptions()
    (tmp_path / "db_control_2025-10.oas.yaml").write_text(json.dumps(DESCRIPTION))
    assert set(load_descriptions()) == {"2025-10"}
    with pytest.raises(Mismatch):
        check_exchanges([replace(LISTED, query={"page": "2"})], load_descriptions())


def test_exchanges_of_an_emulator_are_checked(ask: Ask, emulator: Emulator) -> None:
    description = {"2025-10": Description({**DESCRIPTION, "paths": {"/backups": DESCRIPTION["paths"]["/things"]}})}
    ask("GET", "/backups")
    check_exchanges(emulator.requests, description)
    ask("GET", "/restore-jobs")
    with pytest.raises(Mismatch, match="/restore-jobs"):
        check_exchanges(emulator.requests, description)
