"""A clock that only moves when a test or a sleep moves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from airflow_pinecone.clock import Clock


class FakeClock(Clock):
    """A clock for which a sleep takes no time.

    It is also the clock of the emulator, which calls it: ``emulator.scenario.clock = clock``.

    Attributes:
        now: Seconds since the epoch.
        slept: The length of each sleep so far.
        step: Seconds by which the time of day is set forward after the first sleep. ``monotonic`` is not affected.
        on_sleep: Called with the length of a sleep before the time moves; may raise an exception, as a signal handler.
    """

    # A wait that sleeps more often than this has no end.
    MAX_SLEEPS = 5000

    def __init__(self) -> None:
        """Set the clock to 2025-06-15 15:06:40 UTC."""
        self.now = 1_750_000_000.0
        self.slept: list[float] = []
        self.step = 0.0
        self.on_sleep: Callable[[float], object] | None = None

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return self.now

    def time(self) -> float:
        """Return the time of day, in seconds since the epoch."""
        return self.now + (self.step if self.slept else 0.0)

    def monotonic(self) -> float:
        """Return seconds that ``step`` does not affect."""
        return self.now

    def utcnow(self) -> datetime:
        """Return the time of day."""
        return datetime.fromtimestamp(self.time(), UTC)

    def advance(self, seconds: float) -> None:
        """Move the time without a sleep."""
        self.now += seconds

    def sleep(self, seconds: float) -> None:
        """Record the sleep, and move the time."""
        assert seconds >= 0
        assert len(self.slept) < self.MAX_SLEEPS, "This wait has no end."
        if self.on_sleep:
            self.on_sleep(seconds)
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        """Do the same as ``sleep``."""
        self.sleep(seconds)


class SteppedClock(Clock):
    """A clock whose asynchronous sleeps end when a test moves the time.

    Attributes:
        now: Seconds since the epoch.
    """

    def __init__(self) -> None:
        """Set the clock to 2025-06-15 15:06:40 UTC."""
        self.now = 1_750_000_000.0
        self._sleepers: dict[asyncio.Future[None], float] = {}

    @property
    def sleepers(self) -> int:
        """The number of coroutines that sleep."""
        return len(self._sleepers)

    def time(self) -> float:
        """Return seconds since the epoch."""
        return self.now

    def monotonic(self) -> float:
        """Return the same."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the time, and end the sleeps that are over then."""
        self.now += seconds
        for sleeper, end in list(self._sleepers.items()):
            if end <= self.now:
                del self._sleepers[sleeper]
                sleeper.set_result(None)

    async def sleep_async(self, seconds: float) -> None:
        """Sleep until the test has moved the time far enough."""
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers[sleeper] = self.now + seconds
        try:
            await sleeper
        finally:
            self._sleepers.pop(sleeper, None)
