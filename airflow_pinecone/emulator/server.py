"""The emulator's network: an HTTP server in a thread, the record of its exchanges, and scripted faults."""

import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from aiohttp import web
from multidict import CIMultiDict

from airflow_pinecone.emulator.control_plane import Call, ControlPlane
from airflow_pinecone.emulator.faults import Fault, encode

REQUEST_ID = "x-pinecone-request-id"
# Seconds between two bytes that drip: shorter than a client's time-out, and yet a whole answer outlasts it.
_DRIP_PAUSE = 0.2

_log = logging.getLogger("airflow_pinecone.emulator")


@dataclass
class Exchange:
    """A request and what became of it.

    Attributes:
        method: The HTTP method.
        path: The path, quoted as it was sent.
        query: The query's parameters.
        headers: The headers, found in any case; the key's value is replaced by "***".
        body: The request's body parsed as JSON; None when there is none or it is no JSON.
        peer: Host and port of the client's socket.
        time: When it came, by the emulator's clock.
        status: The status of the answer; None while there is none, and when the connection was dropped before.
        answer: The answer's body: a JSON value, else text; None: no body.
        request_id: The answer's request id.
        fault: The scripted fault that struck it.
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


class Emulator(ControlPlane):
    """Pinecone's control plane on a port of this machine.

    A context manager: it listens inside the block, and leaves no thread behind.

    Attributes:
        requests: The exchanges so far, in the order in which the requests came.
    """

    def __init__(
        self,
        api_key: str,
        indexes: Iterable[str] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        **settings: Any,
    ) -> None:
        """Prepare it; it listens once it is started.

        Args:
            api_key: The one key that is let in.
            indexes: Names of indexes to begin with, each with 96 records in 3 namespaces, or `NAME:RECORDS`.
            host: The address to listen on.
            port: The port; 0: a free one, which it keeps from the first start on.
            **settings: The arguments of a `Script`: ready_after, quota, clock and so on.
        """
        self.host = host
        self.port = port
        self.requests: list[Exchange] = []
        self._faults: list[Fault] = []
        self._waiting: set[asyncio.Future[bool]] = set()
        self._sending: set[asyncio.Transport] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        super().__init__(api_key, indexes, **settings)

    @property
    def url(self) -> str:
        """Where it listens, for example `http://127.0.0.1:5080`."""
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Start; returns once it listens. After a `stop` it has the same port and the same state.

        Raises:
            OSError: When it cannot listen, for example because the port is in use.
            RuntimeError: When it runs already.
        """
        if self._thread is not None:
            raise RuntimeError("The emulator runs already.")
        listening = socket.create_server((self.host, self.port))
        self.port = listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=[listening], name="pinecone-emulator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; does nothing when it does not run. Calls that hang or drip in a fault or have no end are dropped."""
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    def fault(
        self,
        method: str,
        path: str,
        *,
        nth: int = 1,
        times: int | None = 1,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | dict[str, Any] | list[Any] | None = None,
        drop: str | None = None,
        hang: str | None = None,
        drip: str | None = None,
        endless: bool = False,
        work: bool = False,
    ) -> Fault:
        """Let calls go wrong. Where several rules fit a call, the one made first strikes it.

        Args:
            method: The HTTP method; "*": any.
            path: The path, quoted as it is sent; `*` stands for (a part of) a segment, "*" alone for all.
            nth: It begins with the nth call that fits, counted from when the rule was made.
            times: How many calls it strikes; None: all that follow.
            status: The status to answer, without doing the work unless `work`.
            headers: Headers to add to the answer.
            body: The answer's body; bytes and text as they are, else as JSON. If not given: that of the work
                if it was done and `status` is no error, else the published error body for `status`.
            drop: When the connection is dropped: "before" the work, "after" it (the answer is lost), or
                "during" the answer (half of its body is sent).
            hang: When the call hangs, until it or all are released, or the emulator stops: "before" the work
                or "after" it. After its release it goes on as if nothing had happened.
            drip: The answer is sent byte by byte, five a second: from its first byte ("head"), or from its body
                on ("body"). After its release the rest comes at once.
            endless: The answer's body has no end, until the fault or all are released: blanks follow it, as fast
                as they are read, or dripping.
            work: With `status`: the work is done all the same, and its answer lost.

        Returns:
            The rule; `hits` tells how often it struck, `wait` waits until it does.

        Raises:
            ValueError: When the arguments make no sense.
        """
        fault = Fault(
            method,
            path,
            nth=nth,
            times=times,
            status=status,
            headers=headers,
            body=body,
            drop=drop,
            hang=hang,
            drip=drip,
            endless=endless,
            work=work,
        )
        return self.add_fault(fault)

    def add_fault(self, fault: Fault) -> Fault:
        """Put a fault in force; returns it."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def release(self) -> None:
        """Let all calls go on that hang or drip in a fault or have no end."""
        for fault in list(self._faults):
            fault.release()

    def _run(self, listening: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listening))

    async def _serve(self, listening: socket.socket) -> None:
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=10.0)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        await self._stopping.wait()
        # A connection that is being accepted when asyncio closes the socket would be left open for ever. So accept
        # no more, let those come in that are on their way, and only then close.
        self._loop.remove_reader(listening)
        for _ in range(3):
            await asyncio.sleep(0)
        for waiting in list(self._waiting):
            _settle(waiting, False)
        for transport in self._sending:
            transport.abort()
        await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        url = f"{request.scheme}://{request.host}"
        call = Call(request.method, request.raw_path, request.headers, await request.read(), url)
        exchange = self._receive(call, request)
        fault = exchange.fault
        if fault is None:
            return self._respond(exchange, *self.answer(call))
        if not await self._passes(fault, "before"):
            return self._drop(request, exchange)
        answer = self.answer(call) if fault.work else None
        if not await self._passes(fault, "after"):
            return self._drop(request, exchange)
        fault.reach("answer")
        response = self._respond(exchange, *fault.answer(answer), fault.headers)
        if fault.drop == "during":
            return await self._break_off(request, response)
        if fault.drip or fault.endless:
            return await self._drag_out(request, response, fault)
        return response

    def _receive(self, call: Call, request: web.BaseRequest) -> Exchange:
        """Record a request, and decide which fault strikes it."""
        headers = CIMultiDict((name, value.replace(self.api_key, "***")) for name, value in call.headers.items())
        if "Api-Key" in headers:
            headers["Api-Key"] = "***"
        try:
            body = json.loads(call.body)
        except ValueError:
            body = None
        peer = request.transport.get_extra_info("peername") if request.transport else ("", 0)
        with self._lock:
            exchange = Exchange(call.method, call.path, call.query, headers, body, peer[:2], self.clock())
            for fault in self._faults:
                if fault.takes(call.method, call.path, free=exchange.fault is None):
                    exchange.fault = fault
            self.requests.append(exchange)
        return exchange

    async def _passes(self, fault: Fault, point: str) -> bool:
        """Let a call hang or be dropped before or after its work; tell whether it goes on."""
        fault.reach(point)
        if fault.hang == point:
            with self._release_of(fault) as released:
                if not await released:
                    return False
        return fault.drop != point

    @contextlib.contextmanager
    def _release_of(self, fault: Fault) -> Iterator[asyncio.Future[bool]]:
        """Have a future that is true once a fault is released, and false once the emulator stops."""
        loop, future = self._loop, self._loop.create_future()

        def go_on() -> None:
            with contextlib.suppress(RuntimeError):  # the emulator has stopped, and nothing waits any more
                loop.call_soon_threadsafe(_settle, future, True)

        if self._stopping.is_set():
            future.set_result(False)
        self._waiting.add(future)
        fault.when_released(go_on)
        try:
            yield future
        finally:
            self._waiting.discard(future)

    def _respond(
        self, exchange: Exchange, status: int, body: Any, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        raw, content_type = encode(body)
        exchange.status = status
        exchange.answer = body.decode(errors="replace") if isinstance(body, bytes) else body
        _log.info("%s %s %s", exchange.method, exchange.path, status)
        sent = CIMultiDict({REQUEST_ID: exchange.request_id})
        if content_type:
            sent["Content-Type"] = content_type
        sent.update(headers or {})
        exchange.request_id = sent[REQUEST_ID]
        return web.Response(status=status, body=raw, headers=sent)

    def _drop(self, request: web.BaseRequest, exchange: Exchange) -> web.Response:
        _log.info("%s %s dropped", exchange.method, exchange.path)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # aiohttp wants one; there is nobody left to read it

    async def _break_off(self, request: web.BaseRequest, whole: web.Response) -> web.StreamResponse:
        """Send half of an answer, and close the connection."""
        body = whole.body if isinstance(whole.body, bytes) else b""
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    async def _drag_out(self, request: web.BaseRequest, whole: web.Response, fault: Fault) -> web.Response:
        """Send an answer as a fault has it that drips or has no end, and close the connection."""
        transport = request.transport
        if transport is None:
            return whole
        self._sending.add(transport)
        # Past aiohttp's own answers, which hold their headers back: what is written before one goes out as it is.
        with self._release_of(fault) as released, contextlib.suppress(ConnectionError):
            for piece in _pieces(whole, fault, released):
                await request.writer.write(piece)
                # Also without a pause: a client that reads fast must not keep the loop from all others.
                await asyncio.wait([released], timeout=_DRIP_PAUSE if fault.drip else 0)
        self._sending.discard(transport)
        transport.close()
        return web.Response()  # as above


def _pieces(whole: web.Response, fault: Fault, released: asyncio.Future[bool]) -> Iterator[bytes]:
    """Cut an answer into what is sent at once, and bytes that drip; go on until the release if it has no end."""

    def chunk(data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data)

    body = whole.body if isinstance(whole.body, bytes) else b""
    whole.headers["Connection"] = "close"
    if fault.endless:
        whole.headers["Transfer-Encoding"] = "chunked"
        body = chunk(body + b" ")
    else:
        whole.headers["Content-Length"] = str(len(body))
    lines = [f"HTTP/1.1 {whole.status} {whole.reason}", *map(": ".join, whole.headers.items()), "", ""]
    head = "\r\n".join(lines).encode()
    answer = head + body
    sent = {None: len(answer), "head": 0, "body": len(head)}[fault.drip]
    if sent:
        yield answer[:sent]
    while sent < len(answer):
        end = len(answer) if released.done() else sent + 1
        yield answer[sent:end]
        sent = end
    if fault.endless:
        while not released.done():
            yield chunk(b" " if fault.drip else b" " * 65536)
        yield b"0\r\n\r\n"


def _settle(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)
