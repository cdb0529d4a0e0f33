import json
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.clock import FakeClock
from support.constants import CONNECTION_VARIABLE

from airflow_pinecone.api.record_writes import MAX_BYTES, THREADS, IndexWriter
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import (
    Conflict,
    CreateOutcomeUnknown,
    NotFound,
    PineconeInputError,
    PineconePermanentError,
    PineconeTransientError,
    QuotaExceeded,
)
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.records import NamespaceDigest, Record, SparseValues

UPSERT = "/data-plane/*/vectors/upsert"
DIMENSION = 8
NO_VALUES = np.empty(0, np.float32)


def record(number: int, dimension: int = DIMENSION, **metadata: Any) -> Record:
    values = np.random.default_rng(number).standard_normal(dimension).astype(np.float32)
    return Record(f"id-{number:05d}", values, None, metadata)


def batches(count: int, size: int = 250, **how: Any) -> Iterator[list[Record]]:
    for start in range(0, count, size):
        yield [record(number, **how) for number in range(start, min(start + size, count))]


@pytest.fixture
def index(emulator: Emulator) -> str:
    emulator.add_index("target", records=0, dimension=DIMENSION, metric="dotproduct")
    return "target"


@pytest.fixture
def writer(world: Emulator, clock: FakeClock, index: str) -> IndexWriter:
    return PineconeHook(clock=clock).writer(index)


def upserts(emulator: Emulator) -> list[Any]:
    return [exchange for exchange in emulator.requests if exchange.path.endswith("/vectors/upsert")]


def sizes(emulator: Emulator) -> list[int]:
    return [int(each.headers["Content-Length"]) for each in upserts(emulator)]


def digest(records: Iterator[list[Record]] | list[list[Record]]) -> str:
    found = NamespaceDigest()
    for batch in records:
        found.add(batch)
    return str(found)


def digest_of(index: str, namespace: str = "") -> str:
    return digest([batch.records for batch in PineconeHook().records(index).read(namespace)])


# What is written


def test_records_are_written(world: Emulator, writer: IndexWriter, index: str) -> None:
    assert writer.write("ns", batches(2345)) == 2345
    assert digest_of(index, "ns") == digest(batches(2345))
    assert sorted(each.answer["upsertedCount"] for each in upserts(world)) == [345, 1000, 1000]
    assert writer.usage.requests == 3
    assert writer.usage.request_bytes == sum(sizes(world))


def test_values_are_exact(world: Emulator, writer: IndexWriter, index: str) -> None:
    values = np.array([0.1, 1 / 3, 1e-38, 3.4e38, -0.0, 1e-45, 16777217.0, -1.0], np.float32)
    sparse = SparseValues(np.array([5, 2**32 - 1], np.uint32), np.array([0.1, 1e-45], np.float32))
    metadata = {"t": True, "one": 1, "real": 1.5, "text": "1", "list": ["a", "é"], "": "empty", "id": "x", "values": 1}
    wide = np.repeat(values, 2)[::2]
    records = [Record("a", values, sparse, metadata), Record("b", wide, None, {})]
    assert writer.write("", [records]) == 2
    assert digest_of(index) == digest([records])
    assert world.records(index)["b"].keys() == {"id", "values"}
    [request] = upserts(world)
    # The shortest digits of a float32.
    assert request.body["vectors"][0]["values"][:2] == [0.1, 0.33333334]
    assert request.body.keys() == {"vectors"}
    assert request.body["vectors"][1].keys() == {"id", "values"}


def test_sparse_records(world: Emulator, clock: FakeClock) -> None:
    world.add_index("sparse", records=0, vector_type="sparse", metric="dotproduct", dimension=None)
    sparse = SparseValues(np.array([5], np.uint32), np.array([0.5], np.float32))
    assert PineconeHook(clock=clock).writer("sparse").write("", [[Record("a", NO_VALUES, sparse, {})]]) == 1
    assert world.records("sparse") == {
        "a": {"id": "a", "values": [], "sparseValues": {"indices": [5], "values": [0.5]}}
    }
    assert upserts(world)[0].body["vectors"][0].keys() == {"id", "sparseValues"}


@pytest.mark.parametrize(("namespace", "shown"), [("", ""), ("__default__", ""), ('a/b ?#"', 'a/b ?#"')])
def test_namespaces(world: Emulator, writer: IndexWriter, index: str, namespace: str, shown: str) -> None:
    writer.write(namespace, batches(3))
    assert world.namespaces(index) == [shown]


def test_nothing_to_write(world: Emulator, writer: IndexWriter) -> None:
    assert writer.write("", [[], []]) == 0
    assert upserts(world) == []


def test_requests_stay_below_the_maximum_of_bytes(world: Emulator, clock: FakeClock) -> None:
    world.add_index("large", records=0, dimension=1536)
    hook = PineconeHook(clock=clock)
    text = "é" * 15_000
    assert hook.writer("large").write("ns", batches(300, dimension=1536, text=text)) == 300
    *full, _ = sorted(sizes(world), reverse=True)
    assert max(full) <= MAX_BYTES
    assert min(full) > 0.95 * MAX_BYTES
    assert digest_of("large", "ns") == digest(batches(300, dimension=1536, text=text))


# How requests are sent


def test_requests_overlap(world: Emulator, clock: FakeClock, index: str, writer: IndexWriter) -> None:
    fault = world.fault("POST", UPSERT, hang="before", times=THREADS)
    thread = threading.Thread(target=writer.write, args=("", batches(6000)))
    thread.start()
    fault.wait(hits=THREADS)
    fault.release()
    thread.join(60)
    assert not thread.is_alive()
    assert len(world.records(index)) == 6000


def test_only_a_few_requests_are_in_memory(world: Emulator, index: str, writer: IndexWriter) -> None:
    world.scenario.latency = 0.5
    # Made before, so that the source is faster than the requests.
    made, waiting = list(batches(12_000, 1000)), []

    def source() -> Iterator[list[Record]]:
        for number, batch in enumerate(made):
            written = sum(each.answer["upsertedCount"] for each in upserts(world) if each.status == 200)
            waiting.append(1000 * number - written)
            yield batch

    assert writer.write("", source()) == 12_000
    assert max(waiting) <= 1000 * (THREADS + 1)


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 429},
        {"status": 429, "headers": {"Retry-After": "20"}},
        {"status": 503},
        {"status": 500, "work": True},
        {"status": 408},
        {"drop": "before"},
        {"drop": "after"},
        {"drop": "during"},
        {"body": b"<html>"},
    ],
)
def test_failed_requests_are_repeated(
    world: Emulator, writer: IndexWriter, clock: FakeClock, index: str, failure: dict[str, Any]
) -> None:
    fault = world.fault("POST", UPSERT, **failure, times=3)
    assert writer.write("", batches(5000)) == 5000
    assert fault.hits == 3
    assert len(world.records(index)) == 5000
    if "headers" in failure:
        assert max(clock.slept) >= 20


def test_a_storm_of_429_slows_down(world: Emulator, writer: IndexWriter, clock: FakeClock, index: str) -> None:
    world.fault("POST", UPSERT, status=429, probability=0.5, times=None)
    assert writer.write("", batches(20_000, 1000)) == 20_000
    assert len(world.records(index)) == 20_000
    assert sum(clock.slept) > 5


def test_the_quota_of_the_month_is_final(world: Emulator, writer: IndexWriter) -> None:
    body = {"code": 8, "message": "You've reached your write unit limit for the current month (100).", "details": []}
    fault = world.fault("POST", UPSERT, status=429, body=body, times=None)
    with pytest.raises(QuotaExceeded, match="Upgrade the plan, or wait until the next month"):
        writer.write("", batches(1000))
    assert fault.hits == 1


def test_an_outage_ends_the_write(world: Emulator, writer: IndexWriter) -> None:
    world.fault("POST", UPSERT, status=503, times=None)
    with pytest.raises(
        PineconeTransientError, match="upsert 1000 records from id 'id-00000' on in namespace ns of index target"
    ):
        writer.write("ns", batches(1000))
    assert len(upserts(world)) == 10
    assert writer.usage.request_bytes == 0


def test_the_key_is_replaced(world: Emulator, writer: IndexWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.loads(os.environ[CONNECTION_VARIABLE])
    world.api_key = "pc-another-key-12345"
    monkeypatch.setenv(CONNECTION_VARIABLE, json.dumps(connection | {"password": world.api_key}))
    assert writer.write("", batches(5000)) == 5000


# What fails


def test_a_rejected_record_is_named(world: Emulator, writer: IndexWriter) -> None:
    zeros = Record("zero", np.zeros(DIMENSION, np.float32), None, {})
    with pytest.raises(PineconePermanentError) as caught:
        writer.write("ns", [[zeros, record(1)]])
    assert str(caught.value).startswith(
        "Could not upsert 2 records from id 'zero' on in namespace ns of index target.\nHTTP 400 INVALID_ARGUMENT: "
    )


def test_a_record_that_is_not_json_is_named(world: Emulator, writer: IndexWriter, index: str) -> None:
    with pytest.raises(
        PineconeInputError, match="Could not write record 'odd' to namespace __default__ of index target"
    ):
        writer.write("", [[record(1)._replace(id="odd", metadata={"a": object()})]])
    assert world.namespaces(index) == []


@pytest.mark.parametrize("answer", [{"upsertedCount": 9}, {}, [], {"upsertedCount": "ten"}])
def test_another_number_of_records(world: Emulator, writer: IndexWriter, answer: Any) -> None:
    world.fault("POST", UPSERT, body=answer)
    with pytest.raises(PineconeTransientError, match=r"The response says that .* records were upserted"):
        writer.write("", batches(10))


def test_an_error_of_the_source_ends_the_write(world: Emulator, writer: IndexWriter) -> None:
    def source() -> Iterator[list[Record]]:
        yield from batches(2000)
        raise KeyError("source")

    with pytest.raises(KeyError, match="source"):
        writer.write("", source())


def test_a_document_index_is_refused(world: Emulator, clock: FakeClock) -> None:
    options = {"language": "en", "stemming": False, "stop_words": False}
    fields = {"title": {"type": "string", "full_text_search": options}}
    world.add_index("documents", records=0, schema={"fields": fields})
    hook = PineconeHook(clock=clock)
    if not hook.settings.is_since("2026-07"):
        return
    with pytest.raises(PineconeInputError, match="It is a document index"):
        hook.writer("documents").write("", batches(1))


def test_an_unknown_index(world: Emulator) -> None:
    with pytest.raises(NotFound):
        PineconeHook().writer("missing")


# Namespaces

SCHEMA = {"fields": {"genre": {"filterable": True}}}


def test_a_namespace_is_created(world: Emulator, writer: IndexWriter, index: str) -> None:
    writer.create_namespace("a/b", SCHEMA)
    writer.create_namespace("plain")
    details = PineconeHook().records(index).namespace_details()
    assert details == {"a/b": (0, SCHEMA), "plain": (0, None)}
    with pytest.raises(Conflict):
        writer.create_namespace("plain")


def test_the_outcome_of_a_create_request_is_unknown(world: Emulator, writer: IndexWriter, index: str) -> None:
    fault = world.fault("POST", "/data-plane/*/namespaces", drop="after")
    with pytest.raises(CreateOutcomeUnknown, match="create namespace new in index target"):
        writer.create_namespace("new")
    assert fault.hits == 1
    assert world.namespaces(index) == ["new"]


# Aliases

ALIASES = "/data-plane/*/namespace-aliases"


def test_aliases_are_listed(world: Emulator, clock: FakeClock, index: str, api_version: str) -> None:
    world.add_namespace_alias(index, "live", "v1")
    world.add_namespace_alias(index, "main", "")
    found = PineconeHook(clock=clock).records(index).namespace_aliases()
    assert found == ({"live": "v1", "main": "__default__"} if api_version == "2026-07" else {})


@pytest.mark.parametrize("status", [404, 501])
def test_no_aliases(world: Emulator, clock: FakeClock, index: str, api_version: str, status: int) -> None:
    fault = world.fault("GET", ALIASES, status=status, times=None)
    assert PineconeHook(clock=clock).records(index).namespace_aliases() == {}
    assert fault.hits == (api_version == "2026-07")


@pytest.mark.parametrize("api_version", ["2026-07"])
@pytest.mark.parametrize("row", [{"name": "a"}, {"target_namespace": "a"}, {"name": 1, "target_namespace": "a"}, None])
def test_invalid_aliases(world: Emulator, clock: FakeClock, index: str, row: Any) -> None:
    world.fault("GET", ALIASES, body={"namespace_aliases": [row], "total_count": 1})
    with pytest.raises(PineconeTransientError, match="has an alias with an invalid name"):
        PineconeHook(clock=clock).records(index).namespace_aliases()


@pytest.mark.parametrize("api_version", ["2026-07"])
def test_an_outage_is_not_taken_for_no_aliases(world: Emulator, clock: FakeClock, index: str) -> None:
    world.fault("GET", ALIASES, status=503, times=None)
    with pytest.raises(PineconeTransientError):
        PineconeHook(clock=clock).records(index).namespace_aliases()
