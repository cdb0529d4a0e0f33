"""What can be waited for: a backup or a restore. All differences between the two are here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_pinecone.api.models import BackupModel, Phase, RestoreModel, backup_phase, restore_phase
from airflow_pinecone.errors import BackupFailed, BackupNotFound, PineconeError, RestoreFailed, RestoreNotFound

if TYPE_CHECKING:
    from airflow_pinecone.api.client import PineconeClient
    from airflow_pinecone.api.listing import Found

Model = BackupModel | RestoreModel


@dataclass(frozen=True)
class Resource:
    """A resource type that can be waited for.

    Attributes:
        name: Its name in stored arguments.
        label: Its name at the start of messages.
        goal: What the wait expects the resource to do, as a verb phrase.
        remedy: What a user can do if it failed or no longer exists.
        index_field: The field that names its index.
        xcom_key: The XCom key of its id.
        phase: Returns the phase of a model.
        state: Describes the state of a model, as a clause for messages.
        failed: The error for a failed resource.
        not_found: The error for a resource that no longer exists.
        poll: Requests the model once, by its id.
        find: Searches for the models of several ids in the listing of the project, in at most a number of pages.
    """

    name: str
    label: str
    goal: str
    remedy: str
    index_field: str
    xcom_key: str
    phase: Callable[[Any], Phase]
    state: Callable[[Any], str]
    failed: type[PineconeError]
    not_found: type[PineconeError]
    poll: Callable[[PineconeClient, str], Model]
    find: Callable[[PineconeClient, Collection[str], int], Found[Any]]


def _restore_state(restore: RestoreModel) -> str:
    waits_for_index = restore["status"] == "Completed" and not restore["index_ready"]
    return f"its status is {restore['status']}{', and its index is not ready' if waits_for_index else ''}"


BACKUP = Resource(
    name="backup",
    label="Backup",
    goal="become Ready",
    remedy="Create a new backup.",
    index_field="source_index_name",
    xcom_key="backup_id",
    phase=lambda backup: backup_phase(backup["status"]),
    state=lambda backup: f"its status is {backup['status']}",
    failed=BackupFailed,
    not_found=BackupNotFound,
    poll=lambda client, backup_id: client.describe_backup(backup_id, retry=False),
    find=lambda client, backup_ids, max_pages: client.find_backups(backup_ids, max_pages=max_pages),
)
RESTORE = Resource(
    name="restore",
    label="Restore job",
    goal="complete",
    remedy="Delete its index, if it exists, and restore the backup again.",
    index_field="target_index_name",
    xcom_key="restore_job_id",
    phase=restore_phase,
    state=_restore_state,
    failed=RestoreFailed,
    not_found=RestoreNotFound,
    poll=lambda client, restore_job_id: client.describe_restore(restore_job_id, retry=False),
    find=lambda client, restore_job_ids, max_pages: client.find_restores(restore_job_ids, max_pages=max_pages),
)
RESOURCES = {resource.name: resource for resource in (BACKUP, RESTORE)}
