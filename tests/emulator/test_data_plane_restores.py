"""The records of a restored index, and changes to them."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
from support.clock import FakeClock
from support.emulator_client import Ask
from support.records import host_path, list_ids

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.emulator.damage import (
    Change,
    change_metadata_type,
    change_sparse_index,
    duplicate_record,
    empty_namespace,
    flip_bit,
    lose_namespace,
    lose_record,
    swap_records,
)

A = {"id": "a", "values": [0.5, 0.25], "metadata": {"n": 1, "price": 1.0, "new": True, "tags": ["x"], "text": "t"}}
B = {"id": "b", "values": [1.0, -2.0], "sparseValues": {"indices": [3, 9], "values": [0.5, 1.5]}}
Copy = dict[str, dict[str, Any]]


@pytest.fixture
def source(emulator: Emulator) -> str:
    emulator.add_index("source", dimension=2, records=0)
    emulator.add_records("source", [A, B])
    emulator.generate_records("source", 200, namespace="many")
    return "source"


def contents(emulator: Emulator, index_name: str) -> Copy:
    return {name: emulator.records(index_name, name) for name in emulator.namespaces(index_name)}


def back_up(ask: Ask, index_name: str) -> str:
    response = ask("POST", f"/indexes/{index_name}/backups", json={})
    assert response.status_code == 201
    return str(response.json()["backup_id"])


def restore(ask: Ask, backup_id: str, name: str = "restored") -> None:
    response = ask("POST", f"/backups/{backup_id}/create-index", json={"name": name})
    assert response.status_code == 202, response.text


def test_restored_records_are_those_of_the_backup(ask: Ask, emulator: Emulator, source: str) -> None:
    before = contents(emulator, source)
    backup_id = back_up(ask, source)
    emulator.add_records(source, [{**A, "values": [9, 9]}, {"id": "new", "values": [1, 1]}])
    emulator.add_records(source, [{"id": "new", "values": [1, 1]}], namespace="many")
    emulator.add_records(source, [{"id": "new", "values": [1, 1]}], namespace="new")
    restore(ask, backup_id)
    assert contents(emulator, "restored") == before
    emulator.add_records("restored", [{"id": "mine", "values": [1, 1]}], namespace="many")
    restore(ask, backup_id, "again")
    assert contents(emulator, "again") == before
    assert len(emulator.records(source, "many")) == 201
    assert emulator.backups[0]["record_count"] == 202


def without(name: str, record_id: str) -> Callable[[Copy], object]:
    return lambda records: records[name].pop(record_id)


def with_fields(name: str, record_id: str, **fields: Any) -> Callable[[Copy], object]:
    return lambda records: records[name][record_id].update(fields)


def metadata(**fields: Any) -> Callable[[Copy], object]:
    return lambda records: records[""]["a"]["metadata"].update(fields)


def swapped(records: Copy) -> None:
    one, other = records[""]["a"], records[""]["b"]
    records[""] = {"a": {**other, "id": "a"}, "b": {**one, "id": "b"}}


def duplicated(records: Copy) -> None:
    records[""]["c"] = {**records[""]["b"], "id": "c"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lose_record("", "a"), without("", "a")),
        (lose_record("many", "record-00000007"), without("many", "record-00000007")),
        (lose_namespace("many"), lambda records: records.pop("many")),
        (empty_namespace("many"), lambda records: records["many"].clear()),
        (flip_bit("", "a", 1, 31), with_fields("", "a", values=[0.5, -0.25])),
        (flip_bit("", "a", 0, 0), with_fields("", "a", values=[0.50000006, 0.25])),
        (
            change_sparse_index("", "b", 1, 10),
            with_fields("", "b", sparseValues={"indices": [3, 10], "values": [0.5, 1.5]}),
        ),
        (change_metadata_type("", "a", "n"), metadata(n="1")),
        (change_metadata_type("", "a", "price"), metadata(price="1.0")),
        (change_metadata_type("", "a", "new"), metadata(new=1)),
        (change_metadata_type("", "a", "text"), metadata(text=["t"])),
        (change_metadata_type("", "a", "tags"), metadata(tags='["x"]')),
        (swap_records("", "a", "b"), swapped),
        (duplicate_record("", "b", "c"), duplicated),
    ],
    ids=lambda value: value.__qualname__.partition(".")[0] if callable(value) else "",
)
def test_change_of_the_restored_copy(
    ask: Ask, emulator: Emulator, source: str, change: Change, expected: Callable[[Copy], object]
) -> None:
    before = contents(emulator, source)
    backup_id = back_up(ask, source)
    emulator.next_restore(change=change)
    restore(ask, backup_id)
    changed = copy.deepcopy(before)
    expected(changed)
    assert repr(changed) != repr(before)
    assert repr(contents(emulator, "restored")) == repr(changed)
    total = ask("POST", host_path(emulator, "restored") + "/describe_index_stats", json={}).json()["totalVectorCount"]
    assert total == sum(map(len, changed.values()))
    assert contents(emulator, source) == before
    restore(ask, backup_id, "unchanged")
    assert contents(emulator, "unchanged") == before


@pytest.mark.parametrize("bit", [0, 22, 31])
def test_flipped_bit_of_generated_and_sparse_values(ask: Ask, emulator: Emulator, bit: int) -> None:
    emulator.add_index("dense", dimension=8, records=1, namespaces=1)
    emulator.add_index("sparse", vector_type="sparse", metric="dotproduct", dimension=None, records=1, namespaces=1)
    for name in ("dense", "sparse"):
        emulator.next_restore(change=flip_bit("namespace-1", "record-00000000", 3, bit))
        restore(ask, back_up(ask, name), f"{name}-2")
        [before], [after] = (emulator.records(n, "namespace-1").values() for n in (name, f"{name}-2"))
        old, new = (each["values"] or each["sparseValues"]["values"] for each in (before, after))
        assert [a == b for a, b in zip(old, new, strict=True)] == [position != 3 for position in range(8)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lose_record("no", "a"), "has no namespace 'no'"),
        (lose_record("", "no"), "has no record 'no'"),
        (change_metadata_type("", "a", "no"), "no metadata field 'no'"),
        (lose_namespace("no"), "has no namespace 'no'"),
        (flip_bit("", "a", 2, 0), "has 2 values"),
        (flip_bit("", "a", 0, 32), "no bit 32"),
        (change_sparse_index("", "a", 0, 5), "has 0 sparse values"),
        (change_sparse_index("", "b", 2, 5), "has 2 sparse values"),
    ],
)
def test_change_of_what_is_not_there(ask: Ask, emulator: Emulator, source: str, change: Change, message: str) -> None:
    backup_id = emulator.add_backup(source)["backup_id"]
    emulator.next_restore(change=change)
    response = ask("POST", f"/backups/{backup_id}/create-index", json={"name": "restored"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_ARGUMENT")
    assert message in response.json()["error"]["message"]
    assert "restored" not in {index["name"] for index in emulator.indexes}
    assert emulator.restore_jobs == []
    restore(ask, backup_id)


def test_counts_that_a_backup_only_claims(ask: Ask, emulator: Emulator, source: str) -> None:
    claimed = emulator.add_backup(source, record_count=5, namespace_count=9)
    assert claimed["record_count"] == 5
    restore(ask, claimed["backup_id"])
    assert contents(emulator, "restored") == contents(emulator, source)


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        ({"record_count": 12}, {"": 10, "b": 2}),
        ({"record_count": 59}, {"": 49, "b": 10}),
        ({"record_count": 120}, {"": 100, "b": 20}),
        ({"record_count": 60, "namespace_count": 1}, {"": 60}),
        ({"record_count": 90, "namespace_count": 3}, {"": 50, "b": 10, "namespace-1": 30}),
        ({"record_count": 60, "namespace_count": ...}, {"": 50, "b": 10}),
        ({"record_count": 0}, {}),
    ],
)
def test_claimed_counts_of_generated_records_are_restored(
    ask: Ask, emulator: Emulator, claimed: dict[str, Any], expected: dict[str, int]
) -> None:
    emulator.add_index("generated", dimension=2, records=0)
    emulator.generate_records("generated", 50, seed=5)
    emulator.generate_records("generated", 10, namespace="b", seed=6)
    before = contents(emulator, "generated")
    restore(ask, emulator.add_backup("generated", **claimed)["backup_id"])
    after = contents(emulator, "restored")
    assert {name: len(records) for name, records in after.items()} == expected
    for name in before.keys() & after.keys():
        first = min(len(before[name]), len(after[name]))
        assert list(after[name].items())[:first] == list(before[name].items())[:first]


def test_claimed_counts_of_a_backup_without_an_index(ask: Ask, emulator: Emulator) -> None:
    restore(ask, emulator.add_backup("deleted", record_count=12, namespace_count=3)["backup_id"])
    assert [len(each) for each in contents(emulator, "restored").values()] == [4, 4, 4]


def test_records_are_behind_after_a_restore(ask: Ask, emulator: Emulator, source: str, clock: FakeClock) -> None:
    emulator.scenario.clock = clock
    emulator.scenario.restore_after, emulator.scenario.restored_records_visible_after = 60, 100
    restore(ask, back_up(ask, source))
    path = host_path(emulator, "restored")
    shown = []
    for seconds in (0, 59, 1, 10, 40, 49, 1, 100):
        clock.advance(seconds)
        total = ask("GET", path + "/describe_index_stats").json()["totalVectorCount"]
        listed = sum(len(list_ids(ask, path, namespace=name)) for name in ("", "many"))
        described = sum(each["record_count"] for each in ask("GET", path + "/namespaces").json()["namespaces"])
        assert total == listed == described
        shown.append(total)
    assert shown == [0, 0, 0, 20, 101, 199, 202, 202]


def test_pages_of_records_that_are_behind(ask: Ask, emulator: Emulator, source: str, clock: FakeClock) -> None:
    emulator.scenario.clock = clock
    path = host_path(emulator, source)
    ids = [f"record-{number:08d}" for number in range(200)]
    ask("POST", path + "/vectors/delete", json={"ids": [*ids[5:15], ids[199]], "namespace": "many"})
    emulator.add_records(
        source, [{"id": i, "values": [1, 1]} for i in ("record-000000305", "z", ids[7], ids[20])], namespace="many"
    )
    everything = list_ids(ask, path, namespace="many")
    assert everything == sorted({*ids[:5], *ids[15:199], "record-000000305", "z", ids[7]})
    emulator.scenario.restored_records_visible_after = 100
    restore(ask, back_up(ask, source))
    restored_at = clock.now
    path = host_path(emulator, "restored")
    for percent in (1, 5, 50, 99, 100):
        clock.advance(restored_at + percent - clock.now)
        shown = everything[: len(everything) * percent // 100]
        assert list_ids(ask, path, namespace="many", limit="7") == shown
        assert list_ids(ask, path, namespace="many", prefix=ids[20][:-1]) == [
            i for i in shown if i[:-1] == ids[20][:-1]
        ]


def test_page_of_many_records_that_are_behind(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    emulator.scenario.clock, emulator.scenario.restored_records_visible_after = clock, 100
    emulator.add_index("huge", dimension=2, records=0)
    emulator.generate_records("huge", 10**12)
    emulator.next_restore(change=lose_record("", "record-399999999998"))
    restore(ask, back_up(ask, "huge"))
    clock.advance(40)
    path = host_path(emulator, "restored")
    assert list_ids(ask, path, prefix="record-39999999999") == [f"record-39999999999{n}" for n in (*range(8), 9)]
    assert len(list_ids(ask, path, prefix="record-40000000000")) == 0


def test_records_that_are_behind_can_be_fetched(ask: Ask, emulator: Emulator, source: str, clock: FakeClock) -> None:
    emulator.scenario.clock, emulator.scenario.restored_records_visible_after = clock, 100
    restore(ask, back_up(ask, source))
    clock.advance(50)
    path = host_path(emulator, "restored")
    assert list_ids(ask, path) == ["a"]
    assert set(ask("GET", path + "/vectors/fetch?ids=a&ids=b").json()["vectors"]) == {"a", "b"}


def test_backup_lacks_recent_writes(ask: Ask, emulator: Emulator, source: str, clock: FakeClock) -> None:
    emulator.scenario.clock, emulator.scenario.backup_lag = clock, 900
    emulator.add_records(source, [{"id": "c", "values": [1, 1]}])
    clock.advance(600)
    emulator.add_records(source, [{"id": "d", "values": [1, 1]}])
    assert list(emulator.records(source)) == ["a", "b", "c", "d"]
    for number, (seconds, ids) in enumerate([(0, "ab"), (299, "ab"), (1, "abc"), (599, "abc"), (1, "abcd")]):
        clock.advance(seconds)
        restore(ask, back_up(ask, source), f"restored-{number}")
        assert list(emulator.records(f"restored-{number}")) == list(ids)
    assert [backup["record_count"] for backup in emulator.backups] == [204, 203, 203, 202, 202]


def test_writes_are_visible_later(ask: Ask, emulator: Emulator, source: str, clock: FakeClock) -> None:
    emulator.scenario.clock, emulator.scenario.writes_visible_after = clock, 5
    emulator.add_records(source, [{"id": "c", "values": [1, 1]}])
    path = host_path(emulator, source)
    restore(ask, back_up(ask, source))
    for seconds, ids in [(0, "ab"), (4, "ab"), (1, "abc")]:
        clock.advance(seconds)
        assert list_ids(ask, path) == list(ids)
        assert set(ask("GET", path + "/vectors/fetch?ids=a&ids=b&ids=c").json()["vectors"]) == set(ids)
    assert list(emulator.records("restored")) == ["a", "b", "c"]


def test_special_values_survive_a_restore(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("numbers", dimension=4, records=0)
    values = [-0.0, 1e-45, 3.4028234663852886e38, 0.1]
    emulator.add_records("numbers", [{"id": "a", "values": values, "metadata": {"n": 2**53 + 1}}])
    restore(ask, back_up(ask, "numbers"))
    record = emulator.records("restored")["a"]
    assert record["values"] == [0.0, 1e-45, 3.4028235e38, 0.1]
    assert math.copysign(1, record["values"][0]) == -1
    assert record["metadata"] == {"n": 2.0**53}
