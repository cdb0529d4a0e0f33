"""What the backups of each index must satisfy. AuditBackupsOperator validates it at each parse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, get_args

from airflow_pinecone.api.models import IndexModel, tags_of
from airflow_pinecone.common.durations import is_number, validate_duration, validate_optional_duration
from airflow_pinecone.common.text import show_value
from airflow_pinecone.errors import PineconeInputError

__all__ = ["IndexRules", "Policy"]

Status = Literal["unprotected", "late", "failing", "untested", "ok"]
# The worst first.
STATUSES: tuple[Status, ...] = get_args(Status)
# A key of a policy that starts with this is matched with the tags of an index.
_TAG_PREFIX = "tag:"


class CheckRules(NamedTuple):
    """What a backup must satisfy.

    Attributes:
        min_records: The minimum number of records; None is 1, and 0 permits an empty backup.
        max_shrink: The share of the baseline's records that may be missing, such as 0.2; None compares with nothing.
    """

    min_records: int | None = None
    max_shrink: float | None = None

    def validate(self) -> None:
        """Raise PineconeInputError if a rule is invalid."""
        if self.min_records is not None and not (
            isinstance(self.min_records, int) and is_number(self.min_records) and self.min_records >= 0
        ):
            raise PineconeInputError(f"min_records must be an integer, 0 or above, not {show_value(self.min_records)}.")
        if self.max_shrink is not None and not (is_number(self.max_shrink) and 0 <= self.max_shrink <= 1):
            raise PineconeInputError(
                f"max_shrink must be a number from 0 to 1, such as 0.2, not {show_value(self.max_shrink)}."
            )


class IndexRules(NamedTuple):
    """What the backups of an index must satisfy.

    Attributes:
        max_age: How old the newest Ready backup may be, in seconds or as a timedelta of up to 365 days.
        max_restore_age: How long ago one of the backups must have been restored, in seconds or as a timedelta; None
            requires no restore. An audit with ``restore_tests`` requires a passed restore test.
        min_records: The minimum number of records in the newest Ready backup; None is 1, and 0 permits an empty one.
        max_shrink: The share of the records of the previous Ready backup, from 0 to 1, that may be missing in the
            newest one; None compares nothing.
        max_copy_age: How old the newest copy outside of Pinecone may be, in seconds or as a timedelta; None requires
            none. A copy is as old as its backup. An audit needs ``copies`` for it.
    """

    max_age: float | timedelta
    max_restore_age: float | timedelta | None = None
    min_records: int | None = None
    max_shrink: float | None = None
    max_copy_age: float | timedelta | None = None

    def validate(self) -> None:
        """Check the rules.

        Raises:
            PineconeInputError: A rule is invalid.
        """
        validate_duration(self.max_age, "max_age")
        validate_optional_duration(self.max_restore_age, "max_restore_age")
        validate_optional_duration(self.max_copy_age, "max_copy_age")
        self.check_rules.validate()

    @property
    def max_age_seconds(self) -> float:
        """``max_age`` in seconds."""
        return validate_duration(self.max_age, "max_age")

    @property
    def check_rules(self) -> CheckRules:
        """The rules for the newest Ready backup itself."""
        return CheckRules(self.min_records, self.max_shrink)


class Policy(NamedTuple):
    """Which rules apply to which index.

    Attributes:
        default: The rules of the indexes that no key matches.
        rules: The rules of other indexes. A key is a pattern for the name of an index, such as ``prod-*``, or
            ``tag:KEY=PATTERN`` for one of its tags, such as ``tag:tier=gold``. The first key that matches decides.
    """

    default: IndexRules
    rules: Mapping[str, IndexRules] = {}

    @property
    def needs_restores(self) -> bool:
        """Whether a rule requires restores."""
        return any(rules.max_restore_age is not None for rules in (self.default, *self.rules.values()))

    @property
    def needs_copies(self) -> bool:
        """Whether a rule requires copies outside of Pinecone."""
        return any(rules.max_copy_age is not None for rules in (self.default, *self.rules.values()))

    def validate(self) -> None:
        """Check the policy.

        Raises:
            PineconeInputError: A key or a rule is invalid.
        """
        self.default.validate()
        if not isinstance(self.rules, Mapping):
            raise PineconeInputError(f"policy must map patterns to IndexRules, not {show_value(self.rules)}.")
        for key, rules in self.rules.items():
            if not (isinstance(key, str) and key and (not key.startswith(_TAG_PREFIX) or _tag_of(key))):
                raise PineconeInputError(
                    f"A key of policy must be a pattern for index names, or tag:KEY=PATTERN, not {show_value(key)}."
                )
            if not isinstance(rules, IndexRules):
                raise PineconeInputError(f"policy[{key!r}] must be IndexRules, not {show_value(rules)}.")
            try:
                rules.validate()
            except PineconeInputError as error:
                raise PineconeInputError(f"policy[{key!r}]: {error}") from error

    def rules_of(self, index: IndexModel) -> IndexRules:
        """Return the rules of an index.

        Args:
            index: The index.

        Returns:
            The rules.
        """
        return next((rules for key, rules in self.rules.items() if matches(key, index)), self.default)


def matches(key: str, index: IndexModel) -> bool:
    """Return whether a key of a policy matches an index."""
    tag = _tag_of(key)
    if tag is None:
        return fnmatchcase(index["name"], key)
    tags = tags_of(index)
    return tag[0] in tags and fnmatchcase(str(tags[tag[0]]), tag[1])


def _tag_of(key: str) -> tuple[str, str] | None:
    """Split the key of a policy into the key and the pattern of a tag; None if it is not for a tag."""
    name, equals, pattern = key.removeprefix(_TAG_PREFIX).partition("=")
    return (name, pattern) if key.startswith(_TAG_PREFIX) and name and equals else None


def validate_patterns(value: Any, name: str) -> tuple[str, ...]:
    """Return a pattern for the names of indexes, or several, as a tuple, or raise PineconeInputError."""
    patterns = (value,) if isinstance(value, str) else value
    if not isinstance(patterns, Sequence) or not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise PineconeInputError(
            f"{name} must be a pattern for index names, or a list of them, not {show_value(value)}."
        )
    return tuple(patterns)


def validate_statuses(value: Any) -> None:
    """Raise PineconeInputError if the statuses that fail an audit are not a list of statuses, or contain ``ok``."""
    failing = STATUSES[:-1]
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(status in failing for status in value):
        raise PineconeInputError(f"fail_on must be a list of {', '.join(failing)}, not {show_value(value)}.")
