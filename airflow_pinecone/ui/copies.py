"""The copies outside of Pinecone that the page shows: how they are read, and in which words they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.common.text import show_url
from airflow_pinecone.rules.copied import newest_copy
from airflow_pinecone.rules.coverage import copy_sources_of
from airflow_pinecone.rules.history import Age
from airflow_pinecone.rules.report import CopyFacts, IndexCopies, IndexReport
from airflow_pinecone.runtime.copy_reports import read_copies
from airflow_pinecone.ui.formats import UNKNOWN, show_age, show_number
from airflow_pinecone.ui.project_cache import Answer
from airflow_pinecone.ui.reading import Copy, check_of, why_unread

# The copies outside of Pinecone of each index, by its name. A Copy is what the page knows of a project.
Copies = Mapping[str, IndexCopies]


@dataclass(frozen=True)
class CopyView:
    """The newest copy of an index. Times are ISO texts.

    ``backup_id`` is empty for a copy of the index itself, and ``verified_level`` 0 if the copy was not verified.
    """

    created_at: str
    age: str
    backup_id: str
    records: str
    verified_level: int
    verified_at: str | None
    frozen: bool
    url: str


def reader_of_copies(
    destination: Any, last_copy: Callable[[str], Copy | None], *, clock: Clock = SYSTEM_CLOCK
) -> Callable[[str, float], Copies]:
    """Return a function for a CopyCache that reads the newest copies of the indexes of a project.

    Args:
        destination: The folder to which the exports write the copies.
        last_copy: Returns the last copy of the project of a connection.
        clock: The clock.
    """

    def read(connection: str, deadline_at: float) -> Copies:
        copy = last_copy(connection)
        if copy is None:
            return {}
        sources = copy_sources_of(copy.project, copy.index_names)
        return read_copies(destination, sources, check=check_of(deadline_at, clock))

    return read


def with_copies(copy: Copy, answer: Answer[Copies]) -> Copy:
    """Return what is known of a project with its copies. They are unknown if they could not be read."""
    copies: Copies = answer.copy or {}
    if answer.failure is not None:
        copies = dict.fromkeys(copy.index_names, IndexCopies(None, why_unread("ui_copies", answer.failure)))
    return copy._replace(project=copy.project._replace(copies=copies))


def copy_state(row: IndexReport) -> str:
    """Say how old the newest copy is, such as ``2 h, verified (level 2)``; empty if copies were not read."""
    newest = row["newest_copy"]
    if row["copies_known"] is None:
        return ""
    if not row["copies_known"]:
        return UNKNOWN
    if newest is None:
        return "none"
    level = newest["verified_level"]
    return f"{show_age(Age(newest['age']))}, {f'verified (level {level})' if level else 'not verified'}"


def copy_view(copies: IndexCopies, now: datetime) -> CopyView | None:
    """Describe the newest copy of an index; None if there is none, or if it is unknown."""
    newest = newest_copy(copies, now)
    return None if newest is None or copies.why_unknown else _view(newest)


def _view(newest: CopyFacts) -> CopyView:
    return CopyView(
        created_at=newest["created_at"],
        age=show_age(Age(newest["age"])),
        backup_id=newest["backup_id"] or "",
        records=show_number(newest["records"]),
        verified_level=newest["verified_level"] or 0,
        verified_at=newest["verified_at"],
        frozen=newest["frozen"],
        url=show_url(newest["url"]),
    )
