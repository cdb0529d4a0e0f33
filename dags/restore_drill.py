"""Check that the newest Ready backup of an index can be restored.

The DAG restores the backup into a scratch index, compares the record counts, and deletes the scratch index again,
whether the comparison succeeds or fails.
"""

import logging
import uuid
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_pinecone.operators import CreateIndexFromBackupOperator

log = logging.getLogger(__name__)

with DAG(
    "restore_drill",
    schedule=None,
    params={
        "index": Param("docs-example", type="string", title="Index", description="The index whose backup to restore."),
    },
    tags=["pinecone", "restore"],
    doc_md=__doc__,
):

    @task(multiple_outputs=True)
    def choose(params: dict[str, Any]) -> dict[str, Any]:
        """Choose the newest Ready backup and a name for the scratch index."""
        from airflow_pinecone.hooks import PineconeHook

        # This also finds the backups of an index that was deleted.
        backup = PineconeHook().newest_ready_backup(params["index"])
        if backup is None:
            raise ValueError(f"Index {params['index']} has no Ready backup to restore")
        return {"backup": backup, "backup_id": backup["backup_id"], "scratch": f"drill-{uuid.uuid4().hex[:12]}"}

    @task
    def compare(backup: dict[str, Any], scratch: str) -> dict[str, Any]:
        """Compare the record count of the scratch index with that of the backup."""
        from airflow_pinecone.hooks import PineconeHook

        restored = PineconeHook().describe_index_stats(scratch).get("totalVectorCount")
        # A missing number is unknown, and a restore of 0 records proves nothing.
        if not restored or restored != backup.get("record_count"):
            raise ValueError(f"The backup has {backup.get('record_count')} records, the restored index has {restored}")
        log.info("The restored index has all %d records of backup %s", restored, backup["backup_id"])
        return {"backup_id": backup["backup_id"], "records": restored}

    @task(retries=3)
    def delete_scratch(scratch: str) -> None:
        """Delete the scratch index if it exists."""
        from airflow_pinecone.errors import NotFound
        from airflow_pinecone.hooks import PineconeHook

        try:
            PineconeHook().delete_index(scratch)
        except NotFound:
            log.info("Index %s does not exist", scratch)

    chosen = choose()
    restore = CreateIndexFromBackupOperator(
        task_id="restore", backup_id=chosen["backup_id"], index_name=chosen["scratch"], retries=1
    )
    compared = compare(chosen["backup"], chosen["scratch"])
    # The setup is `choose` and not `restore`, because a failed restore may have created the index, too.
    restore >> compared >> delete_scratch(chosen["scratch"]).as_teardown(setups=chosen.operator.as_setup())
