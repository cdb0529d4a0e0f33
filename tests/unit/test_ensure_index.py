"""EnsureIndexOperator: one task creates one index, and uses one that exists only if that is safe."""

from __future__ import annotations

from typing import Any

import pytest
from support.clock import FakeClock
from support.constants import INDEX
from support.operators import LOST_RESPONSES, allow_any_response
from support.tasks import Outcome, TaskInstance, make_task, run_try

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import CreateOutcomeUnknown, WaitTimeout
from airflow_pinecone.hooks import PineconeHook
from airflow_pinecone.operators.new_index import EnsureIndexOperator
from airflow_pinecone.rules.identity import ORIGIN_TAG
from airflow_pinecone.runtime.failures import InvalidArgument
from airflow_pinecone.runtime.tries import start_try
from airflow_pinecone.waiting.intervals import SEARCH_SECONDS

CREATE = ("POST", "/indexes")
NAME = "imported"

pytestmark = pytest.mark.usefixtures("world")


@pytest.fixture
def ti(clock: FakeClock) -> TaskInstance:
    return TaskInstance(task_id="create", run_started=clock.utcnow())


def ensure(clock: FakeClock, ti: TaskInstance, **arguments: Any) -> Outcome:
    model = arguments.pop("model", None) or dict(PineconeHook(clock=clock).describe_index(INDEX))
    task = make_task(EnsureIndexOperator, clock, **{"model": model, "index_name": NAME, **arguments})
    return run_try(task, ti)


def origin(ti: TaskInstance) -> str:
    return start_try(ti.context, 0.0).origin.digest


def created(emulator: Emulator) -> list[Any]:
    return [each for each in emulator.requests if each.method == "POST" and each.path == "/indexes"]


def shown(emulator: Emulator) -> dict[str, Any]:
    [index] = [index for index in emulator.indexes if index["name"] == NAME]
    return index


def test_an_index_is_created(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    outcome = ensure(clock, ti, tags={"team": "search"}, cloud="gcp", region="europe-west4")
    assert outcome.state == "success"
    assert (outcome.value["name"], outcome.value["created"]) == (NAME, True)
    index = shown(world)
    assert index["tags"].items() >= {"team": "search", ORIGIN_TAG: origin(ti)}.items()
    assert (index["dimension"], index["metric"]) == (1024, "cosine")
    assert index["spec"]["serverless"]["region"] == "europe-west4"


@pytest.mark.parametrize("lost", LOST_RESPONSES.values(), ids=LOST_RESPONSES)
def test_an_index_is_created_once(world: Emulator, clock: FakeClock, ti: TaskInstance, lost: dict[str, Any]) -> None:
    world.fault(*CREATE, **lost)
    outcome = ensure(clock, ti)
    assert (outcome.state, outcome.value["created"]) == ("success", True)
    assert len(created(world)) == 1
    ti.retry()
    world.add_records(NAME, [{"id": "a", "values": [1.0] * 1024}])
    again = ensure(clock, ti)
    assert (again.state, again.value["created"]) == ("success", True)
    assert len(created(world)) == 1


def test_an_index_that_is_not_visible_yet(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    fault = world.fault(*CREATE, drop="before")
    outcome = ensure(clock, ti)
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", CreateOutcomeUnknown)
    assert sum(clock.slept) >= SEARCH_SECONDS
    assert fault.hits == 1
    ti.retry()
    assert ensure(clock, ti).state == "success"


def test_the_name_is_taken_meanwhile(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    world.fault(*CREATE, status=409)
    outcome = ensure(clock, ti)
    assert outcome.state == "failed"
    assert "Could not create index imported" in outcome.message


def test_another_empty_index_is_used(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    world.add_index(NAME, records=0)
    outcome = ensure(clock, ti)
    assert (outcome.state, outcome.value["created"]) == ("success", False)
    assert created(world) == []


def test_another_index_with_records(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    world.add_index(NAME, records=12)
    outcome = ensure(clock, ti)
    assert outcome.state == "failed"
    assert outcome.message == (
        "Could not use index imported, which exists.\n"
        "It has 12 records, and this task did not create it.\n"
        "Set index_name to another name, or into_existing=True to add records to it."
    )
    existing = ensure(clock, ti, into_existing=True)
    assert (existing.state, existing.value["created"]) == ("success", False)


@pytest.mark.parametrize("path", ["/data-plane/*/describe_index_stats", "/data-plane/*/namespaces"])
def test_each_count_must_be_zero(world: Emulator, clock: FakeClock, ti: TaskInstance, path: str) -> None:
    world.add_index(NAME, records=12)
    world.fault("*", path, change_answer=lambda answer: {**answer, "namespaces": type(answer["namespaces"])()})
    outcome = ensure(clock, ti)
    assert outcome.state == "failed"
    assert "It has 12 records" in outcome.message


@pytest.mark.parametrize("into_existing", [False, True])
@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"dimension": 8}, "dense, 8 dimensions, cosine"),
        ({"metric": "dotproduct"}, "dense, 1024 dimensions, dotproduct"),
        ({"vector_type": "sparse", "metric": "dotproduct", "dimension": None}, "sparse, dotproduct"),
    ],
)
def test_another_index_with_other_vectors(
    world: Emulator, clock: FakeClock, ti: TaskInstance, fields: dict[str, Any], found: str, into_existing: bool
) -> None:
    world.add_index(NAME, records=0, **fields)
    outcome = ensure(clock, ti, into_existing=into_existing)
    assert outcome.state == "failed"
    assert f"It is {found}, but the original is dense, 1024 dimensions, cosine." in outcome.message


def test_another_run_does_not_use_a_filled_index(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    assert ensure(clock, ti).state == "success"
    world.add_records(NAME, [{"id": "a", "values": [1.0] * 1024}])
    # A clear repeats the import into the index of its run.
    ti.clear()
    assert ensure(clock, ti).value["created"]
    ti.run_id = "another"
    assert ensure(clock, ti).state == "failed"
    assert ensure(clock, ti, into_existing=True).state == "success"


# The wait until the index is ready


def pretend(emulator: Emulator, state: str, times: int | None, method: str = "GET") -> None:
    path = "/indexes" if method == "POST" else f"/indexes/{NAME}"
    status = {"ready": False, "state": state}
    emulator.fault(method, path, change_answer=lambda answer: {**answer, "status": status}, times=times)


def test_the_index_is_ready_later(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    pretend(world, "Initializing", 1, "POST")
    # The first request finds no index.
    world.fault("GET", f"/indexes/{NAME}", status=404)
    pretend(world, "Initializing", 3)
    outcome = ensure(clock, ti)
    assert (outcome.state, outcome.value["status"]) == ("success", {"ready": True, "state": "Ready"})
    assert clock.slept == [5.0] * 4


def test_the_index_is_not_ready_in_time(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    pretend(world, "Initializing", None, "POST")
    world.fault("GET", f"/indexes/{NAME}", status=404)
    pretend(world, "Initializing", None)
    outcome = ensure(clock, ti, timeout=300)
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", WaitTimeout)
    assert outcome.message.startswith("Index imported is not ready.\nIts state was Initializing after 0:05:00.")
    assert sum(clock.slept) == pytest.approx(300)


def test_the_creation_fails(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    world.add_index(NAME, records=0, state="InitializationFailed")
    outcome = ensure(clock, ti)
    assert outcome.state == "failed"
    assert "Its state is InitializationFailed" in outcome.message


def test_the_new_index_is_not_found_for_a_moment(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    pretend(world, "Initializing", None, "POST")
    world.fault("GET", f"/indexes/{NAME}", status=404, times=3)
    assert ensure(clock, ti).state == "success"


def test_the_new_index_is_deleted(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    pretend(world, "Initializing", None, "POST")
    world.fault("GET", f"/indexes/{NAME}", status=404, times=None)
    outcome = ensure(clock, ti)
    assert outcome.state == "failed"
    assert 60 <= sum(clock.slept) < 120


def test_another_index_takes_the_name(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    pretend(world, "Initializing", None, "POST")
    world.fault("GET", f"/indexes/{NAME}", status=404)
    world.fault("GET", f"/indexes/{NAME}", change_answer=lambda answer: {**answer, "tags": {}})
    outcome = ensure(clock, ti)
    assert outcome.state == "failed"
    assert "The index that this task created was deleted meanwhile" in outcome.message


# Input


def test_invalid_arguments(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    text: Any = "yes"
    with pytest.raises(InvalidArgument, match="into_existing must be True or False"):
        EnsureIndexOperator(task_id="a", model={}, index_name=NAME, into_existing=text)
    with pytest.raises(InvalidArgument, match="timeout"):
        EnsureIndexOperator(task_id="a", model={}, index_name=NAME, timeout=-1)
    for arguments in ({"index_name": "Not-Valid"}, {"model": {"a": 1}}, {"tags": {"a": 1}}):
        assert ensure(clock, ti, **arguments).state == "failed"
    assert created(world) == []


def test_keys_that_an_xcom_cannot_have(world: Emulator, clock: FakeClock, ti: TaskInstance) -> None:
    world.add_index(NAME, records=0, tags={"__type": "a"})
    allow_any_response(world, f"/indexes/{NAME}")
    assert ensure(clock, ti).value["tags"] == {"___type": "a"}
