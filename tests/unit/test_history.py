"""The backups of one index name: their order, their index, their age, and the newest and the previous one."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_pinecone.api.models import BackupModel
from airflow_pinecone.errors import BackupCheckFailed
from airflow_pinecone.rules.history import CLOCK_SKEW, Age, BackupHistory, age_of

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


def current_index_id(*backups: BackupModel) -> str | None:
    """Return the current index of a history, which does not depend on the order of the backups."""
    (index_id,) = {BackupHistory(order).current_index_id for order in itertools.permutations(backups)}
    return index_id


def newest_ready(*backups: BackupModel) -> BackupModel | None:
    newest = [BackupHistory(order).newest_ready for order in itertools.permutations(backups)]
    assert all(one == newest[0] for one in newest)
    return newest[0]


def previous(own: BackupModel, others: list[BackupModel]) -> BackupModel | None:
    first, second = (BackupHistory(order).previous(own) for order in (others, others[::-1]))
    assert first == second
    return first


# The order


def test_newest_is_first_and_unknown_times_are_last() -> None:
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
        history = BackupHistory(order)
        assert [row.backup for row in history.rows] == newest_to_oldest
        assert list(history.undated) == newest_to_oldest[-2:]
    assert BackupHistory(newest_to_oldest).rows[3].created_at == datetime(2025, 5, 2, tzinfo=UTC)
    assert BackupHistory([]).rows == ()


# The current index


@pytest.mark.parametrize("status", ["Ready", "Initializing", "Failed", "InitializationFailed", "SomethingNew"])
def test_current_index_is_that_of_the_newest_backup_whatever_its_status(status: str) -> None:
    old = backup("old", day(1), source_index_id="i-0")
    new = backup("new", day(2), source_index_id="i-1", status=status)
    assert current_index_id(old, new) == "i-1"
    assert current_index_id(old) == "i-0"
    assert current_index_id() is None
    history = BackupHistory([old, new])
    assert [row.backup for row in history.current] == [new]
    assert [row.backup for row in history.earlier] == [old]


@pytest.mark.parametrize("created", NOT_TIMES)
def test_current_index_is_unknown_if_a_backup_without_a_time_may_be_of_a_newer_one(created: Any) -> None:
    old, undated = backup("old", day(1), source_index_id="i-0"), backup("undated", created, source_index_id="i-9")
    assert current_index_id(undated) is None
    assert current_index_id(undated, old) is None
    history = BackupHistory([old, undated])
    assert (history.possibly_newer, history.newest_ready, history.current) == ((undated,), None, ())
    assert "created_at of undated is missing or invalid" in history.why_unknown


@pytest.mark.parametrize("index_id", ["i-0", "i-1"])
def test_backup_without_a_time_does_not_matter_if_its_index_has_another_one(index_id: str) -> None:
    """The names of indexes are reused one after the other, so that index is not newer than all others."""
    old, new = backup("old", day(1), source_index_id="i-0"), backup("new", day(2), source_index_id="i-1")
    undated = backup("undated", None, source_index_id=index_id)
    assert current_index_id(old, new, undated) == "i-1"
    assert newest_ready(old, new, undated) == new
    assert BackupHistory([old, new, undated]).why_unknown == ""


@pytest.mark.parametrize("index_id", NO_IDS)
def test_current_index_is_unknown_if_the_newest_backup_has_no_index_id(index_id: Any) -> None:
    new = backup("new", day(2), source_index_id=index_id)
    for status in ("Ready", "Failed"):
        assert current_index_id(backup("old", day(1)), new | {"status": status}) is None
    assert newest_ready(new) is newest_ready(new, backup("old", day(1))) is None
    # An older backup without the id does not matter.
    ready = backup("ready", day(3))
    assert newest_ready(ready, new) == ready


def test_of_two_backups_with_the_same_time_the_one_with_the_greater_id_is_newer() -> None:
    first, second = backup("a", day(1)), backup("b", day(1))
    assert newest_ready(first, second) == second
    other_index = backup("c", day(1), source_index_id="i-2")
    assert newest_ready(first, second, other_index) == other_index


# The newest Ready backup


def test_newest_ready_is_the_newest_ready_backup_of_the_current_index() -> None:
    earlier_index = backup("earlier index", day(1), source_index_id="i-0")
    older = backup("older", day(2))
    newest = backup("newest", day(3))
    running = backup("running", day(4), status="Initializing")
    failed = backup("failed", day(5), status="Failed")
    undated = backup("undated", None)
    assert newest_ready(earlier_index, older, newest, running, failed, undated) == newest
    assert newest_ready(earlier_index) == earlier_index
    for unusable in (running, failed):
        assert newest_ready(earlier_index, unusable) is None


# The age

NOW = datetime(2025, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "age"),
    [
        (NOW - timedelta(days=1), Age(86400.0)),
        (NOW, Age(0.0)),
        (NOW + CLOCK_SKEW, Age(0.0)),
        (NOW + CLOCK_SKEW + timedelta(seconds=1), Age(None, in_future=True)),
        (None, Age(None)),
    ],
)
def test_age_is_known_unknown_or_in_the_future(moment: datetime | None, age: Age) -> None:
    assert age_of(moment, NOW) == age
    created = moment.isoformat() if moment else None
    own = backup("own", created)
    assert BackupHistory([own]).age(own, NOW) == age
    # Only a known age can be below a limit.
    assert age.is_below(100_000) == (age.seconds is not None)
    assert not age.is_below(0.0)


# The previous backup

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
    assert previous(own, others) == previous(own, others[1:]) == expected


def test_previous_of_the_first_backup_of_an_index_is_that_of_the_earlier_index() -> None:
    """A recreated index must not look like one that never had a backup."""
    own = backup("own", OWN)
    oldest = backup("oldest", "2025-03-01T00:00:00Z", source_index_id="i-0")
    earlier = backup("earlier", "2025-04-01T00:00:00Z", source_index_id="i-0")
    failed = backup("failed", "2025-04-02T00:00:00Z", source_index_id="i-0", status="Failed")
    assert previous(own, [own, oldest, earlier, failed]) == earlier
    with pytest.raises(BackupCheckFailed, match="created_at of unknown is missing or invalid"):
        previous(own, [own, backup("unknown", None, source_index_id="i-0")])


@pytest.mark.parametrize("own_id", ["a", "c"])
def test_previous_of_two_with_the_same_time_is_the_one_with_the_greater_id(own_id: str) -> None:
    others = [backup("b1", day(1)), backup("b2", day(1))]
    assert previous(backup(own_id, OWN), others) == others[1]


@pytest.mark.parametrize("status", ["Ready", "Initializing", "Failed"])
def test_previous_does_not_depend_on_the_status_of_the_backup_itself(status: str) -> None:
    earlier = backup("earlier", day(1))
    assert previous(backup("own", OWN, status=status), [earlier]) == earlier


@pytest.mark.parametrize(
    "others",
    [
        [],
        [backup("own", OWN)],
        [backup("other", day(1), status="Failed")],
        [backup("other", None, status="Failed")],
        [backup("other", OWN)],
        [backup("other", day(3))],
        [backup("other", day(3), source_index_id="i-0")],
    ],
)
def test_previous_is_none_if_no_ready_backup_is_earlier(others: list[BackupModel]) -> None:
    assert previous(backup("own", OWN), others) is None


def test_previous_does_not_need_the_time_of_the_only_backup() -> None:
    own = backup("own", None)
    assert previous(own, [own]) is None


@pytest.mark.parametrize("created", NOT_TIMES)
def test_previous_is_an_error_if_the_time_of_the_backup_is_unknown(created: Any) -> None:
    with pytest.raises(BackupCheckFailed, match=r"own .*created_at is missing or invalid"):
        previous(backup("own", created), [backup("other", day(1))])


@pytest.mark.parametrize("created", NOT_TIMES)
def test_previous_is_an_error_if_the_time_of_the_only_candidates_is_unknown(created: Any) -> None:
    """They may be earlier, so it is unknown whether this is the first backup."""
    undated = [backup("b-1", created), backup("b-2", created)]
    for others in (undated, [*undated, backup("later", day(3))]):
        with pytest.raises(BackupCheckFailed, match=r"own .*created_at of b-2, b-1 is missing or invalid"):
            previous(backup("own", OWN), others)


@pytest.mark.parametrize("index_id", NO_IDS)
def test_previous_is_an_error_if_the_index_of_the_backup_is_unknown(index_id: Any) -> None:
    others = [backup("other", day(1)), backup("unknown", day(1), source_index_id=index_id)]
    with pytest.raises(BackupCheckFailed, match=r"own .*source_index_id is missing"):
        previous(backup("own", OWN, source_index_id=index_id), others)


# The index was deleted, as version 2026-07 says


def test_backup_of_a_deleted_index_does_not_belong_to_the_index_that_has_its_name_now() -> None:
    deleted = [
        backup("old", day(9), source_index_id="i-0", source_index_deleted_at=day(10)),
        backup("undated", None, source_index_id="i-00", source_index_deleted_at=day(10)),
    ]
    for backups in itertools.permutations(deleted):
        history = BackupHistory(backups)
        assert (history.current_index_id, history.newest_ready, history.possibly_newer) == (None, None, ())
        assert {row.backup["backup_id"] for row in history.earlier} == {"old", "undated"}
    for backups in itertools.permutations([*deleted, backup("own", day(1))]):
        assert BackupHistory(backups).newest_ready == backup("own", day(1))


@pytest.mark.parametrize("deleted_at", [None, ..., "", "yesterday"])
def test_without_a_time_of_deletion_the_index_exists(deleted_at: Any) -> None:
    own = backup("own", day(1), source_index_deleted_at=deleted_at)
    assert BackupHistory([own]).newest_ready == own


def test_backup_of_a_deleted_index_can_be_restored_while_no_index_has_its_name() -> None:
    deleted = backup("old", day(9), source_index_deleted_at=day(10))
    assert BackupHistory([deleted], index_exists=False).newest_ready == deleted
