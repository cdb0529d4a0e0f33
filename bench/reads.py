"""Read all records of an index, and compare the reader of this package with a loop over the official client.

`make bench-records` runs it. The emulator is a process of its own, and so is each way to read: its CPU and its memory
are those of the reader alone. RECORDS=20000 reads fewer records, and writes no results.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
RECORDS, DIMENSION = 1_000_000, 768
# The official client keeps nothing here, so its memory says nothing about a loop that collects what it reads.
WAYS = ("idle", "package", "resumed", "sdk")
KEY, INDEX = "bench-key-1", "bench"
# How often a body is parsed to measure it.
_PARSES = 20


def main() -> int:
    """Measure each way, print the table, and write it and the figures into the documentation."""
    records = int(os.environ.get("RECORDS") or RECORDS)
    results: dict[str, Any] = {"records": records, "dimension": DIMENSION, "python": sys.version.split()[0], "ways": {}}
    with _emulator(records) as url:
        for way in WAYS:
            command = [sys.executable, "-W", "ignore", __file__, way, url]
            output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
            measured = json.loads(output.splitlines()[-1])
            if way in ("package", "sdk") and measured["records"] != records:
                raise RuntimeError(f"{way} has read {measured['records']} of {records} records.")
            results["ways"][way] = measured
            print(way, json.dumps(results["ways"][way]), file=sys.stderr, flush=True)
    print(document(results))
    if records == RECORDS:
        (DOCS / "records.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        (DOCS / "records.md").write_text(document(results), encoding="utf-8")
    return 0


def document(results: dict[str, Any]) -> str:
    """Return the results as tables."""
    ways, count = results["ways"], results["records"]
    idle, package, sdk = ways["idle"], ways["package"], ways["sdk"]
    parse = package["parse"]
    rows = [
        ("records read", f"{package['records']:,}", f"{sdk['records']:,}"),
        ("requests", f"{package['requests']:,}", f"{sdk['requests']:,}"),
        ("seconds", f"{package['seconds']:,.0f}", f"{sdk['seconds']:,.0f}"),
        ("CPU seconds", f"{package['cpu']:,.0f}", f"{sdk['cpu']:,.0f}"),
        ("CPU, as a multiple of parsing", f"{package['cpu'] / parse['orjson_all']:.2f}", ""),
        ("memory above an idle task, MiB", *(f"{way['peak'] - idle['peak']:,.0f}" for way in (package, sdk))),
    ]
    lines = [
        f"{count:,} records of {results['dimension']} dimensions, Python {results['python']}.",
        "",
        "| | this package | a loop with the official client |",
        "| --- | ---: | ---: |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"Parsing one response of {parse['records']} records:",
        "",
        "| | milliseconds |",
        "| --- | ---: |",
        *(f"| {name} | {parse[key]:.1f} |" for key, name in _PARSERS.items()),
        "",
        f"A read that stopped after {ways['resumed']['stopped_after']:,} records was resumed with a new reader, which "
        f"read the other {ways['resumed']['records']:,} with {ways['resumed']['requests']:,} requests.",
        "",
    ]
    return "\n".join(lines)


_PARSERS = {
    "json": "`json.loads`",
    "orjson": "`orjson.loads`",
    "msgspec": "`msgspec.json.decode`",
    "record": "this package: orjson, then float32 and checks",
    "sdk": "the official client",
}


def measure(way: str, url: str) -> dict[str, Any]:
    """Read in this process, and return what it took."""
    os.environ["AIRFLOW_CONN_PINECONE_DEFAULT"] = json.dumps({"conn_type": "pinecone", "host": url, "password": KEY})
    from airflow_pinecone.hooks import PineconeHook

    records = PineconeHook().records(INDEX)
    extra: dict[str, Any] = {}
    if way == "idle":
        records.namespaces()
    started, cpu = time.monotonic(), time.process_time()
    count = 0
    if way == "sdk":
        count, extra["requests"] = _read_with_sdk(url)
    elif way != "idle":
        position = None
        if way == "resumed":
            position, extra["stopped_after"] = _position_of_the_middle(records)
            records = PineconeHook().records(INDEX)
        for batch in records.read(after=position):
            count += len(batch.records)
        extra["requests"] = records.usage.requests
    measured = {"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu, "peak": _peak_mib()}
    if way == "package":
        extra["parse"] = _parse(url, records.usage.response_bytes)
    return {"records": count, **measured, **extra}


def _position_of_the_middle(records: Any) -> tuple[Any, int]:
    """Read the first half, and return where to resume, and after how many records."""
    half = next(iter(records.namespaces().values())) // 2
    count = 0
    for batch in records.read():
        count += len(batch.records)
        if count >= half:
            return batch.position, count
    raise RuntimeError("The namespace has fewer records than it says.")


def _read_with_sdk(url: str) -> tuple[int, int]:
    """Read all records with a loop over the official client, and return their number and that of the requests."""
    from pinecone import Pinecone

    client = Pinecone(api_key=KEY, host=url)
    index = client.Index(host=str(client.describe_index(INDEX).host))
    count = requests = 0
    for page in index.list():
        ids = [str(item.id) for item in page.vectors]
        count += len(index.fetch(ids=ids).vectors)
        requests += 2
    return count, requests


def _parse(url: str, response_bytes: int) -> dict[str, Any]:
    """Return the milliseconds that each parser takes for one response, and the seconds of orjson for all bytes."""
    import msgspec
    import orjson
    import requests
    from pinecone import Pinecone
    from pinecone._internal.adapters.vectors_adapter import VectorsAdapter

    from airflow_pinecone.api import record_bodies
    from airflow_pinecone.api.operation import Operation

    client = Pinecone(api_key=KEY, host=url)
    host = client.describe_index(INDEX).host
    headers = {"Api-Key": KEY, "X-Pinecone-Api-Version": "2025-10"}
    page = requests.get(f"{host}/vectors/list", headers=headers, timeout=60).json()
    ids = [row["id"] for row in page["vectors"]]
    content = requests.get(f"{host}/vectors/fetch", params={"ids": ids}, headers=headers, timeout=60).content
    operation = Operation("fetch", "GET", ("vectors", "fetch"), "fetch records")
    parsers: dict[str, Callable[[], Any]] = {
        "json": lambda: json.loads(content),
        "orjson": lambda: orjson.loads(content),
        "msgspec": lambda: msgspec.json.decode(content),
        "record": lambda: record_bodies.vectors(record_bodies.decode(content).json, operation, ids),
        "sdk": lambda: VectorsAdapter.to_fetch_response(content),
    }
    result: dict[str, Any] = {name: _milliseconds(parse) for name, parse in parsers.items()}
    all_bodies = result["orjson"] / 1000 * response_bytes / len(content)
    return {"records": len(ids), "bytes": len(content), **result, "orjson_all": all_bodies}


def _milliseconds(function: Callable[[], Any]) -> float:
    function()
    started = time.process_time()
    for _ in range(_PARSES):
        function()
    return (time.process_time() - started) / _PARSES * 1000


def _peak_mib() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _emulator(records: int) -> Iterator[str]:
    """Run an emulator with an index of generated records."""
    command = [sys.executable, "-m", "airflow_pinecone.emulator", "--port", "0", "--api-key", KEY, "--index", INDEX]
    command += ["--seed-records", str(records), "--dimension", str(DIMENSION)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield next(iter(process.stdout or ())).split()[-1]
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        sys.exit(main())
