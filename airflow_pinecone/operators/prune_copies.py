"""The operator that deletes old copies outside of Pinecone, except those that a retention rule keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_pinecone.common.inputs import is_template, validate_index_name
from airflow_pinecone.common.text import explain, iso
from airflow_pinecone.errors import CopyFailed, CopyInvalid, PruneIncomplete
from airflow_pinecone.operators.retained import COUNTS, MAX_CONSECUTIVE_FAILURES, RetentionTask, incomplete_prune
from airflow_pinecone.rules import copy_retention
from airflow_pinecone.rules.copy_format import DELETED, MANIFEST, InvalidCopy, encode, parse_manifest
from airflow_pinecone.rules.copy_retention import CopyDecision, FoundCopy
from airflow_pinecone.runtime.copies import copy_store, open_copy, url_of_copy
from airflow_pinecone.runtime.copy_reports import is_known_damaged, sha256_of
from airflow_pinecone.runtime.failures import fail_without_retry
from airflow_pinecone.runtime.task import PineconeTask, checked_arguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.copying.store import CopyStore


class _Found(NamedTuple):
    """What is in a destination.

    Attributes:
        copies: The copies of the index.
        deleted: The folders of the index that an earlier prune has begun to delete, with their markers.
        incomplete: All folders without a valid manifest, with the reason.
    """

    copies: list[FoundCopy]
    deleted: list[tuple[str, dict[str, Any]]]
    incomplete: list[dict[str, str]]


class _NotDeleted(CopyFailed):
    """A store has accepted a delete, and the file still exists."""


class PruneCopiesOperator(RetentionTask, PineconeTask, BaseOperator):
    """Delete the copies of an index outside of Pinecone that no retention rule keeps. Pinecone is not called.

    The rules are those of PruneBackupsOperator, and apply to the copies of each source index on their own. A copy is as
    old as its backup. Some copies are always kept: the newest complete one, for which the size of each file is checked;
    newer ones that fail this check; and those whose backup has a hold that has not ended. A folder without a valid
    manifest, such as that of an export that is running, is kept and reported. The plan is logged before the first
    delete.

    The manifest of a copy is deleted first, and its data after, so a copy that is deleted in part is not used. A retry
    deletes the rest. In a bucket with versions, the store keeps the old versions: add a lifecycle rule for them. The
    task needs the extra ``copies``, the provider of the store, and the right to list, read, write and delete.

    Args:
        destination: The folder of the copies, as an URL such as ``s3://aws_default@bucket/pinecone`` or an
            ObjectStoragePath: the ``destination`` of the export (templated).
        index_name: The index, as the manifests name it (templated).
        keep_last: Keep this many of the newest copies (templated).
        keep_daily: Keep the newest copy of each day, for this many of the most recent days that have one. If fewer
            days have one, keep the oldest copy, too (templated).
        keep_weekly: The same for ISO weeks (templated).
        keep_monthly: The same for months (templated).
        keep_yearly: The same for years (templated).
        keep_within: Keep every copy that is at most this much older than the newest one, as a timedelta of up to 365
            days.
        dry_run: Whether to log the plan and delete nothing (templated, as ``is_dry_run``).
        max_deletes: If more than this many copies would be deleted, the task fails before the first delete and is not
            retried; None is no limit (templated). A dry run only logs a warning.

    Raises:
        PineconeInputError: There is no rule, or an argument is invalid. This is a ValueError: the DAG cannot be
            imported.
    """

    template_fields: Sequence[str] = ("destination", "index_name", *COUNTS, "is_dry_run")
    ui_color = "#ffe4d6"

    def __init__(
        self,
        *,
        destination: Any,
        index_name: str,
        keep_last: int | str | None = None,
        keep_daily: int | str | None = None,
        keep_weekly: int | str | None = None,
        keep_monthly: int | str | None = None,
        keep_yearly: int | str | None = None,
        keep_within: timedelta | None = None,
        dry_run: bool | str = False,
        max_deletes: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.destination = destination
        self.index_name = index_name
        self.keep_last = keep_last
        self.keep_daily = keep_daily
        self.keep_weekly = keep_weekly
        self.keep_monthly = keep_monthly
        self.keep_yearly = keep_yearly
        self.keep_within = keep_within
        # BaseOperator has a dry_run method, which `airflow tasks test --dry-run` calls.
        self.is_dry_run = dry_run
        self.max_deletes = max_deletes
        with checked_arguments():
            if not is_template(destination):
                url_of_copy(destination, "destination")
            if not is_template(index_name):
                validate_index_name(index_name)
            self._check_rules()

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan, log the plan, and delete.

        Args:
            context: The context of the task.

        Returns:
            ``index_name``, ``destination``, ``dry_run``, and the lists ``kept``, ``deleted`` and ``skipped`` of
            ``{path, source_index_id, backup_id, created_at, reasons}``, and ``incomplete`` of ``{path, reason}``, for
            the folders of any index without a valid manifest. Paths are below the destination. A skipped copy was not
            deleted because this is a dry run.

        Raises:
            AirflowFailException: The store denies deletes, an argument is invalid, or more than ``max_deletes`` copies
                would be deleted; not retried.
            PruneIncomplete: Some copies could not be deleted. A retry deletes the rest.
            CopyFailed: The copies could not be read. Nothing was deleted.
        """
        with fail_without_retry():
            return self._prune(context)

    def _prune(self, context: Context) -> dict[str, Any]:
        rules, max_deletes, dry_run = self._rendered_rules()
        validate_index_name(self.index_name)
        store = copy_store(url_of_copy(self.destination, "destination"))
        found = self._find(store)
        for row in found.incomplete:
            self.log.warning("Folder %s is kept: %s.", row["path"], row["reason"])
        decisions = copy_retention.plan(self._checked(store, found.copies), rules, now=self.clock.utcnow())
        # The oldest first, so that an interrupted prune has deleted the least valuable ones.
        to_delete = [decision for decision in reversed(decisions) if not decision.keep]
        action = "Would delete" if dry_run else "Deleting"
        count = f"{len(to_delete)} of {len(decisions)} copies of index {self.index_name}"
        self.log.info("%s %s in %s\n%s", action, count, store.url, copy_retention.table(decisions))
        if not decisions:
            self.log.warning("There is no copy of index %s in %s.", self.index_name, store.url)
        self._check_size(len(to_delete), max_deletes, "copy", dry_run=dry_run)
        rows = [{**marker, "reasons": ["an earlier prune has begun to delete it"]} for _, marker in found.deleted]
        rows += [decision.as_json() for decision in to_delete]
        if not dry_run:
            self._delete_all(store, found.deleted, to_delete, context)
        return {
            "index_name": self.index_name,
            "destination": store.url,
            "dry_run": dry_run,
            "kept": [decision.as_json() for decision in decisions if decision.keep],
            "deleted": [] if dry_run else rows,
            "skipped": [{**row, "reasons": [*row["reasons"], "dry run"]} for row in rows] if dry_run else [],
            "incomplete": found.incomplete,
        }

    def _find(self, store: CopyStore) -> _Found:
        found = _Found([], [], [])
        for path in (f"{index_id}/{name}" for index_id in store.folders() for name in store.folders(index_id)):
            content = store.read(f"{path}/{MANIFEST}")
            if content is None:
                marker = _marker(store.read(f"{path}/{DELETED}"))
                if marker is None:
                    reason = f"it has no {MANIFEST}: an export is running or has failed, or it is no copy"
                    found.incomplete.append({"path": path, "reason": reason})
                elif marker.pop("index_name") == self.index_name:
                    found.deleted.append((path, {**marker, "path": path}))
                continue
            try:
                manifest = parse_manifest(content)
            except InvalidCopy as error:
                found.incomplete.append({"path": path, "reason": f"its manifest is invalid: {error}"})
                continue
            # A copy can be in any folder. Only its manifest says what it is.
            if manifest["index_name"] == self.index_name:
                found.copies.append(FoundCopy(path, manifest, sha256_of(content)))
        return found

    def _checked(self, store: CopyStore, copies: list[FoundCopy]) -> list[FoundCopy]:
        """Check the newest copy of each source index, so that the last good one is never deleted."""
        damaged = set()
        for rows in copy_retention.newest_first(copies).values():
            has_good = False
            for copy in rows:
                if is_known_damaged(store, copy):
                    self.log.warning("Copy %s is damaged: its last verification has failed.", copy.path)
                    damaged.add(copy.path)
                    continue
                if has_good:
                    continue
                try:
                    open_copy(store.url_of(copy.path)).verify(1)
                    has_good = True
                except CopyInvalid as error:
                    self.log.warning("Copy %s is damaged: %s.", copy.path, error.reason)
                    damaged.add(copy.path)
        return [copy._replace(is_damaged=copy.path in damaged) for copy in copies]

    def _delete_all(
        self,
        store: CopyStore,
        begun: list[tuple[str, dict[str, Any]]],
        decisions: list[CopyDecision],
        context: Context,
    ) -> None:
        ti = context["ti"]
        who = {"deleted_at": iso(self.clock.utcnow()), "dag_id": ti.dag_id, "run_id": ti.run_id}
        markers = [(each.copy.path, {**each.as_json(), "index_name": self.index_name, **who}) for each in decisions]

        def progress() -> str:
            total = len(begun) + len(markers)
            return f"Deleted {deleted} of {total} copies of index {self.index_name} that no rule keeps."

        failures: list[str] = []
        deleted = consecutive = 0
        for path, marker in [*((path, None) for path, _ in begun), *markers]:
            try:
                _delete(store, path, marker)
            except CopyFailed as error:
                if isinstance(error, _NotDeleted) or isinstance(error.__cause__, PermissionError):
                    advice = (
                        "Give the connection the rights to write and to delete, or use a lifecycle rule of the store."
                    )
                    raise AirflowFailException(
                        explain(progress(), f"the store did not delete {path}: {error.reason}", advice)
                    ) from None
                self.log.warning("Copy %s was not deleted: %s.", path, error.reason)
                failures.append(f"Copy {path}: {error.reason}.")
                consecutive += 1
                if consecutive >= MAX_CONSECUTIVE_FAILURES:
                    failures.append(f"Stopped after {consecutive} consecutive failures.")
                    break
            else:
                deleted, consecutive = deleted + 1, 0
                self.log.info("Deleted copy %s.", path)
        if failures:
            raise PruneIncomplete(incomplete_prune(progress(), failures))


def _marker(content: bytes | None) -> dict[str, Any] | None:
    """Return the marker of a copy that is being deleted; None if there is no valid one."""
    try:
        marker = json.loads(content or b"")
    except ValueError:
        return None
    return marker if isinstance(marker, dict) and isinstance(marker.get("index_name"), str) else None


def _delete(store: CopyStore, path: str, marker: dict[str, Any] | None) -> None:
    """Delete a copy: its manifest first, then the rest. The marker, which lets a retry continue, is the last file.

    Args:
        store: The destination.
        path: The folder of the copy.
        marker: The marker; None if it was written before.

    Raises:
        CopyFailed: A file was not deleted.
    """
    if marker is not None:
        store.write(f"{path}/{DELETED}", encode(marker))
        store.delete(f"{path}/{MANIFEST}")
        if store.size(f"{path}/{MANIFEST}") is not None:
            raise _NotDeleted(f"The manifest of {path} was not deleted.", reason="its manifest still exists")
    own = DELETED.rpartition("/")[0]
    for folder, kept in ((path, own), (f"{path}/{own}", DELETED.rpartition("/")[2])):
        for name in (*store.folders(folder), *store.files(folder)):
            if name != kept:
                store.delete(f"{folder}/{name}")
                if store.has_files(f"{folder}/{name}"):
                    raise _NotDeleted(f"{folder}/{name} was not deleted.", reason=f"{folder}/{name} still exists")
    store.delete(path)
    if store.has_files(path):
        raise _NotDeleted(f"Folder {path} was not deleted.", reason="its folder still exists")
