"""The page over HTTP, with the emulator behind it: what it shows, in each state, and to whom."""

from __future__ import annotations

import ast
import html
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_pinecone.runtime.airflow_versions import can_show_pages

if not can_show_pages():
    pytest.skip("this Airflow cannot show pages", allow_module_level=True)

from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from markupsafe import escape
from support.clock import SteppedClock
from support.constants import API_KEY, CONN_ID, CONNECTION_VARIABLE, INDEX
from support.copy_files import export_copy
from support.operators import OUR_DESCRIPTION
from support.restore_records import FINDING, add_test

from airflow_pinecone.common.text import iso
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.policy import IndexRules
from airflow_pinecone.rules.identity import ORIGIN_TAG, Origin, describe
from airflow_pinecone.rules.scratch import COPY_TAG, TEST_TAG
from airflow_pinecone.runtime.copies import copy_store
from airflow_pinecone.runtime.copy_reports import sha256_of, write_verified
from airflow_pinecone.ui.app import cache_of_copies, cache_of_tests, create_app
from airflow_pinecone.ui.audit import ReadResult
from airflow_pinecone.ui.project_cache import ProjectCache
from airflow_pinecone.ui.reading import read_copy
from airflow_pinecone.ui.settings import PageSettings

HOUR = 3600.0
DAY = 24 * HOUR
RULES = IndexRules(DAY, min_records=1, max_shrink=0.5)
PROBLEMS = (("articles", "unprotected"), (INDEX, "late"), ("images", "failing"))
# The longest text that the client accepts, in a script that is written from right to left.
HOSTILE = '"><script>alert(1)</script>'.ljust(128, "\N{HEBREW LETTER SHIN}")
LONG_ID = "x" * 128
POD = {"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}}
VOID = {"meta", "link", "br"}

Open = Callable[..., TestClient]


class Page(HTMLParser):
    """A parsed page.

    Attributes:
        tags: The name and the attributes of each element.
        text: The text of the page, without white space at the ends of lines.
    """

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(response.text)
        assert self._open == []
        self.text = re.sub(r"\s*\n\s*", "\n", "".join(self._texts)).strip()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements with a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def links(self) -> list[str]:
        """The URLs of all links."""
        return [str(attributes["href"]) for attributes in self.all("a")]


def snippet_of(response: Any) -> str:
    """Return the DAG on a page that restores a backup."""
    found = re.search(r"<pre[^>]*><code>(.*)</code></pre>", response.text, re.DOTALL)
    assert found
    return html.unescape(found[1])


@pytest.fixture
def stepped() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def pinecone(emulator: Emulator, stepped: SteppedClock, connection: None) -> Emulator:
    """Run an emulator with the clock of the page, behind the connection pinecone_default."""
    emulator.scenario.clock = stepped.time
    return emulator


@pytest.fixture
def open_app(stepped: SteppedClock) -> Iterator[Open]:
    """Open a browser without cookies: `open_app(prefix="/airflow")`. `access` is the check of the user."""
    with ExitStack() as stack:

        def open_app(
            connections: tuple[str, ...] = (CONN_ID,),
            prefix: str = "",
            access: Callable[[], None] = lambda: None,
            rules: IndexRules = RULES,
            audit: tuple[str, str] | None = None,
            read_result: ReadResult = lambda *_: None,
            restore_tests: str = "",
            copies: str = "",
        ) -> TestClient:
            cache = ProjectCache(partial(read_copy, clock=stepped), connections, clock=stepped)
            settings = PageSettings(connections, rules, prefix, audit, restore_tests, copies)
            app = create_app(
                settings,
                cache,
                access,
                tests=cache_of_tests(settings, cache, clock=stepped),
                copies=cache_of_copies(settings, cache, clock=stepped),
                read_result=read_result,
                clock=stepped,
            )
            headers = {"Accept": "text/html,*/*;q=0.8"}
            return stack.enter_context(TestClient(app, follow_redirects=False, headers=headers))

        yield open_app


@pytest.fixture
def client(pinecone: Emulator, open_app: Open) -> TestClient:
    return open_app()


def refuse(status: int, detail: str) -> Callable[[], None]:
    def access() -> None:
        raise HTTPException(status, detail)

    return access


# Overview


def test_overview_shows_each_index(pinecone: Emulator, client: TestClient) -> None:
    for name in ("articles", "images"):
        pinecone.add_index(name)
    pinecone.add_index("pods", spec=POD)
    pinecone.add_backup(INDEX, age=2 * DAY, record_count=9000, size_bytes=1_234_567)
    pinecone.add_backup("images", age=DAY, record_count=52_000, description=OUR_DESCRIPTION)
    images = pinecone.add_backup("images", age=3 * HOUR, record_count=53_560, description=OUR_DESCRIPTION)
    pinecone.add_backup("images", age=HOUR, status="Failed", backup_id="8c85e612")
    pinecone.add_backup("old-articles", age=90 * DAY, size_bytes=5000)
    page = Page(client.get("/"))
    assert page.text.startswith("Pinecone backups\n")
    lines = page.text.splitlines()
    # The title, the link to Airflow and the heading come before.
    assert "2 of 3 indexes have no fresh Ready backup." in lines[3]
    assert lines[4] == "As of 2025-06-15 15:06 UTC, with the connection pinecone_default."
    text = page.text.replace("\n", " | ")
    assert "articles | unprotected | none | 0 | never | none |" in re.sub(r"( \|)+", " |", text)
    elsewhere = "not by airflow-pinecone"
    assert (
        f"{INDEX} | late | 2025-06-13 15:06 UTC | 2 days 1 day allowed | 9,000 | no earlier one | 1.2 MB | 1 | never | "
        f"{elsewhere} | none"
    ) in text
    assert "images | failing | 2025-06-15 12:06 UTC | 3 h | 53,560 | +3.0% |" in text
    assert "etl.backup | failed (Failed)" in text
    # The worst first: what is wrong, since when, and what to do.
    names = [text.index(f"| {name} {status} |") for name, status in PROBLEMS]
    assert names == sorted(names)
    assert "articles unprotected | It has no Ready backup. | Create a backup with CreateBackupOperator. |" in text
    assert "Since 2025-06-14 15:06 UTC (1 day). | Check that its DAG runs. |" in text
    assert "Backup 8c85e612 of 2025-06-15T14:06:40Z failed (Failed). | Since 2025-06-15 14:06 UTC (1 h). |" in text
    assert "Pinecone cannot back up these indexes. | pods: it is pod-based" in text
    assert "old-articles: 1 backup of the deleted index: 1 Ready, 5.0 kB, the newest from 2025-03-17." in text
    assert "The project has 5 backups. Pinecone allows 500 on the Standard plan and 1,000" in text
    assert f"You can still restore backup {images['backup_id']}: 53,560 records, 3 h old." in text
    assert "/dags/etl/runs/manual__1/tasks/backup" in page.links
    assert f"/pinecone-backups/indexes/images?connection={CONN_ID}" in page.links


def test_running_backup_and_last_restore_are_shown(
    pinecone: Emulator, client: TestClient, ask: Any, stepped: SteppedClock
) -> None:
    backup = pinecone.add_backup(INDEX, age=2 * HOUR)
    ask("POST", f"/backups/{backup['backup_id']}/create-index", json={"name": "drill"})
    stepped.advance(HOUR)
    pinecone.add_backup(INDEX, status="Pending")
    text = Page(client.get("/")).text
    assert "1 h ago\nnot by airflow-pinecone\nrunning (Pending)" in text


def test_restore_in_the_future_has_no_age(
    pinecone: Emulator, client: TestClient, ask: Any, stepped: SteppedClock
) -> None:
    """The clock of the API server may be wrong."""
    backup = pinecone.add_backup(INDEX)
    stepped.advance(2 * HOUR)
    ask("POST", f"/backups/{backup['backup_id']}/create-index", json={"name": "drill"})
    stepped.advance(-2 * HOUR)
    text = Page(client.get("/")).text
    assert "unknown\nnot by airflow-pinecone" in text
    assert "unknown ago" not in text


def test_allowed_age_is_an_option(pinecone: Emulator, open_app: Open) -> None:
    pinecone.add_backup(INDEX, age=2 * DAY)
    text = Page(open_app(rules=IndexRules(7 * DAY)).get("/")).text
    assert "The index has a fresh Ready backup." in text
    assert "must be less than 7 days old" in text


def test_empty_project_has_a_remedy(open_app: Open, pinecone: Emulator, ask: Any) -> None:
    ask("DELETE", f"/indexes/{INDEX}")
    text = Page(open_app().get("/")).text
    assert "There are no indexes that can be backed up." in text
    assert "check that the API key of the connection pinecone_default belongs to it" in text


def test_mapped_task_is_linked(pinecone: Emulator, client: TestClient) -> None:
    origin = Origin("etl", "scheduled__2025-06-15T00:00:00+00:00", "backup", 3, "", 1)
    pinecone.add_backup(INDEX, age=HOUR, description=describe(None, origin))
    link = "/dags/etl/runs/scheduled__2025-06-15T00%3A00%3A00%2B00%3A00/tasks/backup/mapped/3"
    assert link in Page(client.get("/")).links
    assert link in Page(client.get(f"/indexes/{INDEX}")).links


# Rules, and the audit


def audit_report(stepped: SteppedClock, *rows: dict[str, Any], age: float = HOUR, **fields: Any) -> dict[str, Any]:
    """Make the report of an audit."""
    made_at = iso(datetime.fromtimestamp(stepped.time() - age, UTC))
    return {"as_of": made_at, "verdict": "1 of 2 is late.", "indexes": list(rows), "missing": [], **fields}


def test_index_that_lost_its_records_is_failing(pinecone: Emulator, client: TestClient) -> None:
    """A backup of an emptied index is not a fresh backup that calms."""
    before = pinecone.add_backup(INDEX, age=DAY, record_count=250_000)
    pinecone.add_backup(INDEX, age=HOUR, record_count=96)
    pinecone.add_index("empty")
    pinecone.add_backup("empty", age=HOUR, record_count=0)
    page = Page(client.get("/"))
    text = page.text.replace("\n", " | ")
    assert f"| {INDEX} | failing |" in text
    assert "| 96 | -99.9% -50% allowed |" in text
    assert f"keep backup {before['backup_id']} until then" in text
    assert f"You can still restore backup {before['backup_id']}: 250,000 records, 1 day old." in text
    assert "| 0 1 required |" in text
    assert "There is no Ready backup of this index with enough records to restore." in text
    assert [attributes.get("class") for attributes in page.all("td")].count("number breaks") == 2


def test_rules_are_options(pinecone: Emulator, open_app: Open) -> None:
    pinecone.add_backup(INDEX, age=DAY / 2, record_count=100)
    pinecone.add_backup(INDEX, age=HOUR, record_count=70)
    assert "| failing |" in Page(open_app(rules=RULES._replace(max_shrink=0.2)).get("/")).text.replace("\n", " | ")
    assert "70 71 required" in Page(open_app(rules=RULES._replace(min_records=71)).get("/")).text
    assert "have lost at most 50% of the records" in Page(open_app().get("/")).text


def test_page_judges_by_the_rules_of_the_last_audit(pinecone: Emulator, open_app: Open, stepped: SteppedClock) -> None:
    pinecone.add_index("images")
    for name in (INDEX, "images"):
        pinecone.add_backup(name, age=2 * HOUR)
    row = {"index_name": INDEX, "max_age": HOUR, "max_restore_age": DAY, "min_records": 1000, "max_shrink": None}
    result = "scheduled__1", audit_report(stepped, row, missing=["prod"])
    page = Page(open_app(audit=("audits", "audit"), read_result=lambda *_: result).get("/"))
    text = page.text.replace("\n", " | ")
    assert "Last audit: audits.audit, 2025-06-15 14:06 UTC (1 h ago): 1 of 2 is late." in text
    assert "/dags/audits/runs/scheduled__1/tasks/audit" in page.links
    assert "2 h 1 h allowed" in text
    assert "1,000 required" in text
    assert "never 1 day allowed" in text
    # The policy of the audit does not have it.
    assert "| images | ok |" in text
    assert "The audit does not have images." in text
    assert "prod unprotected | The audit requires this index, and it does not exist." in text
    assert "1 required index does not exist." in text.split("As of")[0]


def test_audit_is_of_the_first_connection(pinecone: Emulator, open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", os.environ[CONNECTION_VARIABLE])
    client = open_app((CONN_ID, "other"), audit=("audits", "audit"))
    assert "audits.audit" in Page(client.get("/")).text
    assert "audits.audit" not in Page(client.get("/?connection=other")).text


def fail(*_: str) -> Any:
    raise RuntimeError("The database is locked.")


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (None, "There is none in XCom."),
        (fail, "It could not be read from XCom."),
        (("r", "s3://bucket/report"), "Its XCom is not a report"),
        (("r", {"as_of": "yesterday", "verdict": "", "indexes": [], "missing": []}), "Its XCom is not a report"),
        (("r", {"max_age": -1}), "Its XCom is not a report"),
        (("r", {"age": 2 * DAY}), "It is 2 days old. Check that its DAG runs."),
    ],
    ids=["none", "unreadable", "elsewhere", "no time", "invalid rule", "old"],
)
def test_unknown_audit_is_an_alert(
    pinecone: Emulator, open_app: Open, stepped: SteppedClock, result: Any, sentence: str
) -> None:
    pinecone.add_backup(INDEX, age=HOUR)
    match result:
        case (run_id, {"max_age": max_age}):
            result = run_id, audit_report(stepped, {"index_name": INDEX, "max_age": max_age})
        case (run_id, {"age": age}):
            result = run_id, audit_report(stepped, age=age)
    read = result if callable(result) else lambda *_: result
    page = Page(open_app(audit=("audits", "audit"), read_result=read).get("/"))
    assert [attributes.get("role") for attributes in page.all("p")].count("alert") == 1
    assert f"The last report of the audit audits.audit is unknown or old. {sentence}" in page.text
    assert f"{INDEX}\nok\n" in page.text


# Restore tests

AUDITED = {"max_age": DAY, "max_restore_age": 7 * DAY, "min_records": 1, "max_shrink": None}


def ago(stepped: SteppedClock, seconds: float) -> datetime:
    return datetime.fromtimestamp(stepped.time() - seconds, UTC)


def test_page_shows_which_indexes_were_tested(
    pinecone: Emulator, open_app: Open, stepped: SteppedClock, ask: Any, tmp_path: Path
) -> None:
    ids = {}
    for name in (INDEX, "failed", "restored", "none", "sampled"):
        pinecone.add_index(name) if name != INDEX else None
        ids[name] = str(pinecone.add_backup(name, age=HOUR)["backup_id"])
    ask("POST", f"/backups/{ids['restored']}/create-index", json={"name": "drill"})
    add_test(tmp_path, INDEX, ids[INDEX], ago(stepped, 3 * DAY))
    add_test(tmp_path, "sampled", ids["sampled"], ago(stepped, 2 * HOUR), sample=0.1)
    add_test(tmp_path, "failed", ids["failed"], ago(stepped, 2 * DAY))
    add_test(tmp_path, "failed", ids["failed"], ago(stepped, HOUR), "failed")
    client = open_app(restore_tests=f"file://{tmp_path}")
    page = Page(client.get("/"))
    text = page.text.replace("\n", " | ")
    assert "| Restore test | Newest created by |" in text
    assert f"| {INDEX} | ok |" in text
    assert "| tested 3 days ago |" in text
    assert "| tested 2 h ago (a sample) |" in text
    assert "| restored, not tested |" in text
    assert "| not tested |" in text
    assert "| test failed |" in text
    assert f"failed failing | The restore test of backup {ids['failed']} failed: {FINDING} |" in text
    assert "Since 2025-06-15 14:06 UTC (1 h)." in text
    assert "Its restore test failed." in text
    text = Page(client.get("/indexes/failed")).text.replace("\n", " | ")
    assert "Restore tests | This index: test failed." in text
    assert f"| 2025-06-15 14:06 UTC | failed | {ids['failed']} | 60 | {FINDING}" in text
    assert f"| 2025-06-13 15:06 UTC | passed | {ids['failed']} | 100 | none |" in text
    assert f"/failed/{ids['failed']}/20250615T140640.000000Z-" in text
    assert "This index: not tested." in Page(client.get("/indexes/none")).text


def test_page_without_the_option_shows_no_tests(pinecone: Emulator, client: TestClient) -> None:
    pinecone.add_backup(INDEX, age=HOUR)
    assert "Last restore\n" in Page(client.get("/")).text
    assert "Restore tests" not in Page(client.get(f"/indexes/{INDEX}")).text


def test_rules_of_the_audit_require_a_passed_test(
    pinecone: Emulator, open_app: Open, stepped: SteppedClock, tmp_path: Path
) -> None:
    backup = pinecone.add_backup(INDEX, age=HOUR)
    add_test(tmp_path, INDEX, backup["backup_id"], ago(stepped, 9 * DAY))
    result = "scheduled__1", audit_report(stepped, {"index_name": INDEX, **AUDITED})
    options: dict[str, Any] = {"audit": ("audits", "audit"), "read_result": lambda *_: result}
    text = Page(open_app(restore_tests=f"file://{tmp_path}", **options).get("/")).text
    assert "tested 9 days ago 7 days allowed" in text
    assert "Run a restore test." in text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "not valid JSON, or not complete"),
        ('{"format": 99}', "its format is 99"),
        (None, "could not be read (IsADirectoryError)"),
    ],
)
def test_invalid_record_is_unknown(
    pinecone: Emulator, open_app: Open, tmp_path: Path, content: str | None, why: str
) -> None:
    pinecone.add_backup(INDEX, age=HOUR)
    file = tmp_path / INDEX / "latest.json"
    file.parent.mkdir() if content is not None else file.mkdir(parents=True)
    if content is not None:
        file.write_text(content)
    client = open_app(restore_tests=f"file://{tmp_path}")
    text = Page(client.get("/")).text
    assert f"The restore tests of index {INDEX} are unknown: file " in text
    assert why in text
    assert "unknown\nnot by airflow-pinecone" in text
    text = Page(client.get(f"/indexes/{INDEX}")).text
    assert why in text
    assert "This index: unknown." in text


@pytest.mark.parametrize("folder", ["nonsense://bucket", "file:///does/not/exist"])
def test_unreadable_folder_does_not_hide_the_project(pinecone: Emulator, open_app: Open, folder: str) -> None:
    pinecone.add_index("second")
    pinecone.add_backup(INDEX, age=HOUR)
    response = open_app(restore_tests=folder).get("/")
    assert response.status_code == 200
    assert "The restore tests of 2 indexes are unknown: folder " in Page(response).text
    assert f"{INDEX}\nok\n" in Page(response).text


def test_restore_tests_are_of_the_first_connection(
    pinecone: Emulator, open_app: Open, stepped: SteppedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", os.environ[CONNECTION_VARIABLE])
    backup = pinecone.add_backup(INDEX, age=HOUR)
    add_test(tmp_path, INDEX, backup["backup_id"], ago(stepped, HOUR), "failed")
    client = open_app((CONN_ID, "other"), restore_tests=f"file://{tmp_path}")
    assert "test failed" in Page(client.get("/")).text
    assert "test failed" not in Page(client.get("/?connection=other")).text


def test_scratch_index_of_a_restore_test_is_not_judged(
    pinecone: Emulator, open_app: Open, stepped: SteppedClock, tmp_path: Path
) -> None:
    backup = pinecone.add_backup(INDEX, age=HOUR)
    add_test(tmp_path, INDEX, backup["backup_id"], ago(stepped, HOUR))
    pinecone.add_index("restore-test-1", tags={ORIGIN_TAG: "0123", TEST_TAG: backup["backup_id"]})
    client = open_app(restore_tests=f"file://{tmp_path}")
    text = Page(client.get("/")).text
    assert "The index has a fresh Ready backup." in text
    assert "If none is running, delete these indexes.\nrestore-test-1" in text
    text = Page(client.get("/indexes/restore-test-1")).text
    assert "scratch\nThis is the scratch index of a restore test or a copy" in text
    assert "CreateBackupOperator" not in text
    assert "no index with this name" not in text


def test_hostile_finding_stays_text(pinecone: Emulator, open_app: Open, stepped: SteppedClock, tmp_path: Path) -> None:
    backup = pinecone.add_backup(INDEX, age=HOUR)
    add_test(tmp_path, INDEX, backup["backup_id"], ago(stepped, HOUR), "failed")
    for file in tmp_path.rglob("*.json"):
        record = json.loads(file.read_text())
        record["findings"] = [{"text": f"{number} {HOSTILE}", "fails": True} for number in range(12)]
        file.write_text(json.dumps(record))
    client = open_app(restore_tests=f"file://{tmp_path}")
    for path in ("/", f"/indexes/{INDEX}"):
        response = client.get(path)
        assert str(escape(HOSTILE[:27])) in response.text
        assert "<script>alert" not in response.text
    assert "2 more are in the file." in response.text


# Copies outside of Pinecone

COPIED = {"max_age": DAY, "max_copy_age": 7 * DAY, "min_records": 1, "max_shrink": None}


@pytest.fixture
def copied(pinecone: Emulator, tmp_path: Path) -> Callable[..., Path]:
    """Copy a new backup of an index below ``tmp_path``."""

    def copied(index_name: str, age: float, *, is_frozen: bool = True) -> Path:
        made = pinecone.add_backup(index_name, age=age)
        backup = {name: made[name] for name in ("backup_id", "source_index_id", "created_at")}
        folder = tmp_path / str(made["source_index_id"]) / str(made["backup_id"])
        export_copy(PineconeHook().records(index_name), folder, backup=backup, is_frozen=is_frozen)
        return folder

    return copied


def verify(folder: Path, at: datetime, level: int = 2) -> None:
    """Write the report of a verification of a copy. Level 0 is one that was not passed."""
    digest = sha256_of((folder / "copy" / "manifest.json").read_bytes())
    write_verified(copy_store(f"file://{folder}"), {"level": level}, {}, at, manifest_sha256=digest)


def test_page_shows_the_newest_copy_of_each_index(
    pinecone: Emulator, open_app: Open, stepped: SteppedClock, copied: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("live", "none", "verified"):
        pinecone.add_index(name)
    pinecone.add_backup("none", age=HOUR)
    copied(INDEX, 3 * DAY)
    newest = copied(INDEX, 2 * HOUR)
    verified = copied("verified", 3 * HOUR)
    verify(verified, ago(stepped, HOUR), level=3)
    pinecone.add_backup("live", age=HOUR)
    live = tmp_path / "live" / "live-20250615T130640Z-1"
    export_copy(PineconeHook().records("live"), live, created_at=iso(ago(stepped, 4 * HOUR)))
    client = open_app(copies=f"file://{tmp_path}")
    text = Page(client.get("/")).text.replace("\n", " | ")
    assert "| Newest copy | Newest created by |" in text
    cells = dict(re.findall(r"\| (docs-example|live|none|verified) \| ok \|.*?\| never \| ([^|]+) \|", text))
    assert cells == {
        INDEX: "2 h, not verified",
        "live": "4 h, not verified",
        "none": "none",
        "verified": "3 h, verified (level 3)",
    }
    text = Page(client.get(f"/indexes/{INDEX}")).text.replace("\n", " | ")
    records = json.loads((newest / "copy" / "manifest.json").read_text())["totals"]["records"]
    row = f"| 2025-06-15 13:06 UTC | 2 h | {records:,} | not verified | frozen | {newest.name} | file://{newest} |"
    assert row in text
    assert "not frozen" not in text
    text = Page(client.get("/indexes/verified")).text.replace("\n", " | ")
    assert f"| level 3, 2025-06-15 14:06 UTC | frozen | {verified.name} | file://{verified} |" in text
    text = Page(client.get("/indexes/live")).text.replace("\n", " | ")
    assert f"| not verified | not frozen | none: of the index itself | file://{live} |" in text
    assert "records that were written while it was copied may be missing" in text
    assert "This index: none. Copy a backup with export_backup." in Page(client.get("/indexes/none")).text


def test_page_warns_of_a_copy_that_did_not_pass_its_verification(
    open_app: Open, stepped: SteppedClock, copied: Callable[..., Path], tmp_path: Path
) -> None:
    good = copied(INDEX, 3 * DAY)
    damaged = copied(INDEX, 2 * HOUR)
    verify(damaged, ago(stepped, HOUR), level=0)
    client = open_app(copies=f"file://{tmp_path}")
    warning = f"The copy of index {INDEX} in file://{damaged} did not pass its verification."
    assert warning in Page(client.get("/")).text
    text = Page(client.get(f"/indexes/{INDEX}")).text
    assert warning in text
    assert good.name in text


def test_page_without_the_option_shows_no_copies(
    pinecone: Emulator, client: TestClient, copied: Callable[..., Path]
) -> None:
    copied(INDEX, HOUR)
    assert "Newest copy" not in Page(client.get("/")).text
    assert "Copy outside of Pinecone" not in Page(client.get(f"/indexes/{INDEX}")).text


def test_rules_of_the_audit_require_a_copy(
    pinecone: Emulator, open_app: Open, stepped: SteppedClock, copied: Callable[..., Path], tmp_path: Path
) -> None:
    pinecone.add_index("none")
    copied(INDEX, 9 * DAY)
    for name in (INDEX, "none"):
        pinecone.add_backup(name, age=HOUR)
    result = "scheduled__1", audit_report(stepped, *({"index_name": name, **COPIED} for name in (INDEX, "none")))
    options: dict[str, Any] = {"audit": ("audits", "audit"), "read_result": lambda *_: result}
    text = Page(open_app(copies=f"file://{tmp_path}", **options).get("/")).text.replace("\n", " | ")
    assert "| 9 days, not verified 7 days allowed |" in text
    assert "| Since 2025-06-13 15:06 UTC (2 days). | Check that its copies run. |" in text
    assert "| none 7 days allowed |" in text
    assert "It has no copy outside of Pinecone, and max_copy_age is 7 days, 0:00:00. | Copy a backup with" in text
    # Without the option, the page does not know the copies, and does not judge them.
    assert "max_copy_age" not in Page(open_app(**options).get("/")).text


def test_copies_of_an_index_without_a_backup_are_unknown(
    pinecone: Emulator, open_app: Open, copied: Callable[..., Path], ask: Any, tmp_path: Path
) -> None:
    """The folder of a copy has the id of the index, which Pinecone only returns with a backup."""
    folder = copied(INDEX, HOUR)
    pinecone.add_index("pods", spec=POD)
    assert ask("DELETE", f"/backups/{folder.name}").status_code == 202
    client = open_app(copies=f"file://{tmp_path}")
    page = Page(client.get("/"))
    assert f"The copies of index {INDEX} are unknown: the id of the index is unknown, because it has no" in page.text
    assert "unknown" in page.text.splitlines()
    assert "This index: unknown." in Page(client.get(f"/indexes/{INDEX}")).text
    assert "Copy outside of Pinecone" not in Page(client.get("/indexes/pods")).text


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("nonsense://bucket/copies", "nonsense://bucket/copies could not be read."),
        ("s3://key:pass/word@bucket/copies", "s3://key:***@bucket/copies could not be read."),
        ("nonsense://host/copies?sig=password", "nonsense://host/copies?*** could not be read."),
        ("file://missing@/copies", "file://missing@/copies could not be read: its connection was not found."),
        ("file:///does/not/exist", "file:///does/not/exist does not exist."),
    ],
)
def test_unreadable_copies_do_not_hide_the_project(pinecone: Emulator, open_app: Open, folder: str, why: str) -> None:
    pinecone.add_index("second")
    pinecone.add_backup(INDEX, age=HOUR)
    client = open_app(copies=folder)
    response = client.get("/")
    assert response.status_code == 200
    assert f"The copies of 2 indexes are unknown: folder {why}" in Page(response).text
    assert f"{INDEX}\nok\n" in Page(response).text
    for path in ("/", f"/indexes/{INDEX}"):
        text = client.get(path).text
        assert why in text
        assert [secret for secret in ("pass/word", "password") if secret in text] == []


def test_query_of_a_url_is_not_shown(open_app: Open, copied: Callable[..., Path], tmp_path: Path) -> None:
    folder = copied(INDEX, HOUR)
    moved = tmp_path / "copies?sig=password"
    moved.mkdir()
    folder.parent.rename(moved / folder.parent.name)
    client = open_app(copies=f"file://{moved}")
    assert "1 h, not verified" in Page(client.get("/")).text
    response = client.get(f"/indexes/{INDEX}")
    assert f"frozen\n{folder.name}\nfile://{tmp_path}/copies?***" in Page(response).text
    assert "password" not in response.text


def test_copies_are_of_the_first_connection(
    open_app: Open, copied: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", os.environ[CONNECTION_VARIABLE])
    copied(INDEX, HOUR)
    client = open_app((CONN_ID, "other"), copies=f"file://{tmp_path}")
    assert "1 h, not verified" in Page(client.get("/")).text
    assert "not verified" not in Page(client.get("/?connection=other")).text


def test_copies_and_restore_tests_are_shown_together(
    open_app: Open, stepped: SteppedClock, copied: Callable[..., Path], tmp_path: Path
) -> None:
    folder = copied(INDEX, HOUR)
    add_test(tmp_path / "tests", INDEX, folder.name, ago(stepped, 2 * HOUR))
    client = open_app(copies=f"file://{tmp_path}", restore_tests=f"file://{tmp_path / 'tests'}")
    assert "tested 2 h ago\n1 h, not verified\n" in Page(client.get("/")).text


def test_scratch_index_of_a_copy_is_not_judged(
    pinecone: Emulator, open_app: Open, copied: Callable[..., Path], tmp_path: Path
) -> None:
    copied(INDEX, HOUR)
    pinecone.add_index("copy-1", tags={ORIGIN_TAG: "0123", COPY_TAG: "b-1"})
    client = open_app(copies=f"file://{tmp_path}")
    text = Page(client.get("/")).text
    assert "If none is running, delete these indexes.\ncopy-1" in text
    assert "unknown:" not in text
    assert "Copy outside of Pinecone" not in Page(client.get("/indexes/copy-1")).text


def test_hostile_manifest_stays_text(
    open_app: Open, stepped: SteppedClock, copied: Callable[..., Path], tmp_path: Path
) -> None:
    folder = copied(INDEX, HOUR)
    file = folder / "copy" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["backup"]["backup_id"] = HOSTILE
    file.write_text(json.dumps(manifest))
    response = open_app(copies=f"file://{tmp_path}").get(f"/indexes/{INDEX}")
    assert f"<bdi>{escape(HOSTILE)}</bdi>" in response.text
    assert "<script>alert" not in response.text


# Index


def test_index_page_shows_its_backups(pinecone: Emulator, client: TestClient, ask: Any) -> None:
    hold = describe(None, Origin("etl", "manual__1", "backup", -1, "", 1), datetime(2025, 7, 1, tzinfo=UTC))
    backups = [
        pinecone.add_backup(INDEX, age=3 * DAY, record_count=100, size_bytes=2000, description=None),
        pinecone.add_backup(INDEX, age=2 * DAY, record_count=300, size_bytes=4000, description=hold),
        pinecone.add_backup(INDEX, age=HOUR, record_count=None, size_bytes=..., status="Failed", description=hold),
    ]
    pinecone.add_backup(INDEX, age=9 * DAY, source_index_id="an-earlier-index", backup_id="of-an-earlier-index")
    ask("POST", f"/backups/{backups[1]['backup_id']}/create-index", json={"name": "drill"})
    page = Page(client.get(f"/indexes/{INDEX}"))
    text = page.text.replace("\n", " | ")
    assert f"Index {INDEX} | late | Its newest Ready backup is 2 days" in text
    ids = [attributes["data-backup-id"] for attributes in page.all("tr") if "data-backup-id" in attributes]
    assert ids == [*(backup["backup_id"] for backup in reversed(backups)), "of-an-earlier-index"]
    assert "| Ready | 2025-06-13 15:06 UTC | 2 days | 300 | 4.0 kB | etl.backup | 2025-07-01 00:00 UTC" in text
    assert "| Failed | 2025-06-15 14:06 UTC | 1 h | unknown | unknown | etl.backup | 2025-07-01 00:00 UTC" in text
    assert "| 100 | 2.0 kB | not by airflow-pinecone | not held" in text
    assert "1 of them was not created by airflow-pinecone" in text
    assert "Backups of other indexes with this name | They belong to an earlier index" in text
    assert f"| Completed | {backups[1]['backup_id']} | drill | 2025-06-15 15:06 UTC | 2025-06-15 15:06 UTC" in text
    assert "Records: 300 in the newest Ready backup; the highest value is 300." in text
    assert "The chart goes from 2025-06-12 to 2025-06-13, and its lower line is 0." in text
    assert f"This DAG restores backup {backups[1]['backup_id']}" in text
    assert f"/assets?name_pattern=pinecone%3A%2F%2F{INDEX}%2Fbackups" in page.links
    (history,) = [attributes for attributes in page.all("div") if "data-history" in attributes]
    assert history["data-asset-uri"] == f"pinecone://{INDEX}/backups"


@pytest.mark.parametrize(
    ("status", "sentences"),
    [
        ("Ready", ["There is no index with this name now.", 'backup_id="of-the-deleted-index"']),
        (
            "Failed",
            [
                "There is no index with this name now. Its backups below still exist.",
                "There is no Ready backup to restore.",
            ],
        ),
    ],
    ids=["Ready", "Failed"],
)
def test_deleted_index_shows_how_to_restore_it(
    pinecone: Emulator, client: TestClient, status: str, sentences: list[str]
) -> None:
    pinecone.add_backup("deleted", age=DAY, status=status, backup_id="of-the-deleted-index")
    response = client.get("/indexes/deleted")
    assert response.status_code == 200
    assert [sentence for sentence in sentences if sentence not in Page(response).text] == []


@pytest.mark.parametrize(("ages", "heading"), [([], "Trend"), ([HOUR], "Backups of other indexes with this name")])
def test_pod_based_index_cannot_be_backed_up(
    pinecone: Emulator, client: TestClient, ages: list[float], heading: str
) -> None:
    """All backups with its name belong to an earlier index."""
    pinecone.add_index("pods", spec=POD)
    for age in ages:
        pinecone.add_backup("pods", source_index_id="deleted", age=age)
    text = Page(client.get("/indexes/pods")).text
    assert "Pinecone cannot back up this index: it is pod-based." in text
    assert f"Backups\nThere are none.\n{heading}" in text
    assert "CreateBackupOperator." not in text.partition("History")[0]


def test_index_whose_backups_were_not_restored(pinecone: Emulator, client: TestClient) -> None:
    pinecone.add_backup(INDEX, age=HOUR)
    assert "never\nnot by airflow-pinecone" in Page(client.get("/")).text


def test_restores_that_cannot_be_listed_are_not_never(pinecone: Emulator, client: TestClient) -> None:
    pinecone.add_backup(INDEX, age=HOUR)
    pinecone.fault("GET", "/restore-jobs", status=403, times=None)
    for path in ("/", f"/indexes/{INDEX}"):
        text = Page(client.get(path)).text
        assert "It is unknown which backups were restored: Could not list the restore jobs" in text
        assert "1 h" in text
        assert "Pinecone lists no restore job" not in text
        assert "never" not in text
    assert "unknown\nnot by airflow-pinecone" in Page(client.get("/")).text


def test_index_without_a_backup(client: TestClient) -> None:
    text = Page(client.get(f"/indexes/{INDEX}")).text
    assert "It has no Ready backup." in text
    assert "There are none. Create one with CreateBackupOperator." in text
    assert "Records: no Ready backup has this number." in text
    assert "There is no Ready backup to restore." in text


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/indexes/missing", "neither an index nor a backup with the name missing"),
        ("/backups/missing", "The project has no backup missing."),
    ],
)
def test_unknown_index_or_backup_is_404(client: TestClient, path: str, sentence: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert sentence in Page(response).text


def test_backup_leads_to_the_page_of_its_index(pinecone: Emulator, client: TestClient) -> None:
    backup_id = pinecone.add_backup(INDEX, age=HOUR)["backup_id"]
    response = client.get(f"/backups/{backup_id}")
    assert response.status_code == 200
    assert f"Index {INDEX}" in Page(response).text


TASK = {"dag_id": "etl", "run_id": "manual__1", "task_id": "group.backup", "map_index": "2"}


def test_failing_row_leads_to_the_run_that_failed(pinecone: Emulator, client: TestClient) -> None:
    ready = pinecone.add_backup(INDEX, age=480.0, record_count=98_000, description=OUR_DESCRIPTION)
    pinecone.add_backup(
        INDEX, age=60.0, status="Failed", description=describe(None, Origin("etl", "manual__2", "backup", -1, "", 1))
    )
    for path in ("/", f"/indexes/{INDEX}"):
        page = Page(client.get(path))
        assert "/dags/etl/runs/manual__2/tasks/backup" in page.links
        assert "Open the log of the task that failed: etl.backup" in page.text
        assert f"You can still restore backup {ready['backup_id']}: 98,000 records, 8 min old." in page.text


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("Failed", "This backup failed (Failed). It cannot be restored."),
        ("Pending", "This backup is not Ready yet: its status is Pending."),
        ("Ready", "This backup is Ready. It has 5 records and is 1 h old."),
    ],
)
def test_link_of_a_task_leads_to_its_backup_and_back(
    pinecone: Emulator, client: TestClient, status: str, sentence: str
) -> None:
    pinecone.add_backup(INDEX, age=HOUR / 2)
    backup_id = pinecone.add_backup(INDEX, age=HOUR, status=status, record_count=5)["backup_id"]
    page = Page(client.get(f"/backups/{backup_id}", params=TASK))
    assert sentence in page.text
    (row,) = [attributes for attributes in page.all("tr") if attributes.get("aria-current")]
    assert (row["id"], row["class"]) == (f"backup-{backup_id}", "selected")
    assert f"#backup-{backup_id}" in page.links
    assert "/dags/etl/runs/manual__1/tasks/group.backup/mapped/2" in page.links
    assert "Back to the task etl.group.backup" in page.text


def test_deleted_backup_is_said_to_be_so(pinecone: Emulator, client: TestClient) -> None:
    page = Page(client.get("/backups/b-1", params=TASK))
    assert "This backup does not exist" in page.text
    assert "It was deleted, or" in page.text
    assert "/dags/etl/runs/manual__1/tasks/group.backup/mapped/2" in page.links


@pytest.mark.parametrize(
    "changed",
    [
        {"dag_id": "//example.com"},
        {"dag_id": ".."},
        {"task_id": "a/b"},
        {"run_id": ""},
        {"run_id": "."},
        {"run_id": "\n"},
        {"run_id": "x" * 251},
        {"map_index": "-2"},
        {"map_index": "x"},
    ],
)
def test_way_back_leads_only_to_a_task(pinecone: Emulator, client: TestClient, changed: dict[str, str]) -> None:
    page = Page(client.get("/backups/b-1", params={**TASK, **changed}))
    assert "Back to the task" not in page.text
    odd = Page(client.get("/backups/b-1", params={**TASK, "run_id": "//example.com/?x#y"}))
    assert "/dags/etl/runs/%2F%2Fexample.com%2F%3Fx%23y/tasks/group.backup/mapped/2" in odd.links


def test_login_leads_back_to_the_backup_and_the_task(open_app: Open) -> None:
    response = open_app(access=refuse(401, "Not authenticated")).get("/backups/b-1", params=TASK)
    assert "/backups/b-1?connection=pinecone_default&dag_id=etl&run_id=manual__1" in unquote(
        response.headers["Location"]
    )


@pytest.mark.parametrize("listing", ["/indexes", "/backups", "/restore-jobs"])
def test_invalid_row_hides_one_row(pinecone: Emulator, client: TestClient, ask: Any, listing: str) -> None:
    backup = pinecone.add_backup(INDEX, age=HOUR)
    ask("POST", f"/backups/{backup['backup_id']}/create-index", json={"name": "drill"})
    field = "indexes" if listing == "/indexes" else "data"
    rows = ask("GET", listing).json()[field]
    ids = {"backup_id": "b-odd", "restore_job_id": "r-odd"}
    odd = [{**rows[0], **ids, "status": "\x1b[2J", "name": "\x1b[2J"}, 7]
    pinecone.fault("GET", listing, status=200, body={field: [*odd, *rows]}, times=None)
    page = Page(client.get("/"))
    # An index that is left out could have no backup. The invalid fields of a backup are unknown.
    are_unknown = listing == "/indexes"
    assert ("Could not list the indexes completely: 2 rows" in page.text) is are_unknown
    assert [attributes.get("role") for attributes in page.all("p")].count("alert") == are_unknown
    assert f"{INDEX}\nok\n" in page.text
    assert "\x1b" not in page.text


def test_snippet_is_a_dag_that_restores_the_backup(pinecone: Emulator, client: TestClient) -> None:
    backup = pinecone.add_backup(INDEX, age=HOUR)
    source = snippet_of(client.get(f"/indexes/{INDEX}"))
    compile(source, "dag.py", "exec")
    (call,) = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and len(node.keywords) == 4]
    arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert arguments == {
        "task_id": "restore",
        "backup_id": backup["backup_id"],
        "index_name": f"{INDEX}-restored",
        "conn_id": CONN_ID,
    }


# States


def test_unreachable_pinecone(pinecone: Emulator, client: TestClient) -> None:
    pinecone.stop()
    text = Page(client.get("/")).text
    assert "Pinecone could not be reached." in text
    assert "Check the network and the proxy of the API server" in text


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "Pinecone rejected the API key."),
        (403, "Pinecone does not permit listing the project."),
        (404, "Pinecone rejected a request."),
        (503, "Pinecone returned an error."),
    ],
)
def test_error_of_pinecone(pinecone: Emulator, client: TestClient, status: int, sentence: str) -> None:
    pinecone.fault("GET", "/backups", status=status, times=None)
    response = client.get("/")
    text = Page(response).text
    assert sentence in text
    assert f"HTTP {status}" in text
    assert API_KEY not in response.text


def test_missing_connection(monkeypatch: pytest.MonkeyPatch, open_app: Open) -> None:
    monkeypatch.delenv(CONNECTION_VARIABLE, raising=False)
    text = Page(open_app().get("/")).text
    assert "The connection cannot be used." in text
    assert "It does not exist, or the secrets backend" in text


def test_invalid_connection_does_not_show_the_key(monkeypatch: pytest.MonkeyPatch, open_app: Open) -> None:
    monkeypatch.setenv(CONNECTION_VARIABLE, f'{{"conn_type": "pinecone", "password": "{API_KEY} x"}}')
    response = open_app().get("/")
    assert "the password is not a valid API key" in response.text
    assert API_KEY not in response.text


def test_last_copy_is_shown_with_its_time(pinecone: Emulator, client: TestClient, stepped: SteppedClock) -> None:
    pinecone.add_backup(INDEX, age=HOUR)
    client.get("/")
    stepped.advance(2 * DAY)
    pinecone.fault("GET", "/indexes", status=503, times=None)
    for path in ("/", f"/indexes/{INDEX}"):
        page = Page(client.get(path))
        # Judged at the time of the request.
        assert "late" in page.text
        assert "Its newest Ready backup is 2 days, 1:00:00 old" in page.text
        assert "is ok" not in page.text
        assert [tag for tag, attributes in page.tags if attributes.get("role") == "alert"] == ["div"]
        first = page.text.splitlines()[3 if path == "/" else 4]
        assert first.startswith("These data are 2 days old. Pinecone was last read at 2025-06-15 15:06 UTC.")
        assert "Pinecone returned an error." in page.text


def test_copy_of_five_minutes_is_not_old(pinecone: Emulator, client: TestClient, stepped: SteppedClock) -> None:
    pinecone.add_backup(INDEX, age=HOUR)
    client.get("/")
    pinecone.fault("GET", "/indexes", status=503, times=None)
    stepped.advance(300)
    text = Page(client.get("/")).text
    assert "These data are" not in text
    assert "Pinecone returned an error. The page shows what was read before." in text
    stepped.advance(1)
    assert "These data are 5 min 1 s old." in Page(client.get("/")).text


def test_page_can_be_turned_off(open_app: Open) -> None:
    client = open_app(connections=())
    for path in ("/", "/indexes/docs", "/?connection=pinecone_default"):
        text = Page(client.get(path)).text
        assert "This page is turned off" in text
        assert "set the option to the ids of connections" in text


def test_only_configured_connections_are_used(pinecone: Emulator, client: TestClient) -> None:
    for path in ("/", f"/indexes/{INDEX}"):
        response = client.get(path, params={"connection": "another"})
        assert response.status_code == 404
        assert "The connection another is not one of this page." in Page(response).text
    assert pinecone.requests == []


def test_several_connections_can_be_chosen(pinecone: Emulator, open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_OTHER", raising=False)
    client = open_app(connections=(CONN_ID, "other"))
    page = Page(client.get("/"))
    assert page.links[1:3] == ["/pinecone-backups/?connection=pinecone_default", "/pinecone-backups/?connection=other"]
    assert [attributes.get("aria-current") for attributes in page.all("a")][1:3] == ["true", None]
    page = Page(client.get("/", params={"connection": "other"}))
    assert "Connection other cannot be used" in page.text
    assert "/pinecone-backups/?connection=pinecone_default" in page.links


# Access


@pytest.mark.parametrize(("status", "detail"), [(401, "Not authenticated"), (403, "Invalid JWT token")])
def test_user_without_a_valid_login_logs_in_and_comes_back(open_app: Open, status: int, detail: str) -> None:
    client = open_app(access=refuse(status, detail), prefix="/airflow")
    for path, page in (("/", ""), ("/indexes/docs", "indexes/docs")):
        response = client.get(path)
        assert response.status_code == 303
        assert unquote(response.headers["Location"]) == (
            f"/airflow/api/v2/auth/login?next=/airflow/pinecone-backups/{page}?connection={CONN_ID}"
        )


@pytest.mark.parametrize("status", [401, 403])
def test_anonymous_program_gets_no_login_form(open_app: Open, status: int) -> None:
    client = open_app(access=refuse(status, "Invalid JWT token"))
    for query, accept in (("?fragment=1", "text/html"), ("", "*/*"), ("", "application/json")):
        response = client.get(f"/{query}", headers={"Accept": accept})
        assert (response.status_code, response.text) == (401, "")


@pytest.mark.parametrize("fragment", ["", "1"])
def test_user_without_permission_sees_why(open_app: Open, pinecone: Emulator, fragment: str) -> None:
    client = open_app(access=refuse(403, "Forbidden"))
    for path in ("/", f"/indexes/{INDEX}"):
        response = client.get(path, params={"fragment": fragment})
        assert response.status_code == 403
        assert "You do not have the permission to read connections" in Page(response).text
        assert INDEX not in response.text
    assert pinecone.requests == []


def test_permission_is_checked_for_the_connection_that_is_shown(open_app: Open, pinecone: Emulator) -> None:
    def access(request: Request) -> None:
        # Airflow reads the connection from this path parameter.
        if request.path_params["connection_id"] != CONN_ID:
            raise HTTPException(403, "Forbidden")

    client = open_app((CONN_ID, "other"), access=access)
    for path in ("/", f"/indexes/{INDEX}", "/backups/b-1"):
        assert client.get(path).status_code != 403
        assert client.get(path, params={"connection": "other"}).status_code == 403
    # Airflow looks for no connection if the page has none.
    assert open_app((), access=access).get("/").status_code == 403


def test_other_refusals_are_those_of_airflow(open_app: Open) -> None:
    response = open_app(access=refuse(400, "No such team.")).get("/")
    assert (response.status_code, response.json()) == (400, {"detail": "No such team."})


@pytest.mark.parametrize("path", ["/", f"/indexes/{INDEX}", "/static/page.css"])
def test_other_methods_are_rejected(client: TestClient, path: str) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert client.request(method, path).status_code == 405


# Places


def test_page_under_a_prefix(pinecone: Emulator, open_app: Open) -> None:
    pinecone.add_backup(INDEX, age=HOUR, description=OUR_DESCRIPTION)
    client = open_app(prefix="/some/airflow", connections=(CONN_ID, "other"))
    for path in ("/", f"/indexes/{INDEX}", "/indexes/missing"):
        for fragment in ("", "1"):
            page = Page(client.get(path, params={"fragment": fragment}))
            urls = [
                attributes.get(name)
                for name in ("href", "src")
                for _, attributes in page.tags
                if attributes.get(name) is not None
            ]
            assert urls
            assert [url for url in urls if not str(url).startswith("/some/airflow/")] == []


def test_fragment_is_for_the_page_of_airflow(pinecone: Emulator, client: TestClient) -> None:
    pinecone.add_backup(INDEX, age=HOUR)
    response = client.get("/", params={"fragment": "1"})
    page = Page(response)
    assert not {"html", "head", "body", "script", "title"} & {tag for tag, _ in page.tags}
    assert page.tags[0] == ("link", {"rel": "stylesheet", "href": "/pinecone-backups/static/page.css"})
    assert f"/plugin/pinecone-backups/indexes/{INDEX}?connection={CONN_ID}" in page.links
    page = Page(client.get(f"/indexes/{INDEX}", params={"fragment": "1"}))
    assert page.links[0] == f"/plugin/pinecone-backups/?connection={CONN_ID}"


@pytest.mark.parametrize("path", ["/", f"/indexes/{INDEX}", "/indexes/missing", "/?connection=x", "/?fragment=1"])
def test_headers_of_pages(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy


@pytest.mark.parametrize("file", ["page.css", "page.js", "history.js", "nav.js"])
def test_static_files(open_app: Open, file: str) -> None:
    client = open_app(access=refuse(401, "Not authenticated"))
    response = client.get(f"/static/{file}")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/css" if file.endswith(".css") else "text/javascript")
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    again = client.get(f"/static/{file}", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../app.py", "/static/%2e%2e/app.py", "/static/", "/static/missing.js"),
        *("/openapi.json", "/docs", "/redoc"),
    ],
)
def test_neither_other_files_nor_a_description_of_the_api_are_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


# Accessibility, and hostile data


@pytest.mark.parametrize("fragment", ["", "1"])
def test_structure_of_the_pages(pinecone: Emulator, client: TestClient, ask: Any, fragment: str) -> None:
    backup = pinecone.add_backup(INDEX, age=HOUR)
    pinecone.add_backup(INDEX, age=2 * DAY)
    pinecone.add_backup(INDEX, age=9 * DAY, source_index_id="an-earlier-index")
    pinecone.add_backup("old", age=DAY)
    ask("POST", f"/backups/{backup['backup_id']}/create-index", json={"name": "drill"})
    for path in ("/", f"/indexes/{INDEX}"):
        page = Page(client.get(path, params={"fragment": fragment}))
        names = [tag for tag, _ in page.tags]
        headings = [name for name in names if re.fullmatch(r"h[1-6]", name)]
        assert headings[0] == "h1"
        assert set(headings[1:]) == {"h2"}
        assert names.count("caption") == names.count("table") > 0
        assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(set(ids)) == len(ids)
        for _, attributes in page.tags:
            assert set(str(attributes.get("aria-labelledby", "")).split()) <= set(ids)
            assert "style" not in attributes
            assert [name for name in attributes if name.startswith("on")] == []
        assert "style" not in names
        assert [attributes for attributes in page.all("script") if not attributes.get("src")] == []


def test_hostile_data_stay_text(pinecone: Emulator, client: TestClient) -> None:
    fields: dict[str, Any] = {
        "backup_id": LONG_ID,
        "source_index_id": HOSTILE,
        "description": describe(HOSTILE, Origin("etl", HOSTILE, "backup", -1, "", 1)),
        "name": HOSTILE,
        "size_bytes": -5,
    }
    pinecone.add_backup(INDEX, age=HOUR, **fields)
    pinecone.add_backup(INDEX, age=HOUR / 2, **{**fields, "backup_id": "2"}, status=HOSTILE)
    pinecone.add_backup(HOSTILE, age=HOUR, **{**fields, "backup_id": "3"})
    job = {
        "restore_job_id": LONG_ID,
        "backup_id": LONG_ID,
        "target_index_name": HOSTILE,
        "status": HOSTILE,
        "created_at": HOSTILE,
        "completed_at": [HOSTILE],
    }
    pinecone.fault("GET", "/restore-jobs", status=200, body={"data": [job]}, times=None)
    overview = Page(client.get("/"))
    (of_deleted_index,) = {link for link in overview.links if "alert" in link and "/indexes/" in link}
    for path in ("/", f"/indexes/{INDEX}", of_deleted_index.removeprefix("/pinecone-backups")):
        response = client.get(path)
        assert response.status_code == 200
        page = Page(response)
        assert len(page.all("script")) == 1
        assert "<script>alert" not in response.text
        assert HOSTILE in page.text
        # Each value that may be written from right to left is isolated from the text around it.
        assert re.findall(f"(?<!<bdi>)(?<!<title>)(?<!pinecone://){re.escape(escape(HOSTILE))}", response.text) == []
    source = snippet_of(response)
    assert source.isascii()
    assert LONG_ID not in source
    constants = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    assert HOSTILE[:36] + "-restored" in constants


def test_hostile_error_stays_text(pinecone: Emulator, client: TestClient) -> None:
    pinecone.fault("GET", "/indexes", status=400, body={"error": {"code": "X", "message": HOSTILE}}, times=None)
    response = client.get("/")
    assert "<script>alert" not in response.text
    assert "&lt;script&gt;alert(1)" in response.text


def test_hostile_parameters_stay_text(client: TestClient) -> None:
    for path in (f"/indexes/{HOSTILE}", f"/?connection={HOSTILE}"):
        assert "<script>alert" not in client.get(path).text


def test_60_viewers_cost_one_read(pinecone: Emulator, client: TestClient) -> None:
    for _ in range(30):
        client.get("/")
        client.get(f"/indexes/{INDEX}")
    assert [exchange.path for exchange in pinecone.requests] == ["/indexes", "/backups", "/restore-jobs"]
