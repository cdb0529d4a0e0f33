"""The faults of the chaos: each a generator that arms before its run begins, and acts once it has begun.

A fault draws its details from ``chain.rng``, so that a seed brings the same ones again. What it expects of the chain's
end, where that is not one Ready backup and green, it sets in ``chain.expected``.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from chaos import Chain, Expected

Fault = Callable[[Chain], Iterator[None]]
WAITING = ["worker", "triggerer"]
ALL = [*WAITING, "sensor_poke", "sensor_deferred"]
HTML = "<html><body><h1>Bad Gateway</h1></body></html>"


# Kills. The run is stopped at the place first, so that the kill comes there and nowhere else.


def killed_before_the_post(chain: Chain) -> Iterator[None]:
    """Nothing was sent."""
    chain.arm("begin")
    yield
    chain.wait_for("begin")
    chain.kill()
    assert not chain.made


def killed_while_the_request_is_lost(chain: Chain) -> Iterator[None]:
    """Sent, and never worked on."""
    yield from _killed_in_the_post(chain, hang="before", drop="before")


def killed_before_pinecone_acts(chain: Chain) -> Iterator[None]:
    """Sent, and worked on when the task is dead already, and its retry may be looking."""
    yield from _killed_in_the_post(chain, hang="before", seconds=chain.rng.uniform(0, 15))


def killed_before_the_answer(chain: Chain) -> Iterator[None]:
    """The backup is there, and its task never heard of it."""
    yield from _killed_in_the_post(chain, hang="after")


def killed_before_xcom(chain: Chain) -> Iterator[None]:
    """The task knows its backup, and Airflow does not."""
    chain.arm("backup_id")
    yield
    chain.wait_for("backup_id")
    assert len(chain.made) == 1
    chain.kill()


def killed_during_the_wait(chain: Chain) -> Iterator[None]:
    """In the middle of a poll."""
    chain.course(ends="never")
    yield
    fault = chain.pinecone.fault("GET", chain.describe(), hang="before")
    fault.wait(120)
    chain.kill(task_id=chain.last)
    fault.release()
    chain.finish()


def killed_with_the_ready_backup(chain: Chain) -> Iterator[None]:
    """The wait is over, and Airflow does not know; behind a deferral this is while the task goes on."""
    chain.arm("return_value")
    chain.course(ends="never")
    yield
    chain.finish()
    chain.wait_for("return_value")
    chain.kill()


def killed_while_resuming(chain: Chain) -> Iterator[None]:
    """The triggerer has answered; the process that goes on dies first."""
    chain.course(ends="never")
    yield
    chain.describe()
    chain.wait_until(lambda: chain.task()["state"] == "deferred", "the deferral")
    chain.arm("begin")
    chain.finish()
    chain.wait_for("begin")
    chain.kill()


def killed_twice(chain: Chain) -> Iterator[None]:
    """At two places of the same chain."""
    first, second = chain.rng.sample(["begin", "backup_id", "return_value"], 2)
    chain.arm(first)
    chain.course(ends="never")
    yield
    for here, there in ((first, second), (second, None)):
        if here == "return_value":
            chain.finish()
        chain.wait_for(here)
        if there:
            chain.arm(there)
        chain.kill()
    chain.finish()


def evicted(chain: Chain) -> Iterator[None]:
    """The node tells the task to end, and kills it when its time is up; nothing is deleted for that."""
    chain.course(ends="never")
    yield
    fault = chain.pinecone.fault("GET", chain.describe(), hang="before")
    fault.wait(120)
    _, supervisor = chain.processes()
    supervisor.send_signal(signal.SIGTERM)
    chain.wait_until(lambda: "nobody marked it failed" in chain.log(), "the word of the killed task")
    chain.kill("node")
    fault.release()
    chain.finish()


# Answers


def dropped_before_the_work(chain: Chain) -> Iterator[None]:
    """The connection ends, and nothing was made."""
    yield from _of_a_post(chain, drop="before")


def dropped_after_the_work(chain: Chain) -> Iterator[None]:
    """The connection ends, and the backup is there."""
    yield from _of_a_post(chain, drop="after")


def truncated(chain: Chain) -> Iterator[None]:
    """Half of the answer comes."""
    yield from _of_any(chain, drop="during")


def throttled(chain: Chain) -> Iterator[None]:
    """429, with a Retry-After of each kind."""
    when = datetime.now(UTC) + timedelta(seconds=chain.rng.choice([-3600, 2, 4]))
    sensible = ["0", "1", "3", format_datetime(when, usegmt=True)]
    absurd = ["-5", "1e9", "soon", "", "nan", "99999999999999999999", "Wed, 21 Oct 1015 07:28:00 GMT"]
    value = chain.rng.choice(sensible + absurd)
    # What asks for ages is waited for as long as a call may last.
    times = chain.rng.randint(1, 4) if value in sensible else 1
    yield from _of_any(chain, status=429, headers={"Retry-After": value}, times=times)


def broken(chain: Chain) -> Iterator[None]:
    """500, 502 in HTML, 503, 504; of a POST with or without the work done."""
    status = chain.rng.choice([500, 502, 503, 504])
    body = {"body": HTML} if status == 502 else {}
    headers = {"Retry-After": "1"} if status == 503 else {}
    yield from _of_any(chain, status=status, work=chain.rng.random() < 0.5, headers=headers, **body)


def dripping(chain: Chain) -> Iterator[None]:
    """A slow-loris: the answer comes byte by byte, from its first one or from its body on."""
    yield from _of_any(chain, drip=chain.rng.choice(["head", "body"]))


def endless(chain: Chain) -> Iterator[None]:
    """A body without an end."""
    yield from _of_any(chain, endless=True)


def no_json(chain: Chain) -> Iterator[None]:
    """200, and what a hotel's network says."""
    body = chain.rng.choice(
        ["<html>Welcome to the hotel</html>", "", "{", "null", "[]", '"Ready"', '{"status": "Ready"}']
    )
    yield from _of_any(chain, status=200, body=body, work=True)


def lost_and_listed_late(chain: Chain) -> Iterator[None]:
    """The answer is lost, and listings lag behind the create."""
    course = {"listed_after": chain.rng.uniform(5, 20)}
    yield from _of_a_post(chain, course, **chain.rng.choice([{"drop": "after"}, {"status": 503, "work": True}]))


def seen_late(chain: Chain) -> Iterator[None]:
    """A new backup cannot be described, nor listed, for a while."""
    chain.course(ready_after=5, listed_after=20, described_after=chain.rng.uniform(2, 20))
    yield


def several_answers(chain: Chain) -> Iterator[None]:
    """The create's answer is lost, looking for it fails at first, and so do polls."""
    fault = chain.pinecone.fault("POST", chain.create, drop=chain.rng.choice(["after", "during"]))
    chain.pinecone.fault("GET", chain.create, status=chain.rng.choice([429, 500, 503]), times=2)
    chain.course(ends="never")
    yield
    fault.wait(120)
    chain.pinecone.fault("GET", chain.describe(), status=503, times=2)
    chain.pinecone.fault("GET", chain.describe(), drop="before")
    chain.finish()


# Backups and refusals


def failed_backup(chain: Chain) -> Iterator[None]:
    """The first backup fails; a retry makes another."""
    status = chain.rng.choice(["Failed", "InitializationFailed"])
    chain.course(ready_after=1, ends=status)
    yield
    chain.end()
    assert [b["status"] for b in chain.made] == [status, "Ready"]
    assert f"{chain.made[0]['backup_id']} of index {chain.index} failed ({status})" in chain.log()


def backups_that_all_fail(chain: Chain) -> Iterator[None]:
    """No try helps."""
    for _ in range(10):
        chain.course(fails=True)
    chain.expected = Expected("failed", 0)
    yield


def vanished(chain: Chain) -> Iterator[None]:
    """Someone else deletes the backup; a retry makes another."""
    chain.course(ends="never", vanishes_after=chain.rng.uniform(1, 5))
    yield


def refused(chain: Chain) -> Iterator[None]:
    """Pinecone says no: one try, and no backup."""
    status = chain.rng.choice([400, 401, 402, 403, 404, 422])
    chain.pinecone.fault("POST", chain.create, status=status, times=None)
    chain.expected = Expected("failed", 0)
    yield
    chain.end()
    assert chain.task()["try_number"] == 1
    assert f"HTTP {status}" in chain.log()


# People


def cleared(chain: Chain) -> Iterator[None]:
    """Cleared after success: one more backup, the old one untouched."""
    chain.expected = Expected(usable=2)
    yield
    assert chain.end() == "success"
    (old,) = chain.made
    chain.clear()
    chain.wait_until(lambda: len(chain.made) == 2, "the second backup")
    assert old in chain.made


def cleared_while_it_waits(chain: Chain) -> Iterator[None]:
    """A deferred task is cleared: a new chain, and nothing is deleted."""
    chain.expected = Expected(usable=2)
    chain.course(ends="never")
    yield
    chain.describe()
    chain.wait_until(lambda: chain.task()["state"] == "deferred" and chain.heard(), "the deferral")
    chain.clear()
    chain.wait_until(lambda: len(chain.made) == 2, "the second backup")
    chain.finish()


def marked_failed(chain: Chain) -> Iterator[None]:
    """With delete_on_kill, the unfinished backup goes."""
    chain.expected = Expected("failed", 0)
    chain.course(ends="never")
    yield
    fault = chain.pinecone.fault("GET", chain.describe())
    fault.wait(120)
    chain.set_state("failed")
    chain.wait_until(lambda: not chain.backups, "the backup to be deleted")


def execution_timeout(chain: Chain) -> Iterator[None]:
    """Airflow ends the try; the next one waits on."""
    chain.course(ends="never")
    yield
    chain.wait_until(lambda: (chain.task()["try_number"] or 0) >= 2, "the second try")
    chain.finish()


def _killed_in_the_post(chain: Chain, seconds: float = 0.0, **how: Any) -> Iterator[None]:
    """Killed while the call hangs, which goes on so many seconds later."""
    fault = chain.pinecone.fault("POST", chain.create, **how)
    yield
    fault.wait(120)
    chain.kill()
    threading.Event().wait(seconds)
    fault.release()


def _of_a_post(chain: Chain, course: dict[str, Any] | None = None, **how: Any) -> Iterator[None]:
    chain.course(ready_after=chain.rng.uniform(1, 8), **(course or {}))
    fault = chain.pinecone.fault("POST", chain.create, **how)
    yield
    fault.wait(120)


def _of_any(chain: Chain, **how: Any) -> Iterator[None]:
    """The answer to the create, or to a poll or two."""
    if chain.rng.random() < 0.5:
        yield from _of_a_post(chain, **how)
        return
    chain.course(ends="never")
    yield
    fault = chain.pinecone.fault("GET", chain.describe(), **{"times": chain.rng.randint(1, 2), **how})
    fault.wait(120)
    chain.finish()


# By row of the table, with the ways of waiting in which they make sense.
FAULTS: dict[str, tuple[Fault, list[str]]] = {
    "killed before the POST": (killed_before_the_post, ALL),
    "killed after the POST, which is lost": (killed_while_the_request_is_lost, ALL),
    "killed after the POST, worked on later": (killed_before_pinecone_acts, ALL),
    "killed between POST and answer": (killed_before_the_answer, ALL),
    "killed between answer and XCom": (killed_before_xcom, ALL),
    "killed during the wait": (killed_during_the_wait, ["worker", "sensor_poke"]),
    "killed between the wait and XCom": (killed_with_the_ready_backup, WAITING),
    "killed while resuming": (killed_while_resuming, ["triggerer"]),
    "killed at two places": (killed_twice, WAITING),
    "evicted: SIGTERM, then SIGKILL": (evicted, ["worker"]),
    "dropped before the work": (dropped_before_the_work, ALL),
    "dropped after the work": (dropped_after_the_work, ALL),
    "truncated answer": (truncated, ALL),
    "429 with any Retry-After": (throttled, ALL),
    "500, 502 in HTML, 503, 504": (broken, ALL),
    "slow-loris answer": (dripping, ALL),
    "endless body": (endless, ALL),
    "200 that is no answer": (no_json, ALL),
    "lost answer, listed up to 20 s late": (lost_and_listed_late, ALL),
    "seen up to 20 s late": (seen_late, ALL),
    "several answers lost": (several_answers, ALL),
    "backup fails once": (failed_backup, WAITING),
    "backup fails always": (backups_that_all_fail, WAITING),
    "backup vanishes": (vanished, WAITING),
    "refused: 400 to 422": (refused, ALL),
    "cleared after success": (cleared, WAITING),
    "cleared during the wait": (cleared_while_it_waits, ["triggerer"]),
    "marked failed, delete_on_kill": (marked_failed, WAITING),
    "execution_timeout": (execution_timeout, ["execution_timeout"]),
}
