"""The settings of the page, from Airflow's configuration."""

from __future__ import annotations

from typing import NamedTuple

from airflow.configuration import conf

from airflow_pinecone.common.durations import validate_duration
from airflow_pinecone.provider_info import CONFIG
from airflow_pinecone.runtime.links import url_prefix

_OPTIONS = CONFIG["pinecone"]["options"]


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
    text = conf.get("pinecone", "ui_connections", fallback=_OPTIONS["ui_connections"]["default"]) or ""
    # A connection that is named twice counts once.
    connections = tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    max_age = conf.getfloat("pinecone", "ui_max_age", fallback=float(_OPTIONS["ui_max_age"]["default"]))
    return PageSettings(connections, validate_duration(max_age, "[pinecone] ui_max_age"), url_prefix())
