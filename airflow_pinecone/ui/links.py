"""The URLs on the page. All are absolute paths, so that they work in each of its two places."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from airflow_pinecone.runtime.links import PAGE_PATH, backup_path, page_url


@dataclass(frozen=True)
class Links:
    """The URLs on one page.

    Attributes:
        prefix: The path of Airflow's URL, without a slash at its end.
        connection: The id of the connection that the page uses.
        in_airflow: Whether the page is shown inside of Airflow's page.
    """

    prefix: str
    connection: str = ""
    in_airflow: bool = False

    def airflow(self) -> str:
        """Return the URL of Airflow."""
        return f"{self.prefix}/"

    def overview(self, connection: str | None = None) -> str:
        """Return the URL of the overview, with this or another connection."""
        return self._page("", connection or self.connection)

    def index(self, index_name: str) -> str:
        """Return the URL of the page of an index."""
        return self._page(f"indexes/{quote(index_name, safe='')}", self.connection)

    def backup(self, backup_id: str) -> str:
        """Return the URL of the page of the index of a backup."""
        return self._page(backup_path(backup_id), self.connection)

    def static(self, file: str) -> str:
        """Return the URL of a static file."""
        return f"{self.prefix}{PAGE_PATH}/static/{file}"

    def run(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
        """Return the URL of a task in a run. The map index is -1 if it is not mapped."""
        dag, run, task = (quote(text, safe="") for text in (dag_id, run_id, task_id))
        mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
        return f"{self.prefix}/dags/{dag}/runs/{run}/tasks/{task}{mapped}"

    def asset(self, uri: str) -> str:
        """Return the URL of Airflow's list of assets, filtered by the URI of an asset, which is also its name."""
        return f"{self.prefix}/assets?{urlencode({'name_pattern': uri})}"

    def login(self, page: str) -> str:
        """Return the URL where a user logs in, and then returns to the URL of a page."""
        return f"{self.prefix}/api/v2/auth/login?{urlencode({'next': page})}"

    def _page(self, path: str, connection: str) -> str:
        return page_url(f"{self.prefix}/plugin" if self.in_airflow else self.prefix, path, connection)
