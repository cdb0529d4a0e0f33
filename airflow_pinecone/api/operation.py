"""One call of the API."""

from __future__ import annotations

from typing import NamedTuple

from airflow_pinecone.api.settings import API_VERSIONS
from airflow_pinecone.common.text import explain
from airflow_pinecone.errors import PineconeTransientError


class Operation(NamedTuple):
    """One call of the API.

    Attributes:
        name: Its name in Pinecone's reference, such as ``describe_backup``.
        method: The HTTP method.
        path: The segments of the path, not quoted. The second one is the name or id of a resource.
        description: What the call does, as a verb phrase for messages, such as ``describe backup X``.
        since: The first version of the API that has it.
        is_read: Whether it is a POST that changes nothing, so that it may be repeated like a GET.
        is_idempotent: Whether it is a POST that has the same effect if it is repeated, such as an upsert.
    """

    name: str
    method: str
    path: tuple[str, ...]
    description: str
    since: str = API_VERSIONS[0]
    is_read: bool = False
    is_idempotent: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether a second request has the same effect as one."""
        return self.is_read or self.is_idempotent or self.method in ("GET", "DELETE")

    def invalid_response(self, problem: str) -> PineconeTransientError:
        """Return the error for a response that is not valid. ``problem`` completes 'the response ...'."""
        reason = f"the response {problem}"
        advice = "Check any proxy. If no retry is left, clear the task later."
        return PineconeTransientError(explain(f"Could not {self.description}.", reason, advice), reason=reason)
