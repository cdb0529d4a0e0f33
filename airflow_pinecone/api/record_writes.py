"""Write records to one index. ``PineconeHook.writer`` gives access to it. This module needs numpy and orjson."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import orjson

from airflow_pinecone.api.index_calls import IndexCalls, Usage, result_of
from airflow_pinecone.api.models import IndexModel, count_of, document_fields
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.rate_limit import RateLimit
from airflow_pinecone.api.record import Record
from airflow_pinecone.api.record_bodies import canonical_namespace
from airflow_pinecone.api.transport import Log, Transport
from airflow_pinecone.common.clock import Clock
from airflow_pinecone.common.inputs import validate_object
from airflow_pinecone.common.text import cell, explain, one_line, show_value, truncate
from airflow_pinecone.errors import PineconeInputError

# How many requests are sent at the same time.
THREADS = 4
# The maximum of Pinecone.
MAX_RECORDS = 1000
# Pinecone accepts 2 MB. It does not say whether these are 2,000,000 bytes, and what else counts.
MAX_BYTES = 1_950_000
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


@dataclass
class WriteUsage(Usage):
    """What the requests have cost so far, without those that failed.

    Attributes:
        request_bytes: The bytes of the bodies of the requests.
    """

    request_bytes: int = 0


class _Request(NamedTuple):
    """The body of a request, with the number of its records and the first id."""

    body: bytes
    records: int
    first_id: str


class IndexWriter(IndexCalls):
    """Write records to one index.

    Requests are repeated after 408, 429, 5xx and connection errors: at most 10 attempts, not counting those with 429,
    and none starts later than 5 minutes after the first. An upsert may be repeated, because it replaces the records
    with the same ids. After a 429, all threads send fewer requests. Each method that calls Pinecone raises the same
    errors as those of PineconeHook.

    Args:
        transport: Sends the requests.
        index: The index.
        url: The URL of its data plane.
        clock: The clock for delays between requests.
        log: Logs a message.

    Attributes:
        index: The index.
        usage: What the requests have cost so far.
    """

    usage: WriteUsage

    def __init__(self, transport: Transport, index: IndexModel, url: str, clock: Clock, log: Log) -> None:
        super().__init__(transport, index, url, log)
        self.usage = WriteUsage()
        self._limit = RateLimit(clock)

    def write(self, namespace: str, batches: Iterable[Sequence[Record]]) -> int:
        """Upsert records into a namespace, which is created if it does not exist.

        A few requests are sent at the same time. Only their records and one batch are in memory. The order of the
        writes is undefined, so each id must be there once. If it fails, some of the records may have been written.

        Args:
            namespace: The namespace; ``""`` and ``__default__`` are the default namespace.
            batches: The records.

        Returns:
            The number of records.

        Raises:
            PineconeInputError: The index is a document index, or a record cannot be sent as JSON.
            PineconeTransientError: A request failed, or Pinecone wrote another number of records.
            PineconePermanentError: Pinecone rejected a record or a request.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/upsert
        """
        self._refuse_documents()
        written = 0
        pending: deque[tuple[_Request, Future[int]]] = deque()
        closed = threading.Event()
        # It starts a thread with the first request.
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pinecone-writes")

        def finish_oldest() -> int:
            request, future = pending.popleft()
            return result_of(future, partial(self._upsert, namespace, request), self.log_messages)

        try:
            for request in self._requests(namespace, batches):
                if len(pending) >= THREADS:
                    written += finish_oldest()
                # Only the thread of a task may read the connection again.
                future = pool.submit(self._upsert, namespace, request, renew=False, closed=closed)
                pending.append((request, future))
            while pending:
                written += finish_oldest()
        finally:
            # After an error, the results of requests that are repeated are not needed.
            closed.set()
            pool.shutdown(wait=False, cancel_futures=True)
        return written

    def create_namespace(self, name: str, schema: dict[str, Any] | None = None) -> None:
        """Create a namespace. The request is not repeated once Pinecone may have processed it.

        Args:
            name: The name of the namespace. The default namespace always exists.
            schema: Which metadata fields are indexed for filters, such as ``{"fields": {"genre": {"filterable":
                True}}}``; None for all. It cannot be changed later.

        Raises:
            Conflict: The namespace exists.
            CreateOutcomeUnknown: Pinecone may have created the namespace.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/createnamespace
        """
        description = f"create namespace {cell(name)} in index {self.index['name']}"
        operation = Operation("create_namespace", "POST", ("namespaces",), description)
        body = {"name": name, "schema": validate_object(schema, "schema")}
        self._transport.create(operation, body, _created_namespace, url=self._url)

    def _refuse_documents(self) -> None:
        if document_fields(self.index) is not None:
            raise PineconeInputError(
                explain(
                    f"Could not write records to index {self.index['name']}.",
                    "It is a document index: only the Documents API can write to it.",
                    "Choose an index whose records have values.",
                )
            )

    def _requests(self, namespace: str, batches: Iterable[Sequence[Record]]) -> Iterator[_Request]:
        """Yield the bodies of the requests, each as large as Pinecone accepts it."""
        end = b"]}"
        if names := self._vectors_namespace(namespace):
            end = b'],"namespace":' + orjson.dumps(names["namespace"]) + b"}"
        start = b'{"vectors":['
        rows: list[bytes] = []
        size, first_id = 0, ""
        for batch in batches:
            for record in batch:
                row = self._encoded(namespace, record)
                if rows and (len(rows) >= MAX_RECORDS or size + len(row) + 1 > MAX_BYTES):
                    yield _Request(start + b",".join(rows) + end, len(rows), first_id)
                    rows = []
                if not rows:
                    size, first_id = len(start) + len(end), record.id
                rows.append(row)
                size += len(row) + 1
        if rows:
            yield _Request(start + b",".join(rows) + end, len(rows), first_id)

    def _encoded(self, namespace: str, record: Record) -> bytes:
        body: dict[str, Any] = {"id": record.id}
        if len(record.values):
            body["values"] = np.ascontiguousarray(record.values, dtype=np.float32)
        if record.sparse_values is not None:
            indices, values = record.sparse_values
            body["sparseValues"] = {
                "indices": np.ascontiguousarray(indices, dtype=np.uint32),
                "values": np.ascontiguousarray(values, dtype=np.float32),
            }
        if record.metadata:
            body["metadata"] = record.metadata
        try:
            # An array of float32 has the shortest digits that give the same float32 again.
            return orjson.dumps(body, option=_NUMPY)
        except TypeError as error:
            problem = one_line(error)
        raise PineconeInputError(
            explain(
                f"Could not write record {_short(record.id)} to namespace {cell(canonical_namespace(namespace))} "
                f"of index {self.index['name']}.",
                f"it cannot be sent as JSON: {problem}",
            )
        )

    def _upsert(self, namespace: str, request: _Request, **how: Any) -> int:
        description = (
            f"upsert {request.records} records from id {_short(request.first_id)} on "
            f"in namespace {cell(canonical_namespace(namespace))} of index {self.index['name']}"
        )
        operation = Operation("upsert", "POST", ("vectors", "upsert"), description, is_idempotent=True)
        answer = self._send(operation, self._limit, body=request.body, **how).json
        # proto3 leaves out a count of 0.
        written = (
            count_of(answer.get("upsertedCount", answer.get("upserted_count", 0))) if isinstance(answer, dict) else None
        )
        if written != request.records:
            raise operation.invalid_response(f"says that {show_value(written)} records were upserted")
        with self._lock:
            self.usage.request_bytes += len(request.body)
        return request.records


def _short(record_id: str) -> str:
    return truncate(show_value(record_id), 60)


def _created_namespace(response: Any, operation: Operation) -> None:
    if not isinstance(response, dict) or not isinstance(response.get("name"), str):
        raise operation.invalid_response("does not describe a namespace")
