"""A short form of `make chaos`: one chain for each of these faults, several at the same time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from chaos.chains import TAG, RestoreChain, create_chain
from chaos.faults import FAULTS
from chaos.verdict import Verdict, run_chain, table
from local_airflow import LocalAirflow
from support.real_airflow import API_KEY, Run

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
    ("key replaced during the wait", "worker"),
    ("key replaced during the wait", "sensor_deferred"),
    ("403 or 404 for up to 40 s", "triggerer"),
    ("fail_fast: another task fails", "fail_fast_worker"),
    ("fail_fast: another task fails", "fail_fast_triggerer"),
    ("restore, killed between the POST and the response", "restore_worker"),
    ("restore, killed between the response and XCom", "restore_triggerer"),
    ("restore, killed during the wait", "restore_worker"),
    ("restore, lost response, listed up to 20 s late", "restore_triggerer"),
    ("restore, name in use by another run's restore", "restore_worker"),
]

# With more chains at the same time, two cores start tasks too late for the time limits of the chains.
PARALLEL_CHAINS = 16


@pytest.fixture(scope="module")
def verdicts(real_airflow: LocalAirflow, emulator: Emulator, rescheduled_run: Run) -> Iterator[list[Verdict]]:
    """Run all chains, and return their verdicts in the order of CASES."""
    chains = [
        create_chain(real_airflow, emulator, f"short-{n:02}", waiter, random.Random(n))
        for n, (_, waiter) in enumerate(CASES)
    ]
    poll_interval, real_airflow.poll_interval = real_airflow.poll_interval, 1.0
    names = [name for name, _ in CASES]
    with ThreadPoolExecutor(PARALLEL_CHAINS) as pool:
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


def test_verdict_detects_each_problem_of_a_restore(verdicts: list[Verdict]) -> None:
    chain = verdicts[CASES.index(("restore, killed during the wait", "restore_worker"))].chain
    assert isinstance(chain, RestoreChain)

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
    (job,) = chain.created
    # The restore of another run is neither the chain's restore nor its result.
    chain.of_other_runs.add(job["restore_job_id"])
    assert counts() == (0, 1, 1)
    chain.of_other_runs.clear()
    other = restore(chain, "without-tag")
    assert counts() == (0, 0, 0)
    chain.of_other_runs.add(other)
    other = restore(chain, "with-tag", tags={TAG: "0" * 32})
    assert counts() == (1, 0, 0)
    # The log names the first index, but not the other one.
    assert judge("failed").lost == 1
    chain.emulator.finish_restore(job["restore_job_id"], "Failed")
    assert counts() == (0, 0, 1)
    chain.emulator.finish_restore(other, "Failed")
    assert counts() == (0, 1, 1)


def restore(chain: RestoreChain, suffix: str, **body: object) -> str:
    """Restore the chain's backup into another index, and return the id of the restore job."""
    response = requests.post(
        chain.emulator.url + chain.create_path,
        json={"name": f"{chain.run_id}-{suffix}", **body},
        headers={"Api-Key": API_KEY, "X-Pinecone-Api-Version": "2025-10"},
        proxies={"http": ""},
        timeout=20,
    )
    return str(response.json()["restore_job_id"])
