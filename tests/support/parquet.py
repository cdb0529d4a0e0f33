"""Write Parquet files as Pinecone imports them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TYPES: dict[str, Any] = {
    "id": pa.string(),
    "values": pa.list_(pa.float32()),
    "sparse_values": pa.struct([("indices", pa.list_(pa.uint32())), ("values", pa.list_(pa.float32()))]),
    "metadata": pa.string(),
}


def write_parquet(path: Path, columns: Mapping[str, Sequence[Any]], **types: Any) -> None:
    """Write a file, and create its folder.

    Args:
        path: The path.
        columns: The values of each column.
        types: The types of columns; Pinecone's by default.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: pa.array(values, {**TYPES, **types}.get(name)) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), path, compression="zstd", use_dictionary=False)
