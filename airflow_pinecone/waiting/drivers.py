"""Poll and sleep, in a worker or in the triggerer. ``decisions`` decides what a poll means.

In poke and reschedule mode, Airflow sleeps between pokes; those sensors use the decisions directly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from airflow_pinecone.common.clock import Clock, monotonic_epoch_clock
from airflow_pinecone.common.text import explain, show_request_id, show_seconds, show_time
from airflow_pinecone.errors import (
    BackupInUse,
    PineconeConnectionError,
    PineconeError,
    PineconeInputError,
    PineconeTransientError,
    WaitTimeout,
)
from airflow_pinecone.waiting.decisions import NextPoll, Wait, WaitResult
from airflow_pinecone.waiting.intervals import MIN_INTERVAL, poll_interval
from airflow_pinecone.waiting.resources import Model

# Seconds beyond the deadline that the last poll of a wait in the triggerer may take to share the requests of others.
SHARED_POLL_SECONDS = 4.0
# If it has no result by then, or has failed, the wait polls once more, by itself, and ends at most this much later.
LAST_POLL_SECONDS = 8.0
# The first poll in the triggerer may start this many seconds early; see wait_async.
MAX_EARLY_SECONDS_AT_START = 0.5

Found = TypeVar("Found")
Log = Callable[[str], object]
LogAtLevel = Callable[[int, str], object]


class PollAfter(Protocol):
    """Poll in the triggerer."""

    async def __call__(self, interval: float, early: float) -> Model | PineconeError:
        """Poll once, after an interval in seconds that may be shorter by ``early`` seconds."""


def wait_sync(
    wait: Wait, poll: Callable[[], Model], log: LogAtLevel, clock: Clock, *, first: Model | None = None
) -> WaitResult:
    """Wait in a worker. ``first`` is the model if the previous request returned it, and replaces the first poll."""
    log(logging.INFO, wait.opening)
    now = monotonic_epoch_clock(clock)
    outcome = first or poll_once(poll)
    while isinstance(step := log_step(wait.step(outcome, now()), log), NextPoll):
        clock.sleep(step.seconds)
        outcome = poll_once(poll)
    return step


async def wait_async(
    wait: Wait,
    poll: PollAfter,
    poll_now: Callable[[], Awaitable[Model | PineconeError]],
    log: LogAtLevel,
    clock: Clock,
) -> WaitResult:
    """Wait in the triggerer, for one interval before the first poll.

    The worker has just polled. Also, if a trigger ends before the scheduler has registered that the task is deferred,
    the scheduler treats this as a failed try ("finished with state success, but the task instance's state attribute is
    queued"; observed on Airflow 3.3.2 with triggers that ended within a second or two).
    """
    log(logging.INFO, wait.opening)
    now = monotonic_epoch_clock(clock)
    interval = wait.interval(now())
    early = min(interval / 2, MAX_EARLY_SECONDS_AT_START)
    while True:
        # The event loop enforces the deadline, even if the poll cannot run.
        seconds = max(wait.spec.deadline_at - now(), interval + SHARED_POLL_SECONDS)
        outcome = await _within(seconds, poll(interval, early))
        if isinstance(outcome, PineconeTransientError) and now() >= wait.spec.deadline_at:
            outcome = await _within(LAST_POLL_SECONDS, poll_now())
        step = log_step(wait.step(outcome, now()), log)
        if not isinstance(step, NextPoll):
            # Also at the deadline: the worker may read another connection, and has not polled since.
            return WaitResult(error=outcome) if isinstance(outcome, PineconeInputError) else step
        interval = step.seconds
        # A poll before the end of the interval could ignore the Retry-After of a failed one.
        early = 0.0 if isinstance(outcome, PineconeError) else interval / 2


async def _within(seconds: float, poll: Awaitable[Model | PineconeError]) -> Model | PineconeError:
    try:
        async with asyncio.timeout(seconds):
            return await poll
    except TimeoutError:
        return PineconeConnectionError("The poll had no result before the deadline.", sent=True)


def log_step(step: WaitResult | NextPoll, log: LogAtLevel) -> WaitResult | NextPoll:
    """Log the message of a step, if it has one, and return the step."""
    if step.message:
        log(step.level, step.message)
    return step


def poll_once(poll: Callable[[], Model]) -> Model | PineconeError:
    """Return the model that a poll requests, or its error."""
    try:
        return poll()
    except PineconeError as error:
        return error


def poll_until_found(find: Callable[[], Found | None], log: Log, clock: Clock, *, seconds: float) -> Found | None:
    """Search repeatedly for a resource that may not be visible yet; with 0 seconds, once.

    Returns:
        What was found, or None if a search that started after that time found nothing.

    Raises:
        PineconeTransientError: The last search failed, so it is unknown whether the resource exists.
        PineconePermanentError: Pinecone rejected a search.
    """
    end = clock.monotonic() + seconds
    interval = 1.0
    failed, reason = 0, ""
    while True:
        left = end - clock.monotonic()
        try:
            found = find()
        except PineconeTransientError as error:
            if left <= 0:
                raise
            failed += 1
            # A reason is logged once.
            log(f"Failed searches: {failed}." if error.reason == reason else f"The search failed: {error.reason}.")
            reason = error.reason
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
    poke_interval: float | None,
) -> None:
    """Delete a backup in a worker; wait while a restore from it is running.

    Raises:
        WaitTimeout: A restore was still running at the deadline, in seconds since the epoch.
        PineconeError: As ``delete`` raises it, except BackupInUse.
    """
    now = monotonic_epoch_clock(clock)
    started_at = now()
    logged = False
    while True:
        try:
            delete()
        except BackupInUse as error:
            in_use = error
        else:
            return
        waited = now() - started_at
        left = deadline_at - now()
        if left <= 0:
            text = explain(
                f"Backup {backup_id} was not deleted: a restore from it is still running.",
                f"It was running for {show_seconds(waited)}: {in_use.reason}",
                "Increase timeout, and execution_timeout if it is set. If no retry is left, clear the task.",
                show_request_id(in_use.request_id),
            )
            raise WaitTimeout(text, reason=in_use.reason) from None
        if not logged:
            log(f"Waiting until {show_time(deadline_at)} for the end of a restore from it: {in_use.reason}.")
            logged = True
        clock.sleep(min(poll_interval(waited, poke_interval), left))
