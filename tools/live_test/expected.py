"""What this package and the emulator assume of each API version."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SPEC_FOLDER_VARIABLE = "PINECONE_SPEC_DIR"

# The fields that this package needs, and those that Pinecone documents as always present.
_REQUIRED = {
    "BackupModel": ("backup_id", "source_index_name", "source_index_id", "status", "cloud", "region"),
    "RestoreJobModel": ("restore_job_id", "backup_id", "target_index_name", "target_index_id", "status", "created_at"),
    "CreateIndexFromBackupResponse": ("restore_job_id", "index_id"),
    "BackupScheduleResponse": (
        *("schedule_id", "name", "index_id", "project_id", "schedule_type", "frequency"),
        *("retention_expire_after_days", "enabled", "next_scheduled_run", "created_at"),
    ),
    "BackupScheduleHistoryItem": ("backup_id", "source_index_id", "source_index_name", "name", "status", "created_at"),
}
_VECTOR_INDEX = ("name", "metric", "status", "spec", "host", "vector_type")
_SCHEMA_INDEX = ("name", "host", "status", "deployment", "schema", "deletion_protection")
# Fields that are documented as always present, and that can be null.
_NULLABLE = {"next_scheduled_run", "created_at"}


@dataclass(frozen=True)
class Expected:
    """What differs between the versions, with the values of 2025-10 and 2026-04.

    Attributes:
        version: The API version.
        has_schema: Whether an index has a schema and a deployment, and a backup schedule is possible.
        created_backup: The statuses of the response to a request that creates a backup. Versions before 2026-07
            document 201, and Pinecone's own client of 2025-10 requires 200.
        configured_index: The status of the response to a request that configures an index.
        unready: The statuses of the response to a restore of a backup that is not Ready.
        required: The required fields of each model.
    """

    version: str
    has_schema: bool = False
    created_backup: tuple[int, ...] = (200, 201)
    configured_index: int = 202
    unready: tuple[int, ...] = (400, 412)
    required: dict[str, tuple[str, ...]] = field(default_factory=lambda: {**_REQUIRED, "IndexModel": _VECTOR_INDEX})

    def index_body(self, name: str, tags: dict[str, str]) -> dict[str, Any]:
        """Return the request body that creates a small index, protected from deletion."""
        body: dict[str, Any] = {"name": name, "tags": tags, "deletion_protection": "enabled"}
        place = {"cloud": "aws", "region": "us-east-1"}
        vectors = {"dimension": 8, "metric": "cosine"}
        if self.has_schema:
            schema = {"fields": {"_values": {"type": "dense_vector", **vectors}}}
            return {**body, "schema": schema, "deployment": {"deployment_type": "managed", **place}}
        return {**body, **vectors, "spec": {"serverless": place}}

    def missing(self, model: str, value: dict[str, Any]) -> list[str]:
        """Return the required fields of a model that a response lacks."""
        return [name for name in self.required[model] if value.get(name) is None and not _is_null(value, name)]


VERSIONS = ("2025-10", "2026-04", "2026-07")


def expected(version: str) -> Expected:
    """Return what is assumed of a version.

    The required fields are those of Pinecone's published description, if PINECONE_SPEC_DIR names its folder.
    """
    if version == "2026-07":
        required = {**_REQUIRED, "IndexModel": _SCHEMA_INDEX}
        found = Expected(version, True, (200,), 200, (412,), required)
    else:
        found = Expected(version)
    found.required.update(_described(version))
    return found


def _is_null(value: dict[str, Any], name: str) -> bool:
    return name in _NULLABLE and name in value


def _described(version: str) -> dict[str, tuple[str, ...]]:
    folder = os.environ.get(SPEC_FOLDER_VARIABLE)
    if not folder:
        return {}
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = Path(folder, f"db_control_{version}.oas.yaml").read_text(encoding="utf-8")
    schemas = yaml.load(text, loader)["components"]["schemas"]  # noqa: S506 (the loader is safe)
    models = {*_REQUIRED, "IndexModel"} & set(schemas)
    return {model: tuple(schemas[model]["required"]) for model in models}
