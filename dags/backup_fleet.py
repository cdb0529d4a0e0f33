"""Prune, back up and verify every index of a project.

The DAG lists the indexes when it runs. For each index it checks the newest backup, prunes the older ones, and creates
and verifies a new one. It prunes first, because no backup can be created while the quota is full. An index that fails
does not stop the others. The run fails if one of them failed. The log of `summary` names the indexes without a new
verified backup. With `only_due`, run it often: each index is backed up as often as backup_policy requires.
"""

import logging
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.sdk import DAG, AssetAlias, Param, task, task_group
from backup_policy import MAX_AGE, POLICY

from airflow_pinecone.operators import CreateBackupOperator, PruneBackupsOperator, VerifyBackupOperator

log = logging.getLogger(__name__)

with DAG(
    "backup_fleet",
    schedule=None,
    max_active_runs=1,
    params={
        "prefix": Param(
            "",
            type=["null", "string"],
            title="Index name prefix",
            description="Back up only indexes whose names start with this text. Leave empty to back up all.",
        ),
        "only_due": Param(
            False,
            type="boolean",
            title="Only indexes that are due",
            description="Skip indexes with a running backup, or one younger than half of max_age in backup_policy.",
        ),
    },
    default_args={"retries": 1, "retry_delay": pendulum.duration(minutes=1)},
    tags=["pinecone", "backup", "retention"],
    doc_md=__doc__,
):

    @task
    def list_indexes(params: dict[str, Any]) -> list[str]:
        """List the indexes that can be backed up, and that need a backup soon if `only_due` is set."""
        from airflow_pinecone.hooks import PineconeHook
        from airflow_pinecone.policy import IndexRules, Policy

        # Whether a backup is due does not depend on restores: without max_restore_age, they need not be listed.
        rules = {key: rules._replace(max_restore_age=None) for key, rules in POLICY.items()}
        policy = Policy(IndexRules(MAX_AGE), rules)
        report = PineconeHook().backup_report(policy, include=f"{params['prefix'] or ''}*")
        if report["invalid"] or not report["indexes"]:
            raise AirflowFailException("\n".join(report["invalid"]) or "No index of the project can be backed up")
        for name, why in report["unsupported"].items():
            log.warning("Skipping index %s: %s, so Pinecone cannot back it up", name, why)
        names = []
        for row in report["indexes"]:
            is_young = row["age"] is not None and row["age"] < row["max_age"] / 2
            if params["only_due"] and (is_young or row["running"]):
                log.info("Skipping index %s: it has a young Ready backup, or one is running", row["index_name"])
            else:
                names.append(row["index_name"])
        return sorted(names)

    @task_group
    def protect(index_name: str) -> None:
        """Prune the old backups of one index, only if its newest one passes the check, and create a new one."""

        @task(map_index_template="{{ task.op_kwargs['index_name'] }}")
        def newest(index_name: str) -> str:
            """Find the newest Ready backup. Without one, there is nothing to prune."""
            from airflow_pinecone.hooks import PineconeHook

            backup = PineconeHook().newest_ready_backup(index_name)
            if backup is None:
                raise AirflowSkipException(f"Index {index_name} has no Ready backup")
            return backup["backup_id"]

        # An empty backup always fails the check, so that no prune runs after it. Use `prefix` to exclude indexes that
        # are empty on purpose.
        check_newest = VerifyBackupOperator(
            task_id="check_newest",
            backup_id=newest(index_name=index_name),
            max_shrink=0.5,
            map_index_template="{{ task.index_name }}",
        )
        prune = PruneBackupsOperator(
            task_id="prune",
            index_name=index_name,
            keep_last=3,
            keep_daily=7,
            keep_weekly=4,
            map_index_template="{{ task.index_name }}",
        )
        backup = CreateBackupOperator(
            task_id="backup",
            index_name=index_name,
            wait_for_completion=True,
            deferrable=True,
            trigger_rule="all_done",  # also if the prune did not run or failed
            map_index_template="{{ task.index_name }}",
        )
        verify = VerifyBackupOperator(
            task_id="verify",
            backup_id=backup.output["backup_id"],
            max_shrink=0.5,
            map_index_template="{{ task.index_name }}",
            # Updates backup_asset(index_name) of each index.
            outlets=[AssetAlias("pinecone-fleet-backups")],
        )

        @task(trigger_rule="none_failed", map_index_template="{{ task.op_kwargs['index_name'] }}")
        def done(index_name: str) -> None:
            """Decide the state of the run, as its last task: the prune may have failed, although the backup has not."""
            log.info("Index %s is pruned, if it had a good backup, and has a new one", index_name)

        check_newest >> prune >> backup >> verify
        [prune, verify] >> done(index_name=index_name)

    @task
    def summary(names: list[str] | None, ti: Any = None) -> dict[str, list[str]]:
        """Report which indexes have a new verified backup, one that did not pass the check, or none."""
        if names is None:
            raise AirflowFailException("Nothing was backed up, because list_indexes did not succeed. Check its log.")
        by_task = {}
        for task_id in ("backup", "verify"):
            # The result of each index, or None.
            found = ti.xcom_pull(task_ids=f"protect.{task_id}", map_indexes=list(range(len(names)))) if names else []
            by_task[task_id] = {name for name, result in zip(names, found, strict=True) if result}
        report = {
            "verified": sorted(by_task["verify"]),
            "unverified": sorted(by_task["backup"] - by_task["verify"]),
            "failed": sorted(set(names) - by_task["backup"]),
        }
        log.info("%d of %d indexes have a new verified backup", len(report["verified"]), len(names))
        if report["unverified"]:
            log.error("Indexes whose new backup did not pass the check: %s", ", ".join(report["unverified"]))
        if report["failed"]:
            log.error("Indexes without a new backup: %s", ", ".join(report["failed"]))
        return report

    names = list_indexes()
    # A teardown also runs after failed tasks, and does not change the state of the run.
    protect.expand(index_name=names) >> summary(names).as_teardown()
