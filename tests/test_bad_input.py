"""Names, ids and connections that cannot be: whoever is given one says so, at once and before any request."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jinja2
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from running import TaskInstance, Time, make, run_try

from airflow_pinecone import operators, sensors
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.hooks import PineconeHook

KEY = "pc-test-key-0123456789"
GOOD_ID = "8c85e612-ed1c-4f97-9f8c-8194e07bcf71"

IMPOSSIBLE = ["a/b", "../indexes/x", "..", "a?b", "a#b", "a%2fb", "a\rb", "a\n", "a\r\nX: y", "a\0b", "x" * 10_000]
IMPOSSIBLE += ["", " ", " a", "None", None, "\u00e9", "\ud800", 5, ["a"], {"a": 1}]

# Who is given the name of an index, or an id.
NAMED: dict[str, Callable[[Any], Any]] = {
    "create_backup": lambda name: PineconeHook().create_backup(name),
    "list_backups": lambda name: list(PineconeHook().list_backups("" if name is None else name)),
    "describe_index": lambda name: PineconeHook().describe_index(name),
    "describe_index_stats": lambda name: PineconeHook().describe_index_stats(name),
    "delete_index": lambda name: PineconeHook().delete_index(name),
    "create_index_from_backup": lambda name: PineconeHook().create_index_from_backup(GOOD_ID, name=name),
    "describe_backup": lambda ident: PineconeHook().describe_backup(ident),
    "delete_backup": lambda ident: PineconeHook().delete_backup(ident),
    "create_index_from_backup, the backup": lambda ident: PineconeHook().create_index_from_backup(ident, name="docs"),
    "describe_restore_job": lambda ident: PineconeHook().describe_restore_job(ident),
    "describe_restore": lambda ident: PineconeHook().describe_restore(ident),
    "poll": lambda ident: PineconeHook().poll("backup", ident)(),
}


def task(kind: Any, field: str, **arguments: Any) -> Callable[[Any], Any]:
    return lambda value: make(kind, **{field: value}, **arguments)


TASKS: dict[str, Callable[[Any], Any]] = {
    "create": task(operators.CreateBackupOperator, "index_name"),
    "create, reusing": task(operators.CreateBackupOperator, "index_name", reuse_within=60),
    "prune": task(operators.PruneBackupsOperator, "index_name", keep_last=1),
    "verify": task(operators.VerifyBackupOperator, "backup_id", max_shrink=0.5),
    "delete": task(operators.DeleteBackupOperator, "backup_id"),
    "fresh": task(sensors.BackupFreshnessSensor, "index_name", max_age=60, soft_fail=True),
    "fresh, rescheduled": task(sensors.BackupFreshnessSensor, "index_name", max_age=60, mode="reschedule"),
    "sense a backup, rescheduled": task(sensors.BackupSensor, "backup_id", mode="reschedule"),
    "sense a restore, rescheduled": task(sensors.RestoreJobSensor, "restore_job_id", mode="reschedule"),
}
for where, deferrable in (("worker", False), ("triggerer", True)):
    create = {"wait_for_completion": True, "deferrable": deferrable}
    TASKS |= {
        f"create, {where}": task(operators.CreateBackupOperator, "index_name", **create),
        f"restore, {where}": task(
            operators.CreateIndexFromBackupOperator, "backup_id", index_name="docs", deferrable=deferrable
        ),
        f"restore, the index, {where}": task(
            operators.CreateIndexFromBackupOperator, "index_name", backup_id=GOOD_ID, deferrable=deferrable
        ),
        f"sense a backup, {where}": task(sensors.BackupSensor, "backup_id", deferrable=deferrable, soft_fail=True),
        f"sense a restore, {where}": task(
            sensors.RestoreJobSensor, "restore_job_id", deferrable=deferrable, soft_fail=True
        ),
    }


@pytest.fixture(autouse=True)
def world(time: Time, requests_mock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch)


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    value = {"conn_type": "pinecone", "password": KEY, **fields}
    monkeypatch.setenv("AIRFLOW_CONN_PINECONE_DEFAULT", json.dumps(value))


def check(error: BaseException | None, says: str) -> None:
    message = str(error)
    assert says in message
    assert len(message) < 800
    assert message.isprintable()
    assert KEY not in message


def check_end(task: Any, says: str, try_number: int = 1) -> None:
    end = run_try(task, TaskInstance(try_number=try_number))
    assert (end.state, type(end.error)) == ("failed", AirflowFailException)
    check(end.error, says)


@pytest.mark.parametrize("call", NAMED.values(), ids=NAMED)
def test_a_call(call: Callable[[Any], Any], requests_mock: Any) -> None:
    for value in IMPOSSIBLE:
        with pytest.raises(PineconeInputError) as caught:
            call(value)
        check(caught.value, " cannot be the ")
    assert requests_mock.request_history == []


@pytest.mark.parametrize("try_number", [1, 2])
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task(task: Callable[[Any], Any], try_number: int, time: Time, requests_mock: Any) -> None:
    """Also a retry, which looks before it creates."""
    for value in IMPOSSIBLE:
        check_end(task(value), " cannot be the ", try_number)
    assert requests_mock.request_history == []
    assert time.slept == []


@pytest.mark.parametrize("template", ["{{ missing }}", "{{ none }}"])
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_template_that_renders_to_nothing(task: Callable[[Any], Any], template: str, requests_mock: Any) -> None:
    rendered = task(template)
    rendered.render_template_fields({}, jinja2.Environment())  # noqa: S701
    check_end(rendered, " cannot be the ")
    assert requests_mock.request_history == []


# Connections; most that cannot work are in test_hooks.py.


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"extra": {"api_version": "9999-99"}}, "api_version must be 2025-10 or later"),
        ({"extra": {"api_version": "x" * 10_000}}, "api_version must be 2025-10 or later"),
        ({"extra": {"api_version": {"a": ["x" * 10_000]}}}, "api_version must be 2025-10 or later"),
        ({"extra": {"api_version": KEY}}, "api_version must be 2025-10 or later"),
        ({"extra": {"timeout": "x" * 10_000}}, "timeout must be seconds"),
        ({"extra": {"timeout": [KEY]}}, "timeout must be seconds"),
        ({"host": "x" * 10_000}, "its host must be like"),
        ({"host": "http://" + "x" * 10_000}, "its host must be like"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_connection(fields: dict[str, Any], says: str, requests_mock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, **fields)
    with pytest.raises(PineconeInputError) as caught:
        PineconeHook().list_indexes()
    check(caught.value, says)
    assert PineconeHook().test_connection() == (False, str(caught.value))
    assert requests_mock.request_history == []


@pytest.mark.parametrize("name", TASKS)
def test_a_task_without_a_key(name: str, requests_mock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, password="")
    check_end(TASKS[name]("docs"), "it has no API key")
    assert requests_mock.request_history == []
