"""Chains: all tries of one backup task on a real Airflow, with one fault, and a verdict on the outcome.

A chain must succeed with the one backup that it created, Ready, or fail with a reason in its log. ``faults`` has the
faults; ``run`` runs many chains.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from support.real_airflow import Run

from airflow_pinecone.models import backup_phase

# Seconds for a whole chain. Several of its tries may search for a backup for 30 s each.
CHAIN_TIMEOUT = 420.0
MARK = re.compile(r"\[airflow-pinecone [0-9a-f]+\]")
# The reason in the log of a failed task: the message of an error of this package, or that a user marked the task.
REASON = re.compile(
    r'"exc_value": ?"(Could not |The outcome of a create request is unknown|Stopped waiting for '
    r"|Backup [0-9a-f-]+ (of index \S+ failed|no longer exists|did not become Ready within))"
    r"|the task was marked as failed"
)
OUTCOMES = {"success": "succeeded", "failed": "failed", "": "unfinished"}


@dataclass
class Expected:
    """The expected state of a chain's run, and the expected number of usable backups."""

    state: str = "success"
    usable: int = 1


@dataclass
class Chain(Run):
    """A run of one of the DAGs in dags/chaos.py. Its id is the name of its index."""

    waiter: str
    rng: random.Random
    expected: Expected = field(default_factory=Expected)

    @property
    def last_task(self) -> str:
        """The task that succeeds when the backup is Ready."""
        return "ready" if self.waiter.startswith("sensor") else "backup"

    @property
    def backups_path(self) -> str:
        """The path of requests that create and list backups of the chain's index."""
        return f"/indexes/{self.index}/backups"

    @property
    def created(self) -> list[dict[str, Any]]:
        """All backups that were created, the oldest first. A deleted one is as in the response to its creation."""
        responses = [
            request.answer
            for request in self.emulator.requests
            if (request.method, request.path, request.status) == ("POST", self.backups_path, 201)
        ]
        by_id = {b["backup_id"]: b for b in [*responses, *self.backups] if isinstance(b, dict)}
        return sorted(by_id.values(), key=lambda backup: backup["created_at"])

    def trigger(self) -> None:
        """Trigger the run."""
        self.airflow.trigger(self.dag_id, {"index": self.index}, run_id=self.run_id)

    def next_backup(self, **settings: Any) -> None:
        """Plan the lifecycle of the chain's next backup."""
        self.emulator.next_backup(self.index, **settings)

    def finish_backups(self) -> None:
        """Wait for a backup, and let the unfinished ones become Ready."""
        self.wait_until(lambda: self.created, "a backup")
        for backup in self.backups:
            if backup_phase(backup["status"]) == "running":
                self.emulator.finish_backup(backup["backup_id"])

    def describe_path(self) -> str:
        """Wait for a backup, and return the path of requests that describe it."""
        self.wait_until(lambda: self.created, "a backup")
        return f"/backups/{self.created[-1]['backup_id']}"

    def stop_next_at(self, point: str) -> None:
        """Let the run's next process stop at a stop point."""
        (self.airflow.home / "stop_points" / f"{self.run_id}.{point}").touch()

    def wait_for_stop_at(self, point: str) -> None:
        """Wait until a process has stopped at a stop point."""
        reached = self.airflow.home / "stop_points" / f"{self.run_id}.{point}.reached"
        self.wait_until(reached.exists, f"a process at {point}")
        reached.unlink()

    def kill(self, target: str | None = None, task_id: str = "backup") -> None:
        """Kill the process of a running task.

        Args:
            target: ``task``, or ``node`` to kill its supervisor, too, as when a node is lost; None chooses one.
            task_id: The task.
        """
        task, supervisor = self.processes(task_id)
        if (target or self.rng.choice(["task", "node"])) == "node":
            # First, so that it cannot report the death of its task.
            supervisor.kill()
        task.kill()

    def scheduler_saw_deferral(self) -> bool:
        """Return whether the scheduler knows that the backup task has deferred."""
        return self.airflow.scheduler_saw_exit(self.dag_id, self.run_id, "backup")

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until a condition is true."""
        self.airflow.wait_until(condition, 150, f"{what} ({self.run_id}, {self.dag_id})")


# A fault, or another sequence of steps beside a run. The steps up to the first yield precede the run, the others
# follow its start.
Steps = Callable[[Chain], Iterator[None]]


@dataclass
class Verdict:
    """The outcome of a chain, and what is wrong with it.

    Attributes:
        fault: The name of the fault.
        chain: The chain.
        state: The final state of the run; empty if it did not finish.
        tries: The number of tries of its tasks.
        created: The number of backups that were created.
        lost: Usable backups that are neither the result of the chain nor named in the log of its failure.
        duplicated: Usable backups beyond the expected number.
        false_success: 1 if the run succeeded, but its result is not its Ready backup.
        problems: Everything else that is wrong.
    """

    fault: str
    chain: Chain
    state: str = ""
    tries: int = 0
    created: int = 0
    lost: int = 0
    duplicated: int = 0
    false_success: int = 0
    problems: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """Compare Airflow, the emulator and the logs with what is expected. The run must have finished."""
        chain = self.chain
        tasks = dict.fromkeys(["backup", chain.last_task])
        self.tries = sum(chain.task(task)["try_number"] or 0 for task in tasks)
        self.created = len(chain.created)
        usable = [b for b in chain.backups if backup_phase(b["status"]) != "failed"]
        self.duplicated = max(0, len(usable) - chain.expected.usable)
        log = "\n".join(chain.log(task) for task in tasks)
        result = chain.xcom(chain.last_task)
        if self.state == "success":
            ready = [b for b in usable if b["status"] == "Ready" and b["source_index_name"] == chain.index]
            self.false_success = int(result not in ready)
            self.lost = max(0, chain.expected.usable - len(usable))
        else:
            # The log of the failed task names neither the id of the backup nor its mark.
            self.lost = sum(not any(text in log for text in (b["backup_id"], *MARK.findall(str(b)))) for b in usable)
            if not REASON.search(log):
                self.problems.append("the run failed, and no log has the reason")
        if self.state != chain.expected.state:
            self.problems.append(f"the state is {self.state}, expected {chain.expected.state}")
        if len(usable) < chain.expected.usable:
            self.problems.append(f"{len(usable)} usable backups, expected {chain.expected.usable}")

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.duplicated or self.false_success or self.problems)

    def __str__(self) -> str:
        """Return the verdict in one line."""
        counts = {"lost": self.lost, "duplicated": self.duplicated, "false success": self.false_success}
        wrong = [f"{count} {name}" for name, count in counts.items() if count]
        facts = f"{self.tries} tries, {self.created} backups created, {OUTCOMES[self.state]}"
        return f"{self.chain.run_id} {self.fault}, {self.chain.waiter}: {'; '.join([facts, *wrong, *self.problems])}"


def run_chain(fault: str, steps: Steps, chain: Chain) -> Verdict:
    """Run a chain with a fault until it has finished.

    Args:
        fault: The name of the fault.
        steps: The fault.
        chain: The chain. Its index is created here.

    Returns:
        The verdict. A fault that did not take effect is a problem, too.
    """
    verdict = Verdict(fault, chain)
    chain.emulator.add_index(chain.index)
    try:
        remaining_steps = steps(chain)
        next(remaining_steps)
        chain.trigger()
        next(remaining_steps, None)
        verdict.state = chain.final_state(CHAIN_TIMEOUT)
        verdict.judge()
    except Exception as error:
        verdict.problems.append(f"{type(error).__name__}: {error}")
    return verdict


def table(verdicts: list[Verdict]) -> str:
    """Return a Markdown table of all faults."""
    faults = list(dict.fromkeys(v.fault for v in verdicts))
    rows = [_row(fault, [v for v in verdicts if v.fault == fault]) for fault in faults]
    header = ["fault", "chains", "tries", "backups created", "lost", "duplicated", "false success", "outcome"]
    lines = [header, ["---", *["---:"] * 6, "---"], *rows, _row("**all**", verdicts)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(title: str, verdicts: list[Verdict]) -> list[str]:
    sums = [
        sum(v.tries for v in verdicts),
        sum(v.created for v in verdicts),
        sum(v.lost for v in verdicts),
        sum(v.duplicated for v in verdicts),
        sum(v.false_success for v in verdicts),
    ]
    states = [v.state for v in verdicts]
    outcomes = [f"{states.count(state)} {word}" for state, word in OUTCOMES.items() if state in states]
    return [title, str(len(verdicts)), *map(str, sums), ", ".join(outcomes)]
