"""Indexes, their stats, and what remains of a deleted one."""

from __future__ import annotations

from airflow_pinecone.api.hosts import data_plane_url
from airflow_pinecone.api.models import is_index_ready, tags_of
from airflow_pinecone.errors import Conflict, DeletionProtected, NotFound
from airflow_pinecone.waiting.intervals import SEARCH_SECONDS
from live_test.run import NotPossible, Run

TAGS = {"live-test": "source", "kept": "yes"}


def create_index(run: Run) -> None:
    """Create an index."""
    name = run.created.new_index_name(run.api)
    if run.api.get(f"/indexes/{name}").status != 404:
        run.created.forget_index(name)
        raise NotPossible("the name of the test's index is in use")
    body = run.expected.index_body(name, TAGS)
    response = run.api.post("/indexes", body)
    run.need(response, "the index")
    detail = response.message if response.status >= 300 else ""
    run.equal("create an index: status", response.outcome, "201", detail=detail)
    if response.status >= 300:
        raise NotPossible("the index was not created")
    run.index_name = name
    run.index = response.model
    run.required("index", "IndexModel", response.model)
    run.refused("create an index whose name is in use", run.api.post("/indexes", body), 409, error=Conflict)

    def is_listed() -> bool:
        rows = run.api.get("/indexes").model.get("indexes") or []
        return any(isinstance(row, dict) and row.get("name") == name for row in rows)

    run.within("a new index is in the list of indexes", SEARCH_SECONDS, is_listed)
    states: list[str] = []

    def is_ready() -> bool:
        response = run.api.get(f"/indexes/{name}")
        state = response.model.get("status")
        shown = str(state.get("state") if isinstance(state, dict) else state)
        if shown not in states:
            states.append(shown)
        return is_index_ready(response.model)

    ready = run.poll(is_ready)
    run.true("a new index becomes ready: status.ready", "true", ready, f"{ready}, after {', '.join(states)}".lower())
    run.true(
        "a new index becomes ready: status.state",
        "Initializing, Ready",
        set(states) <= {"Initializing", "Ready"},
        ", ".join(states),
    )
    described = run.api.get(f"/indexes/{name}").model
    run.true("index: tags", str(TAGS), tags_of(described) == TAGS, described.get("tags"))


def check_stats(run: Run) -> None:
    """Describe the stats of the index."""
    name = run.need_index()
    host = run.api.get(f"/indexes/{name}").model.get("host")
    try:
        url = data_plane_url(host, run.api.url)
    except ValueError as error:
        run.true("index: host", "a host name", False, f"it {error}")
        return
    run.true("index: host", "a host name", True, "a host name")
    response = run.api.post("/describe_index_stats", {}, url=url)
    run.equal("describe_index_stats: status", response.status, 200)
    total = response.model.get("totalVectorCount", 0)
    run.equal("describe_index_stats: totalVectorCount of an empty index", total, 0)
    run.note("describe_index_stats: fields", ", ".join(sorted(response.model)))


def delete_index(run: Run) -> None:
    """Delete the index, which is protected."""
    name = run.need_index()
    response = run.api.delete(f"/indexes/{name}")
    run.refused("delete a protected index", response, 403, error=DeletionProtected, operation="delete_index")
    if response.status == 403:
        response = run.api.patch(f"/indexes/{name}", {"deletion_protection": "disabled"})
        run.equal("configure an index: status", response.status, run.expected.configured_index)
        response = run.api.delete(f"/indexes/{name}")
        run.equal("delete an index: status", response.outcome, "202")
    deleted = run.poll(lambda: run.api.get(f"/indexes/{name}").status == 404)
    run.true("a deleted index is not found", "404", deleted, "404" if deleted else "it still exists")


def check_backups_of_deleted_index(run: Run) -> None:
    """What a listing has of a deleted index."""
    name, backup = run.need_index(), run.need_backup()
    if run.api.get(f"/indexes/{name}").status != 404:
        raise NotPossible("the index still exists")
    backup_id = backup["backup_id"]
    run.refused("list the backups of a deleted index", run.api.get(f"/indexes/{name}/backups"), 404, error=NotFound)
    described = run.api.get(f"/backups/{backup_id}")
    run.equal("describe a backup of a deleted index: status", described.status, 200)
    ids = run.listed_backups("/backups")
    run.true(
        "the backups of the project include those of a deleted index", "yes", backup_id in ids, _yes(backup_id in ids)
    )
    response = run.api.get(f"/indexes/{name}/backups", {"include_deleted": "true"})
    listed = any(row.get("backup_id") == backup_id for row in response.rows)
    if not run.expected.has_schema:
        # The client does not use the parameter in these versions.
        run.note(
            "list the backups of a deleted index with include_deleted", f"{response.outcome}, listed: {_yes(listed)}"
        )
        return
    run.equal("list the backups of a deleted index with include_deleted: status", response.status, 200)
    run.true("include_deleted lists the backups of a deleted index", "yes", listed, _yes(listed))
    deleted_at = described.model.get("source_index_deleted_at")
    run.true("backup of a deleted index: source_index_deleted_at", "a time", isinstance(deleted_at, str), deleted_at)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
