"""Format values for logs, messages and XCom."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

_LINE_LENGTH = 500
_VALUE_LENGTH = 200
_CELL_LENGTH = 60


def show_value(value: object) -> str:
    """Return the repr of a value that a user has passed, on one line and truncated."""
    # White space in a text is kept: it may be what is wrong.
    try:
        # Truncate a text before, so that a long one is fast.
        text = repr(value[: 2 * _VALUE_LENGTH] if isinstance(value, str) else value)
    except Exception:
        # A class of the user, or an integer of more than 4,300 digits.
        text = f"<{type(value).__name__}>"
    return truncate(_printable(text[: _VALUE_LENGTH + 1]), _VALUE_LENGTH)


def one_line(value: object, *secrets: str) -> str:
    """Return an untrusted value as one line of at most 500 printable characters, with secrets masked.

    Bytes are decoded, and None is an empty text.
    """
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str("" if value is None else value)
    for secret in filter(None, secrets):
        # Mask before truncating: truncating could leave part of a secret, which would no longer match.
        text = text.replace(secret, "***")
    return truncate(_printable(" ".join(text[: 4 * _LINE_LENGTH].split())), _LINE_LENGTH)


def cell(value: object) -> str:
    """Return an untrusted value as at most 60 printable characters; None is ``-``."""
    return truncate(one_line("-" if value is None else value), _CELL_LENGTH)


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Align the columns of a header and its rows."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def show_url(url: object) -> str:
    """Return a URL without a password and a query, which can have a signature. The id of a connection stays."""
    base, query, _ = str(url).partition("?")
    # A password can contain a slash.
    return re.sub(r"(://[^/@:]*):.*@", r"\1:***@", base, flags=re.DOTALL) + ("?***" if query else "")


def counted(number: int, noun: str) -> str:
    """Return a number of things, such as ``1 index`` or ``2 indexes``."""
    plural = f"{noun}es" if noun.endswith("x") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def iso(moment: datetime) -> str:
    """Return a time for a machine, such as ``2025-06-15T14:06:40Z``."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def show_time(moment: datetime | float) -> str:
    """Return a time for a reader, such as ``2025-06-15 14:06:40 UTC``. A number is seconds since the epoch."""
    moment = moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def show_seconds(seconds: float) -> str:
    """Return a duration without fractions of a second, such as ``1 day, 3:00:00``."""
    return str(timedelta(seconds=round(seconds)))


def explain(what: str, why: str = "", advice: str = "", ids: str = "") -> str:
    """Return an error message of up to four short lines. Airflow shows about 100 characters of a line.

    Args:
        what: What failed, on which index.
        why: Why it failed. It may be the ``reason`` of another error, which has no capital letter and no period.
        advice: What a user can do about it.
        ids: The ids of the backup, the restore job or the request.
    """
    if why:
        why = f"{why[0].upper()}{why[1:].removesuffix('.')}."
    return "\n".join(filter(None, (what, why, advice, ids)))


def insert_before_ids(text: str, line: str) -> str:
    """Return an error message with one more line: before the last line, which has the ids."""
    lines = text.split("\n")
    lines.insert(max(1, len(lines) - 1), line)
    return "\n".join(lines)


def show_request_id(request_id: str | None) -> str:
    """Return the line of an error message for the id of a request, or an empty text."""
    return f"Pinecone request id: {request_id}." if request_id else ""


def truncate(text: str, length: int) -> str:
    """Return a text, or its start and an ellipsis, of at most so many characters."""
    return text if len(text) <= length else text[: length - 3] + "..."


def _printable(text: str) -> str:
    # Lone surrogates cannot be encoded, and terminals interpret escape sequences.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
