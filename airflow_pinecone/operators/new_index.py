"""The operators that create an index like another one for the import of a copy, and delete it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow_pinecone.api.models import IndexModel, is_index_ready, tags_of, xcom_safe
from airflow_pinecone.common.durations import validate_duration
from airflow_pinecone.common.inputs import validate_bools, validate_index_name, validate_object, validate_tags
from airflow_pinecone.common.text import explain, one_line, show_seconds
from airflow_pinecone.errors import (
    Conflict,
    CopyFailed,
    CreateOutcomeUnknown,
    NotFound,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    WaitTimeout,
)
from airflow_pinecone.operators.base import PineconeOperator
from airflow_pinecone.rules.identity import ORIGIN_TAG
from airflow_pinecone.rules.new_index import create_index_body, vector_settings
from airflow_pinecone.rules.scratch import is_scratch_of, run_digest
from airflow_pinecone.runtime.task import checked_arguments
from airflow_pinecone.waiting.drivers import poll_until_found
from airflow_pinecone.waiting.intervals import SEARCH_SECONDS, RejectedPolls, poll_interval

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.runtime.tries import Try

# Its value is the digest of the run that has created an index for an import.
IMPORT_TAG = "airflow-pinecone-import-run"
# Seconds until a new index must be ready.
_TIMEOUT = 30 * 60.0
# The states of an index that will not be ready.
_FINAL_STATES = ("InitializationFailed", "Failed", "Terminating", "Disabled")


class EnsureIndexOperator(PineconeOperator):
    """Create an index like another one, unless it exists, and wait until it is ready.

    One task creates one index. A retry finds the index of an earlier try by its name and its tag ``airflow-pinecone``,
    even if Pinecone's response was lost. An index that the task did not create is only used if it is empty, or with
    ``into_existing``, and if it has the same dimension, metric and vector type.

    Args:
        model: The index to create, as the API describes an index or a backup in any version (templated).
        index_name: The name of the index (templated).
        tags: The tags of a new index (templated).
        cloud: The cloud of a new index (templated); None or an empty text for that of the model.
        region: The region of a new index (templated); None or an empty text for that of the model.
        deletion_protection: ``enabled`` or ``disabled`` for a new index (templated); None is disabled.
        into_existing: Whether an index that exists may have records.
        conn_id: The Airflow connection with the API key (templated).
        timeout: Seconds until the index must be ready, or a timedelta.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_index
    """

    template_fields: Sequence[str] = (
        "model",
        "index_name",
        "tags",
        "cloud",
        "region",
        "deletion_protection",
        "conn_id",
    )
    ui_color = "#d6ffe8"

    def __init__(
        self,
        *,
        model: dict[str, Any],
        index_name: str,
        tags: dict[str, str] | None = None,
        cloud: str | None = None,
        region: str | None = None,
        deletion_protection: str | None = None,
        into_existing: bool = False,
        conn_id: str = "pinecone_default",
        timeout: float | timedelta = _TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.model = model
        self.index_name = index_name
        self.tags = tags
        self.cloud = cloud
        self.region = region
        self.deletion_protection = deletion_protection
        self.into_existing = into_existing
        with checked_arguments():
            validate_bools(into_existing=into_existing)
            self.timeout = validate_duration(timeout, "timeout")

    def execute(self, context: Context) -> dict[str, Any]:
        """Create the index, or find the one that exists, and wait until it is ready.

        Args:
            context: The context of the task.

        Returns:
            The index as the API describes it; ``created``: whether a try of this task created it; and ``empty``:
            whether it had no records at ``checked_at``.

        Raises:
            AirflowFailException: Pinecone rejected a request, the index exists and cannot be used, or an argument or
                the connection is invalid; not retried.
            CreateOutcomeUnknown: An index may have been created, but was not found.
            WaitTimeout: The index was not ready in time. A retry waits for the same index.
            PineconeTransientError: A request failed; a retry can succeed.
        """
        from airflow_pinecone.runtime.failures import fail_without_retry
        from airflow_pinecone.runtime.tries import start_try

        this_try = start_try(context, self.clock.time())
        with fail_without_retry():
            return self._ensure(this_try)

    def _ensure(self, this_try: Try) -> dict[str, Any]:
        validate_index_name(self.index_name)
        validate_tags(self.tags)
        model = cast("IndexModel", validate_object(self.model, "model") or {})
        wanted = vector_settings(model, f"Could not create index {self.index_name}.")
        origin = this_try.origin.digest
        run = run_digest(this_try.origin)
        found_index = self._describe()
        index = found_index or self._create(model, origin, run)
        # A clear changes the origin, and not the run.
        is_ours = _has_tag(index, origin) or tags_of(index).get(IMPORT_TAG) == run
        what = f"Could not use index {self.index_name}, which exists."
        found = vector_settings(index, what)
        if found != wanted:
            raise PineconeInputError(
                explain(what, f"it is {found}, but the original is {wanted}", "Set index_name to another name.")
            )
        index = self._wait_until_ready(index)
        if is_ours and not (_has_tag(index, origin) or tags_of(index).get(IMPORT_TAG) == run):
            raise Conflict(
                explain(
                    what, "the index that this task created was deleted meanwhile", "Set index_name to another name."
                )
            )
        if not is_ours:
            self.log.info("Index %s exists, and was not created by this task.", self.index_name)
        count = 0 if found_index is None else self._count()
        if count and not is_ours and not self.into_existing:
            raise PineconeInputError(
                explain(
                    what,
                    f"it has {count:,} records, and this task did not create it",
                    "Set index_name to another name, or into_existing=True to add records to it.",
                )
            )
        if not is_ours and not self.into_existing:
            self._check_not_of_another_import(index, what)
        return {
            **xcom_safe(index),
            "created": is_ours,
            "empty": not count,
            "checked_at": self.clock.utcnow().isoformat(),
        }

    def _describe(self) -> IndexModel | None:
        try:
            return self.hook.describe_index(self.index_name)
        except NotFound:
            return None

    def _create(self, model: IndexModel, origin: str, run: str) -> IndexModel:
        body = create_index_body(
            model,
            name=self.index_name,
            api_version=self.hook.settings.api_version,
            # A template can render to an empty text.
            cloud=self.cloud or None,
            region=self.region or None,
            tags={**(self.tags or {}), ORIGIN_TAG: origin, IMPORT_TAG: run},
            deletion_protection=self.deletion_protection,
        )
        # Whatever happens from here on, the log tells how to find the index.
        self.log.info("Creating index %s. Its tag %s is %s.", self.index_name, ORIGIN_TAG, origin)
        try:
            return self.hook.create_index(body)
        except (Conflict, CreateOutcomeUnknown) as error:
            # Names are unique, so there is at most one index. It may not be visible yet.
            self.log.warning("%s Searching for the index.", str(error).partition("\n")[0])
            found = poll_until_found(self._describe, self.log.warning, self.clock, seconds=SEARCH_SECONDS)
            if found is None:
                raise
            return found

    def _wait_until_ready(self, index: IndexModel) -> IndexModel:
        """Wait until the index is ready, and return it."""
        what = f"Index {self.index_name} is not ready."
        start = self.clock.monotonic()
        not_found = RejectedPolls()
        while not is_index_ready(index):
            state = index["status"].get("state")
            if state in _FINAL_STATES:
                raise PineconePermanentError(
                    explain(what, f"its state is {one_line(state)}", "Delete the index, then clear the task.")
                )
            waited = self.clock.monotonic() - start
            if waited >= self.timeout:
                why = f"its state was {one_line(state)} after {show_seconds(waited)}"
                raise WaitTimeout(explain(what, why, "Increase timeout. If no retry is left, clear the task."))
            self.clock.sleep(min(poll_interval(waited, None), self.timeout - waited))
            try:
                index = self.hook.describe_index(self.index_name)
                not_found.reset()
            except NotFound:
                if not_found.add(self.clock.monotonic()):
                    raise
        return index

    def _check_not_of_another_import(self, index: IndexModel, what: str) -> None:
        if tags_of(index).get(IMPORT_TAG):
            raise PineconeInputError(
                explain(
                    what,
                    "another import has created it, and may be about to write to it",
                    "Set index_name to another name, or delete the index if no import uses it.",
                )
            )

    def _count(self) -> int:
        """Return the number of records of the index. Each of the two counts may lag behind writes."""
        reader = self.hook.records(self.index_name)
        return max(sum(reader.stats().values()), sum(reader.namespaces().values()))


def _has_tag(index: IndexModel, origin: str) -> bool:
    return tags_of(index).get(ORIGIN_TAG) == origin


class DeleteDrillIndexOperator(PineconeOperator):
    """Delete the index that the import of a drill has created. Another index that has its name is kept.

    Args:
        index_name: The name of the index (templated).
        plan_task_id: The id of the task that has planned the import. Its run is in the tags of the index.
        conn_id: The Airflow connection with the API key (templated).

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_index
    """

    template_fields: Sequence[str] = ("index_name", "conn_id")

    def __init__(self, *, index_name: str, plan_task_id: str, conn_id: str, **kwargs: Any) -> None:
        super().__init__(conn_id=conn_id, **kwargs)
        self.index_name = index_name
        self.plan_task_id = plan_task_id

    def execute(self, context: Context) -> bool:
        """Delete the index.

        Args:
            context: The context of the task.

        Returns:
            Whether it was deleted. It may not exist.

        Raises:
            CopyFailed: It was not deleted; a retry can succeed.
        """
        from airflow_pinecone.runtime.tries import start_try

        name = validate_index_name(self.index_name)
        origin = start_try(context, self.clock.time()).origin
        try:
            # The task that has created the index may have failed, so its result is not used.
            found = self.hook.describe_index(name)
            if not is_scratch_of(found, run_digest(origin._replace(task_id=self.plan_task_id))):
                self.log.warning("Index %s was not deleted: this run did not create it.", name)
                return False
            self.hook.delete_index(name)
        except NotFound:
            self.log.info("Index %s does not exist.", name)
            return False
        except PineconeError as error:
            # Also a rejection can end.
            raise CopyFailed(
                explain(
                    f"Could not delete index {name}, which an import has created.",
                    error.reason,
                    "If no retry is left, delete the index in Pinecone's console: it costs money.",
                ),
                reason=error.reason,
            ) from error
        self.log.info("Deleted index %s.", name)
        return True
