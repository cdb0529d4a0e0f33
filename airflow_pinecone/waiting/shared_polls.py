"""Share polls: all waits of one connection in one event loop are polled together.

With 500 waits and an interval of 60 seconds, 500 polls become due one after the other. When the first one is due, a
*round* starts. It answers that poll and all others whose interval is half over. So waits that started at other times
soon share all their rounds. A round with more backups than the previous listing had pages lists them. Otherwise it
describes each one.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.common.clock import Clock
from airflow_pinecone.errors import (
    PineconeConnectionError,
    PineconeError,
    PineconeInputError,
    PineconeTransientError,
    Unauthorized,
)
from airflow_pinecone.waiting.resources import RESOURCES, Find, Model, Resource
from airflow_pinecone.waiting.shared_client import MAX_THREADS, ReadSettings, SharedClient

Outcome = Model | PineconeError
Result = TypeVar("Result")
# If the API key may not list backups, or this many listings in a row have failed, each backup is described for a while.
MAX_FAILED_LISTINGS = 3
SECONDS_WITHOUT_LISTING = 600.0

_log = logging.getLogger(__name__)
_shared: dict[tuple[asyncio.AbstractEventLoop, str, str | None, str | None], SharedPolls] = {}


@asynccontextmanager
async def shared_polls(
    conn_id: str, control_plane: str | None, fingerprint: str | None, read_settings: ReadSettings, clock: Clock
) -> AsyncIterator[SharedPolls]:
    """Join the polls of a connection in the running event loop. They end when the last wait has left.

    Waits whose tasks have read another host or API key have other polls: their backups may be in another project.

    Args:
        conn_id: The id of the Airflow connection.
        control_plane: The URL of the control plane at which the wait started, which the connection must still name;
            None for any.
        fingerprint: The fingerprint of the connection that the task has read; None for any.
        read_settings: Reads the connection.
        clock: The clock.
    """
    key = (asyncio.get_running_loop(), conn_id, control_plane, fingerprint)
    polls = _shared.get(key)
    if polls is None:
        client = SharedClient(conn_id, control_plane, fingerprint, read_settings, clock)
        polls = _shared[key] = SharedPolls(client, clock)
    polls.waits += 1
    try:
        yield polls
    finally:
        polls.waits -= 1
        if not polls.waits:
            polls.close()
            del _shared[key]


class SharedPolls:
    """The polls of one connection. ``waits`` is the number of waits that use it."""

    def __init__(self, client: SharedClient, clock: Clock) -> None:
        self.waits = 0
        self._client = client
        self._rounds = {name: _Rounds(resource, client, clock) for name, resource in RESOURCES.items()}

    @property
    def read_fingerprint(self) -> str | None:
        """The fingerprint of the connection when it was last read; None if it could not be read."""
        return self._client.read_fingerprint

    async def poll(self, resource: Resource, resource_id: str, interval: float, early: float) -> Outcome:
        """Poll a resource after an interval in seconds, and return its model or the error of the poll.

        The poll may start ``early`` seconds earlier, to share the requests of another wait.
        """
        return await self._rounds[resource.name].poll(resource_id, interval, early)

    async def poll_now(self, resource: Resource, resource_id: str) -> Outcome:
        """Poll a resource by itself at once, even if all threads of the rounds are busy."""
        return await _outcome(self._client.send(lambda client: resource.poll(client, resource_id)))

    def close(self) -> None:
        """Stop polling. Requests that are running end by their own timeout."""
        for rounds in self._rounds.values():
            rounds.close()
        self._client.close()


@dataclass(eq=False, slots=True)
class _Poll:
    """A poll that a wait has asked for.

    Attributes:
        resource_id: The id of the resource.
        not_before: The earliest time of the poll, in seconds of the monotonic clock.
        due_at: The time at which the poll starts a round, if no round has taken it before.
        outcome: The outcome of the poll.
    """

    resource_id: str
    not_before: float
    due_at: float
    outcome: asyncio.Future[Outcome]


class _Rounds:
    """The polls of one resource type, in threads of their own.

    A round starts when a poll is due, even while another round runs: that one may hang. But while requests get no
    response, one round runs at a time, or there would be a round for each wait.
    """

    def __init__(self, resource: Resource, client: SharedClient, clock: Clock) -> None:
        self._resource = resource
        self._client = client
        self._threads = client.new_threads()
        self._clock = clock
        self._waiting: set[_Poll] = set()
        self._running: set[asyncio.Task[None]] = set()
        # Whether the last request that has ended got a response.
        self._responds = True
        # The pages that the previous listing requested. The first listing is assumed to be short.
        self._pages = 1
        self._failed_listings = 0
        self._list_not_before = clock.monotonic()

    async def poll(self, resource_id: str, interval: float, early: float) -> Outcome:
        loop = asyncio.get_running_loop()
        due_at = self._clock.monotonic() + interval
        poll = _Poll(resource_id, due_at - early, due_at, loop.create_future())
        self._waiting.add(poll)
        cancel_timer = self._clock.call_later(interval, partial(self._start_round, poll))
        try:
            return await poll.outcome
        finally:
            cancel_timer()
            poll.outcome.cancel()
            self._waiting.discard(poll)

    def close(self) -> None:
        for task in self._running:
            task.cancel()
        self._threads.close()

    def _start_round(self, due: _Poll) -> None:
        if due not in self._waiting:  # An earlier round has taken it.
            return
        if self._running and not self._responds:  # It is in the next round.
            return
        now = self._clock.monotonic()
        polls: dict[str, list[_Poll]] = {}
        for poll in [poll for poll in self._waiting if poll is due or poll.not_before <= now]:
            polls.setdefault(poll.resource_id, []).append(poll)
            self._waiting.discard(poll)
        # In the context of this wait, the messages of the round would go to the log of its task only.
        task = asyncio.get_running_loop().create_task(self._run(polls), context=contextvars.Context())
        self._running.add(task)
        task.add_done_callback(self._end_round)

    def _end_round(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        now = self._clock.monotonic()
        for poll in [poll for poll in self._waiting if poll.due_at <= now]:
            self._start_round(poll)

    async def _run(self, polls: dict[str, list[_Poll]]) -> None:
        outcome: Outcome = PineconeConnectionError("The poll was interrupted.", sent=True)
        try:
            await self._run_round(polls)
        except PineconeError as error:  # The connection is invalid, or cannot be read.
            outcome = error
        finally:
            for same_id in polls.values():
                _answer(same_id, outcome)

    async def _run_round(self, polls: dict[str, list[_Poll]]) -> None:
        await self._client.connect()
        unlisted: Collection[str] = polls.keys()
        find = self._resource.find
        if find and len(polls) > self._pages and self._clock.monotonic() >= self._list_not_before:
            unlisted = await self._list(polls, find)
        # What a listing does not contain may exist: only a describe can say that it does not. Those whose last poll
        # failed are the last ones, because they may hang.
        remaining = deque(sorted(unlisted, key=lambda resource_id: _has_failed(polls[resource_id])))

        async def describe() -> None:
            while remaining:
                resource_id = remaining.popleft()
                outcome = await self._describe(resource_id, polls[resource_id])
                if isinstance(outcome, PineconeTransientError) and outcome.status_code == 429:
                    # The limit is that of the project. Other errors may concern this id only.
                    while remaining:
                        _answer(polls[remaining.popleft()], outcome)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(MAX_THREADS, len(remaining))):
                group.create_task(describe())

    async def _list(self, polls: dict[str, list[_Poll]], find: Find) -> Collection[str]:
        """Answer polls from a listing, and return the ids of those that must be described."""
        ids = set(polls)
        try:
            models, self._pages = await self._send(lambda client: find(client, ids, len(ids)))
        except PineconeError as error:
            self._failed_listings += 1
            may_succeed = isinstance(error, PineconeTransientError) and self._failed_listings < MAX_FAILED_LISTINGS
            if may_succeed or isinstance(error, Unauthorized | PineconeInputError):
                for same_id in polls.values():
                    _answer(same_id, error)
                return ()
            self._failed_listings = 0
            self._list_not_before = self._clock.monotonic() + SECONDS_WITHOUT_LISTING
            _log.warning(
                "Polling each %s by itself for the next %.0f minutes, because listing them failed. %s",
                self._resource.label.lower(),
                SECONDS_WITHOUT_LISTING / 60,
                error,
            )
            return ids
        self._failed_listings = 0
        for resource_id, model in models.items():
            _answer(polls[resource_id], model)
        return ids - models.keys()

    async def _send(self, request: Callable[[PineconeClient], Result]) -> Result:
        try:
            result = await self._client.send(request, self._threads)
        except PineconeError as error:
            self._responds = not isinstance(error, PineconeConnectionError)
            raise
        self._responds = True
        return result

    async def _describe(self, resource_id: str, polls: list[_Poll]) -> Outcome:
        try:
            outcome = await _outcome(self._send(lambda client: self._resource.poll(client, resource_id)))
        except Exception as error:  # An error of this package: it must not end other waits.
            for poll in polls:
                if not poll.outcome.done():
                    poll.outcome.set_exception(error)
            outcome = PineconeError(str(error))
        _answer(polls, outcome)
        return outcome


async def _outcome(request: Awaitable[Model]) -> Outcome:
    try:
        return await request
    except PineconeError as error:
        return error


def _has_failed(polls: list[_Poll]) -> bool:
    """Return whether the previous poll of each wait failed. Only then a poll may not be early."""
    return all(poll.not_before == poll.due_at for poll in polls)


def _answer(polls: list[_Poll], outcome: Outcome) -> None:
    for poll in polls:
        # It is done if it was answered before, or the wait has ended: it was cancelled, or its deadline has passed.
        if not poll.outcome.done():
            poll.outcome.set_result(outcome)
