"""The errors of this package, in one tree.

    PineconeError
    ├── PineconeInputError            a name, an id, a duration or a connection is invalid
    │   ├── InvalidArgument           an argument of an operator or a sensor is invalid; also an AirflowFailException
    │   ├── ConnectionNotFound        Airflow did not find the connection, or could not read it
    │   └── ConnectionChanged         the connection names another control plane than when the work started
    ├── PineconeRequestError          a request failed
    │   ├── PineconePermanentError    Pinecone rejected the request, for example with 400 or 422
    │   │   ├── Unauthorized          401: the API key is not valid
    │   │   ├── PaymentRequired       402: the account has past-due invoices
    │   │   ├── Forbidden             403, for one of these reasons or another
    │   │   │   ├── PermissionDenied      the API key lacks a right
    │   │   │   ├── QuotaExceeded         the project has reached a quota
    │   │   │   ├── PlanRequired          the plan of the project does not permit it
    │   │   │   └── DeletionProtected     the index is protected from deletion
    │   │   ├── NotFound              404
    │   │   ├── Conflict              409: the name is in use, or the index has another enabled backup schedule
    │   │   ├── BackupInUse           412: a restore from the backup is running
    │   │   └── BackupNotReady        412: the backup to restore is not Ready
    │   └── PineconeTransientError    repeating it can help: 408, 429, 5xx, a response that is not valid
    │       └── PineconeConnectionError   no response was received, or the connection could not be read
    ├── CreateOutcomeUnknown          a create request may have succeeded, but its result was not found
    ├── BackupFailed                  the backup has a failed status
    ├── BackupNotFound                the backup no longer exists
    ├── BackupCheckFailed             the backup does not meet the rules of a check
    ├── RestoreFailed                 the restore job failed or was cancelled
    ├── RestoreNotFound               the restore job, or the index that it created, no longer exists
    ├── ImportFailed                  the bulk import failed or was cancelled
    ├── RestoreTestFailed             a restore test did not pass, or a task of it could not do its work
    ├── CopyFailed                    a copy outside of Pinecone could not be written, read or proved
    │   ├── CopyRefused                   a copy cannot be written or imported, costs too much, or is not proved
    │   └── CopyInvalid                   a copy is incomplete or damaged
    ├── WaitTimeout                   the deadline of a wait has passed
    ├── PineconeUnreachable           too many consecutive polls failed
    ├── PruneIncomplete               some backups could not be deleted
    └── InvalidWaitResult             the triggerer returned an event that is not the result of a wait

Each class knows whether a retry can help. Operators and sensors decide what an error means for the task. Only
InvalidArgument also derives from an exception of Airflow, so it is defined in ``runtime.failures``.
"""

from __future__ import annotations

import copyreg

__all__ = [
    "BackupCheckFailed",
    "BackupFailed",
    "BackupInUse",
    "BackupNotFound",
    "BackupNotReady",
    "Conflict",
    "ConnectionChanged",
    "ConnectionNotFound",
    "CopyFailed",
    "CopyInvalid",
    "CopyRefused",
    "CreateOutcomeUnknown",
    "DeletionProtected",
    "Forbidden",
    "ImportFailed",
    "InvalidWaitResult",
    "NotFound",
    "PaymentRequired",
    "PermissionDenied",
    "PineconeConnectionError",
    "PineconeError",
    "PineconeInputError",
    "PineconePermanentError",
    "PineconeRequestError",
    "PineconeTransientError",
    "PineconeUnreachable",
    "PlanRequired",
    "PruneIncomplete",
    "QuotaExceeded",
    "RestoreFailed",
    "RestoreNotFound",
    "RestoreTestFailed",
    "Unauthorized",
    "WaitTimeout",
]


class PineconeError(Exception):
    """The base class of all errors of this package.

    Attributes:
        can_retry: Whether the same call can succeed later.
        can_recreate: Whether a new backup or restore can succeed where this one did not.
        reason: Why it failed, in one line, such as ``HTTP 503 UNAVAILABLE: 'try later'``.
    """

    can_retry = False
    can_recreate = False

    def __init__(self, text: str = "", *, reason: str = "") -> None:
        """Store the reason, by default the first line of ``text``, which is the message of the exception."""
        super().__init__(text)
        self.reason = reason or text.partition("\n")[0].rstrip(".")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy the error with its attributes, whatever its constructor requires."""
        # The attribute exists, but the type stubs do not have it.
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class PineconeInputError(PineconeError, ValueError):
    """A name, an id, a duration or a connection is invalid. Except for ConnectionChanged, no request was sent."""


class ConnectionNotFound(PineconeInputError):
    """Airflow did not find the connection. Airflow also reports this if a secrets backend cannot be reached."""

    can_retry = True


class ConnectionChanged(PineconeInputError):
    """The connection names another control plane than when the work started. Its backup is not there."""


class PineconeRequestError(PineconeError):
    """A request failed.

    Attributes:
        status_code: The HTTP status of an error response, or None if there was none.
        code: Pinecone's error code, such as ``NOT_FOUND``, or None.
        message: Pinecone's error message, truncated.
        request_id: Pinecone's id of the request, or None.
        retry_after: Seconds to wait before the next attempt, from the Retry-After header, or None.

    Reference: ErrorResponse in https://docs.pinecone.io/reference/api/2025-10/control-plane
    """

    def __init__(
        self,
        text: str,
        *,
        reason: str = "",
        status_code: int | None = None,
        code: str | None = None,
        message: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Store the details of the response; ``text`` is the message of the exception."""
        super().__init__(text, reason=reason)
        self.status_code = status_code
        self.code = code
        self.message = message
        self.request_id = request_id
        self.retry_after = retry_after


class PineconePermanentError(PineconeRequestError):
    """Pinecone rejected the request. The request, the key, the plan or the quota has to change first."""


class Unauthorized(PineconePermanentError):
    """Pinecone rejected the API key (401)."""


class PaymentRequired(PineconePermanentError):
    """The account has past-due invoices (402)."""


class Forbidden(PineconePermanentError):
    """Pinecone does not permit the request (403). If the class is this one itself, only its message says why."""


class PermissionDenied(Forbidden):
    """The API key lacks the right (403)."""


class QuotaExceeded(Forbidden):
    """The project has reached a quota (403)."""


class PlanRequired(Forbidden):
    """The plan of the project does not permit the request (403)."""


class DeletionProtected(Forbidden):
    """The index is protected from deletion (403)."""


class NotFound(PineconePermanentError):
    """There is no resource with this name or id in the project (404)."""


class Conflict(PineconePermanentError):
    """The name is in use, or the index has another enabled backup schedule (409)."""


class BackupInUse(PineconePermanentError):
    """The backup cannot be deleted, because a restore from it is running (412)."""


class BackupNotReady(PineconePermanentError):
    """The backup cannot be restored, because it is not Ready (412)."""


class PineconeTransientError(PineconeRequestError):
    """The request failed, and repeating it can help.

    Pinecone may have processed the request, unless it responded with 429 or the connection was never established.
    """

    can_retry = True


class PineconeConnectionError(PineconeTransientError):
    """No response was received, or Airflow could not read the connection.

    Attributes:
        sent: Whether the request may have reached Pinecone. False if no connection was established.
    """

    def __init__(self, text: str, *, sent: bool, reason: str = "") -> None:
        """Store whether the request may have been sent; ``text`` is the message of the exception."""
        super().__init__(text, reason=reason, message=text)
        self.sent = sent


class CreateOutcomeUnknown(PineconeError):
    """The response to a create request was lost, and the backup or restore that it may have created was not found."""

    can_retry = True


class BackupFailed(PineconeError):
    """The backup has a failed status. A new backup is needed."""

    can_recreate = True


class BackupNotFound(PineconeError):
    """The backup no longer exists. A new backup is needed."""

    can_recreate = True


class BackupCheckFailed(PineconeError):
    """The backup is not Ready, has too few records, or lacks a field that the check needs."""


class RestoreFailed(PineconeError):
    """The restore job failed or was cancelled. A new restore is needed."""

    can_recreate = True


class RestoreNotFound(PineconeError):
    """The restore job, or the index that it created, no longer exists."""

    can_recreate = True


class ImportFailed(PineconeError):
    """The bulk import failed or was cancelled. Another one has the same result until its cause is fixed."""


class RestoreTestFailed(PineconeError):
    """A restore test did not pass, or one of its tasks could not start it, report it, or delete its index."""


class CopyFailed(PineconeError):
    """A copy outside of Pinecone could not be written, read or proved."""

    can_retry = True


class CopyRefused(CopyFailed):
    """A copy cannot be written or imported, would cost too much, or is not proved."""

    can_retry = False


class CopyInvalid(CopyFailed):
    """A copy is incomplete, damaged, or none that this release can read."""

    can_retry = False


class WaitTimeout(PineconeError):
    """The deadline of a wait has passed. The wait does not stop the backup or restore in Pinecone."""

    can_retry = True


class PineconeUnreachable(PineconeError):
    """A wait ended because too many consecutive polls failed."""

    can_retry = True


class PruneIncomplete(PineconeError):
    """Some of the backups that no rule keeps could not be deleted."""

    can_retry = True


class InvalidWaitResult(PineconeError):
    """The triggerer returned an event that is not the result of a wait."""

    can_retry = True
