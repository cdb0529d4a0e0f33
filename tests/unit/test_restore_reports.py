"""The files of restore tests: how they are written, and which one a new test is compared with."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.constants import INDEX
from support.restore_records import add_test, make_record

from airflow_pinecone.errors import RestoreTestFailed
from airflow_pinecone.runtime.restore_reports import oldest_passed, read_tests, write

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def latest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / INDEX / "latest.json").read_bytes()))


# write


def test_file_is_named_after_the_end_of_the_test_and_its_run(tmp_path: Path) -> None:
    first = add_test(tmp_path, INDEX, "b-1", NOW, run_id="one")
    second = add_test(tmp_path, INDEX, "b-1", NOW, run_id="two")
    assert first.name.startswith("20250615T120000.000000Z-")
    assert second.name.startswith("20250615T120000.000000Z-")
    assert len({first, second}) == 2


def test_latest_is_the_test_that_ended_last(tmp_path: Path) -> None:
    add_test(tmp_path, INDEX, "b-1", NOW, "failed")
    add_test(tmp_path, INDEX, "b-2", NOW - HOUR)
    assert latest(tmp_path)["backup"]["backup_id"] == "b-1"
    add_test(tmp_path, INDEX, "b-3", NOW + HOUR)
    assert latest(tmp_path)["backup"]["backup_id"] == "b-3"


def test_of_two_at_the_same_time_the_one_that_has_not_passed_is_the_latest(tmp_path: Path) -> None:
    for verdict in ("passed", "failed", "passed"):
        add_test(tmp_path, INDEX, "b-1", NOW, verdict)
    assert latest(tmp_path)["verdict"] == "failed"


@pytest.mark.parametrize("content", ["", "[]", '{"format": 99}'])
def test_latest_that_is_no_record_is_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / INDEX).mkdir()
    (tmp_path / INDEX / "latest.json").write_text(content)
    add_test(tmp_path, INDEX, "b-1", NOW)
    assert latest(tmp_path)["verdict"] == "passed"


def test_retry_writes_no_second_file(tmp_path: Path) -> None:
    first = add_test(tmp_path, INDEX, "b-1", NOW)
    (tmp_path / INDEX / "latest.json").unlink()
    assert add_test(tmp_path, INDEX, "b-1", NOW) == first
    assert len(list(tmp_path.rglob("*.json"))) == 2
    assert latest(tmp_path)["file"] == first.name


def test_other_content_does_not_replace_a_file(tmp_path: Path) -> None:
    first = add_test(tmp_path, INDEX, "b-1", NOW)
    second = add_test(tmp_path, INDEX, "b-1", NOW, "failed")
    assert (json.loads(first.read_bytes())["verdict"], json.loads(second.read_bytes())["verdict"]) == (
        "passed",
        "failed",
    )
    assert add_test(tmp_path, INDEX, "b-1", NOW, "failed") == second
    (found,) = read_tests(tmp_path.as_uri(), {INDEX: {"b-1": None}}, now=NOW)[INDEX].tests[:1]
    assert found.path.endswith(second.name)


def test_latest_has_no_namespaces(tmp_path: Path) -> None:
    file = add_test(tmp_path, INDEX, "b-1", NOW)
    record = json.loads(file.read_bytes())
    assert record.pop("namespaces")
    assert latest(tmp_path) == {**record, "file": file.name}


@pytest.mark.parametrize("name", [None, "../../b-2/other.json", 7])
def test_latest_of_an_earlier_release_is_read(tmp_path: Path, name: Any) -> None:
    add_test(tmp_path, INDEX, "b-1", NOW)
    record = {**make_record(INDEX, "b-1", NOW), "file": name}
    (tmp_path / INDEX / "latest.json").write_text(json.dumps(record))
    (found,) = read_tests(tmp_path.as_uri(), {INDEX: {"b-1": None}}, now=NOW)[INDEX].tests
    assert found.path.endswith("/b-1/20250615T120000.000000Z.json")


def test_latest_that_cannot_be_read_fails_the_task(tmp_path: Path) -> None:
    (tmp_path / INDEX / "latest.json").mkdir(parents=True)
    with pytest.raises(RestoreTestFailed, match=r"latest\.json.*\n?.*IsADirectoryError"):
        write(tmp_path.as_uri(), INDEX, "b-1", make_record(INDEX, "b-1", NOW), NOW)


# oldest_passed


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def oldest(tmp_path: Path, warnings: list[str]) -> Callable[..., Any]:
    """Return the end of the test that is found, or why none is."""

    def oldest(who: dict[str, Any] | None = None) -> Any:
        found = oldest_passed(
            tmp_path.as_uri(), INDEX, "b-1", lambda text, *values: warnings.append(text % values), who
        )
        return found.record["ended_at"] if found.record else found.why_none

    return oldest


def test_oldest_passed_test_that_was_compared_is_preferred(tmp_path: Path, oldest: Callable[..., Any]) -> None:
    assert oldest() == "no earlier test of this backup that read all records has passed"
    add_test(tmp_path, INDEX, "b-1", NOW - 5 * HOUR, "failed")
    add_test(tmp_path, INDEX, "b-1", NOW - 4 * HOUR, sample=0.5)
    assert oldest() == "no earlier test of this backup that read all records has passed"
    for hours in (3, 2):
        add_test(tmp_path, INDEX, "b-1", NOW - hours * HOUR)
    assert oldest() == (NOW - 3 * HOUR).isoformat()
    for hours in (1, 0):
        add_test(tmp_path, INDEX, "b-1", NOW - hours * HOUR, compared=100)
    assert oldest() == (NOW - HOUR).isoformat()


def test_record_of_the_same_run_is_no_baseline(tmp_path: Path, oldest: Callable[..., Any]) -> None:
    add_test(tmp_path, INDEX, "b-1", NOW, run_id="one")
    assert oldest({"dag_id": "tests", "run_id": "one"}).startswith("no earlier test")
    assert oldest({"dag_id": "other", "run_id": "one"}) == NOW.isoformat()


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"format": 2}, "its format is 2"),
        ({"index_name": "other"}, "it is about another index"),
        ({"backup": {"backup_id": "b-2"}}, "it is about another backup, b-2"),
        ({"verdict": "fine"}, "it is not the record of a restore test"),
        ({"findings": [{"text": "Lost.", "fails": True}]}, "it is not the record of a restore test"),
        ({"namespaces": {"": {"read": 1}}}, "it is not the record of a restore test"),
        ({"namespaces": {"": {"read": 1, "digest": 7}}}, "it is not the record of a restore test"),
        ({"namespaces": 7}, "it is not the record of a restore test"),
        ({"who": None}, "it is not the record of a restore test"),
    ],
)
def test_file_that_is_no_record_of_the_backup_is_skipped(
    tmp_path: Path, oldest: Callable[..., Any], warnings: list[str], change: dict[str, Any], warning: str
) -> None:
    file = add_test(tmp_path, INDEX, "b-1", NOW - HOUR)
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    add_test(tmp_path, INDEX, "b-1", NOW)
    assert oldest() == NOW.isoformat()
    (text,) = warnings
    assert warning in text


def test_digests_of_another_version_are_not_compared(tmp_path: Path, oldest: Callable[..., Any]) -> None:
    file = add_test(tmp_path, INDEX, "b-1", NOW)
    file.write_text(file.read_text().replace('"v1:', '"v0:'))
    assert oldest() == "those of the earlier tests of this backup have another version than v1"


def test_store_that_fails_is_unknown(tmp_path: Path, oldest: Callable[..., Any]) -> None:
    (tmp_path / INDEX / "b-1" / "0.json").mkdir(parents=True)
    assert oldest().endswith("could not be read (IsADirectoryError)")
    found = oldest_passed("nonsense://bucket", INDEX, "b-1", print)
    assert found == (None, "folder nonsense://bucket could not be read (ValueError)")
