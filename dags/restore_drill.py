"""Prove that the newest backup can be restored: into a scratch index, which is deleted whatever happens.

``{"index": "my-index"}`` as the run's params drills the backups of another index.
"""

import logging
import uuid
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_pinecone.operators import CreateIndexFromBackupOperator

log = logging.getLogger(__name__)

with DAG(
    "restore_drill",
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1),
    params={"index": "docs-example"},
):

    @task(multiple_outputs=True)
    def choose(params: dict[str, Any]) -> dict[str, Any]:
        """Take the newest Ready backup, and a name for the scratch index."""
        from airflow_pinecone.hooks import PineconeHook
        from airflow_pinecone.models import newest_ready

        backup = newest_ready(PineconeHook().list_backups(params["index"]))
        if backup is None:
            raise ValueError(f"Index {params['index']} has no Ready backup to drill with")
        return {"backup": backup, "backup_id": backup["backup_id"], "scratch": f"drill-{uuid.uuid4().hex[:12]}"}

    @task
    def compare(backup: dict[str, Any], scratch: str) -> dict[str, Any]:
        """Hold the records of the scratch index against those of the backup."""
        from airflow_pinecone.hooks import PineconeHook

        restored = PineconeHook().describe_index_stats(scratch).get("totalVectorCount")
        if restored is None or restored != backup.get("record_count"):
            raise ValueError(f"The backup has {backup.get('record_count')} records, the restored index {restored}")
        log.info("All %d records of backup %s are back", restored, backup["backup_id"])
        return {"backup_id": backup["backup_id"], "records": restored}

    @task(retries=3)
    def delete_scratch(scratch: str) -> None:
        """Delete the scratch index, if there is one."""
        from airflow_pinecone.errors import PineconePermanentError
        from airflow_pinecone.hooks import PineconeHook

        try:
            PineconeHook().delete_index(scratch)
        except PineconePermanentError as error:
            if error.status_code != 404:
                raise

    chosen = choose()
    restore = CreateIndexFromBackupOperator(
        task_id="restore", backup_id=chosen["backup_id"], index_name=chosen["scratch"], retries=1
    )
    compared = compare(chosen["backup"], chosen["scratch"])
    # Its setup is the task that names the index: a restore that failed may have made one, too.
    restore >> compared >> delete_scratch(chosen["scratch"]).as_teardown(setups=chosen.operator.as_setup())
