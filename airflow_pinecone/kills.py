"""What becomes of an unfinished backup when its task is ended by a person."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from airflow_pinecone.errors import PineconeError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.models import phase

# Airflow kills a process for good this many seconds after it told it to end, less a little.
_PATIENCE = 4.0


def delete_unfinished(conn_id: str, backup_id: str, ti: Any, say: Callable[[str], object]) -> None:
    """Delete a backup that is not finished, if its task was marked failed.

    A task's process is told to end for many reasons, and a trigger too: a worker is evicted, a heartbeat lapses, a
    time-out comes, someone clears the task. Only Airflow's own word that the task has failed, though its code goes on,
    is a person's doing. (A node that was frozen past Airflow's heartbeat timeout in a task's last try looks the same.)
    Whatever goes wrong here leaves the backup where it is.

    Args:
        conn_id: The id of the Airflow connection.
        backup_id: The backup.
        ti: The task instance that waits for it.
        say: Where to say what becomes of the backup.
    """
    stays = f"Backup {backup_id} stays in Pinecone"
    try:
        state = _state(ti)
        if state != "failed":
            say(f"{stays}: the task was told to end, but nobody marked it failed; Airflow says {state}")
            return
        hook = PineconeHook(conn_id)
        backup = hook.describe_backup(backup_id)
        if phase(backup["status"]) != "running":
            say(f"{stays}: it is {backup['status']}")
            return
        hook.delete_backup(backup_id)
    except PineconeError as error:
        say(f"{stays}, as far as is known: {error}")
    except Exception as error:
        # Whatever Airflow raises when it is asked for the state.
        say(f"{stays}: Airflow did not say what became of the task ({type(error).__name__})")
    else:
        say(f"Deleted backup {backup_id}, which was {backup['status']}: the task was marked failed")


def in_a_moment(do: Callable[[], object]) -> None:
    """Do something from a signal handler, and wait for it as long as Airflow lets the process live.

    In a thread: the main one may have been stopped in the middle of a talk with Airflow, or with Pinecone.

    Args:
        do: What is to be done.
    """
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(_PATIENCE)


def _state(ti: Any) -> str | None:
    """Ask Airflow for the state of a task instance as it is now."""
    if hasattr(ti, "current_state"):  # Airflow 2
        return cast("str | None", ti.current_state())
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    map_index = -1 if ti.map_index is None else ti.map_index
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=map_index
    )
    # Airflow names a mapped one by its index, too.
    return cast("str | None", states[ti.run_id][ti.task_id if map_index < 0 else f"{ti.task_id}_{map_index}"])
