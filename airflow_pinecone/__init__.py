"""Backups of Pinecone indexes from Apache Airflow."""

__version__ = "0.1.0"
