"""Back up a Pinecone index every night, and verify the backup.

The backup uses no worker slot while it waits. The check updates an asset, which can start other DAGs: they only start
after a backup that is Ready, not empty, and not much smaller than the previous one.
"""

from airflow.sdk import DAG

from airflow_pinecone.assets import backup_asset
from airflow_pinecone.operators import CreateBackupOperator, VerifyBackupOperator

with DAG(
    "backup_deferrable",
    schedule="@daily",
    catchup=False,
    tags=["pinecone", "backup"],
    doc_md=__doc__,
):
    backup = CreateBackupOperator(
        task_id="backup",
        index_name="docs-example",
        description="Nightly backup",
        wait_for_completion=True,
        deferrable=True,
        retries=2,
    )
    verify = VerifyBackupOperator(
        task_id="verify",
        backup_id=backup.output["backup_id"],
        max_shrink=0.5,
        retries=2,
        outlets=[backup_asset("docs-example")],
    )
    backup >> verify
