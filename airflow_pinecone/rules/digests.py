"""Digests of records, which prove that two sets of records are the same. This module needs numpy.

The digest of a record is a hash of its canonical bytes, and the digest of a namespace is the sum of those of its
records. So it does not depend on the order of the records, or on how they are split into parts. The format has a
version, and the reference documents it, so that another program can compute the same digest.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_pinecone.api.record import Record, SparseValues

VERSION = "v1"
_BITS = 128
_PERSON = b"pinecone-record1"
_UINT32 = struct.Struct("<I").pack
_DOUBLE = struct.Struct("<d").pack


class NamespaceDigest:
    """The digest of a namespace.

    Attributes:
        count: The number of records.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, records: Iterable[Record]) -> None:
        """Add records. Their order has no effect."""
        for record in records:
            self._sum += int.from_bytes(record_hash(record), "little")
            self.count += 1
        self._sum %= 2**_BITS

    def merge(self, digest: str) -> None:
        """Add the records of another digest. They must be different ones.

        Args:
            digest: The digest as text.

        Raises:
            ValueError: It is no digest of this version.
        """
        version, count, total = digest.split(":")
        if version != VERSION:
            raise ValueError(f"{digest} is no digest of version {VERSION}")
        self.count += int(count)
        self._sum = (self._sum + int(total, 16)) % 2**_BITS

    def __str__(self) -> str:
        """Return the digest as text, such as ``v1:1000:9f8a…``: the version, the count and 32 hexadecimal digits."""
        return f"{VERSION}:{self.count}:{self._sum:032x}"


def record_hash(record: Record) -> bytes:
    """Return the 16 bytes of the hash of a record.

    Two records have the same hash if they have the same id, the same bits of each value (-0 is 0), the same sparse
    values in any order, and the same metadata with the keys in any order. Numbers in metadata are doubles, so 1 and 1.0
    are the same, but True is not 1.
    """
    record_id = record.id.encode()
    values = record.values
    parts = [_UINT32(len(record_id)), record_id, _UINT32(len(values)), _bytes_of(values)]
    if record.sparse_values is None:
        parts.append(_UINT32(0))
    else:
        order = sparse_order(record.sparse_values)
        parts += [
            _UINT32(len(order)),
            record.sparse_values.indices[order].astype("<u4").tobytes(),
            _bytes_of(record.sparse_values.values[order]),
        ]
    parts.append(canonical_metadata(record.metadata))
    return hashlib.blake2b(b"".join(parts), digest_size=_BITS // 8, person=_PERSON).digest()


def sparse_order(sparse: SparseValues) -> NDArray[np.intp]:
    """Return the order of sparse values: by their index, and by their value if two have the same index."""
    return np.lexsort((sparse.values, sparse.indices))


def canonical_metadata(value: Any) -> bytes:
    """Return the canonical bytes of metadata: those of two values differ if their types differ."""
    if isinstance(value, str):
        return _text(b"s", value)
    if value is True or value is False:
        return b"b\x01" if value else b"b\x00"
    if isinstance(value, int | float):
        # -0 is 0.
        return b"n" + _DOUBLE(float(value) + 0.0)
    if isinstance(value, list):
        return b"l" + _UINT32(len(value)) + b"".join(map(canonical_metadata, value))
    if isinstance(value, dict):
        items = (_text(b"k", key) + canonical_metadata(value[key]) for key in sorted(value))
        return b"d" + _UINT32(len(value)) + b"".join(items)
    return b"z"


def _text(tag: bytes, text: str) -> bytes:
    content = text.encode()
    return tag + _UINT32(len(content)) + content


def _bytes_of(values: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    # Adding 0 changes -0 into 0, and nothing else.
    return (values + np.float32(0)).astype("<f4", copy=False).tobytes()
