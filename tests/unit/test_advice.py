"""What a rejected request means: a table of responses, their errors, and what a user can do."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from airflow_pinecone.api.advice import REFUSALS, Response, request_error
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.errors import (
    BackupInUse,
    BackupNotReady,
    Conflict,
    DeletionProtected,
    NotFound,
    PaymentRequired,
    PermissionDenied,
    PineconePermanentError,
    PineconeRequestError,
    PineconeTransientError,
    PlanRequired,
    QuotaExceeded,
    Unauthorized,
)

QUOTA = "Increase your quota or upgrade to create more backups."


class Case(NamedTuple):
    status: int
    code: str | None
    message: str
    operation: str
    error: type[PineconeRequestError]
    advice: str


CASES = [
    Case(302, None, "", "describe_backup", PineconePermanentError, "any proxy (HTTPS_PROXY"),
    Case(200, None, "<html>", "describe_backup", PineconeTransientError, "any proxy (HTTPS_PROXY"),
    Case(400, "INVALID_ARGUMENT", "Index is pod-based", "create_backup", PineconePermanentError, "pod-based indexes"),
    Case(400, "INVALID_ARGUMENT", "Bad limit", "list_project_backups", PineconePermanentError, ""),
    Case(401, "UNAUTHENTICATED", "Invalid API Key", "create_backup", Unauthorized, "password field of connection c-1"),
    Case(401, None, "Malformed key", "list_indexes", Unauthorized, "password field of connection c-1"),
    Case(402, "PAYMENT_REQUIRED", "Pay up", "create_backup", PaymentRequired, "past-due invoices"),
    Case(403, "FORBIDDEN", "Deletion protection is on.", "delete_index", DeletionProtected, "Disable its deletion"),
    Case(
        403, "FORBIDDEN", "Deletion protection: disable it", "create_backup", DeletionProtected, "Disable its deletion"
    ),
    Case(403, "FORBIDDEN", QUOTA, "create_backup", QuotaExceeded, "PruneBackupsOperator"),
    Case(403, "QUOTA_EXCEEDED", "Too many", "create_backup", QuotaExceeded, "PruneBackupsOperator"),
    Case(403, None, "Resource exhausted", "create_backup", QuotaExceeded, "PruneBackupsOperator"),
    Case(403, "FORBIDDEN", "Quota reached", "create_index_from_backup", QuotaExceeded, "a quota of indexes"),
    Case(403, "FORBIDDEN", "Quota reached", "list_indexes", QuotaExceeded, "Ask Pinecone for a higher one"),
    Case(403, "FORBIDDEN", "Not available on the Starter plan.", "create_backup", PlanRequired, "a paid plan"),
    Case(403, "FORBIDDEN", "Please upgrade", "create_backup", PlanRequired, "a paid plan"),
    Case(403, "FORBIDDEN", "Please upgrade", "create_index_from_backup", PlanRequired, "Upgrade the plan"),
    Case(403, "FORBIDDEN", "Please upgrade", "describe_index", PlanRequired, "Upgrade the plan"),
    Case(403, "FORBIDDEN", "The planet is forbidden", "create_backup", PermissionDenied, "lacks permission"),
    Case(403, None, "", "describe_backup", PermissionDenied, "API key of connection c-1 lacks permission"),
    Case(404, "NOT_FOUND", "Not found", "describe_backup", NotFound, "API key of connection c-1 belongs to"),
    Case(408, None, "", "describe_backup", PineconeTransientError, "clear the task when Pinecone responds"),
    Case(
        409, "ALREADY_EXISTS", "Resource already exists.", "create_index_from_backup", Conflict, "Choose another name"
    ),
    Case(409, "ALREADY_EXISTS", "Resource already exists.", "create_backup", Conflict, ""),
    Case(412, "FAILED_PRECONDITION", "Pending restores", "delete_backup", BackupInUse, "Wait until it has finished"),
    Case(412, "FAILED_PRECONDITION", "Not ready", "create_index_from_backup", BackupNotReady, "Wait until it is"),
    Case(412, "FAILED_PRECONDITION", "?", "describe_backup", PineconePermanentError, ""),
    Case(422, "UNPROCESSABLE_ENTITY", "Failed", "create_backup", PineconePermanentError, "name and the description"),
    Case(429, "RESOURCE_EXHAUSTED", "Too many, quota", "create_backup", PineconeTransientError, "in a pool"),
    Case(451, None, "", "describe_backup", PineconePermanentError, ""),
    Case(500, None, "", "describe_backup", PineconeTransientError, "https://status.pinecone.io"),
    Case(503, None, "", "describe_backup", PineconeTransientError, "clear the task when Pinecone responds"),
]


def error_of(case: Case) -> PineconeRequestError:
    operation = Operation(case.operation, "GET", ("x",), "do something")
    response = Response(case.status, case.code, case.message, "req-7", None)
    return request_error(operation, response, "c-1", max_retry_after=60.0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.status} {case.code} {case.message} {case.operation}")
def test_response_has_an_error_and_advice(case: Case) -> None:
    error = error_of(case)
    assert type(error) is case.error
    assert (error.status_code, error.code, error.message) == (case.status, case.code, case.message)
    what, why, *advice, ids = str(error).splitlines()
    assert what == "Could not do something."
    assert why == f"{error.reason[0].upper()}{error.reason[1:]}."
    assert f"HTTP {case.status}" in why
    assert ("not a response from Pinecone" in error.reason) is (case.status < 400)
    assert ids == "Pinecone request id: req-7."
    assert len(advice) == bool(case.advice)
    assert case.advice in "".join(advice)
    assert all(len(line) <= 110 for line in str(error).splitlines())
    assert "{" not in str(error)
    # A 403 has several meanings. Each has its own advice.
    known = {row.advice.format(connection="connection c-1") for row in REFUSALS if row.advice}
    assert sum(advice in str(error) for advice in known) <= 1


def test_each_row_of_the_table_decides_in_a_case() -> None:
    texts = [str(error_of(case)) for case in CASES]
    errors = {type(error_of(case)) for case in CASES}
    for row in REFUSALS:
        assert row.error in errors
        assert any(row.advice.format(connection="connection c-1") in text for text in texts), row


@pytest.mark.parametrize(("retry_after", "shown"), [(None, False), (60.0, False), (61.0, True), (1e9, True)])
def test_long_retry_after_is_in_the_message(retry_after: float | None, shown: bool) -> None:
    operation = Operation("list_indexes", "GET", ("indexes",), "list the indexes")
    error = request_error(operation, Response(429, None, "", None, retry_after), "c-1", max_retry_after=60.0)
    assert ("Pinecone asks to retry after" in str(error)) is shown
    assert error.retry_after == retry_after


def test_long_message_is_truncated_in_the_text_only() -> None:
    operation = Operation("list_indexes", "GET", ("indexes",), "list the indexes")
    error = request_error(operation, Response(400, "INVALID", "m" * 500, None, None), "c-1", max_retry_after=60.0)
    assert error.message == "m" * 500
    assert all(len(line) < 130 for line in str(error).splitlines())
