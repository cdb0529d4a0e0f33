"""The records of an index as PineconeHook reads them, and their digest. It needs the extra ``records``."""

from __future__ import annotations

from airflow_pinecone.api.record import Position, Record, RecordBatch, SparseValues
from airflow_pinecone.api.records import IndexRecords, Usage
from airflow_pinecone.rules.digests import NamespaceDigest

__all__ = ["IndexRecords", "NamespaceDigest", "Position", "Record", "RecordBatch", "SparseValues", "Usage"]
