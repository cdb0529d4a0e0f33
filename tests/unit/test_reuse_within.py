"""With reuse_within, CreateBackupOperator returns a Ready backup that is young enough instead of a new one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import PATHS, allow_any_response, methods
from support.tasks import TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateBackupOperator

HOUR = timedelta(hours=1)
MINUTE = 60.0

pytestmark = pytest.mark.usefixtures("world")
each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)

Create = Callable[..., Any]


@pytest.fixture
def create(clock: FakeClock) -> Create:
    """Create the operator with a reuse_within of one hour: `create(timeout=60)`."""

    def create(**arguments: Any) -> Any:
        return make_task(CreateBackupOperator, clock, **{"index_name": INDEX, "reuse_within": HOUR, **arguments})

    return create


def add(emulator: Emulator, minutes: float, **fields: Any) -> Any:
    """Add a backup that is some minutes old."""
    return emulator.add_backup(INDEX, age=minutes * MINUTE, **fields)


@each_path
def test_young_backup_is_reused_with_one_list_request(
    emulator: Emulator, create: Create, path: dict[str, Any], logged: Callable[[], str]
) -> None:
    young = add(emulator, 59)
    ti = TaskInstance()
    outcome = run_try(create(**path), ti)
    assert outcome.state == "success"
    assert methods(emulator) == ["GET"]
    assert ti.xcoms["return_value"] == outcome.value
    assert outcome.value["status"] == "Ready"
    assert ti.xcoms["backup_id"] == young["backup_id"]
    (line, *_) = [line for line in logged().splitlines() if "Reusing" in line]
    assert all(fact in line for fact in (young["backup_id"], INDEX, "0:59:00", "1:00:00"))


def test_newest_backup_is_reused(emulator: Emulator, create: Create) -> None:
    add(emulator, 30)
    newest = add(emulator, 20)
    add(emulator, 40)
    assert run_try(create(), TaskInstance()).value["backup_id"] == newest["backup_id"]


@pytest.mark.parametrize("rest", ["25.625540Z", "25.625540123Z", "25.625540+00:00", "25Z"])
def test_age_is_computed_from_any_form_of_created_at(
    emulator: Emulator, create: Create, clock: FakeClock, rest: str
) -> None:
    clock.now = 1747240700.0  # 2025-05-14T16:38:20Z
    backup = add(emulator, 0, created_at=f"2025-05-14T16:37:{rest}")
    assert run_try(create(reuse_within=timedelta(seconds=60)), TaskInstance()).value["backup_id"] == backup["backup_id"]
    assert run_try(create(reuse_within=timedelta(seconds=50)), TaskInstance()).value != backup


@each_path
@pytest.mark.parametrize(
    ("minutes", "fields"),
    [
        (60, {}),
        (600, {}),
        (5, {"status": "Initializing"}),
        (5, {"status": "Failed"}),
        (5, {"status": "InitializationFailed"}),
        (5, {"created_at": None}),
        (5, {"created_at": ...}),
        (5, {"created_at": "just now"}),
        (-120, {}),
    ],
    ids=str,
)
def test_backup_that_is_old_or_not_ready_or_without_a_time_is_not_reused(
    emulator: Emulator, create: Create, path: dict[str, Any], minutes: float, fields: dict[str, Any]
) -> None:
    other = add(emulator, minutes, **fields)
    allow_any_response(emulator, f"/indexes/{INDEX}/backups")
    outcome = run_try(create(**path), TaskInstance())
    assert outcome.state == "success"
    assert methods(emulator)[:2] == ["GET", "POST"]
    assert outcome.value["backup_id"] != other["backup_id"]


def test_backup_of_another_index_is_not_reused(emulator: Emulator, create: Create) -> None:
    emulator.add_index("other")
    emulator.add_backup("other", age=MINUTE)
    run_try(create(), TaskInstance())
    assert methods(emulator) == ["GET", "POST"]


@pytest.mark.parametrize(
    ("old_index", "newest"),
    [
        ({"source_index_id": "the-deleted-index"}, {"status": "Failed"}),
        # It is then unknown which index has the name now.
        ({}, {"source_index_id": ...}),
    ],
    ids=["another index", "unknown index"],
)
def test_backup_of_an_earlier_index_with_the_same_name_is_not_reused(
    emulator: Emulator, create: Create, old_index: dict[str, Any], newest: dict[str, Any]
) -> None:
    allow_any_response(emulator, "/indexes/*/backups")
    old = add(emulator, 20, **old_index)
    add(emulator, 10, **newest)
    outcome = run_try(create(), TaskInstance())
    assert outcome.state == "success"
    assert methods(emulator) == ["GET", "POST"]
    assert outcome.value["backup_id"] != old["backup_id"]


def test_backup_of_a_deleted_index_is_not_reused(emulator: Emulator, create: Create) -> None:
    """There is nothing to back up, and a success would hide it."""
    add(emulator, 20)
    PineconeHook().delete_index(INDEX)
    outcome = run_try(create(), TaskInstance())
    assert outcome.state == "failed"
    assert outcome.message.startswith(f"Could not list the backups of index {INDEX}.\nHTTP 404 NOT_FOUND")
    assert "Check the name or id" in outcome.message
    assert methods(emulator) == ["DELETE", "GET"]


def test_retry_resumes_with_its_own_backup_even_if_a_younger_one_is_ready(emulator: Emulator, create: Create) -> None:
    emulator.next_backup(ready_after=600)
    ti = TaskInstance()
    assert run_try(create(wait_for_completion=True, timeout=300), ti).state == "up_for_retry"
    (own,) = emulator.backups
    add(emulator, 0)
    ti.retry()
    outcome = run_try(create(wait_for_completion=True), ti)
    assert outcome.value["backup_id"] == own["backup_id"]
    assert methods(emulator).count("POST") == 1


@each_path
def test_lost_response_creates_one_backup(emulator: Emulator, create: Create, path: dict[str, Any]) -> None:
    emulator.fault("POST", "/indexes/*/backups", drop="after")
    assert run_try(create(**path), TaskInstance()).state == "success"
    assert len(emulator.backups) == 1


def test_retry_without_an_own_backup_reuses_one(emulator: Emulator, create: Create) -> None:
    """The earlier try was killed after it chose the backup of another task."""
    young = add(emulator, 5)
    outcome = run_try(create(), TaskInstance(try_number=2))
    assert outcome.value["backup_id"] == young["backup_id"]
    assert "POST" not in methods(emulator)


def test_cleared_task_reuses_a_backup(emulator: Emulator, create: Create) -> None:
    ti = TaskInstance()
    first = run_try(create(), ti)
    ti.clear()
    assert run_try(create(), ti).value["backup_id"] == first.value["backup_id"]
    assert len(emulator.backups) == 1


@pytest.mark.parametrize(("status", "state"), [(401, "failed"), (503, "up_for_retry")])
def test_no_backup_is_created_if_the_list_request_fails(
    emulator: Emulator, create: Create, status: int, state: str
) -> None:
    emulator.fault("GET", "/indexes/*/backups", status=status, times=None)
    assert run_try(create(), TaskInstance()).state == state
    assert emulator.backups == []
    assert "POST" not in methods(emulator)


@pytest.mark.parametrize("value", [0, -1, "5", True, timedelta(0)])
def test_invalid_age_is_an_error(create: Create, value: Any) -> None:
    with pytest.raises(ValueError, match="reuse_within"):
        create(reuse_within=value)
