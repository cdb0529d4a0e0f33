"""A short form of `make chaos`: one chain for each of these faults, several at the same time."""

from __future__ import annotations

import pytest
import requests
from chaos.chains import TAG, Chain, RestoreChain
from chaos.verdict import Verdict, table
from support.real_airflow import API_KEY

# A lost response during a create and a kill between its POST and response are also in test_short_run.py.
CASES = [
    ("killed before the POST", "worker"),
    ("killed after the POST, which is processed later", "triggerer"),
    ("killed between the POST and the response", "sensor_poke"),
    ("killed between the response and XCom", "worker"),
    ("killed during the wait", "worker"),
    ("killed between the wait and XCom", "triggerer"),
    ("killed while resuming", "triggerer"),
    ("evicted: SIGTERM, then SIGKILL", "worker"),
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
    ("restore, killed between the POST and the response", "restore_triggerer"),
    ("restore, killed between the response and XCom", "restore_triggerer"),
    ("restore, killed during the wait", "restore_worker"),
    ("restore, lost response, listed up to 20 s late", "restore_worker"),
    ("restore, lost response, listed up to 20 s late", "restore_triggerer"),
    ("restore, name in use by another run's restore", "restore_worker"),
]


@pytest.mark.parametrize("verdict", CASES, ids=", ".join, indirect=True)
def test_chain_has_a_good_verdict(verdict: Verdict) -> None:
    assert verdict.good, verdict
    if "lost response" in verdict.fault:
        assert verdict.tries == 1


def judge(chain: Chain, state: str = "success") -> Verdict:
    verdict = Verdict("any fault", chain, state=state)
    verdict.judge()
    return verdict


def counts(chain: Chain, state: str = "success") -> tuple[int, int, int]:
    verdict = judge(chain, state)
    return verdict.duplicated, verdict.lost, verdict.false_success


def check_good_and_failed(chain: Chain) -> None:
    assert judge(chain).good
    assert judge(chain, "failed").problems == [
        "the run failed, and no log has the reason",
        "the state is failed, expected success",
    ]


@pytest.mark.parametrize("verdict", [("visible up to 20 s late", "worker")], indirect=True)
def test_verdict_detects_each_problem(verdict: Verdict) -> None:
    chain = verdict.chain
    check_good_and_failed(chain)
    (backup,) = chain.backups
    other = chain.emulator.add_backup(chain.index)
    assert counts(chain) == (1, 0, 0)
    # The log names the first backup, but not the other one.
    assert judge(chain, "failed").lost == 1
    chain.emulator.finish_backup(backup["backup_id"], "Failed")
    assert counts(chain) == (0, 0, 1)
    chain.emulator.finish_backup(other["backup_id"], "Failed")
    assert counts(chain) == (0, 1, 1)
    assert "1 lost; 1 false success" in str(judge(chain))
    assert table([judge(chain)]).splitlines()[-1].startswith("| **all** | 1 | 1 | 2 | 1 | 0 | 1 |")


@pytest.mark.parametrize("verdict", [("restore, killed before the POST", "restore_worker")], indirect=True)
def test_verdict_detects_each_problem_of_a_restore(verdict: Verdict) -> None:
    chain = verdict.chain
    assert isinstance(chain, RestoreChain)
    check_good_and_failed(chain)
    (job,) = chain.created
    # The restore of another run is neither the chain's restore nor its result.
    chain.of_other_runs.add(job["restore_job_id"])
    assert counts(chain) == (0, 1, 1)
    chain.of_other_runs.clear()
    other = restore(chain, "without-tag")
    assert counts(chain) == (0, 0, 0)
    chain.of_other_runs.add(other)
    other = restore(chain, "with-tag", tags={TAG: "0" * 32})
    assert counts(chain) == (1, 0, 0)
    # The log names the first index, but not the other one.
    assert judge(chain, "failed").lost == 1
    chain.emulator.finish_restore(job["restore_job_id"], "Failed")
    assert counts(chain) == (0, 0, 1)
    chain.emulator.finish_restore(other, "Failed")
    assert counts(chain) == (0, 1, 1)


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
