"""Reindex after each new backup.

The asset that `backup_deferrable` updates starts this DAG. The asset event describes the backup.
"""

import logging
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_pinecone.assets import backup_asset

log = logging.getLogger(__name__)
BACKUPS = backup_asset("docs-example")

with DAG(
    "reindex_on_backup",
    schedule=[BACKUPS],
    start_date=pendulum.datetime(2025, 1, 1),
    tags=["pinecone", "reindex"],
    doc_md=__doc__,
):

    @task
    def reindex(triggering_asset_events: Any = None) -> str:
        """Write to the index."""
        backup = triggering_asset_events[BACKUPS][-1].extra
        log.info("Reindexing. To roll back, restore backup %s (%s)", backup["backup_id"], backup["status"])
        return str(backup["backup_id"])

    reindex()
