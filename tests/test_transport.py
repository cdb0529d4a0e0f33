"""How a request gets to Pinecone and back: retries, lost answers, odd answers, redirects, proxies, TLS, the key."""

import contextlib
import datetime
import email.utils
import gzip
import ipaddress
import json
import socket
import socketserver
import ssl
import threading
import time
from types import SimpleNamespace

import pytest
import requests
import tenacity
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pinecone import transport
from airflow_pinecone.errors import (
    CreateAnswerLost,
    PineconeConnectionError,
    PineconeError,
    PineconePermanentError,
    PineconeRequestError,
    PineconeTransientError,
)
from airflow_pinecone.hooks import PineconeHook

KEY = "pc-test-key-0123456789"
INDEXES = b'{"indexes": []}'
BACKUP = {
    "backup_id": "b-1",
    "source_index_name": "docs-example",
    "source_index_id": "i-1",
    "status": "Ready",
    "cloud": "aws",
    "region": "us-east-1",
}


def answer(body=b"", status="200 OK", **headers):
    head = {"Content-Length": len(body), "Connection": "close"} | {k.replace("_", "-"): v for k, v in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


class Wire:
    """A server that answers the nth request with the nth script: bytes, or what does as it likes with the socket."""

    def __init__(self, *scripts, tls=None):
        self.scripts = list(scripts)
        self.heads = []
        self.gone = threading.Event()
        wire = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                if tls:
                    self.request = tls.wrap_socket(self.request, server_side=True)
                    self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
                wire.serve(self.request, self.rfile)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # the client went away, as some tests want

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def serve(self, sock, file):
        head = read_request(file)
        if not head:
            return
        self.heads.append(head)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if callable(script):
            script(sock, self)
        else:
            sock.sendall(script)

    def count(self, method):
        return sum(head.startswith(method.encode()) for head in self.heads)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.gone.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def read_request(file):
    head = b""
    while (line := file.readline()) not in (b"\r\n", b""):
        head += line
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            head += file.read(int(line.partition(b":")[2]))
    return head


def hang(sock, wire):
    wire.gone.wait(10)


def vanish(sock, wire):
    """Say nothing and hang up."""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(autouse=True)
def naps(monkeypatch):
    """The pauses between two tries: none is slept, yet time goes on; `naps.meanwhile` is done in each."""

    class Naps(list):
        meanwhile = staticmethod(lambda: None)

    naps = Naps()

    def sleep(seconds):
        naps.append(seconds)
        naps.meanwhile()

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(naps))
    monkeypatch.setattr(tenacity, "time", clock)
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=sleep))
    return naps


@pytest.fixture
def reach(monkeypatch):
    """Return a hook whose connection leads to a host."""

    def reach(host, password=KEY, timeout=5, **extra):
        value = {"conn_type": "pinecone", "host": host, "password": password, "extra": {"timeout": timeout, **extra}}
        monkeypatch.setenv("AIRFLOW_CONN_PINECONE_DEFAULT", json.dumps(value))
        return PineconeHook()

    return reach


@pytest.fixture
def hook(emulator, reach):
    return reach(emulator.url)


def methods(emulator):
    return [exchange.method for exchange in emulator.requests]


# Asking again

BLIPS = {
    "408": {"status": 408},
    "429": {"status": 429},
    "500": {"status": 500},
    "502 in HTML": {"status": 502, "body": "<html>Bad Gateway</html>"},
    "503": {"status": 503},
    "504": {"status": 504},
    "dropped before the work": {"drop": "before"},
    "dropped after the work": {"drop": "after"},
    "torn": {"drop": "during"},
    "no JSON": {"body": "<html>Welcome to the hotel</html>"},
}


@pytest.mark.parametrize("blip", BLIPS.values(), ids=BLIPS)
def test_a_get_is_sent_again_after_a_blip(emulator, hook, naps, blip):
    emulator.fault("GET", "/indexes", times=2, **blip)
    assert [index["name"] for index in hook.list_indexes()] == ["docs-example"]
    assert len(emulator.requests) == 3
    assert len(naps) == 2


@pytest.mark.parametrize("blip", [name for name in BLIPS if name != "torn"])  # it has no body
def test_a_delete_is_sent_again_after_a_blip(emulator, hook, blip):
    backup_id = emulator.add_backup("docs-example")["backup_id"]
    emulator.fault("DELETE", "/backups/*", **BLIPS[blip])
    hook.delete_backup(backup_id)
    assert emulator.backups == []
    assert len(emulator.requests) == 2


def test_a_get_is_sent_again_after_a_time_out(emulator, reach):
    emulator.fault("GET", "/indexes", hang="before")
    assert reach(emulator.url, timeout=0.2).list_indexes()
    assert len(emulator.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 412, 422])
def test_what_cannot_be_helped_is_asked_once(emulator, hook, status):
    emulator.fault("*", "*", status=status, times=None)
    for call in (hook.list_indexes, lambda: hook.delete_backup("b-1"), lambda: hook.create_backup("docs-example")):
        with pytest.raises(PineconePermanentError) as caught:
            call()
        assert caught.value.status_code == status
        assert not caught.value.can_retry
    assert methods(emulator) == ["GET", "DELETE", "POST"]


def test_a_call_is_asked_five_times_at_most_with_growing_pauses(emulator, hook, naps):
    emulator.fault("GET", "/indexes", status=503, times=None)
    with pytest.raises(PineconeTransientError) as caught:
        hook.list_indexes()
    assert caught.value.status_code == 503
    assert caught.value.can_retry
    assert len(emulator.requests) == 5
    assert len(naps) == 4
    assert all(0 <= nap <= 2**tries for tries, nap in enumerate(naps))
    assert len(set(naps)) == 4  # jitter


def test_a_call_is_not_asked_again_once_a_minute_has_passed(emulator, hook, naps):
    emulator.fault("GET", "/indexes", status=503, headers={"Retry-After": "45"}, times=None)
    with pytest.raises(PineconeTransientError) as caught:
        hook.list_indexes()
    assert caught.value.retry_after == 45
    assert len(emulator.requests) == 3
    assert naps[0] == 45
    assert 55 < sum(naps) <= 60


def date_in(seconds):
    return email.utils.format_datetime(
        datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds), usegmt=True
    )


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        (lambda: date_in(20), 18, 20),
        (lambda: date_in(-9), 0, 1),
        ("86400", 59, 60),
        (lambda: date_in(86400), 59, 60),
        ("1e400", 0, 1),
        ("nan", 0, 1),
        ("-5", 0, 1),
        ("soon", 0, 1),
        ("Fri, 99 Foo 2025 99:99:99 GMT", 0, 1),
    ],
)
def test_retry_after_is_honoured_within_the_budget(emulator, hook, naps, value, least, most):
    value = value() if callable(value) else value
    emulator.fault("GET", "/indexes", status=429, headers={"Retry-After": value})
    hook.list_indexes()
    assert len(naps) == 1
    assert least <= naps[0] <= most


@settings(max_examples=60, deadline=None)
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
def test_no_retry_after_is_too_odd(value):
    seconds = transport._retry_after(value)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize("blip", [{"status": 503}, {"status": 429}, {"drop": "before"}])
def test_a_single_shot_is_a_single_shot(emulator, hook, naps, blip):
    emulator.fault("GET", "*", times=None, **blip)
    for call in (
        lambda: hook.describe_backup("b-1", retry=False),
        lambda: next(hook.list_backups(retry=False)),
        lambda: next(hook.list_backups("docs-example", retry=False)),
        lambda: hook.list_indexes(retry=False),
    ):
        with pytest.raises(PineconeTransientError):
            call()
    assert len(emulator.requests) == 4
    assert naps == []
    with pytest.raises(PineconeTransientError):
        hook.describe_backup("b-1")
    assert len(emulator.requests) == 9


def test_the_log_says_why_a_call_is_made_again(emulator, hook, monkeypatch):
    emulator.fault("GET", "/indexes", status=503)
    said = []
    monkeypatch.setattr(hook.log, "warning", said.append)
    hook.list_indexes()
    assert len(said) == 1
    assert "list the indexes: HTTP 503" in said[0]
    assert "Asking again in" in said[0]
    assert KEY not in said[0]


def test_a_delete_whose_answer_was_lost_succeeds_on_the_404(emulator, hook):
    backup_id = emulator.add_backup("docs-example")["backup_id"]
    emulator.fault("DELETE", "/backups/*", drop="after")
    hook.delete_backup(backup_id)
    assert [exchange.status for exchange in emulator.requests] == [None, 404]


def test_the_first_404_of_a_delete_is_an_error(emulator, hook):
    with pytest.raises(PineconePermanentError, match="delete backup no-such-one: HTTP 404") as caught:
        hook.delete_backup("no-such-one")
    assert caught.value.status_code == 404


def test_a_404_of_a_repeated_get_is_an_error(emulator, hook):
    emulator.fault("GET", "/backups/*", status=503)
    with pytest.raises(PineconePermanentError, match="404"):
        hook.describe_backup("no-such-one")


# Creates are not sent twice

LOST = {
    "dropped after the work": {"drop": "after"},
    "dropped before the work": {"drop": "before"},
    "torn": {"drop": "during"},
    "500 after the work": {"status": 500, "work": True},
    "502 in HTML after the work": {"status": 502, "work": True, "body": "<html>"},
    "503 after the work": {"status": 503, "work": True},
    "503 that asks to come back": {"status": 503, "work": True, "headers": {"Retry-After": "1"}},
    "504 after the work": {"status": 504, "work": True},
    "408": {"status": 408, "work": True},
    "time-out": {"hang": "after"},
    "no JSON": {"body": "OK"},
    "no body": {"body": b""},
    "no backup": {"body": {"hello": "world"}},
    "no id": {"body": {"status": "Initializing", "backup_id": None}},
    "a list": {"body": [1]},
}


@pytest.mark.parametrize("loss", LOST.values(), ids=LOST)
def test_a_create_whose_answer_is_lost_is_sent_once(emulator, reach, naps, loss):
    fault = emulator.fault("POST", "/indexes/*/backups", times=None, **loss)
    hook = reach(emulator.url, timeout=0.3 if "hang" in loss else 5)
    with pytest.raises(CreateAnswerLost, match="create a backup of index docs-example") as caught:
        hook.create_backup("docs-example")
    fault.release()
    assert caught.value.can_retry
    assert methods(emulator) == ["POST"]
    assert naps == []
    assert len(emulator.backups) <= 1


def test_a_create_is_sent_again_where_no_connection_was_made(emulator, hook, naps):
    emulator.stop()
    naps.meanwhile = lambda: len(naps) == 2 and emulator.start()
    assert hook.create_backup("docs-example")["status"] == "Initializing"
    assert len(naps) == 2
    assert methods(emulator) == ["POST"]


def test_a_create_is_sent_again_after_429(emulator, hook, naps):
    emulator.fault("POST", "/indexes/*/backups", status=429, headers={"Retry-After": "3"}, times=2)
    hook.create_backup("docs-example")
    assert methods(emulator) == ["POST"] * 3
    assert naps == [3, 3]
    assert len(emulator.backups) == 1


@pytest.mark.parametrize("down", [True, False], ids=["no connection", "429"])
def test_a_create_that_surely_made_nothing_is_not_called_lost(emulator, hook, down):
    emulator.fault("POST", "*", status=429, times=None)
    if down:
        emulator.stop()
    with pytest.raises(PineconeTransientError) as caught:
        hook.create_backup("docs-example")
    assert caught.value.can_retry
    assert len(emulator.requests) == (0 if down else 5)


def test_after_a_429_a_lost_answer_still_ends_a_create(emulator, hook):
    emulator.fault("POST", "*", status=429)
    emulator.fault("POST", "*", drop="after")
    with pytest.raises(CreateAnswerLost):
        hook.create_backup("docs-example")
    assert methods(emulator) == ["POST"] * 2
    assert len(emulator.backups) == 1


# Odd answers


def endless(sock, wire):
    sock.sendall(answer(Content_Length=None))
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(b"x" * 65536)


def bomb():
    return answer(gzip.compress(bytes(transport.MAX_ANSWER_BYTES + 1)), Content_Encoding="gzip")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (endless, "longer than 33554432 bytes"),
        (bomb, "longer than 33554432 bytes"),
        (hang, "took longer than 0.5 s"),
        (vanish, "without response"),
        (answer(INDEXES, Content_Length=500), "IncompleteRead"),
        (answer(b"5\r\nabcde\r\nzz\r\n", Content_Length=None, Transfer_Encoding="chunked"), "Connection broken"),
        (answer(b"not gzip", Content_Encoding="gzip"), "gzip"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "BadStatusLine"),
        (answer(b"[" * 200_000), "HTTP 200"),
        (answer(b'{"a":' * 200_000), "HTTP 200"),
        (answer(b"9" * 5000), "HTTP 200"),
        (answer(b"<html>Sign in to the guest network</html>"), "check the host of the connection, and any proxy"),
        (answer(b"\xff\xfe\x00"), "HTTP 200"),
        (answer(b"null"), "no list of indexes"),
        (answer(b"[]"), "no list of indexes"),
        (answer(b'{"indexes": null}'), "no list of indexes"),
        (answer(b"", "204 No Content"), "no list of indexes"),
    ],
)
def test_an_odd_answer_ends_soon_and_can_be_asked_for_again(reach, script, says):
    with Wire(script() if script is bomb else script) as wire:
        timeout = 0.5 if script is hang else 5
        before = time.monotonic()
        with pytest.raises(PineconeTransientError, match=says) as caught:
            reach(wire.url, timeout=timeout).list_indexes(retry=False)
        assert time.monotonic() - before < 5
        assert len(wire.heads) == 1
    assert "list the indexes" in str(caught.value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("401 Unauthorized", b"Invalid\r\nAPI \x1b[31mKey", PineconePermanentError),
        ("403 Forbidden", b'{"error": "no object"}', PineconePermanentError),
        ("404 Not Found", b'{"error": {"code": 5, "message": {"deep": [1]}}}', PineconePermanentError),
        ("404 Not Found", b'{"error": {}}', PineconePermanentError),
        ("404 Not Found", b"[" * 100_000, PineconePermanentError),
        ("418 I'm a teapot", b"", PineconePermanentError),
        ("502 Bad Gateway", b"<html>" + b"x" * 100_000, PineconeTransientError),
        ("599 Odd", b"null", PineconeTransientError),
    ],
)
def test_an_error_need_not_be_json(reach, status, body, error):
    with Wire(answer(body, status)) as wire, pytest.raises(error) as caught:
        reach(wire.url).list_indexes(retry=False)
    assert caught.value.status_code == int(status[:3])
    assert len(str(caught.value)) < 1500
    assert len(caught.value.message) <= 500
    assert "\n" not in str(caught.value) + caught.value.message


# Slow answers


def drip(start, unit=b" "):
    """What begins so, and goes on for ever in pieces that each come soon enough."""

    def script(sock, wire):
        sock.sendall(start)
        with contextlib.suppress(OSError):
            while not wire.gone.wait(0.02):
                sock.sendall(unit)

    return script


def flood(sock, wire):
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(CONTINUE * 1000)


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = answer(Content_Length=None, Transfer_Encoding="chunked")
SLOW_HEADERS = drip(b"HTTP/1.1 200 OK\r\nServer:")
SLOW_BODY = drip(answer(Content_Length=100_000))
SLOW = {
    "status line": drip(b"HTTP/1.1 200"),
    "headers": SLOW_HEADERS,
    "100 Continue": drip(b"", CONTINUE),
    "a flood of 100 Continue": flood,
    "body": SLOW_BODY,
    "size of a chunk": drip(CHUNKED + b"5;"),
    "small chunks": drip(CHUNKED, b"1\r\n \r\n"),
    # Within the file name in the head of the gzip: there is nothing to unpack as yet.
    "compressed": drip(answer(b"\x1f\x8b\x08\x08" + bytes(6), Content_Length=None, Content_Encoding="gzip"), b"x"),
}


def lose_an_answer(hook):
    begun = time.monotonic()
    with pytest.raises(CreateAnswerLost, match=r"the answer took longer than 0\.3 s"):
        hook.create_backup("docs-example")
    assert 0.3 <= time.monotonic() - begun < 3


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
def test_the_timeout_is_for_the_whole_answer(reach, naps, script):
    with Wire(script) as wire:
        lose_an_answer(reach(wire.url, timeout=0.3))
        assert wire.count("POST") == 1
    assert naps == []


@pytest.mark.parametrize("script", [SLOW_HEADERS, SLOW_BODY], ids=["headers", "body"])
def test_the_timeout_is_for_the_whole_answer_over_tls(reach, monkeypatch, certificate, script):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
    with Wire(script, tls=certificate.server) as wire:
        lose_an_answer(reach(wire.url, timeout=0.3))
        assert wire.count("POST") == 1


@pytest.mark.parametrize("slow", ["plain", "tunnel", "answer to CONNECT"])
def test_the_timeout_is_for_the_whole_answer_of_a_proxy(reach, monkeypatch, certificate, slow):
    with Wire(tunnel(certificate, SLOW_HEADERS) if slow == "tunnel" else SLOW_HEADERS) as proxy:
        scheme = "http" if slow == "plain" else "https"
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
        lose_an_answer(reach(f"{scheme}://pinecone.test", allow_http=True, timeout=0.3))
        assert proxy.count("POST") == (0 if slow == "answer to CONNECT" else 1)


def test_the_next_answer_on_a_connection_has_the_whole_timeout(reach):
    peers = []

    def late(sock, wire):
        peers.append(sock.getpeername())
        wire.gone.wait(0.6)
        sock.sendall(answer(INDEXES, Connection="keep-alive"))

    def two(sock, wire):
        late(sock, wire)
        wire.serve(sock, sock.makefile("rb"))

    with Wire(two, late) as wire:
        hook = reach(wire.url, timeout=1)
        for _ in range(2):
            assert hook.list_indexes(retry=False) == []
    assert len(peers) == 2
    assert len(set(peers)) == 1


def test_a_session_that_is_asked_without_a_timeout_has_none(reach):
    with Wire(answer(INDEXES)) as wire:
        assert reach(wire.url).get_conn().get(f"{wire.url}/indexes").content == INDEXES


def test_the_handshake_in_a_tunnel_has_the_whole_timeout(reach, monkeypatch, certificate):
    def late(sock, wire):
        wire.gone.wait(0.6)
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n")
        wire.gone.wait(0.1)  # so that the rest is waited for, for 0.4 s at most
        sock.sendall(b"\r\n")
        wire.gone.wait(0.6)
        with certificate.server.wrap_socket(sock, server_side=True) as inner:
            wire.serve(inner, inner.makefile("rb"))

    with Wire(late, answer(INDEXES)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
        assert reach("pinecone.test", timeout=1).list_indexes(retry=False) == []


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_the_key_stays_here(reach, naps, status):
    with Wire(answer(INDEXES)) as other, Wire(answer(b"", f"{status} Moved", Location=f"{other.url}/steal")) as wire:
        hook = reach(wire.url)
        for call in (hook.list_indexes, lambda: hook.create_backup("docs-example")):
            with pytest.raises(PineconePermanentError, match="check the host of the connection") as caught:
                call()
            assert caught.value.status_code == status
        assert naps == []
        session = hook.get_conn()
        for ask in (session.get, session.post):
            assert ask(f"{wire.url}/indexes", timeout=5).status_code == status
        assert other.heads == []
        assert len(wire.heads) == 4


def test_a_redirect_with_an_endless_body_ends(reach):
    def script(sock, wire):
        sock.sendall(answer(b"", "302 Found", Location="/", Content_Length=None))
        with contextlib.suppress(OSError):
            while not wire.gone.is_set():
                sock.sendall(b"x" * 65536)

    with Wire(script) as wire, pytest.raises(PineconeError):
        reach(wire.url).list_indexes(retry=False)


# Proxies


def test_the_proxy_of_the_environment_is_used(reach, monkeypatch):
    with Wire(answer(INDEXES)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert reach("http://pinecone.test", allow_http=True).list_indexes() == []
        assert proxy.heads[0].startswith(b"GET http://pinecone.test/indexes HTTP/1.1")


def test_no_proxy_of_the_environment_is_heeded(emulator, reach, monkeypatch):
    with Wire(answer(INDEXES)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        hook = reach(f"http://0.0.0.0:{emulator.port}", allow_http=True)  # this machine, yet no loopback by its name
        assert hook.list_indexes() == []
        monkeypatch.setenv("NO_PROXY", "0.0.0.0")  # noqa: S104
        assert len(hook.list_indexes()) == 1
        assert len(proxy.heads) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_plain_http_to_loopback_does_not_leave_the_machine_by_a_proxy(emulator, reach, monkeypatch, host):
    with Wire(answer(INDEXES)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        assert len(reach(f"http://{host}:{emulator.port}").list_indexes()) == 1
        assert proxy.heads == []


def tunnel(certificate, *scripts):
    """A proxy that grants a tunnel, at whose other end these scripts answer."""

    def script(sock, wire):
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with certificate.server.wrap_socket(sock, server_side=True) as inner:
            wire.scripts = list(scripts)
            wire.serve(inner, inner.makefile("rb"))

    return script


def test_https_goes_through_the_tunnel_of_a_proxy(reach, monkeypatch, certificate):
    with Wire(tunnel(certificate, answer(INDEXES))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
        assert reach("pinecone.test").list_indexes() == []
        connect, get = proxy.heads
    assert connect.startswith(b"CONNECT pinecone.test:443 ")
    assert KEY.encode() not in connect
    assert get.startswith(b"GET /indexes ")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_create_whose_answer_is_lost_behind_a_proxy_is_sent_once(reach, monkeypatch, certificate, scheme):
    with Wire(vanish if scheme == "http" else tunnel(certificate, vanish)) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
        with pytest.raises(CreateAnswerLost):
            reach(f"{scheme}://pinecone.test", allow_http=True).create_backup("docs-example")
        assert proxy.count("POST") == 1


def test_a_create_is_sent_again_where_the_proxy_is_down_or_grants_no_tunnel(reach, monkeypatch, naps, certificate):
    with Wire(answer(b"", "503 Service Unavailable")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(PineconeConnectionError, match=r"Tunnel connection failed: 503") as caught:
            reach("pinecone.test").create_backup("docs-example")
        assert not caught.value.sent
        assert len(naps) == 4
    with pytest.raises(PineconeConnectionError, match="refused") as caught:
        reach("pinecone.test").create_backup("docs-example")
    assert not caught.value.sent
    assert len(naps) == 8


@pytest.mark.parametrize("proxy", ["http://", "socks5://127.0.0.1:1"])
def test_a_create_is_sent_again_where_the_proxy_makes_no_sense(reach, monkeypatch, naps, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(PineconeConnectionError) as caught:
        reach("pinecone.test").create_backup("docs-example")
    assert not caught.value.sent
    assert len(naps) == 4


def test_a_create_is_sent_again_where_connecting_takes_too_long(reach, naps):
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # more than wait to be accepted; the next has to wait
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with pytest.raises(PineconeConnectionError, match="timed out") as caught:
            reach(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=0.1).create_backup("docs-example")
    assert not caught.value.sent
    assert len(naps) == 4


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate that nobody has signed, for loopback and pinecone.test."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pinecone.test")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("pinecone.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = dict.fromkeys(
        [
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("crl_sign", "encipher_only", "decipher_only"),
        ],
        False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "ca.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem, secret)
    return SimpleNamespace(path=str(pem), server=server)


@pytest.mark.parametrize("extra", [{}, {"verify": False}, {"verify_ssl": "false"}, {"ssl": False}], ids=str)
@pytest.mark.parametrize(
    "environment", [{}, {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""}, {"PYTHONHTTPSVERIFY": "0"}]
)
def test_an_unknown_certificate_is_refused_before_the_key_is_sent(
    reach, monkeypatch, naps, certificate, extra, environment
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with Wire(answer(INDEXES), tls=certificate.server) as wire:
        with pytest.raises(PineconeConnectionError, match="REQUESTS_CA_BUNDLE") as caught:
            reach(wire.url, **extra).create_backup("docs-example")
        assert not caught.value.sent
        assert wire.heads == []


def test_the_ca_bundle_of_the_environment_is_trusted(reach, monkeypatch, certificate):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate.path)
    with Wire(answer(INDEXES), tls=certificate.server) as wire:
        assert reach(wire.url).list_indexes() == []


def test_a_ca_bundle_that_is_not_there_is_named_and_nothing_is_sent(reach, monkeypatch, certificate, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    with Wire(answer(INDEXES), tls=certificate.server) as wire:
        with pytest.raises(PineconeConnectionError, match=r"nowhere\.pem") as caught:
            reach(wire.url).create_backup("docs-example")
        assert not caught.value.sent


# The key


def chain(error):
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return seen


ENDS = {
    "refused": answer(b'{"error": {"code": "X", "message": "no"}}', "403 Forbidden"),
    "an unknown id": answer(b"{}", "404 Not Found"),
    "blip": answer(b"", "503 Service Unavailable"),
    "redirect": answer(b"", "302 Found", Location="/elsewhere"),
    "no JSON": answer(b"hello"),
    "torn": answer(INDEXES, Content_Length=500),
    "dropped": vanish,
    "slow": hang,
    "key in the message": answer(json.dumps({"error": {"message": f"bad key {KEY}"}}).encode(), "401 No"),
    "key in the code": answer(json.dumps({"error": {"code": KEY, "message": "m"}}).encode(), "401 No"),
    "key in text": answer(f"bad key '{KEY}'".encode(), "401 No"),
    "key in the request id": answer(b"", "401 No", x_pinecone_request_id=KEY),
    "key across the cut": answer(b" " * 1990 + KEY.encode(), "401 No"),
    "key across the last cut": answer(b"x" * 490 + KEY.encode(), "401 No"),
    "key in no status line": f"{KEY}\r\n\r\n".encode(),
}


@pytest.mark.parametrize("script", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("call", ["list_indexes", "create_backup"])
def test_no_error_holds_the_key(reach, script, call):
    with Wire(script) as wire:
        hook = reach(wire.url, timeout=0.2 if script is hang else 5)
        with pytest.raises(PineconeError) as caught:
            getattr(hook, call)(*(["docs-example"] if call == "create_backup" else []))
    for error in chain(caught.value):
        assert isinstance(error, PineconeError)
        for value in (str(error), repr(error), error.args, vars(error), getattr(error, "__notes__", None)):
            assert KEY[:8] not in repr(value)
        assert not any(isinstance(value, requests.models.RequestEncodingMixin) for value in vars(error).values())


def test_nothing_that_is_logged_holds_the_key(emulator, hook, caplog, capsys):
    """Of the hook, of requests and urllib3, and of the emulator."""
    caplog.set_level("DEBUG")
    emulator.fault("GET", "/indexes", status=503, headers={"Retry-After": "1"})
    emulator.fault("POST", "*", drop="after")
    assert hook.list_indexes()
    with pytest.raises(CreateAnswerLost):
        hook.create_backup("docs-example")
    said = caplog.text + "".join(capsys.readouterr()) + repr(emulator.requests)
    assert "503" in said
    assert emulator.api_key[:8] not in said


@pytest.mark.parametrize("end", ["refused", "torn", "dropped", "redirect"])
def test_frames_of_an_error_do_not_show_the_key(reach, end):
    """What reports errors with the variables of their frames calls repr on them."""
    with Wire(ENDS[end]) as wire, pytest.raises(PineconeError) as caught:
        reach(wire.url).list_indexes(retry=False)
    trace = caught.tb
    while trace:
        if trace.tb_frame.f_globals["__name__"].startswith("airflow_pinecone."):
            assert KEY not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


def test_an_error_names_who_it_can_ask_about():
    error = PineconeRequestError(
        "text", status_code=404, code="NOT_FOUND", message="m", request_id="r", retry_after=1.0
    )
    assert vars(error) == {
        "status_code": 404,
        "code": "NOT_FOUND",
        "message": "m",
        "request_id": "r",
        "retry_after": 1.0,
    }


# Connections


def test_the_calls_of_a_hook_share_one_connection(emulator, hook):
    backup_id = hook.create_backup("docs-example")["backup_id"]
    hook.describe_backup(backup_id)
    with pytest.raises(PineconePermanentError):
        hook.describe_backup("no-such-one")
    list(hook.list_backups())
    hook.delete_backup(backup_id)
    hook.list_indexes()
    assert len(emulator.requests) == 6
    assert len({exchange.peer for exchange in emulator.requests}) == 1


def test_two_hooks_share_none(emulator, reach):
    hooks = [reach(emulator.url), reach(emulator.url)]
    for hook in hooks:
        hook.list_indexes()
    assert len({exchange.peer for exchange in emulator.requests}) == 2


def test_a_dropped_connection_is_made_anew(emulator, hook):
    hook.list_indexes()
    emulator.stop()
    emulator.start()
    assert hook.create_backup("docs-example")
    assert methods(emulator) == ["GET", "POST"]
