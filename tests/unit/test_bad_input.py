"""Invalid names, ids and connections: each call and each task fails without a request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jinja2
import pytest
import requests_mock as mock_requests
from airflow.providers.common.compat.sdk import DAG, AirflowFailException
from support.clients import set_connection
from support.clock import FakeClock
from support.constants import API_KEY, CONNECTION_VARIABLE
from support.tasks import TaskInstance, make_task, run_try

from airflow_pinecone import operators, sensors
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.policy import IndexRules, Policy
from airflow_pinecone.triggers import WaitTrigger

VALID_ID = "8c85e612-ed1c-4f97-9f8c-8194e07bcf71"
URI = "s3://bucket/copy"
INVALID: list[Any] = [
    "a/b",
    "../indexes/x",
    "..",
    "a?b",
    "a#b",
    "a%2fb",
    "a\rb",
    "a\n",
    "a\r\nX: y",
    "a\0b",
    "x" * 10_000,
]
INVALID += ["", " ", " a", "None", None, "\u00e9", "\ud800", 5, ["a"], {"a": 1}]

# The calls that get the name of an index or an id.
CALLS: dict[str, Callable[[PineconeHook, Any], Any]] = {
    "create_backup": lambda hook, name: hook.create_backup(name),
    # None lists the backups of the project.
    "list_backups": lambda hook, name: list(hook.list_backups("" if name is None else name)),
    "newest_ready_backup": lambda hook, name: hook.newest_ready_backup(name),
    "describe_index": lambda hook, name: hook.describe_index(name),
    "describe_index_stats": lambda hook, name: hook.describe_index_stats(name),
    "delete_index": lambda hook, name: hook.delete_index(name),
    "create_index_from_backup, index": lambda hook, name: hook.create_index_from_backup(VALID_ID, name=name),
    "create_index_from_backup, backup": lambda hook, value: hook.create_index_from_backup(value, name="docs"),
    "describe_backup": lambda hook, value: hook.describe_backup(value),
    "delete_backup": lambda hook, value: hook.delete_backup(value),
    "start_import": lambda hook, name: hook.imports(name).start(URI),
    "list_imports": lambda hook, name: list(hook.imports(name).list()),
    "describe_import, index": lambda hook, name: hook.imports(name).describe("101"),
    "describe_import, import": lambda hook, value: hook.imports("docs").describe(value),
    "cancel_import, import": lambda hook, value: hook.imports("docs").cancel(value),
    "describe_restore_job": lambda hook, value: hook.describe_restore_job(value),
}

MakeTask = Callable[[FakeClock, Any], Any]


def maker(cls: Callable[..., Any], field: str, **arguments: Any) -> MakeTask:
    """Return a function that makes a task from a clock and the value of a field."""
    return lambda clock, value: make_task(cls, clock, **{field: value}, **arguments)


TASKS: dict[str, MakeTask] = {
    "create": maker(operators.CreateBackupOperator, "index_name"),
    "create or reuse": maker(operators.CreateBackupOperator, "index_name", reuse_within=60),
    "prune": maker(operators.PruneBackupsOperator, "index_name", keep_last=1),
    "verify": maker(operators.VerifyBackupOperator, "backup_id", max_shrink=0.5),
    "delete": maker(operators.DeleteBackupOperator, "backup_id"),
    "freshness sensor": maker(sensors.BackupFreshnessSensor, "index_name", max_age=60, soft_fail=True),
    "rescheduled freshness sensor": maker(sensors.BackupFreshnessSensor, "index_name", max_age=60, mode="reschedule"),
    "rescheduled backup sensor": maker(sensors.BackupSensor, "backup_id", mode="reschedule"),
    "rescheduled restore sensor": maker(sensors.RestoreJobSensor, "restore_job_id", mode="reschedule"),
    "rescheduled import sensor": maker(sensors.ImportSensor, "import_id", index_name="docs", mode="reschedule"),
}
for place, deferrable in (("worker", False), ("triggerer", True)):
    TASKS |= {
        f"create and wait, {place}": maker(
            operators.CreateBackupOperator, "index_name", wait_for_completion=True, deferrable=deferrable
        ),
        f"restore, backup, {place}": maker(
            operators.CreateIndexFromBackupOperator, "backup_id", index_name="docs", deferrable=deferrable
        ),
        f"restore, index, {place}": maker(
            operators.CreateIndexFromBackupOperator, "index_name", backup_id=VALID_ID, deferrable=deferrable
        ),
        f"import, index, {place}": maker(operators.StartImportOperator, "index_name", uri=URI, deferrable=deferrable),
        f"import sensor, index, {place}": maker(
            sensors.ImportSensor, "index_name", import_id="101", deferrable=deferrable, soft_fail=True
        ),
        f"import sensor, import, {place}": maker(
            sensors.ImportSensor, "import_id", index_name="docs", deferrable=deferrable, soft_fail=True
        ),
        f"backup sensor, {place}": maker(sensors.BackupSensor, "backup_id", deferrable=deferrable, soft_fail=True),
        f"restore sensor, {place}": maker(
            sensors.RestoreJobSensor, "restore_job_id", deferrable=deferrable, soft_fail=True
        ),
    }


@pytest.fixture(autouse=True)
def no_request(requests_mock: mock_requests.Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the connection, and let every request fail."""
    set_connection(monkeypatch)


def check_message(error: BaseException | None, fact: str) -> None:
    message = str(error)
    assert fact in message
    assert len(message) < 800
    assert message.replace("\n", "").isprintable()
    assert API_KEY not in message


def check_failure(task: Any, fact: str, try_number: int = 1) -> None:
    outcome = run_try(task, TaskInstance(try_number=try_number))
    assert (outcome.state, type(outcome.error)) == ("failed", AirflowFailException)
    check_message(outcome.error, fact)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call_raises_an_input_error(
    call: Callable[[PineconeHook, Any], Any], clock: FakeClock, requests_mock: mock_requests.Mocker
) -> None:
    hook = PineconeHook(clock=clock)
    for value in INVALID:
        with pytest.raises(PineconeInputError) as caught:
            call(hook, value)
        check_message(caught.value, "is not a valid")
    assert requests_mock.request_history == []


# A retry searches before it creates.
@pytest.mark.parametrize("try_number", [1, 2])
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_task_fails_without_retry(
    task: MakeTask, try_number: int, clock: FakeClock, requests_mock: mock_requests.Mocker
) -> None:
    for value in INVALID:
        check_failure(task(clock, value), "is not a valid", try_number)
    assert requests_mock.request_history == []
    assert clock.slept == []


@pytest.mark.parametrize("template", ["{{ missing }}", "{{ none }}"])
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_task_with_a_template_that_renders_to_nothing(
    task: MakeTask, template: str, clock: FakeClock, requests_mock: mock_requests.Mocker
) -> None:
    rendered = task(clock, template)
    rendered.render_template_fields({}, jinja2.Environment())  # noqa: S701
    check_failure(rendered, "is not a valid")
    assert requests_mock.request_history == []


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_task_without_an_api_key(
    task: MakeTask, clock: FakeClock, requests_mock: mock_requests.Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, password="")
    check_failure(task(clock, "docs"), "it has no API key")
    assert requests_mock.request_history == []
    assert clock.slept == []


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_task_whose_connection_does_not_exist(
    task: MakeTask, clock: FakeClock, requests_mock: mock_requests.Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow reports the same if a secrets backend cannot be reached, so a retry can help."""
    monkeypatch.delenv(CONNECTION_VARIABLE)
    ti = TaskInstance(first_reschedule_at=datetime.fromtimestamp(clock.time(), UTC))
    outcome = run_try(task(clock, VALID_ID), ti)
    if outcome.state == "up_for_reschedule":
        clock.advance(60)
        outcome = run_try(task(clock, VALID_ID), ti)
    assert outcome.state == "up_for_retry"
    check_message(outcome.error, "Connection pinecone_default cannot be used: Airflow did not find it")
    assert requests_mock.request_history == []


MODES: dict[str, dict[str, Any]] = {
    "poke": {},
    "reschedule": {"mode": "reschedule"},
    "deferred": {"deferrable": True},
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("never_fail", [False, True])
def test_sensor_whose_connection_does_not_exist_has_the_same_outcome_in_each_mode(
    never_fail: bool, mode: dict[str, Any], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CONNECTION_VARIABLE)
    task = make_task(sensors.BackupSensor, clock, backup_id=VALID_ID, never_fail=never_fail, **mode)
    ti = TaskInstance(first_reschedule_at=datetime.fromtimestamp(clock.time() - 60, UTC))
    outcome = run_try(task, ti)
    assert outcome.state == ("skipped" if never_fail else "up_for_retry")
    if not never_fail:
        check_message(outcome.error, "Connection pinecone_default cannot be used: Airflow did not find it")


@pytest.mark.parametrize("never_fail", [False, True])
def test_connection_that_is_deleted_during_a_deferral(
    never_fail: bool, clock: FakeClock, requests_mock: mock_requests.Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests_mock.get(mock_requests.ANY, json={"backup_id": VALID_ID, "status": "Initializing"})
    task = make_task(sensors.BackupSensor, clock, backup_id=VALID_ID, never_fail=never_fail, deferrable=True)
    outcome = run_try(task, TaskInstance(), between=lambda: monkeypatch.delenv(CONNECTION_VARIABLE))
    assert outcome.state == ("skipped" if never_fail else "up_for_retry")
    check_message(outcome.error, "Connection pinecone_default cannot be used: Airflow did not find it")


# Templates in DAGs with render_template_as_native_obj=True render to Python values.
@pytest.mark.parametrize("value", [5, 4.2, True, ["a"], {"a": 1}], ids=repr)
@pytest.mark.parametrize("field", ["index_name", "name", "description"])
@pytest.mark.parametrize("try_number", [1, 2])
def test_create_with_a_value_that_is_not_a_string(
    try_number: int, field: str, value: Any, clock: FakeClock, requests_mock: mock_requests.Mocker
) -> None:
    task = make_task(operators.CreateBackupOperator, clock, **{"index_name": "docs", field: value})
    check_failure(task, repr(value), try_number)
    assert requests_mock.request_history == []
    assert clock.slept == []


# Booleans and counts

REQUIRED: dict[str, dict[str, Any]] = {
    "AuditBackupsOperator": {"max_age": 60},
    "BackupFreshnessSensor": {"index_name": "docs", "max_age": 60},
    "BackupSensor": {"backup_id": VALID_ID},
    "CreateBackupOperator": {"index_name": "docs"},
    "CreateIndexFromBackupOperator": {"backup_id": VALID_ID, "index_name": "docs"},
    "DeleteBackupOperator": {"backup_id": VALID_ID},
    "DeleteBackupScheduleOperator": {"schedule_id": VALID_ID},
    "EnsureBackupScheduleOperator": {
        "index_name": "docs",
        "name": "nightly",
        "frequency": "daily",
        "retention_days": 7,
    },
    "ImportSensor": {"index_name": "docs", "import_id": "101"},
    "PruneBackupsOperator": {"index_name": "docs", "keep_last": 1},
    "PruneCopiesOperator": {"destination": "file:///copies", "index_name": "docs", "keep_last": 1},
    "RestoreJobSensor": {"restore_job_id": VALID_ID},
    "ScheduledBackupSensor": {"schedule_id": VALID_ID, "since": "2026-07-01"},
    "StartImportOperator": {"index_name": "docs", "uri": URI},
    "VerifyBackupOperator": {"backup_id": VALID_ID},
    "VerifyCopyOperator": {"copy": "file:///copies/i-1/b-1"},
}


def booleans_of(function: Callable[..., Any]) -> list[str]:
    """Return the parameters that are annotated as a boolean."""
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if str(one.annotation).split(" | ")[0] == "bool"]


CLASSES = {name: getattr(module, name) for module in (operators, sensors) for name in module.__all__}
BOOLEANS = [(name, argument) for name, cls in CLASSES.items() for argument in booleans_of(cls.__init__)]
# The sensors pass these on to Airflow, which does not check them.
BOOLEANS += [(name, argument) for name in sensors.__all__ for argument in ("soft_fail", "never_fail")]


def test_every_boolean_argument_is_found() -> None:
    assert set(CLASSES) == set(REQUIRED)
    assert {argument for _, argument in BOOLEANS} >= {
        *("wait_for_completion", "deferrable", "delete_on_kill", "dry_run", "force"),
        *("owned_only", "remove_failed", "include_deleted_indexes"),
    }


@pytest.mark.parametrize("value", ["false", "true", "", None, 0, 1], ids=repr)
@pytest.mark.parametrize(("name", "argument"), BOOLEANS)
def test_argument_that_is_not_a_boolean_is_an_error_when_the_dag_is_parsed(
    name: str, argument: str, value: Any, clock: FakeClock
) -> None:
    for valid in (True, False):
        make_task(CLASSES[name], clock, **{**REQUIRED[name], argument: valid})
    with pytest.raises(PineconeInputError, match=f"^{argument} must be True or False, not {value!r}"):
        make_task(CLASSES[name], clock, **{**REQUIRED[name], argument: value})


@pytest.mark.parametrize("value", ["false", None, 0, 1], ids=repr)
def test_trigger_with_an_argument_that_is_not_a_boolean(value: Any) -> None:
    spec: dict[str, Any] = {"resource_type": "backup", "resource_id": "b-1", "started_at": 1.0, "deadline_at": 2.0}
    with pytest.raises(PineconeInputError, match=r"^delete_on_kill must be True or False"):
        WaitTrigger(conn_id="pinecone_default", delete_on_kill=value, poke_interval=None, **spec)


HOOK_BOOLEANS = [
    (name, argument)
    for name, method in inspect.getmembers(PineconeHook, inspect.isfunction)
    if not name.startswith("_") and method.__module__ == PineconeHook.__module__
    for argument in booleans_of(method)
]


@pytest.mark.parametrize("value", ["false", None, 0], ids=repr)
@pytest.mark.parametrize(("name", "argument"), HOOK_BOOLEANS)
def test_call_with_an_argument_that_is_not_a_boolean(
    name: str, argument: str, value: Any, clock: FakeClock, requests_mock: mock_requests.Mocker
) -> None:
    method = getattr(PineconeHook(clock=clock), name)
    required = {
        "backup_id": VALID_ID,
        "import_id": "101",
        "index_name": "docs",
        "policy": Policy(IndexRules(60)),
        "restore_job_id": VALID_ID,
    }
    given = {key: required[key] for key in inspect.signature(method).parameters if key in required}
    with pytest.raises(PineconeInputError, match=f"^{argument} must be True or False"):
        list(method(**given, **{argument: value}))
    assert requests_mock.request_history == []


# The templates of tasks, and whether a boolean, a count or one of two words is expected.
TEMPLATED = [
    ("DeleteBackupOperator", "force", "bool"),
    ("PruneBackupsOperator", "dry_run", "bool"),
    *(
        ("PruneBackupsOperator", f"keep_{period}", "count")
        for period in ("last", "daily", "weekly", "monthly", "yearly")
    ),
    ("PruneBackupsOperator", "max_deletes", "count"),
    ("CreateIndexFromBackupOperator", "deletion_protection", "word"),
]
WRONG: dict[str, list[Any]] = {
    "bool": ["", "None", "yes", "0", "1", None, 0, 1, 2.0, ["true"]],
    "count": ["", "None", "many", "-1", "1.5", "true", None, True, -1, 1.5, [1]],
    "word": ["", "None", "true", "Enabled", None, True, 1, ["enabled"]],
}


def rendered(name: str, argument: str, value: Any, clock: FakeClock, *, native: bool) -> Any:
    """Return a task whose argument is a template that Airflow has rendered to a value."""
    with DAG("rendered", schedule=None, render_template_as_native_obj=native) as dag:
        task = make_task(CLASSES[name], clock, **{**REQUIRED[name], argument: "{{ params.value }}"})
    task.render_template_fields({"params": {"value": value}}, dag.get_template_env())
    return task


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(("name", "argument", "kind"), TEMPLATED)
def test_template_that_renders_to_an_invalid_value_fails_before_any_request(
    name: str, argument: str, kind: str, native: bool, clock: FakeClock, requests_mock: mock_requests.Mocker
) -> None:
    for value in WRONG[kind]:
        check_failure(rendered(name, argument, value, clock, native=native), f"{argument} must be")
    assert requests_mock.request_history == []
    assert clock.slept == []


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(("name", "argument", "kind"), TEMPLATED)
def test_template_that_renders_to_a_valid_value_is_accepted(
    name: str, argument: str, kind: str, native: bool, clock: FakeClock, requests_mock: mock_requests.Mocker
) -> None:
    requests_mock.register_uri(mock_requests.ANY, mock_requests.ANY, status_code=400)
    valid: dict[str, list[Any]] = {
        "bool": ["true", "False", True, False],
        "count": ["3", 3],
        "word": ["enabled", "disabled"],
    }
    for value in valid[kind]:
        outcome = run_try(rendered(name, argument, value, clock, native=native), TaskInstance())
        assert "must be" not in outcome.message
    assert len(requests_mock.request_history) >= len(valid[kind])


@pytest.mark.parametrize(("name", "argument", "kind"), TEMPLATED)
def test_text_that_is_not_a_template_is_an_error_when_the_dag_is_parsed(
    name: str, argument: str, kind: str, clock: FakeClock
) -> None:
    texts: dict[str, list[Any]] = {"bool": ["true"], "count": ["3"], "word": ["yes", True]}
    for value in texts[kind]:
        with pytest.raises(PineconeInputError, match=f"^{argument} must be"):
            make_task(CLASSES[name], clock, **{**REQUIRED[name], argument: value})


# All invalid connections are in test_settings.py.
@pytest.mark.parametrize(
    ("fields", "fact"),
    [
        ({"extra": {"api_version": "x" * 10_000}}, "api_version in the extra field"),
        ({"extra": {"timeout": [API_KEY]}}, "timeout in the extra field"),
        ({"host": "x" * 10_000}, "the host is invalid"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_button_in_the_ui_names_the_invalid_field(
    fields: dict[str, Any], fact: str, requests_mock: mock_requests.Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, **fields)
    with pytest.raises(PineconeInputError) as caught:
        PineconeHook().list_indexes()
    check_message(caught.value, fact)
    assert PineconeHook().test_connection() == (False, str(caught.value))
    assert requests_mock.request_history == []
