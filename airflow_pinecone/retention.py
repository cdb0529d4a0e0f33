"""Which backups of an index may go: decisions without I/O and without a clock.

The rules are those of ``restic forget``: each keeps some backups; one that any rule keeps is kept, with every reason.
``keep_daily=7`` keeps the newest backup of each of the 7 most recent days that have one; a day without a backup uses
up nothing. Days, ISO weeks, months and years are those of UTC. A backup that one rule keeps still counts for the
others (borg goes on to older ones there). ``keep_within`` is measured back from the newest backup that the rules see,
as restic does, and not from now (borg): when backups stop coming, the history stays.

Whatever the rules say, none of these goes: the newest Ready backup; one whose status is not final; one that is
younger than the decision, or tells no time that can be read; one of another index that had the name before; with
``owned_only`` one that this package did not make; without ``remove_failed`` one that failed. Rules neither count nor
see such backups, so that they cannot push out a good one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.identity import made_here
from airflow_pinecone.models import BackupModel, created_at, phase

# What makes two backups share a bucket; a rule keeps the newest of each. A backup number of its own is no period.
_BUCKETS: dict[str, Callable[[datetime], str] | None] = {
    "keep_last": None,
    "keep_daily": lambda moment: f"{moment:%Y-%m-%d}",
    "keep_weekly": lambda moment: f"{moment:%G-W%V}",
    "keep_monthly": lambda moment: f"{moment:%Y-%m}",
    "keep_yearly": lambda moment: f"{moment:%Y}",
}
_CELL = 60


class Rules(NamedTuple):
    """What is to be kept; None and 0 are no rule.

    Attributes:
        keep_last: How many of the newest backups.
        keep_daily: For how many days that have one the newest backup.
        keep_weekly: The same for ISO weeks.
        keep_monthly: The same for months.
        keep_yearly: The same for years.
        keep_within: Every backup that is at most so much older than the newest.
    """

    keep_last: int | None = None
    keep_daily: int | None = None
    keep_weekly: int | None = None
    keep_monthly: int | None = None
    keep_yearly: int | None = None
    keep_within: timedelta | None = None

    def check(self) -> None:
        """Refuse rules that make no sense.

        Raises:
            PineconeInputError: There is no rule at all, or one is no count or duration of 0 or above.
        """
        for name in _BUCKETS:
            count = getattr(self, name)
            if count is not None and (type(count) is not int or count < 0):
                raise PineconeInputError(f"{name} must be a whole number, 0 or above, not {count!r}")
        within = self.keep_within
        if within is not None and not (isinstance(within, timedelta) and within >= timedelta(0)):
            raise PineconeInputError(f"keep_within must be a timedelta, 0 or above, not {within!r}")
        if not any(self):
            raise PineconeInputError(
                f"No rule says what to keep: give at least one of {', '.join(self._fields)}, above 0"
            )


class Decision(NamedTuple):
    """What becomes of one backup.

    Attributes:
        backup: The backup, as it came.
        keep: Whether it stays.
        reasons: Why, in words; at least one.
    """

    backup: BackupModel
    keep: bool
    reasons: tuple[str, ...]


class Plan(NamedTuple):
    """What becomes of each backup.

    Attributes:
        decisions: One for each backup: the newest first, those without a readable time last.
    """

    decisions: tuple[Decision, ...]

    @property
    def kept(self) -> list[Decision]:
        """The backups that stay, the newest first."""
        return [decision for decision in self.decisions if decision.keep]

    @property
    def deleted(self) -> list[Decision]:
        """The backups that go, the oldest first: what is cut short has deleted the least valuable."""
        return [decision for decision in reversed(self.decisions) if not decision.keep]

    def table(self) -> str:
        """Write the plan for people.

        Returns:
            An aligned table with a line for each backup, under a line of headings.
        """
        rows: list[tuple[str, ...]] = [("", "created_at", "backup_id", "status", "name", "why")]
        for backup, keep, reasons in self.decisions:
            facts = (backup.get(field) for field in ("created_at", "backup_id", "status", "name"))
            rows.append(("keep" if keep else "DELETE", *map(_cell, facts), "; ".join(reasons)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def plan(
    backups: Iterable[BackupModel],
    rules: Rules,
    *,
    source_index_id: str | None,
    now: datetime,
    owned_only: bool = True,
    remove_failed: bool = False,
) -> Plan:
    """Decide which backups may go.

    Args:
        backups: All backups under one index name, in any order, each once.
        rules: What is to be kept.
        source_index_id: The id of the index that has the name now; of others nothing goes. None: nothing goes at all.
        now: The time of the decision, with a time zone; what is younger stays.
        owned_only: Whether only backups that this package made may go.
        remove_failed: Whether failed backups go. No rule keeps one.

    Returns:
        The plan, the same for the same backups in any order.

    Raises:
        PineconeInputError: The rules make no sense, or ``now`` has no time zone.
    """
    rules.check()
    if now.tzinfo is None:
        raise PineconeInputError(f"The time of the decision needs a time zone: {now!r}")
    ordered = newest_first(backups)
    barred = {
        backup["backup_id"]: _bars(
            backup, moment, source_index_id, now, owned_only=owned_only, remove_failed=remove_failed
        )
        for moment, backup in ordered
    }
    ready = [
        (moment, backup["backup_id"])
        for moment, backup in ordered
        if moment is not None and not barred[backup["backup_id"]] and phase(backup["status"]) == "succeeded"
    ]
    ruled = _keep(ready, rules)
    decisions = []
    for _, backup in ordered:
        reasons = barred[backup["backup_id"]] or ruled.get(backup["backup_id"], [])
        why_not = "no rule keeps it" if phase(backup["status"]) == "succeeded" else f"failed ({_status(backup)})"
        decisions.append(Decision(backup, bool(reasons), tuple(reasons or [why_not])))
    if current_index(d.backup for d in decisions if d.keep) != current_index(d.backup for d in decisions):
        # A failed one: without it, the next prune would take an earlier index for the current one.
        decisions[0] = Decision(decisions[0].backup, True, ("the only sign of the index that has the name now",))
    return Plan(tuple(decisions))


def current_index(backups: Iterable[BackupModel]) -> str | None:
    """Tell which index has the name now, going by its backups: Pinecone's API shows no id of an index.

    Args:
        backups: All backups under one index name.

    Returns:
        The source_index_id of the newest backup, whatever its status: while a new index of the name has nothing but
        a first backup that is not Ready yet, those of the old one are not taken for its own. None where no backup
        tells both a time and an id.
    """
    for moment, backup in newest_first(backups):
        if moment is not None:
            return backup.get("source_index_id") or None
    return None


def newest_first(backups: Iterable[BackupModel]) -> list[tuple[datetime | None, BackupModel]]:
    """Sort backups by when they were created.

    Args:
        backups: The backups, in any order.

    Returns:
        Each with its time in UTC, the newest first; of two at one time the greater id comes first. Those whose time is
        missing or cannot be read come last, with None.
    """
    timed = [(created_at(backup), backup) for backup in backups]
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(timed, key=lambda row: (row[0] is not None, row[0] or oldest, row[1]["backup_id"]), reverse=True)


def _bars(
    backup: BackupModel,
    moment: datetime | None,
    source_index_id: str | None,
    now: datetime,
    *,
    owned_only: bool,
    remove_failed: bool,
) -> list[str]:
    """Say why a backup stays whatever the rules say; nothing where they decide."""
    bars = []
    if not backup.get("source_index_id") or source_index_id is None:
        bars.append("its index is not known")
    elif backup["source_index_id"] != source_index_id:
        bars.append("of an earlier index of this name")
    if owned_only and not made_here(backup):
        bars.append("not made by airflow-pinecone (owned_only)")
    meaning = phase(backup["status"])
    if meaning == "running":
        bars.append(f"not Ready ({_status(backup)})")
    elif meaning == "failed" and not remove_failed:
        bars.append(f"failed ({_status(backup)}); goes with remove_failed")
    if moment is None:
        bars.append("its created_at is missing" if not backup.get("created_at") else "its created_at is unreadable")
    elif moment > now:
        bars.append("younger than this decision")
    return bars


def _keep(ready: list[tuple[datetime, str]], rules: Rules) -> dict[str, list[str]]:
    """Say which of the backups, the newest first, the rules keep, and why."""
    reasons: dict[str, list[str]] = {}
    if ready:
        reasons[ready[0][1]] = ["the newest Ready one"]
    for name, bucket in _BUCKETS.items():
        count = getattr(rules, name) or 0
        seen: set[str] = set()
        for moment, backup_id in ready:
            if len(seen) >= count:
                break
            period = bucket(moment) if bucket else backup_id
            if period not in seen:
                seen.add(period)
                which = f" ({period})" if bucket else ""
                reasons.setdefault(backup_id, []).append(f"{name} {len(seen)} of {count}{which}")
    for moment, backup_id in ready:
        if rules.keep_within and ready[0][0] - moment <= rules.keep_within:
            reasons.setdefault(backup_id, []).append(f"keep_within {rules.keep_within}")
    return reasons


def _status(backup: BackupModel) -> str:
    return _cell(backup["status"])


def _cell(value: object) -> str:
    """Put what came from outside into one cell of a table."""
    text = " ".join(str("-" if value is None else value)[: 4 * _CELL].split())
    return text if len(text) <= _CELL else text[: _CELL - 3] + "..."
