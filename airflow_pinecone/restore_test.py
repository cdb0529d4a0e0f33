"""The task group that tests whether a backup can be restored with all its records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from airflow.providers.common.compat.sdk import TaskGroup, conf

from airflow_pinecone.assets import restore_test_asset
from airflow_pinecone.common.durations import is_number, validate_duration, validate_optional_duration
from airflow_pinecone.common.inputs import is_template, validate_bools, validate_index_name
from airflow_pinecone.common.text import show_value
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.operators.restore import CreateIndexFromBackupOperator
from airflow_pinecone.operators.restore_report import RestoreReportOperator
from airflow_pinecone.operators.restore_test import (
    CheckRecordsOperator,
    ChooseBackupOperator,
    DeleteTestScratchOperator,
)
from airflow_pinecone.rules.restore_test import RestoreTestRules
from airflow_pinecone.runtime.task import check_task_args
from airflow_pinecone.sensors.record_counts import RecordCountsSensor

__all__ = ["restore_test"]

# Airflow maps a task at most so many times, unless [core] max_map_length is set.
_MAX_PARTS = 1024
# The nearest records of all queries of a namespace.
_MAX_NEIGHBORS = 100_000
# Airflow's default of retries is 0, and an index that is not deleted costs money.
_DELETE_RETRIES = 3


def restore_test(
    index_name: str,
    *,
    group_id: str = "restore_test",
    conn_id: str = "pinecone_default",
    choose: Literal["newest", "random"] = "newest",
    last: int = 10,
    seed: int | None = None,
    compare_to_index: bool = True,
    max_missing: float = 0.0,
    max_changed: float = 0.0,
    max_read_units: float | None = None,
    max_restore_time: float | timedelta | None = None,
    sample: float = 1.0,
    queries: int = 10,
    top_k: int = 10,
    min_recall: float = 0.9,
    parts: int = 16,
    report_to: Any = None,
    deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
    settle_timeout: float | timedelta = timedelta(minutes=15),
    outlets: Sequence[Any] = (),
    **task_args: Any,
) -> TaskGroup:
    """Test a backup: restore it into a scratch index, check each record, report, and delete the scratch index.

    The tasks are ``choose``, ``restore``, ``settle``, ``check`` (mapped over parts of the namespaces), ``report`` and
    ``delete_scratch``. The task ``report`` fails unless the test has passed; its XCom is the record of the test. The
    workers need the extra ``records`` of this package.

    A record that is missing or differs, an unknown or another record count, and an index without records fail the test.
    Records that were added to the index or changed after the backup look the same as damage: allow them with
    ``max_missing`` and ``max_changed``.

    Args:
        index_name: The index whose backup to test (templated). It may have been deleted.
        group_id: The id of the task group.
        conn_id: The Airflow connection with the API key (templated).
        choose: ``newest`` tests the newest Ready backup, and ``random`` one of the ``last`` ones. All tries of a run
            choose the same one.
        last: How many of the newest Ready backups ``random`` chooses from.
        seed: Selects the backup, the sample and the queries. None derives it from the id of the run.
        compare_to_index: Whether to compare each record with the one of the index, if the index exists.
        max_missing: The share of the records of the index that may be missing in the backup, from 0 to 1.
        max_changed: The share of the records of the index that may differ in the backup, from 0 to 1. Records that
            could not be compared count, too.
        max_read_units: The maximum of the estimated cost, in read units; None does not limit it. Above it, nothing is
            restored.
        max_restore_time: The maximum duration of the restore job, in seconds or as a timedelta; None does not limit it.
        sample: The share of the records to read, above 0 and at most 1. All ids are listed. A sample has no queries,
            and its digests are not compared with those of earlier tests.
        queries: The number of queries for each namespace with dense vectors; 0 sends none.
        top_k: The number of nearest records that a query must find. ``queries * top_k`` is at most 100,000.
        min_recall: The share of them that the queries of a namespace must find on average, from 0 to 1.
        parts: The maximum number of ``check`` tasks, from 1 to 1024.
        report_to: The folder for the records of the tests (templated): a URL or an ObjectStoragePath. The records are
            in ``INDEX/BACKUP_ID/TIME.json``, and the last one is in ``INDEX/latest.json``. The digests are compared
            with those of the oldest passed test of the same backup. None writes no file.
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        settle_timeout: Seconds until the test no longer waits for the counts of the restored index, or a timedelta.
            Then its records are read nevertheless.
        outlets: Assets that the task ``report`` updates if the test has passed. ``restore_test_asset(index_name)`` is
            one of them, unless ``index_name`` is a template.
        task_args: Arguments of all tasks, such as ``pool`` and ``retries``. ``delete_scratch`` has 3 retries.

    Returns:
        The task group.

    Raises:
        PineconeInputError: An argument is invalid. This is a ValueError: the DAG cannot be imported.

    Reference: https://docs.pinecone.io/guides/manage-data/restore-an-index
    """
    check_task_args(task_args)
    if not is_template(index_name):
        validate_index_name(index_name)
        outlets = [restore_test_asset(index_name), *outlets]
    validate_bools(compare_to_index=compare_to_index, deferrable=deferrable)
    if choose not in ("newest", "random"):
        raise PineconeInputError(f"choose must be 'newest' or 'random', not {show_value(choose)}.")
    _validate_integers(last=(last, 1, None), queries=(queries, 0, 1000), top_k=(top_k, 1, 10_000))
    _validate_integers(parts=(parts, 1, _MAX_PARTS), **({} if seed is None else {"seed": (seed, None, None)}))
    if queries * top_k > _MAX_NEIGHBORS:
        raise PineconeInputError(
            f"queries * top_k must be at most {_MAX_NEIGHBORS:,}, not {queries:,} * {top_k:,}: all are in memory."
        )
    _validate_shares(max_missing=max_missing, max_changed=max_changed, min_recall=min_recall, sample=sample)
    if sample == 0:
        raise PineconeInputError("sample must be above 0.")
    if max_read_units is not None and not (is_number(max_read_units) and max_read_units >= 0):
        raise PineconeInputError(f"max_read_units must be a number, 0 or above, not {show_value(max_read_units)}.")
    rules = RestoreTestRules(
        max_missing, max_changed, validate_optional_duration(max_restore_time, "max_restore_time"), min_recall
    )
    settle_seconds = validate_duration(settle_timeout, "settle_timeout")
    parameters = {
        "choose": choose,
        "last": last,
        "compare_to_index": compare_to_index,
        "max_missing": max_missing,
        "max_changed": max_changed,
        "max_read_units": max_read_units,
        "max_restore_seconds": rules.max_restore_seconds,
        "sample": sample,
        "queries": queries,
        "top_k": top_k,
        "min_recall": min_recall,
        "settle_seconds": settle_seconds,
    }
    # Its annotation does not fit its converter.
    defaults: Any = task_args
    with TaskGroup(group_id, default_args=defaults) as group:
        plan = ChooseBackupOperator(
            task_id="choose",
            conn_id=conn_id,
            index_name=index_name,
            choose=choose,
            last=last,
            seed=seed,
            compare_to_index=compare_to_index,
            sample=sample,
            queries=queries,
            max_read_units=max_read_units,
        )
        chosen: Any = plan.output
        restore = CreateIndexFromBackupOperator(
            task_id="restore",
            conn_id=conn_id,
            backup_id=chosen["backup_id"],
            index_name=chosen["scratch"],
            tags=chosen["tags"],
            deferrable=deferrable,
        )
        restored: Any = restore.output
        settle = RecordCountsSensor(
            task_id="settle",
            conn_id=conn_id,
            plan=chosen,
            restore=restored,
            parts=parts,
            deferrable=deferrable,
            timeout=settle_seconds,
        )
        check = CheckRecordsOperator.partial(
            task_id="check", conn_id=conn_id, plan=chosen, queries=queries, top_k=top_k
        ).expand(part=settle.output)
        report = RestoreReportOperator(
            task_id="report",
            conn_id=conn_id,
            results=check.output,
            task_ids={"choose": plan.task_id, "restore": restore.task_id, "settle": settle.task_id},
            rules=rules,
            parameters=parameters,
            report_to=report_to,
            outlets=list(outlets),
            trigger_rule="all_done",
        )
        delete = DeleteTestScratchOperator(
            task_id="delete_scratch", conn_id=conn_id, plan=chosen, retries=_DELETE_RETRIES
        )
        # Not after ``choose``: the tasks after a setup need the rule ``all_success``.
        [restore, settle] >> report
        # The setup is ``choose``, because a failed restore may have created the index, too. Both ``report`` and
        # ``delete_scratch`` decide on the run: neither may hide the failure of the other.
        check >> delete.as_teardown(setups=plan, on_failure_fail_dagrun=True)
    return group


def _validate_integers(**values: tuple[Any, int | None, int | None]) -> None:
    for name, (value, least, most) in values.items():
        if type(value) is int and (least is None or value >= least) and (most is None or value <= most):
            continue
        limits = "" if least is None else f", {least} or above" if most is None else f" from {least} to {most:,}"
        raise PineconeInputError(f"{name} must be an integer{limits}, not {show_value(value)}.")


def _validate_shares(**values: Any) -> None:
    for name, value in values.items():
        if not (is_number(value) and 0 <= value <= 1):
            raise PineconeInputError(f"{name} must be a number from 0 to 1, not {show_value(value)}.")
