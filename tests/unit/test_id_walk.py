"""Listing the ids of a large namespace with several requests at the same time."""

import uuid
from random import Random

import pytest
from support.clock import FakeClock

from airflow_pinecone.emulator import Emulator
from airflow_pinecone.errors import PineconeTransientError
from airflow_pinecone.hooks import PineconeHook

LIST = "/data-plane/*/vectors/list"
NUMBERED = [f"record-{number:08}" for number in range(3_000)]


def uuids(count: int) -> list[str]:
    random = Random(7)
    return [str(uuid.UUID(int=random.getrandbits(128))) for _ in range(count)]


def ids_of(world: Emulator, clock: FakeClock, count: int | None) -> list[str]:
    return [each for page in PineconeHook(clock=clock).records("ids").list_ids(count=count) for each in page]


def requests_of(world: Emulator) -> int:
    return sum(exchange.path.endswith("/vectors/list") for exchange in world.requests)


@pytest.fixture
def fill(world: Emulator) -> object:
    world.add_index("ids", records=0, dimension=1)

    def add(ids: list[str]) -> list[str]:
        world.add_records("ids", [{"id": each, "values": [1.0]} for each in ids])
        return sorted(ids)

    return add


@pytest.mark.parametrize(
    "ids",
    [
        NUMBERED,
        uuids(3_000),
        [str(number) for number in range(3_000)],
        ["a" * length for length in range(1, 500)] + [f"b{number}" for number in range(3_000)],
        # Characters that the first ids do not have.
        [f"0{number:05}" for number in range(2_500)] + ["~", "zz top", "Z\x01", "\x7f\x7f", "0000\x02"],
    ],
    ids=["numbered", "uuids", "short numbers", "repeated characters", "rare characters"],
)
def test_all_ids_are_listed_in_order(world: Emulator, clock: FakeClock, fill: object, ids: list[str]) -> None:
    expected = fill(ids)  # type: ignore[operator]
    assert ids_of(world, clock, len(ids)) == expected


def test_a_split_listing_costs_few_more_requests(world: Emulator, clock: FakeClock, fill: object) -> None:
    fill(NUMBERED)  # type: ignore[operator]
    ids_of(world, clock, len(NUMBERED))
    assert len(NUMBERED) / 100 <= requests_of(world) < 6 * len(NUMBERED) / 100


@pytest.mark.parametrize("count", [None, 2_500, 3_500])
def test_a_wrong_or_unknown_count_loses_no_id(
    world: Emulator, clock: FakeClock, fill: object, count: int | None
) -> None:
    expected = fill(NUMBERED[:3_000])  # type: ignore[operator]
    assert ids_of(world, clock, count) == expected


def test_ids_that_no_prefix_can_name_are_listed_page_by_page(world: Emulator, clock: FakeClock, fill: object) -> None:
    expected = fill([*NUMBERED[:3_000], "über", "漢字"])  # type: ignore[operator]
    assert ids_of(world, clock, len(expected)) == expected


def test_a_page_that_goes_back_is_an_error(world: Emulator, clock: FakeClock, fill: object) -> None:
    fill(NUMBERED[:3_000])  # type: ignore[operator]
    world.fault("GET", LIST, change_answer=lambda answer: {**answer, "vectors": answer["vectors"][::-1]})
    with pytest.raises(PineconeTransientError, match="not in the order of the ids"):
        ids_of(world, clock, 3_000)


def test_failed_requests_are_repeated(world: Emulator, clock: FakeClock, fill: object) -> None:
    expected = fill(NUMBERED[:3_000])  # type: ignore[operator]
    world.fault("GET", LIST, status=429, times=3)
    world.fault("GET", LIST, status=503, times=2)
    assert ids_of(world, clock, 3_000) == expected
