"""What can be waited for: a backup or a restore, a fresh backup, a backup of a schedule, record counts, or an import.

All differences are here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_pinecone.api.models import (
    BackupModel,
    ImportModel,
    Phase,
    RestoreModel,
    ScheduledBackupModel,
    backup_phase,
    created_at,
    import_phase,
    is_completed,
    is_index_ready,
    is_planned,
    is_ready,
    restore_model,
    restore_phase,
    run_time,
)
from airflow_pinecone.common.text import one_line, show_time
from airflow_pinecone.errors import (
    BackupFailed,
    BackupNotFound,
    ImportFailed,
    NotFound,
    PineconeError,
    PineconeInputError,
    RestoreFailed,
    RestoreNotFound,
)
from airflow_pinecone.rules.history import BackupHistory

if TYPE_CHECKING:
    from airflow_pinecone.api.client import PineconeClient
    from airflow_pinecone.api.listing import Listed

# A poll of the counts of an index lists its namespaces only up to this number.
_MAX_LISTED_NAMESPACES = 2_000

Model = BackupModel | RestoreModel | ImportModel
Find = Callable[["PineconeClient", Collection[str], int], tuple[dict[str, Any], int]]


class Conditions(Protocol):
    """What a WaitSpec says about what to wait for."""

    @property
    def resource_id(self) -> str:
        """The id of the resource."""

    @property
    def max_age(self) -> float | None:
        """The age below which a backup is fresh, in seconds."""

    @property
    def expected_count(self) -> int | None:
        """The number of records that an index must have; None if it is unknown."""

    @property
    def since(self) -> float | None:
        """The time from which a run of a schedule counts, in seconds since the epoch."""


def _as_polled(polled: Any, conditions: Conditions, now: float) -> tuple[Any, None]:
    return polled, None


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
            the models by their ids, and the number of pages. A model that is missing may exist. None if there are no
            such listings.
        judge: Returns the model of what was polled, and a warning or None. Its arguments are what was polled, the
            conditions and the time.
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
    poll: Callable[[PineconeClient, str], Any]
    find: Find | None
    judge: Callable[[Any, Conditions, float], tuple[Any, str | None]] = _as_polled


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


def _read_history(client: PineconeClient, index_name: str) -> BackupHistory:
    from airflow_pinecone.reading import read_history

    return read_history(client, index_name, retry=False)


def _newest_if_fresh(history: BackupHistory, conditions: Conditions, now: float) -> tuple[Any, str | None]:
    """Return the newest Ready backup if it is fresh. Otherwise, return why it is not."""
    index_name, max_age = conditions.resource_id, conditions.max_age
    backup = history.newest_ready
    created = backup and created_at(backup)
    if backup is None or created is None:
        return {"problem": f"it has {history.no_ready_backup}"}, None
    age = history.age(backup, datetime.fromtimestamp(now, UTC))
    if age.is_below(max_age or 0.0):
        exists = history.index_exists
        return backup, None if exists else f"Index {index_name} no longer exists. Its backups still do."
    limit = timedelta(seconds=max_age or 0.0)
    problem = "in the future: check the clock" if age.in_future else f"and is older than {limit}"
    newest = f"its newest Ready backup, {backup['backup_id']}, was created at {show_time(created)}"
    return {"problem": f"{newest} {problem}"}, None


def _read_schedule(client: PineconeClient, schedule_id: str) -> list[ScheduledBackupModel]:
    return [*client.schedules.history(schedule_id, retry=False)]


def _first_of_schedule(
    history: list[ScheduledBackupModel], conditions: Conditions, now: float
) -> tuple[Any, str | None]:
    """Return the first Ready backup of a schedule since a time.

    Without one, return the last backup if it failed and none is still running. Otherwise, return why there is none yet.
    Planned backups do not count. A backup that is not final can be a planned one, unless its run time is known.
    """
    moment = datetime.fromtimestamp(now, UTC)
    runs = []
    for backup in history:
        planned = is_planned(backup, moment) or (backup_phase(backup) == "running" and run_time(backup) is None)
        ran_at = run_time(backup) or created_at(backup)
        if ran_at and ran_at.timestamp() >= (conditions.since or 0.0) and not planned:
            runs.append((ran_at, backup["backup_id"], backup))
    runs.sort(key=lambda run: run[:2])
    ready = next((backup for *_, backup in runs if is_ready(backup)), None)
    if ready is not None:
        return ready, None
    if not runs:
        since = show_time(conditions.since or 0.0)
        return {"problem": f"it has created no backup since {since}"}, None
    running = [backup for *_, backup in runs if backup_phase(backup) == "running"]
    if not running:
        return runs[-1][-1], None
    return {"problem": f"its backup {running[-1]['backup_id']} has the status {running[-1]['status']}"}, None


def _read_counts(client: PineconeClient, index_name: str) -> dict[str, Any]:
    """Read how many records an index reports, by its stats and by its namespaces. This costs no read units."""
    records = client.records(index_name, retry=False)
    stats = records.stats()
    # Each request lists 100 namespaces, and a poll must end in time.
    is_listed = len(stats) <= _MAX_LISTED_NAMESPACES
    return {
        "index_name": index_name,
        "stats": sum(stats.values()),
        "namespaces": sum(records.namespaces().values()) if is_listed else None,
    }


def _settled_counts(counts: dict[str, Any], conditions: Conditions, now: float) -> tuple[Any, None]:
    """Return the record count on which the stats, the namespaces and the backup agree, or why they do not."""
    stats, namespaces, expected = counts["stats"], counts["namespaces"], conditions.expected_count
    known = [count for count in (stats, namespaces, expected) if count is not None]
    # Without an expected count, 0 records are those that are not visible yet.
    if len(set(known)) == 1 and (stats or expected is not None):
        return {"status": "Settled", "index_name": counts["index_name"], "record_count": stats}, None
    in_namespaces = "" if namespaces is None else f" and its namespaces {namespaces:,}"
    of_backup = "" if expected is None else f", not {expected:,} as the backup"
    return {"problem": f"its stats have {stats:,} records{in_namespaces}{of_backup}"}, None


def import_resource_id(index_name: str, import_id: str) -> str:
    """Return the id of an import for a wait, which has that of its index, too: ``docs-example/101``."""
    return f"{index_name}/{import_id}"


def _poll_import(client: PineconeClient, resource_id: str) -> ImportModel:
    index_name, _, import_id = resource_id.partition("/")
    return {**client.imports(index_name).describe(import_id, retry=False), "index_name": index_name}


def _find_imports(client: PineconeClient, ids: Collection[str], max_pages: int) -> tuple[dict[str, ImportModel], int]:
    """List the imports of each index. If an index does not exist, the imports of the others can still be found."""
    of_index: dict[str, set[str]] = {}
    for resource_id in ids:
        index_name, _, import_id = resource_id.partition("/")
        of_index.setdefault(index_name, set()).add(import_id)
    imports: dict[str, ImportModel] = {}
    pages = 0
    for index_name, import_ids in of_index.items():
        if pages >= max_pages:
            break
        pages += 1
        with suppress(NotFound, PineconeInputError):
            rows, listed = client.imports(index_name).find(import_ids, max_pages=max_pages - pages + 1)
            pages += listed - 1
            for import_id, row in rows.items():
                imports[import_resource_id(index_name, import_id)] = {**row, "index_name": index_name}
    return imports, pages


def _import_state(model: ImportModel) -> str:
    status = f"its status is {model['status']}"
    if model.get("error"):
        return f"{status}: {one_line(model['error'])}"
    percent = model.get("percentComplete")
    is_known = import_phase(model) == "running" and isinstance(percent, int | float)
    return f"{status} ({percent:.0f} %)" if is_known else status


BACKUP = Resource(
    name="backup",
    label="Backup",
    goal="become Ready",
    disappeared="no longer exists",
    remedy="If no retry creates a new backup, clear the task that creates it.",
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
# Its id is the name of an index. There is no failed state: a newer backup can follow.
FRESHNESS = Resource(
    name="freshness",
    label="Index",
    goal="have a fresh backup",
    # The error of the listing says that there is neither an index nor a backup.
    disappeared="",
    remedy="",
    index_field="source_index_name",
    xcom_key="backup_id",
    phase=lambda model: "running" if "problem" in model else backup_phase(model),
    state=lambda model: str(model["problem"]),
    failed=NotFound,
    not_found=NotFound,
    poll=_read_history,
    find=None,
    judge=_newest_if_fresh,
)
# Its id is that of a backup schedule.
SCHEDULE = Resource(
    name="schedule",
    label="Backup schedule",
    goal="create a Ready backup",
    disappeared="",
    remedy="Create a backup with CreateBackupOperator, or wait for the next run of the schedule.",
    index_field="source_index_name",
    xcom_key="backup_id",
    phase=lambda model: "running" if "problem" in model else backup_phase(model),
    state=lambda model: model.get("problem") or f"its backup {model['backup_id']} has the status {model['status']}",
    failed=BackupFailed,
    not_found=NotFound,
    poll=_read_schedule,
    find=None,
    judge=_first_of_schedule,
)
# Its id is the name of an index. A restored index may report fewer records than it has for a while.
RECORD_COUNTS = Resource(
    name="record_counts",
    label="Index",
    goal="report all its records",
    disappeared="",
    remedy="",
    index_field="index_name",
    xcom_key="index_name",
    phase=lambda model: "running" if "problem" in model else "succeeded",
    state=lambda model: str(model["problem"]),
    failed=NotFound,
    not_found=NotFound,
    poll=_read_counts,
    find=None,
    judge=_settled_counts,
)
# Its id is that of ``import_resource_id``.
IMPORT = Resource(
    name="import",
    label="Import",
    goal="complete",
    disappeared="",
    remedy="Fix the cause, and delete the namespaces that it wrote. Then clear the task that starts the import.",
    index_field="index_name",
    xcom_key="import_id",
    phase=import_phase,
    state=_import_state,
    failed=ImportFailed,
    not_found=NotFound,
    poll=_poll_import,
    find=_find_imports,
)
RESOURCES = {resource.name: resource for resource in (BACKUP, RESTORE, FRESHNESS, SCHEDULE, RECORD_COUNTS, IMPORT)}
