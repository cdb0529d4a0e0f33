"""Handle an HTTP request: record it, apply a fault, and let the control plane respond."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import orjson
from aiohttp import web
from multidict import CIMultiDict

from airflow_pinecone.emulator import data_plane
from airflow_pinecone.emulator.control_plane import ControlPlane
from airflow_pinecone.emulator.errors import ApiError, error_body
from airflow_pinecone.emulator.faults import Fault, Faults
from airflow_pinecone.emulator.messages import ApiRequest, ApiResponse, Body, Json, encode
from airflow_pinecone.emulator.request_bodies import parse_json
from airflow_pinecone.emulator.slow_responses import send_slowly

_REQUEST_ID = "x-pinecone-request-id"
_REDACTED = "***"
# Exchanges with the data plane do not keep a larger body.
_MAX_KEPT_BODY = 64 * 1024
# A longer URL is refused, as by most servers.
_MAX_URL = 8 * 1024

_log = logging.getLogger("airflow_pinecone.emulator")


@dataclass
class Exchange:
    """A request and its response.

    Attributes:
        method: The HTTP method.
        path: The path, percent-encoded as it was sent.
        query: The query parameters; the last one of those with the same name.
        raw_query: The query, percent-encoded as it was sent.
        headers: The headers; lookups ignore case. The API key is replaced by "***".
        body: The request body parsed as JSON, or None if it is missing or not JSON. Of the data plane, None if it has
            more than 64 kB.
        peer: The host and port of the client's socket.
        time: When the request arrived, by the emulator's clock.
        status: The status of the response; None if there is no response, because the request still hangs or the
            connection was dropped.
        answer: The response body: a JSON value, text, or None for no body. Of the data plane, None if it has more
            than 64 kB.
        request_id: The request id of the response.
        fault: The fault that affected the request.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any
    peer: tuple[str, int]
    time: float
    status: int | None = None
    answer: Any = None
    request_id: str = field(default_factory=lambda: str(uuid4()))
    fault: Fault | None = None
    raw_query: str = ""


def _get_answer(exchange: Exchange) -> Any:
    """Parse a body of the data plane when it is read, because thousands of them are kept."""
    kept = exchange.__dict__["answer"]
    return orjson.loads(kept.content) if isinstance(kept, Json) else kept


def _set_answer(exchange: Exchange, answer: Any) -> None:
    exchange.__dict__["answer"] = answer


Exchange.answer = property(_get_answer, _set_answer)


class Handler:
    """Handles the requests to an emulator from its start to its stop.

    Its methods run in the event loop of the server.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        faults: Faults,
        exchanges: list[Exchange],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Create a handler that appends to `exchanges`."""
        self._control_plane = control_plane
        self._faults = faults
        self._exchanges = exchanges
        self._loop = loop
        self._closed = False
        # Connections with a request that is being received, requests that wait for the release of their fault, and
        # connections with a slow response.
        self._receiving: set[asyncio.Transport] = set()
        self._waiting: set[asyncio.Future[bool]] = set()
        self._sending: set[asyncio.Transport] = set()

    @property
    def idle(self) -> bool:
        """Whether no request hangs and no slow response is being sent."""
        return not self._waiting and not self._sending

    def close(self) -> None:
        """Close the connection of each request that is incomplete or hangs and of each slow response, now and later."""
        self._closed = True
        for released in list(self._waiting):
            _set_result(released, False)
        for transport in self._receiving | self._sending:
            transport.abort()

    async def handle(self, http_request: web.BaseRequest) -> web.StreamResponse:
        """Handle an HTTP request."""
        try:
            content, content_error = await self._receive(http_request)
        except ConnectionError:
            return web.Response()  # aiohttp requires a response, but the connection is closed.
        request = ApiRequest(
            method=http_request.method,
            target=http_request.raw_path,
            headers=http_request.headers,
            content=content,
            base_url=f"{http_request.scheme}://{http_request.host}",
            content_error=_url_error(http_request) or content_error,
        )
        exchange = self._record(request, http_request)
        fault = exchange.fault
        if fault is None:
            return _http_response(exchange, await self._control_plane.respond(request))
        if not await self._continues(fault, "before"):
            return _drop(http_request, exchange)
        original = await self._control_plane.respond(request) if fault.work else None
        if not await self._continues(fault, "after"):
            return _drop(http_request, exchange)
        fault.reach("response")
        response = _http_response(exchange, fault.response(original))
        if fault.drop == "during":
            return await _send_half(http_request, response)
        if fault.drip or fault.endless:
            return await self._send_slowly(http_request, response, fault)
        return response

    async def _receive(self, http_request: web.BaseRequest) -> tuple[bytes, ApiError | None]:
        """Read the request body. Raises ConnectionError if the client disconnects or the emulator stops."""
        transport = http_request.transport
        if transport is None:
            raise ConnectionResetError
        if self._closed and not http_request.content.is_eof():
            transport.abort()
        self._receiving.add(transport)
        try:
            return await _read(http_request)
        finally:
            self._receiving.discard(transport)

    def _record(self, request: ApiRequest, http_request: web.BaseRequest) -> Exchange:
        """Record a request, with the fault that affects it."""
        api_key = self._control_plane.api_key
        headers = CIMultiDict((name, value.replace(api_key, _REDACTED)) for name, value in request.headers.items())
        if "Api-Key" in headers:  # also a key that is not valid
            headers["Api-Key"] = _REDACTED
        try:
            body = parse_json(request.content) if _is_kept(request.path, request.content) else None
        except ValueError:
            body = None
        peer = http_request.transport.get_extra_info("peername") if http_request.transport else ("", 0)
        exchange = Exchange(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=headers,
            body=body,
            peer=peer[:2],
            time=self._control_plane.scenario.clock(),
            fault=self._faults.claim(request.method, request.path),
            raw_query=request.target.partition("?")[2],
        )
        self._exchanges.append(exchange)
        return exchange

    async def _continues(self, fault: Fault, point: Literal["before", "after"]) -> bool:
        """Apply `hang` and `drop` before or after processing; return False to drop the connection."""
        fault.reach(point)
        if fault.hang == point:
            with self._release_of(fault) as released:
                if not await released:
                    return False
        return fault.drop != point

    @contextlib.contextmanager
    def _release_of(self, fault: Fault) -> Iterator[asyncio.Future[bool]]:
        """Yield a future, with the result True when the fault is released and False when the emulator stops."""
        released = self._loop.create_future()

        def on_release() -> None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: the emulator has stopped.
                self._loop.call_soon_threadsafe(_set_result, released, True)

        if self._closed:
            released.set_result(False)
        self._waiting.add(released)
        fault.call_on_release(on_release)
        try:
            yield released
        finally:
            self._waiting.discard(released)

    async def _send_slowly(
        self, http_request: web.BaseRequest, response: web.Response, fault: Fault
    ) -> web.StreamResponse:
        """Send a response that drips or is endless, and close the connection."""
        transport = http_request.transport
        if transport is None:
            return response
        self._sending.add(transport)
        with self._release_of(fault) as released:
            await send_slowly(http_request.writer.write, response, fault, released)
        self._sending.discard(transport)
        transport.close()
        return web.Response()  # aiohttp requires a response, but the connection is closed.


def invalid_http_response(status: int, message: str) -> web.Response:
    """Return the response to a request that is not valid HTTP; it is not recorded, because it could not be parsed."""
    _log.info("Invalid HTTP request: %s", status)
    content, content_type = encode(error_body(status, message))
    headers = {_REQUEST_ID: str(uuid4()), "Content-Type": content_type}
    return web.Response(status=status, body=content, headers=headers)


async def _read(http_request: web.BaseRequest) -> tuple[bytes, ApiError | None]:
    """Read the request body, and return it or the error."""
    try:
        return await http_request.read(), None
    except web.HTTPRequestEntityTooLarge as error:
        return b"", ApiError(413, error.text or error.reason)
    except web.RequestPayloadError as error:
        return b"", ApiError(400, f"The request body cannot be read: {error}")


def _http_response(exchange: Exchange, response: ApiResponse) -> web.Response:
    """Record a response and convert it for aiohttp."""
    content, content_type = encode(response.body)
    exchange.status = response.status
    exchange.answer = _answer(exchange.path, response.body, content)
    _log.info("%s %s %s", exchange.method, exchange.path, response.status)
    headers = CIMultiDict({_REQUEST_ID: exchange.request_id})
    if content_type:
        headers["Content-Type"] = content_type
    headers.update(response.headers)
    exchange.request_id = headers[_REQUEST_ID]
    return web.Response(status=response.status, body=content, headers=headers)


def _answer(path: str, body: Body, content: bytes) -> Any:
    """Return what an exchange keeps of a response body."""
    if not _is_kept(path, content):
        return None
    return body.decode(errors="replace") if isinstance(body, bytes) else body


def _is_kept(path: str, content: bytes) -> bool:
    """Return whether an exchange keeps a body: a large one of the data plane would take too much memory."""
    return len(content) <= _MAX_KEPT_BODY or not path.startswith(data_plane.PATH)


def _url_error(http_request: web.BaseRequest) -> ApiError | None:
    """Return the error of a URL that is too long."""
    if len(http_request.raw_path) <= _MAX_URL:
        return None
    return ApiError(414, f"The URL has {len(http_request.raw_path)} bytes. At most {_MAX_URL} are allowed.")


def _drop(http_request: web.BaseRequest, exchange: Exchange) -> web.Response:
    _log.info("%s %s: connection dropped", exchange.method, exchange.path)
    if http_request.transport is not None:
        http_request.transport.abort()
    return web.Response()  # aiohttp requires a response, but the connection is closed.


async def _send_half(http_request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
    """Send the headers and half of the body, and close the connection."""
    body = response.body if isinstance(response.body, bytes) else b""
    half_response = web.StreamResponse(status=response.status, headers=response.headers)
    half_response.content_length = len(body)
    with contextlib.suppress(ConnectionError):  # The client may have disconnected.
        await half_response.prepare(http_request)
        await half_response.write(body[: len(body) // 2])
    if http_request.transport is not None:
        http_request.transport.close()
    return half_response


def _set_result(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)
