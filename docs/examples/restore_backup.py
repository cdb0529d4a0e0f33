"""Restore one backup into a new index. Enter the backup's id and the new name in the trigger form."""

from airflow.sdk import DAG, Param

from airflow_pinecone.operators import CreateIndexFromBackupOperator

with DAG(
    "restore_backup",
    schedule=None,
    params={
        "backup_id": Param("", type="string", minLength=1, title="Backup id"),
        "index": Param("", type="string", minLength=1, title="Name of the new index"),
    },
):
    CreateIndexFromBackupOperator(
        task_id="restore",
        backup_id="{{ params.backup_id }}",
        index_name="{{ params.index }}",
        deferrable=True,
        retries=2,
    )
