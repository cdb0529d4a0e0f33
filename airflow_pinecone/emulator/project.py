"""The state of one Pinecone project: its indexes, backups and restore jobs, and the rules between them."""

import copy
from typing import NamedTuple
from uuid import uuid4

from airflow_pinecone.emulator.errors import ApiError
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
            "read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}},
        }
    },
}


class Project:
    """The indexes, backups and restore jobs of one project. Invalid requests raise ApiError."""

    def __init__(self) -> None:
        """Create an empty project."""
        self.indexes: dict[str, Index] = {}
        self.backups: dict[str, Backup] = {}
        self.restore_jobs: dict[str, RestoreJob] = {}

    def add_index(self, model: Model, namespaces: dict[str, int], restore_job: RestoreJob | None = None) -> Index:
        """Add an index, with defaults for what `model` leaves out; 409 if its name is in use."""
        if model["name"] in self.indexes:
            raise ApiError(409, "Resource already exists.")
        index = Index(str(uuid4()), {**copy.deepcopy(_DEFAULT_INDEX), **model}, dict(namespaces), restore_job)
        if index.model["dimension"] is None:  # a sparse index
            del index.model["dimension"]
        self.indexes[index.name] = index
        return index

    def index(self, name: str) -> Index:
        """Return an index; 404 if it does not exist."""
        if name not in self.indexes:
            raise ApiError(404, f"Index {name} not found.")
        return self.indexes[name]

    def delete_index(self, name: str) -> None:
        """Delete an index and keep its backups; 403 if deletion protection is enabled."""
        if self.index(name).model["deletion_protection"] == "enabled":
            raise ApiError(
                403,
                "Deletion protection is enabled for this index. Disable deletion protection before retrying.",
            )
        del self.indexes[name]

    def check_backup_allowed(self, index_name: str, now: float, quota: int) -> None:
        """Raise 400 if the index is pod-based, 403 if the project already has `quota` backups."""
        if "pod" in self.index(index_name).model["spec"]:
            raise ApiError(400, f"Index {index_name} is pod-based. Backups require a serverless index.")
        if sum(not backup.has_disappeared(now) for backup in self.backups.values()) >= quota:
            raise ApiError(403, "Increase your quota or upgrade to create more backups.")

    def add_backup(self, index_name: str, fields: Model, now: float, lifecycle: Lifecycle) -> Backup:
        """Add a backup. Its index need not exist any more."""
        index = self.indexes.get(index_name) or Index(str(uuid4()), copy.deepcopy(_DEFAULT_INDEX), {})
        source = copy.deepcopy(index.model)
        location = _location(source["spec"])
        records = sum(index.namespaces.values())
        model = {
            "backup_id": str(uuid4()),
            "source_index_id": index.id,
            "source_index_name": index_name,
            "tags": source["tags"],
            "cloud": location.cloud,
            "region": location.region,
            "metric": source["metric"],
            "record_count": records,
            "namespace_count": len(index.namespaces),
            "size_bytes": records * (4 * source.get("dimension", 64) + 64),
            "created_at": timestamp(now, digits=9 if len(self.backups) % 2 else 6),
        }
        if "dimension" in source:
            model["dimension"] = source["dimension"]
        if location.schema:
            model["schema"] = location.schema
        model.update(fields)
        model = {name: value for name, value in model.items() if value is not ...}
        backup = Backup(model, now, lifecycle, source, dict(index.namespaces))
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
        """Raise 404 if the backup does not exist, 409 if the index name is in use, 400 if the backup is not ready."""
        backup = self.backup(backup_id, now)
        if index_name in self.indexes:
            raise ApiError(409, "Resource already exists.")
        if backup.status(now) != "Ready":
            raise ApiError(400, f"Backup {backup_id} is not ready: its status is {backup.status(now)}.")

    def add_restore_job(self, backup_id: str, index: Model, now: float, lifecycle: Lifecycle) -> RestoreJob:
        """Add a restore job and its index. The index inherits the backup's tags, but no deletion protection."""
        backup = self.backup(backup_id, now)
        model = {**backup.source, "deletion_protection": "disabled", **index}
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
        job.model["target_index_id"] = self.add_index(model, backup.namespaces, job).id
        self.restore_jobs[job_id] = job
        return job

    def restore_job(self, job_id: str, now: float) -> RestoreJob:
        """Return a restore job; 404 if it does not exist or is not visible yet."""
        job = self.restore_jobs.get(job_id)
        if job is None or not job.is_found(now):
            raise ApiError(404, f"Restore job {job_id} not found.")
        return job


class _Location(NamedTuple):
    cloud: str
    region: str
    schema: Model | None


def _location(spec: Model) -> _Location:
    if "serverless" in spec:
        settings = spec["serverless"]
        return _Location(settings["cloud"], settings["region"], settings.get("schema"))
    if "byoc" in spec:
        cloud, _, region = spec["byoc"]["environment"].partition("-")
        return _Location(cloud, region, spec["byoc"].get("schema"))
    return _Location("aws", spec["pod"]["environment"], None)
