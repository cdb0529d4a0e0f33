"""Load records into an index, and back them up."""

import datetime

from airflow.sdk import DAG, task

from airflow_pinecone.operators import CreateBackupOperator

with DAG("backup_after_load", schedule="@daily", catchup=False):

    @task
    def load() -> None:
        """Write to the index."""

    backup = CreateBackupOperator(
        task_id="backup",
        index_name="docs-example",
        wait_for_completion=True,
        settle=datetime.timedelta(minutes=15),
        deferrable=True,
        retries=2,
    )

    load() >> backup
