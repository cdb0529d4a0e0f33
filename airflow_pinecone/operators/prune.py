"""The operator that deletes the backups of an index that no rule keeps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_pinecone import retention
from airflow_pinecone.errors import (
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    PineconeTransientError,
    PruneIncomplete,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.hooks import PineconeHook

# A refusal of the key or the account, which every further delete would meet, too.
_HOPELESS = {401, 402, 403}
# The hook asks again for up to a minute: with so many unanswered deletes in a row, Pinecone is down.
MAX_UNANSWERED = 5
# So many failures are told by the error; the log has all.
_TOLD = 10

# The hook is imported where it is used: the DAG processor pays for an import at every parse.


class PruneBackupsOperator(BaseOperator):
    """Delete the backups of a Pinecone index that no rule keeps.

    The rules are those of ``restic forget``, in UTC; a backup that any of them keeps is kept. At least one must be
    given; None and 0 are no rule. Whatever they say, these stay: the newest Ready backup; what is not Ready; what is
    younger than the decision; what is of an earlier index of this name (also of the one that a restore replaced);
    what this package did not make, unless ``owned_only`` is False. The whole plan is logged before the first delete.

    Args:
        index_name: The index whose backups are looked at (templated).
        keep_last: How many of the newest backups to keep.
        keep_daily: For how many days that have one to keep the newest backup.
        keep_weekly: The same for ISO weeks.
        keep_monthly: The same for months.
        keep_yearly: The same for years.
        keep_within: Keep every backup that is at most so much older than the newest, as a timedelta.
        dry_run: Whether to decide and tell, and delete nothing.
        owned_only: Whether only backups that this package made may go.
        remove_failed: Whether failed backups go; no rule keeps one.
        conn_id: The Airflow connection with the API key (templated).

    Raises:
        PineconeInputError: There is no rule, or one makes no sense. It is a ValueError: the DAG does not load, which is
            seen today and not on the night of the first prune.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_backup
    """

    template_fields: Sequence[str] = ("index_name", "conn_id")
    ui_color = "#ffe4d6"

    def __init__(
        self,
        *,
        index_name: str,
        keep_last: int | None = None,
        keep_daily: int | None = None,
        keep_weekly: int | None = None,
        keep_monthly: int | None = None,
        keep_yearly: int | None = None,
        keep_within: timedelta | None = None,
        dry_run: bool = False,
        owned_only: bool = True,
        remove_failed: bool = False,
        conn_id: str = "pinecone_default",
        **kwargs: Any,
    ) -> None:
        """Store the arguments, and refuse rules that make no sense."""
        super().__init__(**kwargs)
        self.index_name = index_name
        self.keep_last = keep_last
        self.keep_daily = keep_daily
        self.keep_weekly = keep_weekly
        self.keep_monthly = keep_monthly
        self.keep_yearly = keep_yearly
        self.keep_within = keep_within
        # BaseOperator has a method dry_run, which `airflow tasks test --dry-run` calls.
        self._dry_run = dry_run
        self.owned_only = owned_only
        self.remove_failed = remove_failed
        self.conn_id = conn_id
        self._rules.check()

    def execute(self, context: Context) -> dict[str, Any]:
        """Decide, log the plan, and delete.

        Args:
            context: The task's context.

        Returns:
            ``index_name``, ``dry_run``, and lists ``kept``, ``deleted`` and ``skipped`` of ``{backup_id, name,
            created_at, reasons}``. Skipped are backups that no rule keeps and that are still there: those that are
            being restored, and in a dry run all of them. One that was gone already counts as deleted.

        Raises:
            AirflowFailException: Pinecone refused the listing, or the key or account at a delete; or the index name or
                the connection is impossible; not retried.
            PruneIncomplete: Some backups could not be deleted; the others are. A retry deletes the rest.
            PineconeTransientError: The backups could not be listed; nothing was deleted.
        """
        from airflow_pinecone.hooks import PineconeHook

        now = datetime.fromtimestamp(time.time(), UTC)
        hook = PineconeHook(self.conn_id)
        try:
            # An index name that is templated to None must not list the whole project.
            backups = list(hook.list_backups(self.index_name or ""))
            plan = retention.plan(
                backups,
                self._rules,
                source_index_id=retention.current_index(backups),
                now=now,
                owned_only=self.owned_only,
                remove_failed=self.remove_failed,
            )
        except (PineconeInputError, PineconePermanentError) as error:
            raise AirflowFailException(str(error)) from error
        doing = "Would delete" if self._dry_run else "Deleting"
        count = f"{len(plan.deleted)} of {len(backups)} backups of index {self.index_name}"
        self.log.info("%s %s\n%s", doing, count, plan.table())
        deleted: list[dict[str, Any]] = []
        if self._dry_run:
            skipped = [_as_json(decision, "dry run") for decision in plan.deleted]
        else:
            deleted, skipped = self._delete(hook, plan.deleted)
        return {
            "index_name": self.index_name,
            "dry_run": self._dry_run,
            "kept": [_as_json(decision) for decision in plan.kept],
            "deleted": deleted,
            "skipped": skipped,
        }

    @property
    def _rules(self) -> retention.Rules:
        return retention.Rules(
            keep_last=self.keep_last,
            keep_daily=self.keep_daily,
            keep_weekly=self.keep_weekly,
            keep_monthly=self.keep_monthly,
            keep_yearly=self.keep_yearly,
            keep_within=self.keep_within,
        )

    def _delete(
        self, hook: PineconeHook, decisions: list[retention.Decision]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        deleted: list[dict[str, Any]] = []
        skipped: list[dict[str, Any]] = []
        failed: list[str] = []
        unanswered = 0
        for decision in decisions:
            backup_id = decision.backup["backup_id"]
            try:
                hook.delete_backup(backup_id)
            except PineconeError as error:
                status = error.status_code if isinstance(error, PineconePermanentError) else None
                unanswered = unanswered + 1 if isinstance(error, PineconeTransientError) else 0
                if status == 404:
                    deleted.append(_as_json(decision, "was gone already"))
                elif status == 412:
                    self.log.warning("Skipping backup %s, which is being restored: %s", backup_id, error)
                    skipped.append(_as_json(decision, "it is being restored"))
                elif status in _HOPELESS:
                    raise AirflowFailException(f"{error} {_so_far(deleted, decisions)}") from error
                else:
                    self.log.warning("%s", error)
                    failed.append(f"{backup_id}: {error}")
                if unanswered >= MAX_UNANSWERED:
                    failed.append(f"no delete was answered {unanswered} times in a row; the rest was not tried")
                    break
            else:
                unanswered = 0
                self.log.info("Deleted backup %s", backup_id)
                deleted.append(_as_json(decision))
        if failed:
            if len(failed) > _TOLD:
                failed[:-_TOLD] = [f"The log has {len(failed) - _TOLD} more"]
            raise PruneIncomplete(
                f"Not all of the backups of index {self.index_name} that were to go could be deleted. "
                f"{_so_far(deleted, decisions)} A retry decides anew and deletes the rest.\n" + "\n".join(failed)
            )
        return deleted, skipped


def _so_far(deleted: list[dict[str, Any]], decisions: list[retention.Decision]) -> str:
    return f"{len(deleted)} of {len(decisions)} are deleted."


def _as_json(decision: retention.Decision, *more: str) -> dict[str, Any]:
    backup = decision.backup
    return {
        "backup_id": backup["backup_id"],
        "name": backup.get("name"),
        "created_at": backup.get("created_at"),
        "reasons": [*decision.reasons, *more],
    }
