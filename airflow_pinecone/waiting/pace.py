"""When to poll again, when to stop after failed polls, and when a wait ends."""

from __future__ import annotations

from datetime import timedelta

from airflow_pinecone.errors import PineconeTransientError

DEFAULT_TIMEOUT = 6 * 60 * 60.0
# Without a poke_interval, the interval between two polls is this share of the time waited, within bounds in seconds.
INTERVAL_SHARE = 0.1
MIN_INTERVAL = 5.0
MAX_INTERVAL = 60.0
# Airflow recommends a minute or more between two pokes of a rescheduled sensor.
MIN_RESCHEDULE_INTERVAL = 60.0
# More consecutive failed polls end a wait. With their growing intervals that takes more than six minutes.
MAX_FAILED_POLLS = 10


def poll_interval(waited: float, poke_interval: float | None) -> float:
    """Return the seconds until the next poll.

    Args:
        waited: Seconds since the start of the wait.
        poke_interval: A fixed interval in seconds; None increases it with the time waited, from 5 to 60 seconds.

    Returns:
        Seconds.
    """
    return poke_interval or min(max(INTERVAL_SHARE * waited, MIN_INTERVAL), MAX_INTERVAL)


def deadline_of(started_at: float, timeout: float, execution_timeout: timedelta | None) -> float:
    """Return when a wait ends.

    Args:
        started_at: When the task started, in seconds since the epoch.
        timeout: The task's ``timeout``, in seconds.
        execution_timeout: The task's ``execution_timeout``. Airflow does not enforce it while a task is deferred.

    Returns:
        The earlier of the two, in seconds since the epoch.
    """
    return started_at + min(timeout, execution_timeout.total_seconds() if execution_timeout else timeout)


class FailedPolls:
    """The number of consecutive failed polls."""

    def __init__(self) -> None:
        """Start at 0."""
        self.count = 0

    @property
    def too_many(self) -> bool:
        """Whether the wait has to end."""
        return self.count > MAX_FAILED_POLLS

    def add(self, error: PineconeTransientError) -> float:
        """Count a failed poll.

        Args:
            error: Its error.

        Returns:
            The least number of seconds until the next poll. It doubles with each failed poll, is at least what the
            response demands, and at most MAX_INTERVAL.
        """
        self.count += 1
        backoff = MIN_INTERVAL * 2.0 ** min(self.count - 1, 10)
        return min(max(backoff, error.retry_after or 0.0), MAX_INTERVAL)

    def reset(self) -> None:
        """Start at 0 again, after a poll that succeeded."""
        self.count = 0
