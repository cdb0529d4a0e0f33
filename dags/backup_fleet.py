"""Back up, verify and prune every index of a project.

The DAG lists the indexes when it runs. An index that fails does not stop the others. The run fails if one of
them failed. The log of `summary` names the indexes without a new Ready backup.
"""

import logging
from typing import Any

import pendulum
from airflow.sdk import DAG, Param, task, task_group

from airflow_pinecone.operators import CreateBackupOperator, PruneBackupsOperator, VerifyBackupOperator

log = logging.getLogger(__name__)

with DAG(
    "backup_fleet",
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1),
    params={
        "prefix": Param(
            "",
            type=["null", "string"],
            title="Index name prefix",
            description="Back up only indexes whose names start with this text. Leave empty to back up all.",
        ),
    },
    default_args={"retries": 1, "retry_delay": pendulum.duration(minutes=1)},
    tags=["pinecone", "backup", "retention"],
    doc_md=__doc__,
):

    @task
    def list_indexes(params: dict[str, Any]) -> list[str]:
        """List the indexes that can be backed up."""
        from airflow_pinecone.hooks import PineconeHook

        names = []
        for index in PineconeHook().list_indexes():
            if "pod" in index["spec"]:
                log.warning("Skipping index %s: Pinecone cannot back up pod-based indexes", index["name"])
            elif index["name"].startswith(params["prefix"] or ""):
                names.append(index["name"])
        return sorted(names)

    @task_group
    def protect(index_name: str) -> None:
        """Back up one index, and prune its old backups only if the new one passes the check."""
        backup = CreateBackupOperator(
            task_id="backup",
            index_name=index_name,
            wait_for_completion=True,
            deferrable=True,
            map_index_template="{{ task.index_name }}",
        )
        # An empty backup always fails the check, so that no prune runs after it. Use `prefix` to exclude indexes that
        # are empty on purpose.
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
        """Report which indexes have a new backup and which do not."""
        backups = ti.xcom_pull(task_ids="protect.backup", map_indexes=list(range(len(names)))) if names else []
        ready = sorted(backup["source_index_name"] for backup in backups if backup)
        failed = sorted(set(names) - set(ready))
        log.info("%d of %d indexes have a new Ready backup", len(ready), len(names))
        if failed:
            log.error("Indexes without a new backup: %s", ", ".join(failed))
        return {"ready": ready, "failed": failed}

    names = list_indexes()
    # A teardown also runs after failed tasks, and does not change the state of the run.
    protect.expand(index_name=names) >> summary(names).as_teardown()
