"""Run the tasks of a restore test one after another, with a clock that the test controls."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from support.clock import FakeClock
from support.tasks import Outcome, OutletEventAccessors, TaskInstance, run_try

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow.models.dag import DAG  # type: ignore[no-redef]

from airflow_pinecone.restore_test import restore_test


@dataclass
class GroupTask(TaskInstance):
    """A task instance that can pull the XComs of the other ones."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    outlet_events: Any = field(default_factory=OutletEventAccessors)

    @property
    def context(self) -> Any:
        """The context of a try."""
        return {**super().context, "outlet_events": self.outlet_events}

    def xcom_pull(self, *, task_ids: str, map_indexes: int, key: str) -> Any:
        """Return an XCom of a task; None if there is none."""
        if task_ids == self.task_id:
            return super().xcom_pull(task_ids=task_ids, map_indexes=map_indexes, key=key)
        return self.results.get(task_ids, {}).get(key)


class GroupRun:
    """A run of a restore test: each task runs if Airflow would run it.

    As in Airflow, the XComs of a task are kept until its next try starts, also after a clear, and those of a mapped
    task instance are kept after it was removed.

    Attributes:
        outcomes: How each task ended, by its id without that of the group. ``check`` is the last one of its instances.
    """

    def __init__(
        self, clock: FakeClock, index_name: str = "docs-example", *, run_id: str = "manual__1", **arguments: Any
    ) -> None:
        """Make the tasks, but run none."""
        with DAG("tests", schedule=None) as dag:
            restore_test(index_name, **arguments)
        self.tasks = {task.task_id.partition(".")[2]: task for task in dag.tasks}
        self._templates = {
            name: {field: getattr(task, field) for field in task.template_fields}
            for name, task in self.tasks.items()
            if name != "check"
        }
        self.outcomes: dict[str, Outcome] = {}
        # Those of the last task.
        self.outlet_events: Any = None
        self._clock = clock
        self._run_id = run_id
        self._results: dict[str, dict[str, Any]] = {}
        # By map index.
        self._checks: dict[int, Any] = {}
        self._clears = 0

    @property
    def states(self) -> dict[str, str]:
        """How each task ended, without those that did not run."""
        return {name: outcome.state for name, outcome in self.outcomes.items()}

    @property
    def record(self) -> dict[str, Any]:
        """The record of the test, from XCom."""
        record: dict[str, Any] = self.xcom("report")
        return record

    @property
    def findings(self) -> list[tuple[str, str | None, bool]]:
        """The kind and the namespace of each finding, and whether it fails the test."""
        return [(each["kind"], each["namespace"], each["fails"]) for each in self.record["findings"]]

    def xcom(self, name: str, key: str = "return_value") -> Any:
        """Return an XCom of a task."""
        return self._results[f"restore_test.{name}"][key]

    def clear(self) -> GroupRun:
        """Clear all tasks of the finished run, as Airflow does, an hour later."""
        self._clock.advance(3600)
        self._clears += 1
        self.outcomes.clear()
        return self

    def run(self, name: str) -> Outcome:
        """Run one task, and store its XComs. ``check`` runs for each part."""
        if name == "check":
            outcomes = [self._run(self._check(number), number) for number in range(len(self.xcom("settle")))]
            for number, outcome in enumerate(outcomes):
                self._checks.pop(number, None)
                if outcome.state == "success":
                    self._checks[number] = outcome.value
            self.outcomes[name] = next((each for each in outcomes if each.state != "success"), outcomes[-1])
        else:
            self.outcomes[name] = self._run(self._resolved(name))
        return self.outcomes[name]

    def run_all(self) -> GroupRun:
        """Run the tasks in the order of the group."""
        for name in ("choose", "restore", "settle", "check"):
            if self.run(name).state != "success":
                break
        self.run("report")
        if self.outcomes["choose"].state == "success":
            self.run("delete_scratch")
        return self

    def _run(self, task: Any, map_index: int = -1) -> Outcome:
        ti = GroupTask(
            task_id=task.task_id,
            dag_id="tests",
            run_id=self._run_id,
            map_index=map_index,
            retries=0,
            results=self._results,
            try_number=1 + self._clears,
        )
        ti.max_tries = self._clears
        # Airflow starts a finished run again.
        ti.run_started += timedelta(hours=self._clears)
        task.clock = self._clock
        task.recreate = lambda: task
        outcome = run_try(task, ti)
        if outcome.state == "success" and isinstance(outcome.value, dict) and getattr(task, "multiple_outputs", False):
            ti.xcoms |= outcome.value
        self.outlet_events = ti.outlet_events
        if map_index < 0:
            self._results[task.task_id] = ti.xcoms
        return outcome

    def _check(self, number: int) -> Any:
        mapped: Any = self.tasks["check"]
        arguments = {**mapped.partial_kwargs, "part": self.xcom("settle")[number]}
        names = ("plan", "part", "queries", "top_k", "conn_id")
        return mapped.operator_class(task_id=mapped.task_id, **{name: self._resolve(arguments[name]) for name in names})

    def _resolved(self, name: str) -> Any:
        task: Any = self.tasks[name]
        for field_name, value in self._templates[name].items():
            if field_name == "results":
                task.results = [self._checks[number] for number in sorted(self._checks)]
            else:
                setattr(task, field_name, self._resolve(value))
        return task

    def _resolve(self, value: Any) -> Any:
        """Return what Airflow passes for the output of another task."""
        if not hasattr(value, "resolve"):
            return value
        return self._results[value.operator.task_id][value.key]
