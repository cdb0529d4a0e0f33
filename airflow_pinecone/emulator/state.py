"""A project's state: its indexes, backups and restore jobs. Pure: the time is always passed in."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

from airflow_pinecone.emulator.errors import ApiError

Model = dict[str, Any]

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


@dataclass(frozen=True)
class Course:
    """The course of a backup or a restore job; all times are seconds after its creation.

    Attributes:
        after: When it ends.
        ends: The status it ends with; "never" lets it go on until it is finished by hand.
        statuses: What consecutive descriptions show, the last one for ever; instead of `after` and `ends`.
        listed_after: When listings begin to show it.
        described_after: When describing it begins to find it.
        vanishes_after: When it is gone; None: never.
        fields: Laid over each answer about it; a value of `...` leaves the field out.
    """

    after: float = 0.0
    ends: str = "Ready"
    statuses: tuple[str, ...] = ()
    listed_after: float = 0.0
    described_after: float = 0.0
    vanishes_after: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Work:
    """What the service does for some time: a backup, or a restore job."""

    model: Model
    created: float
    course: Course
    finished: tuple[float, str] | None = field(default=None, kw_only=True)
    described: int = field(default=0, kw_only=True)

    begins: ClassVar[str]

    def status(self, now: float) -> str:
        """Return the status at the time `now`."""
        if self.finished:
            return self.finished[1]
        if self.course.statuses:
            return self.course.statuses[min(self.described, len(self.course.statuses) - 1)]
        return self.begins if self.ended(now) is None else self.course.ends

    def ended(self, now: float) -> float | None:
        """Return when it ended, or None while it goes on."""
        if self.finished:
            return self.finished[0]
        if self.course.statuses:
            return self.created if self.described >= len(self.course.statuses) - 1 else None
        over = self.course.ends != "never" and self.age(now) >= self.course.after
        return self.created + self.course.after if over else None

    def age(self, now: float) -> float:
        """Return the seconds since its creation; 0 if a test has turned the clock back since."""
        return max(0.0, now - self.created)

    def gone(self, now: float) -> bool:
        """Tell whether it has vanished."""
        after = self.course.vanishes_after
        return after is not None and self.age(now) >= after

    def show(self, now: float, **changes: Any) -> Model:
        """Return it as the API shows it at the time `now`, with these changes."""
        model = {**copy.deepcopy(self.model), "status": self.status(now), **changes, **self.course.fields}
        return {name: value for name, value in model.items() if value is not ...}


@dataclass
class Backup(Work):
    """A backup; `source` and `namespaces` are the index as it was."""

    source: Model
    namespaces: dict[str, int]

    begins = "Initializing"


@dataclass
class RestoreJob(Work):
    """A restore job."""

    begins = "Pending"

    def show(self, now: float, **changes: Any) -> Model:
        """Return it as the API shows it: once it has ended, with the time of its end."""
        ended = self.ended(now)
        if ended is not None:
            changes["completed_at"] = timestamp(ended)
        if self.status(now) == "Completed":
            changes["percent_complete"] = 100.0
        return super().show(now, **changes)


@dataclass
class Index:
    """An index; `job` is the restore job that fills it, if one does."""

    id: str
    model: Model
    namespaces: dict[str, int]
    job: RestoreJob | None = None

    @property
    def name(self) -> str:
        """The name of the index."""
        return str(self.model["name"])

    @property
    def path(self) -> str:
        """The first segments of its data plane's path; they tell indexes apart behind one port."""
        return f"/data-plane/{self.name}-{self.id[:7]}"

    def status(self, now: float) -> Model:
        """Return the index's status object at the time `now`."""
        if self.job is None or self.job.status(now) == "Completed":
            return {"ready": True, "state": "Ready"}
        over = self.job.status(now) in {"Failed", "Cancelled"}
        return {"ready": False, "state": "InitializationFailed" if over else "Initializing"}

    def show(self, now: float, url: str) -> Model:
        """Return it as the API shows it; `url` is where the emulator listens, for the index's `host`."""
        model = copy.deepcopy(self.model)
        if not model["tags"]:
            del model["tags"]
        return {**model, "host": url + self.path, "status": self.status(now)}


class Project:
    """The indexes, backups and restore jobs of one project. Every method that can fail raises ApiError."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.indexes: dict[str, Index] = {}
        self.backups: dict[str, Backup] = {}
        self.restore_jobs: dict[str, RestoreJob] = {}

    def add_index(self, model: Model, namespaces: dict[str, int], job: RestoreJob | None = None) -> Index:
        """Put an index in place; 409 when its name is taken. What `model` leaves out gets a default."""
        if model["name"] in self.indexes:
            raise ApiError(409, "Resource already exists.")
        index = Index(str(uuid4()), {**copy.deepcopy(_DEFAULT_INDEX), **model}, dict(namespaces), job)
        if index.model["dimension"] is None:  # a sparse index has none
            del index.model["dimension"]
        self.indexes[index.name] = index
        return index

    def index(self, name: str) -> Index:
        """Return an index; 404 when there is none of that name."""
        if name not in self.indexes:
            raise ApiError(404, f"Index {name} not found.")
        return self.indexes[name]

    def delete_index(self, name: str) -> None:
        """Delete an index; its backups stay. 403 when it is protected."""
        if self.index(name).model["deletion_protection"] == "enabled":
            raise ApiError(
                403,
                "Deletion protection is enabled for this index. Disable deletion protection before retrying.",
            )
        del self.indexes[name]

    def stats(self, index: Index, now: float) -> Model:
        """Return what the data plane tells of an index."""
        namespaces = index.namespaces if index.status(now)["ready"] else {}
        stats = {
            "namespaces": {name: {"vectorCount": count} for name, count in namespaces.items()},
            "indexFullness": 0.0,
            "totalVectorCount": sum(namespaces.values()),
            "metric": index.model["metric"],
            "vectorType": index.model["vector_type"],
        }
        if "dimension" in index.model:
            stats["dimension"] = index.model["dimension"]
        return stats

    def check_backup(self, index_name: str, now: float, quota: int) -> None:
        """Refuse a backup: 400 of a pod-based index, 403 when the project has `quota` backups already."""
        if "pod" in self.index(index_name).model["spec"]:
            raise ApiError(400, f"Index {index_name} is pod-based. Backups need a serverless index.")
        if sum(not backup.gone(now) for backup in self.backups.values()) >= quota:
            raise ApiError(403, "Increase your quota or upgrade to create more backups.")

    def add_backup(self, index_name: str, fields: Model, now: float, course: Course) -> Backup:
        """Put a backup in place, also of an index that is no more."""
        index = self.indexes.get(index_name) or Index(str(uuid4()), copy.deepcopy(_DEFAULT_INDEX), {})
        source = copy.deepcopy(index.model)
        cloud, region, schema = _place(source["spec"])
        records = sum(index.namespaces.values())
        model = {
            "backup_id": str(uuid4()),
            "source_index_id": index.id,
            "source_index_name": index_name,
            "tags": source["tags"],
            "cloud": cloud,
            "region": region,
            "metric": source["metric"],
            "record_count": records,
            "namespace_count": len(index.namespaces),
            "size_bytes": records * (4 * source.get("dimension", 64) + 64),
            "created_at": timestamp(now, digits=9 if len(self.backups) % 2 else 6),
        }
        if "dimension" in source:
            model["dimension"] = source["dimension"]
        if schema:
            model["schema"] = schema
        model.update(fields)
        model = {name: value for name, value in model.items() if value is not ...}
        backup = Backup(model, now, course, source, dict(index.namespaces))
        self.backups[model["backup_id"]] = backup
        return backup

    def backup(self, backup_id: str, now: float) -> Backup:
        """Return a backup; 404 when there is none of that id, not yet or no more."""
        backup = self.backups.get(backup_id)
        if backup is None or backup.gone(now) or backup.age(now) < backup.course.described_after:
            raise ApiError(404, f"Backup {backup_id} not found.")
        return backup

    def delete_backup(self, backup_id: str, now: float) -> None:
        """Delete a backup; 412 while it is being restored."""
        self.backup(backup_id, now)
        pending = [
            job_id
            for job_id, job in self.restore_jobs.items()
            if job.model["backup_id"] == backup_id and job.ended(now) is None
        ]
        if pending:
            raise ApiError(412, f"Unable to delete backup. There are pending restore jobs for this backup: {pending}")
        del self.backups[backup_id]

    def check_restore(self, backup_id: str, index_name: str, now: float) -> None:
        """Refuse a restore: 404 without the backup, 409 when the name is taken, 400 while it is not ready."""
        backup = self.backup(backup_id, now)
        if index_name in self.indexes:
            raise ApiError(409, "Resource already exists.")
        if backup.status(now) != "Ready":
            raise ApiError(400, f"Backup {backup_id} is not ready: its status is {backup.status(now)}.")

    def restore(self, backup_id: str, index: Model, now: float, course: Course) -> RestoreJob:
        """Begin to make a new index from a backup. Tags carry over, deletion protection does not."""
        backup = self.backup(backup_id, now)
        model = {**backup.source, "deletion_protection": "disabled", **index}
        model["tags"] = {**backup.source["tags"], **index.get("tags", {})}
        job_id = str(uuid4())
        job = RestoreJob(
            {
                "restore_job_id": job_id,
                "backup_id": backup_id,
                "target_index_name": index["name"],
                "created_at": timestamp(now),
            },
            now,
            course,
        )
        job.model["target_index_id"] = self.add_index(model, backup.namespaces, job).id
        self.restore_jobs[job_id] = job
        return job

    def restore_job(self, job_id: str, now: float) -> RestoreJob:
        """Return a restore job; 404 when there is none of that id, or not yet."""
        job = self.restore_jobs.get(job_id)
        if job is None or job.age(now) < job.course.described_after:
            raise ApiError(404, f"Restore job {job_id} not found.")
        return job


def listed(works: Iterable[Work], now: float) -> list[Work]:
    """Return what a listing shows at the time `now`, the newest first."""
    return newest_first(w for w in works if not w.gone(now) and w.age(now) >= w.course.listed_after)


def newest_first(works: Iterable[Work]) -> list[Work]:
    """Sort by the time of creation; of two at the same time the one made later comes first."""
    return sorted(works, key=lambda work: work.created)[::-1]


def timestamp(time: float, digits: int = 6) -> str:
    """Write a time as the API does.

    Args:
        time: Seconds since the epoch.
        digits: Digits of the fraction, 6 or 9: the service has been seen to send either.

    Returns:
        For example `2025-05-14T16:37:25.625540Z`.
    """
    seconds, fraction = divmod(time, 1)
    moment = datetime.fromtimestamp(seconds, UTC)
    nanoseconds = int(fraction * 1e9)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}"[: 20 + digits] + "Z"


def _place(spec: Model) -> tuple[str, str, Model | None]:
    if "serverless" in spec:
        place = spec["serverless"]
        return place["cloud"], place["region"], place.get("schema")
    if "byoc" in spec:
        cloud, _, region = spec["byoc"]["environment"].partition("-")
        return cloud, region, spec["byoc"].get("schema")
    return "aws", spec["pod"]["environment"], None
