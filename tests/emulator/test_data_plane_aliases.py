"""The namespace aliases of an index, which exist since API version 2026-07."""

import pytest
from support.emulator_client import Ask
from support.records import host_path

from airflow_pinecone.emulator import Emulator


@pytest.fixture
def path(emulator: Emulator) -> str:
    emulator.add_index("small", records=0)
    for name, namespace in (("b", "b_v1"), ("a", ""), ("ab", "b_v1")):
        emulator.add_namespace_alias("small", name, namespace)
    return host_path(emulator, "small") + "/namespace-aliases"


@pytest.mark.parametrize("api_version", ["2026-07"])
def test_aliases(ask: Ask, emulator: Emulator, path: str) -> None:
    body = ask("GET", path).json()
    assert [(each["name"], each["target_namespace"]) for each in body["namespace_aliases"]] == [
        ("a", "__default__"),
        ("ab", "b_v1"),
        ("b", "b_v1"),
    ]
    assert body["total_count"] == 3
    page = ask("GET", path, params={"limit": 1, "prefix": "a"}).json()
    query = {"limit": 1, "prefix": "a", "paginationToken": page["pagination"]["next"]}
    rest = ask("GET", path, params=query).json()
    assert [each["name"] for each in rest["namespace_aliases"]] == ["ab"]
    assert "pagination" not in rest
    assert ask("GET", path, params={"prefix": "z"}).json() == {"total_count": 0}


@pytest.mark.parametrize("api_version", ["2025-10", "2026-04"])
def test_earlier_versions_have_no_aliases(ask: Ask, path: str) -> None:
    assert ask("GET", path).status_code == 501
