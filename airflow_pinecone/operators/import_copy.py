"""The operators that import a copy and prove it. ``airflow_pinecone.copies`` connects them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_pinecone.api.models import parse_time
from airflow_pinecone.common.inputs import validate_index_name
from airflow_pinecone.common.text import counted, explain
from airflow_pinecone.errors import CopyRefused
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.rules.scratch import run_digest, scratch_tags
from airflow_pinecone.runtime.copies import open_copy, rows_of, url_of_copy
from airflow_pinecone.runtime.copy_reports import check_not_damaged
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.task import max_mapped_tasks
from airflow_pinecone.runtime.tries import start_try

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.rules.copy_import import ImportPlan, Method, UpsertItem
    from airflow_pinecone.rules.copy_proof import ImportResult, ProofItem

# Under these keys, the first task of an import pushes what the other ones need.
PLAN_KEY, MODEL_KEY, TAGS_KEY, URI_KEY = "plan", "model", "tags", "uri"
# Seconds until a proof no longer waits for the records that it has upserted.
_SETTLE_SECONDS = 15 * 60.0


class PlanImportOperator(PineconeOperator):
    """Read the manifest of a copy, and plan its import.

    Args:
        copy: The folder of the copy (templated): a URL, an ObjectStoragePath, or a dict with ``url``, such as the
            result of an export.
        index_name: The index to import into (templated).
        method: ``import`` or ``upsert``.
        into_existing: Whether the index may have records.
        uri: How Pinecone reaches the data of the copy (templated); None derives it from its URL.
        tags: The tags of a new index (templated); None for those of the index that was copied.
        delete_index: Whether the index will be deleted at the end. Then its tags say that it is a scratch index.
        conn_id: The Airflow connection with the API key (templated).
    """

    template_fields: Sequence[str] = ("copy", "index_name", "uri", "tags", "conn_id")

    def __init__(
        self,
        *,
        copy: Any,
        index_name: str,
        method: Method,
        into_existing: bool,
        uri: str | None,
        tags: dict[str, str] | None,
        delete_index: bool,
        conn_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.copy = copy
        self.index_name = index_name
        self.method = method
        self.into_existing = into_existing
        self.uri = uri
        self.tags = tags
        self.delete_index = delete_index

    def execute(self, context: Context) -> list[UpsertItem]:
        """Plan the import.

        Args:
            context: The context of the task.

        Returns:
            The parts that each ``upsert`` task writes. The plan is in XCom, under ``plan``.

        Raises:
            AirflowFailException: The copy is incomplete or invalid, or cannot be imported; not retried.
            CopyFailed: The store failed; a retry can succeed.
        """
        with fail_without_retry():
            return self._plan(context)

    def _plan(self, context: Context) -> list[UpsertItem]:
        from airflow_pinecone.rules.copy_import import model_of, plan_of, tags_of_copy, upsert_items

        url = url_of_copy(self.copy)
        copy = open_copy(url)
        manifest = copy.manifest
        check_not_damaged(copy.store, f"The copy was not imported into index {self.index_name}.")
        plan = plan_of(
            manifest,
            url=url,
            index_name=validate_index_name(self.index_name),
            method=self.method,
            into_existing=self.into_existing,
            uri=self.uri,
        )
        if self.method == "import":
            copy.check_no_other_files()
        self._log_plan(plan)
        tags = tags_of_copy(manifest) if self.tags is None else self.tags
        if self.delete_index:
            origin = start_try(context, self.clock.time()).origin
            tags = tags | scratch_tags(run_digest(origin), plan["backup_id"] or "copy", self.clock.utcnow(), "copy")
        ti = context["ti"]
        ti.xcom_push(key=PLAN_KEY, value=plan)
        ti.xcom_push(key=MODEL_KEY, value=model_of(manifest))
        ti.xcom_push(key=TAGS_KEY, value=tags)
        ti.xcom_push(key=URI_KEY, value=plan["uri"])
        return upsert_items(manifest, self.method, max_mapped_tasks())

    def _log_plan(self, plan: ImportPlan) -> None:
        cost = plan["estimate"]
        self.log.info(
            "Importing the copy of index %s of %s into index %s: %s in %s.",
            plan["source"],
            plan["created_at"],
            plan["index_name"],
            counted(plan["records"], "record"),
            counted(plan["namespaces"], "namespace"),
        )
        for note in plan["notes"]:
            self.log.warning(note)
        if cost["import_bytes"]:
            self.log.info("Pinecone imports %s, %.3f GB.", plan["uri"], cost["import_bytes"] / 1e9)
        if plan["upserted_namespaces"]:
            self.log.info("%s by upserts.", counted(plan["upserted_namespaces"], "namespace"))
        self.log.info(
            "Estimate: %s write units in %s requests with %s bytes, %s read units, %s minutes to write.",
            f"{cost['write_units']:,}",
            f"{cost['requests']:,}",
            f"{cost['request_bytes']:,}",
            f"{cost['read_units']:,}",
            cost["minutes"],
        )


class UpsertPartsOperator(PineconeOperator):
    """Upsert some parts of a copy. A retry, and a task that is cleared, only add the records that are missing.

    Args:
        plan: The plan of the import (templated).
        index: The result of the task that has created or found the index (templated).
        part: The parts (templated).
        conn_id: The Airflow connection with the API key (templated).

    Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/upsert
    """

    template_fields: Sequence[str] = ("plan", "index", "part", "conn_id")

    def __init__(
        self, *, plan: ImportPlan, index: Mapping[str, Any], part: UpsertItem, conn_id: str, **kwargs: Any
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.plan = plan
        self.index = index
        self.part = part

    def execute(self, context: Context) -> dict[str, Any]:
        """Upsert the parts.

        Args:
            context: The context of the task.

        Returns:
            The number of ``parts`` and of their ``records``, how many were ``written``, ``usage`` and ``seconds``.

        Raises:
            AirflowFailException: A part is missing or damaged, Pinecone rejected a record, or the connection is
                invalid; not retried.
            CopyFailed: The store failed; a retry can succeed.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        with fail_without_retry():
            return self._upsert(context)

    def _upsert(self, context: Context) -> dict[str, Any]:
        # The hook reports that a package is missing.
        writer = self.hook.writer(self.plan["index_name"])
        records = self.hook.records(self.plan["index_name"]) if self._only_adds(context) else None
        from airflow_pinecone.copying.prove import create_with_schema, upsert_part
        from airflow_pinecone.runtime.progress import Progress

        copy = open_copy(self.plan["url"])
        namespaces = {row["name"]: row for row in copy.manifest["namespaces"]}
        by_number = {part["number"]: part for part in copy.manifest["parts"]}
        parts = [by_number[number] for number in self.part["parts"]]
        progress = Progress(
            [each for each in (writer, records) if each],
            self.clock,
            self.log.info,
            total=sum(part["records"] for part in parts),
        )
        written = 0
        for part in parts:
            create_with_schema(writer, namespaces[part["namespace"]])
            count = upsert_part(copy, part, writer, records, progress.add)
            written += count
            self.log.info("Upserted part %d: %d of %s.", part["number"], count, counted(part["records"], "record"))
        return {
            "parts": len(parts),
            "records": progress.records,
            "written": written,
            "usage": {**progress.usage, "request_bytes": writer.usage.request_bytes},
            "seconds": round(progress.seconds, 3),
        }

    def _only_adds(self, context: Context) -> bool:
        """Return whether the index may have records that others have written: they must not be overwritten."""
        this_try = start_try(context, self.clock.time())
        checked_at, started_at = parse_time(self.index.get("checked_at")), this_try.run_started_at
        # A clear of this task only can be weeks after the index was found empty.
        was_checked = checked_at is not None and (started_at is None or checked_at >= started_at)
        is_empty = was_checked and self.index.get("empty") is True and this_try.number == 1
        return self.plan["into_existing"] or not is_empty


class ProveImportOperator(PineconeOperator):
    """Prove that an index has the records of some namespaces of a copy, and upsert those that are missing.

    Args:
        plan: The plan of the import (templated).
        part: The namespaces (templated).
        conn_id: The Airflow connection with the API key (templated).

    Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/list
    and https://docs.pinecone.io/reference/api/2025-10/data-plane/fetch
    """

    template_fields: Sequence[str] = ("plan", "part", "conn_id")

    def __init__(self, *, plan: ImportPlan, part: ProofItem, conn_id: str, **kwargs: Any) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.plan = plan
        self.part = part

    def execute(self, context: Context) -> dict[str, Any]:
        """Prove the namespaces.

        Args:
            context: The context of the task.

        Returns:
            ``namespaces`` with the proof of each one, ``usage`` and ``seconds``. A difference does not fail this task.

        Raises:
            AirflowFailException: A part of the copy is missing or damaged, Pinecone rejected a request, or the
                connection is invalid; not retried.
            CopyFailed: The store failed; a retry can succeed.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        with fail_without_retry():
            return self._prove()

    def _prove(self) -> dict[str, Any]:
        # The hook reports that a package is missing.
        records, writer = self.hook.records(self.plan["index_name"]), self.hook.writer(self.plan["index_name"])
        from airflow_pinecone.copying.prove import NamespaceProver, create_with_schema
        from airflow_pinecone.runtime.progress import Progress

        copy = open_copy(self.plan["url"])
        progress = Progress([records, writer], self.clock, self.log.info)
        prover = NamespaceProver(
            copy,
            records,
            writer,
            into_existing=self.plan["into_existing"],
            clock=self.clock,
            settle_seconds=_SETTLE_SECONDS,
            on_records=progress.add,
        )
        proofs = []
        rows = {row["name"]: row for row in copy.manifest["namespaces"]}
        for name in self.part["namespaces"]:
            if name in rows and not rows[name]["records"]:
                # No part has created it.
                create_with_schema(writer, rows[name])
            proof = prover.prove(name)
            proofs.append(proof)
            if proof["repaired"]:
                self.log.warning(
                    "Namespace %s: %s were missing, and were upserted.", name, counted(proof["repaired"], "record")
                )
        self.log.info("Read %s in %.0f s.", counted(progress.records, "record"), progress.seconds)
        return {
            "namespaces": proofs,
            "usage": {**progress.usage, "request_bytes": writer.usage.request_bytes},
            "seconds": round(progress.seconds, 3),
        }


class ImportReportOperator(PineconeOperator):
    """Report the result of an import, and fail unless it is proved.

    Args:
        plan: The plan of the import (templated).
        upserts: The results of the upserts (templated).
        proofs: The results of the proofs (templated).
        bulk_import: The bulk import (templated); None if there is none.
        conn_id: The Airflow connection with the API key.
    """

    template_fields: Sequence[str] = ("plan", "upserts", "proofs", "bulk_import", "conn_id")

    def __init__(
        self, *, plan: ImportPlan, upserts: Any, proofs: Any, bulk_import: Any, conn_id: str, **kwargs: Any
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.plan = plan
        self.upserts = upserts
        self.proofs = proofs
        self.bulk_import = bulk_import

    def execute(self, context: Context) -> ImportResult:
        """Report the result.

        Args:
            context: The context of the task.

        Returns:
            ``verdict``, ``namespaces``, ``problems``, ``repaired``, ``usage`` and others. It is in XCom also if the
            import is not proved.

        Raises:
            AirflowFailException: The import is not proved; not retried.
            AirflowSkipException: The import was skipped.
        """
        if self.plan is None:
            raise AirflowSkipException("The import was skipped.")
        from airflow_pinecone.rules.copy_proof import result_of

        proofs = rows_of(self.proofs)
        usages = [row["usage"] for row in [*rows_of(self.upserts), *proofs]]
        namespaces = [proof for row in proofs for proof in row["namespaces"]]
        result = result_of(self.plan, namespaces, usages, self.bulk_import)
        for note in result["notes"]:
            self.log.warning(note)
        if result["verdict"] == "failed":
            # A task that fails returns nothing.
            context["ti"].xcom_push(key="return_value", value=result)
            for problem in result["problems"]:
                self.log.error("Not proved: %s.", problem)
            with fail_without_retry():
                raise self._failure(result, is_repeated=context["ti"].try_number > 1)
        if result["verdict"] == "added":
            self.log.warning(
                "Index %s has the ids of all %s of the copy, but %s other content and were not changed.",
                result["index_name"],
                counted(result["records"], "record"),
                f"{counted(result['kept'], 'record')} had",
            )
            return result
        self.log.info(
            "Proved: index %s has the %s of the copy, in %s.",
            result["index_name"],
            counted(result["records"], "record"),
            counted(result["namespace_count"], "namespace"),
        )
        return result

    def _failure(self, result: ImportResult, *, is_repeated: bool) -> CopyRefused:
        reason = result["problems"][0]
        more = f", and {len(result['problems']) - 1} more" if len(result["problems"]) > 1 else ""
        return CopyRefused(
            explain(
                f"Index {result['index_name']} does not have the records of the copy.",
                f"{reason}{more}",
                "Its other records are unchanged. Check the copy with VerifyCopyOperator, and clear the import."
                if self.plan["into_existing"]
                else "If the index was used since an earlier run of this task, it differs for that reason: keep it."
                if is_repeated
                else "Do not use the index. Delete it, check the copy with VerifyCopyOperator, and import it again.",
                f"Copy: {result['url']}.",
            ),
            reason=reason,
        )
