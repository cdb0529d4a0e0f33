"""Compute the digest of records without airflow-pinecone, from the JSON that Pinecone returns."""

import struct
from hashlib import blake2b
from typing import Any


def namespace_digest(records: list[dict[str, Any]]) -> str:
    """Return the digest of the records of a namespace."""
    total = sum(int.from_bytes(record_hash(record), "little") for record in records) % 2**128
    return f"v1:{len(records)}:{total:032x}"


def record_hash(record: dict[str, Any]) -> bytes:
    """Return the hash of a record, 16 bytes."""
    sparse = record.get("sparseValues") or {"indices": [], "values": []}
    pairs = sorted(zip(sparse["indices"], sparse["values"], strict=True))
    content = text(record["id"])
    content += floats(record.get("values") or [])
    content += uint32(len(pairs)) + b"".join(uint32(index) for index, _ in pairs)
    content += floats([value for _, value in pairs])[4:]
    content += canonical(record.get("metadata") or {})
    return blake2b(content, digest_size=16, person=b"pinecone-record1").digest()


def canonical(value: Any) -> bytes:
    """Return the bytes of metadata."""
    if isinstance(value, str):
        return b"s" + text(value)
    if isinstance(value, bool):
        return b"b" + bytes([value])
    if isinstance(value, int | float):
        return b"n" + struct.pack("<d", value + 0.0)
    if isinstance(value, list):
        return b"l" + uint32(len(value)) + b"".join(canonical(each) for each in value)
    if isinstance(value, dict):
        pairs = [b"k" + text(key) + canonical(value[key]) for key in sorted(value)]
        return b"d" + uint32(len(pairs)) + b"".join(pairs)
    return b"z"


def text(value: str) -> bytes:
    """Return the length and the bytes of a text."""
    return uint32(len(value.encode())) + value.encode()


def floats(values: list[float]) -> bytes:
    """Return the number of values, and each as a float32; -0 is 0."""
    return uint32(len(values)) + struct.pack(f"<{len(values)}f", *(value + 0.0 for value in values))


def uint32(number: int) -> bytes:
    """Return a number as 4 bytes."""
    return struct.pack("<I", number)
