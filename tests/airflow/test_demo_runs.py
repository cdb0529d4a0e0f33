"""`make demo` as a user runs it: it starts Airflow, runs the DAG, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from local_airflow import free_port, session_of

from airflow_pinecone.emulator import Emulator

ROOT = Path(__file__).resolve().parents[2]
KEY = "pc-demo-key-0123456789-xyz"


@pytest.fixture
def others() -> set[Path]:
    """Return the folders that other demos have left."""
    return set(homes())


def homes() -> list[Path]:
    return list(ROOT.glob(".demo-*"))


@contextmanager
def demo(url: str, index: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run the demo, and end it if the test fails before it has exited."""
    environment = os.environ | {
        "PINECONE_API_KEY": KEY,
        "INDEX": index,
        "PINECONE_CONTROLLER_HOST": url,
        **variables,
    }
    with subprocess.Popen(
        [sys.executable, "tools/demo.py"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell starts a background process with SIGINT ignored, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            # The demo stops Airflow when it receives SIGTERM.
            process.terminate()
            process.wait(60)


def read_until(process: subprocess.Popen[str], text: str) -> tuple[str, set[int | None]]:
    """Read the output of the demo until it contains a text, and return it with the sessions of the demo's Airflow."""
    assert process.stdout is not None
    output = ""
    watchdog = threading.Timer(240, process.kill)
    watchdog.start()
    while text not in output and (line := process.stdout.readline()):
        output += line
    watchdog.cancel()
    assert text in output, output
    sessions = {session_of(child) for child in psutil.Process(process.pid).children(recursive=True)}
    assert running(sessions)
    return output, sessions


def running(sessions: set[int | None]) -> list[psutil.Process]:
    """Return the running processes of some sessions."""
    return [process for process in psutil.process_iter() if session_of(process) in sessions]


def test_demo_backs_up_a_given_index_and_keeps_the_ui_running(others: set[Path]) -> None:
    port = free_port()
    with (
        Emulator(api_key=KEY, indexes=["my-index"], ready_after=1) as emulator,
        demo(emulator.url, "my-index", KEEP="1", PORT=str(port)) as process,
    ):
        # The last line before the demo waits for the user.
        output, sessions = read_until(process, "Ctrl-C")
        shown = json.loads(output[output.index("{") : output.rindex("}") + 1])
        assert [shown] == emulator.backups
        # The examples with a schedule do not run.
        creates = [exchange.path for exchange in emulator.requests if exchange.method == "POST"]
        assert creates == ["/indexes/my-index/backups"]
        assert shown["status"] == "Ready"
        assert KEY not in output
        assert f"http://127.0.0.1:{port}/dags/reindex_with_backup/" in output
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=10).ok
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert set(homes()) == others
    assert not running(sessions)


def test_demo_reports_a_failed_run_in_one_line(others: set[Path]) -> None:
    with Emulator(api_key=KEY) as emulator, demo(emulator.url, "no-such-index") as process:
        _, sessions = read_until(process, "Triggered run")
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "create a backup of index no-such-index." in output
    assert "HTTP 404" in output
    assert "make demo: the run failed" in output
    assert not running(sessions)
    assert output.rstrip().splitlines()[-1].startswith("make demo:")
    # A user reads the logs after a failure.
    (home,) = set(homes()) - others
    assert f"The logs are in {home / 'logs'}" in output
    assert (home / "logs").is_dir()
    shutil.rmtree(home)
