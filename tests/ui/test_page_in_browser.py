"""The page in a real browser, served by a real API server of Airflow: alone, and inside of Airflow's page."""

from __future__ import annotations

import re
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

import pytest
import requests
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect
from support.clock import SteppedClock
from ui.api_server import API_KEY, FAILED, FAILED_RUN, HOSTILE, LOST, RUN, STORED, ApiServer, Open

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.policy import IndexRules
from airflow_pinecone.ui.app import create_app
from airflow_pinecone.ui.project_cache import ProjectCache
from airflow_pinecone.ui.reading import read_copy
from airflow_pinecone.ui.settings import PageSettings

RULES = IndexRules(108_000.0, min_records=1, max_shrink=0.5)
ALONE = "/pinecone-backups/"
IN_AIRFLOW = "/plugin/pinecone-backups"
PLACES = pytest.mark.parametrize("place", [ALONE, IN_AIRFLOW], ids=["alone", "in Airflow"])

# The contrast of each text with its background by WCAG 2, and whether the text is lighter. A canvas converts the
# colors.
CONTRASTS = """() => {
  const host = [...document.querySelectorAll("div")].find((element) => element.shadowRoot);
  const root = host ? host.shadowRoot : document;
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b]
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const background = (element) => {
    for (let e = element; e; e = e.parentElement ?? e.getRootNode().host) {
      const color = rgba(getComputedStyle(e).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const texts = [...root.querySelectorAll("a, p, li, td, th, caption, figcaption, h1, h2, code, .badge")];
  return texts.map((element) => {
    const [a, b] = [luminance(rgba(getComputedStyle(element).color)), luminance(background(element))];
    return [element.outerHTML.slice(0, 100), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), a > b];
  });
}"""


def get(server: ApiServer, path: str, role: str | None, **headers: str) -> requests.Response:
    """Send a request with the cookie of a user."""
    cookies = {"_token": server.token(role)} if role else {}
    return requests.get(server.url + path, cookies=cookies, headers=headers, timeout=30, allow_redirects=False)


def has_loaded(page: Page) -> None:
    """Wait until the page has its content."""
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("Loading")).to_have_count(0)


def check_contrast(page: Page, theme: str) -> None:
    """Check that each text can be read on its background (WCAG 2, level AA), in the right theme."""
    contrasts: list[tuple[str, float, bool]] = page.evaluate(CONTRASTS)
    assert len(contrasts) > 10
    assert [(html, ratio) for html, ratio, _ in contrasts if ratio < 4.5] == []
    assert {is_light_text for _, _, is_light_text in contrasts} == {theme == "dark"}


# Who may see


def test_anonymous_user_logs_in_and_comes_back(server: ApiServer, open_page: Open) -> None:
    page = open_page(f"{ALONE}indexes/docs-example", role=None)
    assert "docs-example has" not in page.content()
    page.get_by_label("Username").fill("op")
    page.get_by_label("Password").fill(server.passwords["op"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Index docs-example")).to_be_visible()
    assert page.url.startswith(f"{server.url}{ALONE}indexes/docs-example")


@pytest.mark.parametrize("path", [ALONE, f"{ALONE}indexes/docs-example"])
def test_only_users_who_may_read_connections_see_data(server: ApiServer, path: str) -> None:
    for query in ("", "?fragment=1"):
        assert get(server, path + query, None).status_code == 401
        for role in ("viewer", "user"):
            response = get(server, path + query, role)
            assert response.status_code == 403
            assert "permission to read connections" in response.text
            assert "Ready backup" not in response.text
        for role in ("op", "admin"):
            response = get(server, path + query, role)
            assert response.status_code == 200
            assert "Ready backup" in response.text
            assert response.headers["Cache-Control"] == "no-store"
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {server.token('op')}"
        assert session.get(server.url + path, timeout=30).status_code == 200
    assert get(server, path, None, Authorization="Bearer invalid").status_code == 401


def test_viewer_sees_why_in_airflow(open_page: Open) -> None:
    page = open_page(IN_AIRFLOW, role="viewer")
    # Airflow may not tell a viewer of plugins, and then has no page for this URL.
    expect(page.get_by_text(re.compile("permission to read connections|404"))).to_be_visible()


# What they see


def test_navigation_leads_to_the_page(open_page: Open, messages: list[str]) -> None:
    page = open_page("/", role="admin")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Pinecone backups").click()
    expect(page.get_by_role("heading", name="Pinecone backups", level=1)).to_be_visible()
    expect(page.get_by_text("1 of 2 indexes has no fresh Ready backup.")).to_be_visible()
    # Airflow's own link leads from the page of an index back to the overview.
    page.get_by_role("link", name="docs-example").first.click()
    expect(page.get_by_role("heading", name="Index docs-example")).to_be_visible()
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Pinecone backups").click()
    expect(page.get_by_role("heading", name="Pinecone backups", level=1)).to_be_visible()
    assert messages == []


@PLACES
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_can_be_read_in_each_theme(open_page: Open, messages: list[str], place: str, theme: str) -> None:
    page = open_page(place, theme=theme)
    has_loaded(page)
    check_contrast(page, theme)
    page.get_by_role("link", name="docs-example").first.click()
    expect(page.get_by_role("heading", name="Index docs-example")).to_be_visible()
    has_loaded(page)
    check_contrast(page, theme)
    # The charts and the history.
    expect(page.get_by_role("img", name="Records of the Ready backups over time")).to_be_visible()
    # Newest first: created, records, size, recorded after, still exists.
    rows = page.get_by_role("table").filter(has_text="from the events in Airflow").locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_have_text("2099-05-14 16:37 UTCunknownunknown3 min 2 sunknownetl.backup")
    expect(rows.last).to_have_text("2025-05-14 16:37 UTC1,234unknown3 min 2 snoetl.backup")
    assert messages == []


@PLACES
def test_links_lead_to_the_run_and_the_asset(server: ApiServer, open_page: Open, place: str) -> None:
    page = open_page(f"{place.rstrip('/')}/indexes/docs-example")
    has_loaded(page)
    task = f"{server.url}/dags/etl/runs/{RUN}/tasks/backup"
    for table in ("Backups, the newest first", "from the events in Airflow"):
        links = page.get_by_role("table").filter(has_text=table).get_by_role("link", name="etl.backup")
        expect(links.last).to_be_visible()
        links.last.click()
        page.wait_for_url(f"{task}**")
        expect(page.get_by_role("heading", name="backup", exact=False).first).to_be_visible()
        page.go_back()
        has_loaded(page)
    page.get_by_role("link", name="Show the asset in Airflow").click()
    expect(page.get_by_role("link", name="pinecone://docs-example/backups").first).to_be_visible()


def test_links_of_the_task_lead_to_the_backup_and_the_console(
    server: ApiServer, pinecones: dict[str, Emulator], open_page: Open
) -> None:
    """Read the URLs that push_links() stores, as Airflow's page does while the task runs."""
    backup = next(b for b in pinecones["pinecone_default"].backups if b["source_index_name"] == "images")
    url = f"{server.prefix}/pinecone-backups/backups/{backup['backup_id']}?connection=pinecone_default"
    server.add_xcom(RUN, "_link_BackupLink", url)
    server.add_xcom(RUN, "_link_ConsoleLink", "https://app.pinecone.io/")
    page = open_page(f"/dags/etl/runs/{RUN}/tasks/backup/details")
    expect(page.get_by_role("link", name="Pinecone console")).to_have_attribute("href", "https://app.pinecone.io/")
    link = page.get_by_role("link", name="Backup", exact=True)
    if link.get_attribute("target") == "_blank":
        with page.expect_popup() as popup:
            link.click()
        page = popup.value
    else:
        link.click()
    expect(page.get_by_role("heading", name="Index images")).to_be_visible()
    expect(page.get_by_text(backup["backup_id"]).first).to_be_visible()


# What is wrong


@PLACES
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lost_records_are_marked(open_page: Open, messages: list[str], place: str, theme: str) -> None:
    page = open_page(f"{place}?connection=lost", theme=theme)
    has_loaded(page)
    check_contrast(page, theme)
    rows = page.get_by_role("table", name="Indexes, those with problems first").locator("tbody tr")
    for name, before in LOST.items():
        row = rows.filter(has_text=name)
        expect(row).to_contain_text("failing")
        expect(row.locator(".breaks")).to_have_text(re.compile(r"-\d+\.\d% -50% allowed"))
        expect(page.get_by_role("listitem").filter(has_text=name)).to_contain_text(f": {before:,} records, 1 day old.")
    assert page.get_by_text("All 4 indexes have a fresh Ready backup").count() == 0
    assert messages == []


@PLACES
def test_failing_row_leads_to_the_run_that_failed(server: ApiServer, open_page: Open, place: str) -> None:
    page = open_page(f"{place}?connection=lost")
    has_loaded(page)
    problem = page.get_by_role("listitem").filter(has_text="docs-example")
    expect(problem).to_contain_text(
        re.compile(r"You can still restore backup \S+: 98,000 records, \d+ min( \d+ s)? old\.")
    )
    problem.get_by_role("link", name="Open the log of the task that failed").click()
    page.wait_for_url(f"{server.url}/dags/etl/runs/{FAILED_RUN}/tasks/backup**")


@PLACES
def test_link_of_a_failed_task_leads_to_its_backup_and_back(server: ApiServer, open_page: Open, place: str) -> None:
    task = f"dag_id=etl&run_id={FAILED_RUN}&task_id=backup&map_index=-1"
    page = open_page(f"{place.rstrip('/')}/backups/{FAILED}?connection=lost&{task}")
    has_loaded(page)
    expect(page.get_by_text("This backup failed (Failed). It cannot be restored.")).to_be_visible()
    row = page.locator("tr[aria-current=true]")
    expect(row).to_contain_text(FAILED)
    assert row.evaluate("(row) => getComputedStyle(row).outlineStyle") == "solid"
    page.get_by_role("link", name="Show its row").click()
    expect(row).to_be_in_viewport()
    page.get_by_role("link", name="Back to the task etl.backup").click()
    page.wait_for_url(f"{server.url}/dags/etl/runs/{FAILED_RUN}/tasks/backup**")


@PLACES
def test_unknown_restores_are_not_never(open_page: Open, place: str) -> None:
    page = open_page(f"{place}?connection=no_restores")
    has_loaded(page)
    expect(page.get_by_role("alert").filter(has_text="It is unknown which backups were restored")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="docs-example")).to_contain_text("unknown")
    assert page.get_by_text("never").count() == 0


@pytest.fixture
def stepped_page(clock: SteppedClock, emulator: Emulator, connection: None) -> Iterator[str]:
    """Serve the page without Airflow, with a clock that the test controls, and return its URL."""
    emulator.scenario.clock = clock.time
    cache = ProjectCache(partial(read_copy, clock=clock), ["pinecone_default"], clock=clock)
    app = create_app(PageSettings(("pinecone_default",), RULES, ""), cache, lambda: None, clock=clock)
    parent = FastAPI()
    parent.mount("/pinecone-backups", app)
    server = uvicorn.Server(uvicorn.Config(parent, log_level="warning", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/pinecone-backups/"
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


def test_old_copy_is_judged_now_and_cannot_be_overlooked(
    browser: Browser, stepped_page: str, emulator: Emulator, clock: SteppedClock
) -> None:
    emulator.add_backup("docs-example", age=29 * 3600.0)
    with closing(browser.new_page()) as page:
        page.goto(stepped_page)
        row = page.get_by_role("row").filter(has_text="docs-example")
        expect(row).to_contain_text("ok")
        expect(page.get_by_role("alert")).to_have_count(0)
        emulator.fault("GET", "/indexes", status=503, times=None)
        clock.advance(2 * 3600.0)
        page.reload()
        expect(row).to_contain_text("late")
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("These data are 2 h old.")
        expect(alert).to_contain_text("Pinecone returned an error.")
        verdict = page.locator("p.verdict")
        above, below = alert.bounding_box(), verdict.bounding_box()
        assert above
        assert below
        assert above["y"] < below["y"] < 400


def test_page_shows_the_last_audit_and_judges_by_its_rules(server: ApiServer, open_page: Open) -> None:
    page = open_page(ALONE)
    expect(page.get_by_role("alert").filter(has_text="The last report of the audit etl.audit")).to_be_visible()
    rules = {"max_restore_age": None, "min_records": 10**9, "max_shrink": None}
    report = {
        "as_of": datetime.now(UTC).isoformat(),
        "verdict": "2 of 2 indexes have problems.",
        "indexes": [{"index_name": name, "max_age": RULES.max_age, **rules} for name in ("docs-example", "images")],
        "missing": [],
    }
    server.add_xcom(RUN, "return_value", report, task_id="audit")
    page.reload()
    expect(page.get_by_text("2 of 2 indexes have problems.")).to_be_visible()
    rows = page.get_by_role("table", name="Indexes, those with problems first").locator("tbody tr")
    expect(rows.filter(has_text="1,000,000,000 required")).to_have_count(2)
    page.get_by_role("link", name="etl.audit").first.click()
    page.wait_for_url(f"{server.url}/dags/etl/runs/{RUN}/tasks/audit**")


@PLACES
def test_page_can_be_used_with_the_keyboard(open_page: Open, place: str) -> None:
    page = open_page(place)
    has_loaded(page)
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { let e = document.activeElement; while (e.shadowRoot) e = e.shadowRoot.activeElement; "
            "return e.textContent.trim() }"
        )
        if focused == "images":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Index images")).to_be_visible()


@PLACES
@pytest.mark.parametrize("path", ["", "/indexes/docs-example"])
def test_hostile_data_stay_text(open_page: Open, messages: list[str], place: str, path: str) -> None:
    page = open_page(f"{place.rstrip('/')}{path or '/'}?connection=hostile")
    has_loaded(page)
    expect(page.get_by_text(HOSTILE[:30]).first).to_be_visible()
    assert page.locator("img[src=x], td b").count() == 0
    assert "hacked" not in page.title()
    assert messages == []


# States


@PLACES
@pytest.mark.parametrize(
    ("connection", "sentence"),
    [
        ("down", "Pinecone could not be reached."),
        ("slow", "Pinecone did not respond in time."),
        ("rejected", "Pinecone rejected the API key."),
        ("empty", "There are no indexes that can be backed up."),
        ("missing", "The connection missing is not one of this page."),
    ],
)
def test_each_state_has_a_sentence(open_page: Open, place: str, connection: str, sentence: str) -> None:
    page = open_page(f"{place}?connection={connection}")
    expect(page.get_by_text(sentence)).to_be_visible()


def test_connection_can_be_in_the_database(server: ApiServer, pinecones: dict[str, Emulator]) -> None:
    host = pinecones["pinecone_default"].url
    connection = {"connection_id": STORED, "conn_type": "pinecone", "host": host, "password": API_KEY}
    server.api("POST", "connections", json=connection)
    assert "1 of 2 indexes has no fresh Ready backup." in get(server, f"{ALONE}?connection={STORED}", "op").text


def test_slow_pinecone_does_not_slow_airflow(server: ApiServer) -> None:
    cookies = {"_token": server.token("op")}

    def view(_: int) -> int:
        url = f"{server.url}{ALONE}?connection=slow"
        return requests.get(url, cookies=cookies, timeout=60).status_code

    def seconds() -> float:
        started_at = time.monotonic()
        assert requests.get(f"{server.url}/api/v2/pools", cookies=cookies, timeout=60).ok
        return time.monotonic() - started_at

    seconds()
    with ThreadPoolExecutor(60) as pool:
        viewers = [pool.submit(view, number) for number in range(60)]
        times = [seconds() for _ in range(10)]
        assert {viewer.result() for viewer in viewers} == {200}
    assert statistics.median(times) < 0.5, times


def test_key_is_not_logged(server: ApiServer) -> None:
    files = [path for path in server.home.rglob("*") if path.is_file()]
    assert server.home / "airflow.out" in files
    assert [path for path in files if API_KEY.encode() in path.read_bytes()] == []
