"""The short form of the chaos: one chain with each of these faults, all at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from chaos import Chain, Verdict, play, table
from chaos_faults import FAULTS
from local_airflow import LocalAirflow
from real import Run

from airflow_pinecone.emulator import Emulator

SHORT = [
    ("killed before the POST", "worker"),
    ("killed after the POST, worked on later", "triggerer"),
    ("killed between POST and answer", "sensor_poke"),
    ("killed between POST and answer", "triggerer"),
    ("killed between answer and XCom", "worker"),
    ("killed during the wait", "worker"),
    ("killed between the wait and XCom", "triggerer"),
    ("killed while resuming", "triggerer"),
    ("evicted: SIGTERM, then SIGKILL", "worker"),
    ("dropped after the work", "worker"),
    ("slow-loris answer", "triggerer"),
    ("lost answer, listed up to 20 s late", "triggerer"),
    ("several answers lost", "worker"),
    ("backup fails once", "worker"),
    ("backup fails once", "triggerer"),
    ("cleared after success", "worker"),
    ("cleared during the wait", "triggerer"),
    ("marked failed, delete_on_kill", "worker"),
    ("marked failed, delete_on_kill", "triggerer"),
    ("execution_timeout", "execution_timeout"),
]


@pytest.fixture(scope="module")
def verdicts(airflow: LocalAirflow, pinecone: Emulator, rescheduled: Run) -> Iterator[list[Verdict]]:
    """What became of the chains."""
    chains = [
        Chain(airflow, pinecone, f"chaos_{waiter}", f"short-{n:02}", f"short-{n:02}", waiter, random.Random(n))
        for n, (_, waiter) in enumerate(SHORT)
    ]
    pace, airflow.pace = airflow.pace, 1.0
    with ThreadPoolExecutor(len(chains)) as pool:
        yield list(pool.map(play, [name for name, _ in SHORT], [FAULTS[name][0] for name, _ in SHORT], chains))
    airflow.pace = pace


@pytest.mark.parametrize("n", range(len(SHORT)), ids=[f"{name}, {waiter}" for name, waiter in SHORT])
def test_a_chain_ends_as_it_should(verdicts: list[Verdict], n: int) -> None:
    assert verdicts[n].good, verdicts[n]


def test_the_verdict_sees_what_is_wrong(verdicts: list[Verdict]) -> None:
    chain = verdicts[SHORT.index(("dropped after the work", "worker"))].chain

    def judged(end: str = "success") -> Verdict:
        verdict = Verdict("again", chain, end=end)
        verdict.judge()
        return verdict

    assert judged().good
    assert judged("failed").problems == ["red, and the log does not say why", "ended as failed, not as success"]
    (backup,) = chain.backups
    other = chain.pinecone.add_backup(chain.index)
    assert (judged().doubled, judged().lost, judged().false_green) == (1, 0, 0)
    # The log of the red task names the one, and nobody knows of the other.
    assert judged("failed").lost == 1
    chain.pinecone.finish(backup["backup_id"], "Failed")
    assert (judged().doubled, judged().lost, judged().false_green) == (0, 0, 1)
    chain.pinecone.finish(other["backup_id"], "Failed")
    assert (judged().doubled, judged().lost, judged().false_green) == (0, 1, 1)
    assert "1 lost; 1 false_green" in str(judged())
    assert table([judged()]).splitlines()[-1].startswith("| **all** | 1 | 1 | 2 | 1 | 0 | 1 |")
