"""Format rows as a text table for a task log."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_pinecone.common.inputs import one_line

_CELL_LENGTH = 60


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Align the columns of a table.

    Args:
        rows: The header and the rows, all of the same length.

    Returns:
        One line for each row.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def cell(value: object) -> str:
    """Format an untrusted value for one cell.

    Args:
        value: The value. None becomes ``-``.

    Returns:
        At most 60 printable characters.
    """
    text = one_line("-" if value is None else value)
    return text if len(text) <= _CELL_LENGTH else text[: _CELL_LENGTH - 3] + "..."
