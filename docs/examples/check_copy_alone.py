"""Check a copy on a local disk without airflow-pinecone. Its argument is the folder."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from digest_alone import namespace_digest


def check(folder: Path) -> dict[str, int]:
    """Check each file of a copy, and return the number of records of each namespace."""
    manifest = json.loads((folder / "copy/manifest.json").read_bytes())
    assert (manifest["kind"], manifest["format"]) == ("airflow-pinecone-copy", 1)
    records: dict[str, list[dict[str, Any]]] = {namespace["name"]: [] for namespace in manifest["namespaces"]}
    for part in manifest["parts"]:
        content = (folder / part["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (part["bytes"], part["sha256"])
        rows = pq.read_table(folder / part["file"]).to_pylist()
        found = [
            {
                "id": row["id"],
                "values": row.get("values"),
                "sparseValues": row.get("sparse_values"),
                "metadata": json.loads(row["metadata"] or "{}"),
            }
            for row in rows
        ]
        assert namespace_digest(found) == part["digest"]
        records[part["namespace"]] += found
    for namespace in manifest["namespaces"]:
        # All records of a namespace are in memory here. The digests of its parts can be added instead.
        assert namespace_digest(records[namespace["name"]]) == namespace["digest"]
    return {name: len(found) for name, found in records.items()}


if __name__ == "__main__":
    for name, count in check(Path(sys.argv[1])).items():
        print(f"{name}: {count} records")
