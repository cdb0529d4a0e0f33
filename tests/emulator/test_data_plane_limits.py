"""Limits and faults of the data plane."""

import base64
import time
from typing import Any

import pytest
import requests
from support.clock import FakeClock
from support.emulator_client import Ask, AskInThread
from support.records import host_path, list_ids

from airflow_pinecone.emulator import Emulator

CALLS = {"list": "/vectors/list", "fetch": "/vectors/fetch?ids=a"}


@pytest.fixture
def path(emulator: Emulator) -> str:
    emulator.add_index("small", dimension=2, records=0)
    emulator.add_records("small", [{"id": name, "values": [1, 2]} for name in "abcde"])
    return host_path(emulator, "small")


@pytest.mark.parametrize("kind", CALLS)
def test_requests_per_second(ask: Ask, emulator: Emulator, path: str, clock: FakeClock, kind: str) -> None:
    emulator.scenario.clock = clock
    setattr(emulator.scenario, f"{kind}_requests_per_second", 2)
    assert [ask("GET", path + CALLS[kind]).status_code for _ in range(3)] == [200, 200, 429]
    response = ask("GET", path + CALLS[kind])
    assert response.json() == {
        "code": 8,
        "message": f"Request failed. You've reached the max {kind} requests per second for index small.",
        "details": [],
    }
    assert ask("GET", host_path(emulator, "docs-example") + CALLS[kind]).status_code == 200
    [other] = set(CALLS) - {kind}
    assert ask("GET", path + CALLS[other]).status_code == 200
    clock.advance(0.5)
    assert ask("GET", path + CALLS[kind]).status_code == 429
    clock.advance(0.5)
    assert ask("GET", path + CALLS[kind]).status_code == 200


def test_read_units_per_month(ask: Ask, emulator: Emulator, path: str, clock: FakeClock) -> None:
    emulator.scenario.clock = clock
    emulator.generate_records("small", 30, namespace="many")
    emulator.scenario.read_units_per_month = 4
    ids = [f"record-{number:08d}" for number in range(25)]
    fetched = ask("GET", path + "/vectors/fetch", params={"ids": ids, "namespace": "many"}).json()
    assert fetched["usage"] == {"readUnits": 3}
    assert ask("GET", path + CALLS["list"]).status_code == 200
    for _ in range(2):
        for call in CALLS.values():
            response = ask("GET", path + call)
            assert (response.status_code, response.json()["code"]) == (429, 8)
            assert "read unit limit for the current month (4)" in response.json()["message"]
        clock.advance(86400)
    assert ask("GET", path + "/describe_index_stats").status_code == 200
    emulator.scenario.read_units_per_month = None
    assert ask("GET", path + CALLS["list"]).status_code == 200


def test_latency_of_requests_that_overlap(emulator: Emulator, path: str, ask_in_thread: AskInThread) -> None:
    emulator.scenario.latency = 0.4
    started = time.monotonic()
    answers = [ask_in_thread("GET", path + CALLS["list"]) for _ in range(4)]
    assert [each.result().status_code for each in answers] == [200] * 4
    assert 0.4 <= time.monotonic() - started < 1.4


def test_no_latency_of_the_control_plane(ask: Ask, emulator: Emulator) -> None:
    emulator.scenario.latency = 30
    assert ask("GET", "/indexes").elapsed.total_seconds() < 15


def without_usage(answer: dict[str, Any]) -> dict[str, Any]:
    del answer["usage"]
    return answer


def test_changed_answer(ask: Ask, emulator: Emulator, path: str) -> None:
    fault = emulator.fault("GET", "/data-plane/*/vectors/fetch", change_answer=without_usage, nth=2)
    answers = [ask("GET", path + CALLS["fetch"]).json() for _ in range(3)]
    assert ["usage" in answer for answer in answers] == [True, False, True]
    assert answers[1]["vectors"] == answers[0]["vectors"]
    assert fault.hits == 1
    assert emulator.requests[-2].answer == answers[1]


def test_changed_answer_of_a_fault_with_a_status(ask: Ask, emulator: Emulator, path: str) -> None:
    emulator.fault("GET", "*", change_answer=without_usage, status=503)
    assert ask("GET", path + CALLS["fetch"]).json()["error"]["code"] == "UNAVAILABLE"
    emulator.fault("GET", "*", change_answer=without_usage, headers={"X-New": "1"})
    changed = ask("GET", path + CALLS["fetch"])
    assert (changed.headers["X-New"], "usage" in changed.json()) == ("1", False)


def test_empty_page_with_a_token(ask: Ask, emulator: Emulator, path: str) -> None:
    token = base64.b64encode(b'{"skip_past":"b","prefix":null}').decode()

    def empty(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "vectors": [], "pagination": {"next": token}}

    emulator.fault("GET", "/data-plane/*/vectors/list", change_answer=empty)
    assert list_ids(ask, path) == ["c", "d", "e"]


@pytest.mark.parametrize("drop", ["before", "during", "after"])
def test_other_faults_work_on_the_data_plane(ask: Ask, emulator: Emulator, path: str, drop: str) -> None:
    emulator.fault("GET", "/data-plane/*/vectors/list", drop=drop)
    with pytest.raises(requests.RequestException):
        ask("GET", path + CALLS["list"])
    assert ask("GET", path + CALLS["list"]).status_code == 200
