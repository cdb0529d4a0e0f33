"""The operator that deletes old backups of an index, except those that a retention rule keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_pinecone.common.inputs import validate_bools, validate_text
from airflow_pinecone.common.text import explain
from airflow_pinecone.errors import (
    BackupInUse,
    ConnectionChanged,
    Forbidden,
    NotFound,
    PaymentRequired,
    PineconeError,
    PineconeTransientError,
    PruneIncomplete,
    Unauthorized,
)
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.operators.retained import COUNTS, MAX_CONSECUTIVE_FAILURES, RetentionTask, incomplete_prune
from airflow_pinecone.rules import retention
from airflow_pinecone.rules.history import BackupHistory
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.task import checked_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# The API key, the account or the connection is rejected, so every other delete would also fail.
_REJECTS_ALL = (Unauthorized, PaymentRequired, Forbidden, ConnectionChanged)


class _Deletions(NamedTuple):
    """The outcome: the deleted and skipped backups, as in XCom, and the messages of the failures."""

    deleted: list[dict[str, Any]]
    skipped: list[dict[str, Any]]
    failures: list[str]


class PruneBackupsOperator(RetentionTask, PineconeOperator):
    """Delete the backups of a Pinecone index that no retention rule keeps.

    The rules are those of ``restic forget``, in UTC. A backup that any rule keeps is kept. At least one rule is
    required; None and 0 mean no rule. Some backups are always kept: the newest Ready one; those whose status is not
    final; failed ones, unless ``remove_failed`` is True; those with a hold that has not ended; those that are created
    during the task or have no valid ``created_at``; those of a deleted index, such as an earlier one
    with the same name that a restore replaced, unless ``include_deleted_indexes`` is True; and, unless ``owned_only``
    is False, those that this package did not create. The plan is logged before the first delete. Unless
    ``include_deleted_indexes`` is True, the task checks before each delete that the index was not deleted or created
    again since.

    The counts and ``dry_run`` can be templates that render to an integer, and to ``true`` or ``false``. Before any
    request, the task fails without a retry if one of them renders to anything else, such as ``None``.

    Args:
        index_name: The index (templated).
        keep_last: Keep this many of the newest backups (templated).
        keep_daily: Keep the newest backup of each day, for this many of the most recent days that have one. If fewer
            days have one, keep the oldest backup, too (templated).
        keep_weekly: The same for ISO weeks (templated).
        keep_monthly: The same for months (templated).
        keep_yearly: The same for years (templated).
        keep_within: Keep every backup that is at most this much older than the newest one, as a timedelta of up to 365
            days.
        dry_run: Whether to log the plan and delete nothing (templated, as ``is_dry_run``).
        owned_only: Whether to delete only backups that this package created.
        remove_failed: Whether to delete failed backups. No rule keeps them.
        include_deleted_indexes: Whether to delete backups of deleted indexes with this name, too: if the index no
            longer exists, and those of earlier indexes. The rules apply to each ``source_index_id`` on its own, so the
            newest Ready backup of each index is kept.
        max_deletes: If the rules keep so few backups that more than this many would be deleted, the task fails before
            the first delete and is not retried; None is no limit (templated). A dry run only logs a warning.
        created_by_dag_id: Apply the rules to the backups of this DAG, and keep all others. The ids are read from the
            descriptions of the backups. A backup whose description has no room for them is kept.
        created_by_task_id: The same for the id of a task.
        conn_id: The Airflow connection with the API key (templated).

    Raises:
        PineconeInputError: There is no rule, or an argument is invalid. This is a ValueError: the DAG cannot be
            imported.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_backup
    """

    template_fields: Sequence[str] = ("index_name", *COUNTS, "is_dry_run", "conn_id")
    ui_color = "#ffe4d6"

    def __init__(
        self,
        *,
        index_name: str,
        keep_last: int | str | None = None,
        keep_daily: int | str | None = None,
        keep_weekly: int | str | None = None,
        keep_monthly: int | str | None = None,
        keep_yearly: int | str | None = None,
        keep_within: timedelta | None = None,
        dry_run: bool | str = False,
        owned_only: bool = True,
        remove_failed: bool = False,
        include_deleted_indexes: bool = False,
        max_deletes: int | str | None = None,
        created_by_dag_id: str | None = None,
        created_by_task_id: str | None = None,
        conn_id: str = "pinecone_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.index_name = index_name
        self.keep_last = keep_last
        self.keep_daily = keep_daily
        self.keep_weekly = keep_weekly
        self.keep_monthly = keep_monthly
        self.keep_yearly = keep_yearly
        self.keep_within = keep_within
        # BaseOperator has a dry_run method, which `airflow tasks test --dry-run` calls.
        self.is_dry_run = dry_run
        self.owned_only = owned_only
        self.remove_failed = remove_failed
        self.include_deleted_indexes = include_deleted_indexes
        self.max_deletes = max_deletes
        self.created_by_dag_id = created_by_dag_id
        self.created_by_task_id = created_by_task_id
        with checked_arguments():
            validate_bools(
                owned_only=owned_only, remove_failed=remove_failed, include_deleted_indexes=include_deleted_indexes
            )
            validate_text(created_by_dag_id, "created_by_dag_id")
            validate_text(created_by_task_id, "created_by_task_id")
            self._check_rules()

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan, log the plan, and delete.

        Args:
            context: The context of the task.

        Returns:
            ``index_name``, ``index_exists``, ``dry_run``, and the lists ``kept``, ``deleted`` and ``skipped`` of
            ``{backup_id, name, created_at, reasons}``. No rule keeps a skipped backup, but it was not deleted: a
            restore from it is running, or this is a dry run. A backup that no longer existed counts as deleted.

        Raises:
            AirflowFailException: Pinecone rejected the listing, the key or the account, the index name or the
                connection is invalid, or more than ``max_deletes`` backups would be deleted; not retried.
            PruneIncomplete: Some backups could not be deleted. A retry deletes the rest.
            PineconeTransientError: The backups could not be listed. Nothing was deleted.
        """
        from airflow_pinecone.reading import read_history

        now = self.clock.utcnow()
        with fail_without_retry():
            rules, max_deletes, dry_run = self._rendered_rules()
            history = read_history(
                self.hook.client, self.index_name, include_deleted_indexes=self.include_deleted_indexes
            )
            plan = retention.plan(
                history,
                rules,
                now=now,
                owned_only=self.owned_only,
                remove_failed=self.remove_failed,
                created_by_dag_id=self.created_by_dag_id,
                created_by_task_id=self.created_by_task_id,
                include_deleted_indexes=self.include_deleted_indexes,
            )
        if not history.index_exists:
            self.log.warning("Index %s no longer exists.", self.index_name)
        if retention.is_by_others(history, self.created_by_dag_id, self.created_by_task_id):
            self.log.warning(
                "No backup of index %s is deleted: none was created by DAG %s, task %s.\n"
                "The id of a task in a task group has the id of the group before it, such as group.task.",
                self.index_name,
                self.created_by_dag_id or "(any)",
                self.created_by_task_id or "(any)",
            )
        action = "Would delete" if dry_run else "Deleting"
        count = f"{len(plan.to_delete)} of {len(history.rows)} backups of index {self.index_name}"
        self.log.info("%s %s\n%s", action, count, plan.table())
        self._check_size(len(plan.to_delete), max_deletes, "backup", dry_run=dry_run)
        if dry_run:
            outcome = _Deletions([], [_as_json(decision, "dry run") for decision in plan.to_delete], [])
        else:
            outcome = self._delete(plan.to_delete, history)
        return {
            "index_name": self.index_name,
            "index_exists": history.index_exists,
            "dry_run": dry_run,
            "kept": [_as_json(decision) for decision in plan.kept],
            "deleted": outcome.deleted,
            "skipped": outcome.skipped,
        }

    def _delete(self, decisions: list[retention.Decision], history: BackupHistory) -> _Deletions:
        outcome = _Deletions([], [], [])
        consecutive = 0
        for decision in decisions:
            backup_id = decision.backup["backup_id"]
            try:
                if not self._is_same_index(history):
                    outcome.failures.append("Stopped: the index was deleted or created again since the plan.")
                    break
                self.hook.delete_backup(backup_id)
            except PineconeError as error:
                self._record_error(error, decision, outcome, self._progress(outcome, decisions))
                consecutive = consecutive + 1 if isinstance(error, PineconeTransientError) else 0
                if consecutive >= MAX_CONSECUTIVE_FAILURES:
                    outcome.failures.append(f"Stopped after {consecutive} consecutive failures.")
                    break
            else:
                consecutive = 0
                self.log.info("Deleted backup %s.", backup_id)
                outcome.deleted.append(_as_json(decision))
        if outcome.failures:
            raise PruneIncomplete(incomplete_prune(self._progress(outcome, decisions), outcome.failures))
        return outcome

    def _progress(self, outcome: _Deletions, decisions: list[retention.Decision]) -> str:
        return (
            f"Deleted {len(outcome.deleted)} of {len(decisions)} backups of index {self.index_name} that no rule keeps."
        )

    def _is_same_index(self, planned: BackupHistory) -> bool:
        """Return whether the name still belongs to the index of the plan. Backups of a deleted index are kept."""
        if self.include_deleted_indexes:
            # The rules apply to each index on its own, whether it exists or not.
            return True
        try:
            now = BackupHistory(self.hook.list_backups(self.index_name))
        except NotFound:
            return False
        return now.current_index_id == planned.current_index_id

    def _record_error(
        self, error: PineconeError, decision: retention.Decision, outcome: _Deletions, progress: str
    ) -> None:
        backup_id = decision.backup["backup_id"]
        if isinstance(error, NotFound):
            outcome.deleted.append(_as_json(decision, "no longer existed"))
        elif isinstance(error, BackupInUse):
            self.log.warning("Skipping backup %s: a restore from it is running (%s).", backup_id, error.reason)
            outcome.skipped.append(_as_json(decision, "a restore from it is running"))
        elif isinstance(error, _REJECTS_ALL):
            raise AirflowFailException(explain(progress, str(error))) from None
        else:
            self.log.warning("Backup %s was not deleted: %s.", backup_id, error.reason)
            outcome.failures.append(f"Backup {backup_id}: {error.reason}.")


def _as_json(decision: retention.Decision, *more: str) -> dict[str, Any]:
    backup = decision.backup
    return {
        "backup_id": backup["backup_id"],
        "name": backup.get("name"),
        "created_at": backup.get("created_at"),
        "reasons": [*decision.reasons, *more],
    }
