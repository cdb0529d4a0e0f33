"""The clocks."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.clock import FakeClock

from airflow_pinecone.common.clock import SYSTEM_CLOCK, monotonic_epoch_clock

pytestmark = pytest.mark.anyio


def test_system_clock_reads_the_clocks_of_the_system() -> None:
    before = time.time(), time.monotonic()
    now = SYSTEM_CLOCK.time(), SYSTEM_CLOCK.monotonic()
    after = time.time(), time.monotonic()
    assert before[0] <= now[0] <= after[0]
    assert before[1] <= now[1] <= after[1]


async def test_system_clock_sleeps() -> None:
    before = time.monotonic()
    SYSTEM_CLOCK.sleep(0.01)
    await SYSTEM_CLOCK.sleep_async(0.01)
    assert time.monotonic() - before >= 0.02


async def test_system_clock_calls_a_function_later() -> None:
    called: list[str] = []
    done = asyncio.Event()
    before = time.monotonic()
    cancel = SYSTEM_CLOCK.call_later(0.01, lambda: called.append("cancelled"))
    SYSTEM_CLOCK.call_later(0.02, done.set)
    cancel()
    await done.wait()
    assert called == []
    assert time.monotonic() - before >= 0.02


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_monotonic_epoch_clock_ignores_a_changed_time_of_day(clock: FakeClock, step: float) -> None:
    clock.step = step
    now = monotonic_epoch_clock(clock)
    started_at = clock.time()
    assert now() == started_at
    clock.sleep(10)
    assert clock.time() == started_at + 10 + step
    assert now() == started_at + 10


def test_monotonic_epoch_clock_starts_at_the_time_of_day() -> None:
    assert monotonic_epoch_clock(SYSTEM_CLOCK)() == pytest.approx(time.time(), abs=5)
