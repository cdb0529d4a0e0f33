"""The operator that deletes one backup."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_pinecone import polling
from airflow_pinecone.errors import PineconeInputError, PineconePermanentError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

DEFAULT_TIMEOUT = 60 * 60.0

# The hook is imported where it is used: the DAG processor pays for an import at every parse.


class DeleteBackupOperator(BaseOperator):
    """Delete a backup. One that is gone already is a success; a restore from it is waited out.

    Args:
        backup_id: The backup to delete (templated).
        conn_id: The Airflow connection with the API key (templated).
        timeout: Seconds to wait for the end of restores from the backup, or a timedelta; 1 hour by default. An
            ``execution_timeout`` that is shorter counts.
        poke_interval: Seconds between two tries, or a timedelta; None lets the pause grow with the wait, from 5 to
            60 seconds.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_backup
    """

    template_fields: Sequence[str] = ("backup_id", "conn_id")
    ui_color = "#ffe4d6"

    def __init__(
        self,
        *,
        backup_id: str,
        conn_id: str = "pinecone_default",
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        poke_interval: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        """Store the arguments."""
        super().__init__(**kwargs)
        self.backup_id = backup_id
        self.conn_id = conn_id
        self.timeout = polling.seconds(timeout, "timeout")
        self.poke_interval = None if poke_interval is None else polling.seconds(poke_interval, "poke_interval")

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete the backup.

        Args:
            context: The task's context.

        Returns:
            ``backup_id``; ``deleted``, True; and ``found``, whether it was still there.

        Raises:
            AirflowFailException: Pinecone refused, or the id or the connection is impossible; not retried.
            WaitTimeout: The backup was being restored all the time; a retry waits on.
            PineconeTransientError: No good answer came.
        """
        from airflow_pinecone.hooks import PineconeHook

        deadline = polling.deadline(time.time(), self.timeout, self.execution_timeout)
        delete = partial(PineconeHook(self.conn_id).delete_backup, self.backup_id)
        found = True
        try:
            polling.until_free(
                delete,
                self.log.info,
                backup_id=self.backup_id,
                deadline=deadline,
                poke_interval=self.poke_interval,
            )
        except (PineconeInputError, PineconePermanentError) as error:
            if getattr(error, "status_code", None) != 404:
                raise AirflowFailException(str(error)) from error
            found = False
        self.log.info("Backup %s is deleted%s", self.backup_id, "" if found else "; it was gone already")
        return {"backup_id": self.backup_id, "deleted": True, "found": found}
