"""A backup that is waited for in each way, for the chaos: it may be stopped anywhere, and is tried often."""

from datetime import timedelta

import pendulum
from airflow.sdk import DAG
from gates import begin

from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.sensors import BackupSensor

OFTEN = {"retries": 5, "retry_delay": timedelta(seconds=1), "pre_execute": begin}


def dag(waiter: str) -> DAG:
    """Make a DAG that only runs when it is triggered."""
    start = pendulum.datetime(2025, 1, 1)
    return DAG(f"chaos_{waiter}", schedule=None, start_date=start, params={"index": "docs-example"}, default_args=OFTEN)


# Only a person may delete: with delete_on_kill, no backup may go by anything else that ends a try.
BACKUP = {"task_id": "backup", "index_name": "{{ params.index }}", "delete_on_kill": True}
WAIT = {**BACKUP, "wait_for_completion": True, "timeout": 600}

with dag("worker"):
    CreateBackupOperator(**WAIT)

with dag("triggerer"):
    CreateBackupOperator(**WAIT, deferrable=True)

with dag("execution_timeout"):
    CreateBackupOperator(**WAIT, execution_timeout=timedelta(seconds=6))

for mode, how in {"poke": {"poke_interval": 1}, "deferred": {"deferrable": True}}.items():
    with dag(f"sensor_{mode}"):
        backup = CreateBackupOperator(**BACKUP)
        BackupSensor(task_id="ready", backup_id=backup.output["backup_id"], timeout=600, **how)
