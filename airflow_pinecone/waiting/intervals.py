"""When to poll again, when to stop after failed polls, and when a wait ends."""

from __future__ import annotations

from datetime import timedelta

from airflow_pinecone.errors import (
    ConnectionNotFound,
    Forbidden,
    NotFound,
    PineconeTransientError,
    Unauthorized,
)

# How long to search for a backup or restore that may have been created, in seconds.
SEARCH_SECONDS = 30.0
# Without a poke_interval, the poll interval is 10 % of the time waited so far, between 5 and 60 seconds.
INTERVAL_SHARE = 0.1
MIN_INTERVAL = 5.0
MAX_INTERVAL = 60.0
# Airflow recommends at least one minute between pokes in reschedule mode.
MIN_RESCHEDULE_INTERVAL = 60.0
# A wait ends after more consecutive failed polls than this. With the backoff, that takes at least seven minutes.
MAX_FAILED_POLLS = 10
# Airflow fails a deferred task whose trigger times out. This margin lets the trigger end by itself first.
DEFERRAL_MARGIN = timedelta(minutes=5)
# A poll that is rejected with one of these errors may succeed later: the key was replaced, a role changed, a new
# resource is not visible yet, or a secrets backend cannot be reached. A wait ends when at least 3 consecutive polls
# over 60 seconds are rejected.
TEMPORARY_REJECTIONS = (Unauthorized, Forbidden, NotFound, ConnectionNotFound)
MIN_REJECTED_POLLS = 3
MIN_REJECTED_SECONDS = 60.0


def poll_interval(waited: float, poke_interval: float | None) -> float:
    """Return the seconds until the next poll, after so many seconds of waiting."""
    return poke_interval or min(max(INTERVAL_SHARE * waited, MIN_INTERVAL), MAX_INTERVAL)


def deadline_of(started_at: float, timeout: float, execution_timeout: timedelta | None) -> float:
    """Return when a wait ends, in seconds since the epoch: ``timeout`` seconds after its start, or before.

    Airflow 3 does not enforce ``execution_timeout`` while a task is deferred.
    """
    return started_at + min(timeout, execution_timeout.total_seconds() if execution_timeout else timeout)


def deferral_timeout(deadline_at: float, now: float) -> timedelta:
    """Return the timeout of a trigger that ends by itself at a deadline, in seconds since the epoch."""
    return timedelta(seconds=max(0.0, deadline_at - now)) + DEFERRAL_MARGIN


class RejectedPolls:
    """Counts consecutive polls with one of TEMPORARY_REJECTIONS."""

    def __init__(self) -> None:
        self.count = 0
        self._first_at = 0.0

    def add(self, now: float) -> bool:
        """Count a rejected poll, and return whether the rejections have persisted, so that the wait ends.

        ``now`` is a time in seconds. All calls must use the same clock.
        """
        if not self.count:
            self._first_at = now
        self.count += 1
        return self.count >= MIN_REJECTED_POLLS and now - self._first_at >= MIN_REJECTED_SECONDS

    def reset(self) -> None:
        """Start at 0 again, after a poll that was not rejected."""
        self.count = 0


class FailedPolls:
    """Counts consecutive failed polls."""

    def __init__(self) -> None:
        self.count = 0

    @property
    def too_many(self) -> bool:
        """Whether the wait must end."""
        return self.count > MAX_FAILED_POLLS

    def add(self, error: PineconeTransientError) -> float:
        """Count a failed poll, and return the minimum number of seconds until the next one.

        It doubles with each failed poll, is at least the Retry-After of the response, and is at most MAX_INTERVAL.
        """
        self.count += 1
        backoff = MIN_INTERVAL * 2.0 ** min(self.count - 1, 10)
        return min(max(backoff, error.retry_after or 0.0), MAX_INTERVAL)

    def reset(self) -> None:
        """Start at 0 again, after a successful poll."""
        self.count = 0
