"""Searching docs/troubleshooting.md for the first line of an error message finds it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_pinecone.api.advice import REFUSALS
from airflow_pinecone.errors import PineconeError, PineconeTransientError
from airflow_pinecone.waiting.decisions import Wait, WaitResult, WaitSpec
from airflow_pinecone.waiting.intervals import MAX_FAILED_POLLS
from airflow_pinecone.waiting.resources import RESOURCES

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
def test_first_line_of_each_end_of_a_wait_is_documented(resource: object) -> None:
    name = getattr(resource, "name", "")

    def error_of(*outcomes: object, now: float = 0.0) -> str:
        wait = Wait(WaitSpec(name, "id-1", started_at=0.0, deadline_at=3600.0))
        for outcome in outcomes:
            step = wait.step(outcome, now)  # type: ignore[arg-type]
        assert isinstance(step, WaitResult)
        assert isinstance(step.error, PineconeError)
        return str(step.error)

    model = {"source_index_name": "docs", "target_index_name": "docs", "index_ready": False}
    running, failed = {**model, "status": "Pending"}, {**model, "status": "Failed"}
    unavailable = PineconeTransientError("HTTP 503")
    for error in (
        error_of(failed),
        error_of(running, now=3600.0),
        error_of(running, *[unavailable] * (MAX_FAILED_POLLS + 1)),
    ):
        line = re.sub(r" within .*| \d+ ", "\n", error.splitlines()[0].rstrip("."))
        assert is_documented([part for part in re.split(r"docs|\n", line) if part]), error


@pytest.mark.parametrize("status", sorted({row.status for row in REFUSALS}))
def test_status_of_a_response_is_documented(status: int) -> None:
    assert f"| `HTTP {status}` |" in TEXT
