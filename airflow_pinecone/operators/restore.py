"""The operator that restores a backup into a new index."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, conf

from airflow_pinecone import identity, polling
from airflow_pinecone.errors import CreateAnswerLost, PineconeError, PineconeInputError, PineconePermanentError
from airflow_pinecone.models import RestoreStarted, created_at, job_phase
from airflow_pinecone.operators.waiting import WaitingOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.hooks import PineconeHook

# The hook is imported where it is used: the DAG processor pays for an import at every parse.

# The clocks of Airflow and of Pinecone may differ by so much.
_SKEW = timedelta(minutes=2)


class CreateIndexFromBackupOperator(WaitingOperator):
    """Restore a backup into a new index; wait until the index can be used.

    One task makes one restore. A retry takes up the restore that an earlier try began, even if that try died or lost
    Pinecone's answer. Pushes the id of the restore job to XCom under ``restore_job_id`` as soon as it is known.

    Args:
        backup_id: The backup (templated).
        index_name: The name of the new index (templated), which no index may have yet.
        tags: The new index's tags (templated); None takes over those of the backup.
        deletion_protection: ``enabled`` or ``disabled``; None is disabled.
        conn_id: The Airflow connection with the API key (templated).
        wait_for_completion: Whether to wait until the restore job is Completed and the index is ready.
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        poke_interval: Seconds between two polls, or a timedelta; None lets the pause grow with the wait, from 5 to
            60 seconds.
        timeout: Seconds that the wait may last, or a timedelta; 6 hours by default. An ``execution_timeout`` that
            is shorter counts, also while the task is deferred.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_index_from_backup
    """

    template_fields: Sequence[str] = ("backup_id", "index_name", "tags", "conn_id")
    ui_color = "#d6ffe8"
    kind = "restore"
    xcom_key = "restore_job_id"

    def __init__(
        self,
        *,
        backup_id: str,
        index_name: str,
        tags: dict[str, str] | None = None,
        deletion_protection: str | None = None,
        conn_id: str = "pinecone_default",
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = polling.DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        """Store the arguments."""
        super().__init__(
            conn_id=conn_id,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            poke_interval=poke_interval,
            timeout=timeout,
            **kwargs,
        )
        self.backup_id = backup_id
        self.index_name = index_name
        self.tags = tags
        self.deletion_protection = deletion_protection

    def execute(self, context: Context) -> dict[str, Any]:
        """Begin the restore, or take up the one that an earlier try began, and wait if asked to.

        Args:
            context: The task's context.

        Returns:
            ``restore_job_id``, ``index_id``, ``index_name``, ``status``, and what else Pinecone says of the job.
            ``status`` is None where the task does not wait and the job is not visible yet.

        Raises:
            AirflowFailException: Pinecone refused, there is another index of that name, or a name, an id or the
                connection is impossible; not retried.
            CreateAnswerLost: A restore may have begun, and was not found.
            RestoreFailed: The job failed or was cancelled.
            RestoreVanished: Pinecone no longer knows the job or its index.
            WaitTimeout: The index was not ready in time; a retry waits on for it.
            PineconeTransientError: Pinecone surely began no restore; asking again may help.
            PineconeUnreachable: Too many polls in a row got no good answer.
        """
        from airflow_pinecone.hooks import PineconeHook

        started = time.time()
        hook = PineconeHook(self.conn_id)
        try:
            begun = self._restore_or_take_up(hook, context)
        except (PineconeInputError, PineconePermanentError) as error:
            raise AirflowFailException(str(error)) from error
        job_id = begun["restore_job_id"]
        self._began(context, job_id)
        self.log.info("Restore job %s makes index %s of backup %s", job_id, self.index_name, self.backup_id)
        if self.wait_for_completion:
            return dict(self._wait_for(context, hook, job_id, started=started, first=None))
        now = polling.attempt(hook.poll("restore", job_id))
        known = {"status": None} if isinstance(now, PineconeError) else now
        return {**known, **begun, "index_name": self.index_name, "backup_id": self.backup_id}

    def _restore_or_take_up(self, hook: PineconeHook, context: Context) -> RestoreStarted:
        made_by = identity.origin(context, self.retries)
        find = partial(self._find, hook, context["dag_run"].start_date or datetime.now(UTC))
        try:
            return hook.create_index_from_backup(
                self.backup_id, name=self.index_name, tags=self.tags, deletion_protection=self.deletion_protection
            )
        except PineconePermanentError as error:
            if error.status_code != 409:
                raise
            # The name is unique, so that a create that is sent again cannot begin a second restore.
            retry = context["ti"].try_number > made_by.first_try
            found = polling.look_for(find, self.log.warning) if retry else None
            if found is not None:
                return found
            raise PineconePermanentError(
                f"There is an index {self.index_name} already, and it is not of a restore of backup {self.backup_id} "
                f"that this task began and that goes well. Choose another name, or delete that index. {error}",
                status_code=409,
                request_id=error.request_id,
            ) from error
        except CreateAnswerLost as error:
            self.log.warning("%s Looking for the restore job", error)
            lost = error
        try:
            found = polling.look_for(find, self.log.warning)
        except PineconeError as error:
            found, lost = None, CreateAnswerLost(f"{lost} Nor could it be looked for: {error}")
        if found is None:
            raise CreateAnswerLost(
                f"{lost} No such restore job was found. It may still appear, and index {self.index_name} with it; a "
                "retry by Airflow takes it up"
            )
        return found

    def _find(self, hook: PineconeHook, run_started: datetime) -> RestoreStarted | None:
        """Find the restore of our backup into our index that was begun since the run started."""
        jobs = [
            (made, job)
            for job in hook.list_restore_jobs(retry=False)
            if job["backup_id"] == self.backup_id
            and job["target_index_name"] == self.index_name
            and (made := created_at(job)) is not None
            and made >= run_started - _SKEW
        ]
        if not jobs:
            return None
        _, job = max(jobs, key=lambda dated: dated[0])
        if job_phase(job["status"]) == "failed":
            self.log.info("Not taking up restore job %s: %s", job["restore_job_id"], job["status"])
            return None
        self.log.info("Taking up restore job %s, which this task began: %s", job["restore_job_id"], job["status"])
        return {"restore_job_id": job["restore_job_id"], "index_id": job.get("target_index_id") or ""}
