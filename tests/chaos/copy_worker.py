"""A process that exports a copy, and can kill itself at one of its function calls."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any, NamedTuple

from s3fs import S3FileSystem
from support.clients import make_client
from support.object_stores import ACCESS_KEY, REGION, SECRET_KEY

from airflow_pinecone.common.clock import SYSTEM_CLOCK
from airflow_pinecone.copying.export import export_part, list_parts, write_manifest
from airflow_pinecone.copying.store import CopyStore
from airflow_pinecone.rules.copy_plan import columns_of

RECORDS_PER_PART = 60


class Work(NamedTuple):
    """What a worker exports.

    Attributes:
        url: The URL of the emulator.
        source: The restored index.
        store_url: The URL of the S3 server.
        folder: The bucket and the key of the folder of the copy.
        kill_at: At which of its function calls the process kills itself; 0 never does.
    """

    url: str
    source: str
    store_url: str
    folder: str
    kill_at: int = 0


class Folder:
    """What a CopyStore needs of an ObjectStoragePath."""

    def __init__(self, work: Work) -> None:
        self.fs = S3FileSystem(
            key=ACCESS_KEY,
            secret=SECRET_KEY,
            endpoint_url=work.store_url,
            client_kwargs={"region_name": REGION},
            skip_instance_cache=True,
        )
        self._url = f"s3://{work.folder}"

    def __str__(self) -> str:
        return self._url


def export(work: Work, results: Any) -> None:
    """Export all parts, and write the manifest. The number of function calls is sent at the end."""
    calls = _count_calls(work.kill_at)
    reader = make_client(work.url, SYSTEM_CLOCK).records(work.source)
    store = CopyStore(Folder(work))
    details = reader.namespace_details()
    listing = list_parts(
        reader,
        store,
        {name: row.record_count for name, row in details.items()},
        schemas={},
        index={"name": "products"},
        aliases={},
        columns=columns_of(reader.index),
        records_per_part=RECORDS_PER_PART,
        is_frozen=True,
        log=lambda *_: None,
    )
    read = []
    for part in listing["parts"]:
        before = reader.usage.requests
        export_part(reader, store, listing, part["number"], is_frozen=True, on_records=lambda _: None)
        if reader.usage.requests > before:
            read.append(part["number"])
    write_manifest(
        store,
        listing,
        created_at="2026-01-01T00:00:00+00:00",
        is_frozen=True,
        index_name="products",
        backup=None,
        versions={},
    )
    sys.setprofile(None)
    results.send((calls[0], read))


def _count_calls(kill_at: int) -> list[int]:
    calls = [0]

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            calls[0] += 1
            if calls[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    return calls
