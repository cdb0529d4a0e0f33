"""The official client imports a copy, and queries the index."""

from pathlib import Path
from typing import Any

import numpy as np
from pinecone import Pinecone
from support.clock import FakeClock
from support.constants import API_KEY
from support.copies import contents, export

from airflow_pinecone.emulator import Emulator


def test_the_official_client_imports_a_copy_and_queries_it(world: Emulator, clock: FakeClock, tmp_path: Path) -> None:
    world.add_index("original", records=0, dimension=8)
    rows = np.random.default_rng(1).standard_normal((60, 8)).astype(np.float32)
    records = [
        {"id": f"record-{number:02}", "values": row.tolist(), "metadata": {"number": number}}
        for number, row in enumerate(rows)
    ]
    world.add_records("original", records[:50])
    world.add_records("original", records[50:], namespace="other")
    url = export(world, clock, "original", tmp_path)
    world.add_index("restored", records=0, dimension=8)

    [host] = [each["host"] for each in world.indexes if each["name"] == "restored"]
    with Pinecone(api_key=API_KEY, host=world.url) as client:
        index: Any = client.Index(host=host)
        started = index.start_import(uri=f"{url}/data", error_mode="abort")
        clock.advance(60)
        described = index.describe_import(started.id)
        assert (described.status, described.records_imported) == ("Completed", 60)
        assert contents(world, "restored") == contents(world, "original")
        for namespace, record in (("", records[7]), ("other", records[55])):
            [match] = index.query(vector=record["values"], top_k=1, namespace=namespace, include_metadata=True).matches
            assert (match.id, match.metadata) == (record["id"], record["metadata"])
        index.close()
