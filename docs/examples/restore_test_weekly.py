"""Test a random one of the last ten backups every week, of an index that is written to all the time."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_pinecone.restore_test import restore_test

with DAG("restore_test_weekly", schedule="@weekly", catchup=False):
    restore_test(
        "docs-example",
        choose="random",
        max_missing=0.05,
        max_changed=0.01,
        max_restore_time=timedelta(hours=4),
        max_read_units=500_000,
        deferrable=True,
        retries=2,
    )
