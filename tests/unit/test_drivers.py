"""Who polls and sleeps: the loops of the worker and of the triggerer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from support.clock import FakeClock

from airflow_pinecone.errors import (
    BackupInUse,
    PineconeConnectionError,
    PineconeError,
    PineconePermanentError,
    PineconeTransientError,
    WaitTimeout,
)
from airflow_pinecone.waiting.decisions import Wait, WaitResult, WaitSpec
from airflow_pinecone.waiting.drivers import (
    delete_when_unused,
    poll_once,
    poll_until_found,
    wait_async,
    wait_sync,
)
from airflow_pinecone.waiting.intervals import SEARCH_SECONDS

pytestmark = pytest.mark.anyio

UNAVAILABLE = PineconeTransientError("Could not poll.\nHTTP 503.", reason="HTTP 503", status_code=503)
REJECTED = PineconePermanentError("HTTP 400", status_code=400)
IN_USE = BackupInUse("HTTP 412: a restore uses it", status_code=412)
Drive = Callable[..., Awaitable[WaitResult]]


def backup(status: str) -> Any:
    return {"backup_id": "b-1", "status": status, "source_index_name": "docs-example"}


def answers(outcomes: Iterable[Any], clock: FakeClock, times: list[float] | None = None) -> Callable[[], Any]:
    """Return a function that returns or raises one outcome after the other, and records when it is called."""
    iterator = iter(outcomes)

    def answer() -> Any:
        if times is not None:
            times.append(clock.now)
        outcome = next(iterator)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return answer


def forever(outcome: Any) -> Iterable[Any]:
    while True:
        yield outcome


async def poll_never() -> Any:
    raise AssertionError("only a failed poll at the deadline is repeated at once")


def make_wait(clock: FakeClock, timeout: float = 3600.0) -> Wait:
    return Wait(WaitSpec("backup", "b-1", started_at=clock.now, deadline_at=clock.now + timeout))


@pytest.fixture(params=["worker", "triggerer"])
def drive(request: pytest.FixtureRequest, clock: FakeClock) -> Drive:
    """Wait with both loops: `await drive(wait, poll, log)`."""

    async def in_worker(wait: Wait, poll: Callable[[], Any], log: Callable[[str], object]) -> WaitResult:
        return wait_sync(wait, poll, lambda _, message: log(message), clock)

    async def in_triggerer(wait: Wait, poll: Callable[[], Any], log: Callable[[str], object]) -> WaitResult:
        async def poll_after(interval: float, early: float) -> Any:
            await clock.sleep_async(interval)
            return poll_once(poll)

        async def poll_now() -> Any:
            return poll_once(poll)

        return await wait_async(wait, poll_after, poll_now, lambda _, message: log(message), clock)

    return in_worker if request.param == "worker" else in_triggerer


@pytest.fixture
def log() -> list[str]:
    return []


async def test_wait_polls_until_it_has_a_result(drive: Drive, clock: FakeClock, log: list[str]) -> None:
    outcomes = [backup("Initializing"), UNAVAILABLE, backup("Initializing"), backup("Ready")]
    result = await drive(make_wait(clock), answers(outcomes, clock), log.append)
    assert result == WaitResult(model=backup("Ready"))
    assert any("HTTP 503" in message for message in log)


async def test_wait_ends_with_the_error_of_a_rejected_poll(drive: Drive, clock: FakeClock, log: list[str]) -> None:
    result = await drive(make_wait(clock), answers([backup("Initializing"), REJECTED], clock), log.append)
    assert result.error is REJECTED


async def test_long_wait_logs_its_start_and_each_status_once(drive: Drive, clock: FakeClock, log: list[str]) -> None:
    started_at = clock.now
    result = await drive(make_wait(clock), answers(forever(backup("Initializing")), clock), log.append)
    assert isinstance(result.error, WaitTimeout)
    assert clock.now - started_at == pytest.approx(3600)
    assert len(log) == 2
    assert "b-1" in log[0]
    assert "Initializing" in log[1]


async def test_error_that_is_not_pinecones_ends_the_wait(drive: Drive, clock: FakeClock, log: list[str]) -> None:
    with pytest.raises(LookupError):
        await drive(make_wait(clock), answers([LookupError("no such connection")], clock), log.append)


def test_wait_in_the_worker_starts_with_a_poll(clock: FakeClock) -> None:
    times: list[float] = []
    wait_sync(make_wait(clock), answers([backup("Ready")], clock, times), print, clock)
    assert clock.slept == []
    assert len(times) == 1


def test_wait_in_the_worker_uses_the_model_that_is_known(clock: FakeClock) -> None:
    times: list[float] = []
    poll = answers([backup("Ready")], clock, times)
    assert wait_sync(make_wait(clock), poll, print, clock, first=backup("Initializing")).model == backup("Ready")
    assert clock.slept == [5.0]
    assert wait_sync(make_wait(clock), poll, print, clock, first=backup("Ready")).model == backup("Ready")
    assert len(times) == 1


async def test_wait_in_the_triggerer_says_how_early_it_may_be_polled(clock: FakeClock) -> None:
    """Not before the first pause: Airflow may not know yet that the task is deferred. Nor before a Retry-After."""
    outcomes = iter([backup("Initializing"), UNAVAILABLE, backup("Initializing"), backup("Ready")])
    asked: list[tuple[float, float]] = []

    async def poll(interval: float, early: float) -> Any:
        asked.append((interval, early))
        return next(outcomes)

    await wait_async(make_wait(clock), poll, poll_never, print, clock)
    assert asked == [(5.0, 0.5), (5.0, 2.5), (5.0, 0.0), (5.0, 2.5)]


@pytest.mark.parametrize("last", [backup("Ready"), backup("Initializing"), UNAVAILABLE, REJECTED])
async def test_failed_poll_at_the_deadline_is_followed_by_one_that_does_not_queue(clock: FakeClock, last: Any) -> None:
    async def fail(interval: float, early: float) -> Any:
        await clock.sleep_async(interval)
        return UNAVAILABLE

    async def poll_now() -> Any:
        assert clock.now == wait.spec.deadline_at
        return last

    wait = make_wait(clock, timeout=30)
    result = await wait_async(wait, fail, poll_now, print, clock)
    assert result.model == (last if last == backup("Ready") else None)
    assert result.error is REJECTED if last is REJECTED else isinstance(result.error, WaitTimeout | type(None))


@pytest.mark.parametrize("outcome", [backup("Ready"), UNAVAILABLE, REJECTED])
def test_poll_once_returns_the_model_or_the_error(clock: FakeClock, outcome: Any) -> None:
    assert poll_once(answers([outcome], clock)) is outcome


def test_poll_once_raises_other_errors(clock: FakeClock) -> None:
    with pytest.raises(LookupError):
        poll_once(answers([LookupError()], clock))


def test_search_ends_with_a_search_that_started_late_enough(clock: FakeClock) -> None:
    started_at = clock.now
    times: list[float] = []
    assert poll_until_found(answers(forever(None), clock, times), print, clock, seconds=SEARCH_SECONDS) is None
    assert times[0] == started_at
    assert times[-1] - started_at == pytest.approx(SEARCH_SECONDS)
    assert len(times) == 9
    assert max(clock.slept) == 5.0


def test_search_returns_what_it_finds(clock: FakeClock, log: list[str]) -> None:
    outcomes = [UNAVAILABLE, UNAVAILABLE, None, PineconeConnectionError("no route", sent=False), "found"]
    assert poll_until_found(answers(outcomes, clock), log.append, clock, seconds=SEARCH_SECONDS) == "found"
    assert log == [f"The search failed, and is repeated: {reason}." for reason in ("HTTP 503", "no route")]


def test_search_fails_if_its_last_search_failed(clock: FakeClock, log: list[str]) -> None:
    """Otherwise a second backup could be created although the first one exists."""
    started_at = clock.now
    with pytest.raises(PineconeTransientError):
        poll_until_found(answers(forever(UNAVAILABLE), clock), log.append, clock, seconds=SEARCH_SECONDS)
    assert clock.now - started_at == pytest.approx(SEARCH_SECONDS)
    assert log


def test_search_fails_at_once_if_it_is_rejected(clock: FakeClock) -> None:
    with pytest.raises(PineconePermanentError):
        poll_until_found(answers([REJECTED], clock), print, clock, seconds=SEARCH_SECONDS)
    assert clock.slept == []


def delete(outcomes: Iterable[Any], clock: FakeClock, log: list[str], **arguments: Any) -> None:
    arguments = {"backup_id": "b-1", "deadline_at": clock.now + 3600, "poke_interval": None, **arguments}
    delete_when_unused(answers(outcomes, clock), log.append, clock, **arguments)


def test_unused_backup_is_deleted_at_once(clock: FakeClock, log: list[str]) -> None:
    delete([None], clock, log)
    assert clock.slept == []
    assert log == []


def test_deletion_waits_for_the_end_of_a_restore(clock: FakeClock, log: list[str]) -> None:
    delete([IN_USE, IN_USE, IN_USE, None], clock, log)
    assert clock.slept == [5.0] * 3
    assert len(log) == 1
    assert "HTTP 412" in log[0]


def test_deletion_waits_with_a_fixed_interval(clock: FakeClock, log: list[str]) -> None:
    delete([IN_USE, IN_USE, None], clock, log, poke_interval=50.0)
    assert clock.slept == [50.0, 50.0]


def test_deletion_times_out_while_a_restore_is_running(clock: FakeClock, log: list[str]) -> None:
    started_at = clock.now
    with pytest.raises(WaitTimeout) as caught:
        delete(forever(IN_USE), clock, log)
    assert clock.now - started_at == pytest.approx(3600)
    assert caught.value.reason == IN_USE.reason
    for fact in ("b-1", "1:00:00", "timeout", "HTTP 412"):
        assert fact in str(caught.value)


@pytest.mark.parametrize("error", [REJECTED, UNAVAILABLE])
def test_deletion_fails_at_once_with_another_error(clock: FakeClock, log: list[str], error: PineconeError) -> None:
    with pytest.raises(PineconeError) as caught:
        delete([error], clock, log)
    assert caught.value is error
    assert clock.slept == []
