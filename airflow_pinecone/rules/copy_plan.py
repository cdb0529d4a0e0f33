"""Decide what a copy exports, and estimate what it costs. Nothing here does I/O or reads a clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_pinecone.api.models import BackupModel, IndexModel, dimension_of, metric_of
from airflow_pinecone.rules.copy_format import Columns
from airflow_pinecone.rules.restore_cost import (
    IDS_PER_READ_UNIT,
    RECORDS_PER_READ_UNIT,
)

if TYPE_CHECKING:
    from airflow_pinecone.api.record import Record

# About how many records one task exports in a second.
_RECORDS_PER_SECOND = 1_000
# An index has so many parts, unless they have fewer records than this.
_MIN_PARTS, _SMALL_PART = 16, 10_000
# The records of a part are a multiple of this, unless it has fewer.
_RECORDS_STEP = 100
# A listing whose segments are listed at the same time needs more pages.
_LISTING_FACTOR = 1.5


class CopyPlan(TypedDict):
    """What a copy is about: the result of its first task, as JSON types.

    Attributes:
        test_id: Identifies this plan. Another execution of the first task has another one.
        run: The digest of the run; see ``rules.scratch``.
        source: ``backup`` or ``index``.
        index_name: The index.
        read_from: The index whose records are read: the scratch index, or the index itself.
        backup_id: The id of the backup; empty for ``index``.
        backup: The backup; None for ``index``.
        scratch: The name of the scratch index; empty for ``index``.
        tags: Its tags.
        compare: False: a copy is not compared with an index.
        why_not_compared: Why not.
        url: The folder of the copy.
        started_at: When the run started.
    """

    test_id: str
    run: str
    source: str
    index_name: str
    read_from: str
    backup_id: str
    backup: BackupModel | None
    scratch: str
    tags: dict[str, str]
    compare: bool
    why_not_compared: str
    url: str
    started_at: str


class ExportTask(TypedDict):
    """What one mapped task exports, as JSON types.

    Attributes:
        test_id: The plan to which it belongs.
        parts: The numbers of the parts.
        records: Their records.
    """

    test_id: str
    parts: list[int]
    records: int


class CopyEstimate(TypedDict):
    """What the reading of a copy will cost, as JSON types.

    Attributes:
        records: The number of records.
        read_units: The read units.
        response_bytes: The bytes of the responses, not compressed, which Pinecone bills as egress.
        copy_bytes: The bytes of the copy, not compressed.
        minutes: The time of one task.
    """

    records: int
    read_units: int
    response_bytes: int
    copy_bytes: int
    minutes: int


def columns_of(index: IndexModel | BackupModel) -> Columns:
    """Return which columns the files of a copy need. Only with the metric dotproduct, a record can have both values."""
    if index.get("vector_type") == "sparse" or dimension_of(index) is None:
        return "sparse"
    return "hybrid" if metric_of(index) == "dotproduct" else "dense"


def folder_of_copy(index_name: str, backup: BackupModel | None, run: str, now: datetime) -> str:
    """Return the folder of a copy below its destination.

    Args:
        index_name: The index.
        backup: The backup; None for the copy of an index.
        run: The digest of the run.
        now: When the run started.
    """
    if backup is None:
        return f"{index_name}/live-{now.strftime('%Y%m%dT%H%M%SZ')}-{run[:8]}"
    return f"{backup.get('source_index_id') or index_name}/{backup['backup_id']}"


def size_of(record: Record) -> int:
    """Return about how many bytes a record has in a copy."""
    pairs = 0 if record.sparse_values is None else len(record.sparse_values.indices)
    return len(record.id) + 4 * len(record.values) + 8 * pairs + len(repr(record.metadata))


def estimate_copy(records: int, namespaces: int, record_bytes: float, response_bytes: float) -> CopyEstimate:
    """Estimate what the reading of a copy costs.

    Args:
        records: The number of records.
        namespaces: The number of namespaces.
        record_bytes: The bytes of a record in the copy, from a sample.
        response_bytes: The bytes of a record in a response, from a sample.
    """
    lists = namespaces + math.ceil(_LISTING_FACTOR * records / IDS_PER_READ_UNIT)
    return CopyEstimate(
        records=records,
        read_units=lists + namespaces + math.ceil(records / RECORDS_PER_READ_UNIT),
        response_bytes=round(records * response_bytes),
        copy_bytes=round(records * record_bytes),
        minutes=math.ceil(records / _RECORDS_PER_SECOND / 60),
    )


def why_too_large(cost: CopyEstimate, max_read_units: float | None, max_bytes: float | None) -> str:
    """Return why a copy must not be read, as a clause for a message; empty if it may."""
    problems = []
    if max_read_units is not None and cost["read_units"] > max_read_units:
        problems.append(
            f"it would cost about {cost['read_units']:,} read units, and max_read_units is {max_read_units:,.0f}"
        )
    if max_bytes is not None and cost["response_bytes"] > max_bytes:
        problems.append(
            f"the responses would have about {cost['response_bytes']:,} bytes, and max_bytes is {max_bytes:,.0f}"
        )
    return "; ".join(problems)


def records_per_part(part_bytes: float, record_bytes: float, total: int) -> int:
    """Return how many records a part has. A small index has several parts, too, so that several tasks export it.

    Args:
        part_bytes: About the bytes of a part.
        record_bytes: The bytes of a record, from a sample.
        total: The number of records of the index.
    """
    count = min(int(part_bytes / max(1.0, record_bytes)), max(_SMALL_PART, math.ceil(total / _MIN_PARTS)))
    return max(1, math.ceil(count / _RECORDS_STEP) * _RECORDS_STEP if count > _RECORDS_STEP else count)


def export_tasks(counts: Sequence[int], test_id: str, max_tasks: int) -> list[ExportTask]:
    """Group the parts of a copy for the mapped tasks, in the order of the parts.

    Args:
        counts: The number of records of each part.
        test_id: The plan to which they belong.
        max_tasks: The maximum number of tasks.
    """
    size = max(1, math.ceil(len(counts) / max_tasks))
    return [
        ExportTask(
            test_id=test_id,
            parts=list(range(start, min(start + size, len(counts)))),
            records=sum(counts[start : start + size]),
        )
        for start in range(0, len(counts), size)
    ]


def copy_result(plan: CopyPlan, manifest: Any) -> dict[str, Any]:
    """Return what a copy is, for XCom: small, and without ids of records."""
    return {
        "url": plan["url"],
        "index_name": plan["index_name"],
        "backup_id": plan["backup_id"] or None,
        "created_at": manifest["created_at"],
        "frozen": manifest["frozen"],
        **manifest["totals"],
    }
