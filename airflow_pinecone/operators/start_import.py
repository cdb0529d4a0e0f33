"""The operator that imports Parquet files into an index."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import conf

from airflow_pinecone.api.models import ImportModel, import_created_at, import_phase, xcom_safe
from airflow_pinecone.common.inputs import OnError, validate_index_name, validate_on_error, validate_text, validate_uri
from airflow_pinecone.errors import CreateOutcomeUnknown, PineconeError
from airflow_pinecone.operators.base import WaitingOperator
from airflow_pinecone.runtime.task import DEFAULT_TIMEOUT, checked_arguments
from airflow_pinecone.runtime.tries import Try
from airflow_pinecone.waiting.drivers import poll_once
from airflow_pinecone.waiting.resources import import_resource_id

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

# How much Pinecone's clock and that of the worker may differ. If they differ more, a retry starts a second import,
# which fails: its namespaces exist. That is better than to take the import of an earlier run for that of this one.
_CLOCK_SKEW = timedelta(minutes=1)


class StartImportOperator(WaitingOperator):
    """Start a bulk import of Parquet files into an index, and wait until it is Completed.

    One task starts one import. A retry resumes with the one that an earlier try started, even if that try was killed or
    Pinecone's response was lost. It recognizes the import by its URI and its start: the newest one since the start of
    the run. A failed import fails the task without a retry, because another one would have the same result, and costs
    as much. A cleared task starts a new import, unless the one of before is still running. Pinecone does not import
    into a namespace that exists, so delete what the earlier import has written first. The task pushes the id of the
    import to XCom under ``import_id`` as soon as it is known. If the task is killed, the import continues.

    Args:
        index_name: The index (templated). The namespaces of the import must not exist; the default one must be empty.
        uri: The folder with the files (templated), such as ``s3://bucket/folder``: it has a folder for each namespace.
        integration_id: The id of the storage integration with which Pinecone reads the files (templated); None for
            public ones.
        on_error: ``abort`` fails the import at an invalid record, ``continue`` skips the record. A record is invalid,
            too, if its vector values are those of another one.
        conn_id: The Airflow connection with the API key (templated).
        wait_for_completion: Whether to wait until the import is Completed.
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        poke_interval: Seconds between two polls, or a timedelta; None increases the interval with the time waited, from
            5 to 60 seconds.
        timeout: Seconds until the wait times out, or a timedelta; 6 hours by default. A shorter ``execution_timeout``
            applies instead, even while the task is deferred.

    Raises:
        ValueError: An argument is invalid.

    Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/start_import
    """

    template_fields: Sequence[str] = ("index_name", "uri", "integration_id", "conn_id")
    ui_color = "#d6ffe8"
    resource_type = "import"

    def __init__(
        self,
        *,
        index_name: str,
        uri: str,
        integration_id: str | None = None,
        on_error: OnError = "abort",
        conn_id: str = "pinecone_default",
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            conn_id=conn_id,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            poke_interval=poke_interval,
            timeout=timeout,
            **kwargs,
        )
        self.index_name = index_name
        self.uri = uri
        self.integration_id = integration_id
        self.on_error = on_error
        with checked_arguments():
            validate_on_error(on_error)

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the import, or resume with the one of an earlier try, and wait if ``wait_for_completion`` is set.

        Args:
            context: The context of the task.

        Returns:
            ``id``, ``status``, ``recordsImported`` and the other fields of the import, ``import_id``, which is its id,
            and ``index_name``. Without a wait, ``status`` is None if the import is not visible yet or could not be
            described.

        Raises:
            AirflowFailException: The import failed or was cancelled, Pinecone rejected a request, or an argument or
                the connection is invalid; not retried.
            CreateOutcomeUnknown: An import may have been started, but was not found.
            WaitTimeout: The import was not Completed in time. A retry waits for the same import.
            PineconeTransientError: Pinecone did not start an import; a retry can succeed.
            PineconeUnreachable: Too many consecutive polls failed.
        """
        return cast("dict[str, Any]", self._execute(context))

    def _run(self, this_try: Try) -> dict[str, Any]:
        import_id = self._start_or_resume(this_try)
        resource_id = import_resource_id(self.index_name, import_id)
        this_try.resource_id = resource_id
        this_try.context["ti"].xcom_push(key=self.resource.xcom_key, value=import_id)
        if self.wait_for_completion:
            return cast("dict[str, Any]", self._wait_for(this_try, resource_id))
        outcome = poll_once(partial(self.poll, resource_id))
        unknown = {"id": import_id, "status": None, "index_name": self.index_name}
        model = unknown if isinstance(outcome, PineconeError) else xcom_safe(outcome)
        return cast("dict[str, Any]", self._complete(this_try, model))

    def _complete(self, this_try: Try, model: Any) -> Any:
        if model["status"] == "Completed":
            self.log.info(
                "Import %s into index %s is Completed. Records: %s.",
                model["id"],
                model["index_name"],
                model.get("recordsImported", "unknown"),
            )
        return super()._complete(this_try, {**model, "import_id": model["id"]})

    def _start_or_resume(self, this_try: Try) -> str:
        validate_index_name(self.index_name)
        validate_uri(self.uri)
        validate_text(self.integration_id, "integration_id")
        before = self._imports_of_uri(retry=True)
        earlier = self._of_earlier_try(this_try, before)
        if earlier is not None:
            self.log.info(
                "Resuming with import %s, which this task started: its status is %s.", earlier["id"], earlier["status"]
            )
            return earlier["id"]
        # Whatever happens from here on, the log tells how to find the import.
        self.log.info("Importing %s into index %s.", self.uri, self.index_name)
        known = {each["id"] for each in before}
        try:
            started = self.hook.imports(self.index_name).start(
                self.uri, integration_id=self.integration_id, on_error=self.on_error
            )
        except CreateOutcomeUnknown as unknown:
            advice = "" if this_try.has_next else f"List the imports of index {self.index_name}, then clear the task."
            started = self._find_created(this_try, partial(self._find_new, known), unknown, advice=advice)
        self.log.info("Started import %s into index %s.", started["id"], self.index_name)
        return started["id"]

    def _of_earlier_try(self, this_try: Try, imports: list[ImportModel]) -> ImportModel | None:
        """Return the import of an earlier try; after a clear, only one that is still running."""
        earliest = this_try.run_started_at
        if this_try.number == 1 or earliest is None:
            return None
        since = [
            (created, each)
            for each in imports
            if (created := import_created_at(each)) is not None and created >= earliest - _CLOCK_SKEW
        ]
        _, newest = max(since, key=lambda row: row[0], default=(None, None))
        is_new = this_try.is_first_since_clear(self.retries)
        if newest is not None and is_new and import_phase(newest) != "running":
            self.log.info("Import %s of before the clear has the status %s.", newest["id"], newest["status"])
            return None
        return newest

    def _find_new(self, known: set[str]) -> ImportModel | None:
        """Find the import that was started after these."""
        return next((each for each in self._imports_of_uri(retry=False) if each["id"] not in known), None)

    def _imports_of_uri(self, *, retry: bool) -> list[ImportModel]:
        imports = self.hook.imports(self.index_name).list(retry=retry)
        return [each for each in imports if str(each.get("uri")).rstrip("/") == self.uri.rstrip("/")]
