"""The links that Airflow shows on a task. The task pushes their URLs to XCom, so that they work while it still runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, conf

from airflow_pinecone.runtime.airflow_versions import can_show_pages

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.hooks import PineconeHook

# The page of this package is below this path of Airflow's URL.
PAGE_PATH = "/pinecone-backups"
_CONSOLE = "https://app.pinecone.io/organizations/-/projects/-/backups"


class _StoredLink(BaseOperatorLink):
    """A link whose URL the task has pushed to XCom."""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL; empty if the task has not pushed one, or if it cannot be read. Airflow then shows no link.

        At the end of the task, Airflow calls this and stores the result again.
        """
        try:
            url = ti_key.xcom_pull(task_ids=ti_key.task_id, map_indexes=ti_key.map_index, key=self.xcom_key)
        except Exception:  # A link is never a reason to fail.
            return ""
        return url if isinstance(url, str) else ""


class BackupLink(_StoredLink):
    """The link to the backup on the page of this package."""

    name = "Backup"


class ConsoleLink(_StoredLink):
    """The link to the backups in Pinecone's console, in the project that the user has selected there."""

    name = "Pinecone console"


# Before Airflow 3.1.1 there is no page. Airflow 2 would also need the links in the metadata of the provider.
LINKS = (BackupLink(), ConsoleLink()) if can_show_pages() else ()


def push_links(context: Context, backup_id: Any, hook: PineconeHook) -> None:
    """Push the URLs of the links to XCom, if this Airflow shows them and the id is valid.

    The console only shows the projects of Pinecone itself.
    """
    from airflow_pinecone.api.settings import DEFAULT_HOST
    from airflow_pinecone.common.inputs import is_id
    from airflow_pinecone.errors import PineconeInputError

    if not (LINKS and is_id(backup_id)):
        return
    backup, console = LINKS
    try:
        context["ti"].xcom_push(key=backup.xcom_key, value=page_url(url_prefix(), backup_path(backup_id), hook.conn_id))
        if hook.settings.url == DEFAULT_HOST:
            context["ti"].xcom_push(key=console.xcom_key, value=_CONSOLE)
    except PineconeInputError:
        return  # The task itself reports that the connection is invalid.
    except Exception:  # A link is never a reason to fail.
        hook.log.warning("The links of the task were not stored.", exc_info=True)


def page_url(prefix: str, path: str, conn_id: str) -> str:
    """Return a URL of the page of this package, for a connection. Without one, the page uses its first."""
    query = f"?{urlencode({'connection': conn_id})}" if conn_id else ""
    return f"{prefix}{PAGE_PATH}/{path}{query}"


def absolute_page_url(path: str, conn_id: str) -> str:
    """Return a URL of the page for an email; empty if this Airflow cannot show the page."""
    # The default is that of the log_url of a task instance.
    base_url = conf.get("api", "base_url", fallback="") or "http://localhost:8080"
    return page_url(base_url.rstrip("/"), path, conn_id) if can_show_pages() else ""


def backup_path(backup_id: str) -> str:
    """Return the path of a backup on the page."""
    return f"backups/{quote(backup_id, safe='')}"


def url_prefix() -> str:
    """Return the path of Airflow's URL, ``[api] base_url``, such as ``/airflow``; empty if it has none."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
