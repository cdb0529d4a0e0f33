"""Walk over the records of a namespace: which requests are sent, and in which order their answers are used."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import quote

from airflow_pinecone.api.index_calls import result_of
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.record import Position, Record, RecordBatch
from airflow_pinecone.api.record_bodies import Page
from airflow_pinecone.common.text import show_value
from airflow_pinecone.errors import (
    Forbidden,
    PaymentRequired,
    PineconeInputError,
    PineconePermanentError,
    Unauthorized,
)

# How many requests for records are sent at the same time.
THREADS = 4
# How many given ids are grouped at once.
_IDS_AT_ONCE = 1000
# A request for records names so many ids that its URL is not longer than this: proxies accept URLs of 8 kB.
_MAX_URL = 6000
# A listing ends with an error after so many consecutive pages without an id.
MAX_EMPTY_PAGES = 20
# The rejections that do not depend on the token of a page.
_NOT_ABOUT_TOKEN = (Unauthorized, PaymentRequired, Forbidden)
_NEEDS_NO_QUOTES = re.compile("[A-Za-z0-9_.~-]+").fullmatch

Answer = TypeVar("Answer")


class Source(Protocol):
    """Sends the requests of a walk. ``how`` are arguments about the thread that sends them.

    Attributes:
        max_ids: How many records one request may fetch.
    """

    max_ids: int

    def list_operation(self, namespace: str) -> Operation:
        """Return the call that lists ids."""

    def list_page(self, namespace: str, token: str | None, *, prefix: str = "", **how: Any) -> Page:
        """Return a page of the ids that start with a prefix."""

    def fetch(self, namespace: str, ids: list[str], **how: Any) -> dict[str, Record]:
        """Fetch records by id."""

    def log_messages(self) -> None:
        """Log the messages of the threads."""


class _Chunk(NamedTuple):
    """Ids whose records one request reads."""

    ids: list[str]
    listed: int
    position: Position


class RequestThreads:
    """The threads that send the requests of a walk.

    Args:
        source: Logs the messages of the threads.
        count: The number of threads. They start with the first requests.
    """

    def __init__(self, source: Source, count: int) -> None:
        self._source = source
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="pinecone-records")

    def submit(self, call: Callable[..., Answer]) -> Future[Answer]:
        """Let a thread send a request."""
        # Only the thread of a task may read the connection again.
        return self._pool.submit(call, renew=False, closed=self._closed)

    def result(self, future: Future[Answer], call: Callable[[], Answer]) -> Answer:
        """Return the result of a request; see ``result_of``."""
        return result_of(future, call, self._source.log_messages)

    def close(self) -> None:
        """End the threads. A consumer that stops does not wait for requests whose answers it does not need."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


class Walk:
    """One walk over the records of a namespace.

    Args:
        source: Sends the requests.
        namespace: The namespace.
        start: Where to resume; None starts with the first record.
        sample: The share of the records to read.
        seed: Selects the sample.
    """

    def __init__(self, source: Source, namespace: str, start: Position | None, sample: float, seed: int) -> None:
        self._source = source
        self._namespace = namespace
        self._start = start
        self._sample = sample
        self._seed = seed
        self._threads = RequestThreads(source, THREADS + 1)

    def batches(self, ids: Iterable[str] | None = None) -> Iterator[RecordBatch]:
        """Yield the records of the namespace, or those of some ids. The threads end when the iterator is closed.

        Args:
            ids: The ids, in ascending order; None lists them.
        """
        pending: deque[tuple[_Chunk, Future[dict[str, Record]]]] = deque()
        pages = self._pages() if ids is None else ((page, None) for page in _batched(ids))
        try:
            for chunk in self._chunks(pages):
                pending.append((chunk, self._threads.submit(self._fetch_of(chunk))))
                if len(pending) > THREADS:
                    yield self._batch(*pending.popleft())
            while pending:
                yield self._batch(*pending.popleft())
        finally:
            self._threads.close()

    def _fetch_of(self, chunk: _Chunk) -> Callable[..., dict[str, Record]]:
        return partial(self._source.fetch, self._namespace, chunk.ids)

    def _list_of(self, token: str | None) -> Callable[..., Page]:
        return partial(self._source.list_page, self._namespace, token)

    def _batch(self, chunk: _Chunk, future: Future[dict[str, Record]]) -> RecordBatch:
        found = self._threads.result(future, self._fetch_of(chunk))
        records = [found[each] for each in chunk.ids if each in found]
        return RecordBatch(records, [each for each in chunk.ids if each not in found], chunk.listed, chunk.position)

    def _chunks(self, pages: Iterable[tuple[list[str], str | None]]) -> Iterator[_Chunk]:
        """Yield ids, grouped so that one request can fetch the records."""
        ids: list[str] = []
        listed = url_length = 0
        position = self._start or Position("")
        for page, token in pages:
            for record_id in page:
                length = len(quoted(record_id)) + len("&ids=")
                if ids and (len(ids) >= self._source.max_ids or url_length + length > _MAX_URL):
                    yield _Chunk(ids, listed, position)
                    ids, listed, url_length = [], 0, 0
                listed += 1
                position = Position(record_id, token)
                if self._sample >= 1 or _is_in_sample(record_id, self._sample, self._seed):
                    ids.append(record_id)
                    url_length += length
        if listed:
            yield _Chunk(ids, listed, position)

    def _pages(self) -> Iterator[tuple[list[str], str | None]]:
        """Yield the ids of each page after a position, and the token of the page. The next page is requested before."""
        after, token = self._start or Position("")
        last, empty, is_resumed = "", 0, token is not None
        operation = self._source.list_operation(self._namespace)
        future = self._threads.submit(self._list_of(token))
        while True:
            try:
                page = self._threads.result(future, self._list_of(token))
            except PineconePermanentError as error:
                if not is_resumed or isinstance(error, _NOT_ABOUT_TOKEN):
                    raise
                # The token is no longer valid.
                token, is_resumed = None, False
                future = self._threads.submit(self._list_of(None))
                continue
            is_resumed = False
            if page.token is not None:
                if page.token == token:
                    raise operation.invalid_response("repeats a page token")
                future = self._threads.submit(self._list_of(page.token))
            for record_id in page.ids:
                if record_id <= last:
                    raise operation.invalid_response("is not in the order of the ids, or repeats one")
                last = record_id
            yield [record_id for record_id in page.ids if record_id > after], token
            empty = 0 if page.ids else empty + 1
            if empty >= MAX_EMPTY_PAGES:
                raise operation.invalid_response(f"has a next page after {empty} pages without an id")
            if page.token is None:
                return
            token = page.token


def _batched(ids: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(ids)
    while batch := list(islice(iterator, _IDS_AT_ONCE)):
        yield batch


def position_of(after: Any) -> Position | None:
    """Return where to resume, from a position, a list with its two values, or an id."""
    if after is None:
        return None
    values = [after, None] if isinstance(after, str) else after
    match values:
        case [str() as last, str() | None as token]:
            return Position(last, token)
    raise PineconeInputError(f"after must be the position of a batch or an id, not {show_value(after)}.")


def quoted(text: str) -> str:
    """Return a text as it is in the query of a URL."""
    return text if _NEEDS_NO_QUOTES(text) else quote(text, safe="")


def _is_in_sample(record_id: str, share: float, seed: int) -> bool:
    digest = hashlib.blake2b(record_id.encode(), digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(digest) < share * 2**64
