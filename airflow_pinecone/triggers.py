"""The wait for a backup or a restore in the triggerer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_pinecone.api.settings import Settings
from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.common.inputs import validate_bools
from airflow_pinecone.common.text import explain, one_line
from airflow_pinecone.errors import InvalidWaitResult, PineconeInputError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.runtime.airflow_versions import call_airflow
from airflow_pinecone.runtime.on_kill import delete_unfinished, log_kept
from airflow_pinecone.waiting.decisions import Wait, WaitResult, WaitSpec
from airflow_pinecone.waiting.drivers import wait_async
from airflow_pinecone.waiting.intervals import deferral_timeout
from airflow_pinecone.waiting.resources import BACKUP
from airflow_pinecone.waiting.shared_polls import shared_polls

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["WaitTrigger"]


def defer(task: Any, context: Context, wait: Wait, *, delete_on_kill: bool = False) -> NoReturn:
    """Defer a WaitingTask until a wait ends. It resumes in ``execute_complete(context, event)``."""
    try:
        control_plane, fingerprint = task.hook.settings.url, task.hook.client.settings.fingerprint
    except PineconeInputError:  # The connection cannot be read now. The trigger reads it again.
        control_plane = fingerprint = None
    trigger = WaitTrigger(
        conn_id=task.conn_id,
        control_plane=control_plane,
        fingerprint=fingerprint,
        delete_on_kill=delete_on_kill,
        **asdict(wait.spec_to_store),
    )
    task.defer(
        trigger=trigger,
        method_name="execute_complete",
        kwargs={"try_number": context["ti"].try_number},
        timeout=deferral_timeout(wait.spec.deadline_at, task.clock.time()),
    )
    raise AssertionError("unreachable: defer raises TaskDeferred")


def result_of_event(task: Any, context: Context, event: Any) -> WaitResult:
    """Return the result of a wait in the triggerer.

    If the triggerer cannot use the connection of the task, for example because it has the connection of another team,
    the wait continues in the worker. If the triggerer had a newer API key than the task, the task is deferred again.
    """
    result = WaitResult.from_event(event, task.resource)
    if not isinstance(result.error, PineconeInputError) or "trigger" not in event:
        return result
    try:
        trigger = WaitTrigger(**event["trigger"])
    except (TypeError, PineconeInputError) as error:
        raise InvalidWaitResult(f"The triggerer returned an invalid event: {one_line(event)}.") from error
    with suppress(PineconeInputError):  # The polls have the same error.
        settings = task.hook.settings
        if trigger.control_plane not in (None, settings.url):
            return result
        if trigger.fingerprint == settings.fingerprint:
            task.log.info(f"Connection {task.conn_id} was changed. Waiting in the triggerer again.")
            defer(task, context, Wait(trigger.spec), delete_on_kill=trigger.delete_on_kill)
    what = f"The triggerer cannot use connection {task.conn_id} of this task. Waiting in the worker."
    task.log.warning(explain(what, str(result.error)))
    return cast("WaitResult", task.wait_in_worker(Wait(trigger.spec)))


class WaitTrigger(BaseTrigger):
    """Wait until a backup or a restore has finished, an index has a fresh backup, or the wait times out.

    Airflow stores the arguments in its metadata database. They do not include the API key.

    Args:
        conn_id: The id of the Airflow connection.
        control_plane: The URL of the control plane at which the task has started. If the connection names another one,
            the task resumes with ConnectionChanged. None accepts any.
        fingerprint: The fingerprint of the connection that the task has read. If the trigger reads a connection with
            another one when it starts, the task resumes, and waits itself. None accepts any.
        delete_on_kill: Whether to delete the backup, if it is not finished, when the task is marked as failed.
        spec: The fields of a WaitSpec: ``resource_type`` (``backup``, ``restore``, ``freshness``, ``schedule``,
            ``record_counts`` or ``import``), ``resource_id``, ``started_at`` and ``deadline_at`` in seconds since the
            epoch, and others.

    Raises:
        PineconeInputError: An argument is invalid.
    """

    clock: Clock = SYSTEM_CLOCK

    def __init__(
        self,
        *,
        conn_id: str,
        control_plane: str | None = None,
        fingerprint: str | None = None,
        delete_on_kill: bool = False,
        **spec: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        validate_bools(delete_on_kill=delete_on_kill)
        self.conn_id = conn_id
        self.control_plane = control_plane
        self.fingerprint = fingerprint
        self.delete_on_kill = delete_on_kill
        self.spec = WaitSpec(**spec)
        if delete_on_kill and self.spec.resource is not BACKUP:
            raise PineconeInputError("delete_on_kill is only supported for backups.")

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow needs to create this trigger again.

        Returns:
            The path of the class, and its arguments.
        """
        arguments = {
            "conn_id": self.conn_id,
            "control_plane": self.control_plane,
            "fingerprint": self.fingerprint,
            "delete_on_kill": self.delete_on_kill,
        }
        return "airflow_pinecone.triggers.WaitTrigger", {**arguments, **asdict(self.spec)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait.

        Yields:
            One event: the result of the wait, as ``WaitResult.to_event`` returns it. If the connection cannot be used,
            or is not that of the task, it also has the arguments of the trigger, with the fingerprint that was read.
        """
        read_settings = partial(call_airflow, self._read_settings)
        async with shared_polls(self.conn_id, self.control_plane, self.fingerprint, read_settings, self.clock) as polls:
            poll = partial(polls.poll, self.spec.resource, self.spec.resource_id)
            poll_now = partial(polls.poll_now, self.spec.resource, self.spec.resource_id)
            result = await wait_async(Wait(self.spec), poll, poll_now, self.log.log, self.clock)
            event = result.to_event()
            # Otherwise the input is invalid in another way, and the worker would have the same error.
            if isinstance(result.error, PineconeInputError) and polls.read_fingerprint != self.fingerprint:
                event["trigger"] = {**self.serialize()[1], "fingerprint": polls.read_fingerprint}
        yield TriggerEvent(event)

    async def on_kill(self) -> None:
        """Delete or keep the backup or restore when the deferred task is killed. Airflow 3.3 and later call this."""
        if not self.delete_on_kill:
            log_kept(self.log.info, self.spec.resource.label, self.spec.resource_id)
            return
        hook = PineconeHook(self.conn_id, clock=self.clock)
        await call_airflow(partial(delete_unfinished, hook, self.spec.resource_id, self.task_instance, self.log.info))

    def _read_settings(self) -> Settings:
        # The waits of a connection share a client, which does not call Airflow: its requests run in any thread.
        return PineconeHook(self.conn_id, clock=self.clock).settings
