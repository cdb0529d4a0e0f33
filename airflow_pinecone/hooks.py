"""PineconeHook: an Airflow connection becomes a client for Pinecone's control plane."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import requests
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, Connection

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.imports import BulkImports
from airflow_pinecone.api.models import (
    BackupModel,
    IndexModel,
    RestoreJobModel,
    RestoreStarted,
)
from airflow_pinecone.api.schedules import BackupSchedules
from airflow_pinecone.api.settings import DEFAULT_HOST, Settings, settings_from
from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.common.inputs import validate_bools
from airflow_pinecone.common.text import counted, explain, one_line, show_value
from airflow_pinecone.errors import ConnectionNotFound, PineconeError, PineconeInputError
from airflow_pinecone.policy import Policy, validate_patterns
from airflow_pinecone.provider_info import CONNECTION_FIELDS
from airflow_pinecone.reading import read_history, read_project, read_schedules
from airflow_pinecone.rules import coverage
from airflow_pinecone.rules.report import ReadCopies, ReadRestoreTests, Report
from airflow_pinecone.rules.tested import unknown_tests

if TYPE_CHECKING:
    from airflow_pinecone.api.record_writes import IndexWriter
    from airflow_pinecone.api.records import IndexRecords

__all__ = ["PineconeHook"]


class PineconeHook(BaseHook):
    """Call Pinecone's control plane with the credentials of an Airflow connection.

    The connection: ``password`` is the API key; ``host`` is the control plane (default https://api.pinecone.io);
    ``extra`` may contain ``api_version`` (2025-10, which is the default, 2026-04, 2026-07 or unstable), ``timeout``
    (seconds for each request, default 30) and ``allow_http`` (true permits plain http to a host other than loopback).
    The type of the connection is not checked.

    The connection is read on first use. If Pinecone rejects the API key with a 401, the connection is read again, and
    the request is repeated with the new key.

    GET and DELETE requests are repeated after 408, 429, 5xx and connection errors: at most 5 attempts, and none starts
    later than 60 seconds after the first. A POST is repeated only if Pinecone did not process it. Each method that
    calls Pinecone raises:

    - PineconePermanentError, or one of its subclasses such as NotFound, if Pinecone rejected a request.
    - PineconeTransientError if a request failed; a later attempt can succeed.
    - PineconeInputError if a name, an id or the connection is invalid, ConnectionNotFound if Airflow does not find the
      connection, and ConnectionChanged if it names another control plane after a 401.

    Args:
        conn_id: The id of the Airflow connection.
        clock: The clock for delays between attempts.
        max_timeout: Seconds that limit the ``timeout`` of the connection; None does not.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "pinecone_default"
    conn_type = "pinecone"
    hook_name = "Pinecone"

    def __init__(
        self, conn_id: str = default_conn_name, *, clock: Clock = SYSTEM_CLOCK, max_timeout: float | None = None
    ) -> None:
        super().__init__()
        self.conn_id = conn_id
        self._clock = clock
        self._max_timeout = max_timeout

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Customize the connection form for Airflow before 3.2. Later versions use the provider info."""
        return {
            "hidden_fields": ["login", "port", "schema"],
            "relabeling": {"host": "Control plane", "password": "API key"},
            "placeholders": {"host": DEFAULT_HOST, "extra": '{"api_version": "2025-10", "timeout": 30}'},
        }

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Add the extra fields to the connection form of Airflow before 3.2. Later versions use the provider info."""
        try:
            from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # type: ignore[import-not-found]
            from wtforms import BooleanField, StringField  # type: ignore[import-untyped]
            from wtforms.validators import Optional  # type: ignore[import-untyped]
        except ImportError:
            # Only a server of Airflow that shows forms has these packages, or replaces them.
            return {}
        widgets: dict[str, Any] = {}
        for name, field in CONNECTION_FIELDS.items():
            if "boolean" in field["schema"]["type"]:
                widgets[name] = BooleanField(field["label"], description=field["description"], default=False)
            else:
                widgets[name] = StringField(
                    field["label"],
                    description=field["description"],
                    validators=[Optional()],
                    widget=BS3TextFieldWidget(),
                )
        return widgets

    @cached_property
    def settings(self) -> Settings:
        """The settings from the connection, as they were first read. Reading them masks the API key in task logs."""
        return self._read_settings()

    @cached_property
    def client(self) -> PineconeClient:
        """The client for the connection. To replace a rejected API key, it calls Airflow from its caller's thread."""
        return PineconeClient(self.settings, self.log.warning, clock=self._clock, read_again=self._read_settings)

    @property
    def schedules(self) -> BackupSchedules:
        """The calls for backup schedules: create, list, describe, update, delete and history."""
        return self.client.schedules

    def get_conn(self) -> requests.Session:
        """Return the session of all calls, which adds the API key to each request.

        Returns:
            The session, always the same one. It does not follow redirects, because that would forward the API key. The
            ``timeout`` of a request applies to the whole response.

        Raises:
            PineconeInputError: The connection is invalid or does not exist.
        """
        return self.client.session

    def test_connection(self) -> tuple[bool, str]:
        """Test the connection, for the button in Airflow's UI.

        Returns:
            Whether the API key can list the indexes of the project, and a message for the user.
        """
        try:
            # Do not repeat the request: a user is waiting.
            number = len(self.list_indexes(retry=False))
        except PineconeError as error:
            return False, str(error)
        return True, f"Connected. The project has {counted(number, 'index')}."

    def create_backup(self, index_name: str, *, name: str | None = None, description: str | None = None) -> BackupModel:
        """Create a backup of an index. The request is not repeated once Pinecone may have processed it.

        Args:
            index_name: The index.
            name: The name of the backup; it need not be unique. From API version 2026-07 on, it has 1 to 45 characters
                of ``a-z``, ``0-9`` and ``-``, with a letter or digit at both ends.
            description: The description of the backup.

        Returns:
            The backup; its status is usually ``Initializing``.

        Raises:
            QuotaExceeded, PlanRequired: The project can have no more backups, or none at all.
            PineconeTransientError: Pinecone did not create a backup; a later attempt can succeed.
            CreateOutcomeUnknown: Pinecone may have created the backup.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_backup
        """
        return self.client.create_backup(index_name, name=name, description=description)

    def describe_backup(self, backup_id: str, *, retry: bool = True) -> BackupModel:
        """Describe a backup.

        Args:
            backup_id: The id of the backup.
            retry: Whether to repeat a failed request.

        Returns:
            The backup.

        Raises:
            NotFound: There is no such backup.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_backup
        """
        return self.client.describe_backup(backup_id, retry=retry)

    def list_backups(
        self, index_name: str | None = None, *, include_deleted: bool = False, retry: bool = True
    ) -> Iterator[BackupModel]:
        """List backups, each once.

        Args:
            index_name: The index whose backups to list. None lists the backups of the whole project, also those of
                deleted indexes.
            include_deleted: Whether to list the backups of deleted indexes that had ``index_name``, too. Then the name
                need not be that of an existing index. API versions before 2026-07 list the whole project for this.
            retry: Whether to repeat a failed request.

        Returns:
            An iterator over the backups, in no documented order. Pages are requested lazily.

        Raises:
            NotFound: There is no such index.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
        and https://docs.pinecone.io/reference/api/2025-10/control-plane/list_project_backups
        """
        return self.client.list_backups(index_name, include_deleted=include_deleted, retry=retry)

    def newest_ready_backup(self, index_name: str) -> BackupModel | None:
        """Return the newest backup from which an index can be restored, even if the index was deleted.

        If an index was deleted and its name reused, backups of the earlier index can count until the new index has its
        first backup, unless Pinecone says that their index was deleted: API version 2026-07 and the newer form of
        2026-04 do.

        Args:
            index_name: The name of the index.

        Returns:
            The newest Ready backup of the index; None if there is none, or if it is unknown to which index the newest
            backup belongs, because its ``created_at`` is missing.

        Raises:
            NotFound: Neither an index nor a backup has this name.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
        and https://docs.pinecone.io/reference/api/2025-10/control-plane/list_project_backups
        """
        return read_history(self.client, index_name).newest_ready

    def backup_report(
        self,
        policy: Policy,
        *,
        include: str | Sequence[str] = "*",
        exclude: str | Sequence[str] = (),
        include_schedules: bool = False,
        read_restore_tests: ReadRestoreTests | None = None,
        read_copies: ReadCopies | None = None,
    ) -> Report:
        """Report which indexes of the project have a fresh backup, as AuditBackupsOperator does.

        Args:
            policy: What the backups of each index must satisfy.
            include: A pattern for the names of the indexes, such as ``prod-*``, or several.
            exclude: A pattern for names to leave out, or several.
            include_schedules: Whether to read the backup schedules, with one request for each index of the report.
                They need API version 2026-07 or later. If they cannot be read, the report has none.
            read_restore_tests: Reads the restore tests of some indexes, by the ids of their backups. Then
                ``max_restore_age`` is about passed restore tests, instead of restores.
            read_copies: Reads the newest copies of some indexes outside of Pinecone, for ``max_copy_age``.

        Returns:
            The report, a dict of JSON types. ``indexes`` has a dict for each index, the worst first, with
            ``index_name``, ``status``, ``problems``, ``age`` and ``max_age`` in seconds, ``newest_ready``, ``running``,
            ``failed``, ``record_change``, ``backup_count``, ``last_restore`` and more.

        Raises:
            PineconeInputError: The policy or a pattern is invalid.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_project_backups
        """
        policy.validate()
        validate_bools(include_schedules=include_schedules)
        included, excluded = validate_patterns(include, "include"), validate_patterns(exclude, "exclude")
        project, error = read_project(self.client)
        for text in project.invalid:
            self.log.warning("%s", text)
        if error is not None:
            if policy.needs_restores and read_restore_tests is None:
                raise error
            self.log.warning("The report has no restores: %s.", error.reason)
        selected = [i for i in project.indexes if coverage.is_selected(i["name"], included, excluded)]
        if include_schedules:
            project = project._replace(schedules=read_schedules(self.client, selected, self.log.warning))
        if read_restore_tests is not None:
            tests = read_restore_tests(coverage.backup_ids_of(project, [index["name"] for index in selected]))
            for text in unknown_tests(tests):
                self.log.warning("%s", text)
            project = project._replace(restore_tests=tests)
        if read_copies is not None:
            copies = read_copies(coverage.copy_sources_of(project, [index["name"] for index in selected]))
            project = project._replace(copies=copies)
        now = self._clock.utcnow()
        return coverage.report(project, policy, now=now, include=included, exclude=excluded)

    def delete_backup(self, backup_id: str) -> None:
        """Delete a backup. If the request had to be repeated, a 404 counts as success.

        Args:
            backup_id: The id of the backup.

        Raises:
            NotFound: There is no such backup.
            BackupInUse: A restore from it is running.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_backup
        """
        self.client.delete_backup(backup_id)

    def list_indexes(self, *, retry: bool = True) -> list[IndexModel]:
        """List the indexes of the project.

        Args:
            retry: Whether to repeat a failed request.

        Returns:
            The indexes; Pinecone returns them in one response.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_indexes
        """
        return self.client.list_indexes(retry=retry)

    def describe_index(self, index_name: str, *, retry: bool = True) -> IndexModel:
        """Describe an index.

        Args:
            index_name: The index.
            retry: Whether to repeat a failed request.

        Returns:
            The index; ``status["ready"]`` tells whether it can be used.

        Raises:
            NotFound: There is no such index.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_index
        """
        return self.client.describe_index(index_name, retry=retry)

    def create_index(self, body: Mapping[str, Any]) -> IndexModel:
        """Create an index. The request is not repeated once Pinecone may have processed it.

        Args:
            body: The body of the request, in the shape of the API version of the connection.

        Returns:
            The index; it may not be ready yet.

        Raises:
            Conflict: The name is taken.
            QuotaExceeded, PlanRequired: The project can have no more indexes.
            PineconeTransientError: Pinecone did not create an index; a later attempt can succeed.
            CreateOutcomeUnknown: Pinecone may have created the index.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_index
        """
        return self.client.create_index(body)

    def delete_index(self, index_name: str) -> None:
        """Delete an index and all its records. If the request had to be repeated, a 404 counts as success.

        Args:
            index_name: The index.

        Raises:
            NotFound: There is no such index.
            DeletionProtected: The index is protected from deletion.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_index
        """
        self.client.delete_index(index_name)

    def describe_index_stats(self, index_name: str) -> dict[str, Any]:
        """Describe the contents of an index, as its data plane reports them.

        Args:
            index_name: The index.

        Returns:
            The stats: ``totalVectorCount``, ``namespaces`` and more. They lag behind writes.

        Raises:
            NotFound: There is no such index.
            PineconePermanentError: The host of the index is invalid, or the API key would be sent to it unencrypted.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/describeindexstats
        """
        return self.client.describe_index_stats(index_name)

    def records(self, index_name: str, *, retry: bool = True) -> IndexRecords:
        """Return a reader of the records of an index, which needs the extra ``records``.

        Args:
            index_name: The index.
            retry: Whether to repeat failed requests, also those of the reader.

        Returns:
            The reader. Its method ``read`` yields the records of a namespace in the order of their ids.

        Raises:
            NotFound: There is no such index.
            PineconeInputError: The extra is not installed.
            PineconePermanentError: The host of the index is invalid, or the API key would be sent to it unencrypted.
        """
        return self.client.records(index_name, retry=retry)

    def writer(self, index_name: str) -> IndexWriter:
        """Return a writer of the records of an index, which needs the extra ``records``.

        Args:
            index_name: The index.

        Returns:
            The writer. Its method ``write`` upserts records into a namespace.

        Raises:
            NotFound: There is no such index.
            PineconeInputError: The extra is not installed.
            PineconePermanentError: The host of the index is invalid, or the API key would be sent to it unencrypted.
        """
        return self.client.writer(index_name)

    def imports(self, index_name: str) -> BulkImports:
        """Return the calls for the bulk imports of an index: start, describe, list and cancel.

        Args:
            index_name: The index. It is requested by the first call.

        Raises:
            PineconeInputError: ``index_name`` is invalid.
        """
        return self.client.imports(index_name)

    def create_index_from_backup(
        self,
        backup_id: str,
        *,
        name: str,
        tags: dict[str, str] | None = None,
        deletion_protection: str | None = None,
        read_capacity: dict[str, Any] | None = None,
    ) -> RestoreStarted:
        """Start restoring a backup into a new index. The request is not repeated once Pinecone may have processed it.

        Args:
            backup_id: The id of the backup.
            name: The name of the new index. It must not be in use.
            tags: The tags of the new index, whose names and values are strings; None copies those of the backup.
            deletion_protection: ``enabled`` or ``disabled``; None is disabled.
            read_capacity: The read capacity of the new index, as the API describes it, such as
                ``{"mode": "OnDemand"}``; None leaves it to Pinecone. It needs API version 2026-04 or later.

        Returns:
            The ids of the restore job and of the new index: ``restore_job_id`` and ``index_id``.

        Raises:
            PineconeInputError: The API version of the connection does not have ``read_capacity``.
            Conflict: The name is taken.
            BackupNotReady: The backup is not Ready.
            QuotaExceeded, PlanRequired: The project can have no more indexes.
            PineconeTransientError: Pinecone did not start a restore; a later attempt can succeed.
            CreateOutcomeUnknown: Pinecone may have started the restore.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_index_from_backup
        """
        return self.client.create_index_from_backup(
            backup_id,
            name=name,
            tags=tags,
            deletion_protection=deletion_protection,
            read_capacity=read_capacity,
        )

    def describe_restore_job(self, restore_job_id: str, *, retry: bool = True) -> RestoreJobModel:
        """Describe a restore job.

        Args:
            restore_job_id: The id of the restore job.
            retry: Whether to repeat a failed request.

        Returns:
            The restore job. When it is Completed, its index may need a moment until it is ready.

        Raises:
            NotFound: There is no such job. A new job may not be visible for a short time.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_restore_job
        """
        return self.client.describe_restore_job(restore_job_id, retry=retry)

    def list_restore_jobs(self, *, retry: bool = True) -> Iterator[RestoreJobModel]:
        """List the restore jobs of the project, each once.

        Args:
            retry: Whether to repeat a failed request.

        Returns:
            An iterator over the jobs, in no documented order. Pages are requested lazily.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_restore_jobs
        """
        return self.client.list_restore_jobs(retry=retry)

    def _read_settings(self) -> Settings:
        # The connection is not assigned to a variable, because error trackers show the variables of a frame.
        settings = settings_from(self._masked_connection(), self.conn_id)
        if settings.api_version == "unstable":
            self.log.warning(
                "Connection %s uses the API version unstable: Pinecone may change it at any time.", self.conn_id
            )
        if self._max_timeout is not None:
            settings = replace(settings, timeout=min(settings.timeout, self._max_timeout))
        return settings

    def _masked_connection(self) -> Connection:
        conn_id: Any = self.conn_id
        if not (isinstance(conn_id, str) and conn_id):
            raise PineconeInputError(f"conn_id must be the id of an Airflow connection, not {show_value(conn_id)}.")
        try:
            connection = self.get_connection(conn_id)
        except AirflowNotFoundException as error:
            variable = f"AIRFLOW_CONN_{conn_id.upper()}"
            if variable in os.environ:
                # Airflow logs its error and then reports that the connection does not exist.
                raise PineconeInputError(
                    explain(
                        f"Connection {one_line(conn_id)} cannot be used: Airflow cannot read its environment variable.",
                        f"{one_line(variable)} must be a URI or a JSON object, and its extra must be a JSON object.",
                    )
                ) from error
            raise ConnectionNotFound(
                explain(
                    f"Connection {one_line(conn_id)} cannot be used: Airflow did not find it.",
                    "It does not exist, or the secrets backend that has it cannot be reached.",
                    "Add it to Airflow, or set conn_id. A variable must be set for the workers and the triggerer.",
                )
            ) from error
        if connection.password:
            _mask_secret(connection.password)
        return connection


def _mask_secret(secret: str) -> None:
    """Let Airflow mask a secret in task logs. Airflow does not mask secrets of fewer than five characters."""
    try:
        from airflow.sdk.log import mask_secret
    except ImportError:  # Airflow 2
        from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[import-not-found, no-redef]

    mask_secret(secret)
