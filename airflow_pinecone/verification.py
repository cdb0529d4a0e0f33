"""Whether a backup may be trusted: one pure function, given the backup, what it is compared with, and the rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypedDict

from airflow_pinecone.errors import BackupCheckFailed
from airflow_pinecone.models import BackupModel, created_at, phase


class Rules(NamedTuple):
    """What a backup must fulfil.

    Attributes:
        min_records: The fewest records it may have; None: one, as a backup without any is empty.
        max_shrink: The share by which it may be smaller than what it is compared with, such as 0.2; None: any.
    """

    min_records: int | None = None
    max_shrink: float | None = None


class Counterpart(TypedDict):
    """What a backup is compared with, as JSON types."""

    kind: Literal["backup", "index"]
    id: str
    record_count: int | None
    created_at: str | None


def previous(backup: BackupModel, others: Iterable[BackupModel]) -> Counterpart | None:
    """Choose what a backup is compared with: the newest earlier Ready backup of the same source index.

    Args:
        backup: The backup.
        others: The backups of its index name; the backup itself may be among them.

    Returns:
        The counterpart, or None where there is no earlier backup.

    Raises:
        BackupCheckFailed: There are others, but a ``created_at`` is missing, so that nobody knows which came earlier.
            Or the backup does not tell its index.
    """
    if not backup.get("source_index_id"):
        raise BackupCheckFailed(
            f"Backup {backup['backup_id']} cannot be compared with an earlier one: its source_index_id is missing"
        )
    ready = [
        other
        for other in others
        if other["backup_id"] != backup["backup_id"]
        and other.get("source_index_id") == backup["source_index_id"]
        and phase(other["status"]) == "succeeded"
    ]
    own = created_at(backup)
    dated = [(time, other) for other in ready if (time := created_at(other))]
    earlier = [(time, other) for time, other in dated if own and time < own]
    if earlier:
        newest = max(earlier, key=lambda pair: pair[0])[1]
        return Counterpart(
            kind="backup",
            id=newest["backup_id"],
            record_count=newest.get("record_count"),
            created_at=newest.get("created_at"),
        )
    if ready and own is None:
        raise BackupCheckFailed(
            f"Backup {backup['backup_id']} cannot be compared with an earlier one: its created_at is missing"
        )
    if len(dated) < len(ready):
        unknown = ", ".join(other["backup_id"] for other in ready if created_at(other) is None)
        raise BackupCheckFailed(
            f"Backup {backup['backup_id']} cannot be compared with an earlier one: created_at of {unknown} is missing"
        )
    return None


def index_now(index_name: str, stats: dict[str, Any]) -> Counterpart:
    """Make what a backup is compared with out of the live index's stats.

    Args:
        index_name: The index.
        stats: What describe_index_stats answered.

    Returns:
        The counterpart.
    """
    return Counterpart(kind="index", id=index_name, record_count=stats.get("totalVectorCount"), created_at=None)


def check(backup: BackupModel, counterpart: Counterpart | None, rules: Rules) -> list[str]:
    """Check a backup. A count that is missing is not taken for 0: the rule that needs it is not fulfilled.

    Args:
        backup: The backup.
        counterpart: What its size is compared with; None where there is nothing to compare with.
        rules: What it must fulfil.

    Returns:
        What is wrong with it, in words and figures; empty when it passes.
    """
    if phase(backup["status"]) != "succeeded":
        return [f"its status is {backup['status']}, not Ready"]
    count = _count(backup.get("record_count"))
    at_least = 1 if rules.min_records is None else rules.min_records
    compared = counterpart if rules.max_shrink is not None else None
    findings = []
    if count is None:
        if at_least > 0 or compared:
            findings.append("its record_count is missing")
    elif count < at_least:
        findings.append(
            "it is empty: it has 0 records"
            if rules.min_records is None
            else f"it has {_records(count)}, fewer than min_records={rules.min_records}"
        )
    if compared is None or rules.max_shrink is None:
        return findings
    before = _count(compared["record_count"])
    if before is None:
        findings.append(f"the record count of {_name(compared)}, which it is compared with, is missing")
    elif count is not None and before > 0 and (before - count) / before > rules.max_shrink:
        findings.append(
            f"it has {_records(count)}, and {_name(compared)} has {_records(before)}: it is smaller by "
            f"{_percent((before - count) / before)}, and max_shrink={rules.max_shrink:g} allows "
            f"{_percent(rules.max_shrink)}"
        )
    return findings


def _count(value: Any) -> int | None:
    possible = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return value if possible else None


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"


def _name(counterpart: Counterpart) -> str:
    if counterpart["kind"] == "index":
        return f"index {counterpart['id']} now"
    return f"the earlier backup {counterpart['id']} of {counterpart['created_at']}"


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
