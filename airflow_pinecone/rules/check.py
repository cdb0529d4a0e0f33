"""Whether a backup passes a check: a pure function of the backup, a baseline and the rules."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from airflow_pinecone.api.models import BackupModel, count_of, is_ready, parse_time
from airflow_pinecone.common.text import counted, iso
from airflow_pinecone.policy import CheckRules


class Baseline(TypedDict):
    """What a backup is compared with, as JSON types."""

    kind: Literal["backup", "index"]
    id: str
    record_count: int | None
    created_at: str | None


def backup_baseline(backup: BackupModel) -> Baseline:
    """Return an earlier backup as a baseline."""
    return Baseline(
        kind="backup",
        id=backup["backup_id"],
        record_count=backup.get("record_count"),
        created_at=backup.get("created_at"),
    )


def index_baseline(index_name: str, stats: dict[str, Any]) -> Baseline:
    """Return the current contents of an index, as describe_index_stats returns them, as a baseline."""
    return Baseline(kind="index", id=index_name, record_count=stats.get("totalVectorCount"), created_at=None)


def check_backup(backup: BackupModel, baseline: Baseline | None, rules: CheckRules) -> list[str]:
    """Check a backup. A missing count is not treated as 0: a rule that needs it fails.

    Args:
        backup: The backup.
        baseline: What to compare it with; None compares with nothing.
        rules: What the backup must satisfy.

    Returns:
        The problems, as clauses for a message; empty if the backup passes.
    """
    if not is_ready(backup):
        return [f"its status is {backup['status']}, not Ready"]
    records = count_of(backup.get("record_count"))
    min_records = 1 if rules.min_records is None else rules.min_records
    compared = baseline if rules.max_shrink is not None else None
    findings = []
    if records is None:
        if min_records > 0 or compared:
            findings.append("its record_count is missing")
    elif records < min_records:
        findings.append(
            "it is empty (0 records)"
            if rules.min_records is None
            else f"it has {counted(records, 'record')}, fewer than min_records={rules.min_records}"
        )
    if compared is None or rules.max_shrink is None:
        return findings
    before = count_of(compared["record_count"])
    if before is None:
        findings.append(f"the record count of {_name(compared)}, the baseline, is missing")
    elif records is not None and before > 0 and (before - records) / before > rules.max_shrink:
        findings.append(
            f"it has {counted(records, 'record')} and {_name(compared)} has {counted(before, 'record')}: it is smaller "
            f"by {_percent((before - records) / before)}, and max_shrink={rules.max_shrink:g} allows "
            f"{_percent(rules.max_shrink)}"
        )
    return findings


def _name(baseline: Baseline) -> str:
    if baseline["kind"] == "index":
        return f"index {baseline['id']}"
    created = parse_time(baseline["created_at"])
    return f"the earlier backup {baseline['id']} of {iso(created) if created else 'an unknown time'}"


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
