"""Read what Pinecone lists in the form that the rules need: a history, or a whole project.

It does not import Airflow, so any thread can use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from airflow_pinecone.api.client import PineconeClient
from airflow_pinecone.api.listing import PAGE_SIZE
from airflow_pinecone.api.models import BackupScheduleModel, IndexModel, is_ready, why_unsupported
from airflow_pinecone.api.transport import Log
from airflow_pinecone.errors import NotFound, PineconeError
from airflow_pinecone.rules.history import BackupHistory
from airflow_pinecone.rules.report import Project

Row = TypeVar("Row")


def read_history(
    client: PineconeClient, index_name: str, *, include_deleted_indexes: bool = False, retry: bool = True
) -> BackupHistory:
    """List the backups of an index name, even if the index was deleted; see the method of the client."""
    backups, exists = client.find_backups_of_name(
        index_name, include_deleted_indexes=include_deleted_indexes, retry=retry
    )
    return BackupHistory(backups, index_exists=exists)


def read_project(
    client: PineconeClient, *, retry: bool = True, check: Callable[[], object] = lambda: None
) -> tuple[Project, PineconeError | None]:
    """List the indexes, the backups and the restore jobs of a project, and call ``check`` after each row.

    An index without a valid name is left out, and the project says so.

    Returns:
        The project, and why its restore jobs are unknown if they could not be listed.
    """
    invalid: list[str] = []

    def checked(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            check()
            yield row
        check()

    # The indexes first: an index that is created and backed up meanwhile must not look unprotected.
    indexes = [*checked(client.find_indexes(invalid.append, retry=retry))]
    backups = [*checked(client.list_backups(retry=retry))]
    ready = {backup.get("source_index_name") for backup in backups if is_ready(backup)}
    if len(backups) >= PAGE_SIZE and not ready >= {index["name"] for index in indexes if not why_unsupported(index)}:
        # A backup that is deleted between the requests for two pages can hide another one. List them once more.
        backups = [*checked(client.list_backups(retry=retry))]
    try:
        jobs = [*checked(client.list_restore_jobs(retry=retry))]
    except PineconeError as error:
        return Project(indexes, backups, None, invalid), error
    return Project(indexes, backups, jobs, invalid), None


def read_schedules(
    client: PineconeClient, indexes: Iterable[IndexModel], warn: Log
) -> dict[str, list[BackupScheduleModel]] | None:
    """List the backup schedules of each index; log a warning and return None if they cannot be listed."""
    schedules = {}
    for index in indexes:
        if why_unsupported(index):
            continue
        name = index["name"]
        try:
            schedules[name] = [*client.schedules.list(name)]
        except PineconeError as error:
            # The index was deleted meanwhile, unless the version of the API has no schedules.
            if isinstance(error, NotFound) and client.settings.is_since("2026-07"):
                continue
            warn(f"The report has no backup schedules: {error}")
            return None
    return schedules
