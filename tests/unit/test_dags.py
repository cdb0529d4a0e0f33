"""The example DAGs load, describe themselves in the UI, and do what the documentation says."""

from __future__ import annotations

import ast
import copy
import re
import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.configuration import AIRFLOW_HOME
from airflow.providers.common.compat.sdk import AirflowFailException
from support.clock import FakeClock
from support.constants import INDEX
from support.dag_files import dags_of, has_past_start_date, needs_airflow_3, needs_approvals
from support.tasks import TaskInstance, make_task, run_try

from airflow_pinecone.assets import backup_asset
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.operators import AuditBackupsOperator
from airflow_pinecone.rules.identity import ORIGIN_TAG
from airflow_pinecone.rules.scratch import COPY_TAG, TEST_TAG
from airflow_pinecone.runtime.airflow_versions import can_show_pages

HOUR = 3600.0
ROOT = Path(__file__).resolve().parents[2]
# backup_policy is a module that two of them import.
EXAMPLES = sorted(path for path in (ROOT / "dags").glob("*.py") if path.stem != "backup_policy")

# The Airflow that an example needs, if it is later than 3.0.
NEEDS = {"reindex_with_rollback": [needs_approvals]}
each_example = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=NEEDS.get(path.stem, [])) for path in EXAMPLES]
)


# Users trigger runs with these names.
PARAMS = {
    "copy_outside": {"index": "docs-example", "destination": f"file://{AIRFLOW_HOME}/pinecone-copies"},
    "backup_fleet": {"prefix": "", "only_due": False},
    "reindex_with_backup": {"index": "docs-example"},
    "reindex_with_rollback": {"index": "docs-example"},
    "restore_drill": {"index": "docs-example"},
    "offsite_drill": {
        "index": "docs-example",
        "destination": f"file://{AIRFLOW_HOME}/pinecone-copies",
        "target": "offsite-drill",
        "conn_id": "pinecone_default",
        "cloud": "",
        "region": "",
    },
    "restore_elsewhere": {
        "copy_url": "file:///tmp/pinecone-copies/INDEX_ID/BACKUP_ID",
        "index": "docs-example-restored",
        "conn_id": "pinecone_default",
        "cloud": "",
        "region": "",
    },
}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 13


@needs_airflow_3
@each_example
def test_an_example_is_a_documented_dag_named_like_its_file(path: Path) -> None:
    ((dag_id, dag),) = dags_of(path).items()
    assert dag_id == path.stem
    assert "pinecone" in dag.tags
    assert len(dag.tags) > 1
    assert dag.doc_md == ast.get_docstring(ast.parse(path.read_text()), clean=False)
    assert dag.params.dump() == PARAMS.get(dag_id, {})
    assert not has_past_start_date(dag)
    # The trigger form explains each param.
    for name in dag.params:
        param = dag.params.get_param(name)
        assert all([param.description, param.schema.get("title"), param.schema.get("type")]), name


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
@pytest.mark.parametrize(
    ("verified", "report"),
    [
        ([True, None, None], {"verified": ["a"], "unverified": ["b"], "failed": ["c"]}),
        ([None, None, None], {"verified": [], "unverified": ["a", "b"], "failed": ["c"]}),
    ],
)
def test_the_summary_of_the_fleet_counts_only_verified_backups(
    verified: list[Any], report: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    summary = dags_of(ROOT / "dags" / "backup_fleet.py")["backup_fleet"].get_task("summary").python_callable
    results = {"protect.backup": [{"backup_id": "1"}, {"backup_id": "2"}, None], "protect.verify": verified}
    ti = SimpleNamespace(xcom_pull=lambda *, task_ids, map_indexes: [results[task_ids][n] for n in map_indexes])
    with caplog.at_level("INFO"):
        assert summary(["a", "b", "c"], ti=ti) == report
    assert f"{len(report['verified'])} of 3 indexes have a new verified backup" in caplog.text


@needs_airflow_3
def test_the_reindex_starts_after_the_backup_is_verified() -> None:
    """With the asset on the create, the reindex would run before the check ends."""
    dag = dags_of(ROOT / "dags" / "backup_deferrable.py")["backup_deferrable"]
    assert not dag.get_task("backup").outlets
    assert dag.get_task("verify").outlets == [backup_asset("docs-example")]
    reindex = dags_of(ROOT / "dags" / "reindex_on_backup.py")["reindex_on_backup"]
    assert list(reindex.timetable.asset_condition.objects) == [backup_asset("docs-example")]


@needs_airflow_3
@pytest.mark.parametrize("extras", [[], [{}], [{"backup_id": "b-1", "status": "Initializing"}]])
def test_the_reindex_needs_an_event_of_a_ready_backup(extras: list[Any]) -> None:
    """A person can trigger the DAG, or create an event in the UI."""
    dag = dags_of(ROOT / "dags" / "reindex_on_backup.py")["reindex_on_backup"]
    reindex = dag.get_task("reindex").python_callable
    asset = backup_asset("docs-example")
    with pytest.raises(AirflowFailException, match="No Ready backup"):
        reindex(triggering_asset_events={asset: [SimpleNamespace(extra=extra) for extra in extras]})
    ready = {"backup_id": "b-1", "status": "Ready"}
    assert reindex(triggering_asset_events={asset: [SimpleNamespace(extra=ready)]}) == "b-1"


@needs_airflow_3
@needs_approvals
@pytest.mark.parametrize(
    ("before", "after", "passes"), [(100, 90, True), (100, 89, False), (None, 0, False), (0, 0, False)]
)
def test_the_check_after_a_reindex_needs_a_known_count(world: Emulator, before: Any, after: int, passes: bool) -> None:
    dag = dags_of(ROOT / "dags" / "reindex_with_rollback.py")["reindex_with_rollback"]
    check = dag.get_task("check").python_callable
    world.set_records(INDEX, after)
    backup = {"source_index_name": INDEX, "record_count": before}
    if passes:
        assert check(backup) == after
    else:
        with pytest.raises(ValueError, match="records"):
            check(backup)
    # Nothing is reindexed after a bad backup, and then there is nothing to roll back.
    assert dag.get_task("reindex").upstream_task_ids == {"backup", "verify"}


@needs_airflow_3
@pytest.mark.usefixtures("world")
def test_the_fleet_can_skip_indexes_whose_backup_is_young(emulator: Emulator) -> None:
    ages = {"fleet-old": 16 * HOUR, "fleet-young": 14 * HOUR, "fleet-gold": 5 * HOUR, "scratch-1": 16 * HOUR}
    for name, age in ages.items():
        emulator.add_index(name, tags={"tier": "gold"} if name == "fleet-gold" else {})
        # The task does not use the clock of the tests.
        created_at = datetime.now(UTC) - timedelta(seconds=age)
        emulator.add_backup(name, created_at=created_at.isoformat())
    emulator.add_index("fleet-new")
    emulator.add_index("fleet-running")
    emulator.add_backup("fleet-running", created_at=datetime.now(UTC).isoformat(), status="Initializing")
    # One that has not become Ready for 90 days is not running.
    emulator.add_index("fleet-stuck")
    for age, status in ((90 * 24 * HOUR, "Initializing"), (20 * HOUR, "Ready")):
        created_at = datetime.now(UTC) - timedelta(seconds=age)
        emulator.add_backup("fleet-stuck", created_at=created_at.isoformat(), status=status)
    for name, tag in (("scratch-test", TEST_TAG), ("scratch-copy", COPY_TAG)):
        emulator.add_index(name, tags={ORIGIN_TAG: "0123", tag: "b-1"})
    emulator.add_index("fleet-pod", spec={"pod": {"environment": "us-east1-gcp", "pod_type": "p1.x1"}})
    list_indexes = dags_of(ROOT / "dags" / "backup_fleet.py")["backup_fleet"].get_task("list_indexes").python_callable
    fleet = ["fleet-gold", "fleet-new", "fleet-old", "fleet-running", "fleet-stuck", "fleet-young"]
    assert list_indexes({"prefix": "fleet-", "only_due": False}) == fleet
    # Whether a backup is due does not depend on restores.
    emulator.fault("GET", "/restore-jobs", status=403, times=None)
    due = [INDEX, "fleet-gold", "fleet-new", "fleet-old", "fleet-stuck"]
    assert list_indexes({"prefix": None, "only_due": True}) == due
    assert not {"scratch-test", "scratch-copy"} & set(list_indexes({"prefix": "", "only_due": False}))


@needs_airflow_3
@pytest.mark.usefixtures("world")
def test_the_fleet_fails_if_it_lists_no_index(emulator: Emulator) -> None:
    list_indexes = dags_of(ROOT / "dags" / "backup_fleet.py")["backup_fleet"].get_task("list_indexes").python_callable
    with pytest.raises(AirflowFailException, match="No index"):
        list_indexes({"prefix": "no-such-", "only_due": False})
    # An index whose name begins like those of scratch indexes is backed up: its tags do not say that it is one.
    emulator.add_index("restore-test-reports")
    assert list_indexes({"prefix": "restore-test-", "only_due": False}) == ["restore-test-reports"]


@needs_airflow_3
def test_the_audit_and_the_fleet_have_one_policy() -> None:
    audit = dags_of(ROOT / "dags" / "backup_audit.py")["backup_audit"].get_task("audit")
    policy = runpy.run_path(str(ROOT / "dags" / "backup_policy.py"))
    assert (audit.max_age, audit.policy) == (policy["MAX_AGE"], policy["POLICY"])


def email_of_a_failed_audit(error: Any) -> tuple[str, str]:
    """Return the subject and the text of the email, as Airflow renders its templates."""
    dag = dags_of(ROOT / "dags" / "backup_audit.py")["backup_audit"]
    callbacks = dag.get_task("audit").on_failure_callback
    notifier = copy.copy(callbacks[0] if isinstance(callbacks, list) else callbacks)
    run_url = "https://airflow.example.com/prod/dags/backup_audit/runs/manual__1"
    ti = SimpleNamespace(log_url=f"{run_url}/tasks/audit?try_number=1")
    notifier.render_template_fields({"exception": error, "ti": ti, "dag": dag})
    assert f'<a href="{run_url}">Run</a>' in notifier.html_content
    assert f'<a href="{ti.log_url}">Log</a>' in notifier.html_content
    return notifier.subject, notifier.html_content


@needs_airflow_3
def test_the_email_of_the_audit_names_the_worst_index_and_the_environment(world: Emulator, clock: FakeClock) -> None:
    world.add_index("second")
    created_at = clock.utcnow() - timedelta(days=3, microseconds=625540)
    world.add_backup("second", created_at=created_at.isoformat())
    error: Any = run_try(make_task(AuditBackupsOperator, clock, max_age=HOUR), TaskInstance()).error
    subject, body = email_of_a_failed_audit(error)
    assert subject == f"[airflow.example.com] Index {INDEX} is unprotected, and 1 more failed"
    assert body.strip().startswith(f"<pre>Index {INDEX} is unprotected, and 1 more failed.\n")
    assert "second (late): its newest Ready backup is 3 days, 0:00:01 old" in body
    assert (f'<a href="{error.page_url}">' in body) is can_show_pages()
    assert not re.search(r":\d\d\.\d", body)


@needs_airflow_3
@pytest.mark.parametrize("error", [AirflowFailException("Pinecone rejected <the key>"), "The task was killed"])
def test_other_errors_of_the_audit_are_sent_by_email_too(error: Any) -> None:
    subject, body = email_of_a_failed_audit(error)
    assert subject == "[airflow.example.com] The audit of the Pinecone backups failed"
    assert str(error).replace("<", "&lt;").replace(">", "&gt;") in body
    assert "Backups of the index" not in body


@needs_airflow_3
def test_the_fleet_updates_the_assets_of_the_indexes_through_an_alias() -> None:
    dag = dags_of(ROOT / "dags" / "backup_fleet.py")["backup_fleet"]
    assert not dag.get_task("protect.backup").outlets
    (alias,) = dag.get_task("protect.verify").outlets
    assert type(alias).__name__.endswith("AssetAlias")
    assert alias.name == "pinecone-fleet-backups"


def test_the_readme_shows_an_example_unchanged() -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == (ROOT / "dags" / "backup_index.py").read_text()
    assert len(shown.splitlines()) <= 20
