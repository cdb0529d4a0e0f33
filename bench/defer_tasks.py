"""Defer the mapped tasks of a run, as a worker would. `make bench` runs this in Airflow's environment.

Deferring 500 tasks in workers takes longer than measuring them. The rows are made with Airflow's own models.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.sdk import timezone
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select


def defer(run_id: str, triggers: list[tuple[str, dict[str, Any]]]) -> None:
    """Let each scheduled task of a run of many_deferred wait in a trigger.

    Args:
        run_id: The run.
        triggers: The class and the arguments of each trigger.
    """
    now = timezone.utcnow()
    with create_session() as session:
        query = select(TaskInstance).where(TaskInstance.run_id == run_id, TaskInstance.task_id == "wait")
        tasks = list(session.scalars(query.order_by(TaskInstance.map_index)))
        rows = [Trigger(classpath=classpath, kwargs=arguments) for classpath, arguments in triggers]
        session.add_all(rows)
        session.flush()
        for task, row in zip(tasks, rows, strict=True):
            task.trigger_id = row.id
            task.state = TaskInstanceState.DEFERRED
            task.start_date = now
            task.try_number = 1
            task.next_method = "execute_complete"
            task.next_kwargs = {}
            task.trigger_timeout = now + timedelta(days=1)


if __name__ == "__main__":
    defer(sys.argv[1], json.load(sys.stdin))
