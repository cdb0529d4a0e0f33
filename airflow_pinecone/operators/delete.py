"""The operator that deletes one backup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_pinecone.common.durations import validate_duration, validate_optional_duration
from airflow_pinecone.common.inputs import is_template, rendered_bool, validate_bools
from airflow_pinecone.common.text import explain, show_time
from airflow_pinecone.errors import NotFound
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.rules.identity import hold_of
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.task import checked_arguments
from airflow_pinecone.waiting.drivers import delete_when_unused
from airflow_pinecone.waiting.intervals import deadline_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# How long to wait for restores from the backup, in seconds.
_DELETE_TIMEOUT = 60 * 60.0


class DeleteBackupOperator(PineconeOperator):
    """Delete a backup.

    If the backup does not exist, the task succeeds. While a restore from the backup is running, the task waits. If the
    backup has a hold that has not ended (``hold_until`` of CreateBackupOperator), the task fails and is not retried.

    Args:
        backup_id: The id of the backup (templated).
        conn_id: The Airflow connection with the API key (templated).
        timeout: Seconds to wait for restores from the backup, or a timedelta; 1 hour by default. A shorter
            ``execution_timeout`` applies instead.
        poke_interval: Seconds between two polls, or a timedelta; None increases the interval with the time waited,
            from 5 to 60 seconds.
        force: Whether to delete the backup even if it has a hold (templated): True, False, or a template that renders
            to ``true`` or ``false``.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_backup
    """

    template_fields: Sequence[str] = ("backup_id", "force", "conn_id")
    ui_color = "#ffe4d6"

    def __init__(
        self,
        *,
        backup_id: str,
        conn_id: str = "pinecone_default",
        timeout: float | timedelta = _DELETE_TIMEOUT,
        poke_interval: float | timedelta | None = None,
        force: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.backup_id = backup_id
        self.force = force
        with checked_arguments():
            if not is_template(force):
                validate_bools(force=force)
            self.timeout = validate_duration(timeout, "timeout")
            self.poke_interval = validate_optional_duration(poke_interval, "poke_interval")

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete the backup.

        Args:
            context: The context of the task.

        Returns:
            ``backup_id``; ``deleted``, which is True; and ``found``, whether the backup existed.

        Raises:
            AirflowFailException: The backup has a hold, Pinecone rejected a request, or an argument or the connection
                is invalid; not retried.
            WaitTimeout: A restore from the backup was still running at the deadline.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        deadline_at = deadline_of(self.clock.time(), self.timeout, self.execution_timeout)
        found = True
        with fail_without_retry():
            try:
                if not rendered_bool(self.force, "force"):
                    self._check_hold()
                delete_when_unused(
                    partial(self.hook.delete_backup, self.backup_id),
                    self.log.info,
                    self.clock,
                    backup_id=self.backup_id,
                    deadline_at=deadline_at,
                    poke_interval=self.poke_interval,
                )
            except NotFound:
                found = False
        self.log.info("Deleted backup %s." if found else "Backup %s did not exist.", self.backup_id)
        return {"backup_id": self.backup_id, "deleted": True, "found": found}

    def _check_hold(self) -> None:
        now = self.clock.utcnow()
        hold = hold_of(self.hook.describe_backup(self.backup_id), now)
        if hold is not None:
            raise AirflowFailException(
                explain(
                    f"Backup {self.backup_id} was not deleted: it is held until {show_time(hold)}.",
                    advice="Delete it after that time, or set force=True.",
                )
            )
