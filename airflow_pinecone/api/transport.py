"""How one request is sent, limited in time and size, repeated and parsed. Only ``client`` sends requests with it."""

from __future__ import annotations

import email.utils
import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import requests
import urllib3.exceptions
from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.wait import wait_random_exponential

from airflow_pinecone import __version__
from airflow_pinecone.api.deadline import DeadlineAdapter
from airflow_pinecone.common.clock import Clock
from airflow_pinecone.common.inputs import one_line
from airflow_pinecone.errors import (
    PineconeConnectionError,
    PineconePermanentError,
    PineconeRequestError,
    PineconeTransientError,
)

# A request is attempted at most MAX_ATTEMPTS times. No attempt starts more than RETRY_BUDGET seconds after the first.
MAX_ATTEMPTS = 5
RETRY_BUDGET = 60.0
# Far larger than a page of 100 backups with full metadata schemas.
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
_BACKOFF = wait_random_exponential(multiplier=1, max=20)

Log = Callable[[str], object]


@dataclass(frozen=True)
class Settings:
    """The settings of a client, as an Airflow connection holds them.

    Error trackers record variables, and each item of a tuple. So this is not a tuple, and its ``repr`` omits the key.

    Attributes:
        conn_id: The id of the connection, for messages.
        url: The control plane: scheme, host and optional port.
        api_key: The API key.
        api_version: The version of the API, such as ``2025-10``.
        timeout: Seconds allowed to connect, and separately to receive the whole response.
    """

    conn_id: str
    url: str
    api_key: str = field(repr=False)
    api_version: str
    timeout: float


class Operation(NamedTuple):
    """One call of the API.

    Attributes:
        method: The HTTP method.
        path: The segments of the path, not quoted.
        description: What the call does, as a verb phrase for messages, such as ``describe backup X``.
        hints: What a user can do about an HTTP status of this call, or about a 403 that means ``quota`` or ``plan``.
            They replace the general hints.
    """

    method: str
    path: tuple[str, ...]
    description: str
    hints: Mapping[int | str, str] = MappingProxyType({})

    def invalid_response(self, problem: str) -> PineconeTransientError:
        """Return the error for an invalid response.

        Args:
            problem: What is wrong, to complete the sentence 'the response ...'.

        Returns:
            The error.
        """
        return PineconeTransientError(f"Could not {self.description}: the response {problem}.")


class Transport:
    """Sends requests to one control plane.

    Args:
        settings: The settings.
        log: Logs a message when a request is repeated.
        clock: The clock for delays between attempts.
    """

    def __init__(self, settings: Settings, log: Log, clock: Clock) -> None:
        """Open a session; no request is sent yet."""
        self.settings = settings
        self.session = _Session(settings)
        self._log = log
        self._clock = clock

    def request(
        self,
        operation: Operation,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        retry: bool = True,
        url: str | None = None,
    ) -> Any:
        """Send a request, and repeat it if that is safe and can help.

        Args:
            operation: The call. A POST is repeated only if Pinecone did not process it.
            params: The query.
            body: The body, sent as JSON.
            retry: Whether the request may be repeated.
            url: The base URL to send it to; None for the control plane.

        Returns:
            The JSON of a 2xx response; None if it has no body, or if a repeated DELETE found nothing.

        Raises:
            PineconePermanentError: Pinecone rejected the request.
            PineconeTransientError: The request failed, and repeating it later can help.
        """
        deadline = self._clock.monotonic() + RETRY_BUDGET

        def can_repeat(error: BaseException) -> bool:
            safe = operation.method in ("GET", "DELETE") or was_not_processed(error)
            return safe and isinstance(error, PineconeTransientError)

        def backoff(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            retry_after = error.retry_after if isinstance(error, PineconeRequestError) else None
            left = deadline - self._clock.monotonic()
            return max(0.0, min(max(_BACKOFF(state), retry_after or 0.0), left))

        def log_attempt(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            self._log(f"{error} Repeating the request in {state.upcoming_sleep:.1f} s.")

        def is_last(state: RetryCallState) -> bool:
            return state.attempt_number >= (MAX_ATTEMPTS if retry else 1) or self._clock.monotonic() >= deadline

        attempts = Retrying(
            retry=retry_if_exception(can_repeat),
            wait=backoff,
            stop=is_last,
            sleep=self._clock.sleep,
            before_sleep=log_attempt,
            reraise=True,
        )
        for attempt in attempts:
            with attempt:
                try:
                    return self._send(operation, url or self.settings.url, params, body)
                except PineconePermanentError as error:
                    # An earlier attempt, whose response was lost, may have deleted the resource.
                    repeated = attempt.retry_state.attempt_number > 1
                    if operation.method == "DELETE" and error.status_code == 404 and repeated:
                        return None
                    raise
        raise AssertionError("unreachable: tenacity returns or raises")

    def _send(
        self,
        operation: Operation,
        url: str,
        params: Mapping[str, str | int] | None,
        body: Mapping[str, Any] | None,
    ) -> Any:
        path = "/".join(quote(segment, safe="") for segment in operation.path)
        try:
            with self.session.request(
                operation.method,
                f"{url}/{path}",
                params=params,
                json=body,
                timeout=self.settings.timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                content = _read(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = self._connection_error(error, operation, url)
        else:
            return self._parse(response, content, operation)
        # Raise outside the except block: the caught error holds the request, which contains the API key.
        raise failure

    def _parse(self, response: requests.Response, content: bytes, operation: Operation) -> Any:
        try:
            answer = json.loads(content) if content.strip() else None
            _check_json(answer)
        except (ValueError, RecursionError):
            pass
        else:
            if 200 <= response.status_code < 300:
                return answer
            if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
                raise self._http_error(response, answer["error"].get("code"), answer["error"].get("message"), operation)
        raise self._http_error(response, None, content, operation)

    def _http_error(
        self, response: requests.Response, code: Any, message: Any, operation: Operation
    ) -> PineconeRequestError:
        status = response.status_code
        secret = self.settings.api_key
        code = one_line(code, secret) or None
        message = one_line(message, secret)
        request_id = response.headers.get("x-pinecone-request-id") or response.headers.get("x-request-id")
        request_id = one_line(request_id, secret) or None
        retry_after = _retry_after(response.headers.get("Retry-After"), self._clock.time())
        sentences = [
            f"Could not {operation.description}: HTTP {status}{f' {code}' if code else ''}"
            f"{f', {message!r}' if message else ''}.",
            operation.hints.get(status) or self._hint(status, code, message, operation),
            f"Pinecone asks to retry after {retry_after:.0f} s." if (retry_after or 0) > RETRY_BUDGET else "",
            f"Pinecone request id: {request_id}." if request_id else "",
        ]
        # A 2xx response that is not JSON comes from something between the client and Pinecone.
        can_repeat = 200 <= status < 300 or status in (408, 429) or status >= 500
        return (PineconeTransientError if can_repeat else PineconePermanentError)(
            " ".join(filter(None, sentences)),
            status_code=status,
            code=code,
            message=message,
            request_id=request_id,
            retry_after=retry_after,
        )

    def _hint(self, status: int, code: str | None, message: str, operation: Operation) -> str:
        """Return what a user can do about an HTTP status."""
        connection = f"connection {self.settings.conn_id}"
        if status < 400:
            return f"This is not a response from Pinecone. Check the host of {connection}, and any proxy."
        if status == 401:
            return f"Check the API key in the password field of {connection}."
        if status == 402:
            return "Pay the past-due invoices of the Pinecone account."
        if status == 403:
            # A 403 has four meanings, which only its message distinguishes.
            text = f"{code} {message}".lower()
            if "deletion protection" in text:
                return "The index is protected from deletion. Disable its deletion protection first."
            if re.search(r"\b(quota|exhausted)\b", text):
                return operation.hints.get("quota") or "The project has reached a quota. Ask Pinecone for a higher one."
            if re.search(r"\b(plan|upgrade)\b", text):
                return operation.hints.get("plan") or "The plan of this project does not permit this. Upgrade the plan."
            return f"The API key of {connection} lacks permission. Use a key with a role that permits this operation."
        return {
            404: f"Check the name or id, and that the API key of {connection} belongs to its project.",
            422: "Pinecone could not parse the request. Check the name and the description.",
        }.get(status, "")

    def _connection_error(self, error: Exception, operation: Operation, url: str) -> PineconeConnectionError:
        reason: Any = error
        if isinstance(error, requests.ConnectionError) and error.args:
            reason = getattr(error.args[0], "reason", None) or error.args[0]
        elif isinstance(error, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
            reason = f"no complete response within {self.settings.timeout:g} s"
        # A ProxyError can also mean that the response was lost between the proxy and the client: check its cause.
        root = reason.original_error if isinstance(reason, urllib3.exceptions.ProxyError) else reason
        unsent = isinstance(
            root,
            (
                requests.exceptions.InvalidSchema,
                requests.exceptions.InvalidURL,
                urllib3.exceptions.ConnectTimeoutError,
                urllib3.exceptions.LocationValueError,
                urllib3.exceptions.NewConnectionError,
            ),
        )
        # A plain OSError occurs before the request is sent: a proxy refused the tunnel, or the CA bundle is missing.
        # Later errors are wrapped.
        unsent = unsent or type(root) is OSError
        hint = ""
        if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            # The TLS handshake precedes the request.
            unsent = True
            hint = " Set the environment variable REQUESTS_CA_BUNDLE to your CA bundle."
        text = f"Could not {operation.description} at {url}: {one_line(str(reason), self.settings.api_key)}.{hint}"
        return PineconeConnectionError(text, sent=not unsent)


class _Session(requests.Session):
    """A session that sends the API key only to the host of the request."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, DeadlineAdapter())
        # If auth were None, requests would send the credentials from a .netrc file.
        self.auth = _unchanged
        self.headers.update(
            {
                "Api-Key": settings.api_key,
                "X-Pinecone-Api-Version": settings.api_version,
                "User-Agent": f"airflow-pinecone/{__version__}",
                "Accept": "application/json",
            }
        )

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Ignore redirects: requests would forward the API key, and would read even an endless body first."""
        return None

    def merge_environment_settings(self, url: Any, proxies: Any, *args: Any, **kwargs: Any) -> Any:
        """Use no proxy for loopback addresses, where plain http is allowed."""
        host = urlsplit(url).hostname or ""
        if not is_loopback(host):
            return super().merge_environment_settings(url, proxies, *args, **kwargs)
        # With "no_proxy", requests does not search the whole environment for proxies at each request.
        settings = super().merge_environment_settings(url, {"no_proxy": host}, *args, **kwargs)
        settings["proxies"] = {}
        return settings


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or ``localhost``. The name is not resolved."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def was_not_processed(error: BaseException) -> bool:
    """Return whether it is certain that Pinecone did not process the request that raised an error."""
    if isinstance(error, PineconeConnectionError):
        return not error.sent
    return isinstance(error, PineconeRequestError) and error.status_code == 429


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _read(response: requests.Response) -> bytes:
    """Read at most MAX_RESPONSE_BYTES of the body."""
    content = bytearray()
    while chunk := response.raw.read(65536, decode_content=True):
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise requests.exceptions.ContentDecodingError(f"the response is longer than {MAX_RESPONSE_BYTES} bytes")
    return bytes(content)


def _check_json(value: Any, levels: int = 100) -> None:
    """Reject values that XCom and trigger events cannot store. An event that cannot be encoded stops the triggerer.

    Raises:
        ValueError: The value has NaN, an infinite or very large number or a lone surrogate, or is nested too deeply.
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


def _retry_after(value: str | None, now: float) -> float | None:
    """Parse a Retry-After header, seconds or an HTTP date, into seconds from now."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
