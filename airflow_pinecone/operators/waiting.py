"""What the operators share that begin something in Pinecone and can wait for it."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_pinecone import polling
from airflow_pinecone.errors import PineconePermanentError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.hooks import PineconeHook
    from airflow_pinecone.models import Kind


class WaitingOperator(BaseOperator):
    """An operator that begins something in Pinecone and can wait for it, in the worker or in the triggerer.

    Args:
        conn_id: The Airflow connection.
        wait_for_completion: Whether to wait.
        deferrable: Whether to wait in the triggerer.
        poke_interval: Seconds between two polls, or a timedelta; None lets the pause grow with the wait.
        timeout: Seconds that the wait may last, or a timedelta.
        kwargs: As of BaseOperator.
    """

    kind: ClassVar[Kind]
    xcom_key: ClassVar[str]
    # CreateBackupOperator lets the user say; a restore always stays.
    delete_on_kill = False

    def __init__(
        self,
        *,
        conn_id: str,
        wait_for_completion: bool,
        deferrable: bool,
        poke_interval: float | timedelta | None,
        timeout: float | timedelta,
        **kwargs: Any,
    ) -> None:
        """Store the arguments."""
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poke_interval = None if poke_interval is None else polling.seconds(poke_interval, "poke_interval")
        self.timeout = polling.seconds(timeout, "timeout")
        self._begun: tuple[str, Any] | None = None

    def execute_complete(self, context: Context, event: polling.Event) -> Any:
        """Go on after the triggerer waited.

        Args:
            context: The task's context.
            event: How the wait ended.

        Returns:
            What was waited for, done.

        Raises:
            AirflowFailException: Pinecone refused; not retried.
            PineconeError: As ``execute`` says.
        """
        return self._finish(context, event)

    def on_kill(self) -> None:
        """Say, or decide, what becomes of it when the task is ended from outside; Airflow calls this."""
        if self._begun is None:
            return
        ident, ti = self._begun
        if not self.delete_on_kill:
            self.log.info("The task was ended; %s %s stays in Pinecone", self.kind, ident)
            return
        from airflow_pinecone import kills

        kills.in_a_moment(partial(kills.delete_unfinished, self.conn_id, ident, ti, self.log.info))

    def _began(self, context: Context, ident: str) -> None:
        """Make known what was begun, before any wait: whatever happens now, its id is in XCom."""
        self._begun = ident, context["ti"]
        context["ti"].xcom_push(key=self.xcom_key, value=ident)

    def _wait_for(
        self, context: Context, hook: PineconeHook, ident: str, *, started: float, first: polling.Model | None
    ) -> Any:
        """Wait, and finish.

        Args:
            context: The task's context.
            hook: The hook that began it; the polls use its connection.
            ident: The id.
            started: When the task began to execute, in seconds since the epoch.
            first: It as it is now, if that is known.

        Returns:
            What was waited for, done.
        """
        deadline = polling.deadline(started, self.timeout, self.execution_timeout)
        now = time.time()
        wait = polling.Wait(ident, self.kind, started=now, deadline=deadline, poke_interval=self.poke_interval)
        poll = hook.poll(self.kind, ident)
        if self.deferrable and isinstance(wait.step(first or polling.attempt(poll), now), polling.Pause):
            # Imported here, as the DAG processor pays for an import at every parse.
            from airflow_pinecone.triggers import defer

            defer(self, self.conn_id, wait, delete_on_kill=self.delete_on_kill)
        return self._finish(context, polling.wait(wait, poll, self.log.info, first=first))

    def _finish(self, context: Context, event: polling.Event) -> Any:
        try:
            model = polling.conclude(event)
        except PineconePermanentError as error:
            raise AirflowFailException(str(error)) from error
        return self._done(context, model)

    def _done(self, context: Context, model: Any) -> Any:
        """Do what is left to do when all went well; returns the task's result."""
        return model
