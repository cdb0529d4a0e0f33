"""The errors of the API, as the published description words them."""

from typing import Any

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "PAYMENT_REQUIRED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    422: "UNPROCESSABLE_ENTITY",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_body(status: int, message: str) -> dict[str, Any]:
    """Put an error into the one shape that all error answers share.

    Args:
        status: The HTTP status; it decides the error code.
        message: What a person reads.

    Returns:
        The body, as the published `ErrorResponse`.
    """
    return {"status": status, "error": {"code": _CODES.get(status, "UNKNOWN"), "message": message}}


class ApiError(Exception):
    """What ends a call with an error answer."""

    def __init__(self, status: int, message: str) -> None:
        """Word the answer: its HTTP status, and the message of its body."""
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message)
