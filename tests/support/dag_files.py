"""Load DAG files without a database."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path
from typing import Any

import pytest

# The examples import airflow.sdk, which Airflow 2 does not have.
needs_airflow_3 = pytest.mark.skipif(
    importlib.util.find_spec("airflow.sdk") is None, reason="the examples need Airflow 3"
)
# Airflow 3.0 has no tasks that wait for a person's approval.
needs_approvals = pytest.mark.skipif(
    importlib.util.find_spec("airflow.sdk.execution_time.hitl") is None
    if importlib.util.find_spec("airflow.sdk")
    else True,
    reason="approvals need Airflow 3.1",
)


# Airflow before 3.2 has no deadlines.
needs_deadlines = pytest.mark.skipif(
    importlib.util.find_spec("airflow.sdk.definitions.deadline") is None
    if importlib.util.find_spec("airflow.sdk")
    else True,
    reason="deadlines need Airflow 3.2",
)


def has_past_start_date(dag: Any) -> bool:
    """Return whether a DAG, or one of its tasks, has a start date.

    With one in the past, Airflow starts a run for the latest past time of the schedule when the DAG is unpaused.
    """
    return any(node.start_date is not None for node in (dag, *dag.tasks))


def dags_of(path: Path) -> dict[str, Any]:
    """Run a DAG file and return its DAGs by id."""
    from airflow.sdk import DAG

    found: dict[str, Any] = {}
    original: Any = DAG.__exit__

    def record(dag: Any, *error: Any) -> Any:
        found[dag.dag_id] = dag
        return original(dag, *error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DAG, "__exit__", record)
        # As in Airflow, a DAG file can import modules from its folder.
        patch.syspath_prepend(str(path.parent))
        runpy.run_path(str(path))
    return found
