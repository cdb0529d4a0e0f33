"""Sort records on the disk. Copies that another program wrote need not be in the order of the ids."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from airflow_pinecone.api.record import Record, SparseValues

_ROWS = 1000


class SortedIds:
    """The ids of a namespace, in a file. ``sorted_ids`` opens it."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(self, ids: Iterable[str]) -> str | None:
        """Add ids, and return the first one that was added before; None if there is none."""
        for record_id in ids:
            if not self._database.execute("INSERT OR IGNORE INTO ids VALUES (?)", (record_id,)).rowcount:
                return record_id
        return None


@contextmanager
def sorted_ids(folder: Path) -> Iterator[SortedIds]:
    """Yield an empty set of ids, whose file is in a local folder."""
    with _database(folder / "ids.sqlite", "CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID") as database:
        yield SortedIds(database)


def sort_records(folder: Path, batches: Iterable[list[Record]]) -> Iterator[list[Record]]:
    """Yield records by id in ascending order. They are in a file in a local folder meanwhile, not in memory."""
    columns = "id TEXT PRIMARY KEY, dense BLOB, indices BLOB, weights BLOB, metadata TEXT"
    with _database(folder / "records.sqlite", f"CREATE TABLE records ({columns})") as database:
        for batch in batches:
            database.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?)", map(_row, batch))
        # SQLite compares the bytes of UTF-8, which have the order of Python's strings.
        cursor = database.execute("SELECT * FROM records ORDER BY id")
        while rows := cursor.fetchmany(_ROWS):
            yield [_record(*row) for row in rows]


@contextmanager
def _database(file: Path, table: str) -> Iterator[sqlite3.Connection]:
    # A generator can be closed in another thread. The file is deleted at the end, so it needs no transactions.
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(table)
        database.execute("BEGIN")
        yield database
    file.unlink()


def _row(record: Record) -> tuple[str, bytes, bytes | None, bytes | None, str]:
    sparse = record.sparse_values
    return (
        record.id,
        record.values.tobytes(),
        None if sparse is None else sparse.indices.tobytes(),
        None if sparse is None else sparse.values.tobytes(),
        json.dumps(record.metadata),
    )


def _record(record_id: str, dense: bytes, indices: bytes | None, weights: bytes | None, metadata: str) -> Record:
    sparse = None
    if indices is not None and weights is not None:
        sparse = SparseValues(np.frombuffer(indices, np.uint32), np.frombuffer(weights, np.float32))
    return Record(record_id, np.frombuffer(dense, np.float32), sparse, json.loads(metadata))
