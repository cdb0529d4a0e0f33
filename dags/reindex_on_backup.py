"""Reindex after each verified backup.

The asset that `backup_deferrable` updates starts this DAG. The asset event describes the backup.
"""

import logging
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, task

from airflow_pinecone.assets import backup_asset

log = logging.getLogger(__name__)
BACKUPS = backup_asset("docs-example")

with DAG(
    "reindex_on_backup",
    schedule=[BACKUPS],
    tags=["pinecone", "reindex"],
    doc_md=__doc__,
):

    @task
    def reindex(triggering_asset_events: Any = None) -> str:
        """Write to the index."""
        events = triggering_asset_events[BACKUPS]
        backup = events[-1].extra if events else {}
        # A person can start this DAG, or create an event in the UI, without a backup.
        if backup.get("status") != "Ready":
            raise AirflowFailException("No Ready backup started this run. Run backup_deferrable instead.")
        log.info("Reindexing. To roll back, restore backup %s (%s)", backup["backup_id"], backup["status"])
        return str(backup["backup_id"])

    reindex()
