"""The task group that imports a copy into an index, and proves it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from airflow.providers.common.compat.sdk import TaskGroup, conf

from airflow_pinecone.common.durations import validate_duration
from airflow_pinecone.common.inputs import is_template, validate_bools, validate_index_name
from airflow_pinecone.common.text import show_value
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.operators.import_copy import (
    MODEL_KEY,
    PLAN_KEY,
    TAGS_KEY,
    URI_KEY,
    ImportReportOperator,
    PlanImportOperator,
    ProveImportOperator,
    UpsertPartsOperator,
)
from airflow_pinecone.operators.new_index import DeleteDrillIndexOperator, EnsureIndexOperator
from airflow_pinecone.operators.start_import import StartImportOperator
from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT, check_task_args
from airflow_pinecone.sensors.imported_counts import ImportedCountsSensor

# Airflow's default of retries is 0, and an index that is not deleted costs money.
_DELETE_RETRIES = 3
# Seconds until the proof starts although the counts of the index have not settled.
_SETTLE_TIMEOUT = 15 * 60.0
# A mapped task without parts is skipped, and so is the whole group if the task before it is.
_AFTER_SKIPPED = "none_failed_min_one_success"


def import_copy(
    copy: Any,
    index_name: str,
    *,
    conn_id: str = "pinecone_default",
    group_id: str = "import_copy",
    integration_id: str | None = None,
    uri: str | None = None,
    method: Literal["auto", "import", "upsert"] = "auto",
    on_error: Literal["continue", "abort"] = "continue",
    into_existing: bool = False,
    cloud: str | None = None,
    region: str | None = None,
    tags: dict[str, str] | None = None,
    deletion_protection: str | None = None,
    pool: str | None = None,
    deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
    timeout: float | timedelta = DEFAULT_TIMEOUT,
    delete_index: bool = False,
    **task_args: Any,
) -> TaskGroup:
    """Import a copy into an index, and prove that the index has all its records.

    The tasks are ``plan``, ``create``, ``start_import`` (only with ``method="import"``), ``upsert`` (mapped over the
    parts of the copy), ``settle``, ``prove`` (mapped over the namespaces) and ``report``. The XCom of ``report`` is the
    result; it fails unless the import is proved. The workers need the extra ``copies`` of this package, and the Airflow
    provider of the object store.

    The proof reads all records of the index, and compares their number and their digest with those of the copy. Missing
    records are upserted, and the namespace is proved again: a bulk import skips records with the same values as others.

    Args:
        copy: The folder of the copy (templated): a URL such as
            ``s3://aws_default@bucket/pinecone/INDEX_ID/BACKUP_ID``, an ObjectStoragePath, or the XCom of an export.
        index_name: The index to import into (templated). It is created like the one that was copied. One that exists
            is only used if it has no records, and the same dimension, metric and vector type.
        conn_id: The Airflow connection with the API key (templated). It may be of another project.
        group_id: The id of the task group.
        integration_id: The storage integration with which Pinecone reads the copy (templated); None for a public one.
        uri: How Pinecone reaches the folder ``data`` of the copy (templated); None derives it from ``copy``, without
            the id of the Airflow connection.
        method: ``import`` lets Pinecone import the files. Namespaces with a schema, and those whose name cannot be the
            name of a folder, are upserted. ``upsert`` upserts all records. ``auto`` imports if ``integration_id`` or
            ``uri`` is set.
        on_error: ``abort`` fails the import at an invalid record, and at one with the same values as another one.
            ``continue`` skips the record, and the proof upserts it.
        into_existing: Whether to add the records to an index that has others. They are upserted. A record whose id
            exists is not changed, also if it has other content: the result counts these as ``kept``.
        cloud: The cloud of a new index (templated); None or an empty text for that of the original.
        region: The region of a new index (templated); None or an empty text for that of the original.
        tags: The tags of a new index (templated); None for those of the original.
        deletion_protection: ``enabled`` or ``disabled`` for a new index (templated); None is disabled.
        pool: The pool of the tasks ``upsert`` and ``prove``. All of them use the same index, whose rate limits they
            share.
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        timeout: Seconds until the wait for the bulk import times out, or a timedelta; 6 hours by default.
        delete_index: Whether to delete the index at the end, whatever the proof has shown. This is for a drill. An
            index that existed before is kept.
        task_args: Arguments of all tasks, such as ``retries``.

    Returns:
        The task group.

    Raises:
        PineconeInputError: An argument is invalid. This is a ValueError: the DAG cannot be imported.

    Reference: https://docs.pinecone.io/guides/index-data/import-data
    """
    check_task_args(task_args)
    if not is_template(index_name):
        validate_index_name(index_name)
    validate_bools(into_existing=into_existing, deferrable=deferrable, delete_index=delete_index)
    if method not in ("auto", "import", "upsert"):
        raise PineconeInputError(f"method must be 'auto', 'import' or 'upsert', not {show_value(method)}.")
    if method == "import" and into_existing:
        raise PineconeInputError("into_existing needs method='upsert': Pinecone does not import into existing records.")
    is_import = method == "import" or (method == "auto" and not (integration_id is None and uri is None))
    imports = is_import and not into_existing
    if delete_index and deletion_protection is not None:
        raise PineconeInputError("delete_index needs an index without deletion_protection.")
    timeout_seconds = validate_duration(timeout, "timeout")
    in_pool = {"pool": pool} if pool else {}
    # Its annotation does not fit its converter.
    defaults: Any = task_args
    with TaskGroup(group_id, default_args=defaults) as group:
        plan = PlanImportOperator(
            task_id="plan",
            conn_id=conn_id,
            copy=copy,
            index_name=index_name,
            method="import" if imports else "upsert",
            into_existing=into_existing,
            uri=uri,
            tags=tags,
            delete_index=delete_index,
        )
        outputs: Any = plan.output
        planned = outputs[PLAN_KEY]
        create = EnsureIndexOperator(
            task_id="create",
            conn_id=conn_id,
            model=outputs[MODEL_KEY],
            index_name=index_name,
            tags=outputs[TAGS_KEY],
            cloud=cloud,
            region=region,
            deletion_protection=deletion_protection,
            into_existing=into_existing,
        )
        upsert = UpsertPartsOperator.partial(
            task_id="upsert", conn_id=conn_id, plan=planned, index=create.output, **in_pool
        ).expand(part=plan.output)
        imported: Any = None
        if imports:
            start = StartImportOperator(
                task_id="start_import",
                conn_id=conn_id,
                index_name=index_name,
                uri=outputs[URI_KEY],
                integration_id=integration_id,
                on_error=on_error,
                deferrable=deferrable,
                timeout=timeout_seconds,
            )
            imported = start.output
            # An import needs namespaces that do not exist, so it comes first.
            create >> start >> upsert
        settle = ImportedCountsSensor(
            task_id="settle",
            conn_id=conn_id,
            plan=planned,
            upserts=upsert.output,
            bulk_import=imported,
            deferrable=deferrable,
            timeout=_SETTLE_TIMEOUT,
            trigger_rule=_AFTER_SKIPPED,
        )
        prove = ProveImportOperator.partial(task_id="prove", conn_id=conn_id, plan=planned, **in_pool).expand(
            part=settle.output
        )
        ImportReportOperator(
            task_id="report",
            conn_id=conn_id,
            plan=planned,
            upserts=upsert.output,
            proofs=prove.output,
            bulk_import=imported,
            trigger_rule=_AFTER_SKIPPED,
        )
        create >> settle
        if delete_index:
            delete = DeleteDrillIndexOperator(
                task_id="delete_index",
                conn_id=conn_id,
                index_name=index_name,
                plan_task_id=plan.task_id,
                retries=_DELETE_RETRIES,
            )
            # Without a setup: the tasks after one need the rule ``all_success``.
            # Not after ``report``: both decide on the run, and neither may hide the failure of the other.
            prove >> delete.as_teardown(on_failure_fail_dagrun=True)
    return group
