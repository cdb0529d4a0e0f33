"""The last report of an audit: when it was made, what it says, and the rules by which the page judges the indexes."""

from __future__ import annotations

import glob
import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from airflow_pinecone.api.models import parse_time
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.policy import IndexRules, Policy

log = logging.getLogger(__name__)

# Returns the id of the last run of a task and its return value, or None.
ReadResult = Callable[[str, str], tuple[str, Any] | None]


class AuditReport(NamedTuple):
    """The last report of an audit.

    Attributes:
        dag_id: The id of the DAG.
        task_id: The id of the task.
        run_id: The id of the run; empty if there is no report.
        made_at: When the report was made; None if it cannot be used.
        verdict: Its verdict.
        missing: The names of indexes that the audit requires and that do not exist.
        rules: The rules of each index.
        failure: Why there is no report, or why it cannot be used; empty if it can.
    """

    dag_id: str
    task_id: str
    run_id: str = ""
    made_at: datetime | None = None
    verdict: str = ""
    missing: tuple[str, ...] = ()
    rules: Mapping[str, IndexRules] = {}
    failure: str = ""

    def policy(self, default: IndexRules) -> Policy:
        """Return the rules of each index, with other rules for the indexes that the report does not have."""
        return Policy(default, {glob.escape(name): rules for name, rules in self.rules.items()})


def read_audit(task: tuple[str, str], default: IndexRules, read: ReadResult) -> AuditReport:
    """Read the last report of an audit. This does not fail: ``failure`` says why there is none.

    Args:
        task: The ids of its DAG and its task.
        default: The rules of the page, for what a report of an earlier version does not have.
        read: Reads the last result of a task.
    """
    audit = AuditReport(*task)
    try:
        found = read(*task)
    except Exception:
        log.exception("The report of the audit %s.%s could not be read.", *task)
        return audit._replace(failure="It could not be read from XCom. The log of the API server has the error.")
    if found is None:
        return audit._replace(failure="There is none in XCom. Check that the DAG has run, and the option ui_audit.")
    audit = audit._replace(run_id=found[0])
    try:
        return _parse(audit, found[1], default)
    except (PineconeInputError, TypeError, KeyError, ValueError):
        return audit._replace(
            failure="Its XCom is not a report of AuditBackupsOperator. A custom XCom backend may store it elsewhere."
        )


def _parse(audit: AuditReport, report: Any, default: IndexRules) -> AuditReport:
    report = json.loads(report) if isinstance(report, str) else report
    made_at = parse_time(report["as_of"])
    if made_at is None:
        raise ValueError("as_of")
    rules = {}
    for row in report["indexes"]:
        name = str(row["index_name"])
        # Reports of earlier versions only have max_age.
        rules[name] = IndexRules(
            row["max_age"],
            row.get("max_restore_age"),
            row.get("min_records", default.min_records),
            # An audit that compares nothing does not say that the records are still there.
            default.max_shrink if row.get("max_shrink") is None else row["max_shrink"],
            row.get("max_copy_age"),
        )
        rules[name].validate()
    missing = tuple(map(str, report["missing"]))
    return audit._replace(made_at=made_at, verdict=str(report["verdict"]), missing=missing, rules=rules)
