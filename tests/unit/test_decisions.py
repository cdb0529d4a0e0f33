"""What a poll means: decisions without I/O. And what Airflow stores of a wait: WaitSpec and WaitResult."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pinecone.errors import (
    BackupFailed,
    BackupNotFound,
    ConnectionNotFound,
    InvalidWaitResult,
    NotFound,
    PermissionDenied,
    PineconeConnectionError,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    PineconeRequestError,
    PineconeTransientError,
    PineconeUnreachable,
    QuotaExceeded,
    RestoreFailed,
    RestoreNotFound,
    Unauthorized,
    WaitTimeout,
)
from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT
from airflow_pinecone.waiting.decisions import NextPoll, Wait, WaitResult, WaitSpec
from airflow_pinecone.waiting.intervals import MAX_FAILED_POLLS, MAX_INTERVAL
from airflow_pinecone.waiting.resources import BACKUP, FRESHNESS, RESOURCES, RESTORE, SCHEDULE, Resource

STARTED_AT = 1000.0
TRANSIENT = [
    PineconeTransientError("503", status_code=503),
    PineconeTransientError("429", status_code=429, retry_after=1e9),
    PineconeConnectionError("no route", sent=True),
]
NOT_FOUND = NotFound("HTTP 404", status_code=404, code="NOT_FOUND", request_id="r-1")
REJECTIONS = {401: Unauthorized, 403: PermissionDenied, 404: NotFound}
RUNNING = ["Initializing", "Pending", "Dreaming", ""]
RESPONSE_FACTS = {"status_code": 403, "code": "FORBIDDEN", "message": "quota exceeded", "request_id": "r-1"}


def backup(status: str) -> Any:
    return {"backup_id": "b-1", "status": status, "source_index_name": "docs-example"}


def restore(status: str, *, index_ready: bool = True) -> Any:
    return {"restore_job_id": "j-1", "status": status, "target_index_name": "docs-copy", "index_ready": index_ready}


def spec(**values: Any) -> WaitSpec:
    arguments = {"resource_type": "backup", "resource_id": "b-1", "started_at": STARTED_AT}
    return WaitSpec(**{**arguments, "deadline_at": STARTED_AT + DEFAULT_TIMEOUT, **values})


def paused(step: WaitResult | NextPoll) -> NextPoll:
    assert isinstance(step, NextPoll)
    return step


def error_of(step: WaitResult | NextPoll) -> PineconeError:
    """Return the error with which a wait has ended."""
    assert isinstance(step, WaitResult)
    assert step.error is not None
    assert step.model is None
    return step.error


# The decisions


@pytest.mark.parametrize(
    ("resource_type", "model"),
    [("backup", backup("Ready")), ("restore", restore("Completed"))],
    ids=["backup", "restore"],
)
def test_success_ends_the_wait_with_the_model(resource_type: str, model: Any) -> None:
    step = Wait(spec(resource_type=resource_type)).step(model, STARTED_AT)
    assert isinstance(step, WaitResult)
    assert step.result_or_raise() == model


@pytest.mark.parametrize(
    ("resource_type", "model", "error_class"),
    [
        ("backup", backup("Failed"), BackupFailed),
        ("backup", backup("InitializationFailed"), BackupFailed),
        ("restore", restore("Failed"), RestoreFailed),
        ("restore", restore("Cancelled"), RestoreFailed),
    ],
)
def test_failure_ends_the_wait_and_names_the_index(
    resource_type: str, model: Any, error_class: type[PineconeError]
) -> None:
    error = error_of(Wait(spec(resource_type=resource_type, resource_id="an-id")).step(model, STARTED_AT))
    assert type(error) is error_class
    what, why, advice, ids = str(error).splitlines()
    assert f"of index {model.get('source_index_name') or model['target_index_name']} failed" in what
    assert model["status"] in why
    assert "clear the task" in advice
    assert "an-id" in ids


@pytest.mark.parametrize(("resource_type", "label"), [("backup", "Backup"), ("restore", "Restore job")])
def test_index_without_a_name_is_not_in_the_message(resource_type: str, label: str) -> None:
    model: Any = {"status": "Failed"}
    step = Wait(spec(resource_type=resource_type)).step(model, STARTED_AT)
    assert str(error_of(step)).startswith(f"The {label.lower()} failed.\n")


@pytest.mark.parametrize("model", [restore("Pending"), restore("Dreaming"), restore("Completed", index_ready=False)])
def test_restore_is_running_until_its_index_is_ready(model: Any) -> None:
    assert paused(Wait(spec(resource_type="restore")).step(model, STARTED_AT)).seconds > 0


@given(outcomes=st.lists(st.one_of(st.sampled_from(RUNNING).map(backup), st.sampled_from(TRANSIENT)), max_size=400))
@pytest.mark.parametrize("poke_interval", [None, 0.1, 45.0, 1e5])
def test_wait_ends_at_its_deadline(outcomes: list[Any], poke_interval: float | None) -> None:
    wait, now = Wait(spec(poke_interval=poke_interval)), STARTED_AT
    for outcome in outcomes:
        step = wait.step(outcome, now)
        if not isinstance(step, NextPoll):
            assert isinstance(step.error, WaitTimeout | PineconeUnreachable)
            return
        assert 0 < step.seconds <= wait.spec.deadline_at - now + 1e-6
        now += step.seconds
        assert now <= wait.spec.deadline_at + 1e-6


@pytest.mark.parametrize(("outcome", "last"), [(backup("Dreaming"), "Dreaming"), (TRANSIENT[0], "failed: 503")])
def test_timeout_names_the_last_status_or_error_and_the_parameter(outcome: Any, last: str) -> None:
    error = error_of(Wait(spec(deadline_at=STARTED_AT + 90)).step(outcome, STARTED_AT + 90))
    assert type(error) is WaitTimeout
    for fact in ("b-1", last, "0:01:30", "timeout"):
        assert fact in str(error)


@pytest.mark.parametrize("now", [STARTED_AT + 90, STARTED_AT + 1e6])
def test_final_status_counts_also_after_the_deadline(now: float) -> None:
    wait = Wait(spec(deadline_at=STARTED_AT + 90))
    assert wait.step(backup("Ready"), now) == WaitResult(model=backup("Ready"))
    assert type(error_of(wait.step(backup("Failed"), now))) is BackupFailed


@pytest.mark.parametrize("error", TRANSIENT)
def test_more_than_ten_consecutive_failed_polls_end_the_wait(error: PineconeError) -> None:
    wait, now = Wait(spec()), STARTED_AT
    for _ in range(MAX_FAILED_POLLS):
        step = paused(wait.step(error, now))
        assert step.seconds <= MAX_INTERVAL
        now += step.seconds
    assert now - STARTED_AT > 6 * 60
    ended = error_of(wait.step(error, now))
    assert type(ended) is PineconeUnreachable
    what, why, advice, ids = str(ended).splitlines()
    assert f"{MAX_FAILED_POLLS + 1} consecutive polls failed" in what
    assert error.reason == ended.reason
    assert error.reason.casefold() in why.casefold()
    assert "clear the task" in advice
    assert "b-1" in ids


def test_failed_poll_is_a_warning_with_its_reason_once_and_then_counted() -> None:
    wait = Wait(spec())
    outcomes = [backup("Initializing"), *TRANSIENT[:1] * 3, TRANSIENT[2], backup("Initializing")]
    steps = [paused(wait.step(outcome, STARTED_AT)) for outcome in outcomes]
    info, warning = logging.INFO, logging.WARNING
    assert [(step.level, step.message) for step in steps] == [
        (info, "Backup b-1: its status is Initializing"),
        (warning, "Backup b-1: the poll failed: 503"),
        (warning, "Backup b-1: consecutive failed polls: 2"),
        (warning, "Backup b-1: consecutive failed polls: 3"),
        (warning, "Backup b-1: the poll failed: no route"),
        (info, "Backup b-1: its status is Initializing"),
    ]


def test_successful_poll_resets_the_count_of_failed_polls() -> None:
    wait = Wait(spec())
    for _ in range(3):
        for _ in range(MAX_FAILED_POLLS):
            paused(wait.step(TRANSIENT[0], STARTED_AT))
        paused(wait.step(backup("Initializing"), STARTED_AT))


def test_retry_after_extends_the_pause() -> None:
    error = PineconeTransientError("429", status_code=429, retry_after=33.0)
    assert paused(Wait(spec()).step(error, STARTED_AT)).seconds == 33.0


@pytest.mark.parametrize(
    ("resource_type", "error_class", "text"),
    [
        ("backup", BackupNotFound, "The backup no longer exists."),
        # The poll also describes the index.
        ("restore", RestoreNotFound, "The restore job or the index that it created no longer exists."),
    ],
)
def test_not_found_means_not_visible_yet_in_the_first_minute(
    resource_type: str, error_class: type[PineconeError], text: str
) -> None:
    wait = Wait(spec(resource_type=resource_type))
    assert "not visible yet" in str(paused(wait.step(NOT_FOUND, STARTED_AT)).message)
    for seconds in (5, 10, 59.9):
        paused(wait.step(NOT_FOUND, STARTED_AT + seconds))
    error = error_of(wait.step(NOT_FOUND, STARTED_AT + 60))
    assert type(error) is error_class
    assert text in str(error)
    assert NOT_FOUND.reason in str(error)
    assert "b-1. Pinecone request id: r-1." in str(error)


def test_a_backup_that_was_never_seen_does_not_continue() -> None:
    wait = Wait(spec(deadline_at=STARTED_AT + 1))
    for outcome, continues in [(NOT_FOUND, False), (backup("Initializing"), True)]:
        text = str(error_of(wait.step(outcome, STARTED_AT + 1)))
        assert ("It continues in Pinecone" in text) is continues


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize(
    "times", [[0, 60], [0, 30, 59.9], [0, 1, 2, 3]], ids=["two polls", "less than a minute", "many in a moment"]
)
def test_few_rejections_do_not_end_the_wait(status: int, times: list[float]) -> None:
    wait = Wait(spec())
    for seconds in times:
        paused(wait.step(REJECTIONS[status]("rejected", status_code=status), STARTED_AT + seconds))


@pytest.mark.parametrize("between", [backup("Initializing"), PineconeTransientError("503", status_code=503)])
def test_only_consecutive_rejections_count(between: Any) -> None:
    wait = Wait(spec())
    rejected = Unauthorized("401", status_code=401)
    for seconds in (0, 50):
        paused(wait.step(rejected, STARTED_AT + seconds))
    paused(wait.step(between, STARTED_AT + 100))
    for seconds in (150, 200):
        paused(wait.step(rejected, STARTED_AT + seconds))
    assert error_of(wait.step(rejected, STARTED_AT + 250)) is rejected


def test_missing_connection_ends_the_wait_if_it_persists() -> None:
    wait = Wait(spec())
    missing = ConnectionNotFound("it does not exist")
    step = paused(wait.step(missing, STARTED_AT))
    assert "the poll was rejected: it does not exist" in str(step.message)
    assert step.level == logging.WARNING
    paused(wait.step(missing, STARTED_AT + 30))
    assert error_of(wait.step(missing, STARTED_AT + 60)) is missing


def test_rescheduled_poll_that_is_rejected_a_minute_after_the_start_ends_the_wait() -> None:
    rejected = PermissionDenied("403", status_code=403)
    paused(Wait(spec(), rescheduled=True).step(rejected, STARTED_AT + 59))
    assert error_of(Wait(spec(), rescheduled=True).step(rejected, STARTED_AT + 60)) is rejected


@pytest.mark.parametrize("error", [PineconeInputError("no key"), PineconePermanentError("400", status_code=400)])
def test_permanent_error_ends_the_wait_at_once(error: PineconeError) -> None:
    assert error_of(Wait(spec()).step(error, STARTED_AT)) is error


@pytest.mark.parametrize(("poke_interval", "seconds"), [(None, 60.0), (5.0, 60.0), (300.0, 300.0)])
def test_rescheduled_poll_pauses_for_at_least_a_minute(poke_interval: float | None, seconds: float) -> None:
    for outcome in (backup("Initializing"), TRANSIENT[0]):
        wait = Wait(spec(poke_interval=poke_interval), rescheduled=True)
        assert paused(wait.step(outcome, STARTED_AT + 1)).seconds == seconds


def test_message_is_logged_only_when_the_status_changes() -> None:
    wait = Wait(spec())
    outcomes = map(backup, ["Initializing", "Initializing", "Initializing", "Pending"])
    messages = [paused(wait.step(outcome, STARTED_AT)).message for outcome in outcomes]
    assert [bool(message) for message in messages] == [True, False, False, True]
    assert "b-1" in str(messages[0])
    assert "Pending" in str(messages[3])


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=RESOURCES)
def test_opening_names_the_resource_and_the_deadline(resource: Resource) -> None:
    max_age = 60.0 if resource is FRESHNESS else None
    since = 60.0 if resource is SCHEDULE else None
    stored = spec(
        resource_type=resource.name, resource_id="an-id", deadline_at=1_750_000_000.0, max_age=max_age, since=since
    )
    opening = Wait(stored).opening
    assert "an-id" in opening
    assert "2025-06-15 15:06:40 UTC" in opening


# WaitSpec: the arguments of a trigger


@pytest.mark.parametrize("poke_interval", [None, 30, 30.5])
def test_spec_survives_json(poke_interval: float | None) -> None:
    stored = spec(resource_type="restore", poke_interval=poke_interval)
    assert WaitSpec(**json.loads(json.dumps(asdict(stored)))) == stored
    assert stored.resource is RESTORE


@pytest.mark.parametrize(
    "values",
    [
        {"resource_type": "index"},
        {"resource_type": ""},
        {"resource_type": None},
        {"started_at": None},
        {"started_at": "2025-06-15"},
        {"started_at": math.nan},
        {"deadline_at": math.inf},
        {"deadline_at": None},
        {"poke_interval": "30"},
        {"poke_interval": -math.inf},
        {"poke_interval": -5},
        {"poke_interval": 0},
        {"poke_interval": True},
    ],
    ids=str,
)
def test_spec_refuses_invalid_values(values: dict[str, Any]) -> None:
    with pytest.raises(PineconeInputError) as caught:
        spec(**values)
    assert str(*values.values()) in str(caught.value)


# WaitResult: the event of a trigger


def after_deferral(result: WaitResult, resource: Resource) -> WaitResult:
    return WaitResult.from_event(json.loads(json.dumps(result.to_event())), resource)


@pytest.mark.parametrize(
    ("resource", "model"), [(BACKUP, backup("Ready")), (RESTORE, restore("Completed"))], ids=["backup", "restore"]
)
def test_model_survives_the_event_with_unknown_fields(resource: Resource, model: Any) -> None:
    model["a_new_field"] = [None, {"kept": 1.5}]
    result = WaitResult(model=model)
    assert after_deferral(result, resource) == result


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        (BACKUP, BackupFailed("Backup b-1 failed")),
        (BACKUP, BackupNotFound("Backup b-1 no longer exists")),
        (RESTORE, RestoreFailed("Restore job j-1 failed")),
        (RESTORE, RestoreNotFound("Restore job j-1 no longer exists")),
        *[
            (resource, error)
            for resource in RESOURCES.values()
            for error in (
                WaitTimeout("too late"),
                PineconeUnreachable("11 failed polls"),
                PineconeInputError("no key"),
                ConnectionNotFound("it does not exist"),
                QuotaExceeded("HTTP 403", status_code=403, code="FORBIDDEN", message="no", request_id="r-1"),
                PineconePermanentError("HTTP 302", status_code=302),
            )
        ],
    ],
    ids=lambda value: value.name if isinstance(value, Resource) else f"{type(value).__name__} {value}",
)
def test_error_survives_the_event(resource: Resource, error: PineconeError) -> None:
    restored = after_deferral(WaitResult(error=error), resource).error
    assert restored is not None
    assert type(restored) is type(error)
    assert str(restored) == str(error)
    assert (restored.can_retry, restored.can_recreate) == (error.can_retry, error.can_recreate)
    if isinstance(error, PineconeRequestError):
        assert vars(restored) == vars(error)
    with pytest.raises(type(error)):
        WaitResult(error=restored).result_or_raise()


def test_event_holds_only_json_types_and_the_facts_of_the_error() -> None:
    event = WaitResult(error=QuotaExceeded("text", **RESPONSE_FACTS)).to_event()  # type: ignore[arg-type]
    error = {"type": "QuotaExceeded", "text": "text", "reason": "text", "index_name": None, **RESPONSE_FACTS}
    assert event == {"model": None, "error": error}
    assert WaitResult(model=backup("Ready")).to_event() == {"model": backup("Ready"), "error": None}


def test_event_of_a_failed_backup_names_its_index() -> None:
    result = WaitResult(error=BackupFailed("failed"), index_name="docs")
    assert WaitResult.from_event(result.to_event(), BACKUP).index_name == "docs"


def test_event_of_an_earlier_release_has_no_reason() -> None:
    event = WaitResult(error=QuotaExceeded("text.", reason="HTTP 403", **RESPONSE_FACTS)).to_event()  # type: ignore[arg-type]
    assert getattr(WaitResult.from_event(event, BACKUP).error, "reason", None) == "HTTP 403"
    del event["error"]["reason"]
    assert getattr(WaitResult.from_event(event, BACKUP).error, "reason", None) == "text"


ERROR = {"type": "WaitTimeout", "text": "too late"}
MALFORMED: list[Any] = [
    None,
    "",
    "success",
    [],
    {},
    {"model": None, "error": None},
    {"model": backup("Ready")},
    {"model": "Ready", "error": None},
    {"model": {}, "error": None},
    {"model": {"backup_id": "b-1"}, "error": None},
    {"model": {"status": None}, "error": None},
    {"model": backup("Initializing"), "error": None},
    {"model": backup("Failed"), "error": None},
    {"model": None, "error": "too late"},
    {"model": None, "error": []},
    {"model": None, "error": {}},
    {"error": {"type": "WaitTimeout"}},
    {"error": {"text": "too late"}},
    {"error": {**ERROR, "text": None}},
    {"error": {**ERROR, "type": None}},
    {"error": {**ERROR, "type": ["WaitTimeout"]}},
    {"error": {**ERROR, "type": "PineconeError"}},
    {"error": {**ERROR, "type": "SystemExit"}},
    {"error": {**ERROR, "type": "RestoreFailed"}},
    {"error": {**ERROR, "status_code": "404"}},
    {"error": {**ERROR, "request_id": 7}},
    {"error": {**ERROR, "reason": 7}},
    {"error": {"type": "PineconePermanentError", "text": "a status_code is missing"}},
]


@pytest.mark.parametrize("event", MALFORMED, ids=str)
def test_malformed_event_is_refused(event: Any) -> None:
    with pytest.raises(InvalidWaitResult) as caught:
        WaitResult.from_event(event, BACKUP)
    assert caught.value.can_retry


@pytest.mark.parametrize(
    "model", [backup("Ready"), restore("Completed", index_ready=False), restore("Pending"), {"status": "Completed"}]
)
def test_event_of_another_resource_or_without_a_ready_index_is_refused(model: Any) -> None:
    with pytest.raises(InvalidWaitResult):
        WaitResult.from_event({"model": model, "error": None}, RESTORE)


def test_refusal_of_an_event_shows_short_lines() -> None:
    with pytest.raises(InvalidWaitResult) as caught:
        WaitResult.from_event({"a\nkey": "x" * 100_000}, BACKUP)
    assert "key" in str(caught.value)
    assert all(len(line) <= 110 and line.isprintable() for line in str(caught.value).splitlines())
