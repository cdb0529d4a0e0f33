"""What the operators share: the failure policy, the hook, and how a deferred task resumes."""

from __future__ import annotations

import importlib
import json
import pkgutil
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import WAITS
from support.tasks import TaskInstance, make_task, run_try

from airflow_pinecone import errors, operators, sensors
from airflow_pinecone.common.clock import SYSTEM_CLOCK
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import ConnectionNotFound, InvalidWaitResult, PineconeConnectionError, PineconeError
from airflow_pinecone.operators import CreateBackupOperator, CreateIndexFromBackupOperator
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.runtime.failures import fail_without_retry

# Whether Airflow may retry a task after an error of the class.
RETRIED = {
    "PineconeError": False,
    "PineconeInputError": False,
    "ConnectionNotFound": True,
    "PineconeRequestError": False,
    "ConnectionChanged": False,
    "PineconePermanentError": False,
    "Unauthorized": False,
    "PaymentRequired": False,
    "Forbidden": False,
    "PermissionDenied": False,
    "QuotaExceeded": False,
    "PlanRequired": False,
    "DeletionProtected": False,
    "NotFound": False,
    "Conflict": False,
    "BackupInUse": False,
    "BackupNotReady": False,
    "PineconeTransientError": True,
    "PineconeConnectionError": True,
    "CreateOutcomeUnknown": True,
    # The same backup or restore stays failed, and the retry creates a new one.
    "BackupFailed": True,
    "BackupNotFound": True,
    "BackupCheckFailed": False,
    "RestoreFailed": True,
    "RestoreNotFound": True,
    "ImportFailed": False,
    "RestoreTestFailed": False,
    "CopyFailed": True,
    "CopyRefused": False,
    "CopyInvalid": False,
    "WaitTimeout": True,
    "PruneIncomplete": True,
    "PineconeUnreachable": True,
    "InvalidWaitResult": True,
}


def error_classes(base: type[PineconeError] = PineconeError) -> Iterator[type[PineconeError]]:
    yield base
    for subclass in base.__subclasses__():
        yield from error_classes(subclass)


# The failure policy


def test_policy_is_tested_for_every_error_class() -> None:
    assert {cls.__name__ for cls in error_classes() if cls.__module__ == errors.__name__} == set(RETRIED)


@pytest.mark.parametrize("name", RETRIED)
def test_policy_for_an_error(name: str) -> None:
    error_class = getattr(errors, name)
    error = error_class("some text", sent=True) if error_class is PineconeConnectionError else error_class("some text")
    with pytest.raises((PineconeError, AirflowFailException)) as caught, fail_without_retry():
        raise error
    if RETRIED[name]:
        assert caught.value is error
    else:
        assert isinstance(caught.value, AirflowFailException)
        assert str(caught.value) == "some text"
        assert (caught.value.__context__, caught.value.__suppress_context__) == (error, True)


@pytest.mark.parametrize("error", [ValueError("other"), AirflowFailException("other"), KeyboardInterrupt()], ids=repr)
def test_policy_does_not_change_other_errors(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, fail_without_retry():
        raise error
    assert caught.value is error


def test_policy_does_nothing_without_an_error() -> None:
    with fail_without_retry():
        result = 1
    assert result == 1


@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.usefixtures("world")
def test_traceback_has_the_message_once_and_no_frames_of_the_client(
    emulator: Emulator, clock: FakeClock, status: int
) -> None:
    """Airflow opens a log at the traceback."""
    emulator.fault("POST", "*", status=status, times=None)
    emulator.fault("GET", "*", status=status, times=None)
    outcome = run_try(MAKE["CreateBackupOperator"](clock), TaskInstance())
    assert outcome.error is not None
    text = "".join(traceback.format_exception(outcome.error))
    assert text.count(f"HTTP {status}") == 1
    files = {Path(frame.filename).name for frame in traceback.extract_tb(outcome.error.__traceback__)}
    assert files <= {"tasks.py", "create.py", "base.py", "failures.py", "bases", "operator.py", "baseoperator.py"}


# All operators

MAKE: dict[str, Callable[..., Any]] = {
    "AuditBackupsOperator": lambda clock, **more: make_task(operators.AuditBackupsOperator, clock, max_age=1, **more),
    "CreateBackupOperator": lambda clock, **more: make_task(CreateBackupOperator, clock, index_name=INDEX, **more),
    "CreateIndexFromBackupOperator": lambda clock, **more: make_task(
        CreateIndexFromBackupOperator, clock, backup_id="b-1", index_name="docs-2", **more
    ),
    "DeleteBackupOperator": lambda clock, **more: make_task(
        operators.DeleteBackupOperator, clock, backup_id="b-1", **more
    ),
    "DeleteBackupScheduleOperator": lambda clock, **more: make_task(
        operators.DeleteBackupScheduleOperator, clock, schedule_id="s-1", **more
    ),
    "EnsureBackupScheduleOperator": lambda clock, **more: make_task(
        operators.EnsureBackupScheduleOperator,
        clock,
        index_name=INDEX,
        name="nightly",
        frequency="daily",
        retention_days=7,
        **more,
    ),
    "PruneBackupsOperator": lambda clock, **more: make_task(
        operators.PruneBackupsOperator, clock, index_name=INDEX, keep_last=1, **more
    ),
    "StartImportOperator": lambda clock, **more: make_task(
        operators.StartImportOperator, clock, index_name=INDEX, uri="s3://bucket/copy", **more
    ),
    "VerifyBackupOperator": lambda clock, **more: make_task(
        operators.VerifyBackupOperator, clock, backup_id="b-1", **more
    ),
}
operator = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def set_connection(monkeypatch: pytest.MonkeyPatch, **fields: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "pinecone", **fields}))


def test_every_operator_is_tested() -> None:
    # These two call an object store, and not Pinecone. They have tests of their own.
    assert set(MAKE) | {"PruneCopiesOperator", "VerifyCopyOperator"} == set(operators.__all__)


@operator
def test_operator_uses_the_system_clock_by_default(make: Callable[..., Any], clock: FakeClock) -> None:
    task = make(clock)
    assert isinstance(task, PineconeOperator)
    del task.clock
    assert task.clock is SYSTEM_CLOCK


@operator
@pytest.mark.usefixtures("world")
def test_operator_uses_its_connection(
    make: Callable[..., Any], clock: FakeClock, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, host=emulator.url, password="another-key")
    outcome = run_try(make(clock, conn_id="other"), TaskInstance())
    assert outcome.state == "failed"
    assert "HTTP 401" in outcome.message
    assert "connection other" in outcome.message
    assert [exchange.status for exchange in emulator.requests] == [401]


@operator
def test_connection_that_does_not_exist_can_be_retried(make: Callable[..., Any], clock: FakeClock) -> None:
    outcome = run_try(make(clock, conn_id="no_such_connection"), TaskInstance())
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", ConnectionNotFound)
    assert "Connection no_such_connection cannot be used: Airflow did not find it" in outcome.message


@operator
@pytest.mark.usefixtures("world")
def test_invalid_connection_fails_the_task_without_a_retry(
    make: Callable[..., Any], clock: FakeClock, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, host=emulator.url)
    outcome = run_try(make(clock, conn_id="other"), TaskInstance())
    assert outcome.state == "failed"
    assert "other" in outcome.message
    assert emulator.requests == []


# Operators that wait

each_wait = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)


@pytest.mark.parametrize("make", [MAKE["CreateBackupOperator"], MAKE["CreateIndexFromBackupOperator"]])
@pytest.mark.parametrize(
    "event", [None, {}, {"model": None, "error": None}, {"error": {"type": "WaitTimeout"}}, "text"]
)
def test_malformed_event_can_be_retried(make: Callable[..., Any], clock: FakeClock, event: Any) -> None:
    with pytest.raises(InvalidWaitResult):
        make(clock).execute_complete(TaskInstance().context, event)


@each_wait
@pytest.mark.parametrize(
    "limits",
    [
        {"timeout": 600, "execution_timeout": timedelta(seconds=100)},
        {"timeout": 100, "execution_timeout": timedelta(seconds=600)},
        {"timeout": timedelta(seconds=100)},
    ],
    ids=str,
)
@pytest.mark.usefixtures("world")
def test_shorter_timeout_ends_the_wait(
    emulator: Emulator, clock: FakeClock, wait: dict[str, Any], limits: dict[str, Any]
) -> None:
    emulator.next_backup(backup_ends="never")
    started_at = clock.now
    outcome = run_try(MAKE["CreateBackupOperator"](clock, **wait, **limits), TaskInstance())
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", errors.WaitTimeout)
    assert clock.now - started_at == pytest.approx(100)


@each_wait
@pytest.mark.usefixtures("world")
def test_timeout_includes_the_search_for_an_earlier_backup(
    emulator: Emulator, clock: FakeClock, wait: dict[str, Any]
) -> None:
    emulator.next_backup(backup_ends="never")
    started_at = clock.now
    task = MAKE["CreateBackupOperator"](clock, **wait, timeout=100)
    outcome = run_try(task, TaskInstance(try_number=2))
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", errors.WaitTimeout)
    assert clock.now - started_at == pytest.approx(100)


@pytest.mark.parametrize("package", [operators, sensors], ids=["operators", "sensors"])
def test_no_task_replaces_the_logger_of_airflow_2(package: ModuleType) -> None:
    """Airflow 2 keeps the logger of a task in `_log`, so a method of this name breaks the task."""
    names = [f"{package.__name__}.{each.name}" for each in pkgutil.iter_modules(package.__path__)]
    modules = [importlib.import_module(name) for name in names]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    own = {cls for cls in classes if cls.__module__ in names}
    assert own
    assert [cls.__name__ for cls in own if "_log" in vars(cls)] == []
