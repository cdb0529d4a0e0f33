"""Searching docs/troubleshooting.md for the first line of an error message finds it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_pinecone.api.advice import REFUSALS
from airflow_pinecone.waiting.resources import FRESHNESS, RESOURCES, Resource

ROOT = Path(__file__).resolve().parents[2]
TEXT = " ".join((ROOT / "docs" / "troubleshooting.md").read_text().split())


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
    subject = "Index …" if resource is FRESHNESS else f"The {resource.label.lower()} of index …"
    ends = [f"did not {resource.goal} within", f"did not {resource.goal} before the execution_timeout"]
    ends += ["could not be polled: … consecutive polls failed"]
    for end in ends if resource is FRESHNESS else [*ends, resource.disappeared, "failed`"]:
        assert f"`{subject} {end}" in TEXT


@pytest.mark.parametrize("status", sorted({row.status for row in REFUSALS}))
def test_status_of_a_response_is_documented(status: int) -> None:
    assert f"| `HTTP {status}` |" in TEXT
