"""Restore jobs in the emulator."""

from typing import Any

import pytest
from support.clock import FakeClock
from support.emulator_client import Ask

from airflow_pinecone.emulator import Emulator


@pytest.fixture
def backup_id(emulator: Emulator) -> str:
    emulator.add_index("source", tags={"team": "search"}, dimension=8, deletion_protection="enabled")
    return str(emulator.add_backup("source")["backup_id"])


def restore(ask: Ask, backup_id: str, **body: Any) -> dict[str, str]:
    response = ask("POST", f"/backups/{backup_id}/create-index", json={"name": "restored", **body})
    assert response.status_code == 202, response.text
    restored: dict[str, str] = response.json()
    return restored


def test_restore_creates_an_index(ask: Ask, emulator: Emulator, clock: FakeClock, backup_id: str) -> None:
    emulator.scenario.clock, emulator.scenario.restore_after = clock, 30
    restored = restore(ask, backup_id)
    assert set(restored) == {"restore_job_id", "index_id"}
    job_path = f"/restore-jobs/{restored['restore_job_id']}"
    job = ask("GET", job_path).json()
    assert job == {
        "restore_job_id": restored["restore_job_id"],
        "backup_id": backup_id,
        "target_index_name": "restored",
        "target_index_id": restored["index_id"],
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


def test_tags_and_deletion_protection_of_the_new_index(ask: Ask, emulator: Emulator, backup_id: str) -> None:
    """The tags are those of the backup, and not of its index."""
    tagged = emulator.add_backup("source", tags={"team": "ads"})["backup_id"]
    restore(ask, tagged, tags={"new": "1"}, deletion_protection="enabled")
    index = ask("GET", "/indexes/restored").json()
    assert index["tags"] == {"team": "ads", "new": "1"}
    assert index["deletion_protection"] == "enabled"


@pytest.mark.parametrize("ends", ["Failed", "Cancelled"])
def test_failed_restore(ask: Ask, emulator: Emulator, backup_id: str, ends: str) -> None:
    emulator.next_restore(restore_ends=ends)
    job = ask("GET", "/restore-jobs/" + restore(ask, backup_id)["restore_job_id"]).json()
    assert job["status"] == ends
    assert "completed_at" in job
    assert "percent_complete" not in job
    status = ask("GET", "/indexes/restored").json()["status"]
    assert status == {"ready": False, "state": "InitializationFailed"}


def test_statuses_and_fields_of_the_next_restore(ask: Ask, emulator: Emulator, backup_id: str) -> None:
    emulator.next_restore(
        statuses=["Pending", "InProgress", "Completed"],
        fields={"completed_at": ..., "percent_complete": None},
    )
    path = "/restore-jobs/" + restore(ask, backup_id)["restore_job_id"]
    jobs = [ask("GET", path).json() for _ in range(3)]
    assert [job["status"] for job in jobs] == ["Pending", "InProgress", "Completed"]
    assert "completed_at" not in jobs[-1]
    assert jobs[-1]["percent_complete"] is None


def test_plan_for_the_restore_of_one_backup(ask: Ask, emulator: Emulator, backup_id: str) -> None:
    other = emulator.add_backup("docs-example")["backup_id"]
    emulator.next_restore(other, restore_ends="Failed")
    restore(ask, backup_id)
    ask("POST", f"/backups/{other}/create-index", json={"name": "other"})
    assert [job["status"] for job in emulator.restore_jobs] == ["Completed", "Failed"]


def test_backup_cannot_be_deleted_while_a_restore_is_pending(ask: Ask, emulator: Emulator, backup_id: str) -> None:
    emulator.scenario.restore_ends = "never"
    job_id = restore(ask, backup_id)["restore_job_id"]
    response = ask("DELETE", f"/backups/{backup_id}")
    assert response.status_code == 412
    assert response.json()["error"] == {
        "code": "FAILED_PRECONDITION",
        "message": f"Unable to delete backup. There are pending restore jobs for this backup: ['{job_id}']",
    }
    emulator.finish_restore(job_id)
    assert ask("GET", "/indexes/restored").json()["status"]["ready"]
    assert ask("DELETE", f"/backups/{backup_id}").status_code == 202


def test_restore_visible_after(ask: Ask, emulator: Emulator, clock: FakeClock, backup_id: str) -> None:
    emulator.scenario.clock, emulator.scenario.restore_visible_after = clock, 2
    path = "/restore-jobs/" + restore(ask, backup_id)["restore_job_id"]
    response = ask("GET", path)
    assert response.status_code == 404
    assert response.json()["error"]["message"] == f"Restore job {path.rpartition('/')[2]} not found."
    assert ask("GET", "/restore-jobs").json() == {"data": []}
    clock.advance(2)
    assert ask("GET", path).status_code == 200
