"""Reading the records of an index of an emulator."""

from typing import Any

from airflow_pinecone.emulator import Emulator
from support.emulator_client import Ask


def host_path(emulator: Emulator, index_name: str) -> str:
    """Return the path of the data plane of an index."""
    [host] = [index["host"] for index in emulator.indexes if index["name"] == index_name]
    return str(host).removeprefix(emulator.url)


def list_ids(ask: Ask, path: str, **query: Any) -> list[str]:
    """Return all ids of a namespace, page by page."""
    ids: list[str] = []
    while True:
        response = ask("GET", path + "/vectors/list", params=query)
        assert response.status_code == 200, response.text
        page = response.json()
        assert len(page["vectors"]) <= int(query.get("limit", 100))
        ids += [each["id"] for each in page["vectors"]]
        if "pagination" not in page:
            return ids
        query["paginationToken"] = page["pagination"]["next"]
