"""How many requests an index accepts, learned from its responses."""

from __future__ import annotations

import threading
from collections import deque

from airflow_pinecone.common.clock import Clock

# Seconds. The rate of the requests is measured over this time, it is halved at most once in it, and it rises by a tenth
# after it.
_WINDOW = 1.0
# Requests per second. The rate never falls below this.
_MIN_RATE = 1.0
# Seconds.
MAX_PAUSE = 60.0


class RateLimit:
    """Limits the requests of all threads that read one index, once Pinecone has rejected one with 429.

    Without a rejection, nothing is limited. After one, no request is sent until the time of its Retry-After header has
    passed, and the rate is half of the one at which it happened. Then the rate rises by a tenth each second.

    Args:
        clock: The clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sent: deque[float] = deque()
        self._rate: float | None = None
        self._changed_at = 0.0
        self._next_at = self._paused_until = 0.0

    def wait(self) -> None:
        """Wait until the next request may be sent."""
        with self._lock:
            now = self._clock.monotonic()
            start = max(now, self._next_at, self._paused_until)
            if self._rate is not None:
                if start - self._changed_at >= _WINDOW:
                    self._rate *= 1.1
                    self._changed_at = start
                self._next_at = start + 1 / self._rate
            self._sent.append(start)
            while self._sent[0] <= start - _WINDOW:
                self._sent.popleft()
        while start > now:
            self._clock.sleep(start - now)
            # Meanwhile, a response can have asked all threads to wait.
            now, start = self._clock.monotonic(), self._paused_until

    def slow_down(self, retry_after: float | None) -> None:
        """Halve the rate, and send nothing until the time of a Retry-After header has passed.

        Args:
            retry_after: Seconds; None if the response has no such header.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._rate is None or now - self._changed_at >= _WINDOW:
                measured = len(self._sent) / _WINDOW
                self._rate = max(_MIN_RATE, measured / 2)
                self._changed_at = now
            # A request that must wait for longer fails, so the others need not wait for it.
            self._paused_until = max(self._paused_until, now + min(retry_after or 0.0, MAX_PAUSE))
