"""The state of one Pinecone project: its indexes, backups and restore jobs, and the rules between them."""

import copy
from uuid import uuid4

from airflow_pinecone.emulator import shapes
from airflow_pinecone.emulator.contents import Contents, resized
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.namespaces import Namespaces, copies, writable
from airflow_pinecone.emulator.request_bodies import check_dimension
from airflow_pinecone.emulator.resources import Backup, Index, Lifecycle, Model, RestoreJob, timestamp

_DEFAULT_INDEX = {
    "dimension": 1024,
    "metric": "cosine",
    "vector_type": "dense",
    "deletion_protection": "disabled",
    "tags": {},
    "spec": {
        "serverless": {
            "cloud": "aws",
            "region": "us-east-1",
            "read_capacity": shapes.READY_ON_DEMAND,
        }
    },
}


class Project:
    """The indexes, backups and restore jobs of one project. Invalid requests raise ApiError."""

    def __init__(self) -> None:
        """Create an empty project."""
        self.id = str(uuid4())
        self.indexes: dict[str, Index] = {}
        self.backups: dict[str, Backup] = {}
        self.restore_jobs: dict[str, RestoreJob] = {}
        self._names_of_deleted_indexes: set[str] = set()

    def add_index(self, fields: Model, restore_job: RestoreJob | None = None) -> Index:
        """Add an empty index, with defaults for what `fields` leaves out; 409 if its name is in use.

        400 if its dimension is out of range.
        """
        index = self._new_index(fields, restore_job)
        self.indexes[index.name] = index
        return index

    def _new_index(self, fields: Model, restore_job: RestoreJob | None) -> Index:
        """Return an empty index, as `add_index` does, without adding it."""
        model = shapes.index_of(fields)
        if model["name"] in self.indexes:
            raise ApiError(409, "Resource already exists.")
        index = Index(str(uuid4()), {**copy.deepcopy(_DEFAULT_INDEX), **model}, Contents({}), restore_job)
        if index.model["dimension"] is None:  # a sparse index
            del index.model["dimension"]
        else:
            check_dimension(index.model["dimension"])
        return index

    def index(self, name: str) -> Index:
        """Return an index; 404 if it does not exist."""
        if name not in self.indexes:
            raise ApiError(404, f"Index {name} not found.")
        return self.indexes[name]

    def was_index(self, name: str) -> bool:
        """Return whether an index has or had this name."""
        return name in self.indexes or name in self._names_of_deleted_indexes

    def backups_of(self, name: str, *, include_deleted: bool) -> list[Backup]:
        """Return the backups of the index that has this name; 404 if there is none.

        With `include_deleted`, they are the backups of all indexes that have or had the name.
        """
        backups = [backup for backup in self.backups.values() if backup.model["source_index_name"] == name]
        if include_deleted and self.was_index(name):
            return backups
        index = self.index(name)
        return [backup for backup in backups if backup.source_id == index.id]

    def delete_index(self, name: str, now: float) -> Index:
        """Delete an index, keep its backups, and return it; 403 if deletion protection is enabled."""
        if self.index(name).model["deletion_protection"] == "enabled":
            raise ApiError(
                403,
                "Deletion protection is enabled for this index. Disable deletion protection before retrying.",
            )
        index = self.indexes.pop(name)
        self._names_of_deleted_indexes.add(name)
        for backup in self.backups.values():
            if backup.source_id == index.id:
                backup.source_deleted_at = now
        return index

    def check_index_supports_backups(self, index: Index, *, full_text: bool) -> None:
        """Raise 400 if the index is pod-based or, unless `full_text` is true, has fields for full-text search."""
        if "pod" in index.model["spec"]:
            raise ApiError(400, f"Index {index.name} is pod-based. Backups require a serverless index.")
        if shapes.has_full_text(index.model) and not full_text:
            raise ApiError(400, "Backups are not supported for full-text search indexes.")

    def check_quota(self, quota: int, now: float) -> None:
        """Raise 403 if the project already has `quota` backups."""
        if sum(not backup.has_disappeared(now) for backup in self.backups.values()) >= quota:
            raise ApiError(403, "Increase your quota or upgrade to create more backups.")

    def add_backup(self, index_name: str, fields: Model, now: float, lifecycle: Lifecycle) -> Backup:
        """Add a backup. Its index need not exist any more.

        If `fields` has the id of another index than the one that has the name, the backup is one of that earlier index.
        """
        active = self.indexes.get(index_name)
        index = active or Index(str(uuid4()), copy.deepcopy(_DEFAULT_INDEX), Contents({}))
        source = copy.deepcopy(index.model)
        source_id = fields.get("source_index_id")
        if active is None or (isinstance(source_id, str) and source_id != index.id):
            deleted_at = now
            self._names_of_deleted_indexes.add(index_name)
        else:
            source_id, deleted_at = index.id, None
        location = shapes.location(source["spec"])
        namespaces = index.contents.snapshot(now)
        records = sum(map(len, namespaces.values()))
        model = {
            "backup_id": str(uuid4()),
            "source_index_id": index.id,
            "source_index_name": index_name,
            "tags": source["tags"],
            "cloud": location.cloud,
            "region": location.region,
            "metric": source["metric"],
            "record_count": records,
            "namespace_count": len(namespaces),
            "size_bytes": records * (4 * source.get("dimension", 64) + 64),
            "created_at": timestamp(now, digits=9 if len(self.backups) % 2 else 6),
        }
        if "dimension" in source:
            model["dimension"] = source["dimension"]
        schema = shapes.metadata_schema(source["spec"])
        if schema:
            model["schema"] = schema
        model.update(fields)
        model = {name: value for name, value in model.items() if value is not ...}
        backup = Backup(
            model,
            now,
            lifecycle,
            fields=fields,
            source=source,
            source_id=str(source_id),
            namespaces=namespaces,
            source_deleted_at=deleted_at,
        )
        self.backups[model["backup_id"]] = backup
        return backup

    def backup(self, backup_id: str, now: float) -> Backup:
        """Return a backup; 404 if it does not exist or is not visible yet."""
        backup = self.backups.get(backup_id)
        if backup is None or not backup.is_found(now):
            raise ApiError(404, f"Backup {backup_id} not found.")
        return backup

    def delete_backup(self, backup_id: str, now: float) -> None:
        """Delete a backup; 412 while a restore from it is pending."""
        self.backup(backup_id, now)
        pending = [
            job_id
            for job_id, job in self.restore_jobs.items()
            if job.model["backup_id"] == backup_id and job.ended_at(now) is None
        ]
        if pending:
            raise ApiError(412, f"Unable to delete backup. There are pending restore jobs for this backup: {pending}")
        del self.backups[backup_id]

    def check_restore_allowed(self, backup_id: str, index_name: str, now: float) -> None:
        """Raise 404 if the backup does not exist, and 409 if the index name is in use."""
        self.backup(backup_id, now)
        if index_name in self.indexes:
            raise ApiError(409, "Resource already exists.")

    def add_restore_job(
        self, backup_id: str, index: Model, now: float, lifecycle: Lifecycle, records_visible_after: float = 0.0
    ) -> RestoreJob:
        """Add a restore job and its index. The index inherits the backup's tags, but no deletion protection.

        400 if the planned change of the copy is not possible. Nothing is added then.
        """
        backup = self.backup(backup_id, now)
        model = {"dimension": None, **copy.deepcopy(backup.source), "deletion_protection": "disabled", **index}
        model["tags"] = {**(backup.model.get("tags") or {}), **index.get("tags", {})}
        job_id = str(uuid4())
        job = RestoreJob(
            {
                "restore_job_id": job_id,
                "backup_id": backup_id,
                "target_index_name": index["name"],
                "created_at": timestamp(now),
            },
            now,
            lifecycle,
        )
        restored = self._new_index(model, job)
        restored.records_visible_after = records_visible_after
        restored.contents = Contents(_restored(backup, now, restored))
        if lifecycle.change is not None:
            namespaces = restored.contents.namespaces
            copy_to_change = {name: writable(namespaces, name) for name in list(namespaces)}
            try:
                lifecycle.change(copy_to_change)
            except ValueError as error:
                raise ApiError(
                    400, f"Index {restored.name} cannot be restored with the planned change: {error}"
                ) from error
            restored.contents = Contents(dict(copy_to_change))
        job.model["target_index_id"] = restored.id
        self.indexes[restored.name] = restored
        self.restore_jobs[job_id] = job
        return job

    def restore_job(self, job_id: str, now: float) -> RestoreJob:
        """Return a restore job; 404 if it does not exist or is not visible yet."""
        job = self.restore_jobs.get(job_id)
        if job is None or not job.is_found(now):
            raise ApiError(404, f"Restore job {job_id} not found.")
        return job


def _restored(backup: Backup, now: float, index: Index) -> Namespaces:
    """Return the namespaces of a restored index.

    They are those of the backup. If all its records are generated, and its fields claim other counts, then the
    namespaces are cut or extended.
    """
    model = backup.to_api(now)
    records, count = model.get("record_count"), model.get("namespace_count")
    counts = (sum(map(len, backup.namespaces.values())), len(backup.namespaces))
    if not isinstance(records, int) or (records, count) == counts or not Contents(backup.namespaces).is_plain:
        return copies(backup.namespaces)
    namespaces = count if isinstance(count, int) and count > 0 else max(1, len(backup.namespaces))
    return resized(backup.namespaces, records, namespaces, index.generate)
