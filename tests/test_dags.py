"""The example DAGs load, do what the README says, and are the README's own."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from running import AIRFLOW_2

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "dags").glob("*.py"))

if not AIRFLOW_2:  # The examples are written for Airflow 3.

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
    def test_an_example_is_a_dag_named_like_its_file(path: Path) -> None:
        assert list(dags_of(path)) == [path.stem]

    def test_the_reindex_runs_only_after_the_backup_is_ready() -> None:
        dag = dags_of(ROOT / "dags" / "reindex_with_backup.py")["reindex_with_backup"]
        backup, reindex = dag.get_task("backup"), dag.get_task("reindex")
        assert backup.wait_for_completion
        assert "backup" in reindex.upstream_task_ids
        assert reindex.trigger_rule == "all_success"

    def test_the_fleet_prunes_nothing_behind_an_empty_backup() -> None:
        """A second empty backup is as large as the first: only the lower bound can tell."""
        dag = dags_of(ROOT / "dags" / "backup_fleet.py")["backup_fleet"]
        verify, prune = dag.get_task("protect.verify"), dag.get_task("protect.prune")
        assert verify.min_records is None
        assert prune.upstream_task_ids >= {"protect.verify"}
        assert prune.trigger_rule == "all_success"


def test_the_readme_shows_an_example_as_it_stands() -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    example = (ROOT / "dags" / "backup_index.py").read_text()
    assert shown == example
    assert len(shown.splitlines()) <= 15


def dags_of(path: Path) -> dict[str, Any]:
    """Run a DAG file, and return its DAGs by id."""
    from airflow.sdk import DAG

    found: dict[str, Any] = {}
    real = DAG.__exit__

    def leave(dag: Any, *exc: Any) -> Any:
        found[dag.dag_id] = dag
        return real(dag, *exc)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DAG, "__exit__", leave)
        runpy.run_path(str(path))
    return found
