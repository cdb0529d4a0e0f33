"""Read the records of one index from its data plane. ``PineconeHook.records`` gives access to it."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from airflow_pinecone.api import record_bodies
from airflow_pinecone.api.models import IndexModel, count_of, dimension_of, document_fields
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.rate_limit import RateLimit
from airflow_pinecone.api.record import Position, Record, RecordBatch
from airflow_pinecone.api.record_bodies import DEFAULT_NAMESPACE, Body, Page, canonical_namespace
from airflow_pinecone.api.transport import Log, Params, Transport
from airflow_pinecone.common.clock import Clock
from airflow_pinecone.errors import PineconePermanentError, PineconeRequestError, Unauthorized

# The maximum of Pinecone.
PAGE_SIZE = 100
# A read can take hours, so it survives more than other requests: so many attempts, in so many seconds.
MAX_ATTEMPTS = 10
RETRY_BUDGET = 300.0
# How many requests for records are sent at the same time.
THREADS = 4
# A request for records names so many ids that the URL and the answer are short enough: proxies accept URLs of 8 kB, and
# a record of 40 kB of metadata is possible.
_MAX_URL = 6000
_MAX_IDS = 400
_TARGET_BYTES = 2_000_000
# About the bytes of a number in JSON, and of a record besides its values.
_NUMBER_BYTES, _RECORD_BYTES = 12, 400
# A sparse record has as many values as this, if the dimension of the index is unknown.
_SPARSE_PAIRS = 1000
# A listing ends with an error after so many consecutive pages without an id.
_MAX_EMPTY_PAGES = 20
# The statuses of an answer that would have been too long.
_TOO_LONG = (413, 414, 500)
# Messages about repeated requests that are logged. After them, they are only counted.
_LOGGED_MESSAGES = 3

_NEEDS_NO_QUOTES = re.compile("[A-Za-z0-9_.~-]+").fullmatch

Answer = TypeVar("Answer")


@dataclass
class Usage:
    """What the requests have cost so far, without those that failed.

    Attributes:
        requests: The number of requests.
        read_units: The read units, as Pinecone reports them.
        response_bytes: The bytes of the responses, not compressed.
        messages: How often a request was repeated, or another message was logged.
    """

    requests: int = 0
    read_units: int = 0
    response_bytes: int = 0
    messages: int = 0


class _Chunk(NamedTuple):
    """Ids whose records one request reads."""

    ids: list[str]
    listed: int
    position: Position


class IndexRecords:
    """Read the records of one index.

    Requests are repeated after 408, 429, 5xx and connection errors: at most 10 attempts, and none starts later than 5
    minutes after the first. After a 429, all threads send fewer requests. Each method that calls Pinecone raises the
    same errors as those of PineconeHook.

    Args:
        transport: Sends the requests.
        index: The index.
        url: The URL of its data plane.
        clock: The clock for delays between requests.
        log: Logs a message.
        retry: Whether to repeat failed requests.

    Attributes:
        index: The index.
        usage: What the requests have cost so far.
    """

    def __init__(
        self, transport: Transport, index: IndexModel, url: str, clock: Clock, log: Log, *, retry: bool = True
    ) -> None:
        self.index = index
        self.usage = Usage()
        self._transport = transport.with_limits(MAX_ATTEMPTS, RETRY_BUDGET, self._keep_message)
        self._retry = retry
        self._url = url
        self._log = log
        # Pinecone has one limit for listing ids, and another one for fetching records.
        self._list_limit, self._fetch_limit = RateLimit(clock), RateLimit(clock)
        self._messages: deque[str] = deque()
        self._lock = threading.Lock()
        self._fields = document_fields(index)
        size = _NUMBER_BYTES * (dimension_of(index) or 2 * _SPARSE_PAIRS) + _RECORD_BYTES
        self._max_ids = max(1, min(_MAX_IDS, _TARGET_BYTES // size // 10 * 10 or _TARGET_BYTES // size))

    @property
    def is_document_index(self) -> bool:
        """Whether only the Documents API serves the records: the index has fields of its own."""
        return self._fields is not None

    def stats(self) -> dict[str, int]:
        """Return the number of records in each namespace, as the stats of the index have it.

        Returns:
            The counts by namespace; the default namespace is ``__default__``. They lag behind writes.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/describeindexstats
        """
        operation = self._operation("describe_index_stats", "POST", ("describe_index_stats",), "describe the stats")
        answer = self._send(operation, body={}).json
        rows = answer.get("namespaces") if isinstance(answer, dict) else None
        if not isinstance(rows, dict | None):
            raise operation.invalid_response("does not describe the stats of an index")
        counts: dict[str, int] = {}
        for name, row in (rows or {}).items():
            # proto3 leaves out a count of 0.
            count = count_of(row.get("vectorCount", row.get("vector_count", 0))) if isinstance(row, dict) else None
            if count is None:
                raise operation.invalid_response("has a namespace with an invalid vectorCount")
            counts[canonical_namespace(name)] = counts.get(canonical_namespace(name), 0) + count
        return counts

    def namespaces(self) -> dict[str, int]:
        """List the namespaces, with the number of records that Pinecone reports for each.

        Returns:
            The counts by namespace, in the order of the names; the default namespace is ``__default__``. They lag
            behind writes.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/listnamespaces
        """
        operation = self._operation("list_namespaces", "GET", ("namespaces",), "list the namespaces")
        counts: dict[str, int] = {}
        token, empty = None, 0
        while True:
            params: Params = {"limit": PAGE_SIZE, **({"paginationToken": token} if token else {})}
            answer = self._send(operation, params=params, gate=self._list_limit).json
            rows = answer.get("namespaces") or [] if isinstance(answer, dict) else None
            if not isinstance(rows, list):
                raise operation.invalid_response("is not a list of namespaces")
            before = len(counts)
            for row in rows:
                count = count_of(row.get("record_count", 0)) if isinstance(row, dict) else None
                if count is None or not isinstance(row.get("name", ""), str):
                    raise operation.invalid_response("has a namespace with an invalid name or record_count")
                counts[canonical_namespace(row.get("name", ""))] = count
            next_token = record_bodies.page({**answer, "vectors": []}, operation).token
            empty = 0 if len(counts) > before else empty + 1
            if next_token is None:
                return counts
            if next_token == token or empty >= _MAX_EMPTY_PAGES:
                raise operation.invalid_response("repeats a page token")
            token = next_token

    def read(
        self, namespace: str = "", *, after: str | Position | None = None, sample: float = 1.0, seed: int = 0
    ) -> Iterator[RecordBatch]:
        """Read the records of a namespace, in the order of their ids. Only a few batches are in memory.

        The ids are listed page by page, and the records are fetched by id, with a few requests at the same time.

        Args:
            namespace: The namespace; ``""`` and ``__default__`` are the default namespace.
            after: Where to resume: the position of a batch, or an id that need not exist. Without the token of a
                position, the ids before it are listed again, but not fetched.
            sample: The share of the records to read, above 0 and at most 1. All ids are listed.
            seed: Another number selects another sample.

        Returns:
            An iterator over batches.

        Raises:
            PineconeTransientError: A request failed, or a page repeats ids, goes back, or never ends.
            PineconePermanentError: Pinecone rejected a request.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/list
        and https://docs.pinecone.io/reference/api/2025-10/data-plane/fetch
        """
        position = Position(after) if isinstance(after, str) else after
        pool = ThreadPoolExecutor(THREADS + 1, thread_name_prefix="pinecone-records")
        pending: deque[tuple[_Chunk, Future[dict[str, Record]]]] = deque()
        try:
            for chunk in self._chunks(canonical_namespace(namespace), position, sample, seed, pool):
                fetch = partial(self._fetch, canonical_namespace(namespace), chunk.ids)
                pending.append((chunk, pool.submit(fetch, renew=False)))
                if len(pending) > THREADS:
                    yield self._batch(namespace, *pending.popleft())
            while pending:
                yield self._batch(namespace, *pending.popleft())
        finally:
            # A consumer that stops does not wait for requests whose records it does not need.
            pool.shutdown(wait=False, cancel_futures=True)

    def query(self, namespace: str, vector: list[float], *, top_k: int) -> list[str]:
        """Return the ids of the nearest records to a dense vector, the nearest first.

        Args:
            namespace: The namespace.
            vector: The vector.
            top_k: The number of records.

        Returns:
            The ids.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/query
        """
        operation = self._operation("query", "POST", ("query",), "query the records")
        body = {"vector": vector, "topK": top_k, **self._vectors_namespace(namespace)}
        answer = self._send(operation, body=body, gate=self._fetch_limit).json
        matches = answer.get("matches") or [] if isinstance(answer, dict) else None
        try:
            return [str(match["id"]) for match in matches or ()]
        except (KeyError, TypeError):
            raise operation.invalid_response("has a match without an id") from None

    def _batch(self, namespace: str, chunk: _Chunk, future: Future[dict[str, Record]]) -> RecordBatch:
        fetch = partial(self._fetch, canonical_namespace(namespace), chunk.ids)
        found = self._result(future, fetch)
        records = [found[each] for each in chunk.ids if each in found]
        return RecordBatch(records, [each for each in chunk.ids if each not in found], chunk.listed, chunk.position)

    def _chunks(
        self, namespace: str, start: Position | None, sample: float, seed: int, pool: ThreadPoolExecutor
    ) -> Iterator[_Chunk]:
        """Yield ids, grouped so that one request can fetch the records."""
        ids: list[str] = []
        listed = url_length = 0
        position = start or Position("")
        for page, token in self._pages(namespace, start, pool):
            for record_id in page:
                length = len(_quoted(record_id)) + len("&ids=")
                if ids and (len(ids) >= self._max_ids or url_length + length > _MAX_URL):
                    yield _Chunk(ids, listed, position)
                    ids, listed, url_length = [], 0, 0
                listed += 1
                position = Position(record_id, token)
                if sample >= 1 or _is_in_sample(record_id, sample, seed):
                    ids.append(record_id)
                    url_length += length
        if listed:
            yield _Chunk(ids, listed, position)

    def _pages(
        self, namespace: str, start: Position | None, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[list[str], str | None]]:
        """Yield the ids of each page after a position, and the token of the page. The next page is requested before."""
        after, token = (start.after, start.token) if start else ("", None)
        last, empty, is_resumed = "", 0, token is not None
        operation = self._list_operation(namespace)
        future = pool.submit(self._list, namespace, token, renew=False)
        while True:
            try:
                page = self._result(future, partial(self._list, namespace, token))
            except PineconePermanentError as error:
                if not (is_resumed and error.status_code == 400):
                    raise
                # The token is no longer valid.
                token, is_resumed = None, False
                future = pool.submit(self._list, namespace, None, renew=False)
                continue
            is_resumed = False
            if page.token is not None:
                if page.token == token:
                    raise operation.invalid_response("repeats a page token")
                future = pool.submit(self._list, namespace, page.token, renew=False)
            for record_id in page.ids:
                if record_id <= last:
                    raise operation.invalid_response("is not in the order of the ids, or repeats one")
                last = record_id
            yield [record_id for record_id in page.ids if record_id > after], token
            empty = 0 if page.ids else empty + 1
            if empty >= _MAX_EMPTY_PAGES:
                raise operation.invalid_response(f"has a next page after {empty} pages without an id")
            if page.token is None:
                return
            token = page.token

    def _list(self, namespace: str, token: str | None, *, renew: bool = True) -> Page:
        operation = self._list_operation(namespace)
        if self.is_document_index:
            body = {"limit": PAGE_SIZE, **({"pagination_token": token} if token else {})}
            answer = self._send(operation, body=body, gate=self._list_limit, renew=renew)
        else:
            params: dict[str, Any] = {"limit": PAGE_SIZE, **self._vectors_namespace(namespace)}
            params |= {"paginationToken": token} if token else {}
            answer = self._send(operation, params=params, gate=self._list_limit, renew=renew)
        return record_bodies.page(answer.json, operation)

    def _fetch(self, namespace: str, ids: list[str], *, renew: bool = True) -> dict[str, Record]:
        """Fetch records by id; a second time, those that are missing in the answer."""
        if not ids:
            return {}
        records = self._fetch_in_parts(namespace, ids, renew=renew)
        missing = [record_id for record_id in ids if record_id not in records]
        if missing:
            records |= self._fetch_in_parts(namespace, missing, renew=renew)
        return records

    def _fetch_in_parts(self, namespace: str, ids: list[str], *, renew: bool) -> dict[str, Record]:
        """Fetch records by id; in two parts, if the answer would be too long."""
        try:
            return self._fetch_once(namespace, ids, renew=renew)
        except PineconeRequestError as error:
            is_too_long = error.status_code in _TOO_LONG or (
                error.code == "RESOURCE_EXHAUSTED" and error.status_code != 429
            )
            if len(ids) == 1 or not is_too_long:
                raise
        half = len(ids) // 2
        self._max_ids = min(self._max_ids, half)
        first = self._fetch_in_parts(namespace, ids[:half], renew=renew)
        return first | self._fetch_in_parts(namespace, ids[half:], renew=renew)

    def _fetch_once(self, namespace: str, ids: list[str], *, renew: bool) -> dict[str, Record]:
        if self._fields is not None:
            path = ("namespaces", namespace, "documents", "fetch")
            operation = self._operation("fetch_documents", "POST", path, f"fetch documents in namespace {namespace}")
            answer = self._send(operation, body={"ids": ids}, gate=self._fetch_limit, renew=renew)
            return record_bodies.documents(answer.json, operation, ids, self._fields)
        operation = self._operation("fetch", "GET", ("vectors", "fetch"), f"fetch records in namespace {namespace}")
        # Much faster than a dict, of which requests quotes each id.
        query = "&".join([f"ids={_quoted(record_id)}" for record_id in ids])
        query += "".join(f"&namespace={_quoted(name)}" for name in self._vectors_namespace(namespace).values())
        answer = self._send(operation, params=query, gate=self._fetch_limit, renew=renew)
        return record_bodies.vectors(answer.json, operation, ids)

    def _list_operation(self, namespace: str) -> Operation:
        if self.is_document_index:
            path = ("namespaces", namespace, "documents", "list")
            return self._operation("list_documents", "POST", path, f"list the documents in namespace {namespace}")
        return self._operation("list", "GET", ("vectors", "list"), f"list the ids in namespace {namespace}")

    def _operation(self, name: str, method: str, path: tuple[str, ...], description: str) -> Operation:
        return Operation(name, method, path, f"{description} of index {self.index['name']}", is_read=True)

    def _vectors_namespace(self, namespace: str) -> dict[str, str]:
        """Return the parameter for a namespace. The default namespace is left out: it has two names."""
        name = canonical_namespace(namespace)
        return {} if name == DEFAULT_NAMESPACE else {"namespace": name}

    def _send(self, operation: Operation, **request: Any) -> Body:
        body: Body = self._transport.request(
            operation, url=self._url, decode=record_bodies.decode, retry=self._retry, **request
        )
        with self._lock:
            self.usage.requests += 1
            self.usage.read_units += record_bodies.read_units(body.json)
            self.usage.response_bytes += body.size
        return body

    def _result(self, future: Future[Answer], call: Callable[[], Answer]) -> Answer:
        """Return the result of a request that a thread has sent.

        After a 401, the request is sent again by this thread: only the thread of a task may read the connection.
        """
        try:
            return future.result()
        except Unauthorized:
            return call()
        finally:
            self._log_messages()

    def _keep_message(self, text: str) -> None:
        """Keep a message of a thread, for the thread of the task to log it."""
        self._messages.append(text)

    def _log_messages(self) -> None:
        while self._messages:
            text = self._messages.popleft()
            self.usage.messages += 1
            if self.usage.messages <= _LOGGED_MESSAGES:
                self._log(text)


def _quoted(text: str) -> str:
    """Return a text as it is in the query of a URL."""
    return text if _NEEDS_NO_QUOTES(text) else quote(text, safe="")


def _is_in_sample(record_id: str, share: float, seed: int) -> bool:
    digest = hashlib.blake2b(record_id.encode(), digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(digest) < share * 2**64
