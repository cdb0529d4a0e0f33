"""VerifyBackupOperator: it fails for a backup that is not Ready, empty, or much smaller than its baseline."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import allow_any_response, methods
from support.tasks import Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import BackupCheckFailed, PineconeInputError, PineconeTransientError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import VerifyBackupOperator

HOUR = 3600.0
STATS = ("POST", "/data-plane/*/describe_index_stats")

pytestmark = pytest.mark.usefixtures("world")

Verify = Callable[..., Outcome]


@pytest.fixture
def verify(clock: FakeClock) -> Verify:
    """Run one try of the operator: `verify(backup_id, max_shrink=0.2)`."""

    def verify(backup_id: Any, **arguments: Any) -> Outcome:
        return run_try(make_task(VerifyBackupOperator, clock, backup_id=backup_id, **arguments), TaskInstance())

    return verify


def add(emulator: Emulator, records: Any = 96, **fields: Any) -> str:
    """Add a Ready backup with some records, and return its id."""
    return str(emulator.add_backup(INDEX, record_count=records, **fields)["backup_id"])


def test_without_max_shrink_the_backup_is_described_once(emulator: Emulator, verify: Verify) -> None:
    backup_id = add(emulator)
    outcome = verify(backup_id)
    assert outcome.state == "success"
    assert outcome.value == {
        "backup_id": backup_id,
        "status": "Ready",
        "record_count": 96,
        "compared_to": None,
    }
    assert [(exchange.method, exchange.path) for exchange in emulator.requests] == [("GET", f"/backups/{backup_id}")]


def test_backup_of_a_deleted_index_is_compared_with_the_previous_one(emulator: Emulator, verify: Verify) -> None:
    earlier = add(emulator, 100, age=2 * HOUR)
    backup_id = add(emulator, 90, age=HOUR)
    PineconeHook().delete_index(INDEX)
    outcome = verify(backup_id, max_shrink=0.2)
    assert outcome.state == "success"
    assert outcome.value["compared_to"]["id"] == earlier


def test_backup_of_a_deleted_index_cannot_be_compared_with_the_index(emulator: Emulator, verify: Verify) -> None:
    backup_id = add(emulator, 90)
    PineconeHook().delete_index(INDEX)
    outcome = verify(backup_id, max_shrink=0.2, compare_to="index")
    assert outcome.state == "failed"
    assert f"index {INDEX}" in outcome.message
    assert "HTTP 404" in outcome.message
    assert verify(backup_id).state == "success"


def test_result_has_the_baseline(emulator: Emulator, verify: Verify, logged: Callable[[], str]) -> None:
    add(emulator, 500, age=3 * HOUR)
    earlier = emulator.add_backup(INDEX, record_count=100, age=2 * HOUR)
    backup_id = add(emulator, 80, age=HOUR)
    add(emulator, 1000)
    outcome = verify(backup_id, max_shrink=0.2)
    assert outcome.state == "success"
    assert outcome.value["compared_to"] == {
        "kind": "backup",
        "id": earlier["backup_id"],
        "record_count": 100,
        "created_at": earlier["created_at"],
    }
    assert json.loads(json.dumps(outcome.value)) == outcome.value
    (line, *_) = [line for line in logged().splitlines() if "passed" in line]
    assert all(fact in line for fact in (backup_id, INDEX, "80", earlier["backup_id"], "100"))
    # The backups of the whole project are only listed for the first backup of an index.
    assert [exchange.path for exchange in emulator.requests] == [f"/backups/{backup_id}", f"/indexes/{INDEX}/backups"]


def test_backup_that_is_too_small_fails_and_is_kept(emulator: Emulator, verify: Verify) -> None:
    earlier, backup_id = add(emulator, 100, age=HOUR), add(emulator, 79)
    outcome = verify(backup_id, max_shrink=0.2)
    assert outcome.state == "failed"
    assert isinstance(outcome.error, AirflowFailException)
    assert isinstance(outcome.error.__context__, BackupCheckFailed)
    for fact in (backup_id, earlier, "79", "100", INDEX, "Nothing was deleted"):
        assert fact in outcome.message
    assert len(emulator.backups) == 2
    assert set(methods(emulator)) == {"GET"}


def test_backup_of_an_emptied_index_fails_without_any_rule(emulator: Emulator, verify: Verify) -> None:
    emulator.set_records(INDEX, 0)
    backup_id = PineconeHook().create_backup(INDEX)["backup_id"]
    outcome = verify(backup_id)
    assert outcome.state == "failed"
    assert "empty" in outcome.message
    assert "0 records" in outcome.message
    assert verify(backup_id, min_records=0).state == "success"


@pytest.mark.parametrize("status", ["Initializing", "Failed", "InitializationFailed", "Pending"])
def test_backup_that_is_not_ready_fails_with_its_status(emulator: Emulator, verify: Verify, status: str) -> None:
    outcome = verify(add(emulator, 100, status=status), max_shrink=0.2)
    assert outcome.state == "failed"
    assert f"{status}, not Ready" in outcome.message
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("missing", [None, ...])
def test_missing_count_is_reported_as_missing(
    emulator: Emulator, verify: Verify, logged: Callable[[], str], missing: Any
) -> None:
    backup_id = add(emulator, missing)
    outcome = verify(backup_id)
    assert outcome.state == "failed"
    assert "record_count is missing" in outcome.message
    assert "empty" not in outcome.message
    outcome = verify(backup_id, min_records=0)
    assert (outcome.state, outcome.value["record_count"]) == ("success", None)
    (line, *_) = [line for line in logged().splitlines() if "passed" in line]
    assert "record_count is missing" in line


# Compared with the previous backup


def test_first_backup_passes(emulator: Emulator, verify: Verify, logged: Callable[[], str]) -> None:
    outcome = verify(add(emulator), max_shrink=0)
    assert (outcome.state, outcome.value["compared_to"]) == ("success", None)
    assert "no earlier Ready backup" in logged()


def test_first_backup_of_a_recreated_index_is_compared_with_the_earlier_index(
    emulator: Emulator, verify: Verify
) -> None:
    earlier = add(emulator, 1000, age=HOUR, source_index_id="the-deleted-index")
    first = add(emulator, 1, age=60)
    outcome = verify(first, max_shrink=0.5)
    assert outcome.state == "failed"
    assert f"the earlier backup {earlier}" in outcome.message
    # The next one is compared with a backup of its own index.
    outcome = verify(add(emulator, 1), max_shrink=0)
    assert (outcome.state, outcome.value["compared_to"]["id"]) == ("success", first)


def test_previous_backup_is_searched_on_all_pages(emulator: Emulator, verify: Verify) -> None:
    add(emulator, 500, age=1000 * HOUR)
    for age in range(2, 150):
        add(emulator, 1000, age=age * HOUR, status="Failed")
    outcome = verify(add(emulator, 400), max_shrink=0.1)
    assert outcome.state == "failed"
    assert "500 records" in outcome.message


def test_count_that_is_not_a_number_cannot_forge_a_log_line(
    emulator: Emulator, verify: Verify, logged: Callable[[], str]
) -> None:
    allow_any_response(emulator, "/backups/*")
    assert verify(add(emulator, "96\nforged\x1b[2K"), min_records=0).state == "success"
    assert "its record_count is 96 forged\N{REPLACEMENT CHARACTER}[2K" in logged()


@pytest.mark.parametrize("compare_to", ["previous", "index"])
def test_missing_count_of_the_baseline_fails(emulator: Emulator, verify: Verify, compare_to: str) -> None:
    earlier = emulator.add_backup(INDEX, record_count=None, age=HOUR)
    emulator.fault(*STATS, status=200, body={})
    outcome = verify(add(emulator), max_shrink=0.2, compare_to=compare_to)
    assert outcome.state == "failed"
    previous = f"backup {earlier['backup_id']} of {earlier['created_at'][:19]}Z"
    baseline = previous if compare_to == "previous" else f"index {INDEX}"
    assert f"{baseline}, the baseline, is missing" in outcome.message


@pytest.mark.parametrize("field", ["created_at", "source_index_id"])
def test_missing_field_that_the_comparison_needs_fails(emulator: Emulator, verify: Verify, field: str) -> None:
    allow_any_response(emulator, "/backups/*", "/indexes/*/backups")
    add(emulator, 100, age=HOUR)
    backup_id = add(emulator, 80, **{field: ...})
    outcome = verify(backup_id, max_shrink=0.2)
    assert outcome.state == "failed"
    assert backup_id in outcome.message
    assert f"{field} is missing" in outcome.message


# Compared with the index


def test_backup_can_be_compared_with_the_index(emulator: Emulator, verify: Verify) -> None:
    backup_id = add(emulator, 80)
    emulator.set_records(INDEX, 100, namespaces=3)
    outcome = verify(backup_id, max_shrink=0.2, compare_to="index")
    assert outcome.value["compared_to"] == {
        "kind": "index",
        "id": INDEX,
        "record_count": 100,
        "created_at": None,
    }
    emulator.set_records(INDEX, 101, namespaces=3)
    outcome = verify(backup_id, max_shrink=0.2, compare_to="index")
    assert outcome.state == "failed"
    for fact in ("80 records", f"index {INDEX}", "101 records"):
        assert fact in outcome.message


def test_index_without_a_name_is_not_in_the_message(
    emulator: Emulator, verify: Verify, logged: Callable[[], str]
) -> None:
    allow_any_response(emulator, "/backups/*")
    backup_id = add(emulator, source_index_name=...)
    assert verify(backup_id).state == "success"
    assert f"The check of backup {backup_id} passed" in logged()


@pytest.mark.parametrize("compare_to", ["previous", "index"])
def test_backup_without_the_name_of_its_index_fails(emulator: Emulator, verify: Verify, compare_to: str) -> None:
    allow_any_response(emulator, "/backups/*")
    outcome = verify(add(emulator, source_index_name=None), max_shrink=0.2, compare_to=compare_to)
    assert outcome.state == "failed"
    assert "its source_index_name is missing" in outcome.message
    assert len(emulator.requests) == 1


# Errors


def test_request_that_fails_can_be_retried(emulator: Emulator, verify: Verify) -> None:
    backup_id = add(emulator)
    emulator.fault(*STATS, status=503, times=None)
    outcome = verify(backup_id, max_shrink=0.2, compare_to="index")
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", PineconeTransientError)


def test_backup_that_does_not_exist_fails_without_a_retry(verify: Verify) -> None:
    outcome = verify("no-such-backup")
    assert outcome.state == "failed"
    assert "no-such-backup" in outcome.message


# The arguments


@pytest.mark.parametrize(
    "invalid",
    [
        {"min_records": -1},
        {"min_records": True},
        {"min_records": 1.5},
        {"max_shrink": 20},
        {"max_shrink": -0.1},
        {"max_shrink": True},
        {"max_shrink": "0.2"},
        {"max_shrink": float("nan")},
        {"compare_to": "last"},
    ],
    ids=str,
)
def test_invalid_rule_is_an_error_when_the_dag_is_parsed(verify: Verify, invalid: dict[str, Any]) -> None:
    """Airflow creates a mapped task in the worker. It does not retry a task that raises AirflowFailException there."""
    message = next(iter(invalid))
    with pytest.raises(ValueError, match=message):
        verify("b-1", **invalid)
    with DAG("mapped", schedule=None):
        mapped: Any = VerifyBackupOperator.partial(task_id="verify", **invalid).expand(backup_id=["b-1", "b-2"])
    with pytest.raises(AirflowFailException, match=message) as caught:
        mapped.unmap({"backup_id": "b-1"})
    assert isinstance(caught.value, PineconeInputError)


def test_template_fields() -> None:
    assert tuple(VerifyBackupOperator.template_fields) == ("backup_id", "conn_id")
