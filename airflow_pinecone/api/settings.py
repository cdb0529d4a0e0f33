"""The settings of a client, as an Airflow connection holds them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from airflow_pinecone.api.hosts import is_host, is_loopback
from airflow_pinecone.common.text import one_line
from airflow_pinecone.errors import PineconeInputError

DEFAULT_HOST = "https://api.pinecone.io"
DEFAULT_API_VERSION = "2025-10"
# The versions that this package supports, the oldest first. The last one has no guarantee of stability.
API_VERSIONS = ("2025-10", "2026-04", "2026-07", "unstable")
# Seconds to connect, and separately to receive the whole response.
DEFAULT_REQUEST_TIMEOUT = 30.0
# Around a key in a shell, in YAML, or in a text that an editor has formatted.
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
# Such as docs-abc123.svc.aped-4627-b74a.pinecone.io; that of the control plane is api.pinecone.io.
_INDEX_HOST = re.compile(r".+\.svc\..*pinecone\.io", re.IGNORECASE)
_INVALID_HOST = "the host is invalid; use a host such as api.pinecone.io or https://api.pinecone.io:443"


class Connection(Protocol):
    """The fields of an Airflow connection. Its type is not checked."""

    password: Any
    host: Any
    schema: Any
    port: Any

    @property
    def extra(self) -> Any:
        """A JSON object, or None."""


@dataclass(frozen=True)
class Settings:
    """The settings of a client.

    It is not a tuple, and its ``repr`` omits the key: error trackers show the ``repr`` of variables, and the items of a
    tuple.

    Attributes:
        conn_id: The id of the connection, for messages.
        url: The control plane: scheme, host and optional port.
        api_key: The API key.
        api_version: The version of the API, one of API_VERSIONS.
        timeout: Seconds allowed to connect, and separately to receive the whole response.
    """

    conn_id: str
    url: str
    api_key: str = field(repr=False)
    api_version: str
    timeout: float

    def is_since(self, version: str) -> bool:
        """Return whether the API has this version or a later one."""
        return API_VERSIONS.index(self.api_version) >= API_VERSIONS.index(version)

    @property
    def fingerprint(self) -> str:
        """Tells, with rare exceptions, whether two connections have the same host, API key and version of the API.

        It may be stored: a hash of 16 bits is the same for countless keys, so it does not identify one.
        """
        return hashlib.sha256(f"{self.url} {self.api_key} {self.api_version}".encode()).hexdigest()[:4]


def settings_from(connection: Connection, conn_id: str) -> Settings:
    """Read the settings of a client from an Airflow connection, or raise PineconeInputError.

    If the connection is invalid, no frame of the error holds the connection or the API key: error trackers show the
    variables of each frame.
    """
    problem = ""
    try:
        return _read(connection, conn_id)
    except _InvalidField as error:
        problem = str(error)
    del connection
    # Raised outside of the except block: the caught error holds the frames that read the connection.
    raise PineconeInputError(f"Connection {conn_id} cannot be used: {problem}.")


class _InvalidField(Exception):
    """A field of a connection is invalid."""


def _read(connection: Connection, conn_id: str) -> Settings:
    key = connection.password or ""

    def shown(value: object) -> str:
        return one_line(repr(value), key)

    if not key:
        raise _InvalidField("it has no API key; enter it in the password field")
    if isinstance(key, str) and (key[0] in _QUOTES or key[-1] in _QUOTES):
        raise _InvalidField("the API key is in quotes; enter it without them in the password field")
    if not (isinstance(key, str) and key.isascii() and key.isprintable() and " " not in key):
        raise _InvalidField(
            "the password is not a valid API key; it contains a space, a line break or a non-ASCII character"
        )
    try:
        extra = json.loads(connection.extra) if connection.extra else {}
    except (ValueError, RecursionError):
        extra = None
    if not isinstance(extra, dict):
        raise _InvalidField("the extra field is not a JSON object")
    version = extra.get("api_version") or DEFAULT_API_VERSION
    if version not in API_VERSIONS:
        raise _InvalidField(
            f"api_version in the extra field must be one of {', '.join(API_VERSIONS)}, not {shown(version)}"
        )
    timeout = extra.get("timeout")
    try:
        seconds = DEFAULT_REQUEST_TIMEOUT if timeout in (None, "") else float(timeout)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds <= 600:
        raise _InvalidField(f"timeout in the extra field must be above 0 and at most 600 seconds, not {shown(timeout)}")
    allow_http = extra.get("allow_http") in (True, "true", "True")
    return Settings(conn_id, _url(connection, allow_http=allow_http), key, version, seconds)


def _url(connection: Connection, *, allow_http: bool) -> str:
    host = str(connection.host or "").strip() or DEFAULT_HOST
    if "://" not in host:
        # Airflow removes the brackets around an IPv6 address when it parses a connection URI.
        host = f"[{host}]" if re.fullmatch(r"[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F.]*", host) else host
        # The schema field may contain http or https, as in an Airflow connection URI.
        host = f"{connection.schema or 'https'}://{host}"
    try:
        parts = urlsplit(host)
        name = parts.hostname or ""
        port = parts.port or connection.port
    except ValueError:
        raise _InvalidField(_INVALID_HOST) from None
    if parts.username is not None or parts.password is not None:
        raise _InvalidField("the host contains a user or a password; enter the API key in the password field")
    if _INDEX_HOST.fullmatch(name):
        raise _InvalidField(
            f"{name} is the host of an index, not the control plane; leave the host empty, or use {DEFAULT_HOST}"
        )
    plain = parts.scheme in ("http", "https") and not (parts.path.strip("/") or parts.query or parts.fragment)
    if not (plain and is_host(name)):
        raise _InvalidField(_INVALID_HOST)
    if port and not 0 < port < 65536:
        raise _InvalidField(f"{port} is not a valid port")
    if parts.scheme == "http" and not (allow_http or is_loopback(name)):
        raise _InvalidField(
            f"plain http to {name} would send the API key unencrypted; use https, or set "
            '{"allow_http": true} in the extra field'
        )
    shown = f"[{name}]" if ":" in name else name
    # The default port is left out, so that the same control plane always has the same URL.
    is_default = port == (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{shown}{f':{port}' if port and not is_default else ''}"
