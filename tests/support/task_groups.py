"""Run the tasks of any task group one after another, with a clock that the test controls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from support.clock import FakeClock
from support.groups import GroupTask
from support.tasks import Outcome, run_try

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow.models.dag import DAG  # type: ignore[no-redef]


class TaskGroupRun:
    """A run of a DAG that has one task group: each task runs once its trigger rule permits it.

    A teardown runs if its setup has succeeded. XComs are kept until the next try of their task starts, as in Airflow.

    Attributes:
        states: How each task ended, by its id without that of the group.
        outcomes: The outcome of each task. For a mapped task, it is the first one that did not succeed.
    """

    def __init__(self, clock: FakeClock, make: Callable[[], Any], *, run_id: str = "manual__1") -> None:
        """Make the tasks, but run none."""
        with DAG("tests", schedule=None) as dag:
            make()
        self._tasks: dict[str, Any] = {task.task_id: task for task in dag.tasks}
        self._templates = {
            task_id: {field: getattr(task, field) for field in task.template_fields}
            for task_id, task in self._tasks.items()
            if not _is_mapped(task)
        }
        self._clock = clock
        self._run_id = run_id
        self._results: dict[str, Any] = {}
        self._mapped: dict[str, list[Any]] = {}
        self._clears = 0
        self._restarted_at: datetime | None = None
        self.states: dict[str, str] = {}
        self.outcomes: dict[str, Outcome] = {}
        # Those of the last task.
        self.outlet_events: Any = None
        # The tasks whose next try is their first one, also after a clear.
        self.first_tries: set[str] = set()
        # What happens before a task runs, by its name.
        self.before: dict[str, Callable[[], object]] = {}

    def xcom(self, name: str, key: str = "return_value") -> Any:
        """Return an XCom of a task."""
        return self._results[self._id(name)][key]

    def results(self, name: str) -> list[Any]:
        """Return the XComs of a mapped task."""
        return self._mapped.get(self._id(name), [])

    @property
    def leaves(self) -> set[str]:
        """The tasks that decide on the run: no task comes after them."""
        return {_name(task_id) for task_id, task in self._tasks.items() if not task.downstream_task_ids}

    def run_all(self) -> TaskGroupRun:
        """Run all tasks, or those that are left after ``clear``."""
        left = {_name(task_id): task for task_id, task in self._tasks.items() if _name(task_id) not in self.states}
        while left:
            ready = [
                name
                for name, task in left.items()
                if not {_name(each) for each in task.upstream_task_ids} & left.keys()
            ]
            for name in ready:
                self.states[name] = self._run_if_it_should(name, left.pop(name))
        return self

    def clear(self, *names: str) -> TaskGroupRun:
        """Clear some tasks of the finished run, or all, as Airflow does, an hour later."""
        self._clock.advance(3600)
        self._clears += 1
        # Airflow starts a finished run again.
        self._restarted_at = self._clock.utcnow()
        for name in names or list(self.states):
            self.states.pop(name, None)
        return self

    def _run_if_it_should(self, name: str, task: Any) -> str:
        before = {_name(each) for each in task.upstream_task_ids}
        if task.is_teardown:
            setups = {_name(each.task_id) for each in task.upstream_list if each.is_setup}
            if any(self.states[each] != "success" for each in setups):
                return "upstream_failed"
        elif (state := _state_of(task.trigger_rule, {self.states[each] for each in before})) is not None:
            return state
        self.before.pop(name, lambda: None)()
        if not _is_mapped(task):
            self._render(task)
            return self._run(name, task, -1).state
        values = self._resolve(next(iter(task.expand_input.value.values())))
        if not values:
            return "skipped"
        outcomes = [self._run(name, self._unmapped(task, value), number) for number, value in enumerate(values)]
        self._mapped[task.task_id] = [outcome.value for outcome in outcomes if outcome.state == "success"]
        self.outcomes[name] = next((each for each in outcomes if each.state != "success"), outcomes[-1])
        return self.outcomes[name].state

    def _run(self, name: str, task: Any, map_index: int) -> Outcome:
        ti = GroupTask(
            task_id=task.task_id,
            dag_id="tests",
            run_id=self._run_id,
            map_index=map_index,
            retries=0,
            results=self._results,
            try_number=1 if name in self.first_tries else 1 + self._clears,
        )
        ti.max_tries = self._clears
        if self._restarted_at is not None:
            ti.run_started = self._restarted_at
        task.clock = self._clock
        task.recreate = lambda: task
        outcome = run_try(task, ti)
        if outcome.state == "success" and isinstance(outcome.value, dict) and getattr(task, "multiple_outputs", False):
            ti.xcoms |= outcome.value
        self.outlet_events = ti.outlet_events
        self.outcomes[name] = outcome
        if map_index < 0:
            self._results[task.task_id] = ti.xcoms
        return outcome

    def _unmapped(self, task: Any, value: Any) -> Any:
        [argument] = task.expand_input.value
        arguments = {**task.partial_kwargs, argument: value}
        for name in ("default_args", "dag", "task_group", "start_date", "params"):
            arguments.pop(name, None)
        return task.operator_class(
            task_id=task.task_id, **{name: self._resolve(each) for name, each in arguments.items()}
        )

    def _render(self, task: Any) -> None:
        for field, value in self._templates[task.task_id].items():
            setattr(task, field, self._resolve(value))

    def _resolve(self, value: Any) -> Any:
        """Return what Airflow passes for the output of another task."""
        if not hasattr(value, "resolve"):
            return value
        if _is_mapped(value.operator):
            return self._mapped.get(value.operator.task_id, [])
        return self._results[value.operator.task_id][value.key]

    def _id(self, name: str) -> str:
        return next(task_id for task_id in self._tasks if _name(task_id) == name)


def _state_of(trigger_rule: str, before: set[str]) -> str | None:
    """Return the state of a task that does not run because of the states of those before it; None if it runs."""
    if before - {"success", "skipped"}:
        return "upstream_failed"
    is_lenient = trigger_rule == "none_failed_min_one_success"
    return "skipped" if before and ("success" not in before if is_lenient else "skipped" in before) else None


def _name(task_id: str) -> str:
    return task_id.partition(".")[2] or task_id


def _is_mapped(task: Any) -> bool:
    return hasattr(task, "expand_input")
