"""Restore a backup into an index that has the name of the deleted one."""

from __future__ import annotations

from airflow_pinecone.api.models import completed_at, is_index_ready, tags_of
from airflow_pinecone.errors import BackupInUse, Conflict, PineconePermanentError
from airflow_pinecone.waiting.intervals import MIN_REJECTED_SECONDS, SEARCH_SECONDS
from live_test.indexes import TAGS
from live_test.run import NotPossible, Run

# The tag that identifies the task of a restore, and one that replaces a tag of the backup.
_OWN_TAGS = {"airflow-pinecone": "0123456789abcdef0123456789abcdef", "live-test": "restored"}
_RESTORE = "create_index_from_backup"
_FINAL = ("Completed", "Failed", "Cancelled")
_RUNNING = {"Pending", "InProgress"}


def start_restore(run: Run) -> None:
    """Start a restore."""
    backup_id, name = run.need_backup()["backup_id"], run.need_index()
    if run.api.get(f"/indexes/{name}").status != 404:
        raise NotPossible("the name of the index is in use")
    invalid = run.created.new_index_name(run.api, end="-")
    response = run.api.post(f"/backups/{backup_id}/create-index", {"name": invalid})
    run.refused("restore into an index with an invalid name", response, 400, 422, error=PineconePermanentError)
    if 400 <= response.status < 500:
        run.created.forget_index(invalid)
    run.restore_may_run = True
    response = run.api.post(f"/backups/{backup_id}/create-index", {"name": name, "tags": _OWN_TAGS})
    run.restore_may_run = response.status < 300
    run.need(response, "the index")
    detail = response.message if response.status >= 300 else ""
    run.equal("restore a backup: status", response.outcome, "202", detail=detail)
    job_id = response.model.get("restore_job_id")
    if response.status >= 300 or not isinstance(job_id, str):
        raise NotPossible("no restore was started")
    run.restore_job_id = job_id
    run.required("started restore", "CreateIndexFromBackupResponse", response.model)


def check_running_restore(run: Run) -> None:
    """What is refused while a restore is running."""
    job_id = _need_job(run)
    backup_id = run.need_backup()["backup_id"]
    name = run.index_name
    again = run.api.post(f"/backups/{backup_id}/create-index", {"name": name})
    run.refused("restore into an index whose name is in use", again, 409, error=Conflict, operation=_RESTORE)
    deleted = run.api.delete(f"/backups/{backup_id}")
    job = run.api.get(f"/restore-jobs/{job_id}").model
    if deleted.status != 412 and job.get("status") in _FINAL:
        run.not_checked("delete a backup while a restore from it is running", "the restore had ended")
    else:
        run.refused(
            "delete a backup while a restore from it is running",
            deleted,
            412,
            error=BackupInUse,
            operation="delete_backup",
        )
    run.within(
        "the index of a new restore has the tag of the request",
        SEARCH_SECONDS,
        lambda: tags_of(run.api.get(f"/indexes/{name}").model).items() >= _OWN_TAGS.items(),
    )
    run.within(
        "a new restore job is found by its id",
        MIN_REJECTED_SECONDS,
        lambda: run.api.get(f"/restore-jobs/{job_id}").status == 200,
    )
    run.within(
        "a new restore job is in the list of restore jobs",
        MIN_REJECTED_SECONDS,
        lambda: any(row.get("restore_job_id") == job_id for row in run.api.get("/restore-jobs", {"limit": "100"}).rows),
    )


def wait_for_restore(run: Run) -> None:
    """Wait until the restore is Completed."""
    job_id = _need_job(run)
    statuses: list[str] = []
    job = run.wait_for_status(f"/restore-jobs/{job_id}", _FINAL, statuses)
    run.restore_may_run = job.get("status") not in _FINAL
    run.equal("a restore job ends with the status", job.get("status"), "Completed")
    others = [status for status in statuses if status != "Completed"]
    run.true("a restore job's statuses before", "Pending, InProgress", set(others) <= _RUNNING, ", ".join(others))
    run.required("restore job", "RestoreJobModel", job)
    run.equal("restore job: target_index_name", job.get("target_index_name"), run.index_name)
    times = [str(job.get(field)) for field in ("completed_at", "created_at")]
    run.true("restore job: completed_at or created_at", "a time", completed_at(job) is not None, ", ".join(times))


def check_restored_index(run: Run) -> None:
    """The restored index."""
    _need_job(run)
    path = f"/indexes/{run.index_name}"
    ready = run.poll(lambda: is_index_ready(run.api.get(path).model))
    run.true("a restored index becomes ready", "yes", ready, "yes" if ready else "no")
    index = run.api.get(path).model
    assumed = {**TAGS, **_OWN_TAGS}
    run.true(
        "restored index: the tags of the backup and the request",
        str(assumed),
        index.get("tags") == assumed,
        index.get("tags"),
    )
    run.equal("restored index: deletion_protection", index.get("deletion_protection"), "disabled")
    ids = run.listed_backups(f"{path}/backups")
    what = "the list of an index lacks the backups of an earlier index with its name"
    if run.expected.has_schema:
        run.true(what, "yes", not ids, "yes" if not ids else "no")
    else:
        run.note(what, "yes" if not ids else "no")


def delete_restored_index(run: Run) -> None:
    """Delete the restored index."""
    _need_job(run)
    response = run.api.delete(f"/indexes/{run.index_name}")
    run.equal("delete a restored index: status", response.outcome, "202")


def _need_job(run: Run) -> str:
    if not run.restore_job_id:
        raise NotPossible("no restore was started")
    return run.restore_job_id
