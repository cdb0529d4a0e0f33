"""Check every hour that each index of the project has a fresh backup.

The DAG does not depend on the DAGs that create backups, so it also notices when they stop. If an index has no fresh
backup, the task fails and Airflow sends an email with the indexes. On Airflow 3.2 or later, it also sends one if the
audit itself does not finish in time.

Set RECIPIENT, add the connection `smtp_default`, whose extra has `from_email`, and unpause the DAG.
"""

from datetime import timedelta
from typing import Any

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG
from backup_policy import MAX_AGE, POLICY

from airflow_pinecone.operators import AuditBackupsOperator

RECIPIENT = "data-team@example.com"
# The folder to which the restore tests write their records (report_to), such as s3://aws_default@bucket/restore-tests.
# Then an index needs a passed restore test, instead of a restore.
RESTORE_TESTS = None
# The destination of the copies outside of Pinecone (export_backup), such as s3://aws_default@vault/pinecone. Then an
# index needs a copy whose backup is younger than MAX_COPY_AGE.
COPIES = None
MAX_COPY_AGE = timedelta(days=9)
# The host of Airflow's URL, [api] base_url, tells production from staging. Other errors than a failed audit, such as a
# rejected API key, have no headline and no page_url.
SUBJECT = (
    "[{{ ti.log_url.split('/')[2:3] | join }}] "
    "{{ exception.headline | default('The audit of the Pinecone backups failed') }}"
)
BODY = """
<pre>{{ exception | e }}</pre>
<p>{% if exception.page_url | default('') %}<a href="{{ exception.page_url }}">Backups of the index</a> | {% endif %}
<a href="{{ ti.log_url.split('/tasks/')[0] }}">Run</a> | <a href="{{ ti.log_url }}">Log</a></p>
"""

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
                "html_content": "Run {{ dag_run.dag_run_id }} did not finish within 30 minutes.",
            },
        ),
    )

with DAG(
    "backup_audit",
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["pinecone", "monitoring"],
    doc_md=__doc__,
    **options,
):
    AuditBackupsOperator(
        task_id="audit",
        max_age=MAX_AGE,
        max_shrink=0.5,
        policy=POLICY,
        restore_tests=RESTORE_TESTS,
        copies=COPIES,
        max_copy_age=None if COPIES is None else MAX_COPY_AGE,
        fail_on=["unprotected", "late", "failing", "untested"],
        # A failed audit is not retried; only a failed request is.
        retries=2,
        retry_delay=timedelta(minutes=1),
        on_failure_callback=SmtpNotifier(to=RECIPIENT, subject=SUBJECT, html_content=BODY),
    )
