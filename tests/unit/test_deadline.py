"""Slow responses: the timeout bounds the whole response, however its bytes arrive."""

from __future__ import annotations

import socket
import time

import pytest
from support.clients import make_client
from support.clock import FakeClock
from support.wire import Certificate, Script, Wire, drip, flood, http_response, tunnel

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.errors import CreateOutcomeUnknown

INDEXES = b'{"indexes": []}'
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = http_response(Content_Length=None, Transfer_Encoding="chunked")
SLOW_HEADERS = drip(b"HTTP/1.1 200 OK\r\nServer:")
SLOW_BODY = drip(http_response(Content_Length=100_000))
SLOW: dict[str, Script] = {
    "status line": drip(b"HTTP/1.1 200"),
    "headers": SLOW_HEADERS,
    "100 Continue": drip(b"", CONTINUE),
    "flood of 100 Continue": flood(b"", CONTINUE * 1000),
    "body": SLOW_BODY,
    "size of a chunk": drip(CHUNKED + b"5;"),
    "small chunks": drip(CHUNKED, b"1\r\n \r\n"),
    # The file name in the header of the gzip: no data can be unpacked yet.
    "compressed": drip(
        http_response(b"\x1f\x8b\x08\x08" + bytes(6), Content_Length=None, Content_Encoding="gzip"), b"x"
    ),
}


def assert_times_out(client: PineconeClient) -> None:
    """Assert that a create request ends after the timeout of 0.2 s, with an unknown outcome."""
    started = time.monotonic()
    with pytest.raises(CreateOutcomeUnknown, match=r"no complete response within 0\.2 s"):
        client.create_backup("docs-example")
    assert 0.2 <= time.monotonic() - started < 3


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
def test_timeout_bounds_the_whole_response(clock: FakeClock, script: Script) -> None:
    with Wire(script) as wire:
        assert_times_out(make_client(wire.url, clock, timeout=0.2))
        assert wire.count("POST") == 1
    assert clock.slept == []


@pytest.mark.parametrize("script", [SLOW_HEADERS, SLOW_BODY], ids=["headers", "body"])
def test_timeout_bounds_the_whole_response_over_tls(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, certificate: Certificate, script: Script
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
    with Wire(script, tls=certificate) as wire:
        assert_times_out(make_client(wire.url, clock, timeout=0.2))
        assert wire.count("POST") == 1


@pytest.mark.parametrize("slow", ["plain", "tunnel", "response to CONNECT"])
def test_timeout_bounds_the_whole_response_of_a_proxy(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, certificate: Certificate, slow: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
    scheme = "http" if slow == "plain" else "https"
    with Wire(tunnel(certificate, SLOW_HEADERS) if slow == "tunnel" else SLOW_HEADERS) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
        assert_times_out(make_client(f"{scheme}://pinecone.test", clock, timeout=0.2))
        assert proxy.count("POST") == (0 if slow == "response to CONNECT" else 1)


def test_next_response_on_a_connection_has_the_whole_timeout(clock: FakeClock) -> None:
    peers = []

    def respond_late(sock: socket.socket, wire: Wire) -> None:
        peers.append(sock.getpeername())
        wire.closing.wait(0.6)
        sock.sendall(http_response(INDEXES, Connection="keep-alive"))

    def respond_twice(sock: socket.socket, wire: Wire) -> None:
        respond_late(sock, wire)
        wire.serve(sock)

    with Wire(respond_twice, respond_late) as wire:
        client = make_client(wire.url, clock, timeout=1)
        for _ in range(2):
            assert client.list_indexes(retry=False) == []
    assert len(peers) == 2
    assert len(set(peers)) == 1


def test_handshake_in_a_tunnel_has_the_whole_timeout(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, certificate: Certificate
) -> None:
    def connect_late(sock: socket.socket, wire: Wire) -> None:
        wire.closing.wait(0.6)
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n")
        # The client waits for the rest with the 0.4 s that are left.
        wire.closing.wait(0.1)
        sock.sendall(b"\r\n")
        wire.closing.wait(0.6)
        with certificate.server.wrap_socket(sock, server_side=True) as inner:
            wire.serve(inner)

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
    with Wire(connect_late, http_response(INDEXES)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert make_client("https://pinecone.test", clock, timeout=1).list_indexes(retry=False) == []


def test_request_of_the_session_without_a_timeout_has_none(clock: FakeClock) -> None:
    with Wire(http_response(INDEXES)) as wire:
        assert make_client(wire.url, clock).session.get(f"{wire.url}/indexes").content == INDEXES


@pytest.mark.parametrize("script", [SLOW_HEADERS, SLOW_BODY], ids=["headers", "body"])
def test_timeout_of_a_request_of_the_session_bounds_its_response(clock: FakeClock, script: Script) -> None:
    with Wire(script) as wire:
        session = make_client(wire.url, clock, timeout=5).session
        started = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            session.get(f"{wire.url}/indexes", timeout=0.2)
        assert time.monotonic() - started < 3
