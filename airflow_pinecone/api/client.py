"""PineconeClient: one method for each Pinecone API call. It does not depend on Airflow."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests

from airflow_pinecone.api import responses
from airflow_pinecone.api.listing import Found, Listing
from airflow_pinecone.api.models import (
    BackupModel,
    IndexModel,
    RestoreJobModel,
    RestoreModel,
    RestoreStarted,
    is_completed,
    is_index_ready,
    restore_model,
)
from airflow_pinecone.api.transport import Log, Operation, Settings, Transport, is_loopback, was_not_processed
from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.common.inputs import is_host, one_line, validate_id, validate_index_name, validate_text
from airflow_pinecone.errors import CreateOutcomeUnknown, PineconeError, PineconePermanentError, PineconeTransientError

_HOST = re.compile(r"(?:(https?)://)?([A-Za-z0-9.-]{1,253}|\[::1\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]{0,99})?")

Created = TypeVar("Created", BackupModel, RestoreStarted)

_BACKUPS = Listing(Operation("GET", ("backups",), "list the backups of the project"), "backup_id", responses.backup)
_RESTORE_JOBS = Listing(
    Operation("GET", ("restore-jobs",), "list the restore jobs"), "restore_job_id", responses.restore_job
)


class IndexBackups(NamedTuple):
    """The backups of an index name.

    Attributes:
        backups: The backups, in no documented order.
        index_exists: Whether an index has this name now. A deleted index keeps its backups.
    """

    backups: list[BackupModel]
    index_exists: bool


class PineconeClient:
    """Call Pinecone's control plane. Several threads may use one client at the same time.

    GET and DELETE requests are repeated after 408, 429, 5xx and connection errors: at most 5 attempts, and none starts
    later than 60 seconds after the first. A POST is repeated only if Pinecone did not process it. Proxies and CA
    bundles come from the environment variables that requests reads. Redirects are not followed.

    Args:
        settings: The control plane, the API key and the timeout.
        log: Logs a message when a request is repeated.
        clock: The clock for delays between attempts.

    Raises:
        PineconeInputError: By each method, if a name or an id is invalid; nothing is sent.
    """

    def __init__(self, settings: Settings, log: Log, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Open a session; no request is sent yet."""
        self._transport = Transport(settings, log, clock)

    @property
    def session(self) -> requests.Session:
        """The session of all calls, with the API key in its headers."""
        return self._transport.session

    @property
    def settings(self) -> Settings:
        """The control plane, the API key and the timeout."""
        return self._transport.settings

    def create_backup(self, index_name: str, *, name: str | None = None, description: str | None = None) -> BackupModel:
        """Create a backup of an index. The request is not repeated once Pinecone may have processed it.

        Args:
            index_name: The index.
            name: The name of the backup; it need not be unique.
            description: The description of the backup.

        Returns:
            The backup; its status is usually ``Initializing``.

        Raises:
            PineconePermanentError: Pinecone rejected the request.
            PineconeTransientError: Pinecone did not create a backup; a later attempt can succeed.
            CreateOutcomeUnknown: Pinecone may have created the backup.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_backup
        """
        operation = Operation(
            "POST",
            ("indexes", validate_index_name(index_name), "backups"),
            f"create a backup of index {index_name}",
            {
                400: "Pinecone cannot back up pod-based indexes, or indexes in a project with a customer-managed "
                "encryption key.",
                "quota": "The project has reached its quota of backups (500 on the Standard plan, 1,000 on Enterprise)."
                " Delete old backups, or ask Pinecone for a higher quota. PruneBackupsOperator with dry_run=True lists "
                "the backups that no rule keeps.",
                "plan": "The plan of this project does not include backups. Upgrade it to a paid plan.",
            },
        )
        body = {"name": validate_text(name, "name"), "description": validate_text(description, "description")}
        return self._create(operation, body, responses.backup)

    def describe_backup(self, backup_id: str, *, retry: bool = True) -> BackupModel:
        """Describe a backup.

        Args:
            backup_id: The id of the backup.
            retry: Whether to repeat a failed request.

        Returns:
            The backup.

        Raises:
            PineconePermanentError: Pinecone rejected the request; ``status_code`` is 404 if there is no such backup.
            PineconeTransientError: The request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_backup
        """
        operation = Operation("GET", ("backups", validate_id(backup_id, "backup")), f"describe backup {backup_id}")
        backup = responses.backup(self._transport.request(operation, retry=retry), operation)
        if backup["backup_id"] != backup_id:
            raise operation.invalid_response("describes another backup")
        return backup

    def list_backups(self, index_name: str | None = None, *, retry: bool = True) -> Iterator[BackupModel]:
        """List backups, each once.

        Args:
            index_name: The index whose backups to list; None lists the backups of the whole project.
            retry: Whether to repeat a failed request.

        Returns:
            An iterator over the backups, in no documented order. Pages are requested lazily.

        Raises:
            PineconePermanentError: Pinecone rejected the request.
            PineconeTransientError: The request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
        and https://docs.pinecone.io/reference/api/2025-10/control-plane/list_project_backups
        """
        listing = _BACKUPS
        if index_name is not None:
            path = ("indexes", validate_index_name(index_name), "backups")
            operation = Operation("GET", path, f"list the backups of index {index_name}")
            listing = replace(_BACKUPS, operation=operation)
        return listing.rows(self._transport, retry=retry)

    def find_backups(self, backup_ids: Collection[str], *, max_pages: int) -> Found[BackupModel]:
        """Search for backups in the listing of the project. Failed requests are not repeated.

        Args:
            backup_ids: The ids, each once.
            max_pages: The maximum number of pages to request.

        Returns:
            The backups that the pages contain. A backup that is missing may exist.

        Raises:
            PineconePermanentError: Pinecone rejected a request.
            PineconeTransientError: A request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_project_backups
        """
        return _BACKUPS.find(self._transport, backup_ids, max_pages=max_pages)

    def list_backups_of(
        self, index_name: str, *, include_deleted_indexes: bool = False, retry: bool = True
    ) -> IndexBackups:
        """List the backups of an index name, even if the index was deleted.

        Pinecone lists the backups of a deleted index only with those of the project, so this method searches there.

        Args:
            index_name: The name of the index.
            include_deleted_indexes: Whether to search the project for backups of earlier indexes with this name, too.
                If no index has the name now, they are always searched.
            retry: Whether to repeat a failed request.

        Returns:
            The backups, each once, and whether the index exists.

        Raises:
            PineconePermanentError: Pinecone rejected a request; ``status_code`` is 404 if neither an index nor a backup
                has this name.
            PineconeTransientError: A request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
        and https://docs.pinecone.io/reference/api/2025-10/control-plane/list_project_backups
        """
        not_found = None
        backups: dict[str, BackupModel] = {}
        try:
            listed = self.list_backups(validate_index_name(index_name), retry=retry)
            backups = {backup["backup_id"]: backup for backup in listed}
        except PineconePermanentError as error:
            if error.status_code != HTTPStatus.NOT_FOUND:
                raise
            not_found = error
        if not_found or include_deleted_indexes:
            for backup in self.list_backups(retry=retry):
                if backup.get("source_index_name") == index_name:
                    backups.setdefault(backup["backup_id"], backup)
        if not_found and not backups:
            # It is probably a misspelled name, or a key of another project.
            raise not_found
        return IndexBackups(list(backups.values()), index_exists=not_found is None)

    def delete_backup(self, backup_id: str) -> None:
        """Delete a backup. If the request had to be repeated, a 404 counts as success.

        Args:
            backup_id: The id of the backup.

        Raises:
            PineconePermanentError: Pinecone rejected the request; ``status_code`` is 404 if there is no such backup,
                412 while a restore from it is running.
            PineconeTransientError: The request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_backup
        """
        operation = Operation(
            "DELETE",
            ("backups", validate_id(backup_id, "backup")),
            f"delete backup {backup_id}",
            {412: "A restore from this backup is running. Wait until it has finished."},
        )
        self._transport.request(operation)

    def list_indexes(self, *, retry: bool = True) -> list[IndexModel]:
        """List the indexes of the project.

        Args:
            retry: Whether to repeat a failed request.

        Returns:
            The indexes; Pinecone returns them in one response.

        Raises:
            PineconePermanentError: Pinecone rejected the request.
            PineconeTransientError: The request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_indexes
        """
        operation = Operation("GET", ("indexes",), "list the indexes")
        return responses.indexes(self._transport.request(operation, retry=retry), operation)

    def describe_index(self, index_name: str, *, retry: bool = True) -> IndexModel:
        """Describe an index.

        Args:
            index_name: The index.
            retry: Whether to repeat a failed request.

        Returns:
            The index; ``status["ready"]`` tells whether it can be used.

        Raises:
            PineconePermanentError: Pinecone rejected the request; ``status_code`` is 404 if there is no such index.
            PineconeTransientError: The request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_index
        """
        operation = Operation("GET", ("indexes", validate_index_name(index_name)), f"describe index {index_name}")
        return responses.index(self._transport.request(operation, retry=retry), operation, index_name)

    def delete_index(self, index_name: str) -> None:
        """Delete an index and all its records. If the request had to be repeated, a 404 counts as success.

        Args:
            index_name: The index.

        Raises:
            PineconePermanentError: Pinecone rejected the request; ``status_code`` is 404 if there is no such index, 403
                if it is protected from deletion.
            PineconeTransientError: The request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_index
        """
        path = ("indexes", validate_index_name(index_name))
        self._transport.request(Operation("DELETE", path, f"delete index {index_name}"))

    def describe_index_stats(self, index_name: str) -> dict[str, Any]:
        """Describe the contents of an index, as its data plane reports them.

        Args:
            index_name: The index.

        Returns:
            The stats: ``totalVectorCount``, ``namespaces`` and more. They lag behind writes.

        Raises:
            PineconePermanentError: Pinecone rejected the request; ``status_code`` is 404 if there is no such index. Or
                the host of the index is invalid, or the API key would be sent to it unencrypted.
            PineconeTransientError: The request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/describeindexstats
        """
        operation = Operation("POST", ("describe_index_stats",), f"describe the stats of index {index_name}")
        url = self._data_plane_url(self.describe_index(index_name).get("host"), operation)
        stats = self._transport.request(operation, body={}, url=url)
        if not isinstance(stats, dict):
            raise operation.invalid_response("is not an object")
        return stats

    def create_index_from_backup(
        self,
        backup_id: str,
        *,
        name: str,
        tags: dict[str, str] | None = None,
        deletion_protection: str | None = None,
    ) -> RestoreStarted:
        """Start restoring a backup into a new index. The request is not repeated once Pinecone may have processed it.

        Args:
            backup_id: The id of the backup.
            name: The name of the new index. It must not be in use.
            tags: The tags of the new index; None copies those of the backup.
            deletion_protection: ``enabled`` or ``disabled``; None is disabled.

        Returns:
            The ids of the restore job and of the new index.

        Raises:
            PineconePermanentError: Pinecone rejected the request; ``status_code`` is 409 if the name is taken.
            PineconeTransientError: Pinecone did not start a restore; a later attempt can succeed.
            CreateOutcomeUnknown: Pinecone may have started the restore.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_index_from_backup
        """
        operation = Operation(
            "POST",
            ("backups", validate_id(backup_id, "backup"), "create-index"),
            f"restore backup {backup_id} into index {validate_index_name(name)}",
            {412: "The backup is not Ready. Wait until it is.", "quota": "The project has reached a quota of indexes."},
        )
        body = {"name": name, "tags": tags, "deletion_protection": deletion_protection}
        return self._create(operation, body, responses.restore_started)

    def describe_restore_job(self, restore_job_id: str, *, retry: bool = True) -> RestoreJobModel:
        """Describe a restore job.

        Args:
            restore_job_id: The id of the restore job.
            retry: Whether to repeat a failed request.

        Returns:
            The restore job.

        Raises:
            PineconePermanentError: Pinecone rejected the request; ``status_code`` is 404 if there is no such job. A new
                job may not be visible for a short time.
            PineconeTransientError: The request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_restore_job
        """
        path = ("restore-jobs", validate_id(restore_job_id, "restore job"))
        operation = Operation("GET", path, f"describe restore job {restore_job_id}")
        job = responses.restore_job(self._transport.request(operation, retry=retry), operation)
        if job["restore_job_id"] != restore_job_id:
            raise operation.invalid_response("describes another restore job")
        return job

    def list_restore_jobs(self, *, retry: bool = True) -> Iterator[RestoreJobModel]:
        """List the restore jobs of the project, each once.

        Args:
            retry: Whether to repeat a failed request.

        Returns:
            An iterator over the jobs, in no documented order. Pages are requested lazily.

        Raises:
            PineconePermanentError: Pinecone rejected the request.
            PineconeTransientError: The request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_restore_jobs
        """
        return _RESTORE_JOBS.rows(self._transport, retry=retry)

    def describe_restore(self, restore_job_id: str, *, retry: bool = True) -> RestoreModel:
        """Describe a restore job and, once it is Completed, whether its index is ready.

        Args:
            restore_job_id: The id of the restore job.
            retry: Whether to repeat a failed request.

        Returns:
            The restore job with ``index_id``, ``index_name`` and ``index_ready``.

        Raises:
            PineconePermanentError: Pinecone rejected the request; ``status_code`` is 404 if there is no such job, or
                its index no longer exists.
            PineconeTransientError: The request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_restore_job
        """
        job = self.describe_restore_job(restore_job_id, retry=retry)
        ready = False
        if is_completed(job):
            ready = is_index_ready(self.describe_index(job["target_index_name"], retry=retry))
        return restore_model(job, index_ready=ready)

    def find_restores(self, restore_job_ids: Collection[str], *, max_pages: int) -> Found[RestoreModel]:
        """Search for restore jobs, and for their indexes, in the listings of the project.

        Failed requests are not repeated.

        Args:
            restore_job_ids: The ids, each once.
            max_pages: The maximum number of pages of restore jobs to request.

        Returns:
            The restore jobs that the pages contain, without those that are Completed but whose index is not listed. A
            restore job that is missing may exist.

        Raises:
            PineconePermanentError: Pinecone rejected a request.
            PineconeTransientError: A request failed; a later attempt can succeed.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_restore_jobs
        """
        jobs, pages = _RESTORE_JOBS.find(self._transport, restore_job_ids, max_pages=max_pages)
        ready: dict[str, bool] = {}
        if any(is_completed(job) for job in jobs.values()):
            # If only the listing of the indexes fails, the other restore jobs can still be found.
            with suppress(PineconeError):
                ready = {index["name"]: is_index_ready(index) for index in self.list_indexes(retry=False)}
        restores = {
            job_id: restore_model(job, index_ready=is_completed(job) and ready[job["target_index_name"]])
            for job_id, job in jobs.items()
            if not is_completed(job) or job["target_index_name"] in ready
        }
        return Found(restores, pages)

    def _create(
        self, operation: Operation, fields: dict[str, Any], read: Callable[[Any, Operation], Created]
    ) -> Created:
        body = {name: value for name, value in fields.items() if value is not None}
        try:
            return read(self._transport.request(operation, body=body), operation)
        except PineconeTransientError as error:
            if was_not_processed(error):
                raise
            raise CreateOutcomeUnknown(f"The outcome of a create request is unknown. {error}") from error

    def _data_plane_url(self, host: Any, operation: Operation) -> str:
        """Return the URL of an index's host. Raise PineconePermanentError if the API key must not be sent there."""
        text = host if isinstance(host, str) else ""
        match = _HOST.fullmatch(text)
        if not (match and is_host(match[2].strip("[]"))):
            raise PineconePermanentError(
                f"Could not {operation.description}: its host {one_line(host)!r} is not a valid host."
            )
        scheme, name = match[1] or "https", match[2].strip("[]")
        # Only an emulator uses plain http: on a loopback address, or on the host of the connection.
        control_plane = self._transport.settings.url
        trusted = control_plane.startswith("http://") and urlsplit(control_plane).hostname == name
        if scheme == "http" and not (is_loopback(name) or trusted):
            raise PineconePermanentError(
                f"Could not {operation.description}: plain http to its host {one_line(host)!r} would send the API key "
                "unencrypted."
            )
        return f"{scheme}://{text.removeprefix(f'{scheme}://').rstrip('/')}"
