"""List the copies in a folder, the newest first, without Pinecone, Airflow and airflow-pinecone.

Its argument is the destination of the exports, such as s3://vault/pinecone. It needs fsspec, and s3fs for S3.
"""

import json
import sys

import fsspec


def copies(destination: str) -> list[tuple[str, str, int, str]]:
    """Return for each copy the time of its records, the index, the number of records, and the folder."""
    fs, root = fsspec.url_to_fs(destination)
    found = []
    for path in fs.glob(f"{root}/*/*/copy/manifest.json"):
        manifest = json.loads(fs.cat_file(path))
        created_at = (manifest["backup"] or {}).get("created_at") or manifest["created_at"]
        folder = fs.unstrip_protocol(path.removesuffix("/copy/manifest.json"))
        found.append((created_at, manifest["index_name"], manifest["totals"]["records"], folder))
    return sorted(found, reverse=True)


if __name__ == "__main__":
    for created_at, index, records, folder in copies(sys.argv[1]):
        print(f"{created_at}  {index}  {records} records  {folder}")
