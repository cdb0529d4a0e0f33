"""The metadata of the provider, with and without the official provider for Pinecone."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from importlib.metadata import entry_points, metadata
from pathlib import Path
from typing import Any

import airflow
import jsonschema  # type: ignore[import-untyped]
import pytest
from airflow.providers_manager import ProvidersManager
from support.constants import CONNECTION_VARIABLE

import airflow_pinecone
from airflow_pinecone import operators, sensors, triggers
from airflow_pinecone.api.settings import API_VERSIONS
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.provider_info import get_provider_info
from airflow_pinecone.runtime import links

OFFICIAL = "apache-airflow-providers-pinecone"
# Names a folder in which the official provider is installed.
FOLDER_VARIABLE = "OFFICIAL_PROVIDER_DIR"


@pytest.fixture
def info() -> dict[str, Any]:
    """Return the metadata when the official provider is not installed."""
    info = get_provider_info()
    if "connection-types" not in info:
        pytest.fail(f"This test needs an environment in which {OFFICIAL} is not installed")
    return info


def load_schema(name: str) -> dict[str, Any]:
    """Load a schema of the installed Airflow."""
    paths = [Path(folder) / f"{name}.schema.json" for folder in airflow.__path__]
    schema: dict[str, Any] = json.loads(next(path for path in paths if path.exists()).read_text(encoding="utf-8"))
    return schema


def knows_forms() -> bool:
    """Return whether ProvidersManager has the connection forms.

    Airflow 3.2 and later read them from the metadata. Before, they are read from the hooks, which needs a package that
    Airflow 3 does not install. The API server of Airflow 3.0 and 3.1 replaces that package.
    """
    connection_type = load_schema("provider.yaml")["properties"]["connection-types"]["items"]["properties"]
    return "ui-field-behaviour" in connection_type or importlib.util.find_spec("flask_appbuilder") is not None


def load_object(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


# Without the official provider


def test_info_matches_the_schema_of_airflow(info: dict[str, Any]) -> None:
    jsonschema.validate(info, load_schema("provider_info"))


def test_connection_type_matches_the_schema_for_providers_of_airflow(info: dict[str, Any]) -> None:
    schema = load_schema("provider.yaml")["properties"]["connection-types"]
    jsonschema.validate(info["connection-types"], schema)


def test_forms_for_old_and_new_versions_of_airflow_are_the_same(info: dict[str, Any]) -> None:
    old = PineconeHook.get_ui_field_behaviour()
    jsonschema.validate(old, load_schema("customized_form_field_behaviours"))
    new = info["connection-types"][0]["ui-field-behaviour"]
    assert old["hidden_fields"] == new["hidden-fields"]
    assert old["relabeling"] == new["relabeling"]
    assert old["placeholders"]["host"] == new["placeholders"]["host"]


def test_info_names_the_hook_and_its_type(info: dict[str, Any]) -> None:
    (connection_type,) = info["connection-types"]
    assert load_object(connection_type["hook-class-name"]) is PineconeHook
    assert connection_type["connection-type"] == PineconeHook.conn_type == "pinecone"
    assert connection_type["hook-name"] == PineconeHook.hook_name


def test_form_has_the_fields_that_the_connection_may_have(info: dict[str, Any]) -> None:
    fields = info["connection-types"][0]["conn-fields"]
    assert set(fields) == {"api_version", "timeout", "allow_http"}
    for field in fields.values():
        jsonschema.Draft202012Validator.check_schema(field["schema"])
        jsonschema.validate(field["schema"].get("default"), field["schema"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(0, fields["timeout"]["schema"])
    assert all(version in fields["api_version"]["description"] for version in API_VERSIONS)


@pytest.mark.parametrize(
    ("kind", "exported"),
    [
        ("hooks", {"PineconeHook"}),
        ("operators", {*operators.__all__}),
        ("sensors", {*sensors.__all__}),
        ("triggers", {*triggers.__all__}),
    ],
)
def test_info_lists_the_modules_that_users_import(info: dict[str, Any], kind: str, exported: set[str]) -> None:
    (integration,) = info["integrations"]
    (entry,) = info[kind]
    assert entry["integration-name"] == integration["integration-name"]
    modules = [importlib.import_module(module) for module in entry["python-modules"]]
    assert exported
    assert {name for module in modules for name in module.__all__} == exported


def test_info_lists_the_links_of_the_operators_and_sensors(info: dict[str, Any]) -> None:
    classes = {load_object(path) for path in info["extra-links"]}
    assert {type(link) for link in links.LINKS} <= classes
    assert {link_class.__module__ for link_class in classes} == {links.__name__}


# Airflow 3 warns that tasks should use another manager.
@pytest.mark.filterwarnings("ignore")
def test_airflow_lists_what_the_provider_has(info: dict[str, Any]) -> None:
    manager = ProvidersManager()
    assert {*info["extra-links"]} <= {*manager.extra_links_class_names}
    assert "airflow_pinecone.triggers" in {trigger.trigger_class_name for trigger in manager.trigger}


# Airflow 3 warns that tasks should use another manager.
@pytest.mark.filterwarnings("ignore")
def test_plugin_is_registered_once(info: dict[str, Any]) -> None:
    """It has an entry point. Airflow would refuse the same plugin of a provider, and not make an instance of it."""
    (entry,) = [each for each in entry_points(group="airflow.plugins") if each.value.startswith("airflow_pinecone.")]
    assert entry.load().name == "pinecone_backups"
    assert "plugins" not in info
    manager = ProvidersManager()
    manager.initialize_providers_plugins()
    assert [plugin.name for plugin in manager.plugins if "pinecone" in plugin.name] == []


@pytest.mark.parametrize("name", ["asset-uris", "dataset-uris"])
def test_handlers_of_asset_uris_exist(info: dict[str, Any], name: str) -> None:
    (entry,) = info[name]
    assert entry["schemes"] == ["pinecone"]
    assert callable(load_object(entry["handler"]))


def test_airflow_finds_the_entry_point(info: dict[str, Any]) -> None:
    (entry,) = [e for e in entry_points(group="apache_airflow_provider") if e.value.startswith("airflow_pinecone.")]
    assert entry.load()() == info


def test_info_has_the_name_of_the_distribution(info: dict[str, Any]) -> None:
    """Airflow ignores a provider whose metadata names another package."""
    distribution = metadata(info["package-name"])
    assert distribution["Name"] == info["package-name"] == "airflow-pinecone"
    assert distribution["Version"] == airflow_pinecone.__version__


# Airflow 3 warns that tasks should use another manager. This one is for its servers, and for Airflow 2.
@pytest.mark.filterwarnings("ignore")
def test_airflow_registers_the_hook(info: dict[str, Any]) -> None:
    hook = ProvidersManager().hooks["pinecone"]
    assert hook is not None
    assert hook.hook_class_name == "airflow_pinecone.hooks.PineconeHook"
    assert hook.package_name == "airflow-pinecone"
    assert hook.connection_testable
    if knows_forms():
        assert ProvidersManager().field_behaviours["pinecone"]["relabeling"]["password"] == "API key"
        fields = {f"extra__pinecone__{name}" for name in info["connection-types"][0]["conn-fields"]}
        assert fields <= {*ProvidersManager().connection_form_widgets}


def test_package_is_typed() -> None:
    assert (Path(airflow_pinecone.__file__).parent / "py.typed").exists()


# With the official provider


def install(folder: Path, name: str) -> None:
    """Create the metadata of an installed distribution."""
    metadata_folder = folder / f"{name.replace('-', '_')}-2.5.1.dist-info"
    metadata_folder.mkdir()
    (metadata_folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5.1\n")


@pytest.mark.parametrize("name", [OFFICIAL, "apache_airflow_providers_pinecone", "Apache.Airflow.Providers-Pinecone"])
def test_official_provider_keeps_its_connection_type(
    info: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    install(tmp_path, name)
    monkeypatch.syspath_prepend(tmp_path)
    assert get_provider_info() == {key: value for key, value in info.items() if key != "connection-types"}


def test_other_distributions_change_nothing(
    info: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, f"{OFFICIAL}-more")
    monkeypatch.syspath_prepend(tmp_path)
    assert get_provider_info() == info


_USE_BOTH = """
import json
from airflow.providers_manager import ProvidersManager

manager = ProvidersManager()
packages = [name for name in manager.providers if "pinecone" in name]
hook = manager.hooks["pinecone"].hook_class_name
form = manager.field_behaviours.get("pinecone", {}).get("relabeling")

from airflow.providers.pinecone.hooks.pinecone import PineconeHook as OfficialHook
from airflow_pinecone.hooks import PineconeHook

print(json.dumps({
    "packages": sorted(packages),
    "hook": hook,
    "form": form,
    "official": [index.name for index in OfficialHook().list_indexes()],
    "ours": [index["name"] for index in PineconeHook().list_indexes()],
}))
"""


def test_both_providers_use_one_connection_without_warnings(emulator: Emulator) -> None:
    official = os.environ.get(FOLDER_VARIABLE, "")
    if not Path(official, "airflow", "providers", "pinecone").is_dir():
        pytest.fail(
            f"{FOLDER_VARIABLE} must name a folder with {OFFICIAL} in it (pip install --no-deps --target). "
            "`make test-fast` creates one and sets the variable."
        )
    connection = {
        "conn_type": "pinecone",
        "host": emulator.url,
        "login": "us-east-1-aws",
        "password": emulator.api_key,
        "extra": {"region": "us-east-1", "project_id": "abc123"},
    }
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [official, os.environ.get("PYTHONPATH")])),
        CONNECTION_VARIABLE: json.dumps(connection),
    }
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _USE_BOTH],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    form = {"login": "Pinecone Environment", "host": "Pinecone Host", "password": "Pinecone API key"}
    *log, result = process.stdout.splitlines()
    assert json.loads(result) == {
        "packages": ["airflow-pinecone", OFFICIAL],
        "hook": "airflow.providers.pinecone.hooks.pinecone.PineconeHook",
        "form": form if knows_forms() else None,
        "official": ["docs-example"],
        "ours": ["docs-example"],
    }
    # Airflow 3.0 warns about connection types of its own providers.
    lines = [line.lower() for line in log + process.stderr.splitlines() if "pinecone" in line]
    assert [line for line in lines if "warn" in line or "error" in line] == []
    clients = {exchange.headers["User-Agent"].split("/")[0] for exchange in emulator.requests}
    assert len(clients) == 2
    assert "airflow-pinecone" in clients
