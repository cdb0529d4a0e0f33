"""ProjectCache and read_copy: how often a project is read, for how long, and what is shown if that fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock, SteppedClock
from support.constants import API_KEY, CONN_ID, CONNECTION_VARIABLE, INDEX
from support.tasks import Connect

from airflow_pinecone.common.text import iso
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import (
    Forbidden,
    PermissionDenied,
    PineconeConnectionError,
    PineconePermanentError,
    PineconeTransientError,
    Unauthorized,
)
from airflow_pinecone.rules.report import IndexCopies, Project, RestoreTests
from airflow_pinecone.ui.copies import Copies, reader_of_copies, with_copies
from airflow_pinecone.ui.project_cache import Answer, CopyCache, ProjectCache
from airflow_pinecone.ui.reading import FOLDER_DEADLINE, TOO_SLOW, Copy, DeadlinePassed, explain, read_copy
from airflow_pinecone.ui.restore_tests import Tests, reader_of_tests, with_tests

pytestmark = pytest.mark.anyio

VIEWERS = 60


class Reader:
    """Counts the reads of a cache, and fails or waits as a test wants.

    Attributes:
        reads: The connection and the deadline of each read.
        error: What the next reads raise, or None.
        gate: Each read waits until it is set.
    """

    def __init__(self, clock: SteppedClock) -> None:
        self._clock = clock
        self.reads: list[tuple[str, float]] = []
        self.started = threading.Semaphore(0)
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, connection: str, deadline_at: float) -> Copy:
        self.reads.append((connection, deadline_at))
        self.started.release()
        assert self.gate.wait(20)
        if self.error:
            raise self.error
        now = datetime.fromtimestamp(self._clock.time(), UTC)
        return Copy(Project([], [], []), now)


@pytest.fixture
def stepped() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def reader(stepped: SteppedClock) -> Reader:
    return Reader(stepped)


@pytest.fixture
def cache(reader: Reader, stepped: SteppedClock) -> ProjectCache:
    return ProjectCache(reader, ["one", "two"], clock=stepped)


async def wait_for_read(reader: Reader) -> None:
    """Wait until a thread reads."""
    assert await asyncio.to_thread(reader.started.acquire, timeout=20)


async def is_waiting(stepped: SteppedClock) -> None:
    """Wait until the cache waits for a read."""
    async with asyncio.timeout(20):
        while not stepped.timers:
            await asyncio.to_thread(lambda: None)


def read_at(answer: Answer[Copy]) -> float:
    assert answer.copy is not None
    return answer.copy.read_at.timestamp()


async def test_60_viewers_cost_one_read(cache: ProjectCache, reader: Reader) -> None:
    answers = await asyncio.gather(*(cache.get("one") for _ in range(VIEWERS)))
    assert len(reader.reads) == 1
    assert len(answers) == VIEWERS
    assert all(answer.copy and not answer.failure for answer in answers)


async def test_a_copy_is_read_again_after_30_s(cache: ProjectCache, reader: Reader, stepped: SteppedClock) -> None:
    first = await cache.get("one")
    stepped.advance(29)
    assert await cache.get("one") == first
    assert len(reader.reads) == 1
    stepped.advance(1)
    assert read_at(await cache.get("one")) == read_at(first) + 30
    assert len(reader.reads) == 2


async def test_failure_is_not_repeated_for_10_s(cache: ProjectCache, reader: Reader, stepped: SteppedClock) -> None:
    reader.error = Unauthorized("No.", status_code=401)
    for _ in range(VIEWERS):
        answer = await cache.get("one")
        assert answer.copy is None
        assert answer.failure == ("Pinecone rejected the API key.", "No.")
    assert len(reader.reads) == 1
    stepped.advance(10)
    reader.error = None
    assert (await cache.get("one")).failure is None


async def test_last_copy_is_kept_when_a_read_fails(cache: ProjectCache, reader: Reader, stepped: SteppedClock) -> None:
    first = await cache.get("one")
    reader.error = PineconeTransientError("HTTP 503.")
    stepped.advance(3600)
    answer = await cache.get("one")
    assert answer.copy == first.copy
    assert answer.failure is not None
    assert "HTTP 503." in answer.failure.text


async def test_viewers_wait_for_10_s(cache: ProjectCache, reader: Reader, stepped: SteppedClock) -> None:
    reader.gate.clear()
    viewers = [asyncio.create_task(cache.get("one")) for _ in range(VIEWERS)]
    await wait_for_read(reader)
    await is_waiting(stepped)
    assert reader.reads == [("one", stepped.now + 10)]
    stepped.advance(10)
    answers = await asyncio.gather(*viewers)
    assert answers == [Answer(None, TOO_SLOW)] * VIEWERS
    assert stepped.timers == 0

    # The thread has not ended, so there is no other one.
    stepped.advance(3600)
    assert await cache.get("one") == Answer(None, TOO_SLOW)
    assert len(reader.reads) == 1

    # Another connection has a thread of its own.
    reader.gate.set()
    assert (await cache.get("two")).copy


async def test_late_copy_is_shown(cache: ProjectCache, reader: Reader, stepped: SteppedClock) -> None:
    reader.gate.clear()
    viewer = asyncio.create_task(cache.get("one"))
    await wait_for_read(reader)
    await is_waiting(stepped)
    stepped.advance(10)
    assert (await viewer).failure == TOO_SLOW
    reader.gate.set()
    async with asyncio.timeout(20):
        while (answer := await cache.get("one")).failure:
            await asyncio.to_thread(lambda: None)
    assert answer.copy
    assert len(reader.reads) == 1


async def test_viewer_that_leaves_does_not_stop_the_others(cache: ProjectCache, reader: Reader) -> None:
    reader.gate.clear()
    impatient = asyncio.create_task(cache.get("one"))
    await wait_for_read(reader)
    other = asyncio.create_task(cache.get("one"))
    await asyncio.to_thread(lambda: None)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    reader.gate.set()
    assert (await other).copy
    assert len(reader.reads) == 1


async def test_unexpected_error_is_only_logged(cache: ProjectCache, reader: Reader, logged: Callable[[], str]) -> None:
    reader.error = RuntimeError(f"A secret: {API_KEY}")
    answer = await cache.get("one")
    assert answer.failure is not None
    assert API_KEY not in " ".join(answer.failure)
    assert "The log of the API server has the error." in answer.failure.text
    assert "RuntimeError" in logged()


# read_copy


@pytest.mark.usefixtures("world")
def test_project_is_read_once(emulator: Emulator, clock: FakeClock) -> None:
    for number in range(120):
        emulator.add_backup(INDEX, age=3600.0 + number)
    copy = read_copy(CONN_ID, clock.now + 10, clock=clock)
    assert [exchange.path for exchange in emulator.requests] == ["/indexes", "/backups", "/backups", "/restore-jobs"]
    assert len(copy.project.backups) == 120
    assert copy.read_at == clock.utcnow()


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("path", "requests"), [("/indexes", 1), ("/backups", 2), ("/restore-jobs", 3)])
def test_thread_ends_after_the_request_in_which_the_deadline_passes(
    emulator: Emulator, clock: FakeClock, path: str, requests: int
) -> None:
    deadline_at = clock.now + 10

    def now() -> float:
        # The emulator asks for the time while it processes a request.
        if emulator.requests and emulator.requests[-1].path == path:
            clock.now = deadline_at
        return clock.now

    emulator.scenario.clock = now
    emulator.add_backup(INDEX, age=3600.0)
    with pytest.raises(DeadlinePassed):
        read_copy(CONN_ID, deadline_at, clock=clock)
    assert len(emulator.requests) == requests


@pytest.mark.usefixtures("world")
def test_failed_request_is_not_repeated(emulator: Emulator, clock: FakeClock) -> None:
    emulator.fault("GET", "/backups", status=503, times=None)
    with pytest.raises(PineconeTransientError):
        read_copy(CONN_ID, clock.now + 10, clock=clock)
    assert len(emulator.requests) == 2
    assert clock.slept == []


@pytest.mark.parametrize(("extra", "shown"), [({"timeout": 0.2}, "within 0.2 s"), ({"timeout": 600}, "within 0.3 s")])
def test_request_ends_before_the_timeout_of_the_connection(
    emulator: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], shown: str
) -> None:
    monkeypatch.setattr("airflow_pinecone.ui.reading.REQUEST_TIMEOUT", 0.3)
    connect(**extra)
    emulator.fault("GET", "/indexes", hang="before")
    clock = FakeClock()
    with pytest.raises(PineconeConnectionError, match=shown) as caught:
        read_copy(CONN_ID, clock.now + 10, clock=clock)
    emulator.release()
    assert explain(caught.value).summary == "Pinecone did not respond in time."


@pytest.mark.usefixtures("world")
def test_changed_key_is_used_by_the_next_read(
    emulator: Emulator, clock: FakeClock, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.api_key = "a-new-key"
    read = partial(read_copy, CONN_ID, clock.now + 10, clock=clock)
    with pytest.raises(PineconePermanentError):
        read()
    connect()
    assert read().project.indexes


def test_missing_connection_is_explained(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.delenv(CONNECTION_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="does not exist") as caught:
        read_copy(CONN_ID, clock.now + 10, clock=clock)
    failure = explain(caught.value)
    assert failure.summary == "The connection cannot be used."
    assert "[pinecone] ui_connections" in failure.text


@pytest.mark.parametrize(
    ("error", "summary"),
    [
        (DeadlinePassed(), "Pinecone did not respond within 10 seconds."),
        (PineconeConnectionError("x", sent=False), "Pinecone could not be reached."),
        (PermissionDenied("x", status_code=403), "Pinecone does not permit this API key to list the project."),
        (Forbidden("x", status_code=403), "Pinecone does not permit listing the project."),
        (PineconePermanentError("x", status_code=302), "Pinecone rejected a request."),
        (PineconeTransientError("x", status_code=599), "Pinecone returned an error."),
    ],
)
def test_each_failure_has_a_sentence_and_a_remedy(error: Exception, summary: str) -> None:
    failure = explain(error)
    assert failure.summary == summary
    assert failure.text


# The restore tests


async def test_restore_tests_that_are_slow_are_unknown_and_nobody_waits_for_them_again(stepped: SteppedClock) -> None:
    gate, started = threading.Event(), threading.Semaphore(0)

    def read(connection: str, deadline_at: float) -> Tests:
        started.release()
        assert gate.wait(20)
        return {}

    cache = CopyCache(read, ["one"], deadline=FOLDER_DEADLINE, clock=stepped)
    viewer = asyncio.create_task(cache.get("one"))
    assert await asyncio.to_thread(started.acquire, timeout=20)
    await is_waiting(stepped)
    stepped.advance(FOLDER_DEADLINE)
    copy = Copy(Project([{"name": "docs"}], [], []), datetime.now(UTC))  # type: ignore[typeddict-item]
    found = with_tests(copy, await viewer).project.restore_tests
    assert found is not None
    assert found["docs"].why_unknown == "the folder of [pinecone] ui_restore_tests could not be read in time"
    assert (await cache.get("one")).failure == TOO_SLOW
    gate.set()


def test_reader_of_tests_ends_after_the_deadline(clock: FakeClock, tmp_path: Path) -> None:
    copy = Copy(Project([{"name": "docs"}], [], []), clock.utcnow())  # type: ignore[typeddict-item]
    read = reader_of_tests(f"file://{tmp_path}", lambda _: copy, clock=clock)
    assert read("one", clock.now + 1) == {"docs": RestoreTests()}
    with pytest.raises(DeadlinePassed):
        read("one", clock.now)


async def test_error_of_the_reader_is_unknown(stepped: SteppedClock) -> None:
    def read(connection: str, deadline_at: float) -> Tests:
        raise RuntimeError

    answer = await CopyCache(read, ["one"], clock=stepped).get("one")
    copy = Copy(Project([{"name": "docs"}], [], []), datetime.now(UTC))  # type: ignore[typeddict-item]
    found = with_tests(copy, answer).project.restore_tests
    assert found == {"docs": RestoreTests((), "the folder of [pinecone] ui_restore_tests could not be read")}


# The copies outside of Pinecone


async def test_copies_that_are_slow_are_unknown(stepped: SteppedClock) -> None:
    gate, started = threading.Event(), threading.Semaphore(0)

    def read(connection: str, deadline_at: float) -> Copies:
        started.release()
        assert gate.wait(20)
        return {}

    cache = CopyCache(read, ["one"], deadline=FOLDER_DEADLINE, clock=stepped)
    viewer = asyncio.create_task(cache.get("one"))
    assert await asyncio.to_thread(started.acquire, timeout=20)
    await is_waiting(stepped)
    stepped.advance(FOLDER_DEADLINE)
    copy = Copy(Project([{"name": "docs"}], [], []), datetime.now(UTC))  # type: ignore[typeddict-item]
    found = with_copies(copy, await viewer).project.copies
    assert found == {"docs": IndexCopies(None, "the folder of [pinecone] ui_copies could not be read in time")}
    gate.set()


def test_reader_of_copies_ends_after_the_deadline(clock: FakeClock, tmp_path: Path) -> None:
    backup: Any = {"backup_id": "b-1", "source_index_name": "docs", "source_index_id": "i-1", "status": "Ready"}
    backup["created_at"] = iso(clock.utcnow())
    copy = Copy(Project([{"name": "docs"}], [backup], []), clock.utcnow())  # type: ignore[typeddict-item]
    read = reader_of_copies(f"file://{tmp_path}", lambda _: copy, clock=clock)
    assert read("one", clock.now + 1) == {"docs": IndexCopies()}
    with pytest.raises(DeadlinePassed):
        read("one", clock.now)
