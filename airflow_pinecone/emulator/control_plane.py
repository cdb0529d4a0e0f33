"""The operations of the API, on top of a project and a scenario."""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from airflow_pinecone.emulator import request_bodies
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.messages import ApiRequest, ApiResponse, Body
from airflow_pinecone.emulator.paging import page, read_flag
from airflow_pinecone.emulator.project import Project, spread
from airflow_pinecone.emulator.resources import Backup, Index, Lifecycle, Model, newest_first
from airflow_pinecone.emulator.scenario import Scenario
from airflow_pinecone.emulator.versions import DEFAULT_VERSION, VERSIONS, Version

# The methods of Pinecone's API. A path that the emulator does not know may have an operation with each of them.
_METHODS = {"DELETE", "GET", "PATCH", "POST", "PUT"}

_log = logging.getLogger("airflow_pinecone.emulator")

# The status and the body of a response.
_Result = tuple[int, Body]


class ControlPlane:
    """Pinecone's control plane in all its versions, and describe_index_stats of the data plane.

    Its attributes and methods show resources as in a response of version 2025-10.

    Attributes:
        api_key: The only valid API key.
        scenario: The settings of backups and restore jobs, and the plans for the next ones.
        project: The state.
        base_url: The URL of the emulator; the `host` of each index starts with it.
    """

    def __init__(self, api_key: str, indexes: Iterable[str], scenario: Scenario, base_url: str) -> None:
        """Create a control plane with some indexes and no backups.

        Args:
            api_key: The only valid API key.
            indexes: Names of the first indexes, each with 96 records in 3 namespaces, or `NAME:RECORDS`.
            scenario: The settings of backups and restore jobs, and the plans for the next ones.
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
        self._router = web.UrlDispatcher()
        self._add_routes()
        self._lock = threading.RLock()
        for index in indexes:
            name, _, records = index.partition(":")
            self.add_index(name, records=int(records or 96))

    @property
    def indexes(self) -> list[Model]:
        """Copies of all indexes, as in a response."""
        with self._lock:
            return [self._shown(index) for index in self.project.indexes.values()]

    @property
    def backups(self) -> list[Model]:
        """Copies of all backups, as in a response, newest first. Includes those that are not listed yet."""
        with self._lock:
            now = self._now()
            existing = [backup for backup in self.project.backups.values() if not backup.has_disappeared(now)]
            return [DEFAULT_VERSION.backup(backup, now) for backup in newest_first(existing)]

    @property
    def restore_jobs(self) -> list[Model]:
        """Copies of all restore jobs, as in a response, oldest first."""
        with self._lock:
            return [DEFAULT_VERSION.restore_job(job, self._now()) for job in self.project.restore_jobs.values()]

    def add_index(
        self, name: str, *, records: int = 96, namespaces: int = 3, state: str | None = None, **fields: Any
    ) -> Model:
        """Add an index without a request.

        Args:
            name: The name of the index.
            records: The number of records, spread evenly over the namespaces.
            namespaces: The number of namespaces.
            state: The state in which the index stays, for example "InitializationFailed". It is ready by default.
            **fields: Fields of the IndexModel of any version, for example `deletion_protection="enabled"`,
                `tags={...}`, `spec={"pod": {...}}`, or `schema={"fields": {...}}` for a document index.

        Returns:
            The index, as in a response.

        Raises:
            ApiError: The name is invalid or in use.
        """
        request_bodies.check_index_name(name)
        with self._lock:
            index = self.project.add_index({"name": name, **fields}, spread(records, namespaces))
            index.state = state
            return self._shown(index)

    def set_records(self, index_name: str, records: int, namespaces: int = 1) -> None:
        """Set the number of records of an index.

        Args:
            index_name: The name of the index.
            records: The number of records, spread evenly over the namespaces.
            namespaces: The number of namespaces.

        Raises:
            ApiError: The index does not exist.
        """
        with self._lock:
            self.project.index(index_name).namespaces = spread(records, namespaces)

    def add_backup(self, index_name: str, *, age: float = 0.0, statuses: Sequence[str] = (), **fields: Any) -> Model:
        """Add a backup without a request. Its index need not exist.

        Args:
            index_name: The name of the source index. If no index has this name, the index was deleted.
            age: The seconds since the creation of the backup.
            statuses: The statuses that successive describe requests return; the last one repeats.
            **fields: Fields of the BackupModel. `status` defaults to "Ready" and only changes with
                `finish_backup`. A value of `...` removes the field. Another `source_index_id` than that of the index
                makes it a backup of an earlier index with this name.

        Returns:
            The backup, as in a response.
        """
        with self._lock:
            now = self._now()
            lifecycle = Lifecycle(final_status=fields.pop("status", "Ready"), statuses=tuple(statuses))
            return DEFAULT_VERSION.backup(self.project.add_backup(index_name, fields, now - age, lifecycle), now)

    def finish_backup(self, backup_id: str, status: str = "Ready") -> None:
        """Set the final status of a backup now. Raises KeyError if the backup does not exist."""
        with self._lock:
            self.project.backups[backup_id].finish(status, self._now())

    def finish_restore(self, job_id: str, status: str = "Completed") -> None:
        """Set the final status of a restore job now. Raises KeyError if the job does not exist."""
        with self._lock:
            self.project.restore_jobs[job_id].finish(status, self._now())

    async def respond(self, request: ApiRequest) -> ApiResponse:
        """Process a request and return the response."""
        # The type requires aiohttp's own request, but the router only reads the method and the URL.
        route = await self._router.resolve(request)  # type: ignore[arg-type]
        operation: Any = self._not_emulated if route.http_exception else route.handler
        try:
            _check_method(request, route.http_exception)
            version = self._check_headers(request)
            if request.content_error:
                raise request.content_error
            with self._lock:  # The operations are coroutines because aiohttp requires it: none of them waits.
                return ApiResponse(*await operation(request, self._now(), version, **route))
        except ApiError as error:
            return ApiResponse(error.status, error.body, error.headers)

    def _add_routes(self) -> None:
        routes: list[tuple[str, str, Any]] = [
            ("GET", "/indexes", self._list_indexes),
            ("POST", "/indexes", self._create_index),
            ("POST", "/indexes/create-for-model", self._not_emulated),
            ("GET", "/indexes/{name}", self._describe_index),
            ("DELETE", "/indexes/{name}", self._delete_index),
            ("PATCH", "/indexes/{name}", self._configure_index),
            ("GET", "/indexes/{name}/backups", self._list_backups_of_index),
            ("POST", "/indexes/{name}/backups", self._create_backup),
            ("GET", "/backups", self._list_backups),
            ("GET", "/backups/{backup_id}", self._describe_backup),
            ("DELETE", "/backups/{backup_id}", self._delete_backup),
            ("POST", "/backups/{backup_id}/create-index", self._create_index_from_backup),
            ("GET", "/restore-jobs", self._list_restore_jobs),
            ("GET", "/restore-jobs/{job_id}", self._describe_restore_job),
            ("GET", "/data-plane/{host}/describe_index_stats", self._describe_index_stats),
            ("POST", "/data-plane/{host}/describe_index_stats", self._describe_index_stats),
        ]
        for method, path, operation in routes:
            # By default, a variable matches neither "" nor braces.
            self._router.add_route(method, path.replace("}", ":[^/]*}"), operation)

    def _now(self) -> float:
        return self.scenario.clock()

    def _shown(self, index: Index) -> Model:
        return DEFAULT_VERSION.index(index, self._now(), self.base_url)

    def _check_headers(self, request: ApiRequest) -> Version:
        """Return the version of a request. Raises ApiError 401 or 400 for an invalid key or version."""
        name = request.headers.get("X-Pinecone-Api-Version")
        version = VERSIONS.get(name or "")
        if request.headers.get("Api-Key") != self.api_key:
            raise (version or DEFAULT_VERSION).unauthorized()
        if version is None:
            raise ApiError(
                400,
                f"The emulator supports the API versions {', '.join(VERSIONS)}. Send one of them in the header "
                f"X-Pinecone-Api-Version (received: {name!r}).",
            )
        return version

    async def _not_emulated(self, request: ApiRequest, now: float, version: Version) -> _Result:
        _log.warning("Not emulated: %s %s", request.method, request.path)
        raise ApiError(501, f"The emulator does not emulate {request.method} {request.path}.")

    async def _list_indexes(self, request: ApiRequest, now: float, version: Version) -> _Result:
        indexes = self.project.indexes.values()
        return 200, {"indexes": [version.index(index, now, request.base_url) for index in indexes]}

    async def _create_index(self, request: ApiRequest, now: float, version: Version) -> _Result:
        index = self.project.add_index(version.parse_create_index(request.json()), {})
        return 201, version.index(index, now, request.base_url)

    async def _describe_index(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        return 200, version.index(self.project.index(name), now, request.base_url)

    async def _delete_index(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        self.project.delete_index(name, now)
        return 202, None

    async def _configure_index(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        index = self.project.index(name)
        index.model.update(version.parse_configure_index(request.json(), index.model))
        return version.configured_index, version.index(index, now, request.base_url)

    async def _list_backups_of_index(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        query = request.query
        include_deleted = read_flag(query, "include_deleted") and version.shows_deleted
        query.pop("include_deleted", None)
        backups = self.project.backups_of(name, include_deleted=include_deleted)
        return _list_backups(backups, f"backups of {name}", query, now, version)

    async def _create_backup(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        scenario = self.scenario
        if not scenario.backups_in_plan:
            message = "Your organization's plan does not include backups. Upgrade your plan to create backups."
            raise ApiError(403, message, code=version.no_plan)
        self.project.check_backup_allowed(name, now, scenario.quota, full_text=scenario.full_text_backups)
        fields = version.parse_create_backup(request.json())
        backup = self.project.add_backup(name, fields, now, scenario.take_backup_lifecycle(name))
        return version.created_backup, version.backup(backup, now, status=backup.initial_status)

    async def _list_backups(self, request: ApiRequest, now: float, version: Version) -> _Result:
        return _list_backups(self.project.backups.values(), "backups", request.query, now, version)

    async def _describe_backup(self, request: ApiRequest, now: float, version: Version, backup_id: str) -> _Result:
        backup = self.project.backup(backup_id, now)
        model = version.backup(backup, now)
        backup.describe_count += 1
        return 200, model

    async def _delete_backup(self, request: ApiRequest, now: float, version: Version, backup_id: str) -> _Result:
        self.project.delete_backup(backup_id, now)
        return 202, None

    async def _create_index_from_backup(
        self, request: ApiRequest, now: float, version: Version, backup_id: str
    ) -> _Result:
        index = version.parse_create_index_from_backup(request.json())
        self.project.check_restore_allowed(backup_id, index["name"], now)
        status = self.project.backup(backup_id, now).status(now)
        if status != "Ready":
            raise version.unready_backup(backup_id, status)
        job = self.project.add_restore_job(backup_id, index, now, self.scenario.take_restore_lifecycle(backup_id))
        return 202, {"restore_job_id": job.model["restore_job_id"], "index_id": job.model["target_index_id"]}

    async def _list_restore_jobs(self, request: ApiRequest, now: float, version: Version) -> _Result:
        listed = newest_first(job for job in self.project.restore_jobs.values() if job.is_listed(now))
        rows = [version.restore_job(job, now) for job in listed]
        return 200, page(rows, "restore jobs", request.query, version.page_size)

    async def _describe_restore_job(self, request: ApiRequest, now: float, version: Version, job_id: str) -> _Result:
        job = self.project.restore_job(job_id, now)
        model = version.restore_job(job, now)
        job.describe_count += 1
        return 200, model

    async def _describe_index_stats(self, request: ApiRequest, now: float, version: Version, host: str) -> _Result:
        for index in self.project.indexes.values():
            if index.data_plane_path.endswith("/" + host):
                return 200, index.stats(now)
        raise ApiError(404, f"No index has the host {host}.")


def _check_method(request: ApiRequest, error: web.HTTPException | None) -> None:
    """Raise 405 if the router found the path, but not with this method, or if the API never uses this method."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = error.allowed_methods
    elif error and request.method not in _METHODS:
        allowed = _METHODS
    else:
        return
    headers = {"Allow": ", ".join(sorted(allowed))}
    raise ApiError(405, f"The method {request.method} is not allowed for {request.path}.", headers)


def _list_backups(
    backups: Iterable[Backup], listing: str, query: Mapping[str, str], now: float, version: Version
) -> _Result:
    listed = newest_first(backup for backup in backups if backup.is_listed(now))
    return 200, page([version.backup(backup, now) for backup in listed], listing, query, version.page_size)
