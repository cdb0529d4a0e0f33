"""`make live-test` finds no difference in the emulator, finds each seeded one, and deletes what it creates."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from live_test.__main__ import main
from live_test.expected import VERSIONS
from live_test.findings import Mask
from support.api_spec import check_exchanges, load_descriptions
from support.clock import FakeClock
from support.constants import API_KEY, INDEX

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.emulator.messages import ApiRequest, ApiResponse

ROOT = Path(__file__).resolve().parents[2]

Findings = dict[str, dict[str, Any]]
RunLiveTest = Callable[..., int]
# Returns the response to a request, given the emulator's own one.
Change = Callable[[ApiRequest, ApiResponse], ApiResponse]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run an emulator; its responses can differ from the published descriptions."""
    with Emulator(api_key=API_KEY, indexes=[INDEX]) as emulator:
        yield emulator


@pytest.fixture
def service(emulator: Emulator, clock: FakeClock) -> Emulator:
    """Run an emulator whose backups and restores take a minute of the clock of the test."""
    emulator.scenario.clock = clock
    emulator.scenario.ready_after = emulator.scenario.restore_after = 60.0
    emulator.add_backup(INDEX)
    return emulator


@pytest.fixture
def live_test(service: Emulator, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunLiveTest:
    """Run the test against the emulator: `live_test("--api-version", "2026-07")`; it must not leave anything."""
    monkeypatch.setenv("PINECONE_API_KEY", API_KEY)
    monkeypatch.setenv("PINECONE_CONTROLLER_HOST", service.url)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> int:
        return main(["--yes", *arguments], clock)

    return run


def differences() -> Findings:
    """Return the findings in the JSON file that are not as assumed, by the assumption."""
    rows = json.loads(Path("live-test.json").read_text())["findings"]
    return {row["name"]: row for row in rows if row["same"] not in ("yes", "-")}


def assert_only_the_own_are_deleted(emulator: Emulator) -> None:
    assert [index["name"] for index in emulator.indexes] == [INDEX]
    assert [backup["source_index_name"] for backup in emulator.backups] == [INDEX]
    assert emulator.backup_schedules == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_emulator_has_no_difference(version: str, live_test: RunLiveTest, service: Emulator) -> None:
    assert live_test("--api-version", version) == 0
    assert differences() == {}
    assert_only_the_own_are_deleted(service)
    if descriptions := load_descriptions():
        check_exchanges(service.requests, descriptions)


def test_a_planned_run_with_the_status_of_a_running_backup(live_test: RunLiveTest, service: Emulator) -> None:
    service.scenario.planned_run_status = "Initializing"
    assert live_test("--api-version", "2026-07") == 0


def test_all_versions_by_default(live_test: RunLiveTest, capsys: pytest.CaptureFixture[str]) -> None:
    assert live_test() == 0
    rows = json.loads(Path("live-test.json").read_text())["findings"]
    assert list(dict.fromkeys(row["version"] for row in rows)) == list(VERSIONS)
    assert f"{sum(row['same'] == 'yes' for row in rows)} as assumed, 0 different" in capsys.readouterr().out


def with_status(status: int, method: str, end: str) -> Change:
    """Change the status of the successful responses of a call."""

    def change(request: ApiRequest, response: ApiResponse) -> ApiResponse:
        matches = request.method == method and request.path.endswith(end) and response.status < 300
        return response._replace(status=status) if matches else response

    return change


def with_refusal(status: int, other: int, method: str, part: str) -> Change:
    """Change the status of the refusals of a call."""

    def change(request: ApiRequest, response: ApiResponse) -> ApiResponse:
        matches = request.method == method and part in request.path and response.status == status
        return response._replace(status=other) if matches else response

    return change


def with_fields(change_fields: Callable[[dict[str, Any]], None]) -> Change:
    """Change each resource in a response."""

    def change(request: ApiRequest, response: ApiResponse) -> ApiResponse:
        if isinstance(response.body, dict) and "error" not in response.body:
            body = response.body
            rows: list[dict[str, Any]] = body.get("data") or body.get("indexes") or [body]
            for row in rows:
                change_fields(row)
        return response

    return change


def truncate_description(row: dict[str, Any]) -> None:
    if row.get("description"):
        row["description"] = row["description"][:255]


def rename_ready(row: dict[str, Any]) -> None:
    if "backup_id" in row and row.get("status") == "Ready":
        row["status"] = "Complete"


def rename_completed(row: dict[str, Any]) -> None:
    if row.get("status") == "Completed":
        row["status"] = "Succeeded"


def drop_request_tag(row: dict[str, Any]) -> None:
    if isinstance(row.get("tags"), dict):
        row["tags"].pop("airflow-pinecone", None)


def drop_source_index_id(row: dict[str, Any]) -> None:
    row.pop("source_index_id", None)


def change_source_index_id(row: dict[str, Any]) -> None:
    if "source_index_id" in row:
        row["source_index_id"] = ["a", "list"]


def change_created_at(row: dict[str, Any]) -> None:
    if "created_at" in row:
        row["created_at"] = "yesterday"


def empty_list_of_unknown_index(request: ApiRequest, response: ApiResponse) -> ApiResponse:
    if request.path.startswith("/indexes/") and request.path.endswith("/backups") and response.status == 404:
        return ApiResponse(200, {"data": []})
    return response


def repeat_the_last_page(request: ApiRequest, response: ApiResponse) -> ApiResponse:
    if "paginationToken" in request.query and response.status == 200:
        assert isinstance(response.body, dict)
        response.body["data"] = [{**row, "backup_id": "same"} for row in response.body["data"]]
    return response


def text_errors(request: ApiRequest, response: ApiResponse) -> ApiResponse:
    return response._replace(body="Not Found") if response.status == 404 else response


def other_words(request: ApiRequest, response: ApiResponse) -> ApiResponse:
    """Say with other words why a request is refused: the package would raise another error."""
    if isinstance(response.body, dict) and "error" in response.body:
        response.body["error"]["message"] = "The index is locked."
    return response


def without_query(name: str, beside: str = "") -> Callable[[ApiRequest], ApiRequest]:
    """Ignore a query parameter, always or beside another one."""

    def change(request: ApiRequest) -> ApiRequest:
        query = request.query
        if name not in query or beside not in {"", *query}:
            return request
        kept = "&".join(f"{key}={value}" for key, value in query.items() if key != name)
        return replace(request, target=f"{request.path}?{kept}")

    return change


def deviate(
    emulator: Emulator, change: Change | None = None, request_change: Callable[[ApiRequest], ApiRequest] | None = None
) -> None:
    """Let the emulator differ from the service that this package assumes."""
    respond = emulator.control_plane.respond

    async def respond_differently(request: ApiRequest) -> ApiResponse:
        response = await respond(request_change(request) if request_change else request)
        return change(request, response) if change else response

    emulator.control_plane.respond = respond_differently  # type: ignore[method-assign]


DEVIATIONS = [
    (with_status(202, "POST", "/backups"), "create a backup: status"),
    (with_status(200, "DELETE", ""), "delete a backup: status"),
    (with_refusal(401, 400, "GET", "/indexes"), "send an invalid API key"),
    (with_refusal(409, 400, "POST", "/create-index"), "restore into an index whose name is in use"),
    (with_refusal(412, 409, "DELETE", "/backups/"), "delete a backup while a restore from it is running"),
    (with_refusal(403, 412, "DELETE", "/indexes/"), "delete a protected index"),
    (with_fields(truncate_description), "backup: the description ends with the mark"),
    (with_fields(rename_ready), "a backup ends with the status"),
    (with_fields(rename_completed), "a restore job ends with the status"),
    (with_fields(drop_request_tag), "the index of a new restore has the tag of the request"),
    (with_fields(drop_source_index_id), "backup: required fields"),
    (with_fields(change_created_at), "backup: created_at"),
    (empty_list_of_unknown_index, "list the backups of a deleted index"),
    (repeat_the_last_page, "all pages end, and have all backups"),
    (other_words, "delete a protected index"),
    (with_refusal(409, 200, "POST", "/backup-schedules"), "create a second enabled schedule of an index"),
    (with_status(200, "DELETE", ""), "delete a backup schedule: status"),
    (text_errors, "an error has status, error.code and error.message"),
]


@pytest.mark.parametrize(
    ("change", "name"), DEVIATIONS, ids=[f"{number}-{name}" for number, (_, name) in enumerate(DEVIATIONS, 1)]
)
def test_a_different_response_is_found(change: Change, name: str, live_test: RunLiveTest, service: Emulator) -> None:
    deviate(service, change)
    assert live_test("--api-version", "2026-07", "--timeout", "120") == 1
    assert differences()[name]["same"] == "NO"


IGNORED = [
    (without_query("limit"), "list backups with limit=1: rows"),
    (without_query("limit", beside="paginationToken"), "next page with the token and a limit"),
    (without_query("include_deleted"), "include_deleted lists the backups of a deleted index"),
]


@pytest.mark.parametrize(("change", "name"), IGNORED, ids=[name for _, name in IGNORED])
def test_an_ignored_parameter_is_found(
    change: Callable[[ApiRequest], ApiRequest], name: str, live_test: RunLiveTest, service: Emulator
) -> None:
    deviate(service, request_change=change)
    assert live_test("--api-version", "2026-07") == 1
    assert differences()[name]["same"] == "NO"
    assert_only_the_own_are_deleted(service)


def test_a_late_listing_is_found_with_its_time(live_test: RunLiveTest, service: Emulator) -> None:
    service.scenario.listed_after = 90.0
    assert live_test("--api-version", "2025-10") == 1
    late = differences()["a new backup is in the list of its index"]
    assert (late["assumed"], late["seen"]) == ("within 30 s", "after 90.0 s")
    assert_only_the_own_are_deleted(service)


# The first request of each call is refused: its name is invalid, or its index or backup does not exist.
@pytest.mark.parametrize(
    ("path", "nth"),
    [("/indexes", 2), ("/indexes/*/backups", 2), ("/indexes/*/backups", 3), ("/backups/*/create-index", 4)],
)
def test_what_a_lost_response_has_created_is_deleted(
    path: str, nth: int, live_test: RunLiveTest, service: Emulator
) -> None:
    fault = service.fault("POST", path, nth=nth, drop="after")
    assert live_test("--api-version", "2025-10") == 2
    assert fault.hits == 1
    assert {row["same"] for row in differences().values()} == {"not checked"}
    assert_only_the_own_are_deleted(service)


def test_a_response_of_an_unknown_form_ends_its_step_only(live_test: RunLiveTest, service: Emulator) -> None:
    deviate(service, with_fields(change_source_index_id))
    assert live_test("--api-version", "2025-10") == 1
    found = differences()
    assert found["Wait until the backups are Ready"]["seen"].startswith("TypeError")
    assert "restored index: deletion_protection" not in found
    assert_only_the_own_are_deleted(service)


def test_a_full_project_is_not_a_difference(live_test: RunLiveTest, service: Emulator) -> None:
    service.scenario.quota = 0
    assert live_test("--api-version", "2025-10") == 2
    assert "quota" in differences()["Create two backups"]["seen"]
    assert_only_the_own_are_deleted(service)


def test_what_cannot_be_deleted_is_listed(
    live_test: RunLiveTest, service: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    service.fault("DELETE", "/backups/*", status=500, times=None)
    assert live_test("--api-version", "2025-10", "--timeout", "120") == 1
    left = [backup["backup_id"] for backup in service.backups if backup["source_index_name"] != INDEX]
    assert len(left) == 2
    listed = capsys.readouterr().out.partition("Not deleted:")[2]
    assert all(f"backup {backup_id}: 500" in listed for backup_id in left)
    text = Path("live-test.json").read_text()
    assert len(json.loads(text)["not_deleted"]) == 2
    assert not any(backup_id in text for backup_id in left)


def test_an_unreadable_list_of_backups_is_not_an_empty_one(
    live_test: RunLiveTest, service: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    service.fault("GET", "/backups", status=500, times=None)
    assert live_test("--api-version", "2025-10", "--timeout", "120") == 1
    assert "backups of the indexes of this test: they could not be listed: 500" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "exit_status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("kind", ["backups", "restore_jobs"])
def test_a_signal_deletes_what_was_created(
    number: signal.Signals, exit_status: int, kind: str, live_test: RunLiveTest, service: Emulator, clock: FakeClock
) -> None:
    """Also while a restore is running, when its backup cannot be deleted."""
    sent: list[signal.Signals] = []

    def stop(_: float) -> None:
        if not sent and len(getattr(service, kind)) > (kind == "backups"):
            sent.append(number)
            signal.raise_signal(number)

    clock.on_sleep = stop
    assert live_test("--api-version", "2026-07") == exit_status
    assert sent == [number]
    assert_only_the_own_are_deleted(service)
    assert json.loads(Path("live-test.json").read_text())["complete"] == "no"


def test_a_second_signal_lists_what_remains(
    live_test: RunLiveTest, service: Emulator, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    service.scenario.restore_ends = "never"
    clock.on_sleep = lambda _: signal.raise_signal(signal.SIGINT) if service.restore_jobs else None
    assert live_test("--api-version", "2025-10") == 130
    listed = capsys.readouterr().out.partition("Not deleted:")[2]
    backup_id = service.restore_jobs[0]["backup_id"]
    assert f"backup {backup_id}: the deletion was stopped" in listed


def test_ctrl_c_in_a_process(emulator: Emulator, tmp_path: Path) -> None:
    emulator.scenario.ready_after = 3600.0
    environment = {
        **os.environ,
        "PINECONE_API_KEY": API_KEY,
        "PINECONE_CONTROLLER_HOST": emulator.url,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tools'}",
    }
    command = [sys.executable, "-m", "live_test", "--yes", "--api-version", "2026-07", "--poll-interval", "0.1"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert any(line.startswith("Waiting for /backups/") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "create a backup: status" in output
    assert [index["name"] for index in emulator.indexes] == [INDEX]
    assert emulator.backups == []
    assert emulator.backup_schedules == []


def test_nothing_is_created_without_yes(
    service: Emulator, clock: FakeClock, live_test: RunLiveTest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--api-version", "2026-04"], clock) == 2
    assert service.requests == []
    output = capsys.readouterr()
    assert "API versions: 2026-04\n" in output.out
    assert "1 serverless index" in output.out
    assert "https://www.pinecone.io/pricing/" in output.out
    assert "--yes" in output.err


def test_an_invalid_key_is_not_a_difference(live_test: RunLiveTest, service: Emulator) -> None:
    service.api_key = "another-key"
    assert live_test() == 2
    assert differences()["all other assumptions of this version"]["seen"].startswith("401")
    assert {exchange.method for exchange in service.requests} == {"GET"}


def test_no_connection(live_test: RunLiveTest, service: Emulator) -> None:
    service.stop()
    assert live_test("--api-version", "2025-10") == 2
    assert "no response" in differences()["all other assumptions of this version"]["seen"]


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("PINECONE_API_KEY", "", "PINECONE_API_KEY"),
        ("PINECONE_CONTROLLER_HOST", "api.pinecone.io", "must be a URL"),
        ("PINECONE_CONTROLLER_HOST", "http://pinecone.example", "must start with https://"),
    ],
)
def test_invalid_settings(
    variable: str,
    value: str,
    problem: str,
    live_test: RunLiveTest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as exit_info:
        live_test()
    assert exit_info.value.code == 2
    assert problem in capsys.readouterr().err


def test_the_file_does_not_identify_an_account(live_test: RunLiveTest, service: Emulator) -> None:
    assert live_test("--api-version", "2026-07") == 0
    text = Path("live-test.json").read_text()
    ids = {
        exchange.answer["backup_id"]
        for exchange in service.requests
        if (exchange.method, exchange.status) == ("POST", 200) and "backup_id" in exchange.answer
    }
    assert len(ids) == 2
    for secret in (API_KEY, service.url, "data-plane", *ids, service.requests[0].request_id):
        assert secret not in text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Permission denied for jo.doe@mail.example.com.", "Permission denied for <email>."),
        ("https://docs-4mkljsz.svc.aped-4627-b74a.pinecone.io/x", "https://<host>/x"),
        ("See https://api.pinecone.io.", "See https://api.pinecone.io."),
        ("[6f02a1b2-1c2d-4e5f-8a9b-0c1d2e3f4a5b]", "[<id>]"),
        (
            "max serverless indexes allowed in project (My Search) (5)",
            "max serverless indexes allowed in project (<name>) (5)",
        ),
        ("This project already contains 20 indexes", "This project already contains 20 indexes"),
        ("key pc-secret-key is invalid", "key <key> is invalid"),
        ("index abcd1234 of <project>", "index <index_id> of <project>"),
    ],
)
def test_what_identifies_an_account_is_masked(text: str, masked: str) -> None:
    mask = Mask()
    mask.add("pc-secret-key", "<key>")
    mask.add_ids({"data": [{"index_id": "abcd1234", "short_id": "key"}]})
    assert mask.hide(text) == masked
