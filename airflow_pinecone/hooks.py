"""PineconeHook: every request to Pinecone's control plane, and the credentials for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlsplit

import requests
from airflow.providers.common.compat.sdk import BaseHook

from airflow_pinecone import __version__, connections, transport
from airflow_pinecone.errors import (
    CreateAnswerLost,
    PineconeError,
    PineconeInputError,
    PineconePermanentError,
    PineconeTransientError,
)
from airflow_pinecone.models import BackupModel, IndexModel, Kind, RestoreJobModel, RestoreModel, RestoreStarted
from airflow_pinecone.transport import Session, Settings, is_loopback, short, surely_not_acted_on

_PAGE = 100
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

Row = TypeVar("Row", BackupModel, RestoreJobModel)
Made = TypeVar("Made", BackupModel, RestoreStarted)


class PineconeHook(BaseHook):
    """Talk to Pinecone's control plane with the credentials of an Airflow connection.

    The connection: ``password`` is the API key; ``host`` the control plane (default https://api.pinecone.io);
    ``extra`` may hold ``api_version`` (default 2025-10), ``timeout`` (seconds a request, default 30) and
    ``allow_http`` (true permits plain http to a host other than loopback). Its type is not looked at.

    GET and DELETE are sent again on 408, 429, 5xx and transport errors, a POST only where Pinecone surely did not
    act on it: five times at most, and not once 60 seconds have passed. Proxy and CA settings are taken from the
    environment, as requests does.

    Args:
        conn_id: The id of the Airflow connection.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "pinecone_default"
    conn_type = "pinecone"
    hook_name = "Pinecone"

    def __init__(self, conn_id: str = default_conn_name) -> None:
        """Store the connection's id; the connection is read when it is first needed."""
        super().__init__()
        self.conn_id = conn_id
        self._session: requests.Session | None = None
        self._settings: Settings | None = None

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Say how the connection form looks, for Airflow before 3.2 (later ones read the provider info)."""
        return {
            "hidden_fields": ["login", "port", "schema"],
            "relabeling": {"host": "Control plane", "password": "API key"},
            "placeholders": {"host": connections.DEFAULT_HOST, "extra": '{"api_version": "2025-10", "timeout": 30}'},
        }

    def get_conn(self) -> requests.Session:
        """Return the session that all calls of this hook share, with the credentials in its headers.

        Returns:
            A requests.Session, the same one each time. It follows no redirect: that would hand the key on. The
            ``timeout`` of a request is for its whole answer.

        Raises:
            PineconeInputError: The connection cannot work: no key, or a host or an extra that makes no sense.
            AirflowNotFoundException: There is no connection of this id.
        """
        if self._session is None:
            settings = connections.read(self.get_connection(self.conn_id), self.conn_id)
            session = Session()
            # Without an auth of its own, requests would send what a .netrc says for the host, or for any.
            session.auth = _as_it_is
            session.headers.update(
                {
                    "Api-Key": settings.api_key,
                    "X-Pinecone-Api-Version": settings.api_version,
                    "User-Agent": f"airflow-pinecone/{__version__}",
                    "Accept": "application/json",
                }
            )
            self._session, self._settings = session, settings
        return self._session

    def create_backup(self, index_name: str, *, name: str | None = None, description: str | None = None) -> BackupModel:
        """Begin a backup of an index. The call is never sent again once Pinecone may have acted on it.

        Args:
            index_name: The index to back up.
            name: The backup's name; names need not be unique.
            description: The backup's description.

        Returns:
            The backup as Pinecone answered it; its status is usually ``Initializing``.

        Raises:
            PineconeInputError: The index name or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused.
            PineconeTransientError: Pinecone surely made no backup; asking again may help.
            CreateAnswerLost: Pinecone may or may not have made the backup.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_backup
        """
        doing = f"create a backup of index {_index(index_name)}"
        body = {k: v for k, v in {"name": name, "description": description}.items() if v is not None}
        return self._create("indexes", index_name, "backups", doing=doing, body=body, read=_backup)

    def describe_backup(self, backup_id: str, *, retry: bool = True) -> BackupModel:
        """Return a backup as it is now.

        Args:
            backup_id: The backup's id.
            retry: Whether to ask again when that can help; a wait that polls asks once.

        Returns:
            The backup.

        Raises:
            PineconeInputError: The id or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused; ``status_code`` is 404 when it knows no such backup.
            PineconeTransientError: No good answer came.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_backup
        """
        doing = f"describe backup {_backup_id(backup_id)}"
        backup = _backup(self._call("GET", "backups", backup_id, doing=doing, retry=retry), doing)
        if backup["backup_id"] != backup_id:
            raise PineconeTransientError(f"The answer to the request to {doing} is of another backup")
        return backup

    def list_backups(self, index_name: str | None = None, *, retry: bool = True) -> Iterator[BackupModel]:
        """Walk over all backups, page by page, each backup once.

        Args:
            index_name: The index whose backups are wanted; None for those of the whole project.
            retry: Whether to ask for a page again when that can help.

        Returns:
            An iterator over the backups, in no documented order; it asks for a page when it comes to it.

        Raises:
            PineconeInputError: The index name or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused.
            PineconeTransientError: No good answer came.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
        and https://docs.pinecone.io/reference/api/2025-10/control-plane/list_project_backups
        """
        if index_name is None:
            return self._pages(
                "backups", doing="list the project's backups", read=_backup, key="backup_id", retry=retry
            )
        doing = f"list the backups of index {_index(index_name)}"
        return self._pages("indexes", index_name, "backups", doing=doing, read=_backup, key="backup_id", retry=retry)

    def delete_backup(self, backup_id: str) -> None:
        """Delete a backup. When the call had to be sent again, a 404 means that it worked.

        Args:
            backup_id: The backup's id.

        Raises:
            PineconeInputError: The id or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused; ``status_code`` is 404 when it knows no such backup, 412
                while a restore from it is running.
            PineconeTransientError: No good answer came.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_backup
        """
        self._call("DELETE", "backups", _backup_id(backup_id), doing=f"delete backup {backup_id}")

    def list_indexes(self, *, retry: bool = True) -> list[IndexModel]:
        """Return the indexes of the project.

        Args:
            retry: Whether to ask again when that can help.

        Returns:
            The indexes; Pinecone gives them in one answer.

        Raises:
            PineconeInputError: The connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused.
            PineconeTransientError: No good answer came.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_indexes
        """
        doing = "list the indexes"
        answer = self._call("GET", "indexes", doing=doing, retry=retry)
        indexes = answer.get("indexes") if isinstance(answer, dict) else None
        if not isinstance(indexes, list):
            raise PineconeTransientError(f"The answer to the request to {doing} is no list of indexes")
        for index in indexes:
            _want(index, ("name",), "index", doing)
        return cast("list[IndexModel]", indexes)

    def describe_index(self, index_name: str, *, retry: bool = True) -> IndexModel:
        """Return an index as it is now.

        Args:
            index_name: The index.
            retry: Whether to ask again when that can help; a wait that polls asks once.

        Returns:
            The index; ``status["ready"]`` says whether it can be used.

        Raises:
            PineconeInputError: The name or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused; ``status_code`` is 404 when there is no such index.
            PineconeTransientError: No good answer came.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_index
        """
        doing = f"describe index {_index(index_name)}"
        answer = self._call("GET", "indexes", index_name, doing=doing, retry=retry)
        if not (
            isinstance(answer, dict) and answer.get("name") == index_name and isinstance(answer.get("status"), dict)
        ):
            raise PineconeTransientError(f"The answer to the request to {doing} is no such index")
        return cast("IndexModel", answer)

    def delete_index(self, index_name: str) -> None:
        """Delete an index, and all that is in it. When the call had to be sent again, a 404 means that it worked.

        Args:
            index_name: The index.

        Raises:
            PineconeInputError: The name or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused; ``status_code`` is 404 when there is no such index, 403 when it
                is protected from deletion.
            PineconeTransientError: No good answer came.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/delete_index
        """
        self._call("DELETE", "indexes", _index(index_name), doing=f"delete index {index_name}")

    def create_index_from_backup(
        self,
        backup_id: str,
        *,
        name: str,
        tags: dict[str, str] | None = None,
        deletion_protection: str | None = None,
    ) -> RestoreStarted:
        """Begin to restore a backup into a new index. The call is never sent again once Pinecone may have acted on it.

        Args:
            backup_id: The backup.
            name: The new index's name, which no index may have yet.
            tags: The new index's tags; None takes over those of the backup.
            deletion_protection: ``enabled`` or ``disabled``; None is disabled.

        Returns:
            The ids of the restore job and of the new index.

        Raises:
            PineconeInputError: The id, the name or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused; ``status_code`` is 409 when there is an index of that name.
            PineconeTransientError: Pinecone surely began no restore; asking again may help.
            CreateAnswerLost: Pinecone may or may not have begun the restore.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/create_index_from_backup
        """
        doing = f"restore backup {_backup_id(backup_id)} into a new index {_index(name)}"
        given = {"name": name, "tags": tags, "deletion_protection": deletion_protection}
        body = {k: v for k, v in given.items() if v is not None}
        return self._create("backups", backup_id, "create-index", doing=doing, body=body, read=_restore_started)

    def describe_restore_job(self, restore_job_id: str, *, retry: bool = True) -> RestoreJobModel:
        """Return a restore job as it is now.

        Args:
            restore_job_id: The job's id.
            retry: Whether to ask again when that can help; a wait that polls asks once.

        Returns:
            The job.

        Raises:
            PineconeInputError: The id or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused; ``status_code`` is 404 when it knows no such job, which can be
                so for a moment when it is new.
            PineconeTransientError: No good answer came.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_restore_job
        """
        doing = f"describe restore job {_id(restore_job_id, 'a restore job')}"
        job = _restore_job(self._call("GET", "restore-jobs", restore_job_id, doing=doing, retry=retry), doing)
        if job["restore_job_id"] != restore_job_id:
            raise PineconeTransientError(f"The answer to the request to {doing} is of another job")
        return job

    def list_restore_jobs(self, *, retry: bool = True) -> Iterator[RestoreJobModel]:
        """Walk over all restore jobs of the project, page by page, each job once.

        Args:
            retry: Whether to ask for a page again when that can help.

        Returns:
            An iterator over the jobs, in no documented order; it asks for a page when it comes to it.

        Raises:
            PineconeInputError: The connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused.
            PineconeTransientError: No good answer came.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_restore_jobs
        """
        return self._pages(
            "restore-jobs", doing="list the restore jobs", read=_restore_job, key="restore_job_id", retry=retry
        )

    def describe_index_stats(self, index_name: str) -> dict[str, Any]:
        """Return what an index holds now, asked of its data plane.

        Args:
            index_name: The index.

        Returns:
            The stats as they came: ``totalVectorCount``, ``namespaces`` and more. They lag behind writes for a while.

        Raises:
            PineconeInputError: The name or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused, or the index's host is one that must not be given the key;
                ``status_code`` is 404 when there is no such index.
            PineconeTransientError: No good answer came.

        Reference: https://docs.pinecone.io/reference/api/2025-10/data-plane/describeindexstats
        """
        doing = f"describe the stats of index {_index(index_name)}"
        host = self.describe_index(index_name).get("host")
        settings = cast("Settings", self._settings)
        answer = transport.call(
            self.get_conn(),
            settings._replace(url=_data_plane(host, settings, doing)),
            "POST",
            "describe_index_stats",
            doing=doing,
            say=self.log.warning,
            body={},
        )
        if not isinstance(answer, dict):
            raise PineconeTransientError(f"The answer to the request to {doing} is no stats")
        return answer

    def describe_restore(self, restore_job_id: str, *, retry: bool = True) -> RestoreModel:
        """Return a restore as a whole: its job and, once that is Completed, whether the new index can be used.

        Args:
            restore_job_id: The job's id.
            retry: Whether to ask again when that can help; a wait that polls asks once.

        Returns:
            The job, with ``index_id``, ``index_name`` and ``index_ready``.

        Raises:
            PineconeInputError: The id or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused; ``status_code`` is 404 when it knows no such job, or no longer
                the index.
            PineconeTransientError: No good answer came.
        """
        job = self.describe_restore_job(restore_job_id, retry=retry)
        name = job["target_index_name"]
        done = job["status"] == "Completed"
        ready = done and self.describe_index(name, retry=retry)["status"].get("ready") is True
        return {**job, "index_id": job.get("target_index_id") or "", "index_name": name, "index_ready": ready}

    def poll(self, kind: Kind, ident: str) -> Callable[[], BackupModel | RestoreModel]:
        """Return what a wait calls at each poll: a single shot.

        Args:
            kind: What is waited for: ``backup`` or ``restore``.
            ident: The id of the backup or of the restore job.

        Returns:
            A function without arguments; it returns the model or raises a PineconeError.
        """
        describe: Any = self.describe_backup if kind == "backup" else self.describe_restore
        return partial(describe, ident, retry=False)

    def test_connection(self) -> tuple[bool, str]:
        """Check the connection, for the button in Airflow's UI.

        Returns:
            Whether the key can list the project's indexes, and a sentence for the user.
        """
        try:
            # One shot: someone is waiting in front of the form.
            count = len(self.list_indexes(retry=False))
        except PineconeError as error:
            return False, str(error)
        return True, f"Connected; the project has {count} index{'' if count == 1 else 'es'}."

    def _create(self, *path: str, doing: str, body: dict[str, Any], read: Callable[[Any, str], Made]) -> Made:
        try:
            return read(self._call("POST", *path, doing=doing, body=body), doing)
        except PineconeTransientError as error:
            if surely_not_acted_on(error):
                raise
            lost = CreateAnswerLost(f"The answer to the request to {doing} was lost: {error}")
        raise lost

    def _pages(self, *path: str, doing: str, read: Callable[[Any, str], Row], key: str, retry: bool) -> Iterator[Row]:
        params: dict[str, str | int] = {"limit": _PAGE}
        seen: set[str] = set()
        tokens: set[str] = set()
        while True:
            page = self._call("GET", *path, doing=doing, params=params, retry=retry)
            rows = page.get("data") if isinstance(page, dict) else None
            if not isinstance(rows, list):
                raise PineconeTransientError(f"The answer to the request to {doing} is no list")
            for row in rows:
                model = read(row, doing)
                # Rows can shift between pages while they come and go.
                if row[key] not in seen:
                    seen.add(row[key])
                    yield model
            pagination = page.get("pagination")
            token = pagination.get("next") if isinstance(pagination, dict) else None
            if not token:
                return
            token = str(token)
            if token in tokens:
                raise PineconeTransientError(f"The pages of the answer to the request to {doing} have no end")
            tokens.add(token)
            # A token carries its page size; Pinecone refuses a limit beside it.
            params = {"paginationToken": token}

    def _call(
        self,
        method: str,
        *path: str,
        doing: str,
        params: dict[str, str | int] | None = None,
        body: dict[str, Any] | None = None,
        retry: bool = True,
    ) -> Any:
        session = self.get_conn()
        return transport.call(
            session,
            cast("Settings", self._settings),
            method,
            "/".join(quote(segment, safe="") for segment in path),
            doing=doing,
            say=self.log.warning,
            params=params,
            body=body,
            retry=retry,
        )


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _data_plane(host: Any, settings: Settings, doing: str) -> str:
    """Make the URL of an index's host, if the key may be sent there."""
    text = host if isinstance(host, str) else ""
    found = re.fullmatch(
        r"(?:(https?)://)?([A-Za-z0-9.-]{1,253}|\[::1\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]{0,99})?", text
    )
    if not found:
        raise PineconePermanentError(f"Could not {doing}: its host {short(host)!r} makes no sense")
    scheme, name = found[1] or "https", found[2].strip("[]")
    # Only an emulator speaks plain http: on this machine, or where the connection already does so.
    plain_already = settings.url.startswith("http://") and urlsplit(settings.url).hostname == name
    if scheme == "http" and not (is_loopback(name) or plain_already):
        raise PineconePermanentError(
            f"Could not {doing}: plain http to its host {short(host)!r} would send the API key unencrypted"
        )
    return f"{scheme}://{text.removeprefix(f'{scheme}://').rstrip('/')}"


def _index(name: str) -> str:
    if isinstance(name, str) and re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?", name):
        return name
    raise PineconeInputError(
        f"{short(name)!r} cannot be the name of an index: 1 to 45 of a-z, 0-9 and -, beginning and ending "
        "with a letter or digit"
    )


def _backup_id(backup_id: str) -> str:
    return _id(backup_id, "a backup")


def _id(value: str, of: str) -> str:
    # None is what a template makes of an XCom that is not there.
    if isinstance(value, str) and _ID.fullmatch(value) and value != "None":
        return value
    raise PineconeInputError(
        f"{short(value)!r} cannot be the id of {of}: 1 to 128 of letters, digits, _ and -, such as "
        "8c85e612-ed1c-4f97-9f8c-8194e07bcf71"
    )


def _backup(answer: Any, doing: str) -> BackupModel:
    _want(answer, ("backup_id", "status"), "backup", doing, maybe=("source_index_name", "source_index_id"))
    return cast("BackupModel", answer)


def _restore_job(answer: Any, doing: str) -> RestoreJobModel:
    needed = ("restore_job_id", "backup_id", "target_index_name", "status")
    _want(answer, needed, "restore job", doing, maybe=("target_index_id",))
    return cast("RestoreJobModel", answer)


def _restore_started(answer: Any, doing: str) -> RestoreStarted:
    _want(answer, ("restore_job_id", "index_id"), "restore", doing)
    return cast("RestoreStarted", answer)


def _want(answer: Any, needed: tuple[str, ...], what: str, doing: str, maybe: tuple[str, ...] = ()) -> None:
    """Check what others build on, and put into messages: an id, and words; ``maybe`` may be missing or null."""
    found = isinstance(answer, dict) and all(_is_word(answer.get(field)) for field in needed)
    if not (found and _ID.fullmatch(answer[needed[0]])):
        raise PineconeTransientError(f"The answer to the request to {doing} is no {what} with {' and '.join(needed)}")
    odd = [field for field in maybe if answer.get(field) is not None and not _is_word(answer[field])]
    if odd:
        raise PineconeTransientError(f"The answer to the request to {doing} is a {what} with an odd {odd[0]}")


def _is_word(value: Any) -> bool:
    """A status is a free string, but no novel."""
    return isinstance(value, str) and len(value) <= 128 and value.isprintable()
