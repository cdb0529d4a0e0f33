"""Pages of ids or names in their order. A token holds the last one of its page, so that it never expires."""

import base64
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from airflow_pinecone.emulator.errors import ApiError

_MAX_LIMIT = 100
_LIMITS = {str(limit): limit for limit in range(1, _MAX_LIMIT + 1)}
_PREFIX = re.compile(r"[\x01-\x7F]{0,512}")


@dataclass(frozen=True)
class Page:
    """The page that a request selects.

    Attributes:
        prefix: What each id starts with.
        skip_past: The last id of the page before, or None.
        limit: The number of ids.
    """

    prefix: str
    skip_past: str | None
    limit: int

    @property
    def start(self) -> str:
        """The id from which on the page selects."""
        return max(self.prefix, self.skip_past or "")

    def of(self, ids: Iterable[str]) -> tuple[list[str], str | None]:
        """Return the ids of the page and the token of the next page, or None at the end.

        Args:
            ids: The ids from `start` on, in their order.
        """
        selected = list(islice(self._selected(ids), self.limit + 1))
        if len(selected) <= self.limit:
            return selected, None
        token = orjson.dumps({"skip_past": selected[-2], "prefix": self.prefix or None})
        return selected[:-1], base64.b64encode(token).decode()

    def _selected(self, ids: Iterable[str]) -> Iterator[str]:
        for each in ids:
            if not each.startswith(self.prefix):
                return
            if each != self.skip_past:
                yield each


def read_page(query: Mapping[str, Any]) -> Page:
    """Return the page that a query selects with `prefix`, `limit` and `paginationToken`; 400 if it is invalid."""
    prefix = query.get("prefix", "")
    if not _PREFIX.fullmatch(prefix):
        raise ApiError(400, f"Invalid prefix: {reprlib.repr(prefix)}.")
    limit = query.get("limit", str(_MAX_LIMIT))
    if limit not in _LIMITS:
        raise ApiError(400, f"The limit must be a whole number from 1 to {_MAX_LIMIT}, not {reprlib.repr(limit)}.")
    token = query.get("paginationToken", "")
    return Page(prefix, read_token(token, prefix) if token else None, _LIMITS[limit])


def read_token(token: str, prefix: str = "") -> str:
    """Return the last id of the page before; 400 if the token is malformed or belongs to another prefix."""
    try:
        value = orjson.loads(base64.b64decode(token, validate=True))
    except ValueError:
        value = None
    match value:
        case {"skip_past": str(skip_past), "prefix": None | str() as token_prefix} if len(value) == 2:
            if (token_prefix or "") == prefix:
                return skip_past
    raise ApiError(400, "Invalid pagination token.")
