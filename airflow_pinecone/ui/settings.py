"""The settings of the page, from Airflow's configuration."""

from __future__ import annotations

from typing import NamedTuple

from airflow.configuration import conf

from airflow_pinecone.common.text import show_value
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.policy import IndexRules
from airflow_pinecone.provider_info import CONFIG
from airflow_pinecone.runtime.links import url_prefix

_OPTIONS = CONFIG["pinecone"]["options"]


class PageSettings(NamedTuple):
    """The settings of the page.

    Attributes:
        connections: The ids of the connections that the page may use; without any, the page is turned off.
        rules: What the backups of an index must satisfy, if the audit does not say more.
        prefix: The path of Airflow's URL, without a slash at its end.
        audit: The ids of the DAG and of the task whose reports have the rules; None if there is none.
        restore_tests: The folder of the records of restore tests; empty if there is none.
        copies: The folder of the copies outside of Pinecone; empty if there is none.
    """

    connections: tuple[str, ...]
    rules: IndexRules
    prefix: str
    audit: tuple[str, str] | None = None
    restore_tests: str = ""
    copies: str = ""


def read_settings() -> PageSettings:
    """Read the settings.

    Returns:
        The settings.

    Raises:
        AirflowConfigException: An option is not a number.
        PineconeInputError: An option is invalid.
    """
    # A connection that is named twice counts once.
    connections = tuple(dict.fromkeys(filter(None, map(str.strip, _text("ui_connections").split(",")))))
    rules = IndexRules(
        max_age=conf.getfloat("pinecone", "ui_max_age", fallback=float(_default("ui_max_age"))),
        min_records=conf.getint("pinecone", "ui_min_records", fallback=int(_default("ui_min_records"))),
        max_shrink=conf.getfloat("pinecone", "ui_max_shrink", fallback=float(_default("ui_max_shrink"))),
    )
    try:
        rules.validate()
    except PineconeInputError as error:
        raise PineconeInputError(f"[pinecone] ui_{error}") from error
    # The id of a task in a group contains a dot.
    audit = _text("ui_audit").strip()
    dag_id, dot, task_id = audit.partition(".")
    if audit and not (dag_id and dot and task_id):
        raise PineconeInputError(f"[pinecone] ui_audit must be dag_id.task_id, not {show_value(audit)}.")
    return PageSettings(
        connections,
        rules,
        url_prefix(),
        (dag_id, task_id) if audit else None,
        restore_tests=_text("ui_restore_tests").strip(),
        copies=_text("ui_copies").strip(),
    )


def _text(option: str) -> str:
    return conf.get("pinecone", option, fallback=_default(option)) or ""


def _default(option: str) -> str:
    return str(_OPTIONS[option]["default"])
