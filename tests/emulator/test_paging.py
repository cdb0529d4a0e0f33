"""Pages of the emulator's lists."""

from typing import Any

import pytest
from support.emulator_client import Ask

from airflow_pinecone.emulator import Emulator


def all_pages(ask: Ask, path: str, key: str = "backup_id", **query: Any) -> list[list[str]]:
    pages: list[list[str]] = []
    while True:
        body = ask("GET", path, params=query).json()
        pages.append([row[key] for row in body["data"]])
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
    # A full last page has a token.
    for limit, sizes in ((24, [24, 1]), (100, [25]), (5, [5, 5, 5, 5, 5, 0])):
        assert [len(page) for page in all_pages(ask, path, limit=limit)] == sizes


def test_pages_of_restore_jobs(ask: Ask, emulator: Emulator) -> None:
    path = f"/backups/{emulator.add_backup('docs-example')['backup_id']}/create-index"
    for name in ("r0", "r1", "r2"):
        assert ask("POST", path, json={"name": name}).status_code == 202
    assert all_pages(ask, "/restore-jobs", "target_index_name", limit=2) == [["r2", "r1"], ["r0"]]


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


def test_token_of_another_list_is_rejected(ask: Ask, emulator: Emulator) -> None:
    for _ in range(2):
        emulator.add_backup("docs-example")
    token = ask("GET", "/backups", params={"limit": 1}).json()["pagination"]["next"]
    assert ask("GET", "/backups", params={"paginationToken": token}).status_code == 200
    response = ask("GET", "/indexes/docs-example/backups", params={"paginationToken": token})
    assert (response.status_code, response.json()["error"]["message"]) == (400, "Invalid pagination token.")
