"""What differs between Airflow's versions, and what uses private names of Airflow.

One exception: ``hooks`` masks secrets, because it may not import this folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

Result = TypeVar("Result")


def can_show_pages() -> bool:
    """Return whether plugins can add pages to the UI of this Airflow, and read connections for them in the API server.

    This is so from Airflow 3.1.1 on.
    """
    from airflow import __version__

    try:
        return Version(Version(__version__).base_version) >= Version("3.1.1")
    except InvalidVersion:
        return False


def has_custom_xcom_backend() -> bool:
    """Return whether an XCom backend stores values elsewhere. The UI shows what is in the database as a link."""
    try:
        from airflow.sdk.bases.xcom import BaseXCom
        from airflow.sdk.execution_time.xcom import XCom
    except ImportError:  # Airflow 2, in which this package has no links.
        return False
    return XCom.serialize_value is not BaseXCom.serialize_value


def newest_return_value(dag_id: str, task_id: str) -> tuple[str, Any] | None:
    """Return the id of the run in which a task last pushed its return value, and this value; None without one.

    Only the API server can call this. The value is that in the database: JSON or a text with JSON, or whatever a custom
    XCom backend stores there.
    """
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = (
        select(XComModel.run_id, XComModel.value)
        .where(XComModel.dag_id == dag_id, XComModel.task_id == task_id, XComModel.key == "return_value")
        .order_by(XComModel.timestamp.desc())
        .limit(1)
    )
    with create_session() as session:
        row = session.execute(query).first()
    return None if row is None else (row.run_id, row.value)


async def call_airflow(function: Callable[[], Result]) -> Result:
    """Call a function that talks to Airflow, such as one that reads a connection, from the event loop of a trigger.

    The function runs in a thread that forwards its calls to the event loop. With ``asyncio.to_thread``, the thread
    would read the same socket as the event loop, which stops the triggerer of Airflow 3.0 to 3.2.1
    (https://github.com/apache/airflow/issues/67380). ``asyncio.shield`` preserves the message of a cancellation, from
    which Airflow recognizes that a user killed the task.
    """
    from asgiref.sync import sync_to_async

    return await asyncio.shield(sync_to_async(function, thread_sensitive=False)())


def task_state(ti: Any) -> str | None:
    """Return the state of a task instance of a context or a trigger as Airflow stores it now, such as ``failed``.

    Airflow can raise any exception.
    """
    if hasattr(ti, "current_state"):  # Airflow 2
        return cast("str | None", ti.current_state())
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    map_index = -1 if ti.map_index is None else ti.map_index
    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=map_index
    )
    # For a mapped task instance, Airflow appends the map index to the task id.
    return cast("str | None", states[ti.run_id][ti.task_id if map_index < 0 else f"{ti.task_id}_{map_index}"])


def task_states(context: Context, task_ids: list[str]) -> dict[str, str | None]:
    """Return the states of tasks of this run that are not mapped, as Airflow stores them now.

    Airflow can raise any exception.
    """
    ti: Any = context["ti"]
    if hasattr(ti, "current_state"):  # Airflow 2
        run: Any = context["dag_run"]
        return {each.task_id: each.state for each in run.get_task_instances() if each.task_id in task_ids}
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(dag_id=ti.dag_id, task_ids=task_ids, run_ids=[ti.run_id])
    return {task_id: states.get(ti.run_id, {}).get(task_id) for task_id in task_ids}


def storage_path(path: Any) -> Any:
    """Return Airflow's ObjectStoragePath for a URL, or for such a path."""
    try:
        from airflow.sdk import ObjectStoragePath
    except ImportError:  # Airflow 2
        from airflow.io.path import ObjectStoragePath  # type: ignore[import-not-found, no-redef]
    return path if isinstance(path, ObjectStoragePath) else ObjectStoragePath(str(path))


def connection_of(path: Any) -> str | None:
    """Return the id of the connection of an ObjectStoragePath; None if it has none."""
    # Before Airflow 3.2, it is one of the options.
    options: Any = getattr(path, "storage_options", None) or {}
    conn_id = getattr(path, "conn_id", None) or options.get("conn_id")
    return str(conn_id) if conn_id else None


def is_fail_fast(task: Any) -> bool:
    """Return whether a task is in a DAG with ``fail_fast`` (``fail_stop`` in Airflow 2). False if it has no DAG yet."""
    dag = task.dag if task.has_dag() else None
    return bool(getattr(dag, "fail_fast", False) or getattr(dag, "fail_stop", False))


def is_asset_ref(outlet: Any) -> bool:
    """Return whether an outlet is a reference to an asset (``Asset.ref``), which Airflow 2 does not have."""
    try:
        from airflow.sdk.definitions.asset import AssetRef
    except ImportError:
        return False
    return isinstance(outlet, AssetRef)


def first_reschedule_at(context: Context, first_try: int) -> datetime | None:
    """Return when a sensor in reschedule mode poked for the first time since it was last cleared; None if it has not.

    ``first_try`` is the number of its first try since then.
    """
    ti: Any = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):
        return cast("datetime | None", ti.get_first_reschedule_date(context))
    from airflow.sensors.base import _orig_start_date  # Airflow 2

    return cast(
        "datetime | None",
        _orig_start_date(
            dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index, try_number=first_try
        ),
    )


def is_trigger_timeout(next_method: str, next_kwargs: dict[str, Any] | None) -> bool:
    """Return whether Airflow resumes a task because its trigger timed out."""
    return next_method == "__fail__" and (next_kwargs or {}).get("error") == "Trigger timeout"


def trigger_at(moment: datetime) -> BaseTrigger:
    """Return Airflow's own trigger that ends at a time."""
    try:
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger
    except ImportError:  # Airflow 2 has it, too, and the standard provider may not be installed.
        from airflow.triggers.temporal import DateTimeTrigger  # type: ignore[import-not-found, no-redef]
    return DateTimeTrigger(moment)


class ChangingPokeInterval:
    """A mixin for sensors that decide after each poke when to poke again.

    Attributes:
        next_poke_in: Seconds until the next poke.
    """

    next_poke_in: float

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        """Return the seconds until the next poke; the loop of BaseSensorOperator calls this."""
        return self.next_poke_in
