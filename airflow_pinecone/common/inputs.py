"""Validate user input: names, ids, texts, times, booleans and counts.

Invalid input raises an error before any request is sent. Each function returns the value that it has checked. ``name``
is the name of the parameter, for the message.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, cast, get_args

from airflow_pinecone.common.durations import validate_duration
from airflow_pinecone.common.text import show_value
from airflow_pinecone.errors import PineconeInputError

Frequency = Literal["daily", "weekly", "monthly"]
OnError = Literal["abort", "continue"]

_NAME = r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?"
_ID = r"[A-Za-z0-9_-]{1,128}"
# The maximum of Pinecone.
_MAX_URI = 1500
# How many characters of an invalid value are examined.
_EXAMINED = 2000
# What a template makes of a missing XCom.
_RENDERED_NONE = "None"
_BOOLEANS = {"true": True, "True": True, "false": False, "False": False}


def validate_index_name(value: Any) -> str:
    """Check the name of an index."""
    return _validate_name(value, " is not a valid index name: ")


def validate_backup_name(value: Any) -> str:
    """Check the name of a backup, as Pinecone does from API version 2026-07 on."""
    return _validate_name(value, " is not a valid backup name: ")


def _validate_name(value: Any, problem: str) -> str:
    if isinstance(value, str) and re.fullmatch(_NAME, value):
        return value
    reason = _problem(value, "a-z0-9-", 45) or "the first and the last character must be a letter or digit"
    raise PineconeInputError(
        f"{show_value(value)}{problem}{reason}. Use 1 to 45 characters of a-z, 0-9 and '-', and start and end with a "
        "letter or digit."
    )


def validate_id(value: Any, resource: str) -> str:
    """Check the id of a resource: a ``backup`` or a ``restore job``."""
    if is_id(value) and value != _RENDERED_NONE:
        return str(value)
    raise PineconeInputError(
        f"{show_value(value)} is not a valid {resource} id: {_problem(value, 'A-Za-z0-9_-', 128)}. Use 1 to 128 "
        "letters, digits, '_' and '-', such as 8c85e612-ed1c-4f97-9f8c-8194e07bcf71."
    )


def is_id(value: Any) -> bool:
    """Return whether a value has the form of an id."""
    return isinstance(value, str) and re.fullmatch(_ID, value) is not None


def validate_text(value: Any, name: str) -> str | None:
    """Check an optional text."""
    if value is None or isinstance(value, str):
        return value
    raise PineconeInputError(
        f"{name} must be a string, not {show_value(value)}. With render_template_as_native_obj=True, a template whose "
        "text is a Python value, such as 42, renders to that value."
    )


def validate_uri(value: Any) -> str:
    """Check the URI of a folder that Pinecone imports."""
    is_valid = isinstance(value, str) and "://" in value and value.isprintable() and value == value.strip()
    if is_valid and len(value) <= _MAX_URI:
        return str(value)
    raise PineconeInputError(
        f"{show_value(value)} is not a valid uri. Use that of a folder, of at most {_MAX_URI} characters, such as "
        "s3://bucket/folder."
    )


def validate_on_error(value: Any) -> OnError:
    """Check what a bulk import does with an invalid record."""
    if value in get_args(OnError):
        return cast("OnError", value)
    raise PineconeInputError(f"on_error must be 'abort' or 'continue', not {show_value(value)}.")


def validate_bools(**values: Any) -> None:
    """Check arguments that must be True or False. Any other value could mean the opposite of what a user expects."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise PineconeInputError(f"{name} must be True or False, not {show_value(value)}.")


def is_template(value: Any) -> bool:
    """Return whether Airflow renders this value before the task runs: a template, or the output of another task."""
    return "{{" in value or "{%" in value if isinstance(value, str) else hasattr(value, "resolve")


def rendered_bool(value: Any, name: str) -> bool:
    """Read a boolean that may be the text of a rendered template."""
    if isinstance(value, str):
        value = _BOOLEANS.get(value, value)
    if isinstance(value, bool):
        return value
    raise PineconeInputError(f"{name} must be True, False or a template that renders to one, not {show_value(value)}.")


def rendered_count(value: Any, name: str) -> int:
    """Read a count that may be the text of a rendered template."""
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        value = int(value)
    if type(value) is int and value >= 0:
        return value
    raise PineconeInputError(
        f"{name} must be an integer, 0 or above, or a template that renders to one, not {show_value(value)}."
    )


def validate_tags(value: Any) -> dict[str, str] | None:
    """Check optional tags."""
    tags = validate_object(value, "tags")
    for tag, text in (tags or {}).items():
        if not (isinstance(tag, str) and isinstance(text, str)):
            raise PineconeInputError(
                f"tags must have strings as names and values, but {show_value(tag)} is {show_value(text)}."
            )
    return tags


def validate_object(value: Any, name: str) -> dict[str, Any] | None:
    """Check an optional JSON object."""
    if isinstance(value, dict | None):
        return value
    raise PineconeInputError(f"{name} must be a dict or None, not {show_value(value)}.")


def validate_frequency(value: Any) -> Frequency:
    """Check the frequency of a backup schedule."""
    if value in get_args(Frequency):
        return value  # type: ignore[no-any-return]
    raise PineconeInputError(f"frequency must be one of {', '.join(get_args(Frequency))}, not {show_value(value)}.")


def validate_schedule_name(value: Any) -> str:
    """Check the name of a backup schedule."""
    name = validate_text(value, "name")
    if not name:
        raise PineconeInputError(f"The name of a backup schedule must not be empty, but it is {show_value(value)}.")
    return name


def validate_retention_days(value: Any) -> int:
    """Check the retention of a backup schedule. Pinecone has a maximum, which it does not document."""
    if type(value) is int and value >= 1:
        return value
    raise PineconeInputError(f"retention_days must be an integer of at least 1, not {show_value(value)}.")


def validate_hold(value: Any, now: datetime) -> datetime | None:
    """Check the end of a hold, and return it as a time in UTC, rounded up to a second.

    It is a time, a date, a duration from now as a timedelta or in seconds, or a text with an ISO date, an ISO time or a
    number of seconds; None is no hold. A date is its first moment in UTC, and a time without a time zone is in UTC. The
    time can be in the past. A text of eight digits is a date, such as that of ``{{ ds_nodash }}``, and so is an
    integer from 20000101 to 20991231.
    """
    if value is None:
        return None
    try:
        end = _moment(value, now).astimezone(UTC)
        return end + timedelta(microseconds=-end.microsecond % 1_000_000)
    except PineconeInputError:
        raise
    except (ValueError, OverflowError) as error:
        raise PineconeInputError(
            "hold_until must be a date, a time, a duration above 0, or a template that renders to an ISO date or time "
            f"or to a number of seconds, not {show_value(value)}."
        ) from error


def validate_time(value: Any, name: str) -> datetime:
    """Check a time: a datetime or a text in ISO format. Without a time zone, it is in UTC."""
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        if isinstance(moment, datetime):
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PineconeInputError(
        f"{name} must be a datetime, or a template that renders to an ISO time, not {show_value(value)}."
    )


def _moment(value: Any, now: datetime) -> datetime:
    if isinstance(value, str):
        text = value.strip()
        is_number = re.fullmatch(r"[0-9]+(\.[0-9]*)?", text) and not re.fullmatch("[0-9]{8}", text)
        value = float(text) if is_number else datetime.fromisoformat(text)
    elif type(value) is int and 20000101 <= value <= 20991231:
        # Native rendering makes an integer of a date. As seconds, these numbers would be about eight months.
        value = datetime.fromisoformat(str(value))
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    if isinstance(value, int | float | timedelta):
        return now + timedelta(seconds=validate_duration(value, "hold_until"))
    raise ValueError("not a time")


def _problem(value: Any, allowed: str, longest: int) -> str:
    """Return why a value is not a name or an id; empty if its characters and its length are right."""
    if not isinstance(value, str):
        return "it is not a string"
    if not value:
        return "it is empty"
    if value == _RENDERED_NONE:
        return "a template has rendered a missing value to this text"
    wrong = dict.fromkeys(re.findall(f"[^{allowed}]", value[:_EXAMINED]))
    others = [show_value(char) for char in wrong if not char.isspace() and not char.isupper()]
    problems = [
        "white space is not allowed" if any(map(str.isspace, wrong)) else "",
        "capital letters are not allowed" if any(map(str.isupper, wrong)) else "",
        f"{' and '.join(others[:3])} {'is' if len(others) == 1 else 'are'} not allowed" if others else "",
        f"it has {len(value)} characters" if len(value) > longest else "",
    ]
    return ", ".join(filter(None, problems))
