"""Time as an argument: production code uses ``SYSTEM_CLOCK``, and tests pass their own clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """The system's clocks and sleeps."""

    def time(self) -> float:
        """Return the current time, in seconds since the epoch."""
        return time.time()

    def utcnow(self) -> datetime:
        """Return the current time, in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def monotonic(self) -> float:
        """Return a number of seconds that only increases, even if the system time is changed."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the thread for some seconds."""
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Suspend the coroutine for some seconds."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
        """Call a function in the running event loop after some seconds. This takes less memory than a task that sleeps.

        Args:
            seconds: Seconds until the call.
            callback: The function.

        Returns:
            A function that cancels the call.
        """
        return asyncio.get_running_loop().call_later(seconds, callback).cancel


SYSTEM_CLOCK = Clock()


def monotonic_epoch_clock(clock: Clock) -> Callable[[], float]:
    """Make a clock that starts at the current time and then ignores changes of the system time.

    Args:
        clock: The clock to read.

    Returns:
        A function that returns seconds since the epoch.
    """
    offset = clock.time() - clock.monotonic()
    return lambda: offset + clock.monotonic()
