"""What Airflow asks of a provider, alone and beside the official provider for Pinecone."""

import importlib
import json
import os
import subprocess
import sys
from importlib.metadata import entry_points, metadata
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

import airflow_pinecone
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.provider_info import get_provider_info

OFFICIAL = "apache-airflow-providers-pinecone"
NEEDED = "OFFICIAL_PROVIDER_DIR"


@pytest.fixture
def info():
    """The info where the official provider is not installed."""
    info = get_provider_info()
    if "connection-types" not in info:
        pytest.fail(f"This test needs an environment in which {OFFICIAL} is not installed")
    return info


def schema(name):
    """A schema out of the Airflow that runs here."""
    paths = [Path(folder) / f"{name}.schema.json" for folder in airflow.__path__]
    return json.loads(next(path for path in paths if path.exists()).read_text(encoding="utf-8"))


def load(path):
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


# Alone


def test_it_fits_the_schema_of_airflow(info):
    jsonschema.validate(info, schema("provider_info"))


def test_the_connection_type_fits_the_schema_that_airflow_has_for_its_own_providers(info):
    rules = schema("provider.yaml")["properties"]["connection-types"]
    jsonschema.validate(info["connection-types"], rules)


def test_the_form_of_older_airflows_fits_and_is_the_same(info):
    form = PineconeHook.get_ui_field_behaviour()
    jsonschema.validate(form, schema("customized_form_field_behaviours"))
    newer = info["connection-types"][0]["ui-field-behaviour"]
    assert form["hidden_fields"] == newer["hidden-fields"]
    assert form["relabeling"] == newer["relabeling"]
    assert form["placeholders"]["host"] == newer["placeholders"]["host"]


def test_it_names_the_hook_and_its_type(info):
    (connection_type,) = info["connection-types"]
    assert load(connection_type["hook-class-name"]) is PineconeHook
    assert connection_type["connection-type"] == PineconeHook.conn_type == "pinecone"
    assert connection_type["hook-name"] == PineconeHook.hook_name


def test_the_form_asks_for_what_the_hook_reads(info):
    fields = info["connection-types"][0]["conn-fields"]
    assert set(fields) == {"api_version", "timeout", "allow_http"}
    for field in fields.values():
        jsonschema.Draft202012Validator.check_schema(field["schema"])
        jsonschema.validate(field["schema"].get("default"), field["schema"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(0, fields["timeout"]["schema"])


def test_airflow_finds_it_by_its_entry_point(info):
    (entry,) = [e for e in entry_points(group="apache_airflow_provider") if e.value.startswith("airflow_pinecone.")]
    assert entry.load()() == info


def test_it_is_named_as_its_distribution_is(info):
    """Airflow ignores a provider, with an error, whose info names another package."""
    distribution = metadata(info["package-name"])
    assert distribution["Name"] == info["package-name"] == "airflow-pinecone"
    assert distribution["Version"] == airflow_pinecone.__version__


# Airflow 3 wants another manager in a task; this is the one of its servers, and the one that Airflow 2 has.
@pytest.mark.filterwarnings("ignore")
def test_airflow_takes_the_hook_from_it(info):
    hook = ProvidersManager().hooks["pinecone"]
    assert hook.hook_class_name == "airflow_pinecone.hooks.PineconeHook"
    assert hook.package_name == "airflow-pinecone"
    assert hook.connection_testable
    assert ProvidersManager().field_behaviours["pinecone"]["relabeling"]["password"] == "API key"


def test_the_types_of_the_package_are_for_its_users_too():
    assert (Path(airflow_pinecone.__file__).parent / "py.typed").exists()


# Beside the official provider


@pytest.mark.parametrize("name", [OFFICIAL, "apache_airflow_providers_pinecone", "Apache.Airflow.Providers-Pinecone"])
def test_the_official_provider_keeps_its_connection_type(info, tmp_path, monkeypatch, name):
    folder = tmp_path / f"{name.replace('-', '_')}-2.5.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert get_provider_info() == {key: value for key, value in info.items() if key != "connection-types"}


def test_another_distribution_changes_nothing(info, tmp_path, monkeypatch):
    folder = tmp_path / "apache_airflow_providers_pinecone_more-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: apache-airflow-providers-pinecone-more\nVersion: 1.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert get_provider_info() == info


_TOGETHER = """
import json
from airflow.providers_manager import ProvidersManager

manager = ProvidersManager()
packages = [name for name in manager.providers if "pinecone" in name]
hook = manager.hooks["pinecone"].hook_class_name
form = manager.field_behaviours["pinecone"]["relabeling"]

from airflow.providers.pinecone.hooks.pinecone import PineconeHook as Official
from airflow_pinecone.hooks import PineconeHook as Ours

print(json.dumps({
    "packages": sorted(packages),
    "hook": hook,
    "form": form,
    "official": [index.name for index in Official().list_indexes()],
    "ours": [index["name"] for index in Ours().list_indexes()],
}))
"""


def test_both_work_on_one_connection_and_airflow_warns_of_nothing(emulator):
    official = os.environ.get(NEEDED, "")
    if not Path(official, "airflow", "providers", "pinecone").is_dir():
        pytest.fail(
            f"{NEEDED} must name a folder with {OFFICIAL} in it (pip install --no-deps --target): "
            "run the tests with `make test-fast`, which makes one"
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
        "AIRFLOW_CONN_PINECONE_DEFAULT": json.dumps(connection),
    }
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _TOGETHER],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    *log, result = run.stdout.splitlines()
    assert json.loads(result) == {
        "packages": ["airflow-pinecone", OFFICIAL],
        "hook": "airflow.providers.pinecone.hooks.pinecone.PineconeHook",
        "form": {"login": "Pinecone Environment", "host": "Pinecone Host", "password": "Pinecone API key"},
        "official": ["docs-example"],
        "ours": ["docs-example"],
    }
    said = [line for line in log + run.stderr.splitlines() if "warn" in line.lower() or "error" in line.lower()]
    assert said == []
    clients = {exchange.headers["User-Agent"].split("/")[0] for exchange in emulator.requests}
    assert len(clients) == 2
    assert "airflow-pinecone" in clients
