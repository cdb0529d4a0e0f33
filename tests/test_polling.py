"""What a poll means and how long to pause: decisions without I/O."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import Time

from airflow_pinecone import polling
from airflow_pinecone.errors import (
    PineconeConnectionError,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    PineconeTransientError,
)
from airflow_pinecone.polling import Pause, Wait

ERRORS = [
    PineconeTransientError("503", status_code=503),
    PineconeTransientError("429", status_code=429, retry_after=1e9),
    PineconeConnectionError("no route", sent=True),
]
STATUSES = st.sampled_from(["Initializing", "Pending", "Dreaming", ""])


def backup(status: str) -> Any:
    return {"backup_id": "b-1", "status": status, "source_index_name": "docs-example"}


def wait(**arguments: Any) -> Wait:
    return Wait("b-1", **{"started": 1000.0, "deadline": 1000.0 + 6 * 3600, **arguments})


@given(took=st.floats(0, 6 * 3600), interval=st.none())
def test_the_end_is_noticed_in_time(took: float, interval: None) -> None:
    """Within max(5 s, a tenth of the time the backup took), and never more than 60 s late."""
    decide, now = wait(), 1000.0
    while now - 1000.0 < took:
        step = decide.step(backup("Initializing"), now)
        if not isinstance(step, Pause):
            assert now >= decide.deadline
            return
        now += step.seconds
    late = now - 1000.0 - took
    assert late <= min(max(5.0, took / 10), 60.0) + 1e-6


@given(
    outcomes=st.lists(st.one_of(STATUSES.map(backup), st.sampled_from(ERRORS)), max_size=400),
    interval=st.floats(0.1, 1e5),
)
def test_no_wait_outlasts_its_deadline(outcomes: list[Any], interval: float) -> None:
    decide, now = wait(poke_interval=interval), 1000.0
    for outcome in outcomes:
        step = decide.step(outcome, now)
        if not isinstance(step, Pause):
            assert step["end"] in ("timeout", "unreachable")
            return
        assert 0 < step.seconds <= decide.deadline - now + 1e-6
        now += step.seconds
        assert now <= decide.deadline + 1e-6


@pytest.mark.parametrize("error", ERRORS)
def test_a_run_of_blips_ends_at_the_bound_and_not_before(error: PineconeError) -> None:
    decide = wait()
    now = 1000.0
    for _ in range(polling.MAX_BLIPS):
        step = decide.step(error, now)
        assert isinstance(step, Pause)
        assert step.seconds <= polling.MAX_PAUSE
        now += step.seconds
    assert now - 1000.0 > 6 * 60
    assert decide.step(error, now)["end"] == "unreachable"  # type: ignore[index]


def test_retry_after_lengthens_the_pause_of_a_blip() -> None:
    asked = PineconeTransientError("429", status_code=429, retry_after=33.0)
    assert wait().step(asked, 1000.0).seconds == 33.0  # type: ignore[union-attr]


def test_a_404_is_lag_in_the_first_minute_only() -> None:
    gone = PineconePermanentError("404", status_code=404)
    assert isinstance(wait().step(gone, 1059.9), Pause)
    assert wait().step(gone, 1060.0)["end"] == "vanished"  # type: ignore[index]


@pytest.mark.parametrize("error", [PineconeInputError("no key"), PineconePermanentError("401", status_code=401)])
def test_a_permanent_error_ends_at_once(error: PineconeError) -> None:
    assert wait().step(error, 1000.0)["end"] == "refused"  # type: ignore[index]


@pytest.mark.parametrize(("interval", "pause"), [(None, 60.0), (5.0, 60.0), (300.0, 300.0)])
def test_a_rescheduled_poke_pauses_a_minute_or_more(interval: float | None, pause: float) -> None:
    for outcome in (backup("Initializing"), ERRORS[0]):
        step = wait(rescheduled=True, poke_interval=interval).step(outcome, 1001.0)
        assert step.seconds == pause  # type: ignore[union-attr]


def test_only_what_changed_is_news() -> None:
    decide = wait()
    said = [decide.step(outcome, 1000.0).news for outcome in map(backup, ["Initializing"] * 3 + ["Pending"])]  # type: ignore[union-attr]
    assert [bool(news) for news in said] == [True, False, False, True]


def test_a_long_wait_says_little(time: Time) -> None:
    said: list[str] = []
    decide = Wait("b-1", started=time.now, deadline=time.now + 3600)
    end = polling.wait(decide, lambda: backup("Initializing"), said.append)
    assert end["end"] == "timeout"
    assert len(said) == 2


def test_looking_ends_with_a_look_that_began_late_enough(time: Time) -> None:
    began = time.now
    looked: list[float] = []
    assert polling.look_for(lambda: looked.append(time.now - began), print) is None
    assert looked[0] == 0
    assert looked[-1] == pytest.approx(polling.LOOK_FOR)


def test_looking_goes_on_through_blips_but_wants_one_good_last_look(time: Time) -> None:
    def broken() -> None:
        raise ERRORS[0]

    with pytest.raises(PineconeTransientError):
        polling.look_for(broken, print)
    answers = iter([ERRORS[0], None, ERRORS[2], "found"])

    def look() -> str | None:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert polling.look_for(look, print) == "found"


def test_the_earlier_of_both_timeouts_counts() -> None:
    assert polling.deadline(100.0, 50.0, None) == 150.0
    assert polling.deadline(100.0, 50.0, timedelta(seconds=20)) == 120.0
    assert polling.deadline(100.0, 50.0, timedelta(seconds=70)) == 150.0
