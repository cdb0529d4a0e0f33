"""The emulator: an HTTP server in a thread, in front of a control plane."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from airflow_pinecone.emulator import data_plane
from airflow_pinecone.emulator.control_plane import ControlPlane
from airflow_pinecone.emulator.faults import Fault, Faults
from airflow_pinecone.emulator.handler import Exchange, Handler, invalid_http_response
from airflow_pinecone.emulator.resources import Model
from airflow_pinecone.emulator.scenario import Scenario

# The handler refuses a URL that is too long, with a status of its own.
_MAX_LINE = 2**20
_MAX_BODY = 2**20
_MAX_DATA_PLANE_BODY = 2**22


class _Connection(web.RequestHandler):
    """A connection that responds to invalid HTTP with an error in the shape of the API's errors."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the response to a request that is not valid HTTP, or log an exception of the emulator."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        # The other lines quote the request, which may contain a key.
        lines = (message or "").splitlines() or ["Invalid HTTP request"]
        response = invalid_http_response(status, lines[0].rstrip(":") + ".")
        response.force_close()
        return response


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """Create a request; one to the data plane may have a larger body."""
    limit = _MAX_DATA_PLANE_BODY if message.path.startswith(data_plane.PATH) else _MAX_BODY
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=limit)


class _Server(web.Server):
    """A server whose connections are of the class above, and whose requests have the size that its API allows."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        """Create a server that calls `handler` with each request."""
        super().__init__(handler, request_factory=_request)

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        # None disables the access log, although the type does not allow it.
        return _Connection(self, loop=asyncio.get_running_loop(), access_log=None, max_line_size=_MAX_LINE)  # type: ignore[arg-type]


class Emulator:
    """Pinecone's control plane and data plane on a port of this machine.

    As a context manager, it listens inside the block.

    Attributes:
        scenario: The settings of backups and restore jobs, such as `ready_after`. They can be changed at any time.
        control_plane: The API and its state.
        host: The address to listen on.
        port: The port to listen on; 0 until the first start, if a free one was requested.
        requests: The exchanges so far, in the order in which the requests arrived.
        next_backup: See `Scenario.next_backup`.
        next_restore: See `Scenario.next_restore`.
        next_import: See `Scenario.next_import`.
        next_scheduled_backup: See `Scenario.next_scheduled_backup`.
        add_index: See `ControlPlane.add_index`.
        set_records: See `ControlPlane.set_records`.
        add_records: See `ControlPlane.add_records`.
        add_namespace_alias: See `ControlPlane.add_namespace_alias`.
        generate_records: See `ControlPlane.generate_records`.
        records: See `ControlPlane.records`.
        namespaces: See `ControlPlane.namespaces`.
        add_backup: See `ControlPlane.add_backup`.
        add_backup_schedule: See `ControlPlane.add_backup_schedule`.
        finish_backup: See `ControlPlane.finish_backup`.
        finish_restore: See `ControlPlane.finish_restore`.
        add_fault: See `Faults.add`.
        release: See `Faults.release`.
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
        """Create an emulator, which listens once it is started.

        Args:
            api_key: The only valid API key.
            indexes: Names of the first indexes, each with 96 records in 3 namespaces, or `NAME:RECORDS`.
            host: The address to listen on: IPv4, IPv6 without brackets, or a name.
            port: The port to listen on; 0 for a free port, which later starts reuse.
            **settings: Settings of the `Scenario`, for example `ready_after`, `quota` or `clock`.

        Raises:
            ApiError: The name of an index is invalid, or two indexes have the same name.
            ValueError: The API key or the host is empty.
        """
        if not host:
            raise ValueError("The host must not be empty.")
        self.host = host
        self.port = port
        self.requests: list[Exchange] = []
        self.scenario = Scenario(**settings)
        self.control_plane = ControlPlane(api_key, indexes, self.scenario, self.url)
        self._faults = Faults()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._handler: Handler

        self.next_backup = self.scenario.next_backup
        self.next_restore = self.scenario.next_restore
        self.next_import = self.scenario.next_import
        self.next_scheduled_backup = self.scenario.next_scheduled_backup
        self.add_index = self.control_plane.add_index
        self.set_records = self.control_plane.set_records
        self.add_records = self.control_plane.add_records
        self.add_namespace_alias = self.control_plane.add_namespace_alias
        self.generate_records = self.control_plane.generate_records
        self.records = self.control_plane.records
        self.namespaces = self.control_plane.namespaces
        self.add_backup = self.control_plane.add_backup
        self.add_backup_schedule = self.control_plane.add_backup_schedule
        self.finish_backup = self.control_plane.finish_backup
        self.finish_restore = self.control_plane.finish_restore
        self.add_fault = self._faults.add
        self.release = self._faults.release

    @property
    def url(self) -> str:
        """The base URL, for example `http://127.0.0.1:5080` or `http://[::1]:5080`."""
        host = f"[{self.host}]" if self._is_ipv6 else self.host
        return f"http://{host}:{self.port}"

    @property
    def _is_ipv6(self) -> bool:
        return ":" in self.host

    @property
    def api_key(self) -> str:
        """The only valid API key."""
        return self.control_plane.api_key

    @api_key.setter
    def api_key(self, api_key: str) -> None:
        self.control_plane.api_key = api_key

    @property
    def indexes(self) -> list[Model]:
        """See `ControlPlane.indexes`."""
        return self.control_plane.indexes

    @property
    def backups(self) -> list[Model]:
        """See `ControlPlane.backups`."""
        return self.control_plane.backups

    @property
    def backup_schedules(self) -> list[Model]:
        """See `ControlPlane.backup_schedules`."""
        return self.control_plane.backup_schedules

    @property
    def restore_jobs(self) -> list[Model]:
        """See `ControlPlane.restore_jobs`."""
        return self.control_plane.restore_jobs

    def fault(self, method: str, path: str, **settings: Any) -> Fault:
        """Create a fault and add it.

        Args:
            method: The HTTP method, or "*".
            path: The path, or a pattern.
            **settings: The other arguments of `Fault`, which documents them all.

        Raises:
            ValueError: The settings are invalid.
        """
        return self.add_fault(Fault(method, path, **settings))

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Start to listen. An emulator that was stopped keeps its port and its state.

        Raises:
            OSError: The emulator cannot listen, for example because the port is in use.
            RuntimeError: The emulator is already running.
        """
        if self._thread is not None:
            raise RuntimeError("The emulator is already running.")
        family = socket.AF_INET6 if self._is_ipv6 else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family)
        self.port = listener.getsockname()[1]
        self.control_plane.base_url = self.url
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._handler = Handler(self.control_plane, self._faults, self.requests, self._loop)
        self._thread = threading.Thread(target=self._run, args=[listener], name="pinecone-emulator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and drop the connections of unfinished requests. Does nothing if the emulator is not running."""
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        runner = web.ServerRunner(_Server(self._handler.handle), shutdown_timeout=10.0)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await self._stopping.wait()
        # If asyncio closed the listener while it accepts a connection, that connection would stay open forever.
        # Stop accepting, let the connections that are being accepted reach the server, and only then close.
        self._loop.remove_reader(listener)
        for _ in range(3):
            await asyncio.sleep(0)
        self._handler.close()
        await runner.cleanup()
