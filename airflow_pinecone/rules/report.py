"""The report about the backups of a project, as JSON types. ``coverage`` makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, TypedDict

from airflow_pinecone.api.models import BackupModel, BackupScheduleModel, IndexModel, RestoreJobModel
from airflow_pinecone.common.text import counted
from airflow_pinecone.policy import Status

RuleName = Literal["max_age", "max_restore_age", "max_copy_age", "min_records", "max_shrink"]
LeftoverReason = Literal["deleted index", "earlier index of this name", "unknown index"]
TestVerdict = Literal["passed", "failed", "incomplete"]


class RestoreTest(NamedTuple):
    """What the record of a restore test says.

    Attributes:
        backup_id: The backup that was restored.
        backup_created_at: When it was created; None if that is unknown.
        source_index_id: The index of this backup; None if that is unknown.
        ended_at: When the test ended.
        verdict: Its verdict. A test is ``incomplete`` if one of its tasks has no result.
        records: How many records were read.
        sampled: Whether only a sample of the records was read.
        findings: Why it has not passed, in sentences.
        path: The path of the record.
    """

    backup_id: str
    backup_created_at: datetime | None
    source_index_id: str | None
    ended_at: datetime
    verdict: TestVerdict
    records: int
    sampled: bool
    findings: tuple[str, ...]
    path: str


class RestoreTests(NamedTuple):
    """The restore tests of an index name.

    Attributes:
        tests: The newest tests, the newest first. Those that cannot change the status of the index are left out.
        why_unknown: Why the newest ones are unknown, as a clause; empty if they are known.
    """

    tests: Sequence[RestoreTest] = ()
    why_unknown: str = ""


# The ids of the backups of an index, and when each one was created; None if that is unknown.
BackupTimes = Mapping[str, datetime | None]
# Reads the restore tests of some indexes. Each one has its backups.
ReadRestoreTests = Callable[[Mapping[str, BackupTimes]], Mapping[str, RestoreTests]]


class CopySource(NamedTuple):
    """Where the copies of an index are.

    Attributes:
        index_id: The id of the current index; None if it is unknown.
        backups: Its backups.
    """

    index_id: str | None
    backups: BackupTimes


class CopyFacts(TypedDict):
    """A copy outside of Pinecone in the report.

    It is as old as its backup, and ``age`` is in seconds; None if it is in the future. ``verified_level`` and
    ``verified_at`` are those of its newest passed verification; None if it was not verified. ``frozen`` is whether its
    source could not change while it was copied.
    """

    url: str
    backup_id: str | None
    created_at: str
    age: float | None
    records: int
    frozen: bool
    verified_level: int | None
    verified_at: str | None


class IndexCopies(NamedTuple):
    """The copies of an index.

    Attributes:
        newest: The newest one that is not known to be damaged; None if there is none.
        why_unknown: Why it is unknown, as a clause; empty if it is known.
        damaged: The URLs of the newer ones whose verification has failed.
    """

    newest: CopyFacts | None = None
    why_unknown: str = ""
    damaged: tuple[str, ...] = ()


# Reads the newest copies of some indexes.
ReadCopies = Callable[[Mapping[str, CopySource]], Mapping[str, IndexCopies]]


class Project(NamedTuple):
    """What Pinecone lists of a project.

    Attributes:
        indexes: The indexes.
        backups: The backups, without duplicates, in any order.
        restore_jobs: The restore jobs; None if they could not be listed.
        invalid: Which indexes were left out, because Pinecone listed them without a valid name.
        schedules: The backup schedules of each index, by its name; None if they were not read.
        restore_tests: The restore tests of each index, by its name; None if they were not read.
        copies: The newest copy of each index, by its name; None if they were not read.
    """

    indexes: Sequence[IndexModel]
    backups: Sequence[BackupModel]
    restore_jobs: Sequence[RestoreJobModel] | None
    invalid: Sequence[str] = ()
    schedules: Mapping[str, Sequence[BackupScheduleModel]] | None = None
    restore_tests: Mapping[str, RestoreTests] | None = None
    copies: Mapping[str, IndexCopies] | None = None


class CreatedBy(TypedDict):
    """The task that created a backup; ``map_index`` is -1 if it is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


class BackupFacts(TypedDict):
    """A backup in the report."""

    backup_id: str
    status: str
    created_at: str
    record_count: int | None
    size_bytes: int | None
    created_by: CreatedBy | None


class RestoreFacts(TypedDict):
    """A Completed restore in the report. ``age`` is in seconds; None if it is in the future."""

    restore_job_id: str
    backup_id: str
    completed_at: str
    age: float | None


class RestoreTestFacts(TypedDict):
    """A restore test in the report.

    ``age`` is in seconds; None if it is in the future. ``records`` is how many were read, ``sampled`` whether these
    were only a sample, ``finding`` the first reason why the test has not passed, and ``path`` that of the record.
    """

    backup_id: str
    ended_at: str
    age: float | None
    verdict: TestVerdict
    records: int
    sampled: bool
    finding: str
    path: str


class ScheduleFacts(TypedDict):
    """The enabled backup schedule of an index."""

    schedule_id: str
    name: str
    frequency: str | None
    next_scheduled_run: str | None


class Problem(TypedDict):
    """Why an index does not have the status ok."""

    status: Status
    text: str


class IndexReport(TypedDict):
    """The row of an index. Ages are in seconds; a backup from the future has none.

    ``status`` is the worst of the problems. ``failed`` is the newest failed backup, and ``running`` the newest one
    whose status is not final, if they are newer than the newest Ready one. A ``running`` one is also younger than
    ``max_age``: an older one will hardly become Ready. ``record_change`` and ``size_change`` are shares of the previous
    Ready backup: -0.2 means that 20 % are missing. ``created_elsewhere`` counts the backups that this package did not
    create, such as those of Pinecone's backup schedules. ``previous`` is the Ready backup before the newest one, if
    ``previous_known``, and ``restorable`` the newest Ready one that has not lost its records.
    ``max_age`` to ``max_shrink`` are the rules that were applied, and ``broken_rules`` has those that the index breaks.
    If the restore jobs of the project are unknown, ``last_restore`` is None. ``scheduled`` counts the backups that a
    backup schedule created, as far as their names tell. ``schedule`` is the enabled schedule, and
    ``is_backed_up_twice`` whether this package has created a backup within ``max_age``, too; without
    ``schedules_known``, they are None and False.
    ``last_restore_test`` is the newest restore test, ``passed_restore_test`` the newest passed one whose backup exists,
    and ``failed_restore_test`` the newest failed one whose backup exists, unless a later test of the same or a newer
    backup has read all records and passed. ``restore_tests_known`` is None if restore tests were not read, and False if
    the newest ones of this index are unknown. ``newest_copy`` is the newest copy outside of Pinecone, and
    ``copies_known`` is None if copies were not read, and False if those of this index are unknown.
    """

    index_name: str
    status: Status
    problems: list[Problem]
    broken_rules: list[RuleName]
    max_age: float
    max_restore_age: float | None
    min_records: int
    max_shrink: float | None
    age: float | None
    newest_ready: BackupFacts | None
    previous: BackupFacts | None
    previous_known: bool
    restorable: BackupFacts | None
    failed: BackupFacts | None
    running: BackupFacts | None
    record_change: float | None
    size_change: float | None
    backup_count: int
    held: int
    created_elsewhere: int
    scheduled: int
    schedule: ScheduleFacts | None
    is_backed_up_twice: bool
    last_restore: RestoreFacts | None
    restore_tests_known: bool | None
    last_restore_test: RestoreTestFacts | None
    passed_restore_test: RestoreTestFacts | None
    failed_restore_test: RestoreTestFacts | None
    max_copy_age: float | None
    copies_known: bool | None
    newest_copy: CopyFacts | None


class Leftover(TypedDict):
    """Backups that do not belong to an existing index. ``reason`` says to which index they belong.

    ``size_bytes`` is None if the size of one is unknown.
    """

    index_name: str
    source_index_id: str | None
    reason: LeftoverReason
    backup_count: int
    ready_count: int
    newest_created_at: str | None
    size_bytes: int | None


class Report(TypedDict):
    """The report, as JSON types.

    ``missing`` has the names in ``include`` that have no wildcard and match no index. ``unmatched`` has the keys of the
    policy that match no index of the project. ``unsupported`` has the indexes that Pinecone cannot back up, and
    why, such as ``it is pod-based``. ``backup_count`` is the number of all backups of the project, for which Pinecone
    has a quota. ``restores_known`` is whether the restore jobs could be listed, and ``schedules_known`` whether the
    backup schedules were read. ``invalid`` says which indexes were left out, because Pinecone listed them without a
    valid name. ``scratch_indexes`` has the names of the indexes that restore tests and copies have created, and delete
    when they end. They are not judged, unless ``include`` names one without a wildcard.
    """

    as_of: str
    verdict: str
    indexes: list[IndexReport]
    missing: list[str]
    unmatched: list[str]
    unsupported: dict[str, str]
    leftovers: list[Leftover]
    backup_count: int
    restores_known: bool
    schedules_known: bool
    invalid: list[str]
    scratch_indexes: list[str]


def unknown_facts(what: str, reasons: Mapping[str, str]) -> list[str]:
    """Return of which indexes something is unknown, in sentences: one for each reason.

    Args:
        what: What is unknown, in the plural.
        reasons: Why it is unknown for an index, as a clause; empty if it is known.
    """
    names: dict[str, list[str]] = {}
    for name, why in reasons.items():
        if why:
            names.setdefault(why, []).append(name)
    return [
        f"The {what} of {f'index {of[0]}' if len(of) == 1 else counted(len(of), 'index')} are unknown: {why}."
        for why, of in names.items()
    ]


def rows_with_problems(rows: Iterable[IndexReport], statuses: Iterable[str]) -> list[IndexReport]:
    """Return the rows with a problem of one of these statuses. The status of a row is only its worst."""
    wanted = set(statuses)
    return [row for row in rows if any(problem["status"] in wanted for problem in row["problems"])]
