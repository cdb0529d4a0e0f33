"""What a failed request means, and what a user can do about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import requests
import urllib3.exceptions

from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.settings import Settings
from airflow_pinecone.common.text import explain, show_request_id, truncate
from airflow_pinecone.errors import (
    BackupInUse,
    BackupNotReady,
    Conflict,
    DeletionProtected,
    NotFound,
    PaymentRequired,
    PermissionDenied,
    PineconeConnectionError,
    PineconePermanentError,
    PineconeRequestError,
    PineconeTransientError,
    PlanRequired,
    QuotaExceeded,
    Unauthorized,
)


class Refusal(NamedTuple):
    """A row of the table below: which responses it is for, and what they mean.

    Attributes:
        status: The HTTP status.
        error: The class of the error.
        advice: What a user can do; ``{connection}`` stands for the connection.
        operation: The name of the call; empty for every call.
        words: One of these words is in the error code or the message, in upper or lower case; empty for any text.
    """

    status: int
    error: type[PineconePermanentError]
    advice: str = ""
    operation: str = ""
    words: tuple[str, ...] = ()


_QUOTA = ("quota", "exhausted")
_PLAN = ("plan", "upgrade")

# The first row that matches a response decides.
REFUSALS = (
    Refusal(
        400,
        PineconePermanentError,
        "Pinecone cannot back up pod-based indexes, and no project with a customer-managed encryption key.",
        operation="create_backup",
    ),
    Refusal(401, Unauthorized, "Check the API key in the password field of {connection}."),
    Refusal(402, PaymentRequired, "Pay the past-due invoices of the Pinecone account."),
    Refusal(
        403,
        DeletionProtected,
        "The index is protected from deletion. Disable its deletion protection first.",
        words=("deletion protection",),
    ),
    Refusal(
        403,
        QuotaExceeded,
        "The project has reached its quota of backups. Delete old ones, for example with PruneBackupsOperator.",
        operation="create_backup",
        words=_QUOTA,
    ),
    Refusal(
        403,
        QuotaExceeded,
        "The project has reached a quota of indexes. Delete an index, or ask Pinecone for a higher quota.",
        operation="create_index_from_backup",
        words=_QUOTA,
    ),
    Refusal(403, QuotaExceeded, "The project has reached a quota. Ask Pinecone for a higher one.", words=_QUOTA),
    Refusal(
        403,
        PlanRequired,
        "The plan of this project does not include backups. Upgrade it to a paid plan.",
        operation="create_backup",
        words=_PLAN,
    ),
    Refusal(403, PlanRequired, "The plan of this project does not permit this. Upgrade the plan.", words=_PLAN),
    Refusal(
        403,
        PermissionDenied,
        "The API key of {connection} lacks permission. Use a key with a role that permits this.",
    ),
    Refusal(404, NotFound, "Check the name or id, and that the API key of {connection} belongs to its project."),
    Refusal(
        409,
        Conflict,
        "An index with this name exists. Choose another name, or delete that index if it is not needed.",
        operation="create_index_from_backup",
    ),
    Refusal(409, Conflict),
    Refusal(
        412,
        BackupInUse,
        "A restore from this backup is running. Wait until it has finished.",
        operation="delete_backup",
    ),
    Refusal(412, BackupNotReady, "The backup is not Ready. Wait until it is.", operation="create_index_from_backup"),
    Refusal(422, PineconePermanentError, "Pinecone could not parse the request. Check the name and the description."),
)
_NOT_FROM_PINECONE = "This is not a response from Pinecone. Check the host of {connection}, and any proxy."
_TOO_MANY_REQUESTS = "Run fewer tasks at the same time, such as in a pool. If no retry is left, clear the task later."
_UNAVAILABLE = "See https://status.pinecone.io. If no retry is left, clear the task when Pinecone responds again."
_NO_CONNECTION = "Check the network and the host of {connection}. If no retry is left, then clear the task."
_UNKNOWN_CERTIFICATE = "Set the environment variable REQUESTS_CA_BUNDLE to your CA bundle."
# So that a line of the log is about as long as Airflow shows it. PineconeRequestError.message has more of it.
_MESSAGE_LENGTH = 100


class Response(NamedTuple):
    """What an error response says. The texts are one line, and the API key is masked in them."""

    status: int
    code: str | None
    message: str
    request_id: str | None
    retry_after: float | None


def request_error(
    operation: Operation, response: Response, conn_id: str, *, max_retry_after: float
) -> PineconeRequestError:
    """Return the error for a response. A Retry-After above ``max_retry_after`` seconds is in its message."""
    error_class, advice = _meaning(operation, response)
    retry_after = response.retry_after or 0.0
    if retry_after > max_retry_after:
        advice = (
            f"Pinecone asks to retry after {retry_after:.0f} s. Set retry_delay to more. If no retry is left, clear "
            "the task then."
        )
    reason = f"HTTP {response.status}{f' {response.code}' if response.code else ''}"
    if response.message:
        # The sentence ends after the message.
        message = truncate(response.message.rstrip("."), _MESSAGE_LENGTH)
        reason += f": {message!r}"
    text = explain(
        f"Could not {operation.description}.",
        reason,
        advice.format(connection=f"connection {conn_id}"),
        show_request_id(response.request_id),
    )
    return error_class(
        text,
        reason=reason,
        status_code=response.status,
        code=response.code,
        message=response.message,
        request_id=response.request_id,
        retry_after=response.retry_after,
    )


def _meaning(operation: Operation, response: Response) -> tuple[type[PineconeRequestError], str]:
    status = response.status
    # A 2xx response that is not JSON comes from something between the client and Pinecone.
    if status < 300:
        return PineconeTransientError, _NOT_FROM_PINECONE
    if status == 429:
        return PineconeTransientError, _TOO_MANY_REQUESTS
    if status == 408 or status >= 500:
        return PineconeTransientError, _UNAVAILABLE
    text = f"{response.code} {response.message}".replace("_", " ").lower()
    for row in REFUSALS:
        is_for = row.status == status and row.operation in ("", operation.name)
        if is_for and (not row.words or any(re.search(rf"\b{word}\b", text) for word in row.words)):
            return row.error, row.advice
    return PineconePermanentError, _NOT_FROM_PINECONE if status < 400 else ""


def connection_error(
    operation: Operation, error: Exception, url: str, settings: Settings, hide: Callable[[object], str]
) -> PineconeConnectionError:
    """Return the error for a request without a response. ``hide`` masks the API key in a text."""
    cause: Any = error
    if isinstance(error, requests.ConnectionError) and error.args:
        cause = getattr(error.args[0], "reason", None) or error.args[0]
    elif isinstance(error, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
        cause = f"no complete response within {settings.timeout:g} s"
    # A ProxyError can also mean that the response was lost between the proxy and the client: check its cause.
    root = cause.original_error if isinstance(cause, urllib3.exceptions.ProxyError) else cause
    unsent = isinstance(
        root,
        (
            requests.exceptions.InvalidSchema,
            requests.exceptions.InvalidURL,
            urllib3.exceptions.ConnectTimeoutError,
            urllib3.exceptions.LocationValueError,
            urllib3.exceptions.NewConnectionError,
        ),
    )
    # A plain OSError occurs before the request is sent: a proxy refused the tunnel, or the CA bundle is missing. Later
    # errors are wrapped.
    unsent = unsent or type(root) is OSError
    advice = _NO_CONNECTION if unsent else _UNAVAILABLE
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        # The TLS handshake precedes the request.
        unsent = True
        advice = _UNKNOWN_CERTIFICATE
    # urllib3 names the object of its connection before a colon, and the host again.
    detail = str(cause)
    if isinstance(root, urllib3.exceptions.NewConnectionError) and isinstance(root.__cause__, OSError):
        detail = root.__cause__.strerror or detail
        detail = f"the proxy does not respond: {detail}" if root is not cause else detail
    elif isinstance(root, urllib3.exceptions.ConnectTimeoutError):
        detail = f"timed out after {settings.timeout:g} s"
    reason = f"{'no connection to' if unsent else 'no response from'} {url}: {truncate(hide(detail), _MESSAGE_LENGTH)}"
    text = explain(
        f"Could not {operation.description}.",
        reason,
        advice.format(connection=f"connection {settings.conn_id}"),
    )
    return PineconeConnectionError(text, sent=not unsent, reason=reason)
