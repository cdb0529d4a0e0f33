"""Metrics about backups, through Airflow's own metrics. Airflow ignores them unless its metrics are configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Stats

from airflow_pinecone.api.models import BackupModel, count_of, created_at
from airflow_pinecone.errors import BackupFailed

if TYPE_CHECKING:
    from airflow_pinecone.rules.report import Report
    from airflow_pinecone.waiting.decisions import WaitResult

# The tag of a backup whose index is not known.
_UNKNOWN = "unknown"


def send_wait_metrics(result: WaitResult, now: float) -> None:
    """Send the metrics of a wait for a backup that has ended.

    ``pinecone.backup.ready`` or ``pinecone.backup.failed`` counts it. A Ready backup also has the gauges
    ``pinecone.backup.last_ready`` (when it was created, in seconds since the epoch), ``pinecone.backup.records`` and
    ``pinecone.backup.bytes``, and the timer ``pinecone.backup.duration``, from its creation until now. All have the tag
    ``index``.

    Args:
        result: The result of the wait. Nothing is sent for one that neither succeeded nor failed, such as a timeout.
        now: Seconds since the epoch.
    """
    if isinstance(result.error, BackupFailed):
        Stats.incr("pinecone.backup.failed", tags={"index": result.index_name or _UNKNOWN})
    elif result.model is not None:
        _send_ready(result.model, now)  # type: ignore[arg-type]


def _send_ready(backup: BackupModel, now: float) -> None:
    tags = {"index": backup.get("source_index_name") or _UNKNOWN}
    Stats.incr("pinecone.backup.ready", tags=tags)
    created = created_at(backup)
    if created is not None:
        Stats.gauge("pinecone.backup.last_ready", created.timestamp(), tags=tags)
        # In milliseconds.
        Stats.timing("pinecone.backup.duration", max(0.0, now - created.timestamp()) * 1000, tags=tags)
    for name, field in (("records", "record_count"), ("bytes", "size_bytes")):
        count = count_of(backup.get(field))
        if count is not None:
            Stats.gauge(f"pinecone.backup.{name}", count, tags=tags)


def send_audit_metrics(report: Report) -> None:
    """Send the metrics of an audit.

    For each index with a Ready backup, the gauge ``pinecone.index.backup_age`` in seconds, with the tag ``index``; for
    each index with a passed restore test of an existing backup, the gauge ``pinecone.index.restore_test_age``, as well;
    for each index with a copy outside of Pinecone, the gauge ``pinecone.index.copy_age``;
    and the gauge ``pinecone.project.backups``, the number of all backups of the project.

    Args:
        report: The report of the audit.
    """
    for row in report["indexes"]:
        if row["age"] is not None:
            Stats.gauge("pinecone.index.backup_age", row["age"], tags={"index": row["index_name"]})
        test = row["passed_restore_test"]
        if test is not None and test["age"] is not None and row["restore_tests_known"]:
            Stats.gauge("pinecone.index.restore_test_age", test["age"], tags={"index": row["index_name"]})
        copy = row["newest_copy"]
        if copy is not None and copy["age"] is not None and row["copies_known"]:
            Stats.gauge("pinecone.index.copy_age", copy["age"], tags={"index": row["index_name"]})
    Stats.gauge("pinecone.project.backups", report["backup_count"])
