"""What the pages show runs and prints what they say. `make docs` checks the links of the pages in docs."""

from __future__ import annotations

import ast
import re
import runpy
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from support.clock import FakeClock
from support.constants import INDEX
from support.dag_files import dags_of, has_past_start_date, needs_airflow_3, needs_deadlines
from support.tasks import TaskInstance, run_try

from airflow_pinecone.assets import backup_asset
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.rules.scratch import Purpose
from airflow_pinecone.waiting.resources import RESOURCES, SCHEDULE

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
DAGS = [
    "audit_copies",
    "backup_after_load",
    "check_copies",
    "drill_several",
    "nightly_retention",
    "reindex_if_fresh",
    "reindex_when_all",
    "restore_backup",
    "restore_deleted_index",
    "restore_test_weekly",
    "reuse_recent_backup",
]
# They need a deadline of Airflow 3.2.
DAGS_WITH_DEADLINE = ["backup_with_alert"]
# tests/airflow/test_docs_dag_test.py runs test_my_dag.
# tests/unit/test_digests.py runs digest_alone, and test_export_backup.py runs those that read a copy.
SCRIPTS = [
    "check_copy_alone",
    "digest_alone",
    "faults",
    "list_backups",
    "list_copies",
    "query_copy",
    "read_records",
    "retention_example",
    "test_my_dag",
    "write_records",
]
PAGES = [
    *ROOT.glob("*.md"),
    *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
]


def test_each_example_is_run_by_a_test() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(DAGS + DAGS_WITH_DEADLINE + SCRIPTS)


def test_each_example_is_shown_on_a_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert [path.name for path in EXAMPLES.iterdir() if path.is_file() and f"examples/{path.name}" not in text] == []


@needs_airflow_3
@pytest.mark.parametrize("name", [*DAGS, *(pytest.param(name, marks=needs_deadlines) for name in DAGS_WITH_DEADLINE)])
def test_an_example_dag_loads(name: str) -> None:
    assert list(dags_of(EXAMPLES / f"{name}.py")) == [name]


@needs_airflow_3
@pytest.mark.parametrize("name", DAGS)
def test_an_example_dag_does_not_run_for_a_past_time_when_it_is_unpaused(name: str) -> None:
    assert not has_past_start_date(dags_of(EXAMPLES / f"{name}.py")[name])


@needs_airflow_3
def test_a_test_of_several_indexes_runs_the_test_of_each() -> None:
    test = dags_of(EXAMPLES / "drill_several.py")["drill_several"].get_task("test")
    (dag_id,) = dags_of(ROOT / "dags" / f"{test.partial_kwargs['trigger_dag_id']}.py")
    assert dag_id == "restore_drill"
    assert test.expand_input.value["conf"] == [{"index": "docs-example"}, {"index": "docs-images"}]


@needs_airflow_3
def test_a_reindex_after_several_backups_reads_the_newest_event_of_each() -> None:
    dag = dags_of(EXAMPLES / "reindex_when_all.py")["reindex_when_all"]
    assets = [backup_asset("docs-example"), backup_asset("docs-images")]
    assert type(dag.timetable.asset_condition).__name__ == "AssetAll"
    events = {asset: [SimpleNamespace(extra={"backup_id": f"{asset.uri}-{n}"}) for n in range(2)] for asset in assets}
    ids = dag.get_task("reindex").python_callable(triggering_asset_events=events)
    assert ids == [f"{asset.uri}-1" for asset in assets]


@needs_airflow_3
def test_the_worked_example_has_the_rules_of_the_dag_that_is_shown_with_it() -> None:
    prune = dags_of(EXAMPLES / "nightly_retention.py")["nightly_retention"].get_task("prune")
    rules = runpy.run_path(str(EXAMPLES / "retention_example.py"))["RULES"]
    assert {name: value for name, value in vars(prune).items() if name.startswith("keep_") and value} == rules


def test_the_worked_example_of_retention_prints_what_the_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PINECONE_DEFAULT", "")  # The example sets it; this restores it.
    table = runpy.run_path(str(EXAMPLES / "retention_example.py"))["table"]()
    assert f"{table}\n" == (EXAMPLES / "retention_example.txt").read_text()


def test_the_example_of_a_fault_prints_what_the_page_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PINECONE_DEFAULT", "")  # The example sets it; this restores it.
    runpy.run_path(str(EXAMPLES / "faults.py"))
    assert (EXAMPLES / "faults.txt").read_text() in capsys.readouterr().out


@pytest.mark.usefixtures("connection")
def test_the_example_of_a_listing_lists_the_newest_backup_first(emulator: Emulator) -> None:
    for day in (1, 2):
        emulator.add_backup("docs-example", created_at=f"2025-06-{day:02}T02:00:00Z", description="nightly")
    lines = runpy.run_path(str(EXAMPLES / "list_backups.py"))["list_backups"]("docs-example")
    assert [line[:20] for line in lines] == ["2025-06-02T02:00:00Z", "2025-06-01T02:00:00Z"]
    assert all(re.fullmatch(r".{20}  [0-9a-f-]{36}  Ready  \d+  nightly", line) for line in lines)
    # The backups of a deleted index are those that are needed most.
    emulator.control_plane.project.delete_index("docs-example", now=0.0)
    assert runpy.run_path(str(EXAMPLES / "list_backups.py"))["list_backups"]("docs-example") == lines


def test_write_records(world: Emulator) -> None:
    world.add_index("target", records=0)
    copy_records = runpy.run_path(str(EXAMPLES / "write_records.py"))["copy_records"]
    assert copy_records("docs-example", "target") == 96
    assert {name: world.records("target", name) for name in world.namespaces("target")} == {
        name: world.records("docs-example", name) for name in world.namespaces("docs-example")
    }


def test_the_example_reads_the_records_of_each_namespace(world: Emulator) -> None:
    digests = runpy.run_path(str(EXAMPLES / "read_records.py"))["digests"]("docs-example")
    documented = runpy.run_path(str(EXAMPLES / "digest_alone.py"))["namespace_digest"]
    assert len(digests) == 3
    for namespace, digest in digests.items():
        assert digest == documented(list(world.records("docs-example", namespace).values()))


@needs_airflow_3
def test_the_example_for_a_deleted_index_restores_its_newest_backup(world: Emulator, clock: FakeClock) -> None:
    dag = dags_of(EXAMPLES / "restore_deleted_index.py")["restore_deleted_index"]
    params = {"index": INDEX}
    newest = dag.get_task("newest").python_callable
    world.add_backup(INDEX, age=7200, record_count=100)
    expected = world.add_backup(INDEX, age=3600, record_count=90)["backup_id"]
    with pytest.raises(AirflowFailException, match="exists"):
        newest(params)
    PineconeHook().delete_index(INDEX)
    assert newest(params) == expected
    verify, restore = (dag.get_task(name) for name in ("verify", "restore"))
    assert verify.downstream_task_ids == {"restore"}
    for task in (verify, restore):
        task.clock = clock
        task.backup_id = expected
        task.recreate = lambda task=task: task
    restore.index_name = restore.index_name.replace("{{ params.index }}", INDEX)
    assert run_try(verify, TaskInstance()).value["compared_to"]["record_count"] == 100
    assert run_try(restore, TaskInstance()).state == "success"
    (index,) = world.indexes
    assert (index["name"], index["deletion_protection"]) == (INDEX, "enabled")


@needs_airflow_3
def test_the_restore_drill_is_a_restore_test_of_the_index_of_its_param() -> None:
    dag = dags_of(ROOT / "dags" / "restore_drill.py")["restore_drill"]
    assert dag.get_task("restore_test.choose").index_name == "{{ params.index }}"
    names = ("choose", "restore", "settle", "check", "report", "delete_scratch")
    assert {task.task_id for task in dag.tasks} == {f"restore_test.{name}" for name in names}


@pytest.mark.parametrize("page", ROOT.glob("*.md"), ids=lambda page: page.name)
def test_the_links_of_a_page_for_github_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(<?([^)\s>]+)", text):
        if target.startswith(("https://", "http://", "mailto:", "#")):
            continue
        name, _, heading = target.partition("#")
        file = page.parent / name
        if not file.exists() or (heading and heading not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_the_python_on_the_pages_runs() -> None:
    """Longer code is included from a file that a test runs."""
    for page in PAGES:
        if page.name != "README.md":
            for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
                assert len(code.splitlines()) <= 3, code
                exec(code, {})


def test_the_messages_in_troubleshooting_are_those_of_the_package() -> None:
    text = (DOCS / "troubleshooting.md").read_text()
    quoted = re.findall(r"^### `(.+)`$", text, re.MULTILINE)
    quoted += re.findall(r"^- `([^`]+)`(?:$|:| or)", text, re.MULTILINE)
    quoted += re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert len(quoted) > 40
    known = messages()
    unknown = [
        message
        for message in quoted
        if message not in FOREIGN_MESSAGES
        and not re.fullmatch(r"HTTP \d{3}", message)
        and not any(
            all(part.strip() in template for part in parts)
            for parts in (message.split("…"), fragments(message))
            for template in known
        )
    ]
    assert unknown == []


def test_the_layers_on_the_architecture_page_are_the_import_contract() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = [item for item in config["tool"]["importlinter"]["contracts"] if item["type"] == "layers"]
    text = (DOCS / "architecture.md").read_text()
    diagram = text.partition("your DAG\n")[2].partition("provider_info")[0]
    # The first 30 columns name the modules.
    rows = [set(line[:30].replace("|", "").split()) for line in diagram.splitlines()]
    assert [row for row in rows if row] == [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]


# Messages of Airflow, Python and OpenSSL.
FOREIGN_MESSAGES = {
    "CERTIFICATE_VERIFY_FAILED",
    "No module named 'airflow.sdk'",
    "'State' object has no attribute 'svcs_registry'",
}


def fragments(message: str) -> list[str]:
    """Return the constant parts of a message. Messages about waiting take some words from the table of resources."""
    for resource in RESOURCES.values():
        message = message.replace(f"{resource.label} …", "…").replace(resource.goal, "…")
    return message.split("…")


def messages() -> set[str]:
    """Return the texts of the package, with their placeholders replaced by a line break."""
    found: set[str] = set()
    for path in (ROOT / "airflow_pinecone").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found.add(template(node))
    # What an operation does.
    found |= {f"Could not {text}" for text in found if re.match("(create|list|describe|update|delete|upsert) ", text)}
    for purpose in get_args(Purpose):
        found |= {f"The {purpose} of index \nwas not started", f"Could not delete index \nof the {purpose} of index"}
    for resource in RESOURCES.values():
        label = resource.label.lower()
        # Without a backup, the index of a schedule is unknown.
        subject = {"freshness": "Index \n", "record_counts": "Index \n", "schedule": f"The {label} "}.get(
            resource.name, f"The {label} of index \n"
        )
        ends = (
            "failed",
            resource.disappeared,
            f"did not {resource.goal} within \nbefore the execution_timeout",
            "could not be polled: ",
        )
        found |= {f"{subject}{end}\nconsecutive polls failed" for end in ends}
    found.add(f"The {SCHEDULE.label.lower()} of index \nfailed")
    # The reason of an error begins with a small letter, except in its own line.
    return found | {text[:1].upper() + text[1:] for text in found}


def template(node: ast.AST) -> str:
    """Return the text of a string in the code, with its placeholders replaced by a line break; empty for other code."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "\n" for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace("%s", "\n")
    return ""


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a Markdown file, as GitHub and MyST make them."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"^\((.+)\)=$", text, re.MULTILINE))
