"""Requests to the API, without the package's client: the checks see what the service sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from airflow_pinecone.common.clock import Clock
from live_test.findings import Mask

TIMEOUT = 30.0
_ATTEMPTS = 5
# These statuses say nothing about the assumptions. A POST is only repeated after a 429: it was not processed.
_TEMPORARY = {429, 502, 503, 504}


class NoResponse(Exception):
    """A request had no response."""


@dataclass(frozen=True)
class Response:
    """A response.

    Attributes:
        status: The HTTP status.
        body: The parsed JSON; None if it is not JSON.
        text: The body as text.
        headers: The headers; lookups ignore case.
    """

    status: int
    body: Any
    text: str
    headers: Mapping[str, str]

    @property
    def model(self) -> Any:
        """The body as a dict; an empty one if it is no object."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def rows(self) -> list[Any]:
        """The rows of a page that are objects."""
        rows = self.model.get("data")
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    @property
    def token(self) -> str | None:
        """The token of the next page."""
        pagination = self.model.get("pagination")
        return pagination.get("next") or None if isinstance(pagination, dict) else None

    @property
    def code(self) -> str:
        """The code of an error; empty if the body is not in the shape of an error."""
        return str(self._error.get("code") or "")

    @property
    def message(self) -> str:
        """The message of an error, or the body."""
        return str(self._error.get("message") or self.text)

    @property
    def outcome(self) -> str:
        """The status and, for an error, its code, such as ``404 NOT_FOUND``."""
        return f"{self.status} {self.code}".rstrip()

    @property
    def _error(self) -> dict[str, Any]:
        error = self.model.get("error")
        return error if isinstance(error, dict) else {}


class Api:
    """Sends requests with one API key in one API version. Redirects are not followed.

    Args:
        url: The URL of the control plane.
        key: The API key.
        version: The API version.
        clock: The clock for delays between attempts.
        mask: Learns the ids and hosts in each response.
    """

    def __init__(self, url: str, key: str, version: str, clock: Clock, mask: Mask) -> None:
        self.url = url
        self._headers = {"Api-Key": key, "X-Pinecone-Api-Version": version}
        self._clock = clock
        self._mask = mask
        self._session = requests.Session()

    def get(
        self, path: str, params: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send a GET request; ``headers`` replace those of the key and the version."""
        return self._request("GET", path, params=params, headers=headers)

    def post(self, path: str, body: dict[str, Any], *, url: str | None = None) -> Response:
        """Send a POST request, to another host if there is a ``url``."""
        return self._request("POST", path, body=body, url=url)

    def patch(self, path: str, body: dict[str, Any]) -> Response:
        """Send a PATCH request."""
        return self._request("PATCH", path, body=body)

    def delete(self, path: str) -> Response:
        """Send a DELETE request."""
        return self._request("DELETE", path)

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> Response:
        delay = 1.0
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                raw = self._session.request(
                    method,
                    (url or self.url) + path,
                    params=params,
                    json=body,
                    headers={**self._headers, **(headers or {})},
                    timeout=TIMEOUT,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                if method == "POST" or attempt == _ATTEMPTS:
                    # The text of the error has the URL, which can name the host of an index.
                    raise NoResponse(f"{method} {path}: no response ({type(error).__name__})") from None
            else:
                repeatable = raw.status_code in ({429} if method == "POST" else _TEMPORARY)
                if not repeatable or attempt == _ATTEMPTS:
                    response = _response(raw)
                    self._mask.add_ids(response.body)
                    return response
            self._clock.sleep(delay)
            delay *= 2
        raise AssertionError


def _response(raw: requests.Response) -> Response:
    try:
        body = raw.json()
    except ValueError:
        body = None
    return Response(raw.status_code, body, raw.text, raw.headers)
