"""Back up an index before each of many reindexes, but at most every six hours."""

import datetime

from airflow.sdk import DAG, task

from airflow_pinecone.operators import CreateBackupOperator

with DAG("reuse_recent_backup", schedule="@hourly", catchup=False):
    backup = CreateBackupOperator(
        task_id="backup",
        index_name="docs-example",
        wait_for_completion=True,
        reuse_within=datetime.timedelta(hours=6),
        retries=2,
    )

    @task
    def reindex() -> None:
        """Write to the index."""

    backup >> reindex()
