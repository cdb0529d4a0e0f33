"""The check of exchanges against a published description; here against one of a few lines."""

import json
from dataclasses import replace

import pytest
from published import DEVIATIONS, Description, Mismatch, check_exchanges, published

from airflow_pinecone.emulator import Exchange, Fault

DESCRIPTION = {
    "openapi": "3.0.3",
    "info": {"version": "2025-10"},
    "paths": {
        "/things": {
            "get": {
                "parameters": [
                    {"in": "header", "name": "X-Pinecone-Api-Version", "required": True, "schema": {}},
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 100}},
                    {"in": "query", "name": "token", "schema": {"type": "string"}},
                ],
                "responses": {"200": {"content": {"application/json": {"schema": {"type": "object"}}}}},
            },
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/New"}}},
                },
                "responses": {
                    "201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                    "422": {},
                },
            },
        },
        "/things/{id}": {"delete": {"responses": {"202": {"description": "gone"}}}},
        "/things/special": {"delete": {"responses": {"200": {"description": "gone"}}}},
    },
    "components": {
        "schemas": {
            "New": {"type": "object", "properties": {"name": {"type": "string"}}},
            "Thing": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "name": {"type": "string"},
                    "created_at": {"type": "string", "format": "date-time"},
                    "tags": {"type": "object", "additionalProperties": {"type": "string"}},
                },
                "required": ["id"],
            },
        }
    },
}
HEADERS = {"X-Pinecone-Api-Version": "2025-10", "Api-Key": "***"}
LISTED = Exchange("GET", "/things", {}, HEADERS, None, ("127.0.0.1", 1), 0.0, 200, {"data": []})
CREATED = replace(LISTED, method="POST", body={"name": "x"}, status=201, answer={"id": "1", "new_field": 1})
DELETED = replace(LISTED, method="DELETE", path="/things/1", status=202, answer=None)


def check(exchange):
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
        replace(LISTED, path="/unknown", status=501),
        CREATED,
        replace(CREATED, answer={"id": "1", "created_at": "2025-05-14T16:37:25.625540Z"}),
        replace(CREATED, answer={"id": "1", "created_at": "2025-05-14T16:37:25.625540123+00:00"}),
        replace(CREATED, answer={"id": "1", "name": None, "tags": {"a": 1}}),
        replace(CREATED, body={"name": 5}, status=422, answer=None),
        replace(CREATED, answer="<html>", status=502, fault=Fault("*", "*", status=502)),
        DELETED,
        replace(DELETED, path="/things/special", status=200),
    ],
)
def test_what_fits(exchange):
    check(exchange)


@pytest.mark.parametrize(
    ("exchange", "problem"),
    [
        (replace(LISTED, method="PUT"), "no such operation"),
        (replace(LISTED, path="/unknown"), "no such operation"),
        (replace(LISTED, path="/things/"), "no such operation"),
        (replace(LISTED, query={"page": "2"}), "query parameter page is unknown"),
        (replace(LISTED, query={"limit": "101"}), "101 is greater than"),
        (replace(LISTED, query={"limit": "ten"}), "'ten' is not of type 'integer'"),
        (replace(LISTED, headers={**HEADERS, "X-Pinecone-Api-Version": "1"}), "no description of the version"),
        (replace(LISTED, headers={"X-Pinecone-Api-Version": "2025-10"}), "Api-Key is missing"),
        (replace(LISTED, body={}), "a request body is not described"),
        (replace(LISTED, status=404), "the status 404 is not described"),
        (replace(LISTED, answer=[]), "is not of type 'object'"),
        (replace(LISTED, answer=None), "answer at /"),
        (replace(CREATED, body=None), "the request body is missing"),
        (replace(CREATED, body={"name": None}), "request body at /name"),
        (replace(CREATED, body={"name": 5}), "request body at /name"),
        (replace(CREATED, answer={}), "'id' is a required property"),
        (replace(CREATED, answer={"id": None}), "answer at /id"),
        (replace(CREATED, answer={"id": "1", "created_at": "yesterday"}), "is not a 'date-time'"),
        (replace(CREATED, answer={"id": "1", "tags": 5}), "answer at /tags"),
        (replace(DELETED, answer={}), "an answer's body is not described"),
        (replace(DELETED, path="/things/special"), "the status 202 is not described"),
        # A fault's answer is not looked at, but the request is, and so is an answer that only came late.
        (replace(LISTED, query={"page": "2"}, status=503, fault=Fault("*", "*", status=503)), "page is unknown"),
        (replace(LISTED, query={"page": "2"}, status=400, fault=Fault("*", "*", status=400)), "page is unknown"),
        (replace(LISTED, answer=[], fault=Fault("*", "*", hang="before")), "is not of type 'object'"),
    ],
)
def test_what_does_not_fit(exchange, problem):
    with pytest.raises(Mismatch, match=r"does not fit|no description") as raised:
        check(exchange)
    assert problem in str(raised.value)


def test_deviations_are_for_their_call_only():
    assert all(deviation.reason for deviation in DEVIATIONS)
    described = {"openapi": "3.0.3", "info": {}, "paths": {}}
    described["paths"]["/indexes/{index_name}/backups"] = {
        "post": {"responses": {"201": {}}},
        "get": {"responses": {"200": {}}},
    }
    description = Description(described)
    path = "/indexes/x/backups"
    description.check(replace(CREATED, path=path, body=None, status=404, answer={}))
    with pytest.raises(Mismatch):
        description.check(replace(LISTED, path=path, status=404, answer={}))


def test_descriptions_are_taken_from_the_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("PINECONE_SPEC_DIR", raising=False)
    assert published() == {}
    monkeypatch.setenv("PINECONE_SPEC_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="PINECONE_SPEC_DIR"):
        published()
    (tmp_path / "db_control_2025-10.oas.yaml").write_text(json.dumps(DESCRIPTION))
    assert set(published()) == {"2025-10"}
    with pytest.raises(Mismatch):
        check_exchanges([replace(LISTED, query={"page": "2"})], published())


def test_a_true_emulator_that_strays_is_caught(ask, emulator, monkeypatch):
    """The check that the fixture makes sees what really went over the wire."""
    description = {"2025-10": Description({**DESCRIPTION, "paths": {"/backups": DESCRIPTION["paths"]["/things"]}})}
    ask("GET", "/backups")
    check_exchanges(emulator.requests, description)
    ask("GET", "/restore-jobs")
    with pytest.raises(Mismatch, match="/restore-jobs"):
        check_exchanges(emulator.requests, description)
