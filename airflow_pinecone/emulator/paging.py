"""Pages of a listing."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from airflow_pinecone.emulator.errors import ApiError

_DEFAULT_LIMIT = 10
_MAX_LIMIT = 100


def page(rows: list[dict[str, Any]], listing: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Cut one page out of a listing.

    A token stands for a place counted in rows, so rows shift when a backup is made between two pages, as they
    can in the service. A full page always carries a token, even when nothing follows it; the last page has no
    `pagination` at all.

    Args:
        rows: The whole listing.
        listing: Which listing it is; a token of another one is refused.
        query: The query: `limit`, or the `paginationToken` of the page before, which carries its own limit.

    Returns:
        The body of the answer.

    Raises:
        ApiError: 400 for any query but these.
    """
    unknown = set(query) - {"limit", "paginationToken"}
    if unknown:
        raise ApiError(400, f"Unknown query parameters: {', '.join(sorted(unknown))}.")
    if "limit" in query and "paginationToken" in query:
        raise ApiError(400, "A paginationToken carries its own page size: send no limit beside it.")
    start, limit = 0, _limit(query.get("limit", str(_DEFAULT_LIMIT)))
    if "paginationToken" in query:
        start, limit = _read_token(query["paginationToken"], listing)
    body: dict[str, Any] = {"data": rows[start : start + limit]}
    if len(body["data"]) == limit:
        token = json.dumps([listing, start + limit, limit]).encode()
        body["pagination"] = {"next": base64.urlsafe_b64encode(token).decode()}
    return body


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MAX_LIMIT):
        raise ApiError(400, f"The limit must be a whole number from 1 to {_MAX_LIMIT}, not {text!r}.")
    return int(text)


def _read_token(token: str, listing: str) -> tuple[int, int]:
    try:
        of, start, limit = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        if of == listing:
            return int(start), int(limit)
    except (binascii.Error, ValueError, TypeError):
        pass
    raise ApiError(400, "Invalid pagination token.")
