"""The API key of a connection is replaced: every call of every task reads it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests_mock as mock_requests
from support.clients import ignore, set_connection
from support.clock import FakeClock
from support.constants import API_KEY, CONN_ID, INDEX
from support.frames import frames_of
from support.operators import OUR_DESCRIPTION, WAITS
from support.tasks import TaskInstance, make_task, run_try

from airflow_pinecone import operators, sensors
from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.settings import Settings
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import ConnectionChanged, PineconeError, Unauthorized
from airflow_pinecone.hooks import PineconeHook

NEW_KEY = "the-new-key-987654"
DAY = 86400.0

TASKS: dict[str, Callable[[str], tuple[type, dict[str, Any]]]] = {
    "create": lambda _: (operators.CreateBackupOperator, {"index_name": INDEX}),
    "create in the worker": lambda _: (operators.CreateBackupOperator, {"index_name": INDEX, **WAITS["worker"]}),
    "create in the triggerer": lambda _: (operators.CreateBackupOperator, {"index_name": INDEX, **WAITS["triggerer"]}),
    "verify": lambda backup_id: (operators.VerifyBackupOperator, {"backup_id": backup_id, "max_shrink": 0.5}),
    "restore": lambda backup_id: (
        operators.CreateIndexFromBackupOperator,
        {"backup_id": backup_id, "index_name": "restored"},
    ),
    "prune": lambda _: (operators.PruneBackupsOperator, {"index_name": INDEX, "keep_last": 1}),
    "delete": lambda backup_id: (operators.DeleteBackupOperator, {"backup_id": backup_id}),
    "audit": lambda _: (operators.AuditBackupsOperator, {"max_age": DAY}),
    "backup sensor": lambda backup_id: (sensors.BackupSensor, {"backup_id": backup_id}),
    "freshness sensor": lambda _: (sensors.BackupFreshnessSensor, {"index_name": INDEX, "max_age": DAY}),
}


@pytest.mark.parametrize("name", TASKS)
def test_each_request_of_a_task_may_be_the_first_with_a_replaced_key(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The key is replaced before each request in turn. The task then ends as it does without that."""
    number_of_requests = len(run(name, clock, monkeypatch))
    for number in range(1, number_of_requests + 1):
        statuses = run(name, clock, monkeypatch, rejected=number)
        assert statuses.count(401) == 1
        assert len(statuses) == number_of_requests + 1


def run(name: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, rejected: int | None = None) -> list[int | None]:
    """Run a task to its success, with two backups of the index, and return the statuses of its requests.

    From the request with the number ``rejected`` on, another key is valid, and in the connection.
    """
    read = PineconeHook.get_connection

    def get_connection(_: PineconeHook, conn_id: str) -> Any:
        key = NEW_KEY if emulator.api_key == NEW_KEY else API_KEY
        set_connection(monkeypatch, host=emulator.url, password=key)
        return read(conn_id)

    with Emulator(API_KEY, [INDEX], clock=clock) as emulator, monkeypatch.context() as patch:
        emulator.add_backup(INDEX, age=7200, description=OUR_DESCRIPTION)
        newest = emulator.add_backup(INDEX, age=3600, description=OUR_DESCRIPTION)
        patch.setattr(PineconeHook, "get_connection", get_connection)
        if rejected:
            respond = emulator.control_plane.respond

            async def replace_key(request: Any) -> Any:
                if len(emulator.requests) == rejected:
                    emulator.api_key = NEW_KEY
                return await respond(request)

            patch.setattr(emulator.control_plane, "respond", replace_key)
        cls, arguments = TASKS[name](newest["backup_id"])
        outcome = run_try(make_task(cls, clock, **arguments), TaskInstance())
        assert outcome.state == "success", outcome
        return [exchange.status for exchange in emulator.requests]


def make_client(emulator: Emulator, clock: FakeClock, read_again: Callable[[], Settings], log: Any) -> PineconeClient:
    settings = Settings(CONN_ID, emulator.url, API_KEY, "2025-10", 5.0)
    return PineconeClient(settings, log, clock=clock, read_again=read_again)


@pytest.mark.parametrize("answer", ["the same key", PineconeError("No key."), OSError("The database is down.")])
def test_rejected_request_is_not_repeated_without_a_new_key(
    emulator: Emulator, clock: FakeClock, answer: str | Exception
) -> None:
    logged: list[str] = []
    reads: list[object] = []

    def read_again() -> Settings:
        reads.append(answer)
        clock.sleep(9)  # The second begins when the read ends.
        if isinstance(answer, Exception):
            raise answer
        return client.settings

    client = make_client(emulator, clock, read_again, logged.append)
    emulator.api_key = NEW_KEY
    for seconds in (0.0, 0.5, 0.5):
        clock.sleep(seconds)
        with pytest.raises(Unauthorized, match="HTTP 401") as caught:
            client.list_indexes()
    # Requests that are rejected within a second read the connection once.
    assert len(reads) == 2
    assert len(emulator.requests) == 3
    failed_reads = len(reads) if isinstance(answer, Exception) else 0
    assert ["Using the previous API key" in line for line in logged] == [True] * failed_reads
    for frame in frames_of(caught.value, "airflow_pinecone."):
        assert not any(API_KEY in repr(value) for value in frame.f_locals.values())


def test_a_search_at_another_control_plane_is_not_retried(
    emulator: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry would not find the backup there, and would create a second one."""
    set_connection(monkeypatch, host=emulator.url)
    task = make_task(operators.CreateBackupOperator, clock, index_name=INDEX)
    emulator.fault("POST", "*", drop="after")
    emulator.scenario.listed_after = 20
    with Emulator(NEW_KEY, [INDEX]) as other:

        def replace_connection(seconds: float) -> None:
            emulator.api_key = NEW_KEY
            set_connection(monkeypatch, host=other.url, password=NEW_KEY)

        clock.on_sleep = replace_connection
        outcome = run_try(task, TaskInstance())
        assert other.requests == []
    assert outcome.state == "failed"
    assert "now names the control plane" in outcome.message


def test_the_replaced_key_is_masked_too(clock: FakeClock, requests_mock: mock_requests.Mocker) -> None:
    """The response to a request that was sent before the key was replaced can arrive after that."""
    settings = Settings(CONN_ID, "https://api.pinecone.test", API_KEY, "2025-10", 5.0)
    requests_mock.get("/indexes", status_code=401)
    client = PineconeClient(settings, ignore, clock=clock, read_again=lambda: replace(settings, api_key=NEW_KEY))
    with pytest.raises(Unauthorized):
        client.list_indexes()
    requests_mock.get("/indexes", status_code=400, text=f"{API_KEY} and {NEW_KEY}")
    with pytest.raises(PineconeError, match=r"\*\*\* and \*\*\*"):
        client.list_indexes()


@pytest.mark.parametrize("method", ["describe_backup", "create_backup", "delete_backup"])
def test_only_the_key_is_taken_over(emulator: Emulator, clock: FakeClock, method: str) -> None:
    backup_id = emulator.add_backup(INDEX)["backup_id"]
    client = make_client(
        emulator, clock, lambda: replace(client.settings, api_key=NEW_KEY, api_version="2026-04", timeout=9.0), ignore
    )
    before = client.settings
    emulator.api_key = NEW_KEY
    getattr(client, method)(INDEX if method == "create_backup" else backup_id)
    assert [exchange.status for exchange in emulator.requests][:1] == [401]
    assert [exchange.headers["X-Pinecone-Api-Version"] for exchange in emulator.requests] == ["2025-10"] * 2
    assert client.settings == replace(before, api_key=NEW_KEY)
    assert NEW_KEY not in repr(client.settings)


def test_another_control_plane_is_an_error(emulator: Emulator, clock: FakeClock) -> None:
    """What was created exists at the previous one. The task must not search for it in another project."""
    with Emulator(NEW_KEY, [INDEX]) as other:
        client = make_client(emulator, clock, lambda: replace(client.settings, api_key=NEW_KEY, url=other.url), ignore)
        emulator.api_key = NEW_KEY
        with pytest.raises(ConnectionChanged) as caught:
            client.list_indexes()
        assert other.requests == []
    assert f"Connection {CONN_ID} now names the control plane {other.url}" in str(caught.value)
    assert emulator.url in str(caught.value)
    assert not caught.value.can_retry
    for frame in frames_of(caught.value, "airflow_pinecone."):
        assert not any(key in repr(value) for value in frame.f_locals.values() for key in (API_KEY, NEW_KEY))


def test_delete_that_was_repeated_with_a_new_key_may_find_nothing(emulator: Emulator, clock: FakeClock) -> None:
    """The first attempt, whose response was lost, has deleted the backup."""
    client = make_client(emulator, clock, lambda: replace(client.settings, api_key=NEW_KEY), ignore)
    backup_id = emulator.add_backup(INDEX)["backup_id"]
    emulator.fault("DELETE", "*", drop="after")
    emulator.fault("DELETE", "*", nth=2, status=401)

    def replace_key(_: float) -> None:
        emulator.api_key = NEW_KEY

    clock.on_sleep = replace_key
    client.delete_backup(backup_id)
    assert [exchange.status for exchange in emulator.requests] == [None, 401, 404]
    assert emulator.backups == []
