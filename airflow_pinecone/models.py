"""Pinecone's models as they are on the wire, and what a backup's status means.

The dicts are passed on as they came: fields that a model here does not name are kept, not refused.
Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_backup
"""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict

Phase = Literal["running", "succeeded", "failed"]

# The API documents a free string: one that is not here (Initializing, Pending, a new one) is still running.
_PHASES: dict[str, Phase] = {"Ready": "succeeded", "Failed": "failed", "InitializationFailed": "failed"}


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


def phase(status: str) -> Phase:
    """Say what a backup's status means for someone who waits for it.

    Args:
        status: The ``status`` of a BackupModel, as it came.

    Returns:
        ``succeeded`` or ``failed`` for a final status; ``running`` for every other, also an unknown one.
    """
    return _PHASES.get(status, "running")
