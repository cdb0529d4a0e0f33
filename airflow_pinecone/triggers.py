"""The wait for a backup or a restore in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from functools import cache, cached_property, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_pinecone import on_kill
from airflow_pinecone._airflow_compat import call_airflow
from airflow_pinecone.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.errors import PineconeConnectionError, PineconeInputError, PineconePermanentError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.waiting.decisions import Wait, WaitSpec
from airflow_pinecone.waiting.drivers import wait_async
from airflow_pinecone.waiting.pace import DEFERRAL_MARGIN
from airflow_pinecone.waiting.resources import BACKUP

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_pinecone.client import PineconeClient
    from airflow_pinecone.waiting.resources import Model

_THREADS_PER_CONNECTION = 16
_POLL_MARGIN_SECONDS = 5.0


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
        self._client: PineconeClient | None = None

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
        result = await wait_async(Wait(self.spec), self._poll, self.log.info, self.clock)
        yield TriggerEvent(result.to_event())

    @cached_property
    def _hook(self) -> PineconeHook:
        return PineconeHook(self.conn_id, clock=self.clock)

    async def on_kill(self) -> None:
        """Delete or keep the backup or restore when the deferred task is killed. Airflow 3.3 and later call this."""
        if not self.delete_on_kill:
            self.log.info(
                "The task was killed. %s %s is kept in Pinecone.", self.spec.resource.label, self.spec.resource_id
            )
            return
        await call_airflow(
            partial(on_kill.delete_unfinished, self._hook, self.spec.resource_id, self.task_instance, self.log.info)
        )

    async def _poll(self) -> Model:
        if self._client is None:
            self._client = await call_airflow(lambda: self._hook.client)
        try:
            return await self._poll_in_thread(self._client)
        except PineconePermanentError as error:
            if error.status_code != HTTPStatus.UNAUTHORIZED:
                raise
        # The API key may have been replaced since the connection was read.
        self._client = await call_airflow(self._hook.reload)
        return await self._poll_in_thread(self._client)

    async def _poll_in_thread(self, client: PineconeClient) -> Model:
        # Unlike the hook, the client does not call Airflow, so its requests may run in any thread.
        poll = partial(self.spec.resource.poll, client, self.spec.resource_id)
        # A poll is at most two requests. It takes longer only if all threads of the connection are busy.
        seconds = 2 * client.timeout + _POLL_MARGIN_SECONDS
        future = asyncio.get_running_loop().run_in_executor(poll_executor(self.conn_id), poll)
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            text = f"Could not poll {self.spec.resource_id}: no response within {seconds:g} s."
            raise PineconeConnectionError(text, sent=True) from None


@cache
def poll_executor(conn_id: str) -> ThreadPoolExecutor:
    """Return the threads that poll for a connection.

    All triggers of the triggerer share the default executor of the event loop. Polls of a Pinecone that does not
    respond would occupy it. With one executor for each connection, they do not delay the polls of other connections
    either.

    Args:
        conn_id: The id of the Airflow connection.

    Returns:
        The executor, the same one each time.
    """
    return ThreadPoolExecutor(_THREADS_PER_CONNECTION, thread_name_prefix=f"pinecone-{conn_id}")
