from typing import Any

import numpy as np
import pytest

from airflow_pinecone.api.record import Record
from airflow_pinecone.rules.recall import ExactNeighbors


def records(values: Any) -> list[Record]:
    return [Record(f"r{n:04d}", np.array(row, np.float32), None, {}) for n, row in enumerate(values)]


@pytest.mark.parametrize("metric", ["cosine", "dotproduct", "euclidean"])
def test_neighbors_are_those_of_all_records(metric: str) -> None:
    values = np.random.default_rng(1).standard_normal((300, 8))
    all_records = records(values)
    scores = {
        "dotproduct": values @ values.T,
        "euclidean": -np.linalg.norm(values[:, None] - values[None], axis=2),
        "cosine": (values @ values.T) / np.linalg.norm(values, axis=1) / np.linalg.norm(values, axis=1)[:, None],
    }[metric]
    neighbors = ExactNeighbors(all_records[:5], metric, top_k=10)
    for start in range(0, 300, 70):
        neighbors.add(all_records[start : start + 70])
    for query in range(5):
        best = [f"r{n:04d}" for n in np.argsort(-scores[query])[:10]]
        assert neighbors.recall(query, best) == 1.0
        assert neighbors.recall(query, best[:5]) == 0.5
        assert neighbors.recall(query, [f"r{n:04d}" for n in np.argsort(scores[query])[:10]]) == 0.0


def test_records_with_the_score_of_the_last_neighbor_are_as_good() -> None:
    neighbors = ExactNeighbors(records([[1, 0]]), "cosine", top_k=2)
    neighbors.add(records([[1, 0], [1, 1], [2, 2], [0, 1]]))
    assert neighbors.recall(0, ["r0000", "r0001"]) == neighbors.recall(0, ["r0000", "r0002"]) == 1.0
    assert neighbors.recall(0, ["r0000", "r0003"]) == 0.5


def test_few_records() -> None:
    neighbors = ExactNeighbors(records([[1, 0]]), "cosine", top_k=10)
    assert neighbors.recall(0, []) == 1.0
    neighbors.add([*records([[1, 0], [0, 0]]), Record("other", np.ones(3, np.float32), None, {})])
    assert neighbors.recall(0, ["r0000", "r0001"]) == 1.0
    assert neighbors.recall(0, ["r0001"]) == 0.5
