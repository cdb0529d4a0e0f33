"""Decode the same records from JSON, as this package does, and from protobuf, which Pinecone's gRPC API has.

The stubs are those of an earlier official client, in a folder of their own:

    pip install --target STUBS "pinecone[grpc]<8"
    PYTHONPATH=STUBS:. python bench/wire_formats.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
from pinecone.core.grpc.protos import db_data_2025_04_pb2 as stubs  # type: ignore[import-not-found,unused-ignore]

from airflow_pinecone.api import record_bodies
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.api.record import Record

RECORDS, PER_ANSWER = 1_000, 100
DIMENSIONS = (768, 1536)
_OPERATION = Operation("fetch", "GET", ("vectors", "fetch"), "fetch records")
_REPEATS = 5


def main() -> int:
    """Print the bytes of the answers, and the CPU that decodes them, as a table."""
    print("| dimension | format | bytes | parsing, CPU ms | parsing and conversion to records, CPU ms |")
    print("| ---: | --- | ---: | ---: | ---: |")
    for dimension in DIMENSIONS:
        rows = _rows(dimension)
        groups = [rows[start : start + PER_ANSWER] for start in range(0, RECORDS, PER_ANSWER)]
        texts, messages = [_json(group) for group in groups], [_protobuf(group) for group in groups]
        if not all(map(_is_same, map(from_json, texts), map(from_protobuf, messages))):
            raise RuntimeError("The formats have other records.")
        ways: tuple[tuple[str, list[bytes], Callable[[bytes], Any], Callable[[bytes], Any]], ...] = (
            ("JSON", texts, orjson.loads, from_json),
            ("protobuf", messages, stubs.FetchResponse.FromString, from_protobuf),
        )
        for name, answers, parse, decode in ways:
            times = f"{_milliseconds(parse, answers):.0f} | {_milliseconds(decode, answers):.0f}"
            print(f"| {dimension:,} | {name} | {sum(map(len, answers)):,} | {times} |")
    return 0


def from_json(content: bytes) -> dict[str, Record]:
    """Decode an answer as this package does."""
    answer = record_bodies.decode(content).json
    return record_bodies.vectors(answer, _OPERATION, list(answer["vectors"]))


def from_protobuf(content: bytes) -> dict[str, Record]:
    """Decode an answer of the gRPC API to the same records."""
    answer = stubs.FetchResponse.FromString(content)
    return {
        record_id: Record(record_id, np.fromiter(row.values, np.float32, len(row.values)), None, _plain(row.metadata))
        for record_id, row in answer.vectors.items()
    }


def _plain(struct: Any) -> dict[str, Any]:
    fields = struct.fields.items()
    return {
        name: value.number_value if value.HasField("number_value") else value.string_value for name, value in fields
    }


def _rows(dimension: int) -> list[dict[str, Any]]:
    """Return records with a vector of unit length, a text and a number."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(RECORDS):
        vector = generator.standard_normal(dimension).astype(np.float32)
        values = vector / np.linalg.norm(vector)
        rows.append({"id": f"doc-{number:08}", "values": values, "metadata": {"text": "word " * 40, "n": number}})
    return rows


def _json(rows: list[dict[str, Any]]) -> bytes:
    content = {"vectors": {row["id"]: row for row in rows}, "namespace": "", "usage": {"readUnits": 10}}
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _protobuf(rows: list[dict[str, Any]]) -> bytes:
    answer = stubs.FetchResponse()
    for row in rows:
        vector = answer.vectors[row["id"]]
        vector.id = row["id"]
        vector.values.extend(row["values"].tolist())
        vector.metadata.update(row["metadata"])
    content: bytes = answer.SerializeToString()
    return content


def _is_same(one: dict[str, Record], other: dict[str, Record]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(record.values, other[name].values) and record.metadata == other[name].metadata
        for name, record in one.items()
    )


def _milliseconds(decode: Callable[[bytes], Any], answers: list[bytes]) -> float:
    """Return the CPU time for all answers; the least of some repeats."""
    times = []
    for _ in range(_REPEATS):
        started = time.process_time()
        for answer in answers:
            decode(answer)
        times.append(time.process_time() - started)
    return min(times) * 1000


if __name__ == "__main__":
    sys.exit(main())
