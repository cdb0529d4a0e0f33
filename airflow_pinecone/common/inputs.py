"""Validate user input: names, ids, texts and durations. Invalid input raises an error before any request is sent."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from airflow_pinecone.common.durations import MAX_DURATION, seconds_of
from airflow_pinecone.errors import PineconeInputError

# Compiled when first used, because most DAG files need none of them.
_INDEX_NAME = r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?"
_ID = r"[A-Za-z0-9_-]{1,128}"
_HOST_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_LENGTH = 500
_VALUE_LENGTH = 200
# What a template makes of a missing XCom.
_RENDERED_NONE = "None"


def validate_index_name(value: Any) -> str:
    """Check the name of an index.

    Args:
        value: The name.

    Returns:
        The name.

    Raises:
        PineconeInputError: It is not a valid name.
    """
    if isinstance(value, str) and re.fullmatch(_INDEX_NAME, value):
        return value
    problem = _problem(value, "a-z0-9-", 45) or "the first and the last character must be a letter or digit"
    raise PineconeInputError(
        f"{show_value(value)} is not a valid index name: {problem}. Use 1 to 45 characters of a-z, 0-9 and '-', and "
        "start and end with a letter or digit."
    )


def validate_id(value: Any, resource: str) -> str:
    """Check the id of a resource.

    Args:
        value: The id.
        resource: What the id identifies, for the message: ``backup`` or ``restore job``.

    Returns:
        The id.

    Raises:
        PineconeInputError: It is not a valid id.
    """
    if is_id(value) and value != _RENDERED_NONE:
        return str(value)
    raise PineconeInputError(
        f"{show_value(value)} is not a valid {resource} id: {_problem(value, 'A-Za-z0-9_-', 128)}. Use 1 to 128 "
        "letters, digits, '_' and '-', such as 8c85e612-ed1c-4f97-9f8c-8194e07bcf71."
    )


def is_id(value: Any) -> bool:
    """Return whether a value has the form of an id."""
    return isinstance(value, str) and re.fullmatch(_ID, value) is not None


def is_host(value: str) -> bool:
    """Return whether a text is a host name or an IP address that a request can be sent to."""
    if ":" in value:
        try:
            # A zone, as in fe80::1%eth0, is valid on one machine only.
            return "%" not in value and bool(ipaddress.IPv6Address(value))
        except ValueError:
            return False
    return len(value) <= 253 and all(re.fullmatch(_HOST_LABEL, label) for label in value.split("."))


def validate_text(value: Any, name: str) -> str | None:
    """Check an optional text.

    Args:
        value: The text, or None.
        name: The name of the parameter, for the message.

    Returns:
        The text, or None.

    Raises:
        PineconeInputError: It is neither a string nor None.
    """
    if value is None or isinstance(value, str):
        return value
    raise PineconeInputError(
        f"{name} must be a string, not {show_value(value)}. With render_template_as_native_obj=True, a template whose "
        "text is a Python value, such as 42, renders to that value."
    )


def validate_duration(value: Any, name: str) -> float:
    """Check a duration.

    Args:
        value: Seconds, or a timedelta.
        name: The name of the parameter, for the message.

    Returns:
        Seconds.

    Raises:
        PineconeInputError: It is not a duration above 0 and at most MAX_DURATION.
    """
    seconds = seconds_of(value)
    if seconds is None:
        raise PineconeInputError(
            f"{name} must be a number of seconds above 0 or a timedelta, at most {MAX_DURATION.days} days, "
            f"not {show_value(value)}."
        )
    return seconds


def validate_hold(value: Any, now: datetime) -> datetime | None:
    """Check the end of a hold, and return it as a time.

    Args:
        value: A time, a date, a duration from now as a timedelta or in seconds, or a text with an ISO date, an ISO time
            or a number of seconds; None is no hold.
        now: The time, with a time zone.

    Returns:
        The time in UTC, rounded up to a second; None without a hold. A date is its first moment in UTC, and a time
        without a time zone is in UTC. The time can be in the past.

    Raises:
        PineconeInputError: It is none of these, or too far away.
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


def _moment(value: Any, now: datetime) -> datetime:
    if isinstance(value, str):
        text = value.strip()
        value = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text) else datetime.fromisoformat(text)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    if isinstance(value, int | float | timedelta):
        return now + timedelta(seconds=validate_duration(value, "hold_until"))
    raise ValueError("not a time")


def show_value(value: object) -> str:
    """Format a value that a user has passed, for a message.

    Args:
        value: The value.

    Returns:
        Its repr, on one line and truncated. White space in a text is kept: it may be what is wrong.
    """
    try:
        # Truncate a text before, so that a long one is fast.
        text = repr(value[: 2 * _VALUE_LENGTH] if isinstance(value, str) else value)
    except Exception:
        # A class of the user, or an integer of more than 4,300 digits.
        text = f"<{type(value).__name__}>"
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: _VALUE_LENGTH + 1])
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 3] + "..."


def one_line(value: object, secret: str = "") -> str:
    """Format an untrusted value for a message.

    Args:
        value: The value; bytes are decoded, None is an empty string.
        secret: A string to mask.

    Returns:
        One line of at most 500 printable characters.
    """
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str("" if value is None else value)
    if secret:
        # Mask before truncating: truncating could leave part of the secret, which would no longer match.
        text = text.replace(secret, "***")
    text = " ".join(text[: 4 * _LENGTH].split())
    # Replace lone surrogates, which cannot be encoded, and escape sequences, which terminals interpret.
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= _LENGTH else text[: _LENGTH - 3] + "..."


def _problem(value: Any, allowed: str, longest: int) -> str:
    """Say why a value is not a name or an id; empty if its characters and its length are right.

    Args:
        value: The value.
        allowed: The allowed characters, as in a regular expression.
        longest: The greatest length.
    """
    if not isinstance(value, str):
        return "it is not a string"
    if not value:
        return "it is empty"
    if value == _RENDERED_NONE:
        return "a template has rendered a missing value to this text"
    wrong = dict.fromkeys(re.findall(f"[^{allowed}]", value[: 4 * _LENGTH]))
    others = [show_value(char) for char in wrong if not char.isspace() and not char.isupper()]
    problems = [
        "white space is not allowed" if any(map(str.isspace, wrong)) else "",
        "capital letters are not allowed" if any(map(str.isupper, wrong)) else "",
        f"{' and '.join(others[:3])} {'is' if len(others) == 1 else 'are'} not allowed" if others else "",
        f"it has {len(value)} characters" if len(value) > longest else "",
    ]
    return ", ".join(filter(None, problems))
