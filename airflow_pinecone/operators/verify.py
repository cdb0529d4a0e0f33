"""The operator that checks a backup before something relies on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_pinecone import verification
from airflow_pinecone.errors import BackupCheckFailed, PineconeError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.hooks import PineconeHook
    from airflow_pinecone.models import BackupModel

# The hook is imported where it is used: the DAG processor pays for an import at every parse.


class Verified(TypedDict):
    """What VerifyBackupOperator returns, as JSON types."""

    backup_id: str
    status: str
    record_count: int | None
    compared_to: verification.Counterpart | None
    findings: list[str]


class VerifyBackupOperator(BaseOperator):
    """Fail when a backup is not Ready, is empty, or is much smaller than it should be; delete nothing.

    Put between a backup and a prune, it keeps the last good backup from being replaced by one of an emptied index. A
    count that is missing is not taken for 0: the check says which one is missing, and fails if a rule needs it.

    A backup that fails the check stays in Pinecone, and is what the next one is compared with: delete it, or give
    ``min_records`` too.

    Args:
        backup_id: The backup's id (templated), such as ``backup.output["backup_id"]``.
        min_records: The fewest records it may have. None: one, as a backup without any is empty; 0 lets an empty one
            pass.
        max_shrink: The share, from 0 to 1, by which it may have fewer records than what it is compared with: 0.2 lets
            80 of 100 pass. None compares with nothing.
        compare_to: ``previous``, the newest earlier Ready backup of the same source index (where there is none, the
            check passes and says so); or ``index``, the records that the index of this name has now, of which the
            newest may not be in the backup.
        conn_id: The Airflow connection with the API key (templated).

    Raises:
        ValueError: A rule makes no sense.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_backup
    and https://docs.pinecone.io/reference/api/2025-10/data-plane/describeindexstats
    """

    template_fields: Sequence[str] = ("backup_id", "conn_id")
    ui_color = "#d6ffe1"

    def __init__(
        self,
        *,
        backup_id: str,
        min_records: int | None = None,
        max_shrink: float | None = None,
        compare_to: Literal["previous", "index"] = "previous",
        conn_id: str = "pinecone_default",
        **kwargs: Any,
    ) -> None:
        """Store the arguments."""
        super().__init__(**kwargs)
        if min_records is not None and (not _is(min_records, int) or min_records < 0):
            raise ValueError(f"min_records must be a whole number, 0 or above, not {min_records!r}")
        if max_shrink is not None and (not _is(max_shrink, int | float) or not 0 <= max_shrink <= 1):
            raise ValueError(f"max_shrink must be a share from 0 to 1, such as 0.2, not {max_shrink!r}")
        if compare_to not in ("previous", "index"):
            raise ValueError(f"compare_to must be 'previous' or 'index', not {compare_to!r}")
        self.backup_id = backup_id
        self.min_records = min_records
        self.max_shrink = max_shrink
        self.compare_to = compare_to
        self.conn_id = conn_id

    def execute(self, context: Context) -> Verified:
        """Check the backup.

        Args:
            context: The task's context.

        Returns:
            The figures that passed: ``backup_id``, ``status``, ``record_count``, ``compared_to`` (``kind``, ``id``,
            ``record_count``, ``created_at``; None where nothing was compared) and ``findings``, which is empty.

        Raises:
            AirflowFailException: The backup did not pass, or Pinecone refused; not retried.
            PineconeTransientError: No good answer came; a retry may help.
        """
        from airflow_pinecone.hooks import PineconeHook

        try:
            return self._check(PineconeHook(self.conn_id))
        except PineconeError as error:
            if error.can_retry:
                raise
            raise AirflowFailException(str(error)) from error

    def _check(self, hook: PineconeHook) -> Verified:
        rules = verification.Rules(self.min_records, self.max_shrink)
        backup = hook.describe_backup(self.backup_id)
        # Without the rule, or before the backup is Ready, no answer could change the end.
        counterpart = None
        if self.max_shrink is not None and not verification.check(backup, None, verification.Rules(min_records=0)):
            counterpart = self._counterpart(hook, backup)
        of = f"backup {self.backup_id} of index {backup.get('source_index_name')}"
        findings = verification.check(backup, counterpart, rules)
        if findings:
            raise BackupCheckFailed(f"The check of {of} failed: {'; '.join(findings)}. Nothing was deleted")
        count = backup.get("record_count")
        known = "its record_count is missing, and no rule needs it" if count is None else f"record_count {count}"
        self.log.info("The check of %s passed: %s, %s", of, known, self._compared(counterpart))
        return Verified(
            backup_id=backup["backup_id"],
            status=backup["status"],
            record_count=count,
            compared_to=counterpart,
            findings=findings,
        )

    def _counterpart(self, hook: PineconeHook, backup: BackupModel) -> verification.Counterpart | None:
        index_name = backup.get("source_index_name")
        if not index_name:
            raise BackupCheckFailed(f"Backup {self.backup_id} cannot be compared: its source_index_name is missing")
        if self.compare_to == "index":
            return verification.index_now(index_name, hook.describe_index_stats(index_name))
        return verification.previous(backup, hook.list_backups(index_name))

    def _compared(self, counterpart: verification.Counterpart | None) -> str:
        if counterpart is not None:
            return f"compared with {counterpart['kind']} {counterpart['id']}: {counterpart['record_count']}"
        if self.max_shrink is None:
            return "compared with nothing, as max_shrink is not given"
        return "compared with nothing, as there is no earlier Ready backup of the same index"


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
