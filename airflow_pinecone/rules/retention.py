"""Which backups of an index may be deleted: decisions that do no I/O and read no clock.

The rules are those of ``restic forget``. Each rule keeps some backups, and a backup that any rule keeps is kept; its
reasons list all of those rules. ``keep_daily=7`` keeps the newest backup of each of the 7 most recent days that have
one; a day without a backup does not count. While a rule has kept fewer backups than its count, it also keeps the oldest
backup, so that the history grows to its full length. Days, ISO weeks, months and years are in UTC. A backup that one
rule keeps still counts for the others. ``keep_within`` is measured from the newest backup that the rules consider, not
from now: if no new backups are created, the old ones are kept.

Some backups are always kept: the newest Ready one; those whose status is not final; those that were created after the
decision or have no valid ``created_at``; without ``include_deleted_indexes``, those of a deleted index, such as an
earlier one with the same name; those with a hold that has not ended; with ``owned_only``, those that this package did
not create; with ``created_by_dag_id`` or ``created_by_task_id``, those of other tasks; without ``remove_failed``, those
that failed. They do not count for a rule: with one held backup, ``keep_last=3`` keeps three more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from airflow_pinecone.api.models import BackupModel, backup_phase, is_ready
from airflow_pinecone.common.durations import MAX_DURATION
from airflow_pinecone.common.text import cell, show_time, show_value, text_table
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.rules.history import BackupHistory, index_id_of
from airflow_pinecone.rules.identity import creator_of, has_mark, hold_of

# How each rule maps a creation time to a period. A rule keeps the newest backup of each period. keep_last has none.
_PERIODS: dict[str, Callable[[datetime], str] | None] = {
    "keep_last": None,
    "keep_daily": lambda moment: f"{moment:%Y-%m-%d}",
    "keep_weekly": lambda moment: f"{moment:%G-W%V}",
    "keep_monthly": lambda moment: f"{moment:%Y-%m}",
    "keep_yearly": lambda moment: f"{moment:%Y}",
}


class RetentionRules(NamedTuple):
    """The retention rules; None and 0 mean no rule.

    Attributes:
        keep_last: Keep this many of the newest backups.
        keep_daily: Keep the newest backup of each day, for this many of the most recent days that have one. If fewer
            days have one, keep the oldest backup, too.
        keep_weekly: The same for ISO weeks.
        keep_monthly: The same for months.
        keep_yearly: The same for years.
        keep_within: Keep every backup that is at most this much older than the newest one.
    """

    keep_last: int | None = None
    keep_daily: int | None = None
    keep_weekly: int | None = None
    keep_monthly: int | None = None
    keep_yearly: int | None = None
    keep_within: timedelta | None = None

    def validate(self) -> None:
        """Raise PineconeInputError if there is no rule, or if a rule is invalid."""
        for name in _PERIODS:
            count = getattr(self, name)
            if count is not None and (type(count) is not int or count < 0):
                raise PineconeInputError(f"{name} must be an integer, 0 or above, not {show_value(count)}.")
        within = self.keep_within
        if within is not None and not (isinstance(within, timedelta) and timedelta(0) <= within <= MAX_DURATION):
            raise PineconeInputError(
                f"keep_within must be a timedelta, 0 or above and at most {MAX_DURATION.days} days, "
                f"not {show_value(within)}."
            )
        if not any(self):
            raise PineconeInputError(f"At least one retention rule above 0 is required: {', '.join(self._fields)}.")


class Decision(NamedTuple):
    """The decision about one backup.

    Attributes:
        backup: The backup.
        keep: Whether it is kept.
        reasons: Why it is kept or deleted; at least one reason.
    """

    backup: BackupModel
    keep: bool
    reasons: tuple[str, ...]


class Plan(NamedTuple):
    """The decisions about all backups of an index name.

    Attributes:
        decisions: One for each backup: the newest first, those without a valid ``created_at`` last.
    """

    decisions: tuple[Decision, ...]

    @property
    def kept(self) -> list[Decision]:
        """The backups to keep, the newest first."""
        return [decision for decision in self.decisions if decision.keep]

    @property
    def to_delete(self) -> list[Decision]:
        """The backups to delete, the oldest first, so that an interrupted prune has deleted the least valuable ones."""
        return [decision for decision in reversed(self.decisions) if not decision.keep]

    def table(self) -> str:
        """Format the plan as a table with one row for each backup."""
        rows: list[tuple[str, ...]] = [("", "created_at", "backup_id", "status", "name", "reasons")]
        for backup, keep, reasons in self.decisions:
            fields = (backup.get(field) for field in ("created_at", "backup_id", "status", "name"))
            rows.append(("keep" if keep else "DELETE", *map(cell, fields), "; ".join(reasons)))
        return text_table(rows)


def plan(
    history: BackupHistory,
    rules: RetentionRules,
    *,
    now: datetime,
    owned_only: bool = True,
    remove_failed: bool = False,
    created_by_dag_id: str | None = None,
    created_by_task_id: str | None = None,
    include_deleted_indexes: bool = False,
) -> Plan:
    """Decide which backups may be deleted.

    Args:
        history: The backups of one index name. Without ``include_deleted_indexes``, only those of the current index may
            be deleted; none, if the current index is unknown or was deleted.
        rules: The rules.
        now: The time of the decision, with a time zone. Backups created later are kept.
        owned_only: Whether to delete only backups that this package created.
        remove_failed: Whether to delete failed backups. No rule keeps them.
        created_by_dag_id: Keep the backups that other DAGs created; None is every DAG.
        created_by_task_id: Keep the backups that tasks with another id created; None is every task.
        include_deleted_indexes: Whether to delete backups of deleted indexes, too. The rules apply to each
            ``source_index_id`` on its own.

    Returns:
        The plan. It does not depend on the order of the backups.

    Raises:
        PineconeInputError: A rule is invalid, or ``now`` has no time zone.
    """
    rules.validate()
    if now.tzinfo is None:
        raise PineconeInputError(f"The time of the decision must have a time zone, not {now!r}.")
    protections = {
        backup["backup_id"]: _deleted_index(backup, history, include_deleted_indexes)
        + _protections(backup, moment, now, owned_only=owned_only, remove_failed=remove_failed)
        + _other_creator(backup, created_by_dag_id, created_by_task_id)
        for moment, backup in history.rows
    }
    candidates: dict[str, list[tuple[datetime, str]]] = {}
    for moment, backup in history.rows:
        backup_id = backup["backup_id"]
        if moment is not None and not protections[backup_id] and is_ready(backup):
            candidates.setdefault(backup["source_index_id"], []).append((moment, backup_id))
    kept_by_rules: dict[str, list[str]] = {}
    for of_one_index in candidates.values():
        kept_by_rules.update(_apply(rules, of_one_index))
    decisions = []
    for _, backup in history.rows:
        reasons = protections[backup["backup_id"]] or kept_by_rules.get(backup["backup_id"], [])
        why_deleted = "no rule keeps it" if is_ready(backup) else f"failed ({_status(backup)})"
        decisions.append(Decision(backup, bool(reasons), tuple(reasons or [why_deleted])))
    return Plan(tuple(_keep_current_index(decisions, history)))


def is_by_others(history: BackupHistory, dag_id: str | None, task_id: str | None) -> bool:
    """Return whether there are backups, and none is known to be of a DAG and a task; None is any DAG or task."""
    return bool(history.rows) and all(_other_creator(row.backup, dag_id, task_id) for row in history.rows)


def _keep_current_index(decisions: list[Decision], history: BackupHistory) -> list[Decision]:
    """Keep failed backups without which the next prune would not know the current index, or take an earlier one."""
    for position, decision in enumerate(decisions):
        left = BackupHistory((other.backup for other in decisions if other.keep), index_exists=history.index_exists)
        if left.current_index_id == history.current_index_id:
            break
        if not decision.keep:
            decisions[position] = Decision(decision.backup, True, ("it tells which index is the current one",))
    return decisions


def _protections(
    backup: BackupModel,
    moment: datetime | None,
    now: datetime,
    *,
    owned_only: bool,
    remove_failed: bool,
) -> list[str]:
    """Return why a backup is kept regardless of the rules; an empty list if the rules decide."""
    reasons = []
    if owned_only and not has_mark(backup):
        reasons.append("not created by airflow-pinecone (owned_only)")
    hold = hold_of(backup, now)
    if hold is not None:
        reasons.append(f"held until {show_time(hold)}")
    phase = backup_phase(backup)
    if phase == "running":
        reasons.append(f"not Ready ({_status(backup)})")
    elif phase == "failed" and not remove_failed:
        reasons.append(f"failed ({_status(backup)}); remove_failed=True deletes it")
    if moment is None:
        reasons.append("its created_at is missing" if not backup.get("created_at") else "its created_at is invalid")
    elif moment > now:
        reasons.append("created after this decision")
    return reasons


def _deleted_index(backup: BackupModel, history: BackupHistory, include_deleted_indexes: bool) -> list[str]:
    """Return why a backup is kept because its index was deleted, or because it is unknown."""
    index_id = index_id_of(backup)
    if index_id is None or not backup.get("source_index_name"):
        return ["its index is unknown"]
    if include_deleted_indexes:
        return []
    if not history.index_exists:
        return ["its index no longer exists; include_deleted_indexes=True applies the rules"]
    if history.current_index_id is None:
        return [history.why_unknown or "its current index is unknown"]
    if index_id != history.current_index_id:
        return ["of an earlier index with this name; include_deleted_indexes=True applies the rules"]
    return []


def _other_creator(backup: BackupModel, dag_id: str | None, task_id: str | None) -> list[str]:
    """Return why a backup is kept because only those of one DAG or task may be deleted."""
    if dag_id is None and task_id is None:
        return []
    creator = creator_of(backup)
    if creator is None:
        return ["its description does not name its DAG and task in full (created_by_dag_id, created_by_task_id)"]
    reasons = []
    if dag_id not in (None, creator.dag_id):
        reasons.append(f"created by DAG {cell(creator.dag_id)} (created_by_dag_id)")
    if task_id not in (None, creator.task_id):
        reasons.append(f"created by task {cell(creator.task_id)} (created_by_task_id)")
    return reasons


def _apply(rules: RetentionRules, candidates: list[tuple[datetime, str]]) -> dict[str, list[str]]:
    """Return the ids of the candidates that are kept, and why. The candidates are sorted, the newest first."""
    reasons: dict[str, list[str]] = {}
    if candidates:
        reasons[candidates[0][1]] = ["the newest Ready backup"]
    for name, period_of in _PERIODS.items():
        count = getattr(rules, name) or 0
        kept = 0
        newer_period = None
        for moment, backup_id in candidates:
            period = period_of(moment) if period_of else backup_id
            is_new = period != newer_period
            if kept < count and (is_new or backup_id == candidates[-1][1]):
                kept += 1
                detail = "oldest" if not is_new else period if period_of else ""
                reasons.setdefault(backup_id, []).append(f"{name} {kept} of {count}{f' ({detail})' if detail else ''}")
            newer_period = period
    for moment, backup_id in candidates:
        if rules.keep_within and candidates[0][0] - moment <= rules.keep_within:
            reasons.setdefault(backup_id, []).append(f"keep_within {rules.keep_within}")
    return reasons


def _status(backup: BackupModel) -> str:
    return cell(backup["status"])
