"""How the page shows times, durations and numbers."""

from __future__ import annotations

from datetime import datetime

from airflow_pinecone.common.text import iso
from airflow_pinecone.rules.history import Age

_UNITS = ((86400, "day"), (3600, "h"), (60, "min"), (1, "s"))
UNKNOWN = "unknown"


def show_minute(moment: str) -> str:
    """Return an ISO time for a reader, such as ``2025-06-15 14:06 UTC``."""
    return f"{moment[:16].replace('T', ' ')} UTC"


def show_duration(seconds: float) -> str:
    """Return a duration with its largest unit and the next one, rounded down: ``2 days 5 h``, ``1 h`` or ``0 s``."""
    left = int(seconds)
    for position, (length, unit) in enumerate(_UNITS):
        if left >= length:
            parts = [_amount(left // length, unit)]
            if position + 1 < len(_UNITS):
                next_length, next_unit = _UNITS[position + 1]
                next_amount = left % length // next_length
                parts += [_amount(next_amount, next_unit)] if next_amount else []
            return " ".join(parts)
    return "0 s"


def show_age(age: Age) -> str:
    """Return an age; one that is not known, or of a time in the future, is unknown."""
    return UNKNOWN if age.seconds is None else show_duration(age.seconds)


def iso_or_none(moment: datetime | None) -> str | None:
    """Return a time as ISO text."""
    return iso(moment) if moment else None


def show_number(number: int | None) -> str:
    """Return a number such as ``53,560``."""
    return UNKNOWN if number is None else f"{number:,}"


def show_size(size: int | None) -> str:
    """Return a number of bytes in powers of 1,000, such as ``1.2 GB``."""
    if size is None or size < 1000:
        return UNKNOWN if size is None else f"{size} B"
    # 999.95 would be shown as 1000.0.
    power, unit = next(
        ((power, unit) for power, unit in enumerate(("kB", "MB", "GB"), start=1) if size / 1000**power < 999.95),
        (4, "TB"),
    )
    return f"{size / 1000**power:,.1f} {unit}"


def show_change(change: float | None) -> str:
    """Return the share by which a number grew, such as ``+3.0%``. Only 0 is shown as -100.0%."""
    if change is None:
        return UNKNOWN
    return f"{change if change == -1 else max(change, -0.999):+.1%}"


def _amount(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' if unit == 'day' and number != 1 else ''}"
