"""Backups: their statuses, descriptions and listings."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_pinecone.api.models import backup_phase, count_of, created_at, tags_of
from airflow_pinecone.errors import BackupNotReady, NotFound, PineconePermanentError
from airflow_pinecone.rules.identity import DESCRIPTION_LENGTH, Origin, describe, has_mark_of
from airflow_pinecone.waiting.intervals import MIN_REJECTED_SECONDS, SEARCH_SECONDS
from live_test.api import Response
from live_test.indexes import TAGS
from live_test.run import NotPossible, Run

BACKUP_NAME = "live-test-backup"
_LONG = 4000
_FINAL = ("Ready", "Failed", "InitializationFailed")
_RUNNING = {"Initializing", "Pending"}
_ORIGIN = Origin("live_test", "manual__2025-06-15T00:00:00+00:00", "back_up", -1, "2025-06-15T00:00:00+00:00", 0)
# The user's own text is truncated, so that the description has the greatest length.
_DESCRIPTION = describe("Güte \N{SNOWMAN} 'quoted' \"text\" | " + "x" * DESCRIPTION_LENGTH, _ORIGIN)


def create_backups(run: Run) -> None:
    """Create two backups."""
    index = run.need_index()
    path = f"/indexes/{index}/backups"
    if run.expected.has_schema:
        response = run.api.post(path, {"name": "Not a valid name"})
        run.refused("create a backup with an invalid name", response, 400, error=PineconePermanentError)
        _remember(run, response)
    response = run.api.post(path, {"name": BACKUP_NAME, "description": _DESCRIPTION})
    run.need(response, "the backup")
    detail = response.message if response.status >= 300 else ""
    run.equal("create a backup: status", response.status, *run.expected.created_backup, detail=detail)
    if not _remember(run, response):
        raise NotPossible("no backup was created")
    backup = run.backups[-1]
    run.required("backup", "BackupModel", backup)
    run.true(
        "create a backup: its first status",
        "Initializing or Pending",
        backup.get("status") in _RUNNING,
        backup.get("status"),
    )
    run.within(
        "a new backup is found by its id",
        MIN_REJECTED_SECONDS,
        lambda: run.api.get(f"/backups/{backup['backup_id']}").status == 200,
    )
    for name, listing in (("its index", path), ("the project", "/backups")):
        run.within(
            f"a new backup is in the list of {name}",
            SEARCH_SECONDS,
            partial(_is_listed, run, listing, backup["backup_id"]),
        )
    _check_restore_of_unready(run, backup["backup_id"])
    long = run.api.post(path, {"description": "x" * _LONG})
    returned = "" if long.status >= 300 else f": {len(str(long.model.get('description') or ''))} returned"
    run.note(f"create a backup with a description of {_LONG} characters", f"{long.outcome}{returned}")
    if not _remember(run, long):
        response = run.api.post(path, {})
        run.equal(
            "create a backup without a name and a description: status", response.status, *run.expected.created_backup
        )
        _remember(run, response)


def wait_for_backups(run: Run) -> None:
    """Wait until the backups are Ready."""
    run.need_index()
    statuses: list[str] = []
    ended = [run.wait_for_status(f"/backups/{b['backup_id']}", _FINAL, statuses) for b in run.backups]
    if not ended:
        raise NotPossible("no backup was created")
    backup = ended[0]
    run.equal("a backup ends with the status", backup.get("status"), "Ready")
    others = [status for status in statuses if status != "Ready"]
    run.true("a backup's statuses before", "Initializing, Pending", set(others) <= _RUNNING, ", ".join(others))
    if backup_phase(backup) != "succeeded":
        return
    run.backup = backup
    _check_backup(run, backup)
    same = len({one.get("source_index_id") for one in ended}) == 1
    run.true("backups of an index have the same source_index_id", "yes", same, "yes" if same else "no")


def _check_backup(run: Run, backup: Any) -> None:
    run.required("Ready backup", "BackupModel", backup)
    run.equal("backup: name", backup.get("name"), BACKUP_NAME)
    description = str(backup.get("description") or "")
    unchanged = description == _DESCRIPTION
    run.true(
        f"backup: a description of {DESCRIPTION_LENGTH} characters returns unchanged",
        "yes",
        unchanged,
        "yes" if unchanged else f"{len(description)} characters: ...{description[-40:]}",
    )
    marked = has_mark_of(backup, _ORIGIN)
    run.true("backup: the description ends with the mark", "yes", marked, "yes" if marked else "no")
    run.equal("backup: source_index_name", backup.get("source_index_name"), run.index_name)
    run.true(
        "backup: tags are those of the index",
        str(TAGS),
        tags_of(backup) == TAGS,
        backup.get("tags"),
    )
    run.true("backup: created_at", "a time", created_at(backup) is not None, backup.get("created_at"))
    for field in ("record_count", "namespace_count", "size_bytes"):
        value = backup.get(field)
        run.true(
            f"backup: {field}", "a number, null or missing", value is None or count_of(value) is not None, repr(value)
        )


def check_pages(run: Run) -> None:
    """List the backups page by page."""
    path = f"/indexes/{run.need_index()}/backups"
    if len(run.backups) < 2:
        raise NotPossible("there are no two backups")
    run.equal("list backups with limit=100: status", run.api.get(path, {"limit": "100"}).status, 200)
    first = run.api.get(path, {"limit": "1"})
    run.equal("list backups with limit=1: rows", len(first.rows), 1)
    run.true("list backups with limit=1: pagination.next", "a token", first.token is not None, _token(first))
    if first.token is None:
        return
    second = run.api.get(path, {"paginationToken": first.token})
    run.equal("next page with the token only: rows", f"{second.outcome}, {len(second.rows)}", "200, 1")
    ids = {row.get("backup_id") for row in first.rows + second.rows}
    run.true("next page with the token only: other rows", "yes", len(ids) == 2, "yes" if len(ids) == 2 else "no")
    both = run.api.get(path, {"paginationToken": first.token, "limit": "1"})
    run.refused("next page with the token and a limit", both, 400, error=PineconePermanentError)
    ids = set(run.listed_backups(path, limit="1"))
    run.true(
        "all pages end, and have all backups",
        "yes",
        {b["backup_id"] for b in run.backups} <= ids,
        f"{len(ids)} backups",
    )


def delete_backups(run: Run) -> None:
    """Delete the backups."""
    if not run.backups:
        raise NotPossible("no backup was created")
    if run.restore_may_run:
        raise NotPossible("a restore may be running")
    for backup in run.backups:
        path = f"/backups/{backup['backup_id']}"
        response = run.api.delete(path)
        if backup is run.backups[0]:
            detail = response.message if response.status >= 300 else ""
            run.equal("delete a backup: status", response.outcome, "202", detail=detail)
            run.true("delete a backup: the body is empty", "yes", not response.text, response.text or "yes")
            run.within("a deleted backup is not found", MIN_REJECTED_SECONDS, partial(_is_deleted, run, path))
            run.refused("delete a deleted backup", run.api.delete(path), 404, error=NotFound)


def _check_restore_of_unready(run: Run, backup_id: str) -> None:
    target = run.created.new_index_name(run.api)
    response = run.api.post(f"/backups/{backup_id}/create-index", {"name": target})
    status = run.api.get(f"/backups/{backup_id}").model.get("status")
    if response.status < 300 and status == "Ready":
        run.not_checked("restore a backup that is not Ready", "the backup was Ready at once")
    else:
        run.refused(
            "restore a backup that is not Ready",
            response,
            *run.expected.unready,
            error=BackupNotReady if run.expected.has_schema else PineconePermanentError,
            operation="create_index_from_backup",
        )


def _remember(run: Run, response: Response) -> bool:
    """Remember the backup in a response to a request to create one; return whether it has one."""
    backup_id = response.model.get("backup_id")
    if response.status >= 300 or not isinstance(backup_id, str):
        return False
    run.created.add_backup(backup_id, run.api)
    run.backups.append(response.model)
    return True


def _is_listed(run: Run, listing: str, backup_id: str) -> bool:
    return backup_id in run.listed_backups(listing)


def _is_deleted(run: Run, path: str) -> bool:
    return run.api.get(path).status == 404


def _token(response: Response) -> str:
    return "a token" if response.token else str(response.model.get("pagination"))
