"""StartImportOperator: one task starts one import. And how each way to wait for an import ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.operators import LOST_RESPONSES, PATHS, WAITS, methods
from support.parquet import write_parquet
from support.tasks import Connect, Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import CreateOutcomeUnknown, NotFound, PineconeInputError, WaitTimeout
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import StartImportOperator
from airflow_pinecone.sensors import ImportSensor

INDEX = "vectors"
START = ("POST", "/data-plane/*/bulk/imports")
SENSOR: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferred": {"deferrable": True},
}

pytestmark = pytest.mark.usefixtures("world")
each_lost_response = pytest.mark.parametrize("lost", LOST_RESPONSES.values(), ids=LOST_RESPONSES)
each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
each_waiter = pytest.mark.parametrize("waiter", [*WAITS, *SENSOR])

MakeImport = Callable[..., Any]
WaitForImport = Callable[..., Outcome]


@pytest.fixture
def uri(emulator: Emulator, tmp_path: Path) -> str:
    """Return the URI of two records, for an index that exists."""
    emulator.add_index(INDEX, dimension=2, records=0)
    write_parquet(tmp_path / "n" / "0.parquet", {"id": ["a", "b"], "values": [[1, 2], [3, 4]]})
    return tmp_path.as_uri()


@pytest.fixture
def ti(clock: FakeClock) -> TaskInstance:
    """Return the task instance of a run that starts now."""
    return TaskInstance(task_id="import", run_started=clock.utcnow())


@pytest.fixture
def start(uri: str, clock: FakeClock) -> MakeImport:
    """Create the operator: `start(timeout=60)`."""

    def start(**arguments: Any) -> Any:
        return make_task(StartImportOperator, clock, **{"index_name": INDEX, "uri": uri, **arguments})

    return start


@pytest.fixture
def wait_for_import(start: MakeImport, uri: str, ti: TaskInstance, clock: FakeClock) -> WaitForImport:
    """Start an import and wait: with the operator, or with a sensor for an import that was just started."""

    def wait_for_import(waiter: str, *, soft_fail: bool = False, **arguments: Any) -> Outcome:
        if waiter in WAITS:
            return run_try(start(**WAITS[waiter], **arguments), ti)
        import_id = PineconeHook().imports(INDEX).start(uri)["id"]
        arguments = {"index_name": INDEX, "import_id": import_id, "soft_fail": soft_fail, **arguments}
        return run_try(make_task(ImportSensor, clock, **SENSOR[waiter], **arguments), ti)

    return wait_for_import


def statuses() -> dict[str, str]:
    """Return the statuses of the imports of the index by id, the newest first."""
    return {model["id"]: model["status"] for model in PineconeHook().imports(INDEX).list()}


# The wait


@each_waiter
@pytest.mark.parametrize("visible_after", [0, 30])
@pytest.mark.parametrize("api_version", ["2025-10", "2026-04", "2026-07"])
def test_wait_succeeds_when_the_import_is_completed(
    emulator: Emulator, wait_for_import: WaitForImport, waiter: str, visible_after: float
) -> None:
    emulator.next_import(import_after=900, import_visible_after=visible_after)
    outcome = wait_for_import(waiter)
    assert outcome.state == "success", outcome.message
    [described] = PineconeHook().imports(INDEX).list()
    expected = {**described, "index_name": INDEX} | ({"import_id": described["id"]} if waiter in WAITS else {})
    assert outcome.value == expected
    assert (outcome.value["status"], outcome.value["recordsImported"]) == ("Completed", 2)
    assert list(emulator.records(INDEX, "n")) == ["a", "b"]


@each_waiter
@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ({"fails": True, "fields": {"error": "Access\nto the bucket was denied"}}, "Failed: Access to the bucket was"),
        ({"import_ends": "Cancelled"}, "Its status is Cancelled."),
    ],
)
def test_import_that_did_not_succeed_fails_the_task_without_a_retry(
    emulator: Emulator, wait_for_import: WaitForImport, waiter: str, soft_fail: bool, plan: dict[str, Any], why: str
) -> None:
    emulator.next_import(import_after=300, **plan)
    outcome = wait_for_import(waiter, soft_fail=soft_fail)
    assert outcome.state == "failed"
    lines = outcome.message.splitlines()
    assert lines[0] == f"The import of index {INDEX} failed."
    assert why in lines[1]
    assert "clear the task that starts the import" in lines[2]
    assert lines[3] == f"Import id: {INDEX}/{next(iter(statuses()))}."


@each_waiter
def test_index_that_no_longer_exists_fails_the_task(
    emulator: Emulator, wait_for_import: WaitForImport, waiter: str
) -> None:
    emulator.next_import(import_ends="never")
    fault = emulator.fault("GET", "/data-plane/*/bulk/imports/*", nth=3, times=None, status=404)
    outcome = wait_for_import(waiter)
    assert outcome.state == "failed"
    assert "HTTP 404" in outcome.message
    assert fault.hits >= 1


@each_waiter
def test_wait_times_out(emulator: Emulator, wait_for_import: WaitForImport, waiter: str, clock: FakeClock) -> None:
    emulator.next_import(import_ends="never")
    started_at = clock.now
    outcome = wait_for_import(waiter, timeout=600)
    assert clock.now - started_at == pytest.approx(600, abs=61)
    assert outcome.state == ("up_for_retry" if waiter in WAITS else "failed")
    assert isinstance(outcome.error, WaitTimeout) == (waiter in WAITS)


@pytest.mark.parametrize("waiter", SENSOR)
def test_soft_fail_skips_the_task_on_a_timeout(emulator: Emulator, wait_for_import: WaitForImport, waiter: str) -> None:
    emulator.next_import(import_ends="never")
    assert wait_for_import(waiter, timeout=60, soft_fail=True).state == "skipped"


# The request


def test_arguments_are_sent_to_pinecone(emulator: Emulator, start: MakeImport, ti: TaskInstance, uri: str) -> None:
    run_try(start(integration_id="i-1", on_error="continue"), ti)
    [request] = [each for each in emulator.requests if each.method == "POST"]
    assert request.body == {"uri": uri, "integrationId": "i-1", "errorMode": {"onError": "continue"}}


@each_path
def test_id_is_pushed_before_the_wait(
    emulator: Emulator, start: MakeImport, ti: TaskInstance, path: dict[str, Any]
) -> None:
    emulator.next_import(import_ends="never")
    run_try(start(timeout=60, **path), ti)
    assert ti.xcoms["import_id"] == next(iter(statuses()))


def test_without_a_wait_the_task_returns_the_running_import_if_it_is_visible(
    emulator: Emulator, start: MakeImport, ti: TaskInstance
) -> None:
    emulator.next_import(import_after=60, import_visible_after=0)
    emulator.next_import(import_after=60, import_visible_after=20)
    assert run_try(start(wait_for_completion=False), ti).value["status"] == "Pending"
    value = run_try(start(wait_for_completion=False), ti).value
    assert value == {"id": "102", "import_id": "102", "status": None, "index_name": INDEX}


@pytest.mark.parametrize("uri", ["", "bucket/x", "s3://" + "x" * 1500, " s3://b", "s3://b\n", None, 5])
def test_invalid_uri_fails_before_any_request(emulator: Emulator, clock: FakeClock, uri: Any) -> None:
    outcome = run_try(make_task(StartImportOperator, clock, index_name=INDEX, uri=uri), TaskInstance())
    assert outcome.state == "failed"
    assert "is not a valid uri" in outcome.message
    assert emulator.requests == []


def test_invalid_arguments_are_errors(start: MakeImport) -> None:
    with pytest.raises(PineconeInputError, match="on_error must be 'abort' or 'continue', not 'skip'"):
        start(on_error="skip")
    with pytest.raises(PineconeInputError, match="on_error must be"):
        PineconeHook().imports(INDEX).start("s3://b/x", on_error="skip")  # type: ignore[arg-type]


def test_index_that_does_not_exist_fails_without_a_retry(start: MakeImport, ti: TaskInstance) -> None:
    outcome = run_try(start(index_name="missing"), ti)
    assert (outcome.state, "HTTP 404" in outcome.message) == ("failed", True)


def test_on_kill_logs_that_the_import_is_kept(
    emulator: Emulator, start: MakeImport, ti: TaskInstance, logged: Callable[[], str]
) -> None:
    task = start()
    run_try(task, ti)
    emulator.requests.clear()
    task.on_kill()
    assert f"Import {INDEX}/101 is kept in Pinecone" in logged()
    assert emulator.requests == []


def test_template_fields() -> None:
    assert StartImportOperator.template_fields == ("index_name", "uri", "integration_id", "conn_id")
    assert ImportSensor.template_fields == ("index_name", "import_id", "conn_id")


# A lost response


@each_path
@each_lost_response
def test_lost_response_starts_one_import(
    emulator: Emulator,
    start: MakeImport,
    ti: TaskInstance,
    connect: Connect,
    lost: dict[str, Any],
    path: dict[str, Any],
) -> None:
    connect(timeout=0.5 if "hang" in lost else 30)
    emulator.next_import(import_after=100, import_visible_after=20)
    fault = emulator.fault(*START, **lost)
    outcome = run_try(start(**path), ti)
    assert outcome.state == "success", outcome.message
    assert (fault.hits, methods(emulator).count("POST")) == (1, 1)
    assert [outcome.value["id"]] == list(statuses())


def test_earlier_import_is_not_taken_for_the_one_with_the_lost_response(
    emulator: Emulator, start: MakeImport, ti: TaskInstance, uri: str
) -> None:
    PineconeHook().imports(INDEX).start(uri)
    emulator.fault(*START, drop="before")
    outcome = run_try(start(), ti)
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", CreateOutcomeUnknown)
    assert "the import was not found within 30 s" in outcome.message
    assert len(statuses()) == 1


# Retries and clears


def test_retry_resumes_with_the_import_after_a_timeout(emulator: Emulator, start: MakeImport, ti: TaskInstance) -> None:
    emulator.next_import(import_after=1000)
    assert isinstance(run_try(start(timeout=600), ti).error, WaitTimeout)
    ti.retry()
    outcome = run_try(start(timeout=600), ti)
    assert (outcome.state, outcome.value["id"]) == ("success", "101")
    assert methods(emulator).count("POST") == 1


@pytest.mark.parametrize("seconds", [10, 3600])
@each_path
def test_retry_resumes_with_the_import_of_a_killed_try(
    emulator: Emulator, start: MakeImport, ti: TaskInstance, clock: FakeClock, uri: str, seconds: float, path: Any
) -> None:
    emulator.next_import(import_after=60)
    PineconeHook().imports(INDEX).start(f"{uri}/")
    clock.now += seconds
    ti.retry()
    outcome = run_try(start(**path), ti)
    assert (outcome.state, outcome.value["id"]) == ("success", "101")
    assert methods(emulator).count("POST") == 1


def test_retry_after_a_failed_import_reports_it_again(
    emulator: Emulator, start: MakeImport, ti: TaskInstance, uri: str
) -> None:
    emulator.next_import(fails=True)
    PineconeHook().imports(INDEX).start(uri)
    ti.retry()
    assert run_try(start(), ti).state == "failed"
    assert methods(emulator).count("POST") == 1


def test_import_of_another_run_or_uri_is_not_resumed(
    emulator: Emulator, start: MakeImport, ti: TaskInstance, clock: FakeClock, uri: str
) -> None:
    hook = PineconeHook()
    emulator.scenario.import_ends = "Cancelled"
    hook.imports(INDEX).start(uri)
    clock.now += 120
    hook.imports(INDEX).start(f"{uri}/other")
    emulator.scenario.import_ends = "Completed"
    ti.run_started = clock.utcnow()
    ti.retry()
    outcome = run_try(start(), ti)
    assert (outcome.state, outcome.value["id"]) == ("success", "103")


@pytest.mark.parametrize("ends", ["Failed", "Cancelled", "Completed"])
def test_cleared_task_starts_a_new_import(
    emulator: Emulator, start: MakeImport, ti: TaskInstance, logged: Callable[[], str], ends: str
) -> None:
    emulator.next_import(import_ends=ends)
    run_try(start(), ti)
    ti.clear()
    outcome = run_try(start(), ti)
    assert list(statuses()) == ["102", "101"]
    assert f"Import 101 of before the clear has the status {ends}" in logged()
    if ends == "Completed":
        assert outcome.state == "failed"
        assert "Namespace n already exists" in outcome.message
    else:
        assert (outcome.state, outcome.value["id"]) == ("success", "102")


def test_cleared_task_resumes_with_an_import_that_is_still_running(
    emulator: Emulator, start: MakeImport, ti: TaskInstance
) -> None:
    emulator.next_import(import_after=3600)
    run_try(start(timeout=60), ti)
    ti.clear()
    outcome = run_try(start(), ti)
    assert (outcome.state, outcome.value["id"]) == ("success", "101")


@pytest.mark.parametrize(("status", "state"), [(503, "up_for_retry"), (403, "failed")])
def test_failed_search_starts_no_import(
    emulator: Emulator, start: MakeImport, ti: TaskInstance, status: int, state: str
) -> None:
    emulator.fault("GET", "/data-plane/*/bulk/imports", status=status, times=None)
    ti.retry()
    assert run_try(start(), ti).state == state
    assert "POST" not in methods(emulator)


# The hook


def test_hook_cancels_an_import(emulator: Emulator, uri: str) -> None:
    emulator.next_import(import_ends="never")
    hook = PineconeHook()
    import_id = hook.imports(INDEX).start(uri)["id"]
    hook.imports(INDEX).cancel(import_id)
    assert hook.imports(INDEX).describe(import_id)["status"] == "Cancelled"
    with pytest.raises(NotFound):
        hook.imports(INDEX).cancel("999")


def test_hook_lists_all_pages(emulator: Emulator, uri: str) -> None:
    emulator.scenario.import_ends = "Cancelled"
    hook = PineconeHook()
    ids = [hook.imports(INDEX).start(uri)["id"] for _ in range(120)]
    assert list(statuses()) == ids[::-1]
