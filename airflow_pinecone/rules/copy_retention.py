"""Which copies of an index may be deleted, by the retention rules of backups. Nothing here does I/O or reads a clock.

The rules apply to the copies of each source index on its own. A copy is as old as its backup. The newest complete copy,
damaged ones, and those whose backup has a hold that has not ended are always kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, cast

from airflow_pinecone.api.models import BackupModel, parse_time
from airflow_pinecone.common.text import cell, text_table
from airflow_pinecone.rules import retention
from airflow_pinecone.rules.copy_format import Manifest
from airflow_pinecone.rules.history import BackupHistory

_DAMAGED = "Damaged"
# The rules are those of backups, and so are their reasons.
_REASONS = {"the newest Ready backup": "the newest complete copy", f"not Ready ({_DAMAGED})": "damaged"}


class FoundCopy(NamedTuple):
    """A copy in a destination.

    Attributes:
        path: Its folder below the destination.
        manifest: Its manifest.
        manifest_sha256: The SHA-256 of the file of the manifest.
        is_damaged: Whether it is known that it cannot be used.
    """

    path: str
    manifest: Manifest
    manifest_sha256: str
    is_damaged: bool = False

    @property
    def source_index_id(self) -> str:
        """The id of its index. For the copy of an index without a backup, the folder stands for it."""
        return str((self.manifest["backup"] or {}).get("source_index_id") or self.path.partition("/")[0])

    @property
    def created_at(self) -> str:
        """When its backup was created, or when its manifest was written."""
        created_at = (self.manifest["backup"] or {}).get("created_at")
        return str(created_at) if parse_time(created_at) else self.manifest["created_at"]


class CopyDecision(NamedTuple):
    """The decision about one copy.

    Attributes:
        copy: The copy.
        keep: Whether it is kept.
        reasons: Why it is kept or deleted; at least one reason.
    """

    copy: FoundCopy
    keep: bool
    reasons: tuple[str, ...]

    def as_json(self, *more: str) -> dict[str, Any]:
        """Return the decision for XCom."""
        return {
            "path": self.copy.path,
            "source_index_id": self.copy.source_index_id,
            "backup_id": (self.copy.manifest["backup"] or {}).get("backup_id"),
            "created_at": self.copy.created_at,
            "reasons": [*self.reasons, *more],
        }


def newest_first(copies: Iterable[FoundCopy]) -> dict[str, list[FoundCopy]]:
    """Return the copies of each source index, the newest first."""
    by_index: dict[str, list[FoundCopy]] = {}
    for copy in sorted(copies, key=lambda copy: (parse_time(copy.created_at), copy.path), reverse=True):
        by_index.setdefault(copy.source_index_id, []).append(copy)
    return by_index


def plan(copies: Iterable[FoundCopy], rules: retention.RetentionRules, *, now: datetime) -> list[CopyDecision]:
    """Decide which copies may be deleted.

    Args:
        copies: The copies of one index name.
        rules: The rules.
        now: The time of the decision. Copies of backups that are created later are kept.

    Returns:
        The decisions, the newest copy first.
    """
    by_path = {copy.path: copy for copy in copies}
    history = BackupHistory(map(_as_backup, by_path.values()))
    decisions = retention.plan(history, rules, now=now, owned_only=False, include_deleted_indexes=True).decisions
    return [
        CopyDecision(by_path[backup["backup_id"]], keep, tuple(_REASONS.get(reason, reason) for reason in reasons))
        for backup, keep, reasons in decisions
    ]


def table(decisions: Iterable[CopyDecision]) -> str:
    """Format the decisions as a table with one row for each copy."""
    rows: list[tuple[str, ...]] = [("", "created_at", "copy", "records", "reasons")]
    for copy, keep, reasons in decisions:
        # The path must be complete, so it is no cell.
        fields = (cell(copy.created_at), copy.path, str(copy.manifest["totals"]["records"]))
        rows.append(("keep" if keep else "DELETE", *fields, "; ".join(reasons)))
    return text_table(rows)


def _as_backup(copy: FoundCopy) -> BackupModel:
    backup = copy.manifest["backup"] or {}
    model: dict[str, Any] = {
        "backup_id": copy.path,
        "status": _DAMAGED if copy.is_damaged else "Ready",
        "created_at": copy.created_at,
        "source_index_id": copy.source_index_id,
        "source_index_name": copy.manifest["index_name"],
        "description": backup.get("description"),
    }
    return cast("BackupModel", model)
