"""Log the progress of a task that reads records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from airflow_pinecone.common.clock import Clock

if TYPE_CHECKING:
    from airflow_pinecone.api.index_calls import IndexCalls

# Seconds between two messages about the progress.
_PROGRESS_SECONDS = 60.0


class Progress:
    """Log the progress of a task every minute.

    Args:
        readers: The readers and writers of the records; none if they do not call Pinecone.
        clock: The clock.
        log: Logs a message with arguments.
        total: The number of records to read; None if it is unknown.

    Attributes:
        records: The number of records that were read so far.
    """

    def __init__(
        self, readers: Sequence[IndexCalls], clock: Clock, log: Callable[..., object], *, total: int | None = None
    ) -> None:
        self.records = 0
        self._left = total
        self._readers = readers
        self._clock = clock
        self._log = log
        self._started = self._logged = clock.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic() - self._started

    @property
    def usage(self) -> dict[str, int]:
        """What the requests have cost so far."""
        usages = [vars(reader.usage) for reader in self._readers]
        return {name: sum(usage[name] for usage in usages) for name in ("requests", "read_units", "response_bytes")}

    def add(self, records: int) -> None:
        """Add records, and log the progress if a minute has passed."""
        self.records += records
        self.skip(records)
        now = self._clock.monotonic()
        if now - self._logged >= _PROGRESS_SECONDS:
            self._logged = now
            rate = self.records / max(self.seconds, 1.0)
            self._log(
                "%s records, %s records/s%s so far.%s",
                f"{self.records:,}",
                f"{rate:,.0f}",
                f", {self.usage['read_units']:,} read units" if self._readers else "",
                "" if self._left is None else f" {self._left:,} records are left.",
            )

    def skip(self, records: int) -> None:
        """Count records that need not be read."""
        if self._left is not None:
            self._left -= records
