"""Check every hour that each index of the project has a fresh backup.

The DAG does not depend on the DAGs that create backups, so it also notices when they stop. If an index has no fresh
backup, the task fails and Airflow sends an email with the indexes. On Airflow 3.2 or later, it also sends one if the
audit itself does not finish in time.

Set RECIPIENT, add the connection `smtp_default`, whose extra has `from_email`, and unpause the DAG.
"""

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG

from airflow_pinecone.operators import AuditBackupsOperator
from airflow_pinecone.policy import Rules

RECIPIENT = "data-team@example.com"

# The first key that matches an index decides. Other indexes need a backup each day.
POLICY = {
    "tag:tier=gold": Rules(max_age=timedelta(hours=6), max_restore_age=timedelta(days=31), max_shrink=0.2),
    "scratch-*": Rules(max_age=timedelta(days=30)),
}

options: dict[str, Any] = {}
try:
    from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
except ImportError:  # Airflow before 3.2
    pass
else:
    options["deadline"] = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=30),
        callback=AsyncCallback(
            SmtpNotifier,
            {
                "to": RECIPIENT,
                "subject": "The audit of the Pinecone backups did not finish in time",
                "html_content": "Run {{ dag_run.run_id }} did not finish within 30 minutes.",
            },
        ),
    )

with DAG(
    "backup_audit",
    schedule="@hourly",
    start_date=pendulum.datetime(2025, 1, 1),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["pinecone", "monitoring"],
    doc_md=__doc__,
    **options,
):
    AuditBackupsOperator(
        task_id="audit",
        max_age=timedelta(days=1),
        max_shrink=0.5,
        policy=POLICY,
        exclude="drill-*",  # the scratch indexes of restore_drill
        fail_on=["unprotected", "late", "failing", "unproved"],
        # A failed audit is not retried; only a failed request is.
        retries=2,
        retry_delay=timedelta(minutes=1),
        on_failure_callback=SmtpNotifier(
            to=RECIPIENT,
            subject="Pinecone indexes without a fresh backup",
            html_content="<pre>{{ exception | e }}</pre>",
        ),
    )
