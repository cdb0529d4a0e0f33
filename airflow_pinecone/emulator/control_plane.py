"""The state of the emulator, and which operation a request is."""

import asyncio
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from aiohttp import web

from airflow_pinecone.emulator import data_plane, request_bodies
from airflow_pinecone.emulator.contents import Contents, Write, spread
from airflow_pinecone.emulator.data_plane import DataPlane, internal, rpc_status
from airflow_pinecone.emulator.documents import Documents
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.imports import Imports
from airflow_pinecone.emulator.messages import ApiRequest, ApiResponse
from airflow_pinecone.emulator.namespace_calls import NamespaceCalls
from airflow_pinecone.emulator.namespaces import put
from airflow_pinecone.emulator.operations import Operations
from airflow_pinecone.emulator.project import Project
from airflow_pinecone.emulator.records import encode
from airflow_pinecone.emulator.resources import Index, Lifecycle, Model, newest_first
from airflow_pinecone.emulator.scenario import Scenario
from airflow_pinecone.emulator.schedules import Schedules
from airflow_pinecone.emulator.vector_bodies import stored
from airflow_pinecone.emulator.vectors import Vectors
from airflow_pinecone.emulator.versions import DEFAULT_VERSION, VERSIONS, Version

# The methods of Pinecone's API. A path that the emulator does not know may have an operation with each of them.
_METHODS = {"DELETE", "GET", "PATCH", "POST", "PUT"}


class ControlPlane:
    """Pinecone's control plane and data plane in all their versions.

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
        self._schedules = Schedules(self.project, scenario)
        self.base_url = base_url
        self._router = web.UrlDispatcher()
        self._operations = Operations(self.project, self._schedules, scenario)
        self._data_plane = DataPlane(self.project, scenario)
        self._imports = Imports(self._data_plane, scenario)
        calls = (NamespaceCalls(self._data_plane), Vectors(self._data_plane), self._imports)
        data_plane_routes = [route for each in calls for route in each.routes()]
        self._rpc_operations = {operation for _, _, operation in data_plane_routes}
        routes = [*self._operations.routes(), *data_plane_routes, *Documents(self._data_plane).routes()]
        for method, path, operation in routes:
            # By default, a variable matches neither "" nor braces.
            self._router.add_route(method, path.replace("}", ":[^/]*}"), operation)
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

    @property
    def backup_schedules(self) -> list[Model]:
        """All backup schedules, as in a response of version 2026-07, oldest first."""
        with self._lock:
            self._now()
            return [schedule.to_api(self.project.id) for schedule in self._schedules.all()]

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
            ApiError: The name or the dimension is invalid, or the name is in use.
        """
        request_bodies.check_index_name(name)
        with self._lock:
            index = self.project.add_index({"name": name, **fields})
            index.contents = Contents(spread(records, namespaces, index.generate))
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
            self._now()
            index = self.project.index(index_name)
            index.contents = Contents(spread(records, namespaces, index.generate))

    def add_records(self, index_name: str, records: Iterable[Model], namespace: str = "") -> None:
        """Write records without a request. Creates the namespace.

        Args:
            index_name: The name of the index.
            records: The records in the API's shape: `id`, `values`, `sparseValues` and `metadata`; for a document
                index, documents: `_id` and their fields. They replace those with the same ids.
            namespace: The namespace; "" for the default one.

        Raises:
            ApiError: The index does not exist, or a record has no id or another dimension.
        """
        with self._lock:
            index = self.project.index(index_name)
            added = [stored(record, index) for record in records]
            self._write(index, lambda namespaces: put(namespaces, internal(namespace), added))

    def generate_records(self, index_name: str, count: int, namespace: str = "", seed: int = 0) -> None:
        """Fill a namespace with records that are computed when they are read, so that they take no memory.

        They replace the records of the namespace. The same count and seed give the same records.

        Args:
            index_name: The name of the index.
            count: The number of records.
            namespace: The namespace; "" for the default one.
            seed: Another seed gives other values.

        Raises:
            ApiError: The index does not exist.
        """
        with self._lock:
            index = self.project.index(index_name)
            generated = index.generate(count, seed)
            self._write(index, lambda namespaces: namespaces.update({internal(namespace): generated}))

    def add_namespace_alias(self, index_name: str, name: str, namespace: str) -> None:
        """Add a namespace alias without a request. The emulator only lists it: reads do not resolve it.

        Args:
            index_name: The name of the index.
            name: The alias.
            namespace: Its target; "" for the default namespace.

        Raises:
            ApiError: The index does not exist.
        """
        with self._lock:
            self.project.index(index_name).namespace_aliases[name] = namespace

    def records(self, index_name: str, namespace: str = "") -> dict[str, Model]:
        """Return the visible records of a namespace by id, as in a response.

        Args:
            index_name: The name of the index.
            namespace: The namespace; "" for the default one.

        Raises:
            ApiError: The index does not exist.
        """
        with self._lock:
            found = self.project.index(index_name).namespaces(self._now()).get(internal(namespace))
            if found is None:
                return {}
            shown: dict[str, Model] = orjson.loads(encode({i: found.get(i).to_api() for i in found.ids_from("")}))
            return shown

    def namespaces(self, index_name: str) -> list[str]:
        """Return the names of the visible namespaces of an index, sorted; "" is the default one.

        Raises:
            ApiError: The index does not exist.
        """
        with self._lock:
            return sorted(self.project.index(index_name).namespaces(self._now()))

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

    def add_backup_schedule(
        self,
        index_name: str,
        name: str,
        *,
        frequency: str = "daily",
        retention_days: int = 30,
        age: float = 0.0,
    ) -> Model:
        """Add an enabled backup schedule without a request.

        Args:
            index_name: The name of the index.
            name: The name of the schedule.
            frequency: "daily", "weekly" or "monthly".
            retention_days: The days after which a backup of the schedule is deleted.
            age: The seconds since the creation of the schedule. The backups that were due since then are created.

        Returns:
            The schedule, as in a response.

        Raises:
            ApiError: The index does not exist or has an enabled schedule, or the frequency is unknown.
        """
        with self._lock:
            index = self.project.index(index_name)
            schedule = self._schedules.add(index, name, frequency, retention_days, self._now() - age)
            self._now()
            return schedule.to_api(self.project.id)

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
        operation: Any = self._operations.not_emulated if route.http_exception else route.handler
        try:
            _check_method(request, route.http_exception)
            version = self._check_headers(request)
            if request.content_error:
                raise request.content_error
            with self._lock:
                response = ApiResponse(*await operation(request, self._now(), version, **route))
        except ApiError as error:
            body = rpc_status(error) if operation in self._rpc_operations else error.body
            response = ApiResponse(error.status, body, error.headers)
        if request.path.startswith(data_plane.PATH) and self.scenario.latency:
            await asyncio.sleep(self.scenario.latency)
        return response

    def _now(self) -> float:
        """Return the time, after the end of the bulk imports and the start of the scheduled backups that are due."""
        now = self.scenario.clock()
        self._imports.run(now)
        self._schedules.run(now)
        return now

    def _write(self, index: Index, write: Write) -> None:
        """Change the namespaces of an index, with the delays of the scenario. The index need not be ready."""
        scenario = self.scenario
        index.contents.write(write, self._now(), scenario.writes_visible_after, scenario.backup_lag)

    def _shown(self, index: Index) -> Model:
        return DEFAULT_VERSION.index(index, self._now(), self.base_url)

    def _check_headers(self, request: ApiRequest) -> Version:
        """Return the version of a request. Raises ApiError 401 or 400 for an invalid key or version."""
        name = request.headers.get("X-Pinecone-Api-Version")
        version = VERSIONS.get(name or "")
        if request.headers.get("Api-Key") != self.api_key:
            raise (version or DEFAULT_VERSION).unauthorized(data_plane=request.path.startswith(data_plane.PATH))
        if version is None:
            raise ApiError(
                400,
                f"The emulator supports the API versions {', '.join(VERSIONS)}. Send one of them in the header "
                f"X-Pinecone-Api-Version (received: {name!r}).",
            )
        return version


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
