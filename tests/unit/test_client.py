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
from requests_mock import ANY, Mocker
from support.clients import make_client
from support.clock import FakeClock
from support.constants import API_KEY

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.listing import MAX_PAGES, MAX_PAGES_WITHOUT_NEW_ROWS
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import (
    CreateOutcomeUnknown,
    PineconeInputError,
    PineconePermanentError,
    PineconeTransientError,
    QuotaExceeded,
)
from airflow_pinecone.reading import read_history
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
    "description": None,
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
def pinecone() -> Iterator[Mocker]:
    """Respond to requests as the test says."""
    with Mocker() as mocker:
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
    """A call, the request that it sends, a response, the result if it is not the response, and the body."""

    run: Callable[[PineconeClient], Any]
    request: str
    response: Any
    status: int = 200
    result: Any = ...
    body: Any = None

    def serve(self, pinecone: Mocker, **response: Any) -> None:
        """Respond to the request."""
        method, path = self.request.split()
        pinecone.request(method, API + path, **response)


CALLS = {
    "create_backup": Call(
        lambda client: client.create_backup("docs-example"),
        "POST /indexes/docs-example/backups",
        BACKUP,
        status=201,
        body={},
    ),
    "create_backup with name and description": Call(
        lambda client: client.create_backup("docs-example", name="n", description=""),
        "POST /indexes/docs-example/backups",
        BACKUP,
        body={"name": "n", "description": ""},
    ),
    "describe_backup": Call(lambda client: client.describe_backup(BACKUP_ID), f"GET /backups/{BACKUP_ID}", BACKUP),
    "list_backups": Call(
        lambda client: list(client.list_backups()), "GET /backups?limit=100", {"data": [BACKUP]}, result=[BACKUP]
    ),
    "list_backups of an index": Call(
        lambda client: list(client.list_backups("docs-example")),
        "GET /indexes/docs-example/backups?limit=100",
        {"data": [BACKUP], "pagination": None},
        result=[BACKUP],
    ),
    "find_backups": Call(
        lambda client: client.find_backups({BACKUP_ID, "b-2"}, max_pages=1),
        "GET /backups?limit=100",
        {"data": [{}, 17, {"backup_id": 17}, BACKUP], "pagination": {"next": "t"}},
        result=({BACKUP_ID: BACKUP}, 1),
    ),
    "delete_backup": Call(
        lambda client: client.delete_backup(BACKUP_ID), f"DELETE /backups/{BACKUP_ID}", None, status=202
    ),
    "list_indexes": Call(
        PineconeClient.list_indexes,
        "GET /indexes",
        {"indexes": [{"name": "docs-example", "new": 1}]},
        result=[{"name": "docs-example", "new": 1}],
    ),
    "describe_index": Call(lambda client: client.describe_index("docs-example"), "GET /indexes/docs-example", INDEX),
    "delete_index": Call(
        lambda client: client.delete_index("docs-example"), "DELETE /indexes/docs-example", None, status=202
    ),
    "create_index_from_backup": Call(
        lambda client: client.create_index_from_backup(BACKUP_ID, name="docs-2"),
        f"POST /backups/{BACKUP_ID}/create-index",
        STARTED,
        status=202,
        body={"name": "docs-2"},
    ),
    "create_index_from_backup with tags and protection": Call(
        lambda client: client.create_index_from_backup(
            BACKUP_ID, name="docs-2", tags={"team": "search"}, deletion_protection="enabled"
        ),
        f"POST /backups/{BACKUP_ID}/create-index",
        STARTED,
        status=202,
        body={"name": "docs-2", "tags": {"team": "search"}, "deletion_protection": "enabled"},
    ),
    "describe_restore_job": Call(lambda client: client.describe_restore_job("r-1"), "GET /restore-jobs/r-1", JOB),
    "find_restore_jobs": Call(
        lambda client: client.find_restore_jobs({"r-1"}, max_pages=3),
        "GET /restore-jobs?limit=100",
        {"data": [JOB], "pagination": {"next": "t"}},
        result=({"r-1": JOB}, 1),
    ),
    "list_restore_jobs": Call(
        lambda client: list(client.list_restore_jobs()),
        "GET /restore-jobs?limit=100",
        {"data": [JOB, JOB]},
        result=[JOB],
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_request_and_result_of_each_call(clock: FakeClock, pinecone: Mocker, call: Call) -> None:
    # A 202 to a DELETE has no body.
    call.serve(pinecone, status_code=call.status, **({} if call.response is None else {"json": call.response}))
    result = call.run(make_client(API, clock, api_version="2026-04", timeout=7.5))
    assert result == (call.response if call.result is ... else call.result)
    (sent,) = pinecone.request_history
    assert f"{sent.method} {sent.url}" == call.request.replace(" ", f" {API}")
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
    # These have tests of their own: they can need two requests.
    own = {
        "describe_index_stats",
        "find_backups_of_name",
        "find_indexes",
        "records",
        "writer",
        "create_index",
        "imports",
    }
    assert {name.split()[0] for name in CALLS} | own == methods


def test_netrc_is_ignored(
    client: PineconeClient, pinecone: Mocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
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


# Invalid arguments; all invalid names and ids are in test_inputs.py and test_bad_input.py


@pytest.mark.parametrize(
    ("resource", "call"),
    [
        ("index name", lambda client, name: client.create_backup(name)),
        ("index name", lambda client, name: next(client.list_backups(name))),
        ("index name", lambda client, name: client.describe_index(name)),
        ("index name", lambda client, name: client.delete_index(name)),
        ("index name", lambda client, name: client.describe_index_stats(name)),
        ("index name", lambda client, name: client.create_index_from_backup(BACKUP_ID, name=name)),
        ("backup id", lambda client, value: client.describe_backup(value)),
        ("backup id", lambda client, value: client.delete_backup(value)),
        ("backup id", lambda client, value: client.create_index_from_backup(value, name="docs-2")),
        ("restore job id", lambda client, value: client.describe_restore_job(value)),
    ],
)
def test_invalid_name_or_id_is_not_sent(
    client: PineconeClient, pinecone: Mocker, resource: str, call: Callable[[PineconeClient, Any], object]
) -> None:
    for value in ("", "../backups", "..", "None", "a\n", 5):
        with pytest.raises(PineconeInputError, match=f"valid {resource}"):
            call(client, value)
    assert pinecone.request_history == []


@pytest.mark.parametrize("value", [5, 42, True, ["x"], {"a": 1}, b"x"], ids=repr)
@pytest.mark.parametrize("field", ["name", "description"])
def test_text_of_a_backup_must_be_a_string(client: PineconeClient, pinecone: Mocker, field: str, value: Any) -> None:
    with pytest.raises(PineconeInputError, match=f"^{field} must be a string, not "):
        client.create_backup("docs-example", **{field: value})
    assert pinecone.request_history == []


# Paging


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
    with pytest.raises(PineconePermanentError, match=r"list the backups of index no-such\.\nHTTP 404") as caught:
        read_history(emulator_client, "no-such")
    assert caught.value.status_code == 404


@pytest.mark.parametrize(("include", "numbers"), [(False, [1]), (True, [1, 2])])
def test_backups_of_earlier_indexes_are_searched_in_the_project(
    client: PineconeClient, pinecone: Mocker, include: bool, numbers: list[int]
) -> None:
    """Later versions of the API list only the backups of the current index by its name."""
    earlier = backup(2, source_index_id="i-0")
    pinecone.get(f"{API}/indexes/docs-example/backups", json={"data": [backup(1)]})
    project = [backup(1), earlier, backup(3, source_index_name="other"), backup(4, source_index_name=None)]
    pinecone.get(f"{API}/backups", json={"data": project})
    history = read_history(client, "docs-example", include_deleted_indexes=include)
    assert sorted(row.backup["backup_id"] for row in history.rows) == [f"b-{number}" for number in numbers]
    assert history.index_exists is True


def test_index_that_is_deleted_between_two_pages(client: PineconeClient, pinecone: Mocker) -> None:
    page = {"data": [backup(1)], "pagination": {"next": "t"}}
    pinecone.get(f"{API}/indexes/docs-example/backups", [{"json": page}, {"status_code": 404, "text": "no"}])
    pinecone.get(f"{API}/backups", json={"data": [backup(2), backup(1)]})
    history = read_history(client, "docs-example")
    assert sorted(row.backup["backup_id"] for row in history.rows) == ["b-1", "b-2"]
    assert history.index_exists is False


@pytest.mark.parametrize(
    ("statuses", "error"),
    [
        *([[status], PineconePermanentError] for status in (401, 403, 422)),
        # It is then unknown which backups the deleted index has.
        ([404, 503], PineconeTransientError),
    ],
    ids=str,
)
def test_failed_listing_of_an_index_or_of_the_project_is_an_error(
    client: PineconeClient, pinecone: Mocker, statuses: list[int], error: type[Exception]
) -> None:
    """Only if there is no such index, the project is listed."""
    for path, status in zip(("/indexes/docs-example/backups", "/backups"), statuses, strict=False):
        pinecone.get(API + path, status_code=status, text="no")
    with pytest.raises(error, match=f"HTTP {statuses[-1]}"):
        read_history(client, "docs-example", retry=False)
    assert len(pinecone.request_history) == len(statuses)


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


def test_row_on_two_pages_is_listed_once(client: PineconeClient, pinecone: Mocker) -> None:
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
def test_last_page(client: PineconeClient, pinecone: Mocker, last: dict[str, Any]) -> None:
    pinecone.get(f"{API}/backups", json={"data": [backup(1)], **last})
    assert len(list(client.list_backups())) == 1
    assert len(pinecone.request_history) == 1


# A repeated token is known on the second page. A response with a token that cannot be sent counts as not JSON.
@pytest.mark.parametrize(
    ("token", "problem", "attempts"),
    [*((token, "page token", 2) for token in ("same", 5, {"a": 1}, ["x"])), ("\ud800", "list the backups", 5)],
    ids=ascii,
)
def test_repeated_or_invalid_page_token_is_an_error(
    client: PineconeClient, pinecone: Mocker, token: Any, problem: str, attempts: int
) -> None:
    pinecone.get(f"{API}/backups", text=json.dumps({"data": [backup(1)], "pagination": {"next": token}}))
    with pytest.raises(PineconeTransientError, match=problem):
        list(client.list_backups())
    assert len(pinecone.request_history) == attempts


Rows = Callable[[int], list[dict[str, Any]]]


def serve_pages(pinecone: Mocker, rows: Rows, pages: int) -> None:
    """Respond with pages, each with a token of its own; ``rows`` returns those of a page, and the last has no token."""
    numbers = itertools.count()

    def page(request: Any, context: Any) -> dict[str, Any]:
        number = next(numbers)
        return {"data": rows(number), "pagination": {"next": f"t-{number}"} if number < pages - 1 else None}

    pinecone.get(f"{API}/backups", json=page)


@pytest.mark.parametrize(
    ("rows", "problem", "pages"),
    [
        (lambda _: [], "20 pages without a new row", MAX_PAGES_WITHOUT_NEW_ROWS),
        # The row is new on the first page.
        (lambda _: [backup(1)], "20 pages without a new row", MAX_PAGES_WITHOUT_NEW_ROWS + 1),
        (lambda number: [backup(number)], "1000 pages", MAX_PAGES),
    ],
    ids=["empty", "the same row", "new rows"],
)
def test_listing_without_an_end_is_an_error(
    client: PineconeClient, pinecone: Mocker, rows: Rows, problem: str, pages: int
) -> None:
    serve_pages(pinecone, rows, pages=10**9)
    with pytest.raises(PineconeTransientError, match=f"list the backups .*\n.* a next page after {problem}"):
        list(client.list_backups())
    assert len(pinecone.request_history) == pages


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
def test_long_listing(client: PineconeClient, pinecone: Mocker, rows: Rows, pages: int, count: int) -> None:
    serve_pages(pinecone, rows, pages)
    assert len(list(client.list_backups())) == count
    assert len(pinecone.request_history) == pages


# Checks of responses

# What a service or a proxy could send with a status of success.
ERROR = {"status": 404, "error": {"code": "NOT_FOUND", "message": "Resource not found."}}
# For each call: a part of the error, and responses that are not valid.
INVALID_RESPONSES: dict[str, tuple[str, list[Any]]] = {
    "list_backups": (
        "list the backups of the project",
        [
            *(None, [], "x", 5, {}, {"data": None}, {"data": {}}, ERROR),
        ],
    ),
    "describe_backup": (
        f"describe backup {BACKUP_ID}",
        [
            *(
                None,
                [],
                "x",
                {},
                ERROR,
                {"backup_id": BACKUP_ID},
                backup(1),
                BACKUP | {"status": 5},
                {"data": [BACKUP]},
            ),
            *(BACKUP | {"status": status} for status in ("Ready\n", "Re\0ady", "x" * 129)),
            *(BACKUP | {"source_index_name": name} for name in (5, ["docs"], {"a": 1}, "two\nlines", "x" * 129)),
            *(BACKUP | {"source_index_id": index_id} for index_id in (True, [1])),
        ],
    ),
    "list_indexes": (
        "list the indexes",
        [None, [], "x", {}, {"indexes": None}, {"indexes": {}}, ERROR],
    ),
    "describe_index": (
        "describe index docs-example",
        [None, [], "x", {}, INDEX | {"name": "other"}, INDEX | {"status": "Ready"}, ERROR],
    ),
    "describe_restore_job": (
        "describe restore job r-1",
        [
            *(
                None,
                [],
                {},
                ERROR,
                JOB | {"restore_job_id": "r-2"},
                JOB | {"status": None},
                JOB | {"target_index_id": 5},
            ),
            *({field: value for field, value in JOB.items() if field != missing} for missing in list(JOB)[:3]),
        ],
    ),
    "create_index_from_backup": (
        f"restore backup {BACKUP_ID} into index docs-2",
        [None, [], {}, ERROR, {"restore_job_id": "r-1", "index_id": 5}, {"index_id": "i-2"}],
    ),
    "create_backup with name and description": (
        "create a backup of index docs-example",
        [None, [], {}, ERROR, {"backup_id": "b-1"}, {"data": [BACKUP]}],
    ),
    "delete_backup": (f"delete backup {BACKUP_ID}", [[], "x", 5, False, ERROR, {"error": "not found"}]),
    "delete_index": ("delete index docs-example", [[], "x", 5, False, ERROR, {"error": "not found"}]),
}


@pytest.mark.parametrize(
    ("name", "problem", "response"),
    [
        pytest.param(name, problem, response, id=f"{name} {ascii(response)[:80]}")
        for name, (problem, responses) in INVALID_RESPONSES.items()
        for response in responses
    ],
)
def test_invalid_response_is_an_error(
    client: PineconeClient, pinecone: Mocker, name: str, problem: str, response: Any
) -> None:
    call = CALLS[name]
    call.serve(pinecone, json=response)
    error = CreateOutcomeUnknown if call.body else PineconeTransientError
    with pytest.raises(error, match=problem):
        call.run(client)
    assert len(pinecone.request_history) == 1


@pytest.mark.parametrize("backup_id", ["", "a/b", "..", "a b", "a\n", "x" * 129, "\u202e"])
def test_invalid_id_in_a_response(client: PineconeClient, pinecone: Mocker, backup_id: str) -> None:
    response = BACKUP | {"backup_id": backup_id}
    pinecone.get(f"{API}/backups", json={"data": [response]})
    pinecone.post(f"{API}/indexes/docs-example/backups", json=response)
    assert list(client.list_backups()) == []
    with pytest.raises(CreateOutcomeUnknown, match="is not a backup with backup_id"):
        client.create_backup("docs-example")


@pytest.mark.parametrize("body", [{}, {"error": None}, {"status": "Deleting"}], ids=str)
def test_delete_with_a_body_that_reports_no_error(client: PineconeClient, pinecone: Mocker, body: Any) -> None:
    pinecone.delete(f"{API}/backups/{BACKUP_ID}", status_code=202, json=body)
    client.delete_backup(BACKUP_ID)


# One invalid row of a listing: the id in the warning, and what becomes of the row.
UNKNOWN = {"status": "unknown"}
INVALID_ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "status": ({"status": 5}, UNKNOWN),
    "no status": ({"status": None}, UNKNOWN),
    "control character in the status": ({"status": "Re\0ady"}, UNKNOWN),
    "index name": ({"source_index_name": ["docs"]}, {"source_index_name": None}),
    "control character in the index name": ({"source_index_name": "do\ncs"}, {"source_index_name": None}),
    "index id": ({"source_index_id": 5}, {"source_index_id": None}),
}


@pytest.mark.parametrize(("invalid", "result"), INVALID_ROWS.values(), ids=INVALID_ROWS)
def test_invalid_field_of_a_backup_in_a_listing_is_unknown(
    clock: FakeClock, pinecone: Mocker, invalid: dict[str, Any], result: dict[str, Any]
) -> None:
    log: list[str] = []
    client = make_client(API, clock, log=log.append)
    pinecone.get(f"{API}/backups", json={"data": [backup(1), backup(2, **invalid), backup(3)]})
    for _ in range(2):
        assert list(client.list_backups()) == [backup(1), backup(2, **result), backup(3)]
    (warning,) = log
    assert "list the backups of the project" in warning
    assert warning.endswith("backup_id: b-2")


@pytest.mark.parametrize("row", [None, "x", 5, [], {}, {"status": "Ready"}, backup(1, backup_id=5)], ids=str)
def test_row_without_a_valid_id_hides_no_other_row(clock: FakeClock, pinecone: Mocker, row: Any) -> None:
    log: list[str] = []
    client = make_client(API, clock, log=log.append)
    pinecone.get(f"{API}/backups", json={"data": [row, backup(1)]})
    assert list(client.list_backups()) == [backup(1)]
    assert len(log) == 1


def test_invalid_row_hides_no_index_and_no_restore_job(clock: FakeClock, pinecone: Mocker) -> None:
    log: list[str] = []
    client = make_client(API, clock, log=log.append)
    invalid_jobs = [JOB | {"restore_job_id": "r-2", "backup_id": None}, JOB | {"restore_job_id": "r-3", "status": 5}]
    pinecone.get(f"{API}/restore-jobs", json={"data": [*invalid_jobs, JOB]})
    assert list(client.list_restore_jobs()) == [invalid_jobs[1] | UNKNOWN, JOB]
    invalid_indexes: list[Any] = [None, "docs", [], {}, {"name": 5}, {"name": ""}, {"name": "two\nlines"}]
    pinecone.get(f"{API}/indexes", json={"indexes": [*invalid_indexes, INDEX]})
    assert client.list_indexes() == [INDEX]
    assert "restore_job_id: r-2, r-3" in log[0]
    assert "two lines" in log[1]
    assert len(log) == 2


@pytest.mark.parametrize("fields", [{}, {"source_index_name": None, "source_index_id": None}, {"status": "x" * 128}])
def test_backup_with_few_fields(client: PineconeClient, pinecone: Mocker, fields: dict[str, Any]) -> None:
    response = {"backup_id": BACKUP_ID, "status": "", **fields}
    pinecone.get(f"{API}/backups/{BACKUP_ID}", json=response)
    assert client.describe_backup(BACKUP_ID) == response


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
def test_value_that_xcom_cannot_store(client: PineconeClient, pinecone: Mocker, value: str) -> None:
    pinecone.get(f"{API}/backups/{BACKUP_ID}", text=f'{json.dumps(BACKUP)[:-1]}, "new": {value}}}')
    with pytest.raises(PineconeTransientError, match="Not a response from Pinecone"):
        client.describe_backup(BACKUP_ID)


def test_values_that_xcom_can_store(client: PineconeClient, pinecone: Mocker) -> None:
    response = BACKUP | {
        "new": [None, True, 2**62, -1.5, "\U0001f5c3\0", {}, []],
        "deep": json.loads("[" * 90 + "]" * 90),
    }
    pinecone.get(f"{API}/backups/{BACKUP_ID}", json=response)
    assert client.describe_backup(BACKUP_ID) == response


# Restores


@pytest.mark.parametrize("index_id", [None, "", ...])
def test_index_id_of_a_restore_may_be_missing(client: PineconeClient, pinecone: Mocker, index_id: Any) -> None:
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
    client: PineconeClient, pinecone: Mocker, status: dict[str, Any], ready: bool
) -> None:
    pinecone.get(f"{API}/restore-jobs/r-1", json=JOB | {"status": "Completed"})
    pinecone.get(f"{API}/indexes/docs-2", json=INDEX | {"name": "docs-2", "status": status})
    restore: Any = RESTORE.poll(client, "r-1")
    assert restore["index_ready"] is ready


# Messages of errors: what failed, why, and what to do

# The advice for every response is in test_advice.py.


@pytest.mark.parametrize("header", ["x-pinecone-request-id", "X-Request-Id"])
def test_rejection_names_the_call_the_cause_and_the_remedy(
    client: PineconeClient, pinecone: Mocker, header: str
) -> None:
    pinecone.post(
        f"{API}/indexes/docs-example/backups",
        status_code=422,
        json={"status": 422, "error": {"code": "UNPROCESSABLE_ENTITY", "message": "Not parsed", "details": {}}},
        headers={header: "req-7"},
    )
    with pytest.raises(PineconePermanentError) as caught:
        client.create_backup("docs-example")
    error = caught.value
    facts = (error.status_code, error.code, error.message, error.request_id)
    assert facts == (422, "UNPROCESSABLE_ENTITY", "Not parsed", "req-7")
    assert str(error).startswith("Could not create a backup of index docs-example.\nHTTP 422 UNPROCESSABLE_ENTITY")
    assert "Not parsed" in str(error)
    assert "Check the name and the description" in str(error)
    assert "req-7" in str(error)


@pytest.mark.parametrize(
    ("name", "status", "message", "hint"),
    [
        ("create_backup", 400, "Index is pod-based", "cannot back up pod-based indexes"),
        ("list_indexes", 400, "no", r"HTTP 400: 'no'\.$"),
        ("create_backup", 403, "Backups exceed the maximum; resource exhausted", "quota of backups"),
        ("create_backup", 403, "Please upgrade to use this feature", "does not include backups"),
        ("create_index_from_backup", 403, "This key may not use the control plane.", "lacks permission"),
        ("create_index_from_backup", 403, "You've reached the max. Upgrade your plan.", "delete one"),
        ("create_index_from_backup", 403, "Index quota exhausted", "quota of indexes"),
        ("delete_backup", 412, "Pending restores", f"backup {BACKUP_ID}.*\n.*\n.*restore from this backup is running"),
        ("create_index_from_backup", 412, "Not ready", f"backup {BACKUP_ID}.*\n.*\n.*The backup is not Ready"),
    ],
)
def test_remedy_depends_on_the_call(
    client: PineconeClient, pinecone: Mocker, name: str, status: int, message: str, hint: str
) -> None:
    call = CALLS[name]
    call.serve(pinecone, status_code=status, json={"error": {"message": message}})
    with pytest.raises(PineconePermanentError, match=f"HTTP {status}") as caught:
        call.run(client)
    assert re.search(hint, str(caught.value))


HTML = "<!DOCTYPE html><title>Error</title>Your client does not have permission to get URL / from this server."


@pytest.mark.parametrize("status", [403, 404, 412])
def test_page_of_a_firewall_is_no_deletion(client: PineconeClient, pinecone: Mocker, status: int) -> None:
    """A 404 of a repeated DELETE counts as success, if it is Pinecone's."""
    pinecone.delete(f"{API}/backups/{BACKUP_ID}", [{"status_code": 503}, {"status_code": status, "text": HTML}])
    with pytest.raises(PineconeTransientError, match=f"Not a response from Pinecone .*HTTP {status}") as caught:
        client.delete_backup(BACKUP_ID)
    assert "any proxy or firewall" in str(caught.value)
    assert "lacks permission" not in str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 404, 409])
def test_page_of_a_firewall_leaves_the_outcome_of_a_create_unknown(
    client: PineconeClient, pinecone: Mocker, status: int
) -> None:
    """It may have replaced Pinecone's response."""
    pinecone.post(f"{API}/indexes/docs-example/backups", status_code=status, text=HTML)
    with pytest.raises(CreateOutcomeUnknown, match="Not a response from Pinecone"):
        client.create_backup("docs-example")
    assert len(pinecone.request_history) == 1


@pytest.mark.parametrize(
    "message",
    [
        "This project already contains 20 serverless indexes, the maximum per project. Delete an unused index.",
        "You've reached the max serverless indexes allowed in project Default (5). Upgrade your plan to add more.",
    ],
)
def test_quota_of_indexes_as_plain_text(client: PineconeClient, pinecone: Mocker, message: str) -> None:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    pinecone.post(f"{API}/backups/{BACKUP_ID}/create-index", status_code=403, text=message, headers=headers)
    with pytest.raises(QuotaExceeded, match="quota of indexes"):
        client.create_index_from_backup(BACKUP_ID, name="docs-2")


def test_rejections_of_the_emulator(emulator: Emulator, emulator_client: PineconeClient, clock: FakeClock) -> None:
    with pytest.raises(PineconePermanentError, match=r"Index no-such not found.*\nCheck the name or id"):
        emulator_client.create_backup("no-such")
    with pytest.raises(PineconePermanentError, match=r"list the backups of index no-such\.\nHTTP 404"):
        list(emulator_client.list_backups("no-such"))
    emulator.scenario.quota = 0
    with pytest.raises(PineconePermanentError, match=r"HTTP 403 .*\n.* quota of backups") as caught:
        emulator_client.create_backup("docs-example")
    assert caught.value.request_id == emulator.requests[-1].request_id
    assert caught.value.request_id in str(caught.value)
    with pytest.raises(PineconePermanentError, match=r"HTTP 401 .*\n.*connection pinecone_default"):
        make_client(emulator.url, clock, api_key="wrong-key-000").list_indexes()


def test_control_characters_of_a_response_are_not_quoted(client: PineconeClient, pinecone: Mocker) -> None:
    error = {"error": {"code": "a\ud800\x1b[31m", "message": "\ud800" * 1000}}
    pinecone.get(f"{API}/indexes", status_code=400, json=error, headers={"x-request-id": "\x1b[0m"})
    with pytest.raises(PineconePermanentError) as caught:
        client.list_indexes()
    assert str(caught.value).replace("\n", "").isprintable()
    assert len(str(caught.value)) < 1000


# The data plane: hosts to which the API key may be sent


def test_stats_come_from_the_host_of_the_index(emulator: Emulator, emulator_client: PineconeClient) -> None:
    emulator.add_index("other", records=7)
    assert emulator_client.describe_index_stats("docs-example")["totalVectorCount"] == 96
    assert emulator_client.describe_index_stats("other")["totalVectorCount"] == 7
    sent, _ = [exchange for exchange in emulator.requests if exchange.method == "POST"]
    assert sent.body == {}
    assert sent.headers["X-Pinecone-Api-Version"] == "2025-10"


@pytest.mark.parametrize(
    "body",
    [b"null", b"[]", b"5", b'"x"', b'{"error": {}}'],
)
def test_stats_are_not_requested_again_after_an_invalid_response(
    emulator: Emulator, emulator_client: PineconeClient, clock: FakeClock, body: bytes
) -> None:
    emulator.fault("POST", "/data-plane/*/describe_index_stats", status=200, body=body)
    with pytest.raises(PineconeTransientError, match="stats of index docs-example"):
        emulator_client.describe_index_stats("docs-example")
    assert clock.slept == []


def test_stats_are_requested_again_after_a_lost_response(
    emulator: Emulator, emulator_client: PineconeClient, clock: FakeClock
) -> None:
    emulator.fault("POST", "/data-plane/*/describe_index_stats", drop="after")
    assert emulator_client.describe_index_stats("docs-example")["totalVectorCount"] == 96
    assert len(clock.slept) == 1


def serve_index(pinecone: Mocker, host: Any, control_plane: str = API) -> None:
    """Let the control plane describe an index with some host, and let every host return stats."""
    index = {"name": "docs", "host": host, "status": {"ready": True}}
    pinecone.get(f"{control_plane}/indexes/docs", json=index)
    pinecone.post(ANY, json={"totalVectorCount": 3})


def data_plane_urls(pinecone: Mocker) -> list[str]:
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
def test_url_of_the_data_plane(client: PineconeClient, pinecone: Mocker, host: str, url: str) -> None:
    serve_index(pinecone, host)
    assert client.describe_index_stats("docs") == {"totalVectorCount": 3}
    (sent,) = data_plane_urls(pinecone)
    assert sent.replace(":443/", "/") == url
    assert pinecone.request_history[-1].headers["Api-Key"] == API_KEY


def test_plain_http_only_to_the_host_of_the_connection(clock: FakeClock, pinecone: Mocker) -> None:
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
        *("http://docs-abc.svc.pinecone.io", "http://127.0.0.1.example.com", "http://localhost@example.com"),
        *("https://user:word@example.com", "ftp://example.com", "example.com?x=1", "example.com#x", "exa mple.com"),
        *("[::ffff:999.1.1.1]", "[2001:db8::7]", "a..b", "-a.example.com", "https://example.com.", "", None, 5),
        *("x" * 254, "x" * 64 + ".example.com", "example.com:" + "9" * 6, "example.com/" + "x" * 100),
    ],
)
def test_key_is_not_sent_to_an_invalid_host(client: PineconeClient, pinecone: Mocker, host: Any) -> None:
    serve_index(pinecone, host)
    with pytest.raises(PineconePermanentError, match="stats of index docs") as caught:
        client.describe_index_stats("docs")
    assert data_plane_urls(pinecone) == []
    assert not caught.value.can_retry
    assert len(str(caught.value)) < 800
