"""CreateIndexFromBackupOperator: one task starts one restore. And how each way to wait for a restore ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from support.clock import FakeClock
from support.constants import INDEX
from support.emulator_client import Ask
from support.operators import LOST_RESPONSES, PATHS, WAITS, allow_any_response, methods
from support.tasks import Connect, Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import (
    CreateOutcomeUnknown,
    PineconeTransientError,
    RestoreFailed,
    RestoreNotFound,
    WaitTimeout,
)
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateIndexFromBackupOperator
from airflow_pinecone.runtime.tries import start_try
from airflow_pinecone.sensors import RestoreJobSensor
from airflow_pinecone.waiting.intervals import SEARCH_SECONDS

RESTORE = ("POST", "/backups/*/create-index")
OPERATOR = list(WAITS)
SENSOR: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferred": {"deferrable": True},
}

pytestmark = pytest.mark.usefixtures("world")
each_lost_response = pytest.mark.parametrize("lost", LOST_RESPONSES.values(), ids=LOST_RESPONSES)
each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
each_wait = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
each_waiter = pytest.mark.parametrize("waiter", [*OPERATOR, *SENSOR])

Restore = Callable[..., Any]
WaitForRestore = Callable[..., Outcome]


@pytest.fixture
def backup(emulator: Emulator) -> str:
    """Return the id of a Ready backup."""
    return str(emulator.add_backup(INDEX, tags={"team": "search"})["backup_id"])


@pytest.fixture
def ti(clock: FakeClock) -> TaskInstance:
    """Return the task instance of a run that starts now."""
    return TaskInstance(task_id="restore", run_started=clock.utcnow())


@pytest.fixture
def restore(backup: str, clock: FakeClock) -> Restore:
    """Create the operator that restores the backup into docs-2: `restore(timeout=60)`."""

    def restore(**arguments: Any) -> Any:
        defaults = {"backup_id": backup, "index_name": "docs-2"}
        return make_task(CreateIndexFromBackupOperator, clock, **{**defaults, **arguments})

    return restore


def digest(ti: TaskInstance) -> str:
    """Return the value of the tag of the index that a task instance restores."""
    return start_try(ti.context, 0.0).origin.digest


@pytest.fixture
def wait_for_restore(restore: Restore, backup: str, ti: TaskInstance, clock: FakeClock) -> WaitForRestore:
    """Restore the backup and wait: with the operator, or with a sensor for a restore job that was just started."""

    def wait_for_restore(waiter: str, *, soft_fail: bool = False, **arguments: Any) -> Outcome:
        if waiter in OPERATOR:
            return run_try(restore(**WAITS[waiter], **arguments), ti)
        started = PineconeHook().create_index_from_backup(backup, name="docs-2")
        arguments = {"restore_job_id": started["restore_job_id"], "soft_fail": soft_fail, **arguments}
        return run_try(make_task(RestoreJobSensor, clock, **SENSOR[waiter], **arguments), ti)

    return wait_for_restore


def check_failure(outcome: Outcome, waiter: str, error: type[Exception]) -> None:
    """Check that the operator raised the error and may be retried, and that a sensor failed."""
    if waiter in OPERATOR:
        assert (outcome.state, type(outcome.error)) == ("up_for_retry", error)
    else:
        assert outcome.state == "failed"


# The wait


@each_waiter
@pytest.mark.parametrize("visible_after", [0, 30])
def test_wait_succeeds_when_the_job_is_completed_and_the_index_ready(
    emulator: Emulator, wait_for_restore: WaitForRestore, waiter: str, visible_after: float
) -> None:
    emulator.next_restore(restore_after=900, restore_visible_after=visible_after)
    outcome = wait_for_restore(waiter)
    assert outcome.state == "success"
    (job,) = emulator.restore_jobs
    assert outcome.value == {
        **job,
        "index_id": job["target_index_id"],
        "index_name": "docs-2",
        "index_ready": True,
        "status": "Completed",
    }
    assert PineconeHook().describe_index("docs-2")["status"]["ready"] is True


@each_waiter
def test_wait_continues_while_the_index_of_a_completed_job_is_not_ready(
    emulator: Emulator, wait_for_restore: WaitForRestore, waiter: str, clock: FakeClock
) -> None:
    index = PineconeHook().describe_index(INDEX)
    not_ready = {**index, "name": "docs-2", "status": {"ready": False, "state": "Initializing"}}
    fault = emulator.fault("GET", "/indexes/docs-2", status=200, body=not_ready, times=4)
    started_at = clock.now
    assert wait_for_restore(waiter).state == "success"
    assert fault.hits == 4
    assert clock.now - started_at >= 20


@each_waiter
@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("status", ["Failed", "Cancelled"])
def test_failed_job_fails_the_task(
    emulator: Emulator, wait_for_restore: WaitForRestore, waiter: str, status: str, soft_fail: bool
) -> None:
    emulator.next_restore(restore_after=300, restore_ends=status)
    outcome = wait_for_restore(waiter, soft_fail=soft_fail)
    assert status in outcome.message
    assert "docs-2" in outcome.message
    assert emulator.restore_jobs[0]["restore_job_id"] in outcome.message
    check_failure(outcome, waiter, RestoreFailed)


@each_waiter
def test_index_that_no_longer_exists_fails_the_task(
    emulator: Emulator, wait_for_restore: WaitForRestore, waiter: str
) -> None:
    emulator.next_restore(restore_after=300)
    emulator.fault("GET", "/indexes/docs-2", status=404, times=None)
    outcome = wait_for_restore(waiter)
    assert "no longer exists" in outcome.message
    check_failure(outcome, waiter, RestoreNotFound)


@each_waiter
def test_wait_times_out(emulator: Emulator, wait_for_restore: WaitForRestore, waiter: str, clock: FakeClock) -> None:
    emulator.next_restore(restore_ends="never")
    started_at = clock.now
    outcome = wait_for_restore(waiter, timeout=600)
    assert 600 <= clock.now - started_at <= 660
    check_failure(outcome, waiter, WaitTimeout)
    if waiter in SENSOR:
        assert type(outcome.error).__name__ == "AirflowSensorTimeout"


@pytest.mark.parametrize("waiter", SENSOR)
def test_soft_fail_skips_the_task_on_a_timeout(
    emulator: Emulator, wait_for_restore: WaitForRestore, waiter: str
) -> None:
    emulator.next_restore(restore_ends="never")
    assert wait_for_restore(waiter, timeout=600, soft_fail=True).state == "skipped"


@each_wait
@pytest.mark.parametrize("tags", [{}, {"airflow-pinecone": "0" * 32}], ids=["no tag", "other tag"])
def test_index_that_was_replaced_during_the_wait_fails_the_task(
    emulator: Emulator,
    ask: Ask,
    restore: Restore,
    ti: TaskInstance,
    clock: FakeClock,
    wait: dict[str, Any],
    tags: dict[str, str],
) -> None:
    def replace_index(seconds: float) -> None:
        clock.on_sleep = None
        ask("DELETE", "/indexes/docs-2")
        emulator.add_index("docs-2", records=0, tags=tags)

    clock.on_sleep = replace_index
    emulator.next_restore(restore_after=300)
    outcome = run_try(restore(**wait), ti)
    assert outcome.state == "failed"
    facts = ["into index docs-2.", "another one has its name", *tags.values(), "clear the task"]
    assert all(fact in outcome.message for fact in [*facts, emulator.restore_jobs[0]["restore_job_id"]])


@each_wait
def test_index_that_was_deleted_after_the_last_poll_fails_the_task(
    emulator: Emulator, restore: Restore, ti: TaskInstance, wait: dict[str, Any]
) -> None:
    emulator.next_restore(restore_after=300)
    emulator.fault("GET", "/indexes/docs-2", status=404, nth=2, times=None)
    outcome = run_try(restore(**wait), ti)
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", RestoreNotFound)
    assert "index docs-2" in outcome.message
    assert "cannot be read: HTTP 404" in outcome.message


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_one_rejection_after_the_last_poll_does_not_fail_the_task(
    emulator: Emulator, restore: Restore, ti: TaskInstance, status: int
) -> None:
    fault = emulator.fault("GET", "/indexes/docs-2", status=status, nth=2)
    assert run_try(restore(), ti).state == "success"
    assert fault.hits == 1


@pytest.mark.parametrize("waiter", SENSOR)
def test_sensor_says_that_it_does_not_know_the_index(
    wait_for_restore: WaitForRestore, waiter: str, logged: Callable[[], str]
) -> None:
    assert wait_for_restore(waiter).state == "success"
    assert "cannot know whether the job created this index" in logged()


# The first try


def test_arguments_are_sent_to_pinecone(emulator: Emulator, restore: Restore, ti: TaskInstance) -> None:
    run_try(restore(tags={"a": "b"}, deletion_protection="enabled"), ti)
    tags = {"team": "search", "a": "b", "airflow-pinecone": digest(ti)}
    assert emulator.requests[1].body == {"name": "docs-2", "tags": tags, "deletion_protection": "enabled"}
    index = PineconeHook().describe_index("docs-2")
    assert (index["tags"], index["deletion_protection"]) == (tags, "enabled")


@pytest.mark.parametrize(
    ("of_backup", "of_user", "merged"),
    [
        ({"team": "search"}, None, {"team": "search"}),
        ({"team": "search", "env": "prod"}, {"team": "ads"}, {"team": "ads", "env": "prod"}),
        ({"airflow-pinecone": "0" * 32}, {"airflow-pinecone": "mine"}, {}),
        ({"a": 5, "b": None, "c": ["x"], "d": "kept", "e": True}, None, {"d": "kept"}),
        (None, None, {}),
        (..., {"a": "b"}, {"a": "b"}),
    ],
)
def test_tags_of_the_backup_the_user_and_the_origin_are_merged(
    emulator: Emulator, restore: Restore, ti: TaskInstance, of_backup: Any, of_user: Any, merged: dict[str, str]
) -> None:
    backup_id = emulator.add_backup(INDEX, tags=of_backup)["backup_id"]
    assert run_try(restore(backup_id=backup_id, tags=of_user), ti).state == "success"
    (request,) = [exchange for exchange in emulator.requests if exchange.method == "POST"]
    assert request.body == {"name": "docs-2", "tags": {**merged, "airflow-pinecone": digest(ti)}}


@each_path
def test_id_is_pushed_before_the_wait(
    emulator: Emulator, restore: Restore, ti: TaskInstance, path: dict[str, Any]
) -> None:
    emulator.next_restore(restore_ends="never")
    outcome = run_try(restore(**path, timeout=60), ti)
    assert outcome.state == ("up_for_retry" if path["wait_for_completion"] else "success")
    assert ti.xcoms["restore_job_id"] == emulator.restore_jobs[0]["restore_job_id"]


@pytest.mark.parametrize("visible", [True, False])
def test_without_a_wait_the_task_returns_the_running_job_if_it_is_visible(
    emulator: Emulator, backup: str, restore: Restore, ti: TaskInstance, clock: FakeClock, visible: bool
) -> None:
    emulator.next_restore(restore_ends="never", restore_visible_after=0 if visible else 30)
    outcome = run_try(restore(wait_for_completion=False), ti)
    (job,) = emulator.restore_jobs
    assert outcome.value == {
        **({**job, "index_ready": False} if visible else {}),
        "status": "Pending" if visible else None,
        "restore_job_id": job["restore_job_id"],
        "index_id": job["target_index_id"],
        "index_name": "docs-2",
        "backup_id": backup,
    }
    assert clock.slept == []


@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        ({"backup_id": ""}, "not a valid backup id"),
        ({"backup_id": "a/b"}, "not a valid backup id"),
        ({"index_name": "Docs"}, "not a valid index name"),
        ({"index_name": ""}, "not a valid index name"),
        *(({"tags": tags}, f"tags must be a dict or None, not {tags!r}") for tags in ("None", "{'a': 'b'}", 5, ["a"])),
        *(
            ({"tags": {"a": value}}, f"but 'a' is {value!r}")
            for value in (datetime(2025, 6, 15), float("nan"), None, 5)
        ),
        ({"tags": {5: "a"}}, "but 5 is 'a'"),
        ({"read_capacity": "OnDemand"}, "read_capacity must be a dict or None, not 'OnDemand'"),
    ],
    ids=str,
)
def test_invalid_argument_fails_before_any_request(
    emulator: Emulator, restore: Restore, ti: TaskInstance, invalid: dict[str, Any], message: str
) -> None:
    outcome = run_try(restore(**invalid), ti)
    assert outcome.state == "failed"
    assert message in outcome.message
    assert emulator.requests == []


def test_log_names_the_restore_before_and_after_the_request(
    emulator: Emulator,
    restore: Restore,
    ti: TaskInstance,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> None:
    def fail(key: str, value: Any) -> None:
        raise ConnectionError("Airflow cannot be reached")

    monkeypatch.setattr(ti, "xcom_push", fail)
    assert run_try(restore(), ti).state == "up_for_retry"
    log = logged()
    assert f"into index docs-2. The tag airflow-pinecone of the index is {digest(ti)}" in log
    assert f"Started restore job {emulator.restore_jobs[0]['restore_job_id']} of index docs-2" in log


def test_backup_that_does_not_exist_fails_without_a_retry(
    emulator: Emulator, restore: Restore, ti: TaskInstance
) -> None:
    outcome = run_try(restore(backup_id="no-such-backup"), ti)
    assert outcome.state == "failed"
    assert "no-such-backup" in outcome.message
    assert "HTTP 404" in outcome.message
    assert "already exists" not in outcome.message
    assert methods(emulator) == ["GET"]


def test_on_kill_logs_that_the_restore_is_kept(
    emulator: Emulator, restore: Restore, ti: TaskInstance, logged: Callable[[], str]
) -> None:
    task = restore()
    run_try(task, ti)
    emulator.requests.clear()
    task.on_kill()
    assert f"Restore job {emulator.restore_jobs[0]['restore_job_id']} is kept in Pinecone" in logged()
    assert emulator.requests == []


# A lost response


@each_path
@each_lost_response
def test_lost_response_starts_one_restore(
    emulator: Emulator, restore: Restore, ti: TaskInstance, connect: Connect, lost: dict[str, Any], path: dict[str, Any]
) -> None:
    connect(timeout=0.3 if "hang" in lost else 30)
    emulator.next_restore(restore_after=100, restore_visible_after=20)
    fault = emulator.fault(*RESTORE, **lost)
    outcome = run_try(restore(**path), ti)
    assert outcome.state == "success"
    assert fault.hits == 1
    assert (len(emulator.restore_jobs), methods(emulator).count("POST")) == (1, 1)
    assert outcome.value["restore_job_id"] == emulator.restore_jobs[0]["restore_job_id"]


@pytest.mark.parametrize("missing", [None, ...])
def test_resumed_restore_can_lack_the_id_of_its_index(
    emulator: Emulator, restore: Restore, ti: TaskInstance, missing: Any
) -> None:
    emulator.next_restore(fields={"target_index_id": missing})
    emulator.fault(*RESTORE, drop="after")
    allow_any_response(emulator, "/restore-jobs*", "/restore-jobs/*")
    outcome = run_try(restore(wait_for_completion=False), ti)
    assert (outcome.state, outcome.value["index_id"]) == ("success", "")


@pytest.mark.parametrize(
    ("visible_after", "faults", "seconds", "fact"),
    [
        (0, {RESTORE: {"drop": "before"}}, SEARCH_SECONDS, ""),
        (45, {RESTORE: {"drop": "after"}}, SEARCH_SECONDS, ""),
        (0, {RESTORE: {"drop": "after"}, ("GET", "/restore-jobs"): {"status": 401}}, 0, "HTTP 401"),
        # Pinecone is still deleting an index of the same name, so it cannot be described.
        (0, {RESTORE: {"status": 409}}, SEARCH_SECONDS, "HTTP 409"),
    ],
    ids=["restore was not started", "restore appears late", "search fails", "index is being deleted"],
)
def test_request_with_an_unknown_outcome_can_be_retried(
    emulator: Emulator,
    restore: Restore,
    ti: TaskInstance,
    clock: FakeClock,
    visible_after: float,
    faults: dict[tuple[str, str], dict[str, Any]],
    seconds: float,
    fact: str,
) -> None:
    emulator.next_restore(restore_visible_after=visible_after)
    added = [emulator.fault(*request, **fault) for request, fault in faults.items()]
    started_at = clock.now
    outcome = run_try(restore(), ti)
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", CreateOutcomeUnknown)
    assert fact in outcome.message
    assert "etry the task" not in outcome.message
    assert "lear the task" not in outcome.message
    assert all(fault.hits == 1 for fault in added)
    assert clock.now - started_at == pytest.approx(seconds)
    ti.retry()
    assert run_try(restore(), ti).state == "success"
    assert len(emulator.restore_jobs) == 1


@pytest.mark.parametrize("fault", [{"drop": "before"}, {"status": 409}], ids=["lost", "409"])
def test_last_try_says_that_the_task_can_be_cleared(
    emulator: Emulator, restore: Restore, ti: TaskInstance, fault: dict[str, Any]
) -> None:
    emulator.fault(*RESTORE, **fault)
    ti.try_number = 3
    outcome = run_try(restore(), ti)
    assert type(outcome.error) is CreateOutcomeUnknown
    assert "Delete index docs-2 if" in outcome.message
    assert "clear the task" in outcome.message
    assert "etry the task" not in outcome.message


# Retries


@pytest.mark.parametrize("created_at", [None, ..., "soon"])
@pytest.mark.parametrize("killed", [False, True])
def test_restore_is_recognized_by_the_tag_if_its_time_is_unknown(
    emulator: Emulator, restore: Restore, ti: TaskInstance, created_at: Any, killed: bool
) -> None:
    emulator.next_restore(fields={"created_at": created_at})
    allow_any_response(emulator, "/restore-jobs*", "/restore-jobs/*")
    if killed:
        # The earlier try was killed after its request.
        run_try(restore(wait_for_completion=False), ti)
        ti.retry()
    else:
        emulator.fault(*RESTORE, drop="after")
    assert run_try(restore(), ti).state == "success"
    assert len(emulator.restore_jobs) == 1


def test_retry_resumes_with_the_restore_after_a_timeout(emulator: Emulator, restore: Restore, ti: TaskInstance) -> None:
    emulator.next_restore(restore_after=900)
    first = run_try(restore(timeout=600), ti)
    assert (first.state, type(first.error)) == ("up_for_retry", WaitTimeout)
    ti.retry()
    outcome = run_try(restore(timeout=600), ti)
    assert outcome.state == "success", outcome.message
    assert len(emulator.restore_jobs) == 1


def test_retry_resumes_although_the_backup_was_deleted_after_the_restore(
    emulator: Emulator, restore: Restore, backup: str, ti: TaskInstance
) -> None:
    run_try(restore(wait_for_completion=False), ti)
    emulator.finish_restore(emulator.restore_jobs[0]["restore_job_id"])
    PineconeHook().delete_backup(backup)
    ti.retry()
    outcome = run_try(restore(), ti)
    assert outcome.state == "success", outcome.message
    assert len(emulator.restore_jobs) == 1


@pytest.mark.parametrize("killed", [False, True])
def test_unfinished_restore_of_an_earlier_index_is_not_resumed(
    emulator: Emulator, restore: Restore, backup: str, ti: TaskInstance, clock: FakeClock, killed: bool
) -> None:
    """A day ago, the same backup was restored into the same name. Its job never ended, and its index was deleted."""
    emulator.next_restore(restore_ends="never")
    PineconeHook().create_index_from_backup(backup, name="docs-2")
    PineconeHook().delete_index("docs-2")
    clock.advance(86400)
    ti.run_started = clock.utcnow()
    emulator.next_restore(restore_visible_after=20)
    if killed:
        run_try(restore(wait_for_completion=False), ti)
        ti.retry()
    else:
        # The run may have started before: nothing is older than the first try.
        ti.run_started = ti.run_started.replace(year=2024)
        emulator.fault(*RESTORE, drop="after")
    outcome = run_try(restore(timeout=60), ti)
    assert outcome.state == "success", outcome.message
    assert outcome.value["restore_job_id"] == emulator.restore_jobs[1]["restore_job_id"]


@pytest.mark.parametrize(("failures", "state"), [(1, "success"), (5, "up_for_retry")])
def test_failed_search_for_an_earlier_restore_can_be_retried_although_the_backup_was_deleted(
    emulator: Emulator, restore: Restore, backup: str, ti: TaskInstance, failures: int, state: str
) -> None:
    run_try(restore(), ti)
    PineconeHook().delete_backup(backup)
    ti.retry()
    emulator.fault("GET", "/indexes/docs-2", status=503, times=failures)
    outcome = run_try(restore(), ti)
    assert outcome.state == state, outcome.message
    if state == "up_for_retry":
        assert type(outcome.error) is PineconeTransientError
        ti.retry()
        assert run_try(restore(), ti).state == "success"
    assert len(emulator.restore_jobs) == 1


def test_retry_whose_search_is_rejected_sends_the_request(
    emulator: Emulator, restore: Restore, ti: TaskInstance, logged: Callable[[], str]
) -> None:
    ti.retry()
    emulator.fault("GET", "/indexes/docs-2", status=403)
    assert run_try(restore(), ti).state == "success"
    assert "The search for the restore of an earlier try failed: HTTP 403" in logged()
    assert len(emulator.restore_jobs) == 1


@each_path
def test_retry_after_a_failed_restore_says_what_to_delete(
    emulator: Emulator, restore: Restore, ti: TaskInstance, path: dict[str, Any], logged: Callable[[], str]
) -> None:
    """The index of a failed restore still exists, and must be deleted before another restore into the same name."""
    emulator.next_restore(restore_ends="Failed")
    run_try(restore(**path), ti)
    (job,) = emulator.restore_jobs
    ti.retry()
    outcome = run_try(restore(**path), ti)
    assert outcome.state == "failed"
    assert f"Restore job {job['restore_job_id']} failed, and its index docs-2 still exists." in outcome.message
    assert "Delete index docs-2, then clear the task." in outcome.message
    assert "HTTP 409" in outcome.message
    assert "not created by this task" not in outcome.message
    # The search lasts 30 s, because the job of the existing index may not be visible yet. It logs the failed job once;
    # Airflow 2 both prints a message and passes it to the standard library.
    assert 1 <= logged().count(f"Ignoring failed restore job {job['restore_job_id']}") <= 2
    PineconeHook().delete_index("docs-2")
    ti.retry()
    assert run_try(restore(**path), ti).state == "success"
    assert [job["status"] for job in emulator.restore_jobs] == ["Failed", "Completed"]


def test_retry_ignores_a_failed_restore_of_an_earlier_try(
    emulator: Emulator, restore: Restore, ti: TaskInstance
) -> None:
    """A person deleted its index. The next try started another restore and was killed; its job appears late."""
    emulator.next_restore(restore_ends="Failed")
    run_try(restore(), ti)
    PineconeHook().delete_index("docs-2")
    ti.retry()
    emulator.next_restore(restore_visible_after=20)
    run_try(restore(wait_for_completion=False), ti)
    ti.retry()
    outcome = run_try(restore(), ti)
    assert outcome.state == "success", outcome.message
    assert [job["status"] for job in emulator.restore_jobs] == ["Failed", "Completed"]
    assert outcome.value["restore_job_id"] == emulator.restore_jobs[1]["restore_job_id"]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"status": "Completed", "created_at": "2025-01-01T00:00:00Z"}, {"status": "Completed"}),
        ({"status": "Pending", "created_at": "2025-06-15T14:30:00Z"}, {"status": "Completed"}),
        ({"status": "Completed"}, {"status": "Completed", "created_at": None}),
        ({"status": "Failed", "created_at": None}, {"status": "Completed"}),
    ],
)
def test_last_of_several_restores_into_the_same_name_is_resumed(
    emulator: Emulator, restore: Restore, ti: TaskInstance, earlier: dict[str, Any], later: dict[str, Any]
) -> None:
    """Indexes of the same name were restored from the same backup before, and were deleted."""
    run_try(restore(wait_for_completion=False), ti)
    ti.retry()
    (job,) = emulator.restore_jobs
    jobs = [{**job, **earlier, "restore_job_id": "r-0"}, {**job, **later, "restore_job_id": "r-1"}]
    for rows in (jobs, jobs[::-1]):
        emulator.fault("GET", "/restore-jobs", status=200, body={"data": rows})
        assert run_try(restore(wait_for_completion=False), ti).value["restore_job_id"] == "r-1"


@pytest.mark.parametrize(
    ("tags", "fact"),
    [
        *((tags, "It does not have the tag airflow-pinecone.") for tags in ({"team": "search"}, None, ["a"], "a")),
        ({"airflow-pinecone": None}, "It does not have the tag airflow-pinecone."),
        ({"airflow-pinecone": 5}, "Its tag airflow-pinecone is 5"),
    ],
    ids=str,
)
@pytest.mark.parametrize("try_number", [1, 2])
def test_existing_index_fails_the_task(
    emulator: Emulator, restore: Restore, ti: TaskInstance, clock: FakeClock, tags: Any, fact: str, try_number: int
) -> None:
    emulator.add_index("docs-2")
    body = {**PineconeHook().describe_index("docs-2"), "tags": tags}
    emulator.fault("GET", "/indexes/docs-2", status=200, body=body, times=None)
    ti.try_number = try_number
    outcome = run_try(restore(), ti)
    assert outcome.state == "failed"
    assert "Index docs-2 already exists, and was not created by this task." in outcome.message
    assert fact in outcome.message
    assert "HTTP 409" in outcome.message
    assert "Delete" not in outcome.message
    assert outcome.message.count("clear the task") == 1
    assert emulator.restore_jobs == []
    assert clock.slept == []


@pytest.mark.parametrize("response", ["409", "500", "dropped"])
@pytest.mark.parametrize("try_number", [1, 2])
def test_restore_of_another_run_is_not_adopted(
    emulator: Emulator, restore: Restore, ti: TaskInstance, response: str, try_number: int
) -> None:
    """Two runs restore the same backup into the same index at the same time."""
    other_run = TaskInstance(task_id="restore", run_id="manual__2", run_started=ti.run_started)
    assert run_try(restore(wait_for_completion=False), other_run).state == "success"
    ti.try_number = try_number
    if response != "409":
        emulator.fault(*RESTORE, **({"status": 500} if response == "500" else {"drop": "before"}))
    outcome = run_try(restore(), ti)
    assert outcome.state == "failed"
    assert "Index docs-2 already exists, and was not created by this task." in outcome.message
    assert f"Its tag airflow-pinecone is {digest(other_run)}, not {digest(ti)}" in outcome.message
    assert "restore_job_id" not in ti.xcoms
    assert len(emulator.restore_jobs) == 1


def test_cleared_task_does_not_adopt_its_earlier_restore(
    emulator: Emulator, restore: Restore, ti: TaskInstance
) -> None:
    assert run_try(restore(), ti).state == "success"
    earlier = digest(ti)
    ti.clear()
    outcome = run_try(restore(), ti)
    assert outcome.state == "failed"
    assert f"Its tag airflow-pinecone is {earlier}" in outcome.message
    PineconeHook().delete_index("docs-2")
    ti.clear()
    assert run_try(restore(), ti).state == "success"
    assert len(emulator.restore_jobs) == 2


def test_restore_of_another_backup_is_not_adopted(emulator: Emulator, restore: Restore, ti: TaskInstance) -> None:
    """The template of `backup_id` rendered to another backup at the retry."""
    other = emulator.add_backup(INDEX)["backup_id"]
    run_try(restore(backup_id=other, wait_for_completion=False), ti)
    ti.retry()
    outcome = run_try(restore(), ti)
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", CreateOutcomeUnknown)
    assert "index docs-2 exists" in outcome.message
    assert "HTTP 409" in outcome.message
    assert len(emulator.restore_jobs) == 1


# The arguments


def test_template_fields() -> None:
    fields = ("backup_id", "index_name", "tags", "deletion_protection", "read_capacity", "conn_id")
    assert tuple(CreateIndexFromBackupOperator.template_fields) == fields


@pytest.mark.parametrize("argument", ["poke_interval", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True])
def test_invalid_duration_is_an_error(restore: Restore, argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=argument):
        restore(**{argument: value})
