"""The session of a client: which key, proxies and redirects its requests use."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests

from airflow_pinecone import __version__
from airflow_pinecone.api.deadline import DeadlineAdapter
from airflow_pinecone.api.hosts import is_loopback
from airflow_pinecone.api.key import ApiKey


class Session(requests.Session):
    """A session that adds the API key to each request, and follows no redirect, so that no other host gets the key."""

    def __init__(self, key: ApiKey, api_version: str) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, DeadlineAdapter())
        # With an auth, requests does not send the credentials from a .netrc file.
        self.auth = key
        self.headers.update(
            {
                "X-Pinecone-Api-Version": api_version,
                "User-Agent": f"airflow-pinecone/{__version__}",
                "Accept": "application/json",
            }
        )

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Ignore redirects: requests would forward the API key, and would read even an endless body first."""
        return None

    def merge_environment_settings(self, url: Any, proxies: Any, *args: Any, **kwargs: Any) -> Any:
        """Use no proxy for loopback addresses, where plain http is allowed."""
        host = urlsplit(url).hostname or ""
        if not is_loopback(host):
            return super().merge_environment_settings(url, proxies, *args, **kwargs)
        # With "no_proxy", requests does not search the whole environment for proxies at each request.
        settings = super().merge_environment_settings(url, {"no_proxy": host}, *args, **kwargs)
        settings["proxies"] = {}
        return settings
