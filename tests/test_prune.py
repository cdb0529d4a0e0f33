"""PruneBackupsOperator: what it lists, says, deletes and leaves, over the tries of a task."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from airflow.providers.common.compat.sdk import DAG
from running import End, TaskInstance, Time, make, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeTransientError, PruneIncomplete
from airflow_pinecone.operators import CreateBackupOperator, PruneBackupsOperator, prune

DAY = 24 * 3600.0
MARK = "By Airflow [airflow-pinecone 90177680dfff23fb16c75484b2112d02]"
LIST = ("GET", "/indexes/docs-example/backups")


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.clock = time
    # The pauses of the hook: the tests of the transport look at them.
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what was logged since the last call; Airflow 3 logs to stdout here, Airflow 2 by logging."""
    caplog.set_level("INFO")

    def said() -> str:
        text = capsys.readouterr().out + caplog.text
        caplog.clear()
        return text

    return said


def fill(emulator: Emulator, count: int = 5, **fields: Any) -> list[str]:
    """Let the index have a backup a day, the newest an hour old; return their ids, the newest first."""
    rows = [(n * DAY + 3600, {"description": MARK, **fields}) for n in range(count)]
    return [emulator.add_backup("docs-example", age=age, **row)["backup_id"] for age, row in rows]


def clean(**arguments: Any) -> Any:
    defaults = {} if any(name.startswith("keep_") for name in arguments) else {"keep_last": 2}
    return make(PruneBackupsOperator, **{"task_id": "prune", "index_name": "docs-example", **defaults, **arguments})


def run(**arguments: Any) -> End:
    return run_try(clean(**arguments), TaskInstance(task_id="prune"))


def calls(emulator: Emulator) -> list[str]:
    return [exchange.method for exchange in emulator.requests]


def tried(emulator: Emulator) -> list[str]:
    return [exchange.path.removeprefix("/backups/") for exchange in emulator.requests if exchange.method == "DELETE"]


def left(emulator: Emulator) -> list[str]:
    return [backup["backup_id"] for backup in emulator.backups]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["backup_id"] for row in rows]


def test_what_no_rule_keeps_is_deleted_the_oldest_first(emulator: Emulator) -> None:
    history = fill(emulator)
    end = run()
    assert end.state == "success"
    assert left(emulator) == history[:2]
    assert tried(emulator) == history[:1:-1]
    assert (end.value["index_name"], end.value["dry_run"], end.value["skipped"]) == ("docs-example", False, [])
    assert ids(end.value["kept"]) == history[:2]
    assert ids(end.value["deleted"]) == history[:1:-1]


def test_what_is_returned_is_plain(emulator: Emulator) -> None:
    fill(emulator, 1, name="nightly")
    (backup,) = emulator.backups
    end = run()
    assert json.loads(json.dumps(end.value)) == end.value
    reasons = ["the newest Ready one", "keep_last 1 of 2"]
    assert end.value["kept"] == [
        {
            "backup_id": backup["backup_id"],
            "name": "nightly",
            "created_at": backup["created_at"],
            "reasons": reasons,
        }
    ]


def test_the_plan_is_logged_before_the_first_delete(emulator: Emulator, time: Time, said: Any) -> None:
    """A delete that ends the task at once: what was said until then is the plan."""
    history = fill(emulator, 4)
    emulator.fault("DELETE", "/backups/*", status=401)
    run()
    assert calls(emulator) == ["GET", "DELETE"]
    text = said()
    assert "Deleting 2 of 4 backups of index docs-example" in text
    lines = [next(line for line in text.splitlines() if backup_id in line) for backup_id in history]
    assert ["keep " in line for line in lines] == [True, True, False, False]
    assert ["DELETE " in line for line in lines] == [False, False, True, True]
    assert "keep_last 2 of 2" in lines[1]
    assert "no rule keeps it" in lines[2]
    assert "Deleted backup" not in text


def test_a_dry_run_deletes_nothing(emulator: Emulator, said: Any) -> None:
    history = fill(emulator)
    end = run(dry_run=True)
    assert end.state == "success"
    assert calls(emulator) == ["GET"]
    assert left(emulator) == history
    assert (end.value["dry_run"], end.value["deleted"]) == (True, [])
    assert ids(end.value["skipped"]) == history[:1:-1]
    assert end.value["skipped"][0]["reasons"] == ["no rule keeps it", "dry run"]
    assert "Would delete 3 of 5 backups" in said()


def test_a_second_prune_deletes_nothing(emulator: Emulator, time: Time) -> None:
    fill(emulator, 30)
    rules = {"keep_daily": 3, "keep_weekly": 2, "keep_monthly": 2, "keep_within": timedelta(days=2)}
    assert run(**rules).value["deleted"]
    emulator.requests.clear()
    time.now += 3600
    assert run(**rules).value["deleted"] == []
    assert calls(emulator) == ["GET"]


@pytest.mark.parametrize("rule", ["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"])
def test_every_rule_reaches_the_decision(emulator: Emulator, rule: str) -> None:
    history = [emulator.add_backup("docs-example", age=n * 400 * DAY, description=MARK)["backup_id"] for n in range(4)]
    run(**{rule: 3})
    assert left(emulator) == history[:3]


def test_keep_within_reaches_the_decision(emulator: Emulator) -> None:
    history = fill(emulator)
    run(keep_within=timedelta(days=1, hours=1))
    assert left(emulator) == history[:2]


def test_all_pages_are_read(emulator: Emulator) -> None:
    history = fill(emulator, 120)
    end = run(keep_last=118)
    assert left(emulator) == history[:118]
    assert len(end.value["kept"]) == 118


# What stays


@pytest.mark.parametrize(("owned_only", "stay"), [(True, 2), (False, 0)])
def test_backups_by_others_stay_unless_asked_for(emulator: Emulator, owned_only: bool, stay: int) -> None:
    fill(emulator, 2, description="by hand")
    good = emulator.add_backup("docs-example", age=60, description=MARK)["backup_id"]
    run(keep_last=1, owned_only=owned_only)
    assert good in left(emulator)
    assert len(left(emulator)) == 1 + stay


def test_what_the_create_operator_makes_is_known_as_ours(emulator: Emulator, time: Time) -> None:
    for number in range(3):
        ti = TaskInstance(run_id=f"run_{number}")
        assert run_try(make(CreateBackupOperator, index_name="docs-example"), ti).state == "success"
        time.now += DAY
    assert len(run(keep_last=1).value["deleted"]) == 2


@pytest.mark.parametrize(("remove_failed", "stay"), [(False, 3), (True, 1)])
def test_failed_ones_are_listed_and_go_when_asked_for(
    emulator: Emulator, remove_failed: bool, stay: int, said: Any
) -> None:
    good = emulator.add_backup("docs-example", age=3 * DAY, description=MARK)["backup_id"]
    failed = [
        emulator.add_backup("docs-example", age=DAY, description=MARK, status=status)["backup_id"]
        for status in ("Failed", "InitializationFailed")
    ]
    end = run(remove_failed=remove_failed)
    assert good in left(emulator)
    assert len(left(emulator)) == stay
    assert set(ids(end.value["deleted" if remove_failed else "kept"])) >= set(failed)
    assert all(backup_id in said() for backup_id in failed[:1])


def test_running_ones_stay_and_count_for_nothing(emulator: Emulator) -> None:
    running = fill(emulator, 2, status="Initializing") + fill(emulator, 2, status="Dreaming")
    ready = fill(emulator, 2)
    run(keep_last=1, remove_failed=True)
    assert set(left(emulator)) == {*running, ready[0]}


def test_backups_of_an_earlier_index_of_the_name_stay(emulator: Emulator, time: Time) -> None:
    earlier = fill(emulator, 3)
    emulator._project.delete_index("docs-example")  # a word of the test's, not a request
    emulator.add_index("docs-example")
    time.now += DAY
    # Its first backup goes on still: nothing of the earlier one goes meanwhile, either.
    first = emulator.add_backup("docs-example", description=MARK, status="Initializing")["backup_id"]
    assert run(keep_last=1).value["deleted"] == []
    emulator.finish(first)
    time.now += DAY
    second = emulator.add_backup("docs-example", description=MARK)["backup_id"]
    end = run(keep_last=1)
    assert set(left(emulator)) == {second, *earlier}
    assert {tuple(row["reasons"]) for row in end.value["kept"][1:]} == {("of an earlier index of this name",)}


def test_a_backup_that_is_younger_than_the_decision_stays(emulator: Emulator) -> None:
    younger = emulator.add_backup("docs-example", age=-5, description=MARK)["backup_id"]
    history = fill(emulator, 2)
    run(keep_last=1)
    assert set(left(emulator)) == {younger, history[0]}


def test_other_indexes_are_not_looked_at(emulator: Emulator) -> None:
    emulator.add_index("other")
    for age in range(3):
        emulator.add_backup("other", age=age * DAY, description=MARK)
    fill(emulator, 3)
    run(keep_last=1)
    assert len(emulator.backups) == 1 + 3


# Deletes that go wrong


def test_one_failing_delete_does_not_hold_up_the_others(emulator: Emulator) -> None:
    history = fill(emulator, 6)
    fault = emulator.fault("DELETE", f"/backups/{history[3]}", times=None, status=500)
    ti = TaskInstance(task_id="prune")
    end = run_try(clean(), ti)
    assert (end.state, type(end.error)) == ("up_for_retry", PruneIncomplete)
    assert left(emulator) == [*history[:2], history[3]]
    assert history[3] in end.message
    assert not any(backup_id in end.message for backup_id in (history[2], history[4], history[5]))
    assert "3 of 4 are deleted" in end.message
    assert end.error.can_retry  # type: ignore[union-attr]
    fault.path = "/nowhere"  # It has gone by.
    ti.retry()
    end = run_try(clean(), ti)
    assert end.state == "success"
    assert ids(end.value["deleted"]) == [history[3]]
    assert left(emulator) == history[:2]


def test_all_failing_deletes_are_told(emulator: Emulator) -> None:
    history = fill(emulator, 5)
    emulator.fault("DELETE", f"/backups/{history[2]}", times=None, status=400)
    emulator.fault("DELETE", f"/backups/{history[4]}", times=None, status=503)
    end = run()
    assert type(end.error) is PruneIncomplete
    assert [backup_id in end.message for backup_id in history] == [False, False, True, False, True]


def test_very_many_failing_deletes_are_told_in_short(emulator: Emulator, said: Any) -> None:
    history = fill(emulator, 52)
    emulator.fault("DELETE", "/backups/*", times=None, status=400)
    end = run()
    assert "The log has 40 more" in end.message
    assert sum(backup_id in end.message for backup_id in history) == 10
    assert said().count("HTTP 400") >= 50


def test_when_nothing_is_answered_the_rest_is_not_tried(emulator: Emulator) -> None:
    history = fill(emulator, 20)
    emulator.fault("DELETE", "/backups/*", times=None, status=503)
    end = run()
    assert (end.state, type(end.error)) == ("up_for_retry", PruneIncomplete)
    assert set(tried(emulator)) == set(history[-prune.MAX_UNANSWERED :])
    assert "the rest was not tried" in end.message
    assert left(emulator) == history


def test_deletes_that_fail_now_and_then_are_no_end(emulator: Emulator) -> None:
    history = fill(emulator, 22)
    for backup_id in history[2::2]:
        emulator.fault("DELETE", f"/backups/{backup_id}", times=None, status=503)
    assert "10 of 20 are deleted" in run().message
    assert left(emulator) == [*history[:2], *history[2::2]]


def test_one_that_is_gone_counts_as_deleted(emulator: Emulator) -> None:
    history = fill(emulator, 4)
    emulator.fault("DELETE", f"/backups/{history[3]}", status=404, work=True)
    end = run()
    assert end.state == "success"
    assert ids(end.value["deleted"]) == [history[3], history[2]]
    assert end.value["deleted"][0]["reasons"] == ["no rule keeps it", "was gone already"]
    assert calls(emulator) == ["GET", "DELETE", "DELETE"]


def test_a_lost_answer_to_a_delete_is_no_failure(emulator: Emulator) -> None:
    history = fill(emulator, 3)
    emulator.fault("DELETE", "/backups/*", drop="after")
    assert run().state == "success"
    assert left(emulator) == history[:2]


def test_one_that_is_being_restored_is_skipped(emulator: Emulator, ask: Any) -> None:
    history = fill(emulator, 4)
    emulator.next_restore(ends="never")
    assert ask("POST", f"/backups/{history[3]}/create-index", json={"name": "restored"}).status_code == 202
    end = run()
    assert end.state == "success"
    assert ids(end.value["skipped"]) == [history[3]]
    assert end.value["skipped"][0]["reasons"] == ["no rule keeps it", "it is being restored"]
    assert ids(end.value["deleted"]) == [history[2]]
    assert left(emulator) == [*history[:2], history[3]]


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refused_key_ends_it_at_once(emulator: Emulator, status: int) -> None:
    history = fill(emulator, 10)
    emulator.fault("DELETE", "/backups/*", nth=3, times=None, status=status)
    end = run()
    assert end.state == "failed"
    assert calls(emulator) == ["GET", *["DELETE"] * 3]
    assert left(emulator) == history[:8]
    assert f"HTTP {status}" in end.message
    assert "2 of 8 are deleted" in end.message


# The listing


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
def test_a_refused_listing_is_not_retried(emulator: Emulator, status: int) -> None:
    fill(emulator)
    emulator.fault(*LIST, status=status)
    end = run()
    assert end.state == "failed"
    assert calls(emulator) == ["GET"]


def test_half_a_listing_deletes_nothing(emulator: Emulator) -> None:
    """The second page never comes."""
    history = fill(emulator, 120)
    emulator.fault(*LIST, nth=2, times=None, status=503)
    end = run()
    assert (end.state, type(end.error)) == ("up_for_retry", PineconeTransientError)
    assert left(emulator) == history


@pytest.mark.parametrize("index_name", ["", None, "Docs", "../x"])
def test_an_impossible_index_name_fails_before_any_request(emulator: Emulator, index_name: Any) -> None:
    end = run(index_name=index_name)
    assert end.state == "failed"
    assert "1 to 45" in end.message
    assert emulator.requests == []


# The arguments


def test_rules_are_looked_at_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="at least one of keep_last"):
        make(PruneBackupsOperator, task_id="prune", index_name="docs-example")
    with pytest.raises(ValueError, match="keep_daily must be a whole number"):
        clean(keep_daily="7")


def test_rules_that_were_changed_since_are_looked_at_again(emulator: Emulator) -> None:
    history = fill(emulator)
    task = clean()
    task.keep_last = 0
    assert run_try(task, TaskInstance(task_id="prune")).state == "failed"
    assert left(emulator) == history


def test_it_can_be_mapped_over_indexes() -> None:
    with DAG("fleet", schedule=None):
        PruneBackupsOperator.partial(task_id="prune", keep_last=3, dry_run=True).expand(index_name=["a", "b"])


def test_templated_fields_are_these() -> None:
    assert tuple(PruneBackupsOperator.template_fields) == ("index_name", "conn_id")


def test_the_dry_run_of_airflow_is_still_there() -> None:
    """`airflow tasks test --dry-run` calls this method: an attribute of that name would break it."""
    clean(dry_run=True).dry_run()
