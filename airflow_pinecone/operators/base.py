"""What the operators share: above all the wait for a backup or restore that an operator started."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_pinecone.runtime.task import PineconeTask, WaitingTask, checked_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_pinecone.errors import CreateOutcomeUnknown
    from airflow_pinecone.waiting.decisions import WaitResult
    from airflow_pinecone.waiting.resources import Model

    Found = TypeVar("Found")
else:
    # Airflow inspects each class that derives from BaseOperator, so only the operators themselves do.
    BaseOperator = object


class PineconeOperator(PineconeTask, BaseOperator):
    """The base class of the operators.

    Args:
        conn_id: The id of the Airflow connection.
        kwargs: The arguments of BaseOperator.
    """

    def __init__(self, *, conn_id: str, **kwargs: Any) -> None:
        """Store the arguments."""
        super().__init__(**kwargs)
        self.conn_id = conn_id


class WaitingOperator(WaitingTask, PineconeOperator):
    """The base class of operators that start a backup or restore and can wait for it.

    Args:
        conn_id: The id of the Airflow connection.
        wait_for_completion: Whether to wait.
        deferrable: Whether to wait in the triggerer.
        poke_interval: Seconds between two polls, or a timedelta; None increases the interval with the time waited.
        timeout: Seconds until the wait times out, or a timedelta.
        kwargs: The arguments of BaseOperator.
    """

    # CreateBackupOperator has a parameter for this. A restore is always kept.
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
        super().__init__(conn_id=conn_id, **kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poke_interval = None if poke_interval is None else checked_duration(poke_interval, "poke_interval")
        self.timeout = checked_duration(timeout, "timeout")
        self._started: tuple[str, Any] | None = None
        self._started_at = 0.0
        # How long this try waited on purpose before it started the backup or restore. The timeout starts after that.
        self._settled_seconds = 0.0

    def execute_complete(self, context: Context, event: dict[str, Any], try_number: int | None = None) -> Any:
        """Resume after the triggerer has waited.

        Args:
            context: The context of the task.
            event: The event of the trigger.
            try_number: The number of the try that was deferred.

        Returns:
            The result of the task; see ``execute``.

        Raises:
            AirflowFailException: Pinecone rejected a poll; the task is not retried.
            PineconeError: As ``execute`` documents.
        """
        from airflow_pinecone.runtime.airflow_versions import is_event_of_another_try
        from airflow_pinecone.runtime.failures import fail_without_retry
        from airflow_pinecone.waiting.decisions import WaitResult

        if is_event_of_another_try(context, try_number):
            self.log.info("Ignoring the event of try %s: this is try %s.", try_number, context["ti"].try_number)
            return self._execute(context)
        with fail_without_retry():
            return self._finish(context, WaitResult.from_event(event, self.resource))

    def _execute(self, context: Context) -> Any:
        """Run the task from its start. Airflow warns about calls of ``execute`` that are not its own."""
        raise AssertionError("subclasses must override _execute")

    def on_kill(self) -> None:
        """Delete or keep what the task has started. Airflow calls this when it kills the task's process."""
        if self._started is None:
            return
        resource_id, ti = self._started
        if not self._deletes_on_kill:
            self.log.info("The task was killed. %s %s is kept in Pinecone.", self.resource.label, resource_id)
            return
        from airflow_pinecone.runtime.on_kill import delete_unfinished, run_before_sigkill

        run_before_sigkill(partial(delete_unfinished, self.hook, resource_id, ti, self.log.info))

    @property
    def _deletes_on_kill(self) -> bool:
        from airflow_pinecone.runtime.airflow_versions import is_fail_fast

        # A task can be added to a DAG with fail_fast after it was created.
        return self.delete_on_kill and not is_fail_fast(self)

    def _push_id(self, context: Context, resource_id: str) -> None:
        """Push the id of what the task has started to XCom. Call this before any wait."""
        self._started = resource_id, context["ti"]
        context["ti"].xcom_push(key=self.resource.xcom_key, value=resource_id)

    def _find_created(self, find: Callable[[], Found | None], unknown: CreateOutcomeUnknown, *, advice: str) -> Found:
        """Search for the backup or restore that a create request may have created.

        Args:
            find: Searches once; returns None if there is nothing.
            unknown: The error of the create request.
            advice: What a user can do if it is not found.

        Returns:
            What was found.

        Raises:
            CreateOutcomeUnknown: Nothing was found, or the search failed.
        """
        from airflow_pinecone.errors import CreateOutcomeUnknown, PineconeError

        resource = self.resource.label.lower()
        self.log.warning("%s Searching for the %s.", unknown, resource)
        seconds = self._search_seconds()
        try:
            found = self._search(find, seconds)
        except PineconeError as error:
            raise CreateOutcomeUnknown(f"{unknown} The search for the {resource} also failed. {error}") from error
        if found is None:
            raise CreateOutcomeUnknown(
                f"{unknown} The {resource} was not found within {seconds:.0f} s. {advice}"
            ) from unknown
        return found

    def _search(self, find: Callable[[], Found | None], seconds: float) -> Found | None:
        """Search for what this task may have created."""
        from airflow_pinecone.waiting.drivers import SEARCH_SECONDS, poll_until_found

        if seconds < SEARCH_SECONDS:
            self.log.warning(
                "The search is limited to %.0f s instead of %.0f s, because execution_timeout is near.",
                seconds,
                SEARCH_SECONDS,
            )
        return poll_until_found(find, self.log.warning, self.clock, seconds=seconds)

    def _search_seconds(self) -> float:
        """Return how long a search may take: at most half of the time until ``execution_timeout``."""
        from airflow_pinecone.waiting.drivers import SEARCH_SECONDS

        if self.execution_timeout is None:
            return SEARCH_SECONDS
        left = self._started_at + self.execution_timeout.total_seconds() - self.clock.time()
        return min(SEARCH_SECONDS, max(0.0, left / 2))

    def _wait_for(self, context: Context, resource_id: str, *, first: Model | None = None) -> Any:
        """Wait, and finish the task.

        Args:
            context: The context of the task.
            resource_id: The id of the backup or of the restore job.
            first: The model, if the previous request returned it.

        Returns:
            The result of the task.
        """
        from airflow_pinecone.waiting.decisions import Pause, Wait, WaitSpec
        from airflow_pinecone.waiting.drivers import poll_once, wait_sync
        from airflow_pinecone.waiting.intervals import deadline_of

        now = self.clock.time()
        spec = WaitSpec(
            resource_type=self.resource_type,
            resource_id=resource_id,
            started_at=now,
            deadline_at=deadline_of(self._started_at, self._settled_seconds + self.timeout, self.execution_timeout),
            poke_interval=self.poke_interval,
        )
        wait = Wait(spec)
        poll = partial(self.hook.call, lambda client: self.resource.poll(client, resource_id))
        if not self.deferrable:
            return self._finish(context, wait_sync(wait, poll, self.log.info, self.clock, first=first))
        step = wait.step(first or poll_once(poll), now)
        if isinstance(step, Pause):
            from airflow_pinecone.triggers import defer

            defer(self, context, self.conn_id, spec, now=self.clock.time(), delete_on_kill=self._deletes_on_kill)
        return self._finish(context, step)

    def _finish(self, context: Context, result: WaitResult) -> Any:
        return self._complete(context, self._result_of(result))

    def _complete(self, context: Context, model: Any) -> Any:
        """Finish a successful task and return its result. Subclasses can override this."""
        return model
