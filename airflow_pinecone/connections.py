"""What an Airflow connection says about Pinecone; used by the hook alone."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import mask_secret

from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.transport import Settings, is_loopback, short

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

DEFAULT_HOST = "https://api.pinecone.io"
DEFAULT_API_VERSION = "2025-10"
DEFAULT_TIMEOUT = 30.0
_HOST = "its host must be like api.pinecone.io or https://api.pinecone.io:443"


def read(connection: Connection, conn_id: str) -> Settings:
    """Read what a connection says, and mask its key in all logs.

    Args:
        connection: The Airflow connection; its type is not looked at.
        conn_id: Its id, for messages.

    Returns:
        The settings.

    Raises:
        PineconeInputError: It cannot work: no key, or a host or an extra that makes no sense.
    """

    def wrong(what: str) -> PineconeInputError:
        return PineconeInputError(f"Connection {conn_id}: {what}")

    def shown(value: object) -> str:
        return short(repr(value), key)

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
    if not (isinstance(version, str) and re.fullmatch(r"20[0-9]{2}-(01|04|07|10)", version) and version >= "2025-10"):
        raise wrong(f"extra api_version must be 2025-10 or later, such as '2026-04', not {shown(version)}")
    timeout = extra.get("timeout")
    try:
        timeout = DEFAULT_TIMEOUT if timeout in (None, "") else float(timeout)
    except (TypeError, ValueError, OverflowError):
        timeout = math.nan
    if not 0 < timeout <= 600:
        raise wrong(f"extra timeout must be seconds, above 0 and up to 600, not {shown(extra['timeout'])}")
    allow_http = extra.get("allow_http") in (True, "true", "True")
    try:
        return Settings(conn_id, _url(connection, allow_http=allow_http), key, version, timeout)
    except ValueError as error:
        raise wrong(str(error)) from None


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
    if not (plain and re.fullmatch(r"[A-Za-z0-9._-]{1,253}|[0-9a-f:.]+", name)):
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
