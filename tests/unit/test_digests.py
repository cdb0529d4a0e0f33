import json
import runpy
import struct
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pinecone.api.record import Record, SparseValues
from airflow_pinecone.rules.digests import NamespaceDigest, canonical_metadata, record_hash

DOCUMENTED = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "examples" / "digest_alone.py"))


def record(
    record_id: str = "a",
    values: Any = (1.0, 2.0),
    sparse: tuple[list[int], list[float]] | None = None,
    metadata: dict[str, Any] | None = None,
) -> Record:
    pairs = None if sparse is None else SparseValues(np.array(sparse[0], np.uint32), np.array(sparse[1], np.float32))
    return Record(record_id, np.array(values, np.float32), pairs, metadata or {})


def digest(*records: Record) -> str:
    namespace = NamespaceDigest()
    namespace.add(records)
    return str(namespace)


def test_digest_of_nothing() -> None:
    assert digest() == f"v1:0:{0:032x}"


def test_hash_is_that_of_the_documented_bytes() -> None:
    """Without this package: as another program would compute it."""
    content = b"\x01\x00\x00\x00" + b"a" + b"\x02\x00\x00\x00" + struct.pack("<2f", 1.5, 0.0)
    content += b"\x02\x00\x00\x00" + struct.pack("<2I", 3, 9) + struct.pack("<2f", 0.5, -1.0)
    content += b"d\x04\x00\x00\x00"
    content += b"k\x01\x00\x00\x00a" + b"l\x02\x00\x00\x00" + b"s\x01\x00\x00\x00x" + b"s\x02\x00\x00\x00\xc3\xa9"
    content += b"k\x01\x00\x00\x00b" + b"b\x01"
    content += b"k\x01\x00\x00\x00n" + b"n" + struct.pack("<d", 2.0)
    content += b"k\x01\x00\x00\x00t" + b"s\x00\x00\x00\x00"
    expected = blake2b(content, digest_size=16, person=b"pinecone-record1").digest()
    metadata = {"t": "", "n": 2, "b": True, "a": ["x", "é"]}
    assert record_hash(record("a", [1.5, -0.0], ([9, 3], [-1.0, 0.5]), metadata)) == expected
    assert digest(record("a", [1.5, -0.0], ([9, 3], [-1.0, 0.5]), metadata)) == (
        f"v1:1:{int.from_bytes(expected, 'little'):032x}"
    )


@pytest.mark.parametrize(
    "same",
    [
        record(metadata={"a": 1, "b": 0.0}),
        record(metadata={"b": -0.0, "a": 1.0}),
    ],
)
def test_form_of_the_same_content_has_no_effect(same: Record) -> None:
    assert record_hash(same) == record_hash(record(metadata={"a": 1, "b": 0}))
    assert record_hash(record(values=[0.0])) == record_hash(record(values=[-0.0]))
    assert record_hash(record(sparse=([2, 1], [5.0, -0.0]))) == record_hash(record(sparse=([1, 2], [0.0, 5.0])))
    assert record_hash(record(sparse=([], []))) == record_hash(record())


VARIANTS: list[Record] = [
    record(),
    record("b"),
    record("ab"),
    record(values=[2.0, 1.0]),
    record(values=[1.0, np.nextafter(np.float32(2.0), np.float32(3.0))]),
    record(values=[1.0]),
    record(values=[]),
    record(sparse=([1], [1.0])),
    record(sparse=([2], [1.0])),
    record(sparse=([1], [2.0])),
    record(sparse=([1, 2], [1.0, 2.0])),
    record(sparse=([1, 2], [2.0, 1.0])),
    *(record(metadata={"k": value}) for value in (1, True, False, 0, "1", "True", "", [], [""], ["1"], ["1", ""], 1.5)),
    record(metadata={"k": ["a", "b"]}),
    record(metadata={"k": ["b", "a"]}),
    record(metadata={"k": ["ab"]}),
    record(metadata={"k": None}),
    record(metadata={"k": {}}),
    record(metadata={"kk": 1}),
    record(metadata={"k": 1, "l": 1}),
    record(metadata={"": 1}),
]


def test_each_other_content_has_another_hash() -> None:
    assert len({record_hash(each) for each in VARIANTS}) == len(VARIANTS)


def test_order_and_parts_have_no_effect() -> None:
    records = [record(str(number), [number, 1]) for number in range(50)]
    parts = NamespaceDigest()
    parts.add(records[30:])
    parts.add(records[:30])
    assert str(parts) == digest(*records) == digest(*records[::-1])


def test_swapped_values_and_a_repeated_record_change_the_digest() -> None:
    first, second = record("a", [1]), record("b", [2])
    swapped = record("a", [2]), record("b", [1])
    assert len({digest(first, second), digest(*swapped), digest(first, first), digest(first)}) == 4


METADATA = st.dictionaries(
    st.text(),
    st.text() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.lists(st.text()),
)


def shape(value: Any) -> Any:
    """What Pinecone keeps of metadata, in a form that Python compares as different if a type differs."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, bool | str):
        return (type(value).__name__, value)
    return [shape(each) for each in value] if isinstance(value, list) else ("number", float(value) + 0.0)


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SPARSE = st.dictionaries(st.integers(0, 2**32 - 1), FLOATS)


@given(st.lists(st.tuples(st.text(min_size=1), st.lists(FLOATS), SPARSE, METADATA), max_size=4))
def test_documented_program_computes_the_same_digest(rows: list[Any]) -> None:
    as_json = [
        {
            "id": record_id,
            "values": values,
            "sparseValues": {"indices": [*sparse], "values": [*sparse.values()]},
            "metadata": metadata,
        }
        for record_id, values, sparse, metadata in rows
    ]
    records = [
        record(record_id, values, ([*sparse], [*sparse.values()]), metadata)
        for record_id, values, sparse, metadata in rows
    ]
    assert digest(*records) == DOCUMENTED["namespace_digest"](json.loads(json.dumps(as_json)))


@given(METADATA, METADATA)
def test_bytes_of_metadata_are_the_same_if_and_only_if_the_metadata_is(one: Any, other: Any) -> None:
    assert (canonical_metadata(one) == canonical_metadata(other)) == (shape(one) == shape(other))
    assert canonical_metadata(json.loads(json.dumps(one))) == canonical_metadata(one)
