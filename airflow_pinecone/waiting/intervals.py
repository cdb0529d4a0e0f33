"""When to poll again, when to stop after failed polls, and when a wait ends."""

from __future__ import annotations

from datetime import timedelta

from airflow_pinecone.errors import PineconeTransientError

# Without a poke_interval, the poll interval is this share of the time waited, limited to this range in seconds.
INTERVAL_SHARE = 0.1
MIN_INTERVAL = 5.0
MAX_INTERVAL = 60.0
# Airflow recommends at least one minute between pokes in reschedule mode.
MIN_RESCHEDULE_INTERVAL = 60.0
# A wait ends after more consecutive failed polls than this. With the backoff, that takes at least seven minutes.
MAX_FAILED_POLLS = 10
# Airflow fails a deferred task whose trigger times out. This margin lets the trigger end by itself first.
DEFERRAL_MARGIN = timedelta(minutes=5)


# A poll that is rejected with one of these statuses may succeed later: the key was replaced, a role changed, or a new
# resource is not visible yet. A wait ends when at least this many consecutive polls over this many seconds are
# rejected.
TEMPORARY_REJECTIONS = frozenset({401, 403, 404})
MIN_REJECTED_POLLS = 3
MIN_REJECTED_SECONDS = 60.0


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
        execution_timeout: The task's ``execution_timeout``. Airflow 3 does not enforce it while a task is deferred.

    Returns:
        The time of the shorter timeout, in seconds since the epoch.
    """
    return started_at + min(timeout, execution_timeout.total_seconds() if execution_timeout else timeout)


class RejectedPolls:
    """The consecutive polls that Pinecone rejected."""

    def __init__(self) -> None:
        """Start at 0."""
        self.count = 0
        self._first_at = 0.0

    def add(self, now: float) -> bool:
        """Count a rejected poll.

        Args:
            now: The time in seconds. All calls must use the same clock.

        Returns:
            Whether the rejections have persisted, so that the wait ends.
        """
        if not self.count:
            self._first_at = now
        self.count += 1
        return self.count >= MIN_REJECTED_POLLS and now - self._first_at >= MIN_REJECTED_SECONDS

    def reset(self) -> None:
        """Start at 0 again, after a poll that was not rejected."""
        self.count = 0


class FailedPolls:
    """Count consecutive failed polls."""

    def __init__(self) -> None:
        """Start at 0."""
        self.count = 0

    @property
    def too_many(self) -> bool:
        """Whether the wait must end."""
        return self.count > MAX_FAILED_POLLS

    def add(self, error: PineconeTransientError) -> float:
        """Count a failed poll.

        Args:
            error: Its error.

        Returns:
            The minimum number of seconds until the next poll. It doubles with each failed poll, is at least the
            Retry-After of the response, and is at most MAX_INTERVAL.
        """
        self.count += 1
        backoff = MIN_INTERVAL * 2.0 ** min(self.count - 1, 10)
        return min(max(backoff, error.retry_after or 0.0), MAX_INTERVAL)

    def reset(self) -> None:
        """Reset the number to 0 after a successful poll."""
        self.count = 0
