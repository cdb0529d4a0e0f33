"""Records of restore tests, made by the code that a restore test uses."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_pinecone.common.text import iso
from airflow_pinecone.rules.restore_test import (
    Counts,
    Estimate,
    NamespaceRow,
    Part,
    PartNamespace,
    PartResult,
    Plan,
    RestoreTestRules,
    build_record,
)
from airflow_pinecone.runtime.restore_reports import write

FINDING = "The backup has 100 records, but the restored index has 60."


def make_record(
    index_name: str,
    backup_id: str,
    ended_at: datetime,
    verdict: str = "passed",
    *,
    sample: float = 1.0,
    source_index_id: str | None = None,
    backup_created_at: datetime | None = None,
    run_id: str | None = None,
    compared: int | None = None,
) -> dict[str, Any]:
    """Make the record of a restore test."""
    backup: Any = {
        "backup_id": backup_id,
        "source_index_name": index_name,
        "source_index_id": source_index_id,
        "created_at": iso(backup_created_at) if backup_created_at else None,
        "record_count": 100,
        "namespace_count": 1,
    }
    plan = Plan(
        test_id="t-1",
        run="0123456789abcdef",
        index_name=index_name,
        backup_id=backup_id,
        backup=backup,
        scratch="restore-test-0123456789ab",
        tags={},
        compare=False,
        why_not_compared="compare_to_index is not set",
        sample=sample,
        seed=1,
        estimate=Estimate(records=100, read_units=11, response_bytes=None, minutes=1),
        started_at=iso(ended_at),
    )
    counts = Counts(
        settled=True,
        problem="",
        namespaces=1,
        compare=False,
        why_not_compared="compare_to_index is not set",
    )
    read = 60 if verdict == "failed" else 100
    row = NamespaceRow(
        namespace="",
        listed=read,
        read=read,
        expected=read,
        digest=f"v1:{read}:{read:032x}",
        findings=[],
        recall=None,
        why_no_recall="queries is 0",
        query_error="",
        reference_count=compared,
    )
    usage = {"requests": 2, "read_units": 11, "response_bytes": 100}
    part = Part(test_id="t-1", restore_job_id="r-1", namespaces=[PartNamespace(name="", records=read)], compare=False)
    result = PartResult(
        test_id="t-1",
        restore_job_id="r-1",
        namespaces=[row],
        usage=usage,
        seconds=1.0,
        ended_at=ended_at.isoformat(),
    )
    record = build_record(
        plan=plan,
        restore={"restore_job_id": "r-1", "backup_id": backup_id, "index_name": plan["scratch"]},
        counts=counts,
        parts=[part],
        results=[] if verdict == "incomplete" else [result],
        rules=RestoreTestRules(),
        earlier=None,
        why_no_earlier="report_to is not set",
        who={"dag_id": "tests", "run_id": run_id or f"scheduled__{iso(ended_at)}"},
        parameters={},
        now=ended_at,
    )
    assert record["verdict"] == verdict
    return record


def add_test(
    folder: Path, index_name: str, backup_id: str, ended_at: datetime, verdict: str = "passed", **options: Any
) -> Path:
    """Write the record of a restore test, as the test does. Return the path of its file."""
    record = make_record(index_name, backup_id, ended_at, verdict, **options)
    return Path(write(f"file://{folder}", index_name, backup_id, record, ended_at).removeprefix("file://"))
