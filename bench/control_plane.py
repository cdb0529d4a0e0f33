"""The emulator behind TLS, in its own process. Its counters are read from outside."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any, NamedTuple, cast

from aiohttp import web

from airflow_pinecone.emulator.faults import Fault
from airflow_pinecone.emulator.server import Emulator

API_KEY = "pc-bench-key-0123456789"
PROJECT_BACKUPS = 500


class Counters(NamedTuple):
    """What the emulator has seen so far.

    Attributes:
        requests: The number of requests.
        connections: The number of connections that clients opened.
    """

    requests: int
    connections: int


class _CountingServer(web.Server):
    opened = 0

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self.opened += 1
        super().connection_made(handler, transport)


class _TlsEmulator(Emulator):
    """An emulator that speaks TLS and counts connections."""

    context: ssl.SSLContext
    server: _CountingServer

    async def _serve(self, listener: socket.socket) -> None:
        self.server = _CountingServer(self._handler.handle, access_log=None)
        runner = web.ServerRunner(self.server, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, listener, ssl_context=self.context).start()
        await self._stopping.wait()
        self._handler.close()
        await runner.cleanup()


class ControlPlane:
    """An emulator with 500 Ready backups of one index.

    Args:
        certificate: The certificate of the server, with its key.
    """

    def __init__(self, certificate: str) -> None:
        """Start it."""
        logging.disable(logging.INFO)
        self._emulator = _TlsEmulator(API_KEY, ["fleet"], quota=100_000)
        self._emulator.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._emulator.context.load_cert_chain(certificate)
        self._ids = [self._emulator.add_backup("fleet")["backup_id"] for _ in range(PROJECT_BACKUPS)]
        self._faults: list[Fault] = []
        self._emulator.start()

    def url(self) -> str:
        """Return the base URL."""
        return f"https://127.0.0.1:{self._emulator.port}"

    def counters(self) -> Counters:
        """Return what it has seen so far."""
        return Counters(len(self._emulator.requests), self._emulator.server.opened)

    def pending(self, count: int) -> list[str]:
        """Let some of the backups have the status Initializing, and return their ids.

        Args:
            count: Their number; all others are Ready.
        """
        # The project has 500 backups again, which are 5 pages, after runs that created some.
        for backup in self._emulator.backups:
            if backup["backup_id"] not in self._ids:
                self._emulator.control_plane.project.delete_backup(backup["backup_id"], time.time())
        for number, backup_id in enumerate(self._ids):
            self._emulator.finish_backup(backup_id, "Initializing" if number < count else "Ready")
        return self._ids[:count]

    def finish(self, backup_id: str) -> float:
        """Let a backup become Ready, and return the time."""
        self._emulator.finish_backup(backup_id)
        return time.time()

    def described(self) -> int:
        """Return how many different backups were described so far."""
        requests = list(self._emulator.requests)
        return len({exchange.path for exchange in requests if exchange.path.startswith("/backups/")})

    def forget(self) -> None:
        """Forget the requests so far, after which only differences of counters mean anything."""
        self._emulator.requests.clear()

    def add_index(self, name: str, *, ready_after: float, lost_answers: int = 0) -> None:
        """Add an index.

        Args:
            name: Its name.
            ready_after: Seconds until its next backups are Ready.
            lost_answers: How many times it loses the response after it has created a backup.
        """
        self._emulator.add_index(name)
        self._emulator.scenario.ready_after = ready_after
        if lost_answers:
            self._emulator.fault("POST", f"/indexes/{name}/backups", drop="after", times=lost_answers)

    def created_at(self, index: str) -> list[float]:
        """Return when the backups of an index were requested."""
        path = f"/indexes/{index}/backups"
        return [request.time for request in self._emulator.requests if (request.method, request.path) == ("POST", path)]

    def rounds(self, since: int) -> tuple[float, float] | None:
        """Return the mean number of requests of a round and of a minute, from the first walk to the last one.

        A walk lists all backups. A minute that starts anywhere would count some of the last round or the first one.

        Args:
            since: The number of requests to leave out.

        Returns:
            Both; None if there were not two walks.
        """
        requests = self._emulator.requests[since:]
        starts = [
            number
            for number, request in enumerate(requests)
            if request.path == "/backups" and "paginationToken" not in request.query
        ]
        if len(starts) < 2:
            return None
        first, last = starts[0], starts[-1]
        minutes = (requests[last].time - requests[first].time) / 60
        return (last - first) / (len(starts) - 1), (last - first) / minutes

    def count_backups(self, index: str) -> int:
        """Return how many backups of an index there are."""
        return sum(backup["source_index_name"] == index for backup in self._emulator.backups)

    def hang(self) -> None:
        """Never answer another request, until ``release``."""
        self._faults.append(self._emulator.fault("*", "*", hang="before", times=None))

    def stop(self) -> None:
        """Stop it."""
        self._emulator.stop()

    def release(self) -> None:
        """Answer all requests again."""
        self._emulator.release()


class _Manager(BaseManager):
    pass


_Manager.register("ControlPlane", ControlPlane)


class ControlPlanes:
    """The process of the emulators, as a context manager."""

    def __init__(self) -> None:
        """Start the process."""
        # A new interpreter: a fork would copy the threads' locks of this one.
        self._manager = _Manager(ctx=get_context("spawn"))
        self._manager.start()

    def __enter__(self) -> ControlPlanes:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop the process."""
        self._manager.shutdown()

    def start(self, certificate: Path) -> ControlPlane:
        """Start an emulator.

        Args:
            certificate: The certificate of the server, with its key.

        Returns:
            A proxy of it.
        """
        manager: Any = self._manager
        return cast(ControlPlane, manager.ControlPlane(str(certificate)))
