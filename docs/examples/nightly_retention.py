"""Back up an index every night, check the backup, then delete the backups that no rule keeps."""

from airflow.sdk import DAG

from airflow_pinecone.operators import CreateBackupOperator, PruneBackupsOperator, VerifyBackupOperator

with DAG(
    "nightly_retention",
    schedule="@daily",
    catchup=False,
    default_args={"retries": 2},
):
    backup = CreateBackupOperator(
        task_id="backup",
        index_name="docs-example",
        wait_for_completion=True,
        deferrable=True,
    )
    verify = VerifyBackupOperator(
        task_id="verify",
        backup_id=backup.output["backup_id"],
        max_shrink=0.2,
    )
    prune = PruneBackupsOperator(
        task_id="prune",
        index_name="docs-example",
        keep_last=2,
        keep_daily=5,
        keep_weekly=4,
        keep_monthly=3,
    )
    backup >> verify >> prune
