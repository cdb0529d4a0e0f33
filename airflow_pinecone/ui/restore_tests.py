"""The restore tests that the page shows: how they are read, and in which words they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.rules.coverage import backup_ids_of
from airflow_pinecone.rules.report import IndexReport, RestoreTests
from airflow_pinecone.runtime.restore_reports import read_tests
from airflow_pinecone.ui.formats import UNKNOWN, show_duration
from airflow_pinecone.ui.project_cache import Answer
from airflow_pinecone.ui.reading import Copy, check_of, why_unread

Tests = Mapping[str, RestoreTests]


def reader_of_tests(
    folder: Any, last_copy: Callable[[str], Copy | None], *, clock: Clock = SYSTEM_CLOCK
) -> Callable[[str, float], Tests]:
    """Return a function for a CopyCache that reads the restore tests of the indexes of a project.

    Args:
        folder: The folder of the records.
        last_copy: Returns the last copy of the project of a connection.
        clock: The clock.
    """

    def read(connection: str, deadline_at: float) -> Tests:
        copy = last_copy(connection)
        if copy is None:
            return {}
        backups = backup_ids_of(copy.project, copy.index_names)
        return read_tests(folder, backups, now=clock.utcnow(), check=check_of(deadline_at, clock))

    return read


def with_tests(copy: Copy, answer: Answer[Tests]) -> Copy:
    """Return a copy of a project with its restore tests. They are unknown if they could not be read."""
    tests: Tests = answer.copy or {}
    if answer.failure is not None:
        tests = dict.fromkeys(copy.index_names, RestoreTests((), why_unread("ui_restore_tests", answer.failure)))
    return copy._replace(project=copy.project._replace(restore_tests=tests))


def restore_test_state(row: IndexReport) -> str:
    """Say whether an index is tested, such as ``tested 3 days ago``; empty if restore tests were not read."""
    passed = row["passed_restore_test"]
    if row["restore_tests_known"] is None:
        return ""
    if not row["restore_tests_known"]:
        return UNKNOWN
    if row["failed_restore_test"]:
        return "test failed"
    if passed is None:
        return "restored, not tested" if row["last_restore"] else "not tested"
    if passed["age"] is None:
        return UNKNOWN
    return f"tested {show_duration(passed['age'])} ago{' (a sample)' if passed['sampled'] else ''}"
