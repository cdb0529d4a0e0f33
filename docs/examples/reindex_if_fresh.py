"""Reindex only if the index has a Ready backup that is younger than a day. Another team makes the backups."""

import datetime

from airflow.sdk import DAG, task

from airflow_pinecone.sensors import BackupFreshnessSensor

with DAG("reindex_if_fresh", schedule="@daily", catchup=False):
    fresh = BackupFreshnessSensor(
        task_id="fresh",
        index_name="docs-example",
        max_age=datetime.timedelta(days=1),
        timeout=datetime.timedelta(hours=2),
        mode="reschedule",
    )

    @task
    def reindex() -> None:
        """Write to the index."""

    fresh >> reindex()
