"""List the ids of a large namespace with many requests at the same time.

A page of ids needs the token of the page before, so a namespace is listed as segments: all ids that start with a
prefix. When a segment has more pages and a thread is idle, the rest of the segment is split at the last id that was
listed. After the id ``doc-17``, for example, ids start with ``doc-17``, with ``doc-`` and a greater character than
``1``, or with a greater character than ``d``, and so on.

First, only characters are used that an id had at the same position, and digits where one had a digit. When as many ids
are listed as the namespace has records, there cannot be others. If there are fewer, the other characters are used, too.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Any

from airflow_pinecone.api.index_calls import LOG_INTERVAL
from airflow_pinecone.api.record_bodies import Page
from airflow_pinecone.api.record_walk import MAX_EMPTY_PAGES, RequestThreads, Source

# How many pages are requested at the same time. The session keeps so many connections.
THREADS = 10
_PAGE = 100
# A smaller namespace is listed page by page.
_MIN_RECORDS = 2_000
# A segment is split while more ids than this are missing, and if that takes at most so many requests for each of its
# pages so far. So a listing costs at most so many times as much.
_MIN_MISSING, _REQUESTS_PER_PAGE = 1_000, 5
# The characters of an id. Pinecone rejects a prefix with another one.
_CHARACTERS = [chr(code) for code in range(1, 128)]
_DIGITS = frozenset("0123456789")
_SEPARATOR = "\0"


@dataclass
class _Segment:
    """The ids that start with a prefix.

    Attributes:
        prefix: The prefix of the requests.
        within: All further ids of the segment start with this; other segments have those that do not.
        token: The token of the next page.
        first: The first id.
        last: The last id.
        pages: The number of pages.
        empty: The number of consecutive pages without an id.
        is_done: Whether there are no more pages.
        spans: Where its ids are in the temporary file: offsets and lengths.
    """

    prefix: str = ""
    within: str = ""
    token: str | None = None
    first: str = ""
    last: str = ""
    pages: int = 0
    empty: int = 0
    is_done: bool = False
    spans: list[tuple[int, int]] = field(default_factory=list)


class IdWalk:
    """One listing of the ids of a namespace.

    Args:
        source: Sends the requests.
        namespace: The namespace.
        count: The number of its records; None if that is unknown.
    """

    def __init__(self, source: Source, namespace: str, count: int | None) -> None:
        self._source = source
        self._namespace = namespace
        self._count = count
        self._operation = source.list_operation(namespace)
        self._threads = RequestThreads(source, THREADS)
        self._listed = 0
        # By position.
        self._seen: list[set[str]] = []

    def pages(self) -> Iterator[list[str]]:
        """Yield the ids. The threads end when the iterator is closed."""
        try:
            if self._count is None or self._count < _MIN_RECORDS:
                yield from self._one_after_another()
                return
            with tempfile.TemporaryFile(prefix="pinecone-ids-") as file:
                segments = self._list_segments(file)
                if self._listed == self._count:
                    yield from self._ids_of(segments, file)
                    return
            # An id can have a character that no prefix can have, or the count is wrong.
            self._listed = 0
            yield from self._one_after_another()
        finally:
            self._threads.close()

    def _one_after_another(self) -> Iterator[list[str]]:
        segment = _Segment()
        future = self._request(segment)
        while True:
            page = self._threads.result(future, partial(self._list, segment))
            ids = self._take(segment, page)
            if not segment.is_done:
                future = self._request(segment)
            if ids:
                yield ids
            if segment.is_done:
                return

    def _list_segments(self, file: Any) -> list[_Segment]:
        """List all segments. Returns those that have ids, in the order of the ids."""
        queue = deque([_Segment()])
        found: list[_Segment] = []
        # The prefixes with a character that no id had when they were found.
        unlikely: list[str] = []
        active: dict[Future[Page], _Segment] = {}
        while True:
            while queue and len(active) < THREADS:
                segment = queue.popleft()
                active[self._request(segment)] = segment
            if not active:
                is_too_much = len(unlikely) > _REQUESTS_PER_PAGE * (self._count or 0) / _PAGE
                if self._missing <= 0 or not unlikely or is_too_much:
                    return sorted(found, key=lambda segment: segment.first)
                queue.extend(_Segment(prefix, within=prefix) for prefix in unlikely)
                unlikely = []
                continue
            done, _ = wait(active, LOG_INTERVAL, FIRST_COMPLETED)
            self._source.log_messages()
            for future in done:
                segment = active.pop(future)
                ids = self._take(segment, self._threads.result(future, partial(self._list, segment)))
                if ids:
                    if not segment.spans:
                        found.append(segment)
                    _spool(segment, ids, file)
                if segment.is_done:
                    continue
                queue.append(segment)
                if len(active) + len(queue) < THREADS and ids and self._missing > _MIN_MISSING:
                    within, prefixes = _rest_of(segment, ids)
                    likely = [prefix for prefix in prefixes if self._is_likely(prefix)]
                    if len(likely) <= segment.pages * _REQUESTS_PER_PAGE:
                        segment.within = within
                        queue.extend(_Segment(prefix, within=prefix) for prefix in likely)
                        unlikely += [prefix for prefix in prefixes if not self._is_likely(prefix)]

    @property
    def _missing(self) -> int:
        return (self._count or 0) - self._listed

    def _is_likely(self, prefix: str) -> bool:
        """Return whether an id had the last character of a prefix at its position, or both are digits."""
        position, character = len(prefix) - 1, prefix[-1]
        seen = self._seen[position] if position < len(self._seen) else set()
        return character in seen or (character in _DIGITS and not seen.isdisjoint(_DIGITS))

    def _take(self, segment: _Segment, page: Page) -> list[str]:
        """Return the ids of a page that belong to a segment."""
        ids = page.ids
        for record_id in ids:
            if record_id <= segment.last or not record_id.startswith(segment.prefix):
                raise self._operation.invalid_response("is not in the order of the ids, or repeats one")
            segment.last = record_id
        own = [record_id for record_id in ids if record_id.startswith(segment.within)]
        is_over = len(own) < len(ids)
        segment.pages += 1
        segment.empty = 0 if ids else segment.empty + 1
        if segment.empty >= MAX_EMPTY_PAGES:
            raise self._operation.invalid_response(f"has a next page after {segment.empty} pages without an id")
        if page.token is not None and page.token == segment.token:
            raise self._operation.invalid_response("repeats a page token")
        segment.token = page.token
        segment.is_done = page.token is None or is_over
        self._listed += len(own)
        for position, characters in enumerate(zip_longest(*own)):
            if position == len(self._seen):
                self._seen.append(set())
            self._seen[position].update(filter(None, characters))
        if own and not segment.first:
            segment.first = own[0]
        return own

    def _request(self, segment: _Segment) -> Future[Page]:
        return self._threads.submit(partial(self._list, segment))

    def _list(self, segment: _Segment, **how: Any) -> Page:
        return self._source.list_page(self._namespace, segment.token, prefix=segment.prefix, **how)

    def _ids_of(self, segments: list[_Segment], file: Any) -> Iterator[list[str]]:
        last = ""
        for segment in segments:
            for offset, length in segment.spans:
                file.seek(offset)
                ids = file.read(length).decode().split(_SEPARATOR)[:-1]
                if ids[0] <= last:
                    raise self._operation.invalid_response("is not in the order of the ids, or repeats one")
                last = ids[-1]
                yield ids


def _rest_of(segment: _Segment, ids: list[str]) -> tuple[str, list[str]]:
    """Split the ids of a segment after those of a page.

    Returns:
        The start of the ids to which the segment is then limited, and the prefixes of the other ids.
    """
    last, start = ids[-1], len(segment.within)
    length = max(start, min(_common_length(ids[0], last) + 1, len(last)))
    prefixes = [
        last[:position] + character
        for position in range(start, length)
        for character in _CHARACTERS
        if character > last[position]
    ]
    return last[:length], prefixes


def _common_length(first: str, second: str) -> int:
    """Return how many characters two ids have in common at their start."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((position for position, (one, other) in pairs if one != other), min(len(first), len(second)))


def _spool(segment: _Segment, ids: list[str], file: Any) -> None:
    """Append the ids of a segment to the temporary file."""
    content = (_SEPARATOR.join(ids) + _SEPARATOR).encode()
    offset = file.seek(0, os.SEEK_END)
    file.write(content)
    segment.spans.append((offset, len(content)))
    if len(segment.spans) > 1 and sum(segment.spans[-2]) == offset:
        length = segment.spans.pop()[1]
        segment.spans[-1] = (segment.spans[-1][0], segment.spans[-1][1] + length)
