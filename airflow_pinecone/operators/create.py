"""The operator that backs up an index."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import AirflowFailException, conf

from airflow_pinecone import assets, identity, polling
from airflow_pinecone.errors import (
    CreateAnswerLost,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
)
from airflow_pinecone.models import created_at, newest_ready
from airflow_pinecone.operators.waiting import WaitingOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.hooks import PineconeHook
    from airflow_pinecone.models import BackupModel

# The hook is imported where it is used: the DAG processor pays for an import at every parse.


class CreateBackupOperator(WaitingOperator):
    """Back up a Pinecone index; wait until the backup is Ready, if asked to.

    One task makes one backup. A retry takes up the backup that an earlier try made, even if that try died or lost
    Pinecone's answer; a cleared task makes a new one, and so does a retry after a failed backup. Pushes the
    backup's id to XCom under ``backup_id`` as soon as it is known, and fills the event of each Asset among its
    ``outlets`` with the backup's facts: ``backup_id``, ``name``, ``status``, counts, size and more.

    Args:
        index_name: The index to back up (templated).
        name: The backup's name (templated), sent as it is; None makes one of the index's name and the time.
        description: Words for the backup's description (templated); where the backup comes from is added.
        conn_id: The Airflow connection with the API key (templated).
        wait_for_completion: Whether to wait until the backup is Ready.
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        poke_interval: Seconds between two polls, or a timedelta; None lets the pause grow with the wait, from 5 to
            60 seconds.
        timeout: Seconds that the wait may last, or a timedelta; 6 hours by default. An ``execution_timeout`` that
            is shorter counts, also while the task is deferred.
        reuse_within: An age, as a timedelta or seconds; None makes a backup always. A Ready backup of this index that
            is younger, whoever made it, is returned instead of making one; so it is for a cleared task. Where the
            index was deleted and its name used again, the earlier index's backups count until the new one has its
            first.
        delete_on_kill: Whether to delete the backup when the task is marked failed while it waits, if the backup is
            not finished by then; in the worker and, from Airflow 3.3 on, in the triggerer. Nothing else that ends a
            try deletes it: no retry, clear, time-out, evicted worker or restart of the triggerer.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_backup
    """

    template_fields: Sequence[str] = ("index_name", "name", "description", "conn_id")
    ui_color = "#d6e8ff"
    kind = "backup"
    xcom_key = "backup_id"

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
        timeout: float | timedelta = polling.DEFAULT_TIMEOUT,
        reuse_within: float | timedelta | None = None,
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
        self.reuse_within = None if reuse_within is None else polling.seconds(reuse_within, "reuse_within")
        self.delete_on_kill = delete_on_kill
        self._failed: list[BackupModel] = []

    def execute(self, context: Context) -> BackupModel:
        """Create the backup, or take up one that is there, and wait if asked to.

        Args:
            context: The task's context.

        Returns:
            The backup as Pinecone described it last; after a wait, its status is Ready.

        Raises:
            AirflowFailException: Pinecone refused, or a name or the connection is impossible; not retried.
            CreateAnswerLost: A backup may have been made, and was not found.
            BackupFailed: The backup ended in a failed status.
            BackupVanished: Pinecone no longer knows the backup.
            WaitTimeout: The backup was not Ready in time; it goes on in Pinecone, and a retry waits on for it.
            PineconeTransientError: Pinecone surely made no backup; asking again may help.
            PineconeUnreachable: Too many polls in a row got no good answer.
        """
        from airflow_pinecone.hooks import PineconeHook

        started = time.time()
        hook = PineconeHook(self.conn_id)
        try:
            backup = self._create_or_take_up(hook, context)
        except (PineconeInputError, PineconePermanentError) as error:
            raise AirflowFailException(str(error)) from error
        backup_id = backup["backup_id"]
        self._began(context, backup_id)
        self.log.info("Backup %s of index %s is %s", backup_id, self.index_name, backup["status"])
        if not self.wait_for_completion:
            return self._done(context, backup)
        return cast("BackupModel", self._wait_for(context, hook, backup_id, started=started, first=backup))

    def _create_or_take_up(self, hook: PineconeHook, context: Context) -> BackupModel:
        made_by = identity.origin(context, self.retries)
        if context["ti"].try_number > made_by.first_try:
            self.log.info("This is a retry: looking for the backup of an earlier try, %s", made_by.mark)
            found = polling.look_for(partial(self._find, hook, made_by), self.log.warning)
            if found is not None:
                return found
        if self.reuse_within is not None:
            reused = self._reusable(hook, self.reuse_within)
            if reused is not None:
                return reused
        name = identity.default_name(self.index_name, datetime.now(UTC)) if self.name is None else self.name
        description = identity.describe(self.description, made_by)
        try:
            return hook.create_backup(self.index_name, name=name, description=description)
        except CreateAnswerLost as error:
            self.log.warning("%s Looking for the backup, %s", error, made_by.mark)
            lost = error
        try:
            found = polling.look_for(partial(self._find, hook, made_by), self.log.warning)
        except PineconeError as error:
            found, lost = None, CreateAnswerLost(f"{lost} Nor could it be looked for: {error}")
        if found is None:
            raise CreateAnswerLost(
                f"{lost} No such backup was found. It may still appear: its description ends with {made_by.mark}. "
                "A retry by Airflow takes it up; clearing the task makes another"
            )
        return found

    def _find(self, hook: PineconeHook, made_by: identity.Origin) -> BackupModel | None:
        # An index name that is templated to None must not list the whole project.
        found, failed = identity.find(hook.list_backups(self.index_name or "", retry=False), made_by)
        if found is not None:
            self.log.info("Taking up backup %s, which this task made: %s", found["backup_id"], found["status"])
        elif failed != self._failed:
            # Once, and not at each look.
            self.log.info("Not taking up failed backups of this task: %s", [b["backup_id"] for b in failed])
            self._failed = failed
        return found

    def _reusable(self, hook: PineconeHook, max_age: float) -> BackupModel | None:
        backup = newest_ready(hook.list_backups(self.index_name or ""))
        made = backup and created_at(backup)
        if backup is None or made is None:
            self.log.info("Index %s has no Ready backup to reuse", self.index_name)
            return None
        age = timedelta(seconds=round(time.time() - made.timestamp()))
        if time.time() - made.timestamp() >= max_age:
            self.log.info("Not reusing backup %s of index %s: its age is %s", backup["backup_id"], self.index_name, age)
            return None
        self.log.info(
            "Reusing backup %s of index %s, and making none: its age is %s, and reuse_within allows %s",
            backup["backup_id"],
            self.index_name,
            age,
            timedelta(seconds=max_age),
        )
        return backup

    def _done(self, context: Context, model: BackupModel) -> BackupModel:
        """Tell the backup by the assets among the outlets; what does not wait tells what is known by then."""
        assets.fill_events(context, self.outlets, model)
        return model
