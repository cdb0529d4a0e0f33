"""Bulk imports of one index. ``PineconeHook`` documents the calls."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from airflow_pinecone.api import responses
from airflow_pinecone.api.listing import Listed, Listing
from airflow_pinecone.api.models import ImportModel, ImportStarted
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.transport import Log, Transport
from airflow_pinecone.common.inputs import OnError, validate_id, validate_on_error, validate_text, validate_uri

_PATH = ("bulk", "imports")


class BulkImports:
    """Calls the data plane of one index.

    Args:
        transport: Sends the requests.
        index_name: The name of the index, for messages.
        url: The URL of its data plane.
        warn: Logs a warning.
    """

    def __init__(self, transport: Transport, index_name: str, url: str, warn: Log) -> None:
        self._transport = transport
        self._index_name = index_name
        self._url = url
        self._warn = warn

    def start(self, uri: str, integration_id: str | None, on_error: OnError) -> ImportStarted:
        """Start an import. The request is not repeated once Pinecone may have processed it."""
        body = {
            "uri": validate_uri(uri),
            "integrationId": validate_text(integration_id, "integration_id"),
            "errorMode": {"onError": validate_on_error(on_error)},
        }
        operation = Operation("start_import", "POST", _PATH, f"start an import into index {self._index_name}")
        return self._transport.create(operation, body, responses.import_started, url=self._url)

    def describe(self, import_id: str, *, retry: bool) -> ImportModel:
        """Describe an import."""
        operation = self._of_one("describe_import", "GET", import_id, "describe")
        model = responses.bulk_import(self._transport.request(operation, retry=retry, url=self._url), operation)
        if model["id"] != import_id:
            raise operation.invalid_response("describes another import")
        return model

    def list(self, *, retry: bool) -> Iterator[ImportModel]:
        """List the imports."""
        return self._listing().rows(self._transport, self._warn, retry=retry)

    def find(self, import_ids: Collection[str], *, max_pages: int) -> Listed[ImportModel]:
        """Search for imports in at most so many pages. A missing one may exist. Failed requests are not repeated."""
        return self._listing().find(self._transport, import_ids, max_pages=max_pages)

    def cancel(self, import_id: str) -> None:
        """Cancel an import."""
        operation = self._of_one("cancel_import", "DELETE", import_id, "cancel")
        responses.deleted(self._transport.request(operation, url=self._url), operation)

    def _listing(self) -> Listing[ImportModel]:
        operation = Operation("list_imports", "GET", _PATH, f"list the imports of index {self._index_name}")
        return Listing(operation, "id", responses.bulk_import, url=self._url)

    def _of_one(self, name: str, method: str, import_id: str, action: str) -> Operation:
        path = (*_PATH, validate_id(import_id, "import"))
        return Operation(name, method, path, f"{action} import {import_id} of index {self._index_name}")
