"""The faults, each as the steps of a chain: prepare it before the run, and act during the run.

A fault takes its details from ``chain.rng``, so the same seed produces the same details. If the chain should not
succeed with one Ready backup, the fault sets ``chain.expected``.
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, NamedTuple

from chaos.chains import CHAIN_TIMEOUT, Chain, Expected, RestoreChain, Steps
from support.real_airflow import API_KEY

from airflow_pinecone.emulator import Emulator


class Fault(NamedTuple):
    """The steps of a chain with a fault, and what may wait in it: suffixes of DAG ids in dags/chaos.py."""

    steps: Steps
    waiters: Sequence[str]


# What chooses the settings of `Emulator.fault`.
Settings = Callable[[random.Random], dict[str, Any]]

# The stop point before a task pushes the id of its backup or restore.
ID = "id"
OPERATORS = ["worker", "triggerer"]
ALL = [*OPERATORS, "sensor_poke", "sensor_deferred"]
RESTORES = ["restore_worker", "restore_triggerer"]
HTML = "<html><body><h1>Bad Gateway</h1></body></html>"


# Kills. The process stops or hangs at the chosen point first, so that the kill happens there and nowhere else.


def killed_at(point: str, created: int) -> Steps:
    """Kill the task at a stop point, where it has created a number of backups or restores.

    ``execute`` is before the task sends a request, `ID` is when it knows the id of its backup or restore and Airflow
    does not, and ``return_value`` is after the wait, before it has pushed its result; a deferred task has resumed then.
    """

    def steps(chain: Chain) -> Iterator[None]:
        stop_point = chain.id_key if point == ID else point
        chain.stop_next_at(stop_point)
        if point == "return_value":
            chain.plan(backup_ends="never")
        yield
        if point == "return_value":
            chain.finish()
        chain.wait_for_stop_at(stop_point)
        assert len(chain.created) == created
        chain.kill()

    return steps


def killed_in_post(latest_release: float = 0.0, **settings: Any) -> Steps:
    """Kill the task while its create request hangs, and release the request within some seconds."""

    def steps(chain: Chain) -> Iterator[None]:
        seconds = chain.rng.uniform(0, latest_release) if latest_release else 0.0
        fault = chain.emulator.fault("POST", chain.create_path, **settings)
        yield
        fault.wait(120)
        chain.kill()
        threading.Event().wait(seconds)
        fault.release()

    return steps


def killed_during_wait(chain: Chain) -> Iterator[None]:
    """Kill the task during a poll."""
    chain.plan_own_wait()
    yield
    fault = chain.next_poll(hang="before")
    chain.kill(task_id=chain.last_task)
    fault.release()
    chain.finish()


def killed_while_resuming(chain: Chain) -> Iterator[None]:
    """Kill the process that resumes a deferred task, before it does anything."""
    chain.plan(backup_ends="never")
    yield
    chain.describe_path()
    chain.wait_until(lambda: chain.task()["state"] == "deferred", "the deferral")
    chain.stop_next_at("execute")
    chain.finish()
    chain.wait_for_stop_at("execute")
    chain.kill()


def killed_twice(chain: Chain) -> Iterator[None]:
    """Kill two tries of the task at different points."""
    first, second = chain.rng.sample(["execute", "backup_id", "return_value"], 2)
    chain.stop_next_at(first)
    chain.plan(backup_ends="never")
    yield
    for point, next_point in ((first, second), (second, None)):
        if point == "return_value":
            chain.finish()
        chain.wait_for_stop_at(point)
        if next_point:
            chain.stop_next_at(next_point)
        chain.kill()
    chain.finish()


def evicted(chain: Chain) -> Iterator[None]:
    """End the task with SIGTERM, and then with SIGKILL. The backup must not be deleted."""
    chain.plan_own_wait()
    yield
    fault = chain.next_poll(hang="before")
    _, supervisor = chain.processes()
    supervisor.send_signal(signal.SIGTERM)
    chain.wait_until(lambda: "did not mark it as failed" in chain.log(), "the log that the backup is kept")
    chain.kill("node")
    fault.release()
    chain.finish()


# Responses


def planned(choose: Settings) -> Steps:
    """Plan the lifecycle of the backup."""

    def steps(chain: Chain) -> Iterator[None]:
        chain.plan(**choose(chain.rng))
        yield

    return steps


def in_post(choose: Settings) -> Steps:
    """Let the create request fail. The settings with the prefix `plan_` are those of the backup or restore."""

    def steps(chain: Chain) -> Iterator[None]:
        settings = choose(chain.rng)
        plan = {name.removeprefix("plan_"): settings.pop(name) for name in list(settings) if name.startswith("plan_")}
        chain.plan(ready_after=chain.rng.uniform(1, 8), **plan)
        fault = chain.emulator.fault("POST", chain.create_path, **settings)
        yield
        fault.wait(120)

    return steps


def in_post_or_poll(choose: Settings) -> Steps:
    """Let the create request fail, or one or two polls."""

    def steps(chain: Chain) -> Iterator[None]:
        settings = choose(chain.rng)
        if chain.rng.random() < 0.5:
            yield from in_post(lambda rng: settings)(chain)
            return
        chain.plan_own_wait()
        yield
        chain.next_poll(**{"times": chain.rng.randint(1, 2), **settings})
        chain.finish()

    return steps


def throttled(rng: random.Random) -> dict[str, Any]:
    """Respond with 429 and a valid, an excessive or an invalid Retry-After."""
    when = datetime.now(UTC) + timedelta(seconds=rng.choice([-3600, 2, 4]))
    sensible = ["0", "1", "3", format_datetime(when, usegmt=True)]
    others = ["-5", "1e9", "soon", "", "nan", "99999999999999999999", "Wed, 21 Oct 1015 07:28:00 GMT"]
    value = rng.choice(sensible + others)
    # After an excessive value the client waits for as long as it may wait for one call.
    times = rng.randint(1, 4) if value in sensible else 1
    return {"status": 429, "headers": {"Retry-After": value}, "times": times}


def server_error(rng: random.Random) -> dict[str, Any]:
    """Respond with 500, 502 in HTML, 503 or 504; the request may have been processed."""
    status = rng.choice([500, 502, 503, 504])
    body = {"body": HTML} if status == 502 else {}
    headers = {"Retry-After": "1"} if status == 503 else {}
    return {"status": status, "work": rng.random() < 0.5, "headers": headers, **body}


def invalid_body(rng: random.Random) -> dict[str, Any]:
    """Respond with 200 and a body that is not a backup, as a captive portal does."""
    body = rng.choice(["<html>Please log in</html>", "", "{", "null", "[]", '"Ready"', '{"status": "Ready"}'])
    return {"status": 200, "body": body, "work": True}


def lost_and_listed_late(rng: random.Random) -> dict[str, Any]:
    """Lose the response to the create request, and list the backup late."""
    listed_after = rng.uniform(5, 20)
    losses: list[dict[str, Any]] = [{"drop": "after"}, {"status": 503, "work": True}]
    return {"plan_listed_after": listed_after, **rng.choice(losses)}


def visible_late(rng: random.Random) -> dict[str, Any]:
    """Neither describe nor list a new backup for a while."""
    return {"ready_after": 5, "listed_after": 20, "described_after": rng.uniform(2, 20)}


def disappearing(rng: random.Random) -> dict[str, Any]:
    """Delete the backup during the wait; a retry creates another."""
    return {"backup_ends": "never", "disappears_after": rng.uniform(1, 5)}


def several_responses_lost(chain: Chain) -> Iterator[None]:
    """Lose the response to the create request, then let searches and polls fail."""
    fault = chain.emulator.fault("POST", chain.create_path, drop=chain.rng.choice(["after", "during"]))
    chain.emulator.fault("GET", chain.create_path, status=chain.rng.choice([429, 500, 503]), times=2)
    chain.plan_own_wait()
    yield
    fault.wait(120)
    chain.emulator.fault("GET", chain.describe_path(), status=503, times=2)
    chain.emulator.fault("GET", chain.describe_path(), drop="before")
    chain.finish()


# Changed permissions


def key_replaced(chain: Chain) -> Iterator[None]:
    """Replace the API key during the wait, and the connection's password after some rejected polls."""
    # The chain has an emulator of its own, because an emulator has one key. The leak search also finds these keys.
    with Emulator(api_key=f"{API_KEY}-1") as emulator:
        chain.use_emulator(emulator)
        chain.plan(backup_ends="never")
        yield
        chain.next_poll()
        emulator.api_key = f"{API_KEY}-2"
        chain.wait_until(lambda: chain.polls(401), "a rejected poll")
        threading.Event().wait(chain.rng.uniform(0, 20))
        before = chain.polls(200)
        chain.update_connection()
        chain.wait_until(lambda: chain.polls(200) > before, "a poll with the new key")
        chain.finish()
        chain.final_state(CHAIN_TIMEOUT)
    assert chain.task(chain.last_task)["try_number"] == 1


def permission_blip(chain: Chain) -> Iterator[None]:
    """Reject all polls with 403 or 404 for up to 40 s. This must not end the wait."""
    chain.plan_own_wait()
    yield
    fault = chain.next_poll(status=chain.rng.choice([403, 404]), times=None)
    threading.Event().wait(chain.rng.uniform(0, 40))
    # No further request is affected.
    fault.times = 1
    chain.finish()
    chain.final_state(CHAIN_TIMEOUT)
    assert chain.task(chain.last_task)["try_number"] == 1


# Failed backups and rejected requests


def backup_fails_once(chain: Chain) -> Iterator[None]:
    """Let the first backup fail; a retry creates another."""
    status = chain.rng.choice(["Failed", "InitializationFailed"])
    chain.plan(ready_after=1, backup_ends=status)
    yield
    chain.final_state()
    assert [b["status"] for b in chain.created] == [status, "Ready"]
    log = chain.log()
    assert f"The backup of index {chain.index} failed." in log
    assert f"Its status is {status}." in log
    assert f"Backup id: {chain.created[0]['backup_id']}." in log


def backup_always_fails(chain: Chain) -> Iterator[None]:
    """Let every backup fail."""
    for _ in range(10):
        chain.plan(fails=True)
    chain.expected = Expected("failed", 0)
    yield


def rejected(chain: Chain) -> Iterator[None]:
    """Reject the create request: one try, and no backup."""
    status = chain.rng.choice([400, 401, 402, 403, 404, 422])
    chain.emulator.fault("POST", chain.create_path, status=status, times=None)
    chain.expected = Expected("failed", 0)
    yield
    chain.final_state()
    assert chain.task()["try_number"] == 1
    assert f"HTTP {status}" in chain.log()


# Users


def cleared_after_success(chain: Chain) -> Iterator[None]:
    """Clear the task after it has succeeded: it creates a second backup, and the first one is kept."""
    chain.expected = Expected(usable=2)
    yield
    assert chain.final_state() == "success"
    (first,) = chain.created
    chain.clear()
    chain.wait_until(lambda: len(chain.created) == 2, "the second backup")
    assert first in chain.created


def cleared_during_wait(chain: Chain) -> Iterator[None]:
    """Clear a deferred task: it creates a second backup, and the first one is kept."""
    chain.expected = Expected(usable=2)
    chain.plan(backup_ends="never")
    yield
    chain.describe_path()
    chain.wait_until(lambda: chain.task()["state"] == "deferred", "the deferral")
    chain.wait_until(lambda: chain.airflow.scheduler_saw_exit(chain.dag_id, chain.run_id, "backup"), "the scheduler")
    chain.clear()
    chain.wait_until(lambda: len(chain.created) == 2, "the second backup")
    chain.finish()


def marked_as_failed(chain: Chain) -> Iterator[None]:
    """Mark the task as failed: delete_on_kill deletes the unfinished backup."""
    chain.expected = Expected("failed", 0)
    chain.plan_own_wait()
    yield
    chain.next_poll()
    chain.set_state("failed")
    chain.wait_until(lambda: not chain.backups, "the backup to be deleted")
    chain.wait_until(lambda: "the task was marked as failed" in chain.log(), "the log that the backup is deleted")


def sibling_fails(chain: Chain) -> Iterator[None]:
    """Let another task of a DAG with ``fail_fast`` fail: Airflow ends the waiting task, and the backup is kept."""
    chain.expected = Expected("failed")
    chain.plan_own_wait()
    yield
    chain.next_poll()
    deferred = chain.waiter.endswith("triggerer")
    chain.wait_until(lambda: chain.task()["state"] == ("deferred" if deferred else "running"), "the wait")
    chain.stop_next_at("sibling")
    assert chain.final_state() == "failed"
    # Airflow fails a running task, and skips a deferred one.
    assert chain.task()["state"] == ("skipped" if deferred else "failed")
    kept = f"Backup {chain.created[0]['backup_id']} is kept in Pinecone"
    chain.wait_until(lambda: kept in chain.log(), "the log that the backup is kept")
    chain.finish()


def restored_by_another_run(chain: Chain) -> Iterator[None]:
    """Let another run restore the backup into the same index name first: the chain must not adopt its restore."""
    assert isinstance(chain, RestoreChain)
    other_run = f"{chain.run_id}-other"
    chain.plan(backup_ends="never")
    chain.trigger(other_run)
    chain.wait_until(lambda: chain.created, "the restore of the other run")
    (job,) = chain.created
    chain.of_other_runs.add(job["restore_job_id"])
    chain.expected = Expected("failed", 0)
    # Pinecone responds with 409, or its response is lost.
    response: dict[str, Any] = chain.rng.choice([{}, {"drop": "after"}, {"status": 500, "work": True}])
    fault = chain.emulator.fault("POST", chain.create_path, **response)
    yield
    fault.wait(120)
    chain.final_state()
    assert chain.task("restore")["try_number"] == 1
    assert chain.xcom("restore", "restore_job_id") is None
    chain.emulator.finish_restore(job["restore_job_id"])
    assert chain.airflow.wait_for_run(chain.dag_id, other_run, 120) == "success"


def execution_timeout(chain: Chain) -> Iterator[None]:
    """Let the first try reach its execution_timeout; the second one waits for the same backup."""
    chain.plan(backup_ends="never")
    yield
    chain.wait_until(lambda: (chain.task()["try_number"] or 0) >= 2, "the second try")
    chain.finish()


# The faults of a backup that are also those of a restore, and what waits for the restore.
_OF_RESTORES = {
    "killed before the POST": RESTORES,
    "killed after the POST, which is lost": RESTORES,
    "killed after the POST, which is processed later": RESTORES,
    "killed between the POST and the response": RESTORES,
    "killed between the response and XCom": RESTORES,
    "killed during the wait": ["restore_worker"],
    "killed between the wait and XCom": RESTORES,
    "lost response, listed up to 20 s late": RESTORES,
    "key replaced during the wait": RESTORES,
    "403 or 404 for up to 40 s": RESTORES,
}

# By the name in the table.
FAULTS = {
    "killed before the POST": Fault(killed_at("execute", created=0), ALL),
    "killed after the POST, which is lost": Fault(killed_in_post(hang="before", drop="before"), ALL),
    "killed after the POST, which is processed later": Fault(killed_in_post(15, hang="before"), ALL),
    "killed between the POST and the response": Fault(killed_in_post(hang="after"), ALL),
    "killed between the response and XCom": Fault(killed_at(ID, created=1), ALL),
    "killed during the wait": Fault(killed_during_wait, ["worker", "sensor_poke"]),
    "killed between the wait and XCom": Fault(killed_at("return_value", created=1), OPERATORS),
    "killed while resuming": Fault(killed_while_resuming, ["triggerer"]),
    "killed at two points": Fault(killed_twice, OPERATORS),
    "evicted: SIGTERM, then SIGKILL": Fault(evicted, ["worker"]),
    "connection dropped before processing": Fault(in_post(lambda rng: {"drop": "before"}), ALL),
    "connection dropped after processing": Fault(in_post(lambda rng: {"drop": "after"}), ALL),
    "truncated response": Fault(in_post_or_poll(lambda rng: {"drop": "during"}), ALL),
    "429 with any Retry-After": Fault(in_post_or_poll(throttled), ALL),
    "500, 502 in HTML, 503, 504": Fault(in_post_or_poll(server_error), ALL),
    "slow response": Fault(in_post_or_poll(lambda rng: {"drip": rng.choice(["head", "body"])}), ALL),
    "endless response body": Fault(in_post_or_poll(lambda rng: {"endless": True}), ALL),
    "200 with an invalid body": Fault(in_post_or_poll(invalid_body), ALL),
    "lost response, listed up to 20 s late": Fault(in_post(lost_and_listed_late), ALL),
    "visible up to 20 s late": Fault(planned(visible_late), ALL),
    "several responses lost": Fault(several_responses_lost, ALL),
    "backup fails once": Fault(backup_fails_once, OPERATORS),
    "backup always fails": Fault(backup_always_fails, OPERATORS),
    "backup disappears": Fault(planned(disappearing), OPERATORS),
    "rejected: 400 to 422": Fault(rejected, ALL),
    "cleared after success": Fault(cleared_after_success, OPERATORS),
    "cleared during the wait": Fault(cleared_during_wait, ["triggerer"]),
    "marked as failed, delete_on_kill": Fault(marked_as_failed, OPERATORS),
    "execution_timeout": Fault(execution_timeout, ["execution_timeout"]),
    "key replaced during the wait": Fault(key_replaced, ALL),
    "403 or 404 for up to 40 s": Fault(permission_blip, ALL),
    "fail_fast: another task fails": Fault(sibling_fails, ["fail_fast_worker", "fail_fast_triggerer"]),
}
FAULTS |= {f"restore, {name}": Fault(FAULTS[name].steps, waiters) for name, waiters in _OF_RESTORES.items()}
FAULTS["restore, name in use by another run's restore"] = Fault(restored_by_another_run, RESTORES)
