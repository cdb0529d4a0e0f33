"""Whatever is answered: a result or an error of ours, a short text, no key in it, and no green that nobody gave."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import requests_mock
import tenacity
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import TaskInstance, Time, make, run_try

from airflow_pinecone import hooks, identity, models, operators, retention, sensors, verification
from airflow_pinecone.errors import PineconeError, PruneIncomplete

KEY = "pc-test-key-0123456789"
BACKUP = "8c85e612-ed1c-4f97-9f8c-8194e07bcf71"
MARK = "[airflow-pinecone 90177680dfff23fb16c75484b2112d02]"
NOW = datetime(2025, 6, 1, tzinfo=UTC)
AGE = timedelta(days=9999)

# What may come out of a task: our errors, and Airflow's own ends.
ENDS = (PineconeError, AirflowFailException, AirflowSensorTimeout, AirflowSkipException)

# Good answers


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


def job(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "restore_job_id": f"r-{number}",
        "backup_id": BACKUP,
        "target_index_name": "docs-2",
        "target_index_id": "i-2",
        "status": "Completed",
        "created_at": "2025-05-14T16:37:25.625540Z",
        **fields,
    }


def index(name: str) -> dict[str, Any]:
    host = "docs-abc.svc.pinecone.io"
    return {"name": name, "host": host, "status": {"ready": True, "state": "Ready"}, "spec": {"serverless": {}}}


def good(request: Any, description: str) -> Any:
    """What Pinecone would answer; the newest backup of a listing was described so."""
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
            return {"data": [job(1), job(0, status="Failed")], "pagination": None}
        case ("GET", "restore-jobs", [job_id]):
            return job(1, restore_job_id=job_id)
        case ("GET", "indexes", []):
            return {"indexes": [index("docs-example"), index("docs-2")]}
        case ("GET", "indexes", [name]):
            return index(name)
    return {"totalVectorCount": 96, "namespaces": {}, "dimension": 1536}


# Bad answers

# What json.dumps does not write stands for itself in the text, by its number.
UNWRITTEN = ["1e999", "-1e999", "9" * 5000, "[" * 50_000 + "]" * 50_000, "01", "\\", "}"]
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
OTHERS: list[Any] = [*[..., None] * 4, [], {}, [None], {"a": [1]}, [[[]]], *(f"@{n}@" for n in range(len(UNWRITTEN)))]
ODD = [*TEXTS, *NUMBERS, *OTHERS]
STATUSES = ["READY", "ready", " Ready", "Ready\n", "Ready\0", "Re\u0430dy", "Initializing", "Pending", "Dreaming"]
STATUSES += ["Failed", "InitializationFailed", "failed", "Cancelled", "completed", "Completed "]
TIMES = ["soon", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "2025-05-14T24:00:00Z", "2025-05-14"]
TIMES += ["2025-05-14T03:00:00." + "0" * 10_000 + "Z", "20250514T030000", "2025-W20-3", "2999-01-01T00:00:00Z"]
HOSTS = ["[::ffff:999.1.1.1]", "[::1", "a..b", "x" * 300, "x:99999", "x:" + "9" * 5000, ".", "http://evil.test"]
SUITED: dict[str, list[Any]] = {
    "status": STATUSES,
    "backup_id": ["b-2", BACKUP],
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
WORDS = ["", "m", "Increase your quota", "deletion protection", "upgrade", f"your key is {KEY}", *ODD]
ERRORS: list[Any] = [
    *({"status": 404, "error": {"code": word, "message": word, "details": {}}} for word in WORDS),
    *({"code": word, "message": word, "details": []} for word in WORDS),
    *({"error": word} for word in WORDS),
    *WORDS,
]
JUNK = [b"", b" \n", b"<html><h1>502</h1>", b"\xff\xfe\x00", b"{", b"OK", b"null", b"[]", b'"Ready"', b"\xef\xbb\xbf{}"]
JUNK += [KEY.encode(), b"<p>" + KEY.encode() * 400, b"x" * 100_000, b"[" * 50_000, '{"é": 1}'.encode("utf-16"), b"NaN"]
LATER = ["0", "7", "-1", "1e400", "nan", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 5000, "\u0667", ",", ", " * 40]
HEADERS: list[dict[str, str]] = [{}] * 6
HEADERS += [{"Retry-After": text} for text in LATER]
HEADERS += [{"Content-Type": text} for text in ("text/html", "application/json; charset=utf-7", "", "\xe9")]
HEADERS += [{"x-pinecone-request-id": text} for text in ("req-7", "", "x" * 10_000, KEY, "\x1b[31m\x85", "a\nb")]
HEADERS += [{"Content-Encoding": text} for text in ("gzip", "deflate", "identity", "?")]
HEADERS += [{"Location": "http://evil.test/"}, {"Set-Cookie": "=;;\xff"}, {"Content-Length": "-1"}]


class Change(NamedTuple):
    """One field, by its number, becomes another value, also by its number; in a listing, that of a row or the page."""

    row: int
    field: int
    value: int

    def make(self, answer: dict[str, Any]) -> None:
        rows = answer.get("data") or answer.get("indexes")
        levels = [answer, *(rows if isinstance(rows, list) else []), answer.get("status")]
        dicts = [level for level in levels if isinstance(level, dict)]
        model = dicts[self.row % len(dicts)]
        field = [*model, "a_new_field"][self.field % (len(model) + 1)]
        values = (self.value % 2 and SUITED.get(field)) or ODD
        value = copy.deepcopy(values[self.value // 2 % len(values)])
        if value is ...:
            model.pop(field, None)
        else:
            model[field] = value


class Answer(NamedTuple):
    """The good answer, or that with changes, or with a body of its own."""

    status: int | None = None
    changes: Sequence[Change] = ()
    doubled: bool = False
    body: Any = None
    headers: dict[str, str] = HEADERS[0]

    def content(self, answer: Any) -> bytes:
        """Write it, where this would be the good one."""
        if isinstance(self.body, bytes):
            return self.body
        if self.body is not None:
            return text(self.body)
        if answer is None:
            return b""
        before = text(answer)
        for change in self.changes:
            change.make(answer)
        # Each key twice: of two, the last counts.
        return before[:-1] + b"," + text(answer)[1:] if self.doubled else text(answer)


def text(value: Any) -> bytes:
    written = json.dumps(value, default=lambda _: None)
    return re.sub(r'"@(\d+)@"', lambda found: UNWRITTEN[int(found[1])], written).encode()


number = st.integers(0, 499)
change = st.tuples(st.integers(0, 5), number, number).map(lambda numbers: Change(*numbers))
statuses = st.sampled_from([200, 200, 201, 204, 302, 400, 401, 403, 404, 409, 412, 429, 500]) | st.integers(200, 599)
bodies = st.sampled_from(ERRORS + JUNK) | st.binary(max_size=40)
changed = st.tuples(st.lists(change, min_size=1, max_size=3), number).map(
    lambda drawn: Answer(None, drawn[0], doubled=drawn[1] % 4 == 3)
)
other = st.tuples(statuses, bodies, st.sampled_from(HEADERS)).map(lambda drawn: Answer(drawn[0], (), False, *drawn[1:]))
answers = st.one_of(st.just(Answer()), changed, changed, other)
# The last one repeats for ever.
talks = st.lists(answers, min_size=1, max_size=4)


class Service:
    """Answers whatever is asked, and remembers it."""

    def __init__(self, talk: list[Answer]) -> None:
        self.talk = list(talk)
        self.description = ""
        self.told: list[tuple[str, int, bytes]] = []

    def __call__(self, request: Any, context: Any) -> bytes:
        answer = self.talk.pop(0) if len(self.talk) > 1 else self.talk[0]
        if request.method == "POST":
            self.description = request.json().get("description", "")
        content = answer.content(good(request, self.description))
        context.status_code = answer.status or {"GET": 200, "POST": 201, "DELETE": 202}[request.method]
        context.headers.update(answer.headers)
        self.told.append((f"{request.method} {request.path_url}", context.status_code, content))
        return content

    def last(self, asked: str) -> Any:
        """What the last answer to such a request said; None where it was not a good one."""
        _, status, content = next(told for told in reversed(self.told) if re.fullmatch(asked, told[0]))
        return json.loads(content) if 200 <= status < 300 and content.strip() else None

    def told_of(self) -> list[str]:
        """All objects that the last answer to each request told of, as JSON: NaN is not equal to itself."""
        found = []
        for status, content in {asked: answer for asked, *answer in self.told}.values():
            with contextlib.suppress(ValueError, RecursionError):
                answer = json.loads(content)
                if 200 <= status < 300 and isinstance(answer, dict):
                    found += [answer, *(rows if isinstance(rows := answer.get("data"), list) else [])]
        return [json.dumps(one) for one in found]


@pytest.fixture(autouse=True)
def world(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"conn_type": "pinecone", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_PINECONE_DEFAULT", json.dumps(value))
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda seconds: None))


@contextlib.contextmanager
def answering(talk: list[Answer]) -> Iterator[Service]:
    service = Service(talk)
    with requests_mock.Mocker() as pinecone:
        pinecone.register_uri(requests_mock.ANY, requests_mock.ANY, content=service)
        yield service


def fuzz(examples: int) -> Callable[[Any], Any]:
    # What an example needs of a fixture's it sets anew by itself.
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_error(error: BaseException) -> None:
    assert isinstance(error, ENDS), repr(error)
    message = str(error)
    lines = message.split("\n")
    assert all(line.isprintable() for line in lines)
    # A prune that met many failures tells some of them, each in a line.
    assert len(lines) == 1 or (isinstance(error, PruneIncomplete) and len(lines) <= 12)
    assert all(len(line) < 5000 for line in lines)
    assert KEY not in message


# The hook

CALLS: dict[str, Callable[[hooks.PineconeHook], Any]] = {
    "create_backup": lambda hook: hook.create_backup("docs-example", name="n", description="d"),
    "describe_backup": lambda hook: hook.describe_backup(BACKUP),
    "list_backups": lambda hook: list(hook.list_backups()),
    "list_backups of an index": lambda hook: list(hook.list_backups("docs-example")),
    "delete_backup": lambda hook: hook.delete_backup(BACKUP),
    "list_indexes": lambda hook: hook.list_indexes(),
    "describe_index": lambda hook: hook.describe_index("docs-example"),
    "delete_index": lambda hook: hook.delete_index("docs-example"),
    "create_index_from_backup": lambda hook: hook.create_index_from_backup(BACKUP, name="docs-2"),
    "describe_restore_job": lambda hook: hook.describe_restore_job("r-1"),
    "describe_restore": lambda hook: hook.describe_restore("r-1"),
    "list_restore_jobs": lambda hook: list(hook.list_restore_jobs()),
    "describe_index_stats": lambda hook: hook.describe_index_stats("docs-example"),
    "test_connection": lambda hook: hook.test_connection(),
}
_JOB = "restore_job_id backup_id target_index_name status"
# What is there, as a str, in each dict of a result.
THERE = {
    "create_backup": "backup_id status",
    "describe_backup": "backup_id status",
    "list_backups": "backup_id status",
    "list_backups of an index": "backup_id status",
    "list_indexes": "name",
    "describe_index": "name",
    "create_index_from_backup": "restore_job_id index_id",
    "describe_restore_job": _JOB,
    "describe_restore": f"{_JOB} index_id index_name",
    "list_restore_jobs": _JOB,
}


@pytest.mark.parametrize("name", CALLS)
@fuzz(20)
@given(talk=talks)
def test_a_call_returns_what_it_promises_or_raises_an_error_of_ours(name: str, talk: list[Answer]) -> None:
    with answering(talk):
        try:
            result = CALLS[name](hooks.PineconeHook())
        except PineconeError as error:
            check_error(error)
            return
    if name == "test_connection":
        assert KEY not in result[1]
    elif name in THERE:
        for model in result if isinstance(result, list) else [result]:
            assert all(isinstance(model[field], str) for field in THERE[name].split())
    else:
        assert result is None or isinstance(result, dict)


# Operators and sensors


def waiting(kind: Any, deferrable: bool, **arguments: Any) -> Callable[[], Any]:
    return lambda: make(kind, deferrable=deferrable, poke_interval=60, timeout=900, **arguments)


TASKS: dict[str, Callable[[], Any]] = {
    "create": lambda: make(operators.CreateBackupOperator, index_name="docs-example"),
    "verify": lambda: make(operators.VerifyBackupOperator, backup_id=BACKUP, max_shrink=0.5),
    "verify, with the index": lambda: make(
        operators.VerifyBackupOperator, backup_id=BACKUP, max_shrink=0.5, compare_to="index"
    ),
    "delete": lambda: make(operators.DeleteBackupOperator, backup_id=BACKUP, poke_interval=60, timeout=900),
    "fresh": lambda: make(sensors.BackupFreshnessSensor, index_name="docs-example", max_age=AGE, timeout=900),
    "reuse": lambda: make(operators.CreateBackupOperator, index_name="docs-example", reuse_within=AGE),
}
for where, deferrable in (("in a worker", False), ("in the triggerer", True)):
    TASKS |= {
        f"create, {where}": waiting(
            operators.CreateBackupOperator, deferrable, index_name="docs-example", wait_for_completion=True
        ),
        f"restore, {where}": waiting(
            operators.CreateIndexFromBackupOperator, deferrable, backup_id=BACKUP, index_name="docs-2"
        ),
        f"sense a backup, {where}": waiting(sensors.BackupSensor, deferrable, backup_id=BACKUP),
        f"sense a restore, {where}": waiting(sensors.RestoreJobSensor, deferrable, restore_job_id="r-1"),
    }


@pytest.mark.parametrize("name", TASKS)
@fuzz(30)
@given(talk=talks, try_number=st.integers(1, 2))
def test_a_task_ends_as_it_should(name: str, talk: list[Answer], try_number: int, time: Time) -> None:
    time.slept.clear()
    ti = TaskInstance(try_number=try_number, run_started=NOW)
    with answering(talk) as service:
        end = run_try(TASKS[name](), ti)
    if end.error is None:
        check_storable(ti.xcoms)
        check_green(name, end.value, service)
    else:
        check_error(end.error)


def check_storable(value: Any) -> None:
    """Airflow's msgpack and PostgreSQL's JSON take it."""

    def small(digits: str) -> int:
        assert abs(int(digits)) < 2**63
        return int(digits)

    json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode(), parse_int=small)


def check_green(name: str, value: Any, service: Service) -> None:
    """Pinecone itself said so, in its last answer."""
    if name.startswith("delete"):
        assert service.told[-1][1] in (*range(200, 300), 404)
    elif "restore" in name:
        told = service.last("GET /restore-jobs/.*")
        assert (told["status"], told["restore_job_id"]) == ("Completed", value["restore_job_id"])
        told = service.last("GET /indexes/.*")
        assert told["status"]["ready"] is True
        assert told["name"] == value["index_name"]
    elif name.startswith("verify"):
        told = service.last("GET /backups/.*")
        assert (told["status"], told["backup_id"]) == ("Ready", BACKUP)
        assert type(told["record_count"]) is int
        assert told["record_count"] > 0
        assert value["findings"] == []
    else:
        assert json.dumps(value) in service.told_of()
        assert value["status"] == "Ready" or name in ("create", "reuse")
        if service.told[-1][0].startswith("GET /backups/"):
            assert json.dumps(value) == json.dumps(service.last("GET /backups/.*"))
            assert service.told[-1][0] == f"GET /backups/{value['backup_id']}"


@fuzz(80)
@given(talk=talks, owned_only=st.booleans(), remove_failed=st.booleans(), dry_run=st.booleans())
def test_a_prune_deletes_nothing_that_it_should_not(
    talk: list[Answer], owned_only: bool, remove_failed: bool, dry_run: bool, time: Time
) -> None:
    time.slept.clear()
    switches = {"owned_only": owned_only, "remove_failed": remove_failed, "dry_run": dry_run}
    task = make(operators.PruneBackupsOperator, index_name="docs-example", keep_last=1, **switches)
    with answering(talk) as service:
        end = run_try(task, TaskInstance(run_started=NOW))
    if end.error is not None:
        check_error(end.error)
    listed: dict[str, Any] = {}
    for model in map(json.loads, service.told_of()):
        if isinstance(model, dict) and "status" in model:
            listed.setdefault(str(model.get("backup_id")), model)
    gone = {asked.rpartition("/")[2] for asked, _, _ in service.told if asked.startswith("DELETE")}
    assert not (gone and dry_run)
    for backup_id in gone:
        model = listed[backup_id]
        assert model["status"] == "Ready" or (remove_failed and model["status"] in ("Failed", "InitializationFailed"))
        assert datetime.fromisoformat(model["created_at"])
        assert isinstance(model["source_index_id"], str)
        assert MARK in str(model.get("description")) or not owned_only
    ready = [(models.created_at(model), backup_id) for backup_id, model in listed.items() if model["status"] == "Ready"]
    dated = [(time, backup_id) for time, backup_id in ready if time]
    assert not gone or max(dated)[1] not in gone


# The pure parts, given what the hook lets through


@fuzz(150)
@given(changes=st.lists(change, max_size=8), stats=st.sampled_from(ODD), max_shrink=st.sampled_from([None, 0, 0.5]))
def test_what_the_hook_lets_through_harms_nobody(changes: list[Change], stats: Any, max_shrink: float | None) -> None:
    made_by = identity.origin(TaskInstance(run_started=NOW).context, 2)
    page = {"data": [backup(number, description=made_by.mark) for number in range(5)]}
    rows = let_through(Answer(changes=changes).content(page))
    newest = models.newest_ready(rows)
    assert newest is None or (newest["status"] == "Ready" and models.created_at(newest))
    found, failed = identity.find(rows, made_by)
    assert found is None or found["status"] not in ("Failed", "InitializationFailed")
    assert all(row["status"] in ("Failed", "InitializationFailed") for row in failed)
    source = retention.current_index(rows)
    plan = retention.plan(rows, retention.Rules(keep_last=1), source_index_id=source, now=NOW, remove_failed=True)
    assert len(plan.decisions) == len(rows)
    assert all(len(line) < 1000 for line in plan.table().splitlines())
    for row in rows:
        rules = verification.Rules(max_shrink=max_shrink)
        try:
            earlier = verification.previous(row, rows)
        except PineconeError as error:
            check_error(error)
            continue
        for counterpart in (earlier, verification.index_now("docs-example", {"totalVectorCount": stats}), None):
            findings = verification.check(row, counterpart, rules)
            assert findings or (row["status"] == "Ready" and row["record_count"] > 0)
            check_error(PineconeError("; ".join(["The check failed", *findings])))


def let_through(content: bytes) -> list[Any]:
    rows = {}
    with contextlib.suppress(ValueError, RecursionError, TypeError, KeyError):
        for row in json.loads(content)["data"]:
            with contextlib.suppress(PineconeError):
                rows.setdefault(hooks._backup(row, "list")["backup_id"], row)
    return list(rows.values())
