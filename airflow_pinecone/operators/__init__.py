"""Operators for backups of Pinecone indexes."""

from airflow_pinecone.operators.create import CreateBackupOperator
from airflow_pinecone.operators.delete import DeleteBackupOperator
from airflow_pinecone.operators.prune import PruneBackupsOperator
from airflow_pinecone.operators.restore import CreateIndexFromBackupOperator
from airflow_pinecone.operators.verify import VerifyBackupOperator

__all__ = [
    "CreateBackupOperator",
    "CreateIndexFromBackupOperator",
    "DeleteBackupOperator",
    "PruneBackupsOperator",
    "VerifyBackupOperator",
]
