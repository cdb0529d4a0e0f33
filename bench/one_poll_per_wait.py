"""The trigger that `make bench` compares with: each wait polls by itself, as in the first design of this package."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cache, partial
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.common.clock import SYSTEM_CLOCK, monotonic_epoch_clock
from airflow_pinecone.errors import PineconeConnectionError, PineconeError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.runtime.airflow_versions import call_airflow
from airflow_pinecone.waiting.decisions import NextPoll, Wait, WaitResult, WaitSpec
from airflow_pinecone.waiting.resources import BACKUP, Model

_THREADS_PER_CONNECTION = 16
_LAST_POLL_SECONDS = 2.0


class OnePollPerWait(BaseTrigger):
    """Wait for a backup with a connection and a client of its own. The arguments are those of WaitTrigger."""

    def __init__(self, *, conn_id: str, delete_on_kill: bool = False, **spec: Any) -> None:
        """Store the arguments."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.delete_on_kill = delete_on_kill
        self.spec = WaitSpec(**spec)
        self._client: PineconeClient | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class, and its arguments."""
        arguments = {"conn_id": self.conn_id, "delete_on_kill": self.delete_on_kill, **asdict(self.spec)}
        return "one_poll_per_wait.OnePollPerWait", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the result of the wait."""
        result = await self._wait(Wait(self.spec), self.log.info)
        yield TriggerEvent(result.to_event())

    async def _wait(self, wait: Wait, log: Callable[[str], object]) -> WaitResult:
        log(wait.opening)
        now = monotonic_epoch_clock(SYSTEM_CLOCK)
        await SYSTEM_CLOCK.sleep_async(wait.interval(now()))
        while True:
            outcome: Model | PineconeError
            seconds = max(self.spec.deadline_at - now(), _LAST_POLL_SECONDS)
            try:
                outcome = await asyncio.wait_for(self._poll(), seconds)
            except TimeoutError:
                outcome = PineconeConnectionError(f"The poll had no result within {seconds:.0f} s.", sent=True)
            except PineconeError as error:
                outcome = error
            step = wait.step(outcome, now())
            if not isinstance(step, NextPoll):
                return step
            if step.message:
                log(step.message)
            await SYSTEM_CLOCK.sleep_async(step.seconds)

    async def _poll(self) -> Model:
        if self._client is None:
            self._client = await call_airflow(lambda: PineconeHook(self.conn_id).client)
        poll = partial(BACKUP.poll, self._client, self.spec.resource_id)
        return await asyncio.get_running_loop().run_in_executor(_threads(self.conn_id), poll)


@cache
def _threads(conn_id: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS_PER_CONNECTION, thread_name_prefix=f"bench-{conn_id}")
