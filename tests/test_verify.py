"""A backup that is empty or has shrunk fails its check, and a figure that is missing is said to be missing."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import requests_mock
from airflow.providers.common.compat.sdk import AirflowFailException
from hypothesis import given
from hypothesis import strategies as st
from running import TaskInstance, Time, connect, make, run_try

from airflow_pinecone import verification
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import BackupCheckFailed, PineconePermanentError, PineconeTransientError
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.models import created_at, newest_ready
from airflow_pinecone.operators import VerifyBackupOperator
from airflow_pinecone.verification import Counterpart, Rules, check

HOUR = 3600.0


# The pure part


def backup(**fields: Any) -> Any:
    model = {
        "backup_id": "b-2",
        "source_index_id": "i-1",
        "source_index_name": "docs",
        "status": "Ready",
        "record_count": 80,
        "created_at": "2025-05-02T00:00:00.000000Z",
        **fields,
    }
    return {name: value for name, value in model.items() if value is not ...}


def earlier(**fields: Any) -> Any:
    return backup(**{"backup_id": "b-1", "record_count": 100, "created_at": "2025-05-01T00:00:00.123456789Z", **fields})


def against(count: Any) -> Counterpart:
    return Counterpart(kind="backup", id="b-1", record_count=count, created_at="2025-05-01T00:00:00Z")


@pytest.mark.parametrize(
    ("fields", "before", "rules", "says"),
    [
        # The floor.
        ({}, None, Rules(), []),
        ({"record_count": 0}, None, Rules(), ["it is empty"]),
        ({"record_count": 0}, None, Rules(min_records=0), []),
        ({"record_count": 1}, None, Rules(), []),
        ({"record_count": 80}, None, Rules(min_records=80), []),
        ({"record_count": 80}, None, Rules(min_records=81), ["80 records, fewer than min_records=81"]),
        ({"record_count": 1}, None, Rules(min_records=2), ["1 record, fewer"]),
        # The share.
        ({}, against(100), Rules(max_shrink=0.2), []),
        ({"record_count": 79}, against(100), Rules(max_shrink=0.2), ["79 records, and the earlier backup b-1 of 2025"]),
        ({"record_count": 79}, against(100), Rules(max_shrink=0.2), ["smaller by 21%, and max_shrink=0.2 allows 20%"]),
        ({"record_count": 79}, against(100), Rules(), []),
        ({"record_count": 100}, against(100), Rules(max_shrink=0), []),
        ({"record_count": 99}, against(100), Rules(max_shrink=0), ["has 100 records"]),
        ({"record_count": 1}, against(100), Rules(max_shrink=1), []),
        ({"record_count": 500}, against(100), Rules(max_shrink=0), []),
        ({"record_count": 0}, against(0), Rules(min_records=0, max_shrink=0), []),
        ({"record_count": 0}, against(100), Rules(max_shrink=0.5), ["it is empty", "smaller by 100%"]),
        ({}, None, Rules(max_shrink=0.2), []),
        # What is missing.
        ({"record_count": None}, None, Rules(), ["its record_count is missing"]),
        ({"record_count": ...}, None, Rules(), ["its record_count is missing"]),
        ({"record_count": ...}, None, Rules(min_records=0), []),
        ({"record_count": ...}, against(100), Rules(min_records=0), []),
        ({"record_count": ...}, None, Rules(min_records=0, max_shrink=0.2), []),
        ({"record_count": ...}, against(100), Rules(min_records=0, max_shrink=0.2), ["its record_count is missing"]),
        ({}, against(None), Rules(max_shrink=0.2), ["the record count of the earlier backup b-1"]),
        ({}, against(None), Rules(), []),
        (
            {"record_count": None},
            against(None),
            Rules(max_shrink=0.2),
            ["its record_count is missing", "the record count of the earlier backup b-1"],
        ),
        # What cannot be a count.
        ({"record_count": -1}, None, Rules(min_records=0, max_shrink=0.2), []),
        ({"record_count": -1}, None, Rules(), ["its record_count is missing"]),
        ({"record_count": -(10**400)}, against(1), Rules(max_shrink=0.2), ["its record_count is missing"]),
        ({}, against(10**400), Rules(max_shrink=0.2), ["the record count of the earlier backup b-1"]),
        # Not Ready.
        ({"status": "Initializing", "record_count": ...}, None, Rules(), ["its status is Initializing, not Ready"]),
        ({"status": "Failed"}, against(100), Rules(max_shrink=0), ["its status is Failed, not Ready"]),
    ],
)
def test_findings(fields: Any, before: Any, rules: Rules, says: list[str]) -> None:
    findings = check(backup(**fields), before, rules)
    assert len(findings) == len(says)
    for finding, words in zip(findings, says, strict=True):
        assert words in finding


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 100))
def test_a_share_in_whole_percent_is_exact(count: int, before: int, percent: int) -> None:
    """No backup at the very bound fails for a rounding: 0.3 of 1000 is 300."""
    findings = check(backup(record_count=count), against(before), Rules(min_records=0, max_shrink=percent / 100))
    assert bool(findings) == (100 * (before - count) > percent * before)


def test_it_is_compared_with_the_newest_earlier_ready_one_of_the_same_index() -> None:
    others = [
        backup(),
        earlier(backup_id="oldest", created_at="2025-04-01T00:00:00Z"),
        earlier(backup_id="wanted", record_count=7, created_at="2025-05-01T23:59:59.999999999+00:00"),
        earlier(backup_id="another index", source_index_id="i-0", created_at="2025-05-01T23:59:59.9999995Z"),
        earlier(backup_id="failed", status="Failed", created_at="2025-05-01T23:59:59.9999995Z"),
        earlier(backup_id="running", status="Initializing", created_at="2025-05-01T23:59:59.9999995Z"),
        earlier(backup_id="later", created_at="2025-05-02T00:00:00.000001Z"),
        earlier(backup_id="at the same time", created_at=backup()["created_at"]),
        earlier(backup_id="undated", created_at=None),
    ]
    for order in (others, others[::-1]):
        found = verification.previous(backup(), order)
        assert found == {
            "kind": "backup",
            "id": "wanted",
            "record_count": 7,
            "created_at": "2025-05-01T23:59:59.999999999+00:00",
        }


@pytest.mark.parametrize(
    "others",
    [
        [],
        [backup()],
        [earlier(source_index_id="i-0", created_at=None)],
        [earlier(source_index_id=..., created_at=None)],
        [earlier(status="Failed")],
        [earlier(created_at="2025-06-01T00:00:00Z")],
    ],
)
def test_there_may_be_nothing_to_compare_with(others: Any) -> None:
    assert verification.previous(backup(), others) is None


def test_it_is_not_taken_for_another_one() -> None:
    """The listing has the backup itself, which needs no time when it is the only one."""
    assert verification.previous(backup(created_at=None), [backup(created_at=None)]) is None


@pytest.mark.parametrize(
    ("own", "others", "names"),
    [
        ({"created_at": ...}, [earlier()], "its created_at is missing"),
        ({}, [earlier(created_at=...)], "created_at of b-1 is missing"),
        ({}, [earlier(created_at="yesterday")], "created_at of b-1 is missing"),
        ({"source_index_id": ...}, [earlier()], "its source_index_id is missing"),
        ({"source_index_id": None}, [earlier(source_index_id=None)], "its source_index_id is missing"),
    ],
)
def test_an_unknown_order_is_not_taken_for_the_first_backup(own: Any, others: Any, names: str) -> None:
    with pytest.raises(BackupCheckFailed, match=names):
        verification.previous(backup(**own), others)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025-05-14T16:37:25.625540Z", datetime(2025, 5, 14, 16, 37, 25, 625540, tzinfo=UTC)),
        ("2025-05-14T16:37:25.625540123+00:00", datetime(2025, 5, 14, 16, 37, 25, 625540, tzinfo=UTC)),
        ("2025-05-14T18:37:25+02:00", datetime(2025, 5, 14, 16, 37, 25, tzinfo=UTC)),
        ("2025-05-14T16:37:25", datetime(2025, 5, 14, 16, 37, 25, tzinfo=UTC)),
        ("", None),
        ("soon", None),
        ("0001-01-01T00:00:00+23:00", None),
        (None, None),
        (..., None),
        (1747240645, None),
        ("2025-05-14\n16:37:25Z", None),
        (f"2025-05-14T16:37:25.{'0' * 99}Z", None),
    ],
)
def test_created_at_is_read_as_it_comes(text: Any, time: datetime | None) -> None:
    assert created_at(backup(created_at=text)) == time


def test_newest_ready_keeps_to_the_newest_index_of_the_name() -> None:
    old = earlier(backup_id="old", source_index_id="i-0")
    ready, newer = earlier(backup_id="ready"), backup(backup_id="newer", status="Initializing")
    undated = earlier(backup_id="undated", created_at=None)
    for order in itertools.permutations([old, ready, newer, undated]):
        assert newest_ready(order) == ready
    assert newest_ready([old, newer]) is None
    assert newest_ready([old]) == old
    assert newest_ready([undated]) is None
    # Those that do not tell their index are of another one than those that do.
    unknown = backup(backup_id="unknown", source_index_id=...)
    assert newest_ready([ready, unknown]) == unknown
    assert newest_ready([ready, unknown | {"status": "Failed"}]) is None
    assert newest_ready([]) is None


# The operator


@pytest.fixture(autouse=True)
def world(emulator: Emulator, time: Time, connection: None) -> None:
    emulator.clock = time


def verify(backup_id: Any, **arguments: Any) -> Any:
    return run_try(make(VerifyBackupOperator, backup_id=backup_id, **arguments), TaskInstance())


def add(emulator: Emulator, records: Any = 96, **fields: Any) -> str:
    return str(emulator.add_backup("docs-example", record_count=records, **fields)["backup_id"])


def calls(emulator: Emulator) -> list[str]:
    return [f"{exchange.method} {exchange.path.split('/')[-1]}" for exchange in emulator.requests]


def test_without_a_comparison_it_asks_once(emulator: Emulator) -> None:
    backup_id = add(emulator)
    end = verify(backup_id)
    assert end.state == "success"
    assert end.value == {
        "backup_id": backup_id,
        "status": "Ready",
        "record_count": 96,
        "compared_to": None,
        "findings": [],
    }
    assert calls(emulator) == [f"GET {backup_id}"]


def test_it_returns_what_it_compared_with(emulator: Emulator) -> None:
    add(emulator, 500, age=3 * HOUR)
    before = emulator.add_backup("docs-example", record_count=100, age=2 * HOUR)
    backup_id = add(emulator, 80, age=HOUR)
    add(emulator, 1000)
    end = verify(backup_id, max_shrink=0.2)
    assert end.state == "success"
    assert end.value["compared_to"] == {
        "kind": "backup",
        "id": before["backup_id"],
        "record_count": 100,
        "created_at": before["created_at"],
    }
    assert json.loads(json.dumps(end.value)) == end.value


def test_a_backup_that_shrank_fails_with_both_figures_and_stays(emulator: Emulator) -> None:
    before, backup_id = add(emulator, 100, age=HOUR), add(emulator, 79)
    end = verify(backup_id, max_shrink=0.2)
    assert end.state == "failed"
    assert isinstance(end.error, AirflowFailException)
    assert isinstance(end.error.__cause__, BackupCheckFailed)
    for word in (backup_id, before, "79", "100", "docs-example", "Nothing was deleted"):
        assert word in end.message
    assert len(emulator.backups) == 2
    assert {exchange.method for exchange in emulator.requests} == {"GET"}


def test_an_emptied_index_is_found_out_without_any_rule(emulator: Emulator) -> None:
    emulator.set_records("docs-example", 0)
    backup_id = PineconeHook().create_backup("docs-example")["backup_id"]
    end = verify(backup_id)
    assert end.state == "failed"
    assert "it is empty: it has 0 records" in end.message
    assert verify(backup_id, min_records=0).state == "success"


def test_a_first_backup_passes_and_says_that_there_is_no_earlier_one(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    end = verify(add(emulator), max_shrink=0)
    assert (end.state, end.value["compared_to"]) == ("success", None)
    assert "there is no earlier Ready backup" in capsys.readouterr().out + caplog.text


def test_an_index_that_took_over_the_name_is_not_compared(emulator: Emulator) -> None:
    add(emulator, 1000, age=HOUR, source_index_id="of an earlier index of this name")
    assert verify(add(emulator, 1), max_shrink=0).state == "success"


def test_the_newest_earlier_one_may_be_on_any_page(emulator: Emulator) -> None:
    add(emulator, 500, age=1000 * HOUR)
    for age in range(2, 150):
        add(emulator, 1000, age=age * HOUR, status="Failed")
    end = verify(add(emulator, 400), max_shrink=0.1)
    assert end.state == "failed"
    assert "500 records" in end.message


@pytest.mark.parametrize("status", ["Initializing", "Failed", "InitializationFailed", "Pending"])
def test_what_is_not_ready_fails_with_its_status(emulator: Emulator, status: str) -> None:
    end = verify(add(emulator, 100, status=status), max_shrink=0.2)
    assert end.state == "failed"
    assert f"its status is {status}, not Ready" in end.message
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("missing", [None, ...])
def test_a_missing_count_is_said_to_be_missing(emulator: Emulator, missing: Any) -> None:
    backup_id = add(emulator, missing)
    end = verify(backup_id)
    assert end.state == "failed"
    assert "its record_count is missing" in end.message
    assert "empty" not in end.message
    end = verify(backup_id, min_records=0)
    assert (end.state, end.value["record_count"]) == ("success", None)


def test_a_missing_count_of_the_earlier_one_is_said_to_be_missing(emulator: Emulator) -> None:
    before = add(emulator, None, age=HOUR)
    end = verify(add(emulator), max_shrink=0.2)
    assert end.state == "failed"
    assert f"the record count of the earlier backup {before} of 20" in end.message


def test_it_can_be_compared_with_the_index_as_it_is_now(emulator: Emulator) -> None:
    backup_id = add(emulator, 80)
    emulator.set_records("docs-example", 100, namespaces=3)
    end = verify(backup_id, max_shrink=0.2, compare_to="index")
    assert end.value["compared_to"] == {
        "kind": "index",
        "id": "docs-example",
        "record_count": 100,
        "created_at": None,
    }
    emulator.set_records("docs-example", 101, namespaces=3)
    end = verify(backup_id, max_shrink=0.2, compare_to="index")
    assert end.state == "failed"
    assert "80 records, and index docs-example now has 101 records" in end.message


@pytest.mark.parametrize("compare_to", ["previous", "index"])
def test_a_backup_that_does_not_tell_its_index_is_compared_with_nothing(emulator: Emulator, compare_to: str) -> None:
    # An answer that a fault alters need not fit the published descriptions.
    emulator.fault("GET", "/backups/*", headers={"x-odd": "yes"}, times=None)
    end = verify(add(emulator, source_index_name=None), max_shrink=0.2, compare_to=compare_to)
    assert end.state == "failed"
    assert "its source_index_name is missing" in end.message
    assert len(emulator.requests) == 1


def test_an_index_that_is_gone_cannot_be_compared_with(emulator: Emulator) -> None:
    backup_id = str(emulator.add_backup("gone", record_count=3)["backup_id"])
    end = verify(backup_id, max_shrink=0.2, compare_to="index")
    assert end.state == "failed"
    assert "index gone" in end.message


def test_what_may_pass_is_retried_and_what_may_not_is_not(emulator: Emulator, time: Time) -> None:
    backup_id = add(emulator)
    emulator.fault("POST", "/data-plane/*/describe_index_stats", status=503)
    assert verify(backup_id, max_shrink=0.2, compare_to="index").state == "up_for_retry"
    assert verify("no-such-backup").state == "failed"
    assert verify(None).state == "failed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_records": -1},
        {"min_records": True},
        {"min_records": 1.5},
        {"max_shrink": 20},
        {"max_shrink": -0.1},
        {"max_shrink": True},
        {"max_shrink": "0.2"},
        {"max_shrink": float("nan")},
        {"compare_to": "last"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(VerifyBackupOperator, backup_id="b-1", **wrong)


def test_templated_fields_are_these() -> None:
    assert tuple(VerifyBackupOperator.template_fields) == ("backup_id", "conn_id")


# The index's stats


def test_stats_come_from_the_index_and_its_own_host(emulator: Emulator) -> None:
    emulator.add_index("other", records=7)
    assert PineconeHook().describe_index_stats("docs-example")["totalVectorCount"] == 96
    assert PineconeHook().describe_index_stats("other")["totalVectorCount"] == 7
    (sent, _) = [exchange for exchange in emulator.requests if exchange.method == "POST"]
    assert sent.body == {}
    assert sent.headers["X-Pinecone-Api-Version"] == "2025-10"


def stats_with_host(
    host: Any, monkeypatch: pytest.MonkeyPatch, *, control: str = "https://api.pinecone.io"
) -> tuple[list[str], str]:
    """Ask for stats of an index that says that this is its host; return the URLs that were asked, and the error."""
    value = {"conn_type": "pinecone", "host": control, "password": "a-key-012345", "extra": {"allow_http": True}}
    monkeypatch.setenv("AIRFLOW_CONN_PINECONE_DEFAULT", json.dumps(value))
    with requests_mock.Mocker() as pinecone:
        pinecone.get(f"{control}/indexes/docs", json={"name": "docs", "host": host, "status": {"ready": True}})
        pinecone.post(requests_mock.ANY, json={"totalVectorCount": 3})
        error = ""
        try:
            PineconeHook().describe_index_stats("docs")
        except PineconePermanentError as refused:
            error = str(refused)
        return [request.url for request in pinecone.request_history if request.method == "POST"], error


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("docs-abc.svc.aped-1.pinecone.io", "https://docs-abc.svc.aped-1.pinecone.io/describe_index_stats"),
        ("https://docs-abc.svc.pinecone.io:443/", "https://docs-abc.svc.pinecone.io/describe_index_stats"),
        ("http://127.0.0.1:5080/data-plane/x", "http://127.0.0.1:5080/data-plane/x/describe_index_stats"),
        ("http://[::1]:5080", "http://[::1]:5080/describe_index_stats"),
    ],
)
def test_a_bare_host_is_asked_by_https(host: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (sent,), _ = stats_with_host(host, monkeypatch)
    assert sent.replace(":443/", "/") == url


def test_plain_http_is_for_the_host_that_the_connection_already_speaks_it_to(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = "http://emulator:5080"
    sent, _ = stats_with_host(f"{emulator}/x", monkeypatch, control=emulator)
    assert sent == [f"{emulator}/x/describe_index_stats"]
    sent, error = stats_with_host("http://elsewhere:5080/x", monkeypatch, control=emulator)
    assert sent == []
    assert "unencrypted" in error


@pytest.mark.parametrize(
    "host",
    [
        "http://docs-abc.svc.pinecone.io",
        "http://127.0.0.1.example.com",
        "http://localhost@example.com",
        "https://user:word@example.com",
        "ftp://example.com",
        "example.com?x=1",
        "example.com#x",
        "exa mple.com",
        "[::ffff:999.1.1.1]",
        "[2001:db8::7]",
        "x" * 254,
        "example.com:" + "9" * 6,
        "example.com/" + "x" * 100,
        "",
        None,
        5,
    ],
)
def test_the_key_goes_to_no_host_that_it_should_not_be_sent_to(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, error = stats_with_host(host, monkeypatch)
    assert sent == []
    assert "stats of index docs" in error


def test_stats_that_are_none_are_not_taken_for_an_empty_index(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator)
    emulator.fault("POST", "/data-plane/*/describe_index_stats", status=200, body=b"[]")
    with pytest.raises(PineconeTransientError, match="no stats"):
        PineconeHook().describe_index_stats("docs-example")
    emulator.fault("POST", "/data-plane/*/describe_index_stats", status=200, body={})
    end = verify(add(emulator), max_shrink=0.2, compare_to="index")
    assert end.state == "failed"
    assert "the record count of index docs-example now, which it is compared with, is missing" in end.message
