"""Write the records of one index to another one."""

from contextlib import closing

from airflow_pinecone.hooks import PineconeHook


def copy_records(source: str, target: str) -> int:
    """Copy all records of an index, and return their number."""
    hook = PineconeHook("pinecone_default")
    reader, writer = hook.records(source), hook.writer(target)
    count = 0
    for namespace in reader.namespaces():
        with closing(reader.read(namespace)) as batches:
            count += writer.write(namespace, (batch.records for batch in batches))
    return count
