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
from airflow_pinecone.common.text import explain, one_line
from airflow_pinecone.errors import ConnectionChanged, PineconeError

ReadSettings = Callable[[], Settings]
# In seconds. Requests that are rejected at about the same time share one read of the connection.
MIN_READ_INTERVAL = 1.0


class ApiKey(AuthBase):
    """Adds the API key to each request of a session. After a 401, the connection is read again.

    Only the key is taken from it: what was started before exists at the control plane that the settings name.

    Attributes:
        settings: The settings, with the key that is in use.
        generation: How often the key was replaced. A request notes this number before it is sent, and need not know the
            key itself.
    """

    def __init__(
        self, settings: Settings, read_again: ReadSettings | None, log: Callable[[str], object], clock: Clock
    ) -> None:
        self.settings = settings
        self.generation = 0
        self._read_again = read_again
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._last_read: Settings | None = None
        self._read_at = -math.inf
        # A response can quote the key with which its request was sent.
        self._keys = [settings.api_key]

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the key; requests calls this for each request."""
        request.headers["Api-Key"] = self.settings.api_key
        return request

    def hide(self, value: object) -> str:
        """Return an untrusted value as one line, in which the keys used so far are masked."""
        return one_line(value, *self._keys)

    def renew(self, generation: int) -> bool:
        """Read the connection again, and return whether there is a new key.

        Args:
            generation: The value of ``generation`` before the rejected request was sent.

        Raises:
            ConnectionChanged: The connection names another control plane now.
        """
        with self._lock:
            if self.generation == generation and self._clock.monotonic() - self._read_at >= MIN_READ_INTERVAL:
                self._last_read = self._read()
                self._read_at = self._clock.monotonic()
            read = self._last_read
            if read is not None:
                check_control_plane(read, self.settings.url)
                if read.api_key != self.settings.api_key:
                    self._keys.append(read.api_key)
                    self.settings = replace(self.settings, api_key=read.api_key)
                    self.generation += 1
            return self.generation != generation

    def _read(self) -> Settings | None:
        """Read the connection. If that is not possible, log it and return None."""
        if self._read_again is None:
            return None
        try:
            return self._read_again()
        except PineconeError as error:
            self._log(f"Using the previous API key: {error.reason}.")
        except Exception as error:
            # Airflow's database or its API server may be unreachable. The 401 of Pinecone is raised then.
            self._log(f"Using the previous API key: Airflow could not read the connection ({type(error).__name__}).")
        return None


def check_control_plane(settings: Settings, expected: str) -> None:
    """Raise ConnectionChanged if settings name another control plane than the expected one."""
    if settings.url != expected:
        raise ConnectionChanged(
            explain(
                f"Connection {settings.conn_id} now names the control plane {settings.url}.",
                f"The task has started at {expected}. Its backup or restore is there.",
                "Restore the host of the connection. Or clear the task, to start again at the new one.",
            )
        )
