"""Operators for backups of Pinecone indexes."""

from airflow_pinecone.operators.create import CreateBackupOperator

__all__ = ["CreateBackupOperator"]
