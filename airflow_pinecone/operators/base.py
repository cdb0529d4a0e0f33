"""What the operators share: above all the wait for a backup or restore that an operator started."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_pinecone.assets import check_outlets
from airflow_pinecone.common.durations import validate_duration, validate_optional_duration
from airflow_pinecone.common.inputs import validate_bools
from airflow_pinecone.common.text import explain
from airflow_pinecone.runtime.airflow_versions import is_fail_fast
from airflow_pinecone.runtime.task import PineconeTask, WaitingTask, checked_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.errors import CreateOutcomeUnknown
    from airflow_pinecone.runtime.tries import Try
    from airflow_pinecone.waiting.decisions import Wait, WaitResult
    from airflow_pinecone.waiting.resources import Model

Found = TypeVar("Found")


class PineconeOperator(PineconeTask, BaseOperator):
    """The base class of the operators.

    Args:
        conn_id: The id of the Airflow connection.
        kwargs: The arguments of BaseOperator.
    """

    def __init__(self, *, conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        with checked_arguments():
            check_outlets(self)


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
        super().__init__(conn_id=conn_id, **kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        with checked_arguments():
            validate_bools(wait_for_completion=wait_for_completion, deferrable=deferrable)
            self.poke_interval = validate_optional_duration(poke_interval, "poke_interval")
            self.timeout = validate_duration(timeout, "timeout")
        # Airflow calls some methods without a context, and others in a new process after a deferral.
        self._try: Try | None = None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Resume after the triggerer has waited.

        Args:
            context: The context of the task.
            event: The event of the trigger.

        Returns:
            The result of the task; see ``execute``.

        Raises:
            AirflowFailException: Pinecone rejected a poll; the task is not retried.
            PineconeError: As ``execute`` documents.
        """
        from airflow_pinecone.triggers import result_of_event

        return self._run_try(
            context,
            lambda this_try: self._complete(this_try, self._result_of(result_of_event(self, context, event))),
        )

    def _execute(self, context: Context) -> Any:
        return self._run_try(context, self._run)

    def _run(self, this_try: Try) -> Any:
        """Create a backup or a restore, or find the one of an earlier try, and wait for it."""
        raise AssertionError("subclasses must override _run")

    def _run_try(self, context: Context, run: Callable[[Try], Any], *, started_at: float | None = None) -> Any:
        """Run a try, which may have started before, with the failure policy of operators."""
        from airflow_pinecone.runtime.failures import fail_without_retry
        from airflow_pinecone.runtime.tries import start_try

        self._try = start_try(context, self.clock.time() if started_at is None else started_at)
        try:
            with fail_without_retry():
                return run(self._try)
        except AirflowTaskTimeout:
            # Airflow's message is "Timeout, PID: 1234".
            raise AirflowTaskTimeout(self._execution_timeout_message(self._try)) from None

    def _execution_timeout_message(self, this_try: Try) -> str:
        if self._wait:
            return self._wait.execution_timeout_message
        label = self.resource.label
        return explain(
            f"The execution_timeout ended the task before it waited for the {label.lower()}.",
            "The log above says what it did.",
            "Increase execution_timeout.",
            f"{label} id: {this_try.resource_id}." if this_try.resource_id else "",
        )

    def wait_in_worker(self, wait: Wait, *, first: Model | None = None) -> WaitResult:
        """Wait in the worker, and tell ``on_kill`` for what."""
        if self._try:
            self._try.resource_id = wait.spec.resource_id
        return super().wait_in_worker(wait, first=first)

    def on_kill(self) -> None:
        """Delete or keep what the task has started. Airflow calls this when it kills the task's process."""
        if self._try is None or self._try.resource_id is None:
            return
        from airflow_pinecone.runtime.on_kill import delete_unfinished, log_kept, run_before_sigkill

        resource_id, ti = self._try.resource_id, self._try.context["ti"]
        if not self._deletes_on_kill:
            log_kept(self.log.info, self.resource.label, resource_id)
            return
        run_before_sigkill(partial(delete_unfinished, self.hook, resource_id, ti, self.log.info))

    @property
    def _deletes_on_kill(self) -> bool:
        # A task can be added to a DAG with fail_fast after it was created.
        return self.delete_on_kill and not is_fail_fast(self)

    def _push_id(self, this_try: Try, resource_id: str) -> None:
        """Push the id of what the task has started to XCom. Call this before any wait."""
        this_try.resource_id = resource_id
        this_try.context["ti"].xcom_push(key=self.resource.xcom_key, value=resource_id)

    def _find_created(
        self, this_try: Try, find: Callable[[], Found | None], unknown: CreateOutcomeUnknown, *, advice: str
    ) -> Found:
        """Search for the backup or restore that a create request may have created.

        Args:
            this_try: The try.
            find: Searches once; returns None if there is nothing.
            unknown: The error of the create request.
            advice: What a user can do if it is not found, in one line.

        Raises:
            CreateOutcomeUnknown: Nothing was found, or the search failed.
            ConnectionChanged: The connection names another control plane now.
        """
        from airflow_pinecone.common.text import explain
        from airflow_pinecone.errors import ConnectionChanged, CreateOutcomeUnknown, PineconeError

        resource = self.resource.label.lower()
        what = str(unknown).partition("\n")[0]
        self.log.warning("%s Searching for the %s, because: %s.", what, resource, unknown.reason)
        seconds = self._search_seconds(this_try)
        try:
            found = self._search(find, seconds)
        except ConnectionChanged:
            # A retry would search there, and find nothing.
            raise
        except PineconeError as error:
            problem = f"the search for the {resource} failed"
            problem += ", too" if error.reason == unknown.reason else f": {error.reason}"
        else:
            if found is not None:
                return found
            problem = f"the {resource} was not found within {seconds:.0f} s"
        raise CreateOutcomeUnknown(explain(what, f"{unknown.reason}; {problem}", advice), reason=unknown.reason)

    def _search(self, find: Callable[[], Found | None], seconds: float) -> Found | None:
        """Search for what this task may have created; with 0 seconds, once."""
        from airflow_pinecone.waiting.drivers import poll_until_found
        from airflow_pinecone.waiting.intervals import SEARCH_SECONDS

        if 0 < seconds < SEARCH_SECONDS:
            self.log.warning(
                "The search is limited to %.0f s instead of %.0f s, because execution_timeout is near.",
                seconds,
                SEARCH_SECONDS,
            )
        return poll_until_found(find, self.log.warning, self.clock, seconds=seconds)

    def _search_seconds(self, this_try: Try) -> float:
        """Return how long a search may take: at most half of the time until ``execution_timeout``."""
        from airflow_pinecone.waiting.intervals import SEARCH_SECONDS

        if self.execution_timeout is None:
            return SEARCH_SECONDS
        left = this_try.started_at + self.execution_timeout.total_seconds() - self.clock.time()
        return min(SEARCH_SECONDS, max(0.0, left / 2))

    def _wait_for(self, this_try: Try, resource_id: str, *, first: Model | None = None) -> Any:
        """Wait, and finish the task. ``first`` is the model, if the previous request returned it."""
        from airflow_pinecone.waiting.drivers import poll_once

        now = self.clock.time()
        deadline_at = this_try.deadline_at(self.timeout, self.execution_timeout)
        wait = self._new_wait(
            resource_id,
            started_at=now,
            deadline_at=deadline_at,
            poke_interval=self.poke_interval,
            by_execution_timeout=deadline_at < this_try.deadline_at(self.timeout, None),
        )
        if self.deferrable:
            step = wait.step(first or poll_once(partial(self.poll, resource_id)), now)
            if not step.is_over:
                from airflow_pinecone.triggers import defer

                defer(self, this_try.context, wait, delete_on_kill=self._deletes_on_kill)
            result = step
        else:
            result = self.wait_in_worker(wait, first=first)
        return self._complete(this_try, self._result_of(result))

    def _complete(self, this_try: Try, model: Any) -> Any:
        """Finish a successful task and return its result. Subclasses can override this."""
        this_try.result = model
        return model
