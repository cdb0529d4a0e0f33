"""PineconeClient: what each call sends, and what it makes of the response."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import requests_mock as mock_requests
from support.clients import make_client
from support.clock import FakeClock
from support.constants import API_KEY
from support.wire import Wire, hang_up

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.listing import MAX_PAGES, MAX_PAGES_WITHOUT_NEW_ROWS
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import (
    CreateOutcomeUnknown,
    PineconeConnectionError,
    PineconeInputError,
    PineconePermanentError,
    PineconeTransientError,
)
from airflow_pinecone.hooks import read_history
from airflow_pinecone.waiting.resources import RESTORE

API = "https://api.pinecone.io"
BACKUP_ID = "8c85e612-ed1c-4f97-9f8c-8194e07bcf71"
BACKUP: dict[str, Any] = {
    "backup_id": BACKUP_ID,
    "source_index_name": "docs-example",
    "source_index_id": "670e8400-e29b-41d4-a716-446655440000",
    "status": "Ready",
    "cloud": "aws",
    "region": "us-east-1",
    "created_at": None,
    "tags": {"n": 1},
    "of_a_later_version": [{"x": 1.5}],
}
INDEX: dict[str, Any] = {"name": "docs-example", "status": {"ready": True, "state": "Ready"}, "new": 1}
JOB: dict[str, Any] = {
    "restore_job_id": "r-1",
    "backup_id": BACKUP_ID,
    "target_index_name": "docs-2",
    "target_index_id": "i-2",
    "status": "Pending",
    "created_at": "2025-05-14T16:37:25.625540Z",
    "new": 1,
}
STARTED = {"restore_job_id": "r-1", "index_id": "i-2"}


def backup(number: int, **fields: Any) -> dict[str, Any]:
    return {**BACKUP, "backup_id": f"b-{number}", **fields}


@pytest.fixture
def pinecone() -> Iterator[mock_requests.Mocker]:
    """Respond to requests as the test says."""
    with mock_requests.Mocker() as mocker:
        yield mocker


@pytest.fixture
def client(clock: FakeClock) -> PineconeClient:
    """Return a client of Pinecone, whose responses the fixture `pinecone` makes."""
    return make_client(API, clock)


@pytest.fixture
def emulator_client(emulator: Emulator, clock: FakeClock) -> PineconeClient:
    """Return a client of the emulator."""
    return make_client(emulator.url, clock)


# Requests


class Call(NamedTuple):
    """A call, the request that it sends, a response, and the result."""

    run: Callable[[PineconeClient], Any]
    method: str
    path: str
    response: dict[str, Any]
    result: Any
    body: Any = None


CALLS = {
    "create_backup": Call(
        lambda client: client.create_backup("docs-example"),
        "POST",
        "/indexes/docs-example/backups",
        {"status_code": 201, "json": BACKUP},
        BACKUP,
        {},
    ),
    "create_backup with name and description": Call(
        lambda client: client.create_backup("docs-example", name="n", description=""),
        "POST",
        "/indexes/docs-example/backups",
        {"status_code": 200, "json": BACKUP},
        BACKUP,
        {"name": "n", "description": ""},
    ),
    "describe_backup": Call(
        lambda client: client.describe_backup(BACKUP_ID), "GET", f"/backups/{BACKUP_ID}", {"json": BACKUP}, BACKUP
    ),
    "list_backups": Call(
        lambda client: list(client.list_backups()), "GET", "/backups?limit=100", {"json": {"data": [BACKUP]}}, [BACKUP]
    ),
    "list_backups of an index": Call(
        lambda client: list(client.list_backups("docs-example")),
        "GET",
        "/indexes/docs-example/backups?limit=100",
        {"json": {"data": [BACKUP], "pagination": None}},
        [BACKUP],
    ),
    "find_backups": Call(
        lambda client: client.find_backups({BACKUP_ID, "b-2"}, max_pages=1),
        "GET",
        "/backups?limit=100",
        {"json": {"data": [{}, 17, {"backup_id": 17}, BACKUP], "pagination": {"next": "t"}}},
        ({BACKUP_ID: BACKUP}, 1),
    ),
    "delete_backup": Call(
        lambda client: client.delete_backup(BACKUP_ID), "DELETE", f"/backups/{BACKUP_ID}", {"status_code": 202}, None
    ),
    "list_indexes": Call(
        lambda client: client.list_indexes(),
        "GET",
        "/indexes",
        {"json": {"indexes": [{"name": "docs-example", "new": 1}]}},
        [{"name": "docs-example", "new": 1}],
    ),
    "describe_index": Call(
        lambda client: client.describe_index("docs-example"), "GET", "/indexes/docs-example", {"json": INDEX}, INDEX
    ),
    "delete_index": Call(
        lambda client: client.delete_index("docs-example"),
        "DELETE",
        "/indexes/docs-example",
        {"status_code": 202},
        None,
    ),
    "create_index_from_backup": Call(
        lambda client: client.create_index_from_backup(BACKUP_ID, name="docs-2"),
        "POST",
        f"/backups/{BACKUP_ID}/create-index",
        {"status_code": 202, "json": STARTED},
        STARTED,
        {"name": "docs-2"},
    ),
    "create_index_from_backup with tags and protection": Call(
        lambda client: client.create_index_from_backup(
            BACKUP_ID, name="docs-2", tags={"team": "search"}, deletion_protection="enabled"
        ),
        "POST",
        f"/backups/{BACKUP_ID}/create-index",
        {"status_code": 202, "json": STARTED},
        STARTED,
        {"name": "docs-2", "tags": {"team": "search"}, "deletion_protection": "enabled"},
    ),
    "describe_restore_job": Call(
        lambda client: client.describe_restore_job("r-1"), "GET", "/restore-jobs/r-1", {"json": JOB}, JOB
    ),
    "find_restore_jobs": Call(
        lambda client: client.find_restore_jobs({"r-1"}, max_pages=3),
        "GET",
        "/restore-jobs?limit=100",
        {"json": {"data": [JOB], "pagination": {"next": "t"}}},
        ({"r-1": JOB}, 1),
    ),
    "list_restore_jobs": Call(
        lambda client: list(client.list_restore_jobs()),
        "GET",
        "/restore-jobs?limit=100",
        {"json": {"data": [JOB, JOB]}},
        [JOB],
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_request_and_result_of_each_call(clock: FakeClock, pinecone: mock_requests.Mocker, call: Call) -> None:
    pinecone.request(call.method, API + call.path, **call.response)
    assert call.run(make_client(API, clock, api_version="2026-04", timeout=7.5)) == call.result
    (sent,) = pinecone.request_history
    assert (sent.method, sent.url) == (call.method, API + call.path)
    assert sent.headers["Api-Key"] == API_KEY
    assert sent.headers["X-Pinecone-Api-Version"] == "2026-04"
    assert sent.headers["User-Agent"] == f"airflow-pinecone/{version('airflow-pinecone')}"
    assert sent.headers["Accept"] == "application/json"
    assert "Authorization" not in sent.headers
    assert sent.timeout == 7.5
    assert sent.verify is True
    assert (json.loads(sent.body) if sent.body else None) == call.body
    if call.body is not None:
        assert sent.headers["Content-Type"] == "application/json"


def test_every_call_is_tested() -> None:
    methods = {name for name, value in vars(PineconeClient).items() if callable(value) and not name.startswith("_")}
    # The stats have tests of their own below: they need two requests.
    assert {name.split()[0] for name in CALLS} | {"describe_index_stats"} == methods


def test_netrc_is_ignored(
    client: PineconeClient, pinecone: mock_requests.Mocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "netrc").write_text("default login user password of-another-service\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    pinecone.get(f"{API}/indexes", json={"indexes": []})
    client.list_indexes()
    assert requests.utils.get_netrc_auth(API) == ("user", "of-another-service")
    assert "Authorization" not in pinecone.request_history[0].headers


def test_session_has_the_key_and_stays_the_same(client: PineconeClient) -> None:
    assert isinstance(client.session, requests.Session)
    assert client.session is client.session
    assert client.session.prepare_request(requests.Request("GET", API)).headers["Api-Key"] == API_KEY


@pytest.mark.parametrize("api_version", ["2025-10", "2026-04"])
def test_backup_is_created_described_listed_and_deleted(emulator: Emulator, clock: FakeClock, api_version: str) -> None:
    client = make_client(emulator.url, clock, api_version=api_version)
    created = client.create_backup("docs-example", name="nightly", description="why")
    assert created["status"] == "Initializing"
    assert (created["name"], created["description"]) == ("nightly", "why")
    assert client.describe_backup(created["backup_id"])["status"] == "Ready"
    assert [backup["backup_id"] for backup in client.list_backups("docs-example")] == [created["backup_id"]]
    client.delete_backup(created["backup_id"])
    assert list(client.list_backups()) == emulator.backups == []
    assert {exchange.headers["X-Pinecone-Api-Version"] for exchange in emulator.requests} == {api_version}


def test_models_pass_through_untouched(emulator: Emulator, emulator_client: PineconeClient) -> None:
    added = emulator.add_backup(
        "docs-example", created_at=None, description=None, record_count=..., new_field=[1, None], tags={"n": 1}
    )
    assert "record_count" not in added
    assert emulator_client.describe_backup(added["backup_id"]) == added
    assert list(emulator_client.list_backups()) == [added]


# Invalid names and ids; all invalid values are in test_validation.py


@pytest.mark.parametrize("name", ["", "Docs", "../backups", "docs\n", 5])
def test_invalid_index_name_is_not_sent(client: PineconeClient, pinecone: mock_requests.Mocker, name: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: client.create_backup(name),
        lambda: next(client.list_backups(name)),
        lambda: client.describe_index(name),
        lambda: client.delete_index(name),
        lambda: client.describe_index_stats(name),
        lambda: client.create_index_from_backup(BACKUP_ID, name=name),
    ]
    for call in calls:
        with pytest.raises(PineconeInputError, match="valid index name"):
            call()
    assert pinecone.request_history == []


@pytest.mark.parametrize("resource_id", ["", "a/b", "..", "None", "a\n", 5])
def test_invalid_id_is_not_sent(client: PineconeClient, pinecone: mock_requests.Mocker, resource_id: Any) -> None:
    calls: list[tuple[str, Callable[[], object]]] = [
        ("backup", lambda: client.describe_backup(resource_id)),
        ("backup", lambda: client.delete_backup(resource_id)),
        ("backup", lambda: client.create_index_from_backup(resource_id, name="docs-2")),
        ("restore job", lambda: client.describe_restore_job(resource_id)),
    ]
    for resource, call in calls:
        with pytest.raises(PineconeInputError, match=f"valid {resource} id"):
            call()
    assert pinecone.request_history == []


# Paging


@pytest.mark.parametrize("value", [5, 42, True, ["x"], {"a": 1}, b"x"], ids=repr)
@pytest.mark.parametrize("field", ["name", "description"])
def test_text_of_a_backup_must_be_a_string(
    client: PineconeClient, pinecone: mock_requests.Mocker, field: str, value: Any
) -> None:
    with pytest.raises(PineconeInputError, match=f"^{field} must be a string, not "):
        client.create_backup("docs-example", **{field: value})
    assert pinecone.request_history == []


def test_list_reads_all_pages(emulator: Emulator, emulator_client: PineconeClient) -> None:
    added = {emulator.add_backup("docs-example")["backup_id"] for _ in range(230)}
    other = emulator.add_backup("other-index")["backup_id"]
    assert {backup["backup_id"] for backup in emulator_client.list_backups("docs-example")} == added
    first, second, third = emulator.requests
    assert first.query == {"limit": "100"}
    assert set(second.query) == set(third.query) == {"paginationToken"}
    assert {backup["backup_id"] for backup in emulator_client.list_backups()} == added | {other}


# The backups of deleted indexes


def test_backups_of_a_deleted_index_are_listed(emulator: Emulator, emulator_client: PineconeClient) -> None:
    emulator.add_backup("docs-example-2")
    added = [emulator.add_backup("docs-example") for _ in range(2)]
    emulator_client.delete_index("docs-example")
    history = read_history(emulator_client, "docs-example")
    assert [row.backup for row in history.rows] == sorted(added, key=lambda row: row["created_at"], reverse=True)
    assert history.index_exists is False


def test_name_of_neither_an_index_nor_a_backup_is_an_error(emulator: Emulator, emulator_client: PineconeClient) -> None:
    emulator.add_backup("docs-example")
    with pytest.raises(PineconePermanentError, match="list the backups of index no-such: HTTP 404") as caught:
        read_history(emulator_client, "no-such")
    assert caught.value.status_code == 404


@pytest.mark.parametrize(("include", "numbers"), [(False, [1]), (True, [1, 2])])
def test_backups_of_earlier_indexes_are_searched_in_the_project(
    client: PineconeClient, pinecone: mock_requests.Mocker, include: bool, numbers: list[int]
) -> None:
    """Later versions of the API list only the backups of the current index by its name."""
    earlier = backup(2, source_index_id="i-0")
    pinecone.get(f"{API}/indexes/docs-example/backups", json={"data": [backup(1)]})
    project = [backup(1), earlier, backup(3, source_index_name="other"), backup(4, source_index_name=None)]
    pinecone.get(f"{API}/backups", json={"data": project})
    history = read_history(client, "docs-example", include_deleted_indexes=include)
    assert sorted(row.backup["backup_id"] for row in history.rows) == [f"b-{number}" for number in numbers]
    assert history.index_exists is True


def test_index_that_is_deleted_between_two_pages(client: PineconeClient, pinecone: mock_requests.Mocker) -> None:
    page = {"data": [backup(1)], "pagination": {"next": "t"}}
    pinecone.get(f"{API}/indexes/docs-example/backups", [{"json": page}, {"status_code": 404, "text": "no"}])
    pinecone.get(f"{API}/backups", json={"data": [backup(2), backup(1)]})
    history = read_history(client, "docs-example")
    assert sorted(row.backup["backup_id"] for row in history.rows) == ["b-1", "b-2"]
    assert history.index_exists is False


@pytest.mark.parametrize("status", [401, 403, 422])
def test_other_rejections_do_not_list_the_project(
    client: PineconeClient, pinecone: mock_requests.Mocker, status: int
) -> None:
    pinecone.get(f"{API}/indexes/docs-example/backups", status_code=status, text="no")
    with pytest.raises(PineconePermanentError, match=f"HTTP {status}"):
        read_history(client, "docs-example")
    assert len(pinecone.request_history) == 1


def test_project_that_cannot_be_listed_is_an_error(client: PineconeClient, pinecone: mock_requests.Mocker) -> None:
    """It is then unknown which backups the deleted index has."""
    pinecone.get(f"{API}/indexes/docs-example/backups", status_code=404, text="no")
    pinecone.get(f"{API}/backups", status_code=503, text="no")
    with pytest.raises(PineconeTransientError, match="HTTP 503"):
        read_history(client, "docs-example", retry=False)


def test_list_requests_a_page_when_it_reaches_it(emulator: Emulator, emulator_client: PineconeClient) -> None:
    for _ in range(150):
        emulator.add_backup("docs-example")
    backups = emulator_client.list_backups()
    assert emulator.requests == []
    for _ in range(100):
        next(backups)
    assert len(emulator.requests) == 1
    next(backups)
    assert len(emulator.requests) == 2


def test_row_on_two_pages_is_listed_once(client: PineconeClient, pinecone: mock_requests.Mocker) -> None:
    pages = [
        {"data": [backup(1), backup(2)], "pagination": {"next": "t/1+="}},
        {"data": [], "pagination": {"next": "t2"}},
        {"data": [backup(2, status="Failed"), backup(3)], "pagination": {}},
    ]
    pinecone.get(f"{API}/backups", [{"json": page} for page in pages])
    assert [backup["backup_id"] for backup in client.list_backups()] == ["b-1", "b-2", "b-3"]
    queries = [parse_qs(urlsplit(request.url).query) for request in pinecone.request_history]
    assert queries == [{"limit": ["100"]}, {"paginationToken": ["t/1+="]}, {"paginationToken": ["t2"]}]


@pytest.mark.parametrize(
    "last",
    [
        {},
        {"pagination": {}},
        {"pagination": {"next": None}},
        {"pagination": {"next": ""}},
        *({"pagination": invalid} for invalid in (None, [], ["x"], "x", 5, True)),
    ],
    ids=str,
)
def test_last_page(client: PineconeClient, pinecone: mock_requests.Mocker, last: dict[str, Any]) -> None:
    pinecone.get(f"{API}/backups", json={"data": [backup(1)], **last})
    assert len(list(client.list_backups())) == 1
    assert len(pinecone.request_history) == 1


@pytest.mark.parametrize("token", ["same", 5, {"a": 1}, ["x"]])
def test_repeated_page_token_is_an_error(client: PineconeClient, pinecone: mock_requests.Mocker, token: Any) -> None:
    pinecone.get(f"{API}/backups", json={"data": [backup(1)], "pagination": {"next": token}})
    with pytest.raises(PineconeTransientError, match="page token"):
        list(client.list_backups())
    assert len(pinecone.request_history) == 2


def serve_pages(pinecone: mock_requests.Mocker, rows: Callable[[int], list[dict[str, Any]]], pages: int) -> None:
    """Respond with pages, each with a token of its own; ``rows`` returns those of a page, and the last has no token."""
    numbers = itertools.count()

    def page(request: Any, context: Any) -> dict[str, Any]:
        number = next(numbers)
        return {"data": rows(number), "pagination": {"next": f"t-{number}"} if number < pages - 1 else None}

    pinecone.get(f"{API}/backups", json=page)


@pytest.mark.parametrize("rows", [lambda _: [], lambda _: [backup(1)]], ids=["empty", "the same row"])
def test_listing_without_news_ends_with_an_error(
    client: PineconeClient, pinecone: mock_requests.Mocker, rows: Callable[[int], list[dict[str, Any]]]
) -> None:
    serve_pages(pinecone, rows, pages=10**9)
    with pytest.raises(
        PineconeTransientError, match=r"list the backups .* a next page after 20 pages without a new row"
    ):
        list(client.list_backups())
    assert MAX_PAGES_WITHOUT_NEW_ROWS <= len(pinecone.request_history) <= MAX_PAGES_WITHOUT_NEW_ROWS + 1


def test_listing_without_an_end_is_an_error(client: PineconeClient, pinecone: mock_requests.Mocker) -> None:
    serve_pages(pinecone, lambda number: [backup(number)], pages=10**9)
    with pytest.raises(PineconeTransientError, match=r"list the backups .* a next page after 1000 pages"):
        list(client.list_backups())
    assert len(pinecone.request_history) == MAX_PAGES


@pytest.mark.parametrize(
    ("rows", "pages", "count"),
    [
        (lambda number: [backup(number)], MAX_PAGES, MAX_PAGES),
        # Rows come back between pages without news.
        (lambda number: [] if number % MAX_PAGES_WITHOUT_NEW_ROWS else [backup(number)], 101, 6),
        # The last page has no token, so it may be one without news.
        (lambda _: [], MAX_PAGES_WITHOUT_NEW_ROWS, 0),
    ],
    ids=["the greatest number of pages", "pages without news", "empty"],
)
def test_long_listing(
    client: PineconeClient,
    pinecone: mock_requests.Mocker,
    rows: Callable[[int], list[dict[str, Any]]],
    pages: int,
    count: int,
) -> None:
    serve_pages(pinecone, rows, pages)
    assert len(list(client.list_backups())) == count
    assert len(pinecone.request_history) == pages


def test_page_token_that_cannot_be_sent_is_an_error(client: PineconeClient, pinecone: mock_requests.Mocker) -> None:
    pinecone.get(f"{API}/backups", text=json.dumps({"data": [], "pagination": {"next": "\ud800"}}))
    with pytest.raises(PineconeTransientError):
        list(client.list_backups())


# Checks of responses


@pytest.mark.parametrize(
    "response",
    [
        *(None, [], "x", 5, {}, {"data": None}, {"data": {}}, {"data": [None]}, {"data": ["x"]}),
        *({"data": [{"backup_id": "b"}]}, {"data": [backup(1, backup_id=5)]}, {"data": [backup(1, status=None)]}),
    ],
    ids=lambda response: str(response)[:50],
)
def test_not_a_list_of_backups(client: PineconeClient, pinecone: mock_requests.Mocker, response: Any) -> None:
    pinecone.get(f"{API}/backups", json=response)
    with pytest.raises(PineconeTransientError, match="list the backups of the project"):
        list(client.list_backups())


@pytest.mark.parametrize(
    "response",
    [
        *(None, [], "x", {}, {"backup_id": BACKUP_ID}, backup(1), BACKUP | {"status": 5}, {"data": [BACKUP]}),
        *(BACKUP | {"status": status} for status in ("Ready\n", "Re\0ady", "\ud800", "x" * 129)),
        *(BACKUP | {"source_index_name": name} for name in (5, ["docs"], {"a": 1}, "two\nlines", "x" * 129)),
        *(BACKUP | {"source_index_id": index_id} for index_id in (True, [1])),
    ],
    ids=range(19),
)
def test_not_the_backup(client: PineconeClient, pinecone: mock_requests.Mocker, response: Any) -> None:
    pinecone.get(f"{API}/backups/{BACKUP_ID}", json=response)
    with pytest.raises(PineconeTransientError, match=f"describe backup {BACKUP_ID}"):
        client.describe_backup(BACKUP_ID)


@pytest.mark.parametrize("backup_id", ["", "a/b", "..", "a b", "a\n", "x" * 129, "\u202e"])
def test_invalid_id_in_a_response(client: PineconeClient, pinecone: mock_requests.Mocker, backup_id: str) -> None:
    response = BACKUP | {"backup_id": backup_id}
    pinecone.get(f"{API}/backups", json={"data": [response]})
    pinecone.post(f"{API}/indexes/docs-example/backups", json=response)
    with pytest.raises(PineconeTransientError, match="is not a backup with backup_id"):
        list(client.list_backups())
    with pytest.raises(CreateOutcomeUnknown, match="is not a backup with backup_id"):
        client.create_backup("docs-example")


@pytest.mark.parametrize("fields", [{}, {"source_index_name": None, "source_index_id": None}, {"status": "x" * 128}])
def test_backup_with_few_fields(client: PineconeClient, pinecone: mock_requests.Mocker, fields: dict[str, Any]) -> None:
    response = {"backup_id": BACKUP_ID, "status": "", **fields}
    pinecone.get(f"{API}/backups/{BACKUP_ID}", json=response)
    assert client.describe_backup(BACKUP_ID) == response


@pytest.mark.parametrize("row", [None, "docs", [], {}, {"name": 5}, {"name": ""}, {"name": "two\nlines"}], ids=str)
def test_not_a_list_of_indexes(client: PineconeClient, pinecone: mock_requests.Mocker, row: Any) -> None:
    pinecone.get(f"{API}/indexes", json={"indexes": [INDEX, row]})
    with pytest.raises(PineconeTransientError, match=r"list the indexes: .* not an index with name"):
        client.list_indexes()


@pytest.mark.parametrize("response", [None, [], "x", {}, INDEX | {"name": "other"}, INDEX | {"status": "Ready"}])
def test_not_the_index(client: PineconeClient, pinecone: mock_requests.Mocker, response: Any) -> None:
    pinecone.get(f"{API}/indexes/docs-example", json=response)
    with pytest.raises(PineconeTransientError, match="describe index docs-example"):
        client.describe_index("docs-example", retry=False)


@pytest.mark.parametrize(
    "response",
    [
        *(None, [], {}, JOB | {"restore_job_id": "r-2"}, JOB | {"status": None}, JOB | {"target_index_id": 5}),
        *({field: value for field, value in JOB.items() if field != missing} for missing in list(JOB)[:3]),
    ],
    ids=range(9),
)
def test_not_the_restore_job(client: PineconeClient, pinecone: mock_requests.Mocker, response: Any) -> None:
    pinecone.get(f"{API}/restore-jobs/r-1", json=response)
    with pytest.raises(PineconeTransientError, match="describe restore job r-1"):
        client.describe_restore_job("r-1", retry=False)


@pytest.mark.parametrize("response", [None, [], {}, {"restore_job_id": "r-1"}, {"index_id": "i-2"}], ids=str)
def test_not_a_started_restore(client: PineconeClient, pinecone: mock_requests.Mocker, response: Any) -> None:
    pinecone.post(f"{API}/backups/b-1/create-index", json=response)
    with pytest.raises(CreateOutcomeUnknown, match="restore backup b-1 into index docs-2"):
        client.create_index_from_backup("b-1", name="docs-2")
    assert len(pinecone.request_history) == 1


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "-Infinity",
        "1e999",
        "9" * 20,
        '"\\ud800"',
        '{"\\udc00": 1}',
        "[" * 101 + "]" * 101,
        "[" * 900 + "]" * 900,
    ],
    ids=lambda value: value[:20],
)
def test_value_that_xcom_cannot_store(client: PineconeClient, pinecone: mock_requests.Mocker, value: str) -> None:
    pinecone.get(f"{API}/backups/{BACKUP_ID}", text=f'{json.dumps(BACKUP)[:-1]}, "new": {value}}}')
    with pytest.raises(PineconeTransientError, match="not a response from Pinecone"):
        client.describe_backup(BACKUP_ID)


def test_values_that_xcom_can_store(client: PineconeClient, pinecone: mock_requests.Mocker) -> None:
    response = BACKUP | {
        "new": [None, True, 2**62, -1.5, "\U0001f5c3\0", {}, []],
        "deep": json.loads("[" * 90 + "]" * 90),
    }
    pinecone.get(f"{API}/backups/{BACKUP_ID}", json=response)
    assert client.describe_backup(BACKUP_ID) == response


# Restores


@pytest.mark.parametrize("index_id", [None, "", ...])
def test_index_id_of_a_restore_may_be_missing(
    client: PineconeClient, pinecone: mock_requests.Mocker, index_id: Any
) -> None:
    job = {field: value for field, value in JOB.items() if field != "target_index_id"}
    pinecone.get(f"{API}/restore-jobs/r-1", json=job if index_id is ... else job | {"target_index_id": index_id})
    restore: Any = RESTORE.poll(client, "r-1")
    assert restore["index_id"] == ""


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"ready": True, "state": "?"}, True),
        ({"ready": False, "state": "?"}, False),
        ({"ready": "yes", "state": "?"}, False),
        ({"state": "?"}, False),
    ],
)
def test_restore_is_ready_when_its_index_is_ready(
    client: PineconeClient, pinecone: mock_requests.Mocker, status: dict[str, Any], ready: bool
) -> None:
    pinecone.get(f"{API}/restore-jobs/r-1", json=JOB | {"status": "Completed"})
    pinecone.get(f"{API}/indexes/docs-2", json=INDEX | {"name": "docs-2", "status": status})
    restore: Any = RESTORE.poll(client, "r-1")
    assert restore["index_ready"] is ready


# Messages of errors: what failed, why, and what to do

HINTS_403 = ["quota", "paid plan", "deletion protection", "lacks permission"]
FORBIDDEN = {
    "Increase your quota or upgrade to create more backups.": "quota",
    "Backups exceed the maximum; resource exhausted": "quota",
    "Backups are not available on the Starter plan.": "paid plan",
    "Please upgrade to use this feature": "paid plan",
    "Deletion protection is enabled for this index. Disable it.": "deletion protection",
    "Forbidden": "lacks permission",
    "": "lacks permission",
}
REJECTIONS = [
    (400, "INVALID_ARGUMENT", "Index is pod-based", "cannot back up pod-based indexes"),
    (401, "UNAUTHENTICATED", "Invalid API Key", "Check the API key in the password field of connection"),
    (402, "PAYMENT_REQUIRED", "Pay up", "past-due invoices"),
    *((403, "FORBIDDEN", message, hint) for message, hint in FORBIDDEN.items()),
    (404, "NOT_FOUND", "Resource docs-example not found", "Check the name or id"),
    (422, "UNPROCESSABLE_ENTITY", "Failed to deserialize", "Check the name and the description"),
]


@pytest.mark.parametrize(("status", "code", "message", "hint"), REJECTIONS)
def test_rejection_names_the_call_the_cause_and_the_remedy(
    client: PineconeClient, pinecone: mock_requests.Mocker, status: int, code: str, message: str, hint: str
) -> None:
    pinecone.post(
        f"{API}/indexes/docs-example/backups",
        status_code=status,
        json={"status": status, "error": {"code": code, "message": message, "details": {}}},
        headers={"x-pinecone-request-id": "req-7"},
    )
    with pytest.raises(PineconePermanentError) as caught:
        client.create_backup("docs-example")
    error, text = caught.value, str(caught.value)
    assert (error.status_code, error.code, error.message, error.request_id) == (status, code, message, "req-7")
    assert text.startswith(f"Could not create a backup of index docs-example: HTTP {status} {code}")
    assert message in text
    assert "req-7" in text
    remedy = text.replace(message, "") if message else text
    assert hint in remedy
    # A 403 has four meanings. Each has its own remedy.
    assert [other for other in HINTS_403 if other in remedy] == ([hint] if status == 403 else [])


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda client: client.delete_backup(BACKUP_ID), "restore from this backup is running"),
        (lambda client: client.create_index_from_backup(BACKUP_ID, name="docs-2"), "The backup is not Ready"),
    ],
    ids=["delete", "restore"],
)
def test_meaning_of_412(
    client: PineconeClient, pinecone: mock_requests.Mocker, call: Callable[[PineconeClient], Any], hint: str
) -> None:
    error = {"error": {"code": "FAILED_PRECONDITION", "message": "m"}}
    pinecone.register_uri(mock_requests.ANY, re.compile(API), status_code=412, json=error)
    with pytest.raises(PineconePermanentError, match=rf"backup {BACKUP_ID}.*HTTP 412.*{hint}"):
        call(client)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("This key may not use the control plane.", "lacks permission"),
        ("You've reached the max serverless indexes. Upgrade your plan.", "Upgrade the plan"),
        ("Index quota exhausted", "quota of indexes"),
    ],
)
def test_403_of_a_restore_gives_no_advice_about_backups(
    client: PineconeClient, pinecone: mock_requests.Mocker, message: str, hint: str
) -> None:
    error = {"error": {"code": "FORBIDDEN", "message": message}}
    pinecone.post(f"{API}/backups/{BACKUP_ID}/create-index", status_code=403, json=error)
    with pytest.raises(PineconePermanentError, match=hint) as caught:
        client.create_index_from_backup(BACKUP_ID, name="docs-2")
    assert "does not include backups" not in str(caught.value)
    assert "quota of backups" not in str(caught.value)


def test_hint_about_pod_based_indexes_is_only_for_backups(
    client: PineconeClient, pinecone: mock_requests.Mocker
) -> None:
    pinecone.get(f"{API}/indexes", status_code=400, text="no")
    with pytest.raises(PineconePermanentError) as caught:
        client.list_indexes()
    assert "pod-based" not in str(caught.value)


def test_rejections_of_the_emulator(emulator: Emulator, emulator_client: PineconeClient, clock: FakeClock) -> None:
    with pytest.raises(PineconePermanentError, match=r"Index no-such not found.*Check the name or id"):
        emulator_client.create_backup("no-such")
    with pytest.raises(PineconePermanentError, match="list the backups of index no-such: HTTP 404"):
        list(emulator_client.list_backups("no-such"))
    emulator.scenario.quota = 0
    with pytest.raises(PineconePermanentError, match=r"HTTP 403 .* quota of backups") as caught:
        emulator_client.create_backup("docs-example")
    assert caught.value.request_id == emulator.requests[-1].request_id
    assert caught.value.request_id in str(caught.value)
    with pytest.raises(PineconePermanentError, match=r"HTTP 401 .*connection pinecone_default"):
        make_client(emulator.url, clock, api_key="wrong-key-000").list_indexes()


def test_request_id_in_the_common_header(client: PineconeClient, pinecone: mock_requests.Mocker) -> None:
    pinecone.get(f"{API}/indexes", status_code=404, text="no", headers={"X-Request-Id": "req-8"})
    with pytest.raises(PineconePermanentError, match="req-8") as caught:
        client.list_indexes()
    assert caught.value.request_id == "req-8"


def test_control_characters_of_a_response_are_not_quoted(
    client: PineconeClient, pinecone: mock_requests.Mocker
) -> None:
    error = {"error": {"code": "a\ud800\x1b[31m", "message": "\ud800" * 1000}}
    pinecone.get(f"{API}/indexes", status_code=400, json=error, headers={"x-request-id": "\x1b[0m"})
    with pytest.raises(PineconePermanentError) as caught:
        client.list_indexes()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_refused_connection_names_the_host(clock: FakeClock) -> None:
    with Wire(hang_up) as wire:
        pass
    with pytest.raises(PineconeConnectionError, match=f"list the indexes at {wire.url}: .*refused") as caught:
        make_client(wire.url, clock).list_indexes(retry=False)
    assert not caught.value.sent
    assert caught.value.status_code is None


# The data plane: hosts to which the API key may be sent


def test_stats_come_from_the_host_of_the_index(emulator: Emulator, emulator_client: PineconeClient) -> None:
    emulator.add_index("other", records=7)
    assert emulator_client.describe_index_stats("docs-example")["totalVectorCount"] == 96
    assert emulator_client.describe_index_stats("other")["totalVectorCount"] == 7
    sent, _ = [exchange for exchange in emulator.requests if exchange.method == "POST"]
    assert sent.body == {}
    assert sent.headers["X-Pinecone-Api-Version"] == "2025-10"


def test_stats_are_not_requested_again_after_a_lost_response(
    emulator: Emulator, emulator_client: PineconeClient, clock: FakeClock
) -> None:
    emulator.fault("POST", "/data-plane/*/describe_index_stats", drop="after")
    with pytest.raises(PineconeTransientError, match="stats of index docs-example"):
        emulator_client.describe_index_stats("docs-example")
    assert clock.slept == []


@pytest.mark.parametrize("response", [None, [], 5, "x"])
def test_not_the_stats(emulator: Emulator, emulator_client: PineconeClient, response: Any) -> None:
    body = json.dumps(response).encode()
    emulator.fault("POST", "/data-plane/*/describe_index_stats", status=200, body=body)
    with pytest.raises(PineconeTransientError, match="stats of index docs-example"):
        emulator_client.describe_index_stats("docs-example")


def serve_index(pinecone: mock_requests.Mocker, host: Any, control_plane: str = API) -> None:
    """Let the control plane describe an index with some host, and let every host return stats."""
    index = {"name": "docs", "host": host, "status": {"ready": True}}
    pinecone.get(f"{control_plane}/indexes/docs", json=index)
    pinecone.post(mock_requests.ANY, json={"totalVectorCount": 3})


def data_plane_urls(pinecone: mock_requests.Mocker) -> list[str]:
    return [request.url for request in pinecone.request_history if request.method == "POST"]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("docs-abc.svc.aped-1.pinecone.io", "https://docs-abc.svc.aped-1.pinecone.io/describe_index_stats"),
        ("https://docs-abc.svc.pinecone.io:443/", "https://docs-abc.svc.pinecone.io/describe_index_stats"),
        ("http://127.0.0.1:5080/data-plane/x", "http://127.0.0.1:5080/data-plane/x/describe_index_stats"),
        ("http://[::1]:5080", "http://[::1]:5080/describe_index_stats"),
    ],
)
def test_url_of_the_data_plane(client: PineconeClient, pinecone: mock_requests.Mocker, host: str, url: str) -> None:
    serve_index(pinecone, host)
    assert client.describe_index_stats("docs") == {"totalVectorCount": 3}
    (sent,) = data_plane_urls(pinecone)
    assert sent.replace(":443/", "/") == url
    assert pinecone.request_history[-1].headers["Api-Key"] == API_KEY


def test_plain_http_only_to_the_host_of_the_connection(clock: FakeClock, pinecone: mock_requests.Mocker) -> None:
    client = make_client("http://emulator:5080", clock)
    serve_index(pinecone, "http://elsewhere:5080/x", control_plane="http://emulator:5080")
    with pytest.raises(PineconePermanentError, match=r"stats of index docs: .*unencrypted"):
        client.describe_index_stats("docs")
    assert data_plane_urls(pinecone) == []
    serve_index(pinecone, "http://emulator:5080/x", control_plane="http://emulator:5080")
    client.describe_index_stats("docs")
    assert data_plane_urls(pinecone) == ["http://emulator:5080/x/describe_index_stats"]


@pytest.mark.parametrize(
    "host",
    [
        "http://docs-abc.svc.pinecone.io",
        "http://127.0.0.1.example.com",
        "http://localhost@example.com",
        "https://user:word@example.com",
        "ftp://example.com",
        "example.com?x=1",
        "example.com#x",
        "exa mple.com",
        "[::ffff:999.1.1.1]",
        "[2001:db8::7]",
        "x" * 254,
        "a..b",
        "-a.example.com",
        "https://example.com.",
        "x" * 64 + ".example.com",
        "example.com:" + "9" * 6,
        "example.com/" + "x" * 100,
        "",
        None,
        5,
    ],
)
def test_key_is_not_sent_to_an_invalid_host(client: PineconeClient, pinecone: mock_requests.Mocker, host: Any) -> None:
    serve_index(pinecone, host)
    with pytest.raises(PineconePermanentError, match="stats of index docs") as caught:
        client.describe_index_stats("docs")
    assert data_plane_urls(pinecone) == []
    assert not caught.value.can_retry
    assert len(str(caught.value)) < 800
