"""The errors of this package, one tree.

    PineconeError
    ├── PineconeInputError            a name, an id or a connection that cannot work; raised before any request
    ├── PineconeRequestError          Pinecone, or something before it, answered with an error
    │   ├── PineconePermanentError    asking again cannot help: 400, 401, 402, 403, 404, 409, 412, 422, a redirect
    │   └── PineconeTransientError    asking again can help: 408, 429, 5xx, an answer that makes no sense
    │       └── PineconeConnectionError   no answer at all
    ├── CreateAnswerLost              a create may or may not have happened, and no backup of it was found
    ├── BackupFailed                  the backup ended in a failed status
    ├── BackupVanished                the backup is gone
    ├── RestoreFailed                 the restore job ended as failed or cancelled
    ├── RestoreVanished               the restore job, or the index it made, is gone
    ├── BackupCheckFailed             the backup is there, and is not what was asked for
    ├── WaitTimeout                   the deadline of a wait came first
    ├── PruneIncomplete               some of the backups that were to go could not be deleted
    └── PineconeUnreachable           too many polls in a row got no good answer

Each class says in ``can_retry`` whether the same call can end otherwise when it is made again.
None derives from Airflow's exceptions: operators and sensors say what an end means to Airflow.
"""

from __future__ import annotations


class PineconeError(Exception):
    """Anything that this package raises about Pinecone.

    Attributes:
        can_retry: Whether making the same call again can help.
    """

    can_retry = False


class PineconeInputError(PineconeError, ValueError):
    """A name, an id or a connection that cannot work; raised before any request is made."""


class PineconeRequestError(PineconeError):
    """A request that did not succeed.

    Attributes:
        status_code: The HTTP status, or None where no answer came.
        code: Pinecone's error code, such as ``NOT_FOUND``, or None.
        message: Pinecone's own message, cut to a bound.
        request_id: Pinecone's id of the request, or None.
        retry_after: Seconds that the answer asks to wait before the next try, or None.

    Reference: the ErrorResponse of https://docs.pinecone.io/reference/api/2025-10/control-plane
    """

    def __init__(
        self,
        text: str,
        *,
        status_code: int | None = None,
        code: str | None = None,
        message: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Store the facts of the answer; ``text`` is what people read."""
        super().__init__(text)
        self.status_code = status_code
        self.code = code
        self.message = message
        self.request_id = request_id
        self.retry_after = retry_after


class PineconePermanentError(PineconeRequestError):
    """Asking again cannot help: the request, the key, the plan or the quota has to change first."""


class PineconeTransientError(PineconeRequestError):
    """Asking again can help. After a POST it is unknown whether Pinecone acted, but for 429."""

    can_retry = True


class PineconeConnectionError(PineconeTransientError):
    """No answer came.

    Attributes:
        sent: Whether the request may have reached Pinecone. False when no connection was made.
    """

    def __init__(self, text: str, *, sent: bool) -> None:
        """Store whether the request may have been sent; ``text`` is what people read."""
        super().__init__(text, message=text)
        self.sent = sent


class CreateAnswerLost(PineconeError):
    """The answer to a create was lost, and the backup it may have made was not found in time."""

    can_retry = True


class BackupFailed(PineconeError):
    """The backup ended in a failed status; a new one is needed."""


class BackupVanished(PineconeError):
    """Pinecone no longer knows the backup; a new one is needed."""


class BackupCheckFailed(PineconeError):
    """The backup did not pass its check: it is not Ready, has too few records, or a figure is missing."""


class RestoreFailed(PineconeError):
    """The restore job ended as failed or cancelled; a new one is needed."""


class RestoreVanished(PineconeError):
    """Pinecone no longer knows the restore job, or the index that it made."""


class WaitTimeout(PineconeError):
    """The deadline of a wait came before the end of what it waits for; that goes on in Pinecone."""

    can_retry = True


class PruneIncomplete(PineconeError):
    """Some of the backups that were to go could not be deleted; the others are gone."""

    can_retry = True


class PineconeUnreachable(PineconeError):
    """A wait was given up, as too many polls in a row got no good answer."""

    can_retry = True
