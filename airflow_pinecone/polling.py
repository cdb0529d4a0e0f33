"""The one wait, for a backup or a restore: what an answer means and how long to pause.

``Wait`` decides and does no I/O: it is given what Pinecone answered, or the error of asking, and the time. Two small
drivers ask and sleep: ``wait`` in a worker, ``wait_async`` in the triggerer. A sensor in poke or reschedule mode
takes the same decisions, and there Airflow sleeps. However a wait was driven, its end is an ``Event``, and
``conclude`` turns that into the model or the error.
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
    RestoreFailed,
    RestoreVanished,
    WaitTimeout,
)
from airflow_pinecone.models import BackupModel, Kind, Phase, RestoreModel, phase, restore_phase

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
Model = BackupModel | RestoreModel


class _Texts(NamedTuple):
    """What is different between the kinds of things that can be waited for."""

    name: str
    goal: str
    remedy: str
    phase: Callable[[Any], Phase]
    failed: type[PineconeError]
    vanished: type[PineconeError]


_KINDS: dict[Kind, _Texts] = {
    "backup": _Texts(
        "Backup",
        "become Ready",
        "It cannot be restored from; create a new one",
        lambda backup: phase(backup["status"]),
        BackupFailed,
        BackupVanished,
    ),
    "restore": _Texts(
        "Restore job",
        "be Completed, and for its index to be ready",
        "Its index cannot be used; delete the index and restore again",
        restore_phase,
        RestoreFailed,
        RestoreVanished,
    ),
}


End = Literal["succeeded", "failed", "vanished", "timeout", "refused", "unreachable"]


class Event(TypedDict):
    """How a wait ended, as JSON types: what the triggerer hands back to the task."""

    end: End
    message: str
    kind: Kind
    model: Any


class Pause(NamedTuple):
    """Not over: pause this many seconds, and tell the user the news, if there is any."""

    seconds: float
    news: str | None


class Wait:
    """The decisions of one wait for one backup or restore.

    Args:
        ident: The id of the backup or of the restore job that is waited for.
        kind: Which of the two it is.
        started: When the wait began, in seconds since the epoch.
        deadline: When it ends at the latest, in seconds since the epoch.
        poke_interval: Seconds between two polls; None lets the pause grow with the wait.
        rescheduled: Whether each poll is made by a process of its own. Such a wait remembers no blips, and pauses for
            a minute at least.
    """

    def __init__(
        self,
        ident: str,
        kind: Kind = "backup",
        *,
        started: float,
        deadline: float,
        poke_interval: float | None = None,
        rescheduled: bool = False,
    ) -> None:
        """Store what does not change; nothing is asked yet."""
        self.ident = ident
        self.kind = kind
        self.started = started
        self.deadline = deadline
        self.poke_interval = poke_interval
        self.rescheduled = rescheduled
        self._texts = _KINDS[kind]
        self._blips = 0
        self._seen: str | None = None

    def __str__(self) -> str:
        """Name what is waited for."""
        return f"{self._texts.name} {self.ident}"

    def step(self, outcome: Model | PineconeError, now: float) -> Event | Pause:
        """Say what the outcome of a poll means.

        Args:
            outcome: What is waited for as it is now, or the error of asking for it.
            now: Seconds since the epoch.

        Returns:
            The Event that ends the wait, or the Pause before the next poll.
        """
        if isinstance(outcome, PineconeError):
            return self._step_after_error(outcome, now)
        self._blips = 0
        status = outcome["status"]
        meaning = self._texts.phase(outcome)
        if meaning == "succeeded":
            return self._over("succeeded", f"{self} is {status}", outcome)
        if meaning == "failed":
            index = outcome.get("source_index_name") or outcome.get("target_index_name")
            return self._over("failed", f"{self} of index {index} failed ({status}). {self._texts.remedy}", outcome)
        return self._go_on(now, f"is {status}")

    def _step_after_error(self, error: PineconeError, now: float) -> Event | Pause:
        if isinstance(error, PineconeTransientError):
            self._blips += 1
            if self._blips > MAX_BLIPS:
                message = (
                    f"Gave up waiting for {self}, which stays in Pinecone: {self._blips} polls in a row got no good "
                    f"answer. The last: {error}"
                )
                return self._over("unreachable", message)
            blip = f"is not known: poll {self._blips} in a row without a good answer: {error}"
            backoff = MIN_PAUSE * 2 ** min(self._blips - 1, 10)
            return self._go_on(now, blip, at_least=min(max(backoff, error.retry_after or 0.0), MAX_PAUSE))
        if isinstance(error, PineconeRequestError) and error.status_code == 404:
            if now - self.started < LAG:
                return self._go_on(now, "is not visible yet")
            return self._over("vanished", f"{self} is gone: Pinecone no longer knows it. Create a new one. {error}")
        return self._over("refused", str(error))

    def _over(self, end: End, message: str, model: Model | None = None) -> Event:
        return Event(end=end, message=message, kind=self.kind, model=model)

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
                f"{self} is not done after {waited}: its status {state}. It stays in Pinecone and goes on there; a "
                "longer timeout waits longer"
            )
            return self._over("timeout", message)
        news = None if state == self._seen else f"{self}: its status {state}"
        self._seen = state
        return Pause(self.pause(now, at_least), news)


def wait(decide: Wait, ask: Callable[[], Model], say: Say, *, first: Model | None = None) -> Event:
    """Drive a wait in a worker.

    Args:
        decide: The decisions.
        ask: Describes it once, or raises a PineconeError.
        say: Where news go.
        first: It as the call before the wait returned it; saves the first poll.

    Returns:
        How the wait ended.
    """
    say(_opening(decide))
    now = steady()
    outcome = first or attempt(ask)
    while isinstance(step := decide.step(outcome, now()), Pause):
        if step.news:
            say(step.news)
        time.sleep(step.seconds)
        outcome = attempt(ask)
    return step


async def wait_async(decide: Wait, ask: Callable[[], Model], say: Say) -> Event:
    """Drive a wait in the triggerer; each poll runs in a thread. It begins with a pause.

    The worker has only just asked. And Airflow's scheduler takes a deferral that is answered before it has heard that
    the task deferred for a failed try ("finished with state success, but the task instance's state attribute is
    queued"; seen on 3.3.2 with answers after a second).

    Args:
        decide: The decisions.
        ask: Describes it once, or raises a PineconeError; it may block.
        say: Where news go.

    Returns:
        How the wait ended.
    """
    say(_opening(decide))
    now = steady()
    await asyncio.sleep(decide.pause(now()))
    while isinstance(step := decide.step(await asyncio.to_thread(attempt, ask), now()), Pause):
        if step.news:
            say(step.news)
        await asyncio.sleep(step.seconds)
    return step


def steady() -> Callable[[], float]:
    """Make a clock for one wait: it begins with the time of day, and goes on evenly when that is set anew.

    Returns:
        A function that returns seconds since the epoch.
    """
    ahead = time.time() - time.monotonic()
    return lambda: ahead + time.monotonic()


def attempt(ask: Callable[[], Model]) -> Model | PineconeError:
    """Make one poll.

    Args:
        ask: Describes it once, or raises a PineconeError.

    Returns:
        The outcome, for ``Wait.step``.
    """
    try:
        return ask()
    except PineconeError as error:
        return error


def conclude(event: Event) -> Any:
    """Turn the end of a wait into its result.

    Args:
        event: The end, as the driver or the triggerer gave it.

    Returns:
        The backup when it is Ready, or the restore when its index is.

    Raises:
        BackupFailed, RestoreFailed: It ended in a failed status.
        BackupVanished, RestoreVanished: Pinecone no longer knows it.
        WaitTimeout: The deadline came first.
        PineconePermanentError: Pinecone refused the question.
        PineconeUnreachable: Too many polls in a row got no good answer.
    """
    if event["end"] == "succeeded":
        return event["model"]
    kind = _KINDS[event["kind"]]
    errors: dict[End, type[PineconeError]] = {
        "failed": kind.failed,
        "vanished": kind.vanished,
        "timeout": WaitTimeout,
        "refused": PineconePermanentError,
        "unreachable": PineconeUnreachable,
    }
    raise errors[event["end"]](event["message"])


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
    return f"Waiting until {until:%Y-%m-%d %H:%M:%S} UTC for {decide} to {_KINDS[decide.kind].goal}"


def until_free(
    delete: Callable[[], object], say: Say, *, backup_id: str, deadline: float, poke_interval: float | None = None
) -> None:
    """Delete a backup, and wait out a restore from it, in a worker; with the pace of ``Wait``.

    Args:
        delete: Deletes the backup, or raises a PineconeError.
        say: Where news go.
        backup_id: The backup, for messages.
        deadline: When to give up, in seconds since the epoch.
        poke_interval: Seconds between two tries; None lets the pause grow with the wait.

    Raises:
        WaitTimeout: It was still being restored at the deadline.
        PineconePermanentError: Pinecone refused for another reason.
        PineconeTransientError: No good answer came.
    """
    clock = steady()
    started = clock()
    pace = Wait(backup_id, started=started, deadline=deadline, poke_interval=poke_interval)
    news = True
    while True:
        try:
            delete()
        except PineconePermanentError as error:
            if error.status_code != 412:
                raise
            busy = error
        else:
            return
        now = clock()
        if now >= deadline:
            waited = timedelta(seconds=round(now - started))
            raise WaitTimeout(
                f"Backup {backup_id} is still being restored after {waited}, and stays. A retry waits on, and a longer "
                f"timeout waits longer. {busy}"
            )
        if news:
            say(f"Waiting until {datetime.fromtimestamp(deadline, UTC):%Y-%m-%d %H:%M:%S} UTC. {busy}")
            news = False
        time.sleep(pace.pause(now))
