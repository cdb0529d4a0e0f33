import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from airflow_pinecone.api.record import Position, Record, RecordBatch, SparseValues
from airflow_pinecone.rules.record_check import MAX_EXAMPLES, RecordCheck, differing_parts, merge


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
    merged = [(one and one.id, other and other.id) for one, other in merge(batches(first, size), batches(second, 2))]
    assert merged == [
        (each if each in first else None, each if each in second else None) for each in sorted({*first, *second})
    ]


def test_records_alone() -> None:
    check = RecordCheck("ns", 2)
    check.add([record("a", 1, 2), record("b", 1), record("c", 1, math.inf), record("d", sparse={1: math.inf})])
    check.add([record("e", sparse={1: 1.0}), record("f", 1, 2, 3)])
    check.add_unreadable(["g"])
    assert {kind: (found["count"], found["ids"]) for kind, found in check.findings.items()} == {
        "wrong_dimension": (2, ["b", "f"]),
        "not_finite": (2, ["c", "d"]),
        "unreadable": (1, ["g"]),
    }
    assert check.digest.count == 6


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
        check.compare(one, other)
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
        check.compare(None, record(f"{number:04d}", 1))
    assert check.findings["missing"]["count"] == 1000
    assert check.findings["missing"]["ids"] == [f"{number:04d}" for number in range(MAX_EXAMPLES)]


def test_order_of_sparse_values_and_the_sign_of_zero_are_no_difference() -> None:
    one = record("a", -0.0, sparse={2: 5.0, 1: -0.0}, n=1.0)
    assert differing_parts(one, record("a", 0.0, sparse={1: 0.0, 2: 5.0}, n=1)) == []
    assert differing_parts(record("a", sparse={}), record("a")) == []
