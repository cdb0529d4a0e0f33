import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pinecone.api import record_bodies
from airflow_pinecone.api.models import VectorFields
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.errors import PineconeTransientError

FETCH = Operation("fetch", "GET", ("vectors", "fetch"), "fetch records")


def vectors(rows: dict[str, Any]) -> dict[str, Any]:
    body = record_bodies.decode(json.dumps({"vectors": rows}).encode())
    return record_bodies.vectors(body.json, FETCH, ["a", "b"])


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_values_have_the_bits_of_a_float32(values: list[float]) -> None:
    """With all digits of a double, with 9 digits as C++ prints them, and in the shortest form."""
    expected = np.array(values, np.float32)
    for texts in (
        [repr(value) for value in values],
        [f"{value:.9g}" for value in values],
        [str(np.float32(value)) for value in values],
    ):
        body = record_bodies.decode(b'{"vectors": {"a": {"values": [%s]}}}' % ", ".join(texts).encode())
        read = record_bodies.vectors(body.json, FETCH, ["a"])["a"].values
        assert read.dtype == np.float32
        # -0 is 0: "-0" is an integer, which has no sign.
        assert (read + np.float32(0)).tobytes() == (expected + np.float32(0)).tobytes()


def test_number_that_is_too_large_becomes_infinite() -> None:
    assert vectors({"a": {"values": [1e39, 1.0]}})["a"].values.tolist() == [np.inf, 1.0]


def test_null_becomes_nan() -> None:
    values = vectors({"a": {"values": [None, 1.0]}})["a"].values
    assert np.isnan(values[0])
    assert values[1] == 1.0


def test_record_with_everything() -> None:
    metadata = {"bool": True, "one": 1, "real": 1.0, "text": "1", "list": ["a"]}
    row = {"id": "a", "values": [0.5], "sparseValues": {"indices": [7, 2**32 - 1], "values": [1, 0.5]}}
    (read,) = vectors({"a": {**row, "metadata": metadata}}).values()
    assert (read.id, read.values.tolist()) == ("a", [0.5])
    assert read.sparse_values.indices.tolist() == [7, 2**32 - 1]
    assert read.sparse_values.values.tolist() == [1.0, 0.5]
    assert {name: type(value) for name, value in read.metadata.items()} == {
        "bool": bool,
        "one": int,
        "real": float,
        "text": str,
        "list": list,
    }


def test_sparse_values_have_two_spellings() -> None:
    pairs = {"indices": [7], "values": [1.0]}
    assert vectors({"a": {"sparse_values": pairs}})["a"].sparse_values is not None


def test_record_with_nothing() -> None:
    (read,) = vectors({"a": {}}).values()
    assert (read.id, len(read.values), read.sparse_values, read.metadata) == ("a", 0, None, {})


@pytest.mark.parametrize(
    "rows",
    [
        {"c": {}},
        {"a": {"id": "b"}},
        {"a": None},
        {"a": {"values": ["1"]}},
        {"a": {"values": [None, "1"]}},
        {"a": {"values": [[1]]}},
        {"a": {"values": 5}},
        {"a": {"sparseValues": {"indices": [1], "values": []}}},
        {"a": {"sparseValues": {"indices": [-1], "values": [1]}}},
        {"a": {"sparseValues": {"indices": [2**32], "values": [1]}}},
        {"a": {"sparseValues": {"indices": [True], "values": [1]}}},
        {"a": {"sparseValues": {"indices": [1.5], "values": [1]}}},
        {"a": {"sparseValues": {"values": [1]}}},
        {"a": {"metadata": [1]}},
        {"a": {"metadata": "x"}},
        {"a": {"metadata": ""}},
        {"a": {"metadata": 0}},
        {"a": {"values": ""}},
        {"a": {"values": False}},
        {"a": {"sparseValues": False}},
        [1],
        "x",
    ],
)
def test_invalid_records_are_an_error(rows: Any) -> None:
    with pytest.raises(PineconeTransientError, match="The response has"):
        vectors(rows)


@pytest.mark.parametrize(
    ("answer", "ids", "token"),
    [
        ({}, [], None),
        ({"vectors": []}, [], None),
        ({"vectors": [{"id": "a"}, {"id": "b"}], "pagination": {"next": "t"}}, ["a", "b"], "t"),
        ({"vectors": [], "pagination": {"next": "t"}}, [], "t"),
        ({"vectors": [{"id": "a"}], "pagination": {"next": ""}}, ["a"], None),
        ({"vectors": [{"id": "a"}], "pagination": None}, ["a"], None),
        ({"documents": [{"_id": "a"}]}, ["a"], None),
        ({"documents": None, "usage": {}}, [], None),
        ({"usage": {"readUnits": 1}}, [], None),
    ],
)
def test_page(answer: Any, ids: list[str], token: str | None) -> None:
    assert record_bodies.page(answer, FETCH) == (ids, token)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "x",
        {"message": "try later"},
        {"vectors": [], "pagination": "token"},
        {"vectors": [], "pagination": {"next": 5}},
        {"vectors": "x"},
        {"vectors": [{}]},
        {"vectors": [{"id": ""}]},
        {"vectors": [{"id": 5}]},
        {"vectors": ["a"]},
    ],
)
def test_invalid_page_is_an_error(answer: Any) -> None:
    with pytest.raises(PineconeTransientError, match="The response"):
        record_bodies.page(answer, FETCH)


def test_document() -> None:
    fields = VectorFields({"v": 1, "absent": 1, "null": 1}, frozenset({"s", "no"}))
    row = {"_id": "a", "v": [0.1], "s": {"indices": [1], "values": [0.1]}, "title": "x", "n": 1.0, "deep": {"a": None}}
    row |= {"null": None, "no": None}
    answer = {"documents": {"a": row}}
    (read,) = record_bodies.documents(answer, FETCH, ["a"], fields).values()
    exact = float(np.float32(0.1))
    assert read.metadata == {
        "v": [exact],
        "s": {"indices": [1], "values": [exact]},
        "title": "x",
        "n": 1.0,
        "deep": {"a": None},
        "null": None,
        "no": None,
    }
    with pytest.raises(PineconeTransientError, match="invalid fields"):
        record_bodies.documents({"documents": {"a": {"_id": "b"}}}, FETCH, ["a"], fields)


@pytest.mark.parametrize(
    ("answer", "units"),
    [
        ({"usage": {"readUnits": 3}}, 3),
        ({"usage": {"read_units": 3}}, 3),
        ({"usage": {}}, 0),
        ({"usage": {"readUnits": "3"}}, 3),
        ({"usage": {"readUnits": 0.25}}, 1),
        ({"usage": {"readUnits": True}}, 0),
        ({"usage": {"readUnits": "x"}}, 0),
        ({}, 0),
        (None, 0),
    ],
)
def test_read_units(answer: Any, units: int) -> None:
    assert record_bodies.read_units(answer) == units
