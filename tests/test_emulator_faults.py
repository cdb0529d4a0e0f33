"""Scripted faults: each kind, over real HTTP."""

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from requests.exceptions import ChunkedEncodingError, ConnectionError

from airflow_pinecone.emulator.faults import Fault, parse_fault

BACKUPS = "/indexes/docs-example/backups"


@pytest.fixture
def aside():
    """Run a call in a thread beside the test: `future = aside(ask, "GET", "/backups")`."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def test_a_status_without_the_work(ask, emulator):
    fault = emulator.fault("POST", BACKUPS, status=503, headers={"Retry-After": "2"})
    answer = ask("POST", BACKUPS, json={})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json()["error"]["code"] == "UNAVAILABLE"
    assert emulator.backups == []
    assert ask("POST", BACKUPS, json={}).status_code == 201
    assert fault.hits == 1
    assert [exchange.status for exchange in emulator.requests] == [503, 201]
    assert [exchange.fault for exchange in emulator.requests] == [fault, None]


def test_a_status_after_the_work_loses_the_answer(ask, emulator):
    emulator.fault("POST", BACKUPS, status=504, work=True)
    answer = ask("POST", BACKUPS, json={"name": "x"})
    assert (answer.status_code, answer.json()["status"]) == (504, 504)
    assert [backup["name"] for backup in emulator.backups] == ["x"]


def test_another_success_keeps_the_answer_of_the_work(ask, emulator):
    emulator.fault("POST", BACKUPS, status=200, work=True)
    answer = ask("POST", BACKUPS, json={"name": "x"})
    assert (answer.status_code, answer.json()["name"]) == (200, "x")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html>Bad gateway</html>", "text/html; charset=utf-8"),
        ("not allowed", "text/plain; charset=utf-8"),
        ({"data": [], "pagination": None}, "application/json"),
    ],
)
def test_a_body_and_its_type(ask, emulator, body, content_type):
    emulator.fault("GET", "/backups", body=body)
    answer = ask("GET", "/backups")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)
    assert (answer.json() if isinstance(body, dict) else answer.content) in (body, str(body).encode())
    assert emulator.requests[0].answer == (body.decode() if isinstance(body, bytes) else body)


def test_headers_alone_are_added_to_the_true_answer(ask, emulator):
    emulator.fault("GET", "/backups", headers={"x-pinecone-request-id": "mine", "Content-Type": "x/y"})
    answer = ask("GET", "/backups")
    assert answer.json() == {"data": []}
    assert (answer.headers["x-pinecone-request-id"], answer.headers["Content-Type"]) == ("mine", "x/y")


def test_a_redirect(ask, emulator):
    emulator.fault("GET", "/backups", status=307, headers={"Location": "/elsewhere"})
    answer = ask("GET", "/backups", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"], answer.content) == (307, "/elsewhere", b"")


@pytest.mark.parametrize(("drop", "made"), [("before", 0), ("after", 1)])
def test_a_dropped_connection(ask, emulator, drop, made):
    fault = emulator.fault("POST", BACKUPS, drop=drop)
    with pytest.raises(ConnectionError, match="without response"):
        ask("POST", BACKUPS, json={})
    assert len(emulator.backups) == made
    assert (emulator.requests[0].status, emulator.requests[0].answer) == (None, None)
    assert fault.hits == 1


def test_a_connection_dropped_within_the_answer(ask, emulator):
    emulator.fault("POST", BACKUPS, drop="during")
    with pytest.raises(ChunkedEncodingError, match="IncompleteRead"):
        ask("POST", BACKUPS, json={})
    assert len(emulator.backups) == 1


@pytest.mark.parametrize(("hang", "made"), [("before", 0), ("after", 1)])
def test_a_hanging_call_goes_on_when_it_is_released(ask, emulator, aside, hang, made):
    fault = emulator.fault("POST", BACKUPS, hang=hang)
    call = aside(ask, "POST", BACKUPS, json={})
    fault.wait()
    assert (len(emulator.backups), emulator.requests[0].status) == (made, None)
    assert not call.done()
    fault.release()
    assert call.result(20).status_code == 201
    assert len(emulator.backups) == 1


def test_a_hanging_call_is_dropped_when_the_emulator_stops(ask, emulator, aside):
    before = emulator.fault("POST", BACKUPS, hang="before")
    after = emulator.fault("GET", "/backups", hang="after")
    calls = [aside(ask, "POST", BACKUPS, json={}), aside(ask, "GET", "/backups")]
    before.wait()
    after.wait()
    begun = time.monotonic()
    emulator.stop()
    assert time.monotonic() - begun < 5  # it does not wait for them
    for call in calls:
        with pytest.raises(ConnectionError):
            call.result(20)
    assert emulator.backups == []
    emulator.release()  # nothing waits any more; nothing breaks


# Answers that drip or have no end


@pytest.fixture
def raw(emulator):
    """Send a GET on a socket of its own, and return the socket."""
    with contextlib.ExitStack() as stack:

        def raw(path):
            sock = stack.enter_context(socket.create_connection((emulator.host, emulator.port), timeout=20))
            head = f"GET {path} HTTP/1.1\r\nHost: x\r\nApi-Key: {emulator.api_key}\r\n"
            sock.sendall(f"{head}X-Pinecone-Api-Version: 2025-10\r\n\r\n".encode())
            return sock

        yield raw


def idle(emulator):
    """Wait until no call is being answered; say whether that came."""
    deadline = time.monotonic() + 10
    while emulator._sending or emulator._waiting:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_body_drips(ask, emulator):
    emulator.fault("GET", "/backups", body="abc", drip="body")
    begun = time.monotonic()
    with ask("GET", "/backups", stream=True) as answer:
        assert answer.headers["Content-Length"] == "3"
        assert answer.raw.read(1) == b"a"
        assert answer.raw.read() == b"bc"
    assert time.monotonic() - begun >= 0.6  # the head at once, and then a pause before each byte
    assert idle(emulator)
    assert ask("GET", "/backups").json() == {"data": []}


def test_a_head_drips_and_the_rest_comes_on_release(emulator, raw):
    fault = emulator.fault("GET", "/backups", drip="head")
    sock = raw("/backups")
    begin = sock.recv(1000)
    assert b"HTTP/1.1 200 OK".startswith(begin)
    fault.release()
    with sock.makefile("rb") as rest:
        head, _, body = (begin + rest.read()).partition(b"\r\n\r\n")
    assert body == b'{"data": []}'
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert {b"Content-Type: application/json", b"Content-Length: 12", b"Connection: close"} <= set(lines)
    exchange = emulator.requests[0]
    assert f"x-pinecone-request-id: {exchange.request_id}".encode() in lines
    assert (exchange.status, exchange.answer, fault.hits) == (200, {"data": []}, 1)


def test_an_endless_body(ask, emulator):
    emulator.fault("GET", "/backups", body="a", endless=True)
    with ask("GET", "/backups", stream=True) as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.raw.read(1_000_000) == b"a".ljust(1_000_000)


def test_an_endless_body_that_drips(ask, emulator):
    emulator.fault("GET", "/backups", body="a", drip="body", endless=True)
    begun = time.monotonic()
    with ask("GET", "/backups", stream=True) as answer:
        assert answer.raw.read(5) == b"a    "
    assert time.monotonic() - begun >= 1.8  # seven bytes for the first two, and a piece for each of the others


SLOW = {
    "head": {"drip": "head"},
    "body": {"drip": "body"},
    "endless": {"endless": True},
    "endless drip": {"drip": "body", "endless": True},
}


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_a_slow_answer_ends_when_the_client_hangs_up(emulator, raw, slow):
    fault = emulator.fault("GET", "/backups", **slow)
    sock = raw("/backups")
    fault.wait()
    assert sock.recv(1)
    sock.close()
    assert idle(emulator)


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_a_slow_answer_ends_on_release(ask, emulator, aside, slow):
    body = "x" * 1_000_000
    fault = emulator.fault("GET", "/backups", body=body, times=None, **slow)
    call = aside(ask, "GET", "/backups")
    fault.wait()
    assert not call.done()
    emulator.release()
    assert call.result(10).text.rstrip() == body
    assert ask("GET", "/backups").text.rstrip() == body


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("released", [False, True])
def test_a_slow_answer_is_dropped_when_the_emulator_stops(emulator, raw, slow, released):
    size = 20_000_000  # more than finds room on its way to a client that does not read it
    fault = emulator.fault("GET", "/backups", body="x" * size, **slow)
    sock = raw("/backups")
    assert sock.recv(1)
    if released:
        fault.release()
    begun = time.monotonic()
    emulator.stop()
    assert time.monotonic() - begun < 5
    with sock.makefile("rb") as rest:
        assert len(rest.read()) < size


def test_a_slow_answer_is_of_any_kind(ask, emulator):
    emulator.fault(
        "POST", BACKUPS, status=503, headers={"Retry-After": "2"}, body="no", work=True, drip="body", hang="before"
    ).release()
    answer = ask("POST", BACKUPS, json={})
    assert (answer.status_code, answer.reason, answer.text) == (503, "Service Unavailable", "no")
    assert answer.headers["Retry-After"] == "2"
    assert len(emulator.backups) == 1


@pytest.mark.parametrize(
    ("settings", "alters"), [({"drip": "head"}, False), ({"hang": "after"}, False), ({"endless": True}, True)]
)
def test_what_is_no_answer_of_pinecone(settings, alters):
    assert Fault("GET", "/backups", **settings).alters is alters


def test_a_client_that_gives_up_does_not_stop_the_work(ask, emulator):
    fault = emulator.fault("POST", BACKUPS, hang="before")
    done = emulator.fault("GET", "/backups", hang="before")
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(
            emulator.url + BACKUPS,
            json={},
            headers={"Api-Key": emulator.api_key, "X-Pinecone-Api-Version": "2025-10"},
            timeout=(20, 0.05),
        )
    fault.release()
    done.release()
    assert ask("GET", "/backups").status_code == 200  # by now the work before it has been done
    assert len(emulator.backups) == 1


def test_release_lets_all_go_on_and_holds_none_afterwards(ask, emulator, aside):
    fault = emulator.fault("GET", "/backups", hang="before", times=None)
    calls = [aside(ask, "GET", "/backups") for _ in range(2)]
    fault.wait(hits=2)
    emulator.release()
    assert [call.result(20).status_code for call in calls] == [200, 200]
    assert ask("GET", "/backups").status_code == 200
    assert fault.hits == 3


def test_a_call_that_hangs_and_is_dropped_strikes_once(ask, emulator, aside):
    fault = emulator.fault("POST", BACKUPS, hang="before", drop="after")
    call = aside(ask, "POST", BACKUPS, json={})
    fault.wait()
    fault.release()
    with pytest.raises(ConnectionError):
        call.result(20)
    assert (fault.hits, len(emulator.backups)) == (1, 1)


def test_nth_and_times(ask, emulator):
    emulator.fault("GET", "/backups", nth=2, times=2, status=500)
    assert [ask("GET", "/backups").status_code for _ in range(5)] == [200, 500, 500, 200, 200]


def test_for_ever(ask, emulator):
    emulator.fault("GET", "/backups", times=None, status=500)
    assert [ask("GET", "/backups").status_code for _ in range(4)] == [500] * 4


def test_rules_for_the_same_call_follow_one_another(ask, emulator):
    emulator.fault("GET", "/backups", status=500)
    emulator.fault("GET", "/backups", status=429)
    emulator.fault("GET", "/backups", status=503, nth=4)
    assert [ask("GET", "/backups").status_code for _ in range(5)] == [500, 429, 200, 503, 200]


@pytest.mark.parametrize(
    ("method", "path", "fits"),
    [
        ("POST", "/indexes/*/backups", True),
        ("POST", "/indexes/docs-*/backups", True),
        ("*", "/indexes/docs-example/backups", True),
        ("*", "*", True),
        ("GET", "/indexes/*/backups", False),
        ("POST", "/indexes/*", False),
        ("POST", "/*", False),
        ("POST", "/indexes/*/backups/*", False),
        ("POST", "/indexes/other-*/backups", False),
    ],
)
def test_what_a_rule_fits(ask, emulator, method, path, fits):
    fault = emulator.fault(method, path, status=500)
    assert ask("POST", BACKUPS, json={}).status_code == (500 if fits else 201)
    assert fault.hits == (1 if fits else 0)


def test_a_rule_that_is_never_hit_shows(emulator):
    fault = emulator.fault("GET", "/never", status=500)
    assert fault.hits == 0
    assert "hits=0" in repr(fault)
    with pytest.raises(TimeoutError, match="was not hit"):
        fault.wait(timeout=0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        {"drop": "later"},
        {"hang": "during"},
        {"drip": "tail"},
        {"drip": "body", "drop": "during"},
        {"endless": True, "drop": "after"},
        {"endless": True, "status": 204},
        {"drip": "body", "status": 304},
        {"nth": 0},
        {"times": 0},
        {"status": 99},
        {"status": 600},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(emulator, wrong):
    with pytest.raises(ValueError, match="not"):
        emulator.fault("GET", "/backups", **wrong)


def test_a_fault_comes_before_the_key_is_looked_at(ask, emulator):
    emulator.fault("GET", "/backups", status=502)
    assert ask("GET", "/backups", headers={"Api-Key": "wrong"}).status_code == 502


def test_hanging_calls_need_no_threads(ask, emulator, aside):
    before = threading.active_count()
    fault = emulator.fault("GET", "/backups", hang="after", times=None)
    calls = [aside(ask, "GET", "/backups") for _ in range(3)]
    fault.wait(hits=3)
    assert threading.active_count() <= before + 3  # those of the calls
    fault.release()
    for call in calls:
        call.result(20)


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ("POST /indexes/*/backups nth=2 drop=after", {"nth": 2, "drop": "after"}),
        ("get /backups/* status=503 retry_after=2 times=3", {"status": 503, "times": 3}),
        ("* * times=always hang=before", {"times": None, "hang": "before"}),
        ("GET /backups status=500 work=yes", {"status": 500, "work": True}),
        ("GET /backups status=500 work=no", {"status": 500, "work": False}),
        ("GET /backups drip=head", {"drip": "head", "endless": False}),
        ("GET /backups drip=body endless=yes", {"drip": "body", "endless": True}),
        ("GET /backups status=502 body='<p>Bad gateway</p>'", {"body": "<p>Bad gateway</p>"}),
    ],
)
def test_a_fault_of_the_command_line(spec, settings):
    fault = parse_fault(spec)
    assert isinstance(fault, Fault)
    assert (fault.method, fault.path) == (spec.split()[0].upper(), spec.split()[1])
    assert {name: getattr(fault, name) for name in settings} == settings
    assert fault.headers == ({"Retry-After": "2"} if "retry_after" in spec else {})


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "GET /backups",
        "GET status=500",
        "GET /backups status",
        "GET /backups status=",
        "GET /backups status=many",
        "GET /backups status=700",
        "GET /backups times=-1",
        "GET /backups nth=0 status=500",
        "GET /backups work=perhaps",
        "GET /backups endless=perhaps",
        "GET /backups drop=later",
        "GET /backups drip=tail",
        "GET /backups colour=red",
        "GET /backups body='open",
    ],
)
def test_a_fault_that_cannot_be_read(spec):
    with pytest.raises(ValueError, match=r".+"):
        parse_fault(spec)
