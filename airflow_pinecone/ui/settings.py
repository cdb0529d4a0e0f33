"""The settings of the page, from Airflow's configuration."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from airflow.configuration import conf

from airflow_pinecone.common.inputs import validate_duration

# provider_info describes the same defaults to Airflow.
_DEFAULT_CONNECTIONS = "pinecone_default"
# A day between two backups, and six hours for the backup itself and retries.
_DEFAULT_MAX_AGE = 108_000.0


class PageSettings(NamedTuple):
    """The settings of the page.

    Attributes:
        connections: The ids of the connections that the page may use; without any, the page is turned off.
        max_age: How old the newest Ready backup of an index may be, in seconds.
        prefix: The path of Airflow's URL, without a slash at its end.
    """

    connections: tuple[str, ...]
    max_age: float
    prefix: str


def read_settings() -> PageSettings:
    """Read the settings.

    Returns:
        The settings.

    Raises:
        AirflowConfigException: ``[pinecone] ui_max_age`` is not a number.
        PineconeInputError: It is not above 0 and at most 365 days.
    """
    text = conf.get("pinecone", "ui_connections", fallback=_DEFAULT_CONNECTIONS) or ""
    # A connection that is named twice counts once.
    connections = tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    max_age = conf.getfloat("pinecone", "ui_max_age", fallback=_DEFAULT_MAX_AGE)
    return PageSettings(connections, validate_duration(max_age, "[pinecone] ui_max_age"), read_prefix())


def read_prefix() -> str:
    """Return the path of Airflow's URL, without a slash at its end.

    Returns:
        The path of ``[api] base_url``, such as ``/airflow``; an empty string if it has none.
    """
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
