import json
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from support.clients import make_client
from support.clock import FakeClock
from support.constants import CONNECTION_VARIABLE, INDEX

from airflow_pinecone.api import transport
from airflow_pinecone.api.record import Position, Record
from airflow_pinecone.api.records import IndexRecords
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import (
    NotFound,
    PineconeInputError,
    PineconeTransientError,
    QuotaExceeded,
    Unauthorized,
)
from airflow_pinecone.hooks import PineconeHook

SCHEMA = {
    "fields": {
        "title": {"type": "string", "full_text_search": {"language": "en", "stemming": False, "stop_words": False}},
        "embedding": {"type": "dense_vector", "dimension": 3, "metric": "cosine"},
        "lexical": {"type": "sparse_vector", "metric": "dotproduct"},
    }
}
LIST, FETCH = "/data-plane/*/vectors/list", "/data-plane/*/vectors/fetch"
DIMENSION = 8


def vector(number: int) -> list[float]:
    values: list[float] = np.random.default_rng(number).standard_normal(DIMENSION).astype(np.float32).tolist()
    return values


def rows(ids: list[str], **fields: Any) -> list[dict[str, Any]]:
    return [{"id": each, "values": vector(number), **fields} for number, each in enumerate(ids)]


@pytest.fixture
def index(emulator: Emulator) -> str:
    emulator.add_index("records", records=0, dimension=DIMENSION)
    return "records"


@pytest.fixture
def records(world: Emulator, clock: FakeClock, index: str) -> IndexRecords:
    return PineconeHook(clock=clock).records(index)


def read(records: IndexRecords, namespace: str = "", **arguments: Any) -> list[Record]:
    return [record for batch in records.read(namespace, **arguments) for record in batch.records]


def ids_of(found: list[Record]) -> list[str]:
    return [record.id for record in found]


def sent(emulator: Emulator, path: str) -> list[Any]:
    return [exchange for exchange in emulator.requests if exchange.path.endswith(path)]


# What is read


def test_records_are_read_in_the_order_of_their_ids(world: Emulator, records: IndexRecords, index: str) -> None:
    ids = [f"{number}" for number in range(1234)]
    world.add_records(index, rows(ids))
    found = read(records)
    assert ids_of(found) == sorted(ids)
    by_id = {record.id: record for record in found}
    assert all(by_id[each].values.tolist() == vector(number) for number, each in enumerate(ids))
    assert records.usage.requests == len(sent(world, "/list")) + len(sent(world, "/fetch"))
    assert records.usage.read_units >= 13 + 124
    assert records.usage.response_bytes > 1234 * DIMENSION * 8


def test_no_records(world: Emulator, records: IndexRecords, index: str) -> None:
    assert list(records.read("nothing")) == []


ODD_IDS = [
    *("a/b", "a%2Fb", "a b", "a+b", "a&ids=b", "a=b", "a?b#c", "a,b", "\x01", "~\x7f", "{}", '"', "\\", "..", "."),
    *("A", "a", "B", "0", "-", "_"),
    *(chr(ord("a") + n) * 512 for n in range(20)),
    *("%/" * 250 + str(n) for n in range(20)),
]


def test_odd_ids(world: Emulator, records: IndexRecords, index: str) -> None:
    world.add_records(index, rows(ODD_IDS), namespace="a/b ?#")
    assert ids_of(read(records, "a/b ?#")) == sorted(ODD_IDS)
    assert {exchange.status for exchange in sent(world, "/fetch")} == {200}


def test_values_and_metadata_are_exact(world: Emulator, records: IndexRecords, index: str) -> None:
    values = [0.1, 1 / 3, 1e-38, 3.4e38, -0.0, 1e-45, 16777217.0, -1.0]
    metadata = {"t": True, "one": 1, "real": 1.5, "text": "1", "list": ["a", "é"], "": "empty", "$": 0}
    sparse = {"indices": [5, 2**32 - 1], "values": [0.1, 0.2]}
    world.add_records(index, [{"id": "a", "values": values, "sparseValues": sparse, "metadata": metadata}])
    (found,) = read(records)
    assert found.values.tobytes() == np.array(values, np.float32).tobytes()
    assert found.sparse_values is not None
    assert found.sparse_values.indices.tolist() == sparse["indices"]
    assert found.sparse_values.values.tobytes() == np.array(sparse["values"], np.float32).tobytes()
    assert {key: (type(value), value) for key, value in found.metadata.items() if key not in ("one",)} == {
        key: (type(value), value) for key, value in metadata.items() if key not in ("one",)
    }
    assert found.metadata["one"] == 1
    assert found.metadata["one"] is not True


def test_default_namespace_has_two_names(world: Emulator, records: IndexRecords, index: str) -> None:
    world.add_records(index, rows(["a"]))
    assert records.namespaces() == {"__default__": 1}
    assert records.stats() == {"__default__": 1}
    assert ids_of(read(records, "")) == ids_of(read(records, "__default__")) == ["a"]


def test_namespaces_are_read_page_by_page(world: Emulator, records: IndexRecords, index: str) -> None:
    names = [f"n{number:03d}" for number in range(250)]
    for number, name in enumerate(names):
        world.add_records(index, rows([f"{n}" for n in range(number % 3 + 1)]), namespace=name)
    expected = {name: number % 3 + 1 for number, name in enumerate(names)}
    assert {name: count for name, count in records.namespaces().items() if count} == expected
    assert records.stats() == expected


# Resume and sample


def test_read_is_resumed_after_each_batch(world: Emulator, records: IndexRecords, index: str) -> None:
    ids = sorted(f"{'x' * 300}{number}" for number in range(230))
    world.add_records(index, rows(ids))
    batches = list(records.read())
    assert len(batches) > 10
    done = 0
    for batch in batches:
        done += len(batch.records)
        world.requests.clear()
        assert ids_of(read(records, after=batch.position)) == ids[done:]
        # It lists the page of the last id again, and not the pages before.
        assert len(sent(world, "/list")) <= 3 - (done - 1) // 100
        assert ids_of(read(records, after=batch.position.after)) == ids[done:]


def test_position_can_be_stored_as_json(world: Emulator, records: IndexRecords, index: str) -> None:
    ids = sorted(f"{'x' * 300}{number}" for number in range(230))
    world.add_records(index, rows(ids))
    position = json.loads(json.dumps(next(records.read()).position))
    assert ids_of(read(records, after=position)) == [each for each in ids if each > position[0]]


@pytest.mark.parametrize("after", ["", "0", "1234", "999999", "~"])
def test_read_is_resumed_after_an_id_that_does_not_exist(
    world: Emulator, records: IndexRecords, index: str, after: str
) -> None:
    ids = sorted(f"{number}" for number in range(0, 2000, 7))
    world.add_records(index, rows(ids))
    assert ids_of(read(records, after=after)) == [each for each in ids if each > after]


def test_rejected_token_starts_from_the_first_page(world: Emulator, records: IndexRecords, index: str) -> None:
    ids = sorted(f"{number:03d}" for number in range(250))
    world.add_records(index, rows(ids))
    assert ids_of(read(records, after=Position("120", "no-such-token"))) == ids[121:]


def test_sample_is_the_same_each_time(world: Emulator, records: IndexRecords, index: str) -> None:
    ids = sorted(f"{number}" for number in range(3000))
    world.add_records(index, rows(ids))
    batches = list(records.read(sample=0.1, seed=1))
    first = [record.id for batch in batches for record in batch.records]
    assert sum(batch.listed for batch in batches) == 3000
    assert 200 < len(first) < 400
    assert first == ids_of(read(records, sample=0.1, seed=1))
    assert first != ids_of(read(records, sample=0.1, seed=2))
    requested = [
        value for exchange in sent(world, "/fetch") for name, value in parse_qsl(exchange.raw_query) if name == "ids"
    ]
    assert len(requested) < 3 * 400
    assert set(first) <= set(ids_of(read(records, sample=0.5, seed=1)))


# Faults


def change(answer: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**answer, **fields}


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (lambda page: change(page, vectors=[*page["vectors"], page["vectors"][-1]]), "repeats one"),
        (lambda page: change(page, vectors=page["vectors"][::-1]), "not in the order"),
        (lambda page: change(page, vectors=[{"id": "0000"}]), "not in the order"),
        (lambda page: change(page, vectors="x"), "invalid fields"),
    ],
)
def test_page_that_repeats_or_goes_back_is_an_error(
    world: Emulator,
    records: IndexRecords,
    index: str,
    broken: Callable[[dict[str, Any]], dict[str, Any]],
    problem: str,
) -> None:
    world.add_records(index, rows([f"{number:04d}" for number in range(500)]))
    world.fault("GET", LIST, nth=3, change_answer=broken)
    with pytest.raises(PineconeTransientError, match=problem):
        read(records)


def test_token_that_repeats_is_an_error(world: Emulator, records: IndexRecords, index: str) -> None:
    world.add_records(index, rows([f"{number:04d}" for number in range(500)]))
    tokens: list[Any] = []

    def repeat(page: dict[str, Any]) -> dict[str, Any]:
        tokens.append(page["pagination"])
        return change(page, pagination=tokens[0])

    world.fault("GET", LIST, times=None, change_answer=repeat)
    with pytest.raises(PineconeTransientError, match=r"repeats a page token|not in the order"):
        read(records)


def test_empty_page_with_a_token_is_not_the_end(world: Emulator, records: IndexRecords, index: str) -> None:
    ids = [f"{number:04d}" for number in range(300)]
    world.add_records(index, rows(ids))
    # The second page is empty: its ids were deleted while the namespace was read.
    world.fault("GET", LIST, nth=2, change_answer=lambda page: change(page, vectors=[]))
    assert ids_of(read(records)) == ids[:100] + ids[200:]


def test_empty_pages_without_an_end_are_an_error(world: Emulator, records: IndexRecords, index: str) -> None:
    world.add_records(index, rows([f"{number:04d}" for number in range(3000)]))
    fault = world.fault("GET", LIST, times=None, change_answer=lambda page: change(page, vectors=[]))
    with pytest.raises(PineconeTransientError, match="20 pages without an id"):
        read(records)
    assert fault.hits <= 21


@pytest.mark.parametrize("times", [1, None])
def test_omitted_record_is_requested_again(
    world: Emulator, records: IndexRecords, index: str, times: int | None
) -> None:
    ids = sorted(f"{number:03d}" for number in range(150))
    world.add_records(index, rows(ids))

    def omit(answer: dict[str, Any]) -> dict[str, Any]:
        return change(answer, vectors={each: row for each, row in answer["vectors"].items() if each != "007"})

    world.fault("GET", FETCH, times=times, change_answer=omit)
    batches = list(records.read())
    missing = [each for batch in batches for each in batch.missing]
    assert missing == ([] if times else ["007"])
    assert [record.id for batch in batches for record in batch.records] == [each for each in ids if each not in missing]


FAULTS = [
    {"status": 429},
    {"status": 429, "headers": {"Retry-After": "2"}},
    {"status": 503},
    {"drop": "before"},
    {"drop": "during"},
    {"drop": "after"},
    {"status": 200, "body": b"<html>"},
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("path", [LIST, FETCH, "/data-plane/*/namespaces"])
def test_failed_requests_are_repeated(
    world: Emulator, records: IndexRecords, index: str, path: str, fault: dict[str, Any]
) -> None:
    ids = sorted(f"{number:03d}" for number in range(450))
    world.add_records(index, rows(ids))
    fault_ = world.fault("GET", path, times=3, **fault)
    assert records.namespaces() == {"__default__": 450}
    assert ids_of(read(records)) == ids
    assert fault_.hits == 3


def test_requests_fail_for_minutes_before_the_read_fails(
    world: Emulator, records: IndexRecords, index: str, clock: FakeClock
) -> None:
    world.add_records(index, rows(["a"]))
    world.fault("GET", FETCH, times=None, status=503)
    start = clock.monotonic()
    with pytest.raises(PineconeTransientError, match="fetch records in namespace __default__ of index records"):
        read(records)
    assert len(sent(world, "/fetch")) == 10
    assert clock.monotonic() - start <= 300


@pytest.mark.parametrize("path", [LIST, FETCH])
def test_long_retry_after_ends_the_read_at_once(
    world: Emulator, records: IndexRecords, index: str, clock: FakeClock, path: str
) -> None:
    world.add_records(index, rows(["a"]))
    world.fault("GET", path, times=None, status=429, headers={"Retry-After": "86400"})
    start = clock.monotonic()
    with pytest.raises(PineconeTransientError, match="Pinecone asks to retry after 21600 s"):
        read(records)
    assert clock.monotonic() - start <= 60


@pytest.mark.parametrize("sample", [0, -1, 50, math.nan, True, "1"])
def test_invalid_sample_is_an_error_before_any_request(world: Emulator, records: IndexRecords, sample: Any) -> None:
    world.requests.clear()
    with pytest.raises(PineconeInputError, match="sample must be"):
        records.read(sample=sample)
    assert world.requests == []


@pytest.mark.parametrize("after", [5, ["a"], ["a", "t", "x"], [None, None], {"after": "a"}])
def test_invalid_position_is_an_error(records: IndexRecords, after: Any) -> None:
    with pytest.raises(PineconeInputError, match="after must be"):
        records.read(after=after)


def test_monthly_limit_ends_the_read_at_once(world: Emulator, records: IndexRecords, index: str) -> None:
    world.add_records(index, rows(["a"]))
    body = {"code": 8, "message": "You've reached your read unit limit for the current month.", "details": []}
    world.fault("GET", FETCH, times=None, status=429, body=body)
    with pytest.raises(QuotaExceeded, match="until the next month"):
        read(records)
    assert len(sent(world, "/fetch")) == 1


def test_answer_that_would_be_too_long_is_requested_in_parts(
    world: Emulator, records: IndexRecords, index: str
) -> None:
    ids = sorted(f"{number:03d}" for number in range(400))
    world.add_records(index, rows(ids))
    fault = world.fault("GET", FETCH, times=2, status=413)
    assert ids_of(read(records)) == ids
    assert fault.hits == 2


def test_answer_that_was_too_long_is_requested_in_parts(
    world: Emulator, records: IndexRecords, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(f"{number:03d}" for number in range(120))
    world.add_records(index, rows(ids, metadata={"text": "x" * 1000}))
    monkeypatch.setattr(transport, "MAX_RESPONSE_BYTES", 40_000)
    assert ids_of(read(records)) == ids


def test_outage_is_no_reason_to_request_parts(world: Emulator, records: IndexRecords, index: str) -> None:
    world.add_records(index, rows([f"{number:03d}" for number in range(90)]))
    world.fault("GET", FETCH, times=None, status=500)
    with pytest.raises(PineconeTransientError):
        read(records)
    assert len(sent(world, "/fetch")) == 10


def test_each_repeated_request_is_counted_but_few_are_logged(world: Emulator, index: str, clock: FakeClock) -> None:
    messages: list[str] = []
    records = make_client(world.url, clock, log=messages.append).records(index)
    world.add_records(index, rows([f"{number:04d}" for number in range(2000)]))
    world.fault("GET", LIST, times=None, probability=0.4, status=503)
    read(records)
    assert records.usage.messages > 3
    assert len(messages) == 3
    assert all("Repeating the request" in text for text in messages)


def test_replaced_key_is_read_by_the_thread_of_the_task(
    world: Emulator, records: IndexRecords, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    get_connection = PineconeHook.get_connection

    def note_thread(conn_id: str) -> Any:
        threads.append(threading.current_thread().name)
        return get_connection(conn_id)

    monkeypatch.setattr(PineconeHook, "get_connection", staticmethod(note_thread))
    # Long ids, so that each request is for few of them.
    ids = sorted(f"{'x' * 300}{number:04d}" for number in range(1000))
    world.add_records(index, rows(ids))
    found: list[str] = []
    for number, batch in enumerate(records.read()):
        if number == 1:
            world.api_key = "test-key-2"
            value = {"conn_type": "pinecone", "host": world.url, "password": "test-key-2"}
            monkeypatch.setenv(CONNECTION_VARIABLE, json.dumps(value))
        found += ids_of(batch.records)
    assert found == ids
    assert set(threads) == {"MainThread"}


def test_rejected_key_ends_the_read(world: Emulator, records: IndexRecords, index: str) -> None:
    world.add_records(index, rows(["a"]))
    world.api_key = "test-key-2"
    with pytest.raises(Unauthorized):
        read(records)


def test_closed_read_sends_no_more_requests(world: Emulator, index: str) -> None:
    """With a real clock, because the threads of the read wait while requests fail."""
    world.add_records(index, rows([f"{number:05d}" for number in range(5_000)]))
    batches: Any = PineconeHook().records(index).read()
    next(batches)
    fault = world.fault("GET", "/data-plane/*/vectors/*", times=None, status=503)
    with suppress(PineconeTransientError):
        batches.close()
    threads = [each for each in threading.enumerate() if each.name.startswith("pinecone-records")]
    for thread in threads:
        # A thread that waits for its next attempt ends before it sends one.
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert fault.hits <= 5


@pytest.mark.parametrize("api_version", ["2026-07"])
@pytest.mark.parametrize("namespace", [".", ".."])
def test_namespace_that_cannot_be_in_a_path_is_an_error(world: Emulator, clock: FakeClock, namespace: str) -> None:
    world.add_index("documents", records=0, schema=SCHEMA)
    with pytest.raises(PineconeInputError, match=r"cannot be in the path"):
        read(PineconeHook(clock=clock).records("documents"), namespace)


@pytest.mark.parametrize("call", ["namespaces", "stats"])
def test_repeated_requests_of_the_task_are_logged(world: Emulator, index: str, clock: FakeClock, call: str) -> None:
    messages: list[str] = []
    records = make_client(world.url, clock, log=messages.append).records(index)
    world.fault("*", "/data-plane/*/*", times=2, status=503)
    getattr(records, call)()
    assert len(messages) == 2


def test_unknown_index(world: Emulator, clock: FakeClock) -> None:
    with pytest.raises(NotFound):
        PineconeHook(clock=clock).records("no-such-index")


def test_missing_extra(world: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("airflow_pinecone.api.records", "airflow_pinecone.api.record_bodies"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "orjson", None)
    with pytest.raises(PineconeInputError, match=r"airflow-pinecone\[records\]"):
        PineconeHook(clock=clock).records(INDEX)


# Documents


@pytest.mark.parametrize("api_version", ["2026-07"])
def test_documents_are_read_with_the_documents_api(world: Emulator, clock: FakeClock) -> None:
    world.add_index("documents", records=0, schema=SCHEMA)
    ids = sorted(f"{number:04d}" for number in range(250))
    exact = np.array([0.1, 1 / 3, 1e-20], np.float32)
    documents = [
        {
            "_id": each,
            "title": f"Title {each}",
            "embedding": exact.tolist(),
            "lexical": {"indices": [1, 7], "values": [0.5, 0.25]},
            "pages": number,
            "draft": number % 2 == 0,
        }
        for number, each in enumerate(ids)
    ]
    reader = PineconeHook(clock=clock).records("documents")
    for start in range(0, 250, 100):
        part = documents[start : start + 100]
        response = (
            PineconeHook(clock=clock)
            .get_conn()
            .post(f"{reader._url}/namespaces/__default__/documents/upsert", json={"documents": part}, timeout=20)
        )
        assert response.ok, response.text
    found = read(reader)
    assert ids_of(found) == ids
    assert [record.metadata for record in found] == [
        {name: value for name, value in document.items() if name != "_id"} for document in documents
    ]
    assert all(len(record.values) == 0 and record.sparse_values is None for record in found)
    assert reader.namespaces() == {"__default__": 250}
    position = next(iter(reader.read())).position
    assert ids_of(read(reader, after=position)) == [each for each in ids if each > position.after]


def test_rate_limit_does_not_use_up_the_attempts(world: Emulator, records: IndexRecords, index: str) -> None:
    ids = [f"{number}" for number in range(20)]
    world.add_records(index, rows(ids))
    world.fault("GET", LIST, times=14, status=429)
    world.fault("GET", FETCH, times=14, status=429)
    assert ids_of(read(records)) == sorted(ids)


def test_rate_limit_ends_after_five_minutes(
    world: Emulator, records: IndexRecords, index: str, clock: FakeClock
) -> None:
    world.fault("GET", LIST, times=None, status=429)
    started = clock.monotonic()
    with pytest.raises(PineconeTransientError, match="HTTP 429"):
        read(records)
    assert 300 <= clock.monotonic() - started <= 420
