"""The questions about the backups of one index name: order, current index, newest Ready backup, previous backup."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_pinecone.api.models import BackupModel
from airflow_pinecone.errors import BackupCheckFailed
from airflow_pinecone.rules.history import Dated, current_index_id, newest_first, newest_ready, previous_ready

# Values of created_at and source_index_id that tell nothing. `...` stands for a missing field.
NOT_TIMES = [None, ..., "", "yesterday", 1_747_240_645]
NO_IDS = [None, ..., ""]


def backup(backup_id: str, created: Any = "2025-05-02T00:00:00.000000Z", **fields: Any) -> BackupModel:
    model: Any = {
        "backup_id": backup_id,
        "source_index_id": "i-1",
        "status": "Ready",
        "created_at": created,
        **fields,
    }
    for name in [name for name, value in model.items() if value is ...]:
        del model[name]
    return model  # type: ignore[no-any-return]


def day(number: int) -> str:
    return f"2025-05-{number:02}T00:00:00Z"


def ids(rows: list[Dated]) -> list[str]:
    return [row.backup["backup_id"] for row in rows]


# newest_first


def test_newest_first_sorts_by_time_then_by_id_and_puts_unknown_times_last() -> None:
    newest_to_oldest = [
        backup("a", day(3)),
        backup("c", day(2)),
        backup("b", day(2)),
        # The same time as above, with an offset.
        backup("a2", "2025-05-02T02:00:00+02:00"),
        backup("d", "0001-01-01T00:00:00Z"),
        backup("z", None),
        backup("y", "yesterday"),
    ]
    for order in itertools.permutations(newest_to_oldest):
        assert [row.backup for row in newest_first(order)] == newest_to_oldest


def test_newest_first_returns_the_times_in_utc() -> None:
    rows = newest_first(iter([backup("b", "2025-05-14T18:37:25+02:00"), backup("a", None)]))
    assert [row.created_at for row in rows] == [datetime(2025, 5, 14, 16, 37, 25, tzinfo=UTC), None]
    assert ids(rows) == ["b", "a"]
    assert newest_first([]) == []


# current_index_id


@pytest.mark.parametrize("status", ["Ready", "Initializing", "Failed", "InitializationFailed", "SomethingNew"])
def test_current_index_is_that_of_the_newest_backup_whatever_its_status(status: str) -> None:
    old = backup("old", day(1), source_index_id="i-0")
    new = backup("new", day(2), source_index_id="i-1", status=status)
    assert current_index_id([old, new]) == current_index_id([new, old]) == "i-1"
    assert current_index_id(iter([old])) == "i-0"


@pytest.mark.parametrize("created", NOT_TIMES)
def test_current_index_ignores_backups_without_a_time(created: Any) -> None:
    undated = backup("undated", created, source_index_id="i-9")
    assert current_index_id([undated]) is None
    assert current_index_id([undated, backup("dated", day(1), source_index_id="i-0")]) == "i-0"


@pytest.mark.parametrize("index_id", NO_IDS)
def test_current_index_is_unknown_if_the_newest_backup_has_no_index_id(index_id: Any) -> None:
    old = backup("old", day(1))
    new = backup("new", day(2), source_index_id=index_id)
    assert current_index_id([old, new]) is None
    assert current_index_id([]) is None


def test_current_index_of_two_backups_with_the_same_time_is_that_of_the_greater_id() -> None:
    first, second = backup("a", day(1), source_index_id="i-a"), backup("b", day(1), source_index_id="i-b")
    assert current_index_id([first, second]) == current_index_id([second, first]) == "i-b"


# newest_ready


def test_newest_ready_is_the_newest_ready_backup_of_the_current_index() -> None:
    earlier_index = backup("earlier index", day(1), source_index_id="i-0")
    older = backup("older", day(2))
    newest = backup("newest", day(3))
    running = backup("running", day(4), status="Initializing")
    failed = backup("failed", day(5), status="Failed")
    undated = backup("undated", None)
    for order in itertools.permutations([earlier_index, older, newest, running, failed, undated]):
        assert newest_ready(order) == newest
    assert newest_ready(iter([earlier_index])) == earlier_index


def test_newest_ready_ignores_earlier_indexes_while_the_current_one_has_no_ready_backup() -> None:
    earlier_index = backup("earlier index", day(1), source_index_id="i-0")
    for status in ("Initializing", "Failed"):
        assert newest_ready([earlier_index, backup("new", day(2), status=status)]) is None


@pytest.mark.parametrize("created", NOT_TIMES)
def test_newest_ready_ignores_backups_without_a_time(created: Any) -> None:
    undated, dated = backup("undated", created), backup("dated", day(1))
    assert newest_ready([undated]) is None
    assert newest_ready([undated, dated]) == dated
    assert newest_ready([]) is None


@pytest.mark.parametrize("index_id", NO_IDS)
def test_newest_ready_is_none_if_the_newest_backup_has_no_index_id(index_id: Any) -> None:
    """Without the id it is unknown which index has the name now, so no backup is known to be of it."""
    ready = backup("ready", day(1))
    unknown = backup("unknown", day(2), source_index_id=index_id)
    assert newest_ready([unknown]) is None
    assert newest_ready([ready, unknown]) is None
    assert newest_ready([ready, backup("unknown", day(2), source_index_id=index_id, status="Failed")]) is None
    # An older backup without the id does not matter.
    assert newest_ready([ready, backup("unknown", "2025-04-01T00:00:00Z", source_index_id=index_id)]) == ready


def test_newest_ready_of_two_backups_with_the_same_time_is_the_one_with_the_greater_id() -> None:
    first, second = backup("a", day(1)), backup("b", day(1))
    assert newest_ready([first, second]) == newest_ready([second, first]) == second
    other_index = backup("c", day(1), source_index_id="i-2")
    assert newest_ready([first, second, other_index]) == other_index


# previous_ready

OWN = "2025-05-02T00:00:00.000000Z"


def test_previous_is_the_newest_earlier_ready_backup_of_the_same_index() -> None:
    own = backup("own", OWN)
    expected = backup("expected", "2025-05-01T23:59:59.999999999+00:00")
    others = [
        own,
        expected,
        backup("oldest", "2025-04-01T00:00:00Z"),
        backup("another index", "2025-05-01T23:59:59.9999995Z", source_index_id="i-0"),
        backup("failed", "2025-05-01T23:59:59.9999995Z", status="Failed"),
        backup("running", "2025-05-01T23:59:59.9999995Z", status="Initializing"),
        backup("later", "2025-05-02T00:00:00.000001Z"),
        backup("at the same time", OWN),
        backup("undated", None),
    ]
    assert previous_ready(own, others) == previous_ready(own, others[::-1]) == expected
    assert previous_ready(own, iter(others[1:])) == expected


@pytest.mark.parametrize("own_id", ["a", "c"])
def test_previous_of_two_with_the_same_time_is_the_one_with_the_greater_id(own_id: str) -> None:
    others = [backup("b1", day(1)), backup("b2", day(1))]
    assert previous_ready(backup(own_id, OWN), others) == previous_ready(backup(own_id, OWN), others[::-1]) == others[1]


@pytest.mark.parametrize("status", ["Ready", "Initializing", "Failed"])
def test_previous_does_not_depend_on_the_status_of_the_backup_itself(status: str) -> None:
    earlier = backup("earlier", day(1))
    assert previous_ready(backup("own", OWN, status=status), [earlier]) == earlier


@pytest.mark.parametrize(
    "others",
    [
        [],
        [backup("own", OWN)],
        [backup("other", None, source_index_id="i-0")],
        [backup("other", None, source_index_id=...)],
        [backup("other", day(1), status="Failed")],
        [backup("other", None, status="Failed")],
        [backup("other", OWN)],
        [backup("other", day(3))],
    ],
)
def test_previous_is_none_if_no_ready_backup_of_the_index_is_earlier(others: list[BackupModel]) -> None:
    assert previous_ready(backup("own", OWN), others) is None


def test_previous_does_not_need_the_time_of_the_only_backup() -> None:
    own = backup("own", None)
    assert previous_ready(own, [own]) is None


@pytest.mark.parametrize("created", NOT_TIMES)
def test_previous_is_an_error_if_the_time_of_the_backup_is_unknown(created: Any) -> None:
    with pytest.raises(BackupCheckFailed, match=r"own .*created_at is missing or invalid"):
        previous_ready(backup("own", created), [backup("other", day(1))])


@pytest.mark.parametrize("created", NOT_TIMES)
def test_previous_is_an_error_if_the_time_of_the_only_candidates_is_unknown(created: Any) -> None:
    """They may be earlier, so it is unknown whether this is the first backup."""
    undated = [backup("b-1", created), backup("b-2", created)]
    for others in (undated, [*undated, backup("later", day(3))]):
        with pytest.raises(BackupCheckFailed, match=r"own .*created_at of b-2, b-1 is missing or invalid"):
            previous_ready(backup("own", OWN), others)


@pytest.mark.parametrize("index_id", NO_IDS)
def test_previous_is_an_error_if_the_index_of_the_backup_is_unknown(index_id: Any) -> None:
    others = [backup("other", day(1)), backup("unknown", day(1), source_index_id=index_id)]
    with pytest.raises(BackupCheckFailed, match=r"own .*source_index_id is missing"):
        previous_ready(backup("own", OWN, source_index_id=index_id), others)
