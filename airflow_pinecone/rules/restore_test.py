"""Decide what a restore test reads, and whether it has passed. Nothing here does I/O or reads a clock."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from airflow_pinecone.api.models import BackupModel, count_of, parse_time
from airflow_pinecone.common.text import counted, one_line
from airflow_pinecone.errors import RestoreTestFailed
from airflow_pinecone.rules.restore_cost import Estimate as Estimate
from airflow_pinecone.rules.restore_findings import TestFinding, earlier_digests, findings_of

if TYPE_CHECKING:
    from airflow_pinecone.rules.record_check import Finding

# The version of the record of a restore test.
FORMAT = 1
# The XCom key of the counts.
COUNTS_KEY = "counts"

# The record in XCom has the details of so many namespaces, and so many findings. The file has all.
MAX_NAMESPACES_IN_XCOM = 1_000
# Namespaces in which a part checks the recall. The largest ones come first.
MAX_QUERIED_NAMESPACES = 100

Verdict = Literal["passed", "failed", "incomplete"]
# The tasks of a restore test, in their order.
TASKS = ("choose", "restore", "settle", "check")


class Plan(TypedDict):
    """What a restore test is about: the result of its first task, as JSON types.

    Attributes:
        test_id: Identifies this plan. Another execution of the first task has another one.
        run: The digest of the run; see ``rules.scratch``.
        scratch: The name of the scratch index.
    """

    test_id: str
    run: str
    index_name: str
    backup_id: str
    backup: BackupModel
    scratch: str
    tags: dict[str, str]
    compare: bool
    why_not_compared: str
    sample: float
    seed: int
    estimate: Estimate
    started_at: str


class PartNamespace(TypedDict):
    """A namespace, and the number of records that the index reports. A name cannot be a key in every XCom."""

    name: str
    records: int


class Part(TypedDict):
    """What one task reads, as JSON types.

    Attributes:
        test_id: The plan to which it belongs.
        restore_job_id: The restore to which it belongs.
        namespaces: The namespaces.
        compare: Whether they are compared with those of the index.
    """

    test_id: str
    restore_job_id: str
    namespaces: list[PartNamespace]
    compare: bool


class Counts(TypedDict):
    """What the restored index reports after the wait for its counts, as JSON types.

    Attributes:
        settled: Whether the counts agreed with the backup in time.
        problem: Why not.
        namespaces: The number of its namespaces, including the empty ones.
        compare: Whether the records are compared with those of the index.
        why_not_compared: Why not.
    """

    settled: bool
    problem: str
    namespaces: int
    compare: bool
    why_not_compared: str


class NamespaceResult(TypedDict):
    """The check of the records of one namespace, as JSON types.

    Attributes:
        listed: How many ids were listed.
        read: How many records were read.
        expected: The record count in the stats of the restored index; None if they do not have the namespace.
        digest: The digest of the records that were read.
        findings: What is wrong with them.
        recall: The recall of the queries, from 0 to 1; None if there were none.
        why_no_recall: Why there were none.
        query_error: Why a query failed; empty if none did.
        reference_count: How many records of the index were compared; None if they were not compared.
    """

    listed: int
    read: int
    expected: int | None
    digest: str
    findings: list[Finding]
    recall: float | None
    why_no_recall: str
    query_error: str
    reference_count: int | None


class NamespaceRow(NamespaceResult):
    """The check of a namespace, and its name."""

    namespace: str


class PartResult(TypedDict):
    """The result of the check of a part, as JSON types.

    Attributes:
        test_id: The plan to which it belongs.
        restore_job_id: The restore to which it belongs.
        namespaces: The result of each namespace of the part.
        usage: What the requests have cost.
        seconds: How long the check took.
        ended_at: When it ended.
    """

    test_id: str
    restore_job_id: str
    namespaces: list[NamespaceRow]
    usage: dict[str, int]
    seconds: float
    ended_at: str


class Evidence(NamedTuple):
    """What the tasks of one test have returned, without the results of another one; see ``evidence_of``."""

    restore: Mapping[str, Any] | None
    counts: Counts | None
    parts: Sequence[Part] | None
    results: list[PartResult]


@dataclass(frozen=True)
class RestoreTestRules:
    """What a restore test requires.

    Attributes:
        max_missing: The share of the records of the index that the backup may lack, from 0 to 1.
        max_changed: The share of the records of the index that may have other content in the backup, from 0 to 1.
        max_restore_seconds: How long the restore may take; None does not limit it.
        min_recall: The recall that each namespace must have, from 0 to 1.
    """

    max_missing: float = 0.0
    max_changed: float = 0.0
    max_restore_seconds: float | None = None
    min_recall: float = 0.9


def seed_of(text: str) -> int:
    """Return a seed from a text, always the same one for a text."""
    return random.Random(text).getrandbits(32)  # noqa: S311


def choose_backup(backups: Sequence[BackupModel], *, last: int, seed: int) -> BackupModel:
    """Return one of the last backups, at random.

    Args:
        backups: The Ready backups, the newest first.
        last: How many of them to choose from.
        seed: Selects the backup.
    """
    return random.Random(seed).choice(backups[:last])  # noqa: S311


def split_into_parts(
    restored: Mapping[str, int],
    reference: Mapping[str, int] | None,
    max_parts: int,
    *,
    test_id: str,
    restore_job_id: str,
) -> list[Part]:
    """Group the namespaces of the restored index and of the reference into parts of similar size.

    Args:
        restored: The record counts of the namespaces of the restored index.
        reference: Those of the index with which it is compared; None if it is not.
        max_parts: The maximum number of parts.
        test_id: The plan to which they belong.
        restore_job_id: The restore to which they belong.

    Returns:
        At least one part.
    """
    counts = {
        name: max(restored.get(name, 0), (reference or {}).get(name, 0)) for name in {**restored, **(reference or {})}
    }
    number = max(1, min(max_parts, len(counts)))
    names: list[list[str]] = [[] for _ in range(number)]
    sizes = [(0, part) for part in range(number)]
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        size, part = heapq.heappop(sizes)
        names[part].append(name)
        # A request for an empty namespace takes time, too.
        heapq.heappush(sizes, (size + counts[name] + 1, part))
    return [
        Part(
            test_id=test_id,
            restore_job_id=restore_job_id,
            namespaces=[PartNamespace(name=name, records=counts[name]) for name in sorted(part)],
            compare=reference is not None,
        )
        for part in names
    ]


def evidence_of(
    plan: Plan | None,
    restore: Mapping[str, Any] | None,
    counts: Counts | None,
    parts: Sequence[Part] | None,
    results: Sequence[PartResult],
) -> Evidence:
    """Return the results that belong to a plan and its restore.

    After a clear, Airflow keeps the XCom of a task until the task starts again, and that of a mapped task instance that
    was removed. Such a result is of another restore, perhaps of another backup, and is left out.

    Args:
        plan: The result of ``choose``; None if it has none.
        restore: The result of ``restore``; None if it has none.
        counts: The counts of ``settle``; None if it has none.
        parts: The result of ``settle``; None if it has none.
        results: The results of ``check``.
    """
    wanted = (plan["backup_id"], plan["scratch"]) if plan else None
    if plan is None or restore is None or (restore.get("backup_id"), restore.get("index_name")) != wanted:
        return Evidence(None, None, None, [])
    test = (plan["test_id"], restore.get("restore_job_id"))
    if parts is None or any((part["test_id"], part["restore_job_id"]) != test for part in parts):
        return Evidence(restore, None, None, [])
    names = {_names(part["namespaces"], "name") for part in parts}
    own: dict[tuple[str, ...], PartResult] = {}
    for result in sorted(results, key=lambda result: result["ended_at"]):
        found = _names(result["namespaces"], "namespace")
        if (result["test_id"], result["restore_job_id"]) == test and found in names:
            own[found] = result
    return Evidence(restore, counts, parts, list(own.values()))


def _names(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[str, ...]:
    return tuple(sorted(row[key] for row in rows))


def incomplete_tasks(plan: Plan | None, evidence: Evidence) -> list[str]:
    """Return the tasks of a restore test without a result: they failed, or did not run."""
    parts = evidence.parts
    is_checked = parts is not None and len(evidence.results) == len(parts)
    done = (plan is not None, evidence.restore is not None, parts is not None, is_checked)
    return [task for task, is_done in zip(TASKS, done, strict=True) if not is_done]


def restore_seconds(restore: Mapping[str, Any] | None) -> float | None:
    """Return how long the restore took; None if its job does not say when it started and ended."""
    started = parse_time((restore or {}).get("created_at"))
    ended = parse_time((restore or {}).get("completed_at"))
    if started is None or ended is None:
        return None
    return max(0.0, (ended - started).total_seconds())


def _ended_at(results: Sequence[PartResult], now: datetime) -> datetime:
    """Return when the checks ended; now if there are none. A report can be cleared much later."""
    return max(filter(None, (parse_time(result["ended_at"]) for result in results)), default=now)


def build_record(
    *,
    plan: Plan | None,
    restore: Mapping[str, Any] | None,
    counts: Counts | None,
    parts: Sequence[Part] | None,
    results: Sequence[PartResult],
    rules: RestoreTestRules,
    earlier: Mapping[str, Any] | None,
    why_no_earlier: str,
    who: Mapping[str, Any],
    parameters: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """Return the record of a restore test, with its verdict.

    Args:
        plan: The result of ``choose``; None if it has none.
        restore: The result of ``restore``; None if it has none.
        counts: The counts of ``settle``; None if it has none.
        parts: The result of ``settle``; None if it has none.
        results: The results of ``check``.
        rules: What the test requires.
        earlier: The record of the oldest passed test of the same backup that read all records; None if there is none.
        why_no_earlier: Why there is none.
        who: The DAG, the run and the owner.
        parameters: The parameters of the test.
        now: The time.

    Returns:
        The record, as JSON types.
    """
    evidence = evidence_of(plan, restore, counts, parts, results)
    restore, counts, _, own_results = evidence
    rows = (row for result in own_results for row in result["namespaces"])
    namespaces = {row["namespace"]: row for row in sorted(rows, key=lambda row: row["namespace"])}
    incomplete = incomplete_tasks(plan, evidence)
    seconds = restore_seconds(restore)
    backup: Mapping[str, Any] = plan["backup"] if plan else {}
    digests = earlier_digests(earlier)
    findings: list[TestFinding] = findings_of(
        backup,
        namespaces,
        rules,
        namespace_count=counts["namespaces"] if counts else None,
        restore_seconds=seconds,
        is_restored=restore is not None,
        is_complete=not incomplete,
        digests=digests if plan and plan["sample"] >= 1 else None,
    )
    verdict: Verdict = "passed"
    if any(finding["fails"] for finding in findings):
        verdict = "failed"
    elif incomplete:
        verdict = "incomplete"
    usages = [result["usage"] for result in own_results]
    return {
        "format": FORMAT,
        "verdict": verdict,
        "sampled": plan is not None and plan["sample"] < 1,
        "incomplete": incomplete,
        "index_name": plan["index_name"] if plan else None,
        "who": dict(who),
        "started_at": plan["started_at"] if plan else None,
        "ended_at": _ended_at(own_results, now).isoformat(),
        "backup": {
            name: backup.get(name)
            for name in (
                "backup_id",
                "name",
                "created_at",
                "source_index_name",
                "source_index_id",
                "record_count",
                "namespace_count",
                "size_bytes",
            )
        },
        "restore": {
            "index_name": plan["scratch"] if plan else None,
            "restore_job_id": (restore or {}).get("restore_job_id"),
            "seconds": seconds,
            "settled": counts["settled"] if counts else None,
        },
        "read": {
            "records": sum(row["read"] for row in namespaces.values()),
            "listed": sum(row["listed"] for row in namespaces.values()),
            "namespaces": sum(row["listed"] > 0 for row in namespaces.values()),
            "compared": sum(row["reference_count"] or 0 for row in namespaces.values()),
        },
        "estimate": plan["estimate"] if plan else None,
        "usage": {
            name: sum(usage.get(name, 0) for usage in usages) for name in ("requests", "read_units", "response_bytes")
        },
        "parameters": {**parameters, "seed": plan["seed"] if plan else None},
        "findings": findings,
        "not_checked": _not_checked(
            plan, evidence, namespaces, seconds, rules, why_no_earlier if digests is None else ""
        ),
        "namespaces": [
            {**row, "findings": [finding["kind"] for finding in row["findings"]]} for row in namespaces.values()
        ],
    }


def record_for_xcom(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without the details of further namespaces and findings, if it has very many."""
    namespaces, findings = record["namespaces"], record["findings"]
    left_out = {
        "namespaces": max(0, len(namespaces) - MAX_NAMESPACES_IN_XCOM),
        "findings": max(0, len(findings) - MAX_NAMESPACES_IN_XCOM),
    }
    return {
        **record,
        "findings": findings[:MAX_NAMESPACES_IN_XCOM],
        "namespaces": namespaces[:MAX_NAMESPACES_IN_XCOM],
        **({"left_out": left_out} if any(left_out.values()) else {}),
    }


def headline(record: Mapping[str, Any]) -> str:
    """Return the verdict of a record, as one line."""
    backup_id, index_name = one_line(record["backup"]["backup_id"]), one_line(record["index_name"])
    what = f"The restore test of backup {backup_id} of index {index_name}" if index_name else "The restore test"
    read = record["read"]
    facts = f"{counted(read['records'], 'record')} in {counted(read['namespaces'], 'namespace')}"
    sampled = ", a sample," if record["sampled"] else ""
    if record["verdict"] == "incomplete":
        return f"{what} is incomplete: the task {record['incomplete'][0]} has no result."
    if record["verdict"] == "passed":
        compared = f", and {read['compared']:,} of the index were compared" if read["compared"] else ""
        return f"{what} passed: {facts}{sampled} were read{compared}."
    failing = sum(finding["fails"] for finding in record["findings"])
    return f"{what} failed: {counted(failing, 'finding')}; {facts}{sampled} were read."


def failure(record: Mapping[str, Any]) -> RestoreTestFailed:
    """Return the error of a restore test that has not passed."""
    lines = [one_line(finding["text"]) for finding in record["findings"] if finding["fails"]]
    more = f"{len(lines) - 3} more are in the log." if len(lines) > 3 else ""
    if record["verdict"] == "incomplete":
        advice = f"Read the log of the task {record['incomplete'][0]}, then clear the tasks of the test."
    else:
        advice = "Do not rely on this backup. Create a new one, and keep the older ones until it has passed a test."
    return RestoreTestFailed("\n".join(filter(None, (headline(record), *lines[:3], more, advice))))


def _not_checked(
    plan: Plan | None,
    evidence: Evidence,
    namespaces: Mapping[str, NamespaceRow],
    seconds: float | None,
    rules: RestoreTestRules,
    why_no_earlier: str,
) -> list[str]:
    """Return what a test has not checked, and why, as sentences."""
    notes, counts = [], evidence.counts
    if plan is not None and plan["sample"] < 1:
        notes.append(f"Only a sample of {plan['sample']:.4g} of the records was read.")
    chosen = counts or plan
    why = chosen["why_not_compared"] if chosen else ""
    if why:
        notes.append(f"The records were not compared with those of an index: {why}.")
    if counts is not None and not counts["settled"]:
        notes.append(f"The counts of the restored index did not agree with the backup in time: {counts['problem']}.")
    unread = sum(row["listed"] > 0 and not row["read"] for row in namespaces.values())
    if unread:
        notes.append(f"Nothing was read of {counted(unread, 'namespace')} with records: only the ids were listed.")
    # With a limit, this is a finding.
    if evidence.restore is not None and seconds is None and rules.max_restore_seconds is None:
        notes.append("It is unknown how long the restore took: its job does not say when it started and ended.")
    reasons: dict[str, int] = {}
    for row in namespaces.values():
        if row["why_no_recall"]:
            reasons[row["why_no_recall"]] = reasons.get(row["why_no_recall"], 0) + 1
    notes += [
        f"Queries of {counted(number, 'namespace')} were not checked: {one_line(reason)}."
        for reason, number in reasons.items()
    ]
    if plan is not None and count_of(plan["backup"].get("namespace_count")) is None:
        notes.append("The number of namespaces was not checked: the backup has no namespace_count.")
    if why_no_earlier:
        notes.append(f"The digests were not compared with those of an earlier test: {why_no_earlier}.")
    return notes
