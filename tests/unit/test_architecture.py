"""What a process imports, and therefore how fast Airflow starts and parses DAG files.

import-linter checks which module may import which other module: see its contracts in pyproject.toml.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import airflow_pinecone

# Imports that Airflow makes for every DAG file with an operator, a sensor and an asset.
BASELINE = """
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Asset, BaseOperator, BaseSensorOperator, conf
"""
# Only a running task, the triggerer or the emulator needs these.
SLOW_PACKAGES = (
    *("requests", "urllib3", "tenacity", "aiohttp", "numpy", "orjson"),
    *("airflow.triggers", "sqlalchemy", "pydantic", "pinecone"),
)
LATER_MODULES = tuple(
    f"airflow_pinecone.{name}"
    for name in ("api.client", "api.settings", "emulator", "hooks", "runtime.on_kill", "api.transport", "triggers")
)


def modules_imported_by(statement: str, baseline: str = "pass") -> set[str]:
    """Return the modules that a new process imports for a statement, in addition to those of the baseline."""
    code = f"""
import json, sys
{baseline}
before = set(sys.modules)
{statement}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    return set(json.loads(process.stdout.splitlines()[-1]))


def in_packages(modules: set[str], packages: tuple[str, ...]) -> list[str]:
    return [module for module in sorted(modules) if f"{module}.".startswith(tuple(f"{name}." for name in packages))]


def test_parsing_a_dag_file_imports_nothing_slow() -> None:
    statement = "from airflow_pinecone.operators import *; from airflow_pinecone.sensors import *"
    modules = modules_imported_by(
        f"{statement}; import airflow_pinecone.assets, airflow_pinecone.restore_test", BASELINE
    )
    assert {
        "airflow_pinecone.operators.create",
        "airflow_pinecone.sensors.backup",
        "airflow_pinecone.restore_test",
    } < modules
    assert in_packages(modules, SLOW_PACKAGES + LATER_MODULES) == []


def test_an_asset_imports_nothing_slow_and_needs_no_openlineage() -> None:
    """When a DAG file creates its first asset, Airflow imports the functions for asset URIs, and logs a failure."""
    uris = "from airflow_pinecone.provider_info import get_provider_info; (uris,) = get_provider_info()['asset-uris']"
    load = "[resolve_name(uris[name]) for name in ('handler', 'to_openlineage_converter')]"
    modules = modules_imported_by(f"{uris}; {load}", f"{BASELINE}from pkgutil import resolve_name")
    assert {"airflow_pinecone.assets", "airflow_pinecone.runtime.lineage"} < modules
    assert in_packages(modules, (*SLOW_PACKAGES, *LATER_MODULES, "openlineage", "airflow.providers.openlineage")) == []


def test_provider_discovery_imports_neither_airflow_nor_the_hook() -> None:
    modules = modules_imported_by("import airflow_pinecone.provider_info")
    assert "airflow_pinecone.provider_info" in modules
    assert in_packages(modules, ("airflow", "airflow_pinecone.hooks", "requests", "tenacity")) == []


def test_plugin_imports_nothing_slow() -> None:
    """Task processes and the DAG processor load it."""
    modules = modules_imported_by("import airflow_pinecone.ui.plugin", "import airflow.plugins_manager")
    # Airflow 3 has imported the package itself before, with provider_info.
    modules.discard("airflow_pinecone")
    assert modules == {
        "airflow_pinecone.runtime",
        "airflow_pinecone.runtime.airflow_versions",
        "airflow_pinecone.ui",
        "airflow_pinecone.ui.plugin",
    }


def test_the_root_module_holds_only_the_version() -> None:
    body = ast.parse(Path(airflow_pinecone.__file__).read_text(encoding="utf-8")).body
    assert [type(node) for node in body] == [ast.Expr, ast.Assign]
    assert ast.unparse(body[1]).startswith("__version__ = ")
