"""Fixtures and a clean environment for all tests."""

import os
import tempfile

# Before anything imports Airflow: nothing of the user's configuration, no proxies, and a home that is deleted at the
# end. Each worker of pytest-xdist imports this file in a process of its own, so each has a home of its own.
_home = tempfile.TemporaryDirectory(prefix="airflow-pinecone-tests-", ignore_cleanup_errors=True)
for _name in [name for name in os.environ if name.startswith("AIRFLOW") or name.lower().endswith("_proxy")]:
    del os.environ[_name]
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"
os.environ["NO_PROXY"] = "127.0.0.1,localhost"


from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import requests
from support.api_spec import check_exchanges, load_descriptions
from support.clock import FakeClock
from support.constants import API_KEY
from support.emulator_client import Ask
from support.pytest_options import UNREGISTERED_PLUGINS

from airflow_pinecone.emulator import Emulator

if TYPE_CHECKING:
    from support.tasks import Connect

    from airflow_pinecone.pytest_plugin import ConnectionFactory

pytest_plugins = UNREGISTERED_PLUGINS

# The versions of the API that have a description.
API_VERSIONS = ["2025-10", "2026-04", "2026-07"]
# The tests of what users call.
VERSIONED = {
    "test_audit_operator",
    "test_backup_sensor",
    "test_command",
    "test_create_backup",
    "test_delete_operator",
    "test_ensure_index",
    "test_freshness_sensor",
    "test_prune_operator",
    "test_record_writes",
    "test_records",
    "test_restore_operator",
    "test_reuse_within",
    "test_settle",
    "test_ui_page",
    "test_verify_operator",
}


def pytest_unconfigure() -> None:
    """Delete AIRFLOW_HOME."""
    _home.cleanup()


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that only moves when a test or a sleep moves it."""
    return FakeClock()


@pytest.fixture
def emulator(pinecone_emulator: Emulator) -> Iterator[Emulator]:
    """Run an emulator with the index docs-example.

    If PINECONE_SPEC_DIR is set, all requests and responses must match Pinecone's published description of the API.
    """
    yield pinecone_emulator
    pinecone_emulator.stop()
    descriptions = load_descriptions()
    if descriptions:
        check_exchanges(pinecone_emulator.requests, descriptions)


@pytest.fixture
def api_version() -> str:
    """Return the API version of `ask` and of the connection; `@pytest.mark.parametrize("api_version", ...)` sets it."""
    return "2025-10"


@pytest.fixture
def ask(emulator: Emulator, api_version: str) -> Iterator[Ask]:
    """Send requests to the emulator: `ask("POST", "/indexes/docs-example/backups", json={})`."""
    with requests.Session() as session:
        session.trust_env = False  # Ignore proxies from the environment.
        session.headers.update({"Api-Key": API_KEY, "X-Pinecone-Api-Version": api_version})

        def ask(method: str, path: str, **kwargs: Any) -> requests.Response:
            return session.request(method, emulator.url + path, timeout=20, **kwargs)

        yield ask


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what depends on the connection with each version of the API, in the modules of VERSIONED."""
    marks = metafunc.definition.iter_markers("parametrize")
    is_open = "api_version" in metafunc.fixturenames and not any("api_version" in mark.args[0] for mark in marks)
    if is_open and metafunc.module.__name__.rpartition(".")[2] in VERSIONED:
        metafunc.parametrize("api_version", API_VERSIONS)


@pytest.fixture
def connect(pinecone_connection_factory: "ConnectionFactory", emulator: Emulator, api_version: str) -> "Connect":
    """Point the connection pinecone_default to the emulator: `connect(timeout=1)` sets a field of its extra."""

    def connect(**extra: Any) -> None:
        pinecone_connection_factory(emulator=emulator, **{"api_version": api_version, **extra})

    return connect


@pytest.fixture
def connection(connect: "Connect") -> None:
    """Point the connection pinecone_default to the emulator."""
    connect()


@pytest.fixture
def world(emulator: Emulator, clock: FakeClock, connection: None) -> Emulator:
    """Run an emulator with the clock of the test, behind the connection pinecone_default."""
    emulator.scenario.clock = clock
    return emulator


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return what was logged since the start of the test: `"Deleted backup" in logged()`."""
    caplog.set_level("INFO")
    printed: list[str] = []

    def logged() -> str:
        # Airflow 3 prints the log of a task, Airflow 2 uses the standard library.
        printed.append(capsys.readouterr().out)
        return "".join(printed) + caplog.text

    return logged
