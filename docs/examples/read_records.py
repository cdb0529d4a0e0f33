"""Count the records of an index, and compute their digests."""

from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.records import NamespaceDigest


def digests(index_name: str) -> dict[str, str]:
    """Return the digest of each namespace of an index."""
    records = PineconeHook("pinecone_default").records(index_name)
    result = {}
    for namespace in records.namespaces():
        digest = NamespaceDigest()
        for batch in records.read(namespace):
            digest.add(batch.records)
        result[namespace] = str(digest)
    return result
