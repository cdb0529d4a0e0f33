from support.clock import FakeClock

from airflow_pinecone.api.rate_limit import MAX_PAUSE, RateLimit


def sent_within(limit: RateLimit, clock: FakeClock, seconds: float) -> int:
    """Send requests for some seconds, without any latency, and return how many."""
    end, count = clock.monotonic() + seconds, 0
    while clock.monotonic() < end:
        limit.wait()
        count += 1
    return count


def test_nothing_is_limited_before_a_rejection(clock: FakeClock) -> None:
    limit = RateLimit(clock)
    for _ in range(1000):
        limit.wait()
    assert clock.slept == []


def test_rate_is_halved_and_rises_again(clock: FakeClock) -> None:
    limit = RateLimit(clock)
    for _ in range(200):
        limit.wait()
    limit.slow_down(None)
    assert 95 <= sent_within(limit, clock, 1.0) <= 105
    assert 105 <= sent_within(limit, clock, 1.0) <= 115
    sent_within(limit, clock, 8.0)
    assert sent_within(limit, clock, 1.0) > 200


def test_rejections_of_the_same_moment_halve_the_rate_once(clock: FakeClock) -> None:
    limit = RateLimit(clock)
    for _ in range(200):
        limit.wait()
    for _ in range(10):
        limit.slow_down(None)
    assert sent_within(limit, clock, 1.0) >= 95


def test_retry_after_stops_all_requests(clock: FakeClock) -> None:
    limit = RateLimit(clock)
    limit.wait()
    limit.slow_down(30.0)
    limit.slow_down(10.0)
    start = clock.monotonic()
    limit.wait()
    assert clock.monotonic() - start >= 30.0


def test_retry_after_stops_a_thread_that_waits_already(clock: FakeClock) -> None:
    limit = RateLimit(clock)
    limit.slow_down(None)
    limit.wait()
    # Another thread is told to wait while this one sleeps.
    clock.on_sleep = lambda _: limit.slow_down(30.0) if not clock.slept else None
    start = clock.monotonic()
    limit.wait()
    assert clock.monotonic() - start >= 30.0


def test_long_retry_after_does_not_block_the_others(clock: FakeClock) -> None:
    limit = RateLimit(clock)
    limit.slow_down(86_400.0)
    start = clock.monotonic()
    limit.wait()
    assert clock.monotonic() - start <= MAX_PAUSE


def test_rate_never_falls_below_one_request_per_second(clock: FakeClock) -> None:
    limit = RateLimit(clock)
    for _ in range(20):
        limit.slow_down(None)
        clock.advance(2.0)
    start = clock.monotonic()
    for _ in range(3):
        limit.wait()
    assert clock.monotonic() - start <= 2.0
