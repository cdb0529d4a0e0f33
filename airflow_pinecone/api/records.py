"""Read the records of one index from its data plane. ``PineconeHook.records`` gives access to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from airflow_pinecone.api import record_bodies
from airflow_pinecone.api.id_walk import IdWalk
from airflow_pinecone.api.index_calls import IndexCalls
from airflow_pinecone.api.models import IndexModel, count_of, dimension_of, document_fields, metric_of
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.rate_limit import RateLimit
from airflow_pinecone.api.record import Record, RecordBatch
from airflow_pinecone.api.record_bodies import Page, canonical_namespace
from airflow_pinecone.api.record_walk import MAX_EMPTY_PAGES, Walk, position_of, quoted
from airflow_pinecone.api.transport import Log, Params, Transport
from airflow_pinecone.common.clock import Clock
from airflow_pinecone.common.durations import is_number
from airflow_pinecone.common.text import show_value
from airflow_pinecone.errors import PineconeInputError, PineconeRequestError

# The maximum of Pinecone.
PAGE_SIZE = 100
# So many records of 40 kB of metadata are a response that is accepted.
_MAX_IDS = 400
_TARGET_BYTES = 1_000_000
# About the bytes of a number in JSON, and of a record besides its values.
_NUMBER_BYTES, _RECORD_BYTES = 12, 400
# A sparse record has as many values as this, if the dimension of the index is unknown.
_SPARSE_PAIRS = 1000
# The statuses of an answer that would have been too long, and what the error of one that was too long says.
_TOO_LONG, _WAS_TOO_LONG = (413, 414), "the response is longer than"
# The statuses with which Pinecone answers if an index, or a project, does not have namespace aliases.
_HAS_NO_ALIASES = (404, 501)
_FIELDS_OF_STATS = {"namespaces", "dimension", "indexFullness", "totalVectorCount", "metric", "vectorType"}


class NamespaceDetails(NamedTuple):
    """A namespace, as Pinecone describes it.

    Attributes:
        record_count: The number of records. It lags behind writes.
        schema: Which metadata fields are indexed for filters, as in the API; None for all.
    """

    record_count: int
    schema: dict[str, Any] | None


class IndexRecords(IndexCalls):
    """Read the records of one index.

    Requests are repeated after 408, 429, 5xx and connection errors: at most 10 attempts, not counting those with 429,
    and none starts later than 5 minutes after the first. After a 429, all threads send fewer requests. Each method that
    calls Pinecone raises the same errors as those of PineconeHook.

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
        super().__init__(transport, index, url, log, retry=retry)
        # Pinecone has one limit for listing ids, and another one for fetching records.
        self._list_limit, self._fetch_limit = RateLimit(clock), RateLimit(clock)
        self._fields = document_fields(index)
        numbers = dimension_of(index) or 0
        if not numbers or metric_of(index) == "dotproduct":
            # Only with this metric, a dense index can have sparse values, too.
            numbers += 2 * _SPARSE_PAIRS
        size = _NUMBER_BYTES * numbers + _RECORD_BYTES
        self.max_ids = max(1, min(_MAX_IDS, _TARGET_BYTES // size // 10 * 10 or _TARGET_BYTES // size))

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
        answer = self._send_here(operation, self._list_limit, body={}).json
        rows = answer.get("namespaces") if isinstance(answer, dict) else None
        is_known = isinstance(answer, dict) and bool(answer.keys() & _FIELDS_OF_STATS)
        if not (is_known and isinstance(rows, dict | None)):
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
        return {name: details.record_count for name, details in self.namespace_details().items()}

    def namespace_details(self) -> dict[str, NamespaceDetails]:
        """List the namespaces, as ``namespaces`` does, with the schema of each.

        Returns:
            The details by namespace, in the order of the names.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/listnamespaces
        """
        operation = self._operation("list_namespaces", "GET", ("namespaces",), "list the namespaces")
        found: dict[str, NamespaceDetails] = {}
        for row in self._rows(operation, "namespaces"):
            count = count_of(row.get("record_count", 0)) if isinstance(row, dict) else None
            if count is None or not isinstance(row.get("name", ""), str):
                raise operation.invalid_response("has a namespace with an invalid name or record_count")
            schema = row.get("schema")
            if not isinstance(schema, dict | None):
                raise operation.invalid_response("has a namespace with an invalid schema")
            found[canonical_namespace(row.get("name", ""))] = NamespaceDetails(count, schema)
        return found

    def namespace_aliases(self) -> dict[str, str]:
        """List the namespace aliases, which exist since API version 2026-07.

        Returns:
            The target namespace by alias, in the order of the aliases. Empty if the API version of the connection is
            earlier, or if Pinecone does not have aliases for this index.

        Reference: https://docs.pinecone.io/reference/api/2026-07/data-plane/listnamespacealiases
        """
        if not self._transport.settings.is_since("2026-07"):
            return {}
        path = ("namespace-aliases",)
        operation = self._operation("list_namespace_aliases", "GET", path, "list the namespace aliases")
        try:
            rows = list(self._rows(operation, "namespace_aliases"))
        except PineconeRequestError as error:
            if error.status_code in _HAS_NO_ALIASES:
                return {}
            raise
        if not all(
            isinstance(row, dict) and isinstance(row.get("name"), str) and isinstance(row.get("target_namespace"), str)
            for row in rows
        ):
            raise operation.invalid_response("has an alias with an invalid name or target_namespace")
        return {row["name"]: canonical_namespace(row["target_namespace"]) for row in rows}

    def _rows(self, operation: Operation, field: str) -> Iterator[Any]:
        """Yield the rows of all pages of a listing."""
        token, empty = None, 0
        names: set[str] = set()
        while True:
            params: Params = {"limit": PAGE_SIZE, **({"paginationToken": token} if token else {})}
            answer = self._send_here(operation, self._list_limit, params=params).json
            rows, next_token = record_bodies.rows_of(answer, field, operation)
            yield from rows
            before = len(names)
            names.update(str(row["name"]) for row in rows if isinstance(row, dict) and "name" in row)
            empty = 0 if len(names) > before else empty + 1
            if next_token is None:
                return
            if next_token == token or empty >= MAX_EMPTY_PAGES:
                raise operation.invalid_response("repeats a page token")
            token = next_token

    def read(
        self,
        namespace: str = "",
        *,
        after: str | Sequence[str | None] | None = None,
        sample: float = 1.0,
        seed: int = 0,
    ) -> Iterator[RecordBatch]:
        """Read the records of a namespace, in the order of their ids. Only a few batches are in memory.

        The ids are listed page by page, and the records are fetched by id, with a few requests at the same time.

        Args:
            namespace: The namespace; ``""`` and ``__default__`` are the default namespace.
            after: Where to resume: the position of a batch, also as a list from JSON, or an id that need not exist.
                Without the token of a position, the ids before it are listed again, but not fetched.
            sample: The share of the records to read, above 0 and at most 1. All ids are listed.
            seed: Another number selects another sample.

        Returns:
            An iterator over batches. Close it, or read it to its end.

        Raises:
            PineconeInputError: ``after`` or ``sample`` is invalid.
            PineconeTransientError: A request failed, or a page repeats ids, goes back, or never ends.
            PineconePermanentError: Pinecone rejected a request.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/list
        and https://docs.pinecone.io/reference/api/2025-10/data-plane/fetch
        """
        if not (is_number(sample) and 0 < sample <= 1):
            raise PineconeInputError(f"sample must be a number above 0 and at most 1, not {show_value(sample)}.")
        walk = Walk(self, canonical_namespace(namespace), position_of(after), sample, seed)
        return walk.batches()

    def list_ids(self, namespace: str = "", *, count: int | None = None) -> Iterator[list[str]]:
        """List the ids of a namespace, in ascending order.

        Pinecone returns 100 ids at a time, and each page needs the token of the one before. So a large namespace is
        split by the prefixes of its ids, and the parts are listed at the same time. Then no id is returned before all
        are listed; they are kept in a temporary file.

        Args:
            namespace: The namespace; ``""`` and ``__default__`` are the default namespace.
            count: The number of its records. If it is wrong or unknown (None), the pages are listed one after another.

        Returns:
            An iterator over lists of ids. Close it, or read it to its end.

        Raises:
            PineconeTransientError: A request failed, or a page repeats ids, goes back, or never ends.
            PineconePermanentError: Pinecone rejected a request.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/list
        """
        return IdWalk(self, canonical_namespace(namespace), count).pages()

    def fetch_ids(self, namespace: str, ids: Iterable[str]) -> Iterator[RecordBatch]:
        """Fetch records by id, with a few requests at the same time. Only a few batches are in memory.

        Args:
            namespace: The namespace; ``""`` and ``__default__`` are the default namespace.
            ids: The ids, in ascending order.

        Returns:
            An iterator over batches. Close it, or read it to its end.

        Raises:
            PineconeTransientError: A request failed.
            PineconePermanentError: Pinecone rejected a request.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/fetch
        """
        return Walk(self, canonical_namespace(namespace), None, 1.0, 0).batches(ids)

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
        answer = self._send_here(operation, self._fetch_limit, body=body).json
        matches = answer.get("matches") or [] if isinstance(answer, dict) else None
        try:
            return [str(match["id"]) for match in matches or ()]
        except (KeyError, TypeError):
            raise operation.invalid_response("has a match without an id") from None

    def list_page(self, namespace: str, token: str | None, *, prefix: str = "", **how: Any) -> Page:
        """Return a page of ids; see ``Source``."""
        operation = self.list_operation(namespace)
        with_prefix = {"prefix": prefix} if prefix else {}
        if self.is_document_index:
            body = {"limit": PAGE_SIZE, **with_prefix, **({"pagination_token": token} if token else {})}
            answer = self._send(operation, self._list_limit, body=body, **how)
        else:
            params: dict[str, Any] = {"limit": PAGE_SIZE, **with_prefix, **self._vectors_namespace(namespace)}
            params |= {"paginationToken": token} if token else {}
            answer = self._send(operation, self._list_limit, params=params, **how)
        return record_bodies.page(answer.json, operation)

    def fetch(self, namespace: str, ids: list[str], **how: Any) -> dict[str, Record]:
        """Fetch records by id; a second time, those that are missing in the answer."""
        if not ids:
            return {}
        records = self._fetch_in_parts(namespace, ids, **how)
        missing = [record_id for record_id in ids if record_id not in records]
        if missing:
            records |= self._fetch_in_parts(namespace, missing, **how)
        return records

    def _fetch_in_parts(self, namespace: str, ids: list[str], **how: Any) -> dict[str, Record]:
        """Fetch records by id; in two parts, if the answer would be too long."""
        try:
            return self._fetch_once(namespace, ids, **how)
        except PineconeRequestError as error:
            is_too_long = (
                error.status_code in _TOO_LONG
                or (error.code == "RESOURCE_EXHAUSTED" and error.status_code != 429)
                or _WAS_TOO_LONG in error.reason
            )
            if len(ids) == 1 or not is_too_long:
                raise
        # Pinecone charges one read unit for each 10 records of a request.
        half = len(ids) // 20 * 10 or len(ids) // 2
        with self._lock:
            self.max_ids = min(self.max_ids, half)
        first = self._fetch_in_parts(namespace, ids[:half], **how)
        return first | self._fetch_in_parts(namespace, ids[half:], **how)

    def _fetch_once(self, namespace: str, ids: list[str], **how: Any) -> dict[str, Record]:
        if self._fields is not None:
            path = ("namespaces", namespace, "documents", "fetch")
            operation = self._operation("fetch_documents", "POST", path, f"fetch documents in namespace {namespace}")
            answer = self._send(operation, self._fetch_limit, body={"ids": ids}, **how)
            return record_bodies.documents(answer.json, operation, ids, self._fields)
        operation = self._operation("fetch", "GET", ("vectors", "fetch"), f"fetch records in namespace {namespace}")
        # Much faster than a dict, of which requests quotes each id.
        query = "&".join([f"ids={quoted(record_id)}" for record_id in ids])
        query += "".join(f"&namespace={quoted(name)}" for name in self._vectors_namespace(namespace).values())
        answer = self._send(operation, self._fetch_limit, params=query, **how)
        return record_bodies.vectors(answer.json, operation, ids)

    def list_operation(self, namespace: str) -> Operation:
        """Return the call that lists ids; see ``Source``."""
        if self.is_document_index:
            path = ("namespaces", namespace, "documents", "list")
            return self._operation("list_documents", "POST", path, f"list the documents in namespace {namespace}")
        return self._operation("list", "GET", ("vectors", "list"), f"list the ids in namespace {namespace}")

    def _operation(self, name: str, method: str, path: tuple[str, ...], description: str) -> Operation:
        return Operation(name, method, path, f"{description} of index {self.index['name']}", is_read=True)
