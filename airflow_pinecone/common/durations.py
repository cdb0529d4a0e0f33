"""Durations that a user has passed. Constructors check them at each parse, so this module imports nothing slow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

# The longest duration. A longer one is a mistake, and can be too large to be added to a date.
MAX_DURATION = timedelta(days=365)
# How long operators and sensors wait for a backup or a restore, in seconds.
DEFAULT_TIMEOUT = 6 * 60 * 60.0


def seconds_of(value: Any) -> float | None:
    """Convert a duration to seconds.

    Args:
        value: Seconds, or a timedelta.

    Returns:
        Seconds; None if it is not a duration above 0 and at most MAX_DURATION.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    # NaN is not above 0.
    return float(seconds) if is_number and 0 < seconds <= MAX_DURATION.total_seconds() else None
