"""The tree of errors: its documentation, and whether a retry can help."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_pinecone import errors
from airflow_pinecone.errors import PineconeConnectionError, PineconeError, PineconeRequestError
from airflow_pinecone.runtime.failures import InvalidArgument

CLASSES: dict[str, Any] = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}
# Whether the same call can succeed later, and whether a new backup or restore can succeed.
CAN_RETRY_CAN_RECREATE = {
    "PineconeError": (False, False),
    "PineconeInputError": (False, False),
    "ConnectionNotFound": (True, False),
    "PineconeRequestError": (False, False),
    "ConnectionChanged": (False, False),
    "PineconePermanentError": (False, False),
    "Unauthorized": (False, False),
    "PaymentRequired": (False, False),
    "Forbidden": (False, False),
    "PermissionDenied": (False, False),
    "QuotaExceeded": (False, False),
    "PlanRequired": (False, False),
    "DeletionProtected": (False, False),
    "NotFound": (False, False),
    "Conflict": (False, False),
    "BackupInUse": (False, False),
    "BackupNotReady": (False, False),
    "PineconeTransientError": (True, False),
    "PineconeConnectionError": (True, False),
    "CreateOutcomeUnknown": (True, False),
    "BackupFailed": (False, True),
    "BackupNotFound": (False, True),
    "BackupCheckFailed": (False, False),
    "RestoreFailed": (False, True),
    "RestoreNotFound": (False, True),
    "ImportFailed": (False, False),
    "RestoreTestFailed": (False, False),
    "CopyFailed": (True, False),
    "CopyRefused": (False, False),
    "CopyInvalid": (False, False),
    "WaitTimeout": (True, False),
    "PineconeUnreachable": (True, False),
    "PruneIncomplete": (True, False),
    "InvalidWaitResult": (True, False),
}


def documented_tree() -> Iterator[tuple[str, str]]:
    """Yield each class in the docstring of the module, with the class above it."""
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if not (found := re.match(r"    ((?:│   |    )*)([├└]── )?(\w+)", line)):
            continue
        branches, connector, name = found.groups()
        level = len(branches) // 4 + bool(connector)
        path[level:] = [name]
        yield name, path[level - 1] if level else "Exception"


def test_docstring_shows_the_tree() -> None:
    classes = {**CLASSES, "InvalidArgument": InvalidArgument}
    actual = {name: error_class.__bases__[0].__name__ for name, error_class in classes.items()}
    assert dict(documented_tree()) == actual
    assert len(list(documented_tree())) == len(actual)


@pytest.mark.parametrize("name", CLASSES)
def test_class_knows_whether_a_retry_can_help(name: str) -> None:
    assert (CLASSES[name].can_retry, CLASSES[name].can_recreate) == CAN_RETRY_CAN_RECREATE[name]


@pytest.mark.parametrize("error_class", CLASSES.values(), ids=CLASSES)
def test_every_error_is_a_pinecone_error_and_not_an_airflow_error(error_class: type[Exception]) -> None:
    assert issubclass(error_class, PineconeError)
    assert not issubclass(error_class, AirflowException)


def test_invalid_input_is_a_value_error() -> None:
    """Airflow then reports an import error of the DAG file, as for its own operators."""
    assert issubclass(errors.PineconeInputError, ValueError)


def test_request_error_has_the_facts_of_the_response() -> None:
    error = PineconeRequestError(
        "text", status_code=404, code="NOT_FOUND", message="m", request_id="r", retry_after=1.0
    )
    assert str(error) == "text"
    assert vars(error) == {
        "reason": "text",
        "status_code": 404,
        "code": "NOT_FOUND",
        "message": "m",
        "request_id": "r",
        "retry_after": 1.0,
    }


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({}, "No more than this"), ({"reason": "HTTP 503"}, "HTTP 503")],
    ids=["the first line", "given"],
)
def test_error_has_a_reason_of_one_line(arguments: dict[str, Any], reason: str) -> None:
    assert PineconeRequestError("No more than this.\nAdvice.", **arguments).reason == reason
    assert PineconeError("No more than this.\nAdvice.", **arguments).reason == reason


@pytest.mark.parametrize("sent", [True, False])
def test_connection_error_has_no_status_and_knows_whether_the_request_was_sent(sent: bool) -> None:
    error = PineconeConnectionError("connection refused", sent=sent)
    assert (error.sent, error.status_code, error.message) == (sent, None, "connection refused")


def make_error(error_class: Any) -> PineconeError:
    """Make an error with all the facts that its constructor and its users can add."""
    error: PineconeError
    if issubclass(error_class, PineconeConnectionError):
        error = error_class("connection refused", sent=False)
    elif issubclass(error_class, PineconeRequestError):
        error = error_class(
            "text", status_code=429, code="TOO_MANY_REQUESTS", message="m", request_id="r-1", retry_after=7.5
        )
    else:
        error = error_class("text")
    error.add_note("a note")
    return error


def through_pickle(error: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))  # noqa: S301


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"protocol {n}": partial(through_pickle, protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("error_class", [*CLASSES.values(), InvalidArgument], ids=[*CLASSES, "InvalidArgument"])
def test_error_is_copied_with_all_its_facts(error_class: Any, duplicate: Callable[[Any], Any]) -> None:
    error = make_error(error_class)
    copied = duplicate(error)
    assert copied is not error
    assert type(copied) is error_class
    assert (str(copied), copied.args, vars(copied)) == (str(error), error.args, vars(error))
    assert copied.__notes__ == ["a note"]


def test_error_of_a_user_is_copied_whatever_its_constructor_requires() -> None:
    error = UserError(number=5)
    copied = through_pickle(error)
    assert (type(copied), str(copied), copied.number) == (UserError, "number 5", 5)


class UserError(PineconeError):
    """An error of a user."""

    def __init__(self, *, number: int) -> None:
        """Store the number."""
        super().__init__(f"number {number}")
        self.number = number
