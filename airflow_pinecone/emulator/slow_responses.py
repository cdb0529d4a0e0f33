"""Responses that are sent byte by byte, or that have no end."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web

from airflow_pinecone.emulator.faults import Fault

# Seconds between two bytes. Each byte arrives within a client's read timeout, but the whole response takes longer.
DRIP_INTERVAL = 0.2
_ENDLESS_PIECE_SIZE = 65536


async def send_slowly(
    write: Callable[[bytes], Awaitable[None]], response: web.Response, fault: Fault, released: asyncio.Future[bool]
) -> None:
    """Send a response with `drip` or `endless` until its end, or until the client disconnects."""
    with contextlib.suppress(ConnectionError):
        # With `write`, because aiohttp's own responses hold the headers back until the body is written.
        for piece in _pieces(response, fault, released):
            await write(piece)
            # Yield to the event loop even without a delay, or a client that reads fast would block all others.
            await asyncio.wait([released], timeout=DRIP_INTERVAL if fault.drip else 0)


def _pieces(response: web.Response, fault: Fault, released: asyncio.Future[bool]) -> Iterator[bytes]:
    """Yield what to write at once: with `drip` a single byte, and with `endless` spaces after the body."""
    body = response.body if isinstance(response.body, bytes) else b""
    response.headers["Connection"] = "close"
    if fault.endless:
        response.headers["Transfer-Encoding"] = "chunked"
        body = _chunk(body + b" ")
    else:
        response.headers["Content-Length"] = str(len(body))
    head = _head(response)
    content = head + body
    sent = {None: len(content), "head": 0, "body": len(head)}[fault.drip]
    if sent:
        yield content[:sent]
    while sent < len(content):
        end = len(content) if released.done() else sent + 1
        yield content[sent:end]
        sent = end
    if fault.endless:
        while not released.done():
            yield _chunk(b" " if fault.drip else b" " * _ENDLESS_PIECE_SIZE)
        yield b"0\r\n\r\n"  # the last chunk


def _head(response: web.Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {response.reason}", *map(": ".join, response.headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
