"""The API over a project's state, and what whoever runs it decides about its course. No network here."""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from airflow_pinecone.emulator import bodies
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.paging import page
from airflow_pinecone.emulator.script import Script
from airflow_pinecone.emulator.state import Course, Project, Work, listed, newest_first

VERSIONS = ("2025-10", "2026-04")

_log = logging.getLogger("airflow_pinecone.emulator")


@dataclass(frozen=True)
class Call:
    """A request, as it came.

    Attributes:
        method: The HTTP method.
        target: Path and query, quoted as they were sent.
        headers: The headers; must find a name in any case.
        body: The bytes of the body.
        url: Where the emulator listens, as the client wrote it; an index's `host` begins with it.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def path(self) -> str:
        """The path, quoted as it was sent."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body; raises ApiError 400 or 422 when there is none."""
        return bodies.read_object(self.body, self.headers.get("Content-Type", ""))


class ControlPlane(Script):
    """Pinecone's control plane, versions 2025-10 and 2026-04, and describe_index_stats of the data plane."""

    def __init__(self, api_key: str, indexes: Iterable[str] = (), **settings: Any) -> None:
        """Begin with some indexes and no backups.

        Args:
            api_key: The one key that is let in.
            indexes: Names of indexes to begin with, each with 96 records in 3 namespaces, or `NAME:RECORDS`.
            **settings: The arguments of a `Script`.

        Raises:
            ApiError: When two indexes have one name.
            ValueError: When the key is empty.
        """
        if not api_key:
            raise ValueError("The API key must not be empty.")
        super().__init__(**settings)
        self.api_key = api_key
        self._project = Project()
        self._lock = threading.RLock()
        for index in indexes:
            name, _, records = index.partition(":")
            self.add_index(name, records=int(records or 96))

    @property
    def url(self) -> str:
        """Where it can be reached; an emulator without a network cannot."""
        return ""

    @property
    def indexes(self) -> list[dict[str, Any]]:
        """All indexes now, as the API would show them (copies)."""
        with self._lock:
            return [index.show(self.clock(), self.url) for index in self._project.indexes.values()]

    @property
    def backups(self) -> list[dict[str, Any]]:
        """All backups now, also those not listed yet, as the API would show them (copies), newest first."""
        with self._lock:
            now = self.clock()
            kept = [backup for backup in self._project.backups.values() if not backup.gone(now)]
            return [backup.show(now) for backup in newest_first(kept)]

    @property
    def restore_jobs(self) -> list[dict[str, Any]]:
        """All restore jobs now, as the API would show them (copies), the oldest first."""
        with self._lock:
            jobs = self._project.restore_jobs.values()
            return [job.show(self.clock()) for job in jobs]

    def add_index(self, name: str, *, records: int = 96, namespaces: int = 3, **fields: Any) -> dict[str, Any]:
        """Put an index in place.

        Args:
            name: Its name.
            records: How many records it holds, spread evenly.
            namespaces: Over how many namespaces.
            **fields: Fields of the IndexModel, for example `deletion_protection="enabled"`,
                `spec={"pod": {...}}`, `tags={...}`.

        Returns:
            The index as the API shows it.

        Raises:
            ApiError: When its name is taken.
        """
        with self._lock:
            index = self._project.add_index({"name": name, **fields}, _spread(records, namespaces))
            return index.show(self.clock(), self.url)

    def set_records(self, index_name: str, records: int, namespaces: int = 1) -> None:
        """Let an index hold so many records from now on, spread evenly over so many namespaces."""
        with self._lock:
            self._project.index(index_name).namespaces = _spread(records, namespaces)

    def add_backup(
        self, index_name: str, *, age: float = 0.0, statuses: Sequence[str] = (), **fields: Any
    ) -> dict[str, Any]:
        """Put a backup in place, without a request; its index need not exist any more.

        Args:
            index_name: The index it is of.
            age: How many seconds ago it was created.
            statuses: What consecutive descriptions show, the last one for ever.
            **fields: Fields of the BackupModel; `status` is "Ready" if not given and stays as it is until
                `finish`; a value of `...` leaves the field out.

        Returns:
            The backup as the API shows it.
        """
        with self._lock:
            status = fields.pop("status", "Ready")
            course = Course(ends=status, statuses=tuple(statuses))
            return self._project.add_backup(index_name, fields, self.clock() - age, course).show(self.clock())

    def finish(self, backup_id: str, status: str = "Ready") -> None:
        """End a backup now, with that status. Raises KeyError when there is none of that id."""
        with self._lock:
            self._project.backups[backup_id].finished = (self.clock(), status)

    def finish_restore(self, job_id: str, status: str = "Completed") -> None:
        """End a restore job now, with that status. Raises KeyError when there is none of that id."""
        with self._lock:
            self._project.restore_jobs[job_id].finished = (self.clock(), status)

    def answer(self, call: Call) -> tuple[int, Any]:
        """Answer a request.

        Args:
            call: The request.

        Returns:
            The status, and the body as a JSON value; None: no body.
        """
        with self._lock:
            try:
                self._admit(call)
                return self._route(call)
            except ApiError as error:
                return error.status, error.body

    def _admit(self, call: Call) -> None:
        if call.headers.get("Api-Key") != self.api_key:
            raise ApiError(401, "Invalid API key.")
        version = call.headers.get("X-Pinecone-Api-Version")
        if version not in VERSIONS:
            raise ApiError(
                400,
                f"The emulator speaks the API versions {' and '.join(VERSIONS)}: send one of them in the header "
                f"X-Pinecone-Api-Version (it was {version!r}).",
            )

    def _route(self, call: Call) -> tuple[int, Any]:
        segments = [unquote(segment) for segment in call.path.split("/")[1:]]
        now = self.clock()
        match call.method, *segments:
            case ["GET", "indexes"]:
                return 200, {"indexes": [i.show(now, call.url) for i in self._project.indexes.values()]}
            case ["POST", "indexes"]:
                index = self._project.add_index(bodies.index_request(call.json()), {})
                return 201, index.show(now, call.url)
            case ["GET", "indexes", name]:
                return 200, self._project.index(name).show(now, call.url)
            case ["DELETE", "indexes", name]:
                self._project.delete_index(name)
                return 202, None
            case ["PATCH", "indexes", name]:
                index = self._project.index(name)
                index.model.update(bodies.configure_request(call.json(), index.model))
                return 202, index.show(now, call.url)
            case ["GET", "indexes", name, "backups"]:
                self._project.index(name)
                works = [b for b in self._project.backups.values() if b.model["source_index_name"] == name]
                return 200, self._page(works, f"backups of {name}", call, now)
            case ["POST", "indexes", name, "backups"]:
                return 201, self._create_backup(name, call, now)
            case ["GET", "backups"]:
                return 200, self._page(self._project.backups.values(), "backups", call, now)
            case ["GET", "backups", backup_id]:
                backup = self._project.backup(backup_id, now)
                shown = backup.show(now)
                backup.described += 1
                return 200, shown
            case ["DELETE", "backups", backup_id]:
                self._project.delete_backup(backup_id, now)
                return 202, None
            case ["POST", "backups", backup_id, "create-index"]:
                return 202, self._restore(backup_id, call, now)
            case ["GET", "restore-jobs"]:
                return 200, self._page(self._project.restore_jobs.values(), "restore jobs", call, now)
            case ["GET", "restore-jobs", job_id]:
                job = self._project.restore_job(job_id, now)
                shown = job.show(now)
                job.described += 1
                return 200, shown
            case ["GET" | "POST", "data-plane", host, "describe_index_stats"]:
                for index in self._project.indexes.values():
                    if index.path.endswith("/" + host):
                        return 200, self._project.stats(index, now)
                raise ApiError(404, f"No index at the host {host}.")
        _log.warning("NOT EMULATED: %s %s", call.method, call.path)
        raise ApiError(501, f"The emulator of Pinecone does not emulate {call.method} {call.path}.")

    def _page(self, works: Iterable[Work], listing: str, call: Call, now: float) -> dict[str, Any]:
        rows = [work.show(now) for work in listed(works, now)]
        return page(rows, listing, call.query)

    def _create_backup(self, index_name: str, call: Call, now: float) -> dict[str, Any]:
        self._project.check_backup(index_name, now, self.quota)
        fields = bodies.backup_request(call.json())
        backup = self._project.add_backup(index_name, fields, now, self.backup_course(index_name))
        return backup.show(now, status=backup.begins)

    def _restore(self, backup_id: str, call: Call, now: float) -> dict[str, Any]:
        index = bodies.restore_request(call.json())
        self._project.check_restore(backup_id, index["name"], now)
        job = self._project.restore(backup_id, index, now, self.restore_course())
        return {"restore_job_id": job.model["restore_job_id"], "index_id": job.model["target_index_id"]}


def _spread(records: int, namespaces: int) -> dict[str, int]:
    if not records:
        return {}
    each, rest = divmod(records, namespaces)
    return {f"namespace-{n + 1}": each + (n < rest) for n in range(namespaces)}
