"""Searching docs/troubleshooting.md for the first line of an error message finds it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_pinecone.api.advice import REFUSALS, WORDS, Refusal
from airflow_pinecone.waiting.resources import FRESHNESS, RECORD_COUNTS, RESOURCES, Resource

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
TEXT = " ".join(PAGE.split())


def is_documented(parts: list[str]) -> bool:
    """Return whether the page has a line with these fixed parts, and `…` where they differ."""
    return re.search("[^`]{1,40}?".join(re.escape(part) for part in parts), TEXT) is not None


def first_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield the fixed parts of the first line of each message that the code of the package explains."""
    for path in sorted((ROOT / "airflow_pinecone").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "explain":
                line = node.args[0]
                values = line.values if isinstance(line, ast.JoinedStr) else [line]
                parts = [str(value.value).strip(" .") for value in values if isinstance(value, ast.Constant)]
                if any(" " in part for part in parts):
                    yield f"{path.stem}:{node.lineno}", [part for part in parts if part]


@pytest.mark.parametrize("parts", [parts for _, parts in first_lines()], ids=[where for where, _ in first_lines()])
def test_first_line_of_a_message_is_documented(parts: list[str]) -> None:
    assert is_documented(parts)


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES)
def test_first_line_of_each_end_of_a_wait_is_documented(resource: Resource) -> None:
    label = resource.label.lower()
    # Without a backup, the index of a schedule is unknown.
    subjects = {"freshness": "Index …", "record_counts": "Index …", "schedule": f"The {label}"}
    subject = subjects.get(resource.name, f"The {label} of index …")
    ends = [f"did not {resource.goal} within", f"did not {resource.goal} before the execution_timeout"]
    ends += ["could not be polled: … consecutive polls failed"]
    for end in ends:
        assert f"`{subject} {end}" in TEXT
    for end in [] if resource in (FRESHNESS, RECORD_COUNTS) else [resource.disappeared, "failed`"]:
        assert f"`The {label} of index … {end}" in TEXT


# How the page names the calls.
CALLS = {
    "": "any",
    "create_backup": "create a backup",
    "create_index_from_backup": "restore",
    "delete_backup": "delete a backup",
    "delete_index": "delete an index",
}


def statuses_of(row: Refusal) -> str:
    """Return the statuses as the page shows them, such as ``408, 5…``."""
    hundreds = [status // 100 for status in range(100, 600, 100) if {*range(status, status + 100)} <= {*row.statuses}]
    single = [status for status in row.statuses if status < 600 and status // 100 not in hundreds]
    return ", ".join([*map(str, single), *(f"{hundred}…" for hundred in hundreds)])


def table_of(header: str, rows: list[list[str]]) -> str:
    return "\n".join([header, re.sub("[^|]+", " --- ", header), *(f"| {' | '.join(row)} |" for row in rows)])


def refusals_as_a_table() -> str:
    """Return the table of all refusals, as the page must show it."""
    rows = [
        [
            statuses_of(row),
            " ".join(f"`{code}`" for code in row.codes) or "any",
            "HTML" if row.is_html else " and ".join(filter(None, (row.words, row.about))) or "any",
            CALLS[row.operation],
            f"`{row.error.__name__}`",
            "yes" if row.error.can_retry else "no",
            row.advice.format(connection="the connection", versions="another version that has the call")
            or "What the message says.",
        ]
        for row in REFUSALS
    ]
    return table_of(
        "| status | code | words of the message | request | error | retry | what it means, what to do |", rows
    )


def words_as_a_table() -> str:
    """Return the table of the words, as the page must show it."""
    rows = [[name, ", ".join(f"`{word}`" for word in words)] for name, words in WORDS.items()]
    return table_of("| words | one of these is in the code or the message |", rows)


@pytest.mark.parametrize("table", [refusals_as_a_table(), words_as_a_table()], ids=["refusals", "words"])
def test_table_of_the_code_is_documented(table: str) -> None:
    assert table in PAGE, f"Write this into docs/troubleshooting.md:\n{table}"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 412, 422, 429])
def test_status_that_pinecone_documents_is_documented(status: int) -> None:
    assert f"`HTTP {status}`" in TEXT
