"""A plugin for pytest: an emulator of Pinecone for the tests of your DAGs, and a guard for Pinecone itself.

pytest loads it at each start. It imports the emulator when a test uses a fixture, and Airflow never.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from types import FrameType

    from airflow_pinecone.emulator import Emulator

__all__ = ["ConnectionFactory", "EmulatorClock", "EmulatorFactory"]

# The API key and the indexes of an emulator, unless a test sets others.
_API_KEY = "pc-test-key-0123456789"
_INDEXES = ("docs-example",)
_CONN_ID = "pinecone_default"
_HELP = (
    "pinecone(indexes=..., ready_after=..., quota=..., fails=..., **settings): the settings of the emulator in the "
    "fixture pinecone_emulator; fails=True makes the next backup fail."
)


class EmulatorFactory(Protocol):
    """The type of the fixture `pinecone_emulator_factory`."""

    def __call__(self, *, api_key: str = _API_KEY, indexes: Iterable[str] = _INDEXES, **settings: Any) -> Emulator:
        """Start an emulator, which stops at the end of the test.

        Args:
            api_key: The only valid API key.
            indexes: The names of its indexes.
            **settings: Other arguments of `Emulator`, such as `ready_after`.
        """


class ConnectionFactory(Protocol):
    """The type of the fixture `pinecone_connection_factory`."""

    def __call__(self, conn_id: str = _CONN_ID, *, emulator: Emulator | None = None, **extra: Any) -> str:
        """Point an Airflow connection to an emulator until the end of the test.

        Args:
            conn_id: The id of the connection.
            emulator: The emulator; None for the one of the fixture `pinecone_emulator`.
            **extra: Fields of the connection's extra, such as `api_version`.

        Returns:
            The id of the connection.
        """


class EmulatorClock:
    """A clock for an emulator, which only moves when a test moves it. It starts at the current time.

    Attributes:
        now: Seconds since the epoch.
    """

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock.

        Args:
            seconds: Seconds to add.
        """
        self.now += seconds


@pytest.fixture
def pinecone_emulator_factory(
    request: pytest.FixtureRequest, _pinecone_guard: None
) -> Generator[EmulatorFactory, None, None]:
    """Start more emulators: `pinecone_emulator_factory(indexes=["docs"])`. They stop at the end of the test."""
    # Requested here and not as an argument: without the fixture, an emulator uses real time.
    clock = request.getfixturevalue("pinecone_clock") if "pinecone_clock" in request.fixturenames else None
    with ExitStack() as stack:

        def start(*, api_key: str = _API_KEY, indexes: Iterable[str] = _INDEXES, **settings: Any) -> Emulator:
            if clock is not None:
                settings.setdefault("clock", clock)
            return stack.enter_context(_emulator_class()(api_key=api_key, indexes=indexes, **settings))

        yield start


@pytest.fixture
def pinecone_emulator(request: pytest.FixtureRequest, pinecone_emulator_factory: EmulatorFactory) -> Emulator:
    """Run an emulator of Pinecone with the index docs-example. `@pytest.mark.pinecone(...)` has its settings."""
    settings = _marked_settings(request.node)
    fails = settings.pop("fails", False)
    emulator = pinecone_emulator_factory(**settings)
    if fails:
        emulator.next_backup(fails=True)
    return emulator


@pytest.fixture
def pinecone_connection_factory(pinecone_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> ConnectionFactory:
    """Point a connection to an emulator: `pinecone_connection_factory("prod", api_version="2026-04")`."""

    def connect(conn_id: str = _CONN_ID, *, emulator: Emulator | None = None, **extra: Any) -> str:
        target = emulator or pinecone_emulator
        value = {"conn_type": "pinecone", "host": target.url, "password": target.api_key, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(value))
        return conn_id

    return connect


@pytest.fixture
def pinecone_connection(pinecone_connection_factory: ConnectionFactory) -> str:
    """Point the connection pinecone_default to the emulator, and return its id."""
    return pinecone_connection_factory()


@pytest.fixture
def pinecone_clock(_pinecone_guard: None) -> EmulatorClock:
    """Give the emulators of the test a clock that only moves with `pinecone_clock.advance(60)`."""
    return EmulatorClock()


def _emulator_class() -> type[Emulator]:
    try:
        import aiohttp  # noqa: F401
        import numpy  # noqa: F401
        import orjson  # noqa: F401
    except ModuleNotFoundError as error:
        pytest.fail(
            "The emulator of Pinecone did not start.\n"
            f"It requires {error.name}, which is not installed.\n"
            "Install it with: pip install 'airflow-pinecone[emulator]'",
            pytrace=False,
        )
    from airflow_pinecone.emulator import Emulator

    return Emulator


def _marked_settings(item: pytest.Item) -> dict[str, Any]:
    """Return the arguments of the markers of a test. The marker of a function replaces settings of its class."""
    settings: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("pinecone"))):
        if marker.args:
            _reject_marker(f"has the argument {marker.args[0]!r} without a name")
        settings.update(marker.kwargs)
    if not settings:
        return settings
    known = _setting_names()
    unknown = sorted(settings.keys() - known)
    if unknown:
        _reject_marker(f"has no setting {', '.join(unknown)}. It has {', '.join(sorted(known))}")
    if isinstance(settings.get("indexes"), str):
        _reject_marker(f"has one text as indexes. Pass a list: indexes=[{settings['indexes']!r}]")
    return settings


def _setting_names() -> set[str]:
    """Return the names of all arguments of an emulator, and `fails`."""
    import dataclasses
    import inspect

    emulator = _emulator_class()
    arguments = [
        name
        for name, parameter in inspect.signature(emulator).parameters.items()
        if parameter.kind.name != "VAR_KEYWORD"
    ]
    settings = [field.name for field in dataclasses.fields(emulator(_API_KEY).scenario) if field.init]
    return {"fails", *arguments, *settings}


def _reject_marker(problem: str) -> NoReturn:
    pytest.fail(f"The marker @pytest.mark.pinecone {problem}.", pytrace=False)


class _Guard:
    """Blocks connections from this process to Pinecone's own hosts, and remembers them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._blocked: list[str] = []
        self._patch = pytest.MonkeyPatch()

    def start(self) -> None:
        """Replace the functions that resolve the names of hosts, which every Python client calls."""
        import _socket
        import socket

        def guard(function: Callable[..., Any], host_of: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                self._check(host_of(*args, **kwargs))
                return function(*args, **kwargs)

            return guarded

        # socket.getaddrinfo calls this one, so code that imported socket.getaddrinfo by its name is guarded, too.
        self._patch.setattr(_socket, "getaddrinfo", guard(_socket.getaddrinfo, lambda host, *_, **__: host))
        for name in ("gethostbyname", "gethostbyname_ex"):
            self._patch.setattr(socket, name, guard(getattr(socket, name), lambda host: host))
        # A socket resolves names, too. The addresses of other families are paths or numbers.
        for name in ("connect", "connect_ex"):
            self._patch.setattr(socket.socket, name, guard(getattr(socket.socket, name), _host_of_address))
        # With a proxy, the proxy would resolve the name, and no request would reach the emulator.
        direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
        if direct != "*":
            for name in ("NO_PROXY", "no_proxy"):
                self._patch.setenv(name, ",".join(filter(None, [direct, "pinecone.io", "127.0.0.1", "localhost"])))

    def stop(self) -> None:
        """Restore what was replaced."""
        self._patch.undo()

    def fail_if_blocked(self) -> None:
        """Fail with the requests that were blocked since the last call."""
        blocked = list(dict.fromkeys(self._blocked))
        self._blocked.clear()
        if blocked:
            # Without the cause: another error of the test is a consequence of the blocked request.
            raise pytest.fail.Exception(
                f"The test sent a request to Pinecone: {'; '.join(blocked)}.\n"
                "It was blocked: a test with a fixture of airflow-pinecone can only use the emulator.\n"
                "Use the fixture pinecone_connection, or set the host of the client to pinecone_emulator.url.",
                pytrace=False,
            ) from None

    def _check(self, host: object) -> None:
        name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
        name = name.lower().rstrip(".")
        if f".{name}".endswith(".pinecone.io"):
            self._blocked.append(_describe_request(name, sys._getframe(2), self._root))
            # This is not an Exception, so that clients neither catch it nor repeat the request.
            pytest.fail(f"The request to {name} was blocked.", pytrace=False)


def _host_of_address(_: object, address: object) -> object:
    return address[0] if isinstance(address, tuple) else ""


def _describe_request(host: str, frame: FrameType | None, root: Path) -> str:
    """Return the request, its host, and the line of the project that sent it, as far as the stack has them."""
    request = line = ""
    while frame is not None:
        if not request:
            method, url = frame.f_locals.get("method"), frame.f_locals.get("url")
            if isinstance(method, str) and url is not None:
                request = f"{method.upper()} {urlsplit(str(url)).path} "
        path = Path(frame.f_code.co_filename)
        if not line and path.is_relative_to(root) and "site-packages" not in path.parts:
            line = f", at {path.relative_to(root)}:{frame.f_lineno}"
        frame = frame.f_back
    return f"{request or 'a connection '}to {host}{line}"


_GUARD = pytest.StashKey[_Guard]()


@pytest.fixture
def _pinecone_guard(request: pytest.FixtureRequest) -> None:
    """Block requests to Pinecone's own hosts until the end of the test."""
    _start_guard(request.node)


def _start_guard(item: pytest.Item) -> None:
    if _GUARD not in item.stash:
        guard = item.stash[_GUARD] = _Guard(item.config.rootpath)
        guard.start()


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _HELP)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Start the guard before the first fixture of a test, and stop it after the last one, even if the run ends."""
    if "_pinecone_guard" in getattr(item, "fixturenames", ()):
        _start_guard(item)
    try:
        return (yield)
    finally:
        if _GUARD in item.stash:
            item.stash[_GUARD].stop()
            del item.stash[_GUARD]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Report requests of fixtures."""
    return (yield from _report(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Report requests of the test."""
    return (yield from _report(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Report requests of the ends of fixtures."""
    return (yield from _report(item))


def _report(item: pytest.Item) -> Generator[None, object, object]:
    """Run a phase of a test. It fails after a blocked request, even if the code under test caught the error."""
    try:
        result = yield
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException:
        _fail_if_blocked(item)
        raise
    _fail_if_blocked(item)
    return result


def _fail_if_blocked(item: pytest.Item) -> None:
    if _GUARD in item.stash:
        item.stash[_GUARD].fail_if_blocked()
