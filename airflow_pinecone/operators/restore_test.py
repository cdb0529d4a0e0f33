"""The operators of a restore test. ``airflow_pinecone.restore_test`` connects them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_pinecone.api.models import count_of, created_at, xcom_safe
from airflow_pinecone.common.inputs import validate_id, validate_index_name
from airflow_pinecone.common.text import counted, explain, insert_before_ids, iso, show_time
from airflow_pinecone.errors import PineconePermanentError, RestoreTestFailed
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.operators.scratch import DOCUMENTS_VERSION, DeleteScratchOperator, ScratchOperator, version_advice
from airflow_pinecone.rules.restore_cost import estimate, why_too_expensive
from airflow_pinecone.rules.restore_test import (
    MAX_QUERIED_NAMESPACES,
    NamespaceRow,
    Part,
    PartResult,
    Plan,
    choose_backup,
    seed_of,
)
from airflow_pinecone.rules.scratch import run_digest, scratch_tags
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.links import LINKS, push_links
from airflow_pinecone.runtime.tries import start_try

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ChooseBackupOperator(ScratchOperator):
    """Choose the backup of a restore test, and estimate what the test costs.

    All tries choose the same backup, unless there is a newer one. All tries of a run, also after a clear, have the same
    name for the scratch index, and delete the one that an earlier one has left.

    Args:
        index_name: The index whose backup to test (templated). It may have been deleted.
        choose: ``newest`` or ``random``.
        last: From how many of the newest Ready backups to choose at random.
        seed: Selects the backup, the sample and the queries; None derives it from the run.
        compare_to_index: Whether to compare the records with those of the index, if it exists.
        sample: The share of the records to read.
        queries: The number of queries for each namespace.
        max_read_units: The maximum of the estimated read units; None does not limit them.
        conn_id: The Airflow connection with the API key (templated).

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
    """

    template_fields: Sequence[str] = ("index_name", "conn_id")
    operator_extra_links = LINKS
    purpose = "restore test"
    failed = RestoreTestFailed

    def __init__(
        self,
        *,
        index_name: str,
        choose: str,
        last: int,
        seed: int | None,
        compare_to_index: bool,
        sample: float,
        queries: int,
        max_read_units: float | None,
        conn_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, multiple_outputs=True, **kwargs)
        self.index_name = index_name
        self.choose = choose
        self.last = last
        self.seed = seed
        self.compare_to_index = compare_to_index
        self.sample = sample
        self.queries = queries
        self.max_read_units = max_read_units

    def execute(self, context: Context) -> Plan:
        """Choose a backup.

        Args:
            context: The context of the task.

        Returns:
            The plan of the test: ``backup``, ``backup_id``, ``scratch``, ``tags``, ``compare``, ``estimate``, ``seed``
            and others.

        Raises:
            AirflowFailException: There is no Ready backup, the test would cost too much, the API version of the
                connection cannot read the records, Pinecone rejected a request, or the name or the connection is
                invalid; not retried.
            PineconeTransientError: A request failed; a retry can succeed.
            WaitTimeout: The scratch index of an earlier try was not deleted, or still exists; a retry can succeed.
        """
        with fail_without_retry():
            return self._choose(context)

    def _choose(self, context: Context) -> Plan:
        index_name = validate_index_name(self.index_name)
        this_try = start_try(context, self.clock.time())
        run = run_digest(this_try.origin)
        scratch, indexes = self.prepare(run)
        seed = seed_of(this_try.origin.run_id) if self.seed is None else self.seed
        last = self.last if self.choose == "random" else 1
        backup = choose_backup(self.ready_backups(index_name), last=last, seed=seed)
        backup_id = validate_id(backup["backup_id"], "backup")
        push_links(context, backup_id, self)
        index = indexes.get(index_name)
        self.check_version([backup, index])
        why = self._why_not_compared(index is not None)
        reference = None if why else self.hook.records(index_name).stats()
        cost = estimate(backup, reference=reference, sample=self.sample, queries=self.queries)
        plan = Plan(
            test_id=f"{this_try.origin.digest}-{this_try.number}",
            run=run,
            index_name=index_name,
            backup_id=backup_id,
            # The schema of a backup has the names of metadata fields as keys.
            backup=xcom_safe(backup),
            scratch=scratch,
            tags=scratch_tags(run, backup_id, self.clock.utcnow()),
            compare=not why,
            why_not_compared=why,
            sample=self.sample,
            seed=seed,
            estimate=cost,
            started_at=iso(this_try.run_started_at or self.clock.utcnow()),
        )
        self._log_plan(plan, len(indexes))
        if too_expensive := why_too_expensive(cost, self.max_read_units):
            raise RestoreTestFailed(
                explain(
                    f"The restore test of index {index_name} was not started.",
                    too_expensive,
                    "Increase max_read_units, or read a sample.",
                    f"Backup id: {backup_id}.",
                )
            )
        return plan

    def _why_not_compared(self, index_exists: bool) -> str:
        if not self.compare_to_index:
            return "compare_to_index is not set"
        if not index_exists:
            return f"no index has the name {self.index_name}"
        return ""

    def _log_plan(self, plan: Plan, indexes: int) -> None:
        created = created_at(plan["backup"])
        count, cost = count_of(plan["backup"].get("record_count")), plan["estimate"]
        self.log.info(
            "Testing backup %s of index %s, created at %s, with %s. It is restored into index %s.",
            plan["backup_id"],
            plan["index_name"],
            show_time(created) if created else "an unknown time",
            "an unknown number of records" if count is None else counted(count, "record"),
            plan["scratch"],
        )
        self.log.info(
            "The project has %s. The restored one is one more while the test runs.", counted(indexes, "index")
        )
        if plan["why_not_compared"]:
            self.log.info("The records are not compared with those of an index: %s.", plan["why_not_compared"])
        if cost["read_units"] is None:
            self.log.info("The cost is unknown, because the record_count of the backup is.")
        else:
            size = cost["response_bytes"]
            self.log.info(
                "Estimate: %s read units, %s, %s minutes to read the records.",
                f"{cost['read_units']:,}",
                "unknown response bytes" if size is None else f"{size:,} response bytes",
                cost["minutes"],
            )


class CheckRecordsOperator(PineconeOperator):
    """Read the records of some namespaces of a restored index, and check them.

    A namespace is compared with the one of the index while both are read, so only a few batches are in memory. An
    index that changes meanwhile differs.

    Args:
        plan: The result of the first task of the restore test (templated).
        part: The namespaces to check (templated).
        queries: The number of queries for each namespace.
        top_k: The number of nearest records that a query must find.
        conn_id: The Airflow connection with the API key (templated).

    Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/list
    and https://docs.pinecone.io/reference/api/2025-10/data-plane/fetch
    """

    template_fields: Sequence[str] = ("plan", "part", "conn_id")

    def __init__(self, *, plan: Plan, part: Part, queries: int, top_k: int, conn_id: str, **kwargs: Any) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.plan = plan
        self.part = part
        self.queries = queries
        self.top_k = top_k

    def execute(self, context: Context) -> PartResult:
        """Check the records.

        Args:
            context: The context of the task.

        Returns:
            ``namespaces`` with the result of each one, ``usage`` and ``seconds``. A difference does not fail this task.

        Raises:
            AirflowFailException: Pinecone rejected a request, or the connection is invalid; not retried.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        with fail_without_retry():
            try:
                return self._check()
            except PineconePermanentError as error:
                # Older versions reject the requests, and do not show that it is a document index.
                if error.status_code != 400 or self.hook.settings.is_since(DOCUMENTS_VERSION):
                    raise
                text = insert_before_ids(str(error), f"If it is a document index: {version_advice(self.hook)}")
                raise RestoreTestFailed(text, reason=error.reason) from error

    def _check(self) -> PartResult:
        # The hook reports that numpy is missing.
        records = self.hook.records(self.plan["scratch"])
        reference = self.hook.records(self.plan["index_name"]) if self.part["compare"] else None
        from airflow_pinecone.runtime.namespace_check import QueryCheck, check_namespace
        from airflow_pinecone.runtime.progress import Progress

        progress = Progress([reader for reader in (records, reference) if reader], self.clock, self.log.info)
        stats = records.stats()
        counts = {row["name"]: row["records"] for row in self.part["namespaces"]}
        queried = set(sorted(counts, key=lambda name: (-counts[name], name))[:MAX_QUERIED_NAMESPACES])
        rows = []
        for name in counts:
            queries = QueryCheck(records, name, queries=self.queries, top_k=self.top_k, seed=self.plan["seed"])
            why_not = self._why_no_queries(name in queried) or queries.why_impossible
            result = check_namespace(
                name,
                records,
                reference,
                sample=self.plan["sample"],
                seed=self.plan["seed"],
                expected=stats.get(name),
                queries=None if why_not else queries,
                progress=progress,
            )
            result["why_no_recall"] = result["why_no_recall"] or why_not
            rows.append(NamespaceRow(**result, namespace=name))
        self.log.info(
            "Read %s of %s in %.0f s.",
            counted(progress.records, "record"),
            counted(len(counts), "namespace"),
            progress.seconds,
        )
        return PartResult(
            test_id=self.part["test_id"],
            restore_job_id=self.part["restore_job_id"],
            namespaces=rows,
            usage=progress.usage,
            seconds=round(progress.seconds, 3),
            ended_at=self.clock.utcnow().isoformat(),
        )

    def _why_no_queries(self, is_large: bool) -> str:
        if not self.queries:
            return "queries is 0"
        if self.plan["sample"] < 1:
            return "only a sample of the records was read"
        return "" if is_large else f"a task queries only its {MAX_QUERIED_NAMESPACES} largest namespaces"


class DeleteTestScratchOperator(DeleteScratchOperator):
    """Delete the scratch index of a restore test."""

    purpose = "restore test"
    failed = RestoreTestFailed
