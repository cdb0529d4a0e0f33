"""Bulk imports of Parquet files into one index. ``PineconeHook.imports`` gives access to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from airflow_pinecone.api import responses
from airflow_pinecone.api.listing import Listed, Listing
from airflow_pinecone.api.models import ImportModel, ImportStarted
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.transport import Log, Transport
from airflow_pinecone.common.inputs import OnError, validate_id, validate_on_error, validate_text, validate_uri

_PATH = ("bulk", "imports")


class BulkImports:
    """Call Pinecone's API for the bulk imports of one index.

    Each method raises the same errors as those of PineconeHook, and NotFound if there is no such index.

    Args:
        transport: Sends the requests.
        index_name: The name of the index.
        find_url: Returns the URL of its data plane. Its argument is whether to repeat a failed request.
        warn: Logs a warning.
    """

    def __init__(self, transport: Transport, index_name: str, find_url: Callable[[bool], str], warn: Log) -> None:
        self._transport = transport
        self._index_name = index_name
        self._find_url = find_url
        self._warn = warn

    def start(self, uri: str, *, integration_id: str | None = None, on_error: OnError = "abort") -> ImportStarted:
        """Start an import. The request is not repeated once Pinecone may have processed it.

        The namespaces of the import must not exist; the default one must be empty.

        Args:
            uri: The folder, such as ``s3://bucket/folder``: it has a folder for each namespace.
            integration_id: The id of the storage integration with which Pinecone reads the files; None for public ones.
            on_error: ``abort`` fails the import at an invalid record, ``continue`` skips the record. A record is
                invalid, too, if its vector values are those of another one.

        Returns:
            ``id``: the id of the import.

        Raises:
            PineconeInputError: An argument is invalid.
            CreateOutcomeUnknown: Pinecone may have started the import.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/start_import
        """
        body = {
            "uri": validate_uri(uri),
            "integrationId": validate_text(integration_id, "integration_id"),
            "errorMode": {"onError": validate_on_error(on_error)},
        }
        operation = Operation("start_import", "POST", _PATH, f"start an import into index {self._index_name}")
        return self._transport.create(operation, body, responses.import_started, url=self._find_url(True))

    def describe(self, import_id: str, *, retry: bool = True) -> ImportModel:
        """Describe an import.

        Args:
            import_id: The id of the import.
            retry: Whether to repeat a failed request.

        Returns:
            The import; ``status`` is ``Pending``, ``InProgress``, ``Completed``, ``Failed`` or ``Cancelled``.

        Raises:
            NotFound: There is no such import.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/describe_import
        """
        operation = self._of_one("describe_import", "GET", import_id, "describe")
        answer = self._transport.request(operation, retry=retry, url=self._find_url(retry))
        model = responses.bulk_import(answer, operation)
        if model["id"] != import_id:
            raise operation.invalid_response("describes another import")
        return model

    def list(self, *, retry: bool = True) -> Iterator[ImportModel]:
        """List the recent imports, each once.

        Args:
            retry: Whether to repeat a failed request.

        Returns:
            An iterator over the imports, in no documented order. Pages are requested lazily.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/list_imports
        """
        return self._listing(retry).rows(self._transport, self._warn, retry=retry)

    def find(self, import_ids: Collection[str], *, max_pages: int) -> Listed[ImportModel]:
        """Search for imports in the list. A missing one may exist. Failed requests are not repeated.

        Args:
            import_ids: The ids of the imports.
            max_pages: The maximum number of pages to read.

        Returns:
            The imports by id, and the number of pages that were read.
        """
        return self._listing(False).find(self._transport, import_ids, max_pages=max_pages)

    def cancel(self, import_id: str) -> None:
        """Cancel an import. This has no effect if it has ended.

        Args:
            import_id: The id of the import.

        Raises:
            NotFound: There is no such import.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/cancel_import
        """
        operation = self._of_one("cancel_import", "DELETE", import_id, "cancel")
        responses.deleted(self._transport.request(operation, url=self._find_url(True)), operation)

    def _listing(self, retry: bool) -> Listing[ImportModel]:
        operation = Operation("list_imports", "GET", _PATH, f"list the imports of index {self._index_name}")
        return Listing(operation, "id", responses.bulk_import, url=self._find_url(retry))

    def _of_one(self, name: str, method: str, import_id: str, action: str) -> Operation:
        path = (*_PATH, validate_id(import_id, "import"))
        return Operation(name, method, path, f"{action} import {import_id} of index {self._index_name}")
