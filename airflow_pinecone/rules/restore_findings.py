"""The findings of a restore test: which of them fail it, and what to do about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_pinecone.api.models import count_of
from airflow_pinecone.common.text import counted, one_line, show_seconds, truncate

if TYPE_CHECKING:
    from airflow_pinecone.rules.restore_test import NamespaceResult, RestoreTestRules

# A line of the log names so many ids.
_SHOWN_IDS = 3
_ID_LENGTH = 40
# These kinds only fail a test above a limit. A record that was not compared may have changed: unknown is not equal.
_LIMITS = {"missing": "max_missing", "changed": "max_changed", "not_compared": "max_changed"}
_LABELS = {
    "unreadable": "Ids that are listed, but whose records cannot be read",
    "wrong_dimension": "Records with another number of values than the index has dimensions",
    "not_finite": "Records with a value that is not finite",
    "no_values": "Records without values",
    "missing": "Records of the index that are missing",
    "extra": "Records that the index does not have",
    "changed": "Records that differ from those of the index",
    "not_compared": "Records that were not compared, because those of the index cannot be fetched",
}
_ADVICE = {
    "count": "Create a new backup, and ask Pinecone's support with the ids of the backup and the restore job.",
    "empty": "Check that the index has records, and create a new backup. If only a sample was read, increase it.",
    "namespace_count": "List the namespaces of the index, and create a new backup.",
    "unreadable": "Fetch these ids from the index. If they can be read there, create a new backup.",
    "wrong_dimension": "Fetch these ids from the index, upsert them again, and create a new backup.",
    "not_finite": "Fetch these ids from the index, upsert them again, and create a new backup.",
    "no_values": "Fetch these ids from the index, upsert them again, and create a new backup.",
    "missing": "If they were added after the backup, increase max_missing. Otherwise create a new backup.",
    "changed": "If they were updated after the backup, increase max_changed. Otherwise create a new backup.",
    "not_compared": "If they were deleted from the index during the test, start a new test, or increase max_changed.",
    "extra": "This does not fail the test: they may have been deleted from the index after the backup.",
    "digest_changed": "The same backup had other records before. Ask Pinecone's support with the id of the backup.",
    "query_failed": "Query the restored index again with a new test. Ask Pinecone's support if it fails, too.",
    "low_recall": "Query the index itself. If it finds the records, ask Pinecone's support about the restored one.",
    "slow_restore": "Allow more time for a restore in your recovery plan, or increase max_restore_time.",
}


class TestFinding(TypedDict):
    """What a restore test has found, as JSON types.

    Attributes:
        kind: A kind of a Finding, or ``count``, ``empty``, ``namespace_count``, ``digest_changed``, ``query_failed``,
            ``low_recall`` or ``slow_restore``.
        namespace: The namespace; None if it is about the index.
        fails: Whether it fails the test.
        count: The number of records; None if it is not about records.
        ids: Some of their ids.
        parts: For ``changed``, how many records differ in which part.
        text: What was found, as a sentence.
    """

    kind: str
    namespace: str | None
    fails: bool
    count: int | None
    ids: list[str]
    parts: dict[str, int]
    text: str


def findings_of(
    backup: Mapping[str, Any],
    namespaces: Mapping[str, NamespaceResult],
    rules: RestoreTestRules,
    *,
    namespace_count: int | None,
    restore_seconds: float | None,
    is_restored: bool,
    is_complete: bool,
    digests: Mapping[str, str] | None,
) -> list[TestFinding]:
    """Return the findings, those of the index first.

    Args:
        backup: The backup.
        namespaces: The results by namespace.
        rules: What the test requires.
        namespace_count: The number of namespaces of the restored index, including the empty ones; None if unknown.
        restore_seconds: How long the restore took; None if unknown.
        is_restored: Whether the restore has ended.
        is_complete: Whether all namespaces were read. Otherwise, their number and that of the records are unknown.
        digests: The digests of an earlier test; None compares nothing.
    """
    findings: list[TestFinding] = []
    if is_complete:
        findings += _counts(backup, namespaces, namespace_count)
    if is_restored:
        findings += _slow_restore(restore_seconds, rules.max_restore_seconds)
    for name, row in namespaces.items():
        if (row["expected"] or 0) != row["listed"]:
            has = "do not have it" if row["expected"] is None else f"have {counted(row['expected'], 'record')}"
            text = f"The stats of the restored index {has}, but {counted(row['listed'], 'record')} were listed"
            findings.append(_finding("count", text, name))
        if row["query_error"]:
            findings.append(_finding("query_failed", f"The queries failed: {one_line(row['query_error'])}", name))
        recall = row["recall"]
        if recall is not None and recall < rules.min_recall:
            text = f"Queries found {recall:.1%} of the nearest records, not {rules.min_recall:.1%}"
            findings.append(_finding("low_recall", text, name))
    findings += _of_records(namespaces, rules)
    if digests is not None:
        # A namespace that was not read is only lost if all were.
        names = {**namespaces, **(digests if is_complete else {})}
        findings += _changed_digests(
            {name: namespaces[name]["digest"] if name in namespaces else None for name in names}, digests
        )
    return findings


def line_of(finding: TestFinding) -> str:
    """Return a finding as a line of a log: what was found, example ids, and what to do."""
    ids = ", ".join(truncate(one_line(record_id), _ID_LENGTH) for record_id in finding["ids"][:_SHOWN_IDS])
    examples = f" Such as: {ids}." if ids else ""
    return f"{one_line(finding['text'])}{examples} {_ADVICE[finding['kind']]}"


def earlier_digests(record: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Return the digests in the record of an earlier test; None if there is none."""
    return None if record is None else digests_of(record)


def digests_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests in the record of a test, by namespace, without the namespaces of which nothing was read.

    Raises:
        KeyError, TypeError, AttributeError: It is not such a record.
    """
    rows = record["namespaces"]
    # Records of development versions have a dict.
    named = rows.items() if isinstance(rows, dict) else ((row["namespace"], row) for row in rows)
    return {name: row["digest"] for name, row in named if row["read"]}


def _finding(
    kind: str,
    what: str,
    namespace: str | None = None,
    *,
    fails: bool = True,
    count: int | None = None,
    ids: Iterable[str] = (),
    parts: Mapping[str, int] | None = None,
) -> TestFinding:
    where = f"Namespace {one_line(namespace)}: {what[0].lower()}{what[1:]}" if namespace is not None else what
    return TestFinding(
        kind=kind,
        namespace=namespace,
        fails=fails,
        count=count,
        ids=list(ids),
        parts=dict(parts or {}),
        text=f"{where}.",
    )


def _counts(
    backup: Mapping[str, Any], namespaces: Mapping[str, NamespaceResult], namespace_count: int | None
) -> Iterator[TestFinding]:
    listed = sum(row["listed"] for row in namespaces.values())
    expected = count_of(backup.get("record_count"))
    if not listed:
        yield _finding("empty", "The restored index has no records, so nothing was tested")
    elif not any(row["read"] for row in namespaces.values()):
        yield _finding("empty", "No record was read, so nothing was tested")
    if expected is None:
        yield _finding("count", f"The record_count of the backup is unknown; the restored index has {listed:,} records")
    elif expected != listed:
        yield _finding("count", f"The backup has {counted(expected, 'record')}, but the restored index has {listed:,}")
    with_records = sum(row["listed"] > 0 for row in namespaces.values())
    number = count_of(backup.get("namespace_count"))
    # It is not documented whether the backup counts empty namespaces.
    if number is not None and not with_records <= number <= max(with_records, namespace_count or 0):
        text = (
            f"The backup has {counted(number, 'namespace')}, but the restored index has {with_records:,} with records"
        )
        yield _finding("namespace_count", text)


def _slow_restore(seconds: float | None, limit: float | None) -> Iterator[TestFinding]:
    if limit is None:
        return
    if seconds is None:
        yield _finding("slow_restore", "It is unknown how long the restore took")
    elif seconds > limit:
        yield _finding(
            "slow_restore", f"The restore took {show_seconds(seconds)}, and max_restore_time is {show_seconds(limit)}"
        )


def _of_records(namespaces: Mapping[str, NamespaceResult], rules: RestoreTestRules) -> Iterator[TestFinding]:
    found = [finding for row in namespaces.values() for finding in row["findings"]]
    reference = sum(row["reference_count"] or 0 for row in namespaces.values())
    counts = dict.fromkeys(_LIMITS.values(), 0)
    for finding in found:
        if finding["kind"] in _LIMITS:
            counts[_LIMITS[finding["kind"]]] += finding["count"]
    for finding in found:
        kind = finding["kind"]
        limit_name = _LIMITS.get(kind)
        share = counts[limit_name] / max(1, reference) if limit_name else 0.0
        limit = float(getattr(rules, limit_name)) if limit_name else 0.0
        fails = share > limit if limit_name else kind != "extra"
        text = f"{_LABELS[kind]}: {finding['count']:,}"
        if finding["parts"]:
            text += f" ({', '.join(f'{part}: {number:,}' for part, number in finding['parts'].items())})"
        if limit_name:
            text += f"; in all namespaces, {100 * share:.4g}% of the index, and {limit_name} is {100 * limit:.4g}%"
        yield _finding(
            kind,
            text,
            finding["namespace"],
            fails=fails,
            count=finding["count"],
            ids=finding["ids"],
            parts={str(part): number for part, number in finding["parts"].items()},
        )


def _changed_digests(now: Mapping[str, str | None], before: Mapping[str, str]) -> Iterator[TestFinding]:
    for name, digest in now.items():
        if digest == before.get(name):
            continue
        if name not in before:
            if digest is not None and digest.split(":")[1] == "0":
                continue
            text = "An earlier test of the same backup did not have this namespace"
        else:
            text = (
                f"An earlier test of the same backup had the digest {before[name]}, and this one {digest or 'has none'}"
            )
        yield _finding("digest_changed", text, name)
