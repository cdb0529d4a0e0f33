"""Write the records of a copy to an index, and prove that the index has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from airflow_pinecone.api.models import dimension_of
from airflow_pinecone.api.record import Position, Record, RecordBatch
from airflow_pinecone.api.record_bodies import DEFAULT_NAMESPACE
from airflow_pinecone.common.clock import Clock
from airflow_pinecone.copying.read import CopyReader
from airflow_pinecone.errors import Conflict, CopyFailed, CreateOutcomeUnknown
from airflow_pinecone.rules.copy_format import CopyNamespace, CopyPart
from airflow_pinecone.rules.copy_proof import NamespaceProof, is_proved
from airflow_pinecone.rules.digests import NamespaceDigest
from airflow_pinecone.rules.record_check import RecordCheck, merge
from airflow_pinecone.waiting.intervals import poll_interval

if TYPE_CHECKING:
    from airflow_pinecone.api.record_writes import IndexWriter
    from airflow_pinecone.api.records import IndexRecords

OnRecords = Callable[[int], None]
# The digest of no record.
_EMPTY = str(NamespaceDigest())


def create_with_schema(writer: IndexWriter, namespace: CopyNamespace) -> None:
    """Create a namespace with its schema, unless it exists. Its schema cannot be changed later.

    Args:
        writer: The writer of the index.
        namespace: The namespace of the copy.
    """
    name, schema = namespace["name"], namespace["schema"]
    if not schema or name == DEFAULT_NAMESPACE:
        return
    try:
        writer.create_namespace(name, schema)
    except Conflict:
        return
    except CreateOutcomeUnknown:
        # Either it exists now, or the second request creates it.
        try:
            writer.create_namespace(name, schema)
        except Conflict:
            return


def upsert_part(
    copy: CopyReader, part: CopyPart, writer: IndexWriter, records: IndexRecords | None, on_records: OnRecords
) -> int:
    """Upsert the records of one part. Each record can be upserted again.

    Args:
        copy: The copy.
        part: The part.
        writer: The writer of the index.
        records: The reader of the index, to leave out the records whose ids it has; None upserts all.
        on_records: Called with the number of records of each batch.

    Returns:
        The number of records that were upserted.

    Raises:
        CopyInvalid: The file of the part is missing or damaged.
        CopyFailed: The file has another number of records than the manifest says, or the store failed.
    """
    read = 0

    def batches() -> Generator[list[Record]]:
        nonlocal read
        for batch in copy.records_of(part):
            read += len(batch)
            on_records(len(batch))
            yield batch

    with closing(batches()) as rows:
        absent = rows if records is None else _absent(rows, records, part["namespace"])
        with closing(absent):
            written = writer.write(part["namespace"], absent)
    if read != part["records"]:
        raise CopyFailed(f"File {part['file']} has {read:,} records, and the manifest says {part['records']:,}.")
    return written


def _absent(batches: Iterator[list[Record]], records: IndexRecords, namespace: str) -> Generator[list[Record]]:
    """Yield the records whose ids an index does not have. A few batches are in memory."""
    waiting: deque[Record] = deque()

    def ids() -> Iterator[str]:
        for batch in batches:
            for record in batch:
                waiting.append(record)
                yield record.id

    with closing(records.fetch_ids(namespace, ids())) as found:  # type: ignore[type-var]
        for batch in found:
            missing = set(batch.missing)
            rows = [waiting.popleft() for _ in range(len(batch.records) + len(missing))]
            if absent := [row for row in rows if row.id in missing]:
                yield absent


class NamespaceProver:
    """Prove that an index has the records of a copy, and upsert those that are missing.

    First, the records of the index are read, and their digest is compared. Only if it differs, the records of the copy
    are read, too, and compared one by one. A few batches of each are in memory.

    Args:
        copy: The copy.
        records: The reader of the index.
        writer: The writer of the index.
        into_existing: Whether the index may have had records.
        clock: The clock.
        settle_seconds: How long to wait until the upserted records are visible.
        on_records: Called with the number of records of each batch that was read.
    """

    def __init__(
        self,
        copy: CopyReader,
        records: IndexRecords,
        writer: IndexWriter,
        *,
        into_existing: bool,
        clock: Clock,
        settle_seconds: float,
        on_records: OnRecords,
    ) -> None:
        self._copy = copy
        self._records = records
        self._writer = writer
        self._into_existing = into_existing
        self._clock = clock
        self._settle_seconds = settle_seconds
        self._on_records = on_records
        self._dimension = 0 if copy.manifest["columns"] == "sparse" else dimension_of(records.index)
        self._namespaces = {row["name"]: row for row in copy.manifest["namespaces"]}

    def prove(self, namespace: str) -> NamespaceProof:
        """Prove one namespace, which the copy need not have. After missing records were upserted, it is proved again.

        Args:
            namespace: The name of the namespace.

        Raises:
            CopyInvalid: A file of the copy is missing or damaged.
        """
        if not self._into_existing:
            proof = self._proof(namespace, self._read(namespace), 0)
            if is_proved(proof, into_existing=False):
                return proof
        check, repaired = self._compare(namespace, repair=True)
        proof = self._proof(namespace, check, repaired)
        findings = {row["kind"] for row in proof["findings"]}
        if is_proved(proof, into_existing=self._into_existing) or (
            not self._into_existing and findings - {"missing"} and not repaired
        ):
            return proof
        self._wait_for(namespace, check.digest.count + repaired)
        if not self._into_existing:
            again = self._proof(namespace, self._read(namespace), repaired)
            if is_proved(again, into_existing=False):
                return again
        check, _ = self._compare(namespace, repair=False)
        return self._proof(namespace, check, repaired)

    def _proof(self, namespace: str, check: RecordCheck, repaired: int) -> NamespaceProof:
        expected = self._namespaces.get(namespace)
        return NamespaceProof(
            namespace=namespace,
            expected=expected["records"] if expected else 0,
            records=check.digest.count,
            expected_digest=expected["digest"] if expected else _EMPTY,
            digest=str(check.digest),
            repaired=repaired,
            findings=list(check.findings.values()),
        )

    def _read(self, namespace: str) -> RecordCheck:
        """Read the records of the index."""
        check = RecordCheck(namespace, self._dimension)
        with closing(self._batches(namespace, check)) as batches:
            for _ in batches:
                pass
        return check

    def _batches(self, namespace: str, check: RecordCheck) -> Generator[RecordBatch]:
        with closing(self._records.read(namespace)) as batches:  # type: ignore[type-var]
            for batch in batches:
                check.add(batch.records)
                check.add_unreadable(batch.missing)
                self._on_records(len(batch.records))
                yield batch

    def _compare(self, namespace: str, *, repair: bool) -> tuple[RecordCheck, int]:
        """Compare the records of the index with those of the copy, and upsert the missing ones, if requested."""
        check = RecordCheck(namespace, self._dimension)

        def missing() -> Generator[list[Record]]:
            # Their ids have already been listed, so the records that are upserted are not read.
            with closing(self._batches(namespace, check)) as batches, closing(self._copied(namespace)) as copied:
                for pair in merge(batches, copied):
                    check.compare(pair)
                    if pair.record is None and isinstance(pair.reference, Record):
                        yield [pair.reference]

        with closing(missing()) as rows:
            if repair and namespace in self._namespaces:
                return check, self._writer.write(namespace, rows)
            for _ in rows:
                pass
        return check, 0

    def _copied(self, namespace: str) -> Generator[RecordBatch]:
        if namespace in self._namespaces:
            for batch in self._copy.records(namespace):
                yield RecordBatch(batch, [], len(batch), Position(""))

    def _wait_for(self, namespace: str, count: int) -> None:
        """Wait until the index reports so many records of a namespace, or until it takes too long."""
        start = self._clock.monotonic()
        has_all = partial(self._has_all, namespace, count)
        while not has_all():
            waited = self._clock.monotonic() - start
            if waited >= self._settle_seconds:
                return
            self._clock.sleep(min(poll_interval(waited, None), self._settle_seconds - waited))

    def _has_all(self, namespace: str, count: int) -> bool:
        stats, listed = self._records.stats(), self._records.namespaces()
        return min(stats.get(namespace, 0), listed.get(namespace, 0)) >= count
