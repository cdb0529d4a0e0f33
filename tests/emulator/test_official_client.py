"""The official Pinecone client against the emulator."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pinecone import IndexModel, Pinecone
from pinecone.errors.exceptions import IndexInitFailedError
from pinecone.exceptions import (
    ForbiddenException,
    NotFoundException,
    PineconeApiException,
    ServiceException,
    UnauthorizedException,
)
from support.official_data_plane import use_data_plane, use_imports

from airflow_pinecone.emulator import Emulator

KEY = "pc-official-client-key-12345"


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Pinecone]:
    emulator.api_key = KEY
    with Pinecone(api_key=KEY, host=emulator.url) as client:
        yield client


def test_create_restore_and_delete_a_backup(client: Pinecone, emulator: Emulator) -> None:
    created = client.create_index(
        name="movies",
        spec={"serverless": {"cloud": "aws", "region": "us-east-1"}},
        dimension=8,
        tags={"team": "search"},
    )
    assert (created.name, created.status.ready) == ("movies", True)
    assert str(created.host).startswith("http://")
    assert [index.name for index in client.list_indexes()] == ["docs-example", "movies"]
    emulator.set_records("movies", 12, namespaces=2)

    backup = client.backups.create(index_name="movies", name="nightly", description="why")
    assert (backup.status, backup.record_count, backup.namespace_count) == ("Initializing", 12, 2)
    described = client.backups.describe(backup_id=backup.backup_id)
    assert (described.status, described.name, described.tags) == ("Ready", "nightly", {"team": "search"})
    assert client.backups.list(index_name="movies").names() == ["nightly"]
    assert client.backups.list(index_name="docs-example").names() == []

    restored = client.create_index_from_backup(name="movies-2", backup_id=backup.backup_id)
    assert isinstance(restored, IndexModel)  # The client waits until the index is ready.
    assert restored.status.ready
    [job] = client.restore_jobs.list()
    assert (job.status, job.target_index_name, job.percent_complete) == ("Completed", "movies-2", 100.0)
    assert client.restore_jobs.describe(job_id=job.restore_job_id) == job

    with client.Index(host=str(restored.host)) as index:
        stats = index.describe_index_stats()
    assert (stats.total_vector_count, len(stats.namespaces), stats.dimension) == (12, 2, 8)
    with client.Index("docs-example") as index:
        assert index.describe_index_stats().total_vector_count == 96

    client.backups.delete(backup_id=backup.backup_id)
    with pytest.raises(NotFoundException, match=rf"Backup {backup.backup_id} not found"):
        client.backups.describe(backup_id=backup.backup_id)


def test_list_all_pages(client: Pinecone, emulator: Emulator) -> None:
    for number in range(5):
        emulator.add_backup("docs-example", name=f"b{number}")
    page = client.backups.list(limit=2)
    names = page.names()
    while page.pagination:
        page = client.backups.list(pagination_token=page.pagination.next)
        names += page.names()
    assert names == ["b4", "b3", "b2", "b1", "b0"]


def test_configure_and_delete_an_index(client: Pinecone) -> None:
    client.configure_index("docs-example", deletion_protection="enabled", tags={"a": "b"})
    assert client.describe_index("docs-example").tags == {"a": "b"}
    with pytest.raises(ForbiddenException, match="Deletion protection is enabled"):
        client.delete_index("docs-example")
    client.configure_index("docs-example", deletion_protection="disabled")
    client.delete_index("docs-example")
    with pytest.raises(NotFoundException):
        client.describe_index("docs-example")


def test_exceptions(client: Pinecone, emulator: Emulator) -> None:
    with pytest.raises(NotFoundException, match="Index no not found"):
        client.backups.create(index_name="no")
    emulator.scenario.quota = 0
    with pytest.raises(ForbiddenException, match="Increase your quota") as full:
        client.backups.create(index_name="docs-example")
    assert full.value.request_id == emulator.requests[-1].request_id
    assert full.value.error_code == "FORBIDDEN"
    backup_id = emulator.add_backup("docs-example")["backup_id"]
    with pytest.raises(PineconeApiException, match="already exists"):
        client.create_index_from_backup(name="docs-example", backup_id=backup_id)
    emulator.next_restore(restore_ends="never")
    client.create_index_from_backup(name="new", backup_id=backup_id, timeout=-1)
    with pytest.raises(PineconeApiException, match="pending restore jobs") as pending:
        client.backups.delete(backup_id=backup_id)
    assert pending.value.status_code == 412
    emulator.fault("GET", "/backups", times=None, status=500, headers={"Retry-After": "0"})
    with pytest.raises(ServiceException):
        client.backups.list()
    emulator.api_key = "changed"
    with pytest.raises(UnauthorizedException, match="Invalid API key"):
        client.backups.list(index_name="docs-example")


@pytest.mark.parametrize(("status", "backups"), [(503, 2), (200, 1)], ids=["retries", "accepts 200"])
def test_unexpected_status_of_a_created_backup(client: Pinecone, emulator: Emulator, status: int, backups: int) -> None:
    emulator.fault("POST", "/indexes/*/backups", status=status, work=True, headers={"Retry-After": "0"})
    assert client.backups.create(index_name="docs-example").backup_id == emulator.backups[0]["backup_id"]
    assert len(emulator.backups) == backups


def test_failed_restore_raises(client: Pinecone, emulator: Emulator) -> None:
    backup_id = emulator.add_backup("docs-example")["backup_id"]
    emulator.next_restore(restore_ends="Failed")
    with pytest.raises(IndexInitFailedError, match="new"):
        client.create_index_from_backup(name="new", backup_id=backup_id)


def test_two_emulators_share_no_state() -> None:
    with Emulator(KEY, ["a"]) as one, Emulator(KEY, ["b"]) as two:
        one.add_backup("a")
        for emulator, names in ((one, ["a"]), (two, ["b"])):
            with Pinecone(api_key=KEY, host=emulator.url) as client:
                assert [index.name for index in client.list_indexes()] == names
    assert two.backups == []


def test_data_plane(client: Pinecone, emulator: Emulator) -> None:
    host = emulator.add_index("records", dimension=2, metric="dotproduct", records=0)["host"]
    with client.Index(host=host) as index:
        use_data_plane(index)


def test_imports(client: Pinecone, emulator: Emulator, tmp_path: Path) -> None:
    host = emulator.add_index("records", dimension=2, records=0)["host"]
    with client.Index(host=host) as index:
        use_imports(index, tmp_path)
