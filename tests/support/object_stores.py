"""An S3 server for tests, and faults in front of it.

moto's server has the objects, in a process of its own. A proxy, in a thread of this process, forwards each request to
it, or makes it fail.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import unquote

import aiohttp
import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from yarl import URL

How = Literal[
    "slow_down",
    "error",
    "denied",
    "denied_again",
    "denied_keys",
    "cut_request",
    "cut_response",
    "lost_response",
    "stale",
    "slow",
]

REGION = "us-east-1"
# moto accepts any keys.
ACCESS_KEY = SECRET_KEY = "testing"

_SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""
# The status, the code and the message of an error.
_ERRORS: dict[How, tuple[int, str, str]] = {
    "slow_down": (503, "SlowDown", "Please reduce your request rate."),
    "error": (500, "InternalError", "We encountered an internal error. Please try again."),
    "denied": (403, "AccessDenied", "Access Denied"),
    "denied_again": (403, "AccessDenied", "Access Denied"),
}
# The operations on a key, by the method and by the parameter in the query that selects them.
_OPERATIONS = {
    ("GET", ""): "GetObject",
    ("HEAD", ""): "HeadObject",
    ("PUT", ""): "PutObject",
    ("DELETE", ""): "DeleteObject",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "partNumber"): "UploadPart",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
_BUCKET_OPERATIONS = {("GET", ""): "ListObjects", ("HEAD", ""): "HeadBucket", ("POST", "delete"): "DeleteObjects"}
_WRITES = {"PutObject", "CompleteMultipartUpload"}
_DENIED_AGAIN = {*_WRITES, "CreateMultipartUpload"}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "expect"}
_CHUNK = 2**16


@dataclass
class StoreFault:
    """A rule that makes requests to the store fail. `S3Server.fail` creates it.

    Attributes:
        operation: The operation of S3, for example `UploadPart`, or a pattern, for example `Delete*`.
        pattern: A pattern for `bucket/key`. An operation on a bucket has no key, so `bucket/*` matches it.
        how: What happens.
        times: How many requests fail; None for no limit.
        nth: The first matching request that fails, counted from 1.
        seconds: How long a `slow` request waits.
        hits: How many requests have failed so far.
    """

    operation: str
    pattern: str
    how: How
    times: int | None = 1
    nth: int = 1
    seconds: float = 0.0
    hits: int = 0
    matches: int = field(default=0, repr=False)

    def applies_to(self, request: StoreRequest) -> bool:
        """Return whether the operation and the key match."""
        return fnmatchcase(request.operation, self.operation) and fnmatchcase(request.key, self.pattern)

    def claim(self) -> bool:
        """Count a request that matches, and return whether it fails."""
        self.matches += 1
        if self.matches < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


@dataclass
class StoreRequest:
    """A request that the store received.

    Attributes:
        operation: The operation of S3, or the method and the parameters for one that has no name here.
        key: `bucket/key`; `bucket/` for an operation on a bucket.
        status: The status of the response; 0 if there was none yet, 599 if the connection was dropped instead.
        fault: What a fault did to the request, or "".
    """

    operation: str
    key: str
    status: int = 0
    fault: How | Literal[""] = ""


class S3Server:
    """An S3 server with faults. `s3_server` starts one.

    Attributes:
        url: The URL for clients, as in `endpoint_url`.
        latency: The seconds that each request waits first. It can be changed at any time.
        requests: The requests so far, in the order in which they arrived.
    """

    def __init__(self, backend: str) -> None:
        """Create a server in front of another, which has no faults."""
        self.url = ""
        self.latency = 0.0
        self.requests: list[StoreRequest] = []
        self._backend = backend
        self._faults: list[StoreFault] = []
        self._written: set[str] = set()
        # What each key had before its last write, for stale reads: the status, the headers and the body.
        self._previous: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self._session: aiohttp.ClientSession
        self._client = self._create_client()

    def create_bucket(self, name: str, *, versioning: bool = False, object_lock: bool = False) -> None:
        """Create a bucket.

        Args:
            name: The name.
            versioning: Whether it keeps the earlier versions of its objects.
            object_lock: Whether no version can be deleted for a day. It includes versioning.
        """
        client = self.client()
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=object_lock)
        if versioning or object_lock:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        if object_lock:
            rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
            lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
            client.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=lock)

    def fail(self, operation: str, pattern: str, how: How, **settings: Any) -> StoreFault:
        """Make requests fail. The first fault that matches takes effect.

        Args:
            operation: The operation of S3, or a pattern.
            pattern: A pattern for `bucket/key`.
            how: What happens:

                - `slow_down`, `error`, `denied`: an error of S3, and nothing is done.
                - `denied_again`: an error for a key that was written before.
                - `denied_keys`: `DeleteObjects` succeeds, but each key has an error, and nothing is done.
                - `cut_request`: the connection is dropped after half of the request, and nothing is done.
                - `cut_response`: the connection is dropped after half of the response's body.
                - `lost_response`: the request is processed, and the connection is dropped.
                - `stale`: `GetObject` and `HeadObject` see the object before its last write. Only writes after this
                  call count.
                - `slow`: the request waits for some seconds first.
            **settings: `times`, `nth` and `seconds` of `StoreFault`.
        """
        fault = StoreFault(operation, pattern, how, **settings)
        self._faults.append(fault)
        return fault

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return the objects in a bucket, without faults."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [row["Key"] for page in pages for row in page.get("Contents", [])]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def client(self) -> Any:
        """Return a client of boto3 that no fault affects. It takes long to create, so there is only one."""
        return self._client

    def _create_client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self._backend,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(s3={"addressing_style": "path"}),
        )

    def filesystem(self, **settings: Any) -> Any:
        """Return a new s3fs file system, which the faults affect.

        Args:
            **settings: Other arguments of the file system, for example `config_kwargs`.
        """
        import s3fs

        client = {"region_name": REGION, **settings.pop("client_kwargs", {})}
        keys = {"key": ACCESS_KEY, "secret": SECRET_KEY, "endpoint_url": self.url, "client_kwargs": client}
        return s3fs.S3FileSystem(**keys, skip_instance_cache=True, **settings)

    def connection(self) -> str:
        """Return an Airflow connection to this server, as JSON for a variable `AIRFLOW_CONN_...`."""
        return connection_to(self.url)

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Forward requests until `stop` is set."""
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout, connector=connector) as self._session:
            runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=1.0)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await stop.wait()
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        bucket, _, key = unquote(request.rel_url.raw_path).lstrip("/").partition("/")
        seen = StoreRequest(_operation(request), f"{bucket}/{key}")
        self.requests.append(seen)
        fault = self._claim(seen)
        seen.fault = fault.how if fault else ""
        delay = self.latency + (fault.seconds if fault else 0.0)
        if delay:
            await asyncio.sleep(delay)  # noqa: TID251 (a real server has real latency)
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            response = await self._respond(request, seen)
        except (ConnectionError, asyncio.IncompleteReadError):  # The client is gone, for example because it was killed.
            response = _dropped(request)
        seen.status = response.status
        return response

    def _claim(self, request: StoreRequest) -> StoreFault | None:
        """Return the fault that takes effect."""
        for fault in self._faults:
            possible = {
                "denied_again": request.key in self._written and request.operation in _DENIED_AGAIN,
                "stale": request.key in self._previous and request.operation in {"GetObject", "HeadObject"},
            }.get(fault.how, True)
            if possible and fault.applies_to(request) and fault.claim():
                return fault
        return None

    async def _respond(self, request: web.BaseRequest, seen: StoreRequest) -> web.StreamResponse:
        how = seen.fault
        if how == "cut_request":
            await request.content.readexactly((request.content_length or 0) // 2)
            return _dropped(request)
        if how == "denied_keys":
            await request.content.read()
            body = "<DeleteResult><Error><Key>all</Key><Code>AccessDenied</Code></Error></DeleteResult>"
            return _response(request, 200, {"Content-Type": "application/xml"}, body.encode())
        if how in _ERRORS:
            async for _ in request.content.iter_chunked(_CHUNK):
                pass
            status, code, message = _ERRORS[how]
            body = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>0</RequestId></Error>"
            return _response(request, status, {"Content-Type": "application/xml"}, body.encode())
        if how == "stale":
            status, headers, content = self._previous[seen.key]
            return _response(request, status, headers, content)
        if seen.operation in _WRITES and any(f.how == "stale" for f in self._faults):
            self._previous[seen.key] = await self._current(request)
        return await self._forward(request, seen)

    async def _current(self, request: web.BaseRequest) -> tuple[int, dict[str, str], bytes]:
        """Return what a request for this key returns now."""
        url = URL(f"{self._backend}{request.rel_url.raw_path}", encoded=True)
        headers = {"Authorization": request.headers.get("Authorization", "")}
        async with self._session.get(url, headers=headers) as response:
            return response.status, _end_to_end(response.headers.items()), await response.read()

    async def _forward(self, request: web.BaseRequest, seen: StoreRequest) -> web.StreamResponse:
        url = URL(f"{self._backend}{request.raw_path}", encoded=True)
        headers = _end_to_end(request.headers.items())
        body = request.content.iter_chunked(_CHUNK) if request.can_read_body else None
        async with self._session.request(request.method, url, headers=headers, data=body) as answer:
            if seen.operation in _WRITES and answer.status < 300:
                self._written.add(seen.key)
            if seen.fault == "lost_response":
                await answer.read()
                return _dropped(request)
            response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers.items()))
            length = answer.content_length or 0
            await response.prepare(request)
            left = length // 2 if seen.fault == "cut_response" else None
            async for chunk in answer.content.iter_chunked(_CHUNK):
                if left is not None and len(chunk) > left:
                    await response.write(chunk[:left])
                    return _dropped(request)
                left = None if left is None else left - len(chunk)
                await response.write(chunk)
            await response.write_eof()
            return response


def _operation(request: web.BaseRequest) -> str:
    """Return the name of S3's operation."""
    has_key = "/" in request.rel_url.raw_path.strip("/")
    for (method, parameter), name in (_OPERATIONS if has_key else _BUCKET_OPERATIONS).items():
        if parameter and method == request.method and parameter in request.query:
            return name
    plain = (_OPERATIONS if has_key else _BUCKET_OPERATIONS).get((request.method, ""))
    # Parameters that only select a version or a page, or name the operation of the client, are no other operation.
    known = {"versionId", "x-id", "list-type", "prefix", "delimiter", "max-keys", "encoding-type", "continuation-token"}
    if plain and set(request.query) <= known:
        return plain
    return f"{request.method} {' '.join(sorted(request.query))}".strip()


def _end_to_end(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _HOP_BY_HOP}


def _response(request: web.BaseRequest, status: int, headers: dict[str, str], body: bytes) -> web.Response:
    headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
    return web.Response(status=status, reason=HTTPStatus(status).phrase, headers=headers, body=body)


def _dropped(request: web.BaseRequest) -> web.Response:
    """Drop the connection."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=599)


def connection_to(url: str) -> str:
    """Return an Airflow connection to an S3 server, as JSON for a variable `AIRFLOW_CONN_...`."""
    extra = {"endpoint_url": url, "region_name": REGION}
    return json.dumps({"conn_type": "aws", "login": ACCESS_KEY, "password": SECRET_KEY, "extra": extra})


def connect_s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Define an Airflow connection to a server, and return its id. Airflow caches file systems by this id."""
    conn_id = f"aws_{server.url.rpartition(':')[2]}"
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", server.connection())
    return conn_id


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run an S3 server."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin
        assert process.stdout
        port = process.stdout.readline().strip()
        with _proxy(S3Server(f"http://127.0.0.1:{port}")) as server:
            yield server
    finally:
        process.communicate("")


@contextmanager
def _proxy(server: S3Server) -> Iterator[S3Server]:
    """Run the proxy of a server in a thread."""
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(server.serve(ready, stop))

    thread = threading.Thread(target=run, name="s3-faults", daemon=True)
    thread.start()
    assert ready.wait(30), "The proxy does not listen."
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
