"""Backup schedules in the emulator, on the clock of a test."""

from typing import Any

import pytest
import requests
from support.clock import FakeClock
from support.emulator_client import Ask

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.emulator.errors import ApiError

DAY = 86400.0
PATH = "/indexes/docs-example/backup-schedules"
BODY = {
    "name": "nightly",
    "schedule": {"type": "time-based", "frequency": "daily"},
    "retention": {"expire_after_days": 7},
}
POD = {"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}}
CONFLICT = "This index already has an enabled backup schedule. Disable or delete it first."


@pytest.fixture(params=["2026-07", "unstable"])
def api_version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _clock_of_the_test(emulator: Emulator, clock: FakeClock) -> None:
    emulator.scenario.clock = clock


def create(ask: Ask, **fields: Any) -> dict[str, Any]:
    response = ask("POST", PATH, json=BODY | fields)
    assert response.status_code == 200
    schedule: dict[str, Any] = response.json()
    return schedule


def update(ask: Ask, schedule: dict[str, Any], **fields: Any) -> requests.Response:
    return ask("PATCH", f"/backup-schedules/{schedule['schedule_id']}", json=fields)


def history(ask: Ask, schedule: dict[str, Any], **query: str) -> list[dict[str, Any]]:
    response = ask("GET", f"/backup-schedules/{schedule['schedule_id']}/history", params=query)
    rows: list[dict[str, Any]] = response.json()["data"]
    return rows


def refusal(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["message"]


def test_create_describe_list_delete(ask: Ask, emulator: Emulator) -> None:
    schedule = create(ask)
    assert schedule == {
        "schedule_id": schedule["schedule_id"],
        "name": "nightly",
        "index_id": emulator.add_backup("docs-example")["source_index_id"],
        "project_id": schedule["project_id"],
        "schedule_type": "time-based",
        "frequency": "daily",
        "retention_expire_after_days": 7,
        "enabled": True,
        "next_scheduled_run": "2025-06-16T15:06:40.000000Z",
        "created_at": "2025-06-15T15:06:40.000000Z",
    }
    path = f"/backup-schedules/{schedule['schedule_id']}"
    assert ask("GET", path).json() == schedule
    assert ask("GET", PATH).json() == {"data": [schedule]}
    assert emulator.backup_schedules == [schedule]
    emulator.add_index("other")
    assert ask("GET", "/indexes/other/backup-schedules").json() == {"data": []}
    response = ask("DELETE", path)
    assert (response.status_code, response.content) == (204, b"")
    for method in ("GET", "DELETE", "PATCH"):
        response = ask(method, path, json={} if method == "PATCH" else None)
        assert refusal(response) == (404, "Backup schedule not found.")
    assert ask("GET", path + "/history").status_code == 404
    assert ask("GET", "/indexes/no/backup-schedules").status_code == 404


@pytest.mark.parametrize(("frequency", "days"), [("daily", 1), ("weekly", 7), ("monthly", 30)])
def test_backups_are_created_when_their_time_has_come(
    ask: Ask, emulator: Emulator, clock: FakeClock, frequency: str, days: int
) -> None:
    schedule = create(
        ask, schedule={"type": "time-based", "frequency": frequency}, retention={"expire_after_days": 365}
    )
    clock.advance(days * DAY - 1)
    assert emulator.backups == []
    clock.advance(1)
    [backup] = ask("GET", "/backups").json()["data"]
    assert (backup["status"], backup["description"], backup["record_count"]) == ("Ready", None, 96)
    clock.advance(2 * days * DAY)
    assert len(ask("GET", "/indexes/docs-example/backups").json()["data"]) == 3
    [planned, *_] = history(ask, schedule)
    assert planned["scheduled_execution_at"] == ask("GET", PATH).json()["data"][0]["next_scheduled_run"]


def test_history(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    emulator.scenario.ready_after = 600
    schedule = create(ask)
    [planned] = history(ask, schedule)
    assert planned == {
        "backup_id": planned["backup_id"],
        "source_index_id": schedule["index_id"],
        "source_index_name": "docs-example",
        "name": "nightly-20250616T150640Z",
        "description": None,
        "tags": None,
        "status": "Scheduled",
        "cloud": "aws",
        "region": "us-east-1",
        "schema": planned["schema"],
        "record_count": None,
        "namespace_count": None,
        "size_bytes": None,
        "created_at": "2025-06-15T15:06:40.000000Z",
        "scheduled_execution_at": "2025-06-16T15:06:40.000000Z",
    }
    assert ask("GET", f"/backups/{planned['backup_id']}").status_code == 404
    clock.advance(DAY)
    [_, running] = history(ask, schedule)
    assert running["backup_id"] == planned["backup_id"]
    assert running == {
        **{name: value for name, value in planned.items() if name != "scheduled_execution_at"},
        "status": "Initializing",
        "created_at": running["created_at"],
    }
    clock.advance(600)
    [_, ready] = history(ask, schedule)
    assert (ready["status"], ready["record_count"], ready["namespace_count"]) == ("Ready", 96, 3)
    clock.advance(DAY)
    assert [row["status"] for row in history(ask, schedule)] == ["Scheduled", "Ready", "Ready"]
    assert history(ask, schedule, limit="1")[0]["status"] == "Scheduled"


def test_planned_run_that_looks_like_a_running_backup(ask: Ask, emulator: Emulator) -> None:
    emulator.scenario.planned_run_status = "Initializing"
    [planned] = history(ask, create(ask))
    assert planned["status"] == "Initializing"
    assert "scheduled_execution_at" not in planned


def test_backups_expire_after_the_retention(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    schedule = create(ask, retention={"expire_after_days": 2})
    clock.advance(3 * DAY - 1)
    assert len(emulator.backups) == 2
    clock.advance(1)
    assert len(emulator.backups) == 2  # The first one has expired, and the third one was created.
    assert len(history(ask, schedule)) == 3
    update(ask, schedule, retention={"expire_after_days": 4})
    clock.advance(2 * DAY)
    assert len(emulator.backups) == 4  # The new retention also applies to earlier backups.


def test_failed_backup(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    emulator.next_backup(fails=True)
    emulator.next_scheduled_backup("other", backup_ends="never")
    emulator.next_scheduled_backup("docs-example", fails=True)
    emulator.next_scheduled_backup(ready_after=10, fields={"size_bytes": 5})
    schedule = create(ask)
    clock.advance(2 * DAY)
    rows = history(ask, schedule)
    assert [row["status"] for row in rows] == ["Scheduled", "Initializing", "InitializationFailed"]
    assert rows[2]["record_count"] is None
    clock.advance(10)
    assert history(ask, schedule)[1]["size_bytes"] == 5


@pytest.mark.parametrize(("length", "status"), [(28, "Ready"), (29, "InitializationFailed")])
def test_name_that_is_too_long_fails_at_the_run(ask: Ask, clock: FakeClock, length: int, status: str) -> None:
    schedule = create(ask, name="x" * length)
    clock.advance(DAY)
    assert [row["status"] for row in history(ask, schedule)] == ["Scheduled", status]


def test_one_schedule_of_an_index_is_enabled(ask: Ask, emulator: Emulator) -> None:
    first = create(ask)
    assert refusal(ask("POST", PATH, json=BODY)) == (409, CONFLICT)
    disabled = update(ask, first, enabled=False).json()
    assert (disabled["enabled"], disabled["next_scheduled_run"]) == (False, None)
    second = create(ask, name="second")
    assert ask("GET", PATH).json()["data"] == [second, disabled]
    assert refusal(update(ask, first, enabled=True)) == (409, CONFLICT)
    emulator.add_index("other")
    assert ask("POST", "/indexes/other/backup-schedules", json=BODY).status_code == 200


def test_disabled_schedule_does_not_run_and_plans_nothing(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    schedule = create(ask)
    update(ask, schedule, enabled=False)
    clock.advance(2 * DAY)
    assert emulator.backups == history(ask, schedule) == []


def test_enabling_again_starts_a_backup_and_shifts_the_next_run(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    schedule = create(ask)
    update(ask, schedule, enabled=False)
    clock.advance(3600)
    assert update(ask, schedule, enabled=True).json()["next_scheduled_run"] == "2025-06-16T16:06:40.000000Z"
    assert [row["name"] for row in history(ask, schedule)] == ["nightly-20250616T160640Z", "nightly-20250615T160640Z"]
    # An enabled schedule stays as it is.
    clock.advance(60)
    assert update(ask, schedule, enabled=True).json()["next_scheduled_run"] == "2025-06-16T16:06:40.000000Z"
    assert len(emulator.backups) == 1


def test_update(ask: Ask, clock: FakeClock) -> None:
    schedule = create(ask)
    clock.advance(60)
    assert update(ask, schedule).json() == schedule
    assert update(ask, schedule, name="other", index_id="x").json() == schedule
    changed = update(ask, schedule, frequency="weekly", retention={"expire_after_days": 30})
    assert changed.status_code == 200
    assert changed.json() == schedule | {
        "frequency": "weekly",
        "retention_expire_after_days": 30,
        "next_scheduled_run": "2025-06-22T15:07:40.000000Z",
    }


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"name": ...}, 422, "missing field `name`"),
        ({"schedule": {"type": "time-based"}}, 422, "missing field `frequency`"),
        ({"schedule": {"type": "cron", "frequency": "daily"}}, 400, "time-based"),
        ({"schedule": {"type": "time-based", "frequency": "hourly"}}, 400, "daily, weekly, monthly"),
        ({"retention": {}}, 422, "missing field `expire_after_days`"),
        ({"retention": {"expire_after_days": 0}}, 400, "from 1 to 90"),
        ({"retention": {"expire_after_days": 91}}, 400, "from 1 to 90"),
    ],
)
def test_invalid_schedule(ask: Ask, emulator: Emulator, fields: dict[str, Any], status: int, message: str) -> None:
    emulator.scenario.max_retention_days = 90
    body = {name: value for name, value in (BODY | fields).items() if value is not ...}
    response = ask("POST", PATH, json=body)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]
    assert emulator.backup_schedules == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"frequency": "hourly"}, 400), ({"retention": {"expire_after_days": 0}}, 400), ({"enabled": 1}, 422)],
)
def test_invalid_update_changes_nothing(ask: Ask, fields: dict[str, Any], status: int) -> None:
    schedule = create(ask)
    assert update(ask, schedule, **{"frequency": "weekly"} | fields).status_code == status
    assert ask("GET", PATH).json()["data"] == [schedule]


def test_index_that_cannot_be_backed_up(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("pods", spec=POD)
    status, message = refusal(ask("POST", "/indexes/pods/backup-schedules", json=BODY))
    assert (status, "pod-based" in message) == (400, True)
    assert ask("POST", "/indexes/no/backup-schedules", json=BODY).status_code == 404


def test_plan_without_backups(ask: Ask, emulator: Emulator) -> None:
    """The plan is checked before the index, and only if a schedule is created or enabled again."""
    schedule = create(ask)
    emulator.scenario.backups_in_plan = False
    for path in (PATH, "/indexes/no/backup-schedules"):
        response = ask("POST", path, json=BODY)
        assert refusal(response) == (403, "Scheduled backups are not available for your plan")
        assert response.json()["error"]["code"] == "PERMISSION_DENIED"
    assert ask("GET", PATH).ok
    assert update(ask, schedule, enabled=False).ok
    assert update(ask, schedule, enabled=True).status_code == 403


def test_deleting_a_schedule_keeps_its_backups(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    schedule = create(ask)
    clock.advance(DAY)
    assert ask("DELETE", f"/backup-schedules/{schedule['schedule_id']}").status_code == 204
    clock.advance(DAY)
    assert len(emulator.backups) == 1


def test_deleting_an_index_deletes_its_schedules(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    schedule = create(ask)
    clock.advance(DAY)
    assert ask("DELETE", "/indexes/docs-example").status_code == 202
    assert ask("GET", f"/backup-schedules/{schedule['schedule_id']}").status_code == 404
    clock.advance(DAY)
    assert len(emulator.backups) == 1
    emulator.add_index("docs-example")
    assert ask("GET", PATH).json() == {"data": []}


def test_deleted_backup_is_not_in_the_history(ask: Ask, clock: FakeClock) -> None:
    schedule = create(ask)
    clock.advance(DAY)
    [planned, backup] = history(ask, schedule)
    assert ask("DELETE", f"/backups/{backup['backup_id']}").status_code == 202
    assert history(ask, schedule) == [planned]


def test_add_a_schedule_without_a_request(ask: Ask, emulator: Emulator) -> None:
    schedule = emulator.add_backup_schedule("docs-example", "old", frequency="weekly", retention_days=90, age=15 * DAY)
    assert [row["status"] for row in history(ask, schedule)] == ["Scheduled", "Ready", "Ready"]
    assert ask("GET", PATH).json()["data"] == [schedule]
    for index, error in (("docs-example", 409), ("no", 404)):
        with pytest.raises(ApiError) as raised:
            emulator.add_backup_schedule(index, "second")
        assert raised.value.status == error


@pytest.mark.parametrize("earlier", ["2025-10", "2026-04"])
def test_earlier_versions_have_no_schedules(ask: Ask, earlier: str) -> None:
    schedule = create(ask)
    headers = {"X-Pinecone-Api-Version": earlier}
    path = f"/backup-schedules/{schedule['schedule_id']}"
    calls = [
        ("GET", PATH),
        ("POST", PATH),
        ("GET", path),
        ("PATCH", path),
        ("DELETE", path),
        ("GET", path + "/history"),
    ]
    for method, url in calls:
        status, message = refusal(ask(method, url, json={}, headers=headers))
        assert (status, message) == (404, f"API version {earlier} has no backup schedules.")
