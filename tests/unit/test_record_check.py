import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from airflow_pinecone.api.models import VectorFields
from airflow_pinecone.api.record import Position, Record, RecordBatch, SparseValues
from airflow_pinecone.rules.record_check import MAX_EXAMPLES, Pair, RecordCheck, differing_parts, merge


def record(record_id: str, *values: float, sparse: dict[int, float] | None = None, **metadata: Any) -> Record:
    pairs = None
    if sparse is not None:
        pairs = SparseValues(np.array([*sparse], np.uint32), np.array([*sparse.values()], np.float32))
    return Record(record_id, np.array(values, np.float32), pairs, metadata)


def batches(ids: list[str], size: int) -> Iterator[RecordBatch]:
    for start in range(0, len(ids), size):
        part = ids[start : start + size]
        yield RecordBatch([record(each, 1.0) for each in part], [], len(part), Position(part[-1]))


IDS = st.lists(st.text("ab/~ ", min_size=1, max_size=3), unique=True).map(sorted)


@given(IDS, IDS, st.integers(1, 5))
def test_merge_yields_each_id_once(first: list[str], second: list[str], size: int) -> None:
    merged = [
        (pair.record_id, pair.record is not None, pair.reference is not None)
        for pair in merge(batches(first, size), batches(second, 2))
    ]
    assert merged == [(each, each in first, each in second) for each in sorted({*first, *second})]


def test_unreadable_records_are_neither_missing_nor_extra() -> None:
    def batch(ids: list[str], missing: list[str]) -> list[RecordBatch]:
        return [RecordBatch([record(each, 1.0) for each in ids], missing, len(ids) + len(missing), Position(""))]

    check = RecordCheck("ns", 1)
    restored, reference = batch(["a", "b", "d"], ["c"]), batch(["a", "c"], ["b", "e"])
    for each in restored:
        check.add(each.records)
        check.add_unreadable(each.missing)
    for pair in merge(restored, reference):
        check.compare(pair)
    assert {kind: found["ids"] for kind, found in check.findings.items()} == {
        "unreadable": ["c"],
        "not_compared": ["b"],
        "missing": ["e"],
        "extra": ["d"],
    }


def test_records_alone() -> None:
    check = RecordCheck("ns", 2)
    check.add([record("a", 1, 2), record("b", 1), record("c", 1, math.inf), record("d", sparse={1: math.inf})])
    check.add([record("e", sparse={1: 1.0}), record("f", 1, 2, 3), record("h")])
    check.add_unreadable(["g"])
    assert {kind: (found["count"], found["ids"]) for kind, found in check.findings.items()} == {
        "wrong_dimension": (4, ["b", "d", "e", "f"]),
        "no_values": (1, ["h"]),
        "not_finite": (2, ["c", "d"]),
        "unreadable": (1, ["g"]),
    }
    assert check.digest.count == 7


def test_records_of_a_sparse_index() -> None:
    check = RecordCheck("ns", None)
    check.add([record("a", sparse={1: 1.0}), record("b"), record("c", sparse={})])
    assert {kind: found["ids"] for kind, found in check.findings.items()} == {"no_values": ["b", "c"]}


def test_vector_fields_of_documents() -> None:
    check = RecordCheck("ns", None, VectorFields({"v": 2, "w": None}, frozenset({"s"})))
    check.add(
        [
            record("a", v=[1.0, 2.0], w=[1.0], s={"indices": [1], "values": [1.0]}),
            record("b", title="without vectors", v=None),
            record("c", v=[1.0]),
            record("d", w=[math.inf]),
            record("e", s={"indices": [1], "values": [math.nan]}),
        ]
    )
    assert {kind: found["ids"] for kind, found in check.findings.items()} == {
        "wrong_dimension": ["c"],
        "not_finite": ["d", "e"],
    }


def test_any_dimension_is_right_if_it_is_unknown() -> None:
    check = RecordCheck("ns", None)
    check.add([record("a", 1), record("b", 1, 2)])
    assert check.findings == {}


def test_differences_from_a_reference() -> None:
    check = RecordCheck("ns", 1)
    pairs = [
        (record("a", 1), record("a", 1)),
        (record("b", 1), None),
        (None, record("c", 1)),
        (record("d", 1, n=1), record("d", 2, n=True)),
        (record("e", sparse={1: 1.0}), record("e", sparse={2: 1.0})),
        (record("f", 1, n="1"), record("f", 1, n=1)),
    ]
    for one, other in pairs:
        check.compare(Pair((one or other).id, one, other))  # type: ignore[union-attr]
    assert {kind: (found["count"], found["ids"]) for kind, found in check.findings.items()} == {
        "extra": (1, ["b"]),
        "missing": (1, ["c"]),
        "changed": (3, ["d", "e", "f"]),
    }
    assert check.findings["changed"]["parts"] == {"values": 1, "metadata": 2, "sparse_values": 1}
    assert check.reference_count == 5


def test_finding_has_some_ids() -> None:
    check = RecordCheck("ns", 1)
    for number in range(1000):
        check.compare(Pair(f"{number:04d}", None, record(f"{number:04d}", 1)))
    assert check.findings["missing"]["count"] == 1000
    assert check.findings["missing"]["ids"] == [f"{number:04d}" for number in range(MAX_EXAMPLES)]


def test_order_of_sparse_values_and_the_sign_of_zero_are_no_difference() -> None:
    one = record("a", -0.0, sparse={2: 5.0, 1: -0.0}, n=1.0)
    assert differing_parts(one, record("a", 0.0, sparse={1: 0.0, 2: 5.0}, n=1)) == []
    assert differing_parts(record("a", sparse={}), record("a")) == []
