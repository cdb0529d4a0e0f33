"""When to poll again, when to stop after failed polls, and when a wait ends."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pinecone.errors import PineconeTransientError
from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT
from airflow_pinecone.waiting.intervals import (
    MAX_FAILED_POLLS,
    MAX_INTERVAL,
    MIN_INTERVAL,
    FailedPolls,
    deadline_of,
    poll_interval,
)


@given(duration=st.floats(0, DEFAULT_TIMEOUT))
def test_end_is_noticed_in_time(duration: float) -> None:
    """At most 5 seconds or a tenth of the time that it took, and never more than a minute, after the end."""
    waited = 0.0
    while waited < duration:
        waited += poll_interval(waited, None)
    assert waited - duration <= min(max(5.0, duration / 10), 60.0) + 1e-6


@pytest.mark.parametrize("waited", [-3600.0, 0.0, 1.0, 49.0])
def test_interval_starts_at_five_seconds(waited: float) -> None:
    assert poll_interval(waited, None) == 5.0 == MIN_INTERVAL


@pytest.mark.parametrize("waited", [601.0, 1e9])
def test_interval_increases_to_a_minute(waited: float) -> None:
    assert poll_interval(waited, None) == 60.0 == MAX_INTERVAL


@given(waited=st.floats(-1e9, 1e9), poke_interval=st.floats(0.001, 1e6))
def test_poke_interval_is_constant(waited: float, poke_interval: float) -> None:
    assert poll_interval(waited, poke_interval) == poke_interval


def test_earlier_of_both_timeouts_is_the_deadline() -> None:
    assert deadline_of(100.0, 50.0, None) == 150.0
    assert deadline_of(100.0, 50.0, timedelta(seconds=20)) == 120.0
    assert deadline_of(100.0, 50.0, timedelta(seconds=70)) == 150.0


def test_backoff_doubles_up_to_a_minute() -> None:
    failed_polls = FailedPolls()
    error = PineconeTransientError("503", status_code=503)
    assert [failed_polls.add(error) for _ in range(6)] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


@pytest.mark.parametrize(("retry_after", "backoff"), [(None, 5.0), (0.0, 5.0), (3.0, 5.0), (33.0, 33.0), (1e9, 60.0)])
def test_retry_after_extends_the_backoff_to_at_most_a_minute(retry_after: float | None, backoff: float) -> None:
    assert FailedPolls().add(PineconeTransientError("429", status_code=429, retry_after=retry_after)) == backoff


def test_more_than_ten_consecutive_failed_polls_are_too_many() -> None:
    failed_polls = FailedPolls()
    error = PineconeTransientError("503", status_code=503)
    for _ in range(MAX_FAILED_POLLS):
        failed_polls.add(error)
    assert not failed_polls.too_many
    failed_polls.add(error)
    assert (failed_polls.count, failed_polls.too_many) == (11, True)
    failed_polls.reset()
    assert (failed_polls.count, failed_polls.too_many) == (0, False)
    assert failed_polls.add(error) == MIN_INTERVAL


def test_a_year_of_failed_polls_does_not_overflow() -> None:
    failed_polls = FailedPolls()
    failed_polls.count = 1_000_000
    assert failed_polls.add(PineconeTransientError("503", status_code=503)) == MAX_INTERVAL
