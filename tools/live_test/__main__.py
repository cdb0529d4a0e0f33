"""The command line: estimate, run in each version, table, JSON file, exit status."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from airflow_pinecone import __version__
from airflow_pinecone.api.hosts import is_loopback
from airflow_pinecone.common.clock import SYSTEM_CLOCK, Clock
from airflow_pinecone.common.text import iso
from live_test import backups, errors, indexes, restores, schedules
from live_test.api import Api, NoResponse
from live_test.created import Created, Stopped
from live_test.expected import VERSIONS, expected
from live_test.findings import Findings, Mask
from live_test.run import NotPossible, Run

PINECONE = "https://api.pinecone.io"
STEPS: tuple[Callable[[Run], None], ...] = (
    *errors.ERRORS,
    indexes.create_index,
    indexes.check_stats,
    backups.create_backups,
    schedules.check_schedules,
    backups.wait_for_backups,
    backups.check_pages,
    indexes.delete_index,
    indexes.check_backups_of_deleted_index,
    restores.start_restore,
    restores.check_running_restore,
    restores.wait_for_restore,
    restores.check_restored_index,
    restores.delete_restored_index,
    backups.delete_backups,
)
ESTIMATE = """\
Control plane: {url}
API versions: {versions}

For each version, one after the other, this test creates in the project of the API key:
  1 serverless index without records (aws us-east-1, 8 dimensions), which it deletes before the restore
  2 backups of that index
  1 index, restored from one of the backups
  1 backup schedule, in version 2026-07 only, which it disables and deletes
It also sends requests that Pinecone should refuse. It deletes everything that it creates, and nothing else.

Needs: a plan with backups, and room for 1 index and 2 backups in the project.
Time: Pinecone documents about 10 minutes for a small backup, and as much for a restore.
Cost: Pinecone's API descriptions have no prices. The index has no records and gets no queries. Read what your plan
  pays for storage, backups and restores: https://www.pinecone.io/pricing/
"""


def log(text: str) -> None:
    """Print progress immediately."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None, clock: Clock = SYSTEM_CLOCK) -> int:
    """Run the test, and return the exit status.

    It is 0 if all is as assumed, 1 if something differs or was not deleted, 2 if the test could not run completely,
    and 130 or 143 after SIGINT or SIGTERM.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    key = os.environ.get("PINECONE_API_KEY", "")
    url = os.environ.get("PINECONE_CONTROLLER_HOST", "").rstrip("/") or PINECONE
    if not key:
        parser.error("set the environment variable PINECONE_API_KEY")
    address = urlsplit(url)
    if not address.hostname or address.scheme not in ("http", "https"):
        parser.error(f"PINECONE_CONTROLLER_HOST must be a URL such as {PINECONE}")
    if address.scheme == "http" and not is_loopback(address.hostname):
        parser.error("PINECONE_CONTROLLER_HOST must start with https://, or the API key would be sent unencrypted")
    versions = [options.api_version] if options.api_version else list(VERSIONS)
    print(ESTIMATE.format(url=url, versions=", ".join(versions)), flush=True)
    if not options.yes:
        log("Nothing was created. To run the test, add --yes (make live-test YES=1).")
        return 2

    mask = Mask()
    mask.add(key, "<key>")
    findings = Findings(mask)
    created = Created(log, clock, poll_interval=options.poll_interval, timeout=options.timeout)
    started_at = iso(clock.utcnow())
    stopped, left = None, []
    with _signals():
        try:
            for version in versions:
                run = Run(
                    Api(url, key, version, clock, mask),
                    expected(version),
                    findings,
                    created,
                    log,
                    clock,
                    poll_interval=options.poll_interval,
                    timeout=options.timeout,
                )
                _run_version(run)
        except Stopped as error:
            log("Stopped. Deleting what the test has created.")
            stopped = error
        finally:
            left = created.delete_all()
    print(findings.table())
    if left:
        print("\nNot deleted:", *left, sep="\n  ")
    facts = {
        "package": __version__,
        "started_at": started_at,
        "control_plane": url if url == PINECONE else "another one",
        "complete": "no" if stopped else "yes",
    }
    text = json.dumps(findings.to_json(left, **facts), indent=2, ensure_ascii=False)
    Path(options.output).write_text(text + "\n", encoding="utf-8")
    print(f"\nWrote {options.output}. Read it before you attach it to an issue.")
    if stopped:
        return stopped.exit_status
    return 1 if left else findings.exit_status


def _run_version(run: Run) -> None:
    log(f"API version {run.expected.version}")
    try:
        errors.check_version(run)
    except (NotPossible, NoResponse) as error:
        run.not_checked("all other assumptions of this version", str(error))
    else:
        run.execute(STEPS)


@contextmanager
def _signals() -> Iterator[None]:
    """Raise Stopped at SIGINT and SIGTERM."""

    def stop(number: int, _: object) -> None:
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m live_test",
        description="Compare what this package assumes of Pinecone's API with what the service does. The environment "
        f"variable PINECONE_API_KEY has the key, and PINECONE_CONTROLLER_HOST the control plane (default: {PINECONE}).",
    )
    add = parser.add_argument
    add("--yes", action="store_true", help="run the test; otherwise only print what it creates")
    add("--api-version", choices=VERSIONS, help="run in this version only")
    add("--output", default="live-test.json", metavar="FILE", help="the JSON file (default: %(default)s)")
    add("--poll-interval", type=float, default=10.0, metavar="SECONDS", help="default: %(default)g")
    add(
        "--timeout",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="the longest wait for a backup, a restore, or the deletion of everything (default: %(default)g)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
