"""How a request gets to Pinecone's control plane and what its answer means; used by the hook alone."""

from __future__ import annotations

import email.utils
import http.client
import io
import ipaddress
import json
import math
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_after_delay
from tenacity.wait import wait_random_exponential

from airflow_pinecone.errors import (
    PineconeConnectionError,
    PineconePermanentError,
    PineconeRequestError,
    PineconeTransientError,
)

# One call is asked again at most this often, and not once this many seconds have passed.
MAX_ATTEMPTS = 5
RETRY_BUDGET = 60.0
# A page of 100 backups with full metadata schemas stays far below this.
MAX_ANSWER_BYTES = 32 * 1024 * 1024
_MESSAGE_LENGTH = 500
_BACKOFF = wait_random_exponential(multiplier=1, max=20)


class Settings(NamedTuple):
    """What an Airflow connection says.

    Attributes:
        conn_id: The id of the connection, for messages.
        url: The control plane: scheme, host and maybe port.
        api_key: The key.
        api_version: The version of the API, such as ``2025-10``.
        timeout: Seconds to connect, and then for the whole answer, from the end of the request to its last byte.
    """

    conn_id: str
    url: str
    api_key: str
    api_version: str
    timeout: float

    def __repr__(self) -> str:
        """Leave out the key: what reports an error may show the variables of its frames."""
        return f"Settings(conn_id={self.conn_id!r}, url={self.url!r})"


class Session(requests.Session):
    """A session that hands the key in its headers to nobody but the host that is asked.

    The read timeout of a request is for the whole answer, not for each piece of it.
    """

    def __init__(self) -> None:
        """Make it like any other, but for its way out."""
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Know no redirect: requests would send the key on, and without following still read an endless body."""
        return None

    def merge_environment_settings(self, url: Any, *args: Any, **kwargs: Any) -> Any:
        """Take no proxy to loopback: plain http is fine there, but not by way of a proxy elsewhere."""
        settings = super().merge_environment_settings(url, *args, **kwargs)
        if is_loopback(urlsplit(url).hostname or ""):
            settings["proxies"] = {}
        return settings


class _Adapter(requests.adapters.HTTPAdapter):
    """The way out, direct or by a proxy."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        made = pool.ConnectionCls
        if made.response_class is not _Answer:
            # Made of what is there: connections that are plain, TLS or by a SOCKS proxy have classes of their own.
            pool.ConnectionCls = type(made.__name__, (made,), {"response_class": _Answer})
        return pool


class _Answer(http.client.HTTPResponse):
    """An answer that has to come within the timeout of its socket; also that of a proxy to a CONNECT."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        if timeout is not None:
            self.fp = io.BufferedReader(_Deadline(self.fp.detach(), sock, timeout))


class _Deadline(io.RawIOBase):
    """What a socket says until a time: its own timeout begins anew with each byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, timeout: float) -> None:
        self._raw = raw
        self._sock = sock
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            # What follows on this socket, such as the handshake in a tunnel, has a whole one again.
            self._sock.settimeout(self._timeout)

    def close(self) -> None:
        self._raw.close()
        super().close()


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine, going by its name alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def call(
    session: requests.Session,
    settings: Settings,
    method: str,
    path: str,
    *,
    doing: str,
    say: Callable[[str], object],
    params: dict[str, str | int] | None = None,
    body: dict[str, Any] | None = None,
    retry: bool = True,
) -> Any:
    """Make a request, and make it again where that is safe and can help.

    Args:
        session: The session to use; it carries the headers.
        settings: What the connection says.
        method: The HTTP method. A POST is sent again only where Pinecone surely did not act on it.
        path: The path below the control plane, quoted.
        doing: What the request is for, as the end of 'Could not ...'.
        say: Where to say that the request is made again.
        params: The query.
        body: The body, sent as JSON.
        retry: Whether the request is made again at all.

    Returns:
        The JSON of a 2xx answer; None where it has no body, or a DELETE that was sent again found nothing.

    Raises:
        PineconePermanentError: The request was refused.
        PineconeTransientError: No good answer came, though asking again may help.
    """

    def can_ask_again(error: BaseException) -> bool:
        safe = method in ("GET", "DELETE") or surely_not_acted_on(error)
        return safe and isinstance(error, PineconeTransientError)

    def say_why(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        say(f"{error} Asking again in {state.upcoming_sleep:.1f} s.")

    retrying = Retrying(
        retry=retry_if_exception(can_ask_again),
        wait=_pause,
        stop=stop_after_attempt(MAX_ATTEMPTS if retry else 1) | stop_after_delay(RETRY_BUDGET),
        before_sleep=say_why,
        reraise=True,
    )
    for attempt in retrying:
        with attempt:
            try:
                return _send(session, settings, method, path, doing, params, body)
            except PineconePermanentError as error:
                # The DELETE that was sent before may have worked although its answer was lost.
                if method == "DELETE" and error.status_code == 404 and attempt.retry_state.attempt_number > 1:
                    return None
                raise
    raise AssertionError("unreachable: tenacity returns or raises")


def surely_not_acted_on(error: BaseException) -> bool:
    """Say whether Pinecone surely did not act on the request that ended in this error."""
    if isinstance(error, PineconeConnectionError):
        return not error.sent
    return isinstance(error, PineconeRequestError) and error.status_code == 429


def _send(
    session: requests.Session,
    settings: Settings,
    method: str,
    path: str,
    doing: str,
    params: dict[str, str | int] | None,
    body: dict[str, Any] | None,
) -> Any:
    try:
        with session.request(
            method,
            f"{settings.url}/{path}",
            params=params,
            json=body,
            timeout=settings.timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            content = _read(response)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        failure = _no_answer(error, doing, settings)
    else:
        return _understand(response, content, doing, settings)
    # Raised out here, as the caught error holds the request, and with it the key.
    raise failure


def _understand(response: requests.Response, content: bytes, doing: str, settings: Settings) -> Any:
    try:
        answer = json.loads(content) if content.strip() else None
        _check(answer)
    except (ValueError, RecursionError):
        pass
    else:
        if 200 <= response.status_code < 300:
            return answer
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            raise _refusal(response, answer["error"].get("code"), answer["error"].get("message"), doing, settings)
    raise _refusal(response, None, content, doing, settings)


def _check(value: Any, levels: int = 100) -> None:
    """Refuse what no XCom and no event of a trigger can hold: one such event ends a whole triggerer.

    Raises:
        ValueError: There is NaN, an infinite or a huge number, half of a surrogate pair, or too many levels in it.
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
            _check(inner, levels - 1)


def _refusal(
    response: requests.Response, code: Any, message: Any, doing: str, settings: Settings
) -> PineconeRequestError:
    status = response.status_code
    code = short(code, settings.api_key) or None
    message = short(message, settings.api_key)
    request_id = response.headers.get("x-pinecone-request-id") or response.headers.get("x-request-id")
    request_id = short(request_id, settings.api_key) or None
    advice = _advice(status, code, message, doing, settings.conn_id)
    sentences = [
        f"Could not {doing}: HTTP {status}{f' {code}' if code else ''}{f', {message!r}' if message else ''}.",
        f"{advice}." if advice else "",
        f"Pinecone's request id was {request_id}." if request_id else "",
    ]
    can_help = 200 <= status < 300 or status in (408, 429) or status >= 500
    return (PineconeTransientError if can_help else PineconePermanentError)(
        " ".join(filter(None, sentences)),
        status_code=status,
        code=code,
        message=message,
        request_id=request_id,
        retry_after=_retry_after(response.headers.get("Retry-After")),
    )


def _read(response: requests.Response) -> bytes:
    """Read the body, at most MAX_ANSWER_BYTES of it."""
    content = bytearray()
    while chunk := response.raw.read(65536, decode_content=True):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise requests.exceptions.ContentDecodingError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)


def _no_answer(error: Exception, doing: str, settings: Settings) -> PineconeConnectionError:
    reason: Any = error
    if isinstance(error, requests.ConnectionError) and error.args:
        reason = getattr(error.args[0], "reason", None) or error.args[0]
    elif isinstance(error, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
        reason = f"the answer took longer than {settings.timeout:g} s"
    # A ProxyError also stands for an answer that was lost on its way through the proxy: look at what is in it.
    root = reason.original_error if isinstance(reason, urllib3.exceptions.ProxyError) else reason
    unsent = isinstance(
        root,
        (
            requests.exceptions.InvalidSchema,
            requests.exceptions.InvalidURL,
            urllib3.exceptions.ConnectTimeoutError,
            urllib3.exceptions.NewConnectionError,
        ),
    )
    # Plain ones: a proxy that grants no tunnel, a CA bundle that is not there. All later ones come wrapped.
    unsent = unsent or type(root) is OSError
    advice = ""
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        # The handshake comes before the request.
        unsent = True
        advice = " Name your CA bundle in the environment variable REQUESTS_CA_BUNDLE."
    text = f"Could not {doing} at {settings.url}: {short(str(reason), settings.api_key)}.{advice}"
    return PineconeConnectionError(text, sent=not unsent)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, PineconeRequestError) else None
    left = RETRY_BUDGET - (state.seconds_since_start or 0.0)
    return max(0.0, min(max(_BACKOFF(state), asked or 0.0), left))


def _retry_after(value: str | None) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from now."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _advice(status: int, code: str | None, message: str, doing: str, conn_id: str) -> str:
    if status < 400:
        return "That is no answer of Pinecone's: check the host of the connection, and any proxy on the way"
    if status == 400 and doing.startswith("create a backup"):
        return "A pod-based index cannot be backed up, nor one whose project has a customer-managed key"
    if status == 401:
        return f"Check the API key, the password of connection {conn_id}"
    if status == 402:
        return "Pinecone wants the account's past due invoices paid first"
    if status == 403:
        said = f"{code} {message}".lower()
        if "deletion protection" in said:
            return "The index is protected from deletion; switch that off first"
        if "quota" in said or "exhausted" in said:
            return (
                "The quota is full. Pinecone keeps 500 backups a project on Standard and 1,000 on Enterprise: prune "
                "old ones (a PruneBackupsOperator with dry_run=True lists what may go), or ask Pinecone for more"
            )
        if "plan" in said or "upgrade" in said:
            return "The plan of this project has no backups; they need a paid plan"
        return f"The API key of connection {conn_id} lacks the right; use a key with a role that may do this"
    if status == 404:
        return f"Check the name or id, and that the API key of connection {conn_id} belongs to its project"
    if status == 412:
        return "Wait until the restore from it has ended, and try again"
    if status == 422:
        return "Pinecone could not read the request: check its name and description"
    return ""


def short(value: object, secret: str = "") -> str:
    """Put what came from outside on one line of at most 500 characters, with ``secret`` masked."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str("" if value is None else value)
    if secret:
        # Before the cut, which could leave a part of it.
        text = text.replace(secret, "***")
    text = " ".join(text[: 4 * _MESSAGE_LENGTH].split())
    # Half of a surrogate pair cannot be passed on, and a terminal obeys an escape.
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= _MESSAGE_LENGTH else text[: _MESSAGE_LENGTH - 3] + "..."
