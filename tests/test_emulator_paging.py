"""The emulator's listings, page by page."""

import base64

import pytest


def walk(ask, path, **query):
    pages = []
    while True:
        body = ask("GET", path, params=query).json()
        pages.append([row["backup_id"] for row in body["data"]])
        if "pagination" not in body:
            return pages
        query = {"paginationToken": body["pagination"]["next"]}


@pytest.mark.parametrize("path", ["/backups", "/indexes/docs-example/backups"])
def test_pages_cover_a_listing(ask, emulator, path):
    ids = [emulator.add_backup("docs-example")["backup_id"] for _ in range(25)]
    if path != "/backups":
        emulator.add_backup("other")
    pages = walk(ask, path)
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [row for page in pages for row in page] == ids[::-1]
    assert [len(page) for page in walk(ask, path, limit=24)] == [24, 1]
    assert [len(page) for page in walk(ask, path, limit=100)] == [25]


def test_a_full_last_page_still_carries_a_token(ask, emulator):
    for _ in range(4):
        emulator.add_backup("docs-example")
    assert [len(page) for page in walk(ask, "/backups", limit=2)] == [2, 2, 0]


def test_an_empty_listing(ask, emulator):
    for path in ("/backups", "/indexes/docs-example/backups", "/restore-jobs"):
        assert ask("GET", path).json() == {"data": []}


def test_rows_shift_when_a_backup_is_made_between_two_pages(ask, emulator):
    old = [emulator.add_backup("docs-example")["backup_id"] for _ in range(4)]
    first = ask("GET", "/backups", params={"limit": 2}).json()
    emulator.add_backup("docs-example")
    second = ask("GET", "/backups", params={"paginationToken": first["pagination"]["next"]}).json()
    assert [row["backup_id"] for row in second["data"]] == [old[2], old[1]]
    assert first["data"][-1]["backup_id"] == old[2]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "", "1.5", "\u0661"])
def test_a_wrong_limit_is_refused(ask, emulator, limit):
    answer = ask("GET", "/backups", params={"limit": limit})
    assert answer.status_code == 400
    assert "from 1 to 100" in answer.json()["error"]["message"]


def test_a_limit_beside_a_token_is_refused(ask, emulator):
    for _ in range(2):
        emulator.add_backup("docs-example")
    token = ask("GET", "/backups", params={"limit": 1}).json()["pagination"]["next"]
    answer = ask("GET", "/backups", params={"limit": 1, "paginationToken": token})
    assert answer.status_code == 400
    assert "no limit beside it" in answer.json()["error"]["message"]


def test_a_wrong_token_is_refused(ask, emulator):
    for _ in range(2):
        emulator.add_backup("docs-example")
    other = ask("GET", "/backups", params={"limit": 1}).json()["pagination"]["next"]
    forged = [base64.b64encode(text).decode() for text in (b"[]", b"5", b'["backups", "x", 1]', b"\xff")]
    assert ask("GET", "/backups", params={"paginationToken": other}).status_code == 200
    for token in ("nonsense", "", "é", *forged):
        answer = ask("GET", "/backups", params={"paginationToken": token})
        assert answer.status_code == 400, token
        assert answer.json()["error"]["message"] == "Invalid pagination token."
    answer = ask("GET", "/indexes/docs-example/backups", params={"paginationToken": other})
    assert answer.status_code == 400


def test_an_unknown_query_parameter_is_refused(ask, emulator):
    answer = ask("GET", "/backups", params={"pagination_token": "x"})
    assert answer.status_code == 400
    assert "pagination_token" in answer.json()["error"]["message"]
