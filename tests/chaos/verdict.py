"""The verdict on a chain: what is wrong with its outcome."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from chaos.chains import CHAIN_TIMEOUT, Chain, Steps

# The reason in the log of a failed task: the message of an error of this package, or that the task was killed.
REASON = re.compile(
    r'"exc_value": ?"(Could not |The outcome of a request to '
    r"|The (backup|restore job) (of index \S+ )?(failed|no longer exists|did not become Ready within|could not be polled)"
    r"|Index \S+ already exists, and was not created by this task)"
    r"|the task was marked as failed"
    r"|The task was killed\. Backup [0-9a-f-]+ is kept in Pinecone"
)
OUTCOMES = {"success": "succeeded", "failed": "failed", "": "unfinished"}


@dataclass
class Verdict:
    """The outcome of a chain, and what is wrong with it.

    Attributes:
        fault: The name of the fault.
        chain: The chain.
        state: The final state of the run; empty if it did not finish.
        tries: The number of tries of its tasks.
        created: The number of backups or restore jobs that were created.
        lost: Usable backups or restores that are neither the result of the chain nor named in the log of its failure.
        duplicated: Usable backups or restores beyond the expected number.
        false_success: 1 if the run succeeded, but its result is not its Ready backup or its restored index.
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
        tasks = dict.fromkeys([chain.first_task, chain.last_task])
        self.tries = sum(chain.task(task)["try_number"] or 0 for task in tasks)
        self.created = len(chain.created)
        usable = chain.usable
        self.duplicated = max(0, len(usable) - chain.expected.usable)
        log = "\n".join(chain.log(task) for task in tasks)
        result = chain.xcom(chain.last_task)
        if self.state == "success":
            self.false_success = int(result not in chain.results)
            self.lost = max(0, chain.expected.usable - len(usable))
        else:
            self.lost = sum(not chain.is_named(model, log) for model in usable)
            if not REASON.search(log):
                self.problems.append("the run failed, and no log has the reason")
        if self.state != chain.expected.state:
            self.problems.append(f"the state is {self.state}, expected {chain.expected.state}")
        if len(usable) < chain.expected.usable:
            self.problems.append(f"{len(usable)} usable, expected {chain.expected.usable}")

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.duplicated or self.false_success or self.problems)

    def __str__(self) -> str:
        """Return the verdict in one line."""
        counts = {"lost": self.lost, "duplicated": self.duplicated, "false success": self.false_success}
        wrong = [f"{count} {name}" for name, count in counts.items() if count]
        facts = f"{self.tries} tries, {self.created} created, {OUTCOMES[self.state]}"
        return f"{self.chain.run_id} {self.fault}, {self.chain.waiter}: {'; '.join([facts, *wrong, *self.problems])}"


def run_chain(fault: str, steps: Steps, chain: Chain) -> Verdict:
    """Run a chain with a fault until it has finished. A fault that did not take effect is a problem, too."""
    verdict = Verdict(fault, chain)
    try:
        chain.prepare()
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
    header = ["fault", "chains", "tries", "created", "lost", "duplicated", "false success", "outcome"]
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
