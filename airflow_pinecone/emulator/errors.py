"""The error responses of the API, in the shape of the published description."""

from collections.abc import Mapping
from typing import Any

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "PAYMENT_REQUIRED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    422: "UNPROCESSABLE_ENTITY",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_body(status: int, message: str) -> dict[str, Any]:
    """Return the body of an error response (`ErrorResponse` in the published description)."""
    return {"status": status, "error": {"code": _CODES.get(status, "UNKNOWN"), "message": message}}


class ApiError(Exception):
    """A request fails with an error response."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Create the error from the HTTP status, the message and the additional headers of the response."""
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message)
        self.headers = headers or {}
