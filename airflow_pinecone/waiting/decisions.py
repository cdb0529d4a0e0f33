"""Decide what the outcome of a poll means: the wait ends, or it continues. Nothing here does I/O or reads a clock.

The worker, the triggerer and the sensors use the same decisions; see ``drivers``. Airflow stores two of the types in
its metadata database: WaitSpec as the arguments of a trigger, and WaitResult as the event of a trigger.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, cast

from airflow_pinecone.api.models import xcom_safe
from airflow_pinecone.common.durations import is_number
from airflow_pinecone.common.text import explain, one_line, show_request_id, show_seconds, show_time, truncate
from airflow_pinecone.errors import (
    InvalidWaitResult,
    NotFound,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    PineconeRequestError,
    PineconeTransientError,
    PineconeUnreachable,
    WaitTimeout,
)
from airflow_pinecone.waiting.intervals import (
    MIN_REJECTED_SECONDS,
    MIN_RESCHEDULE_INTERVAL,
    TEMPORARY_REJECTIONS,
    FailedPolls,
    RejectedPolls,
    poll_interval,
)
from airflow_pinecone.waiting.resources import FRESHNESS, RECORD_COUNTS, RESOURCES, SCHEDULE, Model, Resource

# It may not exist.
_NOT_VISIBLE = "it is not visible yet"


@dataclass(frozen=True)
class WaitSpec:
    """What to wait for, and for how long.

    Attributes:
        resource_type: ``backup``, ``restore``, ``freshness``, ``schedule``, ``record_counts`` or ``import``.
        resource_id: The id of the backup, of the restore job or of the backup schedule, or the name of the index that
            must have a fresh backup, or report its records. For an import, the name of its index and its id.
        started_at: When the wait started, in seconds since the epoch.
        deadline_at: When the wait times out, in seconds since the epoch.
        poke_interval: Seconds between two polls; None increases the interval with the time waited.
        by_execution_timeout: Whether the deadline is that of ``execution_timeout``.
        max_age: A backup is fresh if it is younger than this, in seconds; only for ``freshness``.
        since: From when on a run of a backup schedule counts, in seconds since the epoch; only for ``schedule``.
        index_name: The index of the backup or of the restore job for messages, if it is known.
        expected_count: The number of records that an index must report; only for ``record_counts``. None if unknown.

    Raises:
        PineconeInputError: A value is invalid.
    """

    resource_type: str
    resource_id: str
    started_at: float
    deadline_at: float
    poke_interval: float | None = None
    by_execution_timeout: bool = False
    max_age: float | None = None
    since: float | None = None
    index_name: str | None = None
    expected_count: int | None = None

    def __post_init__(self) -> None:
        """Check the values: they may come back from Airflow's database."""
        times_are_valid = is_number(self.started_at) and is_number(self.deadline_at)
        interval = self.poke_interval
        interval_is_valid = interval is None or (is_number(interval) and interval > 0)
        if self.resource_type == FRESHNESS.name:
            age_is_valid = is_number(self.max_age) and (self.max_age or 0) > 0
        else:
            age_is_valid = self.max_age is None
        since_is_valid = is_number(self.since) if self.resource_type == SCHEDULE.name else self.since is None
        count = self.expected_count
        count_is_valid = count is None or (
            self.resource_type == RECORD_COUNTS.name and type(count) is int and count >= 0
        )
        rest_is_valid = isinstance(self.by_execution_timeout, bool) and isinstance(self.index_name, str | None)
        conditions_are_valid = age_is_valid and since_is_valid and count_is_valid
        values_are_valid = times_are_valid and interval_is_valid and conditions_are_valid and rest_is_valid
        if self.resource_type not in RESOURCES or not values_are_valid:
            raise PineconeInputError(
                explain(
                    "The arguments of the wait are invalid.",
                    one_line(asdict(self)),
                    "Install the same version of this package for the workers and the triggerer.",
                )
            )

    @property
    def resource(self) -> Resource:
        """The properties of the resource type."""
        return RESOURCES[self.resource_type]


class NextPoll(NamedTuple):
    """The wait continues.

    Attributes:
        seconds: Seconds until the next poll.
        message: What to log, or None if the state has not changed.
        level: The level of the message, as in ``logging``: the poll failed, or it returned a model.
    """

    seconds: float
    message: str | None
    level: int = logging.INFO
    is_over: Literal[False] = False


@dataclass(frozen=True)
class WaitResult:
    """The result of a wait: a model or an error.

    Attributes:
        model: The backup when it is Ready, or the restore when its index is ready.
        error: Why the wait did not succeed.
        index_name: The index of a backup or restore job that failed, if it is known.
        message: A warning to log, or None. An event does not include it.
    """

    model: Model | None = None
    error: PineconeError | None = None
    index_name: str | None = None
    message: str | None = None
    level: ClassVar[int] = logging.WARNING
    is_over: ClassVar[Literal[True]] = True

    def result_or_raise(self) -> Any:
        """Return the model, or raise the error."""
        if self.error is not None:
            raise self.error
        return xcom_safe(self.model)

    def to_event(self) -> dict[str, Any]:
        """Return the result as JSON types, for the event of a trigger."""
        if self.error is None:
            return {"model": xcom_safe(self.model), "error": None}
        error = {name: getattr(self.error, name, None) for name in ("status_code", "code", "message", "request_id")}
        error |= {"type": type(self.error).__name__, "text": str(self.error), "reason": self.error.reason}
        error |= {"index_name": self.index_name}
        return {"model": None, "error": error}

    @classmethod
    def from_event(cls, event: Any, resource: Resource) -> WaitResult:
        """Read the event of a trigger, or raise InvalidWaitResult if it is not from a wait for this resource type."""
        match event:
            case {"error": None, "model": {"status": str()} as model} if _succeeded(model, resource):
                return cls(model=model)
            case {"error": {"type": str() as name, "text": str() as text} as error}:
                for error_class in _ends_of_wait(resource):
                    if error_class.__name__ == name and _facts_are_valid(error):
                        return cls(error=_error(error_class, text, error), index_name=error.get("index_name"))
        raise InvalidWaitResult(
            explain(
                "The triggerer returned an event that is not the result of a wait.",
                truncate(one_line(event), 100),
                "Install one version of this package on workers and triggerer. If no retry is left, clear the task.",
            )
        )


def _ends_of_wait(resource: Resource) -> Iterator[type[PineconeError]]:
    """Yield the classes of the errors with which a wait can end."""
    yield from (resource.failed, resource.not_found, WaitTimeout, PineconeUnreachable)
    yield from _tree(PineconePermanentError)
    yield from _tree(PineconeInputError)


def _tree(error_class: type[PineconeError]) -> Iterator[type[PineconeError]]:
    yield error_class
    for subclass in error_class.__subclasses__():
        yield from _tree(subclass)


def _succeeded(model: Any, resource: Resource) -> bool:
    try:
        return resource.phase(model) == "succeeded"
    except KeyError:
        return False


def _facts_are_valid(error: Mapping[str, Any]) -> bool:
    names = ("code", "message", "reason", "request_id", "index_name")
    texts = all(isinstance(error.get(name), str | None) for name in names)
    return texts and "status_code" in error and isinstance(error["status_code"], int | None)


def _error(error_class: type[PineconeError], text: str, facts: Mapping[str, Any]) -> PineconeError:
    # Earlier releases stored no reason.
    reason = facts.get("reason") or ""
    if not issubclass(error_class, PineconeRequestError):
        return error_class(text, reason=reason)
    return error_class(
        text,
        reason=reason,
        status_code=facts.get("status_code"),
        code=facts.get("code"),
        message=facts.get("message") or "",
        request_id=facts.get("request_id"),
    )


class Wait:
    """The decisions of one wait.

    Args:
        spec: What the wait is for.
        rescheduled: Whether each poll runs in a new process, as in reschedule mode. The number of failed polls is then
            unknown, so they do not end the wait, and the interval is at least 60 seconds.
    """

    def __init__(self, spec: WaitSpec, *, rescheduled: bool = False) -> None:
        self.spec = spec
        self._resource = spec.resource
        self._rescheduled = rescheduled
        self._failed_polls = FailedPolls()
        self._rejected_polls = RejectedPolls()
        self._seen = False
        self._index = spec.index_name
        self._logged: str | None = None
        self._is_of_index = self._resource in (FRESHNESS, RECORD_COUNTS)
        self._continues = "" if self._is_of_index else "It continues in Pinecone. "

    def __str__(self) -> str:
        """Return such as ``Backup b-1``, for the start of a sentence."""
        return f"{self._resource.label} {self.spec.resource_id}"

    @property
    def opening(self) -> str:
        """The message for the start of the wait."""
        return f"Waiting until {show_time(self.spec.deadline_at)} for {self.name} to {self._resource.goal}."

    @property
    def name(self) -> str:
        """Such as ``backup b-1``, for the middle of a sentence."""
        return f"{self._resource.label.lower()} {self.spec.resource_id}"

    @property
    def spec_to_store(self) -> WaitSpec:
        """The spec, with the index that the polls have named."""
        return replace(self.spec, index_name=self._index)

    @property
    def execution_timeout_message(self) -> str:
        """The message if Airflow ends the task while it waits."""
        return self._message(
            f"did not {self._resource.goal} before the execution_timeout",
            self._logged or "It was not polled.",
            f"{self._continues}To wait longer, increase execution_timeout.",
        )

    def step(self, outcome: Model | PineconeError, now: float) -> WaitResult | NextPoll:
        """Decide what the outcome of a poll means.

        Args:
            outcome: The model, or the error of the poll.
            now: Seconds since the epoch.

        Returns:
            The result if the wait has ended, or the next poll.
        """
        if isinstance(outcome, PineconeError):
            return self._step_after_error(outcome, now)
        self._failed_polls.reset()
        self._rejected_polls.reset()
        self._seen = True
        model, warning = self._resource.judge(outcome, self.spec, now)
        self._index = cast("str | None", model.get(self._resource.index_field)) or self._index
        phase = self._resource.phase(model)
        if phase == "succeeded":
            return WaitResult(model=model, message=warning)
        state = self._resource.state(model)
        if phase == "failed":
            return self._end(self._resource.failed, "failed", state, self._resource.remedy)
        return self._continue_or_time_out(now, state)

    def interval(self, now: float, at_least: float = 0.0) -> float:
        """Return the seconds until the next poll: at least so many, unless the deadline is earlier.

        A rescheduled wait may poll after its deadline, because Airflow ends it.
        """
        interval = max(poll_interval(now - self.spec.started_at, self.spec.poke_interval), at_least)
        if self._rescheduled:
            return max(interval, MIN_RESCHEDULE_INTERVAL)
        return max(0.0, min(interval, self.spec.deadline_at - now))

    def _step_after_error(self, error: PineconeError, now: float) -> WaitResult | NextPoll:
        if isinstance(error, PineconeTransientError):
            self._rejected_polls.reset()
            at_least = self._failed_polls.add(error)
            count = self._failed_polls.count
            if self._failed_polls.too_many:
                advice = f"{self._continues}If no retry is left, clear the task when Pinecone responds again."
                what = f"could not be polled: {count} consecutive polls failed"
                return self._end(PineconeUnreachable, what, error.reason, advice, error)
            return self._continue_or_time_out(
                now,
                f"the poll failed: {error.reason}",
                at_least=at_least,
                level=logging.WARNING,
                repeated=f"consecutive failed polls: {count}",
            )
        self._failed_polls.reset()
        if isinstance(error, TEMPORARY_REJECTIONS):
            return self._step_after_rejection(error, now)
        return WaitResult(error=error)

    def _step_after_rejection(self, error: PineconeError, now: float) -> WaitResult | NextPoll:
        if self._rescheduled:
            # Each poll is a new process, which does not know of the polls before it.
            persists = now - self.spec.started_at >= MIN_REJECTED_SECONDS
        else:
            persists = self._rejected_polls.add(now)
        if not persists:
            if isinstance(error, NotFound) and not self._seen:
                return self._continue_or_time_out(now, _NOT_VISIBLE)
            return self._continue_or_time_out(now, f"the poll was rejected: {error.reason}", level=logging.WARNING)
        resource = self._resource
        if isinstance(error, NotFound) and resource.not_found is not NotFound:
            return self._end(resource.not_found, resource.disappeared, error.reason, resource.remedy, error)
        return WaitResult(error=error)

    def _continue_or_time_out(
        self, now: float, state: str, *, at_least: float = 0.0, level: int = logging.INFO, repeated: str | None = None
    ) -> WaitResult | NextPoll:
        """Continue and log the state; if it is that of the previous poll, log ``repeated``."""
        if now >= self.spec.deadline_at:
            waited = show_seconds(max(0.0, now - self.spec.started_at))
            what = f"did not {self._resource.goal} within {waited}"
            if self.spec.by_execution_timeout:
                limit = "execution_timeout"
            else:
                limit = "timeout, and execution_timeout if it is set"
            continues = "" if state == _NOT_VISIBLE else self._continues
            return self._end(WaitTimeout, what, state, f"{continues}To wait longer, increase {limit}.")
        message = repeated if state == self._logged else state
        self._logged = state
        return NextPoll(self.interval(now, at_least), message and f"{self}: {message}", level)

    def _end(
        self,
        error_class: type[PineconeError],
        what: str,
        why: str,
        advice: str,
        error: PineconeError | None = None,
    ) -> WaitResult:
        """End the wait. ``what`` completes 'The backup ...'; ``error`` is the one of the last poll."""
        text = self._message(what, why, advice, error)
        return WaitResult(error=error_class(text, reason=why), index_name=self._index)

    def _message(self, what: str, why: str, advice: str, error: PineconeError | None = None) -> str:
        request_id = show_request_id(error.request_id if isinstance(error, PineconeRequestError) else None)
        label, resource_id = self._resource.label, self.spec.resource_id
        if self._is_of_index:
            return explain(f"Index {resource_id} {what}.", why, advice, request_id)
        of_index = f" of index {self._index}" if self._index else ""
        ids = f"{label} id: {resource_id}. {request_id}".rstrip()
        return explain(f"The {label.lower()}{of_index} {what}.", why, advice, ids)
