"""Fail if an index has no fresh backup, or no fresh copy outside of Pinecone."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_pinecone.operators import AuditBackupsOperator

with DAG("audit_copies", schedule="@daily"):
    AuditBackupsOperator(
        task_id="audit",
        max_age=timedelta(hours=30),
        copies="s3://aws_default@vault/pinecone",
        max_copy_age=timedelta(days=9),
    )
