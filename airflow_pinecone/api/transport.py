"""How one request is sent, limited in time and size, repeated and parsed."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import quote

import requests
import urllib3.exceptions
from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.wait import wait_random_exponential
from urllib3.util import Retry

from airflow_pinecone.api.advice import Response, connection_error, request_error
from airflow_pinecone.api.key import ApiKey, ReadSettings
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.session import Session
from airflow_pinecone.api.settings import Settings
from airflow_pinecone.common.clock import Clock
from airflow_pinecone.common.inputs import validate_bools
from airflow_pinecone.common.text import explain, show_request_id
from airflow_pinecone.errors import (
    CreateOutcomeUnknown,
    NotFound,
    PineconeConnectionError,
    PineconeError,
    PineconeInputError,
    PineconeRequestError,
    PineconeTransientError,
    Unauthorized,
)

# A request is attempted at most MAX_ATTEMPTS times. No attempt starts more than RETRY_BUDGET seconds after the first.
MAX_ATTEMPTS = 5
RETRY_BUDGET = 60.0
# Far larger than a page of 100 backups with full metadata schemas.
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
# Reference: https://grpc.io/docs/guides/status-codes/
_GRPC_CODES = {
    3: "INVALID_ARGUMENT",
    5: "NOT_FOUND",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    16: "UNAUTHENTICATED",
}
_BACKOFF = wait_random_exponential(multiplier=1, max=20)

Log = Callable[[str], object]
# The query of a request, or its quoted text.
Params = Mapping[str, str | int] | str
Created = TypeVar("Created")


def decode_json(content: bytes) -> Any:
    """Return the JSON of a body, or None for an empty body.

    Raises:
        ValueError: It is not JSON, or XCom cannot store it.
        RecursionError: It is nested too deeply.
    """
    answer = json.loads(content) if content.strip() else None
    _check_json(answer)
    return answer


class Gate(Protocol):
    """Limits how often requests are sent."""

    def wait(self) -> None:
        """Wait until the next request may be sent."""

    def slow_down(self, retry_after: float | None) -> None:
        """Send fewer requests: Pinecone has rejected one with 429, and asks to wait so many seconds."""


class Transport:
    """Sends requests to one control plane.

    Args:
        settings: The settings.
        log: Logs a message when a request is repeated.
        clock: The clock for delays between attempts.
        read_again: Reads the settings again after Pinecone has rejected the API key; None keeps the key.
    """

    def __init__(self, settings: Settings, log: Log, clock: Clock, read_again: ReadSettings | None = None) -> None:
        """Open a session; no request is sent yet."""
        self._key = ApiKey(settings, read_again, log, clock)
        self.session = Session(self._key, settings.api_version)
        self._log = log
        self._clock = clock
        self._max_attempts = MAX_ATTEMPTS
        self._retry_budget = RETRY_BUDGET

    @property
    def settings(self) -> Settings:
        """The settings, with the API key that is in use."""
        return self._key.settings

    def with_limits(self, max_attempts: int, retry_budget: float, log: Log) -> Self:
        """Return a transport that repeats requests for longer, with the same key and session.

        Args:
            max_attempts: How often a request is attempted at most.
            retry_budget: Seconds from the first attempt during which another one may start.
            log: Logs a message when a request is repeated.
        """
        transport = copy.copy(self)
        transport._max_attempts, transport._retry_budget, transport._log = max_attempts, retry_budget, log
        return transport

    def request(
        self,
        operation: Operation,
        *,
        params: Params | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        retry: bool = True,
        url: str | None = None,
        decode: Callable[[bytes], Any] = decode_json,
        gate: Gate | None = None,
        renew: bool = True,
    ) -> Any:
        """Send a request, and repeat it if that is safe and can help.

        Args:
            operation: The call. A POST is repeated only if Pinecone did not process it.
            params: The query.
            body: The body, sent as JSON. Bytes are JSON already.
            retry: Whether the request may be repeated after a failure that may be temporary. After a 401, it is
                repeated once if there is a new API key.
            url: The base URL to send it to; None for the control plane.
            decode: Reads the body of a response. It raises ValueError if the body is invalid.
            gate: Limits how often requests are sent; None does not.
            renew: Whether to read the connection again after a 401. Only the thread of a task may.

        Returns:
            What ``decode`` makes of a 2xx response; None if a repeated DELETE found nothing.

        Raises:
            PineconePermanentError: Pinecone rejected the request.
            PineconeTransientError: The request failed, and repeating it later can help.
            ConnectionChanged: Pinecone rejected the API key, and the connection names another control plane now.
            PineconeInputError: The body cannot be sent as JSON.
        """
        validate_bools(retry=retry)
        try:
            content = body if isinstance(body, bytes | None) else json.dumps(body, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            problem = f"the body of the request is not JSON: {error}"
            raise PineconeInputError(explain(f"Could not {operation.description}.", problem)) from None
        # It starts after the first wait at the gate.
        deadline = math.inf

        may_be_processed = False
        logged = ""
        # The rejections that only ask the threads of the gate to send fewer requests. They are not counted as attempts.
        slowed_down = 0

        def can_repeat(error: BaseException) -> bool:
            nonlocal may_be_processed
            if not isinstance(error, PineconeTransientError):
                return False
            if isinstance(error, PineconeRequestError) and error.status_code == 501:
                return False
            may_be_processed = may_be_processed or not was_not_processed(error)
            if gate is not None and isinstance(error, PineconeRequestError):
                # All requests of the gate would wait, even longer than the message says.
                left = deadline - self._clock.monotonic()
                if (error.retry_after or 0.0) > left:
                    return False
            return operation.is_repeatable or was_not_processed(error)

        def backoff(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            retry_after = error.retry_after if isinstance(error, PineconeRequestError) else None
            left = deadline - self._clock.monotonic()
            return max(0.0, min(max(_BACKOFF(state), retry_after or 0.0), left))

        def log_attempt(state: RetryCallState) -> None:
            nonlocal logged
            error = state.outcome.exception() if state.outcome else None
            reason = error.reason if isinstance(error, PineconeError) else ""
            again = f"Repeating the request in {state.upcoming_sleep:.1f} s (failed attempts: {state.attempt_number})."
            # A reason is logged once.
            self._log(again if reason == logged else f"Could not {operation.description}: {reason}. {again}")
            logged = reason

        def is_last(state: RetryCallState) -> bool:
            counted = state.attempt_number - slowed_down
            return not retry or counted >= self._max_attempts or self._clock.monotonic() >= deadline

        attempts = Retrying(
            retry=retry_if_exception(can_repeat),
            wait=backoff,
            stop=is_last,
            sleep=self._clock.sleep,
            before_sleep=log_attempt,
            reraise=True,
        )
        send = partial(self._send, operation, url or self.settings.url, params, content, decode)
        for attempt in attempts:
            with attempt:
                if gate is not None:
                    gate.wait()
                if deadline == math.inf:
                    deadline = self._clock.monotonic() + self._retry_budget
                try:
                    return self._with_valid_key(send) if renew else send()
                except PineconeRequestError as error:
                    if gate is not None and error.status_code == 429:
                        gate.slow_down(error.retry_after)
                        slowed_down += 1
                    # An earlier attempt, whose response was lost, may have deleted the resource.
                    if isinstance(error, NotFound) and operation.method == "DELETE" and may_be_processed:
                        return None
                    raise
        raise AssertionError("unreachable: tenacity returns or raises")

    def create(
        self,
        operation: Operation,
        fields: Mapping[str, Any],
        read: Callable[[Any, Operation], Created],
        *,
        url: str | None = None,
    ) -> Created:
        """Send a request that creates something, and return what ``read`` makes of the response.

        Args:
            operation: The call.
            fields: The body. Fields that are None are left out.
            read: Checks the response.
            url: The base URL to send it to; None for the control plane.

        Raises:
            CreateOutcomeUnknown: Pinecone may have processed the request.
            PineconeError: As ``request``.
        """
        body = {name: value for name, value in fields.items() if value is not None}
        try:
            return read(self.request(operation, body=body, url=url), operation)
        except PineconeTransientError as error:
            if was_not_processed(error):
                raise
            text = explain(
                f"The outcome of a request to {operation.description} is unknown.",
                error.reason,
                "Check whether it was created before you repeat the request.",
                show_request_id(error.request_id),
            )
            raise CreateOutcomeUnknown(text, reason=error.reason) from None

    def _with_valid_key(self, send: Callable[[], Any]) -> Any:
        """Send a request once, and once more after a 401 if there is a new API key."""
        generation = self._key.generation
        try:
            return send()
        except Unauthorized:
            if not self._key.renew(generation):
                raise
        return send()

    def _send(
        self,
        operation: Operation,
        url: str,
        params: Params | None,
        content: bytes | None,
        decode: Callable[[bytes], Any],
    ) -> Any:
        if {".", ".."} & set(operation.path):
            # The URL would have another path: a client removes such segments, also if they are quoted.
            text = explain(f"Could not {operation.description}.", "the name . or .. cannot be in the path of a URL")
            raise PineconeInputError(text)
        path = "/".join(quote(segment, safe="") for segment in operation.path)
        try:
            with self.session.request(
                operation.method,
                f"{url}/{path}",
                params=params,
                data=content,
                headers=None if content is None else {"Content-Type": "application/json"},
                timeout=self.settings.timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                content = _read(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = connection_error(operation, error, url, self.settings, self._key.hide)
        else:
            return self._parse(response, content, operation, decode)
        # Raise outside the except block: the caught error holds the request, which contains the API key.
        raise failure

    def _parse(
        self, response: requests.Response, content: bytes, operation: Operation, decode: Callable[[bytes], Any]
    ) -> Any:
        is_success = 200 <= response.status_code < 300
        try:
            answer = decode(content) if is_success else decode_json(content)
        except (ValueError, RecursionError):
            pass
        else:
            if is_success:
                return answer
            # This name, because it is one of those that may hold the key if Pinecone quotes it.
            answer = _details(answer)
            if answer is not None:
                raise self._error(operation, response, answer.get("code"), answer.get("message"))
        # Raise outside the except block: the caught error holds the content.
        raise self._error(operation, response, None, content)

    def _error(
        self, operation: Operation, response: requests.Response, code: object, message: object
    ) -> PineconeRequestError:
        """Return the error for a response. The API key is masked in what it says."""
        hide, headers = self._key.hide, response.headers
        said = Response(
            status=response.status_code,
            code=hide(code) or None,
            message=hide(message),
            request_id=hide(headers.get("x-pinecone-request-id") or headers.get("x-request-id")) or None,
            retry_after=_retry_after(headers.get("Retry-After")),
        )
        return request_error(operation, said, self.settings, max_retry_after=self._retry_budget)


def _details(answer: Any) -> dict[str, Any] | None:
    """Return the details of an error response; None if it has none."""
    if not isinstance(answer, dict):
        return None
    if isinstance(answer.get("error"), dict):
        details: dict[str, Any] = answer["error"]
        return details
    # The vectors API responds with a status of gRPC.
    if type(answer.get("code")) is int and isinstance(answer.get("message"), str):
        return {"code": _GRPC_CODES.get(answer["code"]), "message": answer["message"]}
    return None


def was_not_processed(error: BaseException) -> bool:
    """Return whether it is certain that Pinecone did not process the request that raised an error."""
    if isinstance(error, PineconeConnectionError):
        return not error.sent
    return isinstance(error, PineconeRequestError) and error.status_code == 429


def _read(response: requests.Response) -> bytes:
    """Read at most MAX_RESPONSE_BYTES of the body."""
    headers = response.headers
    length = headers.get("Content-Length", "")
    if "Content-Encoding" not in headers and length.isdecimal() and int(length) <= MAX_RESPONSE_BYTES:
        # Without the copies of the loop below: most responses.
        return response.raw.read()
    content = bytearray()
    while chunk := response.raw.read(65536, decode_content=True):
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise requests.exceptions.ContentDecodingError(f"the response is longer than {MAX_RESPONSE_BYTES} bytes")
    return bytes(content)


def _check_json(value: Any, levels: int = 100) -> None:
    """Raise ValueError for what XCom and trigger events cannot store. A bad event stops the triggerer.

    These are NaN, infinite and very large numbers, lone surrogates, and values that are nested too deeply.
    """
    if not levels:
        raise ValueError
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, int | float):
        if not abs(value) < 2**63:
            raise ValueError
    elif value:
        for inner in value if isinstance(value, list) else [*value, *value.values()]:
            _check_json(inner, levels - 1)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which has seconds or a date; None if it is missing or invalid."""
    try:
        return float(Retry().parse_retry_after(value)) if value else None
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None
