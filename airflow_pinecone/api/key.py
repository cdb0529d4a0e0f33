"""The API key of a connection, which can be replaced at any time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace

from requests import PreparedRequest
from requests.auth import AuthBase

from airflow_pinecone.api.settings import Settings
from airflow_pinecone.common.clock import Clock
from airflow_pinecone.common.text import one_line
from airflow_pinecone.errors import ConnectionChanged, PineconeError

ReadSettings = Callable[[], Settings]
# In seconds. Requests that are rejected at about the same time read the connection once.
MIN_READ_INTERVAL = 1.0


class ApiKey(AuthBase):
    """Adds the API key to each request of a session. After a 401, the connection is read again.

    Only the key is taken from it: what was started before exists at the control plane that the settings name.

    Attributes:
        settings: The settings, with the key that is in use.
        generation: How often the key was replaced. A request knows by this number, not by the key itself, which key it
            used.
    """

    def __init__(
        self, settings: Settings, read_again: ReadSettings | None, log: Callable[[str], object], clock: Clock
    ) -> None:
        self.settings = settings
        self._read_again = read_again
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = -math.inf
        self._last_read: Settings | None = None
        self.generation = 0

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the key; requests calls this for each request."""
        request.headers["Api-Key"] = self.settings.api_key
        return request

    def hide(self, value: object) -> str:
        """Return an untrusted value as one line, in which the key is masked."""
        return one_line(value, self.settings.api_key)

    def replaced(self, rejected: int) -> bool:
        """Return whether there is another key than the one of a generation, which Pinecone has rejected.

        Raises:
            ConnectionChanged: The connection names another control plane now.
        """
        with self._lock:
            if self.generation != rejected:
                return True
            settings = self._read()
            if settings is None:
                return False
            check_control_plane(settings, self.settings.url)
            if settings.api_key == self.settings.api_key:
                return False
            self.settings = replace(self.settings, api_key=settings.api_key)
            self.generation += 1
            return True

    def _read(self) -> Settings | None:
        """Read the connection, at most once in MIN_READ_INTERVAL seconds; None if it cannot be read."""
        now = self._clock.monotonic()
        if self._read_again is not None and now - self._read_at >= MIN_READ_INTERVAL:
            self._read_at, self._last_read = now, None
            try:
                self._last_read = self._read_again()
            except PineconeError as error:
                self._log(f"Using the previous API key. {error}")
        return self._last_read


def check_control_plane(settings: Settings, expected: str) -> None:
    """Raise ConnectionChanged if settings name another control plane than the expected one."""
    if settings.url != expected:
        raise ConnectionChanged(
            f"Connection {settings.conn_id} now names the control plane {settings.url}, but the work was started at "
            f"{expected}. Restore the host of the connection and retry the task, or clear the task to start again at "
            "the new one."
        )
