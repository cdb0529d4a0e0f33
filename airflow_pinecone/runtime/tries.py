"""The state of a try: what an operator knows from ``execute`` to its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_pinecone.rules.identity import Origin
from airflow_pinecone.waiting.intervals import deadline_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


def first_try_of(context: Context, retries: int | None) -> int:
    """Return the number of the first try since the task was last cleared."""
    # Wrong if the scheduler has another value of retries, for example by [core] default_task_retries.
    return int(context["ti"].max_tries) - (retries or 0) + 1


@dataclass
class Try:
    """One try of a task.

    Attributes:
        context: Airflow's context of the task.
        origin: The tries with which this one shares its backup or restore.
        started_at: When the try started, in seconds since the epoch.
        settled_seconds: How long after its start the wait of ``settle`` ended. The timeout starts then.
        failed_ids: The failed backups or restore jobs of earlier tries.
        resource_id: The id of the backup or restore job that it has created or found.
        is_reused: Whether ``reuse_within`` has chosen that backup.
        result: The backup or the restore, once the task has completed.
    """

    context: Context
    origin: Origin
    started_at: float
    settled_seconds: float = 0.0
    failed_ids: list[str] = field(default_factory=list)
    resource_id: str | None = None
    is_reused: bool = False
    result: Any = None

    @property
    def number(self) -> int:
        """The number of the try, from 1. It continues to count after a clear."""
        # ``airflow tasks test`` runs a task that has not been scheduled: its number is 0.
        return max(1, int(self.context["ti"].try_number))

    @property
    def has_next(self) -> bool:
        """Whether Airflow retries the task by itself if this try fails. If not, a user can only clear it."""
        return self.number <= int(self.context["ti"].max_tries)

    @property
    def run_started_at(self) -> datetime | None:
        """When the run started, in UTC; None if Airflow does not say. A clear of a finished run starts it again."""
        text = self.origin.run_started_at
        return datetime.fromisoformat(text) if text else None

    @property
    def nothing_before(self) -> datetime | None:
        """Before this time, in UTC, no try of the origin can have created anything; None if that is unknown."""
        return datetime.fromtimestamp(self.started_at, UTC) if self.number == 1 else self.run_started_at

    def is_first_since_clear(self, retries: int | None) -> bool:
        """Return whether this is the first try since the task was last cleared."""
        return self.number == first_try_of(self.context, retries)

    def deadline_at(self, timeout: float, execution_timeout: timedelta | None) -> float:
        """Return when the wait ends, in seconds since the epoch."""
        return deadline_of(self.started_at, self.settled_seconds + timeout, execution_timeout)


def start_try(context: Context, started_at: float) -> Try:
    """Return the state of a try that starts."""
    ti = context["ti"]
    run_started = context["dag_run"].start_date
    origin = Origin(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        run_started_at=run_started.astimezone(UTC).isoformat() if run_started else "",
        # The scheduler sets it, so it does not depend on the retries of the DAG file that the worker has parsed.
        max_tries=ti.max_tries,
    )
    return Try(context, origin, started_at)
