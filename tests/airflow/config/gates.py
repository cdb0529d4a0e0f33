"""Places in a task's process where a test can stop it for good, and a time of day that a test can set.

Airflow's processes find this module in the config folder of their home; the tests talk to it by files in the home.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from airflow.sdk.bases.xcom import BaseXCom

FOLDER = Path(os.environ["AIRFLOW_HOME"]) / "gates"
CLOCK = FOLDER / "clock"


def stop_at(run_id: str, point: str) -> None:
    """Stop here until a signal ends or frees the process, if the test wants the run's next one to."""
    armed = FOLDER / f"{run_id}.{point}"
    try:
        armed.rename(f"{armed}.reached")
    except FileNotFoundError:
        return
    signal.pause()


def begin(context: Any) -> None:
    """Be at the gate ``begin``: a task's ``pre_execute``, also when it goes on after a deferral."""
    follow_clock()
    stop_at(context["ti"].run_id, "begin")


def follow_clock() -> None:
    """Let this process's time of day be as far off as the test says, from one call to the next."""
    real = time.time

    def told() -> float:
        try:
            return real() + float(CLOCK.read_text())
        except FileNotFoundError:
            return real()

    time.time = told


class GatedXCom(BaseXCom):
    """Airflow's own XComs; each push is a gate of the key's name."""

    @classmethod
    def set(cls, key: str, value: Any, **more: Any) -> None:
        """Push, unless the process is stopped before."""
        stop_at(more["run_id"], key)
        super().set(key, value, **more)
