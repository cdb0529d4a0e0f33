"""Indexes, backups and restore jobs. Nothing here reads a clock: the time is always an argument."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple, TypeVar

from airflow_pinecone.emulator.contents import Contents
from airflow_pinecone.emulator.damage import Change
from airflow_pinecone.emulator.namespaces import FirstRecords, GeneratedNamespace, Namespaces

Model = dict[str, Any]


@dataclass(frozen=True)
class Lifecycle:
    """The statuses of a backup or a restore job, and when they change. All times are seconds after its creation.

    Attributes:
        ends_after: When it reaches its final status.
        final_status: The final status; with "never" it stays unfinished until a test finishes it.
        statuses: The statuses that successive describe requests return; the last one repeats. They replace
            `ends_after` and `final_status`.
        listed_after: When it starts to appear in lists.
        described_after: When describe requests start to find it.
        disappears_after: When it no longer exists; None for never.
        fields: Fields to replace in every response; a value of `...` removes the field.
        change: What changes the records of the restored index.
    """

    ends_after: float = 0.0
    final_status: str = "Ready"
    statuses: tuple[str, ...] = ()
    listed_after: float = 0.0
    described_after: float = 0.0
    disappears_after: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    change: Change | None = None


class _End(NamedTuple):
    at: float
    status: str


@dataclass
class Resource:
    """A backup or a restore job.

    Attributes:
        model: Its fields as in the API, without the status.
        created_at: The time of its creation.
        lifecycle: Its statuses, and when they change.
        describe_count: How many describe requests have returned it.
        initial_status: The status until it ends.
    """

    model: Model
    created_at: float
    lifecycle: Lifecycle
    describe_count: int = field(default=0, kw_only=True)
    _finished: _End | None = field(default=None, init=False)

    initial_status: ClassVar[str]

    def finish(self, status: str, now: float) -> None:
        """Set the final status now, instead of the one in its lifecycle."""
        self._finished = _End(now, status)

    def status(self, now: float) -> str:
        """Return the status at the time `now`."""
        if self._finished:
            return self._finished.status
        statuses = self.lifecycle.statuses
        if statuses:
            return statuses[min(self.describe_count, len(statuses) - 1)]
        return self.initial_status if self.ended_at(now) is None else self.lifecycle.final_status

    def ended_at(self, now: float) -> float | None:
        """Return when it reached its final status, or None if it has not."""
        if self._finished:
            return self._finished.at
        if self.lifecycle.statuses:
            return self.created_at if self.describe_count >= len(self.lifecycle.statuses) - 1 else None
        if self.lifecycle.final_status == "never" or self.age(now) < self.lifecycle.ends_after:
            return None
        return self.created_at + self.lifecycle.ends_after

    def age(self, now: float) -> float:
        """Return the seconds since its creation, or 0 if a test has set the clock back."""
        return max(0.0, now - self.created_at)

    def has_disappeared(self, now: float) -> bool:
        """Return whether it no longer exists."""
        after = self.lifecycle.disappears_after
        return after is not None and self.age(now) >= after

    def is_listed(self, now: float) -> bool:
        """Return whether lists contain it."""
        return not self.has_disappeared(now) and self.age(now) >= self.lifecycle.listed_after

    def is_found(self, now: float) -> bool:
        """Return whether describe requests find it."""
        return not self.has_disappeared(now) and self.age(now) >= self.lifecycle.described_after

    def to_api(self, now: float, **changes: Any) -> Model:
        """Return its model as in a response at the time `now`, with these changes."""
        model = {**copy.deepcopy(self.model), "status": self.status(now), **changes, **self.lifecycle.fields}
        return {name: value for name, value in model.items() if value is not ...}


@dataclass
class Backup(Resource):
    """A backup.

    Attributes:
        fields: The fields that a request or a test gave it.
        source: A copy of the model of its index.
        source_id: The id of its index. A test can give the model another one, or none.
        namespaces: A copy of its records.
        source_deleted_at: When its index was deleted, or None if it exists.
    """

    fields: Model
    source: Model
    source_id: str
    namespaces: Namespaces
    source_deleted_at: float | None = None

    initial_status = "Initializing"


@dataclass
class RestoreJob(Resource):
    """A restore job."""

    initial_status = "Pending"

    def to_api(self, now: float, **changes: Any) -> Model:
        """Return its model as in a response; `completed_at` and `percent_complete` only appear at the end."""
        ended_at = self.ended_at(now)
        if ended_at is not None:
            changes["completed_at"] = timestamp(ended_at)
        if self.status(now) == "Completed":
            changes["percent_complete"] = 100.0
        return super().to_api(now, **changes)


@dataclass
class Index:
    """An index.

    Attributes:
        id: Its id.
        model: Its fields as in version 2025-10, but for `host` and `status`; a document index also has a `schema`.
        contents: Its records.
        restore_job: The job that fills it, if it was created from a backup.
        state: Its state, if that is fixed.
        records_visible_after: The seconds from the end of the restore job until lists and counts show all records.
        namespace_aliases: The target namespace of each alias.
    """

    id: str
    model: Model
    contents: Contents
    restore_job: RestoreJob | None = None
    state: str | None = None
    records_visible_after: float = 0.0
    namespace_aliases: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the index."""
        return str(self.model["name"])

    @property
    def data_plane_path(self) -> str:
        """The path of its data plane. All indexes share one host and port, so the path identifies the index."""
        return f"/data-plane/{self.name}-{self.id[:7]}"

    def status(self, now: float) -> Model:
        """Return the status object of the index at the time `now`."""
        if self.state:
            return {"ready": self.state == "Ready", "state": self.state}
        if self.restore_job is None or self.restore_job.status(now) == "Completed":
            return {"ready": True, "state": "Ready"}
        failed = self.restore_job.status(now) in {"Failed", "Cancelled"}
        return {"ready": False, "state": "InitializationFailed" if failed else "Initializing"}

    @property
    def dimension(self) -> int | None:
        """The number of dense values of a record; None in a sparse index."""
        dimension: int | None = self.model.get("dimension")
        return dimension

    @property
    def is_document_index(self) -> bool:
        """Whether the Documents API serves it, and not the vectors API."""
        return "schema" in self.model

    def generate(self, count: int, seed: int = 0) -> GeneratedNamespace:
        """Return a namespace with generated records or documents that the index can store."""
        schema = self.model["schema"]["fields"] if self.is_document_index else None
        return GeneratedNamespace(count, self.dimension, seed, schema)

    def namespaces(self, now: float) -> Namespaces:
        """Return the namespaces that requests see at the time `now`."""
        self.contents.settle(now)
        if not self.status(now)["ready"]:
            return {}
        namespaces = self.contents.namespaces
        if self.restore_job is None or not self.records_visible_after:
            return namespaces
        shown = (now - (self.restore_job.ended_at(now) or now)) / self.records_visible_after
        if shown >= 1:
            return namespaces
        return {
            name: FirstRecords(namespace, int(len(namespace) * shown))
            for name, namespace in namespaces.items()
            if int(len(namespace) * shown)
        }


AnyResource = TypeVar("AnyResource", bound=Resource)


def newest_first(resources: Iterable[AnyResource]) -> list[AnyResource]:
    """Sort by creation time; of two with the same time, the one that was added later comes first."""
    return sorted(resources, key=lambda resource: resource.created_at)[::-1]


def timestamp(time: float, digits: int = 6) -> str:
    """Format seconds since the epoch as the API does, with 6 or 9 fraction digits: the service sends both."""
    seconds, fraction = divmod(time, 1)
    moment = datetime.fromtimestamp(seconds, UTC)
    nanoseconds = int(fraction * 1e9)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}"[: 20 + digits] + "Z"
