"""The plugin: what Airflow loads, on which versions, and what happens if the page cannot be built."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.plugins_manager import AirflowPlugin

from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.policy import IndexRules
from airflow_pinecone.runtime.airflow_versions import can_show_pages
from airflow_pinecone.runtime.links import url_prefix
from airflow_pinecone.ui.plugin import PineconeBackupsPlugin
from airflow_pinecone.ui.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = "AIRFLOW__PINECONE__UI_CONNECTIONS"
MAX_AGE = "AIRFLOW__PINECONE__UI_MAX_AGE"
BASE_URL = "AIRFLOW__API__BASE_URL"

needs_pages = pytest.mark.skipif(not can_show_pages(), reason="this Airflow cannot show pages")


def client_of(plugin: PineconeBackupsPlugin) -> Any:
    """Return a browser without cookies."""
    from fastapi.testclient import TestClient

    return TestClient(plugin.fastapi_apps[0]["app"], follow_redirects=False)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> PineconeBackupsPlugin:
    monkeypatch.setenv(BASE_URL, "http://localhost:8080/team/airflow/")
    return PineconeBackupsPlugin()


def test_entry_point_names_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ((name, value),) = project["entry-points"]["airflow.plugins"].items()
    assert EntryPoint(name, value, "airflow.plugins").load() is PineconeBackupsPlugin
    assert issubclass(PineconeBackupsPlugin, AirflowPlugin)
    assert PineconeBackupsPlugin.name


@needs_pages
def test_page_is_mounted_and_linked(plugin: PineconeBackupsPlugin) -> None:
    (mounted,) = plugin.fastapi_apps
    assert mounted["url_prefix"] == "/pinecone-backups"
    (linked,) = plugin.react_apps
    assert linked == {
        "name": "Pinecone backups",
        "destination": "nav",
        "category": "browse",
        "url_route": "pinecone-backups",
        "bundle_url": "/team/airflow/pinecone-backups/static/nav.js",
    }
    assert f'const NAME = "{linked["name"]}";' in client_of(plugin).get("/static/nav.js").text


@needs_pages
def test_app_is_built_once(plugin: PineconeBackupsPlugin) -> None:
    assert plugin.fastapi_apps is plugin.fastapi_apps
    # Airflow removes from this list what it rejects, and reads the property again.
    plugin.react_apps.remove(plugin.react_apps[0])
    assert plugin.react_apps == []


@needs_pages
def test_page_is_not_for_anonymous_users(plugin: PineconeBackupsPlugin) -> None:
    response = client_of(plugin).get("/", headers={"Accept": "text/html"})
    assert response.status_code == 303
    assert response.headers["Location"].startswith("/team/airflow/api/v2/auth/login?next=%2Fteam%2Fairflow%2F")


@pytest.mark.parametrize("version", ["2.11.2", "3.0.6", "3.1.0", "unknown"])
def test_nothing_is_added_to_old_versions(
    monkeypatch: pytest.MonkeyPatch, plugin: PineconeBackupsPlugin, version: str, logged: Callable[[], str]
) -> None:
    monkeypatch.setattr(airflow, "__version__", version)
    assert (plugin.fastapi_apps, plugin.react_apps) == ([], [])
    assert logged() == ""


@pytest.mark.parametrize("version", ["3.1.1", "3.1.8rc1", "3.3.2", "3.10.0.dev0", "4.0.0"])
def test_new_versions_can_show_pages(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(airflow, "__version__", version)
    assert can_show_pages()


@needs_pages
def test_error_while_building_is_logged(
    monkeypatch: pytest.MonkeyPatch, plugin: PineconeBackupsPlugin, logged: Callable[[], str]
) -> None:
    def fail() -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr("airflow_pinecone.ui.app.build_app", fail)
    assert (plugin.fastapi_apps, plugin.react_apps) == ([], [])
    assert logged().count("The page Pinecone backups is not available") == 1
    assert "broken" in logged()


@needs_pages
def test_invalid_option_does_not_stop_the_server(
    monkeypatch: pytest.MonkeyPatch, plugin: PineconeBackupsPlugin, logged: Callable[[], str]
) -> None:
    monkeypatch.setenv(MAX_AGE, "0")
    assert plugin.fastapi_apps == []
    assert "[pinecone] ui_max_age must be a number of seconds above 0" in logged()


# Settings


def test_default_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CONNECTIONS, MAX_AGE, BASE_URL):
        monkeypatch.delenv(name, raising=False)
    settings = read_settings()
    assert settings == (("pinecone_default",), IndexRules(108_000.0, min_records=1, max_shrink=0.5), "", None, "", "")


@pytest.mark.parametrize(
    ("text", "connections"),
    [("", ()), (" , ", ()), ("a", ("a",)), (" a, b ,,a", ("a", "b"))],
)
def test_connections_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, text: str, connections: tuple[str, ...]
) -> None:
    monkeypatch.setenv(CONNECTIONS, text)
    assert read_settings().connections == connections


@pytest.mark.parametrize(
    ("text", "audit"),
    [("", None), (" ", None), ("audits.audit", ("audits", "audit")), ("audits.group.audit", ("audits", "group.audit"))],
)
def test_audit_is_a_task(monkeypatch: pytest.MonkeyPatch, text: str, audit: tuple[str, str] | None) -> None:
    monkeypatch.setenv("AIRFLOW__PINECONE__UI_AUDIT", text)
    assert read_settings().audit == audit


@pytest.mark.parametrize("option", ["ui_restore_tests", "ui_copies"])
def test_folders_are_options(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    name = option.removeprefix("ui_")
    assert getattr(read_settings(), name) == ""
    monkeypatch.setenv(f"AIRFLOW__PINECONE__{option.upper()}", " s3://aws_default@bucket/folder ")
    assert getattr(read_settings(), name) == "s3://aws_default@bucket/folder"


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("ui_min_records", "-1"),
        ("ui_max_shrink", "1.5"),
        ("ui_max_age", "nan"),
        ("ui_audit", "audits"),
        ("ui_audit", ".a"),
    ],
)
def test_invalid_option_is_named(monkeypatch: pytest.MonkeyPatch, option: str, text: str) -> None:
    monkeypatch.setenv(f"AIRFLOW__PINECONE__{option.upper()}", text)
    with pytest.raises(PineconeInputError, match=rf"^\[pinecone\] {option} must be "):
        read_settings()


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("", ""), ("http://localhost:8080", ""), ("https://x.org/", ""), ("https://x.org/a/b/", "/a/b"), ("/a", "/a")],
)
def test_prefix_is_the_path_of_the_url(monkeypatch: pytest.MonkeyPatch, url: str, prefix: str) -> None:
    monkeypatch.setenv(BASE_URL, url)
    assert url_prefix() == prefix
