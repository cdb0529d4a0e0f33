"""The sensors that wait for one backup, or for one restore."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_pinecone import identity, polling
from airflow_pinecone.errors import PineconeError, WaitTimeout

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_pinecone.models import Kind


class _WaitSensor(BaseSensorOperator):
    """What the sensors share that wait for one thing until it is done."""

    ui_color = "#e3f0ff"
    _kind: Kind

    def __init__(
        self,
        *,
        conn_id: str,
        deferrable: bool,
        poke_interval: float | timedelta | None,
        timeout: float | timedelta,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("exponential_backoff"):
            raise ValueError("exponential_backoff is not for this sensor: without a poke_interval it paces itself")
        pace = None if poke_interval is None else polling.seconds(poke_interval, "poke_interval")
        super().__init__(
            poke_interval=polling.MAX_PAUSE if pace is None else pace,
            timeout=polling.seconds(timeout, "timeout"),
            **kwargs,
        )
        self.conn_id = conn_id
        self.deferrable = deferrable
        self._pace = pace
        self._pause = polling.MAX_PAUSE
        self._waiting: tuple[polling.Wait, Callable[[], polling.Model], Callable[[], float]] | None = None

    @property
    def _ident(self) -> str:
        raise AssertionError("each sensor says what it waits for")

    def execute(self, context: Context) -> Any:
        """Wait.

        Args:
            context: The task's context.

        Returns:
            What was waited for, done.

        Raises:
            AirflowFailException: It failed or vanished, or Pinecone refused; not retried.
            AirflowSensorTimeout: It was not done in time; not retried.
            AirflowSkipException: The same under ``soft_fail``.
            PineconeUnreachable: Too many polls in a row got no good answer.
        """
        with self._ends():
            if not self.deferrable:
                return super().execute(context)
            wait, step = self._step(context)
            if isinstance(step, polling.Pause):
                from airflow_pinecone.triggers import defer

                defer(self, self.conn_id, wait)
            return polling.conclude(step)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Ask once.

        Args:
            context: The task's context.

        Returns:
            What is waited for when it is done, else False.

        Raises:
            PineconeError: The wait is over: it failed or vanished, Pinecone refused or is unreachable, or the deadline
                came.
        """
        step = self._step(context)[1]
        if not isinstance(step, polling.Pause):
            return PokeReturnValue(is_done=True, xcom_value=polling.conclude(step))
        if step.news:
            self.log.info(step.news)
        self._pause = step.seconds
        return False

    def execute_complete(self, context: Context, event: polling.Event) -> Any:
        """Go on after the triggerer waited.

        Args:
            context: The task's context.
            event: How the wait ended.

        Returns:
            What was waited for, done.

        Raises:
            PineconeError: As ``poke`` says.
        """
        return polling.conclude(event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral; Airflow calls this.

        Args:
            next_method: The method to go on with, or Airflow's word for a trigger that failed.
            next_kwargs: What the method is given.
            context: The task's context.

        Returns:
            What the method returns.

        Raises:
            AirflowException: As ``execute`` says.
        """
        with self._ends():
            if next_method == "__fail__" and (next_kwargs or {}).get("error") == "Trigger timeout":
                raise AirflowSensorTimeout(
                    f"The triggerer did not say in time what became of {self._kind} {self._ident}"
                )
            # BaseSensorOperator's own would turn every AirflowException into a skip under soft_fail.
            return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        """Return the pause that the last poke decided; Airflow's loop asks for it."""
        return self._pause

    def _step(self, context: Context) -> tuple[polling.Wait, polling.Event | polling.Pause]:
        if self._waiting is None:
            from airflow_pinecone.hooks import PineconeHook

            started = self._first_poke(context)
            wait = polling.Wait(
                self._ident,
                self._kind,
                started=started,
                deadline=polling.deadline(started, self.timeout, self.execution_timeout),
                poke_interval=self._pace,
                rescheduled=self.reschedule and not self.deferrable,
            )
            # One hook for all the pokes of this process: they share a connection.
            hook = PineconeHook(self.conn_id)
            self._waiting = wait, hook.poll(self._kind, self._ident), polling.steady()
        wait, ask, now = self._waiting
        return wait, wait.step(polling.attempt(ask), now())

    def _first_poke(self, context: Context) -> float:
        """Say when the wait began: a rescheduled sensor is a new process at each poke."""
        if not self.reschedule or self.deferrable:
            return time.time()
        ti = context["ti"]
        if hasattr(ti, "get_first_reschedule_date"):
            first = ti.get_first_reschedule_date(context)
        else:  # Airflow 2
            from airflow.sensors.base import _orig_start_date

            made_by = identity.origin(context, self.retries)
            first = _orig_start_date(
                dag_id=ti.dag_id,
                task_id=ti.task_id,
                run_id=ti.run_id,
                map_index=ti.map_index,
                try_number=made_by.first_try,
            )
        return first.timestamp() if first else time.time()

    @contextmanager
    def _ends(self) -> Iterator[None]:
        """Show each end of a wait in Airflow as the class says, in whatever mode it came about."""
        try:
            yield
        except (WaitTimeout, AirflowSensorTimeout, AirflowTaskTimeout) as error:
            message = str(error)
            if isinstance(error, AirflowTaskTimeout):
                message = f"execution_timeout came while {self._kind} {self._ident} was not done; it stays in Pinecone"
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(message) from error
            raise AirflowSensorTimeout(message) from error
        except PineconeError as error:
            if self.never_fail:
                raise AirflowSkipException(str(error)) from error
            if error.can_retry:
                raise
            raise AirflowFailException(str(error)) from error


class BackupSensor(_WaitSensor):
    """Wait until a backup is Ready, and return it to XCom.

    A failed or vanished backup and a refused request end in red at once, under ``soft_fail`` too: a skipped sensor
    would let a reindex run without its backup. A timeout raises AirflowSensorTimeout, and skips under ``soft_fail``.
    It is so in every mode: poke, reschedule and deferred.

    Args:
        backup_id: The backup's id (templated), such as ``backup.output["backup_id"]``.
        conn_id: The Airflow connection with the API key (templated).
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        poke_interval: Seconds between two polls, or a timedelta; None lets the pause grow with the wait, from 5 to
            60 seconds. In reschedule mode it is 60 seconds at least.
        timeout: Seconds that the wait may last, or a timedelta; 6 hours by default. An ``execution_timeout`` that
            is shorter counts instead.
        kwargs: As of BaseSensorOperator (``mode``, ``soft_fail``, ...), without ``exponential_backoff``.

    Raises:
        ValueError: ``exponential_backoff`` is given, or a duration is not above 0.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_backup
    """

    template_fields: Sequence[str] = ("backup_id", "conn_id")
    _kind = "backup"

    def __init__(
        self,
        *,
        backup_id: str,
        conn_id: str = "pinecone_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = polling.DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        """Store the arguments."""
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.backup_id = backup_id

    @property
    def _ident(self) -> str:
        return self.backup_id


class RestoreJobSensor(_WaitSensor):
    """Wait until a restore job is Completed and its index is ready, and return the restore to XCom.

    A failed, cancelled or vanished job and a refused request end in red at once, under ``soft_fail`` too. A timeout
    raises AirflowSensorTimeout, and skips under ``soft_fail``.
    It is so in every mode: poke, reschedule and deferred.

    Args:
        restore_job_id: The job's id (templated), such as ``restore.output["restore_job_id"]``.
        conn_id: The Airflow connection with the API key (templated).
        deferrable: Whether to wait in the triggerer, without a worker slot. The default is Airflow's
            ``[operators] default_deferrable``.
        poke_interval: Seconds between two polls, or a timedelta; None lets the pause grow with the wait, from 5 to
            60 seconds. In reschedule mode it is 60 seconds at least.
        timeout: Seconds that the wait may last, or a timedelta; 6 hours by default. An ``execution_timeout`` that
            is shorter counts instead.
        kwargs: As of BaseSensorOperator (``mode``, ``soft_fail``, ...), without ``exponential_backoff``.

    Raises:
        ValueError: ``exponential_backoff`` is given, or a duration is not above 0.

    Reference: https://docs.pinecone.io/reference/api/2025-10/control-plane/describe_restore_job
    """

    template_fields: Sequence[str] = ("restore_job_id", "conn_id")
    _kind = "restore"

    def __init__(
        self,
        *,
        restore_job_id: str,
        conn_id: str = "pinecone_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float | timedelta | None = None,
        timeout: float | timedelta = polling.DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        """Store the arguments."""
        super().__init__(conn_id=conn_id, deferrable=deferrable, poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.restore_job_id = restore_job_id

    @property
    def _ident(self) -> str:
        return self.restore_job_id
