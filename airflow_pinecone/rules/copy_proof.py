"""Decide whether the import of a copy is proved. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from airflow_pinecone.common.text import counted, one_line
from airflow_pinecone.rules.copy_import import ImportPlan, Method, grouped

if TYPE_CHECKING:
    # It needs numpy.
    from airflow_pinecone.rules.record_check import Finding

# One or two tasks use all the requests that Pinecone allows for an index, so more tasks are not faster.
_MAX_PROOFS = 16
# The result names at most so many namespaces.
MAX_ROWS = 100
# The kinds of findings that cannot be caused by the records that were there before.
_ALWAYS_FAIL = ("missing", "unreadable")


class ProofItem(TypedDict):
    """The namespaces of a copy that one task proves."""

    namespaces: list[str]


class NamespaceProof(TypedDict):
    """The proof of a namespace, as JSON types.

    Attributes:
        namespace: The namespace; the default one is ``__default__``.
        expected: The number of records in the copy.
        records: The number of records in the index.
        expected_digest: The digest of the records in the copy.
        digest: The digest of those in the index.
        repaired: The number of missing records that the proof has upserted.
        findings: How the records differ, if they do.
    """

    namespace: str
    expected: int
    records: int
    expected_digest: str
    digest: str
    repaired: int
    findings: list[Finding]


def proof_items(counts: Mapping[str, int]) -> list[ProofItem]:
    """Group the namespaces to prove.

    Args:
        counts: The record counts of the namespaces.
    """
    # A large namespace is read by one task, so each gets about the same number of records.
    rows = [(name, counts[name] + 1) for name in sorted(counts)]
    number = max(1, min(_MAX_PROOFS, len(rows)))
    return [ProofItem(namespaces=names) for names in grouped(rows, number, max(1, sum(counts.values()) // number))]


def is_proved(proof: NamespaceProof, *, into_existing: bool) -> bool:
    """Return whether the index has all records of a namespace of the copy.

    Args:
        proof: The proof.
        into_existing: Whether the index may have had records: then others, and other content, do not count.
    """
    if into_existing:
        return not any(finding["kind"] in _ALWAYS_FAIL for finding in proof["findings"])
    return not proof["findings"] and proof["digest"] == proof["expected_digest"]


def problem_of(proof: NamespaceProof) -> str:
    """Return how the records of a namespace differ from the copy, as a clause."""
    kinds = [f"{counted(row['count'], 'record')} {row['kind']}, such as {row['ids'][0]}" for row in proof["findings"]]
    what = "; ".join(kinds) or "the digests differ"
    return one_line(f"namespace {proof['namespace']}: {what}")


class ImportResult(TypedDict):
    """The result of an import, as JSON types.

    Attributes:
        verdict: ``proved``, ``failed``, or ``added``: the index has all ids of the copy, but with ``into_existing``,
            some records had other content and were not changed.
        url: The folder of the copy.
        index_name: The index.
        source: The name of the index that was copied.
        backup_id: The backup that was copied; None for the copy of an index.
        method: How the records were imported.
        records: The number of records of the copy.
        namespaces: The proofs of up to 100 namespaces, first those that are not proved.
        namespace_count: The number of namespaces that were proved, or could not be.
        repaired: The number of records that were missing, and were upserted by the proof.
        kept: The number of records of an existing index with the id, but not the content, of one in the copy.
        bulk_import: The bulk import, as the API describes it; None if there was none.
        notes: What is not carried over.
        problems: Why the import is not proved.
        usage: What the tasks have cost.
    """

    verdict: Literal["proved", "added", "failed"]
    url: str
    index_name: str
    source: str
    backup_id: str | None
    method: Method
    records: int
    namespaces: list[NamespaceProof]
    namespace_count: int
    repaired: int
    kept: int
    bulk_import: dict[str, Any] | None
    notes: list[str]
    problems: list[str]
    usage: dict[str, int]


def result_of(
    plan: ImportPlan,
    proofs: Iterable[NamespaceProof],
    usages: Iterable[Mapping[str, int]],
    bulk_import: Mapping[str, Any] | None,
) -> ImportResult:
    """Return the result of an import.

    Args:
        plan: The plan.
        proofs: The proofs of all namespaces.
        usages: What the tasks have cost.
        bulk_import: The bulk import; None if there was none.
    """
    into_existing = plan["into_existing"]
    rows = sorted(proofs, key=lambda row: (is_proved(row, into_existing=into_existing), row["namespace"]))
    failed = [row for row in rows if not is_proved(row, into_existing=into_existing)]
    problems = [problem_of(row) for row in failed[:MAX_ROWS]]
    expected = sum(row["expected"] for row in rows)
    if expected != plan["records"]:
        problems.insert(0, f"{expected:,} of {plan['records']:,} records were compared")
    usage: dict[str, int] = {}
    for each in usages:
        for name, value in each.items():
            usage[name] = usage.get(name, 0) + value
    changed = (finding for row in rows for finding in row["findings"] if finding["kind"] == "changed")
    kept = sum(finding["count"] for finding in changed) if into_existing else 0
    return ImportResult(
        verdict="failed" if problems else "added" if kept else "proved",
        url=plan["url"],
        index_name=plan["index_name"],
        source=plan["source"],
        backup_id=plan["backup_id"],
        method=plan["method"],
        records=plan["records"],
        namespaces=rows[:MAX_ROWS],
        namespace_count=len(rows),
        repaired=sum(row["repaired"] for row in rows),
        kept=kept,
        bulk_import=None if bulk_import is None else dict(bulk_import),
        notes=plan["notes"],
        problems=problems,
        usage=usage,
    )
