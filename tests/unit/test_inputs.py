"""Checks of names, ids and durations, and how values of unknown origin appear in messages."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_pinecone.api.hosts import is_host
from airflow_pinecone.common.durations import validate_duration
from airflow_pinecone.common.inputs import (
    is_id,
    rendered_bool,
    rendered_count,
    validate_bools,
    validate_hold,
    validate_id,
    validate_index_name,
    validate_text,
)
from airflow_pinecone.common.text import one_line, show_value
from airflow_pinecone.errors import PineconeInputError

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


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("docs ", "'docs ' is not a valid index name: white space is not allowed."),
        ("docs\n", "'docs\\n' is not a valid index name: white space is not allowed."),
        ("do  cs", "'do  cs' is not a valid index name: white space is not allowed."),
        ("Docs", "'Docs' is not a valid index name: capital letters are not allowed."),
        ("a_b", "'a_b' is not a valid index name: '_' is not allowed."),
        ("a/b?c#d!", "'a/b?c#d!' is not a valid index name: '/' and '?' and '#' are not allowed."),
        ("x" * 46, f"{'x' * 46!r} is not a valid index name: it has 46 characters."),
        (
            "My index" * 6,
            "'My indexMy indexMy indexMy indexMy indexMy index' is not a valid index name: white space is "
            "not allowed, capital letters are not allowed, it has 48 characters.",
        ),
        ("-a", "'-a' is not a valid index name: the first and the last character must be a letter or digit."),
        ("", "'' is not a valid index name: it is empty."),
        ("None", "'None' is not a valid index name: a template has rendered a missing value to this text."),
        (None, "None is not a valid index name: it is not a string."),
        (5, "5 is not a valid index name: it is not a string."),
        (10**5000, "<int> is not a valid index name: it is not a string."),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "int",
)
def test_message_shows_the_name_and_says_what_is_wrong(name: Any, start: str) -> None:
    with pytest.raises(PineconeInputError) as caught:
        validate_index_name(name)
    assert str(caught.value).startswith(f"{start} Use 1 to 45 characters")


def test_message_of_a_long_name_is_short() -> None:
    with pytest.raises(PineconeInputError, match=r"^'x+\.\.\. is not .*: it has 10000 characters\. Use") as caught:
        validate_index_name("x" * 10_000)
    assert len(str(caught.value)) < 500


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


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ("b-1 ", "'b-1 ' is not a valid backup id: white space is not allowed."),
        ("../x", "'../x' is not a valid backup id: '.' and '/' are not allowed."),
        ("x" * 129, f"{'x' * 129!r} is not a valid backup id: it has 129 characters."),
        (42, "42 is not a valid backup id: it is not a string."),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_message_shows_the_id_and_says_what_is_wrong(value: Any, start: str) -> None:
    with pytest.raises(PineconeInputError) as caught:
        validate_id(value, "backup")
    assert str(caught.value).startswith(f"{start} Use 1 to 128")


def test_rendered_none_is_not_an_id() -> None:
    """A template renders a missing XCom to this text."""
    with pytest.raises(PineconeInputError, match="'None' is not a valid backup id"):
        validate_id("None", "backup")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (timedelta(minutes=2), 120.0),
        (timedelta(microseconds=1), 1e-6),
        (timedelta(days=365), 31_536_000.0),
    ],
)
def test_valid_duration(value: Any, seconds: float) -> None:
    result = validate_duration(value, "timeout")
    assert result == seconds
    assert isinstance(result, float)


INVALID_DURATIONS: list[Any] = [
    *(0, -1, -0.5, timedelta(0), timedelta(-1), None, True, "60", []),
    *(float("nan"), float("inf"), float("-inf"), 1e308, 10**400, 10**5000, 31_536_001, timedelta.max, timedelta.min),
    timedelta(days=365, microseconds=1),
]


@pytest.mark.parametrize("value", INVALID_DURATIONS, ids=lambda value: show_value(value)[:20])
def test_invalid_duration(value: Any) -> None:
    with pytest.raises(
        PineconeInputError, match=r"^poke_interval must be .* above 0 .* at most 365 days, not "
    ) as caught:
        validate_duration(value, "poke_interval")
    assert str(caught.value).endswith(f"not {show_value(value)}.")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", [None, "", " x ", "42", "None"])
def test_text_is_returned_as_it_is(value: str | None) -> None:
    assert validate_text(value, "description") is value


@pytest.mark.parametrize("value", [5, 4.2, True, b"x", ["x"], {"a": 1}, timedelta(1)], ids=repr)
def test_text_must_be_a_string(value: Any) -> None:
    with pytest.raises(PineconeInputError) as caught:
        validate_text(value, "description")
    assert str(caught.value).startswith(
        f"description must be a string, not {value!r}. With render_template_as_native_obj"
    )


@pytest.mark.parametrize("value", ["false", "true", "", None, 0, 1, "{{ params.force }}", []], ids=repr)
def test_only_a_boolean_is_a_boolean(value: Any) -> None:
    validate_bools(force=True, dry_run=False)
    with pytest.raises(PineconeInputError, match=r"^force must be True or False, not ") as caught:
        validate_bools(dry_run=True, force=value)
    assert show_value(value) in str(caught.value)


@pytest.mark.parametrize("value", ["true", "True", True])
def test_rendered_true(value: Any) -> None:
    assert rendered_bool(value, "force") is True


@pytest.mark.parametrize("value", ["false", "False", False])
def test_rendered_false(value: Any) -> None:
    assert rendered_bool(value, "force") is False


@pytest.mark.parametrize(
    "value", ["", "None", "no", "0", "1", "TRUE", " true", "{{ x }}", None, 0, 1, [], {}], ids=repr
)
def test_rendered_value_that_is_not_a_boolean(value: Any) -> None:
    with pytest.raises(PineconeInputError, match=r"^force must be True, False or a template .* not ") as caught:
        rendered_bool(value, "force")
    assert show_value(value) in str(caught.value)


@pytest.mark.parametrize(("value", "count"), [("7", 7), (7, 7), ("0", 0), ("007", 7)])
def test_rendered_count(value: Any, count: int) -> None:
    assert rendered_count(value, "keep_last") == count


@pytest.mark.parametrize(
    "value", ["", "None", "-1", "1.0", " 7", "7 days", "\u0667", "9" * 10, None, True, 7.0, -1, [7]], ids=repr
)
def test_rendered_value_that_is_not_a_count(value: Any) -> None:
    with pytest.raises(PineconeInputError, match=r"^keep_last must be an integer, 0 or above, .* not ") as caught:
        rendered_count(value, "keep_last")
    assert show_value(value) in str(caught.value)


NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "end"),
    [
        ("20250608", "2025-06-08T00:00:00"),
        (" 20250608\n", "2025-06-08T00:00:00"),
        # Native rendering of {{ ds_nodash }}.
        (20250608, "2025-06-08T00:00:00"),
        ("2025-06-08", "2025-06-08T00:00:00"),
        ("20250608T010203", "2025-06-08T01:02:03"),
        ("2025-06-08T01:02:03.5+02:00", "2025-06-07T23:02:04"),
        (date(2025, 6, 8), "2025-06-08T00:00:00"),
        ("604800", "2025-06-08T12:00:00"),
        ("604800.0", "2025-06-08T12:00:00"),
        (604800, "2025-06-08T12:00:00"),
        (9_999_999, "2025-09-25T05:46:39"),
        # 180 and 365 days.
        (15_552_000, "2025-11-28T12:00:00"),
        (31_536_000, "2026-06-01T12:00:00"),
        (timedelta(days=7), "2025-06-08T12:00:00"),
    ],
    ids=repr,
)
def test_hold(value: Any, end: str) -> None:
    assert validate_hold(value, NOW) == datetime.fromisoformat(f"{end}+00:00")


@pytest.mark.parametrize(
    "value",
    [
        # Eight digits in a text are never seconds, although these would be 231 to 234 days.
        *("20251399", 20251399, "20250230", "20000000", "00000000"),
        *("2025060812", 2025060812, "None", "", "soon", "-1", 0, -1, True, [], 1e300),
    ],
    ids=repr,
)
def test_invalid_hold(value: Any) -> None:
    with pytest.raises(PineconeInputError, match=r"^hold_until must be ") as caught:
        validate_hold(value, NOW)
    assert show_value(value) in str(caught.value) or str(float(value or 0)) in str(caught.value)


class Broken:
    """A class of a user."""

    def __repr__(self) -> str:
        """Raise an error."""
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("docs ", "'docs '"),
        ("a\n\tb\u202e\ud800", r"'a\n\tb\u202e\ud800'"),
        (None, "None"),
        ({"a": [1]}, "{'a': [1]}"),
        ("x" * 198, f"'{'x' * 198}'"),
        ("x" * 199, f"'{'x' * 196}..."),
        ("x" * 10**7, f"'{'x' * 196}..."),
        (["x" * 1000], f"['{'x' * 195}..."),
        (10**5000, "<int>"),
        (Broken(), "<Broken>"),
    ],
    ids=range(10),
)
def test_show_value(value: object, shown: str) -> None:
    assert show_value(value) == shown


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "api.pinecone.io", "a-b.c--d", "pinecone_emulator", "127.0.0.1", "x" * 63, "API.Pinecone.io"),
        *("::1", "2001:db8::7", "::ffff:1.2.3.4", ".".join(["x" * 50] * 4)),
    ],
)
def test_valid_host(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "a..b", ".a", "a.", "-a", "a-", "a.-b", "a-.b", "x" * 64, f"a.{'x' * 64}.b", "a b", "a/b", "\u00e4"),
        *(":", "1:2", "::g", "fe80::1%eth0", "::ffff:999.1.1.1", "a:b", ".".join(["x" * 63] * 4), "a\n"),
    ],
)
def test_invalid_host(host: str) -> None:
    assert not is_host(host)


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
