"""The restore test, task by task, against the emulator: what it finds, what it reports, and what it leaves behind."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AssetAlias
from support.clock import FakeClock
from support.emulator_client import Ask
from support.groups import GroupRun
from support.records import host_path

from airflow_pinecone.assets import restore_test_asset
from airflow_pinecone.emulator import Emulator, damage
from airflow_pinecone.errors import PineconeInputError, RestoreTestFailed
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.restore_test import restore_test
from airflow_pinecone.rules.scratch import RUN_TAG, TEST_TAG

INDEX = "products"
START = ("choose", "restore", "settle", "check", "report")
PASSED = dict.fromkeys((*START, "delete_scratch"), "success")
FAILED = {**PASSED, "report": "failed"}
Start = Callable[..., GroupRun]


@pytest.fixture
def backup(world: Emulator) -> dict[str, Any]:
    """Back up an index with 130 records in three namespaces."""
    world.add_index(INDEX, records=0, namespaces=0, dimension=8)
    world.generate_records(INDEX, 60)
    world.generate_records(INDEX, 50, "b", seed=1)
    world.generate_records(INDEX, 20, "c", seed=2)
    return dict(world.add_backup(INDEX, age=3600))


@pytest.fixture
def test_of(clock: FakeClock) -> Start:
    """Return a function that runs a restore test of the index, each time in another run of the DAG."""
    numbers = itertools.count(1)

    def run(**arguments: Any) -> GroupRun:
        run_id = f"manual__{next(numbers)}"
        return GroupRun(clock, INDEX, **{"deferrable": False, "run_id": run_id, **arguments}).run_all()

    return run


def back_up(emulator: Emulator, fields: dict[str, Any]) -> None:
    """Create a backup whose response has other fields. Its records are those of the index, as one is not generated."""
    emulator.add_records(INDEX, [{"id": "record-00000001", "values": [1.0] * 8}], "b")
    emulator.next_backup(fields=fields)
    PineconeHook().create_backup(INDEX)


def scratch_indexes(emulator: Emulator) -> list[str]:
    return [index["name"] for index in emulator.indexes if index["name"].startswith("restore-test-")]


# A sound backup


@pytest.mark.parametrize("deferrable", [False, True])
def test_sound_restore_passes(
    deferrable: bool, backup: dict[str, Any], world: Emulator, test_of: Start, logged: Callable[[], str]
) -> None:
    run = test_of(deferrable=deferrable)
    assert run.states == PASSED
    record = run.record
    assert (record["verdict"], record["findings"], record["incomplete"]) == ("passed", [], [])
    assert record["read"] == {"records": 130, "listed": 130, "namespaces": 3, "compared": 130}
    assert record["backup"]["backup_id"] == backup["backup_id"]
    assert {row["namespace"]: row["recall"] for row in record["namespaces"]} == {
        "__default__": 1.0,
        "b": 1.0,
        "c": 1.0,
    }
    assert record["usage"]["read_units"] > 0
    assert record["not_checked"] == [
        "The digests were not compared with those of an earlier test: report_to is not set."
    ]
    assert scratch_indexes(world) == []
    text = f"The restore test of backup {backup['backup_id']} of index {INDEX} passed: 130 records in 3 namespaces"
    assert text in logged()


@pytest.mark.parametrize("api_version", ["2025-10", "2026-04", "2026-07"])
def test_sound_restore_passes_in_each_version_of_the_api(
    api_version: str, backup: dict[str, Any], test_of: Start
) -> None:
    assert test_of().record["findings"] == []


def test_sparse_index_has_no_queries(world: Emulator, test_of: Start) -> None:
    world.add_index(INDEX, records=0, namespaces=0, dimension=None, metric="dotproduct", vector_type="sparse")
    records = [{"id": f"r{n}", "sparseValues": {"indices": [1, n + 2], "values": [0.5, n + 0.1]}} for n in range(9)]
    world.add_records(INDEX, records)
    world.add_backup(INDEX, age=3600)
    world.next_restore(change=damage.change_sparse_index("", "r3", 1, 99))
    run = test_of()
    assert run.findings == [("changed", "__default__", True)]
    assert run.record["findings"][0]["parts"] == {"sparse_values": 1}
    assert "Queries of 1 namespace were not checked: the index has no dense vectors." in run.record["not_checked"]


DOCUMENT_FIELDS = {
    "embedding": {"type": "dense_vector", "dimension": 2, "metric": "cosine"},
    "body": {"type": "string", "full_text_search": {"language": "en", "stemming": False, "stop_words": False}},
}


def add_documents(emulator: Emulator) -> None:
    emulator.add_index(INDEX, records=0, schema={"fields": DOCUMENT_FIELDS})


@pytest.mark.parametrize("api_version", ["2025-10", "2026-04"])
@pytest.mark.parametrize("is_shown", [True, False])
def test_document_index_needs_a_version_of_the_api_with_documents(
    is_shown: bool, api_version: str, world: Emulator, test_of: Start
) -> None:
    add_documents(world)
    world.add_records(INDEX, [{"_id": "d1", "embedding": [0.5, 1.0], "body": "text"}])
    world.add_backup(INDEX, age=3600)
    if is_shown:

        def show(answer: dict[str, Any]) -> dict[str, Any]:
            return {"indexes": [{**index, "schema": {"fields": DOCUMENT_FIELDS}} for index in answer["indexes"]]}

        world.fault("GET", "/indexes", change_answer=show, times=None)
    run = test_of()
    failed = run.outcomes["choose" if is_shown else "check"]
    assert failed.state == "failed"
    assert 'Set {"api_version": "2026-07"} in the extra field of connection pinecone_default.' in failed.message
    assert (world.restore_jobs == []) == is_shown


@pytest.mark.parametrize("api_version", ["2026-07"])
def test_document_index_is_read_by_the_documents_api(
    api_version: str, world: Emulator, ask: Ask, test_of: Start
) -> None:
    add_documents(world)
    documents = [{"_id": f"d{number}", "embedding": [0.5, number], "body": "text"} for number in range(9)]
    path = f"{host_path(world, INDEX)}/namespaces/__default__/documents/upsert"
    assert ask("POST", path, json={"documents": documents}).ok
    world.add_backup(INDEX, age=3600)
    assert test_of().record["read"] == {"records": 9, "listed": 9, "namespaces": 1, "compared": 9}
    world.next_restore(change=damage.change_metadata_type("", "d3", "body"))
    run = test_of()
    assert run.findings == [("changed", "__default__", True)]
    assert run.record["findings"][0]["ids"] == ["d3"]
    assert (
        "Queries of 1 namespace were not checked: only the Documents API serves the index."
        in (run.record["not_checked"])
    )


def test_record_is_small_json(backup: dict[str, Any], test_of: Start) -> None:
    assert len(json.dumps(test_of().record)) < 4000


def test_scratch_index_has_a_tag_with_the_backup(backup: dict[str, Any], world: Emulator, clock: FakeClock) -> None:
    run = GroupRun(clock, INDEX, deferrable=False)
    run.run("choose")
    run.run("restore")
    (index,) = [index for index in world.indexes if index["name"] == run.xcom("choose", "scratch")]
    assert index["tags"][TEST_TAG] == backup["backup_id"]
    assert index["tags"][RUN_TAG] == f"{run.xcom('choose', 'run')}-20250615T150640Z"
    assert len(index["tags"]["airflow-pinecone"]) == 32


def test_asset_event_has_the_facts(backup: dict[str, Any], clock: FakeClock) -> None:
    run = GroupRun(clock, INDEX, deferrable=False, outlets=[AssetAlias("tests")])
    for name in START:
        run.run(name)
    facts = run.outlet_events[restore_test_asset(INDEX)].extra
    assert (facts["backup_id"], facts["verdict"], facts["records"]) == (backup["backup_id"], "passed", 130)
    (event,) = run.outlet_events[AssetAlias("tests")].asset_alias_events
    assert dict(event.extra) == facts


def test_asset_of_another_index_gets_no_facts(
    backup: dict[str, Any], clock: FakeClock, logged: Callable[[], str]
) -> None:
    other = restore_test_asset("docs")
    run = GroupRun(clock, INDEX, deferrable=False, outlets=[other])
    for name in START:
        run.run(name)
    assert run.outlet_events[other].extra == {}
    assert f"The event of {other.uri} has no details, because the test was of index {INDEX}." in logged()


def test_failed_test_updates_no_asset(
    backup: dict[str, Any], world: Emulator, test_of: Start, clock: FakeClock
) -> None:
    world.next_restore(change=damage.flip_bit("", "record-00000003", 5, 0))
    run = GroupRun(clock, INDEX, deferrable=False)
    for name in START:
        run.run(name)
    # Airflow updates the assets of successful tasks only.
    assert run.outcomes["report"].state == "failed"
    assert run.outlet_events[restore_test_asset(INDEX)].extra == {}


# Damage

DAMAGE: dict[str, tuple[Any, list[tuple[str, str | None]]]] = {
    "lost record": (
        damage.lose_record("b", "record-00000007"),
        [("count", None), ("missing", "b")],
    ),
    "lost namespace": (
        damage.lose_namespace("c"),
        [("count", None), ("namespace_count", None), ("missing", "c")],
    ),
    "empty namespace": (damage.empty_namespace("c"), [("count", None), ("missing", "c")]),
    "flipped bit": (damage.flip_bit("", "record-00000003", 5, 0), [("changed", "__default__")]),
    "type of metadata": (damage.change_metadata_type("b", "record-00000001", "number"), [("changed", "b")]),
    "swapped records": (damage.swap_records("b", "record-00000001", "record-00000002"), [("changed", "b")]),
    "extra record": (
        damage.duplicate_record("b", "record-00000001", "record-x"),
        [("count", None), ("extra", "b")],
    ),
}


@pytest.mark.parametrize(("change", "findings"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found_and_the_scratch_index_is_deleted(
    change: Any, findings: list[Any], backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    world.next_restore(change=change)
    run = test_of(settle_timeout=60)
    assert run.states == FAILED
    assert run.record["verdict"] == "failed"
    assert [finding[:2] for finding in run.findings] == findings
    assert isinstance(run.outcomes["report"].error, AirflowFailException)
    assert scratch_indexes(world) == []


def test_message_and_log_name_the_record(
    backup: dict[str, Any], world: Emulator, test_of: Start, logged: Callable[[], str]
) -> None:
    world.next_restore(change=damage.flip_bit("b", "record-00000003", 5, 0))
    message = test_of().outcomes["report"].message
    assert message.startswith(f"The restore test of backup {backup['backup_id']} of index {INDEX} failed: 1 finding;")
    assert "Namespace b: records that differ from those of the index: 1 (values: 1);" in message
    assert "Such as: record-00000003." in logged()


def test_without_an_index_to_compare_with_only_the_counts_differ(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    world.next_restore(change=damage.lose_record("", "record-00000000"))
    run = test_of(compare_to_index=False, settle_timeout=60)
    assert run.findings == [("count", None, True)]
    assert (
        "The records were not compared with those of an index: compare_to_index is not set."
        in (run.record["not_checked"])
    )


def test_restored_index_without_records_never_passes(world: Emulator, test_of: Start) -> None:
    world.add_index(INDEX, records=0, namespaces=0, dimension=8)
    world.add_backup(INDEX, age=3600)
    run = test_of(settle_timeout=60)
    assert run.states == FAILED
    assert run.findings == [("empty", None, True)]


@pytest.mark.parametrize("field", ["record_count", "namespace_count"])
def test_unknown_count_is_not_a_pass(field: str, backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    back_up(world, {field: None})
    run = test_of(settle_timeout=60)
    if field == "record_count":
        assert run.findings == [("count", None, True)]
        assert run.record["estimate"]["read_units"] is None
    else:
        # The records prove more than the number of namespaces.
        assert run.record["verdict"] == "passed"
        assert (
            "The number of namespaces was not checked: the backup has no namespace_count."
            in (run.record["not_checked"])
        )


def test_backup_that_claims_more_records_than_it_has(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    back_up(world, {"record_count": 131})
    run = test_of(settle_timeout=60)
    assert run.findings == [("count", None, True)]
    assert run.record["restore"]["settled"] is False


def test_query_that_fails_is_a_finding(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    world.fault("POST", "/data-plane/*/query", status=400, times=None)
    run = test_of()
    assert run.findings == [("query_failed", name, True) for name in ("__default__", "b", "c")]
    assert run.record["read"]["records"] == 130


def test_queries_that_find_too_few_of_the_nearest_records(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    def cut(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "matches": answer["matches"][:8]}

    world.fault("POST", "/data-plane/restore-test-*/query", change_answer=cut, times=None)
    assert test_of().findings == [("low_recall", name, True) for name in ("__default__", "b", "c")]
    assert test_of(min_recall=0.8).record["verdict"] == "passed"


def test_index_of_which_queries_cannot_find_the_records(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    world.fault(
        "POST", "/data-plane/restore-test-*/query", change_answer=lambda answer: {**answer, "matches": []}, times=None
    )
    assert {row["recall"] for row in test_of().record["namespaces"]} == {0.0}


def test_record_that_is_listed_and_cannot_be_fetched(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    def lose(answer: dict[str, Any]) -> dict[str, Any]:
        vectors = {name: row for name, row in answer["vectors"].items() if name != "record-00000003"}
        return {**answer, "vectors": vectors}

    world.fault("GET", "/data-plane/restore-test-*/vectors/fetch", change_answer=lose, times=None)
    run = test_of(compare_to_index=False)
    assert run.findings == [("unreadable", name, True) for name in ("__default__", "b", "c")]
    assert (run.record["read"]["listed"], run.record["read"]["records"]) == (130, 127)


def test_record_with_too_few_values(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    def shorten(answer: dict[str, Any]) -> dict[str, Any]:
        vectors = {name: {**row, "values": row["values"][:7]} for name, row in answer["vectors"].items()}
        return {**answer, "vectors": vectors}

    world.fault("GET", "/data-plane/restore-test-*/vectors/fetch", change_answer=shorten, times=None)
    run = test_of(compare_to_index=False)
    assert run.findings == [("wrong_dimension", name, True) for name in ("__default__", "b", "c")]
    assert "Queries of 3 namespaces were not checked: no record can be a query." in run.record["not_checked"]


def test_progress_is_logged_each_minute(
    backup: dict[str, Any], world: Emulator, test_of: Start, clock: FakeClock, logged: Callable[[], str]
) -> None:
    """Each request for records takes 40 seconds."""

    def wait(answer: dict[str, Any]) -> dict[str, Any]:
        clock.advance(40)
        return answer

    world.fault("GET", "/data-plane/*/vectors/fetch", change_answer=wait, times=None)
    assert test_of(parts=1).record["verdict"] == "passed"
    assert re.search(r"\d+ records, \d+ records/s, \d+ read units so far", logged())


# The index has changed since the backup


def move_on(emulator: Emulator) -> None:
    """Add 10 records to the index, and change 2 others."""
    emulator.generate_records(INDEX, 10, "new", seed=9)
    for number in (1, 2):
        emulator.add_records(INDEX, [{"id": f"record-{number:08}", "values": [1.0] * 8}], "b")


def test_index_that_has_changed_fails_by_default(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    move_on(world)
    assert test_of().findings == [("changed", "b", True), ("missing", "new", True)]


@pytest.mark.parametrize(
    ("max_missing", "max_changed", "state"),
    [(0.072, 0.015, "success"), (0.071, 0.015, "failed"), (0.072, 0.014, "failed")],
)
def test_index_that_has_changed_within_the_limits(
    max_missing: float, max_changed: float, state: str, backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    move_on(world)
    # 10 and 2 of 140 records.
    run = test_of(max_missing=max_missing, max_changed=max_changed)
    assert run.outcomes["report"].state == state
    assert {kind for kind, *_ in run.findings} == {"missing", "changed"}


def test_record_that_was_deleted_from_the_index_is_reported(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    world.generate_records(INDEX, 20, "other")
    world.add_backup(INDEX, age=60)
    index = world.control_plane.project.index(INDEX)
    index.contents.write(lambda namespaces: namespaces.__delitem__("other"), 0.0, 0.0, 0.0)
    run = test_of()
    assert run.outcomes["report"].state == "success"
    assert run.findings == [("extra", "other", False)]


def test_deleted_index_is_not_compared(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    world.control_plane.project.delete_index(INDEX, now=0.0)
    run = test_of()
    assert run.record["verdict"] == "passed"
    assert (
        f"The records were not compared with those of an index: no index has the name {INDEX}."
        in (run.record["not_checked"])
    )


def test_index_that_is_deleted_during_the_test(backup: dict[str, Any], world: Emulator, clock: FakeClock) -> None:
    run = GroupRun(clock, INDEX, deferrable=False)
    run.run("choose")
    run.run("restore")
    world.control_plane.project.delete_index(INDEX, now=0.0)
    for name in ("settle", "check", "report"):
        run.run(name)
    assert run.record["verdict"] == "passed"
    assert "was deleted during the test" in run.record["not_checked"][0]


# The wait for the counts


@pytest.mark.parametrize("deferrable", [False, True])
def test_counts_that_lag_behind_are_waited_for(
    deferrable: bool, backup: dict[str, Any], world: Emulator, test_of: Start, clock: FakeClock
) -> None:
    world.scenario.restored_records_visible_after = 300
    started = clock.now
    run = test_of(deferrable=deferrable)
    assert run.record["verdict"] == "passed"
    assert run.record["restore"]["settled"] is True
    assert clock.now - started >= 300


@pytest.mark.parametrize("deferrable", [False, True])
def test_wait_for_the_counts_ends_without_a_failure(
    deferrable: bool,
    backup: dict[str, Any],
    world: Emulator,
    test_of: Start,
    clock: FakeClock,
    logged: Callable[[], str],
) -> None:
    world.next_restore(change=damage.lose_record("b", "record-00000007"))
    started = clock.now
    run = test_of(deferrable=deferrable, settle_timeout=timedelta(minutes=10))
    assert clock.now - started == pytest.approx(600, abs=5)
    assert run.outcomes["settle"].state == "success"
    problem = "its stats have 129 records and its namespaces 129, not 130 as the backup"
    assert run.xcom("settle", "counts")["problem"] == problem
    assert f"have not settled: {problem}" in logged()
    assert any(problem in note for note in run.record["not_checked"])


def test_namespaces_are_grouped_into_parts(backup: dict[str, Any], clock: FakeClock) -> None:
    run = GroupRun(clock, INDEX, deferrable=False, parts=2)
    for name in ("choose", "restore", "settle"):
        run.run(name)
    ids = {"test_id": run.xcom("choose", "test_id"), "restore_job_id": run.xcom("restore")["restore_job_id"]}
    assert run.xcom("settle") == [
        {**ids, "namespaces": [{"name": "__default__", "records": 60}], "compare": True},
        {**ids, "namespaces": [{"name": "b", "records": 50}, {"name": "c", "records": 20}], "compare": True},
    ]


# Before the restore


def test_test_above_the_limit_of_read_units_is_not_started(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    # Two indexes with 3 list and 13 fetch requests, and 10 queries in 3 namespaces.
    run = test_of(max_read_units=39)
    assert run.states == {"choose": "failed", "report": "failed"}
    assert "it would cost about 40 read units, and the limit is 39" in run.outcomes["choose"].message.lower()
    assert run.record["incomplete"] == ["choose", "restore", "settle", "check"]
    assert world.restore_jobs == []
    assert test_of(max_read_units=40).states == PASSED


def test_unknown_cost_is_above_every_limit(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    back_up(world, {"record_count": None})
    run = test_of(max_read_units=10**9)
    assert run.outcomes["choose"].state == "failed"
    assert "unknown is not zero" in run.outcomes["choose"].message


def test_index_without_a_ready_backup(world: Emulator, test_of: Start) -> None:
    world.add_index(INDEX, records=0, namespaces=0, dimension=8)
    world.add_backup(INDEX, status="Failed")
    run = test_of()
    assert run.outcomes["choose"].state == "failed"
    assert "no Ready backup" in run.outcomes["choose"].message


def test_random_choice_is_the_same_for_each_try_of_a_run(
    backup: dict[str, Any], world: Emulator, clock: FakeClock
) -> None:
    ids = [world.add_backup(INDEX, age=60 * number)["backup_id"] for number in range(9)]

    def chosen(**arguments: Any) -> str:
        run = GroupRun(clock, INDEX, choose="random", **arguments)
        return str(run.run("choose").value["backup_id"])

    assert len({chosen(run_id="a") for _ in range(3)}) == 1
    assert len({chosen(run_id=f"run-{number}") for number in range(20)}) > 3
    assert {chosen(seed=number, last=2) for number in range(20)} == set(ids[:2])


def test_retry_has_the_same_name_for_the_scratch_index(backup: dict[str, Any], clock: FakeClock) -> None:
    def name(run_id: str) -> str:
        run = GroupRun(clock, INDEX, run_id=run_id)
        return str(run.run("choose").value["scratch"])

    assert name("a") == name("a") != name("b")


def test_estimate_has_the_records_that_the_index_has_now(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    world.generate_records(INDEX, 1000, "new", seed=9)
    # 10 list and 100 fetch requests more.
    assert test_of().record["estimate"]["read_units"] == 40 + 110


def test_old_scratch_index_is_reported(
    backup: dict[str, Any], world: Emulator, test_of: Start, logged: Callable[[], str]
) -> None:
    for name, day in (("restore-test-old", 14), ("restore-test-new", 15)):
        tags = {"airflow-pinecone": "x", TEST_TAG: "b-9", RUN_TAG: f"0123-202506{day}T120000Z"}
        world.add_index(name, records=0, namespaces=0, dimension=8, tags=tags)
    test_of()
    assert "Scratch index restore-test-old of 2025-06-14 12:00:00 UTC still exists." in logged()
    assert "Index restore-test-new" not in logged()
    assert scratch_indexes(world) == ["restore-test-old", "restore-test-new"]


# A clear


def test_clear_of_a_finished_test_tests_again(backup: dict[str, Any], test_of: Start) -> None:
    run = test_of()
    first = run.record
    assert run.clear().run_all().states == PASSED
    again = run.record
    assert (again["verdict"], again["restore"]["index_name"]) == ("passed", first["restore"]["index_name"])
    assert again["restore"]["restore_job_id"] != first["restore"]["restore_job_id"]
    assert again["ended_at"] > first["ended_at"]


def test_clear_deletes_the_scratch_index_that_was_left_also_of_another_backup(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    world.fault("DELETE", "/indexes/*", status=403)
    run = test_of()
    assert scratch_indexes(world) == [run.xcom("choose", "scratch")]
    newer = world.add_backup(INDEX, age=60)
    assert run.clear().run_all().states == PASSED
    assert run.record["backup"]["backup_id"] == newer["backup_id"]
    assert scratch_indexes(world) == []


@pytest.mark.parametrize(("status", "why"), [(202, "was deleted, but still exists"), (403, "could not be deleted: ")])
def test_scratch_index_of_an_earlier_try_that_cannot_be_deleted(
    status: int, why: str, backup: dict[str, Any], world: Emulator, clock: FakeClock
) -> None:
    run = GroupRun(clock, INDEX, deferrable=False)
    run.run("choose")
    run.run("restore")
    world.fault("DELETE", "/indexes/*", status=status, times=None)
    outcome = run.clear().run("choose")
    assert outcome.state == "up_for_retry"
    assert f"of an earlier try {why}" in outcome.message


def test_restore_that_fails_after_a_clear_has_no_findings_of_the_earlier_test(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    world.next_restore(change=damage.flip_bit("b", "record-00000003", 5, 0))
    run = test_of()
    assert run.record["verdict"] == "failed"
    world.add_backup(INDEX, age=60)
    world.next_restore(restore_ends="Failed")
    record = run.clear().run_all().record
    assert (record["verdict"], record["findings"]) == ("incomplete", [])
    assert record["incomplete"] == ["restore", "settle", "check"]


def test_result_of_a_part_that_was_removed_by_a_clear_does_not_count(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    run = test_of()
    assert run.record["read"]["namespaces"] == 3
    index = world.control_plane.project.index(INDEX)
    index.contents.write(lambda namespaces: namespaces.__delitem__("c"), 0.0, 0.0, 0.0)
    world.add_backup(INDEX, age=60)
    record = run.clear().run_all().record
    assert (record["verdict"], record["read"]["records"], record["read"]["namespaces"]) == ("passed", 110, 2)


def test_clear_of_the_report_alone_does_not_make_the_test_newer(
    backup: dict[str, Any], test_of: Start, clock: FakeClock, tmp_path: Path
) -> None:
    run = test_of(report_to=tmp_path.as_uri())
    ended_at = run.record["ended_at"]
    clock.advance(7 * 86400)
    assert run.run("report").state == "success"
    assert run.record["ended_at"] == ended_at


# Names that Airflow does not store as keys


def keys_of(value: Any) -> set[str]:
    """Return the keys of all dicts in a value."""
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item)}
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in keys_of(item)}
    return set()


def test_reserved_names_are_no_keys_of_an_xcom(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    reserved = {"__type", "__id__", "__classname__"}
    for name in reserved:
        world.generate_records(INDEX, 5, name)
    back_up(world, {"schema": {"fields": {"__type": {"filterable": True}}}})
    run = test_of(settle_timeout=60)
    assert reserved < {row["namespace"] for row in run.record["namespaces"]}
    assert (
        keys_of([run.xcom("choose"), run.xcom("choose", "backup"), run.xcom("settle"), run.record]) & reserved == set()
    )


# Failures


def test_failed_restore_is_incomplete_and_its_index_is_deleted(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    world.next_restore(restore_ends="Failed")
    run = test_of()
    assert run.states == {
        "choose": "success",
        "restore": "up_for_retry",
        "report": "failed",
        "delete_scratch": "success",
    }
    assert (run.record["verdict"], run.record["incomplete"]) == ("incomplete", ["restore", "settle", "check"])
    assert "is incomplete: the task restore has no result" in run.outcomes["report"].message
    assert scratch_indexes(world) == []


def test_failed_check_is_incomplete(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    world.fault("GET", "/data-plane/*/vectors/list", status=403, times=None)
    run = test_of()
    assert (run.record["verdict"], run.record["incomplete"]) == ("incomplete", ["check"])
    assert run.states["delete_scratch"] == "success"


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"airflow-pinecone": "x"},
        {TEST_TAG: "{id}", RUN_TAG: "{run}-20250615T120000Z"},
        {"airflow-pinecone": "x", TEST_TAG: "{id}"},
        {"airflow-pinecone": "x", TEST_TAG: "{id}", RUN_TAG: "0123-20250615T120000Z"},
    ],
)
def test_foreign_index_with_the_scratch_name_is_kept(
    tags: dict[str, str], backup: dict[str, Any], world: Emulator, clock: FakeClock
) -> None:
    run = GroupRun(clock, INDEX, deferrable=False)
    run.run("choose")
    scratch = run.xcom("choose", "scratch")
    values = {"{id}": backup["backup_id"], "{run}": run.xcom("choose", "run")}
    for old, new in values.items():
        tags = {name: value.replace(old, new) for name, value in tags.items()}
    world.add_index(scratch, records=0, namespaces=0, dimension=8, tags=tags)
    assert run.run("restore").state == "failed"
    assert run.run("delete_scratch").value is False
    assert run.clear().run("choose").state == "success"
    assert scratch_indexes(world) == [scratch]


def test_scratch_index_that_was_not_deleted_fails_the_task(
    backup: dict[str, Any], world: Emulator, test_of: Start
) -> None:
    world.fault("DELETE", "/indexes/*", status=403, times=None)
    run = test_of()
    assert run.states == {**PASSED, "delete_scratch": "up_for_retry"}
    assert "If no retry is left, delete the index" in run.outcomes["delete_scratch"].message
    assert isinstance(run.outcomes["delete_scratch"].error, RestoreTestFailed)


def test_slow_restore(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    world.next_restore(restore_after=120)
    run = test_of(max_restore_time=timedelta(seconds=119))
    assert run.findings == [("slow_restore", None, True)]
    assert run.record["restore"]["seconds"] == pytest.approx(120, abs=1)
    world.next_restore(restore_after=120)
    assert test_of(max_restore_time=121).record["verdict"] == "passed"


# A sample


def test_sample_reads_a_share_and_counts_all(backup: dict[str, Any], world: Emulator, test_of: Start) -> None:
    run = test_of(sample=0.5)
    record = run.record
    assert (record["verdict"], record["sampled"]) == ("passed", True)
    assert record["read"]["listed"] == 130
    assert 30 < record["read"]["records"] < 100
    assert record["read"]["compared"] == record["read"]["records"]
    assert "Only a sample of 0.5 of the records was read." in record["not_checked"]
    assert "Queries of 3 namespaces were not checked: only a sample of the records was read." in record["not_checked"]
    world.next_restore(change=damage.lose_record("b", "record-00000007"))
    assert ("count", None, True) in test_of(sample=0.5, settle_timeout=60).findings


# The records of tests


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json"))


def test_record_is_written_to_a_folder(
    backup: dict[str, Any], world: Emulator, test_of: Start, tmp_path: Path, clock: FakeClock
) -> None:
    first = test_of(report_to=tmp_path.as_uri())
    assert f"{INDEX}/{backup['backup_id']}/20250615T150640.000000Z" in first.record["file"]
    world.next_restore(change=damage.flip_bit("b", "record-00000003", 5, 0))
    second = test_of(report_to=tmp_path.as_uri(), compare_to_index=False)
    # At the same time, and still another file.
    assert len(files(tmp_path)) == 3
    latest = json.loads((tmp_path / INDEX / "latest.json").read_bytes())
    assert latest["verdict"] == "failed"
    # The counts are right and nothing is compared with the index: only the digest has changed.
    assert second.findings == [("digest_changed", "b", True)]
    assert test_of(report_to=tmp_path.as_uri(), compare_to_index=False).record["verdict"] == "passed"


def test_namespace_that_an_earlier_test_had_is_missed(
    backup: dict[str, Any], world: Emulator, test_of: Start, tmp_path: Path
) -> None:
    test_of(report_to=tmp_path.as_uri())
    world.next_restore(change=damage.lose_namespace("c"))
    run = test_of(report_to=tmp_path.as_uri(), compare_to_index=False, settle_timeout=60)
    assert ("digest_changed", "c", True) in run.findings


def test_file_that_is_no_record_is_skipped(
    backup: dict[str, Any], test_of: Start, tmp_path: Path, logged: Callable[[], str]
) -> None:
    folder = tmp_path / INDEX / backup["backup_id"]
    folder.mkdir(parents=True)
    (folder / "0.json").write_text("{")
    (folder / "1.json").write_text('{"verdict": "passed"}')
    (folder / "readme.txt").write_text("")
    assert test_of(report_to=tmp_path.as_uri()).record["verdict"] == "passed"
    assert re.search(r"1\.json .*not the record of a restore test", logged())


def test_folder_that_cannot_be_written_fails_the_report(
    backup: dict[str, Any], test_of: Start, tmp_path: Path, logged: Callable[[], str]
) -> None:
    (tmp_path / INDEX).write_text("a file")
    run = test_of(report_to=tmp_path.as_uri())
    assert run.outcomes["report"].state == "up_for_retry"
    assert run.outcomes["report"].message.startswith("Could not write the record of the restore test")
    # The result is known nevertheless.
    assert (run.record["verdict"], run.record["file"]) == ("passed", None)
    assert "passed: 130 records" in logged()


def test_folder_that_cannot_be_written_does_not_hide_a_failed_test(
    backup: dict[str, Any], world: Emulator, test_of: Start, tmp_path: Path, logged: Callable[[], str]
) -> None:
    (tmp_path / INDEX).write_text("a file")
    world.next_restore(change=damage.flip_bit("b", "record-00000003", 5, 0))
    run = test_of(report_to=tmp_path.as_uri())
    assert run.outcomes["report"].state == "up_for_retry"
    assert re.search(r"failed: 1 finding;.*\nCould not write the record", run.outcomes["report"].message)
    assert "Such as: record-00000003." in logged()


def test_folder_that_cannot_be_read_is_noted(backup: dict[str, Any], test_of: Start, tmp_path: Path) -> None:
    (tmp_path / INDEX / backup["backup_id"] / "0.json").mkdir(parents=True)
    record = test_of(report_to=tmp_path.as_uri()).record
    assert record["verdict"] == "passed"
    assert any("could not be read (IsADirectoryError)" in note for note in record["not_checked"])


# Arguments


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("index_name", "A/B"),
        ("choose", "oldest"),
        ("last", 0),
        ("last", True),
        ("seed", "1"),
        ("compare_to_index", "true"),
        ("deferrable", None),
        ("max_missing", 1.1),
        ("max_changed", -0.1),
        ("max_read_units", -1),
        ("max_restore_time", 0),
        ("sample", 0),
        ("queries", -1),
        ("top_k", 0),
        ("min_recall", "0.9"),
        ("parts", 1025),
        ("settle_timeout", 0),
    ],
)
def test_invalid_argument_is_an_error_when_the_dag_is_parsed(argument: str, value: Any, clock: FakeClock) -> None:
    arguments = {"index_name": INDEX, argument: value}
    with pytest.raises(PineconeInputError, match="valid" if argument == "index_name" else f"^{argument} must be"):
        GroupRun(clock, **arguments)


def test_queries_keep_a_limited_number_of_records(clock: FakeClock) -> None:
    GroupRun(clock, INDEX, queries=1000, top_k=100)
    with pytest.raises(PineconeInputError, match=r"^queries \* top_k must be at most 100,000, not 1,000 \* 101"):
        GroupRun(clock, INDEX, queries=1000, top_k=101)


def test_task_arguments_apply_to_all_tasks(clock: FakeClock) -> None:
    tasks = GroupRun(clock, INDEX, pool="restores", retries=1).tasks
    assert {name: task.retries for name, task in tasks.items()} == {**dict.fromkeys(START, 1), "delete_scratch": 3}
    assert {task.pool for task in tasks.values()} == {"restores"}


def test_template_has_no_asset_of_its_own(clock: FakeClock) -> None:
    asset = restore_test_asset("docs")
    assert GroupRun(clock, "{{ params.index }}", outlets=[asset]).tasks["report"].outlets == [asset]
    assert GroupRun(clock, INDEX).tasks["report"].outlets == [restore_test_asset(INDEX)]


def test_report_and_the_deletion_both_decide_on_the_run(clock: FakeClock) -> None:
    tasks = GroupRun(clock, INDEX).tasks
    assert tasks["delete_scratch"].on_failure_fail_dagrun
    assert tasks["report"].downstream_task_ids == set()
    assert tasks["report"].trigger_rule == "all_done"
    assert restore_test.__doc__
