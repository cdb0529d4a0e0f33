"""Which hosts requests may be sent to, and whether the API key may be sent there unencrypted."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
# The host of an index, as the API returns it. Only that of an emulator has a scheme, a port and a path.
_INDEX_HOST = re.compile(r"(?:(https?)://)?([A-Za-z0-9.-]{1,253}|\[::1\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]{0,99})?")


def is_host(value: str) -> bool:
    """Return whether a text is a host name or an IP address that a request can be sent to."""
    if ":" in value:
        try:
            # A zone, as in fe80::1%eth0, is valid on one machine only.
            return "%" not in value and bool(ipaddress.IPv6Address(value))
        except ValueError:
            return False
    return len(value) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in value.split("."))


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or ``localhost``. The name is not resolved."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def data_plane_url(host: object, control_plane: str) -> str:
    """Return the URL of the host of an index.

    Raises:
        ValueError: It is not a host, or the API key would be sent to it unencrypted; a clause for a message.
    """
    text = host if isinstance(host, str) else ""
    match = _INDEX_HOST.fullmatch(text)
    if not (match and is_host(match[2].strip("[]"))):
        raise ValueError("is not a valid host")
    scheme, name = match[1] or "https", match[2].strip("[]")
    # Only an emulator uses plain http: on a loopback address, or on the host of the connection.
    trusted = control_plane.startswith("http://") and urlsplit(control_plane).hostname == name
    if scheme == "http" and not (is_loopback(name) or trusted):
        raise ValueError("uses plain http, which would send the API key unencrypted")
    return f"{scheme}://{text.removeprefix(f'{scheme}://').rstrip('/')}"
