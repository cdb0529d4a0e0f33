"""A backup with each way of waiting, for the fault injection: its process can be stopped anywhere."""

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG
from stop_points import before_execute

from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.sensors import BackupSensor

DEFAULT_ARGS = {"retries": 5, "retry_delay": timedelta(seconds=1), "pre_execute": before_execute}
# With delete_on_kill, a test also shows that nothing but marking the task as failed deletes a backup.
BACKUP: dict[str, Any] = {"task_id": "backup", "index_name": "{{ params.index }}", "delete_on_kill": True}
WAIT: dict[str, Any] = {**BACKUP, "wait_for_completion": True, "timeout": 600}
SENSOR_MODES: dict[str, dict[str, Any]] = {"poke": {"poke_interval": 1}, "deferred": {"deferrable": True}}


def dag(waiter: str) -> DAG:
    """Create a DAG that only runs when it is triggered."""
    start = pendulum.datetime(2025, 1, 1)
    params = {"index": "docs-example"}
    return DAG(f"chaos_{waiter}", schedule=None, start_date=start, params=params, default_args=DEFAULT_ARGS)


with dag("worker"):
    CreateBackupOperator(**WAIT)

with dag("triggerer"):
    CreateBackupOperator(**WAIT, deferrable=True)

with dag("execution_timeout"):
    CreateBackupOperator(**WAIT, execution_timeout=timedelta(seconds=6))

for mode, arguments in SENSOR_MODES.items():
    with dag(f"sensor_{mode}"):
        output: Any = CreateBackupOperator(**BACKUP).output
        BackupSensor(task_id="ready", backup_id=output["backup_id"], timeout=600, **arguments)
