"""The Asset of an index's backups, and the facts in its events."""

from __future__ import annotations

import importlib
import json
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias
from running import AIRFLOW_2, TaskInstance, Time, make, run_try

from airflow_pinecone import assets
from airflow_pinecone.assets import backup_asset, sanitize_uri
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.operators import CreateBackupOperator
from airflow_pinecone.provider_info import get_provider_info

if AIRFLOW_2:
    from airflow.providers_manager import ProvidersManager
    from airflow.utils.context import OutletEventAccessors
else:
    from airflow.sdk.execution_time.context import OutletEventAccessors
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as ProvidersManager

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
PATHS: list[dict[str, Any]] = [
    {},
    {"wait_for_completion": True, "deferrable": False},
    {"wait_for_completion": True, "deferrable": True},
]


class WithEvents(TaskInstance):
    """A task instance whose context has the outlet events of a real one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.processes: list[Any] = []

    @property
    def context(self) -> Any:
        # Each process of the task has its own; what the last one leaves is what Airflow sends.
        self.processes.append(OutletEventAccessors())
        return {**super().context, "outlet_events": self.processes[-1]}

    def facts(self, outlet: Any) -> Any:
        return self.processes[-1][outlet].extra


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None) -> None:
    emulator.clock = time


def run(outlets: list[Any], **arguments: Any) -> WithEvents:
    ti = WithEvents()
    task = make(CreateBackupOperator, index_name="docs-example", outlets=outlets, **arguments)
    assert run_try(task, ti).state == "success"
    return ti


# The Asset and its URI


def test_the_asset_is_named_by_its_index() -> None:
    asset = backup_asset("docs-example")
    assert isinstance(asset, Asset)
    assert asset.uri == "pinecone://docs-example/backups"
    assert asset == backup_asset("docs-example")
    assert asset.uri != backup_asset("docs-example-2").uri


@pytest.mark.parametrize("index_name", ["", None, "Docs", "a/b", "{{ params.index }}", "-a", "x" * 46, "a\n"])
def test_an_impossible_index_name_is_refused(index_name: Any) -> None:
    with pytest.raises(ValueError, match="cannot be the name of an index"):
        backup_asset(index_name)


def test_airflow_normalizes_the_uris_of_the_scheme() -> None:
    assert Asset(uri="PINECONE://Docs-Example/backups/").uri == "pinecone://docs-example/backups"
    assert Asset(uri="pinecone://docs/namespaces/News").uri == "pinecone://docs/namespaces/News"


@pytest.mark.parametrize(
    "uri", ["pinecone:///backups", "pinecone://a-key@docs/backups", "pinecone://user:a-key@docs/backups"]
)
def test_a_uri_without_an_index_or_with_a_secret_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="pinecone://") as caught:
        sanitize_uri(urlsplit(uri))
    assert "a-key" not in str(caught.value)


def test_airflow_knows_the_scheme_by_the_provider_info() -> None:
    manager = ProvidersManager()
    handlers = manager.dataset_uri_handlers if AIRFLOW_2 else manager.asset_uri_handlers
    assert handlers["pinecone"] is sanitize_uri
    info = get_provider_info()
    assert info["asset-uris"] == info["dataset-uris"]
    (registered,) = info["asset-uris"]
    module, name = registered["handler"].rsplit(".", 1)
    assert getattr(importlib.import_module(module), name) is sanitize_uri
    assert registered["schemes"] == [assets.SCHEME]


def test_the_uris_fit_the_schema_that_airflow_has_for_its_own_providers() -> None:
    path = next(iter(importlib.import_module("airflow").__path__)) + "/provider.yaml.schema.json"
    with open(path, encoding="utf-8") as file:
        rules = json.load(file)["properties"]
    known = [name for name in ("asset-uris", "dataset-uris") if name in rules]
    assert known
    for name in known:
        jsonschema.validate(get_provider_info()[name], rules[name])


# The events


@pytest.mark.parametrize("path", PATHS, ids=["no wait", "worker", "triggerer"])
def test_the_event_has_the_facts_of_the_backup(emulator: Emulator, path: dict[str, Any]) -> None:
    """After a wait those of the Ready one, though the counts came only then."""
    emulator.next_backup(ready_after=600)
    asset = backup_asset("docs-example")
    ti = run([asset], **path)
    facts = ti.facts(asset)
    returned = ti.xcoms["return_value"]
    assert facts == {fact: returned.get(fact) for fact in FACTS}
    assert facts["status"] == ("Ready" if path else "Initializing")
    assert facts["source_index_name"] == "docs-example"
    assert json.loads(json.dumps(facts)) == facts


def test_each_asset_among_the_outlets_has_them(emulator: Emulator) -> None:
    outlets = [backup_asset("docs-example"), Asset(uri="s3://bucket/key")]
    ti = run(outlets)
    for outlet in outlets:
        assert ti.facts(outlet)["backup_id"] == emulator.backups[0]["backup_id"]


def test_what_others_put_into_the_event_stays(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = backup_asset("docs-example")
    events = OutletEventAccessors()
    events[asset].extra["ticket"] = "OPS-1"
    assets.fill_events({"outlet_events": events}, [asset], {"backup_id": "b-1"})  # type: ignore[arg-type]
    assert events[asset].extra == dict.fromkeys(FACTS) | {"ticket": "OPS-1", "backup_id": "b-1"}


def test_an_alias_and_what_is_no_asset_are_left_alone(emulator: Emulator) -> None:
    ti = run([AssetAlias("backups"), "not an asset"], wait_for_completion=True)
    assert all(len(events) == 0 for events in ti.processes)


def test_without_outlets_no_event_is_asked_for(emulator: Emulator) -> None:
    ti = TaskInstance()
    assert "outlet_events" not in ti.context
    assert run_try(make(CreateBackupOperator, index_name="docs-example"), ti).state == "success"


def test_a_reused_backup_has_an_event_too(emulator: Emulator) -> None:
    young = emulator.add_backup("docs-example", age=60)
    asset = backup_asset("docs-example")
    assert run([asset], reuse_within=3600).facts(asset)["backup_id"] == young["backup_id"]


@pytest.mark.parametrize("path", PATHS[1:], ids=["worker", "triggerer"])
def test_a_failed_backup_fills_no_event(emulator: Emulator, path: dict[str, Any]) -> None:
    emulator.next_backup(fails=True, ready_after=600)
    ti = WithEvents()
    asset = backup_asset("docs-example")
    task = make(CreateBackupOperator, index_name="docs-example", outlets=[asset], **path)
    assert run_try(task, ti).state == "up_for_retry"
    assert all(len(events) == 0 for events in ti.processes)


def test_neither_the_key_nor_the_description_is_in_it(emulator: Emulator) -> None:
    asset = backup_asset("docs-example")
    facts = json.dumps(run([asset], description="Ask Ann").facts(asset))
    assert emulator.api_key not in facts
    assert "Ask Ann" not in facts
