"""Share a client: the waits of a connection read it once, and send their requests in a few threads of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.key import check_control_plane
from airflow_pinecone.api.settings import Settings
from airflow_pinecone.common.clock import Clock
from airflow_pinecone.errors import ConnectionChanged, PineconeConnectionError, PineconeInputError

Result = TypeVar("Result")
ReadSettings = Callable[[], Awaitable[Settings]]

# For each resource type.
MAX_THREADS = 4
# For the last polls of the waits, which do not queue behind others.
MAX_LAST_POLLS = 32
# How long Airflow may take to read the connection.
READ_SECONDS = 8.0
# Added to the timeouts of a request itself.
REQUEST_MARGIN_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Threads:
    """Some threads that send requests."""

    executor: ThreadPoolExecutor
    free: asyncio.Semaphore

    def close(self) -> None:
        """Stop the threads. Requests that are running end by their own timeout."""
        self.executor.shutdown(wait=False, cancel_futures=True)


class SharedClient:
    """The client of a connection, and the threads that send its requests.

    All triggers of the triggerer share the default executor of the event loop. Requests to a Pinecone that does not
    respond would occupy it. With threads for each connection, they do not delay the polls of other connections either.

    Args:
        conn_id: The id of the Airflow connection.
        control_plane: The URL that the connection must name; None for any.
        fingerprint: The fingerprint that the connection must have when it is first read; None for any.
        read_settings: Reads the connection, in the event loop.
        clock: The clock.

    Attributes:
        read_fingerprint: The fingerprint of the connection when it was last read; None if it could not be read.
    """

    def __init__(
        self,
        conn_id: str,
        control_plane: str | None,
        fingerprint: str | None,
        read_settings: ReadSettings,
        clock: Clock,
    ) -> None:
        self.read_fingerprint: str | None = None
        self._conn_id = conn_id
        self._control_plane = control_plane
        self._fingerprint = fingerprint
        self._read_settings = read_settings
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._client: PineconeClient | None = None
        self._connecting = asyncio.Lock()
        self._last_polls = self.new_threads(MAX_LAST_POLLS)

    async def connect(self) -> PineconeClient:
        """Return the client. The connection is read if that has not succeeded yet."""
        async with self._connecting:
            if self._client is None:
                settings = await self._read()
                if self._control_plane is not None:
                    check_control_plane(settings, self._control_plane)
                if self._fingerprint not in (None, settings.fingerprint):
                    raise ConnectionChanged(
                        f"Connection {self._conn_id} of the triggerer has another API key than that of the task."
                    )
                self._client = PineconeClient(
                    settings, _log.warning, clock=self._clock, read_again=self._read_from_thread
                )
            return self._client

    def new_threads(self, number: int = MAX_THREADS) -> Threads:
        """Return threads for requests. They start when they are needed."""
        return Threads(ThreadPoolExecutor(number, f"pinecone-{self._conn_id}"), asyncio.Semaphore(number))

    async def send(self, request: Callable[[PineconeClient], Result], threads: Threads | None = None) -> Result:
        """Send a request in one of some threads, by default in one of those for last polls."""
        threads = threads or self._last_polls
        async with threads.free:
            client = self._client or await self.connect()
            # A request has a timeout to connect and one for its response. After a 401, the connection is read and the
            # request is repeated. A longer series, such as the pages of a listing, may be cut off.
            seconds = 2 * client.settings.timeout + READ_SECONDS + REQUEST_MARGIN_SECONDS
            try:
                async with asyncio.timeout(seconds):
                    return await self._loop.run_in_executor(threads.executor, request, client)
            except TimeoutError:
                text = f"Could not poll Pinecone: no response within {seconds:g} s."
                raise PineconeConnectionError(text, sent=True) from None

    def close(self) -> None:
        """Stop the threads for last polls."""
        self._last_polls.close()

    def _read_from_thread(self) -> Settings:
        """Read the connection for a thread that sends a request. Only the event loop may call Airflow."""
        read = asyncio.run_coroutine_threadsafe(self._read(), self._loop)
        try:
            return read.result(READ_SECONDS + REQUEST_MARGIN_SECONDS)
        except TimeoutError:  # The event loop is busy, or has ended.
            raise PineconeConnectionError(f"Connection {self._conn_id} was not read in time.", sent=False) from None

    async def _read(self) -> Settings:
        self.read_fingerprint = None
        try:
            async with asyncio.timeout(READ_SECONDS):
                settings = await self._read_settings()
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
        self.read_fingerprint = settings.fingerprint
        return settings
