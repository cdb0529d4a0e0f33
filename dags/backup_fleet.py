"""Back up, verify and prune every index of the project; one that fails does not stop the others.

The indexes are listed when the DAG runs. ``{"prefix": "prod-"}`` as the run's params takes only those whose names
begin so. The run is red when an index failed; ``summary`` says which.
"""

import logging
from typing import Any

import pendulum
from airflow.sdk import DAG, task, task_group

from airflow_pinecone.operators import CreateBackupOperator, PruneBackupsOperator, VerifyBackupOperator

log = logging.getLogger(__name__)

with DAG(
    "backup_fleet",
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1),
    params={"prefix": ""},
    default_args={"retries": 1, "retry_delay": pendulum.duration(minutes=1)},
):

    @task
    def list_indexes(params: dict[str, Any]) -> list[str]:
        """Name the indexes that can be backed up."""
        from airflow_pinecone.hooks import PineconeHook

        names = []
        for index in PineconeHook().list_indexes():
            if "pod" in index["spec"]:
                log.warning("Index %s is pod-based: Pinecone cannot back it up, and it is left out", index["name"])
            elif index["name"].startswith(params["prefix"]):
                names.append(index["name"])
        return sorted(names)

    @task_group
    def protect(index_name: str) -> None:
        """Back up one index; prune its old backups only once the new one is verified."""
        backup = CreateBackupOperator(
            task_id="backup",
            index_name=index_name,
            wait_for_completion=True,
            deferrable=True,
            map_index_template="{{ task.index_name }}",
        )
        # An empty backup is red, also the second one in a row: no prune may follow that. Leave out indexes that are
        # meant to be empty.
        verify = VerifyBackupOperator(
            task_id="verify",
            backup_id=backup.output["backup_id"],
            max_shrink=0.5,
            map_index_template="{{ task.backup_id }}",
        )
        prune = PruneBackupsOperator(
            task_id="prune",
            index_name=index_name,
            keep_last=3,
            keep_daily=7,
            keep_weekly=4,
            map_index_template="{{ task.index_name }}",
        )
        backup >> verify >> prune

    @task
    def summary(names: list[str], ti: Any = None) -> dict[str, list[str]]:
        """Say which indexes were backed up, and which were not."""
        backups = ti.xcom_pull(task_ids="protect.backup", map_indexes=list(range(len(names)))) if names else []
        ready = sorted(backup["source_index_name"] for backup in backups if backup)
        failed = sorted(set(names) - set(ready))
        log.info("%d of %d indexes have a new Ready backup", len(ready), len(names))
        if failed:
            log.error("Without a new backup: %s", ", ".join(failed))
        return {"ready": ready, "failed": failed}

    names = list_indexes()
    # As a teardown it runs whatever happened, and the run is as green or red as the work before it.
    protect.expand(index_name=names) >> summary(names).as_teardown()
