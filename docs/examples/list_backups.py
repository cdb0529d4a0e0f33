"""List the backups of an index, the newest first."""

from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.rules.history import newest_first


def list_backups(index_name: str) -> list[str]:
    """Return one line for each backup of an index."""
    backups = PineconeHook("pinecone_default").list_backups_of(index_name).backups
    return [
        f"{created_at:%Y-%m-%d %H:%M} {backup['backup_id']} {backup['status']} {backup.get('record_count')} records"
        for created_at, backup in newest_first(backups)
        if created_at is not None
    ]
