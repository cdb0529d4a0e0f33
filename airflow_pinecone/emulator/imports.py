"""Bulk imports: the operations, and how an import changes over time."""

import itertools
import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

from airflow_pinecone.emulator import keyset, shapes
from airflow_pinecone.emulator.data_plane import HOST, DataPlane, Result, check_ready, refuse_unknown_query
from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.import_files import SCHEMES, Files, InvalidImport
from airflow_pinecone.emulator.messages import ApiRequest
from airflow_pinecone.emulator.namespaces import Namespaces, copies
from airflow_pinecone.emulator.resources import Index, Lifecycle, Model, Resource, newest_first, timestamp
from airflow_pinecone.emulator.scenario import Scenario
from airflow_pinecone.emulator.vector_bodies import read_body, typed
from airflow_pinecone.emulator.versions import Version

_MAX_URI = 1500
_MAX_INTEGRATION_ID = 1000
# The share of the time of an import during which it is Pending.
_PENDING_SHARE = 0.1
# The real seconds from the start of an import during which requests wait until it has read its files, and how long a
# request waits after that. Meanwhile, the emulator handles no other request.
_READING_SECONDS = 2.0
_WAITING_SECONDS = 0.02

_log = logging.getLogger("airflow_pinecone.emulator")


class Import(Resource):
    """A bulk import. It reads its files in a thread, and ends when it has read them and its time has come.

    Attributes:
        index: The index.
    """

    initial_status = "Pending"

    def __init__(self, model: Model, created_at: float, lifecycle: Lifecycle, index: Index, files: Files) -> None:
        """Create an import that does not read yet."""
        super().__init__(model, created_at, lifecycle)
        self.index = index
        self._files = files
        self._namespaces: Namespaces = {}
        self._problem = ""
        self._started_at = time.monotonic()

    def start(self, **options: Any) -> None:
        """Start to read the files, with the options of `Files.read`."""
        self._reader = threading.Thread(target=self._read, kwargs=options, name="pinecone-import", daemon=True)
        self._reader.start()

    def status(self, now: float) -> str:
        """Return the status at the time `now`."""
        if self._finished:
            return self._finished.status
        return "Pending" if self._share(now) < _PENDING_SHARE else "InProgress"

    def ended_at(self, now: float) -> float | None:
        """Return when it ended, or None if it has not."""
        return self._finished.at if self._finished else None

    def cancel(self, now: float) -> None:
        """Cancel it, unless it has ended."""
        if not self._finished:
            self._end("Cancelled", now)

    def settle(self, now: float, backup_lag: float) -> bool:
        """End it if its time has come, and return whether it has ended."""
        if self._finished:
            return True
        if Resource.ended_at(self, now) is None:
            return False
        status = self.lifecycle.final_status
        if status == "Completed":
            self._reader.join(max(_WAITING_SECONDS, self._started_at + _READING_SECONDS - time.monotonic()))
            if self._reader.is_alive():
                return False
            problem = self._problem or self._problem_of_namespaces(now)
            status = "Failed" if problem else status
            if problem:
                self.model["error"] = problem
            else:
                self.model["recordsImported"] = sum(map(len, self._namespaces.values()))
                self._write(self._namespaces, now, backup_lag)
        elif status == "Failed":
            self.model["error"] = "The import failed for an internal reason."
        self._end(status, self.created_at + self.lifecycle.ends_after)
        return True

    def to_api(self, now: float, **changes: Any) -> Model:
        """Return its model as in a response."""
        if self._finished:
            changes["finishedAt"] = timestamp(self._finished.at)
        completed = self.status(now) == "Completed"
        changes["percentComplete"] = 100.0 if completed else round(100 * min(0.99, self._share(now)), 1)
        return super().to_api(now, **changes)

    def _share(self, now: float) -> float:
        """Return which share of its time has passed."""
        ended_at = self._finished.at if self._finished else now
        seconds = self.lifecycle.ends_after
        return max(0.0, ended_at - self.created_at) / seconds if seconds else 1.0

    def _end(self, status: str, at: float) -> None:
        self._files.is_stopped = True
        self.finish(status, at)
        self._namespaces = {}

    def _write(self, imported: Namespaces, now: float, backup_lag: float) -> None:
        # A write can be applied twice: to the index, and to what its backups have.
        self.index.contents.write(lambda namespaces: namespaces.update(copies(imported)), now, backup_lag=backup_lag)

    def _problem_of_namespaces(self, now: float) -> str:
        existing = self.index.contents.latest(now)
        for name in self._namespaces:
            if name in existing and name:
                return f"Namespace {name} already exists."
            if name in existing and len(existing[name]):
                return "The default namespace (__default__) already has records."
        return ""

    def _read(self, **options: Any) -> None:
        try:
            self._namespaces = self._files.read(self.index, **options)
        except InvalidImport as error:
            self._problem = str(error)
        except Exception as error:
            _log.exception("A bulk import cannot be read")
            self._problem = f"The files cannot be read: {error}."


class Imports:
    """The bulk imports, and the operations on them."""

    def __init__(self, data_plane: DataPlane, scenario: Scenario) -> None:
        """Create the operations on the indexes of a data plane."""
        self._data_plane = data_plane
        self._scenario = scenario
        self._imports: dict[str, Import] = {}
        self._unsettled: list[Import] = []
        self._numbers = itertools.count(101)

    def routes(self) -> list[tuple[str, str, Any]]:
        """Return the method and the path of each operation."""
        return [
            ("POST", f"{HOST}/bulk/imports", self._start),
            ("GET", f"{HOST}/bulk/imports", self._list),
            ("GET", f"{HOST}/bulk/imports/{{import_id}}", self._describe),
            ("DELETE", f"{HOST}/bulk/imports/{{import_id}}", self._cancel),
        ]

    def run(self, now: float) -> None:
        """End the imports whose time has come."""
        self._unsettled = [each for each in self._unsettled if not each.settle(now, self._scenario.backup_lag)]

    async def _start(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._data_plane.index(host)
        uri, skips = _read_start(request)
        check_ready(index, now)
        _check_index(index, uri)
        files = Files(uri, self._scenario.storage_options)
        lifecycle = self._scenario.take_import_lifecycle(index.name)
        model: Model = {"id": str(next(self._numbers)), "uri": uri, "createdAt": timestamp(now), "recordsImported": 0}
        started = Import(model, now, lifecycle, index, files)
        self._imports[model["id"]] = started
        self._unsettled.append(started)
        started.start(skips=skips, refuses_identical=self._scenario.import_skips_identical)
        return 200, {"id": model["id"]}

    async def _list(self, request: ApiRequest, now: float, version: Version, host: str) -> Result:
        index = self._data_plane.index(host)
        query = request.query
        refuse_unknown_query(query, {"limit", "paginationToken"})
        page = keyset.read_page(query)
        listed = [each for each in newest_first(self._of(index)) if each.is_listed(now)]
        ids = [str(each.model["id"]) for each in listed]
        if page.skip_past in ids:
            ids = ids[ids.index(page.skip_past) + 1 :]
        selected, token = page.of(ids)
        body: Model = {"data": [self._imports[each].to_api(now) for each in selected]}
        if token:
            body["pagination"] = {"next": token}
        return 200, body

    async def _describe(self, request: ApiRequest, now: float, version: Version, host: str, import_id: str) -> Result:
        return 200, self._import(host, import_id, now).to_api(now)

    async def _cancel(self, request: ApiRequest, now: float, version: Version, host: str, import_id: str) -> Result:
        self._import(host, import_id, now).cancel(now)
        return 200, {}

    def _of(self, index: Index) -> Iterable[Import]:
        return (each for each in self._imports.values() if each.index is index)

    def _import(self, host: str, import_id: str, now: float) -> Import:
        """Return an import of an index; 404 if there is none."""
        index, found = self._data_plane.index(host), self._imports.get(import_id)
        if found is None or found.index is not index or not found.is_found(now):
            raise ApiError(404, f"Import {import_id} not found.")
        return found


def _read_start(request: ApiRequest) -> tuple[str, bool]:
    """Return the URI of an import, and whether it skips invalid records."""
    body = read_body(request, {"uri", "integrationId", "errorMode"})
    uri = typed(body, "uri", str, "")
    if not 1 <= len(uri) <= _MAX_URI:
        raise ApiError(400, f"The uri must have 1 to {_MAX_URI} characters.")
    if len(typed(body, "integrationId", str, "")) > _MAX_INTEGRATION_ID:
        raise ApiError(400, f"The integrationId must have at most {_MAX_INTEGRATION_ID} characters.")
    on_error = typed(typed(body, "errorMode", dict, {}), "onError", str, "abort")
    if on_error not in {"abort", "continue"}:
        raise ApiError(400, "onError must be abort or continue.")
    return uri, on_error == "continue"


def _check_index(index: Index, uri: str) -> None:
    """Raise 400 if an index cannot import from a URI, and 501 if only the emulator cannot."""
    if index.is_document_index:
        raise ApiError(501, "The emulator does not import documents.")
    if "pod" in index.model["spec"]:
        raise ApiError(400, f"Index {index.name} is pod-based. Only serverless indexes support bulk imports.")
    scheme = uri.partition("://")[0]
    if scheme not in SCHEMES:
        raise ApiError(400, f"The emulator imports only from these storages: {', '.join(SCHEMES)}.")
    cloud = shapes.location(index.model["spec"]).cloud
    if scheme == "s3" and cloud != "aws":
        raise ApiError(400, f"An index in {cloud} cannot import from Amazon S3.")
