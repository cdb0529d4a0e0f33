"""What the tasks with a scratch index share: it is created from a backup, found again, and deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow_pinecone.api.models import document_fields, is_ready
from airflow_pinecone.common.inputs import validate_index_name
from airflow_pinecone.common.text import explain, show_time
from airflow_pinecone.errors import NotFound, PineconeError, WaitTimeout
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.rules.scratch import Purpose, is_scratch_of, scratch_name, scratch_started_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.api.models import BackupModel, IndexModel
    from airflow_pinecone.hooks import PineconeHook

# Only since this version, the API has operations for the records of a document index.
DOCUMENTS_VERSION = "2026-07"
# A scratch index that is older is probably left over.
_MAX_SCRATCH_AGE = timedelta(days=1)
# How long a deleted index may still have its name, in seconds.
_DELETION_SECONDS = 300.0


class ScratchOperator(PineconeOperator):
    """The base class of the tasks that plan a restore test or a copy, whose scratch index they name.

    Attributes:
        purpose: What the scratch index is for.
        failed: The error of a plan that must not be carried out.
        index_name: The index.
    """

    purpose: ClassVar[Purpose]
    failed: ClassVar[type[PineconeError]]
    index_name: str

    @property
    def what(self) -> str:
        """The first line of the messages."""
        return f"The {self.purpose} of index {self.index_name} was not started."

    def prepare(self, run: str) -> tuple[str, dict[str, IndexModel]]:
        """Delete the scratch index that an earlier try of a run has left, and warn of old ones.

        Args:
            run: The digest of the run.

        Returns:
            The name of the scratch index, and the other indexes of the project by name.

        Raises:
            WaitTimeout: The scratch index of an earlier try was not deleted, or still exists.
        """
        indexes = {index["name"]: index for index in self.hook.list_indexes()}
        scratch = scratch_name(run, self.purpose)
        self._delete_earlier(indexes.pop(scratch, None), run)
        self._warn_of_old(indexes.values())
        return scratch, indexes

    def ready_backups(self, index_name: str) -> list[BackupModel]:
        """Return the Ready backups of an index, the newest first, or fail if there is none."""
        from airflow_pinecone.reading import read_history

        history = read_history(self.hook.client, index_name)
        ready = [row.backup for row in history.current if row.created_at and is_ready(row.backup)]
        if not ready:
            why = f"it has {history.no_ready_backup}"
            raise self.failed(explain(self.what, why, "Create a backup, then clear the task."))
        return ready

    def _delete_earlier(self, index: IndexModel | None, run: str) -> None:
        """Delete the scratch index that an earlier try of this run, or one before a clear, has left."""
        if index is None or not is_scratch_of(index, run):
            # The restore fails if another task created it.
            return
        from airflow_pinecone.waiting.drivers import poll_until_found

        name = index["name"]
        self.log.info("Deleting index %s, which an earlier try of this run has left.", name)
        why = "was deleted, but still exists"
        try:
            delete_if_exists(self.hook, name)
            find = partial(self._is_deleted, name)
            if poll_until_found(find, self.log.info, self.clock, seconds=_DELETION_SECONDS):
                return
        except PineconeError as error:
            # Also a rejection can end, for example when the restore does.
            why = f"could not be deleted: {error.reason}"
        raise WaitTimeout(
            explain(
                self.what,
                f"index {name} of an earlier try {why}",
                "If no retry is left, delete the index in Pinecone's console, then clear the task.",
            )
        )

    def _is_deleted(self, name: str) -> bool | None:
        try:
            self.hook.describe_index(name)
        except NotFound:
            return True
        return None

    def _warn_of_old(self, indexes: Iterable[IndexModel]) -> None:
        latest = self.clock.utcnow() - _MAX_SCRATCH_AGE
        for index in indexes:
            started_at = scratch_started_at(index)
            if started_at is not None and started_at < latest:
                self.log.warning(
                    "Scratch index %s of %s still exists. If no run uses it, delete it: it costs money.",
                    index["name"],
                    show_time(started_at),
                )

    def check_version(self, models: Sequence[BackupModel | IndexModel | None]) -> None:
        """Check that the API version of the connection can read the records."""
        settings = self.hook.settings
        if settings.is_since(DOCUMENTS_VERSION):
            return
        # A backup has its schema in the same form.
        if any(document_fields(cast("IndexModel", model)) is not None for model in models if model):
            raise self.failed(
                explain(
                    self.what,
                    f"it is a document index, and API version {settings.api_version} cannot read its records",
                    version_advice(self.hook),
                )
            )


class DeleteScratchOperator(PineconeOperator):
    """Delete a scratch index. Another index that has its name is kept.

    Args:
        plan: The result of the first task of the group (templated).
        conn_id: The Airflow connection with the API key (templated).

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_index
    """

    template_fields: Sequence[str] = ("plan", "conn_id")

    purpose: ClassVar[Purpose]
    failed: ClassVar[type[PineconeError]]

    def __init__(self, *, plan: Mapping[str, Any], conn_id: str, **kwargs: Any) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.plan = plan

    def execute(self, context: Context) -> bool:
        """Delete the scratch index.

        Args:
            context: The context of the task.

        Returns:
            Whether it was deleted. It may not exist.

        Raises:
            PineconeError: It was not deleted; a retry can succeed.
        """
        name = validate_index_name(self.plan["scratch"])
        try:
            return self._delete(name)
        except PineconeError as error:
            # Also a rejection can end, for example when the restore does.
            raise self.failed(
                explain(
                    f"Could not delete index {name} of the {self.purpose} of index {self.plan['index_name']}.",
                    error.reason,
                    "If no retry is left, delete the index in Pinecone's console: it costs money.",
                ),
                reason=error.reason,
            ) from error

    def _delete(self, name: str) -> bool:
        try:
            # It may be of another backup: of the one before a clear.
            if not is_scratch_of(self.hook.describe_index(name), self.plan["run"]):
                self.log.warning(
                    "Index %s was not deleted: it lacks the tags of this run, so another task created it.",
                    name,
                )
                return False
        except NotFound:
            self.log.info("Index %s does not exist.", name)
            return False
        is_deleted = delete_if_exists(self.hook, name)
        self.log.info("Deleted index %s." if is_deleted else "Index %s does not exist.", name)
        return is_deleted


def delete_if_exists(hook: PineconeHook, name: str) -> bool:
    """Delete an index, and return whether it existed."""
    try:
        hook.delete_index(name)
    except NotFound:
        return False
    return True


def version_advice(hook: PineconeHook) -> str:
    """Return how to use an API version that can read the records of a document index."""
    return f'Set {{"api_version": "{DOCUMENTS_VERSION}"}} in the extra field of connection {hook.settings.conn_id}.'
