"""Points at which a test can stop a task's process, and an offset by which a test can change the time of day.

Airflow's processes find this module in the config folder of their home. The tests control it through files in the home.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from airflow.sdk.bases.xcom import BaseXCom

FOLDER = Path(os.environ["AIRFLOW_HOME"]) / "stop_points"
CLOCK_OFFSET = FOLDER / "clock_offset"


def stop_at(run_id: str, point: str) -> None:
    """Stop this process until it receives a signal, if the test asked to stop the run's next process at this point."""
    requested = FOLDER / f"{run_id}.{point}"
    try:
        requested.rename(f"{requested}.reached")
    except FileNotFoundError:
        return
    signal.pause()


def before_execute(context: Any) -> None:
    """Reach the stop point ``execute``: a task's ``pre_execute``, which also runs when the task resumes."""
    apply_clock_offset()
    stop_at(context["ti"].run_id, "execute")


def apply_clock_offset() -> None:
    """Add the offset that the test sets to this process's time of day, at each call of ``time.time``."""
    real_time = time.time

    def time_with_offset() -> float:
        try:
            return real_time() + float(CLOCK_OFFSET.read_text())
        except FileNotFoundError:
            return real_time()

    time.time = time_with_offset


class StoppableXCom(BaseXCom):
    """Airflow's XCom backend, with a stop point before each push. The point has the name of the key."""

    @classmethod
    def set(cls, key: str, value: Any, **kwargs: Any) -> None:
        """Push a value, unless the process is stopped before."""
        stop_at(kwargs["run_id"], key)
        super().set(key, value, **kwargs)
