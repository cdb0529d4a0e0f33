"""PineconeHook: every request to Pinecone's control plane, and the credentials for it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

import requests
from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_pinecone import __version__, transport
from airflow_pinecone.errors import (
    CreateAnswerLost,
    PineconeError,
    PineconeInputError,
    PineconeTransientError,
)
from airflow_pinecone.models import BackupModel, IndexModel
from airflow_pinecone.transport import Session, Settings, is_loopback, short, surely_not_acted_on

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

DEFAULT_HOST = "https://api.pinecone.io"
DEFAULT_API_VERSION = "2025-10"
DEFAULT_TIMEOUT = 30.0
_PAGE = 100
_HOST = "its host must be like api.pinecone.io or https://api.pinecone.io:443"


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
            "placeholders": {"host": DEFAULT_HOST, "extra": '{"api_version": "2025-10", "timeout": 30}'},
        }

    def get_conn(self) -> requests.Session:
        """Return the session that all calls of this hook share, with the credentials in its headers.

        Returns:
            A requests.Session, the same one each time. It follows no redirect: that would hand the key on.

        Raises:
            PineconeInputError: The connection cannot work: no key, or a host or an extra that makes no sense.
            AirflowNotFoundException: There is no connection of this id.
        """
        if self._session is None:
            settings = self._read_connection()
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
        try:
            answer = self._call("POST", "indexes", index_name, "backups", doing=doing, body=body)
            return _backup(answer, doing)
        except PineconeTransientError as error:
            if surely_not_acted_on(error):
                raise
            lost = CreateAnswerLost(f"The answer to the request to {doing} was lost: {error}")
        raise lost

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

        Yields:
            The backups, in no documented order.

        Raises:
            PineconeInputError: The index name or the connection is impossible; nothing was sent.
            PineconePermanentError: Pinecone refused.
            PineconeTransientError: No good answer came.

        Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/list_index_backups
        and https://docs.pinecone.io/reference/api/2025-10/control-plane/list_project_backups
        """
        path = ["backups"] if index_name is None else ["indexes", _index(index_name), "backups"]
        doing = "list the project's backups" if index_name is None else f"list the backups of index {index_name}"
        params: dict[str, str | int] = {"limit": _PAGE}
        seen: set[str] = set()
        tokens: set[str] = set()
        while True:
            page = self._call("GET", *path, doing=doing, params=params, retry=retry)
            rows = page.get("data") if isinstance(page, dict) else None
            if not isinstance(rows, list):
                raise PineconeTransientError(f"The answer to the request to {doing} is no list of backups")
            for row in rows:
                backup = _backup(row, doing)
                # Rows can shift between pages while backups come and go.
                if backup["backup_id"] not in seen:
                    seen.add(backup["backup_id"])
                    yield backup
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
        answer = self._call("GET", "indexes", doing="list the indexes", retry=retry)
        indexes = answer.get("indexes") if isinstance(answer, dict) else None
        if not isinstance(indexes, list):
            raise PineconeTransientError("The answer to the request to list the indexes is no list of indexes")
        return cast("list[IndexModel]", indexes)

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

    def _read_connection(self) -> Settings:
        connection = self.get_connection(self.conn_id)

        def wrong(what: str) -> PineconeInputError:
            return PineconeInputError(f"Connection {self.conn_id}: {what}")

        key = connection.password or ""
        if not key:
            raise wrong("it has no API key; put it into the password field")
        mask_secret(key)
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise wrong("its password cannot be an API key: it has a space, a line end or another odd character")
        try:
            extra = json.loads(connection.extra) if connection.extra else {}
        except ValueError:
            extra = None
        if not isinstance(extra, dict):
            raise wrong("its extra must be a JSON object")
        version = extra.get("api_version") or DEFAULT_API_VERSION
        if not (
            isinstance(version, str) and re.fullmatch(r"20[0-9]{2}-(01|04|07|10)", version) and version >= "2025-10"
        ):
            raise wrong(f"extra api_version must be 2025-10 or later, such as '2026-04', not {version!r}")
        timeout = extra.get("timeout")
        try:
            timeout = DEFAULT_TIMEOUT if timeout in (None, "") else float(timeout)
        except (TypeError, ValueError, OverflowError):
            timeout = math.nan
        if not 0 < timeout <= 600:
            raise wrong(f"extra timeout must be seconds, above 0 and up to 600, not {extra['timeout']!r}")
        allow_http = extra.get("allow_http") in (True, "true", "True")
        try:
            return Settings(self.conn_id, _url(connection, allow_http=allow_http), key, version, timeout)
        except ValueError as error:
            raise wrong(str(error)) from None


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _url(connection: Connection, *, allow_http: bool) -> str:
    host = (connection.host or "").strip() or DEFAULT_HOST
    if "://" not in host:
        # Airflow takes the brackets off an IPv6 address in a URI.
        host = f"[{host}]" if re.fullmatch(r"[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F.]*", host) else host
        # As in an Airflow URI, the schema field may say http or https.
        host = f"{connection.schema or 'https'}://{host}"
    try:
        parts = urlsplit(host)
        name = parts.hostname or ""
        port = parts.port or connection.port
    except ValueError:
        raise ValueError(_HOST) from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("its host holds a user or a password; the API key goes into the password field")
    plain = parts.scheme in ("http", "https") and not (parts.path.strip("/") or parts.query or parts.fragment)
    if not (plain and re.fullmatch(r"[A-Za-z0-9._-]+|[0-9a-f:.]+", name)):
        raise ValueError(_HOST)
    if port and not 0 < port < 65536:
        raise ValueError(f"there is no port {port}")
    if parts.scheme == "http" and not (allow_http or is_loopback(name)):
        raise ValueError(
            f"plain http to {name} would send the API key unencrypted; use https, "
            'or set {"allow_http": true} in its extra'
        )
    shown = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}"


def _index(name: str) -> str:
    if isinstance(name, str) and re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?", name):
        return name
    raise PineconeInputError(
        f"{short(name)!r} cannot be the name of an index: 1 to 45 of a-z, 0-9 and -, beginning and ending "
        "with a letter or digit"
    )


def _backup_id(backup_id: str) -> str:
    if isinstance(backup_id, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,128}", backup_id):
        return backup_id
    raise PineconeInputError(
        f"{short(backup_id)!r} cannot be the id of a backup: 1 to 128 of letters, digits, _ and -, such as "
        "8c85e612-ed1c-4f97-9f8c-8194e07bcf71"
    )


def _backup(answer: Any, doing: str) -> BackupModel:
    if isinstance(answer, dict):
        backup_id, status = answer.get("backup_id"), answer.get("status")
        if isinstance(backup_id, str) and backup_id and isinstance(status, str):
            return cast("BackupModel", answer)
    raise PineconeTransientError(f"The answer to the request to {doing} is no backup with an id and a status")
