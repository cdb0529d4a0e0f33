"""Share polls: all waits of one connection in one event loop are polled together.

A wait asks for the state of its resource, and says when it needs it. When the first of them needs it, a *round* starts.
It also answers the other waits of the connection that are past half of their pause, so waits that started at different
times soon share all their rounds. A round lists the backups of the project if that takes fewer requests than
describing each one.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_pinecone.clock import Clock
from airflow_pinecone.errors import PineconeConnectionError, PineconeError, PineconePermanentError
from airflow_pinecone.waiting.resources import RESOURCES, Model, Resource

if TYPE_CHECKING:
    from airflow_pinecone.client import PineconeClient

Outcome = Model | PineconeError
Result = TypeVar("Result")
ReadClient = Callable[[], Awaitable["PineconeClient"]]

MAX_THREADS = 4
READ_SECONDS = 30.0
# After a listing that failed although a describe succeeded, such as for an API key that may not list backups.
SECONDS_WITHOUT_LISTING = 600.0
REQUEST_MARGIN_SECONDS = 5.0

_log = logging.getLogger(__name__)
_shared: dict[tuple[asyncio.AbstractEventLoop, str], SharedPolls] = {}


@contextmanager
def shared_polls(conn_id: str, read_client: ReadClient, clock: Clock) -> Iterator[SharedPolls]:
    """Join the polls of a connection in the running event loop. They end when the last wait has left.

    Args:
        conn_id: The id of the Airflow connection.
        read_client: Reads the connection, and returns a new client. Only that of the first wait is used.
        clock: The clock. Only that of the first wait is used.

    Yields:
        The polls.
    """
    key = (asyncio.get_running_loop(), conn_id)
    polls = _shared.get(key) or _shared.setdefault(key, SharedPolls(conn_id, read_client, clock))
    polls.waits += 1
    try:
        yield polls
    finally:
        polls.waits -= 1
        if not polls.waits:
            del _shared[key]
            polls.close()


class SharedPolls:
    """The polls of one connection.

    Args:
        conn_id: The id of the Airflow connection.
        read_client: Reads the connection, and returns a new client.
        clock: The clock.

    Attributes:
        waits: The number of waits that use it.
    """

    def __init__(self, conn_id: str, read_client: ReadClient, clock: Clock) -> None:
        """Store the arguments; nothing is requested yet."""
        self.waits = 0
        self._requests = _Requests(conn_id, read_client)
        self._rounds = {name: _Rounds(resource, self._requests, clock) for name, resource in RESOURCES.items()}

    async def poll(self, resource: Resource, resource_id: str, pause: float, early: float) -> Outcome:
        """Poll a resource after a pause.

        Args:
            resource: The resource type.
            resource_id: The id of the resource.
            pause: Seconds until the poll.
            early: By how many seconds the poll may start earlier, to share the requests of another wait.

        Returns:
            The model, or the error of the poll.

        Raises:
            Exception: Airflow could not read the connection.
        """
        return await self._rounds[resource.name].poll(resource_id, pause, early)

    def close(self) -> None:
        """Stop polling. Requests that are running end by their own timeout."""
        for rounds in self._rounds.values():
            rounds.close()
        self._requests.close()


@dataclass(eq=False)
class _Poll:
    """A poll that a wait has asked for.

    Attributes:
        resource_id: The id of the resource.
        not_before: The earliest time of the poll, in seconds of the monotonic clock.
        outcome: The outcome of the poll.
        is_due: Whether the poll must start now.
    """

    resource_id: str
    not_before: float
    outcome: asyncio.Future[Outcome]
    is_due: bool = False


class _Rounds:
    """The polls of one resource type. At most one round runs at a time."""

    def __init__(self, resource: Resource, requests: _Requests, clock: Clock) -> None:
        self._resource = resource
        self._requests = requests
        self._clock = clock
        self._waiting: set[_Poll] = set()
        self._task: asyncio.Task[None] | None = None
        # The number of pages that were needed to find the last resources. The first listing is assumed to be short.
        self._pages = 1
        self._list_not_before = clock.monotonic()

    async def poll(self, resource_id: str, pause: float, early: float) -> Outcome:
        loop = asyncio.get_running_loop()
        poll = _Poll(resource_id, self._clock.monotonic() + pause - early, loop.create_future())
        self._waiting.add(poll)
        due: asyncio.Future[None] = asyncio.create_task(self._clock.sleep_async(pause))
        either: set[asyncio.Future[Any]] = {due, poll.outcome}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not poll.outcome.done():
                poll.is_due = True
                if self._task is None or self._task.done():
                    # With the context of this wait, the messages of a round would go to the log of its task only.
                    self._task = loop.create_task(self._run(), context=contextvars.Context())
            return await poll.outcome
        finally:
            due.cancel()
            poll.outcome.cancel()
            self._waiting.discard(poll)

    def close(self) -> None:
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        """Run rounds until no poll is due."""
        while any(poll.is_due for poll in self._waiting):
            now = self._clock.monotonic()
            polls: dict[str, list[_Poll]] = {}
            for poll in [poll for poll in self._waiting if poll.is_due or poll.not_before <= now]:
                polls.setdefault(poll.resource_id, []).append(poll)
                # A wait that has its outcome may ask again before the round ends.
                self._waiting.discard(poll)
            try:
                await self._run_round(polls)
            except PineconeError as error:  # The connection is invalid.
                for same_id in polls.values():
                    _answer(same_id, error)
            except Exception as error:  # Airflow could not read the connection. Each wait raises the error.
                for poll in [poll for same_id in polls.values() for poll in same_id if not poll.outcome.done()]:
                    poll.outcome.set_exception(error)

    async def _run_round(self, polls: dict[str, list[_Poll]]) -> None:
        await self._requests.start_round()
        may_list = self._clock.monotonic() >= self._list_not_before
        # What a listing does not contain may exist: only a describe can say that it does not.
        unlisted = await self._list(polls) if may_list and len(polls) > self._pages else polls.keys()
        await asyncio.gather(*(self._describe(resource_id, polls[resource_id]) for resource_id in unlisted))

    async def _list(self, polls: dict[str, list[_Poll]]) -> Collection[str]:
        """Answer polls from a listing, and return the ids of those that it does not answer."""
        ids = set(polls)
        try:
            found = await self._requests.send(lambda client: self._resource.find(client, ids, len(ids)))
        except PineconeError as error:
            # Either all requests fail now, or only the listing does. A describe tells which.
            first, *others = polls
            if _is_answer(await self._describe(first, polls[first])):
                _log.warning("Listing failed, so each %s is described. %s", self._resource.label.lower(), error)
                self._list_not_before = self._clock.monotonic() + SECONDS_WITHOUT_LISTING
                return others
            for resource_id in others:
                _answer(polls[resource_id], error)
            return ()
        self._pages = found.pages
        for resource_id, model in found.rows.items():
            _answer(polls[resource_id], model)
        return ids - found.rows.keys()

    async def _describe(self, resource_id: str, polls: list[_Poll]) -> Outcome:
        outcome: Outcome
        try:
            outcome = await self._requests.send(lambda client: self._resource.poll(client, resource_id))
        except PineconeError as error:
            outcome = error
        _answer(polls, outcome)
        return outcome


def _answer(polls: list[_Poll], outcome: Outcome) -> None:
    for poll in polls:
        # The wait may have ended: it was cancelled, or its deadline has passed.
        if not poll.outcome.done():
            poll.outcome.set_result(outcome)


def _is_answer(outcome: Outcome) -> bool:
    """Return whether Pinecone answered a describe: with the resource, or that it does not exist."""
    if isinstance(outcome, PineconePermanentError):
        return outcome.status_code == HTTPStatus.NOT_FOUND
    return not isinstance(outcome, PineconeError)


class _Requests:
    """Sends the requests of a connection, in threads of its own.

    All triggers of the triggerer share the default executor of the event loop. Requests to a Pinecone that does not
    respond would occupy it. With threads for each connection, they do not delay the polls of other connections either.
    """

    def __init__(self, conn_id: str, read_client: ReadClient) -> None:
        self._read_client = read_client
        self._client: PineconeClient | None = None
        self._may_read_again = False
        self._reading = asyncio.Lock()
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix=f"pinecone-{conn_id}")
        self._free_threads = asyncio.Semaphore(MAX_THREADS)

    async def start_round(self) -> PineconeClient:
        """Return the client. The connection is read if that has not succeeded yet."""
        async with self._reading:
            self._may_read_again = True
            self._client = self._client or await self._read()
            return self._client

    async def send(self, request: Callable[[PineconeClient], Result]) -> Result:
        """Send a request. If Pinecone rejects the API key, read the connection again, once in a round, and repeat."""
        async with self._free_threads:
            client = self._client or await self.start_round()
            try:
                return await self._send(client, request)
            except PineconePermanentError as error:
                if error.status_code != HTTPStatus.UNAUTHORIZED:
                    raise
                # The API key may have been replaced since the connection was read.
                new_client = await self._client_after(client)
                if new_client is client:
                    raise
            return await self._send(new_client, request)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _client_after(self, rejected: PineconeClient) -> PineconeClient:
        """Return a newer client than the rejected one, or the same one if there is none."""
        async with self._reading:
            if self._client is rejected and self._may_read_again:
                self._may_read_again = False
                try:
                    self._client = await self._read()
                except Exception as error:
                    _log.warning("Could not read the connection again; using the previous API key. %s", error)
            return self._client or rejected

    async def _read(self) -> PineconeClient:
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._read_client()
        except TimeoutError:
            text = f"Could not read the Airflow connection within {READ_SECONDS:g} s."
            raise PineconeConnectionError(text, sent=False) from None

    async def _send(self, client: PineconeClient, request: Callable[[PineconeClient], Result]) -> Result:
        # Each request of a poll has a timeout to connect and one for its response.
        seconds = 2 * client.timeout + REQUEST_MARGIN_SECONDS
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, request, client)
        except TimeoutError:
            text = f"Could not poll Pinecone: no response within {seconds:g} s."
            raise PineconeConnectionError(text, sent=True) from None
