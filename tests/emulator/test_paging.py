"""Pages of the emulator's lists."""

import base64
from typing import Any

import pytest
from support.emulator_client import Ask

from airflow_pinecone.emulator import Emulator


def all_pages(ask: Ask, path: str, **query: Any) -> list[list[str]]:
    pages: list[list[str]] = []
    while True:
        body = ask("GET", path, params=query).json()
        pages.append([row["backup_id"] for row in body["data"]])
        if "pagination" not in body:
            return pages
        query = {"paginationToken": body["pagination"]["next"]}


@pytest.mark.parametrize("path", ["/backups", "/indexes/docs-example/backups"])
def test_pages_contain_every_row_once(ask: Ask, emulator: Emulator, path: str) -> None:
    ids = [emulator.add_backup("docs-example")["backup_id"] for _ in range(25)]
    if path != "/backups":
        emulator.add_backup("other")
    pages = all_pages(ask, path)
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [row for page in pages for row in page] == ids[::-1]
    assert [len(page) for page in all_pages(ask, path, limit=24)] == [24, 1]
    assert [len(page) for page in all_pages(ask, path, limit=100)] == [25]


def test_full_last_page_has_a_token(ask: Ask, emulator: Emulator) -> None:
    for _ in range(4):
        emulator.add_backup("docs-example")
    assert [len(page) for page in all_pages(ask, "/backups", limit=2)] == [2, 2, 0]


def test_empty_list(ask: Ask) -> None:
    for path in ("/backups", "/indexes/docs-example/backups", "/restore-jobs"):
        assert ask("GET", path).json() == {"data": []}


def test_rows_shift_if_a_backup_is_created_between_two_pages(ask: Ask, emulator: Emulator) -> None:
    old = [emulator.add_backup("docs-example")["backup_id"] for _ in range(4)]
    first = ask("GET", "/backups", params={"limit": 2}).json()
    emulator.add_backup("docs-example")
    second = ask("GET", "/backups", params={"paginationToken": first["pagination"]["next"]}).json()
    assert [row["backup_id"] for row in second["data"]] == [old[2], old[1]]
    assert first["data"][-1]["backup_id"] == old[2]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "", "1.5", "\u0661"])
def test_invalid_limit_is_rejected(ask: Ask, limit: str) -> None:
    response = ask("GET", "/backups", params={"limit": limit})
    assert response.status_code == 400
    assert "from 1 to 100" in response.json()["error"]["message"]


def test_limit_with_a_token_is_rejected(ask: Ask, emulator: Emulator) -> None:
    for _ in range(2):
        emulator.add_backup("docs-example")
    token = ask("GET", "/backups", params={"limit": 1}).json()["pagination"]["next"]
    response = ask("GET", "/backups", params={"limit": 1, "paginationToken": token})
    assert response.status_code == 400
    assert "Do not send limit" in response.json()["error"]["message"]


def test_invalid_token_is_rejected(ask: Ask, emulator: Emulator) -> None:
    for _ in range(2):
        emulator.add_backup("docs-example")
    other = ask("GET", "/backups", params={"limit": 1}).json()["pagination"]["next"]
    forged = [base64.b64encode(text).decode() for text in (b"[]", b"5", b'["backups", "x", 1]', b"\xff")]
    assert ask("GET", "/backups", params={"paginationToken": other}).status_code == 200
    for token in ("nonsense", "", "é", *forged):
        response = ask("GET", "/backups", params={"paginationToken": token})
        assert response.status_code == 400, token
        assert response.json()["error"]["message"] == "Invalid pagination token."
    response = ask("GET", "/indexes/docs-example/backups", params={"paginationToken": other})
    assert response.status_code == 400


def test_unknown_query_parameter_is_rejected(ask: Ask) -> None:
    response = ask("GET", "/backups", params={"pagination_token": "x"})
    assert response.status_code == 400
    assert "pagination_token" in response.json()["error"]["message"]
