"""Write the records of one index to another one."""

from airflow_pinecone.hooks import PineconeHook


def copy_records(source: str, target: str) -> int:
    """Copy all records of an index, and return their number."""
    hook = PineconeHook("pinecone_default")
    reader, writer = hook.records(source), hook.writer(target)
    count = 0
    for namespace in reader.namespaces():
        count += writer.write(namespace, (batch.records for batch in reader.read(namespace)))
    return count
