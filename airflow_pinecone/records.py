"""The records of an index as PineconeHook reads and writes them, and their digest. It needs the extra ``records``."""

from __future__ import annotations

from airflow_pinecone.api.index_calls import Usage
from airflow_pinecone.api.record import Position, Record, RecordBatch, SparseValues
from airflow_pinecone.api.record_writes import IndexWriter, WriteUsage
from airflow_pinecone.api.records import IndexRecords, NamespaceDetails
from airflow_pinecone.rules.digests import NamespaceDigest

__all__ = [
    "IndexRecords",
    "IndexWriter",
    "NamespaceDetails",
    "NamespaceDigest",
    "Position",
    "Record",
    "RecordBatch",
    "SparseValues",
    "Usage",
    "WriteUsage",
]
