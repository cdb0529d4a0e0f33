"""Back up a Pinecone index every night in one task.

The task uses no worker slot while it waits. When the backup is Ready, it updates an asset, which can start other DAGs.
"""

import pendulum
from airflow.sdk import DAG

from airflow_pinecone.assets import backup_asset
from airflow_pinecone.operators import CreateBackupOperator

with DAG(
    "backup_deferrable",
    schedule="@daily",
    start_date=pendulum.datetime(2025, 1, 1),
    catchup=False,
    tags=["pinecone", "backup"],
    doc_md=__doc__,
):
    CreateBackupOperator(
        task_id="backup",
        index_name="docs-example",
        description="Nightly backup",
        wait_for_completion=True,
        deferrable=True,
        retries=2,
        outlets=[backup_asset("docs-example")],
    )
