"""Random responses: a call or a task returns a valid result, or raises a documented error with a short message.

No message contains the API key, and no task succeeds unless Pinecone has said so.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import requests_mock as mock_requests
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clients import set_connection
from support.clock import FakeClock
from support.constants import API_KEY
from support.tasks import TaskInstance, make_task, run_try

from airflow_pinecone import operators, sensors
from airflow_pinecone.api import responses
from airflow_pinecone.api.models import created_at
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.errors import PineconeError, PruneIncomplete
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.policy import CheckRules
from airflow_pinecone.rules import check, identity, retention
from airflow_pinecone.rules.history import BackupHistory
from airflow_pinecone.runtime.tries import start_try

BACKUP_ID = "8c85e612-ed1c-4f97-9f8c-8194e07bcf71"
MARK = "[airflow-pinecone 90177680dfff23fb16c75484b2112d02]"
NOW = datetime(2025, 6, 1, tzinfo=UTC)
MAX_AGE = timedelta(days=365)

# What a task may raise: the errors of this package, and Airflow's outcomes.
DOCUMENTED = (PineconeError, AirflowFailException, AirflowSensorTimeout, AirflowSkipException)


# Valid responses


def backup(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "backup_id": f"b-{number}",
        "source_index_name": "docs-example",
        "source_index_id": "670e8400-e29b-41d4-a716-446655440000",
        "status": "Ready",
        "cloud": "aws",
        "region": "us-east-1",
        "name": "nightly",
        "description": f"By Airflow {MARK}",
        "dimension": 1536,
        "record_count": 96,
        "tags": {"team": "search"},
        "created_at": f"2025-05-1{number}T03:00:00.000000Z",
        **fields,
    }


def restore_job(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "restore_job_id": f"r-{number}",
        "backup_id": BACKUP_ID,
        "target_index_name": "docs-2",
        "target_index_id": "i-2",
        "status": "Completed",
        "created_at": "2025-05-14T16:37:25.625540Z",
        **fields,
    }


def index(name: str) -> dict[str, Any]:
    host = "docs-abc.svc.pinecone.io"
    return {"name": name, "host": host, "status": {"ready": True, "state": "Ready"}, "spec": {"serverless": {}}}


def valid_response(request: Any, description: str) -> Any:
    """Return the body of Pinecone's response; the newest backup of a list has the description."""
    first, *rest = request.path.strip("/").split("/")
    match (request.method, first, rest):
        case ("DELETE", _, _):
            return None
        case ("GET", "backups", [backup_id]):
            return backup(3, backup_id=backup_id)
        case ("POST", "backups", _):
            return {"restore_job_id": "r-1", "index_id": "i-2"}
        case ("POST", "indexes", _):
            return backup(3, status="Initializing")
        case ("GET", "backups", _) | ("GET", "indexes", [_, "backups"]):
            rows = [backup(5, description=description), backup(4), backup(3), backup(2), backup(1, status="Failed")]
            rows.append(backup(0, description="by hand"))
            return {"data": rows, "pagination": None}
        case ("GET", "restore-jobs", []):
            return {"data": [restore_job(1), restore_job(0, status="Failed")], "pagination": None}
        case ("GET", "restore-jobs", [restore_job_id]):
            return restore_job(1, restore_job_id=restore_job_id)
        case ("GET", "indexes", []):
            return {"indexes": [index("docs-example"), index("docs-2")]}
        case ("GET", "indexes", [name]):
            return index(name)
    return {"totalVectorCount": 96, "namespaces": {}, "dimension": 1536}


# Invalid responses

# JSON that json.dumps does not write. Elsewhere its number stands for it.
RAW_JSON = ["1e999", "-1e999", "9" * 5000, "[" * 50_000 + "]" * 50_000, "01", "\\", "}"]
TEXTS = [
    "",
    " ",
    "None",
    "x" * 10_000,
    "\ud800" * 600,
    "a\0b",
    "\u202eabc",
    "\U0001f5c3",
    "a\nb\u2028c",
    "a/../b?c#%2f",
]
NUMBERS = [0, -1, True, False, 1.5, 96.0, 2**64, 10**399, -(10**399), math.nan, math.inf, -math.inf]
OTHERS: list[Any] = [*[..., None] * 4, [], {}, [None], {"a": [1]}, [[[]]], *(f"@{n}@" for n in range(len(RAW_JSON)))]
# Values for any field; ... removes the field.
VALUES = [*TEXTS, *NUMBERS, *OTHERS]
STATUSES = ["READY", "ready", " Ready", "Ready\n", "Ready\0", "Re\u0430dy", "Initializing", "Pending", "Dreaming"]
STATUSES += ["Failed", "InitializationFailed", "failed", "Cancelled", "completed", "Completed "]
TIMES = ["soon", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "2025-05-14T24:00:00Z", "2025-05-14"]
TIMES += ["2025-05-14T03:00:00." + "0" * 10_000 + "Z", "20250514T030000", "2025-W20-3", "2999-01-01T00:00:00Z"]
HOSTS = ["[::ffff:999.1.1.1]", "[::1", "a..b", "x" * 300, "x:99999", "x:" + "9" * 5000, ".", "http://evil.test"]
VALUES_OF: dict[str, list[Any]] = {
    "status": STATUSES,
    "backup_id": ["b-2", BACKUP_ID],
    "restore_job_id": ["r-0"],
    "source_index_id": ["another"],
    "source_index_name": ["other"],
    "target_index_name": ["docs-example"],
    "created_at": TIMES,
    "record_count": [1, 100, -5],
    "totalVectorCount": [1, 100, -5],
    "description": ["by hand", MARK],
    "host": HOSTS,
    "data": [[None], ["x"], [[]], [{}]],
    "indexes": [[None], ["x"], [[]], [{}]],
    "pagination": [{"next": "t"}, {"next": 5}, {"next": "\ud800"}, {"next": ""}, {"next": {}}, ["next"]],
}
MESSAGES = ["", "m", "Increase your quota", "deletion protection", "upgrade", f"your key is {API_KEY}", *VALUES]
ERRORS: list[Any] = [
    *({"status": 404, "error": {"code": text, "message": text, "details": {}}} for text in MESSAGES),
    *({"code": text, "message": text, "details": []} for text in MESSAGES),
    *({"error": text} for text in MESSAGES),
    *MESSAGES,
]
BODIES = [b"", b" \n", b"<html><h1>502</h1>", b"\xff\xfe\x00", b"{", b"OK", b"null", b"[]", b'"Ready"']
BODIES += [b"\xef\xbb\xbf{}", API_KEY.encode(), b"<p>" + API_KEY.encode() * 400, b"x" * 100_000, b"[" * 50_000]
BODIES += ['{"é": 1}'.encode("utf-16"), b"NaN"]
RETRY_AFTER = ["0", "7", "-1", "1e400", "nan", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 5000, "\u0667", ","]
RETRY_AFTER += [", " * 40]
HEADERS: list[dict[str, str]] = [{}] * 6
HEADERS += [{"Retry-After": text} for text in RETRY_AFTER]
HEADERS += [{"Content-Type": text} for text in ("text/html", "application/json; charset=utf-7", "", "\xe9")]
HEADERS += [{"x-pinecone-request-id": text} for text in ("req-7", "", "x" * 10_000, API_KEY, "\x1b[31m\x85", "a\nb")]
HEADERS += [{"Content-Encoding": text} for text in ("gzip", "deflate", "identity", "?")]
HEADERS += [{"Location": "http://evil.test/"}, {"Set-Cookie": "=;;\xff"}, {"Content-Length": "-1"}]


class Change(NamedTuple):
    """Give one field another value.

    Attributes:
        row: The number of the object that has the field: the response itself, a row of it, or its status.
        field: The number of the field; one more than there are adds a field.
        value: The number of the value.
    """

    row: int
    field: int
    value: int

    def apply(self, response: dict[str, Any]) -> None:
        rows = response.get("data") or response.get("indexes")
        candidates = [response, *(rows if isinstance(rows, list) else []), response.get("status")]
        models = [candidate for candidate in candidates if isinstance(candidate, dict)]
        model = models[self.row % len(models)]
        field = [*model, "a_new_field"][self.field % (len(model) + 1)]
        values = (self.value % 2 and VALUES_OF.get(field)) or VALUES
        value = copy.deepcopy(values[self.value // 2 % len(values)])
        if value is ...:
            model.pop(field, None)
        else:
            model[field] = value


class Response(NamedTuple):
    """A valid response, or one with changes, or one with another body.

    Attributes:
        status: The status; None for that of a valid response.
        changes: The changes to the valid body.
        doubled: Whether to write each key twice, first with the valid value. The last one counts.
        body: Another body: bytes, or a value to be written as JSON; None for the valid body with the changes.
        headers: Headers to add.
    """

    status: int | None = None
    changes: Sequence[Change] = ()
    doubled: bool = False
    body: Any = None
    headers: dict[str, str] = HEADERS[0]

    def content(self, valid: Any) -> bytes:
        """Return the bytes of the body, for the valid response of a request."""
        if isinstance(self.body, bytes):
            return self.body
        if self.body is not None:
            return to_json(self.body)
        if valid is None:
            return b""
        before = to_json(valid)
        for change in self.changes:
            change.apply(valid)
        return before[:-1] + b"," + to_json(valid)[1:] if self.doubled else to_json(valid)


def to_json(value: Any) -> bytes:
    written = json.dumps(value, default=lambda _: None)
    return re.sub(r'"@(\d+)@"', lambda found: RAW_JSON[int(found[1])], written).encode()


numbers = st.integers(0, 499)
changes = st.builds(Change, st.integers(0, 5), numbers, numbers)
statuses = st.sampled_from([200, 200, 201, 204, 302, 400, 401, 403, 404, 409, 412, 429, 500]) | st.integers(200, 599)
bodies = st.sampled_from(ERRORS + BODIES) | st.binary(max_size=40)
changed = st.builds(
    lambda changes, number: Response(changes=changes, doubled=number % 4 == 3),
    st.lists(changes, min_size=1, max_size=3),
    numbers,
)
others = st.builds(
    lambda status, body, headers: Response(status, body=body, headers=headers),
    statuses,
    bodies,
    st.sampled_from(HEADERS),
)
# The last response is repeated.
conversations = st.lists(st.one_of(st.just(Response()), changed, changed, others), min_size=1, max_size=4)


class Sent(NamedTuple):
    """A response that was sent."""

    request: str
    status: int
    content: bytes


class Service:
    """Sends responses to all requests, and records them."""

    def __init__(self, conversation: list[Response]) -> None:
        self._responses = list(conversation)
        self._description = ""
        self.sent: list[Sent] = []

    def __call__(self, request: Any, context: Any) -> bytes:
        response = self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]
        if request.method == "POST":
            self._description = request.json().get("description", "")
        content = response.content(valid_response(request, self._description))
        context.status_code = response.status or {"GET": 200, "POST": 201, "DELETE": 202}[request.method]
        context.headers.update(response.headers)
        self.sent.append(Sent(f"{request.method} {request.path_url}", context.status_code, content))
        return content

    def last(self, request: str) -> Any:
        """Return the body of the last response to a request, given as a pattern; None if it was not a 2xx."""
        sent = next(sent for sent in reversed(self.sent) if re.fullmatch(request, sent.request))
        return json.loads(sent.content) if 200 <= sent.status < 300 and sent.content.strip() else None

    def models(self, *, of_all: bool = False) -> list[str]:
        """Return all objects in the last 2xx response to each request, as JSON: NaN is not equal to itself.

        With ``of_all``, return those of every response.
        """
        found = []
        for sent in self.sent if of_all else {sent.request: sent for sent in self.sent}.values():
            with contextlib.suppress(ValueError, RecursionError):
                body = json.loads(sent.content)
                if 200 <= sent.status < 300 and isinstance(body, dict):
                    found += [body, *(rows if isinstance(rows := body.get("data"), list) else [])]
        return [json.dumps(model) for model in found]


@pytest.fixture(autouse=True)
def connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the connection."""
    set_connection(monkeypatch)


@contextlib.contextmanager
def serve(conversation: list[Response]) -> Iterator[Service]:
    service = Service(conversation)
    with mock_requests.Mocker() as pinecone:
        pinecone.register_uri(mock_requests.ANY, mock_requests.ANY, content=service)
        yield service


def fuzz(examples: int) -> Callable[[Any], Any]:
    # The fixture is the same for all examples.
    checks = [HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples, database=None, deadline=None, suppress_health_check=checks)


def check_error(error: BaseException) -> None:
    assert isinstance(error, DOCUMENTED), repr(error)
    message = str(error)
    lines = message.split("\n")
    assert all(line.isprintable() for line in lines)
    # The error of a prune has a line for each of its last failures.
    assert len(lines) <= (14 if isinstance(error, PruneIncomplete) else 5)
    assert all(len(line) < 5000 for line in lines)
    assert API_KEY not in message


# Calls

CALLS: dict[str, Callable[[PineconeHook], Any]] = {
    "create_backup": lambda hook: hook.create_backup("docs-example", name="n", description="d"),
    "describe_backup": lambda hook: hook.describe_backup(BACKUP_ID),
    "list_backups": lambda hook: list(hook.list_backups()),
    "list_backups of an index": lambda hook: list(hook.list_backups("docs-example")),
    "delete_backup": lambda hook: hook.delete_backup(BACKUP_ID),
    "list_indexes": lambda hook: hook.list_indexes(),
    "describe_index": lambda hook: hook.describe_index("docs-example"),
    "delete_index": lambda hook: hook.delete_index("docs-example"),
    "create_index_from_backup": lambda hook: hook.create_index_from_backup(BACKUP_ID, name="docs-2"),
    "describe_restore_job": lambda hook: hook.describe_restore_job("r-1"),
    "list_restore_jobs": lambda hook: list(hook.list_restore_jobs()),
    "describe_index_stats": lambda hook: hook.describe_index_stats("docs-example"),
    "test_connection": lambda hook: hook.test_connection(),
}
_JOB_FIELDS = "restore_job_id backup_id target_index_name status"
# The fields that each object of a result has, as a str.
FIELDS = {
    "create_backup": "backup_id status",
    "describe_backup": "backup_id status",
    "list_backups": "backup_id status",
    "list_backups of an index": "backup_id status",
    "list_indexes": "name",
    "describe_index": "name",
    # Since API version 2026-07, index_id may be missing.
    "create_index_from_backup": "restore_job_id",
    "describe_restore_job": _JOB_FIELDS,
    "list_restore_jobs": _JOB_FIELDS,
}


@pytest.mark.parametrize("name", CALLS)
@fuzz(12)
@given(conversation=conversations)
def test_call_returns_a_valid_result_or_raises_an_error(name: str, conversation: list[Response]) -> None:
    with serve(conversation):
        try:
            result = CALLS[name](PineconeHook(clock=FakeClock()))
        except PineconeError as error:
            check_error(error)
            return
    if name == "test_connection":
        assert API_KEY not in result[1]
    elif name in FIELDS:
        for model in result if isinstance(result, list) else [result]:
            assert all(isinstance(model[field], str) for field in FIELDS[name].split())
    else:
        assert result is None or isinstance(result, dict)


# Tasks

MakeTask = Callable[[], Any]


def maker(cls: Callable[..., Any], **arguments: Any) -> MakeTask:
    return lambda: make_task(cls, FakeClock(), **arguments)


TASKS: dict[str, MakeTask] = {
    "create": maker(operators.CreateBackupOperator, index_name="docs-example"),
    "create or reuse": maker(operators.CreateBackupOperator, index_name="docs-example", reuse_within=MAX_AGE),
    "verify": maker(operators.VerifyBackupOperator, backup_id=BACKUP_ID, max_shrink=0.5),
    "verify with the index": maker(
        operators.VerifyBackupOperator, backup_id=BACKUP_ID, max_shrink=0.5, compare_to="index"
    ),
    "delete": maker(operators.DeleteBackupOperator, backup_id=BACKUP_ID, poke_interval=60, timeout=900),
    "freshness sensor": maker(sensors.BackupFreshnessSensor, index_name="docs-example", max_age=MAX_AGE, timeout=900),
}
for place, deferrable in (("worker", False), ("triggerer", True)):
    times: dict[str, Any] = {"deferrable": deferrable, "poke_interval": 60, "timeout": 900}
    TASKS |= {
        f"create and wait, {place}": maker(
            operators.CreateBackupOperator, index_name="docs-example", wait_for_completion=True, **times
        ),
        f"restore, {place}": maker(
            operators.CreateIndexFromBackupOperator, backup_id=BACKUP_ID, index_name="docs-2", **times
        ),
        f"backup sensor, {place}": maker(sensors.BackupSensor, backup_id=BACKUP_ID, **times),
        f"restore sensor, {place}": maker(sensors.RestoreJobSensor, restore_job_id="r-1", **times),
    }


@pytest.mark.parametrize("name", TASKS)
@fuzz(20)
@given(conversation=conversations, try_number=st.integers(1, 2))
def test_task_succeeds_only_if_pinecone_says_so(name: str, conversation: list[Response], try_number: int) -> None:
    ti = TaskInstance(try_number=try_number, run_started=NOW)
    with serve(conversation) as service:
        outcome = run_try(TASKS[name](), ti)
    if outcome.error is None:
        check_storable(ti.xcoms)
        check_success(name, outcome.value, service)
    else:
        check_error(outcome.error)


def check_storable(value: Any) -> None:
    """Check that Airflow's msgpack and PostgreSQL's JSON can store a value."""

    def parse(digits: str) -> int:
        assert abs(int(digits)) < 2**63
        return int(digits)

    json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode(), parse_int=parse)


def check_success(name: str, value: Any, service: Service) -> None:
    """Check that the last response of Pinecone says what the task returned."""
    if name == "delete":
        assert service.sent[-1].status in (*range(200, 300), 404)
    elif "restore" in name:
        job = service.last("GET /restore-jobs/.*")
        assert (job["status"], job["restore_job_id"]) == ("Completed", value["restore_job_id"])
        target = service.last("GET /indexes/.*")
        assert target["status"]["ready"] is True
        assert target["name"] == value["index_name"]
    elif name.startswith("verify"):
        verified = service.last("GET /backups/.*")
        assert (verified["status"], verified["backup_id"]) == ("Ready", BACKUP_ID)
        assert type(verified["record_count"]) is int
        assert verified["record_count"] > 0
    else:
        # In a listing, an invalid field becomes unknown.
        models = [json.loads(model) for model in service.models()]
        assert json.dumps(value) in map(json.dumps, [*models, *map(responses.without_invalid_fields, models)])
        assert value["status"] == "Ready" or name in ("create", "create or reuse")
        if service.sent[-1].request.startswith("GET /backups/"):
            assert json.dumps(value) == json.dumps(service.last("GET /backups/.*"))
            assert service.sent[-1].request == f"GET /backups/{value['backup_id']}"


@fuzz(60)
@given(conversation=conversations, owned_only=st.booleans(), remove_failed=st.booleans(), dry_run=st.booleans())
def test_prune_deletes_only_what_it_may_delete(
    conversation: list[Response], owned_only: bool, remove_failed: bool, dry_run: bool
) -> None:
    task = make_task(
        operators.PruneBackupsOperator,
        FakeClock(),
        index_name="docs-example",
        keep_last=1,
        owned_only=owned_only,
        remove_failed=remove_failed,
        dry_run=dry_run,
    )
    with serve(conversation) as service:
        outcome = run_try(task, TaskInstance(run_started=NOW))
    if outcome.error is not None:
        check_error(outcome.error)
    # The plan is made from the first valid listing. A response that is cut off has rows, too, which may differ.
    listed: dict[str, list[Any]] = {}
    for model in map(json.loads, service.models(of_all=True)):
        if isinstance(model, dict) and "status" in model:
            listed.setdefault(str(model.get("backup_id")), []).append(model)
    deleted = {sent.request.rpartition("/")[2] for sent in service.sent if sent.request.startswith("DELETE")}
    assert not (deleted and dry_run)

    def can_be_deleted(model: Any) -> bool:
        is_final = model["status"] == "Ready" or (
            remove_failed and model["status"] in ("Failed", "InitializationFailed")
        )
        is_known = created_at(model) is not None and isinstance(model.get("source_index_id"), str)
        return is_final and is_known and (MARK in str(model.get("description")) or not owned_only)

    for backup_id in deleted:
        assert any(map(can_be_deleted, listed[backup_id]))
    ready = [
        (created_at(model), backup_id)
        for backup_id, models in listed.items()
        for model in models
        if model["status"] == "Ready"
    ]
    dated = [(moment, backup_id) for moment, backup_id in ready if moment]
    is_one_listing = all(model == models[0] for models in listed.values() for model in models)
    assert not deleted or {backup_id for _, backup_id in dated} - deleted
    assert not (deleted and is_one_listing) or max(dated)[1] not in deleted


# Decisions, with all backups that pass the checks of responses


@fuzz(100)
@given(
    changes=st.lists(changes, max_size=8),
    records=st.sampled_from(VALUES),
    max_shrink=st.sampled_from([None, 0, 0.5]),
)
def test_decisions_accept_every_checked_backup(changes: list[Change], records: Any, max_shrink: float | None) -> None:
    origin = start_try(TaskInstance(run_started=NOW).context, NOW.timestamp()).origin
    page = {"data": [backup(number, description=origin.mark) for number in range(5)]}
    rows = checked_backups(Response(changes=changes).content(page))
    history = BackupHistory(rows)
    newest = history.newest_ready
    assert newest is None or (newest["status"] == "Ready" and created_at(newest))
    usable, failed = identity.backups_of(origin, rows)
    assert usable is None or usable["status"] not in ("Failed", "InitializationFailed")
    assert all(row["status"] in ("Failed", "InitializationFailed") for row in failed)
    plan = retention.plan(history, retention.RetentionRules(keep_last=1), now=NOW, remove_failed=True)
    assert len(plan.decisions) == len(rows)
    assert all(len(line) < 1000 for line in plan.table().splitlines())
    for row in rows:
        rules = CheckRules(max_shrink=max_shrink)
        try:
            earlier = history.previous(row)
        except PineconeError as error:
            check_error(error)
            continue
        baselines = [check.index_baseline("docs-example", {"totalVectorCount": records}), None]
        if earlier:
            baselines.append(check.backup_baseline(earlier))
        for baseline in baselines:
            findings = check.check_backup(row, baseline, rules)
            assert findings or (row["status"] == "Ready" and row["record_count"] > 0)
            check_error(PineconeError("; ".join(["The check failed", *findings])))


def checked_backups(content: bytes) -> list[Any]:
    """Return the backups of a page that pass the checks of responses, each once."""
    operation = Operation("list_project_backups", "GET", ("backups",), "list the backups")
    rows: dict[str, Any] = {}
    with contextlib.suppress(ValueError, RecursionError, TypeError, KeyError):
        for row in json.loads(content)["data"]:
            with contextlib.suppress(PineconeError):
                rows.setdefault(responses.backup(row, operation)["backup_id"], row)
    return list(rows.values())
