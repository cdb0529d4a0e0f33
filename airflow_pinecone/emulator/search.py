"""Search: the records of a namespace that are nearest to a query, by comparing all of them."""

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from airflow_pinecone.emulator.filters import Predicate
from airflow_pinecone.emulator.namespaces import Namespace
from airflow_pinecone.emulator.records import Floats, Record, SparseValues

_CHUNK = 1000


class Match(NamedTuple):
    """A record and its score."""

    record: Record
    score: float


def search(
    namespace: Namespace,
    metric: str,
    values: Floats | None,
    sparse: SparseValues | None,
    selects: Predicate,
    top_k: int,
) -> list[Match]:
    """Return the best matches, best first.

    Args:
        namespace: The records.
        metric: "cosine", "dotproduct" or "euclidean", whose score is the square of the distance: less is better.
        values: The dense values of the query, or None.
        sparse: The sparse values of the query, or None.
        selects: The filter.
        top_k: The largest number of matches.
    """
    sign = -1 if metric == "euclidean" else 1
    matches = _matches(namespace, metric, values, sparse, selects)
    return heapq.nsmallest(top_k, matches, key=lambda match: (-sign * match.score, match.record.id))


def _matches(
    namespace: Namespace, metric: str, values: Floats | None, sparse: SparseValues | None, selects: Predicate
) -> Iterator[Match]:
    ids = namespace.ids_from("")
    while chunk := [namespace.get(record_id) for record_id in islice(ids, _CHUNK)]:
        records = [record for record in chunk if selects(record.metadata or {})]
        if not records:
            continue
        scores = np.zeros(len(records))
        if values is not None:
            scores += _dense_scores(np.stack([record.values for record in records]), values, metric)
        if sparse is not None:
            query = dict(zip(sparse.indices.tolist(), sparse.values.tolist(), strict=True))
            scores += [_sparse_score(record.sparse, query) for record in records]
        yield from map(Match, records, scores.tolist())


def _dense_scores(rows: Floats, values: Floats, metric: str) -> Any:
    if metric == "euclidean":
        return np.square(rows.astype(np.float64) - values).sum(axis=1)
    products = rows @ values
    if metric == "dotproduct":
        return products
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(values)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def _sparse_score(sparse: SparseValues | None, query: dict[int, float]) -> float:
    if sparse is None:
        return 0.0
    pairs = zip(sparse.indices.tolist(), sparse.values.tolist(), strict=True)
    return float(sum(query.get(index, 0.0) * value for index, value in pairs))
