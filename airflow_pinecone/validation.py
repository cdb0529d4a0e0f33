"""Validate user input: names, ids and durations. Invalid input raises an error before any request is sent."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from airflow_pinecone.errors import PineconeInputError

_INDEX_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LENGTH = 500


def validate_index_name(value: Any) -> str:
    """Check the name of an index.

    Args:
        value: The name.

    Returns:
        The name.

    Raises:
        PineconeInputError: It is not a valid name.
    """
    if isinstance(value, str) and _INDEX_NAME.fullmatch(value):
        return value
    raise PineconeInputError(
        f"{one_line(value)!r} is not a valid index name. Use 1 to 45 characters of a-z, 0-9 and '-', and start and end "
        "with a letter or digit."
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
    # A template renders a missing XCom to "None".
    if is_id(value) and value != "None":
        return str(value)
    raise PineconeInputError(
        f"{one_line(value)!r} is not a valid {resource} id. Use 1 to 128 letters, digits, '_' and '-', such as "
        "8c85e612-ed1c-4f97-9f8c-8194e07bcf71."
    )


def is_id(value: Any) -> bool:
    """Return whether a value has the form of an id."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def validate_duration(value: Any, name: str) -> float:
    """Check a duration.

    Args:
        value: Seconds, or a timedelta.
        name: The name of the parameter, for the message.

    Returns:
        Seconds.

    Raises:
        PineconeInputError: It is not a duration above 0.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise PineconeInputError(f"{name} must be a number of seconds above 0 or a timedelta, not {value!r}.")
    return float(seconds)


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
