"""Responses that are sent byte by byte, or that have no end."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web

from airflow_pinecone.emulator.faults import Fault

# Seconds between two bytes: shorter than a client's read timeout, yet the whole response takes longer than it.
DRIP_INTERVAL = 0.2
_ENDLESS_PIECE_SIZE = 65536


async def send_slowly(
    write: Callable[[bytes], Awaitable[None]], response: web.Response, fault: Fault, released: asyncio.Future[bool]
) -> None:
    """Send a response as a fault with `drip` or `endless` specifies, until the end or until the client disconnects.

    Args:
        write: Writes bytes to the connection. The response does not use aiohttp's own sending, which holds the
            headers back until the body is written.
        response: The response; its headers are completed here.
        fault: The fault.
        released: Is done when the fault is released or the emulator stops.
    """
    with contextlib.suppress(ConnectionError):
        for piece in _pieces(response, fault, released):
            await write(piece)
            # Yield to the event loop even without a delay, or a client that reads fast would block all others.
            await asyncio.wait([released], timeout=DRIP_INTERVAL if fault.drip else 0)


def _pieces(response: web.Response, fault: Fault, released: asyncio.Future[bool]) -> Iterator[bytes]:
    """Split a response into a first part, single bytes if it drips, and an endless rest if the fault has one."""
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
