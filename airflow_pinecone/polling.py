"""The one wait for a backup: what an answer means and how long to pause.

``Wait`` decides and does no I/O: it is given what Pinecone answered, or the error of asking, and the time. Two small
drivers ask and sleep: ``wait`` in a worker, ``wait_async`` in the triggerer. A sensor in poke or reschedule mode
takes the same decisions, and there Airflow sleeps. However a wait was driven, its end is an ``Event``, and
``conclude`` turns that into the backup or the error.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar

from airflow_pinecone.errors import (
    BackupFailed,
    BackupVanished,
    PineconeError,
    PineconePermanentError,
    PineconeRequestError,
    PineconeTransientError,
    PineconeUnreachable,
    WaitTimeout,
)
from airflow_pinecone.models import BackupModel, phase

DEFAULT_TIMEOUT = 6 * 60 * 60.0
# Without a poke_interval the pause is this share of the time waited so far, within the two bounds (seconds).
PAUSE_SHARE = 0.1
MIN_PAUSE = 5.0
MAX_PAUSE = 60.0
# Airflow wants a minute or more between the pokes of a rescheduled sensor.
MIN_RESCHEDULE = 60.0
# Seconds from the start of a wait in which a 404 is taken for a backup that is not visible yet.
LAG = 60.0
# More polls in a row without a good answer end a wait. With their growing pauses that is over six minutes.
MAX_BLIPS = 10
# Seconds for which a backup that may have been made is looked for.
LOOK_FOR = 30.0

T = TypeVar("T")
Say = Callable[[str], object]


class Event(TypedDict):
    """How a wait ended, as JSON types: what the triggerer hands back to the task."""

    end: Literal["succeeded", "failed", "vanished", "timeout", "refused", "unreachable"]
    message: str
    backup: BackupModel | None


class Pause(NamedTuple):
    """Not over: pause this many seconds, and tell the user the news, if there is any."""

    seconds: float
    news: str | None


class Wait:
    """The decisions of one wait for one backup.

    Args:
        backup_id: The backup that is waited for.
        started: When the wait began, in seconds since the epoch.
        deadline: When it ends at the latest, in seconds since the epoch.
        poke_interval: Seconds between two polls; None lets the pause grow with the wait.
        rescheduled: Whether each poll is made by a process of its own. Such a wait remembers no blips, and pauses for a
            minute at least.
    """

    def __init__(
        self,
        backup_id: str,
        *,
        started: float,
        deadline: float,
        poke_interval: float | None = None,
        rescheduled: bool = False,
    ) -> None:
        """Store what does not change; nothing is asked yet."""
        self.backup_id = backup_id
        self.started = started
        self.deadline = deadline
        self.poke_interval = poke_interval
        self.rescheduled = rescheduled
        self._blips = 0
        self._seen: str | None = None

    def step(self, outcome: BackupModel | PineconeError, now: float) -> Event | Pause:
        """Say what the outcome of a poll means.

        Args:
            outcome: The backup as it is now, or the error of asking for it.
            now: Seconds since the epoch.

        Returns:
            The Event that ends the wait, or the Pause before the next poll.
        """
        if isinstance(outcome, PineconeError):
            return self._step_after_error(outcome, now)
        self._blips = 0
        status = outcome["status"]
        meaning = phase(status)
        if meaning == "succeeded":
            return Event(end="succeeded", message=f"Backup {self.backup_id} is {status}", backup=outcome)
        if meaning == "failed":
            message = (
                f"Backup {self.backup_id} of index {outcome.get('source_index_name')} failed ({status}). It cannot "
                "be restored from; create a new one"
            )
            return Event(end="failed", message=message, backup=outcome)
        return self._go_on(now, f"is {status}")

    def _step_after_error(self, error: PineconeError, now: float) -> Event | Pause:
        if isinstance(error, PineconeTransientError):
            self._blips += 1
            if self._blips > MAX_BLIPS:
                message = (
                    f"Gave up waiting for backup {self.backup_id}, which stays in Pinecone: {self._blips} polls in "
                    f"a row got no good answer. The last: {error}"
                )
                return Event(end="unreachable", message=message, backup=None)
            blip = f"is not known: poll {self._blips} in a row without a good answer: {error}"
            backoff = MIN_PAUSE * 2 ** min(self._blips - 1, 10)
            return self._go_on(now, blip, at_least=min(max(backoff, error.retry_after or 0.0), MAX_PAUSE))
        if isinstance(error, PineconeRequestError) and error.status_code == 404:
            if now - self.started < LAG:
                return self._go_on(now, "is not visible yet")
            message = f"Backup {self.backup_id} is gone: Pinecone no longer knows it. Create a new one. {error}"
            return Event(end="vanished", message=message, backup=None)
        return Event(end="refused", message=str(error), backup=None)

    def pause(self, now: float, at_least: float = 0.0) -> float:
        """Say how long to pause before the next poll.

        Args:
            now: Seconds since the epoch.
            at_least: Seconds that it may not fall below, unless the deadline comes first.

        Returns:
            Seconds, 0 when the deadline has passed.
        """
        pause = self.poke_interval or min(max(PAUSE_SHARE * (now - self.started), MIN_PAUSE), MAX_PAUSE)
        if self.rescheduled:
            return max(pause, at_least, MIN_RESCHEDULE)
        return max(0.0, min(max(pause, at_least), self.deadline - now))

    def _go_on(self, now: float, state: str, at_least: float = 0.0) -> Event | Pause:
        if now >= self.deadline:
            waited = timedelta(seconds=round(max(0.0, now - self.started)))
            message = (
                f"Backup {self.backup_id} is not Ready after {waited}: its status {state}. "
                "It stays in Pinecone and goes on there; a longer timeout waits longer"
            )
            return Event(end="timeout", message=message, backup=None)
        news = None if state == self._seen else f"Backup {self.backup_id}: its status {state}"
        self._seen = state
        return Pause(self.pause(now, at_least), news)


def wait(decide: Wait, ask: Callable[[], BackupModel], say: Say, *, first: BackupModel | None = None) -> Event:
    """Drive a wait in a worker.

    Args:
        decide: The decisions.
        ask: Describes the backup once, or raises a PineconeError.
        say: Where news go.
        first: The backup as the call before the wait returned it; saves the first poll.

    Returns:
        How the wait ended.
    """
    say(_opening(decide))
    outcome = first or attempt(ask)
    while isinstance(step := decide.step(outcome, time.time()), Pause):
        if step.news:
            say(step.news)
        time.sleep(step.seconds)
        outcome = attempt(ask)
    return step


async def wait_async(decide: Wait, ask: Callable[[], BackupModel], say: Say) -> Event:
    """Drive a wait in the triggerer; each poll runs in a thread. It begins with a pause.

    The worker has only just asked. And Airflow's scheduler takes a deferral that is answered before it has heard that
    the task deferred for a failed try ("finished with state success, but the task instance's state attribute is
    queued"; seen on 3.3.2 with answers after a second).

    Args:
        decide: The decisions.
        ask: Describes the backup once, or raises a PineconeError; it may block.
        say: Where news go.

    Returns:
        How the wait ended.
    """
    say(_opening(decide))
    await asyncio.sleep(decide.pause(time.time()))
    while isinstance(step := decide.step(await asyncio.to_thread(attempt, ask), time.time()), Pause):
        if step.news:
            say(step.news)
        await asyncio.sleep(step.seconds)
    return step


def attempt(ask: Callable[[], BackupModel]) -> BackupModel | PineconeError:
    """Make one poll.

    Args:
        ask: Describes the backup once, or raises a PineconeError.

    Returns:
        The outcome, for ``Wait.step``.
    """
    try:
        return ask()
    except PineconeError as error:
        return error


def conclude(event: Event) -> BackupModel:
    """Turn the end of a wait into its result.

    Args:
        event: The end, as the driver or the triggerer gave it.

    Returns:
        The backup, when it is Ready.

    Raises:
        BackupFailed: It ended in a failed status.
        BackupVanished: Pinecone no longer knows it.
        WaitTimeout: The deadline came first.
        PineconePermanentError: Pinecone refused the question.
        PineconeUnreachable: Too many polls in a row got no good answer.
    """
    end, message = event["end"], event["message"]
    if end == "succeeded" and event["backup"] is not None:
        return event["backup"]
    errors: dict[str, type[PineconeError]] = {
        "failed": BackupFailed,
        "vanished": BackupVanished,
        "timeout": WaitTimeout,
        "refused": PineconePermanentError,
        "unreachable": PineconeUnreachable,
    }
    raise errors[end](message)


def look_for(find: Callable[[], T | None], say: Say) -> T | None:
    """Look for what may become visible late, for LOOK_FOR seconds.

    Args:
        find: Looks once; returns None where there is nothing to find.
        say: Where news go.

    Returns:
        What was found, or None when a look that began after LOOK_FOR seconds found nothing.

    Raises:
        PineconeTransientError: That last look got no good answer, so that nobody knows.
        PineconePermanentError: Pinecone refused the question.
    """
    end = time.monotonic() + LOOK_FOR
    pause = 1.0
    while True:
        left = end - time.monotonic()
        try:
            found = find()
        except PineconeTransientError as error:
            if left <= 0:
                raise
            say(str(error))
        else:
            if found is not None or left <= 0:
                return found
        time.sleep(min(pause, max(left, 0.0)))
        pause = min(2 * pause, MIN_PAUSE)


def deadline(started: float, timeout: float, execution_timeout: timedelta | None) -> float:
    """Say when a wait ends at the latest.

    Args:
        started: When the task began to execute, in seconds since the epoch.
        timeout: The task's own timeout, in seconds.
        execution_timeout: Airflow's, which it does not enforce while a task is deferred or rescheduled.

    Returns:
        The earlier of the two, in seconds since the epoch.
    """
    return started + min(timeout, execution_timeout.total_seconds() if execution_timeout else timeout)


def seconds(value: Any, name: str) -> float:
    """Read a duration that a user gave.

    Args:
        value: A number of seconds, or a timedelta.
        name: The parameter's name, for the message.

    Returns:
        Seconds.

    Raises:
        ValueError: It is neither, or not above 0.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not number > 0:
        raise ValueError(f"{name} must be seconds above 0, or a timedelta, not {value!r}")
    return float(number)


def _opening(decide: Wait) -> str:
    until = datetime.fromtimestamp(decide.deadline, UTC)
    return f"Waiting until {until:%Y-%m-%d %H:%M:%S} UTC for backup {decide.backup_id} to become Ready"
