"""Chaos: chains of tries of a backup task on a real Airflow, each with a fault, and the verdict on each.

A chain must end green with the one backup that it made, Ready, or red and say why. What goes wrong is in
``chaos_faults``; ``python tests/airflow/chaos_main.py`` is the long form.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from real import Run

from airflow_pinecone.models import phase

# Seconds that a chain may take: some look for a backup for 30 s in several of their tries.
PATIENCE = 420.0
MARK = re.compile(r"\[airflow-pinecone [0-9a-f]+\]")
# How the log of a red task says why: by an error with a message of ours, or that a person ended it.
WHY = re.compile(
    r'"exc_value": ?"(Could not |The answer to the request to |Backup [0-9a-f-]+ |Gave up waiting )'
    r"|the task was marked failed"
)


@dataclass
class Expected:
    """What a chain may come to, and how many usable backups it then leaves."""

    end: str = "success"
    usable: int = 1


@dataclass
class Chain(Run):
    """A run of one of the chaos' DAGs, of the same name as its index."""

    waiter: str
    rng: random.Random
    expected: Expected = field(default_factory=Expected)

    @property
    def last(self) -> str:
        """The task that ends green when the backup is Ready."""
        return "ready" if self.waiter.startswith("sensor") else "backup"

    @property
    def create(self) -> str:
        """The path of the create, and of the listing."""
        return f"/indexes/{self.index}/backups"

    @property
    def made(self) -> list[dict[str, Any]]:
        """All backups that were made, the oldest first; those that are gone as they were answered."""
        answered = [
            r.answer for r in self.pinecone.requests if (r.method, r.path, r.status) == ("POST", self.create, 201)
        ]
        found = {b["backup_id"]: b for b in [*answered, *self.backups] if isinstance(b, dict)}
        return sorted(found.values(), key=lambda backup: backup["created_at"])

    def course(self, **course: Any) -> None:
        """Decide the course of the chain's next backup."""
        self.pinecone.next_backup(self.index, **course)

    def finish(self) -> None:
        """Let its unfinished backups become Ready."""
        self.wait_until(lambda: self.made, "a backup")
        for backup in self.backups:
            if phase(backup["status"]) == "running":
                self.pinecone.finish(backup["backup_id"])

    def describe(self) -> str:
        """Wait for its backup, and return the path that describes it."""
        self.wait_until(lambda: self.made, "a backup")
        return f"/backups/{self.made[-1]['backup_id']}"

    def arm(self, point: str) -> None:
        """Let the next process of the run stop at a gate."""
        (self.airflow.home / "gates" / f"{self.run_id}.{point}").touch()

    def wait_for(self, point: str) -> None:
        """Wait until a process has stopped there."""
        reached = self.airflow.home / "gates" / f"{self.run_id}.{point}.reached"
        self.wait_until(reached.exists, f"a process at {point}")
        reached.unlink()

    def kill(self, victims: str | None = None, task_id: str = "backup") -> None:
        """Kill the process of a running task, maybe with its supervisor, as when a node is lost."""
        task, supervisor = self.processes(task_id)
        if (victims or self.rng.choice(["task", "node"])) == "node":
            # First: it must not live to tell that its task died.
            supervisor.kill()
        task.kill()

    def heard(self) -> bool:
        """Say whether the scheduler knows that the task has deferred."""
        return self.airflow.has_heard(self.dag_id, self.run_id, "backup")

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for something about the chain."""
        self.airflow.wait_until(condition, 150, f"{what} ({self.run_id}, {self.dag_id})")

    def begin(self) -> None:
        """Trigger the run."""
        self.airflow.trigger(self.dag_id, {"index": self.index}, run_id=self.run_id)


@dataclass
class Verdict:
    """What became of a chain."""

    fault: str
    chain: Chain
    end: str = ""
    tries: int = 0
    made: int = 0
    lost: int = 0
    doubled: int = 0
    false_green: int = 0
    problems: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """Look at Airflow, at Pinecone and at the logs, once the chain has ended."""
        chain = self.chain
        tasks = dict.fromkeys(["backup", chain.last])
        self.tries = sum(chain.task(task)["try_number"] or 0 for task in tasks)
        self.made = len(chain.made)
        usable = [b for b in chain.backups if phase(b["status"]) != "failed"]
        self.doubled = max(0, len(usable) - chain.expected.usable)
        log = "\n".join(chain.log(task) for task in tasks)
        result = chain.xcom(chain.last)
        if self.end == "success":
            ready = [b for b in usable if b["status"] == "Ready" and b["source_index_name"] == chain.index]
            self.false_green = int(result not in ready)
            self.lost = max(0, chain.expected.usable - len(usable))
        else:
            # A backup that nobody was told of: neither its id nor its mark is in the log of the red task.
            self.lost = sum(not any(word in log for word in (b["backup_id"], *MARK.findall(str(b)))) for b in usable)
            if not WHY.search(log):
                self.problems.append("red, and the log does not say why")
        if self.end != chain.expected.end:
            self.problems.append(f"ended as {self.end}, not as {chain.expected.end}")
        if len(usable) < chain.expected.usable:
            self.problems.append(f"{len(usable)} usable backups, not {chain.expected.usable}")

    @property
    def good(self) -> bool:
        """Say whether nothing at all is wrong."""
        return not (self.lost or self.doubled or self.false_green or self.problems)

    def __str__(self) -> str:
        """Tell it in a line."""
        wrong = [f"{n} {what}" for what in ("lost", "doubled", "false_green") if (n := getattr(self, what))]
        facts = f"{self.tries} tries, {self.made} made, {self.end or 'no end'}"
        return f"{self.chain.run_id} {self.fault}, {self.chain.waiter}: {'; '.join([facts, *wrong, *self.problems])}"


def play(fault: str, steps: Callable[[Chain], Any], chain: Chain) -> Verdict:
    """Let one chain run with a fault, to its end.

    Args:
        fault: The fault's name.
        steps: The fault.
        chain: The chain; its index is made here.

    Returns:
        The verdict. A fault that did not strike is a problem, too.
    """
    verdict = Verdict(fault, chain)
    chain.pinecone.add_index(chain.index)
    try:
        acting = steps(chain)
        next(acting)
        chain.begin()
        next(acting, None)
        verdict.end = chain.end(PATIENCE)
        verdict.judge()
    except Exception as error:
        verdict.problems.append(f"{type(error).__name__}: {error}")
    return verdict


def row(fault: str, verdicts: list[Verdict]) -> list[str]:
    """Sum up the chains of a fault, as a row of the table."""
    ends: dict[str, int] = {}
    for verdict in verdicts:
        word = {"success": "green", "failed": "red"}.get(verdict.end, "none")
        ends[word] = ends.get(word, 0) + 1
    sums = [sum(getattr(v, name) for v in verdicts) for name in ("tries", "made", "lost", "doubled", "false_green")]
    return [fault, str(len(verdicts)), *map(str, sums), ", ".join(f"{n} {word}" for word, n in sorted(ends.items()))]


def table(verdicts: list[Verdict]) -> str:
    """Write the table of all faults, in Markdown."""
    faults = list(dict.fromkeys(v.fault for v in verdicts))
    rows = [row(fault, [v for v in verdicts if v.fault == fault]) for fault in faults]
    rows.append(["**all**", *row("", verdicts)[1:]])
    head = ["fault", "chains", "tries", "backups made", "lost", "doubled", "false green", "task's end"]
    lines = [head, ["---", *["---:"] * 6, "---"], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
