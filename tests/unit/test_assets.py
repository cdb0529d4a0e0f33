"""The Asset of an index's backups, and the facts in its events."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema  # type: ignore[import-untyped]
import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import PATHS, WAITS
from support.tasks import OutletEventAccessors, TaskInstance, make_task, run_try

from airflow_pinecone.assets import SCHEME, add_facts_to_events, backup_asset, sanitize_uri
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.operators import (
    AuditBackupsOperator,
    CreateBackupOperator,
    CreateIndexFromBackupOperator,
    DeleteBackupOperator,
    PruneBackupsOperator,
    VerifyBackupOperator,
)
from airflow_pinecone.provider_info import get_provider_info
from airflow_pinecone.sensors import BackupFreshnessSensor, BackupSensor, RestoreJobSensor

try:
    from airflow.sdk.definitions.asset import AssetUniqueKey
except ImportError:  # Airflow 2
    AssetUniqueKey = None  # type: ignore[assignment, misc]
try:
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as ProvidersManager
except ImportError:  # Airflow 2
    ProvidersManager = importlib.import_module("airflow.providers_manager").ProvidersManager  # type: ignore[misc]

FACTS = {
    "backup_id",
    "name",
    "status",
    "record_count",
    "namespace_count",
    "size_bytes",
    "created_at",
    "source_index_name",
    "source_index_id",
}

each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
each_wait = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)

needs_references = pytest.mark.skipif(not hasattr(Asset, "ref"), reason="Airflow 2 has no references to assets")

Backup = Callable[..., "TaskWithEvents"]
Verify = Callable[..., "TaskWithEvents"]


class TaskWithEvents(TaskInstance):
    """A task instance whose context has Airflow's outlet events."""

    def __init__(self, **fields: Any) -> None:
        """Start without a process."""
        super().__init__(**fields)
        self.processes: list[Any] = []

    @property
    def context(self) -> Any:
        """The context of a process. Each process has events of its own; Airflow sends those of the last one."""
        self.processes.append(OutletEventAccessors())
        return {**super().context, "outlet_events": self.processes[-1]}

    def facts(self, outlet: Any) -> Any:
        """Return the facts in the event of an outlet."""
        return self.processes[-1][outlet].extra

    def alias_events(self, alias: Any) -> list[tuple[str, Any]]:
        """Return the URI and the facts of each event that was added through an alias."""
        accessor = self.processes[-1][alias]
        if hasattr(accessor, "asset_alias_events"):
            return [(event.dest_asset_key.uri, event.extra) for event in accessor.asset_alias_events]
        return [(event["dest_dataset_uri"], event["extra"]) for event in accessor.dataset_alias_events]  # Airflow 2


@pytest.fixture
def back_up(world: Emulator, clock: FakeClock) -> Backup:
    """Run CreateBackupOperator with outlets, and return its task instance."""

    def back_up(outlets: list[Any], **arguments: Any) -> TaskWithEvents:
        ti = TaskWithEvents()
        task = make_task(CreateBackupOperator, clock, index_name=INDEX, outlets=outlets, **arguments)
        assert run_try(task, ti).state == "success"
        return ti

    return back_up


@pytest.fixture
def verify(world: Emulator, clock: FakeClock) -> Verify:
    """Run VerifyBackupOperator with outlets, and return its task instance."""

    def verify(backup_id: str, state: str = "success", **arguments: Any) -> TaskWithEvents:
        ti = TaskWithEvents()
        task = make_task(VerifyBackupOperator, clock, backup_id=backup_id, **arguments)
        assert run_try(task, ti).state == state
        return ti

    return verify


# The Asset and its URI


def test_uri_of_the_asset_has_the_index() -> None:
    asset = backup_asset("docs-example")
    assert isinstance(asset, Asset)
    assert asset.uri == "pinecone://docs-example/backups"
    assert asset == backup_asset("docs-example")
    assert asset.uri != backup_asset("docs-example-2").uri


@pytest.mark.parametrize("index_name", ["", None, "Docs", "a/b", "{{ params.index }}", "-a", "x" * 46, "a\n"])
def test_invalid_index_name_is_an_error(index_name: Any) -> None:
    with pytest.raises(ValueError, match="valid index name"):
        backup_asset(index_name)


def test_airflow_normalizes_uris_with_the_scheme() -> None:
    assert Asset(uri="PINECONE://Docs-Example/backups/").uri == "pinecone://docs-example/backups"
    assert Asset(uri="pinecone://docs/namespaces/News").uri == "pinecone://docs/namespaces/News"


@pytest.mark.parametrize(
    "uri", ["pinecone:///backups", "pinecone://a-key@docs/backups", "pinecone://user:a-key@docs/backups"]
)
def test_uri_without_an_index_or_with_a_secret_is_an_error(uri: str) -> None:
    with pytest.raises(ValueError, match="pinecone://") as caught:
        sanitize_uri(urlsplit(uri))
    assert "a-key" not in str(caught.value)


def test_provider_info_registers_the_scheme() -> None:
    manager: Any = ProvidersManager()
    handlers = getattr(manager, "asset_uri_handlers", None) or manager.dataset_uri_handlers
    assert handlers["pinecone"] is sanitize_uri
    info = get_provider_info()
    assert info["asset-uris"] == info["dataset-uris"]
    (registered,) = info["asset-uris"]
    module, name = registered["handler"].rsplit(".", 1)
    assert getattr(importlib.import_module(module), name) is sanitize_uri
    assert registered["schemes"] == [SCHEME]


def test_provider_info_matches_the_schema_of_airflow() -> None:
    (folder, *_) = importlib.import_module("airflow").__path__
    schema = json.loads((Path(folder) / "provider.yaml.schema.json").read_text("utf-8"))["properties"]
    known = [name for name in ("asset-uris", "dataset-uris") if name in schema]
    assert known
    for name in known:
        jsonschema.validate(get_provider_info()[name], schema[name])


# The events


@each_path
def test_event_has_the_facts_of_the_backup(emulator: Emulator, back_up: Backup, path: dict[str, Any]) -> None:
    """After a wait they are those of the Ready backup: it has its counts only then."""
    emulator.next_backup(ready_after=600)
    asset = backup_asset(INDEX)
    ti = back_up([asset], **path)
    facts = ti.facts(asset)
    returned = ti.xcoms["return_value"]
    assert facts.pop("covers_writes_until") == "2025-06-15T14:51:40Z"
    assert facts == {fact: returned.get(fact) for fact in FACTS}
    assert facts["created_at"] == "2025-06-15T15:06:40.000000Z"
    assert facts["status"] == ("Ready" if path["wait_for_completion"] else "Initializing")
    assert facts["source_index_name"] == INDEX
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize(
    ("created_at", "covered"),
    [
        ("2025-05-14T16:37:25.625540Z", "2025-05-14T16:22:25.625540Z"),
        ("2025-05-14T16:37:25", "2025-05-14T16:22:25Z"),
        ("2025-01-01T02:05:00+02:00", "2024-12-31T23:50:00Z"),
        (None, None),
        ("just now", None),
        (1747240645, None),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_event_says_until_when_writes_are_in_the_backup(created_at: Any, covered: str | None) -> None:
    """It is left out if the time of the backup is unknown."""
    asset = backup_asset(INDEX)
    context: Any = {"outlet_events": OutletEventAccessors()}
    backup = {"backup_id": "b-1", "source_index_name": INDEX, "created_at": created_at}
    add_facts_to_events(context, [asset], backup, pytest.fail)
    expected = {} if covered is None else {"covers_writes_until": covered}
    assert context["outlet_events"][asset].extra == {**dict.fromkeys(FACTS), **backup, **expected}


def test_event_of_each_asset_has_the_facts(emulator: Emulator, back_up: Backup) -> None:
    outlets = [backup_asset(INDEX), Asset(uri="s3://bucket/key")]
    ti = back_up(outlets)
    for outlet in outlets:
        assert ti.facts(outlet)["backup_id"] == emulator.backups[0]["backup_id"]


def test_other_entries_of_the_event_are_kept() -> None:
    asset = backup_asset(INDEX)
    events = OutletEventAccessors()
    events[asset].extra["ticket"] = "OPS-1"
    context: Any = {"outlet_events": events}
    backup = {"backup_id": "b-1", "source_index_name": INDEX}
    add_facts_to_events(context, [asset], backup, pytest.fail)
    assert events[asset].extra == dict.fromkeys(FACTS) | backup | {"ticket": "OPS-1"}


def test_event_of_another_index_has_no_facts(emulator: Emulator, verify: Verify, logged: Callable[[], str]) -> None:
    """The index of the backup is only known when the task runs."""
    backup_id = emulator.add_backup(INDEX)["backup_id"]
    own, other = backup_asset(INDEX), backup_asset("another-index")
    ti = verify(backup_id, outlets=[other, own])
    assert ti.facts(other) == {}
    assert ti.facts(own)["backup_id"] == backup_id
    log = logged()
    assert f"The event of {own.uri} has no details" not in log
    assert f"The event of {other.uri} has no details" in log
    assert f"backup {backup_id} is of index {INDEX}" in log


def test_only_the_asset_of_another_indexs_backups_causes_a_warning() -> None:
    outlets = [backup_asset(INDEX), Asset(uri="pinecone://another-index/namespaces/news"), AssetAlias("backups")]
    events: Any = {"outlet_events": OutletEventAccessors()}
    add_facts_to_events(events, outlets, {"backup_id": "b-1", "source_index_name": INDEX}, pytest.fail)
    assert events["outlet_events"][outlets[1]].extra["backup_id"] == "b-1"


def test_verify_fills_the_events_of_a_backup_that_passes(emulator: Emulator, verify: Verify) -> None:
    backup = emulator.add_backup(INDEX)
    asset, alias = backup_asset(INDEX), AssetAlias("backups")
    ti = verify(backup["backup_id"], outlets=[asset, alias])
    facts = ti.facts(asset)
    assert set(facts) >= FACTS
    assert (facts["backup_id"], facts["status"]) == (backup["backup_id"], "Ready")
    assert ti.alias_events(alias) == [(asset.uri, facts)]


def test_verify_fills_no_event_of_a_backup_that_does_not_pass(emulator: Emulator, verify: Verify) -> None:
    backup = emulator.add_backup(INDEX, record_count=0)
    ti = verify(backup["backup_id"], state="failed", outlets=[backup_asset(INDEX), AssetAlias("backups")])
    assert ti.processes
    assert all(len(events) == 0 for events in ti.processes)


@each_path
def test_restore_fills_the_event_of_the_asset_of_its_backup(
    world: Emulator, clock: FakeClock, path: dict[str, Any], logged: Callable[[], str]
) -> None:
    """A restore is no new backup, so an alias gets no event."""
    backup = world.add_backup(INDEX)
    asset, alias = backup_asset(INDEX), AssetAlias("backups")
    ti = TaskWithEvents()
    arguments = {"backup_id": backup["backup_id"], "index_name": "drill", "outlets": [asset, alias], **path}
    assert run_try(make_task(CreateIndexFromBackupOperator, clock, **arguments), ti).state == "success"
    assert ti.facts(asset)["backup_id"] == backup["backup_id"]
    assert ti.alias_events(alias) == []
    assert "has no details" not in logged()


@needs_references
@pytest.mark.parametrize("by", ["uri", "name"])
def test_event_of_a_reference_has_the_facts(back_up: Backup, by: str) -> None:
    asset, reference = backup_asset(INDEX), Asset.ref(**{by: backup_asset(INDEX).uri})
    ti = TaskWithEvents()
    # Airflow keeps there what it has asked its database for.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OutletEventAccessors, "_asset_ref_cache", {reference: (AssetUniqueKey.from_asset(asset), {})})
        ti = back_up([reference])
        assert ti.facts(reference)["source_index_name"] == INDEX
    assert ti.facts(asset)["source_index_name"] == INDEX


@needs_references
def test_reference_that_airflow_does_not_find_causes_a_warning(back_up: Backup, logged: Callable[[], str]) -> None:
    back_up([Asset.ref(name="unknown")])
    assert "The event of AssetNameRef(name='unknown') has no details" in logged()


# Outlets that a task cannot fill

UNFILLED: dict[str, Callable[..., Any]] = {
    "audit": partial(AuditBackupsOperator, max_age=3600),
    "delete": partial(DeleteBackupOperator, backup_id="b-1"),
    "prune": partial(PruneBackupsOperator, index_name=INDEX, keep_last=1),
    "sensor": partial(BackupSensor, backup_id="b-1"),
    "freshness": partial(BackupFreshnessSensor, index_name=INDEX, max_age=3600),
    "restore sensor": partial(RestoreJobSensor, restore_job_id="r-1"),
}


@pytest.mark.parametrize("make", UNFILLED.values(), ids=UNFILLED)
def test_outlet_that_a_task_cannot_fill_is_an_error_when_the_dag_is_parsed(make: Callable[..., Any]) -> None:
    asset = backup_asset(INDEX)
    outlets = [asset, *([Asset.ref(uri=asset.uri), Asset.ref(name=asset.uri)] if hasattr(Asset, "ref") else [])]
    for outlet in outlets:
        with pytest.raises(PineconeInputError, match=f"Task t cannot have the asset {asset.uri}") as caught:
            make(task_id="t", outlets=[outlet])
        assert "VerifyBackupOperator" in str(caught.value)
    make(task_id="t", outlets=[Asset(uri="s3://bucket/key"), AssetAlias("backups")])


def test_outlet_of_another_index_is_an_error_when_the_dag_is_parsed() -> None:
    create = partial(CreateBackupOperator, task_id="t", outlets=[backup_asset("another-index")])
    with pytest.raises(PineconeInputError, match="pinecone://another-index/backups") as caught:
        create(index_name=INDEX)
    assert f"backs up index {INDEX}" in str(caught.value)
    # These are only known when the task runs.
    create(index_name="{{ params.index }}")
    VerifyBackupOperator(task_id="v", backup_id="b-1", outlets=[backup_asset("another-index")])


@each_path
def test_alias_gets_an_event_of_the_asset_of_the_index(
    emulator: Emulator, back_up: Backup, path: dict[str, Any]
) -> None:
    emulator.next_backup(ready_after=600)
    alias = AssetAlias("backups")
    ti = back_up([alias], **path)
    ((uri, facts),) = ti.alias_events(alias)
    assert uri == f"pinecone://{INDEX}/backups"
    assert facts.pop("covers_writes_until") == "2025-06-15T14:51:40Z"
    assert facts == {fact: ti.xcoms["return_value"].get(fact) for fact in FACTS}
    assert facts["backup_id"] == emulator.backups[0]["backup_id"]
    assert facts["status"] == ("Ready" if path["wait_for_completion"] else "Initializing")


def test_each_of_two_aliases_gets_its_own_event(back_up: Backup) -> None:
    first, second = AssetAlias("backups"), AssetAlias("more-backups")
    ti = back_up([first, second])
    assert len(ti.alias_events(first)) == len(ti.alias_events(second)) == 1
    assert ti.alias_events(first) == ti.alias_events(second)
    assert ti.alias_events(first)[0][1] is not ti.alias_events(second)[0][1]


@pytest.mark.parametrize("source", [None, "", "An Index"])
def test_backup_of_an_unknown_index_adds_no_facts(source: str | None) -> None:
    """It is no reason to fail a task whose backup is Ready."""
    outlets = [backup_asset(INDEX), AssetAlias("backups")]
    events, warnings = OutletEventAccessors(), []
    context: Any = {"outlet_events": events}
    backup = {"backup_id": "b-1", "source_index_name": source}
    add_facts_to_events(context, outlets, backup, lambda text, *arguments: warnings.append(text % arguments))
    assert len(events) == 0
    assert ["b-1" in warning for warning in warnings] == [True, True]


def test_outlets_that_are_not_an_asset_are_ignored(back_up: Backup) -> None:
    ti = back_up(["not an asset"], wait_for_completion=True)
    assert ti.processes
    assert all(len(events) == 0 for events in ti.processes)


@pytest.mark.usefixtures("world")
def test_without_outlets_no_events_are_needed(clock: FakeClock) -> None:
    ti = TaskInstance()
    assert "outlet_events" not in ti.context
    assert run_try(make_task(CreateBackupOperator, clock, index_name=INDEX), ti).state == "success"


def test_event_has_the_facts_of_a_reused_backup(emulator: Emulator, back_up: Backup) -> None:
    young = emulator.add_backup(INDEX, age=60)
    asset = backup_asset(INDEX)
    assert back_up([asset], reuse_within=3600).facts(asset)["backup_id"] == young["backup_id"]


@each_wait
@pytest.mark.usefixtures("world")
def test_event_has_no_facts_of_a_failed_backup(emulator: Emulator, clock: FakeClock, wait: dict[str, Any]) -> None:
    emulator.next_backup(fails=True, ready_after=600)
    ti = TaskWithEvents()
    task = make_task(CreateBackupOperator, clock, index_name=INDEX, outlets=[backup_asset(INDEX)], **wait)
    assert run_try(task, ti).state == "up_for_retry"
    assert ti.processes
    assert all(len(events) == 0 for events in ti.processes)


def test_event_has_neither_the_api_key_nor_the_description(emulator: Emulator, back_up: Backup) -> None:
    asset = backup_asset(INDEX)
    facts = json.dumps(back_up([asset], description="A private note").facts(asset))
    assert emulator.backups[0]["backup_id"] in facts
    assert emulator.api_key not in facts
    assert "A private note" not in facts
