"""Poll and sleep, in a worker or in the triggerer. ``decisions`` decides what a poll means.

In poke and reschedule mode, Airflow sleeps between pokes; those sensors use the decisions directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from airflow_pinecone.common.clock import Clock, monotonic_epoch_clock
from airflow_pinecone.errors import (
    PineconeConnectionError,
    PineconeError,
    PineconePermanentError,
    PineconeTransientError,
    WaitTimeout,
)
from airflow_pinecone.waiting.decisions import Pause, Wait, WaitResult
from airflow_pinecone.waiting.intervals import MIN_INTERVAL, poll_interval
from airflow_pinecone.waiting.resources import Model

# How long to search for a backup or restore that may have been created, in seconds.
SEARCH_SECONDS = 30.0
# How long after the deadline a wait in the triggerer may end, so that its last poll can finish. This includes reading
# the connection, and the time until the poll can start.
LAST_POLL_SECONDS = 12.0
# By how many seconds the first poll in the triggerer may be early; see wait_async.
MAX_EARLY_SECONDS_AT_START = 0.5

Found = TypeVar("Found")
Log = Callable[[str], object]


class PollAfter(Protocol):
    """Poll in the triggerer."""

    async def __call__(self, pause: float, early: float) -> Model | PineconeError:
        """Poll once, after a pause in seconds that may be shorter by ``early`` seconds."""


def wait_sync(
    wait: Wait, poll: Callable[[], Model], log: Log, clock: Clock, *, first: Model | None = None
) -> WaitResult:
    """Wait in a worker.

    Args:
        wait: The decisions.
        poll: Requests the model once, or raises a PineconeError.
        log: Logs a message.
        clock: The clock.
        first: The model if the previous request returned it; replaces the first poll.

    Returns:
        The result of the wait.
    """
    log(wait.opening)
    now = monotonic_epoch_clock(clock)
    outcome = first or poll_once(poll)
    while isinstance(step := wait.step(outcome, now()), Pause):
        if step.message:
            log(step.message)
        clock.sleep(step.seconds)
        outcome = poll_once(poll)
    return step


async def wait_async(wait: Wait, poll: PollAfter, log: Log, clock: Clock) -> WaitResult:
    """Wait in the triggerer. The wait starts with a pause.

    The worker has just polled. Also, if a trigger ends before the scheduler has registered that the task is deferred,
    the scheduler treats this as a failed try ("finished with state success, but the task instance's state attribute is
    queued"; observed on Airflow 3.3.2 with triggers that ended within a second or two).

    Args:
        wait: The decisions.
        poll: Polls once, after a pause.
        log: Logs a message.
        clock: The clock.

    Returns:
        The result of the wait.
    """
    log(wait.opening)
    now = monotonic_epoch_clock(clock)
    pause = wait.pause(now())
    early = min(pause / 2, MAX_EARLY_SECONDS_AT_START)
    while True:
        outcome: Model | PineconeError
        # The event loop enforces the deadline, even if the poll cannot run. The last poll has some time, too.
        seconds = max(wait.spec.deadline_at - now(), pause + LAST_POLL_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                outcome = await poll(pause, early)
        except TimeoutError:
            outcome = PineconeConnectionError("The poll had no result before the deadline.", sent=True)
        step = wait.step(outcome, now())
        if not isinstance(step, Pause):
            return step
        if step.message:
            log(step.message)
        pause = step.seconds
        # A poll before the end of the pause could ignore the Retry-After of a failed one.
        early = 0.0 if isinstance(outcome, PineconeError) else pause / 2


def poll_once(poll: Callable[[], Model]) -> Model | PineconeError:
    """Poll once.

    Args:
        poll: Requests the model once, or raises a PineconeError.

    Returns:
        The outcome, for ``Wait.step``.
    """
    try:
        return poll()
    except PineconeError as error:
        return error


def poll_until_found(
    find: Callable[[], Found | None], log: Log, clock: Clock, *, seconds: float = SEARCH_SECONDS
) -> Found | None:
    """Search repeatedly for a resource that may not be visible yet.

    Args:
        find: Searches once; returns None if there is nothing.
        log: Logs a failed search.
        clock: The clock.
        seconds: How long to search; 0 searches once.

    Returns:
        What was found, or None if a search that started after that time found nothing.

    Raises:
        PineconeTransientError: The last search failed, so it is unknown whether the resource exists.
        PineconePermanentError: Pinecone rejected a search.
    """
    end = clock.monotonic() + seconds
    interval = 1.0
    while True:
        left = end - clock.monotonic()
        try:
            found = find()
        except PineconeTransientError as error:
            if left <= 0:
                raise
            log(str(error))
        else:
            if found is not None or left <= 0:
                return found
        clock.sleep(min(interval, max(left, 0.0)))
        interval = min(2 * interval, MIN_INTERVAL)


def delete_when_unused(
    delete: Callable[[], object],
    log: Log,
    clock: Clock,
    *,
    backup_id: str,
    deadline_at: float,
    poke_interval: float | None = None,
) -> None:
    """Delete a backup in a worker; wait while a restore from it is running.

    Args:
        delete: Deletes the backup, or raises a PineconeError.
        log: Logs a message.
        clock: The clock.
        backup_id: The id of the backup, for messages.
        deadline_at: When to time out, in seconds since the epoch.
        poke_interval: Seconds between two attempts; None increases the interval with the time waited.

    Raises:
        WaitTimeout: A restore was still running at the deadline.
        PineconePermanentError: Pinecone rejected the request for another reason.
        PineconeTransientError: The request failed.
    """
    now = monotonic_epoch_clock(clock)
    started_at = now()
    logged = False
    while True:
        try:
            delete()
        except PineconePermanentError as error:
            if error.status_code != 412:
                raise
            in_use = error
        else:
            return
        waited = now() - started_at
        left = deadline_at - now()
        if left <= 0:
            raise WaitTimeout(
                f"Backup {backup_id} was not deleted: a restore from it is still running after "
                f"{timedelta(seconds=round(waited))}. Retry the task, or increase timeout. {in_use}"
            ) from in_use
        if not logged:
            deadline = datetime.fromtimestamp(deadline_at, UTC)
            log(f"Waiting until {deadline:%Y-%m-%d %H:%M:%S} UTC for the restore to finish. {in_use}")
            logged = True
        clock.sleep(min(poll_interval(waited, poke_interval), left))
