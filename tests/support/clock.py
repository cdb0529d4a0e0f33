"""A clock that only moves when a test or a sleep moves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from airflow_pinecone.common.clock import Clock


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

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        """Sleep and call the function when the running coroutine suspends."""

        def sleep_and_call() -> None:
            self.sleep(seconds)
            callback()

        return asyncio.get_running_loop().call_soon(sleep_and_call).cancel


class SteppedClock(Clock):
    """A clock whose asynchronous sleeps and timers end when a test moves the time.

    Attributes:
        now: Seconds since the epoch.
    """

    def __init__(self) -> None:
        """Set the clock to 2025-06-15 15:06:40 UTC."""
        self.now = 1_750_000_000.0
        # The function that ends a sleep, or that a timer calls, with its time.
        self._timers: dict[object, tuple[float, Callable[[], object]]] = {}

    @property
    def timers(self) -> int:
        """The number of sleeps and timers that have not ended."""
        return len(self._timers)

    def time(self) -> float:
        """Return seconds since the epoch."""
        return self.now

    def monotonic(self) -> float:
        """Return the same."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the time, and end the sleeps and timers that are over then."""
        self.now += seconds
        for key, (end, callback) in list(self._timers.items()):
            # An earlier callback may have cancelled this one.
            if end <= self.now and key in self._timers:
                del self._timers[key]
                callback()

    async def sleep_async(self, seconds: float) -> None:
        """Sleep until the test has moved the time far enough."""
        sleeper = asyncio.get_running_loop().create_future()
        cancel = self.call_later(seconds, lambda: sleeper.set_result(None))
        try:
            await sleeper
        finally:
            cancel()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        """Call the function when the test has moved the time far enough."""
        key = object()
        self._timers[key] = (self.now + seconds, callback)
        return lambda: self._timers.pop(key, None)
