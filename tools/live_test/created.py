"""What a run has created, and its deletion. Nothing else is ever deleted."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

from airflow_pinecone.common.clock import Clock
from airflow_pinecone.common.text import one_line
from live_test.api import Api, NoResponse

PREFIX = "airflow-pinecone-test-"
_MAX_PAGES = 50

# Deletes something, and returns why it may still exist.
Deletion = Callable[[], str]


class Stopped(BaseException):
    """A signal ends the run.

    Attributes:
        exit_status: The exit status of a process that this signal ends.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.exit_status = 128 + signal_number


class Created:
    """Remembers names before they are sent, so that nothing is lost with a response.

    A name ends with random characters. So a backup whose source index has such a name belongs to this run.
    """

    def __init__(self, log: Callable[[str], None], clock: Clock, *, poll_interval: float, timeout: float) -> None:
        self._log = log
        self._clock = clock
        self._poll_interval = poll_interval
        self._timeout = timeout
        # The API that creates and deletes each index, backup and schedule.
        self._indexes: dict[str, Api] = {}
        self._backups: dict[str, Api] = {}
        self._schedules: dict[str, Api] = {}
        self._logged: set[str] = set()

    def new_index_name(self, api: Api, *, end: str = "") -> str:
        """Return a new name, for an index that requests with ``api`` create and delete."""
        name = PREFIX + secrets.token_hex(5) + end
        self._indexes[name] = api
        return name

    def forget_index(self, name: str) -> None:
        """Delete neither an index with this name nor its backups: this run has not created it."""
        del self._indexes[name]

    def add_backup(self, backup_id: str, api: Api) -> None:
        """Remember a backup."""
        self._backups[backup_id] = api

    def add_schedule(self, schedule_id: str, api: Api) -> None:
        """Remember a backup schedule."""
        self._schedules[schedule_id] = api

    def delete_all(self) -> list[str]:
        """Delete everything that exists, and return what could not be deleted and why.

        If it is stopped, everything that may exist could not be deleted.
        """
        found: dict[str, Deletion] = {}
        try:
            end = self._clock.monotonic() + self._timeout
            clean_before = False
            while True:
                found = dict(self._find())
                # Something that an interrupted request created can appear later: two searches find nothing.
                if not found and clean_before:
                    return []
                clean_before = not found
                problems = {what: delete() for what, delete in found.items()}
                if problems and self._clock.monotonic() >= end:
                    return [f"{what}: {problem}" for what, problem in problems.items()]
                self._clock.sleep(self._poll_interval)
        except Stopped:
            names = list(found) or [f"index {name} and its backups" for name in self._indexes]
            return [f"{what}: the deletion was stopped" for what in names]

    def _find(self) -> Iterator[tuple[str, Deletion]]:
        """Find what may exist: schedules first, because they create backups."""
        for schedule_id, api in self._schedules.items():
            yield from self._existing(api, "backup schedule", schedule_id, "/backup-schedules/")
        for name, api in self._indexes.items():
            yield from self._existing(api, "index", name, "/indexes/")
        problem = self._list_backups() if self._indexes else ""
        if problem:
            yield "backups of the indexes of this test", lambda: problem
        for backup_id, api in self._backups.items():
            yield from self._existing(api, "backup", backup_id, "/backups/")

    def _list_backups(self) -> str:
        """Remember the backups of this run's indexes that the project has; return why that is unknown."""
        params = {"limit": "100"}
        for _ in range(_MAX_PAGES):
            try:
                page = next(iter(self._indexes.values())).get("/backups", params)
            except NoResponse as error:
                return str(error)
            if page.status != 200:
                return f"they could not be listed: {page.outcome}"
            for row in page.rows:
                api = self._indexes.get(str(row.get("source_index_name")))
                if api and isinstance(row.get("backup_id"), str):
                    self._backups.setdefault(row["backup_id"], api)
            if page.token is None:
                break
            params = {"paginationToken": page.token}
        return ""

    def _existing(self, api: Api, kind: str, name: str, path: str) -> Iterator[tuple[str, Deletion]]:
        """Yield a resource and its deletion, unless it does not exist. It may exist if that is unknown."""
        try:
            exists = api.get(path + name).status != 404
        except NoResponse:
            exists = True
        if exists:
            yield f"{kind} {name}", lambda: self._delete(api, f"{kind} {name}", path + name)

    def _delete(self, api: Api, what: str, path: str) -> str:
        try:
            response = api.delete(path)
            if path.startswith("/indexes/") and response.status >= 400 and response.status != 404:
                # It may be protected from deletion.
                api.patch(path, {"deletion_protection": "disabled"})
                response = api.delete(path)
        except NoResponse as error:
            return str(error)
        if response.status < 300 or response.status == 404:
            self._log_once(f"Deleted {what}.")
            return "it was deleted, but still exists"
        problem = one_line(f"{response.outcome} {response.message}")
        self._log_once(f"Waiting to delete {what}: {problem}. Press Ctrl-C to stop and list what remains.")
        return problem

    def _log_once(self, message: str) -> None:
        if message not in self._logged:
            self._logged.add(message)
            self._log(message)
