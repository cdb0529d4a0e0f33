"""List the backups of an index, the newest first."""

from airflow_pinecone.hooks import PineconeHook


def list_backups(index_name: str) -> list[str]:
    """Return one line for each backup of an index."""
    # The backups of the project include those of deleted indexes.
    backups = PineconeHook("pinecone_default").list_backups()
    found = [backup for backup in backups if backup.get("source_index_name") == index_name]
    found.sort(key=lambda backup: backup.get("created_at") or "", reverse=True)
    fields = ("created_at", "backup_id", "status", "record_count", "description")
    return ["  ".join(str(backup.get(field)) for field in fields) for backup in found]
