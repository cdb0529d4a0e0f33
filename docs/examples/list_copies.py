"""List the copies in a folder, the newest first, without Pinecone, Airflow and airflow-pinecone.

Its argument is the destination of the exports, such as s3://vault/pinecone. It needs fsspec, and s3fs for S3.
"""

import json
import sys
from datetime import UTC, datetime

import fsspec


def copies(destination: str) -> list[tuple[datetime, str, int, str]]:
    """Return for each copy the time of its records, the index, the number of records, and the folder."""
    fs, root = fsspec.url_to_fs(destination)
    found = []
    for path in fs.glob(f"{root}/*/*/copy/manifest.json"):
        folder = fs.unstrip_protocol(path.removesuffix("/copy/manifest.json"))
        try:
            manifest = json.loads(fs.cat_file(path))
            created_at = (manifest["backup"] or {}).get("created_at") or manifest["created_at"]
            time = datetime.fromisoformat(created_at)
            row = (manifest["index_name"], manifest["totals"]["records"], folder)
        except (KeyError, TypeError, ValueError) as error:
            print(f"The manifest of {folder} is invalid: {error!r}", file=sys.stderr)
            continue
        # Pinecone's times are in UTC.
        found.append((time if time.tzinfo else time.replace(tzinfo=UTC), *row))
    return sorted(found, reverse=True)


if __name__ == "__main__":
    for time, index, records, folder in copies(sys.argv[1]):
        print(f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC  {index}  {records} records  {folder}")
