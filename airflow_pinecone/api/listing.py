"""Read the pages of a listing. Only ``client`` uses it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from airflow_pinecone.api import responses
from airflow_pinecone.api.models import BackupModel, BackupScheduleModel, ImportModel, RestoreJobModel
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.transport import Log, Transport
from airflow_pinecone.common.text import cell, counted, explain
from airflow_pinecone.errors import PineconeTransientError

PAGE_SIZE = 100
# A warning names at most so many invalid rows.
_NAMED_ROWS = 10
# A listing ends with an error after this many pages, or this many consecutive pages without a new row. A project has at
# most 1,000 backups.
MAX_PAGES = 1000
MAX_PAGES_WITHOUT_NEW_ROWS = 20

Row = TypeVar("Row", bound=BackupModel | BackupScheduleModel | ImportModel | RestoreJobModel)


class Listed(NamedTuple, Generic[Row]):
    """What a search in a listing has found.

    Attributes:
        rows: The rows that were found, by id.
        pages: The number of pages that were requested.
    """

    rows: dict[str, Row]
    pages: int


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """A listing of the API.

    Attributes:
        operation: The call.
        id_field: The field of a row that holds its id.
        read: Checks a row, and returns it as a model.
        is_strict: Whether an invalid row is an error. Otherwise, its invalid fields count as unknown.
        params: The query parameters of each page, without the limit and the token.
        url: The base URL to send the requests to; None for the control plane.
    """

    operation: Operation
    id_field: str
    read: Callable[[Any, Operation], Row]
    is_strict: bool = False
    params: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None

    def rows(self, transport: Transport, warn: Log, *, retry: bool) -> Iterator[Row]:
        """Yield each row once. A row can move to another page while rows are created or deleted.

        An invalid row hides no other one: its invalid fields become unknown or, without a valid id, it is left out.
        ``warn`` is called once with the ids of such rows.
        """
        seen: set[str] = set()
        invalid: list[Any] = []
        without_new_rows = 0
        for page, has_next in self._pages(transport, retry=retry):
            seen_before = len(seen)
            for row in page:
                model = self.read(row, self.operation) if self.is_strict else self._read(row)
                if model is None or model is not row:
                    invalid.append(row)
                if model is not None and row[self.id_field] not in seen:
                    seen.add(row[self.id_field])
                    yield model
            without_new_rows = 0 if len(seen) > seen_before else without_new_rows + 1
            if has_next and without_new_rows >= MAX_PAGES_WITHOUT_NEW_ROWS:
                raise self.operation.invalid_response(
                    f"has a next page after {without_new_rows} pages without a new row"
                )
        warn_of_invalid_rows(warn, self.operation, self.id_field, invalid)

    def _read(self, row: Any) -> Row | None:
        """Return a row as a model: the row itself, a copy without its invalid fields, or None if it has no valid id."""
        for candidate in (row, responses.without_invalid_fields(row)):
            with suppress(PineconeTransientError):
                return self.read(candidate, self.operation)
        return None

    def find(self, transport: Transport, ids: Collection[str], *, max_pages: int) -> Listed[Row]:
        """Search for rows by id, until all are found or so many pages were requested. Failed requests are not repeated.

        Rows of other ids are not checked, and invalid rows count as not found. So a row that is invalid, or that has a
        form which this package does not know, cannot prevent the search for the others.
        """
        rows: dict[str, Row] = {}
        number = 0
        for number, (page, _) in enumerate(self._pages(transport, retry=False), start=1):
            for row in page:
                row_id = row.get(self.id_field) if isinstance(row, dict) else None
                if isinstance(row_id, str) and row_id in ids:
                    try:
                        rows[row_id] = self.read(row, self.operation)
                    except PineconeTransientError:
                        continue
            if len(rows) == len(ids) or number >= max_pages:
                break
        return Listed(rows, number)

    def _pages(self, transport: Transport, *, retry: bool) -> Iterator[tuple[list[Any], bool]]:
        """Yield the rows of each page, and whether there is a next page."""
        params: dict[str, str | int] = {"limit": PAGE_SIZE, **self.params}
        tokens: set[str] = set()
        for _ in range(MAX_PAGES):
            response = transport.request(self.operation, params=params, retry=retry, url=self.url)
            rows, token = responses.page(response, self.operation)
            yield rows, token is not None
            if token is None:
                return
            if token in tokens:
                raise self.operation.invalid_response("repeats a page token")
            tokens.add(token)
            # A token includes the page size. Pinecone rejects a request with both a token and a limit.
            params = {**self.params, "paginationToken": token}
        raise self.operation.invalid_response(f"has a next page after {MAX_PAGES} pages")


def warn_of_invalid_rows(warn: Log, operation: Operation, id_field: str, rows: list[Any]) -> None:
    """Log one warning about the invalid rows of a listing, if there are any."""
    if rows:
        ids = dict.fromkeys(cell(row.get(id_field) if isinstance(row, dict) else row) for row in rows)
        warn(
            explain(
                f"Could not {operation.description} completely: {counted(len(ids), 'row')} with invalid fields.",
                "Invalid fields count as unknown. Without a valid id, the row is left out.",
                ids=f"{id_field}: {', '.join([*ids][:_NAMED_ROWS])}",
            )
        )
