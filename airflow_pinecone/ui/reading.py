"""Read a project with the API key of a connection, within a deadline, and explain why that failed.

A thread of the API server runs this. There, Airflow reads a connection from its environment, its metadata database or
its secrets backend, in whichever thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.errors import (
    Forbidden,
    PermissionDenied,
    PineconeConnectionError,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    Unauthorized,
)
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.reading import read_project
from airflow_pinecone.rules.report import Project
from airflow_pinecone.rules.scratch import is_scratch

log = logging.getLogger(__name__)

# Seconds in which a project must be read.
DEADLINE = 10.0
# Seconds that the page waits for a folder at most: that of restore tests, and that of copies. After a read that lasts
# longer, it does not wait.
FOLDER_DEADLINE = 5.0
# The deadline is checked between two requests, so a request must not last long.
REQUEST_TIMEOUT = 5.0
_NETWORK = "Check the network and the proxy of the API server, and https://status.pinecone.io."
_REJECTIONS: tuple[tuple[type[PineconePermanentError], str], ...] = (
    (Unauthorized, "Pinecone rejected the API key."),
    (PermissionDenied, "Pinecone does not permit this API key to list the project."),
    (Forbidden, "Pinecone does not permit listing the project."),
    (PineconePermanentError, "Pinecone rejected a request."),
)


class Copy(NamedTuple):
    """What the page knows of a project.

    Attributes:
        project: What Pinecone lists.
        read_at: When it was read.
        restores_failure: Why the restore jobs are unknown; None if they could be listed.
    """

    project: Project
    read_at: datetime
    restores_failure: str | None = None

    @property
    def index_names(self) -> list[str]:
        """The names of the indexes, without scratch indexes."""
        return [index["name"] for index in self.project.indexes if not is_scratch(index)]


class Failure(NamedTuple):
    """Why a project could not be read.

    Attributes:
        summary: One sentence.
        text: The details, and what to do.
    """

    summary: str
    text: str


class DeadlinePassed(Exception):
    """The project could not be read in time."""


TOO_SLOW = Failure(
    f"Pinecone did not respond within {DEADLINE:g} seconds.", f"Reload the page in a moment. If it persists: {_NETWORK}"
)


def check_of(deadline_at: float, clock: Clock) -> Callable[[], None]:
    """Return a function that raises DeadlinePassed from the deadline on, a time as ``clock.monotonic`` returns it."""

    def check() -> None:
        if clock.monotonic() >= deadline_at:
            raise DeadlinePassed

    return check


def why_unread(option: str, failure: Failure) -> str:
    """Return why the folder of an option could not be read, as a clause."""
    in_time = " in time" if failure == TOO_SLOW else ""
    return f"the folder of [pinecone] {option} could not be read{in_time}"


def read_copy(connection: str, deadline_at: float, *, clock: Clock = SYSTEM_CLOCK) -> Copy:
    """Read a project. ``deadline_at`` is a time as ``clock.monotonic`` returns it.

    Raises:
        DeadlinePassed: The deadline has passed.
        PineconeError: The indexes or the backups could not be listed, or the connection cannot be used.
    """
    client = PineconeHook(connection, clock=clock, max_timeout=REQUEST_TIMEOUT).client
    with client.session:
        read_at = clock.utcnow()
        project, restores_failure = read_project(client, retry=False, check=check_of(deadline_at, clock))
    return Copy(project, read_at, str(restores_failure) if restores_failure else None)


def explain(error: Exception) -> Failure:
    """Explain why a project could not be read.

    The text of a PineconeError does not contain the API key. Other errors are only logged.
    """
    if isinstance(error, DeadlinePassed):
        return TOO_SLOW
    if isinstance(error, PineconeInputError):
        return Failure(
            "The connection cannot be used.",
            f"{error} The API server must be able to read the connection: from its environment variables, the metadata "
            "database or the secrets backend. The option [pinecone] ui_connections names the connections of this page.",
        )
    if isinstance(error, PineconeConnectionError):
        summary = "Pinecone did not respond in time." if error.sent else "Pinecone could not be reached."
        return Failure(summary, f"The reason: {error.reason}. {_NETWORK}")
    for error_class, summary in _REJECTIONS:
        if isinstance(error, error_class):
            return Failure(summary, str(error))
    if isinstance(error, PineconeError):
        return Failure("Pinecone returned an error.", f"The reason: {error.reason}. Reload the page in a moment.")
    log.error("The project could not be read.", exc_info=error)
    return Failure("The project could not be read.", "The log of the API server has the error. Reload the page later.")
