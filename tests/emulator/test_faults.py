"""Faults, over real HTTP."""

import itertools
import json
import logging
import threading
import time
from fnmatch import fnmatchcase
from typing import Any

import pytest
import requests
from requests.exceptions import ChunkedEncodingError, ConnectionError
from support.constants import API_KEY
from support.emulator_client import Ask, AskInThread

from airflow_pinecone.emulator import Emulator, Fault
from airflow_pinecone.emulator.faults import parse_fault

BACKUPS = "/indexes/docs-example/backups"
HEADERS = {"Api-Key": API_KEY, "X-Pinecone-Api-Version": "2025-10"}


@pytest.mark.parametrize(
    ("settings", "status", "headers", "text", "created"),
    [
        ({"status": 503, "headers": {"Retry-After": "2"}}, 503, {"Retry-After": "2"}, '*"code": "UNAVAILABLE"*', 0),
        ({"status": 504, "work": True}, 504, {}, '*"status": 504*', 1),
        ({"status": 200, "work": True}, 200, {}, '*"name": "x"*', 1),
        ({"status": 307, "headers": {"Location": "/elsewhere"}}, 307, {"Location": "/elsewhere"}, "", 0),
        ({"body": b"<html>no</html>"}, 201, {"Content-Type": "text/html; charset=utf-8"}, "<html>no</html>", 1),
        ({"body": "not allowed"}, 201, {"Content-Type": "text/plain; charset=utf-8"}, "not allowed", 1),
        ({"body": {"data": None}}, 201, {"Content-Type": "application/json"}, '{"data": null}', 1),
        ({"headers": {"Content-Type": "x/y"}}, 201, {"Content-Type": "x/y"}, '*"name": "x"*', 1),
        ({"headers": {"x-pinecone-request-id": "id"}}, 201, {"x-pinecone-request-id": "id"}, '*"name": "x"*', 1),
    ],
)
def test_changed_response(
    ask: Ask,
    emulator: Emulator,
    settings: dict[str, Any],
    status: int,
    headers: dict[str, str],
    text: str,
    created: int,
) -> None:
    fault = emulator.fault("POST", BACKUPS, **settings)
    response = ask("POST", BACKUPS, json={"name": "x"}, allow_redirects=False)
    assert response.status_code == status
    assert headers.items() <= dict(response.headers).items()
    assert fnmatchcase(response.text, text)
    assert [backup["name"] for backup in emulator.backups] == ["x"] * created
    answer = emulator.requests[0].answer
    assert (json.dumps(answer) if isinstance(answer, dict) else answer or "") == response.text
    assert ask("POST", BACKUPS, json={}).status_code == 201
    assert fault.hits == 1
    assert [exchange.status for exchange in emulator.requests] == [status, 201]
    assert [exchange.fault for exchange in emulator.requests] == [fault, None]


@pytest.mark.parametrize(
    ("drop", "error", "message", "created", "status"),
    [
        ("before", ConnectionError, "without response", 0, None),
        ("during", ChunkedEncodingError, "IncompleteRead", 1, 201),
        ("after", ConnectionError, "without response", 1, None),
    ],
)
def test_dropped_connection(
    ask: Ask, emulator: Emulator, drop: str, error: type[Exception], message: str, created: int, status: int | None
) -> None:
    fault = emulator.fault("POST", BACKUPS, drop=drop)
    with pytest.raises(error, match=message):
        ask("POST", BACKUPS, json={})
    assert len(emulator.backups) == created
    assert (emulator.requests[0].status, emulator.requests[0].answer is None) == (status, status is None)
    assert fault.hits == 1


@pytest.mark.parametrize(("hang", "created"), [("before", 0), ("after", 1)])
def test_hanging_request_continues_on_release(
    emulator: Emulator, ask_in_thread: AskInThread, hang: str, created: int
) -> None:
    fault = emulator.fault("POST", BACKUPS, hang=hang)
    future = ask_in_thread("POST", BACKUPS, json={})
    fault.wait()
    assert (len(emulator.backups), emulator.requests[0].status) == (created, None)
    assert not future.done()
    fault.release()
    assert future.result(20).status_code == 201
    assert len(emulator.backups) == 1


def test_hanging_request_is_dropped_when_the_emulator_stops(emulator: Emulator, ask_in_thread: AskInThread) -> None:
    before = emulator.fault("POST", BACKUPS, hang="before")
    after = emulator.fault("GET", "/backups", hang="after")
    futures = [ask_in_thread("POST", BACKUPS, json={}), ask_in_thread("GET", "/backups")]
    before.wait()
    after.wait()
    start = time.monotonic()
    emulator.stop()
    assert time.monotonic() - start < 5  # It does not wait for the requests.
    for future in futures:
        with pytest.raises(ConnectionError):
            future.result(20)
    assert emulator.backups == []
    emulator.release()  # No request is left to release, and that is no error.


def test_hanging_request_that_arrives_while_the_emulator_stops_is_dropped(ask: Ask, emulator: Emulator) -> None:
    emulator.fault("POST", BACKUPS, hang="before")
    emulator._loop.call_soon_threadsafe(emulator._handler.close)  # the part of stop() before the server closes
    with pytest.raises(ConnectionError):
        ask("POST", BACKUPS, json={})
    assert emulator.backups == []


@pytest.mark.parametrize(
    ("settings", "alters"), [({"drip": "head"}, False), ({"hang": "after"}, False), ({"endless": True}, True)]
)
def test_alters_response(settings: dict[str, Any], alters: bool) -> None:
    assert Fault("GET", "/backups", **settings).alters_response is alters


@pytest.mark.parametrize("settings", [{}, {"drop": "after"}, {"drop": "during"}, {"drip": "body"}, {"endless": True}])
def test_request_is_processed_after_the_client_disconnects(
    ask: Ask, emulator: Emulator, caplog: pytest.LogCaptureFixture, settings: dict[str, Any]
) -> None:
    fault = emulator.fault("POST", BACKUPS, hang="before", **settings)
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(emulator.url + BACKUPS, json={}, headers=HEADERS, timeout=(20, 0.05))
    fault.wait()
    ask("GET", "/backups")  # The emulator has noticed the end of the connection by now.
    fault.release()
    ask("GET", "/backups")  # The first request is processed by now.
    assert len(emulator.backups) == 1
    assert emulator._handler.idle
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("hang", ["before", "after"])
def test_hanging_requests_need_no_threads_and_release_also_applies_to_later_requests(
    ask: Ask, emulator: Emulator, ask_in_thread: AskInThread, hang: str
) -> None:
    before = threading.active_count()
    fault = emulator.fault("GET", "/backups", hang=hang, times=None)
    futures = [ask_in_thread("GET", "/backups") for _ in range(3)]
    fault.wait(hits=3)
    assert threading.active_count() <= before + 3  # the threads of the requests
    emulator.release()
    assert [future.result(20).status_code for future in futures] == [200] * 3
    assert ask("GET", "/backups").status_code == 200
    assert fault.hits == 4


def test_request_that_hangs_and_is_dropped_is_one_hit(emulator: Emulator, ask_in_thread: AskInThread) -> None:
    fault = emulator.fault("POST", BACKUPS, hang="before", drop="after")
    future = ask_in_thread("POST", BACKUPS, json={})
    fault.wait()
    fault.release()
    with pytest.raises(ConnectionError):
        future.result(20)
    assert (fault.hits, len(emulator.backups)) == (1, 1)


@pytest.mark.parametrize(
    ("faults", "statuses"),
    [
        ([{"status": 500, "nth": 2, "times": 2}], [200, 500, 500, 200, 200]),
        ([{"status": 500, "times": None}], [500, 500, 500, 500]),
        ([{"status": 500}, {"status": 429}, {"status": 503, "nth": 4}], [500, 429, 200, 503, 200]),
    ],
)
def test_which_requests_fail(ask: Ask, emulator: Emulator, faults: list[dict[str, Any]], statuses: list[int]) -> None:
    for settings in faults:
        emulator.fault("GET", "/backups", **settings)
    assert [ask("GET", "/backups").status_code for _ in statuses] == statuses


def test_probability_affects_an_irregular_part_of_the_requests() -> None:
    fault, same = (Fault("GET", "*", times=None, probability=0.05) for _ in range(2))
    claimed = [fault.claim("GET", "/backups", unclaimed=True) for _ in range(4000)]
    assert 150 <= sum(claimed) <= 250
    assert any(one and two for one, two in itertools.pairwise(claimed))
    assert claimed == [same.claim("GET", "/backups", unclaimed=True) for _ in range(4000)]


def test_probability_and_times() -> None:
    fault = Fault("GET", "*", times=3, probability=0.5)
    claimed = [fault.claim("GET", "/backups", unclaimed=True) for _ in range(100)]
    assert sum(claimed) == 3
    assert claimed.index(False) < 10


@pytest.mark.parametrize(
    ("method", "path", "matches"),
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
def test_matching(ask: Ask, emulator: Emulator, method: str, path: str, matches: bool) -> None:
    fault = emulator.fault(method, path, status=500)
    assert ask("POST", BACKUPS, json={}).status_code == (500 if matches else 201)
    assert fault.hits == (1 if matches else 0)


def test_fault_that_is_never_hit(emulator: Emulator) -> None:
    fault = emulator.fault("GET", "/never", status=500)
    assert fault.hits == 0
    assert "hits=0" in repr(fault)
    with pytest.raises(TimeoutError, match="was not hit"):
        fault.wait(timeout=0.01)


def test_fault_precedes_the_check_of_the_api_key(ask: Ask, emulator: Emulator) -> None:
    emulator.fault("GET", "/backups", status=502)
    assert ask("GET", "/backups", headers={"Api-Key": "wrong"}).status_code == 502


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ("POST /indexes/*/backups nth=2 drop=after", {"nth": 2, "drop": "after"}),
        ("get /backups/* status=503 retry_after=2 times=3", {"status": 503, "times": 3}),
        ("* * times=always hang=before", {"times": None, "hang": "before"}),
        ("* * times=always probability=0.05 drop=after", {"times": None, "probability": 0.05, "drop": "after"}),
        ("GET /backups status=500 work=yes", {"status": 500, "work": True}),
        ("GET /backups status=500 work=no", {"status": 500, "work": False}),
        ("GET /backups drip=head", {"drip": "head", "endless": False}),
        ("GET /backups drip=body endless=yes", {"drip": "body", "endless": True}),
        ("GET /backups status=502 body='<p>Bad gateway</p>'", {"body": "<p>Bad gateway</p>"}),
    ],
)
def test_parse_fault(spec: str, settings: dict[str, Any]) -> None:
    fault = parse_fault(spec)
    assert isinstance(fault, Fault)
    assert (fault.method, fault.path) == (spec.split()[0].upper(), spec.split()[1])
    assert {name: getattr(fault, name) for name in settings} == settings
    assert fault.headers == ({"Retry-After": "2"} if "retry_after" in spec else {})


INVALID_SETTINGS = [
    *((settings, "expected NAME=VALUE, not") for settings in ("status", "status=")),
    *((settings, "is not a whole number") for settings in ("status=many", "times=-1")),
    *((f"status={status}", "status must be") for status in (99, 600, 700)),
    *((settings, "must be at least 1, not") for settings in ("nth=0", "times=0")),
    *((f"probability={value}", "probability must be .* not") for value in ("0", "1.1", "nan")),
    ("probability=some", "is not a number"),
    *((f"{name}=perhaps", f"{name} must be yes or no, not") for name in ("work", "endless")),
    *((f"{name}=later", f"{name} must be .*, not 'later'") for name in ("drop", "hang", "drip")),
    ("hang=during", "hang must be before or after, not"),
    *((settings, "drop does not combine") for settings in ("drip=body drop=during", "endless=yes drop=after")),
    *((settings, "has no body") for settings in ("endless=yes status=204", "drip=body status=304")),
    ("colour=red", "unknown setting 'colour'"),
    ("body='open", "No closing quotation"),
]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        *((spec, "expected METHOD PATH NAME=VALUE") for spec in ("", "GET /backups", "GET status=500")),
        *((f"GET /backups {settings}", message) for settings, message in INVALID_SETTINGS),
    ],
)
def test_invalid_fault_is_rejected(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_fault(spec)


def test_fault_with_invalid_settings_is_not_added(ask: Ask, emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="status must be"):
        emulator.fault("*", "*", status=99)
    assert ask("GET", "/backups").status_code == 200
