"""The wait for a backup or a restore in the triggerer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.runtime import on_kill
from airflow_pinecone.runtime.airflow_versions import call_airflow
from airflow_pinecone.waiting.decisions import Wait, WaitSpec
from airflow_pinecone.waiting.drivers import wait_async
from airflow_pinecone.waiting.intervals import DEFERRAL_MARGIN
from airflow_pinecone.waiting.resources import BACKUP
from airflow_pinecone.waiting.shared_polls import shared_polls

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_pinecone.api.client import PineconeClient


def defer(
    task: BaseOperator, context: Context, conn_id: str, spec: WaitSpec, *, now: float, delete_on_kill: bool = False
) -> NoReturn:
    """Defer a task until a wait ends. The task resumes in its ``execute_complete(context, event, try_number)``.

    Args:
        task: The task.
        context: The context of the task.
        conn_id: The id of the Airflow connection.
        spec: What the task waits for.
        now: The time, in seconds since the epoch.
        delete_on_kill: Whether to delete an unfinished backup when the task is marked as failed.

    Raises:
        TaskDeferred: Always.
    """
    task.defer(
        trigger=WaitTrigger(conn_id=conn_id, delete_on_kill=delete_on_kill, **asdict(spec)),
        method_name="execute_complete",
        kwargs={"try_number": context["ti"].try_number},
        timeout=timedelta(seconds=max(0.0, spec.deadline_at - now)) + DEFERRAL_MARGIN,
    )
    raise AssertionError("unreachable: defer raises TaskDeferred")


class WaitTrigger(BaseTrigger):
    """Wait until a backup or a restore has finished, or the wait times out.

    Airflow stores the arguments in its metadata database. They do not include the API key.

    Args:
        conn_id: The id of the Airflow connection.
        delete_on_kill: Whether to delete the backup, if it is not finished, when the task is marked as failed.
        spec: The fields of a WaitSpec: ``resource_type``, ``resource_id``, ``started_at``, ``deadline_at`` and
            ``poke_interval``.

    Raises:
        PineconeInputError: An argument is invalid.
    """

    clock: Clock = SYSTEM_CLOCK

    def __init__(self, *, conn_id: str, delete_on_kill: bool = False, **spec: Any) -> None:
        """Store the arguments."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.delete_on_kill = delete_on_kill
        self.spec = WaitSpec(**spec)
        if delete_on_kill and self.spec.resource is not BACKUP:
            raise PineconeInputError("delete_on_kill is only supported for backups.")

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow needs to create this trigger again.

        Returns:
            The path of the class, and its arguments.
        """
        arguments = {"conn_id": self.conn_id, "delete_on_kill": self.delete_on_kill, **asdict(self.spec)}
        return "airflow_pinecone.triggers.WaitTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait.

        Yields:
            One event: the result of the wait, as ``WaitResult.to_event`` returns it.
        """
        async with shared_polls(self.conn_id, partial(_read_client, self.conn_id, self.clock), self.clock) as polls:
            poll = partial(polls.poll, self.spec.resource, self.spec.resource_id)
            result = await wait_async(Wait(self.spec), poll, self.log.info, self.clock)
        yield TriggerEvent(result.to_event())

    async def on_kill(self) -> None:
        """Delete or keep the backup or restore when the deferred task is killed. Airflow 3.3 and later call this."""
        if not self.delete_on_kill:
            self.log.info(
                "The task was killed. %s %s is kept in Pinecone.", self.spec.resource.label, self.spec.resource_id
            )
            return
        hook = PineconeHook(self.conn_id, clock=self.clock)
        await call_airflow(
            partial(on_kill.delete_unfinished, hook, self.spec.resource_id, self.task_instance, self.log.info)
        )


async def _read_client(conn_id: str, clock: Clock) -> PineconeClient:
    # Unlike the hook, the client does not call Airflow, so its requests may run in any thread.
    return await call_airflow(lambda: PineconeHook(conn_id, clock=clock).client)
