"""Which backups may go: a table of cases, and what holds whatever the history, the rules and the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.models import created_at, phase
from airflow_pinecone.retention import Plan, Rules, current_index, plan

NOW = datetime(2025, 5, 14, 12, tzinfo=UTC)  # a Wednesday, of ISO week 20
MARK = "By Airflow [airflow-pinecone 90177680dfff23fb16c75484b2112d02]"
DAY = timedelta(days=1)
MISSING = object()


def backup(backup_id: str, created: Any, **fields: Any) -> Any:
    """A Ready backup of ours; a time may be short, as 05-14T03 (of 2025)."""
    if isinstance(created, str) and len(created) == 8:
        created = f"2025-{created}:00:00.000000Z"
    model = {
        "backup_id": backup_id,
        "source_index_id": "now",
        "status": "Ready",
        "description": MARK,
        "created_at": created,
        **fields,
    }
    return {name: value for name, value in model.items() if value is not MISSING}


def decide(backups: list[Any], now: datetime = NOW, rules: Rules | None = None, **arguments: Any) -> Plan:
    switches = {name: arguments.pop(name) for name in ("owned_only", "remove_failed") if name in arguments}
    source = arguments.pop("source_index_id", "now")
    return plan(backups, rules or Rules(**arguments), source_index_id=source, now=now, **switches)


def kept(decided: Plan) -> set[str]:
    return {decision.backup["backup_id"] for decision in decided.kept}


def deleted(decided: Plan) -> set[str]:
    return {decision.backup["backup_id"] for decision in decided.deleted}


def reasons(decided: Plan, backup_id: str) -> tuple[str, ...]:
    (found,) = (d for d in decided.decisions if d.backup["backup_id"] == backup_id)
    return found.reasons


# The table of cases: each line is a history, as times by which the backups are called; * marks what is kept.

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "the last three": ({"keep_last": 3}, "*05-14T03 *05-14T02 *05-13T03 05-12T03 05-11T03"),
    "more than there are": ({"keep_last": 9}, "*05-14T03 *05-13T03"),
    "the newest of each day": ({"keep_daily": 2}, "*05-14T03 05-14T02 *05-13T23 05-13T00 05-12T03"),
    "days without a backup use up nothing": ({"keep_daily": 3}, "*05-14T03 *05-10T03 *04-01T03 03-31T03"),
    "a day ends at midnight, UTC": ({"keep_daily": 3}, "*05-14T00 *05-13T23 05-13T00 *05-12T23"),
    "weeks begin on Monday": ({"keep_weekly": 2}, "*05-14T03 05-12T00 *05-11T23 05-05T00 05-04T23"),
    "months": ({"keep_monthly": 2}, "*05-14T03 05-01T00 *04-30T23 04-01T00 03-31T23"),
    "one year": ({"keep_yearly": 1}, "*05-14T03 01-01T00"),
    "a backup counts for every rule": (
        {"keep_daily": 2, "keep_weekly": 2},
        "*05-14T03 *05-13T03 05-12T03 *05-10T03 05-09T03",
    ),
    "rules add up": (
        {"keep_last": 2, "keep_daily": 2, "keep_monthly": 3},
        "*05-14T03 *05-14T02 *05-13T03 05-12T03 *04-30T03 04-29T03 *03-31T03 02-28T03",
    ),
    "within a day of the newest": ({"keep_within": DAY}, "*05-14T03 *05-13T03 05-13T02"),
    "within a day of the newest, not of now": ({"keep_within": DAY}, "*05-04T03 *05-03T03 05-03T02"),
    "the newest of all stays": ({"keep_within": timedelta(microseconds=1)}, "*05-01T03 04-30T03"),
    "0 is no rule": ({"keep_last": 0, "keep_daily": 1, "keep_within": timedelta(0)}, "*05-14T03 05-13T03 05-14T02"),
    "what is younger than the decision is not seen": ({"keep_last": 1}, "*05-14T13 *05-14T12 05-14T11"),
}


@pytest.mark.parametrize(("rules", "history"), CASES.values(), ids=CASES)
def test_a_case(rules: dict[str, Any], history: str) -> None:
    times = history.split()
    decided = decide([backup(time.strip("*"), time.strip("*")) for time in times], **rules)
    assert kept(decided) == {time.strip("*") for time in times if time.startswith("*")}
    assert deleted(decided) == {time for time in times if not time.startswith("*")}


# What stays whatever the rules say; it is older than the good one, which the one rule keeps.

STAYS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "running": ({"status": "Initializing"}, {}, "not Ready (Initializing)"),
    "pending": ({"status": "Pending"}, {}, "not Ready (Pending)"),
    "unknown": ({"status": "Dreaming"}, {"remove_failed": True}, "not Ready (Dreaming)"),
    "failed": ({"status": "Failed"}, {}, "failed (Failed); goes with remove_failed"),
    "failed early": ({"status": "InitializationFailed"}, {}, "failed (InitializationFailed); goes with remove_failed"),
    "no time": ({"created_at": MISSING}, {}, "its created_at is missing"),
    "null time": ({"created_at": None}, {}, "its created_at is missing"),
    "empty time": ({"created_at": ""}, {}, "its created_at is missing"),
    "odd time": ({"created_at": "yesterday"}, {}, "its created_at is unreadable"),
    "number for a time": ({"created_at": 1_700_000_000}, {}, "its created_at is unreadable"),
    "younger, no time zone": ({"created_at": "2025-05-14T12:00:01"}, {}, "younger than this decision"),
    "beyond the calendar": ({"created_at": "0001-01-01T00:00:00+01:00"}, {}, "its created_at is unreadable"),
    "younger": ({"created_at": "2025-05-14T12:00:00.000001Z"}, {}, "younger than this decision"),
    "younger, elsewhere": ({"created_at": "2025-05-14T12:00:00-01:00"}, {}, "younger than this decision"),
    "failed, younger": (
        {"status": "Failed", "created_at": "2025-05-14T12:30:00Z"},
        {"remove_failed": True},
        "younger than this decision",
    ),
    "earlier index": ({"source_index_id": "then"}, {"owned_only": False}, "of an earlier index of this name"),
    "failed, earlier index": (
        {"status": "Failed", "source_index_id": "then"},
        {"remove_failed": True},
        "of an earlier index of this name",
    ),
    "no index": ({"source_index_id": MISSING}, {}, "its index is not known"),
    "null index": ({"source_index_id": None}, {}, "its index is not known"),
    "somebody else's": ({"description": "by hand"}, {}, "not made by airflow-pinecone (owned_only)"),
    "no description": ({"description": MISSING}, {}, "not made by airflow-pinecone (owned_only)"),
    "failed, somebody else's": (
        {"status": "Failed", "description": None},
        {"remove_failed": True},
        "not made by airflow-pinecone (owned_only)",
    ),
}


@pytest.mark.parametrize(("fields", "switches", "reason"), STAYS.values(), ids=STAYS)
def test_what_stays_whatever_the_rules_say(fields: dict[str, Any], switches: dict[str, Any], reason: str) -> None:
    good, other = backup("good", "05-14T03"), backup("other", "05-01T03", **{**fields})
    decided = decide([good, other, backup("old", "04-01T03")], keep_last=1, **switches)
    assert reasons(decided, "other") == (reason,)
    assert kept(decided) == {"good", "other"}  # and it does not push out the good one
    assert reasons(decided, "good") == ("the newest Ready one", "keep_last 1 of 1")


def test_failed_ones_go_when_asked_for_and_no_rule_keeps_them() -> None:
    failed = [backup("a", "05-14T04", status="Failed"), backup("b", "05-14T02", status="InitializationFailed")]
    decided = decide([*failed, backup("good", "05-14T03")], keep_last=5, keep_within=9 * DAY, remove_failed=True)
    assert (kept(decided), deleted(decided)) == ({"good"}, {"a", "b"})
    assert reasons(decided, "b") == ("failed (InitializationFailed)",)


def test_a_failed_one_stays_while_only_it_tells_of_a_new_index() -> None:
    """Else the next prune would take the earlier index for the current one, and prune that."""
    failed = [backup("f", "05-14T03", status="Failed"), backup("e", "05-14T02", status="Failed")]
    then = [backup(name, created, source_index_id="then") for name, created in (("a", "05-13T03"), ("b", "05-12T03"))]
    decided = decide([*failed, *then], keep_last=1, remove_failed=True)
    assert deleted(decided) == {"e"}
    assert reasons(decided, "f") == ("the only sign of the index that has the name now",)
    # With another sign of it, it goes.
    decided = decide([*failed, *then, backup("g", "05-14T01")], keep_last=1, remove_failed=True)
    assert deleted(decided) == {"e", "f"}


def test_those_of_others_go_when_asked_for() -> None:
    others = [backup("a", "05-13T03", description="by hand"), backup("b", "05-12T03", description=None)]
    assert deleted(decide([backup("good", "05-14T03"), *others], keep_last=1, owned_only=False)) == {"a", "b"}


def test_a_newer_backup_by_hand_does_not_let_the_last_of_ours_go() -> None:
    by_hand = backup("by hand", "05-14T03", description="by hand")
    ours = [backup("new", "05-10T03"), backup("old", "05-01T03")]
    assert kept(decide([by_hand, *ours], keep_within=DAY)) == {"by hand", "new"}


def test_every_reason_is_told() -> None:
    history = [backup("new", "05-14T03"), backup("mid", "05-13T03"), backup("old", "05-01T03")]
    decided = decide(
        history, keep_last=1, keep_daily=2, keep_weekly=1, keep_monthly=1, keep_yearly=1, keep_within=2 * DAY
    )
    assert reasons(decided, "new") == (
        "the newest Ready one",
        "keep_last 1 of 1",
        "keep_daily 1 of 2 (2025-05-14)",
        "keep_weekly 1 of 1 (2025-W20)",
        "keep_monthly 1 of 1 (2025-05)",
        "keep_yearly 1 of 1 (2025)",
        "keep_within 2 days, 0:00:00",
    )
    assert reasons(decided, "mid") == ("keep_daily 2 of 2 (2025-05-13)", "keep_within 2 days, 0:00:00")
    assert reasons(decided, "old") == ("no rule keeps it",)


def test_iso_weeks_go_over_the_end_of_a_year() -> None:
    history = [backup(t, t + "T03:00:00Z") for t in ("2024-12-31", "2024-12-30", "2024-12-29")]
    assert kept(decide(history, keep_weekly=2)) == {"2024-12-31", "2024-12-29"}
    assert reasons(decide(history, keep_weekly=2), "2024-12-31")[1] == "keep_weekly 1 of 2 (2025-W01)"


def test_an_offset_is_turned_into_utc() -> None:
    history = [backup("late", "2025-05-14T01:00:00+02:00"), backup("noon", "2025-05-13T12:00:00Z")]
    assert kept(decide(history, keep_daily=2)) == {"late"}


def test_of_two_at_one_time_one_counts() -> None:
    twins = [backup("a", "05-14T03"), backup("b", "05-14T03")]
    assert kept(decide(twins, keep_last=1)) == kept(decide(twins[::-1], keep_last=1)) == {"b"}
    assert kept(decide(twins, keep_last=2)) == {"a", "b"}


def test_without_an_index_nothing_goes() -> None:
    assert (
        deleted(decide([backup("a", "05-14T03"), backup("b", "05-13T03")], keep_last=1, source_index_id=None)) == set()
    )


def test_no_backups_no_decisions() -> None:
    assert decide([], keep_last=1).decisions == ()
    assert decide([], keep_last=1).table().split() == ["created_at", "backup_id", "status", "name", "why"]


def test_the_plan_lists_the_newest_first_and_deletes_the_oldest_first() -> None:
    history = [backup("b", "05-13T03"), backup("?", None), backup("c", "05-14T03"), backup("a", "05-12T03")]
    decided = decide(history, keep_last=1)
    assert [d.backup["backup_id"] for d in decided.decisions] == ["c", "b", "a", "?"]
    assert [d.backup["backup_id"] for d in decided.deleted] == ["a", "b"]


def test_the_table_is_aligned() -> None:
    history = [backup("b-1", "05-14T03", name="nightly"), backup("b-22", "05-13T03", name="two\nlines " + "x" * 99)]
    assert decide(history, keep_last=1).table().splitlines() == [
        "        created_at                   backup_id  status  name" + " " * 58 + "why",
        "keep    2025-05-14T03:00:00.000000Z  b-1        Ready   nightly"
        + " " * 55
        + "the newest Ready one; keep_last 1 of 1",
        "DELETE  2025-05-13T03:00:00.000000Z  b-22       Ready   two lines " + "x" * 47 + "...  no rule keeps it",
    ]


# Rules


@pytest.mark.parametrize("rules", [{}, {"keep_last": 0}, {"keep_daily": 0, "keep_within": timedelta(0)}], ids=str)
def test_at_least_one_rule_must_be_given(rules: dict[str, Any]) -> None:
    with pytest.raises(PineconeInputError, match="at least one of keep_last, keep_daily"):
        decide([], **rules)


@pytest.mark.parametrize("name", ["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"])
@pytest.mark.parametrize("count", [-1, 1.0, "7", True, False, [], DAY], ids=repr)
def test_a_count_that_makes_no_sense_is_refused(name: str, count: Any) -> None:
    with pytest.raises(PineconeInputError, match=f"{name} must be a whole number"):
        decide([], **{"keep_within": DAY, name: count})


@pytest.mark.parametrize("within", [7, "7d", True, -DAY], ids=repr)
def test_a_span_that_makes_no_sense_is_refused(within: Any) -> None:
    with pytest.raises(PineconeInputError, match="keep_within must be a timedelta"):
        decide([], keep_last=1, keep_within=within)


def test_a_clock_without_a_time_zone_is_refused() -> None:
    with pytest.raises(PineconeInputError, match="time zone"):
        decide([], now=datetime(2025, 5, 14), keep_last=1)


# Times, and which index it is


@pytest.mark.parametrize(
    "text",
    ["2025-05-14T11:59:59.999999Z", "2025-05-14T11:59:59.999999999+00:00", "2025-05-14T12:00:00.000000999Z"],
)
def test_times_as_pinecone_writes_them(text: str) -> None:
    history = [backup("new", text), backup("old", "2025-05-14T11:59:59.999998Z")]
    assert deleted(decide(history, keep_last=1)) == {"old"}


def test_the_newest_backup_tells_the_index_whatever_its_status() -> None:
    old, new = backup("old", "05-13T03", source_index_id="then"), backup("new", "05-14T03", status="Initializing")
    timeless = backup("?", None, source_index_id="?")
    assert current_index([old, timeless, new]) == "now"
    assert current_index([old, timeless]) == "then"
    assert current_index([timeless]) is current_index([]) is None
    assert current_index([old, backup("new", "05-14T03", source_index_id=MISSING)]) is None


# What holds whatever the history, the rules and the clock

times = st.one_of(
    st.integers(-40 * 24, 48).map(lambda hours: (NOW + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
    st.integers(-900, 2).map(lambda days: (NOW + days * DAY).strftime("%Y-%m-%dT%H:%M:%S.%f789+00:00")),
    st.sampled_from([None, MISSING, "", "soon", "2025-05-01T00:00:00", "0001-01-01T00:00:00+09:00", 5]),
)
histories = st.lists(
    st.tuples(
        times,
        st.sampled_from(["now", "now", "now", "then", "once", None, MISSING]),
        st.sampled_from(["Ready", "Ready", "Ready", "Failed", "InitializationFailed", "Initializing", "Dreaming"]),
        st.sampled_from([MARK, MARK, MARK, "by hand", None, MISSING]),
    ),
    max_size=30,
).map(
    lambda rows: [
        backup(f"b-{n}", created, source_index_id=source, status=status, description=description)
        for n, (created, source, status, description) in enumerate(rows)
    ]
)
counts = st.none() | st.integers(0, 6)
spans = st.none() | st.integers(0, 60 * 24).map(lambda hours: timedelta(hours=hours))
any_rules = st.builds(Rules, counts, counts, counts, counts, counts, spans).filter(any)
clocks = st.integers(-60 * 24, 60 * 24).map(lambda hours: NOW + timedelta(hours=hours))
switches = st.fixed_dictionaries({"owned_only": st.booleans(), "remove_failed": st.booleans()})
at_leisure = settings(deadline=None)  # A busy machine is no failure.


@at_leisure
@given(histories, any_rules, clocks, switches)
def test_the_nevers(history: list[Any], rules: Rules, now: datetime, switches: dict[str, bool]) -> None:
    source = current_index(history)
    decided = decide(history, now, rules, source_index_id=source, **switches)
    assert sorted(d.backup["backup_id"] for d in decided.decisions) == sorted(b["backup_id"] for b in history)
    assert all(d.reasons for d in decided.decisions)
    for decision in decided.deleted:
        gone = decision.backup
        assert gone["status"] != "Ready" or decision.reasons == ("no rule keeps it",)
        assert gone["status"] in ("Ready", *(("Failed", "InitializationFailed") if switches["remove_failed"] else ()))
        assert created_at(gone)
        assert by_age(gone)[0] <= now
        assert gone["source_index_id"] == source is not None
        assert gone.get("description") == MARK or not switches["owned_only"]
    gone_ids = deleted(decided)
    for index in {b.get("source_index_id") for b in history} - {None}:
        ready = [b for b in history if b["status"] == "Ready" and b.get("source_index_id") == index]
        dated = [b for b in ready if created_at(b)]
        if dated:
            assert max(dated, key=by_age)["backup_id"] not in gone_ids
        # And the newest of those that may go at all, so that not all depends on a backup that somebody else made.
        ours = [b for b in dated if b.get("description") == MARK and by_age(b)[0] <= now]
        assert not ours or max(ours, key=by_age)["backup_id"] not in gone_ids or not switches["owned_only"]


def by_age(backup: Any) -> tuple[datetime, str]:
    return created_at(backup) or datetime.min.replace(tzinfo=UTC), backup["backup_id"]


@at_leisure
@given(histories, any_rules, any_rules, clocks, switches)
def test_keeping_more_never_deletes_more(
    history: list[Any], rules: Rules, more: Rules, now: datetime, switches: dict[str, bool]
) -> None:
    """Each rule at least as great, where none is 0; the switches as well."""
    names = (name for name in Rules._fields if name != "keep_within")
    raised = Rules(
        keep_within=max(rules.keep_within or timedelta(0), more.keep_within or timedelta(0)),
        **{name: max(getattr(rules, name) or 0, getattr(more, name) or 0) for name in names},
    )
    before = deleted(decide(history, now, rules, **switches))
    assert deleted(decide(history, now, raised, **switches)) <= before
    assert deleted(decide(history, now, rules, **{**switches, "remove_failed": False})) <= before
    ours = {"owned_only": True, "remove_failed": False}
    assert deleted(decide(history, now, rules, **ours)) <= deleted(decide(history, now, rules, owned_only=False))


@at_leisure
@given(histories, any_rules, clocks, switches, st.integers(0, 10_000))
def test_a_second_prune_deletes_nothing(
    history: list[Any], rules: Rules, now: datetime, switches: dict[str, bool], hours: int
) -> None:
    """Not at the same time, and not at any later time, unless a backup was too young for the first one."""
    source = current_index(history)
    first = decide(history, now, rules, source_index_id=source, **switches)
    rest = [decision.backup for decision in first.kept]
    assert current_index(rest) == source
    second = decide(rest, now, rules, source_index_id=source, **switches)
    assert deleted(second) == set()
    if all((created_at(b) or now) <= now for b in history):
        later = decide(rest, now + timedelta(hours=hours), rules, source_index_id=source, **switches)
        assert deleted(later) == set()


@at_leisure
@given(histories, any_rules, clocks, switches, st.randoms())
def test_the_order_of_the_listing_does_not_matter(
    history: list[Any], rules: Rules, now: datetime, switches: dict[str, bool], chance: Any
) -> None:
    shuffled = history.copy()
    chance.shuffle(shuffled)
    assert decide(shuffled, now, rules, **switches) == decide(history, now, rules, **switches)
    assert current_index(shuffled) == current_index(history)


@at_leisure
@given(histories, any_rules, clocks)
def test_a_backup_that_is_kept_by_a_rule_is_ready(history: list[Any], rules: Rules, now: datetime) -> None:
    for decision in decide(history, now, rules).kept:
        if any(reason.startswith("keep_") for reason in decision.reasons):
            assert phase(decision.backup["status"]) == "succeeded"
