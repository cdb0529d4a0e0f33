"""The ways to wait, for every Airflow. A param of the run names the index."""

import os
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_pinecone.copies import export_backup, import_copy
from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.restore_test import restore_test
from airflow_pinecone.sensors import BackupFreshnessSensor, BackupSensor

BACKUP: dict[str, Any] = {"task_id": "backup", "index_name": "{{ params.index }}"}
WAIT: dict[str, Any] = {**BACKUP, "wait_for_completion": True, "timeout": 300}
MAPPED_TASKS = 15


def dag(dag_id: str) -> DAG:
    """Create a DAG that only runs when it is triggered."""
    return DAG(
        dag_id,
        schedule=None,
        start_date=pendulum.datetime(2025, 1, 1),
        params={"index": "docs-example"},
        default_args={"retries": 1, "retry_delay": timedelta(seconds=1)},
    )


with dag("worker"):
    CreateBackupOperator(**WAIT)

with dag("triggerer"):
    CreateBackupOperator(**WAIT, deferrable=True)

with dag("settle"):
    CreateBackupOperator(**WAIT, deferrable=True, settle=timedelta(seconds=6))

with dag("secrets_backend"):
    CreateBackupOperator(**WAIT, deferrable=True, conn_id="pinecone_in_a_file")

with dag("mapped"):
    CreateBackupOperator.partial(**{**WAIT, "index_name": "docs-example"}, deferrable=True).expand(
        name=[f"mapped-{n}" for n in range(MAPPED_TASKS)]
    )

# The first try times out. The test then finishes the backup, and the retry waits for it.
with dag("timeout"):
    CreateBackupOperator(**{**WAIT, "timeout": 20}, deferrable=True)

with dag("execution_timeout"):
    CreateBackupOperator(**WAIT, execution_timeout=timedelta(seconds=20))

for waiter, deferrable in {"worker": False, "triggerer": True}.items():
    with dag(f"delete_on_kill_{waiter}"):
        CreateBackupOperator(**WAIT, deferrable=deferrable, delete_on_kill=True)

MODES: dict[str, dict[str, Any]] = {"deferred": {"deferrable": True}, "reschedule": {"mode": "reschedule"}}
for mode, arguments in MODES.items():
    with dag(f"sensor_{mode}"):
        output: Any = CreateBackupOperator(**BACKUP).output
        BackupSensor(task_id="ready", backup_id=output["backup_id"], timeout=300, **arguments)

for waiter, deferrable in {"worker": False, "triggerer": True}.items():
    with dag(f"restore_test_{waiter}"):
        restore_test("{{ params.index }}", deferrable=deferrable)

for waiter, deferrable in {"worker": False, "triggerer": True}.items():
    with dag(f"copy_{waiter}"):
        copy = export_backup(
            "{{ params.index }}", destination=f"file://{os.environ['AIRFLOW_HOME']}/copies", deferrable=deferrable
        )
        copy >> import_copy(
            "{{ ti.xcom_pull(task_ids='export_backup.finish')['url'] }}",
            "{{ params.index }}-copy",
            deferrable=deferrable,
            delete_index=True,
        )

# The backup becomes Ready while the sensor is deferred.
with dag("freshness_deferred"):
    CreateBackupOperator(**BACKUP) >> BackupFreshnessSensor(
        task_id="fresh", index_name=BACKUP["index_name"], max_age=3600, poke_interval=5, timeout=300, deferrable=True
    )
