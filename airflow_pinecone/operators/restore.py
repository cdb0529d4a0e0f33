"""The operator that restores a backup into a new index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_pinecone.api.models import (
    IndexModel,
    RestoreJobModel,
    RestoreStarted,
    created_at,
    restore_job_phase,
    tags_of,
    xcom_safe,
)
from airflow_pinecone.assets import add_facts_to_events, has_backups
from airflow_pinecone.common.inputs import is_template, validate_id, validate_index_name, validate_object, validate_tags
from airflow_pinecone.common.text import explain, one_line, show_request_id, show_value
from airflow_pinecone.errors import (
    Conflict,
    CreateOutcomeUnknown,
    NotFound,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    RestoreNotFound,
)
from airflow_pinecone.operators.base import WaitingOperator
from airflow_pinecone.rules.history import CLOCK_SKEW
from airflow_pinecone.rules.identity import ORIGIN_TAG, Origin
from airflow_pinecone.runtime.links import LINKS, push_links
from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT, checked_arguments
from airflow_pinecone.runtime.tries import Try
from airflow_pinecone.waiting.drivers import poll_once
from airflow_pinecone.waiting.intervals import TEMPORARY_REJECTIONS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

# Seconds to connect, and to receive the response, when the backup is described for OpenLineage. Airflow stops the
# process after 10 s.
_LINEAGE_TIMEOUT = 3.0


@dataclass(frozen=True)
class _ExistingIndex:
    """The index that already has the name of the new one: the restore of this task, or why the name is taken."""

    restore: RestoreStarted | None = None
    name_taken: str = ""


class CreateIndexFromBackupOperator(WaitingOperator):
    """Restore a backup into a new index, and wait until the index is ready.

    One task starts one restore. A retry resumes with the restore that an earlier try started, even if that try was
    killed or Pinecone's response was lost. It recognizes the index by the tag ``airflow-pinecone``, which each restored
    index gets; its value identifies the task, its run and its last clear. After the wait, the index must still have it:
    the task fails if its index was deleted and another one took the name. The task pushes the id of the restore job to
    XCom under ``restore_job_id`` as soon as it is known. The event of ``backup_asset(index)`` in ``outlets`` contains
    the details of the backup that was restored.

    Args:
        backup_id: The id of the backup (templated).
        index_name: The name of the new index (templated). It must not be in use.
        tags: Tags of the new index (templated), in addition to those of the backup; a tag given here replaces the
            backup's tag of the same name. Names and values must be strings. Tags of the backup whose value is not a
            string are not sent, because Pinecone does not accept them.
        deletion_protection: ``enabled`` or ``disabled`` (templated); None is disabled.
        read_capacity: The read capacity of the new index, as the API describes it (templated), such as
            ``{"mode": "OnDemand"}``; None leaves it to Pinecone. It needs API version 2026-04 or later.
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

    template_fields: Sequence[str] = (
        "backup_id",
        "index_name",
        "tags",
        "deletion_protection",
        "read_capacity",
        "conn_id",
    )
    ui_color = "#d6ffe8"
    resource_type = "restore"
    fills_events = True
    operator_extra_links = LINKS

    def __init__(
        self,
        *,
        backup_id: str,
        index_name: str,
        tags: dict[str, str] | None = None,
        deletion_protection: str | None = None,
        read_capacity: dict[str, Any] | None = None,
        conn_id: str = "pinecone_default",
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
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
        self.read_capacity = read_capacity
        self._protection_is_template = is_template(deletion_protection)
        if not self._protection_is_template:
            with checked_arguments():
                self._validate_protection()

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the restore, or resume with the one of an earlier try, and wait if ``wait_for_completion`` is set.

        Args:
            context: The context of the task.

        Returns:
            ``restore_job_id``, ``index_id``, ``index_name``, ``status`` and the other fields of the restore job.
            Without a wait, ``status`` is None if the job is not visible yet or could not be described.

        Raises:
            AirflowFailException: Pinecone rejected a request, the name is taken, an argument or the connection is
                invalid, or the index of a failed restore still exists; not retried.
            CreateOutcomeUnknown: A restore may have been started, but was not found.
            RestoreFailed: The restore job failed or was cancelled.
            RestoreNotFound: The restore job or its index no longer exists.
            WaitTimeout: The index was not ready in time. A retry waits for the same restore.
            PineconeTransientError: Pinecone did not start a restore; a retry can succeed.
            PineconeUnreachable: Too many consecutive polls failed.
        """
        return dict(self._execute(context))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return the lineage: from the backups of the source index to the new index.

        Airflow's OpenLineage provider calls this in a process of its own. The backup is described for it.

        Args:
            task_instance: The task instance.

        Returns:
            The lineage. It is empty if the task has failed, and has no input if the backup cannot be described.
        """
        from airflow_pinecone.hooks import PineconeHook
        from airflow_pinecone.runtime.lineage import backups_dataset, index_dataset, lineage

        if self._try is None or self._try.result is None:
            return lineage([], [])
        inputs = []
        try:
            # A hook of its own, because the session of the task's hook belongs to another process.
            hook = PineconeHook(self.conn_id, clock=self.clock, max_timeout=_LINEAGE_TIMEOUT)
            if source := hook.describe_backup(self.backup_id, retry=False).get("source_index_name"):
                inputs.append(backups_dataset(source))
        except PineconeError as error:
            self.log.info("The lineage of this task has no input: %s.", error.reason)
        return lineage(inputs, [index_dataset(self.index_name)])

    def _run(self, this_try: Try) -> dict[str, Any]:
        restore = self._restore_or_resume(this_try)
        job_id = restore["restore_job_id"]
        self._push_id(this_try, job_id)
        push_links(this_try.context, self.backup_id, self)
        if self.wait_for_completion:
            return dict(self._wait_for(this_try, job_id))
        outcome = poll_once(partial(self.resource.poll, self.hook.client, job_id))
        job = {"status": None} if isinstance(outcome, PineconeError) else xcom_safe(outcome)
        index_id = restore.get("index_id") or job.get("target_index_id") or ""
        result = {**job, **restore, "index_id": index_id, "index_name": self.index_name, "backup_id": self.backup_id}
        return dict(self._complete(this_try, result))

    def _validate_protection(self) -> None:
        value: Any = self.deletion_protection
        if value in ("enabled", "disabled") or (value is None and not self._protection_is_template):
            return
        raise PineconeInputError(f"deletion_protection must be 'enabled', 'disabled' or None, not {show_value(value)}.")

    def _complete(self, this_try: Try, model: Any) -> Any:
        if self.wait_for_completion:
            self._check_index(this_try, model)
        outlets = [outlet for outlet in self.outlets if has_backups(outlet)]
        if outlets:
            try:
                backup = self.hook.describe_backup(self.backup_id)
            except PineconeError as error:  # The restore has succeeded.
                self.log.warning("The events of the outlets have no details: %s.", error.reason)
            else:
                add_facts_to_events(this_try.context, outlets, backup, self.log.warning)
        return super()._complete(this_try, model)

    def _restore_or_resume(self, this_try: Try) -> RestoreStarted:
        self._validate_protection()
        validate_index_name(self.index_name)
        validate_id(self.backup_id, "backup")
        validate_tags(self.tags)
        validate_object(self.read_capacity, "read_capacity")
        earlier = self._find_of_earlier_try(this_try)
        if earlier is not None:
            return earlier
        origin, find = this_try.origin, partial(self._find, this_try)
        tags = self._merged_tags(origin)
        # Whatever happens from here on, the log tells how to find the restore.
        self.log.info(
            "Restoring backup %s into index %s. The tag %s of the index is %s",
            self.backup_id,
            self.index_name,
            ORIGIN_TAG,
            origin.digest,
        )
        rejection: Conflict | None = None
        try:
            started = self.hook.create_index_from_backup(
                self.backup_id,
                name=self.index_name,
                tags=tags,
                deletion_protection=self.deletion_protection,
                read_capacity=self.read_capacity,
            )
        except Conflict as error:
            # Index names are unique, so a repeated create request cannot start a second restore.
            rejection = error
            found = self._search(find, self._search_seconds(this_try))
        except CreateOutcomeUnknown as unknown:
            found = self._find_created(
                this_try,
                find,
                unknown,
                advice=""
                if this_try.has_next
                else f"Delete index {self.index_name} if it appears later, then clear the task.",
            )
        else:
            self.log.info("Started restore job %s of index %s.", started["restore_job_id"], self.index_name)
            return started
        if found is not None and found.restore is not None:
            return found.restore
        raise self._name_in_use(this_try, found, rejection)

    def _name_in_use(
        self, this_try: Try, found: _ExistingIndex | None, rejection: Conflict | None
    ) -> Conflict | CreateOutcomeUnknown:
        """Return the error for an index that already has the name of the new one."""
        index = self.index_name
        what = (
            f"Could not restore a backup into index {index}{f' (HTTP {rejection.status_code})' if rejection else ''}."
        )
        request_id = rejection.request_id if rejection else None
        ids = f"Backup id: {self.backup_id}. {show_request_id(request_id)}".rstrip()
        if found is None and not this_try.failed_ids:
            why = f"Pinecone reports that index {index} exists, but no restore job of this task was found."
            advice = "" if this_try.has_next else f"Delete index {index} if you do not need it, then clear the task."
            return CreateOutcomeUnknown(explain(what, why, advice, ids))
        if found is None:
            why = f"Restore job {this_try.failed_ids[-1]} failed, and its index {index} still exists."
            advice = f"Delete index {index}, then clear the task."
        else:
            why = found.name_taken
            advice = "Set index_name to a name that is not in use, then clear the task."
        return Conflict(
            explain(what, why, advice, ids),
            status_code=rejection.status_code if rejection else None,
            code=rejection.code if rejection else None,
            message=rejection.message if rejection else "",
            request_id=request_id,
        )

    def _find_of_earlier_try(self, this_try: Try) -> RestoreStarted | None:
        """Find the restore of an earlier try. Its backup may have been deleted since.

        Raises:
            PineconeTransientError: The search failed, so it is unknown whether there is one.
        """
        if this_try.number == 1:
            return None
        try:
            found = self._find(this_try, retry=True)
        except PineconePermanentError as error:  # The create request shows whether the name is in use.
            self.log.warning("The search for the restore of an earlier try failed: %s", error.reason)
            return None
        return found.restore if found else None

    def _check_index(self, this_try: Try, model: Any) -> None:
        """Check that the index that is ready is the one that this task restored."""
        name, problem = model["index_name"], ""

        def read() -> IndexModel | None:
            nonlocal problem
            try:
                return self.hook.describe_index(name, retry=False)
            except TEMPORARY_REJECTIONS as error:
                problem = error.reason
                return None

        index = self._search(read, self._search_seconds(this_try))
        what = f"Could not restore a backup into index {name}."
        ids = f"Backup id: {model['backup_id']}. Restore job id: {model['restore_job_id']}."
        if index is None:
            advice = "" if this_try.has_next else "Clear the task to restore the backup again."
            raise RestoreNotFound(explain(what, f"its index was ready, but cannot be read: {problem}", advice, ids))
        foreign = _foreign_tag(index, this_try.origin)
        if foreign:
            why = f"The index was deleted while the task waited, and another one has its name.\n{foreign}"
            advice = "Set index_name to a name that is not in use, then clear the task."
            raise Conflict(explain(what, why, advice, ids))

    def _merged_tags(self, origin: Origin) -> dict[str, str]:
        """Return the tags of the new index: those of the backup, the user's, and the one of the origin."""
        inherited = tags_of(self.hook.describe_backup(self.backup_id))
        # Pinecone returns other values too, but rejects them in a request.
        accepted = {name: value for name, value in inherited.items() if isinstance(value, str)}
        return {**accepted, **(self.tags or {}), ORIGIN_TAG: origin.digest}

    def _find(self, this_try: Try, *, retry: bool = False) -> _ExistingIndex | None:
        """Find the restore of this task, or the reason why its index cannot be created."""
        try:
            index = self.hook.describe_index(self.index_name, retry=retry)
        except NotFound:
            return None
        foreign = _foreign_tag(index, this_try.origin)
        if foreign:
            return _ExistingIndex(
                name_taken=f"Index {self.index_name} already exists, and was not created by this task.\n{foreign}"
            )
        earliest = this_try.nothing_before
        jobs = [
            job
            for job in self.hook.list_restore_jobs(retry=retry)
            if job["backup_id"] == self.backup_id
            and job["target_index_name"] == self.index_name
            and (not earliest or (created_at(job) or earliest) >= earliest - CLOCK_SKEW)
        ]
        if not jobs:
            return None
        # Others are jobs of earlier indexes of the same name.
        job = max(jobs, key=_recency)
        job_id, status = job["restore_job_id"], job["status"]
        if restore_job_phase(job) == "failed":
            # The job of the existing index may not be visible yet. Log each id only once, not at each poll.
            if job_id not in this_try.failed_ids:
                self.log.info("Ignoring failed restore job %s: its status is %s.", job_id, status)
                this_try.failed_ids.append(job_id)
            return None
        self.log.info("Resuming with restore job %s, which this task started: its status is %s.", job_id, status)
        return _ExistingIndex({"restore_job_id": job_id, "index_id": job.get("target_index_id") or ""})


def _foreign_tag(index: IndexModel, origin: Origin) -> str:
    """Return why an index is not the one that the tries of an origin restored; empty if it is."""
    tag = tags_of(index).get(ORIGIN_TAG)
    if tag == origin.digest:
        return ""
    if not tag:
        return f"It does not have the tag {ORIGIN_TAG}."
    return f"Its tag {ORIGIN_TAG} is {one_line(tag)}, not {origin.digest}."


def _recency(job: RestoreJobModel) -> datetime:
    """Sort by start. A job with an unknown start is the last one, unless it failed."""
    unknown = datetime.min if restore_job_phase(job) == "failed" else datetime.max
    return created_at(job) or unknown.replace(tzinfo=UTC)
