"""The recall of queries: how many of the true nearest neighbors an index returns. This module needs numpy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_pinecone.api.record import Record

# How many more neighbors than k are kept, so that records with the score of the last neighbor count as neighbors.
_TIES = 10
# Relative. Two scores that differ by less are the same: an index computes them in another order.
_SCORE_TOLERANCE = 1e-4


class ExactNeighbors:
    """The true nearest neighbors of some records, from a walk over all records of their namespace.

    Args:
        queries: The records whose values are the query vectors, with dense values.
        metric: The metric of the index: ``cosine``, ``dotproduct`` or ``euclidean``.
        top_k: The number of neighbors.
    """

    def __init__(self, queries: Sequence[Record], metric: str, top_k: int) -> None:
        self.queries = queries
        self._top_k = top_k
        self._metric = metric
        self._vectors = np.stack([query.values for query in queries]).astype(np.float64)
        # The best records of each query so far, as pairs of a score and an id, the best first.
        self._best: list[list[tuple[float, str]]] = [[] for _ in queries]

    def add(self, records: Iterable[Record]) -> None:
        """Add records of the namespace. Those without dense values of the right dimension are skipped."""
        width = self._vectors.shape[1]
        comparable = [record for record in records if len(record.values) == width]
        if not comparable:
            return
        scores = _scores(self._vectors, np.stack([record.values for record in comparable]), self._metric)
        kept = min(self._top_k + _TIES, len(comparable))
        for best, row in zip(self._best, scores, strict=True):
            top = np.argpartition(-row, kept - 1)[:kept]
            best += [(float(row[i]), comparable[i].id) for i in top]
            best.sort(key=lambda pair: (-pair[0], pair[1]))
            del best[self._top_k + _TIES :]

    def recall(self, query: int, found: Collection[str]) -> float:
        """Return the share of the true neighbors of a query that a search has found, from 0 to 1.

        Args:
            query: The number of the query.
            found: The ids that the search returned.
        """
        best = self._best[query]
        expected = min(self._top_k, len(best))
        if not expected:
            return 1.0
        # Records with the same score as the last neighbor are as good.
        last = best[expected - 1][0]
        limit = last - _SCORE_TOLERANCE * max(1.0, abs(last))
        good = {record_id for score, record_id in best if score >= limit}
        return min(1.0, len(good & set(found)) / expected)


def _scores(queries: NDArray[Any], values: NDArray[Any], metric: str) -> NDArray[Any]:
    """Return the score of each record for each query; a higher one is nearer."""
    values = values.astype(np.float64)
    products: NDArray[Any] = queries @ values.T
    if metric == "dotproduct":
        return products
    lengths: NDArray[Any] = np.linalg.norm(values, axis=1)
    if metric == "euclidean":
        distances: NDArray[Any] = 2 * products - lengths**2
        return distances
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines: NDArray[Any] = np.nan_to_num(products / lengths / np.linalg.norm(queries, axis=1)[:, None])
    return cosines
