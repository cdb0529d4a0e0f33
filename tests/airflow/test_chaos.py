"""A short form of `make chaos`: one chain for each of these faults, all at the same time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from chaos.chains import Chain, Verdict, run_chain, table
from chaos.faults import FAULTS
from local_airflow import LocalAirflow
from support.real_airflow import Run

from airflow_pinecone.emulator import Emulator

CASES = [
    ("killed before the POST", "worker"),
    ("killed after the POST, which is processed later", "triggerer"),
    ("killed between the POST and the response", "sensor_poke"),
    ("killed between the POST and the response", "triggerer"),
    ("killed between the response and XCom", "worker"),
    ("killed during the wait", "worker"),
    ("killed between the wait and XCom", "triggerer"),
    ("killed while resuming", "triggerer"),
    ("evicted: SIGTERM, then SIGKILL", "worker"),
    ("connection dropped after processing", "worker"),
    ("slow response", "triggerer"),
    ("lost response, listed up to 20 s late", "triggerer"),
    ("several responses lost", "worker"),
    ("backup fails once", "worker"),
    ("backup fails once", "triggerer"),
    ("cleared after success", "worker"),
    ("cleared during the wait", "triggerer"),
    ("marked as failed, delete_on_kill", "worker"),
    ("marked as failed, delete_on_kill", "triggerer"),
    ("execution_timeout", "execution_timeout"),
]


@pytest.fixture(scope="module")
def verdicts(real_airflow: LocalAirflow, emulator: Emulator, rescheduled_run: Run) -> Iterator[list[Verdict]]:
    """Run all chains, and return their verdicts in the order of CASES."""
    chains = [
        Chain(real_airflow, emulator, f"chaos_{waiter}", f"short-{n:02}", f"short-{n:02}", waiter, random.Random(n))
        for n, (_, waiter) in enumerate(CASES)
    ]
    poll_interval, real_airflow.poll_interval = real_airflow.poll_interval, 1.0
    names = [name for name, _ in CASES]
    with ThreadPoolExecutor(len(chains)) as pool:
        yield list(pool.map(run_chain, names, [FAULTS[name].steps for name in names], chains))
    real_airflow.poll_interval = poll_interval


@pytest.mark.parametrize("n", range(len(CASES)), ids=[f"{name}, {waiter}" for name, waiter in CASES])
def test_chain_has_a_good_verdict(verdicts: list[Verdict], n: int) -> None:
    assert verdicts[n].good, verdicts[n]


def test_verdict_detects_each_problem(verdicts: list[Verdict]) -> None:
    chain = verdicts[CASES.index(("connection dropped after processing", "worker"))].chain

    def judge(state: str = "success") -> Verdict:
        verdict = Verdict("any fault", chain, state=state)
        verdict.judge()
        return verdict

    def counts() -> tuple[int, int, int]:
        verdict = judge()
        return verdict.duplicated, verdict.lost, verdict.false_success

    assert judge().good
    assert judge("failed").problems == [
        "the run failed, and no log has the reason",
        "the state is failed, expected success",
    ]
    (backup,) = chain.backups
    other = chain.emulator.add_backup(chain.index)
    assert counts() == (1, 0, 0)
    # The log names the first backup, but not the other one.
    assert judge("failed").lost == 1
    chain.emulator.finish_backup(backup["backup_id"], "Failed")
    assert counts() == (0, 0, 1)
    chain.emulator.finish_backup(other["backup_id"], "Failed")
    assert counts() == (0, 1, 1)
    assert "1 lost; 1 false success" in str(judge())
    assert table([judge()]).splitlines()[-1].startswith("| **all** | 1 | 1 | 2 | 1 | 0 | 1 |")
