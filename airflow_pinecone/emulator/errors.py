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
    414: "INVALID_ARGUMENT",
    422: "UNPROCESSABLE_ENTITY",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_body(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """Return the body of an error response (`ErrorResponse` in the published description)."""
    return {"status": status, "error": {"code": code or _CODES.get(status, "UNKNOWN"), "message": message}}


class ApiError(Exception):
    """A request fails with an error response."""

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        *,
        code: str | None = None,
        body: str | None = None,
    ) -> None:
        """Create the error.

        Args:
            status: The HTTP status.
            message: The message.
            headers: The additional headers of the response.
            code: The code; the one of the status by default.
            body: The text of the response, if it is not in the shape of the API's errors.
        """
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] | str = error_body(status, message, code) if body is None else body
        self.headers = headers or {}
