"""Which indexes have a copy outside of Pinecone, and how old it is. Nothing here does I/O or reads a clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_pinecone.api.models import parse_time
from airflow_pinecone.common.durations import validate_duration
from airflow_pinecone.common.text import cell, iso, show_seconds, show_url
from airflow_pinecone.policy import IndexRules
from airflow_pinecone.rules.copy_retention import FoundCopy
from airflow_pinecone.rules.history import age_of
from airflow_pinecone.rules.report import CopyFacts, IndexCopies, Problem, unknown_facts


def copy_facts(copy: FoundCopy, url: str, verified: Mapping[str, Any] | None) -> CopyFacts:
    """Return what a report says about a copy.

    Args:
        copy: The copy.
        url: Its folder.
        verified: The report of its newest verification; None if there is none of its manifest.
    """
    report = verified or {}
    created_at = parse_time(copy.created_at)
    level, at = report.get("level"), parse_time(report.get("verified_at"))
    is_verified = level in (1, 2, 3) and at is not None
    return CopyFacts(
        url=url,
        backup_id=(copy.manifest["backup"] or {}).get("backup_id"),
        created_at=iso(created_at) if created_at else copy.created_at,
        age=None,
        records=copy.manifest["totals"]["records"],
        frozen=copy.manifest["frozen"],
        verified_level=level if is_verified else None,
        verified_at=iso(at) if is_verified and at is not None else None,
    )


def newest_copy(copies: IndexCopies | None, now: datetime) -> CopyFacts | None:
    """Return the newest copy of an index, with its age; None without one."""
    if copies is None or copies.newest is None:
        return None
    age = age_of(parse_time(copies.newest["created_at"]), now).seconds
    return CopyFacts(**{**copies.newest, "age": age})


def copy_problems(copies: IndexCopies | None, rules: IndexRules, now: datetime) -> list[Problem]:
    """Return why an index breaks ``max_copy_age``, and which copy is damaged. Unread copies break nothing."""
    if copies is None:
        return []
    problems = [
        Problem(status="failing", text=f"its copy in {show_url(url)} did not pass its verification")
        for url in copies.damaged[:1]
    ]
    if rules.max_copy_age is None:
        return problems
    max_age = validate_duration(rules.max_copy_age, "max_copy_age")
    allowed = f"max_copy_age is {show_seconds(max_age)}"
    newest = newest_copy(copies, now)
    if copies.why_unknown:
        text = f"its copies outside of Pinecone are unknown: {copies.why_unknown}"
    elif newest is None:
        text = f"it has no {'other ' if problems else ''}copy outside of Pinecone, and {allowed}"
    elif newest["age"] is None:
        text = f"its newest copy is of {cell(newest['created_at'])}, in the future: check the clock"
    elif newest["age"] >= max_age:
        text = f"its newest copy outside of Pinecone is {show_seconds(newest['age'])} old, and {allowed}"
    else:
        return problems
    return [*problems, Problem(status="late", text=text)]


def unknown_copies(copies: Mapping[str, IndexCopies]) -> list[str]:
    """Return which copies are unknown, in sentences: one for each reason."""
    return unknown_facts("copies", {name: found.why_unknown for name, found in copies.items()})


def damaged_copies(copies: Mapping[str, IndexCopies]) -> list[str]:
    """Return which copies have not passed their last verification, in sentences."""
    return [
        f"The copy of index {name} in {show_url(url)} did not pass its verification."
        for name, found in copies.items()
        for url in found.damaged
    ]


def copy_state(copies_known: bool | None, newest: CopyFacts | None) -> str:
    """Say how old the newest copy of an index is, and whether it was verified; empty if copies were not read."""
    if copies_known is None:
        return ""
    if not copies_known:
        return "unknown"
    if newest is None:
        return "none"
    age = "unknown age" if newest["age"] is None else f"{show_seconds(newest['age'])} old"
    level = newest["verified_level"]
    return f"{age}, {f'verified (level {level})' if level else 'not verified'}"
