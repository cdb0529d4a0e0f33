"""The emulator on the command line."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence

from airflow_pinecone.emulator.errors import ApiError
from airflow_pinecone.emulator.faults import Fault, parse_fault
from airflow_pinecone.emulator.server import Emulator

_EPILOG = """\
a fault is METHOD PATH NAME=VALUE ..., for example
  --fault 'POST /indexes/*/backups nth=1 drop=after'          the backup is made, its answer lost
  --fault 'GET /backups/* status=503 retry_after=2 times=3'   three polls fail
METHOD may be *, PATH may be * or hold * within a segment. Settings:
  nth=N               begin with the Nth call that fits (1)
  times=N|always      strike so many calls (1)
  status=CODE         answer this status, without doing the work; with work=yes after doing it
  retry_after=VALUE   add this Retry-After header
  body=TEXT           answer this body
  drop=before|during|after   drop the connection before the work, within the answer, or after the work
  hang=before|after   hold the call until the emulator stops
  drip=head|body      send the answer byte by byte, from its first byte or from its body on
  endless=yes         let the answer's body have no end

a client finds it by its base URL; in Pinecone's own clients that is host= or PINECONE_CONTROLLER_HOST.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator until SIGTERM or SIGINT.

    Args:
        arguments: The command line's arguments; None: those of the process.

    Returns:
        The exit status: 0 after a signal, 1 when it cannot listen.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.api_key:
        parser.error("an API key is needed: --api-key, or the environment variable PINECONE_API_KEY")
    try:
        emulator = Emulator(
            api_key=options.api_key,
            indexes=options.index,
            host=options.host,
            port=options.port,
            ready_after=options.ready_after,
            backup_ends=options.backup_ends,
            listing_lag=options.listing_lag,
            lag_describe=options.lag_describe,
            restore_after=options.restore_after,
            restore_ends=options.restore_ends,
            restore_lag=options.restore_lag,
            quota=options.quota,
        )
    except ApiError as error:
        parser.error(f"argument --index: {error}")
    for fault in options.fault:
        emulator.add_fault(fault)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    # Blocked before the server's thread starts, which inherits it; sigwait takes them below.
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        emulator.start()
    except OSError as error:
        print(f"Cannot listen on {options.host}:{options.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"listening on {emulator.url}", flush=True)
    signal.sigwait(stops)
    emulator.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_pinecone.emulator",
        description="An emulator of Pinecone's control plane (API versions 2025-10 and 2026-04): indexes, "
        "backups, restores. Prints one line when it listens; logs one line for each request.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=_port, default=5080, help="port to listen on; 0: a free one (%(default)s)")
    add(
        "--api-key",
        default=os.environ.get("PINECONE_API_KEY"),
        metavar="KEY",
        help="the one key that is let in (the environment variable PINECONE_API_KEY)",
    )
    add(
        "--index",
        action="append",
        default=[],
        type=_index,
        metavar="NAME[:RECORDS]",
        help="an index to begin with, of 96 records if not said; may be repeated",
    )

    def add_seconds(name: str, text: str) -> None:
        add(name, type=_seconds, default=0.0, metavar="SECONDS", help=f"{text} (%(default)s)")

    add_seconds("--ready-after", "time from a backup's creation to its end")
    add(
        "--backup-ends",
        default="Ready",
        metavar="STATUS",
        help="status that backups end with: Ready, Failed, InitializationFailed, any other, or never (Ready)",
    )
    add_seconds("--listing-lag", "time before a new backup is listed")
    add_seconds("--lag-describe", "time for which describing a new backup answers 404")
    add_seconds("--restore-after", "time from a restore job's creation to its end")
    add(
        "--restore-ends",
        default="Completed",
        metavar="STATUS",
        help="status that restore jobs end with: Completed, Failed, Cancelled, or never (Completed)",
    )
    add_seconds("--restore-lag", "time for which a new restore job is not found")
    add("--quota", type=_whole, default=500, metavar="N", help="the most backups there may be (%(default)s)")
    add(
        "--fault",
        action="append",
        default=[],
        type=_fault,
        metavar="SPEC",
        help="a fault, see below; may be repeated",
    )
    return parser


def _port(text: str) -> int:
    port = _whole(text)
    if port > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return port


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text} is no whole number")
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds


def _index(text: str) -> str:
    name, colon, records = text.partition(":")
    if not name or (colon and not (records.isascii() and records.isdecimal())):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME or NAME:RECORDS")
    return text


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
