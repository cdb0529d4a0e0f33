"""The operators that export the parts of a copy, and write its manifest. ``airflow_pinecone.copies`` connects them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_pinecone import __version__
from airflow_pinecone.assets import add_copy_to_events
from airflow_pinecone.common.text import counted
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.rules.copy_plan import CopyPlan, ExportTask, copy_result
from airflow_pinecone.runtime.copies import copy_store
from airflow_pinecone.runtime.copy_reports import check_not_damaged
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.task import PineconeTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ExportPartsOperator(PineconeOperator):
    """Export some parts of a copy. Parts that an earlier try has exported are skipped.

    Args:
        plan: The result of the first task of the copy (templated).
        part: The parts (templated).
        conn_id: The Airflow connection with the API key (templated).

    Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/fetch
    """

    template_fields: Sequence[str] = ("plan", "part", "conn_id")

    def __init__(self, *, plan: CopyPlan, part: ExportTask, conn_id: str, **kwargs: Any) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.plan = plan
        self.part = part

    def execute(self, context: Context) -> dict[str, Any]:
        """Export the parts.

        Args:
            context: The context of the task.

        Returns:
            The number of ``parts``, those that were ``reused``, ``records``, ``bytes`` and ``seconds``.

        Raises:
            AirflowFailException: Pinecone rejected a request, the listing is invalid, or the connection is invalid; not
                retried.
            CopyFailed: A record is missing or invalid, or the store failed; a retry can succeed.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        with fail_without_retry():
            return self._export()

    def _export(self) -> dict[str, Any]:
        # The hook reports that a package is missing.
        records = self.hook.records(self.plan["read_from"])
        from airflow_pinecone.copying.export import export_part, read_listing
        from airflow_pinecone.runtime.progress import Progress

        store = copy_store(self.plan["url"])
        listing = read_listing(store)
        progress = Progress([records], self.clock, self.log.info, total=self.part["records"])
        parts, reused = [], 0
        for number in self.part["parts"]:
            before = records.usage.requests
            part = export_part(
                records,
                store,
                listing,
                number,
                is_frozen=self.plan["backup"] is not None,
                on_records=progress.add,
            )
            if records.usage.requests == before:
                progress.skip(part["records"])
                reused += 1
                self.log.info("Part %d was exported by an earlier try.", number)
            else:
                self.log.info(
                    "Exported part %d, the last one is %d: %s, %s bytes.",
                    number,
                    len(listing["parts"]) - 1,
                    counted(part["records"], "record"),
                    f"{part['bytes']:,}",
                )
            parts.append(part)
        return {
            "parts": len(parts),
            "reused": reused,
            "records": sum(part["records"] for part in parts),
            "bytes": sum(part["bytes"] for part in parts),
            "seconds": round(progress.seconds, 3),
        }


class FinishCopyOperator(PineconeTask, BaseOperator):
    """Check that all parts of a copy are complete, and write its manifest.

    Args:
        plan: The result of the first task of the copy (templated).

    Reference: https://docs.pinecone.io/guides/index-data/import-data
    """

    template_fields: Sequence[str] = ("plan",)

    def __init__(self, *, plan: CopyPlan, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the manifest.

        Args:
            context: The context of the task.

        Returns:
            The copy: ``url``, ``index_name``, ``backup_id``, ``created_at``, ``frozen``, ``records``, ``namespaces``,
            ``parts``, ``bytes``, ``missing``, ``read_units`` and ``response_bytes``.

        Raises:
            AirflowFailException: A part is not complete; not retried.
            CopyFailed: The store failed; a retry can succeed.
        """
        with fail_without_retry():
            result = self._finish()
        add_copy_to_events(context, self.outlets, result, self.log.warning)
        return result

    def _finish(self) -> dict[str, Any]:
        import pyarrow

        from airflow_pinecone.copying.export import read_listing, write_manifest
        from airflow_pinecone.rules.digests import VERSION

        store = copy_store(self.plan["url"])
        check_not_damaged(store, f"The copy of index {self.plan['index_name']} was not finished.")
        is_frozen = self.plan["backup"] is not None
        manifest = write_manifest(
            store,
            read_listing(store),
            # A part of a live index can be read long before the end. So its copy is as old as the start of the run.
            created_at=self.clock.utcnow().isoformat() if is_frozen else self.plan["started_at"],
            is_frozen=is_frozen,
            index_name=self.plan["index_name"],
            backup=self.plan["backup"],
            versions={"airflow-pinecone": __version__, "pyarrow": pyarrow.__version__, "digest": VERSION},
        )
        result = copy_result(self.plan, manifest)
        self.log.info(
            "The copy of index %s is complete: %s, %s, %s bytes in %s.",
            self.plan["index_name"],
            counted(result["records"], "record"),
            counted(result["parts"], "part"),
            f"{result['bytes']:,}",
            result["url"],
        )
        if result["missing"]:
            self.log.warning("%s were deleted while the index was copied.", counted(result["missing"], "record"))
        return result
