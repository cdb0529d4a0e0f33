"""How a request is sent: retries, lost responses, invalid responses, redirects, proxies, TLS, and the API key."""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import requests_mock as mock_requests
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clients import make_client
from support.clock import FakeClock
from support.constants import API_KEY
from support.frames import frames_of
from support.wire import Certificate, Script, Wire, flood, hang, hang_up, http_response, tunnel

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.transport import MAX_RESPONSE_BYTES
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import (
    CreateOutcomeUnknown,
    PineconeConnectionError,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    PineconeTransientError,
)

INDEXES = b'{"indexes": []}'


@pytest.fixture
def client(emulator: Emulator, clock: FakeClock) -> PineconeClient:
    """Return a client of the emulator."""
    return make_client(emulator.url, clock)


def methods(emulator: Emulator) -> list[str]:
    return [exchange.method for exchange in emulator.requests]


@pytest.mark.parametrize("value", [datetime(2025, 6, 15, tzinfo=UTC), float("nan"), {1, 2}], ids=str)
def test_body_that_is_not_json_is_an_error_before_the_request(
    emulator: Emulator, client: PineconeClient, value: Any
) -> None:
    """Its outcome is known: nothing was created."""
    with pytest.raises(PineconeInputError, match="The body of the request is not JSON"):
        client.create_index_from_backup("b-1", name="docs-2", deletion_protection=value)
    assert emulator.requests == []


# Retries

TRANSIENT: dict[str, dict[str, Any]] = {
    "408": {"status": 408},
    "429": {"status": 429},
    "500": {"status": 500},
    "502 in HTML": {"status": 502, "body": "<html>Bad Gateway</html>"},
    "503": {"status": 503},
    "504": {"status": 504},
    "request lost": {"drop": "before"},
    "response lost": {"drop": "after"},
    "half of the response lost": {"drop": "during"},
    "200 in HTML": {"body": "<html>Sign in to the guest network</html>"},
    "timeout": {"hang": "before"},
}


def client_that_fails(emulator: Emulator, clock: FakeClock, failure: dict[str, Any]) -> PineconeClient:
    """Return a client that does not wait long for a response that does not arrive."""
    return make_client(emulator.url, clock, timeout=0.3 if "hang" in failure else 5)


@pytest.mark.parametrize("failure", TRANSIENT.values(), ids=TRANSIENT)
def test_get_is_repeated(emulator: Emulator, clock: FakeClock, failure: dict[str, Any]) -> None:
    emulator.fault("GET", "/indexes", times=2, **failure)
    client = client_that_fails(emulator, clock, failure)
    assert [index["name"] for index in client.list_indexes()] == ["docs-example"]
    assert len(emulator.requests) == 3
    assert len(clock.slept) == 2


# The response to a DELETE has no body of which a half could be lost.
@pytest.mark.parametrize("failure", [name for name in TRANSIENT if name != "half of the response lost"])
def test_delete_is_repeated(emulator: Emulator, clock: FakeClock, failure: str) -> None:
    backup_id = emulator.add_backup("docs-example")["backup_id"]
    emulator.fault("DELETE", "/backups/*", **TRANSIENT[failure])
    client_that_fails(emulator, clock, TRANSIENT[failure]).delete_backup(backup_id)
    assert emulator.backups == []
    assert len(emulator.requests) == 2
    # The first request may have deleted the backup.
    assert emulator.requests[1].status == (404 if failure in ("response lost", "200 in HTML") else 202)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 412, 422])
def test_rejected_request_is_not_repeated(emulator: Emulator, client: PineconeClient, status: int) -> None:
    emulator.fault("*", "*", status=status, times=None)
    calls: list[Callable[[], object]] = [
        client.list_indexes,
        lambda: client.delete_backup("b-1"),
        lambda: client.create_backup("docs-example"),
    ]
    for call in calls:
        with pytest.raises(PineconePermanentError) as caught:
            call()
        assert caught.value.status_code == status
        assert not caught.value.can_retry
    assert methods(emulator) == ["GET", "DELETE", "POST"]


def test_at_most_five_attempts_with_growing_random_pauses(
    emulator: Emulator, client: PineconeClient, clock: FakeClock
) -> None:
    emulator.fault("GET", "/indexes", status=503, times=None)
    with pytest.raises(PineconeTransientError) as caught:
        client.list_indexes()
    assert caught.value.status_code == 503
    assert caught.value.can_retry
    assert len(emulator.requests) == 5
    assert len(clock.slept) == 4
    assert all(0 <= pause <= 2**attempt for attempt, pause in enumerate(clock.slept))
    assert len(set(clock.slept)) == 4


@pytest.mark.parametrize("failure", [{"status": 503}, {"status": 429}, {"drop": "before"}])
def test_retry_false_sends_one_request(
    emulator: Emulator, client: PineconeClient, clock: FakeClock, failure: dict[str, Any]
) -> None:
    emulator.fault("GET", "*", times=None, **failure)
    calls: list[Callable[[], object]] = [
        lambda: client.describe_backup("b-1", retry=False),
        lambda: next(client.list_backups(retry=False)),
        lambda: next(client.list_backups("docs-example", retry=False)),
        lambda: client.list_indexes(retry=False),
        lambda: client.describe_index("docs-example", retry=False),
        lambda: client.describe_restore_job("r-1", retry=False),
        lambda: next(client.list_restore_jobs(retry=False)),
    ]
    for call in calls:
        with pytest.raises(PineconeTransientError):
            call()
    assert len(emulator.requests) == len(calls)
    assert clock.slept == []
    with pytest.raises(PineconeTransientError):
        client.describe_backup("b-1")
    assert len(emulator.requests) == len(calls) + 5


def test_log_says_why_a_request_is_repeated(emulator: Emulator, clock: FakeClock) -> None:
    emulator.fault("GET", "/indexes", status=503, headers={"Retry-After": "7"}, times=2)
    emulator.fault("GET", "/indexes", nth=3, status=500, headers={"Retry-After": "7"})
    messages: list[str] = []
    make_client(emulator.url, clock, log=messages.append).list_indexes()
    first, second, third = messages
    assert "list the indexes" in first
    assert "HTTP 503" in first
    # A reason is logged once.
    assert "HTTP 503" not in second
    assert "failed attempts: 2" in second
    assert "HTTP 500" in third
    assert all("7.0 s" in message for message in messages)


@pytest.mark.parametrize("rejected", [[], [429]], ids=["first request", "after a 429"])
def test_404_of_a_delete_is_an_error_if_no_request_was_processed(
    emulator: Emulator, client: PineconeClient, rejected: list[int]
) -> None:
    for status in rejected:
        emulator.fault("DELETE", "/backups/*", status=status)
    with pytest.raises(PineconePermanentError, match="delete backup no-such-one\\.\nHTTP 404") as caught:
        client.delete_backup("no-such-one")
    assert caught.value.status_code == 404
    assert [exchange.status for exchange in emulator.requests] == [*rejected, 404]


def test_404_of_a_repeated_get_is_an_error(emulator: Emulator, client: PineconeClient) -> None:
    emulator.fault("GET", "/backups/*", status=503)
    with pytest.raises(PineconePermanentError, match="404"):
        client.describe_backup("no-such-one")
    assert len(emulator.requests) == 2


# Retry-After


def date_in(seconds: float) -> str:
    return email.utils.format_datetime(datetime.fromtimestamp(time.time() + seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("value", "at_least", "at_most"),
    [
        ("7", 7, 7),
        (lambda: date_in(20), 18, 20),
        (lambda: date_in(-9), 0, 1),
        ("86400", 60, 60),
        (lambda: date_in(86400), 60, 60),
        ("1e400", 0, 1),
        ("nan", 0, 1),
        ("-5", 0, 1),
        ("soon", 0, 1),
        ("Fri, 99 Foo 2025 99:99:99 GMT", 0, 1),
    ],
)
def test_retry_after_is_respected_within_the_budget(
    emulator: Emulator, client: PineconeClient, clock: FakeClock, value: Any, at_least: float, at_most: float
) -> None:
    clock.now = time.time()
    header = value if isinstance(value, str) else value()
    emulator.fault("GET", "/indexes", status=429, headers={"Retry-After": header})
    client.list_indexes()
    (pause,) = clock.slept
    assert at_least <= pause <= at_most


@pytest.mark.parametrize(
    ("retry_after", "pauses", "is_named"),
    [(45, [45, pytest.approx(15)], False), (60, [60], False), (3600, [60], True)],
    ids=["within the budget", "the whole budget", "longer than the budget"],
)
def test_last_attempt_is_at_the_end_of_the_budget(
    emulator: Emulator, client: PineconeClient, clock: FakeClock, retry_after: int, pauses: list[Any], is_named: bool
) -> None:
    emulator.fault("GET", "/indexes", status=503, headers={"Retry-After": str(retry_after)}, times=None)
    with pytest.raises(PineconeTransientError, match="HTTP 503") as caught:
        client.list_indexes()
    assert caught.value.retry_after == retry_after
    assert (f"Pinecone asks to retry after {retry_after} s." in str(caught.value)) is is_named
    assert ("asks to retry" in str(caught.value)) is is_named
    assert clock.slept == pauses
    assert len(emulator.requests) == len(pauses) + 1


@settings(max_examples=60, database=None, deadline=None)
@given(
    st.text(max_size=40)
    | st.builds(
        "{}, {} {} {} {} {}".format,
        st.sampled_from(["Fri", "x"]),
        st.integers(-1, 99),
        st.sampled_from(["Feb", "Foo"]),
        st.integers(-1, 100_000),
        st.sampled_from(["10:00:00", "99:99:99", "1", "24:00"]),
        st.sampled_from(["GMT", "-0000", "+9999", ""]),
    )
)
def test_any_retry_after_is_parsed_or_ignored(value: str) -> None:
    client = make_client("https://pinecone.test", FakeClock())
    with mock_requests.Mocker() as pinecone:
        pinecone.get(mock_requests.ANY, status_code=503, headers={"Retry-After": value})
        with pytest.raises(PineconeTransientError) as caught:
            client.list_indexes(retry=False)
    assert caught.value.retry_after is None or 0 <= caught.value.retry_after < float("inf")


# Create requests

OUTCOME_UNKNOWN: dict[str, dict[str, Any]] = {
    "response lost": {"drop": "after"},
    "request lost": {"drop": "before"},
    "half of the response lost": {"drop": "during"},
    "500 after the work": {"status": 500, "work": True},
    "502 in HTML after the work": {"status": 502, "work": True, "body": "<html>"},
    "503 after the work": {"status": 503, "work": True},
    "503 with Retry-After": {"status": 503, "work": True, "headers": {"Retry-After": "1"}},
    "504 after the work": {"status": 504, "work": True},
    "408 after the work": {"status": 408, "work": True},
    "timeout": {"hang": "after"},
    "not JSON": {"body": "OK"},
    "no body": {"body": b""},
    "not a backup": {"body": {"hello": "world"}},
    "no id": {"body": {"status": "Initializing", "backup_id": None}},
    "a list": {"body": [1]},
}


@pytest.mark.parametrize("failure", OUTCOME_UNKNOWN.values(), ids=OUTCOME_UNKNOWN)
def test_create_is_sent_once_when_its_outcome_is_unknown(
    emulator: Emulator, clock: FakeClock, failure: dict[str, Any]
) -> None:
    fault = emulator.fault("POST", "/indexes/*/backups", times=None, **failure)
    client = client_that_fails(emulator, clock, failure)
    with pytest.raises(CreateOutcomeUnknown, match="create a backup of index docs-example") as caught:
        client.create_backup("docs-example")
    fault.release()
    assert caught.value.can_retry
    assert caught.value.__suppress_context__
    assert caught.value.reason.casefold() in str(caught.value).casefold()
    assert methods(emulator) == ["POST"]
    assert clock.slept == []
    assert len(emulator.backups) <= 1


def test_restore_is_sent_once_when_its_outcome_is_unknown(
    emulator: Emulator, client: PineconeClient, clock: FakeClock
) -> None:
    backup_id = emulator.add_backup("docs-example")["backup_id"]
    emulator.fault("POST", "/backups/*/create-index", drop="after", times=None)
    with pytest.raises(CreateOutcomeUnknown, match=f"restore backup {backup_id} into index docs-2"):
        client.create_index_from_backup(backup_id, name="docs-2")
    assert methods(emulator) == ["POST"]
    assert clock.slept == []
    assert len(emulator.restore_jobs) == 1


def test_create_is_repeated_without_a_connection(emulator: Emulator, client: PineconeClient, clock: FakeClock) -> None:
    emulator.stop()
    clock.on_sleep = lambda _: emulator.start() if len(clock.slept) == 1 else None
    assert client.create_backup("docs-example")["status"] == "Initializing"
    assert len(clock.slept) == 2
    assert methods(emulator) == ["POST"]


def test_create_is_repeated_after_429(emulator: Emulator, client: PineconeClient, clock: FakeClock) -> None:
    emulator.fault("POST", "/indexes/*/backups", status=429, headers={"Retry-After": "3"}, times=2)
    client.create_backup("docs-example")
    assert methods(emulator) == ["POST"] * 3
    assert clock.slept == [3, 3]
    assert len(emulator.backups) == 1


@pytest.mark.parametrize("is_down", [True, False], ids=["no connection", "429"])
def test_outcome_of_an_unprocessed_create_is_known(emulator: Emulator, client: PineconeClient, is_down: bool) -> None:
    emulator.fault("POST", "*", status=429, times=None)
    if is_down:
        emulator.stop()
    with pytest.raises(PineconeTransientError) as caught:
        client.create_backup("docs-example")
    assert caught.value.can_retry
    assert len(emulator.requests) == (0 if is_down else 5)


def test_lost_response_ends_a_create_that_was_repeated(emulator: Emulator, client: PineconeClient) -> None:
    emulator.fault("POST", "*", status=429)
    emulator.fault("POST", "*", drop="after")
    with pytest.raises(CreateOutcomeUnknown):
        client.create_backup("docs-example")
    assert methods(emulator) == ["POST"] * 2
    assert len(emulator.backups) == 1


# Invalid responses


def zip_bomb(sock: socket.socket, wire: Wire) -> None:
    """Send a small response that is too long when it is unpacked."""
    sock.sendall(http_response(gzip.compress(bytes(MAX_RESPONSE_BYTES + 1), 1), Content_Encoding="gzip"))


INVALID: dict[str, tuple[Script, str]] = {
    "endless": (flood(http_response(Content_Length=None), b"x" * 65536), "longer than 33554432 bytes"),
    "zip bomb": (zip_bomb, "longer than 33554432 bytes"),
    "no response": (hang, r"no complete response within 0\.3 s"),
    "connection closed": (hang_up, "without response"),
    "body too short": (http_response(INDEXES, Content_Length=500), "IncompleteRead"),
    "invalid chunk": (
        http_response(b"5\r\nabcde\r\nzz\r\n", Content_Length=None, Transfer_Encoding="chunked"),
        "Connection broken",
    ),
    "not gzip": (http_response(b"not gzip", Content_Encoding="gzip"), "gzip"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "BadStatusLine"),
    "deep list": (http_response(b"[" * 200_000), "HTTP 200"),
    "deep object": (http_response(b'{"a":' * 200_000), "HTTP 200"),
    "huge number": (http_response(b"9" * 5000), "HTTP 200"),
    "HTML": (http_response(b"<html>Sign in to the guest network</html>"), "Check the host of connection .* any proxy"),
    "not UTF-8": (http_response(b"\xff\xfe\x00"), "HTTP 200"),
    "null": (http_response(b"null"), "list of indexes"),
    "list": (http_response(b"[]"), "list of indexes"),
    "null in an object": (http_response(b'{"indexes": null}'), "list of indexes"),
    "no content": (http_response(b"", "204 No Content"), "list of indexes"),
}


@pytest.mark.parametrize(("script", "problem"), INVALID.values(), ids=INVALID)
def test_invalid_response_is_a_transient_error(clock: FakeClock, script: Script, problem: str) -> None:
    with Wire(script) as wire:
        client = make_client(wire.url, clock, timeout=0.3 if script is hang else 5)
        before = time.monotonic()
        with pytest.raises(PineconeTransientError, match=problem) as caught:
            client.list_indexes(retry=False)
        assert time.monotonic() - before < 5
        assert len(wire.requests) == 1
    assert "list the indexes" in str(caught.value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("status", "body", "error_class"),
    [
        ("401 Unauthorized", b"Invalid\r\nAPI \x1b[31mKey", PineconePermanentError),
        ("403 Forbidden", b'{"error": "not an object"}', PineconePermanentError),
        ("404 Not Found", b'{"error": {"code": 5, "message": {"deep": [1]}}}', PineconePermanentError),
        ("404 Not Found", b'{"error": {}}', PineconePermanentError),
        ("404 Not Found", b"[" * 100_000, PineconePermanentError),
        ("418 I'm a teapot", b"", PineconePermanentError),
        ("502 Bad Gateway", b"<html>" + b"x" * 100_000, PineconeTransientError),
        ("599 Unknown", b"null", PineconeTransientError),
    ],
    ids=lambda value: str(value)[:30],
)
def test_error_response_need_not_be_json(
    clock: FakeClock, status: str, body: bytes, error_class: type[PineconePermanentError | PineconeTransientError]
) -> None:
    with Wire(http_response(body, status)) as wire, pytest.raises(error_class) as caught:
        make_client(wire.url, clock).list_indexes(retry=False)
    assert caught.value.status_code == int(status[:3])
    assert len(str(caught.value)) < 1500
    assert len(caught.value.message) <= 500
    assert "\n" not in caught.value.reason + caught.value.message
    assert all(line.isprintable() for line in str(caught.value).splitlines())


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_an_error_and_the_key_is_not_forwarded(clock: FakeClock, status: int) -> None:
    with Wire(http_response(INDEXES)) as target:
        redirect = http_response(b"", f"{status} Moved", Location=f"{target.url}/indexes")
        with Wire(redirect) as wire:
            client = make_client(wire.url, clock)
            for call in (client.list_indexes, lambda: client.create_backup("docs-example")):
                with pytest.raises(PineconePermanentError, match="Check the host of connection") as caught:
                    call()
                assert caught.value.status_code == status
            assert clock.slept == []
            for send in (client.session.get, client.session.post):
                assert send(f"{wire.url}/indexes", timeout=5).status_code == status
            assert len(wire.requests) == 4
        assert target.requests == []


def test_redirect_with_an_endless_body(clock: FakeClock) -> None:
    script = flood(http_response(b"", "302 Found", Location="/", Content_Length=None), b"x" * 65536)
    with Wire(script) as wire, pytest.raises(PineconeError):
        make_client(wire.url, clock).list_indexes(retry=False)


# Proxies


def test_proxy_and_no_proxy_of_the_environment_are_respected(
    emulator: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire(http_response(INDEXES)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        # An address of this machine that is not a loopback address.
        client = make_client(f"http://0.0.0.0:{emulator.port}", clock)
        assert client.list_indexes() == []
        monkeypatch.setenv("NO_PROXY", "0.0.0.0")  # noqa: S104
        assert len(client.list_indexes()) == 1
        (sent,) = proxy.requests
    assert sent.startswith(f"GET http://0.0.0.0:{emulator.port}/indexes HTTP/1.1".encode())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_for_loopback(
    emulator: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with Wire(http_response(INDEXES)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        assert len(make_client(f"http://{host}:{emulator.port}", clock).list_indexes()) == 1
        assert proxy.requests == []


def test_https_uses_the_tunnel_of_a_proxy(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, certificate: Certificate
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
    with Wire(tunnel(certificate, http_response(INDEXES))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert make_client("https://pinecone.test", clock).list_indexes() == []
        connect, get = proxy.requests
    assert connect.startswith(b"CONNECT pinecone.test:443 ")
    assert API_KEY.encode() not in connect
    assert get.startswith(b"GET /indexes ")
    assert API_KEY.encode() in get


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_create_is_sent_once_when_a_proxy_loses_the_response(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, certificate: Certificate, scheme: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
    with Wire(hang_up if scheme == "http" else tunnel(certificate, hang_up)) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
        with pytest.raises(CreateOutcomeUnknown):
            make_client(f"{scheme}://pinecone.test", clock).create_backup("docs-example")
        assert proxy.count("POST") == 1


def assert_create_is_repeated(client: PineconeClient, clock: FakeClock, problem: str | None = None) -> None:
    with pytest.raises(PineconeConnectionError, match=problem) as caught:
        client.create_backup("docs-example")
    assert not caught.value.sent
    assert caught.value.status_code is None
    assert len(clock.slept) == 4


def test_create_is_repeated_when_a_proxy_refuses_the_tunnel(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(http_response(b"", "503 Service Unavailable")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = make_client("https://pinecone.test", clock)
        assert_create_is_repeated(client, clock, "Tunnel connection failed: 503")


@pytest.mark.parametrize(
    ("url", "proxy", "problem"),
    [
        # A connection with such a host is refused before.
        ("http://a..b", "", "create a backup"),
        ("http://127.0.0.1:1", "", r"backup of index docs-example\.\nNo connection to http://127.0.0.1:1: .*refused"),
        ("https://pinecone.test", "http://", None),
        ("https://pinecone.test", "socks5://127.0.0.1:1", None),
        ("https://pinecone.test", "http://127.0.0.1:1", "refused"),
    ],
    ids=["invalid host", "host is down", "invalid proxy", "proxy of another type", "proxy is down"],
)
def test_create_is_repeated_when_nothing_can_be_sent(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, url: str, proxy: str, problem: str | None
) -> None:
    """Nothing was sent, so it is known that no backup was created."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert_create_is_repeated(make_client(url, clock), clock, problem)


@pytest.fixture
def full_server() -> Iterator[str]:
    """Listen at a URL where no further connection is accepted."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        # The system accepts a few connections into the backlog.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"


def test_create_is_repeated_when_connecting_times_out(clock: FakeClock, full_server: str) -> None:
    assert_create_is_repeated(make_client(full_server, clock, timeout=0.1), clock, "timed out")


# TLS


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "REQUESTS_CA_BUNDLE"),
        ({"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""}, "REQUESTS_CA_BUNDLE"),
        ({"PYTHONHTTPSVERIFY": "0"}, "REQUESTS_CA_BUNDLE"),
        ({"REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"}, r"/nowhere/ca\.pem"),
    ],
    ids=["no variables", "empty variables", "no verification", "missing file"],
)
def test_unknown_certificate_is_rejected_before_the_key_is_sent(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, certificate: Certificate, variables: dict[str, str], problem: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with Wire(http_response(INDEXES), tls=certificate) as wire:
        assert_create_is_repeated(make_client(wire.url, clock), clock, problem)
        assert wire.requests == []


def test_ca_bundle_of_the_environment_is_trusted(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, certificate: Certificate
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
    with Wire(http_response(INDEXES), tls=certificate) as wire:
        assert make_client(wire.url, clock).list_indexes() == []


# The API key

RESPONSES: dict[str, Script] = {
    "rejected": http_response(b'{"error": {"code": "X", "message": "no"}}', "403 Forbidden"),
    "not found": http_response(b"{}", "404 Not Found"),
    "unavailable": http_response(b"", "503 Service Unavailable"),
    "redirect": http_response(b"", "302 Found", Location="/elsewhere"),
    "not JSON": http_response(b"hello"),
    "body too short": http_response(INDEXES, Content_Length=500),
    "connection closed": hang_up,
    "no response": hang,
    "key in the message": http_response(json.dumps({"error": {"message": f"bad key {API_KEY}"}}).encode(), "401 No"),
    "key in the code": http_response(json.dumps({"error": {"code": API_KEY, "message": "m"}}).encode(), "401 No"),
    "key in text": http_response(f"bad key '{API_KEY}'".encode(), "401 No"),
    "key in the request id": http_response(b"", "401 No", x_pinecone_request_id=API_KEY),
    "key where white space is cut": http_response(b" " * 1990 + API_KEY.encode(), "401 No"),
    "key where text is cut": http_response(b"x" * 490 + API_KEY.encode(), "401 No"),
    "key instead of a status line": f"{API_KEY}\r\n\r\n".encode(),
}


def chain_of(error: BaseException | None) -> list[BaseException]:
    """Return an error and what caused it."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


@pytest.fixture(params=list(RESPONSES.values()), ids=list(RESPONSES))
def script(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(
    params=[PineconeClient.list_indexes, lambda client: client.create_backup("docs-example")], ids=["list", "create"]
)
def error(request: pytest.FixtureRequest, clock: FakeClock, script: Script) -> PineconeError:
    """Return the error of a call that gets one of the responses."""
    with Wire(script) as wire, pytest.raises(PineconeError) as caught:
        request.param(make_client(wire.url, clock, timeout=0.1 if script is hang else 5))
    return caught.value


def test_no_error_contains_the_key(error: PineconeError) -> None:
    for link in chain_of(error):
        assert isinstance(link, PineconeError)
        for value in (str(link), repr(link), link.args, vars(link), getattr(link, "__notes__", None)):
            assert API_KEY[:8] not in repr(value)
        # A request or a response would hold the key.
        assert all(isinstance(value, str | int | float | None) for value in vars(link).values())


def test_no_log_contains_the_key(
    emulator: Emulator, clock: FakeClock, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the client, of requests and urllib3, and of the emulator."""
    caplog.set_level("DEBUG")
    messages: list[str] = []
    client = make_client(emulator.url, clock, log=messages.append)
    emulator.fault("GET", "/indexes", status=503, headers={"Retry-After": "1"})
    emulator.fault("POST", "*", drop="after")
    assert client.list_indexes()
    with pytest.raises(CreateOutcomeUnknown):
        client.create_backup("docs-example")
    logged = "".join([caplog.text, *capsys.readouterr(), *messages, repr(emulator.requests)])
    assert "503" in logged
    assert emulator.api_key == API_KEY
    assert API_KEY[:8] not in logged


def test_no_frame_of_an_error_shows_the_key(error: PineconeError) -> None:
    """Error trackers call repr on the variables of each frame."""
    # Those of the libraries as well: the frames of requests hold the headers.
    frames = [frame for frame in frames_of(error, "") if frame.f_globals["__name__"] != __name__]
    assert "airflow_pinecone.api.transport" in {frame.f_globals["__name__"] for frame in frames}
    # The response of the test itself may contain the key, as the response that is not JSON.
    for frame in frames:
        for name, value in frame.f_locals.items():
            assert name in ("content", "answer", "response") or API_KEY not in repr(value), name


# The connections of a client


def test_calls_share_one_connection(emulator: Emulator, client: PineconeClient) -> None:
    backup_id = client.create_backup("docs-example")["backup_id"]
    client.describe_backup(backup_id)
    with pytest.raises(PineconePermanentError):
        client.describe_backup("no-such-one")
    list(client.list_backups())
    client.delete_backup(backup_id)
    client.list_indexes()
    assert len(emulator.requests) == 6
    assert len({exchange.peer for exchange in emulator.requests}) == 1


def test_clients_do_not_share_connections(emulator: Emulator, clock: FakeClock) -> None:
    clients = [make_client(emulator.url, clock), make_client(emulator.url, clock)]
    for client in clients:
        client.list_indexes()
    assert len({exchange.peer for exchange in emulator.requests}) == 2


def test_client_reconnects(emulator: Emulator, client: PineconeClient, clock: FakeClock) -> None:
    client.list_indexes()
    emulator.stop()
    emulator.start()
    assert client.create_backup("docs-example")
    assert methods(emulator) == ["GET", "POST"]
    assert clock.slept == []


def test_many_threads_share_a_client(emulator: Emulator, clock: FakeClock) -> None:
    """Each thread creates, describes, lists and deletes a backup, while some requests fail."""
    emulator.fault("GET", "/backups/*", status=503, nth=5, times=4)
    messages: list[str] = []
    client = make_client(emulator.url, clock, log=messages.append)

    def back_up(number: int) -> tuple[str, str | None]:
        backup_id = client.create_backup("docs-example", name=f"backup-{number}")["backup_id"]
        name = client.describe_backup(backup_id).get("name")
        assert backup_id in [backup["backup_id"] for backup in client.list_backups("docs-example")]
        client.delete_backup(backup_id)
        with pytest.raises(PineconePermanentError, match="404"):
            client.describe_backup(backup_id)
        return backup_id, name

    with ThreadPoolExecutor(max_workers=8) as threads:
        results = list(threads.map(back_up, range(32)))
    assert [name for _, name in results] == [f"backup-{number}" for number in range(32)]
    assert len({backup_id for backup_id, _ in results}) == 32
    assert emulator.backups == []
    assert methods(emulator).count("POST") == 32
    assert len(messages) == 4
