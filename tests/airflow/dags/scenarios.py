"""The ways in which a DAG can use the operator and the sensor; the index comes with the run."""

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, task

from airflow_pinecone.operators import CreateBackupOperator, CreateIndexFromBackupOperator
from airflow_pinecone.sensors import BackupSensor

SOON = {"retries": 1, "retry_delay": timedelta(seconds=1)}
INDEX = "{{ params.index }}"


def dag(dag_id: str) -> DAG:
    """Make a DAG that only runs when it is triggered."""
    start = pendulum.datetime(2025, 1, 1)
    return DAG(dag_id, schedule=None, start_date=start, params={"index": "docs-example"}, default_args=SOON)


with dag("create"):
    CreateBackupOperator(task_id="backup", index_name=INDEX)

for waiter, deferrable in {"worker": False, "triggerer": True}.items():
    with dag(f"wait_in_{waiter}"):
        CreateBackupOperator(
            task_id="backup",
            index_name=INDEX,
            wait_for_completion=True,
            deferrable=deferrable,
            timeout=60,
        )
    with dag(f"time_out_in_{waiter}"):
        CreateBackupOperator(
            task_id="backup",
            index_name=INDEX,
            wait_for_completion=True,
            deferrable=deferrable,
            timeout=8,
        )

for name, mode in {
    "poke": {"poke_interval": 1},
    "reschedule": {"mode": "reschedule"},
    "deferred": {"deferrable": True},
}.items():
    for variant, more in {
        "sensor": {"timeout": 300},
        "sensor_times_out": {"timeout": 8},
        "sensor_soft": {"timeout": 8, "soft_fail": True},
    }.items():
        with dag(f"{variant}_{name}"):
            backup = CreateBackupOperator(task_id="backup", index_name=INDEX)
            ready = BackupSensor(task_id="ready", backup_id=backup.output["backup_id"], **mode, **more)
            backup >> ready

with dag("mapped"):

    @task
    def names(params: dict) -> list[str]:
        """Name the indexes."""
        return [f"{params['index']}-{n}" for n in range(3)]

    backups = CreateBackupOperator.partial(task_id="backup").expand(index_name=names())
    BackupSensor.partial(task_id="ready", poke_interval=1).expand(
        backup_id=backups.output.map(lambda model: model["backup_id"])
    )

with DAG(
    "restore",
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1),
    params={"index": "docs-example", "backup_id": ""},
    default_args=SOON,
):
    CreateIndexFromBackupOperator(
        task_id="restore", backup_id="{{ params.backup_id }}", index_name="{{ params.index }}-2"
    )
