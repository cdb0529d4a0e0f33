"""The emulator's restores."""

import pytest


@pytest.fixture
def backup_id(emulator):
    emulator.add_index("source", tags={"team": "search"}, dimension=8, deletion_protection="enabled")
    return emulator.add_backup("source")["backup_id"]


def restore(ask, backup_id, **body):
    answer = ask("POST", f"/backups/{backup_id}/create-index", json={"name": "restored", **body})
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_a_restore_makes_an_index(ask, emulator, clock, backup_id):
    emulator.clock, emulator.restore_after = clock, 30
    made = restore(ask, backup_id)
    assert set(made) == {"restore_job_id", "index_id"}
    job_path = f"/restore-jobs/{made['restore_job_id']}"
    job = ask("GET", job_path).json()
    assert job == {
        "restore_job_id": made["restore_job_id"],
        "backup_id": backup_id,
        "target_index_name": "restored",
        "target_index_id": made["index_id"],
        "status": "Pending",
        "created_at": "2025-06-15T15:06:40.000000Z",
    }
    index = ask("GET", "/indexes/restored").json()
    assert index["status"] == {"ready": False, "state": "Initializing"}
    stats = index["host"].removeprefix(emulator.url) + "/describe_index_stats"
    assert ask("GET", stats).json()["totalVectorCount"] == 0
    clock.advance(30)
    assert ask("GET", job_path).json() == {
        **job,
        "status": "Completed",
        "completed_at": "2025-06-15T15:07:10.000000Z",
        "percent_complete": 100.0,
    }
    assert ask("GET", "/restore-jobs").json() == {"data": [ask("GET", job_path).json()]}
    assert emulator.restore_jobs == [ask("GET", job_path).json()]
    index = ask("GET", "/indexes/restored").json()
    assert index["status"] == {"ready": True, "state": "Ready"}
    assert (index["dimension"], index["tags"]) == (8, {"team": "search"})
    assert index["deletion_protection"] == "disabled"
    assert ask("GET", stats).json()["totalVectorCount"] == 96


def test_tags_and_protection_of_the_new_index(ask, emulator, backup_id):
    restore(ask, backup_id, tags={"new": "1"}, deletion_protection="enabled")
    index = ask("GET", "/indexes/restored").json()
    assert index["tags"] == {"team": "search", "new": "1"}
    assert index["deletion_protection"] == "enabled"


@pytest.mark.parametrize("ends", ["Failed", "Cancelled"])
def test_a_restore_fails(ask, emulator, backup_id, ends):
    emulator.next_restore(ends=ends)
    job = ask("GET", "/restore-jobs/" + restore(ask, backup_id)["restore_job_id"]).json()
    assert job["status"] == ends
    assert "completed_at" in job
    assert "percent_complete" not in job
    status = ask("GET", "/indexes/restored").json()["status"]
    assert status == {"ready": False, "state": "InitializationFailed"}


def test_a_restore_shows_given_statuses_and_fields(ask, emulator, backup_id):
    emulator.next_restore(
        statuses=["Pending", "InProgress", "Completed"],
        fields={"completed_at": ..., "percent_complete": None},
    )
    path = "/restore-jobs/" + restore(ask, backup_id)["restore_job_id"]
    jobs = [ask("GET", path).json() for _ in range(3)]
    assert [job["status"] for job in jobs] == ["Pending", "InProgress", "Completed"]
    assert "completed_at" not in jobs[-1]
    assert jobs[-1]["percent_complete"] is None


def test_a_backup_cannot_be_deleted_while_it_is_being_restored(ask, emulator, backup_id):
    emulator.restore_ends = "never"
    job_id = restore(ask, backup_id)["restore_job_id"]
    answer = ask("DELETE", f"/backups/{backup_id}")
    assert answer.status_code == 412
    assert answer.json()["error"] == {
        "code": "FAILED_PRECONDITION",
        "message": f"Unable to delete backup. There are pending restore jobs for this backup: ['{job_id}']",
    }
    emulator.finish_restore(job_id)
    assert ask("GET", "/indexes/restored").json()["status"]["ready"]
    assert ask("DELETE", f"/backups/{backup_id}").status_code == 202


def test_a_new_restore_job_is_not_found_for_a_while(ask, emulator, clock, backup_id):
    emulator.clock, emulator.restore_lag = clock, 2
    path = "/restore-jobs/" + restore(ask, backup_id)["restore_job_id"]
    answer = ask("GET", path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"Restore job {path.rpartition('/')[2]} not found."
    assert ask("GET", "/restore-jobs").json() == {"data": []}
    clock.advance(2)
    assert ask("GET", path).status_code == 200


def test_pages_of_restore_jobs(ask, emulator, backup_id):
    for number in range(3):
        restore(ask, backup_id, name=f"r{number}")
    first = ask("GET", "/restore-jobs", params={"limit": 2}).json()
    rest = ask("GET", "/restore-jobs", params={"paginationToken": first["pagination"]["next"]}).json()
    names = [row["target_index_name"] for row in first["data"] + rest["data"]]
    assert names == ["r2", "r1", "r0"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "UNPROCESSABLE_ENTITY"),
        ({"name": None}, 422, "UNPROCESSABLE_ENTITY"),
        ({"name": "No_Good"}, 400, "INVALID_ARGUMENT"),
        ({"name": "x", "tags": {"a": 1}}, 422, "UNPROCESSABLE_ENTITY"),
        ({"name": "x", "deletion_protection": "no"}, 400, "INVALID_ARGUMENT"),
        ({"name": "docs-example"}, 409, "ALREADY_EXISTS"),
    ],
)
def test_a_wrong_request_is_refused(ask, emulator, backup_id, body, status, code):
    answer = ask("POST", f"/backups/{backup_id}/create-index", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert emulator.restore_jobs == []
    assert len(emulator.indexes) == 2


def test_unknown_backups_and_jobs_are_not_found(ask, emulator):
    assert ask("POST", "/backups/no/create-index", json={"name": "x"}).status_code == 404
    assert ask("GET", "/restore-jobs/no").status_code == 404


def test_an_unfinished_backup_cannot_be_restored(ask, emulator):
    backup_id = emulator.add_backup("docs-example", status="Initializing")["backup_id"]
    answer = ask("POST", f"/backups/{backup_id}/create-index", json={"name": "x"})
    assert answer.status_code == 400
    assert "Initializing" in answer.json()["error"]["message"]
