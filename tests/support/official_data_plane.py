"""What both official clients do with the records of an index: they have the same methods."""

from pathlib import Path
from typing import Any

from support.parquet import write_parquet

_IDS = [f"r-{number:03d}" for number in range(250)]


def use_data_plane(index: Any) -> None:
    """Call each method of the data plane on an empty index with two dimensions and the metric dotproduct."""
    records = [
        {
            "id": record_id,
            "values": [1.0, number / 8],
            "metadata": {"number": number, "tags": ["a"], "even": number % 2 == 0},
        }
        for number, record_id in enumerate(_IDS)
    ]
    records[3]["sparse_values"] = {"indices": [7, 4294967295], "values": [0.5, 0.25]}
    assert index.upsert(vectors=records, namespace="many", batch_size=100, show_progress=False).upserted_count == 250
    assert index.upsert(vectors=[{"id": "x", "values": [0.1, 3]}]).upserted_count == 1

    stats = index.describe_index_stats()
    assert (stats.total_vector_count, stats.namespaces["many"].vector_count, stats.dimension) == (251, 250, 2)
    listed = [
        item if isinstance(item, str) else item.id for page in index.list(namespace="many") for item in _items(page)
    ]
    assert listed == _IDS
    page = index.list_paginated(prefix="r-01", limit=4, namespace="many")
    assert [item.id for item in page.vectors] == _IDS[10:14]
    rest = index.list_paginated(prefix="r-01", limit=100, namespace="many", pagination_token=page.pagination.next)
    assert [item.id for item in rest.vectors] == _IDS[14:20]
    assert rest.pagination is None

    fetched = index.fetch(ids=[*_IDS[:20], "missing"], namespace="many")
    assert sorted(fetched.vectors) == _IDS[:20]
    assert fetched.usage.read_units == 2
    record = fetched.vectors["r-003"]
    assert (list(record.values), dict(record.metadata)) == ([1.0, 0.375], {"number": 3, "tags": ["a"], "even": False})
    assert list(record.sparse_values.indices) == [7, 4294967295]
    assert index.fetch(ids=["x"]).vectors["x"].values == [0.1, 3.0]
    even = index.fetch_by_metadata(filter={"even": {"$eq": True}}, namespace="many", limit=50)
    assert sorted(even.vectors) == _IDS[:100:2]
    more = index.fetch_by_metadata(
        filter={"even": {"$eq": True}}, namespace="many", limit=100, pagination_token=even.pagination.next
    )
    assert (sorted(more.vectors), more.pagination) == (_IDS[100::2], None)

    best = index.query(vector=[0, 1], top_k=2, namespace="many", include_metadata=True, include_values=True)
    assert [(match.id, match.score) for match in best.matches] == [("r-249", 249 / 8), ("r-248", 31.0)]
    assert best.matches[0].metadata["number"] == 249
    hybrid = {"indices": [7], "values": [1000]}
    assert index.query(vector=[0, 1], sparse_vector=hybrid, top_k=1, namespace="many").matches[0].id == "r-003"
    assert index.query(id="x", top_k=5).matches[0].id == "x"

    index.update(id="x", values=[5, 6], set_metadata={"new": True})
    assert (index.fetch(ids=["x"]).vectors["x"].values, index.fetch(ids=["x"]).vectors["x"].metadata) == (
        [5.0, 6.0],
        {"new": True},
    )
    index.delete(ids=_IDS[:100], namespace="many")
    index.delete(filter={"even": True}, namespace="many")
    assert index.describe_index_stats().namespaces["many"].vector_count == 75

    index.create_namespace(name="made", schema={"fields": {"genre": {"filterable": True}}})
    names = [each.name for page in index.list_namespaces() for each in _items(page)]
    assert names == ["__default__", "made", "many"]
    assert int(index.describe_namespace(name="many").record_count) == 75
    assert int(index.describe_namespace(name="__default__").record_count) == 1
    index.delete(delete_all=True, namespace="many")
    index.delete_namespace(name="many")
    index.delete_namespace(name="made")
    assert index.describe_index_stats().total_vector_count == 1


def use_imports(index: Any, folder: Path) -> None:
    """Import records into an empty index with two dimensions; find and cancel imports."""
    write_parquet(folder / "n" / "0.parquet", {"id": ["a", "b"], "values": [[1, 2], [1, 2]], "metadata": [None, "{}"]})
    started = [index.start_import(uri=folder.as_uri(), error_mode=mode).id for mode in ("abort", "continue")]
    failed, completed = (index.describe_import(each) for each in started)
    assert (failed.status, completed.status) == ("Failed", "Completed")
    assert "same vector values" in failed.error
    assert (completed.records_imported, completed.percent_complete, completed.uri) == (1, 100, folder.as_uri())
    assert None not in (completed.created_at, completed.finished_at)
    page = index.list_imports_paginated(limit=1)
    rest = index.list_imports_paginated(limit=1, pagination_token=page.pagination.next)
    assert [each.id for each in (*_imports(page), *_imports(rest))] == started[::-1]
    assert [each.id for page in index.list_imports() for each in _imports(page)] == started[::-1]
    index.cancel_import(completed.id)
    assert index.describe_import(completed.id).status == "Completed"
    assert index.fetch(ids=["a", "b"], namespace="n").vectors.keys() == {"a"}


def _imports(page: Any) -> Any:
    """Return the imports of a page; a client can also yield one import at a time."""
    return [page] if hasattr(page, "id") else getattr(page, "data", page)


def _items(page: Any) -> Any:
    """Return the items of a page: a client yields lists of ids, objects, or one item at a time."""
    for name in ("vectors", "namespaces"):
        if hasattr(page, name):
            return getattr(page, name)
    return page if isinstance(page, list) else [page]
