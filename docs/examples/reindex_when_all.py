"""Reindex two indexes together, after each of them has a new verified backup."""

from typing import Any

from airflow.sdk import DAG, task

from airflow_pinecone.assets import backup_asset

BACKUPS = [backup_asset("docs-example"), backup_asset("docs-images")]

# A run starts when each asset of the list has had an event since the last run.
with DAG("reindex_when_all", schedule=BACKUPS):

    @task
    def reindex(triggering_asset_events: Any = None) -> list[str]:
        """Write to the indexes. The newest event of each asset describes the backup to return to."""
        return [triggering_asset_events[asset][-1].extra["backup_id"] for asset in BACKUPS]

    reindex()
