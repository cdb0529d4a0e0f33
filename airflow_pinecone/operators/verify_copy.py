"""The operator that verifies a copy outside of Pinecone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_pinecone import __version__
from airflow_pinecone.api.models import parse_time
from airflow_pinecone.common.inputs import is_template, validate_index_name
from airflow_pinecone.common.text import counted, one_line, show_value
from airflow_pinecone.errors import CopyFailed, CopyInvalid, PineconeInputError
from airflow_pinecone.rules.copy_format import MANIFEST
from airflow_pinecone.runtime.copies import url_of_copy
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.task import PineconeTask, checked_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.api.models import IndexModel
    from airflow_pinecone.copying.read import CopyReader
    from airflow_pinecone.copying.store import CopyStore
    from airflow_pinecone.runtime.progress import Progress


class VerifyCopyOperator(PineconeTask, BaseOperator):
    """Fail if a copy outside of Pinecone is incomplete or damaged. Pinecone is not called.

    Each level includes the ones before: level 1 checks the manifest and the size of each file, without a download;
    level 2 downloads each file, one at a time, and checks its SHA-256; level 3 also reads each record, and checks its
    id, its dimension and the digests. The log shows the progress every minute.

    The task writes a report to ``copy/verified`` in the folder of the copy. If the copy does not pass, its ``level``
    is 0, and audits, the page, prunes, imports and later exports count the copy as damaged, until it passes the same
    level. If the store denies the report, the log has a warning. The task needs the extra ``copies``, and the provider
    of the store.

    Args:
        copy: The copy: the URL of its folder, such as ``s3://aws_default@bucket/pinecone/INDEX_ID/BACKUP_ID``, an
            ObjectStoragePath, or the result of an export (templated).
        level: 1, 2 or 3.
        make_manifest: For a copy that another program wrote, such as one that Pinecone's support delivered: its index
            as Pinecone describes it, with at least ``name``, and ``metric`` and ``dimension`` for dense vectors
            (templated). If the copy has no manifest, the task reads all of its records, which is level 3, and writes
            the manifest. None makes no manifest.
        exported_at: For ``make_manifest``, when the records were exported: a past time in ISO 8601, in UTC if it has no
            offset (templated). The age of the copy counts from it. None is the time of the task, with a warning.

    Raises:
        PineconeInputError: An argument is invalid. This is a ValueError: the DAG cannot be imported.

    Reference: https://docs.pinecone.io/guides/index-data/import-data
    """

    template_fields: Sequence[str] = ("copy", "make_manifest", "exported_at")
    ui_color = "#d6ffe1"

    def __init__(
        self,
        *,
        copy: Any,
        level: Literal[1, 2, 3] = 2,
        make_manifest: IndexModel | dict[str, Any] | str | None = None,
        exported_at: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.copy = copy
        self.level = level
        self.make_manifest = make_manifest
        self.exported_at = exported_at
        with checked_arguments():
            if type(level) is not int or level not in (1, 2, 3):
                raise PineconeInputError(f"level must be 1, 2 or 3, not {show_value(level)}.")
            if not is_template(copy):
                url_of_copy(copy)
            if not is_template(make_manifest):
                self._index()
            if not is_template(exported_at):
                self._exported_at()

    def execute(self, context: Context) -> dict[str, Any]:
        """Verify the copy.

        Args:
            context: The context of the task.

        Returns:
            ``url``, ``index_name``, ``backup_id`` (None without a backup), ``level``, ``namespaces``, ``parts``,
            ``records``, ``bytes``, ``seconds``, ``made_manifest``, and ``report``: the name of the report in the folder
            of the copy, or None if the store denied it.

        Raises:
            AirflowFailException: The copy is incomplete or damaged, or an argument is invalid; not retried.
            CopyFailed: The store failed; a retry can succeed.
        """
        with fail_without_retry():
            return self._verify(context)

    def _verify(self, context: Context) -> dict[str, Any]:
        from airflow_pinecone.runtime.copies import open_copy
        from airflow_pinecone.runtime.progress import Progress

        index = self._index()
        reader = open_copy(url_of_copy(self.copy))
        store = reader.store
        progress = Progress([], self.clock, self.log.info)
        makes_manifest = index is not None and store.size(MANIFEST) is None
        if index is not None and makes_manifest:
            self._make_manifest(store, index, progress)
        try:
            verified = reader.verify(1 if makes_manifest else self.level, on_records=progress.add)
        except CopyInvalid as error:
            self._report_failure(context, reader, error, progress)
            raise
        if makes_manifest:
            # All files were just read.
            verified["level"] = 3
        seconds = round(progress.seconds, 3)
        manifest = reader.manifest
        self.log.info(
            "The copy of index %s passed level %d: %s in %s, %s bytes. Folder: %s.",
            one_line(manifest["index_name"]),
            verified["level"],
            counted(verified["records"], "record"),
            counted(verified["parts"], "part"),
            f"{verified['bytes']:,}",
            store.url,
        )
        return {
            "url": store.url,
            "index_name": manifest["index_name"],
            "backup_id": (manifest["backup"] or {}).get("backup_id"),
            **verified,
            "seconds": seconds,
            "made_manifest": makes_manifest,
            "report": self._write_report(context, reader, verified, seconds),
        }

    def _make_manifest(self, store: CopyStore, index: IndexModel, progress: Progress) -> None:
        import pyarrow

        from airflow_pinecone.copying.delivered import make_manifest

        exported_at = self._exported_at()
        if exported_at is None:
            self.log.warning("exported_at is not set: the age of the copy counts from now, although it is older.")
        make_manifest(
            store,
            index=index,
            created_at=exported_at or self.clock.utcnow().isoformat(),
            versions={"airflow-pinecone": __version__, "pyarrow": pyarrow.__version__},
            on_records=progress.add,
        )
        self.log.info("Wrote the manifest of the copy.")

    def _report_failure(self, context: Context, reader: CopyReader, error: CopyInvalid, progress: Progress) -> None:
        """Replace the report of an earlier passed verification."""
        try:
            manifest = reader.manifest
        except CopyInvalid:
            # Then the copy is none, whatever a report says.
            return
        failed: dict[str, Any] = {"level": 0, "failed_level": self.level, "problem": error.reason}
        failed |= {name: manifest["totals"][name] for name in ("namespaces", "parts", "records")}
        self._write_report(context, reader, failed, round(progress.seconds, 3))

    def _write_report(
        self, context: Context, reader: CopyReader, verified: Mapping[str, Any], seconds: float
    ) -> str | None:
        from airflow_pinecone.runtime.copy_reports import is_failure, read_verified, sha256_of, write_verified

        ti = context["ti"]
        who = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id, "seconds": seconds}
        digest = sha256_of(reader.content)
        try:
            last = read_verified(reader.store, "", digest)
            earlier = last.get("failed_level") if last is not None and is_failure(last) else None
            # A lower level cannot see what a higher one has found.
            is_newest = not (last and earlier in (2, 3) and earlier > (verified["level"] or self.level))
            if last and not is_newest:
                self.log.warning(
                    "The copy still counts as damaged: its verification at level %d has failed: %s. A lower level "
                    "checks less.",
                    earlier,
                    one_line(last.get("problem")),
                )
            at = self.clock.utcnow()
            return write_verified(reader.store, verified, who, at, manifest_sha256=digest, is_newest=is_newest)
        except CopyFailed as error:
            self.log.warning("The report was not written: %s.", error.reason)
            return None

    def _exported_at(self) -> str | None:
        if self.exported_at is None:
            return None
        time = parse_time(self.exported_at)
        if time is None or time > self.clock.utcnow():
            raise PineconeInputError(
                f"exported_at must be a past time in ISO 8601, or None, not {show_value(self.exported_at)}."
            )
        if self.make_manifest is None:
            raise PineconeInputError("exported_at needs make_manifest.")
        return time.isoformat()

    def _index(self) -> IndexModel | None:
        index: Any = self.make_manifest
        if index is None:
            return None
        if not isinstance(index, dict):
            raise PineconeInputError(f"make_manifest must be an index as a dict, or None, not {show_value(index)}.")
        validate_index_name(index.get("name"))
        return index  # type: ignore[return-value]
