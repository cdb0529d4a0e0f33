"""Invalid requests: the emulator responds with an error of the API, changes nothing, and keeps running."""

import base64
import gzip
import json
import logging
import socket
from collections.abc import Iterator
from fnmatch import fnmatchcase
from http.client import HTTPResponse
from typing import Any, NamedTuple

import pytest
import requests
from support.constants import API_KEY
from support.emulator_client import Ask

from airflow_pinecone.emulator import Emulator

BACKUPS = "/indexes/docs-example/backups"
JSON = {"Content-Type": "application/json"}
DEEP = 100_000
CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 409: "ALREADY_EXISTS", 422: "UNPROCESSABLE_ENTITY"}
SERVERLESS = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
POD = {"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}}
DEDICATED = {"serverless": {**SERVERLESS["serverless"], "read_capacity": {"mode": "Dedicated"}}}


def serverless(**settings: Any) -> dict[str, Any]:
    return {"spec": {"serverless": SERVERLESS["serverless"] | settings}}


NEW_INDEX = {"name": "new", "dimension": 8, "spec": SERVERLESS}
INVALID_INDEXES: list[tuple[dict[str, Any], int, str]] = [
    ({"name": ...}, 422, "*missing field `name`"),
    ({"spec": ...}, 422, "*missing field `spec`"),
    ({"spec": {}}, 422, "*serverless, pod, byoc"),
    ({"spec": {**SERVERLESS, **POD}}, 422, "*serverless, pod, byoc"),
    ({"spec": {"serverless": {"cloud": "aws"}}}, 422, "*missing field `region`"),
    ({"spec": {"pod": {"environment": "x"}}}, 422, "*missing field `pod_type`"),
    ({"spec": {"serverless": {"cloud": "moon", "region": "crater"}}}, 404, "*moon*crater*"),
    ({"spec": DEDICATED}, 422, "*missing field `dedicated`"),
    (serverless(read_capacity={"mode": "OnDemand", "x": 1}), 422, "*unknown field `x`*"),
    (serverless(read_capacity={"mode": "x"}), 400, "*OnDemand, Dedicated*"),
    (
        serverless(read_capacity={"mode": "Dedicated", "dedicated": {"manual": {"shards": 0}}}),
        400,
        "*at least 0 replicas and 1 shard.",
    ),
    (serverless(schema={}), 422, "*missing field `fields`"),
    (serverless(schema={"fields": {"x": {"filterable": 1}}}), 422, "*filterable: invalid type"),
    *(({"spec": {"pod": POD["pod"] | {"replicas": number}}}, 400, "*from 1 to *") for number in (0, 2**31)),
    ({"name": 5}, 422, "*name: invalid type"),
    *(({"name": name}, 400, f"Index name '{name}' must*") for name in ("", "Upper", "-x", "x-", "x" * 46)),
    ({"name": "docs-example"}, 409, "Resource already exists."),
    ({"dimension": ...}, 400, "*requires a dimension*"),
    *(({"dimension": dimension}, 400, "*from 1 to 20000*") for dimension in (0, 20001)),
    *(({"dimension": dimension}, 422, "*dimension: invalid type") for dimension in ("8", True)),
    ({"metric": "manhattan"}, 400, "*metric*manhattan*"),
    ({"vector_type": "sparse"}, 400, "*sparse index must not have one*"),
    ({"vector_type": "sparse", "dimension": ..., "metric": "cosine"}, 400, "*dotproduct*"),
    ({"tags": {"a": 1}}, 422, "*a: invalid type"),
    ({"tags": []}, 422, "*tags: invalid type"),
    ({"deletion_protection": "perhaps"}, 400, "*deletion_protection*perhaps*"),
]
# By method and path: the body, the status, and a pattern for the message.
INVALID_BODIES: dict[tuple[str, str], list[tuple[Any, int, str]]] = {
    ("POST", "/indexes"): [(NEW_INDEX | changes, status, message) for changes, status, message in INVALID_INDEXES],
    ("PATCH", "/indexes/no"): [({}, 404, "Index no not found.")],
    ("PATCH", "/indexes/docs-example"): [
        ({"spec": POD}, 400, "*not of type pod*"),
        ({"tags": "x"}, 422, "*tags: invalid type"),
        ({"embed": {"model": "x"}}, 501, "*embed*"),
    ],
    ("GET", "/indexes/no/backups"): [(None, 404, "Index no not found.")],
    ("POST", "/indexes/no/backups"): [({}, 404, "Index no not found.")],
    ("POST", "/indexes/pods/backups"): [({}, 400, "*pod-based*")],
    ("POST", BACKUPS): [
        (body, 422, f"Failed to deserialize the JSON body*{message}")
        for body, message in [
            ([], "object"),
            ("text", "object"),
            ({"name": 5}, "name*"),
            ({"name": True}, "name*"),
            ({"description": None}, "description*"),
        ]
    ],
    ("GET", "/restore-jobs/no"): [(None, 404, "Restore job no not found.")],
    ("POST", "/backups/no/create-index"): [({"name": "x"}, 404, "Backup no not found.")],
    ("POST", "/backups/unfinished/create-index"): [({"name": "x"}, 400, "*Initializing*")],
    ("POST", "/backups/ready/create-index"): [
        ({}, 422, "*missing field `name`"),
        ({"name": None}, 422, "*name: invalid type"),
        ({"name": "No_Good"}, 400, "Index name 'No_Good' must*"),
        ({"name": "x", "tags": {"a": 1}}, 422, "*a: invalid type"),
        ({"name": "x", "deletion_protection": "no"}, 400, "*deletion_protection*"),
        ({"name": "docs-example"}, 409, "Resource already exists."),
    ],
}
METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def message(self) -> str:
        """Check the shape of the error, and return its message."""
        assert self.headers["Content-Type"] == "application/json", self
        assert self.headers["x-pinecone-request-id"]
        body = json.loads(self.body)
        assert body.keys() == {"status", "error"}
        assert body["status"] == self.status
        assert body["error"].keys() == {"code", "message"}
        return str(body["error"]["message"])


@pytest.fixture(autouse=True)
def no_exception_in_the_emulator(emulator: Emulator, ask: Ask, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that nothing was logged as an exception, and that the emulator still responds."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert ask("GET", "/indexes").status_code == 200


def send(emulator: Emulator, request_line: str, *headers: str, body: bytes = b"") -> Response:
    """Send a request that no HTTP client would send. The line and the headers may hold any byte, as Latin-1."""
    lines = [request_line, f"Host: 127.0.0.1:{emulator.port}", f"Api-Key: {API_KEY}"]
    lines += ["X-Pinecone-Api-Version: 2025-10", *headers, "", ""]
    with socket.create_connection(("127.0.0.1", emulator.port), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + body)
        response = HTTPResponse(connection, method=request_line.partition(" ")[0])
        response.begin()
        return Response(response.status, dict(response.getheaders()), response.read())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [(*operation, *case) for operation, cases in INVALID_BODIES.items() for case in cases],
)
def test_rejected_request_changes_nothing(
    ask: Ask, emulator: Emulator, method: str, path: str, body: Any, status: int, message: str
) -> None:
    emulator.add_index("pods", spec=POD)
    emulator.add_backup("docs-example", backup_id="ready")
    emulator.add_backup("docs-example", backup_id="unfinished", status="Initializing")
    before = emulator.indexes, emulator.backups, emulator.restore_jobs
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if value is not ...}
    response = ask(method, path, json=body)
    assert response.status_code == response.json()["status"] == status
    assert response.json()["error"]["code"] == CODES.get(status, "UNIMPLEMENTED")
    assert fnmatchcase(response.json()["error"]["message"], message), response.text
    assert (emulator.indexes, emulator.backups, emulator.restore_jobs) == before


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="object without an end"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[" * DEEP, id="deep list without an end"),
        pytest.param(b'{"name":' * DEEP, id="deep object without an end"),
        pytest.param(b'{"name":' + b"[" * DEEP + b"]" * DEEP + b"}", id="deep list"),
        pytest.param(b'{"name":' + b"[" * 128 + b"]" * 128 + b"}", id="129 levels"),
        pytest.param(b'{"x":' + b"9" * 5000 + b"}", id="5,000 digits"),
        pytest.param(b'{"x":1e999}', id="infinity"),
        pytest.param(b'{"x":NaN}', id="NaN"),
        pytest.param(b'{"name":"\\ud800"}', id="half of a surrogate pair"),
        pytest.param(b'{"name":"\xff"}', id="not UTF-8"),
        pytest.param('{"name":"x"}'.encode("utf-16"), id="UTF-16"),
    ],
)
def test_body_that_is_not_json(ask: Ask, emulator: Emulator, body: bytes) -> None:
    response = ask("POST", BACKUPS, data=body, headers=JSON)
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "UNPROCESSABLE_ENTITY"
    assert response.json()["error"]["message"].startswith("Failed to deserialize the JSON body")
    assert len(response.content) < 1000
    assert emulator.requests[-1].body is None
    assert emulator.backups == []


def test_body_with_the_most_levels_can_be_copied() -> None:
    deep: dict[str, Any] = {}
    for _ in range(122):
        deep = {"x": deep}
    schema = {"fields": {"x": deep}}
    spec = {"serverless": {"cloud": "aws", "region": "us-east-1", "schema": schema}}
    headers = {"Api-Key": "key", "X-Pinecone-Api-Version": "2025-10"}
    # An emulator of its own, because the published description does not allow this schema.
    with Emulator("key") as emulator:
        body = {"name": "deep", "dimension": 8, "spec": spec}
        created = requests.post(emulator.url + "/indexes", json=body, headers=headers, timeout=20)
        assert created.status_code == 201
        backup = requests.post(emulator.url + "/indexes/deep/backups", json={}, headers=headers, timeout=20).json()
    assert backup["schema"] == schema


def test_deep_body_where_none_is_expected(ask: Ask) -> None:
    assert ask("GET", "/indexes", data=b"[" * DEEP, headers=JSON).status_code == 200


@pytest.mark.parametrize(
    ("body", "header", "status", "message"),
    [
        (gzip.compress(b"{}"), "Content-Encoding: gzip", 201, ""),
        (b"{}", "Content-Encoding: gzip", 400, "gzip"),
        (b'{"name":"' + b"x" * 2**20 + b'"}', "X-A: 1", 413, "1048576"),
        (b"no size\r\n", "Transfer-Encoding: chunked", 400, ""),
    ],
    ids=["compressed", "not compressed", "too large", "invalid chunk"],
)
def test_encoding_and_size_of_a_body(emulator: Emulator, body: bytes, header: str, status: int, message: str) -> None:
    headers = ["Content-Type: application/json", header]
    if "chunked" not in header:
        headers.append(f"Content-Length: {len(body)}")
    response = send(emulator, f"POST {BACKUPS} HTTP/1.1", *headers, body=body)
    assert response.status == status
    assert status == 201 or message in response.message()
    if "chunked" not in header:
        assert [exchange.status for exchange in emulator.requests] == [status]


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("latin-1")).decode()


LIMITS = ["0", "101", "-1", "ten", "", "1.5", "\u0661", "9" * 5000, "0" * 5000 + "1", "1" + "0" * 20]
FORGED_POSITIONS = [
    *("1e999, 1", "1, 1e999", "NaN, 1", "1.5, 1", '"1", 1', '"x", 1', "true, 1", "null, 1"),
    *("-1, 1", "0, 0", "0, -1", "0, 101", f"{'9' * 5000}, 1", f'"{"9" * 5000}", 1'),
]
FORGED_TOKENS = [f'["backups", {position}]' for position in FORGED_POSITIONS]
FORGED_TOKENS += ["[" * 5000, "[]", "5", "{}", '"abc"', "\xff"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        *(({"limit": limit}, "*from 1 to 100*") for limit in LIMITS),
        *(({"paginationToken": token(text)}, "Invalid pagination token.") for text in FORGED_TOKENS),
        *(({"paginationToken": text}, "Invalid pagination token.") for text in ("nonsense", "", "é")),
        ({"limit": "1", "paginationToken": token('["backups", 1, 1]')}, "*Do not send limit*"),
        ({"pagination_token": "x"}, "*pagination_token*"),
    ],
)
def test_invalid_query(ask: Ask, query: dict[str, str], message: str) -> None:
    response = ask("GET", "/backups", params=query)
    assert response.status_code == 400
    assert fnmatchcase(response.json()["error"]["message"], message), response.text
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/indexes", {"GET", "POST"}),
        ("/indexes/docs-example", {"DELETE", "GET", "PATCH"}),
        (BACKUPS, {"GET", "POST"}),
        ("/backups", {"GET"}),
        ("/backups/x", {"DELETE", "GET"}),
        ("/backups/x/create-index", {"POST"}),
        ("/restore-jobs", {"GET"}),
        ("/restore-jobs/x", {"GET"}),
    ],
)
def test_other_methods_are_not_allowed(emulator: Emulator, path: str, methods: set[str]) -> None:
    for method in sorted(METHODS - methods):
        response = send(emulator, f"{method} {path} HTTP/1.1")
        assert response.status == 405, method
        assert response.headers["Allow"] == ", ".join(sorted(methods))
        if method == "HEAD":
            assert response.body == b""
        else:
            assert method in response.message()
            assert path in response.message()
    for method in sorted(methods, reverse=True):  # DELETE last
        assert send(emulator, f"{method} {path} HTTP/1.1").status not in {405, 501}


@pytest.mark.parametrize(
    ("method", "target"),
    [
        *((method, target) for method in ("CONNECT", "HEAD", "OPTIONS", "TRACE") for target in ("/", "/nothing")),
        ("CONNECT", "example.com:443"),
        ("OPTIONS", "*"),
    ],
)
def test_methods_that_are_never_allowed(emulator: Emulator, method: str, target: str) -> None:
    response = send(emulator, f"{method} {target} HTTP/1.1")
    assert response.status == 405
    assert not set(response.headers["Allow"].split(", ")) & {"CONNECT", "HEAD", "OPTIONS", "TRACE"}


def test_method_is_checked_before_the_key(ask: Ask) -> None:
    assert ask("TRACE", "/backups", headers={"Api-Key": None}).status_code == 405


@pytest.mark.parametrize("method", ["FOO", "get", "QUERY"])
def test_unknown_method(emulator: Emulator, method: str) -> None:
    response = send(emulator, f"{method} /backups HTTP/1.1")
    assert 400 <= response.status < 500
    assert response.message()


@pytest.mark.parametrize("path", ["%", "%zz", "%ff", "%ed%a0%80", "%00", "%2e%2e", "%7Bx%7D"])
def test_unusual_percent_encoding(emulator: Emulator, path: str) -> None:
    missing = (f"/backups/{path}", f"/indexes/{path}/backups", f"/restore-jobs/{path}")
    invalid = (f"/backups?limit={path}", f"/backups?paginationToken={path}", f"/backups?{path}=1")
    for target in (*missing, *invalid):
        response = send(emulator, f"GET {target} HTTP/1.1")
        assert response.status == (404 if target in missing else 400)
        assert response.message()


@pytest.mark.parametrize(
    ("request_line", "header"),
    [
        pytest.param(f"GET /backups/{'x' * 2_000_000} HTTP/1.1", "X-A: 1", id="very long path"),
        pytest.param("GET /backups HTTP/1.1", f"X-A: {'x' * 20_000}", id="long header"),
        pytest.param("GET /backups HTTP/1.1", "X-A: 1\r\n" * 500 + "X-B: 1", id="many headers"),
        pytest.param("GET /backups/\xff HTTP/1.1", "X-A: 1", id="path that is not ASCII"),
        pytest.param("GET /a b HTTP/1.1", "X-A: 1", id="space in the path"),
        pytest.param("GET /backups HTTP/1.1", "Content-Length: -1", id="negative length"),
        pytest.param("\x00\x01nonsense", "X-A: 1", id="not HTTP"),
    ],
)
def test_invalid_http(emulator: Emulator, request_line: str, header: str) -> None:
    response = send(emulator, request_line, header)
    assert response.status == 400
    assert response.message()
    assert API_KEY not in response.message()
