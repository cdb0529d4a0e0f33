"""Back up an index, verify the backup, reindex, and check the result.

If the reindex or the check fails, a person decides whether to restore the backup. The restore creates a new index and
does not change the broken one. The approval is in the UI, under Required Actions. It needs Airflow 3.1 or later.
Replace `reindex` with your own code: here it changes nothing in Pinecone.
"""

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, task

from airflow_pinecone.operators import CreateBackupOperator, CreateIndexFromBackupOperator, VerifyBackupOperator

log = logging.getLogger(__name__)

with DAG(
    "reindex_with_rollback",
    schedule=None,
    params={
        "index": Param("docs-example", type="string", title="Index", description="The index to back up and reindex."),
    },
    tags=["pinecone", "backup", "reindex", "restore"],
    doc_md=__doc__,
):
    backup = CreateBackupOperator(
        task_id="backup",
        index_name="{{ params.index }}",
        wait_for_completion=True,
        # A prune keeps the backup while a person decides.
        hold_until=timedelta(days=7),
        retries=2,
    )

    # Without a good backup, nothing is reindexed.
    verify = VerifyBackupOperator(task_id="verify", backup_id=backup.output["backup_id"], max_shrink=0.5, retries=2)

    @task
    def reindex(backup: dict[str, Any]) -> None:
        """Write to the index."""
        log.info("Reindexing %s. To roll back, restore %s", backup["source_index_name"], backup["backup_id"])

    @task
    def check(backup: dict[str, Any]) -> int:
        """Fail when the index has lost more than a tenth of its records."""
        from airflow_pinecone.hooks import PineconeHook

        before = backup.get("record_count")
        after = PineconeHook().describe_index_stats(backup["source_index_name"]).get("totalVectorCount")
        # A missing number is unknown, and compared with 0 records, no index has lost any.
        if not before or after is None or after < 0.9 * before:
            raise ValueError(f"The index has {after} records. It had {before} before the reindex")
        return int(after)

    @task.short_circuit(trigger_rule="one_failed")
    def can_roll_back(ti: Any = None) -> bool:
        """Continue only if the reindex or the check failed. Without a verified backup, neither has run."""
        return ti.xcom_pull(task_ids="verify") is not None

    approve = ApprovalOperator(
        task_id="approve",
        subject="The reindex of {{ params.index }} failed. Restore the backup to a new index?",
        body="Backup {{ ti.xcom_pull(task_ids='backup', key='backup_id') }} becomes a new index. "
        "The broken index is not changed.",
    )
    restore = CreateIndexFromBackupOperator(
        task_id="restore",
        backup_id=backup.output["backup_id"],
        # The name of an index has at most 45 characters.
        index_name="{{ params.index[:31] }}-back-{{ ti.xcom_pull(task_ids='backup', key='backup_id')[:8] }}",
        retries=2,
    )
    # Fails the run after a failed check, even if the rollback succeeds.
    done = EmptyOperator(task_id="done")

    reindexed, checked = reindex(backup.output), check(backup.output)
    verify >> reindexed >> checked >> done
    [reindexed, checked] >> can_roll_back() >> approve >> restore
