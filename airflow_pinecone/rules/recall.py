"""The recall of queries: how many of the true nearest neighbors an index returns. This module needs numpy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_pinecone.api.record import Record

# An index computes scores with float32, in another order. Two scores are the same if they differ by less than this, as
# a share of the largest score that vectors of these lengths can have.
_TOLERANCE = 1e-5


class Recall:
    """The recall of some queries, from a walk over all records of their namespace.

    A record that was found counts if its exact score is as good as that of the last true neighbor. So of many records
    with the same score, any may be found.

    Args:
        queries: The records whose values are the query vectors, with dense values.
        found: The ids that the index returned for each query.
        metric: The metric of the index: ``cosine``, ``dotproduct`` or ``euclidean``.
        top_k: The number of neighbors.
    """

    def __init__(self, queries: Sequence[Record], found: Sequence[Collection[str]], metric: str, top_k: int) -> None:
        self._vectors = np.stack([query.values for query in queries]).astype(np.float64)
        self._found = [set(ids) for ids in found]
        self._metric = metric
        self._top_k = top_k
        # The best scores of each query so far, in any order.
        self._best = [np.empty(0) for _ in queries]
        # The scores of the records that were found, each plus its tolerance.
        self._scores_of_found: list[list[float]] = [[] for _ in queries]

    def add(self, records: Iterable[Record]) -> None:
        """Add records of the namespace. Those without dense values of the right dimension are skipped."""
        width = self._vectors.shape[1]
        comparable = [record for record in records if len(record.values) == width]
        if not comparable:
            return
        scores, tolerances = self._scores(np.stack([record.values for record in comparable]).astype(np.float64))
        for number, found in enumerate(self._found):
            best = np.concatenate([self._best[number], scores[number]])
            self._best[number] = np.partition(best, -self._top_k)[-self._top_k :] if len(best) > self._top_k else best
            self._scores_of_found[number] += [
                float(scores[number, position] + tolerances[number, position])
                for position, record in enumerate(comparable)
                if record.id in found
            ]

    def shares(self) -> list[float]:
        """Return the share of the true neighbors that each query has found, from 0 to 1; 1 if there are no records."""
        return [
            1.0 if not len(best) else min(1.0, sum(score >= best.min() for score in scores) / len(best))
            for best, scores in zip(self._best, self._scores_of_found, strict=True)
        ]

    def _scores(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the score of each record for each query, of which a higher one is nearer, and its tolerance."""
        queries = self._vectors
        products: NDArray[np.float64] = queries @ values.T
        lengths: NDArray[Any] = np.linalg.norm(values, axis=1)[None, :]
        query_lengths: NDArray[Any] = np.linalg.norm(queries, axis=1)[:, None]
        if self._metric == "dotproduct":
            return products, _TOLERANCE * query_lengths * lengths
        if self._metric == "euclidean":
            squares = query_lengths**2 + lengths**2
            return 2 * products - squares, _TOLERANCE * squares
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(products / lengths / query_lengths), np.full_like(products, _TOLERANCE)
