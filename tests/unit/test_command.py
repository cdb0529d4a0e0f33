"""The command line: ``python -m airflow_pinecone``, against the emulator."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.constants import API_KEY, CONNECTION_VARIABLE, INDEX
from support.dag_files import needs_airflow_3

from airflow_pinecone.__main__ import main
from airflow_pinecone.emulator import Emulator
from airflow_pinecone.hooks import PineconeHook

DAY = 24 * 3600.0


class Result(NamedTuple):
    """What a command has printed, and its exit status."""

    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(
    emulator: Emulator, connection: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command: `run("backups", "docs-example")`. The emulator has the time of this machine."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        # As the command does: Airflow 2 logs to stderr.
        logging.disable(logging.INFO)
        try:
            status = main(arguments)
        finally:
            logging.disable(logging.NOTSET)
        return Result(status, *capsys.readouterr())

    return run


def add(emulator: Emulator, index_name: str = INDEX, age: float = 3600, **fields: Any) -> str:
    return str(emulator.add_backup(index_name, age=age, **fields)["backup_id"])


def test_backups_of_an_index_are_listed_the_newest_first(emulator: Emulator, run: Run) -> None:
    old, new, failed = (
        add(emulator, age=2 * DAY),
        add(emulator, name="nightly"),
        add(emulator, age=DAY, status="Failed"),
    )
    add(emulator, "other")
    result = run("backups", INDEX)
    header, *lines = result.out.splitlines()
    assert (result.status, result.err) == (0, "")
    assert header.split() == ["created_at", "age", "backup_id", "status", "records", "index", "name"]
    assert [backup_id in line for backup_id, line in zip((new, failed, old), lines, strict=True)] == [True] * 3
    assert lines[0].split()[2:] == [new, "Ready", "96", INDEX, "nightly"]
    assert " Failed " in lines[1]
    assert " 2 days, " in lines[2]


def test_backups_as_json(emulator: Emulator, run: Run) -> None:
    newest, other = add(emulator), add(emulator, "other", age=2 * DAY)
    result = run("backups", "--json")
    assert [row["backup_id"] for row in json.loads(result.out)] == [newest, other]
    assert [row["backup_id"] for row in json.loads(run("backups", "other", "--json").out)] == [other]


def test_backups_of_earlier_and_deleted_indexes_are_listed(emulator: Emulator, run: Run) -> None:
    earlier = add(emulator, age=DAY)
    PineconeHook().delete_index(INDEX)
    result = run("backups", INDEX)
    assert earlier in result.out
    assert "earlier index" not in result.out
    assert result.err == f"Index {INDEX} no longer exists. Its backups still do.\n"
    emulator.add_index(INDEX)
    add(emulator)
    current_line, earlier_line = run("backups", INDEX).out.splitlines()[1:]
    assert "(earlier index)" in earlier_line
    assert "(earlier index)" not in current_line


def test_no_backups(run: Run) -> None:
    assert run("backups") == Result(0, "There are no backups.\n", "")
    assert run("backups", "--json").out == "[]\n"


def test_restore_prints_the_id_of_the_job(emulator: Emulator, run: Run) -> None:
    backup_id = add(emulator)
    result = run("restore", backup_id, "restored")
    (job,) = emulator.restore_jobs
    assert (result.status, result.err) == (0, "")
    assert result.out == (
        f"Restoring backup {backup_id} into index restored.\nrestore_job_id: {job['restore_job_id']}\n"
    )
    assert (job["backup_id"], job["target_index_name"]) == (backup_id, "restored")


def test_restore_can_wait(emulator: Emulator, run: Run) -> None:
    backup_id = add(emulator)
    result = run("restore", backup_id, "restored", "--wait")
    (job,) = emulator.restore_jobs
    assert (result.status, result.out) == (0, "Index restored is ready.\n")
    assert f"restore_job_id: {job['restore_job_id']}" in result.err
    assert any(line.startswith("Waiting until") for line in result.err.splitlines())
    model = json.loads(run("restore", backup_id, "again", "--wait", "--json").out)
    assert (model["index_name"], model["index_ready"], model["status"]) == ("again", True, "Completed")


def test_failed_restore(emulator: Emulator, run: Run) -> None:
    emulator.next_restore(restore_ends="Failed")
    result = run("restore", add(emulator), "restored", "--wait")
    assert (result.status, result.out) == (2, "")
    assert "Failed" in result.err


def test_audit_says_first_what_is_wrong(emulator: Emulator, run: Run) -> None:
    emulator.add_index("fresh")
    emulator.add_index("late")
    add(emulator, "fresh")
    add(emulator, "late", age=2 * DAY)
    result = run("audit")
    assert (result.status, result.err) == (1, "")
    lines = result.out.splitlines()
    assert lines[0].startswith(f"{INDEX} (unprotected): ")
    assert lines[1].startswith("late (late): its newest Ready backup is 2 days")
    assert "2 of 3 indexes" in lines[2]
    assert len(lines) == 3
    assert {row["index_name"]: row["status"] for row in json.loads(run("audit", "--json").out)["indexes"]} == {
        INDEX: "unprotected",
        "late": "late",
        "fresh": "ok",
    }


def test_audit_of_a_shrunken_index(emulator: Emulator, run: Run) -> None:
    add(emulator, age=7200, record_count=1000)
    add(emulator, record_count=600)
    assert run("audit").status == 0
    assert run("audit", "--max-shrink", "0.3").status == 1
    assert run("audit", "--max-age", "0.5").status == 1


def test_audit_of_no_indexes_is_not_a_success(run: Run) -> None:
    PineconeHook().delete_index(INDEX)
    assert run("audit").status == 1


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("backups", "no-such"), "no-such"),
        (("backups", "No such"), "not a valid index name"),
        # Airflow 2 also logs that these tests have no metadata database.
        pytest.param(
            ("backups", "--conn-id", "no_such"),
            "Connection no_such cannot be used",
            marks=needs_airflow_3,
            id="no_such",
        ),
        (("restore", "../x", "restored"), "not a valid backup id"),
        (("restore", "no-such", "restored"), "404"),
        (("audit", "--max-age", "0"), "max_age"),
        (("audit", "--max-age", "nan"), "max_age"),
        (("audit", "--max-shrink", "2"), "max_shrink"),
    ],
    ids=str,
)
def test_error_is_a_few_lines_without_a_traceback(run: Run, arguments: tuple[str, ...], fact: str) -> None:
    result = run(*arguments)
    assert (result.status, result.out) == (2, "")
    assert fact in result.err
    assert result.err.count("\n") <= 4


def test_invalid_arguments(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ((), ("restore", "b-1"), ("drop",), ("audit", "--max-age", "soon")):
        with pytest.raises(SystemExit) as caught:
            run(*arguments)
        assert caught.value.code == 2
        assert capsys.readouterr().err.startswith("usage: python -m airflow_pinecone")


def test_odd_row_hides_no_other_backup(emulator: Emulator, run: Run) -> None:
    odd, good = add(emulator), add(emulator, age=DAY)
    rows = [row | ({"status": "Re\0ady"} if row["backup_id"] == odd else {}) for row in emulator.backups]
    for path in ("/backups", f"/indexes/{INDEX}/backups"):
        emulator.fault("GET", path, status=200, body={"data": rows}, times=None)
    result = run("backups", INDEX)
    assert [odd in result.out, good in result.out] == [True, True]
    assert " unknown " in result.out
    audit = run("audit", "--max-age", "12")
    assert f"{INDEX} (late)" in audit.out


def test_process_prints_only_the_result_to_stdout(emulator: Emulator, tmp_path: Path) -> None:
    """Airflow configures its logging in a process of its own, and a request is repeated, which is logged."""
    backup_id = add(emulator)
    emulator.fault("GET", "/backups", status=503, headers={"Retry-After": "0"})
    connection = {"conn_type": "pinecone", "host": emulator.url, "password": API_KEY}
    environment = {**os.environ, CONNECTION_VARIABLE: json.dumps(connection), "AIRFLOW_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "airflow_pinecone", "backups", "--json"]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    assert [row["backup_id"] for row in json.loads(process.stdout)] == [backup_id]
    assert "503" in process.stderr
