"""What the operators share that delete what no retention rule keeps: their rules, a dry run and a limit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_pinecone.common.inputs import is_template, rendered_bool, rendered_count, validate_bools
from airflow_pinecone.common.text import explain, show_value
from airflow_pinecone.errors import PineconeInputError
from airflow_pinecone.rules.retention import RetentionRules

# The arguments that are counts.
COUNTS = ("keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "max_deletes")
# The client repeats each request for up to a minute. After this many consecutive failures, stop.
MAX_CONSECUTIVE_FAILURES = 5
# The error lists at most this many failures. The log has all of them.
_LISTED_FAILURES = 10


class RetentionTask:
    """A mixin for these operators.

    Attributes:
        index_name: The index.
        keep_within: The rule of this name.
        is_dry_run: Whether to delete nothing. BaseOperator has a dry_run method.
        keep_last: A count or a template, and so are the others of COUNTS.
    """

    index_name: str
    keep_last: int | str | None
    keep_within: timedelta | None
    is_dry_run: bool | str
    log: Any  # Airflow's classes provide it.

    def _check_rules(self) -> None:
        """Check the arguments in a constructor, or raise PineconeInputError."""
        if not is_template(self.is_dry_run):
            validate_bools(dry_run=self.is_dry_run)
        # A template can become any count.
        counts = {name: getattr(self, name) for name in COUNTS}
        self._templates = {name for name, value in counts.items() if is_template(value)}
        self._check_counts(counts | dict.fromkeys(self._templates, 1))

    def _rendered_rules(self) -> tuple[RetentionRules, int | None, bool]:
        """Return the rules, ``max_deletes`` and whether this is a dry run, or raise PineconeInputError."""
        dry_run = rendered_bool(self.is_dry_run, "dry_run")
        return *self._check_counts({name: self._rendered_count(name) for name in COUNTS}), dry_run

    def _check_counts(self, counts: dict[str, Any]) -> tuple[RetentionRules, int | None]:
        rules = dict(counts)
        max_deletes = rules.pop("max_deletes")
        if max_deletes is not None and (type(max_deletes) is not int or max_deletes < 1):
            raise PineconeInputError(f"max_deletes must be an integer above 0 or None, not {show_value(max_deletes)}.")
        checked = RetentionRules(**rules, keep_within=self.keep_within)
        checked.validate()
        return checked, max_deletes

    def _rendered_count(self, name: str) -> int | None:
        value = getattr(self, name)
        # None is no rule and no limit, but a template that renders to None is a mistake.
        return None if value is None and name not in self._templates else rendered_count(value, name)

    def _check_size(self, count: int, max_deletes: int | None, noun: str, *, dry_run: bool) -> None:
        """Fail if more would be deleted than ``max_deletes``. A dry run only logs a warning.

        Args:
            count: How many would be deleted.
            max_deletes: The limit; None is no limit.
            noun: What they are: ``backup`` or ``copy``.
            dry_run: Whether this is a dry run.
        """
        if max_deletes is None or count <= max_deletes:
            return
        plural = {"copy": "copies"}.get(noun, f"{noun}s")
        problem = explain(
            f"No {noun} was deleted: {count} {plural} of index {self.index_name} would be deleted, and max_deletes is "
            f"{max_deletes}.",
            advice="The log has the plan. Check the rules, or increase max_deletes.",
        )
        if not dry_run:
            raise AirflowFailException(problem)
        self.log.warning("%s", problem)


def incomplete_prune(progress: str, failures: list[str]) -> str:
    """Return the message of a prune that could not delete everything.

    Args:
        progress: What was deleted, in a sentence.
        failures: Why the rest was not, in sentences.
    """
    listed = failures[-_LISTED_FAILURES:]
    omitted = len(failures) - len(listed)
    lines = [f"The log shows {omitted} more failures.", *listed] if omitted else listed
    return explain(progress, "\n".join(lines), "A retry deletes the rest. If no retry is left, clear the task.")
