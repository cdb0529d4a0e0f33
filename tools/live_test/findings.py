"""What was assumed and what was seen: the table, and the file for an issue. Nothing in them identifies an account."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from airflow_pinecone.common.text import one_line, text_table, truncate

SAME, DIFFERENT, NOTED, NOT_CHECKED = "yes", "NO", "-", "not checked"
_CELL = 50
_HOSTS = {"host", "private_host"}
_SHORTEST_ID = 8
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_HOST = re.compile(r"(?!api\.pinecone\.io\b)(?<![\w.-])[\w-]+(?:\.[\w-]+)*\.pinecone\.io")
# Messages can name a project, as in: the max serverless indexes allowed in project (name).
_NAMED = re.compile(r"\b(project|organization)(:? )([\"'(])[^\"')]{1,100}([\"')])", re.IGNORECASE)


class Mask:
    """Replaces what identifies an account."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def add(self, value: object, placeholder: str) -> None:
        """Replace this value from now on."""
        if isinstance(value, str) and value:
            self._values.setdefault(value, placeholder)

    def add_ids(self, body: Any) -> None:
        """Replace the ids and hosts of a response from now on."""
        values = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
        for value in values:
            self.add_ids(value)
        for field in body if isinstance(body, dict) else ():
            # A short text could be a part of a word.
            if (field.endswith("_id") or field in _HOSTS) and len(str(body[field])) >= _SHORTEST_ID:
                self.add(body[field], f"<{field}>")

    def hide(self, value: object) -> str:
        """Return a value as one line, without what identifies an account."""
        text = "null" if value is None else str(value)
        for secret in sorted(self._values, key=len, reverse=True):
            text = text.replace(secret, self._values[secret])
        text = _HOST.sub("<host>", _EMAIL.sub("<email>", _UUID.sub("<id>", text)))
        return one_line(_NAMED.sub(r"\1\2\3<name>\4", text))


@dataclass(frozen=True)
class Finding:
    """A row of the table.

    Attributes:
        version: The API version of the requests.
        name: The assumption.
        assumed: What this package and the emulator assume; empty for a fact that they do not use.
        seen: What was seen.
        same: ``yes``, ``NO``, ``-`` for a fact without an assumption, or ``not checked``.
    """

    version: str
    name: str
    assumed: str
    seen: str
    same: str


class Findings:
    """The rows of all versions.

    Attributes:
        mask: What is replaced in each row.
        rows: The rows so far.
    """

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.rows: list[Finding] = []

    def add(self, version: str, name: str, assumed: object, seen: object, same: str) -> None:
        """Add a row."""
        self.rows.append(Finding(version, name, self.mask.hide(assumed), self.mask.hide(seen), same))

    def count(self, same: str) -> int:
        """Return the number of rows with this result."""
        return sum(row.same == same for row in self.rows)

    @property
    def exit_status(self) -> int:
        """0 if all is as assumed, 1 if something differs, 2 if only something could not be checked."""
        if self.count(DIFFERENT):
            return 1
        return 2 if self.count(NOT_CHECKED) or not self.count(SAME) else 0

    def table(self) -> str:
        """Return the rows as a table, and a summary."""
        header = ["version", "assumption", "assumed", "seen", "same?"]
        cells = [[r.version, r.name, truncate(r.assumed, _CELL), truncate(r.seen, _CELL), r.same] for r in self.rows]
        summary = (
            f"{self.count(SAME)} as assumed, {self.count(DIFFERENT)} different, {self.count(NOT_CHECKED)} not checked"
        )
        return f"{text_table([header, *cells])}\n\n{summary}."

    def to_json(self, left: Iterable[str], **facts: str) -> dict[str, Any]:
        """Return what a user can attach to an issue.

        Args:
            left: What could not be deleted.
            **facts: About the run.
        """
        return {
            **facts,
            "findings": [asdict(row) for row in self.rows],
            "not_deleted": [self.mask.hide(what) for what in left],
        }
