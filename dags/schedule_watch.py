"""Check the backup that a backup schedule has created on the day before, and update its asset.

It needs API version 2026-07: set `{"api_version": "2026-07"}` in the extra field of the connection.
"""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_pinecone.assets import backup_asset
from airflow_pinecone.operators import EnsureBackupScheduleOperator, VerifyBackupOperator
from airflow_pinecone.sensors import ScheduledBackupSensor

INDEX = "docs-example"

with DAG(
    "schedule_watch",
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["pinecone", "backup"],
    doc_md=__doc__,
):
    schedule = EnsureBackupScheduleOperator(
        task_id="schedule",
        index_name=INDEX,
        name="daily",
        frequency="daily",
        retention_days=30,
        retries=2,
    )
    ready = ScheduledBackupSensor(
        task_id="ready",
        schedule_id=schedule.output["schedule_id"],
        # The first backup of the day before. Pinecone chooses the time of the runs.
        since="{{ dag_run.run_after - macros.timedelta(days=1) }}",
        deferrable=True,
        # A new schedule has its first run after a day, and a backup takes time.
        timeout=timedelta(hours=30),
        retries=2,
    )
    # It updates the asset that starts other DAGs.
    verify = VerifyBackupOperator(
        task_id="verify",
        backup_id="{{ ti.xcom_pull('ready')['backup_id'] }}",
        max_shrink=0.5,
        outlets=[backup_asset(INDEX)],
        retries=2,
    )
    ready >> verify
