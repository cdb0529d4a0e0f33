"""What Airflow asks of a provider; it finds this by the entry point ``apache_airflow_provider``."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

_OFFICIAL = "apache-airflow-providers-pinecone"
_CONNECTION_TYPE: dict[str, Any] = {
    "connection-type": "pinecone",
    "hook-class-name": "airflow_pinecone.hooks.PineconeHook",
    "hook-name": "Pinecone",
    "ui-field-behaviour": {
        "hidden-fields": ["login", "port", "schema"],
        "relabeling": {"host": "Control plane", "password": "API key"},
        "placeholders": {"host": "https://api.pinecone.io"},
    },
    "conn-fields": {
        "api_version": {
            "label": "API version",
            "schema": {"type": ["string", "null"]},
            "description": "2025-10 unless given",
        },
        "timeout": {
            "label": "Timeout of a request, in seconds",
            "schema": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 600},
            "description": "30 unless given",
        },
        "allow_http": {
            "label": "Allow plain http",
            "schema": {"type": ["boolean", "null"], "default": False},
            "description": "Sends the API key unencrypted; loopback needs no permission",
        },
    },
}
# The handler is named, not imported: Airflow reads this when it starts.
_ASSET_URIS: list[dict[str, Any]] = [{"schemes": ["pinecone"], "handler": "airflow_pinecone.assets.sanitize_uri"}]


def get_provider_info() -> dict[str, Any]:
    """Describe this provider to Airflow.

    Returns:
        A dict as of Airflow's provider_info schema. The connection type ``pinecone`` is in it only where the
        official provider, which registers the same, is not installed: its form and its hook stay what they are.
    """
    info: dict[str, Any] = {
        "package-name": "airflow-pinecone",
        "name": "Pinecone backups",
        "description": "Back up, verify, restore and prune Pinecone indexes.",
        "asset-uris": _ASSET_URIS,
        # The same, for Airflow 2.
        "dataset-uris": _ASSET_URIS,
    }
    try:
        distribution(_OFFICIAL)
    except PackageNotFoundError:
        info["connection-types"] = [_CONNECTION_TYPE]
    return info
