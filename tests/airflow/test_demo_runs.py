"""The demo as a user runs it: it comes up, does its work, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import requests
from local_airflow import free_port, session_of

from airflow_pinecone.emulator import Emulator

ROOT = Path(__file__).resolve().parents[2]
KEY = "pc-demo-key-0123456789-xyz"


def start(url: str, index: str, **more: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PINECONE_API_KEY": KEY,
        "INDEX": index,
        "PINECONE_CONTROLLER_HOST": url,
        **more,
    }
    return subprocess.Popen(
        [sys.executable, "tools/demo.py"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def airflow_sessions() -> set[int]:
    """Return the sessions of processes that call themselves Airflow's."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "airflow" in process.name():
                found.add(session_of(process))
    return {session for session in found if session}


def test_the_demo_backs_up_a_real_index_and_keeps_the_ui_up() -> None:
    port = free_port()
    before = airflow_sessions()
    with Emulator(api_key=KEY, indexes=["my-index"], ready_after=1) as pinecone:
        process = start(pinecone.url, "my-index", KEEP="1", PORT=str(port))
        assert process.stdout is not None
        said = ""
        while "Ctrl-C ends it" not in said and (line := process.stdout.readline()):
            said += line
        assert "Ctrl-C ends it" in said, said
        shown = json.loads(said[said.index("{") : said.rindex("}") + 1])
        assert [shown] == pinecone.backups
        assert shown["status"] == "Ready"
        assert KEY not in said
        assert f"http://127.0.0.1:{port}/dags/reindex_with_backup/runs/" in said
        assert airflow_sessions() - before
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=10).ok
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        process.stdout.close()
    assert not (ROOT / ".demo").exists()
    assert not airflow_sessions() - before


def test_a_run_that_fails_ends_the_demo_in_a_clear_line() -> None:
    before = airflow_sessions()
    with Emulator(api_key=KEY) as pinecone:
        process = start(pinecone.url, "no-such-index")
        said, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "create a backup of index no-such-index: HTTP 404" in said
    assert "make demo: the run failed" in said
    assert not airflow_sessions() - before
    assert said.rstrip().splitlines()[-1].startswith("make demo:")
