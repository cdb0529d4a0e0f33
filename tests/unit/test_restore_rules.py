"""The decisions of a restore test, without Pinecone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_pinecone.rules.identity import Origin
from airflow_pinecone.rules.restore_cost import estimate, why_too_expensive
from airflow_pinecone.rules.restore_findings import digests_of, line_of
from airflow_pinecone.rules.restore_test import (
    MAX_NAMESPACES_IN_XCOM,
    Counts,
    NamespaceResult,
    NamespaceRow,
    Part,
    PartNamespace,
    PartResult,
    Plan,
    RestoreTestRules,
    build_record,
    choose_backup,
    failure,
    headline,
    record_for_xcom,
    restore_seconds,
    seed_of,
    split_into_parts,
)
from airflow_pinecone.rules.scratch import (
    RUN_TAG,
    TEST_TAG,
    is_scratch_of,
    run_digest,
    scratch_name,
    scratch_started_at,
    scratch_tags,
)

SCRATCH = "restore-test-0123456789ab"
RESTORE = {
    "restore_job_id": "r-1",
    "backup_id": "b-1",
    "index_name": SCRATCH,
    "created_at": "2026-06-01T03:01:00Z",
    "completed_at": "2026-06-01T03:03:00Z",
}
IDS = {"test_id": "t-1", "restore_job_id": "r-1"}
ENDED_AT = "2026-06-01T03:14:00+00:00"
NOW = datetime(2026, 6, 1, 3, 15, tzinfo=UTC)
DIGEST = "v1:10:" + 32 * "0"


def backup(**fields: Any) -> Any:
    return {
        "backup_id": "b-1",
        "source_index_name": "docs",
        "status": "Ready",
        "record_count": 10,
        "namespace_count": 1,
        "dimension": 100,
        **fields,
    }


def namespace(**fields: Any) -> NamespaceResult:
    row = NamespaceResult(
        listed=10,
        read=10,
        expected=10,
        digest=DIGEST,
        findings=[],
        recall=1.0,
        why_no_recall="",
        query_error="",
        reference_count=10,
    )
    row.update(fields)  # type: ignore[typeddict-item]
    return row


def plan(**fields: Any) -> Plan:
    result = Plan(
        test_id="t-1",
        run="0123456789abcdef",
        index_name="docs",
        backup_id="b-1",
        backup=backup(),
        scratch=SCRATCH,
        tags={},
        compare=True,
        why_not_compared="",
        sample=1.0,
        seed=1,
        estimate=estimate(backup(), reference=None, sample=1.0, queries=0),
        started_at="2026-06-01T03:00:00Z",
    )
    result.update(fields)  # type: ignore[typeddict-item]
    return result


def part_of(names: Any, **fields: Any) -> Part:
    part = Part(
        test_id="t-1",
        restore_job_id="r-1",
        namespaces=[PartNamespace(name=name, records=10) for name in names],
        compare=True,
    )
    part.update(fields)  # type: ignore[typeddict-item]
    return part


def result_of(rows: dict[str, NamespaceResult], **fields: Any) -> PartResult:
    result = PartResult(
        test_id="t-1",
        restore_job_id="r-1",
        namespaces=[NamespaceRow(**row, namespace=name) for name, row in rows.items()],
        usage={"requests": 2, "read_units": 3, "response_bytes": 4},
        seconds=1.0,
        ended_at=ENDED_AT,
    )
    result.update(fields)  # type: ignore[typeddict-item]
    return result


def record(
    rows: dict[str, NamespaceResult] | None = None,
    *,
    of: Plan | None = None,
    rules: RestoreTestRules | None = None,
    earlier: Any = None,
    names: list[str] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return the record of a test; without rows, of one with a sound namespace."""
    rows = {"a": namespace()} if rows is None else rows
    counts = Counts(settled=True, problem="", namespaces=len(rows), compare=True, why_not_compared="")
    arguments: Any = {
        "plan": of or plan(),
        "restore": RESTORE,
        "counts": counts,
        "parts": [part_of(rows)] if names is None else [part_of([name]) for name in names],
        "results": [result_of(rows)],
        "rules": rules or RestoreTestRules(),
        "earlier": earlier,
        "why_no_earlier": "there is none",
        "who": {"dag_id": "etl"},
        "parameters": {"choose": "newest"},
        "now": NOW,
        **changes,
    }
    return build_record(**arguments)


def kinds(found: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(finding["kind"], finding["fails"]) for finding in found["findings"]]


# The estimate


@pytest.mark.parametrize(
    ("arguments", "read_units"),
    [
        ({"reference": None, "sample": 1.0, "queries": 0}, 11_000),
        # The index can have more records than its backup.
        ({"reference": {"a": 200_000}, "sample": 1.0, "queries": 0}, 33_000),
        # A request for a small namespace costs one, too.
        ({"reference": {str(n): 1 for n in range(5_000)}, "sample": 1.0, "queries": 0}, 21_000),
        ({"reference": None, "sample": 0.1, "queries": 10}, 2_000),
        # 10 queries in each of 4 namespaces.
        ({"reference": None, "sample": 1.0, "queries": 10}, 11_010),
    ],
)
def test_estimate_of_read_units(arguments: Any, read_units: int) -> None:
    assert estimate(backup(record_count=100_000, namespace_count=4), **arguments)["read_units"] == read_units


def test_small_namespaces_of_the_backup_cost_two_read_units_each() -> None:
    small = backup(record_count=5_000, namespace_count=5_000)
    assert estimate(small, reference=None, sample=1.0, queries=0)["read_units"] == 10_000


def test_large_namespaces_make_queries_cost_more() -> None:
    large = backup(record_count=10, namespace_count=1, size_bytes=500 * 10**9)
    assert estimate(large, reference=None, sample=1.0, queries=10)["read_units"] == 5_002


def test_unknown_count_is_an_unknown_cost() -> None:
    cost = estimate(backup(record_count=None), reference={}, sample=1.0, queries=1)
    assert set(cost.values()) == {None}
    assert why_too_expensive(cost, None) == ""
    assert "unknown is not zero" in why_too_expensive(cost, 10**12)


def test_size_is_unknown_without_dense_vectors() -> None:
    cost = estimate(backup(dimension=None), reference=None, sample=1.0, queries=10)
    assert (cost["response_bytes"], cost["read_units"]) == (None, 2)


@pytest.mark.parametrize(("limit", "is_allowed"), [(None, True), (2, True), (1.9, False), (0, False)])
def test_limit_of_the_cost(limit: float | None, is_allowed: bool) -> None:
    cost = estimate(backup(), reference=None, sample=1.0, queries=0)
    assert (why_too_expensive(cost, limit) == "") == is_allowed


# The choice


def test_choice_is_the_same_for_a_seed_and_differs_between_seeds() -> None:
    backups = [backup(backup_id=f"b-{number}") for number in range(20)]
    chosen = [choose_backup(backups, last=10, seed=seed_of(f"run-{n}"))["backup_id"] for n in range(200)]
    assert chosen == [choose_backup(backups, last=10, seed=seed_of(f"run-{n}"))["backup_id"] for n in range(200)]
    assert set(chosen) == {f"b-{number}" for number in range(10)}


def test_name_of_a_scratch_index_is_valid_and_short() -> None:
    assert scratch_name("0123456789abcdef") == SCRATCH


def test_scratch_index_of_a_run_is_the_same_after_a_clear_and_differs_between_runs() -> None:
    origin = Origin("etl", "run-1", "restore_test.choose", -1, "2026-06-01T03:00:00+00:00", 2)
    run = run_digest(origin)
    assert run == run_digest(origin._replace(run_started_at="2026-06-02T03:00:00+00:00", max_tries=5))
    others: list[dict[str, Any]] = [{"dag_id": "x"}, {"run_id": "x"}, {"task_id": "x"}, {"map_index": 1}]
    assert run not in {run_digest(origin._replace(**other)) for other in others}


@pytest.mark.parametrize(
    ("tags", "is_of_run", "is_known"),
    [
        ({}, True, True),
        ({TEST_TAG: ""}, False, False),
        ({"airflow-pinecone": ""}, False, False),
        ({RUN_TAG: "def-20260601T031500Z"}, False, True),
        ({RUN_TAG: "abc-yesterday"}, True, False),
        ({RUN_TAG: None}, False, False),
    ],
)
def test_tags_of_a_scratch_index(tags: Any, is_of_run: bool, is_known: bool) -> None:
    index: Any = {"tags": {"airflow-pinecone": "x", **scratch_tags("abc", "b-1", NOW), **tags}}
    assert is_scratch_of(index, "abc") == is_of_run
    assert scratch_started_at(index) == (NOW if is_known else None)


# The parts


def test_parts_are_of_similar_size() -> None:
    counts = {f"n{number}": 10 * number for number in range(1, 21)}
    parts = split_into_parts(counts, None, 4, **IDS)
    sizes = [sum(row["records"] for row in part["namespaces"]) for part in parts]
    assert sum(sizes) == 2100
    assert max(sizes) - min(sizes) <= 40
    assert not any(part["compare"] for part in parts)


def test_parts_have_the_namespaces_of_both_indexes() -> None:
    parts = split_into_parts({"a": 1, "b": 5}, {"b": 7, "c": 2}, 1, **IDS)
    rows = [{"name": "a", "records": 1}, {"name": "b", "records": 7}, {"name": "c", "records": 2}]
    assert parts == [{**IDS, "namespaces": rows, "compare": True}]


@pytest.mark.parametrize(("names", "number"), [(0, 1), (1, 1), (3, 3), (2000, 16)])
def test_number_of_parts(names: int, number: int) -> None:
    parts = split_into_parts({str(n): 1 for n in range(names)}, None, 16, **IDS)
    assert len(parts) == number
    assert sum(len(part["namespaces"]) for part in parts) == names


# The verdict


def test_sound_namespace_passes() -> None:
    passed = record()
    assert (passed["verdict"], passed["findings"], passed["incomplete"]) == ("passed", [], [])
    assert passed["restore"]["seconds"] == 120
    assert passed["usage"] == {"requests": 2, "read_units": 3, "response_bytes": 4}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"listed": 9, "read": 9, "expected": 9}, [("count", True)]),
        ({"expected": 9}, [("count", True)]),
        ({"recall": 0.89}, [("low_recall", True)]),
        ({"recall": 0.9}, []),
        ({"recall": None, "why_no_recall": "queries is 0"}, []),
        ({"recall": None, "query_error": "HTTP 400"}, [("query_failed", True)]),
        ({"expected": None}, [("count", True)]),
        ({"read": 0, "digest": "v1:0:0"}, [("empty", True)]),
    ],
)
def test_findings_of_a_namespace(row: Any, found: Any) -> None:
    assert kinds(record({"a": namespace(**row)})) == found


@pytest.mark.parametrize("kind", ["unreadable", "wrong_dimension", "not_finite", "no_values"])
def test_findings_of_records_fail_without_a_limit(kind: str) -> None:
    finding: Any = {"kind": kind, "namespace": "a", "count": 1, "ids": ["x"], "parts": {}}
    rules = RestoreTestRules(max_missing=1.0, max_changed=1.0)
    assert kinds(record({"a": namespace(findings=[finding])}, rules=rules)) == [(kind, True)]


@pytest.mark.parametrize(
    ("kind", "limit"), [("missing", "max_missing"), ("changed", "max_changed"), ("not_compared", "max_changed")]
)
def test_limits_are_shares_of_the_whole_index(kind: str, limit: str) -> None:
    finding: Any = {"kind": kind, "namespace": "a", "count": 1, "ids": ["x"], "parts": {}}
    rows = {"a": namespace(findings=[finding]), "b": namespace()}
    of = plan(backup=backup(record_count=20, namespace_count=2))
    assert record(rows, of=of, rules=RestoreTestRules(**{limit: 0.05}))["verdict"] == "passed"
    assert record(rows, of=of, rules=RestoreTestRules(**{limit: 0.049}))["verdict"] == "failed"


def test_records_that_were_not_compared_count_as_changed() -> None:
    found: Any = [
        {"kind": kind, "namespace": "a", "count": 1, "ids": ["x"], "parts": {}} for kind in ("changed", "not_compared")
    ]
    rows = {"a": namespace(findings=found)}
    assert kinds(record(rows, rules=RestoreTestRules(max_changed=0.2))) == [("changed", False), ("not_compared", False)]
    assert kinds(record(rows, rules=RestoreTestRules(max_changed=0.1))) == [("changed", True), ("not_compared", True)]


def test_namespace_of_which_nothing_was_read_is_noted() -> None:
    rows = {"a": namespace(), "b": namespace(read=0, digest="v1:0:0")}
    found = record(rows, of=plan(backup=backup(record_count=20, namespace_count=2)))
    assert found["verdict"] == "passed"
    assert "Nothing was read of 1 namespace with records: only the ids were listed." in found["not_checked"]


@pytest.mark.parametrize(("count", "is_found"), [(1, False), (2, False), (3, True), (0, True)])
def test_number_of_namespaces_with_and_without_empty_ones(count: int, is_found: bool) -> None:
    """It is not documented whether a backup counts empty namespaces."""
    rows = {"a": namespace(), "empty": namespace(listed=0, read=0, expected=0, digest="v1:0:0", reference_count=0)}
    found = record(rows, of=plan(backup=backup(namespace_count=count)))
    assert (("namespace_count", True) in kinds(found)) == is_found


@pytest.mark.parametrize(("digest", "found"), [(DIGEST, []), ("v1:10:" + 32 * "1", [("digest_changed", True)])])
def test_digest_of_an_earlier_test(digest: str, found: Any) -> None:
    earlier = {"namespaces": {"a": {"digest": digest, "read": 10}}}
    assert kinds(record(earlier=earlier)) == found
    # The digest of a sample is another one.
    assert kinds(record(earlier=earlier, of=plan(sample=0.5))) == []


def test_namespace_that_an_earlier_test_did_not_have() -> None:
    earlier = {"namespaces": {"a": {"digest": DIGEST, "read": 10}}}
    of = plan(backup=backup(record_count=20, namespace_count=2))
    assert kinds(record({"a": namespace(), "b": namespace()}, earlier=earlier, of=of)) == [("digest_changed", True)]


def test_namespace_that_was_not_read_is_incomplete_and_not_a_wrong_count() -> None:
    earlier = {"namespaces": {name: {"digest": DIGEST, "read": 10} for name in ("a", "b")}}
    of = plan(backup=backup(record_count=20, namespace_count=2))
    unread = record(names=["a", "b"], of=of, earlier=earlier)
    assert (unread["verdict"], unread["incomplete"], unread["findings"]) == ("incomplete", ["check"], [])


def test_damage_in_what_was_read_is_a_failure_even_if_not_all_was() -> None:
    finding: Any = {"kind": "not_finite", "namespace": "a", "count": 1, "ids": ["x"], "parts": {}}
    found = record({"a": namespace(findings=[finding])}, names=["a", "b"])
    assert (found["verdict"], found["incomplete"]) == ("failed", ["check"])


def test_test_without_a_plan_is_incomplete() -> None:
    empty = build_record(
        plan=None,
        restore=None,
        counts=None,
        parts=None,
        results=[],
        rules=RestoreTestRules(max_restore_seconds=1),
        earlier=None,
        why_no_earlier="",
        who={},
        parameters={},
        now=NOW,
    )
    assert (empty["verdict"], empty["findings"]) == ("incomplete", [])
    assert str(failure(empty)) == (
        "The restore test is incomplete: the task choose has no result.\n"
        "Read the log of the task choose, then clear the tasks of the test."
    )


def test_duration_of_a_restore_whose_job_does_not_say_when_it_ended() -> None:
    """When the next task starts depends on Airflow: a retry or a reschedule starts much later."""
    unknown = {**RESTORE, "completed_at": None}
    assert restore_seconds(RESTORE) == 120
    assert restore_seconds(unknown) is restore_seconds({**RESTORE, "created_at": None}) is restore_seconds(None) is None
    note = "It is unknown how long the restore took: its job does not say when it started and ended."
    noted = record(restore=unknown)
    assert (noted["verdict"], note in noted["not_checked"]) == ("passed", True)
    limited = record(restore=unknown, rules=RestoreTestRules(max_restore_seconds=10**6))
    assert (kinds(limited), note in limited["not_checked"]) == ([("slow_restore", True)], False)


@pytest.mark.parametrize(
    ("changes", "incomplete"),
    [
        ({"restore": {**RESTORE, "backup_id": "b-0"}}, ["restore", "settle", "check"]),
        ({"restore": {**RESTORE, "index_name": "restore-test-x"}}, ["restore", "settle", "check"]),
        ({"restore": None}, ["restore", "settle", "check"]),
        ({"parts": [part_of(["a"], restore_job_id="r-0")]}, ["settle", "check"]),
        ({"parts": [part_of(["a"], test_id="t-0")]}, ["settle", "check"]),
        ({"parts": None}, ["settle", "check"]),
        ({"results": [result_of({"a": namespace(recall=0.0)}, restore_job_id="r-0")]}, ["check"]),
        ({"results": [result_of({"a": namespace(recall=0.0)}, test_id="t-0")]}, ["check"]),
        ({"results": [result_of({"a": namespace(), "b": namespace(recall=0.0)})]}, ["check"]),
        ({"results": []}, ["check"]),
    ],
)
def test_result_of_another_test_does_not_count(changes: Any, incomplete: list[str]) -> None:
    found = record(**changes)
    assert (found["verdict"], found["incomplete"], found["findings"]) == ("incomplete", incomplete, [])
    assert found["read"]["records"] == 0


def test_result_of_a_removed_part_does_not_count() -> None:
    removed = result_of({"b": namespace(recall=0.0)})
    assert record(results=[result_of({"a": namespace()}), removed])["findings"] == []
    assert record(results=[removed])["incomplete"] == ["check"]


def test_test_ended_with_its_last_check() -> None:
    parts = [part_of(["a"]), part_of(["b"])]
    results = [result_of({"a": namespace()}), result_of({"b": namespace()}, ended_at="2026-06-01T03:13:00+00:00")]
    assert record(parts=parts, results=results)["ended_at"] == ENDED_AT
    assert record(results=[])["ended_at"] == NOW.isoformat()


@pytest.mark.parametrize("as_dict", [False, True])
def test_digests_of_a_record(as_dict: bool) -> None:
    rows = {"a": namespace(), "__type": namespace(), "b": namespace(read=0)}
    found = record(rows)
    if as_dict:
        found["namespaces"] = {row["namespace"]: row for row in found["namespaces"]}
    assert digests_of(found) == {"a": DIGEST, "__type": DIGEST}


# What a user reads


def test_message_has_the_first_findings() -> None:
    rows = {f"n{number}": namespace(recall=0.5) for number in range(5)}
    found = record(rows, of=plan(backup=backup(record_count=50, namespace_count=5)))
    assert str(failure(found)).splitlines() == [
        "The restore test of backup b-1 of index docs failed: 5 findings; 50 records in 5 namespaces were read.",
        *(f"Namespace n{n}: queries found 50.0% of the nearest records, not 90.0%." for n in range(3)),
        "2 more are in the log.",
        "Do not rely on this backup. Create a new one, and keep the older ones until it has passed a test.",
    ]


def test_line_of_a_finding_has_examples_and_advice() -> None:
    finding: Any = {
        "kind": "changed",
        "namespace": "a",
        "count": 4,
        "ids": ["x\n", "y" * 100, "z", "w"],
        "parts": {"values": 3, "metadata": 1},
    }
    line = line_of(record({"a": namespace(findings=[finding])})["findings"][0])
    assert line.startswith(
        "Namespace a: records that differ from those of the index: 4 (values: 3, metadata: 1); in all namespaces, 40% "
        "of the index, and max_changed is 0%. Such as:"
    )
    assert f"Such as: x, {'y' * 37}..., z. If they were updated after the backup, increase max_changed." in line


def test_text_of_pinecone_is_one_line() -> None:
    found = record({"a": namespace(recall=None, query_error="HTTP\n500")}, of=plan(backup=backup(backup_id="b\n1")))
    assert found["findings"][0]["text"] == "Namespace a: the queries failed: HTTP 500."
    assert "backup b 1 of" in headline(found)


def test_headline_of_a_sample_says_so() -> None:
    text = headline(record(of=plan(sample=0.5)))
    assert text == (
        "The restore test of backup b-1 of index docs passed: 10 records in 1 namespace, a sample, were read, and "
        "10 of the index were compared."
    )


def test_record_of_very_many_namespaces_is_cut_for_xcom() -> None:
    number = MAX_NAMESPACES_IN_XCOM + 5
    rows = {f"n{n:05}": namespace(recall=0.5) for n in range(number)}
    full = record(rows, of=plan(backup=backup(record_count=10 * number, namespace_count=number)))
    cut = record_for_xcom(full)
    assert len(cut["namespaces"]) == len(cut["findings"]) == MAX_NAMESPACES_IN_XCOM
    assert cut["left_out"] == {"namespaces": 5, "findings": 5}
    assert len(full["namespaces"]) == number
    assert "left_out" not in record_for_xcom(record())
