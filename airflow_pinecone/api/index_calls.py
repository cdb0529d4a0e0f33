"""What the reader and the writer of the records of an index share: how they send requests, and log about them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_pinecone.api import record_bodies
from airflow_pinecone.api.models import IndexModel
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.rate_limit import RateLimit
from airflow_pinecone.api.record_bodies import DEFAULT_NAMESPACE, Body, canonical_namespace
from airflow_pinecone.api.transport import Log, Transport
from airflow_pinecone.errors import PineconeError, Unauthorized

# To read or write all records can take hours, so it survives more than other requests: so many attempts, in so many
# seconds.
MAX_ATTEMPTS = 10
RETRY_BUDGET = 300.0
# Messages about repeated requests that are logged. After them, they are only counted.
_LOGGED_MESSAGES = 3
# Seconds after which messages of the threads are logged while a request is not answered.
LOG_INTERVAL = 5.0

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


class _Closed(PineconeError):
    """The answers are no longer needed. The error ends a request that is repeated, and is never shown."""


class _Gate:
    """Limits the requests, and ends them once it is closed."""

    def __init__(self, limit: RateLimit, closed: threading.Event | None) -> None:
        self._limit = limit
        self._closed = closed

    def wait(self) -> None:
        """Wait until the next request may be sent."""
        self._limit.wait()
        if self._closed is not None and self._closed.is_set():
            raise _Closed

    def slow_down(self, retry_after: float | None) -> None:
        """Send fewer requests."""
        self._limit.slow_down(retry_after)


class IndexCalls:
    """Sends the requests to the data plane of one index. Several threads may do so.

    Requests are repeated after 408, 429, 5xx and connection errors: at most 10 attempts, not counting those with
    429, and none starts later than 5 minutes after the first.

    Args:
        transport: Sends the requests.
        index: The index.
        url: The URL of its data plane.
        log: Logs a message.
        retry: Whether to repeat failed requests.

    Attributes:
        index: The index.
        usage: What the requests have cost so far.
    """

    def __init__(self, transport: Transport, index: IndexModel, url: str, log: Log, *, retry: bool = True) -> None:
        self.index = index
        self.usage = Usage()
        self._transport = transport.with_limits(MAX_ATTEMPTS, RETRY_BUDGET, self._keep_message)
        self._retry = retry
        self._url = url
        self._log = log
        self._messages: deque[str] = deque()
        self._lock = threading.Lock()

    def _vectors_namespace(self, namespace: str) -> dict[str, str]:
        """Return the parameter for a namespace. The default namespace is left out: it has two names."""
        name = canonical_namespace(namespace)
        return {} if name == DEFAULT_NAMESPACE else {"namespace": name}

    def _send(
        self, operation: Operation, limit: RateLimit, *, closed: threading.Event | None = None, **request: Any
    ) -> Body:
        body: Body = self._transport.request(
            operation,
            url=self._url,
            decode=record_bodies.decode,
            retry=self._retry,
            gate=_Gate(limit, closed),
            **request,
        )
        with self._lock:
            self.usage.requests += 1
            self.usage.read_units += record_bodies.read_units(body.json)
            self.usage.response_bytes += body.size
        return body

    def _send_here(self, operation: Operation, limit: RateLimit, **request: Any) -> Body:
        """Send a request in the thread of the task, and log what happened."""
        try:
            return self._send(operation, limit, **request)
        finally:
            self.log_messages()

    def _keep_message(self, text: str) -> None:
        """Keep a message of a thread, for the thread of the task to log it."""
        self._messages.append(text)

    def log_messages(self) -> None:
        """Log the messages of the threads; see ``Source``."""
        while self._messages:
            text = self._messages.popleft()
            self.usage.messages += 1
            if self.usage.messages <= _LOGGED_MESSAGES:
                self._log(text)


def result_of(future: Future[Answer], call: Callable[[], Answer], log_messages: Callable[[], object]) -> Answer:
    """Return the result of a request that a thread sends, and log the messages of the threads meanwhile.

    After a 401, this thread sends the request again: only the thread of a task may read the connection.

    Args:
        future: The request.
        call: Sends it again.
        log_messages: Logs the messages.
    """
    try:
        while True:
            try:
                return future.result(LOG_INTERVAL)
            except TimeoutError:
                if future.done():
                    raise
                log_messages()
    except Unauthorized:
        return call()
    finally:
        log_messages()
