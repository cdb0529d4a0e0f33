"""Check durations. Constructors do so at each parse of a DAG file, so only the error imports anything slow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

# The longest duration. A longer one is a mistake, and can be too large to be added to a date.
MAX_DURATION = timedelta(days=365)


def is_number(value: Any) -> bool:
    """Return whether a value is an integer or float that XCom can store; True, NaN and infinity are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63


def validate_duration(value: Any, name: str) -> float:
    """Check a duration, seconds or a timedelta above 0 and at most MAX_DURATION, and return it in seconds.

    ``name`` is the name of the parameter, for the message of the PineconeInputError.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if is_number(seconds) and 0 < seconds <= MAX_DURATION.total_seconds():
        return float(seconds)

    from airflow_pinecone.common.text import show_value
    from airflow_pinecone.errors import PineconeInputError

    raise PineconeInputError(
        f"{name} must be a number of seconds above 0 or a timedelta, at most {MAX_DURATION.days} days, "
        f"not {show_value(value)}."
    )


def validate_optional_duration(value: Any, name: str) -> float | None:
    """Check a duration that may be None."""
    return None if value is None else validate_duration(value, name)
