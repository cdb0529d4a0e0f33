"""The waits of one connection share their polls: what is requested, when, and what each wait is told."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.clients import make_client
from support.clock import SteppedClock
from support.constants import API_KEY, INDEX
from support.records import host_path

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.settings import Settings
from airflow_pinecone.emulator import Emulator, Fault
from airflow_pinecone.errors import (
    BackupNotFound,
    ConnectionChanged,
    ConnectionNotFound,
    ImportFailed,
    PineconeInputError,
    RestoreNotFound,
    WaitTimeout,
)
from airflow_pinecone.waiting import shared_client
from airflow_pinecone.waiting import shared_polls as shared
from airflow_pinecone.waiting.decisions import Wait, WaitResult, WaitSpec
from airflow_pinecone.waiting.drivers import wait_async
from airflow_pinecone.waiting.resources import RESTORE, import_resource_id
from airflow_pinecone.waiting.shared_polls import shared_polls

pytestmark = pytest.mark.anyio

LIST = "GET /backups"
OTHER_KEY = "another-api-key"
MISSING = ConnectionNotFound("Connection pinecone_default cannot be used: it does not exist.")


class Waits:
    """Waits in one event loop, as the triggerer runs them, on a clock that the test moves.

    Attributes:
        client: A client of the same control plane, for the test itself.
        reads: How often the connection was read.
        read_error: What reading the connection raises.
        url: The control plane in the connection.
        api_key: The API key in the connection.
        control_plane: The control plane at which the waits started.
        fingerprint: The fingerprint of the connection that the tasks have read.
    """

    def __init__(self, emulator: Emulator, clock: SteppedClock) -> None:
        self.emulator = emulator
        self.url = emulator.url
        self.clock = clock
        self.client = make_client(emulator.url, clock)
        self.reads = 0
        self.read_error: Exception | None = None
        self.control_plane: str | None = None
        self.fingerprint: str | None = None
        self.api_key = API_KEY
        self.tasks: list[asyncio.Task[WaitResult]] = []
        self.logged: list[str] = []
        # The tasks of pytest.
        self._test_tasks = len(asyncio.all_tasks())

    async def read_settings(self) -> Settings:
        self.reads += 1
        if self.read_error:
            raise self.read_error
        return self.settings

    @property
    def settings(self) -> Settings:
        return Settings("pinecone_default", self.url, self.api_key, "2025-10", 5.0)

    def start(
        self, *resource_ids: str, resource_type: str = "backup", timeout: float = 3600.0, interval: float | None = 5.0
    ) -> None:
        """Start a wait for each id."""
        deadline_at = self.clock.now + timeout
        for resource_id in resource_ids:
            max_age = 3600.0 if resource_type == "freshness" else None
            spec = WaitSpec(resource_type, resource_id, self.clock.now, deadline_at, interval, max_age=max_age)
            self.tasks.append(asyncio.create_task(self._wait(spec)))

    async def start_and_poll(self, count: int) -> list[str]:
        """Start a wait for each of so many new backups, poll them once, and return their ids."""
        backup_ids = add_backups(self.emulator, count)
        self.start(*backup_ids)
        await self.advance(5)
        return backup_ids

    async def _wait(self, spec: WaitSpec) -> WaitResult:
        async with shared_polls(
            "pinecone_default", self.control_plane, self.fingerprint, self.read_settings, self.clock
        ) as polls:
            poll = partial(polls.poll, spec.resource, spec.resource_id)
            poll_now = partial(polls.poll_now, spec.resource, spec.resource_id)
            log = lambda _, message: self.logged.append(message)  # noqa: E731
            return await wait_async(Wait(spec), poll, poll_now, log, self.clock)

    async def advance(self, seconds: float) -> list[str]:
        """Move the time, let the waits run until all of them pause, and return the requests that they sent."""
        before = len(self.emulator.requests)
        await self.until_all_pause()
        self.clock.advance(seconds)
        await self.until_all_pause()
        return [f"{exchange.method} {exchange.path}" for exchange in self.emulator.requests[before:]]

    async def until_all_pause(self) -> None:
        async with asyncio.timeout(20):
            while True:
                # Each wait has a task. A round would be one more.
                pending = sum(not task.done() for task in self.tasks)
                if self.clock.timers == pending and not self.other_tasks():
                    return
                await asyncio.sleep(0)  # noqa: TID251

    def other_tasks(self) -> int:
        """Return the number of unfinished tasks that are neither a wait nor pytest's."""
        return len(asyncio.all_tasks()) - self._test_tasks - sum(not task.done() for task in self.tasks)

    def results(self) -> list[WaitResult]:
        return [task.result() for task in self.tasks]

    def result(self, number: int = 0) -> WaitResult:
        return self.tasks[number].result()

    def done(self) -> list[bool]:
        return [task.done() for task in self.tasks]

    async def move_until_hit(self, seconds: float, fault: Fault) -> None:
        """Move the time, and let the waits run until a request meets a fault."""
        await self.until_all_pause()
        self.clock.advance(seconds)
        while not fault.hits:
            await asyncio.sleep(0)  # noqa: TID251


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def emulator(clock: SteppedClock) -> Iterator[Emulator]:
    with Emulator(API_KEY, [INDEX], clock=clock.time, backup_ends="never") as emulator:
        yield emulator
        emulator.release()


@pytest.fixture
async def waits(emulator: Emulator, clock: SteppedClock) -> AsyncIterator[Waits]:
    """Provide waits that run in the event loop of the test. Nothing may be left when it ends."""
    waits = Waits(emulator, clock)
    yield waits
    for task in waits.tasks:
        task.cancel()
    await asyncio.gather(*waits.tasks, return_exceptions=True)
    assert not shared._shared
    async with asyncio.timeout(5):
        while waits.other_tasks():
            await asyncio.sleep(0)  # noqa: TID251


def add_backups(emulator: Emulator, count: int, **fields: Any) -> list[str]:
    return [emulator.add_backup(INDEX, status="Initializing", **fields)["backup_id"] for _ in range(count)]


def start_restores(waits: Waits, count: int) -> list[str]:
    """Restore a backup into the indexes restored-0, restored-1 and so on, and return the ids of the restore jobs."""
    backup_id = waits.emulator.add_backup(INDEX)["backup_id"]
    names = [f"restored-{number}" for number in range(count)]
    return [waits.client.create_index_from_backup(backup_id, name=name)["restore_job_id"] for name in names]


# What is requested


@pytest.mark.parametrize(("backups", "waits_for_each"), [(1, 1), (1, 3), (40, 1)])
async def test_one_backup_is_described_and_many_are_listed(
    waits: Waits, emulator: Emulator, backups: int, waits_for_each: int
) -> None:
    backup_ids = add_backups(emulator, backups) * waits_for_each
    expected = [LIST if backups > 1 else f"GET /backups/{backup_ids[0]}"]
    waits.start(*backup_ids)
    assert await waits.advance(5) == expected
    for backup_id in set(backup_ids):
        emulator.finish_backup(backup_id)
    assert await waits.advance(5) == expected
    models = {backup["backup_id"]: backup for backup in emulator.backups}
    assert [result.model for result in waits.results()] == [models[backup_id] for backup_id in backup_ids]
    assert waits.reads == 1


async def test_listing_ends_when_all_backups_are_found(waits: Waits, emulator: Emulator) -> None:
    add_backups(emulator, 150)
    first_page = [backup["backup_id"] for backup in waits.client.list_backups()][:5]
    waits.start(*first_page)
    assert await waits.advance(5) == [LIST]


async def test_listing_takes_no_more_requests_than_describing(waits: Waits, emulator: Emulator) -> None:
    """The first round does not know how many pages there are; the second one does."""
    add_backups(emulator, 350)
    last_page = [backup["backup_id"] for backup in waits.client.list_backups()][-2:]
    waits.start(*last_page)
    describes = [f"GET /backups/{backup_id}" for backup_id in last_page]
    first = await waits.advance(5)
    assert first[:2] == [LIST, LIST]
    assert sorted(first[2:]) == sorted(describes)
    assert sorted(await waits.advance(5)) == sorted(describes)
    waits.start(*add_backups(emulator, 6))
    assert await waits.advance(5) == [LIST] * 4


async def test_backup_that_is_not_listed_is_described(waits: Waits, emulator: Emulator) -> None:
    """Only a describe can say that a backup does not exist."""
    backup_ids = add_backups(emulator, 3)
    emulator.next_backup(listed_after=1000)
    hidden = waits.client.create_backup(INDEX)["backup_id"]
    waits.start(hidden, "deleted", *backup_ids)
    assert sorted(await waits.advance(5)) == sorted([LIST, f"GET /backups/{hidden}", "GET /backups/deleted"])
    emulator.finish_backup(hidden)
    for _ in range(12):
        await waits.advance(5)
    assert waits.result(0).model == waits.client.describe_backup(hidden)
    assert isinstance(waits.result(1).error, BackupNotFound)
    assert not any(task.done() for task in waits.tasks[2:])


async def test_invalid_row_concerns_its_own_wait_only(waits: Waits, emulator: Emulator) -> None:
    backup_ids = add_backups(emulator, 3)
    add_backups(emulator, 1, source_index_name=17)  # not waited for
    (invalid,) = add_backups(emulator, 1, source_index_name=17)
    waits.start(*backup_ids, invalid)
    assert await waits.advance(5) == [LIST, f"GET /backups/{invalid}"]
    for backup_id in backup_ids:
        emulator.finish_backup(backup_id)
    await waits.advance(5)
    assert all(task.done() for task in waits.tasks[:3])
    assert "consecutive failed polls: 2" in waits.logged[-1]


async def test_invalid_id_concerns_its_own_wait_only(waits: Waits, emulator: Emulator) -> None:
    backup_ids = add_backups(emulator, 2)
    waits.start("../indexes", *backup_ids)
    assert await waits.advance(5) == [LIST]
    assert isinstance(waits.result().error, PineconeInputError)
    assert waits.done() == [True, False, False]


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_if_the_listing_is_rejected_backups_are_described(waits: Waits, emulator: Emulator, status: int) -> None:
    """The role of an API key may permit a describe, but not a listing."""
    emulator.fault("GET", "/backups", status=status, times=None)
    backup_ids = add_backups(emulator, 9)
    describes = sorted(f"GET /backups/{backup_id}" for backup_id in backup_ids)
    waits.start(*backup_ids, interval=300)
    assert sorted(await waits.advance(300)) == sorted([LIST, *describes])
    assert sorted(await waits.advance(300)) == describes
    # Listing is tried again later.
    assert LIST in await waits.advance(300)
    assert not any("rejected" in message for message in waits.logged)


async def test_failed_listing_is_a_failed_poll_of_each_wait(waits: Waits, emulator: Emulator) -> None:
    emulator.fault("GET", "/backups", status=429, headers={"Retry-After": "20"})
    await waits.start_and_poll(40)
    assert sum("HTTP 429" in message for message in waits.logged) == 40
    assert await waits.advance(19) == []
    assert await waits.advance(1) == [LIST]
    emulator.api_key = OTHER_KEY
    assert await waits.advance(5) == [LIST]
    assert sum("HTTP 401" in message for message in waits.logged) == 40


async def test_listing_that_fails_repeatedly_is_not_repeated(waits: Waits, emulator: Emulator) -> None:
    emulator.fault("GET", "/backups", status=500, times=None)
    waits.start(*add_backups(emulator, 9))
    assert await waits.advance(5) == [LIST]
    assert await waits.advance(5) == [LIST]
    assert len(await waits.advance(10)) == 1 + 9
    assert len(await waits.advance(5)) == 9


async def test_single_failed_listings_do_not_add_up(waits: Waits, emulator: Emulator) -> None:
    waits.start(*add_backups(emulator, 9))
    for _ in range(5):
        emulator.fault("GET", "/backups", status=500)
        assert await waits.advance(5) == [LIST]
        assert await waits.advance(5) == [LIST]


async def test_error_of_a_describe_concerns_its_own_wait_only(waits: Waits, emulator: Emulator) -> None:
    emulator.fault("GET", "/backups", status=403, times=None)
    backup_ids = await waits.start_and_poll(20)
    for backup_id in backup_ids[:16]:
        emulator.fault("GET", f"/backups/{backup_id}", status=503)
    for backup_id in backup_ids[16:]:
        emulator.finish_backup(backup_id)
    assert len(await waits.advance(5)) == 20
    assert sum("HTTP 503" in message for message in waits.logged) == 16
    assert waits.done() == [False] * 16 + [True] * 4


async def test_describe_that_is_rate_limited_is_the_last_one_of_its_round(waits: Waits, emulator: Emulator) -> None:
    emulator.fault("GET", "/backups", status=403, times=None)
    await waits.start_and_poll(40)
    emulator.fault("GET", "/backups/*", status=429, headers={"Retry-After": "20"}, times=None)
    assert len(await waits.advance(5)) <= shared_client.MAX_THREADS
    assert sum("HTTP 429" in message for message in waits.logged) == 40
    assert await waits.advance(19) == []


async def test_backups_whose_last_poll_failed_are_described_last(waits: Waits, emulator: Emulator) -> None:
    emulator.fault("GET", "/backups", status=403, times=None)
    backup_ids = await waits.start_and_poll(20)
    failing, healthy = backup_ids[:8], backup_ids[8:]
    for backup_id in failing:
        emulator.fault("GET", f"/backups/{backup_id}", status=503)
        emulator.fault("GET", f"/backups/{backup_id}", hang="before", times=None)
    await waits.advance(5)
    for backup_id in healthy:
        emulator.finish_backup(backup_id)
    waits.clock.advance(5)
    await asyncio.wait(waits.tasks[8:], timeout=4)
    assert waits.done() == [False] * 8 + [True] * 12
    emulator.release()


async def start_apart(waits: Waits, *resource_ids: str, resource_type: str = "backup", timeout: float = 3600.0) -> None:
    """Start a wait a second, so that none shares its first round."""
    for resource_id in resource_ids:
        waits.start(resource_id, resource_type=resource_type, timeout=timeout)
        await waits.until_all_pause()
        waits.clock.advance(1)


async def occupy_every_thread(waits: Waits, fault: Fault) -> None:
    """Let the polls of four waits of ``start_apart`` hang, and let the fifth wait become due."""
    for hits in range(1, shared_client.MAX_THREADS + 1):
        await until_hit(fault, hits)
        waits.clock.advance(1)


async def until_hit(fault: Fault, hits: int = 1) -> None:
    while fault.hits < hits:
        await asyncio.sleep(0)  # noqa: TID251


async def test_restores_that_hang_do_not_delay_backups(waits: Waits, emulator: Emulator) -> None:
    emulator.scenario.restore_ends = "never"
    fault = emulator.fault("GET", "/restore-jobs/*", hang="before", times=None)
    (backup_id,) = add_backups(emulator, 1)
    await start_apart(waits, *start_restores(waits, 4), resource_type="restore")
    waits.start(backup_id)
    await waits.until_all_pause()
    emulator.finish_backup(backup_id)
    waits.clock.advance(1)
    await occupy_every_thread(waits, fault)
    await asyncio.wait(waits.tasks[4:], timeout=4)
    assert waits.done() == [False] * 4 + [True]
    emulator.release()


async def test_last_poll_does_not_queue_behind_others(
    waits: Waits, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_pinecone.waiting.drivers.SHARED_POLL_SECONDS", 0.2)
    *hanging, healthy = add_backups(emulator, 5)
    fault = emulator.fault("GET", "/backups/*", hang="before", times=4)
    await start_apart(waits, *hanging)
    waits.clock.advance(1)
    await occupy_every_thread(waits, fault)
    emulator.finish_backup(healthy)
    waits.start(healthy, timeout=0.3)
    while not waits.clock.timers:
        await asyncio.sleep(0)  # noqa: TID251
    waits.clock.advance(1)
    await asyncio.wait(waits.tasks[4:], timeout=4)
    assert waits.done() == [False] * 4 + [True]
    assert waits.result(4).error is None
    emulator.release()


async def test_failed_listing_at_the_deadline_is_followed_by_a_poll_of_each_wait(
    waits: Waits, emulator: Emulator
) -> None:
    backup_ids = add_backups(emulator, 3)
    emulator.finish_backup(backup_ids[0])
    emulator.fault("GET", "/backups", status=503)
    waits.start(*backup_ids, timeout=5)
    requests = await waits.advance(5)
    assert sorted(requests) == sorted([LIST, *(f"GET /backups/{backup_id}" for backup_id in backup_ids)])
    assert [type(result.error) for result in waits.results()] == [type(None), WaitTimeout, WaitTimeout]


async def test_while_requests_time_out_one_round_runs_at_a_time(waits: Waits, emulator: Emulator) -> None:
    """Otherwise each wait has a round of its own, and all of them queue."""
    first, *others = add_backups(emulator, 5)
    emulator.fault("GET", f"/backups/{first}", drop="before")
    fault = emulator.fault("GET", f"/backups/{first}", hang="before")
    waits.start(first)
    await waits.advance(5)
    await waits.advance(1)
    before = len(emulator.requests)
    await start_apart(waits, *others)
    await until_hit(fault)
    # The poll of the first wait hangs, and the others become due one after the other.
    for _ in others:
        waits.clock.advance(1)
    emulator.release()
    await waits.until_all_pause()
    requests = [exchange.path for exchange in emulator.requests[before:]]
    assert requests == [f"/backups/{first}", "/backups"]


async def test_describe_that_hangs_does_not_delay_other_waits(waits: Waits, emulator: Emulator) -> None:
    hanging, other = add_backups(emulator, 2)
    fault = emulator.fault("GET", f"/backups/{hanging}", hang="before")
    waits.start(hanging)
    await waits.until_all_pause()
    waits.clock.advance(3)
    waits.start(other)
    await waits.move_until_hit(2, fault)
    emulator.finish_backup(other)
    waits.clock.advance(3)
    await asyncio.wait(waits.tasks, timeout=4, return_when=asyncio.FIRST_COMPLETED)
    assert waits.done() == [False, True]
    emulator.release()


async def test_describe_that_hangs_does_not_delay_the_other_describes_of_its_round(
    waits: Waits, emulator: Emulator
) -> None:
    emulator.fault("GET", "/backups", status=403, times=None)
    backup_ids = await waits.start_and_poll(12)
    emulator.fault("GET", f"/backups/{backup_ids[0]}", hang="before")
    for backup_id in backup_ids:
        emulator.finish_backup(backup_id)
    waits.clock.advance(5)
    await asyncio.wait(waits.tasks[1:], timeout=4)
    assert waits.done() == [False] + [True] * 11
    emulator.release()


async def test_bug_in_a_poll_concerns_its_own_wait_only(
    waits: Waits, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    (backup_id,) = add_backups(emulator, 1)
    describe = PineconeClient.describe_backup

    def describe_backup(client: PineconeClient, described: str, *, retry: bool = True) -> Any:
        if described == "bug":
            raise ZeroDivisionError
        return describe(client, described, retry=retry)

    monkeypatch.setattr(PineconeClient, "describe_backup", describe_backup)
    emulator.fault("GET", "/backups", status=403, times=None)
    waits.start("bug", backup_id)
    await waits.advance(5)
    assert isinstance(waits.tasks[0].exception(), ZeroDivisionError)
    assert not waits.tasks[1].done()


async def test_restores_share_a_listing_of_jobs_and_one_of_indexes(waits: Waits, emulator: Emulator) -> None:
    emulator.scenario.restore_ends = "never"
    jobs = start_restores(waits, 5)
    waits.start(*jobs, resource_type="restore")
    assert await waits.advance(5) == ["GET /restore-jobs"]
    for job in jobs[:3]:
        emulator.finish_restore(job)
    assert await waits.advance(5) == ["GET /restore-jobs", "GET /indexes"]
    model = waits.result().model
    assert model == RESTORE.poll(waits.client, jobs[0])
    assert model is not None
    assert model["status"] == "Completed"
    assert waits.done() == [True, True, True, False, False]


async def test_imports_share_a_listing_for_each_index(waits: Waits, emulator: Emulator, tmp_path: Path) -> None:
    emulator.add_index("another")
    emulator.scenario.import_ends = "never"
    names = [INDEX, INDEX, INDEX, "another"]
    ids = [waits.client.imports(name).start(tmp_path.as_uri())["id"] for name in names]
    waits.start(*map(import_resource_id, names, ids), "deleted/1", resource_type="import")
    listings = [f"GET {host_path(emulator, name)}/bulk/imports" for name in (INDEX, "another")]
    described = [f"GET /indexes/{name}" for name in (INDEX, "another", "deleted", "deleted")]
    assert sorted(await waits.advance(5)) == sorted(listings + described)
    waits.client.imports(INDEX).cancel(ids[1])
    await waits.advance(5)
    assert waits.done() == [False, True, False, False, False]
    assert isinstance(waits.result(1).error, ImportFailed)


async def test_waits_for_a_fresh_backup_of_an_index_share_its_listing(waits: Waits, emulator: Emulator) -> None:
    emulator.add_index("another")
    waits.start(INDEX, INDEX, INDEX, "another", resource_type="freshness")
    listings = sorted(f"GET /indexes/{name}/backups" for name in ("another", INDEX))
    assert sorted(await waits.advance(5)) == listings
    fresh = emulator.add_backup(INDEX)
    assert sorted(await waits.advance(5)) == listings
    assert waits.done() == [True, True, True, False]
    assert waits.result().model == fresh


async def test_index_that_is_not_listed_is_described(waits: Waits, emulator: Emulator) -> None:
    jobs = start_restores(waits, 2)
    waits.client.delete_index("restored-1")
    waits.start(*jobs, resource_type="restore")
    requests = await waits.advance(5)
    expected = ["GET /restore-jobs", "GET /indexes", f"GET /restore-jobs/{jobs[1]}", "GET /indexes/restored-1"]
    assert requests == expected
    for _ in range(12):
        await waits.advance(5)
    assert waits.result(0).error is None
    assert isinstance(waits.result(1).error, RestoreNotFound)


async def test_failed_listing_of_the_indexes_concerns_completed_restores_only(waits: Waits, emulator: Emulator) -> None:
    emulator.scenario.restore_ends = "never"
    jobs = start_restores(waits, 4)
    emulator.finish_restore(jobs[0])
    emulator.fault("GET", "/indexes", body={"indexes": [{"name": None}]})
    waits.start(*jobs, resource_type="restore")
    assert len(await waits.advance(5)) == 4  # two listings, and two describes
    assert waits.done() == [True, False, False, False]


# When


async def test_waits_that_started_at_different_times_share_rounds(waits: Waits, emulator: Emulator) -> None:
    backup_ids = add_backups(emulator, 10)
    for backup_id in backup_ids:
        waits.start(backup_id)
        await waits.advance(1)
    requests = [request for _ in range(60) for request in await waits.advance(1)]
    assert set(requests[6:]) == {LIST}
    assert len(requests) <= 6 + 60 / 5


async def test_first_poll_is_at_most_half_a_second_early(waits: Waits, emulator: Emulator) -> None:
    """Airflow may not know yet that the task is deferred."""
    first, second, third = add_backups(emulator, 3)
    waits.start(first)
    await waits.advance(0.4)
    waits.start(second)
    await waits.advance(0.2)
    waits.start(third)
    assert await waits.advance(4.4) == [LIST]
    answered = [message for message in waits.logged if "its status is" in message]
    assert sorted(answered) == sorted(f"Backup {id_}: its status is Initializing" for id_ in (first, second))
    assert await waits.advance(0.6) == [f"GET /backups/{third}"]


async def test_wait_is_not_polled_before_its_retry_after(waits: Waits, emulator: Emulator) -> None:
    first, second = add_backups(emulator, 2)
    emulator.fault("GET", f"/backups/{first}", status=429, headers={"Retry-After": "20"})
    waits.start(first)
    await waits.advance(2)
    waits.start(second)
    assert await waits.advance(3) == [f"GET /backups/{first}"]
    for _ in range(3):
        assert await waits.advance(5) == [f"GET /backups/{second}"]
    assert await waits.advance(5) == [LIST]


async def test_deadline_ends_a_wait_whose_poll_hangs(
    waits: Waits, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_pinecone.waiting.drivers.SHARED_POLL_SECONDS", 0.2)
    monkeypatch.setattr("airflow_pinecone.waiting.drivers.LAST_POLL_SECONDS", 0.2)
    backup_ids = add_backups(emulator, 20)
    fault = emulator.fault("GET", "*", hang="before", times=None)
    waits.start(*backup_ids, timeout=0.3)
    await waits.until_all_pause()
    waits.clock.advance(0.3)
    await asyncio.wait(waits.tasks, timeout=4)
    assert fault.hits <= 1 + 20
    assert {type(result.error) for result in waits.results()} == {WaitTimeout}


async def test_request_that_never_ends_is_a_failed_poll(
    waits: Waits, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Normally the timeout of the client ends it, here 5 s for each of the two parts of a request."""
    monkeypatch.setattr(shared_client, "REQUEST_MARGIN_SECONDS", -17.8)

    emulator.fault("GET", "*", hang="before")
    waits.start(*add_backups(emulator, 1))
    # On a busy machine, the time may be over before the request is sent.
    await waits.advance(5)
    assert "no response within 0.2 s" in waits.logged[-1]


# The connection


async def test_replaced_api_key_is_read_once(waits: Waits, emulator: Emulator) -> None:
    await waits.start_and_poll(20)
    emulator.api_key = waits.api_key = OTHER_KEY
    assert await waits.advance(5) == [LIST, LIST]
    assert await waits.advance(5) == [LIST]
    assert waits.reads == 2


async def test_rejected_key_is_read_again_once_in_a_round(waits: Waits, emulator: Emulator) -> None:
    emulator.fault("GET", "/backups", status=403, times=None)
    await waits.start_and_poll(20)
    emulator.api_key = OTHER_KEY
    # The key is still the same, so no describe is repeated.
    assert len(await waits.advance(5)) == 20
    assert waits.reads == 2
    await waits.advance(5)
    assert waits.reads == 3


async def test_wait_that_joins_after_the_key_was_replaced_shares_its_polls_with_later_ones(
    waits: Waits, emulator: Emulator
) -> None:
    """The earlier waits keep theirs: their backups may be in another project."""
    waits.fingerprint = waits.settings.fingerprint
    (first,) = add_backups(emulator, 1)
    waits.start(first)
    await waits.advance(5)
    waits.api_key = OTHER_KEY
    with Emulator(OTHER_KEY, [INDEX], clock=waits.clock.time) as other:
        waits.url = other.url
        waits.fingerprint = waits.settings.fingerprint
        (second,) = add_backups(other, 1)
        waits.start(second, second)
        assert await waits.advance(5) == [f"GET /backups/{first}"]
        assert [exchange.path for exchange in other.requests] == [f"/backups/{second}"]
        other.finish_backup(second)
        emulator.finish_backup(first)
        await waits.advance(5)
    assert [result.error for result in waits.results()] == [None] * 3
    assert waits.reads == 2


async def test_another_key_than_that_of_the_task_is_not_used(waits: Waits, emulator: Emulator) -> None:
    """The triggerer can read the connection of another team: in its project, the backup does not exist."""
    waits.fingerprint = waits.settings.fingerprint
    emulator.api_key = waits.api_key = OTHER_KEY
    waits.start(*add_backups(emulator, 2))
    assert await waits.advance(5) == []
    for result in waits.results():
        assert isinstance(result.error, ConnectionChanged)
        assert "another API key" in str(result.error)


async def test_key_that_is_replaced_during_the_wait_is_used(waits: Waits, emulator: Emulator) -> None:
    waits.fingerprint = waits.settings.fingerprint
    backup_ids = await waits.start_and_poll(2)
    emulator.api_key = waits.api_key = OTHER_KEY
    assert await waits.advance(5) == [LIST, LIST]
    emulator.finish_backup(backup_ids[0])
    await waits.advance(5)
    assert waits.done() == [True, False]


@pytest.mark.parametrize("describes", [False, True])
async def test_replaced_host_ends_every_wait(waits: Waits, emulator: Emulator, describes: bool) -> None:
    """The backups are at the previous host: a wait must not report that they no longer exist."""
    with Emulator(OTHER_KEY, [INDEX], clock=waits.clock.time) as other:
        if describes:
            emulator.fault("GET", "/backups", status=403, times=None)
        await waits.start_and_poll(10)
        emulator.api_key = waits.api_key = OTHER_KEY
        waits.url = other.url
        await waits.advance(5)
        assert other.requests == []
    for result in waits.results():
        assert isinstance(result.error, ConnectionChanged)
        assert emulator.url in str(result.error)
        assert other.url in str(result.error)


async def test_connection_must_name_the_control_plane_of_the_worker(waits: Waits, emulator: Emulator) -> None:
    (backup_id,) = add_backups(emulator, 1)
    waits.control_plane = "https://api.pinecone.io"
    waits.start(backup_id)
    assert await waits.advance(5) == []
    assert isinstance(waits.result(0).error, ConnectionChanged)
    waits.control_plane = emulator.url
    waits.start(backup_id)
    assert await waits.advance(5) == [f"GET /backups/{backup_id}"]


async def test_connection_that_cannot_be_read_again_leaves_the_previous_key(waits: Waits, emulator: Emulator) -> None:
    await waits.start_and_poll(3)
    waits.read_error = RuntimeError("the secrets backend cannot be reached")
    emulator.fault("GET", "*", status=401)
    assert await waits.advance(5) == [LIST]
    assert waits.reads == 2
    assert await waits.advance(5) == [LIST]
    assert not any(waits.done())


async def test_missing_connection_ends_every_wait_after_a_minute(waits: Waits, emulator: Emulator) -> None:
    """Airflow reports the same if a secrets backend cannot be reached for a short time."""
    waits.read_error = MISSING
    waits.start(*add_backups(emulator, 3))
    for _ in range(12):
        assert await waits.advance(5) == []
    assert "the poll was rejected: Connection pinecone_default cannot be used" in waits.logged[-1]
    assert not any(waits.done())
    await waits.advance(5)
    assert [result.error for result in waits.results()] == [waits.read_error] * 3


async def test_invalid_connection_ends_every_wait(waits: Waits) -> None:
    waits.read_error = PineconeInputError("Connection pinecone_default cannot be used: it has no API key.")
    waits.start("b-1", "b-2", "b-3")
    assert await waits.advance(5) == []
    assert [result.error for result in waits.results()] == [waits.read_error] * 3
    assert waits.reads == 1


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (MISSING, "the poll was rejected: Connection pinecone_default cannot be used"),
        (LookupError("no database"), "the poll failed: Airflow could not read connection"),
    ],
    ids=["missing", "unreadable"],
)
async def test_connection_that_cannot_be_read_for_a_short_time_ends_no_wait(
    waits: Waits, emulator: Emulator, error: Exception, logged: str
) -> None:
    waits.read_error = error
    waits.start(*add_backups(emulator, 2))
    assert await waits.advance(5) == []
    assert logged in waits.logged[-1]
    waits.read_error = None
    assert await waits.advance(5) == [LIST]


async def test_connection_is_not_read_by_each_wait(waits: Waits, emulator: Emulator) -> None:
    for _ in range(10):
        waits.start(*add_backups(emulator, 2))
        await waits.advance(12)
    assert waits.reads == 1
    assert await waits.advance(5) == [LIST]


async def test_connection_that_takes_too_long_to_read_is_a_failed_poll(
    waits: Waits, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_client, "READ_SECONDS", 0.05)

    async def never() -> Settings:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(waits, "read_settings", never)
    waits.start(*add_backups(emulator, 2))
    assert await waits.advance(5) == []
    assert "the poll failed: Airflow could not read connection pinecone_default: no result" in waits.logged[-1]


async def test_connection_is_read_without_the_context_of_a_wait(waits: Waits, emulator: Emulator) -> None:
    """Airflow finds the log of a trigger in its context."""
    variable = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []

    read = waits.read_settings

    async def read_settings() -> Settings:
        seen.append(variable.get())
        return await read()

    waits.read_settings = read_settings  # type: ignore[method-assign]
    variable.set("of the wait")
    await waits.start_and_poll(1)
    assert seen == ["none"]


# Joining and leaving


async def test_cancelled_wait_does_not_disturb_the_others(waits: Waits, emulator: Emulator) -> None:
    first, cancelled, last = add_backups(emulator, 3)
    fault = emulator.fault("GET", "/backups", hang="before")
    waits.start(first, cancelled, last)
    await waits.move_until_hit(5, fault)
    waits.tasks[1].cancel("user action")
    with pytest.raises(asyncio.CancelledError, match="user action"):
        await waits.tasks[1]
    emulator.finish_backup(first)
    emulator.finish_backup(last)
    emulator.release()
    await waits.until_all_pause()
    assert waits.result(0).error is None
    assert waits.result(2).error is None


async def test_last_wait_ends_the_threads(waits: Waits, emulator: Emulator) -> None:
    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("pinecone-pinecone_default")]

    emulator.fault("GET", "/backups", status=403, times=None)
    backup_ids = await waits.start_and_poll(20)
    assert 1 <= len(threads()) <= shared_client.MAX_THREADS
    for backup_id in backup_ids:
        emulator.finish_backup(backup_id)
    await waits.advance(5)
    for thread in threads():
        thread.join(5)
    assert not threads()
