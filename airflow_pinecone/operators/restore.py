"""The operator that restores a backup into a new index."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_pinecone import identity
from airflow_pinecone.errors import CreateOutcomeUnknown, PineconeError, PineconePermanentError
from airflow_pinecone.models import RestoreStarted, created_at, restore_job_phase
from airflow_pinecone.operators.base import WaitingOperator, fail_without_retry
from airflow_pinecone.waiting.drivers import poll_once, poll_until_found
from airflow_pinecone.waiting.pace import DEFAULT_TIMEOUT
from airflow_pinecone.waiting.resources import RESTORE

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# The maximum difference between the clocks of Airflow and Pinecone.
_CLOCK_SKEW = timedelta(minutes=2)


class CreateIndexFromBackupOperator(WaitingOperator):
    """Restore a backup into a new index, and wait until the index is ready.

    One task starts one restore. A retry resumes with the restore that an earlier try started, even if that try was
    killed or Pinecone's response was lost. The task pushes the id of the restore job to XCom under ``restore_job_id``
    as soon as it is known.

    Args:
        backup_id: The id of the backup (templated).
        index_name: The name of the new index (templated). It must not be in use.
        tags: The tags of the new index (templated); None copies those of the backup.
        deletion_protection: ``enabled`` or ``disabled``; None is disabled.
        conn_id: The Airflow connection with the API key (templated).
        wait_for_completion: Whether to wait until the restore job is Completed and the index is ready.
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        poke_interval: Seconds between two polls, or a timedelta; None increases the interval with the time waited, from
            5 to 60 seconds.
        timeout: Seconds until the wait times out, or a timedelta; 6 hours by default. A shorter ``execution_timeout``
            applies instead, even while the task is deferred.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_index_from_backup
    """

    template_fields: Sequence[str] = ("backup_id", "index_name", "tags", "conn_id")
    ui_color = "#d6ffe8"
    resource = RESTORE

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
        timeout: float | timedelta = DEFAULT_TIMEOUT,
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
        """Start the restore, or resume with the one of an earlier try, and wait if ``wait_for_completion`` is set.

        Args:
            context: The context of the task.

        Returns:
            ``restore_job_id``, ``index_id``, ``index_name``, ``status`` and the other fields of the restore job.
            Without a wait, ``status`` is None if the job is not visible yet or could not be described.

        Raises:
            AirflowFailException: Pinecone rejected a request, the name is taken, or a name, an id or the connection is
                invalid; not retried.
            CreateOutcomeUnknown: A restore may have been started, but was not found.
            RestoreFailed: The restore job failed or was cancelled.
            RestoreNotFound: The restore job or its index no longer exists.
            WaitTimeout: The index was not ready in time. A retry waits for the same restore.
            PineconeTransientError: Pinecone did not start a restore; a retry can succeed.
            PineconeUnreachable: Too many consecutive polls failed.
        """
        started_at = self.clock.time()
        with fail_without_retry():
            restore = self._restore_or_resume(context)
            job_id = restore["restore_job_id"]
            self._push_id(context, job_id)
            self.log.info(
                "Restoring backup %s into index %s (restore job %s).", self.backup_id, self.index_name, job_id
            )
            if self.wait_for_completion:
                return dict(self._wait_for(context, job_id, started_at=started_at))
        outcome = poll_once(partial(RESTORE.poll, self.hook.client, job_id))
        job = {"status": None} if isinstance(outcome, PineconeError) else outcome
        return {**job, **restore, "index_name": self.index_name, "backup_id": self.backup_id}

    def _restore_or_resume(self, context: Context) -> RestoreStarted:
        origin = identity.origin_of(context, self.retries)
        run_started = context["dag_run"].start_date or datetime.fromtimestamp(self.clock.time(), UTC)
        find = partial(self._find, run_started)
        try:
            return self.hook.create_index_from_backup(
                self.backup_id, name=self.index_name, tags=self.tags, deletion_protection=self.deletion_protection
            )
        except PineconePermanentError as error:
            if error.status_code != 409:
                raise
            # Index names are unique, so a repeated create request cannot start a second restore.
            is_retry = context["ti"].try_number > origin.first_try
            found = poll_until_found(find, self.log.warning, self.clock) if is_retry else None
            if found is not None:
                return found
            raise PineconePermanentError(
                f"Index {self.index_name} already exists, and was not created by a restore of backup {self.backup_id} "
                f"that this task started. Choose another name, or delete the index. {error}",
                status_code=409,
                code=error.code,
                message=error.message,
                request_id=error.request_id,
            ) from error
        except CreateOutcomeUnknown as unknown:
            return self._find_created(
                find,
                unknown,
                advice=f"It may appear later, together with index {self.index_name}. Retry the task to search for it "
                "again.",
            )

    def _find(self, run_started: datetime) -> RestoreStarted | None:
        """Find the newest restore of the backup into the index since the start of the run."""
        jobs = [
            (created, job)
            for job in self.hook.list_restore_jobs(retry=False)
            if job["backup_id"] == self.backup_id
            and job["target_index_name"] == self.index_name
            and (created := created_at(job)) is not None
            and created >= run_started - _CLOCK_SKEW
        ]
        if not jobs:
            return None
        _, job = max(jobs, key=lambda row: row[0])
        job_id, status = job["restore_job_id"], job["status"]
        if restore_job_phase(status) == "failed":
            self.log.info("Ignoring failed restore job %s: its status is %s.", job_id, status)
            return None
        self.log.info("Resuming with restore job %s, which this task started: its status is %s.", job_id, status)
        return {"restore_job_id": job_id, "index_id": job.get("target_index_id") or ""}
