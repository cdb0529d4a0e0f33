"""The API of the control plane on top of a project and a scenario, without a network."""

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

from airflow_pinecone.emulator import request_bodies
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.messages import ApiRequest, ApiResponse, Body
from airflow_pinecone.emulator.paging import page
from airflow_pinecone.emulator.project import Project
from airflow_pinecone.emulator.resources import Lifecycle, Model, Resource, newest_first
from airflow_pinecone.emulator.scenario import Scenario

VERSIONS = ("2025-10", "2026-04")

_log = logging.getLogger("airflow_pinecone.emulator")


class ControlPlane:
    """Pinecone's control plane in versions 2025-10 and 2026-04, and describe_index_stats of the data plane.

    Attributes:
        api_key: The only valid API key.
        scenario: How backups and restore jobs develop.
        project: The state.
        base_url: The URL of the emulator; the `host` of each index starts with it.
    """

    def __init__(self, api_key: str, indexes: Iterable[str], scenario: Scenario, base_url: str) -> None:
        """Create a control plane with some indexes and no backups.

        Args:
            api_key: The only valid API key.
            indexes: Names of the first indexes, each with 96 records in 3 namespaces, or `NAME:RECORDS`.
            scenario: How backups and restore jobs develop.
            base_url: The URL of the emulator.

        Raises:
            ApiError: The name of an index is invalid, or two indexes have the same name.
            ValueError: The API key is empty.
        """
        if not api_key:
            raise ValueError("The API key must not be empty.")
        self.api_key = api_key
        self.scenario = scenario
        self.project = Project()
        self.base_url = base_url
        self._lock = threading.RLock()
        for index in indexes:
            name, _, records = index.partition(":")
            self.add_index(name, records=int(records or 96))

    @property
    def indexes(self) -> list[Model]:
        """Copies of all indexes, as in a response."""
        with self._lock:
            return [index.to_api(self._now(), self.base_url) for index in self.project.indexes.values()]

    @property
    def backups(self) -> list[Model]:
        """Copies of all backups, as in a response, newest first. Includes those that are not listed yet."""
        with self._lock:
            now = self._now()
            existing = [backup for backup in self.project.backups.values() if not backup.has_disappeared(now)]
            return [backup.to_api(now) for backup in newest_first(existing)]

    @property
    def restore_jobs(self) -> list[Model]:
        """Copies of all restore jobs, as in a response, oldest first."""
        with self._lock:
            return [job.to_api(self._now()) for job in self.project.restore_jobs.values()]

    def add_index(self, name: str, *, records: int = 96, namespaces: int = 3, **fields: Any) -> Model:
        """Add an index without a request.

        Args:
            name: The name of the index.
            records: The number of records, spread evenly over the namespaces.
            namespaces: The number of namespaces.
            **fields: Fields of the IndexModel, for example `deletion_protection="enabled"`,
                `spec={"pod": {...}}` or `tags={...}`.

        Returns:
            The index as in a response.

        Raises:
            ApiError: The name is invalid or in use.
        """
        request_bodies.check_index_name(name)
        with self._lock:
            index = self.project.add_index({"name": name, **fields}, _spread(records, namespaces))
            return index.to_api(self._now(), self.base_url)

    def set_records(self, index_name: str, records: int, namespaces: int = 1) -> None:
        """Set the number of records of an index, spread evenly over the namespaces."""
        with self._lock:
            self.project.index(index_name).namespaces = _spread(records, namespaces)

    def add_backup(self, index_name: str, *, age: float = 0.0, statuses: Sequence[str] = (), **fields: Any) -> Model:
        """Add a backup without a request. Its index need not exist.

        Args:
            index_name: The name of the source index.
            age: The seconds since the creation of the backup.
            statuses: The statuses that successive describe requests return; the last one repeats.
            **fields: Fields of the BackupModel. `status` defaults to "Ready" and only changes with
                `finish_backup`. A value of `...` removes the field.

        Returns:
            The backup as in a response.
        """
        with self._lock:
            now = self._now()
            lifecycle = Lifecycle(final_status=fields.pop("status", "Ready"), statuses=tuple(statuses))
            return self.project.add_backup(index_name, fields, now - age, lifecycle).to_api(now)

    def finish_backup(self, backup_id: str, status: str = "Ready") -> None:
        """Set the final status of a backup now. Raises KeyError if the backup does not exist."""
        with self._lock:
            self.project.backups[backup_id].finish(status, self._now())

    def finish_restore(self, job_id: str, status: str = "Completed") -> None:
        """Set the final status of a restore job now. Raises KeyError if the job does not exist."""
        with self._lock:
            self.project.restore_jobs[job_id].finish(status, self._now())

    def respond(self, request: ApiRequest) -> ApiResponse:
        """Process a request and return the response."""
        with self._lock:
            try:
                _check_method(request)
                self._check_headers(request)
                if request.content_error:
                    raise request.content_error
                return ApiResponse(*self._route(request))
            except ApiError as error:
                return ApiResponse(error.status, error.body, error.headers)

    def _now(self) -> float:
        return self.scenario.clock()

    def _check_headers(self, request: ApiRequest) -> None:
        if request.headers.get("Api-Key") != self.api_key:
            raise ApiError(401, "Invalid API key.")
        version = request.headers.get("X-Pinecone-Api-Version")
        if version not in VERSIONS:
            raise ApiError(
                400,
                f"The emulator supports the API versions {' and '.join(VERSIONS)}. Send one of them in the header "
                f"X-Pinecone-Api-Version (received: {version!r}).",
            )

    def _route(self, request: ApiRequest) -> tuple[int, Body]:
        segments = _segments(request)
        project, now = self.project, self._now()
        match request.method, *segments:
            case ["GET", "indexes"]:
                return 200, {"indexes": [index.to_api(now, request.base_url) for index in project.indexes.values()]}
            case ["POST", "indexes"]:
                index = project.add_index(request_bodies.parse_create_index(request.json()), {})
                return 201, index.to_api(now, request.base_url)
            case ["GET", "indexes", name]:
                return 200, project.index(name).to_api(now, request.base_url)
            case ["DELETE", "indexes", name]:
                project.delete_index(name)
                return 202, None
            case ["PATCH", "indexes", name]:
                index = project.index(name)
                index.model.update(request_bodies.parse_configure_index(request.json(), index.model))
                return 202, index.to_api(now, request.base_url)
            case ["GET", "indexes", name, "backups"]:
                project.index(name)
                backups = [b for b in project.backups.values() if b.model["source_index_name"] == name]
                return 200, _list(backups, f"backups of {name}", request, now)
            case ["POST", "indexes", name, "backups"]:
                return 201, self._create_backup(name, request, now)
            case ["GET", "backups"]:
                return 200, _list(project.backups.values(), "backups", request, now)
            case ["GET", "backups", backup_id]:
                return 200, _describe(project.backup(backup_id, now), now)
            case ["DELETE", "backups", backup_id]:
                project.delete_backup(backup_id, now)
                return 202, None
            case ["POST", "backups", backup_id, "create-index"]:
                return 202, self._create_index_from_backup(backup_id, request, now)
            case ["GET", "restore-jobs"]:
                return 200, _list(project.restore_jobs.values(), "restore jobs", request, now)
            case ["GET", "restore-jobs", job_id]:
                return 200, _describe(project.restore_job(job_id, now), now)
            case ["GET" | "POST", "data-plane", host, "describe_index_stats"]:
                for index in project.indexes.values():
                    if index.data_plane_path.endswith("/" + host):
                        return 200, index.stats(now)
                raise ApiError(404, f"No index has the host {host}.")
        _log.warning("Not emulated: %s %s", request.method, request.path)
        raise ApiError(501, f"The emulator does not emulate {request.method} {request.path}.")

    def _create_backup(self, index_name: str, request: ApiRequest, now: float) -> Model:
        self.project.check_backup_allowed(index_name, now, self.scenario.quota)
        fields = request_bodies.parse_create_backup(request.json())
        lifecycle = self.scenario.take_backup_lifecycle(index_name)
        backup = self.project.add_backup(index_name, fields, now, lifecycle)
        return backup.to_api(now, status=backup.initial_status)

    def _create_index_from_backup(self, backup_id: str, request: ApiRequest, now: float) -> Model:
        index = request_bodies.parse_create_index_from_backup(request.json())
        self.project.check_restore_allowed(backup_id, index["name"], now)
        lifecycle = self.scenario.take_restore_lifecycle(backup_id)
        job = self.project.add_restore_job(backup_id, index, now, lifecycle)
        return {"restore_job_id": job.model["restore_job_id"], "index_id": job.model["target_index_id"]}


def _segments(request: ApiRequest) -> list[str]:
    return [unquote(segment) for segment in request.path.split("/")[1:]]


def _check_method(request: ApiRequest) -> None:
    """Raise 405 if no operation of the API has this method and this path.

    An operation that the API has, but the emulator has not, is answered with 501. For a path that the emulator does not
    know, every method that the API uses may be one.
    """
    allowed = ["DELETE", "GET", "PATCH", "POST", "PUT"]
    match _segments(request):
        case ["indexes"] | ["indexes", _, "backups"] | ["data-plane", _, "describe_index_stats"]:
            allowed = ["GET", "POST"]
        case ["indexes", name] if name != "create-for-model":
            allowed = ["DELETE", "GET", "PATCH"]
        case ["backups"] | ["restore-jobs"] | ["restore-jobs", _]:
            allowed = ["GET"]
        case ["backups", _]:
            allowed = ["DELETE", "GET"]
        case ["backups", _, "create-index"]:
            allowed = ["POST"]
    if request.method not in allowed:
        headers = {"Allow": ", ".join(allowed)}
        raise ApiError(405, f"The method {request.method} is not allowed for {request.path}.", headers)


def _list(resources: Iterable[Resource], listing: str, request: ApiRequest, now: float) -> Model:
    listed = newest_first(resource for resource in resources if resource.is_listed(now))
    return page([resource.to_api(now) for resource in listed], listing, request.query)


def _describe(resource: Resource, now: float) -> Model:
    model = resource.to_api(now)
    resource.describe_count += 1
    return model


def _spread(records: int, namespaces: int) -> dict[str, int]:
    if not records:
        return {}
    each, rest = divmod(records, namespaces)
    return {f"namespace-{n + 1}": each + (n < rest) for n in range(namespaces)}
