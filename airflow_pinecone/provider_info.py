"""The metadata of this provider. Airflow finds it by the entry point ``apache_airflow_provider``."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

_OFFICIAL = "apache-airflow-providers-pinecone"
# The extra fields of a connection. The form of Airflow before 3.2 takes them from the hook.
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "api_version": {
        "label": "API version",
        "schema": {"type": ["string", "null"]},
        "description": "2025-10, which is the default, 2026-04, 2026-07 or unstable.",
    },
    "timeout": {
        "label": "Request timeout (seconds)",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 600},
        "description": "The default is 30.",
    },
    "allow_http": {
        "label": "Allow plain http",
        "schema": {"type": ["boolean", "null"], "default": False},
        "description": "Plain http sends the API key unencrypted. It is always allowed for loopback addresses.",
    },
}
_CONNECTION_TYPE: dict[str, Any] = {
    "connection-type": "pinecone",
    "hook-class-name": "airflow_pinecone.hooks.PineconeHook",
    "hook-name": "Pinecone",
    "ui-field-behaviour": {
        "hidden-fields": ["login", "port", "schema"],
        "relabeling": {"host": "Control plane", "password": "API key"},
        "placeholders": {"host": "https://api.pinecone.io"},
    },
    "conn-fields": CONNECTION_FIELDS,
}
# The defaults are also those of ui/settings.py. The 30 hours of ui_max_age are a day between two backups, and six hours
# for the backup itself and its retries.
CONFIG: dict[str, Any] = {
    "pinecone": {
        "description": "The page Pinecone backups in the UI of Airflow 3.1.1 or later. Restart the API server after "
        "a change.",
        "options": {
            "ui_connections": {
                "description": "The ids of the connections with which the page reads Pinecone, separated by commas. "
                "The page shows their projects to all users who may read connections. An empty value turns the page "
                "off.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "pinecone_default,pinecone_staging",
                "default": "pinecone_default",
            },
            "ui_max_age": {
                "description": "How old the newest Ready backup of an index may be before the page calls it late, in "
                "seconds: above 0, and at most 365 days.",
                "version_added": "0.1.0",
                "type": "float",
                "example": "604800",
                "default": "108000",
            },
            "ui_min_records": {
                "description": "The minimum number of records in the newest Ready backup of an index: 0 or above. With "
                "fewer records, the page calls the index failing.",
                "version_added": "0.1.0",
                "type": "integer",
                "example": "1000",
                "default": "1",
            },
            "ui_max_shrink": {
                "description": "The share of the records of the Ready backup before it, from 0 to 1, that may be "
                "missing in the newest one. If more are missing, the page calls the index failing.",
                "version_added": "0.1.0",
                "type": "float",
                "example": "0.2",
                "default": "0.5",
            },
            "ui_audit": {
                "description": "A task with AuditBackupsOperator, as dag_id.task_id. The page then shows its last "
                "report, and judges each index by the rules in it. The other options apply to the indexes that the "
                "report does not have. The page shows the report to all users who may read its connections.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "backup_audit.audit",
                "default": "",
            },
            "ui_restore_tests": {
                "description": "The folder to which restore tests write their records (report_to). The page then shows "
                "which indexes were tested, and calls an index failing if its last restore test failed. They are those "
                "of the first of ui_connections. The page shows the findings to all users who may read it.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "s3://aws_default@bucket/restore-tests",
                "default": "",
            },
            "ui_copies": {
                "description": "The folder to which exports write copies outside of Pinecone (destination). The page "
                "then shows the newest copy of each index, how old it is, and whether it was verified. They are those "
                "of the first of ui_connections. The page shows the URL of a copy to all users who may read it.",
                "version_added": "0.1.0",
                "type": "string",
                "example": "s3://aws_default@bucket/pinecone",
                "default": "",
            },
        },
    }
}
_INTEGRATION = "Pinecone"
# What follows is given by name, because importing it here would slow down the start of every Airflow process.
_MODULES: dict[str, list[dict[str, Any]]] = {
    "hooks": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_pinecone.hooks"]}],
    "operators": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_pinecone.operators"]}],
    "sensors": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_pinecone.sensors"]}],
    "triggers": [{"integration-name": _INTEGRATION, "python-modules": ["airflow_pinecone.triggers"]}],
}
_ASSET_URIS: list[dict[str, Any]] = [
    {
        "schemes": ["pinecone"],
        "handler": "airflow_pinecone.assets.sanitize_uri",
        "to_openlineage_converter": "airflow_pinecone.runtime.lineage.asset_dataset",
    }
]


def get_provider_info() -> dict[str, Any]:
    """Describe this provider to Airflow.

    Returns:
        A dict in Airflow's provider_info schema. It contains the connection type ``pinecone`` only if the official
        provider, which registers the same type, is not installed. If it is, Airflow uses the official connection form
        and hook.
    """
    info: dict[str, Any] = {
        "package-name": "airflow-pinecone",
        "name": "Pinecone backups",
        "description": "Back up, verify, restore and prune Pinecone indexes.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.pinecone.io/guides/manage-data/backups-overview",
                "tags": ["service"],
            }
        ],
        **_MODULES,
        # The plugin has an entry point instead: Airflow does not make an instance of a plugin that is listed here.
        "extra-links": ["airflow_pinecone.runtime.links.BackupLink", "airflow_pinecone.runtime.links.ConsoleLink"],
        "asset-uris": _ASSET_URIS,
        # Airflow 2's name for asset-uris.
        "dataset-uris": _ASSET_URIS,
        "config": CONFIG,
    }
    try:
        distribution(_OFFICIAL)
    except PackageNotFoundError:
        info["connection-types"] = [_CONNECTION_TYPE]
    return info
