"""Pages of a list response."""

import base64
import json
import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.request_bodies import parse_json

_MAX_LIMIT = 100
_LIMITS = {str(limit): limit for limit in range(1, _MAX_LIMIT + 1)}


class _Position(NamedTuple):
    start: int
    limit: int


def page(rows: list[dict[str, Any]], listing: str, query: Mapping[str, str], page_size: int) -> dict[str, Any]:
    """Return the page of a list that the query selects. Raises ApiError 400 for an invalid query.

    Args:
        rows: All rows.
        listing: The name of the list. A token of another one is invalid.
        query: The query, with `limit` or `paginationToken`.
        page_size: The number of rows if there is no `limit`.

    A token holds a row number, so rows shift if a backup is created between two pages, as in the service.
    A full page always has a token, even if no row follows. The last page has no `pagination` field.
    """
    unknown = set(query) - {"limit", "paginationToken"}
    if unknown:
        raise ApiError(400, f"Unknown query parameters: {', '.join(sorted(unknown))}.")
    if "limit" in query and "paginationToken" in query:
        raise ApiError(400, "A paginationToken includes the page size. Do not send limit with it.")
    if "paginationToken" in query:
        start, limit = _read_token(query["paginationToken"], listing)
    else:
        start, limit = 0, _read_limit(query.get("limit", str(page_size)))
    body: dict[str, Any] = {"data": rows[start : start + limit]}
    if len(body["data"]) == limit:
        token = json.dumps([listing, start + limit, limit]).encode()
        body["pagination"] = {"next": base64.urlsafe_b64encode(token).decode()}
    return body


def _read_limit(text: str) -> int:
    if text not in _LIMITS:
        raise ApiError(400, f"The limit must be a whole number from 1 to {_MAX_LIMIT}, not {reprlib.repr(text)}.")
    return _LIMITS[text]


def _read_token(token: str, listing: str) -> _Position:
    try:
        value = parse_json(base64.b64decode(token, altchars=b"-_", validate=True))
    except ValueError:
        value = None
    match value:
        # bool is a subclass of int in Python, but not in JSON.
        case [str(name), int(start), int(limit)] if not (isinstance(start, bool) or isinstance(limit, bool)):
            if name == listing and start >= 0 and 1 <= limit <= _MAX_LIMIT:
                return _Position(start, limit)
    raise ApiError(400, "Invalid pagination token.")


def read_flag(query: Mapping[str, str], name: str) -> bool:
    """Return a query parameter that is true or false, by default false. Raises ApiError 400 if it is something else."""
    value = query.get(name, "false")
    if value not in {"true", "false"}:
        raise ApiError(400, f"{name} must be true or false, not {reprlib.repr(value)}.")
    return value == "true"
