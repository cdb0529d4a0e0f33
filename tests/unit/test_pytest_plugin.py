"""The plugin for pytest, in runs of pytest of their own."""

from __future__ import annotations

import os
import socket
import sys
import tomllib
from pathlib import Path

import aiohttp
import httpx
import pinecone
import pytest
import requests
import urllib3

import airflow_pinecone.emulator.server
import airflow_pinecone.hooks

pytest_plugins = ["pytester"]
# After each run, pytester forgets the modules that the run has imported first. These take long to import again.
IMPORTED_ONCE = [aiohttp, airflow_pinecone.emulator.server, airflow_pinecone.hooks, httpx, pinecone, requests, urllib3]

# What a test sends with the standard library. An IPv4 address that is no host of Pinecone would not be guarded.
SEND = """
import http.client
import requests

def send(method="GET", path="/indexes"):
    http.client.HTTPSConnection("api.pinecone.io", timeout=1).request(method, path)
"""
OPTIONS = ["-p", "airflow_pinecone.pytest_plugin", "-p", "no:cacheprovider", "--strict-markers"]
BLOCKED = "The test sent a request to Pinecone: "


class Run:
    """Runs pytest on a test file, in this process, with no other plugin than this one."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def __call__(self, code: str, *options: str) -> pytest.RunResult:
        """Return the result of a run, and fail if it leaves a trace in this process."""
        self.pytester.makepyfile(test_file=code)
        before = traces()
        result = self.pytester.runpytest_inprocess(*OPTIONS, *options)
        assert traces() == before
        return result


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest on a test file with the plugin."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return Run(pytester)


def traces() -> list[object]:
    """Return what the guard and the fixtures replace during a test."""
    variables = {name: value for name, value in os.environ.items() if "AIRFLOW" in name or "PROXY" in name.upper()}
    functions = [getattr(socket, name) for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex")]
    methods = [socket.socket.__dict__.get("connect"), socket.socket.__dict__.get("connect_ex")]
    return [*functions, *methods, sys.modules["_socket"].getaddrinfo, variables]


# The fixtures


def test_the_emulator_runs_during_the_test_only(run: Run) -> None:
    result = run("""
        import socket
        import urllib.request

        urls = []

        def test_runs(pinecone_emulator):
            request = urllib.request.Request(pinecone_emulator.url + "/indexes", headers={
                "Api-Key": pinecone_emulator.api_key, "X-Pinecone-Api-Version": "2025-10"})
            assert b"docs-example" in urllib.request.urlopen(request).read()
            urls.append(pinecone_emulator.port)

        def test_stopped():
            with socket.socket() as client:
                assert client.connect_ex(("127.0.0.1", urls[0])) != 0
    """)
    result.assert_outcomes(passed=2)


def test_a_factory_starts_more_emulators_and_stops_all(run: Run) -> None:
    result = run("""
        import socket

        ports = []

        def test_several(pinecone_emulator, pinecone_emulator_factory):
            other = pinecone_emulator_factory(indexes=["a", "b"], api_key="other", ready_after=5)
            assert [index["name"] for index in other.indexes] == ["a", "b"]
            assert (other.api_key, other.scenario.ready_after) == ("other", 5)
            ports.extend([pinecone_emulator.port, other.port])

        def test_stopped():
            for port in ports:
                with socket.socket() as client:
                    assert client.connect_ex(("127.0.0.1", port)) != 0
    """)
    result.assert_outcomes(passed=2)


def test_the_connection_names_the_emulator_until_the_end_of_the_test(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PINECONE_DEFAULT", "before")
    result = run("""
        import json, os

        def value(conn_id):
            return json.loads(os.environ["AIRFLOW_CONN_" + conn_id.upper()])

        def test_default(pinecone_connection, pinecone_emulator):
            assert pinecone_connection == "pinecone_default"
            assert value(pinecone_connection) == {"conn_type": "pinecone", "host": pinecone_emulator.url,
                "password": pinecone_emulator.api_key, "extra": {}}

        def test_others(pinecone_connection_factory, pinecone_emulator, pinecone_emulator_factory):
            assert pinecone_connection_factory("prod", api_version="2026-04") == "prod"
            assert value("prod")["host"] == pinecone_emulator.url
            assert value("prod")["extra"] == {"api_version": "2026-04"}
            other = pinecone_emulator_factory()
            assert value(pinecone_connection_factory("other", emulator=other))["host"] == other.url

        def test_restored():
            assert os.environ["AIRFLOW_CONN_PINECONE_DEFAULT"] == "before"
            assert "AIRFLOW_CONN_PROD" not in os.environ
    """)
    result.assert_outcomes(passed=3)


def test_the_hook_uses_the_connection(run: Run) -> None:
    result = run("""
        from airflow_pinecone.hooks import PineconeHook

        def test_hook(pinecone_connection_factory, pinecone_emulator):
            conn_id = pinecone_connection_factory("prod", api_version="2026-04")
            backup = PineconeHook(conn_id).create_backup("docs-example")
            assert [row["backup_id"] for row in pinecone_emulator.backups] == [backup["backup_id"]]
            assert pinecone_emulator.requests[-1].headers["X-Pinecone-Api-Version"] == "2026-04"
    """)
    result.assert_outcomes(passed=1)


def test_the_clock_of_a_test_is_the_clock_of_its_emulators(run: Run) -> None:
    result = run("""
        import time
        import pytest
        from airflow_pinecone.hooks import PineconeHook

        @pytest.mark.pinecone(ready_after=60)
        def test_clock(pinecone_emulator, pinecone_emulator_factory, pinecone_connection_factory, pinecone_clock):
            assert abs(pinecone_clock.now - time.time()) < 60
            other = pinecone_emulator_factory(ready_after=60)
            for emulator in (pinecone_emulator, other):
                PineconeHook(pinecone_connection_factory(emulator=emulator)).create_backup("docs-example")
                assert emulator.backups[0]["status"] == "Initializing"
            pinecone_clock.advance(60)
            for emulator in (pinecone_emulator, other):
                assert emulator.backups[0]["status"] == "Ready"

        def test_real_time(pinecone_emulator):
            assert pinecone_emulator.scenario.clock is time.time
    """)
    result.assert_outcomes(passed=2)


# The marker


def test_the_marker_has_the_settings_of_the_emulator(run: Run) -> None:
    result = run("""
        import pytest

        pytestmark = pytest.mark.pinecone(indexes=["a"], quota=3)

        def test_of_a_module(pinecone_emulator):
            assert [index["name"] for index in pinecone_emulator.indexes] == ["a"]
            assert pinecone_emulator.scenario.quota == 3

        @pytest.mark.pinecone(quota=4, ready_after=5, api_key="key")
        def test_of_a_function(pinecone_emulator):
            assert pinecone_emulator.indexes[0]["name"] == "a"
            assert (pinecone_emulator.scenario.quota, pinecone_emulator.scenario.ready_after) == (4, 5)
            assert pinecone_emulator.api_key == "key"
    """)
    result.assert_outcomes(passed=2)


def test_fails_makes_the_next_backup_fail(run: Run) -> None:
    result = run("""
        import pytest
        from airflow_pinecone.hooks import PineconeHook

        @pytest.mark.pinecone(fails=True)
        def test_fails(pinecone_connection, pinecone_emulator):
            for _ in range(2):
                PineconeHook().create_backup("docs-example", name=f"b-{_}")
            assert [row["status"] for row in pinecone_emulator.backups] == ["Ready", "Failed"]
    """)
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("redy_after=5", "*@pytest.mark.pinecone has no setting redy_after. It has *ready_after*"),
        ("5", "*@pytest.mark.pinecone has the argument 5 without a name*"),
        ("indexes='docs'", "*@pytest.mark.pinecone has one text as indexes. Pass a list: indexes=*docs*"),
    ],
)
def test_an_invalid_marker_fails_the_test_and_says_why(run: Run, arguments: str, message: str) -> None:
    result = run(f"""
        import pytest

        @pytest.mark.pinecone({arguments})
        def test_marked(pinecone_emulator):
            pass
    """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_pytest_lists_the_marker_and_the_fixtures(run: Run) -> None:
    run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.pinecone(indexes=*"])
    names = ["emulator_factory", "emulator", "connection_factory", "connection", "clock"]
    run("", "--fixtures").stdout.fnmatch_lines_random([f"pinecone_{name} *" for name in names])


# The guard


@pytest.mark.parametrize(
    ("send", "request_shown"),
    [
        ("requests.get('https://api.pinecone.io/indexes')", "GET /indexes to api.pinecone.io"),
        (
            "requests.post('https://docs-1.svc.aped.pinecone.io/query?x=1')",
            "POST /query to docs-1.svc.aped.pinecone.io",
        ),
        ("urllib3.request('GET', 'https://API.Pinecone.io./a')", "GET /a to api.pinecone.io"),
        ("httpx.delete('https://api.pinecone.io/backups/1')", "DELETE /backups/1 to api.pinecone.io"),
        ("urllib.request.urlopen('https://api.pinecone.io/b')", "GET /b to api.pinecone.io"),
        ("asyncio.run(aiohttp_get('https://api.pinecone.io'))", "a connection to api.pinecone.io"),
        ("asyncio.run(httpx_get('https://api.pinecone.io/a'))", "a connection to api.pinecone.io"),
        ("pinecone.Pinecone(api_key='key').list_indexes()", "GET /indexes to api.pinecone.io"),
        ("list(PineconeHook().list_backups('docs-example'))", "GET /indexes/docs-example/backups to api.pinecone.io"),
        ("socket.create_connection(('api.pinecone.io', 443))", "a connection to api.pinecone.io"),
        ("socket.gethostbyname(b'api.pinecone.io')", "a connection to api.pinecone.io"),
        ("socket.gethostbyname_ex('api.pinecone.io')", "a connection to api.pinecone.io"),
        ("getaddrinfo('pinecone.io', 443)", "a connection to pinecone.io"),
        ("socket.socket().connect(('api.pinecone.io', 443))", "a connection to api.pinecone.io"),
        ("socket.socket().connect_ex(('api.pinecone.io', 443))", "a connection to api.pinecone.io"),
    ],
)
@pytest.mark.parametrize("caught", [False, True])
def test_a_request_to_pinecone_fails_the_test_even_if_it_is_caught(
    run: Run, monkeypatch: pytest.MonkeyPatch, send: str, request_shown: str, caught: bool
) -> None:
    # A proxy would resolve the name.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("AIRFLOW_CONN_PINECONE_DEFAULT", '{"conn_type": "pinecone", "password": "key"}')
    body = (
        f"""
            try:
                {send}
            except BaseException:
                pass"""
        if caught
        else f"""
            {send}"""
    )
    result = run(f"""
        import asyncio, socket, urllib.request
        from socket import getaddrinfo
        import aiohttp, httpx, pinecone, requests, urllib3
        from airflow_pinecone.hooks import PineconeHook

        async def aiohttp_get(url):
            async with aiohttp.ClientSession() as session:
                await session.get(url)

        async def httpx_get(url):
            async with httpx.AsyncClient() as client:
                await client.get(url)

        def test_sends(pinecone_clock):{body}
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"{BLOCKED}{request_shown}*", "*pinecone_connection*pinecone_emulator.url*"])


def test_a_blocked_request_names_the_line_that_sent_it(run: Run) -> None:
    result = run(f"""{SEND}
def test_sends(pinecone_connection):
    send()
""")
    result.stdout.fnmatch_lines([f"{BLOCKED}GET /indexes to api.pinecone.io, at test_file.py:5."])
    result.stdout.no_fnmatch_line("*During handling of*")


def test_a_request_of_another_thread_fails_the_test(run: Run) -> None:
    result = run(f"""{SEND}
import threading

def test_sends(pinecone_emulator):
    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
""")
    result.assert_outcomes(failed=1, warnings=1)


def test_a_blocked_request_is_reported_once_and_in_its_phase(run: Run) -> None:
    result = run(f"""{SEND}
import contextlib
import pytest

@pytest.fixture
def in_setup(pinecone_emulator):
    send(path="/1")

@pytest.fixture
def in_teardown(pinecone_emulator):
    yield
    with contextlib.suppress(BaseException):
        send(path="/2")

def test_setup(in_setup):
    pass

def test_teardown(in_teardown):
    pass

def test_both(pinecone_emulator):
    for path in ("/3", "/4", "/4"):
        with contextlib.suppress(BaseException):
            send(path=path)
    raise ValueError("no indexes")
""")
    result.assert_outcomes(passed=1, failed=1, errors=2)
    reported = [line.split(",")[0] for line in result.outlines if line.startswith(BLOCKED)]
    ends = ["GET /1 to api.pinecone.io", "GET /2 to api.pinecone.io", "GET /3 to api.pinecone.io"]
    assert reported == [f"{BLOCKED}{end}" for end in ends]
    assert [line.count("GET /4 to api.pinecone.io") for line in result.outlines if line.startswith(BLOCKED)] == [
        0,
        0,
        1,
    ]


def test_the_guard_starts_before_the_fixtures_of_the_session(run: Run) -> None:
    result = run(f"""{SEND}
import pytest

@pytest.fixture(scope="session")
def dag():
    send()

def test_sends(dag, pinecone_emulator):
    pass
""")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"{BLOCKED}GET /indexes to api.pinecone.io*"])


def test_a_fixture_that_is_requested_later_starts_the_guard(run: Run) -> None:
    result = run(f"""{SEND}
def test_sends(request):
    request.getfixturevalue("pinecone_emulator")
    send()
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"{BLOCKED}GET /indexes to api.pinecone.io*"])


def test_other_hosts_and_other_tests_are_not_guarded(run: Run) -> None:
    result = run("""
        import socket
        import pytest

        def test_other_hosts(pinecone_emulator):
            assert socket.getaddrinfo("127.0.0.1", 80)
            assert socket.getaddrinfo(None, 80)
            assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
            with pytest.raises(OSError):
                socket.getaddrinfo("pinecone.io.invalid", 80)
            with pytest.raises(OSError):
                # Without a request to a name server.
                socket.getaddrinfo("notpinecone.io", 80, flags=socket.AI_NUMERICHOST)
            with pytest.raises(OSError), socket.socket(socket.AF_UNIX) as client:
                client.connect("/no/pinecone.io")
            with pytest.raises(OSError), socket.socket(socket.AF_UNIX) as client:
                client.connect("")

        def test_without_a_fixture():
            assert socket.getaddrinfo.__module__ == "socket"
            assert not hasattr(__import__("_socket").getaddrinfo, "__wrapped__")
    """)
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("before", "during"),
    [
        ({}, "pinecone.io,127.0.0.1,localhost"),
        ({"NO_PROXY": "docs.example"}, "docs.example,pinecone.io,127.0.0.1,localhost"),
        ({"NO_PROXY": "a.example", "no_proxy": "docs.example"}, "docs.example,pinecone.io,127.0.0.1,localhost"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_hosts_without_a_proxy_stay_without_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, before: dict[str, str], during: str
) -> None:
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    result = run(f"""
        import os

        def test_proxies(pinecone_emulator):
            assert (os.environ.get("no_proxy") or os.environ.get("NO_PROXY")) == {during!r}
    """)
    result.assert_outcomes(passed=1)


def test_a_skipped_test_is_skipped(run: Run) -> None:
    result = run("""
        import pytest

        def test_skips(pinecone_emulator):
            pytest.skip("later")
    """)
    result.assert_outcomes(skipped=1)


def test_a_blocked_request_does_not_prevent_the_end_of_the_run(run: Run) -> None:
    result = run(f"""{SEND}
import contextlib
import pytest

def test_exits(pinecone_emulator):
    with contextlib.suppress(BaseException):
        send()
    pytest.exit("stop")

def test_not_run(pinecone_emulator):
    pass
""")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("*passed*")


# What it costs


def test_a_run_without_the_fixtures_imports_only_the_plugin(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile("""
        import sys

        def test_modules(request):
            ours = [name for name in sys.modules if name.startswith("airflow_pinecone.")]
            assert ours == ["airflow_pinecone.pytest_plugin"]
            assert {"aiohttp", "airflow", "numpy", "requests", "urllib3", "asyncio", "ssl"} & set(sys.modules) == set()
    """)
    # Without the other plugins, which import some of these modules.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    result = pytester.runpytest_subprocess(*OPTIONS)
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("package", ["aiohttp", "numpy", "orjson"])
def test_a_missing_package_of_the_emulator(run: Run, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = run("""
        import pytest

        @pytest.mark.pinecone(quota=3)
        def test_marked(pinecone_emulator):
            pass

        def test_factory(pinecone_emulator_factory):
            pinecone_emulator_factory()
    """)
    result.assert_outcomes(errors=1, failed=1)
    assert result.stdout.str().count(f"It requires {package}, which is not installed.") >= 2
    assert "Install it with: pip install 'airflow-pinecone[emulator]'" in result.stdout.str()


def test_the_package_registers_the_plugin() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"airflow_pinecone": "airflow_pinecone.pytest_plugin"}
