"""PineconeHook: an Airflow connection becomes a client for Pinecone's control plane."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from http import HTTPStatus
from typing import Any, TypeVar

import requests
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, Connection

from airflow_pinecone.api.client import IndexBackups, PineconeClient
from airflow_pinecone.api.models import BackupModel, IndexModel, RestoreJobModel, RestoreModel, RestoreStarted
from airflow_pinecone.api.settings import DEFAULT_HOST, settings_from
from airflow_pinecone.api.transport import Settings
from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.common.inputs import one_line, show_value
from airflow_pinecone.errors import ConnectionNotFound, PineconeError, PineconeInputError, PineconePermanentError

Result = TypeVar("Result")


class PineconeHook(BaseHook):
    """Call Pinecone's control plane with the credentials of an Airflow connection.

    The connection: ``password`` is the API key; ``host`` is the control plane (default https://api.pinecone.io);
    ``extra`` may contain ``api_version`` (default 2025-10), ``timeout`` (seconds for each request, default 30) and
    ``allow_http`` (true permits plain http to a host other than loopback). The type of the connection is not checked.

    The connection is read on first use. The methods for API calls are those of
    :class:`~airflow_pinecone.api.client.PineconeClient`, which documents their arguments, results and errors. Each
    also raises PineconeInputError if the connection is invalid, and ConnectionNotFound if Airflow does not find it.

    Args:
        conn_id: The id of the Airflow connection.
        clock: The clock for delays between attempts.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "pinecone_default"
    conn_type = "pinecone"
    hook_name = "Pinecone"

    def __init__(self, conn_id: str = default_conn_name, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Store the arguments."""
        super().__init__()
        self.conn_id = conn_id
        self._clock = clock

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Customize the connection form for Airflow before 3.2. Later versions use the provider info."""
        return {
            "hidden_fields": ["login", "port", "schema"],
            "relabeling": {"host": "Control plane", "password": "API key"},
            "placeholders": {"host": DEFAULT_HOST, "extra": '{"api_version": "2025-10", "timeout": 30}'},
        }

    @cached_property
    def settings(self) -> Settings:
        """The settings from the connection. Reading them masks the API key in task logs."""
        # No variable here holds the connection: settings_from says why.
        return settings_from(self._masked_connection(), self.conn_id)

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
                    f"Connection {one_line(conn_id)} cannot be used: Airflow cannot read it from the environment "
                    f"variable {one_line(variable)}. The value must be a URI or a JSON object, and its extra must be a "
                    "JSON object."
                ) from error
            raise ConnectionNotFound(
                f"Connection {one_line(conn_id)} cannot be used: it does not exist, or the secrets backend that has it "
                "cannot be reached. Add it to Airflow, or set conn_id to another connection. An environment variable "
                "must be set for the workers and the triggerer."
            ) from error
        if connection.password:
            _mask_secret(connection.password)
        return connection

    @cached_property
    def client(self) -> PineconeClient:
        """The client for the connection. Unlike the hook, it may be used from any thread."""
        return PineconeClient(self.settings, self.log.warning, clock=self._clock)

    def call(self, function: Callable[[PineconeClient], Result]) -> Result:
        """Call a function with the client. If Pinecone rejects the API key, read the connection again and repeat once.

        If the connection cannot be read again, the client stays as it is.

        Args:
            function: The function.

        Returns:
            What the function returns.

        Raises:
            PineconeError: As the function raises it.
        """
        client = self.client
        try:
            return function(client)
        except PineconePermanentError as error:
            if error.status_code != HTTPStatus.UNAUTHORIZED or not self._read_again():
                raise
        return function(self.client)

    def _read_again(self) -> bool:
        """Read the connection again, and return whether that succeeded."""
        try:
            settings = settings_from(self._masked_connection(), self.conn_id)
        except PineconeError as error:
            self.log.warning("Using the previous API key. %s", error)
            return False
        self.__dict__.pop("client", None)
        self.__dict__["settings"] = settings
        return True

    def get_conn(self) -> requests.Session:
        """Return the session of all calls, with the API key in its headers.

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
            count = len(self.list_indexes(retry=False))
        except PineconeError as error:
            return False, str(error)
        return True, f"Connected. The project has {count} index{'' if count == 1 else 'es'}."

    def create_backup(self, index_name: str, *, name: str | None = None, description: str | None = None) -> BackupModel:
        """Create a backup of an index; see :meth:`.PineconeClient.create_backup`."""
        return self.client.create_backup(index_name, name=name, description=description)

    def describe_backup(self, backup_id: str, *, retry: bool = True) -> BackupModel:
        """Describe a backup; see :meth:`.PineconeClient.describe_backup`."""
        return self.client.describe_backup(backup_id, retry=retry)

    def list_backups(self, index_name: str | None = None, *, retry: bool = True) -> Iterator[BackupModel]:
        """List the backups of an index or of the project; see :meth:`.PineconeClient.list_backups`."""
        return self.client.list_backups(index_name, retry=retry)

    def list_backups_of(
        self, index_name: str, *, include_deleted_indexes: bool = False, retry: bool = True
    ) -> IndexBackups:
        """List the backups of an index name; see :meth:`.PineconeClient.list_backups_of`."""
        return self.client.list_backups_of(index_name, include_deleted_indexes=include_deleted_indexes, retry=retry)

    def delete_backup(self, backup_id: str) -> None:
        """Delete a backup; see :meth:`.PineconeClient.delete_backup`."""
        self.client.delete_backup(backup_id)

    def list_indexes(self, *, retry: bool = True) -> list[IndexModel]:
        """List the indexes of the project; see :meth:`.PineconeClient.list_indexes`."""
        return self.client.list_indexes(retry=retry)

    def describe_index(self, index_name: str, *, retry: bool = True) -> IndexModel:
        """Describe an index; see :meth:`.PineconeClient.describe_index`."""
        return self.client.describe_index(index_name, retry=retry)

    def delete_index(self, index_name: str) -> None:
        """Delete an index and all its records; see :meth:`.PineconeClient.delete_index`."""
        self.client.delete_index(index_name)

    def describe_index_stats(self, index_name: str) -> dict[str, Any]:
        """Describe the contents of an index; see :meth:`.PineconeClient.describe_index_stats`."""
        return self.client.describe_index_stats(index_name)

    def create_index_from_backup(
        self,
        backup_id: str,
        *,
        name: str,
        tags: dict[str, str] | None = None,
        deletion_protection: str | None = None,
    ) -> RestoreStarted:
        """Start restoring a backup into a new index; see :meth:`.PineconeClient.create_index_from_backup`."""
        return self.client.create_index_from_backup(
            backup_id, name=name, tags=tags, deletion_protection=deletion_protection
        )

    def describe_restore_job(self, restore_job_id: str, *, retry: bool = True) -> RestoreJobModel:
        """Describe a restore job; see :meth:`.PineconeClient.describe_restore_job`."""
        return self.client.describe_restore_job(restore_job_id, retry=retry)

    def list_restore_jobs(self, *, retry: bool = True) -> Iterator[RestoreJobModel]:
        """List the restore jobs of the project; see :meth:`.PineconeClient.list_restore_jobs`."""
        return self.client.list_restore_jobs(retry=retry)

    def describe_restore(self, restore_job_id: str, *, retry: bool = True) -> RestoreModel:
        """Describe a restore job and its index; see :meth:`.PineconeClient.describe_restore`."""
        return self.client.describe_restore(restore_job_id, retry=retry)


def _mask_secret(secret: str) -> None:
    """Let Airflow mask a secret in task logs. Airflow does not mask secrets of fewer than five characters."""
    try:
        from airflow.sdk.log import mask_secret
    except ImportError:  # Airflow 2
        from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[import-not-found, no-redef]

    mask_secret(secret)
