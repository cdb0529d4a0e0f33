"""Let Pinecone back up several indexes every day.

Each run creates the backup schedules that are missing, and changes those that differ. It needs API version 2026-07: set
`{"api_version": "2026-07"}` in the extra field of the connection.
"""

from airflow.sdk import DAG

from airflow_pinecone.operators import EnsureBackupScheduleOperator

INDEXES = ["docs-example"]

with DAG(
    "schedule_as_code",
    schedule="@daily",
    catchup=False,
    is_paused_upon_creation=True,
    tags=["pinecone", "backup"],
    doc_md=__doc__,
):
    EnsureBackupScheduleOperator.partial(
        task_id="schedule",
        name="daily",
        frequency="daily",
        retention_days=30,
        retries=2,
        map_index_template="{{ task.index_name }}",
    ).expand(index_name=INDEXES)
