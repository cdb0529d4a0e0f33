"""Pinecone's models as they are on the wire, and what a status means.

The dicts pass through unchanged, including fields that are not listed here. ``responses`` checks only some of the
fields.

Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_backup
"""

from __future__ import annotations

import re
from collections.abc import Container
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, Required, TypedDict, TypeVar

Phase = Literal["running", "succeeded", "failed"]

# How long before a backup a record must have been written, so that the backup includes it.
# Reference: https://docs.pinecone.io/guides/manage-data/backups-overview
WRITE_LAG = timedelta(minutes=15)

# The API documents the status as a free string. Any status that is not listed here, such as Initializing or Pending,
# means that the backup or the restore job is still running.
_BACKUP_PHASES: dict[str, Phase] = {"Ready": "succeeded", "Failed": "failed", "InitializationFailed": "failed"}
_RESTORE_JOB_PHASES: dict[str, Phase] = {"Completed": "succeeded", "Failed": "failed", "Cancelled": "failed"}
_IMPORT_PHASES: dict[str, Phase] = {"Completed": "succeeded", "Failed": "failed", "Cancelled": "failed"}

# The name of a backup of a schedule.
_SCHEDULED_NAME = re.compile(r"-([0-9]{8}T[0-9]{6}Z)\Z")

# Keys of a dict that Airflow's serialization of XComs and trigger events does not accept, or takes for a class.
_RESERVED_KEYS = {"__classname__", "__id__", "__type"}

# The fields of the schema of an index that the vectors API serves.
_RESERVED_FIELDS = ("_values", "_sparse_values")

Value = TypeVar("Value")


class BackupModel(TypedDict, total=False):
    """A backup. Pinecone documents the Required fields as always present; the others may be missing or null.

    From version 2026-07 on, ``schema`` describes the fields of the index, and ``dimension`` and ``metric`` are missing.
    ``source_index_deleted_at`` is only there if the source index was deleted, in version 2026-07 and in the newer form
    of 2026-04.
    """

    backup_id: Required[str]
    source_index_name: Required[str]
    source_index_id: Required[str]
    source_index_deleted_at: str | None
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


class ScheduledBackupModel(BackupModel, total=False):
    """A backup of a schedule. A planned one is no backup yet: its status is ``Scheduled`` or ``Initializing``."""

    scheduled_execution_at: str | None


class BackupScheduleModel(TypedDict, total=False):
    """A backup schedule. Pinecone documents all fields as always present."""

    schedule_id: Required[str]
    name: Required[str]
    index_id: str
    project_id: str
    schedule_type: str
    frequency: str
    retention_expire_after_days: int
    enabled: Required[bool]
    next_scheduled_run: str | None
    created_at: str


class IndexModel(TypedDict, total=False):
    """An index. Pinecone documents the Required fields as always present; the others may be missing or null.

    ``metric``, ``spec``, ``vector_type`` and ``dimension`` are those of versions before 2026-07, which has ``schema``,
    ``deployment`` and ``read_capacity`` instead.
    """

    name: Required[str]
    host: Required[str]
    status: Required[dict[str, Any]]
    metric: str
    spec: dict[str, Any]
    vector_type: str
    dimension: int | None
    schema: dict[str, Any] | None
    deployment: dict[str, Any]
    read_capacity: dict[str, Any] | None
    deletion_protection: str | None
    tags: dict[str, Any] | None


class RestoreJobModel(TypedDict, total=False):
    """A restore job. Pinecone documents the Required fields as always present; the others may be missing or null."""

    restore_job_id: Required[str]
    backup_id: Required[str]
    target_index_name: Required[str]
    target_index_id: Required[str]
    status: Required[str]
    created_at: str | None
    completed_at: str | None
    percent_complete: float | None


class RestoreModel(RestoreJobModel, total=False):
    """A restore job and the index that it creates: the result of a restore task."""

    index_id: Required[str]
    index_name: Required[str]
    index_ready: Required[bool]


class RestoreStarted(TypedDict, total=False):
    """Pinecone's response to the start of a restore. From version 2026-07 on, ``index_id`` may be missing."""

    restore_job_id: Required[str]
    index_id: str


class ImportModel(TypedDict, total=False):
    """A bulk import. ``index_name`` is only in the result of a task."""

    id: Required[str]
    status: Required[str]
    uri: str
    percentComplete: float
    recordsImported: int
    createdAt: str
    finishedAt: str
    error: str
    index_name: str


class ImportStarted(TypedDict):
    """Pinecone's response to the start of a bulk import."""

    id: str


def import_phase(model: ImportModel) -> Phase:
    """Return what the status of a bulk import means; ``running`` for a status that is not final, or unknown."""
    return _IMPORT_PHASES.get(model["status"], "running")


def import_created_at(model: ImportModel) -> datetime | None:
    """Return when a bulk import was started, in UTC; None if that is missing or not a valid time."""
    return parse_time(model.get("createdAt"))


def backup_phase(backup: BackupModel) -> Phase:
    """Return what the status of a backup means; ``running`` for a status that is not final, or unknown."""
    return _BACKUP_PHASES.get(backup["status"], "running")


def is_ready(backup: BackupModel) -> bool:
    """Return whether a backup can be restored."""
    return backup_phase(backup) == "succeeded"


def restore_job_phase(job: RestoreJobModel) -> Phase:
    """Return what the status of a restore job means; ``running`` for a status that is not final, or unknown."""
    return _RESTORE_JOB_PHASES.get(job["status"], "running")


def is_completed(job: RestoreJobModel) -> bool:
    """Return whether a restore job is Completed. Its index may not be ready yet."""
    return restore_job_phase(job) == "succeeded"


def is_index_ready(index: IndexModel) -> bool:
    """Return whether an index can be used."""
    status: Any = index.get("status")
    return isinstance(status, dict) and status.get("ready") is True


def is_pod_based(index: IndexModel) -> bool:
    """Return whether an index is pod-based. Version 2026-07 has a deployment instead of a spec."""
    return isinstance(_object(index, "spec").get("pod"), dict) or (
        _object(index, "deployment").get("deployment_type") == "pod"
    )


def why_unsupported(index: IndexModel) -> str:
    """Return why Pinecone cannot back up an index, as words for a message; empty if it can.

    Pod-based indexes have no backups. The creation of an index can fail, such as a conversion of another index: such
    an index cannot be used.
    """
    if is_pod_based(index):
        return "it is pod-based"
    return "its creation failed" if _object(index, "status").get("state") == "InitializationFailed" else ""


class VectorFields(NamedTuple):
    """The fields of a document that are vectors.

    Attributes:
        dense: The dense ones, with their dimension; None if it is unknown.
        sparse: The sparse ones.
    """

    dense: dict[str, int | None]
    sparse: frozenset[str]


def document_fields(index: IndexModel) -> VectorFields | None:
    """Return which fields of the documents of an index are vectors; None for an index that the vectors API serves.

    Such an index has a schema, too, with the reserved fields ``_values`` and ``_sparse_values``, and with fields that
    are only for filters.
    """
    fields = {name: f for name, f in _schema_fields(index).items() if f.get("type") and name not in _RESERVED_FIELDS}
    # An integrated index embeds a text. The vectors API serves its records.
    if not fields or all(f["type"] == "semantic_text" for f in fields.values()):
        return None
    dense = {name: count_of(f.get("dimension")) for name, f in fields.items() if f["type"] == "dense_vector"}
    return VectorFields(dense, frozenset(name for name, f in fields.items() if f["type"] == "sparse_vector"))


def dimension_of(index: IndexModel | BackupModel) -> int | None:
    """Return the dimension of the dense vectors of an index, or of the index of a backup; None if it has none."""
    # Version 2026-07 has it in the schema.
    dimension = index.get("dimension") or _schema_fields(index).get("_values", {}).get("dimension")
    return count_of(dimension)


def metric_of(index: IndexModel | BackupModel) -> str | None:
    """Return the metric of the dense vectors of an index, or of the index of a backup; None if it is unknown."""
    metric = index.get("metric") or _schema_fields(index).get("_values", {}).get("metric")
    return metric if isinstance(metric, str) else None


def _schema_fields(model: IndexModel | BackupModel) -> dict[str, dict[str, Any]]:
    schema = model.get("schema")
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return (
        {name: field for name, field in fields.items() if isinstance(field, dict)} if isinstance(fields, dict) else {}
    )


def _object(index: IndexModel, field: str) -> dict[str, Any]:
    value = index.get(field)
    return value if isinstance(value, dict) else {}


def tags_of(model: BackupModel | IndexModel) -> dict[str, Any]:
    """Return the tags of a backup or an index, whose values need not be strings."""
    tags = model.get("tags")
    return tags if isinstance(tags, dict) else {}


def restore_model(job: RestoreJobModel, *, index_ready: bool) -> RestoreModel:
    """Return a restore job together with its index."""
    index_id = job.get("target_index_id") or ""
    return {**job, "index_id": index_id, "index_name": job["target_index_name"], "index_ready": index_ready}


def restore_phase(restore: RestoreModel) -> Phase:
    """Return the phase of a restore: still ``running`` if its job is Completed but its index is not ready."""
    phase = restore_job_phase(restore)
    return "running" if phase == "succeeded" and not restore["index_ready"] else phase


def count_of(value: Any) -> int | None:
    """Return a number from Pinecone, such as a record count; None if it is missing or invalid.

    It can be a text: JSON from Protocol Buffers has integers of 64 bits as strings.
    """
    if isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value):
        value = int(value)
    return value if type(value) is int and 0 <= value < 2**63 else None


def created_at(model: BackupModel | RestoreJobModel) -> datetime | None:
    """Return when a backup or a restore job was created, in UTC; None if that is missing or not a valid time."""
    return parse_time(model.get("created_at"))


def completed_at(job: RestoreJobModel) -> datetime | None:
    """Return when a restore job ended: its ``completed_at``, or its ``created_at`` if that is missing."""
    return parse_time(job.get("completed_at")) or created_at(job)


def run_time(backup: BackupModel) -> datetime | None:
    """Return when a schedule runs, or ran, to create a backup, in UTC; None if it is not known to be of a schedule.

    Pinecone ends the name of such a backup with that time, as in ``nightly-20260403T060000Z``. The ``created_at`` can
    be that of the plan.
    """
    planned = parse_time(backup.get("scheduled_execution_at"))
    found = _SCHEDULED_NAME.search(str(backup.get("name")))
    return planned or (parse_time(found[1]) if found else None)


def is_planned(backup: BackupModel, now: datetime) -> bool:
    """Return whether a backup is only planned by a schedule. Pinecone may give it the status ``Initializing``."""
    if backup["status"] == "Scheduled":
        return True
    planned_for = run_time(backup)
    return backup_phase(backup) == "running" and planned_for is not None and planned_for > now


def covers_writes_until(backup: BackupModel) -> datetime | None:
    """Return until when writes to the index are in a backup: WRITE_LAG before its ``created_at``.

    Later writes may be missing. None if ``created_at`` is missing or not a valid time.
    """
    created = created_at(backup)
    try:
        return None if created is None else created - WRITE_LAG
    except OverflowError:
        return None


def xcom_safe(value: Value) -> Value:
    """Rename the keys that Airflow cannot store in an XCom or in the event of a trigger.

    The name of a metadata field can be such a key: a backup's ``schema`` has it as a key. Each key ``__classname__``,
    ``__id__`` or ``__type`` gets one more leading underscore, or several, if the dict already has that key.
    """
    safe: Any = value
    if isinstance(value, list):
        safe = [xcom_safe(item) for item in value]
    elif isinstance(value, dict):
        safe = {_safe_key(key, value): xcom_safe(item) for key, item in value.items()}
    return safe  # type: ignore[no-any-return]


def _safe_key(key: str, keys: Container[str]) -> str:
    if key in _RESERVED_KEYS:
        key = f"_{key}"
        while key in keys:
            key = f"_{key}"
    return key


def parse_time(text: Any) -> datetime | None:
    """Read a time of the API, in UTC and truncated to microseconds; None if it is missing or not a valid time."""
    # fromisoformat accepts fractions of any length and any separator character, so reject what is clearly not a time.
    if not isinstance(text, str) or len(text) > 64 or not text.isprintable():
        return None
    try:
        time = datetime.fromisoformat(text)
        # Pinecone's times are in UTC, even if they have no offset.
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
