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
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import requests
from local_airflow import free_port, session_of

from airflow_pinecone.emulator import Emulator

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".demo"
KEY = "pc-demo-key-0123456789-xyz"


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


def airflow_sessions() -> set[int]:
    """Return the sessions of the processes with "airflow" in their names."""
    sessions = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "airflow" in process.name():
                sessions.add(session_of(process))
    return {session for session in sessions if session}


def test_demo_backs_up_a_given_index_and_keeps_the_ui_running() -> None:
    port = free_port()
    before = airflow_sessions()
    with (
        Emulator(api_key=KEY, indexes=["my-index"], ready_after=1) as emulator,
        demo(emulator.url, "my-index", KEEP="1", PORT=str(port)) as process,
    ):
        assert process.stdout is not None
        output = ""
        watchdog = threading.Timer(240, process.kill)
        watchdog.start()
        # The last line before the demo waits for the user.
        while "Ctrl-C" not in output and (line := process.stdout.readline()):
            output += line
        watchdog.cancel()
        assert "Ctrl-C" in output, output
        shown = json.loads(output[output.index("{") : output.rindex("}") + 1])
        assert [shown] == emulator.backups
        assert shown["status"] == "Ready"
        assert KEY not in output
        assert f"http://127.0.0.1:{port}/dags/reindex_with_backup/runs/" in output
        assert airflow_sessions() - before
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=10).ok
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not HOME.exists()
    assert not airflow_sessions() - before


def test_demo_reports_a_failed_run_in_one_line() -> None:
    before = airflow_sessions()
    with Emulator(api_key=KEY) as emulator, demo(emulator.url, "no-such-index") as process:
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "create a backup of index no-such-index: HTTP 404" in output
    assert "make demo: the run failed" in output
    assert not airflow_sessions() - before
    assert output.rstrip().splitlines()[-1].startswith("make demo:")
    # A user reads the logs after a failure.
    assert (HOME / "logs").is_dir()
    shutil.rmtree(HOME)
