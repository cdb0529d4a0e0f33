"""Measure pending waits in the triggerer: a trigger that polls by itself for each wait, and WaitTrigger."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench_airflow import BenchAirflow, measure
from control_plane import ControlPlane

TRIGGERS = {"separate": "one_poll_per_wait.OnePollPerWait", "shared": "airflow_pinecone.triggers.WaitTrigger"}
PAUSE = 5.0
# What LookupTrigger pauses.
LOOKUP_PAUSE = 1.0
# What each try of a wait logs after its first poll.
_FIRST_ANSWER = "its status is"
_FIRST_ANSWERS_TIMEOUT = 180.0
_FINISHED_WAITS = 50
_FINISH_PAUSE = 0.2
_HANGING_WAITS = 300
_OTHER_WAITS = 5
_HANG_SECONDS = 45.0
_LATEST_END = 90.0


class Waits:
    """Pending waits in a triggerer of their own.

    Args:
        airflow: The Airflow.
        service: The control plane of the connection ``pinecone_default``.
        way: A key of TRIGGERS.
    """

    def __init__(self, airflow: BenchAirflow, service: ControlPlane, way: str) -> None:
        """Store the arguments; nothing is started yet."""
        self._airflow = airflow
        self._service = service
        self._way = way

    def pending(self, count: int, seconds: float) -> dict[str, Any]:
        """Let waits begin, measure them while they are pending, and let some of them end.

        Args:
            count: The number of waits.
            seconds: How long to measure.

        Returns:
            The figures of ``measure``, and those of the start and the end of the waits.
        """
        airflow, service = self._airflow, self._service
        ids = service.pending(count)
        run_id = self._mapped_run(count)
        reads, counters, cpu = airflow.connection_reads(), service.counters(), airflow.cpu()
        try:
            started = airflow.defer(run_id, [self._trigger(backup_id, timeout=3600) for backup_id in ids])
            answers = self._first_answers(run_id, started, count)
            result: dict[str, Any] = {
                "first_answers": max(answers) if len(answers) == count else None,
                "answered": len(answers),
                "start_reads": airflow.connection_reads() - reads,
                "start_connections": service.counters().connections - counters.connections,
                "start_triggerer_cpu": airflow.cpu()["triggerer"] - cpu["triggerer"],
            }
            before = service.counters().requests
            result |= measure(airflow, service, seconds, "triggerer")
            if rounds := service.rounds(before):
                result["per_round"], result["requests"] = rounds
            else:
                # Without a walk, a round is a pause.
                result["per_round"] = result["requests"] * PAUSE / 60
            return result | self._lookups(started) | self._finish(run_id, ids[:_FINISHED_WAITS])
        finally:
            airflow.delete_run("many_deferred", run_id)

    def _finish(self, run_id: str, ids: Sequence[str]) -> dict[str, Any]:
        """Let backups become Ready one by one, and return how long their waits take to end."""
        finished = {}
        for number, backup_id in enumerate(ids):
            finished[number] = self._service.finish(backup_id)
            time.sleep(_FINISH_PAUSE)
        ends = self._ends(run_id, set(finished), _LATEST_END)
        delays = [ends[number] - at for number, at in finished.items() if number in ends]
        complete = len(delays) == len(finished)
        return {
            "ended": f"{len(delays)} of {len(finished)}",
            "end_delay": {"median": statistics.median(delays), "max": max(delays)} if complete else None,
        }

    def hanging(self, other: ControlPlane) -> dict[str, Any]:
        """Let waits time out while their control plane does not answer, beside waits of another connection.

        Args:
            other: The control plane of the connection ``other``.
        """
        ids, other_ids = self._service.pending(_HANGING_WAITS), other.pending(_OTHER_WAITS)
        self._service.hang()
        try:
            return self._hanging(ids, other_ids, other)
        finally:
            self._airflow.stop_triggerer()
            self._service.release()

    def _hanging(self, ids: list[str], other_ids: list[str], other: ControlPlane) -> dict[str, Any]:
        run_id = self._mapped_run(len(ids) + len(other_ids))
        deadline = time.time() + _HANG_SECONDS
        triggers = [self._trigger(backup_id, timeout=_HANG_SECONDS) for backup_id in ids]
        triggers += [self._trigger(backup_id, timeout=3600, conn_id="other") for backup_id in other_ids]
        started = self._airflow.defer(run_id, triggers)
        numbers = range(len(ids), len(triggers))
        self._airflow.wait_until(lambda: time.time() > started + 25, 60, "the waits to hang")
        finished = {number: other.finish(backup_id) for number, backup_id in zip(numbers, other_ids, strict=True)}
        ends = self._ends(run_id, set(range(len(triggers))), deadline + _LATEST_END - time.time())
        late = [ends[number] - deadline for number in range(len(ids)) if number in ends]
        others = [ends[number] - at for number, at in finished.items() if number in ends]
        result = {
            "waits": len(ids),
            "ended": len(late),
            "late": max(late) if len(late) == len(ids) else None,
            "ended_within_20_s": sum(seconds <= 20 for seconds in late),
            **self._lookups(started),
            "other_ended": f"{len(others)} of {len(finished)}",
            "other_end_delay": max(others) if len(others) == len(finished) else None,
        }
        self._airflow.delete_run("many_deferred", run_id)
        return result

    def idle(self, seconds: float) -> dict[str, Any]:
        """Replace the triggerer by a new one which looks up a name each second, and measure that alone.

        Args:
            seconds: How long to measure.
        """
        self._lookup_file.unlink(missing_ok=True)
        self._airflow.replace_triggerer()
        self._airflow.defer(self._mapped_run(1), [("probes.LookupTrigger", {"path": str(self._lookup_file)})])
        self._airflow.wait_until(lambda: _count_lines(self._lookup_file) > 2, 60, "the trigger that looks up a name")
        return measure(self._airflow, self._service, seconds, "triggerer")

    def delete_runs(self) -> None:
        """Delete all runs of the waits."""
        runs = self._airflow.api("GET", "dags/many_deferred/dagRuns")["dag_runs"]
        for run in runs:
            self._airflow.delete_run("many_deferred", run["dag_run_id"])

    @property
    def _lookup_file(self) -> Path:
        return self._airflow.home / f"lookups-{self._way}"

    def _trigger(self, backup_id: str, *, timeout: float, conn_id: str = "pinecone_default") -> tuple[str, Any]:
        now = time.time()
        return TRIGGERS[self._way], {
            "conn_id": conn_id,
            "delete_on_kill": False,
            "resource_type": "backup",
            "resource_id": backup_id,
            "started_at": now,
            "deadline_at": now + timeout,
            "poke_interval": PAUSE,
        }

    def _mapped_run(self, count: int) -> str:
        """Start a run with mapped tasks, which no worker takes."""
        airflow = self._airflow
        run_id = airflow.trigger("many_deferred", {"ids": [str(number) for number in range(count)]})
        airflow.wait_until(lambda: airflow.count_tasks(run_id, "scheduled") == count, 120, f"{count} mapped tasks")
        return run_id

    def _first_answers(self, run_id: str, started: float, count: int) -> list[float]:
        """Return the seconds from the start of each wait to its first answer, from the logs of the triggers."""
        folder = self._airflow.home / "logs" / "dag_id=many_deferred" / f"run_id={run_id}" / "task_id=wait"
        answers: dict[Path, float] = {}
        deadline = time.monotonic() + _FIRST_ANSWERS_TIMEOUT
        while len(answers) < count and time.monotonic() < deadline:
            time.sleep(1)
            for path in folder.glob("*/*.trigger.*"):
                if path not in answers and (at := _time_of(path, _FIRST_ANSWER)):
                    answers[path] = at - started
        return list(answers.values())

    def _ends(self, run_id: str, numbers: set[int], seconds: float) -> dict[int, float]:
        """Return when the waits of a run ended: the times at which Airflow scheduled their tasks again."""
        deadline = time.monotonic() + seconds
        while True:
            rows = self._airflow.query(
                "SELECT map_index, extract(epoch from scheduled_dttm) FROM task_instance "
                "WHERE run_id = :run_id AND task_id = 'wait' AND state = 'scheduled'",
                run_id=run_id,
            )
            ends = {number: float(at) for number, at in rows}
            if numbers <= ends.keys() or time.monotonic() > deadline:
                return ends
            time.sleep(0.5)

    def _lookups(self, since: float) -> dict[str, float]:
        return lookups(self._lookup_file.read_text(encoding="utf-8").splitlines(), since, time.time())


def lookups(lines: Sequence[str], since: float, until: float) -> dict[str, float]:
    """Return the longest look-up of a LookupTrigger, and how late the event loop started one at most.

    Args:
        lines: The lines that it wrote.
        since: The time from which they count.
        until: The time at which they were read.
    """
    pairs = [(float(at), float(seconds)) for at, seconds in map(str.split, lines) if float(at) >= since]
    ends = [since, *(at for at, _ in pairs)]
    late = [end - before - seconds - LOOKUP_PAUSE for before, (end, seconds) in zip(ends, pairs, strict=False)]
    # A look-up that has not ended is as long as the time since then.
    longest = max([seconds for _, seconds in pairs] + [until - ends[-1] - LOOKUP_PAUSE, 0.0])
    return {"lookup": longest, "loop_late": max([*late, 0.0])}


def _count_lines(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n") if path.exists() else 0


def _time_of(path: Path, event: str) -> float | None:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if event in line and line.startswith("{"):
            return datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
    return None
