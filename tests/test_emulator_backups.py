"""The emulator's backups."""

import re

import pytest

BACKUPS = "/indexes/docs-example/backups"


def create(ask, **body):
    answer = ask("POST", BACKUPS, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def status(ask, backup_id):
    return ask("GET", f"/backups/{backup_id}").json()["status"]


def test_a_new_backup_is_a_whole_backup_model(ask, emulator):
    emulator.add_index("tagged", records=7, namespaces=2, tags={"team": "search"}, dimension=8)
    answer = ask("POST", "/indexes/tagged/backups", json={"name": "Any *name*", "description": "why"})
    backup = answer.json()
    index = next(index for index in emulator.indexes if index["name"] == "tagged")
    assert answer.status_code == 201
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


def test_name_and_description_may_be_missing_and_names_repeat(ask, emulator):
    first, second, third = create(ask), create(ask, name="x"), create(ask, name="x")
    assert "name" not in first
    assert "description" not in first
    assert second["backup_id"] != third["backup_id"]
    assert len(emulator.backups) == 3


def test_backups_of_a_schema_and_of_a_sparse_index(ask, emulator):
    schema = {"fields": {"genre": {"filterable": True}}}
    spec = {"serverless": {"cloud": "gcp", "region": "europe-west4", "schema": schema}}
    body = {"name": "sparse", "spec": spec, "vector_type": "sparse"}
    assert ask("POST", "/indexes", json=body).status_code == 201
    backup = ask("POST", "/indexes/sparse/backups", json={}).json()
    assert backup["schema"] == schema
    assert (backup["cloud"], backup["region"], backup["metric"]) == ("gcp", "europe-west4", "dotproduct")
    assert "dimension" not in backup
    assert backup["record_count"] == backup["namespace_count"] == 0


def test_a_backup_becomes_ready_when_its_time_has_come(ask, emulator, clock):
    emulator.clock, emulator.ready_after = clock, 60
    backup_id = create(ask)["backup_id"]
    assert status(ask, backup_id) == "Initializing"
    clock.advance(59.9)
    assert status(ask, backup_id) == "Initializing"
    clock.advance(0.1)
    assert status(ask, backup_id) == "Ready"


@pytest.mark.parametrize(
    ("course", "end"),
    [
        ({}, "Ready"),
        ({"fails": True}, "Failed"),
        ({"ends": "InitializationFailed"}, "InitializationFailed"),
        ({"ends": "Exploded"}, "Exploded"),
        ({"ends": "never"}, "Initializing"),
    ],
)
def test_the_end_of_the_next_backup_is_decided_for_that_one_only(ask, emulator, course, end):
    emulator.next_backup(**course)
    decided, other = create(ask), create(ask)
    assert decided["status"] == "Initializing"
    assert status(ask, decided["backup_id"]) == end
    assert status(ask, other["backup_id"]) == "Ready"


def test_decisions_about_next_backups_queue_up(ask, emulator, clock):
    emulator.clock = clock
    emulator.next_backup(fails=True)
    emulator.next_backup(ready_after=5)
    first, second = create(ask)["backup_id"], create(ask)["backup_id"]
    assert (status(ask, first), status(ask, second)) == ("Failed", "Initializing")
    clock.advance(5)
    assert status(ask, second) == "Ready"


def test_a_backup_shows_given_statuses_one_after_the_other(ask, emulator):
    emulator.next_backup(statuses=["Pending", "Scheduled", "Ready"])
    backup_id = create(ask)["backup_id"]
    assert [status(ask, backup_id) for _ in range(4)] == ["Pending", "Scheduled", "Ready", "Ready"]


def test_backup_ends_is_for_all_backups(ask, emulator):
    emulator.backup_ends = "Failed"
    assert [status(ask, create(ask)["backup_id"]) for _ in range(2)] == ["Failed", "Failed"]


def test_a_backup_that_never_ends_can_be_finished(ask, emulator):
    emulator.next_backup(ends="never")
    backup_id = create(ask)["backup_id"]
    emulator.finish(backup_id, "Failed")
    assert status(ask, backup_id) == "Failed"
    with pytest.raises(KeyError):
        emulator.finish("no-such-backup")


def test_fields_are_laid_over_every_answer(ask, emulator):
    emulator.next_backup(fields={"created_at": None, "name": ..., "record_count": 0, "new_field": [1]})
    created = create(ask, name="x")
    described = ask("GET", f"/backups/{created['backup_id']}").json()
    listed = ask("GET", BACKUPS).json()["data"][0]
    for shown in (created, described, listed, emulator.backups[0]):
        assert shown["created_at"] is None
        assert "name" not in shown
        assert shown["record_count"] == 0
        assert shown["new_field"] == [1]


def test_created_at_has_six_or_nine_digits(ask, emulator):
    emulator.clock = lambda: 1_750_000_000.125
    assert [create(ask)["created_at"] for _ in range(3)] == [
        "2025-06-15T15:06:40.125000Z",
        "2025-06-15T15:06:40.125000000Z",
        "2025-06-15T15:06:40.125000Z",
    ]


def test_a_new_backup_is_listed_and_described_after_a_while(ask, emulator, clock):
    emulator.clock, emulator.listing_lag, emulator.lag_describe = clock, 3, 2
    emulator.next_backup(listed_after=1, described_after=1)
    early, late = create(ask)["backup_id"], create(ask)["backup_id"]

    def listed():
        return {row["backup_id"] for row in ask("GET", "/backups").json()["data"]}

    assert listed() == set()
    assert ask("GET", f"/backups/{early}").status_code == 404
    clock.advance(1)
    assert ask("GET", f"/backups/{early}").status_code == 200
    assert listed() == {early}
    assert ask("GET", f"/backups/{late}").status_code == 404
    clock.advance(1)
    assert ask("GET", f"/backups/{late}").status_code == 200
    assert listed() == {early}
    clock.advance(1)
    assert listed() == {early, late}
    assert len(emulator.backups) == 2


def test_a_backup_vanishes(ask, emulator, clock):
    emulator.clock, emulator.quota = clock, 1
    emulator.next_backup(vanishes_after=10)
    backup_id = create(ask)["backup_id"]
    clock.advance(9)
    assert status(ask, backup_id) == "Ready"
    clock.advance(1)
    assert ask("GET", f"/backups/{backup_id}").status_code == 404
    assert ask("GET", "/backups").json()["data"] == emulator.backups == []
    create(ask)  # and takes no room any more


def test_the_quota_is_full(ask, emulator):
    emulator.quota = 1
    backup = create(ask)
    answer = ask("POST", BACKUPS, json={})
    assert answer.status_code == 403
    assert answer.json() == {
        "status": 403,
        "error": {"code": "FORBIDDEN", "message": "Increase your quota or upgrade to create more backups."},
    }
    assert ask("DELETE", f"/backups/{backup['backup_id']}").status_code == 202
    create(ask)


def test_a_pod_based_index_cannot_be_backed_up(ask, emulator):
    emulator.add_index("pods", spec={"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}})
    answer = ask("POST", "/indexes/pods/backups", json={})
    assert answer.status_code == 400
    assert "pod-based" in answer.json()["error"]["message"]


def test_an_unknown_index_is_not_found(ask, emulator):
    for answer in (ask("POST", "/indexes/no/backups", json={}), ask("GET", "/indexes/no/backups")):
        assert answer.status_code == 404
        assert answer.json()["error"] == {"code": "NOT_FOUND", "message": "Index no not found."}
    assert emulator.backups == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"name": 5}', b'{"description": null}', b'{"name": true}', b"\xff"]
)
def test_a_wrong_body_is_unprocessable(ask, emulator, body):
    answer = ask("POST", BACKUPS, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "UNPROCESSABLE_ENTITY"
    assert answer.json()["error"]["message"].startswith("Failed to deserialize the JSON body")
    assert emulator.backups == []


def test_a_body_must_be_declared_to_be_json(ask, emulator):
    answer = ask("POST", BACKUPS, data=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 400
    assert "application/json" in answer.json()["error"]["message"]
    answer = ask("POST", BACKUPS, data=b"{}", headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.status_code == 201


def test_a_refused_creation_uses_up_no_decision(ask, emulator):
    emulator.next_backup(fails=True)
    assert ask("POST", BACKUPS, json={"name": 5}).status_code == 422
    assert status(ask, create(ask)["backup_id"]) == "Failed"


def test_delete(ask, emulator):
    backup_id = create(ask)["backup_id"]
    answer = ask("DELETE", f"/backups/{backup_id}")
    assert (answer.status_code, answer.content) == (202, b"")
    for method in ("GET", "DELETE"):
        answer = ask(method, f"/backups/{backup_id}")
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == f"Backup {backup_id} not found."
    assert emulator.backups == []


def test_backups_outlive_their_index(ask, emulator):
    old = create(ask)
    assert ask("DELETE", "/indexes/docs-example").status_code == 202
    assert ask("GET", BACKUPS).status_code == 404
    assert [row["backup_id"] for row in ask("GET", "/backups").json()["data"]] == [old["backup_id"]]
    emulator.add_index("docs-example")
    new = create(ask)
    assert old["source_index_id"] != new["source_index_id"]
    assert {row["backup_id"] for row in ask("GET", BACKUPS).json()["data"]} == {
        old["backup_id"],
        new["backup_id"],
    }


def test_backups_can_be_put_in_place(ask, emulator, clock):
    emulator.clock = clock
    put = emulator.add_backup("docs-example", age=3600, status="Failed", description="old", record_count=...)
    gone = emulator.add_backup("gone", age=60, source_index_id="abc", statuses=["Scheduled", "Ready"])
    assert put["created_at"].startswith("2025-06-15T14:06:40.")
    assert "record_count" not in put
    assert ask("GET", f"/backups/{put['backup_id']}").json() == put
    assert (put["status"], put["description"]) == ("Failed", "old")
    assert gone["source_index_id"] == "abc"
    assert [status(ask, gone["backup_id"]) for _ in range(2)] == ["Scheduled", "Ready"]
    newest_first = [row["backup_id"] for row in ask("GET", "/backups").json()["data"]]
    assert newest_first == [gone["backup_id"], put["backup_id"]]


def test_what_a_test_is_given_is_a_copy(emulator):
    emulator.add_backup("docs-example")["tags"]["x"] = "y"
    emulator.backups[0]["tags"]["x"] = "y"
    emulator.indexes[0]["spec"]["serverless"]["cloud"] = "x"
    assert emulator.backups[0]["tags"] == {}
    assert emulator.indexes[0]["spec"]["serverless"]["cloud"] == "aws"
