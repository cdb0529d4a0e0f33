"""The time, as an argument: production code uses ``SYSTEM_CLOCK``, tests pass a clock of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Clock:
    """The system's clocks and sleeps."""

    def time(self) -> float:
        """Return the time of day, in seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that a change of the time of day does not affect."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the thread for some seconds."""
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Suspend the coroutine for some seconds."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = Clock()


def monotonic_epoch_clock(clock: Clock) -> Callable[[], float]:
    """Make a clock that starts at the time of day and is not affected when the time of day is changed.

    Args:
        clock: The clock to read.

    Returns:
        A function that returns seconds since the epoch.
    """
    offset = clock.time() - clock.monotonic()
    return lambda: offset + clock.monotonic()
