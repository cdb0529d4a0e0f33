"""Back up a Pinecone index every night. The run succeeds when the backup is Ready."""

from airflow.sdk import DAG

from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.sensors import BackupSensor

with DAG(
    "backup_index",
    schedule="@daily",
    catchup=False,
    tags=["pinecone", "backup"],
    doc_md=__doc__,
):
    backup = CreateBackupOperator(task_id="backup", index_name="docs-example", retries=2)
    ready = BackupSensor(task_id="ready", backup_id=backup.output["backup_id"], retries=2)
    backup >> ready
