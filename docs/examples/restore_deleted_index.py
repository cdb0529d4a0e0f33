"""Restore a deleted index under its own name, from its newest Ready backup."""

from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, Param, task

from airflow_pinecone.operators import CreateIndexFromBackupOperator, VerifyBackupOperator

with DAG(
    "restore_deleted_index",
    schedule=None,
    params={"index": Param("", type="string", minLength=1, title="Name of the deleted index")},
):

    @task
    def newest(params: dict[str, Any]) -> str:
        """Return the id of the newest Ready backup, if the index was deleted."""
        from airflow_pinecone.hooks import PineconeHook

        hook, name = PineconeHook(), params["index"]
        if any(index["name"] == name for index in hook.list_indexes()):
            raise AirflowFailException(f"Index {name} exists. Restore into another name.")
        backup = hook.newest_ready_backup(name)
        if backup is None:
            raise AirflowFailException(f"Index {name} has no Ready backup")
        return backup["backup_id"]

    backup_id: Any = newest()
    verify = VerifyBackupOperator(task_id="verify", backup_id=backup_id, max_shrink=0.5)
    restore = CreateIndexFromBackupOperator(
        task_id="restore",
        backup_id=backup_id,
        index_name="{{ params.index }}",
        deletion_protection="enabled",
        deferrable=True,
        retries=2,
    )
    verify >> restore
