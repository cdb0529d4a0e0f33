"""The operator that checks a backup before other tasks rely on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from airflow_pinecone.api.models import is_ready
from airflow_pinecone.assets import add_facts_to_events
from airflow_pinecone.common.text import explain, one_line, show_value
from airflow_pinecone.errors import BackupCheckFailed
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.policy import CheckRules
from airflow_pinecone.rules.check import Baseline, backup_baseline, check_backup, index_baseline
from airflow_pinecone.runtime.failures import InvalidArgument, fail_without_retry
from airflow_pinecone.runtime.links import LINKS, push_links
from airflow_pinecone.runtime.task import checked_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.api.models import BackupModel


class VerifiedBackup(TypedDict):
    """The result of VerifyBackupOperator, as JSON types."""

    backup_id: str
    status: str
    record_count: int | None
    compared_to: Baseline | None


class VerifyBackupOperator(PineconeOperator):
    """Fail if a backup is not Ready, is empty, or is much smaller than expected. Nothing is deleted.

    Between a backup and a prune, this task prevents a backup of an emptied index from replacing the last good one. A
    missing record count is not treated as 0: the check fails if a rule needs it, and the message says so.

    If the backup passes, the task updates the assets in ``outlets``, as CreateBackupOperator does. So DAGs that they
    schedule only start after a check. While it runs, the index of the backup is in its attribute ``index_name``, for a
    ``map_index_template``.

    A backup that fails the check is kept in Pinecone, and the next one is compared with it. To avoid that, delete it,
    or also set ``min_records``.

    Args:
        backup_id: The id of the backup (templated), such as ``backup.output["backup_id"]``.
        min_records: The minimum number of records. None requires one record; 0 accepts an empty backup.
        max_shrink: The share of the baseline's records, from 0 to 1, that may be missing: 0.2 accepts 80 of 100
            records. None compares with nothing.
        compare_to: The baseline. ``previous`` is the newest earlier Ready backup of the same source index or, if there
            is none, of an earlier index with the same name. If there is none of those either, nothing is compared.
            ``index`` is the number of records that the index has now; the backup may lack the most recent ones.
        conn_id: The Airflow connection with the API key (templated).

    Raises:
        PineconeInputError: A rule is invalid. This is a ValueError: the DAG cannot be imported.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_backup
    and https://docs.pinecone.io/reference/api/2025-10/data-plane/describeindexstats
    """

    template_fields: Sequence[str] = ("backup_id", "conn_id")
    ui_color = "#d6ffe1"
    fills_events = True
    operator_extra_links = LINKS

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
        super().__init__(conn_id=conn_id, **kwargs)
        if compare_to not in ("previous", "index"):
            raise InvalidArgument(f"compare_to must be 'previous' or 'index', not {show_value(compare_to)}.")
        self.backup_id = backup_id
        self.min_records = min_records
        self.max_shrink = max_shrink
        self.compare_to = compare_to
        self.index_name = ""
        with checked_arguments():
            self._rules.validate()

    def execute(self, context: Context) -> VerifiedBackup:
        """Check the backup.

        Args:
            context: The context of the task.

        Returns:
            ``backup_id``, ``status``, ``record_count`` and ``compared_to`` (``kind``, ``id``, ``record_count`` and
            ``created_at``; None if nothing was compared).

        Raises:
            AirflowFailException: The backup did not pass, Pinecone rejected a request, or the id or the connection is
                invalid; not retried.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        push_links(context, self.backup_id, self)
        with fail_without_retry():
            return self._check(context)

    @property
    def _rules(self) -> CheckRules:
        return CheckRules(self.min_records, self.max_shrink)

    def _check(self, context: Context) -> VerifiedBackup:
        backup = self.hook.describe_backup(self.backup_id)
        self.index_name = one_line(backup.get("source_index_name"))
        # Without the rule, or before the backup is Ready, the baseline does not affect the outcome.
        baseline = self._baseline(backup) if self.max_shrink is not None and is_ready(backup) else None
        index_name = backup.get("source_index_name")
        name = f"backup {self.backup_id}{f' of index {index_name}' if index_name else ''}"
        findings = check_backup(backup, baseline, self._rules)
        if findings:
            advice = "Nothing was deleted. If the backup is as it should be, mark the task as success."
            raise BackupCheckFailed(explain(f"The check of {name} failed.", "; ".join(findings), advice))
        count = backup.get("record_count")
        known = "missing, and no rule needs it" if count is None else one_line(count)
        self.log.info("The check of %s passed: its record_count is %s, %s.", name, known, self._compared(baseline))
        add_facts_to_events(context, self.outlets, backup, self.log.warning)
        return VerifiedBackup(
            backup_id=backup["backup_id"],
            status=backup["status"],
            record_count=count,
            compared_to=baseline,
        )

    def _baseline(self, backup: BackupModel) -> Baseline | None:
        index_name = backup.get("source_index_name")
        if not index_name:
            raise BackupCheckFailed(f"Backup {self.backup_id} cannot be compared: its source_index_name is missing.")
        if self.compare_to == "index":
            return index_baseline(index_name, self.hook.describe_index_stats(index_name))
        from airflow_pinecone.reading import read_history

        client = self.hook.client
        previous = read_history(client, index_name).previous(backup)
        if previous is None:
            # Only the backups of the whole project include those of earlier indexes.
            previous = read_history(client, index_name, include_deleted_indexes=True).previous(backup)
        return None if previous is None else backup_baseline(previous)

    def _compared(self, baseline: Baseline | None) -> str:
        if baseline is not None:
            return (
                f"compared with {baseline['kind']} {baseline['id']}, whose record count is {baseline['record_count']}"
            )
        if self.max_shrink is None:
            return "not compared, because max_shrink is not set"
        return "not compared, because there is no earlier Ready backup of an index with this name"
