"""Back up an index every night, and send an email if the backup fails or is not Ready after two hours."""

from datetime import timedelta

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference

from airflow_pinecone.operators import CreateBackupOperator

RECIPIENT = "data-team@example.com"

with DAG(
    "backup_with_alert",
    schedule="@daily",
    catchup=False,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=2),
        callback=AsyncCallback(
            SmtpNotifier,
            {
                "to": RECIPIENT,
                "subject": "The backup of docs-example is not Ready after two hours",
                "html_content": "Run {{ dag_run.dag_run_id }} of {{ dag_run.dag_id }} did not finish in time.",
            },
        ),
    ),
):
    CreateBackupOperator(
        task_id="backup",
        index_name="docs-example",
        wait_for_completion=True,
        deferrable=True,
        retries=2,
        # Airflow calls it when no retry is left.
        on_failure_callback=SmtpNotifier(
            to=RECIPIENT,
            subject="The backup of docs-example failed",
            html_content="<pre>{{ exception | e }}</pre><p><a href='{{ ti.log_url }}'>Log</a></p>",
        ),
    )
