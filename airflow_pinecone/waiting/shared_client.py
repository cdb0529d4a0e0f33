"""Share a client: the waits of a connection read it once, and send their requests in a few threads of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from airflow_pinecone.common.clock import Clock
from airflow_pinecone.errors import (
    PineconeConnectionError,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
)

if TYPE_CHECKING:
    from airflow_pinecone.api.client import PineconeClient

Result = TypeVar("Result")
ReadClient = Callable[[], Awaitable["PineconeClient"]]

MAX_THREADS = 4
# How long Airflow may take to read the connection.
READ_SECONDS = 8.0
# A wait that joins reads the connection again if it was last read longer ago, because it may have been changed.
CHECK_SECONDS = 60.0
# After a 401, the connection is not read again if it was read less than this many seconds ago.
MIN_READ_INTERVAL = 1.0
# Added to the timeouts of a request itself.
REQUEST_MARGIN_SECONDS = 5.0

_log = logging.getLogger(__name__)


def is_unauthorized(error: Exception) -> bool:
    """Return whether Pinecone rejected the API key."""
    return isinstance(error, PineconePermanentError) and error.status_code == HTTPStatus.UNAUTHORIZED


class SharedClient:
    """The client of a connection, and the threads that send its requests.

    All triggers of the triggerer share the default executor of the event loop. Requests to a Pinecone that does not
    respond would occupy it. With threads for each connection, they do not delay the polls of other connections either.

    Args:
        conn_id: The id of the Airflow connection.
        read_client: Reads the connection, and returns a new client.
        clock: The clock.
    """

    def __init__(self, conn_id: str, read_client: ReadClient, clock: Clock) -> None:
        """Store the arguments; the connection is not read yet."""
        self._conn_id = conn_id
        self._read_client = read_client
        self._clock = clock
        self._client: PineconeClient | None = None
        self._read_at = clock.monotonic()
        self._reading = asyncio.Lock()
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix=f"pinecone-{conn_id}")
        self._free_threads = asyncio.Semaphore(MAX_THREADS)

    async def connect(self) -> PineconeClient:
        """Return the client. The connection is read if that has not succeeded yet."""
        async with self._reading:
            self._client = self._client or await self._read()
            return self._client

    async def send(self, request: Callable[[PineconeClient], Result]) -> Result:
        """Send a request. If Pinecone rejects the API key, read the connection again and repeat it once."""
        async with self._free_threads:
            client = self._client or await self.connect()
            try:
                return await self._send(client, request)
            except PineconePermanentError as error:
                # The API key may have been replaced since the connection was read.
                new_client = await self._client_after(client) if is_unauthorized(error) else client
                if new_client is client:
                    raise
            return await self._send(new_client, request)

    async def connection_has_changed(self) -> bool:
        """Read the connection again if it was not read for a while.

        Returns:
            Whether it differs from the one in use. False if it was not read before, or cannot be read now.
        """
        async with self._reading:
            if self._client is None or self._clock.monotonic() - self._read_at < CHECK_SECONDS:
                return False
            try:
                return (await self._read()).settings != self._client.settings
            except PineconeError as error:
                _log.warning("Using the previous values of a connection. %s", error)
                return False

    def close(self) -> None:
        """Stop the threads. Requests that are running end by their own timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _client_after(self, rejected: PineconeClient) -> PineconeClient:
        """Return a newer client than the rejected one, or the same one if there is none."""
        async with self._reading:
            if self._client is rejected and self._clock.monotonic() - self._read_at >= MIN_READ_INTERVAL:
                try:
                    self._client = await self._read()
                except PineconeError as error:
                    _log.warning("Using the previous API key. %s", error)
            return self._client or rejected

    async def _read(self) -> PineconeClient:
        self._read_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._read_client()
        except PineconeInputError:
            raise
        except Exception as error:
            # Airflow's database or its API server may be unreachable for a short time.
            reason = f"no result within {READ_SECONDS:g} s" if isinstance(error, TimeoutError) else type(error).__name__
            _log.warning("Airflow could not read connection %s.", self._conn_id, exc_info=True)
            raise PineconeConnectionError(
                f"Airflow could not read connection {self._conn_id}: {reason}. See the log of the triggerer.",
                sent=False,
            ) from error

    async def _send(self, client: PineconeClient, request: Callable[[PineconeClient], Result]) -> Result:
        # A request has a timeout to connect and one for its response. A longer series, such as the pages of a listing,
        # may be cut off.
        seconds = 2 * client.settings.timeout + REQUEST_MARGIN_SECONDS
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, request, client)
        except TimeoutError:
            text = f"Could not poll Pinecone: no response within {seconds:g} s."
            raise PineconeConnectionError(text, sent=True) from None
