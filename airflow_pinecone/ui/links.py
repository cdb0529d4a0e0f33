"""The URLs on the page. All are absolute paths, so that they work in each of its two places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from airflow_pinecone.api.models import BackupModel
from airflow_pinecone.rules.identity import Creator, creator_of, has_mark
from airflow_pinecone.runtime.links import PAGE_PATH, backup_path, page_url
from airflow_pinecone.ui.formats import UNKNOWN

_ELSEWHERE = "not by airflow-pinecone"
# The longest id that Airflow accepts.
_ID_LENGTH = 250
_AIRFLOW_ID = re.compile(rf"[\w.-]{{1,{_ID_LENGTH}}}")


@dataclass(frozen=True)
class Link:
    """A text with a URL."""

    text: str
    url: str


@dataclass(frozen=True)
class Links:
    """The URLs on one page.

    Attributes:
        prefix: The path of Airflow's URL, without a slash at its end.
        connection: The id of the connection that the page uses.
        in_airflow: Whether the page is shown inside of Airflow's page.
        task: The task whose link led here, if any.
    """

    prefix: str
    connection: str = ""
    in_airflow: bool = False
    task: Creator | None = None

    def airflow(self) -> str:
        """Return the URL of Airflow."""
        return f"{self.prefix}/"

    def overview(self, connection: str | None = None) -> str:
        """Return the URL of the overview, with this or another connection."""
        return self._page("", connection or self.connection)

    def back(self) -> str:
        """Return the URL of the task whose link led here; empty if there is none."""
        return self.run(*self.task) if self.task else ""

    def index(self, index_name: str) -> str:
        """Return the URL of the page of an index."""
        return self._page(f"indexes/{quote(index_name, safe='')}", self.connection)

    def backup(self, backup_id: str) -> str:
        """Return the URL of the page of the index of a backup, with the way back to the task."""
        return self._page(backup_path(backup_id), self.connection, **(self.task._asdict() if self.task else {}))

    def static(self, file: str) -> str:
        """Return the URL of a static file."""
        return f"{self.prefix}{PAGE_PATH}/static/{file}"

    def run(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
        """Return the URL of a task in a run. The map index is -1 if it is not mapped."""
        dag, run, task = (quote(text, safe="") for text in (dag_id, run_id, task_id))
        mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
        return f"{self.prefix}/dags/{dag}/runs/{run}/tasks/{task}{mapped}"

    def run_link(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> Link:
        """Return a link to a task in a run."""
        mapped = f" [{map_index}]" if map_index >= 0 else ""
        return Link(f"{dag_id}.{task_id}{mapped}", self.run(dag_id, run_id, task_id, map_index))

    def dag(self, dag_id: str) -> str:
        """Return the URL of a DAG."""
        return f"{self.prefix}/dags/{quote(dag_id, safe='')}"

    def asset(self, uri: str) -> str:
        """Return the URL of Airflow's list of assets, filtered by the URI of an asset, which is also its name."""
        return f"{self.prefix}/assets?{urlencode({'name_pattern': uri})}"

    def login(self, page: str) -> str:
        """Return the URL where a user logs in, and then returns to the URL of a page."""
        return f"{self.prefix}/api/v2/auth/login?{urlencode({'next': page})}"

    def _page(self, path: str, connection: str, **query: object) -> str:
        return page_url(f"{self.prefix}/plugin" if self.in_airflow else self.prefix, path, connection, **query)


def task_of(query: Mapping[str, str]) -> Creator | None:
    """Return the task that the link of a task names; None if it names none, or if its ids are invalid."""
    dag_id, run_id, task_id, map_index = (query.get(name, "") for name in ("dag_id", "run_id", "task_id", "map_index"))
    are_ids = all(_AIRFLOW_ID.fullmatch(text) for text in (dag_id, task_id))
    is_run = 0 < len(run_id) <= _ID_LENGTH and run_id.isprintable()
    if not (are_ids and is_run and re.fullmatch(r"-1|[0-9]{1,9}", map_index, re.ASCII)):
        return None
    # A browser removes such a segment from a path.
    if {dag_id, run_id, task_id} & {".", ".."}:
        return None
    return Creator(dag_id, run_id, task_id, int(map_index))


def creator_link(backup: BackupModel, links: Links) -> Link | str:
    """Return a link to the task that created a backup, or a text if it was no task, or is unknown."""
    creator = creator_of(backup)
    if creator:
        return links.run_link(*creator)
    return UNKNOWN if has_mark(backup) else _ELSEWHERE
