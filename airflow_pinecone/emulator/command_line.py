"""The command line interface of the emulator."""

import argparse
import json
import logging
import math
import os
import reprlib
import signal
import sys
from collections.abc import Sequence
from typing import Any

from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.faults import Fault, parse_fault
from airflow_pinecone.emulator.request_bodies import check_dimension
from airflow_pinecone.emulator.server import Emulator

_MAX_DIGITS = 15

_EPILOG = """\
A fault is METHOD PATH NAME=VALUE ..., for example
  --fault 'POST /indexes/*/backups nth=1 drop=after'          creates the backup, loses the response
  --fault 'GET /backups/* status=503 retry_after=2 times=3'   fails three polls
  --fault '* * times=always probability=0.05 drop=after'      loses 5 % of all responses
METHOD may be *. PATH may be *, or contain * within a segment. Settings:
  nth=N                      the first matching request that fails (default: 1)
  times=N|always             how many requests fail (default: 1)
  probability=NUMBER         the probability that a request fails, up to 1 (default: 1)
  status=CODE                respond with this status; do not process the request
  work=yes|no                with status: process the request before responding (default: no)
  retry_after=VALUE          add this Retry-After header
  body=TEXT                  respond with this body
  drop=before|during|after   drop the connection before processing the request,
                             during the response, or after processing the request
  hang=before|after          before or after processing the request, hold it until the emulator stops
  drip=head|body             send the response, or only its body, byte by byte
  endless=yes|no             never end the response body (default: no)

Set the base URL of a client to the URL of the emulator. In Pinecone's own clients, this is
the argument host= or the environment variable PINECONE_CONTROLLER_HOST.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator until SIGTERM or SIGINT, and return the exit status: 1 if it cannot listen."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    if not options["api_key"]:
        parser.error("an API key is required: set --api-key or the environment variable PINECONE_API_KEY")
    indexes, faults = options.pop("index"), options.pop("fault")
    seed_records, dimension = options.pop("seed_records"), options.pop("dimension")
    if seed_records is not None and not indexes:
        parser.error("argument --seed-records: it requires --index")
    if seed_records is not None and any(":" in index for index in indexes):
        parser.error("argument --seed-records: it replaces the RECORDS of --index. Use one of them")
    try:
        emulator = Emulator(**options)
        for index in indexes:
            name, _, records = index.partition(":")
            emulator.add_index(name, records=int(records or 96) if seed_records is None else 0, dimension=dimension)
            if seed_records is not None:
                emulator.generate_records(name, seed_records)
    except ApiError as error:
        parser.error(f"argument --index: {error}")
    for fault in faults:
        emulator.add_fault(fault)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    # Block the signals before the server thread starts, because it inherits the mask. sigwait receives them below.
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    try:
        emulator.start()
    except (OSError, UnicodeError) as error:  # UnicodeError: the host is not a valid name.
        reason = (isinstance(error, OSError) and error.strerror) or error
        print(f"Cannot listen on {emulator.url.removeprefix('http://')}: {reason}", file=sys.stderr)
        return 1
    print(f"listening on {emulator.url}", flush=True)
    signal.sigwait(stop_signals)
    emulator.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_pinecone.emulator",
        description="Emulate Pinecone's control plane and data plane (API versions 2025-10, 2026-04, 2026-07 and\n"
        "unstable): indexes and their records, backups, backup schedules, restores and bulk imports. Prints\n"
        "its URL when it is ready, and logs one line for each request.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", type=_host, default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=5080, help="port to listen on; 0 for a free port (default: %(default)s)")
    add(
        "--api-key",
        default=os.environ.get("PINECONE_API_KEY"),
        metavar="KEY",
        help="the only valid API key (default: the environment variable PINECONE_API_KEY)",
    )
    add(
        "--index",
        action="append",
        default=[],
        type=_index,
        metavar="NAME[:RECORDS]",
        help="create this index, with 96 records unless RECORDS is given; may be repeated",
    )

    def add_seconds(name: str, text: str) -> None:
        add(name, type=_seconds, default=0.0, metavar="SECONDS", help=f"{text} (default: %(default)g)")

    add_seconds("--ready-after", "time from the creation of a backup to its final status")
    add(
        "--backup-ends",
        default="Ready",
        metavar="STATUS",
        help="final status of backups: Ready, Failed, InitializationFailed, any other status, or never "
        "(default: %(default)s)",
    )
    add_seconds("--listed-after", "time until a new backup appears in lists")
    add_seconds("--described-after", "time until a request to describe a new backup finds it")
    add_seconds("--restore-after", "time from the creation of a restore job to its final status")
    add(
        "--restore-ends",
        default="Completed",
        metavar="STATUS",
        help="final status of restore jobs: Completed, Failed, Cancelled or never (default: %(default)s)",
    )
    add_seconds("--restore-visible-after", "time until lists and describe requests find a new restore job")
    add_seconds("--import-after", "time from the start of a bulk import to its end")
    add(
        "--import-ends",
        default="Completed",
        metavar="STATUS",
        help="final status of bulk imports: Completed, Failed, Cancelled or never (default: %(default)s)",
    )
    add_seconds("--import-visible-after", "time until lists and describe requests find a new bulk import")
    add(
        "--import-skips-identical",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether a record with the vector values of another one of its bulk import is invalid (default: yes)",
    )
    add(
        "--storage-options",
        type=_json_object,
        default={},
        metavar="JSON",
        help='options with which bulk imports open S3, such as {"endpoint_url": "http://127.0.0.1:5000"}',
    )
    add_seconds("--latency", "time added to each response of the data plane")
    add_seconds("--writes-visible-after", "time until a write to the records of an index is visible")
    add_seconds("--backup-lag", "a backup lacks what was written to its index in this time before it")
    add_seconds(
        "--restored-records-visible-after",
        "time after a restore during which lists and counts show a growing part of the records",
    )
    add(
        "--quota", type=_whole_number, default=500, metavar="N", help="maximum number of backups (default: %(default)s)"
    )
    add(
        "--backups-in-plan",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether the plan of the project includes backups (default: yes)",
    )
    add(
        "--full-text-backups",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether an index with fields for full-text search can be backed up (default: yes)",
    )
    add(
        "--max-retention-days",
        type=_whole_number,
        default=365,
        metavar="N",
        help="longest retention of a backup schedule (default: %(default)s)",
    )
    add(
        "--seed-records",
        type=_whole_number,
        metavar="N",
        help="give each index this many generated records in its default namespace, instead of those of --index",
    )
    add(
        "--dimension",
        type=_dimension,
        default=1024,
        metavar="N",
        help="number of dense values of a record (default: %(default)s)",
    )
    for name, what in (
        ("--list-requests-per-second", "requests for ids that an index answers in a second"),
        ("--fetch-requests-per-second", "requests for records that an index answers in a second"),
        ("--read-units-per-month", "read units of the project"),
    ):
        add(name, type=_whole_number, metavar="N", help=f"{what} (default: no limit)")
    add(
        "--planned-run-status",
        default="Scheduled",
        metavar="STATUS",
        help="status of the next run in the history of a backup schedule: Scheduled or Initializing "
        "(default: %(default)s)",
    )
    add(
        "--fault",
        action="append",
        default=[],
        type=_fault,
        metavar="SPEC",
        help="add a fault, see below; may be repeated",
    )
    return parser


def _host(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the host must not be empty")
    return text


def _port(text: str) -> int:
    port = _whole_number(text)
    if port > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return port


def _whole_number(text: str) -> int:
    if not _is_whole_number(text):
        raise argparse.ArgumentTypeError(f"{reprlib.repr(text)} is not a whole number of at most {_MAX_DIGITS} digits")
    return int(text)


def _dimension(text: str) -> int:
    dimension = _whole_number(text)
    try:
        check_dimension(dimension)
    except ApiError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return dimension


def _is_whole_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return seconds


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("it must be a JSON object")
    return value


def _index(text: str) -> str:
    name, colon, records = text.partition(":")
    if not name or (colon and not _is_whole_number(records)):
        raise argparse.ArgumentTypeError(f"{reprlib.repr(text)} is not NAME or NAME:RECORDS")
    return text


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
