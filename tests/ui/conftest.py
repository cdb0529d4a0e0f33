"""One API server of Airflow for each path prefix, a Pinecone in each state behind it, and a browser.

The package must be installed, with its entry points: the API server finds the page by them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support.operators import OUR_DESCRIPTION
from ui.api_server import API_KEY, FAILED, FAILED_RUN, HOSTILE, LOST, RUN, ApiServer, Open
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.rules.identity import Origin, describe

HOUR = 3600.0
DAY = 24 * HOUR
# Milliseconds. Airflow's page takes seconds on a busy machine.
TIMEOUT = 30_000
expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def pinecones() -> Iterator[dict[str, Emulator]]:
    """Run one emulator for each connection, because the page remembers the state of a connection for 30 s."""
    with ExitStack() as stack:
        emulators = {
            name: stack.enter_context(Emulator(api_key=API_KEY, indexes=[] if name == "empty" else ["docs-example"]))
            for name in ("pinecone_default", "hostile", "down", "slow", "rejected", "empty", "lost", "no_restores")
        }
        default = emulators["pinecone_default"]
        for number in range(40):
            fields: dict[str, Any] = {
                "record_count": 900 + number,
                "size_bytes": 10**6 * number,
                "description": OUR_DESCRIPTION,
            }
            default.add_backup("docs-example", age=2 * DAY + number * HOUR, **fields)
        default.add_backup("docs-example", age=HOUR, status="Failed")
        default.add_index("images")
        default.add_backup("images", age=HOUR)
        default.add_backup("deleted", age=DAY)
        hostile = emulators["hostile"]
        hostile.add_backup("docs-example", age=HOUR, status=HOSTILE, record_count=HOSTILE)
        hostile.add_backup("docs-example", age=2 * HOUR, description=OUR_DESCRIPTION.replace("manual__1", "<b>x</b>"))
        hostile.add_backup("docs-example", age=3 * HOUR, description=HOSTILE * 100)
        hostile.add_backup(HOSTILE, age=DAY)
        lost = emulators["lost"]
        for name, before in LOST.items():
            lost.add_index(name)
            lost.add_backup(name, age=DAY, record_count=before)
            lost.add_backup(name, age=HOUR, record_count=96)
        lost.add_backup("docs-example", age=480.0, record_count=98_000, description=OUR_DESCRIPTION)
        failed = describe(None, Origin("etl", FAILED_RUN, "backup", -1, "", 1))
        lost.add_backup("docs-example", age=60.0, status="Failed", description=failed, backup_id=FAILED)
        emulators["no_restores"].add_backup("docs-example", age=HOUR)
        emulators["no_restores"].fault("GET", "/restore-jobs", status=403, times=None)
        emulators["down"].stop()
        emulators["slow"].fault("GET", "/indexes", hang="before", times=None)
        emulators["rejected"].api_key = "another-key"
        yield emulators


PREFIXES = {"without prefix": "", "with prefix": "/team/airflow"}


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let each process of pytest-xdist run one API server. With pytest 9, the groups of pytest-xdist have no effect."""
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda nodeid: next((name for name in PREFIXES if f"[{name}" in nodeid), "")
    return scheduler


@pytest.fixture(scope="session", params=list(PREFIXES.values()), ids=list(PREFIXES))
def server(request: pytest.FixtureRequest, pinecones: dict[str, Emulator]) -> Iterator[ApiServer]:
    """Run an API server with a run whose task has created the newest backup but one."""
    connections = {
        name: {"conn_type": "pinecone", "host": emulator.url, "password": API_KEY}
        for name, emulator in pinecones.items()
    }
    home = Path(tempfile.mkdtemp(prefix="airflow-pinecone-ui-"))
    with ApiServer(home, connections, request.param) as server:
        server.add_run(RUN)
        server.add_run(FAILED_RUN)
        extra = {
            "backup_id": HOSTILE,
            # Pinecone's times are in UTC.
            "created_at": "2025-05-14T16:37:25",
            "record_count": 1234,
            "size_bytes": HOSTILE,
        }
        server.add_event(RUN, "2025-05-14 16:40:27+00:00", extra)
        # A task has reused the backup. The history shows it once.
        server.add_event(RUN, "2025-05-15 16:00:00+00:00", extra)
        # The page does not know the backup of an event that is later than its data.
        server.add_event(RUN, "2099-05-14 16:40:27+00:00", {"backup_id": "later", "created_at": "2099-05-14T16:37:25Z"})
        yield server
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def messages() -> list[str]:
    """Return the errors in the console of the browser, and the dialogs that it opened. Airflow 3.1 logs a warning."""
    return []


@pytest.fixture
def open_page(browser: Browser, server: ApiServer, messages: list[str]) -> Iterator[Open]:
    """Open a page: `open_page("/pinecone-backups/", role="op", theme="dark")`. Without a role, nobody is logged in."""
    with ExitStack() as stack:

        def open_page(path: str, *, role: str | None = "op", theme: Any = "light") -> Page:
            context = browser.new_context(color_scheme=theme, timezone_id="America/New_York")
            stack.callback(context.close)
            if role:
                context.add_cookies([{"name": "_token", "value": server.token(role), "url": f"{server.url}/"}])
            page = context.new_page()
            page.set_default_timeout(TIMEOUT)
            page.on("console", lambda message: record(message.type, message.text))
            page.on("pageerror", lambda error: record("error", str(error)))
            page.on("dialog", lambda dialog: record("dialog", dialog.message))
            page.goto(server.url + path)
            return page

        def record(kind: str, text: str) -> None:
            if kind in ("error", "dialog"):
                messages.append(f"{kind}: {text}")

        yield open_page
