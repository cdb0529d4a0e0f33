"""The operator that creates a backup of an index."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import conf

from airflow_pinecone.assets import add_facts_to_events, check_outlets
from airflow_pinecone.common.durations import validate_optional_duration
from airflow_pinecone.common.inputs import validate_bools, validate_hold
from airflow_pinecone.operators.base import WaitingOperator
from airflow_pinecone.runtime.airflow_versions import trigger_at
from airflow_pinecone.runtime.links import LINKS, push_links
from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT, checked_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_pinecone.api.models import BackupModel
    from airflow_pinecone.runtime.tries import Try


class CreateBackupOperator(WaitingOperator):
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
            backup. Together with ``settle``, the backup must also cover the writes until the start of the run, so it
            was created at least 15 minutes after it. If the task has upstream tasks, which may have written since, none
            is reused. None always creates a backup.
        hold_until: A time until which the backup must not be deleted (templated). Until then, PruneBackupsOperator
            keeps it, and DeleteBackupOperator fails. It is a time, a date, or a duration after the create request, as a
            timedelta or in seconds. A template must render to an ISO date or time, or to a number of seconds. Eight
            digits, such as ``{{ ds_nodash }}``, are a date. A date is its first moment in UTC, and a time without a
            time zone is in UTC. The hold becomes a part of the description, which cannot be changed later. Not allowed
            together with ``reuse_within``. None is no hold.
        settle: Seconds to wait before the task creates the backup, or a timedelta. A backup only includes records that
            were written at least 15 minutes before it: use ``timedelta(minutes=15)`` after a task that writes. The task
            does not wait if it resumes with or reuses a backup. A retry that finds no backup waits again. It first
            searches for up to 30 seconds: ``execution_timeout`` must be longer than both. None does not wait.
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
    fills_events = True
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
        with checked_arguments():
            check_outlets(self, index_name)
            self.reuse_within = validate_optional_duration(reuse_within, "reuse_within")
            self.settle = validate_optional_duration(settle, "settle")
            if isinstance(hold_until, int | float | timedelta):
                validate_hold(hold_until, self.clock.utcnow())
            validate_bools(delete_on_kill=delete_on_kill)
            self.hold_until = hold_until
            self.delete_on_kill = delete_on_kill
            problem = self._argument_problem()
            if problem:
                raise ValueError(problem)

    def _argument_problem(self) -> str:
        """Return which arguments contradict each other; empty if none do."""
        if self.hold_until is not None and self.reuse_within is not None:
            return "hold_until cannot be used with reuse_within, because a hold cannot be added to an existing backup."
        if self.settle and self.execution_timeout:
            from airflow_pinecone.waiting.intervals import SEARCH_SECONDS

            if self.execution_timeout.total_seconds() <= self.settle + SEARCH_SECONDS:
                return (
                    f"settle ({timedelta(seconds=self.settle)}) must be shorter than execution_timeout "
                    f"({self.execution_timeout}) by more than {SEARCH_SECONDS:.0f} s, in which a retry searches for a "
                    "backup."
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
        return cast("BackupModel", self._execute(context))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return the lineage: from the index to its backups. Airflow's OpenLineage provider calls this.

        Args:
            task_instance: The task instance.

        Returns:
            The lineage. It is empty if the task has failed.
        """
        from airflow_pinecone.runtime.lineage import backups_dataset, index_dataset, lineage

        if self._try is None or self._try.result is None:
            return lineage([], [])
        index_name = self._try.result.get("source_index_name") or self.index_name
        return lineage([index_dataset(index_name)], [backups_dataset(index_name)])

    def execute_settled(self, context: Context, event: Any, started_at: float | None = None) -> BackupModel:
        """Resume after the wait of ``settle`` in the triggerer.

        Args:
            context: The context of the task.
            event: The event of the trigger; not used.
            started_at: When the try started, in seconds since the epoch; None in ``dag.test()``, which loses it.

        Returns:
            The result of the task; see ``execute``.

        Raises:
            AirflowException: As ``execute`` documents.
        """
        if started_at is None:
            started_at = self.clock.time() - (self.settle or 0.0)
        return cast("BackupModel", self._run_try(context, self._run_settled, started_at=started_at))

    def _run(self, this_try: Try) -> BackupModel:
        self._validate()
        backup = self._find_of_earlier_try(this_try) or self._reuse(this_try)
        if backup is None and self.settle is None:
            backup = self._create(this_try)
        elif backup is None:
            self._settle(this_try, cast("float", self.settle))
            backup = self._find_or_create(this_try)
        return self._wait_if_requested(this_try, backup)

    def _run_settled(self, this_try: Try) -> BackupModel:
        this_try.settled_seconds = self.clock.time() - this_try.started_at
        self._validate()
        return self._wait_if_requested(this_try, self._find_or_create(this_try))

    def _find_or_create(self, this_try: Try) -> BackupModel:
        """Create the backup after a wait, unless an earlier try that was still running has created it meanwhile."""
        return self._find_of_earlier_try(this_try) or self._create(this_try)

    def _validate(self) -> None:
        from airflow_pinecone.common.inputs import validate_index_name, validate_text

        validate_index_name(self.index_name)
        validate_text(self.name, "name")
        validate_text(self.description, "description")
        validate_hold(self.hold_until, self.clock.utcnow())

    def _wait_if_requested(self, this_try: Try, backup: BackupModel) -> BackupModel:
        backup_id = backup["backup_id"]
        self._push_id(this_try, backup_id)
        push_links(this_try.context, backup_id, self)
        # A reused backup is Ready. It was counted in the metrics when it was created.
        if not self.wait_for_completion or this_try.is_reused:
            return self._complete(this_try, backup)
        return cast("BackupModel", self._wait_for(this_try, backup_id, first=backup))

    def _settle(self, this_try: Try, seconds: float) -> None:
        """Wait in the worker, or defer the task: it then resumes in ``execute_settled``."""
        from airflow_pinecone.api.models import WRITE_LAG
        from airflow_pinecone.common.text import show_time
        from airflow_pinecone.waiting.intervals import MIN_INTERVAL, deferral_timeout

        now = self.clock.time()
        self.log.info(
            "Waiting until %s before the backup is created, because settle is %s. A backup only includes records that "
            "were written at least %d minutes before it.",
            show_time(now + seconds),
            timedelta(seconds=seconds),
            WRITE_LAG.total_seconds() / 60,
        )
        # A retry may have searched before it waits.
        this_try.settled_seconds = now + seconds - this_try.started_at
        # Airflow may take a deferral of a second or two for a failed try; see wait_async.
        if self.deferrable and seconds >= MIN_INTERVAL:
            self.defer(
                trigger=trigger_at(datetime.fromtimestamp(now + seconds, UTC)),
                method_name="execute_settled",
                kwargs={"try_number": this_try.context["ti"].try_number, "started_at": this_try.started_at},
                timeout=deferral_timeout(this_try.deadline_at(self.timeout, self.execution_timeout), now),
            )
        else:
            self.clock.sleep(seconds)
            this_try.settled_seconds = self.clock.time() - this_try.started_at

    def _create(self, this_try: Try) -> BackupModel:
        from airflow_pinecone.common.text import explain, one_line
        from airflow_pinecone.errors import CreateOutcomeUnknown
        from airflow_pinecone.rules.identity import default_name, describe, has_mark_of

        origin, now = this_try.origin, self.clock.utcnow()
        name = default_name(self.index_name, now) if self.name is None else self.name
        description = describe(self.description, origin, self._hold(now))
        # Whatever happens from here on, the log tells how to find the backup.
        self.log.info(
            "Creating backup %s of index %s. Its description ends with %s", one_line(name), self.index_name, origin.mark
        )
        try:
            backup = self.hook.create_backup(self.index_name, name=name, description=description)
        except CreateOutcomeUnknown as unknown:
            return self._find_created(
                this_try,
                partial(self._find, this_try),
                unknown,
                advice=explain(
                    "" if this_try.has_next else "Clear the task to create another backup.",
                    ids=f"If it appears later, its description ends with {origin.mark}",
                ),
            )
        self.log.info("Created backup %s: its status is %s.", backup["backup_id"], backup["status"])
        if not has_mark_of(backup, origin):
            self.log.warning(
                explain(
                    f"Pinecone did not return the end of the description of backup {backup['backup_id']}.",
                    "If it is lost, a retry creates another backup, and PruneBackupsOperator keeps this one.",
                    ids=f"It should be {origin.mark}",
                )
            )
        return backup

    def _hold(self, now: datetime) -> datetime | None:
        hold = validate_hold(self.hold_until, now)
        if hold is None or hold > now:
            return hold
        self.log.warning("Creating the backup without a hold: hold_until is %s, which has passed.", hold.isoformat())
        return None

    def _find_of_earlier_try(self, this_try: Try) -> BackupModel | None:
        if this_try.number == 1:
            return None
        find = partial(self._find, this_try)
        self.log.info("Searching for the backup of an earlier try. Its description ends with %s", this_try.origin.mark)
        # If the task was cleared, and this is its first try since then, there is nothing to wait for. Search once all
        # the same, because the scheduler may have another value of retries.
        is_first = this_try.is_first_since_clear(self.retries)
        return self._search(find, 0.0 if is_first else self._search_seconds(this_try))

    def _find(self, this_try: Try) -> BackupModel | None:
        from airflow_pinecone.errors import NotFound
        from airflow_pinecone.rules.identity import backups_of

        try:
            found = backups_of(this_try.origin, self.hook.list_backups(self.index_name, retry=False))
        except NotFound:
            found = backups_of(
                this_try.origin, self.hook.list_backups(self.index_name, include_deleted=True, retry=False)
            )
            if found.usable is None:
                raise
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
        if failed_ids != this_try.failed_ids:
            self.log.info("Ignoring failed backups of this task: %s.", ", ".join(failed_ids))
            this_try.failed_ids = failed_ids
        return None

    def _reuse(self, this_try: Try) -> BackupModel | None:
        """Return a recent backup to use instead of a new one, if ``reuse_within`` allows it."""
        from airflow_pinecone.api.models import covers_writes_until
        from airflow_pinecone.common.text import show_seconds, show_time
        from airflow_pinecone.rules.history import BackupHistory

        if self.reuse_within is None:
            return None
        history = BackupHistory(self.hook.list_backups(self.index_name))
        backup = history.newest_ready
        if backup is None:
            self.log.info("Index %s has %s, so a new one is created.", self.index_name, history.no_ready_backup)
            return None
        age = history.age(backup, self.clock.utcnow())
        needed, covered = self._must_cover(this_try), covers_writes_until(backup)
        lacks_writes = needed is not None and (covered is None or covered < needed)
        this_try.is_reused = age.is_below(self.reuse_within) and not lacks_writes
        self.log.info(
            "%s backup %s of index %s: its age is %s, and reuse_within is %s.%s",
            "Reusing" if this_try.is_reused else "Not reusing",
            backup["backup_id"],
            self.index_name,
            "unknown, because it was created in the future" if age.seconds is None else show_seconds(age.seconds),
            timedelta(seconds=self.reuse_within),
            f" Because of settle, it must cover writes until {show_time(needed)}." if needed and lacks_writes else "",
        )
        return backup if this_try.is_reused else None

    def _must_cover(self, this_try: Try) -> datetime | None:
        """Return until when writes must be in a backup that ``reuse_within`` chooses; None if that does not matter."""
        if self.settle is None:
            return None
        # A task before this one may have written until now. Otherwise the load was over when the run started.
        if self.upstream_task_ids or this_try.run_started_at is None:
            return datetime.fromtimestamp(this_try.started_at, UTC)
        return this_try.run_started_at

    def _complete(self, this_try: Try, model: BackupModel) -> BackupModel:
        from airflow_pinecone.api.models import xcom_safe

        add_facts_to_events(this_try.context, self.outlets, model, self.log.warning)
        this_try.result = model
        return xcom_safe(model)
