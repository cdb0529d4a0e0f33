"""A backup or restore with each way of waiting, for the fault injection: its process can be stopped anywhere."""

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException
from stop_points import FOLDER, before_execute

from airflow_pinecone.operators import CreateBackupOperator, CreateIndexFromBackupOperator
from airflow_pinecone.sensors import BackupSensor

DEFAULT_ARGS = {
    "retries": 5,
    "retry_delay": timedelta(seconds=1),
    "pre_execute": before_execute,
    "conn_id": "{{ params.conn_id }}",
}
# With delete_on_kill, a test also shows that nothing but marking the task as failed deletes a backup.
BACKUP: dict[str, Any] = {"task_id": "backup", "index_name": "{{ params.index }}", "delete_on_kill": True}
WAIT: dict[str, Any] = {**BACKUP, "wait_for_completion": True, "timeout": 600}
SENSOR_MODES: dict[str, dict[str, Any]] = {"poke": {"poke_interval": 1}, "deferred": {"deferrable": True}}


def dag(waiter: str, **arguments: Any) -> DAG:
    """Create a DAG that only runs when it is triggered."""
    start = pendulum.datetime(2025, 1, 1)
    params = {"index": "docs-example", "conn_id": "pinecone_default", "backup_id": ""}
    return DAG(
        f"chaos_{waiter}", schedule=None, start_date=start, params=params, default_args=DEFAULT_ARGS, **arguments
    )


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

for waiter, deferrable in {"worker": False, "triggerer": True}.items():
    with dag(f"fail_fast_{waiter}", fail_fast=True):
        # Airflow itself marks the backup task as failed, so delete_on_kill is not allowed here.
        CreateBackupOperator(**{**WAIT, "delete_on_kill": False}, deferrable=deferrable)

        @task.sensor(task_id="sibling", poke_interval=1, timeout=600)
        def fail_when_asked(run_id: str = "") -> bool:
            """Wait until the test asks for a failure."""
            if (FOLDER / f"{run_id}.sibling").exists():
                raise AirflowFailException("The test asked for this failure.")
            return False

        fail_when_asked()

    with dag(f"restore_{waiter}"):
        CreateIndexFromBackupOperator(
            task_id="restore",
            backup_id="{{ params.backup_id }}",
            index_name="{{ params.index }}-restored",
            timeout=600,
            deferrable=deferrable,
        )
