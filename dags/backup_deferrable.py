"""Back up a Pinecone index in one task, which holds no worker slot while it waits, and tell it by an asset."""

import pendulum
from airflow.sdk import DAG

from airflow_pinecone.assets import backup_asset
from airflow_pinecone.operators import CreateBackupOperator

with DAG("backup_deferrable", schedule="@daily", start_date=pendulum.datetime(2025, 1, 1), catchup=False):
    CreateBackupOperator(
        task_id="backup",
        index_name="docs-example",
        description="Nightly backup",
        wait_for_completion=True,
        deferrable=True,
        retries=2,
        outlets=[backup_asset("docs-example")],
    )
