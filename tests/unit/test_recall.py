from typing import Any

import numpy as np
import pytest

from airflow_pinecone.api.record import Record
from airflow_pinecone.rules.recall import Recall


def records(values: Any) -> list[Record]:
    return [Record(f"r{n:04d}", np.array(row, np.float32), None, {}) for n, row in enumerate(values)]


def names(numbers: Any) -> list[str]:
    return [f"r{n:04d}" for n in numbers]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("metric", ["cosine", "dotproduct", "euclidean"])
def test_neighbors_are_those_of_all_records(metric: str, scale: float) -> None:
    values = np.random.default_rng(1).standard_normal((300, 8)) * scale
    all_records = records(values)
    scores = {
        "dotproduct": values @ values.T,
        "euclidean": -np.linalg.norm(values[:, None] - values[None], axis=2),
        "cosine": (values @ values.T) / np.linalg.norm(values, axis=1) / np.linalg.norm(values, axis=1)[:, None],
    }[metric]
    order = [np.argsort(-scores[query]) for query in range(4)]
    found = [order[0][:10], order[1][:5], order[2][10:20], order[3][-10:]]
    recall = Recall(all_records[:4], [names(each) for each in found], metric, top_k=10)
    for start in range(0, 300, 70):
        recall.add(all_records[start : start + 70])
    assert recall.shares() == [1.0, 0.5, 0.0, 0.0]


def test_any_of_many_equal_records_is_a_neighbor() -> None:
    recall = Recall(records([[1, 0]]), [names(range(40, 50))], "cosine", top_k=10)
    recall.add(records([[2, 0]] * 60))
    assert recall.shares() == [1.0]


def test_few_records() -> None:
    query = records([[1, 0]])
    searches = [Recall(query, [found], "cosine", top_k=10) for found in ([], names([0, 1]), names([1]))]
    assert [search.shares() for search in searches] == [[1.0]] * 3
    for search in searches:
        search.add([*records([[1, 0], [0, 0]]), Record("other", np.ones(3, np.float32), None, {})])
    assert [search.shares() for search in searches] == [[0.0], [1.0], [0.5]]
