"""Backups in the emulator."""

import re
from typing import Any

import pytest
from support.clock import FakeClock
from support.emulator_client import Ask

from airflow_pinecone.emulator import Emulator

BACKUPS = "/indexes/docs-example/backups"


def create(ask: Ask, **body: Any) -> dict[str, Any]:
    response = ask("POST", BACKUPS, json=body)
    assert response.status_code == 201, response.text
    backup: dict[str, Any] = response.json()
    return backup


def status(ask: Ask, backup_id: str) -> str:
    return str(ask("GET", f"/backups/{backup_id}").json()["status"])


def test_create_returns_a_complete_backup_model(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("tagged", records=7, namespaces=2, tags={"team": "search"}, dimension=8)
    response = ask("POST", "/indexes/tagged/backups", json={"name": "Any *name*", "description": "why"})
    backup = response.json()
    index = next(index for index in emulator.indexes if index["name"] == "tagged")
    assert response.status_code == 201
    assert re.fullmatch(r"[0-9a-f-]{36}", backup.pop("backup_id"))
    assert re.fullmatch(r"[0-9a-f-]{36}", backup.pop("source_index_id"))
    assert backup.pop("size_bytes") > 0
    assert backup.pop("created_at").endswith("Z")
    assert backup == {
        "source_index_name": index["name"],
        "name": "Any *name*",
        "description": "why",
        "status": "Initializing",
        "cloud": "aws",
        "region": "us-east-1",
        "dimension": 8,
        "metric": "cosine",
        "tags": {"team": "search"},
        "record_count": 7,
        "namespace_count": 2,
    }


def test_name_and_description_are_optional_and_names_need_not_be_unique(ask: Ask, emulator: Emulator) -> None:
    first, second, third = create(ask), create(ask, name="x"), create(ask, name="x")
    assert "name" not in first
    assert "description" not in first
    assert second["backup_id"] != third["backup_id"]
    assert len(emulator.backups) == 3


def test_backup_of_a_sparse_index_with_a_schema(ask: Ask) -> None:
    schema = {"fields": {"genre": {"filterable": True}}}
    spec = {"serverless": {"cloud": "gcp", "region": "europe-west4", "schema": schema}}
    body = {"name": "sparse", "spec": spec, "vector_type": "sparse"}
    assert ask("POST", "/indexes", json=body).status_code == 201
    backup = ask("POST", "/indexes/sparse/backups", json={}).json()
    assert backup["schema"] == schema
    assert (backup["cloud"], backup["region"], backup["metric"]) == ("gcp", "europe-west4", "dotproduct")
    assert "dimension" not in backup
    assert backup["record_count"] == backup["namespace_count"] == 0


@pytest.mark.parametrize("only_next", [True, False], ids=["next backup", "all backups"])
@pytest.mark.parametrize(
    ("settings", "at_once", "after_a_minute"),
    [
        ({}, "Ready", "Ready"),
        ({"ready_after": 60}, "Initializing", "Ready"),
        ({"backup_ends": "Failed"}, "Failed", "Failed"),
        ({"backup_ends": "InitializationFailed", "ready_after": 60}, "Initializing", "InitializationFailed"),
        ({"backup_ends": "Exploded"}, "Exploded", "Exploded"),
        ({"backup_ends": "never"}, "Initializing", "Initializing"),
    ],
)
def test_settings_of_the_status(
    ask: Ask, emulator: Emulator, clock: FakeClock, settings: Any, at_once: str, after_a_minute: str, only_next: bool
) -> None:
    emulator.scenario.clock = clock
    if only_next:
        emulator.next_backup(**settings)
    else:
        vars(emulator.scenario).update(settings)
    backups = [create(ask), create(ask)]
    assert [backup["status"] for backup in backups] == ["Initializing", "Initializing"]
    for seconds, expected in ((0, at_once), (59.9, at_once), (0.1, after_a_minute)):
        clock.advance(seconds)
        statuses = [status(ask, backup["backup_id"]) for backup in backups]
        assert statuses == [expected, "Ready" if only_next else expected]


def test_repeated_calls_of_next_backup_plan_successive_backups(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    emulator.scenario.clock = clock
    emulator.next_backup(fails=True)
    emulator.next_backup(ready_after=5)
    first, second = create(ask)["backup_id"], create(ask)["backup_id"]
    assert (status(ask, first), status(ask, second)) == ("Failed", "Initializing")
    clock.advance(5)
    assert status(ask, second) == "Ready"


def test_next_backup_of_one_index(ask: Ask, emulator: Emulator) -> None:
    emulator.add_index("other")
    emulator.next_backup("other", fails=True)
    backups = [ask("POST", f"/indexes/{name}/backups", json={}).json() for name in ("docs-example", "other", "other")]
    assert [status(ask, backup["backup_id"]) for backup in backups] == ["Ready", "Failed", "Ready"]


def test_statuses_are_returned_one_after_the_other(ask: Ask, emulator: Emulator) -> None:
    emulator.next_backup(statuses=["Pending", "Scheduled", "Ready"])
    backup_id = create(ask)["backup_id"]
    assert [status(ask, backup_id) for _ in range(4)] == ["Pending", "Scheduled", "Ready", "Ready"]


def test_finish_backup(ask: Ask, emulator: Emulator) -> None:
    emulator.next_backup(backup_ends="never")
    backup_id = create(ask)["backup_id"]
    emulator.finish_backup(backup_id, "Failed")
    assert status(ask, backup_id) == "Failed"
    with pytest.raises(KeyError):
        emulator.finish_backup("no-such-backup")


def test_fields_replace_fields_in_every_response(ask: Ask, emulator: Emulator) -> None:
    emulator.next_backup(fields={"created_at": None, "name": ..., "record_count": 0, "new_field": [1]})
    created = create(ask, name="x")
    described = ask("GET", f"/backups/{created['backup_id']}").json()
    listed = ask("GET", BACKUPS).json()["data"][0]
    for shown in (created, described, listed, emulator.backups[0]):
        assert shown["created_at"] is None
        assert "name" not in shown
        assert shown["record_count"] == 0
        assert shown["new_field"] == [1]


def test_created_at_has_six_or_nine_fraction_digits(ask: Ask, emulator: Emulator) -> None:
    emulator.scenario.clock = lambda: 1_750_000_000.125
    assert [create(ask)["created_at"] for _ in range(3)] == [
        "2025-06-15T15:06:40.125000Z",
        "2025-06-15T15:06:40.125000000Z",
        "2025-06-15T15:06:40.125000Z",
    ]


def test_listed_after_and_described_after(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    emulator.scenario.clock, emulator.scenario.listed_after, emulator.scenario.described_after = clock, 3, 2
    emulator.next_backup(listed_after=1, described_after=1)
    early, late = ids = create(ask)["backup_id"], create(ask)["backup_id"]
    each_second = [([404, 404], []), ([200, 404], [early]), ([200, 200], [early]), ([200, 200], [late, early])]
    for described, listed in each_second:
        assert [ask("GET", f"/backups/{backup_id}").status_code for backup_id in ids] == described
        assert [row["backup_id"] for row in ask("GET", "/backups").json()["data"]] == listed
        clock.advance(1)
    assert len(emulator.backups) == 2


def test_backup_disappears(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    emulator.scenario.clock, emulator.scenario.quota = clock, 1
    emulator.next_backup(disappears_after=10)
    backup_id = create(ask)["backup_id"]
    clock.advance(9)
    assert status(ask, backup_id) == "Ready"
    clock.advance(1)
    assert ask("GET", f"/backups/{backup_id}").status_code == 404
    assert ask("GET", "/backups").json()["data"] == emulator.backups == []
    create(ask)  # It no longer counts towards the quota.


def test_quota_limits_the_number_of_backups(ask: Ask, emulator: Emulator) -> None:
    emulator.scenario.quota = 1
    backup = create(ask)
    response = ask("POST", BACKUPS, json={})
    assert response.status_code == 403
    assert response.json() == {
        "status": 403,
        "error": {"code": "FORBIDDEN", "message": "Increase your quota or upgrade to create more backups."},
    }
    assert ask("DELETE", f"/backups/{backup['backup_id']}").status_code == 202
    create(ask)


def test_content_type_must_be_json(ask: Ask) -> None:
    response = ask("POST", BACKUPS, data=b"{}", headers={"Content-Type": "text/plain"})
    assert response.status_code == 400
    assert "application/json" in response.json()["error"]["message"]
    response = ask("POST", BACKUPS, data=b"{}", headers={"Content-Type": "application/json; charset=utf-8"})
    assert response.status_code == 201


def test_rejected_request_does_not_use_up_a_plan(ask: Ask, emulator: Emulator) -> None:
    emulator.next_backup(fails=True)
    assert ask("POST", BACKUPS, json={"name": 5}).status_code == 422
    assert status(ask, create(ask)["backup_id"]) == "Failed"


def test_delete_backup(ask: Ask, emulator: Emulator) -> None:
    backup_id = create(ask)["backup_id"]
    response = ask("DELETE", f"/backups/{backup_id}")
    assert (response.status_code, response.content) == (202, b"")
    for method in ("GET", "DELETE"):
        response = ask(method, f"/backups/{backup_id}")
        assert response.status_code == 404
        assert response.json()["error"]["message"] == f"Backup {backup_id} not found."
    assert emulator.backups == []


def test_backups_remain_after_their_index_is_deleted(ask: Ask, emulator: Emulator) -> None:
    old = create(ask)
    assert ask("DELETE", "/indexes/docs-example").status_code == 202
    assert ask("GET", BACKUPS).status_code == 404
    assert [row["backup_id"] for row in ask("GET", "/backups").json()["data"]] == [old["backup_id"]]
    emulator.add_index("docs-example")
    new = create(ask)
    assert old["source_index_id"] != new["source_index_id"]
    assert [row["backup_id"] for row in ask("GET", BACKUPS).json()["data"]] == [new["backup_id"]]


def test_add_backup(ask: Ask, emulator: Emulator, clock: FakeClock) -> None:
    emulator.scenario.clock = clock
    failed = emulator.add_backup("docs-example", age=3600, status="Failed", description="old", record_count=...)
    orphan = emulator.add_backup("no-such-index", age=60, source_index_id="abc", statuses=["Scheduled", "Ready"])
    assert failed["created_at"].startswith("2025-06-15T14:06:40.")
    assert "record_count" not in failed
    assert ask("GET", f"/backups/{failed['backup_id']}").json() == failed
    assert (failed["status"], failed["description"]) == ("Failed", "old")
    assert orphan["source_index_id"] == "abc"
    assert [status(ask, orphan["backup_id"]) for _ in range(2)] == ["Scheduled", "Ready"]
    newest_first = [row["backup_id"] for row in ask("GET", "/backups").json()["data"]]
    assert newest_first == [orphan["backup_id"], failed["backup_id"]]


def test_state_properties_return_copies(emulator: Emulator) -> None:
    emulator.add_backup("docs-example")["tags"]["x"] = "y"
    emulator.backups[0]["tags"]["x"] = "y"
    emulator.indexes[0]["spec"]["serverless"]["cloud"] = "x"
    assert emulator.backups[0]["tags"] == {}
    assert emulator.indexes[0]["spec"]["serverless"]["cloud"] == "aws"
