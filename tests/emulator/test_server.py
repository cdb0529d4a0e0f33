"""The emulator's HTTP server: headers, errors, recorded requests, start and stop."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatchcase

import pytest
import requests
from support.clock import FakeClock
from support.constants import API_KEY
from support.emulator_client import Ask

from airflow_pinecone import emulator as emulator_package
from airflow_pinecone.emulator import Emulator, Exchange
from airflow_pinecone.emulator.errors import ApiError

BACKUPS = "/indexes/docs-example/backups"


@pytest.mark.parametrize(
    ("headers", "status", "code", "message"),
    [
        *(({"Api-Key": key}, 401, "UNAUTHENTICATED", "Invalid API key.") for key in (None, "", "wrong", API_KEY + "x")),
        *(
            ({"X-Pinecone-Api-Version": version}, 400, "INVALID_ARGUMENT", "*2025-10, 2026-04, 2026-07, unstable.*")
            for version in (None, "2024-07", "2026-10")
        ),
    ],
)
def test_invalid_headers_are_rejected(
    ask: Ask, emulator: Emulator, headers: dict[str, str | None], status: int, code: str, message: str
) -> None:
    response = ask("POST", BACKUPS, json={}, headers=headers)
    error = response.json()["error"]
    assert response.status_code == status
    assert response.json() == {"status": status, "error": {"code": code, "message": error["message"]}}
    assert fnmatchcase(error["message"], message)
    assert emulator.backups == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/indexes/docs-example/convert"),
        ("POST", "/indexes/create-for-model"),
        ("GET", "/collections"),
        ("PUT", "/collections"),
        ("GET", "/"),
        ("GET", "/backups//"),
    ],
)
def test_call_that_is_not_emulated(ask: Ask, caplog: pytest.LogCaptureFixture, method: str, path: str) -> None:
    with caplog.at_level(logging.INFO, logger="airflow_pinecone.emulator"):
        response = ask(method, path)
    assert response.status_code == 501
    assert response.json()["error"]["code"] == "UNIMPLEMENTED"
    assert f"does not emulate {method} " in response.json()["error"]["message"]
    assert f"Not emulated: {method} {path}" in caplog.messages


def test_every_response_has_its_own_request_id(ask: Ask, emulator: Emulator) -> None:
    responses = [ask("GET", "/backups"), ask("GET", "/nothing"), ask("GET", "/backups/no"), ask("GET", "/backups")]
    ids = [response.headers["x-pinecone-request-id"] for response in responses]
    assert len(set(ids)) == 4
    assert [exchange.request_id for exchange in emulator.requests] == ids


def test_requests_are_recorded(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    emulator.scenario.clock = clock
    ask("POST", BACKUPS, json={"name": "x"}, headers={"X-Extra": "1"})
    ask("GET", "/backups/a%2Fb%20c")
    ask("GET", "/backups?limit=5&paginationToken=a%3D")
    ask("DELETE", "/backups/no", data=b"\xff")
    created, described, listed, deleted = emulator.requests
    assert isinstance(created, Exchange)
    assert (created.method, created.path, created.query) == ("POST", BACKUPS, {})
    assert (created.body, created.status, created.time) == ({"name": "x"}, 201, clock())
    assert created.answer["backup_id"] == emulator.backups[0]["backup_id"]
    assert created.headers["x-extra"] == "1"
    assert created.headers["api-key"] == "***"
    assert created.peer[0] == "127.0.0.1"
    assert created.peer == described.peer  # The connection is reused.
    assert described.path == "/backups/a%2Fb%20c"
    assert (listed.path, listed.query) == ("/backups", {"limit": "5", "paginationToken": "a="})
    assert described.answer["error"]["message"] == "Backup a/b c not found."
    assert (deleted.body, deleted.status) == (None, 404)


def test_api_key_is_neither_recorded_nor_logged(ask: Ask, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        ask("GET", "/backups", headers={"Authorization": f"Bearer {API_KEY}"})
        ask("GET", "/backups", headers={"Api-Key": "invalid-key"})
        ask("GET", "/nothing")
    own_records = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_pinecone")]
    assert len(own_records) >= 3
    for text in (*own_records, *(str(dict(exchange.headers)) for exchange in emulator.requests)):
        assert API_KEY not in text
        assert "invalid-key" not in text


def test_restart_keeps_the_port_and_the_state(ask: Ask, emulator: Emulator) -> None:
    url = emulator.url
    ask("POST", BACKUPS, json={"name": "kept"})
    emulator.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        ask("GET", "/backups")
    emulator.stop()  # A second call has no effect.
    emulator.start()
    assert emulator.url == url
    assert [row["name"] for row in ask("GET", "/backups").json()["data"]] == ["kept"]


def test_port_in_use_is_an_error_and_leaves_no_thread(emulator: Emulator) -> None:
    before = threading.active_count()
    second = Emulator("key", port=emulator.port)
    with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
        second.start()
    assert threading.active_count() == before
    second.stop()


@pytest.mark.parametrize("attempt", range(5))
def test_stop_closes_all_connections_and_leaves_no_thread(attempt: int) -> None:
    before = threading.active_count()
    with Emulator("key") as emulator:
        idle = socket.create_connection(("127.0.0.1", emulator.port), timeout=20)
        assert threading.active_count() > before
    assert threading.active_count() == before
    with idle, suppress(ConnectionResetError):  # It may not have been accepted yet.
        assert idle.recv(1) == b""


@pytest.mark.parametrize("closes_first", [False, True])
@pytest.mark.parametrize(
    ("headers", "body"),
    [("Content-Length: 100", "{"), ("Transfer-Encoding: chunked", "5\r\n{"), ("Content-Le", None)],
    ids=["body", "chunk", "headers"],
)
def test_stop_drops_half_sent_requests(
    headers: str, body: str | None, closes_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = Emulator("key", ["docs-example"])
    emulator.start()
    if closes_first:  # the request arrives during stop(), before the server closes
        emulator._loop.call_soon_threadsafe(emulator._handler.close)
    end = "" if body is None else f"\r\n\r\n{body}"
    with socket.create_connection(("127.0.0.1", emulator.port), timeout=20) as client:
        client.sendall(f"POST {BACKUPS} HTTP/1.1\r\nHost: x\r\n{headers}{end}".encode())
        # Requests on other connections are answered after the emulator has received the half-sent one.
        for _ in range(3):
            requests.get(emulator.url + "/backups", timeout=20)
        if closes_first:
            monkeypatch.setattr(emulator._handler, "close", lambda: None)
        started = time.monotonic()
        emulator.stop()
        assert time.monotonic() - started < 1
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert [exchange.method for exchange in emulator.requests] == ["GET"] * 3


def test_exception_in_the_block_stops_the_emulator() -> None:
    emulator = Emulator("key")
    with pytest.raises(ZeroDivisionError), emulator:
        _ = 1 / 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", emulator.port))


def test_ipv6_address_is_in_brackets_in_the_url() -> None:
    assert Emulator("key", host="::1", port=5080).url == "http://[::1]:5080"
    assert Emulator("key", host="127.0.0.1", port=5080).url == "http://127.0.0.1:5080"


def test_emulator_listens_on_an_ipv6_address() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("needs IPv6")
    headers = {"Api-Key": "key", "X-Pinecone-Api-Version": "2025-10"}
    with Emulator("key", ["docs-example"], host="::1") as emulator:
        assert emulator.url.startswith("http://[::1]:")
        response = requests.get(emulator.url + "/indexes", headers=headers, timeout=20)
        assert emulator.requests[0].peer[0] == "::1"
    (index,) = response.json()["indexes"]
    assert index["host"].startswith(emulator.url)


@pytest.mark.parametrize("name", ["A_B", "A", "a_b", "-a", "a-", "a.b", "a b", "é", "", "a" * 46])
def test_invalid_index_name_is_an_error(emulator: Emulator, name: str) -> None:
    with pytest.raises(ApiError, match=r"Index name .* must") as raised:
        emulator.add_index(name)
    assert repr(name) in str(raised.value)
    with pytest.raises(ApiError, match=r"Index name .* must"):
        Emulator("key", [name])


def test_concurrent_clients(emulator: Emulator) -> None:
    def create(_: int) -> None:
        headers = {"Api-Key": API_KEY, "X-Pinecone-Api-Version": "2025-10"}
        requests.post(emulator.url + BACKUPS, json={}, headers=headers, timeout=20).raise_for_status()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(create, range(50)))
    assert len({backup["backup_id"] for backup in emulator.backups}) == 50
    assert len(emulator.requests) == 50


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda emulator: emulator.start(), RuntimeError, "already running"),
        (lambda emulator: Emulator("key", redy_after=5), TypeError, "redy_after"),
        (lambda emulator: Emulator(""), ValueError, "API key"),
        (lambda emulator: emulator_package.nothing, AttributeError, "nothing"),
    ],
)
def test_wrong_use_is_an_error(
    emulator: Emulator, wrong: Callable[[Emulator], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        wrong(emulator)
