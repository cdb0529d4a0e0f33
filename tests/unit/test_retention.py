"""Which backups may be deleted: a table of cases, and properties of every plan."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pinecone.api.models import backup_phase, created_at
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.rules.history import BackupHistory
from airflow_pinecone.rules.identity import Origin, describe
from airflow_pinecone.rules.retention import Plan, RetentionRules, plan

NOW = datetime(2025, 5, 14, 12, tzinfo=UTC)  # A Wednesday in ISO week 20.
ORIGIN = Origin("etl", "manual__1", "backup", -1, "", 1)
OURS = describe(None, ORIGIN)
DAY = timedelta(days=1)
MISSING = object()

# Fields of a backup.
FAILED, RUNNING = {"status": "Failed"}, {"status": "Initializing"}
BY_HAND = {"description": "by hand"}
HELD = {"description": describe(None, ORIGIN, NOW + DAY)}
EARLIER = {"source_index_id": "earlier"}
# Arguments of a prune.
INCLUDE_DELETED = {"include_deleted_indexes": True}
REMOVE_FAILED = {"remove_failed": True}


def backup(backup_id: str, created: Any, **fields: Any) -> Any:
    """Make a Ready backup that this package created. A time can be short, such as 05-14T03 in 2025."""
    if isinstance(created, str) and len(created) == 8:
        created = f"2025-{created}:00:00.000000Z"
    model = {
        "backup_id": backup_id,
        "source_index_name": "docs",
        "source_index_id": "current",
        "status": "Ready",
        "description": OURS,
        "created_at": created,
        **fields,
    }
    return {name: value for name, value in model.items() if value is not MISSING}


def decide(backups: list[Any], now: datetime = NOW, rules: RetentionRules | None = None, **arguments: Any) -> Plan:
    rule_arguments = {name: arguments.pop(name) for name in RetentionRules._fields if name in arguments}
    history = BackupHistory(backups, index_exists=arguments.pop("index_exists", True))
    return plan(history, rules or RetentionRules(**rule_arguments), now=now, **arguments)


def kept(decided: Plan) -> set[str]:
    return {decision.backup["backup_id"] for decision in decided.kept}


def deleted(decided: Plan) -> set[str]:
    return {decision.backup["backup_id"] for decision in decided.to_delete}


def reasons(decided: Plan, backup_id: str) -> tuple[str, ...]:
    (decision,) = (d for d in decided.decisions if d.backup["backup_id"] == backup_id)
    return decision.reasons


# The table of cases. Each case has rules and a history: backups named by their times, an asterisk marks the kept ones.
# Backups are of the current index and ours, unless another index or one of these words follows the time.

WORDS: dict[str, dict[str, Any]] = {
    "held": HELD,
    "by-hand": BY_HAND,
    "undescribed": {"description": None},
    "unknown": {"source_index_id": None},
}

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "the newest three": ({"keep_last": 3}, "*05-14T03 *05-14T02 *05-13T03 05-12T03 05-11T03"),
    "more than exist": ({"keep_last": 9}, "*05-14T03 *05-13T03"),
    "the newest of each day": ({"keep_daily": 2}, "*05-14T03 05-14T02 *05-13T23 05-13T00 05-12T03"),
    "a day without a backup does not count": ({"keep_daily": 3}, "*05-14T03 *05-10T03 *04-01T03 03-31T03"),
    "a day ends at midnight in UTC": ({"keep_daily": 3}, "*05-14T00 *05-13T23 05-13T00 *05-12T23"),
    "a week starts on Monday": ({"keep_weekly": 2}, "*05-14T03 05-12T00 *05-11T23 05-05T00 05-04T23"),
    "not used up: the oldest is kept": ({"keep_daily": 3}, "*05-14T03 05-14T02 *05-13T03 05-13T02 *05-13T01"),
    "the oldest uses one count": ({"keep_daily": 2}, "*05-14T03 05-14T02 *05-14T01"),
    "a rule that is used up does not keep the oldest": ({"keep_daily": 1}, "*05-14T03 05-14T02 05-14T01"),
    "weekly, not used up": ({"keep_weekly": 5}, "*05-14T03 05-13T03 *05-12T03"),
    "monthly, not used up": ({"keep_monthly": 5}, "*05-14T03 05-13T03 *05-02T03"),
    "yearly, not used up": ({"keep_yearly": 5}, "*05-14T03 04-13T03 *01-01T03"),
    "keep_within has no count": ({"keep_within": DAY}, "*05-14T03 *05-13T12 05-01T03 04-01T03"),
    "months": ({"keep_monthly": 2}, "*05-14T03 05-01T00 *04-30T23 04-01T00 03-31T23"),
    "one year": ({"keep_yearly": 1}, "*05-14T03 01-01T00"),
    "a kept backup counts for each rule": (
        {"keep_daily": 2, "keep_weekly": 2},
        "*05-14T03 *05-13T03 05-12T03 *05-10T03 05-09T03",
    ),
    "one rule is enough": (
        {"keep_last": 2, "keep_daily": 2, "keep_monthly": 3},
        "*05-14T03 *05-14T02 *05-13T03 05-12T03 *04-30T03 04-29T03 *03-31T03 02-28T03",
    ),
    "within a day of the newest": ({"keep_within": DAY}, "*05-14T03 *05-13T03 05-13T02"),
    "within a day of the newest, not of the decision": ({"keep_within": DAY}, "*05-04T03 *05-03T03 05-03T02"),
    "the newest is always kept": ({"keep_within": timedelta(microseconds=1)}, "*05-01T03 04-30T03"),
    "0 is no rule": ({"keep_last": 0, "keep_daily": 1, "keep_within": timedelta(0)}, "*05-14T03 05-13T03 05-14T02"),
    "backups younger than the decision do not count": ({"keep_last": 1}, "*05-14T13 *05-14T12 05-14T11"),
    "all of a deleted index": ({"keep_last": 1, "index_exists": False}, "*05-14T03 *05-13T03 *04-01T03@earlier"),
    "all of an earlier index": ({"keep_last": 1}, "*05-14T03 05-13T03 *05-12T03@earlier *05-11T03@earlier"),
    "the rules apply to a deleted index": (
        {"keep_last": 1, "keep_daily": 2, "index_exists": False, **INCLUDE_DELETED},
        "*05-14T03 05-14T02 *05-13T03 05-12T03",
    ),
    "the rules apply to each index": (
        {"keep_last": 2, **INCLUDE_DELETED},
        "*05-14T03 *05-13T03 05-12T03 *04-14T03@earlier *04-13T03@earlier 04-12T03@earlier *03-14T03@oldest",
    ),
    "the rules apply to each deleted index": (
        {"keep_last": 1, "index_exists": False, **INCLUDE_DELETED},
        "*05-14T03 05-13T03 *04-14T03@earlier 04-13T03@earlier",
    ),
    "each index has its oldest": (
        {"keep_yearly": 2, **INCLUDE_DELETED},
        "*05-14T03 05-13T03 *05-12T03 *04-14T03@earlier 04-13T03@earlier *04-12T03@earlier",
    ),
    "within a day of each newest": (
        {"keep_within": DAY, **INCLUDE_DELETED},
        "*05-14T03 *05-13T03 05-12T03 *04-14T03@earlier *04-13T03@earlier 04-12T03@earlier",
    ),
    "no deleted index to include": ({"keep_last": 1, **INCLUDE_DELETED}, "*05-14T03 05-13T03"),
    "the current index is unknown": ({"keep_last": 1}, "*05-14T03@unknown *05-13T03 *05-12T03"),
    "a held backup does not displace another": ({"keep_last": 1}, "*05-14T03@held *05-13T03 05-12T03"),
    "a newer backup of others does not displace ours": ({"keep_within": DAY}, "*05-14T03@by-hand *05-10T03 05-01T03"),
    "without owned_only": ({"keep_last": 1, "owned_only": False}, "*05-14T03 05-13T03@by-hand 05-12T03@undescribed"),
    "a time with 6 digits": ({"keep_last": 1}, "*2025-05-14T11:59:59.999999Z 2025-05-14T11:59:59.999998Z"),
    "a time with 9 digits": ({"keep_last": 1}, "*2025-05-14T11:59:59.999999999+00:00 2025-05-14T11:59:59.999998Z"),
    "a time of now with 9 digits": ({"keep_last": 1}, "*2025-05-14T12:00:00.000000999Z 2025-05-14T11:59:59.999998Z"),
}


@pytest.mark.parametrize(("rules", "history"), CASES.values(), ids=CASES)
def test_rules_keep_the_marked_backups(rules: dict[str, Any], history: str) -> None:
    names = history.split()
    backups = []
    for name in names:
        time, _, word = name.strip("*").partition("@")
        backups.append(backup(name.strip("*"), time, **WORDS.get(word, {"source_index_id": word or "current"})))
    decided = decide(backups, **rules)
    assert kept(decided) == {name.strip("*") for name in names if name.startswith("*")}
    assert deleted(decided) == {name for name in names if not name.startswith("*")}


# Backups that are kept whatever the rules are. Unless it says so, such a backup is older than the good one, which the
# only rule keeps.


def of(**origin: Any) -> dict[str, Any]:
    return {"description": describe(None, ORIGIN._replace(**origin))}


NOT_IN_FULL = "does not name its DAG and task in full"
ALWAYS_KEPT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "running": (RUNNING, {}, "not Ready (Initializing)"),
    "pending": ({"status": "Pending"}, {}, "not Ready (Pending)"),
    "unknown": ({"status": "SomethingNew"}, REMOVE_FAILED, "not Ready (SomethingNew)"),
    "failed": (FAILED, {}, "failed (Failed); remove_failed"),
    "failed early": ({"status": "InitializationFailed"}, {}, "failed (InitializationFailed); remove_failed"),
    "missing time": ({"created_at": MISSING}, {}, "its created_at is missing"),
    "null time": ({"created_at": None}, {}, "its created_at is missing"),
    "empty time": ({"created_at": ""}, {}, "its created_at is missing"),
    "invalid time": ({"created_at": "yesterday"}, {}, "its created_at is invalid"),
    "time is a number": ({"created_at": 1_700_000_000}, {}, "its created_at is invalid"),
    "younger, without a time zone": ({"created_at": "2025-05-14T12:00:01"}, {}, "created after this decision"),
    "time out of range": ({"created_at": "0001-01-01T00:00:00+01:00"}, {}, "its created_at is invalid"),
    "younger": ({"created_at": "2025-05-14T12:00:00.000001Z"}, {}, "created after this decision"),
    "younger, with an offset": ({"created_at": "2025-05-14T12:00:00-01:00"}, {}, "created after this decision"),
    "failed, younger": (FAILED | {"created_at": "2025-05-14T12:30:00Z"}, REMOVE_FAILED, "created after this decision"),
    "earlier index": (EARLIER, {"owned_only": False}, "earlier index"),
    "failed, earlier index": (FAILED | EARLIER, REMOVE_FAILED, "earlier index"),
    "failed, earlier index, included": (FAILED | EARLIER, INCLUDE_DELETED, "failed (Failed); remove_failed"),
    "running, earlier index, included": (RUNNING | EARLIER, INCLUDE_DELETED, "not Ready (Initializing)"),
    "not ours, earlier index, included": (BY_HAND | EARLIER, INCLUDE_DELETED, "owned_only"),
    "held, earlier index, included": (HELD | EARLIER, INCLUDE_DELETED, "held until"),
    "missing index, included": ({"source_index_id": MISSING}, INCLUDE_DELETED, "index is unknown"),
    "missing index": ({"source_index_id": MISSING}, {}, "index is unknown"),
    "null index": ({"source_index_id": None}, {}, "index is unknown"),
    "null index name": ({"source_index_name": None}, {}, "index is unknown"),
    "not ours": (BY_HAND, {}, "owned_only"),
    "not ours, without a description": ({"description": MISSING}, {}, "owned_only"),
    "held": (HELD, {}, "held until 2025-05-15 12:00:00 UTC"),
    "held, not owned_only": ({"description": describe("x", ORIGIN, NOW + DAY)}, {"owned_only": False}, "held until"),
    "held, failed": (HELD | FAILED, REMOVE_FAILED, "held until"),
    "of another DAG": (of(dag_id="b"), {"created_by_dag_id": "etl"}, "DAG b"),
    "of another task": (of(task_id="b"), {"created_by_dag_id": "etl", "created_by_task_id": "backup"}, "task b"),
    "of a truncated task": (of(run_id="r" * 450), {"created_by_task_id": "backup"}, NOT_IN_FULL),
    "not ours, of a DAG": (
        {"description": "Created by Airflow: dag etl, run r, task backup"},
        {"created_by_dag_id": "etl", "owned_only": False},
        NOT_IN_FULL,
    ),
    "failed, not ours": (FAILED | {"description": None}, REMOVE_FAILED, "owned_only"),
}


@pytest.mark.parametrize(("fields", "switches", "term"), ALWAYS_KEPT.values(), ids=ALWAYS_KEPT)
def test_backup_is_kept_whatever_the_rules_are(fields: dict[str, Any], switches: dict[str, Any], term: str) -> None:
    good, other = backup("good", "05-14T03"), backup("other", "05-01T03", **fields)
    decided = decide([good, other, backup("old", "04-01T03")], keep_last=1, **switches)
    (reason,) = reasons(decided, "other")
    assert term in reason
    # It does not displace the good one.
    assert kept(decided) == {"good", "other"}
    assert "keep_last 1 of 1" in reasons(decided, "good")


def test_backup_of_a_deleted_index_is_kept_with_that_reason() -> None:
    history = [backup("new", "05-14T03"), backup("old", "05-13T03"), backup("a", "05-12T03", source_index_id="earlier")]
    decided = decide(history, keep_last=1, index_exists=False)
    expected = "its index no longer exists; include_deleted_indexes=True applies the rules"
    assert [decision.reasons for decision in decided.decisions] == [(expected,)] * 3


def test_backup_has_each_reason_to_keep_it_whatever_the_rules_are() -> None:
    other = backup("other", "05-15T03", source_index_id="earlier", description="by hand", status="Failed")
    decided = decide([other, backup("good", "05-14T03"), backup("newest", "05-16T03")], keep_last=1)
    terms = ["earlier index", "owned_only", "remove_failed", "created after"]
    assert [term in reason for term, reason in zip(terms, reasons(decided, "other"), strict=True)] == [True] * 4


@pytest.mark.parametrize("end", [NOW, NOW - DAY], ids=str)
def test_backup_whose_hold_has_ended_is_treated_as_any_other(end: datetime) -> None:
    held = backup("held", "05-01T03", description=describe(None, ORIGIN, end))
    decided = decide([backup("good", "05-14T03"), held], keep_last=1)
    assert deleted(decided) == {"held"}
    assert reasons(decided, "held") == ("no rule keeps it",)


def test_rules_apply_to_the_backups_of_one_dag_or_task() -> None:
    origins = {"a1": ("a", "one"), "a2": ("a", "two"), "b1": ("b", "one")}
    history = [
        backup(f"{name}-{n}", f"05-{n:02}T03", description=describe("w", ORIGIN._replace(dag_id=dag, task_id=task)))
        for name, (dag, task) in origins.items()
        for n in (1, 2)
    ]
    assert deleted(decide(history, keep_last=1, created_by_dag_id="b")) == {"b1-1"}
    assert deleted(decide(history, keep_last=1, created_by_task_id="two")) == {"a2-1"}
    assert deleted(decide(history, keep_last=1, created_by_dag_id="a", created_by_task_id="one")) == {"a1-1"}
    assert deleted(decide(history, keep_last=1, created_by_dag_id="", created_by_task_id="one")) == set()


def test_remove_failed_deletes_failed_backups_and_no_rule_keeps_them() -> None:
    failed = [backup("a", "05-14T04", status="Failed"), backup("b", "05-14T02", status="InitializationFailed")]
    decided = decide([*failed, backup("good", "05-14T03")], keep_last=5, keep_within=9 * DAY, remove_failed=True)
    assert (kept(decided), deleted(decided)) == ({"good"}, {"a", "b"})
    (reason,) = reasons(decided, "b")
    assert "InitializationFailed" in reason


def test_failed_backup_is_kept_while_it_is_the_only_one_of_the_current_index() -> None:
    """Without it, the next prune would take the earlier index for the current one, and delete its backups."""
    failed = [backup("f", "05-14T03", status="Failed"), backup("e", "05-14T02", status="Failed")]
    earlier = [backup("a", "05-13T03", **EARLIER), backup("b", "05-12T03", **EARLIER)]
    decided = decide([*failed, *earlier], keep_last=1, remove_failed=True)
    assert deleted(decided) == {"e"}
    (reason,) = reasons(decided, "f")
    assert "tells which index is the current one" in reason
    # If another backup of the current index is kept, this one is deleted.
    decided = decide([*failed, *earlier, backup("g", "05-14T01")], keep_last=1, remove_failed=True)
    assert deleted(decided) == {"e", "f"}


def test_failed_backup_is_kept_while_it_is_the_only_dated_one_of_its_index() -> None:
    """Without it, the backup without a time could belong to a newer index than all others."""
    history = [backup("a", "05-14T03"), backup("f", "05-13T03", status="Failed", **EARLIER)]
    history.append(backup("undated", None, **EARLIER))
    decided = decide(history, keep_last=1, remove_failed=True, include_deleted_indexes=True)
    assert deleted(decided) == set()
    assert "tells which index is the current one" in reasons(decided, "f")[0]


def test_decision_has_every_reason() -> None:
    history = [backup("new", "05-14T03"), backup("mid", "05-13T03"), backup("old", "05-01T03")]
    decided = decide(
        history, keep_last=1, keep_daily=2, keep_weekly=1, keep_monthly=1, keep_yearly=1, keep_within=2 * DAY
    )
    newest, *by_rules = reasons(decided, "new")
    assert "newest Ready" in newest
    assert by_rules == [
        "keep_last 1 of 1",
        "keep_daily 1 of 2 (2025-05-14)",
        "keep_weekly 1 of 1 (2025-W20)",
        "keep_monthly 1 of 1 (2025-05)",
        "keep_yearly 1 of 1 (2025)",
        "keep_within 2 days, 0:00:00",
    ]
    assert reasons(decided, "mid") == ("keep_daily 2 of 2 (2025-05-13)", "keep_within 2 days, 0:00:00")
    assert reasons(decided, "old") == ("no rule keeps it",)


def test_oldest_backup_is_kept_while_a_rule_is_not_used_up() -> None:
    """As in restic, version 0.17 and later, and in borg: the history is as long as the counts permit."""
    days = [(NOW - n * DAY).strftime("%Y-%m-%d") for n in range(100)]
    history = [backup(day, f"{day}T03:00:00Z") for day in days]
    decided = decide(history, keep_yearly=5)
    assert kept(decided) == {days[0], days[-1]}
    assert reasons(decided, days[-1]) == ("keep_yearly 2 of 5 (oldest)",)
    # Another rule counts on its own.
    decided = decide(history, keep_yearly=5, keep_monthly=9, keep_last=2)
    assert reasons(decided, days[-1]) == ("keep_monthly 5 of 9 (oldest)", "keep_yearly 2 of 5 (oldest)")


def test_oldest_backup_is_one_that_the_rules_consider() -> None:
    older = [
        backup("failed", "01-02T03", status="Failed"),
        backup("by hand", "01-01T03", description="by hand"),
        backup("earlier", "01-01T02", source_index_id="earlier"),
        backup("undated", None),
    ]
    ours = [backup("new", "05-14T03"), backup("mid", "05-01T03"), backup("old", "04-01T03")]
    decided = decide([*older, *ours], keep_yearly=5)
    assert deleted(decided) == {"mid"}
    assert reasons(decided, "old") == ("keep_yearly 2 of 5 (oldest)",)


def test_only_backup_is_not_counted_twice() -> None:
    assert reasons(decide([backup("a", "05-14T03")], keep_yearly=5), "a")[1:] == ("keep_yearly 1 of 5 (2025)",)


def test_prune_after_each_backup_keeps_the_oldest_until_the_counts_are_used_up() -> None:
    history: list[Any] = []
    for number in range(20):
        now = NOW + number * DAY
        history = [
            d.backup for d in decide([*history, backup(f"b-{number:02}", now.isoformat())], now, keep_weekly=3).kept
        ]
    # A Wednesday to a Monday: the newest of each of the last three ISO weeks.
    assert [b["backup_id"] for b in history] == ["b-19", "b-18", "b-11"]


def test_iso_week_can_span_two_years() -> None:
    history = [backup(t, t + "T03:00:00Z") for t in ("2024-12-31", "2024-12-30", "2024-12-29")]
    assert kept(decide(history, keep_weekly=2)) == {"2024-12-31", "2024-12-29"}
    assert "keep_weekly 1 of 2 (2025-W01)" in reasons(decide(history, keep_weekly=2), "2024-12-31")


def test_times_with_an_offset_are_converted_to_utc() -> None:
    history = [backup("late", "2025-05-14T01:00:00+02:00"), backup("noon", "2025-05-13T12:00:00Z")]
    assert kept(decide(history, keep_daily=1)) == {"late"}
    assert "keep_daily 2 of 2 (oldest)" in reasons(decide(history, keep_daily=2), "noon")


def test_of_two_backups_with_the_same_time_the_greater_id_is_newer() -> None:
    same_time = [backup("a", "05-14T03"), backup("b", "05-14T03")]
    assert kept(decide(same_time, keep_last=1)) == kept(decide(same_time[::-1], keep_last=1)) == {"b"}
    assert kept(decide(same_time, keep_last=2)) == {"a", "b"}


def test_plan_without_backups_has_no_decisions() -> None:
    decided = decide([], keep_last=1)
    assert decided.decisions == ()
    assert decided.table().split() == ["created_at", "backup_id", "status", "name", "reasons"]


def test_plan_lists_the_newest_first_and_deletes_the_oldest_first() -> None:
    history = [backup("b", "05-13T03"), backup("?", None), backup("c", "05-14T03"), backup("a", "05-12T03")]
    decided = decide(history, keep_last=1)
    assert [d.backup["backup_id"] for d in decided.decisions] == ["c", "b", "a", "?"]
    assert [d.backup["backup_id"] for d in decided.to_delete] == ["a", "b"]


def test_table_is_aligned_and_truncates_long_names() -> None:
    long_name = "two\nlines " + "x" * 99
    history = [
        backup("b-1", "05-14T03", name="nightly"),
        backup("b-22", "05-13T03", name=long_name),
        backup("b-333", None),
    ]
    decided = decide(history, keep_last=1)
    header, *rows = decided.table().splitlines()
    starts = [0, *(header.index(name) for name in ("created_at", "backup_id", "status", "name", "reasons"))]
    # Each cell ends two spaces before the next one starts.
    cells = [[row[start:end].rstrip() for start, end in itertools.pairwise([*starts, 999])] for row in rows]
    assert all(row[start - 2 : start] == "  " for row in rows for start in starts[1:])
    assert cells == [
        ["keep", "2025-05-14T03:00:00.000000Z", "b-1", "Ready", "nightly", "; ".join(reasons(decided, "b-1"))],
        [
            *("DELETE", "2025-05-13T03:00:00.000000Z", "b-22", "Ready"),
            *("two lines " + "x" * 47 + "...", "no rule keeps it"),
        ],
        ["keep", "-", "b-333", "Ready", "-", "; ".join(reasons(decided, "b-333"))],
    ]


@pytest.mark.parametrize("field", ["name", "created_at"])
def test_table_shows_no_control_characters_of_a_backup(field: str) -> None:
    forged = "a\nDELETE  b-9\r\x1b[2K\x1b[1A\x85\u2028\u202e\ud800"
    table = decide([backup("b-1", "05-14T03"), backup("b-2", "05-13T03", **{field: forged})], keep_last=1).table()
    assert len(table.splitlines()) == 3
    assert all(line.isprintable() for line in table.split("\n"))
    table.encode()
    assert "a DELETE b-9 \N{REPLACEMENT CHARACTER}[2K" in table


# Rules


@pytest.mark.parametrize("rules", [{}, {"keep_last": 0}, {"keep_daily": 0, "keep_within": timedelta(0)}], ids=str)
def test_at_least_one_rule_is_required(rules: dict[str, Any]) -> None:
    with pytest.raises(PineconeInputError, match=r"keep_last, keep_daily, .*keep_within"):
        decide([], **rules)


@pytest.mark.parametrize("name", ["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"])
@pytest.mark.parametrize("count", [-1, 1.0, "7", True, False, [], DAY], ids=repr)
def test_invalid_count_is_an_error(name: str, count: Any) -> None:
    with pytest.raises(PineconeInputError, match=f"{name} must be an integer"):
        decide([], **{"keep_within": DAY, name: count})


@pytest.mark.parametrize(
    "within", [7, "7d", True, -DAY, 365 * DAY + timedelta(microseconds=1), timedelta.max, timedelta.min], ids=repr
)
def test_invalid_keep_within_is_an_error(within: Any) -> None:
    with pytest.raises(PineconeInputError, match="keep_within must be a timedelta"):
        decide([], keep_last=1, keep_within=within)


def test_time_of_the_decision_requires_a_time_zone() -> None:
    with pytest.raises(PineconeInputError, match="time zone"):
        decide([], now=datetime(2025, 5, 14), keep_last=1)


# Properties of every plan

times = st.one_of(
    st.integers(-40 * 24, 48).map(lambda hours: (NOW + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
    st.integers(-900, 2).map(lambda days: (NOW + days * DAY).strftime("%Y-%m-%dT%H:%M:%S.%f789+00:00")),
    st.sampled_from([None, MISSING, "", "soon", "2025-05-01T00:00:00", "0001-01-01T00:00:00+09:00", 5]),
)
histories = st.lists(
    st.tuples(
        times,
        st.sampled_from(["current", "current", "current", "earlier", "oldest", None, MISSING]),
        st.sampled_from(["Ready", "Ready", "Ready", "Failed", "InitializationFailed", "Initializing", "SomethingNew"]),
        st.sampled_from([OURS, OURS, OURS, "by hand", None, MISSING]),
    ),
    max_size=30,
).map(
    lambda rows: [
        backup(f"b-{n}", created, source_index_id=source, status=status, description=description)
        for n, (created, source, status, description) in enumerate(rows)
    ]
)
counts = st.none() | st.integers(0, 6)
durations = st.none() | st.integers(0, 60 * 24).map(lambda hours: timedelta(hours=hours))
any_rules = st.builds(RetentionRules, counts, counts, counts, counts, counts, durations).filter(any)
decision_times = st.integers(-60 * 24, 60 * 24).map(lambda hours: NOW + timedelta(hours=hours))
switches = st.fixed_dictionaries({"owned_only": st.booleans(), "remove_failed": st.booleans()})
# An example can take long on a busy machine.
without_deadline = settings(deadline=None)


def by_age(backup: Any) -> tuple[datetime, str]:
    return created_at(backup) or datetime.min.replace(tzinfo=UTC), backup["backup_id"]


@without_deadline
@given(histories, any_rules, decision_times, switches)
def test_deleted_backups_meet_every_condition(
    history: list[Any], rules: RetentionRules, now: datetime, switches: dict[str, bool]
) -> None:
    source = BackupHistory(history).current_index_id
    decided = decide(history, now, rules, **switches)
    assert sorted(d.backup["backup_id"] for d in decided.decisions) == sorted(b["backup_id"] for b in history)
    assert all(d.reasons for d in decided.decisions)
    for decision in decided.to_delete:
        model: Any = decision.backup
        assert model["status"] != "Ready" or decision.reasons == ("no rule keeps it",)
        assert model["status"] in ("Ready", *(("Failed", "InitializationFailed") if switches["remove_failed"] else ()))
        assert created_at(model)
        assert by_age(model)[0] <= now
        assert model["source_index_id"] == source is not None
        assert model.get("description") == OURS or not switches["owned_only"]
    deleted_ids = deleted(decided)
    for index in {b.get("source_index_id") for b in history} - {None}:
        ready = [b for b in history if b["status"] == "Ready" and b.get("source_index_id") == index]
        dated = [b for b in ready if created_at(b)]
        if dated:
            assert max(dated, key=by_age)["backup_id"] not in deleted_ids
        # The newest backup that the rules consider is kept as well, so that not all depends on a backup of others.
        ours = [b for b in dated if b.get("description") == OURS and by_age(b)[0] <= now]
        assert not ours or max(ours, key=by_age)["backup_id"] not in deleted_ids or not switches["owned_only"]


@without_deadline
@given(histories, any_rules, any_rules, decision_times, switches)
def test_rules_that_keep_more_never_delete_more(
    history: list[Any], rules: RetentionRules, more: RetentionRules, now: datetime, switches: dict[str, bool]
) -> None:
    """Raise each rule, and set each switch to keep more."""
    names = (name for name in RetentionRules._fields if name != "keep_within")
    raised = RetentionRules(
        keep_within=max(rules.keep_within or timedelta(0), more.keep_within or timedelta(0)),
        **{name: max(getattr(rules, name) or 0, getattr(more, name) or 0) for name in names},
    )
    before = deleted(decide(history, now, rules, **switches))
    assert deleted(decide(history, now, raised, **switches)) <= before
    assert deleted(decide(history, now, rules, **{**switches, "remove_failed": False})) <= before
    ours = {"owned_only": True, "remove_failed": False}
    assert deleted(decide(history, now, rules, **ours)) <= deleted(decide(history, now, rules, owned_only=False))


@without_deadline
@given(histories, any_rules, decision_times, switches, st.integers(0, 10_000))
def test_second_prune_deletes_nothing(
    history: list[Any], rules: RetentionRules, now: datetime, switches: dict[str, bool], hours: int
) -> None:
    """Neither at the same time nor later, unless a backup was too young for the first prune."""
    first = decide(history, now, rules, **switches)
    rest = [decision.backup for decision in first.kept]
    second = decide(rest, now, rules, **switches)
    assert deleted(second) == set()
    if all((created_at(b) or now) <= now for b in history):
        later = decide(rest, now + timedelta(hours=hours), rules, **switches)
        assert deleted(later) == set()


@without_deadline
@given(histories, any_rules, decision_times, switches, st.randoms())
def test_plan_does_not_depend_on_the_order_of_the_backups(
    history: list[Any], rules: RetentionRules, now: datetime, switches: dict[str, bool], random: Any
) -> None:
    shuffled = history.copy()
    random.shuffle(shuffled)
    assert decide(shuffled, now, rules, **switches) == decide(history, now, rules, **switches)


@without_deadline
@given(histories, any_rules, decision_times)
def test_rules_keep_only_ready_backups(history: list[Any], rules: RetentionRules, now: datetime) -> None:
    for decision in decide(history, now, rules).kept:
        if any(reason.startswith("keep_") for reason in decision.reasons):
            assert backup_phase(decision.backup) == "succeeded"


@pytest.mark.parametrize("undated", [None, "yesterday", MISSING])
def test_nothing_is_deleted_while_the_current_index_is_unknown(undated: Any) -> None:
    """The newest backup has no time, and another index than the dated ones: those may be of the earlier index."""
    history = [backup(f"b-{day}", f"05-0{day}T00") for day in range(1, 6)]
    newest = backup("newest", undated, source_index_id="recreated")
    decided = decide([*history, newest], keep_last=1)
    assert deleted(decided) == set()
    assert "created_at of newest is missing or invalid" in reasons(decided, "b-1")[0]
    # Without it, the rules apply, and with a time it is the newest one.
    assert len(deleted(decide(history, keep_last=1))) == 4
    assert deleted(decide([*history, {**newest, "created_at": "2025-05-10T00:00:00Z"}], keep_last=1)) == set()
