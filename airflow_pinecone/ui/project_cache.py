"""Share what was read of a project among all viewers of the page, so that Pinecone and Airflow get little work."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from anyio import CapacityLimiter, to_thread

from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.ui.reading import DEADLINE, TOO_SLOW, Copy, Failure, explain

# A project is read again at the earliest this many seconds after a successful read, or after a failed one.
COPY_LIFETIME = 30.0
FAILURE_LIFETIME = 10.0

T = TypeVar("T")


class Answer(NamedTuple, Generic[T]):
    """What is known of a project.

    Attributes:
        copy: The last copy, however old; None if there is none.
        failure: Why there is no newer copy; None if the last one is new.
    """

    copy: T | None = None
    failure: Failure | None = None


NOTHING: Answer[Copy] = Answer()


@dataclass
class _Entry(Generic[T]):
    """What is known of the project of one connection."""

    answer: Answer[T]
    expires_at: float = -math.inf
    refresh: asyncio.Task[None] | None = None
    reading: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        return any(task is not None and not task.done() for task in (self.refresh, self.reading))

    def fail(self, failure: Failure, now: float) -> None:
        self.answer = Answer(self.answer.copy, failure)
        self.expires_at = now + FAILURE_LIFETIME


class CopyCache(Generic[T]):
    """Something about the projects of some connections. Each is read by one thread at a time, for all viewers.

    The threads are not those that Airflow's own requests use.

    Args:
        read: Reads a copy with a connection until a deadline, in a thread. It must end soon after the deadline.
        connections: The ids of the connections.
        deadline: Seconds that viewers wait at most.
        clock: The clock.
    """

    def __init__(
        self,
        read: Callable[[str, float], T],
        connections: Iterable[str],
        *,
        deadline: float = DEADLINE,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Store the arguments; nothing is read yet."""
        self._read = read
        self._deadline = deadline
        self._clock = clock
        self._entries: dict[str, _Entry[T]] = {connection: _Entry(Answer()) for connection in connections}
        # Each connection has at most one thread.
        self._limiter = CapacityLimiter(max(1, len(self._entries)))

    def last(self, connection: str) -> T | None:
        """Return the last copy, without reading."""
        return self._entries[connection].answer.copy

    async def get(self, connection: str) -> Answer[T]:
        """Return what is known. Read it again if that is too old, and wait until the deadline at most.

        Args:
            connection: The id of the connection, one of those of the cache.

        Returns:
            The answer.
        """
        entry = self._entries[connection]
        # The thread of a read whose deadline has passed may not have ended yet. Do not start another one.
        if self._clock.monotonic() >= entry.expires_at and not entry.is_busy:
            entry.refresh = asyncio.create_task(self._refresh(connection, entry))
        if entry.refresh is not None and not entry.refresh.done():
            # All viewers wait for the same task. One that leaves must not cancel it.
            await asyncio.shield(entry.refresh)
        return entry.answer

    async def _refresh(self, connection: str, entry: _Entry[T]) -> None:
        deadline_at = self._clock.monotonic() + self._deadline
        entry.reading = asyncio.create_task(self._read_in_thread(connection, entry, deadline_at))
        timer = asyncio.create_task(self._clock.sleep_async(self._deadline))
        await asyncio.wait({entry.reading, timer}, return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        if not entry.reading.done():
            entry.fail(TOO_SLOW, self._clock.monotonic())

    async def _read_in_thread(self, connection: str, entry: _Entry[T], deadline_at: float) -> None:
        try:
            copy = await to_thread.run_sync(self._read, connection, deadline_at, limiter=self._limiter)
        except Exception as error:
            entry.fail(explain(error), self._clock.monotonic())
        else:
            entry.answer = Answer(copy, None)
            entry.expires_at = self._clock.monotonic() + COPY_LIFETIME


ProjectCache = CopyCache[Copy]
