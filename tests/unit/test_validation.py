"""Checks of names, ids and durations, and how values of unknown origin appear in messages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.validation import is_id, one_line, validate_duration, validate_id, validate_index_name

NOT_TEXT: list[Any] = [None, 5, True, b"docs", ["docs"], {"a": 1}]


@pytest.mark.parametrize("name", ["a", "0", "a-b", "x" * 45, "0--9"])
def test_valid_index_name(name: str) -> None:
    assert validate_index_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "-", "a-", "-a", "Docs", "docs_example", "docs example", "a/b", "../backups", "a\n", "é", "a?b"),
        *("x" * 46, "x" * 100_000, "{{ params.index }}", "None", "\ud800", "\u0661", *NOT_TEXT),
    ],
    ids=lambda name: repr(name)[:20],
)
def test_invalid_index_name(name: Any) -> None:
    with pytest.raises(PineconeInputError, match=r"is not a valid index name.*1 to 45") as caught:
        validate_index_name(name)
    assert len(str(caught.value)) < 700
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", ["a", "8c85e612-ed1c-4f97-9f8c-8194e07bcf71", "A_9-", "x" * 128, "none"])
def test_valid_id(value: str) -> None:
    assert validate_id(value, "backup") == value
    assert is_id(value)


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "a/b", "..", "../indexes/x", "a?b", "a#b", "a\n", "é", "%2e", "x" * 129, "x" * 100_000, "None "),
        *("\u202e", "\ud800", "\u0661", *NOT_TEXT),
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("resource", ["backup", "restore job"])
def test_invalid_id(value: Any, resource: str) -> None:
    assert not is_id(value)
    with pytest.raises(PineconeInputError, match=rf"is not a valid {resource} id.*1 to 128") as caught:
        validate_id(value, resource)
    assert len(str(caught.value)) < 700
    assert str(caught.value).isprintable()


def test_rendered_none_is_not_an_id() -> None:
    """A template renders a missing XCom to this text."""
    with pytest.raises(PineconeInputError, match="'None' is not a valid backup id"):
        validate_id("None", "backup")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(1, 1.0), (0.5, 0.5), (timedelta(minutes=2), 120.0), (timedelta(microseconds=1), 1e-6), (10**9, 1e9)],
)
def test_valid_duration(value: Any, seconds: float) -> None:
    result = validate_duration(value, "timeout")
    assert result == seconds
    assert isinstance(result, float)


@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan"), timedelta(0), timedelta(-1), None, True, "60", []])
def test_invalid_duration(value: Any) -> None:
    with pytest.raises(PineconeInputError, match=r"^poke_interval must be .* above 0"):
        validate_duration(value, "poke_interval")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, ""),
        ("", ""),
        (" a \r\n b\t\u2028c ", "a b c"),
        (b"a\xffb", "a\N{REPLACEMENT CHARACTER}b"),
        ("\x1b[31mred\x1b[0m", "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}[0m"),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
        ("a\u202eb", "a\N{REPLACEMENT CHARACTER}b"),
        ({"deep": [1]}, "{'deep': [1]}"),
        ("x" * 500, "x" * 500),
        ("x" * 501, "x" * 497 + "..."),
        ("é" * 100_000, "é" * 497 + "..."),
    ],
    ids=range(11),
)
def test_one_line(value: object, line: str) -> None:
    assert one_line(value) == line


@pytest.mark.parametrize("padding", [0, 485, 490, 499, 1990, 1999])
@pytest.mark.parametrize("filler", ["x", " "])
def test_one_line_masks_a_secret_wherever_the_text_is_truncated(padding: int, filler: str) -> None:
    line = one_line(filler * padding + "pc-secret-key" + filler * padding, "pc-secret-key")
    assert "pc-s" not in line
    assert len(line) <= 500
