"""The emulator as a server: headers, errors, the record of requests, start and stop."""

import logging
import socket
import threading
from contextlib import suppress

import pytest
import requests

from airflow_pinecone.emulator import Emulator, Exchange, Fault

API_KEY = "pc-test-key-0123456789"
BACKUPS = "/indexes/docs-example/backups"


@pytest.mark.parametrize("key", [None, "", "wrong", API_KEY + "x"])
def test_a_wrong_key_is_not_let_in(ask, emulator, key):
    answer = ask("POST", BACKUPS, json={}, headers={"Api-Key": key})
    assert answer.status_code == 401
    assert answer.json() == {
        "status": 401,
        "error": {"code": "UNAUTHENTICATED", "message": "Invalid API key."},
    }
    assert emulator.backups == []


@pytest.mark.parametrize("version", [None, "2024-07", "2026-07"])
def test_a_version_that_is_not_spoken_is_refused(ask, emulator, version):
    answer = ask("GET", "/backups", headers={"X-Pinecone-Api-Version": version})
    assert answer.status_code == 400
    assert "2025-10 and 2026-04" in answer.json()["error"]["message"]


@pytest.mark.parametrize("version", ["2025-10", "2026-04"])
def test_both_versions_are_spoken(ask, emulator, version):
    headers = {"X-Pinecone-Api-Version": version}
    assert ask("POST", BACKUPS, json={}, headers=headers).status_code == 201
    assert ask("GET", "/backups", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/indexes/docs-example/backup-schedules"),
        ("POST", "/indexes/create-for-model"),
        ("GET", "/collections"),
        ("PUT", "/indexes"),
        ("GET", "/"),
        ("GET", "/data-plane/x/query"),
        ("GET", "//backups"),
    ],
)
def test_what_is_not_emulated_is_said_loudly(ask, emulator, caplog, method, path):
    with caplog.at_level(logging.INFO, logger="airflow_pinecone.emulator"):
        answer = ask(method, path)
    assert answer.status_code == 501
    assert answer.json()["error"]["code"] == "UNIMPLEMENTED"
    assert f"does not emulate {method} " in answer.json()["error"]["message"]
    assert any(record.message.startswith("NOT EMULATED: ") for record in caplog.records)


def test_every_answer_has_its_own_request_id(ask, emulator):
    answers = [ask("GET", "/backups"), ask("GET", "/nothing"), ask("GET", "/backups/no"), ask("GET", "/backups")]
    ids = [answer.headers["x-pinecone-request-id"] for answer in answers]
    assert len(set(ids)) == 4
    assert [exchange.request_id for exchange in emulator.requests] == ids


def test_requests_are_recorded(ask, emulator, clock):
    emulator.clock = clock
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
    assert created.peer == described.peer  # a kept connection
    assert described.path == "/backups/a%2Fb%20c"
    assert (listed.path, listed.query) == ("/backups", {"limit": "5", "paginationToken": "a="})
    assert described.answer["error"]["message"] == "Backup a/b c not found."
    assert (deleted.body, deleted.status) == (None, 404)


def test_the_key_stands_nowhere(ask, emulator, caplog):
    with caplog.at_level(logging.DEBUG):
        ask("GET", "/backups", headers={"Authorization": f"Bearer {API_KEY}"})
        ask("GET", "/nothing")
    assert all(API_KEY not in str(dict(exchange.headers)) for exchange in emulator.requests)
    own = [record for record in caplog.records if record.name.startswith("airflow_pinecone")]
    assert own
    assert all(API_KEY not in record.getMessage() for record in own)


def test_a_wrong_key_is_not_recorded_either(ask, emulator):
    ask("GET", "/backups", headers={"Api-Key": "another-secret"})
    assert "another-secret" not in str(dict(emulator.requests[0].headers))


def test_down_and_back_on_the_same_port_with_the_same_state(ask, emulator):
    url = emulator.url
    ask("POST", BACKUPS, json={"name": "kept"})
    emulator.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        ask("GET", "/backups")
    emulator.stop()  # again: nothing to do
    emulator.start()
    assert emulator.url == url
    assert [row["name"] for row in ask("GET", "/backups").json()["data"]] == ["kept"]


def test_it_cannot_run_twice(emulator):
    with pytest.raises(RuntimeError, match="runs already"):
        emulator.start()


def test_a_port_in_use_is_an_error_and_leaves_nothing(emulator):
    before = threading.active_count()
    second = Emulator("key", port=emulator.port)
    with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
        second.start()
    assert threading.active_count() == before
    second.stop()


@pytest.mark.parametrize("attempt", range(5))
def test_nothing_is_left_when_it_stops(attempt):
    before = threading.active_count()
    with Emulator("key") as emulator:
        idle = socket.create_connection(("127.0.0.1", emulator.port), timeout=20)
        assert threading.active_count() > before
    assert threading.active_count() == before
    with idle, suppress(ConnectionResetError):  # whether or not it had been accepted
        assert idle.recv(1) == b""


def test_an_error_in_the_block_stops_it_too():
    emulator = Emulator("key")
    with pytest.raises(ZeroDivisionError), emulator:
        _ = 1 / 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", emulator.port))


def test_an_unknown_setting_is_refused():
    with pytest.raises(TypeError, match="redy_after"):
        Emulator("key", redy_after=5)


def test_an_empty_key_is_refused():
    with pytest.raises(ValueError, match="API key"):
        Emulator("")


def test_many_clients_at_once(ask, emulator):
    def create():
        headers = {"Api-Key": API_KEY, "X-Pinecone-Api-Version": "2025-10"}
        for _ in range(10):
            requests.post(emulator.url + BACKUPS, json={}, headers=headers, timeout=20).raise_for_status()

    threads = [threading.Thread(target=create) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({backup["backup_id"] for backup in emulator.backups}) == 50
    assert len(emulator.requests) == 50


def test_what_the_package_offers():
    import airflow_pinecone.emulator as package

    assert (package.Emulator, package.Exchange, package.Fault) == (Emulator, Exchange, Fault)
    with pytest.raises(AttributeError):
        _ = package.nothing
