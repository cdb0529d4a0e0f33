"""What can be waited for: a backup or a restore. All differences between the two are here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_pinecone.api.models import (
    BackupModel,
    Phase,
    RestoreModel,
    backup_phase,
    is_completed,
    is_index_ready,
    restore_model,
    restore_phase,
)
from airflow_pinecone.errors import BackupFailed, BackupNotFound, PineconeError, RestoreFailed, RestoreNotFound

if TYPE_CHECKING:
    from airflow_pinecone.api.client import PineconeClient
    from airflow_pinecone.api.listing import Listed

Model = BackupModel | RestoreModel


@dataclass(frozen=True)
class Resource:
    """A resource type that can be waited for.

    Attributes:
        name: Its name in stored arguments.
        label: Its name at the start of messages.
        goal: What the wait expects the resource to do, as a verb phrase.
        disappeared: What to say if it no longer exists, after its label and its id.
        remedy: What a user can do if it failed or no longer exists.
        index_field: The field that names its index.
        xcom_key: The XCom key of its id.
        phase: Returns the phase of a model.
        state: Describes the state of a model, as a clause for messages.
        failed: The error for a failed resource.
        not_found: The error for a resource that no longer exists.
        poll: Requests the model once, by its id.
        find: Searches for the models of several ids in the listings of the project, in at most so many pages. Returns
            the models by their ids, and the number of pages. A model that is missing may exist.
    """

    name: str
    label: str
    goal: str
    disappeared: str
    remedy: str
    index_field: str
    xcom_key: str
    phase: Callable[[Any], Phase]
    state: Callable[[Any], str]
    failed: type[PineconeError]
    not_found: type[PineconeError]
    poll: Callable[[PineconeClient, str], Model]
    find: Callable[[PineconeClient, Collection[str], int], tuple[dict[str, Any], int]]


def _find_backups(client: PineconeClient, ids: Collection[str], max_pages: int) -> Listed[BackupModel]:
    return client.find_backups(ids, max_pages=max_pages)


def _poll_restore(client: PineconeClient, restore_job_id: str) -> RestoreModel:
    """Describe a restore job and, once it is Completed, its index."""
    job = client.describe_restore_job(restore_job_id, retry=False)
    ready = is_completed(job) and is_index_ready(client.describe_index(job["target_index_name"], retry=False))
    return restore_model(job, index_ready=ready)


def _find_restores(client: PineconeClient, ids: Collection[str], max_pages: int) -> tuple[dict[str, RestoreModel], int]:
    """List restore jobs and, if one of them is Completed, the indexes.

    A Completed one whose index is not listed counts as missing.
    """
    jobs, pages = client.find_restore_jobs(ids, max_pages=max_pages)
    ready: dict[str, bool] = {}
    if any(is_completed(job) for job in jobs.values()):
        # If only the listing of the indexes fails, the other restore jobs can still be found.
        with suppress(PineconeError):
            ready = {index["name"]: is_index_ready(index) for index in client.list_indexes(retry=False)}
    restores = {
        job_id: restore_model(job, index_ready=is_completed(job) and ready[job["target_index_name"]])
        for job_id, job in jobs.items()
        if not is_completed(job) or job["target_index_name"] in ready
    }
    return restores, pages


def _restore_state(restore: RestoreModel) -> str:
    waits_for_index = restore["status"] == "Completed" and not restore["index_ready"]
    return f"its status is {restore['status']}{', and its index is not ready' if waits_for_index else ''}"


BACKUP = Resource(
    name="backup",
    label="Backup",
    goal="become Ready",
    disappeared="no longer exists",
    remedy="A retry creates a new backup. If none is left, clear the task that creates it.",
    index_field="source_index_name",
    xcom_key="backup_id",
    phase=backup_phase,
    state=lambda backup: f"its status is {backup['status']}",
    failed=BackupFailed,
    not_found=BackupNotFound,
    poll=lambda client, backup_id: client.describe_backup(backup_id, retry=False),
    find=_find_backups,
)
RESTORE = Resource(
    name="restore",
    label="Restore job",
    goal="complete",
    disappeared="or the index that it created no longer exists",
    remedy="Delete its index, if it exists. Then clear the task that restores the backup.",
    index_field="target_index_name",
    xcom_key="restore_job_id",
    phase=restore_phase,
    state=_restore_state,
    failed=RestoreFailed,
    not_found=RestoreNotFound,
    poll=_poll_restore,
    find=_find_restores,
)
RESOURCES = {resource.name: resource for resource in (BACKUP, RESTORE)}
