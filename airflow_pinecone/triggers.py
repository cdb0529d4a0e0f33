"""The wait for a backup or a restore, in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_pinecone import kills, polling
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.models import Kind

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

# Airflow ends a deferral that nothing answered: this long after its deadline, so that a living triggerer comes first.
_GRACE = timedelta(minutes=5)


def defer(task: BaseOperator, conn_id: str, wait: polling.Wait, *, delete_on_kill: bool = False) -> NoReturn:
    """Hand a wait over to the triggerer; the task goes on in its ``execute_complete(context, event)``.

    Args:
        task: The task that waits.
        conn_id: The id of the Airflow connection.
        wait: The wait, as far as it has come.
        delete_on_kill: As of WaitTrigger.

    Raises:
        TaskDeferred: Always; Airflow takes it from there.
    """
    left = timedelta(seconds=max(0.0, wait.deadline - time.time()))
    task.defer(
        trigger=WaitTrigger(
            conn_id=conn_id,
            ident=wait.ident,
            kind=wait.kind,
            started=wait.started,
            deadline=wait.deadline,
            poke_interval=wait.poke_interval,
            delete_on_kill=delete_on_kill,
        ),
        method_name="execute_complete",
        timeout=left + _GRACE,
    )
    raise AssertionError("unreachable: defer raises TaskDeferred")


class WaitTrigger(BaseTrigger):
    """Wait for a backup or a restore, until it is done or the wait ends otherwise. The arguments are stored by Airflow.

    Args:
        conn_id: The id of the Airflow connection; the key itself is never stored.
        ident: The id of the backup or of the restore job that is waited for.
        kind: ``backup`` or ``restore``.
        started: When the wait began, in seconds since the epoch.
        deadline: When it ends at the latest, in seconds since the epoch, also after a restart of the triggerer.
        poke_interval: Seconds between two polls; None lets the pause grow with the wait.
        delete_on_kill: Whether to delete the backup, if it is not finished, when the task is marked failed.
    """

    def __init__(
        self,
        *,
        conn_id: str,
        ident: str,
        kind: Kind,
        started: float,
        deadline: float,
        poke_interval: float | None = None,
        delete_on_kill: bool = False,
    ) -> None:
        """Store the arguments."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.ident = ident
        self.kind = kind
        self.started = started
        self.deadline = deadline
        self.poke_interval = poke_interval
        self.delete_on_kill = delete_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow needs to make this trigger again.

        Returns:
            The path of the class, and its arguments.
        """
        return "airflow_pinecone.triggers.WaitTrigger", {
            "conn_id": self.conn_id,
            "ident": self.ident,
            "kind": self.kind,
            "started": self.started,
            "deadline": self.deadline,
            "poke_interval": self.poke_interval,
            "delete_on_kill": self.delete_on_kill,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait.

        Yields:
            One event: the end of the wait, a ``polling.Event``.
        """
        hook = PineconeHook(self.conn_id)
        decide = polling.Wait(
            self.ident,
            self.kind,
            started=self.started,
            deadline=self.deadline,
            poke_interval=self.poke_interval,
        )
        yield TriggerEvent(await polling.wait_async(decide, hook.poll(self.kind, self.ident), self.log.info))

    async def on_kill(self) -> None:
        """Say, or decide, what becomes of it when the deferred task is ended (Airflow 3.3 and later calls this)."""
        if not self.delete_on_kill:
            self.log.info("The wait for %s %s was ended; it stays in Pinecone", self.kind, self.ident)
            return
        await asyncio.to_thread(kills.delete_unfinished, self.conn_id, self.ident, self.task_instance, self.log.info)
