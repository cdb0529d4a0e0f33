"""What the client does differently in each version of the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from requests_mock import Mocker
from support.clients import make_client
from support.clock import FakeClock
from support.constants import API_KEY, INDEX
from support.tasks import Connect

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.models import count_of
from airflow_pinecone.api.settings import API_VERSIONS, Settings
from airflow_pinecone.errors import NotFound, PineconeInputError
from airflow_pinecone.hooks import PineconeHook

API = "https://api.pinecone.io"
BEFORE_2026_07 = ("2025-10", "2026-04")
SINCE_2026_07 = ("2026-07", "unstable")
NOT_FOUND = {"status": 404, "error": {"code": "NOT_FOUND", "message": "Index docs-example not found"}}


@pytest.fixture
def pinecone() -> Iterator[Mocker]:
    with Mocker() as mocker:
        yield mocker


def client_of(version: str, clock: FakeClock) -> PineconeClient:
    return make_client(API, clock, api_version=version)


def backup(backup_id: str, index_id: str = "i-1", name: str = INDEX, **fields: Any) -> dict[str, Any]:
    return {"backup_id": backup_id, "source_index_name": name, "source_index_id": index_id, "status": "Ready", **fields}


@pytest.mark.parametrize("version", API_VERSIONS)
def test_versions_are_in_order(version: str) -> None:
    settings = Settings("c", API, API_KEY, version, 1.0)
    reached = [other for other in API_VERSIONS if settings.is_since(other)]
    assert reached == list(API_VERSIONS[: API_VERSIONS.index(version) + 1])


def test_unstable_version_is_warned_of_once(connect: Connect, logged: Any) -> None:
    warning = "uses the API version unstable: Pinecone may change it at any time"
    connect(api_version="unstable")
    hook = PineconeHook()
    assert hook.settings.api_version == "unstable"
    # Airflow 2 prints it, too.
    count = logged().count(warning)
    assert count > 0
    assert hook.settings.api_version == "unstable"
    connect(api_version="2026-07")
    assert PineconeHook().settings.api_version == "2026-07"
    assert logged().count(warning) == count


# The name of a backup

INVALID_NAMES = ["", "Nightly", "nightly_1", "-nightly", "nightly-", "n" * 46, "nächtlich", "a b"]


@pytest.mark.parametrize("version", SINCE_2026_07)
@pytest.mark.parametrize("name", INVALID_NAMES)
def test_invalid_backup_name_is_not_sent(pinecone: Mocker, clock: FakeClock, version: str, name: str) -> None:
    with pytest.raises(PineconeInputError, match="is not a valid backup name"):
        client_of(version, clock).create_backup(INDEX, name=name)
    assert pinecone.request_history == []


@pytest.mark.parametrize("version", BEFORE_2026_07)
@pytest.mark.parametrize("name", INVALID_NAMES)
def test_earlier_versions_accept_any_name(pinecone: Mocker, clock: FakeClock, version: str, name: str) -> None:
    pinecone.post(f"{API}/indexes/{INDEX}/backups", status_code=201, json=backup("b-1"))
    client_of(version, clock).create_backup(INDEX, name=name)
    assert pinecone.request_history[0].json() == {"name": name}


@pytest.mark.parametrize("version", API_VERSIONS)
@pytest.mark.parametrize("name", [None, "n", "n" * 45, "nightly-2026"])
def test_valid_backup_name_is_sent(pinecone: Mocker, clock: FakeClock, version: str, name: str | None) -> None:
    pinecone.post(f"{API}/indexes/{INDEX}/backups", status_code=201, json=backup("b-1"))
    client_of(version, clock).create_backup(INDEX, name=name)
    assert pinecone.request_history[0].json() == ({} if name is None else {"name": name})


# Backups of deleted indexes


@pytest.mark.parametrize("version", SINCE_2026_07)
def test_backups_of_deleted_indexes_are_requested_on_each_page(
    pinecone: Mocker, clock: FakeClock, version: str
) -> None:
    pages: list[Any] = [
        {"json": {"data": [backup("b-1")], "pagination": {"next": "t"}}},
        {"json": {"data": [backup("b-2", "i-0", source_index_deleted_at="2026-07-01T00:00:00Z")]}},
    ]
    pinecone.get(f"{API}/indexes/{INDEX}/backups", pages)
    rows = client_of(version, clock).list_backups(INDEX, include_deleted=True)
    assert [row["backup_id"] for row in rows] == ["b-1", "b-2"]
    assert [request.qs.get("include_deleted") for request in pinecone.request_history] == [["true"], ["true"]]


@pytest.mark.parametrize("version", BEFORE_2026_07)
def test_earlier_versions_list_the_project_for_backups_of_deleted_indexes(
    pinecone: Mocker, clock: FakeClock, version: str
) -> None:
    pinecone.get(f"{API}/backups", json={"data": [backup("b-1"), backup("b-2", name="other"), backup("b-3", "i-0")]})
    rows = client_of(version, clock).list_backups(INDEX, include_deleted=True)
    assert [row["backup_id"] for row in rows] == ["b-1", "b-3"]
    assert "include_deleted" not in pinecone.request_history[0].qs


@pytest.mark.parametrize("version", SINCE_2026_07)
def test_backups_of_a_name_without_an_index_are_found(pinecone: Mocker, clock: FakeClock, version: str) -> None:
    url = f"{API}/indexes/{INDEX}/backups"
    deleted = backup("b-1", source_index_deleted_at="2026-07-01T00:00:00Z")
    pinecone.get(url, status_code=404, json=NOT_FOUND)
    pinecone.get(f"{url}?include_deleted=true", json={"data": [deleted]})
    assert client_of(version, clock).find_backups_of_name(INDEX) == ([deleted], False)


@pytest.mark.parametrize("version", API_VERSIONS)
def test_unknown_name_is_not_found(pinecone: Mocker, clock: FakeClock, version: str) -> None:
    pinecone.get(f"{API}/indexes/{INDEX}/backups", status_code=404, json=NOT_FOUND)
    pinecone.get(f"{API}/backups", json={"data": []})
    with pytest.raises(NotFound):
        client_of(version, clock).find_backups_of_name(INDEX)


# The read capacity of a restored index

CAPACITY = {"mode": "Dedicated", "dedicated": {"node_type": "b1"}}


@pytest.mark.parametrize("version", API_VERSIONS[1:])
def test_read_capacity_is_sent(pinecone: Mocker, clock: FakeClock, version: str) -> None:
    # From version 2026-07 on, the id of the index may be missing.
    pinecone.post(f"{API}/backups/b-1/create-index", status_code=202, json={"restore_job_id": "r-1"})
    started = client_of(version, clock).create_index_from_backup("b-1", name="docs-2", read_capacity=CAPACITY)
    assert started == {"restore_job_id": "r-1"}
    assert pinecone.request_history[0].json() == {"name": "docs-2", "read_capacity": CAPACITY}


def test_read_capacity_is_refused_by_a_version_that_does_not_have_it(pinecone: Mocker, clock: FakeClock) -> None:
    with pytest.raises(PineconeInputError, match="read_capacity needs API version 2026-04") as error:
        client_of("2025-10", clock).create_index_from_backup("b-1", name="docs-2", read_capacity=CAPACITY)
    assert '{"api_version": "2026-07"} in the extra field' in str(error.value)
    assert pinecone.request_history == []


# Integers of 64 bits


@pytest.mark.parametrize(
    ("value", "count"),
    [
        *[(5, 5), ("5", 5), ("0", 0), ("9223372036854775807", 2**63 - 1)],
        *[(value, None) for value in ("9223372036854775808", "-1", "5.0", "", "five", " 5", "5 ", "\u0665", 5.0, True)],
        *[(value, None) for value in (None, [5], "9" * 10_000)],
    ],
)
def test_count_can_be_a_text(value: Any, count: int | None) -> None:
    assert count_of(value) == count
