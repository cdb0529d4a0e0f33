"""The operators that plan the copy of an index, and list its ids. ``airflow_pinecone.copies`` connects them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_pinecone.api.models import count_of, created_at, document_fields, why_unsupported, xcom_safe
from airflow_pinecone.common.inputs import validate_id, validate_index_name
from airflow_pinecone.common.text import counted, explain, iso, one_line, show_time
from airflow_pinecone.copying.store import check_not_deleted
from airflow_pinecone.errors import CopyFailed, CopyRefused
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.operators.scratch import DeleteScratchOperator, ScratchOperator
from airflow_pinecone.rules.copy_format import STARTED, encode
from airflow_pinecone.rules.copy_plan import (
    CopyEstimate,
    CopyPlan,
    ExportTask,
    columns_of,
    estimate_copy,
    export_tasks,
    folder_of_copy,
    records_per_part,
    size_of,
    why_too_large,
)
from airflow_pinecone.rules.restore_cost import estimate, why_too_expensive
from airflow_pinecone.rules.scratch import run_digest, scratch_tags, source_tags
from airflow_pinecone.runtime.copies import check_packages, copy_store, url_of_copy
from airflow_pinecone.runtime.copy_reports import check_not_damaged
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.links import LINKS, push_links
from airflow_pinecone.runtime.task import max_mapped_tasks
from airflow_pinecone.runtime.tries import start_try

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.api.models import BackupModel, IndexModel
    from airflow_pinecone.api.records import IndexRecords

# So many records are read to learn how large a record is.
_SAMPLE = 100


class PlanCopyOperator(ScratchOperator):
    """Choose the backup of a copy, name its scratch index and its folder, and check that the index can be copied.

    All tries of a run, also after a clear, have the same name for the scratch index, and delete the one that an earlier
    one has left.

    Args:
        index_name: The index (templated). For a backup, it may have been deleted.
        source: ``backup`` or ``index``.
        backup_id: The backup (templated); None chooses the newest Ready one.
        destination: The folder of all copies (templated): a URL or an ObjectStoragePath.
        max_read_units: The maximum of the estimated read units; None does not limit them.
        conn_id: The Airflow connection with the API key (templated).

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
    """

    template_fields: Sequence[str] = ("index_name", "backup_id", "destination", "conn_id")
    operator_extra_links = LINKS
    purpose = "copy"
    failed = CopyRefused

    def __init__(
        self,
        *,
        index_name: str,
        source: str,
        backup_id: str | None,
        destination: Any,
        max_read_units: float | None,
        conn_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, multiple_outputs=True, **kwargs)
        self.index_name = index_name
        self.source = source
        self.backup_id = backup_id
        self.destination = destination
        self.max_read_units = max_read_units

    def execute(self, context: Context) -> CopyPlan:
        """Plan the copy.

        Args:
            context: The context of the task.

        Returns:
            The plan: ``backup_id``, ``scratch``, ``tags``, ``url`` and others.

        Raises:
            AirflowFailException: There is no Ready backup, the index cannot be copied, the copy would cost too much,
                Pinecone rejected a request, or an argument or the connection is invalid; not retried.
            PineconeTransientError: A request failed; a retry can succeed.
            WaitTimeout: The scratch index of an earlier try was not deleted, or still exists; a retry can succeed.
        """
        with fail_without_retry():
            return self._plan(context)

    def _plan(self, context: Context) -> CopyPlan:
        index_name = validate_index_name(self.index_name)
        this_try = start_try(context, self.clock.time())
        run = run_digest(this_try.origin)
        check_packages()
        destination = url_of_copy(self.destination, "destination")
        copy_store(destination)
        scratch, indexes = self.prepare(run)
        backup = self._backup(index_name) if self.source == "backup" else None
        index = indexes.get(index_name)
        if backup is None and index is None:
            raise CopyRefused(explain(self.what, f"no index has the name {index_name}", "Check index_name."))
        self._check(backup, index)
        if backup is not None:
            push_links(context, backup["backup_id"], self)
        started_at = this_try.run_started_at or self.clock.utcnow()
        plan = CopyPlan(
            test_id=f"{this_try.origin.digest}-{this_try.number}",
            run=run,
            source=self.source,
            index_name=index_name,
            read_from=scratch if backup else index_name,
            backup_id=backup["backup_id"] if backup else "",
            # The schema of a backup has the names of metadata fields as keys.
            backup=xcom_safe(backup),
            scratch=scratch if backup else "",
            tags=scratch_tags(run, backup["backup_id"], self.clock.utcnow(), "copy") if backup else {},
            compare=False,
            why_not_compared="it is a copy",
            url=f"{destination}/{folder_of_copy(index_name, backup, run, started_at)}",
            started_at=iso(started_at),
        )
        store = copy_store(plan["url"])
        check_not_deleted(store, index_name)
        # The parts of a damaged copy would be taken for complete ones.
        check_not_damaged(store, self.what)
        store.write(STARTED, encode({"started_at": plan["started_at"], "run": run}))
        self._log_plan(plan, len(indexes))
        return plan

    def _backup(self, index_name: str) -> BackupModel:
        ready = self.ready_backups(index_name)
        if self.backup_id is None:
            return ready[0]
        backup_id = validate_id(self.backup_id, "backup")
        found = next((backup for backup in ready if backup["backup_id"] == backup_id), None)
        if found is None:
            why = f"index {index_name} has no Ready backup {backup_id}"
            raise CopyRefused(explain(self.what, why, "Check backup_id."))
        return found

    def _check(self, backup: BackupModel | None, index: IndexModel | None) -> None:
        """Check that the index can be copied, as far as this is known before the restore."""
        models: list[Any] = [model for model in (backup, index if backup is None else None) if model]
        if any(document_fields(model) is not None for model in models):
            why = "it is a document index, whose records Pinecone cannot import from such files"
            raise CopyRefused(explain(self.what, why, "Copy its documents with the Documents API of Pinecone."))
        if index is not None and backup is None and (why := why_unsupported(index)):
            raise CopyRefused(explain(self.what, why, "Copy another index."))
        if backup is not None:
            count = count_of(backup.get("record_count"))
            if count is None:
                why = "Pinecone does not return how many records its backup has, so a copy could lack some"
                raise CopyRefused(explain(self.what, why, "Copy another backup."))
            if count == 0:
                raise CopyRefused(explain(self.what, "its backup has no records", "Check the index."))
            cost = estimate(backup, reference=None, sample=1.0, queries=0)
            if too_expensive := why_too_expensive(cost, self.max_read_units):
                raise CopyRefused(explain(self.what, too_expensive, "Increase max_read_units."))

    def _log_plan(self, plan: CopyPlan, indexes: int) -> None:
        backup = plan["backup"]
        if backup is None:
            self.log.info(
                "Copying index %s to %s. Records that are written meanwhile may be missing.",
                plan["index_name"],
                plan["url"],
            )
            return
        created = created_at(backup)
        self.log.info(
            "Copying backup %s of index %s, created at %s, to %s. It is restored into index %s.",
            plan["backup_id"],
            plan["index_name"],
            show_time(created) if created else "an unknown time",
            plan["url"],
            plan["scratch"],
        )
        self.log.info(
            "The project has %s. The restored one is one more while the copy runs.", counted(indexes, "index")
        )


class ListIdsOperator(PineconeOperator):
    """Estimate what the reading costs, list the ids of the index, and group them into parts.

    Args:
        plan: The result of the first task of the copy (templated).
        part_bytes: The bytes of the records of a part, about.
        max_read_units: The maximum of the estimated read units; None does not limit them.
        max_bytes: The maximum of the estimated bytes of the responses; None does not limit them.
        conn_id: The Airflow connection with the API key (templated).

    Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/list
    """

    template_fields: Sequence[str] = ("plan", "conn_id")

    def __init__(
        self,
        *,
        plan: CopyPlan,
        part_bytes: float,
        max_read_units: float | None,
        max_bytes: float | None,
        conn_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.plan = plan
        self.part_bytes = part_bytes
        self.max_read_units = max_read_units
        self.max_bytes = max_bytes

    def execute(self, context: Context) -> list[ExportTask]:
        """List the ids.

        Args:
            context: The context of the task.

        Returns:
            The parts of each task that exports, with their number of records.

        Raises:
            AirflowFailException: The copy would cost too much, the index has no records, Pinecone rejected a request,
                or the connection is invalid; not retried.
            CopyFailed: The ids are not complete, or the store failed; a retry can succeed.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        with fail_without_retry():
            return self._list()

    def _list(self) -> list[ExportTask]:
        # The hook reports that a package is missing.
        records = self.hook.records(self.plan["read_from"])
        from airflow_pinecone.copying.export import list_parts

        is_frozen = self.plan["backup"] is not None
        details = records.namespace_details()
        counts = {name: row.record_count for name, row in details.items()}
        self._check_counts(counts, records.stats() if is_frozen else counts)
        record_bytes, response_bytes = self._sizes(records, counts)
        cost = estimate_copy(sum(counts.values()), len(counts), record_bytes, response_bytes)
        self._check_cost(cost)
        listing = list_parts(
            records,
            copy_store(self.plan["url"]),
            counts,
            schemas={name: row.schema for name, row in details.items() if row.schema},
            index={**records.index, "name": self.plan["index_name"], "tags": source_tags(records.index)},
            aliases=records.namespace_aliases(),
            columns=columns_of(records.index),
            records_per_part=records_per_part(self.part_bytes, record_bytes, sum(counts.values())),
            is_frozen=is_frozen,
            log=self.log.info,
        )
        tasks = export_tasks([part["ids"] for part in listing["parts"]], self.plan["test_id"], max_mapped_tasks())
        self.log.info(
            "Listed %s in %s, which %s export.",
            counted(sum(part["ids"] for part in listing["parts"]), "id"),
            counted(len(listing["parts"]), "part"),
            counted(len(tasks), "task"),
        )
        return tasks

    @property
    def _what(self) -> str:
        return f"The copy of index {self.plan['index_name']} was not written."

    def _check_counts(self, counts: Mapping[str, int], stats: Mapping[str, int]) -> None:
        total = sum(counts.values())
        if not total:
            raise CopyRefused(explain(self._what, "the index has no records", "Check the index or the backup."))
        backup = self.plan["backup"]
        expected = count_of(backup.get("record_count")) if backup else total
        # A namespace can be in the stats or in the list only, for a while.
        reported = [total, sum(stats.values())]
        if any(number != expected for number in reported):
            number = next(number for number in reported if number != expected)
            raise CopyFailed(
                explain(
                    self._what,
                    f"its backup has {expected:,} records, and the restored index reports {number:,}",
                    "The counts can lag behind: a retry reads them again. If they stay different, test the backup.",
                    f"Backup id: {self.plan['backup_id']}.",
                )
            )

    def _sizes(self, records: IndexRecords, counts: Mapping[str, int]) -> tuple[float, float]:
        """Return the mean bytes of a record in the copy and in a response, from the first records."""
        largest = min(counts, key=lambda name: (-counts[name], name))
        ids = records.list_page(largest, None).ids[: min(_SAMPLE, records.max_ids)]
        before = records.usage.response_bytes
        first = list(records.fetch(largest, ids).values())
        if not first:
            raise CopyFailed(
                explain(self._what, f"the first records of namespace {one_line(largest)} were not returned")
            )
        return sum(map(size_of, first)) / len(first), (records.usage.response_bytes - before) / len(first)

    def _check_cost(self, cost: CopyEstimate) -> None:
        self.log.info(
            "Estimate: %s records, %s read units, %s response bytes, %s bytes in the copy before compression, %s "
            "minutes in one task.",
            *(f"{value:,}" for value in cost.values()),
        )
        if why := why_too_large(cost, self.max_read_units, self.max_bytes):
            raise CopyRefused(explain(self._what, why, "Increase the limit, then clear the task group."))


class DeleteCopyScratchOperator(DeleteScratchOperator):
    """Delete the scratch index of a copy."""

    purpose = "copy"
    failed = CopyFailed
