"""What a failed request means, and what a user can do about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import requests
import urllib3.exceptions

from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.settings import API_VERSIONS, Settings
from airflow_pinecone.common.text import explain, show_request_id, truncate
from airflow_pinecone.errors import (
    BackupInUse,
    BackupNotReady,
    Conflict,
    DeletionProtected,
    Forbidden,
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

    A response must match everything that the row has.

    Attributes:
        error: The class of the error, which knows whether a retry can help.
        advice: What it means, and what a user can do; ``{connection}`` stands for the connection, and ``{versions}``
            for the versions of the API that it could use instead. Empty if only Pinecone's message says it.
        statuses: The HTTP statuses.
        codes: One of these is Pinecone's error code; empty for any code and for none.
        words: A key of WORDS. One of these words is in the code or the message, in upper or lower case, and not in the
            name of a resource. Empty for any text.
        about: As ``words``: what the refusal is about.
        operation: The name of the call; empty for every call.
        is_html: Whether the body is HTML or XML, which Pinecone's API never returns.
    """

    error: type[PineconeRequestError]
    advice: str = ""
    statuses: range | tuple[int, ...] = range(400, 500)
    codes: tuple[str, ...] = ()
    words: str = ""
    about: str = ""
    operation: str = ""
    is_html: bool = False


_NOT_FROM_PINECONE = "Check the host of {connection}, and any proxy or firewall (HTTPS_PROXY, NO_PROXY)."
_TOO_MANY_REQUESTS = "Run fewer tasks at the same time, such as in a pool. If no retry is left, clear the task later."
_MONTH_IS_USED_UP = "The plan permits no more in this month. Upgrade the plan, or wait until the next month."
_UNAVAILABLE = "See https://status.pinecone.io. If no retry is left, clear the task when Pinecone responds again."
_NO_CONNECTION = "Check the network and the host of {connection}. If no retry is left, clear the task."
_UNKNOWN_CERTIFICATE = "Set the environment variable REQUESTS_CA_BUNDLE to your CA bundle."
_NO_BACKUPS_IN_PLAN = "The plan of this project does not include backups. Upgrade it to a paid plan."
_NOT_IN_PLAN = "The plan of this project does not permit this. Upgrade the plan."
_NO_PERMISSION = "The API key of {connection} lacks permission. Use a key with a role that permits this."
_PAST_DUE = "Pay the past-due invoices of the Pinecone account."
_SET_VERSION = (
    "Set api_version in the extra field of {connection} to {versions}, if the message asks for another version."
)
_NAME_IN_USE = "An index with this name exists. Choose another name, or delete that index if it is not needed."
_UNKNOWN_NAME = "Check the name or id, and that the API key of {connection} belongs to its project."
_INVALID_KEY = "Check the API key in the password field of {connection}."

_CREATE, _RESTORE, _DELETE = "create_backup", "create_index_from_backup", "delete_backup"
_DELETE_INDEX = "delete_index"
# Pinecone has understood the request, and refuses it.
_REFUSED = (400, 403, 412, 422)

# The words for a kind of refusal. ``…`` stands for other text, and ``YYYY-MM`` for a version of the API.
WORDS: dict[str, tuple[str, ...]] = {
    "quota": (
        *("quota", "resource exhausted", "already contains … indexes", "already contains … backups", "namespaces per"),
        *("max serverless indexes", "max indexes", "max backups", "max namespaces"),
        *("maximum number of indexes", "maximum number of backups", "maximum number of namespaces"),
        *("too many indexes", "too many backups", "too many namespaces"),
    ),
    # These words can be about the length of a text, too. A 403 is not.
    "limit": (
        *("exhausted", "reached … max", "reached … maximum", "reached … limit", "limit … reached", "max … allowed"),
        *("maximum … per", "maximum number of", "limit of … per", "already contains"),
    ),
    # Not only "namespaces": the message about too many indexes recommends them.
    "namespaces": (
        *("namespaces per", "namespace quota", "namespace limit", "number of namespaces", "quota of namespaces"),
        *("max namespaces", "maximum namespaces", "too many namespaces"),
    ),
    "backups": ("backups", "backup quota"),
    "indexes": ("index", "indexes"),
    # Not a word alone: an index can have it as its name.
    "plan": (
        *("your plan", "this plan", "current plan", "organization's plan", "project's plan", "account's plan"),
        *("plan of", "plan does not", "paid plans", "free plan", "starter plan", "builder plan", "standard plan"),
        *(
            "enterprise plan",
            "enterprise plans",
            "paid plan",
            "higher plan",
            "upgrade to",
            "upgrade your",
            "upgrade the",
            "please upgrade",
        ),
        *("your subscription", "subscription does not", "your tier", "free tier", "starter tier", "paid tier"),
    ),
    "permission": (
        *("permission", "permissions", "access denied", "unauthorized", "not authorized", "api key", "this key"),
        "role",
    ),
    "version": (
        *("api version", "api versions", "x-pinecone-api-version", "version … YYYY-MM", "YYYY-MM … version"),
        *("unsupported version", "unknown version", "invalid version", "outdated version"),
    ),
    "deletion protection": ("deletion protection", "protected from deletion"),
    "pod-based": (
        *("pod-based", "pod based", "pod index", "pod indexes", "only serverless", "serverless indexes only"),
        *("requires a serverless", "require a serverless"),
    ),
    "encryption": ("customer-managed", "customer managed", "cmek", "cmek-encrypted", "encryption key"),
    "name in use": ("exists", "in use", "taken"),
    "restore": (
        *("restore", "restores", "restored", "restoring", "pending", "in progress", "in use", "running"),
        *("index is being created", "created from it", "created from this backup", "source of an index"),
    ),
    "locked": ("hold", "held", "lock", "locked", "protected", "immutable", "retention"),
    "not ready": (
        *("not ready", "not yet ready", "not … ready state", "not complete", "not completed", "not yet complete"),
        *("not yet completed", "not finished", "must be … ready", "initializing"),
        "still being created",
    ),
    "month": ("per month", "monthly", "this month", "current month", "month's"),
    "parse": ("parse", "parsed", "deserialize", "json"),
}
# Which quota: the call, what the message is about, and the advice.
_QUOTAS = (
    (
        _CREATE,
        "namespaces",
        "The index has more namespaces than a backup may have. Delete some, or ask Pinecone for more.",
    ),
    ("", "namespaces", "Pinecone's message names a quota of namespaces. Ask Pinecone for a higher one."),
    (
        _CREATE,
        "backups",
        "The project has reached its quota of backups. Delete old ones, for example with PruneBackupsOperator.",
    ),
    (
        _CREATE,
        "",
        "The project has reached a quota. If it is that of backups, delete old ones: PruneBackupsOperator.",
    ),
    (
        _RESTORE,
        "indexes",
        "The project has reached its quota of indexes. Delete an index, or ask Pinecone for a higher quota.",
    ),
    (
        _RESTORE,
        "",
        "The project has reached a quota. If it is that of indexes, delete one, or ask Pinecone for more.",
    ),
    ("", "", "The project has reached a quota. Ask Pinecone for a higher one."),
)


def _quota_rows(statuses: range | tuple[int, ...], codes: tuple[str, ...] = (), words: str = "") -> list[Refusal]:
    return [
        Refusal(QuotaExceeded, advice, statuses, codes, words, about, operation) for operation, about, advice in _QUOTAS
    ]


# The first row that matches a response decides. What is not from Pinecone comes first. Then the code decides before the
# words, and the words before the status. The code PERMISSION_DENIED has several reasons: some words decide before it.
REFUSALS = (
    Refusal(PineconeTransientError, _NOT_FROM_PINECONE, range(100, 300)),
    Refusal(PineconePermanentError, _NOT_FROM_PINECONE, range(300, 400)),
    Refusal(PineconeTransientError, _UNAVAILABLE, (408, *range(500, 1000))),
    Refusal(PineconeTransientError, _NOT_FROM_PINECONE, is_html=True),
    # The code.
    *_quota_rows(range(400, 500), ("QUOTA_EXCEEDED",)),
    # Not a NotFound: the resource may exist, and a delete request has not deleted it.
    Refusal(PineconePermanentError, _SET_VERSION, (404,), ("NOT_FOUND",), "version"),
    Refusal(NotFound, _UNKNOWN_NAME, (404,), ("NOT_FOUND",)),
    Refusal(Conflict, _NAME_IN_USE, (409,), ("ALREADY_EXISTS",), operation=_RESTORE),
    Refusal(Conflict, "", (409,), ("ALREADY_EXISTS",)),
    Refusal(PaymentRequired, _PAST_DUE, codes=("PAYMENT_REQUIRED",)),
    Refusal(Unauthorized, _INVALID_KEY, codes=("UNAUTHENTICATED",)),
    # The words that decide before the code PERMISSION_DENIED.
    Refusal(
        DeletionProtected,
        "The index is protected from deletion. Disable its deletion protection first.",
        (403, 412),
        words="deletion protection",
        operation=_DELETE_INDEX,
    ),
    *_quota_rows(_REFUSED, words="quota"),
    *_quota_rows((403,), words="limit"),
    Refusal(PlanRequired, _NO_BACKUPS_IN_PLAN, codes=("PERMISSION_DENIED",), words="plan", operation=_CREATE),
    Refusal(PlanRequired, _NOT_IN_PLAN, codes=("PERMISSION_DENIED",), words="plan"),
    Refusal(PermissionDenied, _NO_PERMISSION, codes=("PERMISSION_DENIED",)),
    # The words.
    Refusal(PineconePermanentError, _SET_VERSION, (400, 403, 404, 406, 410, 412, 415, 422, 426), words="version"),
    Refusal(
        PineconePermanentError,
        "Pinecone cannot back up pod-based indexes. Migrate the index to serverless.",
        _REFUSED,
        words="pod-based",
        operation=_CREATE,
    ),
    Refusal(
        PineconePermanentError,
        "Pinecone cannot back up the indexes of a project with a customer-managed encryption key.",
        _REFUSED,
        words="encryption",
        operation=_CREATE,
    ),
    Refusal(PlanRequired, _NO_BACKUPS_IN_PLAN, (403,), words="plan", operation=_CREATE),
    Refusal(PlanRequired, _NOT_IN_PLAN, (403,), words="plan"),
    Refusal(PermissionDenied, _NO_PERMISSION, (403,), words="permission"),
    Refusal(Conflict, _NAME_IN_USE, (409,), words="name in use", operation=_RESTORE),
    Refusal(
        BackupInUse,
        "A restore from this backup is running. Wait until it has finished.",
        (412,),
        words="restore",
        operation=_DELETE,
    ),
    Refusal(PineconePermanentError, "", (412,), words="locked", operation=_DELETE),
    Refusal(PineconePermanentError, "", (412,), words="not ready", operation=_DELETE),
    Refusal(
        BackupNotReady,
        "The backup is not Ready. Wait until it is, for example with BackupSensor.",
        (412,),
        words="not ready",
        operation=_RESTORE,
    ),
    Refusal(
        PineconePermanentError,
        "Pinecone could not parse the request. Check the name and the description.",
        (422,),
        words="parse",
    ),
    Refusal(QuotaExceeded, _MONTH_IS_USED_UP, (429,), words="month"),
    # The status.
    Refusal(Unauthorized, _INVALID_KEY, (401,)),
    Refusal(PaymentRequired, _PAST_DUE, (402,)),
    Refusal(Forbidden, "", (403,)),
    Refusal(NotFound, _UNKNOWN_NAME, (404,)),
    Refusal(Conflict, "", (409,)),
    Refusal(
        BackupInUse, "If a restore from this backup is running, wait until it has finished.", (412,), operation=_DELETE
    ),
    Refusal(PineconeTransientError, _TOO_MANY_REQUESTS, (429,)),
    Refusal(PineconePermanentError, ""),
)
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
    operation: Operation, response: Response, settings: Settings, *, max_retry_after: float
) -> PineconeRequestError:
    """Return the error for a response. A Retry-After above ``max_retry_after`` seconds is in its message."""
    row = refusal_of(operation, response)
    # The last one has no guarantee of stability.
    versions = [each for each in API_VERSIONS[:-1] if each != settings.api_version and each >= operation.since]
    advice = row.advice.format(connection=f"connection {settings.conn_id}", versions=" or ".join(versions))
    if row.advice is _SET_VERSION and not versions:
        advice = ""
    retry_after = response.retry_after or 0.0
    if row.error.can_retry and retry_after > max_retry_after:
        advice = f"Pinecone asks to retry after {retry_after:.0f} s. Set retry_delay to more, or clear the task then."
    reason = f"HTTP {response.status}{f' {response.code}' if response.code else ''}"
    length = _MESSAGE_LENGTH
    if row.advice is _NOT_FROM_PINECONE:
        # An error that names the reason only must not quote a login page without saying so.
        reason = f"not a response from Pinecone (check any proxy): {reason}"
        length = _MESSAGE_LENGTH // 3
    # The sentence ends after the message.
    message = response.message.rstrip(".")
    if message:
        reason += f": {truncate(message, length)!r}"
    if not advice and len(message) > length:
        # Nothing else tells what to do.
        advice = f"The message continues: {truncate(message[length - 3 :], length)!r}."
    text = explain(
        f"Could not {operation.description}.",
        reason,
        advice,
        show_request_id(response.request_id),
    )
    return row.error(
        text,
        reason=reason,
        status_code=response.status,
        code=response.code,
        message=response.message,
        request_id=response.request_id,
        retry_after=response.retry_after,
    )


def refusal_of(operation: Operation, response: Response) -> Refusal:
    """Return the row that decides what a response means."""
    # No name decides anything: neither that of the resource, nor a part of another name, such as of api-version-test.
    message = response.message.lower()
    for name in operation.path[1:2]:
        message = re.sub(_whole(re.escape(name.lower())), "*", message)
    text = f"{response.code} {message}".replace("_", " ").lower()
    # A date has a day, too.
    text = re.sub(_whole(r"20\d\d-\d\d"), "yyyy-mm", text)
    is_html = response.code is None and response.message.startswith("<")
    return next(
        row
        for row in REFUSALS
        if response.status in row.statuses
        and row.operation in ("", operation.name)
        and (is_html or not row.is_html)
        and (not row.codes or response.code in row.codes)
        and all(not name or _has_one(text, WORDS[name]) for name in (row.words, row.about))
    )


def _has_one(text: str, words: tuple[str, ...]) -> bool:
    patterns = (".*".join(_whole(re.escape(part)) for part in each.lower().split(" … ")) for each in words)
    return any(re.search(pattern, text) for pattern in patterns)


def _whole(pattern: str) -> str:
    """Return a pattern that does not match a part of a word or of a name with hyphens."""
    return rf"(?<![\w-]){pattern}(?![\w-])"


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
