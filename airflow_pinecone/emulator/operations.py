"""The operations of the API: what a request does, and its response."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.messages import ApiRequest, Body
from airflow_pinecone.emulator.paging import page, read_flag
from airflow_pinecone.emulator.project import Project
from airflow_pinecone.emulator.resources import Backup, newest_first
from airflow_pinecone.emulator.scenario import Scenario
from airflow_pinecone.emulator.schedules import Schedules
from airflow_pinecone.emulator.versions import Version

_log = logging.getLogger("airflow_pinecone.emulator")

# The status and the body of a response.
_Result = tuple[int, Body]


class Operations:
    """The operations on a project. Each gets the request, the time, its version, and the variables of its path.

    They are coroutines because aiohttp's router requires it: none of them waits.
    """

    def __init__(self, project: Project, schedules: Schedules, scenario: Scenario) -> None:
        """Create the operations on a project and its backup schedules."""
        self._project = project
        self._schedules = schedules
        self._scenario = scenario

    def routes(self) -> list[tuple[str, str, Any]]:
        """Return the method and the path of each operation."""
        return [
            ("GET", "/indexes", self._list_indexes),
            ("POST", "/indexes", self._create_index),
            ("POST", "/indexes/create-for-model", self.not_emulated),
            ("GET", "/indexes/{name}", self._describe_index),
            ("DELETE", "/indexes/{name}", self._delete_index),
            ("PATCH", "/indexes/{name}", self._configure_index),
            ("GET", "/indexes/{name}/backups", self._list_backups_of_index),
            ("POST", "/indexes/{name}/backups", self._create_backup),
            ("GET", "/backups", self._list_backups),
            ("GET", "/backups/{backup_id}", self._describe_backup),
            ("DELETE", "/backups/{backup_id}", self._delete_backup),
            ("POST", "/backups/{backup_id}/create-index", self._create_index_from_backup),
            ("GET", "/indexes/{name}/backup-schedules", self._list_schedules),
            ("POST", "/indexes/{name}/backup-schedules", self._create_schedule),
            ("GET", "/backup-schedules/{schedule_id}", self._describe_schedule),
            ("PATCH", "/backup-schedules/{schedule_id}", self._update_schedule),
            ("DELETE", "/backup-schedules/{schedule_id}", self._delete_schedule),
            ("GET", "/backup-schedules/{schedule_id}/history", self._list_schedule_history),
            ("GET", "/restore-jobs", self._list_restore_jobs),
            ("GET", "/restore-jobs/{job_id}", self._describe_restore_job),
        ]

    async def not_emulated(self, request: ApiRequest, now: float, version: Version) -> _Result:
        """Respond to a request that the emulator does not know with 501."""
        _log.warning("Not emulated: %s %s", request.method, request.path)
        raise ApiError(501, f"The emulator does not emulate {request.method} {request.path}.")

    async def _list_indexes(self, request: ApiRequest, now: float, version: Version) -> _Result:
        indexes = self._project.indexes.values()
        return 200, {"indexes": [version.index(index, now, request.base_url) for index in indexes]}

    async def _create_index(self, request: ApiRequest, now: float, version: Version) -> _Result:
        index = self._project.add_index(version.parse_create_index(request.json()))
        return 201, version.index(index, now, request.base_url)

    async def _describe_index(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        return 200, version.index(self._project.index(name), now, request.base_url)

    async def _delete_index(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        self._schedules.delete_of_index(self._project.delete_index(name, now))
        return 202, None

    async def _configure_index(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        index = self._project.index(name)
        index.model.update(version.parse_configure_index(request.json(), index.model))
        return version.configured_index, version.index(index, now, request.base_url)

    async def _list_backups_of_index(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        query = request.query
        include_deleted = read_flag(query, "include_deleted") and version.shows_deleted
        query.pop("include_deleted", None)
        backups = self._project.backups_of(name, include_deleted=include_deleted)
        return _list_backups(backups, f"backups of {name}", query, now, version)

    async def _create_backup(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        scenario = self._scenario
        if not scenario.backups_in_plan:
            message = "Your organization's plan does not include backups. Upgrade your plan to create backups."
            raise ApiError(403, message, code=version.no_plan)
        index = self._project.index(name)
        self._project.check_index_supports_backups(index, full_text=scenario.full_text_backups)
        self._project.check_quota(scenario.quota, now)
        fields = version.parse_create_backup(request.json())
        backup = self._project.add_backup(name, fields, now, scenario.take_backup_lifecycle(name))
        return version.created_backup, version.backup(backup, now, status=backup.initial_status)

    async def _list_backups(self, request: ApiRequest, now: float, version: Version) -> _Result:
        return _list_backups(self._project.backups.values(), "backups", request.query, now, version)

    async def _describe_backup(self, request: ApiRequest, now: float, version: Version, backup_id: str) -> _Result:
        backup = self._project.backup(backup_id, now)
        model = version.backup(backup, now)
        backup.describe_count += 1
        return 200, model

    async def _delete_backup(self, request: ApiRequest, now: float, version: Version, backup_id: str) -> _Result:
        self._project.delete_backup(backup_id, now)
        return 202, None

    async def _create_index_from_backup(
        self, request: ApiRequest, now: float, version: Version, backup_id: str
    ) -> _Result:
        index = version.parse_create_index_from_backup(request.json())
        self._project.check_restore_allowed(backup_id, index["name"], now)
        status = self._project.backup(backup_id, now).status(now)
        if status != "Ready":
            raise version.unready_backup(backup_id, status)
        lifecycle = self._scenario.take_restore_lifecycle(backup_id)
        visible_after = self._scenario.restored_records_visible_after
        job = self._project.add_restore_job(backup_id, index, now, lifecycle, visible_after)
        return 202, {"restore_job_id": job.model["restore_job_id"], "index_id": job.model["target_index_id"]}

    async def _list_schedules(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        schedules = self._schedules_in(version).of_index(self._project.index(name))
        rows = [schedule.to_api(self._project.id) for schedule in schedules]
        return 200, page(rows, f"backup schedules of {name}", request.query, version.page_size)

    async def _create_schedule(self, request: ApiRequest, now: float, version: Version, name: str) -> _Result:
        return 200, self._schedules_in(version).create(name, request.json(), now).to_api(self._project.id)

    async def _describe_schedule(self, request: ApiRequest, now: float, version: Version, schedule_id: str) -> _Result:
        return 200, self._schedules_in(version).get(schedule_id).to_api(self._project.id)

    async def _update_schedule(self, request: ApiRequest, now: float, version: Version, schedule_id: str) -> _Result:
        return 200, self._schedules_in(version).update(schedule_id, request.json(), now).to_api(self._project.id)

    async def _delete_schedule(self, request: ApiRequest, now: float, version: Version, schedule_id: str) -> _Result:
        self._schedules_in(version).delete(schedule_id)
        return 204, None

    async def _list_schedule_history(
        self, request: ApiRequest, now: float, version: Version, schedule_id: str
    ) -> _Result:
        schedules = self._schedules_in(version)
        rows = schedules.history(schedules.get(schedule_id), now, version)
        return 200, page(rows, f"history of {schedule_id}", request.query, version.page_size)

    def _schedules_in(self, version: Version) -> Schedules:
        """Return the backup schedules; 404 in a version that has none."""
        if not version.has_schedules:
            raise ApiError(404, f"API version {version.name} has no backup schedules.")
        return self._schedules

    async def _list_restore_jobs(self, request: ApiRequest, now: float, version: Version) -> _Result:
        listed = newest_first(job for job in self._project.restore_jobs.values() if job.is_listed(now))
        rows = [version.restore_job(job, now) for job in listed]
        return 200, page(rows, "restore jobs", request.query, version.page_size)

    async def _describe_restore_job(self, request: ApiRequest, now: float, version: Version, job_id: str) -> _Result:
        job = self._project.restore_job(job_id, now)
        model = version.restore_job(job, now)
        job.describe_count += 1
        return 200, model


def _list_backups(
    backups: Iterable[Backup], listing: str, query: Mapping[str, str], now: float, version: Version
) -> _Result:
    listed = newest_first(backup for backup in backups if backup.is_listed(now))
    return 200, page([version.backup(backup, now) for backup in listed], listing, query, version.page_size)
