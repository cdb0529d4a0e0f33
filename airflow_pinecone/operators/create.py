"""The operator that creates a backup of an index."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_pinecone.common.durations import DEFAULT_TIMEOUT
from airflow_pinecone.operators.base import WaitingOperator
from airflow_pinecone.runtime.links import LINKS, push_links
from airflow_pinecone.runtime.task import checked_duration

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_pinecone.api.models import BackupModel
    from airflow_pinecone.rules.identity import Origin


class CreateBackupOperator(WaitingOperator, BaseOperator):
    """Create a backup of a Pinecone index, and optionally wait until it is Ready.

    One task creates one backup. A retry resumes with the backup that an earlier try created, even if that try was
    killed or Pinecone's response was lost. A retry creates a new backup if that one failed, and so does a cleared task.

    The task pushes the id of the backup to XCom under ``backup_id`` as soon as it is known. The event of each Asset in
    ``outlets`` contains the details of the backup: ``backup_id``, ``name``, ``status``, counts, size and more. Through
    an AssetAlias in ``outlets``, the task updates ``backup_asset(index_name)``.

    Args:
        index_name: The index (templated).
        name: The name of the backup (templated); None combines the index name and the time.
        description: Text for the description of the backup (templated). The origin of the backup is appended.
        conn_id: The Airflow connection with the API key (templated).
        wait_for_completion: Whether to wait until the backup is Ready.
        deferrable: Whether to wait in the triggerer, without a worker slot: for completion, and for the time of
            ``settle``. The default is Airflow's ``[operators] default_deferrable``.
        poke_interval: Seconds between two polls, or a timedelta; None increases the interval with the time waited, from
            5 to 60 seconds.
        timeout: Seconds until the wait times out, or a timedelta; 6 hours by default. A shorter ``execution_timeout``
            applies instead, even while the task is deferred. ``timeout`` does not include ``settle``;
            ``execution_timeout`` does.
        reuse_within: A maximum age in seconds, or a timedelta. If the newest Ready backup of the index is younger, the
            task returns it and creates none, no matter who created it. This also applies to a cleared task. If an index
            was deleted and its name reused, backups of the earlier index count until the new index has its first
            backup. None always creates a backup.
        hold_until: Until when PruneBackupsOperator keeps the backup and DeleteBackupOperator refuses to delete it
            (templated): a time, a date, or a duration after the create request, as a timedelta or in seconds. A
            template must render to an ISO date or time, or to a number of seconds. A date is its first moment in UTC,
            and a time without a time zone is in UTC. It becomes a part of the description, which cannot be changed
            later. Not allowed together with ``reuse_within``. None is no hold.
        settle: Seconds to wait before the task creates the backup, or a timedelta. A backup only includes records that
            were written at least 15 minutes before it: use ``timedelta(minutes=15)`` after a task that writes. The task
            does not wait if it resumes with or reuses a backup. A retry that finds no backup waits again. Must be
            shorter than ``execution_timeout``. None does not wait.
        delete_on_kill: Whether to delete an unfinished backup when the task is marked as failed while it waits: in the
            worker and, since Airflow 3.3, in the triggerer. A retry, a clear, a timeout, an evicted worker or a restart
            of the triggerer never deletes it. Not allowed in a DAG with ``fail_fast``, because Airflow itself marks
            running tasks of such a DAG as failed.

    Raises:
        PineconeInputError: An argument is invalid. This is a ValueError: the DAG cannot be imported.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_backup
    """

    template_fields: Sequence[str] = ("index_name", "name", "description", "hold_until", "conn_id")
    ui_color = "#d6e8ff"
    resource_type = "backup"
    operator_extra_links = LINKS

    def __init__(
        self,
        *,
        index_name: str,
        name: str | None = None,
        description: str | None = None,
        conn_id: str = "pinecone_default",
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        reuse_within: float | timedelta | None = None,
        hold_until: date | timedelta | float | str | None = None,
        settle: float | timedelta | None = None,
        delete_on_kill: bool = False,
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
        self.index_name = index_name
        self.name = name
        self.description = description
        self.reuse_within = None if reuse_within is None else checked_duration(reuse_within, "reuse_within")
        self.settle = None if settle is None else checked_duration(settle, "settle")
        if isinstance(hold_until, int | float | timedelta):
            checked_duration(hold_until, "hold_until")
        self.hold_until = hold_until
        self.delete_on_kill = delete_on_kill
        self._failed_ids: list[str] = []
        self._is_reused = False
        self._completed: BackupModel | None = None
        problem = self._argument_problem()
        if problem:
            from airflow_pinecone.runtime.failures import InvalidArgument

            raise InvalidArgument(problem)

    def _argument_problem(self) -> str:
        """Say which arguments contradict each other; empty if none do."""
        if self.hold_until is not None and self.reuse_within is not None:
            return "hold_until cannot be used with reuse_within, because a hold cannot be added to an existing backup."
        if self.settle and self.execution_timeout and self.execution_timeout.total_seconds() <= self.settle:
            return (
                f"settle ({timedelta(seconds=self.settle)}) must be shorter than execution_timeout "
                f"({self.execution_timeout}), which includes it."
            )
        if self.delete_on_kill and not self._deletes_on_kill:
            return (
                "delete_on_kill cannot be used in a DAG with fail_fast, because Airflow itself marks running tasks of "
                "such a DAG as failed."
            )
        return ""

    def execute(self, context: Context) -> BackupModel:
        """Create the backup, or resume with or reuse an earlier one, and wait if ``wait_for_completion`` is set.

        Args:
            context: The context of the task.

        Returns:
            The backup as Pinecone last described it. After a wait its status is Ready.

        Raises:
            AirflowFailException: Pinecone rejected a request, or a name or the connection is invalid; not retried.
            CreateOutcomeUnknown: A backup may have been created, but was not found.
            BackupFailed: The backup has a failed status.
            BackupNotFound: The backup no longer exists.
            WaitTimeout: The backup was not Ready in time. A retry waits for the same backup.
            PineconeTransientError: A request failed, and no backup was created; a retry can succeed.
            PineconeUnreachable: Too many consecutive polls failed.
        """
        return self._execute(context)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return the lineage: from the index to its backups. Airflow's OpenLineage provider calls this.

        Args:
            task_instance: The task instance.

        Returns:
            The lineage. It is empty if the task has failed.
        """
        from airflow_pinecone.runtime.lineage import backups_dataset, index_dataset, lineage

        if self._completed is None:
            return lineage([], [])
        index_name = self._completed.get("source_index_name") or self.index_name
        return lineage([index_dataset(index_name)], [backups_dataset(index_name)])

    def execute_settled(
        self, context: Context, event: Any, try_number: int | None = None, started_at: float | None = None
    ) -> BackupModel:
        """Resume after the wait of ``settle`` in the triggerer.

        Args:
            context: The context of the task.
            event: The event of the trigger; not used.
            try_number: The number of the try that was deferred; None in ``dag.test()``, which loses it.
            started_at: When that try started, in seconds since the epoch; None in ``dag.test()``.

        Returns:
            The result of the task; see ``execute``.

        Raises:
            AirflowException: As ``execute`` documents.
        """
        from airflow_pinecone.runtime.airflow_versions import is_event_of_another_try
        from airflow_pinecone.runtime.failures import fail_without_retry

        if is_event_of_another_try(context, try_number):
            self.log.info("Ignoring the event of try %s: this is try %s.", try_number, context["ti"].try_number)
            return self._execute(context)
        now = self.clock.time()
        self._started_at = now - (self.settle or 0.0) if started_at is None else started_at
        self._settled_seconds = now - self._started_at
        with fail_without_retry():
            self._validate()
            return self._wait_if_requested(context, self._create_settled(context))

    def _execute(self, context: Context) -> BackupModel:
        from airflow_pinecone.runtime.failures import fail_without_retry

        self._started_at = self.clock.time()
        with fail_without_retry():
            self._validate()
            return self._wait_if_requested(context, self._create_or_resume(context))

    def _validate(self) -> None:
        from airflow_pinecone.common.inputs import validate_hold, validate_index_name, validate_text

        validate_index_name(self.index_name)
        validate_text(self.name, "name")
        validate_text(self.description, "description")
        validate_hold(self.hold_until, self._now())

    def _wait_if_requested(self, context: Context, backup: BackupModel) -> BackupModel:
        backup_id = backup["backup_id"]
        self._push_id(context, backup_id)
        push_links(context, backup_id, self.hook)
        self.log.info("Backup %s of index %s: its status is %s.", backup_id, self.index_name, backup["status"])
        # A reused backup is Ready. It was counted in the metrics when it was created.
        if not self.wait_for_completion or self._is_reused:
            return self._complete(context, backup)
        return cast("BackupModel", self._wait_for(context, backup_id, first=backup))

    def _create_or_resume(self, context: Context) -> BackupModel:
        from airflow_pinecone.rules.identity import origin_of

        origin = origin_of(context)
        found = self._find_of_earlier_try(context, origin)
        if found is not None:
            return found
        if self.reuse_within is not None:
            reusable = self._reusable(self.reuse_within)
            if reusable is not None:
                self._is_reused = True
                return reusable
        if self.settle is None:
            return self._create(origin)
        self._settle(context, self.settle)
        return self._create_settled(context)

    def _settle(self, context: Context, seconds: float) -> None:
        """Wait in the worker, or defer the task: it then resumes in ``execute_settled``."""
        from airflow_pinecone.api.models import WRITE_LAG
        from airflow_pinecone.runtime.airflow_versions import trigger_at
        from airflow_pinecone.waiting.intervals import DEFERRAL_MARGIN, MIN_INTERVAL, deadline_of

        now = self.clock.time()
        until = datetime.fromtimestamp(now + seconds, UTC)
        self.log.info(
            "Waiting until %s UTC before the backup is created, because settle is %s. A backup only includes records "
            "that were written at least %d minutes before it.",
            f"{until:%Y-%m-%d %H:%M:%S}",
            timedelta(seconds=seconds),
            WRITE_LAG.total_seconds() / 60,
        )
        # Airflow may take a deferral of a second or two for a failed try; see wait_async.
        if self.deferrable and seconds >= MIN_INTERVAL:
            # A retry may have searched before it waits.
            searched = now - self._started_at
            deadline_at = deadline_of(self._started_at, searched + seconds + self.timeout, self.execution_timeout)
            self.defer(
                trigger=trigger_at(until),
                method_name="execute_settled",
                kwargs={"try_number": context["ti"].try_number, "started_at": self._started_at},
                timeout=timedelta(seconds=max(0.0, deadline_at - now)) + DEFERRAL_MARGIN,
            )
        self.clock.sleep(seconds)
        # The API key may have been replaced meanwhile.
        self.__dict__.pop("hook", None)
        self._settled_seconds = self.clock.time() - self._started_at

    def _create_settled(self, context: Context) -> BackupModel:
        """Create the backup after a wait, unless an earlier try that was still running created it meanwhile."""
        from airflow_pinecone.rules.identity import origin_of

        origin = origin_of(context)
        return self._find_of_earlier_try(context, origin) or self._create(origin)

    def _create(self, origin: Origin) -> BackupModel:
        from airflow_pinecone.errors import CreateOutcomeUnknown
        from airflow_pinecone.rules import identity

        find = partial(self._find, origin)
        now = self._now()
        name = identity.default_name(self.index_name, now) if self.name is None else self.name
        description = identity.describe(self.description, origin, self._hold(now))
        try:
            backup = self.hook.create_backup(self.index_name, name=name, description=description)
        except CreateOutcomeUnknown as unknown:
            return self._find_created(
                find,
                unknown,
                advice=f"If it appears later, its description ends with {origin.mark}. Retry the task to search for it "
                "again; clearing the task creates another backup.",
            )
        if not identity.has_mark_of(backup, origin):
            self.log.warning(
                "Pinecone did not return the end of the description of backup %s, %s. If it is lost, a retry creates "
                "another backup, and PruneBackupsOperator keeps this one.",
                backup["backup_id"],
                origin.mark,
            )
        return backup

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)

    def _hold(self, now: datetime) -> datetime | None:
        from airflow_pinecone.common.inputs import validate_hold

        hold = validate_hold(self.hold_until, now)
        if hold is None or hold > now:
            return hold
        self.log.warning("Creating the backup without a hold: hold_until is %s, which has passed.", hold.isoformat())
        return None

    def _find_of_earlier_try(self, context: Context, origin: Origin) -> BackupModel | None:
        from airflow_pinecone.rules.identity import first_try_of
        from airflow_pinecone.waiting.drivers import poll_until_found

        try_number = context["ti"].try_number
        if try_number == 1:
            return None
        find = partial(self._find, origin)
        self.log.info("Searching for the backup of an earlier try. Its description ends with %s", origin.mark)
        if try_number == first_try_of(context, self.retries):
            # The task was cleared, and this is its first try since then: there is nothing to wait for. Search once all
            # the same, because the scheduler may have another value of retries.
            return poll_until_found(find, self.log.warning, self.clock, seconds=0)
        return self._search(find, self._search_seconds())

    def _find(self, origin: Origin) -> BackupModel | None:
        from airflow_pinecone.rules import identity

        found = identity.find(self.hook.list_backups(self.index_name or "", retry=False), origin)
        if found.usable is not None:
            backup = found.usable
            self.log.info(
                "Resuming with backup %s, which this task created: its status is %s.",
                backup["backup_id"],
                backup["status"],
            )
            return backup
        failed_ids = [backup["backup_id"] for backup in found.failed]
        # Log each list only once, not at each poll.
        if failed_ids != self._failed_ids:
            self.log.info("Ignoring failed backups of this task: %s.", ", ".join(failed_ids))
            self._failed_ids = failed_ids
        return None

    def _reusable(self, max_age: float) -> BackupModel | None:
        from airflow_pinecone.api.models import created_at
        from airflow_pinecone.rules.history import newest_ready

        backup = newest_ready(self.hook.list_backups(self.index_name))
        created = backup and created_at(backup)
        if backup is None or created is None:
            self.log.info("Index %s has no Ready backup to reuse.", self.index_name)
            return None
        age = self.clock.time() - created.timestamp()
        facts = f"backup {backup['backup_id']} of index {self.index_name}"
        shown = timedelta(seconds=round(age))
        if age >= max_age:
            self.log.info(
                "Not reusing %s: its age is %s, and reuse_within is %s.", facts, shown, timedelta(seconds=max_age)
            )
            return None
        self.log.info("Reusing %s: its age is %s, and reuse_within is %s.", facts, shown, timedelta(seconds=max_age))
        return backup

    def _complete(self, context: Context, model: BackupModel) -> BackupModel:
        from airflow_pinecone.api.models import xcom_safe
        from airflow_pinecone.assets import add_facts_to_events

        add_facts_to_events(context, self.outlets, model, self.log.warning)
        self._completed = model
        return xcom_safe(model)
