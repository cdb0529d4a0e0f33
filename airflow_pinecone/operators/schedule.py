"""The operators that create, change and delete backup schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_pinecone.api.models import count_of, parse_time
from airflow_pinecone.common.inputs import (
    Frequency,
    validate_bools,
    validate_frequency,
    validate_retention_days,
    validate_schedule_name,
)
from airflow_pinecone.common.text import counted, explain, insert_before_ids, show_value
from airflow_pinecone.errors import Conflict, CreateOutcomeUnknown, NotFound, PineconeError, PineconeInputError
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.task import checked_arguments
from airflow_pinecone.waiting.drivers import poll_until_found
from airflow_pinecone.waiting.intervals import SEARCH_SECONDS

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
    of another name, the task fails, or disables that one with ``replace``. If Pinecone then rejects the new one, that
    one is enabled again, which creates a backup. Backup schedules need API version 2026-07 or later.

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
            The schedule; None if ``enabled`` is False and there is none. Its id is also under the key ``schedule_id``.

        Raises:
            AirflowFailException: The index has another enabled schedule, Pinecone rejected a request, or an argument or
                the connection is invalid; not retried.
            CreateOutcomeUnknown: The response to the create request was lost. A retry finds the schedule.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        with fail_without_retry():
            schedule = self._ensure()
        if schedule is not None:
            context["ti"].xcom_push(key="schedule_id", value=schedule["schedule_id"])
        return schedule

    def _ensure(self) -> BackupScheduleModel | None:
        validate_schedule_name(self.name)
        schedules = list(self.hook.schedules.list(self.index_name))
        own = self._own(schedules)
        others = [other for other in schedules if other["enabled"] and other["name"] != self.name]
        self._check_name(others)
        if self.enabled:
            return self._replace(others, own)
        if own is not None:
            return self._update(own)
        self.log.info("Index %s has no schedule %s to disable.", self.index_name, self.name)
        return None

    def _check_name(self, others: list[BackupScheduleModel]) -> None:
        if len(self.name) <= _NAME_LENGTH:
            return
        problem = (
            f"The name of a schedule should have at most {_NAME_LENGTH} characters: Pinecone adds a time to it.\n"
            f"The runs of a schedule with a longer name fail: {show_value(self.name)}"
        )
        if self.enabled and self.replace and others:
            raise PineconeInputError(f"{problem}. It would replace one whose runs succeed.")
        self.log.warning("%s", problem)

    def _own(self, schedules: list[BackupScheduleModel]) -> BackupScheduleModel | None:
        """Return the schedule of this name: an enabled one, or the newest."""
        own = [schedule for schedule in schedules if schedule["name"] == self.name]
        if len(own) > 1:
            self.log.warning("Index %s has %s named %s.", self.index_name, counted(len(own), "schedule"), self.name)

        def rank(schedule: BackupScheduleModel) -> tuple[bool, float]:
            created = parse_time(schedule.get("created_at"))
            return schedule["enabled"], created.timestamp() if created else 0.0

        return max(own, key=rank, default=None)

    def _replace(
        self, others: list[BackupScheduleModel], own: BackupScheduleModel | None
    ) -> BackupScheduleModel | None:
        """Disable the other enabled schedules, and create or enable the own one. If that fails, enable the others."""
        if others and not self.replace:
            other = others[0]
            raise Conflict(
                explain(
                    f"Could not enable backup schedule {self.name} of index {self.index_name}.",
                    f"The index has another enabled schedule, {show_value(other['name'])}.",
                    "Delete or disable that schedule, or set replace=True.",
                    f"Backup schedule id: {other['schedule_id']}.",
                )
            )
        if own is not None and others:
            # Before another schedule is disabled, Pinecone must accept the frequency and the retention.
            own = self._update(own, keep_enabled=True)
        disabled: list[BackupScheduleModel] = []
        try:
            for other in others:
                # The request may succeed although its response is lost.
                disabled.append(other)
                self.hook.schedules.update(other["schedule_id"], enabled=False)
                self.log.info("Disabled backup schedule %s (%s).", show_value(other["name"]), other["schedule_id"])
            return self._create() if own is None else self._update(own)
        except PineconeError as error:
            self._enable_again(disabled, error)
            raise

    def _enable_again(self, disabled: list[BackupScheduleModel], error: PineconeError) -> None:
        """Enable schedules again, so that the index does not remain without one. Add to the error what failed."""
        for other in disabled:
            name = show_value(other["name"])
            try:
                self.hook.schedules.update(other["schedule_id"], enabled=True)
            except Conflict:
                self.log.info("Backup schedule %s stays disabled: the index has another enabled one.", name)
            except PineconeError as failure:
                line = f"Backup schedule {name} is disabled now. It could not be enabled again: {failure.reason}."
                error.args = (insert_before_ids(str(error), line),)
            else:
                self.log.warning("Enabled backup schedule %s again, because the new one was not enabled.", name)

    def _create(self) -> BackupScheduleModel | None:
        """Create the schedule. If it may exist already, search for it."""
        try:
            schedule = self.hook.schedules.create(
                self.index_name, name=self.name, frequency=self.frequency, retention_days=self.retention_days
            )
        except (Conflict, CreateOutcomeUnknown) as error:
            # An earlier request, whose response was lost, may have created it.
            self.log.info("Searching for backup schedule %s, because: %s.", self.name, error.reason)
            own = poll_until_found(self._find, self.log.warning, self.clock, seconds=SEARCH_SECONDS)
            if own is None:
                raise
            return self._update(own)
        self.log.info(
            "Created backup schedule %s (%s) of index %s. Its next run is at %s.",
            self.name,
            schedule["schedule_id"],
            self.index_name,
            schedule.get("next_scheduled_run"),
        )
        return schedule

    def _find(self) -> BackupScheduleModel | None:
        return self._own(list(self.hook.schedules.list(self.index_name, retry=False)))

    def _update(self, own: BackupScheduleModel, *, keep_enabled: bool = False) -> BackupScheduleModel:
        """Change what differs; with ``keep_enabled``, not whether the schedule runs."""
        wanted: dict[str, Any] = {"frequency": self.frequency, "retention_days": self.retention_days}
        present: dict[str, Any] = {
            "frequency": own.get("frequency"),
            "retention_days": count_of(own.get("retention_expire_after_days")),
            "enabled": own["enabled"],
        }
        if not keep_enabled:
            wanted["enabled"] = self.enabled
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
