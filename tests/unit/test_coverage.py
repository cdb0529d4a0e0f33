"""The report about the backups of a project as a pure function: a table of cases, and what is listed apart."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from support.operators import OUR_DESCRIPTION

from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.policy import IndexRules, Policy, validate_patterns, validate_statuses
from airflow_pinecone.rules.coverage import report
from airflow_pinecone.rules.identity import Origin, describe
from airflow_pinecone.rules.report import Project, Report, rows_with_problems

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
HOUR = 3600.0
DAY = 24 * HOUR
MAX_AGE = IndexRules(max_age=DAY)


def time_ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat()


def index(name: str = "docs", **fields: Any) -> Any:
    """Make an index."""
    spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
    return {"name": name, "host": "h", "metric": "cosine", "spec": spec, "status": {"ready": True}, **fields}


def backup(number: int = 1, age: float = HOUR, status: str = "Ready", **fields: Any) -> Any:
    """Make a backup that is some seconds old. A value of `...` removes the field."""
    model = {
        "backup_id": f"b-{number}",
        "source_index_name": "docs",
        "source_index_id": "i-1",
        "status": status,
        "created_at": time_ago(age),
        "record_count": 100,
        "size_bytes": 1000,
        "description": OUR_DESCRIPTION,
        **fields,
    }
    return {name: value for name, value in model.items() if value is not ...}


def restore(age: float, backup_id: str = "b-1", status: str = "Completed", **fields: Any) -> Any:
    """Make a restore job that ended some seconds ago."""
    return {
        "restore_job_id": f"r-{age:g}",
        "backup_id": backup_id,
        "target_index_name": "drill",
        "target_index_id": "i-9",
        "status": status,
        "created_at": time_ago(age + 60),
        "completed_at": time_ago(age),
        **fields,
    }


def report_on(
    *, indexes: Any = None, backups: Any = (), jobs: Any = (), rules: IndexRules = MAX_AGE, **options: Any
) -> Report:
    project = Project([index()] if indexes is None else indexes, backups, jobs)
    return report(project, options.pop("policy", Policy(rules)), now=NOW, **options)


def row_of(**arguments: Any) -> Any:
    (row,) = report_on(**arguments)["indexes"]
    return row


TESTED = IndexRules(max_age=DAY, max_restore_age=30 * DAY)
MAX_SHRINK = IndexRules(DAY, max_shrink=0.2)
NO_MINIMUM = IndexRules(DAY, min_records=0)


class Case(NamedTuple):
    """Backups, the status of their row, and terms of each problem."""

    backups: list[Any]
    status: str
    problems: Sequence[list[str]] = ()
    rules: IndexRules = MAX_AGE
    jobs: Sequence[Any] = ()


def after_restores(jobs: list[Any], status: str, *problem: str) -> Case:
    """Make a case of a fresh backup and restore jobs."""
    return Case([backup()], status, [[*problem]] if problem else [], TESTED, jobs)


CASES = {
    "fresh": Case([backup()], "ok"),
    "no backup": Case([], "unprotected", [["no Ready backup"]]),
    "just younger than max_age": Case([backup(age=DAY - 1)], "ok"),
    "as old as max_age": Case(
        [backup(age=DAY)],
        "late",
        [["1 day, 0:00:00 old", "max_age is 1 day, 0:00:00"]],
        IndexRules(max_age=timedelta(days=1)),
    ),
    "created by a clock that is ahead": Case([backup(age=-HOUR)], "ok"),
    "created in the future": Case([backup(age=-2 * HOUR)], "late", [["in the future", "check the clock"]]),
    "only a running backup": Case([backup(status="Initializing")], "unprotected", [["no Ready backup"]]),
    "Ready without created_at": Case([backup(created_at=...)], "unprotected", [["no Ready backup"]]),
    "failed after the newest Ready backup": Case(
        [backup(1, 2 * HOUR), backup(2, HOUR, "InitializationFailed")],
        "failing",
        [["backup b-2 of 2025-06-15T11:00:00Z failed (InitializationFailed)"]],
    ),
    "failed before the newest Ready backup": Case([backup(1, 2 * HOUR, "Failed"), backup(2, HOUR)], "ok"),
    "only failed": Case([backup(status="Failed")], "unprotected", [["no Ready backup"], ["b-1", "failed"]]),
    "late and failed": Case(
        [backup(1, 2 * DAY), backup(2, HOUR, "Failed")], "late", [["2 days, 0:00:00 old"], ["b-2", "failed"]]
    ),
    "empty": Case([backup(record_count=0)], "failing", [["b-1 does not pass", "it is empty"]]),
    "unknown records": Case([backup(record_count=...)], "failing", [["its record_count is missing"]]),
    "empty, and min_records is 0": Case([backup(record_count=0)], "ok", rules=NO_MINIMUM),
    "unknown records, and min_records is 0": Case([backup(record_count=...)], "ok", rules=NO_MINIMUM),
    "fewer than min_records": Case(
        [backup(record_count=99)],
        "failing",
        [["backup b-1 does not pass", "99 records", "min_records=100"]],
        IndexRules(DAY, min_records=100),
    ),
    "smaller than max_shrink allows": Case(
        [backup(1, 2 * HOUR), backup(2, HOUR, record_count=79)],
        "failing",
        [["backup b-2 does not pass", "smaller by 21%"]],
        MAX_SHRINK,
    ),
    "as small as max_shrink allows": Case(
        [backup(1, 2 * HOUR), backup(2, HOUR, record_count=80)], "ok", rules=MAX_SHRINK
    ),
    "smaller than the backup of the earlier index": Case(
        [backup(1, 2 * HOUR, source_index_id="i-0"), backup(2, HOUR, record_count=1)],
        "failing",
        [["backup b-2 does not pass", "smaller by 99%"]],
        MAX_SHRINK,
    ),
    "max_shrink with an unknown order": Case(
        [backup(1, created_at=None), backup(2, HOUR)],
        "failing",
        [["backup b-2 cannot be compared", "created_at of b-1 is missing"]],
        MAX_SHRINK,
    ),
    "unknown current index": Case(
        [backup(1, HOUR), backup(2, source_index_id="i-2", created_at=None)],
        "unprotected",
        [["no Ready backup", "its current index is unknown", "created_at of b-2"]],
    ),
    "max_shrink without a previous backup": Case([backup()], "ok", rules=MAX_SHRINK),
    "never restored": after_restores([], "untested", "none of its backups was restored", "30 days"),
    "restored": after_restores([restore(DAY)], "ok"),
    "an earlier backup restored": Case(
        [backup(1, 3 * HOUR), backup(2, HOUR)], "ok", rules=TESTED, jobs=[restore(DAY, "b-1")]
    ),
    "restored by a clock in the future": after_restores(
        [restore(-2 * HOUR)], "untested", "last restore was completed at", "in the future"
    ),
    "restored, and once by a clock in the future": after_restores([restore(DAY), restore(-2 * HOUR)], "ok"),
    "restored too long ago": after_restores(
        [restore(30 * DAY)], "untested", "last restore was 30 days", "max_restore_age is 30 days"
    ),
    "restore failed": after_restores([restore(DAY, status="Failed")], "untested", "none of its backups"),
    "restore of another index's backup": after_restores([restore(DAY, "b-7")], "untested", "none of its backups"),
    "restore without times": after_restores(
        [restore(DAY, created_at=None, completed_at=None)], "untested", "none of its backups"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_status(case: Case) -> None:
    row = row_of(backups=case.backups, jobs=case.jobs, rules=case.rules)
    assert row["status"] == case.status
    assert len(row["problems"]) == len(case.problems)
    for problem, terms in zip(row["problems"], case.problems, strict=True):
        assert all(term in problem["text"] for term in terms), problem


def test_row_describes_the_newest_ready_backup() -> None:
    description = describe(None, Origin("etl", "scheduled__1", "backup", 3, "", 1))
    row = row_of(backups=[backup(1, DAY / 2, size_bytes=500), backup(2, HOUR, description=description)])
    assert row["age"] == HOUR
    assert row["max_age"] == DAY
    assert row["newest_ready"] == {
        "backup_id": "b-2",
        "status": "Ready",
        "created_at": "2025-06-15T11:00:00Z",
        "record_count": 100,
        "size_bytes": 1000,
        "created_by": {"dag_id": "etl", "run_id": "scheduled__1", "task_id": "backup", "map_index": 3},
    }
    assert (row["record_change"], row["size_change"]) == (0.0, 1.0)


def test_row_shows_a_running_and_a_failed_backup() -> None:
    row = row_of(backups=[backup(1, 3 * HOUR), backup(2, 2 * HOUR, "Failed"), backup(3, HOUR, "Pending")])
    assert row["failed"]["backup_id"] == "b-2"
    assert row["running"]["backup_id"] == "b-3"
    assert row["newest_ready"]["backup_id"] == "b-1"


@pytest.mark.parametrize(
    ("ready", "running", "is_running"),
    [
        (3 * HOUR, HOUR, True),
        (None, HOUR, True),
        (None, DAY - 1, True),
        (HOUR, 90 * DAY, False),  # A backup that has started before the newest Ready one does not update it.
        (None, DAY, False),
        (2 * DAY, DAY, False),
        (None, -2 * HOUR, False),
    ],
)
@pytest.mark.parametrize("status", ["Initializing", "Archived"])
def test_running_backup_is_newer_than_the_ready_one_and_younger_than_max_age(
    ready: float | None, running: float, status: str, is_running: bool
) -> None:
    backups = [backup(2, running, status), *([] if ready is None else [backup(1, ready)])]
    assert (row_of(backups=backups)["running"] is not None) is is_running


def test_row_without_a_backup_has_no_details() -> None:
    row = row_of()
    missing = ("age", "newest_ready", "failed", "running", "record_change", "size_change", "last_restore")
    assert [row[field] for field in missing] == [None] * len(missing)
    assert (row["backup_count"], row["held"], row["created_elsewhere"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (0, 100),
        *((100, value) for value in (None, -1, "many", True)),
        *((value, 100) for value in (None, -1, "many", True)),
    ],
)
def test_change_needs_valid_numbers_and_a_backup_that_is_not_empty(before: Any, after: Any) -> None:
    backups = [backup(1, 2 * HOUR, record_count=before), backup(2, HOUR, record_count=after)]
    assert row_of(backups=backups)["record_change"] is None


def test_backups_are_counted() -> None:
    held = describe(None, Origin("etl", "manual__1", "backup", -1, "", 1), NOW + timedelta(days=1))
    row = row_of(backups=[backup(1), backup(2, description=held), backup(3, description=None), backup(4, status="?")])
    assert (row["backup_count"], row["held"], row["created_elsewhere"]) == (4, 1, 1)


def test_last_restore_is_the_one_that_completed_last() -> None:
    jobs = [restore(3 * DAY), restore(DAY, completed_at=None), restore(2 * DAY), restore(HOUR, status="Pending")]
    row = row_of(backups=[backup()], jobs=jobs)
    assert row["last_restore"] == {
        "restore_job_id": "r-86400",
        "backup_id": "b-1",
        "completed_at": "2025-06-14T11:59:00Z",
        "age": DAY + 60,
    }


# The indexes, and what is listed apart


def test_worst_index_comes_first() -> None:
    backups = [
        backup(1, 2 * DAY, source_index_name="late-2"),
        backup(2, 3 * DAY, source_index_name="late-3"),
        backup(3, HOUR, source_index_name="b-ok"),
        backup(4, HOUR, source_index_name="a-ok"),
        backup(5, HOUR, "Failed", source_index_name="failing"),
        backup(6, 2 * HOUR, source_index_name="failing"),
    ]
    names = ["a-ok", "b-ok", "failing", "late-2", "late-3", "none"]
    expected = ["none", "late-3", "late-2", "failing", "a-ok", "b-ok"]
    for seed in range(5):
        shuffle = random.Random(seed).shuffle
        shuffle(names)
        shuffle(backups)
        rows = report_on(indexes=[index(name) for name in names], backups=backups)["indexes"]
        assert [row["index_name"] for row in rows] == expected


@pytest.mark.parametrize(
    ("backups", "ids"),
    [
        ([backup(source_index_id=...)], [None]),
        ([backup(1, HOUR), backup(2, 60, "Initializing", source_index_id=None)], [None, "i-1"]),
    ],
    ids=["only backup", "newest backup"],
)
def test_backups_protect_nothing_if_the_newest_one_does_not_name_its_index(backups: Any, ids: list[Any]) -> None:
    result = report_on(backups=backups)
    assert result["indexes"][0]["status"] == "unprotected"
    assert [leftover["source_index_id"] for leftover in result["leftovers"]] == ids
    assert {leftover["reason"] for leftover in result["leftovers"]} == {"unknown index"}


def test_spec_without_a_pod_is_supported() -> None:
    assert report_on(indexes=[index(spec={"pod": None, "serverless": {}})])["unsupported"] == {}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"deployment": {"deployment_type": "pod"}}, "it is pod-based"),
        ({"deployment": {"deployment_type": "managed"}}, None),
        ({"status": {"ready": False, "state": "InitializationFailed"}}, "its creation failed"),
        ({"status": {"ready": False, "state": "Initializing"}}, None),
        ({"status": None, "deployment": None}, None),
    ],
)
def test_unsupported_indexes_of_version_2026_07_do_not_fail_the_report(fields: dict[str, Any], why: str | None) -> None:
    result = report_on(indexes=[index(**fields), index("other")], backups=[backup(source_index_name="other")])
    assert result["unsupported"] == ({"docs": why} if why else {})
    statuses = {row["index_name"]: row["status"] for row in result["indexes"]}
    assert statuses == ({"other": "ok"} if why else {"docs": "unprotected", "other": "ok"})


@pytest.mark.parametrize("backups", [[], [backup()]], ids=["no backup", "a fresh backup"])
def test_unsupported_index_that_include_names_fails_the_report(backups: list[Any]) -> None:
    failed = index(status={"ready": False, "state": "InitializationFailed"})
    backups = [*backups, backup(9, source_index_name="other")]
    result = report_on(indexes=[failed, index("other")], backups=backups, include=["docs", "other"])
    assert result["unsupported"] == {"docs": "its creation failed"}
    assert result["indexes"][0]["index_name"] == "docs"
    assert result["indexes"][0]["status"] == "unprotected"
    assert "its creation failed, so Pinecone cannot back it up, and include names it" in str(result["indexes"][0])
    assert {leftover["reason"] for leftover in result["leftovers"]} <= {"unknown index"}
    result = report_on(indexes=[failed, index("other")], backups=backups, include=["d*", "other"])
    assert [row["index_name"] for row in result["indexes"]] == ["other"]


SCRATCH = {"airflow-pinecone": "0123456789abcdef", "airflow-pinecone-restore-test": "b-1", "tier": "gold"}


def test_scratch_index_of_a_restore_test_is_listed_apart() -> None:
    scratch = index("restore-test-0123456789ab", tags=SCRATCH)
    policy = Policy(MAX_AGE, {"tag:tier=gold": IndexRules(HOUR)})
    backups = [backup(), backup(2, source_index_name=scratch["name"], source_index_id="i-2")]
    result = report_on(indexes=[index(), scratch], backups=backups, policy=policy)
    assert [row["index_name"] for row in result["indexes"]] == ["docs"]
    assert result["verdict"] == "The index has a fresh Ready backup."
    assert (result["scratch_indexes"], result["leftovers"]) == ([scratch["name"]], [])
    assert result["unmatched"] == ["tag:tier=gold"]
    failed = {**scratch, "status": {"ready": False, "state": "InitializationFailed"}}
    assert report_on(indexes=[index(), failed], backups=backups)["unsupported"] == {}
    assert report_on(indexes=[index(), scratch], backups=backups, include="docs")["scratch_indexes"] == []


@pytest.mark.parametrize("tag", ["airflow-pinecone", "airflow-pinecone-restore-test"])
def test_index_with_one_of_the_tags_is_not_a_scratch_index(tag: str) -> None:
    restored = index("restored", tags={**SCRATCH, tag: ""})
    result = report_on(indexes=[index(), restored], backups=[backup()])
    assert [row["index_name"] for row in result["indexes"]] == ["restored", "docs"]
    assert result["scratch_indexes"] == []


def test_scratch_index_that_include_names_is_judged() -> None:
    result = report_on(indexes=[index("docs", tags=SCRATCH)], include=["docs"])
    assert [row["status"] for row in result["indexes"]] == ["unprotected"]
    assert (result["missing"], result["scratch_indexes"]) == ([], [])


def test_planned_backups_are_not_counted() -> None:
    planned = backup(2, status="Scheduled", description=None)
    result = report_on(backups=[backup(), planned])
    (row,) = result["indexes"]
    assert (result["backup_count"], row["backup_count"], row["created_elsewhere"], row["running"]) == (1, 1, 0, None)


def test_missing_indexes_are_those_that_a_user_has_named() -> None:
    include = ["prod-*", "prod-a", "prod-b", "other-?", "other-[ab]"]
    assert report_on(indexes=[index("prod-a")], include=include)["missing"] == ["prod-b"]


def test_backups_of_deleted_and_earlier_indexes_are_listed_apart() -> None:
    backups = [
        backup(1, HOUR),
        backup(2, DAY, source_index_id="i-0"),
        backup(3, 2 * DAY, "Failed", source_index_id="i-0"),
        backup(4, DAY, source_index_name="old", created_at=..., size_bytes=None),
    ]
    result = report_on(backups=backups)
    assert result["leftovers"] == [
        {
            "index_name": "docs",
            "source_index_id": "i-0",
            "reason": "earlier index of this name",
            "backup_count": 2,
            "ready_count": 1,
            "newest_created_at": "2025-06-14T12:00:00Z",
            "size_bytes": 2000,
        },
        {
            "index_name": "old",
            "source_index_id": "i-1",
            "reason": "deleted index",
            "backup_count": 1,
            "ready_count": 1,
            "newest_created_at": None,
            "size_bytes": None,
        },
    ]
    assert result["backup_count"] == 4
    assert result["indexes"][0]["backup_count"] == 1


def test_pod_based_indexes_are_listed_apart_and_backups_with_their_names_are_leftovers() -> None:
    indexes = [index(spec={"pod": {"environment": "us-east1-gcp"}}), index("serverless")]
    result = report_on(indexes=indexes, backups=[backup(), backup(2, source_index_id=...)])
    assert result["unsupported"] == {"docs": "it is pod-based"}
    assert [row["index_name"] for row in result["indexes"]] == ["serverless"]
    assert [(leftover["source_index_id"], leftover["reason"]) for leftover in result["leftovers"]] == [
        (None, "unknown index"),
        ("i-1", "earlier index of this name"),
    ]


def test_backup_from_the_future_has_no_age() -> None:
    row = row_of(backups=[backup(age=-2 * HOUR)])
    assert (row["status"], row["age"]) == ("late", None)


@pytest.mark.parametrize("name", [..., None, ""])
def test_backup_without_an_index_name_is_a_leftover(name: Any) -> None:
    (leftover,) = report_on(backups=[backup(source_index_name=name)])["leftovers"]
    assert (leftover["index_name"], leftover["reason"]) == ("", "unknown index")


def test_include_and_exclude_select_names() -> None:
    indexes = [index(name) for name in ("prod-a", "prod-b", "test-a")]
    backups = [backup(source_index_name=name) for name in ("test-old", "prod-old", "prod-b")]
    result = report_on(indexes=indexes, backups=backups, include=["prod-*"], exclude=["*-b"])
    assert [row["index_name"] for row in result["indexes"]] == ["prod-a"]
    assert [leftover["index_name"] for leftover in result["leftovers"]] == ["prod-old"]
    assert result["backup_count"] == 3


# The verdict


@pytest.mark.parametrize(
    ("ages", "rules", "verdict"),
    [
        ([], MAX_AGE, "There are no indexes that can be backed up."),
        ([HOUR], MAX_AGE, "The index has a fresh Ready backup."),
        ([HOUR, HOUR], MAX_AGE, "All 2 indexes have a fresh Ready backup."),
        ([DAY], MAX_AGE, "1 of 1 index has no fresh Ready backup."),
        ([HOUR, DAY, None], MAX_AGE, "2 of 3 indexes have no fresh Ready backup."),
        ([HOUR, HOUR], TESTED, "2 indexes had no recent restore."),
        ([HOUR], IndexRules(DAY, min_records=1000), "The newest backup of 1 index failed or did not pass the check."),
        (
            [HOUR, DAY],
            IndexRules(DAY, min_records=1000),
            "1 of 2 indexes has no fresh Ready backup. "
            "The newest backup of 2 indexes failed or did not pass the check.",
        ),
    ],
)
def test_verdict(ages: list[float | None], rules: IndexRules, verdict: str) -> None:
    names = [f"index-{number}" for number, _ in enumerate(ages)]
    backups = [
        backup(number, age, source_index_name=names[number]) for number, age in enumerate(ages) if age is not None
    ]
    assert report_on(indexes=[index(name) for name in names], backups=backups, rules=rules)["verdict"] == verdict


def test_report_is_json() -> None:
    result = report_on(backups=[backup(), backup(2, status="Failed", source_index_name="old")], jobs=[restore(DAY)])
    assert json.loads(json.dumps(result)) == result


def test_rows_with_problems_finds_each_problem_of_a_row() -> None:
    result = report_on(backups=[backup(1, 2 * DAY), backup(2, HOUR, "Failed")])
    assert result["indexes"][0]["status"] == "late"
    assert len(rows_with_problems(result["indexes"], ["failing"])) == 1
    assert rows_with_problems(result["indexes"], ["unprotected", "untested"]) == []
    assert rows_with_problems(result["indexes"], []) == []


# The policy


def test_key_of_the_policy_that_matches_no_index_is_reported() -> None:
    keys = ["docs", "prod-*", "tag:tier=gold", "tag:tier=go*", "tag:team=*", "doc"]
    policy = Policy(MAX_AGE, dict.fromkeys(keys, MAX_AGE))
    result = report_on(indexes=[index(), index("prod-a", tags={"tier": "gold"})], policy=policy, exclude="prod-*")
    assert result["unmatched"] == ["tag:team=*", "doc"]


@pytest.mark.parametrize(
    ("fields", "hours"),
    [
        ({"name": "prod-a"}, 1),
        ({"name": "prod-a", "tags": {"tier": "gold"}}, 1),
        ({"name": "docs", "tags": {"tier": "gold"}}, 2),
        ({"name": "docs", "tags": {"tier": "golden", "team": "search"}}, 3),
        ({"name": "docs", "tags": {"number": 7}}, 4),
        ({"name": "docs", "tags": {"tier": None}}, 24),
        ({"name": "docs", "tags": None}, 24),
        ({"name": "docs"}, 24),
    ],
)
def test_first_key_that_matches_decides(fields: dict[str, Any], hours: int) -> None:
    policy = Policy(
        MAX_AGE,
        {
            "prod-*": IndexRules(HOUR),
            "tag:tier=gold": IndexRules(2 * HOUR),
            "tag:team=s*h": IndexRules(3 * HOUR),
            "tag:number=7": IndexRules(4 * HOUR),
        },
    )
    row = row_of(indexes=[index(**fields)], policy=policy)
    assert row["max_age"] == hours * HOUR


@pytest.mark.parametrize("tags", [None, "tier", ["tier"], 5])
def test_invalid_tags_match_no_key(tags: Any) -> None:
    policy = Policy(MAX_AGE, {"tag:tier=*": IndexRules(HOUR)})
    assert policy.rules_of(index(tags=tags)) == MAX_AGE


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        (IndexRules(0), "max_age"),
        (IndexRules("1 day"), "max_age"),  # type: ignore[arg-type]
        (IndexRules(DAY, max_restore_age=timedelta(days=366)), "max_restore_age"),
        (IndexRules(DAY, min_records=-1), "min_records"),
        (IndexRules(DAY, max_shrink=2), "max_shrink"),
    ],
)
def test_invalid_rules_are_rejected(rules: IndexRules, field: str) -> None:
    for policy, where in ((Policy(rules), ""), (Policy(MAX_AGE, {"prod-*": rules}), "policy['prod-*']")):
        with pytest.raises(PineconeInputError, match=field) as caught:
            policy.validate()
        assert where in str(caught.value)


@pytest.mark.parametrize("key", ["", 1, None, "tag:", "tag:tier", "tag:=gold"])
def test_invalid_key_of_a_policy_is_rejected(key: Any) -> None:
    with pytest.raises(PineconeInputError, match="tag:KEY=PATTERN"):
        Policy(MAX_AGE, {key: MAX_AGE}).validate()


@pytest.mark.parametrize("policy", [{"prod-*": {"max_age": 3600}}, {"prod-*": None}, {"prod-*": 3600}, [MAX_AGE]])
def test_policy_maps_patterns_to_rules(policy: Any) -> None:
    with pytest.raises(PineconeInputError, match=r"must (be|map patterns to) IndexRules"):
        Policy(MAX_AGE, policy).validate()


def test_policy_needs_restores_if_a_rule_does() -> None:
    assert not Policy(MAX_AGE, {"*": MAX_AGE}).needs_restores
    assert Policy(TESTED).needs_restores
    assert Policy(MAX_AGE, {"*": TESTED}).needs_restores


def test_valid_policy_passes() -> None:
    Policy(IndexRules(timedelta(hours=1), timedelta(days=1), 0, 0), {"*": MAX_AGE, "tag:a=": MAX_AGE}).validate()


@pytest.mark.parametrize("value", [1, None, "", [""], [1], {"a"}])
def test_invalid_patterns_are_rejected(value: Any) -> None:
    with pytest.raises(PineconeInputError, match="include must be a pattern for index names, or a list of them"):
        validate_patterns(value, "include")


@pytest.mark.parametrize(("value", "patterns"), [("prod-*", ("prod-*",)), ((), ()), (["a", "b"], ("a", "b"))])
def test_valid_patterns_pass(value: Any, patterns: tuple[str, ...]) -> None:
    assert validate_patterns(value, "include") == patterns


@pytest.mark.parametrize("value", ["late", ["ok"], ["lat"], [1], None, 3])
def test_invalid_statuses_are_rejected(value: Any) -> None:
    with pytest.raises(PineconeInputError, match="unprotected, late, failing, untested"):
        validate_statuses(value)


def test_valid_statuses_pass() -> None:
    for count in range(5):
        for statuses in itertools.combinations(("unprotected", "late", "failing", "untested"), count):
            validate_statuses(statuses)


# Rules


@pytest.mark.parametrize(
    ("rules", "backups", "broken"),
    [
        (IndexRules(DAY), [backup()], []),
        (IndexRules(DAY), [], ["max_age"]),
        (IndexRules(DAY), [backup(age=2 * DAY)], ["max_age"]),
        (IndexRules(DAY), [backup(record_count=0)], ["min_records"]),
        (IndexRules(DAY, min_records=0), [backup(record_count=0)], []),
        (IndexRules(DAY, min_records=101), [backup()], ["min_records"]),
        (IndexRules(DAY, max_shrink=0.5), [backup(record_count=49), backup(2, age=2 * HOUR)], ["max_shrink"]),
        (IndexRules(DAY, max_shrink=0.5), [backup(record_count=50), backup(2, age=2 * HOUR)], []),
        (IndexRules(DAY, max_shrink=0.5), [backup(), backup(2, created_at=None)], ["max_shrink"]),
        (IndexRules(DAY, max_restore_age=DAY), [backup()], ["max_restore_age"]),
    ],
)
def test_row_names_the_rules_that_it_breaks(rules: IndexRules, backups: Any, broken: list[str]) -> None:
    row = row_of(backups=backups, rules=rules)
    assert row["broken_rules"] == broken
    assert (row["status"] == "ok") is (broken == [])
    assert (row["max_age"], row["max_restore_age"], row["max_shrink"]) == (
        rules.max_age,
        rules.max_restore_age,
        rules.max_shrink,
    )
    assert row["min_records"] == (1 if rules.min_records is None else rules.min_records)


def test_row_has_the_backup_before_the_newest() -> None:
    row = row_of(backups=[backup(), backup(2, age=2 * HOUR)])
    assert (row["previous"]["backup_id"], row["previous_known"]) == ("b-2", True)
    row = row_of(backups=[backup(), backup(2, created_at=None)])
    assert (row["previous"], row["previous_known"]) == (None, False)


def test_unknown_restores_are_not_missing_ones() -> None:
    made = report_on(backups=[backup()], jobs=None, rules=IndexRules(DAY, max_restore_age=DAY))
    (row,) = made["indexes"]
    assert not made["restores_known"]
    assert row["status"] == "untested"
    assert "its last restore is unknown" in row["problems"][0]["text"]


@pytest.mark.parametrize(
    ("counts", "restorable"),
    [
        ([250_000, 240_000], "b-1"),
        ([96, 250_000], "b-2"),
        ([0, 0, 250_000], "b-3"),
        ([0, 0], None),
        # Whether it has lost records is unknown.
        ([None, 250_000], "b-1"),
        ([0, None], "b-2"),
    ],
    ids=repr,
)
def test_restorable_backup_has_not_lost_its_records(counts: list[int | None], restorable: str | None) -> None:
    backups = [backup(number, age=number * HOUR, record_count=count) for number, count in enumerate(counts, start=1)]
    row = row_of(backups=backups, rules=IndexRules(DAY, max_shrink=0.5))
    assert (row["restorable"] and row["restorable"]["backup_id"]) == restorable


def test_verdict_begins_with_required_indexes_that_do_not_exist() -> None:
    made = report_on(backups=[backup()], include=["docs", "payments"])
    assert made["verdict"] == "1 required index does not exist."
    assert report_on(backups=[backup()])["verdict"] == "The index has a fresh Ready backup."
