"""Create one backup, wait for it, and start a task after it: in each of the four ways that `make bench` compares."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, NoReturn

from airflow.sdk import DAG, PokeReturnValue, task
from airflow.triggers.base import BaseTrigger
from one_poll_per_wait import OnePollPerWait

from airflow_pinecone.operators import CreateBackupOperator

PAUSE = 5.0
RETRIES = 3
RETRY_DELAY = timedelta(seconds=1)
INDEX = "{{ dag_run.conf['index'] }}"


class CreateBackupOnePollPerWait(CreateBackupOperator):
    """Create a backup, and wait in the trigger that polls by itself."""

    def defer(self, *, trigger: BaseTrigger, **kwargs: Any) -> NoReturn:
        """Defer with that trigger instead of WaitTrigger."""
        super().defer(trigger=OnePollPerWait(**trigger.serialize()[1]), **kwargs)


@task(retries=RETRIES, retry_delay=RETRY_DELAY)
def create_and_loop(index: str) -> None:
    """Create a backup with the SDK, and sleep until it is Ready."""
    from pinecone import Pinecone

    client = Pinecone()
    backup = client.backups.create(index_name=index, name="bench")
    while client.backups.describe(backup_id=backup.backup_id).status != "Ready":
        time.sleep(PAUSE)


@task(retries=RETRIES, retry_delay=RETRY_DELAY)
def create(index: str) -> str:
    """Create a backup with the SDK."""
    from pinecone import Pinecone

    return str(Pinecone().backups.create(index_name=index, name="bench").backup_id)


# Airflow marks some tries of a sensor with a short pause as failed: see docs/benchmarks.md.
@task.sensor(mode="reschedule", poke_interval=PAUSE, timeout=600, retries=RETRIES, retry_delay=RETRY_DELAY)
def is_ready(backup_id: str) -> PokeReturnValue:
    """Poll once with the SDK, in a process of its own."""
    from pinecone import Pinecone

    return PokeReturnValue(is_done=Pinecone().backups.describe(backup_id=backup_id).status == "Ready")


@task
def after() -> None:
    """Start once the backup is Ready."""


options: dict[str, Any] = {"schedule": None, "max_active_runs": 16}

with DAG("one_loop", **options):
    create_and_loop(INDEX) >> after()

with DAG("one_sensor", **options):
    is_ready(create(INDEX)) >> after()

for way, operator in {"separate": CreateBackupOnePollPerWait, "shared": CreateBackupOperator}.items():
    with DAG(f"one_{way}", **options):
        backup = operator(
            task_id="backup",
            index_name=INDEX,
            wait_for_completion=True,
            deferrable=True,
            poke_interval=PAUSE,
            retries=RETRIES,
            retry_delay=RETRY_DELAY,
        )
        backup >> after()
