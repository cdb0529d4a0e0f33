"""A run in one API version: what its steps share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from airflow_pinecone.api import advice
from airflow_pinecone.api.operation import Operation
from airflow_pinecone.common.clock import Clock
from airflow_pinecone.common.text import one_line
from airflow_pinecone.errors import PineconeError
from live_test.api import Api, NoResponse, Response
from live_test.created import Created
from live_test.expected import Expected
from live_test.findings import DIFFERENT, NOT_CHECKED, NOTED, SAME, Findings

_MAX_PAGES = 200

Log = Callable[[str], None]


class NotPossible(Exception):
    """A step cannot check its assumptions, because an earlier step failed."""


def refusal_of(response: Response, operation: str = "") -> advice.Refusal:
    """Return what the package makes of a refusal."""
    said = advice.Response(response.status, response.code or None, one_line(response.message), None, None)
    return advice.refusal_of(Operation(operation, "", (), ""), said)


class Run:
    """The requests, the findings and the resources of a run in one version.

    Args:
        api: The API in this version.
        expected: What is assumed of this version.
        findings: The rows, to which the run adds its own.
        created: Remembers what the run creates.
        log: Logs the progress.
        clock: The clock of waits.
        poll_interval: Seconds between two polls.
        timeout: Seconds until a wait ends.

    Attributes:
        index_name: The name of the index.
        index: The index, as the response to its creation had it.
        backups: The backups, as the responses to their creation had them: the first one is restored.
        backup: The first backup once it is Ready.
        restore_job_id: The id of the restore job.
        restore_may_run: Whether a restore may be running, so that its backup cannot be deleted.
    """

    def __init__(
        self,
        api: Api,
        expected: Expected,
        findings: Findings,
        created: Created,
        log: Log,
        clock: Clock,
        *,
        poll_interval: float,
        timeout: float,
    ) -> None:
        self.api = api
        self.expected = expected
        self.created = created
        self.clock = clock
        self.log = log
        self._findings = findings
        self._poll_interval = poll_interval
        self._timeout = timeout
        self.index_name = ""
        self.index: Any = {}
        self.backups: list[Any] = []
        self.backup: Any = {}
        self.restore_job_id = ""
        self.restore_may_run = False

    def execute(self, steps: Sequence[Callable[[Run], None]]) -> None:
        """Execute the steps in their order. A step that cannot be executed is not checked."""
        for step in steps:
            title = (step.__doc__ or step.__name__).splitlines()[0].rstrip(".")
            try:
                step(self)
            except (NotPossible, NoResponse) as error:
                self.not_checked(title, str(error))
            except Exception as error:
                # The other steps are checked.
                self.true(title, "responses of a known form", False, f"{type(error).__name__}: {error}")

    # The findings.

    def equal(self, name: str, seen: object, *assumed: object, detail: str = "") -> bool:
        """Add a row: what was seen is one of the assumed values. ``detail`` is added to what was seen."""
        same = seen in assumed
        shown = f"{seen}: {detail}" if detail else seen
        self._add(name, " or ".join(map(str, assumed)), shown, SAME if same else DIFFERENT)
        return same

    def true(self, name: str, assumed: str, same: bool, seen: object) -> bool:
        """Add a row whose assumption is a text."""
        self._add(name, assumed, seen, SAME if same else DIFFERENT)
        return same

    def note(self, name: str, seen: object) -> None:
        """Add a row for a fact that nothing depends on."""
        self._add(name, "", seen, NOTED)

    def not_checked(self, name: str, why: str) -> None:
        """Add a row for an assumption that could not be checked."""
        self._add(name, "", why, NOT_CHECKED)

    def refused(
        self, name: str, response: Response, *statuses: int, error: type[PineconeError], operation: str = ""
    ) -> bool:
        """Add a row: the request was refused with one of these statuses, and the package raises this error for it.

        ``operation`` is the name of the call, if the error depends on it.
        """
        assumed = " or ".join(map(str, statuses))
        refusal = refusal_of(response, operation)
        same = response.status in statuses and issubclass(refusal.error, error)
        seen = f"{response.outcome}, {refusal.error.__name__}: {response.message}"
        self._add(name, f"{assumed}, {error.__name__}", seen, SAME if same else DIFFERENT)
        return same

    def required(self, name: str, model: str, value: dict[str, Any]) -> None:
        """Add a row: a response has the required fields of a model, and one with all its fields."""
        missing = self.expected.missing(model, value)
        same = not missing
        self.true(f"{name}: required fields", "all present", same, "all present" if same else f"missing: {missing}")
        self.note(f"{name}: fields", ", ".join(sorted(value)))

    def _add(self, name: str, assumed: object, seen: object, same: str) -> None:
        self._findings.add(self.expected.version, name, assumed, seen, same)

    # The waits.

    def poll(self, done: Callable[[], bool]) -> bool:
        """Poll until something is done, and return whether that was before the timeout."""
        return self._poll(done, self._poll_interval, self._timeout) is not None

    def within(self, name: str, seconds: float, done: Callable[[], bool]) -> None:
        """Add a row: something is done within so many seconds. The wait is ten times as long, to see when it is."""
        took = self._poll(done, min(self._poll_interval, 1.0), min(self._timeout, 10 * seconds))
        seen = "not at all" if took is None else f"after {took:.1f} s"
        self.true(name, f"within {seconds:g} s", took is not None and took <= seconds, seen)

    def _poll(self, done: Callable[[], bool], interval: float, timeout: float) -> float | None:
        """Poll until something is done, and return the seconds that it took; None after the timeout."""
        started_at = self.clock.monotonic()
        while not done():
            if self.clock.monotonic() - started_at >= timeout:
                return None
            self.clock.sleep(interval)
        return self.clock.monotonic() - started_at

    def wait_for_status(self, path: str, final: Collection[str], statuses: list[str]) -> Any:
        """Poll a resource until it has a final status, and return it. Adds each new status to ``statuses``."""
        last: Any = {}

        def is_final() -> bool:
            nonlocal last
            response = self.api.get(path)
            last = response.model if response.status == 200 else {}
            status = str(last.get("status", f"HTTP {response.outcome}"))
            if status not in statuses:
                statuses.append(status)
                self.log(f"{path}: {status}")
            return status in final

        self.log(f"Waiting for {path}.")
        self.poll(is_final)
        return last

    def listed_backups(self, path: str, limit: str = "100") -> list[str]:
        """Return the ids of the backups in all pages of a listing, at most 200 pages."""
        ids: list[str] = []
        params = {"limit": limit}
        for _ in range(_MAX_PAGES):
            page = self.api.get(path, params)
            ids += [str(row.get("backup_id")) for row in page.rows]
            if page.token is None:
                break
            params = {"paginationToken": page.token}
        return ids

    def need(self, response: Response, what: str) -> None:
        """Raise NotPossible if something was not created. A quota or a plan says nothing about an assumption."""
        if response.status in (402, 403):
            raise NotPossible(f"{what} was not created: {response.outcome}: {response.message}")

    # What the steps need.

    def need_index(self) -> str:
        """Return the name of the index. Raises NotPossible if there is none."""
        if not self.index:
            raise NotPossible("there is no index")
        return self.index_name

    def need_backup(self) -> Any:
        """Return the first backup. Raises NotPossible if it is not Ready."""
        if not self.backup:
            raise NotPossible("no backup is Ready")
        return self.backup
