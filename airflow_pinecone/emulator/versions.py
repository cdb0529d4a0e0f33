"""The versions of the API: what each accepts, and how it shows indexes, backups and restore jobs.

All versions share one state. A request names its version in the header X-Pinecone-Api-Version.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_pinecone.emulator import request_bodies, schema_bodies, shapes
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.resources import Backup, Index, Model, RestoreJob, timestamp

# Fields of an index that version 2026-07 replaces by `schema`, `deployment` and `read_capacity`.
_VECTOR_FIELDS = {"dimension", "metric", "vector_type", "spec"}


@dataclass(frozen=True)
class Version:
    """A version in which an index has a dimension and a spec: 2025-10 or 2026-04.

    Attributes:
        name: The value of the header.
        shows_deleted: Whether `include_deleted` has an effect, and backups have `source_index_deleted_at`. Other
            versions ignore the parameter.
        page_size: The number of rows of a page, unless a request has a `limit`.
        created_backup: The status of the response to a request that creates a backup.
        configured_index: The status of the response to a request that configures an index.
        no_plan: The code of the error if the plan of the project does not include backups.
        has_schedules: Whether the version has backup schedules.
        has_documents: Whether the version has the Documents API.
        has_aliases: Whether the version has namespace aliases.
        default_namespace: The name of the default namespace in the stats of an index.
        counts_as_text: Whether the counts of a namespace are decimal strings, and it has a size.
        counts_egress: Whether the usage of a request includes the bytes of the response.
    """

    name: str
    shows_deleted: bool = False
    page_size: int = 10
    created_backup: int = 201
    configured_index: int = 202
    no_plan: str = "FORBIDDEN"
    has_schedules: bool = False
    has_documents: bool = False
    has_aliases: bool = False
    default_namespace: str = "__default__"
    counts_as_text: bool = False
    counts_egress: bool = False

    def unauthorized(self, *, data_plane: bool) -> ApiError:
        """Return the error for an invalid API key."""
        return ApiError(401, "Invalid API key.")

    def unready_backup(self, backup_id: str, status: str) -> ApiError:
        """Return the error for a restore of a backup that is not Ready."""
        return ApiError(400, f"Backup {backup_id} is not ready: its status is {status}.")

    def parse_create_index(self, body: Model) -> Model:
        """Return the model of a new index."""
        return request_bodies.parse_create_index(body)

    def parse_configure_index(self, body: Model, model: Mapping[str, Any]) -> Model:
        """Return the fields of the model of an index that a request changes."""
        return request_bodies.parse_configure_index(body, model)

    def parse_create_backup(self, body: Model) -> Model:
        """Return the name and the description of a new backup."""
        return request_bodies.parse_create_backup(body)

    def parse_create_index_from_backup(self, body: Model) -> Model:
        """Return the fields of the index that a backup is restored into."""
        return request_bodies.parse_create_index_from_backup(body)

    def index(self, index: Index, now: float, base_url: str) -> Model:
        """Return an index as in a response; its `host` starts with `base_url`, the emulator's URL."""
        model = copy.deepcopy(index.model)
        model.pop("schema", None)
        return self._index(model, index, now, base_url)

    def backup(self, backup: Backup, now: float, **changes: Any) -> Model:
        """Return a backup as in a response, with these changes."""
        if self.shows_deleted and backup.source_deleted_at is not None:
            changes = {"source_index_deleted_at": timestamp(backup.source_deleted_at)} | backup.fields | changes
        return backup.to_api(now, **changes)

    def restore_job(self, job: RestoreJob, now: float) -> Model:
        """Return a restore job as in a response."""
        return job.to_api(now)

    def _index(self, model: Model, index: Index, now: float, base_url: str) -> Model:
        if not model["tags"]:
            del model["tags"]
        return {**model, "host": base_url + index.data_plane_path, "status": index.status(now)}


@dataclass(frozen=True)
class SchemaVersion(Version):
    """A version in which an index has a schema and a deployment: 2026-07 or later."""

    shows_deleted: bool = True
    page_size: int = 100
    created_backup: int = 200
    configured_index: int = 200
    no_plan: str = "PERMISSION_DENIED"
    has_schedules: bool = True
    has_documents: bool = True
    has_aliases: bool = True
    default_namespace: str = ""
    counts_as_text: bool = True
    counts_egress: bool = True

    def unauthorized(self, *, data_plane: bool) -> ApiError:
        """Return the error for an invalid API key, which is plain text."""
        message = "Unauthorized" if data_plane else "Invalid API key"
        return ApiError(401, message, body=message)

    def unready_backup(self, backup_id: str, status: str) -> ApiError:
        """Return the error for a restore of a backup that is not Ready."""
        return ApiError(412, f"Backup {backup_id} is not completed")

    def parse_create_index(self, body: Model) -> Model:
        """Return the model of a new index."""
        return schema_bodies.parse_create_index(body)

    def parse_configure_index(self, body: Model, model: Mapping[str, Any]) -> Model:
        """Return the fields of the model of an index that a request changes."""
        return schema_bodies.parse_configure_index(body, model)

    def parse_create_backup(self, body: Model) -> Model:
        """Return the name and the description of a new backup."""
        return schema_bodies.parse_create_backup(body)

    def parse_create_index_from_backup(self, body: Model) -> Model:
        """Return the fields of the index that a backup is restored into."""
        return schema_bodies.parse_create_index_from_backup(body)

    def index(self, index: Index, now: float, base_url: str) -> Model:
        """Return an index as in a response."""
        model = {name: copy.deepcopy(value) for name, value in index.model.items() if name not in _VECTOR_FIELDS}
        model["schema"] = shapes.typed_schema(index.model)
        model["deployment"] = shapes.deployment(index.model["spec"])
        capacity = shapes.read_capacity(index.model["spec"])
        if capacity:
            model["read_capacity"] = capacity
        if index.restore_job:
            model["source_backup_id"] = index.restore_job.model["backup_id"]
        return self._index(model, index, now, base_url)

    def backup(self, backup: Backup, now: float, **changes: Any) -> Model:
        """Return a backup as in a response, with these changes."""
        changes = {"dimension": ..., "metric": ...} | changes
        if "schema" not in backup.fields:
            changes["schema"] = shapes.typed_schema(backup.source)
        if backup.model.get("tags") == {}:
            changes["tags"] = None
        return super().backup(backup, now, **changes)

    def restore_job(self, job: RestoreJob, now: float) -> Model:
        """Return a restore job as in a response; its progress is a whole number."""
        model = super().restore_job(job, now)
        if model.get("percent_complete") == 100:
            model["percent_complete"] = 100
        return model


_ALL = (
    Version("2025-10"),
    Version("2026-04", shows_deleted=True),
    SchemaVersion("2026-07"),
    SchemaVersion("unstable"),
)
VERSIONS = {version.name: version for version in _ALL}
# The version in which the attributes of an emulator show its state.
DEFAULT_VERSION = VERSIONS["2025-10"]
