"""PruneBackupsOperator: what it lists, logs, deletes and keeps, over the tries of a task."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, BaseOperator
from support.clock import FakeClock
from support.constants import INDEX
from support.emulator_client import Ask
from support.operators import OUR_DESCRIPTION, methods
from support.tasks import Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeInputError, PineconeTransientError, PruneIncomplete
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators import CreateBackupOperator, PruneBackupsOperator
from airflow_pinecone.operators.retained import MAX_CONSECUTIVE_FAILURES

DAY = 24 * 3600.0
LIST = ("GET", f"/indexes/{INDEX}/backups")
DELETE = ("DELETE", "/backups/*")

pytestmark = pytest.mark.usefixtures("world")

Make = Callable[..., Any]
Prune = Callable[..., Outcome]


@pytest.fixture
def make(clock: FakeClock) -> Make:
    """Create the operator for the index docs-example; the rule is keep_last=2 unless others are given."""

    def make(**arguments: Any) -> Any:
        rules = {} if any(name.startswith("keep_") for name in arguments) else {"keep_last": 2}
        defaults = {"task_id": "prune", "index_name": INDEX, **rules}
        return make_task(PruneBackupsOperator, clock, **{**defaults, **arguments})

    return make


@pytest.fixture
def prune(make: Make) -> Prune:
    """Run one try of the operator: `prune(keep_daily=7)`."""

    def prune(**arguments: Any) -> Outcome:
        return run_try(make(**arguments), TaskInstance(task_id="prune"))

    return prune


def add(emulator: Emulator, count: int = 1, *, age: float = 3600, step: float = DAY, **fields: Any) -> list[str]:
    """Add backups that this package created, by default one a day; return their ids, the newest first."""
    fields = {"description": OUR_DESCRIPTION, **fields}
    return [emulator.add_backup(INDEX, age=age + n * step, **fields)["backup_id"] for n in range(count)]


def delete_requests(emulator: Emulator) -> list[str]:
    """Return the ids of the backups that the emulator was requested to delete, in order."""
    return [exchange.path.removeprefix("/backups/") for exchange in emulator.requests if exchange.method == "DELETE"]


def existing(emulator: Emulator) -> list[str]:
    """Return the ids of the backups, the newest first."""
    return ids(emulator.backups)


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["backup_id"] for row in rows]


def test_backups_that_no_rule_keeps_are_deleted_the_oldest_first(
    emulator: Emulator, prune: Prune, logged: Callable[[], str]
) -> None:
    history = add(emulator, 5)
    outcome = prune()
    assert outcome.state == "success"
    assert existing(emulator) == history[:2]
    assert delete_requests(emulator) == history[:1:-1]
    assert (outcome.value["index_name"], outcome.value["dry_run"], outcome.value["skipped"]) == (INDEX, False, [])
    assert ids(outcome.value["kept"]) == history[:2]
    assert ids(outcome.value["deleted"]) == history[:1:-1]
    text = logged()
    assert [f"Deleted backup {backup_id}" in text for backup_id in history] == [False, False, True, True, True]


def test_result_is_plain_json(emulator: Emulator, prune: Prune) -> None:
    add(emulator, name="nightly")
    (backup,) = emulator.backups
    outcome = prune()
    assert json.loads(json.dumps(outcome.value)) == outcome.value
    (row,) = outcome.value["kept"]
    reasons = row.pop("reasons")
    assert row == {"backup_id": backup["backup_id"], "name": "nightly", "created_at": backup["created_at"]}
    assert len(reasons) == 2
    assert "newest Ready" in reasons[0]
    assert reasons[1] == "keep_last 1 of 2"


def test_plan_is_logged_before_the_first_delete(emulator: Emulator, prune: Prune, logged: Callable[[], str]) -> None:
    """The first delete ends the task, so all that was logged before it is the plan."""
    history = add(emulator, 4)
    emulator.fault(*DELETE, status=401)
    prune()
    assert methods(emulator) == ["GET", "GET", "DELETE"]
    text = logged()
    assert "Deleting 2 of 4 backups of index docs-example" in text
    lines = [next(line for line in text.splitlines() if backup_id in line) for backup_id in history]
    assert ["keep " in line for line in lines] == [True, True, False, False]
    assert ["DELETE " in line for line in lines] == [False, False, True, True]
    assert "keep_last 2 of 2" in lines[1]
    assert "no rule keeps it" in lines[2]
    assert "Deleted backup" not in text


def test_oldest_backup_is_kept_while_a_rule_is_not_used_up(emulator: Emulator, prune: Prune) -> None:
    history = add(emulator, 5, step=60)
    outcome = prune(keep_yearly=5)
    assert existing(emulator) == [history[0], history[-1]]
    assert outcome.value["kept"][-1]["reasons"] == ["keep_yearly 2 of 5 (oldest)"]


def test_dry_run_deletes_nothing(emulator: Emulator, prune: Prune, logged: Callable[[], str]) -> None:
    history = add(emulator, 5)
    outcome = prune(dry_run=True)
    assert outcome.state == "success"
    assert methods(emulator) == ["GET"]
    assert existing(emulator) == history
    assert (outcome.value["dry_run"], outcome.value["deleted"]) == (True, [])
    assert ids(outcome.value["skipped"]) == history[:1:-1]
    assert outcome.value["skipped"][0]["reasons"] == ["no rule keeps it", "dry run"]
    assert "Would delete 3 of 5 backups" in logged()


def test_second_prune_deletes_nothing(emulator: Emulator, prune: Prune, clock: FakeClock) -> None:
    add(emulator, 30)
    rules = {"keep_daily": 3, "keep_weekly": 2, "keep_monthly": 2, "keep_within": timedelta(days=2)}
    assert prune(**rules).value["deleted"]
    emulator.requests.clear()
    clock.advance(3600)
    assert prune(**rules).value["deleted"] == []
    assert methods(emulator) == ["GET"]


@pytest.mark.parametrize(
    ("rule", "value", "step"),
    [
        *((f"keep_{unit}", 3, 400 * DAY) for unit in ("last", "daily", "weekly", "monthly", "yearly")),
        ("keep_within", timedelta(days=2, hours=1), DAY),
    ],
    ids=str,
)
def test_each_rule_is_applied(emulator: Emulator, prune: Prune, rule: str, value: Any, step: float) -> None:
    history = add(emulator, 4, step=step)
    outcome = prune(**{rule: value})
    assert existing(emulator) == history[:3]
    assert all(any(reason.startswith(f"{rule} ") for reason in row["reasons"]) for row in outcome.value["kept"])


def test_all_pages_of_the_list_are_read(emulator: Emulator, prune: Prune) -> None:
    history = add(emulator, 120)
    outcome = prune(keep_last=118)
    assert existing(emulator) == history[:118]
    assert len(outcome.value["kept"]) == 118


# Backups that are kept whatever the rules are


@pytest.mark.parametrize(("owned_only", "count"), [(True, 2), (False, 0)])
def test_owned_only_keeps_backups_of_others(emulator: Emulator, prune: Prune, owned_only: bool, count: int) -> None:
    others = add(emulator, 2, description="by hand")
    (good,) = add(emulator, age=60)
    prune(keep_last=1, owned_only=owned_only)
    assert existing(emulator) == [good, *others[:count]]


@pytest.mark.parametrize("remove_failed", [False, True])
def test_remove_failed_deletes_failed_backups(
    emulator: Emulator, prune: Prune, logged: Callable[[], str], remove_failed: bool
) -> None:
    (good,) = add(emulator, age=3 * DAY)
    failed = add(emulator, status="Failed") + add(emulator, age=2 * DAY, status="InitializationFailed")
    outcome = prune(remove_failed=remove_failed)
    assert existing(emulator) == ([good] if remove_failed else [*failed, good])
    assert set(ids(outcome.value["deleted" if remove_failed else "kept"])) >= set(failed)
    text = logged()
    assert all(backup_id in text for backup_id in failed)


def test_running_backups_are_kept_and_do_not_count(emulator: Emulator, prune: Prune) -> None:
    running = add(emulator, 2, status="Initializing") + add(emulator, 2, status="SomethingNew")
    ready = add(emulator, 2)
    prune(keep_last=1, remove_failed=True)
    assert set(existing(emulator)) == {*running, ready[0]}


def test_backups_of_an_earlier_index_with_the_same_name_are_kept(
    emulator: Emulator, prune: Prune, clock: FakeClock
) -> None:
    earlier = add(emulator, 3)
    PineconeHook().delete_index(INDEX)
    emulator.add_index(INDEX)
    clock.advance(DAY)
    # Backups of the earlier index are kept as soon as the new index has its first backup, whatever its status.
    (first,) = add(emulator, age=0, status="Initializing")
    assert prune(keep_last=1).value["deleted"] == []
    emulator.finish_backup(first)
    clock.advance(DAY)
    (second,) = add(emulator, age=0)
    assert ids(prune(keep_last=1).value["kept"]) == [second]  # Pinecone does not list those of the earlier index.
    assert existing(emulator) == [second, *earlier]


def test_backups_of_a_deleted_index_are_kept(emulator: Emulator, prune: Prune, logged: Callable[[], str]) -> None:
    history = add(emulator, 5)
    assert prune(dry_run=True).value["index_exists"] is True
    PineconeHook().delete_index(INDEX)
    outcome = prune()
    assert outcome.state == "success"
    assert (outcome.value["index_exists"], outcome.value["deleted"]) == (False, [])
    assert ids(outcome.value["kept"]) == existing(emulator) == history
    (reason,) = outcome.value["kept"][-1]["reasons"]
    assert "no longer exists" in reason
    assert f"Index {INDEX} no longer exists" in logged()


def test_include_deleted_indexes_prunes_a_deleted_index(emulator: Emulator, prune: Prune) -> None:
    history = add(emulator, 5)
    others = [emulator.add_backup("other", age=9 * DAY, description=OUR_DESCRIPTION)["backup_id"]]
    PineconeHook().delete_index(INDEX)
    outcome = prune(include_deleted_indexes=True)
    assert (outcome.state, outcome.value["index_exists"]) == ("success", False)
    assert ids(outcome.value["deleted"]) == history[:1:-1]
    assert existing(emulator) == [*history[:2], *others]


def test_include_deleted_indexes_applies_the_rules_to_each_index(
    emulator: Emulator, prune: Prune, clock: FakeClock
) -> None:
    earlier = add(emulator, 5)
    PineconeHook().delete_index(INDEX)
    emulator.add_index(INDEX)
    clock.advance(9 * DAY)
    current = add(emulator, 4)
    outcome = prune(include_deleted_indexes=True)
    assert outcome.value["index_exists"] is True
    assert existing(emulator) == [*current[:2], *earlier[:2]]


# The listing that checks the index before the first delete, and the one before the third.
@pytest.mark.parametrize(("listing", "deleted"), [(2, 0), (4, 2)])
@pytest.mark.parametrize("recreated", [True, False])
def test_index_that_is_deleted_or_created_again_meanwhile_keeps_its_other_backups(
    recreated: bool, listing: int, deleted: int, emulator: Emulator, prune: Prune, clock: FakeClock
) -> None:
    history = add(emulator, 6)

    def while_the_listing_is_repeated(seconds: float) -> None:
        PineconeHook().delete_index(INDEX)
        if recreated:
            emulator.add_index(INDEX)
            add(emulator, age=0)
        clock.on_sleep = None

    clock.on_sleep = while_the_listing_is_repeated
    emulator.fault(*LIST, nth=listing, status=503)
    outcome = prune()
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", PruneIncomplete)
    assert f"Deleted {deleted} of 4 backups" in outcome.message
    assert "the index was deleted or created again" in outcome.message
    assert existing(emulator)[-6 + deleted :] == history[: 6 - deleted]
    # The retry applies the rules to the new index.
    assert prune().state == "success"
    assert existing(emulator)[-6 + deleted :] == history[: 6 - deleted]


def list_with_invalid(emulator: Emulator, backup_id: str, fields: dict[str, Any]) -> None:
    """Let the list contain invalid fields of one backup."""
    rows = [row | (fields if row["backup_id"] == backup_id else {}) for row in emulator.backups]
    emulator.fault(*LIST, status=200, body={"data": rows}, times=None)


@pytest.mark.parametrize(
    "invalid",
    [
        *({"status": status} for status in (5, None, "Re\0ady")),
        *({"source_index_id": index_id} for index_id in (5, "a\nb")),
        *({"source_index_name": index_name} for index_name in (["docs"], "do\0cs")),
        {"created_at": 5},
        {"name": "\0", "description": OUR_DESCRIPTION, "record_count": "many", "tags": 5},
    ],
    ids=str,
)
def test_backup_with_an_invalid_field_prevents_no_prune(
    invalid: dict[str, Any], emulator: Emulator, prune: Prune, logged: Callable[[], str]
) -> None:
    history = add(emulator, 5)
    list_with_invalid(emulator, history[4], invalid)
    outcome = prune()
    assert outcome.state == "success"
    # The rules do not need the name and the tags.
    deleted = history[4:1:-1] if "tags" in invalid else history[3:1:-1]
    assert ids(outcome.value["deleted"]) == deleted
    assert existing(emulator) == [backup_id for backup_id in history if backup_id not in deleted]
    if not invalid.keys() & {"created_at", "tags"}:
        # Airflow 2 writes each line to stderr and to the log, and both are captured.
        copies = 1 if importlib.util.find_spec("airflow.sdk") else 2
        assert logged().count(f"backup_id: {history[4]}") == copies


def test_invalid_backup_is_no_proof_of_a_newer_one(emulator: Emulator, prune: Prune) -> None:
    """With keep_last=1, the newest backup whose status can be read is kept, too."""
    history = add(emulator, 3)
    list_with_invalid(emulator, history[0], {"status": "Ready\0"})
    assert prune(keep_last=1).state == "success"
    assert existing(emulator) == history[:2]


def test_name_without_an_index_and_backups_fails_without_a_retry(emulator: Emulator, prune: Prune) -> None:
    """It is probably misspelled."""
    add(emulator, 3)
    outcome = prune(index_name="no-such", include_deleted_indexes=True)
    assert outcome.state == "failed"
    assert "HTTP 404" in outcome.message


def test_backup_that_is_younger_than_the_decision_is_kept(emulator: Emulator, prune: Prune) -> None:
    (younger,) = add(emulator, age=-5)
    history = add(emulator, 2)
    prune(keep_last=1)
    assert existing(emulator) == [younger, history[0]]


def test_backups_of_other_indexes_are_kept(emulator: Emulator, prune: Prune) -> None:
    emulator.add_index("other")
    others = {emulator.add_backup("other", age=age * DAY, description=OUR_DESCRIPTION)["backup_id"] for age in range(3)}
    history = add(emulator, 3)
    prune(keep_last=1)
    assert set(existing(emulator)) == {history[0], *others}


def test_held_backup_is_kept_until_its_hold_ends(
    emulator: Emulator, prune: Prune, clock: FakeClock, logged: Callable[[], str]
) -> None:
    task = make_task(CreateBackupOperator, clock, index_name=INDEX, hold_until=timedelta(days=3))
    held = run_try(task, TaskInstance()).value["backup_id"]
    clock.advance(2 * DAY)
    (second,) = add(emulator)
    assert prune(keep_last=1).value["deleted"] == []
    assert "held until 20" in logged()
    clock.advance(DAY + 1)
    assert ids(prune(keep_last=1).value["deleted"]) == [held]
    assert existing(emulator) == [second]


def test_rules_apply_to_the_backups_of_one_dag_and_task(emulator: Emulator, prune: Prune, clock: FakeClock) -> None:
    created: dict[int, str] = {}
    for dag_id, task_id in [("a", "one"), ("a", "one"), ("a", "two"), ("a", "two"), ("b", "one"), ("b", "one")]:
        ti = TaskInstance(dag_id=dag_id, task_id=task_id, run_id=f"run_{len(created)}")
        task = make_task(CreateBackupOperator, clock, index_name=INDEX, description="words")
        created[len(created)] = run_try(task, ti).value["backup_id"]
        clock.advance(DAY)
    outcome = prune(keep_last=1, created_by_dag_id="a", created_by_task_id="one")
    assert ids(outcome.value["deleted"]) == [created[0]]
    assert ids(prune(keep_last=1, created_by_dag_id="b").value["deleted"]) == [created[4]]
    assert len(existing(emulator)) == 4


def test_creator_of_no_backup_is_a_warning(emulator: Emulator, prune: Prune, logged: Callable[[], str]) -> None:
    """The id of a task in a task group has the id of the group before it."""
    assert prune(keep_last=1, created_by_task_id="backup").value["deleted"] == []
    assert "none was created by" not in logged()  # There is no backup.
    emulator.add_backup(INDEX, age=DAY, description=OUR_DESCRIPTION)
    assert prune(keep_last=1, created_by_dag_id="etl", created_by_task_id="backup").state == "success"
    assert "none was created by" not in logged()
    assert prune(keep_last=1, created_by_task_id="group.backup").value["deleted"] == []
    assert "none was created by DAG (any), task group.backup." in logged()


# max_deletes


def test_too_large_plan_deletes_nothing(emulator: Emulator, prune: Prune, logged: Callable[[], str]) -> None:
    history = add(emulator, 6)
    outcome = prune(max_deletes=3)
    assert outcome.state == "failed"
    assert "4 backups of index docs-example" in outcome.message
    assert "max_deletes is 3" in outcome.message
    assert "no rule keeps it" in logged()
    assert methods(emulator) == ["GET"]
    assert existing(emulator) == history


def test_plan_can_be_as_large_as_max_deletes(emulator: Emulator, prune: Prune) -> None:
    history = add(emulator, 6)
    assert prune(max_deletes=4).state == "success"
    assert existing(emulator) == history[:2]


def test_dry_run_of_a_too_large_plan_logs_a_warning(
    emulator: Emulator, prune: Prune, logged: Callable[[], str]
) -> None:
    add(emulator, 6)
    outcome = prune(max_deletes=3, dry_run=True)
    assert (outcome.state, len(outcome.value["skipped"])) == ("success", 4)
    assert "max_deletes is 3" in logged()


# Deletes that fail


def test_failed_deletes_do_not_prevent_the_others_and_are_listed(emulator: Emulator, make: Make) -> None:
    history = add(emulator, 7)
    faults = [
        emulator.fault("DELETE", f"/backups/{history[place]}", times=None, status=status)
        for place, status in ((2, 400), (3, 500), (5, 503))
    ]
    ti = TaskInstance(task_id="prune")
    outcome = run_try(make(), ti)
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", PruneIncomplete)
    assert existing(emulator) == [*history[:4], history[5]]
    assert [place for place, backup_id in enumerate(history) if backup_id in outcome.message] == [2, 3, 5]
    assert "Deleted 2 of 5 backups" in outcome.message
    # Pinecone works again.
    for fault in faults:
        fault.path = "/nowhere"
    ti.retry()
    outcome = run_try(make(), ti)
    assert outcome.state == "success"
    assert ids(outcome.value["deleted"]) == [history[5], history[3], history[2]]
    assert existing(emulator) == history[:2]


def test_error_lists_at_most_ten_failed_deletes(emulator: Emulator, prune: Prune, logged: Callable[[], str]) -> None:
    history = add(emulator, 52)
    emulator.fault(*DELETE, times=None, status=400)
    outcome = prune()
    assert "40 more" in outcome.message
    assert sum(backup_id in outcome.message for backup_id in history) == 10
    assert logged().count("HTTP 400") >= 50


def test_prune_stops_after_consecutive_failures(emulator: Emulator, prune: Prune) -> None:
    history = add(emulator, 20)
    emulator.fault(*DELETE, times=None, status=503)
    outcome = prune()
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", PruneIncomplete)
    assert set(delete_requests(emulator)) == set(history[-MAX_CONSECUTIVE_FAILURES:])
    assert f"{MAX_CONSECUTIVE_FAILURES} consecutive failures" in outcome.message
    assert existing(emulator) == history


def test_prune_continues_after_failures_that_are_not_consecutive(emulator: Emulator, prune: Prune) -> None:
    history = add(emulator, 22)
    for backup_id in history[2::2]:
        emulator.fault("DELETE", f"/backups/{backup_id}", times=None, status=503)
    assert "Deleted 10 of 20 backups" in prune().message
    assert existing(emulator) == [*history[:2], *history[2::2]]


def test_backup_that_does_not_exist_any_more_counts_as_deleted(emulator: Emulator, prune: Prune) -> None:
    history = add(emulator, 4)
    emulator.fault("DELETE", f"/backups/{history[3]}", status=404, work=True)
    outcome = prune()
    assert outcome.state == "success"
    assert ids(outcome.value["deleted"]) == [history[3], history[2]]
    no_rule, not_found = outcome.value["deleted"][0]["reasons"]
    assert no_rule == "no rule keeps it"
    assert "no longer existed" in not_found
    assert methods(emulator) == ["GET", *["GET", "DELETE"] * 2]


def test_lost_response_to_a_delete_is_not_a_failure(emulator: Emulator, prune: Prune) -> None:
    history = add(emulator, 3)
    fault = emulator.fault(*DELETE, drop="after")
    assert prune().state == "success"
    assert fault.hits == 1
    assert existing(emulator) == history[:2]


def test_backup_that_is_being_restored_is_skipped(emulator: Emulator, prune: Prune, ask: Ask) -> None:
    history = add(emulator, 4)
    emulator.next_restore(restore_ends="never")
    assert ask("POST", f"/backups/{history[3]}/create-index", json={"name": "restored"}).status_code == 202
    outcome = prune()
    assert outcome.state == "success"
    assert ids(outcome.value["skipped"]) == [history[3]]
    no_rule, in_use = outcome.value["skipped"][0]["reasons"]
    assert no_rule == "no rule keeps it"
    assert "restore" in in_use
    assert ids(outcome.value["deleted"]) == [history[2]]
    assert existing(emulator) == [*history[:2], history[3]]


@pytest.mark.parametrize("status", [401, 402, 403])
def test_rejected_key_or_account_ends_the_prune_without_a_retry(emulator: Emulator, prune: Prune, status: int) -> None:
    history = add(emulator, 10)
    emulator.fault(*DELETE, nth=3, times=None, status=status)
    outcome = prune()
    assert outcome.state == "failed"
    assert methods(emulator) == ["GET", *["GET", "DELETE"] * 3]
    assert existing(emulator) == history[:8]
    assert f"HTTP {status}" in outcome.message
    assert "2 of 8 backups" in outcome.message


# The list


@pytest.mark.parametrize("status", [400, 401, 402, 403, 422])
def test_rejected_list_request_fails_without_a_retry(emulator: Emulator, prune: Prune, status: int) -> None:
    history = add(emulator, 5)
    emulator.fault(*LIST, status=status)
    outcome = prune()
    assert outcome.state == "failed"
    assert f"HTTP {status}" in outcome.message
    assert methods(emulator) == ["GET"]
    assert existing(emulator) == history


def test_incomplete_list_deletes_nothing(emulator: Emulator, prune: Prune) -> None:
    """The second page cannot be read."""
    history = add(emulator, 120)
    fault = emulator.fault(*LIST, nth=2, times=None, status=503)
    outcome = prune()
    assert fault.hits > 0
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", PineconeTransientError)
    assert existing(emulator) == history


@pytest.mark.parametrize("index_name", ["", None, "Docs", "../x"])
def test_invalid_index_name_fails_before_any_request(emulator: Emulator, prune: Prune, index_name: Any) -> None:
    outcome = prune(index_name=index_name)
    assert outcome.state == "failed"
    assert "1 to 45" in outcome.message
    assert emulator.requests == []


# The arguments


@pytest.mark.parametrize(
    ("invalid", "message"),
    [
        ({}, "rule .*keep_last"),
        ({"keep_last": 0}, "rule .*keep_last"),
        ({"keep_daily": "7"}, "keep_daily must be an integer"),
        ({"keep_within": timedelta.max}, "keep_within must be"),
        *(({"keep_last": 2, "max_deletes": value}, "max_deletes must be") for value in (0, -1, 1.0, "5", True)),
        *(({"keep_last": 2, name: 5}, f"{name} must be") for name in ("created_by_dag_id", "created_by_task_id")),
    ],
    ids=str,
)
def test_invalid_arguments_are_an_error_when_the_dag_is_parsed(
    clock: FakeClock, invalid: dict[str, Any], message: str
) -> None:
    """Airflow creates a mapped task in the worker. It does not retry a task that raises AirflowFailException there."""
    with pytest.raises(ValueError, match=message) as caught:
        make_task(PruneBackupsOperator, clock, task_id="prune", index_name=INDEX, **invalid)
    assert isinstance(caught.value, PineconeInputError)
    with DAG("mapped", schedule=None):
        mapped: Any = PruneBackupsOperator.partial(task_id="prune", retries=2, **invalid).expand(index_name=["a", "b"])
    with pytest.raises(AirflowFailException, match=message) as failed:
        mapped.unmap({"index_name": "a"})
    assert isinstance(failed.value, PineconeInputError)


def test_operator_can_be_mapped_over_indexes() -> None:
    with DAG("fleet", schedule=None) as dag:
        PruneBackupsOperator.partial(task_id="prune", keep_last=3, dry_run=True).expand(index_name=["a", "b"])
    assert type(dag.get_task("prune")).__name__ == "MappedOperator"


def test_rules_that_changed_after_parsing_are_checked_again(emulator: Emulator, make: Make) -> None:
    history = add(emulator, 5)
    task = make()
    task.keep_last = 0
    assert run_try(task, TaskInstance(task_id="prune")).state == "failed"
    assert existing(emulator) == history


def test_template_fields() -> None:
    counts = ("keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "max_deletes")
    assert tuple(PruneBackupsOperator.template_fields) == ("index_name", *counts, "is_dry_run", "conn_id")


@pytest.mark.skipif(not hasattr(BaseOperator, "dry_run"), reason="this Airflow has no dry runs of operators")
def test_dry_run_method_of_airflow_still_works(make: Make) -> None:
    """`airflow tasks test --dry-run` calls this method: an attribute with that name would break it."""
    make(dry_run=True).dry_run()
