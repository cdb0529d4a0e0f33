"""A requests adapter whose read timeout bounds the whole response.

The read timeout of requests restarts whenever data arrives, so a slow response may never time out. With this adapter,
the timeout runs from the end of the request to the last byte of the response.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from functools import cache
from typing import Any

from requests.adapters import HTTPAdapter


class DeadlineAdapter(HTTPAdapter):
    """An HTTPAdapter that limits the time for each response, with or without a proxy."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return a connection pool; see HTTPAdapter for the arguments."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        connection_class = pool.ConnectionCls
        if connection_class.response_class is not _Response:
            pool.ConnectionCls = _with_deadline(connection_class)
        return pool


@cache
def _with_deadline(connection_class: type) -> type:
    """Subclass the class of a pool: plain, TLS and SOCKS connections use different ones."""
    return type(connection_class.__name__, (connection_class,), {"response_class": _Response})


class _Response(http.client.HTTPResponse):
    """A response that must arrive within the timeout of its socket, including a proxy's response to CONNECT."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        if timeout is not None:
            self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, timeout))


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, timeout: float) -> None:
        self._raw = raw
        self._sock = sock
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            # Restore the full timeout for the next use of the socket, such as the TLS handshake in a tunnel.
            self._sock.settimeout(self._timeout)

    def close(self) -> None:
        self._raw.close()
        super().close()
