"""Wait for many backups at once. The ids of the backups come with the run."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, PokeReturnValue, get_current_context, task

from airflow_pinecone.sensors import BackupSensor

PAUSE = 5.0
# A pool without slots: its tasks never start. `make bench` defers them itself, as a worker would.
NO_WORKER_POOL = "no_worker"

options: dict[str, Any] = {"schedule": None, "max_active_tasks": 1000, "max_active_runs": 16}


@task
def ids() -> list[str]:
    """Return the ids of the backups."""
    return list(get_current_context()["dag_run"].conf["ids"])


@task
def loop(backup_id: str) -> None:
    """Poll with the SDK and sleep until the backup is Ready."""
    from pinecone import Pinecone

    client = Pinecone()
    while client.backups.describe(backup_id=backup_id).status != "Ready":
        time.sleep(PAUSE)


# Airflow marks some tries of a sensor with a short pause as failed: see docs/benchmarks.md.
@task.sensor(mode="reschedule", poke_interval=PAUSE, timeout=3600, retries=1000, retry_delay=timedelta(seconds=1))
def sensor(backup_id: str) -> PokeReturnValue:
    """Poll once with the SDK, in a process of its own."""
    from pinecone import Pinecone

    return PokeReturnValue(is_done=Pinecone().backups.describe(backup_id=backup_id).status == "Ready")


with DAG("many_loops", **options):
    loop.expand(backup_id=ids())

with DAG("many_sensors", **options):
    sensor.expand(backup_id=ids())

with DAG("many_deferred", **options):
    BackupSensor.partial(task_id="wait", deferrable=True, poke_interval=PAUSE, pool=NO_WORKER_POOL).expand(
        backup_id=ids()
    )
