"""The mark by which a backup is matched with the task that created it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pinecone.rules.identity import (
    DESCRIPTION_LENGTH,
    Creator,
    Origin,
    backups_of,
    creator_of,
    default_name,
    describe,
    has_mark,
    hold_of,
)
from airflow_pinecone.runtime.tries import first_try_of, start_try

ORIGIN = Origin("etl", "scheduled__2025-05-14", "backup", -1, "2025-05-14T16:37:25.625540+00:00", 1)
VALID_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
RUN_STARTED_AT = datetime(2025, 5, 14, 16, 37, tzinfo=UTC)
HOLD = datetime(2025, 6, 1, tzinfo=UTC)

# An example can take long on a busy machine.
without_deadline = settings(deadline=None)

ids = st.text(max_size=300)
origins = st.builds(Origin, ids, ids, ids, st.integers(-1, 9999), ids, st.integers(1, 99))
# Ids that Airflow accepts.
key = st.from_regex(r"[\w.-]{0,99}[\w-]", fullmatch=True)
run_id = st.from_regex(r"[A-Za-z0-9_.~:+-]{1,100}", fullmatch=True)
airflow_origins = st.builds(Origin, key, run_id, key, st.integers(-1, 9999), ids, st.integers(1, 99))
any_time = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def context(
    try_number: int = 1,
    max_tries: int = 2,
    map_index: int | None = -1,
    started: datetime | None = RUN_STARTED_AT,
    **ids: str,
) -> Any:
    """Make the context of a try, with the fields that the origin is read from."""
    ti_ids = {"dag_id": "etl", "run_id": "manual__1", "task_id": "backup"} | ids
    ti = SimpleNamespace(**ti_ids, try_number=try_number, max_tries=max_tries, map_index=map_index)
    return {"ti": ti, "dag_run": SimpleNamespace(start_date=started)}


def origin_in(context: Any) -> Origin:
    return start_try(context, 0.0).origin


def backup(description: Any, status: str = "Ready", backup_id: str = "b-1") -> Any:
    """Make a backup. The description `...` stands for a missing field."""
    model = {"backup_id": backup_id, "status": status}
    return model if description is ... else {**model, "description": description}


# The mark


@without_deadline
@given(origins, origins)
def test_two_origins_have_different_marks(one: Origin, other: Origin) -> None:
    assert (one.mark == other.mark) == (one == other)


def test_ids_with_the_same_concatenation_have_different_marks() -> None:
    assert ORIGIN._replace(dag_id="ab", run_id="c").mark != ORIGIN._replace(dag_id="a", run_id="bc").mark


def test_mark_does_not_change_between_versions() -> None:
    """A retry after an upgrade of this package must find the backup of the earlier try."""
    assert ORIGIN.mark == "[airflow-pinecone 90177680dfff23fb16c75484b2112d02]"


# The origin


@without_deadline
@given(st.integers(0, 20), st.integers(0, 20))
def test_all_tries_until_a_clear_have_one_origin(earlier_tries: int, retries: int) -> None:
    # Airflow sets it so, at first and when the task is cleared.
    max_tries = earlier_tries + retries
    tries = range(earlier_tries + 1, max_tries + 2)
    assert len({origin_in(context(try_number, max_tries)).mark for try_number in tries}) == 1
    assert first_try_of(context(max_tries=max_tries), retries) == earlier_tries + 1


@without_deadline
@given(st.integers(1, 20), st.integers(0, 20))
def test_a_cleared_task_has_a_new_origin(cleared_after: int, retries: int) -> None:
    before = origin_in(context(cleared_after, max(retries, cleared_after - 1)))
    after = origin_in(context(cleared_after + 1, cleared_after + retries))
    assert before.mark != after.mark


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "other"},
        {"run_id": "manual__2"},
        {"task_id": "other"},
        {"map_index": 0},
        {"started": RUN_STARTED_AT + timedelta(microseconds=1)},
        {"started": None},
    ],
    ids=str,
)
def test_tasks_runs_mapped_instances_and_installations_do_not_share_a_mark(other: dict[str, Any]) -> None:
    assert origin_in(context(**other)).mark != origin_in(context()).mark


def test_origin_does_not_depend_on_the_time_zone_of_the_run_start() -> None:
    same_moment = RUN_STARTED_AT.astimezone(timezone(timedelta(hours=9)))
    assert origin_in(context(started=same_moment)) == origin_in(context())


def test_origin_without_retries_and_map_index() -> None:
    without = context(max_tries=0, map_index=None)
    assert (first_try_of(without, None), origin_in(without).map_index) == (1, -1)


# The description


@without_deadline
@given(st.none() | st.text(max_size=700), origins)
def test_description_is_bounded_and_ends_with_the_mark(words: str | None, origin: Origin) -> None:
    description = describe(words, origin)
    assert len(description) <= DESCRIPTION_LENGTH
    assert description.endswith(" " + origin.mark)
    for model in (backup(description), backup(description + " \n")):
        assert backups_of(origin, [model]) == (model, [])
        assert has_mark(model)


def test_description_names_the_origin_in_the_backup() -> None:
    description = describe("before the reindex\n", ORIGIN)
    assert description.startswith("before the reindex | ")
    assert description.endswith(f"dag etl, run scheduled__2025-05-14, task backup {ORIGIN.mark}")
    assert description.removeprefix("before the reindex | ") == describe(None, ORIGIN)
    assert describe("  ", ORIGIN) == describe("", ORIGIN) == describe(None, ORIGIN)
    assert "task backup, map index 7 [" in describe(None, ORIGIN._replace(map_index=7))


def test_words_of_the_user_are_truncated_first() -> None:
    source = describe(None, ORIGIN)
    room = DESCRIPTION_LENGTH - len(source) - len(" | ")
    assert describe("w" * room, ORIGIN) == f"{'w' * room} | {source}"
    for length in range(room + 1, room + 10):
        assert describe("w" * length, ORIGIN) == f"{'w' * (room - 3)}... | {source}"


def test_ids_are_truncated_before_the_mark() -> None:
    origin = ORIGIN._replace(dag_id="d" * 250, run_id="r" * 250, task_id="t" * 250)
    description = describe("words", origin)
    assert "words" not in description
    assert "dag ddd" in description
    assert len(description) == DESCRIPTION_LENGTH
    assert description.endswith("... " + origin.mark)


def test_mark_within_the_words_of_a_user_is_ignored() -> None:
    other = ORIGIN._replace(run_id="other")
    assert backups_of(ORIGIN, [backup(describe(f"like {ORIGIN.mark}", other))]) == (None, [])


# The name


@without_deadline
@given(st.text(max_size=100) | st.from_regex(r"[a-z0-9][a-z0-9-]{0,44}", fullmatch=True), any_time)
def test_default_name_is_valid_in_every_version(index_name: str, now: datetime) -> None:
    name = default_name(index_name, now)
    assert VALID_NAME.fullmatch(name)
    assert name.endswith(now.strftime("%Y%m%d-%H%M%S"))


@pytest.mark.parametrize(
    ("index_name", "name"),
    [
        ("docs-example", "docs-example-20250514-163725"),
        ("Docs_Example!", "docs-example-20250514-163725"),
        ("x" * 45, "x" * 29 + "-20250514-163725"),
        ("x" * 28 + "-y", "x" * 28 + "-20250514-163725"),
        ("---", "20250514-163725"),
        ("", "20250514-163725"),
    ],
)
def test_default_name_has_the_index_and_the_time_in_utc(index_name: str, name: str) -> None:
    now = datetime(2025, 5, 14, 18, 37, 25, tzinfo=timezone(timedelta(hours=2)))
    assert default_name(index_name, now) == name


# find


@pytest.mark.parametrize("status", ["Ready", "Initializing", "Pending", "SomethingNew"])
def test_find_returns_the_backup_of_the_origin(status: str) -> None:
    ours = backup(describe("words", ORIGIN), status, "b-2")
    others = [backup(describe("words", ORIGIN._replace(run_id=run))) for run in ("b", "c")]
    found = backups_of(ORIGIN, iter([others[0], ours, others[1]]))
    assert (found.usable, found.failed) == (ours, [])
    assert backups_of(ORIGIN, []) == (None, [])


def test_ready_backup_is_preferred_if_there_are_two() -> None:
    running, ready = backup(ORIGIN.mark, "Initializing", "b-1"), backup(ORIGIN.mark, "Ready", "b-2")
    assert backups_of(ORIGIN, [running, ready]).usable == ready
    assert backups_of(ORIGIN, [ready, running]).usable == ready


@pytest.mark.parametrize("status", ["Failed", "InitializationFailed"])
def test_find_separates_failed_backups(status: str) -> None:
    failed = backup(describe(None, ORIGIN), status)
    assert backups_of(ORIGIN, [failed]) == (None, [failed])
    ready = backup(describe(None, ORIGIN), "Ready", "b-2")
    found = backups_of(ORIGIN, [failed, ready])
    assert (found.usable, found.failed) == (ready, [failed])


@pytest.mark.parametrize(
    "description",
    [
        *(..., None, "", " ", "words", 5, [], {}),
        "[airflow-pinecone ]",
        ORIGIN.mark[:-1],
        ORIGIN.mark.upper(),
        ORIGIN.mark.replace("airflow-pinecone", "other"),
        ORIGIN.mark.replace("9", "99", 1),
        "[hold until 2025-06-01T00:00:00Z]",
        "Created by Airflow: dag etl, run r, task backup",
        *(text + " copied by a person" for text in (ORIGIN.mark, describe(None, ORIGIN), describe(None, ORIGIN, HOLD))),
    ],
)
def test_backup_of_others_has_no_mark_hold_or_creator(description: Any) -> None:
    model = backup(description)
    assert not has_mark(model)
    assert hold_of(model, RUN_STARTED_AT) is None
    assert creator_of(model) is None
    assert backups_of(ORIGIN, [model]) == (None, [])


# The hold


def test_description_has_the_hold_before_the_mark() -> None:
    description = describe("words", ORIGIN, HOLD)
    assert description.startswith("words | Created by Airflow: dag etl")
    assert description.endswith(f", task backup [hold until 2025-06-01T00:00:00Z] {ORIGIN.mark}")


@without_deadline
@given(st.none() | st.text(max_size=700), origins, any_time, st.integers(-2, 2))
def test_hold_is_never_truncated(words: str | None, origin: Origin, end: datetime, seconds: int) -> None:
    end = end.replace(microsecond=0)
    now = end + timedelta(seconds=seconds)
    description = describe(words, origin, end)
    assert len(description) <= DESCRIPTION_LENGTH
    model = backup(description + " \n")
    assert hold_of(model, now) == (end if now < end else None)
    assert backups_of(origin, [model]).usable == model
    assert has_mark(model)


@pytest.mark.parametrize(
    "description",
    [
        ORIGIN.mark,
        describe(None, ORIGIN),
        # Only a text in the right place is a hold.
        describe("[hold until 2025-06-01T00:00:00Z]", ORIGIN),
        describe(f"[hold until 2025-06-01T00:00:00Z] {ORIGIN.mark}", ORIGIN),
        f"[hold until 2025-06-01] {ORIGIN.mark}",
    ],
)
def test_backup_without_a_hold(description: str) -> None:
    assert hold_of(backup(description), RUN_STARTED_AT) is None


def test_hold_with_an_impossible_date_does_not_end() -> None:
    end = hold_of(backup(f"[hold until 2025-02-31T00:00:00Z] {ORIGIN.mark}"), RUN_STARTED_AT)
    assert end is not None
    assert end.year == 9999


# The creator


@without_deadline
@given(st.none() | st.text(max_size=700), airflow_origins, st.none() | st.just(HOLD))
def test_creator_is_read_from_the_description(words: str | None, origin: Origin, hold: datetime | None) -> None:
    model = backup(describe(words, origin, hold))
    is_truncated = len(describe(None, origin, hold)) == DESCRIPTION_LENGTH
    creator = creator_of(model)
    assert creator == Creator(*origin[:4]) or (is_truncated and creator is None)


def test_creator_whose_ids_are_truncated_is_unknown() -> None:
    room = DESCRIPTION_LENGTH - len(describe(None, ORIGIN._replace(run_id="")))
    for length in range(room - 20, room + 30):
        origin = ORIGIN._replace(run_id="r" * length)
        expected = Creator(*origin[:4]) if length <= room else None
        assert creator_of(backup(describe(None, origin))) == expected


@pytest.mark.parametrize(
    "description",
    [
        ORIGIN.mark,
        f"Not Created by Airflow: dag etl, run r, task backup {ORIGIN.mark}",
        f"Created by Airflow: dag etl, run r, task backup, and more {ORIGIN.mark}",
    ],
)
def test_creator_in_another_form_is_unknown(description: str) -> None:
    assert creator_of(backup(description)) is None


def test_creator_in_the_words_of_a_user_is_ignored() -> None:
    words = "Created by Airflow: dag other, run r, task other"
    assert creator_of(backup(describe(words, ORIGIN))) == Creator(*ORIGIN[:4])
    assert creator_of(backup(describe(f"{words} | {words}", ORIGIN, HOLD))) == Creator(*ORIGIN[:4])
