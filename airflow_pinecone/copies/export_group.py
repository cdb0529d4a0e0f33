"""The task group that copies an index to an object store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from airflow.providers.common.compat.sdk import TaskGroup, conf

from airflow_pinecone.assets import copy_asset
from airflow_pinecone.common.durations import is_number, validate_duration
from airflow_pinecone.common.inputs import is_template, validate_bools, validate_index_name
from airflow_pinecone.common.text import show_value
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.operators.copy_export import ExportPartsOperator, FinishCopyOperator
from airflow_pinecone.operators.copy_plan import DeleteCopyScratchOperator, ListIdsOperator, PlanCopyOperator
from airflow_pinecone.operators.restore import CreateIndexFromBackupOperator
from airflow_pinecone.runtime.task import check_task_args
from airflow_pinecone.sensors.record_counts import RecordCountsSensor

# Airflow's default of retries is 0, and an index that is not deleted costs money.
_DELETE_RETRIES = 3


def export_backup(
    index_name: str,
    *,
    destination: Any,
    group_id: str = "export_backup",
    source: Literal["backup", "index"] = "backup",
    backup_id: str | None = None,
    conn_id: str = "pinecone_default",
    max_read_units: float | None = None,
    max_bytes: float | None = None,
    part_bytes: float = 256_000_000,
    pool: str | None = None,
    deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
    settle_timeout: float | timedelta = timedelta(minutes=15),
    outlets: Sequence[Any] = (),
    **task_args: Any,
) -> TaskGroup:
    """Copy a backup to an object store: restore it into a scratch index, export each record, and delete the index.

    The tasks are ``plan``, ``restore``, ``settle``, ``list_ids``, ``export`` (mapped over the parts), ``finish`` and
    ``delete_scratch``. With ``source="index"``, they are ``plan``, ``list_ids``, ``export`` and ``finish``. The XCom of
    ``finish`` describes the copy. The workers need the extra ``copies`` of this package, and the Airflow provider of
    the object store.

    The copy is in ``DESTINATION/SOURCE_INDEX_ID/BACKUP_ID``, and is complete when its manifest exists. A retry or a
    clear continues with the parts that are complete. Later runs use the parts of the first one, also with another
    ``part_bytes``. With ``source="index"``, the copy is in ``DESTINATION/INDEX_NAME/live-TIME-RUN``, and a clear of the
    whole group of a finished run writes a new one.

    Args:
        index_name: The index (templated). For a backup, it may have been deleted.
        destination: The folder of all copies (templated): a URL such as ``s3://aws_default@bucket/pinecone``, or an
            ObjectStoragePath.
        group_id: The id of the task group.
        source: ``backup`` copies a backup. ``index`` copies the index itself, without a scratch index: records that
            are written meanwhile may be missing, and the copy is marked as not frozen.
        backup_id: The backup (templated); None chooses the newest Ready one.
        conn_id: The Airflow connection with the API key (templated).
        max_read_units: The maximum of the estimated cost, in read units; None does not limit it. Above it, only a
            sample of up to 100 records is read.
        max_bytes: The maximum of the estimated bytes of the responses, which Pinecone bills as egress; None does not
            limit them.
        part_bytes: The bytes of the records of a part before compression, about.
        pool: The pool of the tasks ``export``. All of them read the same index, whose rate limits they share.
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        settle_timeout: Seconds until the copy no longer waits for the counts of the restored index, or a timedelta.
        outlets: Assets that the task ``finish`` updates. ``copy_asset(index_name)`` is one of them, unless
            ``index_name`` is a template.
        task_args: Arguments of all tasks, such as ``retries``. ``delete_scratch`` has 3 retries.

    Returns:
        The task group.

    Raises:
        PineconeInputError: An argument is invalid. This is a ValueError: the DAG cannot be imported.

    Reference: https://docs.pinecone.io/guides/index-data/import-data
    """
    check_task_args(task_args)
    if not is_template(index_name):
        validate_index_name(index_name)
        outlets = [copy_asset(index_name), *outlets]
    validate_bools(deferrable=deferrable)
    if source not in ("backup", "index"):
        raise PineconeInputError(f"source must be 'backup' or 'index', not {show_value(source)}.")
    if source == "index" and backup_id is not None:
        raise PineconeInputError("backup_id needs source='backup'.")
    for name, limit in {"max_read_units": max_read_units, "max_bytes": max_bytes}.items():
        if limit is not None and not (is_number(limit) and limit >= 0):
            raise PineconeInputError(f"{name} must be a number, 0 or above, or None, not {show_value(limit)}.")
    if not (is_number(part_bytes) and part_bytes > 0):
        raise PineconeInputError(f"part_bytes must be a number above 0, not {show_value(part_bytes)}.")
    settle_seconds = validate_duration(settle_timeout, "settle_timeout")
    # Its annotation does not fit its converter.
    defaults: Any = task_args
    with TaskGroup(group_id, default_args=defaults) as group:
        plan = PlanCopyOperator(
            task_id="plan",
            conn_id=conn_id,
            index_name=index_name,
            source=source,
            backup_id=backup_id,
            destination=destination,
            max_read_units=max_read_units,
        )
        planned: Any = plan.output
        list_ids = ListIdsOperator(
            task_id="list_ids",
            conn_id=conn_id,
            plan=planned,
            part_bytes=part_bytes,
            max_read_units=max_read_units,
            max_bytes=max_bytes,
        )
        if source == "backup":
            restore = CreateIndexFromBackupOperator(
                task_id="restore",
                conn_id=conn_id,
                backup_id=planned["backup_id"],
                index_name=planned["scratch"],
                tags=planned["tags"],
                deferrable=deferrable,
            )
            restored: Any = restore.output
            settle = RecordCountsSensor(
                task_id="settle",
                conn_id=conn_id,
                plan=planned,
                restore=restored,
                parts=1,
                deferrable=deferrable,
                timeout=settle_seconds,
            )
            settle >> list_ids
        export = ExportPartsOperator.partial(
            task_id="export", conn_id=conn_id, plan=planned, **({"pool": pool} if pool else {})
        ).expand(part=list_ids.output)
        finish = FinishCopyOperator(task_id="finish", plan=planned, outlets=list(outlets))
        export >> finish
        if source == "backup":
            delete = DeleteCopyScratchOperator(
                task_id="delete_scratch", conn_id=conn_id, plan=planned, retries=_DELETE_RETRIES
            )
            # ``plan`` is a setup because a failed restore may have created the index, too. ``restore`` is one because a
            # clear of a later task must also clear it: the index was deleted.
            export >> delete.as_teardown(setups=[plan, restore], on_failure_fail_dagrun=True)
    return group
