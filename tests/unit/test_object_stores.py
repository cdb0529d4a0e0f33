from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.object_stores import S3Server, s3_server

BODY = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def filesystem(running: S3Server) -> Any:
    return running.filesystem()


@pytest.fixture(scope="module")
def once(running: S3Server) -> Any:
    """A client without retries of botocore and of s3fs."""
    filesystem = running.filesystem(config_kwargs={"retries": {"total_max_attempts": 1}})
    filesystem.retries = 1
    return filesystem


@pytest.fixture
def server(running: S3Server, bucket: str) -> S3Server:
    running.create_bucket(bucket)
    return running


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> str:
    """Each test has a bucket of its own, named like the test."""
    return bucket_of(request)


def bucket_of(request: pytest.FixtureRequest) -> str:
    return "".join(c if c.isalnum() else "-" for c in request.node.name.removeprefix("test_").lower()).strip("-")[:60]


def test_objects_can_be_written_and_read(server: S3Server, filesystem: Any, bucket: str) -> None:
    filesystem.pipe_file(f"{bucket}/a/b=1.txt", BODY)
    assert filesystem.cat_file(f"{bucket}/a/b=1.txt") == BODY
    assert filesystem.cat_file(f"{bucket}/a/b=1.txt", start=3, end=7) == BODY[3:7]
    assert filesystem.info(f"{bucket}/a/b=1.txt")["size"] == len(BODY)
    assert server.objects(bucket) == {"a/b=1.txt": BODY}


def test_odd_keys_round_trip(server: S3Server, filesystem: Any, bucket: str) -> None:
    keys = ["a%2Fb", "a b", "a+b", "a#b", "a?b", "ä", "x/../y"]
    for key in keys:
        filesystem.pipe_file(f"{bucket}/{key}", key.encode())
    assert server.objects(bucket) == {key: key.encode() for key in keys}
    assert [filesystem.cat_file(f"{bucket}/{key}") for key in keys] == [key.encode() for key in keys]


def test_large_objects_are_uploaded_in_parts(server: S3Server, filesystem: Any, bucket: str, tmp_path: Path) -> None:
    spool = tmp_path / "part"
    spool.write_bytes(BODY * 12)
    filesystem.put_file(str(spool), f"{bucket}/key", chunksize=5 * 2**20, max_concurrency=2)
    assert server.objects(bucket) == {"key": BODY * 12}
    operations = [r.operation for r in server.requests if r.key == f"{bucket}/key"]
    assert operations.count("UploadPart") == 3
    assert operations[-1] == "CompleteMultipartUpload"


@pytest.mark.parametrize("how", ["slow_down", "error"])
def test_an_error_is_retried(server: S3Server, filesystem: Any, bucket: str, how: Any) -> None:
    fault = server.fail("PutObject", f"{bucket}/*", how, times=2)
    filesystem.pipe_file(f"{bucket}/key", BODY)
    assert fault.hits == 2
    assert server.objects(bucket) == {"key": BODY}
    assert [r.status for r in server.requests if r.key == f"{bucket}/key"][-1] == 200


@pytest.mark.parametrize(("how", "text"), [("slow_down", "reduce your request rate"), ("error", "internal error")])
def test_an_error_is_seen_without_retries(server: S3Server, bucket: str, once: Any, how: Any, text: str) -> None:
    server.fail("PutObject", f"{bucket}/*", how)
    with pytest.raises(OSError, match=text):
        once.pipe_file(f"{bucket}/key", BODY)
    assert server.objects(bucket) == {}


def test_an_upload_that_is_cut_leaves_no_object(server: S3Server, bucket: str, once: Any) -> None:
    # Twice, because aiohttp repeats a PUT whose connection it has used before.
    fault = server.fail("PutObject", f"{bucket}/key", "cut_request", times=2)
    with pytest.raises(Exception, match=r"(?i)closed|connect"):
        once.pipe_file(f"{bucket}/key", BODY)
    assert fault.hits in {1, 2}
    assert server.objects(bucket) == {}


def test_a_part_that_is_cut_is_retried(server: S3Server, filesystem: Any, bucket: str, tmp_path: Path) -> None:
    spool = tmp_path / "part"
    spool.write_bytes(BODY * 12)
    fault = server.fail("UploadPart", f"{bucket}/*", "cut_request", nth=2)
    filesystem.put_file(str(spool), f"{bucket}/key", chunksize=5 * 2**20)
    assert fault.hits == 1
    statuses = [r.status for r in server.requests if r.key == f"{bucket}/key" and r.operation == "UploadPart"]
    assert sorted(statuses) == [200, 200, 200, 599]
    assert server.objects(bucket) == {"key": BODY * 12}


def test_a_response_that_is_cut_is_an_error(server: S3Server, bucket: str, once: Any) -> None:
    once.pipe_file(f"{bucket}/key", BODY)
    fault = server.fail("GetObject", f"{bucket}/key", "cut_response")
    with pytest.raises(Exception, match=r"(?i)payload|closed|incomplete|connection"):
        once.cat_file(f"{bucket}/key")
    assert fault.hits == 1
    assert once.cat_file(f"{bucket}/key") == BODY


def test_an_upload_whose_response_is_lost_is_stored(server: S3Server, bucket: str, once: Any) -> None:
    server.fail("PutObject", f"{bucket}/key", "lost_response", times=2)
    with pytest.raises(Exception, match=r"(?i)closed|connect"):
        once.pipe_file(f"{bucket}/key", BODY)
    assert server.objects(bucket) == {"key": BODY}


def test_a_deletion_is_denied(server: S3Server, filesystem: Any, bucket: str) -> None:
    server.fail("Delete*", f"{bucket}/*", "denied", times=None)
    filesystem.pipe_file(f"{bucket}/key", BODY)
    for delete in (filesystem.rm_file, filesystem.rm):
        with pytest.raises(PermissionError):
            delete(f"{bucket}/key")
    assert server.objects(bucket) == {"key": BODY}


def test_a_second_write_of_a_key_is_denied(server: S3Server, filesystem: Any, bucket: str) -> None:
    fault = server.fail("*", f"{bucket}/*", "denied_again", times=None)
    filesystem.pipe_file(f"{bucket}/other", b"1")
    filesystem.pipe_file(f"{bucket}/key", b"1")
    with pytest.raises(PermissionError):
        filesystem.pipe_file(f"{bucket}/key", b"2")
    assert fault.hits == 1
    assert server.objects(bucket) == {"key": b"1", "other": b"1"}


def test_a_stale_read_sees_the_object_before(server: S3Server, filesystem: Any, bucket: str) -> None:
    filesystem.pipe_file(f"{bucket}/key", b"first")
    server.fail("GetObject", f"{bucket}/*", "stale", times=1)
    server.fail("HeadObject", f"{bucket}/new", "stale", times=1)
    filesystem.pipe_file(f"{bucket}/key", b"the second")
    filesystem.pipe_file(f"{bucket}/new", b"new")
    assert filesystem.cat_file(f"{bucket}/key") == b"first"
    assert filesystem.cat_file(f"{bucket}/key") == b"the second"
    filesystem.invalidate_cache()
    with pytest.raises(FileNotFoundError):
        filesystem.info(f"{bucket}/new", refresh=True)


def test_latency_is_added(server: S3Server, filesystem: Any, bucket: str) -> None:
    filesystem.pipe_file(f"{bucket}/key", b"1")
    server.fail("GetObject", f"{bucket}/key", "slow", seconds=0.2)
    started = time.monotonic()
    assert filesystem.cat_file(f"{bucket}/key") == b"1"
    assert time.monotonic() - started >= 0.2


def test_a_bucket_keeps_versions(running: S3Server, filesystem: Any) -> None:
    running.create_bucket("versions", versioning=True)
    for body in (b"1", b"2"):
        filesystem.pipe_file("versions/key", body)
    assert len(running.client().list_object_versions(Bucket="versions")["Versions"]) == 2


def test_a_locked_version_cannot_be_deleted(running: S3Server, filesystem: Any) -> None:
    running.create_bucket("locked", object_lock=True)
    filesystem.pipe_file("locked/key", b"1")
    client = running.client()
    version = client.list_object_versions(Bucket="locked")["Versions"][0]["VersionId"]
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket="locked", Key="key", VersionId=version)
