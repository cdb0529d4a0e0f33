"""Backup schedules, with which Pinecone itself creates backups. ``PineconeHook.schedules`` gives access to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_pinecone.api import responses
from airflow_pinecone.api.listing import Listing
from airflow_pinecone.api.models import BackupScheduleModel, ScheduledBackupModel
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.transport import Log, Transport
from airflow_pinecone.common.inputs import (
    Frequency,
    validate_bools,
    validate_frequency,
    validate_id,
    validate_index_name,
    validate_retention_days,
    validate_schedule_name,
)
from airflow_pinecone.common.text import insert_before_ids
from airflow_pinecone.errors import NotFound

# The version that has backup schedules. Pinecone's guide names version 2026-04, whose description does not have them.
_VERSION = "2026-07"


class BackupSchedules:
    """Call Pinecone's API for backup schedules. They need API version 2026-07 or later.

    A schedule creates a backup of one index every day, week or month, at a time that Pinecone chooses, and deletes it
    after some days. An index can have one enabled schedule. Each method that calls Pinecone raises the same errors as
    those of PineconeHook.

    Args:
        transport: Sends the requests.
        warn: Logs a warning.
    """

    def __init__(self, transport: Transport, warn: Log) -> None:
        self._transport = transport
        self._warn = warn

    def create(self, index_name: str, *, name: str, frequency: Frequency, retention_days: int) -> BackupScheduleModel:
        """Create an enabled schedule. The request is not repeated once Pinecone may have processed it.

        Args:
            index_name: The index.
            name: The name of the schedule. Those of its backups are the name, a hyphen and a time.
            frequency: ``daily``, ``weekly`` or ``monthly``.
            retention_days: The days after which Pinecone deletes a backup of the schedule, at least 1.

        Returns:
            The schedule.

        Raises:
            PineconeInputError: An argument is invalid.
            Conflict: The index has another enabled schedule.
            PlanRequired: The plan of the project has no schedules.
            CreateOutcomeUnknown: Pinecone may have created the schedule.

        Reference: https://docs.pinecone.io/reference/api/2026-07/control-plane/create_backup_schedule
        """
        path = ("indexes", validate_index_name(index_name), "backup-schedules")
        description = f"create a backup schedule of index {index_name}"
        operation = Operation("create_backup_schedule", "POST", path, description, _VERSION)
        body = {
            "name": validate_schedule_name(name),
            "schedule": {"type": "time-based", "frequency": validate_frequency(frequency)},
            "retention": {"expire_after_days": validate_retention_days(retention_days)},
        }
        try:
            return self._transport.create(operation, body, responses.backup_schedule)
        except NotFound as error:
            raise self._with_version(error) from None

    def list(self, index_name: str, *, retry: bool = True) -> Iterator[BackupScheduleModel]:
        """List the schedules of an index, enabled or not, each once.

        Args:
            index_name: The index.
            retry: Whether to repeat a failed request.

        Returns:
            An iterator over the schedules, in no documented order. Pages are requested lazily.

        Raises:
            NotFound: There is no such index.

        Reference: https://docs.pinecone.io/reference/api/2026-07/control-plane/list_backup_schedules
        """
        path = ("indexes", validate_index_name(index_name), "backup-schedules")
        description = f"list the backup schedules of index {index_name}"
        operation = Operation("list_backup_schedules", "GET", path, description, _VERSION)
        # A schedule that is left out could be created a second time.
        listing = Listing(operation, "schedule_id", responses.backup_schedule, is_strict=True)
        return self._rows(listing, retry=retry)

    def describe(self, schedule_id: str, *, retry: bool = True) -> BackupScheduleModel:
        """Describe a schedule.

        Args:
            schedule_id: The id of the schedule.
            retry: Whether to repeat a failed request.

        Returns:
            The schedule; ``next_scheduled_run`` is None while it is disabled.

        Raises:
            NotFound: There is no such schedule.

        Reference: https://docs.pinecone.io/reference/api/2026-07/control-plane/describe_backup_schedule
        """
        operation = self._of_one("describe_backup_schedule", "GET", schedule_id, "describe backup schedule")
        return responses.backup_schedule(self._send(operation, retry=retry), operation)

    def update(
        self,
        schedule_id: str,
        *,
        frequency: Frequency | None = None,
        retention_days: int | None = None,
        enabled: bool | None = None,
    ) -> BackupScheduleModel:
        """Change a schedule. None leaves a field as it is.

        Enabling a disabled schedule creates a backup, and its next runs are planned from now.

        Args:
            schedule_id: The id of the schedule.
            frequency: ``daily``, ``weekly`` or ``monthly``.
            retention_days: The days after which Pinecone deletes a backup of the schedule. Pinecone applies it to the
                backups that exist, too.
            enabled: Whether the schedule runs.

        Returns:
            The changed schedule.

        Raises:
            PineconeInputError: An argument is invalid.
            NotFound: There is no such schedule.
            Conflict: The index has another enabled schedule.

        Reference: https://docs.pinecone.io/reference/api/2026-07/control-plane/update_backup_schedule
        """
        operation = self._of_one("update_backup_schedule", "PATCH", schedule_id, "update backup schedule")
        body: dict[str, Any] = {}
        if frequency is not None:
            body["frequency"] = validate_frequency(frequency)
        if retention_days is not None:
            body["retention"] = {"expire_after_days": validate_retention_days(retention_days)}
        if enabled is not None:
            validate_bools(enabled=enabled)
            body["enabled"] = enabled
        return responses.backup_schedule(self._send(operation, body=body), operation)

    def delete(self, schedule_id: str) -> None:
        """Delete a schedule. Its backups are kept. If the request had to be repeated, a 404 counts as success.

        Args:
            schedule_id: The id of the schedule.

        Raises:
            NotFound: There is no such schedule.

        Reference: https://docs.pinecone.io/reference/api/2026-07/control-plane/delete_backup_schedule
        """
        operation = self._of_one("delete_backup_schedule", "DELETE", schedule_id, "delete backup schedule")
        responses.deleted(self._send(operation), operation)

    def history(self, schedule_id: str, *, retry: bool = True) -> Iterator[ScheduledBackupModel]:
        """List the backups of a schedule, each once. They include planned ones, which are no backups yet.

        Args:
            schedule_id: The id of the schedule.
            retry: Whether to repeat a failed request.

        Returns:
            An iterator over the backups, in no documented order. Pages are requested lazily.

        Raises:
            NotFound: There is no such schedule.

        Reference: https://docs.pinecone.io/reference/api/2026-07/control-plane/list_backup_schedule_history
        """
        operation = self._of_one("list_backup_schedule_history", "GET", schedule_id, "list the backups of schedule")
        operation = operation._replace(path=(*operation.path, "history"))
        listing = Listing(operation, "backup_id", responses.backup)
        return self._rows(listing, retry=retry)

    def _of_one(self, name: str, method: str, schedule_id: str, action: str) -> Operation:
        path = ("backup-schedules", validate_id(schedule_id, "backup schedule"))
        return Operation(name, method, path, f"{action} {schedule_id}", _VERSION)

    def _send(self, operation: Operation, *, body: dict[str, Any] | None = None, retry: bool = True) -> Any:
        try:
            return self._transport.request(operation, body=body, retry=retry)
        except NotFound as error:
            raise self._with_version(error) from None

    def _rows(self, listing: Listing[Any], *, retry: bool) -> Iterator[Any]:
        try:
            yield from listing.rows(self._transport, self._warn, retry=retry)
        except NotFound as error:
            raise self._with_version(error) from None

    def _with_version(self, error: NotFound) -> NotFound:
        """Add to a 404 of an earlier version of the API that this version may have no schedules."""
        settings = self._transport.settings
        if not settings.is_since(_VERSION):
            advice = (
                f'Backup schedules need API version {_VERSION}: set {{"api_version": "{_VERSION}"}} in the extra field'
            )
            error.args = (insert_before_ids(str(error), f"{advice} of connection {settings.conn_id}."),)
        return error
