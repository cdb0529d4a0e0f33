"""List, restore and audit backups from a terminal: ``python -m airflow_pinecone``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_pinecone.common.clock import SYSTEM_CLOCK
from airflow_pinecone.common.text import cell, explain, iso, show_seconds, text_table
from airflow_pinecone.errors import PineconeError, RestoreFailed, RestoreNotFound, WaitTimeout

if TYPE_CHECKING:
    from airflow_pinecone.hooks import PineconeHook

# Seconds that restore --wait waits at most, as the operators do by default.
_TIMEOUT = 6 * 60 * 60.0


class _Result(NamedTuple):
    """What a command prints, as JSON or as text, and whether all is well."""

    value: Any
    text: str
    ok: bool = True


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The arguments; None takes those of the process.

    Returns:
        The exit status: 0 for success, 1 if an audit found a problem, 2 if the command failed.
    """
    arguments = _parser().parse_args(argv)
    # As in `airflow connections get`: else Airflow 3 does not read connections from its metadata database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    try:
        # Airflow logs to stdout, which is for the result.
        with redirect_stdout(sys.stderr):
            from airflow_pinecone.hooks import PineconeHook

            result = arguments.run(PineconeHook(arguments.conn_id), arguments)
        print(json.dumps(result.value, indent=2) if arguments.json else result.text, flush=True)
    except PineconeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader, such as head, has ended. Python must not fail when it flushes stdout at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        return 0 if result.ok else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m airflow_pinecone", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[..., _Result], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument(
            "--conn-id", default="pinecone_default", help="the Airflow connection (default: %(default)s)"
        )
        command.add_argument("--json", action="store_true", help="print JSON")
        command.set_defaults(run=run)
        return command

    backups = add("backups", _backups, "list the backups of an index or of the project, the newest first")
    backups.add_argument("index", nargs="?", help="the name of the index, even if it was deleted")
    restore = add("restore", _restore, "start to restore a backup into a new index")
    restore.add_argument("backup_id", help="the id of the backup")
    restore.add_argument("new_index", help="the name of the new index; no index may have it")
    restore.add_argument("--wait", action="store_true", help="wait until the new index is ready")
    audit = add("audit", _audit, "report which indexes have no fresh backup, and exit with status 1 if one has none")
    audit.add_argument(
        "--max-age", type=float, default=24.0, metavar="HOURS", help="age of a late backup (default: %(default)g)"
    )
    audit.add_argument(
        "--max-shrink",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="the share of the records that a backup may lack, compared with the previous one (default: %(default)g)",
    )
    return parser


def _backups(hook: PineconeHook, arguments: argparse.Namespace) -> _Result:
    from airflow_pinecone.reading import read_history
    from airflow_pinecone.rules.history import BackupHistory

    name = arguments.index
    if name is None:
        history = BackupHistory(hook.list_backups())
        earlier = set()
    else:
        history = read_history(hook.client, name, include_deleted_indexes=True)
        earlier = {row.backup["backup_id"] for row in history.earlier}
        if not history.index_exists:
            print(f"Index {name} no longer exists. Its backups still do.", file=sys.stderr)
    now = SYSTEM_CLOCK.utcnow()
    rows: list[tuple[str, ...]] = [("created_at", "age", "backup_id", "status", "records", "index", "name")]
    for created, backup in history.rows:
        age = history.age(backup, now).seconds
        rows.append(
            (
                "unknown" if created is None else iso(created),
                "unknown" if age is None else show_seconds(age),
                backup["backup_id"],
                backup["status"],
                cell("unknown" if backup.get("record_count") is None else backup["record_count"]),
                cell(backup.get("source_index_name"))
                + (" (earlier index)" if backup["backup_id"] in earlier and history.current_index_id else ""),
                cell(backup.get("name")),
            )
        )
    text = text_table(rows) if history.rows else "There are no backups."
    return _Result([row.backup for row in history.rows], text)


def _restore(hook: PineconeHook, arguments: argparse.Namespace) -> _Result:
    backup_id, name = arguments.backup_id, arguments.new_index
    started = hook.create_index_from_backup(backup_id, name=name)
    job_id = started["restore_job_id"]
    text = f"Restoring backup {backup_id} into index {name}.\nrestore_job_id: {job_id}"
    if not arguments.wait:
        return _Result(started, text)

    from airflow_pinecone.waiting.decisions import Wait, WaitSpec
    from airflow_pinecone.waiting.drivers import wait_sync
    from airflow_pinecone.waiting.resources import RESTORE

    # The id first: the wait can be interrupted.
    print(text, file=sys.stderr, flush=True)
    now = SYSTEM_CLOCK.time()
    wait = Wait(WaitSpec(RESTORE.name, job_id, now, now + _TIMEOUT))

    def log(_: int, message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    result = wait_sync(wait, partial(RESTORE.poll, hook.client, job_id), log, SYSTEM_CLOCK)
    if isinstance(result.error, WaitTimeout | RestoreFailed | RestoreNotFound):
        # The advice of the error is for tasks.
        advice = f"Look in Pinecone's console whether index {name} exists."
        text = explain(str(result.error).split("\n")[0], result.error.reason, advice, f"Restore job id: {job_id}.")
        raise type(result.error)(text)
    return _Result(result.result_or_raise(), f"Index {name} is ready.")


def _audit(hook: PineconeHook, arguments: argparse.Namespace) -> _Result:
    from airflow_pinecone.policy import IndexRules, Policy
    from airflow_pinecone.rules.report import rows_with_problems

    rules = IndexRules(arguments.max_age * 3600, max_shrink=arguments.max_shrink)
    report = hook.backup_report(Policy(rules))
    failed = rows_with_problems(report["indexes"], ("unprotected", "late", "failing"))
    lines = [
        f"{cell(row['index_name'])} ({row['status']}): {'; '.join(problem['text'] for problem in row['problems'])}."
        for row in failed
    ]
    lines += report["invalid"]
    lines += [f"{cell(name)}: {why}, so Pinecone cannot back it up." for name, why in report["unsupported"].items()]
    is_ok = bool(report["indexes"]) and not failed and not report["invalid"]
    return _Result(report, "\n".join([*lines, report["verdict"]]), ok=is_ok)


if __name__ == "__main__":
    # Airflow's own messages would hide the error or the warning that matters.
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")
    sys.exit(main())
