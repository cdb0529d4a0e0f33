"""Pinecone's models as they are on the wire, and what a status means.

The dicts are passed on as they came: fields that a model here does not name are kept, not refused.
Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_backup
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, Required, TypedDict

Phase = Literal["running", "succeeded", "failed"]
# What can be waited for.
Kind = Literal["backup", "restore"]

# The API documents a free string: one that is not here (Initializing, Pending, a new one) is still running.
_PHASES: dict[str, Phase] = {"Ready": "succeeded", "Failed": "failed", "InitializationFailed": "failed"}

_JOB_PHASES: dict[str, Phase] = {"Completed": "succeeded", "Failed": "failed", "Cancelled": "failed"}


class BackupModel(TypedDict, total=False):
    """A backup. The fields that are not Required may be missing or null."""

    backup_id: Required[str]
    source_index_name: Required[str]
    source_index_id: Required[str]
    status: Required[str]
    cloud: Required[str]
    region: Required[str]
    name: str | None
    description: str | None
    dimension: int | None
    metric: str | None
    schema: dict[str, Any] | None
    record_count: int | None
    namespace_count: int | None
    size_bytes: int | None
    tags: dict[str, Any] | None
    created_at: str | None


class IndexModel(TypedDict, total=False):
    """An index. The fields that are not Required may be missing or null."""

    name: Required[str]
    host: Required[str]
    metric: Required[str]
    spec: Required[dict[str, Any]]
    status: Required[dict[str, Any]]
    vector_type: str
    dimension: int | None
    deletion_protection: str | None
    tags: dict[str, Any] | None


class RestoreJobModel(TypedDict, total=False):
    """A restore job. The fields that are not Required may be missing or null."""

    restore_job_id: Required[str]
    backup_id: Required[str]
    target_index_name: Required[str]
    target_index_id: Required[str]
    status: Required[str]
    created_at: str | None
    completed_at: str | None
    percent_complete: float | None


class RestoreModel(RestoreJobModel, total=False):
    """A restore as a whole: its job, and what became of the index that it makes; the result of a restore task."""

    index_id: Required[str]
    index_name: Required[str]
    index_ready: Required[bool]


class RestoreStarted(TypedDict):
    """What Pinecone answers to a restore that begins."""

    restore_job_id: str
    index_id: str


def phase(status: str) -> Phase:
    """Say what a backup's status means for someone who waits for it.

    Args:
        status: The ``status`` of a BackupModel, as it came.

    Returns:
        ``succeeded`` or ``failed`` for a final status; ``running`` for every other, also an unknown one.
    """
    return _PHASES.get(status, "running")


def job_phase(status: str) -> Phase:
    """Say what a restore job's status means.

    Args:
        status: The ``status`` of a RestoreJobModel, as it came.

    Returns:
        ``succeeded`` or ``failed`` for a final status; ``running`` for every other, also an unknown one.
    """
    return _JOB_PHASES.get(status, "running")


def restore_phase(restore: RestoreModel) -> Phase:
    """Say what the state of a restore means for someone who waits for it.

    Args:
        restore: The restore.

    Returns:
        As of its job, but ``running`` while the index of a job that is Completed cannot be used.
    """
    done = job_phase(restore["status"])
    return "running" if done == "succeeded" and not restore["index_ready"] else done


def created_at(model: BackupModel | RestoreJobModel) -> datetime | None:
    """Say when a backup or a restore job was created.

    Args:
        model: The backup or the job.

    Returns:
        Its ``created_at``, in UTC and cut to microseconds; None where it is missing or no time.
    """
    text = model.get("created_at")
    # fromisoformat takes a fraction of any length, and anything for the T.
    if not isinstance(text, str) or len(text) > 64 or not text.isprintable():
        return None
    try:
        time = datetime.fromisoformat(text)
        # Pinecone's times are UTC, also one that does not say so.
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def newest_ready(backups: Iterable[BackupModel]) -> BackupModel | None:
    """Choose the newest backup that an index can be restored from.

    An index name is used again after its index was deleted. So only backups of the newest source index count: that of
    the newest backup, whatever its status.

    Args:
        backups: The backups of one index name. Those without a ``created_at`` do not count.

    Returns:
        The newest Ready one of the newest source index, or None.
    """
    dated = [(time, backup) for backup in backups if (time := created_at(backup))]
    dated.sort(key=lambda pair: pair[0], reverse=True)
    for _, backup in dated:
        of_the_newest = backup.get("source_index_id") == dated[0][1].get("source_index_id")
        if of_the_newest and phase(backup["status"]) == "succeeded":
            return backup
    return None
