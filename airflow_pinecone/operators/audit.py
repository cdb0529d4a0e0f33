"""The operator that fails if indexes of a project have no fresh backup."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_pinecone.common.inputs import is_template, validate_bools
from airflow_pinecone.common.text import cell, counted, show_seconds, show_value, text_table
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.policy import IndexRules, Policy, validate_patterns, validate_statuses
from airflow_pinecone.rules.copied import copy_state
from airflow_pinecone.rules.report import rows_with_problems
from airflow_pinecone.runtime.copies import url_of_copy
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.links import absolute_page_url
from airflow_pinecone.runtime.metrics import send_audit_metrics
from airflow_pinecone.runtime.task import checked_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.policy import Status
    from airflow_pinecone.rules.report import BackupFacts, IndexReport, ReadCopies, ReadRestoreTests, Report

# The error names at most this many indexes. The log has all of them.
_LISTED_INDEXES = 10


class AuditFailed(AirflowFailException):
    """The audit has found problems. Templates of a notifier can use the attributes, such as ``exception.headline``.

    Attributes:
        headline: The worst index and how many more there are, such as ``Index docs is late, and 2 more failed``.
        page_url: The URL of the worst index on the page of this package; empty if this Airflow cannot show it.
    """

    def __init__(self, message: str, headline: str, page_url: str) -> None:
        super().__init__(message)
        self.headline = headline
        self.page_url = page_url


class AuditBackupsOperator(PineconeOperator):
    """Fail if indexes of the project have no fresh backup, whichever DAG or schedule should have created it.

    The task lists the indexes, the backups and the restore jobs of the project once. It logs a table with a row for
    each index, the worst first. An index can have several of these statuses, and its row shows the worst:

    - ``unprotected``: it has no Ready backup.
    - ``late``: its newest Ready backup is as old as ``max_age``, or older, or its newest copy outside of Pinecone is
      missing, unknown, or as old as ``max_copy_age``.
    - ``failing``: a backup that is newer than the newest Ready one failed, the newest Ready one does not satisfy
      ``min_records`` or ``max_shrink``, or a restore test of an existing backup failed, and no later one clears it.
    - ``untested``: none of its existing backups was restored within ``max_restore_age``. With ``restore_tests``, none
      has passed a restore test.
    - ``ok``: none of these.

    Pinecone cannot back up some indexes, such as pod-based ones, and a restore test creates a scratch index. They are
    listed, and fail the task only if ``include`` names them without a wildcard. Backups of deleted indexes, and of
    earlier indexes with the same name, are listed, but do not count. The API does not return the id of an index, so if
    a name is reused, backups of the earlier index can count until the new index has its first backup, unless Pinecone
    says that their index was deleted: API version 2026-07 and the newer form of 2026-04 do.

    Args:
        max_age: How old the newest Ready backup of an index may be, in seconds or as a timedelta of up to 365 days.
        max_restore_age: How long ago one of the backups must have been restored, in seconds or as a timedelta; None
            requires no restore. With ``restore_tests``, it must have passed a restore test.
        min_records: The minimum number of records in the newest Ready backup; None is 1, and 0 permits an empty one.
        max_shrink: The share of the records of the previous Ready backup, from 0 to 1, that may be missing in the
            newest one; None compares nothing.
        include: A pattern for the names of the indexes, such as ``prod-*``, or several. A name without a wildcard must
            exist.
        exclude: A pattern for names to leave out, or several.
        policy: Other rules for some indexes. A key is a pattern for names, or ``tag:KEY=PATTERN`` for a tag of the
            index, such as ``tag:tier=gold``. The first key that matches an index decides: its IndexRules replace all
            rules above.
        fail_on: The statuses that fail the task. It also fails if there is no index to report. An empty list only
            reports.
        restore_tests: The folder to which restore tests write their records (``report_to``), as a URL such as
            ``s3://aws_default@bucket/restore-tests`` or an ObjectStoragePath (templated). This is one request for each
            index, and more if its last test does not decide on its status. Records that cannot be read prove nothing,
            and the log has a warning. None reads no records.
        copies: The ``destination`` of exports, for the newest copy of each index, as a URL such as
            ``s3://aws_default@bucket/pinecone`` or an ObjectStoragePath (templated). This is a few requests for each
            index. None reads no copies.
        max_copy_age: How old the newest copy outside of Pinecone may be, in seconds or as a timedelta; None requires
            none. It needs ``copies``. A copy is as old as its backup.
        include_schedules: Whether to read the backup schedules of Pinecone, with one request for each index of the
            report. The log then shows their next runs, and warns of an index that a schedule and this package back up
            within ``max_age``. They need API version 2026-07 or later. If they cannot be read, the log has a warning.
        conn_id: The Airflow connection with the API key (templated).

    Raises:
        PineconeInputError: An argument is invalid. This is a ValueError: the DAG cannot be imported.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_project_backups
    """

    template_fields: Sequence[str] = ("restore_tests", "copies", "conn_id")
    ui_color = "#fff3c4"

    def __init__(
        self,
        *,
        max_age: float | timedelta,
        max_restore_age: float | timedelta | None = None,
        min_records: int | None = None,
        max_shrink: float | None = None,
        include: str | Sequence[str] = "*",
        exclude: str | Sequence[str] = (),
        policy: Mapping[str, IndexRules] | None = None,
        fail_on: Sequence[Status] = ("unprotected", "late", "failing"),
        restore_tests: Any = None,
        copies: Any = None,
        max_copy_age: float | timedelta | None = None,
        include_schedules: bool = False,
        conn_id: str = "pinecone_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.max_age = max_age
        self.max_restore_age = max_restore_age
        self.min_records = min_records
        self.max_shrink = max_shrink
        self.include = include
        self.exclude = exclude
        self.policy = {} if policy is None else policy
        self.fail_on = fail_on
        self.restore_tests = restore_tests
        self.copies = copies
        self.max_copy_age = max_copy_age
        self.include_schedules = include_schedules
        with checked_arguments():
            self._policy.validate()
            validate_patterns(include, "include")
            validate_patterns(exclude, "exclude")
            validate_statuses(fail_on)
            validate_bools(include_schedules=include_schedules)
            _validate_folder(restore_tests)
            if copies is not None and not is_template(copies):
                url_of_copy(copies, "copies")
            if copies is None and self._policy.needs_copies:
                raise PineconeInputError("max_copy_age needs copies, the destination of the exports.")

    def execute(self, context: Context) -> Report:
        """List, report, and fail if the report has one of the statuses of ``fail_on``.

        Args:
            context: The context of the task.

        Returns:
            The report: ``as_of``, ``verdict``, ``indexes`` (a dict for each index), ``missing``, ``unmatched``,
            ``unsupported``, ``leftovers``, ``scratch_indexes`` and ``backup_count``. If the task fails, it also pushes
            the report to XCom.

        Raises:
            AirflowFailException: Indexes have one of the statuses, Pinecone rejected a request, or the connection is
                invalid; not retried. In the first case, it has the attributes ``headline`` and ``page_url``, for the
                templates of a notifier.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        with fail_without_retry():
            report = self.hook.backup_report(
                self._policy,
                include=self.include,
                exclude=self.exclude,
                include_schedules=self.include_schedules,
                read_restore_tests=self._read_restore_tests(),
                read_copies=self._read_copies(),
            )
        self.log.info("%s\n%s", report["verdict"], _format(report))
        if report["unmatched"]:
            self.log.warning("Keys of policy that match no index of the project: %s.", ", ".join(report["unmatched"]))
        for row in report["indexes"]:
            if row["is_backed_up_twice"] and row["schedule"]:
                self.log.warning(
                    "Index %s is backed up twice: by its backup schedule %s, and by this package. Each backup counts "
                    "towards the quota.",
                    row["index_name"],
                    show_value(row["schedule"]["name"]),
                )
        self._log_failure_of("send the metrics", partial(send_audit_metrics, report))
        failed = rows_with_problems(report["indexes"], self.fail_on)
        if self.fail_on and (failed or report["missing"] or report["invalid"] or not report["indexes"]):
            if self.do_xcom_push:
                # Airflow only stores what a successful task returns.
                push = partial(context["ti"].xcom_push, key="return_value", value=report)
                self._log_failure_of("store the report", push)
            raise self._error(report, failed)
        return report

    def _error(self, report: Report, failed: list[IndexReport]) -> AuditFailed:
        found = [f"Index {cell(row['index_name'])} is {row['status']}" for row in failed]
        found += [f"Index {cell(name)} does not exist" for name in report["missing"]]
        if report["invalid"]:
            found.append("The audit is not complete")
        if not report["indexes"]:
            found.insert(0, "No index can be backed up")
        headline = found[0] if len(found) == 1 else f"{found[0]}, and {len(found) - 1} more failed"
        path = f"indexes/{quote(failed[0]['index_name'], safe='')}" if failed else ""
        return AuditFailed(_message(report, failed, headline), headline, absolute_page_url(path, self.conn_id))

    def _log_failure_of(self, what: str, function: Callable[[], object]) -> None:
        """Call a function whose failure must not replace the outcome of the audit."""
        try:
            function()
        except Exception:
            self.log.warning("Could not %s.", what, exc_info=True)

    def _read_restore_tests(self) -> ReadRestoreTests | None:
        if self.restore_tests is None:
            return None
        from airflow_pinecone.runtime.restore_reports import read_tests

        _validate_folder(self.restore_tests)
        return partial(read_tests, self.restore_tests, now=self.clock.utcnow())

    def _read_copies(self) -> ReadCopies | None:
        if self.copies is None:
            return None
        from airflow_pinecone.runtime.copy_reports import read_copies

        return partial(read_copies, url_of_copy(self.copies, "copies"))

    @property
    def _policy(self) -> Policy:
        default = IndexRules(self.max_age, self.max_restore_age, self.min_records, self.max_shrink, self.max_copy_age)
        return Policy(default, self.policy)


def _validate_folder(value: Any) -> None:
    # A path has such a method. A template can be empty when it is rendered.
    if value is not None and not (value.strip() if isinstance(value, str) else hasattr(value, "iterdir")):
        raise PineconeInputError(f"restore_tests must be the URL of a folder or a path, not {show_value(value)}.")


def _message(report: Report, failed: list[IndexReport], headline: str) -> str:
    lines = [
        f"{cell(row['index_name'])} ({row['status']}): {'; '.join(problem['text'] for problem in row['problems'])}."
        for row in failed[:_LISTED_INDEXES]
    ]
    if len(failed) > _LISTED_INDEXES:
        lines.append(f"The log has {len(failed) - _LISTED_INDEXES} more.")
    lines += [f"There is no index {cell(name)}, which include names." for name in report["missing"]]
    lines += report["invalid"]
    advice = "The log names the task that created the newest backup of each index. Check its last runs."
    if report["invalid"] and not failed:
        advice = "An index without a backup could be among the invalid rows of Pinecone's lists."
    if not report["indexes"]:
        advice = "Check include, exclude and the API key: an audit of no indexes finds no problems."
    # A line can begin with the name of an index, which keeps its case.
    return "\n".join([f"{headline}.", *lines, advice])


def _of(newest: BackupFacts | None, value: Any, show: Callable[[Any], str]) -> str:
    """Return a value of the newest Ready backup; empty without such a backup."""
    if newest is None:
        return ""
    return "unknown" if value is None else show(value)


def _change(row: IndexReport) -> str:
    if row["newest_ready"] and row["previous_known"] and row["previous"] is None:
        return "no earlier one"
    return _of(row["newest_ready"], row["record_change"], "{:+.1%}".format)


def _last_restore(row: IndexReport, report: Report) -> str:
    restore, test = row["last_restore"], row["passed_restore_test"]
    if row["restore_tests_known"] is False:
        return "unknown"
    if row["failed_restore_test"]:
        return "test failed"
    if test:
        age = "unknown" if test["age"] is None else f"tested {show_seconds(test['age'])} ago"
        return f"{age} (a sample)" if test["sampled"] else age
    if row["restore_tests_known"]:
        return "restored, not tested" if restore else "not tested"
    if restore is None:
        return "never" if report["restores_known"] else "unknown"
    return "unknown" if restore["age"] is None else f"{show_seconds(restore['age'])} ago"


def _format(report: Report) -> str:
    """Format the report as a table with a row for each index, and lines for what is not in it."""
    restore = "last restore" if all(row["restore_tests_known"] is None for row in report["indexes"]) else "restore test"
    copy = ["copy"] if any(row["copies_known"] is not None for row in report["indexes"]) else []
    rows: list[tuple[str, ...]] = [
        ("status", "index", "newest Ready", "age", "max_age", "records", "change", "backups", restore, *copy, "task")
    ]
    for row in report["indexes"]:
        newest = row["newest_ready"]
        rows.append(
            (
                row["status"],
                cell(row["index_name"]),
                newest["created_at"] if newest else "none",
                _of(newest, row["age"], show_seconds),
                show_seconds(row["max_age"]),
                _of(newest, newest and newest["record_count"], str),
                _change(row),
                str(row["backup_count"]),
                _last_restore(row, report),
                *([copy_state(row["copies_known"], row["newest_copy"])] if copy else []),
                _of(newest, newest and newest["created_by"], lambda by: cell(f"{by['dag_id']}.{by['task_id']}")),
            )
        )
    lines = [text_table(rows)] if report["indexes"] else []
    for row in report["indexes"]:
        lines += [f"{cell(row['index_name'])}: {problem['text']}." for problem in row["problems"]]
    lines += [
        f"{cell(row['index_name'])}: its backup schedule {cell(row['schedule']['name'])} runs next at "
        f"{cell(row['schedule']['next_scheduled_run'] or 'an unknown time')}."
        for row in report["indexes"]
        if row["schedule"]
    ]
    lines += [f"{cell(name)}: {why}, so Pinecone cannot back it up." for name, why in report["unsupported"].items()]
    lines += [
        f"{cell(name)}: scratch index of a restore test or a copy. If none is running, delete it: it costs money."
        for name in report["scratch_indexes"]
    ]
    for leftover in report["leftovers"]:
        name = cell(leftover["index_name"] or "(no name)")
        lines.append(
            f"{name}: {counted(leftover['backup_count'], 'backup')} of the {leftover['reason']} "
            f"{cell(leftover['source_index_id'])}."
        )
    lines.append(f"The project has {counted(report['backup_count'], 'backup')}.")
    return "\n".join(lines)
