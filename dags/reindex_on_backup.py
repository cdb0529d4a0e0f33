"""Reindex whenever there is a new Ready backup of the index: the asset that ``backup_deferrable`` fills says so."""

import logging
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_pinecone.assets import backup_asset

log = logging.getLogger(__name__)
BACKUPS = backup_asset("docs-example")

with DAG("reindex_on_backup", schedule=[BACKUPS], start_date=pendulum.datetime(2025, 1, 1)):

    @task
    def reindex(triggering_asset_events: Any = None) -> str:
        """Write to the index; the backup that started this run is the way back."""
        backup = triggering_asset_events[BACKUPS][-1].extra
        log.info("Reindexing; the way back is backup %s (%s)", backup["backup_id"], backup["status"])
        return str(backup["backup_id"])

    reindex()
