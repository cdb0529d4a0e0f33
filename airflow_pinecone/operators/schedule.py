"""The operators that create, change and delete backup schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_pinecone.api.models import parse_time
from airflow_pinecone.common.inputs import Frequency, validate_bools, validate_frequency, validate_retention_days
from airflow_pinecone.common.text import counted, explain, show_value
from airflow_pinecone.errors import Conflict, NotFound
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.task import checked_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.api.models import BackupScheduleModel

# Pinecone adds a hyphen and a time of 16 characters to the name. A longer name is accepted, and its runs fail.
_NAME_LENGTH = 28


class EnsureBackupScheduleOperator(PineconeOperator):
    """Create a backup schedule, or change the one of this name, so that it is as the arguments say.

    Pinecone itself creates the backups: every day, week or month, at a time that it chooses. The operator can run as
    often as you like: it sends a request that changes something only if something differs. Enabling a disabled schedule
    creates a backup, so it is only done if ``enabled`` differs. An index can have one enabled schedule: if it has one
    of another name, the task fails, or disables that one with ``replace``. Backup schedules need API version 2026-07 or
    later.

    Args:
        index_name: The index (templated).
        name: The name of the schedule (templated), of at most 28 characters: Pinecone adds a time to the names of the
            backups.
        frequency: ``daily``, ``weekly`` or ``monthly``.
        retention_days: The days after which Pinecone deletes a backup of the schedule. A change applies to the backups
            that exist, too.
        enabled: Whether the schedule runs. If False and there is no schedule of this name, none is created.
        replace: Whether to disable the enabled schedules of other names first.
        conn_id: The Airflow connection with the API key (templated).

    Raises:
        ValueError: An argument is invalid.

    Reference: https://docs.pinecone.io/reference/api/2026-07/control-plane/create_backup_schedule
    """

    template_fields: Sequence[str] = ("index_name", "name", "conn_id")
    ui_color = "#d6ecff"

    def __init__(
        self,
        *,
        index_name: str,
        name: str,
        frequency: Frequency,
        retention_days: int,
        enabled: bool = True,
        replace: bool = False,
        conn_id: str = "pinecone_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.index_name = index_name
        self.name = name
        self.frequency = frequency
        self.retention_days = retention_days
        self.enabled = enabled
        self.replace = replace
        with checked_arguments():
            validate_frequency(frequency)
            validate_retention_days(retention_days)
            validate_bools(enabled=enabled, replace=replace)

    def execute(self, context: Context) -> BackupScheduleModel | None:
        """Create or change the schedule if it is not as the arguments say.

        Args:
            context: The context of the task.

        Returns:
            The schedule; None if ``enabled`` is False and there is none.

        Raises:
            AirflowFailException: The index has another enabled schedule, Pinecone rejected a request, or an argument or
                the connection is invalid; not retried.
            CreateOutcomeUnknown: The response to the create request was lost. A retry finds the schedule.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        with fail_without_retry():
            if len(str(self.name)) > _NAME_LENGTH:
                self.log.warning(
                    "The name of a schedule should have at most %d characters, because Pinecone adds a time to it.\n"
                    "The runs of a schedule with a longer name fail: %s",
                    _NAME_LENGTH,
                    show_value(self.name),
                )
            schedules = list(self.hook.schedules.list(self.index_name))
            own = self._own(schedules)
            if self.enabled:
                self._disable_others([other for other in schedules if other["enabled"] and other["name"] != self.name])
            if own is not None:
                return self._update(own)
            if not self.enabled:
                self.log.info("Index %s has no schedule %s to disable.", self.index_name, self.name)
                return None
            schedule = self.hook.schedules.create(
                self.index_name, name=self.name, frequency=self.frequency, retention_days=self.retention_days
            )
        self.log.info(
            "Created backup schedule %s (%s) of index %s. Its next run is at %s.",
            self.name,
            schedule["schedule_id"],
            self.index_name,
            schedule.get("next_scheduled_run"),
        )
        return schedule

    def _own(self, schedules: list[BackupScheduleModel]) -> BackupScheduleModel | None:
        """Return the schedule of this name: an enabled one, or the newest."""
        own = [schedule for schedule in schedules if schedule["name"] == self.name]
        if len(own) > 1:
            self.log.warning("Index %s has %s named %s.", self.index_name, counted(len(own), "schedule"), self.name)

        def rank(schedule: BackupScheduleModel) -> tuple[bool, float]:
            created = parse_time(schedule.get("created_at"))
            return schedule["enabled"], created.timestamp() if created else 0.0

        return max(own, key=rank, default=None)

    def _disable_others(self, others: list[BackupScheduleModel]) -> None:
        for other in others:
            if not self.replace:
                raise Conflict(
                    explain(
                        f"Could not enable backup schedule {self.name} of index {self.index_name}.",
                        f"The index has another enabled schedule, {show_value(other['name'])}.",
                        "Delete or disable that schedule, or set replace=True.",
                        f"Backup schedule id: {other['schedule_id']}.",
                    )
                )
            self.hook.schedules.update(other["schedule_id"], enabled=False)
            self.log.info("Disabled backup schedule %s (%s).", show_value(other["name"]), other["schedule_id"])

    def _update(self, own: BackupScheduleModel) -> BackupScheduleModel:
        wanted: dict[str, Any] = {
            "frequency": self.frequency,
            "retention_days": self.retention_days,
            "enabled": self.enabled,
        }
        present = {
            "frequency": own.get("frequency"),
            "retention_days": own.get("retention_expire_after_days"),
            "enabled": own["enabled"],
        }
        changes = {field: value for field, value in wanted.items() if value != present[field]}
        if not changes:
            self.log.info("Backup schedule %s of index %s is as it should be.", self.name, self.index_name)
            return own
        schedule = self.hook.schedules.update(own["schedule_id"], **changes)
        self.log.info(
            "Changed backup schedule %s of index %s: %s.",
            self.name,
            self.index_name,
            ", ".join(f"{field} from {present[field]} to {value}" for field, value in changes.items()),
        )
        return schedule


class DeleteBackupScheduleOperator(PineconeOperator):
    """Delete a backup schedule. Its backups are kept. If the schedule does not exist, the task succeeds.

    Args:
        schedule_id: The id of the schedule (templated).
        conn_id: The Airflow connection with the API key (templated).

    Reference: https://docs.pinecone.io/reference/api/2026-07/control-plane/delete_backup_schedule
    """

    template_fields: Sequence[str] = ("schedule_id", "conn_id")
    ui_color = "#ffe4d6"

    def __init__(self, *, schedule_id: str, conn_id: str = "pinecone_default", **kwargs: Any) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.schedule_id = schedule_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete the schedule.

        Args:
            context: The context of the task.

        Returns:
            ``schedule_id``; ``deleted``, which is True; and ``found``, whether the schedule existed.

        Raises:
            AirflowFailException: Pinecone rejected the request, or the id or the connection is invalid; not retried.
            PineconeTransientError: The request failed; a retry can succeed.
        """
        found = True
        with fail_without_retry():
            try:
                self.hook.schedules.delete(self.schedule_id)
            except NotFound:
                # An earlier version of the API has no schedules, and no path for them.
                if not self.hook.settings.is_since("2026-07"):
                    raise
                found = False
        text = "Deleted backup schedule %s. Its backups are kept." if found else "Backup schedule %s did not exist."
        self.log.info(text, self.schedule_id)
        return {"schedule_id": self.schedule_id, "deleted": True, "found": found}
