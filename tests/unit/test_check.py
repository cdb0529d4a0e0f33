"""The check of a backup as a pure function: a table of cases, and the exactness of the share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pinecone.api.models import BackupModel
from airflow_pinecone.policy import CheckRules
from airflow_pinecone.rules.check import Baseline, backup_baseline, check_backup, index_baseline


def backup(**fields: Any) -> BackupModel:
    """Make a Ready backup with 80 records. A value of `...` removes the field."""
    model: Any = {
        "backup_id": "b-2",
        "source_index_id": "i-1",
        "source_index_name": "docs",
        "status": "Ready",
        "record_count": 80,
        "created_at": "2025-05-02T00:00:00.000000Z",
        **fields,
    }
    return {name: value for name, value in model.items() if value is not ...}  # type: ignore[return-value]


def earlier(count: Any) -> Baseline:
    return Baseline(kind="backup", id="b-1", record_count=count, created_at="2025-05-01T00:00:00.625540625Z")


def index(count: Any) -> Baseline:
    return Baseline(kind="index", id="docs", record_count=count, created_at=None)


# The fields of the backup, the baseline, the rules, and terms of the expected findings.
CASES: dict[str, tuple[dict[str, Any], Baseline | None, CheckRules, list[list[str]]]] = {
    # min_records
    "not empty": ({}, None, CheckRules(), []),
    "empty": ({"record_count": 0}, None, CheckRules(), [["empty"]]),
    "empty, and min_records is 0": ({"record_count": 0}, None, CheckRules(min_records=0), []),
    "one record": ({"record_count": 1}, None, CheckRules(), []),
    "min_records": ({}, None, CheckRules(min_records=80), []),
    "fewer than min_records": ({}, None, CheckRules(min_records=81), [["80 records", "min_records=81"]]),
    "one record, fewer than min_records": ({"record_count": 1}, None, CheckRules(min_records=2), [["1 record,"]]),
    # max_shrink
    "max_shrink": ({}, earlier(100), CheckRules(max_shrink=0.2), []),
    "more than max_shrink": (
        {"record_count": 79},
        earlier(100),
        CheckRules(max_shrink=0.2),
        [["79 records", "backup b-1 of 2025-05-01T00:00:00Z ", "100 records", "21%", "max_shrink=0.2", "20%"]],
    ),
    "more than max_shrink, compared with the index": (
        {"record_count": 79},
        index(100),
        CheckRules(max_shrink=0.2),
        [["79 records", "index docs", "100 records", "21%"]],
    ),
    "a baseline without max_shrink": ({"record_count": 1}, earlier(100), CheckRules(), []),
    "max_shrink is 0": ({"record_count": 100}, earlier(100), CheckRules(max_shrink=0), []),
    "smaller, and max_shrink is 0": ({"record_count": 99}, earlier(100), CheckRules(max_shrink=0), [["100 records"]]),
    "max_shrink is 1": ({"record_count": 1}, earlier(100), CheckRules(max_shrink=1), []),
    "larger": ({"record_count": 500}, earlier(100), CheckRules(max_shrink=0), []),
    "the baseline is empty": ({"record_count": 0}, earlier(0), CheckRules(min_records=0, max_shrink=0), []),
    "empty and smaller": ({"record_count": 0}, earlier(100), CheckRules(max_shrink=0.5), [["empty"], ["100%"]]),
    "no baseline": ({}, None, CheckRules(max_shrink=0.2), []),
    # A missing count
    "null": ({"record_count": None}, None, CheckRules(), [["its record_count is missing"]]),
    "missing": ({"record_count": ...}, None, CheckRules(), [["its record_count is missing"]]),
    "missing, and no rule needs it": ({"record_count": ...}, None, CheckRules(min_records=0), []),
    "missing, with a baseline that no rule needs": ({"record_count": ...}, earlier(100), CheckRules(min_records=0), []),
    "missing, without a baseline": ({"record_count": ...}, None, CheckRules(min_records=0, max_shrink=0.2), []),
    "missing, with a baseline": (
        {"record_count": ...},
        earlier(100),
        CheckRules(min_records=0, max_shrink=0.2),
        [["its record_count is missing"]],
    ),
    "missing in the baseline": ({}, earlier(None), CheckRules(max_shrink=0.2), [["backup b-1", "missing"]]),
    "missing in the index": ({}, index(None), CheckRules(max_shrink=0.2), [["index docs", "missing"]]),
    "missing in the baseline, which no rule needs": ({}, earlier(None), CheckRules(), []),
    "missing in both": (
        {"record_count": None},
        earlier(None),
        CheckRules(max_shrink=0.2),
        [["its record_count is missing"], ["backup b-1", "missing"]],
    ),
    # A value that is not a count
    "negative": ({"record_count": -1}, None, CheckRules(), [["its record_count is missing"]]),
    "negative, and no rule needs it": ({"record_count": -1}, None, CheckRules(min_records=0, max_shrink=0.2), []),
    "true": ({"record_count": True}, None, CheckRules(), [["its record_count is missing"]]),
    "text": ({"record_count": "many"}, None, CheckRules(), [["its record_count is missing"]]),
    "number as text": ({"record_count": "80"}, None, CheckRules(), []),
    "out of range": (
        {"record_count": -(10**400)},
        earlier(1),
        CheckRules(max_shrink=0.2),
        [["its record_count is missing"]],
    ),
    "out of range in the baseline": ({}, earlier(10**400), CheckRules(max_shrink=0.2), [["backup b-1", "missing"]]),
    # The status
    "running": ({"status": "Initializing", "record_count": ...}, None, CheckRules(), [["Initializing", "not Ready"]]),
    "failed": ({"status": "Failed"}, earlier(100), CheckRules(max_shrink=0), [["Failed", "not Ready"]]),
    "unknown status": ({"status": "SomethingNew"}, None, CheckRules(min_records=0), [["SomethingNew", "not Ready"]]),
}


@pytest.mark.parametrize(("fields", "baseline", "rules", "expected"), CASES.values(), ids=CASES)
def test_check(fields: dict[str, Any], baseline: Baseline | None, rules: CheckRules, expected: list[list[str]]) -> None:
    findings = check_backup(backup(**fields), baseline, rules)
    assert len(findings) == len(expected)
    for finding, terms in zip(findings, expected, strict=True):
        for term in terms:
            assert term in finding


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 100))
def test_share_in_whole_percent_is_exact(count: int, before: int, percent: int) -> None:
    """A backup that is smaller by exactly max_shrink passes: rounding does not make 0.3 of 1000 less than 300."""
    findings = check_backup(
        backup(record_count=count), earlier(before), CheckRules(min_records=0, max_shrink=percent / 100)
    )
    assert bool(findings) == (100 * (before - count) > percent * before)


@settings(deadline=None)
@given(st.integers(1, 10**7), st.integers(0, 100))
def test_share_at_the_limit_passes(hundredths: int, percent: int) -> None:
    """Random counts are rarely at the limit, so compute those that are."""
    rules = CheckRules(min_records=0, max_shrink=percent / 100)
    before, limit = 100 * hundredths, (100 - percent) * hundredths
    assert check_backup(backup(record_count=limit), earlier(before), rules) == []
    if limit > 0:
        assert check_backup(backup(record_count=limit - 1), earlier(before), rules) != []


def test_baseline_of_an_earlier_backup() -> None:
    expected = Baseline(kind="backup", id="b-2", record_count=80, created_at="2025-05-02T00:00:00.000000Z")
    assert backup_baseline(backup()) == expected
    bare = backup_baseline(backup(record_count=..., created_at=...))
    assert (bare["record_count"], bare["created_at"]) == (None, None)


def test_baseline_of_an_index() -> None:
    assert index_baseline("docs", {"totalVectorCount": 96, "namespaces": {}}) == index(96)
    assert index_baseline("docs", {}) == index(None)
