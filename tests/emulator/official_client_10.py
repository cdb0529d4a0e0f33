"""The official Pinecone client 10 against the emulator. test_official_client_10.py runs these tests in a process."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.official_data_plane import use_data_plane, use_imports

from airflow_pinecone.emulator import Emulator

KEY = "pc-official-client-key-12345"
DAY = 86400.0
# The types of mypy are those of the client in the environment, which is an earlier one.
pinecone: Any = importlib.import_module("pinecone")
errors: Any = importlib.import_module("pinecone.errors")
DOCUMENTS = {
    "fields": {
        "embedding": {"type": "dense_vector", "dimension": 8, "metric": "cosine"},
        "body": {"type": "string", "full_text_search": {"language": "en"}},
    }
}


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Any]:
    emulator.api_key = KEY
    with pinecone.Pinecone(api_key=KEY, host=emulator.url) as client:
        yield client


def test_version(client: Any, emulator: Emulator) -> None:
    assert pinecone.__version__.startswith("10.")
    client.indexes.list().to_list()
    assert emulator.requests[-1].headers["X-Pinecone-Api-Version"] == "2026-07"


def test_create_restore_and_delete_a_backup(client: Any, emulator: Emulator) -> None:
    created = client.indexes.create(name="movies", schema=DOCUMENTS, tags={"team": "search"})
    assert (created.name, created.status.ready) == ("movies", True)
    assert str(created.host).startswith("http://")
    assert (created.deployment.cloud, created.deployment.region) == ("aws", "us-east-1")
    assert sorted(created.schema.fields) == ["body", "embedding"]
    assert [index.name for index in client.indexes.list()] == ["docs-example", "movies"]
    emulator.set_records("movies", 12, namespaces=2)

    backup = client.backups.create(index_name="movies", name="nightly", description="why")
    assert (backup.status, backup.record_count, backup.namespace_count) == ("Initializing", 12, 2)
    described = client.backups.describe(backup_id=backup.backup_id)
    assert (described.status, described.name, described.tags) == ("Ready", "nightly", {"team": "search"})
    assert sorted(described.schema.fields) == ["body", "embedding"]
    assert client.backups.list(index_name="movies").names() == ["nightly"]
    assert client.backups.list(index_name="docs-example").names() == []

    restored = client.create_index_from_backup(name="movies-2", backup_id=backup.backup_id)
    assert restored.status.ready  # The client waits until the index is ready.
    [job] = client.restore_jobs.list()
    assert (job.status, job.target_index_name, job.percent_complete) == ("Completed", "movies-2", 100)
    assert client.restore_jobs.describe(job_id=job.restore_job_id) == job
    with client.index(host=str(restored.host)) as index:
        stats = index.describe_index_stats()
    assert (stats.total_vector_count, len(stats.namespaces), stats.dimension) == (12, 2, 8)

    client.backups.delete(backup_id=backup.backup_id)
    with pytest.raises(errors.NotFoundError, match=rf"Backup {backup.backup_id} not found"):
        client.backups.describe(backup_id=backup.backup_id)


def test_index_that_an_earlier_version_would_create(client: Any) -> None:
    spec = {"serverless": {"cloud": "aws", "region": "us-east-1"}}
    created = client.create_index("classic", spec, 8, metric="euclidean")
    assert (created.dimension, created.metric) == (8, "euclidean")
    assert "_values" in client.indexes.describe("classic").schema.fields


def test_configure_and_delete_an_index(client: Any) -> None:
    client.indexes.configure("docs-example", deletion_protection="enabled", tags={"a": "b"})
    assert client.indexes.describe("docs-example").tags == {"a": "b"}
    with pytest.raises(errors.ForbiddenError, match="Deletion protection is enabled"):
        client.indexes.delete("docs-example")
    client.indexes.configure("docs-example", deletion_protection="disabled")
    client.indexes.delete("docs-example")
    with pytest.raises(errors.NotFoundError):
        client.indexes.describe("docs-example")


def test_backups_of_a_deleted_index(client: Any, emulator: Emulator) -> None:
    backup = client.backups.create(index_name="docs-example", name="one")
    client.indexes.delete("docs-example")
    with pytest.raises(errors.NotFoundError):
        client.backups.list(index_name="docs-example")
    [listed] = client.backups.list(index_name="docs-example", include_deleted=True)
    assert listed.backup_id == backup.backup_id
    assert listed.source_index_deleted_at is not None
    assert client.backups.list().names() == ["one"]


def test_list_all_pages(client: Any, emulator: Emulator) -> None:
    for number in range(5):
        emulator.add_backup("docs-example", name=f"b{number}")
    page = client.backups.list(limit=2)
    names = page.names()
    while page.pagination:
        page = client.backups.list(pagination_token=page.pagination.next)
        names += page.names()
    assert names == ["b4", "b3", "b2", "b1", "b0"]


def test_errors(client: Any, emulator: Emulator) -> None:
    with pytest.raises(errors.NotFoundError, match="Index no not found"):
        client.backups.create(index_name="no")
    emulator.scenario.backups_in_plan = False
    with pytest.raises(errors.ForbiddenError, match="plan does not include backups"):
        client.backups.create(index_name="docs-example")
    emulator.scenario.backups_in_plan = True
    emulator.scenario.quota = 0
    with pytest.raises(errors.ForbiddenError, match="Increase your quota"):
        client.backups.create(index_name="docs-example")
    unready = emulator.add_backup("docs-example", status="Initializing")["backup_id"]
    with pytest.raises(errors.FailedPreconditionError, match="is not completed"):
        client.create_index_from_backup(name="new", backup_id=unready)
    backup_id = emulator.add_backup("docs-example")["backup_id"]
    with pytest.raises(errors.ConflictError, match="already exists"):
        client.create_index_from_backup(name="docs-example", backup_id=backup_id)
    emulator.next_restore(restore_ends="never")
    client.create_index_from_backup(name="new", backup_id=backup_id, timeout=-1)
    with pytest.raises(errors.FailedPreconditionError, match="pending restore jobs"):
        client.backups.delete(backup_id=backup_id)
    emulator.api_key = "changed"
    with pytest.raises(errors.UnauthorizedError, match="Invalid API key"):
        client.backups.list(index_name="docs-example")


def test_schedules(client: Any, emulator: Emulator, clock: FakeClock) -> None:
    emulator.scenario.clock = clock
    settings = {"name": "nightly", "frequency": "daily", "retention_days": 7}
    schedule = client.backup_schedules.create(index_name="docs-example", **settings)
    assert (schedule.enabled, schedule.retention_expire_after_days) == (True, 7)
    with pytest.raises(errors.ConflictError, match="already has an enabled backup schedule"):
        client.backup_schedules.create(index_name="docs-example", **settings)
    assert client.backup_schedules.describe(schedule_id=schedule.schedule_id) == schedule
    assert client.backup_schedules.list(index_name="docs-example").names() == ["nightly"]
    clock.advance(DAY)
    planned, ready = client.backup_schedules.history(schedule_id=schedule.schedule_id)
    assert (planned.status, ready.status, ready.record_count) == ("Scheduled", "Ready", 96)
    assert ready.name == "nightly-20250616T150640Z"
    assert client.backups.describe(backup_id=ready.backup_id).name == ready.name
    paused = client.backup_schedules.update(schedule_id=schedule.schedule_id, enabled=False)
    assert paused.next_scheduled_run is None
    client.backup_schedules.delete(schedule_id=schedule.schedule_id)
    with pytest.raises(errors.NotFoundError, match="Backup schedule not found"):
        client.backup_schedules.describe(schedule_id=schedule.schedule_id)


def test_data_plane(client: Any, emulator: Emulator) -> None:
    host = emulator.add_index("records", dimension=2, metric="dotproduct", records=0)["host"]
    with client.index(host=host) as index:
        use_data_plane(index)


def test_documents(client: Any, emulator: Emulator) -> None:
    host = emulator.add_index("documents", schema=DOCUMENTS, records=0)["host"]
    written = [{"_id": f"d-{n:03d}", "embedding": [0.5] * 7 + [n], "body": f"text {n}", "n": n} for n in range(150)]
    with client.index(host=host) as index:
        documents = index.documents
        assert documents.batch_upsert(namespace="a/b", documents=written, show_progress=False).failed_item_count == 0
        assert documents.upsert(namespace="a/b", documents=[{"_id": "x", "body": "one"}]).upserted_count == 1
        ids = [each.id for each in documents.list(namespace="a/b")]
        assert ids == [*(each["_id"] for each in written), "x"]
        fetched = documents.fetch(namespace="a/b", ids=["d-007", "x", "missing"])
        assert {name: each.to_dict() for name, each in fetched.documents.items()} == {
            "d-007": written[7],
            "x": {"_id": "x", "body": "one"},
        }
        assert fetched.usage.read_units == 1
        page = documents.fetch(namespace="a/b", filter={"n": {"$gte": 100}}, limit=40)
        token = page.pagination.next
        rest = documents.fetch(namespace="a/b", filter={"n": {"$gte": 100}}, limit=40, pagination_token=token)
        assert (len(page.documents), len(rest.documents), rest.pagination) == (40, 10, None)
        documents.update(namespace="a/b", documents=[{"_id": "x", "body": "two"}])
        assert documents.fetch(namespace="a/b", ids=["x"]).documents["x"].body == "two"
        assert documents.update(namespace="a/b", filter={"n": 5}, set_fields={"n": -5}).matched_records == 1
        assert documents.delete(namespace="a/b", filter={"n": {"$lt": 0}}).matched_records == 1
        documents.delete(namespace="a/b", ids=["x"])
        assert index.describe_index_stats().total_vector_count == 149
        documents.delete(namespace="a/b", delete_all=True)
        assert index.describe_index_stats().total_vector_count == 0
        with pytest.raises(errors.PineconeError, match="Documents API"):
            index.fetch(ids=["x"])


def test_imports(client: Any, emulator: Emulator, tmp_path: Path) -> None:
    host = emulator.add_index("records", dimension=2, records=0)["host"]
    with client.index(host=host) as index:
        use_imports(index, tmp_path)
