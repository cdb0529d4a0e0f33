"""The client: one method for each call of Pinecone's API. ``PineconeHook`` documents them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import requests

from airflow_pinecone.api import new_indexes, responses
from airflow_pinecone.api.hosts import data_plane_url
from airflow_pinecone.api.imports import BulkImports
from airflow_pinecone.api.key import ReadSettings
from airflow_pinecone.api.listing import Listed, Listing, warn_of_invalid_rows
from airflow_pinecone.api.models import (
    BackupModel,
    IndexModel,
    RestoreJobModel,
    RestoreStarted,
)
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.schedules import BackupSchedules
from airflow_pinecone.api.settings import Settings
from airflow_pinecone.api.transport import Log, Transport
from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.common.inputs import (
    validate_backup_name,
    validate_bools,
    validate_id,
    validate_index_name,
    validate_object,
    validate_tags,
    validate_text,
)
from airflow_pinecone.common.text import explain, one_line
from airflow_pinecone.errors import (
    NotFound,
    PineconeInputError,
    PineconePermanentError,
)

if TYPE_CHECKING:
    from airflow_pinecone.api.record_writes import IndexWriter
    from airflow_pinecone.api.records import IndexRecords

_BACKUPS = Listing(
    Operation("list_project_backups", "GET", ("backups",), "list the backups of the project"),
    "backup_id",
    responses.backup,
)
_RESTORE_JOBS = Listing(
    Operation("list_restore_jobs", "GET", ("restore-jobs",), "list the restore jobs"),
    "restore_job_id",
    responses.restore_job,
)


class PineconeClient:
    """Calls Pinecone's API. Several threads may use one client at the same time.

    GET and DELETE requests are repeated after 408, 429, 5xx and connection errors: at most 5 attempts, and none starts
    later than 60 seconds after the first. A POST is repeated only if Pinecone did not process it. After a 401, each
    request is repeated once if the connection has a new API key. Proxies and CA bundles come from the environment
    variables that requests reads. Redirects are not followed.

    Args:
        settings: The control plane, the API key and the timeout.
        log: Logs a message when a request is repeated.
        clock: The clock for delays between attempts.
        read_again: Reads the settings again after Pinecone has rejected the API key; None keeps the key.
    """

    def __init__(
        self, settings: Settings, log: Log, *, clock: Clock = SYSTEM_CLOCK, read_again: ReadSettings | None = None
    ) -> None:
        self._transport = Transport(settings, log, clock, read_again)
        self._log = log
        self._clock = clock
        self._warnings: set[str] = set()

    @property
    def settings(self) -> Settings:
        """The settings, with the API key that is in use."""
        return self._transport.settings

    @property
    def session(self) -> requests.Session:
        """The session of all calls, which adds the API key."""
        return self._transport.session

    @cached_property
    def schedules(self) -> BackupSchedules:
        """The backup schedules."""
        return BackupSchedules(self._transport, self._warn_once)

    def create_backup(self, index_name: str, *, name: str | None = None, description: str | None = None) -> BackupModel:
        """Create a backup of an index."""
        path = ("indexes", validate_index_name(index_name), "backups")
        operation = Operation("create_backup", "POST", path, f"create a backup of index {index_name}")
        if name is not None and self.settings.is_since("2026-07"):
            validate_backup_name(name)
        body = {"name": validate_text(name, "name"), "description": validate_text(description, "description")}
        return self._transport.create(operation, body, responses.backup)

    def describe_backup(self, backup_id: str, *, retry: bool = True) -> BackupModel:
        """Describe a backup."""
        path = ("backups", validate_id(backup_id, "backup"))
        operation = Operation("describe_backup", "GET", path, f"describe backup {backup_id}")
        backup = responses.backup(self._transport.request(operation, retry=retry), operation)
        if backup["backup_id"] != backup_id:
            raise operation.invalid_response("describes another backup")
        return backup

    def list_backups(
        self, index_name: str | None = None, *, include_deleted: bool = False, retry: bool = True
    ) -> Iterator[BackupModel]:
        """List the backups of an index or of the project."""
        validate_bools(include_deleted=include_deleted)
        if index_name is None:
            return _BACKUPS.rows(self._transport, self._warn_once, retry=retry)
        path = ("indexes", validate_index_name(index_name), "backups")
        operation = Operation("list_index_backups", "GET", path, f"list the backups of index {index_name}")
        if not include_deleted:
            listing = replace(_BACKUPS, operation=operation)
        elif self.settings.is_since("2026-07"):
            listing = replace(_BACKUPS, operation=operation, params={"include_deleted": "true"})
        else:
            # These versions list the backups of a deleted index only with those of the project.
            backups = self.list_backups(retry=retry)
            return (backup for backup in backups if backup.get("source_index_name") == index_name)
        return listing.rows(self._transport, self._warn_once, retry=retry)

    def find_backups_of_name(
        self, index_name: str, *, include_deleted_indexes: bool = False, retry: bool = True
    ) -> tuple[list[BackupModel], bool]:
        """List the backups of an index name, even if the index was deleted.

        The backups of deleted indexes are listed if no index has the name now, or with ``include_deleted_indexes``.

        Returns:
            The backups, and whether an index has the name now.

        Raises:
            NotFound: Neither an index nor a backup has this name.
        """
        not_found = None
        backups: dict[str, BackupModel] = {}
        try:
            listed = self.list_backups(validate_index_name(index_name), retry=retry)
            backups = {backup["backup_id"]: backup for backup in listed}
        except NotFound as error:
            not_found = error
        if not_found or include_deleted_indexes:
            with suppress(NotFound):  # Not even a deleted index had the name.
                for backup in self.list_backups(index_name, include_deleted=True, retry=retry):
                    backups.setdefault(backup["backup_id"], backup)
        if not_found and not backups:
            # It is probably a misspelled name, or a key of another project.
            raise not_found
        return list(backups.values()), not_found is None

    def find_backups(self, backup_ids: Collection[str], *, max_pages: int) -> Listed[BackupModel]:
        """Search for backups in at most so many pages of the backups of the project. A missing one may exist.

        Failed requests are not repeated.
        """
        return _BACKUPS.find(self._transport, backup_ids, max_pages=max_pages)

    def delete_backup(self, backup_id: str) -> None:
        """Delete a backup."""
        path = ("backups", validate_id(backup_id, "backup"))
        self._delete(Operation("delete_backup", "DELETE", path, f"delete backup {backup_id}"))

    def list_indexes(self, *, retry: bool = True) -> list[IndexModel]:
        """List the indexes of the project."""
        return self.find_indexes(self._warn_once, retry=retry)

    def find_indexes(self, on_invalid: Log, *, retry: bool = True) -> list[IndexModel]:
        """List the indexes that have a valid name. ``on_invalid`` gets a message about the others, if there are any."""
        operation = Operation("list_indexes", "GET", ("indexes",), "list the indexes")
        indexes, invalid = responses.indexes(self._transport.request(operation, retry=retry), operation)
        warn_of_invalid_rows(on_invalid, operation, "name", invalid)
        return indexes

    def describe_index(self, index_name: str, *, retry: bool = True) -> IndexModel:
        """Describe an index."""
        path = ("indexes", validate_index_name(index_name))
        operation = Operation("describe_index", "GET", path, f"describe index {index_name}")
        return responses.index(self._transport.request(operation, retry=retry), operation, index_name)

    def create_index(self, body: Mapping[str, Any]) -> IndexModel:
        """Create an index."""
        return new_indexes.create_index(self._transport, body)

    def delete_index(self, index_name: str) -> None:
        """Delete an index and all its records."""
        path = ("indexes", validate_index_name(index_name))
        self._delete(Operation("delete_index", "DELETE", path, f"delete index {index_name}"))

    def describe_index_stats(self, index_name: str) -> dict[str, Any]:
        """Describe the contents of an index, as its data plane reports them."""
        path = ("describe_index_stats",)
        description = f"describe the stats of index {index_name}"
        operation = Operation("describe_index_stats", "POST", path, description, is_read=True)
        url = self._data_plane(self.describe_index(index_name), operation)
        return responses.index_stats(self._transport.request(operation, body={}, url=url), operation)

    def records(self, index_name: str, *, retry: bool = True) -> IndexRecords:
        """Return a reader of the records of an index. Without ``retry``, no request is repeated."""
        try:
            from airflow_pinecone.api.records import IndexRecords
        except ImportError as error:
            raise _missing_package(f"Could not read the records of index {index_name}.", "records", error) from error
        index = self.describe_index(index_name, retry=retry)
        operation = Operation("describe_index", "GET", ("indexes", index_name), f"read the records of {index_name}")
        url = self._data_plane(index, operation)
        return IndexRecords(self._transport, index, url, self._clock, self._log, retry=retry)

    def writer(self, index_name: str) -> IndexWriter:
        """Return a writer of the records of an index."""
        try:
            from airflow_pinecone.api.record_writes import IndexWriter
        except ImportError as error:
            raise _missing_package(f"Could not write to index {index_name}.", "records", error) from error
        index = self.describe_index(index_name)
        operation = Operation("describe_index", "GET", ("indexes", index_name), f"write to index {index_name}")
        return IndexWriter(self._transport, index, self._data_plane(index, operation), self._clock, self._log)

    def imports(self, index_name: str) -> BulkImports:
        """Return the calls for the bulk imports of an index, which is requested by the first one."""
        validate_index_name(index_name)

        def find_url(retry: bool) -> str:
            index = self.describe_index(index_name, retry=retry)
            description = f"use the imports of index {index_name}"
            return self._data_plane(index, Operation("describe_index", "GET", ("indexes", index_name), description))

        return BulkImports(self._transport, index_name, find_url, self._warn_once)

    def _data_plane(self, index: IndexModel, operation: Operation) -> str:
        """Return the URL of the data plane of an index."""
        host = index.get("host")
        try:
            return data_plane_url(host, self.settings.url)
        except ValueError as error:
            raise PineconePermanentError(
                f"Could not {operation.description}: its host {one_line(host)!r} {error}."
            ) from error

    def create_index_from_backup(
        self,
        backup_id: str,
        *,
        name: str,
        tags: dict[str, str] | None = None,
        deletion_protection: str | None = None,
        read_capacity: dict[str, Any] | None = None,
    ) -> RestoreStarted:
        """Start restoring a backup into a new index."""
        if read_capacity is not None and not self.settings.is_since("2026-04"):
            raise PineconeInputError(
                explain(
                    f"Could not restore backup {backup_id} into index {name}.",
                    f"The argument read_capacity needs API version 2026-04, not {self.settings.api_version}.",
                    'Set {"api_version": "2026-07"} in the extra field of connection ' + f"{self.settings.conn_id}.",
                )
            )
        path = ("backups", validate_id(backup_id, "backup"), "create-index")
        description = f"restore backup {backup_id} into index {validate_index_name(name)}"
        operation = Operation("create_index_from_backup", "POST", path, description)
        body = {
            "name": name,
            "tags": validate_tags(tags),
            "deletion_protection": deletion_protection,
            "read_capacity": validate_object(read_capacity, "read_capacity"),
        }
        return self._transport.create(operation, body, responses.restore_started)

    def describe_restore_job(self, restore_job_id: str, *, retry: bool = True) -> RestoreJobModel:
        """Describe a restore job."""
        path = ("restore-jobs", validate_id(restore_job_id, "restore job"))
        operation = Operation("describe_restore_job", "GET", path, f"describe restore job {restore_job_id}")
        job = responses.restore_job(self._transport.request(operation, retry=retry), operation)
        if job["restore_job_id"] != restore_job_id:
            raise operation.invalid_response("describes another restore job")
        return job

    def list_restore_jobs(self, *, retry: bool = True) -> Iterator[RestoreJobModel]:
        """List the restore jobs of the project."""
        return _RESTORE_JOBS.rows(self._transport, self._warn_once, retry=retry)

    def find_restore_jobs(self, restore_job_ids: Collection[str], *, max_pages: int) -> Listed[RestoreJobModel]:
        """Search for restore jobs in at most so many pages of those of the project. A missing one may exist.

        Failed requests are not repeated.
        """
        return _RESTORE_JOBS.find(self._transport, restore_job_ids, max_pages=max_pages)

    def _delete(self, operation: Operation) -> None:
        responses.deleted(self._transport.request(operation), operation)

    def _warn_once(self, message: str) -> None:
        """Log a warning, unless this client has logged it: a listing can be requested at each poll."""
        if message not in self._warnings:
            self._warnings.add(message)
            self._log(message)


def _missing_package(what: str, extra: str, error: ImportError) -> PineconeInputError:
    return PineconeInputError(
        explain(
            what,
            f"The package {error.name} is not installed."
            if isinstance(error, ModuleNotFoundError)
            else f"A package cannot be imported: {one_line(error)}.",
            f"Install airflow-pinecone[{extra}] on the workers.",
        )
    )
