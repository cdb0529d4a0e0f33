"""PineconeHook: what it sends, what it makes of the answers, and which connections work."""

import inspect
import json
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import requests
import tenacity
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_pinecone.errors import (
    CreateAnswerLost,
    PineconeConnectionError,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    PineconeTransientError,
)
from airflow_pinecone.hooks import PineconeHook

KEY = "pc-test-key-0123456789"
API = "https://api.pinecone.io"
BACKUP_ID = "8c85e612-ed1c-4f97-9f8c-8194e07bcf71"
BACKUP = {
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


def backup(number, **fields):
    return BACKUP | {"backup_id": f"b-{number}"} | fields


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    # When a call is made again, and after which pause, is for test_transport.
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def connect(monkeypatch):
    """Make a connection of these fields, or of a URI, and return a hook for it."""

    def connect(uri=None, conn_id="pinecone_default", **fields):
        value = uri or json.dumps({"conn_type": "pinecone", "password": KEY} | fields)
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)
        return PineconeHook(conn_id)

    return connect


@pytest.fixture
def hook(connect):
    return connect()


@pytest.fixture
def at_emulator(emulator, connect):
    return connect(host=emulator.url)


# What is sent

INDEX = {"name": "docs-example", "status": {"ready": True, "state": "Ready"}, "new": 1}
JOB = {
    "restore_job_id": "r-1",
    "backup_id": BACKUP_ID,
    "target_index_name": "docs-2",
    "target_index_id": "i-2",
    "status": "Pending",
    "created_at": "2025-05-14T16:37:25.625540Z",
    "new": 1,
}

CALLS = [
    (
        lambda hook: hook.create_backup("docs-example"),
        "POST",
        "/indexes/docs-example/backups",
        {"status_code": 201, "json": BACKUP},
        {},
        BACKUP,
    ),
    (
        lambda hook: hook.create_backup("docs-example", name="n", description=""),
        "POST",
        "/indexes/docs-example/backups",
        {"status_code": 200, "json": BACKUP},
        {"name": "n", "description": ""},
        BACKUP,
    ),
    (
        lambda hook: hook.describe_backup(BACKUP_ID),
        "GET",
        f"/backups/{BACKUP_ID}",
        {"json": BACKUP},
        None,
        BACKUP,
    ),
    (
        lambda hook: list(hook.list_backups()),
        "GET",
        "/backups?limit=100",
        {"json": {"data": [BACKUP]}},
        None,
        [BACKUP],
    ),
    (
        lambda hook: list(hook.list_backups("docs-example")),
        "GET",
        "/indexes/docs-example/backups?limit=100",
        {"json": {"data": [BACKUP], "pagination": None}},
        None,
        [BACKUP],
    ),
    (
        lambda hook: hook.delete_backup(BACKUP_ID),
        "DELETE",
        f"/backups/{BACKUP_ID}",
        {"status_code": 202},
        None,
        None,
    ),
    (
        lambda hook: hook.list_indexes(),
        "GET",
        "/indexes",
        {"json": {"indexes": [{"name": "docs-example", "new": 1}]}},
        None,
        [{"name": "docs-example", "new": 1}],
    ),
    (
        lambda hook: hook.describe_index("docs-example"),
        "GET",
        "/indexes/docs-example",
        {"json": INDEX},
        None,
        INDEX,
    ),
    (
        lambda hook: hook.delete_index("docs-example"),
        "DELETE",
        "/indexes/docs-example",
        {"status_code": 202},
        None,
        None,
    ),
    (
        lambda hook: hook.create_index_from_backup(BACKUP_ID, name="docs-2"),
        "POST",
        f"/backups/{BACKUP_ID}/create-index",
        {"status_code": 202, "json": {"restore_job_id": "r-1", "index_id": "i-2"}},
        {"name": "docs-2"},
        {"restore_job_id": "r-1", "index_id": "i-2"},
    ),
    (
        lambda hook: hook.describe_restore_job("r-1"),
        "GET",
        "/restore-jobs/r-1",
        {"json": JOB},
        None,
        JOB,
    ),
    (
        lambda hook: hook.describe_restore("r-1"),
        "GET",
        "/restore-jobs/r-1",
        {"json": JOB},
        None,
        JOB | {"index_id": "i-2", "index_name": "docs-2", "index_ready": False},
    ),
    (
        lambda hook: list(hook.list_restore_jobs()),
        "GET",
        "/restore-jobs?limit=100",
        {"json": {"data": [JOB, JOB]}},
        None,
        [JOB],
    ),
]
NAMES = ["create", "create with words", "describe", "list", "list of an index", "delete", "list indexes"]
NAMES += ["describe index", "delete index", "restore", "describe job", "describe restore", "list jobs"]


@pytest.mark.parametrize(("call", "method", "path", "response", "body", "result"), CALLS, ids=NAMES)
def test_the_exact_request_of_each_call(connect, requests_mock, call, method, path, response, body, result):
    requests_mock.request(method, API + path, **response)
    assert call(connect(extra={"timeout": 7.5})) == result
    (sent,) = requests_mock.request_history
    assert (sent.method, sent.url) == (method, API + path)
    assert sent.headers["Api-Key"] == KEY
    assert sent.headers["X-Pinecone-Api-Version"] == "2025-10"
    assert sent.headers["User-Agent"] == f"airflow-pinecone/{version('airflow-pinecone')}"
    assert sent.headers["Accept"] == "application/json"
    assert "Authorization" not in sent.headers
    assert sent.timeout == 7.5
    assert sent.verify is True
    assert (json.loads(sent.body) if sent.body else None) == body
    if body is not None:
        assert sent.headers["Content-Type"] == "application/json"


def test_a_netrc_has_nothing_to_say(hook, requests_mock, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login somebody password of-another-place\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    requests_mock.get(f"{API}/indexes", json={"indexes": []})
    hook.list_indexes()
    assert requests.utils.get_netrc_auth(API) == ("somebody", "of-another-place")
    assert "Authorization" not in requests_mock.last_request.headers


def test_a_call_waits_half_a_minute_unless_told_otherwise(hook, requests_mock):
    requests_mock.get(f"{API}/indexes", json={"indexes": []})
    hook.list_indexes()
    assert requests_mock.last_request.timeout == 30


def test_nothing_is_asked_before_the_first_call(connect, monkeypatch):
    hook = connect()
    monkeypatch.delenv("AIRFLOW_CONN_PINECONE_DEFAULT")
    assert hook.conn_id == "pinecone_default"
    with pytest.raises(AirflowNotFoundException):
        hook.get_conn()


def test_a_connection_goes_by_its_id(connect, requests_mock):
    connect(password="another-key")
    requests_mock.get(f"{API}/indexes", json={"indexes": []})
    connect(conn_id="production").list_indexes()
    assert requests_mock.last_request.headers["Api-Key"] == KEY


def test_the_session_is_the_same_each_time(hook):
    session = hook.get_conn()
    assert isinstance(session, requests.Session)
    assert session is hook.get_conn()
    assert session.headers["Api-Key"] == KEY


def test_the_calls_that_a_user_knows(hook):
    shown = {name: str(inspect.signature(getattr(hook, name))) for name in ("create_backup", "list_backups")}
    assert shown["create_backup"].startswith("(index_name: 'str', *, name: 'str | None' = None, description:")
    assert shown["list_backups"].startswith("(index_name: 'str | None' = None, *")
    assert PineconeHook().conn_id == PineconeHook.default_conn_name == "pinecone_default"


# The life of a backup, over real HTTP


@pytest.mark.parametrize("api_version", ["2025-10", "2026-04"])
def test_a_backup_is_made_described_listed_and_deleted(emulator, connect, api_version):
    hook = connect(host=emulator.url, extra={"api_version": api_version})
    made = hook.create_backup("docs-example", name="nightly", description="why")
    assert made["status"] == "Initializing"
    assert (made["name"], made["description"]) == ("nightly", "why")
    assert hook.describe_backup(made["backup_id"])["status"] == "Ready"
    assert [b["backup_id"] for b in hook.list_backups("docs-example")] == [made["backup_id"]]
    hook.delete_backup(made["backup_id"])
    assert list(hook.list_backups()) == emulator.backups == []
    assert {exchange.headers["X-Pinecone-Api-Version"] for exchange in emulator.requests} == {api_version}


def test_a_model_comes_out_as_it_came(emulator, at_emulator):
    put = emulator.add_backup(
        "docs-example", created_at=None, description=None, record_count=..., new_field=[1, None], tags={"n": 1}
    )
    assert at_emulator.describe_backup(put["backup_id"]) == put
    assert list(at_emulator.list_backups()) == [put]


# Pages


def test_a_listing_is_walked_to_its_end(emulator, at_emulator):
    made = {emulator.add_backup("docs-example")["backup_id"] for _ in range(230)}
    other = emulator.add_backup("other-index")["backup_id"]
    assert {b["backup_id"] for b in at_emulator.list_backups("docs-example")} == made
    first, second, third = emulator.requests
    assert first.query == {"limit": "100"}
    assert set(second.query) == set(third.query) == {"paginationToken"}
    assert {b["backup_id"] for b in at_emulator.list_backups()} == made | {other}


def test_a_listing_is_asked_for_as_it_is_needed(emulator, at_emulator):
    for _ in range(150):
        emulator.add_backup("docs-example")
    walk = at_emulator.list_backups()
    assert emulator.requests == []
    for _ in range(100):
        next(walk)
    assert len(emulator.requests) == 1


def test_rows_that_shift_between_pages_come_once(hook, requests_mock):
    pages = [
        {"data": [backup(1), backup(2)], "pagination": {"next": "t/1+="}},
        {"data": [], "pagination": {"next": "t2"}},
        {"data": [backup(2, status="Failed"), backup(3)], "pagination": {}},
    ]
    requests_mock.get(f"{API}/backups", [{"json": page} for page in pages])
    assert [b["backup_id"] for b in hook.list_backups()] == ["b-1", "b-2", "b-3"]
    assert [request.url.partition("?")[2] for request in requests_mock.request_history] == [
        "limit=100",
        "paginationToken=t%2F1%2B%3D",
        "paginationToken=t2",
    ]


@pytest.mark.parametrize("last", [{}, {"pagination": None}, {"pagination": {}}, {"pagination": {"next": None}}])
def test_the_last_page_says_so_in_many_ways(hook, requests_mock, last):
    requests_mock.get(f"{API}/backups", json={"data": [backup(1)]} | last)
    assert len(list(hook.list_backups())) == 1
    assert len(requests_mock.request_history) == 1


@pytest.mark.parametrize("next_", ["same", 5, {"a": 1}, ["x"]])
def test_pages_in_a_ring_end_in_an_error(hook, requests_mock, next_):
    requests_mock.get(f"{API}/backups", json={"data": [backup(1)], "pagination": {"next": next_}})
    with pytest.raises(PineconeTransientError, match="no end"):
        list(hook.list_backups())
    assert len(requests_mock.request_history) == 2


def test_a_page_that_cannot_be_asked_for_is_an_error(hook, requests_mock):
    requests_mock.get(f"{API}/backups", text=json.dumps({"data": [], "pagination": {"next": "\ud800"}}))
    with pytest.raises(PineconeTransientError):
        list(hook.list_backups())


@pytest.mark.parametrize("pagination", [[], ["x"], "x", 5, True])
def test_an_odd_pagination_is_the_last(hook, requests_mock, pagination):
    requests_mock.get(f"{API}/backups", json={"data": [backup(1)], "pagination": pagination})
    assert len(list(hook.list_backups())) == 1


@pytest.mark.parametrize(
    "answer",
    [
        *(None, [], "x", 5, {}, {"data": None}, {"data": {}}, {"data": [None]}, {"data": ["x"]}),
        *({"data": [{"backup_id": "b"}]}, {"data": [backup(1, backup_id=5)]}, {"data": [backup(1, status=None)]}),
    ],
)
def test_what_is_no_list_of_backups_is_an_error(hook, requests_mock, answer):
    requests_mock.get(f"{API}/backups", json=answer)
    with pytest.raises(PineconeTransientError, match="the project's backups"):
        list(hook.list_backups())


@pytest.mark.parametrize(
    "answer",
    [
        *(None, [], "x", {}, {"backup_id": BACKUP_ID}, backup(1), BACKUP | {"status": 5}, {"data": [BACKUP]}),
        *(BACKUP | {"status": status} for status in ("Ready\n", "Re\0ady", "\ud800", "x" * 129)),
        *(BACKUP | {"source_index_name": name} for name in (5, ["docs"], {}, "two\nlines", "x" * 129)),
        *(BACKUP | {"source_index_id": ident} for ident in (True, [1])),
    ],
)
def test_what_is_not_that_backup_is_an_error(hook, requests_mock, answer):
    requests_mock.get(f"{API}/backups/{BACKUP_ID}", json=answer)
    with pytest.raises(PineconeTransientError, match=f"describe backup {BACKUP_ID}"):
        hook.describe_backup(BACKUP_ID)


@pytest.mark.parametrize(
    "odd",
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
)
def test_what_no_xcom_can_hold_is_no_answer(hook, requests_mock, odd):
    requests_mock.get(f"{API}/backups/{BACKUP_ID}", text=f'{json.dumps(BACKUP)[:-1]}, "new": {odd}}}')
    with pytest.raises(PineconeTransientError, match="That is no answer of Pinecone's"):
        hook.describe_backup(BACKUP_ID)


def test_what_any_xcom_can_hold_is_one(hook, requests_mock):
    answer = BACKUP | {
        "new": [None, True, 2**62, -1.5, "\U0001f5c3\0", {}, []],
        "deep": json.loads("[" * 90 + "]" * 90),
    }
    requests_mock.get(f"{API}/backups/{BACKUP_ID}", json=answer)
    assert hook.describe_backup(BACKUP_ID) == answer


def test_what_is_quoted_can_be_passed_on(hook, requests_mock):
    odd = {"error": {"code": "a\ud800\x1b[31m", "message": "\ud800" * 1000}}
    requests_mock.get(f"{API}/indexes", status_code=400, json=odd, headers={"x-request-id": "\x1b[0m"})
    with pytest.raises(PineconePermanentError) as caught:
        hook.list_indexes()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("backup_id", ["", "a/b", "..", "a b", "a\n", "x" * 129, "\u202e"])
def test_an_id_that_nobody_could_ask_for_is_none(hook, requests_mock, backup_id):
    made = BACKUP | {"backup_id": backup_id}
    requests_mock.get(f"{API}/backups", json={"data": [made]})
    requests_mock.post(f"{API}/indexes/docs-example/backups", json=made)
    with pytest.raises(PineconeTransientError, match="no backup with backup_id and status"):
        list(hook.list_backups())
    with pytest.raises(CreateAnswerLost, match="no backup with backup_id and status"):
        hook.create_backup("docs-example")


@pytest.mark.parametrize("fields", [{}, {"source_index_name": None, "source_index_id": None}, {"status": "x" * 128}])
def test_a_backup_of_few_words_is_one(hook, requests_mock, fields):
    answer = {"backup_id": BACKUP_ID, "status": "", **fields}
    requests_mock.get(f"{API}/backups/{BACKUP_ID}", json=answer)
    assert hook.describe_backup(BACKUP_ID) == answer


@pytest.mark.parametrize("row", [None, "docs", [], {}, {"name": 5}, {"name": ""}, {"name": "two\nlines"}])
def test_what_is_no_list_of_indexes_is_an_error(hook, requests_mock, row):
    requests_mock.get(f"{API}/indexes", json={"indexes": [INDEX, row]})
    with pytest.raises(PineconeTransientError, match="list the indexes is no index with name"):
        hook.list_indexes()


# Names and ids that cannot be


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "-", "a-", "-a", "Docs", "docs_example", "docs example", "a/b", "../backups", "a\n", "é", "a?b"),
        *("x" * 46, "x" * 100_000, None, 5, b"docs", ["docs"], "{{ params.index }}"),
    ],
)
def test_an_impossible_index_name_is_refused_before_any_request(hook, requests_mock, name):
    calls = [lambda: hook.create_backup(name)]
    if name is not None:
        calls.append(lambda: next(hook.list_backups(name)))
    for call in calls:
        with pytest.raises(PineconeInputError, match="1 to 45 of a-z, 0-9 and -") as caught:
            call()
        assert len(str(caught.value)) < 700
    assert requests_mock.request_history == []


@pytest.mark.parametrize("name", ["a", "0", "a-b", "x" * 45, "0--9"])
def test_a_possible_index_name_is_asked_for(hook, requests_mock, name):
    requests_mock.post(f"{API}/indexes/{name}/backups", json=BACKUP)
    assert hook.create_backup(name)


@pytest.mark.parametrize(
    "backup_id",
    [
        *("", " ", "a/b", "..", "../indexes/x", "a?b", "a#b", "a\n", "é", "%2e", "x" * 129, None, 5, b"a"),
        "None",
        "None ",
        {},
    ],
)
def test_an_impossible_backup_id_is_refused_before_any_request(hook, requests_mock, backup_id):
    for call in (hook.describe_backup, hook.delete_backup):
        with pytest.raises(PineconeInputError, match="letters, digits, _ and -, such as 8c85e612"):
            call(backup_id)
    assert requests_mock.request_history == []


# Refusals: the thing, the cause, the next step

FORBIDDEN = [
    ("Increase your quota or upgrade to create more backups.", "The quota is full. Pinecone keeps 500 backups"),
    ("Backups exceed the maximum; resource exhausted", "The quota is full. Pinecone keeps 500 backups"),
    ("Backups are not available on the Starter plan.", "they need a paid plan"),
    ("Please upgrade to use this feature", "they need a paid plan"),
    ("Deletion protection is enabled for this index. Disable it.", "The index is protected from deletion"),
    ("Forbidden", "The API key of connection pinecone_default lacks the right"),
    ("", "The API key of connection pinecone_default lacks the right"),
]
REFUSALS = [
    (400, "INVALID_ARGUMENT", "Index is pod-based", "A pod-based index cannot be backed up"),
    (401, "UNAUTHENTICATED", "Invalid API Key", "Check the API key, the password of connection pinecone_default"),
    (402, "PAYMENT_REQUIRED", "Pay up", "past due invoices"),
    *((403, "FORBIDDEN", message, advice) for message, advice in FORBIDDEN),
    (404, "NOT_FOUND", "Resource docs-example not found", "Check the name or id"),
    (422, "UNPROCESSABLE_ENTITY", "Failed to deserialize", "check its name and description"),
]


@pytest.mark.parametrize(("status", "code", "message", "advice"), REFUSALS)
def test_a_refusal_names_the_thing_the_cause_and_the_next_step(hook, requests_mock, status, code, message, advice):
    requests_mock.post(
        f"{API}/indexes/docs-example/backups",
        status_code=status,
        json={"status": status, "error": {"code": code, "message": message, "details": {}}},
        headers={"x-pinecone-request-id": "req-7"},
    )
    with pytest.raises(PineconePermanentError) as caught:
        hook.create_backup("docs-example")
    error, text = caught.value, str(caught.value)
    assert (error.status_code, error.code, error.message) == (status, code, message)
    assert error.request_id == "req-7"
    assert text.startswith(f"Could not create a backup of index docs-example: HTTP {status} {code}")
    assert message in text
    assert advice in text
    assert text.endswith("Pinecone's request id was req-7.")


def test_a_refused_deletion_names_the_backup(hook, requests_mock):
    requests_mock.delete(
        f"{API}/backups/{BACKUP_ID}", status_code=412, json={"error": {"code": "FAILED_PRECONDITION", "message": "m"}}
    )
    with pytest.raises(
        PineconePermanentError, match=rf"delete backup {BACKUP_ID}: HTTP 412.*restore from it has ended"
    ):
        hook.delete_backup(BACKUP_ID)


def test_refusals_of_the_emulator_read_well(emulator, at_emulator, connect):
    with pytest.raises(PineconePermanentError, match=r"Index no-such not found.*Check the name or id"):
        at_emulator.create_backup("no-such")
    with pytest.raises(PineconePermanentError, match="list the backups of index no-such: HTTP 404"):
        list(at_emulator.list_backups("no-such"))
    emulator.quota = 0
    with pytest.raises(PineconePermanentError, match="The quota is full") as caught:
        at_emulator.create_backup("docs-example")
    assert caught.value.request_id == emulator.requests[-1].request_id
    assert caught.value.request_id in str(caught.value)
    with pytest.raises(PineconePermanentError, match=r"HTTP 401 .*password of connection wrong_key"):
        connect(host=emulator.url, conn_id="wrong_key", password="wrong-key-000").list_indexes()


def test_a_request_id_is_also_read_from_the_usual_header(hook, requests_mock):
    requests_mock.get(f"{API}/indexes", status_code=404, text="no", headers={"X-Request-Id": "req-8"})
    with pytest.raises(PineconePermanentError, match="request id was req-8"):
        hook.list_indexes()


# Connections

HOSTS = [
    ({}, "https://api.pinecone.io"),
    ({"host": ""}, "https://api.pinecone.io"),
    ({"host": "  api.pinecone.io\n"}, "https://api.pinecone.io"),
    ({"host": "api.pinecone.io"}, "https://api.pinecone.io"),
    ({"host": "https://api.pinecone.io"}, "https://api.pinecone.io"),
    ({"host": "https://api.pinecone.io/"}, "https://api.pinecone.io"),
    ({"host": "HTTPS://API.Pinecone.io"}, "https://api.pinecone.io"),
    ({"host": "api.pinecone.io:8443"}, "https://api.pinecone.io:8443"),
    ({"host": "https://api.pinecone.io:8443"}, "https://api.pinecone.io:8443"),
    ({"host": "api.pinecone.io", "port": 8443}, "https://api.pinecone.io:8443"),
    ({"host": "api.pinecone.io:1", "port": 8443}, "https://api.pinecone.io:1"),
    ({"host": "api.pinecone.io", "schema": "https"}, "https://api.pinecone.io"),
    ({"host": "127.0.0.1:5080", "schema": "http"}, "http://127.0.0.1:5080"),
    ({"host": "http://127.0.0.1:5080"}, "http://127.0.0.1:5080"),
    ({"host": "http://127.1.2.3"}, "http://127.1.2.3"),
    ({"host": "http://localhost:5080"}, "http://localhost:5080"),
    ({"host": "http://[::1]:5080"}, "http://[::1]:5080"),
    ({"host": "::1", "port": 5080, "schema": "http"}, "http://[::1]:5080"),
    ({"host": "2001:db8::7"}, "https://[2001:db8::7]"),
    ({"host": "http://pinecone_emulator:5080", "extra": {"allow_http": True}}, "http://pinecone_emulator:5080"),
    ({"host": "http://pinecone.test", "extra": {"allow_http": "true"}}, "http://pinecone.test"),
    ({"uri": f"pinecone://:{KEY}@"}, "https://api.pinecone.io"),
    ({"uri": f"pinecone://:{KEY}@api.pinecone.io"}, "https://api.pinecone.io"),
    ({"uri": f"pinecone://:{KEY}@api.pinecone.io:443/?timeout=5"}, "https://api.pinecone.io:443"),
    ({"uri": f"pinecone://:{KEY}@https%3A%2F%2Fapi.pinecone.io"}, "https://api.pinecone.io"),
    ({"uri": f"pinecone://http://:{KEY}@127.0.0.1:5080"}, "http://127.0.0.1:5080"),
    ({"uri": f"pinecone://:{KEY}@127.0.0.1:5080/http"}, "http://127.0.0.1:5080"),
    ({"uri": f"pinecone://:{KEY}@[::1]:5080/http"}, "http://[::1]:5080"),
]


@pytest.mark.parametrize(("fields", "url"), HOSTS)
def test_forms_of_the_host(connect, requests_mock, fields, url):
    requests_mock.get(requests.Request("GET", f"{url}/indexes").prepare().url, json={"indexes": []})
    assert connect(**fields).list_indexes() == []
    assert requests_mock.last_request.headers["Api-Key"] == KEY


NO_HOSTS = [
    *("https://api.pinecone.io/v1", "https://api.pinecone.io?x=1", "https://api.pinecone.io/#x", "api.pinecone.io/v1"),
    *("ftp://api.pinecone.io", "file:///etc/passwd", "unix:///run/x.sock", "https://", "http:///x", "a b", "a,b"),
    *("https://[::1", "https://[fe80::1%25eth0]", "https://api.pinecone.io:port", "https://api.pinecone.io:99999"),
    "https://\u00e4.x",
]
NO_KEYS = [f"{KEY}\n", f"{KEY}\r\nX: y", f" {KEY}", "pc key 12345", "pc-k\u00e9y-12345", "pc-key\t12345", "pc\0key"]
NO_VERSIONS = ["2025-04", "2024-07", "latest", "2025-1", "2025-11", "2025-10\n", "20\uff12\uff16-04", 2025, ["x"]]
NO_TIMEOUTS = [0, -1, 601, "soon", "nan", "inf", [5], {"s": 5}, 10**400, "-0"]
NO_PERMISSIONS = [False, "false", "no", 0, None, "", [True], {"a": 1}]
WRONG = [
    *(({"host": host}, "its host must be like api.pinecone.io") for host in NO_HOSTS),
    ({"host": "api.pinecone.io", "schema": "nonsense"}, "its host must be like"),
    ({"host": "api.pinecone.io", "port": 99999}, "there is no port 99999"),
    ({"host": "api.pinecone.io", "port": -1}, "there is no port -1"),
    ({"host": "https://user:secret@api.pinecone.io"}, "its host holds a user or a password"),
    ({"host": "user@api.pinecone.io"}, "its host holds a user or a password"),
    ({"host": "https://:secret@api.pinecone.io"}, "its host holds a user or a password"),
    ({"host": "evil.test\\@api.pinecone.io"}, "its host holds a user or a password"),
    ({"host": "http://api.pinecone.io"}, "plain http to api.pinecone.io would send the API key unencrypted"),
    ({"host": "api.pinecone.io", "schema": "http"}, "plain http to"),
    ({"host": "http://10.0.0.1:5080"}, '"allow_http": true'),
    ({"host": "http://127.0.0.1.evil.test"}, "plain http to"),
    ({"host": "http://localhost.evil.test"}, "plain http to"),
    ({"host": "http://128.0.0.1"}, "plain http to"),
    ({"host": "http://0.0.0.0"}, "plain http to"),
    *(({"host": "http://pinecone.test", "extra": {"allow_http": v}}, "plain http to") for v in NO_PERMISSIONS),
    ({"password": None}, "it has no API key; put it into the password field"),
    ({"password": ""}, "it has no API key"),
    *(({"password": key}, "its password cannot be an API key") for key in NO_KEYS),
    *(({"extra": extra}, "its extra must be a JSON object") for extra in ("no json", "[1]", '"x"', "5", "{")),
    *(
        ({"extra": {"api_version": v}}, "api_version must be 2025-10 or later, such as '2026-04', not")
        for v in NO_VERSIONS
    ),
    *(({"extra": {"timeout": v}}, "extra timeout must be seconds, above 0 and up to 600, not") for v in NO_TIMEOUTS),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow 2 has its own word on an odd extra
@pytest.mark.parametrize(("fields", "says"), WRONG)
def test_a_connection_that_cannot_work_says_why(connect, requests_mock, fields, says):
    hook = connect(**fields)
    for call in (hook.get_conn, hook.list_indexes, lambda: hook.describe_backup(BACKUP_ID)):
        with pytest.raises(PineconeInputError) as caught:
            call()
        text = str(caught.value)
        assert text.startswith("Connection pinecone_default: ")
        assert says in text
        assert "secret" not in text
        assert KEY not in text
        assert caught.value.__cause__ is None
        assert KEY not in repr([caught.value.args, vars(caught.value)])
    assert requests_mock.request_history == []


@pytest.mark.parametrize(("timeout", "seconds"), [(5, 5), ("7.5", 7.5), (600, 600), (None, 30), ("", 30)])
def test_the_timeout_is_of_the_connection(connect, requests_mock, timeout, seconds):
    requests_mock.get(f"{API}/indexes", json={"indexes": []})
    connect(extra={"timeout": timeout}).list_indexes()
    assert requests_mock.last_request.timeout == seconds


@pytest.mark.parametrize("api_version", ["2025-10", "2026-01", "2026-04", "2026-07", "2031-10", None, ""])
def test_the_version_is_of_the_connection(connect, requests_mock, api_version):
    requests_mock.get(f"{API}/indexes", json={"indexes": []})
    connect(extra={"api_version": api_version}).list_indexes()
    assert requests_mock.last_request.headers["X-Pinecone-Api-Version"] == (api_version or "2025-10")


@pytest.mark.parametrize("conn_type", ["pinecone", "generic", "http"])
def test_connections_of_the_official_provider_work_as_they_are(emulator, connect, conn_type):
    hook = connect(
        conn_type=conn_type,
        host=emulator.url,
        login="us-east-1-aws",
        extra={"region": "us-east-1", "project_id": "abc123", "debug_curl": True},
    )
    assert [index["name"] for index in hook.list_indexes()] == ["docs-example"]
    (sent,) = emulator.requests
    assert "Authorization" not in sent.headers


# The button in the UI


def test_a_connection_that_works_says_so(emulator, at_emulator):
    assert at_emulator.test_connection() == (True, "Connected; the project has 1 index.")
    emulator.add_index("more")
    assert at_emulator.test_connection() == (True, "Connected; the project has 2 indexes.")


@pytest.mark.parametrize(
    ("fields", "fault", "says"),
    [
        ({}, {"status": 401}, "Check the API key"),
        ({}, {"status": 503}, "HTTP 503"),
        ({}, {"drop": "before"}, "Could not list the indexes"),
        ({}, {"body": "<html>"}, "check the host of the connection"),
        ({}, {"body": {"indexes": 5}}, "no list of indexes"),
        ({"password": ""}, {}, "no API key"),
        ({"extra": {"timeout": 0}}, {}, "extra timeout"),
    ],
)
def test_a_connection_that_fails_says_why_at_once(emulator, connect, fields, fault, says):
    if fault:
        emulator.fault("GET", "/indexes", times=None, **fault)
    works, text = connect(host=emulator.url, **fields).test_connection()
    assert works is False
    assert says in text
    assert len(emulator.requests) == bool(fault)


def test_a_host_that_nobody_listens_on_is_named(emulator, at_emulator):
    emulator.stop()
    with pytest.raises(PineconeConnectionError, match=f"list the indexes at {emulator.url}: .*refused") as caught:
        at_emulator.list_indexes(retry=False)
    assert not caught.value.sent
    assert caught.value.status_code is None
    assert isinstance(caught.value, PineconeError)


def test_the_form_of_older_airflows():
    form = PineconeHook.get_ui_field_behaviour()
    assert form["relabeling"]["password"] == "API key"
    assert set(form["hidden_fields"]) == {"login", "port", "schema"}
    assert json.loads(form["placeholders"]["extra"])


@pytest.mark.parametrize("answer", [None, [], "x", {}, INDEX | {"name": "other"}, INDEX | {"status": "Ready"}])
def test_what_is_not_that_index_is_an_error(hook, requests_mock, answer):
    requests_mock.get(f"{API}/indexes/docs-example", json=answer)
    with pytest.raises(PineconeTransientError, match="describe index docs-example"):
        hook.describe_index("docs-example", retry=False)


@pytest.mark.parametrize("answer", [None, [], {}, JOB | {"restore_job_id": "r-2"}, JOB | {"status": None}])
def test_what_is_not_that_restore_job_is_an_error(hook, requests_mock, answer):
    requests_mock.get(f"{API}/restore-jobs/r-1", json=answer)
    with pytest.raises(PineconeTransientError, match="describe restore job r-1"):
        hook.describe_restore_job("r-1", retry=False)


@pytest.mark.parametrize("fields", [{"target_index_id": None}, {"target_index_id": ""}])
def test_the_index_of_a_restore_may_not_be_known(hook, requests_mock, fields):
    requests_mock.get(f"{API}/restore-jobs/r-1", json=JOB | fields)
    assert hook.describe_restore("r-1")["index_id"] == ""


@pytest.mark.parametrize("ready", [True, False, None, "yes"])
def test_a_restore_is_ready_when_its_index_says_so(hook, requests_mock, ready):
    requests_mock.get(f"{API}/restore-jobs/r-1", json=JOB | {"status": "Completed"})
    status = {"state": "?"} if ready is None else {"ready": ready, "state": "?"}
    requests_mock.get(f"{API}/indexes/docs-2", json=INDEX | {"name": "docs-2", "status": status})
    assert hook.describe_restore("r-1")["index_ready"] is (ready is True)
