"""Requests that Pinecone's clients do not send: the emulator responds with an error of the API, and keeps running."""

import base64
import gzip
import json
import logging
import socket
from collections.abc import Iterator
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
OPERATIONS = [
    ("/indexes", {"GET", "POST"}),
    ("/indexes/docs-example", {"DELETE", "GET", "PATCH"}),
    (BACKUPS, {"GET", "POST"}),
    ("/backups", {"GET"}),
    ("/backups/x", {"DELETE", "GET"}),
    ("/backups/x/create-index", {"POST"}),
    ("/restore-jobs", {"GET"}),
    ("/restore-jobs/x", {"GET"}),
    ("/data-plane/x/describe_index_stats", {"GET", "POST"}),
]
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


def post(emulator: Emulator, body: bytes, *headers: str) -> Response:
    length = f"Content-Length: {len(body)}"
    return send(emulator, f"POST {BACKUPS} HTTP/1.1", "Content-Type: application/json", length, *headers, body=body)


@pytest.mark.parametrize(
    "body",
    [
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
    assert response.json()["error"]["message"].startswith("Failed to deserialize the JSON body")
    assert len(response.content) < 1000
    assert emulator.requests[-1].body is None
    assert emulator.backups == []


def test_body_with_the_most_levels_can_be_copied() -> None:
    schema: dict[str, Any] = {}
    for _ in range(124):
        schema = {"x": schema}
    spec = {"serverless": {"cloud": "aws", "region": "us-east-1", "schema": schema}}
    headers = {"Api-Key": "key", "X-Pinecone-Api-Version": "2025-10"}
    # An emulator of its own, because the published description does not allow this schema.
    with Emulator("key") as emulator:
        body = {"name": "deep", "dimension": 8, "spec": spec}
        created = requests.post(emulator.url + "/indexes", json=body, headers=headers, timeout=20)
        assert created.status_code == 201
        backup = requests.post(emulator.url + "/indexes/deep/backups", json={}, headers=headers, timeout=20).json()
    assert backup["schema"] == schema


def test_deep_body_where_none_is_expected(ask: Ask, emulator: Emulator) -> None:
    stats = emulator.indexes[0]["host"].removeprefix(emulator.url) + "/describe_index_stats"
    assert ask("POST", stats, data=b"[" * DEEP, headers=JSON).status_code == 200


def test_body_that_cannot_be_decompressed(emulator: Emulator) -> None:
    compressed = gzip.compress(b"{}")
    assert post(emulator, compressed, "Content-Encoding: gzip").status == 201
    response = post(emulator, b"{}", "Content-Encoding: gzip")
    assert response.status == 400
    assert "gzip" in response.message()
    assert [exchange.status for exchange in emulator.requests] == [201, 400]


def test_body_that_is_too_large(emulator: Emulator) -> None:
    response = post(emulator, b'{"name":"' + b"x" * 2**20 + b'"}')
    assert response.status == 413
    assert "1048576" in response.message()
    assert [exchange.status for exchange in emulator.requests] == [413]


@pytest.mark.parametrize("limit", ["9" * 5000, "0" * 5000 + "1", "100000000000000000000"])
def test_limit_with_many_digits(ask: Ask, limit: str) -> None:
    response = ask("GET", "/backups", params={"limit": limit})
    assert response.status_code == 400
    assert "from 1 to 100" in response.json()["error"]["message"]
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    "token",
    [
        '["backups", 1e999, 1]',
        '["backups", 1, 1e999]',
        '["backups", NaN, 1]',
        '["backups", 1.5, 1]',
        '["backups", "1", 1]',
        '["backups", true, 1]',
        '["backups", null, 1]',
        '["backups", -1, 1]',
        '["backups", 0, 0]',
        '["backups", 0, -1]',
        '["backups", 0, 101]',
        f'["backups", {"9" * 5000}, 1]',
        f'["backups", "{"9" * 5000}", 1]',
        "[" * 5000,
        "5",
        "{}",
        '"abc"',
    ],
)
def test_forged_token(ask: Ask, token: str) -> None:
    forged = base64.urlsafe_b64encode(token.encode()).decode()
    response = ask("GET", "/backups", params={"paginationToken": forged})
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "Invalid pagination token."


@pytest.mark.parametrize(("path", "methods"), OPERATIONS)
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
    for target in (f"/backups/{path}", f"/indexes/{path}/backups", f"/restore-jobs/{path}"):
        response = send(emulator, f"GET {target} HTTP/1.1")
        assert response.status == 404
        assert response.message()
    for target in (f"/backups?limit={path}", f"/backups?paginationToken={path}", f"/backups?{path}=1"):
        response = send(emulator, f"GET {target} HTTP/1.1")
        assert response.status == 400
        assert response.message()


@pytest.mark.parametrize(
    ("request_line", "header"),
    [
        pytest.param(f"GET /backups/{'x' * 20_000} HTTP/1.1", "X-A: 1", id="long path"),
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


def test_invalid_chunk(emulator: Emulator) -> None:
    headers = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    response = send(emulator, f"POST {BACKUPS} HTTP/1.1", *headers, body=b"no size\r\n")
    assert response.status == 400
    assert response.message()
