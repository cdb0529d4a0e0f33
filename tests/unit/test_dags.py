"""The example DAGs load, describe themselves in the UI, and do what the documentation says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support.dag_files import dags_of, needs_airflow_3, needs_approvals

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "dags").glob("*.py"))

# The Airflow that an example needs, if it is later than 3.0.
NEEDS = {"reindex_with_rollback": [needs_approvals]}
each_example = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=NEEDS.get(path.stem, [])) for path in EXAMPLES]
)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 8


@needs_airflow_3
@each_example
def test_an_example_is_one_dag_named_like_its_file(path: Path) -> None:
    assert list(dags_of(path)) == [path.stem]


@needs_airflow_3
@each_example
def test_an_example_has_tags_and_documentation(path: Path) -> None:
    dag = dags_of(path)[path.stem]
    assert "pinecone" in dag.tags
    assert len(dag.tags) > 1
    assert dag.doc_md == ast.get_docstring(ast.parse(path.read_text()), clean=False)


@needs_airflow_3
@each_example
def test_the_trigger_form_explains_each_param(path: Path) -> None:
    params = dags_of(path)[path.stem].params
    for name in params:
        param = params.get_param(name)
        assert param.description, name
        assert param.schema.get("title"), name
        assert param.schema.get("type"), name


@needs_airflow_3
@each_example
def test_the_params_keep_their_names_and_defaults(path: Path) -> None:
    defaults = {
        "backup_fleet": {"prefix": ""},
        "reindex_with_backup": {"index": "docs-example"},
        "reindex_with_rollback": {"index": "docs-example"},
        "restore_drill": {"index": "docs-example"},
    }
    assert dags_of(path)[path.stem].params.dump() == defaults.get(path.stem, {})


@needs_airflow_3
def test_the_reindex_runs_only_after_the_backup_is_ready() -> None:
    dag = dags_of(ROOT / "dags" / "reindex_with_backup.py")["reindex_with_backup"]
    backup, reindex = dag.get_task("backup"), dag.get_task("reindex")
    assert backup.wait_for_completion
    assert "backup" in reindex.upstream_task_ids
    assert reindex.trigger_rule == "all_success"


@needs_airflow_3
def test_the_fleet_prunes_before_the_backup_and_only_after_a_check_of_the_newest_one() -> None:
    """A prune after the backup would never run while the quota is full. tests/airflow/test_fleet_runs.py runs the DAG.

    A second empty backup has not shrunk, so only the lower bound of the check detects it.
    """
    dag = dags_of(ROOT / "dags" / "backup_fleet.py")["backup_fleet"]
    check, prune, backup, verify, done = (
        dag.get_task(f"protect.{name}") for name in ("check_newest", "prune", "backup", "verify", "done")
    )
    assert check.min_records is None
    assert verify.min_records is None
    assert prune.upstream_task_ids >= {"protect.check_newest"}
    assert prune.trigger_rule == "all_success"
    assert backup.upstream_task_ids >= {"protect.prune"}
    assert backup.trigger_rule == "all_done"
    assert verify.trigger_rule == "all_success"
    assert done.upstream_task_ids >= {"protect.prune", "protect.verify"}
    assert done.trigger_rule == "none_failed"


@needs_airflow_3
def test_the_fleet_updates_the_assets_of_the_indexes_through_an_alias() -> None:
    backup = dags_of(ROOT / "dags" / "backup_fleet.py")["backup_fleet"].get_task("protect.backup")
    (alias,) = backup.outlets
    assert type(alias).__name__.endswith("AssetAlias")
    assert alias.name == "pinecone-fleet-backups"


def test_the_readme_shows_an_example_unchanged() -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == (ROOT / "dags" / "backup_index.py").read_text()
    assert len(shown.splitlines()) <= 20
