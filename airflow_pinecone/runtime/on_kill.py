"""What happens to an unfinished backup when its task is marked as failed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_pinecone.api.models import backup_phase
from airflow_pinecone.errors import PineconeError
from airflow_pinecone.runtime.airflow_versions import task_state

if TYPE_CHECKING:
    from airflow_pinecone.hooks import PineconeHook

# Airflow sends SIGKILL 5 seconds after SIGTERM.
_SECONDS_BEFORE_SIGKILL = 4.0


def log_kept(log: Callable[..., object], label: str, resource_id: str) -> None:
    """Log that a backup or a restore is kept although its task was killed."""
    log("The task was killed. %s %s is kept in Pinecone.", label, resource_id)


def delete_unfinished(hook: PineconeHook, backup_id: str, ti: Any, log: Callable[[str], object]) -> None:
    """Delete a backup that is not finished, if its task is marked as failed.

    Airflow kills a task's process or trigger for many reasons: an evicted worker, a missed heartbeat, a timeout, a
    clear. The backup is deleted only if Airflow stores the state ``failed`` while the task's code is still running,
    which is the case when a user marks the task as failed. (A worker that was suspended for longer than Airflow's
    heartbeat timeout during the last try of a task looks the same.) If the state of the task or of the backup cannot be
    determined, the backup is kept. A PineconeError is logged, not raised.
    """
    kept = f"Backup {backup_id} is kept"
    try:
        state = task_state(ti)
    except Exception as error:
        # Airflow can raise any exception.
        log(f"{kept}: Airflow did not return the state of the task ({type(error).__name__}).")
        return
    if state != "failed":
        log(f"{kept}: the task was killed, but Airflow did not mark it as failed (its state is {state}).")
        return
    try:
        backup = hook.describe_backup(backup_id)
        if backup_phase(backup) != "running":
            log(f"{kept}: its status is {backup['status']}.")
            return
        hook.delete_backup(backup_id)
    except PineconeError as error:
        log(f"Backup {backup_id} could not be deleted and may still exist: {error.reason}.")
    else:
        log(f"Deleted backup {backup_id} (status {backup['status']}): the task was marked as failed.")


def run_before_sigkill(function: Callable[[], object]) -> None:
    """Run a function from a signal handler, and wait for it until shortly before Airflow sends SIGKILL.

    The function runs in a thread, although it calls Airflow: the signal may have interrupted the main thread while it
    held the lock of Airflow's connection to the supervisor. In that case, the thread blocks on the lock, and this
    function returns after 4 seconds.
    """
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(_SECONDS_BEFORE_SIGKILL)
