"""Back up, reindex, check; when that goes wrong, a person decides whether the backup is restored beside the index.

Needs Airflow 3.1 for the approval. The approval waits in the UI, under 'Required Actions'. Put your own work into
``reindex``; as it stands it changes nothing in Pinecone.
"""

import logging
from typing import Any

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, task

from airflow_pinecone.operators import CreateBackupOperator, CreateIndexFromBackupOperator

log = logging.getLogger(__name__)

with DAG(
    "reindex_with_rollback",
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1),
    params={"index": "docs-example"},
):
    backup = CreateBackupOperator(
        task_id="backup", index_name="{{ params.index }}", wait_for_completion=True, retries=2
    )

    @task
    def reindex(backup: dict[str, Any]) -> None:
        """Write to the index."""
        log.info("Reindexing %s; the way back is %s", backup["source_index_name"], backup["backup_id"])

    @task
    def check(backup: dict[str, Any]) -> int:
        """Fail when the index has lost a tenth of its records or more."""
        from airflow_pinecone.hooks import PineconeHook

        before = backup.get("record_count") or 0
        after = PineconeHook().describe_index_stats(backup["source_index_name"])["totalVectorCount"]
        if after < 0.9 * before:
            raise ValueError(f"The index has {after} records, and had {before} before the reindex")
        return int(after)

    @task.short_circuit(trigger_rule="one_failed")
    def can_roll_back(ti: Any = None) -> bool:
        """Go on when the reindex or the check failed, and there is a backup from before."""
        return ti.xcom_pull(task_ids="backup") is not None

    approve = ApprovalOperator(
        task_id="approve",
        subject="The reindex of {{ params.index }} failed. Restore the backup beside it?",
        body="Backup {{ ti.xcom_pull(task_ids='backup', key='backup_id') }} becomes a new index; the broken one stays.",
    )
    restore = CreateIndexFromBackupOperator(
        task_id="restore",
        backup_id=backup.output["backup_id"],
        # An index name has 45 characters at most.
        index_name="{{ params.index[:31] }}-back-{{ ti.xcom_pull(task_ids='backup', key='backup_id')[:8] }}",
        retries=2,
    )
    # The run is red after a failed check, also when the rollback went well.
    done = EmptyOperator(task_id="done")

    reindexed, checked = reindex(backup.output), check(backup.output)
    reindexed >> checked >> done
    [reindexed, checked] >> can_roll_back() >> approve >> restore
