"""Responses that drip or have no end, over real HTTP."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.emulator_client import Ask, AskInThread

from airflow_pinecone.emulator import Emulator, slow_responses

BACKUPS = "/indexes/docs-example/backups"
DRIP_INTERVAL = 0.05
SLOW: dict[str, dict[str, Any]] = {
    "head": {"drip": "head"},
    "body": {"drip": "body"},
    "endless": {"endless": True},
    "endless drip": {"drip": "body", "endless": True},
}


@pytest.fixture(autouse=True)
def drip_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_responses, "DRIP_INTERVAL", DRIP_INTERVAL)


@pytest.fixture
def get_on_socket(emulator: Emulator) -> Iterator[Callable[[str], socket.socket]]:
    """Send a GET request on a new socket, and return the socket."""
    with ExitStack() as stack:

        def get_on_socket(path: str) -> socket.socket:
            sock = stack.enter_context(socket.create_connection((emulator.host, emulator.port), timeout=20))
            head = f"GET {path} HTTP/1.1\r\nHost: x\r\nApi-Key: {emulator.api_key}\r\n"
            sock.sendall(f"{head}X-Pinecone-Api-Version: 2025-10\r\n\r\n".encode())
            return sock

        yield get_on_socket


def becomes_idle(emulator: Emulator, ask: Ask) -> bool:
    """Return whether the emulator stops sending slow responses within ten seconds."""
    deadline = time.monotonic() + 10
    while not emulator._handler.idle and time.monotonic() < deadline:
        ask("GET", "/indexes")  # Gives the event loop of the emulator time to run.
    return emulator._handler.idle


def test_body_drips(ask: Ask, emulator: Emulator) -> None:
    emulator.fault("GET", "/backups", body="abc", drip="body")
    start = time.monotonic()
    with ask("GET", "/backups", stream=True) as response:
        assert response.headers["Content-Length"] == "3"
        assert response.raw.read(1) == b"a"
        assert response.raw.read() == b"bc"
    assert time.monotonic() - start >= 3 * DRIP_INTERVAL  # The head comes at once, then a delay before each byte.
    assert becomes_idle(emulator, ask)
    assert ask("GET", "/backups").json() == {"data": []}


def test_head_drips_and_the_rest_follows_on_release(
    emulator: Emulator, get_on_socket: Callable[[str], socket.socket]
) -> None:
    fault = emulator.fault("GET", "/backups", drip="head")
    sock = get_on_socket("/backups")
    start = sock.recv(1000)
    assert b"HTTP/1.1 200 OK".startswith(start)
    fault.release()
    with sock.makefile("rb") as rest:
        head, _, body = (start + rest.read()).partition(b"\r\n\r\n")
    assert body == b'{"data": []}'
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert {b"Content-Type: application/json", b"Content-Length: 12", b"Connection: close"} <= set(lines)
    exchange = emulator.requests[0]
    assert f"x-pinecone-request-id: {exchange.request_id}".encode() in lines
    assert (exchange.status, exchange.answer, fault.hits) == (200, {"data": []}, 1)


@pytest.mark.parametrize(
    ("settings", "size", "bytes_before"),
    [
        ({}, 1_000_000, 0),
        # The first chunk is "2\r\na \r\n", of which the client needs seven bytes; three more chunks follow.
        ({"drip": "body"}, 5, 9),
    ],
)
def test_endless_body(ask: Ask, emulator: Emulator, settings: dict[str, Any], size: int, bytes_before: int) -> None:
    emulator.fault("GET", "/backups", body="a", endless=True, **settings)
    start = time.monotonic()
    with ask("GET", "/backups", stream=True) as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert response.raw.read(size) == b"a".ljust(size)
    assert time.monotonic() - start >= bytes_before * DRIP_INTERVAL


@pytest.mark.parametrize("settings", SLOW.values(), ids=SLOW)
def test_slow_response_ends_when_the_client_disconnects(
    ask: Ask, emulator: Emulator, get_on_socket: Callable[[str], socket.socket], settings: dict[str, Any]
) -> None:
    fault = emulator.fault("GET", "/backups", **settings)
    sock = get_on_socket("/backups")
    fault.wait()
    assert sock.recv(1)
    sock.close()
    assert becomes_idle(emulator, ask)


@pytest.mark.parametrize("settings", SLOW.values(), ids=SLOW)
def test_slow_response_ends_on_release(
    ask: Ask, ask_in_thread: AskInThread, emulator: Emulator, settings: dict[str, Any]
) -> None:
    body = "x" * 1_000_000
    fault = emulator.fault("GET", "/backups", body=body, times=None, **settings)
    response = ask_in_thread("GET", "/backups")
    fault.wait()
    assert not response.done()
    emulator.release()
    assert response.result(10).text.rstrip() == body
    assert ask("GET", "/backups").text.rstrip() == body


@pytest.mark.parametrize("settings", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("released", [False, True])
def test_slow_response_is_dropped_when_the_emulator_stops(
    emulator: Emulator, get_on_socket: Callable[[str], socket.socket], settings: dict[str, Any], released: bool
) -> None:
    size = 20_000_000  # more than the socket buffers hold when the client does not read
    fault = emulator.fault("GET", "/backups", body="x" * size, **settings)
    sock = get_on_socket("/backups")
    assert sock.recv(1)
    if released:
        fault.release()
    start = time.monotonic()
    emulator.stop()
    assert time.monotonic() - start < 5
    with sock.makefile("rb") as rest:
        assert len(rest.read()) < size


def test_slow_response_combines_with_other_settings(ask: Ask, emulator: Emulator) -> None:
    emulator.fault(
        "POST", BACKUPS, status=503, headers={"Retry-After": "2"}, body="no", work=True, drip="body", hang="before"
    ).release()
    response = ask("POST", BACKUPS, json={})
    assert (response.status_code, response.reason, response.text) == (503, "Service Unavailable", "no")
    assert response.headers["Retry-After"] == "2"
    assert len(emulator.backups) == 1
