"""The ways in which a DAG can use the operators and the sensor. A param of the run names the index."""

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, AssetAlias, task

from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.sensors import BackupSensor

INDEX = "{{ params.index }}"
SENSOR_MODES: dict[str, dict[str, Any]] = {
    "poke": {"poke_interval": 1},
    "reschedule": {"mode": "reschedule"},
    "deferred": {"deferrable": True},
}
SENSOR_VARIANTS: dict[str, dict[str, Any]] = {
    "sensor": {"timeout": 300},
    "sensor_times_out": {"timeout": 8},
    "sensor_soft": {"timeout": 8, "soft_fail": True},
}


def dag(dag_id: str) -> DAG:
    """Create a DAG that only runs when it is triggered."""
    return DAG(
        dag_id,
        schedule=None,
        start_date=pendulum.datetime(2025, 1, 1),
        params={"index": "docs-example"},
        default_args={"retries": 1, "retry_delay": timedelta(seconds=1)},
    )


for waiter, deferrable in {"worker": False, "triggerer": True}.items():
    for prefix, timeout in {"wait_in": 120, "time_out_in": 15}.items():
        with dag(f"{prefix}_{waiter}"):
            CreateBackupOperator(
                task_id="backup",
                index_name=INDEX,
                wait_for_completion=True,
                deferrable=deferrable,
                timeout=timeout,
            )

with dag("settle"):
    # The shortest wait that the triggerer does.
    CreateBackupOperator(task_id="backup", index_name=INDEX, wait_for_completion=True, settle=5, deferrable=True)

for mode, mode_arguments in SENSOR_MODES.items():
    for variant, variant_arguments in SENSOR_VARIANTS.items():
        with dag(f"{variant}_{mode}"):
            backup = CreateBackupOperator(task_id="backup", index_name=INDEX)
            output: Any = backup.output
            ready = BackupSensor(task_id="ready", backup_id=output["backup_id"], **mode_arguments, **variant_arguments)
            backup >> ready

with dag("mapped"):

    @task
    def list_names(params: Any = None) -> list[str]:
        """Return the names of the indexes."""
        return [f"{params['index']}-{n}" for n in range(3)]

    backups = CreateBackupOperator.partial(task_id="backup").expand(index_name=list_names())
    BackupSensor.partial(task_id="ready", poke_interval=1).expand(
        backup_id=backups.output.map(lambda model: model["backup_id"])
    )

with dag("mapped_assets"):
    CreateBackupOperator.partial(
        task_id="backup", wait_for_completion=True, deferrable=True, outlets=[AssetAlias("test-backups")]
    ).expand(index_name=[f"{INDEX}-{n}" for n in range(3)])
