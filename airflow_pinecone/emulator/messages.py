"""Requests and responses, independent of the HTTP server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from yarl import URL

from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.request_bodies import read_object


class Json(NamedTuple):
    """A body that is encoded already."""

    content: bytes


Body = Json | bytes | str | dict[str, Any] | list[Any] | None


@dataclass(frozen=True)
class ApiRequest:
    """A request as the client sent it.

    Attributes:
        method: The HTTP method.
        target: The path and the query, still percent-encoded.
        headers: The headers; lookups must ignore case.
        content: The bytes of the body.
        base_url: The base URL that the client used. The `host` of an index starts with it.
        content_error: The error if the body could not be read; `content` is empty then.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    content: bytes
    base_url: str
    content_error: ApiError | None = None

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def rel_url(self) -> URL:
        """The path as aiohttp's router reads it."""
        return URL.build(path=self.path, encoded=True)

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; the last one of those with the same name."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def query_values(self, name: str) -> list[str]:
        """Return all values of a query parameter."""
        return [
            value for each, value in parse_qsl(self.target.partition("?")[2], keep_blank_values=True) if each == name
        ]

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body, as `read_object` does."""
        return read_object(self.content, self.headers.get("Content-Type", ""))


class ApiResponse(NamedTuple):
    """A response, without the headers that every response has.

    Attributes:
        status: The HTTP status.
        body: A JSON value, text or bytes as they are, or None for no body.
        headers: Additional headers.
    """

    status: int
    body: Body
    headers: Mapping[str, str] = MappingProxyType({})


def encode(body: Body) -> tuple[bytes, str]:
    """Return the bytes of a response body and their Content-Type, which is "" for no body."""
    if body is None:
        return b"", ""
    if isinstance(body, Json):
        return body.content, "application/json"
    if isinstance(body, (bytes, str)):
        content = body.encode() if isinstance(body, str) else body
        return content, "text/html; charset=utf-8" if content.lstrip().startswith(b"<") else "text/plain; charset=utf-8"
    return json.dumps(body).encode(), "application/json"
