"""The plugin that adds the page "Pinecone backups" to Airflow's UI. Airflow finds it by the entry point.

Task processes and the DAG processor load plugins too, so this module imports nothing slow. Only the API server and the
command ``airflow plugins`` read the properties.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_pinecone.runtime.airflow_versions import can_show_pages

log = logging.getLogger(__name__)

NAME = "Pinecone backups"


class PineconeBackupsPlugin(AirflowPlugin):
    """Mount the page, and link to it in the navigation. It needs Airflow 3.1.1 or later."""

    name = "pinecone_backups"

    # Cached, because Airflow reads each property several times, and would build an app each time.
    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app that serves the page; empty if Airflow is too old, or if the app cannot be built."""
        if not can_show_pages():
            return []
        try:
            from airflow_pinecone.runtime.links import PAGE_PATH
            from airflow_pinecone.ui.app import build_app

            return [{"app": build_app(), "url_prefix": PAGE_PATH, "name": NAME}]
        except Exception:
            # An exception here would stop the API server.
            log.exception("The page %s is not available: its app could not be built.", NAME)
            return []

    @cached_property
    def react_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The page inside of Airflow's page; empty if there is no app that serves it."""
        if not self.fastapi_apps:
            return []
        from airflow_pinecone.runtime.links import PAGE_PATH, url_prefix
        from airflow_pinecone.ui.links import Links

        return [
            {
                # static/nav.js contains the same name.
                "name": NAME,
                "destination": "nav",
                "category": "browse",
                "url_route": PAGE_PATH.strip("/"),
                "bundle_url": Links(url_prefix()).static("nav.js"),
            }
        ]
