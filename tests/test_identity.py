"""The mark by which a backup knows the task that asked for it."""

import re
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pinecone.identity import DESCRIPTION_LENGTH, Origin, default_name, describe, find, made_here, origin

ORIGIN = Origin("etl", "scheduled__2025-05-14", "backup", -1, "2025-05-14T16:37:25.625540+00:00", 1)
LEGAL = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")

# A busy machine is no failure.
at_leisure = settings(deadline=None)

ids = st.text(max_size=300)
origins = st.builds(Origin, ids, ids, ids, st.integers(-1, 9999), ids, st.integers(1, 99))
any_time = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def task(try_number=1, max_tries=2, map_index=-1, started=datetime(2025, 5, 14, 16, 37, tzinfo=UTC), **ids):
    """The context of a try, as far as it matters here."""
    ti = {"dag_id": "etl", "run_id": "manual__1", "task_id": "backup"} | ids
    instance = SimpleNamespace(**ti, try_number=try_number, max_tries=max_tries, map_index=map_index)
    return {"ti": instance, "dag_run": SimpleNamespace(start_date=started)}


# The mark


@at_leisure
@given(origins, origins)
def test_two_origins_have_two_marks(one, other):
    assert (one.mark == other.mark) == (one == other)


@pytest.mark.parametrize(
    "change",
    [{"dag_id": "b"}, {"run_id": "b"}, {"task_id": "b"}, {"map_index": 0}, {"run_started": "b"}, {"first_try": 2}],
)
def test_each_field_counts(change):
    assert ORIGIN._replace(**change).mark != ORIGIN.mark


def test_ids_that_run_into_each_other_are_told_apart():
    assert ORIGIN._replace(dag_id="ab", run_id="c").mark != ORIGIN._replace(dag_id="a", run_id="bc").mark


def test_the_mark_is_the_same_in_every_version():
    """A retry after an upgrade of this package must find the backup of the try before it."""
    assert ORIGIN.mark == "[airflow-pinecone 90177680dfff23fb16c75484b2112d02]"


# The chain of tries


@at_leisure
@given(st.integers(0, 20), st.integers(0, 20))
def test_all_tries_of_a_chain_have_one_origin(earlier_tries, retries):
    first = earlier_tries + 1
    max_tries = earlier_tries + retries  # as Airflow sets it at first, and when it clears
    chain = [origin(task(number, max_tries), retries) for number in range(first, first + retries + 1)]
    assert {made_by.first_try for made_by in chain} == {first}
    assert len({made_by.mark for made_by in chain}) == 1


@at_leisure
@given(st.integers(1, 20), st.integers(0, 20))
def test_a_clear_begins_another_chain(cleared_after, retries):
    before = origin(task(cleared_after, max(retries, cleared_after - 1)), retries)
    after = origin(task(cleared_after + 1, cleared_after + retries), retries)
    assert after.first_try == cleared_after + 1
    assert before.mark != after.mark


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "other"},
        {"run_id": "manual__2"},
        {"task_id": "other"},
        {"map_index": 0},
        {"started": datetime(2025, 5, 14, 16, 37, 0, 1, tzinfo=UTC)},
        {"started": None},
    ],
    ids=str,
)
def test_two_tasks_runs_instances_and_airflows_never_share(other):
    assert origin(task(**other), 2).mark != origin(task(), 2).mark


def test_the_time_zone_in_which_a_run_start_is_told_does_not_matter():
    elsewhere = datetime(2025, 5, 14, 16, 37, tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))
    assert origin(task(started=elsewhere), 2) == origin(task(), 2)


def test_no_retries_and_no_map_index():
    made_by = origin(task(max_tries=0, map_index=None), None)
    assert (made_by.first_try, made_by.map_index) == (1, -1)


# The description


@at_leisure
@given(st.none() | st.text(max_size=700), origins)
def test_a_description_is_bounded_and_ends_with_the_mark(words, made_by):
    description = describe(words, made_by)
    assert len(description) <= DESCRIPTION_LENGTH
    assert description.endswith(" " + made_by.mark)
    found, failed = find([backup(description)], made_by)
    assert found is not None
    assert failed == []


def test_a_description_tells_where_the_backup_came_from():
    assert describe("before the reindex\n", ORIGIN) == (
        f"before the reindex | By Airflow: dag etl, run scheduled__2025-05-14, task backup {ORIGIN.mark}"
    )
    assert describe(None, ORIGIN).startswith("By Airflow: dag etl")
    assert describe("  ", ORIGIN) == describe("", ORIGIN) == describe(None, ORIGIN)
    assert "task backup, map index 7 [" in describe(None, ORIGIN._replace(map_index=7))


@pytest.mark.parametrize("length", range(380, 420))
def test_the_words_of_the_user_are_cut_first(length):
    description = describe("w" * length, ORIGIN)
    assert description.endswith(describe(None, ORIGIN))
    assert description.startswith("www")
    assert len(description) <= DESCRIPTION_LENGTH
    assert ("..." in description) == (len(f"{'w' * length} | {describe(None, ORIGIN)}") > DESCRIPTION_LENGTH)


def test_ids_are_cut_before_the_mark_is():
    made_by = ORIGIN._replace(dag_id="d" * 250, run_id="r" * 250, task_id="t" * 250)
    description = describe("words", made_by)
    assert description.startswith("By Airflow: dag ddd")
    assert len(description) == DESCRIPTION_LENGTH
    assert description.endswith("... " + made_by.mark)


def test_a_mark_in_the_words_of_a_user_is_no_mark():
    other = ORIGIN._replace(run_id="other")
    assert find([backup(describe(f"like {ORIGIN.mark}", other))], ORIGIN) == (None, [])


# The name


@at_leisure
@given(st.text(max_size=100) | st.from_regex(r"[a-z0-9][a-z0-9-]{0,44}", fullmatch=True), any_time)
def test_a_default_name_is_legal_in_every_version(index_name, now):
    name = default_name(index_name, now)
    assert LEGAL.fullmatch(name)
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
def test_a_default_name_is_readable(index_name, name):
    now = datetime(2025, 5, 14, 18, 37, 25, tzinfo=timezone(timedelta(hours=2)))
    assert default_name(index_name, now) == name


# Finding


def backup(description, status="Ready", backup_id="b-1", **fields):
    return {"backup_id": backup_id, "status": status, "description": description, **fields}


@pytest.mark.parametrize("status", ["Ready", "Initializing", "Pending", "SomethingNew"])
def test_the_backup_of_the_chain_is_found(status):
    ours = backup(describe("words", ORIGIN), status, "b-2")
    others = [backup(describe("words", ORIGIN._replace(run_id=run))) for run in ("b", "c")]
    assert find([others[0], ours, others[1]], ORIGIN) == (ours, [])


@pytest.mark.parametrize("status", ["Failed", "InitializationFailed"])
def test_a_failed_backup_is_not_taken_up(status):
    failed = backup(describe(None, ORIGIN), status)
    assert find([failed], ORIGIN) == (None, [failed])
    ready = backup(describe(None, ORIGIN), "Ready", "b-2")
    assert find([failed, ready], ORIGIN) == (ready, [failed])


@pytest.mark.parametrize("description", [None, "", " ", "words", 5, [], {}, "[airflow-pinecone ]", ORIGIN.mark[:-1]])
def test_backups_of_others_are_let_alone(description):
    bare = backup(None)
    del bare["description"]
    assert find([backup(description), bare], ORIGIN) == (None, [])
    assert find([], ORIGIN) == (None, [])


def test_white_space_that_somebody_added_does_no_harm():
    assert find([backup(describe(None, ORIGIN) + " \n")], ORIGIN)[0] is not None


def test_a_generator_will_do():
    assert find((b for b in [backup(describe(None, ORIGIN))]), ORIGIN)[0] is not None


# Ours or not


@at_leisure
@given(st.none() | st.text(max_size=700), origins)
def test_whatever_task_made_it_a_backup_is_known_as_ours(words, made_by):
    assert made_here(backup(describe(words, made_by)))
    assert made_here(backup(describe(words, made_by) + " \n"))


@pytest.mark.parametrize(
    "description",
    [
        *(None, "", " ", "words", 5, [], {}),
        "[airflow-pinecone ]",
        ORIGIN.mark[:-1],
        ORIGIN.mark + " copied by a person",
        ORIGIN.mark.upper(),
        ORIGIN.mark.replace("airflow-pinecone", "other"),
        ORIGIN.mark.replace("9", "99", 1),
    ],
)
def test_a_backup_of_others_is_not_known_as_ours(description):
    bare = backup(None)
    del bare["description"]
    assert not made_here(bare)
    assert not made_here(backup(description))
